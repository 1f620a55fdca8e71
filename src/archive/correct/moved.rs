//! What the objects of a series say that stands in another study than it was received in.
//!
//! Study Instance UID, patient and order are those of the study it stands in; what that study does not say is blank, so that
//! nothing of the other patient stays. Deliberately not here: which series those are.

use index::StudyRow;
use model::attribute::{attribute, key};
use model::correction::CORRECTABLE;
use model::{AttrKey, Attributes, Lsn};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Attributes beside those that can be corrected in which the studies of a facility differ.
const ALSO: [AttrKey; 5] =
    [key::STUDY_DATE, key::STUDY_TIME, key::PATIENT_BIRTH_TIME, key::OTHER_PATIENT_IDS, key::OTHER_PATIENT_NAMES];
/// Other Patient IDs Sequence: what stands in it is never another study's.
const OTHER_IDS: AttrKey = AttrKey { sequence: 0, tag: 0x0010_1002 };

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
    if received(key::OTHER_PATIENT_ID_ITEM).is_some_and(|text| !text.is_empty()) {
        values.insert(OTHER_IDS, String::new());
    }
    values
}

/// The VR of such an attribute, two letters.
pub(super) fn vr_of(wanted: AttrKey) -> Option<&'static str> {
    if wanted == OTHER_IDS { Some("SQ") } else { attribute(wanted).map(|row| row.vr) }
}

/// A number that changes with the record of the move and with what is said.
pub(super) fn number(lsn: Lsn, values: &Attributes) -> Lsn {
    let mut hasher = DefaultHasher::new();
    (lsn, values).hash(&mut hasher);
    hasher.finish()
}
