//! DCMTK and pynetdicom against running archives over DIMSE, one row for each service and tool by `scripts/interop-dimse`;
//! moves and commitments over kills.

use crate::corpus;
use crate::interop::python;
use crate::roundtrip::start;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::http::Client;
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::Server;
use testkit::study::{Kind, Study};

/// Runs parts of `scripts/interop-dimse`, which starts archives of its own.
fn table(parts: &[&str]) {
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/interop-dimse"))
        .args(["--program", env!("CARGO_BIN_EXE_khoanh")])
        .arg("--dicom")
        .arg(corpus::folder())
        .args(parts)
        .env("KHOANH_PYTHON", python())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_service_answers_every_tool() {
    table(&["retrieve"]);
}

#[test]
fn tools_speak_tls_both_ways_and_wrong_certificates_are_refused() {
    table(&["tls"]);
}

#[test]
fn commitments_forwarding_notices_and_our_clients_meet_other_peoples_tools() {
    table(&["later", "forward", "clients"]);
}

#[test]
fn consoles_find_their_worklist_and_report_what_they_perform() {
    table(&["worklist"]);
}

#[test]
fn ten_thousand_objects_reach_a_storescp_that_is_killed_midway() {
    table(&["large"]);
}

/// Starts `scripts/dimse_client.py`.
fn client(arguments: &[&str]) -> Child {
    Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dimse_client.py"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()))
}

/// What it was answered.
fn said(client: Child) -> Value {
    let output = client.wait_with_output().expect("ended");
    assert!(output.status.success(), "the client failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(said: &Value, name: &str) -> u64 {
    said.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {name} in {said}"))
}

/// Instances that a server holds.
fn held(server: &Server) -> u64 {
    let answer = Client::new(server.http, Duration::from_secs(20)).get("/api/stats", "").expect("answered");
    let stats: Value = serde_json::from_str(&answer.text()).expect("JSON");
    stats.pointer("/total/instances").and_then(Value::as_u64).expect("a number")
}

fn destine(server: &Server, to: &Server) {
    let added = server.command(&["destinations", "add", "KHOANH", &to.dicom.to_string(), "--any"]).expect("runs");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
}

#[test]
fn a_destination_killed_midway_is_told_truly_and_the_next_move_completes() {
    const OBJECTS: u32 = 4_000;
    let (server, _folder) = start();
    let (other, _other_folder) = start();
    let study = Study::draw(5, 1, Kind::Tiny, OBJECTS);
    let objects: Vec<Object> = study.objects().collect();
    let report = send(&objects, &Sending::to(server.dicom, 4));
    assert_eq!(report.acknowledged().count(), objects.len(), "{:?}", report.errors);
    destine(&server, &other);
    let archive = server.dicom.to_string();
    let moving = client(&["move", &archive, &study.uid, "KHOANH"]);
    let begun = Instant::now();
    while held(&other) < 100 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing arrives");
        std::thread::yield_now();
    }
    let data = other.data().to_owned();
    other.kill().expect("killed");
    let told = said(moving);
    let (completed, failed) = (number(&told, "completed"), number(&told, "failed"));
    assert_eq!(completed + failed, u64::from(OBJECTS), "{told}");
    assert!(failed > 0 && number(&told, "status") == 0xB000, "{told}");
    assert_eq!(number(&told, "listed"), failed.min(1_000));
    let other = Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &data, &[]).expect("starts again");
    assert!(held(&other) >= completed, "more was told than is held: {told}, {}", held(&other));
    destine(&server, &other);
    let told = said(client(&["move", &archive, &study.uid, "KHOANH"]));
    assert_eq!((number(&told, "status"), number(&told, "completed")), (0, u64::from(OBJECTS)), "{told}");
    assert_eq!(held(&other), u64::from(OBJECTS));
}

#[test]
fn a_commitment_asked_before_a_kill_is_reported_after_it() {
    let (server, _folder) = start();
    let object = Study::draw(6, 1, Kind::Tiny, 1).object(0);
    let report = send(std::slice::from_ref(&object), &Sending::to(server.dicom, 1));
    assert_eq!(report.acknowledged().count(), 1, "{:?}", report.errors);
    let (class, instance) = (object.sop_class.as_str(), object.sop_instance.as_str());
    let asked = said(client(&["ask", &server.dicom.to_string(), "1.2.77", class, instance]));
    assert_eq!(number(&asked, "status"), 0, "{asked}");
    let data = server.data().to_owned();
    server.kill().expect("killed");
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &data, &[]).expect("starts again");
    let heard = said(client(&["hear", &server.dicom.to_string()]));
    assert_eq!(heard.pointer("/reports/0/transaction").and_then(Value::as_str), Some("1.2.77"), "{heard}");
    assert_eq!(heard.pointer("/reports/0/event").and_then(Value::as_u64), Some(1), "{heard}");
}
