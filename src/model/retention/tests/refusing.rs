//! The bad days of plans: every refusal, with its reason.

use super::*;
use crate::Digest;
use crate::date::DAY_MS;

const DIGEST: Digest = Digest([7; 32]);

fn plan_id(text: &str) -> PlanId {
    PlanId::parse(text).expect(text)
}

/// Noon of a day.
fn noon(day: &str) -> u64 {
    date(day).start_ms() + DAY_MS / 2
}

fn approval(by: &str) -> PlanApproval {
    PlanApproval {
        plan: plan_id("p-1"),
        digest: DIGEST,
        by: person(by),
        remark: "QĐ 15".into(),
        at: noon("2037-01-10"),
    }
}

fn begun() -> Begun {
    Begun { plan: plan_id("p-1"), digest: DIGEST, by: person("tú"), at: noon("2037-01-11") }
}

fn planned() -> PlanRecord {
    let head = PlanHead {
        form: PlanHead::FORM,
        plan: plan_id("p-1"),
        as_of: date("2037-01-01"),
        made_by: person("Lan"),
        undo_days: 30,
        rules: rules(TABLE).version(),
    };
    PlanRecord::new(head, DIGEST)
}

fn approved() -> PlanRecord {
    let plan = planned();
    PlanRecord { state: plan.approve(&approval("Minh")).expect("second person"), ..plan }
}

fn executing() -> PlanRecord {
    let plan = approved();
    PlanRecord { state: plan.begin(&begun()).expect("approved"), ..plan }
}

fn entry() -> PlanEntry {
    PlanEntry {
        study: study(1),
        version: StudyVersion { through: 7, fact: 3 },
        class: class("B"),
        rule: RuleId::parse("default").expect("rule"),
        rules: rules(TABLE).version(),
        due: date("2036-12-31"),
        instances: 5,
        bytes: TierBytes::default(),
    }
}

fn now() -> StudyNow {
    StudyNow {
        version: StudyVersion { through: 7, fact: 3 },
        class: class("B"),
        due: due_on("2036-12-31"),
        unclear: false,
        moved: false,
        holds: Vec::new(),
        hidden_by: None,
    }
}

#[test]
fn a_study_goes_step_by_step() {
    let (plan, entry) = (executing(), entry());
    let since = noon("2037-01-12");
    let hidden = plan.hide(&entry, &StudyState::Planned, Some(&now()), since).expect("due");
    assert_eq!(hidden, StudyState::Hidden { since });
    let seen = StudyNow { hidden_by: Some(plan_id("p-1")), ..now() };
    let until = since + 30 * DAY_MS;
    assert_eq!(plan.destroy(&entry, &hidden, Some(&seen), until - 1), Err(Refusal::UndoWindow { until }));
    assert_eq!(plan.destroy(&entry, &hidden, Some(&seen), until), Ok(StudyState::Destroyed { at: until }));
    let finished = PlanRecord { state: plan.finish().expect("executing"), ..plan };
    assert!(matches!(finished.state, PlanState::Executed(..)));
}

#[test]
fn a_plan_is_not_executed_twice() {
    let begun_at = begun().at;
    let plan = executing();
    let twice = Refusal::ExecutedTwice { begun: begun_at };
    assert_eq!(plan.begin(&begun()), Err(twice.clone()));
    assert_eq!(plan.approve(&approval("Minh")), Err(twice.clone()));
    assert_eq!(plan.withdraw(&person("Minh")), Err(twice.clone()));
    assert_eq!(plan.resume(DIGEST), Ok(()), "a restart goes on");
    let done = PlanRecord { state: plan.finish().expect("executing"), ..plan };
    for refused in [done.begin(&begun()).err(), done.resume(DIGEST).err(), done.finish().err()] {
        assert_eq!(refused, Some(twice.clone()));
    }
    assert_eq!(done.hide(&entry(), &StudyState::Planned, Some(&now()), begun_at), Err(twice.clone()));
    assert!(twice.to_string().contains("once only"), "{twice}");
}

#[test]
fn the_author_does_not_approve_however_the_name_is_written() {
    for name in ["Lan", "lan", " LAN ", "Lán"] {
        assert_eq!(planned().approve(&approval(name)), Err(Refusal::ApprovedByAuthor { by: person(name) }), "{name}");
    }
    assert!(Person::parse("  ").is_err() && Person::parse("-").is_err() && Person::parse("a\nb").is_err());
    let second = approved().approve(&approval("Hoa"));
    assert_eq!(second, Err(Refusal::AlreadyApproved { by: person("Minh") }));
}

#[test]
fn a_plan_changed_after_approval_is_not_executed() {
    let other = Digest([8; 32]);
    let changed = Refusal::PlanChanged { recorded: DIGEST, found: other };
    assert_eq!(planned().approve(&PlanApproval { digest: other, ..approval("Minh") }), Err(changed.clone()));
    assert_eq!(approved().begin(&Begun { digest: other, ..begun() }), Err(changed.clone()));
    assert_eq!(executing().resume(other), Err(changed));
    let elsewhere = Refusal::OtherPlan { named: plan_id("p-2") };
    assert_eq!(planned().approve(&PlanApproval { plan: plan_id("p-2"), ..approval("Minh") }), Err(elsewhere.clone()));
    assert_eq!(approved().begin(&Begun { plan: plan_id("p-2"), ..begun() }), Err(elsewhere));
}

#[test]
fn nothing_happens_without_approval_and_execution() {
    assert_eq!(planned().begin(&begun()), Err(Refusal::NotApproved));
    assert_eq!(planned().finish(), Err(Refusal::NotApproved));
    let hide = |plan: &PlanRecord| plan.hide(&entry(), &StudyState::Planned, Some(&now()), noon("2037-02-01"));
    assert_eq!(hide(&planned()), Err(Refusal::NotApproved));
    assert_eq!(hide(&approved()), Err(Refusal::NotBegun));
    for plan in [planned(), approved()] {
        let withdrawn = PlanRecord { state: plan.withdraw(&person("Lan")).expect("in time"), ..plan };
        let refusal = Refusal::Withdrawn { by: person("Lan") };
        assert_eq!(withdrawn.approve(&approval("Minh")), Err(refusal.clone()));
        assert_eq!(withdrawn.begin(&begun()), Err(refusal.clone()));
        assert_eq!(hide(&withdrawn), Err(refusal));
    }
}

/// Everything that may have happened to a study since the plan was made, tried before hiding and before destroying.
#[test]
fn a_study_that_is_not_what_was_planned_is_taken_out() {
    let (planned, hold) = (entry().version, HoldId::parse("H-1").expect("id"));
    let (late, merged) = (StudyVersion { through: 8, fact: 3 }, StudyVersion { through: 7, fact: 9 });
    let rise = |class_name: &str, due: Due| StudyNow { class: class(class_name), due, ..now() };
    let (from, to) = (class("B"), class("C"));
    let cases: Vec<(StudyNow, Refusal)> = vec![
        (StudyNow { holds: vec![hold.clone()], ..now() }, Refusal::NewHold { holds: vec![hold] }),
        (StudyNow { version: late, ..now() }, Refusal::LateArrival { planned, now: late }),
        (StudyNow { version: merged, ..now() }, Refusal::StudyChanged { planned, now: merged }),
        (
            rise("C", due_on("2056-12-31")),
            Refusal::ClassRise { from: from.clone(), to: to.clone(), due: due_on("2056-12-31") },
        ),
        (rise("C", Due::Never), Refusal::ClassRise { from: from.clone(), to: to.clone(), due: Due::Never }),
        (rise("C", Due::AfterDeath { years: 10 }), Refusal::ClassRise { from, to, due: Due::AfterDeath { years: 10 } }),
        (StudyNow { unclear: true, ..now() }, Refusal::Unclear),
        (StudyNow { moved: true, ..now() }, Refusal::SeriesMoved),
        (StudyNow { hidden_by: Some(plan_id("p-9")), ..now() }, Refusal::HiddenByOther { plan: plan_id("p-9") }),
    ];
    let (plan, entry) = (executing(), entry());
    let hidden = StudyState::Hidden { since: noon("2037-01-12") };
    for (now, refusal) in cases {
        assert_eq!(plan.hide(&entry, &StudyState::Planned, Some(&now), noon("2037-01-12")), Err(refusal.clone()));
        // In the days to undo and after them.
        for day in ["2037-01-13", "2038-01-01"] {
            assert_eq!(plan.destroy(&entry, &hidden, Some(&now), noon(day)), Err(refusal.clone()), "{day}");
        }
        assert!(refusal.takes_out(), "{refusal}");
    }
    assert_eq!(plan.hide(&entry, &StudyState::Planned, None, noon("2037-01-12")), Err(Refusal::Gone));
    assert_eq!(plan.destroy(&entry, &hidden, None, noon("2038-01-01")), Err(Refusal::Gone));
    // Equally long under another class is no rise, and a hold that ended in between holds nothing.
    let same = StudyNow { class: class("A"), ..super::refusing::now() };
    assert!(plan.hide(&entry, &StudyState::Planned, Some(&same), noon("2037-01-12")).is_ok());
}

#[test]
fn a_plan_for_a_day_to_come_destroys_nothing_before_it() {
    let (plan, entry) = (executing(), entry());
    let last = noon("2036-12-31");
    let early = Refusal::NotDue { due: due_on("2036-12-31"), today: date("2036-12-31") };
    assert_eq!(plan.hide(&entry, &StudyState::Planned, Some(&now()), last), Err(early.clone()));
    assert!(!early.takes_out(), "it may go later by the same plan");
    // A clock that fell back after the hiding is noticed too.
    let hidden = StudyState::Hidden { since: noon("2037-01-12") };
    assert_eq!(plan.destroy(&entry, &hidden, Some(&now()), last), Err(early));
    let mut without_undo = plan;
    without_undo.head.undo_days = 0;
    let at = noon("2037-01-12");
    assert!(without_undo.destroy(&entry, &hidden, Some(&now()), at).is_ok());
    let until = at;
    assert_eq!(without_undo.destroy(&entry, &hidden, Some(&now()), at - 1), Err(Refusal::UndoWindow { until }));
}

#[test]
fn every_state_of_a_study_allows_its_own_steps_only() {
    let (plan, entry, at) = (executing(), entry(), noon("2038-01-01"));
    let (hidden, destroyed) = (StudyState::Hidden { since: 0 }, StudyState::Destroyed { at: 1 });
    let out = StudyState::TakenOut(Refusal::Unclear);
    let hide = |state: &StudyState| plan.hide(&entry, state, Some(&now()), at).err();
    let destroy = |state: &StudyState| plan.destroy(&entry, state, Some(&now()), at).err();
    let restore = |state: &StudyState| plan.restore(state).err();
    assert_eq!(
        [&StudyState::Planned, &hidden, &StudyState::Restored, &out, &destroyed].map(hide),
        [
            None,
            Some(Refusal::AlreadyHidden),
            Some(Refusal::TakenOut),
            Some(Refusal::TakenOut),
            Some(Refusal::AlreadyDestroyed)
        ]
    );
    assert_eq!(
        [&StudyState::Planned, &hidden, &StudyState::Restored, &out, &destroyed].map(destroy),
        [
            Some(Refusal::NotHidden),
            None,
            Some(Refusal::TakenOut),
            Some(Refusal::TakenOut),
            Some(Refusal::AlreadyDestroyed)
        ]
    );
    assert_eq!(
        [&StudyState::Planned, &hidden, &StudyState::Restored, &out, &destroyed].map(restore),
        [
            Some(Refusal::NotHidden),
            None,
            Some(Refusal::TakenOut),
            Some(Refusal::TakenOut),
            Some(Refusal::AlreadyDestroyed)
        ]
    );
}

#[test]
fn a_state_now_is_made_of_a_decision() {
    let decision = Case::new().linked("C").linked("WHAT").decide(&rules(TABLE));
    let now = StudyNow::new(StudyVersion::default(), &decision, Vec::new(), None);
    assert_eq!((now.class, now.due, now.unclear), (class("C"), due_on("2056-12-31"), true));
}
