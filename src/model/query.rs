//! A query as every wire means it: keys, ranges, lists and wildcards, parsed once.
//!
//! QIDO-RS parameters and C-FIND identifiers both become a [`Query`].

use crate::{AttrKey, Level};

/// One matching key with its parsed condition (PS3.4 C.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The attribute.
    pub key: AttrKey,
    /// What its value must satisfy.
    pub test: Test,
}

/// A condition on one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Anything (an empty key): the attribute is only asked back.
    Any,
    /// Equal (after the normalisation of the attribute's matching rule).
    Equal(String),
    /// Any of a list (UIDs).
    OneOf(Vec<String>),
    /// Pattern with `*` (any run) and `?` (one character).
    Wildcard(String),
    /// From–to, both inclusive; an open end is `None`.
    Range(Option<String>, Option<String>),
}

/// A query at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What a row of the answer is.
    pub level: Level,
    /// Conditions, all of which must hold; may name attributes of higher levels.
    pub conditions: Vec<Condition>,
    /// Whether names match by folded tokens in any order and by prefix (`fuzzymatching=true`).
    pub fuzzy: bool,
}
