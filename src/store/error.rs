//! What can go wrong at rest, shaped by what a caller does about it.
//!
//! Texts name files, offsets and record numbers, never contents.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store refused or could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused an operation.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Too little space: refuse the sender, who keeps its copy. Recovers by itself when space returns.
    #[error("no space left in the journal: {needed} bytes needed above the reserve, {free} bytes free in all")]
    Full {
        /// Bytes that would have to be free.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A write or a sync failed. What reached the disk is unknown, so nothing more is accepted until restart.
    #[error("the journal is closed after a failed write or sync; restart the archive")]
    Poisoned,
    /// Stored bytes are not what was written.
    #[error("{file} is corrupt at byte {offset}, record {lsn}: {what}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Byte offset in the file.
        offset: u64,
        /// Number of the record, 0 where it cannot be told.
        lsn: u64,
        /// What does not hold.
        what: &'static str,
    },
    /// A record of a form this program does not know: it was written by a newer one.
    #[error("{file} holds a record of an unknown form ({what} {value}) at byte {offset}, record {lsn}")]
    Unknown {
        /// The file.
        file: PathBuf,
        /// Byte offset in the file.
        offset: u64,
        /// Number of the record.
        lsn: u64,
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// The directory or file was written by a newer program.
    #[error("{path} has format version {found}, this program knows up to {known}")]
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The file is not one of ours.
    #[error("{path} is no data directory of this archive: {what}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A record that does not fit into a segment.
    #[error("a record of {bytes} bytes is larger than the {limit} bytes a segment holds")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The segment was released since the place was noted.
    #[error("segment {segment} of generation {generation} is gone")]
    Gone {
        /// Segment number.
        segment: u32,
        /// Generation the place names.
        generation: u32,
    },
    /// A range that does not lie in the body.
    #[error("bytes {start} to {end} do not lie in a body of {len} bytes")]
    Range {
        /// First byte asked for.
        start: u64,
        /// End of the range asked for.
        end: u64,
        /// Length of the body.
        len: u64,
    },
    /// Another process works in the data directory.
    #[error("{path} is in use by process {pid}")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, `?` where it cannot be told.
        pid: String,
    },
    /// A journal directory that may lack acknowledged records, without the one that holds them.
    #[error(
        "{dir} may lack records that {other} holds, and that one is missing or empty: start with both; \
         only when {other} is lost for good, remove {note} and start with {dir} alone"
    )]
    Behind {
        /// The directory that may be behind.
        dir: PathBuf,
        /// The directory it was written together with.
        other: PathBuf,
        /// The note that says so.
        note: PathBuf,
    },
    /// Two journal directories that were each written without the other.
    #[error("{one} and {two} went different ways, at the latest by record {lsn}: start with the right one alone")]
    Diverged {
        /// One directory.
        one: PathBuf,
        /// The other.
        two: PathBuf,
        /// A record number both gave to records of their own.
        lsn: u64,
    },
    /// Options that contradict each other.
    #[error("journal options: {0}")]
    Options(&'static str),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(file: &Path, offset: u64, lsn: u64, what: &'static str) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, lsn, what }
    }
}
