//! Legal holds: while one stands, no plan may destroy what it names, whatever is due.
//!
//! A hold names a study, a patient (every study of the patient, also those that come later) or a list of studies that
//! a query answered when the hold was made; the list does not change afterwards.
//! A hold ends only by a release, which a person signs. Holds are facts and are rebuilt from the journal.
//! Deliberately not here: who may make or release one, and running queries.

use super::subject::{PatientRef, Person, StudyRef};
use crate::PackId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The number of a hold: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HoldId(Box<str>);

impl HoldId {
    /// Parses a number; none when it is not in the form.
    pub fn parse(text: &str) -> Option<Self> {
        plain_id(text).map(Self)
    }

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 1 to 64 letters, digits, `.`, `_` or `-`: safe in file names and in every kind of report.
pub(super) fn plain_id(text: &str) -> Option<Box<str>> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let sound = (1..=64).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.');
    sound.then(|| text.into())
}

impl<'de> Deserialize<'de> for HoldId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no number of a hold"))
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldTarget {
    /// One study.
    Study(StudyRef),
    /// A patient: the studies there are and those that come. Patient data.
    Patient(PatientRef),
    /// The studies a query answered when the hold was made.
    Studies {
        /// The query, for people; never asked again. May hold patient data.
        query: String,
        /// The studies.
        studies: Vec<StudyRef>,
    },
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Number.
    pub id: HoldId,
    /// What is held.
    pub target: HoldTarget,
    /// Why: case number, letter, decision.
    pub reason: String,
    /// Who answers for it and is asked before it ends.
    pub owner: Person,
    /// Who made it.
    pub made_by: Person,
    /// When, milliseconds since 1970 UTC.
    pub made_at: u64,
    /// Name of the key that opens its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<PackId>,
}

/// The end of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRelease {
    /// The hold.
    pub hold: HoldId,
    /// Who released it.
    pub by: Person,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
    /// Name of the key that opens its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<PackId>,
}

/// Why a hold or a release is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// The number is taken.
    #[error("there is already a hold {0}")]
    Taken(HoldId),
    /// No such hold.
    #[error("there is no hold {0}")]
    Unknown(HoldId),
    /// It was released before.
    #[error("hold {0} is already released")]
    Released(HoldId),
    /// Without a reason.
    #[error("a hold and its release need a reason")]
    NoReason,
    /// The query answered no study.
    #[error("the query answers no study: there is nothing to hold")]
    NoStudies,
}

/// Every hold there was, and which studies the standing ones keep.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    all: BTreeMap<HoldId, (Hold, Option<HoldRelease>)>,
    by_study: BTreeMap<StudyRef, Vec<HoldId>>,
    by_patient: BTreeMap<PatientRef, Vec<HoldId>>,
    /// The same of holds that were released.
    once_study: BTreeMap<StudyRef, Vec<HoldId>>,
    once_patient: BTreeMap<PatientRef, Vec<HoldId>>,
}

impl Holds {
    /// No hold.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a hold may be made.
    pub fn check(&self, hold: &Hold) -> Result<(), HoldError> {
        if self.all.contains_key(&hold.id) {
            return Err(HoldError::Taken(hold.id.clone()));
        }
        if hold.reason.trim().is_empty() {
            return Err(HoldError::NoReason);
        }
        match &hold.target {
            HoldTarget::Studies { studies, .. } if studies.is_empty() => Err(HoldError::NoStudies),
            _ => Ok(()),
        }
    }

    /// Whether a hold may be released.
    pub fn check_release(&self, release: &HoldRelease) -> Result<(), HoldError> {
        match self.all.get(&release.hold) {
            None => Err(HoldError::Unknown(release.hold.clone())),
            Some((_, Some(_))) => Err(HoldError::Released(release.hold.clone())),
            Some((_, None)) if release.reason.trim().is_empty() => Err(HoldError::NoReason),
            Some((_, None)) => Ok(()),
        }
    }

    /// Takes a recorded hold in. One that is known already changes nothing, so that facts can be applied again.
    pub fn apply(&mut self, hold: Hold) {
        if self.all.contains_key(&hold.id) {
            return;
        }
        let id = &hold.id;
        match &hold.target {
            HoldTarget::Study(study) => note(&mut self.by_study, study, id),
            HoldTarget::Studies { studies, .. } => studies.iter().for_each(|s| note(&mut self.by_study, s, id)),
            HoldTarget::Patient(patient) => note(&mut self.by_patient, patient, id),
        }
        self.all.insert(hold.id.clone(), (hold, None));
    }

    /// Takes a recorded release in.
    pub fn apply_release(&mut self, release: HoldRelease) {
        let Some((hold, end)) = self.all.get_mut(&release.hold) else { return };
        if end.is_some() {
            return;
        }
        let id = &hold.id;
        let mut study_freed = |study: &StudyRef| {
            forget(&mut self.by_study, study, id);
            note(&mut self.once_study, study, id);
        };
        match &hold.target {
            HoldTarget::Study(study) => study_freed(study),
            HoldTarget::Studies { studies, .. } => studies.iter().for_each(study_freed),
            HoldTarget::Patient(patient) => {
                forget(&mut self.by_patient, patient, id);
                note(&mut self.once_patient, patient, id);
            }
        }
        *end = Some(release);
    }

    /// The holds that stood on a study once and were released.
    pub fn once_on(&self, study: &StudyRef, patients: &[PatientRef]) -> Vec<(&Hold, &HoldRelease)> {
        let of_patients = patients.iter().filter_map(|patient| self.once_patient.get(patient));
        let ids = self.once_study.get(study).into_iter().chain(of_patients).flatten();
        let mut found: Vec<_> = ids.filter_map(|id| self.all.get(id)).collect();
        found.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        found.dedup_by(|a, b| a.0.id == b.0.id);
        found.into_iter().filter_map(|(hold, release)| Some((hold, release.as_ref()?))).collect()
    }

    /// Whether a hold stood on a patient once.
    pub fn was_held(&self, patient: &PatientRef) -> bool {
        self.once_patient.contains_key(patient)
    }

    /// Forgets released holds whose records are to be opened by nobody any more.
    pub fn forget_sealed(&mut self, seals: &[PackId]) {
        let gone = |(hold, release): &(Hold, Option<HoldRelease>)| {
            release.is_some() && hold.seal.is_some_and(|seal| seals.contains(&seal))
        };
        let ids: Vec<HoldId> = self.all.values().filter(|held| gone(held)).map(|held| held.0.id.clone()).collect();
        for id in ids {
            let Some((hold, _)) = self.all.remove(&id) else { continue };
            match &hold.target {
                HoldTarget::Study(study) => forget(&mut self.once_study, study, &id),
                HoldTarget::Studies { studies, .. } => {
                    studies.iter().for_each(|study| forget(&mut self.once_study, study, &id));
                }
                HoldTarget::Patient(patient) => forget(&mut self.once_patient, patient, &id),
            }
        }
    }

    /// The standing holds on a study, by number. `patients` are all identifiers the study's patient has or had, those
    /// from before merges included: a hold on any of them counts.
    pub fn held_by(&self, study: &StudyRef, patients: &[PatientRef]) -> Vec<HoldId> {
        let of_patients = patients.iter().filter_map(|patient| self.by_patient.get(patient));
        let mut found: Vec<HoldId> =
            self.by_study.get(study).into_iter().chain(of_patients).flatten().cloned().collect();
        found.sort();
        found.dedup();
        found
    }

    /// Every hold with its release, by number.
    pub fn all(&self) -> impl Iterator<Item = (&Hold, Option<&HoldRelease>)> {
        self.all.values().map(|(hold, release)| (hold, release.as_ref()))
    }

    /// One hold with its release.
    pub fn get(&self, id: &HoldId) -> Option<(&Hold, Option<&HoldRelease>)> {
        self.all.get(id).map(|(hold, release)| (hold, release.as_ref()))
    }
}

fn note<K: Ord + Clone>(map: &mut BTreeMap<K, Vec<HoldId>>, key: &K, id: &HoldId) {
    let held = map.entry(key.clone()).or_default();
    if !held.contains(id) {
        held.push(id.clone());
    }
}

fn forget<K: Ord>(map: &mut BTreeMap<K, Vec<HoldId>>, key: &K, id: &HoldId) {
    if let Some(held) = map.get_mut(key) {
        held.retain(|known| known != id);
        if held.is_empty() {
            map.remove(key);
        }
    }
}
