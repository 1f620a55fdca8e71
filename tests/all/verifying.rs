//! The program asks an external verifier of personal identification numbers, a translator on this machine: what comes by
//! HL7 and REST is asked about and shown, and while the verifier is down questions wait, also over a kill.

use crate::forwarding::until;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::http::Client;
use testkit::mllp::Sender;
use testkit::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE: &str = "[[source]]\nname = \"his\"\nfacility = \"DEMO0\"\naddresses = [\"127.0.0.1\"]\n";

/// A verifier: while it is down it hangs up on everybody.
struct Desk {
    address: SocketAddr,
    is_up: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Desk {
    fn open(up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_up, asked) = (Arc::new(AtomicBool::new(up)), Arc::<Mutex<Vec<Value>>>::default());
        let desk = Self { address, is_up: Arc::clone(&is_up), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten().filter(|_| is_up.load(Ordering::SeqCst)) {
                answer(stream, &asked);
            }
        });
        desk
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// Answers one question, and notes it before.
fn answer(stream: TcpStream, asked: &Mutex<Vec<Value>>) {
    let (mut stream, mut length, mut line) = (BufReader::new(stream), 0, String::new());
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("a line");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    let question: Value = serde_json::from_slice(&body).expect("JSON");
    let is_known = question["number"] != "056078000002";
    asked.lock().expect("no panic").push(question);
    let says = if is_known { json!({"result": "verified"}) } else { json!({"result": "differs", "fields": ["birth"]}) };
    let says = says.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", says.len());
    stream.get_mut().write_all((head + &says).as_bytes()).expect("answered");
}

fn start(folder: &Path, desk: &Desk) -> Server {
    let (config, sources) = (folder.join("khoanh.toml"), folder.join("hl7-sources.toml"));
    std::fs::write(&sources, SOURCE).expect("written");
    let text = format!(
        "[hl7]\nsources = {sources:?}\n\n[verifier]\nurl = \"http://{}/verify\"\nrate = 1000\npause = \"10ms\"\n\
         pause_max = \"50ms\"\n",
        desk.address
    );
    std::fs::write(&config, text).expect("written");
    let arguments = ["--config", &config.to_string_lossy(), "--hl7", "127.0.0.1:0"];
    Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &folder.join("data"), &arguments).expect("it starts")
}

fn get(server: &Server, target: &str) -> Value {
    let answer = Client::new(server.http, PATIENCE).get(target, "").expect("answered");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// What `khoanh persons verify` says.
fn says(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(&[&["persons", "verify"], arguments].concat()).expect("the command runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A patient by HL7.
fn by_hl7(server: &Server, mrn: &str) {
    let pid = format!("PID|1||{mrn}^^^BV^MR||Nguyễn^An^Văn||1978|M{}05607800000{mrn}", "|".repeat(11));
    let message = format!("MSH|^~\\&|HIS|BV|||20261128||ADT^A28|{mrn}|P|2.5||||||UNICODE UTF-8\r{pid}\r");
    let mut sender = Sender::connect(server.hl7.expect("an address for HL7"), PATIENCE).expect("connected");
    assert_eq!(sender.send(&message).expect("answered"), "AA");
}

/// A patient by REST.
fn by_rest(server: &Server, mrn: &str) {
    let national = format!("05607800000{mrn}");
    let patient = json!({"mrn": mrn, "name": "Lê Thị Bình", "birth": "1978", "national": national});
    let order = json!({"placer": format!("P{mrn}"), "patient": patient}).to_string();
    let headers = "Content-Type: application/json\r\n";
    let answer = Client::new(server.http, PATIENCE).request("POST", "/api/orders", headers, &[order.as_bytes()]);
    let answer = answer.expect("answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn verifier(server: &Server) -> Value {
    get(server, "/api/persons/verifications")["verifier"].clone()
}

#[test]
fn the_program_asks_its_verifier_and_shows_what_it_says() {
    let (folder, desk) = (tempfile::tempdir().expect("folder"), Desk::open(true));
    let server = start(folder.path(), &desk);
    by_hl7(&server, "1");
    by_rest(&server, "2");
    until("both are asked about", || verifier(&server)["waiting"] == 0);
    assert!(says(&server, &["--state", "verified"]).contains("DEMO0/1  verified\n"));
    let told = says(&server, &["--state", "differs"]);
    assert!(told.starts_with("the verifier answers\n0 wait") && told.contains("DEMO0/2  differs  birth\n"), "{told}");
    assert_eq!(get(&server, "/api/patients/1")["verification"]["state"], "verified");
    assert_eq!(get(&server, "/api/patients/2")["verification"]["differs"], json!(["birth"]));
    let mut asked = desk.asked();
    asked.sort_by_key(|question| question["number"].to_string());
    let [one, two] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((&one["number"], &one["birth"], &one["sex"]), (&json!("056078000001"), &json!("1978"), &json!("male")));
    assert_eq!((&two["number"], &two["name"]), (&json!("056078000002"), &json!("Lê Thị Bình")));
    assert!(server.stop(PATIENCE).expect("it stops").success());
}

#[test]
fn while_its_verifier_is_down_questions_wait_and_then_each_is_asked_once() {
    let (folder, desk) = (tempfile::tempdir().expect("folder"), Desk::open(false));
    let server = start(folder.path(), &desk);
    by_hl7(&server, "1");
    by_rest(&server, "3");
    by_rest(&server, "4");
    until("it was asked in vain", || verifier(&server)["answers"] == false);
    assert_eq!(verifier(&server)["waiting"], 3);
    let told = says(&server, &[]);
    assert!(told.starts_with("the verifier gives no answer: ") && told.contains("\n3 wait"), "{told}");
    server.kill().expect("killed");
    let server = start(folder.path(), &desk);
    assert_eq!(verifier(&server)["waiting"], 3, "a kill loses no question");
    until("it was asked in vain again", || verifier(&server)["answers"] == false);
    assert!(desk.asked().is_empty());
    desk.is_up.store(true, Ordering::SeqCst);
    until("nothing waits", || verifier(&server)["waiting"] == 0);
    assert_eq!(verifier(&server)["answers"], true);
    let there = get(&server, "/api/persons/verifications?state=verified");
    assert_eq!(there["verifications"].as_array().map(Vec::len), Some(3), "{there}");
    let mut numbers: Vec<String> = desk.asked().iter().map(|question| question["number"].to_string()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "3", "4"].map(|mrn| format!("\"05607800000{mrn}\"")), "each once");
    assert!(server.stop(PATIENCE).expect("it stops").success());
}
