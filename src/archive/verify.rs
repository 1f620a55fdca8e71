//! Re-reads every stored object and compares its digests (`khoanh verify`).

use crate::error::OpenError;
use crate::facts::parse;
use crate::open::Archive;
use index::PackRow;
use model::{Fact, InstanceHead, Place};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use store::Replayed;

/// Bytes read and hashed at once.
const STEP: u64 = 1 << 20;
/// Packs asked of the index at once.
const PAGE: usize = 1_000;
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

impl Report {
    fn damage(&mut self, instances: u64, what: String) {
        self.damaged += instances;
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }
}

impl Archive {
    /// Verifies everything: every pack from end to end, and every object that is still read from the journal.
    /// `progress` hears the report so far, `stop` ends it early.
    ///
    /// # Errors
    /// When the journal cannot be walked or the index does not answer; damaged objects are in the report.
    pub fn verify(&self, stop: &AtomicBool, progress: &mut dyn FnMut(&Report)) -> Result<Report, OpenError> {
        let mut report = Report::default();
        // The journal first: what moves into a pack meanwhile is met there, and seldom twice.
        self.journal().replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            if stop.load(Ordering::Relaxed) {
                report.interrupted = true;
                return Ok(());
            }
            if let (_, Fact::Instance(head)) = parse(replayed.lsn, replayed.head)?.own(0) {
                self.verify_recorded(&head, &replayed.place, &mut report)?;
                progress(&report);
            }
            Ok(())
        })?;
        let mut after = None;
        loop {
            let rows = self.index().packs(after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(report) };
            after = Some(last.pack);
            for row in rows {
                if stop.load(Ordering::Relaxed) {
                    report.interrupted = true;
                    return Ok(report);
                }
                self.verify_pack(&row, &mut report)?;
                progress(&report);
            }
        }
    }

    /// An object in the journal, if it is still read from there.
    fn verify_recorded(&self, head: &InstanceHead, place: &Place, report: &mut Report) -> Result<(), OpenError> {
        if self.lives_at(head, place)?.is_none() {
            return Ok(());
        }
        report.instances += 1;
        report.bytes += head.file_len;
        if let Err(what) = self.check(head, place) {
            // Released meanwhile: the pack it went to is looked at later.
            if self.lives_at(head, place)?.is_some() {
                report.damage(1, format!("{} of facility {}: {what}", head.sop_instance, head.facility));
            }
        }
        Ok(())
    }

    /// A pack in every place it should lie, every byte of it.
    fn verify_pack(&self, row: &PackRow, report: &mut Report) -> Result<(), OpenError> {
        report.instances += row.instances;
        report.bytes += row.raw;
        let checked = self.packs().check(row);
        if let Err(what) = checked
            && self.index().pack(row.pack)?.is_some_and(|now| now == *row)
        {
            let series = &row.series;
            let facility = series.study.facility;
            let name = format!("pack {} of study {}, facility {facility}", row.pack, series.study.study);
            report.damage(row.instances, format!("{name}: {what}"));
        }
        Ok(())
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
