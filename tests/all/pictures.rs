//! Pictures of the corpus by the whole program: decoders run in their own processes, whatever the syntax.
//!
//! Frames and pictures are compared with other software, sample by sample (`scripts/compare_pictures.py`); pictures of
//! one image in several lossless syntaxes with each other; and nothing answers with an error of the server.

use crate::corpus;
use crate::interop::python;
use crate::roundtrip::start;
use std::process::Command;
use std::time::Duration;
use testkit::http::{Answer, Client, instance_path};
use testkit::modality::{Sending, send};
use testkit::object::Object;
use testkit::server::Server;

const PNG: &str = "Accept: image/png\r\n";

fn rendered(server: &Server, object: &Object) -> Answer {
    let mut client = Client::new(server.http, Duration::from_secs(60));
    client.get(&format!("{}/rendered", instance_path("/dicom-web", object)), PNG).expect("answered")
}

fn stored(file: &str) -> (Server, tempfile::TempDir, Object) {
    let (server, folder) = start();
    let object = Object::from_file(corpus::read(file)).expect("an object");
    let report = send(std::slice::from_ref(&object), &Sending::to(server.dicom, 1));
    assert_eq!(report.acknowledged().count(), 1, "{file}: {:?}", report.errors);
    (server, folder, object)
}

#[test]
fn an_image_looks_the_same_in_every_lossless_syntax() {
    let siblings = [
        ("syntax/CT1_UNC.dcm", &["CT1_J2KR", "CT1_JLSL", "CT1_JPLL", "CT1_RLE"][..]),
        ("syntax/MR3_UNC.dcm", &["MR3_J2KR"]),
        ("syntax/NM1_UNC.dcm", &["NM1_JLSL"]),
    ];
    for (plain, others) in siblings {
        let (server, _folder, object) = stored(plain);
        let expected = rendered(&server, &object);
        assert_eq!(expected.status, 200, "{plain}: {}", expected.text());
        for other in others {
            let file = format!("syntax/{other}.dcm");
            let (server, _folder, object) = stored(&file);
            let answer = rendered(&server, &object);
            assert_eq!(answer.status, 200, "{file}: {}", answer.text());
            assert!(answer.body == expected.body, "{file} looks different from {plain}");
        }
    }
}

#[test]
fn frames_and_pictures_are_what_other_software_makes_of_the_files() {
    let (server, _folder) = start();
    let output = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/compare_pictures.py"))
        .arg(format!("http://{}/dicom-web", server.http))
        .arg("--files")
        .arg(corpus::folder())
        .args(["--store", "--strict"])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    println!("{said}");
}

#[test]
fn every_file_of_the_corpus_is_a_picture_or_says_why_not() {
    let (mut pictures, mut refused) = (0, Vec::new());
    for list in corpus::readable() {
        let (server, _folder) = start();
        let objects: Vec<Object> = list.iter().map(|(_, object)| object.clone()).collect();
        send(&objects, &Sending::to(server.dicom, 2));
        for (file, object) in &list {
            let answer = rendered(&server, object);
            match answer.status {
                200 => pictures += 1,
                status => refused.push(format!("{file}: {status} {}", answer.text())),
            }
        }
    }
    println!("{pictures} pictures; refused:\n{}", refused.join("\n"));
    let failed: Vec<&String> = refused.iter().filter(|line| line.contains(": 5")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(pictures >= 100, "only {pictures} pictures");
}
