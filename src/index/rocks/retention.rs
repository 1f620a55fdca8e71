//! The tables `retention` and `tombstones`, and what retention facts do to rows.
//!
//! A destruction removes everything the study has in any table, and the facts whose keys go with it; what it leaves is
//! where bytes may still lie, until the archive says that they are gone. The tombstone keeps facts that are applied again from bringing anything back.

use super::apply::{Applier, Mark};
use super::beyond::patient_key;
use super::cells::SeriesCell;
use super::judged::Judged;
use super::keys;
use super::lists::{CopyEntry, Listed};
use super::packs::{doomed_key, value_of};
use super::prepared;
use super::read::{Reader, conflict, get_now, handle};
use super::tables::{Table, UidKind, engine, number, pair, uid_key, unlogged, unpair};
use crate::codec::Encoder;
use crate::retention::{Buried, Chosen, RetentionChange, is_general};
use crate::row::{InstanceRow, PackRow, SeriesKey, SeriesRow, StudyKey, StudyRow, classes, modalities};
use crate::{IndexError, encode};
use model::retention::record::RejectReason;
use model::retention::{RetentionFact, StudyVersion, Tombstone};
use model::{Attributes, FacilityCode, Lsn, PackId, Uid};
use rocksdb::DB;
use std::collections::BTreeSet;

/// The key of a copy in conflict under the study it names.
pub(super) fn conflict_key(study: &StudyKey, seq: u64) -> Vec<u8> {
    [study_prefix(UidKind::Conflict, study).as_slice(), &seq.to_be_bytes()].concat()
}

pub(super) fn study_prefix(kind: UidKind, key: &StudyKey) -> Vec<u8> {
    [uid_key(kind, &key.study, key.facility).as_slice(), &key.patient.to_be_bytes()].concat()
}

pub(super) fn fact_key(lsn: Lsn) -> Vec<u8> {
    [b"L".as_slice(), &lsn.to_be_bytes()].concat()
}

/// Where the fact stands that a key opens.
fn seal_key(seal: PackId) -> Vec<u8> {
    [b"K".as_slice(), seal.as_bytes()].concat()
}

fn doomed_seal_key(seal: PackId) -> Vec<u8> {
    [b"D".as_slice(), seal.as_bytes()].concat()
}

pub(super) fn general_key(lsn: Lsn) -> Vec<u8> {
    [b"G".as_slice(), &lsn.to_be_bytes()].concat()
}

/// Where the facts about a study are listed: keys begin with `S` where those of series do in the table `uids`.
pub(super) fn facts_of(key: &StudyKey) -> Vec<u8> {
    study_prefix(UidKind::Series, key)
}

fn grave_key(facility: FacilityCode, study: &Uid) -> Vec<u8> {
    let mut key = Encoder::with_capacity(40);
    key.uid(study);
    key.raw(facility.as_bytes());
    key.bytes
}

pub(super) fn fact(bytes: &[u8]) -> Result<RetentionFact, IndexError> {
    let table = Table::Retention.name();
    serde_json::from_slice(bytes).map_err(|_| IndexError::Damaged { table, what: "a retention fact is malformed" })
}

pub(super) fn last_number(key: &[u8]) -> Result<u64, IndexError> {
    number(Table::Retention, key.last_chunk::<8>().map(<[u8; 8]>::as_slice).unwrap_or_default())
}

impl Applier {
    /// Keeps a fact and lists it under its studies; false when its key is gone.
    fn keep_fact(&mut self, db: &DB, lsn: Lsn, fact: &RetentionFact) -> Result<bool, IndexError> {
        let table = handle(db, Table::Retention)?;
        if let Some(seal) = fact.seal() {
            // A record that is met again after its key went with a study says nothing any more.
            if get_now(db, Table::Retention, &doomed_seal_key(seal), |_| Ok(()))?.is_some() {
                return Ok(false);
            }
            self.batch.put_cf(table, seal_key(seal), lsn.to_be_bytes());
        }
        let unfit = |_| IndexError::Unfit { lsn, what: "a retention fact that is no JSON" };
        self.batch.put_cf(table, fact_key(lsn), serde_json::to_vec(fact).map_err(unfit)?);
        if is_general(fact) {
            self.batch.put_cf(table, general_key(lsn), []);
        }
        for study in fact.studies() {
            let listed = [facts_of(&StudyKey::from(study)).as_slice(), &lsn.to_be_bytes()].concat();
            self.batch.put_cf(table, listed, []);
        }
        Ok(true)
    }

    /// Keeps a fact and does what it says to rows.
    pub(super) fn retention(
        &mut self,
        db: &DB,
        lsn: Lsn,
        fact: &RetentionFact,
        mark: &mut Mark,
    ) -> Result<(), IndexError> {
        let kept = self.keep_fact(db, lsn, fact)?;
        let Some(key) = fact.study().filter(|_| kept).map(StudyKey::from) else { return Ok(()) };
        if let RetentionFact::SeriesMoved(moved) = fact {
            return self.move_series(db, lsn, moved);
        }
        if let RetentionFact::StudyDestroyed(tombstone) = fact {
            mark.max_seq = mark.max_seq.max(tombstone.through());
            return self.destroy(db, lsn, &key, tombstone);
        }
        let change = RetentionChange::of(fact);
        if change == RetentionChange::None || self.is_buried(db, &key, |buried| lsn < buried.lsn)? {
            return Ok(());
        }
        let ordinal = self.ordinal(db, &key)?;
        if let RetentionChange::Reject { instances, reason } = change {
            let mut judged = Judged { shown: reason.is_none(), ..Judged::default() };
            for chosen in &instances {
                let series = SeriesKey { study: key.clone(), series: chosen.series.clone() };
                self.reject(db, (lsn, reason), ordinal, &series, chosen, &mut judged)?;
            }
            return ordinal.map_or(Ok(()), |ordinal| self.show_kinds(db, ordinal, judged));
        }
        let Some(ordinal) = ordinal else { return Ok(()) };
        self.load_study(db, ordinal)?;
        if let RetentionChange::Correct { values } = change {
            return self.correct(db, lsn, ordinal, values);
        }
        if let Some(cell) = self.studies.get_mut(&ordinal) {
            match change {
                RetentionChange::Hide { plan, through } if ordinal <= through => {
                    cell.row.hidden_by = Some(plan.to_owned());
                }
                RetentionChange::Show => cell.row.hidden_by = None,
                _ => {}
            }
            cell.dirty = true;
        }
        Ok(())
    }

    /// Gives attributes of a study other values. What it was found by before is noted, for it names the patient too and
    /// has to go from the files with the study.
    fn correct(&mut self, db: &DB, lsn: Lsn, ordinal: u64, values: &Attributes) -> Result<(), IndexError> {
        let before = self.studies.get(&ordinal).map(|cell| keys::emit(&cell.row)).unwrap_or_default();
        for (key, _) in before {
            self.note_gone(db, lsn, Table::Keys, &key)?;
        }
        if let Some(cell) = self.studies.get_mut(&ordinal) {
            cell.remember_keys();
            cell.row.correct(values);
            cell.row.version_fact = cell.row.version_fact.max(lsn);
            cell.dirty = true;
        }
        Ok(())
    }

    pub(super) fn ordinal(&mut self, db: &DB, key: &StudyKey) -> Result<Option<u64>, IndexError> {
        let list = self.patients.load(db, &patient_key(&key.study, key.facility, key.patient))?;
        let found = list.iter().find(|entry| entry.known.rank == key.patient && entry.study != 0);
        Ok(found.map(|entry| entry.study))
    }

    /// Whether something of a study was destroyed that is wanted.
    pub(super) fn is_buried(
        &self,
        db: &DB,
        key: &StudyKey,
        wanted: impl Fn(&Buried) -> bool,
    ) -> Result<bool, IndexError> {
        let list = get_now(db, Table::Tombstones, &grave_key(key.facility, &key.study), Buried::decode)?;
        Ok(list.into_iter().flatten().any(|buried| buried.patient == key.patient && wanted(&buried)))
    }

    /// Marks a copy of an instance as rejected, or as shown. Rows are read as they are stored: the fact is a batch of
    /// its own.
    fn reject(
        &mut self,
        db: &DB,
        (lsn, reason): (Lsn, Option<RejectReason>),
        study: Option<u64>,
        key: &SeriesKey,
        chosen: &Chosen<'_>,
        judged: &mut Judged,
    ) -> Result<(), IndexError> {
        let copies = self.copies.load(db, &uid_key(UidKind::Instance, chosen.sop_instance, key.study.facility))?;
        let stands = |entry: &&CopyEntry| entry.series == 0 || Some(entry.study) == study;
        let named = copies.iter().find(|entry| entry.copy == chosen.copy).filter(stands);
        let Some(entry) = named.cloned() else { return Ok(()) };
        let row = self.row_of(db, key, entry.series, entry.seq)?;
        let Some((row, folded)) = row.filter(|(row, _)| row.key == *key) else { return Ok(()) };
        let was = row.rejected;
        if entry.series != 0 {
            judged.at.insert((entry.series, entry.seq));
            judged.classes.insert(row.sop_class.clone());
        }
        self.put_again(db, InstanceRow { rejected: reason, ..row }, entry.series, folded)?;
        let Some(study) = study else { return Ok(()) };
        self.load_study(db, study)?;
        let served = entry.series != 0;
        let count = |rejected: &mut u64, unfit: &mut u64| {
            let one = |kept: &mut u64, before: bool, now: bool| {
                *kept = kept.saturating_add(u64::from(now)).saturating_sub(u64::from(before));
            };
            one(rejected, was.is_some(), reason.is_some());
            one(unfit, was == Some(RejectReason::Quality), reason == Some(RejectReason::Quality));
        };
        if served {
            self.load_series(db, study, entry.series)?;
            prepared::forget(db, entry.series, &mut self.batch)?;
            if let Some(cell) = self.series.get_mut(&entry.series) {
                count(&mut cell.row.rejected, &mut cell.row.unfit);
                cell.row.version_fact = cell.row.version_fact.max(lsn);
                cell.dirty = true;
            }
        }
        if let Some(cell) = self.studies.get_mut(&study) {
            if served {
                count(&mut cell.row.rejected, &mut cell.row.unfit);
            }
            cell.row.version_fact = cell.row.version_fact.max(lsn);
            cell.dirty = true;
        }
        Ok(())
    }

    /// Counts anew which series of a study show nothing, and which modalities and SOP classes it shows.
    fn show_kinds(&mut self, db: &DB, study: u64, mut judged: Judged) -> Result<(), IndexError> {
        self.load_study(db, study)?;
        let Some(row) = self.studies.get(&study).map(|cell| &cell.row) else { return Ok(()) };
        // Where it shows as many as it may, others come in the place of those that go.
        let (key, full) = (row.key.clone(), row.sop_classes.len() >= classes::CLASSES_MAX);
        let reader = Reader::new(db);
        let stored = reader.prefix(Table::Series, &study.to_be_bytes())?.collect(usize::MAX, |stored, value| {
            Ok((unpair(Table::Series, stored)?.1, encode::series(&key, value)?))
        })?;
        let (mut empty, mut shown, mut all) = (0, BTreeSet::new(), BTreeSet::new());
        for (ordinal, row) in &stored {
            let row = self.series.get(ordinal).map_or(row, |cell| &cell.row);
            if row.served() == 0 {
                empty += 1;
                continue;
            }
            if let Some(modality) = modalities::shown(&row.attributes) {
                modalities::take(&mut shown, modality);
            }
            match (judged.shown, full) {
                (true, _) => {}
                (false, true) => judged.all_shown(&reader, (&row.key, *ordinal), &mut all)?,
                (false, false) => judged.keep_shown(&reader, &row.key, *ordinal)?,
            }
        }
        if let Some(cell) = self.studies.get_mut(&study) {
            cell.remember_keys();
            (cell.row.empty_series, cell.row.modalities, cell.dirty) = (empty, shown, true);
            match (judged.shown, full) {
                (true, _) => judged.classes.iter().for_each(|class| classes::take(&mut cell.row.sop_classes, class)),
                (false, true) => cell.row.sop_classes = all,
                (false, false) => cell.row.sop_classes.retain(|class| !judged.classes.contains(class)),
            }
        }
        Ok(())
    }

    /// Removes everything of a study. Rows are read as they are stored: the fact is a batch of its own.
    fn destroy(&mut self, db: &DB, lsn: Lsn, key: &StudyKey, tombstone: &Tombstone) -> Result<(), IndexError> {
        let through = tombstone.through();
        self.note_taken(db, lsn, tombstone)?;
        let grave = grave_key(key.facility, &key.study);
        let mut list = get_now(db, Table::Tombstones, &grave, Buried::decode)?.unwrap_or_default();
        if list.iter().any(|buried| buried.lsn == lsn) {
            return Ok(());
        }
        list.push(Buried { patient: key.patient, through, lsn, at: tombstone.destroyed_at });
        self.batch.put_cf(handle(db, Table::Tombstones)?, grave, Buried::encode(&list));
        self.batch.put_cf(handle(db, Table::Meta)?, b"sweep", lsn.to_be_bytes());
        self.remove_sealed(db, lsn, &tombstone.seals)?;
        self.take(db, lsn, key, tombstone)?;
        let patients = patient_key(&key.study, key.facility, key.patient);
        let entry = self.patients.load(db, &patients)?.iter().find(|entry| entry.known.rank == key.patient).cloned();
        // An ordinal is the first seq: what came later is another study under the same UID.
        let Some(entry) = entry.filter(|entry| entry.study <= through) else { return Ok(()) };
        if let Some(row) = get_now(db, Table::Studies, &entry.study.to_be_bytes(), encode::study)? {
            self.remove_study(db, lsn, entry.study, &row)?;
        }
        self.remove_conflicts(db, lsn, key)?;
        self.forget_patient(db, lsn, key)
    }

    fn remove_study(&mut self, db: &DB, lsn: Lsn, ordinal: u64, row: &StudyRow) -> Result<(), IndexError> {
        let reader = Reader::new(db);
        for table in [Table::Studies, Table::Series] {
            self.note_gone(db, lsn, table, &ordinal.to_be_bytes())?;
        }
        let mut run = reader.prefix(Table::Series, &ordinal.to_be_bytes())?;
        while let Some((key, value)) = run.here()? {
            let (_, series) = unpair(Table::Series, key)?;
            self.remove_series(db, lsn, (ordinal, series), encode::series(&row.key, value)?)?;
            run.step();
        }
        for (key, _) in keys::emit(row) {
            self.note_gone(db, lsn, Table::Keys, &key)?;
            self.batch.delete_cf(handle(db, Table::Keys)?, key);
        }
        let waits = [b"C".as_slice(), &ordinal.to_be_bytes()].concat();
        self.batch.delete_cf(handle(db, Table::Pending)?, waits);
        self.batch.delete_cf(handle(db, Table::Studies)?, ordinal.to_be_bytes());
        let count = self.counts.facility(db, row.key.facility)?;
        count.studies = count.studies.saturating_sub(1);
        Ok(())
    }

    /// Removes everything of a series that stands under a study.
    pub(super) fn remove_series(
        &mut self,
        db: &DB,
        lsn: Lsn,
        (study, series): (u64, u64),
        row: SeriesRow,
    ) -> Result<(), IndexError> {
        let cell = SeriesCell::stored(study, row);
        if let Some(waits) = cell.waits() {
            self.batch.delete_cf(handle(db, Table::Pending)?, waits.key(series));
        }
        self.batch.delete_cf(handle(db, Table::Series)?, pair(study, series));
        for table in [Table::Instances, Table::Folds, Table::Prepared] {
            self.note_gone(db, lsn, table, &series.to_be_bytes())?;
        }
        prepared::forget(db, series, &mut self.batch)?;
        self.doom_packs(db, series)?;
        let reader = Reader::new(db);
        let mut instances = reader.in_series(&cell.row.key, series, 0)?;
        while let Some(row) = instances.row()? {
            self.remove_instance(db, lsn, &row)?;
            self.batch.delete_cf(handle(db, Table::Instances)?, pair(series, row.seq));
        }
        self.remove_folds(db, series)?;
        self.forget_series(db, lsn, &cell.row.key)?;
        let count = self.counts.facility(db, cell.row.key.study.facility)?;
        count.series = count.series.saturating_sub(1);
        Ok(())
    }

    /// Removes the facts that certain keys open; of the keys it is kept that they are to be destroyed.
    fn remove_sealed(&mut self, db: &DB, destroyed: Lsn, seals: &[PackId]) -> Result<(), IndexError> {
        let table = handle(db, Table::Retention)?;
        for seal in seals {
            self.batch.put_cf(table, doomed_seal_key(*seal), []);
            let lsn = get_now(db, Table::Retention, &seal_key(*seal), |value| number(Table::Retention, value))?;
            let Some(lsn) = lsn else { continue };
            let stored = get_now(db, Table::Retention, &fact_key(lsn), fact)?;
            if let Some(study) = stored.as_ref().and_then(RetentionFact::study) {
                let listed = [facts_of(&StudyKey::from(study)).as_slice(), &lsn.to_be_bytes()].concat();
                self.batch.delete_cf(table, listed);
            }
            self.note_gone(db, destroyed, Table::Retention, &fact_key(lsn))?;
            self.batch.delete_cf(table, fact_key(lsn));
            self.batch.delete_cf(table, general_key(lsn));
            self.batch.delete_cf(table, seal_key(*seal));
        }
        Ok(())
    }

    fn remove_conflicts(&mut self, db: &DB, lsn: Lsn, key: &StudyKey) -> Result<(), IndexError> {
        let reader = Reader::new(db);
        let mut run = reader.prefix(Table::Uids, &study_prefix(UidKind::Conflict, key))?;
        while let Some((listed, _)) = run.here()? {
            let seq = last_number(listed)?.to_be_bytes();
            if let Some(row) = get_now(db, Table::Conflicts, &seq, conflict)? {
                self.remove_instance(db, lsn, &row)?;
                self.forget_series(db, lsn, &row.key)?;
                self.note_gone(db, lsn, Table::Conflicts, &seq)?;
                self.batch.delete_cf(handle(db, Table::Conflicts)?, seq);
            }
            self.note_gone(db, lsn, Table::Uids, listed)?;
            self.batch.delete_cf(handle(db, Table::Uids)?, listed);
            run.step();
        }
        Ok(())
    }

    fn remove_instance(&mut self, db: &DB, lsn: Lsn, row: &InstanceRow) -> Result<(), IndexError> {
        let key = uid_key(UidKind::Instance, &row.sop_instance, row.key.study.facility);
        self.note_gone(db, lsn, Table::Uids, &key)?;
        self.copies.remove(db, &key, row.seq)?;
        self.batch.delete_cf(handle(db, Table::Layouts)?, row.seq.to_be_bytes());
        self.counts.take_off(db, row)
    }
}

impl Reader<'_> {
    pub(super) fn buried(&self, facility: FacilityCode, study: &Uid) -> Result<Vec<Buried>, IndexError> {
        Ok(self.get(Table::Tombstones, &grave_key(facility, study), Buried::decode)?.unwrap_or_default())
    }

    /// Newest instance, conflicts included, and newest fact of a study.
    pub(super) fn version(&self, key: &StudyKey) -> Result<Option<StudyVersion>, IndexError> {
        let Some(row) = self.ordinal(key)?.map(|study| self.study(study)).transpose()?.flatten() else {
            return Ok(None);
        };
        let run = self.prefix(Table::Uids, &study_prefix(UidKind::Conflict, key))?;
        let conflicts = run.collect(usize::MAX, |key, _| last_number(key))?;
        let through = conflicts.into_iter().chain([row.last_seq]).max().unwrap_or(row.last_seq);
        Ok(Some(StudyVersion { through, fact: row.version_fact }))
    }

    pub(super) fn doomed_seals(&self, limit: usize) -> Result<Vec<PackId>, IndexError> {
        let damaged = || IndexError::Damaged { table: Table::Retention.name(), what: "the name of a key is cut short" };
        let run = self.prefix(Table::Retention, b"D")?;
        run.collect(limit, |key, _| key.last_chunk::<16>().map(|name| PackId::new(*name)).ok_or_else(damaged))
    }
}

/// Forgets a key that is destroyed.
pub(super) fn forget_seal(db: &DB, seal: PackId) -> Result<(), IndexError> {
    let write = db.delete_cf_opt(handle(db, Table::Retention)?, doomed_seal_key(seal), &unlogged());
    write.map_err(engine("forget a key"))
}

/// Puts a pack among the doomed.
pub(super) fn doom(db: &DB, row: &PackRow) -> Result<(), IndexError> {
    let write = db.put_cf_opt(handle(db, Table::Packs)?, doomed_key(row.pack), value_of(0, row), &unlogged());
    write.map_err(engine("note a pack to be destroyed"))
}

/// Forgets a doomed pack, and its manifest when the pack is not known.
pub(super) fn forget_pack(db: &DB, pack: PackId, known: bool) -> Result<(), IndexError> {
    let failed = engine("forget a pack");
    db.delete_cf_opt(handle(db, Table::Packs)?, doomed_key(pack), &unlogged()).map_err(&failed)?;
    if known {
        return Ok(());
    }
    db.delete_cf_opt(handle(db, Table::Manifests)?, pack.as_bytes(), &unlogged()).map_err(failed)
}
