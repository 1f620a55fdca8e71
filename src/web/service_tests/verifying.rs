//! A verifier of a test over mutual TLS: asked about what is new, away, slow, talking nonsense, or somebody else.

use super::outbox::{PATIENCE, until};
use super::*;
use crate::verifier::{Verifier, VerifierPlace};
use archive::charts::inquiries::VerifierOptions;
use archive::charts::inquiries::dispatch::{Heard, Inquirer, Verifier as _};
use model::Caller;
use model::chart::inquiry::Said;
use model::chart::{BirthDate, Question, Sex};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use testkit::certificates::{Authority, Holds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

/// What the verifier does with a question.
#[derive(Debug, Clone)]
enum Does {
    /// Hangs up before it listens.
    HangsUp,
    /// Never answers.
    Nothing,
    /// Answers with a status and a body.
    Says(u16, String),
}

/// A verifier that knows the archive by a certificate of its authority.
struct Desk {
    address: SocketAddr,
    authority: Authority,
    asked: Mutex<Vec<(String, Value)>>,
    does: Box<dyn Fn(&str) -> Does + Send + Sync>,
}

impl Desk {
    async fn open(folder: &Path, does: impl Fn(&str) -> Does + Send + Sync + 'static) -> Arc<Self> {
        let authority = Authority::new(folder, "registry");
        let files = authority.sign("verifier", Holds::Now);
        let server = tls::Server::new(tls::ServerFiles {
            used_for: "verifier",
            own: tls::Pair { certificate: files.certificate, key: files.key },
            peers: tls::Peers::Required,
            authorities: Some(authority.file.clone()),
            revoked: None,
            protocols: Vec::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let desk = Arc::new(Self { address, authority, asked: Mutex::default(), does: Box::new(does) });
        let serving = Arc::clone(&desk);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (serving, acceptor) = (Arc::clone(&serving), server.acceptor().expect("files"));
                tokio::spawn(async move { serving.serve(tcp, acceptor).await });
            }
        });
        desk
    }

    async fn serve(&self, tcp: TcpStream, acceptor: tokio_rustls::TlsAcceptor) {
        if matches!((self.does)(""), Does::HangsUp) {
            return;
        }
        let Ok(mut stream) = acceptor.accept(tcp).await else { return };
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let Ok(byte) = stream.read_u8().await else { return };
            bytes.push(byte);
            if !bytes.ends_with(b"\r\n\r\n") {
                continue;
            }
            let head = String::from_utf8(bytes).expect("text").to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let mut body = vec![0; length.trim().parse().expect("a number")];
            stream.read_exact(&mut body).await.expect("a body");
            break (head, serde_json::from_slice::<Value>(&body).expect("JSON"));
        };
        let does = (self.does)(body["name"].as_str().expect("a name"));
        self.asked.lock().push((head, body));
        match does {
            Does::HangsUp => {}
            Does::Nothing => std::future::pending().await,
            Does::Says(status, text) => {
                let length = text.len();
                let answer =
                    format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    }

    /// How an archive calls it whose certificate is signed by an authority, and that trusts another.
    fn place(&self, signed_by: &Authority, trusted: &Authority, answer: Duration) -> VerifierPlace {
        let own = signed_by.sign("khoanh", Holds::Now);
        VerifierPlace {
            url: format!("https://{}/verify", self.address),
            own: Some((own.certificate, own.key)),
            authorities: Some(trusted.file.clone()),
            connect: PATIENCE,
            answer,
        }
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(Handle::current(), self.place(&self.authority, &self.authority, PATIENCE)).expect("usable files")
    }
}

fn says(result: &str) -> Does {
    Does::Says(200, json!({ "result": result }).to_string())
}

fn question() -> Question {
    let birth = BirthDate::parse("1978-03-05").ok();
    Question { number: "056078000001".into(), name: "Nguyễn Văn An".into(), birth, sex: Sex::Male }
}

async fn ask(verifier: &Arc<Verifier>) -> Heard {
    let asking = Arc::clone(verifier);
    tokio::task::spawn_blocking(move || asking.ask("7", &question())).await.expect("no panic")
}

fn options(folder: &Path) -> archive::Options {
    let mut options = archive::Options::new(folder.join("data"));
    options.segment_bytes = 16 << 20;
    options.reserve_bytes = 1 << 20;
    options.charts.verifier = Some(VerifierOptions {
        by: "127.0.0.1".into(),
        rate: 1_000,
        attempts: 2,
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(5),
    });
    options
}

fn service(folder: tempfile::TempDir) -> Service {
    let end = std::time::Instant::now() + PATIENCE;
    // Threads of one that was just dropped may hold the directory for a moment more.
    let archive = loop {
        match Archive::open(options(folder.path())) {
            Ok(archive) => break archive,
            Err(error) => assert!(std::time::Instant::now() < end, "never opens: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let router = router(App::new(Arc::clone(&archive), Options::default(), Tokens::open()));
    Service { router, archive, _folder: folder }
}

impl Service {
    /// Says a patient; numbers differ in their last digit.
    async fn patient(&self, mrn: &str, name: &str) {
        let patient = json!({ "mrn": mrn, "name": name, "birth": "1978", "national": format!("05607800000{mrn}") });
        self.says("/api/orders", json!({ "placer": format!("P{mrn}"), "patient": patient })).await;
    }

    fn waiting(&self) -> usize {
        self.archive.charts().verifier(&Caller::operator()).waiting
    }
}

async fn end(inquirer: Inquirer) {
    let ended = tokio::task::spawn_blocking(move || inquirer.shutdown(PATIENCE)).await;
    assert!(ended.expect("no panic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_is_asked_about_what_is_new_and_what_it_says_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(folder.path(), |name| match name {
        "Lê Thị Bình" => Does::Says(200, json!({ "result": "differs", "fields": ["birth", "name"] }).to_string()),
        "Trần Văn Cường" => Does::Says(200, "<html>Trần Văn Cường</html>".into()),
        _ => says("verified"),
    })
    .await;
    let service = service(folder);
    for (mrn, name) in [("1", "Nguyễn Văn An"), ("2", "Lê Thị Bình"), ("3", "Trần Văn Cường")] {
        service.patient(mrn, name).await;
    }
    let inquirer = Inquirer::start(&service.archive, Box::new(desk.verifier())).expect("started");
    until("all is asked", || service.waiting() == 0).await;
    end(inquirer).await;
    let of = |mrn: &str| format!("/api/persons/patients/{mrn}");
    let shown = service.asks(&of("1")).await;
    assert_eq!(shown["patients"][0]["verification"]["state"], "verified", "{shown}");
    let shown = service.asks("/api/patients/2").await;
    assert_eq!(shown["verification"]["differs"], json!(["name", "birth"]), "{shown}");
    assert!(shown["verification"]["warning"].as_str().expect("a warning").contains("birth date"), "{shown}");
    let shown = service.asks("/api/persons/proposals?state=conflict").await;
    let [entry] = shown["proposals"].as_array().expect("a list").as_slice() else { panic!("{shown}") };
    assert_eq!((entry["patients"].as_array().map(Vec::len), &entry["patients"][0]["mrn"]), (Some(1), &json!("2")));
    let shown = service.asks("/api/persons/verifications?state=failed").await;
    let given_up = &shown["verifications"][0];
    assert_eq!((&given_up["mrn"], &given_up["facility"]), (&json!("3"), &json!("DEMO0")), "{shown}");
    assert!(given_up["error"].as_str().is_some_and(|why| why.contains("understood") && !why.contains("Trần")));
    assert_eq!(shown["verifier"]["failed"], 1, "{shown}");
    let asked = desk.asked.lock().clone();
    let (head, body) = asked.iter().find(|(_, body)| body["name"] == "Nguyễn Văn An").expect("asked");
    assert!(head.starts_with("post /verify http/1.1\r\n") && !head.contains("056078000001"), "{head}");
    assert_eq!(
        (&body["version"], &body["number"], &body["birth"]),
        (&json!(1), &json!("056078000001"), &json!("1978"))
    );
    assert_eq!(asked.len(), 4, "rubbish is asked for twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_verifier_is_away_all_goes_on_and_what_waits_survives_a_kill() {
    let (folder, certificates) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let desk = Desk::open(certificates.path(), move |_| {
        if is_up.load(std::sync::atomic::Ordering::SeqCst) { says("not-found") } else { Does::HangsUp }
    })
    .await;
    let data = folder.path().to_owned();
    let service_before = service(folder);
    let inquirer = Inquirer::start(&service_before.archive, Box::new(desk.verifier())).expect("started");
    for mrn in ["1", "2", "3"] {
        service_before.patient(mrn, "Nguyễn Văn An").await;
    }
    let state = |service: &Service| service.archive.charts().verifier(&Caller::operator());
    until("it was asked in vain", || !state(&service_before).answers).await;
    assert_eq!((state(&service_before).waiting, desk.asked.lock().len()), (3, 0));
    // Killed: nothing is closed, and the directory is opened again.
    end(inquirer).await;
    let Service { router, archive, _folder: folder } = service_before;
    drop((router, archive));
    assert_eq!(folder.path(), data);
    let service = service(folder);
    assert_eq!(service.waiting(), 3);
    let inquirer = Inquirer::start(&service.archive, Box::new(desk.verifier())).expect("started");
    until("it was asked in vain again", || !state(&service).answers).await;
    up.store(true, std::sync::atomic::Ordering::SeqCst);
    until("the queue is empty", || service.waiting() == 0).await;
    end(inquirer).await;
    assert!(state(&service).answers);
    let shown = service.asks("/api/persons/verifications?state=not-found").await;
    assert_eq!(shown["verifications"].as_array().map(Vec::len), Some(3), "{shown}");
    assert_eq!(desk.asked.lock().len(), 3, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_certificate_on_either_side_is_no_answer_and_no_question_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(folder.path(), |_| says("verified")).await;
    let other = Authority::new(folder.path(), "other");
    for (signed_by, trusted) in [(&other, &desk.authority), (&desk.authority, &other)] {
        let place = desk.place(signed_by, trusted, PATIENCE);
        let verifier = Arc::new(Verifier::new(Handle::current(), place).expect("usable files"));
        let heard = ask(&verifier).await;
        assert!(matches!(&heard, Heard::Down(why) if !why.contains("056078000001")), "{heard:?}");
    }
    assert!(desk.asked.lock().is_empty());
    // With the right ones it answers; files that are none are said at once.
    let verified = Heard::Said { said: Said::Verified, fields: std::collections::BTreeSet::new() };
    assert_eq!(ask(&Arc::new(desk.verifier())).await, verified);
    let mut place = desk.place(&desk.authority, &desk.authority, PATIENCE);
    place.own = Some((folder.path().join("gone.crt"), folder.path().join("gone.key")));
    assert!(Verifier::new(Handle::current(), place).err().is_some_and(|why| why.contains("gone.crt")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_verifier_costs_its_time_and_the_end_of_the_archive_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(folder.path(), |name| if name.is_empty() { says("verified") } else { Does::Nothing }).await;
    let place = desk.place(&desk.authority, &desk.authority, Duration::from_millis(50));
    let slow = Arc::new(Verifier::new(Handle::current(), place).expect("usable files"));
    assert!(matches!(ask(&slow).await, Heard::Down(why) if why.contains("in time")));
    let verifier = Arc::new(desk.verifier());
    let before = desk.asked.lock().len();
    let asking = tokio::spawn({
        let verifier = Arc::clone(&verifier);
        async move { ask(&verifier).await }
    });
    until("it is asked", || desk.asked.lock().len() > before).await;
    verifier.stop();
    assert_eq!(asking.await.expect("no panic"), Heard::Interrupted);
}
