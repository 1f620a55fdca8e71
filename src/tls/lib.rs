//! TLS for both edges: configurations from certificate files that may change while the program runs, in both roles.
//!
//! The profile is BCP 195 (RFC 8996 and 9325) as PS3.15 section B.12 asks for it: TLS 1.3 and 1.2, forward secrecy and
//! authenticated encryption only. What is said inside a connection, and who may, is not known here.

mod client;
mod explain;
mod identity;
mod pem;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod watched;

pub use client::{Client, ClientFiles, Expected};
pub use explain::explain;
pub use identity::certificate;
pub use pem::Pair;
pub use server::{Peers, Server, ServerFiles};
pub use stream::Stream;
/// A connection that was accepted, before it is read in a blocking way.
pub use tokio_rustls::server::TlsStream as Accepted;

/// The versions of the profile, newest first.
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Why the files cannot serve TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read as PEM.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: String,
        /// Reason.
        what: String,
    },
    /// Certificate and key do not fit together or are not supported.
    #[error("certificate and key cannot serve TLS: {0}")]
    Pair(#[from] rustls::Error),
    /// The authorities or the list of revoked certificates cannot be used.
    #[error("the authorities cannot be used: {0}")]
    Authorities(String),
}
