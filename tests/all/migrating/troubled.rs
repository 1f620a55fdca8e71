//! Bad days of a migration: what the report says is true, and what can be mended is complete afterwards.

use super::{By, Other, dcmqrscp_that_knows, free, held, migration, send};
use crate::forwarding::until;
use crate::roundtrip::{KHOANH, start};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use testkit::certificates::{Authority, Holds};
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

/// Tries little and does not wait.
const ONCE: [&str; 4] = ["--attempts", "2", "--retry-seconds", "0"];
const DATES: [&str; 6] = ["--since", "2015-01-01", "--until", "2026-12-31", "--window-days", "60"];

fn studies(count: u64, instances: u32) -> Vec<Vec<Object>> {
    (0..count).map(|number| Study::draw(96, number, Kind::Tiny, instances).objects().collect()).collect()
}

/// The answer and how the command ended.
fn answer(output: &Output) -> (Value, Option<i32>) {
    let answer = serde_json::from_slice(&output.stdout);
    (answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))), output.status.code())
}

fn run(mut command: Command) -> (Value, Option<i32>) {
    answer(&command.output().expect("runs"))
}

fn number(answer: &Value, name: &str) -> u64 {
    answer.pointer(&format!("/report/{name}")).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} in {answer}"))
}

/// Found, moved, equal, missing, refused.
fn counts(answer: &Value) -> [u64; 5] {
    ["found", "moved", "equal", "missing", "refused"].map(|name| number(answer, name))
}

#[test]
fn a_move_that_is_refused_leaves_everything_missing_until_it_is_not() {
    let (peer, _peer) = start();
    let (server, _folder) = start();
    let objects = studies(3, 2).concat();
    send(&peer.dicom.to_string(), "KHOANH", &objects);
    let from = format!("KHOANH@{}", peer.dicom);
    let moved = |more: &[&str]| run(migration(&server, &from, &[&ONCE[..], &["--by", "move"], more].concat()));
    let (told, code) = moved(&[]);
    assert_eq!((counts(&told), code), ([6, 0, 0, 6, 0], Some(3)), "{told}");
    assert!(told.pointer("/reasons").expect("reasons").to_string().contains("A801"), "{told}");
    let troubled = told.pointer("/troubled").and_then(Value::as_str).expect("a file");
    let rows = std::fs::read_to_string(troubled).expect("there");
    assert!(objects.iter().all(|object| rows.contains(&object.sop_instance)), "{rows}");
    // Now it is known; one object is here before.
    let added = peer.command(&["destinations", "add", "KHOANH", &server.dicom.to_string(), "--any"]).expect("runs");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    send(&server.dicom.to_string(), "KHOANH", &objects[..1]);
    let (told, code) = moved(&[]);
    assert_eq!((counts(&told), code), ([6, 5, 1, 0, 0], Some(0)), "{told}");
    assert_eq!(held(&server), 6);
    // Whom we say we are must be ours, and what comes must be for the facility.
    for (wrong, why) in
        [(["--to", "NOBODY"], "no AE title of this archive"), (["--facility", "56001"], "not registered")]
    {
        let mut command = Command::new(KHOANH);
        let facility = if wrong[0] == "--facility" { [].as_slice() } else { &["--facility", "DEMO0"] };
        command.args(["migrate", "--from", &from, "--by", "move"]).args(facility).args(wrong);
        let output = command.arg("--data").arg(server.data()).output().expect("runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let data = server.data().to_owned();
    server.kill().expect("killed");
    let output = testkit::server::command(
        Path::new(KHOANH),
        &data,
        &["migrate", "--from", &from, "--by", "move", "--facility", "DEMO0"],
    );
    let output = output.expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("start it first"), "{:?}: {said}", output.status.code());
}

#[test]
fn what_is_here_with_other_bytes_is_a_conflict_by_get_and_by_move() {
    let ours = free();
    let other: Other = dcmqrscp_that_knows(ours);
    let objects = studies(2, 2).concat();
    send(&other.address.to_string(), other.title, &objects);
    for by in [By::Get, By::Move] {
        let folder = tempfile::tempdir().expect("folder");
        let server = Server::start_at(Path::new(KHOANH), &folder.path().join("data"), ours, &[]).expect("starts");
        let mut changed = objects[0].clone();
        let last = changed.file.last_mut().expect("bytes");
        *last ^= 1;
        send(&server.dicom.to_string(), "KHOANH", &[changed]);
        let (told, code) = run(super::migrating(&server, &other, by, &[]));
        assert_eq!((counts(&told), number(&told, "conflicts"), code), ([4, 3, 0, 0, 0], 1, Some(0)), "{by:?} {told}");
    }
}

#[test]
fn an_archive_that_dies_midway_is_reported_and_copied_whole_when_it_is_back() {
    let folder = tempfile::tempdir().expect("folder");
    let at = free();
    let begin = || Server::start_at(Path::new(KHOANH), &folder.path().join("peer"), at, &[]).expect("starts");
    let peer = begin();
    let (server, _folder) = start();
    let objects = studies(40, 2).concat();
    send(&at.to_string(), "KHOANH", &objects);
    let from = format!("KHOANH@{at}");
    let slow = migration(&server, &from, &[&ONCE[..], &DATES, &["--rate", "100KiB"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    until("a part is here", || held(&server) >= 20);
    peer.kill().expect("killed");
    let (told, code) = answer(&slow.wait_with_output().expect("ends"));
    let (windows, not_done) = (number(&told, "windows"), number(&told, "windows_not_done"));
    assert!(not_done >= 3 && not_done < windows && code == Some(3), "{code:?} {told}");
    assert!(told.pointer("/not_done").expect("named").to_string().contains("no connection"), "{told}");
    let [found, moved, _, missing, refused] = counts(&told);
    assert_eq!((moved + missing, refused, held(&server)), (found, 0, moved), "{told}");
    let peer = begin();
    let (told, code) = run(migration(&server, &from, &DATES));
    let [found, moved, equal, missing, refused] = counts(&told);
    assert_eq!((found, moved + equal, missing, refused, code), (80, 80, 0, 0, Some(0)), "{told}");
    assert!(number(&told, "finished_earlier") > 0, "{told}");
    assert_eq!((number(&told, "windows_not_done"), held(&server)), (0, 80));
    // A study that has grown since is not finished any more.
    let more: Vec<Object> = Study::draw(96, 0, Kind::Tiny, 3).objects().collect();
    send(&at.to_string(), "KHOANH", &more);
    let (told, _) = run(migration(&server, &from, &DATES));
    assert_eq!((number(&told, "found"), number(&told, "finished_earlier"), held(&server)), (81, 39, 81), "{told}");
    drop(peer);
    let (told, code) = run(migration(&server, &from, &[&ONCE[..], &DATES].concat()));
    assert_eq!(
        (number(&told, "windows_not_done"), code),
        (number(&told, "windows"), Some(1)),
        "nobody is there: {told}"
    );
}

/// What a false service says to a request: status, content type and body; none says nothing.
type Say = Option<(&'static str, String, Vec<u8>)>;

/// A DICOMweb service that says what it is told to, by the beginning of the path.
struct False {
    address: SocketAddr,
    says: Arc<Mutex<BTreeMap<String, Say>>>,
}

impl False {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address");
        let says: Arc<Mutex<BTreeMap<String, Say>>> = Arc::default();
        let told = Arc::clone(&says);
        // Ends with the process: the listener is never closed.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                std::thread::spawn(move || serve(&stream, &told));
            }
        });
        Self { address, says }
    }

    fn say(&self, path: &str, status: &'static str, kind: &str, body: impl Into<Vec<u8>>) {
        let say = Some((status, kind.to_owned(), body.into()));
        self.says.lock().expect("unpoisoned").insert(path.to_owned(), say);
    }

    fn is_silent(&self, path: &str) {
        self.says.lock().expect("unpoisoned").insert(path.to_owned(), None);
    }

    /// Tells and gives these studies as a service should.
    fn has(&self, studies: &[Vec<Object>]) {
        let mut rows = Vec::new();
        for objects in studies {
            let study = &objects[0].study;
            rows.push(format!("{{\"0020000D\":{{\"vr\":\"UI\",\"Value\":[\"{study}\"]}}}}"));
            let instances: Vec<String> = objects.iter().map(row).collect();
            self.say(&format!("/studies/{study}/instances?"), "200 OK", JSON, format!("[{}]", instances.join(",")));
            self.say(&format!("/studies/{study}"), "200 OK", PARTS, parts(objects));
        }
        self.say("/studies?", "200 OK", JSON, format!("[{}]", rows.join(",")));
    }
}

const JSON: &str = "application/dicom+json";
const PARTS: &str = "multipart/related; type=\"application/dicom\"; boundary=x";

fn row(object: &Object) -> String {
    let element = |tag: &str, uid: &str| format!("\"{tag}\":{{\"vr\":\"UI\",\"Value\":[\"{uid}\"]}}");
    format!("{{{},{}}}", element("00080018", &object.sop_instance), element("00080016", &object.sop_class))
}

fn parts(objects: &[Object]) -> Vec<u8> {
    let mut body = Vec::new();
    for object in objects {
        body.extend_from_slice(b"\r\n--x\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(&object.file);
    }
    body.extend_from_slice(b"\r\n--x--\r\n");
    body
}

/// Serves one request; the second page of a list is always empty.
fn serve(stream: &TcpStream, told: &Mutex<BTreeMap<String, Say>>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let target = head.split(' ').nth(1).unwrap_or_default().trim_start_matches("/dicom-web").to_owned();
    let empty = target.contains("offset=") && !target.contains("offset=0");
    let found = told
        .lock()
        .expect("unpoisoned")
        .iter()
        .rev()
        .find(|(path, _)| target.starts_with(*path))
        .map(|(_, say)| say.clone());
    let say = if empty { Some(Some(("204 No Content", JSON.to_owned(), Vec::new()))) } else { found };
    match say.unwrap_or_else(|| Some(("404 Not Found", "text/plain".into(), Vec::new()))) {
        None => drop(reader.read(&mut [0])),
        Some((status, kind, body)) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let mut writer = stream;
            let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body));
        }
    }
}

#[test]
fn a_web_service_that_gives_wrong_answers_is_reported_as_it_is() {
    let (server, _folder) = start();
    let service = False::start();
    let from = format!("http://{}/dicom-web", service.address);
    let migrate = |more: &[&str]| run(migration(&server, &from, &[&ONCE[..], more].concat()));
    let reasons = |told: &Value| told.pointer("/reasons").expect("reasons").to_string();
    let (told, code) = migrate(&[]);
    assert_eq!((number(&told, "windows_not_done"), code), (1, Some(1)), "404 for the list: {told}");
    let all = studies(5, 2);
    service.has(&all);
    let path = |study: usize| format!("/studies/{}", all[study][0].study);
    // An object of another study, a failure, nothing at all, a page for people, and one object too few, cut in the middle.
    service.say(&path(0), "200 OK", PARTS, parts(&[all[0].clone(), all[4][..1].to_vec()].concat()));
    service.say(&path(1), "500 Oops", "text/plain", "");
    service.is_silent(&path(2));
    service.say(&path(3), "200 OK", "text/html", "<html>Log in</html>");
    let mut cut = parts(&all[4]);
    cut.truncate(cut.len() - 200);
    service.say(&path(4), "200 OK", PARTS, cut);
    let (told, code) = migrate(&["--within", "1"]);
    // The foreign one was told of elsewhere, and counts as found here too.
    assert_eq!((counts(&told), code), ([11, 3, 0, 7, 1], Some(3)), "{told}");
    for why in ["not what was announced", "answers 500", "in time", "text/html", "closing boundary"] {
        assert!(reasons(&told).contains(why), "{why} in {told}");
    }
    assert_eq!(held(&server), 3);
    // Objects that are not told of, for one study; the list of another is broken.
    service.say(&format!("{}/instances?", path(1)), "400 No", "text/plain", "");
    service.has(&all[2..]);
    let rows = all.iter().map(|objects| format!("{{\"0020000D\":{{\"Value\":[\"{}\"]}}}}", objects[0].study));
    service.say("/studies?", "200 OK", JSON, format!("[{}]", rows.collect::<Vec<_>>().join(",")));
    let (told, code) = migrate(&[]);
    assert_eq!((number(&told, "studies_not_done"), number(&told, "windows_not_done"), code), (1, 0, Some(3)), "{told}");
    service.has(&all);
    let (told, code) = migrate(&[]);
    assert_eq!(
        (number(&told, "found"), number(&told, "missing"), number(&told, "refused"), code),
        (10, 0, 0, Some(0)),
        "{told}"
    );
    assert_eq!(held(&server), 10);
}

#[test]
fn both_ways_go_over_tls_to_whom_is_believed_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let (province, other) = (Authority::new(folder.path(), "province"), Authority::new(folder.path(), "other"));
    let (own, ours) = (province.sign("peer", Holds::Now), province.sign("KHOANH", Holds::Now));
    let config = folder.path().join("khoanh.toml");
    let text = format!(
        "[dicom.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\nauthorities = {:?}\n[http]\ncertificate = {:?}\nkey = {:?}\n",
        own.certificate, own.key, province.file, own.certificate, own.key
    );
    std::fs::write(&config, text).expect("written");
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let arguments = ["--config", &path(&config)];
    let peer = Server::start(Path::new(KHOANH), &folder.path().join("peer"), &arguments).expect("starts");
    let objects = studies(3, 2).concat();
    send(&peer.dicom.to_string(), "KHOANH", &objects);
    let tls = format!("KHOANH@{}", peer.dicom_tls.expect("a TLS port"));
    let web = format!("https://localhost:{}/dicom-web", peer.http.port());
    let believe = |authority: &Authority| {
        let pair = ["--tls-certificate", &path(&ours.certificate), "--tls-key", &path(&ours.key)].map(str::to_owned);
        let dicom = [&["--tls".to_owned(), "--tls-authorities".to_owned(), path(&authority.file)][..], &pair].concat();
        [(tls.clone(), dicom), (web.clone(), vec!["--authorities".to_owned(), path(&authority.file)])]
    };
    for (from, flags) in believe(&other) {
        let (server, _folder) = start();
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(ONCE).collect();
        let (told, code) = run(migration(&server, &from, &flags));
        assert_eq!((number(&told, "windows_not_done"), held(&server), code), (1, 0, Some(1)), "{told}");
        assert!(told.pointer("/not_done").expect("named").to_string().contains("ertificate"), "{told}");
    }
    for (from, flags) in believe(&province) {
        let (server, _folder) = start();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let (told, code) = run(migration(&server, &from, &flags));
        assert_eq!((counts(&told), code, held(&server)), ([6, 6, 0, 0, 0], Some(0), 6), "{from}: {told}");
    }
}
