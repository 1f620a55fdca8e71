//! Where a page of an answer ends and the next one begins.

use crate::StudyRow;
use model::attribute::key;
use model::query;
use std::fmt;

/// One page of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// Where to go on; none at the end of the answer.
    pub cursor: Option<Cursor>,
}

/// The place of a study in the total order: the greatest date and time come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    /// Complement of the date as a number, so that new comes before old; unknown dates come last.
    pub(crate) date: u32,
    /// Complement of the time of day in milliseconds written as `HHMMSSmmm`.
    pub(crate) time: u32,
    /// `seq` of the study's first instance.
    pub(crate) study: u64,
}

impl Position {
    /// The place of a study.
    pub(crate) fn of(row: &StudyRow) -> Self {
        let text = |key| query::first(row.attributes.get(&key).map_or("", String::as_str));
        Self {
            date: !date_number(text(key::STUDY_DATE)),
            time: !time_number(text(key::STUDY_TIME)),
            study: row.first_seq,
        }
    }
}

/// A date as the number `YYYYMMDD`, 0 when it is none.
pub(crate) fn date_number(text: &str) -> u32 {
    query::date(text).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A time as the number `HHMMSSmmm`, 0 when it is none. One finer than a microsecond counts as none, as it did when
/// the places in older indexes were written.
fn time_number(text: &str) -> u32 {
    let digits = query::time(text, '0').filter(|_| !query::is_finer(text)).map(|time| time.replace('.', ""));
    digits.and_then(|digits| digits.get(..9)?.parse().ok()).unwrap_or(0)
}

/// The last row of a page. Its text form is opaque and stands in a URL as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    pub(crate) position: Position,
    /// `seq` of the first instance of the series; the greatest number after all series of the study.
    pub(crate) series: u64,
    /// `seq` of the instance; the greatest number after all instances of the series.
    pub(crate) instance: u64,
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of an earlier answer")]
pub struct CursorError;

impl Cursor {
    pub(crate) fn after_study(position: Position) -> Self {
        Self { position, series: u64::MAX, instance: u64::MAX }
    }

    pub(crate) fn after_series(position: Position, series: u64) -> Self {
        Self { position, series, instance: u64::MAX }
    }

    /// A cursor of a list that is ordered by arrival alone: behind what came with a `seq`.
    pub fn arrival(seq: u64) -> Self {
        Self { position: Position { date: 0, time: 0, study: 0 }, series: 0, instance: seq }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16));
        let mut next = || parts.next().and_then(Result::ok).ok_or(CursorError);
        let date = u32::try_from(next()?).map_err(|_| CursorError)?;
        let time = u32::try_from(next()?).map_err(|_| CursorError)?;
        let cursor = Self { position: Position { date, time, study: next()? }, series: next()?, instance: next()? };
        if parts.next().is_none() { Ok(cursor) } else { Err(CursorError) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { date, time, study } = self.position;
        write!(f, "{date:x}-{time:x}-{study:x}-{:x}-{:x}", self.series, self.instance)
    }
}
