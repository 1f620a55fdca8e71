//! What is recorded of steps, subscriptions and events (docs/FORMAT.md, section Steps).
//!
//! The newest record of a key counts. Deliberately not here: what follows from one ([`super::state`]).

use super::event::EventKind;
use super::{Document, StepState};
use model::{AeTitle, FacilityCode, PackId, Uid};
use serde::{Deserialize, Serialize};

/// A record's head; the data set of a step is its body, sealed ([`super::seal`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ups", rename_all = "kebab-case")]
pub(super) enum UpsRecord {
    /// A step as it is from now on.
    Step {
        facility: FacilityCode,
        uid: Uid,
        /// Number of its creation: grows from one to the next.
        created: u64,
        /// Milliseconds since 1970 UTC.
        at: u64,
        state: StepState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction: Option<Uid>,
        /// Scheduled Procedure Step Start DateTime, by which steps are in order.
        start: String,
        /// What its values leave in a filter ([`super::bloom`]).
        marks: [u64; 2],
        /// The name of the key under which its data set lies; none in records of earlier programs, where it lies in clear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<PackId>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<Noted>,
    },
    /// A step that is forgotten.
    Gone { facility: FacilityCode, uid: Uid },
    /// The subscription of an AE title to every step, or none any more.
    Global {
        facility: FacilityCode,
        title: AeTitle,
        global: Option<Global>,
        /// Whether its subscriptions to single steps end with it.
        clears: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<Noted>,
    },
    /// The subscription of an AE title to one step: with or without deletion lock, or none although it has a global one.
    Single {
        facility: FacilityCode,
        title: AeTitle,
        uid: Uid,
        lock: Option<bool>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<Noted>,
    },
    /// Events alone.
    Events { events: Vec<Noted> },
    /// An AE title has taken its events up to a number.
    Taken { facility: FacilityCode, title: AeTitle, through: u64 },
}

/// A subscription to every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Global {
    /// With deletion lock.
    pub(super) lock: bool,
    /// Only steps that match these keys; in clear, as earlier programs recorded them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Document>,
    /// The same, under a key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<Sealed>,
    /// Suspended: only steps created before this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
}

impl Global {
    /// Whether it is about steps that match some keys only.
    pub(super) fn is_filtered(&self) -> bool {
        self.filter.is_some() || self.sealed.is_some()
    }

    /// The name of the key its filter lies under.
    pub(super) fn seal(&self) -> Option<PackId> {
        self.sealed.as_ref().map(|sealed| sealed.seal)
    }
}

/// A text that says nothing without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    /// The name of the key.
    pub(super) seal: PackId,
    /// Nonce, ciphertext and tag as hexadecimal digits.
    pub(super) text: String,
}

/// An event as it is recorded: what it says lies under the key of its step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) seq: u64,
    pub(super) facility: FacilityCode,
    pub(super) uid: Uid,
    pub(super) kind: EventKind,
    /// What it says, in clear: of an archive that is back, and in records of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<Document>,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<Sealed>,
    pub(super) at: u64,
    pub(super) to: Vec<AeTitle>,
}

impl Noted {
    /// Whether it says something of a step to everybody.
    pub(super) fn is_clear(&self) -> bool {
        self.info.is_some() && self.kind != EventKind::Provider
    }

    /// The name of the key it lies under.
    pub(super) fn seal(&self) -> Option<PackId> {
        self.sealed.as_ref().map(|sealed| sealed.seal)
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let clear = self.info.as_ref().and_then(|info| serde_json::to_vec(info).ok()).map_or(0, |bytes| bytes.len());
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.text.len());
        clear.saturating_add(sealed).saturating_add(200)
    }
}
