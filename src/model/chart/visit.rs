//! A visit: an admission or an outpatient's call at a facility.
//!
//! Deliberately not here: how long images of a class of records are kept (see [`crate::retention`]).

use crate::retention::ClassId;
use serde::{Deserialize, Serialize};

/// Where a visit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VisitState {
    /// Announced or registered (A04, A05).
    #[default]
    Registered,
    /// Admitted (A01).
    Admitted,
    /// Discharged (A03).
    Discharged,
    /// Taken back (A11).
    Canceled,
}

/// A visit of a patient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Visit {
    /// Visit number (PV1-19, `MA_LK`).
    pub number: String,
    /// The patient's number.
    pub mrn: String,
    /// State.
    pub state: VisitState,
    /// Patient class (PV1-2): `I` inpatient, `O` outpatient, `E` emergency, ...
    pub class: String,
    /// Current location (PV1-3), components joined by spaces.
    pub location: String,
    /// Referring physician (PV1-8) as a whole name.
    pub referring: String,
    /// Discharge disposition (PV1-36).
    pub disposition: String,
    /// Diagnosis codes (DG1-3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diagnoses: Vec<String>,
    /// Classes of retention that its record has; once given, a class stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<ClassId>,
    /// Whether the patient is pregnant (PV1-15 = B6).
    pub pregnant: bool,
    /// Begin, milliseconds since 1970 UTC.
    pub begin: u64,
    /// End, where told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
}
