//! Unified Procedure Steps on the running server: pynetdicom as user of every class by `scripts/interop_ups.py`, and
//! kills between effect and answer; UPS-RS with its WebSockets by `scripts/interop_ups_rs.py`.

use crate::interop::python;
use crate::roundtrip::start;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::server::Server;

/// Starts the script of DIMSE.
fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(python());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/interop_ups.py")).args(arguments);
    command
}

/// Runs the script of HTTP.
fn over_http(arguments: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/interop_ups_rs.py");
    let output = Command::new(python()).arg(script).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_class_of_procedure_steps_answers_pynetdicom() {
    let (server, _folder) = start();
    let (address, data) = (server.dicom.to_string(), server.data().display().to_string());
    let output = script(&["table", &address, env!("CARGO_BIN_EXE_khoanh"), &data]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn steps_answered_before_a_kill_are_there_after_it_and_their_events_come() {
    let (mut server, folder) = start();
    let mut answered = Vec::new();
    for wanted in [20, 35] {
        let mut planning = script(&["plan", &server.dicom.to_string()]).stdout(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(planning.stdout.take().expect("piped")).lines();
        let mut killed = Some(server);
        for (count, line) in lines.map_while(Result::ok).enumerate() {
            answered.push(line);
            if count == wanted {
                killed.take().into_iter().for_each(|server| server.kill().expect("killed"));
            }
        }
        planning.wait().expect("ended");
        let data = folder.path().join("data");
        server = Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &data, &[]).expect("starts again");
    }
    let mut check = script(&["check", &server.dicom.to_string()]);
    let mut check = check.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    check.stdin.take().expect("piped").write_all(answered.join("\n").as_bytes()).expect("told");
    let output = check.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{} answers: {said}", answered.len());
    assert!(said.parse::<usize>().expect("a number") >= 25, "{said} steps");
}

#[test]
fn steps_over_http_and_their_events_on_a_websocket() {
    let (server, _folder) = start();
    over_http(&["table", &server.http.to_string(), &server.dicom.to_string()]);
}

#[test]
fn a_subscriber_that_never_reads_is_disconnected_and_finds_its_newest_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("khoanh.toml");
    std::fs::write(&config, "[http]\nstall_limit = \"2s\"\n").expect("written");
    let arguments = ["--config", &config.display().to_string()];
    let data = folder.path().join("data");
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_khoanh")), &data, &arguments).expect("starts");
    over_http(&["deaf", &server.http.to_string()]);
}
