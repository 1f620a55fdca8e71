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
    Change, ChartBody, Content, EventKind, Hook, OrderAction, Report, ReportStatus, Secret, Subscription, Target,
    Verdict,
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

/// Every delivery and line of the feed there is.
fn rows(charts: &Charts) -> Vec<String> {
    let rows = charts.view.rows(None, 100_000).expect("answers").into_iter();
    let of = |body| match body {
        ChartBody::Delivery(one) => Some(format!("{} {} {}", one.event.kind.name(), one.event.id, one.event.state)),
        _ => None,
    };
    rows.filter_map(|row| of(row.body)).collect()
}

#[test]
fn whoever_asks_for_patients_is_told_of_every_change_of_them_once() {
    let mut bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An"), patient("2", "Lê Ân")]);
    let subscribe = |bench: &Bench, facility, events: &[EventKind], hook: Hook| {
        bench.charts().subscribe(&Caller::operator(), facility, asking("emr", events, hook)).expect("subscribed")
    };
    let patients = [EventKind::Merged, EventKind::Unmerged, EventKind::Patient];
    let emr = subscribe(&bench, HOME, &patients, Hook::default());
    // One that was made when merges alone were told of patients.
    let older = subscribe(&bench, HOME, &patients[..2], Hook::default());
    let one = subscribe(&bench, HOME, &patients, Hook { patients: set(&["1"]), ..Hook::default() });
    let orders = subscribe(&bench, HOME, &[EventKind::Order], Hook::default());
    let elsewhere = subscribe(&bench, super::other(), &patients, Hook::default());
    bench.done("3", vec![patient("3", "Trần Bình")]);
    bench.done("3 again", vec![patient("3", "Trần Bình")]);
    bench.restart();
    bench.done("3 otherwise", vec![patient("3", "Trần Văn Bình")]);
    bench.done("4", vec![Change::Renumber { former: "3".into(), number: "4".into() }]);
    bench.done("m", vec![merge("1", "2")]);
    let (merged, ..) = bench.merges().into_iter().find(|(_, survivor, _)| survivor == "1").expect("a merge");
    bench.charts().unmerge(&Caller::operator(), HOME, &merged, "Lân").expect("undone");
    let expected = ["patient new", "patient changed", "patient moved", "merged ", "merged ", "unmerged "];
    for round in 0..2 {
        assert_eq!(told(bench.charts(), &emr), expected, "round {round}");
        assert_eq!(told(bench.charts(), &older), expected, "round {round}");
        assert_eq!(told(bench.charts(), &one), ["merged ", "unmerged "]);
        assert!(told(bench.charts(), &orders).is_empty() && told(bench.charts(), &elsewhere).is_empty());
        bench.lose_index();
    }
    let feed = bench.charts().changes(&Caller::operator(), None, 100).expect("answers").events;
    let lines: Vec<_> = feed.iter().map(|(_, one)| (one.event.kind.name(), one.event.id.as_str())).collect();
    assert_eq!(lines[..3], [("patient", "3"), ("patient", "3"), ("patient", "4")]);
    assert_eq!(lines.len(), 6, "{lines:?}");
    // A first load: whoever asks for one patient is not told of others, and the feed does not grow for that.
    let charts = bench.charts();
    for id in [&emr, &older] {
        charts.unsubscribe(&Caller::operator(), HOME, id, "Lân").expect("removed");
    }
    let before = rows(charts).len();
    bench.done("5", vec![patient("5", "Lê Chi"), patient("6", "Lê Dung")]);
    assert_eq!(rows(charts).len(), before);
    bench.done("1", vec![patient("1", "Lê Văn An")]);
    assert_eq!(told(charts, &one), ["merged ", "unmerged ", "patient changed"]);
    assert_eq!(rows(charts).len(), before + 2);
}

#[test]
fn a_storm_of_patients_writes_nothing_where_nobody_asked_for_patients() {
    let bench = Bench::new();
    let everything = Subscription {
        target: Target::Webhook { url: "https://his.example/hook".into(), secret: Secret("0123456789abcdef".into()) },
        ..asking("his", &[], Hook::default())
    };
    let id = bench.charts().subscribe(&Caller::operator(), HOME, everything).expect("subscribed");
    let orders = asking("orders", &[EventKind::Order], Hook::default());
    bench.charts().subscribe(&Caller::operator(), HOME, orders).expect("subscribed");
    for number in 0..200 {
        let (one, two) = (format!("A{number}"), format!("B{number}"));
        bench.done(&format!("load {number}"), vec![patient(&one, "Lê An"), patient(&two, "Lê Ân")]);
    }
    assert!(rows(bench.charts()).is_empty(), "a first load is told to nobody");
    for number in 0..50 {
        bench.done(&format!("merge {number}"), vec![merge(&format!("A{number}"), &format!("B{number}"))]);
    }
    assert_eq!(told(bench.charts(), &id), vec!["merged "; 50]);
    assert_eq!(rows(bench.charts()).len(), 100, "a merge is told once, and stands in the feed once");
}

#[test]
fn patients_stand_in_the_feed_of_every_facility_where_that_is_wanted() {
    let bench = crate::tests::Bench::with(|options| options.charts.outbox.feed_patients = true);
    bench.says("p", vec![patient("1", "Lê An")]);
    bench.says("q", vec![patient("1", "Lê Văn An")]);
    assert_eq!(rows(bench.archive.charts()), ["patient 1 new", "patient 1 changed"]);
}
