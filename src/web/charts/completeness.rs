//! What was expected of a facility and day, and what is there.

use super::{bad, facility, find};
use crate::admin::body;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::{ChartError, CompletenessPlace};
use axum::response::Response;
use http::StatusCode;
use model::Date;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// So long a report waits for others to end.
const TURN: Duration = Duration::from_secs(10);

/// The turn of a report. To be held until its work ends, not until its asker has gone.
pub(super) async fn turn(call: &Call) -> Result<OwnedSemaphorePermit, Problem> {
    let turn = Arc::clone(&call.app.reports).acquire_owned();
    let turn = tokio::time::timeout(TURN, turn).await.ok().and_then(Result::ok);
    Ok(turn.ok_or_else(|| ChartError::Limit("other reports are being made; ask again in a moment".into()))?)
}

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
    let turn = turn(&call).await?;
    let making = call.blocking(move |archive| {
        let _turn = turn;
        Ok(archive.completeness(&caller, facility, day, place, limit)?)
    });
    let found = making.await?;
    body(StatusCode::OK, &found)
}
