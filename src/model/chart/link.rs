//! What the archive holds of a patient's person: which local patients of all facilities are one.
//!
//! A person is all links of one person's id. A link is one patient's own row, so that taking it back changes nothing of
//! another patient. The person in it follows from the patients' data and what stewards decided ([`super::person`]); only
//! the decision in it is nobody's to work out.
//! Deliberately not here: pairs of patients that somebody has to look at ([`super::proposal`]).

use serde::{Deserialize, Serialize};

/// By what a patient belongs to its person, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A steward said so.
    Steward,
    /// The same personal identification number, with name and birth year or sex (tier 1).
    Number,
    /// The same insurance number, name and birth year (tier 2).
    Insurance,
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub by: String,
    /// When, milliseconds since 1970 UTC; later than every decision it outweighs.
    pub at: u64,
}

/// A patient's part in a person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// The facility's number of the patient.
    pub mrn: String,
    /// The person; none while the patient is linked with nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// By what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// When it became so, milliseconds since 1970 UTC.
    pub at: u64,
    /// Whether the patient has to be looked at: what is said of it changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub due: bool,
    /// A steward took the patient out of its person: it is linked by nothing but what stewards decide later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart: Option<Decision>,
    /// What `apart` was before each decision, the newest last: what undoing brings back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Option<Decision>>,
}

/// Value of [`super::Term::State`] of a patient that has to be looked at.
pub const DUE: &str = "due";
/// Value of [`super::Term::State`] of a patient that a steward took out of its person.
pub const APART: &str = "apart";
/// Decisions that can be undone one after the other.
pub const FORMER_MAX: usize = 32;

/// Notes what was before a decision.
pub(super) fn remember<T>(former: &mut Vec<T>, was: T) {
    if former.len() >= FORMER_MAX {
        former.remove(0);
    }
    former.push(was);
}

impl Link {
    /// A steward takes the patient out of its person.
    pub fn take_out(&mut self, decision: Decision) {
        let was = self.apart.replace(decision);
        remember(&mut self.former, was);
    }

    /// The newest decision is taken back; false when there is none.
    pub fn undo(&mut self) -> bool {
        match self.former.pop() {
            Some(was) => {
                self.apart = was;
                true
            }
            None => false,
        }
    }
}
