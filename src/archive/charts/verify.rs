//! Reads the journal of charts from end to end and compares it with the index (`khoanh verify`).

use super::{Charts, journal};
use crate::error::OpenError;
use index::charts::ChartEntry;
use model::chart::ChartRow;
use std::sync::atomic::{AtomicBool, Ordering};
use store::Replayed;

/// What a verification of charts found.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    /// Rows read that still stand.
    pub(crate) rows: u64,
    /// What is wrong, without a patient's data.
    pub(crate) damage: Vec<String>,
    /// Stopped before the end.
    pub(crate) interrupted: bool,
}

impl Charts {
    /// Every record is read and opened; the index has each row that a record made last as the record says.
    ///
    /// # Errors
    /// When the journal cannot be walked, or the index does not answer.
    pub(crate) fn verify(&self, stop: &AtomicBool) -> Result<Verified, OpenError> {
        let mut verified = Verified::default();
        self.journal.replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            if verified.interrupted || stop.load(Ordering::Relaxed) {
                verified.interrupted = true;
                return Ok(());
            }
            let lsn = replayed.lsn;
            // Before the index is asked: what is applied later may be in the journal only.
            let applied = self.view.applied();
            let read = match journal::read(&self.journal, &self.keys, &replayed) {
                Ok(read) => read,
                // Released meanwhile: what stands of it was recorded again and is met there.
                Err(_) if !self.journal.segments().iter().any(|segment| segment.first_lsn <= lsn) => return Ok(()),
                Err(error) => {
                    verified.damage.push(format!("record {lsn} of the journal of charts: {error}"));
                    return Ok(());
                }
            };
            for entry in read.entries {
                let ChartEntry::Put(row) = entry else { continue };
                match self.view.row(&row.key)? {
                    Some(now) if now.lsn == lsn => {
                        verified.rows = verified.rows.saturating_add(1);
                        if *row != now {
                            verified.damage.push(named(&row, "otherwise in the index than in the journal"));
                        }
                    }
                    Some(now) if now.lsn < lsn && lsn <= applied => {
                        verified.damage.push(named(&row, "older in the index than in the journal"));
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
        Ok(verified)
    }
}

/// A row without what may be a patient's number.
fn named(row: &ChartRow, what: &str) -> String {
    format!(
        "a {:?} of facility {}, record {} of the journal of charts: {what}",
        row.key.kind, row.key.facility, row.lsn
    )
}
