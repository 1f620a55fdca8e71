//! Peers that break the rules: an abort with the right reason, nothing stored, neighbours unharmed.

use super::peer::{CT, Peer, encode, pdata, pdv, provider_abort, request, store_command};
use super::server::{Server, eventually};
use crate::Options;
use std::io::Read;
use std::net::Shutdown;

const UNRECOGNIZED: u8 = 1;
const UNEXPECTED: u8 = 2;
const INVALID: u8 = 6;

/// Sends `bytes` on an association and expects an abort with `reason`.
fn aborts(bytes: &[u8], reason: u8) {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    peer.send(bytes);
    assert_eq!(peer.pdu(), Some(provider_abort(reason)));
    assert!(peer.is_closed());
    drop(peer);
    server.is_unharmed();
}

fn begun() -> Vec<u8> {
    pdata(&[pdv(1, 3, &store_command(CT, "1.2.3")), pdv(1, 0, b"first part")])
}

#[test]
fn a_pdu_longer_than_announced() {
    let long = pdata(&[pdv(1, 2, &vec![0; 131_072])]);
    aborts(&[begun(), long].concat(), INVALID);
}

#[test]
fn a_pdu_of_the_announced_length_is_still_taken() {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    let longest = pdata(&[pdv(1, 2, &vec![7; 131_072 - 6])]);
    peer.send(&[begun(), longest].concat());
    assert_eq!(peer.status(), 0);
}

#[test]
fn two_contexts_mixed_inside_a_message() {
    aborts(&[begun(), pdata(&[pdv(3, 2, b"other")])].concat(), INVALID);
    aborts(&pdata(&[pdv(1, 1, &store_command(CT, "1.2.3")[..20]), pdv(3, 3, b"")]), INVALID);
}

#[test]
fn a_pdv_longer_than_its_pdu() {
    let mut bytes = pdata(&[pdv(1, 2, b"abcd")]);
    bytes[9] = 200;
    aborts(&[begun(), bytes].concat(), INVALID);
}

#[test]
fn data_without_a_command_and_a_command_inside_data() {
    aborts(&pdata(&[pdv(1, 2, b"data")]), UNEXPECTED);
    aborts(&[begun(), pdata(&[pdv(1, 3, &store_command(CT, "1.2.4"))])].concat(), UNEXPECTED);
}

#[test]
fn a_context_that_was_not_accepted() {
    aborts(&pdata(&[pdv(9, 3, &store_command(CT, "1.2.3"))]), INVALID);
}

#[test]
fn a_command_set_without_end() {
    let part = pdata(&[pdv(1, 1, &[0; 10_000])]);
    aborts(&[part.clone(), part].concat(), INVALID);
}

#[test]
fn a_second_request_an_answer_and_an_unknown_pdu() {
    aborts(&encode(&request("KHOANH", "CT01")), UNEXPECTED);
    aborts(&[6, 0, 0, 0, 0, 4, 0, 0, 0, 0], UNEXPECTED);
    aborts(&[0x44, 0, 0, 0, 0, 4, 0, 0, 0, 0], UNRECOGNIZED);
}

#[test]
fn a_command_set_that_makes_no_sense() {
    for command in [&b"\x00\x00\x00\x01\xff\xff\xff\xff"[..], b"\x08\x00\x05\x00\x00\x00\x00\x00", b"abc", b""] {
        let server = Server::start(Options::default());
        let mut peer = server.associate();
        peer.command(1, command);
        assert_eq!(peer.pdu(), Some((7, vec![0, 0, 0, 0])), "{command:?}");
        server.is_unharmed();
    }
}

#[test]
fn the_connection_ends_between_and_inside_pdvs() {
    let server = Server::start(Options::default());
    let message = [begun(), pdata(&[pdv(1, 0, b"second part")]), pdata(&[pdv(1, 2, b"last")])].concat();
    for cut in 1..message.len() {
        let mut peer = server.associate();
        peer.send(&message[..cut]);
        peer.stream.shutdown(Shutdown::Write).expect("shutdown");
        assert!(peer.is_closed(), "cut at {cut}");
    }
    server.is_unharmed();
}

#[test]
fn a_release_or_abort_inside_a_message_stores_nothing() {
    let server = Server::start(Options::default());
    let mut peer = server.associate();
    peer.send(&begun());
    peer.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(peer.pdu().map(|(kind, _)| kind), Some(6));
    let mut peer = server.associate();
    peer.send(&begun());
    peer.send(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert!(peer.is_closed());
    server.is_unharmed();
}

#[test]
fn a_first_pdu_that_is_no_request() {
    let server = Server::start(Options::default());
    let answer = |bytes: &[u8]| {
        let mut peer = server.connect();
        peer.send(bytes);
        peer.pdu()
    };
    assert_eq!(answer(b"GET / HTTP/1.1\r\n\r\n"), Some(provider_abort(UNRECOGNIZED)));
    let mut tls = server.connect();
    tls.send(&[0x16, 3, 1, 2, 0, 1, 0, 1]);
    let mut alert = [0; 7];
    tls.stream.read_exact(&mut alert).expect("an alert");
    assert_eq!(alert, [0x15, 3, 1, 0, 2, 2, 40], "in the language it speaks");
    assert_eq!(answer(&begun()), Some(provider_abort(UNEXPECTED)));
    assert_eq!(answer(&[1, 0, 0, 0, 0, 10]), Some(provider_abort(INVALID)));
    assert_eq!(answer(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]), None);
    assert_eq!(answer(&[1, 0, 0x7f, 0, 0, 0]), Some((3, vec![0, 1, 3, 2])), "longer than the limit");
    server.is_unharmed();
}

#[test]
fn a_mangled_request_is_answered_and_harmless() {
    let server = Server::start(Options::default());
    let good = encode(&request("KHOANH", "CT01"));
    for seed in 0..300u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(6..bytes.len());
            bytes[at] = random.u8(..);
        }
        let mut peer = server.connect();
        peer.send(&bytes);
        let kind = peer.pdu().map(|(kind, _)| kind);
        assert!(matches!(kind, Some(2 | 3 | 7)), "seed {seed}: {kind:?}");
    }
    eventually("no association is left", || server.associations() == 0);
    server.is_unharmed();
}

#[test]
fn two_contexts_under_one_id() {
    let server = Server::start(Options::default());
    let mut twice = request("KHOANH", "CT01");
    twice.presentation_contexts[1].id = 1;
    let mut peer = Peer::connect(server.address);
    peer.send(&encode(&twice));
    assert_eq!(peer.pdu(), Some(provider_abort(INVALID)));
    server.is_unharmed();
}
