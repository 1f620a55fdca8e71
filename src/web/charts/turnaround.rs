//! How long orders took, by facility and modality.

use super::completeness::{day, turn};
use super::{bad, facility, find};
use crate::admin::body;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::{Days, TurnaroundQuery};
use axum::response::Response;
use http::StatusCode;
use model::FacilityCode;

/// A page of how long the orders of some days took, of one facility or of all that the caller may see.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let facility = call.query_value("facility").is_some().then(|| facility(&call)).transpose()?;
    let days = Days::new(day(&call, "from")?, day(&call, "to")?).map_err(|error| bad("to", error.to_string()))?;
    let baseline = call.query_value("baseline").map(Days::month).transpose();
    let baseline = baseline.map_err(|error| bad("baseline", error.to_string()))?;
    let after = call.query_value("cursor").map(FacilityCode::parse).transpose();
    let after = after.map_err(|_| bad("cursor", "cursor takes the text of a previous answer's next"))?;
    let query = TurnaroundQuery { facility, days, baseline, after, limit: find::limit(&call)? };
    let caller = call.caller.clone();
    let turn = turn(&call).await?;
    let making = call.blocking(move |archive| {
        let _turn = turn;
        Ok(archive.turnaround(&caller, &query)?)
    });
    let found = making.await?;
    body(StatusCode::OK, &found)
}
