//! What the applier remembers of rows between reading and writing them.

use super::keys::{self, Pair};
use super::lists::{CopyEntry, Held, Listed};
use super::read::{get_now, handle};
use super::tables::{Table, number, pair};
use crate::codec::{Decoder, Encoder};
use crate::row::{InstanceRow, SeriesKey, SeriesRow, StudyKey, StudyRow, classes};
use crate::stats::Count;
use crate::{IndexError, encode};
use model::{Attributes, FacilityCode, InstanceHead, Lsn};
use rocksdb::{DB, WriteBatch};
use std::collections::HashMap;

/// A study between reading and writing.
pub(super) struct StudyCell {
    pub(super) row: StudyRow,
    pub(super) dirty: bool,
    /// The keys that are stored, when they may have changed.
    stored_keys: Option<Vec<Pair>>,
    /// Whether it is stored among the studies that wait for their "complete" fact.
    waits: bool,
}

impl StudyCell {
    pub(super) fn new(key: StudyKey, first_seq: u64) -> Self {
        let row = StudyRow {
            key,
            attributes: Default::default(),
            corrected: Default::default(),
            modalities: Default::default(),
            sop_classes: Default::default(),
            series: 0,
            busy_series: 0,
            instances: 0,
            bytes: 0,
            first_seq,
            last_seq: first_seq,
            last_received: 0,
            complete_through: None,
            rejected: 0,
            hidden_by: None,
            version_fact: 0,
            unfit: 0,
            empty_series: 0,
        };
        Self { row, dirty: true, stored_keys: Some(Vec::new()), waits: false }
    }

    pub(super) fn stored(row: StudyRow) -> Self {
        let waits = row.is_incomplete();
        Self { row, dirty: false, stored_keys: None, waits }
    }

    /// To be called before anything changes by which the study is found.
    pub(super) fn remember_keys(&mut self) {
        if self.stored_keys.is_none() {
            self.stored_keys = Some(keys::emit(&self.row));
        }
    }

    /// Takes an instance's values in.
    pub(super) fn absorb(&mut self, instance: &Attributes) {
        if self.row.absorbs(instance) {
            self.remember_keys();
            self.row.absorb(instance);
            self.dirty = true;
        }
    }

    /// Counts an instance.
    pub(super) fn add(&mut self, head: &InstanceHead, new_series: bool) {
        let row = &mut self.row;
        row.series += u64::from(new_series);
        row.instances += 1;
        row.bytes += head.file_len;
        row.last_seq = row.last_seq.max(head.seq);
        row.last_received = row.last_received.max(head.received);
        classes::take(&mut row.sop_classes, &head.sop_class);
        self.dirty = true;
    }

    /// Keeps the number of busy series after a change of one.
    pub(super) fn count_busy(&mut self, series: &mut SeriesCell) {
        let busy = series.row.is_busy();
        match (series.counted_busy, busy) {
            (false, true) => self.row.busy_series += 1,
            (true, false) => self.row.busy_series = self.row.busy_series.saturating_sub(1),
            _ => {}
        }
        series.counted_busy = busy;
        self.dirty = true;
    }

    pub(super) fn write(&mut self, db: &DB, ordinal: u64, batch: &mut WriteBatch) -> Result<(), IndexError> {
        let mut out = Encoder::with_capacity(512);
        encode::put_study(&mut out, &self.row);
        batch.put_cf(handle(db, Table::Studies)?, ordinal.to_be_bytes(), &out.bytes);
        if let Some(before) = self.stored_keys.take() {
            let table = handle(db, Table::Keys)?;
            let now = keys::emit(&self.row);
            for (key, _) in before.iter().filter(|pair| now.binary_search_by(|kept| kept.0.cmp(&pair.0)).is_err()) {
                batch.delete_cf(table, key);
            }
            for (key, value) in now.iter().filter(|pair| before.binary_search(pair).is_err()) {
                batch.put_cf(table, key, value);
            }
        }
        let key = [b"C".as_slice(), &ordinal.to_be_bytes()].concat();
        match (self.waits, self.row.is_incomplete()) {
            (false, true) => batch.put_cf(handle(db, Table::Pending)?, key, []),
            (true, false) => batch.delete_cf(handle(db, Table::Pending)?, key),
            _ => {}
        }
        self.waits = self.row.is_incomplete();
        self.dirty = false;
        Ok(())
    }
}

/// A series between reading and writing.
pub(super) struct SeriesCell {
    pub(super) row: SeriesRow,
    pub(super) dirty: bool,
    study: u64,
    /// Whether its study counts it as busy.
    counted_busy: bool,
    /// Under what it is stored among the pending series.
    waits: Option<Waits>,
}

impl SeriesCell {
    pub(super) fn new(study: u64, key: SeriesKey, first: &InstanceHead) -> Self {
        let row = SeriesRow {
            key,
            study_rank: first.outcome.study,
            attributes: Default::default(),
            instances: 0,
            bytes: 0,
            first_seq: first.seq,
            last_seq: first.seq,
            last_received: 0,
            quiet_through: None,
            packed: 0,
            rejected: 0,
            unfit: 0,
            version_fact: 0,
        };
        Self { row, dirty: true, study, counted_busy: false, waits: None }
    }

    pub(super) fn stored(study: u64, row: SeriesRow) -> Self {
        let counted_busy = row.is_busy();
        let waits = Waits::of(&row);
        Self { row, dirty: false, study, counted_busy, waits }
    }

    /// A row that stands under a study from now on, stored among the pending series as `waits` says.
    pub(super) fn changed(study: u64, row: SeriesRow, waits: Option<Waits>) -> Self {
        let counted_busy = row.is_busy();
        Self { row, dirty: true, study, counted_busy, waits }
    }

    /// The study it stands in.
    pub(super) const fn study(&self) -> u64 {
        self.study
    }

    /// Counts an instance.
    pub(super) fn add(&mut self, head: &InstanceHead) {
        let row = &mut self.row;
        row.instances += 1;
        row.bytes += head.file_len;
        row.last_seq = row.last_seq.max(head.seq);
        row.last_received = row.last_received.max(head.received);
        self.dirty = true;
    }

    pub(super) fn write(&mut self, db: &DB, ordinal: u64, batch: &mut WriteBatch) -> Result<(), IndexError> {
        let mut out = Encoder::with_capacity(512);
        encode::put_series(&mut out, &self.row);
        batch.put_cf(handle(db, Table::Series)?, pair(self.study, ordinal), &out.bytes);
        let now = Waits::of(&self.row);
        if now != self.waits {
            let table = handle(db, Table::Pending)?;
            if let Some(waits) = self.waits {
                batch.delete_cf(table, waits.key(ordinal));
            }
            if let Some(waits) = now {
                batch.put_cf(table, waits.key(ordinal), self.study.to_be_bytes());
            }
        }
        self.waits = now;
        self.dirty = false;
        Ok(())
    }

    /// Under what it is stored among the pending series.
    pub(super) const fn waits(&self) -> Option<Waits> {
        self.waits
    }
}

/// What a series waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Its "quiet" fact.
    Quiet,
    /// A pack.
    Pack,
}

/// What a series waits for, since the second of its last receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) wanted: For,
    pub(super) second: u64,
}

impl Waits {
    fn of(row: &SeriesRow) -> Option<Self> {
        let wanted = match (row.is_busy(), row.is_unpacked()) {
            (true, _) => For::Quiet,
            (_, true) => For::Pack,
            _ => return None,
        };
        Some(Self { wanted, second: row.last_received / 1000 })
    }

    /// The key of a series in the table `pending`.
    pub(super) fn key(self, series: u64) -> Vec<u8> {
        let kind: &[u8] = match self.wanted {
            For::Quiet => b"B",
            For::Pack => b"Q",
        };
        [kind, &pair(self.second, series)].concat()
    }
}

/// Lists of the table `uids` between reading and writing.
pub(super) struct ListCells<T> {
    lists: HashMap<Vec<u8>, Held<T>>,
    dirty: Vec<Vec<u8>>,
}

impl<T> Default for ListCells<T> {
    fn default() -> Self {
        Self { lists: HashMap::new(), dirty: Vec::new() }
    }
}

impl<T: Listed> ListCells<T> {
    /// The list under a key.
    pub(super) fn load(&mut self, db: &DB, key: &[u8]) -> Result<&mut Vec<T>, IndexError> {
        self.held(db, key).map(|held| &mut held.entries)
    }

    fn held(&mut self, db: &DB, key: &[u8]) -> Result<&mut Held<T>, IndexError> {
        if !self.lists.contains_key(key) {
            let list = get_now(db, Table::Uids, key, T::held)?.unwrap_or_default();
            self.lists.insert(key.to_vec(), list);
        }
        let lost = || IndexError::Damaged { table: Table::Uids.name(), what: "a list is lost" };
        self.lists.get_mut(key).ok_or_else(lost)
    }

    /// Whether others stand beside a list under keys of their own.
    pub(super) fn has_more(&mut self, db: &DB, key: &[u8]) -> Result<bool, IndexError> {
        self.held(db, key).map(|held| held.more)
    }

    /// Others stand beside a list from now on, or none any more.
    pub(super) fn mark(&mut self, db: &DB, key: &[u8], more: bool) -> Result<(), IndexError> {
        let held = self.held(db, key)?;
        if held.more != more {
            held.more = more;
            self.touch(key.to_vec());
        }
        Ok(())
    }

    /// The lists that are remembered under a beginning of keys, and their keys.
    pub(super) fn under<'a>(&'a self, start: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [T])> {
        let all = self.lists.iter().map(|(key, held)| (key.as_slice(), held.entries.as_slice()));
        all.filter(move |(key, _)| key.starts_with(start))
    }

    /// Nothing is stored under a key.
    pub(super) fn begin(&mut self, key: Vec<u8>) {
        self.lists.entry(key).or_default();
    }

    /// The list under the key is to be written.
    pub(super) fn touch(&mut self, key: Vec<u8>) {
        self.dirty.push(key);
    }

    /// Writes every list that was touched: nothing where it is empty.
    pub(super) fn write(&mut self, mut put: impl FnMut(&[u8], Option<Vec<u8>>)) {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for key in self.dirty.drain(..) {
            if let Some(list) = self.lists.get(&key) {
                put(&key, list.value());
            }
        }
    }
}

/// The copies of the instances of one batch.
#[derive(Default)]
pub(super) struct CopyCells {
    cells: ListCells<CopyEntry>,
}

impl CopyCells {
    pub(super) fn load(&mut self, db: &DB, key: &[u8]) -> Result<&[CopyEntry], IndexError> {
        self.cells.load(db, key).map(|list| list.as_slice())
    }

    /// Whether an instance of a series is among those of this batch.
    pub(super) fn has(&self, series: u64, seq: u64) -> bool {
        let mut all = self.cells.lists.values().flat_map(|held| &held.entries);
        all.any(|copy| copy.series == series && copy.seq == seq)
    }

    /// Takes an instance off the copies under its UID; gives what is left.
    pub(super) fn remove(&mut self, db: &DB, key: &[u8], seq: u64) -> Result<&[CopyEntry], IndexError> {
        let list = self.cells.load(db, key)?;
        list.retain(|copy| copy.seq != seq);
        self.cells.touch(key.to_vec());
        Ok(self.cells.lists.get(key).map_or(&[], |held| held.entries.as_slice()))
    }

    /// A copy stands in another study from now on.
    pub(super) fn stand(&mut self, db: &DB, key: Vec<u8>, seq: u64, study: u64) -> Result<(), IndexError> {
        let list = self.cells.load(db, &key)?;
        list.iter_mut().filter(|copy| copy.seq == seq).for_each(|copy| copy.study = study);
        self.cells.touch(key);
        Ok(())
    }

    /// Adds a copy in order of arrival.
    pub(super) fn insert(&mut self, db: &DB, key: Vec<u8>, entry: CopyEntry) -> Result<(), IndexError> {
        let list = self.cells.load(db, &key)?;
        let at = list.partition_point(|copy| copy.seq < entry.seq);
        list.insert(at, entry);
        self.cells.touch(key);
        Ok(())
    }

    /// Adds a copy under a UID of which nothing is stored.
    pub(super) fn insert_first(&mut self, key: Vec<u8>, entry: CopyEntry) {
        self.cells.lists.entry(key.clone()).or_default().entries.push(entry);
        self.cells.touch(key);
    }

    /// Writes what was added and forgets all: an instance seldom comes twice.
    pub(super) fn write(&mut self, put: impl FnMut(&[u8], Option<Vec<u8>>)) {
        self.cells.write(put);
        self.cells.lists.clear();
    }
}

/// Counts, and the record numbers of registry entries.
#[derive(Default)]
pub(super) struct CountCells {
    counts: HashMap<Vec<u8>, (Count, bool)>,
    registry: HashMap<Vec<u8>, Lsn>,
}

impl CountCells {
    /// The count of a facility, to be changed.
    pub(super) fn facility(&mut self, db: &DB, facility: FacilityCode) -> Result<&mut Count, IndexError> {
        self.count(db, [b"T".as_slice(), facility.as_bytes()].concat())
    }

    /// Counts an instance at its facility and source.
    pub(super) fn instance(&mut self, db: &DB, head: &InstanceHead) -> Result<(), IndexError> {
        let conflict = head.outcome.copy > 0;
        self.facility(db, head.facility)?.instance(head.file_len, head.received, conflict);
        let source = self.count(db, [b"U".as_slice(), head.source.as_bytes()].concat())?;
        source.instance(head.file_len, head.received, conflict);
        Ok(())
    }

    /// Takes an instance off the counts of its facility and source.
    pub(super) fn take_off(&mut self, db: &DB, row: &InstanceRow) -> Result<(), IndexError> {
        let source = [b"U".as_slice(), row.source.as_bytes()].concat();
        let facility = [b"T".as_slice(), row.key.study.facility.as_bytes()].concat();
        for key in [facility, source] {
            let count = self.count(db, key)?;
            let number = if row.outcome.copy > 0 { &mut count.conflicts } else { &mut count.instances };
            *number = number.saturating_sub(1);
            count.bytes = count.bytes.saturating_sub(row.file_len);
        }
        Ok(())
    }

    fn count(&mut self, db: &DB, key: Vec<u8>) -> Result<&mut Count, IndexError> {
        if !self.counts.contains_key(&key) {
            let stored = get_now(db, Table::Meta, &key, count)?.unwrap_or_default();
            self.counts.insert(key.clone(), (stored, false));
        }
        let (count, dirty) = self.counts.entry(key).or_default();
        *dirty = true;
        Ok(count)
    }

    /// Whether a registry entry of this record number is to be kept: not older than the one stored.
    pub(super) fn newest(&mut self, db: &DB, key: &[u8], lsn: Lsn) -> Result<bool, IndexError> {
        let stored = match self.registry.get(key) {
            Some(known) => Some(*known),
            None => get_now(db, Table::Meta, key, |bytes| number(Table::Meta, bytes.get(..8).unwrap_or_default()))?,
        };
        let newest = stored.is_none_or(|stored| stored <= lsn);
        if newest {
            self.registry.insert(key.to_vec(), lsn);
        }
        Ok(newest)
    }

    pub(super) fn write(&mut self, mut put: impl FnMut(&[u8], Vec<u8>)) {
        for (key, (count, dirty)) in self.counts.iter_mut().filter(|(_, (_, dirty))| *dirty) {
            let mut out = Encoder::default();
            let Count { studies, series, instances, conflicts, bytes, last_received } = *count;
            [studies, series, instances, conflicts, bytes, last_received].iter().for_each(|n| out.number(*n));
            put(key, out.bytes);
            *dirty = false;
        }
    }
}

/// Studies, series, instances, conflicts, bytes, last receipt.
pub(super) fn count(bytes: &[u8]) -> Result<Count, IndexError> {
    let row = &mut Decoder::new(Table::Meta.name(), bytes);
    Ok(Count {
        studies: row.number()?,
        series: row.number()?,
        instances: row.number()?,
        conflicts: row.number()?,
        bytes: row.number()?,
        last_received: row.number()?,
    })
}
