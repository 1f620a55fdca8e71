//! The engine over a real journal: states, locks, subscriptions, restarts and the limits of memory.

mod sealed;

use super::matching::Keys;
use super::{
    Channel, Document, EVENTS_MAX, EventKind, FILTERED, GLOBAL, KEPT_MS, Remark, StepState, Subscription, Turn, Ups,
    UpsError,
};
use crate::Options;
use crate::clock::Clock;
use crate::tier::KeyRing;
use model::{AeTitle, Caller, FacilityCode, Uid};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// A clock that stands until it is turned.
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Bench {
    folder: TempDir,
    clock: Arc<Hands>,
    ups: Option<Arc<Ups>>,
}

const HOME: FacilityCode = FacilityCode::DEMO;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("a title")
}

fn document(value: Value) -> Document {
    value.as_object().expect("an object").clone()
}

fn plan(patient: &str) -> Document {
    document(json!({
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Ánh"}]},
        "00100020": {"vr": "LO", "Value": [patient]},
        "00404005": {"vr": "DT", "Value": ["20260115093000"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741200": {"vr": "CS", "Value": ["HIGH"]},
        "00741204": {"vr": "LO", "Value": ["Read the CT"]},
    }))
}

/// What a performer sets before it says COMPLETED.
fn performed() -> Document {
    let code = json!({"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["X"]}}]});
    let moment = json!({"vr": "DT", "Value": ["20260115100000"]});
    document(json!({"00741216": {"vr": "SQ", "Value": [{
        "00404019": code, "00404028": code, "00404033": {"vr": "SQ"}, "00404050": moment, "00404051": moment,
    }]}}))
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bench = Self { folder, clock: Arc::new(Hands(AtomicU64::new(1_800_000_000_000))), ups: None };
        bench.restart();
        bench
    }

    /// As after a kill: nothing is closed.
    fn restart(&mut self) {
        self.ups = None;
        let options = Options { clock: Arc::<Hands>::clone(&self.clock), ..Options::new(self.folder.path()) };
        let keys = Arc::new(KeyRing::new(&options));
        self.ups = Some(Ups::open(&options, keys).expect("opens"));
    }

    fn ups(&self) -> &Arc<Ups> {
        self.ups.as_ref().expect("open")
    }

    fn create(&self, id: &str) -> Result<Option<Remark>, UpsError> {
        self.ups().create(&Caller::demo(), HOME, Some(uid(id)), plan("P1")).map(|(_, remark)| remark)
    }

    fn state(&self, id: &str, state: StepState, transaction: &str) -> Result<Option<Remark>, UpsError> {
        self.ups().change_state(&Caller::demo(), HOME, &uid(id), state, Some(&uid(transaction)))
    }

    fn set(&self, id: &str, transaction: Option<&str>, changes: Document) -> Result<(), UpsError> {
        let transaction = transaction.map(uid);
        self.ups().update(&Caller::demo(), HOME, &uid(id), transaction.as_ref(), changes)
    }

    fn subscribe(&self, id: &str, receiver: &str, lock: bool, filter: Document) -> Result<(), UpsError> {
        let wanted = Subscription { uid: uid(id), receiver: receiver.into(), lock, filter };
        self.ups().subscribe(&Caller::demo(), HOME, wanted)
    }

    fn listen(&self, receiver: &str) -> Channel {
        self.ups().listen(HOME, &title(receiver), None)
    }

    /// Everything that waits for an AE title: step, type and state.
    fn heard(&self, receiver: &str) -> Vec<(String, EventKind, String)> {
        let channel = self.listen(receiver);
        let mut out = Vec::new();
        while let Turn::Event(event) = channel.next() {
            let state = super::rules::text(&event.info, "00741000").to_owned();
            out.push((event.uid.to_string(), event.kind, state));
            channel.taken(&event);
        }
        out
    }

    fn found(&self, keys: Value) -> usize {
        let keys = Keys::read(&document(keys)).expect("keys");
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.ups().find(&Caller::demo(), HOME, &keys, after.as_ref(), 7).expect("found");
            count += page.steps.len();
            match page.next {
                Some(next) => after = Some(next),
                None => return count,
            }
        }
    }
}

fn state_of(bench: &Bench, id: &str) -> String {
    let document = bench.ups().get(&Caller::demo(), HOME, &uid(id)).expect("there");
    assert!(!document.contains_key("00081195"), "the Transaction UID is told");
    super::rules::text(&document, "00741000").to_owned()
}

#[test]
fn a_step_is_planned_taken_done_and_outlives_a_kill_at_every_point() {
    let mut bench = Bench::new();
    assert_eq!(bench.create("1.2.1"), Ok(Some(Remark::Modified)));
    assert_eq!(bench.create("1.2.1"), Err(UpsError::Duplicate));
    bench.restart();
    assert_eq!(state_of(&bench, "1.2.1"), "SCHEDULED");
    assert_eq!(bench.state("1.2.1", StepState::Completed, "1.9"), Err(UpsError::NotInProgress));
    assert_eq!(bench.state("1.2.1", StepState::InProgress, "1.9"), Ok(None));
    bench.restart();
    assert_eq!(state_of(&bench, "1.2.1"), "IN PROGRESS");
    assert_eq!(bench.state("1.2.1", StepState::InProgress, "1.9"), Err(UpsError::InProgress));
    assert_eq!(bench.state("1.2.1", StepState::InProgress, "1.8"), Err(UpsError::Transaction));
    assert_eq!(bench.state("1.2.1", StepState::Scheduled, "1.9"), Err(UpsError::OnlyCreated));
    assert!(matches!(bench.state("1.2.1", StepState::Completed, "1.9"), Err(UpsError::FinalState(_))));
    assert_eq!(bench.set("1.2.1", None, performed()), Err(UpsError::Transaction));
    assert_eq!(bench.set("1.2.1", Some("1.8"), performed()), Err(UpsError::Transaction));
    bench.set("1.2.1", Some("1.9"), performed()).expect("set");
    bench.restart();
    assert_eq!(bench.state("1.2.1", StepState::Completed, "1.9"), Ok(None));
    bench.restart();
    assert_eq!(bench.state("1.2.1", StepState::Completed, "1.9"), Ok(Some(Remark::AlreadyCompleted)));
    assert_eq!(bench.state("1.2.1", StepState::Canceled, "1.9"), Err(UpsError::Ended));
    assert_eq!(bench.set("1.2.1", Some("1.9"), performed()), Err(UpsError::Ended));
    let cancel = bench.ups().request_cancel(&Caller::demo(), HOME, &uid("1.2.1"), "WS", Document::new());
    assert_eq!(cancel, Err(UpsError::Completed));
}

#[test]
fn a_cancel_ends_what_is_planned_and_asks_who_performs() {
    let bench = Bench::new();
    bench.create("1.2.1").expect("created");
    let cancel = |id: &str| bench.ups().request_cancel(&Caller::demo(), HOME, &uid(id), "WS", Document::new());
    assert_eq!(cancel("1.2.1"), Ok(None));
    assert_eq!(cancel("1.2.1"), Ok(Some(Remark::AlreadyCanceled)));
    assert_eq!(state_of(&bench, "1.2.1"), "CANCELED");
    assert_eq!(cancel("1.2.9"), Err(UpsError::Unknown));
    bench.create("1.2.2").expect("created");
    bench.state("1.2.2", StepState::InProgress, "1.9").expect("taken");
    assert_eq!(cancel("1.2.2"), Err(UpsError::NobodyListens));
    bench.subscribe("1.2.2", "CAD1", false, Document::new()).expect("subscribed");
    assert_eq!(cancel("1.2.2"), Ok(None));
    let kinds: Vec<EventKind> = bench.heard("CAD1").into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds, [EventKind::State, EventKind::CancelRequested]);
    assert!(matches!(bench.state("1.2.2", StepState::Canceled, "1.9"), Err(UpsError::FinalState(_))));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let bench = Bench::new();
    let create = |change: &dyn Fn(&mut Document)| {
        let mut document = plan("P1");
        change(&mut document);
        bench.ups().create(&Caller::demo(), HOME, Some(uid("1.2.1")), document).expect_err("refused")
    };
    let without = |name: &'static str| create(&move |document| drop(document.remove(name)));
    assert_eq!(without("00741204"), UpsError::Missing("ProcedureStepLabel".into()));
    let with =
        |name: &'static str, value: Value| create(&move |document| drop(document.insert(name.into(), value.clone())));
    assert_eq!(with("00741204", json!({"vr": "LO"})), UpsError::Empty("ProcedureStepLabel".into()));
    assert_eq!(with("00741000", json!({"vr": "CS", "Value": ["COMPLETED"]})), UpsError::NotScheduled);
    for (name, value) in [("00741200", "SOON"), ("00404041", "MAYBE"), ("00404005", "tomorrow")] {
        assert!(matches!(with(name, json!({"vr": "CS", "Value": [value]})), UpsError::Invalid(_)), "{name}");
    }
    assert!(matches!(with("x", json!({})), UpsError::Invalid(_)));
    let long = "x".repeat(super::DOCUMENT_MAX);
    assert!(matches!(with("00400400", json!({"vr": "LT", "Value": [long]})), UpsError::Limit(_)));
    bench.create("1.2.1").expect("created");
    let set = |name: &str, value: Value| bench.set("1.2.1", None, document(json!({name: value})));
    assert_eq!(set("00741000", json!({"vr": "CS", "Value": ["CANCELED"]})), Err(UpsError::OnlyCreated));
    assert!(matches!(set("00100020", json!({"vr": "LO", "Value": ["P2"]})), Err(UpsError::Invalid(_))));
    assert!(matches!(set("00741204", json!({"vr": "LO"})), Err(UpsError::Empty(_))));
    assert_eq!(bench.set("1.2.1", Some("1.9"), Document::new()), Err(UpsError::NotInProgress));
}

#[test]
fn no_facility_sees_anothers_steps() {
    let bench = Bench::new();
    bench.create("1.2.1").expect("created");
    let other = FacilityCode::parse("56001").expect("a code");
    let caller = Caller { home: Some(other), facilities: Some([other].into()), ..Caller::demo() };
    assert_eq!(bench.ups().get(&caller, HOME, &uid("1.2.1")), Err(UpsError::Unknown));
    assert_eq!(bench.ups().get(&caller, other, &uid("1.2.1")), Err(UpsError::Unknown));
    bench.ups().create(&caller, other, Some(uid("1.2.1")), plan("P2")).expect("its own under the same UID");
    let keys = Keys::default();
    assert_eq!(bench.ups().find(&caller, other, &keys, None, 10).expect("found").steps.len(), 1);
    assert_eq!(bench.ups().find(&caller, HOME, &keys, None, 10).expect("nothing").steps.len(), 0);
    let wanted = Subscription { uid: uid(GLOBAL), receiver: "WS".into(), lock: true, filter: Document::new() };
    assert_eq!(bench.ups().subscribe(&caller, HOME, wanted.clone()), Err(UpsError::Unknown));
    bench.ups().subscribe(&caller, other, wanted).expect("subscribed");
    assert_eq!(bench.heard("WS"), [], "the same AE title at another hospital");
}

#[test]
fn subscribers_hear_in_order_what_they_asked_for_over_kills() {
    let mut bench = Bench::new();
    bench.create("1.2.1").expect("created");
    bench.subscribe(GLOBAL, "WATCH", false, Document::new()).expect("subscribed");
    bench.subscribe(GLOBAL, "LOCKER", true, Document::new()).expect("subscribed");
    let filter = document(json!({"00100020": {"vr": "LO", "Value": ["P9"]}}));
    bench.subscribe(FILTERED, "P9", false, filter).expect("subscribed");
    assert!(matches!(bench.subscribe(FILTERED, "ALL", false, Document::new()), Err(UpsError::Invalid(_))));
    bench.create("1.2.2").expect("created");
    bench.state("1.2.1", StepState::InProgress, "1.9").expect("taken");
    bench.restart();
    let told = |id: &str, state: &str| (id.to_owned(), EventKind::State, state.to_owned());
    let restarted = (GLOBAL.to_owned(), EventKind::Provider, String::new());
    let news = [told("1.2.2", "SCHEDULED"), told("1.2.1", "IN PROGRESS"), restarted.clone()];
    assert_eq!(bench.heard("WATCH"), news);
    assert_eq!(
        bench.heard("LOCKER"),
        [&[told("1.2.1", "SCHEDULED")], &news[..]].concat(),
        "every step there is, first"
    );
    assert_eq!(bench.heard("P9"), std::slice::from_ref(&restarted));
    assert_eq!(bench.heard("WATCH"), [], "nothing is said twice");
    let ups = bench.ups();
    ups.unsubscribe(&Caller::demo(), HOME, &uid("1.2.1"), "WATCH").expect("left out");
    ups.suspend(&Caller::demo(), HOME, &uid(GLOBAL), "WATCH").expect("suspended");
    assert_eq!(ups.suspend(&Caller::demo(), HOME, &uid("1.2.1"), "WATCH"), Err(UpsError::NotAppropriate));
    ups.unsubscribe(&Caller::demo(), HOME, &uid(GLOBAL), "LOCKER").expect("ended");
    bench.restart();
    bench.create("1.2.3").expect("created");
    bench.state("1.2.1", StepState::Canceled, "1.9").expect_err("not yet");
    bench.state("1.2.2", StepState::InProgress, "1.8").expect("taken");
    bench
        .set("1.2.1", Some("1.9"), document(json!({"00404041": {"vr": "CS", "Value": ["UNAVAILABLE"]}})))
        .expect("set");
    assert_eq!(bench.heard("WATCH"), [restarted, told("1.2.2", "IN PROGRESS")], "neither the new one nor the left one");
    assert_eq!(bench.heard("LOCKER"), []);
}

#[test]
fn who_listens_last_has_the_channel_and_who_never_reads_costs_a_bounded_queue() {
    let bench = Bench::new();
    bench.create("1.2.1").expect("created");
    bench.subscribe("1.2.1", "WS", false, Document::new()).expect("subscribed");
    assert_eq!(bench.ups().waiting(), [(HOME, title("WS"))]);
    let first = bench.listen("WS");
    assert_eq!(bench.ups().waiting(), []);
    assert!(bench.ups().listen_if_free(HOME, &title("WS")).is_none());
    let second = bench.listen("WS");
    assert_eq!(first.next(), Turn::Over);
    drop(first);
    assert!(matches!(second.next(), Turn::Event(_)), "the old one's end is not the new one's");
    drop(second);
    let event = bench.ups().state.read().shelves[&HOME].subscribers[&title("WS")].queue[0].clone();
    let mut state = super::State::default();
    for seq in 1..=EVENTS_MAX as u64 + 500 {
        let event = super::Event { seq, ..(*event.event).clone() };
        let record = super::record::UpsRecord::Events { events: vec![event] };
        state.apply(record, seq, &bench.ups().state.read().shelves[&HOME].steps[&uid("1.2.1")].place);
    }
    let queue = &state.shelves[&HOME].subscribers[&title("WS")].queue;
    assert_eq!((queue.len(), queue[0].event.seq), (EVENTS_MAX, 501));
}

#[test]
fn steps_are_found_page_by_page_in_the_order_of_their_start() {
    let bench = Bench::new();
    for number in 0..40 {
        let mut step = plan(if number % 4 == 0 { "P4" } else { "P1" });
        step.insert("00404005".into(), json!({"vr": "DT", "Value": [format!("202601{:02}", 30 - number % 30)]}));
        let id = uid(&format!("1.2.{number}"));
        bench.ups().create(&Caller::demo(), HOME, Some(id), step).expect("created");
    }
    bench.state("1.2.3", StepState::InProgress, "1.9").expect("taken");
    assert_eq!(bench.found(json!({})), 40);
    assert_eq!(bench.found(json!({"00100020": {"vr": "LO", "Value": ["P4"]}})), 10);
    assert_eq!(bench.found(json!({"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}})), 1);
    assert_eq!(bench.found(json!({"00404005": {"vr": "DT", "Value": ["20260101-20260110"]}})), 10);
    assert_eq!(bench.found(json!({"00080018": {"vr": "UI", "Value": ["1.2.3", "1.2.4", "1.2.99"]}})), 2);
    let page = bench.ups().find(&Caller::demo(), HOME, &Keys::default(), None, 40).expect("found");
    let starts: Vec<&str> = page.steps.iter().map(|step| super::rules::text(step, "00404005")).collect();
    assert!(starts.is_sorted());
}

#[test]
fn what_ended_goes_unless_somebody_locks_it_and_the_journal_stays_small() {
    let mut bench = Bench::new();
    for id in ["1.2.1", "1.2.2", "1.2.3"] {
        bench.create(id).expect("created");
    }
    bench.subscribe("1.2.2", "LOCKER", true, Document::new()).expect("subscribed");
    for id in ["1.2.1", "1.2.2"] {
        bench.ups().request_cancel(&Caller::demo(), HOME, &uid(id), "WS", Document::new()).expect("canceled");
    }
    bench.clock.0.fetch_add(KEPT_MS + 1, Ordering::SeqCst);
    bench.ups().sweep().expect("swept");
    let get = |bench: &Bench, id: &str| bench.ups().get(&Caller::demo(), HOME, &uid(id)).is_ok();
    assert_eq!(["1.2.1", "1.2.2", "1.2.3"].map(|id| get(&bench, id)), [false, true, true]);
    bench.restart();
    assert_eq!(["1.2.1", "1.2.2", "1.2.3"].map(|id| get(&bench, id)), [false, true, true]);
    bench.ups().unsubscribe(&Caller::demo(), HOME, &uid("1.2.2"), "LOCKER").expect("unlocked");
    bench.ups().sweep().expect("swept");
    assert!(!get(&bench, "1.2.2"));
    // Much is written, little counts.
    bench.subscribe(GLOBAL, "WATCH", false, Document::new()).expect("subscribed");
    bench.heard("WATCH");
    bench.create("1.2.4").expect("created");
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..30 {
        let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(900_000).collect();
        bench.set("1.2.3", None, document(json!({"00400400": {"vr": "LT", "Value": [noise]}}))).expect("set");
    }
    let before = bench.ups().journal.segments().len();
    bench.ups().sweep().expect("swept");
    assert!(before > 5 && bench.ups().journal.segments().len() <= 4, "{before} segments");
    let state = state_of(&bench, "1.2.3");
    bench.restart();
    assert_eq!(state_of(&bench, "1.2.3"), state);
    assert_eq!(bench.found(json!({})), 2);
    let heard: Vec<EventKind> = bench.heard("WATCH").into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(heard, [EventKind::State, EventKind::Provider], "the events of what was moved");
}
