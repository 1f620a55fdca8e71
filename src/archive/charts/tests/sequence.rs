//! Messages about the same thing, on several connections, while an earlier one waits.

use super::orders::{new, update};
use super::*;
use crate::charts::WorklistQuery;
use model::chart::{OrderAction, OrderState, OrderUpdate};

fn order(update: OrderUpdate) -> Change {
    Change::Order(Box::new(update))
}

/// A change of an order's procedure.
fn procedure(placer: &str, words: &str) -> Change {
    order(OrderUpdate { procedure: Some(words.into()), ..update(OrderAction::Change, placer) })
}

fn cancel(placer: &str) -> Change {
    order(update(OrderAction::Cancel, placer))
}

impl Bench {
    /// A message on a connection of its own.
    fn elsewhere(&self, control: &str, changes: Vec<Change>) -> Receipt {
        self.turn(1);
        let charts = Arc::clone(self.charts());
        let message = asks(control, changes);
        let connection = std::thread::spawn(move || charts.receive(HOME, message).expect("received"));
        connection.join().expect("no panic")
    }

    fn procedure_of(&self, placer: &str) -> String {
        self.order(placer).expect("an order").procedure
    }
}

fn parked(receipt: &Receipt) -> bool {
    matches!(receipt.handled, Handled::Parked { .. })
}

/// Order O1 is there; a message changes it and takes back O2, which has not come.
fn one_waits() -> Bench {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), order(new("O1"))]);
    let first = vec![patient("1", "Lê An"), procedure("O1", "first"), cancel("O2")];
    assert!(parked(&bench.elsewhere("1", first)));
    bench
}

#[test]
fn a_later_message_about_the_same_order_does_not_overtake_one_that_waits() {
    let mut bench = one_waits();
    let second = bench.elsewhere("2", vec![patient("1", "Lê An"), procedure("O1", "second")]);
    let Handled::Parked { why, .. } = &second.handled else { panic!("{second:?}") };
    assert!(why.contains("an earlier message"), "{why}");
    assert_eq!(bench.procedure_of("O1"), "");
    // Tried, and after a restart, it stays behind.
    bench.restart();
    assert_eq!(bench.charts().try_parked(), 2);
    assert_eq!(bench.procedure_of("O1"), "");
    // Another order of the patient is not kept waiting, nor is the patient.
    let other = bench.elsewhere("3", vec![patient("1", "Lê An Bình"), order(new("O3"))]);
    assert_eq!(other.handled, Handled::Done);
    // What the first waits for lets both go, in their order.
    let third = bench.elsewhere("4", vec![patient("1", "Lê An Bình"), order(new("O2"))]);
    assert_eq!(third.handled, Handled::Done);
    assert_eq!(bench.procedure_of("O1"), "second");
    assert_eq!(bench.order("O2").expect("an order").state, OrderState::Canceled);
    assert!(bench.messages(Some("parked")).is_empty() && bench.messages(Some("refused")).is_empty());
    // What was told of the patient meanwhile stays, and is said to.
    assert_eq!(bench.own("1").expect("a patient").name, "Lê An Bình");
    let messages = bench.messages(Some("done"));
    let (_, first) = messages.iter().find(|(_, one)| one.origin.control == "1").expect("the first");
    assert!(first.remarks.iter().any(|remark| remark.contains("told anew")), "{:?}", first.remarks);
    // And it all comes again from the journal.
    let before = bench.dump();
    bench.lose_index();
    assert_eq!(bench.dump(), before);
    assert_eq!(bench.listed(&WorklistQuery::default()).len(), 2);
}

#[test]
fn whoever_waits_for_a_message_goes_on_when_its_time_is_over() {
    let bench = one_waits();
    bench.turn(5 * MINUTE);
    assert!(parked(&bench.elsewhere("2", vec![procedure("O1", "second")])));
    bench.turn(6 * MINUTE);
    bench.charts().try_parked();
    bench.turn(10);
    bench.charts().try_parked();
    assert_eq!(bench.procedure_of("O1"), "second");
    let refused = bench.messages(Some("refused"));
    assert_eq!(refused.iter().map(|(_, one)| one.origin.control.as_str()).collect::<Vec<_>>(), ["1"]);
    assert!(bench.messages(Some("parked")).is_empty());
}

#[test]
fn messages_that_wait_for_each_others_orders_are_no_knot() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    assert!(parked(&bench.elsewhere("1", vec![cancel("O1"), procedure("O2", "first")])));
    assert!(parked(&bench.elsewhere("2", vec![procedure("O2", "second")])));
    // By these the orders come to be: neither stays behind the other.
    assert_eq!(bench.elsewhere("3", vec![order(new("O1"))]).handled, Handled::Done);
    assert_eq!(bench.order("O1").expect("an order").state, OrderState::Scheduled);
    assert_eq!(bench.elsewhere("4", vec![order(new("O2"))]).handled, Handled::Done);
    assert_eq!(bench.order("O1").expect("an order").state, OrderState::Canceled);
    assert_eq!(bench.procedure_of("O2"), "second");
    assert!(bench.messages(Some("parked")).is_empty());
}

#[test]
fn an_order_that_waits_for_its_patient_is_placed_before_what_comes_later() {
    let bench = Bench::new();
    let worded = |words: &str| order(OrderUpdate { procedure: Some(words.into()), ..new("O1") });
    assert!(parked(&bench.elsewhere("1", vec![worded("first")])));
    let receipt = bench.elsewhere("2", vec![patient("1", "Lê An"), worded("second")]);
    assert_eq!(receipt.handled, Handled::Done);
    assert_eq!(bench.procedure_of("O1"), "second");
    assert!(receipt.remarks.iter().any(|remark| remark.contains("was known")), "{:?}", receipt.remarks);
    assert!(bench.messages(Some("parked")).is_empty());
}
