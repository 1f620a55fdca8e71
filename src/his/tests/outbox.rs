//! What waits in the archive's outbox and receivers over MLLP: in order, known again, refused, silent, away.

use archive::Archive;
use archive::charts::outbox::dispatch::{Courier, Couriers, Outcome, Parcel, PostOffice};
use archive::charts::outbox::{DeliveryFilter, LaneState, OutboxOptions};
use archive::clock::Clock;
use his::{Receivers, SendLimits, Sender};
use model::chart::{
    Change, ChartBody, ChartKey, ChartKind, Content, Delivery, DeliveryState, EventKind, Inbound, Merge, OrderAction,
    OrderUpdate, Origin, PatientUpdate, Report, ReportStatus, Subscription, Target,
};
use model::{Caller, Digest, FacilityCode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const HOME: FacilityCode = FacilityCode::DEMO;

/// Nobody is told by HTTP here.
struct Nobody;

impl Courier for Nobody {
    fn bring(&self, _: &Parcel) -> Outcome {
        Outcome::Refused("no HTTP here".into())
    }

    fn stop(&self) {}
}

/// A clock that stands until it is turned.
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn options(folder: &Path) -> archive::Options {
    archive::Options { segment_bytes: 32 << 20, reserve_bytes: 16 << 20, ..archive::Options::new(folder.join("data")) }
}

fn open(folder: &Path) -> Arc<Archive> {
    let mut options = options(folder);
    options.charts.outbox.pause = Duration::from_millis(1);
    options.charts.outbox.pause_max = Duration::from_millis(20);
    options.charts.outbox.attempts = 2;
    Archive::open(options).expect("open")
}

fn says(archive: &Archive, control: &str, changes: Vec<Change>) {
    let origin = Origin {
        source: "test".into(),
        sender: String::new(),
        control: control.into(),
        digest: Digest([u8::try_from(control.len()).expect("short"); 32]),
    };
    let (kind, text) = ("TEST".to_owned(), control.to_owned());
    let message = Inbound { origin, kind, mrn: None, text, changes: Ok(changes), remarks: Vec::new() };
    let receipt = archive.charts().receive(HOME, message).expect("received");
    assert_eq!(receipt.handled, model::chart::Handled::Done, "{control}: {receipt:?}");
}

fn patient(mrn: &str, name: &str) -> Change {
    Change::Patient(PatientUpdate { mrn: mrn.into(), name: Some(name.into()), ..PatientUpdate::default() })
}

fn order(placer: &str) -> Change {
    let update = OrderUpdate {
        mrn: Some("1".into()),
        accession: Some(format!("A{placer}")),
        visit: Some("LK-7".into()),
        procedure: Some("CT ngực".into()),
        ..OrderUpdate::new(OrderAction::New, placer)
    };
    Change::Order(Box::new(update))
}

fn subscribe(archive: &Archive, receiver: &str, events: &[EventKind]) -> String {
    let subscription = Subscription {
        name: receiver.into(),
        target: Target::Hl7 { receiver: receiver.into() },
        events: events.iter().copied().collect(),
        paused: false,
        criteria: String::new(),
        by: "test".into(),
        at: 0,
    };
    archive.charts().subscribe(&Caller::operator(), HOME, subscription).expect("subscribed")
}

/// A receiver: what it took, and how it answers each message.
struct His {
    address: SocketAddr,
    took: Arc<Mutex<Vec<String>>>,
}

fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut one) = (Vec::new(), [0u8]);
    while !bytes.ends_with(b"\x1c\r") {
        stream.read_exact(&mut one).ok()?;
        bytes.extend(one);
    }
    let inner = bytes.strip_prefix(b"\x0b")?.strip_suffix(b"\x1c\r")?;
    Some(String::from_utf8_lossy(inner).into_owned())
}

fn field(message: &str, segment: &str, number: usize) -> String {
    let line = message.split('\r').find(|line| line.starts_with(segment)).unwrap_or_default();
    line.split('|').nth(if segment == "MSH" { number - 1 } else { number }).unwrap_or_default().to_owned()
}

/// Answers with what `code` says of a message; none: never.
fn his(code: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> His {
    his_while(|| true, code)
}

/// The same while it is up; else it hangs up on whoever calls.
fn his_while(
    is_up: impl Fn() -> bool + Send + 'static,
    code: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
) -> His {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let took = Arc::new(Mutex::new(Vec::new()));
    let (taken, code) = (Arc::clone(&took), Arc::new(code));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if !is_up() {
                continue;
            }
            let (taken, code) = (Arc::clone(&taken), Arc::clone(&code));
            std::thread::spawn(move || {
                while let Some(message) = read(&mut stream) {
                    let control = field(&message, "MSH", 10);
                    let code = code(&message);
                    taken.lock().expect("a lock").push(message);
                    let Some(code) = code else { continue };
                    // One that answers another message is passed over.
                    let ack = |control: &str| {
                        format!("\x0bMSH|^~\\&|HIS||KHOANH||20261128||ACK|1|P|2.5\rMSA|{code}|{control}\r\x1c\r")
                    };
                    let both = ack("another") + &ack(&control);
                    if stream.write_all(both.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    His { address, took }
}

impl His {
    fn took(&self) -> Vec<String> {
        self.took.lock().expect("a lock").clone()
    }
}

fn sender(folder: &Path, receivers: &[(&str, SocketAddr, &str)]) -> Couriers {
    let path = folder.join("hl7-receivers.toml");
    let text: String = receivers
        .iter()
        .map(|(name, address, more)| format!("[[receiver]]\nname = \"{name}\"\naddress = \"{address}\"\n{more}\n"))
        .collect();
    std::fs::write(&path, text).expect("written");
    let limits = SendLimits { answer: Duration::from_secs(30), ..SendLimits::default() };
    let sender = Sender::new(Receivers::load(&path).expect("receivers"), limits);
    Couriers { hl7: Some(Box::new(sender)), http: Box::new(Nobody) }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn waiting(archive: &Archive) -> u64 {
    archive.charts().outbox(&Caller::operator()).iter().map(|one| one.waiting).sum()
}

fn merges(archive: &Archive) -> Vec<(String, Merge)> {
    let page = archive.charts().changes(&Caller::operator(), None, 100).expect("answers");
    let ids =
        page.events.into_iter().filter(|(_, one)| one.event.kind == EventKind::Merged).map(|(_, one)| one.event.id);
    let of = |id: String| {
        let key = ChartKey::new(ChartKind::Merge, HOME, &id).expect("a key");
        match archive.charts().get(&Caller::operator(), &key).expect("answers").map(|row| row.body) {
            Some(ChartBody::Merge(merge)) => (id, *merge),
            other => panic!("{other:?}"),
        }
    };
    ids.map(of).collect()
}

#[test]
fn orders_results_and_merges_are_told_in_order_in_the_receivers_version_and_letters() {
    let folder = tempfile::tempdir().expect("folder");
    let archive = open(folder.path());
    let new = his(|_| Some("AA"));
    let old = his(|_| Some("CA"));
    says(&archive, "p", vec![patient("1", "Nguyễn Văn An"), patient("2", "Nguyễn An")]);
    subscribe(&archive, "new", &[]);
    subscribe(&archive, "old", &[EventKind::Order]);
    says(&archive, "oo", vec![order("P1")]);
    let report = Report {
        number: "P1/CT".into(),
        mrn: "1".into(),
        visit: String::new(),
        placer: "P1".into(),
        accession: String::new(),
        study: None,
        discipline: "imaging".into(),
        title: "CT ngực".into(),
        author: "Lê Thị Bình".into(),
        status: ReportStatus::Final,
        version: 1,
        contents: vec![Content::Text {
            heading: "Kết luận".into(), text: "Bình thường | rõ\nhai dòng".into()
        }],
        at: 1_795_842_000_000,
    };
    says(&archive, "rrr", vec![Change::Report(Box::new(report))]);
    says(&archive, "mmmm", vec![Change::Merge { survivor: "1".into(), former: "2".into() }]);
    let couriers = sender(
        folder.path(),
        &[
            ("new", new.address, "version = \"2.7\"\nviewer = \"https://pacs.example/\"\n"),
            ("old", old.address, "version = \"2.3\"\ncharset = \"ascii\"\nenhanced = true\napplication = \"HIS\"\n"),
        ],
    );
    let office = PostOffice::start(&archive, couriers).expect("started");
    until("all is told", || waiting(&archive) == 0);
    assert!(office.shutdown(PATIENCE));
    let took = new.took();
    let kinds: Vec<String> = took.iter().map(|message| field(message, "MSH", 9)).collect();
    assert_eq!(kinds, ["ORM^O01^ORM_O01", "ORU^R01^ORU_R01", "ADT^A40^ADT_A39"]);
    assert_eq!((field(&took[0], "MSH", 12), field(&took[0], "MSH", 18)), ("2.7".into(), "UNICODE UTF-8".into()));
    assert_eq!((field(&took[0], "ORC", 2), field(&took[0], "ORC", 5)), ("P1".into(), "SC".into()));
    assert_eq!(field(&took[0], "PID", 5), "Nguyễn^An^Văn");
    assert_eq!((field(&took[1], "OBR", 2), field(&took[1], "OBR", 25)), ("P1".into(), "F".into()));
    assert_eq!((field(&took[1], "OBR", 18), field(&took[1], "OBR", 32)), ("AP1".into(), "&Lê&Bình&Thị".into()));
    assert!(took[1].contains(r"|FT|^Kết luận||Bình thường \F\ rõ\.br\hai dòng||||||F"), "{}", took[1]);
    assert_eq!((field(&took[2], "PID", 3), field(&took[2], "MRG", 1)), ("1^^^DEMO0^MR".into(), "2^^^DEMO0^MR".into()));
    let old = old.took();
    assert_eq!(old.len(), 1);
    assert_eq!((field(&old[0], "MSH", 9), field(&old[0], "MSH", 15)), ("ORM^O01".into(), "AL".into()));
    assert_eq!((field(&old[0], "PID", 5), field(&old[0], "MSH", 5)), ("Nguyen^An^Van".into(), "HIS".into()));
    assert_eq!(merges(&archive).len(), 1);
}

#[test]
fn a_receiver_that_refuses_gets_the_rest_and_one_that_is_silent_holds_up_no_other() {
    let folder = tempfile::tempdir().expect("folder");
    let archive = open(folder.path());
    let code = |message: &str| match field(message, "ORC", 2).as_str() {
        "P1" => Some("AR"),
        "P2" => Some("AE"),
        _ => Some("AA"),
    };
    let (strict, silent) = (his(code), his(|_| None));
    says(&archive, "p", vec![patient("1", "Lê An")]);
    subscribe(&archive, "silent", &[EventKind::Order]);
    let id = subscribe(&archive, "strict", &[EventKind::Order]);
    for (control, placer) in [("1.", "P1"), ("2..", "P2"), ("3...", "P3")] {
        says(&archive, control, vec![order(placer)]);
    }
    let couriers = sender(folder.path(), &[("strict", strict.address, ""), ("silent", silent.address, "")]);
    let office = PostOffice::start(&archive, couriers).expect("started");
    until("the last is told", || strict.took().iter().any(|message| field(message, "ORC", 2) == "P3"));
    let lane = || archive.charts().outbox(&Caller::operator()).into_iter().find(|one| one.id == id).expect("a lane");
    until("that is recorded", || lane().waiting == 0);
    assert_eq!(lane().dead, 2);
    // The same message again has the same control id.
    let took = strict.took();
    let told: Vec<(String, String)> =
        took.iter().map(|message| (field(message, "ORC", 2), field(message, "MSH", 10))).collect();
    let again: Vec<_> = told.iter().filter(|(placer, _)| placer == "P2").collect();
    assert!(again.len() == 2 && again[0] == again[1], "{told:?}");
    until("the silent one has one", || silent.took().len() == 1);
    assert!(office.shutdown(PATIENCE), "a silent receiver keeps the archive from ending");
}

#[test]
fn what_was_not_acknowledged_before_a_kill_is_sent_again_as_the_same_message() {
    let folder = tempfile::tempdir().expect("folder");
    let archive = open(folder.path());
    let silent = his(|_| None);
    says(&archive, "p", vec![patient("1", "Lê An")]);
    subscribe(&archive, "his", &[EventKind::Order]);
    says(&archive, "oo", vec![order("P1")]);
    let couriers = sender(folder.path(), &[("his", silent.address, "")]);
    let office = PostOffice::start(&archive, couriers).expect("started");
    until("it has it", || silent.took().len() == 1);
    assert!(office.shutdown(PATIENCE));
    archive.close(PATIENCE).expect("closed");
    drop(archive);
    let archive = open(folder.path());
    let his = his(|_| Some("AA"));
    let couriers = sender(folder.path(), &[("his", his.address, "")]);
    let office = PostOffice::start(&archive, couriers).expect("started");
    until("it is told", || waiting(&archive) == 0);
    assert!(office.shutdown(PATIENCE));
    assert_eq!(his.took(), silent.took(), "not the same bytes");
    let delivered = DeliveryFilter { state: Some(DeliveryState::Delivered), ..DeliveryFilter::default() };
    let page = archive.charts().deliveries(&Caller::operator(), &delivered, None, 10).expect("answers");
    let ids: Vec<String> = page.rows.into_iter().map(|row| row.key.id).collect();
    assert_eq!(ids, [field(&his.took()[0], "MSH", 10)]);
    assert!(ids[0].parse::<u64>().is_ok_and(|seq| Delivery::id(seq) == ids[0]));
}

#[test]
fn a_his_that_is_down_for_three_days_is_told_everything_once_and_in_order_when_it_is_back() {
    const HOUR: u64 = 3_600_000;
    const ORDERS: usize = 36;
    let folder = tempfile::tempdir().expect("folder");
    let clock = Arc::new(Hands(AtomicU64::new(1_795_842_000_000)));
    let begin = || {
        // Pauses and attempts as they are where nobody says otherwise.
        let (mut options, hands) = (options(folder.path()), Arc::<Hands>::clone(&clock));
        (options.charts.outbox, options.clock) = (OutboxOptions::default(), hands);
        Archive::open(options).expect("open")
    };
    let up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&up);
    let his = his_while(move || seen.load(Ordering::SeqCst), |_| Some("AA"));
    let office = |archive: &Arc<Archive>| {
        PostOffice::start(archive, sender(folder.path(), &[("his", his.address, "")])).expect("started")
    };
    let mut archive = begin();
    says(&archive, "p", vec![patient("1", "Lê An")]);
    subscribe(&archive, "his", &[EventKind::Order]);
    let mut working = office(&archive);
    let placers: Vec<String> = (0..ORDERS).map(|number| format!("P{number}")).collect();
    for (number, placer) in placers.iter().enumerate() {
        says(&archive, placer, vec![order(placer)]);
        // One more try in vain, recorded; then two hours go by.
        let tried = || tries_of_the_first(&archive) > u32::try_from(number).expect("few");
        until("it is tried once more", tried);
        clock.0.fetch_add(2 * HOUR, Ordering::SeqCst);
        if number == ORDERS / 2 {
            assert!(working.shutdown(PATIENCE));
            archive.close(PATIENCE).expect("closed");
            drop(archive);
            archive = begin();
            working = office(&archive);
        }
    }
    // More tries than an answer of the receiver's own fault may cost, and nothing is given up.
    let lane = lane(&archive);
    let days = lane.oldest_ms / (24 * HOUR);
    assert_eq!((lane.waiting, lane.dead, days), (36, 0, 3));
    assert!(tries_of_the_first(&archive) > OutboxOptions::default().attempts);
    assert!(his.took().is_empty());
    up.store(true, Ordering::SeqCst);
    clock.0.fetch_add(HOUR, Ordering::SeqCst);
    until("everything is told", || waiting(&archive) == 0);
    assert!(working.shutdown(PATIENCE));
    let told: Vec<String> = his.took().iter().map(|message| field(message, "ORC", 2)).collect();
    assert_eq!(told, placers);
}

fn lane(archive: &Archive) -> LaneState {
    archive.charts().outbox(&Caller::operator()).into_iter().next().expect("a lane")
}

/// How often the delivery that waits longest was tried.
fn tries_of_the_first(archive: &Archive) -> u32 {
    let waiting = DeliveryFilter { state: Some(DeliveryState::Waiting), ..DeliveryFilter::default() };
    let page = archive.charts().deliveries(&Caller::operator(), &waiting, None, 500).expect("answers");
    let of = |body: ChartBody| match body {
        ChartBody::Delivery(one) => (one.seq, one.tries),
        other => panic!("{other:?}"),
    };
    page.rows.into_iter().map(|row| of(row.body)).min().map_or(0, |(_, tries)| tries)
}
