//! The HTTP edge: DICOMweb (PS3.18), the operators' API, health and metrics.
//!
//! It turns requests into calls of the archive and answers into HTTP, decides media types, and bounds
//! every connection. It never opens a file of the archive, never interprets pixels, and knows no DIMSE.

mod accept;
mod admin;
mod app;
mod auth;
mod base_url;
mod body;
mod capabilities;
mod charts;
mod conditional;
mod corrections;
mod cors;
pub mod dicomweb;
pub mod fhir;
mod forward;
mod hooks;
mod html;
mod judgement;
mod launch;
mod matches;
mod moves;
mod observe;
pub mod openapi;
mod options;
mod outbox;
mod outgoing;
mod problem;
pub mod pull;
mod reads;
mod ready;
pub mod routes;
mod server;
#[cfg(test)]
mod service_tests;
mod session;
mod share;
mod start_page;
mod verifier;
mod viewer;

pub use app::{App, router};
pub use auth::{TokenFileError, Tokens};
pub use forward::{StowForwarder, StowLimits};
pub use hooks::{HookLimits, Hooks};
pub use launch::MessageLinks;
pub use options::{FhirOptions, LaunchOptions, Now, Options, RenderMetrics, SharePages, TlsFiles};
pub use problem::{Kind, Problem};
pub use server::{BindError, Peer, Server, TlsError};
pub use share::sheet::{Sheet, html as share_sheets};
pub use verifier::{Verifier, VerifierPlace};
