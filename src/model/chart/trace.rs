//! Messages: where a chart row came from, and what became of each message.
//!
//! Deliberately not here: how a message is framed, parsed and answered.

use super::Change;
use crate::Digest;
use serde::{Deserialize, Serialize};

/// Who said it: what tells a message from its repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the source in the registry (`mllp:56001:HIS`, `rest:token-name`).
    pub source: String,
    /// Sending application and facility (MSH-3, MSH-4), joined by `|`; empty outside HL7.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sender: String,
    /// Message control id (MSH-10) or the caller's own idempotency key.
    pub control: String,
    /// SHA-256 of the message's bytes.
    pub digest: Digest,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case")]
pub enum Handled {
    /// Its effects are recorded.
    Done,
    /// It waits for what it refers to until a time (milliseconds since 1970 UTC), then for a steward.
    Parked {
        /// For what, without a patient's data.
        why: String,
        /// Until when.
        until: u64,
    },
    /// It had no effect; a person has to look.
    Refused {
        /// Why, without a patient's data.
        why: String,
    },
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where from.
    pub origin: Origin,
    /// Type and trigger: `ADT^A01`.
    pub kind: String,
    /// The patient's number, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mrn: Option<String>,
    /// The whole message as text.
    pub text: String,
    /// What became of it.
    pub handled: Handled,
    /// Acknowledgement code sent: `AA`, `AE`, ...
    pub acknowledged: String,
    /// Remarks that stand in the acknowledgement, without a patient's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// When it came, milliseconds since 1970 UTC.
    pub at: u64,
    /// When it was last handled, milliseconds since 1970 UTC; 0: when it came.
    #[serde(default)]
    pub handled_at: u64,
    /// What it asks for, as long as it is parked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Change>,
}
