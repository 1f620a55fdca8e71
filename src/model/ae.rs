//! Application entity titles (PS3.5 section 6.2, VR AE).

use serde::{Deserialize, Serialize};
use std::fmt;

/// An AE title: 1 to 16 printable ASCII characters, no backslash, not padded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AeTitle(Box<str>);

/// Why a text is no AE title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AeTitleError {
    /// Only spaces.
    #[error("the AE title is empty")]
    Empty,
    /// More than 16 characters.
    #[error("the AE title has {0} characters, at most 16 are allowed")]
    TooLong(usize),
    /// A control character, a backslash or a character outside ASCII.
    #[error("the AE title has a character that is not printable ASCII or is a backslash")]
    BadCharacter,
}

impl AeTitle {
    /// Longest title in characters.
    pub const MAX_LEN: usize = 16;

    /// Parses a title; leading and trailing spaces (and NUL from careless peers) are not significant.
    pub fn parse(text: &str) -> Result<Self, AeTitleError> {
        let text = text.trim_matches(|c: char| c == ' ' || c == '\0');
        if text.is_empty() {
            return Err(AeTitleError::Empty);
        }
        if !text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\') {
            return Err(AeTitleError::BadCharacter);
        }
        if text.len() > Self::MAX_LEN {
            return Err(AeTitleError::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The title without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for AeTitle {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AeTitle({})", self.0)
    }
}

impl std::str::FromStr for AeTitle {
    type Err = AeTitleError;
    fn from_str(text: &str) -> Result<Self, AeTitleError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_trimmed_and_checked() {
        assert_eq!(AeTitle::parse("CT01            ").expect("padded").as_str(), "CT01");
        assert_eq!(AeTitle::parse("   "), Err(AeTitleError::Empty));
        assert_eq!(AeTitle::parse("A\\B"), Err(AeTitleError::BadCharacter));
        assert_eq!(AeTitle::parse("ABCDEFGHIJKLMNOPQ"), Err(AeTitleError::TooLong(17)));
    }
}
