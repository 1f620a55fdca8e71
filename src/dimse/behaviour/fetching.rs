//! C-GET on the wire: exact counters, roles, objects that break off, askers that answer nonsense.

use super::memory::Kept;
use super::peer::{EXPLICIT, IMPLICIT, Peer, element, encode, request};
use super::retrieving::{Told, ask, associate, command, done, kept, last, study, told};
use super::server::{Server, eventually};
use crate::Options;
use crate::command::C_STORE_RQ;
use dicom_ul::pdu::PresentationContextProposed;

const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const VIDEO: &str = "1.2.840.10008.1.2.4.100";

/// Takes what a C-GET brings, answering with a status; returns the lengths and the final answer.
fn take(peer: &mut Peer, status: u16) -> (Vec<usize>, Told) {
    let mut lengths = Vec::new();
    loop {
        let (kind, body) = peer.pdu().expect("a PDU");
        assert_eq!(kind, 4, "{body:?}");
        let command_bytes = body.get(6..).expect("a PDV").to_vec();
        let field = u16::from_le_bytes(element(&command_bytes, 0x0100).expect("a field").try_into().expect("US"));
        if field != C_STORE_RQ {
            let told = told(peer, &body);
            match told.status {
                0xFF00 => continue,
                _ => return (lengths, told),
            }
        }
        lengths.push(taken(peer, &command_bytes, status));
    }
}

/// Takes the data set that follows a C-STORE-RQ, and answers it; returns its length.
fn taken(peer: &mut Peer, request: &[u8], status: u16) -> usize {
    let (mut length, mut last) = (0, false);
    while !last {
        let (_, body) = peer.pdu().expect("data");
        length += body.len() - 6;
        last = body.get(5).is_some_and(|control| control & 2 == 2);
    }
    let message = element(request, 0x0110).expect("a message id");
    let (field, status) = (0x8001u16.to_le_bytes(), status.to_le_bytes());
    let elements: [(u16, &[u8]); 4] = [(0x0100, &field), (0x0120, &message), (0x0800, &[1, 1]), (0x0900, &status)];
    peer.command(1, &command(&elements));
    length
}

#[test]
fn a_get_brings_objects_back_on_the_same_association() {
    let server = Server::start(Options::default());
    let syntax = |number| match number {
        7 => VIDEO,
        8 => JPEG,
        _ => EXPLICIT,
    };
    server.memory.keep((0..50).map(|number| kept(number, syntax(number))).collect());
    let mut peer = associate(&server, "CT01");
    ask(&mut peer, 9, "", &study());
    let (lengths, told) = take(&mut peer, 0);
    assert_eq!(lengths.len(), 49);
    // The video has no context and no decoder; the other compressed one is asked for uncompressed.
    assert_eq!(told, done(0xB000, [49, 1, 0], &["1.2.8"]));
    server.memory.keep(vec![kept(0, IMPLICIT), kept(1, EXPLICIT)]);
    ask(&mut peer, 9, "", &study());
    assert_eq!(take(&mut peer, 0xB007).1, done(0xB000, [0, 0, 2], &[]));
    ask(&mut peer, 9, "", &study());
    assert_eq!(take(&mut peer, 0xA700).1, done(0xA702, [0, 2, 0], &["1.2.1", "1.2.2"]));
    assert_eq!(peer.echo(), 0);
    peer.release();
}

#[test]
fn without_the_role_of_scp_nothing_is_sent_back() {
    let server = Server::start(Options::default());
    server.memory.keep(vec![kept(0, EXPLICIT)]);
    let mut asked = request("KHOANH", "CT01");
    let transfer_syntaxes = vec![EXPLICIT.into()];
    asked.presentation_contexts.push(PresentationContextProposed {
        id: 9,
        abstract_syntax: GET.into(),
        transfer_syntaxes,
    });
    let mut peer = server.connect();
    peer.send(&encode(&asked));
    assert_eq!(peer.pdu().expect("an answer").0, 2);
    ask(&mut peer, 9, "", &study());
    assert_eq!(last(&mut peer), done(0xA702, [0, 1, 0], &["1.2.1"]));
    peer.release();
}

#[test]
fn a_short_object_that_cannot_be_read_fails_alone_the_first_time() {
    let server = Server::start(Options::default());
    let broken = |number| Kept { bytes: None, ..kept(number, EXPLICIT) };
    server.memory.keep(vec![broken(0), kept(1, EXPLICIT), broken(2), kept(3, EXPLICIT), broken(4)]);
    let mut peer = associate(&server, "CT01");
    for _ in 0..2 {
        ask(&mut peer, 9, "", &study());
        let (sizes, told) = take(&mut peer, 0);
        assert_eq!((sizes, told), (vec![1_001, 1_003], done(0xB000, [2, 3, 0], &["1.2.1", "1.2.3", "1.2.5"])));
    }
    server.memory.keep(vec![broken(0)]);
    ask(&mut peer, 9, "", &study());
    assert_eq!(take(&mut peer, 0).1, done(0xA702, [0, 1, 0], &["1.2.1"]));
    assert_eq!(peer.echo(), 0, "the association goes on");
    peer.release();
}

/// Reads nothing before it is sent, as it is with an object that is too long for that.
fn long() -> Options {
    Options { retrieve_ahead_bytes_max: 0, ..Options::default() }
}

#[test]
fn a_long_object_that_breaks_off_ends_the_association_the_first_time() {
    let server = Server::start(long());
    server.memory.keep(vec![Kept { bytes: None, ..kept(0, EXPLICIT) }]);
    let mut peer = associate(&server, "CT01");
    ask(&mut peer, 9, "", &study());
    let end = std::iter::repeat_with(|| peer.pdu()).find(|pdu| !matches!(pdu, Some((4, _))));
    assert_eq!(end, Some(Some((7, vec![0, 0, 0, 0]))), "no part may look whole");
}

#[test]
fn a_long_object_that_broke_off_fails_alone_the_next_time_and_comes_again_when_it_is_mended() {
    let server = Server::start(long());
    let broken = Kept { bytes: None, ..kept(1, EXPLICIT) };
    server.memory.keep(vec![kept(0, EXPLICIT), broken, kept(2, EXPLICIT)]);
    let mut peer = associate(&server, "CT01");
    ask(&mut peer, 9, "", &study());
    // The first comes and is taken, the second breaks off.
    let (_, body) = peer.pdu().expect("a C-STORE-RQ");
    assert_eq!(taken(&mut peer, body.get(6..).expect("a PDV"), 0), 1_000);
    let end = std::iter::repeat_with(|| peer.pdu()).find(|pdu| !matches!(pdu, Some((4, _))));
    assert_eq!(end, Some(Some((7, vec![0, 0, 0, 0]))));
    let mut peer = associate(&server, "CT01");
    ask(&mut peer, 9, "", &study());
    let (sizes, told) = take(&mut peer, 0);
    assert_eq!((sizes, told), (vec![1_000, 1_002], done(0xB000, [2, 1, 0], &["1.2.2"])));
    server.memory.keep((0..3).map(|number| kept(number, EXPLICIT)).collect());
    ask(&mut peer, 9, "", &study());
    let (sizes, told) = take(&mut peer, 0);
    assert_eq!((sizes, told), (vec![1_000, 1_001, 1_002], done(0, [3, 0, 0], &[])));
    peer.release();
}

#[test]
fn an_asker_that_answers_another_message_is_cut() {
    let server = Server::start(Options::default());
    server.memory.keep(vec![kept(0, EXPLICIT)]);
    let mut peer = associate(&server, "CT01");
    ask(&mut peer, 9, "", &study());
    let (field, message, status) = (0x8001u16.to_le_bytes(), 4_711u16.to_le_bytes(), [0, 0]);
    let elements: [(u16, &[u8]); 4] = [(0x0100, &field), (0x0120, &message), (0x0800, &[1, 1]), (0x0900, &status)];
    peer.command(1, &command(&elements));
    let end = std::iter::repeat_with(|| peer.pdu()).find(|pdu| !matches!(pdu, Some((4, _))));
    assert_eq!(end, Some(Some((7, vec![0, 0, 0, 0]))));
    eventually("it is let go", || server.associations() == 0);
}
