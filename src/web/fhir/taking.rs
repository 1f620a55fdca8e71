//! Create and update: from a body to a message of the archive, and what is answered.
//!
//! What is sent goes the way of every other message, so the same body again is the same message. An update says what is in
//! it: what is absent stays, as with the other interfaces.

use super::bundle;
use super::desk::Desk;
use super::said::{self, bad};
use super::tables::{Resource, Table};
use super::turns::Turns;
use super::{ids, media, missing, orders_in, outcome, prefers, reports_in, respond};
use crate::accept;
use crate::admin::bytes;
use crate::app::Call;
use crate::charts::writing::{self, Wanted};
use crate::problem::{Kind, Problem};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::FacilityCode;
use model::chart::{Change, ChartKind, Handled};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Longest body: it and what lies beside it make one row (`model::chart::ROW_MAX`).
const BODY_MAX: usize = 6 << 20;

/// What a body asks for.
pub(crate) struct Sent {
    pub(crate) facility: FacilityCode,
    /// The number of what is written, within its facility and kind.
    pub(crate) number: String,
    /// The patient's number, where it says one.
    pub(crate) mrn: Option<String>,
    pub(crate) changes: Vec<Change>,
}

/// Who writes what now.
static TURNS: Turns = Turns::new();

/// Creates a resource, or updates the one of the path's id.
pub(crate) async fn take(call: &Call, table: &'static Table, id: Option<&str>) -> Result<Response, Problem> {
    let answer = media(call, &[])?;
    if !table.writes {
        let detail = format!("{} is read here and not written", table.name);
        return Err(Problem::new(Kind::MethodNotAllowed, detail).at("method"));
    }
    if call.parts.headers.contains_key("if-none-exist") {
        let detail = "creating under a condition is not done here: the same body sent again has no second effect";
        return Err(Problem::new(Kind::BadRequest, detail).at("header If-None-Exist"));
    }
    check_type(call)?;
    let bytes = bytes(call, BODY_MAX.max(call.app.options.body_bytes_max)).await?;
    let resource = said::resource(&bytes, table.resource)?;
    let desk = Desk::of(call);
    let named = id.map(|id| ids::read(id).ok_or_else(|| missing(table))).transpose()?;
    if let (Some(own), Some(id)) = (said::text(&resource, "/id"), id)
        && own != id
    {
        return Err(Problem::new(Kind::BadRequest, "another id stands in the path").at("element id"));
    }
    let facility = facility(&desk, call, &resource, named.as_ref().map(|(facility, _)| *facility))?;
    let number = named.map(|(_, number)| number);
    let sent = match table.resource {
        Resource::ServiceRequest => orders_in::read(&desk, &resource, facility, number, &made(&bytes))?,
        _ => {
            let now = (call.app.options.launch.clock)();
            reports_in::read(&desk, &resource, facility, number, &made(&bytes), now)?
        }
    };
    let turn = TURNS.take(table.resource, sent.facility, &sent.number).await?;
    let before = standing(call, table, &sent).await?;
    check_version(call, before.as_ref())?;
    let (kind, path) = (kind(table.resource), sent.number.clone());
    let wanted = Wanted { kind, facility, mrn: sent.mrn, bytes: &bytes, changes: sent.changes, sent: id.is_none() };
    let receipt = writing::receive(call, wanted).await?;
    drop(turn);
    if let Handled::Parked { why, until } = &receipt.handled {
        let until = super::dates::instant(*until, desk.utc_offset);
        let told = [format!("it was taken and waits for {why}, until {until}")];
        return respond(StatusCode::ACCEPTED, answer, &outcome::remarks("information", "informational", &told));
    }
    let sent = Sent { facility, number: path, mrn: None, changes: Vec::new() };
    let after = standing(call, table, &sent).await?;
    let after = after.ok_or_else(|| bad("identifier", "its number is too long to be told as an id"))?;
    let made = before.is_none() && !receipt.repeated;
    told(call, if made { StatusCode::CREATED } else { StatusCode::OK }, answer, &after, &receipt.remarks)
}

fn kind(resource: Resource) -> &'static str {
    if resource == Resource::ServiceRequest { "FHIR ServiceRequest" } else { "FHIR DiagnosticReport" }
}

/// The answer: the resource as it stands, what was remarked, or nothing, as the client prefers.
pub(crate) fn told(
    call: &Call,
    status: StatusCode,
    media: &'static str,
    resource: &Value,
    remarks: &[String],
) -> Result<Response, Problem> {
    let mut response = if prefers(call, "return=minimal") {
        status.into_response()
    } else if prefers(call, "return=OperationOutcome") {
        let done = ["done".to_owned()];
        let texts = if remarks.is_empty() { &done } else { remarks };
        respond(status, media, &outcome::remarks("information", "informational", texts))?
    } else {
        respond(status, media, resource)?
    };
    if let Some(etag) = super::etag(resource) {
        crate::conditional::tag(&mut response, &etag);
    }
    let id = said::text(resource, "/id").unwrap_or_default();
    let kind = said::text(resource, "/resourceType").unwrap_or_default();
    if let Ok(place) = HeaderValue::from_str(&format!("{}/fhir/{kind}/{id}", call.base_url())) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// What stands under the number of what is sent.
async fn standing(call: &Call, table: &'static Table, sent: &Sent) -> Result<Option<Value>, Problem> {
    let (desk, Some(id)) = (Desk::of(call), ids::of(sent.facility, &sent.number)) else {
        return Err(bad("identifier", "the number is longer than an id may be"));
    };
    call.blocking(move |_| bundle::resource(&desk, table.resource, &id)).await
}

/// Refuses a change of something else than the client read.
pub(crate) fn check_version(call: &Call, standing: Option<&Value>) -> Result<(), Problem> {
    let Some(wanted) = call.parts.headers.get(header::IF_MATCH) else { return Ok(()) };
    let wanted = wanted.to_str().unwrap_or_default();
    let etag = standing.and_then(super::etag);
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let holds = |one: &str| etag.as_deref().is_some_and(|etag| one.trim() == "*" || bare(one) == bare(etag));
    if wanted.split(',').any(holds) {
        return Ok(());
    }
    let detail = "the resource has another version than the one named";
    Err(Problem::new(Kind::Precondition, detail).at("header If-Match"))
}

pub(crate) fn check_type(call: &Call) -> Result<(), Problem> {
    let sent = super::content_type(call);
    let range = accept::content_type(sent).ok();
    let known = ["application/fhir+json", "application/json"];
    if range.is_some_and(|range| known.iter().any(|media| range.covers_type(media))) {
        return Ok(());
    }
    let detail = "a resource is sent as application/fhir+json";
    Err(Problem::new(Kind::UnsupportedMedia, detail).at("header Content-Type"))
}

/// The facility of what is written: that of the id, of the patient it names, else the caller's own.
fn facility(desk: &Desk, call: &Call, resource: &Value, named: Option<FacilityCode>) -> Result<FacilityCode, Problem> {
    let subject = resource.get("subject");
    let of_subject = said::referred(subject, Resource::Patient).map(|(facility, _)| facility);
    let assigner = subject.and_then(|subject| subject.get("identifier")).and_then(said::assigner);
    let own = || crate::charts::own(&call.caller);
    let none = || bad("subject", "the facility is not told: name the patient by id, or by a number with its assigner");
    let code = named.or(of_subject).or(assigner).or_else(own).ok_or_else(none)?;
    if [of_subject, assigner].into_iter().flatten().any(|other| other != code) {
        return Err(bad("subject", "the patient is another facility's"));
    }
    if !call.caller.may_see(code) {
        let detail = format!("the token is not for facility {code}");
        return Err(Problem::new(Kind::Forbidden, detail).at("element subject"));
    }
    if desk.facilities.contains_key(&code) {
        return Ok(code);
    }
    Err(bad("subject", format!("the registry has no facility {code}")))
}

/// A number for what comes without one, made of the body: the same again is the same.
fn made(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.iter().take(12).fold("fhir-".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The patient's number that a resource names: by reference, by the facility's own number, or by another one that exactly
/// one patient of the facility has.
pub(crate) fn subject(desk: &Desk, resource: &Value, facility: FacilityCode) -> Result<Option<String>, Problem> {
    let Some(subject) = resource.get("subject") else { return Ok(None) };
    if let Some((_, mrn)) = said::referred(Some(subject), Resource::Patient) {
        return Ok(Some(mrn));
    }
    let Some(number) = said::text(subject, "/identifier/value") else { return Ok(None) };
    let system = said::text(subject, "/identifier/system");
    if system.is_none_or(|system| system == desk.systems.mrn) {
        return Ok(Some(number.to_owned()));
    }
    let found = super::patients::by_identifier(desk, system, number)?;
    let mut here = found.into_iter().filter(|row| row.key.facility == facility && row.key.kind == ChartKind::Patient);
    match (here.next(), here.next()) {
        (Some(one), None) => Ok(Some(one.key.id)),
        _ => Err(bad("subject", "no patient of the facility has this number, or several have")),
    }
}
