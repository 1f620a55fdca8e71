//! Reads the journal of charts from end to end and compares it with the index (`khoanh verify`).

use super::{Charts, journal};
use crate::error::OpenError;
use index::charts::ChartEntry;
use model::Lsn;
use model::chart::ChartKey;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use store::Replayed;

/// Rows of the index read at once.
const PAGE: usize = 200;

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
    /// Every record is read and opened; the index has each row that a record made last as the record says, and no others.
    ///
    /// # Errors
    /// When the journal cannot be walked, or the index does not answer.
    pub(crate) fn verify(&self, stop: &AtomicBool) -> Result<Verified, OpenError> {
        let mut walk =
            Walk { charts: self, verified: Verified::default(), missing: BTreeMap::new(), is_partial: false };
        let begun = self.view.applied();
        let mut next = 1;
        // Once more for what came meanwhile: a row may be gone by it.
        for _ in 0..2 {
            let from = next;
            self.journal.replay(from, &mut |replayed: Replayed<'_>| {
                next = replayed.lsn.saturating_add(1);
                walk.take(&replayed, stop)
            })?;
        }
        let Walk { mut verified, missing, is_partial, .. } = walk;
        if verified.interrupted {
            return Ok(verified);
        }
        for (key, lsn) in missing {
            if self.view.row(&key)?.is_none() {
                verified.damage.push(named(&key, lsn, "in the journal, and the index does not know it"));
            }
        }
        let rows = self.count()?;
        if !is_partial && self.view.applied() == begun && rows > verified.rows {
            let what = format!("the index of charts has {rows} rows, the journal of charts {}", verified.rows);
            verified.damage.push(what);
        }
        Ok(verified)
    }

    fn count(&self) -> Result<u64, OpenError> {
        let (mut count, mut after) = (0u64, None);
        loop {
            let rows = self.view.rows(after.as_ref(), PAGE)?;
            let Some(last) = rows.last() else { return Ok(count) };
            count = count.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            after = Some(last.key.clone());
        }
    }
}

/// The walk through the journal.
struct Walk<'a> {
    charts: &'a Charts,
    verified: Verified,
    /// Rows that the index does not have, and the records that made them.
    missing: BTreeMap<ChartKey, Lsn>,
    /// Rows were passed over whose key is destroyed: the index may still have them.
    is_partial: bool,
}

impl Walk<'_> {
    fn take(&mut self, replayed: &Replayed<'_>, stop: &AtomicBool) -> Result<(), OpenError> {
        let (charts, verified, lsn) = (self.charts, &mut self.verified, replayed.lsn);
        if verified.interrupted || stop.load(Ordering::Relaxed) {
            verified.interrupted = true;
            return Ok(());
        }
        // Before the index is asked: what is applied later may be in the journal only.
        let applied = charts.view.applied();
        let read = match journal::read(&charts.journal, &charts.keys, replayed) {
            Ok(read) => read,
            // Released meanwhile: what stands of it was recorded again and is met there.
            Err(_) if !charts.journal.segments().iter().any(|segment| segment.first_lsn <= lsn) => return Ok(()),
            Err(error) => {
                verified.damage.push(format!("record {lsn} of the journal of charts: {error}"));
                return Ok(());
            }
        };
        self.is_partial |= read.is_partial;
        for entry in read.entries {
            let row = match entry {
                ChartEntry::Put(row) => row,
                ChartEntry::Gone(key) => {
                    self.missing.remove(&key);
                    continue;
                }
            };
            match charts.view.row(&row.key)? {
                Some(now) if now.lsn == lsn => {
                    verified.rows = verified.rows.saturating_add(1);
                    if *row != now {
                        verified.damage.push(named(&row.key, lsn, "otherwise in the index than in the journal"));
                    }
                }
                Some(now) if now.lsn < lsn && lsn <= applied => {
                    verified.damage.push(named(&row.key, lsn, "older in the index than in the journal"));
                }
                None if lsn <= applied => {
                    self.missing.insert(row.key, lsn);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A row without what may be a patient's number.
fn named(key: &ChartKey, lsn: Lsn, what: &str) -> String {
    format!("a {:?} of facility {}, record {lsn} of the journal of charts: {what}", key.kind, key.facility)
}
