//! The wire over a real socket, in front of a keeper that remembers what it was given.

use crate::keeper::Keeper;
use crate::listener::Listener;
use crate::options::Options;
use archive::charts::{ChartError, Receipt};
use model::FacilityCode;
use model::chart::{Change, Handled, Inbound, Order};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Remembers messages, answers by their control id, and may be held up.
#[derive(Default)]
struct Memory {
    taken: Mutex<Vec<Inbound>>,
    /// Control ids that wait until somebody says so.
    gates: Mutex<HashMap<String, Receiver<()>>>,
    fillers: HashMap<String, String>,
    closed: bool,
    orders: HashMap<String, Order>,
    /// Control ids of what was rejected.
    rejected: Mutex<Vec<String>>,
}

impl Memory {
    fn controls(&self) -> Vec<String> {
        self.taken.lock().iter().map(|message| message.origin.control.clone()).collect()
    }
}

impl Keeper for Memory {
    fn takes_for(&self, facility: FacilityCode) -> bool {
        facility == FacilityCode::DEMO
    }

    fn receive(&self, _: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        let gate = self.gates.lock().remove(&message.origin.control);
        if let Some(gate) = gate {
            gate.recv_timeout(PATIENCE).expect("the gate opens");
        }
        if self.closed {
            return Err(ChartError::Unavailable("the journal is full".to_owned()));
        }
        let handled = match &message.changes {
            Ok(_) => Handled::Done,
            Err(why) => Handled::Refused { why: why.clone() },
        };
        self.taken.lock().push(message);
        Ok(Receipt { handled, repeated: false, remarks: Vec::new() })
    }

    fn reject(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        self.rejected.lock().push(message.origin.control.clone());
        self.receive(facility, message)
    }

    fn order(&self, _: FacilityCode, placer: &str) -> Result<Option<Order>, ChartError> {
        Ok(self.orders.get(placer).cloned())
    }

    fn placer(&self, _: FacilityCode, filler: &str) -> Result<Option<String>, ChartError> {
        Ok(self.fillers.get(filler).cloned())
    }
}

struct Service {
    runtime: tokio::runtime::Runtime,
    listener: Option<Listener>,
    memory: Arc<Memory>,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

fn sources(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("hl7-sources.toml");
    let text = "[[source]]\nname = \"his\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\napplication = \"HIS\"\n\
                [[source]]\nname = \"asks\"\nfacility = \"DEMO0\"\napplication = \"ASKS\"\norder_response = true\n\
                [[source]]\nname = \"shown\"\nfacility = \"DEMO0\"\ncertificate = \"CN=his\"\n\
                [[source]]\nname = \"gone\"\nfacility = \"56001\"\napplication = \"GONE\"\n";
    std::fs::write(&path, text).expect("written");
    path
}

impl Service {
    fn start(memory: Memory, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = Options { listen: Some(free), sources: sources(folder.path()), ..Options::default() };
        change(&mut options);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("runtime");
        let memory = Arc::new(memory);
        let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(&memory);
        let listener = runtime.block_on(Listener::serve(options, keeper)).expect("listening");
        let address = listener.local_addr().or(listener.tls_addr()).expect("an address");
        Self { runtime, listener: Some(listener), memory, address, _folder: folder }
    }

    fn connect(&self) -> Wire<TcpStream> {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Wire(stream)
    }

    fn stop(&mut self, limit: Duration) -> usize {
        let listener = self.listener.take().expect("running");
        self.runtime.block_on(listener.shutdown(limit))
    }
}

struct Wire<S>(S);

impl<S: Read + Write> Wire<S> {
    fn send(&mut self, message: &str) {
        self.raw(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("sent");
    }

    /// The next answer, none at the end of the connection.
    fn answer(&mut self) -> Option<String> {
        let (mut bytes, mut one) = (Vec::new(), [0u8]);
        while !bytes.ends_with(b"\x1c\r") {
            match self.0.read(&mut one) {
                Ok(0) | Err(_) => return None,
                Ok(_) => bytes.extend(one),
            }
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn code(&mut self) -> Option<(String, String)> {
        let answer = self.answer()?;
        let msa = answer.split('\r').find(|line| line.starts_with("MSA"))?.to_owned();
        let mut fields = msa.split('|').skip(1).map(str::to_owned);
        Some((fields.next()?, fields.next()?))
    }
}

fn message(control: &str, patient: &str) -> String {
    format!("MSH|^~\\&|HIS|BV|||20261128||ADT^A28|{control}|P|2.5\rPID|1||{patient}||Nguyễn^An\r")
}

fn code(code: &str, control: &str) -> Option<(String, String)> {
    Some((code.to_owned(), control.to_owned()))
}

/// A gate and what opens it.
fn gated(controls: &[&str]) -> (Memory, Vec<Sender<()>>) {
    let (mut memory, mut openers) = (Memory::default(), Vec::new());
    for control in controls {
        let (open, gate) = channel();
        memory.gates.get_mut().insert((*control).to_owned(), gate);
        openers.push(open);
    }
    (memory, openers)
}

#[test]
fn messages_of_a_connection_are_answered_one_after_the_other() {
    let mut service = Service::start(Memory::default(), |_| {});
    let mut wire = service.connect();
    // Two at once, line ends between them, the third in pieces.
    let two =
        [b"\x0b", message("1", "22").as_bytes(), b"\x1c\r\r\n\x0b", message("2", "23").as_bytes(), b"\x1c\r"].concat();
    wire.raw(&two);
    assert_eq!((wire.code(), wire.code()), (code("AA", "1"), code("AA", "2")));
    for piece in [b"\x0b", message("3", "22").as_bytes(), b"\x1c", b"\r"] {
        wire.raw(piece);
    }
    assert_eq!(wire.code(), code("AA", "3"));
    let taken = service.memory.taken.lock().clone();
    let first = taken.first().expect("a message");
    assert_eq!(
        (first.origin.source.as_str(), first.mrn.as_deref(), first.kind.as_str()),
        ("hl7:his", Some("22"), "ADT^A28")
    );
    assert!(first.text.contains("Nguyễn") && first.changes.as_ref().is_ok_and(|changes| changes.len() == 1));
    assert_eq!(service.memory.controls(), ["1", "2", "3"]);
    drop(wire);
    assert_eq!(service.stop(PATIENCE), 0);
}

#[test]
fn what_is_refused_is_answered_and_the_connection_goes_on() {
    let service = Service::start(Memory::default(), |_| {});
    let mut wire = service.connect();
    for (text, wanted) in [
        (message("1", ""), code("AE", "1")),
        (message("2", "22").replace("ADT^A28", "ADT^A99"), code("AR", "2")),
        (message("3", "22").replace("|HIS|", "|LIS|"), code("AR", "3")),
        (message("4", "22").replace("|HIS|", "|GONE|"), code("AR", "4")),
        ("PID|1||22".to_owned(), code("AR", "")),
        (message("6", "22").replace("2.5\r", "2.5|||AL|NE\r"), code("CA", "6")),
        (message("7", "22"), code("AA", "7")),
    ] {
        wire.send(&text);
        assert_eq!(wire.code(), wanted, "{text}");
    }
    // Of refused messages those of known senders are kept.
    assert_eq!(service.memory.controls(), ["1", "2", "6", "7"]);
    assert_eq!(*service.memory.rejected.lock(), ["2"], "what is answered AR is kept as such");
    // Nobody asked for an answer to this one: the next answer is of the one behind it.
    wire.send(&message("8", "22").replace("2.5\r", "2.5|||NE|NE\r"));
    wire.send(&message("9", "22"));
    assert_eq!(wire.code(), code("AA", "9"));
}

#[test]
fn a_keeper_that_takes_nothing_is_told_as_not_now() {
    let service = Service::start(Memory { closed: true, ..Memory::default() }, |_| {});
    let mut wire = service.connect();
    wire.send(&message("1", "22"));
    let answer = wire.answer().expect("an answer");
    assert!(answer.contains("MSA|AR|1|") && answer.contains("the journal is full"), "{answer}");
}

#[test]
fn garbage_and_broken_frames_end_the_connection() {
    let short = |options: &mut Options| options.frame_limit = Duration::from_millis(100);
    let service = Service::start(Memory::default(), short);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b"\x0bMSH|^~\\&|HIS\x1cX", b"\x0bMSH|^~\\&|HIS|"] {
        let mut wire = service.connect();
        wire.raw(bytes);
        assert_eq!(wire.code(), None, "{bytes:?}");
    }
    // A whole message first, then something else.
    let mut wire = service.connect();
    wire.raw(&[b"\x0b", message("1", "22").as_bytes(), b"\x1c\rX"].concat());
    assert_eq!((wire.code(), wire.code()), (code("AA", "1"), None));
    assert_eq!(service.memory.controls(), ["1"]);
}

#[test]
fn a_message_that_is_too_long_is_refused_before_it_is_read_and_listed() {
    let service = Service::start(Memory::default(), |options| options.message_bytes_max = 100_000);
    let mut wire = service.connect();
    let start = message("1", "22");
    wire.raw(&[b"\x0b", start.as_bytes()].concat());
    // A hundred times the limit, announced by nothing; it is answered whether the rest came or not.
    let sending = wire.0.try_clone().expect("a second handle");
    let sender = std::thread::spawn(move || {
        let (mut sending, piece) = (sending, vec![b'x'; 100_000]);
        let _ = (0..100).try_for_each(|_| sending.write_all(&piece));
        let _ = sending.shutdown(std::net::Shutdown::Write);
    });
    let answer = wire.answer().expect("an answer");
    assert!(answer.contains("MSA|AR|1|") && answer.contains("longer than 100000 bytes"), "{answer}");
    assert_eq!(wire.code(), None);
    sender.join().expect("no panic");
    // Its beginning is in the list, as rejected.
    assert_eq!(*service.memory.rejected.lock(), ["1"]);
    let taken = service.memory.taken.lock();
    let [listed] = taken.as_slice() else { panic!("{}", taken.len()) };
    assert_eq!((listed.kind.as_str(), listed.origin.source.as_str()), ("ADT^A28", "hl7:his"));
    assert!(listed.text.starts_with("MSH|") && listed.text.len() < 10_000);
    assert!(listed.changes.as_ref().is_err_and(|why| why.contains("longer than 100000 bytes")));
}

#[test]
fn connections_are_limited_for_each_address() {
    let service = Service::start(Memory::default(), |options| options.connections_per_address_max = 1);
    let mut first = service.connect();
    first.send(&message("1", "22"));
    assert_eq!(first.code(), code("AA", "1"));
    assert_eq!(service.connect().code(), None);
    first.send(&message("2", "22"));
    assert_eq!(first.code(), code("AA", "2"));
}

#[test]
fn messages_of_one_patient_keep_their_order_and_others_go_by() {
    let (memory, openers) = gated(&["1"]);
    let service = Service::start(memory, |_| {});
    let (mut one, mut two, mut three) = (service.connect(), service.connect(), service.connect());
    one.send(&message("1", "22"));
    while !service.memory.gates.lock().is_empty() {
        std::thread::yield_now();
    }
    two.send(&message("2", "22"));
    three.send(&message("3", "23"));
    assert_eq!(three.code(), code("AA", "3"));
    assert_eq!(service.memory.controls(), ["3"]);
    openers.iter().for_each(|open| open.send(()).expect("awaited"));
    assert_eq!((one.code(), two.code()), (code("AA", "1"), code("AA", "2")));
    assert_eq!(service.memory.controls(), ["3", "1", "2"]);
}

#[test]
fn a_stop_lets_what_began_end_and_begins_nothing() {
    let (memory, openers) = gated(&["1"]);
    let mut service = Service::start(memory, |_| {});
    let (mut busy, mut idle) = (service.connect(), service.connect());
    idle.send(&message("0", "21"));
    assert_eq!(idle.code(), code("AA", "0"));
    busy.send(&message("1", "22"));
    while !service.memory.gates.lock().is_empty() {
        std::thread::yield_now();
    }
    let listener = service.listener.take().expect("running");
    let stopping = service.runtime.spawn(async move { listener.shutdown(PATIENCE).await });
    assert_eq!(idle.code(), None, "nothing begins");
    openers.iter().for_each(|open| open.send(()).expect("awaited"));
    assert_eq!(busy.code(), code("AA", "1"));
    drop((busy, idle));
    assert_eq!(service.runtime.block_on(stopping).expect("no panic"), 0);
    assert!(TcpStream::connect(service.address).is_err());
}

#[test]
fn an_appointment_finds_its_order_by_the_fillers_number() {
    let fillers = HashMap::from([("AC1".to_owned(), "DC1".to_owned())]);
    let service = Service::start(Memory { fillers, ..Memory::default() }, |_| {});
    let siu = |control: &str, filler: &str| {
        let sch = format!("SCH|A1|B1{}{filler}", "|".repeat(25));
        format!("MSH|^~\\&|HIS|BV|||20261128||SIU^S13|{control}|P|2.5\r{sch}\rTQ1|1||||||202611290730\r")
    };
    let mut wire = service.connect();
    wire.send(&siu("1", "AC1"));
    wire.send(&siu("2", "AC9"));
    assert_eq!((wire.code(), wire.code()), (code("AA", "1"), code("AE", "2")));
    let taken = service.memory.taken.lock();
    let asked = taken.iter().map(|message| message.changes.clone()).collect::<Vec<_>>();
    let [Ok(found), Err(why)] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(matches!(found.as_slice(), [Change::Order(order)] if order.placer == "DC1"));
    assert!(why.starts_with("SCH-27:"), "{why}");
}

#[test]
fn a_sender_that_asks_for_it_is_told_the_numbers_of_its_orders_and_others_are_not() {
    let order = "placer = \"DC1\"\nmrn = \"22\"\naccession = \"K1\"\nstudy = \"2.25.7\"\nplaced = 1\n";
    let orders = HashMap::from([("DC1".to_owned(), toml::from_str(order).expect("an order"))]);
    let service = Service::start(Memory { orders, ..Memory::default() }, |_| {});
    let orm = |application: &str, control: &str| {
        format!(
            "MSH|^~\\&|{application}|BV|||20261128||ORM^O01|{control}|P|2.5\rPID|1||22\rORC|{}|DC1\rOBR|1|DC1\r",
            if control == "3" { "" } else { "NW" }
        )
    };
    let mut wire = service.connect();
    wire.send(&orm("HIS", "1"));
    let plain = wire.answer().expect("an answer");
    assert!(plain.contains("|ACK^O01^ACK|") && !plain.contains("ORC|"), "{plain}");
    wire.send(&orm("ASKS", "2"));
    let told = wire.answer().expect("an answer");
    assert!(told.contains("|ORR^O02^ORR_O02|") && told.contains("MSA|AA|2\rORC|OK|DC1|||SC\r"), "{told}");
    assert!(told.contains("|K1|") && told.contains("\rZDS|2.25.7^^Application^DICOM\r"), "{told}");
    // A refusal names no order, and messages about others are answered as ever.
    wire.send(&orm("ASKS", "3").replace("ORC||", "ORC|QQ|"));
    let refused = wire.answer().expect("an answer");
    assert!(refused.contains("MSA|AE|3|") && !refused.contains("ORC|"), "{refused}");
    wire.send(&message("4", "22").replace("|HIS|", "|ASKS|"));
    assert!(wire.answer().expect("an answer").contains("|ACK^A28^ACK|"));
}

#[test]
fn over_tls_a_sender_is_told_by_its_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let authority = testkit::certificates::Authority::new(folder.path(), "authority");
    let pair = |name: &str| {
        let files = authority.sign(name, testkit::certificates::Holds::Now);
        tls::Pair { certificate: files.certificate, key: files.key }
    };
    let files = tls::ServerFiles {
        used_for: "hl7",
        own: pair("khoanh"),
        peers: tls::Peers::Required,
        authorities: Some(authority.file.clone()),
        revoked: None,
        protocols: Vec::new(),
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let port = crate::TlsPort { listen, server: tls::Server::new(files), handshake_limit: PATIENCE };
    let service = Service::start(Memory::default(), |options| {
        options.listen = None;
        options.tls = Some(port);
    });
    let client = tls::Client::new(tls::ClientFiles {
        used_for: "hl7-test",
        own: Some(pair("his")),
        authorities: Some(authority.file.clone()),
        revoked: None,
    });
    let tcp = TcpStream::connect(service.address).expect("connected");
    let mut through = tcp.try_clone().expect("a second handle");
    let stream = client.connect("localhost", &tls::Expected::default(), tcp, &mut through).expect("a TLS connection");
    let mut wire = Wire(stream);
    wire.send(&message("1", "22"));
    assert_eq!(wire.code(), code("AA", "1"));
    assert_eq!(
        service.memory.taken.lock().first().map(|taken| taken.origin.source.clone()).as_deref(),
        Some("hl7:shown")
    );
}
