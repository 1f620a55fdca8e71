//! What modalities and orders announced is compared with what is stored, by facility and day.

use super::matching::Hospital;
use super::orders::{asks_for, new};
use super::*;
use crate::Form;
use crate::charts::completeness::Watch;
use crate::charts::{Completeness, CompletenessPlace, Lack, Numbers};
use crate::commitment::Commitment;
use crate::tests::{CT, EXPLICIT_LE, Object, short, uid};
use model::chart::{OrderUpdate, StepUpdate};
use model::date::Date;
use model::{AeTitle, Uid, Via};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Three in the afternoon of 15 January 2027, by the facilities' clock.
const NOW: u64 = 1_800_000_000_000;

fn day(text: &str) -> Date {
    Date::parse(text).expect("a day")
}

/// An archive whose clock stands, and whose background does nothing.
fn hospital() -> (crate::tests::Bench, Arc<Hands>) {
    let hands = Arc::new(Hands(AtomicU64::new(NOW)));
    let clock: Arc<dyn Clock> = hands.clone();
    let bench = crate::tests::Bench::with(|options| {
        options.clock = clock;
        options.background = false;
    });
    bench.says("p", vec![patient("1", "Lê An")]);
    (bench, hands)
}

fn document(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(document) => document,
        other => panic!("{other}"),
    }
}

/// What a console says that begins at a time of the day.
fn begin(time: &str) -> Map<String, Value> {
    document(json!({
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100020": {"vr": "LO", "Value": ["1"]},
        "00400241": {"vr": "AE", "Value": ["CT1"]},
        "00400244": {"vr": "DA", "Value": ["20270115"]},
        "00400245": {"vr": "TM", "Value": [time]},
        "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
        "00400253": {"vr": "SH", "Value": ["PPS1"]},
        "00400270": {"vr": "SQ", "Value": [{
            "0020000D": {"vr": "UI", "Value": ["1.2.1"]},
            "00080050": {"vr": "SH", "Value": ["A1"]},
        }]},
    }))
}

/// What it says at the end: series with their instances.
fn end(time: &str, series: &[(String, Vec<String>)]) -> Map<String, Value> {
    let image = |instance: &String| json!({"00081155": {"vr": "UI", "Value": [instance]}});
    let made: Vec<Value> = series
        .iter()
        .map(|(series, instances)| {
            json!({
                "0020000E": {"vr": "UI", "Value": [series]},
                "00081140": {"vr": "SQ", "Value": instances.iter().map(image).collect::<Vec<_>>()},
            })
        })
        .collect();
    document(json!({
        "00400252": {"vr": "CS", "Value": ["COMPLETED"]},
        "00400250": {"vr": "DA", "Value": ["20270115"]},
        "00400251": {"vr": "TM", "Value": [time]},
        "00400340": {"vr": "SQ", "Value": made},
    }))
}

fn three() -> Vec<(String, Vec<String>)> {
    vec![("1.2.1.1".into(), (1..=3).map(|number| format!("1.2.1.1.{number}")).collect())]
}

pub(super) fn begins(charts: &Charts, number: &str, time: &str) {
    let station = AeTitle::parse("ANY").expect("a title");
    charts.begin_performed(HOME, &station, &uid(number), begin(time)).expect("begun");
}

fn ends(charts: &Charts, number: &str, time: &str, series: &[(String, Vec<String>)]) {
    charts.set_performed(HOME, &uid(number), end(time, series)).expect("ended");
}

fn of(bench: &crate::tests::Bench, date: &str) -> Completeness {
    let place = CompletenessPlace::default();
    bench.archive.completeness(&Caller::operator(), HOME, day(date), place, 100).expect("answers")
}

fn store(bench: &crate::tests::Bench, facility: &str, number: u32) {
    let source = bench.source_of(facility);
    let object = Object { number, ..Object::new(&format!("1.2.1.1.{number}")) };
    bench.store_from(&source, &object).expect("stored");
}

#[test]
fn one_missing_instance_of_a_hundred_thousand_is_named_and_each_is_looked_for_once() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    for step in 1..=4 {
        let of = |series: u32| -> Vec<String> {
            (1..=1_000).map(|number| format!("1.2.1.{step}.{series}.{number}")).collect()
        };
        let series: Vec<_> = (1..=25).map(|series| (format!("1.2.1.{step}.{series}"), of(series))).collect();
        begins(bench.charts(), &format!("1.9.{step}"), "120000");
        ends(bench.charts(), &format!("1.9.{step}"), "130000", &series);
    }
    let asked = RefCell::new(BTreeMap::<Uid, u32>::new());
    let is_stored = |facility: FacilityCode, instance: &Uid| {
        assert_eq!(facility, HOME);
        *asked.borrow_mut().entry(instance.clone()).or_default() += 1;
        Ok(instance.as_str() != "1.2.1.3.17.500")
    };
    let (mut whole, mut pages) = (None::<Completeness>, 0);
    let mut place = Some(CompletenessPlace::default());
    while let Some(from) = place {
        let page = bench.charts().completeness(HOME, day("2027-01-15"), from, 100, &is_stored).expect("answers");
        // Places are what callers bring back as text.
        place = page.next.map(|next| CompletenessPlace::parse(&next.to_string()).expect("a place"));
        assert_eq!(place, page.next);
        whole = Some(match whole {
            Some(whole) => whole.and(page),
            None => page,
        });
        pages += 1;
    }
    let whole = whole.expect("a page");
    assert_eq!((whole.steps, whole.expected, whole.stored, whole.missing), (4, 100_000, 99_999, 1));
    let [Lack::Instance { series, instance, station, step, study, accession }] = whole.lacks.as_slice() else {
        panic!("{:?}", whole.lacks)
    };
    assert_eq!((series.as_str(), instance.as_str()), ("1.2.1.3.17", "1.2.1.3.17.500"));
    assert_eq!((station.as_str(), step.as_str(), accession.as_deref()), ("CT1", "1.9.3", Some("A1")));
    assert_eq!(study.as_ref().map(Uid::as_str), Some("1.2.1"));
    assert_eq!(pages, 2, "a page is bounded by what it looks for");
    let asked = asked.into_inner();
    assert_eq!(asked.len(), 100_000);
    assert!(asked.values().all(|times| *times == 1));
}

#[test]
fn a_page_ends_where_enough_is_named_and_the_next_goes_on_within_the_step() {
    let bench = Bench::new();
    bench.done("p", vec![patient("1", "Lê An")]);
    begins(bench.charts(), "1.9.1", "120000");
    ends(bench.charts(), "1.9.1", "130000", &three());
    let nothing = |_: FacilityCode, _: &Uid| Ok(false);
    let (mut place, mut named, mut steps) = (Some(CompletenessPlace::default()), Vec::new(), 0);
    while let Some(from) = place {
        let page = bench.charts().completeness(HOME, day("2027-01-15"), from, 1, &nothing).expect("answers");
        assert!(page.lacks.len() <= 1, "{page:?}");
        steps += page.steps;
        named.extend(page.lacks);
        place = page.next;
    }
    let names: Vec<&str> = named
        .iter()
        .map(|lack| match lack {
            Lack::Instance { instance, .. } => instance.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((names, steps), (vec!["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3"], 1));
    for text in ["", "orders", "orders.0", "steps.x.", "orders.0.1-2", "later.0.", "steps.-1."] {
        assert!(CompletenessPlace::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_missing_instance_is_named_until_the_facility_has_it() {
    let (bench, hands) = hospital();
    store(&bench, "DEMO0", 1);
    store(&bench, "DEMO0", 3);
    let charts = bench.archive.charts();
    begins(charts, "1.9.1", "140000");
    ends(charts, "1.9.1", "142000", &three());
    begins(charts, "1.9.2", "143000");
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.steps, found.steps_open), (1, 1), "{found:?}");
    assert_eq!((found.expected, found.stored, found.missing), (3, 2, 1), "{found:?}");
    assert!(matches!(&found.lacks[..], [Lack::Instance { instance, .. }] if instance.as_str() == "1.2.1.1.2"));
    // Another hospital's copy is no copy of this one's.
    store(&bench, "56001", 2);
    assert_eq!(of(&bench, "2027-01-15").missing, 1);
    store(&bench, "DEMO0", 2);
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.missing, found.lacks.len()), (0, 0), "{found:?}");
    // Another day's steps are another day's.
    assert!(of(&bench, "2027-01-14").is_empty() && of(&bench, "2027-01-16").is_empty());
    // A step that nobody ends is named after hours: nothing of it can be missed.
    hands.0.fetch_add(6 * 60 * MINUTE, Ordering::SeqCst);
    let found = of(&bench, "2027-01-15");
    assert!(matches!(&found.lacks[..], [Lack::End { step, .. }] if step.as_str() == "1.9.2"), "{found:?}");
}

#[test]
fn what_has_only_just_ended_is_waited_for_unless_the_consoles_clock_is_wrong() {
    let (bench, hands) = hospital();
    let charts = bench.archive.charts();
    begins(charts, "1.9.1", "144000");
    ends(charts, "1.9.1", "145500", &three());
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.steps, found.steps_open, found.expected), (0, 1, 0), "{found:?}");
    hands.0.fetch_add(10 * MINUTE, Ordering::SeqCst);
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.steps, found.steps_open, found.missing), (1, 0, 3), "{found:?}");
    begins(charts, "1.9.2", "150000");
    ends(charts, "1.9.2", "235900", &three());
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.steps, found.missing), (2, 6), "an end in the evening is no reason to wait: {found:?}");
}

#[test]
fn orders_whose_time_passed_without_an_image_are_named_and_no_other_hospitals_day_is_shown() {
    let (bench, _) = hospital();
    for (placer, time) in [("P1", "080000"), ("P2", "133000"), ("P3", "143000"), ("P4", "230000")] {
        let start = Some(("20270115".to_owned(), time.to_owned()));
        let step = StepUpdate { modality: Some("CT".into()), start, ..StepUpdate::default() };
        bench.says(placer, asks_for(OrderUpdate { steps: vec![step], ..new(placer) }));
    }
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.orders, found.orders_without_images), (4, 2), "{found:?}");
    let named: BTreeSet<&str> = found
        .lacks
        .iter()
        .map(|lack| match lack {
            Lack::Images { placer, .. } => placer.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(named, BTreeSet::from(["P1", "P2"]));
    let text = serde_json::to_string(&found).expect("text");
    assert!(!text.contains("Lê") && !text.contains("mrn"), "{text}");
    assert_eq!(serde_json::from_str::<Completeness>(&text).expect("read"), found);
    let unknown = Err(ChartError::Unknown("facility"));
    let place = CompletenessPlace::default();
    let elsewhere = Caller { facilities: Some(BTreeSet::from([other()])), ..Caller::operator() };
    assert_eq!(bench.archive.completeness(&elsewhere, HOME, day("2027-01-15"), place, 100), unknown);
    let nowhere = FacilityCode::parse("99999").expect("a code");
    assert_eq!(bench.archive.completeness(&Caller::operator(), nowhere, day("2027-01-15"), place, 100), unknown);
}

#[test]
fn what_is_missing_is_known_within_the_hour_also_after_a_restart_and_until_it_comes() {
    let (bench, hands) = hospital();
    let (archive, charts) = (&bench.archive, bench.archive.charts());
    let mut watch = Watch::new();
    let after = |watch: &mut Watch, minutes: u64| {
        hands.0.fetch_add(minutes * MINUTE, Ordering::SeqCst);
        archive.watch_round(watch).expect("looked");
        watch.missing(HOME)
    };
    assert_eq!(after(&mut watch, 0), 0);
    begins(charts, "1.9.1", "144000");
    ends(charts, "1.9.1", "145900", &three());
    store(&bench, "DEMO0", 1);
    assert_eq!(after(&mut watch, 14), 0, "it may still be on its way");
    assert_eq!(after(&mut watch, 1), 2);
    // A restart forgets what waited.
    let mut again = Watch::new();
    assert_eq!(after(&mut again, 0), 0);
    assert_eq!(after(&mut again, 15), 2);
    store(&bench, "DEMO0", 2);
    assert_eq!(after(&mut again, 10), 1);
    store(&bench, "DEMO0", 3);
    assert_eq!(after(&mut again, 10), 0);
}

/// Stores an image of which the sender states how much there is, by elements of group 0020.
fn stating(bench: &crate::tests::Bench, study: &str, number: u32, stated: &[(u16, &str)]) {
    let (series, sop) = (format!("{study}.1"), format!("{study}.1.{number}"));
    let mut out = Vec::new();
    for (tag, vr, value) in [
        ((8, 0x16), b"UI", CT),
        ((8, 0x18), b"UI", sop.as_str()),
        ((8, 0x20), b"DA", "20270115"),
        ((8, 0x50), b"SH", "A1"),
        ((0x10, 0x20), b"LO", "1"),
        ((0x20, 0x0d), b"UI", study),
        ((0x20, 0x0e), b"UI", series.as_str()),
    ] {
        short(tag, vr, value, &mut out);
    }
    stated.iter().for_each(|(element, value)| short((0x20, *element), b"IS", value, &mut out));
    let form = Form::DataSet { sop_class: uid(CT), sop_instance: uid(&sop), transfer_syntax: uid(EXPLICIT_LE) };
    let mut incoming = bench.archive.receive(&bench.source(), Via::CStore, form).expect("taken");
    incoming.write(&out).expect("written");
    incoming.finish().expect("stored");
}

/// Lets every series grow quiet.
fn grows_quiet(bench: &crate::tests::Bench, hands: &Hands) {
    hands.0.fetch_add(60 * MINUTE, Ordering::SeqCst);
    crate::worker::quiet_round(&bench.archive).expect("a round");
}

#[test]
fn a_complete_study_of_which_senders_state_another_number_than_is_stored_is_named() {
    let (bench, hands) = hospital();
    stating(&bench, "1.2.7", 1, &[(0x1206, "1"), (0x1208, "2")]);
    stating(&bench, "1.2.7", 2, &[(0x1208, "3 ")]);
    stating(&bench, "1.2.8", 1, &[(0x1209, "4")]);
    stating(&bench, "1.2.9", 1, &[(0x1208, "1"), (0x1209, "1")]);
    stating(&bench, "1.2.10", 1, &[(0x1208, "many")]);
    let found = of(&bench, "2027-01-15");
    assert!(found.is_empty() && found.lacks.is_empty(), "they are still coming: {found:?}");
    grows_quiet(&bench, &hands);
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.studies_stated, found.studies_differing, found.expected), (3, 2, 0), "{found:?}");
    let text = serde_json::to_string(&found).expect("text");
    assert_eq!(serde_json::from_str::<Completeness>(&text).expect("read"), found, "{text}");
    let mut named = Vec::new();
    for lack in &found.lacks {
        let Lack::Numbers { study, accession, instances, series, of_series } = lack else { panic!("{lack:?}") };
        assert_eq!((accession.as_str(), series), ("A1", &None));
        let of_series: Vec<_> = of_series.iter().map(|one| (one.uid.as_str(), one.instances)).collect();
        named.push((study.as_str(), *instances, of_series));
    }
    named.sort_by_key(|(study, ..)| *study);
    let (of_study, of_series) = (Numbers { stated: 3, stored: 2 }, Numbers { stated: 4, stored: 1 });
    let expected = [("1.2.7", Some(of_study), vec![]), ("1.2.8", None, vec![("1.2.8.1", of_series)])];
    assert_eq!(named, expected);
    // Page by page it is the same.
    let (mut place, mut count, mut stated) = (Some(CompletenessPlace::default()), 0, 0);
    while let Some(from) = place {
        let page = bench.archive.completeness(&Caller::operator(), HOME, day("2027-01-15"), from, 1).expect("answers");
        assert!(page.lacks.len() <= 1, "{page:?}");
        (count, stated) = (count + page.lacks.len(), stated + page.studies_stated);
        place = page.next.map(|next| CompletenessPlace::parse(&next.to_string()).expect("a place"));
        assert_eq!(place, page.next);
    }
    assert_eq!((count, stated), (2, 3));
    assert!(of(&bench, "2027-01-16").is_empty(), "another day's");
    let bench = bench.reopen();
    stating(&bench, "1.2.7", 3, &[]);
    grows_quiet(&bench, &hands);
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.studies_stated, found.studies_differing), (3, 1), "the third came: {found:?}");
}

#[test]
fn what_somebody_asked_commitment_for_in_vain_is_named_until_it_comes_also_after_a_restart() {
    let (bench, hands) = hospital();
    store(&bench, "DEMO0", 1);
    let title = |text: &str| AeTitle::parse(text).expect("a title");
    let question = |transaction: &str| Commitment {
        transaction: uid(transaction),
        facility: HOME,
        source: "demo-loopback".into(),
        calling: title("CT1"),
        called: title("KHOANH"),
        objects: (1..=2).map(|number| (uid(CT), uid(&format!("1.2.1.1.{number}")))).collect(),
        asked: 0,
        web: false,
        duplicate: false,
    };
    let missing = |bench: &crate::tests::Bench| {
        let mut watch = Watch::new();
        bench.archive.watch_round(&mut watch).expect("looked");
        watch.missing(HOME)
    };
    assert_eq!(missing(&bench), 0);
    for transaction in ["1.9.7", "1.9.8"] {
        let asked = bench.archive.ask_commitment(question(transaction)).expect("taken");
        assert_eq!(bench.archive.verdict(&asked).failed.len(), 1);
        bench.archive.close_commitment(&asked);
    }
    let bench = bench.reopen();
    let found = of(&bench, "2027-01-15");
    let [Lack::Commitment { instance, station, asked, .. }] = found.lacks.as_slice() else { panic!("{found:?}") };
    assert_eq!((instance.as_str(), station.as_str(), *asked), ("1.2.1.1.2", "CT1", NOW), "it is named once");
    assert_eq!((found.uncommitted, found.missing), (1, 0), "{found:?}");
    assert_eq!(missing(&bench), 1, "nobody has to ask");
    assert!(of(&bench, "2027-01-14").is_empty() && of(&bench, "2027-01-16").is_empty());
    store(&bench, "56001", 2);
    assert_eq!(of(&bench, "2027-01-15").uncommitted, 1, "another hospital's copy");
    store(&bench, "DEMO0", 2);
    let found = of(&bench, "2027-01-15");
    assert_eq!((found.uncommitted, found.lacks.len(), missing(&bench)), (0, 0, 0), "{found:?}");
    // Everything is here: nothing is kept of a question.
    let kept = || std::fs::read_dir(bench.options.data.join("uncommitted")).expect("a folder").count();
    let before = kept();
    hands.0.fetch_add(MINUTE, Ordering::SeqCst);
    let asked = bench.archive.ask_commitment(question("1.9.7")).expect("taken");
    assert!(bench.archive.verdict(&asked).failed.is_empty());
    assert_eq!((before, kept()), (2, 1));
}
