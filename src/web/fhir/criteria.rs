//! Criteria of a Subscription: from a search string to what the archive applies to each event.
//!
//! What is not applied is refused, with everything that is: criteria that are half understood would tell too much.

use super::desk::DCM;
use super::said::bad;
use super::tables::Resource;
use super::{ids, question};
use crate::dicomweb::qido::split_query;
use crate::problem::Problem;
use model::FacilityCode;
use model::chart::{EventKind, Hook};
use std::collections::BTreeSet;

/// What is told of a kind of resource, and by which parameters it is narrowed.
struct Told {
    name: &'static str,
    events: &'static [EventKind],
    parameters: &'static [&'static str],
    /// States in words of FHIR, and those of events.
    states: &'static [(&'static str, &'static [&'static str])],
}

const TOLD: &[Told] = &[
    Told {
        name: "ImagingStudy",
        events: &[EventKind::StudyAvailable, EventKind::StudyChanged],
        parameters: &["facility", "patient", "patient.identifier", "modality", "status"],
        // A study that is told is there.
        states: &[("available", &[])],
    },
    Told {
        name: "DiagnosticReport",
        events: &[EventKind::Result],
        parameters: &["facility", "patient", "patient.identifier", "status", "category"],
        states: &[
            ("preliminary", &["preliminary"]),
            ("final", &["final"]),
            ("amended", &["amended"]),
            ("cancelled", &["canceled"]),
        ],
    },
    Told {
        name: "ServiceRequest",
        events: &[EventKind::Order],
        parameters: &["facility", "patient", "patient.identifier", "status"],
        states: &[
            ("active", &["scheduled", "in-progress"]),
            ("completed", &["completed"]),
            ("revoked", &["canceled", "discontinued"]),
        ],
    },
    Told {
        name: "Patient",
        events: &[EventKind::Merged, EventKind::Unmerged, EventKind::Patient],
        parameters: &["facility", "_id", "identifier"],
        states: &[],
    },
];

/// Disciplines of results in words of FHIR (HL7 table 0074).
const CATEGORIES: &[(&str, &str)] = &[("RAD", "imaging"), ("LAB", "laboratory"), ("PAT", "pathology")];

/// Criteria as they are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Criteria {
    /// The facility they name.
    pub(crate) facility: Option<FacilityCode>,
    pub(crate) events: BTreeSet<EventKind>,
    pub(crate) hook: Hook,
}

fn wrong(what: impl Into<String>) -> Problem {
    bad("criteria", what)
}

/// What criteria can say, in words.
pub(crate) fn supported() -> String {
    let one = |told: &Told| format!("{} by {}", told.name, told.parameters.join(", "));
    TOLD.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Reads criteria; `mrn` is the system of the facilities' numbers of patients.
pub(crate) fn read(mrn: &str, text: &str) -> Result<Criteria, Problem> {
    let (name, query) = text.trim().split_once('?').unwrap_or((text.trim(), ""));
    let told = TOLD.iter().find(|told| told.name == name);
    let told = told.ok_or_else(|| wrong(format!("this is not told; told is {}", supported())))?;
    let events = told.events.iter().copied().collect();
    let mut criteria = Criteria { facility: None, events, hook: Hook::default() };
    let mut seen = BTreeSet::new();
    for (parameter, value) in split_query(query).map_err(|_| wrong("what follows the question mark is not encoded"))? {
        let known = told.parameters.iter().find(|known| **known == parameter);
        let known = known.ok_or_else(|| {
            wrong(format!("{name} is told by {}, without modifiers, and by nothing else", told.parameters.join(", ")))
        })?;
        if !seen.insert(*known) {
            return Err(wrong(format!("{known} is said once, with its values separated by commas")));
        }
        for value in value.split(',').map(str::trim) {
            criteria.take(mrn, told, known, value)?;
        }
    }
    Ok(criteria)
}

impl Criteria {
    fn take(&mut self, mrn: &str, told: &Told, name: &str, value: &str) -> Result<(), Problem> {
        if value.is_empty() {
            return Err(wrong(format!("{name} has no value")));
        }
        let (system, code) = match value.split_once('|') {
            Some((system, code)) => (Some(system), code),
            None => (None, value),
        };
        match name {
            "facility" => {
                let code = FacilityCode::parse(value).map_err(|error| wrong(error.to_string()))?;
                self.of(code)
            }
            "patient" | "_id" => {
                let id = question::referred(value, Resource::Patient);
                let named = ids::read(&id).ok_or_else(|| wrong(format!("{name} is no id of a Patient")))?;
                self.hook.patients.insert(named.1);
                self.of(named.0)
            }
            "patient.identifier" | "identifier" => {
                if code.is_empty() || system.is_some_and(|system| system != mrn) {
                    return Err(wrong(format!("{name} is a number of the facility, of the system {mrn} or none")));
                }
                self.hook.patients.insert(code.to_owned());
                Ok(())
            }
            "modality" if system.is_none_or(|system| system == DCM) && !code.is_empty() => {
                self.hook.modalities.insert(code.to_owned());
                Ok(())
            }
            "modality" => Err(wrong("modality is a code of DICOM")),
            "category" => {
                let known = CATEGORIES.iter().find(|(known, _)| *known == code);
                let known = known.ok_or_else(|| wrong(one_of(name, CATEGORIES.iter().map(|(known, _)| *known))))?;
                self.hook.disciplines.insert(known.1.to_owned());
                Ok(())
            }
            _ => {
                let known = told.states.iter().find(|(known, _)| *known == code);
                let known = known.ok_or_else(|| wrong(one_of(name, told.states.iter().map(|(known, _)| *known))))?;
                self.hook.states.extend(known.1.iter().map(|state| (*state).to_owned()));
                Ok(())
            }
        }
    }

    /// Everything they say is of one facility.
    fn of(&mut self, facility: FacilityCode) -> Result<(), Problem> {
        if self.facility.is_some_and(|other| other != facility) {
            return Err(wrong("a subscription is told of one facility: make one for each"));
        }
        self.facility = Some(facility);
        Ok(())
    }
}

fn one_of<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("{name} is one of {}", known.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn what_is_said_is_what_is_applied() {
        let text = "DiagnosticReport?patient=Patient/56001.22000017,56001.22000018&status=final,cancelled&category=LAB";
        let criteria = read("urn:mrn", text).expect("understood");
        assert_eq!(criteria.facility, FacilityCode::parse("56001").ok());
        assert_eq!(criteria.events, BTreeSet::from([EventKind::Result]));
        assert_eq!(criteria.hook.patients, set(&["22000017", "22000018"]));
        assert_eq!(criteria.hook.states, set(&["final", "canceled"]));
        assert_eq!(criteria.hook.disciplines, set(&["laboratory"]));
        let study = format!("ImagingStudy?modality={DCM}%7CCT,MR&status=available&patient.identifier=urn:mrn%7C7");
        let study = read("urn:mrn", &study).expect("understood").hook;
        assert_eq!((study.modalities, study.states, study.patients), (set(&["CT", "MR"]), set(&[]), set(&["7"])));
        let order = read("urn:mrn", "ServiceRequest?status=revoked&facility=56001").expect("understood");
        assert_eq!(order.hook.states, set(&["canceled", "discontinued"]));
        for all in ["Patient", "Patient?", " Patient?identifier=1"] {
            assert_eq!(
                read("urn:mrn", all).expect(all).events,
                BTreeSet::from([EventKind::Merged, EventKind::Unmerged, EventKind::Patient])
            );
        }
    }

    #[test]
    fn what_is_not_applied_is_refused_with_what_is() {
        for (text, told) in [
            ("Observation?code=1", "told is ImagingStudy by facility, patient"),
            ("", "told is ImagingStudy"),
            ("ImagingStudy?started=ge2026-01-01", "told by facility, patient, patient.identifier, modality, status"),
            ("ImagingStudy?modality:not=CT", "without modifiers"),
            ("ImagingStudy?modality=CT&modality=MR", "said once"),
            ("ImagingStudy?modality=", "no value"),
            ("ImagingStudy?modality=urn:x%7CCT", "a code of DICOM"),
            ("ImagingStudy?status=cancelled", "one of available"),
            ("ServiceRequest?status=draft", "one of active, completed, revoked"),
            ("DiagnosticReport?category=XX", "one of RAD, LAB, PAT"),
            ("DiagnosticReport?patient=Group/56001.1", "no id of a Patient"),
            ("DiagnosticReport?patient=56001.1,56002.1", "one facility"),
            ("Patient?identifier=urn:national%7C1", "of the system urn:mrn"),
            ("Patient?_id=%ZZ", "not encoded"),
        ] {
            let refusal = read("urn:mrn", text).expect_err(text);
            assert!(refusal.detail.contains(told), "{text}: {}", refusal.detail);
        }
    }
}
