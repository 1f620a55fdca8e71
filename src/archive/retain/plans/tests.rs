//! The plan of an archive is, byte for byte, the one that is made by looking at each study by itself, whole.

use super::*;
use crate::clock::Clock;
use crate::tests::{Bench, Object, uid, until};
use index::Cursor;
use memchr::memmem;
use model::Via;
use model::retention::record::RejectReason;
use model::retention::{ClassId, Hold, HoldId, HoldTarget, LinkedRecord, PatientRef, StudyRef};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const RULES: &str = r#"
version = 1
default = "USUAL"

[[class]]
id = "USUAL"
vi = "Thông thường"
en = "Usual"
law = "none"
term = "2 years"

[[class]]
id = "LONG"
vi = "Dài"
en = "Long"
law = "none"
term = "10 years"

[[class]]
id = "DEATH"
vi = "Tử vong"
en = "Death"
law = "none"
term = "3 years after death"

[[rule]]
id = "emergency"
class = "LONG"
vi = "Cấp cứu lưu lâu hơn"
en = "Emergencies stay longer"
facility = ["56001"]
made_from = "2008-01-01"
made_to = "2008-12-31"
"#;

/// It is the third day of 2026 all the time.
struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> u64 {
        Date::new(2026, 1, 3).expect("a day").start_ms()
    }
}

fn person() -> Person {
    Person::parse("lan").expect("a name")
}

fn study(number: usize, facility: FacilityCode) -> StudyRef {
    StudyRef { facility, study: uid(&format!("1.2.{number}")), patient: 0 }
}

/// Stores an image of a study of 2000 and so many years.
fn store(bench: &Bench, facility: Option<&str>, number: usize, image: usize, patient: &'static str, fill: u8) {
    let (study, series): (&str, &str) = (format!("1.2.{number}").leak(), format!("1.2.{number}.{}", image % 2).leak());
    let sop = format!("1.2.{number}.{}.{image}", image % 2);
    let object = Object { study, series, patient: (patient, "NGUYEN^VAN AN"), fill, ..Object::new(&sop) };
    let mut bytes = object.bytes();
    let at = memmem::find(&bytes, b"20260102").expect("the date");
    bytes[at..at + 8].copy_from_slice(format!("20{:02}0615", number % 25).as_bytes());
    let source = facility.map_or_else(|| bench.source(), |facility| bench.source_of(facility));
    let mut incoming = bench.archive.receive(&source, Via::CStore, object.form()).expect("received");
    incoming.write(&bytes).expect("taken");
    incoming.finish().expect("stored");
}

/// Studies of two facilities, of which some are due, held, linked, of the dead, rejected, of two patients, or in
/// conflict.
fn filled(packs: bool) -> Bench {
    let bench = Bench::with(|options| {
        options.clock = Arc::new(Standing);
        options.quiet_after = Duration::ZERO;
        options.packs.enabled = packs;
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
        options.retention.rules = RULES.into();
    });
    for number in 0..23_usize {
        let (facility, patient) = if number.is_multiple_of(4) { (Some("56001"), "P2") } else { (None, "P1") };
        (0..4).for_each(|image| store(&bench, facility, number, image, patient, 7));
    }
    store(&bench, None, 7, 1, "P1", 8);
    store(&bench, None, 9, 8, "P3", 7);
    let archive = &bench.archive;
    // The rules come into use.
    archive.plan_retention(&asked(None, true), &AtomicBool::new(false), &mut |_, _| {}).expect("a plan");
    let class = |name: &str| LinkedRecord { class: ClassId::parse(name).expect("a class"), ended: None };
    let other = FacilityCode::parse("56001").expect("a code");
    let link = |study: &StudyRef, name: &str| archive.link_record(study, class(name), person(), "HIS".into());
    link(&study(1, FacilityCode::DEMO), "LONG").expect("linked");
    link(&study(4, other), "DEATH").expect("linked");
    link(&study(5, FacilityCode::DEMO), "DEATH").expect("linked");
    let died = Date::new(2015, 5, 1).expect("a day");
    let dead = PatientRef { issuer: "56001".into(), id: "P2".into() };
    archive.record_death(dead, died, person()).expect("recorded");
    let hold = Hold {
        id: HoldId::parse("H-1").expect("a number"),
        target: HoldTarget::Study(study(10, FacilityCode::DEMO)),
        reason: "case 7".into(),
        owner: person(),
        made_by: person(),
        made_at: archive.now_ms(),
        seal: None,
    };
    archive.make_hold(hold).expect("held");
    let (of, series, image) = (uid("1.2.11"), uid("1.2.11.1"), uid("1.2.11.1.3"));
    let why = RejectReason::Quality;
    archive.reject_instance(FacilityCode::DEMO, (&of, &series, &image), why, person()).expect("rejected");
    bench
}

fn asked(facility: Option<FacilityCode>, record: bool) -> PlanQuestion {
    PlanQuestion { as_of: Date::new(2020, 1, 2).expect("a day"), facility, rules: None, by: person(), record }
}

/// Every study, in order of arrival.
fn rows(bench: &Bench) -> Vec<StudyRow> {
    let (mut rows, mut cursor): (Vec<StudyRow>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = bench.archive.index().arrivals(cursor.as_ref(), 100).expect("the index");
        rows.extend(page.rows);
        cursor = page.cursor;
        if cursor.is_none() {
            return rows;
        }
    }
}

/// The plan made the simple way.
fn simple(bench: &Bench, wanted: &PlanQuestion) -> String {
    let archive = &bench.archive;
    let rules = RuleSet::parse(RULES).expect("rules");
    let state = archive.retention().state.read();
    let head = PlanHead {
        form: PlanHead::FORM,
        plan: PlanId::parse("2020-01-02-2").expect("a name"),
        as_of: wanted.as_of,
        made_by: wanted.by.clone(),
        undo_days: archive.options().retention.undo_days,
        rules: rules.version(),
    };
    let mut text = String::new();
    let mut sink = |_: &PlanLine, line: &str| -> Result<(), RetainError> {
        text.push_str(line);
        text.push('\n');
        Ok(())
    };
    let mut planner = Planner::begin(head, &rules, &state.holds, &mut sink).expect("begun");
    for row in rows(bench) {
        let index = archive.index().as_ref();
        let study = Study::whole(index, &state, (&rules, wanted.as_of), row).expect("a study");
        planner.look(&study.candidate(wanted.as_of), &mut sink).expect("a line");
    }
    planner.finish(&mut sink).expect("the sums");
    text
}

fn made(bench: &Bench, wanted: &PlanQuestion) -> String {
    let (mut steps, none) = (Vec::new(), AtomicBool::new(false));
    let mut step = |looked: u64, total: u64| steps.push((looked, total));
    let plan = bench.archive.plan_retention(wanted, &none, &mut step).expect("a plan");
    let text = fs::read_to_string(&plan.path).expect("the text");
    assert_eq!(digest_of(&plan.path).expect("the text"), plan.summary.digest);
    let total = plan.summary.totals.considered;
    assert!(steps.into_iter().eq((1..=total).map(|looked| (looked, total))), "it told other steps");
    text
}

fn lines(text: &str, facility: &str) -> BTreeSet<String> {
    let of_study = |line: &&str| line.starts_with("{\"line\":\"due\"") || line.starts_with("{\"line\":\"held\"");
    let here = format!("\"facility\":\"{facility}\"");
    text.lines().filter(of_study).filter(|line| line.contains(&here)).map(str::to_owned).collect()
}

#[test]
fn a_plan_is_the_one_made_by_looking_at_each_study_by_itself() {
    for packs in [false, true] {
        let bench = filled(packs);
        let rest = || {
            let index = bench.archive.index();
            let settled = index.busy_series(u64::MAX / 2, 1).expect("the index").is_empty()
                && index.incomplete_studies(1).expect("the index").is_empty();
            settled && (!packs || index.unpacked(u64::MAX / 2, 1).expect("the index").is_empty())
        };
        until("nothing waits", rest);
        let (wanted, mut expected) = (asked(None, false), String::new());
        until("nothing changed while a plan was made", || {
            expected = simple(&bench, &wanted);
            let text = made(&bench, &wanted);
            let still = simple(&bench, &wanted) == expected;
            assert!(!still || text == expected, "with packs: {packs}\n{text}\n{expected}");
            still
        });
        let all = ["DEMO0", "56001"].map(|facility| lines(&expected, facility));
        assert!(all.iter().all(|lines| lines.len() > 2), "{expected}");
        assert!(expected.contains("H-1") && expected.contains("LONG"), "{expected}");
        for (facility, lines_of_all) in ["DEMO0", "56001"].into_iter().zip(all) {
            let code = FacilityCode::parse(facility).expect("a code");
            assert_eq!(lines(&made(&bench, &asked(Some(code), false)), facility), lines_of_all);
        }
    }
}

#[test]
fn a_plan_that_is_stopped_leaves_nothing_behind() {
    let bench = filled(false);
    let stop = AtomicBool::new(false);
    let mut at_the_seventh = |looked: u64, _: u64| stop.store(looked >= 7, Ordering::Relaxed);
    let stopped = bench.archive.plan_retention(&asked(None, false), &stop, &mut at_the_seventh);
    assert_eq!(stopped, Err(RetainError::Interrupted));
    let left = fs::read_dir(bench.archive.options().data.join("retention/plans")).expect("a folder");
    let names: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["2020-01-02-1.jsonl"]);
}
