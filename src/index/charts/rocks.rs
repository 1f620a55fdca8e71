//! The index of charts on RocksDB: a database of its own, beside that of objects and with its settings.
//!
//! RocksDB's own log is off: the journal of charts is the log. All tables flush at one position, which stands in the
//! table `meta`; after a crash the journal is replayed from there. One applier writes; readers see whole batches.
//! Deliberately not here: the form of keys ([`super::keys`]), and when to flush.

mod apply;
mod born;
mod find;
mod rows;
mod streams;
#[cfg(test)]
mod tests;

use super::{
    BornPage, BornQuery, ChartCursor, ChartEntry, ChartNames, ChartPage, ChartQuery, Charts, ROW_COST,
    WORDS_EXAMINED_MAX, keys,
};
use crate::rocks::purge;
use crate::rocks::read::{Reader, get_now, handle};
use crate::rocks::tables::{self, Table, bad_key, engine, number, unlogged};
use crate::{IndexError, RocksOptions, dump};
use apply::Writing;
use model::Lsn;
use model::chart::{ChartKey, ChartRow};
use parking_lot::Mutex;
use rocksdb::DB;
use rows::Stored;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Newest format of keys and tables; rows have a version of their own.
const FORMAT: u32 = 3;

/// The index of charts on RocksDB.
pub struct RocksCharts {
    db: DB,
    applier: Mutex<()>,
    applied: AtomicU64,
    compressed: bool,
}

impl std::fmt::Debug for RocksCharts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksCharts").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl RocksCharts {
    /// Opens the index in a directory, or creates it.
    pub fn open(path: &Path, options: RocksOptions) -> Result<Self, IndexError> {
        let db = tables::open(path, &options, &Table::CHARTS, FORMAT)?;
        let of_meta = |key: &[u8]| get_now(&db, Table::Meta, key, |bytes| number(Table::Meta, bytes));
        let applied = of_meta(b"applied")?.unwrap_or(0);
        match of_meta(b"format")? {
            Some(found) if found > u64::from(FORMAT) => {
                return Err(IndexError::Newer { found: u32::try_from(found).unwrap_or(u32::MAX), known: FORMAT });
            }
            // Its keys would be others: it is built anew.
            Some(found) if found < u64::from(FORMAT) => {
                return Err(IndexError::Damaged { table: Table::Meta.name(), what: "its keys are of an older format" });
            }
            Some(_) => {}
            None => {
                purge::begin(&db)?;
                let format = u64::from(FORMAT).to_be_bytes();
                let write = db.put_cf_opt(handle(&db, Table::Meta)?, b"format", format, &unlogged());
                write.map_err(engine("write the format"))?;
            }
        }
        let compressed = options.compressed;
        Ok(Self { db, applier: Mutex::new(()), applied: AtomicU64::new(applied), compressed })
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.db)
    }
}

fn name(key: &[u8]) -> Result<ChartKey, IndexError> {
    keys::row_name(key).ok_or_else(|| bad_key(Table::Rows))
}

fn counted(key: &[u8], value: &[u8]) -> Result<(String, u64), IndexError> {
    let word = std::str::from_utf8(key).map_err(|_| bad_key(Table::Words))?;
    Ok((word.to_owned(), number(Table::Words, value)?))
}

impl Charts for RocksCharts {
    fn apply(&self, batch: &[ChartEntry], through: Lsn) -> Result<(), IndexError> {
        let _applier = self.applier.lock();
        if through < self.applied() {
            return Ok(());
        }
        let mut writing = Writing::new(&self.db, self.compressed);
        batch.iter().try_for_each(|entry| writing.take(entry))?;
        writing.commit(through)?;
        self.applied.store(through, Ordering::Release);
        Ok(())
    }

    fn applied(&self) -> Lsn {
        self.applied.load(Ordering::Acquire)
    }

    fn flush(&self) -> Result<Lsn, IndexError> {
        // Taken before: what is applied while the flush runs may or may not be in it.
        let applied = self.applied();
        tables::flush(&self.db, &Table::CHARTS)?;
        Ok(applied)
    }

    fn row(&self, key: &ChartKey) -> Result<Option<ChartRow>, IndexError> {
        get_now(&self.db, Table::Rows, &keys::row(key), |bytes| Ok(Stored::decode(key.clone(), bytes)?.row))
    }

    fn find(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, IndexError> {
        find::find(&self.reader(), query, after, limit, find::EXAMINED_MAX).map(|(page, _)| page)
    }

    fn find_within(
        &self,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
        keys: usize,
    ) -> Result<(ChartPage, usize), IndexError> {
        let (limit, examined_max) = (limit.min(keys / ROW_COST), keys.min(find::EXAMINED_MAX));
        let (page, cost) = find::find(&self.reader(), query, after, limit, examined_max)?;
        Ok((page, cost.whole()))
    }

    fn born(&self, query: &BornQuery, limit: usize, keys: usize) -> Result<(BornPage, usize), IndexError> {
        let (page, cost) = born::born(&self.reader(), query, limit.min(keys / ROW_COST), keys)?;
        Ok((page, cost.whole()))
    }

    fn names(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartNames, IndexError> {
        find::names(&self.reader(), query, after, limit)
    }

    fn words(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, IndexError> {
        let reader = self.reader();
        let mut words = reader.prefix(Table::Words, prefix.as_bytes())?.collect(WORDS_EXAMINED_MAX, counted)?;
        // Stable: of words that are equally frequent the first in the alphabet comes first.
        words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        words.truncate(limit);
        Ok(words)
    }

    fn rows(&self, after: Option<&ChartKey>, limit: usize) -> Result<Vec<ChartRow>, IndexError> {
        // The first key behind one is that key and a zero.
        let from = after.map_or_else(Vec::new, |after| [keys::row(after).as_slice(), &[0]].concat());
        let row = |key: &[u8], value: &[u8]| Stored::decode(name(key)?, value).map(|stored| stored.row);
        self.reader().run(Table::Rows, &from, None)?.collect(limit, row)
    }

    fn purge(&self) -> Result<u64, IndexError> {
        purge::purge(&self.db, &self.applier, &Table::CHARTS)
    }

    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        let reader = self.reader();
        let mut dump = dump::Writer::new(out);
        let mut rows = reader.prefix(Table::Rows, b"")?;
        while let Some((key, value)) = rows.here()? {
            dump.chart_row(&Stored::decode(name(key)?, value)?.row)?;
            rows.step();
        }
        let mut terms = reader.prefix(Table::Terms, b"")?;
        while let Some((key, payload)) = terms.here()? {
            dump.chart_key(key, payload);
            terms.step();
        }
        let mut words = reader.prefix(Table::Words, b"")?;
        while let Some((key, value)) = words.here()? {
            let (word, count) = counted(key, value)?;
            dump.chart_word(&word, count);
            words.step();
        }
        Ok(())
    }
}
