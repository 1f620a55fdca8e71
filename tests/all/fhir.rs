//! What `/fhir` tells of a filled archive is valid by the models of `fhir.resources` and by the JSON schema of 4.0.1, and
//! whatever it refers to is there.
//!
//! The reading is done by `scripts/fhir-validate`; Python and its packages come from `scripts/prepare`.

use crate::interop::python;
use crate::roundtrip::start;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use testkit::http::Client;
use testkit::modality::{Sending, send};
use testkit::study::{Kind, Study};

/// What the script says where its package is missing.
const WITHOUT_PACKAGE: i32 = 2;

fn post(client: &mut Client, path: &str, body: &Value) {
    let (head, body) = ("Content-Type: application/fhir+json\r\n", body.to_string());
    let answer = client.request("POST", path, head, &[body.as_bytes()]).expect("an answer");
    assert_eq!(answer.status, 201, "{path}: {}", answer.text());
}

#[test]
fn what_is_told_is_valid() {
    let (server, _folder) = start();
    let study = Study::draw(53, 1, Kind::Tiny, 5);
    let objects: Vec<_> = study.objects().collect();
    let sent = send(&objects, &Sending::to(server.dicom, 1));
    assert_eq!(sent.acknowledged().count(), objects.len());
    let mut client = Client::new(server.http, Duration::from_secs(60));
    let patient = json!({
        "resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1978",
        "identifier": [{"value": "22015985"}], "name": [{"text": "Nguyễn Văn An"}],
    });
    let order = json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "contained": [patient],
        "subject": {"reference": "#p"}, "identifier": [{"value": "CD-1"}], "code": {"text": "CT"},
    });
    post(&mut client, "/fhir/ServiceRequest", &order);
    let report = json!({
        "resourceType": "DiagnosticReport", "status": "final", "identifier": [{"value": "KQ-1"}], "code": {"text": "CT"},
        "subject": {"reference": "Patient/DEMO0.22015985"}, "basedOn": [{"reference": "ServiceRequest/DEMO0.CD-1"}],
        "conclusion": "Bình thường", "presentedForm": [{"contentType": "application/pdf", "data": "JVBERg=="}],
    });
    post(&mut client, "/fhir/DiagnosticReport", &report);
    let subscription = json!({
        "resourceType": "Subscription", "status": "requested", "reason": "results", "criteria": "DiagnosticReport?status=final",
        "channel": {"type": "rest-hook", "endpoint": "https://emr.invalid/fhir", "payload": "application/fhir+json"},
    });
    post(&mut client, "/fhir/Subscription", &subscription);
    let base = format!("http://{}/fhir", server.http);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/fhir-validate");
    let output = Command::new(python()).arg(script).arg(&base).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(WITHOUT_PACKAGE) {
        println!("not checked: {wrong}");
        return;
    }
    assert!(output.status.success(), "{said}{wrong}");
    for kind in ["ImagingStudy", "Patient", "ServiceRequest", "DiagnosticReport", "DocumentReference", "Subscription"] {
        assert!(said.contains(&format!("{kind}: 1\n")), "{said}");
    }
    assert!(said.contains("AuditEvent: 2\n"), "the order and the result were sent: {said}");
    // Without network, or its package, the schema alone is left out.
    let schema = said.lines().find(|line| line.starts_with("schema: ")).unwrap_or_default();
    assert!(schema.ends_with(" answers checked") || schema.starts_with("schema: not checked: "), "{said}");
    println!("{schema}");
}
