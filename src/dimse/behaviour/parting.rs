//! Destinations that never answer a release: they keep nobody.

use super::peer::{EXPLICIT, Peer};
use super::retrieving::{associate, destination, kept, move_all};
use super::server::{PATIENCE, Server, eventually};
use crate::command::Request;
use crate::{Options, pdu};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const ASSOCIATE: u8 = 1;
const DATA: u8 = 4;
const RELEASE: u8 = 5;
const ABORT: u8 = 7;

/// A destination that takes every object and answers no release; tells the type of each PDU that ends something.
fn mute() -> (SocketAddr, Receiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let (told, ends) = mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a caller");
        let mut caller = Peer { stream };
        let mut request = None;
        while let Some((kind, body)) = caller.pdu() {
            match (kind, body.get(5)) {
                (ASSOCIATE, _) => caller.send(&crate::scu::accepts(EXPLICIT)),
                (DATA, Some(3)) => request = body.get(6..).map(|command| Request::parse(command).expect("a request")),
                (DATA, Some(2)) => {
                    let request = request.take().expect("a command before its data");
                    caller.send(&pdu::command_pdus(1, &request.response(0, ""), 0));
                }
                (RELEASE | ABORT, _) => told.send(kind).expect("somebody listens"),
                _ => {}
            }
        }
    });
    (address, ends)
}

#[test]
fn a_destination_that_never_answers_a_release_keeps_neither_asker_nor_place_and_is_cut() {
    for (linger, in_a_pause) in [(Duration::from_millis(1), true), (Duration::from_secs(3_600), false)] {
        let (address, ends) = mute();
        let archive = Server::start(Options { move_linger: linger, ..Options::default() });
        archive.memory.destine(destination(address));
        archive.memory.keep(vec![kept(0, EXPLICIT)]);
        let mut peer = associate(&archive, "CT01");
        assert_eq!(move_all(&mut peer), (0, Some(1)));
        if in_a_pause {
            assert_eq!(ends.recv_timeout(PATIENCE), Ok(RELEASE));
            assert_eq!(peer.echo(), 0, "the asker is heard meanwhile");
            peer.release();
        } else {
            peer.release();
            assert_eq!(ends.recv_timeout(PATIENCE), Ok(RELEASE));
        }
        eventually("its place is free", || archive.associations() == 0);
        assert_eq!(ends.recv_timeout(PATIENCE), Ok(ABORT), "it would keep a thread for ever");
    }
}
