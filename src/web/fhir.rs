//! FHIR R4 (4.0.1) below `/fhir`: studies, patients, orders and results as resources, for the systems that ask so.
//!
//! A resource is a row of the archive or of its charts, told in other words; what is written goes the way of every other
//! message ([`archive::charts`]). Every error is an OperationOutcome. One table ([`tables`]) says what is served.
//! Deliberately not here: persons across facilities, and profiles: identifier systems come from a map file.

mod audit_reads;
mod audits;
mod bundle;
mod capability;
mod criteria;
mod dates;
mod desk;
mod endpoints;
pub mod fuzz;
mod ids;
mod ledger;
mod matching;
mod orders;
mod orders_in;
pub(crate) mod outcome;
mod pages;
mod patients;
mod question;
mod reports;
mod reports_in;
mod said;
mod studies;
mod subscriptions;
mod systems;
mod tables;
mod taking;
mod telling;
mod turns;

use crate::accept;
use crate::admin::bytes;
use crate::app::{self, Call};
use crate::auth;
use crate::conditional;
use crate::dicomweb::qido::split_query;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use axum::response::Response;
use desk::Desk;
use http::{HeaderValue, StatusCode, header};
use question::Question;
use serde_json::Value;
use tables::{Resource, Table};

pub(crate) use systems::Map;
pub(crate) use telling::told;

/// Longest body of a search.
const FORM_MAX: usize = 64 << 10;

/// Answers a request.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::FhirMetadata => {
            let media = media(&call, &[])?;
            respond(StatusCode::OK, media, &capability::statement(&call.base_url()))
        }
        Endpoint::FhirSearch => search(&call, call.query.clone()).await,
        Endpoint::FhirAct => act(&call).await,
        Endpoint::FhirCreate => match table(&call)? {
            table if table.resource == Resource::Subscription => subscriptions::create(&call).await,
            table => taking::take(&call, table, None).await,
        },
        Endpoint::FhirUpdate => match table(&call)? {
            table if table.resource == Resource::Subscription => {
                subscriptions::update(&call, table, call.parameter("id")).await
            }
            table => taking::take(&call, table, Some(call.parameter("id"))).await,
        },
        Endpoint::FhirDelete => match table(&call)? {
            table if table.deletes => subscriptions::remove(&call, table, call.parameter("id")).await,
            table => {
                let detail = format!("{} is not removed here", table.name);
                Err(Problem::new(Kind::MethodNotAllowed, detail).at("method"))
            }
        },
        _ => read(&call).await,
    }
}

/// The row of the kind of resource that the path names, for whoever may ask for it.
fn table(call: &Call) -> Result<&'static Table, Problem> {
    let none = || Problem::new(Kind::NotFound, "this kind of resource is not served").at("path segment type");
    let table = Table::of(call.parameter("type")).ok_or_else(none)?;
    auth::require(&call.caller, table.role)?;
    Ok(table)
}

/// The media type of the answer; only JSON is written.
fn media(call: &Call, form: &[(String, String)]) -> Result<&'static str, Problem> {
    let none = |place: &str| {
        Problem::new(Kind::NotAcceptable, "FHIR is answered as application/fhir+json or application/json").at(place)
    };
    let format = call
        .query_value("_format")
        .or_else(|| form.iter().find(|(name, _)| name == "_format").map(|(_, value)| value.as_str()));
    if let Some(format) = format.map(str::trim).filter(|format| !format.is_empty()) {
        // A plus sign in a query string means a space.
        let plain = format.split(';').next().unwrap_or_default().trim().replace(' ', "+").to_ascii_lowercase();
        return match plain.as_str() {
            "json" | "application/fhir+json" | "*/*" => Ok(outcome::MEDIA),
            "application/json" | "text/json" => Ok("application/json"),
            _ => Err(none("query parameter _format")),
        };
    }
    for range in accept::ranges(&call.parts.headers, None)? {
        if range.covers("application", "fhir+json") {
            return Ok(outcome::MEDIA);
        }
        if range.covers("application", "json") {
            return Ok("application/json");
        }
    }
    Err(none("header Accept"))
}

/// Whether the client wants to be refused what is not known.
fn is_strict(call: &Call) -> bool {
    prefers(call, "handling=strict")
}

/// Whether a header Prefer says something (RFC 7240).
fn prefers(call: &Call, wanted: &str) -> bool {
    let values = call.parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split([',', ';'])).any(|one| one.trim().eq_ignore_ascii_case(wanted))
}

/// An answer with its media type and, for one resource, its version.
fn respond(status: StatusCode, media: &'static str, value: &Value) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::new(Kind::Internal, "the answer could not be written")
    })?;
    let mut response = app::json(status, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(etag) = etag(value) {
        conditional::tag(&mut response, &etag);
    }
    Ok(response)
}

/// The entity tag of a resource: its version.
fn etag(resource: &Value) -> Option<String> {
    let version = resource.pointer("/meta/versionId").and_then(Value::as_str)?;
    Some(format!("W/\"{version}\""))
}

async fn search(call: &Call, parameters: Vec<(String, String)>) -> Result<Response, Problem> {
    let media = media(call, &parameters)?;
    let table = table(call)?;
    if !table.searches {
        let detail = format!("{} is read by its id and not searched", table.name);
        return Err(Problem::new(Kind::MethodNotAllowed, detail).at("path"));
    }
    let desk = Desk::of(call);
    let question = Question::of(table, &parameters, is_strict(call), desk.utc_offset)?;
    let bundle = call.blocking(move |_| bundle::searchset(&desk, &question)).await?;
    respond(StatusCode::OK, media, &bundle)
}

async fn read(call: &Call) -> Result<Response, Problem> {
    let table = table(call)?;
    if table.resource == Resource::Binary && !wants_resource(call) {
        return raw(call, table).await;
    }
    let media = media(call, &[])?;
    let (desk, id) = (Desk::of(call), call.parameter("id").to_owned());
    let found = call.blocking(move |_| bundle::resource(&desk, table.resource, &id)).await?;
    let resource = found.ok_or_else(|| missing(table))?;
    if let Some(etag) = etag(&resource).filter(|etag| conditional::is_known(&call.parts.headers, etag)) {
        return Ok(conditional::not_modified(&etag));
    }
    respond(StatusCode::OK, media, &resource)
}

/// Whether bytes are wanted in a resource and not as they are.
fn wants_resource(call: &Call) -> bool {
    let mut accepts = call.parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.any(|text| text.contains("fhir+json")) || call.query_value("_format").is_some()
}

/// The bytes of a document as they were sent.
async fn raw(call: &Call, table: &Table) -> Result<Response, Problem> {
    let (desk, id) = (Desk::of(call), call.parameter("id").to_owned());
    let found = call.blocking(move |_| reports::bytes(&desk, &id)).await?;
    let (media, bytes, version) = found.ok_or_else(|| missing(table))?;
    let whole = conditional::Whole { content_type: media, etag: format!("W/\"{version}\""), length: None };
    Ok(conditional::respond_ready(&call.parts.headers, whole, &bytes.into()))
}

fn missing(table: &Table) -> Problem {
    let detail = format!("there is no {} of this id for you", table.name);
    Problem::new(Kind::NotFound, detail).at("path segment id")
}

/// A search by POST, or an operation.
async fn act(call: &Call) -> Result<Response, Problem> {
    let table = table(call)?;
    if call.parameter("id") == "_search" {
        let form = "application/x-www-form-urlencoded";
        let sent = accept::content_type(content_type(call)).ok();
        if !sent.is_some_and(|range| range.covers_type(form)) {
            let detail = format!("the parameters of a search are sent as {form}");
            return Err(Problem::new(Kind::UnsupportedMedia, detail).at("header Content-Type"));
        }
        let body = bytes(call, FORM_MAX).await?;
        let text = std::str::from_utf8(&body);
        let text = text.map_err(|_| Problem::new(Kind::BadRequest, "the body is not UTF-8").at("body"))?;
        let mut parameters = call.query.clone();
        parameters.extend(split_query(text.trim())?);
        return search(call, parameters).await;
    }
    if call.parameter("id") == "$match" && table.resource == Resource::Patient {
        let media = media(call, &[])?;
        let (desk, body) = (Desk::of(call), bytes(call, FORM_MAX).await?);
        let bundle = call.blocking(move |_| matching::answer(&desk, &body)).await?;
        return respond(StatusCode::OK, media, &bundle);
    }
    let detail = format!("{} has no such operation", table.name);
    Err(Problem::new(Kind::NotFound, detail).at("path"))
}

fn content_type(call: &Call) -> &str {
    call.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What is served, for the conformance statement: name, interactions, search parameters, includes.
pub fn resources() -> Vec<[String; 4]> {
    let told = |table: &Table| {
        let mut interactions = vec!["read"];
        interactions.extend(table.searches.then_some("search"));
        interactions.extend(table.writes.then_some("create, update"));
        interactions.extend(table.deletes.then_some("delete"));
        let operations = table.operations.iter().map(|(name, _)| format!("`${name}`"));
        let interactions: Vec<String> = interactions.into_iter().map(str::to_owned).chain(operations).collect();
        let parameters: Vec<String> = table.parameters.iter().map(|one| format!("`{}`", one.name)).collect();
        let includes: Vec<String> = table.includes.iter().map(|one| format!("`{}`", one.name)).collect();
        [table.name.to_owned(), interactions.join(", "), parameters.join(", "), includes.join(", ")]
    };
    tables::TABLES.iter().map(told).collect()
}
