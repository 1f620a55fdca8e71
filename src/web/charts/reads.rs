//! Who read what, by REST: for stewards and archivists, of their own facilities.
//!
//! Deliberately not here: what counts as reading ([`crate::reads`]).

use super::find::{self, Paging};
use super::orders::moments;
use super::{bad, facility, shown};
use crate::admin::body;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::ReadFilter;
use axum::response::Response;
use http::StatusCode;
use model::Uid;
use model::chart::{ChartRow, Way};

/// Reads, the newest first.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let paging = Paging::of(&call)?;
    let said = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let study = said("study").map(|text| Uid::parse(&text).map_err(|error| bad("study", error.to_string())));
    let way = said("way").map(|name| {
        let names = Way::ALL.map(Way::name).join(", ");
        Way::of(&name).ok_or_else(|| bad("way", format!("way takes one of {names}")))
    });
    let filter = ReadFilter {
        facility: said("facility").map(|_| facility(&call)).transpose()?,
        study: study.transpose()?,
        by: said("by"),
        way: way.transpose()?,
        moments: moments(said("from"), said("to"), call.app.archive.options().forward.utc_offset)?,
    };
    let (caller, query) = (call.caller.clone(), filter.query());
    let fits = move |row: &ChartRow| filter.fits(row);
    let found =
        call.blocking(move |archive| Ok(find::rows(archive.charts(), &caller, &[query], paging, fits)?)).await?;
    body(StatusCode::OK, &found.shown("reads", shown))
}
