//! Every file of the corpus in every transfer syntax that is made, by the whole program: decoders and encoders run in
//! their own processes, and other software decodes what comes (`scripts/transcode_matrix.py`, which prints the table).

use crate::corpus;
use crate::interop::python;
use crate::roundtrip::start;
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
