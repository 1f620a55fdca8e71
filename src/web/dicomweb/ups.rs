//! UPS-RS (PS3.18 chapter 11): procedure steps over HTTP, on the engine that DIMSE uses.
//!
//! A step is sent and answered as DICOM JSON or in the Native DICOM Model. What may be done with it is the archive's.

pub(crate) mod find;
mod payload;
pub(crate) mod socket;

use super::{qido, warn};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::ups::{Document, Remark, StepState, Subscription, Ups, UpsError};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use model::{FacilityCode, Scope, Uid};
use payload::{read, text};

const STATE: &str = "00741000";
const TRANSACTION: &str = "00081195";

/// Whether this is a resource of UPS-RS.
pub(crate) fn is_of_steps(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::FindWorkitems
            | Endpoint::CreateWorkitem
            | Endpoint::RetrieveWorkitem
            | Endpoint::UpdateWorkitem
            | Endpoint::ChangeWorkitemState
            | Endpoint::CancelWorkitem
            | Endpoint::SubscribeWorkitem
            | Endpoint::UnsubscribeWorkitem
            | Endpoint::SuspendWorkitems
            | Endpoint::Notifications
    )
}

/// Answers a request to one.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::FindWorkitems => find::find(call).await,
        Endpoint::Notifications => socket::open(call).await,
        Endpoint::CreateWorkitem => create(call).await,
        Endpoint::RetrieveWorkitem => retrieve(call).await,
        Endpoint::UpdateWorkitem => update(call).await,
        Endpoint::ChangeWorkitemState => change_state(call).await,
        Endpoint::CancelWorkitem => cancel(call).await,
        Endpoint::SubscribeWorkitem => subscribe(call).await,
        _ => unsubscribe(endpoint, call).await,
    }
}

async fn create(call: Call) -> Result<Response, Problem> {
    let facility = Ups::facility(&call.caller, call.scope)?;
    let document = read(&call).await?;
    let named = ["workitem", "AffectedSOPInstanceUID"].iter().find_map(|name| call.query_value(name));
    let named = named.or_else(|| bare_uid(&call)).or_else(|| Some(text(&document, "00080018")));
    let place = "query parameter workitem";
    let bad = |error: model::uid::UidError| Problem::new(Kind::BadUid, error.to_string()).at(place);
    let uid = named.filter(|named| !named.is_empty()).map(Uid::parse).transpose().map_err(bad)?;
    let (caller, root) = (call.caller.clone(), call.service_root());
    let (uid, remark) =
        call.blocking(move |archive| Ok(archive.ups().create(&caller, facility, uid, document)?)).await?;
    let location = format!("{root}/workitems/{uid}");
    Ok(done(StatusCode::CREATED, Some((header::LOCATION, location)), remark))
}

async fn retrieve(call: Call) -> Result<Response, Problem> {
    let form = qido::form(&call.accepts()?)?;
    let uid = call.uid("workitem")?;
    let (caller, scope) = (call.caller.clone(), call.scope);
    let body = call
        .blocking(move |archive| {
            let ups = archive.ups();
            for facility in facilities(ups, &caller, scope) {
                match ups.get(&caller, facility, &uid) {
                    Err(UpsError::Unknown) => {}
                    step => return find::body(form, &[step?]),
                }
            }
            Err(UpsError::Unknown.into())
        })
        .await?;
    Ok(qido::respond(form, body))
}

/// Where a root looks: its facility, on the shared root the caller's own first.
fn facilities(ups: &Ups, caller: &model::Caller, scope: Scope) -> Vec<FacilityCode> {
    match scope {
        Scope::Facility(facility) => vec![facility],
        Scope::Shared => {
            let others = ups.facilities().into_iter().filter(|one| Some(*one) != caller.home && caller.may_see(*one));
            caller.home.into_iter().chain(others).collect()
        }
    }
}

async fn update(call: Call) -> Result<Response, Problem> {
    let (facility, uid) = (Ups::facility(&call.caller, call.scope)?, call.uid("workitem")?);
    let changes = read(&call).await?;
    let named = ["transaction-uid", "TransactionUID"].iter().find_map(|name| call.query_value(name));
    let transaction = transaction(named.or_else(|| bare_uid(&call)), &changes)?;
    let caller = call.caller.clone();
    call.blocking(move |archive| Ok(archive.ups().update(&caller, facility, &uid, transaction.as_ref(), changes)?))
        .await?;
    Ok(done(StatusCode::OK, None, None))
}

async fn change_state(call: Call) -> Result<Response, Problem> {
    let (facility, uid) = (Ups::facility(&call.caller, call.scope)?, call.uid("workitem")?);
    let wanted = read(&call).await?;
    let transaction = transaction(None, &wanted)?;
    let state = StepState::named(text(&wanted, STATE)).ok_or_else(|| {
        let detail = "ProcedureStepState takes IN PROGRESS, COMPLETED or CANCELED";
        Problem::new(Kind::BadRequest, detail).at("body")
    })?;
    let caller = call.caller.clone();
    let change = move |archive: &std::sync::Arc<archive::Archive>| {
        Ok(archive.ups().change_state(&caller, facility, &uid, state, transaction.as_ref())?)
    };
    let remark = call.blocking(change).await?;
    Ok(done(StatusCode::OK, None, remark))
}

async fn cancel(call: Call) -> Result<Response, Problem> {
    let (facility, uid) = (Ups::facility(&call.caller, call.scope)?, call.uid("workitem")?);
    let request = payload::read_any(&call).await?;
    let caller = call.caller.clone();
    // Who asks is told to the performer as an AE title.
    let by: String = caller.name.chars().filter(|c| c.is_ascii_graphic() && *c != '\\').take(16).collect();
    let remark =
        call.blocking(move |archive| Ok(archive.ups().request_cancel(&caller, facility, &uid, &by, request)?)).await?;
    Ok(done(StatusCode::ACCEPTED, None, remark))
}

async fn subscribe(call: Call) -> Result<Response, Problem> {
    let (facility, uid) = (Ups::facility(&call.caller, call.scope)?, call.uid("workitem")?);
    let lock = match call.query_value("deletionlock").map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(_) => {
            let detail = "deletionlock takes true or false";
            return Err(Problem::new(Kind::BadRequest, detail).at("query parameter deletionlock"));
        }
    };
    let filter = if uid.as_str() == archive::ups::FILTERED { find::filter(&call)? } else { Document::new() };
    let receiver = call.parameter("aetitle").to_owned();
    let root = call.service_root();
    let socket = root.strip_prefix("http").map_or_else(|| root.clone(), |rest| format!("ws{rest}"));
    let location = format!("{socket}/subscribers/{}", encoded(&receiver));
    let caller = call.caller.clone();
    let wanted = Subscription { uid, receiver, lock, filter };
    call.blocking(move |archive| Ok(archive.ups().subscribe(&caller, facility, wanted)?)).await?;
    Ok(done(StatusCode::CREATED, Some((header::CONTENT_LOCATION, location)), None))
}

async fn unsubscribe(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let (facility, uid) = (Ups::facility(&call.caller, call.scope)?, call.uid("workitem")?);
    let (caller, receiver) = (call.caller.clone(), call.parameter("aetitle").to_owned());
    call.blocking(move |archive| {
        let done = match endpoint {
            Endpoint::SuspendWorkitems => archive.ups().suspend(&caller, facility, &uid, &receiver),
            _ => archive.ups().unsubscribe(&caller, facility, &uid, &receiver),
        };
        Ok(done?)
    })
    .await?;
    Ok(done(StatusCode::OK, None, None))
}

/// A query that is nothing but a UID, as some write it.
fn bare_uid(call: &Call) -> Option<&str> {
    let bare = call.query.iter().find(|(name, value)| value.is_empty() && Uid::parse(name).is_ok());
    bare.map(|(name, _)| name.as_str())
}

fn transaction(named: Option<&str>, body: &Document) -> Result<Option<Uid>, Problem> {
    match named.unwrap_or_else(|| text(body, TRANSACTION)) {
        "" => Ok(None),
        text => Ok(Some(Uid::parse(text).map_err(|_| UpsError::Transaction)?)),
    }
}

/// An AE title as a path segment.
fn encoded(title: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    title.bytes().map(one).collect()
}

fn done(status: StatusCode, location: Option<(HeaderName, String)>, remark: Option<Remark>) -> Response {
    let mut response = status.into_response();
    if let Some((name, value)) = location
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    let note = remark.map(|remark| match remark {
        Remark::Modified => "The UPS was created with modifications.",
        Remark::AlreadyCanceled => "The UPS is already in the requested state of CANCELED.",
        Remark::AlreadyCompleted => "The UPS is already in the requested state of COMPLETED.",
    });
    warn(&mut response, &note.map(str::to_owned).into_iter().collect::<Vec<_>>());
    response
}
