//! What was recorded of studies is told of once, whenever the process was killed.

use super::matching::{Hospital, Image, hospital, with_accession};
use super::orders::asks_for;
use super::outbox::{all, wants, what};
use super::{HOME, other, patient, visit};
use crate::Archive;
use crate::charts::outbox::DeliveryFilter;
use crate::retain::{Correcting, MoveTo, Moving};
use crate::tests::{Bench, uid, until};
use model::attribute::key;
use model::chart::{Change, EventKind, OrderUpdate, Verdict};
use model::correction::Why;
use model::retention::moved::MoveReason;
use model::retention::{Person, StudyRef};
use model::{Attributes, Caller};
use std::time::Duration;

fn of(name: &str) -> StudyRef {
    StudyRef { facility: HOME, study: uid(name), patient: 0 }
}

fn lan() -> Person {
    Person::parse("Lân").expect("a person")
}

fn told(bench: &Bench) -> Vec<String> {
    what(&all(bench.archive.charts(), &DeliveryFilter::default()))
}

/// Ends without a word, and begins with or without the threads that look.
fn killed(bench: Bench, background: bool) -> Bench {
    let Bench { archive, mut options, folder } = bench;
    drop(archive);
    options.background = background;
    let mut opened = None;
    // Threads end when they see that nobody has the archive any more.
    until("it opens again", || {
        opened = Archive::open(options.clone()).ok();
        opened.is_some()
    });
    Bench { archive: opened.expect("open"), options, folder }
}

/// As after some seconds: what came in is not looked at by arrival again.
fn arrivals_are_done(bench: &Bench) {
    let place = bench.archive.index().max_seq().to_string();
    std::fs::write(bench.options.data.join("charts-matched"), place).expect("written");
}

fn accession(bench: &Bench, study: &str, number: &str) {
    let wanted = Correcting {
        study: of(study),
        set: Attributes::from([(key::ACCESSION_NUMBER, number.to_owned())]),
        clear: Vec::new(),
        why: Why::Correct,
        by: lan(),
        reason: "typed wrongly".into(),
    };
    bench.archive.correct_study(&wanted).expect("corrected");
}

fn merge(bench: &Bench, from: &str, into: &str) {
    let (study, to) = (of(from), MoveTo::Study(of(into)));
    let merge = Moving { study, series: Vec::new(), to, why: MoveReason::Merge, by: lan() };
    bench.archive.move_series(&merge).expect("moved");
}

#[test]
fn a_move_and_a_correction_that_nobody_looked_at_before_a_kill_are_told_of_once_after_it() {
    let bench = hospital(with_accession("P1", "A1"));
    let events = [EventKind::StudyAvailable, EventKind::StudyChanged];
    bench.archive.charts().subscribe(&Caller::operator(), HOME, wants("his", &events)).expect("subscribed");
    bench.archive.charts().subscribe(&Caller::operator(), other(), wants("else", &events)).expect("subscribed");
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    bench.send(&Image { study: "1.2.4", sop: "1.2.4.1.1", ..Image::default() }).expect("stored");
    bench.send(&Image { study: "1.2.5", sop: "1.2.5.1.1", ..Image::default() }).expect("stored");
    until("three studies are told of", || told(&bench).len() == 3);

    let bench = killed(bench, false);
    arrivals_are_done(&bench);
    merge(&bench, "1.2.3", "1.2.4");
    accession(&bench, "1.2.5", "A5");
    assert_eq!(told(&bench).len(), 3, "nobody looked at it");

    let mut bench = killed(bench, true);
    let expected = [
        "study-changed 1.2.3 unmatched",
        "study-changed 1.2.3 withdrawn",
        "study-changed 1.2.4 unmatched",
        "study-changed 1.2.5 unmatched",
    ];
    let changed = |bench: &Bench| {
        let mut changed: Vec<String> = told(bench).split_off(3);
        changed.sort();
        changed
    };
    until("it is told", || changed(&bench) == expected);
    assert!(bench.order("P1").images.is_none());
    // Whatever is looked at again is no news: not after another kill, and not without the place.
    for name in ["charts-told", "charts-matched"] {
        let bench_of = killed(bench, false);
        std::fs::remove_file(bench_of.options.data.join(name)).ok();
        bench = killed(bench_of, true);
    }
    accession(&bench, "1.2.5", "A6");
    until("what comes later is told", || told(&bench).len() == 8);
    let mut all = told(&bench).split_off(3);
    assert_eq!(all.pop().as_deref(), Some("study-changed 1.2.5 unmatched"));
    all.sort();
    assert_eq!(all, expected);
    // A place that cannot be read loses nothing, and tells nothing twice.
    let off = killed(bench, false);
    arrivals_are_done(&off);
    accession(&off, "1.2.5", "A7");
    std::fs::write(off.options.data.join("charts-told"), "").expect("written");
    let bench = killed(off, true);
    until("what nobody looked at is told", || told(&bench).len() == 9);
    accession(&bench, "1.2.5", "A8");
    until("what comes later is told", || told(&bench).len() == 10);
    assert!(told(&bench).split_off(8).iter().all(|one| one == "study-changed 1.2.5 unmatched"));
}

#[test]
fn images_of_a_visit_that_went_to_another_patient_are_looked_at_also_after_a_kill() {
    let bench = hospital(with_accession("P0", "A0"));
    let order = OrderUpdate { visit: Some("V".into()), ..with_accession("P1", "A1") };
    bench.says("v", vec![patient("1", "Lê An"), visit("V", "1", None)]);
    bench.says("o1", asks_for(order));
    bench.send(&Image { accession: "A1", ..Image::default() }).expect("stored");
    let bench = bench.reopen_with(|options| options.quiet_after = Duration::from_millis(1));
    until("it is complete", || bench.judged("1.2.3").is_some_and(|one| one.complete));
    assert_eq!(bench.judged("1.2.3").map(|one| one.verdict), Some(Verdict::Matched));
    let bench = killed(bench, false);
    arrivals_are_done(&bench);
    bench.says("m", vec![Change::MoveVisit { visit: "V".into(), mrn: "2".into() }]);
    assert_eq!(bench.judged("1.2.3").map(|one| one.verdict), Some(Verdict::Matched), "nobody looked at it");
    let bench = killed(bench, true);
    bench.until_judged("1.2.3", Verdict::Mismatch);
}
