//! Criteria of subscriptions: what they do not ask for is told to nobody.

use super::matching::{Hospital, Image, hospital, with_accession};
use super::orders::{new, update};
use super::outbox::{Fake, LIMIT, archive};
use super::{Bench, HOME, merge, patient};
use crate::charts::outbox::DeliveryFilter;
use crate::charts::{ChartError, Charts};
use crate::tests::until;
use model::Caller;
use model::chart::{
    Change, ChartBody, Content, EventKind, Hook, OrderAction, Report, ReportStatus, Subscription, Target, Verdict,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn asking(name: &str, events: &[EventKind], hook: Hook) -> Subscription {
    let url = format!("https://{name}.example/fhir");
    Subscription {
        name: name.into(),
        target: Target::RestHook { url, headers: Vec::new(), hook: Some(Box::new(hook)) },
        events: events.iter().copied().collect(),
        paused: false,
        criteria: String::new(),
        by: "test".into(),
        at: 0,
    }
}

/// What waits for a subscription.
fn told(charts: &Charts, subscription: &str) -> Vec<String> {
    let filter = DeliveryFilter { subscription: Some(subscription.to_owned()), ..DeliveryFilter::default() };
    let page = charts.deliveries(&Caller::operator(), &filter, None, 500).expect("answers");
    let event = |body| match body {
        ChartBody::Delivery(one) => format!("{} {}", one.event.kind.name(), one.event.state),
        other => panic!("{other:?}"),
    };
    page.rows.into_iter().map(|row| event(row.body)).collect()
}

#[test]
fn only_what_is_asked_for_is_told_also_of_a_patient_who_has_another_number_now() {
    let mut bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Lê Ân"), patient("3", "Trần Bình")]);
    let subscribe = |bench: &Bench, name: &str, hook: Hook| {
        bench.charts().subscribe(&Caller::operator(), HOME, asking(name, &[], hook)).expect("subscribed")
    };
    let two = subscribe(&bench, "two", Hook { patients: set(&["2"]), ..Hook::default() });
    let three = subscribe(&bench, "three", Hook { patients: set(&["3"]), ..Hook::default() });
    let canceled = subscribe(&bench, "canceled", Hook { states: set(&["canceled"]), ..Hook::default() });
    let ended = subscribe(&bench, "ended", Hook { until: 1, ..Hook::default() });
    bench.says(new("P1"));
    bench.restart();
    bench.done("m", vec![merge("1", "2")]);
    bench.says(update(OrderAction::Cancel, "P1"));
    assert_eq!(told(bench.charts(), &two), ["merged ", "order canceled"]);
    assert_eq!(told(bench.charts(), &canceled), ["order canceled"]);
    for nobody in [three, ended] {
        assert!(told(bench.charts(), &nobody).is_empty());
    }
}

#[test]
fn a_study_is_told_by_its_modality() {
    let bench = hospital(with_accession("P1", "A1"));
    let subscribe = |modality: &str| {
        let hook = Hook { modalities: set(&["US", modality]), ..Hook::default() };
        let wanted = asking(modality, &[EventKind::StudyAvailable], hook);
        bench.archive.charts().subscribe(&Caller::operator(), HOME, wanted).expect("subscribed")
    };
    let (ct, mr) = (subscribe("CT"), subscribe("MR"));
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.until_judged("1.2.3", Verdict::Matched);
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    until("it is told", || told(bench.archive.charts(), &ct) == ["study-available matched"]);
    assert!(told(bench.archive.charts(), &mr).is_empty());
}

#[test]
fn a_subscription_is_changed_by_whoever_may_and_only_to_what_can_be_served() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    let charts = bench.charts();
    let id = charts.subscribe(&Caller::operator(), HOME, asking("x", &[], Hook::default())).expect("subscribed");
    let change = |caller: &Caller, id: &str, name: &str| {
        charts.change_subscription(caller, HOME, id, |one| {
            one.name = name.to_owned();
            Ok(())
        })
    };
    let elsewhere = Caller { facilities: Some([super::other()].into()), ..Caller::demo() };
    assert_eq!(change(&elsewhere, &id, "y"), Err(ChartError::Unknown("subscription")));
    assert_eq!(change(&Caller::operator(), "none", "y"), Err(ChartError::Unknown("subscription")));
    assert!(matches!(change(&Caller::operator(), &id, ""), Err(ChartError::Invalid(_))));
    change(&Caller::operator(), &id, "y").expect("changed");
    let refused = charts.change_subscription(&Caller::operator(), HOME, &id, |_| Err(ChartError::Waits("no".into())));
    assert_eq!(refused, Err(ChartError::Waits("no".into())));
    let narrowed = |one: &mut Subscription| {
        one.events = [EventKind::Result].into();
        Ok(())
    };
    charts.change_subscription(&Caller::operator(), HOME, &id, narrowed).expect("changed");
    bench.says(new("P1"));
    assert!(told(charts, &id).is_empty());
    assert_eq!(charts.outbox(&Caller::operator())[0].name, "y");
}

fn result(status: ReportStatus, text: &str) -> Vec<Change> {
    let report = Report {
        number: "R1".into(),
        mrn: "1".into(),
        visit: String::new(),
        placer: String::new(),
        accession: String::new(),
        study: None,
        discipline: "imaging".into(),
        title: "CT".into(),
        author: String::new(),
        status,
        version: 1,
        contents: vec![Content::Text { heading: String::new(), text: text.into() }],
        at: 1,
    };
    vec![Change::Report(Box::new(report))]
}

#[test]
fn a_result_reaches_whoever_asks_for_final_ones_alone_also_when_it_was_corrected_before_it_was_told() {
    let bench = archive();
    let charts = bench.archive.charts();
    let final_ones = Hook { states: set(&["final"]), ..Hook::default() };
    let both = Hook { states: set(&["final", "amended"]), ..Hook::default() };
    for (name, hook) in [("final", final_ones), ("both", both), ("all", Hook::default())] {
        charts.subscribe(&Caller::operator(), HOME, asking(name, &[EventKind::Result], hook)).expect("subscribed");
    }
    bench.says("r1", result(ReportStatus::Final, "rõ"));
    bench.says("r2", result(ReportStatus::Amended, "không rõ"));
    let fake = Arc::new(Fake::default());
    let office = fake.begin(&bench);
    until("all is told", || charts.outbox(&Caller::operator()).iter().all(|lane| lane.waiting == 0));
    assert!(office.shutdown(LIMIT));
    for name in ["final", "both", "all"] {
        assert_eq!(fake.taken(name), ["R1"], "{name}");
    }
}
