//! Looking at every study there is, as a plan does.
//!
//! All of them come as they lie in the index, so that each block of it is read once and memory does not grow; those of
//! one facility by its own key, so that a small clinic's plan does not walk a province. They are read and looked into
//! on a thread of their own, a few pages ahead of the one that takes them, in order.
//! Deliberately not here: what is looked for.

use super::RetainError;
use super::candidate::Study;
use crate::open::Archive;
use index::{Cursor, IndexError, Look, StudyRow, plan};
use model::query::Query;
use model::{FacilityCode, Level};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;

/// Studies asked of the index and looked into at once; few in tests, so that there are several pages.
const PAGE: usize = if cfg!(test) { 5 } else { 500 };
/// Pages that wait to be taken.
const AHEAD: usize = 2;

/// Judges a study by its row, and by what it holds where that is needed; none when there is nothing to say of it.
pub(super) type Judge<'a> = dyn Fn(&mut dyn Look, StudyRow) -> Result<Option<Study>, IndexError> + Sync + 'a;
/// Takes what was judged, how many were looked at and how many there may be.
pub(super) type Take<'a> = dyn FnMut(Option<Study>, u64, u64) -> Result<(), RetainError> + 'a;

/// Some studies in their order, and how many there may be in all.
struct Judged {
    studies: Vec<Option<Study>>,
    total: u64,
}

/// Takes rows in order and how many there may be; tells whether more are wanted.
type Page<'a> = dyn FnMut(Vec<StudyRow>, u64) -> Result<bool, IndexError> + 'a;

impl Archive {
    /// Judges every study, hidden ones too, and gives all of them in order.
    pub(super) fn each_study(
        &self,
        facility: Option<FacilityCode>,
        judge: &Judge<'_>,
        take: &mut Take<'_>,
    ) -> Result<(), RetainError> {
        std::thread::scope(|scope| {
            let (sender, waiting) = sync_channel(AHEAD);
            let read = move || {
                self.each_page(facility, &mut |rows, total| {
                    let mut studies = Vec::with_capacity(rows.len());
                    let mut rows = rows.into_iter();
                    self.index().look(&mut |look| {
                        for row in rows.by_ref() {
                            studies.push(judge(look, row)?);
                        }
                        Ok(())
                    })?;
                    // Nobody takes them any more: whoever did says why.
                    Ok(sender.send(Judged { studies, total }).is_ok())
                })
            };
            let begun = Builder::new().name("studies".into()).spawn_scoped(scope, read);
            let reading =
                begun.map_err(|error| RetainError::Unavailable { what: format!("start a thread: {error}") })?;
            let taken = take_all(waiting, take);
            let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken.and(read.map_err(RetainError::from))
        })
    }

    fn each_page(&self, facility: Option<FacilityCode>, page: &mut Page<'_>) -> Result<(), IndexError> {
        let stats = self.index().stats()?;
        let mut cursor: Option<Cursor> = None;
        let Some(facility) = facility else {
            loop {
                let found = self.index().arrivals(cursor.as_ref(), PAGE)?;
                cursor = found.cursor;
                if !page(found.rows, stats.total.studies)? || cursor.is_none() {
                    return Ok(());
                }
            }
        };
        let query = Query { level: Level::Study, conditions: Vec::new(), fuzzy: false };
        // Hidden ones, too: a study of nothing but rejected images is found by nobody, and goes in its time all the same.
        let plan = plan(&query, Some(&[facility])).with_hidden();
        let total = stats.facilities.get(&facility).map_or(0, |count| count.studies);
        loop {
            let found = self.index().find(&plan, cursor.as_ref(), PAGE)?;
            cursor = found.cursor;
            let rows = found.rows.into_iter().map(|found| (*found.study).clone()).collect();
            if !page(rows, total)? || cursor.is_none() {
                return Ok(());
            }
        }
    }
}

fn take_all(waiting: Receiver<Judged>, take: &mut Take<'_>) -> Result<(), RetainError> {
    let mut looked = 0;
    for Judged { studies, total } in waiting {
        for study in studies {
            looked += 1;
            take(study, looked, total.max(looked))?;
        }
    }
    Ok(())
}
