//! What a steward does by REST: lists with both sides, decisions, undo, and two hospitals with equal numbers.

use super::charts::{Hospitals, each, order};
use super::*;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// An order that was to begin long ago.
fn overdue(mrn: &str, accession: &str) -> Value {
    let mut order = order(mrn, accession);
    order["steps"][0]["start"] = json!("2020-01-15T08:30");
    order
}

impl Hospitals {
    async fn listed(&self, list: &str, facility: &str) -> Value {
        self.does("admin", Method::GET, &format!("/api/matches?list={list}&facility={facility}"), Value::Null).await
    }

    /// The row of a study once the archive has judged it so.
    async fn judged(&self, study: &str, list: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let listed = self.listed(list, "56001").await;
            let found = listed["rows"].as_array().expect("rows").iter().find(|row| row["study"] == study);
            if let Some(row) = found {
                return row.clone();
            }
            assert!(Instant::now() < end, "{study} is not in {list}: {listed}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn acts(&self, path: &str, body: Value) -> Value {
        self.does("admin", Method::POST, &format!("/api/matches/{path}?facility=56001"), body).await
    }

    async fn order(&self, placer: &str) -> Value {
        self.get(&format!("/api/orders/{placer}")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steward_sees_both_sides_decides_and_takes_it_back() {
    let all = Hospitals::open().await;
    all.put("/api/orders/O1", overdue("1", "A1")).await;
    all.put("/api/orders/O2", overdue("2", "A2")).await;
    let fresh = all.order("O2").await;
    assert_eq!(each(&all.listed("orders", "56001").await, "rows", "placer").len(), 2);
    all.store("56001", "1.2.3", "A1", "2").await;
    let row = all.judged("1.2.3", "mismatch").await;
    assert_eq!((&row["of_study"]["mrn"], &row["of_order"]["mrn"]), (&json!("2"), &json!("1")));
    assert_eq!((&row["of_study"]["accession"], &row["of_order"]["accession"]), (&json!("A1"), &json!("A1")));
    assert_eq!((&row["of_study"]["date"], &row["of_order"]["birth_year"]), (&json!("20261128"), &json!(1978)));
    assert_eq!((&row["differs"], &row["acts"]), (&json!(["mrn"]), &json!([])), "{row}");
    let decided = all.acts("1.2.3/match", json!({"placer": "O2"})).await;
    let (one, act) = (&decided["match"], &decided["match"]["acts"][0]);
    assert_eq!((&one["verdict"], &one["by"], &one["placer"]), (&json!("matched"), &json!("operator"), &json!("O2")));
    assert_eq!((&act["act"], &act["by"]), (&json!("match"), &json!("operator")));
    assert_eq!(each(&all.listed("orders", "56001").await, "rows", "placer"), ["O1"]);
    assert_eq!(each(&all.listed("decided", "56001").await, "rows", "study"), ["1.2.3"]);
    let gone = all.acts("1.2.3/unmatch", Value::Null).await;
    assert_eq!((&gone["match"]["verdict"], all.order("O2").await), (&json!("unmatched"), fresh.clone()));
    let proposed = all.judged("1.2.3", "unmatched").await;
    assert_eq!(each(&proposed, "candidates", "placer"), ["O2"], "the same patient's open order");
    let back = all.acts("1.2.3/undo", Value::Null).await;
    assert_eq!((&back["undone"]["act"], &back["match"]), (&json!("unmatch"), one));
    all.acts("1.2.3/leave", Value::Null).await;
    all.judged("1.2.3", "mismatch").await;
    all.acts("1.2.3/undo", Value::Null).await;
    all.acts("1.2.3/undo", Value::Null).await;
    assert_eq!((all.judged("1.2.3", "mismatch").await, all.order("O2").await), (row, fresh));
    let path = "/api/matches/1.2.3/undo?facility=56001";
    let nothing = all.ask("admin", Method::POST, path, "", "").await;
    assert_eq!((nothing.status, nothing.content_type()), (StatusCode::CONFLICT, "application/problem+json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_of_the_wrong_patient_is_put_right_in_one_step() {
    let all = Hospitals::open().await;
    all.put("/api/orders/O1", overdue("1", "A1")).await;
    all.store("56001", "1.2.3", "A1", "2").await;
    all.judged("1.2.3", "mismatch").await;
    let asked = json!({"mrn": "1", "reason": "wrong patient chosen", "dry_run": true});
    let told = all.acts("1.2.3/patient", asked).await;
    assert_eq!((&told["recorded"], &told["changed"][0]["attribute"]), (&json!(false), &json!("PatientID")), "{told}");
    let request = async |mrn: &str| {
        let path = format!("/facilities/56001/dicom-web/studies?PatientID={mrn}");
        all.ask("admin", Method::GET, &path, "", "").await.body
    };
    let (of_one, of_two) = (request("1").await, request("2").await);
    all.acts("1.2.3/patient", json!({"mrn": "1", "reason": "wrong patient chosen"})).await;
    all.judged("1.2.3", "matched").await;
    assert_ne!(request("1").await, of_one);
    all.acts("1.2.3/patient/undo", json!({"reason": "it was right"})).await;
    all.judged("1.2.3", "mismatch").await;
    assert_eq!((request("1").await, request("2").await), (of_one, of_two));
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_for_admins_of_the_facility_alone() {
    let all = Hospitals::open().await;
    for facility in ["56001", "56002"] {
        all.put(&format!("/api/orders/O1?facility={facility}"), overdue("1", "A1")).await;
        all.store(facility, "1.2.3", "A1", "2").await;
    }
    all.judged("1.2.3", "mismatch").await;
    all.acts("1.2.3/match", json!({"placer": "O1"})).await;
    let other = all.get("/api/orders/O1?facility=56002").await;
    assert!(other["images"].is_null(), "another hospital's order: {other}");
    for (token, method, path, body, status) in [
        ("sender", Method::GET, "/api/matches", "", 403),
        ("reader", Method::POST, "/api/matches/1.2.3/unmatch", "", 403),
        ("sender", Method::POST, "/api/matches/1.2.3/undo", "", 403),
        ("wrong", Method::GET, "/api/matches", "", 401),
        ("admin", Method::POST, "/api/matches/1.2.3/unmatch", "", 400),
        ("admin", Method::POST, "/api/matches/1.2.3/unmatch?facility=56009", "", 404),
        ("admin", Method::POST, "/api/matches/1.2.9/unmatch?facility=56001", "", 404),
        ("admin", Method::POST, "/api/matches/1..2/unmatch?facility=56001", "", 400),
        ("admin", Method::POST, "/api/matches/1.2.3/match?facility=56001", "{}", 400),
        ("admin", Method::POST, "/api/matches/1.2.3/match?facility=56001", "{\"placer\":\"O9\"}", 404),
        ("admin", Method::POST, "/api/matches/1.2.3/patient?facility=56001", "{\"reason\":\"x\"}", 400),
        ("admin", Method::POST, "/api/matches/1.2.3/patient?facility=56001", "{\"mrn\":\"9\",\"reason\":\"x\"}", 400),
        ("admin", Method::POST, "/api/matches/1.2.3/patient/undo?facility=56001", "{\"reason\":\"x\"}", 400),
        ("admin", Method::GET, "/api/matches?list=lost", "", 400),
        ("admin", Method::GET, "/api/matches?limit=0", "", 400),
        ("admin", Method::GET, "/api/matches?cursor=x", "", 400),
    ] {
        let answer = all.ask(token, method.clone(), path, body, "").await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} as {token}: {:?}", answer.body);
        assert_eq!(answer.content_type(), "application/problem+json", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_page_by_page_over_all_facilities_of_the_token() {
    let all = Hospitals::open().await;
    for (facility, placer) in [("56001", "O1"), ("56001", "O2"), ("56002", "O1")] {
        all.put(&format!("/api/orders/{placer}?facility={facility}"), overdue("1", &format!("A{placer}"))).await;
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    for _ in 0..4 {
        let path = format!("/api/matches?list=orders&limit=1{next}");
        let page = all.does("admin", Method::GET, &path, Value::Null).await;
        for row in page["rows"].as_array().expect("rows") {
            seen.push(format!("{}/{}", row["facility"].as_str().expect("one"), row["placer"].as_str().expect("one")));
        }
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["56001/O1", "56001/O2", "56002/O1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_in_two_languages_and_runs_nothing_but_its_own_files() {
    let service = Service::open();
    let page = service.get("/steward", "").await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert_eq!((page.status, page.content_type()), (StatusCode::OK, "text/html; charset=utf-8"));
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(!text.contains(" style=") && !text.contains(" onclick="), "what the policy forbids");
    let mut files = Vec::new();
    for part in text.split("\"page/").skip(1) {
        files.push(part.split('"').next().expect("a name").to_owned());
    }
    assert_eq!(files, ["style.css", "steward.css", "steward-words.js", "steward.js"]);
    let mut all = text.clone();
    for file in &files {
        let answer = service.get(&format!("/page/{file}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        all.push_str(&String::from_utf8_lossy(&answer.body));
    }
    assert!(!all.contains("innerHTML"), "what was received is text, never markup");
    // Every word of the page is there in both languages.
    let words = service.get("/page/steward-words.js", "").await;
    let words = String::from_utf8_lossy(&words.body).into_owned();
    for part in text.split("data-word=\"").skip(1) {
        let word = part.split('"').next().expect("a word");
        let told = words.matches(&format!(" {word}: ")).count();
        assert!(told >= 2, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_has_everything_of_every_number_and_opens_documents() {
    let all = Hospitals::open().await;
    all.put("/api/orders/O1", order("1", "A1")).await;
    all.put("/api/orders/O2", order("2", "A2")).await;
    all.put("/api/orders/O1?facility=56002", order("1", "A1")).await;
    all.store("56001", "1.2.3", "A1", "1").await;
    all.store("56002", "1.2.9", "A1", "1").await;
    let result = json!({"number": "K 1", "mrn": "2", "at": 1_795_804_205_000_u64, "title": "CT ngực", "contents": [
        {"as": "text", "heading": "Kết luận", "text": "Bình thường"},
        {"as": "document", "media_type": "application/pdf", "base64": "JVBERg=="},
        {"as": "document", "media_type": "text/xml", "base64": "JVBERg=="}]});
    all.post("/api/reports", result).await;
    let kinds = |view: &Value| {
        let each = each(view, "timeline", "kind").into_iter().map(str::to_owned);
        let mut kinds: Vec<String> = each.collect();
        kinds.sort();
        kinds
    };
    let before = all.get("/api/patients/1/timeline").await;
    assert_eq!(kinds(&before), ["order", "study", "visit"], "{before}");
    let merged = all.post("/api/patients/1/merge", json!({"former": "2"})).await;
    let whole = all.get("/api/patients/2/timeline").await;
    assert_eq!((&whole["mrn"], &whole["numbers"]), (&json!("1"), &json!(["1", "2"])));
    assert_eq!(kinds(&whole), ["order", "order", "report", "study", "visit", "visit"], "{whole}");
    let moments: Vec<u64> =
        whole["timeline"].as_array().expect("rows").iter().filter_map(|row| row["at"].as_u64()).collect();
    assert!(moments.is_sorted_by(|one, two| one >= two), "{moments:?}");
    let (mut paged, mut next) = (Vec::new(), String::new());
    for _ in 0..6 {
        let page = all.get(&format!("/api/patients/1/timeline?limit=1{next}")).await;
        paged.extend(page["timeline"].as_array().expect("rows").clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(json!(paged), whole["timeline"]);
    let report = paged.iter().find(|row| row["kind"] == "report").expect("a result");
    assert_eq!(report["contents"][0]["text"], json!("Bình thường"));
    for (at, media, how) in [(1_usize, "application/pdf", "inline"), (2, "application/octet-stream", "attachment")] {
        let url = report["contents"][at]["url"].as_str().expect("an address").replace("http://archive.test", "");
        let opened = all.ask("reader", Method::GET, &url, "", "").await;
        assert_eq!((opened.status, opened.content_type(), &opened.body[..]), (StatusCode::OK, media, &b"%PDF"[..]));
        assert_eq!(opened.header(header::CONTENT_DISPOSITION), how);
        assert_eq!(all.ask("local", Method::GET, &url, "", "").await.status, StatusCode::FORBIDDEN);
    }
    let text = all.ask("reader", Method::GET, "/api/reports/K%201/contents/0", "", "").await;
    assert_eq!(text.status, StatusCode::NOT_FOUND);
    let other = all.does("local", Method::GET, "/api/patients/1/timeline", Value::Null).await;
    assert_eq!(each(&other, "timeline", "study").len(), 2, "the order's and the images': {other}");
    assert!(!other.to_string().contains("Bình thường"), "another hospital's result");
    let path = "/api/patients/1/timeline?facility=56001";
    assert_eq!(all.ask("local", Method::GET, path, "", "").await.status, StatusCode::FORBIDDEN);
    let wrong = all.ask("reader", Method::GET, "/api/patients/1/timeline?cursor=x", "", "").await;
    assert_eq!((wrong.status, wrong.content_type()), (StatusCode::BAD_REQUEST, "application/problem+json"));
    let id = merged["merge"]["id"].as_str().expect("a number");
    all.does("admin", Method::DELETE, &format!("/api/merges/{id}?facility=56001"), Value::Null).await;
    assert_eq!(all.get("/api/patients/1/timeline").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_timeline_has_no_document_and_ends_where_it_is_long() {
    let all = Hospitals::open().await;
    all.put("/api/orders/O1", order("1", "A1")).await;
    let send = async |number: &str, at: u64, text: String, base64: String| {
        let contents = json!([
            {"as": "text", "heading": "", "text": text},
            {"as": "document", "media_type": "application/pdf", "base64": base64}]);
        all.post("/api/reports", json!({"number": number, "mrn": "1", "at": at, "contents": contents})).await;
    };
    let results = |page: &Value| -> Vec<Value> {
        let rows = page["timeline"].as_array().expect("rows").iter();
        rows.filter(|row| row["kind"] == "report").map(|row| row["number"].clone()).collect()
    };
    // Three documents are longer than a page, and count for nothing.
    for (number, at) in [("D1", 13), ("D2", 12), ("D3", 11)] {
        send(number, at, "x".into(), "QUJD".repeat(7 << 18)).await;
    }
    let page = all.get("/api/patients/1/timeline").await;
    assert_eq!(results(&page), ["D1", "D2", "D3"]);
    assert!(page["next"].is_null() && page.to_string().len() < 10_000, "{page}");
    let first = page["timeline"].as_array().expect("rows").iter().find(|row| row["number"] == "D1").expect("a row");
    assert_eq!(first["contents"][1]["bytes"], json!(3 * (7 << 18)), "{first}");
    // Words do count.
    for (number, at) in [("T1", 24), ("T2", 23), ("T3", 22), ("T4", 21)] {
        send(number, at, "x".repeat(6 << 20), "QUJD".into()).await;
    }
    let page = all.get("/api/patients/1/timeline").await;
    assert_eq!(results(&page), ["T1", "T2", "T3"]);
    let next = page["next"].as_str().expect("more");
    let rest = all.get(&format!("/api/patients/1/timeline?cursor={next}")).await;
    assert_eq!(results(&rest), ["T4", "D1", "D2", "D3"]);
    assert!(!page.to_string().contains("QUJD") && rest["next"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_moved_by_admins_of_the_facility_alone_and_come_back() {
    let all = Hospitals::open().await;
    all.store("56001", "1.2.3", "A1", "1").await;
    all.store("56001", "1.2.4", "A2", "2").await;
    let request = async |study: &str| {
        let path = format!("/facilities/56001/dicom-web/studies/{study}/metadata");
        let answer = all.ask("admin", Method::GET, &path, "", "").await;
        (answer.status, answer.body)
    };
    let before = (request("1.2.3").await, request("1.2.4").await);
    let wanted = |facility: &str, dry: bool| {
        let of = |study: &str| json!({"facility": facility, "study": study});
        json!({"study": of("1.2.3"), "to": of("1.2.4"), "why": "wrong-patient", "dry_run": dry})
    };
    let does =
        async |path: &str, body: Value| all.does("admin", Method::POST, &format!("/api/series/{path}"), body).await;
    let told = does("move", wanted("56001", true)).await;
    assert_eq!((&told["recorded"], &told["moved"][0]["instances"]), (&json!(false), &json!(1)), "{told}");
    assert_eq!((request("1.2.3").await, request("1.2.4").await), before);
    does("move", wanted("56001", false)).await;
    let (gone, there) = (request("1.2.3").await, request("1.2.4").await);
    assert_eq!((gone.0, there.0), (StatusCode::NOT_FOUND, StatusCode::OK));
    let both: Value = serde_json::from_slice(&there.1).expect("JSON");
    let both = both.as_array().expect("documents");
    assert!(both.iter().all(|one| one["0020000D"]["Value"][0] == "1.2.4" && one["00100020"]["Value"][0] == "2"));
    let listed = all.does("admin", Method::GET, "/api/series/moves?facility=56001&study=1.2.4", Value::Null).await;
    assert_eq!(
        (&listed["moves"][0]["by"], &listed["standing"][0]["to"]["study"]),
        (&json!("operator"), &json!("1.2.4"))
    );
    does("undo", json!({"study": {"facility": "56001", "study": "1.2.4"}})).await;
    assert_eq!((request("1.2.3").await, request("1.2.4").await), before);
    let with = |name: &str, value: Value| {
        let mut body = wanted("56001", false);
        body[name] = value;
        body
    };
    for (token, path, body, status) in [
        ("sender", "move", wanted("56001", false), 403),
        ("reader", "undo", json!({"study": {"facility": "56001", "study": "1.2.4"}}), 403),
        ("wrong", "split", wanted("56001", false), 401),
        ("admin", "move", json!({"study": {"facility": "56001", "study": "1.2.3"}}), 400),
        ("admin", "split", json!({"study": {"facility": "56001", "study": "1.2.3"}}), 400),
        ("admin", "move", wanted("56009", false), 400),
        ("admin", "move", with("why", json!("undo")), 400),
        ("admin", "move", json!({}), 400),
    ] {
        let answer = all.ask(token, Method::POST, &format!("/api/series/{path}"), "", &body.to_string()).await;
        assert_eq!(answer.status.as_u16(), status, "{token} {path} {body}");
    }
}
