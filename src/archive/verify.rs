//! Re-reads every stored object and compares its digests (`khoanh verify`).

use crate::error::OpenError;
use crate::open::Archive;
use model::{Fact, InstanceHead, Place};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use store::Replayed;

/// Bytes read and hashed at once.
const STEP: u64 = 1 << 20;
/// Damaged objects named one by one in the report.
const NAMED_MAX: usize = 1_000;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Objects read.
    pub instances: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects whose bytes do not match their digests, or cannot be read.
    pub damaged: u64,
    /// The first of them: SOP Instance UID, facility and what is wrong.
    pub named: Vec<String>,
    /// Stopped before the end.
    pub interrupted: bool,
}

impl Archive {
    /// Verifies everything; `progress` hears the report so far, `stop` ends it early.
    ///
    /// # Errors
    /// When the journal cannot be walked at all; damaged objects are in the report.
    pub fn verify(&self, stop: &AtomicBool, progress: &mut dyn FnMut(&Report)) -> Result<Report, OpenError> {
        let mut report = Report::default();
        self.journal().replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            if stop.load(Ordering::Relaxed) {
                report.interrupted = true;
                return Ok(());
            }
            let fact: Fact = serde_json::from_slice(replayed.head)
                .map_err(|error| OpenError::Fact { lsn: replayed.lsn, what: error.to_string() })?;
            if let Fact::Instance(head) = fact {
                report.instances += 1;
                report.bytes += head.file_len;
                if let Err(what) = self.check(&head, &replayed.place) {
                    report.damaged += 1;
                    if report.named.len() < NAMED_MAX {
                        report.named.push(format!("{} of facility {}: {what}", head.sop_instance, head.facility));
                    }
                }
                progress(&report);
            }
            Ok(())
        })?;
        Ok(report)
    }

    fn check(&self, head: &InstanceHead, place: &Place) -> Result<(), String> {
        let meta_len = u64::from(head.meta_len);
        let meta = self.journal().read(place, 0..meta_len).map_err(|error| error.to_string())?;
        if Sha256::digest(&meta).as_slice() != head.meta_digest.0 {
            return Err("preamble or file meta information differs from its digest".into());
        }
        let mut hasher = Sha256::new();
        hasher.update(head.transfer_syntax.as_str().as_bytes());
        hasher.update([0]);
        let mut at = meta_len;
        while at < head.file_len {
            let end = head.file_len.min(at + STEP);
            hasher.update(self.journal().read(place, at..end).map_err(|error| error.to_string())?);
            at = end;
        }
        if hasher.finalize().as_slice() == head.digest.0 {
            Ok(())
        } else {
            Err("the data set differs from its digest".into())
        }
    }
}
