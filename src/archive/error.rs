//! What a caller of the archive can do about a failure. No variant's text holds patient data.

use store::StoreError;
use store::cold::ColdFault;

/// When whoever waits for a restore may ask again: restores take minutes at best.
const RESTORE_SECONDS: u32 = 300;

/// An object was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The bytes cannot be framed or exceed a named bound: the sender must mend the object.
    #[error("cannot understand the object: {what}")]
    CannotUnderstand {
        /// What and where.
        what: String,
    },
    /// No usable SOP, study or series identity.
    #[error("the object cannot be identified: {what}")]
    MissingIdentity {
        /// Which attribute and why.
        what: String,
    },
    /// The request names another object than the bytes hold.
    #[error("the object is not what was announced: {what}")]
    Mismatch {
        /// Expected and found.
        what: String,
    },
    /// Too little free space; the same object can be sent again later.
    #[error("out of space: free some or add a disk, then send again")]
    OutOfSpace,
    /// A named limit is reached; send again later.
    #[error("busy: a limit of the archive is reached, send again later")]
    Busy,
    /// The archive does not take objects now.
    #[error("not available: {what}")]
    Unavailable {
        /// Why.
        what: String,
    },
    /// The caller may not store here.
    #[error("not allowed to store for this facility")]
    Forbidden,
}

impl From<store::StoreError> for IngestError {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::Full { .. } => Self::OutOfSpace,
            other => Self::Unavailable { what: other.to_string() },
        }
    }
}

/// A question could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The index does not answer.
    #[error("the index does not answer: {what}")]
    Unavailable {
        /// Why.
        what: String,
    },
    /// The question itself is wrong.
    #[error("bad query: {what}")]
    BadQuery {
        /// What and how to mend it.
        what: String,
    },
}

impl From<index::IndexError> for FindError {
    fn from(error: index::IndexError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

/// Bytes could not be brought.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetrieveError {
    /// Nothing there that the caller may see.
    #[error("nothing found under these UIDs that this caller may see")]
    NotFound,
    /// The stored bytes fail their checksum.
    #[error("stored bytes are damaged: {what}")]
    Damaged {
        /// Where.
        what: String,
    },
    /// The disk or the index does not answer.
    #[error("not available: {what}")]
    Unavailable {
        /// Why.
        what: String,
    },
    /// It lies in an archive class and is on its way out of it.
    #[error("in an archive class of the cloud; it is being restored, ask again in {after} seconds")]
    Restoring {
        /// Seconds until asking again makes sense.
        after: u32,
    },
}

/// Why a frame is not decoded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// Its bytes cannot be had.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// There is nothing to decode.
    #[error("{what}")]
    NoPixels {
        /// Why.
        what: &'static str,
    },
    /// There is no frame of this number.
    #[error("the instance has {frames} frames, there is no frame {}", u64::from(*number) + 1)]
    NoFrame {
        /// From 0.
        number: u32,
        /// How many there are.
        frames: u32,
    },
    /// The decoder refused it, or died over it.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

impl RetrieveError {
    pub(crate) const fn restoring() -> Self {
        Self::Restoring { after: RESTORE_SECONDS }
    }
}

impl From<IngestError> for RetrieveError {
    fn from(error: IngestError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<index::IndexError> for RetrieveError {
    fn from(error: index::IndexError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<store::StoreError> for RetrieveError {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::Corrupt { .. } => Self::Damaged { what: error.to_string() },
            store::StoreError::Cold { fault: ColdFault::Archived, .. } => Self::restoring(),
            other => Self::Unavailable { what: other.to_string() },
        }
    }
}

impl From<store::pack::PackError> for RetrieveError {
    fn from(error: store::pack::PackError) -> Self {
        use store::pack::PackError;
        let reason = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let what = format!("{error}{reason}");
        match &error {
            PackError::Read(source) if source.kind() != std::io::ErrorKind::InvalidData => {
                match StoreError::within(source).and_then(StoreError::cold_fault) {
                    Some(ColdFault::Archived) => Self::restoring(),
                    _ => Self::Unavailable { what },
                }
            }
            PackError::Write(_) | PackError::Broken => Self::Unavailable { what },
            _ => Self::Damaged { what },
        }
    }
}

/// A change to the registry was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The entry contradicts itself or the registry.
    #[error("{what}")]
    Invalid {
        /// What and how to mend it.
        what: String,
    },
    /// The caller is no administrator of that facility.
    #[error("not allowed to change the registry")]
    Forbidden,
    /// The change could not be made durable.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// The archive could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Journal or data directory.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Index.
    #[error(transparent)]
    Index(#[from] index::IndexError),
    /// A journal record that is no fact of this program's.
    #[error("journal record {lsn} is not understood: {what}; was it written by a newer version?")]
    Fact {
        /// Number of the record.
        lsn: model::Lsn,
        /// What the parser said.
        what: String,
    },
    /// The index has applied records that the journal does not hold.
    #[error(
        "the journal ends at record {last}, the index knows record {applied}: journal files are missing. \
         Bring back the missing directory or segment; only if it is lost for good, run rebuild-index, \
         which keeps what the journal still holds"
    )]
    JournalBehind {
        /// Newest record in the index.
        applied: model::Lsn,
        /// Newest record in the journal.
        last: model::Lsn,
    },
    /// The ledger has entries of records that the journal does not hold.
    #[error(
        "the journal ends at record {last}, the ledger knows record {entered}: journal files are missing. \
         Bring back the missing directory or segment; only if it is lost for good, set the ledger's directory and \
         key aside and keep them, what they prove stays proven, and start a new ledger with a new key"
    )]
    LedgerAhead {
        /// Newest record in the ledger.
        entered: model::Lsn,
        /// Newest record in the journal.
        last: model::Lsn,
    },
    /// A thread could not be started, or died.
    #[error("{what}")]
    Thread {
        /// Which one.
        what: String,
    },
}

/// A pack could not be moved between tiers.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    /// A volume, the bucket or the keys; [`store::cold::ColdFault::passes`] says where waiting may help.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] index::IndexError),
    /// The fact could not be recorded; nothing that follows it was done.
    #[error("not recorded: {0}")]
    Record(#[from] IngestError),
    /// It cannot be done in this state.
    #[error("{what}")]
    Refused {
        /// Why, and what to do.
        what: String,
    },
}

impl TierError {
    /// Whether the object lies in an archive class and has to be restored first.
    pub(crate) const fn is_archived(&self) -> bool {
        matches!(self, Self::Store(StoreError::Cold { fault: ColdFault::Archived, .. }))
    }
}
