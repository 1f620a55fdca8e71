//! Who sees what: callers, facilities, roots, the registry.

use super::*;
use crate::{RegistryError, RetrieveError, Target, Unknown};
use model::query::{Condition, Query, Test};
use model::{AeTitle, Caller, Facility, Level, Role, Scope, attribute::key};
use std::collections::BTreeSet;

fn code(text: &str) -> FacilityCode {
    FacilityCode::parse(text).expect("code")
}

fn reader(home: &str, facilities: &[&str]) -> Caller {
    let set: BTreeSet<_> = facilities.iter().map(|facility| code(facility)).collect();
    Caller {
        name: home.into(),
        role: Role::Reader,
        home: Some(code(home)),
        facilities: Some(set),
        sees_rejected: false,
    }
}

fn facility(text: &str) -> Facility {
    let (name, kind) = (format!("Bệnh viện {text}"), "hospital".into());
    Facility { code: code(text), name, kind, active_from: String::new(), active_to: String::new() }
}

fn by_patient(id: &str) -> Query {
    let condition = Condition { key: key::PATIENT_ID, test: Test::Equal(id.into()) };
    Query { level: Level::Study, conditions: vec![condition], fuzzy: false }
}

#[test]
fn two_hospitals_with_equal_numbers_stay_apart_in_every_answer() {
    let bench = Bench::new();
    let a = Object::new("1.2.1.1.1");
    let b = Object { patient: ("P1", "LE^VAN TAM"), study: "1.2.2", series: "1.2.2.1", ..Object::new("1.2.2.1.1") };
    bench.store_from(&bench.source_of("56001"), &a).expect("a");
    bench.store_from(&bench.source_of("79002"), &b).expect("b");
    for (home, study) in [("56001", "1.2.1"), ("79002", "1.2.2")] {
        let caller = reader(home, &[home]);
        let found = bench.archive.find(&caller, Scope::Shared, &by_patient("P1"), 0, 10).expect("found");
        let studies: Vec<_> = found.rows.iter().map(|row| row.study.as_str()).collect();
        assert_eq!(studies, [study], "caller of {home}");
        let other = Target::Study(uid(if study == "1.2.1" { "1.2.2" } else { "1.2.1" }));
        assert_eq!(bench.archive.select(&caller, Scope::Shared, &other).err(), Some(RetrieveError::NotFound));
        assert_eq!(bench.archive.metadata(&caller, Scope::Shared, &other).err(), Some(RetrieveError::NotFound));
    }
}

#[test]
fn the_shared_root_answers_with_one_facilitys_copy_and_says_so() {
    let bench = Bench::new();
    let object = Object::new("1.2.1.1.1");
    let theirs = Object { fill: 8, ..object.clone() };
    bench.store_from(&bench.source_of("56001"), &object).expect("first");
    bench.store_from(&bench.source_of("79002"), &theirs).expect("their own");
    let target = Target::Study(uid("1.2.1"));
    for (home, facility) in [("56001", "56001"), ("79002", "79002"), ("66003", "56001")] {
        let caller = reader(home, &["56001", "79002"]);
        let selection = bench.archive.select(&caller, Scope::Shared, &target).expect("selection");
        assert_eq!(selection.facility, code(facility), "caller of {home}");
        assert_eq!((selection.instances.len(), selection.notes.len()), (1, 1));
        let found = bench.archive.find(&caller, Scope::Shared, &by_patient("P1"), 0, 10).expect("found");
        assert_eq!(found.rows.iter().map(|row| row.facility).collect::<Vec<_>>(), [code(facility)]);
    }
    let own = Scope::Facility(code("79002"));
    let caller = reader("56001", &["56001", "79002"]);
    assert_eq!(bench.archive.select(&caller, own, &target).expect("root").facility, code("79002"));
}

#[test]
fn offset_and_limit_walk_the_whole_answer_once() {
    let bench = Bench::new();
    for number in 0..25 {
        bench.store(&Object { number, ..Object::new(&format!("1.2.1.1.{}", number + 1)) }).expect("stored");
    }
    let query = Query { level: Level::Instance, conditions: Vec::new(), fuzzy: false };
    let mut seen = BTreeSet::new();
    let mut offset = 0;
    loop {
        let found = bench.archive.find(&Caller::demo(), Scope::Shared, &query, offset, 7).expect("page");
        offset += u64::try_from(found.rows.len()).expect("count");
        seen.extend(found.rows.iter().filter_map(|row| row.instance.clone()));
        if !found.more {
            break;
        }
        assert_eq!(found.rows.len(), 7);
    }
    assert_eq!((seen.len(), offset), (25, 25));
}

#[test]
fn sources_are_told_apart_and_strangers_are_counted() {
    let bench = Bench::new();
    let operator = Caller::operator();
    bench.archive.put_facility(&operator, facility("56001")).expect("facility");
    let ct01 = Source {
        id: "ct01".into(),
        facility: code("56001"),
        calling: AeTitle::parse("CT01").ok(),
        addresses: vec![model::facility::AddressRange::parse("10.1.0.0/16").expect("range")],
        ..bench.source()
    };
    bench.archive.put_source(&operator, ct01.clone()).expect("source");
    let title = |text: &str| AeTitle::parse(text).expect("title");
    let ask = |called: &str, calling: &str, peer: &str| {
        bench.archive.identify(&title(called), &title(calling), peer.parse().expect("address"), None)
    };
    assert_eq!(ask("KHOANH", "CT01", "10.1.2.3").expect("known").id, "ct01");
    assert_eq!(ask("KHOANH", "CT01", "10.2.2.3"), Err(Unknown::Calling));
    assert_eq!(ask("KHOANH", "CT01", "10.2.2.3"), Err(Unknown::Calling));
    assert_eq!(ask("OTHER", "CT01", "10.1.2.3"), Err(Unknown::Called));
    let knocks = bench.archive.knocks();
    assert_eq!(knocks.first().map(|knock| (knock.calling.as_str(), knock.times)), Some(("CT01", 2)));
    bench.archive.put_source(&operator, Source { disabled: true, ..ct01 }).expect("disable");
    assert_eq!(ask("KHOANH", "CT01", "10.1.2.3"), Err(Unknown::Disabled));
    let bench = bench.reopen();
    assert!(bench.archive.sources().1.iter().any(|source| source.id == "ct01" && source.disabled), "journaled");
}

#[test]
fn a_registry_change_needs_an_administrator_and_sense() {
    let bench = Bench::new();
    let nurse = reader("56001", &["56001"]);
    assert_eq!(bench.archive.put_facility(&nurse, facility("56001")), Err(RegistryError::Forbidden));
    let homeless = Source { id: "x".into(), facility: code("99999"), ..bench.source() };
    assert!(matches!(bench.archive.put_source(&Caller::operator(), homeless), Err(RegistryError::Invalid { .. })));
    let speechless = Source { text_max: Some(Source::TEXT_MAX_LEAST - 1), ..bench.source() };
    assert!(matches!(bench.archive.put_source(&Caller::operator(), speechless), Err(RegistryError::Invalid { .. })));
    let twin = Source { id: "twin".into(), ..bench.source() };
    assert!(matches!(bench.archive.put_source(&Caller::operator(), twin), Err(RegistryError::Invalid { .. })));
}
