//! The entries of a study are found, all of them and no others, whatever became of it.

use super::*;
use crate::proof::LedgerReader;
use crate::tests::{Bench, Object, uid};
use index::StudyKey;
use model::pack::Packed;
use model::retention::class::ClassId;
use model::retention::decision::{Basis, CountedFrom};
use model::retention::hold::{Hold, HoldRelease};
use model::retention::plan::PlanHead;
use model::retention::record::{PlanApproval, Tombstone};
use model::retention::rules::{RuleId, RuleVersion};
use model::retention::subject::{PatientRef, Person, StudyVersion, TierBytes};
use model::{Date, Digest};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const DAY: &str = "2036-12-31";

fn demo() -> FacilityCode {
    FacilityCode::DEMO
}

fn study(text: &str) -> StudyRef {
    StudyRef { facility: demo(), study: uid(text), patient: 0 }
}

fn person() -> Person {
    Person::parse("Trần Thị B").expect("name")
}

fn plan(name: &str) -> PlanId {
    PlanId::parse(name).expect("plan")
}

fn rules() -> RuleVersion {
    RuleVersion { number: 3, digest: Digest([3; 32]) }
}

fn tombstone(of: &str, version: StudyVersion) -> Tombstone {
    let due = Date::parse(DAY).expect("day");
    Tombstone {
        study: study(of),
        version,
        plan: plan("p1"),
        plan_digest: Digest([4; 32]),
        approved_by: person(),
        class: ClassId::parse("INOUT").expect("class"),
        rule: RuleId::parse("inpatients").expect("rule"),
        rules: rules(),
        counted_from: CountedFrom { date: due, basis: Basis::StudyDate },
        due,
        instances: 2,
        bytes: TierBytes::default(),
        hidden_at: 5,
        destroyed_at: 6,
        blind: Digest([9; 32]),
        seals: Vec::new(),
        taken: Vec::new(),
    }
}

fn record(bench: &Bench, fact: RetentionFact) {
    bench.archive.record(Fact::Retention(Box::new(fact))).expect("recorded");
}

fn hold(bench: &Bench, id: &str, target: HoldTarget) {
    let id = HoldId::parse(id).expect("hold");
    let hold =
        Hold { id: id.clone(), target, reason: "r".into(), owner: person(), made_by: person(), made_at: 1, seal: None };
    record(bench, RetentionFact::HoldMade(Box::new(hold)));
    record(
        bench,
        RetentionFact::HoldReleased(HoldRelease { hold: id, by: person(), reason: "r".into(), at: 2, seal: None }),
    );
}

fn make_plan(bench: &Bench, name: &str) {
    let (as_of, made_by, rules) = (Date::parse(DAY).expect("day"), person(), rules());
    let head = PlanHead { form: 1, plan: plan(name), as_of, made_by, undo_days: 30, rules };
    record(bench, RetentionFact::PlanMade { head, digest: Digest([4; 32]), due: 1, held: 0, at: 3 });
    let (remark, digest) = (String::new(), Digest([4; 32]));
    record(bench, RetentionFact::PlanApproved(PlanApproval { plan: plan(name), digest, by: person(), remark, at: 4 }));
}

fn pack(bench: &Bench, name: u8, of: &str) {
    let (pack, sha256) = (PackId::new([name; 16]), Digest([5; 32]));
    let (study, series, seqs, replaces) = (uid(of), uid(&format!("{of}.1")), vec![1], Vec::new());
    let facility = demo();
    let packed =
        Packed { pack, facility, study, patient: 0, series, part: 1, len: 9, sha256, raw: 9, seqs, replaces, at: 1 };
    for fact in [PackFact::Packed(packed), PackFact::Released { pack, at: 2 }] {
        bench.archive.record(Fact::Pack(Box::new(fact))).expect("recorded");
    }
}

/// Two objects in 1.2.1, one in 1.2.2, and what became of them.
fn bench() -> Bench {
    let bench = Bench::new();
    for (sop, of) in [("1.2.7.1", "1.2.1"), ("1.2.7.2", "1.2.2"), ("1.2.7.3", "1.2.1")] {
        let series = if of == "1.2.1" { "1.2.1.1" } else { "1.2.2.1" };
        bench.store(&Object { study: of, series, ..Object::new(sop) }).expect("stored");
    }
    pack(&bench, 1, "1.2.1");
    pack(&bench, 2, "1.2.2");
    hold(&bench, "H-1", HoldTarget::Study(study("1.2.1")));
    hold(&bench, "H-2", HoldTarget::Study(study("1.2.2")));
    hold(&bench, "H-3", HoldTarget::Studies { query: "q".into(), studies: vec![study("1.2.2"), study("1.2.1")] });
    hold(&bench, "H-4", HoldTarget::Patient(PatientRef { issuer: "i".into(), id: "P1".into() }));
    make_plan(&bench, "p1");
    make_plan(&bench, "p2");
    for (name, of) in [("p1", "1.2.1"), ("p2", "1.2.2")] {
        let version = StudyVersion::default();
        record(&bench, RetentionFact::StudyHidden { plan: plan(name), study: study(of), version, at: 5 });
    }
    let version = bench.archive.index().version(&StudyKey::from(&study("1.2.1"))).expect("index").expect("a study");
    record(&bench, RetentionFact::StudyDestroyed(Box::new(tombstone("1.2.1", version))));
    bench
}

fn search(bench: &Bench, wanted: &Wanted) -> Evidence {
    let found = bench.archive.find_in_ledger(wanted, &AtomicBool::new(false), &mut |_, _| {});
    found.expect("searched").expect("a ledger")
}

fn events(ledger: &LedgerReader, evidence: &Evidence) -> Vec<String> {
    let event = |index: &u64| {
        let entry: Value = serde_json::from_slice(&ledger.entry(*index).expect("entry").bytes).expect("JSON");
        let member = |name: &str| entry[name].as_str().map(str::to_owned).unwrap_or_default();
        let pack = member("pack");
        let about = [member("hold"), member("plan"), pack.get(..2).unwrap_or_default().to_owned()].concat();
        format!("{} {about}", member("event")).trim().to_owned()
    };
    evidence.entries.iter().map(event).collect()
}

#[test]
fn a_study_is_found_with_its_instances_packs_holds_plans_and_end() {
    let bench = bench();
    let found = search(&bench, &Wanted::Study(demo(), uid("1.2.1")));
    let ledger = bench.archive.ledger().expect("a ledger");
    let expected = [
        "stored",
        "stored",
        "packed 01",
        "released 01",
        "hold-made H-1",
        "hold-released H-1",
        "hold-made H-3",
        "hold-released H-3",
        "plan-made p1",
        "plan-approved p1",
        "study-hidden p1",
        "study-destroyed p1",
    ];
    assert_eq!(events(&ledger, &found), expected);
    assert_eq!((found.searched, found.interrupted), (ledger.size(), false));
    let [shown] = found.tombstones.as_slice() else { panic!("{:?}", found.tombstones) };
    let entry = ledger.entry(shown.entry).expect("entry");
    let seal = Digest(Sha256::digest(&shown.text).into()).to_string();
    assert!(String::from_utf8_lossy(&entry.bytes).contains(&seal), "the text beside the proof has the seal in it");
}

#[test]
fn an_instance_and_a_pack_are_found_and_strangers_are_not() {
    let bench = bench();
    let count = |wanted: Wanted| search(&bench, &wanted).entries.len();
    assert_eq!(count(Wanted::Instance(demo(), uid("1.2.7.3"))), 1);
    assert_eq!(count(Wanted::Pack(PackId::new([2; 16]))), 2);
    let elsewhere = FacilityCode::parse("56001").expect("code");
    assert_eq!(count(Wanted::Instance(elsewhere, uid("1.2.7.3"))), 0, "of another facility");
    assert_eq!(count(Wanted::Study(elsewhere, uid("1.2.1"))), 0, "of another facility");
    assert_eq!(count(Wanted::Study(demo(), uid("1.2.3"))), 0);
    let stopped =
        bench.archive.find_in_ledger(&Wanted::Pack(PackId::new([2; 16])), &AtomicBool::new(true), &mut |_, _| {});
    assert!(stopped.expect("searched").expect("a ledger").interrupted);
}

#[test]
fn a_forwarded_fact_is_found_under_its_own_number() {
    let bench = bench();
    let before = search(&bench, &Wanted::Study(demo(), uid("1.2.1")));
    // The segment of the fact itself is long released: only its entry is left, here one of the same number.
    let pack = PackFact::Released { pack: PackId::new([9; 16]), at: 1 };
    bench.archive.record(Fact::Pack(Box::new(pack))).expect("recorded");
    let lsn = bench.archive.journal().last();
    let fact = RetentionFact::StudyDestroyed(Box::new(tombstone("1.2.8", StudyVersion::default())));
    let was = Box::new(Fact::Retention(Box::new(fact)));
    bench.archive.record(Fact::Forwarded { lsn, was }).expect("recorded");
    let found = search(&bench, &Wanted::Study(demo(), uid("1.2.8")));
    // And the plan it belongs to.
    let ledger = bench.archive.ledger().expect("a ledger");
    assert_eq!(events(&ledger, &found), ["plan-made p1", "plan-approved p1", "released 09"]);
    assert_eq!(search(&bench, &Wanted::Study(demo(), uid("1.2.1"))).entries, before.entries);
}

#[test]
fn facts_of_released_segments_are_found() {
    let bench = bench();
    let pack = PackFact::Released { pack: PackId::new([9; 16]), at: 1 };
    bench.archive.record(Fact::Pack(Box::new(pack))).expect("recorded");
    let lsn = bench.archive.journal().last();
    let fact = RetentionFact::StudyDestroyed(Box::new(tombstone("1.2.8", StudyVersion::default())));
    bench.archive.facts().keep(vec![(lsn, Fact::Retention(Box::new(fact)))]).expect("kept");
    let found = search(&bench, &Wanted::Study(demo(), uid("1.2.8")));
    let ledger = bench.archive.ledger().expect("a ledger");
    assert_eq!(events(&ledger, &found), ["plan-made p1", "plan-approved p1", "released 09"]);
    assert_eq!(found.tombstones.len(), 1);
}
