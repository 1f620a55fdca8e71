//! The worklist by REST: the lines a modality of the facility would be told by C-FIND.

use super::{bad, facility, find};
use crate::admin::body;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::{WorklistItem, WorklistQuery};
use axum::response::Response;
use http::StatusCode;
use model::{AeTitle, Date};
use serde_json::{Value, json};

/// Open steps by station, day and modality.
pub(super) async fn find(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let limit = find::limit(&call)?;
    let text = |name: &str| call.query_value(name).map(str::trim).filter(|text| !text.is_empty());
    let station = text("station").map(|text| AeTitle::parse(text).map_err(|error| bad("station", error.to_string())));
    let modalities = text("modality").unwrap_or_default().split(',').map(str::trim).filter(|one| !one.is_empty());
    let query = WorklistQuery {
        station: station.transpose()?,
        days: text("date").map(days).transpose()?.unwrap_or_default(),
        modalities: modalities.map(str::to_ascii_uppercase).collect(),
        accession: text("accession").unwrap_or_default().to_owned(),
        mrn: text("mrn").unwrap_or_default().to_owned(),
        ..WorklistQuery::default()
    };
    let (items, more) = call
        .blocking(move |archive| {
            let (mut items, mut more) = (Vec::new(), false);
            archive.charts().worklist(facility, &query, &mut |item| {
                more = items.len() >= limit;
                if !more {
                    items.push(line(&item));
                }
                !more
            })?;
            Ok((items, more))
        })
        .await?;
    body(StatusCode::OK, &json!({"worklist": items, "more": more}))
}

/// A day, or two with a slash, as they stand in a worklist.
fn days(text: &str) -> Result<(String, String), Problem> {
    let day = |text: &str| {
        let plain = text.replace('-', "");
        Date::parse_da(&plain).map(|_| plain)
    };
    let (from, to) = text.split_once('/').unwrap_or((text, text));
    day(from).zip(day(to)).ok_or_else(|| bad("date", "date takes a day, as 2026-11-28, or two with a slash"))
}

fn line(item: &WorklistItem) -> Value {
    let (order, patient) = (&item.order, &item.patient);
    json!({
        "facility": item.facility,
        "placer": order.placer,
        "accession": order.accession,
        "study": order.study,
        "procedure_id": order.procedure_id,
        "procedure": order.procedure,
        "priority": order.priority,
        "state": order.state,
        "step": item.step,
        "patient": {
            "mrn": patient.mrn,
            "name": patient.name,
            "birth": patient.birth,
            "sex": patient.sex,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn days_are_one_or_two() {
        let pair = |one: &str, two: &str| (one.to_owned(), two.to_owned());
        assert_eq!(days("2026-11-28").expect("a day"), pair("20261128", "20261128"));
        assert_eq!(days("20261128/2026-11-30").expect("two"), pair("20261128", "20261130"));
        assert!(days("20261131").is_err() && days("/").is_err());
    }
}
