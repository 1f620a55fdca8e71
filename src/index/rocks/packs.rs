//! The tables `packs` and `manifests`: what packs there are and which series they belong to.

use super::apply::{Applier, instance_row};
use super::read::{Reader, get_now, handle};
use super::tables::{Table, bad_key, number};
use crate::row::{InstanceRow, PackRow, SeriesKey, StudyKey};
use crate::{IndexError, encode};
use model::pack::{PackFact, Packed};
use model::{Home, PackId};
use rocksdb::DB;

fn row_key(pack: PackId) -> Vec<u8> {
    [b"I".as_slice(), pack.as_bytes()].concat()
}

pub(super) fn series_prefix(series: u64) -> Vec<u8> {
    [b"S".as_slice(), &series.to_be_bytes()].concat()
}

fn series_entry(series: u64, pack: PackId) -> Vec<u8> {
    [series_prefix(series).as_slice(), pack.as_bytes()].concat()
}

fn decode(pack: PackId, value: &[u8]) -> Result<(u64, PackRow), IndexError> {
    let (series, row) = value.split_at_checked(8).ok_or_else(|| bad_key(Table::Packs))?;
    Ok((number(Table::Packs, series)?, encode::pack(pack, row)?))
}

/// The name at the end of a key.
pub(super) fn name(key: &[u8], before: usize) -> Result<PackId, IndexError> {
    let bytes = key.get(before..).and_then(|name| name.try_into().ok());
    bytes.map(PackId::new).ok_or_else(|| bad_key(Table::Packs))
}

impl Applier {
    /// Applies a fact about a pack; it is alone in its batch, so rows are read as they are stored.
    pub(super) fn pack(&mut self, db: &DB, fact: &PackFact) -> Result<(), IndexError> {
        if let PackFact::Packed(packed) = fact {
            return self.packed(db, packed);
        }
        let pack = fact.pack();
        let known = get_now(db, Table::Packs, &row_key(pack), |value| decode(pack, value))?;
        if let Some((series, mut row)) = known
            && row.take(fact)
        {
            self.put_pack(db, series, &row)?;
        }
        Ok(())
    }

    fn packed(&mut self, db: &DB, packed: &Packed) -> Result<(), IndexError> {
        let study = StudyKey { facility: packed.facility, study: packed.study.clone(), patient: packed.patient };
        let key = SeriesKey { study, series: packed.series.clone() };
        let last_seq = packed.seqs.iter().copied().max().unwrap_or(0);
        let gone = self.is_buried(db, &key.study, |buried| last_seq <= buried.through)?;
        let named = if gone { None } else { self.named(db, &key)? };
        // It may have stood there when the pack was written, and stand elsewhere since.
        let found = if named.is_none() { self.holder(db, &key, &packed.seqs)? } else { named };
        let Some((study, series)) = found else { return Ok(()) };
        self.load_series(db, study, series)?;
        let mut moved = 0;
        for (slot, seq) in (0..).zip(&packed.seqs) {
            let home = Home::Pack { pack: packed.pack, slot };
            if let Some((row, folded)) = self.row_of(db, &key, series, *seq)? {
                moved += u64::from(row.home.journal().is_some());
                if !folded || row.home != home {
                    self.fold(db, row, series, (packed.pack, slot), folded)?;
                }
            } else if let Some(row) = instance_row(db, &key, 0, *seq)?.filter(|row| row.key == key) {
                self.put_row(db, &InstanceRow { home, ..row }, 0)?;
            }
        }
        if let Some(cell) = self.series.get_mut(&series) {
            cell.row.packed += moved;
            cell.dirty = true;
        }
        for replaced in &packed.replaces {
            self.batch.delete_cf(handle(db, Table::Packs)?, row_key(*replaced));
            self.batch.delete_cf(handle(db, Table::Packs)?, series_entry(series, *replaced));
            self.batch.delete_cf(handle(db, Table::Manifests)?, replaced.as_bytes());
        }
        // Known already: this is a replay, and later facts about it were applied.
        if get_now(db, Table::Packs, &row_key(packed.pack), |_| Ok(()))?.is_none() {
            let stands = self.series.get(&series).map_or(key, |cell| cell.row.key.clone());
            self.put_pack(db, series, &PackRow { series: stands, ..PackRow::of(packed) })?;
        }
        Ok(())
    }

    pub(super) fn put_pack(&mut self, db: &DB, series: u64, row: &PackRow) -> Result<(), IndexError> {
        let table = handle(db, Table::Packs)?;
        self.batch.put_cf(table, row_key(row.pack), value_of(series, row));
        self.batch.put_cf(table, series_entry(series, row.pack), []);
        Ok(())
    }
}

/// The key of a pack among those of destroyed studies.
pub(super) fn doomed_key(pack: PackId) -> Vec<u8> {
    [b"D".as_slice(), pack.as_bytes()].concat()
}

/// A pack's row with the ordinal of its series before it.
pub(super) fn value_of(series: u64, row: &PackRow) -> Vec<u8> {
    let mut out = crate::codec::Encoder::with_capacity(256);
    out.raw(&series.to_be_bytes());
    encode::put_pack(&mut out, row);
    out.bytes
}

impl Applier {
    /// Takes the packs of a series out of the tables, into those that are to be destroyed.
    pub(super) fn doom_packs(&mut self, db: &DB, series: u64) -> Result<(), IndexError> {
        for row in Reader::new(db).packs_of(series)? {
            let table = handle(db, Table::Packs)?;
            self.batch.delete_cf(table, row_key(row.pack));
            self.batch.delete_cf(table, series_entry(series, row.pack));
            self.batch.put_cf(table, doomed_key(row.pack), value_of(0, &row));
            self.batch.delete_cf(handle(db, Table::Manifests)?, row.pack.as_bytes());
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Packs of destroyed studies.
    pub(super) fn doomed(&self, limit: usize) -> Result<Vec<PackRow>, IndexError> {
        let run = self.prefix(Table::Packs, b"D")?;
        run.collect(limit, |key, value| decode(name(key, 1)?, value).map(|(_, row)| row))
    }

    pub(super) fn pack(&self, pack: PackId) -> Result<Option<PackRow>, IndexError> {
        self.get(Table::Packs, &row_key(pack), |value| decode(pack, value).map(|(_, row)| row))
    }

    /// Bytes of a pack's files, of its hot and of its cold copy.
    pub(super) fn pack_bytes(&self, pack: PackId) -> Result<Option<[u64; 3]>, IndexError> {
        self.get(Table::Packs, &row_key(pack), |value| {
            let (_, row) = value.split_at_checked(8).ok_or_else(|| bad_key(Table::Packs))?;
            encode::pack_bytes(row)
        })
    }

    /// The packs of a series by part, then by name.
    pub(super) fn packs_of(&self, series: u64) -> Result<Vec<PackRow>, IndexError> {
        let prefix = series_prefix(series);
        let run = self.prefix(Table::Packs, &prefix)?;
        let mut rows = Vec::new();
        for pack in run.collect(usize::MAX, |key, _| name(key, prefix.len()))? {
            rows.extend(self.pack(pack)?);
        }
        rows.sort_by_key(|row| (row.part, row.pack));
        Ok(rows)
    }

    /// All packs by name, after one.
    pub(super) fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackRow>, IndexError> {
        let mut from = after.map_or_else(|| b"I".to_vec(), row_key);
        if after.is_some() {
            // The first key behind it.
            from.push(0);
        }
        let run = self.run(Table::Packs, &from, Some(b"J".to_vec()))?;
        run.collect(limit, |key, value| decode(name(key, 1)?, value).map(|(_, row)| row))
    }
}
