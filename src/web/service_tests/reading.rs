//! Who read what is recorded of every way by the web, told to admins of the facility and to nobody else.

use super::charts::Hospitals;
use super::*;
use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;

// SHA-256 of "steward-1" and "steward-2".
const STEWARDS: &str = r#"
[[token]]
name = "steward of 56001"
sha256 = "aed96123ee767328a07dcd5f97be600860fb576a1b41e4c18d85f7059d6077f0"
facilities = ["56001"]
role = "admin"

[[token]]
name = "steward of 56002"
sha256 = "1375dc36bbbdeb4511325553b6e3160a0e5b8ed066a0ae309fdbb892f596f200"
facilities = ["56002"]
role = "admin"
"#;
const STUDY: &str = "/facilities/56001/dicom-web/studies/1.2.3";
const INSTANCE: &str = "/series/1.2.3.1/instances/1.2.3.1.1";

/// The same archive as stewards of one facility each see it.
struct Stewards(Router);

impl Stewards {
    fn of(all: &Hospitals) -> Self {
        let tokens = Tokens::parse(STEWARDS).expect("tokens");
        Self(router(App::new(Arc::clone(&all.0.archive), Options::default(), tokens)))
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(header::HOST, "archive.test").body(Body::empty()).expect("a request");
        let (parts, body) = self.0.clone().oneshot(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn list(&self, token: &str, path: &str) -> Vec<Value> {
        let answer = self.get(token, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
        answer.json()["reads"].as_array().expect("reads").clone()
    }
}

/// What was read so far is written.
async fn written(all: &Hospitals) {
    let archive = Arc::clone(&all.0.archive);
    tokio::task::spawn_blocking(move || archive.charts().write_reads(true)).await.expect("no panic").expect("written");
}

async fn status(all: &Hospitals, token: &str, path: &str) -> u16 {
    all.ask(token, Method::GET, path, "", "").await.status.as_u16()
}

/// A request of a browser that has a token in its cookie, from an address.
async fn by_browser(all: &Hospitals, path: &str) -> u16 {
    let mut request =
        Request::get(path).header(header::COOKIE, "khoanh-token=reader").body(Body::empty()).expect("one");
    let local = SocketAddr::from(([127, 0, 0, 1], 80));
    request.extensions_mut().insert(crate::server::Peer { address: [192, 0, 2, 7].into(), tls: false, local });
    all.0.send(request).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrieve_is_recorded_with_its_token_and_told_to_stewards_of_the_facility_alone() {
    let all = Hospitals::open().await;
    all.store("56001", "1.2.3", "A1", "1").await;
    for path in [STUDY.to_owned(), format!("{STUDY}/metadata"), format!("{STUDY}{INSTANCE}")] {
        assert_eq!(status(&all, "reader", &path).await, 200, "{path}");
    }
    assert_eq!(by_browser(&all, &format!("{STUDY}{INSTANCE}/metadata")).await, 200);
    // What was refused, or is not there, is no read, and neither is a search.
    assert_eq!(status(&all, "reader", "/facilities/56001/dicom-web/studies/1.2.4").await, 404);
    assert_eq!(status(&all, "reader", &format!("{STUDY}?accept=text/plain")).await, 406);
    assert_eq!(status(&all, "local", STUDY).await, 403);
    assert_eq!(status(&all, "reader", "/facilities/56001/dicom-web/studies").await, 200);
    written(&all).await;
    let stewards = Stewards::of(&all);
    let reads = stewards.list("steward-1", "/api/reads?study=1.2.3").await;
    let mut seen: Vec<String> = reads.iter().map(|read| format!("{} {}", read["way"], read["requests"])).collect();
    seen.sort();
    assert_eq!(seen, [r#""dicomweb" 3"#, r#""viewer" 1"#], "{reads:?}");
    let one = reads.iter().find(|read| read["way"] == "dicomweb").expect("one");
    assert_eq!((&one["by"], &one["role"], &one["facility"]), (&json!("emr"), &json!("reader"), &json!("56001")));
    assert_eq!((&one["study"], &one["objects"]), (&json!("1.2.3"), &json!(2)), "metadata give no instance: {one}");
    let browser = reads.iter().find(|read| read["way"] == "viewer").expect("one");
    assert_eq!(browser["addresses"], json!(["192.0.2.7"]));
    assert!(!reads.iter().any(|read| read.to_string().contains("Nguyễn")), "{reads:?}");
    // Another facility's steward is told nothing, and whoever is no steward is refused.
    assert!(stewards.list("steward-2", "/api/reads?study=1.2.3").await.is_empty());
    assert_eq!(stewards.get("steward-2", "/api/reads?facility=56001").await.status, StatusCode::FORBIDDEN);
    let audited = stewards.get("steward-2", "/fhir/AuditEvent?subtype=read-dicomweb").await.json();
    assert!(audited.get("entry").is_none(), "{audited}");
    for token in ["reader", "sender"] {
        assert_eq!(status(&all, token, "/api/reads").await, 403, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_found_by_caller_way_and_day_in_pages_and_wrong_questions_are_refused() {
    let all = Hospitals::open().await;
    for study in ["1.2.3", "1.2.4", "1.2.5"] {
        all.store("56001", study, "A1", "1").await;
        assert_eq!(status(&all, "reader", &format!("/facilities/56001/dicom-web/studies/{study}")).await, 200);
    }
    assert_eq!(status(&all, "sender", "/facilities/56001/dicom-web/studies/1.2.3/media").await, 200);
    written(&all).await;
    let stewards = Stewards::of(&all);
    let count = async |query: &str| stewards.list("steward-1", &format!("/api/reads{query}")).await.len();
    assert_eq!((count("").await, count("?by=emr").await, count("?by=e").await), (4, 3, 0));
    assert_eq!((count("?way=export").await, count("?way=move").await), (1, 0));
    assert_eq!((count("?from=2020-01-01").await, count("?to=2020-01-01").await), (4, 0));
    let (mut path, mut pages) = ("/api/reads?by=emr&limit=1".to_owned(), Vec::new());
    loop {
        let page = stewards.get("steward-1", &path).await.json();
        let studies = page["reads"].as_array().expect("reads").iter();
        pages.extend(studies.map(|read| read["study"].as_str().expect("a study").to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/reads?by=emr&limit=1&cursor={next}"),
            None => break,
        }
    }
    pages.sort();
    assert_eq!(pages, ["1.2.3", "1.2.4", "1.2.5"], "every read comes once");
    for wrong in ["?study=x", "?way=fax", "?from=yesterday", "?cursor=x", "?limit=0", "?facility=x"] {
        let answer = stewards.get("steward-1", &format!("/api/reads{wrong}")).await;
        assert_eq!(
            (answer.status, answer.content_type()),
            (StatusCode::BAD_REQUEST, "application/problem+json"),
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_event_tells_a_read_by_patient_study_agent_and_date() {
    let all = Hospitals::open().await;
    all.store("56001", "1.2.3", "A1", "1").await;
    all.store("56001", "1.2.4", "A2", "2").await;
    assert_eq!(status(&all, "reader", STUDY).await, 200);
    written(&all).await;
    let stewards = Stewards::of(&all);
    let found = async |query: &str| {
        let bundle = stewards.get("steward-1", &format!("/fhir/AuditEvent?{query}")).await.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(|entry| entry["resource"].clone()).collect::<Vec<Value>>()
    };
    for query in [
        "subtype=read-dicomweb",
        "patient=56001.1&type=110103",
        "patient.identifier=1&type=110103",
        "entity=ImagingStudy/56001.1.2.3",
        "agent-name=em&date=ge2020-01-01",
        "agent-name:exact=emr",
        "action=R&site=56001&outcome=0",
    ] {
        assert_eq!(found(query).await.len(), 1, "{query}");
    }
    for nothing in [
        "patient=56001.2",
        "entity=ImagingStudy/56001.1.2.4",
        "date=lt2020-01-01&subtype=read-dicomweb",
        "agent-name=his&type=110103",
    ] {
        assert!(found(nothing).await.is_empty(), "{nothing}");
    }
    let event = found("subtype=read-dicomweb").await.remove(0);
    assert_eq!(event.pointer("/agent/0/who/display"), Some(&json!("emr")));
    assert_eq!(event.pointer("/entity/0/what/identifier/value"), Some(&json!("urn:oid:1.2.3")), "{event}");
    assert!(event["period"]["start"].is_string() && event["period"]["end"].is_string(), "{event}");
    let id = event["id"].as_str().expect("an id");
    assert_eq!(stewards.get("steward-1", &format!("/fhir/AuditEvent/{id}")).await.json()["id"], event["id"]);
    assert_eq!(stewards.get("steward-2", &format!("/fhir/AuditEvent/{id}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(found(&format!("_id={id}")).await.len(), 1);
}
