//! What the objects of a series say that stands in another study than it was received in.
//!
//! Study Instance UID, patient and order are those of the study it stands in; what that study does not say is blank, so that
//! nothing of the other patient stays. Deliberately not here: which series those are.

use index::StudyRow;
use model::attribute::{attribute, key};
use model::correction::CORRECTABLE;
use model::name::fold;
use model::{AttrKey, Attributes, Lsn};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Attributes beside those that can be corrected in which the studies of a facility differ.
const ALSO: [AttrKey; 5] =
    [key::STUDY_DATE, key::STUDY_TIME, key::PATIENT_BIRTH_TIME, key::OTHER_PATIENT_IDS, key::OTHER_PATIENT_NAMES];
/// What else is said of a patient and a visit: blank, where it stands, in objects that are another patient's by now.
static OF_PATIENT: [(u32, &str); 43] = [
    (0x0008_1080, "LO"), // Admitting Diagnoses Description
    (0x0008_1084, "SQ"), // Admitting Diagnoses Code Sequence
    (0x0008_1120, "SQ"), // Referenced Patient Sequence
    (0x0010_0022, "CS"), // Type of Patient ID
    (0x0010_0024, "SQ"), // Issuer of Patient ID Qualifiers Sequence
    (0x0010_0026, "SQ"), // Source Patient Group Identification Sequence
    (0x0010_0027, "SQ"), // Group of Patients Identification Sequence
    (0x0010_0050, "SQ"), // Patient's Insurance Plan Code Sequence
    (0x0010_1002, "SQ"), // Other Patient IDs Sequence
    (0x0010_1005, "PN"), // Patient's Birth Name
    (0x0010_1010, "AS"), // Patient's Age
    (0x0010_1020, "DS"), // Patient's Size
    (0x0010_1030, "DS"), // Patient's Weight
    (0x0010_1040, "LO"), // Patient's Address
    (0x0010_1050, "LO"), // Insurance Plan Identification
    (0x0010_1060, "PN"), // Patient's Mother's Birth Name
    (0x0010_1080, "LO"), // Military Rank
    (0x0010_1081, "LO"), // Branch of Service
    (0x0010_1090, "LO"), // Medical Record Locator
    (0x0010_1100, "SQ"), // Referenced Patient Photo Sequence
    (0x0010_2000, "LO"), // Medical Alerts
    (0x0010_2110, "LO"), // Allergies
    (0x0010_2150, "LO"), // Country of Residence
    (0x0010_2152, "LO"), // Region of Residence
    (0x0010_2154, "SH"), // Patient's Telephone Numbers
    (0x0010_2155, "LT"), // Patient's Telecom Information
    (0x0010_2160, "SH"), // Ethnic Group
    (0x0010_2161, "SQ"), // Ethnic Group Code Sequence
    (0x0010_2180, "SH"), // Occupation
    (0x0010_21A0, "CS"), // Smoking Status
    (0x0010_21B0, "LT"), // Additional Patient History
    (0x0010_21C0, "US"), // Pregnancy Status
    (0x0010_21D0, "DA"), // Last Menstrual Date
    (0x0010_21F0, "LO"), // Patient's Religious Preference
    (0x0010_2297, "PN"), // Responsible Person
    (0x0010_2299, "LO"), // Responsible Organization
    (0x0010_4000, "LT"), // Patient Comments
    (0x0038_0010, "LO"), // Admission ID
    (0x0038_0014, "SQ"), // Issuer of Admission ID Sequence
    (0x0038_0050, "LO"), // Special Needs
    (0x0038_0060, "LO"), // Service Episode ID
    (0x0038_0300, "LO"), // Current Patient Location
    (0x0038_0500, "LO"), // Patient State
];
/// What else is said of an order: the same in objects that are another order's by now.
static OF_ORDER: [(u32, &str); 9] = [
    (0x0008_1110, "SQ"), // Referenced Study Sequence
    (0x0032_1030, "LO"), // Reason for Study
    (0x0032_1032, "PN"), // Requesting Physician
    (0x0032_1033, "LO"), // Requesting Service
    (0x0032_1060, "LO"), // Requested Procedure Description
    (0x0032_1064, "SQ"), // Requested Procedure Code Sequence
    (0x0040_0275, "SQ"), // Request Attributes Sequence
    (0x0040_1001, "SH"), // Requested Procedure ID
    (0x0040_A370, "SQ"), // Referenced Request Sequence
];

/// What is said in a study, of what either study says anything.
pub(super) fn values(study: &StudyRow, home: Option<&StudyRow>) -> Attributes {
    let text = |row: &StudyRow, key: AttrKey| row.attributes.get(&key).cloned().unwrap_or_default();
    let received = |key: AttrKey| home.map(StudyRow::as_received).and_then(|all| all.get(&key).cloned());
    let mut values = Attributes::from([(key::STUDY_INSTANCE_UID, study.key.study.to_string())]);
    for key in CORRECTABLE.into_iter().chain(ALSO) {
        let said = text(study, key);
        if !said.is_empty() || received(key).is_some_and(|text| !text.is_empty()) {
            values.insert(key, said);
        }
    }
    let said = |key: AttrKey| text(study, key).trim().to_owned();
    let was = |key: AttrKey| received(key).unwrap_or_default().trim().to_owned();
    let both = |key: AttrKey| Some((said(key), was(key))).filter(|(said, was)| !said.is_empty() && !was.is_empty());
    let issuers = both(key::ISSUER_OF_PATIENT_ID).is_some_and(|(said, was)| said != was);
    let patient = match both(key::PATIENT_ID) {
        Some((said, was)) => said != was || issuers,
        None => fold(&said(key::PATIENT_NAME)) != fold(&was(key::PATIENT_NAME)),
    };
    let order = patient || said(key::ACCESSION_NUMBER) != was(key::ACCESSION_NUMBER);
    let all = OF_PATIENT.iter().filter(|_| patient).chain(OF_ORDER.iter().filter(|_| order));
    for key in all.map(|(tag, _)| AttrKey::root(*tag)) {
        values.entry(key).or_default();
    }
    values
}

/// Whether an attribute is one that is blanked where it stands, and set nowhere.
pub(super) fn is_blanked(wanted: AttrKey) -> bool {
    blanked(wanted).is_some()
}

fn blanked(wanted: AttrKey) -> Option<&'static str> {
    let mut all = OF_PATIENT.iter().chain(&OF_ORDER).copied();
    all.find(|(tag, _)| AttrKey::root(*tag) == wanted).map(|(_, vr)| vr)
}

/// The VR of an attribute that goes out, two letters.
pub(super) fn vr_of(wanted: AttrKey) -> Option<&'static str> {
    blanked(wanted).or_else(|| attribute(wanted).map(|row| row.vr))
}

/// A number that changes with the record of the move and with what is said.
pub(super) fn number(lsn: Lsn, values: &Attributes) -> Lsn {
    let mut hasher = DefaultHasher::new();
    (lsn, values).hash(&mut hasher);
    hasher.finish()
}
