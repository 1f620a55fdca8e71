//! When what happened to an order, and how long many of them took.

use super::completeness::begins;
use super::matching::{Hospital, Image, hospital, with_accession};
use super::orders::asks_for;
use super::*;
use crate::charts::outbox::dispatch::{Courier, Couriers, Outcome, Parcel, PostOffice};
use crate::charts::{Days, Measured, Stage, StageLine, Turnaround, TurnaroundQuery};
use crate::tests::{uid, until};
use index::StudyKey;
use model::chart::{
    Content, EventKind, Order, OrderState, Report, ReportStatus, Secret, Step, Subscription, Target, Verdict,
};
use model::date::Date;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Three in the afternoon of 15 January 2027, by the facilities' clock.
const NOW: u64 = 1_800_000_000_000;

/// A receiver that takes everything.
struct Takes;

impl Courier for Takes {
    fn bring(&self, _: &Parcel) -> Outcome {
        Outcome::Done
    }

    fn stop(&self) {}
}

fn told() -> Subscription {
    Subscription {
        name: "his".into(),
        target: Target::Webhook { url: "https://his.example/hook".into(), secret: Secret("0123456789abcdef".into()) },
        events: BTreeSet::from([EventKind::StudyAvailable, EventKind::Result]),
        paused: false,
        criteria: String::new(),
        by: "test".into(),
        at: 0,
    }
}

fn result(status: ReportStatus, at: u64) -> Vec<Change> {
    vec![Change::Report(Box::new(Report {
        number: "K1".into(),
        mrn: "1".into(),
        visit: String::new(),
        placer: "P1".into(),
        accession: String::new(),
        study: None,
        discipline: "imaging".into(),
        title: "CT".into(),
        author: String::new(),
        status,
        version: 1,
        contents: vec![Content::Text { heading: String::new(), text: format!("{status:?}") }],
        at,
    }))]
}

#[test]
fn an_order_says_when_it_was_begun_answered_told_of_and_looked_at() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.says("o2", asks_for(with_accession("P2", "A2")));
    begins(bench.archive.charts(), "1.9.1", "000100");
    bench.archive.charts().subscribe(&Caller::operator(), HOME, told()).expect("subscribed");
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    let (archive, charts) = (&bench.archive, bench.archive.charts());
    let office = PostOffice::start(archive, Couriers { hl7: None, http: Box::new(Takes) }).expect("started");
    until("somebody is told of the images", || bench.order("P1").course.announced.is_some());
    bench.says("r1", result(ReportStatus::Preliminary, 1));
    assert_eq!(bench.order("P1").course.result, None, "a preliminary result is none yet");
    // A sender whose clock is far ahead made it now at the latest.
    bench.says("r2", result(ReportStatus::Final, u64::MAX / 2));
    until("somebody is told of the result", || bench.order("P1").course.delivered.is_some());
    bench.says("r3", result(ReportStatus::Amended, 5));
    let (facility, study) = (HOME, uid("1.2.3"));
    let key = StudyKey { facility, study: study.clone(), patient: 0 };
    charts.note_opened(&key);
    until("that it was opened is recorded", || bench.order("P1").course.opened.is_some());
    charts.note_opened(&key);
    let order = bench.order("P1");
    let course = order.course;
    let opened = bench.judged("1.2.3").expect("judged").opened;
    assert_eq!(course.opened, opened);
    assert!(course.started.is_some_and(|started| started <= archive.now_ms()), "{course:?}");
    assert!(course.announced <= course.result && course.result <= course.delivered, "{course:?}");
    assert!(course.delivered <= course.opened && course.opened <= Some(archive.now_ms()), "{course:?}");
    // What belongs to the study goes with it, and comes back.
    archive.unmatch_study(HOME, &study, "Lân").expect("unmatched");
    let without = bench.order("P1").course;
    assert_eq!((without.announced, without.opened), (None, None));
    assert_eq!((without.started, without.result, without.delivered), (course.started, course.result, course.delivered));
    archive.undo_match(HOME, &study, "Lân").expect("undone");
    assert_eq!(bench.order("P1"), order);
    archive.match_study(HOME, &study, "P2", "Lân").expect("matched");
    assert_eq!((bench.order("P2").course.opened, bench.order("P1").course.opened), (opened, None));
    assert!(office.shutdown(Duration::from_secs(60)));
}

#[test]
fn what_is_told_late_of_a_study_that_went_is_not_said_of_its_order() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.archive.charts().subscribe(&Caller::operator(), HOME, told()).expect("subscribed");
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    until("its images are complete", || bench.order("P1").complete.is_some());
    let (archive, charts, study) = (&bench.archive, bench.archive.charts(), uid("1.2.3"));
    let order = bench.order("P1");
    archive.unmatch_study(HOME, &study, "Lân").expect("unmatched");
    let office = PostOffice::start(archive, Couriers { hl7: None, http: Box::new(Takes) }).expect("started");
    until("everything is told", || charts.outbox(&Caller::operator()).iter().all(|lane| lane.waiting == 0));
    assert!(office.shutdown(Duration::from_secs(60)));
    assert_eq!(bench.order("P1").course.announced, None);
    archive.undo_match(HOME, &study, "Lân").expect("undone");
    assert_eq!(bench.order("P1"), order);
}

#[test]
fn the_first_look_at_a_study_that_is_not_known_yet_is_recorded_when_it_is() {
    let bench = hospital(with_accession("P1", "A1"));
    let key = StudyKey { facility: HOME, study: uid("1.2.3"), patient: 0 };
    bench.archive.charts().note_opened(&key);
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    until("that it was opened is recorded", || bench.order("P1").course.opened.is_some());
    let order = bench.order("P1");
    assert!(order.course.opened <= order.images, "{order:?}");
}

/// An order of a modality that was to begin at a moment.
fn order(placer: &str, modality: &str, start: u64) -> Order {
    let least =
        json!({"placer": placer, "mrn": "1", "accession": placer, "study": "1.2.3", "placed": start - 60 * MINUTE});
    let step = Step { id: placer.into(), modality: modality.into(), start, ..Step::default() };
    Order { steps: vec![step], ..serde_json::from_value(least).expect("an order") }
}

/// One that began so many minutes late, was complete after as many, and answered ten times as many later.
fn lasting(placer: &str, modality: &str, start: u64, minutes: u64) -> Order {
    let mut order = order(placer, modality, start);
    let started = start + minutes * MINUTE;
    let complete = started + minutes * MINUTE;
    (order.course.started, order.complete) = (Some(started), Some(complete));
    order.course.result = Some(complete + 10 * minutes * MINUTE);
    order
}

fn put(bench: &Bench, facility: FacilityCode, order: Order) {
    let (id, body) = (order.placer.clone(), ChartBody::Order(Box::new(order)));
    bench.charts().write(facility, |writing| writing.put(&id, body)).expect("put");
}

fn days(from: &str, to: &str) -> Days {
    let day = |text| Date::parse(text).expect("a day");
    Days::new(day(from), day(to)).expect("days")
}

fn stage<'a>(found: &'a Turnaround, modality: &str, stage: Stage) -> &'a StageLine {
    let line = found.lines.iter().find(|line| line.modality == modality).expect("a line");
    line.stages.iter().find(|one| one.stage == stage).expect("a stage")
}

fn asked(limit: usize) -> TurnaroundQuery {
    let baseline = Some(Days::month("2026-12").expect("a month"));
    TurnaroundQuery { facility: None, days: days("2027-01-15", "2027-01-15"), baseline, after: None, limit }
}

#[test]
fn orders_are_measured_by_modality_beside_another_month_and_wrong_clocks_are_counted_apart() {
    let bench = Bench::new();
    for minutes in 1..=10 {
        put(&bench, HOME, lasting(&format!("CT{minutes}"), "CT", NOW, minutes));
    }
    put(&bench, HOME, lasting("MR1", "MR", NOW, 60));
    for number in 0..4 {
        put(&bench, HOME, lasting(&format!("B{number}"), "CT", NOW - 31 * DAY, 10));
    }
    // The result was made before the images were there, by the clock of who made it.
    let mut early = lasting("CT11", "CT", NOW, 5);
    early.course.result = early.complete.map(|complete| complete - 1);
    put(&bench, HOME, early);
    put(&bench, HOME, Order { state: OrderState::Canceled, ..lasting("CT12", "CT", NOW, 500) });
    // The first and last moment of the day count, what lies beside it does not.
    let midnight = NOW - 15 * 60 * MINUTE;
    for (placer, start) in [("X1", midnight), ("X2", midnight + DAY - 1), ("X3", midnight - 1), ("X4", midnight + DAY)]
    {
        put(&bench, HOME, order(placer, "dx", start));
    }
    let found = bench.charts().turnaround(&BTreeSet::from([HOME]), &asked(100)).expect("answers");
    let shown: Vec<_> = found.lines.iter().map(|line| (line.modality.as_str(), line.orders, line.taken_back)).collect();
    assert_eq!(shown, [("all", 14, 1), ("CT", 11, 1), ("DX", 2, 0), ("MR", 1, 0)]);
    assert_eq!(found.lines[1].orders_before, Some(4));
    let started = stage(&found, "CT", Stage::ScheduledStarted);
    assert_eq!(started.now, Measured { count: 11, early: 0, median: Some(300), p90: Some(540) });
    assert_eq!(started.before, Some(Measured { count: 4, early: 0, median: Some(600), p90: Some(600) }));
    let change = started.change.expect("both have orders");
    assert_eq!((change.median, change.median_percent, change.p90_percent), (-300, Some(-50), Some(-10)));
    let answered = stage(&found, "CT", Stage::CompleteResult).now;
    assert_eq!(answered, Measured { count: 10, early: 1, median: Some(3_000), p90: Some(5_400) });
    assert_eq!(stage(&found, "all", Stage::CompleteResult).now.count, 11);
    assert_eq!(stage(&found, "MR", Stage::StartedComplete).now.median, Some(3_600));
    assert_eq!(stage(&found, "MR", Stage::StartedComplete).change, None);
    assert_eq!(stage(&found, "DX", Stage::OrderScheduled).now.median, Some(3_600));
    // Without MPPS the first image is the beginning.
    let imaged = Order { images: Some(NOW + 2 * MINUTE), ..order("US1", "US", NOW) };
    put(&bench, HOME, imaged);
    let found = bench.charts().turnaround(&BTreeSet::from([HOME]), &asked(100)).expect("answers");
    assert_eq!(stage(&found, "US", Stage::ScheduledStarted).now.median, Some(120));
    let text = serde_json::to_string(&found).expect("text");
    assert_eq!(serde_json::from_str::<Turnaround>(&text).expect("read"), found);
    assert!(!text.contains("mrn") && !text.contains("CT11"), "no order is named");
}

#[test]
fn a_page_ends_with_a_facility_and_the_next_goes_on_behind_it() {
    let bench = Bench::new();
    put(&bench, HOME, lasting("P1", "CT", NOW, 1));
    put(&bench, other(), lasting("P1", "MR", NOW, 1));
    let (facilities, mut query) = (BTreeSet::from([HOME, other()]), asked(1));
    let first = bench.charts().turnaround(&facilities, &query).expect("answers");
    assert_eq!(first.next, Some(other()));
    assert!(first.lines.iter().all(|line| line.facility == other()) && first.lines.len() == 2);
    query.after = first.next;
    let second = bench.charts().turnaround(&facilities, &query).expect("answers");
    assert_eq!((second.next, second.lines.len()), (None, 2));
    assert!(second.lines.iter().all(|line| line.facility == HOME));
    assert_eq!(bench.charts().turnaround(&BTreeSet::new(), &query).expect("answers").lines, []);
}
