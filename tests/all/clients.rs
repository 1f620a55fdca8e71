//! The operator's small clients, `khoanh find` and `khoanh get`, against DCMTK's `dcmqrscp` and against the archive.

use crate::migrating::{dcmqrscp, send};
use crate::roundtrip::{KHOANH, start};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use testkit::object::Object;
use testkit::study::{Kind, Study};

fn run(arguments: &[&str]) -> Output {
    Command::new(KHOANH).args(arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The objects that lie in a folder, by SOP Instance UID; nothing else may lie there.
fn fetched(folder: &Path) -> BTreeMap<String, Object> {
    let files = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let read = |path| Object::from_file(std::fs::read(path).expect("read")).expect("a DICOM file");
    files.map(read).map(|object| (object.sop_instance.clone(), object)).collect()
}

/// Finds and fetches one of the studies the peer holds.
fn finds_and_fetches(address: &str, title: &str, objects: &[Object]) {
    let study = &objects.first().expect("objects").study;
    let wanted: Vec<&Object> = objects.iter().filter(|object| &object.study == study).collect();
    let call = [address, "--called", title];

    let key = format!("StudyInstanceUID={study}");
    let found = run(&[&["find"], &call[..], &["--json", &key, "StudyDate", "00100010"]].concat());
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    let row: Value = serde_json::from_slice(&found.stdout).expect("one line");
    assert_eq!(row.get("StudyInstanceUID").and_then(Value::as_str), Some(study.as_str()), "{row}");
    assert!(row.get("PatientName").and_then(Value::as_str).is_some_and(|name| !name.is_empty()), "{row}");
    let table = run(&[&["find"], &call[..], &["--limit", "1"]].concat());
    let lines = text(&table.stdout);
    assert_eq!(lines.lines().count(), 2, "a header and one study: {lines}");
    assert!(lines.starts_with("PatientID") && text(&table.stderr).contains("1 shown"), "{lines}");

    let folder = tempfile::tempdir().expect("folder");
    let into = folder.path().to_str().expect("UTF-8");
    let get = [&["get"], &call[..], &["--study", study, "--into", into]].concat();
    let got = run(&get);
    assert_eq!(got.status.code(), Some(0), "{}{}", text(&got.stdout), text(&got.stderr));
    let files = fetched(&folder.path().join(study));
    assert_eq!(files.len(), wanted.len());
    for object in &wanted {
        let file = files.get(&object.sop_instance).expect("fetched");
        assert!(file.data_set() == object.data_set(), "{} differs", object.sop_instance);
    }

    // One is taken away: it alone comes again.
    let gone = folder.path().join(study).join(format!("{}.dcm", wanted.first().expect("one").sop_instance));
    std::fs::remove_file(&gone).expect("removed");
    let again = text(&run(&get).stdout);
    assert!(again.starts_with("1 fetched") && gone.exists(), "{again}");
    let none = run(&[&["get"], &call[..], &["--study", "1.2.3.4", "--into", into]].concat());
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
}

fn objects() -> Vec<Object> {
    (0..3).flat_map(|number| Study::draw(96, number, Kind::Tiny, 5).objects().collect::<Vec<_>>()).collect()
}

#[test]
fn dcmqrscp_is_asked_and_gives_what_it_has() {
    let (other, objects) = (dcmqrscp(), objects());
    send(&other.address.to_string(), other.title, &objects);
    finds_and_fetches(&other.address.to_string(), other.title, &objects);
}

#[test]
fn the_archive_is_asked_and_gives_what_it_has() {
    let ((server, _folder), objects) = (start(), objects());
    let address = server.dicom.to_string();
    send(&address, "KHOANH", &objects);
    finds_and_fetches(&address, "KHOANH", &objects);
    let wrong = run(&["find", &address, "StudyDat=20260101"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}
