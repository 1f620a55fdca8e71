//! The rule set: classes, rules, and the default, under one version.
//!
//! Every rule that fits a study proposes its class; a class a record brings along proposes itself.
//! The decision (see [`super::decision`]) takes the longest.
//! Deliberately not here: precedence, exceptions, negation. A rule can only make a study stay longer, so the order of
//! rules means nothing and no rule can hide another.

use super::class::{Class, ClassId, Validity};
use super::matching::Conditions;
use crate::Digest;
use crate::date::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The short name of a rule: 1 to 64 small letters, digits, `_` or `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleId(Box<str>);

/// A text that names no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rule is named by 1 to 64 small letters, digits, '_' or '-'; got {0:?}")]
pub struct RuleIdError(pub String);

impl RuleId {
    /// Longest name in characters.
    pub const MAX_LEN: usize = 64;
    /// Name of the rule that nobody writes: the default for studies that nothing else gives a class.
    pub const DEFAULT: &str = "default";
    /// Name of the rule that nobody writes: the class of a linked record.
    pub const LINKED: &str = "linked";

    /// Parses a name, the two reserved ones included.
    pub fn parse(text: &str) -> Result<Self, RuleIdError> {
        let name = text.trim();
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > Self::MAX_LEN || !name.bytes().all(fits) {
            return Err(RuleIdError(text.chars().take(72).collect()));
        }
        Ok(Self(name.into()))
    }

    pub(super) fn reserved(name: &'static str) -> Self {
        Self(name.into())
    }

    /// Whether no written rule may have this name.
    pub fn is_reserved(&self) -> bool {
        self.as_str() == Self::DEFAULT || self.as_str() == Self::LINKED
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for RuleId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which rule set spoke: the number its authors gave it and the SHA-256 of its text, every byte as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleVersion {
    /// Number written in the file; a new rule set has a higher one.
    pub number: u32,
    /// Digest of the file.
    pub digest: Digest,
}

impl fmt::Display for RuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.to_string();
        write!(f, "{} ({})", self.number, digest.get(..12).unwrap_or_default())
    }
}

/// One rule: studies that fit all conditions get the class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name, kept with every decision the rule makes.
    pub id: RuleId,
    /// The class it gives.
    pub class: ClassId,
    /// Why it exists, Vietnamese.
    pub vi: String,
    /// Why it exists, English.
    pub en: String,
    /// What a study must be.
    pub when: Conditions,
    /// When it is in force. It concerns every study that was in the archive on such a day.
    pub valid: Validity,
}

/// Classes and rules under one version. Made by [`RuleSet::parse`] only, so its parts agree with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    pub(super) version: RuleVersion,
    pub(super) default: ClassId,
    pub(super) classes: Vec<Class>,
    pub(super) rules: Vec<Rule>,
}

impl RuleSet {
    /// Number and digest.
    pub fn version(&self) -> RuleVersion {
        self.version
    }

    /// Class of studies that nothing else gives one.
    pub fn default_class(&self) -> &ClassId {
        &self.default
    }

    /// Every row of the table of classes, in the order written.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Every rule in the order written.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rows of a class, in the order written.
    pub fn rows<'a>(&'a self, id: &'a ClassId) -> impl Iterator<Item = &'a Class> {
        self.classes.iter().filter(move |class| class.id == *id)
    }

    /// The row of a class that was in force on a day.
    pub fn row_on<'a>(&'a self, id: &'a ClassId, day: Date) -> Option<&'a Class> {
        self.rows(id).find(|class| class.valid.touches(day, day))
    }

    /// Whether this rule set may come into use after another one on a day. It has a higher number and keeps every row
    /// and rule of the old one as it was, wording aside; one that is in force may get an end, today at the earliest,
    /// and one that is yet to come may be altered. So what applied to a study is still found, whenever it is decided again.
    pub fn may_follow(&self, old: &Self, today: Date) -> Result<(), SuccessorError> {
        if self.version.number <= old.version.number {
            return Err(SuccessorError::Number { old: old.version.number });
        }
        let begun = |valid: Validity| valid.from.is_none_or(|begin| begin <= today);
        for row in old.classes.iter().filter(|row| begun(row.valid)) {
            let kept = |new: &Class| new.id == row.id && new.term == row.term && may_end(row.valid, new.valid, today);
            if !self.classes.iter().any(kept) {
                return Err(SuccessorError::Class(row.id.clone()));
            }
        }
        for rule in old.rules.iter().filter(|rule| begun(rule.valid)) {
            let same = |new: &Rule| new.id == rule.id && new.class == rule.class && new.when == rule.when;
            if !self.rules.iter().any(|new| same(new) && may_end(rule.valid, new.valid, today)) {
                return Err(SuccessorError::Rule(rule.id.clone()));
            }
        }
        Ok(())
    }
}

/// Whether a validity is the old one, or the old one with an end that is not past.
fn may_end(old: Validity, new: Validity, today: Date) -> bool {
    let ends = new.to.is_some_and(|end| end >= today && old.to.is_none_or(|before| before >= today));
    old.from == new.from && (old.to == new.to || ends)
}

/// Why a rule set may not follow another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessorError {
    /// Its number is not higher.
    #[error("a new rule set has a higher number than {old}")]
    Number {
        /// Number of the rule set in use.
        old: u32,
    },
    /// A row of the table is gone or altered.
    #[error("a row of class {0} is gone or altered: close it with `valid_to` and add another")]
    Class(ClassId),
    /// A rule is gone or altered.
    #[error("rule {0} is gone or altered: close it with `valid_to` and add another under a new name")]
    Rule(RuleId),
}
