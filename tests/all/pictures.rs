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

/// Pillow's view of an animation: its frames are the pictures, in their order, and it repeats for ever.
const SAME_FRAMES: &str = "
import sys
from PIL import Image, ImageSequence
animation = Image.open(sys.argv[1])
frames = [frame.convert('L').tobytes() for frame in ImageSequence.Iterator(animation)]
pictures = [Image.open(path).convert('L').tobytes() for path in sys.argv[2:]]
assert len(frames) == len(pictures), (len(frames), len(pictures))
assert [frame == picture for frame, picture in zip(frames, pictures)] == [True] * len(frames)
assert len(set(frames)) == len(frames), 'every frame is another picture'
assert (animation.info.get('loop'), animation.info['duration']) == (0, 100), animation.info
";

#[test]
fn a_series_moves_in_the_order_of_its_numbers_and_by_the_same_parameters() {
    let (server, folder) = start();
    let files: Vec<String> = (1..=9).map(|number| format!("modality/mr-series/MR0{number}.dcm")).collect();
    let objects: Vec<Object> =
        files.iter().map(|file| Object::from_file(corpus::read(file)).expect("an object")).collect();
    for object in objects.iter().rev() {
        send(std::slice::from_ref(object), &Sending::to(server.dicom, 1));
    }
    let mut client = Client::new(server.http, Duration::from_secs(60));
    for (at, parameters) in ["window=800,1600,linear", "window=400,900,linear&viewport=100,60"].iter().enumerate() {
        let mut ask = |path: &str, accept: &str, name: String| {
            let path = format!("{path}/rendered?{parameters}");
            let answer = client.get(&path, &format!("Accept: {accept}\r\n")).expect("answered");
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let file = folder.path().join(name);
            std::fs::write(&file, &answer.body).expect("written");
            file
        };
        let series = instance_path("/dicom-web", &objects[0]);
        let series = series.split("/instances/").next().expect("a series");
        let mut paths = vec![ask(series, "image/gif", format!("{at}.gif"))];
        for (number, object) in objects.iter().enumerate() {
            paths.push(ask(&instance_path("/dicom-web", object), "image/png", format!("{at}-{number}.png")));
        }
        let output = Command::new(python()).args(["-c", SAME_FRAMES]).args(paths).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}; run scripts/prepare test", python().display()));
        assert!(output.status.success(), "{parameters}: {}", String::from_utf8_lossy(&output.stderr));
    }
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
