//! Orders: every action in every state, numbers that are another's, two hospitals, restarts.

use super::*;
use crate::charts::WorklistQuery;
use model::chart::{Appointment, Order, OrderAction, OrderState, OrderUpdate, Step, StepUpdate};
use model::{AeTitle, Uid};

pub(super) fn update(action: OrderAction, placer: &str) -> OrderUpdate {
    OrderUpdate { mrn: Some("1".into()), ..OrderUpdate::new(action, placer) }
}

/// A new order of patient 1 with a CT step.
pub(super) fn new(placer: &str) -> OrderUpdate {
    let step = StepUpdate { modality: Some("CT".into()), ..StepUpdate::default() };
    OrderUpdate { steps: vec![step], ..update(OrderAction::New, placer) }
}

pub(super) fn asks_for(update: OrderUpdate) -> Vec<Change> {
    vec![Change::Order(Box::new(update))]
}

impl Bench {
    pub(super) fn order(&self, placer: &str) -> Option<Order> {
        match self.body(HOME, ChartKind::Order, placer)? {
            ChartBody::Order(order) => Some(*order),
            other => panic!("{other:?}"),
        }
    }

    /// A message about one order, with a control id of its own.
    pub(super) fn says(&self, update: OrderUpdate) -> Receipt {
        self.turn(1);
        let control = self.clock.now_ms().to_string();
        self.receive(asks(&control, asks_for(update)))
    }

    pub(super) fn listed(&self, query: &WorklistQuery) -> Vec<String> {
        let mut found = Vec::new();
        let mut each = |item: crate::charts::WorklistItem| {
            found.push(format!("{} {} {}", item.order.placer, item.step.id, item.patient.mrn));
            true
        };
        self.charts().worklist(HOME, query, &mut each).expect("answers");
        found
    }
}

fn refused(receipt: &Receipt) -> bool {
    matches!(receipt.handled, Handled::Refused { .. })
}

/// An order in a state, brought there by messages alone.
fn bring(bench: &Bench, placer: &str, state: OrderState) {
    assert_eq!(bench.says(new(placer)).handled, Handled::Done);
    if state != OrderState::Scheduled {
        assert_eq!(bench.says(update(OrderAction::Status(state), placer)).handled, Handled::Done);
    }
    assert_eq!(bench.order(placer).expect("an order").state, state);
}

#[test]
fn every_action_in_every_state_ends_where_the_rules_say_and_is_never_silent() {
    use OrderState::{Canceled, Completed, Discontinued, InProgress, Scheduled};
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Nguyễn Văn An")]);
    let states = [Scheduled, InProgress, Completed, Canceled, Discontinued];
    // The state afterwards; R: refused, r: a remark and no change, =: as it is and nothing to say.
    let table = [
        (
            OrderAction::Cancel,
            [('x', Canceled), ('R', InProgress), ('R', Completed), ('=', Canceled), ('r', Discontinued)],
        ),
        (
            OrderAction::Discontinue,
            [('x', Discontinued), ('x', Discontinued), ('R', Completed), ('r', Canceled), ('=', Discontinued)],
        ),
        (
            OrderAction::Status(Scheduled),
            [('=', Scheduled), ('r', InProgress), ('r', Completed), ('r', Canceled), ('r', Discontinued)],
        ),
        (
            OrderAction::Status(InProgress),
            [('x', InProgress), ('=', InProgress), ('r', Completed), ('r', Canceled), ('r', Discontinued)],
        ),
        (
            OrderAction::Status(Completed),
            [('x', Completed), ('x', Completed), ('=', Completed), ('r', Canceled), ('r', Discontinued)],
        ),
    ];
    let mut number = 0;
    for (action, row) in table {
        for (state, (what, expected)) in states.into_iter().zip(row) {
            number += 1;
            let placer = format!("P{number}");
            bring(&bench, &placer, state);
            let before = bench.order(&placer).expect("an order");
            let receipt = bench.says(update(action, &placer));
            let after = bench.order(&placer).expect("an order");
            let at = format!("{action:?} of {state:?}");
            assert_eq!(after.state, expected, "{at}");
            assert_eq!(refused(&receipt), what == 'R', "{at}: {receipt:?}");
            assert_eq!(!receipt.remarks.is_empty(), what == 'r', "{at}: {receipt:?}");
            assert_eq!(after != before, what == 'x', "{at}");
            // Steps never contradict their order.
            assert!(after.state.is_open() || after.steps.iter().all(|step| !step.state.is_open()), "{at}");
        }
    }
}

#[test]
fn what_is_said_of_an_order_is_taken_while_it_is_open_and_remarked_afterwards() {
    use OrderState::{Canceled, Completed, Discontinued, InProgress, Scheduled};
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Nguyễn Văn An")]);
    let states = [Scheduled, InProgress, Completed, Canceled, Discontinued];
    let mut number = 0;
    for (state, open) in states.into_iter().zip([true, true, false, false, false]) {
        for action in [OrderAction::New, OrderAction::Change] {
            number += 1;
            let placer = format!("P{number}");
            bring(&bench, &placer, state);
            let said = OrderUpdate { procedure: Some("CT ngực".into()), ..update(action, &placer) };
            let receipt = bench.says(said.clone());
            assert_eq!(receipt.handled, Handled::Done);
            let after = bench.order(&placer).expect("an order");
            assert_eq!(after.procedure == "CT ngực", open, "{action:?} of {state:?}");
            assert_eq!(after.state, state);
            let remarked = !open || action == OrderAction::New;
            assert_eq!(!receipt.remarks.is_empty(), remarked, "{action:?} of {state:?}: {receipt:?}");
            if open {
                assert!(bench.says(said).remarks.is_empty(), "the same again needs no remark");
            }
        }
    }
}

#[test]
fn what_comes_too_early_waits_and_is_done_in_order() {
    let bench = Bench::new();
    let waits = |receipt: Receipt, what: &str| match receipt.handled {
        Handled::Parked { why, .. } => assert_eq!(why, what),
        other => panic!("{other:?}"),
    };
    waits(bench.says(update(OrderAction::Cancel, "P1")), "its order");
    waits(bench.says(update(OrderAction::Change, "P1")), "its order");
    waits(bench.says(new("P1")), "its patient");
    assert!(bench.order("P1").is_none());
    // The message that brings the patient brings an order along.
    bench.done("p", vec![patient("1", "Lê An"), Change::Order(Box::new(new("P2")))]);
    assert!(bench.order("P2").is_some());
    // Rounds: the order first, then what waited for it, when it has rested.
    for _ in 0..3 {
        bench.turn(10_000);
        bench.charts().try_parked();
    }
    assert_eq!(bench.order("P1").expect("an order").state, OrderState::Canceled);
    assert!(bench.messages(Some("parked")).is_empty());
    // An order without a patient's number waits for nothing.
    assert!(refused(&bench.says(OrderUpdate::new(OrderAction::New, "P3"))));
}

#[test]
fn numbers_are_kept_made_and_refused() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Trần Bình")]);
    let with = |placer: &str, accession: &str| OrderUpdate { accession: Some(accession.into()), ..new(placer) };
    bench.says(with("P1", " 2026-1 "));
    assert_eq!(bench.order("P1").expect("an order").accession, "2026-1");
    // None sent, one too long, one with a letter that is none: ours stand for them.
    bench.says(new("P2"));
    bench.says(with("P3", "20261128-00000000017"));
    bench.says(with("P4", "A*"));
    let made: Vec<Order> = ["P2", "P3", "P4"].iter().map(|placer| bench.order(placer).expect("an order")).collect();
    let sent: Vec<&str> = made.iter().map(|order| order.sent_accession.as_str()).collect();
    assert_eq!(sent, ["", "20261128-00000000017", "A*"]);
    for order in &made {
        assert!(order.accession.len() == 10 && order.accession.starts_with('K'), "{}", order.accession);
        assert!(order.study.as_str().starts_with("2.25."));
        assert_eq!(order.steps.first().expect("a step").id, order.accession);
    }
    // Another order's number is refused, and both orders are named; a canceled order gives its number up.
    let receipt = bench.says(with("P5", "2026-1"));
    assert!(
        matches!(&receipt.handled, Handled::Refused { why } if why.contains("P5") && why.contains("P1")),
        "{receipt:?}"
    );
    bench.says(update(OrderAction::Cancel, "P1"));
    assert_eq!(bench.says(with("P5", "2026-1")).handled, Handled::Done);
    // The Study Instance UID stays; a number may be sent later while nothing has begun.
    let study = bench.order("P2").expect("an order").study;
    let other = Uid::parse("1.2.3").expect("a uid");
    let receipt = bench.says(OrderUpdate { study: Some(other.clone()), ..with("P2", "2026-2") });
    let order = bench.order("P2").expect("an order");
    assert!(order.study == study && order.accession == "2026-2" && !receipt.remarks.is_empty(), "{receipt:?}");
    assert_eq!(order.steps.first().expect("a step").id, "2026-2");
    bench.says(update(OrderAction::Status(OrderState::InProgress), "P2"));
    let receipt = bench.says(OrderUpdate { action: OrderAction::Change, ..with("P2", "2026-3") });
    assert!(bench.order("P2").expect("an order").accession == "2026-2" && !receipt.remarks.is_empty());
    // A placer number that comes again for another patient is a mistake.
    let receipt = bench.says(OrderUpdate { mrn: Some("2".into()), ..update(OrderAction::Change, "P2") });
    assert!(refused(&receipt), "{receipt:?}");
    assert_eq!(bench.says(OrderUpdate { study: Some(other.clone()), ..new("P6") }).handled, Handled::Done);
    assert_eq!(bench.order("P6").expect("an order").study, other);
}

#[test]
fn two_hospitals_with_equal_numbers_never_meet() {
    let bench = Bench::new();
    let changes = |name: &str| {
        let order = OrderUpdate { accession: Some("2026-1".into()), ..new("P1") };
        vec![patient("1", name), Change::Order(Box::new(order))]
    };
    bench.done("1", changes("Lê An"));
    let receipt = bench.charts().receive(other(), asks("1", changes("Trần Bình"))).expect("received");
    assert_eq!(receipt.handled, Handled::Done);
    let studies: Vec<String> = [HOME, other()]
        .into_iter()
        .map(|facility| match bench.body(facility, ChartKind::Order, "P1") {
            Some(ChartBody::Order(order)) => order.study.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_ne!(studies.first(), studies.last());
    let mut names = Vec::new();
    let mut each = |item: crate::charts::WorklistItem| {
        names.push(item.patient.name.clone());
        true
    };
    let query = WorklistQuery { accession: "2026-1".into(), ..WorklistQuery::default() };
    bench.charts().worklist(other(), &query, &mut each).expect("answers");
    assert_eq!(names, ["Trần Bình"]);
}

#[test]
fn steps_take_what_is_said_and_default_to_when_the_order_came() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    // 2027-01-15T08:00:00Z and some milliseconds; the clock of the facilities is seven hours ahead.
    bench.says(new("P1"));
    let order = bench.order("P1").expect("an order");
    let step = order.steps.first().expect("a step");
    assert_eq!((step.date.as_str(), step.time.as_str()), ("20270115", "150000"));
    assert_eq!(step.start, 1_800_000_000_000);
    let said = |id: &str, start: (&str, &str)| StepUpdate {
        id: id.into(),
        start: Some((start.0.into(), start.1.into())),
        station: Some(AeTitle::parse("CT1").ok()),
        ..StepUpdate::default()
    };
    // The only step takes the number that it gets later.
    let change = |steps: Vec<StepUpdate>| OrderUpdate { steps, ..update(OrderAction::Change, "P1") };
    bench.says(change(vec![said("S1", ("20270116", "0830"))]));
    let order = bench.order("P1").expect("an order");
    assert_eq!(order.steps.len(), 1);
    let step = order.steps.first().expect("a step");
    assert_eq!((step.id.as_str(), step.date.as_str(), step.time.as_str()), ("S1", "20270116", "083000"));
    assert_eq!((step.modality.as_str(), step.station.as_ref().map(AeTitle::as_str)), ("CT", Some("CT1")));
    // A further one, and a start that is none.
    let receipt = bench.says(change(vec![said("S2", ("tomorrow", ""))]));
    assert_eq!(receipt.remarks.len(), 1, "{receipt:?}");
    let order = bench.order("P1").expect("an order");
    let steps: Vec<&str> = order.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["S1", "S2"]);
    assert_eq!(order.steps.last().expect("a step").date, "20270115");
    let listed =
        |bench: &Bench| bench.listed(&WorklistQuery { station: AeTitle::parse("CT1").ok(), ..Default::default() });
    assert_eq!(listed(&bench), ["P1 S2 1", "P1 S1 1"]);
}

#[test]
fn the_worklist_outlives_restarts_and_shows_the_patient_that_stays() {
    let mut bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Lê Văn An")]);
    bench.says(OrderUpdate { accession: Some("A1".into()), ..new("P1") });
    let query = WorklistQuery { name: "LE^VAN*".into(), ..WorklistQuery::default() };
    assert!(bench.listed(&query).is_empty());
    bench.done("m", vec![merge("2", "1")]);
    for _ in 0..2 {
        assert_eq!(bench.listed(&query), ["P1 A1 2"]);
        assert_eq!(bench.listed(&WorklistQuery { mrn: "1".into(), ..Default::default() }), ["P1 A1 2"]);
        bench.restart();
    }
    bench.lose_index();
    assert_eq!(bench.listed(&query), ["P1 A1 2"]);
    let (id, ..) = bench.merges().first().cloned().expect("a merge");
    bench.charts().unmerge(&Caller::operator(), HOME, &id, "a steward").expect("undone");
    assert!(bench.listed(&query).is_empty());
    assert_eq!(bench.listed(&WorklistQuery::default()), ["P1 A1 1"]);
    bench.says(update(OrderAction::Cancel, "P1"));
    assert!(bench.listed(&WorklistQuery::default()).is_empty());
}

#[test]
fn an_appointment_that_is_taken_back_leaves_the_order_in_the_worklist_until_it_gets_another() {
    let mut bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    assert!(matches!(bench.says(update(OrderAction::Unbook, "P1")).handled, Handled::Parked { .. }), "not known yet");
    bench.says(new("P1"));
    let unbooked = |bench: &Bench| {
        let order = bench.order("P1").expect("an order");
        (order.state, order.steps.first().expect("a step").unbooked)
    };
    assert_eq!(unbooked(&bench), (OrderState::Scheduled, true), "what waited was done");
    bench.says(update(OrderAction::Change, "P1"));
    bench.restart();
    assert_eq!(unbooked(&bench), (OrderState::Scheduled, true));
    assert_eq!(bench.listed(&WorklistQuery::default()).len(), 1);
    let step = StepUpdate { start: Some(("20270116".into(), "0830".into())), ..StepUpdate::default() };
    bench.says(OrderUpdate { steps: vec![step], ..update(OrderAction::Change, "P1") });
    assert_eq!(unbooked(&bench), (OrderState::Scheduled, false));
    bench.says(update(OrderAction::Status(OrderState::Completed), "P1"));
    assert_eq!(bench.says(update(OrderAction::Unbook, "P1")).handled, Handled::Done);
    assert_eq!(unbooked(&bench), (OrderState::Completed, false));
}

#[test]
fn an_appointment_that_is_taken_back_is_the_one_that_is_said_and_no_later_one() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    let booked = |time: &str, filler: &str| {
        let appointment = Appointment { placer: String::new(), filler: filler.into() };
        let appointment = Some(appointment).filter(|one| !one.is_unknown());
        let start = Some(time).filter(|time| !time.is_empty()).map(|time| ("20270116".to_owned(), time.to_owned()));
        vec![StepUpdate { start, appointment, modality: Some("CT".into()), ..StepUpdate::default() }]
    };
    let asks = |action: OrderAction, placer: &str, (time, filler): (&str, &str)| {
        bench.says(OrderUpdate { steps: booked(time, filler), ..update(action, placer) })
    };
    for (number, (taken_back, ordered, unbooked)) in [
        (("0830", "B1"), ("0830", ""), true),
        (("083000", ""), ("0830", "B1"), true),
        // It came before its order, which has another one by then.
        (("0830", "B1"), ("1000", ""), false),
        (("0830", "B1"), ("0830", "B2"), false),
        (("0830", "B1"), ("1000", "B1"), true),
        (("", ""), ("1000", "B2"), true),
    ]
    .into_iter()
    .enumerate()
    {
        let placer = format!("P{number}");
        let waits = asks(OrderAction::Unbook, &placer, taken_back);
        assert!(matches!(waits.handled, Handled::Parked { .. }), "{waits:?}");
        asks(OrderAction::New, &placer, ordered);
        assert!(bench.messages(Some("parked")).is_empty(), "it is done, or has nothing to do");
        let is = || bench.order(&placer).expect("an order").steps.iter().all(|step| step.unbooked);
        assert_eq!(is(), unbooked, "{taken_back:?} of {ordered:?}");
        // As it comes after its order.
        asks(OrderAction::Change, &placer, ordered);
        assert!(!is());
        asks(OrderAction::Unbook, &placer, taken_back);
        assert_eq!(is(), unbooked, "{taken_back:?} of {ordered:?}");
    }
}

#[test]
fn of_several_appointments_the_others_are_not_worth_a_word_where_one_is_meant() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    bench.says(new("P1"));
    let of = |filler: &str| Appointment { placer: String::new(), filler: filler.into() };
    let mut order = bench.order("P1").expect("an order");
    let step = order.steps.pop().expect("a step");
    order.steps = ["B1", "B2"].map(|filler| Step { appointment: of(filler), ..step.clone() }).to_vec();
    for (said, expected) in
        [("B1", (true, false)), ("B1", (false, false)), ("B7", (false, true)), ("B2", (true, false))]
    {
        let said = StepUpdate { appointment: Some(of(said)), ..StepUpdate::default() };
        assert_eq!(crate::charts::orders::states::unbook(&mut order, Some(&said), 7), expected, "{said:?}");
    }
}

#[test]
fn an_appointment_that_is_taken_back_before_its_order_waits_and_ends_like_an_order_that_is() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    let actions = [(OrderAction::Unbook, OrderState::Scheduled), (OrderAction::Cancel, OrderState::Canceled)];
    for (before, (action, state)) in actions.into_iter().enumerate() {
        let placer = format!("P-{}", state.name());
        assert!(matches!(bench.says(update(action, &placer)).handled, Handled::Parked { .. }), "{action:?}");
        assert_eq!(bench.messages(Some("parked")).len(), 1, "it is listed");
        assert_eq!(bench.says(new(&placer)).handled, Handled::Done);
        assert!(bench.messages(Some("parked")).is_empty(), "it is done when its order has come");
        let order = bench.order(&placer).expect("an order");
        assert_eq!((order.state, order.steps.iter().all(|step| step.unbooked)), (state, state.is_open()), "{action:?}");
        // Without its order it is a steward's matter after a while.
        bench.says(update(action, &format!("{placer}-2")));
        bench.turn(u64::try_from(crate::charts::ChartOptions::default().park.as_millis()).expect("short") + 1);
        bench.charts().try_parked();
        assert!(bench.messages(Some("parked")).is_empty());
        let listed = bench.messages(Some("refused"));
        assert_eq!(listed.len(), before + 1, "{action:?}");
        let (_, newest) = listed.first().expect("one");
        assert_eq!(newest.handled, Handled::Refused { why: "waited in vain for its order".into() }, "{action:?}");
    }
}
