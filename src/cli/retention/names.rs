//! How studies, patients, plans and holds are named on the command line.

use model::retention::{HoldId, PatientRef, PlanId, StudyRef};
use model::{FacilityCode, Uid};

/// An instance by all its UIDs.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) facility: FacilityCode,
    pub(super) study: Uid,
    pub(super) series: Uid,
    pub(super) instance: Uid,
}

pub(super) fn parse_plan(text: &str) -> Result<PlanId, &'static str> {
    PlanId::parse(text).ok_or("the name of a plan is 1 to 64 letters, digits, '.', '_' or '-'")
}

pub(super) fn parse_hold(text: &str) -> Result<HoldId, &'static str> {
    HoldId::parse(text).ok_or("the number of a hold is 1 to 64 letters, digits, '.', '_' or '-'")
}

pub(in crate::cli) fn parse_study(text: &str) -> Result<StudyRef, String> {
    let form = || format!("write FACILITY/STUDY, for example 56001/1.2.3; got {text:?}");
    let (facility, rest) = text.split_once('/').ok_or_else(form)?;
    let (study, patient) = rest.split_once('#').map_or((rest, "0"), |(study, patient)| (study, patient));
    let facility = FacilityCode::parse(facility).map_err(|_| form())?;
    let study = Uid::parse(study).map_err(|_| form())?;
    Ok(StudyRef { facility, study, patient: patient.parse().map_err(|_| form())? })
}

pub(super) fn parse_patient(text: &str) -> Result<PatientRef, &'static str> {
    let wrong = "write ISSUER:ID, for example 56001:12345";
    let (issuer, id) = text.split_once(':').ok_or(wrong)?;
    let (issuer, id) = (issuer.trim().to_owned(), id.trim().to_owned());
    if issuer.is_empty() || id.is_empty() { Err(wrong) } else { Ok(PatientRef { issuer, id }) }
}

pub(super) fn parse_condition(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, for example AccessionNumber=A123")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn parse_instance(text: &str) -> Result<Instance, &'static str> {
    let wrong = "write FACILITY/STUDY/SERIES/INSTANCE";
    let uid = |part: Option<&str>| part.and_then(|text| Uid::parse(text).ok()).ok_or(wrong);
    let mut parts = text.split('/');
    let facility = parts.next().and_then(|code| FacilityCode::parse(code).ok()).ok_or(wrong)?;
    let (study, series, instance) = (uid(parts.next())?, uid(parts.next())?, uid(parts.next())?);
    if parts.next().is_some() { Err(wrong) } else { Ok(Instance { facility, study, series, instance }) }
}
