//! What is recorded of steps, subscriptions and events (docs/FORMAT.md, section Steps).
//!
//! The newest record of a key counts. Deliberately not here: what follows from one ([`super::state`]).

use super::event::Event;
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
        events: Vec<Event>,
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
        events: Vec<Event>,
    },
    /// The subscription of an AE title to one step: with or without deletion lock, or none although it has a global one.
    Single {
        facility: FacilityCode,
        title: AeTitle,
        uid: Uid,
        lock: Option<bool>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        events: Vec<Event>,
    },
    /// Events alone.
    Events { events: Vec<Event> },
    /// An AE title has taken its events up to a number.
    Taken { facility: FacilityCode, title: AeTitle, through: u64 },
}

/// A subscription to every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Global {
    /// With deletion lock.
    pub(super) lock: bool,
    /// Only steps that match these keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<Document>,
    /// Suspended: only steps created before this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
}
