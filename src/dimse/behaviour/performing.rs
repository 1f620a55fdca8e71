//! Performed procedure steps (MPPS) on the wire: begun, changed, ended, and what is refused and why.

use super::peer::{CT, EXPLICIT, IMPLICIT, Peer, command_set, element, encode, pdata, pdv, request};
use super::server::Server;
use crate::performed_scp::PERFORMED_PROCEDURE_STEP;
use crate::{Options, STATUSES};
use archive::charts::ChartError;
use archive::ups::Document;
use dataset::document;
use dicom_ul::pdu::PresentationContextProposed;
use serde_json::{Value, json};

const CREATE: u16 = 0x0140;
const SET: u16 = 0x0120;

/// An association with MPPS on context 7.
fn associate(server: &Server, syntax: &str) -> Peer {
    let mut asked = request("KHOANH", "CT01");
    asked.presentation_contexts.push(PresentationContextProposed {
        id: 7,
        abstract_syntax: PERFORMED_PROCEDURE_STEP.into(),
        transfer_syntaxes: vec![syntax.into()],
    });
    let mut peer = server.connect();
    peer.send(&encode(&asked));
    assert_eq!(peer.pdu().expect("an answer").0, 2);
    peer
}

fn document(value: Value) -> Document {
    value.as_object().expect("an object").clone()
}

fn begun() -> Document {
    document(json!({
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Ánh"}]},
        "00400241": {"vr": "AE", "Value": ["CT01"]},
        "00400244": {"vr": "DA", "Value": ["20260105"]},
        "00400245": {"vr": "TM", "Value": ["083000"]},
        "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
        "00400253": {"vr": "SH", "Value": ["PPS1"]},
        "00400270": {"vr": "SQ", "Value": [{
            "00080050": {"vr": "SH", "Value": ["A1"]},
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        }]},
        "00400340": {"vr": "SQ"},
    }))
}

fn state(term: &str) -> Document {
    document(json!({
        "00400250": {"vr": "DA", "Value": ["20260105"]},
        "00400251": {"vr": "TM", "Value": ["084500"]},
        "00400252": {"vr": "CS", "Value": [term]},
    }))
}

/// What a request was answered with.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    error: Option<u16>,
    instance: String,
    attributes: Vec<u8>,
}

impl Answer {
    fn plain(status: u16, instance: &str) -> Self {
        Self { status, error: None, instance: instance.into(), attributes: Vec::new() }
    }

    fn about(status: u16, instance: &str, attributes: &[u8]) -> Self {
        Self { attributes: attributes.into(), ..Self::plain(status, instance) }
    }
}

fn ask_raw(peer: &mut Peer, class: &str, field: u16, instance: Option<&str>, data: &[u8]) -> Answer {
    peer.command(7, &command_set(class, instance, field, true));
    let mut chunks = data.chunks(100_000).peekable();
    while let Some(chunk) = chunks.next() {
        let last = if chunks.peek().is_none() { 2 } else { 0 };
        peer.send(&pdata(&[pdv(7, last, chunk)]));
    }
    if data.is_empty() {
        peer.send(&pdata(&[pdv(7, 2, b"")]));
    }
    let (kind, body) = peer.pdu().expect("a response");
    assert_eq!(kind, 4, "no response but {body:?}");
    let command = body.get(6..).expect("a PDV");
    let number = |of| element(command, of).map(|value| u16::from_le_bytes(value.try_into().expect("US")));
    assert_eq!((number(0x0100), number(0x0800)), (Some(field | 0x8000), Some(0x0101)));
    let status = number(0x0900).expect("a status");
    assert!(STATUSES.iter().any(|known| known.code == status), "{status:04X} is in no table");
    let comment = element(command, 0x0902).unwrap_or_default();
    assert_eq!(comment.is_empty(), matches!(status, 0 | 0x0107), "{:?}", String::from_utf8_lossy(&comment));
    let instance = element(command, 0x1000).unwrap_or_default();
    Answer {
        status,
        error: number(0x0903),
        instance: String::from_utf8_lossy(&instance).trim_matches('\0').to_owned(),
        attributes: element(command, 0x1005).unwrap_or_default(),
    }
}

fn ask(peer: &mut Peer, field: u16, instance: Option<&str>, data: &Document) -> Answer {
    let data = document::write(data, EXPLICIT).expect("written");
    ask_raw(peer, PERFORMED_PROCEDURE_STEP, field, instance, &data)
}

#[test]
fn a_step_is_begun_changed_and_done_and_then_stays_as_it_is() {
    let server = Server::start(Options::default());
    let mut peer = associate(&server, EXPLICIT);
    assert_eq!(ask(&mut peer, CREATE, Some("1.2.9"), &begun()), Answer::plain(0, "1.2.9"));
    assert_eq!(ask(&mut peer, CREATE, Some("1.2.9"), &begun()).status, 0x0111);
    assert_eq!(ask(&mut peer, SET, Some("1.2.10"), &state("COMPLETED")).status, 0x0112);
    assert_eq!(ask(&mut peer, SET, Some("1.2.9"), &document(json!({}))), Answer::plain(0, "1.2.9"));
    assert_eq!(ask(&mut peer, SET, Some("1.2.9"), &state("COMPLETED")), Answer::plain(0, "1.2.9"));
    let late = ask(&mut peer, SET, Some("1.2.9"), &state("DISCONTINUED"));
    assert_eq!((late.status, late.error), (0x0110, Some(0xA506)), "it may no longer be updated");
    assert_eq!(peer.echo(), 0);
    peer.release();
    let (station, kept) = server.memory.performed("1.2.9").expect("kept");
    assert_eq!(station, "CT01");
    assert_eq!(kept.get("00400252"), Some(&json!({"vr": "CS", "Value": ["COMPLETED"]})));
    assert_eq!(kept.get("00100010"), begun().get("00100010"));
}

#[test]
fn a_step_without_a_uid_is_given_one_in_every_coding() {
    let server = Server::start(Options::default());
    for (syntax, instance) in [(EXPLICIT, None), (IMPLICIT, Some(""))] {
        let mut peer = associate(&server, syntax);
        let data = document::write(&begun(), syntax).expect("written");
        let made = ask_raw(&mut peer, PERFORMED_PROCEDURE_STEP, CREATE, instance, &data);
        assert_eq!(made.status, 0);
        assert!(made.instance.starts_with("2.25."), "{made:?}");
        assert!(server.memory.performed(&made.instance).is_some());
        assert_eq!(ask_raw(&mut peer, CT, CREATE, instance, &data).status, 0x0122);
        assert_eq!(ask_raw(&mut peer, PERFORMED_PROCEDURE_STEP, SET, instance, &data).status, 0x0117);
        assert_eq!(ask_raw(&mut peer, PERFORMED_PROCEDURE_STEP, CREATE, Some("1.2.x"), &data).status, 0x0117);
        peer.release();
    }
}

#[test]
fn what_is_missing_empty_or_wrong_is_told_with_its_tag() {
    let server = Server::start(Options::default());
    let mut peer = associate(&server, EXPLICIT);
    let with = |tag: &str, member: Option<Value>| {
        let mut data = begun();
        match member {
            Some(member) => drop(data.insert(tag.into(), member)),
            None => drop(data.remove(tag)),
        }
        data
    };
    let pps = [0x40, 0, 0x53, 2];
    let missing = ask(&mut peer, CREATE, Some("1.2.9"), &with("00400253", None));
    assert_eq!(missing, Answer::about(0x0120, "1.2.9", &pps));
    let empty = ask(&mut peer, CREATE, Some("1.2.9"), &with("00400253", Some(json!({"vr": "SH"}))));
    assert_eq!(empty, Answer::about(0x0121, "1.2.9", &pps));
    let done =
        ask(&mut peer, CREATE, Some("1.2.9"), &with("00400252", Some(json!({"vr": "CS", "Value": ["COMPLETED"]}))));
    assert_eq!(done, Answer::about(0x0106, "1.2.9", &[0x40, 0, 0x52, 2]));
    assert!(server.memory.performed("1.2.9").is_none(), "a refused step is kept");
    assert_eq!(ask(&mut peer, CREATE, Some("1.2.9"), &begun()).status, 0);
    assert_eq!(ask(&mut peer, SET, Some("1.2.9"), &state("FINISHED")).status, 0x0106);
    // What only the beginning may say is passed over, and told.
    let mut other = state("COMPLETED");
    other.insert("00100010".into(), json!({"vr": "PN", "Value": [{"Alphabetic": "Lê^An"}]}));
    assert_eq!(ask(&mut peer, SET, Some("1.2.9"), &other), Answer::about(0x0107, "1.2.9", &[0x10, 0, 0x10, 0]));
    let (_, kept) = server.memory.performed("1.2.9").expect("kept");
    assert_eq!(kept.get("00100010"), begun().get("00100010"), "another patient's name");
    assert_eq!(kept.get("00400252"), state("COMPLETED").get("00400252"));
    peer.release();
}

#[test]
fn data_sets_that_are_none_or_too_large_and_an_archive_that_is_away() {
    let server = Server::start(Options { commitment_bytes_max: 100_000, ..Options::default() });
    let mut peer = associate(&server, EXPLICIT);
    let raw =
        |peer: &mut Peer, data: &[u8]| ask_raw(peer, PERFORMED_PROCEDURE_STEP, CREATE, Some("1.2.9"), data).status;
    assert_eq!(raw(&mut peer, b"GARBAGE GARBAGE "), 0xC000);
    assert_eq!(raw(&mut peer, &vec![b'x'; 200_000]), 0xA700);
    for (error, status) in [
        (ChartError::Invalid("a date that is none".into()), 0x0106),
        (ChartError::Limit("too many".into()), 0x0213),
        (ChartError::Waits("its order".into()), 0x0110),
        (ChartError::Unavailable("on purpose".into()), 0x0110),
    ] {
        server.memory.fail_charts(error);
        let answer = ask(&mut peer, CREATE, Some("1.2.9"), &begun());
        assert_eq!((answer.status, answer.error), (status, None));
    }
    // N-GET is not offered, and a plain object is not stored here.
    peer.command(7, &command_set(PERFORMED_PROCEDURE_STEP, Some("1.2.9"), 0x0110, false));
    assert_eq!(peer.status(), 0x0211);
    assert_eq!(peer.store("1.2.3", b"data", 2), 0, "a neighbouring service");
    peer.release();
}

#[test]
fn a_series_of_ten_thousand_images_is_taken() {
    let server = Server::start(Options::default());
    let mut peer = associate(&server, EXPLICIT);
    assert_eq!(ask(&mut peer, CREATE, Some("1.2.9"), &begun()).status, 0);
    let image = |number: usize| json!({"00081150": {"vr": "UI", "Value": [CT]}, "00081155": {"vr": "UI", "Value": [format!("1.2.3.4.{number}")]}});
    let images: Vec<Value> = (0..10_000).map(image).collect();
    let mut done = state("COMPLETED");
    let series = json!({"0020000E": {"vr": "UI", "Value": ["1.2.3.4"]}, "00081140": {"vr": "SQ", "Value": images}});
    done.insert("00400340".into(), json!({"vr": "SQ", "Value": [series]}));
    assert_eq!(ask(&mut peer, SET, Some("1.2.9"), &done), Answer::plain(0, "1.2.9"));
    let (_, kept) = server.memory.performed("1.2.9").expect("kept");
    assert_eq!(kept.get("00400340"), done.get("00400340"));
    peer.release();
}
