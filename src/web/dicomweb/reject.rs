//! DELETE on a study, series or instance: every instance of it is rejected, which hides it from everybody.
//!
//! Nothing is destroyed: only an executed retention plan does that. The request must say why, so that a stray DELETE
//! changes nothing, and only an administrator may send it.

use super::wado::{select, target};
use crate::app::{self, Call};
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::InstanceRow;
use archive::retain::REJECTED_MAX;
use axum::response::Response;
use http::StatusCode;
use model::retention::record::{Named, RejectReason};
use model::retention::{Person, StudyRef};
use serde_json::json;
use std::collections::BTreeMap;

/// Answers a DELETE.
pub(crate) async fn reject(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let selection = select(&call, target(endpoint, &call)?).await?;
    let count = selection.instances.len();
    let reason = reason(call.query_value("reason"), count)?;
    if count > REJECTED_MAX {
        let detail = format!("at most {REJECTED_MAX} instances are rejected at once, these are {count}");
        return Err(Problem::new(Kind::BadRequest, detail).at("path"));
    }
    let by = Person::parse(&call.caller.name).map_err(|error| {
        let detail = format!("the token's name cannot sign a rejection: {error}");
        Problem::new(Kind::Forbidden, detail)
    })?;
    let mut studies: BTreeMap<StudyRef, Vec<Named>> = BTreeMap::new();
    for InstanceRow { key, sop_instance, .. } in selection.instances {
        let of_study = studies.entry(StudyRef::from(&key.study)).or_default();
        of_study.push(Named { series: key.series, sop_instance });
    }
    let done = call
        .blocking(move |archive| {
            let mut done = 0usize;
            for (study, instances) in studies {
                let rejected = archive.reject_instances(&study, instances, reason, by.clone()).map_err(|error| {
                    let detail = format!("{done} of {count} instances were rejected, then: {error}");
                    Problem::new(Kind::Unavailable, detail)
                })?;
                done = done.saturating_add(rejected);
            }
            Ok(done)
        })
        .await?;
    Ok(app::json(StatusCode::OK, json!({"rejected": done, "destroyed": 0}).to_string()))
}

fn reason(text: Option<&str>, count: usize) -> Result<RejectReason, Problem> {
    text.and_then(RejectReason::parse).ok_or_else(|| {
        let names = RejectReason::ALL.map(|reason| format!("reason={}", reason.name())).join(", ");
        let detail = format!(
            "this would hide {count} instances from everybody and destroy none; nothing was changed: say why with one \
             of {names}"
        );
        Problem::new(Kind::BadRequest, detail).at("query parameter reason")
    })
}
