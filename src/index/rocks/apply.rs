//! Turning a batch of facts into one atomic write.
//!
//! Rows and counters are computed here, read once and kept between batches, so that the instances of a series
//! do not read and write their study again and again: each changed row is encoded once per batch.

use super::beyond::patient_key;
use super::cells::{CopyCells, CountCells, For, ListCells, SeriesCell, StudyCell};
use super::folds::FoldCells;
use super::lists::{CopyEntry, PatientEntry, SeriesEntry};
use super::read::{get_now, handle};
use super::retention::conflict_key;
use super::tables::{Table, UidKind, engine, pair, uid_key, unlogged};
use crate::attributes::absorb;
use crate::codec::Encoder;
use crate::row::{
    FrameSummary, InstanceRow, KnownPatient, KnownStudy, LISTED, SeriesKey, StudyKey, modalities, series_key, study_key,
};
use crate::{Entry, IndexError, encode};
use model::{Fact, Home, InstanceHead, Level, Lsn, SeriesQuiet, StudyComplete};
use rocksdb::{DB, WriteBatch};
use std::collections::HashMap;

/// Rows kept between batches; beyond, all are forgotten and read again.
const ROWS_KEPT: usize = 2048;

/// The one applier of an index.
#[derive(Default)]
pub(super) struct Applier {
    pub(super) studies: HashMap<u64, StudyCell>,
    pub(super) series: HashMap<u64, SeriesCell>,
    pub(super) patients: ListCells<PatientEntry>,
    pub(super) series_lists: ListCells<SeriesEntry>,
    pub(super) copies: CopyCells,
    pub(super) counts: CountCells,
    pub(super) folds: FoldCells,
    pub(super) batch: WriteBatch,
}

/// How far the index stands after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) applied: Lsn,
    pub(super) max_seq: u64,
    /// Earliest second under which a series was stored as waiting for quiet, and for a pack.
    pub(super) waits: [u64; 2],
}

impl Applier {
    /// Applies a batch atomically. After an error nothing of it is written and nothing of it is remembered.
    pub(super) fn apply(&mut self, db: &DB, entries: &[Entry], before: Mark) -> Result<Mark, IndexError> {
        let result = self.collect(db, entries, before).and_then(|mark| self.commit(db, mark));
        let rewrote = entries.iter().any(super::stands_alone);
        if result.is_err() || rewrote || self.studies.len() + self.series.len() > ROWS_KEPT {
            *self = Self::default();
        }
        result
    }

    fn collect(&mut self, db: &DB, entries: &[Entry], mut mark: Mark) -> Result<Mark, IndexError> {
        for entry in entries {
            let (lsn, fact) = entry.own();
            match fact {
                Fact::Instance(head) => {
                    let unfit = || IndexError::Unfit { lsn: entry.lsn, what: "an instance without a home" };
                    self.instance(db, head, entry.home.clone().ok_or_else(unfit)?)?;
                    mark.max_seq = mark.max_seq.max(head.seq);
                }
                Fact::Facility(facility) => {
                    let key = [b"F".as_slice(), facility.code.as_bytes()].concat();
                    self.registry(db, lsn, key, serde_json::to_vec(facility))?;
                }
                Fact::Source(source) => {
                    let key = [b"S".as_slice(), source.id.as_bytes()].concat();
                    self.registry(db, lsn, key, serde_json::to_vec(source))?;
                }
                Fact::Destination(destination) => {
                    let key = [b"D".as_slice(), destination.title.as_str().as_bytes()].concat();
                    self.registry(db, lsn, key, serde_json::to_vec(destination))?;
                }
                Fact::Forwarding(fact) => {
                    let key = [b"W".as_slice(), fact.key().as_bytes()].concat();
                    self.registry(db, lsn, key, serde_json::to_vec(fact))?;
                }
                Fact::SeriesQuiet(_) | Fact::StudyComplete(_) => self.settle(db, fact)?,
                Fact::Pack(fact) => self.pack(db, fact)?,
                Fact::Retention(fact) => self.retention(db, lsn, fact, &mut mark)?,
                // A forwarded fact never holds another one; what a sealed one said goes with its key.
                Fact::Forwarded { .. } | Fact::Sealed(_) => {}
            }
            mark.applied = mark.applied.max(entry.lsn);
        }
        Ok(mark)
    }

    fn instance(&mut self, db: &DB, head: &InstanceHead, home: Home) -> Result<(), IndexError> {
        let key = uid_key(UidKind::Instance, &head.sop_instance, head.facility);
        let copies = self.copies.load(db, &key)?;
        if let Some(known) = copies.iter().find(|copy| copy.seq == head.seq) {
            let (study, series) = (known.study, known.series);
            return self.move_instance(db, head, home, (study, series));
        }
        if self.is_buried(db, &study_key(head), |buried| head.seq <= buried.through)? {
            return Ok(());
        }
        let (study, series) = if head.outcome.copy == 0 { self.serve(db, head)? } else { self.note(db, head)? };
        self.copies.insert(db, key, CopyEntry::of(head, study, series))?;
        self.counts.instance(db, head)?;
        if let Home::Pack { .. } = home
            && let Some(cell) = self.series.get_mut(&series)
        {
            cell.row.packed += 1;
        }
        let row = self.put_instance(db, head, home, series);
        if matches!(FrameSummary::of(&head.layout.frames), FrameSummary::Encapsulated { .. }) {
            let mut out = Encoder::default();
            encode::put_layout(&mut out, &head.layout);
            self.batch.put_cf(handle(db, Table::Layouts)?, head.seq.to_be_bytes(), &out.bytes);
        }
        row
    }

    /// Writes the row of an instance under its series, or among the conflicts when it has none.
    fn put_instance(&mut self, db: &DB, head: &InstanceHead, home: Home, series: u64) -> Result<(), IndexError> {
        self.put_row(db, &InstanceRow::of(head, home), series)
    }

    /// The same instance again, at another home: one that lies in a pack is not taken back by a record.
    fn move_instance(&mut self, db: &DB, head: &InstanceHead, home: Home, at: (u64, u64)) -> Result<(), IndexError> {
        let (study, series) = at;
        let Some((row, folded)) = self.row_of(db, &series_key(head), series, head.seq)? else {
            // It came in this very batch; a record it is, then.
            return self.put_instance(db, head, home, series);
        };
        match (&row.home, &home) {
            (Home::Pack { .. }, Home::Journal(_)) => return Ok(()),
            (Home::Journal(_), Home::Pack { .. }) if series != 0 => {
                self.load_series(db, study, series)?;
                if let Some(cell) = self.series.get_mut(&series) {
                    cell.row.packed += 1;
                    cell.dirty = true;
                }
            }
            _ => {}
        }
        self.put_again(db, InstanceRow { home, ..row }, series, folded)
    }

    pub(super) fn put_row(&mut self, db: &DB, row: &InstanceRow, series: u64) -> Result<(), IndexError> {
        let mut out = Encoder::with_capacity(512);
        if series == 0 {
            encode::put_study_key(&mut out, &row.key.study);
            out.uid(&row.key.series);
            encode::put_instance(&mut out, row);
            self.batch.put_cf(handle(db, Table::Conflicts)?, row.seq.to_be_bytes(), &out.bytes);
        } else {
            encode::put_instance(&mut out, row);
            self.batch.put_cf(handle(db, Table::Instances)?, pair(series, row.seq), &out.bytes);
        }
        Ok(())
    }

    /// Takes an instance into its study and series; gives their ordinals.
    pub(super) fn serve(&mut self, db: &DB, head: &InstanceHead) -> Result<(u64, u64), IndexError> {
        let (new_study, received) = self.patient(db, head, true)?;
        let (new_series, (study, series)) = self.series_entry(db, head, received)?;
        if new_study {
            self.studies.insert(received, StudyCell::new(study_key(head), head.seq));
            self.counts.facility(db, head.facility)?.studies += 1;
        }
        if new_series {
            self.series.insert(series, SeriesCell::new(study, series_key(head), head));
            self.counts.facility(db, head.facility)?.series += 1;
        }
        if received != study {
            self.load_study(db, received)?;
            if let Some(cell) = self.studies.get_mut(&received) {
                cell.absorb(&head.attributes);
            }
        }
        self.add_to(db, head, (study, series), new_series)?;
        Ok((study, series))
    }

    /// Takes an instance into a study and series that are known.
    pub(super) fn add_to(
        &mut self,
        db: &DB,
        head: &InstanceHead,
        (study, series): (u64, u64),
        new_series: bool,
    ) -> Result<(), IndexError> {
        self.load_series(db, study, series)?;
        let (Some(study_cell), Some(series_cell)) = (self.studies.get_mut(&study), self.series.get_mut(&series)) else {
            return Err(IndexError::Damaged { table: Table::Studies.name(), what: "a row is missing" });
        };
        let was_empty = !new_series && series_cell.row.served() == 0;
        series_cell.add(head);
        absorb(&mut series_cell.row.attributes, &head.attributes, Level::Series);
        // What stands in it and was received elsewhere does not name it.
        let names = &study_cell.row.key;
        if names.patient == head.outcome.patient && names.study == head.study {
            study_cell.absorb(&head.attributes);
        }
        let modality = modalities::shown(&series_cell.row.attributes);
        if let Some(modality) = modality.filter(|modality| modalities::takes(&study_cell.row.modalities, modality)) {
            study_cell.remember_keys();
            modalities::take(&mut study_cell.row.modalities, modality);
        }
        study_cell.row.empty_series = study_cell.row.empty_series.saturating_sub(u64::from(was_empty));
        study_cell.add(head, new_series);
        study_cell.count_busy(series_cell);
        Ok(())
    }

    /// Remembers whom and what a copy in conflict names, without touching rows.
    fn note(&mut self, db: &DB, head: &InstanceHead) -> Result<(u64, u64), IndexError> {
        self.patient(db, head, false)?;
        self.batch.put_cf(handle(db, Table::Uids)?, conflict_key(&study_key(head), head.seq), []);
        let key = uid_key(UidKind::Series, &head.series, head.facility);
        let wanted = series_key(head);
        let key = self.series_place(db, key, &wanted, head.outcome.study)?;
        let list = self.series_lists.load(db, &key)?;
        if !list.iter().any(|entry| entry.was_received(&wanted)) {
            let known = KnownStudy { rank: head.outcome.study, study: head.study.clone() };
            list.push(SeriesEntry { known, patient: head.outcome.patient, study: 0, series: 0, placed: None });
            self.series_lists.touch(key);
        }
        Ok((0, 0))
    }

    /// The study of an instance by its patient; whether it is new, and its ordinal.
    pub(super) fn patient(&mut self, db: &DB, head: &InstanceHead, serve: bool) -> Result<(bool, u64), IndexError> {
        let rank = head.outcome.patient;
        let key = patient_key(&head.study, head.facility, rank);
        let list = self.patients.load(db, &key)?;
        let mut touched = false;
        let at = list.iter().position(|entry| entry.known.rank == rank);
        let beside = at.and_then(|at| list.get(at)).filter(|_| rank >= LISTED);
        let before = beside.map(|entry| entry.known.clone());
        let entry = match at.and_then(|at| list.get_mut(at)) {
            Some(entry) => {
                touched |= entry.known.fill(head);
                entry
            }
            None => {
                touched = true;
                list.push_mut(PatientEntry { known: KnownPatient::of(head), study: 0 })
            }
        };
        let new = serve && entry.study == 0;
        if new {
            touched = true;
            entry.study = head.seq;
        }
        let study = entry.study;
        let named = (touched && rank >= LISTED).then(|| entry.known.clone());
        if touched {
            self.patients.touch(key);
        }
        if let Some(now) = named {
            let listed = uid_key(UidKind::Study, &head.study, head.facility);
            self.name_patient(db, &listed, before.as_ref(), &now)?;
        }
        Ok((new, study))
    }

    /// The series of a served instance; whether it is new, and the ordinals of the study it stands in and of itself.
    fn series_entry(&mut self, db: &DB, head: &InstanceHead, study: u64) -> Result<(bool, (u64, u64)), IndexError> {
        let key = uid_key(UidKind::Series, &head.series, head.facility);
        let wanted = series_key(head);
        let list = self.series_lists.load(db, &key)?;
        let known = list.iter().find(|entry| entry.was_received(&wanted) && entry.series != 0);
        if let Some(at) = known.map(|entry| (entry.study, entry.series)) {
            return Ok((false, at));
        }
        let key = self.series_place(db, key, &wanted, head.outcome.study)?;
        let list = self.series_lists.load(db, &key)?;
        let at = list.iter().position(|entry| entry.was_received(&wanted));
        let entry = match at.and_then(|at| list.get_mut(at)) {
            Some(entry) => entry,
            None => {
                let known = KnownStudy { rank: head.outcome.study, study: head.study.clone() };
                list.push_mut(SeriesEntry { known, patient: head.outcome.patient, study, series: 0, placed: None })
            }
        };
        let new = entry.series == 0;
        if new {
            (entry.study, entry.series) = (study, head.seq);
        }
        let at = (entry.study, entry.series);
        if new {
            self.series_lists.touch(key);
        }
        Ok((new, at))
    }

    pub(super) fn load_study(&mut self, db: &DB, study: u64) -> Result<(), IndexError> {
        if !self.studies.contains_key(&study)
            && let Some(row) = get_now(db, Table::Studies, &study.to_be_bytes(), encode::study)?
        {
            self.studies.insert(study, StudyCell::stored(row));
        }
        Ok(())
    }

    pub(super) fn load_series(&mut self, db: &DB, study: u64, series: u64) -> Result<(), IndexError> {
        self.load_study(db, study)?;
        if !self.series.contains_key(&series)
            && let Some(cell) = self.studies.get(&study)
        {
            let of_study = &cell.row.key;
            let row = get_now(db, Table::Series, &pair(study, series), |bytes| encode::series(of_study, bytes))?;
            self.series.extend(row.map(|row| (series, SeriesCell::stored(study, row))));
        }
        Ok(())
    }

    fn registry(
        &mut self,
        db: &DB,
        lsn: Lsn,
        key: Vec<u8>,
        json: Result<Vec<u8>, serde_json::Error>,
    ) -> Result<(), IndexError> {
        let json = json.map_err(|_| IndexError::Unfit { lsn, what: "a registry entry that is no JSON" })?;
        if self.counts.newest(db, &key, lsn)? {
            self.batch.put_cf(handle(db, Table::Meta)?, &key, [&lsn.to_be_bytes(), json.as_slice()].concat());
        }
        Ok(())
    }

    /// Applies that a series is quiet or a study complete; other facts mean nothing here.
    pub(super) fn settle(&mut self, db: &DB, fact: &Fact) -> Result<(), IndexError> {
        match fact {
            Fact::SeriesQuiet(SeriesQuiet { facility, study, patient, series, through, .. }) => {
                let study = StudyKey { facility: *facility, study: study.clone(), patient: *patient };
                self.quiet(db, &SeriesKey { study, series: series.clone() }, *through)
            }
            Fact::StudyComplete(StudyComplete { facility, study, patient, through, .. }) => {
                let study = StudyKey { facility: *facility, study: study.clone(), patient: *patient };
                self.complete(db, &study, *through)
            }
            _ => Ok(()),
        }
    }

    fn quiet(&mut self, db: &DB, key: &SeriesKey, through: u64) -> Result<(), IndexError> {
        let named = self.named(db, key)?;
        let found = if named.is_none() { self.holder(db, key, &[through])? } else { named };
        let Some((study, series)) = found else { return Ok(()) };
        // An ordinal is the first seq: a fact of a time before the row was there means nothing to it.
        if series > through {
            return Ok(());
        }
        self.load_series(db, study, series)?;
        if let (Some(study), Some(series)) = (self.studies.get_mut(&study), self.series.get_mut(&series)) {
            series.row.quiet_through = series.row.quiet_through.max(Some(through));
            series.dirty = true;
            study.count_busy(series);
        }
        Ok(())
    }

    fn complete(&mut self, db: &DB, study: &StudyKey, through: u64) -> Result<(), IndexError> {
        let Some(study) = self.ordinal(db, study)? else { return Ok(()) };
        if study > through {
            return Ok(());
        }
        self.load_study(db, study)?;
        if let Some(cell) = self.studies.get_mut(&study) {
            cell.row.complete_through = cell.row.complete_through.max(Some(through));
            cell.dirty = true;
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, db: &DB, mut mark: Mark) -> Result<Mark, IndexError> {
        let mut batch = std::mem::take(&mut self.batch);
        for (ordinal, cell) in self.studies.iter_mut().filter(|(_, cell)| cell.dirty) {
            cell.write(db, *ordinal, &mut batch)?;
        }
        for (ordinal, cell) in self.series.iter_mut().filter(|(_, cell)| cell.dirty) {
            cell.write(db, *ordinal, &mut batch)?;
            let waits = cell.waits();
            for (at, wanted) in mark.waits.iter_mut().zip([For::Quiet, For::Pack]) {
                *at = waits.filter(|waits| waits.wanted == wanted).map_or(*at, |waits| waits.second.min(*at));
            }
        }
        let uids = handle(db, Table::Uids)?;
        let mut put = |key: &[u8], list: Option<Vec<u8>>| match list {
            Some(list) => batch.put_cf(uids, key, list),
            None => batch.delete_cf(uids, key),
        };
        self.patients.write(&mut put);
        self.series_lists.write(&mut put);
        self.copies.write(&mut put);
        self.folds.write(db, &mut batch)?;
        let meta = handle(db, Table::Meta)?;
        self.counts.write(|key, value| batch.put_cf(meta, key, value));
        batch.put_cf(meta, b"applied", mark.applied.to_be_bytes());
        batch.put_cf(meta, b"max_seq", mark.max_seq.to_be_bytes());
        db.write_opt(batch, &unlogged()).map_err(engine("apply a batch"))?;
        Ok(mark)
    }
}

/// The row of an instance under its series, or among the conflicts when it has none.
pub(super) fn instance_row(db: &DB, key: &SeriesKey, series: u64, seq: u64) -> Result<Option<InstanceRow>, IndexError> {
    if series == 0 {
        return get_now(db, Table::Conflicts, &seq.to_be_bytes(), super::read::conflict);
    }
    get_now(db, Table::Instances, &pair(series, seq), |bytes| encode::instance(key, bytes))
}
