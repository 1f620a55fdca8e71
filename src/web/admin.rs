//! The operators' API: health, metrics, the registry, and the lists that need a human eye.

pub(crate) mod forward;

use crate::app::{self, Call};
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::{Cursor, InstanceRow};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use model::{Destination, Facility, Source};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Rows of the conflict list when the request names no limit.
const CONFLICTS_DEFAULT: usize = 100;
/// Most rows of the conflict list in one answer.
const CONFLICTS_MAX: usize = 1_000;

/// Whether law 1 holds: 200, else 503 with the reasons.
///
/// Asked away from the event loop: the answer waits for the journal's writer, which may wait for a disk.
pub(crate) async fn ready(call: &Call) -> Response {
    let readiness = match call.blocking(|archive| Ok(archive.readiness())).await {
        Ok(readiness) => readiness,
        Err(problem) => return problem.into_response(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    body(status, &readiness).unwrap_or_else(IntoResponse::into_response)
}

/// The metrics of the process.
pub(crate) fn metrics(call: &Call) -> Response {
    let mut response = (call.app.options.metrics)().into_response();
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// The lists of the registry and the archive, as far as the caller may see them.
pub(crate) async fn list(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let caller = call.caller.clone();
    match endpoint {
        Endpoint::Facilities => {
            let (mut facilities, _) = call.app.archive.sources();
            facilities.retain(|facility| caller.may_see(facility.code));
            body(StatusCode::OK, &facilities)
        }
        Endpoint::Sources => {
            let (_, mut sources) = call.app.archive.sources();
            sources.retain(|source| caller.may_see(source.facility));
            body(StatusCode::OK, &sources)
        }
        Endpoint::Destinations => {
            let mut held = call.app.archive.destinations();
            held.retain(|to| !to.removed && to.facility.is_none_or(|facility| caller.may_see(facility)));
            body(StatusCode::OK, &held)
        }
        Endpoint::Knocks => body(StatusCode::OK, &call.app.archive.knocks()),
        Endpoint::Conflicts => conflicts(call).await,
        _ => stats(call).await,
    }
}

macro_rules! count {
    ($count:expr) => {
        json!({
            "studies": $count.studies,
            "series": $count.series,
            "instances": $count.instances,
            "conflicts": $count.conflicts,
            "bytes": $count.bytes,
            "last_received": $count.last_received,
        })
    };
}

/// Totals, of the facilities the caller may see; those of the whole archive only for who sees all.
async fn stats(call: Call) -> Result<Response, Problem> {
    let stats = call.blocking(|archive| Ok(archive.stats()?)).await?;
    let (caller, index) = (&call.caller, &stats.index);
    let seen = index.facilities.iter().filter(|(code, _)| caller.may_see(**code));
    let facilities: Map<String, Value> = seen.map(|(code, count)| (code.to_string(), count!(count))).collect();
    let mut view = json!({"facilities": facilities});
    if caller.facilities.is_none() || !call.app.tokens.required() {
        let sources: Map<String, Value> = index.sources.iter().map(|(id, c)| (id.clone(), count!(c))).collect();
        let waiting: Map<String, Value> = stats.waiting.into_iter().map(|(id, n)| (id, n.into())).collect();
        let whole = json!({
            "total": count!(index.total),
            "sources": sources,
            "waiting": waiting,
            "ingest_bytes": stats.ingest_bytes,
            "free_bytes": stats.free_bytes,
        });
        if let (Some(view), Value::Object(whole)) = (view.as_object_mut(), whole) {
            view.extend(whole);
        }
    }
    body(StatusCode::OK, &view)
}

/// Begins to bring a patient's studies back; the archive answers only for facilities the caller may see.
pub(crate) async fn prefetch(call: Call) -> Result<Response, Problem> {
    let wanted: archive::tier::Prefetch = read(&call).await?;
    let caller = call.caller.clone();
    if !caller.may_see(wanted.facility) {
        let detail = format!("the token is not for facility {}", wanted.facility);
        return Err(Problem::new(Kind::Forbidden, detail).at("body"));
    }
    body(StatusCode::OK, &call.blocking(move |archive| Ok(archive.prefetch(&caller, &wanted)?)).await?)
}

/// Adds or changes an entry of the registry; durable when answered.
pub(crate) async fn change(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let caller = call.caller.clone();
    match endpoint {
        Endpoint::PutFacility => {
            let facility: Facility = read(&call).await?;
            let entry = facility.clone();
            call.blocking(move |archive| Ok(archive.put_facility(&caller, facility)?)).await?;
            body(StatusCode::OK, &entry)
        }
        Endpoint::PutDestination => {
            let destination: Destination = read(&call).await?;
            let entry = destination.clone();
            call.blocking(move |archive| Ok(archive.put_destination(&caller, destination)?)).await?;
            body(StatusCode::OK, &entry)
        }
        Endpoint::PutSource => {
            let source: Source = read(&call).await?;
            let entry = source.clone();
            call.blocking(move |archive| Ok(archive.put_source(&caller, source)?)).await?;
            body(StatusCode::OK, &entry)
        }
        _ => {
            let id = call.parameter("id").to_owned();
            let (_, sources) = call.app.archive.sources();
            let found = sources.into_iter().find(|source| source.id == id && caller.may_see(source.facility));
            let mut source = found.ok_or_else(|| {
                Problem::new(Kind::NotFound, "the registry has no source of this name").at("path segment id")
            })?;
            source.disabled = true;
            let entry = source.clone();
            call.blocking(move |archive| Ok(archive.put_source(&caller, source)?)).await?;
            body(StatusCode::OK, &entry)
        }
    }
}

pub(crate) fn body(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(app::json(status, bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            Err(Problem::new(Kind::Internal, "the answer could not be written"))
        }
    }
}

pub(crate) async fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Problem> {
    let bytes = bytes(call, call.app.options.body_bytes_max).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::new(Kind::BadRequest, error.to_string()).at("body"))
}

/// The whole body of a request, up to a limit.
pub(crate) async fn bytes(call: &Call, limit: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(std::mem::take(&mut *call.body.lock()), limit).collect();
    let body = tokio::time::timeout(call.app.options.stall_timeout, body);
    let body = body.await.map_err(|_| Problem::new(Kind::Timeout, "the body did not arrive in time").at("body"))?;
    match body {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(Kind::TooLarge, format!("at most {limit} bytes are taken here")).at("body"))
        }
        Err(_) => Err(Problem::new(Kind::BadRequest, "the body broke off").at("body")),
    }
}

/// One page of instances that are kept beside others under the same UID.
async fn conflicts(call: Call) -> Result<Response, Problem> {
    let place = |name: &str| format!("query parameter {name}");
    let bad = |detail: &str, name: &str| Problem::new(Kind::BadRequest, detail).at(place(name));
    let limit = match call.query_value("limit").map(str::parse::<usize>) {
        None => CONFLICTS_DEFAULT,
        Some(Ok(limit)) if limit > 0 => limit.min(CONFLICTS_MAX),
        Some(_) => return Err(bad("limit takes a whole number from 1", "limit")),
    };
    let cursor = match call.query_value("cursor").map(Cursor::parse) {
        None => None,
        Some(Ok(cursor)) => Some(cursor),
        Some(Err(_)) => return Err(bad("cursor takes the text of a previous answer's next", "cursor")),
    };
    let caller = call.caller.clone();
    let page = call.blocking(move |archive| Ok(archive.conflicts(&caller, cursor.as_ref(), limit)?)).await?;
    let view = ConflictPage {
        conflicts: page.rows.iter().map(Conflict::of).collect(),
        next: page.cursor.map(|cursor| cursor.to_string()),
    };
    body(StatusCode::OK, &view)
}

/// A page as it is answered.
#[derive(Serialize)]
struct ConflictPage {
    conflicts: Vec<Conflict>,
    /// Value of `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One kept copy beside the first.
#[derive(Serialize)]
struct Conflict {
    facility: String,
    study: String,
    series: String,
    instance: String,
    copy: u16,
    difference: Option<model::Difference>,
    transfer_syntax: String,
    digest: String,
    /// The digest where it is a SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    received: u64,
    source: String,
}

impl Conflict {
    fn of(row: &InstanceRow) -> Self {
        Self {
            facility: row.key.study.facility.to_string(),
            study: row.key.study.study.to_string(),
            series: row.key.series.to_string(),
            instance: row.sop_instance.to_string(),
            copy: row.outcome.copy,
            difference: row.outcome.difference,
            transfer_syntax: row.transfer_syntax.to_string(),
            digest: row.digest.to_string(),
            sha256: (row.digest.kind() == model::SamenessKind::Sha256).then(|| row.digest.to_string()),
            received: row.received,
            source: row.source.clone(),
        }
    }
}
