//! Against our own listener with its memory receiver, and against peers that do not keep the rules.

use super::*;
use crate::behaviour::server::Server;
use dataset::identifier;
use model::{AttrKey, Uid};
use std::io::Cursor;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn peer(address: SocketAddr, calling: &str) -> Peer {
    let title = |text: &str| AeTitle::parse(text).expect("title");
    Peer { address: address.to_string(), called: title("KHOANH"), calling: title(calling), secure: None }
}

fn proposals() -> Vec<Proposal> {
    let ct = Proposal { abstract_syntax: CT.into(), transfer_syntaxes: vec![EXPLICIT.into()] };
    vec![Proposal::verification(), ct]
}

fn object(instance: &str) -> Object {
    let uid = |text: &str| Uid::parse(text).expect("uid");
    let originator = Originator { title: AeTitle::parse("VIEWER1").expect("title"), message: 7 };
    Object { sop_class: uid(CT), sop_instance: uid(instance), originator: Some(originator) }
}

fn quick() -> Limits {
    let short = Duration::from_millis(300);
    Limits { connect: short, answer: short, write: short, ..Limits::default() }
}

#[test]
fn echo_store_and_release_and_every_size_arrives_whole() {
    let server = Server::start(Options::default());
    let mut association =
        Requestor::open(&peer(server.address, "CT01"), &proposals(), &Limits::default()).expect("open");
    assert!(association.echo().expect("echo").is_success());
    let context = association.context(CT, EXPLICIT).expect("accepted");
    let room = 128 * 1024 - pdu::PDV_HEADER_BYTES;
    let sizes = [0, 1, room - 1, room, room + 1, 2 * room, 1_000_003];
    for (number, size) in sizes.iter().enumerate() {
        let data: Vec<u8> = (0..*size).map(|at| (at % 251) as u8).collect();
        let stored = association.store(context, &object(&format!("1.2.{number}")), &mut Cursor::new(data));
        assert!(stored.expect("answered").is_success());
    }
    association.release().expect("released");
    assert_eq!(server.memory.stored().iter().map(Vec::len).collect::<Vec<_>>(), sizes);
}

#[test]
fn a_source_that_breaks_off_aborts_and_nothing_is_stored() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("damaged"));
            }
            let length = buffer.len().min(self.0);
            self.0 -= length;
            Ok(length)
        }
    }
    let server = Server::start(Options::default());
    let mut association =
        Requestor::open(&peer(server.address, "CT01"), &proposals(), &Limits::default()).expect("open");
    let context = association.context(CT, EXPLICIT).expect("accepted");
    let stored = association.store(context, &object("1.2.3"), &mut Broken(700_000));
    assert!(matches!(stored, Err(CallError::Source(_))), "{stored:?}");
    assert!(matches!(association.echo(), Err(CallError::Lost(_))));
    server.is_unharmed();
}

#[test]
fn refusals_say_why_and_whether_they_pass() {
    let server = Server::start(Options { associations_per_source_max: 1, ..Options::default() });
    let open = |calling| Requestor::open(&peer(server.address, calling), &proposals(), &Limits::default());
    let stranger = open("STRANGER").expect_err("unknown");
    assert!(matches!(&stranger, CallError::Rejected { transient: false, .. }), "{stranger}");
    assert!(!stranger.is_passing());
    let _first = open("CT01").expect("open");
    let second = open("CT01").expect_err("one too many");
    assert!(second.is_passing(), "{second}");
    let free = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
    let nobody = Requestor::open(&peer(free, "CT01"), &proposals(), &quick()).expect_err("nobody");
    assert!(matches!(&nobody, CallError::Connect { .. }) && nobody.to_string().contains(&free.to_string()));
}

/// A listener that answers the request with `answer` and then each of `later` after something was received.
fn false_peer(answer: Vec<u8>, later: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut waste = vec![0; 64 * 1024];
        for bytes in std::iter::once(answer).chain(later) {
            let _ = stream.read(&mut waste);
            let _ = stream.write_all(&bytes);
        }
        let _ = stream.read(&mut waste);
    });
    (address, thread)
}

/// An answer that accepts the first context, and one to C-ECHO with a message id.
pub(crate) fn accepts(syntax: &str) -> Vec<u8> {
    let item = |kind: u8, value: &[u8]| {
        [&[kind, 0][..], &u16::try_from(value.len()).expect("short").to_be_bytes(), value].concat()
    };
    let context = [&[1, 0, 0, 0][..], &item(0x40, syntax.as_bytes())].concat();
    let user = item(0x51, &[0, 0, 64, 0]);
    let body = [
        [0, 1, 0, 0].as_slice(),
        b"KHOANH          CT01            ",
        &[0; 32],
        &item(0x10, b"1.2.840.10008.3.1.1.1"),
        &item(0x21, &context),
        &item(0x50, &user),
    ]
    .concat();
    [&[2, 0][..], &u32::try_from(body.len()).expect("short").to_be_bytes(), &body].concat()
}

#[test]
fn peers_that_break_the_rules_cost_an_error_and_no_hang() {
    let open = |answer: Vec<u8>| {
        let (address, thread) = false_peer(answer, Vec::new());
        let opened = Requestor::open(&peer(address, "CT01"), &proposals(), &quick()).map(|_| ());
        thread.join().expect("ends");
        opened.expect_err("no association")
    };
    assert!(matches!(open(vec![]), CallError::TooSlow));
    assert!(matches!(open(vec![2, 0, 0x7f, 0xff, 0xff, 0xff]), CallError::Protocol(_)));
    assert!(matches!(open(vec![4; 64]), CallError::Protocol(_)));
    assert!(matches!(open(vec![7, 0, 0, 0, 0, 4, 0, 0, 2, 0]), CallError::Aborted));
    assert!(matches!(open(accepts("1.2.3.4")), CallError::Protocol(_)), "a syntax nobody proposed");
    let echo = |later: Vec<u8>| {
        let (address, thread) = false_peer(accepts("1.2.840.10008.1.2"), vec![later]);
        let mut opened = Requestor::open(&peer(address, "CT01"), &proposals(), &quick()).expect("accepted");
        let answered = opened.echo();
        drop(opened);
        thread.join().expect("ends");
        answered.expect_err("no answer")
    };
    assert!(matches!(echo(vec![]), CallError::TooSlow));
    let other = command::Request::parse(&command::echo_request(99)).expect("a request").response(0, "");
    assert!(matches!(echo(pdu::command_pdus(1, &other, 0)), CallError::Protocol(_)), "another message id");
    assert!(matches!(echo(pdu::RELEASE_REQUEST.to_vec()), CallError::Protocol(_)));
    assert!(matches!(echo(vec![4, 0, 0, 0, 0, 1, 0]), CallError::Protocol(_)));
}

#[test]
fn an_answer_that_trickles_is_given_up_when_its_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let mut sent = 0;
    let opened = std::thread::scope(|scope| {
        let caller = scope.spawn(|| Requestor::open(&peer(address, "CT01"), &proposals(), &quick()).map(|_| ()));
        let (mut stream, _) = listener.accept().expect("a caller");
        // Every byte comes long before a single read would time out; the whole would take minutes.
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
        let (head, mut waste) = ([2, 0, 0, 0, 16, 0], [0; 64 * 1024]);
        for byte in head.into_iter().chain(std::iter::repeat_n(0, 4096)) {
            let asked = stream.read(&mut waste);
            let over = !matches!(&asked, Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
            if (over && sent > 0) || stream.write_all(&[byte]).is_err() {
                break;
            }
            sent += 1;
        }
        caller.join().expect("ends")
    });
    assert!(matches!(opened, Err(CallError::TooSlow)), "{opened:?}");
    assert!(sent < 4096, "the caller waited for all of it");
}

#[test]
fn a_move_ends_with_what_the_peer_counts_and_names() {
    let title = AeTitle::parse("KHOANH").expect("title");
    let implicit = "1.2.840.10008.1.2";
    let request = command::Request::parse(&command::move_request(1, moving::STUDY_ROOT_MOVE, &title));
    let request = request.expect("a request");
    assert_eq!((request.field, request.destination.as_deref()), (command::C_MOVE_RQ, Some("KHOANH")));
    let counted = |remaining, completed, failed| command::Counts { remaining, completed, failed, warned: 1 };
    let mut ended = pdu::command_pdus(1, &request.progress(0xFF00, "", counted(Some(2), 1, 0), false), 0);
    let list = identifier::write(&[(AttrKey::root(0x0008_0058), "UI", "1.2.3\\1.2.4")], implicit, "");
    pdu::message_pdus(1, &request.progress(0xB000, "two failed", counted(None, 3, 2), true), &list, 0, &mut ended);
    let moved = |later: Vec<u8>| {
        let (address, thread) = false_peer(accepts(implicit), vec![later]);
        let mut opened = Requestor::open_to_move(&peer(address, "CT01"), &quick()).expect("accepted");
        let moved = opened.move_to(&[(AttrKey::root(0x0020_000D), "UI", "1.2")], &title);
        drop(opened);
        thread.join().expect("ends");
        moved
    };
    let told = moved(ended).expect("answered");
    assert_eq!((told.answer.status, told.answer.comment.as_str()), (0xB000, "two failed"));
    assert_eq!((told.taken, told.failed), (Some(4), Some(2)));
    assert_eq!(told.named, ["1.2.3", "1.2.4"]);
    let refused = moved(pdu::command_pdus(1, &request.response(0xA801, "who is KHOANH?"), 0)).expect("answered");
    assert_eq!((refused.answer.status, refused.taken, refused.failed), (0xA801, None, None));
    // An answer to another message, one of another operation, and none at all.
    let other = command::Request { message_id: 2, ..request.clone() };
    assert!(matches!(moved(pdu::command_pdus(1, &other.response(0, ""), 0)), Err(CallError::Protocol(_))));
    let other = command::Request { field: command::C_FIND_RQ, ..request };
    assert!(matches!(moved(pdu::command_pdus(1, &other.response(0, ""), 0)), Err(CallError::Protocol(_))));
    assert!(matches!(moved(Vec::new()), Err(CallError::TooSlow)));
}
