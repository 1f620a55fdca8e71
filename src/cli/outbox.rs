//! `khoanh outbox`: who is told of what happens, and what waits to be told.

use super::{Exit, Failure, Place, page, show};
use crate::control::{OutboxRequest, Request};
use archive::charts::outbox::DeliveryFilter;
use clap::{Args, Subcommand};
use model::FacilityCode;
use model::chart::{DeliveryState, EventKind, Subscription, Target};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;

pub(super) const HELP: &str = "\
Receivers of HL7 stand in the file hl7.receivers; webhooks are added by REST, so that their secrets stand in no history
of a shell. What waits survives every kind of stop and goes out in order; what a receiver refuses is dead (`list --state
dead`) until it is tried again (`retry`).";

#[derive(Debug, Subcommand)]
pub(super) enum Outbox {
    /// What waits for each subscription; with --state the deliveries themselves.
    List(List),
    /// Tells an HL7 receiver from now on.
    Add(Add),
    /// Tells nobody any more; what waits is dead.
    Remove(One),
    /// Tries deliveries again in their turn, dead ones too.
    Retry(Choose),
    /// Sends nothing to a subscription for now; what happens meanwhile waits.
    Pause(One),
    /// Sends again, beginning with the oldest.
    Resume(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Deliveries in this state: waiting, delivered or dead.
    #[arg(long, value_parser = state)]
    state: Option<DeliveryState>,
    /// Those to one subscription.
    #[arg(long)]
    subscription: Option<String>,
    /// Behind this place.
    #[arg(long)]
    after: Option<String>,
    /// At most so many deliveries.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Name of the receiver in the file hl7.receivers.
    receiver: String,
    /// Of what happens in this facility.
    #[arg(long)]
    facility: FacilityCode,
    /// Events: study-available, study-changed, order, result, merged, unmerged; without it all of these.
    #[arg(long, value_delimiter = ',', value_parser = event)]
    events: Vec<EventKind>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Id of the subscription.
    id: String,
    /// Its facility.
    #[arg(long)]
    facility: FacilityCode,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, args = ["id", "subscription", "all"])]
pub(super) struct Choose {
    /// One delivery.
    id: Option<String>,
    /// Those to one subscription.
    #[arg(long)]
    subscription: Option<String>,
    /// All.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
}

fn state(text: &str) -> Result<DeliveryState, String> {
    DeliveryState::of(text).ok_or_else(|| "waiting, delivered or dead".to_owned())
}

fn event(text: &str) -> Result<EventKind, String> {
    let names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    EventKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn ask(place: &Place, request: OutboxRequest) -> Result<Value, Failure> {
    place.ask(&Request::Outbox(Box::new(request)))
}

pub(super) fn run(wanted: &Outbox) -> Result<Exit, Failure> {
    match wanted {
        Outbox::List(list) if list.state.is_some() || list.subscription.is_some() => deliveries(list),
        Outbox::List(list) => status(list),
        Outbox::Add(add) => subscribe(add),
        Outbox::Remove(one) => {
            ask(&one.place, OutboxRequest::Unsubscribe { facility: one.facility, id: one.id.clone() })?;
            show(&format!("subscription {} is removed\n", one.id))
        }
        Outbox::Retry(choose) => {
            let (id, subscription) = (choose.id.clone(), choose.subscription.clone());
            let filter = DeliveryFilter { id, subscription, ..DeliveryFilter::default() };
            let answer = ask(&choose.place, OutboxRequest::Retry { filter })?;
            show(&format!("{} deliveries are tried again\n", number(&answer, "deliveries")))
        }
        Outbox::Pause(one) => pause(one, true),
        Outbox::Resume(one) => pause(one, false),
    }
}

fn pause(one: &One, paused: bool) -> Result<Exit, Failure> {
    ask(&one.place, OutboxRequest::Pause { facility: one.facility, id: one.id.clone(), paused })?;
    let state = if paused { "paused; what happens meanwhile waits" } else { "no longer paused" };
    show(&format!("subscription {} is {state}\n", one.id))
}

fn subscribe(add: &Add) -> Result<Exit, Failure> {
    let subscription = Box::new(Subscription {
        name: add.receiver.clone(),
        target: Target::Hl7 { receiver: add.receiver.clone() },
        events: add.events.iter().copied().collect::<BTreeSet<_>>(),
        paused: false,
        criteria: String::new(),
        by: "operator".into(),
        at: 0,
    });
    let answer = ask(&add.place, OutboxRequest::Subscribe { facility: add.facility, subscription })?;
    show(&format!("subscription {} holds\n", answer.get("id").and_then(Value::as_str).unwrap_or_default()))
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn status(list: &List) -> Result<Exit, Failure> {
    let answer = ask(&list.place, OutboxRequest::Status)?;
    if list.json {
        return show(&format!("{answer}\n"));
    }
    let mut out = String::new();
    for lane in answer.get("subscriptions").and_then(Value::as_array).into_iter().flatten() {
        let (waiting, dead, oldest) =
            (number(lane, "waiting"), number(lane, "dead"), number(lane, "oldest_ms") / 1_000);
        let (facility, id, name) = (text(lane, "facility"), text(lane, "id"), text(lane, "name"));
        let _ = write!(out, "{facility} {id} {name:16} {waiting} wait (the oldest for {oldest} s), {dead} dead");
        let paused = lane.get("paused").and_then(Value::as_bool).unwrap_or(false);
        out.push_str(if paused { ", PAUSED\n" } else { "\n" });
    }
    show(if out.is_empty() { "nobody is told of anything\n" } else { &out })
}

fn deliveries(list: &List) -> Result<Exit, Failure> {
    let (state, subscription) = (list.state, list.subscription.clone());
    let filter = DeliveryFilter { state, subscription, ..DeliveryFilter::default() };
    let (after, limit) = (list.after.clone(), list.limit.max(1));
    let answer = ask(&list.place, OutboxRequest::Deliveries { filter, after, limit })?;
    if list.json {
        return show(&format!("{answer}\n"));
    }
    let mut out = String::new();
    for row in answer.get("deliveries").and_then(Value::as_array).into_iter().flatten() {
        let Some(one) = row.get("delivery") else { continue };
        let kind = one.pointer("/event/kind").and_then(Value::as_str).unwrap_or_default();
        let (id, facility) = (text(row, "id"), text(row, "facility"));
        let (state, tries) = (text(one, "state"), number(one, "tries"));
        let _ = writeln!(out, "{id} {facility} {kind:16} {state:9} {tries:3} {}", text(one, "error"));
    }
    page::end(&mut out, answer.get("next"), "no such deliveries (không có mục nào)");
    show(&out)
}
