//! Moving series on behalf of a command.
//!
//! Deliberately not here: how anything is shown.

use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::retain::{Moving, RetainError};
use model::retention::StudyRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is asked about the series of a study.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "wanted", rename_all = "kebab-case")]
pub(crate) enum SeriesRequest {
    /// Every move into and out of it.
    List {
        /// The study.
        study: StudyRef,
    },
    /// Moves series, or takes that back.
    Move {
        /// Which, and where to.
        moving: Moving,
        /// Whether it is done, or only told what would move.
        execute: bool,
    },
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, wanted: &SeriesRequest) -> Result<Value, Failure> {
    let answered = match wanted {
        SeriesRequest::List { study } => archive.moves_of(study).map(|moves| json!(moves)),
        SeriesRequest::Move { moving, execute } => {
            let done = if *execute { archive.move_series(moving) } else { archive.would_move(moving) };
            done.map(|moved| json!({ "moved": moved }))
        }
    };
    answered.map_err(|error| match error {
        RetainError::Invalid { what } => Failure::new(Exit::Usage, what),
        error => Failure::new(Exit::Failed, error.to_string()),
    })
}
