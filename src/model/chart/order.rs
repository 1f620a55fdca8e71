//! An imaging order and its scheduled procedure steps: what a modality's worklist is made of (PS3.4 annex K).
//!
//! Deliberately not here: HL7 fields and DICOM attributes, and which console is shown what.

use super::course::Course;
use crate::{AeTitle, Uid};
use serde::{Deserialize, Serialize};

/// A code with its scheme and meaning (HL7 CE, DICOM code sequence).
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Code {
    /// Code value; codes are texts, zeros in front count.
    pub value: String,
    /// Coding scheme designator; may be empty.
    pub scheme: String,
    /// Meaning.
    pub meaning: String,
}

/// Requested Procedure Priority (0040,1003).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// STAT.
    Stat,
    /// HIGH.
    High,
    /// ROUTINE.
    #[default]
    Routine,
    /// MEDIUM.
    Medium,
    /// LOW.
    Low,
}

impl Priority {
    /// Of an HL7 priority code (S, A, R, P, C, T; TQ1-9, OBR-27.6); anything else is routine.
    pub fn of_hl7(code: &str) -> Self {
        match code.trim().chars().next().map(|letter| letter.to_ascii_uppercase()) {
            Some('S') => Self::Stat,
            Some('A') => Self::High,
            _ => Self::Routine,
        }
    }

    /// The DICOM value.
    pub const fn term(self) -> &'static str {
        match self {
            Self::Stat => "STAT",
            Self::High => "HIGH",
            Self::Routine => "ROUTINE",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// Planned; it is in the worklist.
    #[default]
    Scheduled,
    /// A modality has begun.
    InProgress,
    /// Done.
    Completed,
    /// Taken back before it began.
    Canceled,
    /// Broken off.
    Discontinued,
}

impl OrderState {
    /// Whether a worklist shows it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Scheduled | Self::InProgress)
    }

    /// Its name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Discontinued => "discontinued",
        }
    }
}

/// An order of a facility: key (facility, placer order number).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Placer order number (ORC-2).
    pub placer: String,
    /// Filler order number (ORC-3).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filler: String,
    /// The patient's number.
    pub mrn: String,
    /// Visit number; also Admission ID (0038,0010).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub visit: String,
    /// Accession Number, at most 16 characters, one of ours where the sender gave none or a longer one.
    pub accession: String,
    /// The sender's own number where ours stands for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sent_accession: String,
    /// Study Instance UID, made here where the sender gave none.
    pub study: Uid,
    /// Requested Procedure ID (0040,1001).
    #[serde(default)]
    pub procedure_id: String,
    /// Requested Procedure Description (0032,1060).
    #[serde(default)]
    pub procedure: String,
    /// Requested Procedure Code Sequence (0032,1064).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub procedure_code: Option<Code>,
    /// Requesting physician (0032,1032), whole name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requesting: String,
    /// Requesting service (0032,1033).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Referring physician (0008,0090), whole name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub referring: String,
    /// Priority.
    #[serde(default)]
    pub priority: Priority,
    /// Current patient location (0038,0300).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// Reason for the requested procedure (0040,1002).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Patient state (0038,0500): danger codes of OBR-12 and OBR-13.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub patient_state: String,
    /// Weight in kilograms as text (0010,1030).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub weight: String,
    /// Medical alerts (0010,2000).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alerts: String,
    /// Pregnancy status (0010,21C0): 1 not pregnant, 2 possibly, 3 definitely, 4 not known; none when not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pregnancy: Option<u16>,
    /// Scheduled procedure steps: one line of a worklist each.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// State of the order.
    #[serde(default)]
    pub state: OrderState,
    /// When it was placed, milliseconds since 1970 UTC.
    pub placed: u64,
    /// When the first image of its study came, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// When its study was complete, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<u64>,
    /// When what else happened to it.
    #[serde(default, skip_serializing_if = "Course::is_empty")]
    pub course: Course,
}

/// A scheduled procedure step (0040,0100).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Scheduled Procedure Step ID (0040,0009), unique in its order.
    pub id: String,
    /// Modality (0008,0060), a DICOM term.
    pub modality: String,
    /// Scheduled Station AE Title (0040,0001); none: any console of the modality may do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<AeTitle>,
    /// Scheduled Station Name (0040,0010).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub station_name: String,
    /// Scheduled Procedure Step Location (0040,0011).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// Start as the facility's clock shows it: DICOM date and time, `YYYYMMDD` and `HHMMSS`.
    pub date: String,
    /// See `date`.
    pub time: String,
    /// The same in milliseconds since 1970 UTC.
    pub start: u64,
    /// Scheduled Performing Physician (0040,0006), whole name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub performing: String,
    /// Scheduled Procedure Step Description (0040,0007).
    pub description: String,
    /// Scheduled Protocol Code Sequence (0040,0008).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocol: Vec<Code>,
    /// State.
    pub state: OrderState,
    /// Whether its appointment was taken back and no other was given since: it stays to be done, and nobody is expected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unbooked: bool,
    /// Numbers of its appointment, where one was told.
    #[serde(skip_serializing_if = "Appointment::is_unknown")]
    pub appointment: Appointment,
}

/// Numbers of an appointment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Appointment {
    /// Of whoever asks for it (SCH-1).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub placer: String,
    /// Of whoever gives it (SCH-2).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filler: String,
}

impl Appointment {
    /// Whether it has no number.
    pub fn is_unknown(&self) -> bool {
        self.placer.is_empty() && self.filler.is_empty()
    }

    /// Whether two are one; none where no number is known of both.
    pub fn is(&self, other: &Self) -> Option<bool> {
        let numbers = [(&self.filler, &other.filler), (&self.placer, &other.placer)];
        let known = numbers.into_iter().find(|(one, two)| !one.is_empty() && !two.is_empty());
        known.map(|(one, two)| one == two)
    }
}
