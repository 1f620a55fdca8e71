//! Looking at every study there is, as a plan does.
//!
//! All of them come as they lie in the index, so that each block of it is read once and memory does not grow; those of
//! one facility by its own key, so that a small clinic's plan does not walk a province.
//! Deliberately not here: what is looked for.

use super::RetainError;
use crate::open::Archive;
use index::{Cursor, StudyRow, plan};
use model::query::Query;
use model::{FacilityCode, Level};

/// Studies asked of the index at once.
const PAGE: usize = 500;

/// Takes a study, how many were given and how many there may be.
pub(super) type Look<'a> = dyn FnMut(StudyRow, u64, u64) -> Result<(), RetainError> + 'a;

impl Archive {
    /// Gives every study, hidden ones too.
    pub(super) fn each_study(&self, facility: Option<FacilityCode>, look: &mut Look<'_>) -> Result<(), RetainError> {
        let stats = self.index().stats()?;
        let Some(facility) = facility else { return self.as_they_came(stats.total.studies, look) };
        let query = Query { level: Level::Study, conditions: Vec::new(), fuzzy: false };
        // Hidden ones, too: a study of nothing but rejected images is found by nobody, and goes in its time all the same.
        let plan = plan(&query, Some(&[facility])).with_hidden();
        let total = stats.facilities.get(&facility).map_or(0, |count| count.studies);
        let (mut cursor, mut looked): (Option<Cursor>, u64) = (None, 0);
        loop {
            let page = self.index().find(&plan, cursor.as_ref(), PAGE)?;
            for found in page.rows {
                looked += 1;
                look((*found.study).clone(), looked, total.max(looked))?;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn as_they_came(&self, total: u64, look: &mut Look<'_>) -> Result<(), RetainError> {
        let (mut cursor, mut looked): (Option<Cursor>, u64) = (None, 0);
        loop {
            let page = self.index().arrivals(cursor.as_ref(), PAGE)?;
            for row in page.rows {
                looked += 1;
                look(row, looked, total.max(looked))?;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}
