//! C-FIND on the wire: answers of any length, cancels, and identifiers that are none.

use super::peer::{CT, EXPLICIT, Peer, command_set, element, encode, pdata, pdv, request};
use super::server::{Server, eventually};
use crate::Options;
use crate::question::{LEVEL, RETRIEVE_AE_TITLE};
use dataset::identifier;
use dicom_ul::pdu::{PresentationContextProposed, UserVariableItem};
use model::AttrKey;
use model::attribute::key;
use model::facility::CharsetHint;

const STUDY_ROOT: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const FIND: u16 = 0x0020;
const CANCEL: u16 = 0x0FFF;

/// An association with Study Root FIND on context 7, explicit only.
fn associate(server: &Server) -> Peer {
    associate_as(server, "CT01")
}

fn associate_as(server: &Server, calling: &str) -> Peer {
    let mut asked = request("KHOANH", calling);
    asked.presentation_contexts.push(PresentationContextProposed {
        id: 7,
        abstract_syntax: STUDY_ROOT.into(),
        transfer_syntaxes: vec![EXPLICIT.into()],
    });
    asked.user_variables.push(UserVariableItem::SopClassExtendedNegotiationSubItem(STUDY_ROOT.into(), vec![1, 1, 1]));
    let mut peer = server.connect();
    peer.send(&encode(&asked));
    assert_eq!(peer.pdu().expect("an answer").0, 2);
    peer
}

fn studies() -> Vec<u8> {
    identifier::write(&[(LEVEL, "CS", "STUDY"), (key::PATIENT_NAME, "PN", "")], EXPLICIT, "ISO_IR 192")
}

fn ask(peer: &mut Peer, identifier: &[u8]) {
    peer.command(7, &command_set(STUDY_ROOT, None, FIND, true));
    let mut chunks = identifier.chunks(100_000).peekable();
    while let Some(chunk) = chunks.next() {
        let last = if chunks.peek().is_none() { 2 } else { 0 };
        peer.send(&pdata(&[pdv(7, last, chunk)]));
    }
}

/// Cancels message 77; the tests' command sets have no room for the element.
pub(super) fn cancel(peer: &mut Peer) {
    let mut command = Vec::new();
    for (number, value) in [(0x0100u16, CANCEL), (0x0120, 77), (0x0800, 0x0101)] {
        command.extend([0, 0]);
        command.extend(number.to_le_bytes());
        command.extend([2, 0, 0, 0]);
        command.extend(value.to_le_bytes());
    }
    peer.command(7, &command);
}

/// One response: its status and its identifier, if there is one.
fn response(peer: &mut Peer) -> (u16, Option<identifier::Identifier>) {
    let (kind, body) = peer.pdu().expect("a response");
    assert_eq!(kind, 4, "no response but {body:?}");
    let command = body.get(6..).expect("a PDV");
    let number = |of| u16::from_le_bytes(element(command, of).expect("there").try_into().expect("US"));
    assert_eq!((number(0x0100), number(0x0120)), (0x8020, 77));
    let data = (number(0x0800) != 0x0101).then(|| {
        let (_, body) = peer.pdu().expect("a data set");
        identifier::read(body.get(6..).expect("a PDV"), EXPLICIT, CharsetHint::Auto).expect("readable")
    });
    (number(0x0900), data)
}

fn text(found: &identifier::Identifier, key: AttrKey) -> String {
    found.keys.iter().find(|k| k.key == key).map(|k| k.text.trim_matches([' ', '\0']).to_owned()).unwrap_or_default()
}

#[test]
fn matches_come_one_by_one_and_then_success() {
    let server = Server::start(Options::default());
    server.memory.matches(3_000);
    let mut peer = associate(&server);
    ask(&mut peer, &studies());
    for number in 1..=3_000 {
        let (status, found) = response(&mut peer);
        let found = found.expect("an identifier");
        assert_eq!(status, 0xFF00);
        assert_eq!(text(&found, key::STUDY_INSTANCE_UID), format!("1.2.{number}"));
        assert_eq!(text(&found, key::PATIENT_NAME), "Nguyễn^Ánh");
        assert_eq!(text(&found, LEVEL), "STUDY");
        assert_eq!(text(&found, RETRIEVE_AE_TITLE), "KHOANH");
        assert_eq!(found.charset, "ISO_IR 192");
    }
    assert_eq!(response(&mut peer), (0, None));
    let asked = server.memory.asked();
    assert!(asked.iter().all(|wanted| wanted.query.fuzzy && !wanted.patients), "{asked:?}");
    assert_eq!(peer.echo(), 0);
    peer.release();
}

#[test]
fn a_console_that_shows_ascii_only_is_answered_without_marks() {
    let server = Server::start(Options::default());
    server.memory.matches(1);
    let mut peer = associate_as(&server, "PLAIN");
    ask(&mut peer, &studies());
    let (status, found) = response(&mut peer);
    let found = found.expect("an identifier");
    assert_eq!((status, text(&found, key::PATIENT_NAME).as_str()), (0xFF00, "Nguyen^Anh"));
    assert_eq!(found.charset, "", "the default repertoire needs no label");
    assert_eq!(response(&mut peer), (0, None));
    peer.release();
}

#[test]
fn a_cancel_ends_an_answer_without_end() {
    let server = Server::start(Options::default());
    server.memory.matches(usize::MAX / 2);
    let mut peer = associate(&server);
    ask(&mut peer, &studies());
    assert_eq!(response(&mut peer).0, 0xFF00);
    // A storm of them: the first counts, the others are about nothing.
    for _ in 0..50 {
        cancel(&mut peer);
    }
    let last = std::iter::repeat_with(|| response(&mut peer)).find(|(status, _)| *status != 0xFF00);
    assert_eq!(last, Some((0xFE00, None)));
    assert_eq!(peer.echo(), 0);
    peer.release();
}

#[test]
fn an_asker_that_never_reads_or_is_gone_ends_alone() {
    let options = Options { write_limit: std::time::Duration::from_millis(200), ..Options::default() };
    let server = Server::start(options);
    server.memory.matches(usize::MAX / 2);
    let mut silent = associate(&server);
    ask(&mut silent, &studies());
    let mut gone = associate(&server);
    ask(&mut gone, &studies());
    drop(gone);
    eventually("both are let go", || server.associations() == 0);
    server.is_unharmed();
}

#[test]
fn another_request_in_the_middle_is_a_violation() {
    let server = Server::start(Options::default());
    server.memory.matches(usize::MAX / 2);
    let mut peer = associate(&server);
    ask(&mut peer, &studies());
    peer.command(5, &command_set(crate::VERIFICATION, None, 0x0030, false));
    let aborted = std::iter::repeat_with(|| peer.pdu()).find(|pdu| !matches!(pdu, Some((4, _))));
    assert_eq!(aborted, Some(Some(super::peer::provider_abort(2))));
    server.is_unharmed();
}

#[test]
fn bad_identifiers_get_their_status_and_the_association_lives_on() {
    let server = Server::start(Options::default());
    let mut peer = associate(&server);
    let none = identifier::write(&[(key::PATIENT_ID, "LO", "1")], EXPLICIT, "");
    let patients = identifier::write(&[(LEVEL, "CS", "PATIENT")], EXPLICIT, "");
    let long =
        identifier::write(&[(LEVEL, "CS", "STUDY"), (key::PATIENT_COMMENTS, "UT", &"x".repeat(2 << 20))], EXPLICIT, "");
    for (bytes, status) in [(none, 0xA900), (patients, 0xA900), (b"GARBAGE GARBAGE ".to_vec(), 0xC000), (long, 0xA700)]
    {
        ask(&mut peer, &bytes);
        assert_eq!(response(&mut peer), (status, None));
    }
    // On a context of storage, and without a data set.
    peer.send(&pdata(&[pdv(1, 3, &command_set(CT, None, FIND, true)), pdv(1, 2, &studies())]));
    assert_eq!(response(&mut peer), (0x0212, None));
    peer.command(7, &command_set(STUDY_ROOT, None, FIND, false));
    assert_eq!(response(&mut peer), (0xA900, None));
    peer.send(&pdata(&[pdv(7, 3, &command_set(CT, None, FIND, true)), pdv(7, 2, &studies())]));
    assert_eq!(response(&mut peer), (0x0122, None));
    assert_eq!(peer.store("1.2.3", b"data", 2), 0, "a neighbouring service");
    ask(&mut peer, &studies());
    assert_eq!(response(&mut peer), (0, None));
    peer.release();
}

#[test]
fn an_index_that_stops_answering_is_told_after_what_was_found() {
    let server = Server::start(Options::default());
    server.memory.matches(100);
    server.memory.fail_finds();
    let mut peer = associate(&server);
    ask(&mut peer, &studies());
    let found = std::iter::repeat_with(|| response(&mut peer).0).position(|status| status == 0xA700);
    assert!(found.is_some_and(|rows| rows > 0), "{found:?}");
    peer.release();
}
