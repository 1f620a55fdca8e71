//! What a change of charts is worth telling, found in the rows it puts.

use crate::charts::ChartError;
use crate::charts::writing::{Changed, Writing};
use model::chart::{
    ChartBody, ChartKind, Delivery, DeliveryState, Event, EventKind, Match, Merge, Order, Report, ReportStatus,
};

/// Kinds of rows that somebody is told of.
const KINDS: [ChartKind; 4] = [ChartKind::Order, ChartKind::Report, ChartKind::Merge, ChartKind::Match];

/// Puts what a change is worth telling beside it: one line of the feed, and a delivery for each subscription.
pub(in crate::charts) fn follow(writing: &mut Writing<'_>) -> Result<(), ChartError> {
    let changed = writing.changed(&KINDS)?;
    let events: Vec<Event> = changed.into_iter().filter_map(event).collect();
    for event in events {
        let wanted = writing.charts().outbox.wanted(writing.facility(), event.kind);
        put(writing, String::new(), event.clone(), (DeliveryState::Delivered, ""))?;
        for (subscription, full) in wanted {
            let state = match full {
                false => (DeliveryState::Waiting, ""),
                true => (DeliveryState::Dead, "too many wait for this receiver (outbox.waiting_max)"),
            };
            put(writing, subscription, event.clone(), state)?;
        }
    }
    Ok(())
}

fn put(
    writing: &mut Writing<'_>,
    subscription: String,
    event: Event,
    (state, error): (DeliveryState, &str),
) -> Result<(), ChartError> {
    let at = writing.now();
    let seq = writing.charts().outbox.number(at);
    let ended = if state == DeliveryState::Waiting { 0 } else { at };
    let one = Delivery { seq, subscription, event, at, state, tries: 0, next: 0, ended, error: error.to_owned() };
    writing.put(&Delivery::id(seq), ChartBody::Delivery(Box::new(one)))
}

fn event(changed: Changed) -> Option<Event> {
    let Changed { id, before, now } = changed;
    match (before, now) {
        (Some(ChartBody::Order(before)), ChartBody::Order(now)) => of_order(id, Some(&before), &now),
        (None, ChartBody::Order(now)) => of_order(id, None, &now),
        (Some(ChartBody::Report(before)), ChartBody::Report(now)) if before.version == now.version => None,
        (_, ChartBody::Report(now)) => Some(of_report(id, &now)),
        (Some(ChartBody::Merge(before)), ChartBody::Merge(now)) => of_merge(id, Some(&before), &now),
        (None, ChartBody::Merge(now)) => of_merge(id, None, &now),
        (Some(ChartBody::Match(before)), ChartBody::Match(now)) => of_match(id, Some(&before), &now),
        (None, ChartBody::Match(now)) => of_match(id, None, &now),
        _ => None,
    }
}

fn of_order(id: String, before: Option<&Order>, now: &Order) -> Option<Event> {
    let differs = before.is_none_or(|before| before.state != now.state);
    let (study, state) = (Some(now.study.clone()), now.state.name().to_owned());
    differs.then_some(Event { kind: EventKind::Order, id, study, state, version: 0 })
}

fn of_report(id: String, now: &Report) -> Event {
    let state = match now.status {
        ReportStatus::Preliminary => "preliminary",
        ReportStatus::Final => "final",
        ReportStatus::Amended => "amended",
        ReportStatus::Canceled => "canceled",
    };
    Event { kind: EventKind::Result, id, study: now.study.clone(), state: state.to_owned(), version: now.version }
}

fn of_merge(id: String, before: Option<&Merge>, now: &Merge) -> Option<Event> {
    let kind = match (before, now.undone.is_some()) {
        (None, false) => EventKind::Merged,
        (Some(before), true) if before.undone.is_none() => EventKind::Unmerged,
        _ => return None,
    };
    Some(Event { kind, id, study: None, state: String::new(), version: 0 })
}

fn of_match(id: String, before: Option<&Match>, now: &Match) -> Option<Event> {
    if !now.complete {
        return None;
    }
    let before = before.filter(|before| before.complete);
    let kind = match before {
        None => EventKind::StudyAvailable,
        Some(before) if differs(before, now) => EventKind::StudyChanged,
        Some(_) => return None,
    };
    let (study, state) = (Some(now.study.clone()), now.verdict.name().to_owned());
    Some(Event { kind, id, study, state, version: 0 })
}

/// Whether somebody who was told of a study has to be told anew.
fn differs(before: &Match, now: &Match) -> bool {
    (before.verdict, &before.placer, &before.mrn, &before.of_study)
        != (now.verdict, &now.placer, &now.mrn, &now.of_study)
}
