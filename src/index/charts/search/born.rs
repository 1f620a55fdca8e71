//! Patients by when they were born: a whole day is hardly a hundred people of three millions, a year a ninetieth of all.

use super::{Hits, PART_KEYS_MAX, ROWS_MAX, Search, Why, is_written, part_of, patient};
use crate::IndexError;
use crate::charts::{Born, BornQuery};
use model::chart::ChartRow;
use model::chart::asked::{Asked, is_lost, is_near};
use model::name;

/// Keys looked at for the rarest word of a name before its year of birth is walked instead.
const WORD_KEYS_MAX: usize = 10_000;
/// Keys looked at for a year, and for those of whom nobody knows it.
const YEAR_KEYS_MAX: usize = 80_000;

impl Search<'_> {
    /// Patients born on the day that is asked for whose name has all words; where nobody has, those of a name that one
    /// typing error or the lost letters make of it. Gives whether somebody has exactly this name.
    pub(super) fn by_day(&self, asked: &Asked, hits: &mut Hits) -> Result<bool, IndexError> {
        let Some(day) = asked.day.map(Born::Day) else { return Ok(false) };
        let lost = asked.words.iter().any(|word| word.contains('?'));
        let rows = if lost { Vec::new() } else { self.born(day, &asked.words, PART_KEYS_MAX)? };
        if rows.is_empty() {
            let near = self.born(day, &[], PART_KEYS_MAX)?.into_iter().filter(|row| is_like(&asked.words, row));
            near.for_each(|row| hits.add(Why::Near, row));
            return Ok(false);
        }
        let mut named = false;
        for row in rows {
            let why = match part_of(asked, &row) {
                Why::Name if is_written(asked, &row) => Why::Written,
                why => why,
            };
            named |= why <= Why::Name;
            hits.add(why, row);
        }
        Ok(named)
    }

    /// Patients of whose name the words are parts or beginnings, born in the year where one is asked for.
    pub(super) fn by_parts(&self, asked: &Asked) -> Result<Vec<ChartRow>, IndexError> {
        let query = self.of_parts(asked, &asked.words);
        let Some(year) = asked.year else { return self.page(&query, ROWS_MAX, PART_KEYS_MAX) };
        let (mut rows, more) = self.looked(&query, ROWS_MAX, WORD_KEYS_MAX)?;
        if more && rows.len() >= ROWS_MAX {
            self.cut.set(true);
        } else if more {
            for year in [year, 0] {
                rows.extend(self.born(Born::Year(year), &asked.words, YEAR_KEYS_MAX)?);
            }
        }
        Ok(rows)
    }

    fn born(&self, born: Born, words: &[String], keys: usize) -> Result<Vec<ChartRow>, IndexError> {
        let Some(left) = self.left() else { return Ok(Vec::new()) };
        let query = BornQuery { born, words: words.to_vec(), facilities: self.facilities.clone() };
        let (page, cost) = self.view.born(&query, ROWS_MAX, keys.min(left))?;
        self.spend(cost);
        if !page.whole {
            self.cut.set(true);
        }
        Ok(page.rows)
    }
}

/// Whether a name has all words, one of them with a typing error, or all that lost letters allow.
fn is_like(words: &[String], row: &ChartRow) -> bool {
    let known = patient(row).map(|patient| name::tokens(&patient.name)).unwrap_or_default();
    let (mut mistyped, mut missing) = (0, 0);
    for word in words {
        let any = |is: &dyn Fn(&str) -> bool| known.iter().any(|known| is(known.as_str()));
        if any(&|known: &str| known.starts_with(word.as_str()) || is_lost(word, known)) {
            continue;
        }
        if any(&|known: &str| is_near(known, word)) { mistyped += 1 } else { missing += 1 }
    }
    !words.is_empty() && missing == 0 && mistyped <= 1
}
