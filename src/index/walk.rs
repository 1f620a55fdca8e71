//! Walking one study from end to end.
//!
//! Deliberately not here: how an engine does it without asking for names again.

use crate::row::{InstanceRow, PackRow, SeriesRow, StudyRow};
use crate::{Cursor, Index, IndexError};

/// Rows asked for at once.
const PAGE: usize = 500;

/// What a walk through a study meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inside<'a> {
    /// A series, and its packs by part, then by name.
    Series(&'a SeriesRow, &'a [PackRow]),
    /// An instance of the series that was met last.
    Instance(&'a InstanceRow),
}

/// The walk by what every engine answers in any case.
pub(crate) fn by_name<I: Index + ?Sized>(
    index: &I,
    study: &StudyRow,
    each: &mut dyn FnMut(Inside<'_>),
) -> Result<(), IndexError> {
    let mut at: Option<Cursor> = None;
    loop {
        let page = index.series_of(&study.key, at.as_ref(), PAGE)?;
        for series in &page.rows {
            each(Inside::Series(series, &index.packs_of(&series.key)?));
            let mut at: Option<Cursor> = None;
            loop {
                let page = index.instances_of(&series.key, at.as_ref(), PAGE)?;
                page.rows.iter().for_each(|row| each(Inside::Instance(row)));
                at = page.cursor;
                if at.is_none() {
                    break;
                }
            }
        }
        at = page.cursor;
        if at.is_none() {
            return Ok(());
        }
    }
}
