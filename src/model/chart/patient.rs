//! A patient of one facility as its information system knows it, and merges of two.
//!
//! Deliberately not here: persons across facilities, and what a modality wrote into an image.

use super::birth::BirthDate;
use crate::retention::ClassId;
use serde::{Deserialize, Serialize};

/// Administrative sex (HL7 table 0001).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sex {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Other.
    Other,
    /// Not said.
    #[default]
    Unknown,
}

impl Sex {
    /// Reads HL7 (`M F O U A N`), DICOM (`M F O`) and insurance (`1 2 3`) codes; anything else is unknown.
    pub fn of(text: &str) -> Self {
        match text.trim() {
            "M" | "m" | "1" => Self::Male,
            "F" | "f" | "2" => Self::Female,
            "O" | "o" | "A" | "a" => Self::Other,
            _ => Self::Unknown,
        }
    }

    /// Patient's Sex (0010,0040); empty when unknown.
    pub const fn dicom(self) -> &'static str {
        match self {
            Self::Male => "M",
            Self::Female => "F",
            Self::Other => "O",
            Self::Unknown => "",
        }
    }
}

/// Numbers a person has beside the facility's own (docs: identifiers of Viet Nam; see [`super::identifier`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identifiers {
    /// Personal identification number (số định danh cá nhân, CCCD): 12 digits as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub national: Option<String>,
    /// Old identity card (CMND).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_card: Option<String>,
    /// Passport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passport: Option<String>,
    /// Health-insurance numbers (thẻ BHYT, 15 characters, or the 10 digits of the social-insurance number).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub insurance: Vec<String>,
    /// Any other number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherId>,
}

/// A number with who gave it and of what kind it is (HL7 CX).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherId {
    /// The number.
    pub value: String,
    /// Assigning authority; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub assigner: String,
    /// Identifier type (HL7 table 0203); may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

/// A patient of a facility.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Patient {
    /// The facility's number of the patient.
    pub mrn: String,
    /// The whole name as written, family name first: `Nguyễn Văn An`. The truth; its parts are guesses.
    pub name: String,
    /// Birth date, as far as known.
    pub birth: Option<BirthDate>,
    /// Sex.
    pub sex: Sex,
    /// Other numbers.
    #[serde(flatten)]
    pub ids: Identifiers,
    /// Telephone numbers, digits only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// Address in one line.
    pub address: String,
    /// Allergies in words (AL1-3; (0010,2110)).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allergies: Vec<String>,
    /// Died on this day, where told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died: Option<BirthDate>,
    /// Classes of retention that all records of the patient have: that of the dead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<ClassId>,
    /// The number of the patient this one was merged into; orders and images of this one are shown under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// What the checks of its numbers remarked; never a reason to reject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// When it last changed, milliseconds since 1970 UTC.
    pub changed: u64,
}

impl Patient {
    /// The name as a DICOM PN, `Family^Given^Middle`: the first word, the last and the rest. A single word is the family
    /// name. The split is a hint only.
    pub fn pn(&self) -> String {
        let words: Vec<&str> = self.name.split_whitespace().collect();
        match words.as_slice() {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [family, given] => format!("{family}^{given}"),
            [family, middle @ .., given] => format!("{family}^{given}^{}", middle.join(" ")),
        }
    }
}

/// Two patients of a facility that are one (ADT^A40): the former numbers stay known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The number that stays.
    pub survivor: String,
    /// The number that was given up.
    pub former: String,
    /// The patient of the given-up number as it was before; only the number once it was undone.
    pub before: Patient,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
    /// Who: a source's name or a person.
    pub by: String,
    /// Numbers given up before over which the two were reached: those that were sent, where they are not the two. While
    /// it holds, the merges of these numbers are not undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// When it was undone, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<(u64, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_as_dicom_writes_it() {
        let pn = |name: &str| Patient { name: name.into(), ..Patient::default() }.pn();
        assert_eq!(pn("Nguyễn Văn An"), "Nguyễn^An^Văn");
        assert_eq!(pn("Công Tằng Tôn Nữ  Hương"), "Công^Hương^Tằng Tôn Nữ");
        assert_eq!(pn("Lê An"), "Lê^An");
        assert_eq!(pn("Y"), "Y");
        assert_eq!(pn(" "), "");
    }

    #[test]
    fn a_patient_is_read_as_it_was_written() {
        let patient = Patient {
            mrn: "22015985".into(),
            name: "Nguyễn Văn An".into(),
            birth: BirthDate::parse("1978").ok(),
            sex: Sex::of("1"),
            ids: Identifiers { national: Some("056078000001".into()), ..Identifiers::default() },
            ..Patient::default()
        };
        let text = serde_json::to_string(&patient).expect("text");
        assert!(text.contains(r#""national":"056078000001""#) && text.contains(r#""birth":"1978""#), "{text}");
        assert_eq!(serde_json::from_str::<Patient>(&text).expect("read"), patient);
    }
}
