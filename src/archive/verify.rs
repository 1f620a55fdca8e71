//! Re-reads every stored object and compares its digests (`khoanh verify`), and asks the index for every object of the
//! journal: what it does not know, or knows otherwise, nobody finds.
//!
//! It changes nothing; an index that disagrees is made anew by `khoanh rebuild-index`.

use crate::error::OpenError;
use crate::facts::parse;
use crate::open::Archive;
use index::{InstanceRow, PackRow};
use model::retention::StudyRef;
use model::retention::moved::standing;
use model::{Fact, InstanceHead, Lsn, Place, SamenessHasher, Uid};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Replayed, SegmentInfo};

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
    /// Rows of charts read.
    pub charts: u64,
    /// Objects whose bytes do not match their digests or cannot be read, and those of the journal that the index does
    /// not know, or knows with other digests or in another place.
    pub damaged: u64,
    /// The first of them: SOP Instance UID, facility and what is wrong.
    pub named: Vec<String>,
    /// That the ledger is an older copy, or that this cannot be told.
    pub ledger: Option<String>,
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
    /// Verifies everything: every pack from end to end, every object that is still read from the journal, and that the
    /// index knows every object of the journal with its digests.
    /// `progress` hears the report so far, `stop` ends it early.
    ///
    /// # Errors
    /// When the journal cannot be walked or the index does not answer; damaged objects are in the report.
    pub fn verify(&self, stop: &AtomicBool, progress: &mut dyn FnMut(&Report)) -> Result<Report, OpenError> {
        let ledger = self.keeper().and_then(|keeper| keeper.remark());
        let mut report = Report { ledger, ..Report::default() };
        // The journal first: what moves into a pack meanwhile is met there, and seldom twice.
        self.verify_journal(stop, &mut report, progress)?;
        self.verify_charts(stop, &mut report)?;
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

    fn verify_charts(&self, stop: &AtomicBool, report: &mut Report) -> Result<(), OpenError> {
        let verified = self.charts().verify(stop)?;
        report.charts = verified.rows;
        report.interrupted |= verified.interrupted;
        verified.damage.into_iter().for_each(|what| report.damage(1, what));
        Ok(())
    }

    /// Every object that is read from the journal. What is copied forward while the records are walked lies behind the
    /// newest of them and may have been met nowhere: the walk goes on from there, until nothing was copied forward.
    fn verify_journal(
        &self,
        stop: &AtomicBool,
        report: &mut Report,
        progress: &mut dyn FnMut(&Report),
    ) -> Result<(), OpenError> {
        let mut from = 1;
        loop {
            let (before, end) = (self.journal().segments(), self.journal().last().saturating_add(1));
            let mut moved = false;
            self.journal().replay_until(from, end, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
                if stop.load(Ordering::Relaxed) {
                    report.interrupted = true;
                    return Ok(());
                }
                if let (_, Fact::Instance(head)) = parse(replayed.lsn, replayed.head)?.own(0) {
                    moved |= self.verify_recorded(replayed.lsn, &head, &replayed.place, report)?;
                    progress(report);
                }
                Ok(())
            })?;
            let now = self.journal().segments();
            let is_held = |was: &SegmentInfo| {
                now.iter().any(|known| (known.number, known.generation) == (was.number, was.generation))
            };
            if report.interrupted || (!moved && before.iter().all(is_held)) {
                return Ok(());
            }
            from = end;
        }
    }

    /// A record of the journal: the index knows its object, and the bytes hold if they are still read from there.
    /// Whether the object is read from another record.
    fn verify_recorded(
        &self,
        lsn: Lsn,
        head: &InstanceHead,
        place: &Place,
        report: &mut Report,
    ) -> Result<bool, OpenError> {
        // Before the index is asked: what is applied later may be in the journal only.
        let applied = self.index().applied();
        let named = || format!("{} of facility {}", head.sop_instance, head.facility);
        let Some(row) = self.row_of(head)? else {
            if lsn <= applied && !self.is_destroyed(head)? {
                report.damage(1, format!("{}: in the journal, and the index does not know it", named()));
            }
            return Ok(false);
        };
        let moved = if row.key.study.study == head.study { None } else { self.stood_in(&row)? };
        if let Some(what) = disagreement(&row, head, moved.as_ref().unwrap_or(&row.key.study.study)) {
            report.damage(1, format!("{}: {what} in the index than in the journal", named()));
        }
        if self.lives_at(head, place)?.is_none() {
            return self.verify_moved(head, report);
        }
        report.instances += 1;
        report.bytes += head.file_len;
        if let Err(what) = self.check(head, place) {
            // Released meanwhile: the pack it went to is looked at later.
            if self.lives_at(head, place)?.is_some() {
                report.damage(1, format!("{}: {what}", named()));
            }
        }
        Ok(false)
    }

    fn row_of(&self, head: &InstanceHead) -> Result<Option<InstanceRow>, OpenError> {
        let rows = self.index().instance(&head.sop_instance)?;
        Ok(rows.into_iter().find(|row| row.seq == head.seq && row.key.study.facility == head.facility))
    }

    /// The study that an object was received in, where it stands in another one.
    fn stood_in(&self, row: &InstanceRow) -> Result<Option<Uid>, OpenError> {
        let here = StudyRef::from(&row.key.study);
        let facts = self.index().retention_of(&row.key.study)?;
        let moved = standing(&here, facts.iter().map(|(_, fact)| fact)).into_iter();
        let mut here = moved.filter(|one| one.to == here && one.series == row.key.series);
        Ok(here.next().map(|one| one.study.study))
    }

    /// An object that is read from elsewhere: where the index names another record, that record must be its own.
    /// Whether it does name one.
    fn verify_moved(&self, head: &InstanceHead, report: &mut Report) -> Result<bool, OpenError> {
        let row = self.row_of(head)?;
        let Some(now) = row.as_ref().and_then(|row| row.home.journal()) else { return Ok(false) };
        let there = self.journal().read_head(now).map_err(OpenError::from).and_then(|head| parse(0, &head));
        let own = there.is_ok_and(|fact| matches!(fact.own(0), (_, Fact::Instance(there)) if there.seq == head.seq));
        // Moved on meanwhile, it is met where it went.
        if !own && self.row_of(head)?.is_some_and(|later| later.home.journal() == Some(now)) {
            let what = format!("{} of facility {}", head.sop_instance, head.facility);
            report.damage(1, format!("{what}: the index names a record of the journal that is not its own"));
        }
        Ok(true)
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
        let mut hasher = SamenessHasher::new(head.digest.kind(), &head.transfer_syntax);
        let mut at = meta_len;
        while at < head.file_len {
            let end = head.file_len.min(at + STEP);
            hasher.update(&self.journal().read(place, at..end).map_err(|error| error.to_string())?);
            at = end;
        }
        if hasher.finish() == head.digest { Ok(()) } else { Err("the data set differs from its digest".into()) }
    }
}

/// What the index says otherwise of an object than its record.
fn disagreement(row: &InstanceRow, head: &InstanceHead, study: &Uid) -> Option<&'static str> {
    if row.digest != head.digest || row.meta_digest != head.meta_digest {
        return Some("another digest");
    }
    if row.file_len != head.file_len || row.meta_len != head.meta_len {
        return Some("another length");
    }
    let same = row.key.series == head.series && *study == head.study;
    (!same).then_some("another study or series")
}
