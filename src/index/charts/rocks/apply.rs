//! Turning a batch of rows into one atomic write.
//!
//! What a row was found by goes exactly with it: its former keys are derived from the row that is replaced. A deleted
//! key stays in the files until a compaction meets it; each row remembers its former ones, and when the row is gone all
//! of them are noted for [`crate::rocks::purge`].

use super::rows::Stored;
use crate::IndexError;
use crate::charts::keys::{self, Former};
use crate::charts::{ChartEntry, fits};
use crate::rocks::purge::note;
use crate::rocks::read::{get_now, handle};
use crate::rocks::tables::{Table, engine, number, unlogged};
use model::Lsn;
use model::chart::{ChartKey, ChartKind, ChartRow};
use rocksdb::{DB, WriteBatch};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One batch in the making.
pub(super) struct Writing<'a> {
    db: &'a DB,
    compressed: bool,
    /// Number of the notes of this batch: higher than that of every batch before.
    number: u64,
    batch: WriteBatch,
    /// Rows as they are after what was taken so far, by key.
    rows: HashMap<Vec<u8>, Option<Stored>>,
    /// How many patients have each word whose number changes.
    words: BTreeMap<String, u64>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(db: &'a DB, compressed: bool) -> Self {
        Self {
            db,
            compressed,
            number: db.latest_sequence_number(),
            batch: WriteBatch::default(),
            rows: HashMap::new(),
            words: BTreeMap::new(),
        }
    }

    /// Takes one change.
    pub(super) fn take(&mut self, entry: &ChartEntry) -> Result<(), IndexError> {
        match entry {
            ChartEntry::Put(row) => self.put(row),
            ChartEntry::Gone(name) => self.gone(name),
        }
    }

    /// Writes everything, and how far the index stands.
    pub(super) fn commit(mut self, applied: Lsn) -> Result<(), IndexError> {
        let words = handle(self.db, Table::Words)?;
        for (word, count) in &self.words {
            if *count == 0 {
                self.batch.delete_cf(words, word);
            } else {
                self.batch.put_cf(words, word, count.to_be_bytes());
            }
        }
        self.batch.put_cf(handle(self.db, Table::Meta)?, b"applied", applied.to_be_bytes());
        self.db.write_opt(self.batch, &unlogged()).map_err(engine("apply a batch"))
    }

    /// The row as it is now.
    fn known(&mut self, at: &[u8], name: &ChartKey) -> Result<Option<Stored>, IndexError> {
        match self.rows.remove(at) {
            Some(known) => Ok(known),
            None => get_now(self.db, Table::Rows, at, |bytes| Stored::decode(name.clone(), bytes)),
        }
    }

    fn put(&mut self, row: &ChartRow) -> Result<(), IndexError> {
        fits(row)?;
        let at = keys::row(&row.key);
        let known = self.known(&at, &row.key)?;
        if known.as_ref().is_some_and(|known| known.row.lsn > row.lsn || known.row == *row) {
            self.rows.insert(at, known);
            return Ok(());
        }
        let fresh = keys::of_row(row);
        let former = match known {
            Some(known) => self.replace(known, row, &fresh)?,
            None => {
                self.add(&fresh, &BTreeMap::new())?;
                self.recount(&BTreeSet::new(), &keys::words(&row.body))?;
                Former::default()
            }
        };
        let stored = Stored { row: row.clone(), former };
        self.batch.put_cf(handle(self.db, Table::Rows)?, &at, stored.encode(self.compressed)?);
        self.rows.insert(at, Some(stored));
        Ok(())
    }

    /// Removes what a row was found by and its successor is not; gives what the successor remembers of it.
    fn replace(
        &mut self,
        known: Stored,
        row: &ChartRow,
        fresh: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Former, IndexError> {
        let terms = handle(self.db, Table::Terms)?;
        let old = keys::of_row(&known.row);
        for key in old.keys().filter(|key| !fresh.contains_key(*key)) {
            self.batch.delete_cf(terms, key);
        }
        self.add(fresh, &old)?;
        self.recount(&keys::words(&known.row.body), &keys::words(&row.body))?;
        let mut former = known.former;
        // Of messages all keys are rewritten when one goes.
        if row.key.kind != ChartKind::Message {
            self.note_keys(&row.key, &former.take(&known.row, row))?;
        }
        Ok(former)
    }

    /// Writes the keys that are not there yet, or have something else beside them.
    fn add(&mut self, fresh: &BTreeMap<Vec<u8>, Vec<u8>>, old: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), IndexError> {
        let terms = handle(self.db, Table::Terms)?;
        for (key, payload) in fresh.iter().filter(|(key, payload)| old.get(*key) != Some(*payload)) {
            self.batch.put_cf(terms, key, payload);
        }
        Ok(())
    }

    fn gone(&mut self, name: &ChartKey) -> Result<(), IndexError> {
        let at = keys::row(name);
        let Some(known) = self.known(&at, name)? else {
            self.rows.insert(at, None);
            return Ok(());
        };
        let terms = handle(self.db, Table::Terms)?;
        for key in keys::of_row(&known.row).into_keys() {
            self.batch.delete_cf(terms, key);
        }
        self.note_keys(name, &known.former.keys(&known.row))?;
        self.recount(&keys::words(&known.row.body), &BTreeSet::new())?;
        self.batch.delete_cf(handle(self.db, Table::Rows)?, &at);
        let start = if name.kind == ChartKind::Message { at.get(..1) } else { None };
        note(self.db, &mut self.batch, self.number, Table::Rows, start.unwrap_or(&at))?;
        self.rows.insert(at, None);
        Ok(())
    }

    /// Notes that these keys of a row may stand in files; of the words of names the whole small table is rewritten.
    /// Messages go in masses, day by day, and are not kept for long: for them all of their kind is rewritten, and one note
    /// is enough.
    fn note_keys(&mut self, name: &ChartKey, keys: &[Vec<u8>]) -> Result<(), IndexError> {
        if keys.is_empty() {
            return Ok(());
        }
        if name.kind == ChartKind::Message {
            return note(self.db, &mut self.batch, self.number, Table::Terms, &[name.kind.code()]);
        }
        for key in keys {
            note(self.db, &mut self.batch, self.number, Table::Terms, key)?;
        }
        if name.kind == ChartKind::Patient {
            note(self.db, &mut self.batch, self.number, Table::Words, b"")?;
        }
        Ok(())
    }

    /// Counts what a patient's name has now instead of what it had.
    fn recount(&mut self, old: &BTreeSet<String>, new: &BTreeSet<String>) -> Result<(), IndexError> {
        for word in old.difference(new) {
            let count = self.count(word)?;
            *count = count.saturating_sub(1);
        }
        for word in new.difference(old) {
            *self.count(word)? += 1;
        }
        Ok(())
    }

    fn count(&mut self, word: &str) -> Result<&mut u64, IndexError> {
        if !self.words.contains_key(word) {
            let known = get_now(self.db, Table::Words, word.as_bytes(), |bytes| number(Table::Words, bytes))?;
            self.words.insert(word.to_owned(), known.unwrap_or(0));
        }
        Ok(self.words.entry(word.to_owned()).or_default())
    }
}
