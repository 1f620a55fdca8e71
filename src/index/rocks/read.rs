//! Reading tables at one moment.

use super::lists::{CopyEntry, SeriesEntry};
use super::tables::{Table, bad_key, engine, number, pair, unpair};
use crate::codec::Decoder;
use crate::row::{InstanceRow, SeriesKey, SeriesRow, StudyKey, StudyRow};
use crate::{IndexError, encode};
use model::Layout;
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, Snapshot};

/// The handle of a table.
pub(crate) fn handle(db: &DB, table: Table) -> Result<&ColumnFamily, IndexError> {
    db.cf_handle(table.name()).ok_or(IndexError::Damaged { table: table.name(), what: "the table is missing" })
}

/// Decodes a value as it now is, without a snapshot.
pub(crate) fn get_now<T>(
    db: &DB,
    table: Table,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, IndexError>,
) -> Result<Option<T>, IndexError> {
    let value = db.get_pinned_cf(handle(db, table)?, key).map_err(engine("read a row"))?;
    value.map(|value| decode(&value)).transpose()
}

/// All tables at one moment.
pub(crate) struct Reader<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(db: &'a DB) -> Self {
        Self { db, snapshot: db.snapshot() }
    }

    /// Decodes a value.
    pub(crate) fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, IndexError>,
    ) -> Result<Option<T>, IndexError> {
        let value = self.snapshot.get_pinned_cf(handle(self.db, table)?, key).map_err(engine("read a row"))?;
        value.map(|value| decode(&value)).transpose()
    }

    /// A run of keys from one to before another, standing on its first.
    pub(crate) fn run(&self, table: Table, from: &[u8], before: Option<Vec<u8>>) -> Result<Run<'_>, IndexError> {
        let mut options = ReadOptions::default();
        if let Some(before) = before {
            options.set_iterate_upper_bound(before);
        }
        let mut iterator = self.snapshot.raw_iterator_cf_opt(handle(self.db, table)?, options);
        iterator.seek(from);
        Ok(Run { iterator })
    }

    /// A run to the end of a table whose blocks are read once and leave those in the cache that others ask for.
    pub(super) fn once(&self, table: Table, from: &[u8]) -> Result<Run<'_>, IndexError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(handle(self.db, table)?, options);
        iterator.seek(from);
        Ok(Run { iterator })
    }

    /// All keys that begin so.
    pub(crate) fn prefix(&self, table: Table, prefix: &[u8]) -> Result<Run<'_>, IndexError> {
        self.run(table, prefix, after_prefix(prefix))
    }

    /// A study by its ordinal.
    pub(super) fn study(&self, ordinal: u64) -> Result<Option<StudyRow>, IndexError> {
        self.get(Table::Studies, &ordinal.to_be_bytes(), encode::study)
    }

    /// A series by its ordinal.
    pub(super) fn series(&self, study: &StudyKey, at: (u64, u64)) -> Result<Option<SeriesRow>, IndexError> {
        self.get(Table::Series, &pair(at.0, at.1), |bytes| encode::series(study, bytes))
    }

    /// The instance of a copy, conflict or not.
    pub(super) fn copy(&self, entry: &CopyEntry) -> Result<Option<InstanceRow>, IndexError> {
        if entry.series == 0 {
            return self.get(Table::Conflicts, &entry.seq.to_be_bytes(), conflict);
        }
        let Some(study) = self.study(entry.study)? else { return Ok(None) };
        let Some(series) = self.series(&study.key, (entry.study, entry.series))? else { return Ok(None) };
        let at = pair(entry.series, entry.seq);
        match self.get(Table::Instances, &at, |bytes| encode::instance(&series.key, bytes))? {
            Some(row) => Ok(Some(row)),
            None => self.folded(&series.key, entry.series, entry.seq),
        }
    }

    /// The layout of an instance.
    pub(super) fn layout(&self, row: &InstanceRow) -> Result<Layout, IndexError> {
        if let Some(layout) = row.plain_layout() {
            return Ok(layout);
        }
        let missing = IndexError::Damaged { table: Table::Layouts.name(), what: "no layout for an instance" };
        let loose = || self.get(Table::Layouts, &row.seq.to_be_bytes(), encode::layout);
        if row.home.journal().is_none()
            && let Some(layout) = self.folded_layout(row)?
        {
            return Ok(layout);
        }
        // It may have been folded since its row was read.
        let found = loose()?.map_or_else(|| self.folded_layout(row), |layout| Ok(Some(layout)))?;
        found.ok_or(missing)
    }
}

impl SeriesEntry {
    /// Whether the entry is of this series, as it was received or as it stands.
    pub(super) fn is(&self, key: &SeriesKey) -> bool {
        self.stands(key) || self.was_received(key)
    }

    /// Whether the entry is of this series, as it stands.
    pub(super) fn stands(&self, key: &SeriesKey) -> bool {
        match &self.placed {
            Some((study, patient)) => *patient == key.study.patient && *study == key.study.study,
            None => self.was_received(key),
        }
    }

    /// Whether the entry is of this series, as it was received.
    pub(super) fn was_received(&self, key: &SeriesKey) -> bool {
        self.patient == key.study.patient && self.known.study == key.study.study
    }
}

/// Reads a copy in conflict.
pub(super) fn conflict(bytes: &[u8]) -> Result<InstanceRow, IndexError> {
    let row = &mut Decoder::new(Table::Conflicts.name(), bytes);
    let key = SeriesKey { study: encode::study_key(row)?, series: row.uid()? };
    encode::instance(&key, row.rest())
}

/// The first key after all that begin so.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if let Some(next) = last.checked_add(1) {
            after.push(next);
            return Some(after);
        }
    }
    None
}

/// A key and its value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// A run of keys.
pub(crate) struct Run<'a> {
    iterator: DBRawIterator<'a>,
}

impl Run<'_> {
    /// The key and value it stands on; none at the end.
    pub(crate) fn here(&self) -> Result<Option<Pair<'_>>, IndexError> {
        match self.iterator.item() {
            Some(item) => Ok(Some(item)),
            None => self.iterator.status().map(|()| None).map_err(engine("walk a table")),
        }
    }

    /// Goes on to the next key.
    pub(crate) fn step(&mut self) {
        if self.iterator.valid() {
            self.iterator.next();
        }
    }

    /// Goes on to the first key not before this one.
    pub(super) fn seek(&mut self, key: &[u8]) {
        self.iterator.seek(key);
    }

    /// Goes back to the last key not after this one; it may lie before the run.
    pub(super) fn seek_back(&mut self, key: &[u8]) {
        self.iterator.seek_for_prev(key);
    }

    /// Decodes every pair up to a limit.
    pub(crate) fn collect<T>(
        mut self,
        limit: usize,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, IndexError>,
    ) -> Result<Vec<T>, IndexError> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            let Some((key, value)) = self.here()? else { break };
            rows.push(decode(key, value)?);
            self.step();
        }
        Ok(rows)
    }
}

/// The second number of a key of two.
pub(super) fn second(table: Table, key: &[u8]) -> Result<u64, IndexError> {
    unpair(table, key).map(|(_, second)| second)
}

/// The number after a key's first byte.
pub(super) fn number_after_kind(table: Table, key: &[u8]) -> Result<u64, IndexError> {
    number(table, key.get(1..).ok_or_else(|| bad_key(table))?)
}
