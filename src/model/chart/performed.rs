//! A performed procedure step as a modality reports it (MPPS, PS3.4 annex F.7).
//!
//! Deliberately not here: which attributes a modality must send, and the N-CREATE and N-SET themselves.

use crate::{AeTitle, Uid};
use serde::{Deserialize, Serialize};

/// Performed Procedure Step Status (0040,0252).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerformedState {
    /// IN PROGRESS.
    InProgress,
    /// COMPLETED.
    Completed,
    /// DISCONTINUED.
    Discontinued,
}

impl PerformedState {
    /// The value of the attribute.
    pub const fn term(self) -> &'static str {
        match self {
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Discontinued => "DISCONTINUED",
        }
    }

    /// The state of a value.
    pub fn named(term: &str) -> Option<Self> {
        [Self::InProgress, Self::Completed, Self::Discontinued].into_iter().find(|state| state.term() == term.trim())
    }
}

/// A performed procedure step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performed {
    /// SOP Instance UID.
    pub uid: Uid,
    /// State.
    pub state: PerformedState,
    /// Who performs: Performed Station AE Title (0040,0241), or the calling AE title.
    pub station: AeTitle,
    /// The patient's number it names, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrn: Option<String>,
    /// Study Instance UIDs it names (0040,0270).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studies: Vec<Uid>,
    /// Accession Numbers it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accessions: Vec<String>,
    /// Order and step it belongs to: placer order number and step, where they were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<(String, String)>,
    /// Begin, milliseconds since 1970 UTC.
    pub start: u64,
    /// End, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// Discontinuation reason in words (0040,0281).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Series it says were made (0040,0340).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<PerformedSeries>,
    /// The whole data set as DICOM JSON (PS3.18 annex F), as created and set.
    pub document: serde_json::Map<String, serde_json::Value>,
}

/// A series of a performed step: what the archive should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerformedSeries {
    /// Series Instance UID.
    pub uid: Uid,
    /// SOP Instance UIDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Uid>,
}
