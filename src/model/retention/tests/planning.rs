//! Plans: who is on them, their sums, their text and digest, and holds.

use super::*;
use crate::Digest;
use crate::retention::plan::{FacilityTotals, PlanError, PlanReader, Verdict};
use sha2::{Digest as _, Sha256};

fn head(as_of: &str) -> PlanHead {
    PlanHead {
        form: PlanHead::FORM,
        plan: PlanId::parse("p-1").expect("id"),
        as_of: date(as_of),
        made_by: person("lan"),
        undo_days: 30,
        rules: rules(TABLE).version(),
    }
}

fn candidate<'a>(study: &'a StudyRef, case: &'a Case, patients: &'a [PatientRef]) -> Candidate<'a> {
    let bytes = TierBytes { journal: 1, hot: 20, cold: 300 };
    let version = StudyVersion { through: 7, fact: 0 };
    Candidate {
        study,
        patients,
        version,
        facts: case.facts(),
        earlier: None,
        hidden: false,
        moved: false,
        instances: 5,
        bytes,
    }
}

fn hold(id: &str, target: HoldTarget) -> Hold {
    let id = HoldId::parse(id).expect("id");
    let (owner, made_by) = (person("Sở Y tế"), person("minh"));
    Hold { id, target, reason: "Công văn 12/CV".into(), owner, made_by, made_at: 1, seal: None }
}

fn patient(id: &str) -> PatientRef {
    PatientRef { issuer: "DEMO0".into(), id: id.into() }
}

#[test]
fn a_plan_lists_what_is_due_and_what_is_withheld_and_nothing_else() {
    let (rules, studies) = (rules(TABLE), [study(1), study(2), study(3), study(4), study(5)]);
    let mut holds = Holds::new();
    holds.apply(hold("H-1", HoldTarget::Study(studies[1].clone())));
    let cases =
        [Case::new(), Case::new(), Case::new().linked("C"), Case::new().linked("SECRET"), Case::new().linked("A")];
    let candidates: Vec<_> = studies.iter().zip(&cases).map(|(s, c)| candidate(s, c, &[])).collect();

    let plan = Plan::make(head("2036-12-31"), &rules, &holds, candidates.clone());
    assert_eq!(plan.entries.iter().map(|e| &e.study).collect::<Vec<_>>(), [&studies[4]], "the last day is kept");
    let plan = Plan::make(head("2037-01-01"), &rules, &holds, candidates.clone());

    assert_eq!(plan.entries.iter().map(|e| &e.study).collect::<Vec<_>>(), [&studies[0], &studies[4]]);
    assert_eq!(plan.entries[0].due, date("2036-12-31"));
    assert_eq!(plan.entries[1].rule.as_str(), "linked");
    let why: Vec<_> = plan.held.iter().map(|entry| (&entry.study, &entry.why)).collect();
    let by_hold = Withheld::Holds(vec![HoldId::parse("H-1").expect("id")]);
    assert_eq!(why, [(&studies[1], &by_hold), (&studies[3], &Withheld::Unclear)]);
    let totals = &plan.summary.totals;
    assert_eq!((totals.considered, totals.due, totals.held), (5, 2, 2));
    let bytes = TierBytes { journal: 2, hot: 40, cold: 600 };
    let sums = FacilityTotals { studies: 2, instances: 10, bytes };
    assert_eq!(totals.facilities, [(FacilityCode::DEMO, sums)].into());
    assert_eq!(totals.rules.values().copied().collect::<Vec<_>>(), [1, 1]);

    let hidden = Candidate { hidden: true, ..candidates[0] };
    assert_eq!(Plan::make(head("2037-01-01"), &rules, &holds, [hidden]).entries, []);
    let moved = Candidate { moved: true, ..candidates[0] };
    let plan = Plan::make(head("2037-01-01"), &rules, &holds, [moved]);
    assert!(plan.entries.is_empty() && plan.held.iter().all(|entry| entry.why == Withheld::Moved));
    assert_eq!(plan.held.len(), 1);
}

fn three_studies() -> Plan {
    let rules = rules(TABLE);
    let (studies, case) = ([study(1), study(2), study(3)], Case::new());
    let mut holds = Holds::new();
    holds.apply(hold("H-1", HoldTarget::Study(studies[1].clone())));
    Plan::make(head("2037-01-01"), &rules, &holds, studies.iter().map(|s| candidate(s, &case, &[])))
}

fn read(text: &str) -> Result<PlanSummary, PlanError> {
    let mut reader = PlanReader::new();
    for line in text.lines() {
        reader.line(line)?;
    }
    reader.finish()
}

#[test]
fn the_digest_is_that_of_the_text_and_reading_gives_it_back() {
    let plan = three_studies();
    let of_file = Digest(Sha256::digest(plan.text.as_bytes()).into());
    assert_eq!(plan.summary.digest, of_file);
    assert_eq!(read(&plan.text).expect("sound"), plan.summary);
    // The form on disk: changed only together with PlanHead::FORM.
    let first = plan.text.lines().next().expect("line");
    let rules = format!("{{\"number\":1,\"digest\":\"{}\"}}", plan.head.rules.digest);
    let form =
        "{\"line\":\"plan\",\"form\":1,\"plan\":\"p-1\",\"as_of\":\"2037-01-01\",\"made_by\":\"lan\",\"undo_days\":30,";
    assert_eq!(first, format!("{form}\"rules\":{rules}}}"));
    let due = plan.text.lines().nth(1).expect("line");
    let form = "{\"line\":\"due\",\"study\":{\"facility\":\"DEMO0\",\"study\":\"1.2.826.0.1.1\"},\"version\":{\"through\":7,\"fact\":0},\"class\":\"B\",\"rule\":\"default\",";
    let rest = "\"due\":\"2036-12-31\",\"instances\":5,\"bytes\":{\"journal\":1,\"hot\":20,\"cold\":300}}";
    assert_eq!(due, format!("{form}\"rules\":{rules},{rest}"));
}

#[test]
fn whatever_is_changed_in_a_plan_is_found() {
    let plan = three_studies();
    let differs = |text: &str| read(text).map_or(true, |summary| summary.digest != plan.summary.digest);
    assert!(!differs(&plan.text));
    for at in 0..plan.text.len() - 1 {
        let mut bytes = plan.text.clone().into_bytes();
        bytes[at] ^= 1;
        assert!(String::from_utf8(bytes).map_or(true, |text| differs(&text)), "bit flipped at {at}");
    }
    let lines: Vec<&str> = plan.text.lines().collect();
    for skip in 0..lines.len() {
        let less: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != skip).map(|(_, line)| *line).collect();
        assert!(read(&less.join("\n")).is_err(), "line {skip} left out");
        let twice: Vec<&str> =
            lines.iter().enumerate().flat_map(|(n, l)| vec![*l; 1 + usize::from(n == skip)]).collect();
        assert!(read(&twice.join("\n")).is_err(), "line {skip} twice");
    }
    assert!(matches!(read(&plan.text.replace("\"form\":1", "\"form\":2")), Err(PlanError::Newer(2))));
    assert!(matches!(read(&plan.text.replacen("{\"line\"", "{ \"line\"", 1)), Err(PlanError::Form { line: 1 })));
    let smuggled = plan.text.replacen("\"class\":\"B\"", "\"class\":\"B\",\"remark\":1", 1);
    assert!(matches!(read(&smuggled), Err(PlanError::Form { line: 2 })));
    assert!(matches!(read(""), Err(PlanError::CutOff)));
}

#[test]
fn a_plan_depends_on_its_inputs_alone() {
    assert_eq!(three_studies(), three_studies());
}

#[test]
fn holds_keep_a_study_a_patient_and_a_pinned_list() {
    let mut holds = Holds::new();
    let ids = |holds: &Holds, study: &StudyRef, patients: &[PatientRef]| -> Vec<String> {
        holds.held_by(study, patients).iter().map(ToString::to_string).collect()
    };
    let list = HoldTarget::Studies { query: "Modality=CT".into(), studies: vec![study(2), study(3), study(3)] };
    for (id, target) in [
        ("H-1", HoldTarget::Study(study(1))),
        ("H-2", HoldTarget::Patient(patient("77"))),
        ("H-3", list),
        ("H-4", HoldTarget::Study(study(3))),
    ] {
        let hold = hold(id, target);
        assert_eq!(holds.check(&hold), Ok(()));
        holds.apply(hold.clone());
        assert_eq!(holds.check(&hold), Err(HoldError::Taken(hold.id)));
    }
    assert_eq!(ids(&holds, &study(1), &[]), ["H-1"]);
    assert_eq!(ids(&holds, &study(3), &[]), ["H-3", "H-4"]);
    assert_eq!(ids(&holds, &study(9), &[patient("78"), patient("77")]), ["H-2"], "also under a number from before");
    assert_eq!(ids(&holds, &study(9), &[patient("78")]), [""; 0]);
    let elsewhere = PatientRef { issuer: "56001".into(), id: "77".into() };
    assert_eq!(ids(&holds, &study(9), &[elsewhere]), [""; 0], "the same number of another hospital");
    let other_patient = StudyRef { patient: 1, ..study(1) };
    assert_eq!(ids(&holds, &other_patient, &[]), [""; 0]);

    let release = |id: &str, reason: &str| HoldRelease {
        hold: HoldId::parse(id).expect("id"),
        by: person("minh"),
        reason: reason.into(),
        at: 2,
        seal: None,
    };
    assert_eq!(holds.check_release(&release("H-9", "x")), Err(HoldError::Unknown(HoldId::parse("H-9").expect("id"))));
    assert_eq!(holds.check_release(&release("H-3", "  ")), Err(HoldError::NoReason));
    assert_eq!(holds.check_release(&release("H-3", "closed")), Ok(()));
    holds.apply_release(release("H-3", "closed"));
    holds.apply_release(release("H-2", "closed"));
    assert_eq!(ids(&holds, &study(3), &[]), ["H-4"]);
    assert_eq!(ids(&holds, &study(2), &[patient("77")]), [""; 0]);
    assert_eq!(holds.check_release(&release("H-3", "x")), Err(HoldError::Released(HoldId::parse("H-3").expect("id"))));
    assert!(holds.all().filter(|(_, release)| release.is_some()).count() == 2);
    // Facts applied once more change nothing.
    holds.apply(hold("H-3", HoldTarget::Study(study(2))));
    assert_eq!(ids(&holds, &study(2), &[]), [""; 0]);

    assert_eq!(
        holds.check(&Hold { reason: " ".into(), ..hold("N", HoldTarget::Study(study(1))) }),
        Err(HoldError::NoReason)
    );
    let empty = HoldTarget::Studies { query: "q".into(), studies: Vec::new() };
    assert_eq!(holds.check(&hold("N", empty)), Err(HoldError::NoStudies));
}

#[test]
fn a_hold_on_a_patient_keeps_studies_that_come_later() {
    let (rules, case) = (rules(TABLE), Case::new());
    let mut holds = Holds::new();
    holds.apply(hold("H-2", HoldTarget::Patient(patient("77"))));
    let (later, patients) = (study(50), [patient("77")]);
    let plan = Plan::make(head("2037-01-01"), &rules, &holds, [candidate(&later, &case, &patients)]);
    assert_eq!((plan.entries.len(), plan.held.len()), (0, 1));
    assert!(!format!("{:?}", patients[0]).contains("77"), "patient data in a debug text");
}

#[test]
fn a_judgement_alone_writes_nothing() {
    let (rules, holds, case, one) = (rules(TABLE), Holds::new(), Case::new(), study(1));
    let mut lines = 0;
    let mut sink = |_: &PlanLine, _: &str| -> Result<(), ()> {
        lines += 1;
        Ok(())
    };
    let mut planner = Planner::begin(head("2037-01-01"), &rules, &holds, &mut sink).expect("head");
    assert!(matches!(planner.judge(&candidate(&one, &case, &[])), Verdict::Due(_)));
    planner.look(&candidate(&one, &case, &[]), &mut sink).expect("line");
    let summary = planner.finish(&mut sink).expect("totals");
    assert_eq!((lines, summary.totals.considered), (3, 1));
    // A sink that fails stops the plan with its error.
    let mut full = |_: &PlanLine, _: &str| Err::<(), _>("disk full");
    assert!(matches!(Planner::begin(head("2037-01-01"), &rules, &holds, &mut full), Err("disk full")));
}
