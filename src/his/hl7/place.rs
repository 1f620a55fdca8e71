//! Places in messages, as map files name them: `PID-19`, `IN1-36.1`, `ZVN-3.1.2`, `PID-3:NI`.

use super::message::{Piece, Segment};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// Highest number of a field, component or subcomponent.
const NUMBER_MAX: usize = 999;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Segment.
    pub segment: String,
    /// Field, from 1.
    pub field: usize,
    /// Component, from 1; the first where none is named.
    pub component: Option<usize>,
    /// Subcomponent, from 1; the whole component where none is named.
    pub sub: Option<usize>,
    /// Identifier type (fifth component): only repetitions of it are meant.
    pub kind: Option<String>,
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no place in a message: write a segment, a field, and what of it, for example PID-19, ZVN-3.1 or PID-3:NI"
)]
pub struct PlaceError(String);

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let bad = || PlaceError(text.chars().take(40).collect());
        let (place, kind) = match text.split_once(':') {
            Some((place, kind)) if !kind.is_empty() => (place, Some(kind.to_owned())),
            Some(_) => return Err(bad()),
            None => (text, None),
        };
        let (segment, numbers) = place.split_once('-').ok_or_else(bad)?;
        let named = segment.len() == 3
            && segment.starts_with(|letter: char| letter.is_ascii_uppercase())
            && segment.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<usize>().ok().filter(|number| digits && (1..=NUMBER_MAX).contains(number))
        };
        let numbers: Option<Vec<usize>> = numbers.split('.').map(number).collect();
        match (named, numbers.as_deref()) {
            (true, Some([field, rest @ ..])) if rest.len() <= 2 => Ok(Self {
                segment: segment.to_owned(),
                field: *field,
                component: rest.first().copied(),
                sub: rest.get(1).copied(),
                kind,
            }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.segment, self.field)?;
        for number in self.component.iter().chain(&self.sub) {
            write!(f, ".{number}")?;
        }
        self.kind.iter().try_for_each(|kind| write!(f, ":{kind}"))
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Place {
    /// The repetitions of the field that are meant, whole.
    pub fn repetitions<'a>(&self, segment: &Segment<'a>) -> Vec<Piece<'a>> {
        let all = segment.field(self.field).repetitions();
        let meant = |piece: &Piece<'a>| match &self.kind {
            None => true,
            Some(kind) => piece.component(5).text().eq_ignore_ascii_case(kind),
        };
        all.filter(meant).collect()
    }

    /// What is meant of a repetition.
    pub fn of<'a>(&self, repetition: Piece<'a>) -> Piece<'a> {
        let component = repetition.component(self.component.unwrap_or(1));
        self.sub.map_or(component, |sub| component.sub(sub))
    }

    /// Every value at the place in a segment; nothing for another segment.
    pub fn values(&self, segment: &Segment<'_>) -> Vec<String> {
        if segment.name() != self.segment {
            return Vec::new();
        }
        let values = self.repetitions(segment).into_iter().map(|repetition| self.of(repetition).text());
        values.filter(|value| !value.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for text in ["PID-19", "IN1-36.1", "ZVN-3.1.2", "PID-3:NI", "PID-3.1:NNVNM"] {
            assert_eq!(text.parse::<Place>().expect(text).to_string(), text);
        }
        for bad in ["", "PID", "PID-", "PID-0", "pid-3", "PID-3.", "PID-3.1.1.1", "PID-3:", "P-3", "PID-+3", "PID-1000"]
        {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_those_of_the_named_kind() {
        let message = Message::parse("MSH|^~\\&|\rPID|1||22^^^BV^MR~056^^^VN^NI~\rZVN|a&b^c").expect("a message");
        let values = |place: &str| {
            let place: Place = place.parse().expect("a place");
            message.segments().iter().flat_map(|segment| place.values(segment)).collect::<Vec<_>>()
        };
        assert_eq!(values("PID-3"), ["22", "056"]);
        assert_eq!(values("PID-3:NI"), ["056"]);
        assert_eq!(values("PID-3.4:ni"), ["VN"]);
        assert_eq!(values("ZVN-1.1.2"), ["b"]);
        assert!(values("ZVN-9").is_empty() && values("PV1-1").is_empty());
    }
}
