//! What retention speaks about: studies, patients, persons who sign, and what is known of a study when it is judged.
//!
//! Deliberately not here: rows of the index. Services fill these values from whatever holds them.

use super::class::ClassId;
use crate::date::Date;
use crate::{Attributes, FacilityCode, Lsn, Uid, name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A study as the unit of retention: a Study Instance UID belongs to one facility and one patient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StudyRef {
    /// Facility.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that Study Instance UID (see [`crate::Outcome::patient`]).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub patient: u16,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

impl fmt::Display for StudyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.facility, self.study)?;
        if self.patient != 0 { write!(f, "#{}", self.patient) } else { Ok(()) }
    }
}

/// A patient: an identifier together with who issued it. Patient data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PatientRef {
    /// Issuer of Patient ID; the facility code where none is named.
    pub issuer: String,
    /// Patient ID.
    pub id: String,
}

impl fmt::Debug for PatientRef {
    // Patient data never reaches a log or a failure text by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientRef(..)")
    }
}

/// A person who signs: a user's name, not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Person(String);

/// A name without a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a named person is needed, 1 to 128 characters")]
pub struct PersonError;

impl Person {
    /// Longest name in characters.
    pub const MAX_CHARS: usize = 128;

    /// Parses a name; space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let text = text.trim();
        let sound = text.chars().count() <= Self::MAX_CHARS && !text.chars().any(char::is_control);
        if sound && !name::fold(text).is_empty() { Ok(Self(text.to_owned())) } else { Err(PersonError) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two names may be one person: case, marks and punctuation do not make a second one.
    pub fn same_as(&self, other: &Self) -> bool {
        name::fold(&self.0) == name::fold(&other.0)
    }
}

impl<'de> Deserialize<'de> for Person {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a study was when somebody looked: changes with every fact that changes what would be destroyed or when.
///
/// Counted are arrivals (`through`) and the facts about the study that merge, move, correct or reject (`fact`).
/// Not counted are holds (asked for by themselves), retention decisions (compared by themselves) and the steps of a
/// plan: hiding a study does not make it another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct StudyVersion {
    /// `seq` of the newest instance, copies in conflict included.
    pub through: u64,
    /// Record number of the newest fact about the study as a whole; 0 for none.
    #[serde(default)]
    pub fact: Lsn,
}

impl fmt::Display for StudyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.through, self.fact)
    }
}

/// Bytes by where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TierBytes {
    /// Not packed yet.
    #[serde(default)]
    pub journal: u64,
    /// In packs on local disks.
    #[serde(default)]
    pub hot: u64,
    /// In packs in the object store.
    #[serde(default)]
    pub cold: u64,
}

impl TierBytes {
    /// Adds another sum to this one.
    pub fn add(&mut self, other: &Self) {
        self.journal = self.journal.saturating_add(other.journal);
        self.hot = self.hot.saturating_add(other.hot);
        self.cold = self.cold.saturating_add(other.cold);
    }

    /// All tiers together.
    pub fn sum(&self) -> u64 {
        self.journal.saturating_add(self.hot).saturating_add(self.cold)
    }
}

/// A record of the hospital's systems that a study belongs to, or a class an archivist gave it by hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkedRecord {
    /// Class of the record.
    pub class: ClassId,
    /// Day the record was closed, where known: the file's years are counted from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Date>,
}

/// What is known of a study on the day it is judged. Attributes are read, never copied into a decision.
#[derive(Clone, Copy)]
pub struct StudyFacts<'a> {
    /// Facility.
    pub facility: FacilityCode,
    /// Modalities in the study.
    pub modalities: &'a [String],
    /// Study-level attributes with corrections applied: dates and age are read here, rules may look at others.
    pub attributes: &'a Attributes,
    /// Latest date that series or instances name (series, acquisition, performed step), where known.
    pub work_ended: Option<Date>,
    /// Day of the first receipt.
    pub received_first: Date,
    /// Day of the newest receipt.
    pub received_last: Date,
    /// Records linked to the study today.
    pub linked: &'a [LinkedRecord],
    /// Day the patient died, where known.
    pub died: Option<Date>,
    /// Day on which an earlier form of this study was destroyed. The other fields then describe what came later only.
    pub destroyed_before: Option<Date>,
    /// The day of the judgement.
    pub as_of: Date,
}
