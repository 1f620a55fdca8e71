//! Whoever has an appointment, or is admitted, finds earlier studies on the hot volumes.

use super::bucket::Bucket;
use super::*;
use crate::Target;
use crate::clock::Clock;
use crate::tier::policy::{Policies, Policy};
use crate::tier::{AheadOptions, Prefetch};
use index::PackRow;
use model::chart::{
    BirthDate, Change, Handled, Inbound, OrderAction, OrderUpdate, Origin, PatientUpdate, StepUpdate, VisitState,
    VisitUpdate,
};
use model::{Caller, Digest, Scope};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

const HOME: FacilityCode = FacilityCode::DEMO;
const HOUR: u64 = 3_600_000;

/// The machine's clock, turned on.
#[derive(Default)]
struct Turned(AtomicU64);

impl Clock for Turned {
    fn now_ms(&self) -> u64 {
        crate::clock::SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

/// An archive whose packs lie in the bucket only.
struct Rig {
    bucket: Bucket,
    clock: Arc<Turned>,
    bench: Option<Bench>,
    said: u64,
    /// Holds the secret of the bucket.
    _folder: TempDir,
}

/// Study, date, modality and description of what is there.
type Earlier = (&'static str, &'static str, &'static str, &'static str);

fn object((study, date, modality, description): Earlier) -> Vec<u8> {
    let series = format!("{study}.1");
    let mut out = Vec::new();
    let mut text = |tag: (u16, u16), vr: &[u8; 2], value: &str| short(tag, vr, value, &mut out);
    text((8, 0x05), b"CS", "ISO_IR 192");
    text((8, 0x16), b"UI", CT);
    text((8, 0x18), b"UI", &format!("{series}.1"));
    text((8, 0x20), b"DA", date);
    text((8, 0x60), b"CS", modality);
    text((8, 0x1030), b"LO", description);
    text((0x10, 0x10), b"PN", "NGUYEN^VAN AN");
    text((0x10, 0x20), b"LO", "P1");
    text((0x20, 0x0d), b"UI", study);
    text((0x20, 0x0e), b"UI", &series);
    text((0x20, 0x13), b"IS", "1");
    for (element, value) in [(2u16, 1u16), (0x10, 2), (0x11, 64), (0x100, 8), (0x101, 8), (0x102, 7)] {
        out.extend(0x28u16.to_le_bytes());
        out.extend(element.to_le_bytes());
        out.extend(b"US\x02\x00");
        out.extend(value.to_le_bytes());
    }
    out.extend([0xe0, 0x7f, 0x10, 0x00]);
    out.extend(b"OW\0\0");
    out.extend(128u32.to_le_bytes());
    out.resize(out.len() + 128, 7);
    out
}

/// What is said of the patient, everywhere the same.
fn patient() -> Change {
    Change::Patient(PatientUpdate {
        mrn: "P1".into(),
        name: Some("Nguyễn Văn An".into()),
        birth: Some(BirthDate::parse("19780305").ok()),
        national: Some("056078000001".into()),
        ..Default::default()
    })
}

/// A day so many days ago.
fn days_ago(days: u64) -> &'static str {
    crate::clock::day_of(crate::clock::SystemClock.now_ms() - days * 24 * HOUR).leak()
}

impl Rig {
    fn new(ahead: AheadOptions, studies: &[Earlier]) -> Self {
        Self::at(HOME.as_str(), ahead, studies)
    }

    /// The same with studies of a facility.
    fn at(facility: &str, ahead: AheadOptions, studies: &[Earlier]) -> Self {
        let (bucket, clock) = (Bucket::start(), Arc::<Turned>::default());
        let folder = tempfile::tempdir().expect("folder");
        let bench = Bench::with(|options| {
            options.quiet_after = Duration::from_millis(100);
            options.packs.after = Duration::ZERO;
            options.packs.reserve = 0;
            options.pictures.thumbnails = false;
            options.scrub.enabled = false;
            options.clock = Arc::<Turned>::clone(&clock);
            options.cold = Some(bucket.options(folder.path()));
            options.policies = Policies {
                rows: vec![Policy {
                    name: "away at once".into(),
                    copy_after: Some(Duration::ZERO),
                    release_after: Some(Duration::ZERO),
                    ..Policy::default()
                }],
                close_after: Duration::ZERO,
            };
            options.ahead = ahead;
        });
        let rig = Self { bucket, clock, bench: Some(bench), said: 0, _folder: folder };
        for study in studies {
            rig.store(facility, *study);
        }
        until("everything lies in the bucket only", || {
            let packs = rig.packs();
            packs.len() == studies.len() && packs.iter().all(|pack| !pack.hot && pack.cold.is_some())
        });
        rig
    }

    fn bench(&self) -> &Bench {
        self.bench.as_ref().expect("open")
    }

    fn archive(&self) -> &Arc<Archive> {
        &self.bench().archive
    }

    fn store(&self, facility: &str, earlier: Earlier) {
        let form = Form::DataSet {
            sop_class: uid(CT),
            sop_instance: uid(&format!("{}.1.1", earlier.0)),
            transfer_syntax: uid(EXPLICIT_LE),
        };
        let mut incoming = self.archive().receive(&self.bench().source_of(facility), Via::CStore, form).expect("begun");
        incoming.write(&object(earlier)).expect("taken");
        incoming.finish().expect("stored");
    }

    fn packs(&self) -> Vec<PackRow> {
        self.archive().index().packs(None, 100).expect("packs")
    }

    /// Studies that are hot.
    fn hot(&self) -> Vec<String> {
        let packs = self.packs();
        let mut hot: Vec<String> =
            packs.iter().filter(|pack| pack.hot).map(|pack| pack.series.study.study.as_str().to_owned()).collect();
        hot.sort_unstable();
        hot
    }

    fn says(&mut self, kind: &str, changes: Vec<Change>) {
        self.says_at(HOME, kind, changes);
    }

    fn says_at(&mut self, facility: FacilityCode, kind: &str, changes: Vec<Change>) {
        self.said += 1;
        let (control, text) = (self.said.to_string(), format!("{kind} {} {changes:?}", self.said));
        let digest = Digest(Sha256::digest(text.as_bytes()).into());
        let origin = Origin { source: "mllp:DEMO0:HIS".into(), sender: "HIS|BV".into(), control, digest };
        let inbound = Inbound {
            origin,
            kind: kind.into(),
            mrn: Some("P1".into()),
            text,
            changes: Ok(changes),
            remarks: Vec::new(),
        };
        let receipt = self.archive().charts().receive(facility, inbound).expect("received");
        assert_eq!(receipt.handled, Handled::Done, "{kind}");
    }

    /// An order without an appointment soon.
    fn orders(&mut self, procedure: &str) {
        let patient = patient();
        let step = StepUpdate { modality: Some("CT".into()), start: Some(self.clock_at(400)), ..Default::default() };
        let order = OrderUpdate {
            mrn: Some("P1".into()),
            procedure: Some(procedure.into()),
            steps: vec![step],
            ..OrderUpdate::new(OrderAction::New, "D1")
        };
        self.says("ORM^O01", vec![patient, Change::Order(Box::new(order))]);
    }

    /// What the facility's clock shows in so many hours.
    fn clock_at(&self, hours: u64) -> (String, String) {
        let ms = self.clock.now_ms() + hours * HOUR + 7 * HOUR;
        let seconds = ms / 1000 % 86_400;
        let time = format!("{:02}{:02}{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        (crate::clock::day_of(ms), time)
    }

    /// SIU^S12: the order's appointment is in so many hours.
    fn books(&mut self, hours: u64) {
        let step = StepUpdate { start: Some(self.clock_at(hours)), ..Default::default() };
        let order = OrderUpdate { steps: vec![step], ..OrderUpdate::new(OrderAction::Change, "D1") };
        self.says("SIU^S12", vec![Change::Order(Box::new(order))]);
    }

    /// SIU^S15: it is taken back.
    fn unbooks(&mut self) {
        let order = OrderUpdate::new(OrderAction::Unbook, "D1");
        self.says("SIU^S15", vec![Change::Order(Box::new(order))]);
    }

    fn visits(&mut self, state: VisitState) {
        let visit = VisitUpdate { number: "V1".into(), mrn: "P1".into(), state: Some(state), ..Default::default() };
        self.says("ADT", vec![patient(), Change::Visit(visit)]);
    }

    /// Looks for everybody who is expected, and gives the packs to be fetched.
    fn look(&self) -> u64 {
        while self.archive().look_ahead().expect("looked") {}
        self.archive().tier_status().ahead.waiting.packs
    }

    /// Reads every image; the bucket is not asked.
    fn reads_without_the_bucket(&self, study: &str) {
        let before = self.bucket.reads();
        let target = Target::Study(uid(study));
        let rows = self.archive().select(&Caller::demo(), Scope::Shared, &target).expect("the study").instances;
        assert_eq!(rows.len(), 1);
        for row in rows {
            self.archive().read(&row, u64::from(row.meta_len)..row.file_len).expect("read");
        }
        assert_eq!(self.bucket.reads(), before, "the bucket was asked");
    }

    /// Lets a whole walk over the packs go by.
    fn walk(&self) {
        let counted = self.archive().tier_status().counted;
        for _ in 0..2 {
            let counted = self.archive().tier_status().counted.max(counted);
            self.archive().tier_run(true).expect("begun");
            until("a walk ended", || self.archive().tier_status().counted > counted);
        }
    }

    /// As after a kill, and a start.
    fn killed(mut self) -> Self {
        let bench = self.bench.take().expect("open");
        let killed = super::killed::opened_again(&bench, "killed");
        bench.archive.close(Duration::from_secs(20)).expect("close");
        self.bench = Some(killed);
        self
    }
}

fn options() -> AheadOptions {
    AheadOptions { free: 0, ..AheadOptions::default() }
}

#[test]
fn an_appointment_brings_earlier_studies_back_before_and_they_stay_until_it_is_over() {
    let mut rig = Rig::new(options(), &[("1.2.1", days_ago(30), "CT", "Ngực")]);
    rig.orders("CT ngực");
    assert_eq!((rig.look(), rig.hot().len()), (0, 0), "not long before");
    rig.books(5);
    until("the study is hot", || rig.hot() == ["1.2.1"]);
    rig.reads_without_the_bucket("1.2.1");
    until("they are ready", || rig.archive().tier_status().ahead.ready == 1);
    // The policy would release it at once.
    rig.walk();
    assert_eq!(rig.hot(), ["1.2.1"]);
    let before = rig.bucket.reads();
    let rig = rig.killed();
    assert_eq!(rig.look(), 0, "what is hot is not fetched again");
    rig.walk();
    assert_eq!((rig.hot(), rig.bucket.reads()), (vec!["1.2.1".to_owned()], before));
    // A day after the appointment.
    rig.clock.0.store(30 * HOUR, Ordering::SeqCst);
    rig.look();
    until("it is released", || rig.hot().is_empty());
}

#[test]
fn an_appointment_that_is_taken_back_before_its_time_fetches_nothing() {
    let mut rig = Rig::new(options(), &[("1.2.1", days_ago(30), "CT", "Ngực")]);
    let before = rig.bucket.reads();
    rig.orders("CT ngực");
    rig.books(20);
    assert_eq!(rig.look(), 0);
    rig.unbooks();
    rig.clock.0.store(10 * HOUR, Ordering::SeqCst);
    assert_eq!((rig.look(), rig.archive().tier_status().ahead.appointments), (0, 0));
    rig.walk();
    assert_eq!((rig.bucket.reads(), rig.hot().len()), (before, 0));
    // A new appointment counts again.
    rig.books(3);
    until("the study is hot", || rig.hot().len() == 1);
}

#[test]
fn what_was_called_off_after_it_was_fetched_may_go() {
    let mut rig = Rig::new(options(), &[("1.2.1", days_ago(30), "CT", "Ngực")]);
    rig.visits(VisitState::Admitted);
    until("an admission fetches it", || rig.hot().len() == 1);
    rig.visits(VisitState::Canceled);
    rig.look();
    until("it is released", || rig.hot().is_empty());
}

#[test]
fn while_the_bucket_is_down_they_wait_also_over_a_kill() {
    let mut rig = Rig::new(options(), &[("1.2.1", days_ago(30), "CT", "Ngực"), ("1.2.2", days_ago(3), "US", "")]);
    rig.bucket.set_down(true);
    rig.orders("CT ngực");
    rig.books(2);
    assert_eq!((rig.look(), rig.hot().len()), (2, 0));
    until("the bucket is known to be away", || {
        rig.archive().tier_status().cloud.is_some_and(|cloud| cloud.away.is_some())
    });
    let rig = rig.killed();
    assert_eq!((rig.look(), rig.hot().len()), (2, 0), "they are to be fetched still");
    rig.bucket.set_down(false);
    until("both are hot", || rig.hot().len() == 2);
    assert_eq!(rig.look(), 0);
}

#[test]
fn the_likeliest_come_within_the_bounds() {
    let studies = [
        ("1.2.1", days_ago(1), "US", "Bụng"),
        ("1.2.2", days_ago(2), "CT", "Sọ não"),
        ("1.2.3", days_ago(300), "CT", "CT ngực"),
        ("1.2.4", days_ago(400), "DX", "Chest PA"),
        ("1.2.5", days_ago(3_000), "CT", "CT ngực"),
    ];
    let mut rig = Rig::new(AheadOptions { studies: 2, ..options() }, &studies);
    rig.orders("CT lồng ngực");
    rig.books(2);
    until("two are hot", || rig.hot() == ["1.2.3", "1.2.4"]);
    assert_eq!(rig.look(), 0);
    rig.walk();
    assert_eq!(rig.hot(), ["1.2.3", "1.2.4"]);
}

#[test]
fn a_study_that_does_not_fit_is_left_whole_and_no_room_fetches_nothing() {
    let studies = [("1.2.1", days_ago(1), "CT", "Ngực")];
    let rig = |ahead| {
        let mut rig = Rig::new(ahead, &studies);
        rig.orders("CT ngực");
        rig.books(2);
        rig
    };
    let small = rig(AheadOptions { bytes: 10, ..options() });
    assert_eq!(small.look(), 0);
    assert_eq!(small.archive().tier_status().ahead.ready, 1);
    let full = rig(AheadOptions { free: u64::MAX / 2, ..options() });
    assert_eq!(full.look(), 1);
    until("they wait for room", || full.archive().tier_status().ahead.crowded);
    assert_eq!((small.hot().len(), full.hot().len()), (0, 0));
    let off = rig(AheadOptions { enabled: false, ..options() });
    off.walk();
    assert_eq!((off.hot().len(), off.archive().tier_status().ahead.enabled), (0, false));
}

#[test]
fn studies_at_other_facilities_come_where_that_is_wanted() {
    for linked in [true, false] {
        let mut rig = Rig::at("56001", AheadOptions { linked, ..options() }, &[("1.2.1", days_ago(1), "CT", "Ngực")]);
        let there = FacilityCode::parse("56001").expect("a code");
        rig.says_at(there, "ADT^A04", vec![patient()]);
        rig.orders("CT ngực");
        rig.books(2);
        if linked {
            until("it is hot", || rig.hot() == ["1.2.1"]);
        }
        assert_eq!(rig.look(), 0);
        rig.walk();
        assert_eq!(rig.hot().len(), usize::from(linked));
    }
}

#[test]
fn a_study_recalled_by_hand_stays_for_a_week_whoever_is_called_off() {
    let mut rig = Rig::new(options(), &[("1.2.1", days_ago(30), "CT", "Ngực")]);
    let said = rig.archive().tier_recall_study(&uid("1.2.1"), false).expect("said");
    rig.walk();
    assert_eq!((said.packs, rig.hot().len()), (1, 0), "nothing is done without being told to");
    rig.archive().tier_recall_study(&uid("1.2.1"), true).expect("begun");
    until("it is hot", || rig.hot().len() == 1);
    rig.walk();
    assert_eq!(rig.hot().len(), 1, "the policy would release it at once");
    // Whoever is admitted and not any more takes nothing from whoever asked by hand.
    rig.visits(VisitState::Admitted);
    rig.look();
    rig.visits(VisitState::Canceled);
    rig.look();
    rig.walk();
    assert_eq!(rig.hot().len(), 1);
    rig.clock.0.store(8 * 24 * HOUR, Ordering::SeqCst);
    until("it is released", || rig.hot().is_empty());
}

#[test]
fn what_a_caller_prefetches_stays_until_it_is_of_no_use() {
    let rig = Rig::new(options(), &[("1.2.1", days_ago(1), "CT", "Ngực")]);
    let wanted = Prefetch {
        facility: HOME,
        patient_id: "P1".into(),
        issuer: None,
        modalities: BTreeSet::new(),
        before: rig.clock.now_ms() + 2 * HOUR,
        bytes_max: u64::MAX,
    };
    assert_eq!(rig.archive().prefetch(&Caller::operator(), &wanted).expect("taken").packs, 1);
    until("it is hot", || rig.hot().len() == 1);
    rig.walk();
    assert_eq!(rig.hot().len(), 1);
    rig.clock.0.store(3 * HOUR, Ordering::SeqCst);
    until("it is released", || rig.hot().is_empty());
}

#[test]
fn what_lies_in_an_archive_class_is_asked_back_and_takes_nobody_s_place_when_it_can_be_read() {
    let studies = [("1.2.1", 10), ("1.2.2", 30), ("1.2.3", 40)];
    let studies = studies.map(|(study, days)| (study, days_ago(days), "CT", "Ngực"));
    let mut rig = Rig::new(AheadOptions { studies: 1, ..options() }, &studies);
    rig.bucket.set_archived(true);
    rig.orders("CT ngực");
    rig.books(2);
    until("it is asked back", || rig.bucket.restores() > 0);
    assert_eq!(rig.archive().tier_status().restores, 1);
    // Nobody is expected any more.
    rig.unbooks();
    assert_eq!(rig.look(), 0);
    rig.bucket.set_archived(false);
    until("it can be read", || rig.archive().tier_status().restores == 0);
    // Others are brought back one after the other, behind whatever waits before them.
    for study in ["1.2.2", "1.2.3"] {
        rig.archive().tier_recall_study(&uid(study), true).expect("asked for");
        until("it is hot", || rig.hot().iter().any(|hot| hot == study));
    }
    assert_eq!(rig.hot(), ["1.2.2", "1.2.3"]);
}
