//! Plain REST for charts: patients, orders, worklist, results, what is there, and two hospitals with equal numbers.

use super::*;
use http::Method;
use serde_json::{Value, json};
use testkit::element::{DataSet, file_meta};

// SHA-256 of "reader", "sender", "admin", "local".
const TOKENS: &str = r#"
[[token]]
name = "emr"
sha256 = "3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30"
facilities = ["56001"]
role = "reader"

[[token]]
name = "his"
sha256 = "0a367b92cf0b037dfd89960ee832d56f7fc151681bb41e53690e776f5786998a"
facilities = ["56001", "56002"]
home = "56001"
role = "sender"

[[token]]
name = "operator"
sha256 = "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"
facilities = "all"
role = "admin"

[[token]]
name = "other"
sha256 = "25bf8e1a2393f1108d37029b3df5593236c755742ec93465bbafa9b290bddcf6"
facilities = ["56002"]
home = "56002"
role = "sender"
"#;

/// Two hospitals and their systems.
pub(super) struct Hospitals(pub(super) Service);

impl Hospitals {
    pub(super) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// The same, over an archive with other options.
    pub(super) async fn open_with(change: impl FnOnce(&mut archive::Options)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("index.html"), "viewer").expect("a viewer");
        let options = Options { viewer: Some(folder.path().to_owned()), stow_extensions: true, ..Options::default() };
        let (archive, kept) = open_archive_with(change);
        let app = App::new(Arc::clone(&archive), options, Tokens::parse(TOKENS).expect("tokens"));
        let all = Self(Service { router: router(app), archive, _folder: kept });
        for code in ["56001", "56002"] {
            let facility = json!({"code": code, "name": format!("Bệnh viện {code}"), "kind": "hospital"});
            all.does("admin", Method::PUT, "/api/facilities", facility).await;
        }
        all
    }

    pub(super) async fn ask(&self, token: &str, method: Method, path: &str, body: &str, key: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "archive.test");
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        self.0.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    /// A request that succeeds.
    pub(super) async fn does(&self, token: &str, method: Method, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(token, method.clone(), path, &body, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {:?}", answer.body);
        answer.json()
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Value {
        self.does("sender", Method::PUT, path, body).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        self.does("sender", Method::POST, path, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.does("sender", Method::GET, path, Value::Null).await
    }

    pub(super) async fn store(&self, facility: &str, study: &str, accession: &str, mrn: &str) {
        let request = Request::post(format!("/facilities/{facility}/dicom-web/studies"))
            .header(header::AUTHORIZATION, "Bearer sender")
            .header(header::CONTENT_TYPE, "application/dicom");
        let file = object(study, accession, mrn);
        let stored = self.0.send(request.body(Body::from(file)).expect("a request")).await;
        assert_eq!(stored.status, StatusCode::OK, "{:?}", stored.body);
    }
}

pub(super) fn object(study: &str, accession: &str, mrn: &str) -> Vec<u8> {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.7", format!("{study}.1.1"));
    let mut data = DataSet::new();
    data.text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0016, "UI", class)
        .text(0x0008_0018, "UI", &instance)
        .text(0x0008_0020, "DA", "20261128")
        .text(0x0008_0050, "SH", accession)
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0010, "PN", "Nguyễn^An^Văn")
        .text(0x0010_0020, "LO", mrn)
        .text(0x0020_000D, "UI", study)
        .text(0x0020_000E, "UI", &format!("{study}.1"));
    [file_meta(class, &instance, "1.2.840.10008.1.2.1"), data.into_bytes()].concat()
}

/// The values of a field, in order.
pub(super) fn each<'a>(view: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    view[list].as_array().expect("a list").iter().filter_map(|row| row[field].as_str()).collect()
}

pub(super) fn order(mrn: &str, accession: &str) -> Value {
    json!({
        "patient": {"mrn": mrn, "name": "Nguyễn Văn An", "birth": "1978", "sex": "male"},
        "visit": {"number": format!("LK{mrn}"), "class": "O"},
        "accession": accession, "procedure": "Chụp CT ngực",
        "steps": [{"id": "S1", "modality": "CT", "station": "CT01", "start": "2026-11-28T08:30"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_said_shown_and_found_by_everything() {
    let all = Hospitals::open().await;
    let said = json!({"name": "Nguyễn Văn An", "birth": "1978-03-05", "sex": "M", "national": "056078000001",
        "old_card": "225000001", "insurance": ["DN4560123456789"], "phones": "0905 000 001", "address": "Nha Trang"});
    let done = all.put("/api/patients/22015985", said).await;
    assert_eq!((&done["handled"], &done["patient"]["name"]), (&json!("done"), &json!("Nguyễn Văn An")));
    // Absent is silent, null and an empty text clear.
    let done = all.put("/api/patients/22015985", json!({"address": null, "sex": "female"})).await;
    let patient = &done["patient"];
    assert_eq!(
        (&patient["address"], &patient["sex"], &patient["birth"]),
        (&json!(""), &json!("female"), &json!("1978-03-05"))
    );
    assert_eq!(done["remarks"].as_array().map(Vec::len), Some(1), "the number says another sex: {done}");
    for query in [
        "name=van+an&year=1978",
        "name=nguyen",
        "mrn=22015985",
        "national=056078000001",
        "last4=0001",
        "insurance=0123456789",
        "phone=0905000001",
        "card=225000001",
        "qr=056078000001%7C%7CNguy%E1%BB%85n+V%C4%83n+An%7C05031978%7CNam%7CX%7C01012021",
        "qr=056078000009%7C225000001%7CX%7C05031978%7CNam%7CX%7C01012021",
        "qr=056078000009%7C%7CNguy%E1%BB%85n+V%C4%83n+An%7C05031978%7CNam%7CX%7C01012021",
    ] {
        let found = all.get(&format!("/api/patients?{query}")).await;
        assert_eq!(each(&found, "patients", "mrn"), ["22015985"], "{query}");
        let other = all.get(&format!("/api/patients?facility=56002&{query}")).await;
        assert!(each(&other, "patients", "mrn").is_empty(), "{query}");
    }
    for query in ["NGUYEN+VAN+AN+1978", "056078000001", "nguyen+van+am+1978"] {
        let found = all.get(&format!("/api/search?q={query}")).await;
        assert_eq!((each(&found, "patients", "mrn"), &found["cut"]), (vec!["22015985"], &json!(false)), "{query}");
    }
    for query in ["name=tran", "name=an&year=1979", "last4=0002", "name=an&phone=1"] {
        let found = all.get(&format!("/api/patients?{query}")).await;
        assert!(each(&found, "patients", "mrn").is_empty(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_come_page_by_page() {
    let all = Hospitals::open().await;
    for number in 0..5 {
        all.put(&format!("/api/patients/P{number}"), json!({"name": "Trần Thị Bình"})).await;
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    for _ in 0..5 {
        let page = all.get(&format!("/api/patients?name=binh&limit=2{next}")).await;
        seen.extend(each(&page, "patients", "mrn").into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["P0", "P1", "P2", "P3", "P4"]);
    let wrong = all.ask("sender", Method::GET, "/api/patients?name=a&cursor=x", "", "").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_shows_both_as_one_and_is_undone() {
    let all = Hospitals::open().await;
    all.put("/api/orders/O1", order("1", "A1")).await;
    all.put("/api/orders/O2", order("2", "A2")).await;
    all.put("/api/patients/2", json!({"name": "Nguyễn Văn Ân"})).await;
    let merged = all.post("/api/patients/1/merge", json!({"former": "2"})).await;
    let id = merged["merge"]["id"].as_str().expect("a number").to_owned();
    let patient = all.get("/api/patients/2").await;
    assert_eq!((&patient["mrn"], &patient["merges"][0]["former"]), (&json!("1"), &json!("2")));
    for mrn in ["1", "2"] {
        let orders = all.get(&format!("/api/orders?mrn={mrn}")).await;
        let mut placers = each(&orders, "orders", "placer");
        placers.sort_unstable();
        assert_eq!(placers, ["O1", "O2"], "{mrn}");
    }
    let few = all.get("/api/orders?mrn=1&limit=1").await;
    let rest = all.get(&format!("/api/orders?mrn=1&limit=1&cursor={}", few["next"].as_str().expect("more"))).await;
    assert_ne!(each(&few, "orders", "placer"), each(&rest, "orders", "placer"));
    let path = format!("/api/merges/{id}?facility=56001");
    assert_eq!(all.ask("sender", Method::DELETE, &path, "", "").await.status, StatusCode::FORBIDDEN);
    let undone = all.does("admin", Method::DELETE, &path, Value::Null).await;
    assert!(undone["merge"]["undone"].is_array(), "{undone}");
    assert_eq!(all.ask("admin", Method::DELETE, &path, "", "").await.status, StatusCode::CONFLICT);
    let other = format!("/api/merges/{id}?facility=56002");
    assert_eq!(all.ask("admin", Method::DELETE, &other, "", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(all.get("/api/patients/2").await["name"], json!("Nguyễn Văn Ân"));
    assert_eq!(each(&all.get("/api/orders?mrn=2").await, "orders", "placer"), ["O2"]);
    // Merged again it has an effect again.
    all.post("/api/patients/1/merge", json!({"former": "2"})).await;
    assert_eq!(all.get("/api/patients/2").await["mrn"], json!("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_changed_listed_and_taken_back() {
    let all = Hospitals::open().await;
    let done = all.put("/api/orders/O1", order("1", "A1")).await;
    assert_eq!((&done["order"]["accession"], &done["order"]["state"]), (&json!("A1"), &json!("scheduled")));
    let study = done["order"]["study"].as_str().expect("a UID").to_owned();
    let changed = all.put("/api/orders/O1", json!({"priority": "stat"})).await;
    assert_eq!((&changed["order"]["priority"], &changed["order"]["mrn"]), (&json!("stat"), &json!("1")));
    all.put("/api/orders/O9", order("9", "A9")).await;
    for query in [
        "accession=A1",
        "mrn=1",
        &format!("study={study}"),
        "visit=LK1&mrn=1",
        "state=scheduled&accession=A1",
        "from=2026-11-28&to=2026-11-28&accession=A1",
    ] {
        assert_eq!(each(&all.get(&format!("/api/orders?{query}")).await, "orders", "placer"), ["O1"], "{query}");
    }
    for query in ["accession=A1&mrn=9", "from=2026-11-29", "to=2026-11-27", "state=canceled", "accession=a1"] {
        assert!(each(&all.get(&format!("/api/orders?{query}")).await, "orders", "placer").is_empty(), "{query}");
    }
    let told = all.get("/api/worklist?station=CT01&date=2026-11-28&modality=CT&accession=A1").await;
    let line = &told["worklist"][0];
    assert_eq!((&line["placer"], &line["patient"]["name"]), (&json!("O1"), &json!("Nguyễn Văn An")));
    assert_eq!((&line["step"]["modality"], &line["step"]["time"]), (&json!("CT"), &json!("083000")));
    for query in ["station=CT02", "date=2026-11-29", "modality=MR", "facility=56002"] {
        let told = all.get(&format!("/api/worklist?accession=A1&{query}")).await;
        assert_eq!(told["worklist"], json!([]), "{query}");
    }
    let gone = all.post("/api/orders/O1/cancel", Value::Null).await;
    assert_eq!(gone["order"]["state"], json!("canceled"));
    assert_eq!(all.get("/api/worklist?accession=A1").await["worklist"], json!([]));
    assert_eq!(all.get("/api/orders/O1").await["state"], json!("canceled"));
    assert_eq!(all.ask("sender", Method::GET, "/api/orders/O2", "", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_sent_again_has_no_second_effect() {
    let all = Hospitals::open().await;
    let mut body = order("1", "A1");
    body["placer"] = json!("O1");
    let text = body.to_string();
    let send = async |text: &str, key: &str| all.ask("sender", Method::POST, "/api/orders", text, key).await.json();
    assert_eq!(send(&text, "").await["repeated"], json!(false));
    assert_eq!(send(&text, "").await["repeated"], json!(true));
    let keyed = r#"{"placer":"O1","priority":"stat"}"#;
    assert_eq!(send(keyed, "\"k-1\"").await["repeated"], json!(false));
    all.put("/api/orders/O1", json!({"priority": "low"})).await;
    let again = send(keyed, "k-1").await;
    assert_eq!((&again["repeated"], &again["order"]["priority"]), (&json!(true), &json!("low")), "{again}");
    // What is set is set, however often.
    all.put("/api/orders/O1", json!({"priority": "stat"})).await;
    let set = all.put("/api/orders/O1", json!({"priority": "low"})).await;
    assert_eq!((&set["repeated"], &set["order"]["priority"]), (&json!(false), &json!("low")));
    let wrong = all.ask("sender", Method::POST, "/api/orders", keyed, "a key").await;
    assert_eq!((wrong.status, &wrong.json()["where"]), (StatusCode::BAD_REQUEST, &json!("header Idempotency-Key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_answered_with_what_it_waits_for_and_listed() {
    let all = Hospitals::open().await;
    let answer = all.ask("sender", Method::POST, "/api/orders/O1/cancel", "", "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
    let parked = answer.json();
    assert_eq!(parked["handled"], json!("parked"));
    assert!(parked["waits_for"].as_str().is_some_and(|why| !why.is_empty()) && parked["until"].is_u64(), "{parked}");
    let list = async |state: &str| {
        let path = format!("/api/messages?facility=56001&state={state}");
        all.does("admin", Method::GET, &path, Value::Null).await
    };
    assert_eq!(each(&list("parked").await, "messages", "kind"), ["REST cancel"]);
    assert!(each(&list("refused").await, "messages", "kind").is_empty());
    let refused = all.ask("sender", Method::POST, "/api/orders", r#"{"placer":"O5"}"#, "").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{:?}", refused.body);
    let listed = list("refused").await;
    assert_eq!(each(&listed, "messages", "kind"), ["REST order"]);
    assert!(listed["messages"][0].get("text").is_none() && listed["messages"][0].get("mrn").is_none(), "{listed}");
    let whole =
        all.does("admin", Method::GET, "/api/messages?facility=56001&state=refused&text=true", Value::Null).await;
    assert!(whole["messages"][0]["text"].as_str().is_some_and(|text| text.contains("O5")), "{whole}");
    assert_eq!(all.ask("sender", Method::GET, "/api/messages", "", "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_told_in_one_answer_and_two_hospitals_stay_apart() {
    let all = Hospitals::open().await;
    let done = all.put("/api/orders/O1", order("1", "A1")).await;
    let study = done["order"]["study"].as_str().expect("a UID").to_owned();
    all.put("/api/orders/O1?facility=56002", order("1", "A1")).await;
    let before = all.get("/api/available?accession=A1").await;
    assert_eq!((&before["studies"], &before["reports"]), (&json!([]), &json!([])));
    assert_eq!(each(&before, "orders", "placer"), ["O1"]);
    all.store("56001", &study, "A1", "1").await;
    all.store("56002", "1.2.9", "A1", "1").await;
    let result = json!({"number": "K1", "mrn": "1", "placer": "O1", "accession": "A1", "visit": "LK1", "study": study,
        "title": "CT ngực", "contents": [{"as": "document", "media_type": "application/pdf", "base64": "JVBERg=="}]});
    let sent = all.post("/api/reports", result.clone()).await;
    assert_eq!((&sent["report"]["number"], &sent["report"]["contents"][0]["bytes"]), (&json!("K1"), &json!(4)));
    for query in ["accession=A1".to_owned(), "mrn=1".into(), "visit=LK1".into(), format!("study={study}")] {
        let there = all.get(&format!("/api/available?{query}")).await;
        assert_eq!(each(&there, "studies", "study"), [study.as_str()], "{query}: {there}");
        let found = &there["studies"][0];
        assert_eq!((&found["instances"], &found["availability"]), (&json!(1), &json!("ONLINE")));
        assert_eq!((&found["orders"], &found["modalities"]), (&json!(["O1"]), &json!(["CT"])));
        let viewer = format!("http://archive.test/viewer/viewer?StudyInstanceUIDs={study}");
        assert_eq!(found["viewer"], json!(viewer));
        assert_eq!(each(&there, "orders", "placer"), ["O1"], "{query}");
        assert_eq!(each(&there, "reports", "number"), ["K1"], "{query}");
    }
    let other = all.does("local", Method::GET, "/api/available?accession=A1", Value::Null).await;
    assert_eq!((each(&other, "studies", "study"), &other["reports"]), (vec!["1.2.9"], &json!([])));
    for query in ["accession=A1", "placer=O1", "mrn=1", "visit=LK1", "number=K1"] {
        let found = all.get(&format!("/api/reports?{query}")).await;
        assert_eq!(each(&found, "reports", "number"), ["K1"], "{query}");
        let none = all.does("local", Method::GET, &format!("/api/reports?{query}"), Value::Null).await;
        assert!(each(&none, "reports", "number").is_empty(), "{query}");
    }
    let whole = all.get("/api/reports?number=K1&documents=true").await;
    assert_eq!(whole["reports"][0]["contents"][0]["base64"], json!("JVBERg=="));
    let mut next = result;
    next["status"] = json!("amended");
    let next = all.post("/api/reports", next).await;
    assert_eq!((&next["report"]["version"], &next["report"]["status"]), (&json!(2), &json!("amended")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_facilities_and_forms_are_checked_first() {
    let all = Hospitals::open().await;
    for (token, method, path, body, status) in [
        ("reader", Method::PUT, "/api/patients/1", "{}", 403),
        ("reader", Method::GET, "/api/patients/1", "", 404),
        ("wrong", Method::GET, "/api/patients/1", "", 401),
        ("sender", Method::PUT, "/api/patients/1?facility=56003", "{}", 403),
        ("admin", Method::PUT, "/api/patients/1", "{}", 400),
        ("admin", Method::PUT, "/api/patients/1?facility=99999", "{}", 404),
        ("admin", Method::GET, "/api/worklist?facility=5600", "", 400),
        ("local", Method::GET, "/api/orders?facility=56001", "", 403),
        ("sender", Method::PUT, "/api/patients/1", "{\"nam\":\"x\"}", 400),
        ("sender", Method::PUT, "/api/patients/1", "[]", 400),
        ("sender", Method::PUT, "/api/patients/1", "", 400),
        ("sender", Method::PUT, "/api/patients/1", "{\"mrn\":\"2\"}", 400),
        ("sender", Method::PUT, "/api/patients/%20", "{}", 400),
        ("sender", Method::POST, "/api/patients/1/merge", "{}", 400),
        ("sender", Method::POST, "/api/patients/1/merge", "{\"former\":\"1\"}", 422),
        ("sender", Method::POST, "/api/orders", "{\"mrn\":\"1\"}", 400),
        ("sender", Method::POST, "/api/orders/1/cancel", "{\"why\":\"x\"}", 400),
        ("sender", Method::GET, "/api/patients", "", 400),
        ("sender", Method::GET, "/api/patients?year=1978", "", 400),
        ("sender", Method::GET, "/api/patients?name=an&year=78", "", 400),
        ("sender", Method::GET, "/api/patients?last4=12", "", 400),
        ("sender", Method::GET, "/api/patients?qr=an", "", 400),
        ("sender", Method::GET, "/api/orders?state=lost", "", 400),
        ("sender", Method::GET, "/api/orders?study=1..2", "", 400),
        ("sender", Method::GET, "/api/orders?from=today", "", 400),
        ("sender", Method::GET, "/api/orders?limit=0", "", 400),
        ("sender", Method::GET, "/api/worklist?date=today", "", 400),
        ("sender", Method::GET, "/api/worklist?station=A%5CB", "", 400),
        ("sender", Method::GET, "/api/available", "", 400),
        ("sender", Method::GET, "/api/available?mrn=1&visit=2", "", 400),
        ("sender", Method::GET, "/api/available?study=x", "", 400),
        ("sender", Method::GET, "/api/reports", "", 400),
        ("sender", Method::POST, "/api/reports", "{\"number\":\"1\"}", 400),
        ("admin", Method::GET, "/api/messages?facility=56001&state=lost", "", 400),
    ] {
        let answer = all.ask(token, method.clone(), path, body, "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} as {token}: {:?}", answer.body);
        assert_eq!(answer.content_type(), "application/problem+json", "{path}");
    }
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    let answer = all.ask("sender", Method::PUT, "/api/patients/1", &long, "").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_shows_what_was_performed_of_it_and_why_it_was_broken_off() {
    let all = Hospitals::open().await;
    let placed = all.put("/api/orders/CD1", order("1", "A1")).await;
    let study = placed["order"]["study"].as_str().expect("a UID");
    assert_eq!(all.get("/api/orders/CD1").await["performed"], Value::Null);
    let charts = all.0.archive.charts();
    let facility = model::FacilityCode::parse("56001").expect("a code");
    let (step, station) = (model::Uid::parse("1.9.1").expect("a UID"), model::AeTitle::parse("CT01").expect("a title"));
    let one = |vr: &str, value: Value| json!({"vr": vr, "Value": [value]});
    let scheduled = json!({"0020000D": one("UI", json!(study)), "00400009": one("SH", json!("S1"))});
    let begun = json!({
        "00080060": one("CS", json!("CT")), "00100020": one("LO", json!("1")), "00400244": one("DA", json!("20261128")),
        "00400245": one("TM", json!("083000")), "00400252": one("CS", json!("IN PROGRESS")),
        "00400253": one("SH", json!("PPS1")), "00400270": one("SQ", scheduled),
    });
    let document = |value: &Value| value.as_object().expect("an object").clone();
    charts.begin_performed(facility, &station, &step, document(&begun)).expect("begun");
    assert_eq!(all.get("/api/orders/CD1").await["performed"][0]["state"], "in-progress");
    let reason = json!({"00080100": one("SH", json!("110501")), "00080104": one("LO", json!("Máy hỏng"))});
    let ended = json!({"00400252": one("CS", json!("DISCONTINUED")), "00400281": one("SQ", reason)});
    charts.set_performed(facility, &step, document(&ended)).expect("ended");
    let shown = all.get("/api/orders/CD1").await;
    let performed = &shown["performed"][0];
    let told = ["state", "station", "reason"].map(|name| performed[name].as_str().unwrap_or_default());
    assert_eq!(told, ["discontinued", "CT01", "Máy hỏng"]);
    assert_eq!((&shown["state"], &performed["instances"]), (&json!("discontinued"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_results_counts_what_it_tells_and_ends_where_it_is_long() {
    let all = Hospitals::open().await;
    all.put("/api/orders/O1", order("1", "A1")).await;
    let send = async |number: &str, at: u64, text: String, base64: String| {
        let contents = json!([
            {"as": "text", "heading": "", "text": text},
            {"as": "document", "media_type": "application/pdf", "base64": base64}]);
        all.post("/api/reports", json!({"number": number, "mrn": "1", "at": at, "contents": contents})).await;
    };
    for (number, at) in [("D1", 14), ("D2", 13), ("D3", 12), ("D4", 11)] {
        send(number, at, "x".into(), "QUJD".repeat(7 << 18)).await;
    }
    let page = all.get("/api/reports?mrn=1").await;
    assert_eq!(each(&page, "reports", "number"), ["D1", "D2", "D3", "D4"], "documents that are not told do not count");
    assert!(page["next"].is_null() && page.to_string().len() < 10_000, "{page}");
    let whole = all.get("/api/reports?mrn=1&documents=true").await;
    assert_eq!(each(&whole, "reports", "number"), ["D1", "D2", "D3"]);
    let next = whole["next"].as_str().expect("more");
    let rest = all.get(&format!("/api/reports?mrn=1&documents=true&cursor={next}")).await;
    assert_eq!((each(&rest, "reports", "number"), &rest["next"]), (vec!["D4"], &Value::Null));
    for (number, at) in [("T1", 24), ("T2", 23), ("T3", 22), ("T4", 21)] {
        send(number, at, "x".repeat(6 << 20), "QUJD".into()).await;
    }
    let page = all.get("/api/reports?mrn=1").await;
    assert_eq!(each(&page, "reports", "number"), ["T1", "T2", "T3"], "words do count");
    let next = page["next"].as_str().expect("more");
    let rest = all.get(&format!("/api/reports?mrn=1&cursor={next}")).await;
    assert_eq!(each(&rest, "reports", "number"), ["T4", "D1", "D2", "D3", "D4"]);
    // Messages, too, of which these eight are longer than three pages.
    let listed = async |rest: &str| {
        all.does("admin", Method::GET, &format!("/api/messages?facility=56001&limit=8{rest}"), Value::Null).await
    };
    let page = listed("").await;
    assert_eq!(each(&page, "messages", "kind").len(), 8);
    let page = listed("&text=true").await;
    assert_eq!(each(&page, "messages", "kind").len(), 3);
    let next = page["next"].as_str().expect("more");
    assert_eq!(each(&listed(&format!("&text=true&cursor={next}")).await, "messages", "kind").len(), 3);
}
