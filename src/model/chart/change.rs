//! What a message asks to be changed: the edges translate their wire format into these, the archive decides and records.
//!
//! A field that is `None` was not said and stays as it is; an empty one was said to be empty.
//! The JSON form lies in messages that wait, so it is one on the disk: variants and fields are only ever added, and a new
//! field has a default.
//! Deliberately not here: who may change what, and what a change means for the rest.

use super::birth::BirthDate;
use super::order::{Appointment, Code, OrderState, Priority};
use super::patient::{OtherId, Sex};
use super::report::Report;
use super::visit::VisitState;
use crate::retention::ClassId;
use crate::{AeTitle, Uid};
use serde::{Deserialize, Deserializer, Serialize};

/// One change. Those of a message hold all or not at all, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", content = "of", rename_all = "kebab-case")]
pub enum Change {
    /// A patient is new or says something new.
    Patient(PatientUpdate),
    /// Two numbers are one patient (A40): `former` is given up.
    Merge {
        /// The number that stays.
        survivor: String,
        /// The number given up.
        former: String,
    },
    /// A patient's number is written otherwise (A47): the same patient, another number.
    Renumber {
        /// The number before.
        former: String,
        /// The number from now on.
        number: String,
    },
    /// A visit is another patient's (A43, A45).
    MoveVisit {
        /// Visit number.
        visit: String,
        /// Whose it is.
        mrn: String,
    },
    /// A visit is new or says something new.
    Visit(VisitUpdate),
    /// An order is new or something happens to it.
    Order(Box<OrderUpdate>),
    /// A result.
    Report(Box<Report>),
}

/// What is said of a patient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PatientUpdate {
    /// The facility's number.
    pub mrn: String,
    /// Whole name.
    pub name: Option<String>,
    /// Birth date; the inner none: said to be unknown.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub birth: Option<Option<BirthDate>>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Personal identification number.
    pub national: Option<String>,
    /// Old identity card.
    pub old_card: Option<String>,
    /// Passport.
    pub passport: Option<String>,
    /// Insurance numbers, all of them.
    pub insurance: Option<Vec<String>>,
    /// Other numbers, all of them.
    pub others: Option<Vec<OtherId>>,
    /// Telephone numbers, all of them.
    pub phones: Option<Vec<String>>,
    /// Address.
    pub address: Option<String>,
    /// Allergies, all of them.
    pub allergies: Option<Vec<String>>,
    /// Day of death; the inner none: said to live.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub died: Option<Option<BirthDate>>,
    /// Classes of retention that all records of the patient have; those given before stay, unless the patient is said to
    /// live.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<ClassId>,
}

/// What is said of a visit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VisitUpdate {
    /// Visit number.
    pub number: String,
    /// The patient's number.
    pub mrn: String,
    /// State; none: as before, registered when new.
    pub state: Option<VisitState>,
    /// Patient class.
    pub class: Option<String>,
    /// Location.
    pub location: Option<String>,
    /// Referring physician.
    pub referring: Option<String>,
    /// Discharge disposition.
    pub disposition: Option<String>,
    /// Diagnosis codes, all of them.
    pub diagnoses: Option<Vec<String>>,
    /// Classes of retention that its record has; those given before stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<ClassId>,
    /// Pregnancy.
    pub pregnant: Option<bool>,
    /// Begin, milliseconds since 1970 UTC.
    pub begin: Option<u64>,
    /// End; the inner none: taken back (A13).
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub end: Option<Option<u64>>,
    /// The visit of the same patient that this one goes on from, under another number (A06, A07): it ends where this one
    /// begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formerly: Option<String>,
}

/// What happens to an order (ORC-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAction {
    /// NW: new; of a known order the same as a change.
    New,
    /// XO, XX, PA: changed.
    Change,
    /// CA: taken back.
    Cancel,
    /// DC: broken off.
    Discontinue,
    /// SC: its state is.
    Status(OrderState),
    /// S15: its appointment is taken back, the one that the step says where it says any; the order stays.
    Unbook,
}

/// What is said of an order. All but the placer order number may be silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderUpdate {
    /// What happens.
    pub action: OrderAction,
    /// Placer order number.
    pub placer: String,
    /// Filler order number.
    pub filler: Option<String>,
    /// The patient's number; an order that is new needs one.
    pub mrn: Option<String>,
    /// Visit number.
    pub visit: Option<String>,
    /// Accession Number as sent.
    pub accession: Option<String>,
    /// Study Instance UID as sent.
    pub study: Option<Uid>,
    /// Requested Procedure ID.
    pub procedure_id: Option<String>,
    /// Requested Procedure Description.
    pub procedure: Option<String>,
    /// Requested Procedure Code.
    pub procedure_code: Option<Code>,
    /// Requesting physician.
    pub requesting: Option<String>,
    /// Requesting service.
    pub service: Option<String>,
    /// Referring physician.
    pub referring: Option<String>,
    /// Priority.
    pub priority: Option<Priority>,
    /// Location.
    pub location: Option<String>,
    /// Reason.
    pub reason: Option<String>,
    /// Patient state.
    pub patient_state: Option<String>,
    /// Weight in kilograms.
    pub weight: Option<String>,
    /// Medical alerts.
    pub alerts: Option<String>,
    /// Pregnancy status.
    pub pregnancy: Option<u16>,
    /// Steps: each replaces that of its id; a step without an id is the only one.
    pub steps: Vec<StepUpdate>,
}

impl OrderUpdate {
    /// One that says nothing but what happens to which order.
    pub fn new(action: OrderAction, placer: impl Into<String>) -> Self {
        Self {
            action,
            placer: placer.into(),
            filler: None,
            mrn: None,
            visit: None,
            accession: None,
            study: None,
            procedure_id: None,
            procedure: None,
            procedure_code: None,
            requesting: None,
            service: None,
            referring: None,
            priority: None,
            location: None,
            reason: None,
            patient_state: None,
            weight: None,
            alerts: None,
            pregnancy: None,
            steps: Vec::new(),
        }
    }
}

/// What is said of a scheduled procedure step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepUpdate {
    /// Scheduled Procedure Step ID; empty: the only step.
    pub id: String,
    /// Modality, a DICOM term.
    pub modality: Option<String>,
    /// Station AE title; the inner none: any.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub station: Option<Option<AeTitle>>,
    /// Station name.
    pub station_name: Option<String>,
    /// Location.
    pub location: Option<String>,
    /// Start as the facility's clock shows it: `YYYYMMDD` and `HHMMSS`; none: when the order came.
    pub start: Option<(String, String)>,
    /// Performing physician.
    pub performing: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Protocol codes.
    pub protocol: Option<Vec<Code>>,
    /// Numbers of its appointment; of one that is taken back, which one that is, as `start` is when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appointment: Option<Appointment>,
}

/// What is there was said, be it that it is unknown.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A message as an edge understood it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// Where from.
    pub origin: super::Origin,
    /// Type and trigger: `ADT^A01`.
    pub kind: String,
    /// The patient's number, where it has one.
    pub mrn: Option<String>,
    /// The whole message as text.
    pub text: String,
    /// What it asks for, or why it cannot be understood (without a patient's data).
    pub changes: Result<Vec<Change>, String>,
    /// Remarks of the edge, without a patient's data.
    pub remarks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_read_as_it_was_written() {
        let birth = BirthDate::parse("1978").ok();
        let step = StepUpdate { station: Some(None), ..StepUpdate::default() };
        let changes = vec![
            Change::Patient(PatientUpdate { mrn: "1".into(), birth: Some(None), ..PatientUpdate::default() }),
            Change::Patient(PatientUpdate { mrn: "2".into(), birth: Some(birth), ..PatientUpdate::default() }),
            Change::Patient(PatientUpdate { mrn: "3".into(), ..PatientUpdate::default() }),
            Change::Merge { survivor: "1".into(), former: "2".into() },
            Change::Visit(VisitUpdate { number: "V".into(), end: Some(None), ..VisitUpdate::default() }),
            Change::Order(Box::new(OrderUpdate {
                steps: vec![step],
                ..OrderUpdate::new(OrderAction::Status(OrderState::Completed), "O")
            })),
        ];
        let text = serde_json::to_string(&changes).expect("text");
        assert_eq!(serde_json::from_str::<Vec<Change>>(&text).expect("read"), changes, "{text}");
    }
}
