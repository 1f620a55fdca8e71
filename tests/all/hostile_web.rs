//! Bad input on the HTTP port: the right status, bounded memory, nothing half-stored.

use crate::yard::{Yard, closed, patient_object};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::http::Answer;

const RELATED: &str = "Content-Type: multipart/related; type=\"application/dicom\"; boundary=b\r\n";

fn post(yard: &Yard, headers: &str, body: &[u8]) -> Answer {
    yard.client().request("POST", "/dicom-web/studies", headers, &[body]).expect("answered")
}

fn part(kind: &str, bytes: &[u8]) -> Vec<u8> {
    [format!("--b\r\nContent-Type: {kind}\r\n\r\n").as_bytes(), bytes, b"\r\n"].concat()
}

fn is_problem(answer: &Answer) {
    assert!(answer.header("content-type").starts_with("application/problem+json"), "{:?}", answer.headers);
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert!(problem.get("title").is_some() && problem.get("status").is_some(), "{problem}");
}

#[test]
fn a_stow_request_that_is_none_is_refused_with_a_reason() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", b"xx");
    let good = [part("application/dicom", &object.file), b"--b--\r\n".to_vec()].concat();
    let cases = [
        ("no boundary", "Content-Type: multipart/related; type=\"application/dicom\"\r\n", &[400, 415][..]),
        ("a type that is not DICOM", "Content-Type: multipart/related; type=\"image/png\"; boundary=b\r\n", &[415]),
        ("no multipart", "Content-Type: application/json\r\n", &[415]),
        ("no content type", "", &[400, 415]),
        ("an unreadable content type", "Content-Type: ;;;\r\n", &[400, 415]),
    ];
    for (what, headers, expected) in cases {
        let answer = post(&yard, headers, &good);
        assert!(expected.contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
        is_problem(&answer);
    }
    let cut = part("application/dicom", &object.file);
    for (what, body) in [
        ("no part", b"--b--\r\n".to_vec()),
        ("no delimiter at all", b"nothing of the kind".to_vec()),
        ("an empty body", Vec::new()),
        ("a part without its end", cut.get(..cut.len() - 40).expect("long").to_vec()),
    ] {
        let answer = post(&yard, RELATED, &body);
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    }
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("requests that are none");
}

#[test]
fn a_part_without_its_end_does_not_take_the_parts_before_with_it() {
    let mut yard = Yard::open();
    let whole = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", b"xx");
    let cut = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.4", "P1", &[7; 100_000]);
    let mut body = part("application/dicom", &whole.file);
    body.extend_from_slice(part("application/dicom", &cut.file).get(..50_000).expect("long"));
    let answer = post(&yard, RELATED, &body);
    let mut client = yard.client();
    let found = crate::roundtrip::retrieve(&mut client, &whole).is_ok();
    assert_eq!(answer.status == 202, found, "{}: {}", answer.status, answer.text());
    assert!([202, 400].contains(&answer.status), "{}: {}", answer.status, answer.text());
    assert!(crate::roundtrip::retrieve(&mut client, &cut).is_err(), "the cut part was kept");
    yard.is_unharmed("a part without its end");
}

#[test]
fn good_and_bad_parts_are_answered_one_by_one() {
    let mut yard = Yard::open();
    let good = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", b"xx");
    let nameless = patient_object("", "1.2.840.2", "1.2.840.4", "P1", b"xx");
    let answer = yard.client().stow("/dicom-web/studies", &[&good.file, &nameless.file, b"text"]).expect("answered");
    assert_eq!(answer.status, 202, "{}", answer.text());
    let result: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let count = |tag: &str| result[tag]["Value"].as_array().map_or(0, Vec::len);
    // What cannot be identified at all is in the Other Failures Sequence (PS3.18 section 10.5.3.2).
    assert_eq!((count("00081199"), count("00081198"), count("0008119A")), (1, 1, 1), "{result}");
    let answer = yard.client().stow("/dicom-web/studies", &[&nameless.file]).expect("answered");
    assert_eq!(answer.status, 409, "{}", answer.text());
    let before = yard.totals();
    let answer = yard.client().stow("/dicom-web/studies/1.2.840.77", &[&good.file]).expect("answered");
    assert_eq!(answer.status, 409, "another study than the request names: {}", answer.text());
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("good and bad parts");
}

#[test]
fn a_json_part_of_100_mb_is_refused_in_bounded_memory() {
    let mut yard = Yard::open();
    let before = yard.totals();
    yard.server.process().reset_peak();
    let resident = yard.server.process().resident_bytes();
    let opening = b"--b\r\nContent-Type: application/dicom+json\r\n\r\n[".to_vec();
    let filling = vec![b' '; 100 << 20];
    for headers in [RELATED, "Content-Type: multipart/related; type=\"application/dicom+json\"; boundary=b\r\n"] {
        let pieces: [&[u8]; 3] = [&opening, &filling, b"]\r\n--b--\r\n"];
        // A server may hang up on a body it does not want; what it then says can be lost on the way.
        if let Ok(answer) = yard.client().request("POST", "/dicom-web/studies", headers, &pieces) {
            assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
        }
    }
    let grown = yard.server.process().peak_bytes().saturating_sub(resident);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("a JSON part of 100 MB");
}

#[test]
fn requests_beyond_every_bound_are_refused() {
    let mut yard = Yard::open();
    let long = "9".repeat(1 << 20);
    let many = "PatientID=1&".repeat(2_000);
    let cases = [
        (format!("/dicom-web/studies?PatientID={long}"), &[400, 414, 431][..]),
        (format!("/dicom-web/studies?{many}"), &[400, 414]),
        (format!("/dicom-web/studies/{}", "1.".repeat(40)), &[400]),
        ("/dicom-web/studies/..%2F..%2Fetc/metadata".to_owned(), &[400, 404]),
        ("/dicom-web/studies/1.2.a/series".to_owned(), &[400]),
        ("/dicom-web/studies?offset=100000000".to_owned(), &[400]),
        ("/dicom-web/studies?limit=-1".to_owned(), &[400]),
        ("/dicom-web/studies?StudyDate=yesterday".to_owned(), &[400]),
        ("/dicom-web/studies?PatientName=%FF%FE".to_owned(), &[400]),
        ("/facilities/nowhere/dicom-web/studies".to_owned(), &[400, 404]),
        ("/nothing/here".to_owned(), &[404]),
    ];
    for (target, expected) in cases {
        let answer = yard.client().get(&target, "Accept: application/dicom+json\r\n").expect("answered");
        let shown: String = target.chars().take(80).collect();
        assert!(expected.contains(&answer.status), "{shown}: {} {}", answer.status, answer.text());
    }
    let answer = yard.client().get("/dicom-web/studies", "Accept: text/x-unknown\r\n").expect("answered");
    assert_eq!(answer.status, 406);
    let header = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let answer = yard.client().get("/dicom-web/studies", &header);
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 431));
    yard.is_unharmed("requests beyond bounds");
}

#[test]
fn garbage_and_slow_requests_harm_nobody() {
    let mut yard = Yard::open();
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"\0\0\0\0\0\0\0\0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xFF\xFF\xFF"]
    {
        let mut stream = TcpStream::connect(yard.server.http).expect("connected");
        stream.write_all(bytes).expect("written");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(closed(&mut stream), "{bytes:02X?}");
    }
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..600 {
        let mut stream = TcpStream::connect_timeout(&yard.server.http, Duration::from_secs(5)).expect("connected");
        // Every second one says nothing; the others dribble a request.
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /dicom-web/studies HTTP/1.1\r\nHost: x\r\n");
        }
        slow.push(stream);
    }
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        slow.iter_mut().step_by(2).for_each(|stream| drop(stream.write_all(b"X-Slow: 1\r\n")));
        yard.is_unharmed("slow requests");
    }
    yard.is_unharmed("while they still hold on");
    drop(slow);
}

#[test]
fn an_upload_that_stops_midway_leaves_nothing() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[7; 400_000]);
    for _ in 0..8 {
        let mut stream = TcpStream::connect(yard.server.http).expect("connected");
        let head = format!("POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n{RELATED}\r\n");
        stream.write_all(head.as_bytes()).expect("written");
        let body = part("application/dicom", &object.file);
        stream.write_all(body.get(..200_000).expect("long")).expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("uploads that stop");
}
