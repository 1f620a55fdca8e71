//! The modality worklist on the wire: lines one by one, letters of each console, cancels, and identifiers that are none.

use super::finding::cancel;
use super::peer::{CT, EXPLICIT, IMPLICIT, Peer, command_set, element, encode, pdata, pdv, request};
use super::server::{Server, eventually};
use crate::worklist_line::tests::item;
use crate::worklist_table::{MODALITY_WORKLIST, PATIENT_NAME, START_DATE, STATION, STEPS};
use crate::{Options, STATUSES};
use archive::charts::ChartError;
use dataset::Vr;
use dataset::nested::{self, Member, Members};
use dicom_ul::pdu::PresentationContextProposed;
use model::facility::CharsetHint;

const FIND: u16 = 0x0020;

/// An association with the worklist on context 7.
fn associate(server: &Server, calling: &str, syntax: &str) -> Peer {
    let mut asked = request("KHOANH", calling);
    asked.presentation_contexts.push(PresentationContextProposed {
        id: 7,
        abstract_syntax: MODALITY_WORKLIST.into(),
        transfer_syntaxes: vec![syntax.into()],
    });
    let mut peer = server.connect();
    peer.send(&encode(&asked));
    assert_eq!(peer.pdu().expect("an answer").0, 2);
    peer
}

fn value(tag: u32, vr: Vr, text: &str) -> (u32, Member) {
    (tag, Member::Value(vr, text.into()))
}

/// The day's work, as most consoles ask for it.
fn today(station: &str) -> Members {
    let step = Members::from([value(STATION, Vr::AE, station), value(START_DATE, Vr::DA, "20260105")]);
    Members::from([value(PATIENT_NAME, Vr::PN, ""), (STEPS, Member::Items(vec![step]))])
}

fn ask(peer: &mut Peer, identifier: &[u8]) {
    peer.command(7, &command_set(MODALITY_WORKLIST, None, FIND, true));
    let mut chunks = identifier.chunks(100_000).peekable();
    while let Some(chunk) = chunks.next() {
        let last = if chunks.peek().is_none() { 2 } else { 0 };
        peer.send(&pdata(&[pdv(7, last, chunk)]));
    }
}

/// One response: its status and its line, if there is one.
fn response(peer: &mut Peer, syntax: &str) -> (u16, Option<nested::Nested>) {
    let (kind, body) = peer.pdu().expect("a response");
    assert_eq!(kind, 4, "no response but {body:?}");
    let command = body.get(6..).expect("a PDV");
    let number = |of| u16::from_le_bytes(element(command, of).expect("there").try_into().expect("US"));
    assert_eq!((number(0x0100), number(0x0120)), (0x8020, 77));
    let status = number(0x0900);
    assert!(STATUSES.iter().any(|known| known.code == status), "{status:04X} is in no table");
    let data = (number(0x0800) != 0x0101).then(|| {
        let (_, body) = peer.pdu().expect("a data set");
        nested::read(body.get(6..).expect("a PDV"), syntax, CharsetHint::Auto).expect("readable")
    });
    (status, data)
}

fn text(members: &Members, tag: u32) -> &str {
    match members.get(&tag) {
        Some(Member::Value(_, text)) => text.trim_matches([' ', '\0']),
        other => panic!("{tag:08X}: {other:?}"),
    }
}

fn of_step(members: &Members, tag: u32) -> &str {
    match members.get(&STEPS) {
        Some(Member::Items(items)) => text(items.first().expect("a step"), tag),
        other => panic!("no step: {other:?}"),
    }
}

#[test]
fn lines_come_one_by_one_in_every_coding_and_then_success() {
    let server = Server::start(Options::default());
    server.memory.schedule((1..=3).map(item).collect(), 1_000);
    for syntax in [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"] {
        let mut peer = associate(&server, "CT01", syntax);
        ask(&mut peer, &nested::write(&today("CT01"), syntax, "ISO_IR 192"));
        for _ in 0..3_000 {
            let (status, line) = response(&mut peer, syntax);
            let line = line.expect("a line");
            assert_eq!((status, line.charset.as_str()), (0xFF00, "ISO_IR 192"));
            assert_eq!(text(&line.members, PATIENT_NAME), "Nguyễn^Ánh^Văn");
            assert_eq!((of_step(&line.members, STATION), of_step(&line.members, START_DATE)), ("CT01", "20260105"));
            assert_eq!(line.count, 4, "only what was asked: {:?}", line.members);
        }
        assert_eq!(response(&mut peer, syntax), (0, None));
        assert_eq!(peer.echo(), 0);
        peer.release();
    }
    let asked = server.memory.worklists();
    let day = ("20260105".to_owned(), "20260105".to_owned());
    assert!(asked.len() == 3 && asked.iter().all(|query| query.days == day && query.station.is_some()), "{asked:?}");
}

#[test]
fn every_console_reads_the_name_in_its_own_letters() {
    let server = Server::start(Options::default());
    server.memory.schedule(vec![item(1)], 1);
    for (calling, name, charset) in [
        ("CT01", "Nguyễn^Ánh^Văn", "ISO_IR 192"),
        ("PLAIN", "Nguyen^Anh^Van", ""),
        ("UPPER", "NGUYEN VAN ANH", ""),
        ("LATIN", "Nguyên^Ánh^Van", "ISO_IR 100"),
        ("UTF", "Nguyễn^Ánh^Văn", "ISO_IR 192"),
    ] {
        let mut peer = associate(&server, calling, EXPLICIT);
        // The console claims Latin-1, which holds no Vietnamese.
        let mut keys = today("");
        keys.extend([value(PATIENT_NAME, Vr::PN, "Müller*")]);
        ask(&mut peer, &nested::write(&keys, EXPLICIT, "ISO_IR 100"));
        let (status, line) = response(&mut peer, EXPLICIT);
        let line = line.expect("a line");
        assert_eq!((status, text(&line.members, PATIENT_NAME), line.charset.as_str()), (0xFF00, name, charset));
        assert_eq!(response(&mut peer, EXPLICIT), (0, None));
        peer.release();
    }
    assert!(server.memory.worklists().iter().all(|query| query.name == "Müller*"));
}

#[test]
fn a_console_of_its_own_steps_is_told_of_no_others() {
    let server = Server::start(Options::default());
    server.memory.schedule(vec![item(1)], 1);
    let mut peer = associate(&server, "OWN", EXPLICIT);
    ask(&mut peer, &nested::write(&today(""), EXPLICIT, ""));
    assert_eq!(response(&mut peer, EXPLICIT).0, 0xFF00);
    assert_eq!(response(&mut peer, EXPLICIT), (0, None));
    ask(&mut peer, &nested::write(&today("CT01"), EXPLICIT, ""));
    assert_eq!(response(&mut peer, EXPLICIT), (0, None), "another's");
    peer.release();
    let stations: Vec<_> = server.memory.worklists().into_iter().map(|query| query.station).collect();
    assert_eq!(stations, [Some(model::AeTitle::parse("OWN").expect("title"))]);
}

#[test]
fn a_key_that_is_not_supported_is_told_and_left_out() {
    let server = Server::start(Options::default());
    server.memory.schedule(vec![item(1)], 1);
    let mut peer = associate(&server, "CT01", EXPLICIT);
    let mut keys = today("CT01");
    keys.extend([value(0x0010_4000, Vr::LT, "")]);
    ask(&mut peer, &nested::write(&keys, EXPLICIT, ""));
    let (status, line) = response(&mut peer, EXPLICIT);
    assert_eq!((status, line.expect("a line").members.contains_key(&0x0010_4000)), (0xFF01, false));
    assert_eq!(response(&mut peer, EXPLICIT), (0, None));
    peer.release();
}

#[test]
fn a_cancel_ends_an_answer_without_end_whether_anything_matches_or_not() {
    let server = Server::start(Options::default());
    server.memory.schedule(vec![item(1)], usize::MAX);
    let mut peer = associate(&server, "CT01", EXPLICIT);
    ask(&mut peer, &nested::write(&today("CT01"), EXPLICIT, ""));
    assert_eq!(response(&mut peer, EXPLICIT).0, 0xFF00);
    cancel(&mut peer);
    let last = std::iter::repeat_with(|| response(&mut peer, EXPLICIT)).find(|(status, _)| *status != 0xFF00);
    assert_eq!(last, Some((0xFE00, None)));
    let mut keys = today("CT01");
    keys.extend([value(0x0038_0010, Vr::LO, "NOBODY")]);
    ask(&mut peer, &nested::write(&keys, EXPLICIT, ""));
    cancel(&mut peer);
    assert_eq!(response(&mut peer, EXPLICIT), (0xFE00, None));
    assert_eq!(peer.echo(), 0);
    peer.release();
}

#[test]
fn an_asker_that_never_reads_or_is_gone_ends_alone() {
    let options = Options { write_limit: std::time::Duration::from_millis(200), ..Options::default() };
    let server = Server::start(options);
    server.memory.schedule(vec![item(1)], usize::MAX);
    let identifier = nested::write(&today("CT01"), EXPLICIT, "");
    let mut silent = associate(&server, "CT01", EXPLICIT);
    ask(&mut silent, &identifier);
    let mut gone = associate(&server, "CT01", EXPLICIT);
    ask(&mut gone, &identifier);
    drop(gone);
    eventually("both are let go", || server.associations() == 0);
    server.is_unharmed();
}

#[test]
fn bad_identifiers_get_their_status_and_the_association_lives_on() {
    let server = Server::start(Options::default());
    server.memory.schedule(vec![item(1)], 1);
    let mut peer = associate(&server, "CT01", EXPLICIT);
    let written = |members: Members| nested::write(&members, EXPLICIT, "");
    let steps = |items: usize| written(Members::from([(STEPS, Member::Items(vec![Members::new(); items]))]));
    let nested_deep =
        [0x40, 0, 0, 1, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
    for (bytes, status) in [
        (steps(2), 0xA900),
        (steps(10_000), 0xA900),
        (written(Members::from([value(STEPS, Vr::LO, "CT01")])), 0xA900),
        (written(today("a title of more than 16")), 0xC000),
        (b"GARBAGE GARBAGE ".to_vec(), 0xC000),
        (nested_deep.repeat(1_000), 0xC000),
        (vec![b'x'; 2 << 20], 0xA700),
    ] {
        ask(&mut peer, &bytes);
        assert_eq!(response(&mut peer, EXPLICIT), (status, None));
    }
    // Without the step's sequence, and without any key: every line, with what was asked.
    for (bytes, count) in [(written(Members::from([value(PATIENT_NAME, Vr::PN, "")])), 1), (Vec::new(), 0)] {
        ask(&mut peer, &bytes);
        if bytes.is_empty() {
            peer.send(&pdata(&[pdv(7, 2, b"")]));
        }
        let (status, line) = response(&mut peer, EXPLICIT);
        assert_eq!((status, line.expect("a line").count), (0xFF00, count));
        assert_eq!(response(&mut peer, EXPLICIT), (0, None));
    }
    // Another class than the context's, and the worklist on a context of storage.
    peer.send(&pdata(&[pdv(7, 3, &command_set(CT, None, FIND, true)), pdv(7, 2, &written(today("")))]));
    assert_eq!(response(&mut peer, EXPLICIT), (0x0122, None));
    peer.send(&pdata(&[pdv(1, 3, &command_set(MODALITY_WORKLIST, None, FIND, true)), pdv(1, 2, &written(today("")))]));
    assert_eq!(response(&mut peer, EXPLICIT), (0x0212, None));
    assert_eq!(peer.store("1.2.3", b"data", 2), 0, "a neighbouring service");
    peer.release();
}

#[test]
fn an_archive_that_cannot_answer_is_told_after_what_was_found() {
    let server = Server::start(Options::default());
    server.memory.schedule(vec![item(1)], 20);
    server.memory.fail_charts(ChartError::Unavailable("on purpose".into()));
    let mut peer = associate(&server, "CT01", EXPLICIT);
    ask(&mut peer, &nested::write(&today("CT01"), EXPLICIT, ""));
    let found = std::iter::repeat_with(|| response(&mut peer, EXPLICIT).0).position(|status| status == 0xA700);
    assert_eq!(found, Some(20));
    assert_eq!(peer.echo(), 0);
    peer.release();
}
