//! Days of the proleptic Gregorian calendar: what retention counts in.
//!
//! A date here is always a real day (PS3.5 6.2, VR DA, says form only; `20230231` is none).
//! Deliberately not here: times of day, time zones and the clock. A day made from a time is a UTC day; east of
//! Greenwich that begins later than the local one, so nothing that waits for a day to pass happens early there.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A day, year 1 to 9999. Its text, in files and in JSON, is `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a date is a real day written YYYY-MM-DD; got {0:?}")]
pub struct DateError(pub String);

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// Days from 0000-03-01, where the algorithm counts from, to 1970-01-01.
const EPOCH_SHIFT: i64 = 719_468;

impl Date {
    /// The first day that can be written.
    pub const MIN: Self = Self { year: 1, month: 1, day: 1 };
    /// The last day that can be written; arithmetic stops here.
    pub const MAX: Self = Self { year: 9999, month: 12, day: 31 };

    /// A day by its numbers; none when there is no such day.
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) {
            return None;
        }
        Some(Self { year, month, day })
    }

    /// Parses `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let bad = || DateError(text.chars().take(32).collect());
        let mut parts = text.trim().split('-');
        let (year, month, day) = (parts.next(), parts.next(), parts.next());
        let number = |part: Option<&str>, len: usize| -> Option<u16> {
            part.filter(|digits| digits.len() == len && digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
        };
        let day = || {
            let (month, day) = (u8::try_from(number(month, 2)?).ok()?, u8::try_from(number(day, 2)?).ok()?);
            Self::new(number(year, 4)?, month, day)
        };
        day().filter(|_| parts.next().is_none()).ok_or_else(bad)
    }

    /// Parses a DICOM date, `YYYYMMDD` or `YYYY.MM.DD` of old objects; none when it is no real day.
    pub fn parse_da(text: &str) -> Option<Self> {
        let digits = crate::query::date(text)?;
        let (year, rest) = digits.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// The UTC day of a time in milliseconds since 1970.
    pub fn of_ms(ms: u64) -> Self {
        i64::try_from(ms / DAY_MS).map_or(Self::MAX, Self::from_days)
    }

    /// The first millisecond of the day, UTC, since 1970; 0 for earlier days.
    pub fn start_ms(self) -> u64 {
        u64::try_from(self.days()).unwrap_or(0) * DAY_MS
    }

    /// The year.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub const fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01, negative before.
    pub fn days(self) -> i64 {
        // Howard Hinnant's published `days_from_civil`: years begin in March, so the leap day comes last.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - EPOCH_SHIFT
    }

    /// The day that many days after 1970-01-01; beyond the calendar's ends, the end.
    pub fn from_days(days: i64) -> Self {
        let shifted = days.clamp(Self::MIN.days(), Self::MAX.days()) + EPOCH_SHIFT;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march + 2) / 5 + 1;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let date = || Self::new(u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
        date().unwrap_or(Self::MAX)
    }

    /// That many days later, or earlier when negative.
    pub fn plus_days(self, days: i64) -> Self {
        Self::from_days(self.days().saturating_add(days))
    }

    /// The same day that many years later; 29 February becomes the 28th where there is none.
    pub fn plus_years(self, years: u16) -> Self {
        let Some(year) = self.year.checked_add(years).filter(|year| *year <= Self::MAX.year) else {
            return Self::MAX;
        };
        Self { year, month: self.month, day: self.day.min(days_in(year, self.month)) }
    }

    /// 31 December of the year.
    pub const fn end_of_year(self) -> Self {
        Self { year: self.year, month: 12, day: 31 }
    }

    /// Whole years from this day to another: the age on `day` of one born on `self`; 0 when `day` is earlier.
    pub fn years_until(self, day: Self) -> u16 {
        let before_birthday = (day.month, day.day) < (self.month, self.day);
        day.year.saturating_sub(self.year).saturating_sub(u16::from(before_birthday))
    }
}

const fn days_in(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Date {
    type Err = DateError;
    fn from_str(text: &str) -> Result<Self, DateError> {
        Self::parse(text)
    }
}

impl Serialize for Date {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        Date::parse(text).expect(text)
    }

    #[test]
    fn every_day_of_the_calendar_follows_the_one_before() {
        let mut day = Date::MIN;
        let mut number = day.days();
        while day < Date::MAX {
            let next = day.plus_days(1);
            number += 1;
            assert_eq!(next.days(), number, "{day}");
            assert!(next > day && Date::from_days(number) == next, "{day}");
            let same_month = (next.year, next.month, next.day) == (day.year, day.month, day.day + 1);
            assert!(same_month || next.day == 1, "{day} is followed by {next}");
            day = next;
        }
        assert_eq!(Date::from_days(i64::MAX), Date::MAX);
        assert_eq!(Date::from_days(0), date("1970-01-01"));
    }

    #[test]
    fn only_real_days_are_read() {
        assert_eq!(Date::parse_da("20240229"), Some(date("2024-02-29")));
        assert_eq!(Date::parse_da("1999.12.31"), Some(date("1999-12-31")));
        for bad in ["20230229", "20230431", "00000101", "2023", "", "2023-01-1", "20231301"] {
            assert_eq!(Date::parse_da(bad), None, "{bad}");
        }
        for bad in ["2023-02-29", "23-01-01", "2023-1-1", "2023-01-01-01", "2023-01-01T00:00", "20230101"] {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn years_and_ages_are_counted_as_people_do() {
        assert_eq!(date("2024-02-29").plus_years(1), date("2025-02-28"));
        assert_eq!(date("2025-06-01").end_of_year().plus_years(10), date("2035-12-31"));
        assert_eq!(date("9995-01-01").plus_years(10), Date::MAX);
        assert_eq!(date("2010-05-20").years_until(date("2026-05-19")), 15);
        assert_eq!(date("2010-05-20").years_until(date("2026-05-20")), 16);
        assert_eq!(date("2010-05-20").years_until(date("2009-01-01")), 0);
    }

    #[test]
    fn a_time_has_a_day_and_a_day_has_a_first_moment() {
        assert_eq!(Date::of_ms(951_782_400_000), date("2000-02-29"));
        assert_eq!(date("2000-02-29").start_ms(), 951_782_400_000);
        assert_eq!(Date::of_ms(951_782_400_000 - 1), date("2000-02-28"));
        assert_eq!(Date::of_ms(u64::MAX), Date::MAX);
    }
}
