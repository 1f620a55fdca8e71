//! Why a data set cannot be stored, shaped by what the sender can be told.

use std::fmt;

/// A tag as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub u32);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:04X},{:04X})", self.0 >> 16, self.0 & 0xFFFF)
    }
}

/// A refusal. Offsets count from the first byte of the data set (inflated for deflated syntaxes).
/// No value of the data set is ever part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The bytes do not have the form of a data set in this transfer syntax, or end too early.
    #[error("the data set cannot be read at byte {offset}, element {}: {what}", Tag(*.tag))]
    Framing {
        /// Where.
        offset: u64,
        /// Element being read, 0 when none.
        tag: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// A part exceeds a named limit.
    #[error("the data set exceeds the limit `{limit}` ({allowed}) with {found} at byte {offset}, element {}", Tag(*.tag))]
    Bound {
        /// Where.
        offset: u64,
        /// Element being read, 0 when none.
        tag: u32,
        /// Field of [`crate::Limits`].
        limit: &'static str,
        /// The limit.
        allowed: u64,
        /// What was declared or reached.
        found: u64,
    },
    /// A UID without which an instance has no place is missing or no UID.
    #[error("the data set has no usable {} at byte {offset}: {what}", Tag(*.tag))]
    Identity {
        /// Where the element lies; 0 when it is absent.
        offset: u64,
        /// The element.
        tag: u32,
        /// What is wrong.
        what: &'static str,
    },
}
