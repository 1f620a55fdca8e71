//! The feed of changes, subscriptions, and webhooks to a receiver of a test.

use super::*;
use crate::hooks::{HookLimits, Hooks};
use archive::charts::outbox::dispatch::{Couriers, PostOffice};
use parking_lot::Mutex;
use ring::hmac;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "0123456789abcdef";

/// A request as it came: its head in small letters, and its body.
pub(super) type Asked = (String, String);

fn request(stream: &mut TcpStream) -> Option<Asked> {
    let (mut bytes, mut one) = (Vec::new(), [0u8]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).ok()?;
        bytes.extend(one);
    }
    let head = String::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

/// Answers each request with the status that is said of how many came before and of it.
pub(super) fn receiver(status: impl Fn(usize, &Asked) -> u16 + Send + 'static) -> (SocketAddr, Arc<Mutex<Vec<Asked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    let took = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&took);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(asked) = request(&mut stream) else { continue };
            let status = status(taken.lock().len(), &asked);
            taken.lock().push(asked);
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (address, took)
}

pub(super) fn header_of<'a>(asked: &'a Asked, name: &str) -> &'a str {
    let lines = asked.0.lines();
    lines.filter_map(|line| line.split_once(": ")).find(|(found, _)| *found == name).map_or("", |(_, value)| value)
}

fn service() -> Service {
    let (archive, folder) = open_archive_with(|options| {
        options.charts.outbox.pause = Duration::from_millis(1);
        options.charts.outbox.pause_max = Duration::from_millis(5);
    });
    let router = router(App::new(Arc::clone(&archive), Options::default(), Tokens::open()));
    Service { router, archive, _folder: folder }
}

impl Service {
    pub(super) async fn says(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, "application/json", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        answer.json()
    }

    async fn orders(&self, placer: &str) {
        let patient = json!({"mrn": "22000017", "name": "Nguyễn Văn An"});
        self.says("/api/orders", json!({"placer": placer, "patient": patient})).await;
    }

    pub(super) async fn asks(&self, path: &str) -> Value {
        let answer = self.get(path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        answer.json()
    }
}

pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_signed_tried_again_and_dead_when_it_is_refused() {
    let service = service();
    let (address, took) = receiver(|before, (_, body)| match before {
        0 => 503,
        _ if body.contains("\"P2\"") => 404,
        _ => 204,
    });
    let url = format!("http://{address}/hook");
    let wanted = json!({"name": "HIS", "url": url, "secret": SECRET, "events": ["order"]});
    let id = service.says("/api/subscriptions", wanted).await["id"].as_str().expect("an id").to_owned();
    for placer in ["P1", "P2", "P3"] {
        service.orders(placer).await;
    }
    let limits = HookLimits { connect: PATIENCE, answer: PATIENCE, authorities: None, reach: here() };
    let http = Box::new(Hooks::new(Handle::current(), limits));
    let office = PostOffice::start(&service.archive, Couriers { hl7: None, http }).expect("started");
    until("all is told", || took.lock().len() >= 4).await;
    until("that is recorded", || service.archive.charts().outbox(&model::Caller::operator())[0].waiting == 0).await;
    let ended = tokio::task::spawn_blocking(move || office.shutdown(PATIENCE)).await;
    assert!(ended.expect("no panic"));
    let took = took.lock().clone();
    let orders: Vec<String> = took
        .iter()
        .map(|(_, body)| {
            serde_json::from_str::<Value>(body).expect("JSON")["order"].as_str().expect("an order").to_owned()
        })
        .collect();
    assert_eq!(orders, ["P1", "P1", "P2", "P3"]);
    assert_eq!(header_of(&took[0], "khoanh-delivery"), header_of(&took[1], "khoanh-delivery"));
    for asked in &took {
        let (time, digits) = header_of(asked, "khoanh-signature").split_once(",v1=").expect("a signature");
        let time = time.strip_prefix("t=").expect("a time");
        let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        let tag: Vec<u8> = digits.as_bytes().chunks(2).map(digit).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        assert!(hmac::verify(&key, format!("{time}.{}", asked.1).as_bytes(), &tag).is_ok());
        assert!(!asked.1.contains("Nguy") && !asked.1.contains("22000017"), "{}", asked.1);
    }
    let dead = service.asks("/api/deliveries?state=dead").await;
    let dead = list(&dead, "deliveries");
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0]["event"]["id"], &dead[0]["subscription"]), (&json!("P2"), &json!(id)));
    let shown = service.asks("/api/subscriptions").await;
    assert!(!shown.to_string().contains(SECRET) && shown["subscriptions"][0]["dead"] == json!(1), "{shown}");
    assert_eq!(service.says("/api/deliveries/retry", json!({"state": "dead"})).await, json!({"deliveries": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_goes_on_from_its_cursor_and_waits_for_what_happens_next() {
    let service = Arc::new(service());
    service.orders("P1").await;
    let first = service.asks("/api/changes?limit=1").await;
    assert_eq!(first["changes"][0]["event"]["id"], json!("P1"));
    let cursor = first["cursor"].as_str().expect("a cursor").to_owned();
    let rest = service.asks(&format!("/api/changes?after={cursor}")).await;
    assert_eq!((list(&rest, "changes").len(), rest["more"].clone()), (0, json!(false)));
    let asking = Arc::clone(&service);
    let waits = tokio::spawn(async move { asking.asks(&format!("/api/changes?after={cursor}&wait=60")).await });
    service.orders("P2").await;
    let later = waits.await.expect("an answer");
    assert_eq!(later["changes"][0]["event"]["id"], json!("P2"));
    let gone = service.get("/api/changes?after=1", "").await;
    assert_eq!(gone.status, StatusCode::CONFLICT);
    let bad = service.post("/api/subscriptions", "application/json", r#"{"name":"x","url":"https://a"}"#).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_may_not_be_called_is_refused_when_it_is_named_and_when_it_is_called() {
    let (archive, folder) = open_archive_with(|options| {
        options.charts.outbox.reach = model::Reach::default();
        options.charts.outbox.attempts = 2;
        options.charts.outbox.pause = Duration::from_millis(1);
    });
    let router = router(App::new(Arc::clone(&archive), Options::default(), Tokens::open()));
    let strict = Service { router, archive, _folder: folder };
    let wanted = |url: &str| json!({"name": "HIS", "url": url, "secret": SECRET, "events": ["order"]});
    for url in ["http://127.0.0.1:8080/api/orders", "http://localhost:1/", "http://169.254.169.254/", "http://[::]:80/"]
    {
        let answer = strict.post("/api/subscriptions", "application/json", wanted(url).to_string()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {:?}", answer.body);
        assert!(String::from_utf8_lossy(&answer.body).contains("calls.allow"), "{:?}", answer.body);
    }
    strict.says("/api/subscriptions", wanted("http://10.56.1.2:8080/hook")).await;
    // What was allowed when it was named, and is not any more.
    let service = service();
    let (address, took) = receiver(|_, _| 204);
    service.says("/api/subscriptions", wanted(&format!("http://{address}/hook"))).await;
    service.orders("P1").await;
    let limits = HookLimits { connect: PATIENCE, answer: PATIENCE, authorities: None, reach: model::Reach::default() };
    let http = Box::new(Hooks::new(Handle::current(), limits));
    let office = PostOffice::start(&service.archive, Couriers { hl7: None, http }).expect("started");
    until("it is dead", || service.archive.charts().outbox(&model::Caller::operator())[0].dead == 1).await;
    let ended = tokio::task::spawn_blocking(move || office.shutdown(PATIENCE)).await;
    assert!(ended.expect("no panic") && took.lock().is_empty());
    let dead = service.asks("/api/deliveries?state=dead").await;
    let said = dead["deliveries"][0]["error"].as_str().expect("a reason").to_owned();
    assert!(said.contains("calls.allow"), "{said}");
}
