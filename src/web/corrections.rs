//! The operators' API to corrections: what is corrected of a study's patient and order, by whom, and taking it back.
//!
//! Deliberately not here: what goes out, which is the archive's matter.

use crate::admin::{body, read};
use crate::app::Call;
use crate::judgement::{may_judge, problem, signer, study_named};
use crate::problem::{Kind, Problem};
use archive::Archive;
use archive::retain::Correcting;
use axum::response::Response;
use http::StatusCode;
use model::Attributes;
use model::attribute::attribute;
use model::correction::{self, CORRECTABLE, Why};
use model::retention::StudyRef;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is to be corrected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    study: StudyRef,
    /// New values by keyword or tag.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Keywords or tags of attributes that hold again what was received.
    #[serde(default)]
    clear: Vec<String>,
    /// All of them do.
    #[serde(default)]
    undo: bool,
    #[serde(default)]
    why: Why,
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

/// Corrections of a study.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let study = study_named(&call)?;
    let corrections = call.blocking(move |archive| archive.corrections_of(&study).map_err(problem)).await?;
    let shown: Vec<Value> = corrections
        .iter()
        .map(|one| {
            let values: BTreeMap<String, &String> = one.values.iter().map(|(key, text)| (named(*key), text)).collect();
            json!({ "values": values, "why": one.why, "by": one.by, "reason": one.reason, "at": one.at })
        })
        .collect();
    body(StatusCode::OK, &json!({ "corrections": shown }))
}

fn named(key: model::AttrKey) -> String {
    attribute(key).map_or_else(|| key.to_string(), |row| row.keyword.to_owned())
}

/// Corrects a study, or tells what that would change.
pub(crate) async fn correct(call: Call) -> Result<Response, Problem> {
    let wanted: Wanted = read(&call).await?;
    may_judge(&call, &wanted.study)?;
    let by = signer(&call)?;
    let key = |name: &String| {
        correction::attribute_named(name).map_err(|error| Problem::new(Kind::BadRequest, error.to_string()).at("body"))
    };
    let mut set = Attributes::new();
    for (name, text) in &wanted.set {
        set.insert(key(name)?, text.clone());
    }
    let mut clear = wanted.clear.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    if wanted.undo {
        clear.extend(CORRECTABLE);
    }
    let Wanted { study, why, reason, dry_run, .. } = wanted;
    let correcting = Correcting { study, set, clear, why, by, reason };
    let work = move |archive: &Arc<Archive>| {
        let done = if dry_run { archive.would_correct(&correcting) } else { archive.correct_study(&correcting) };
        done.map_err(problem)
    };
    let changed = call.blocking(work).await?;
    body(StatusCode::OK, &json!({ "changed": changed, "recorded": !dry_run }))
}
