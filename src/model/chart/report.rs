//! A result that an information system sent: text, document or pointer, with its versions.
//!
//! Deliberately not here: reports that radiologists write here; this archive keeps what others wrote.

use crate::Uid;
use serde::{Deserialize, Serialize};

/// How final a result is (OBR-25, OBX-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportStatus {
    /// P, R: preliminary.
    Preliminary,
    /// F: final.
    #[default]
    Final,
    /// C: corrected.
    Amended,
    /// X: taken back.
    Canceled,
}

impl ReportStatus {
    /// Of an HL7 result status.
    pub fn of_hl7(code: &str) -> Self {
        match code.trim() {
            "P" | "R" | "I" | "S" | "A" => Self::Preliminary,
            "C" => Self::Amended,
            "X" | "D" => Self::Canceled,
            _ => Self::Final,
        }
    }
}

/// One piece of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case")]
pub enum Content {
    /// Words under a heading: description, conclusion, advice.
    Text {
        /// Heading.
        heading: String,
        /// Words, lines separated by `\n`.
        text: String,
    },
    /// A document; its bytes are base64.
    Document {
        /// Media type.
        media_type: String,
        /// Base64 of the bytes.
        base64: String,
    },
    /// Where it lies elsewhere.
    Pointer {
        /// URL.
        url: String,
    },
}

/// A result of a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The sender's number of it: filler or placer order number with what it reports on.
    pub number: String,
    /// The patient's number.
    pub mrn: String,
    /// Visit number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub visit: String,
    /// Placer order number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placer: String,
    /// Accession Number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub accession: String,
    /// Study Instance UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<Uid>,
    /// `imaging`, `laboratory` or `pathology`.
    pub discipline: String,
    /// What was done, in words.
    pub title: String,
    /// Who signed, whole name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Status.
    pub status: ReportStatus,
    /// 1 for the first, one more with every change.
    pub version: u32,
    /// Pieces in order.
    pub contents: Vec<Content>,
    /// When it was made, milliseconds since 1970 UTC.
    pub at: u64,
}
