//! Whether a study and an order are one: what was found, and what a person decided.
//!
//! Deliberately not here: how an order is looked for.

use super::birth::BirthDate;
use super::order::OrderState;
use super::patient::Sex;
use crate::Uid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What came of looking for a study's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The study is the order's.
    Matched,
    /// An order names the study or is named by it, and something contradicts: a person has to look.
    Mismatch,
    /// No order.
    Unmatched,
}

impl Verdict {
    /// Its name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Mismatch => "mismatch",
            Self::Unmatched => "unmatched",
        }
    }
}

/// What one side says of the patient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Side {
    /// The patient's number, through merges the one that stays.
    pub mrn: String,
    /// Name.
    pub name: String,
    /// Birth date, as far as it is known.
    pub birth: Option<BirthDate>,
    /// Sex.
    pub sex: Sex,
}

impl Side {
    /// What contradicts the other side, without a patient's data. A name never does: consoles write it as they can.
    pub fn contradictions(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.mrn.trim() != other.mrn.trim() {
            found.push("another patient's number".to_owned());
        }
        let told = |sex: Sex| matches!(sex, Sex::Male | Sex::Female);
        if told(self.sex) && told(other.sex) && self.sex != other.sex {
            found.push("another sex".to_owned());
        }
        if let (Some(one), Some(two)) = (self.birth, other.birth)
            && one.year() != two.year()
        {
            found.push("another year of birth".to_owned());
        }
        found
    }
}

/// What an order was before a study was taken for its own: what undoing brings back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// State of the order.
    pub state: OrderState,
    /// States of its steps, in order.
    pub steps: Vec<OrderState>,
    /// When images of it first came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// When it was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<u64>,
    /// When somebody was told of its images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<u64>,
    /// When somebody first looked at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<u64>,
}

/// What a person decided of a study and its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The study is the order's.
    Match,
    /// It is not.
    Unmatch,
    /// The archive looks again.
    Leave,
}

/// A decision, and what was there before it: undoing brings that back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What was decided.
    pub act: Decision,
    /// Who.
    pub by: String,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
    /// What held before; none: nothing was known of the study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<Former>,
    /// The patient's number that the images said when it was decided, whose they are; none: it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// What held of a study before a decision. What both sides say of the patient is not in it: it is told anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// As [`Match::mrn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrn: Option<String>,
    /// As [`Match::placer`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placer: String,
    /// As [`Match::verdict`].
    pub verdict: Verdict,
    /// As [`Match::why`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// As [`Match::by`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// As [`Match::before`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// What its order was while the study was the order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Before>,
    /// As [`Match::at`].
    pub at: u64,
}

/// Most decisions kept of a study; the oldest goes first.
pub const ACTS_MAX: usize = 16;

/// A study of a facility beside the order it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that Study Instance UID; 0 where there is only one.
    #[serde(default)]
    pub patient: u16,
    /// The patient's number it is kept under: the order's, else the study's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrn: Option<String>,
    /// Placer order number; empty when there is no order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placer: String,
    /// What came of it.
    pub verdict: Verdict,
    /// By what the order was found, and what contradicts; without a patient's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// What the study says of the patient.
    #[serde(default)]
    pub of_study: Side,
    /// Accession Number it was corrected to; none: it is as it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accession: Option<String>,
    /// Modalities of the study when it was last looked at.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub modalities: BTreeSet<String>,
    /// What the order's patient is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_order: Option<Side>,
    /// Whether the study was complete when it was last looked at.
    #[serde(default)]
    pub complete: bool,
    /// Who decided; none: the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the order was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// What people decided and have not taken back, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<Act>,
    /// When somebody first looked at the study, milliseconds since 1970 UTC; it stays whatever is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<u64>,
    /// When series were last moved into the study or out of it, milliseconds since 1970 UTC; 0: never, as far as is known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moved: u64,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Match {
    /// The id of its row.
    pub fn id(study: &Uid, patient: u16) -> String {
        if patient == 0 { study.as_str().to_owned() } else { format!("{study}#{patient}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contradiction_is_a_number_a_sex_or_a_year_and_never_a_name() {
        let side = |mrn: &str, name: &str, birth: &str, sex: &str| Side {
            mrn: mrn.into(),
            name: name.into(),
            birth: BirthDate::parse(birth).ok(),
            sex: Sex::of(sex),
        };
        let order = side("1", "Nguyễn Văn An", "1978", "M");
        for (study, count) in [
            (side("1", "NGUYEN^VAN AN", "19780305", "M"), 0),
            (side("1 ", "", "", ""), 0),
            (side("1", "AN", "19780101", "O"), 0),
            (side("2", "Nguyễn Văn An", "1978", "M"), 1),
            (side("", "Nguyễn Văn An", "1978", "M"), 1),
            (side("1", "Nguyễn Văn An", "1979", "M"), 1),
            (side("1", "Nguyễn Văn An", "1978", "F"), 1),
            (side("2", "x", "1979", "F"), 3),
        ] {
            assert_eq!(study.contradictions(&order).len(), count, "{study:?}");
            assert_eq!(order.contradictions(&study).len(), count, "{study:?}");
        }
    }
}
