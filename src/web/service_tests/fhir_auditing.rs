//! FHIR AuditEvent: what was said, decided and rejected is told to admins alone, found by its terms, page by page.

use super::charts::Hospitals;
use super::fhir::ask;
use super::*;
use archive::proof::LedgerKeeping;
use http::Method;
use serde_json::{Value, json};

async fn page(all: &Hospitals, path: &str) -> Value {
    let answer = ask(all, "admin", Method::GET, path, &[], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
    answer.json()
}

/// What all pages of a search tell: by whom, what and to which end.
async fn found(all: &Hospitals, query: &str) -> Vec<String> {
    let (mut path, mut told) = (format!("/fhir/AuditEvent?{query}"), Vec::new());
    loop {
        let bundle = page(all, &path).await;
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let event = &entry["resource"];
            let (by, what) = (&event["agent"][0]["who"]["display"], &event["subtype"][0]["code"]);
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            told.push(format!("{} {} {}", text(by), text(what), text(&event["outcome"])));
            // Each is read by its id.
            let id = text(&event["id"]);
            assert_eq!(page(all, &format!("/fhir/AuditEvent/{id}")).await["id"], event["id"]);
            assert_eq!(
                page(all, &format!("/fhir/AuditEvent?_id={id}")).await["entry"].as_array().map(Vec::len),
                Some(1)
            );
        }
        let links = bundle["link"].as_array().expect("links").iter();
        let next = links.filter(|link| link["relation"] == "next").find_map(|link| link["url"].as_str());
        match next {
            Some(next) => path = next.replace("http://archive.test", ""),
            None => return told,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_told_to_admins_by_patient_agent_kind_study_and_date() {
    let keeping = || Some(LedgerKeeping::default());
    let all = Hospitals::open_with(|options| options.ledger = keeping()).await;
    for mrn in ["1", "2"] {
        all.put(&format!("/api/patients/{mrn}"), json!({"name": "Lê An"})).await;
    }
    all.post("/api/patients/1/merge", json!({"former": "2"})).await;
    all.put("/api/orders/O1", json!({"patient": {"mrn": "1"}, "accession": "A1", "procedure": "CT"})).await;
    for token in ["reader", "sender"] {
        let refused = ask(&all, token, Method::GET, "/fhir/AuditEvent", &[], "").await;
        assert_eq!(
            (refused.status, &refused.json()["resourceType"]),
            (StatusCode::FORBIDDEN, &json!("OperationOutcome"))
        );
    }
    let everything = found(&all, "_count=2").await;
    assert_eq!(
        everything.iter().filter(|one| one.starts_with("rest:his ")).count(),
        everything.len(),
        "{everything:?}"
    );
    assert!(everything.len() >= 5, "{everything:?}");
    // A patient's former numbers count, and nobody else's.
    assert_eq!(found(&all, "patient=56001.1").await.len(), everything.len());
    assert!(found(&all, "patient=56001.3").await.is_empty());
    assert_eq!(found(&all, "subtype=merged").await, ["rest:his merged 0"]);
    assert_eq!(found(&all, "type=110109").await.len(), 1, "the order");
    assert_eq!(found(&all, "agent-name=REST:h&site=56001&date=ge2020-01-01").await.len(), everything.len());
    for nothing in ["agent-name=nobody", "site=56002", "date=lt2020-01-01", "outcome=8", "action=D"] {
        assert!(found(&all, nothing).await.is_empty(), "{nothing}");
    }
    // What people did to studies comes from the ledger, without a patient.
    all.store("56001", "1.2.3", "A1", "1").await;
    let path = "/facilities/56001/dicom-web/studies/1.2.3?reason=quality";
    let rejected = ask(&all, "admin", Method::DELETE, path, &[], "").await;
    assert_eq!(rejected.status, StatusCode::OK, "{:?}", rejected.body);
    let archive = Arc::clone(&all.0.archive);
    tokio::task::spawn_blocking(move || archive.sign_ledger()).await.expect("no panic").expect("signed");
    let ledger = found(&all, "agent-name=operator").await;
    assert_eq!(ledger, ["operator instances-rejected 0"]);
    assert!(found(&all, "type=110100&patient=56001.1").await.is_empty());
}
