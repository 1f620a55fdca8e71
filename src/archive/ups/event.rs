//! Events of steps and what they say (PS3.4 table CC.2.4-1).
//!
//! Deliberately not here: who gets one ([`super::subscribe`]) and how it travels.

use super::{Document, StepState, tag};
use model::{FacilityCode, Uid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Event Type ID (0000,1002).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// UPS State Report.
    State,
    /// UPS Cancel Requested.
    CancelRequested,
    /// UPS Progress Report.
    Progress,
    /// SCP Status Change.
    Provider,
    /// UPS Assigned.
    Assigned,
}

impl EventKind {
    /// The number of the type.
    pub fn id(self) -> u16 {
        match self {
            Self::State => 1,
            Self::CancelRequested => 2,
            Self::Progress => 3,
            Self::Provider => 4,
            Self::Assigned => 5,
        }
    }
}

/// An event as its subscribers are told of it; it is recorded sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number: later events of the archive have higher ones.
    pub seq: u64,
    /// The facility of the step.
    pub facility: FacilityCode,
    /// The step; for [`EventKind::Provider`] the global instance.
    pub uid: Uid,
    /// Its type.
    pub kind: EventKind,
    /// Event information.
    pub info: Document,
    /// Milliseconds since 1970 UTC.
    pub at: u64,
}

fn picked(document: &Document, tags: &[&str]) -> Document {
    let one = |name: &&str| document.get(*name).map(|member| ((*name).to_owned(), member.clone()));
    tags.iter().filter_map(one).collect()
}

/// The first item of a sequence.
pub(super) fn first_item<'a>(document: &'a Document, sequence: &str) -> Option<&'a Document> {
    document.get(sequence)?.get("Value")?.get(0)?.as_object()
}

/// State and readiness of a step, and why it was canceled.
pub(super) fn state_report(document: &Document, state: StepState) -> Document {
    let mut info = picked(document, &[tag::READINESS]);
    info.insert(tag::STATE.into(), json!({"vr": "CS", "Value": [state.term()]}));
    info.entry(tag::READINESS).or_insert_with(|| json!({"vr": "CS"}));
    if state == StepState::Canceled
        && let Some(progress) = first_item(document, tag::PROGRESS)
    {
        info.extend(picked(progress, &[tag::REASON, tag::DISCONTINUATION]));
    }
    info
}

/// The progress of a step.
pub(super) fn progress_report(document: &Document) -> Document {
    picked(document, &[tag::PROGRESS])
}

/// Who is to do a step.
pub(super) fn assigned(document: &Document) -> Document {
    let mut info = picked(document, &[tag::STATION_NAME]);
    if let Some(performer) = first_item(document, tag::HUMAN_PERFORMERS) {
        info.extend(picked(performer, &["00404009", "00404036"]));
    }
    info
}

/// Somebody asks the performer to stop.
pub(super) fn cancel_requested(by: &str, request: &Document) -> Document {
    let mut info = picked(request, &[tag::REASON, tag::DISCONTINUATION, tag::CONTACT_URI, tag::CONTACT_NAME]);
    info.insert(tag::REQUESTING_AE.into(), json!({"vr": "AE", "Value": [by]}));
    info
}

/// We are back, with everything we had.
pub(super) fn restarted() -> Document {
    let text = |value: &str| json!({"vr": "CS", "Value": [value]});
    [("00741242", "RESTARTED"), ("00741244", "WARM START"), ("00741246", "WARM START")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect()
}

/// Whether a sequence has an item.
pub(super) fn has_items(document: &Document, sequence: &str) -> bool {
    let items = document.get(sequence).and_then(|member| member.get("Value")).and_then(Value::as_array);
    items.is_some_and(|items| !items.is_empty())
}
