//! The facts of retention as the journal keeps them.

use super::*;
use crate::retention::record::RejectReason;
use crate::{Digest, Fact};

/// One of every variant.
fn every_fact() -> Vec<RetentionFact> {
    let (plan, by, at) = (PlanId::parse("p-1").expect("id"), person("Trần Thị Lan"), 1_795_305_600_000);
    let (digest, version) = (Digest([9; 32]), rules(TABLE).version());
    let decision = Case::new().linked("C").linked("NEW").with(key::STUDY_DATE, "").decide(&rules(TABLE));
    let (as_of, made_by) = (date("2037-01-01"), by.clone());
    let head = PlanHead { form: 1, plan: plan.clone(), as_of, made_by, undo_days: 30, rules: version };
    let seen = StudyVersion { through: 7, fact: 3 };
    let record = LinkedRecord { class: class("C"), ended: Some(date("2026-05-01")) };
    let patient = PatientRef { issuer: "DEMO0".into(), id: "77".into() };
    let target =
        HoldTarget::Studies { query: "q".into(), studies: vec![study(1), StudyRef { patient: 2, ..study(2) }] };
    let hold = HoldId::parse("H-1").expect("id");
    let approval = PlanApproval { plan: plan.clone(), digest, by: by.clone(), remark: "QĐ 15".into(), at };
    let begun = Begun { plan: plan.clone(), digest, by: by.clone(), at };
    let why = Refusal::LateArrival { planned: seen, now: StudyVersion { through: 8, fact: 3 } };
    let (study, series) = (study(1), Uid::parse("1.2.3").expect("uid"));
    let made = Hold {
        id: hold.clone(),
        target,
        reason: "CV 12".into(),
        owner: by.clone(),
        made_by: by.clone(),
        made_at: at,
        seal: None,
    };
    let mut facts = said(&study, record, &patient, &by, at);
    facts.extend([
        RetentionFact::RulesAdopted { version, text: TABLE.into(), by: by.clone(), at },
        RetentionFact::Decided { study: study.clone(), decision: Box::new(decision), at },
        RetentionFact::HoldMade(Box::new(made.clone())),
        RetentionFact::HoldMade(Box::new(Hold { target: HoldTarget::Patient(patient), ..made.clone() })),
        RetentionFact::HoldMade(Box::new(Hold { target: HoldTarget::Study(study.clone()), ..made })),
        RetentionFact::HoldReleased(HoldRelease { hold, by: by.clone(), reason: "xong".into(), at, seal: None }),
        RetentionFact::PlanMade { head, digest, due: 3, held: 1, at },
        RetentionFact::PlanApproved(approval),
        RetentionFact::PlanWithdrawn { plan: plan.clone(), by: by.clone(), reason: "sai".into(), at },
        RetentionFact::PlanBegun(begun),
        RetentionFact::PlanFinished { plan: plan.clone(), destroyed: 2, spared: 1, at },
        RetentionFact::StudyHidden { plan: plan.clone(), study: study.clone(), version: seen, at },
        restored(&plan, &study, &by, at),
        RetentionFact::StudyTakenOut { plan, study: study.clone(), why, at },
        RetentionFact::StudyDestroyed(Box::new(tombstone())),
        RetentionFact::InstanceRejected {
            study: study.clone(),
            sop_instance: Uid::parse("1.2.3.4").expect("uid"),
            series,
            copy: 0,
            reason: RejectReason::PatientSafety,
            by,
            at,
        },
        RetentionFact::LateInstance { study, seq: 12, destroyed_at: at - 1, at },
    ]);
    facts
}

/// What may quote a patient.
fn said(study: &StudyRef, record: LinkedRecord, patient: &PatientRef, by: &Person, at: u64) -> Vec<RetentionFact> {
    let (study, by, seal) = (study.clone(), by.clone(), None);
    let unlinked = RetentionFact::RecordUnlinked {
        study: study.clone(),
        class: class("C"),
        by: by.clone(),
        reason: "nhầm".into(),
        at,
        seal: Some(PackId::new([5; 16])),
    };
    vec![
        RetentionFact::RecordLinked { study, record, by: by.clone(), reason: "ADT".into(), at, seal },
        unlinked,
        RetentionFact::DeathRecorded { patient: patient.clone(), on: date("2029-02-03"), by, at, seal },
    ]
}

fn restored(plan: &PlanId, study: &StudyRef, by: &Person, at: u64) -> RetentionFact {
    let (plan, study, by) = (plan.clone(), study.clone(), by.clone());
    RetentionFact::StudyRestored { plan, study, by, reason: "cần".into(), at, seal: None }
}

fn tombstone() -> Tombstone {
    let version = rules(TABLE).version();
    Tombstone {
        study: study(1),
        version: StudyVersion { through: 7, fact: 3 },
        plan: PlanId::parse("p-1").expect("id"),
        plan_digest: Digest([9; 32]),
        approved_by: person("Minh"),
        class: class("B"),
        rule: RuleId::parse("default").expect("rule"),
        rules: version,
        counted_from: CountedFrom { date: date("2026-03-05"), basis: Basis::StudyDate },
        due: date("2036-12-31"),
        instances: 5,
        bytes: TierBytes { journal: 0, hot: 0, cold: 1000 },
        hidden_at: 1,
        destroyed_at: 2,
        blind: Digest([3; 32]),
        seals: Vec::new(),
        taken: Vec::new(),
    }
}

#[test]
fn every_fact_is_read_back_as_it_was_written() {
    for fact in every_fact() {
        let fact = Fact::Retention(Box::new(fact));
        let text = serde_json::to_string(&fact).expect("JSON");
        assert!(text.starts_with("{\"fact\":\"retention\",\"event\":\""), "{text}");
        assert_eq!(serde_json::from_str::<Fact>(&text).unwrap_or_else(|error| panic!("{error}: {text}")), fact);
        assert_eq!(serde_json::from_slice::<Fact>(text.as_bytes()).expect("from bytes"), fact);
    }
}

/// The names that lie in journals: never changed, only joined by new ones.
#[test]
fn the_names_of_facts_on_disk_stay() {
    let names: Vec<String> = every_fact()
        .iter()
        .map(|fact| serde_json::to_value(fact).expect("JSON")["event"].as_str().expect("event").to_owned())
        .collect();
    let expected = [
        "record-linked",
        "record-unlinked",
        "death-recorded",
        "rules-adopted",
        "decided",
        "hold-made",
        "hold-made",
        "hold-made",
        "hold-released",
        "plan-made",
        "plan-approved",
        "plan-withdrawn",
        "plan-begun",
        "plan-finished",
        "study-hidden",
        "study-restored",
        "study-taken-out",
        "study-destroyed",
        "instance-rejected",
        "late-instance",
    ];
    assert_eq!(names, expected);
    let hidden = "{\"fact\":\"retention\",\"event\":\"study-hidden\",\"plan\":\"p-1\",\
                  \"study\":{\"facility\":\"56001\",\"study\":\"1.2.3\"},\"version\":{\"through\":7,\"fact\":3},\"at\":5}";
    let fact: Fact = serde_json::from_str(hidden).expect("a journal of today");
    assert_eq!(serde_json::to_string(&fact).expect("JSON"), hidden);
}

#[test]
fn a_member_of_a_newer_program_is_passed_over() {
    for fact in every_fact() {
        let mut value = serde_json::to_value(Fact::Retention(Box::new(fact.clone()))).expect("JSON");
        value["added_later"] = serde_json::json!({"x": 1});
        assert_eq!(serde_json::from_value::<Fact>(value).expect("additive"), Fact::Retention(Box::new(fact)));
    }
}

#[test]
fn a_tombstone_is_sealed_and_two_with_other_blinds_look_unlike() {
    let (one, other) = (tombstone(), Tombstone { blind: Digest([4; 32]), ..tombstone() });
    assert_eq!(one.seal(), tombstone().seal());
    assert_ne!(one.seal(), other.seal());
    assert_ne!(one.seal(), Tombstone { due: date("2035-12-31"), ..tombstone() }.seal());
}

#[test]
fn facts_know_their_study_and_whether_they_must_be_sealed() {
    for fact in every_fact() {
        let value = serde_json::to_value(&fact).expect("JSON");
        let named = value.get("study").is_some();
        assert_eq!(fact.study().is_some(), named, "{value}");
        let personal =
            value.to_string().contains("\"77\"") || value.get("reason").is_some_and(|r| r != "patient-safety");
        let withdrawn = matches!(fact, RetentionFact::PlanWithdrawn { .. });
        assert_eq!(fact.has_patient_data(), personal && !withdrawn, "{value}");
    }
}

#[test]
fn refusals_and_notes_speak_both_languages_and_survive_the_journal() {
    let holds = vec![HoldId::parse("H-1").expect("id")];
    let version = StudyVersion::default();
    let (by, digest) = (person("Lan"), Digest([1; 32]));
    let refusals = [
        Refusal::ApprovedByAuthor { by: by.clone() },
        Refusal::AlreadyApproved { by: by.clone() },
        Refusal::NotApproved,
        Refusal::PlanChanged { recorded: digest, found: digest },
        Refusal::OtherPlan { named: PlanId::parse("p").expect("id") },
        Refusal::Withdrawn { by },
        Refusal::ExecutedTwice { begun: 0 },
        Refusal::NotBegun,
        Refusal::NotDue { due: Due::Never, today: date("2026-01-01") },
        Refusal::NewHold { holds },
        Refusal::LateArrival { planned: version, now: version },
        Refusal::StudyChanged { planned: version, now: version },
        Refusal::ClassRise { from: class("A"), to: class("B"), due: due_on("2030-12-31") },
        Refusal::Unclear,
        Refusal::SeriesMoved,
        Refusal::HiddenByOther { plan: PlanId::parse("p").expect("id") },
        Refusal::Gone,
        Refusal::UndoWindow { until: 86_400_000 },
        Refusal::NotHidden,
        Refusal::AlreadyHidden,
        Refusal::TakenOut,
        Refusal::AlreadyDestroyed,
    ];
    let mut texts = std::collections::BTreeSet::new();
    for refusal in &refusals {
        let json = serde_json::to_string(refusal).expect("JSON");
        assert_eq!(&serde_json::from_str::<Refusal>(&json).expect("JSON"), refusal);
        texts.extend([refusal.to_string(), refusal.vietnamese()]);
    }
    assert_eq!(texts.len(), 2 * refusals.len(), "each has its own words");
}
