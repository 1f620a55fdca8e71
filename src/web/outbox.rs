//! The feed of changes, subscriptions and deliveries by REST.
//!
//! What is told to whom, and when it is tried again, is the archive's matter ([`archive::charts::outbox`]).

use crate::admin::{body, bytes};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::ChartCursor;
use archive::charts::outbox::{Changes, DeliveryFilter};
use axum::response::Response;
use http::StatusCode;
use model::FacilityCode;
use model::chart::{ChartBody, ChartRow, Delivery, DeliveryState, EventKind, Secret, Subscription, Target};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Longest wait for something to happen.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Pace of looking whether something happened.
const PACE: Duration = Duration::from_millis(250);
/// Lines of an answer when the request names no limit.
const LIMIT: usize = 100;

/// Whether an endpoint is answered here.
pub(crate) fn is_of_outbox(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::Changes
            | E::Subscriptions
            | E::Subscribe
            | E::Unsubscribe
            | E::PauseSubscription
            | E::ResumeSubscription
            | E::Deliveries
            | E::RetryDeliveries
    )
}

/// Answers a request about the outbox.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::Changes => changes(call).await,
        Endpoint::Subscriptions => subscriptions(call).await,
        Endpoint::Subscribe => subscribe(call).await,
        Endpoint::Unsubscribe => unsubscribe(call).await,
        Endpoint::PauseSubscription => pause(call, true).await,
        Endpoint::ResumeSubscription => pause(call, false).await,
        Endpoint::Deliveries => deliveries(call).await,
        _ => retry(call).await,
    }
}

fn bad(name: &str, what: impl Into<String>) -> Problem {
    Problem::new(Kind::BadRequest, what).at(format!("query parameter {name}"))
}

fn number<T: std::str::FromStr>(call: &Call, name: &str) -> Result<Option<T>, Problem> {
    let read = |text: &str| text.parse::<T>().map_err(|_| bad(name, format!("{name} takes a whole number")));
    call.query_value(name).map(read).transpose()
}

fn limit(call: &Call) -> Result<usize, Problem> {
    Ok(number::<usize>(call, "limit")?.unwrap_or(LIMIT).clamp(1, 1_000))
}

fn cursor(call: &Call) -> Result<Option<ChartCursor>, Problem> {
    let read = |text: &str| {
        ChartCursor::parse(text).map_err(|_| bad("cursor", "cursor takes the text of a previous answer's next"))
    };
    call.query_value("cursor").map(read).transpose()
}

/// The facility that a request names.
fn facility(call: &Call) -> Result<Option<FacilityCode>, Problem> {
    let read = |text: &str| FacilityCode::parse(text).map_err(|error| bad("facility", error.to_string()));
    call.query_value("facility").map(read).transpose()
}

/// The facility that a request names, else the caller's own.
fn one_facility(call: &Call) -> Result<FacilityCode, Problem> {
    let needed = || bad("facility", "the token has no facility of its own, so the request must name one");
    facility(call)?.or(call.caller.home).ok_or_else(needed)
}

/// What changed, the oldest first; where nothing did, it waits for a while.
async fn changes(call: Call) -> Result<Response, Problem> {
    let (after, limit) = (number::<u64>(&call, "after")?, limit(&call)?);
    let wait = Duration::from_secs(number::<u64>(&call, "wait")?.unwrap_or(0)).min(WAIT_MAX);
    let until = Instant::now() + wait;
    let caller = call.caller.clone();
    loop {
        let newest = call.app.archive.charts().newest_change();
        let asking = caller.clone();
        let found = call.blocking(move |archive| Ok(archive.charts().changes(&asking, after, limit)?)).await?;
        if !found.events.is_empty() || Instant::now() >= until {
            return shown(&found);
        }
        while call.app.archive.charts().newest_change() == newest && Instant::now() < until {
            tokio::time::sleep(PACE).await;
        }
    }
}

fn shown(found: &Changes) -> Result<Response, Problem> {
    let line = |(facility, one): &(FacilityCode, Delivery)| json!({ "id": Delivery::id(one.seq), "facility": facility, "at": one.at, "event": one.event });
    let changes: Vec<Value> = found.events.iter().map(line).collect();
    body(StatusCode::OK, &json!({ "changes": changes, "cursor": Delivery::id(found.cursor), "more": found.more }))
}

fn row(row: &ChartRow) -> Value {
    let mut object = match serde_json::to_value(&row.body) {
        Ok(Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    };
    object.remove("chart");
    object.insert("id".into(), row.key.id.clone().into());
    object.insert("facility".into(), row.key.facility.to_string().into());
    if let (ChartBody::Subscription(_), Some(Value::Object(target))) = (&row.body, object.get_mut("target")) {
        target.remove("secret");
    }
    Value::Object(object)
}

async fn subscriptions(call: Call) -> Result<Response, Problem> {
    let (after, limit, caller) = (cursor(&call)?, limit(&call)?, call.caller.clone());
    let (page, states) = call
        .blocking(move |archive| {
            let charts = archive.charts();
            Ok((charts.subscriptions(&caller, after, limit)?, charts.outbox(&caller)))
        })
        .await?;
    let one = |found: &ChartRow| {
        let mut view = row(found);
        let state = states.iter().find(|one| one.facility == found.key.facility && one.id == found.key.id);
        if let (Some(object), Some(state)) = (view.as_object_mut(), state) {
            object.insert("waiting".into(), state.waiting.into());
            object.insert("oldest_ms".into(), state.oldest_ms.into());
            object.insert("dead".into(), state.dead.into());
        }
        view
    };
    let mut view = json!({ "subscriptions": page.rows.iter().map(one).collect::<Vec<_>>() });
    if let (Some(object), Some(next)) = (view.as_object_mut(), page.cursor) {
        object.insert("next".into(), next.to_string().into());
    }
    body(StatusCode::OK, &view)
}

/// What is sent to subscribe.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    facility: Option<FacilityCode>,
    name: String,
    #[serde(default)]
    events: BTreeSet<EventKind>,
    /// Name of an HL7 receiver.
    receiver: Option<String>,
    /// URL of a webhook.
    url: Option<String>,
    secret: Option<String>,
}

impl Wanted {
    fn target(self) -> Option<Target> {
        match (self.receiver, self.url, self.secret) {
            (Some(receiver), None, None) => Some(Target::Hl7 { receiver }),
            (None, Some(url), Some(secret)) => Some(Target::Webhook { url, secret: Secret(secret) }),
            _ => None,
        }
    }
}

async fn subscribe(call: Call) -> Result<Response, Problem> {
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    let refused = |what: String| Problem::new(Kind::BadRequest, what).at("body");
    let wanted: Wanted = serde_json::from_slice(&bytes)
        // Not the error itself: it may quote a secret.
        .map_err(|error| refused(format!("no subscription: line {}, column {}", error.line(), error.column())))?;
    let facility = match wanted.facility {
        Some(facility) => facility,
        None => one_facility(&call)?,
    };
    let (name, events, by) = (wanted.name.clone(), wanted.events.clone(), call.caller.name.clone());
    let target = wanted.target();
    let target = target.ok_or_else(|| refused("name a receiver, or a url and a secret".into()))?;
    let subscription = Subscription { name, target, events, paused: false, criteria: String::new(), by, at: 0 };
    let caller = call.caller.clone();
    let id = call.blocking(move |archive| Ok(archive.charts().subscribe(&caller, facility, subscription)?)).await?;
    body(StatusCode::OK, &json!({ "id": id, "facility": facility }))
}

fn id(call: &Call) -> Result<String, Problem> {
    match call.parameter("id") {
        "" => Err(Problem::new(Kind::BadRequest, "name a subscription").at("path segment id")),
        id => Ok(id.to_owned()),
    }
}

async fn unsubscribe(call: Call) -> Result<Response, Problem> {
    let (facility, id, caller) = (one_facility(&call)?, id(&call)?, call.caller.clone());
    let shown = json!({ "id": id, "facility": facility });
    call.blocking(move |archive| Ok(archive.charts().unsubscribe(&caller, facility, &id, &caller.name)?)).await?;
    body(StatusCode::OK, &shown)
}

async fn pause(call: Call, paused: bool) -> Result<Response, Problem> {
    let (facility, id, caller) = (one_facility(&call)?, id(&call)?, call.caller.clone());
    let shown = json!({ "id": id, "facility": facility, "paused": paused });
    call.blocking(move |archive| Ok(archive.charts().pause_subscription(&caller, facility, &id, paused)?)).await?;
    body(StatusCode::OK, &shown)
}

async fn deliveries(call: Call) -> Result<Response, Problem> {
    let text = |name: &str| call.query_value(name).map(str::to_owned);
    let named =
        |text: String| DeliveryState::of(&text).ok_or_else(|| bad("state", "state takes waiting, delivered or dead"));
    let filter = DeliveryFilter {
        facility: facility(&call)?,
        subscription: text("subscription"),
        state: text("state").map(named).transpose()?,
        id: None,
    };
    let (after, limit, caller) = (cursor(&call)?, limit(&call)?, call.caller.clone());
    let page = call.blocking(move |archive| Ok(archive.charts().deliveries(&caller, &filter, after, limit)?)).await?;
    let mut view = json!({ "deliveries": page.rows.iter().map(row).collect::<Vec<_>>() });
    if let (Some(object), Some(next)) = (view.as_object_mut(), page.cursor) {
        object.insert("next".into(), next.to_string().into());
    }
    body(StatusCode::OK, &view)
}

async fn retry(call: Call) -> Result<Response, Problem> {
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    let refused = |error: serde_json::Error| {
        let what = format!("no choice of deliveries: line {}, column {}", error.line(), error.column());
        Problem::new(Kind::BadRequest, what).at("body")
    };
    let filter: DeliveryFilter = serde_json::from_slice(&bytes).map_err(refused)?;
    let caller = call.caller.clone();
    let retried = call.blocking(move |archive| Ok(archive.charts().retry_deliveries(&caller, &filter)?)).await?;
    body(StatusCode::OK, &json!({ "deliveries": retried }))
}
