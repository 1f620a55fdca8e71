//! Corrected facts about a patient and an order: what is said instead of what a modality wrote.
//!
//! A correction never changes a stored byte. It is a fact about a study, and is applied to everything that goes out.
//! Deliberately not here: how a header is spliced, and who may correct.

use crate::attribute::{ATTRIBUTES, Attribute, key};
use crate::retention::{Person, StudyRef};
use crate::{AttrKey, Attributes, Date, PackId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What may be corrected: identity of the patient and of the order. Dates of the examination are not among them, for
/// the years a study is kept are counted from those.
pub const CORRECTABLE: [AttrKey; 9] = [
    key::ACCESSION_NUMBER,
    key::REFERRING_PHYSICIAN_NAME,
    key::STUDY_DESCRIPTION,
    key::PATIENT_NAME,
    key::PATIENT_ID,
    key::ISSUER_OF_PATIENT_ID,
    key::PATIENT_BIRTH_DATE,
    key::PATIENT_SEX,
    key::STUDY_ID,
];

/// Reason for the Attribute Modification (0400,0565), PS3.3 section C.12.1.1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The values were wrong.
    #[default]
    Correct,
    /// The values were right where they came from, and are replaced by those that hold here.
    Coerce,
}

impl Why {
    /// The defined term.
    pub const fn term(self) -> &'static str {
        match self {
            Self::Correct => "CORRECT",
            Self::Coerce => "COERCE",
        }
    }
}

/// What holds of a study from now on instead of what was received; it takes the place of every earlier one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The study.
    pub study: StudyRef,
    /// Every corrected value, an empty text for one that is blanked; none at all means: as received.
    pub values: Attributes,
    /// What the receiver of an object is told.
    #[serde(default)]
    pub why: Why,
    /// Who.
    pub by: Person,
    /// Why, in words.
    pub reason: String,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
    /// Name of the key that opens the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<PackId>,
}

impl fmt::Debug for Correction {
    // Patient data never reaches a log or a failure text by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Correction").field("study", &self.study).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Why a value cannot be given to an attribute. The texts name attributes, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    /// The attribute is not among [`CORRECTABLE`].
    #[error("{name} cannot be corrected; these can: {}", names())]
    Attribute {
        /// As it was named.
        name: String,
    },
    /// The value does not have the form of its VR (PS3.5 section 6.2).
    #[error("{keyword}: {what}")]
    Value {
        /// The attribute.
        keyword: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

fn names() -> String {
    let names: Vec<&str> = CORRECTABLE.iter().filter_map(|key| row(*key)).map(|row| row.keyword).collect();
    names.join(", ")
}

fn row(key: AttrKey) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|row| row.key == key && CORRECTABLE.contains(&key))
}

/// The attribute of a keyword or of a tag as eight hexadecimal digits, if it can be corrected.
///
/// # Errors
/// [`CorrectionError::Attribute`].
pub fn attribute_named(name: &str) -> Result<AttrKey, CorrectionError> {
    let named = |row: &&Attribute| {
        row.keyword.eq_ignore_ascii_case(name) || (row.key.sequence == 0 && AttrKey::parse(name) == Some(row.key))
    };
    let found = ATTRIBUTES.iter().filter(|row| CORRECTABLE.contains(&row.key)).find(named);
    found.map(|row| row.key).ok_or_else(|| CorrectionError::Attribute { name: name.chars().take(64).collect() })
}

/// VR of an attribute that can be corrected, two letters.
pub fn vr_of(key: AttrKey) -> Option<&'static str> {
    row(key).map(|row| row.vr)
}

/// Checks values, and gives them as they are to be recorded: space around them dropped.
///
/// # Errors
/// [`CorrectionError`] of the first that is wrong.
pub fn checked(values: &Attributes) -> Result<Attributes, CorrectionError> {
    let mut sound = Attributes::new();
    for (key, text) in values {
        let row = row(*key).ok_or_else(|| CorrectionError::Attribute { name: key.to_string() })?;
        let text = text.trim();
        match fault(row.vr, text) {
            Some(what) => return Err(CorrectionError::Value { keyword: row.keyword, what }),
            None => sound.insert(*key, text.to_owned()),
        };
    }
    Ok(sound)
}

/// What is wrong with a value of a VR.
fn fault(vr: &str, text: &str) -> Option<&'static str> {
    if text.chars().any(|letter| letter.is_control() || letter == '\\') {
        return Some("control characters and backslashes are not allowed");
    }
    let length = text.chars().count();
    match vr {
        "PN" => {
            let groups: Vec<&str> = text.split('=').collect();
            let long = groups.iter().any(|group| group.chars().count() > 64 || group.split('^').count() > 5);
            (groups.len() > 3 || long)
                .then_some("a name has at most 3 groups of 64 characters with 5 components (Family^Given^Middle)")
        }
        "DA" => {
            let sound = text.is_empty() || (length == 8 && Date::parse_da(text).is_some());
            (!sound).then_some("a date is a real day written YYYYMMDD")
        }
        "CS" => {
            let sound = text.chars().all(|letter| matches!(letter, 'A'..='Z' | '0'..='9' | ' ' | '_'));
            (!sound || length > 16).then_some("a code has at most 16 of A-Z, 0-9, space and underscore")
        }
        "SH" => (length > 16).then_some("at most 16 characters"),
        _ => (length > 64).then_some("at most 64 characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fact, Uid, retention::RetentionFact};

    fn values(key: AttrKey, text: &str) -> Attributes {
        Attributes::from([(key, text.to_owned())])
    }

    #[test]
    fn the_record_of_a_correction_stays_as_it_is() {
        let study = StudyRef {
            facility: crate::FacilityCode::parse("56001").expect("code"),
            study: Uid::parse("1.2.3").expect("uid"),
            patient: 0,
        };
        let by = Person::parse("Lan").expect("a person");
        let values = values(key::PATIENT_NAME, "Nguyễn^An");
        let (why, reason, at) = (Why::Coerce, "HIS".to_owned(), 5);
        let one = Correction { study, values, why, by, reason, at, seal: Some(PackId::new([5; 16])) };
        let fact = Fact::Retention(Box::new(RetentionFact::StudyCorrected(Box::new(one))));
        let written = "{\"fact\":\"retention\",\"event\":\"study-corrected\",\
                       \"study\":{\"facility\":\"56001\",\"study\":\"1.2.3\"},\
                       \"values\":{\"00100010\":\"Nguyễn^An\"},\"why\":\"coerce\",\"by\":\"Lan\",\"reason\":\"HIS\",\
                       \"at\":5,\"seal\":\"05050505050505050505050505050505\"}";
        assert_eq!(serde_json::to_string(&fact).expect("JSON"), written);
        assert_eq!(serde_json::from_str::<Fact>(written).expect("a journal of today"), fact);
        assert!(!format!("{fact:?}").contains("Nguy"), "patient data in a debug text");
    }

    #[test]
    fn attributes_are_named_by_keyword_and_tag() {
        assert_eq!(attribute_named("PatientName"), Ok(key::PATIENT_NAME));
        assert_eq!(attribute_named("00100020"), Ok(key::PATIENT_ID));
        assert!(attribute_named("StudyInstanceUID").expect_err("closed list").to_string().contains("PatientName"));
        assert!(CORRECTABLE.iter().all(|key| vr_of(*key).is_some()));
    }

    #[test]
    fn values_have_the_form_of_their_attribute() {
        for (key, good) in [
            (key::PATIENT_NAME, " Nguyễn^Văn^An=阮=x "),
            (key::PATIENT_NAME, ""),
            (key::PATIENT_BIRTH_DATE, "19800229"),
            (key::PATIENT_SEX, "F"),
            (key::ACCESSION_NUMBER, "ACC-1"),
        ] {
            let sound = checked(&values(key, good)).unwrap_or_else(|error| panic!("{good:?}: {error}"));
            assert_eq!(sound.get(&key).map(String::as_str), Some(good.trim()));
        }
        for (key, bad) in [
            (key::PATIENT_NAME, "a^b^c^d^e^f"),
            (key::PATIENT_NAME, "a\\b"),
            (key::PATIENT_BIRTH_DATE, "19810229"),
            (key::PATIENT_BIRTH_DATE, "1981.02.2"),
            (key::PATIENT_SEX, "f"),
            (key::ACCESSION_NUMBER, "12345678901234567"),
            (key::STUDY_DATE, "20240101"),
        ] {
            assert!(checked(&values(key, bad)).is_err(), "{bad:?}");
        }
    }
}
