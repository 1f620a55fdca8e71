//! Peers that keep the rules: association, echo, store, release, and what a refused object gets.

use super::memory::Fault;
use super::peer::{CT, EXPLICIT, MR, command_set, element, encode, pdata, pdv, request, store_command};
use super::server::{Server, eventually};
use crate::Options;
use crate::receiver::Announced;
use archive::IngestError;
use dicom_ul::pdu::UserVariableItem;
use model::Uid;

fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

#[test]
fn an_object_arrives_bit_for_bit_whatever_the_pdv_size() {
    let server = Server::start(Options::default());
    let data: Vec<u8> = (0..300_001u32).map(|i| (i * 7) as u8).collect();
    let mut peer = server.associate();
    for (number, size) in [131_066, 16_384, 4_093, 300_001 / 2].into_iter().enumerate() {
        assert_eq!(peer.store(&format!("1.2.{number}"), &data, size.min(131_066)), 0);
    }
    assert_eq!(peer.store("1.2.9", &data[..300], 1), 0);
    assert_eq!(peer.echo(), 0);
    peer.release();
    let stored = server.memory.stored();
    assert_eq!(stored.len(), 5);
    assert!(stored[..4].iter().all(|object| *object == data));
    assert_eq!(stored[4], data[..300]);
    let first = Announced { sop_class: uid(CT), sop_instance: uid("1.2.0"), transfer_syntax: uid(EXPLICIT) };
    assert_eq!(server.memory.announced()[0], first);
    eventually("the association is gone", || server.associations() == 0);
}

#[test]
fn command_and_data_may_share_a_pdu_and_messages_may_follow_unasked() {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    let message = |instance: &str, data: &[u8]| {
        pdata(&[pdv(1, 3, &store_command(CT, instance)), pdv(1, 0, data), pdv(1, 2, data)])
    };
    peer.send(&[message("1.2.1", b"ab"), message("1.2.2", b"cd")].concat());
    assert_eq!((peer.status(), peer.status()), (0, 0));
    assert_eq!(server.memory.stored(), [b"abab".to_vec(), b"cdcd".to_vec()]);
    peer.release();
}

#[test]
fn the_response_names_its_request() {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    peer.send(&pdata(&[pdv(1, 3, &store_command(CT, "1.2.77")), pdv(1, 2, b"x")]));
    let (_, body) = peer.pdu().expect("response");
    assert_eq!(body[4..6], [1, 3], "context 1, command, last");
    let command = &body[6..];
    assert_eq!(element(command, 0x0100), Some(vec![0x01, 0x80]));
    assert_eq!(element(command, 0x0120), Some(vec![77, 0]));
    assert_eq!(element(command, 0x0002), Some(format!("{CT}\0").into_bytes()));
    assert_eq!(element(command, 0x1000), Some(b"1.2.77".to_vec()));
    assert_eq!(element(command, 0x0902), None);
}

#[test]
fn a_request_of_45_kilobytes_with_unknown_items_is_accepted() {
    let server = Server::start(Options::default());
    let mut big = request("KHOANH", "ROUTER");
    let template = big.presentation_contexts[0].clone();
    big.presentation_contexts = (0..128)
        .map(|n| {
            let mut context = template.clone();
            context.id = n * 2 + 1;
            context.transfer_syntaxes = (0..14).map(|s| format!("1.2.840.10008.1.2.4.{}", 50 + s)).collect();
            context
        })
        .collect();
    big.user_variables.push(UserVariableItem::Unknown(0x7e, vec![1, 2, 3]));
    let mut bytes = encode(&big);
    bytes.extend([0x99, 0, 0, 3, 1, 2, 3]);
    let length = (bytes.len() - 6) as u32;
    bytes[2..6].copy_from_slice(&length.to_be_bytes());
    assert!(bytes.len() > 45_000, "{} bytes", bytes.len());
    let mut peer = server.connect();
    peer.send(&bytes);
    assert_eq!(peer.pdu().expect("answer").0, 2);
}

#[test]
fn rejections_say_why() {
    let server = Server::start(Options::default());
    let rejection = |called: &str, calling: &str, change: fn(&mut dicom_ul::pdu::AssociationRQ)| {
        let mut asked = request(called, calling);
        change(&mut asked);
        let mut peer = server.connect();
        peer.send(&encode(&asked));
        let answer = peer.pdu().expect("an answer");
        assert!(peer.is_closed());
        answer
    };
    assert_eq!(rejection("ELSEWHERE", "CT01", |_| {}), (3, vec![0, 1, 1, 7]));
    assert_eq!(rejection("KHOANH", "STRANGER", |_| {}), (3, vec![0, 1, 1, 3]));
    assert_eq!(rejection("KHOANH", "DISABLED", |_| {}), (3, vec![0, 1, 1, 3]));
    assert_eq!(rejection("KHOANH", "CT01", |r| r.protocol_version = 2), (3, vec![0, 1, 2, 2]));
    assert_eq!(rejection("KHOANH", "CT01", |r| r.application_context_name = "1.2".into()), (3, vec![0, 1, 1, 2]));
    eventually("no association is left", || server.associations() == 0);
}

#[test]
fn a_bad_command_gets_a_status_and_the_association_lives_on() {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    let long = format!("1.{}", "2".repeat(64));
    for bad in ["1.2.x", "../../etc/passwd", long.as_str(), ""] {
        assert_eq!(peer.store(bad, b"data", 2), 0x0117, "{bad:?}");
    }
    peer.send(&pdata(&[pdv(1, 3, &store_command(MR, "1.2.3")), pdv(1, 2, b"data")]));
    assert_eq!(peer.status(), 0x0122);
    peer.send(&pdata(&[pdv(5, 3, &store_command(crate::VERIFICATION, "1.2.3")), pdv(5, 2, b"data")]));
    assert_eq!(peer.status(), 0x0212);
    peer.command(1, &command_set(CT, Some("1.2.3"), 0x0001, false));
    assert_eq!(peer.status(), 0x0212);
    peer.send(&pdata(&[pdv(1, 3, &command_set(CT, None, 0x0020, true)), pdv(1, 2, b"query")]));
    assert_eq!(peer.status(), 0x0212);
    peer.send(&pdata(&[pdv(1, 3, &command_set(CT, None, 0x0150, true)), pdv(1, 2, b"event")]));
    assert_eq!(peer.status(), 0x0211);
    peer.command(1, &command_set(CT, None, 0x0FFF, false));
    assert_eq!(server.memory.stored().len(), 0);
    assert_eq!(peer.store("1.2.3", b"data", 2), 0);
    peer.release();
}

#[test]
fn a_failing_archive_is_told_by_status_and_nothing_is_left_open() {
    let full = IngestError::OutOfSpace;
    let odd = IngestError::CannotUnderstand { what: "x".into() };
    let other = IngestError::Mismatch { what: "x".into() };
    let nameless = IngestError::MissingIdentity { what: "x".into() };
    let cases = [
        (Fault::OnReceive(IngestError::Busy), 0xA700),
        (Fault::OnReceive(IngestError::Forbidden), 0x0124),
        (Fault::OnWrite(full), 0xA700),
        (Fault::OnWrite(odd), 0xC000),
        (Fault::OnFinish(other), 0xA900),
        (Fault::OnFinish(nameless), 0xA900),
        (Fault::Panic, 0x0110),
    ];
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    for (fault, status) in cases {
        server.memory.fail(fault.clone());
        assert_eq!(peer.store("1.2.3", &[5; 100_000], 10_000), status, "{fault:?}");
        assert_eq!(server.memory.open(), 0, "{fault:?}");
    }
    server.memory.fail(Fault::None);
    assert_eq!(server.memory.stored().len(), 0);
    assert_eq!(peer.store("1.2.3", b"data", 2), 0);
    peer.release();
}

#[test]
fn an_unavailable_archive_says_out_of_resources_and_aborts() {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    server.memory.fail(Fault::OnFinish(IngestError::Unavailable { what: "closing down".into() }));
    assert_eq!(peer.store("1.2.3", b"data", 2), 0xA700);
    assert_eq!(peer.pdu(), Some((7, vec![0, 0, 0, 0])));
    assert!(peer.is_closed());
}
