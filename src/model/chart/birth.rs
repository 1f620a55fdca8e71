//! Birth dates of which only the year, or year and month, may be known.
//!
//! DICOM's DA holds whole days only: a partial date is empty there, never an invented first of January.
//! Deliberately not here: ages at a certain day.

use crate::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of a day of birth. Its text is `1978`, `1978-03` or `1978-03-05`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BirthDate {
    year: u16,
    month: Option<u8>,
    day: Option<u8>,
}

/// A text that is no birth date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a birth date is YYYYMMDD, YYYYMM or YYYY, also with dashes, month and day 00 when unknown")]
pub struct BirthDateError;

impl BirthDate {
    /// Reads `YYYYMMDD…`, `YYYYMM`, `YYYY`, the same with dashes; `00` for an unknown month or day; what follows the day
    /// (a time) is left out.
    ///
    /// # Errors
    /// Anything else, and days that do not exist.
    pub fn parse(text: &str) -> Result<Self, BirthDateError> {
        let digits: String = text.trim().chars().filter(|letter| *letter != '-').collect();
        let known = digits.get(..digits.len().min(8)).unwrap_or_default();
        if !known.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(known.len(), 4 | 6 | 8) {
            return Err(BirthDateError);
        }
        let number = |from: usize, to: usize| known.get(from..to).and_then(|part| part.parse::<u16>().ok());
        let year = number(0, 4).filter(|year| (1850..=2200).contains(year)).ok_or(BirthDateError)?;
        let small = |value: Option<u16>| value.filter(|value| *value > 0).and_then(|value| u8::try_from(value).ok());
        let month = small(number(4, 6));
        let day = small(number(6, 8)).filter(|_| month.is_some());
        if month.is_some_and(|month| month > 12)
            || day.is_some_and(|day| Date::new(year, month.unwrap_or(1), day).is_none())
        {
            return Err(BirthDateError);
        }
        Ok(Self { year, month, day })
    }

    /// The year.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, where known.
    pub const fn month(self) -> Option<u8> {
        self.month
    }

    /// The whole day, where known.
    pub fn whole(self) -> Option<Date> {
        Date::new(self.year, self.month?, self.day?)
    }

    /// The DICOM value (VR DA): `YYYYMMDD`, or empty where the day is not known.
    pub fn da(self) -> String {
        self.whole().map_or_else(String::new, |date| format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()))
    }

    /// Whether two birth dates could be one: what both know is equal.
    pub fn agrees(self, other: Self) -> bool {
        let same = |one: Option<u8>, two: Option<u8>| one.is_none() || two.is_none() || one == two;
        self.year == other.year && same(self.month, other.month) && same(self.day, other.day)
    }
}

impl fmt::Display for BirthDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        if let Some(month) = self.month {
            write!(f, "-{month:02}")?;
        }
        if let Some(day) = self.day {
            write!(f, "-{day:02}")?;
        }
        Ok(())
    }
}

impl Serialize for BirthDate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BirthDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_invented() {
        for (text, shown, da) in [
            ("1978", "1978", ""),
            ("197800000000", "1978", ""),
            ("19780300", "1978-03", ""),
            ("1978-03-05", "1978-03-05", "19780305"),
            ("197803051230", "1978-03-05", "19780305"),
        ] {
            let date = BirthDate::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((date.to_string().as_str(), date.da().as_str()), (shown, da));
        }
        for bad in ["", "78", "19781301", "19780231", "abcd", "1978a"] {
            assert!(BirthDate::parse(bad).is_err(), "{bad:?}");
        }
        let (year, day) = (BirthDate::parse("1978").expect("year"), BirthDate::parse("19780305").expect("day"));
        assert!(year.agrees(day) && day.agrees(year));
        assert!(!day.agrees(BirthDate::parse("19780306").expect("day")));
    }
}
