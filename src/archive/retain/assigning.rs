//! A study that was made under another patient: the correction that makes it the right one's, and taking corrections back.
//!
//! Both are corrections like any other ([`super::correcting`]): one fact that says everything, and no stored byte changes.
//! Deliberately not here: orders, and who may decide.

use super::{Correcting, RetainError, invalid};
use crate::open::Archive;
use model::attribute::key;
use model::chart::{BirthDate, Patient};
use model::correction::{CORRECTABLE, Why};
use model::retention::{Person, StudyRef};
use model::{AttrKey, Attributes, Caller};

impl Archive {
    /// The correction by which a study is a patient's of its facility's charts: number, name, date of birth and sex, the
    /// number through merges the one that stays. What is not known of the patient is blanked, so that nothing of the
    /// other one stays.
    ///
    /// # Errors
    /// When there is no such study or patient, or charts do not answer.
    pub fn assigning(
        &self,
        study: &StudyRef,
        mrn: &str,
        by: Person,
        reason: String,
    ) -> Result<Correcting, RetainError> {
        let row = self.study_named(study)?;
        let unavailable = |error: crate::charts::ChartError| RetainError::Unavailable { what: error.to_string() };
        let patient = self.charts().patient(&Caller::operator(), study.facility, mrn).map_err(unavailable)?;
        let patient = patient.ok_or_else(|| invalid("the charts of the facility have no patient of this number"))?;
        let mut set = of_patient(&patient, row.value(key::PATIENT_BIRTH_DATE).as_deref().unwrap_or_default());
        // What the study does not say needs no blank.
        set.retain(|key, text| !text.is_empty() || row.value(*key).is_some_and(|said| !said.is_empty()));
        Ok(Correcting { study: study.clone(), set, clear: Vec::new(), why: Why::Correct, by, reason })
    }

    /// The correction that takes the newest one of a study back: exactly what held before it holds again. Done twice it
    /// brings the newest one back.
    ///
    /// # Errors
    /// When the study was never corrected, or the index does not answer.
    pub fn taking_back(&self, study: &StudyRef, by: Person, reason: String) -> Result<Correcting, RetainError> {
        let mut corrections = self.corrections_of(study)?;
        let newest = corrections.pop().ok_or_else(|| invalid("the study was never corrected"))?;
        let set = corrections.pop().map(|before| before.values).unwrap_or_default();
        let (study, clear) = (newest.study, CORRECTABLE.to_vec());
        Ok(Correcting { study, set, clear, why: Why::Correct, by, reason })
    }
}

fn of_patient(patient: &Patient, said: &str) -> Attributes {
    let same_year = |birth: BirthDate| BirthDate::parse(said).is_ok_and(|said| said.agrees(birth));
    let birth = match patient.birth {
        // Of a year alone no day is made; one that fits it stays.
        Some(birth) if birth.whole().is_none() && same_year(birth) => said.to_owned(),
        Some(birth) => birth.da(),
        None => String::new(),
    };
    let values: [(AttrKey, String); 4] = [
        (key::PATIENT_ID, patient.mrn.clone()),
        (key::PATIENT_NAME, patient.pn()),
        (key::PATIENT_BIRTH_DATE, birth),
        (key::PATIENT_SEX, patient.sex.dicom().to_owned()),
    ];
    values.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::chart::Sex;

    #[test]
    fn nothing_of_the_other_patient_stays_and_no_day_is_made_up() {
        let told = |birth: &str, sex: Sex, said: &str| {
            let birth = BirthDate::parse(birth).ok();
            let patient = Patient { mrn: "7".into(), name: "Lê Văn An".into(), birth, sex, ..Patient::default() };
            let values = of_patient(&patient, said);
            let of = |key: AttrKey| values.get(&key).cloned().expect("said");
            assert_eq!((of(key::PATIENT_ID), of(key::PATIENT_NAME)), ("7".into(), "Lê^An^Văn".into()));
            (of(key::PATIENT_BIRTH_DATE), of(key::PATIENT_SEX))
        };
        assert_eq!(told("1978-03-05", Sex::Male, "19990101"), ("19780305".into(), "M".into()));
        assert_eq!(told("1978", Sex::Female, "19780305"), ("19780305".into(), "F".into()));
        assert_eq!(told("1978", Sex::Female, "19990101"), (String::new(), "F".into()));
        assert_eq!(told("", Sex::Unknown, "19990101"), (String::new(), String::new()));
    }
}
