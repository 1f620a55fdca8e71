//! Facts that outlive their segment: a second journal beside the first, of facts alone (docs/adr/0002).
//!
//! Segments of the journal are released oldest first, and what counts of them is kept here in that order, each fact
//! with the number it was recorded under. So everything here is older than what the journal still holds, and reading
//! first this and then the journal gives every fact in the order it became true.
//! Deliberately not here: which facts count ([`crate::segments`]).

use crate::error::OpenError;
use crate::options::Options;
use model::{Fact, InstanceHead, Lsn};
use std::sync::Arc;
use store::journal::Image;
use store::{Alarm, Body, Journal, JournalOptions, RealDisk, Record, Replayed};

/// Size of a segment of facts in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Free space this journal leaves: far less than the other, so that its space can be released on a full disk.
const RESERVE_BYTES: u64 = 64 << 20;
/// Facts appended at once.
const BATCH: usize = 1_000;

/// The facts kept.
pub(crate) struct Facts(Journal);

impl Facts {
    /// Opens what is kept beside the journal directories.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        let dirs = options.journal_dirs().into_iter().map(|dir| dir.join("facts")).collect();
        let journal = JournalOptions {
            segment_bytes: SEGMENT_BYTES,
            blob_above: SEGMENT_BYTES / 2,
            reserve_bytes: RESERVE_BYTES.min(options.reserve_bytes),
            spare_segments: 0,
            ..JournalOptions::new(dirs)
        };
        let (journal, _) = Journal::open(Arc::new(RealDisk), journal)?;
        Ok(Self(journal))
    }

    /// Whether nothing was ever kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.last() == 0
    }

    /// Keeps facts durably, each with its own number, in order.
    pub(crate) fn keep(&self, facts: Vec<(Lsn, Fact)>) -> Result<(), OpenError> {
        let mut facts = facts.into_iter().peekable();
        while facts.peek().is_some() {
            let mut records = Vec::with_capacity(BATCH);
            for (lsn, fact) in facts.by_ref().take(BATCH) {
                let kept = Fact::Forwarded { lsn, was: Box::new(fact) };
                let head = serde_json::to_vec(&kept).map_err(|e| OpenError::Fact { lsn, what: e.to_string() })?;
                records.push(Record { head, body: Body::None });
            }
            self.0.append(&records)?;
        }
        self.0.sync()?;
        // Spares the next start from moving the last batch.
        self.0.mark()?;
        Ok(())
    }

    /// Gives every fact kept, with its own number, in order.
    pub(crate) fn replay(&self, each: &mut dyn FnMut(Lsn, Fact) -> Result<(), OpenError>) -> Result<(), OpenError> {
        self.0.replay(1, &mut |replayed: Replayed<'_>| {
            let fact = parse(replayed.lsn, replayed.head)?;
            match fact {
                Fact::Forwarded { lsn, was } => each(lsn, *was),
                _ => Err(OpenError::Fact { lsn: replayed.lsn, what: "a kept fact has no number of its own".into() }),
            }
        })
    }

    /// Directories that failed while the other one goes on.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.0.alarms()
    }

    /// What a copy of it consists of.
    pub(crate) fn image(&self) -> Result<Image<'_>, OpenError> {
        Ok(self.0.image()?)
    }

    /// Ends with nothing left to move at the next start.
    pub(crate) fn close(&self) -> Result<(), OpenError> {
        self.0.sync()?;
        self.0.mark()?;
        self.0.sync()?;
        Ok(())
    }
}

/// How the head of an instance's record begins.
const INSTANCE: &[u8] = b"{\"fact\":\"instance\",";

/// Whether a record is that of an instance, told by how its head begins.
pub(crate) fn is_instance(head: &[u8]) -> bool {
    head.starts_with(INSTANCE)
}

/// Reads the fact of a record.
pub(crate) fn parse(lsn: Lsn, head: &[u8]) -> Result<Fact, OpenError> {
    let unread = |error: serde_json::Error| OpenError::Fact { lsn, what: error.to_string() };
    if is_instance(head) {
        // Most records are instances. Read as what they are, without looking for the tag, they cost a third.
        return Ok(Fact::Instance(Box::new(serde_json::from_slice::<InstanceHead>(head).map_err(unread)?)));
    }
    serde_json::from_slice(head).map_err(unread)
}
