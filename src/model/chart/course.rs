//! When things happened to an order that nothing else says: what its turnaround is measured by.
//!
//! Deliberately not here: how it is measured.

use serde::{Deserialize, Serialize};

/// Moments of an order, milliseconds since 1970 UTC, each the first time. None lies after the archive heard of it: what is
/// said to have happened later is a wrong clock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// A modality began (MPPS), by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Somebody who is told of studies was told of the complete images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<u64>,
    /// The result that was final first was made, by the clock of who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<u64>,
    /// Somebody who is told of results had taken it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u64>,
    /// Somebody looked at the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<u64>,
}

impl Course {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Takes in a moment where there is none, or a later one.
pub fn first(known: &mut Option<u64>, moment: u64) {
    *known = Some(known.map_or(moment, |known| known.min(moment)));
}
