//! Every fact gives an entry that is canonical, has the members it should, and betrays nobody.

use super::*;
use model::retention::class::ClassId;
use model::retention::decision::{Basis, CountedFrom};
use model::retention::execution::Begun;
use model::retention::hold::{Hold, HoldId, HoldRelease, HoldTarget};
use model::retention::plan::{PlanHead, PlanId};
use model::retention::record::{PlanApproval, RejectReason, Tombstone};
use model::retention::rules::{RuleId, RuleVersion};
use model::retention::subject::{LinkedRecord, PatientRef, Person, StudyRef, StudyVersion, TierBytes};
use model::{Attributes, Date, Layout, Outcome, Sameness, Via, pack::ColdCopy};
use std::collections::BTreeMap;

/// Stands wherever a fact may hold what must not leave the archive.
const SECRET: &str = "NGUYEN VAN AN 0912345678";
const STUDY: &str = "1.2.840.99999.1";
const SERIES: &str = "1.2.840.99999.1.2";
const SOP: &str = "1.2.840.99999.1.2.3";

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

fn facility() -> FacilityCode {
    FacilityCode::parse("56001").expect("code")
}

fn person(name: &str) -> Person {
    Person::parse(name).expect("name")
}

fn plan() -> PlanId {
    PlanId::parse("2036-q1").expect("plan")
}

fn study() -> StudyRef {
    StudyRef { facility: facility(), study: uid(STUDY), patient: 0 }
}

fn rules() -> RuleVersion {
    RuleVersion { number: 3, digest: Digest([3; 32]) }
}

fn date(text: &str) -> Date {
    serde_json::from_value(text.into()).expect("date")
}

fn instance() -> InstanceHead {
    InstanceHead {
        seq: 12,
        facility: facility(),
        source: SECRET.into(),
        received: 1_790_000_000_123,
        via: Via::CStore,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid(SOP),
        study: uid(STUDY),
        series: uid(SERIES),
        transfer_syntax: uid("1.2.840.10008.1.2.1"),
        digest: Sameness::Sha256([1; 32]),
        meta_digest: Digest([2; 32]),
        loose_crc: 0,
        meta_len: 338,
        file_len: 70_000,
        attributes: Attributes::new(),
        layout: Layout::default(),
        flags: Vec::new(),
        outcome: Outcome::default(),
    }
}

fn tombstone() -> Tombstone {
    Tombstone {
        study: study(),
        version: StudyVersion { through: 12, fact: 0 },
        plan: plan(),
        plan_digest: Digest([4; 32]),
        approved_by: person("Trần Thị B"),
        class: ClassId::parse("PSY_ACC").expect("class"),
        rule: RuleId::parse("inpatients").expect("rule"),
        rules: rules(),
        counted_from: CountedFrom { date: date("2026-12-31"), basis: Basis::StudyDate },
        due: date("2036-12-31"),
        instances: 1,
        bytes: TierBytes::default(),
        hidden_at: 5,
        destroyed_at: 6,
        blind: Digest([9; 32]),
        seals: Vec::new(),
        taken: Vec::new(),
    }
}

fn hold(target: HoldTarget) -> RetentionFact {
    let id = HoldId::parse("H-7").expect("hold");
    let (owner, made_by) = (person("Lê C"), person("Trần Thị B"));
    RetentionFact::HoldMade(Box::new(Hold {
        id,
        target,
        reason: SECRET.into(),
        owner,
        made_by,
        made_at: 7,
        seal: None,
    }))
}

type Expected = (RetentionFact, Option<&'static str>);

/// Every fact of plans and rules, and the event its entry has.
fn plan_facts() -> Vec<Expected> {
    let by = || person("Trần Thị B");
    let (plan, reason, digest) = (plan(), String::from(SECRET), Digest([4; 32]));
    let as_of = date("2037-01-01");
    let head = PlanHead { form: 1, plan: plan.clone(), as_of, made_by: by(), undo_days: 30, rules: rules() };
    let approval = PlanApproval { plan: plan.clone(), digest, by: by(), remark: reason.clone(), at: 3 };
    let begun = Begun { plan: plan.clone(), digest, by: by(), at: 4 };
    let withdrawn = RetentionFact::PlanWithdrawn { plan: plan.clone(), by: by(), reason: reason.clone(), at: 4 };
    vec![
        (RetentionFact::RulesAdopted { version: rules(), text: reason, by: by(), at: 1 }, Some("rules-adopted")),
        (RetentionFact::PlanMade { head, digest, due: 1, held: 0, at: 2 }, Some("plan-made")),
        (RetentionFact::PlanApproved(approval), Some("plan-approved")),
        (withdrawn, Some("plan-withdrawn")),
        (RetentionFact::PlanBegun(begun), Some("plan-begun")),
        (RetentionFact::PlanFinished { plan, destroyed: 1, spared: 2, at: 9 }, Some("plan-finished")),
    ]
}

/// Every fact of studies and holds, likewise.
fn study_facts() -> Vec<Expected> {
    let by = || person("Trần Thị B");
    let patient = PatientRef { issuer: "56001".into(), id: SECRET.into() };
    let (plan, reason, version) = (plan(), String::from(SECRET), StudyVersion::default());
    let class = ClassId::parse("PSY_ACC").expect("class");
    let record = LinkedRecord { class: class.clone(), ended: None };
    let id = HoldId::parse("H-7").expect("hold");
    let released = HoldRelease { hold: id, by: by(), reason: reason.clone(), at: 8, seal: None };
    let why = Refusal::ApprovedByAuthor { by: person(SECRET) };
    let (restored, linked) = (reason.clone(), reason.clone());
    let restored = RetentionFact::StudyRestored {
        plan: plan.clone(),
        study: study(),
        by: by(),
        reason: restored,
        at: 5,
        seal: None,
    };
    let rejected = RetentionFact::InstanceRejected {
        study: study(),
        series: uid(SERIES),
        sop_instance: uid(SOP),
        copy: 1,
        reason: RejectReason::PatientSafety,
        by: by(),
        at: 5,
    };
    vec![
        (hold(HoldTarget::Study(study())), Some("hold-made")),
        (hold(HoldTarget::Patient(patient.clone())), Some("hold-made")),
        (hold(HoldTarget::Studies { query: SECRET.into(), studies: vec![study()] }), Some("hold-made")),
        (RetentionFact::HoldReleased(released), Some("hold-released")),
        (RetentionFact::StudyHidden { plan: plan.clone(), study: study(), version, at: 5 }, Some("study-hidden")),
        (restored, Some("study-restored")),
        (RetentionFact::StudyTakenOut { plan, study: study(), why, at: 5 }, Some("study-taken-out")),
        (RetentionFact::StudyDestroyed(Box::new(tombstone())), Some("study-destroyed")),
        (rejected, Some("instance-rejected")),
        (RetentionFact::LateInstance { study: study(), seq: 40, destroyed_at: 6, at: 50 }, Some("late-instance")),
        (RetentionFact::RecordLinked { study: study(), record, by: by(), reason: linked, at: 1, seal: None }, None),
        (RetentionFact::RecordUnlinked { study: study(), class, by: by(), reason, at: 1, seal: None }, None),
        (RetentionFact::DeathRecorded { patient, on: date("2026-01-01"), by: by(), at: 1, seal: None }, None),
    ]
}

fn facts() -> Vec<(Fact, Option<&'static str>)> {
    let pack = PackId::new([7; 16]);
    let packed = Packed {
        pack,
        facility: facility(),
        study: uid(STUDY),
        patient: 0,
        series: uid(SERIES),
        part: 1,
        len: 900,
        sha256: Digest([5; 32]),
        raw: 1_000,
        seqs: vec![12, 13],
        replaces: vec![PackId::new([6; 16])],
        at: 20,
    };
    let copy = ColdCopy {
        key: format!("56001/{STUDY}"),
        version: Some(SECRET.into()),
        len: 950,
        sha256: Digest([8; 32]),
        sealed: true,
        class: Some(SECRET.into()),
        locked_until: Some(99),
        held: true,
        at: 21,
    };
    let boxed = |fact| Fact::Pack(Box::new(fact));
    let forwarded = Fact::Forwarded { lsn: 4, was: Box::new(Fact::Instance(Box::new(instance()))) };
    let mut all = vec![
        (Fact::Instance(Box::new(instance())), Some("stored")),
        (boxed(PackFact::Packed(packed)), Some("packed")),
        (boxed(PackFact::Tiered { pack, copy }), Some("tiered")),
        (boxed(PackFact::Released { pack, at: 22 }), Some("released")),
        (boxed(PackFact::Recalled { pack, at: 23 }), Some("recalled")),
        (boxed(PackFact::ColdLost { pack, at: 24 }), Some("cold-lost")),
        (forwarded, None),
    ];
    let retention = plan_facts().into_iter().chain(study_facts());
    all.extend(retention.map(|(fact, event)| (Fact::Retention(Box::new(fact)), event)));
    all
}

#[test]
fn every_entry_is_canonical_and_names_its_event_and_record() {
    for (fact, event) in facts() {
        let entry = entry_of(4_711, &fact);
        assert_eq!(entry.is_some(), event.is_some(), "{fact:?}");
        let Some((entry, event)) = entry.zip(event) else { continue };
        let members: BTreeMap<String, serde_json::Value> = serde_json::from_str(&entry).expect("JSON");
        assert_eq!(serde_json::to_string(&members).expect("text"), entry, "names sorted, each once, no spaces");
        assert_eq!(members.get("event"), Some(&event.into()), "{entry}");
        assert_eq!(members.get("record"), Some(&4_711.into()), "{entry}");
        assert!(members.get("at").is_some_and(serde_json::Value::is_u64), "{entry}");
        assert!(entry.len() < 1_000, "{entry}");
    }
}

#[test]
fn no_entry_betrays_a_patient_a_study_or_what_people_wrote() {
    for (fact, _) in facts() {
        let Some(entry) = entry_of(4_711, &fact) else { continue };
        for word in [SECRET, "NGUYEN", "0912345678", STUDY, SERIES, SOP, "PSY_ACC"] {
            assert!(!entry.contains(word), "{word} in {entry}");
        }
    }
}

#[test]
fn entries_keep_their_form() {
    let stored = entry_of(5, &Fact::Instance(Box::new(instance()))).expect("entry");
    // printf '56001\0001.2.840.99999.1.2.3' | sha256sum
    let name = "372b0af7a51151a1118e8d7389c442a8288e18f1cd89202d79e7717063e287f2";
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    assert_eq!(
        stored,
        format!(
            "{{\"at\":1790000000123,\"bytes\":70000,\"data_set\":\"{one}\",\"event\":\"stored\",\
             \"facility\":\"56001\",\"instance\":\"{name}\",\"meta\":\"{two}\",\"record\":5,\"seq\":12}}"
        )
    );
    let newer = InstanceHead { digest: Sameness::Blake3([1; 32]), ..instance() };
    let newer = entry_of(5, &Fact::Instance(Box::new(newer))).expect("entry");
    assert_eq!(newer, stored.replace(&format!("\"{one}\""), &format!("\"blake3:{one}\"")));
    let seal = tombstone().seal();
    let destroyed = entry_of(6, &Fact::Retention(Box::new(RetentionFact::StudyDestroyed(Box::new(tombstone())))));
    let expected =
        format!("{{\"at\":6,\"event\":\"study-destroyed\",\"plan\":\"2036-q1\",\"record\":6,\"seal\":\"{seal}\"}}");
    assert_eq!(destroyed.expect("entry"), expected);
}

#[test]
fn members_of_a_pack_are_digested_as_lines() {
    // printf '12\n13\n' | sha256sum
    let digest = "b9250d5134e952bcba8d98fce24fbe9d9bb94efef0905254e61c70429496e311";
    assert_eq!(list_digest([12, 13].iter()).to_string(), digest);
}
