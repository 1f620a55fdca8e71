//! A study is corrected by the command while the server runs, and other software is asked what it sees: pynetdicom by
//! C-FIND and C-GET, DICOMweb, a C-MOVE destination, read by pydicom (`scripts/correct_check.py`).

use crate::interop::python;
use crate::roundtrip::{KHOANH, start};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::http::Client;
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::{self, Server};
use testkit::study::{Kind, Study};

/// What other software sees of a study.
fn seen(server: &Server, study: &str, names: &[&str]) -> Value {
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/correct_check.py"))
        .args([server.dicom.to_string(), format!("http://{}/dicom-web", server.http), study.to_owned()])
        .args(names)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text<'a>(said: &'a Value, path: &str) -> &'a str {
    said.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {said}"))
}

/// Runs `khoanh correct` on the study; what it printed.
fn correct(server: &Server, study: &str, arguments: &[&str]) -> String {
    let named = format!("DEMO0/{study}");
    let all: Vec<&str> = ["correct", &named].into_iter().chain(arguments.iter().copied()).collect();
    let output = server.command(&all).expect("runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const NEW: &str = "Lê^Thị Hồng";

/// Checks that everything goes out under the new name, and what was received on demand.
fn is_corrected(said: &Value, before: &Value, old: &str, study: &str) {
    assert_eq!(said.pointer(&format!("/found/{old}")), Some(&Value::Array(Vec::new())), "found by the old name");
    assert_eq!(text(said, &format!("/found/{NEW}/0/0")), study);
    for way in ["get", "stored", "explicit"] {
        assert_eq!(text(said, &format!("/{way}/name")), NEW, "{way}");
        assert_eq!(text(said, &format!("/{way}/accession")), "ACC-7", "{way}");
        assert_eq!(text(said, &format!("/{way}/before/0")), old, "{way}");
        assert_eq!(text(said, &format!("/{way}/reasons/0")), "COERCE", "{way}");
        assert_eq!(text(said, &format!("/{way}/pixels")), text(before, &format!("/{way}/pixels")), "{way}");
    }
    assert_eq!(said.pointer("/received"), before.pointer("/stored"), "as received");
    assert_eq!((text(said, "/metadata/0"), text(said, "/qido/0")), (NEW, NEW));
    assert_eq!(text(said, "/metadata received/0"), old);
}

/// The name that a destination of C-MOVE has got, and whether an item says what it was before.
fn moved(to: &Server, study: &str) -> (String, bool) {
    let mut client = Client::new(to.http, Duration::from_secs(20));
    let answer = client.get(&format!("/dicom-web/studies/{study}/metadata"), "").expect("answered");
    let documents: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let name = text(&documents, "/0/00100010/Value/0/Alphabetic").to_owned();
    (name, documents.pointer("/0/04000561/Value/0").is_some())
}

fn move_to(from: &Server, study: &str, as_received: bool) -> (String, bool) {
    let (to, _folder) = start();
    let address = to.dicom.to_string();
    let mut add = vec!["destinations", "add", "KHOANH", &address, "--any"];
    add.extend(as_received.then_some("--as-received"));
    assert!(from.command(&add).expect("runs").status.success());
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dimse_client.py"))
        .args(["move", &from.dicom.to_string(), study, "KHOANH"])
        .output()
        .expect("runs");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said.get("failed"), Some(&Value::from(0)), "{said}");
    moved(&to, study)
}

#[test]
fn a_correction_reaches_every_peer_and_is_undone_without_a_trace() {
    let (server, folder) = start();
    let objects: Vec<Object> = Study::draw(5, 1, Kind::Tiny, 3).objects().collect();
    let report = send(&objects, &Sending::to(server.dicom, 1));
    assert_eq!(report.acknowledged().count(), objects.len(), "{:?}", report.errors);
    let study = objects[0].study.clone();
    let first = seen(&server, &study, &[NEW]);
    let old = text(&first, "/get/name").to_owned();
    let names = [old.as_str(), NEW];
    let before = seen(&server, &study, &names);
    assert_eq!(text(&before, &format!("/found/{old}/0/0")), study);
    let (name, accession) = (format!("PatientName={NEW}"), "AccessionNumber=ACC-7");
    let wanted = ["--set", &name, "--set", accession, "--why", "coerce", "--by", "Lan", "--reason", "HIS says so"];
    let told = correct(&server, &study, &wanted);
    assert!(told.contains(&format!("{NEW:?}")) && told.contains("--yes"), "{told}");
    assert_eq!(seen(&server, &study, &names), before, "told, not done");
    let done: Vec<&str> = wanted.into_iter().chain(["--yes"]).collect();
    correct(&server, &study, &done);
    is_corrected(&seen(&server, &study, &names), &before, &old, &study);
    assert_eq!(move_to(&server, &study, false), (NEW.to_owned(), true));
    assert_eq!(move_to(&server, &study, true), (old.clone(), false));
    let listed = correct(&server, &study, &[]);
    assert!(listed.contains("ACC-7") && listed.contains("HIS says so"), "{listed}");
    // After a restart and from a rebuilt index.
    let data = server.data().to_owned();
    server.stop(Duration::from_secs(30)).expect("stops");
    let rebuilt = server::command(Path::new(KHOANH), &data, &["rebuild-index"]).expect("runs");
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let server = Server::start(Path::new(KHOANH), &data, &[]).expect("starts");
    is_corrected(&seen(&server, &study, &names), &before, &old, &study);
    correct(&server, &study, &["--undo", "--by", "Lan", "--reason", "was right", "--yes"]);
    assert_eq!(seen(&server, &study, &names), before, "something of the correction stayed");
    drop((server, folder));
}

#[test]
fn the_operators_api_corrects_too_and_says_what_is_wrong() {
    let (server, _folder) = start();
    let object = Study::draw(5, 2, Kind::Tiny, 1).object(0);
    send(std::slice::from_ref(&object), &Sending::to(server.dicom, 1));
    let mut client = Client::new(server.http, Duration::from_secs(20));
    let mut post = |set: Value, dry: bool| {
        let study = serde_json::json!({ "facility": "DEMO0", "study": object.study });
        let wanted = serde_json::json!({ "study": study, "set": set, "reason": "wrong", "dry_run": dry });
        let body = serde_json::to_vec(&wanted).expect("JSON");
        let headers = "Content-Type: application/json\r\n";
        client.request("POST", "/api/corrections", headers, &[&body]).expect("answered")
    };
    assert_eq!(post(serde_json::json!({ "StudyDate": "20200101" }), false).status, 400);
    assert_eq!(post(serde_json::json!({ "PatientSex": "female" }), false).status, 400);
    let told = post(serde_json::json!({ "PatientID": "P-77" }), true);
    assert!(told.status == 200 && told.text().contains("P-77"), "{}", told.text());
    let listing = format!("/api/corrections?facility=DEMO0&study={}", object.study);
    let mut client = Client::new(server.http, Duration::from_secs(20));
    assert!(!client.get(&listing, "").expect("answered").text().contains("P-77"), "told, not done");
    let mut post = |set: Value| {
        let study = serde_json::json!({ "facility": "DEMO0", "study": object.study });
        let body = serde_json::json!({ "study": study, "set": set, "reason": "wrong" }).to_string();
        client.request("POST", "/api/corrections", "Content-Type: application/json\r\n", &[body.as_bytes()])
    };
    assert_eq!(post(serde_json::json!({ "PatientID": "P-77" })).expect("answered").status, 200);
    let found = client.get("/dicom-web/studies?PatientID=P-77", "").expect("answered");
    assert!(found.text().contains(&object.study), "{}", found.text());
    assert!(client.get(&listing, "").expect("answered").text().contains("PatientID"));
    let bad = client.get("/dicom-web/studies/1.2?asreceived=perhaps", "Accept: */*\r\n").expect("answered");
    assert_eq!(bad.status, 400, "{}", bad.text());
}
