//! Whole studies at once, as a rebuild finds them: rows are made from heads and written folded, without being read.
//!
//! Nothing is looked up that cannot be there, because the index has nothing of these studies yet: only series may share
//! their UID with those of other studies.
//!
//! Deliberately not here: which studies come whole.

use super::apply::{Applier, Mark};
use super::lists::CopyEntry;
use super::read::handle;
use super::tables::{Table, UidKind, pair, uid_key};
use crate::encode::{Folded, folds};
use crate::row::{FrameSummary, InstanceRow, SeriesKey};
use crate::{IndexError, Whole};
use model::{Home, InstanceHead, PackId};
use rocksdb::DB;
use std::collections::BTreeMap;

/// What is known of the series that the last instance belonged to: the next one mostly belongs to it, too.
struct Last {
    key: SeriesKey,
    at: (u64, u64),
}

impl Applier {
    /// Takes whole studies in one atomic write. After an error nothing of them is written.
    pub(super) fn load(&mut self, db: &DB, wholes: &[Whole], before: Mark) -> Result<Mark, IndexError> {
        let mut mark = before;
        let result =
            wholes.iter().try_for_each(|whole| self.whole(db, whole, &mut mark)).and_then(|()| self.commit(db, mark));
        // Nothing of a study that came whole is looked at again soon.
        let counts = std::mem::take(&mut self.counts);
        *self = Self::default();
        if result.is_ok() {
            self.counts = counts;
        }
        result
    }

    fn whole(&mut self, db: &DB, whole: &Whole, mark: &mut Mark) -> Result<(), IndexError> {
        let mut series: BTreeMap<u64, Vec<Folded>> = BTreeMap::new();
        let mut last = None;
        for (head, pack, slot) in &whole.instances {
            if head.outcome.copy > 0 {
                return Err(IndexError::Unfit { lsn: 0, what: "a copy in conflict that lies in a pack" });
            }
            let (study, ordinal) = self.serve_next(db, head, &mut last)?;
            let key = uid_key(UidKind::Instance, &head.sop_instance, head.facility);
            self.copies.insert_first(key, CopyEntry::of(head, study, ordinal));
            self.counts.instance(db, head)?;
            if let Some(cell) = self.series.get_mut(&ordinal) {
                cell.row.packed += 1;
            }
            series.entry(ordinal).or_default().push(folded(head, (*pack, *slot)));
            mark.max_seq = mark.max_seq.max(head.seq);
        }
        let table = handle(db, Table::Folds)?;
        for (ordinal, rows) in &series {
            for (first, value) in folds(rows) {
                self.batch.put_cf(table, pair(*ordinal, first), value);
            }
        }
        for row in &whole.packs {
            if let Some((_, ordinal)) = self.named(db, &row.series)? {
                self.put_pack(db, ordinal, row)?;
            }
        }
        whole.facts.iter().try_for_each(|fact| self.settle(db, fact))
    }

    /// Takes an instance into its study and series; gives their ordinals.
    fn serve_next(&mut self, db: &DB, head: &InstanceHead, last: &mut Option<Last>) -> Result<(u64, u64), IndexError> {
        if let Some(known) = last
            && known.key.series == head.series
            && known.key.study.patient == head.outcome.patient
            && known.key.study.study == head.study
            && !self.patient(db, head, true)?.0
        {
            self.add_to(db, head, known.at, false)?;
            return Ok(known.at);
        }
        if last.as_ref().is_none_or(|known| known.key.study.study != head.study) {
            self.patients.begin(uid_key(UidKind::Study, &head.study, head.facility));
        }
        let at = self.serve(db, head)?;
        *last = Some(Last { key: crate::row::series_key(head), at });
        Ok(at)
    }
}

fn folded(head: &InstanceHead, home: (PackId, u32)) -> Folded {
    let layout = matches!(FrameSummary::of(&head.layout.frames), FrameSummary::Encapsulated { .. });
    let row = InstanceRow::of(head, Home::Pack { pack: home.0, slot: home.1 });
    Folded::new(row, home, layout.then(|| head.layout.clone()))
}
