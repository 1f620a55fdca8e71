//! DCMTK and pynetdicom ask the running server over DIMSE; their answers are compared with pydicom's reading of the
//! files by `scripts/interop_dimse.py`, which prints one row for each service and tool.

use crate::corpus;
use crate::interop::python;
use crate::roundtrip::start;
use std::process::Command;
use testkit::modality::{Sending, send};
use testkit::object::Object;

#[test]
fn every_service_answers_every_tool() {
    let (server, _folder) = start();
    let list = corpus::readable().swap_remove(0);
    let objects: Vec<Object> = list.iter().map(|(_, object)| object.clone()).collect();
    let report = send(&objects, &Sending::to(server.dicom, 2));
    assert_eq!(report.acknowledged().count(), objects.len(), "{:?}", report.errors);
    let paths: Vec<String> = list.iter().map(|(file, _)| corpus::folder().join(file).display().to_string()).collect();
    let listing = server.data().with_extension("dimse.list");
    std::fs::write(&listing, paths.join("\n")).expect("written");
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/interop_dimse.py"))
        .arg(server.dicom.to_string())
        .arg(&listing)
        .arg(env!("CARGO_BIN_EXE_khoanh"))
        .arg(server.data())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
