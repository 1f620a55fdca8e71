//! What is told to whom: recorded with its cause, in order, once, and whoever does not answer holds up nobody.

use super::matching::{Hospital, Image, hospital, with_accession};
use super::orders::{asks_for, new, update};
use super::{Bench, HOME, merge, other, patient};
use crate::charts::outbox::dispatch::{Courier, Couriers, Outcome, Parcel, PostOffice};
use crate::charts::outbox::{Changes, DeliveryFilter};
use crate::charts::writing::{Whose, Writing};
use crate::charts::{ChartError, Charts};
use crate::retain::{Correcting, MoveTo, Moving};
use crate::tests::until;
use model::attribute::key;
use model::chart::{
    ChartBody, ChartKind, Delivery, DeliveryState, EventKind, OrderAction, Secret, Subscription, Target, Verdict,
};
use model::correction::Why;
use model::retention::moved::MoveReason;
use model::retention::{Person, StudyRef};
use model::{Attributes, Caller};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn wants(name: &str, events: &[EventKind]) -> Subscription {
    Subscription {
        name: name.into(),
        target: Target::Webhook {
            url: format!("https://{name}.example/hook"),
            secret: Secret("0123456789abcdef".into()),
        },
        events: events.iter().copied().collect(),
        paused: false,
        criteria: String::new(),
        by: "test".into(),
        at: 0,
    }
}

pub(super) fn all(charts: &Charts, filter: &DeliveryFilter) -> Vec<Delivery> {
    let page = charts.deliveries(&Caller::operator(), filter, None, 500).expect("answers");
    assert_eq!(page.cursor, None);
    let of = |body| match body {
        ChartBody::Delivery(one) => *one,
        other => panic!("{other:?}"),
    };
    page.rows.into_iter().map(|row| of(row.body)).collect()
}

pub(super) fn what(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| format!("{} {} {}", one.event.kind.name(), one.event.id, one.event.state)).collect()
}

fn feed(charts: &Charts, caller: &Caller, after: Option<u64>) -> Changes {
    charts.changes(caller, after, 100).expect("answers")
}

#[test]
fn what_happens_is_recorded_once_with_its_cause_in_order_and_outlives_kill_and_lost_index() {
    let mut bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Lê Ân")]);
    let id = bench.charts().subscribe(&Caller::operator(), HOME, wants("his", &[])).expect("subscribed");
    let orders = wants("orders", &[EventKind::Order]);
    bench.charts().subscribe(&Caller::operator(), HOME, orders).expect("subscribed");
    bench.charts().subscribe(&Caller::operator(), other(), wants("elsewhere", &[])).expect("subscribed");
    bench.says(new("P1"));
    bench.says(new("P1"));
    bench.done("m", vec![merge("1", "2")]);
    bench.says(update(OrderAction::Cancel, "P1"));
    let (merged, ..) = bench.merges().remove(0);
    bench.charts().unmerge(&Caller::operator(), HOME, &merged, "Lân").expect("undone");
    let expected = [
        "order P1 scheduled".to_owned(),
        format!("merged {merged} "),
        "order P1 canceled".to_owned(),
        format!("unmerged {merged} "),
    ];
    let of = |id: &str| DeliveryFilter { subscription: Some(id.into()), ..DeliveryFilter::default() };
    for round in 0..3 {
        let waiting = all(bench.charts(), &of(&id));
        assert_eq!(what(&waiting), expected, "round {round}");
        assert!(waiting.iter().all(|one| one.state == DeliveryState::Waiting));
        assert!(waiting.is_sorted_by_key(|one| one.seq));
        let states = bench.charts().outbox(&Caller::operator());
        let counts: BTreeMap<_, _> = states.iter().map(|one| (one.name.as_str(), one.waiting)).collect();
        assert_eq!(counts, BTreeMap::from([("elsewhere", 0), ("his", 4), ("orders", 2)]));
        if round == 0 { bench.restart() } else { bench.lose_index() }
    }
    // The same as a feed, from any place on, and for whom it is.
    let whole = feed(bench.charts(), &Caller::operator(), None);
    let lines: Vec<Delivery> = whole.events.iter().map(|(_, one)| one.clone()).collect();
    assert_eq!(what(&lines), expected);
    let rest = feed(bench.charts(), &Caller::operator(), Some(lines[1].seq));
    assert_eq!(rest.events, whole.events[2..]);
    assert_eq!(feed(bench.charts(), &Caller::operator(), Some(rest.cursor)).events, []);
    let elsewhere = Caller { facilities: Some(BTreeSet::from([other()])), ..Caller::operator() };
    assert_eq!(feed(bench.charts(), &elsewhere, None).events, []);
    // Numbers go on, be the clock set back.
    bench.clock.0.fetch_sub(3_600_000, std::sync::atomic::Ordering::SeqCst);
    bench.lose_index();
    bench.says(new("P2"));
    let later = feed(bench.charts(), &Caller::operator(), Some(rest.cursor));
    assert_eq!(later.events.len(), 1, "a change that nobody is told of");
}

#[test]
fn a_change_that_is_refused_or_waits_tells_nobody() {
    let bench = Bench::new();
    bench.charts().subscribe(&Caller::operator(), HOME, wants("his", &[])).expect("subscribed");
    bench.says(new("P1"));
    assert!(
        feed(bench.charts(), &Caller::operator(), None).events.is_empty(),
        "an order of a patient that has not come"
    );
    bench.done("p", vec![patient("1", "Lê An")]);
    bench.turn(super::MINUTE);
    assert_eq!(bench.charts().try_parked(), 1);
    assert_eq!(feed(bench.charts(), &Caller::operator(), None).events.len(), 1, "what waited was done");
}

#[test]
fn subscriptions_are_of_whoever_may_see_their_facility_and_show_no_secret() {
    let bench = Bench::new();
    let charts = bench.charts();
    assert_eq!(charts.subscribe(&Caller::demo(), other(), wants("x", &[])), Err(ChartError::Unknown("facility")));
    let bad = Subscription { target: Target::Hl7 { receiver: String::new() }, ..wants("x", &[]) };
    assert!(matches!(charts.subscribe(&Caller::demo(), HOME, bad), Err(ChartError::Invalid(_))));
    let id = charts.subscribe(&Caller::operator(), other(), wants("x", &[])).expect("subscribed");
    assert!(charts.subscriptions(&Caller::demo(), None, 10).expect("answers").rows.is_empty());
    let shown = charts.subscriptions(&Caller::operator(), None, 10).expect("answers").rows;
    let text = serde_json::to_string(&shown[0].body).expect("text");
    assert!(text.contains("x.example") && !text.contains("0123456789abcdef"), "{text}");
    let unknown = Err(ChartError::Unknown("subscription"));
    assert_eq!(charts.pause_subscription(&Caller::demo(), other(), &id, true), unknown);
    assert_eq!(charts.unsubscribe(&Caller::demo(), other(), &id, "demo"), unknown);
    charts.unsubscribe(&Caller::operator(), other(), &id, "operator").expect("removed");
    assert!(charts.subscriptions(&Caller::operator(), None, 10).expect("answers").rows.is_empty());
}

#[test]
fn what_waits_for_a_subscription_that_is_removed_is_dead_and_stays_so() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    let charts = bench.charts();
    let id = charts.subscribe(&Caller::operator(), HOME, wants("his", &[])).expect("subscribed");
    bench.says(new("P1"));
    charts.unsubscribe(&Caller::operator(), HOME, &id, "operator").expect("removed");
    let dead = all(charts, &DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() });
    assert_eq!(what(&dead), ["order P1 scheduled"]);
    assert_eq!(charts.retry_deliveries(&Caller::operator(), &DeliveryFilter::default()), Ok(0));
}

#[test]
fn what_comes_to_wait_while_its_subscription_is_removed_waits_no_more_also_after_a_kill() {
    let mut bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    let subscribed =
        |bench: &Bench| bench.charts().subscribe(&Caller::operator(), HOME, wants("his", &[])).expect("subscribed");
    // An order that comes between the last look at what waits and the removal.
    let id = subscribed(&bench);
    bench.says(new("P1"));
    bench.charts().write(HOME, |writing| writing.remove(ChartKind::Subscription, &id)).expect("removed");
    let (waiting, dead) = (
        DeliveryFilter { state: Some(DeliveryState::Waiting), ..DeliveryFilter::default() },
        DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() },
    );
    assert_eq!(what(&all(bench.charts(), &waiting)), ["order P1 scheduled"], "as it was left before");
    bench.restart();
    assert_eq!(bench.charts().bury_orphans(), Ok(1));
    // One that comes when the removal is recorded, and not in the view yet.
    let id = subscribed(&bench);
    {
        let charts = bench.charts();
        let _change = charts.change.lock();
        let mut writing = Writing::begin(charts, HOME);
        writing.remove(ChartKind::Subscription, &id).expect("removed");
        charts.record(HOME, writing.parts().expect("parts"), Whose::Senders).expect("recorded");
    }
    bench.says(new("P2"));
    assert_eq!(bench.charts().bury_orphans(), Ok(1));
    assert_eq!(all(bench.charts(), &waiting), []);
    assert_eq!(what(&all(bench.charts(), &dead)), ["order P1 scheduled", "order P2 scheduled"]);
    assert_eq!(bench.charts().bury_orphans(), Ok(0));
}

/// A receiver as a test has it: what it says to each try, and what it took.
#[derive(Default)]
pub(super) struct Fake {
    state: Mutex<Told>,
    moved: Condvar,
}

#[derive(Default)]
struct Told {
    /// What is said to a subscription, by its name; else all is taken.
    says: BTreeMap<String, Outcome>,
    /// Those who never answer.
    silent: BTreeSet<String>,
    taken: Vec<(String, String)>,
    tries: u32,
    stopped: bool,
}

struct Handle(Arc<Fake>);

impl Courier for Handle {
    fn bring(&self, parcel: &Parcel) -> Outcome {
        let name = parcel.subscription.name.clone();
        let mut state = self.0.state.lock();
        while state.silent.contains(&name) {
            if state.stopped {
                return Outcome::Interrupted;
            }
            self.0.moved.wait(&mut state);
        }
        state.tries += 1;
        let id = parcel.delivery.event.id.clone();
        let outcome = state.says.get(&format!("{name} {id}")).or_else(|| state.says.get(&name)).cloned();
        let outcome = outcome.unwrap_or(Outcome::Done);
        if outcome == Outcome::Done {
            state.taken.push((name, id));
        }
        outcome
    }

    fn stop(&self) {
        self.0.state.lock().stopped = true;
        self.0.moved.notify_all();
    }
}

impl Fake {
    pub(super) fn begin(self: &Arc<Self>, bench: &crate::tests::Bench) -> PostOffice {
        self.state.lock().stopped = false;
        let couriers = Couriers { hl7: None, http: Box::new(Handle(Arc::clone(self))) };
        PostOffice::start(&bench.archive, couriers).expect("started")
    }

    pub(super) fn taken(&self, name: &str) -> Vec<String> {
        self.state.lock().taken.iter().filter(|(of, _)| of == name).map(|(_, id)| id.clone()).collect()
    }

    fn say(&self, whom: &str, outcome: Option<Outcome>) {
        let says = &mut self.state.lock().says;
        match outcome {
            Some(outcome) => drop(says.insert(whom.to_owned(), outcome)),
            None => drop(says.remove(whom)),
        }
    }
}

pub(super) fn archive() -> crate::tests::Bench {
    let bench = crate::tests::Bench::with(|options| {
        options.charts.outbox.pause = Duration::from_millis(1);
        options.charts.outbox.pause_max = Duration::from_millis(2);
        options.charts.outbox.attempts = 3;
        options.charts.outbox.deliveries = 2;
    });
    bench.says("p", vec![patient("1", "Lê An")]);
    bench
}

fn subscribe(bench: &crate::tests::Bench, name: &str) -> String {
    bench.archive.charts().subscribe(&Caller::operator(), HOME, wants(name, &[])).expect("subscribed")
}

pub(super) const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_receiver_that_is_down_gets_everything_in_order_when_it_is_up_again_also_after_a_restart() {
    let bench = archive();
    subscribe(&bench, "his");
    let fake = Arc::new(Fake::default());
    fake.say("his", Some(Outcome::Down("down, on purpose".into())));
    let office = fake.begin(&bench);
    let placers: Vec<String> = (0..80).map(|number| format!("P{number}")).collect();
    for placer in &placers {
        bench.says(placer, asks_for(new(placer)));
    }
    until("it was tried in vain", || fake.state.lock().tries > 2);
    assert!(office.shutdown(LIMIT));
    assert_eq!(fake.taken("his"), [""; 0]);
    let bench = bench.reopen_with(|options| options.charts.outbox.pause_max = Duration::from_millis(2));
    fake.say("his", None);
    let office = fake.begin(&bench);
    until("it was told everything", || fake.taken("his").len() >= placers.len());
    until("that is recorded", || bench.archive.charts().outbox(&Caller::operator())[0].waiting == 0);
    assert!(office.shutdown(LIMIT));
    assert_eq!(fake.taken("his"), placers);
    let waiting = DeliveryFilter { state: Some(DeliveryState::Delivered), ..DeliveryFilter::default() };
    assert_eq!(all(bench.archive.charts(), &waiting).len(), placers.len());
}

#[test]
fn what_is_refused_is_dead_stops_nobody_and_can_be_tried_again() {
    let bench = archive();
    subscribe(&bench, "his");
    let fake = Arc::new(Fake::default());
    fake.say("his P1", Some(Outcome::Refused("no, on purpose".into())));
    fake.say("his P2", Some(Outcome::Failed("a fault, on purpose".into())));
    let office = fake.begin(&bench);
    for placer in ["P1", "P2", "P3"] {
        bench.says(placer, asks_for(new(placer)));
    }
    until("the last is taken", || fake.taken("his") == ["P3"]);
    let charts = bench.archive.charts();
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
    let found = all(charts, &dead);
    let seen: Vec<_> = found.iter().map(|one| (one.event.id.as_str(), one.tries, one.error.as_str())).collect();
    assert_eq!(seen, [("P1", 1, "no, on purpose"), ("P2", 3, "a fault, on purpose")]);
    assert_eq!(charts.outbox(&Caller::operator())[0].dead, 2);
    fake.say("his P1", None);
    fake.say("his P2", None);
    assert_eq!(charts.retry_deliveries(&Caller::demo(), &dead), Ok(2));
    until("all is taken", || fake.taken("his") == ["P3", "P1", "P2"]);
    until("nothing is dead", || charts.outbox(&Caller::operator())[0].dead == 0);
    assert!(office.shutdown(LIMIT));
}

#[test]
fn whoever_never_answers_holds_up_no_other_and_a_pause_holds_up_itself() {
    let bench = archive();
    let fake = Arc::new(Fake::default());
    subscribe(&bench, "silent");
    let paused = subscribe(&bench, "paused");
    subscribe(&bench, "his");
    fake.state.lock().silent.insert("silent".into());
    let charts = bench.archive.charts();
    charts.pause_subscription(&Caller::operator(), HOME, &paused, true).expect("paused");
    let office = fake.begin(&bench);
    for placer in ["P1", "P2", "P3"] {
        bench.says(placer, asks_for(new(placer)));
    }
    until("one is told", || fake.taken("his") == ["P1", "P2", "P3"]);
    assert_eq!((fake.taken("silent").len(), fake.taken("paused").len()), (0, 0));
    charts.pause_subscription(&Caller::operator(), HOME, &paused, false).expect("resumed");
    until("another is told", || fake.taken("paused") == ["P1", "P2", "P3"]);
    assert!(office.shutdown(LIMIT), "a silent receiver keeps the archive from ending");
}

#[test]
fn a_study_is_told_when_it_is_complete_with_or_without_orders_and_when_it_is_taken_away() {
    let bench = hospital(with_accession("P1", "A1"));
    let events = [EventKind::StudyAvailable, EventKind::StudyChanged];
    bench.archive.charts().subscribe(&Caller::operator(), HOME, wants("his", &events)).expect("subscribed");
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    let told = || what(&all(bench.archive.charts(), &DeliveryFilter::default()));
    until("it is told", || told() == ["study-available 1.2.3 matched"]);
    let study = crate::tests::uid("1.2.3");
    bench.archive.unmatch_study(HOME, &study, "Lân").expect("unmatched");
    let expected = ["study-available 1.2.3 matched", "study-changed 1.2.3 withdrawn", "study-changed 1.2.3 unmatched"];
    assert_eq!(told(), expected);
    let orders: Vec<String> =
        all(bench.archive.charts(), &DeliveryFilter::default()).into_iter().map(|one| one.event.order).collect();
    assert_eq!(orders, ["P1", "P1", ""]);
}

#[test]
fn a_correction_of_the_accession_number_alone_is_told_also_where_a_person_decided_and_when_it_is_taken_back() {
    let bench = hospital(with_accession("P1", "A1"));
    let events = [EventKind::StudyAvailable, EventKind::StudyChanged];
    bench.archive.charts().subscribe(&Caller::operator(), HOME, wants("his", &events)).expect("subscribed");
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    let told = || what(&all(bench.archive.charts(), &DeliveryFilter::default()));
    let mut expected = vec!["study-available 1.2.3 matched"];
    until("it is told", || told() == expected);
    let by = Person::parse("lan").expect("a person");
    let study = StudyRef { facility: HOME, study: crate::tests::uid("1.2.3"), patient: 0 };
    let corrected = |accession: &str| {
        let wanted = Correcting {
            study: study.clone(),
            set: Attributes::from([(key::ACCESSION_NUMBER, accession.to_owned())]),
            clear: Vec::new(),
            why: Why::Correct,
            by: by.clone(),
            reason: "typed wrongly".into(),
        };
        bench.archive.correct_study(&wanted).expect("corrected");
    };
    corrected("A9");
    expected.push("study-changed 1.2.3 matched");
    until("the correction is told", || told() == expected);
    assert_eq!(bench.judged("1.2.3").and_then(|one| one.accession).as_deref(), Some("A9"));
    bench.archive.match_study(HOME, &study.study, "P1", "lan").expect("matched");
    corrected("A8");
    expected.push("study-changed 1.2.3 matched");
    until("that of a decided study, too", || told() == expected);
    let back = bench.archive.taking_back(&study, by.clone(), "it was right".into()).expect("a correction");
    bench.archive.correct_study(&back).expect("taken back");
    expected.push("study-changed 1.2.3 matched");
    until("and that it was taken back", || told() == expected);
}

#[test]
fn whoever_was_told_of_a_study_hears_that_its_series_stand_in_another_one_and_that_they_are_back() {
    let bench = hospital(with_accession("P1", "A1"));
    let events = [EventKind::StudyAvailable, EventKind::StudyChanged];
    bench.archive.charts().subscribe(&Caller::operator(), HOME, wants("his", &events)).expect("subscribed");
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    let told = || what(&all(bench.archive.charts(), &DeliveryFilter::default()));
    let hears = |count: usize, text: &str| {
        until(text, || told().iter().filter(|one| *one == text).count() >= count);
    };
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.send(&Image { study: "1.2.4", sop: "1.2.4.1.1", ..Image::default() }).expect("stored");
    hears(1, "study-available 1.2.3 matched");
    hears(1, "study-available 1.2.4 unmatched");
    let of = |name: &str| StudyRef { facility: HOME, study: crate::tests::uid(name), patient: 0 };
    let (by, why) = (Person::parse("Lân").expect("a person"), MoveReason::Merge);
    let merge = Moving { study: of("1.2.3"), series: Vec::new(), to: MoveTo::Study(of("1.2.4")), why, by };
    bench.archive.move_series(&merge).expect("merged");
    hears(1, "study-changed 1.2.4 unmatched");
    hears(1, "study-changed 1.2.3 withdrawn");
    hears(1, "study-changed 1.2.3 unmatched");
    assert!(bench.order("P1").images.is_none(), "an order without images says that it has some");
    bench.archive.move_series(&Moving { study: of("1.2.4"), to: MoveTo::Home, ..merge }).expect("taken back");
    hears(2, "study-changed 1.2.4 unmatched");
    hears(1, "study-changed 1.2.3 matched");
    assert!(bench.order("P1").images.is_some());
}

#[test]
fn an_order_has_no_images_when_they_all_went_to_another_study_also_where_a_person_matched_them() {
    let bench = hospital(with_accession("P1", "A1"));
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.send(&Image { study: "1.2.4", sop: "1.2.4.1.1", ..Image::default() }).expect("stored");
    let of = |name: &str| StudyRef { facility: HOME, study: crate::tests::uid(name), patient: 0 };
    bench.until_judged("1.2.3", Verdict::Matched);
    bench.archive.match_study(HOME, &of("1.2.3").study, "P1", "lan").expect("matched");
    assert!(bench.order("P1").images.is_some());
    let (by, why) = (Person::parse("Lân").expect("a person"), MoveReason::Merge);
    let merge = Moving { study: of("1.2.3"), series: Vec::new(), to: MoveTo::Study(of("1.2.4")), why, by };
    bench.archive.move_series(&merge).expect("merged");
    until("the order has none", || bench.order("P1").images.is_none());
    assert_eq!(bench.judged("1.2.3").map(|one| one.verdict), Some(Verdict::Unmatched));
}

#[test]
fn a_facility_without_orders_is_told_of_studies_once_somebody_asks_to_be() {
    let bench = crate::tests::Bench::with(|options| options.quiet_after = Duration::from_millis(1));
    bench.archive.charts().subscribe(&Caller::operator(), HOME, wants("his", &[])).expect("subscribed");
    bench.send(&Image::default()).expect("stored");
    let told = || what(&all(bench.archive.charts(), &DeliveryFilter::default()));
    until("it is told", || told() == ["study-available 1.2.3 unmatched"]);
}

#[test]
fn what_was_delivered_goes_when_messages_go_and_a_place_before_that_is_said_to_be_gone() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    bench.charts().subscribe(&Caller::operator(), HOME, wants("his", &[])).expect("subscribed");
    bench.says(new("P1"));
    let first = feed(bench.charts(), &Caller::operator(), None).events[0].1.seq;
    bench.turn(91 * super::DAY);
    bench.says(new("P2"));
    bench.charts().sweep().expect("swept");
    let lines = feed(bench.charts(), &Caller::operator(), None).events;
    assert_eq!(lines.iter().map(|(_, one)| one.event.id.as_str()).collect::<Vec<_>>(), ["P2"]);
    let gone = bench.charts().changes(&Caller::operator(), Some(first), 10);
    assert!(matches!(gone, Err(ChartError::Conflict(_))), "{gone:?}");
    // What was not delivered stays.
    assert_eq!(what(&all(bench.charts(), &DeliveryFilter::default())).len(), 2);
}

#[test]
fn a_place_given_before_anything_happened_holds() {
    let bench = Bench::new();
    let nothing = feed(bench.charts(), &Caller::operator(), None);
    assert!(nothing.events.is_empty() && !nothing.more);
    let again = bench.charts().changes(&Caller::operator(), Some(nothing.cursor), 10).expect("the place holds");
    assert!(again.events.is_empty());
    bench.done("p", vec![patient("1", "Lê An")]);
    bench.says(new("P1"));
    let then = feed(bench.charts(), &Caller::operator(), Some(again.cursor)).events;
    assert_eq!(then.first().map(|(_, one)| one.event.id.as_str()), Some("P1"));
}
