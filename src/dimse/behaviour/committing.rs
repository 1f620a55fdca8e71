//! Storage commitment on the wire: asked, reported on the same association, the next one, or one of ours.

use super::peer::{CT, EXPLICIT, Peer, element, encode, pdata, pdv, request};
use super::retrieving::command;
use super::server::{Server, eventually};
use crate::Options;
use crate::commitment_scp::{STORAGE_COMMITMENT, WELL_KNOWN};
use dataset::references;
use dicom_ul::pdu::PresentationContextProposed;
use model::{AeTitle, Destination};
use std::net::TcpListener;
use std::time::Duration;

fn associate(server: &Server, calling: &str) -> Peer {
    let mut asked = request("KHOANH", calling);
    asked.presentation_contexts.push(PresentationContextProposed {
        id: 7,
        abstract_syntax: STORAGE_COMMITMENT.into(),
        transfer_syntaxes: vec![EXPLICIT.into()],
    });
    let mut peer = server.connect();
    peer.send(&encode(&asked));
    assert_eq!(peer.pdu().expect("an answer").0, 2);
    peer
}

fn ask(peer: &mut Peer, instance: &str, action: u16, list: &[u8]) -> u16 {
    let (field, message, action) = (0x0130u16.to_le_bytes(), 9u16.to_le_bytes(), action.to_le_bytes());
    let (class, instance) = (format!("{STORAGE_COMMITMENT:\0<20}"), format!("{instance:\0<22}"));
    let elements: [(u16, &[u8]); 6] = [
        (0x0003, class.as_bytes()),
        (0x0100, &field),
        (0x0110, &message),
        (0x0800, &[0, 0]),
        (0x1001, instance.as_bytes()),
        (0x1008, &action),
    ];
    peer.command(7, &command(&elements));
    peer.send(&pdata(&[pdv(7, 2, list)]));
    peer.status()
}

fn list(transaction: &str, instances: &[&str]) -> Vec<u8> {
    let referenced = instances.iter().map(|instance| (CT, *instance));
    references::write(transaction, referenced, std::iter::empty(), EXPLICIT)
}

/// A report: event type and list; answered when wanted.
fn report(peer: &mut Peer, answered: bool) -> (u16, references::References) {
    let (kind, body) = peer.pdu().expect("a report");
    assert_eq!(kind, 4, "{body:?}");
    let event = body.get(6..).expect("a PDV").to_vec();
    let number = |of| u16::from_le_bytes(element(&event, of).expect("there").try_into().expect("US"));
    assert_eq!(number(0x0100), 0x0100);
    let (_, body) = peer.pdu().expect("its data set");
    let found = references::read(body.get(6..).expect("a PDV"), EXPLICIT).expect("a list");
    if answered {
        let (field, message) = (0x8100u16.to_le_bytes(), number(0x0110).to_le_bytes());
        let elements: [(u16, &[u8]); 4] = [(0x0100, &field), (0x0120, &message), (0x0800, &[1, 1]), (0x0900, &[0, 0])];
        peer.command(7, &command(&elements));
    }
    (number(0x1002), found)
}

#[test]
fn what_is_stored_is_committed_on_the_same_association() {
    let server = Server::start(Options::default());
    let mut peer = associate(&server, "CT01");
    assert_eq!(peer.store("1.2.3", b"data", 2), 0);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.77", &["1.2.3"])), 0);
    let (event, found) = report(&mut peer, true);
    assert_eq!((event, found.transaction.as_str()), (1, "1.2.77"));
    assert_eq!(found.objects, [(CT.to_owned(), "1.2.3".to_owned())]);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.78", &["1.2.3", "1.2.4"])), 0);
    assert_eq!(report(&mut peer, true).0, 2, "failures exist");
    assert_eq!(peer.echo(), 0);
    peer.release();
    let mut next = associate(&server, "CT01");
    assert_eq!(next.echo(), 0, "nothing is said twice");
    next.release();
}

#[test]
fn a_report_nobody_heard_comes_on_the_next_association() {
    let server = Server::start(Options::default());
    let mut peer = associate(&server, "CT01");
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.77", &["1.2.3"])), 0);
    drop(peer);
    let mut stranger = associate(&server, "CT02");
    assert_eq!(stranger.echo(), 0, "another's report is not told");
    stranger.release();
    let mut next = associate(&server, "CT01");
    assert_eq!(report(&mut next, true).1.transaction, "1.2.77");
    assert_eq!(next.echo(), 0);
    next.release();
}

#[test]
fn a_registered_asker_is_called_again_until_it_answers() {
    let server = Server::start(Options::default());
    // The asker's own port: the same kind of listener would refuse the role, so a plain socket plays it.
    let port = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = port.local_addr().expect("address");
    server.memory.destine(Destination {
        title: AeTitle::parse("CT01").expect("title"),
        host: address.ip().to_string(),
        port: address.port(),
        facility: None,
        calling: None,
        as_received: false,
        description: String::new(),
        tls: None,
        associations: 1,
        removed: false,
    });
    let mut peer = associate(&server, "CT01");
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.77", &["1.2.3"])), 0);
    peer.release();
    let (stream, _) = port.accept().expect("a call");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    let mut called = Peer { stream };
    let (kind, asked) = called.pdu().expect("a request");
    assert_eq!(kind, 1);
    // The role selection item: we are the SCP, not the SCU.
    let role = [STORAGE_COMMITMENT.as_bytes(), &[0, 1]].concat();
    assert!(asked.windows(role.len()).any(|bytes| bytes == role), "no role of SCP");
    called.send(&crate::scu::accepts(EXPLICIT));
    let (kind, event) = called.pdu().expect("a report");
    assert_eq!((kind, event.get(4).copied()), (4, Some(1)));
    called.pdu().expect("its data set");
    let message = element(event.get(6..).expect("a PDV"), 0x0110).expect("a message id");
    let field = 0x8100u16.to_le_bytes();
    let elements: [(u16, &[u8]); 4] = [(0x0100, &field), (0x0120, &message), (0x0800, &[1, 1]), (0x0900, &[0, 0])];
    called.command(1, &command(&elements));
    eventually("it is closed", || server.memory.open_commitments_now() == 0);
}

#[test]
fn questions_that_are_none_get_their_status() {
    let server = Server::start(Options { commitment_bytes_max: 100_000, ..Options::default() });
    let mut peer = associate(&server, "CT01");
    let good = list("1.2.77", &["1.2.3"]);
    assert_eq!(ask(&mut peer, "1.2.3", 1, &good), 0x0112);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 2, &good), 0x0123);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, b"GARBAGE!"), 0x0115);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("", &["1.2.3"])), 0x0115);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.77", &[])), 0x0115);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.77", &["1.2.x"])), 0x0115);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.666", &["1.2.3"])), 0x0213);
    assert_eq!(ask(&mut peer, WELL_KNOWN, 1, &list("1.2.77", &vec!["1.2.3"; 2_000])), 0xA700);
    assert_eq!(server.memory.open_commitments_now(), 0);
    assert_eq!(peer.echo(), 0);
    peer.release();
}
