//! What a change of charts is worth telling, found in the rows it puts.

use crate::charts::ChartError;
use crate::charts::writing::{Changed, Writing};
use model::Caller;
use model::chart::outbox::WITHDRAWN;
use model::chart::{
    ChartBody, ChartKind, Delivery, DeliveryState, Event, EventKind, Happened, Match, Merge, Order, Patient, Report,
    ReportStatus, Verdict,
};

/// Kinds of rows that somebody is told of, beside patients.
const KINDS: [ChartKind; 4] = [ChartKind::Order, ChartKind::Report, ChartKind::Merge, ChartKind::Match];

/// Puts what a change is worth telling beside it: one line of the feed, and a delivery for each subscription.
pub(in crate::charts) fn follow(writing: &mut Writing<'_>) -> Result<(), ChartError> {
    // Before what refers to them.
    patients(writing)?;
    for changed in writing.changed(&KINDS)? {
        for event in events(&changed) {
            tell(writing, &changed, event)?;
        }
    }
    Ok(())
}

/// Tells of patients where anybody asked for it: elsewhere a storm or a first load of them costs nothing here.
fn patients(writing: &mut Writing<'_>) -> Result<(), ChartError> {
    let charts = writing.charts();
    if !charts.options.outbox.feed_patients && !charts.outbox.tells_patients(writing.facility()) {
        return Ok(());
    }
    let merges = writing.changed(&[ChartKind::Merge])?;
    for changed in writing.changed(&[ChartKind::Patient])? {
        if let Some(event) = of_patient(&changed, &merges) {
            tell(writing, &changed, event)?;
        }
    }
    Ok(())
}

fn tell(writing: &mut Writing<'_>, changed: &Changed, event: Event) -> Result<(), ChartError> {
    let outbox = &writing.charts().outbox;
    let mut happened = Happened::of(&event, changed.before.as_ref(), &changed.now, writing.now());
    // Whoever asks by one number of a patient is told by every number of theirs.
    if outbox.asks_by_patient(writing.facility()) {
        for number in happened.patients.clone() {
            let numbers = writing.charts().numbers(&Caller::operator(), writing.facility(), &number)?;
            happened.patients.extend(numbers);
        }
    }
    let wanted = outbox.wanted(writing.facility(), &happened);
    let stands = event.kind != EventKind::Patient || writing.charts().options.outbox.feed_patients;
    if wanted.is_empty() && !stands {
        return Ok(());
    }
    put(writing, String::new(), event.clone(), (DeliveryState::Delivered, ""))?;
    for (subscription, full) in wanted {
        let state = match full {
            false => (DeliveryState::Waiting, ""),
            true => (DeliveryState::Dead, "too many wait for this receiver (charts.outbox.waiting_max)"),
        };
        put(writing, subscription, event.clone(), state)?;
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

fn events(changed: &Changed) -> Vec<Event> {
    let id = changed.id.clone();
    let one = match (&changed.before, &changed.now) {
        (Some(ChartBody::Order(before)), ChartBody::Order(now)) => of_order(id, Some(before), now),
        (None, ChartBody::Order(now)) => of_order(id, None, now),
        (Some(ChartBody::Report(before)), ChartBody::Report(now)) if before.version == now.version => None,
        (_, ChartBody::Report(now)) => Some(of_report(id, now)),
        (Some(ChartBody::Merge(before)), ChartBody::Merge(now)) => of_merge(id, Some(before), now),
        (None, ChartBody::Merge(now)) => of_merge(id, None, now),
        (Some(ChartBody::Match(before)), ChartBody::Match(now)) => return of_match(id, Some(before), now),
        (None, ChartBody::Match(now)) => return of_match(id, None, now),
        _ => None,
    };
    one.into_iter().collect()
}

fn of_order(id: String, before: Option<&Order>, now: &Order) -> Option<Event> {
    let differs = before.is_none_or(|before| before.state != now.state);
    let (study, state, order) = (Some(now.study.clone()), now.state.name().to_owned(), now.placer.clone());
    differs.then_some(Event { kind: EventKind::Order, id, study, state, order, version: 0 })
}

/// What a version of a result is worth telling.
pub(super) fn of_report(id: String, now: &Report) -> Event {
    let state = match now.status {
        ReportStatus::Preliminary => "preliminary",
        ReportStatus::Final => "final",
        ReportStatus::Amended => "amended",
        ReportStatus::Canceled => "canceled",
    };
    let (study, order, version) = (now.study.clone(), now.placer.clone(), now.version);
    Event { kind: EventKind::Result, id, study, state: state.to_owned(), order, version }
}

fn of_merge(id: String, before: Option<&Merge>, now: &Merge) -> Option<Event> {
    let kind = match (before, now.undone.is_some()) {
        (None, false) => EventKind::Merged,
        (Some(before), true) if before.undone.is_none() => EventKind::Unmerged,
        _ => return None,
    };
    Some(Event { kind, id, study: None, state: String::new(), order: String::new(), version: 0 })
}

/// What is new of a patient. Whose number is given up, or given back, by the same change is told by the merge.
fn of_patient(changed: &Changed, merges: &[Changed]) -> Option<Event> {
    let ChartBody::Patient(now) = &changed.now else { return None };
    let by = |fits: &dyn Fn(&Merge) -> bool| {
        merges.iter().any(|one| matches!(&one.now, ChartBody::Merge(merge) if fits(merge)))
    };
    if by(&|merge| merge.former == changed.id) {
        return None;
    }
    let state = match &changed.before {
        Some(ChartBody::Patient(before)) if said(before) == said(now) => return None,
        Some(_) => "changed",
        None if by(&|merge| is_moved(merge, now)) => "moved",
        None => "new",
    };
    let (kind, id, state) = (EventKind::Patient, changed.id.clone(), state.to_owned());
    Some(Event { kind, id, study: None, state, order: String::new(), version: 0 })
}

/// What is said of a patient, without what the archive makes of it.
fn said(patient: &Patient) -> Patient {
    Patient { records: Vec::new(), remarks: Vec::new(), changed: 0, ..patient.clone() }
}

/// Whether a patient is that of the number that was given up, under another number.
fn is_moved(merge: &Merge, now: &Patient) -> bool {
    let former = Patient { mrn: now.mrn.clone(), ..said(&merge.before) };
    merge.survivor == now.mrn && merge.before.changed > 0 && former == said(now)
}

fn of_match(id: String, before: Option<&Match>, now: &Match) -> Vec<Event> {
    let of = |kind: EventKind, state: &str, order: &str| Event {
        kind,
        id: id.clone(),
        study: Some(now.study.clone()),
        state: state.to_owned(),
        order: order.to_owned(),
        version: 0,
    };
    let before = before.filter(|before| before.complete);
    let mut events = Vec::new();
    // Whoever was told that an order has images hears it when it has them no longer, also while more are coming.
    if let Some(before) = before
        && before.verdict == Verdict::Matched
        && (now.verdict != Verdict::Matched || before.placer != now.placer)
    {
        events.push(of(EventKind::StudyChanged, WITHDRAWN, &before.placer));
    }
    let name = now.verdict.name();
    match before {
        _ if !now.complete => {}
        None => events.push(of(EventKind::StudyAvailable, name, &now.placer)),
        Some(before) if differs(before, now) || now.moved > before.moved => {
            events.push(of(EventKind::StudyChanged, name, &now.placer))
        }
        Some(_) => {}
    }
    events
}

/// Whether somebody who was told of a study has to be told anew.
fn differs(before: &Match, now: &Match) -> bool {
    (before.verdict, &before.placer, &before.mrn, &before.of_study, &before.accession)
        != (now.verdict, &now.placer, &now.mrn, &now.of_study, &now.accession)
}
