//! Bad days of information systems, over the wires of the running program: broken frames, far too long messages, numbers
//! that two hospitals share, names in seven spellings, a storm of merges, kills between effect and acknowledgement.

use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::http::Client;
use testkit::mllp::{Mix, Offered, Sender, code};
use testkit::server::Server;

const PATIENCE: Duration = Duration::from_secs(120);
/// What a message may cost in memory beside the archive itself, whatever it is.
const MEMORY_MAX: u64 = 256 << 20;
const SOURCES: &str = "[[source]]\nname = \"his\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\napplication = \"HIS\"\n\
                       [[source]]\nname = \"other\"\nfacility = \"56001\"\naddresses = [\"127.0.0.1\"]\napplication = \"BV2\"\n\
                       [[source]]\nname = \"gone\"\nfacility = \"99999\"\naddresses = [\"127.0.0.1\"]\napplication = \"GONE\"\n\
                       [[source]]\nname = \"strict\"\nfacility = \"DEMO0\"\napplication = \"STRICT\"\nsending_facility = \"BV1\"\n\
                       [[source]]\nname = \"old\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\napplication = \"OLD\"\n\
                       charset = \"tcvn3\"\n\
                       [[source]]\nname = \"windows\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\napplication = \"WIN\"\n\
                       charset = \"windows1258\"\n";

/// A token for every facility, and the file with its digest.
const TOKEN: &str = "Authorization: Bearer bad-days\r\n";
const TOKENS: &str = "[[token]]\nname = \"bad days\"\nrole = \"admin\"\nfacilities = \"all\"\nhome = \"DEMO0\"\n\
                      sha256 = \"e4cdc1bef3c88fbba3404901bd392cdf0f17a916a1c31906b347da92418f0219\"\n";

/// The archive, with what a start needs to be repeated.
struct Day {
    server: Server,
    folder: PathBuf,
}

impl Day {
    fn begin(folder: &Path) -> Self {
        std::fs::write(folder.join("hl7-sources.toml"), SOURCES).expect("written");
        std::fs::write(folder.join("tokens.toml"), TOKENS).expect("written");
        let (sources, tokens) = (folder.join("hl7-sources.toml"), folder.join("tokens.toml"));
        let config = format!("[hl7]\nsources = {sources:?}\n[http]\ntokens = {tokens:?}\n");
        std::fs::write(folder.join("khoanh.toml"), config).expect("written");
        Self { server: start(folder), folder: folder.to_owned() }
    }

    /// `kill -9`, and a start on the same folder.
    fn kill(self) -> Self {
        self.server.kill().expect("killed");
        Self { server: start(&self.folder), folder: self.folder }
    }

    fn hl7(&self) -> SocketAddr {
        self.server.hl7.expect("an address for HL7")
    }

    fn sender(&self) -> Sender {
        Sender::connect(self.hl7(), PATIENCE).expect("connected")
    }

    fn send(&self, message: &str) -> String {
        self.sender().send(message).expect("answered")
    }

    /// MSA-1 of a message in any bytes.
    fn send_bytes(&self, message: &[u8]) -> String {
        let mut sender = self.sender();
        sender.raw(&[b"\x0b", message, b"\x1c\r"].concat()).expect("sent");
        code(&sender.answer().expect("answered")).to_owned()
    }

    fn get(&self, target: &str) -> (u16, Value) {
        let answer = Client::new(self.server.http, PATIENCE).get(target, TOKEN).expect("answered");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn there(&self, target: &str) -> Value {
        let (status, value) = self.get(target);
        assert_eq!(status, 200, "{target}: {value}");
        value
    }

    /// The values of a field of the rows that a list has.
    fn listed(&self, target: &str, list: &str, field: &str) -> Vec<String> {
        let value = self.there(target);
        let rows = value[list].as_array().unwrap_or_else(|| panic!("{target}: {value}"));
        let mut found: Vec<String> =
            rows.iter().map(|row| row[field].as_str().unwrap_or_default().to_owned()).collect();
        found.sort_unstable();
        found
    }

    fn end(self) {
        assert!(self.server.stop(PATIENCE).expect("it stops").success());
    }
}

fn start(folder: &Path) -> Server {
    let config = folder.join("khoanh.toml").to_string_lossy().into_owned();
    let arguments = ["--config", &config, "--hl7", "127.0.0.1:0"];
    Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &folder.join("data"), &arguments).expect("it starts")
}

fn head(sender: &str, kind: &str, control: &str) -> String {
    format!("MSH|^~\\&|{sender}|BV|||20261128||{kind}|{control}|P|2.5||||||UNICODE UTF-8\r")
}

fn pid(mrn: &str, name: &str) -> String {
    format!("PID|1||{mrn}^^^BV^MR||{name}||1978|F\r")
}

fn order(placer: &str, control: &str, accession: &str) -> String {
    let obr = format!("OBR|1|{placer}||CT.NGUC^CT ngực^99BV{}{accession}||||||CT", "|".repeat(14));
    format!("ORC|{control}|{placer}\r{obr}\r")
}

#[test]
fn what_is_broken_costs_its_sender_an_answer_and_nobody_a_message() {
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    let good = head("HIS", "ADT^A28", "1") + &pid("22", "Trần^An");
    // Cut in the middle, before its end, after half of its end: nothing of it is taken, and nobody waits for the rest.
    let frame = [b"\x0b", good.as_bytes(), b"\x1c\r"].concat();
    for end in [frame.len() / 2, frame.len() - 2, frame.len() - 1] {
        let mut sender = day.sender();
        sender.raw(&frame[..end]).expect("sent");
        drop(sender);
    }
    assert_eq!(day.get("/api/patients/22").0, 404, "a truncated message was taken");
    for (message, wanted) in [
        (pid("23", "Lê^Bình"), "AR"),
        (head("HIS", "ADT^A99", "2") + &pid("23", "Lê^Bình"), "AR"),
        (head("NOBODY", "ADT^A28", "3") + &pid("23", "Lê^Bình"), "AR"),
        (head("GONE", "ADT^A28", "4") + &pid("23", "Lê^Bình"), "AR"),
        // The right application, and another hospital's name in MSH-4.
        (head("STRICT", "ADT^A28", "7") + &pid("23", "Lê^Bình"), "AR"),
        (head("STRICT", "ADT^A28", "7").replace("|BV|", "|BV1|") + &pid("24", "Lê^Bình"), "AA"),
        (head("HIS", "ADT^A28", "5") + &pid("", "Lê^Bình"), "AE"),
        (head("HIS", "ADT^A28", "6") + "PID|1||23^^^BV^MR||Lê^Bình||1978-99|M\r", "AE"),
        (good.clone(), "AA"),
    ] {
        assert_eq!(day.send(&message), wanted, "{message}");
    }
    // A year alone is a year.
    assert_eq!(day.there("/api/patients/22")["birth"], "1978");
    assert_eq!(day.get("/api/patients/23").0, 404);
    // Of refused messages those of known senders are listed, with the place of the mistake.
    let why = day.listed("/api/messages?state=refused", "messages", "kind");
    assert_eq!(why, ["ADT^A28", "ADT^A28", "ADT^A99"]);
    let unknown = "/api/messages?state=refused&kind=ADT%5EA99&source=his&from=2000-01-01";
    assert_eq!(day.listed(unknown, "messages", "acknowledged"), ["AR"]);
    assert!(day.listed("/api/messages?kind=ORM", "messages", "kind").is_empty());
    assert_eq!(day.listed("/api/messages?mrn=22", "messages", "kind"), ["ADT^A28"]);
    day.end();
}

#[test]
fn a_message_of_100_mb_is_refused_and_costs_no_memory() {
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    let process = day.server.process();
    process.reset_peak();
    let before = process.resident_bytes();
    let mut sender = day.sender();
    sender.raw(&[b"\x0b", head("HIS", "ORU^R01", "1").as_bytes()].concat()).expect("sent");
    let piece = vec![b'x'; 1 << 20];
    // It is answered before it is read to its end: then nothing more is taken of it.
    let sent = (0..100).take_while(|_| sender.raw(&piece).is_ok()).count();
    let answer = sender.answer();
    assert!(answer.as_ref().map_or(sent < 100, |answer| code(answer) == "AR"), "{answer:?} after {sent} MiB");
    let grown = process.peak_bytes().saturating_sub(before);
    assert!(grown < MEMORY_MAX, "{} MiB more", grown >> 20);
    assert_eq!(day.send(&(head("HIS", "ADT^A28", "2") + &pid("22", "Trần^An"))), "AA");
    day.end();
}

#[test]
fn two_hospitals_with_equal_numbers_see_their_own_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    let add = ["sources", "add", "--facility", "56001", "--facility-name", "Hai", "--calling", "CT02"];
    let output = day.server.command(&add).expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let message =
        |sender: &str, name: &str| head(sender, "ORM^O01", "1") + &pid("1", name) + &order("P1", "NW", "2026-1");
    assert_eq!(day.send(&message("HIS", "Trần^An")), "AA");
    assert_eq!(day.send(&message("BV2", "Lê^Bình")), "AA");
    let told = |facility: &str| {
        let there = day.there(&format!("/api/available?accession=2026-1&facility={facility}"));
        let patient = day.there(&format!("/api/patients/1?facility={facility}"));
        let orders = there["orders"].as_array().expect("orders").clone();
        assert_eq!(orders.len(), 1, "{there}");
        (orders[0]["study"].clone(), patient["name"].as_str().expect("a name").to_owned())
    };
    let (one, two) = (told("DEMO0"), told("56001"));
    assert_ne!(one.0, two.0, "one study for two hospitals");
    assert_eq!((one.1.as_str(), two.1.as_str()), ("Trần An", "Lê Bình"));
    day.end();
}

#[test]
fn seven_spellings_of_one_name_are_found_by_one_question() {
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    let plain = |sender: &str| format!("MSH|^~\\&|{sender}|BV|||20261128||ADT^A28|1|P|2.3\r").into_bytes();
    let spelt = |mrn: &str, name: &[u8]| [b"PID|1||", mrn.as_bytes(), b"^^^BV^MR||", name, b"||1978|M\r"].concat();
    let spellings: [(&str, &[u8]); 7] = [
        ("HIS", "Nguyễn^An^Văn".as_bytes()),
        ("HIS", b"NGUYEN VAN AN"),
        ("HIS", b"NGUYEN^VAN AN"),
        ("HIS", b"AN^NGUYEN VAN"),
        // Marks behind their letters.
        ("HIS", "Nguye\u{302}\u{303}n Va\u{306}n An".as_bytes()),
        ("WIN", b"Nguy\xea\xden V\xe3n An"),
        ("OLD", b"Nguy\xd4n V\xa8n An"),
    ];
    for (number, (sender, name)) in spellings.iter().enumerate() {
        let mut message = plain(sender);
        message.extend(spelt(&format!("{number}"), name));
        // The control id is the same on purpose: the senders or the content are not.
        assert_eq!(day.send_bytes(&message), "AA", "{number}");
    }
    let all: Vec<String> = (0..7).map(|number| number.to_string()).collect();
    for asked in ["nguyen%20van%20an", "Nguy%E1%BB%85n%20V%C4%83n%20An", "an%20nguyen%20van", "NGUYEN^AN^VAN"] {
        let found = day.listed(&format!("/api/patients?name={asked}&year=1978"), "patients", "mrn");
        assert_eq!(found, all, "{asked}");
    }
    assert!(day.listed("/api/patients?name=nguyen%20van%20binh", "patients", "mrn").is_empty());
    day.end();
}

#[test]
fn a_cancel_before_its_order_waits_for_it_also_over_a_kill() {
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    let about = pid("22", "Trần^An");
    let message = |control: &str, kind: &str| head("HIS", "ORM^O01", control) + &about + &order("P1", kind, "A1");
    assert_eq!(day.send(&message("1", "CA")), "AA");
    assert_eq!(day.get("/api/orders/P1").0, 404);
    assert_eq!(day.listed("/api/messages?state=parked", "messages", "kind"), ["ORM^O01"]);
    let day = day.kill();
    assert_eq!(day.send(&message("2", "NW")), "AA");
    assert_eq!(day.there("/api/orders/P1")["state"], "canceled");
    assert!(day.listed("/api/messages?state=parked", "messages", "kind").is_empty());
    assert!(day.listed("/api/worklist", "worklist", "placer").is_empty());
    day.end();
}

#[test]
fn a_merge_of_a_merged_patient_follows_the_first() {
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    for (number, mrn) in ["A", "B", "C"].iter().enumerate() {
        assert_eq!(day.send(&(head("HIS", "ADT^A28", &format!("{number}")) + &pid(mrn, "Trần^An"))), "AA");
    }
    let merge = |control: &str, stays: &str, former: &str| {
        day.send(&(head("HIS", "ADT^A40", control) + &pid(stays, "Trần^An") + &format!("MRG|{former}^^^BV^MR\r")))
    };
    assert_eq!((merge("m1", "B", "A"), merge("m2", "C", "A")), ("AA".to_owned(), "AA".to_owned()));
    for number in ["A", "B", "C"] {
        assert_eq!(day.there(&format!("/api/patients/{number}"))["mrn"], "C", "{number}");
    }
    assert_eq!(merge("m3", "A", "C"), "AE", "a circle");
    day.end();
}

#[test]
fn a_storm_of_10_000_merges_ends_with_the_right_patients_in_bounded_memory() {
    const MERGES: usize = 10_000;
    const STAY: usize = 50;
    let folder = tempfile::tempdir().expect("folder");
    let day = Day::begin(folder.path());
    let process = day.server.process();
    process.reset_peak();
    let before = process.resident_bytes();
    let next = AtomicUsize::new(0);
    // Each of 1,000 numbers is merged again and again into the one of 50 that stays, by sixteen connections at once.
    let (address, next) = (day.hl7(), &next);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(move || {
                let mut sender = Sender::connect(address, PATIENCE).expect("connected");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MERGES {
                        break;
                    }
                    let former = number % 1_000;
                    let message = head("HIS", "ADT^A40", &format!("{number}"))
                        + &pid(&format!("S{}", former % STAY), "Trần^An")
                        + &format!("MRG|F{former}^^^BV^MR\r");
                    assert_eq!(sender.send(&message).expect("answered"), "AA", "{number}");
                }
            });
        }
    });
    for former in [0, 1, 499, 999] {
        let patient = day.there(&format!("/api/patients/F{former}"));
        assert_eq!(patient["mrn"], format!("S{}", former % STAY), "F{former}");
    }
    // A merge that holds is not made twice: twenty numbers each, however often it was said.
    let merges = day.there("/api/patients/S7")["merges"].as_array().expect("merges").len();
    assert_eq!(merges, 1_000 / STAY);
    let grown = process.peak_bytes().saturating_sub(before);
    assert!(grown < MEMORY_MAX, "{} MiB more", grown >> 20);
    day.end();
}

#[test]
fn what_was_done_and_not_acknowledged_is_done_once_after_a_kill() {
    let folder = tempfile::tempdir().expect("folder");
    let mut day = Day::begin(folder.path());
    for round in 0..3 {
        let placer = format!("P{round}");
        let message = head("HIS", "ORM^O01", &placer) + &pid("22", "Trần^An") + &order(&placer, "NW", "");
        // The effect is there, and its answer read by nobody, when the archive is killed.
        let mut sender = day.sender();
        sender.write(&message).expect("sent");
        let deadline = Instant::now() + PATIENCE;
        while day.get(&format!("/api/orders/{placer}")).0 != 200 {
            assert!(Instant::now() < deadline, "no effect");
            std::thread::yield_now();
        }
        let before = day.there(&format!("/api/orders/{placer}"));
        day = day.kill();
        drop(sender);
        assert_eq!(day.send(&message), "AA");
        assert_eq!(day.there(&format!("/api/orders/{placer}")), before, "a second effect");
        assert_eq!(day.there("/api/messages")["messages"].as_array().expect("messages").len(), round + 1);
    }
    day.end();
}

#[test]
fn kills_under_load_lose_nothing_acknowledged_and_do_nothing_twice() {
    let folder = tempfile::tempdir().expect("folder");
    let mut day = Day::begin(folder.path());
    let offered = |address: SocketAddr, numbers: std::ops::Range<usize>| Offered {
        address,
        mix: Mix::Orders,
        numbers,
        connections: 4,
        rate: None,
        patients: 5,
        stations: 3,
        month: "202612".to_owned(),
        days: 2,
    };
    let (mut sent, mut cut) = (0..0, 0);
    for round in 1..=3 {
        let numbers = sent.end..sent.end + 300;
        let load = offered(day.hl7(), numbers.clone());
        let busy = std::thread::spawn(move || testkit::mllp::load(&load));
        // In the midst of it, by count: every round somewhere else.
        let deadline = Instant::now() + PATIENCE;
        while day.get(&format!("/api/orders/P{}", numbers.start + 30 * round)).0 != 200 {
            assert!(Instant::now() < deadline, "nothing was taken");
        }
        day = day.kill();
        cut += usize::from(busy.join().expect("no panic").is_err());
        sent = 0..numbers.end;
        // The sender repeats whatever it has no answer of; here everything, so that repetitions are many.
        let again = testkit::mllp::load(&offered(day.hl7(), sent.clone())).expect("answered");
        assert_eq!(again["codes"]["AA"], sent.end, "{again}");
    }
    assert!(cut > 0, "every load was over before its kill");
    for number in sent.clone() {
        assert_eq!(day.there(&format!("/api/orders/P{number}"))["accession"], format!("A{number}"));
    }
    let (mut messages, mut cursor) = (0, String::new());
    loop {
        let page = day.there(&format!("/api/messages?limit=1000{cursor}"));
        messages += page["messages"].as_array().expect("messages").len();
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(messages, sent.end, "a message is kept once");
    day.end();
}
