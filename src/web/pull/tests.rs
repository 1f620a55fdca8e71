//! Against services that do not keep the rules.

use super::*;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Answers each request with the next of these texts; one that is empty says nothing until the caller has gone.
struct False {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl False {
    fn answering(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().expect("a caller");
                let mut reader = BufReader::new(&stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).expect("readable") > 0 {}
                heard.lock().expect("unpoisoned").push(head);
                match answer.is_empty() {
                    true => drop(reader.read(&mut [0])),
                    false => (&stream).write_all(answer.as_bytes()).expect("sent"),
                }
            }
        });
        Self { address, asked, thread: Some(thread) }
    }

    fn service(&self) -> Service {
        let short = Duration::from_millis(300);
        let root = Root { url: format!("http://{}/dicom-web/", self.address), token_file: None, authorities: None };
        Service::new(root, PullLimits { connect: short, answer: short }).expect("a service")
    }

    /// What it was asked, when it has answered everything.
    fn end(mut self) -> Vec<String> {
        self.thread.take().expect("once").join().expect("ends");
        std::mem::take(&mut *self.asked.lock().expect("unpoisoned"))
    }
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn list(uids: &[&str]) -> String {
    let row = |uid: &&str| format!("{{\"0020000D\":{{\"vr\":\"UI\",\"Value\":[\"{uid}\"]}}}}");
    answer("200 OK", "application/dicom+json", &format!("[{}]", uids.iter().map(row).collect::<Vec<_>>().join(",")))
}

/// Writes down what comes.
#[derive(Default)]
struct Heard(Vec<String>);

impl Taker for Heard {
    fn begin(&mut self, transfer_syntax: Option<Uid>) {
        self.0.push(format!("begin {}: ", transfer_syntax.map_or(String::new(), |uid| uid.to_string())));
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.last_mut().expect("begun").push_str(&String::from_utf8_lossy(bytes));
    }
    fn finish(&mut self) {
        self.0.push("end".into());
    }
    fn abandon(&mut self) {
        self.0.push("abandoned".into());
    }
    fn refuse(&mut self, _: String) {
        self.0.push("refused".into());
    }
}

fn studies(service: &False) -> Result<Vec<String>, PullError> {
    let mut found = Vec::new();
    service.service().studies("20200101-20200131", &mut |uid, _| found.push(uid.to_owned())).map(|()| found)
}

#[test]
fn pages_are_asked_until_nothing_new_comes() {
    let pages = vec![list(&["1.2", "1.3"]), list(&["1.3", "1.4"]), answer("204 No Content", "text/plain", "")];
    let service = False::answering(pages);
    assert_eq!(studies(&service).expect("a list"), ["1.2", "1.3", "1.4"]);
    let asked = service.end();
    let targets: Vec<&str> = asked.iter().filter_map(|head| head.split(' ').nth(1)).collect();
    let query = "/dicom-web/studies?includefield=00201208&StudyDate=20200101-20200131&limit=500";
    assert_eq!(targets, [0, 2, 4].map(|offset| format!("{query}&offset={offset}")));
    // One that does not know an offset gives the same page for ever.
    let service = False::answering(vec![list(&["1.2"]), list(&["1.2"])]);
    assert_eq!(studies(&service).expect("a list"), ["1.2"]);
}

#[test]
fn a_list_that_is_no_list_is_an_error_and_says_whether_to_try_again() {
    let asked = |text: String| studies(&False::answering(vec![text])).expect_err("no list");
    let html = asked(answer("200 OK", "text/html", "<html>Log in</html>"));
    assert!(matches!(&html, PullError::Answer(_)) && !html.is_passing(), "{html}");
    assert!(matches!(asked(answer("200 OK", "application/dicom+json", "{}")), PullError::Answer(_)));
    assert!(asked(answer("500 Oops", "text/plain", "")).is_passing());
    assert!(!asked(answer("404 Not Found", "text/plain", "")).is_passing());
    assert!(!asked(answer("302 Found", "text/plain", "")).is_passing());
    assert_eq!(asked(String::new()), PullError::TooSlow);
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n[".to_owned();
    assert!(matches!(asked(cut), PullError::Lost(_)));
}

fn retrieved(text: String) -> (Result<u64, PullError>, Vec<String>) {
    let service = False::answering(vec![text]);
    let mut heard = Heard::default();
    let ended = service.service().retrieve(&Uid::parse("1.2.3").expect("uid"), &mut heard);
    let head = service.end().remove(0).to_ascii_lowercase();
    assert!(head.starts_with("get /dicom-web/studies/1.2.3 "), "{head}");
    assert!(head.contains("accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*"), "{head}");
    (ended, heard.0)
}

#[test]
fn objects_come_part_by_part_and_what_is_no_object_is_refused() {
    let kind = "multipart/related; type=\"application/dicom\"; boundary=\"x\"";
    let named = "Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50\r\n\r\n";
    let body = format!("--x\r\n{named}one\r\n--x\r\nContent-Type: text/html\r\n\r\ntwo\r\n--x\r\n{named}\r\n--x--\r\n");
    let (ended, heard) = retrieved(answer("200 OK", kind, &body));
    assert_eq!(ended, Ok(3));
    let begin = |text: &str| format!("begin 1.2.840.10008.1.2.4.50: {text}");
    assert_eq!(heard, [begin("one"), "end".into(), "refused".into(), begin(""), "end".into()]);
    // Cut in the middle of the second part.
    let cut = format!("--x\r\n{named}one\r\n--x\r\n{named}tw");
    let (ended, heard) = retrieved(answer("200 OK", kind, &cut));
    assert!(ended.expect_err("not whole").is_passing());
    assert_eq!(heard.len(), 4);
    assert_eq!(heard.last().map(String::as_str), Some("abandoned"));
}

#[test]
fn an_answer_of_another_kind_brings_nothing() {
    for kind in
        ["application/dicom", "multipart/related; type=\"application/dicom+json\"; boundary=x", "multipart/related", ""]
    {
        let (ended, heard) = retrieved(answer("200 OK", kind, "--x--"));
        assert!(matches!(&ended, Err(error @ PullError::Answer(_)) if !error.is_passing()), "{kind}: {ended:?}");
        assert!(heard.is_empty());
    }
    assert_eq!(retrieved(answer("406 No", "text/plain", "")).0, Err(PullError::Status(406)));
}

#[test]
fn a_root_is_a_url_and_its_files_must_be_there() {
    let service = |url: &str, file: Option<&str>| {
        let file = file.map(PathBuf::from);
        let root = Root { url: url.into(), token_file: None, authorities: file };
        Service::new(root, PullLimits { connect: Duration::from_secs(1), answer: Duration::from_secs(1) })
    };
    assert!(service("https://pacs.example.vn/dicom-web", None).is_ok());
    for wrong in ["", "ftp://x", "https://", "https://me:secret@x/", "http://x/?a=b", "http://x y/"] {
        assert!(matches!(service(wrong, None), Err(PullError::Setup(_))), "{wrong}");
    }
    assert!(matches!(service("https://x/", Some("/nowhere.pem")), Err(PullError::Setup(_))));
}
