//! The archive's services in its users' words: receive, find, retrieve, and the work in between.
//!
//! Everything here is synchronous and may block; the edges bring threads (DIMSE) or blocking tasks (HTTP).
//! This crate speaks no wire protocol and knows no socket, status code or header.
//!
//! Way of an object: [`Incoming`] scans and buffers it, the fair queue gives every source its turn, one
//! sequencer decides what the object *is* (new, the same again, a conflict) and appends it to the journal,
//! one committer syncs the journal for everybody who waits, applies the facts to the index and only then
//! lets the askers know.

pub mod backup;
pub mod budget;
pub mod charts;
pub mod clock;
mod codestreams;
mod commit;
pub mod commitment;
mod correct;
mod decide;
mod decode;
mod destinations;
mod error;
pub mod export;
mod facts;
mod find;
pub mod forward;
mod handoff;
pub mod import;
mod incoming;
pub mod letters;
mod lists;
pub mod memory;
pub mod metadata;
pub mod notices;
mod object;
mod open;
mod options;
mod order;
mod pace;
mod packing;
mod packs;
mod pending;
pub mod proof;
mod queue;
pub mod rebuild;
mod registry;
pub mod render;
pub mod retain;
mod retrieve;
mod room;
pub mod scrub;
mod seal;
pub mod search;
mod segments;
mod sequence;
mod serving;
mod spool;
pub mod tier;
pub mod transcode;
pub mod ups;
pub mod usage;
pub mod verify;
mod worker;
pub mod zip;

pub use codec::CodecError;
pub use codestreams::Compression;
pub use decode::Image;
pub use error::{DecodeError, FindError, IngestError, OpenError, RegistryError, RetrieveError, TierError};
pub use find::{Found, FoundRow, Under};
pub use forward::ForwardOptions;
pub use incoming::{Form, Incoming, Stored, StoredKind};
pub use index::charts::{ChartCursor, ChartDriver, ChartPage, ChartQuery};
pub use index::{Cursor, CursorError, InstanceRow, Page, SeriesKey, SeriesRow, StudyKey, StudyRow};
pub use metadata::Metadata;
pub use object::StoredFile;
pub use open::{Archive, Readiness, Stats};
pub use options::{Options, PackOptions, PictureOptions, RetentionOptions, ScrubOptions};
pub use registry::{Knock, Unknown};
pub use retrieve::{Selection, Target};
pub use room::{Claim, Room};

#[cfg(test)]
mod tests;
