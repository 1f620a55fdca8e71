//! Unique identifiers (PS3.5 chapter 9), parsed once.
//!
//! Leading zeros in a component are forbidden by the standard but frequent in the field:
//! they are accepted and can be asked for with [`Uid::is_conformant`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// A DICOM UID: 1 to 64 characters, digits separated by single dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Uid(Box<str>);

/// Why a text is no UID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// Nothing left after trimming padding.
    #[error("the UID is empty")]
    Empty,
    /// More than 64 characters.
    #[error("the UID has {0} characters, at most 64 are allowed")]
    TooLong(usize),
    /// A character that is neither digit nor dot, or an empty component.
    #[error("the UID has an invalid character or an empty component at position {0}")]
    Malformed(usize),
}

impl Uid {
    /// Longest UID in characters (PS3.5 section 9.1).
    pub const MAX_LEN: usize = 64;

    /// Parses a UID after removing the padding PS3.5 allows (one NUL) and the spaces found in the field.
    pub fn parse(text: &str) -> Result<Self, UidError> {
        let text = text.trim_matches(|c: char| c == '\0' || c == ' ');
        if text.is_empty() {
            return Err(UidError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(UidError::TooLong(text.len()));
        }
        let mut dot_before = true;
        for (position, byte) in text.bytes().enumerate() {
            match byte {
                b'0'..=b'9' => dot_before = false,
                b'.' if !dot_before => dot_before = true,
                _ => return Err(UidError::Malformed(position)),
            }
        }
        if dot_before {
            return Err(UidError::Malformed(text.len() - 1));
        }
        Ok(Self(text.into()))
    }

    /// The UID as text without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no component has a leading zero (PS3.5 section 9.1).
    pub fn is_conformant(&self) -> bool {
        self.0.split('.').all(|component| component.len() == 1 || !component.starts_with('0'))
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer, Self::parse)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uid({})", self.0)
    }
}

impl std::str::FromStr for Uid {
    type Err = UidError;
    fn from_str(text: &str) -> Result<Self, UidError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_removed_and_bad_forms_are_refused() {
        assert_eq!(Uid::parse("1.2.840\0").expect("padded").as_str(), "1.2.840");
        assert_eq!(Uid::parse(" "), Err(UidError::Empty));
        assert_eq!(Uid::parse(&"1".repeat(65)), Err(UidError::TooLong(65)));
        for bad in ["1..2", ".1", "1.", "1.a", "../1", "1/2", "1.2\n"] {
            assert!(matches!(Uid::parse(bad), Err(UidError::Malformed(_))), "{bad:?} was accepted");
        }
    }

    #[test]
    fn leading_zeros_are_kept_and_named() {
        let uid = Uid::parse("1.02.3").expect("field practice");
        assert!(!uid.is_conformant());
        assert!(Uid::parse("1.0.3").expect("plain").is_conformant());
    }
}
