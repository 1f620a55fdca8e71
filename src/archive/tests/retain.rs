//! From plan to the last byte: what is refused, what is taken out, what a kill leaves, and that nothing stays.

use super::killed::opened_again;
use super::*;
use crate::clock::Clock;
use crate::memory::Forget;
use crate::retain::{PlanProgress, PlanQuestion, RetainError};
use crate::{Target, rebuild};
use index::InstanceRow;
use memchr::memmem;
use model::date::{DAY_MS, Date};
use model::query::Query;
use model::retention::record::RejectReason;
use model::retention::{
    ClassId, Hold, HoldId, HoldTarget, LinkedRecord, PatientRef, Person, PlanId, Refusal, RetentionFact, StudyRef,
};
use model::{Caller, Level, Scope};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SEED: u64 = 0x5EED;

/// A clock that stands until it is turned.
pub(crate) struct Hand(pub(super) AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn day(text: &str) -> Date {
    Date::parse(text).expect("a day")
}

pub(crate) fn person(name: &str) -> Person {
    Person::parse(name).expect("a name")
}

/// An archive of early 2026 with its clock.
pub(super) fn archive(packs: bool) -> (Bench, Arc<Hand>) {
    under(&testkit::rules::file(1, &[("USUAL", "10 years"), ("LONG", "30 years")]), packs)
}

/// The same under other rules.
pub(crate) fn under(rules: &str, packs: bool) -> (Bench, Arc<Hand>) {
    let hand = Arc::new(Hand(AtomicU64::new(day("2026-01-03").start_ms())));
    let clock: Arc<dyn Clock> = hand.clone();
    let bench = Bench::with(|options| {
        options.clock = clock;
        options.quiet_after = Duration::ZERO;
        options.packs.enabled = packs;
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
        options.segment_bytes = 128 << 10;
        options.blob_above = 32 << 10;
        options.retention.rules = rules.into();
        options.retention.studies_per_second = 10_000;
    });
    (bench, hand)
}

/// An object whose pixels are like no others.
pub(super) fn object(
    study: &'static str,
    patient: (&'static str, &'static str),
    number: u32,
    pixels: usize,
) -> (Object, Vec<u8>) {
    let series: &'static str = format!("{study}.1").leak();
    let object = Object { study, series, patient, number, pixels, ..Object::new(&format!("{series}.{number}")) };
    let mut bytes = object.bytes();
    let mut rng =
        fastrand::Rng::with_seed(SEED + u64::from(number) + 1_000 * u64::try_from(study.len()).expect("short"));
    let from = bytes.len() - pixels;
    bytes[from..].iter_mut().for_each(|byte| *byte = rng.u8(..));
    (object, bytes)
}

pub(super) fn store(bench: &Bench, (object, bytes): &(Object, Vec<u8>)) {
    let form = Form::DataSet { sop_class: uid(CT), sop_instance: uid(&object.sop), transfer_syntax: uid(EXPLICIT_LE) };
    let mut incoming = bench.archive.receive(&bench.source(), Via::CStore, form).expect("begins");
    incoming.write(bytes).expect("written");
    incoming.finish().expect("stored");
}

pub(super) const GOES: (&str, &str) = ("XQZ77-GOES", "WEGZUBRINGEN^ZACHARIAS");
pub(super) const STAYS: (&str, &str) = ("XQZ88-STAYS", "BLEIBT^BENEDIKT");

/// A study that will be due, and one beside it that came ten years later.
pub(super) fn fill(bench: &Bench, hand: &Hand) -> Vec<(Object, Vec<u8>)> {
    let mut all = Vec::new();
    for number in 1..=4 {
        // The last one is large enough for a file of its own.
        let pixels = if number == 4 { 64 * 1024 } else { 4096 };
        all.push(object("1.2.1", GOES, number, pixels));
        store(bench, all.last().expect("one"));
    }
    // A copy in conflict goes with its study.
    let (first, mut bytes) = object("1.2.1", GOES, 1, 4096);
    *bytes.last_mut().expect("bytes") ^= 1;
    store(bench, &(first, bytes));
    let mut later = Vec::new();
    for number in 1..=3 {
        let (object, bytes) = object("1.2.22", STAYS, number, 4096);
        let at = memmem::find(&bytes, b"20260102").expect("the date");
        let mut bytes = bytes;
        bytes[at..at + 8].copy_from_slice(b"20360102");
        later.push((object, bytes));
    }
    hand.0.store(day("2036-02-01").start_ms(), Ordering::Relaxed);
    later.iter().for_each(|one| store(bench, one));
    all.extend(later);
    all
}

pub(super) fn rows(bench: &Bench, study: &str) -> Vec<InstanceRow> {
    let selected = bench.archive.select(&Caller::demo(), Scope::Shared, &Target::Study(uid(study)));
    selected.map_or(Vec::new(), |selection| selection.instances)
}

pub(super) fn all_packed(bench: &Bench) -> bool {
    ["1.2.1", "1.2.22"].iter().all(|study| {
        let rows = rows(bench, study);
        !rows.is_empty() && rows.iter().all(|row| row.home.journal().is_none())
    })
}

pub(super) fn study(name: &str) -> StudyRef {
    StudyRef { facility: FacilityCode::DEMO, study: uid(name), patient: 0 }
}

pub(super) fn plan_of(bench: &Bench) -> PlanId {
    let (by, as_of) = (person("Lân"), day("2037-01-01"));
    let question = PlanQuestion { as_of, facility: None, rules: None, by, record: true };
    let made = bench.archive.plan_retention(&question, &AtomicBool::new(false), &mut |_, _| {}).expect("a plan");
    made.summary.head.plan
}

/// A plan that is approved and begun on the day it looks at.
pub(super) fn begun(bench: &Bench, hand: &Hand) -> PlanId {
    let plan = plan_of(bench);
    hand.0.store(day("2037-01-01").start_ms(), Ordering::Relaxed);
    bench.archive.approve_plan(&plan, person("Minh"), "QĐ 12".into()).expect("approved");
    bench.archive.begin_plan(&plan, person("Lân")).expect("begun");
    plan
}

pub(super) fn progress(bench: &Bench, plan: &PlanId) -> PlanProgress {
    bench.archive.plan_progress(plan).expect("progress")
}

pub(super) fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Files in which something of the patient or of the pixels stands.
pub(super) fn traces(data: &Path, objects: &[(Object, Vec<u8>)]) -> Vec<(PathBuf, usize)> {
    let mut needles: Vec<Vec<u8>> = vec![b"xqz77".to_vec(), b"zacharias".to_vec(), b"wegzubringen".to_vec()];
    for (_, bytes) in objects.iter().filter(|(object, _)| object.study == "1.2.1") {
        needles.push(bytes[bytes.len() - 2000..bytes.len() - 1960].to_ascii_lowercase());
    }
    let mut all = Vec::new();
    files(data, &mut all);
    let mut found = Vec::new();
    for path in all {
        // One that went meanwhile has nothing.
        let bytes = std::fs::read(&path).unwrap_or_default().to_ascii_lowercase();
        let hits = needles.iter().enumerate().filter(|(_, needle)| memmem::find(&bytes, needle).is_some());
        found.extend(hits.map(|(number, _)| (path.clone(), number)));
    }
    found
}

pub(super) fn swept(bench: &Bench) -> bool {
    bench.archive.index().sweep_due().expect("index").is_none()
}

pub(super) fn check_the_rest(bench: Bench, objects: &[(Object, Vec<u8>)]) {
    let kept = rows(&bench, "1.2.22");
    assert_eq!(kept.len(), 3);
    for row in &kept {
        let (_, bytes) = objects.iter().find(|(object, _)| object.sop == row.sop_instance.as_str()).expect("known");
        let read = bench.archive.read(row, u64::from(row.meta_len)..row.file_len).expect("read");
        assert!(read == *bytes, "another object than was sent");
    }
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (3, 0), "{report:?}");
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal(), "{report:?}");
    std::fs::remove_dir_all(options.data.join("index")).expect("the index");
    let archive = Archive::open(options.clone()).expect("open without an index");
    assert_eq!(rebuild::dump_digest(archive.index().as_ref()).expect("dump"), report.after);
    let bench = Bench { archive, options, folder };
    until("swept once more", || swept(&bench));
    assert_eq!(traces(&bench.options.data, objects), [], "after the rebuild");
    assert!(rows(&bench, "1.2.1").is_empty() && rows(&bench, "1.2.22").len() == 3);
}

/// Looks when memory is emptied whether an instance could still be read, and something be made of it afterwards.
struct Reads {
    archive: Weak<Archive>,
    row: InstanceRow,
    last: Mutex<Option<bool>>,
}

impl Forget for Reads {
    fn forget(&self) {
        let archive = self.archive.upgrade().expect("open");
        *self.last.lock() = Some(archive.read(&self.row, 0..self.row.file_len).is_ok());
    }
}

fn goes_to_the_last_byte(packs: bool) {
    let (bench, hand) = archive(packs);
    let objects = fill(&bench, &hand);
    if packs {
        until("packed", || all_packed(&bench));
    } else {
        until("quiet", || bench.archive.index().busy_series(u64::MAX, 10).expect("index").is_empty());
    }
    bench.archive.index().flush().expect("flush");
    assert!(!traces(&bench.options.data, &objects).is_empty(), "the search finds nothing even before");
    let hidden_sop = rows(&bench, "1.2.1").first().expect("an instance").sop_instance.to_string();
    let verdict = bench.archive.verdict(&super::commitment::question(&hidden_sop));
    assert_eq!(verdict.failed, [], "not committed while it is shown");
    let row = rows(&bench, "1.2.1").remove(0);
    let reads = Arc::new(Reads { archive: Arc::downgrade(&bench.archive), row, last: Mutex::new(None) });
    bench.archive.forgets_too(reads.clone());
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    assert!(rows(&bench, "1.2.1").is_empty(), "a hidden study is retrieved");
    let verdict = bench.archive.verdict(&super::commitment::question(&hidden_sop));
    assert!(verdict.committed.is_empty(), "a hidden study is committed to: {verdict:?}");
    let query = Query { level: Level::Study, conditions: Vec::new(), fuzzy: false };
    let found = bench.archive.find(&Caller::demo(), Scope::Shared, &query, 0, 10).expect("find");
    assert_eq!(found.rows.iter().map(|row| row.study.as_str()).collect::<Vec<_>>(), ["1.2.22"]);
    assert!(bench.archive.conflicts(&Caller::demo(), None, 10).expect("list").rows.is_empty());
    // The days to undo are not over.
    hand.0.fetch_add(29 * DAY_MS, Ordering::Relaxed);
    bench.archive.execute_now().expect("executes");
    assert_eq!(progress(&bench, &plan).hidden, 1);
    hand.0.fetch_add(DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    until("executed", || bench.archive.retention_plan(&plan).expect("plan").ended == Some((1, 0)));
    until("swept", || swept(&bench));
    assert_eq!(traces(&bench.options.data, &objects), [], "something stayed, packs {packs}");
    assert_eq!(*reads.last.lock(), Some(false), "memory was emptied before the bytes were gone, packs {packs}");
    let refused = bench.archive.begin_plan(&plan, person("Lân")).expect_err("twice");
    assert!(matches!(refused, RetainError::Refused(Refusal::ExecutedTwice { .. })), "{refused}");
    check_the_rest(bench, &objects);
}

#[test]
fn a_packed_study_goes_to_the_last_byte() {
    goes_to_the_last_byte(true);
}

#[test]
fn a_study_in_the_journal_goes_to_the_last_byte() {
    goes_to_the_last_byte(false);
}

#[test]
fn a_kill_between_any_two_steps_is_gone_on_from() {
    let (bench, hand) = archive(true);
    let objects = fill(&bench, &hand);
    until("packed", || all_packed(&bench));
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    let hidden = opened_again(&bench, "hidden");
    assert!(rows(&hidden, "1.2.1").is_empty(), "visible again after a kill");
    assert_eq!(progress(&hidden, &plan).hidden, 1);
    // Nobody sweeps while this is held: the fact stands, the bytes do, too.
    let destroyed = {
        let _turn = bench.archive.retention().sweeping.lock();
        hand.0.fetch_add(31 * DAY_MS, Ordering::Relaxed);
        until("destroyed", || progress(&bench, &plan).destroyed == 1);
        assert!(!traces(&bench.options.data, &objects).is_empty());
        opened_again(&bench, "destroyed")
    };
    for again in [hidden, destroyed, bench] {
        until("destroyed", || progress(&again, &plan).destroyed == 1);
        until("swept", || swept(&again));
        assert_eq!(traces(&again.options.data, &objects), [], "{}", again.options.data.display());
        check_the_rest(again, &objects);
    }
}

#[test]
fn whoever_made_a_plan_does_not_approve_it_and_a_changed_one_is_not_executed() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    let made = plan_of(&bench);
    let refused = |result: Result<(), RetainError>| match result {
        Err(RetainError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let by_author = bench.archive.approve_plan(&made, person("LAN"), String::new());
    assert!(matches!(refused(by_author), Refusal::ApprovedByAuthor { .. }));
    assert_eq!(refused(bench.archive.begin_plan(&made, person("Minh"))), Refusal::NotApproved);
    let path = bench.archive.plan_path(&made);
    let text = std::fs::read_to_string(&path).expect("the plan");
    let changed = text.replace("1.2.1\"", "1.2.9\"");
    assert_ne!(changed, text);
    std::fs::write(&path, &changed).expect("written");
    let approved = bench.archive.approve_plan(&made, person("Minh"), String::new());
    assert!(matches!(refused(approved), Refusal::PlanChanged { .. }));
    std::fs::write(&path, &text).expect("written");
    bench.archive.approve_plan(&made, person("Minh"), String::new()).expect("approved");
    std::fs::write(&path, &changed).expect("written");
    assert!(matches!(refused(bench.archive.begin_plan(&made, person("Lân"))), Refusal::PlanChanged { .. }));
    std::fs::write(&path, &text).expect("written");
    hand.0.store(day("2037-01-01").start_ms(), Ordering::Relaxed);
    bench.archive.begin_plan(&made, person("Lân")).expect("begun");
    let twice = bench.archive.begin_plan(&made, person("Lân"));
    assert!(matches!(refused(twice), Refusal::ExecutedTwice { .. }));
    let other = plan_of(&bench);
    bench.archive.withdraw_plan(&other, person("Lân"), "wrong".into()).expect("withdrawn");
    let withdrawn = bench.archive.approve_plan(&other, person("Minh"), String::new());
    assert!(matches!(refused(withdrawn), Refusal::Withdrawn { .. }));
}

/// Why the one study of a plan was taken out after something happened to it.
fn taken_out(happens: impl FnOnce(&Bench, &PlanId), before_approval: bool) -> Refusal {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    let made = if before_approval {
        let made = plan_of(&bench);
        happens(&bench, &made);
        hand.0.store(day("2037-01-01").start_ms(), Ordering::Relaxed);
        bench.archive.approve_plan(&made, person("Minh"), String::new()).expect("approved");
        bench.archive.begin_plan(&made, person("Lân")).expect("begun");
        made
    } else {
        let made = begun(&bench, &hand);
        until("hidden", || progress(&bench, &made).hidden == 1);
        happens(&bench, &made);
        made
    };
    hand.0.fetch_add(40 * DAY_MS, Ordering::Relaxed);
    until("taken out", || progress(&bench, &made).taken_out == 1);
    assert!(!rows(&bench, "1.2.1").is_empty(), "it is not visible again");
    progress(&bench, &made).refused.first().expect("why").1.clone()
}

pub(super) fn hold(target: HoldTarget) -> Hold {
    let id = HoldId::parse("H-7").expect("id");
    let (owner, made_by) = (person("Tòa án"), person("Lân"));
    Hold { id, target, reason: "case 12".into(), owner, made_by, made_at: 1, seal: None }
}

#[test]
fn what_happens_to_a_study_after_its_plan_takes_it_out() {
    for before in [true, false] {
        let patient = PatientRef { issuer: "DEMO0".into(), id: GOES.0.into() };
        let targets = [HoldTarget::Study(study("1.2.1")), HoldTarget::Patient(patient)];
        for target in targets {
            let why = taken_out(|bench, _| bench.archive.make_hold(hold(target)).expect("held"), before);
            assert!(matches!(why, Refusal::NewHold { .. }), "{why}");
        }
        let why = taken_out(|bench, _| store(bench, &object("1.2.1", GOES, 9, 128)), before);
        assert!(matches!(why, Refusal::LateArrival { .. }), "{why}");
        let record = LinkedRecord { class: ClassId::parse("LONG").expect("class"), ended: None };
        let link = |bench: &Bench, _: &PlanId| {
            let linked = bench.archive.link_record(&study("1.2.1"), record, person("HIS"), "message 4".into());
            linked.expect("linked");
        };
        let why = taken_out(link, before);
        assert!(matches!(why, Refusal::ClassRise { .. }), "{why}");
    }
}

#[test]
fn a_restored_study_stays_and_a_released_hold_holds_no_more() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.1")))).expect("held");
    let held = plan_of(&bench);
    let known = bench.archive.retention_plan(&held).expect("plan");
    assert_eq!((known.due, known.held), (0, 1));
    bench.archive.release_hold(HoldId::parse("H-7").expect("id"), person("Tòa án"), "closed".into()).expect("released");
    let made = begun(&bench, &hand);
    until("hidden", || progress(&bench, &made).hidden == 1);
    bench.archive.restore_study(&study("1.2.1"), person("Lân"), "asked".into()).expect("restored");
    assert_eq!(rows(&bench, "1.2.1").len(), 4);
    hand.0.fetch_add(40 * DAY_MS, Ordering::Relaxed);
    until("executed", || bench.archive.retention_plan(&made).expect("plan").ended == Some((0, 1)));
    assert_eq!(rows(&bench, "1.2.1").len(), 4);
    let again = bench.archive.restore_study(&study("1.2.1"), person("Lân"), "asked".into());
    assert_eq!(again, Err(RetainError::Refused(Refusal::NotHidden)));
    // State is what the facts say.
    let bench = bench.reopen();
    assert_eq!(bench.archive.retention_plan(&made).expect("plan").ended, Some((0, 1)));
    assert_eq!(bench.archive.holds().len(), 1);
}

#[test]
fn a_late_instance_of_a_destroyed_study_is_stored_listed_and_kept_by_its_own_receipt() {
    let (bench, hand) = archive(true);
    fill(&bench, &hand);
    until("packed", || all_packed(&bench));
    let first = begun(&bench, &hand);
    until("hidden", || progress(&bench, &first).hidden == 1);
    hand.0.fetch_add(40 * DAY_MS, Ordering::Relaxed);
    until("destroyed", || progress(&bench, &first).destroyed == 1);
    // The very same object again: nothing of it is known.
    store(&bench, &object("1.2.1", GOES, 1, 4096));
    assert_eq!(rows(&bench, "1.2.1").len(), 1);
    let late = bench.archive.late_instances().expect("list");
    assert!(matches!(late.as_slice(), [RetentionFact::LateInstance { .. }]), "{late:?}");
    until("swept", || swept(&bench));
    let other = plan_of(&bench);
    assert_eq!(bench.archive.retention_plan(&other).expect("plan").due, 0, "it is due as if it had come in 2026");
    let bench = bench.reopen();
    assert_eq!(rows(&bench, "1.2.1").len(), 1);
    // The late one grows quiet, complete and packed, which is recorded: only then the index stands still.
    until("settled", || {
        let index = bench.archive.index();
        let busy = index.busy_series(u64::MAX, 10).expect("index");
        let incomplete = index.incomplete_studies(10).expect("index");
        busy.is_empty() && incomplete.is_empty() && all_packed(&bench)
    });
    let before = rebuild::dump_digest(bench.archive.index().as_ref()).expect("dump");
    let Bench { archive, options, folder: _folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal() && report.after == before, "{report:?}");
}

#[test]
fn a_rejected_instance_is_hidden_at_once_and_counts_no_more() {
    let (bench, hand) = archive(true);
    fill(&bench, &hand);
    until("packed", || all_packed(&bench));
    let target = Target::Study(uid("1.2.1"));
    let before = bench.archive.metadata(&Caller::demo(), Scope::Shared, &target).expect("metadata");
    let (sop, series, of) = (uid("1.2.1.1.2"), uid("1.2.1.1"), uid("1.2.1"));
    let reject = || {
        let (by, reason) = (person("Minh"), RejectReason::PatientSafety);
        bench.archive.reject_instance(FacilityCode::DEMO, (&of, &series, &sop), reason, by)
    };
    reject().expect("rejected");
    assert!(reject().is_err(), "rejected twice");
    assert_eq!(rows(&bench, "1.2.1").len(), 3);
    let instance = Target::Instance { study: of.clone(), series: series.clone(), instance: sop.clone() };
    assert!(bench.archive.select(&Caller::demo(), Scope::Shared, &instance).is_err());
    let after = bench.archive.metadata(&Caller::demo(), Scope::Shared, &target).expect("metadata");
    assert_ne!(before[0].etag, after[0].etag);
    let json = zstd::decode_all(after[0].json_zstd.as_slice()).expect("zstd");
    assert!(memmem::find(&json, b"1.2.1.1.2\"").is_none(), "its metadata is served");
    // Sent again it is the same, and stays rejected.
    store(&bench, &object("1.2.1", GOES, 2, 4096));
    assert_eq!(rows(&bench, "1.2.1").len(), 3);
}

#[test]
fn a_lock_lasts_to_the_end_of_the_last_day_by_the_rules() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    let key = |name: &str| index::StudyKey::from(&study(name));
    let until = |uid| bench.archive.kept(&key(uid)).expect("rules").now().until;
    assert_eq!(until("1.2.1"), Some(day("2037-01-01").start_ms()));
    assert_eq!(until("1.2.22"), Some(day("2047-01-01").start_ms()));
    assert!(bench.archive.kept(&key("1.2.99")).is_err(), "a study that is not there");
}

#[test]
fn half_a_plan_that_a_kill_left_goes_at_the_next_start_and_whole_ones_stay() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    let plan = plan_of(&bench);
    let whole = bench.archive.plan_path(&plan);
    let half = whole.with_extension("draft");
    std::fs::write(&half, "half a line").expect("written");
    let bench = bench.reopen();
    assert!(!half.exists() && whole.exists());
    assert_eq!(bench.archive.retention_plan(&plan).expect("known").due, 1);
}
