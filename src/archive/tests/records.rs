//! What information systems say of visits and deaths keeps images longer, and never shorter.

use super::retain::{Hand, begun, day, person, progress, under};
use super::*;
use crate::clock::Clock;
use crate::rebuild;
use crate::retain::PlanQuestion;
use model::Digest;
use model::chart::{
    BirthDate, Change, Handled, Inbound, OrderAction, OrderUpdate, Origin, PatientUpdate, StepUpdate, VisitState,
    VisitUpdate,
};
use model::date::{DAY_MS, Date};
use model::retention::{ClassId, RetentionFact};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const STUDIES: [&str; 6] = ["1.2.1", "1.2.2", "1.2.3", "1.2.4", "1.2.5", "1.2.6"];

fn rules() -> String {
    testkit::rules::file(1, &[("USUAL", "10 years"), ("INPATIENT", "20 years"), ("DEATH", "30 years")])
}

/// An archive in which nothing happens by itself.
fn still() -> (Bench, Arc<Hand>) {
    let hand = Arc::new(Hand(AtomicU64::new(day("2026-01-03").start_ms())));
    let clock: Arc<dyn Clock> = hand.clone();
    let bench = Bench::with(|options| {
        options.clock = clock;
        options.background = false;
        options.retention.rules = rules();
        options.retention.studies_per_second = 10_000;
    });
    (bench, hand)
}

fn says(bench: &Bench, changes: Vec<Change>) {
    let text = format!("{changes:?}");
    let digest = Digest(Sha256::digest(text.as_bytes()).into());
    let control = digest.to_string();
    let origin = Origin { source: "mllp:DEMO0:HIS".into(), sender: "HIS|BV".into(), control, digest };
    let (kind, mrn, remarks) = ("ADT^A08".into(), None, Vec::new());
    let message = Inbound { origin, kind, mrn, text, changes: Ok(changes), remarks };
    let receipt = bench.archive.charts().receive(FacilityCode::DEMO, message).expect("received");
    assert_eq!(receipt.handled, Handled::Done);
}

fn class(name: &str) -> Vec<ClassId> {
    vec![ClassId::parse(name).expect("a class")]
}

/// A visit of the day on which every study was made.
fn visit(number: &str, mrn: &str, state: VisitState, records: Vec<ClassId>) -> Change {
    let begin = Some(day("2026-01-02").start_ms());
    let (number, mrn, state) = (number.into(), mrn.into(), Some(state));
    Change::Visit(VisitUpdate { number, mrn, state, records, begin, ..VisitUpdate::default() })
}

fn dead(mrn: &str) -> Change {
    let died = Some(BirthDate::parse("20260102").ok());
    Change::Patient(PatientUpdate { mrn: mrn.into(), died, records: class("DEATH"), ..PatientUpdate::default() })
}

fn known(mrn: &str) -> Change {
    Change::Patient(PatientUpdate { mrn: mrn.into(), ..PatientUpdate::default() })
}

fn send(bench: &Bench, study: &'static str, mrn: &'static str) {
    let series: &'static str = format!("{study}.1").leak();
    let object = Object { study, series, patient: (mrn, "LE^AN"), ..Object::new(&format!("{series}.1")) };
    bench.store(&object).expect("stored");
}

/// The text of a plan of a day that is not recorded.
fn plan_text(bench: &Bench, as_of: &str) -> String {
    let (as_of, by) = (day(as_of), person("lan"));
    let question = PlanQuestion { as_of, facility: None, rules: None, by, record: false };
    let made = bench.archive.plan_retention(&question, &AtomicBool::new(false), &mut |_, _| {}).expect("a plan");
    std::fs::read_to_string(made.path).expect("the plan")
}

/// Studies that may go when an ordinary study of early 2026 may.
fn due(bench: &Bench) -> Vec<&'static str> {
    let text = plan_text(bench, "2037-01-01");
    STUDIES.into_iter().filter(|study| text.contains(&format!("\"{study}\""))).collect()
}

#[test]
fn an_outpatients_study_goes_when_that_of_an_inpatient_or_of_the_dead_stays() {
    let (bench, _) = under(&rules(), false);
    send(&bench, "1.2.1", "1");
    send(&bench, "1.2.2", "2");
    says(&bench, vec![known("1"), visit("V1", "1", VisitState::Registered, Vec::new())]);
    says(&bench, vec![known("2"), visit("V2", "2", VisitState::Admitted, class("INPATIENT"))]);
    says(&bench, vec![dead("3")]);
    // Before the message and after it.
    send(&bench, "1.2.3", "3");
    until("both stay", || due(&bench) == ["1.2.1"]);
    let later = plan_text(&bench, "2047-01-01");
    let line = later.lines().find(|line| line.contains("\"1.2.2\"")).expect("it goes in its time");
    assert!(line.contains("INPATIENT") && line.contains("linked"), "the plan says why: {line}");
    assert!(!later.contains("\"1.2.3\""), "the dead are kept for thirty years");

    // Taken back, it shortens nothing; what comes later is not the visit's any more.
    says(&bench, vec![visit("V2", "2", VisitState::Canceled, Vec::new())]);
    send(&bench, "1.2.4", "2");
    send(&bench, "1.2.5", "3");
    until("the last one was looked at", || due(&bench) == ["1.2.1", "1.2.4"]);
}

#[test]
fn a_merged_patients_and_a_moved_visits_class_follows() {
    let (bench, _) = under(&rules(), false);
    for (study, mrn) in [("1.2.1", "1"), ("1.2.2", "9"), ("1.2.3", "2")] {
        send(&bench, study, mrn);
    }
    says(&bench, vec![known("1"), known("2"), known("9")]);
    says(&bench, vec![visit("V1", "1", VisitState::Admitted, class("INPATIENT"))]);
    until("the visit's study stays", || due(&bench) == ["1.2.2", "1.2.3"]);
    says(&bench, vec![Change::Merge { survivor: "1".into(), former: "9".into() }]);
    until("that of the number given up stays", || due(&bench) == ["1.2.3"]);
    says(&bench, vec![Change::MoveVisit { visit: "V1".into(), mrn: "2".into() }]);
    until("that of whom the visit was moved to stays", || due(&bench).is_empty());
}

#[test]
fn the_visit_that_an_order_names_counts_and_no_other() {
    let (bench, _) = under(&rules(), false);
    says(&bench, vec![known("1"), visit("V1", "1", VisitState::Admitted, class("INPATIENT"))]);
    says(&bench, vec![visit("V2", "1", VisitState::Registered, Vec::new())]);
    let order = |placer: &str, study: &str, visit: &str| {
        let (mrn, study, visit) = (Some("1".into()), Some(uid(study)), Some(visit.into()));
        let steps = vec![StepUpdate { modality: Some("CT".into()), ..StepUpdate::default() }];
        let order = OrderUpdate { mrn, study, visit, steps, ..OrderUpdate::new(OrderAction::New, placer) };
        Change::Order(Box::new(order))
    };
    says(&bench, vec![order("P1", "1.2.1", "V1"), order("P2", "1.2.2", "V2")]);
    let linked = |study: &str| {
        let key = index::StudyKey { facility: FacilityCode::DEMO, study: uid(study), patient: 0 };
        let facts = bench.archive.index().retention_of(&key).expect("the index");
        facts.iter().any(|(_, fact)| matches!(fact, RetentionFact::RecordLinked { .. }))
    };
    // Made long after both visits began: only an order says that it belongs to one.
    says(
        &bench,
        vec![Change::Visit(VisitUpdate {
            number: "V1".into(),
            mrn: "1".into(),
            begin: Some(day("2025-11-01").start_ms()),
            end: Some(Some(day("2025-11-02").start_ms())),
            state: Some(VisitState::Discharged),
            ..VisitUpdate::default()
        })],
    );
    send(&bench, "1.2.2", "1");
    send(&bench, "1.2.1", "1");
    until("the inpatient's study stays", || linked("1.2.1"));
    assert!(!linked("1.2.2"), "the other one is an outpatient's");
}

/// The days on which the records end that a study is linked to, in the order in which that was recorded.
fn ends(bench: &Bench, study: &str) -> Vec<Option<Date>> {
    let key = index::StudyKey { facility: FacilityCode::DEMO, study: uid(study), patient: 0 };
    let facts = bench.archive.index().retention_of(&key).expect("the index");
    let ended = facts.into_iter().filter_map(|(_, fact)| match fact {
        RetentionFact::RecordLinked { record, .. } => Some(record.ended),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_discharge_mistyped_into_the_future_and_taken_back_leaves_the_right_one_to_count() {
    let (bench, hand) = under(&rules(), false);
    let says_visit = |state: VisitState, end: Option<Option<Date>>| {
        let end = end.map(|day| day.map(Date::start_ms));
        let update = VisitUpdate { number: "V1".into(), mrn: "1".into(), end, ..VisitUpdate::default() };
        says(&bench, vec![Change::Visit(VisitUpdate { state: Some(state), ..update })]);
    };
    let (wrong, right) = (day("2072-02-10"), day("2027-02-10"));
    send(&bench, "1.2.1", "1");
    says(&bench, vec![known("1"), visit("V1", "1", VisitState::Admitted, class("INPATIENT"))]);
    until("the visit's study stays", || ends(&bench, "1.2.1") == [None]);
    hand.0.store(day("2027-02-11").start_ms(), Ordering::Relaxed);
    // A03, A13, A03.
    says_visit(VisitState::Discharged, Some(Some(wrong)));
    until("the wrong end is recorded", || ends(&bench, "1.2.1") == [None, Some(wrong)]);
    says_visit(VisitState::Admitted, Some(None));
    says_visit(VisitState::Discharged, Some(Some(right)));
    until("the right end is recorded", || ends(&bench, "1.2.1") == [None, Some(wrong), Some(right)]);
    // Twenty years from the end of 2027: that of the study alone would be over a year before.
    assert!(!plan_text(&bench, "2047-06-01").contains("\"1.2.1\""), "it would go too early");
    let plan = plan_text(&bench, "2048-01-01");
    let line = plan.lines().find(|line| line.contains("\"1.2.1\"")).expect("it goes in its time");
    assert!(line.contains("INPATIENT"), "{line}");
}

#[test]
fn a_plan_made_before_the_visit_came_spares_the_study() {
    let (bench, hand) = still();
    send(&bench, "1.2.1", "1");
    send(&bench, "1.2.2", "2");
    let plan = begun(&bench, &hand);
    assert_eq!(bench.archive.retention_plan(&plan).expect("a plan").due, 2);
    says(&bench, vec![known("2"), visit("V2", "2", VisitState::Admitted, class("INPATIENT"))]);
    // Nothing in the background has looked: the plan itself does.
    bench.archive.execute_now().expect("executes");
    let now = progress(&bench, &plan);
    assert_eq!((now.hidden, now.taken_out), (1, 1), "{now:?}");
    // Hidden already, it is spared all the same, and visible again.
    says(&bench, vec![dead("1")]);
    hand.0.fetch_add(31 * DAY_MS, Ordering::Relaxed);
    bench.archive.execute_now().expect("executes");
    let now = progress(&bench, &plan);
    assert_eq!((now.destroyed, now.taken_out), (0, 2), "{now:?}");
}

#[test]
fn what_came_before_a_restart_counts_after_it_and_after_a_rebuild() {
    let (bench, _) = still();
    send(&bench, "1.2.1", "1");
    send(&bench, "1.2.2", "2");
    says(&bench, vec![known("2"), visit("V2", "2", VisitState::Admitted, class("INPATIENT"))]);
    assert_eq!(due(&bench), ["1.2.1", "1.2.2"], "nobody has looked");
    let bench = bench.reopen_with(|options| options.background = true);
    until("it stays", || due(&bench) == ["1.2.1"]);
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal(), "{report:?}");
    let options = Options { background: false, ..options };
    let bench = Bench { archive: Archive::open(options.clone()).expect("open"), options, folder };
    assert_eq!(due(&bench), ["1.2.1"]);
}
