//! DELETE on a study, series or instance: every instance of it is rejected, which hides it from everybody.
//!
//! Nothing is destroyed: only an executed retention plan does that. The request must say why, so that a stray DELETE
//! changes nothing, and only an administrator may send it.

use super::wado::{select, target};
use crate::app::{self, Call};
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::InstanceRow;
use archive::retain::RetainError;
use axum::response::Response;
use http::StatusCode;
use model::retention::Person;
use model::retention::record::RejectReason;
use serde_json::json;

/// Most instances rejected by one request: each is a fact of its own.
const INSTANCES_MAX: usize = 20_000;

/// Answers a DELETE.
pub(crate) async fn reject(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let selection = select(&call, target(endpoint, &call)?).await?;
    let count = selection.instances.len();
    let reason = reason(call.query_value("reason"), count)?;
    if count > INSTANCES_MAX {
        let detail = format!("at most {INSTANCES_MAX} instances are rejected at once, these are {count}");
        return Err(Problem::new(Kind::BadRequest, detail).at("path"));
    }
    let by = Person::parse(&call.caller.name).map_err(|error| {
        let detail = format!("the token's name cannot sign a rejection: {error}");
        Problem::new(Kind::Forbidden, detail)
    })?;
    let rows = selection.instances;
    let done = call
        .blocking(move |archive| {
            for (done, row) in rows.iter().enumerate() {
                let InstanceRow { key, sop_instance, .. } = row;
                let place = (&key.study.study, &key.series, sop_instance);
                match archive.reject_instance(key.study.facility, place, reason, by.clone()) {
                    // Somebody else was quicker.
                    Ok(()) | Err(RetainError::Invalid { .. }) => {}
                    Err(error) => {
                        let detail = format!("{done} of {count} instances were rejected, then: {error}");
                        return Err(Problem::new(Kind::Unavailable, detail));
                    }
                }
            }
            Ok(rows.len())
        })
        .await?;
    Ok(app::json(StatusCode::OK, json!({"rejected": done, "destroyed": 0}).to_string()))
}

fn reason(text: Option<&str>, count: usize) -> Result<RejectReason, Problem> {
    match text {
        Some("quality") => Ok(RejectReason::Quality),
        Some("patient-safety") => Ok(RejectReason::PatientSafety),
        Some("wrong-worklist-entry") => Ok(RejectReason::WrongWorklistEntry),
        _ => {
            let detail = format!(
                "this would hide {count} instances from everybody and destroy none; nothing was changed: say why with \
                 reason=quality, reason=patient-safety or reason=wrong-worklist-entry"
            );
            Err(Problem::new(Kind::BadRequest, detail).at("query parameter reason"))
        }
    }
}
