//! DCMTK, pynetdicom and dicomweb-client against the running server, unmodified, and the archive's answers
//! against pydicom's reading of the same files.
//!
//! The comparing is done by `scripts/interop.py`; Python and its packages come from `scripts/prepare`.

use crate::corpus;
use crate::roundtrip::start;
use std::path::PathBuf;
use std::process::Command;
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::Server;

pub(crate) fn python() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    std::env::var_os("KHOANH_PYTHON").map_or_else(|| home().join(".cache/khoanh/venv/bin/python"), PathBuf::from)
}

/// Runs the comparison over these files against a server.
fn compare(tool: &str, server: &Server, files: &[String]) {
    let listing = server.data().with_extension(format!("{tool}.list"));
    let paths: Vec<String> = files.iter().map(|file| corpus::folder().join(file).display().to_string()).collect();
    std::fs::write(&listing, paths.join("\n")).expect("written");
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/interop.py"))
        .args([tool, &server.dicom.to_string(), &server.http.to_string()])
        .arg(&listing)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{tool}:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

/// Files of the first list: no two share a UID.
fn files() -> Vec<String> {
    corpus::readable().swap_remove(0).into_iter().map(|(file, _)| file).collect()
}

#[test]
fn storescu_of_dcmtk_sends_and_everything_comes_back_value_equal() {
    let (server, _folder) = start();
    compare("storescu", &server, &files());
}

#[test]
fn dcmsend_of_dcmtk_sends_and_everything_comes_back_value_equal() {
    let (server, _folder) = start();
    compare("dcmsend", &server, &files());
}

#[test]
fn pynetdicom_echoes_and_sends_and_everything_comes_back_value_equal() {
    let (server, _folder) = start();
    compare("pynetdicom", &server, &files());
}

#[test]
fn dicomweb_client_stores_searches_and_reads_everything_value_equal() {
    let (server, _folder) = start();
    compare("dicomweb-client", &server, &files());
}

#[test]
fn metadata_and_frames_are_those_pydicom_reads() {
    for list in corpus::readable() {
        let (server, _folder) = start();
        let objects: Vec<Object> = list.iter().map(|(_, object)| object.clone()).collect();
        let report = send(&objects, &Sending::to(server.dicom, 2));
        assert_eq!(report.acknowledged().count(), list.len(), "{:?}", report.errors);
        let files: Vec<String> = list.into_iter().map(|(file, _)| file).collect();
        compare("none", &server, &files);
    }
}
