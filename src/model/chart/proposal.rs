//! Two patients of whom somebody has to say whether they are one, and what was said.
//!
//! What the archive finds follows from the two patients alone ([`super::person::compare`]); a steward's decision stands
//! beside it until it is undone.
//! Deliberately not here: what follows from decisions for persons.

use super::link::remember;
use crate::FacilityCode;
use serde::{Deserialize, Serialize};

/// What the archive finds of two patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// They may be one (tier 4): a steward has to look.
    Open,
    /// They have one number and nothing else in common: a number was typed wrong. Of one patient: an external verifier
    /// knows the number with somebody else's data.
    Conflict,
    /// Nothing, or nothing any more.
    #[default]
    Nothing,
}

/// A local patient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Local {
    /// Facility.
    pub facility: FacilityCode,
    /// Its number of the patient.
    pub mrn: String,
}

impl Local {
    /// As it is found by ([`super::Term::Side`]).
    pub fn side(&self) -> String {
        format!("{}/{}", self.facility, self.mrn)
    }
}

/// What a steward said of two patients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether they are one.
    pub is_one: bool,
    /// Who.
    pub by: String,
    /// When, milliseconds since 1970 UTC; later than every decision it outweighs.
    pub at: u64,
}

/// Two patients. The row is that of the second one in the order of facility and number, so a pair has one row. Where both
/// are the same, it is about one patient and the verifier of its number: accepted, it is the patient's; refused, it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The number of the patient whose row it is.
    pub mrn: String,
    /// The facility of that patient.
    pub facility: FacilityCode,
    /// The other one.
    pub other: Local,
    /// What the archive finds.
    pub finding: Finding,
    /// Why, without a patient's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// When it was found, milliseconds since 1970 UTC.
    pub at: u64,
    /// What a steward said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// What was said before each judgement, the newest last: what undoing brings back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Option<Judgement>>,
}

/// States of proposals, as they are asked for.
pub const STATES: [&str; 5] = ["open", "conflict", "accepted", "refused", "withdrawn"];

impl Proposal {
    /// Of two patients, in any order; nothing is found yet.
    pub fn of(one: &Local, two: &Local, at: u64) -> Self {
        let (other, own) = if one < two { (one, two) } else { (two, one) };
        Self {
            mrn: own.mrn.clone(),
            facility: own.facility,
            other: other.clone(),
            finding: Finding::Nothing,
            why: Vec::new(),
            at,
            judgement: None,
            former: Vec::new(),
        }
    }

    /// Of one patient alone, whose number a verifier knows otherwise; nothing is found yet.
    pub fn alone(local: &Local, at: u64) -> Self {
        Self::of(local, local, at)
    }

    /// Whether it is about one patient alone.
    pub fn is_alone(&self) -> bool {
        (self.facility, &self.mrn) == (self.other.facility, &self.other.mrn)
    }

    /// The id of its row.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for side in self.sides() {
            hasher.update(side.side().as_bytes()).update(&[0]);
        }
        hasher.finalize().to_hex().get(..32).unwrap_or_default().to_owned()
    }

    /// The patient whose row it is.
    pub fn own(&self) -> Local {
        Local { facility: self.facility, mrn: self.mrn.clone() }
    }

    /// Both patients.
    pub fn sides(&self) -> [Local; 2] {
        [self.other.clone(), self.own()]
    }

    /// Where it stands, one of [`STATES`].
    pub fn state(&self) -> &'static str {
        match (&self.judgement, self.finding) {
            (Some(Judgement { is_one: true, .. }), _) => "accepted",
            (Some(_), _) => "refused",
            (None, Finding::Open) => "open",
            (None, Finding::Conflict) => "conflict",
            (None, Finding::Nothing) => "withdrawn",
        }
    }

    /// A steward says something.
    pub fn judge(&mut self, judgement: Judgement) {
        let was = self.judgement.replace(judgement);
        remember(&mut self.former, was);
    }

    /// The newest judgement is taken back; false when there is none.
    pub fn undo(&mut self) -> bool {
        match self.former.pop() {
            Some(was) => {
                self.judgement = was;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_row_and_judgements_come_off_one_by_one() {
        let local = |code: &str, mrn: &str| Local {
            facility: FacilityCode::parse(code).expect("a facility"),
            mrn: mrn.to_owned(),
        };
        let (one, two) = (local("56001", "7"), local("56002", "1"));
        let mut pair = Proposal::of(&one, &two, 5);
        assert_eq!(pair, Proposal::of(&two, &one, 5));
        assert_eq!((pair.own(), pair.id().len()), (two, 32));
        let said = |is_one| Judgement { is_one, by: "lan".into(), at: 6 };
        pair.finding = Finding::Open;
        pair.judge(said(true));
        pair.judge(said(false));
        assert_eq!(pair.state(), "refused");
        assert!(pair.undo() && pair.state() == "accepted" && pair.undo());
        assert!(pair.state() == "open" && !pair.undo());
    }
}
