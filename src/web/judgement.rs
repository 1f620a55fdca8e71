//! The operators' API to rejections: what is rejected in a study, and taking it back.
//!
//! Deliberately not here: rejecting, which is DELETE on the resource itself.

use crate::admin::{body, read};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::Archive;
use archive::retain::RetainError;
use axum::response::Response;
use http::StatusCode;
use model::retention::{Person, StudyRef};
use model::{FacilityCode, Uid};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is to be shown again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restoration {
    study: StudyRef,
    /// SOP Instance UIDs; none means every rejected instance of the study.
    #[serde(default)]
    instances: Vec<Uid>,
    reason: String,
}

/// What is rejected in a study.
pub(crate) async fn rejections(call: Call) -> Result<Response, Problem> {
    let study = study_named(&call)?;
    let rejected = call.blocking(move |archive| archive.rejected_of(&study).map_err(problem)).await?;
    body(StatusCode::OK, &json!({ "rejected": rejected }))
}

/// Shows rejected instances again.
pub(crate) async fn restore(call: Call) -> Result<Response, Problem> {
    let Restoration { study, instances, reason } = read(&call).await?;
    may_judge(&call, &study)?;
    let by = signer(&call)?;
    let instances: BTreeSet<Uid> = instances.into_iter().collect();
    let restore =
        move |archive: &Arc<Archive>| archive.restore_instances(&study, &instances, by, reason).map_err(problem);
    let restored = call.blocking(restore).await?;
    body(StatusCode::OK, &json!({ "restored": restored }))
}

/// The study that a request names by its parameters `facility` and `study`, where the caller may judge it.
pub(crate) fn study_named(call: &Call) -> Result<StudyRef, Problem> {
    let bad = |what: String, name: &str| Problem::new(Kind::BadRequest, what).at(format!("query parameter {name}"));
    let value = |name: &str| call.query_value(name).ok_or_else(|| bad(format!("{name} is needed"), name));
    let facility = FacilityCode::parse(value("facility")?).map_err(|error| bad(error.to_string(), "facility"))?;
    let study = Uid::parse(value("study")?).map_err(|error| bad(error.to_string(), "study"))?;
    let study = StudyRef { facility, study, patient: 0 };
    may_judge(call, &study)?;
    Ok(study)
}

/// The person a change is signed by.
pub(crate) fn signer(call: &Call) -> Result<Person, Problem> {
    Person::parse(&call.caller.name)
        .map_err(|error| Problem::new(Kind::Forbidden, format!("the token's name cannot sign a change: {error}")))
}

pub(crate) fn may_judge(call: &Call, study: &StudyRef) -> Result<(), Problem> {
    if call.caller.may_see(study.facility) {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, format!("the token is not for facility {}", study.facility)))
}

pub(crate) fn problem(error: RetainError) -> Problem {
    let kind = match error {
        RetainError::Unavailable { .. } | RetainError::Interrupted => Kind::Unavailable,
        _ => Kind::BadRequest,
    };
    Problem::new(kind, error.to_string())
}
