//! What becomes of objects: new, same, conflict, other patient, other study, other facility.

use super::*;
use crate::{StoredKind, Target};
use model::attribute::key;
use model::{Caller, Flag, Scope};

fn instance(object: &Object) -> Target {
    Target::Instance { study: uid(object.study), series: uid(object.series), instance: uid(&object.sop) }
}

#[test]
fn an_acknowledged_object_is_found_and_read_back_byte_for_byte() {
    let bench = Bench::new();
    let object = Object::new("1.2.1.1.1");
    assert_eq!(bench.store(&object).expect("stored").kind, StoredKind::New);
    let selection = bench.archive.select(&Caller::demo(), Scope::Shared, &instance(&object)).expect("findable");
    let row = selection.instances.first().expect("one");
    let read = bench.archive.read(row, u64::from(row.meta_len)..row.file_len).expect("bytes");
    assert_eq!(read, object.bytes());
}

#[test]
fn the_same_again_is_success_and_nothing_grows() {
    let bench = Bench::new();
    let object = Object::new("1.2.1.1.1");
    bench.store(&object).expect("first");
    let before = bench.archive.stats().expect("stats").index;
    assert_eq!(bench.store(&object).expect("again").kind, StoredKind::Same);
    assert_eq!(bench.archive.stats().expect("stats").index, before);
}

#[test]
fn the_same_in_flight_many_times_is_stored_once() {
    let bench = Bench::new();
    let object = Object::new("1.2.1.1.1");
    let kinds: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| bench.store(&object).expect("success").kind)).collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    assert_eq!(kinds.iter().filter(|kind| **kind == StoredKind::New).count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == StoredKind::Same).count(), 15, "{kinds:?}");
}

#[test]
fn other_bytes_under_a_uid_are_kept_and_listed_and_the_first_is_served() {
    let bench = Bench::new();
    let first = Object::new("1.2.1.1.1");
    let second = Object { fill: 9, ..first.clone() };
    bench.store(&first).expect("first");
    assert_eq!(bench.store(&second).expect("second").kind, StoredKind::Conflict);
    assert_eq!(bench.store(&second).expect("second again").kind, StoredKind::Same);
    let selection = bench.archive.select(&Caller::demo(), Scope::Shared, &instance(&first)).expect("found");
    let row = selection.instances.first().expect("one");
    assert_eq!(bench.archive.read(row, u64::from(row.meta_len)..row.file_len).expect("bytes"), first.bytes());
    let listed = bench.archive.conflicts(&Caller::demo(), None, 10).expect("list").rows;
    let kept = listed.first().expect("listed");
    assert_eq!(bench.archive.read(kept, u64::from(kept.meta_len)..kept.file_len).expect("bytes"), second.bytes());
}

#[test]
fn two_patients_under_one_study_uid_stay_apart() {
    let bench = Bench::new();
    let first = Object::new("1.2.1.1.1");
    let other = Object { series: "1.2.1.2", patient: ("P2", "TRAN^THI BE"), ..Object::new("1.2.1.2.1") };
    bench.store(&first).expect("first");
    assert!(bench.store(&other).expect("other").flags.contains(&Flag::OtherPatient));
    let study = bench.archive.select(&Caller::demo(), Scope::Shared, &Target::Study(uid("1.2.1"))).expect("study");
    assert_eq!(study.instances.len(), 1, "only the first patient's instance");
    assert!(!study.notes.is_empty(), "the asker is told");
    assert!(bench.archive.select(&Caller::demo(), Scope::Shared, &instance(&other)).is_ok(), "reached by its series");
}

#[test]
fn a_hundred_patients_under_one_study_uid_stay_apart_whoever_is_on_the_way() {
    let bench = Bench::new();
    let object = |patient: usize, part: usize| {
        // Every other object says no ID, and every other patient has the series of all.
        let id: &'static str = if part == 0 { format!("P{patient:03}").leak() } else { "" };
        let series: &'static str =
            if patient.is_multiple_of(2) { "1.2.1.9" } else { format!("1.2.1.8.{patient}").leak() };
        let name: &'static str = format!("NGUYEN^VAN A{patient}").leak();
        Object { series, patient: (id, name), ..Object::new(&format!("1.2.1.{patient}.{part}")) }
    };
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let (bench, object) = (&bench, &object);
            scope.spawn(move || {
                for number in (lane..200).step_by(8) {
                    bench.store(&object(number / 2, number % 2)).expect("stored");
                }
            });
        }
    });
    let apart = |bench: &Bench, instances: u64| {
        let rows = bench.archive.index().studies(&uid("1.2.1")).expect("studies");
        let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row.value(key::PATIENT_ID)).collect();
        assert_eq!((rows.len(), ids.len()), (100, 100));
        assert!(rows.iter().all(|row| row.instances == instances), "each has its own");
    };
    apart(&bench, 2);
    let bench = bench.reopen();
    for patient in 0..100 {
        bench.store(&object(patient, 2)).expect("stored");
    }
    apart(&bench, 3);
    // Other bytes under a UID are kept with whom they name, and listed page by page.
    for patient in 0..100 {
        bench.store(&Object { fill: 9, ..object(patient, 0) }).expect("kept");
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = bench.archive.conflicts(&Caller::demo(), after.as_ref(), 30).expect("list");
        listed.extend(page.rows.iter().map(|row| row.key.study.patient));
        after = page.cursor;
        if after.is_none() {
            break;
        }
    }
    listed.sort_unstable();
    assert_eq!(listed, (0..100).collect::<Vec<u16>>());
    apart(&bench, 3);
}

#[test]
fn one_series_uid_in_two_studies_stays_apart() {
    let bench = Bench::new();
    let first = Object::new("1.2.1.1.1");
    let other = Object { study: "1.2.2", ..Object::new("1.2.1.1.2") };
    bench.store(&first).expect("first");
    assert!(bench.store(&other).expect("other").flags.contains(&Flag::OtherStudy));
    for object in [&first, &other] {
        let target = Target::Series { study: uid(object.study), series: uid(object.series) };
        let selection = bench.archive.select(&Caller::demo(), Scope::Shared, &target).expect("series");
        let sops: Vec<_> = selection.instances.iter().map(|row| row.sop_instance.as_str()).collect();
        assert_eq!(sops, [object.sop.as_str()]);
    }
}

#[test]
fn a_large_object_goes_through_a_file_and_comes_back() {
    let bench = Bench::with(|options| options.blob_above = 300_000);
    let object = Object { pixels: 1_000_000 / 64 * 64, ..Object::new("1.2.1.1.1") };
    bench.store(&object).expect("stored");
    let selection = bench.archive.select(&Caller::demo(), Scope::Shared, &instance(&object)).expect("found");
    let row = selection.instances.first().expect("one");
    assert!(row.home.journal().is_some_and(|place| place.blob.is_some()));
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut bench.archive.data_set(row), &mut read).expect("read");
    assert_eq!(read, object.bytes());
}

#[test]
fn a_spent_budget_sends_objects_to_files_and_refuses_none() {
    let bench = Bench::with(|options| options.ingest_budget = 0);
    let object = Object::new("1.2.1.1.1");
    bench.store(&object).expect("stored all the same");
    let selection = bench.archive.select(&Caller::demo(), Scope::Shared, &instance(&object)).expect("found");
    assert!(selection.instances.first().expect("one").home.journal().is_some_and(|place| place.blob.is_some()));
}

#[test]
fn what_is_announced_must_be_what_comes() {
    let bench = Bench::new();
    let form = Form::DataSet { sop_class: uid(CT), sop_instance: uid("9.9"), transfer_syntax: uid(EXPLICIT_LE) };
    let mut incoming = bench.archive.receive(&bench.source(), Via::CStore, form).expect("begin");
    incoming.write(&Object::new("1.2.1.1.1").bytes()).expect("bytes");
    assert!(matches!(incoming.finish(), Err(IngestError::Mismatch { .. })));
    assert_eq!(bench.archive.stats().expect("stats").index.total.instances, 0);
}

#[test]
fn draining_refuses_new_objects_and_says_so() {
    let bench = Bench::new();
    bench.archive.begin_drain();
    assert!(matches!(bench.store(&Object::new("1.2.1.1.1")), Err(IngestError::Unavailable { .. })));
    assert!(!bench.archive.readiness().ready);
}
