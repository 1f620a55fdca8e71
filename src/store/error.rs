//! What can go wrong at rest, shaped by what a caller does about it.
//!
//! Texts name files, offsets and record numbers, never contents.

use crate::PackId;
use crate::cold::ColdFault;
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
    /// A write or a sync of the ledger failed. What lies beyond its newest head is unknown: open it again.
    #[error("the ledger is closed after a failed write or sync; open it again")]
    LedgerClosed,
    /// The ledger has another key than the one given to sign with.
    #[error("the ledger in {dir} has the key {log}, not {signer} (SHA-256 of the public key)")]
    WrongKey {
        /// The ledger's directory.
        dir: PathBuf,
        /// The key the ledger was signed with so far.
        log: String,
        /// The key that was given.
        signer: String,
    },
    /// An entry the ledger does not take.
    #[error("ledger entry {sequence}: {what}")]
    Entry {
        /// Its sequence number.
        sequence: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something the signed part of the ledger does not have.
    #[error("the ledger has no {what} {asked} (of {size})")]
    NotInLedger {
        /// What was asked for.
        what: &'static str,
        /// Its number.
        asked: u64,
        /// Entries of the signed part.
        size: u64,
    },
    /// The key that signs the ledger cannot be used.
    #[error("the ledger's key {place}: {what}")]
    Signer {
        /// Where the key lies.
        place: String,
        /// Why it cannot be used.
        what: String,
    },
    /// A directory that cannot be a hot volume, or not now.
    #[error("hot volume {dir}: {what}")]
    Volume {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No hot volume has room for a pack.
    #[error("no hot volume has room: {needed} bytes needed with the reserve, {free} bytes free on the emptiest")]
    NoVolume {
        /// Bytes that would have to be free.
        needed: u64,
        /// Bytes free on the volume with the most room.
        free: u64,
    },
    /// No hot volume at hand holds the pack.
    #[error("{name} lies on no hot volume at hand; {gone} volumes are gone")]
    NotHot {
        /// Name of its file.
        name: String,
        /// Volumes that could not be asked.
        gone: usize,
    },
    /// What was written reads back differently: the copy does not count.
    #[error("{path} reads back differently from what was written")]
    ReadBack {
        /// The file.
        path: PathBuf,
    },
    /// An envelope that cannot be made or opened.
    #[error("the envelope: {what}")]
    Envelope {
        /// What does not hold.
        what: &'static str,
    },
    /// The pack has a key already.
    #[error("pack {pack} has a key already")]
    KeyExists {
        /// The pack.
        pack: PackId,
    },
    /// The pack never had a key.
    #[error("pack {pack} has no key")]
    KeyMissing {
        /// The pack.
        pack: PackId,
    },
    /// The pack's key was destroyed: nothing opens the pack any more.
    #[error("the key of pack {pack} was destroyed")]
    KeyDestroyed {
        /// The pack.
        pack: PackId,
    },
    /// The epoch key that wraps the pack's key is not at hand, or not the right one.
    #[error("the key of pack {pack} cannot be unwrapped: its epoch key is not at hand")]
    KeyClosed {
        /// The pack.
        pack: PackId,
    },
    /// A copy of the key store that must not be used as it is.
    #[error("key store in {dir}: {what}")]
    KeyCopy {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file of epoch keys that must not be used as it is.
    #[error("epoch keys in {path}: {what}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A token that cannot wrap or unwrap keys.
    #[error("epoch keys on token {token}: {what}")]
    EpochToken {
        /// Label of the token.
        token: String,
        /// Why it cannot.
        what: String,
    },
    /// Something at the cold bucket: what kind says what to do about it.
    #[error("{action} {key} in the cold bucket: {what}")]
    Cold {
        /// What to do about it.
        fault: ColdFault,
        /// What was being done.
        action: &'static str,
        /// The object.
        key: String,
        /// What the server or the network said.
        what: String,
    },
    /// The bucket cannot keep what `worm = true` promises.
    #[error("bucket {bucket} cannot keep objects against deletion; it lacks: {missing}")]
    Worm {
        /// The bucket.
        bucket: String,
        /// What it lacks.
        missing: String,
    },
    /// A pack could not be written or read.
    #[error(transparent)]
    Pack(#[from] crate::pack::PackError),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn cold(fault: ColdFault, action: &'static str, key: &str, what: &str) -> Self {
        Self::Cold { fault, action, key: key.to_owned(), what: what.to_owned() }
    }

    /// The error as the reason of an [`io::Error`], for readers that speak of those.
    pub fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Io { source, .. } => source.kind(),
            Self::NotHot { .. } | Self::Cold { fault: ColdFault::Missing, .. } => io::ErrorKind::NotFound,
            Self::Range { .. } => io::ErrorKind::UnexpectedEof,
            Self::Corrupt { .. } | Self::Envelope { .. } | Self::ReadBack { .. } => io::ErrorKind::InvalidData,
            Self::Cold { fault: ColdFault::Damaged, .. } => io::ErrorKind::InvalidData,
            Self::Cold { fault: ColdFault::Unsupported, .. } => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    /// The error inside an [`io::Error`] that [`StoreError::into_io`] made.
    pub fn within(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(crate) fn corrupt(file: &Path, offset: u64, lsn: u64, what: &'static str) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, lsn, what }
    }
}
