//! Series moved to another study, split off, merged and taken back: found and given there, kept with it, and undone
//! without a trace.

use super::retain::{archive as kept_archive, fill, hold, object, person, plan_of, store as store_bytes};
use super::*;
use crate::retain::{Correcting, MoveTo, Moving, RetainError, SeriesMove};
use crate::{Selection, Target, rebuild};
use dataset::json::{Options as JsonOptions, Parts, instance_json};
use model::attribute::key;
use model::correction::Why;
use model::query::{Condition, Query, Test};
use model::retention::moved::MoveReason;
use model::retention::record::{Named, RejectReason};
use model::retention::{HoldTarget, StudyRef};
use model::{AttrKey, Attributes, Caller, Level, Scope};
use serde_json::Value;
use std::io::Read as _;
use std::sync::atomic::AtomicBool;

pub(super) fn study(name: &str) -> StudyRef {
    StudyRef { facility: FacilityCode::DEMO, study: uid(name), patient: 0 }
}

pub(super) fn moving(from: &str, series: &[&str], to: MoveTo) -> Moving {
    let series = series.iter().map(|series| uid(series)).collect();
    Moving { study: study(from), series, to, why: MoveReason::WrongPatient, by: person("lan") }
}

/// Two patients' studies of two series and one.
pub(super) fn two_studies() -> Bench {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::from_millis(100);
        (options.packs.after, options.packs.reserve) = (Duration::ZERO, 0);
    });
    for (study, series, sop, patient) in [
        ("1.2.1", "1.2.1.1", "1.2.1.1.1", ("P1", "NGUYEN^VAN AN")),
        ("1.2.1", "1.2.1.2", "1.2.1.2.1", ("P1", "NGUYEN^VAN AN")),
        ("1.2.2", "1.2.2.1", "1.2.2.1.1", ("P2", "LE^THI BINH")),
    ] {
        bench.store(&Object { study, series, patient, ..Object::new(sop) }).expect("stored");
    }
    bench
}

fn select(bench: &Bench, target: Target) -> Option<Selection> {
    bench.archive.select(&Caller::demo(), Scope::Shared, &target).ok()
}

fn instances(bench: &Bench, study: &str) -> Vec<String> {
    let found = select(bench, Target::Study(uid(study))).map(|found| found.instances).unwrap_or_default();
    found.iter().map(|row| row.sop_instance.to_string()).collect()
}

fn found(bench: &Bench, level: Level, key: AttrKey, text: &str) -> Vec<Attributes> {
    let query = Query { level, conditions: vec![Condition { key, test: Test::Equal(text.into()) }], fuzzy: false };
    let found = bench.archive.find(&Caller::demo(), Scope::Shared, &query, 0, 20).expect("found");
    found.rows.into_iter().map(|row| row.attributes).collect()
}

fn documents(bench: &Bench, target: &Target) -> Vec<Value> {
    let found = bench.archive.metadata(&Caller::demo(), Scope::Shared, target).unwrap_or_default();
    let all = found.iter().flat_map(|part| {
        let json = zstd::decode_all(part.json_zstd.as_slice()).expect("zstd");
        serde_json::from_slice::<Vec<Value>>(&json).expect("JSON")
    });
    all.collect()
}

/// Everything that is said of some studies: objects, documents, and answers of every level.
fn answers(bench: &Bench, studies: &[&str]) -> (Vec<Vec<u8>>, Vec<Value>, Vec<Vec<Attributes>>) {
    let (mut objects, mut all, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for study in studies {
        for row in select(bench, Target::Study(uid(study))).map(|found| found.instances).unwrap_or_default() {
            let mut bytes = Vec::new();
            bench.archive.given(&row).expect("given").read_to_end(&mut bytes).expect("read");
            objects.push(bytes);
        }
        all.extend(documents(bench, &Target::Study(uid(study))));
        for level in [Level::Study, Level::Series, Level::Instance] {
            rows.push(found(bench, level, key::STUDY_INSTANCE_UID, study));
        }
    }
    (objects, all, rows)
}

pub(super) fn read(bytes: &[u8]) -> Value {
    let parts = Parts { before: bytes, pixel: None, after: &[] };
    let mut out = Vec::new();
    instance_json(&parts, &uid(EXPLICIT_LE), &JsonOptions::new("B"), &mut out).expect("readable");
    serde_json::from_slice(&out).expect("JSON")
}

fn text<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    document.pointer(path).and_then(Value::as_str)
}

fn said(document: &Value) -> [Option<&str>; 4] {
    let before = "/04000561/Value/0/04000550/Value/0";
    [
        text(document, "/0020000D/Value/0"),
        text(document, "/00100020/Value/0"),
        text(document, &format!("{before}/0020000D/Value/0")),
        text(document, &format!("{before}/00100020/Value/0")),
    ]
}

/// The series 1.2.1.2 stands in 1.2.2, with so many instances, by every way of asking.
fn is_moved(bench: &Bench, count: usize) {
    assert_eq!(instances(bench, "1.2.1"), ["1.2.1.1.1"]);
    assert_eq!(instances(bench, "1.2.2").len(), 1 + count);
    let (study, series) = (uid("1.2.1"), uid("1.2.1.2"));
    assert!(select(bench, Target::Series { study, series: series.clone() }).is_none(), "it is where it was");
    let there = Target::Series { study: uid("1.2.2"), series: series.clone() };
    let rows = select(bench, there.clone()).expect("it is there").instances;
    assert_eq!(rows.len(), count);
    let right = [Some("1.2.2"), Some("P2"), Some("1.2.1"), Some("P1")];
    for row in &rows {
        let mut bytes = Vec::new();
        bench.archive.given(row).expect("given").read_to_end(&mut bytes).expect("read");
        assert_eq!(said(&read(&bytes)), right);
        let mut stored = Vec::new();
        bench.archive.data_set(row).read_to_end(&mut stored).expect("read");
        assert_eq!(said(&read(&stored)), [Some("1.2.1"), Some("P1"), None, None], "stored bytes never change");
        let mut made = bench.archive.transcoded(row, "1.2.840.10008.1.2").expect("implicit");
        let mut implicit = Vec::new();
        made.read_to_end(&mut implicit).expect("read");
        assert!(implicit.windows(11).any(|window| window == b"LE^THI BINH"), "an implicit copy");
    }
    let one = Target::Instance { study: uid("1.2.2"), series, instance: uid("1.2.1.2.1") };
    for document in documents(bench, &there).iter().chain(&documents(bench, &one)) {
        assert_eq!(said(document), right);
    }
    assert_eq!(documents(bench, &Target::Study(uid("1.2.2"))).len(), 1 + count);
    let counts = |level, key, value| -> Vec<String> {
        let number = key::NUMBER_OF_STUDY_RELATED_INSTANCES;
        found(bench, level, key, value).iter().map(|row| row.get(&number).cloned().unwrap_or_default()).collect()
    };
    assert_eq!(counts(Level::Study, key::PATIENT_ID, "P1"), ["1"]);
    assert_eq!(counts(Level::Study, key::PATIENT_ID, "P2"), [(1 + count).to_string()]);
    assert_eq!(found(bench, Level::Series, key::PATIENT_ID, "P1").len(), 1);
    assert_eq!(found(bench, Level::Series, key::PATIENT_ID, "P2").len(), 2);
    let named = found(bench, Level::Instance, key::SOP_INSTANCE_UID, "1.2.1.2.1");
    assert_eq!(named[0].get(&key::STUDY_INSTANCE_UID).map(String::as_str), Some("1.2.2"));
    let set = bench.archive.file_set(&Caller::demo(), Scope::Shared, &[uid("1.2.2")]).expect("a file-set");
    assert_eq!(set.files.len(), 1 + count);
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!(report.damaged, 0, "{report:?}");
}

pub(super) fn rebuilt(bench: Bench) -> Bench {
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal(), "{report:?}");
    Bench { archive: Archive::open(options.clone()).expect("open"), options, folder }
}

fn is_packed(bench: &Bench) -> bool {
    let rows = ["1.2.1", "1.2.2"].map(|study| select(bench, Target::Study(uid(study))));
    rows.into_iter().flatten().flat_map(|found| found.instances).all(|row| row.home.journal().is_none())
}

#[test]
fn a_moved_series_is_the_other_studys_everywhere_and_comes_back_without_a_trace() {
    let bench = two_studies();
    let both = ["1.2.1", "1.2.2"];
    let before = answers(&bench, &both);
    let wanted = moving("1.2.1", &["1.2.1.2"], MoveTo::Study(study("1.2.2")));
    let would = bench.archive.would_move(&wanted).expect("told");
    assert_eq!(answers(&bench, &both), before, "told, not done");
    let (series, from, to) = (uid("1.2.1.2"), study("1.2.1"), study("1.2.2"));
    assert_eq!(would, [SeriesMove { series, study: from.clone(), from, to, instances: 1 }]);
    assert_eq!(bench.archive.move_series(&wanted).expect("moved"), would);
    assert!(bench.archive.move_series(&wanted).is_err(), "the same again");
    is_moved(&bench, 1);
    // Images that come later under the old name follow their series.
    let late = Object { series: "1.2.1.2", number: 2, ..Object::new("1.2.1.2.2") };
    bench.store(&late).expect("stored");
    is_moved(&bench, 2);
    let bench = bench.reopen();
    is_moved(&bench, 2);
    until("packed", || is_packed(&bench));
    is_moved(&bench, 2);
    let bench = rebuilt(bench);
    is_moved(&bench, 2);
    let moves = bench.archive.moves_of(&study("1.2.2")).expect("listed");
    assert_eq!((moves.moves.len(), moves.standing.len()), (1, 1));
    let home = moving("1.2.2", &[], MoveTo::Home);
    assert_eq!(bench.archive.move_series(&home).expect("taken back").len(), 1);
    assert!(bench.archive.move_series(&home).is_err(), "taken back twice");
    let check = |bench: &Bench| {
        let (objects, documents, mut rows) = answers(bench, &both);
        assert_eq!(objects.iter().filter(|object| before.0.contains(object)).count(), before.0.len());
        assert!(before.1.iter().all(|document| documents.contains(document)));
        // One instance more came meanwhile; besides, every answer is as it was.
        let count = key::NUMBER_OF_STUDY_RELATED_INSTANCES;
        assert_eq!((objects.len(), rows[0][0].get(&count).map(String::as_str)), (4, Some("3")));
        rows.iter_mut().zip(&before.2).filter(|(_, before)| before.len() == 1).for_each(|(now, before)| {
            now[0].insert(count, before[0][&count].clone());
        });
        assert_eq!((&rows[0], &rows[3..]), (&before.2[0], &before.2[3..]));
    };
    check(&bench);
    let bench = rebuilt(bench);
    check(&bench);
    assert!(bench.archive.moves_of(&study("1.2.2")).expect("listed").standing.is_empty());
}

#[test]
fn a_study_splits_and_what_is_split_off_becomes_another_patients() {
    let bench = two_studies();
    let before = answers(&bench, &["1.2.1"]);
    let all = moving("1.2.1", &[], MoveTo::New(None));
    assert!(bench.archive.move_series(&all).is_err(), "nothing would be left");
    let taken = moving("1.2.1", &["1.2.1.2"], MoveTo::New(Some(uid("1.2.2"))));
    assert!(bench.archive.move_series(&taken).is_err(), "that study is there");
    // Also the series that the study began with.
    let split = moving("1.2.1", &["1.2.1.1"], MoveTo::New(Some(uid("1.2.9"))));
    bench.archive.move_series(&split).expect("split");
    assert_eq!(
        (instances(&bench, "1.2.1"), instances(&bench, "1.2.9")),
        (vec!["1.2.1.2.1".into()], vec!["1.2.1.1.1".into()])
    );
    let rows = found(&bench, Level::Study, key::PATIENT_ID, "P1");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.get(&key::STUDY_DATE).is_some_and(|date| date == "20260102")), "{rows:?}");
    let set = Attributes::from([(key::PATIENT_ID, "P7".into()), (key::PATIENT_NAME, "TRAN^BINH".into())]);
    let (why, by, reason) = (Why::Correct, person("lan"), "another patient".to_owned());
    let right = Correcting { study: study("1.2.9"), set, clear: Vec::new(), why, by, reason };
    bench.archive.correct_study(&right).expect("corrected");
    let is_split = |bench: &Bench| {
        let document = &documents(bench, &Target::Study(uid("1.2.9")))[0];
        assert_eq!(said(document), [Some("1.2.9"), Some("P7"), Some("1.2.1"), Some("P1")]);
        assert_eq!(found(bench, Level::Study, key::PATIENT_ID, "P7").len(), 1);
        assert_eq!(found(bench, Level::Study, key::PATIENT_ID, "P1").len(), 1);
    };
    is_split(&bench);
    let bench = bench.reopen();
    until("packed", || is_packed(&bench));
    let bench = rebuilt(bench);
    is_split(&bench);
    bench.archive.move_series(&moving("1.2.9", &[], MoveTo::Home)).expect("taken back");
    assert!(instances(&bench, "1.2.9").is_empty() && found(&bench, Level::Study, key::PATIENT_ID, "P7").is_empty());
    assert_eq!(answers(&bench, &["1.2.1"]), before);
    drop(rebuilt(bench));
}

#[test]
fn merged_studies_are_one_and_another_facility_has_its_own() {
    let bench = two_studies();
    let other = bench.source_of("56001");
    bench.store_from(&other, &Object { series: "1.2.1.2", ..Object::new("1.2.1.2.1") }).expect("stored");
    let theirs = |bench: &Bench| {
        let scope = Scope::Facility(FacilityCode::parse("56001").expect("code"));
        let found = bench.archive.select(&Caller::operator(), scope, &Target::Study(uid("1.2.1"))).expect("selected");
        found.instances.iter().map(|row| (row.key.series.to_string(), row.correction.is_some())).collect::<Vec<_>>()
    };
    let before = theirs(&bench);
    let merge = moving("1.2.1", &[], MoveTo::Study(study("1.2.2")));
    assert_eq!(bench.archive.move_series(&merge).expect("merged").len(), 2);
    assert_eq!(instances(&bench, "1.2.2").len(), 3);
    assert_eq!(theirs(&bench), before);
    let own = |bench: &Bench| {
        let scope = Scope::Facility(FacilityCode::DEMO);
        bench.archive.select(&Caller::demo(), scope, &Target::Study(uid("1.2.1"))).is_ok()
    };
    assert!(!own(&bench), "an empty study is found");
    // What its sender sends again under the right name stands beside it, for people to look at; nothing is mixed.
    let patient = ("P2", "LE^THI BINH");
    let again = Object { study: "1.2.2", series: "1.2.1.2", patient, number: 5, ..Object::new("1.2.1.2.5") };
    bench.store(&again).expect("stored");
    bench.store(&Object { number: 6, sop: "1.2.1.2.6".into(), ..again }).expect("stored");
    assert_eq!(instances(&bench, "1.2.2").len(), 3);
    let there = Target::Series { study: uid("1.2.2"), series: uid("1.2.1.2") };
    assert_eq!(select(&bench, there).expect("selected").instances.len(), 1);
    let bench = rebuilt(bench);
    bench.archive.move_series(&moving("1.2.2", &["1.2.1.1"], MoveTo::Home)).expect("one is taken back");
    assert_eq!((instances(&bench, "1.2.1"), instances(&bench, "1.2.2").len()), (vec!["1.2.1.1.1".into()], 2));
    assert_eq!(theirs(&bench), before);
    drop(rebuilt(bench));
}

/// The facts of a study are not read again and again for its frames, and a move is seen all the same.
#[test]
fn that_nothing_was_moved_into_a_study_is_remembered_until_something_is() {
    let bench = two_studies();
    let there = moving("1.2.1", &["1.2.1.1"], MoveTo::Study(study("1.2.2")));
    bench.archive.move_series(&there).expect("moved");
    bench.archive.move_series(&moving("1.2.2", &[], MoveTo::Home)).expect("taken back");
    let is_known = || {
        let row = bench.archive.index().study(&index::StudyKey::from(&study("1.2.2"))).expect("index").expect("a row");
        assert!(row.version_fact > 0);
        bench.archive.retention().is_unmoved(&row)
    };
    let changed = || {
        let found = select(&bench, Target::Study(uid("1.2.2"))).expect("there");
        found.instances.iter().filter(|row| row.correction.is_some()).count()
    };
    assert!(!is_known());
    assert_eq!((changed(), is_known()), (0, true));
    bench.archive.move_series(&there).expect("moved again");
    assert_eq!((is_known(), changed(), is_known()), (false, 1, false));
}

#[test]
fn what_must_not_move_does_not_and_says_why() {
    let bench = two_studies();
    let to = || MoveTo::Study(study("1.2.2"));
    let why = |wanted: &Moving| match bench.archive.move_series(wanted) {
        Err(RetainError::Invalid { what }) => what,
        other => panic!("{other:?}"),
    };
    let far = StudyRef { facility: FacilityCode::parse("56001").expect("code"), ..study("1.2.2") };
    assert!(why(&moving("1.2.1", &[], MoveTo::Study(far))).contains("one facility"));
    assert!(why(&moving("1.2.1", &["1.2.1.7"], to())).contains("not all of these series"));
    assert!(why(&moving("1.2.1", &[], MoveTo::Study(study("1.2.1")))).contains("the study they stand in"));
    assert!(why(&moving("1.2.1", &[], MoveTo::Study(study("1.2.3")))).contains("no study"));
    assert!(why(&moving("1.2.1", &[], MoveTo::Home)).contains("no such series was moved"));
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.2")))).expect("held");
    assert!(why(&moving("1.2.1", &["1.2.1.2"], to())).contains("H-7"));
    let id = model::retention::HoldId::parse("H-7").expect("id");
    bench.archive.release_hold(id, person("lan"), "closed".into()).expect("released");
    let named = vec![Named { series: uid("1.2.1.2"), sop_instance: uid("1.2.1.2.1") }];
    bench.archive.reject_instances(&study("1.2.1"), named, RejectReason::Quality, person("lan")).expect("rejected");
    assert!(why(&moving("1.2.1", &["1.2.1.2"], to())).contains("rejected"));
    // A series of that UID was received there, too.
    let patient = ("P2", "LE^THI BINH");
    bench.store(&Object { study: "1.2.2", patient, ..Object::new("1.2.2.9.9") }).expect("stored");
    assert!(why(&moving("1.2.1", &["1.2.1.1"], to())).contains("of its own"));
    assert!(bench.archive.moves_of(&study("1.2.1")).expect("listed").moves.is_empty());
}

#[test]
fn neither_study_goes_while_a_series_is_moved_and_each_goes_by_itself_afterwards() {
    let (bench, hand) = kept_archive(false);
    fill(&bench, &hand);
    store_bytes(&bench, &object("1.2.333", ("P3", "A^B"), 1, 128));
    let known = |bench: &Bench| {
        let plan = bench.archive.retention_plan(&plan_of(bench)).expect("plan");
        (plan.due, plan.held)
    };
    let (due, held) = known(&bench);
    assert_eq!(held, 0);
    bench.archive.move_series(&moving("1.2.1", &[], MoveTo::Study(study("1.2.22")))).expect("moved");
    let (left, kept) = known(&bench);
    assert!(kept >= 1 && left + kept >= due, "{left} {kept} of {due}");
    assert_eq!(left, due - 1, "a study with a moved series is due");
    bench.archive.move_series(&moving("1.2.22", &[], MoveTo::Home)).expect("taken back");
    assert_eq!(known(&bench), (due, held));
}
