//! What was expected of a facility and day, and what is there.

use super::{bad, facility, find};
use crate::admin::body;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::CompletenessPlace;
use axum::response::Response;
use http::StatusCode;
use model::Date;

/// A day of a query parameter.
pub(super) fn day(call: &Call, name: &str) -> Result<Date, Problem> {
    let wrong = || bad(name, format!("{name} takes a day, as 2026-11-28"));
    Date::parse(call.query_value(name).ok_or_else(wrong)?).map_err(|_| wrong())
}

/// A part of what orders and performed steps of a day announce, beside what is stored.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let (facility, day, limit) = (facility(&call)?, day(&call, "day")?, find::limit(&call)?);
    let place = call.query_value("cursor").map(CompletenessPlace::parse).transpose();
    let place = place.map_err(|_| bad("cursor", "cursor takes the text of a previous answer's next"))?;
    let (caller, place) = (call.caller.clone(), place.unwrap_or_default());
    let found = call.blocking(move |archive| Ok(archive.completeness(&caller, facility, day, place, limit)?)).await?;
    body(StatusCode::OK, &found)
}
