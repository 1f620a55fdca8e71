//! Retention classes: kinds of records and how long each is kept.
//!
//! Classes are data: the law that sets a term changes, and a row then gets an end and a successor.
//! Deliberately not here: which study has which class (see [`super::rules`]).

use crate::date::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The short name of a class: 1 to 32 upper-case letters, digits, `_` or `-`, for example `INOUT`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClassId(Box<str>);

/// A text that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a class is named by 1 to 32 capital letters, digits, '_' or '-'; got {0:?}")]
pub struct ClassIdError(pub String);

impl ClassId {
    /// Longest name in characters.
    pub const MAX_LEN: usize = 32;

    /// Parses a name; lower case is raised.
    pub fn parse(text: &str) -> Result<Self, ClassIdError> {
        let name = text.trim().to_ascii_uppercase();
        let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.bytes().all(fits) {
            return Err(ClassIdError(text.chars().take(40).collect()));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ClassId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long a class is kept. Its text is `20 years`, `10 years after death` or `permanent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Term {
    /// Whole years after 31 December of the year in which the work ended (Law on Archives 33/2024, article 15.3).
    Years(u16),
    /// Whole years after 31 December of the year in which the patient died.
    AfterDeath(u16),
    /// For ever.
    Permanent,
}

/// A text that is no term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a term is `20 years`, `10 years after death` or `permanent`, 1 to 200 years; got {0:?}")]
pub struct TermError(pub String);

impl Term {
    /// Longest term in years that is no typing error.
    pub const YEARS_MAX: u16 = 200;

    /// Parses the text of a term.
    pub fn parse(text: &str) -> Result<Self, TermError> {
        let bad = || TermError(text.chars().take(40).collect());
        let mut words = text.split_whitespace();
        let first = words.next().ok_or_else(bad)?;
        let rest: Vec<&str> = words.collect();
        if first == "permanent" && rest.is_empty() {
            return Ok(Self::Permanent);
        }
        let years: u16 = first.parse().ok().filter(|n| (1..=Self::YEARS_MAX).contains(n)).ok_or_else(bad)?;
        match rest.as_slice() {
            ["year" | "years"] => Ok(Self::Years(years)),
            ["year" | "years", "after", "death"] => Ok(Self::AfterDeath(years)),
            _ => Err(bad()),
        }
    }

    /// For comparing terms: years, those after a death above all plain ones, for ever above everything.
    pub(super) fn length(self) -> (u8, u16) {
        match self {
            Self::Years(years) => (0, years),
            Self::AfterDeath(years) => (1, years),
            Self::Permanent => (2, 0),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |years: u16| if years == 1 { "year" } else { "years" };
        match *self {
            Self::Years(years) => write!(f, "{years} {}", word(years)),
            Self::AfterDeath(years) => write!(f, "{years} {} after death", word(years)),
            Self::Permanent => f.write_str("permanent"),
        }
    }
}

impl Serialize for Term {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The days on which a row of the table or a rule is in force; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// First day; none means since ever.
    pub from: Option<Date>,
    /// Last day; none means until further notice.
    pub to: Option<Date>,
}

impl Validity {
    /// Whether it is in force on at least one day of a span.
    pub fn touches(&self, from: Date, to: Date) -> bool {
        self.from.is_none_or(|first| first <= to) && self.to.is_none_or(|last| last >= from)
    }

    /// Whether two validities have a day in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.touches(other.from.unwrap_or(Date::MIN), other.to.unwrap_or(Date::MAX))
    }
}

/// One row of the table of classes. A class whose term changed has several rows, without a common day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Short name.
    pub id: ClassId,
    /// Name for archivists, Vietnamese.
    pub vi: String,
    /// Name in English.
    pub en: String,
    /// Where the term comes from: law, article, line.
    pub law: String,
    /// How long.
    pub term: Term,
    /// When the row is in force.
    pub valid: Validity,
}
