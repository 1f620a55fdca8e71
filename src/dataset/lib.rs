//! DICOM bytes: reading data sets that may be anything, and writing what is derived from them.
//!
//! [`scan`] is the gate: every byte from outside passes it once, forward, bounded, as it arrives.
//! The rest works on what the scanner has passed.
//! This crate does no I/O of its own, never changes stored bytes, and does not panic on input.

pub mod bulk;
mod charset;
pub mod coerce;
pub mod compose;
pub mod dicomdir;
mod dictionary;
pub mod document;
mod error;
#[cfg(test)]
mod fixture;
pub mod frames;
pub mod identifier;
mod inflate;
pub mod json;
mod limits;
pub mod nested;
pub mod notice;
pub mod part10;
pub mod pixels;
pub mod references;
pub mod rejection;
pub mod render;
mod resolve;
pub mod scan;
pub mod syntax;
pub mod transcode;
mod vr;
mod walk;
pub mod xml;
pub mod xml_read;

pub use charset::{Charset, Notes};
pub use dictionary::{keyword, lookup as dictionary_vr, tag_of_keyword};
pub use error::{ScanError, Tag};
pub use limits::Limits;
pub use vr::Vr;
