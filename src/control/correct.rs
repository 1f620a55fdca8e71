//! Corrections on behalf of a command.
//!
//! Deliberately not here: how anything is shown.

use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::retain::{Correcting, RetainError};
use model::correction::Why;
use model::retention::{Person, StudyRef};
use model::{AttrKey, Attributes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is asked about the corrections of a study.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "wanted", rename_all = "kebab-case")]
pub(crate) enum CorrectRequest {
    /// Every correction there was.
    List {
        /// The study.
        study: StudyRef,
    },
    /// Corrects something, or takes it back.
    Correct {
        /// The study.
        study: StudyRef,
        /// New values.
        set: Attributes,
        /// Attributes that hold again what was received.
        clear: Vec<AttrKey>,
        /// What receivers are told.
        why: Why,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// Whether it is done, or only told what would change.
        execute: bool,
    },
}

/// Does what is asked.
pub(super) fn answer(archive: &Archive, wanted: &CorrectRequest) -> Result<Value, Failure> {
    let answered = match wanted.clone() {
        CorrectRequest::List { study } => {
            archive.corrections_of(&study).map(|corrections| json!({ "corrections": corrections }))
        }
        CorrectRequest::Correct { study, set, clear, why, by, reason, execute } => {
            let correcting = Correcting { study, set, clear, why, by, reason };
            let done = if execute { archive.correct_study(&correcting) } else { archive.would_correct(&correcting) };
            done.map(|changed| json!({ "changed": changed }))
        }
    };
    answered.map_err(|error| match error {
        RetainError::Invalid { what } => Failure::new(Exit::Usage, what),
        error => Failure::new(Exit::Failed, error.to_string()),
    })
}
