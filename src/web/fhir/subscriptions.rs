//! Subscription: who is told of what, over the archive's own outbox: durable, in order, tried again.
//!
//! Only the channel rest-hook is here; what criteria can say is in [`super::criteria`]. Values of headers are secrets and
//! are never shown; one that comes back as it is shown leaves what is kept.

use super::bundle::Found;
use super::dates::{self, Span};
use super::desk::{Desk, add};
use super::question::Question;
use super::said::{self, bad, list, text};
use super::tables::{Resource, Table};
use super::turns::Turns;
use super::{criteria, ids, media, missing, outcome, pages, patients, taking};
use crate::admin::bytes;
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::charts::ChartError;
use archive::charts::outbox::DeliveryFilter;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::FacilityCode;
use model::chart::{ChartBody, ChartKind, ChartRow, DeliveryState, Secret, Subscription, Target, Term};
use serde_json::{Map, Value, json};

const STATES: &str = "http://hl7.org/fhir/subscription-status";
const CHANNELS: &str = "http://hl7.org/fhir/subscription-channel-type";
const CHANNEL: &str = "rest-hook";
/// What stands in the place of a secret.
const HIDDEN: &str = "*****";

/// Who changes what now.
static TURNS: Turns = Turns::new();

/// Finds subscriptions, the newest first.
pub(crate) fn find(desk: &Desk, question: &Question, count: usize, after: Option<&str>) -> Result<Found, Problem> {
    let query = patients::equal(ChartKind::Subscription, Term::Any, "");
    let found = pages::find(desk, &[query], count, patients::cursor(after)?, |row| fits(desk, question, row))?;
    Ok(Found::of(found))
}

/// A rest-hook, and where it leads.
struct Hooked<'a> {
    one: &'a Subscription,
    url: &'a str,
    headers: &'a [(String, Secret)],
}

fn hooked(row: &ChartRow) -> Option<Hooked<'_>> {
    match &row.body {
        ChartBody::Subscription(one) => match &one.target {
            Target::RestHook { url, headers, .. } => Some(Hooked { one, url, headers }),
            Target::Hl7 { .. } | Target::Webhook { .. } => None,
        },
        _ => None,
    }
}

fn fits(desk: &Desk, question: &Question, row: &ChartRow) -> bool {
    let Some(Hooked { one, .. }) = hooked(row) else { return false };
    let id = ids::of(row.key.facility, &row.key.id).unwrap_or_default();
    let criteria = criteria_of(one).to_lowercase();
    let begins = |asked: &str| criteria.starts_with(&asked.to_lowercase());
    // Of what cannot be asked now, no state is told.
    let state = || standing(desk, row, one).map_or("", |(state, _)| state);
    question.accepts_token("_id", "", &[&id])
        && question.accepts_token("type", CHANNELS, &[CHANNEL])
        && question.accepts_token("payload", "", &[payload(one)])
        && question.all("criteria").all(|wanted| wanted.texts().any(begins))
        && (question.all("status").next().is_none() || question.accepts_token("status", STATES, &[state()]))
}

/// How it stands with it, and why where something is wrong.
fn standing(desk: &Desk, row: &ChartRow, one: &Subscription) -> Result<(&'static str, String), Problem> {
    let until = one.hook().map_or(0, |hook| hook.until);
    if one.paused || (until > 0 && desk.now >= until) {
        return Ok(("off", String::new()));
    }
    let page = desk.charts().deliveries(&desk.caller, &waiting(row.key.facility, &row.key.id), None, 1)?;
    let tried = page.rows.into_iter().find_map(|row| match row.body {
        ChartBody::Delivery(one) if one.tries > 0 => Some(one.error),
        _ => None,
    });
    Ok(tried.map_or(("active", String::new()), |error| ("error", error)))
}

/// What waits for a subscription.
fn waiting(facility: FacilityCode, id: &str) -> DeliveryFilter {
    let (subscription, state) = (Some(id.to_owned()), Some(DeliveryState::Waiting));
    DeliveryFilter { facility: Some(facility), subscription, state, id: None }
}

fn payload(one: &Subscription) -> &'static str {
    if one.hook().is_some_and(|hook| hook.full) { outcome::MEDIA } else { "" }
}

fn row_of(desk: &Desk, id: &str) -> Result<Option<ChartRow>, Problem> {
    let Some((facility, number)) = ids::read(id) else { return Ok(None) };
    Ok(desk.row(ChartKind::Subscription, facility, &number)?.filter(|row| hooked(row).is_some()))
}

/// One by its id.
pub(crate) fn read(desk: &Desk, id: &str) -> Result<Option<Value>, Problem> {
    row_of(desk, id)?.map(|row| shown(desk, &row)).transpose().map(Option::flatten)
}

/// A subscription as a resource; none of one of another kind.
pub(crate) fn shown(desk: &Desk, row: &ChartRow) -> Result<Option<Value>, Problem> {
    let Some(Hooked { one, url, headers }) = hooked(row) else { return Ok(None) };
    let Some(id) = ids::of(row.key.facility, &row.key.id) else { return Ok(None) };
    let (state, error) = standing(desk, row, one)?;
    let mut channel = Map::new();
    add(&mut channel, "type", CHANNEL);
    add(&mut channel, "endpoint", url);
    add(&mut channel, "payload", payload(one));
    add(&mut channel, "header", headers.iter().map(|(name, _)| format!("{name}: {HIDDEN}")).collect::<Vec<_>>());
    let mut shown = Map::new();
    add(&mut shown, "resourceType", Resource::Subscription.name());
    add(&mut shown, "id", id);
    add(&mut shown, "meta", json!({"versionId": row.lsn.to_string()}));
    add(&mut shown, "status", state);
    let until = one.hook().map_or(0, |hook| hook.until);
    add(&mut shown, "end", (until > 0).then(|| dates::instant(until, desk.utc_offset)));
    add(&mut shown, "reason", one.name.trim());
    add(&mut shown, "criteria", criteria_of(one));
    add(&mut shown, "error", error);
    add(&mut shown, "channel", Value::Object(channel));
    Ok(Some(Value::Object(shown)))
}

/// Its criteria; those of one that was not made by FHIR in words.
fn criteria_of(one: &Subscription) -> String {
    if !one.criteria.trim().is_empty() {
        return one.criteria.trim().to_owned();
    }
    let names: Vec<&str> = one.events.iter().map(|event| event.name()).collect();
    if names.is_empty() { "every event".to_owned() } else { names.join(", ") }
}

/// What a client sends.
struct Sent {
    facility: Option<FacilityCode>,
    subscription: Subscription,
}

fn sent(desk: &Desk, bytes: &[u8]) -> Result<Sent, Problem> {
    let resource = said::resource(bytes, Resource::Subscription)?;
    let paused = match text(&resource, "/status") {
        Some("requested" | "active" | "error") => false,
        Some("off") => true,
        _ => return Err(bad("status", "requested, active, error or off")),
    };
    let name = text(&resource, "/reason").ok_or_else(|| bad("reason", "what it is for is needed"))?;
    let criteria = text(&resource, "/criteria").ok_or_else(|| bad("criteria", "what it is told of is needed"))?;
    let understood = criteria::read(&desk.systems.mrn, criteria)?;
    if text(&resource, "/channel/type") != Some(CHANNEL) {
        return Err(bad("channel.type", format!("only {CHANNEL} is served")));
    }
    let url = text(&resource, "/channel/endpoint").ok_or_else(|| bad("channel.endpoint", "a URL is needed"))?;
    let mut hook = understood.hook;
    hook.full =
        match text(&resource, "/channel/payload").map(|media| media.split(';').next().unwrap_or_default().trim()) {
            None => false,
            Some(outcome::MEDIA) => true,
            Some(_) => {
                return Err(bad("channel.payload", format!("{}, or none for a call without a body", outcome::MEDIA)));
            }
        };
    hook.until = match text(&resource, "/end") {
        None => 0,
        Some(end) => until(desk, end)?,
    };
    let headers =
        list(resource.get("channel").unwrap_or(&Value::Null), "header").map(header).collect::<Result<_, _>>()?;
    let subscription = Subscription {
        name: name.to_owned(),
        target: Target::RestHook { url: url.to_owned(), headers, hook: Some(Box::new(hook)) },
        events: understood.events,
        paused,
        criteria: criteria.to_owned(),
        by: desk.caller.name.clone(),
        at: 0,
    };
    Ok(Sent { facility: understood.facility, subscription })
}

fn until(desk: &Desk, end: &str) -> Result<u64, Problem> {
    let plain = end.starts_with(|letter: char| letter.is_ascii_digit());
    let span = Span::parse(end, desk.utc_offset).filter(|_| plain);
    let until = span.and_then(|span| u64::try_from(span.begin()).ok()).filter(|until| *until > 0);
    until.ok_or_else(|| bad("end", "a date and time with its zone"))
}

fn header(value: &Value) -> Result<(String, Secret), Problem> {
    let pair = value.as_str().and_then(|text| text.split_once(':'));
    let (name, value) = pair.ok_or_else(|| bad("channel.header", "a name, a colon and a value each"))?;
    Ok((name.trim().to_owned(), Secret(value.trim().to_owned())))
}

/// Values that come as they are shown stand for those that are kept, where they go to the same server: a secret is not
/// sent to another one by whoever does not know it.
fn keep(target: &mut Target, kept: &Target) -> Result<(), String> {
    let Target::RestHook { url, headers, .. } = target else { return Ok(()) };
    let kept = match kept {
        Target::RestHook { url: kept, headers, .. } if origin(kept).eq_ignore_ascii_case(origin(url)) => {
            headers.as_slice()
        }
        _ => &[],
    };
    for (name, value) in headers.iter_mut().filter(|(_, value)| value.0 == HIDDEN) {
        let known = kept.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, known) = known.ok_or("a header has no value yet, or none for this server: say it")?;
        value.clone_from(known);
    }
    Ok(())
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at.saturating_add(3));
    let rest = url.get(host..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |at| host.saturating_add(at));
    url.get(..end).unwrap_or(url)
}

async fn read_sent(call: &Call) -> Result<(Desk, Sent), Problem> {
    taking::check_type(call)?;
    let bytes = bytes(call, call.app.options.body_bytes_max).await?;
    let desk = Desk::of(call);
    let sent = sent(&desk, &bytes)?;
    Ok((desk, sent))
}

/// Makes a subscription.
pub(crate) async fn create(call: &Call) -> Result<Response, Problem> {
    let answer = media(call, &[])?;
    if call.parts.headers.contains_key("if-none-exist") {
        let detail = "creating under a condition is not done here";
        return Err(Problem::new(Kind::BadRequest, detail).at("header If-None-Exist"));
    }
    let (desk, sent) = read_sent(call).await?;
    let none = || bad("criteria", "the facility is not told: say facility= in the criteria");
    let facility = sent.facility.or_else(|| crate::charts::own(&call.caller)).ok_or_else(none)?;
    if !desk.facilities.contains_key(&facility) {
        return Err(
            Problem::new(Kind::Forbidden, format!("there is no facility {facility} for you")).at("element criteria")
        );
    }
    let mut subscription = sent.subscription;
    keep(&mut subscription.target, &Target::Hl7 { receiver: String::new() })
        .map_err(|what| bad("channel.header", what))?;
    let made = call.blocking(move |archive| {
        let id = archive.charts().subscribe(&desk.caller, facility, subscription)?;
        read(&desk, &ids::of(facility, &id).unwrap_or_default())
    });
    let made = made.await?.ok_or_else(|| Problem::new(Kind::Internal, "the subscription cannot be read"))?;
    taking::told(call, StatusCode::CREATED, answer, &made, &[])
}

/// Changes a subscription under its id.
pub(crate) async fn update(call: &Call, table: &Table, id: &str) -> Result<Response, Problem> {
    let answer = media(call, &[])?;
    let (facility, number) = ids::read(id).ok_or_else(|| missing(table))?;
    let (desk, sent) = read_sent(call).await?;
    if sent.facility.is_some_and(|named| named != facility) {
        return Err(bad("criteria", "the subscription is told of another facility"));
    }
    let _turn = TURNS.take(Resource::Subscription, facility, &number).await?;
    let (desk, before) = standing_before(call, desk, id).await?;
    let before = before.ok_or_else(|| missing(table))?;
    taking::check_version(call, Some(&before))?;
    let id = id.to_owned();
    let changed = call.blocking(move |archive| {
        let (charts, wanted) = (archive.charts(), sent.subscription);
        let again = !wanted.paused;
        charts.change_subscription(&desk.caller, facility, &number, |one| {
            let (mut target, by) = (wanted.target, one.by.clone());
            keep(&mut target, &one.target).map_err(ChartError::Invalid)?;
            *one = Subscription { target, by, at: one.at, ..wanted };
            Ok(())
        })?;
        if again {
            // Whoever says that it goes on wants it to go on now.
            let filter = waiting(facility, &number);
            let first = charts.deliveries(&desk.caller, &filter, None, 1)?.rows.into_iter().next();
            if let Some(first) = first {
                charts.retry_deliveries(&desk.caller, &DeliveryFilter { id: Some(first.key.id), ..filter })?;
            }
        }
        read(&desk, &id)
    });
    let changed = changed.await?.ok_or_else(|| missing(table))?;
    taking::told(call, StatusCode::OK, answer, &changed, &[])
}

/// Removes a subscription; what waits for it is told to nobody.
pub(crate) async fn remove(call: &Call, table: &Table, id: &str) -> Result<Response, Problem> {
    let (facility, number) = ids::read(id).ok_or_else(|| missing(table))?;
    let _turn = TURNS.take(Resource::Subscription, facility, &number).await?;
    let (desk, before) = standing_before(call, Desk::of(call), id).await?;
    taking::check_version(call, Some(&before.ok_or_else(|| missing(table))?))?;
    call.blocking(move |archive| {
        Ok(archive.charts().unsubscribe(&desk.caller, facility, &number, &desk.caller.name)?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn standing_before(call: &Call, desk: Desk, id: &str) -> Result<(Desk, Option<Value>), Problem> {
    let id = id.to_owned();
    call.blocking(move |_| {
        let found = read(&desk, &id)?;
        Ok((desk, found))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_by_scheme_host_and_port() {
        for (url, same) in [
            ("https://emr.example/fhir?x=1", "https://emr.example"),
            ("http://emr.example:8080", "http://emr.example:8080"),
            ("https://emr.example?x=/", "https://emr.example"),
        ] {
            assert_eq!(origin(url), same);
        }
        assert_ne!(origin("https://emr.example.evil/fhir"), origin("https://emr.example/fhir"));
    }
}
