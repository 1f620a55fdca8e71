//! Charts over a real journal and index: messages, merges, restarts, lost indexes, keys that are gone.

mod completeness;
mod hooks;
mod inquiries;
mod kept;
mod limits;
mod matching;
mod orders;
mod outbox;
mod performed;
mod random;
mod reads;
mod results;
mod sequence;
mod told;
mod turnaround;

use super::inquiries::VerifierOptions;
use super::{ChartError, Charts, Receipt};
use crate::Options;
use crate::clock::Clock;
use crate::tier::KeyRing;
use model::chart::{
    Change, ChartBody, ChartKey, ChartKind, Handled, Inbound, Message, Origin, Patient, PatientUpdate, Visit,
    VisitState, VisitUpdate,
};
use model::{Caller, Digest, FacilityCode};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

pub(super) const HOME: FacilityCode = FacilityCode::DEMO;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// A clock that stands until it is turned.
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) struct Bench {
    folder: TempDir,
    clock: Arc<Hands>,
    charts: Option<Arc<Charts>>,
    verifier: Option<VerifierOptions>,
}

fn other() -> FacilityCode {
    FacilityCode::parse("56001").expect("a facility")
}

/// A message that asks for changes.
pub(super) fn asks(control: &str, changes: Vec<Change>) -> Inbound {
    let text = format!("MSH|^~\\&|HIS|BV|||||ADT^A08|{control}\r{changes:?}");
    let mrn = changes.iter().find_map(|change| match change {
        Change::Patient(update) => Some(update.mrn.clone()),
        Change::Visit(update) => Some(update.mrn.clone()),
        _ => None,
    });
    Inbound {
        origin: Origin {
            source: "mllp:DEMO0:HIS".into(),
            sender: "HIS|BV".into(),
            control: control.into(),
            digest: Digest(Sha256::digest(text.as_bytes()).into()),
        },
        kind: "ADT^A08".into(),
        mrn: mrn.filter(|mrn| !mrn.is_empty()),
        text,
        changes: Ok(changes),
        remarks: Vec::new(),
    }
}

fn patient(mrn: &str, name: &str) -> Change {
    Change::Patient(PatientUpdate { mrn: mrn.into(), name: Some(name.into()), ..PatientUpdate::default() })
}

pub(super) fn merge(survivor: &str, former: &str) -> Change {
    Change::Merge { survivor: survivor.into(), former: former.into() }
}

fn visit(number: &str, mrn: &str, state: Option<VisitState>) -> Change {
    Change::Visit(VisitUpdate { number: number.into(), mrn: mrn.into(), state, ..VisitUpdate::default() })
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(None)
    }

    /// With somebody who verifies numbers.
    fn with(verifier: Option<VerifierOptions>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Hands(AtomicU64::new(1_800_000_000_000)));
        let mut bench = Self { folder, clock, charts: None, verifier };
        bench.restart();
        bench
    }

    pub(super) fn options(&self) -> Options {
        let clock = Arc::<Hands>::clone(&self.clock);
        let mut options = Options { clock, reserve_bytes: 0, ..Options::new(self.folder.path()) };
        options.charts.verifier.clone_from(&self.verifier);
        options
    }

    /// As after a kill: nothing is closed.
    pub(super) fn restart(&mut self) {
        self.charts = None;
        let options = self.options();
        let keys = Arc::new(KeyRing::new(&options));
        self.charts = Some(Charts::open(&options, keys).expect("opens"));
    }

    /// A restart without the index.
    pub(super) fn lose_index(&mut self) {
        self.charts = None;
        std::fs::remove_dir_all(self.folder.path().join("charts")).expect("removed");
        self.restart();
    }

    pub(super) fn charts(&self) -> &Arc<Charts> {
        self.charts.as_ref().expect("open")
    }

    pub(super) fn turn(&self, by: u64) {
        self.clock.0.fetch_add(by, Ordering::SeqCst);
    }

    fn receive(&self, message: Inbound) -> Receipt {
        self.turn(1);
        self.charts().receive(HOME, message).expect("received")
    }

    fn done(&self, control: &str, changes: Vec<Change>) {
        let receipt = self.receive(asks(control, changes));
        assert_eq!(receipt.handled, Handled::Done, "{control}");
    }

    fn body(&self, facility: FacilityCode, kind: ChartKind, id: &str) -> Option<ChartBody> {
        let key = ChartKey::new(kind, facility, id).expect("a key");
        self.charts().get(&Caller::operator(), &key).expect("answers").map(|row| row.body)
    }

    /// The patient of a number itself.
    fn own(&self, mrn: &str) -> Option<Patient> {
        match self.body(HOME, ChartKind::Patient, mrn)? {
            ChartBody::Patient(patient) => Some(*patient),
            other => panic!("{other:?}"),
        }
    }

    /// The number a number stands for.
    fn stands_for(&self, mrn: &str) -> Option<String> {
        self.charts().patient(&Caller::operator(), HOME, mrn).expect("answers").map(|patient| patient.mrn.clone())
    }

    fn visit(&self, number: &str) -> Option<Visit> {
        match self.body(HOME, ChartKind::Visit, number)? {
            ChartBody::Visit(visit) => Some(*visit),
            other => panic!("{other:?}"),
        }
    }

    /// Ids and messages, the newest first.
    fn messages(&self, handled: Option<&str>) -> Vec<(String, Message)> {
        let filter = super::MessageFilter { handled: handled.map(ToOwned::to_owned), ..Default::default() };
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = self.charts().messages(&Caller::operator(), &filter, after, 1_000).expect("answers");
            rows.extend(page.rows);
            after = page.cursor;
            if after.is_none() {
                break;
            }
        }
        let message = |row: model::chart::ChartRow| match row.body {
            ChartBody::Message(message) => (row.key.id, *message),
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(message).collect()
    }

    /// The merges that hold: id, survivor and former number.
    pub(super) fn merges(&self) -> Vec<(String, String, String)> {
        let rows = self.charts().view.rows(None, 10_000).expect("answers");
        let merge = |row: model::chart::ChartRow| match row.body {
            ChartBody::Merge(merge) if merge.undone.is_none() => Some((row.key.id, merge.survivor, merge.former)),
            _ => None,
        };
        rows.into_iter().filter_map(merge).collect()
    }

    pub(super) fn dump(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.charts().dump(&mut |line| lines.push(String::from_utf8_lossy(line).into_owned())).expect("dumps");
        lines
    }
}

#[test]
fn a_repeated_message_gets_the_same_answer_and_has_no_second_effect() {
    let mut bench = Bench::new();
    let odd = Change::Patient(PatientUpdate {
        mrn: "22015985".into(),
        national: Some("12345".into()),
        ..PatientUpdate::default()
    });
    let message = asks("1", vec![patient("22015985", "Nguyễn Văn An"), odd]);
    let first = bench.receive(message.clone());
    assert!(!first.repeated && first.handled == Handled::Done && first.remarks.len() == 1, "{first:?}");
    let before = bench.dump();
    // Journal synced, index not, answer lost: what the index knows of it is gone.
    bench.lose_index();
    let again = bench.receive(message.clone());
    assert_eq!(again, Receipt { repeated: true, ..first });
    assert_eq!(bench.dump(), before, "a second effect");
    // The control id again, with other content: a message of its own.
    let receipt = bench.receive(asks("1", vec![patient("22015985", "Nguyễn Văn Anh")]));
    assert!(!receipt.repeated && receipt.remarks.iter().any(|remark| remark.contains("control id")), "{receipt:?}");
    assert_eq!(bench.own("22015985").expect("a patient").name, "Nguyễn Văn Anh");
    // Another sender, and the same after a week: both are new.
    let mut elsewhere = message.clone();
    elsewhere.origin.sender = "LIS|BV".into();
    assert!(!bench.receive(elsewhere).repeated);
    bench.turn(8 * DAY);
    assert!(!bench.receive(message).repeated);
}

#[test]
fn what_one_change_refuses_nothing_of_the_message_holds() {
    let bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), visit("V1", "1", None)]);
    let receipt = bench.receive(asks("2", vec![patient("2", "Lê Bình"), visit("V1", "2", None)]));
    let Handled::Refused { why } = &receipt.handled else { panic!("{receipt:?}") };
    assert!(why.contains("another patient's"), "{why}");
    assert!(bench.own("2").is_none(), "half a message");
    let broken = Inbound { changes: Err("PID-3 is empty".into()), ..asks("3", Vec::new()) };
    let receipt = bench.receive(broken.clone());
    assert_eq!(receipt.handled, Handled::Refused { why: "PID-3 is empty".into() });
    // Sent again it is refused again, and stands in the list once.
    assert!(bench.receive(broken).repeated);
    let refused = bench.messages(Some("refused"));
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|(_, message)| message.acknowledged == "AE"));
    // Handed to the edge again after it was mended, it holds, under its id.
    let (id, _) = refused.first().expect("a message");
    let text = bench.charts().again(&Caller::demo(), HOME, id).expect("a message").text;
    let mended = Inbound { changes: Ok(vec![patient("3", "Lê Chi")]), text, ..asks("3", Vec::new()) };
    assert_eq!(bench.charts().receive_again(HOME, id, mended.clone()).map(|one| one.handled), Ok(Handled::Done));
    // However long ago it was done: once.
    bench.turn(30 * DAY);
    assert!(bench.charts().receive_again(HOME, id, mended).expect("received").repeated);
    assert_eq!(bench.messages(Some("refused")).len(), 1);
    assert!(bench.own("3").is_some());
    let stranger = Caller { facilities: Some([other()].into()), ..Caller::demo() };
    assert!(bench.charts().again(&stranger, HOME, id).is_err());
    let page = bench.charts().messages(&stranger, &super::MessageFilter::default(), None, 10).expect("answers");
    assert!(page.rows.is_empty(), "another facility's messages");
}

#[test]
fn what_waits_is_done_when_what_it_refers_to_came_and_refused_when_it_does_not() {
    let mut bench = Bench::new();
    let parked = |receipt: &Receipt| matches!(receipt.handled, Handled::Parked { .. });
    let cancel = asks("1", vec![visit("V1", "1", Some(VisitState::Canceled))]);
    assert!(parked(&bench.receive(cancel.clone())));
    assert!(parked(&bench.receive(asks("2", vec![visit("V2", "1", Some(VisitState::Canceled))]))));
    // The sender may repeat it: it waits no longer for that.
    bench.turn(9 * MINUTE);
    let repeated = bench.receive(cancel);
    assert!(repeated.repeated && parked(&repeated), "{repeated:?}");
    // What it asks for outlives a restart.
    bench.restart();
    assert_eq!(bench.charts().try_parked(), 2, "nobody knows what was done before the restart");
    assert_eq!(bench.charts().try_parked(), 0, "nothing was done and no time is over");
    // What waits for the patient is done before the sender goes on: what comes later is not overtaken.
    bench.done("3", vec![patient("1", "Lê An"), visit("V1", "1", Some(VisitState::Admitted))]);
    assert_eq!(bench.visit("V1").expect("a visit").state, VisitState::Canceled);
    assert_eq!(bench.messages(Some("parked")).len(), 1, "the other one waits");
    bench.turn(2 * MINUTE);
    bench.charts().try_parked();
    assert_eq!(bench.messages(Some("parked")), []);
    let refused = bench.messages(Some("refused"));
    let [(_, message)] = refused.as_slice() else { panic!("{refused:?}") };
    let Handled::Refused { why } = &message.handled else { panic!("{message:?}") };
    assert!(why.starts_with("waited in vain") && message.waiting.is_empty(), "{why}");
    assert!(bench.visit("V2").is_none());
}

#[test]
fn two_facilities_with_one_number_have_two_patients() {
    let bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), visit("V", "1", None)]);
    bench
        .charts()
        .receive(other(), asks("1", vec![patient("1", "Trần Bình"), patient("2", "Trần Chi")]))
        .expect("there");
    bench.charts().receive(other(), asks("2", vec![merge("2", "1")])).expect("merged there");
    assert_eq!(bench.own("1").expect("here").name, "Lê An");
    assert_eq!(bench.stands_for("1").as_deref(), Some("1"));
    assert_eq!(
        bench.charts().patient(&Caller::operator(), other(), "1").expect("answers").expect("there").name,
        "Trần Chi"
    );
    assert!(bench.body(other(), ChartKind::Visit, "V").is_none());
    let key = ChartKey::new(ChartKind::Patient, other(), "1").expect("a key");
    assert_eq!(bench.charts().get(&Caller::demo(), &key), Ok(None), "a caller sees another facility");
    let charts = bench.charts();
    assert_eq!(charts.patient(&Caller::demo(), other(), "1"), Ok(None), "a caller sees another facility");
    assert_eq!(charts.numbers(&Caller::demo(), other(), "1"), Ok(vec!["1".to_owned()]));
    assert_eq!(charts.numbers(&Caller::operator(), other(), "1").expect("answers").len(), 2);
    let merges = charts.view.rows(None, 100).expect("answers").into_iter().map(|row| row.key);
    let merge = merges.into_iter().find(|key| key.kind == ChartKind::Merge).expect("a merge");
    let undone = charts.unmerge(&Caller::demo(), other(), &merge.id, "demo");
    assert_eq!(undone, Err(ChartError::Unknown("merge")), "a caller changes another facility");
    charts.unmerge(&Caller::operator(), other(), &merge.id, "operator").expect("undone");
    let seals = |facility| {
        let key = ChartKey::new(ChartKind::Patient, facility, "1").expect("a key");
        bench.charts().view.row(&key).expect("answers").expect("a row").seal
    };
    assert_ne!(seals(HOME), seals(other()), "one key for two patients");
}

#[test]
fn merges_are_followed_and_undone_exactly() {
    let bench = Bench::new();
    bench.done("1", vec![patient("A", "Lê An"), patient("B", "Lê Văn An"), patient("C", "Lê V. An")]);
    bench.done("2", vec![visit("V", "A", None)]);
    let before = ["A", "B", "C"].map(|mrn| bench.own(mrn));
    bench.done("3", vec![merge("B", "A")]);
    // A is B by now: whoever says that A is C says so of B.
    bench.done("4", vec![merge("C", "A")]);
    assert_eq!(["A", "B", "C"].map(|mrn| bench.stands_for(mrn)), [(); 3].map(|()| Some("C".to_owned())));
    assert_eq!(bench.charts().numbers(&Caller::operator(), HOME, "A").expect("answers"), ["C", "B", "A"]);
    let circle = bench.receive(asks("5", vec![merge("A", "C")]));
    let Handled::Refused { why } = &circle.handled else { panic!("{circle:?}") };
    assert!(why.contains("undo that merge"), "{why}");
    assert_eq!(bench.receive(asks("6", vec![merge("C", "B")])).remarks, ["the two numbers were merged before"]);
    // The visit is found under the number it came with, and the patient may be named by either.
    bench.done("7", vec![visit("V", "C", Some(VisitState::Discharged))]);
    assert_eq!(bench.visit("V").expect("a visit").mrn, "A");
    let merges = bench.merges();
    let of =
        |former: &str| merges.iter().find(|(_, _, of)| of == former).map(|(id, _, _)| id.clone()).expect("a merge");
    // What was said of A was done to B: without the first merge nobody would have asked for the second.
    let built_on = bench.charts().unmerge(&Caller::operator(), HOME, &of("A"), "Lân");
    assert!(matches!(&built_on, Err(ChartError::Conflict(why)) if why.contains(&of("B"))), "{built_on:?}");
    bench.charts().unmerge(&Caller::operator(), HOME, &of("B"), "Lân").expect("undone");
    assert_eq!((bench.stands_for("A").as_deref(), bench.stands_for("C").as_deref()), (Some("B"), Some("C")));
    bench.charts().unmerge(&Caller::operator(), HOME, &of("A"), "Lân").expect("undone");
    assert_eq!(["A", "B", "C"].map(|mrn| bench.own(mrn)), before, "not as before");
    assert!(bench.charts().unmerge(&Caller::operator(), HOME, &of("B"), "Lân").is_err(), "undone twice");
}

#[test]
fn a_number_that_comes_after_its_merge_is_merged_at_once() {
    let bench = Bench::new();
    bench.done("1", vec![merge("NEW", "OLD")]);
    assert_eq!(bench.stands_for("NEW").as_deref(), Some("NEW"), "the survivor is made");
    let receipt = bench.receive(asks("2", vec![patient("OLD", "Lê An")]));
    assert!(receipt.remarks.iter().any(|remark| remark.contains("merged")), "{receipt:?}");
    assert_eq!(bench.stands_for("OLD").as_deref(), Some("NEW"));
    let (id, _, _) = bench.merges().remove(0);
    bench.charts().unmerge(&Caller::operator(), HOME, &id, "Lân").expect("undone");
    // What came under the number itself stays; what was made for the merge alone does not.
    assert_eq!(bench.own("OLD").map(|patient| (patient.name, patient.merged_into)), Some(("Lê An".into(), None)));
    assert_eq!(bench.own("NEW"), None);
}

#[test]
fn a_number_is_written_otherwise_and_back() {
    let bench = Bench::new();
    let renumber = |former: &str, number: &str| Change::Renumber { former: former.into(), number: number.into() };
    bench.done("1", vec![patient("OLD", "Lê An"), patient("TAKEN", "Trần Bình"), visit("V", "OLD", None)]);
    let before = bench.own("OLD");
    let taken = bench.receive(asks("2", vec![renumber("OLD", "TAKEN")]));
    assert!(matches!(taken.handled, Handled::Refused { .. }), "{taken:?}");
    bench.done("3", vec![renumber("OLD", "NEW")]);
    assert_eq!(bench.own("NEW").expect("a patient").name, "Lê An");
    assert_eq!(bench.stands_for("OLD").as_deref(), Some("NEW"));
    bench.done("4", vec![renumber("OLD", "NEW")]);
    let merges = bench.merges();
    assert_eq!(merges.len(), 1, "twice: {merges:?}");
    bench.charts().unmerge(&Caller::operator(), HOME, &merges[0].0, "Lân").expect("undone");
    assert_eq!((bench.own("OLD"), bench.own("NEW")), (before, None));
    assert!(matches!(bench.receive(asks("5", vec![renumber("NONE", "X")])).handled, Handled::Parked { .. }));
}

#[test]
fn a_visit_that_goes_on_under_another_number_ends_there_and_no_other_patients_does() {
    let bench = Bench::new();
    let told = vec![patient("1", "Lê An"), patient("2", "Lê Bình"), visit("V", "1", None), visit("W", "2", None)];
    bench.done("1", told);
    let goes_on = |number: &str, formerly: &str| {
        let (number, formerly, mrn) = (number.to_owned(), Some(formerly.to_owned()), "1".to_owned());
        let state = Some(VisitState::Admitted);
        vec![Change::Visit(VisitUpdate { number, mrn, state, formerly, ..VisitUpdate::default() })]
    };
    bench.turn(DAY);
    bench.done("2", goes_on("V2", "V"));
    let states = |number: &str| bench.visit(number).map(|visit| (visit.mrn, visit.state, visit.end));
    let (before, now) = (bench.visit("V").expect("a visit"), bench.visit("V2").expect("a visit"));
    assert_eq!((before.state, before.end), (VisitState::Discharged, Some(now.begin)));
    assert_eq!((now.mrn.as_str(), now.state, now.end), ("1", VisitState::Admitted, None));
    // Again, from one that nobody knows, and from another patient's.
    bench.done("3", goes_on("V2", "V"));
    bench.done("4", goes_on("V2", "NONE"));
    bench.done("5", goes_on("V2", "W"));
    assert_eq!(bench.visit("V"), Some(before));
    assert_eq!((bench.visit("V2"), bench.visit("NONE")), (Some(now), None));
    assert_eq!(states("W"), Some(("2".into(), VisitState::Registered, None)));
    assert!(bench.merges().is_empty());
}

#[test]
fn a_visit_is_moved_taken_back_and_its_discharge_undone() {
    let bench = Bench::new();
    bench.done("1", vec![patient("1", "Lê An"), patient("2", "Lê Bình"), visit("V", "1", Some(VisitState::Admitted))]);
    let end = |end: Option<u64>, state: Option<VisitState>| {
        let update = VisitUpdate { number: "V".into(), mrn: "1".into(), state, end: Some(end), ..Default::default() };
        vec![Change::Visit(update)]
    };
    bench.done("2", end(Some(7), Some(VisitState::Discharged)));
    assert_eq!(bench.visit("V").map(|visit| (visit.state, visit.end)), Some((VisitState::Discharged, Some(7))));
    bench.done("3", end(None, None));
    assert_eq!(bench.visit("V").map(|visit| (visit.state, visit.end)), Some((VisitState::Admitted, None)));
    bench.done("4", vec![Change::MoveVisit { visit: "V".into(), mrn: "2".into() }]);
    assert_eq!(bench.visit("V").expect("a visit").mrn, "2");
    let unknown = bench.receive(asks("5", vec![Change::MoveVisit { visit: "W".into(), mrn: "2".into() }]));
    assert!(matches!(unknown.handled, Handled::Parked { .. }), "{unknown:?}");
}
