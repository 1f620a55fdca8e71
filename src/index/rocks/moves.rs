//! Series that stand in another study than they were received in.
//!
//! The ordinal of a series stays, and with it everything that is stored under it; what changes is under which study the
//! row of the series lies, what names that study, and what both studies count. What a study is called comes from the
//! instances received in it, wherever they stand now, so that rows do not depend on what came first.
//! Deliberately not here: whether a move is allowed.

use super::apply::Applier;
use super::beyond::patient_key;
use super::cells::{SeriesCell, StudyCell};
use super::lists::{PatientEntry, SeriesEntry};
use super::prepared;
use super::read::{Reader, handle};
use super::tables::{Table, UidKind, pair, uid_key, unpair};
use crate::retention::begins_with;
use crate::row::{InstanceRow, KnownPatient, LISTED, PackRow, SeriesKey, SeriesRow, StudyKey, classes, modalities};
use crate::{IndexError, encode};
use model::retention::{Made, Moved, Tombstone};
use model::{Lsn, Uid};
use rocksdb::DB;
use std::collections::{BTreeMap, BTreeSet};

impl Applier {
    /// Puts series under another study. Rows are read as they are stored: the fact is a batch of its own.
    pub(super) fn move_series(&mut self, db: &DB, lsn: Lsn, moved: &Moved) -> Result<(), IndexError> {
        let [home, from, to] = [&moved.study, &moved.from, &moved.to].map(StudyKey::from);
        let mut target = None;
        if !self.is_buried(db, &to, |buried| lsn < buried.lsn)? {
            target = self.ordinal(db, &to)?;
            if let (None, Some(made)) = (target, &moved.made) {
                target = Some(self.make_study(db, &to, made)?);
            }
        }
        let mut touched: BTreeSet<u64> = target.into_iter().collect();
        if !self.is_buried(db, &from, |buried| lsn < buried.lsn)? {
            touched.extend(self.ordinal(db, &from)?);
        }
        for study in &touched {
            self.load_study(db, *study)?;
            if let Some(cell) = self.studies.get_mut(study) {
                cell.row.version_fact = cell.row.version_fact.max(lsn);
                cell.dirty = true;
            }
        }
        if !self.is_buried(db, &home, |buried| lsn < buried.lsn)? {
            for series in &moved.series {
                let received = SeriesKey { study: home.clone(), series: series.clone() };
                touched.extend(self.move_one(db, lsn, &received, target.map(|ordinal| (&to, ordinal)))?);
            }
        }
        touched.into_iter().try_for_each(|study| self.recount(db, study, &BTreeSet::new()))
    }

    /// The studies that series were taken out of are others than before, also where that is met again.
    pub(super) fn note_taken(&mut self, db: &DB, lsn: Lsn, tombstone: &Tombstone) -> Result<(), IndexError> {
        for taken in &tombstone.taken {
            let from = StudyKey::from(&taken.from);
            if self.is_buried(db, &from, |buried| lsn < buried.lsn)? {
                continue;
            }
            let Some(study) = self.ordinal(db, &from)? else { continue };
            self.load_study(db, study)?;
            if let Some(cell) = self.studies.get_mut(&study) {
                cell.row.version_fact = cell.row.version_fact.max(lsn);
                cell.dirty = true;
            }
        }
        Ok(())
    }

    /// Removes the series that go with the study they were received in, out of those they stand in.
    pub(super) fn take(&mut self, db: &DB, lsn: Lsn, home: &StudyKey, tombstone: &Tombstone) -> Result<(), IndexError> {
        let mut left: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for taken in &tombstone.taken {
            let stands = SeriesKey { study: StudyKey::from(&taken.from), series: taken.series.clone() };
            let received = SeriesKey { study: home.clone(), series: taken.series.clone() };
            let wanted = |entry: &SeriesEntry| entry.was_received(&received) && entry.stands(&stands);
            let Some((_, entry)) = self.find_series(db, &received, wanted)? else { continue };
            let (study, series) = (entry.study, entry.series);
            if series == 0 {
                continue;
            }
            self.load_series(db, study, series)?;
            let Some(cell) = self.series.remove(&series) else { continue };
            self.note_gone(db, lsn, Table::Series, &pair(study, series))?;
            self.remove_series(db, lsn, (study, series), cell.row)?;
            left.entry(study).or_default().insert(series);
        }
        left.into_iter().try_for_each(|(study, gone)| self.recount(db, study, &gone))
    }

    /// The ordinals of the study and series that a fact names, as it was received or as it stands.
    pub(super) fn named(&mut self, db: &DB, key: &SeriesKey) -> Result<Option<(u64, u64)>, IndexError> {
        let entry = self.find_series(db, key, |entry| entry.is(key) && entry.series != 0)?;
        Ok(entry.map(|(_, entry)| (entry.study, entry.series)))
    }

    /// Those of the series of a UID that has any of some instances, whatever study it was in when a fact named it.
    pub(super) fn holder(&mut self, db: &DB, key: &SeriesKey, seqs: &[u64]) -> Result<Option<(u64, u64)>, IndexError> {
        let listed = uid_key(UidKind::Series, &key.series, key.study.facility);
        let list = self.series_lists.load(db, &listed)?;
        let mut all: Vec<(u64, u64)> = list.iter().map(|entry| (entry.study, entry.series)).collect();
        all.extend(self.series_beside(db, &listed)?);
        for (study, series) in all.into_iter().filter(|(_, series)| *series != 0) {
            for seq in seqs {
                // What came in this very batch is not stored yet.
                if self.copies.has(series, *seq) || self.row_of(db, key, series, *seq)?.is_some() {
                    return Ok(Some((study, series)));
                }
            }
        }
        Ok(None)
    }

    /// A study that begins with the series moved into it; gives its ordinal.
    fn make_study(&mut self, db: &DB, key: &StudyKey, made: &Made) -> Result<u64, IndexError> {
        let place = patient_key(&key.study, key.facility, key.patient);
        let list = self.patients.load(db, &place)?;
        match list.iter_mut().find(|entry| entry.known.rank == key.patient) {
            Some(entry) => entry.study = made.seq,
            None => {
                let known = KnownPatient::nobody(key.patient);
                list.push(PatientEntry { known: known.clone(), study: made.seq });
                if key.patient >= LISTED {
                    let listed = uid_key(UidKind::Study, &key.study, key.facility);
                    self.name_patient(db, &listed, None, &known)?;
                }
            }
        }
        self.patients.touch(place);
        let mut cell = StudyCell::new(key.clone(), made.seq);
        cell.row.attributes = begins_with(made);
        self.studies.insert(made.seq, cell);
        self.counts.facility(db, key.facility)?.studies += 1;
        Ok(made.seq)
    }

    /// Puts a series under a study, if there is one; gives the study it leaves.
    fn move_one(
        &mut self,
        db: &DB,
        lsn: Lsn,
        received: &SeriesKey,
        to: Option<(&StudyKey, u64)>,
    ) -> Result<Option<u64>, IndexError> {
        let moves = |entry: &SeriesEntry| entry.was_received(received) && entry.series != 0;
        let Some((place, before)) = self.find_series(db, received, moves)? else { return Ok(None) };
        let (left, series) = (before.study, before.series);
        if let Some((study, ordinal)) = to {
            let placed = (*study != received.study).then(|| (study.study.clone(), study.patient));
            self.note_place(db, lsn, &place, received, [before.placed.as_ref(), placed.as_ref()])?;
            if let Some(entry) = self.series_lists.load(db, &place)?.iter_mut().find(|entry| moves(entry)) {
                (entry.study, entry.placed) = (ordinal, placed);
            }
            self.series_lists.touch(place);
        }
        self.load_series(db, left, series)?;
        let Some(cell) = self.series.remove(&series) else { return Ok(None) };
        prepared::forget(db, series, &mut self.batch)?;
        let before = cell.row.key.clone();
        let mut row = SeriesRow { version_fact: cell.row.version_fact.max(lsn), ..cell.row.clone() };
        let Some((study, ordinal)) = to.filter(|(_, ordinal)| *ordinal != left) else {
            self.series.insert(series, SeriesCell::changed(left, row, cell.waits()));
            return Ok(Some(left));
        };
        row.key.study = study.clone();
        self.batch.delete_cf(handle(db, Table::Series)?, pair(left, series));
        self.note_gone(db, lsn, Table::Series, &pair(left, series))?;
        if let Some(waits) = cell.waits() {
            self.batch.delete_cf(handle(db, Table::Pending)?, waits.key(series));
        }
        let reader = Reader::new(db);
        let mut instances = reader.in_series(&before, series, 0)?;
        while let Some(InstanceRow { sop_instance, seq, .. }) = instances.row()? {
            let listed = uid_key(UidKind::Instance, &sop_instance, before.study.facility);
            self.copies.stand(db, listed, seq, ordinal)?;
        }
        for pack in reader.packs_of(series)? {
            self.put_pack(db, series, &PackRow { series: row.key.clone(), ..pack })?;
        }
        self.series.insert(series, SeriesCell::changed(ordinal, row, None));
        Ok(Some(left))
    }

    /// Counts anew what stands in a study, without the series that go now.
    fn recount(&mut self, db: &DB, study: u64, gone: &BTreeSet<u64>) -> Result<(), IndexError> {
        self.load_study(db, study)?;
        let Some(key) = self.studies.get(&study).map(|cell| cell.row.key.clone()) else { return Ok(()) };
        let reader = Reader::new(db);
        let stored = reader.prefix(Table::Series, &study.to_be_bytes())?.collect(usize::MAX, |stored, value| {
            Ok((unpair(Table::Series, stored)?.1, encode::series(&key, value)?))
        })?;
        let mut rows: BTreeMap<u64, SeriesRow> = stored.into_iter().collect();
        // What this fact moves is not stored yet.
        rows.retain(|series, _| !self.series.contains_key(series) && !gone.contains(series));
        let held = self.series.iter().filter(|(_, cell)| cell.study() == study);
        rows.extend(held.map(|(series, cell)| (*series, cell.row.clone())));
        let mut shown: BTreeSet<Uid> = BTreeSet::new();
        for (series, row) in rows.iter().filter(|(_, row)| row.instances > row.rejected) {
            let mut instances = reader.in_series(&row.key, *series, 0)?;
            while let Some(instance) = instances.row()? {
                if instance.rejected.is_none() {
                    classes::take(&mut shown, &instance.sop_class);
                }
            }
        }
        if let Some(cell) = self.studies.get_mut(&study) {
            cell.remember_keys();
            cell.row.sop_classes = shown;
            count(&mut cell.row, rows.values());
            cell.dirty = true;
        }
        Ok(())
    }
}

/// What a study counts of its series.
fn count<'a>(study: &mut crate::StudyRow, all: impl Iterator<Item = &'a SeriesRow>) {
    (study.series, study.busy_series, study.instances, study.bytes) = (0, 0, 0, 0);
    (study.rejected, study.unfit, study.empty_series) = (0, 0, 0);
    (study.last_seq, study.last_received) = (study.first_seq, 0);
    study.modalities.clear();
    for row in all {
        study.series += 1;
        study.busy_series += u64::from(row.is_busy());
        study.instances += row.instances;
        study.bytes += row.bytes;
        study.rejected += row.rejected;
        study.unfit += row.unfit;
        study.empty_series += u64::from(row.served() == 0);
        study.last_seq = study.last_seq.max(row.last_seq);
        study.last_received = study.last_received.max(row.last_received);
        if let Some(modality) = modalities::shown(&row.attributes).filter(|_| row.served() > 0) {
            modalities::take(&mut study.modalities, modality);
        }
    }
}
