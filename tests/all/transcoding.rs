//! Every file of the corpus in every transfer syntax that is made, by the whole program: decoders and encoders run in
//! their own processes, and other software decodes what comes (`scripts/transcode_matrix.py`, which prints the table).

use crate::corpus;
use crate::interop::python;
use crate::roundtrip::start;
use crate::yard::Yard;
use std::process::Command;
use testkit::modality::{Sending, send};
use testkit::object::Object;

#[test]
fn every_source_becomes_every_target_with_equal_samples() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let rows = folder.path().join("rows.json");
    let mut said = String::new();
    for list in corpus::readable() {
        let (server, _folder) = start();
        let objects: Vec<Object> = list.iter().map(|(_, object)| object.clone()).collect();
        let report = send(&objects, &Sending::to(server.dicom, 2));
        assert_eq!(report.acknowledged().count(), objects.len(), "{:?}", report.errors);
        let paths: Vec<String> =
            list.iter().map(|(file, _)| corpus::folder().join(file).display().to_string()).collect();
        let listing = folder.path().join("listing");
        std::fs::write(&listing, paths.join("\n")).expect("written");
        let output = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/transcode_matrix.py"))
            .arg(format!("http://{}/dicom-web", server.http))
            .arg(&listing)
            .arg("--rows")
            .arg(&rows)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
        said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{wrong}");
    }
    println!("{said}");
}

/// What is asked of files that are broken: whole objects and their first frame, decoded and encoded.
const ASKED: &[(&str, &str)] = &[
    ("", "application/dicom"),
    ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
    ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90"),
    ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.5"),
    ("/frames/1", "application/octet-stream"),
    ("/frames/1", "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"),
];

#[test]
fn broken_files_cost_themselves_whatever_is_asked_of_them() {
    let mut yard = Yard::open();
    for row in corpus::rows() {
        if row.file.starts_with("bad/") || row.pydicom != "ok" {
            yard.client().stow("/dicom-web/studies", &[&corpus::read(&row.file)]).expect("answered");
        }
    }
    let found = yard.client().get("/dicom-web/instances?limit=500", "").expect("answered");
    let found: Vec<serde_json::Value> = serde_json::from_slice(&found.body).expect("JSON");
    let url =
        |row: &serde_json::Value| row.pointer("/00081190/Value/0").and_then(|url| url.as_str().map(str::to_owned));
    let paths: Vec<String> =
        found.iter().filter_map(url).filter_map(|url| Some(url.split_once("/dicom-web")?.1.to_owned())).collect();
    assert!(paths.len() > 10, "only {} broken files were taken", paths.len());
    let (mut made, mut refused, mut cut) = (0, 0, 0);
    for path in &paths {
        for (below, accept) in ASKED {
            // A client of its own: an answer that breaks off ends its connection.
            match yard.client().get(&format!("/dicom-web{path}{below}"), &format!("Accept: {accept}\r\n")) {
                Ok(answer) if answer.status == 200 => made += 1,
                Ok(answer) => {
                    assert!(matches!(answer.status, 404 | 406 | 503), "{path}{below} {accept}: {}", answer.text());
                    refused += 1;
                }
                Err(_) => cut += 1,
            }
        }
    }
    println!("{made} made, {refused} refused, {cut} cut");
    assert!(made > 0 && refused > 0);
    yard.is_unharmed("broken files transcoded");
}
