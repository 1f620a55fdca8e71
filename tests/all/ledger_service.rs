//! The ledger of a running archive: what was acknowledged is in it once, is proved by the command line and checked
//! by `scripts/verify_proof.py`, and a changed byte is found.

use crate::ledger::{accept, refuse};
use crate::roundtrip::KHOANH;
use crate::yard::patient_object;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use store::{LedgerView, RealDisk};
use testkit::http::Client;
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::{Server, command};

const STUDY: &str = "1.2.826.0.1.3680043.9.7777.1";
const STOPS_WITHIN: Duration = Duration::from_secs(60);

fn start(data: &Path) -> Server {
    Server::start(Path::new(KHOANH), data, &[]).expect("starts")
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    command(Path::new(KHOANH), data, arguments).expect("runs")
}

fn expect_exit(output: &Output, code: i32) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// Objects of one patient with numbers from `first` on.
fn objects(first: u32, count: u32) -> Vec<Object> {
    let object = |number| {
        let instance = format!("{STUDY}.1.{number}");
        patient_object(STUDY, &format!("{STUDY}.1"), &instance, "PATIENT4711", &[7; 64])
    };
    (first..first + count).map(object).collect()
}

/// Sends and expects every one to be acknowledged.
fn store(server: &Server, objects: &[Object], associations: usize) {
    let report = send(objects, &Sending::to(server.dicom, associations));
    assert_eq!(report.acknowledged().count(), objects.len(), "{report:?}");
}

fn name_of(object: &Object) -> String {
    let digest = Sha256::digest(format!("DEMO0\0{}", object.sop_instance));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn view(data: &Path) -> LedgerView {
    LedgerView::open(Arc::new(RealDisk), &data.join("ledger")).expect("a ledger")
}

/// How often each instance stands in the ledger.
fn stored(data: &Path) -> BTreeMap<String, u32> {
    let view = view(data);
    let mut counts = BTreeMap::new();
    for index in 0..view.size() {
        let entry: Value = serde_json::from_slice(&view.entry(index).expect("entry").bytes).expect("JSON");
        if entry["event"] == "stored" {
            *counts.entry(entry["instance"].as_str().expect("name").to_owned()).or_default() += 1;
        }
    }
    counts
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).expect("folder").flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn key(data: &Path) -> String {
    let said = expect_exit(&run(data, &["ledger", "head", "--json"]), 0);
    let head: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    head["public_key"].as_str().expect("key").to_owned()
}

#[test]
fn what_was_acknowledged_is_proved_at_once_beside_the_server_and_without() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(&folder.path().join("data"));
    store(&server, &objects(1, 7), 2);
    let data = server.data().to_owned();
    let study = format!("DEMO0/{STUDY}");
    let beside = path(folder.path(), "beside");
    let said = expect_exit(&run(&data, &["ledger", "prove", "--study", &study, "--out", &beside]), 0);
    assert!(said.contains("entry-0.json") && said.contains("verify_proof.py"), "{said}");
    let proofs = files(Path::new(&beside));
    assert_eq!(proofs.len(), 7, "{proofs:?}");
    let said = accept(&["--trusted", &key(&data)], &proofs);
    assert!(objects(1, 7).iter().all(|object| said.contains(&name_of(object))), "{said}");

    let before = view(&data).size().to_string();
    store(&server, &objects(8, 3), 1);
    let mut client = Client::new(server.http, Duration::from_secs(30));
    let metrics = client.get("/metrics", "").expect("metrics").text();
    let number = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name} in {metrics}"))
    };
    assert!(number("khoanh_ledger_entries ") >= 7.0);
    assert!(number("khoanh_ledger_failures_total ") == 0.0);
    assert!(number("khoanh_ledger_uncovered_records ") >= 0.0 && number("khoanh_ledger_head_age_seconds ") >= 0.0);
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());
    assert_eq!(view(&data).size(), 10, "a stop signs what waits");
    let one = path(folder.path(), "one");
    let instance = format!("DEMO0/{STUDY}.1.9");
    expect_exit(&run(&data, &["ledger", "prove", "--instance", &instance, "--out", &one]), 0);
    accept(&["--trusted", &key(&data)], &files(Path::new(&one)));
    let grown = path(folder.path(), "grown.json");
    expect_exit(&run(&data, &["ledger", "consistency", "--from", &before, "--out", &grown]), 0);
    let said = accept(&["--trusted", &key(&data)], &[grown.clone().into()]);
    assert!(said.contains("10 entries"), "{said}");
    refuse(&["--trusted", &"ab".repeat(32)], grown.into(), "another key");
    expect_exit(&run(&data, &["ledger", "consistency", "--from", "9999", "--out", &one]), 1);
    let nothing = expect_exit(&run(&data, &["ledger", "prove", "--study", "DEMO0/1.2.3", "--out", &one]), 3);
    assert!(nothing.contains("none of the 10 signed entries"), "{nothing}");
    assert!(expect_exit(&run(&data, &["ledger", "check"]), 0).contains("whole: 10 entries"));
    assert!(expect_exit(&run(&data, &["ledger", "head"]), 0).contains("entries     10"));
    assert!(expect_exit(&run(&data, &["ledger", "prove", "--entry", "10", "--out", &one]), 1).contains("no entry 10"));
}

#[test]
fn a_kill_after_the_answers_leaves_every_instance_in_the_ledger_once() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let mut next = 1;
    for round in 0..4 {
        let server = start(&data);
        let sent = objects(next, 40);
        next += 40;
        store(&server, &sent, 4);
        if round == 2 {
            // A head in between, so that a kill meets signed and unsigned entries.
            let (instance, out) = (format!("DEMO0/{STUDY}.1.1"), path(folder.path(), "out"));
            expect_exit(&run(&data, &["ledger", "prove", "--instance", &instance, "--out", &out]), 0);
            store(&server, &objects(next, 5), 1);
            next += 5;
        }
        server.kill().expect("killed");
    }
    let server = start(&data);
    let all = objects(1, next - 1);
    let counts = stored(&data);
    assert_eq!(counts.len(), all.len(), "nothing else is in it");
    for object in &all {
        assert_eq!(counts.get(&name_of(object)), Some(&1), "{}", object.sop_instance);
    }
    drop(server);
    for file in files(&data.join("ledger")) {
        let bytes = fs::read(&file).expect("file");
        for word in ["PATIENT4711", STUDY, "ACC1"] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} in {}", file.display());
        }
    }
}

/// Flips one bit of the entry that tells of this instance.
fn flip(data: &Path, object: &Object) -> PathBuf {
    let file = data.join("ledger/entries-00000000.log");
    let mut bytes = fs::read(&file).expect("entries");
    let name = name_of(object);
    let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).expect("the entry");
    bytes[at] ^= 1;
    fs::write(&file, bytes).expect("written");
    file
}

#[test]
fn a_changed_byte_is_found_by_the_check_and_at_the_end_refuses_the_start() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(&folder.path().join("data"));
    let data = server.data().to_owned();
    store(&server, &objects(1, 6), 1);
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());
    let sound = fs::read(data.join("ledger/entries-00000000.log")).expect("entries");

    let file = flip(&data, &objects(3, 1)[0]);
    let said = expect_exit(&run(&data, &["ledger", "check"]), 3);
    assert!(said.contains("entries-00000000.log is corrupt at byte") && said.contains("record 2"), "{said}");
    fs::write(&file, &sound).expect("written");
    expect_exit(&run(&data, &["ledger", "check"]), 0);

    // One association: in the order of sending.
    flip(&data, &objects(6, 1)[0]);
    let refused = run(&data, &["serve", "--dicom", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let said = expect_exit(&refused, 3);
    assert!(said.contains("entries-00000000.log is corrupt at byte"), "{said}");
    expect_exit(&run(&data, &["ledger", "check"]), 3);
    fs::write(&file, &sound).expect("written");
    start(&data);
}

#[test]
fn an_older_copy_of_the_ledger_is_a_finding_of_check_and_verify() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(&folder.path().join("data"));
    store(&server, &objects(1, 3), 1);
    let data = server.data().to_owned();
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());
    let name = |held: u64| {
        let ledger = store::ledger::log_name(view(&data).public_key());
        // What the archive notes when the journal gives its first nine records back.
        fs::write(data.join("ledger.marks"), format!(r#"[{{"ledger":"{ledger}","before":10,"entries":{held}}}]"#))
    };
    name(3).expect("a note");
    expect_exit(&run(&data, &["ledger", "check"]), 0);
    name(5).expect("a note");
    for command in [["ledger", "check"].as_slice(), &["verify"]] {
        let said = expect_exit(&run(&data, command), 3);
        assert!(said.contains("an older copy") && said.contains("at least 2 entries"), "{said}");
    }
    let server = start(&data);
    let said = expect_exit(&run(&data, &["status"]), 0);
    assert!(said.contains("an older copy"), "{said}");
    assert!(server.stop(STOPS_WITHIN).expect("stops").success());
}

#[test]
fn an_archive_without_a_ledger_says_so() {
    let folder = tempfile::tempdir().expect("folder");
    let (data, config) = (folder.path().join("data"), folder.path().join("khoanh.toml"));
    fs::write(&config, "[ledger]\nenabled = false\n").expect("file");
    let config = config.display().to_string();
    let server = Server::start(Path::new(KHOANH), &data, &["--config", &config]).expect("starts");
    store(&server, &objects(1, 1), 1);
    assert!(!data.join("ledger").exists());
    let said = expect_exit(&run(&data, &["ledger", "head", "--config", &config]), 1);
    assert!(said.contains("the ledger is off"), "{said}");
    let instance = format!("DEMO0/{STUDY}.1.1");
    let said = expect_exit(&run(&data, &["ledger", "prove", "--instance", &instance, "--config", &config]), 1);
    assert!(said.contains("no ledger to look in"), "{said}");
}

/// SoftHSM's own tool, told where its tokens lie.
fn softhsm(configuration: &Path, arguments: &[&str]) {
    let mut tool = Command::new("softhsm2-util");
    let output = tool.args(arguments).env("SOFTHSM2_CONF", configuration).output();
    let output = output.unwrap_or_else(|error| panic!("softhsm2-util: {error}; run scripts/prepare test"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// SoftHSM's library, which lies elsewhere in other distributions.
fn module() -> PathBuf {
    let known = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = known.iter().map(PathBuf::from).find(|path| path.exists());
    std::env::var_os("KHOANH_SOFTHSM").map(PathBuf::from).or(found).expect("SoftHSM: apt-get install softhsm2")
}

#[test]
fn a_key_that_was_moved_onto_a_token_goes_on_signing() {
    let folder = tempfile::tempdir().expect("folder");
    let (data, tokens, pin) = (folder.path().join("data"), folder.path().join("tokens"), folder.path().join("pin"));
    let (hsm, config) = (folder.path().join("softhsm2.conf"), folder.path().join("khoanh.toml"));
    fs::create_dir(&tokens).expect("folder");
    fs::write(&hsm, format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()))
        .expect("file");
    let write = |name: &str, number: u32| {
        let path = folder.path().join(name);
        fs::write(&path, &objects(number, 1)[0].file).expect("file");
        path.display().to_string()
    };
    expect_exit(&run(&data, &["import", &write("1.dcm", 1)]), 0);
    let (trusted, pem) = (key(&data), data.join("ledger.pem"));

    softhsm(&hsm, &["--init-token", "--free", "--label", "khoanh", "--so-pin", "31415926", "--pin", "271828"]);
    let import = ["--import", pem.to_str().expect("UTF-8"), "--token", "khoanh", "--label", "ledger", "--id", "01"];
    softhsm(&hsm, &[import.as_slice(), &["--pin", "271828"]].concat());
    fs::remove_file(&pem).expect("removed");
    let text = format!(
        "[ledger]\ntoken_module = {:?}\ntoken = \"khoanh\"\ntoken_key = \"ledger\"\ntoken_pin_file = {pin:?}\n",
        module()
    );
    fs::write(&config, text).expect("file");
    let signing = |file: &str, number: &str| {
        fs::write(&pin, number).expect("PIN");
        fs::set_permissions(&pin, Permissions::from_mode(0o600)).expect("mode");
        let mut command = Command::new(KHOANH);
        command.args(["import", file, "--config"]).arg(&config).arg("--data").arg(&data);
        command.env("SOFTHSM2_CONF", &hsm).output().expect("runs")
    };
    let second = write("2.dcm", 2);
    let refused = expect_exit(&signing(&second, "999999\n"), 1);
    assert!(refused.contains("ledger on token khoanh"), "{refused}");
    expect_exit(&signing(&second, "271828\n"), 0);
    assert!(!pem.exists());
    let grown = path(folder.path(), "grown.json");
    expect_exit(&run(&data, &["ledger", "consistency", "--from", "1", "--to", "2", "--out", &grown]), 0);
    accept(&["--trusted", &trusted], &[grown.into()]);
}
