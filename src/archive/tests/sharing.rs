//! Links for patients: what opens them, what does not, and that they show what is the patient's and nothing else.

use super::retain::{Hand, archive, begun, day, fill, person, progress};
use super::*;
use crate::charts::{ChartError, IssuedShare, ShareAnswer, ShareOptions, WantedShare};
use crate::retain::Correcting;
use memchr::memmem;
use model::attribute::key;
use model::chart::{BirthDate, Change, ChartKey, ChartKind, Handled, Inbound, Origin, PatientUpdate, Ticket};
use model::correction::Why;
use model::date::DAY_MS;
use model::retention::StudyRef;
use model::retention::record::{Named, RejectReason};
use model::{Attributes, Caller, Digest, Facility};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::Ordering;

const HOME: FacilityCode = FacilityCode::DEMO;
const BORN: &str = "5/3/1978";
const MINUTE: u64 = 60_000;

fn says(bench: &Bench, changes: Vec<Change>) {
    let text = format!("{changes:?}");
    let origin = Origin {
        source: "mllp:HIS".into(),
        sender: String::new(),
        control: text.len().to_string(),
        digest: Digest(Sha256::digest(&text).into()),
    };
    let kind = "ADT^A08".to_owned();
    let inbound = Inbound { origin, kind, mrn: None, text, changes: Ok(changes), remarks: Vec::new() };
    let receipt = bench.archive.charts().receive(HOME, inbound).expect("received");
    assert_eq!(receipt.handled, Handled::Done);
}

fn born(mrn: &str, birth: &str) -> Change {
    let birth = Some(BirthDate::parse(birth).ok());
    Change::Patient(PatientUpdate { mrn: mrn.into(), birth, ..PatientUpdate::default() })
}

fn wanted(studies: &[&str]) -> WantedShare {
    WantedShare {
        facility: HOME,
        studies: studies.iter().map(|study| uid(study)).collect(),
        accession: None,
        visit: None,
        until: Some(day("2040-12-31")),
        days: None,
        download: false,
        by: "desk".into(),
    }
}

fn issue(bench: &Bench, studies: &[&str]) -> IssuedShare {
    bench.archive.issue_share(&Caller::demo(), &wanted(studies)).expect("issued")
}

/// Studies of two patients, born on known days.
fn hospital() -> (Bench, Arc<Hand>) {
    let (bench, hand) = archive(false);
    for (study, patient) in [("1.2.1", "P1"), ("1.2.3", "P1"), ("1.2.5", "P2")] {
        let series: &'static str = format!("{study}.1").leak();
        let object = Object { study, series, patient: (patient, "LE^AN"), ..Object::new(&format!("{series}.1")) };
        bench.store(&object).expect("stored");
    }
    says(&bench, vec![born("P1", "1978-03-05"), born("P2", "1990-01-02")]);
    (bench, hand)
}

fn open(bench: &Bench, share: &IssuedShare, birth: &str, code: &str) -> ShareAnswer {
    bench.archive.open_share(&share.secret, birth, code).expect("answers")
}

fn opens(bench: &Bench, share: &IssuedShare) -> bool {
    matches!(open(bench, share, BORN, &share.code), ShareAnswer::Opened(..))
}

fn name(share: &IssuedShare) -> ChartKey {
    ChartKey::new(ChartKind::Ticket, HOME, &share.id).expect("a key")
}

fn ticket(bench: &Bench, share: &IssuedShare) -> Ticket {
    bench.archive.charts().ticket(&Caller::demo(), &name(share)).expect("kept")
}

/// What it shows: studies, how many destroyed, how many withheld.
fn shown(bench: &Bench, share: &IssuedShare) -> Option<(Vec<String>, usize, usize)> {
    let shared = bench.archive.shared(&name(share)).expect("answers")?;
    let studies = shared.rows.iter().map(|row| row.study.to_string());
    Some((studies.collect(), shared.destroyed, shared.withheld))
}

/// Another code than the right one.
fn other(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

#[test]
fn a_link_opens_for_who_knows_all_three_and_nothing_on_disk_opens_it() {
    let (bench, _hand) = hospital();
    let share = issue(&bench, &["1.2.1", "1.2.3"]);
    assert!(opens(&bench, &share));
    assert!(matches!(open(&bench, &share, "1978-03-05", &share.code), ShareAnswer::Opened(..)));
    for (birth, code) in [("6/3/1978", share.code.as_str()), (BORN, other(&share.code)), ("", "")] {
        assert_eq!(open(&bench, &share, birth, code), ShareAnswer::Refused, "{birth} {code}");
        assert!(opens(&bench, &share), "a right one takes the wrong ones away");
    }
    let stranger = bench.archive.open_share("0123456789abcdefghjkmnpqrs", BORN, &share.code).expect("answers");
    assert_eq!(stranger, ShareAnswer::Refused);
    assert_eq!(ticket(&bench, &share).opened, 5);
    let (mut studies, destroyed, withheld) = shown(&bench, &share).expect("open");
    studies.sort();
    assert_eq!((studies, destroyed, withheld), (vec!["1.2.1".to_owned(), "1.2.3".into()], 0, 0));
    let debug = format!("{:?}", ticket(&bench, &share));
    assert!(!debug.contains(&share.secret), "the secret is kept");
    let data = bench.options.data.clone();
    let Bench { archive, folder, .. } = bench;
    archive.close(Duration::from_secs(20)).expect("closed");
    drop(archive);
    let mut files = Vec::new();
    super::retain::files(&data, &mut files);
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(memmem::find(&bytes, share.secret.as_bytes()).is_none(), "{}", file.display());
    }
    drop(folder);
}

#[test]
fn wrong_tries_are_counted_over_restarts_cost_time_and_lock() {
    let (bench, hand) = hospital();
    let share = issue(&bench, &["1.2.1"]);
    let wrong = |bench: &Bench| assert_eq!(open(bench, &share, BORN, other(&share.code)), ShareAnswer::Refused);
    (0..3).for_each(|_| wrong(&bench));
    assert_eq!(ticket(&bench, &share).wrong, 3);
    let bench = bench.reopen();
    assert!(!opens(&bench, &share), "no try counts within the rest, and nobody is told");
    assert_eq!(ticket(&bench, &share).wrong, 3);
    hand.0.fetch_add(MINUTE, Ordering::Relaxed);
    assert!(opens(&bench, &share));
    assert_eq!(ticket(&bench, &share).wrong, 0);
    let tries = ShareOptions::default().tries;
    for _ in 0..tries {
        wrong(&bench);
        hand.0.fetch_add(60 * MINUTE, Ordering::Relaxed);
    }
    hand.0.fetch_add(DAY_MS, Ordering::Relaxed);
    assert!(!opens(&bench, &share), "it is locked");
    let bench = bench.reopen();
    assert!(!opens(&bench, &share), "and stays so");
    assert_eq!(ticket(&bench, &share).wrong, tries);
}

#[test]
fn ten_years_and_a_new_name_later_it_opens_and_no_day_longer_than_it_is_valid() {
    let (bench, hand) = hospital();
    let ten = WantedShare { until: Some(day("2036-01-03")), ..wanted(&["1.2.1"]) };
    let share = bench.archive.issue_share(&Caller::demo(), &ten).expect("issued");
    assert!(!share.secret.contains("demo"));
    let closed = Facility {
        code: HOME,
        name: "Trung tâm Y tế khu vực mới".into(),
        kind: "closed".into(),
        active_from: String::new(),
        active_to: "20300101".into(),
    };
    bench.archive.put_facility(&Caller::operator(), closed).expect("renamed");
    let bench = bench.reopen();
    // The last hour of the last day in Viet Nam.
    hand.0.store(day("2036-01-03").start_ms() + 16 * 60 * MINUTE, Ordering::Relaxed);
    assert!(opens(&bench, &share));
    assert_eq!(shown(&bench, &share).expect("open").0, ["1.2.1"]);
    hand.0.fetch_add(60 * MINUTE, Ordering::Relaxed);
    assert_eq!(open(&bench, &share, BORN, &share.code), ShareAnswer::Expired);
    assert_eq!(open(&bench, &share, BORN, other(&share.code)), ShareAnswer::Refused, "a stranger is told nothing");
    assert_eq!(shown(&bench, &share), None, "what was open ends");
    let refused = |wanted: &WantedShare| bench.archive.issue_share(&Caller::demo(), wanted).expect_err("refused");
    let far = WantedShare { until: Some(day("2051-01-05")), ..wanted(&["1.2.1"]) };
    let past = WantedShare { until: Some(day("2036-01-03")), ..wanted(&["1.2.1"]) };
    for wrong in [far, past] {
        assert!(matches!(refused(&wrong), ChartError::Invalid(_)));
    }
}

#[test]
fn a_revoked_link_says_so_to_who_knows_all_three_only() {
    let (bench, _hand) = hospital();
    let share = issue(&bench, &["1.2.1"]);
    let elsewhere = Caller::of_source(&bench.source_of("56001"));
    let charts = bench.archive.charts();
    assert_eq!(charts.revoke_ticket(&elsewhere, &name(&share), "x"), Err(ChartError::Unknown("link")));
    assert!(opens(&bench, &share));
    charts.revoke_ticket(&Caller::demo(), &name(&share), "desk").expect("revoked");
    assert_eq!(open(&bench, &share, BORN, &share.code), ShareAnswer::Revoked);
    assert_eq!(open(&bench, &share, "1/1/1990", &share.code), ShareAnswer::Refused);
    assert_eq!(shown(&bench, &share), None);
}

#[test]
fn a_link_is_for_one_patient_with_a_known_birth_date() {
    let (bench, _hand) = hospital();
    let issue = |studies: &[&str]| bench.archive.issue_share(&Caller::demo(), &wanted(studies));
    assert!(matches!(issue(&["1.2.1", "1.2.5"]), Err(ChartError::Conflict(_))));
    assert_eq!(issue(&["1.2.1", "1.2.99"]), Err(ChartError::Unknown("study")));
    assert!(matches!(issue(&[]), Err(ChartError::Invalid(_))));
    let object = Object { study: "1.2.7", series: "1.2.7.1", patient: ("P3", "X"), ..Object::new("1.2.7.1.1") };
    bench.store(&object).expect("stored");
    assert!(matches!(issue(&["1.2.7"]), Err(ChartError::Conflict(_))), "nobody knows when P3 was born");
    let elsewhere = Caller::of_source(&bench.source_of("56001"));
    assert!(bench.archive.issue_share(&elsewhere, &wanted(&["1.2.1"])).is_err());
    says(&bench, vec![Change::Merge { survivor: "P1".into(), former: "P2".into() }]);
    assert!(issue(&["1.2.1", "1.2.5"]).is_ok(), "they are one patient now");
}

#[test]
fn a_study_that_is_another_patients_by_now_is_not_shown() {
    let (bench, _hand) = hospital();
    let share = issue(&bench, &["1.2.1"]);
    let wanted = Correcting {
        study: StudyRef { facility: HOME, study: uid("1.2.1"), patient: 0 },
        set: Attributes::from([(key::PATIENT_ID, "P2".into())]),
        clear: Vec::new(),
        why: Why::Correct,
        by: person("Lân"),
        reason: "another patient".into(),
    };
    bench.archive.correct_study(&wanted).expect("corrected");
    assert_eq!(open(&bench, &share, "2/1/1990", &share.code), ShareAnswer::Refused, "the other patient's birth date");
    assert!(opens(&bench, &share));
    assert_eq!(shown(&bench, &share), Some((Vec::new(), 0, 1)));
}

#[test]
fn a_uid_under_which_another_patient_has_images_too_is_not_shown() {
    let (bench, _hand) = hospital();
    let share = issue(&bench, &["1.2.1", "1.2.3"]);
    // A console that was copied makes a UID twice.
    let object = Object { series: "1.2.1.9", patient: ("P2", "TRAN^BINH"), ..Object::new("1.2.1.9.1") };
    bench.store(&object).expect("stored");
    assert_eq!(shown(&bench, &share), Some((vec!["1.2.3".into()], 0, 1)));
    let again = bench.archive.issue_share(&Caller::demo(), &wanted(&["1.2.1"]));
    assert!(matches!(again, Err(ChartError::Conflict(_))), "{again:?}");
    // Also while the other patient's images are shown to nobody.
    let study = StudyRef { facility: HOME, study: uid("1.2.1"), patient: 1 };
    let named = vec![Named { series: uid("1.2.1.9"), sop_instance: uid("1.2.1.9.1") }];
    bench.archive.reject_instances(&study, named, RejectReason::Quality, person("Lân")).expect("rejected");
    assert_eq!(shown(&bench, &share), Some((vec!["1.2.3".into()], 0, 1)));
}

#[test]
fn a_merge_leaves_a_link_with_its_patient_and_a_corrected_birth_date_counts() {
    let (bench, _hand) = hospital();
    let share = issue(&bench, &["1.2.1"]);
    says(&bench, vec![Change::Merge { survivor: "P2".into(), former: "P1".into() }]);
    assert!(!opens(&bench, &share), "the number that stays has another birth date");
    assert!(matches!(open(&bench, &share, "2/1/1990", &share.code), ShareAnswer::Opened(..)));
    assert_eq!(shown(&bench, &share).expect("open").0, ["1.2.1"]);
}

#[test]
fn what_is_rejected_is_not_shown() {
    let (bench, _hand) = hospital();
    let share = issue(&bench, &["1.2.1", "1.2.3"]);
    let study = StudyRef { facility: HOME, study: uid("1.2.1"), patient: 0 };
    let named = vec![Named { series: uid("1.2.1.1"), sop_instance: uid("1.2.1.1.1") }];
    bench.archive.reject_instances(&study, named, RejectReason::Quality, person("Lân")).expect("rejected");
    assert_eq!(shown(&bench, &share), Some((vec!["1.2.3".into()], 0, 1)));
}

#[test]
fn a_destroyed_study_is_said_to_be_gone() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    says(&bench, vec![born("XQZ77-GOES", "1978-03-05")]);
    let share = issue(&bench, &["1.2.1"]);
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    assert_eq!(shown(&bench, &share), Some((Vec::new(), 0, 1)), "hidden is not gone");
    hand.0.fetch_add(31 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    assert!(opens(&bench, &share));
    assert_eq!(shown(&bench, &share), Some((Vec::new(), 1, 0)));
}
