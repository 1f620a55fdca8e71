//! What happens to series that were moved while other things go on: packs, plans, rebuilds, late images, forwarding.
//!
//! Deliberately not here: the moves themselves ([`super::moving`]).

use super::moving::{moving, read, rebuilt, study, two_studies};
use super::retain::{
    STAYS, archive as kept_archive, begun, fill, hold, object, person, plan_of, progress, rows, store, swept,
};
use super::*;
use crate::retain::MoveTo;
use model::Fact;
use model::date::DAY_MS;
use model::retention::moved::{MoveReason, Moved};
use model::retention::{HoldTarget, RetentionFact};
use serde_json::Value;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};

fn whole(bench: &Bench, study: &str, count: usize) {
    let rows = rows(bench, study);
    assert_eq!(rows.len(), count, "{study}");
    for row in rows {
        let mut bytes = Vec::new();
        bench.archive.data_set(&row).read_to_end(&mut bytes).expect("read");
        assert_eq!(u64::try_from(bytes.len()).expect("short"), row.dataset_len);
    }
}

/// Packs that were written while a series stood in a study name that study.
#[test]
fn a_series_that_stood_in_a_study_for_a_while_outlives_it_also_when_the_index_is_rebuilt() {
    let (bench, hand) = kept_archive(true);
    fill(&bench, &hand);
    until("packed", || super::retain::all_packed(&bench));
    bench.archive.move_series(&moving("1.2.22", &[], MoveTo::Study(study("1.2.1")))).expect("moved");
    // It follows its series, and is packed and quiet there.
    store(&bench, &object("1.2.22", STAYS, 9, 4096));
    until("packed", || {
        let rows = rows(&bench, "1.2.1");
        rows.len() == 8 && rows.iter().all(|row| row.home.journal().is_none())
    });
    until("quiet", || bench.archive.index().busy_series(u64::MAX, 10).expect("index").is_empty());
    bench.archive.move_series(&moving("1.2.1", &[], MoveTo::Home)).expect("taken back");
    whole(&bench, "1.2.22", 4);
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    hand.0.fetch_add(30 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    until("swept", || swept(&bench));
    assert!(rows(&bench, "1.2.1").is_empty());
    whole(&bench, "1.2.22", 4);
    let bench = rebuilt(bench);
    whole(&bench, "1.2.22", 4);
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    std::fs::remove_dir_all(options.data.join("index")).expect("the index");
    let bench = Bench { archive: Archive::open(options.clone()).expect("open without an index"), options, folder };
    until("swept once more", || swept(&bench));
    whole(&bench, "1.2.22", 4);
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (4, 0), "{report:?}");
}

#[test]
fn a_study_that_a_series_only_passed_through_goes_in_its_time() {
    let (bench, hand) = kept_archive(false);
    fill(&bench, &hand);
    store(&bench, &object("1.2.333", ("P3", "A^B"), 1, 128));
    let known = |bench: &Bench| {
        let plan = bench.archive.retention_plan(&plan_of(bench)).expect("plan");
        (plan.due, plan.held)
    };
    let before = known(&bench);
    for (from, to) in [("1.2.22", MoveTo::Study(study("1.2.1"))), ("1.2.1", MoveTo::Study(study("1.2.333")))] {
        bench.archive.move_series(&moving(from, &["1.2.22.1"], to)).expect("moved");
    }
    assert!(bench.archive.moves_of(&study("1.2.1")).expect("listed").standing.is_empty(), "it does not stand there");
    bench.archive.move_series(&moving("1.2.333", &["1.2.22.1"], MoveTo::Home)).expect("taken back");
    assert_eq!(known(&bench), before);
}

/// The archive looked before, but not at this very moment.
#[test]
fn a_series_does_not_move_where_one_of_its_name_came_in_at_the_last_moment() {
    let bench = two_studies();
    let patient = ("P2", "LE^THI BINH");
    let own = Object { study: "1.2.2", series: "1.2.1.2", patient, ..Object::new("1.2.2.9.9") };
    bench.store(&own).expect("stored");
    let (by, from) = (person("lan"), study("1.2.1"));
    let fact = |to: &str, series: &str| {
        let (study, series, to) = (from.clone(), vec![uid(series)], study(to));
        let why = MoveReason::WrongStudy;
        let moved = Moved { study, series, from: from.clone(), to, made: None, why, by: by.clone(), at: 1 };
        Fact::Retention(Box::new(RetentionFact::SeriesMoved(Box::new(moved))))
    };
    let late = bench.archive.record(fact("1.2.2", "1.2.1.2"));
    assert!(matches!(late, Err(IngestError::Mismatch { .. })), "{late:?}");
    assert!(bench.archive.moves_of(&from).expect("listed").moves.is_empty());
    bench.archive.record(fact("1.2.2", "1.2.1.1")).expect("moved");
    bench.archive.record(fact("1.2.1", "1.2.1.1")).expect("taken back");
}

/// A pack takes a while to write; the series it was begun for may stand elsewhere by then.
#[test]
fn a_pack_of_a_series_that_moved_while_it_was_written_is_not_recorded() {
    let bench = Bench::with(|options| options.packs.enabled = false);
    bench.store(&Object::new("1.2.1.1.1")).expect("stored");
    bench.store(&Object { study: "1.2.2", series: "1.2.2.1", ..Object::new("1.2.2.1.1") }).expect("stored");
    let begun = rows(&bench, "1.2.1");
    let pack = |rows: &[index::InstanceRow]| {
        let series = rows.first().expect("a row").key.clone();
        crate::packing::write_pack(&bench.archive, &series, 0, rows, Vec::new())
    };
    bench.archive.move_series(&moving("1.2.1", &[], MoveTo::Study(study("1.2.2")))).expect("moved");
    let late = pack(&begun);
    assert!(late.is_err(), "{late:?}");
    assert!(bench.archive.index().packs_of(&begun[0].key).expect("index").is_empty());
    whole(&bench, "1.2.2", 2);
    let now: Vec<_> = rows(&bench, "1.2.2").into_iter().filter(|row| row.key.series == begun[0].key.series).collect();
    pack(&now).expect("packed where it stands");
    whole(&bench, "1.2.2", 2);
}

#[test]
fn nothing_that_is_said_of_the_former_patient_beside_the_name_goes_out_with_a_moved_series() {
    let bench = two_studies();
    let object = Object { series: "1.2.1.3", ..Object::new("1.2.1.3.1") };
    let mut bytes = object.bytes();
    let mut more = Vec::new();
    for (tag, vr, text) in [((0x10, 0x1010), b"AS", "034Y"), ((0x10, 0x1040), b"LO", "12 LE LOI ")] {
        short(tag, vr, text, &mut more);
    }
    let at = memchr::memmem::find(&bytes, b"\x20\x00\x0d\x00UI").expect("the study");
    bytes.splice(at..at, more);
    store(&bench, &(object, bytes));
    let said = |study: &str| -> Vec<Value> {
        let of_series = rows(&bench, study).into_iter().filter(|row| row.key.series == uid("1.2.1.3"));
        of_series
            .map(|row| {
                let mut bytes = Vec::new();
                bench.archive.given(&row).expect("given").read_to_end(&mut bytes).expect("read");
                read(&bytes)
            })
            .collect()
    };
    assert_eq!(said("1.2.1")[0]["00101040"]["Value"][0], "12 LE LOI");
    bench.archive.move_series(&moving("1.2.1", &["1.2.1.3"], MoveTo::Study(study("1.2.2")))).expect("moved");
    let moved = said("1.2.2").remove(0);
    assert_eq!(moved["00100020"]["Value"][0], "P2");
    for tag in ["00101010", "00101040"] {
        assert!(moved[tag].get("Value").is_none(), "{tag} in {moved}");
        assert!(moved["04000561"]["Value"][0]["04000550"]["Value"][0][tag].get("Value").is_some(), "{tag} in {moved}");
    }
    assert!(moved.get("00102154").is_none(), "what was not said is not blanked");
    // Of the same patient it stays.
    bench.archive.move_series(&moving("1.2.2", &["1.2.1.3"], MoveTo::Home)).expect("taken back");
    bench.archive.move_series(&moving("1.2.1", &["1.2.1.3"], MoveTo::New(Some(uid("1.2.9"))))).expect("split");
    assert_eq!(said("1.2.9")[0]["00101040"]["Value"][0], "12 LE LOI");
}

/// It was moved to a patient whose own term is over, too.
#[test]
fn a_moved_series_goes_with_the_study_it_was_received_in_when_both_may_go_and_not_before() {
    let (bench, hand) = kept_archive(true);
    store(&bench, &object("1.2.333", ("P3", "A^B"), 1, 128));
    let objects = fill(&bench, &hand);
    until("packed", || super::retain::all_packed(&bench));
    let known = |bench: &Bench| {
        let plan = bench.archive.retention_plan(&plan_of(bench)).expect("plan");
        (plan.due, plan.held)
    };
    assert_eq!(known(&bench), (2, 0));
    bench.archive.move_series(&moving("1.2.1", &[], MoveTo::Study(study("1.2.22")))).expect("moved");
    assert_eq!(known(&bench), (1, 1), "it stands in a study that must be kept");
    bench.archive.move_series(&moving("1.2.22", &["1.2.1.1"], MoveTo::Study(study("1.2.333")))).expect("moved on");
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.333")))).expect("held");
    assert_eq!(known(&bench), (0, 2), "it stands in a study that is held");
    let id = model::retention::HoldId::parse("H-7").expect("id");
    bench.archive.release_hold(id, person("lan"), "closed".into()).expect("released");
    assert_eq!(known(&bench), (1, 1), "the study it stands in waits for it");
    until("packed", || rows(&bench, "1.2.333").iter().all(|row| row.home.journal().is_none()));
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    hand.0.fetch_add(30 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    until("swept", || swept(&bench));
    assert_eq!(super::retain::traces(&bench.options.data, &objects), [], "something stayed");
    let is_gone = |bench: &Bench| {
        whole(bench, "1.2.333", 1);
        whole(bench, "1.2.22", 3);
        assert!(rows(bench, "1.2.1").is_empty());
        assert!(bench.archive.moves_of(&study("1.2.333")).expect("listed").standing.is_empty());
        assert_eq!(bench.archive.index().stats().expect("stats").total.instances, 4);
    };
    is_gone(&bench);
    let bench = rebuilt(bench);
    is_gone(&bench);
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    std::fs::remove_dir_all(options.data.join("index")).expect("the index");
    let bench = Bench { archive: Archive::open(options.clone()).expect("open without an index"), options, folder };
    until("swept once more", || swept(&bench));
    is_gone(&bench);
    assert_eq!(known(&bench), (1, 0), "the study it stood in is free");
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (4, 0), "{report:?}");
}

#[test]
fn an_image_that_comes_late_to_a_moved_series_takes_the_study_it_was_received_in_out_of_the_plan() {
    let (bench, hand) = kept_archive(false);
    store(&bench, &object("1.2.333", ("P3", "A^B"), 1, 128));
    fill(&bench, &hand);
    bench.archive.move_series(&moving("1.2.1", &[], MoveTo::Study(study("1.2.333")))).expect("moved");
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    store(&bench, &object("1.2.1", super::retain::GOES, 9, 128));
    hand.0.fetch_add(30 * DAY_MS, Ordering::Relaxed);
    until("taken out", || progress(&bench, &plan).taken_out == 1);
    whole(&bench, "1.2.333", 6);
}
