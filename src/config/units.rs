//! Sizes and times as people write them in the configuration: `64MiB`, `20s`.
//!
//! Only these forms are understood; a bare number is refused because its unit would be a guess.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Units of size, largest first, in bytes.
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
/// Units of time, largest first, in milliseconds. `ms` stands before `s` so that it is tried first.
const TIMES: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("ms", 1), ("s", 1_000)];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A length of time, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Size {
    /// A size in memory.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// The size as the machine's own integer; larger ones are as good as the largest.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is no size or time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// Not a size.
    #[error("{0:?} is no size: write a whole number and B, KiB, MiB or GiB, for example \"64MiB\"")]
    Size(String),
    /// Not a time.
    #[error("{0:?} is no time: write a whole number and ms, s, min, h or d, for example \"20s\"")]
    Span(String),
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (unit, factor) = units.iter().find(|(unit, _)| text.trim().ends_with(unit))?;
    let number: u64 = text.trim().strip_suffix(unit)?.trim_end().parse().ok()?;
    number.checked_mul(*factor)
}

fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let mut fitting: Vec<_> = units.iter().filter(|(_, factor)| value.is_multiple_of(*factor)).collect();
    fitting.sort_by_key(|(_, factor)| std::cmp::Reverse(*factor));
    match (value, fitting.first()) {
        (0, _) | (_, None) => write!(f, "0{}", units.last().map_or("", |(unit, _)| unit)),
        (_, Some((unit, factor))) => write!(f, "{}{unit}", value / factor),
    }
}

impl FromStr for Size {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, SIZES).map(Self).ok_or_else(|| UnitError::Size(text.chars().take(32).collect()))
    }
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let milliseconds = parse(text, TIMES).ok_or_else(|| UnitError::Span(text.chars().take(32).collect()))?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, SIZES)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), TIMES)
    }
}

macro_rules! as_text {
    ($($unit:ident)*) => {$(
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Size Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_round_trip_in_their_largest_unit() {
        for (text, bytes) in [("64MiB", 64 << 20), ("1GiB", 1 << 30), ("1500B", 1500), ("3KiB", 3072), ("0B", 0)] {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        for (text, ms) in
            [("20s", 20_000), ("5min", 300_000), ("250ms", 250), ("2h", 7_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(text.parse::<Span>(), Ok(Span(Duration::from_millis(ms))));
            assert_eq!(Span(Duration::from_millis(ms)).to_string(), text);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for bad in ["64", "", "MiB", "-1MiB", "1.5GiB", "64 MB", "99999999999999GiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        for bad in ["20", "20 seconds", "s", "1m"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
