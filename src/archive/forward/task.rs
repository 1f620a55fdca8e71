//! What waits to be forwarded, and what is told of it.

use model::forward::{ForwardTo, Payload, Priority};
use model::{FacilityCode, Uid};
use serde::{Deserialize, Serialize};

/// One thing to be brought to one destination. Its JSON form stands in the queue's file: fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Number, never reused while it is known.
    pub id: u64,
    /// The rule that made it.
    pub rule: String,
    /// Where to.
    pub to: ForwardTo,
    /// What is sent.
    pub payload: Payload,
    /// What goes first.
    pub priority: Priority,
    /// Facility of the study.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Which patient under that Study Instance UID.
    pub patient: u16,
    /// Series Instance UID; none for the whole study.
    #[serde(default)]
    pub series: Option<Uid>,
    /// Objects that arrived after this `seq` ...
    pub after: u64,
    /// ... up to this one.
    pub through: u64,
    /// When it was made, milliseconds since 1970 UTC.
    pub made: u64,
    /// When it was last tried again by hand, milliseconds since 1970 UTC: patience begins anew.
    #[serde(default)]
    pub since: u64,
    /// How often the destination refused something of it.
    #[serde(default)]
    pub attempts: u32,
    /// How often something of it was not at hand.
    #[serde(default)]
    pub waits: u32,
    /// Not before this time, milliseconds since 1970 UTC.
    #[serde(default)]
    pub due: u64,
    /// Why it is not there yet; no patient data.
    #[serde(default)]
    pub error: String,
    /// Nobody tries any more until somebody asks for it.
    #[serde(default)]
    pub dead: bool,
}

impl Task {
    /// Whether both bring the same to the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let what = |task: &Self| (task.rule.clone(), task.to.clone(), task.study.clone(), task.series.clone());
        (self.facility, self.patient, self.through) == (other.facility, other.patient, other.through)
            && what(self) == what(other)
    }
}

/// How it stands with one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// The destination.
    pub to: ForwardTo,
    /// Whether nothing is sent there until it is resumed.
    pub paused: bool,
    /// Tasks that wait or are under way.
    pub waiting: u64,
    /// Of them, those that go first.
    pub stat: u64,
    /// Tasks nobody tries any more.
    pub dead: u64,
    /// When the oldest waiting task was made, milliseconds since 1970 UTC.
    pub oldest: Option<u64>,
    /// After a failure nothing is tried before this time, milliseconds since 1970 UTC.
    pub resting_until: Option<u64>,
    /// Why the last delivery failed.
    pub error: String,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is there.
    Done,
    /// The destination refused objects, or takes none of their kind.
    Refused(String),
    /// The destination cannot be reached, or the connection was lost.
    Down(String),
    /// Something is not there yet; again after so many seconds.
    Later(u64, String),
    /// It made room, or the archive stops.
    Interrupted,
}
