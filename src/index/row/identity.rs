//! What is known under the UIDs of an arriving instance.
//!
//! Most UIDs have one patient and one study. A broken device may give one to every patient it sees, so no more is known of
//! a UID than the first of them and whoever is asked for: what an object costs does not grow with those before it.
//! Deliberately not here: what is decided from it.

use model::attribute::key;
use model::name::fold;
use model::{AttrKey, InstanceHead, Sameness, Uid};

/// So many patients of a Study Instance UID, and as many studies of a Series Instance UID, are known together: those with
/// numbers below. Of the others only who is asked for.
pub const LISTED: u16 = 16;

/// What is known under the UIDs of an arriving instance, inside its facility.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Copies under the SOP Instance UID, in order of arrival.
    pub copies: Vec<KnownCopy>,
    /// Patients seen under the Study Instance UID, by rank: those below [`LISTED`], and of the others the first one who may
    /// be who is asked for and in whose study no such series stands.
    pub patients: Vec<KnownPatient>,
    /// The highest number of a patient that is not below [`LISTED`], if there is one.
    pub patients_beyond: Option<u16>,
    /// Studies seen under the Series Instance UID, by rank: those of which a patient and the study itself have numbers below
    /// [`LISTED`], and the one that is asked for.
    pub studies: Vec<KnownStudy>,
    /// Whether there are others.
    pub studies_beyond: bool,
    /// Numbers of the patients under the Study Instance UID in whose study a series of that UID stands that was received in
    /// another study.
    pub taken: Vec<u16>,
}

/// A copy under a SOP Instance UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCopy {
    /// Its number (see [`model::Outcome::copy`]).
    pub copy: u16,
    /// Digest of the data set.
    pub digest: Sameness,
    /// CRC-32C without group lengths.
    pub loose_crc: u32,
    /// Transfer syntax.
    pub transfer_syntax: Uid,
    /// Order of arrival.
    pub seq: u64,
}

/// A patient seen under a Study Instance UID; of each value the beginning ([`known`]) of the first non-empty one received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPatient {
    /// Its number (see [`model::Outcome::patient`]).
    pub rank: u16,
    /// Patient ID.
    pub patient_id: String,
    /// Issuer of Patient ID.
    pub issuer: String,
    /// Patient's Name.
    pub name: String,
    /// Patient's Birth Date.
    pub birth_date: String,
}

/// A study seen under a Series Instance UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStudy {
    /// Its number (see [`model::Outcome::study`]).
    pub rank: u16,
    /// Study Instance UID.
    pub study: Uid,
}

/// So much of each value is known of a patient, in bytes: the list of those under a UID is written again with each that
/// comes to it.
const KNOWN_MAX: usize = 256;

/// So much of a value as patients under one UID are told apart by.
pub fn known(value: &str) -> &str {
    value.get(..value.floor_char_boundary(KNOWN_MAX)).unwrap_or_default()
}

/// Whose an arriving instance is, as it says itself: the beginnings of ID and name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Whose<'a> {
    id: &'a str,
    name: &'a str,
}

impl<'a> Whose<'a> {
    /// With a Patient ID and a name.
    pub fn new(id: &'a str, name: &'a str) -> Self {
        Self { id: known(id).trim(), name: known(name).trim() }
    }

    /// As an instance names its patient.
    pub fn of(head: &'a InstanceHead) -> Self {
        Self::new(head.attribute(key::PATIENT_ID), head.attribute(key::PATIENT_NAME))
    }

    /// The Patient ID; empty for none.
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// The folded name.
    pub fn folded(&self) -> String {
        fold(self.name)
    }
}

impl KnownPatient {
    /// Whether it is the patient with this ID and folded name: the IDs decide, and the names where one has no ID.
    pub fn is(&self, id: &str, folded: &str) -> bool {
        let own = self.patient_id.trim();
        if id.is_empty() || own.is_empty() { fold(&self.name) == folded } else { own == id }
    }

    /// The patient of a study of which nothing was received.
    pub(crate) fn nobody(rank: u16) -> Self {
        let [patient_id, issuer, name, birth_date] = [const { String::new() }; 4];
        Self { rank, patient_id, issuer, name, birth_date }
    }

    /// The patient as an instance names it.
    pub fn of(head: &InstanceHead) -> Self {
        let value = |wanted| known(head.attribute(wanted)).to_owned();
        Self {
            rank: head.outcome.patient,
            patient_id: value(key::PATIENT_ID),
            issuer: value(key::ISSUER_OF_PATIENT_ID),
            name: value(key::PATIENT_NAME),
            birth_date: value(key::PATIENT_BIRTH_DATE),
        }
    }

    /// Fills what is empty from a later instance. Tells whether anything changed.
    pub(crate) fn fill(&mut self, later: &InstanceHead) -> bool {
        let mut changed = false;
        let mut fill = |kept: &mut String, wanted: AttrKey| {
            let value = if kept.is_empty() { later.attribute(wanted) } else { "" };
            if !value.is_empty() {
                known(value).clone_into(kept);
                changed = true;
            }
        };
        fill(&mut self.patient_id, key::PATIENT_ID);
        fill(&mut self.issuer, key::ISSUER_OF_PATIENT_ID);
        fill(&mut self.name, key::PATIENT_NAME);
        fill(&mut self.birth_date, key::PATIENT_BIRTH_DATE);
        changed
    }
}
