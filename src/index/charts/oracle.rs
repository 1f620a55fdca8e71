//! The index of charts in memory: looks at every row for every question, so that it is obviously right.
//!
//! It is what other engines are compared with. Deliberately not here: speed, and anything that survives the process.

use super::{
    BornPage, BornQuery, ChartCursor, ChartDriver, ChartEntry, ChartNames, ChartPage, ChartQuery, Charts, ROW_COST,
    WORDS_EXAMINED_MAX, keys,
};
use crate::{IndexError, dump};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Term};
use model::{Lsn, name};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The index of charts in memory.
#[derive(Debug, Default)]
pub struct ChartsOracle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<ChartKey, ChartRow>,
    applied: Lsn,
}

impl ChartsOracle {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

/// What rows are in order by.
fn order(at: ChartCursor) -> (Reverse<u64>, Reverse<Lsn>, u32) {
    (Reverse(at.moment), Reverse(at.created), at.tie)
}

/// Whether a patient's name has a word that begins with each of these, and the year of birth is among those.
fn is_named(body: &ChartBody, words: &[String], years: Option<(u16, u16)>) -> bool {
    let ChartBody::Patient(patient) = body else { return false };
    let year = patient.birth.map(model::chart::BirthDate::year);
    let born = match (years, year) {
        (Some((from, to)), Some(year)) => from <= year && year <= to,
        _ => true,
    };
    let known = name::words(&name::fold_names(&patient.name));
    let begins = |word: &String| known.iter().any(|known| known.starts_with(word.as_str()));
    let asked = words.iter().any(|word| !word.is_empty());
    // The one that stays of a merge answers for both.
    patient.merged_into.is_none() && asked && born && words.iter().filter(|word| !word.is_empty()).all(begins)
}

fn is_wanted(query: &ChartQuery, row: &ChartRow) -> bool {
    let moment = row.body.moment();
    let driven = match &query.driver {
        ChartDriver::Equal(term, value) => {
            let value = keys::value(value);
            // The value of a term that stands for every row is empty.
            keys::found(&row.body).iter().any(|found| found.term == *term && found.value == value)
        }
        ChartDriver::Words(words) => is_named(&row.body, words, query.years),
    };
    row.key.kind == query.kind
        && query.facilities.as_ref().is_none_or(|wanted| wanted.contains(&row.key.facility))
        && query.moments.is_none_or(|(from, to)| from <= moment && moment <= to)
        && driven
}

fn is_born(query: &BornQuery, row: &ChartRow) -> bool {
    let (term, begins) = (query.born.term(), query.born.begins());
    let found = keys::found(&row.body);
    let mut values = found.iter().filter(|found| found.term == term && found.value.starts_with(&begins));
    row.key.kind == ChartKind::Patient
        && query.facilities.as_ref().is_none_or(|wanted| wanted.contains(&row.key.facility))
        && values.any(|found| query.is_named(&found.value))
}

/// Every word of patients' names with how many have it.
fn words(rows: &BTreeMap<ChartKey, ChartRow>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows.values() {
        for found in keys::found(&row.body).into_iter().filter(|found| found.term == Term::NameWord) {
            *counts.entry(found.value).or_default() += 1;
        }
    }
    counts
}

impl Charts for ChartsOracle {
    fn apply(&self, batch: &[ChartEntry], through: Lsn) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        if through < state.applied {
            return Ok(());
        }
        for entry in batch {
            if let ChartEntry::Put(row) = entry {
                super::fits(row)?;
            }
        }
        for entry in batch {
            match entry {
                ChartEntry::Put(row) if state.rows.get(&row.key).is_some_and(|known| known.lsn > row.lsn) => {}
                ChartEntry::Put(row) => {
                    state.rows.insert(row.key.clone(), row.as_ref().clone());
                }
                ChartEntry::Gone(key) => {
                    state.rows.remove(key);
                }
            }
        }
        state.applied = through;
        Ok(())
    }

    fn applied(&self) -> Lsn {
        self.state.lock().applied
    }

    fn flush(&self) -> Result<Lsn, IndexError> {
        Ok(self.applied())
    }

    fn row(&self, key: &ChartKey) -> Result<Option<ChartRow>, IndexError> {
        Ok(self.state.lock().rows.get(key).cloned())
    }

    fn find(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, IndexError> {
        let state = self.state.lock();
        let behind = |row: &&ChartRow| after.is_none_or(|after| order(ChartCursor::of(row)) > order(after));
        let wanted = state.rows.values().filter(|row| is_wanted(query, row)).filter(behind);
        let mut rows: Vec<ChartRow> = wanted.cloned().collect();
        rows.sort_by_key(|row| (order(ChartCursor::of(row)), row.key.clone()));
        let last = rows.get(limit.max(1) - 1).map(ChartCursor::of);
        // Rows that no cursor tells apart stand on one page.
        let end =
            last.map_or(rows.len(), |last| rows.partition_point(|row| order(ChartCursor::of(row)) <= order(last)));
        let cursor = if end < rows.len() { last } else { None };
        rows.truncate(end);
        Ok(ChartPage { rows, cursor })
    }

    fn find_within(
        &self,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
        keys: usize,
    ) -> Result<(ChartPage, usize), IndexError> {
        let page = self.find(query, after, limit.min(keys / ROW_COST))?;
        let cost = page.rows.len().saturating_mul(ROW_COST);
        Ok((page, cost))
    }

    fn born(&self, query: &BornQuery, limit: usize, _keys: usize) -> Result<(BornPage, usize), IndexError> {
        let state = self.state.lock();
        let mut rows: Vec<ChartRow> = state.rows.values().filter(|row| is_born(query, row)).cloned().collect();
        rows.sort_by_key(|row| (order(ChartCursor::of(row)), row.key.clone()));
        let whole = rows.len() <= limit;
        rows.truncate(limit);
        let cost = rows.len().saturating_mul(ROW_COST);
        Ok((BornPage { rows, whole }, cost))
    }

    fn names(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartNames, IndexError> {
        let page = self.find(query, after, limit)?;
        let names = page.rows.into_iter().map(|row| (ChartCursor::of(&row), row.key)).collect();
        Ok(ChartNames { names, cursor: page.cursor })
    }

    fn words(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, IndexError> {
        let all = words(&self.state.lock().rows).into_iter().filter(|(word, _)| word.starts_with(prefix));
        let mut found: Vec<_> = all.take(WORDS_EXAMINED_MAX).collect();
        found.sort_by_key(|(word, count)| (Reverse(*count), word.clone()));
        found.truncate(limit);
        Ok(found)
    }

    fn rows(&self, after: Option<&ChartKey>, limit: usize) -> Result<Vec<ChartRow>, IndexError> {
        let state = self.state.lock();
        let behind = state.rows.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(behind.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn purge(&self) -> Result<u64, IndexError> {
        Ok(0)
    }

    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        let state = self.state.lock();
        let mut dump = dump::Writer::new(out);
        state.rows.values().try_for_each(|row| dump.chart_row(row))?;
        let all: BTreeMap<Vec<u8>, Vec<u8>> = state.rows.values().flat_map(keys::of_row).collect();
        all.iter().for_each(|(key, payload)| dump.chart_key(key, payload));
        words(&state.rows).iter().for_each(|(word, count)| dump.chart_word(word, *count));
        Ok(())
    }
}
