//! C-MOVE on the wire: exact counters, destinations that are down, die, stall or answer nonsense, cancels.

use super::memory::Kept;
use super::peer::{CT, EXPLICIT, Peer, element, encode, pdata, pdv, request};
use super::server::{Server, eventually};
use crate::Options;
use crate::question::LEVEL;
use crate::scu::Limits;
use dataset::identifier;
use dicom_ul::pdu::{PresentationContextProposed, RequestorRoles, UserVariableItem};
use model::attribute::key;
use model::facility::CharsetHint;
use model::{AeTitle, Destination, Uid};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const JPEG: &str = "1.2.840.10008.1.2.4.50";

/// An association with MOVE on context 7, GET on 9, and CT storage on 1 in the role of SCP.
pub(super) fn associate(server: &Server, calling: &str) -> Peer {
    let mut asked = request("KHOANH", calling);
    for (id, class) in [(7, MOVE), (9, GET)] {
        let transfer_syntaxes = vec![EXPLICIT.into()];
        let abstract_syntax = class.into();
        asked.presentation_contexts.push(PresentationContextProposed { id, abstract_syntax, transfer_syntaxes });
    }
    let roles = RequestorRoles { scu: true, scp: true };
    asked.user_variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), roles));
    let mut peer = server.connect();
    peer.send(&encode(&asked));
    assert_eq!(peer.pdu().expect("an answer").0, 2);
    peer
}

pub(super) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

pub(super) fn kept(number: usize, syntax: &str) -> Kept {
    let bytes = Some(vec![u8::try_from(number % 251).expect("small"); 1_000 + number]);
    Kept { sop_class: uid(CT), sop_instance: uid(&format!("1.2.{}", number + 1)), syntax: uid(syntax), bytes }
}

fn destination(address: SocketAddr) -> Destination {
    Destination {
        title: AeTitle::parse("KHOANH").expect("title"),
        host: address.ip().to_string(),
        port: address.port(),
        facility: None,
        calling: Some(AeTitle::parse("MOVER").expect("title")),
        as_received: false,
        description: String::new(),
        tls: None,
        associations: 1,
        removed: false,
    }
}

fn quick() -> Options {
    let short = Duration::from_millis(300);
    Options {
        move_attempts: 2,
        move_retry_pause: Duration::from_millis(10),
        calls: Limits { connect: short, answer: short, write: short, ..Limits::default() },
        ..Options::default()
    }
}

pub(super) fn study() -> Vec<u8> {
    identifier::write(&[(LEVEL, "CS", "STUDY"), (key::STUDY_INSTANCE_UID, "UI", "1.2.3")], EXPLICIT, "")
}

/// A command set of numbers and texts, as they come.
pub(super) fn command(elements: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in elements {
        out.extend([0, 0]);
        out.extend(number.to_le_bytes());
        out.extend(u32::try_from(value.len()).expect("short").to_le_bytes());
        out.extend(*value);
    }
    out
}

pub(super) fn ask(peer: &mut Peer, context: u8, to: &str, identifier: &[u8]) {
    let class = if context == 7 { MOVE } else { GET };
    let class = format!("{class}\0");
    let field: u16 = if context == 7 { 0x0021 } else { 0x0010 };
    let to = format!("{to:<16}");
    let (field, message) = (field.to_le_bytes(), 77u16.to_le_bytes());
    let mut elements: Vec<(u16, &[u8])> = vec![(0x0002, class.as_bytes()), (0x0100, &field), (0x0110, &message)];
    if context == 7 {
        elements.push((0x0600, to.as_bytes()));
    }
    elements.push((0x0800, &[0, 0]));
    peer.command(context, &command(&elements));
    peer.send(&pdata(&[pdv(context, 2, identifier)]));
}

fn cancel(peer: &mut Peer, context: u8) {
    let (field, message) = (0x0FFFu16.to_le_bytes(), 77u16.to_le_bytes());
    peer.command(context, &command(&[(0x0100, &field), (0x0120, &message), (0x0800, &[1, 1])]));
}

/// A response of a retrieve: status; remaining, completed, failed, warned; failed UIDs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    counts: [Option<u16>; 4],
    failed: Vec<String>,
}

pub(super) fn told(peer: &mut Peer, body: &[u8]) -> Told {
    let command = body.get(6..).expect("a PDV");
    let number = |of| element(command, of).map(|value| u16::from_le_bytes(value.try_into().expect("US")));
    let failed = match number(0x0800) {
        Some(0x0101) => Vec::new(),
        _ => {
            let (_, body) = peer.pdu().expect("a data set");
            let found = identifier::read(body.get(6..).expect("a PDV"), EXPLICIT, CharsetHint::Auto).expect("read");
            let list = found.keys.first().map(|key| key.text.trim_matches(['\0', ' ']).to_owned()).unwrap_or_default();
            list.split('\\').map(str::to_owned).collect()
        }
    };
    let counts = [0x1020, 0x1021, 0x1022, 0x1023].map(number);
    Told { status: number(0x0900).expect("a status"), counts, failed }
}

/// The final answer of a C-MOVE.
pub(super) fn last(peer: &mut Peer) -> Told {
    loop {
        let (kind, body) = peer.pdu().expect("a response");
        assert_eq!(kind, 4, "no response but {body:?}");
        let told = told(peer, &body);
        if told.status != 0xFF00 {
            return told;
        }
    }
}

/// Has everything moved; the final status and how many were completed.
pub(super) fn move_all(peer: &mut Peer) -> (u16, Option<u16>) {
    ask(peer, 7, "KHOANH", &study());
    let Told { status, counts: [_, completed, ..], .. } = last(peer);
    (status, completed)
}

pub(super) fn done(status: u16, counts: [u16; 3], failed: &[&str]) -> Told {
    let [completed, failures, warned] = counts.map(Some);
    let failed = failed.iter().map(|uid| (*uid).to_owned()).collect();
    Told { status, counts: [None, completed, failures, warned], failed }
}

#[test]
fn every_object_arrives_and_is_counted() {
    let (archive, other) = (Server::start(Options::default()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    archive.memory.keep((0..500).map(|number| kept(number, if number % 3 == 0 { JPEG } else { EXPLICIT })).collect());
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0, [500, 0, 0], &[]));
    let mut stored: Vec<usize> = other.memory.stored().iter().map(Vec::len).collect();
    stored.sort_unstable();
    assert_eq!(stored, (1_000..1_500).collect::<Vec<_>>());
    assert_eq!(peer.echo(), 0);
    peer.release();
    eventually("the destination is released", || other.associations() == 0);
}

#[test]
fn a_destination_that_is_not_registered_for_the_asker_is_unknown() {
    let server = Server::start(Options::default());
    server.memory.destine(destination(server.address));
    server.memory.keep(vec![kept(0, EXPLICIT)]);
    for (calling, to) in [("CT01", "NOWHERE"), ("CT02", "KHOANH"), ("CT01", ""), ("CT01", "a\\b")] {
        let mut peer = associate(&server, calling);
        ask(&mut peer, 7, to, &study());
        assert_eq!(last(&mut peer).status, 0xA801, "{calling} {to:?}");
        peer.release();
    }
    assert_eq!(server.memory.stored().len(), 0);
}

#[test]
fn identifiers_must_name_what_is_wanted() {
    let server = Server::start(Options { retrieve_objects_max: 2, ..Options::default() });
    server.memory.destine(destination(server.address));
    server.memory.keep((0..3).map(|number| kept(number, EXPLICIT)).collect());
    let mut peer = associate(&server, "CT01");
    let everything = identifier::write(&[(LEVEL, "CS", "STUDY")], EXPLICIT, "");
    let all = identifier::write(&[(LEVEL, "CS", "STUDY"), (key::STUDY_INSTANCE_UID, "UI", "*")], EXPLICIT, "");
    let series = identifier::write(&[(LEVEL, "CS", "SERIES"), (key::SERIES_INSTANCE_UID, "UI", "1.2")], EXPLICIT, "");
    for (bytes, status) in
        [(everything, 0xA900), (all, 0xA900), (series, 0xA900), (b"GARBAGE!".to_vec(), 0xC000), (study(), 0xA701)]
    {
        for context in [7, 9] {
            ask(&mut peer, context, "KHOANH", &bytes);
            assert_eq!(last(&mut peer).status, status);
        }
    }
    peer.release();
}

#[test]
fn a_destination_that_is_down_or_refuses_or_stalls_is_told_truthfully() {
    let free = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
    let stalling = TcpListener::bind("127.0.0.1:0").expect("port");
    let refusing = Server::start(Options::default());
    let mut refused = destination(refusing.address);
    refused.calling = Some(AeTitle::parse("STRANGER").expect("title"));
    let stalled = destination(stalling.local_addr().expect("address"));
    for to in [destination(free), refused, stalled] {
        let server = Server::start(quick());
        server.memory.destine(to);
        server.memory.keep((0..3).map(|number| kept(number, EXPLICIT)).collect());
        let mut peer = associate(&server, "CT01");
        ask(&mut peer, 7, "KHOANH", &study());
        assert_eq!(last(&mut peer), done(0xA702, [0, 3, 0], &["1.2.1", "1.2.2", "1.2.3"]));
        assert_eq!(peer.echo(), 0, "the asker is served on");
        peer.release();
    }
}

#[test]
fn what_cannot_be_read_or_is_not_taken_fails_alone() {
    use super::memory::Fault;
    let (archive, other) = (Server::start(quick()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    let broken = Kept { bytes: None, ..kept(1, EXPLICIT) };
    archive.memory.keep(vec![kept(0, EXPLICIT), broken, kept(2, EXPLICIT)]);
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0xB000, [2, 1, 0], &["1.2.2"]));
    eventually("nothing half stored", || other.memory.open() == 0);
    assert_eq!(other.memory.stored().len(), 2);
    archive.memory.keep(vec![kept(0, EXPLICIT)]);
    other.memory.fail(Fault::OnFinish(archive::IngestError::OutOfSpace));
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0xA702, [0, 1, 0], &["1.2.1"]));
    peer.release();
}

#[test]
fn a_short_object_that_cannot_be_read_costs_the_destination_nothing_and_a_long_one_its_association() {
    for (retrieve_ahead_bytes_max, associations) in [(256 << 20, 1), (0, 2)] {
        let archive = Server::start(Options { retrieve_ahead_bytes_max, ..Options::default() });
        let other = Server::start(Options::default());
        archive.memory.destine(destination(other.address));
        let broken = Kept { bytes: None, ..kept(1, EXPLICIT) };
        archive.memory.keep(vec![kept(0, EXPLICIT), broken, kept(2, EXPLICIT)]);
        let mut peer = associate(&archive, "CT01");
        ask(&mut peer, 7, "KHOANH", &study());
        assert_eq!(last(&mut peer), done(0xB000, [2, 1, 0], &["1.2.2"]));
        assert_eq!((other.memory.callers(), other.memory.stored().len()), (associations, 2));
        peer.release();
    }
}

#[test]
fn the_next_object_is_read_while_one_is_sent() {
    let (archive, other) = (Server::start(Options::default()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    archive.memory.keep((0..10).map(|number| kept(number, EXPLICIT)).collect());
    other.memory.close_gate();
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    eventually("the first waits for its answer and the second is read", || archive.memory.opened() == 2);
    assert_eq!(other.memory.stored().len(), 0);
    other.memory.open_gate();
    assert_eq!(last(&mut peer), done(0, [10, 0, 0], &[]));
    assert_eq!(archive.memory.opened(), 10, "something was read twice");
    peer.release();
}

#[test]
fn one_who_asks_again_goes_on_with_the_same_association_until_it_pauses() {
    let lasting = Options { move_linger: Duration::from_secs(3600), ..Options::default() };
    let archive = Server::start(lasting);
    let mut other = Server::start(Options::default());
    archive.memory.destine(destination(other.address));
    archive.memory.keep((0..5).map(|number| kept(number, EXPLICIT)).collect());
    let mut peer = associate(&archive, "CT01");
    for _ in 0..3 {
        assert_eq!(move_all(&mut peer), (0, Some(5)));
    }
    assert_eq!(other.memory.callers(), 1, "each C-MOVE had an association of its own");
    // Another class needs another context, and so another association; then both are at hand.
    let mr = Kept { sop_class: uid("1.2.840.10008.5.1.4.1.1.4"), ..kept(9, EXPLICIT) };
    archive.memory.keep(vec![mr]);
    assert_eq!(move_all(&mut peer), (0, Some(1)));
    archive.memory.keep((0..5).map(|number| kept(number, EXPLICIT)).collect());
    assert_eq!(move_all(&mut peer), (0, Some(5)));
    assert_eq!(other.memory.callers(), 2);
    // One that went away meanwhile is made good.
    let before = other.memory.callers();
    drop(other.listener.take());
    let again = other.restart();
    assert_eq!(move_all(&mut peer), (0, Some(5)));
    assert_eq!(again.memory.callers(), before + 1);
    // It ends with the asker's, in order.
    peer.release();
    eventually("the destination is released", || again.associations() == 0);
    // Without a pause to wait for it ends before the answer.
    let archive = Server::start(Options { move_linger: Duration::ZERO, ..Options::default() });
    archive.memory.destine(destination(again.address));
    archive.memory.keep(vec![kept(0, EXPLICIT)]);
    let mut peer = associate(&archive, "CT01");
    assert_eq!(move_all(&mut peer), (0, Some(1)));
    eventually("the destination is released", || again.associations() == 0);
    peer.release();
}

#[test]
fn a_destination_that_takes_and_never_answers_is_given_up() {
    let (archive, other) = (Server::start(quick()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    archive.memory.keep((0..5).map(|number| kept(number, EXPLICIT)).collect());
    other.memory.close_gate();
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0xA702, [0, 5, 0], &["1.2.1", "1.2.2", "1.2.3", "1.2.4", "1.2.5"]));
    other.memory.open_gate();
    assert_eq!(peer.echo(), 0);
    peer.release();
}

#[test]
fn a_destination_that_dies_midway_is_tried_again_and_completes() {
    let archive = Server::start(Options { move_attempts: 100, ..quick() });
    let mut other = Server::start(Options::default());
    archive.memory.destine(destination(other.address));
    archive.memory.keep((0..400).map(|number| kept(number, EXPLICIT)).collect());
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    eventually("some arrived", || other.memory.stored().len() >= 20);
    let before = other.memory.clone();
    drop(other.listener.take());
    eventually("its associations are cut", || before.open() == 0);
    let first = before.stored().len();
    let again = other.restart();
    assert_eq!(last(&mut peer), done(0, [400, 0, 0], &[]));
    // What was stored and not answered may have come twice.
    assert!(first < 400 && again.memory.stored().len() >= 400, "{first}");
    peer.release();
}

#[test]
fn a_cancel_ends_a_move_with_counts_of_what_is_left() {
    let (archive, other) = (Server::start(Options::default()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    archive.memory.keep((0..10_000).map(|number| kept(number, EXPLICIT)).collect());
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    eventually("some arrived", || other.memory.stored().len() >= 5);
    cancel(&mut peer, 7);
    let told = last(&mut peer);
    assert_eq!(told.status, 0xFE00);
    let [remaining, completed, failed, _] = told.counts.map(|count| count.expect("there"));
    assert_eq!((remaining + completed, failed), (10_000, 0));
    assert_eq!(usize::from(completed), other.memory.stored().len());
    peer.release();
}

#[test]
fn a_destination_that_takes_several_associations_gets_them_and_every_object_once() {
    let (archive, other) = (Server::start(Options::default()), Server::start(Options::default()));
    archive.memory.destine(Destination { associations: 4, ..destination(other.address) });
    archive.memory.keep((0..400).map(|number| kept(number, EXPLICIT)).collect());
    // Nothing is answered until four objects wait: one association alone would wait for ever.
    other.memory.close_gate();
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    eventually("four objects at one time", || other.memory.open() == 4);
    other.memory.open_gate();
    assert_eq!(last(&mut peer), done(0, [400, 0, 0], &[]));
    assert_eq!(other.memory.stored().len(), 400);
    peer.release();
}

#[test]
fn a_destination_that_takes_one_association_only_still_gets_everything() {
    let archive = Server::start(quick());
    let other = Server::start(Options { associations_max: 1, ..Options::default() });
    archive.memory.destine(Destination { associations: 4, ..destination(other.address) });
    archive.memory.keep((0..50).map(|number| kept(number, EXPLICIT)).collect());
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0, [50, 0, 0], &[]));
    peer.release();
}

#[test]
fn a_destination_given_up_over_some_classes_is_not_waited_for_over_the_others() {
    let archive = Server::start(quick());
    let free = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
    archive.memory.destine(Destination { associations: 4, ..destination(free) });
    // More classes than one association has contexts for.
    let class = |number: usize| uid(&format!("1.2.840.10008.5.1.4.1.1.2.{}", number + 1));
    archive.memory.keep((0..300).map(|number| Kept { sop_class: class(number), ..kept(number, EXPLICIT) }).collect());
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    let told = last(&mut peer);
    assert_eq!((told.status, told.counts), (0xA702, [None, Some(0), Some(300), Some(0)]));
    peer.release();
}

#[test]
fn a_cancel_ends_even_the_object_that_is_being_sent() {
    let (archive, other) = (Server::start(Options::default()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    archive.memory.keep(vec![Kept { bytes: Some(vec![0; 256 << 20]), ..kept(0, EXPLICIT) }, kept(1, EXPLICIT)]);
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    eventually("it is under way", || other.memory.open() == 1);
    cancel(&mut peer, 7);
    let told = last(&mut peer);
    assert_eq!(told.status, 0xFE00);
    eventually("nothing half stored", || other.memory.open() == 0);
    assert_eq!(other.memory.stored(), Vec::<Vec<u8>>::new());
    peer.release();
}

#[test]
fn objects_that_come_back_from_the_cloud_are_waited_for() {
    let (archive, other) = (Server::start(quick()), Server::start(Options::default()));
    archive.memory.destine(destination(other.address));
    archive.memory.keep(vec![kept(0, EXPLICIT)]);
    archive.memory.restore(3);
    let mut peer = associate(&archive, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0, [1, 0, 0], &[]));
    peer.release();
    let impatient = Server::start(Options { recall_limit: Duration::ZERO, ..quick() });
    impatient.memory.destine(destination(other.address));
    impatient.memory.keep(vec![kept(0, EXPLICIT)]);
    impatient.memory.restore(usize::MAX);
    let mut peer = associate(&impatient, "CT01");
    ask(&mut peer, 7, "KHOANH", &study());
    assert_eq!(last(&mut peer), done(0xA702, [0, 1, 0], &["1.2.1"]));
    peer.release();
}
