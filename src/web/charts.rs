//! Plain REST for systems without HL7 or FHIR: patients, orders, results, worklists, and what is there.
//!
//! A request becomes the same changes as a message of another protocol and goes the same way ([`archive::charts`]): it is
//! durable when it is answered. Bodies and answers are JSON in the words of [`model::chart`].
//! Deliberately not here: what a change means, persons across facilities, and how images and orders find each other.

mod available;
mod completeness;
pub(crate) mod find;
mod orders;
mod patients;
mod persons;
mod reads;
mod reports;
mod said;
mod shares;
pub(crate) mod studies;
mod timeline;
mod turnaround;
mod worklist;
pub(crate) mod writing;

use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use axum::response::Response;
use model::chart::{ChartKey, ChartKind, ChartRow};
use model::{Caller, FacilityCode};
use serde_json::{Map, Value};

pub(crate) use find::numbers;

/// Whether an endpoint is answered here.
pub(crate) fn is_of_charts(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::FindPatients
            | E::PutPatient
            | E::Patient
            | E::MergePatients
            | E::Unmerge
            | E::Orders
            | E::CreateOrder
            | E::PutOrder
            | E::Order
            | E::CancelOrder
            | E::Worklist
            | E::Available
            | E::Reports
            | E::SendReport
            | E::Messages
            | E::Reads
            | E::IssueShare
            | E::Shares
            | E::RevokeShare
            | E::Timeline
            | E::ReportDocument
            | E::Completeness
            | E::Turnaround
    ) || is_of_persons(endpoint)
}

fn is_of_persons(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::SearchPatients
            | E::Person
            | E::Proposals
            | E::Verifications
            | E::AcceptProposal
            | E::RefuseProposal
            | E::UndoProposal
            | E::LinkPerson
            | E::UnlinkPerson
            | E::RejoinPerson
    )
}

/// Answers a request about charts.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    if is_of_persons(endpoint) {
        return persons::answer(endpoint, call).await;
    }
    match endpoint {
        Endpoint::FindPatients => patients::find(call).await,
        Endpoint::Patient => patients::show(call).await,
        Endpoint::PutPatient => patients::put(call).await,
        Endpoint::MergePatients => patients::merge(call).await,
        Endpoint::Unmerge => patients::unmerge(call).await,
        Endpoint::Orders => orders::find(call).await,
        Endpoint::Order => orders::show(call).await,
        Endpoint::CreateOrder | Endpoint::PutOrder => orders::put(endpoint, call).await,
        Endpoint::CancelOrder => orders::cancel(call).await,
        Endpoint::Worklist => worklist::find(call).await,
        Endpoint::Available => available::show(call).await,
        Endpoint::SendReport => reports::send(call).await,
        Endpoint::Reports => reports::find(call).await,
        Endpoint::Reads => reads::list(call).await,
        Endpoint::IssueShare => shares::issue(call).await,
        Endpoint::Shares => shares::list(call).await,
        Endpoint::RevokeShare => shares::revoke(call).await,
        Endpoint::Timeline => timeline::show(call).await,
        Endpoint::ReportDocument => timeline::document(call).await,
        Endpoint::Completeness => completeness::show(call).await,
        Endpoint::Turnaround => turnaround::show(call).await,
        _ => reports::messages(call).await,
    }
}

/// A refusal of a query parameter.
pub(crate) fn bad(name: &str, what: impl Into<String>) -> Problem {
    Problem::new(Kind::BadRequest, what).at(format!("query parameter {name}"))
}

/// The facility a request is about: the one it names, else the caller's own.
pub(crate) fn facility(call: &Call) -> Result<FacilityCode, Problem> {
    let code = match call.query_value("facility") {
        Some(text) => FacilityCode::parse(text).map_err(|error| bad("facility", error.to_string()))?,
        None => own(&call.caller)
            .ok_or_else(|| bad("facility", "the token has no facility of its own, so the request must name one"))?,
    };
    known(call, code)
}

/// A facility that the caller may see and the registry has.
fn known(call: &Call, code: FacilityCode) -> Result<FacilityCode, Problem> {
    if !call.caller.may_see(code) {
        let detail = format!("the token is not for facility {code}");
        return Err(Problem::new(Kind::Forbidden, detail).at("query parameter facility"));
    }
    let (known, _) = call.app.archive.sources();
    if known.iter().any(|one| one.code == code) {
        return Ok(code);
    }
    let detail = format!("the registry has no facility {code}");
    Err(Problem::new(Kind::NotFound, detail).at("query parameter facility"))
}

/// The facility a caller works for, where it is one.
pub(crate) fn own(caller: &Caller) -> Option<FacilityCode> {
    let only = caller.facilities.as_ref().filter(|list| list.len() == 1);
    caller.home.or_else(|| only?.first().copied())
}

/// The name of a row by a number from a path.
fn key(kind: ChartKind, facility: FacilityCode, id: &str, name: &str) -> Result<ChartKey, Problem> {
    let bad = |error: model::chart::ChartIdError| {
        Problem::new(Kind::BadRequest, error.to_string()).at(format!("path segment {name}"))
    };
    ChartKey::new(kind, facility, id).map_err(bad)
}

/// A row as it is shown: what it says, with the facility, and with its own number where nothing in it is one.
fn shown(row: &ChartRow) -> Value {
    let mut object = match serde_json::to_value(&row.body) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    object.remove("chart");
    object.insert("facility".into(), row.key.facility.to_string().into());
    if matches!(row.key.kind, ChartKind::Merge | ChartKind::Message) {
        object.insert("id".into(), row.key.id.clone().into());
    }
    Value::Object(object)
}
