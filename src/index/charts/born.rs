//! Patients by when they were born, whatever they are called: of the values that rows have anyway, those that begin with
//! a year or a day.
//!
//! Deliberately not here: how an engine walks them, and what a name may have been meant to be.

use model::chart::{ChartRow, Term};
use model::{Date, FacilityCode};
use std::collections::BTreeSet;

/// A time of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Born {
    /// A year; 0 of patients of whom nobody knows it.
    Year(u16),
    /// A day, of patients who are male or female: others have no such value.
    Day(Date),
}

impl Born {
    /// The term whose values begin with it.
    pub(crate) const fn term(self) -> Term {
        match self {
            Self::Year(_) => Term::Whole,
            Self::Day(_) => Term::Identity,
        }
    }

    /// What they begin with.
    pub(crate) fn begins(self) -> String {
        match self {
            Self::Year(year) => format!("{year:04}"),
            Self::Day(day) => format!("{:04}{:02}{:02}", day.year(), day.month(), day.day()),
        }
    }
}

/// The folded name at the end of a value that begins with a time of birth.
fn name(value: &str) -> Option<&str> {
    value.split_once(' ').map(|(_, name)| name)
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BornQuery {
    /// When they were born.
    pub born: Born,
    /// Beginnings of words of the folded name, all of them; of a name that is longer than a value can be, its beginning
    /// counts. None: whatever the name.
    pub words: Vec<String>,
    /// Facilities; none: all.
    pub facilities: Option<BTreeSet<FacilityCode>>,
}

impl BornQuery {
    /// Whether a value that begins with the time of birth has the words.
    pub(crate) fn is_named(&self, value: &str) -> bool {
        let begins = |name: &str, word: &String| name.split(' ').any(|known| known.starts_with(word.as_str()));
        name(value).is_some_and(|name| self.words.iter().all(|word| begins(name, word)))
    }
}

/// Its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct BornPage {
    /// The newest of those found, in the order of [`super::ChartPage::rows`].
    pub rows: Vec<ChartRow>,
    /// Whether these are all there are.
    pub whole: bool,
}
