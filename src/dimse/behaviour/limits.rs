//! Slow, silent and too many peers, and an archive that closes down.

use super::peer::{CT, Peer, encode, pdata, pdv, provider_abort, request, store_command};
use super::server::{PATIENCE, Server, eventually};
use crate::Options;
use std::io::Write;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(300);

fn begun() -> Vec<u8> {
    pdata(&[pdv(1, 3, &store_command(CT, "1.2.3")), pdv(1, 0, b"first part")])
}

#[test]
fn a_request_that_never_completes_is_cut() {
    let server = Server::start(Options { artim: SHORT, ..Options::default() });
    let whole = encode(&request("KHOANH", "CT01"));
    let (part, _) = whole.split_at(100);
    let mut silent = server.connect();
    let mut stuck = server.connect();
    stuck.send(part);
    assert!(silent.is_closed());
    assert!(stuck.is_closed());
    server.is_unharmed();
}

#[test]
fn a_message_that_dribbles_is_aborted() {
    let server = Server::start(Options { progress_limit: SHORT, ..Options::default() });
    let mut peer = server.associate();
    peer.send(&begun());
    let mut dribble = peer.stream.try_clone().expect("clone");
    let feeder = std::thread::spawn(move || {
        // Until the peer is cut off; the deadline only ends a failing test.
        let begun = std::time::Instant::now();
        while dribble.write_all(&pdata(&[pdv(1, 0, b"x")])).is_ok() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(peer.pdu(), Some(provider_abort(0)));
    peer.stream.shutdown(std::net::Shutdown::Both).expect("shutdown");
    feeder.join().expect("feeder");
    server.is_unharmed();
}

#[test]
fn an_idle_association_is_aborted() {
    let server = Server::start(Options { idle_limit: SHORT, ..Options::default() });
    let mut peer = server.associate();
    assert_eq!(peer.echo(), 0);
    assert_eq!(peer.pdu(), Some(provider_abort(0)));
}

#[test]
fn the_rest_of_a_refused_object_is_not_read_for_ever() {
    let server = Server::start(Options { discard_limit: SHORT, ..Options::default() });
    server.memory.fail(super::memory::Fault::OnWrite(archive::IngestError::OutOfSpace));
    let mut peer = server.associate();
    peer.send(&begun());
    assert_eq!(peer.pdu(), Some(provider_abort(0)));
    server.is_unharmed();
}

#[test]
fn associations_are_limited_in_all_and_by_source() {
    let limits = Options { associations_max: 3, associations_per_source_max: 2, ..Options::default() };
    let server = Server::start(limits);
    let ask = |calling: &str| {
        let mut peer = server.connect();
        peer.send(&encode(&request("KHOANH", calling)));
        let answer = peer.pdu().expect("an answer");
        (peer, answer)
    };
    let local_limit = (3, vec![0, 2, 3, 2]);
    let kept: Vec<(Peer, _)> = (0..2).map(|_| ask("FLOOD")).collect();
    assert!(kept.iter().all(|(_, answer)| answer.0 == 2));
    assert_eq!(ask("FLOOD").1, local_limit, "the source has all it may have");
    eventually("the refused one is gone", || server.associations() == 2);
    let neighbour = ask("NEIGHBOUR");
    assert_eq!(neighbour.1.0, 2);
    assert_eq!(ask("THIRD").1, local_limit, "the archive has all it may have");
    drop(kept);
    eventually("places come back", || ask("THIRD").1.0 == 2);
}

#[test]
fn a_flood_of_half_open_connections_leaves_neighbours_alone() {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limits.maximum, ..limits };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("raise to the hard limit");
    // One descriptor each on this side; the server keeps few.
    let room = limits.maximum.unwrap_or(u64::MAX).saturating_sub(3_000);
    let flood = usize::try_from(room).unwrap_or(usize::MAX).min(10_000);
    assert!(flood >= 1_000, "raise the hard limit of open files (ulimit -Hn) to run this test");
    let server = Server::start(Options::default());
    let mut patient = server.associate();
    let mut held: Vec<Peer> = Vec::with_capacity(flood);
    for number in 0..flood {
        held.push(server.connect());
        if number % 1_000 == 0 {
            server.is_unharmed();
        }
    }
    server.is_unharmed();
    assert_eq!(patient.echo(), 0);
    assert!(held.first_mut().expect("oldest").is_closed(), "the oldest was pushed out");
}

#[test]
fn closing_down_finishes_open_objects_and_refuses_new_associations() {
    let mut server = Server::start(Options::default());
    let mut idle = server.associate();
    let mut busy = server.associate();
    server.memory.close_gate();
    busy.send(&[begun(), pdata(&[pdv(1, 2, b"last")])].concat());
    eventually("the object is being stored", || server.memory.open() == 1);

    let listener = server.listener.take().expect("listener");
    let closing = server.runtime.spawn(listener.shutdown(PATIENCE));
    assert_eq!(idle.pdu(), Some(provider_abort(0)));
    let mut late = server.connect();
    late.send(&encode(&request("KHOANH", "LATE")));
    assert_eq!(late.pdu(), Some((3, vec![0, 2, 3, 1])));
    server.memory.open_gate();
    assert_eq!(busy.status(), 0);
    assert_eq!(busy.pdu(), Some(provider_abort(0)));
    assert_eq!(server.runtime.block_on(closing).expect("no panic"), 0);
    assert_eq!(server.memory.stored(), [b"first partlast".to_vec()]);
}

#[test]
fn closing_down_cuts_what_does_not_finish() {
    let mut server = Server::start(Options::default());
    let mut stuck = server.associate();
    stuck.send(&begun());
    eventually("the object is open", || server.memory.open() == 1);
    let listener = server.listener.take().expect("listener");
    assert_eq!(server.runtime.block_on(listener.shutdown(SHORT)), 1);
    assert_eq!(stuck.pdu(), Some(provider_abort(0)));
    eventually("the object is let go", || server.memory.open() == 0);
    assert_eq!(server.memory.stored().len(), 0);
}
