//! Bad input on the DICOM port: the right answer, the process alive, neighbours unharmed, nothing half-stored.

use crate::corpus;
use crate::yard::{SECONDARY_CAPTURE, Yard, closed, open, patient_object};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::association::{
    Association, Proposal, Titles, VERIFICATION, WireError, associate_request, item, p_data, pdu, read_pdu,
};
use testkit::element::DataSet;
use testkit::object::{Object, syntax};

/// Whether a C-STORE status means the object was kept.
fn kept(status: u16) -> bool {
    status == 0 || status & 0xF000 == 0xB000
}

/// What INDEX.csv expects of a made file: refused (`Some(false)`), kept (`Some(true)`), either.
fn expected(notes: &str) -> Option<bool> {
    match notes {
        "expected: reject" => Some(false),
        _ if notes.starts_with("expected: accept") && !notes.contains("reject") => Some(true),
        _ => None,
    }
}

#[test]
fn broken_files_are_answered_one_by_one_and_the_association_lives_on() {
    let mut yard = Yard::open();
    let mut seen = 0;
    for row in corpus::rows().into_iter().filter(|row| row.file.starts_with("bad/")) {
        let bytes = corpus::read(&row.file);
        let Ok(object) = Object::from_file(bytes) else { continue };
        let known = |uid: &str, default: &str| if uid.is_empty() { default.to_owned() } else { uid.to_owned() };
        let (class, uid) = (known(&object.sop_class, SECONDARY_CAPTURE), known(&object.sop_instance, "1.2.3.4"));
        let before = yard.totals();
        let mut association = open(yard.server.dicom, &class, &object.transfer_syntax);
        let status = association.store(1, &class, &uid, object.data_set()).map(|response| response.status);
        let status = status.unwrap_or_else(|error| panic!("{}: {error}", row.file));
        let after = yard.totals();
        assert_eq!(kept(status), before != after, "{}: {status:04X} and {before} -> {after}", row.file);
        if let Some(keep) = expected(&row.notes) {
            assert_eq!(kept(status), keep, "{} ({}): {status:04X}", row.file, row.notes);
        }
        let next = association.store(1, &class, "1.2.3", b"").expect("the association lives").status;
        assert!(!kept(next), "{}: an empty data set was kept", row.file);
        association.release().expect("released");
        seen += 1;
    }
    assert!(seen >= 30, "only {seen} files");
    yard.is_unharmed("broken files");
}

/// Sends a data set by C-STORE; the status.
fn store(yard: &Yard, uid: &str, data_set: &[u8]) -> u16 {
    let mut association = open(yard.server.dicom, SECONDARY_CAPTURE, syntax::EXPLICIT);
    let status = association.store(1, SECONDARY_CAPTURE, uid, data_set).expect("answered").status;
    association.release().expect("released");
    status
}

#[test]
fn deep_nesting_and_lying_lengths_are_refused_in_bounded_memory() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let mut head = DataSet::new();
    head.text(0x0008_0016, "UI", SECONDARY_CAPTURE).text(0x0008_0018, "UI", "1.2.3.9");
    let mut nested = head.clone();
    for _ in 0..1_500 {
        nested.header(0x0008_1140, "SQ", usize::MAX).item(0xFFFE_E000, u32::MAX);
    }
    yard.server.process().reset_peak();
    let resident = yard.server.process().resident_bytes();
    assert_eq!(store(&yard, "1.2.3.9", &nested.into_bytes()), 0xC000, "1,500 nested sequences");
    for vr in ["OB", "OW", "UT", "UN", "UC"] {
        let mut lying = DataSet::new();
        lying.header(0x0009_1001, vr, 2 << 30).text(0x0009_1002, "LO", "30 bytes!");
        assert_eq!(store(&yard, "1.2.3.9", &lying.into_bytes()), 0xC000, "2 GiB of {vr} declared");
    }
    let mut pixels = head.clone();
    pixels.text(0x0020_000D, "UI", "1.5").text(0x0020_000E, "UI", "1.6").header(0x7FE0_0010, "OB", 2 << 30);
    assert_eq!(store(&yard, "1.2.3.9", &pixels.into_bytes()), 0xC000, "2 GiB of pixels declared");
    let grown = yard.server.process().peak_bytes().saturating_sub(resident);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("lengths that lie");
}

#[test]
fn objects_that_are_not_what_was_announced_or_not_identified_are_refused() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", b"xx");
    assert_eq!(store(&yard, "1.2.840.999", object.data_set()), 0xA900, "another SOP Instance UID");
    let long = format!("1.2.{}", "3".repeat(62));
    for bad in ["1.2.a.3", long.as_str(), "../../etc/passwd", "", "1..2"] {
        let object = patient_object("1.2.840.1", "1.2.840.2", bad, "P1", b"xx");
        let status = store(&yard, "1.2.840.3", object.data_set());
        assert!([0xA900, 0xC000].contains(&status), "{bad:?}: {status:04X}");
        let object = patient_object(bad, "1.2.840.2", "1.2.840.3", "P1", b"xx");
        let status = store(&yard, "1.2.840.3", object.data_set());
        assert!([0xA900, 0xC000].contains(&status), "study {bad:?}: {status:04X}");
    }
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("wrong identities");
}

/// The command and the first part of the data set of an object never finished.
fn begun(association: &mut Association, object: &Object) -> Vec<u8> {
    let command = association.store_command(&object.sop_class, &object.sop_instance);
    let (first, _) = object.data_set().split_at(object.data_set().len() / 2);
    let pieces = first.chunks(60_000).flat_map(|piece| p_data(&[(1, 0, piece)]));
    p_data(&[(1, 3, &command)]).into_iter().chain(pieces).collect()
}

#[test]
fn an_object_cut_off_between_its_pieces_leaves_nothing() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[7; 400_000]);
    for goodbye in [vec![], pdu(7, &[0, 0, 0, 0]), pdu(5, &[0, 0, 0, 0]), p_data(&[(1, 3, b"x")])] {
        let mut association = open(yard.server.dicom, SECONDARY_CAPTURE, syntax::EXPLICIT);
        let begun = begun(&mut association, &object);
        association.socket().write_all(&begun).expect("written");
        association.socket().write_all(&goodbye).expect("written");
        if goodbye.is_empty() {
            association.socket().shutdown(std::net::Shutdown::Write).expect("shut");
        }
        assert!(closed(association.socket()), "the server let it hang");
    }
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("objects cut off");
}

#[test]
fn a_data_set_shorter_than_its_pixels_is_refused() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[7; 400_000]);
    let (short, _) = object.data_set().split_at(300_000);
    assert_eq!(store(&yard, "1.2.840.3", short), 0xC000);
    let (short, _) = object.data_set().split_at(61);
    assert_eq!(store(&yard, "1.2.840.3", short), 0xC000);
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("short data sets");
}

#[test]
fn broken_protocol_ends_the_association_and_nothing_else() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[7; 400_000]);
    let announced = {
        let association = open(yard.server.dicom, SECONDARY_CAPTURE, syntax::EXPLICIT);
        association.peer_max_pdu()
    };
    let too_long = p_data(&[(1, 0, &vec![0; announced + 64])]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a PDU longer than announced", too_long),
        ("a PDV of another context inside the data set", p_data(&[(3, 0, b"else")])),
        ("a PDV of a context never proposed", p_data(&[(99, 0, b"else")])),
        ("a PDV longer than its PDU", [&[4, 0, 0, 0, 0, 10][..], &[0, 0, 0, 99, 1, 0, 1, 2, 3, 4]].concat()),
        ("a PDV of no length", [&[4, 0, 0, 0, 0, 4][..], &[0, 0, 0, 0]].concat()),
        ("an unknown PDU", pdu(0x42, b"what")),
        ("a second A-ASSOCIATE-RQ", associate_request(&Titles::new("A", "B"), &[])),
        ("a PDU of 4 GiB", vec![4, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]),
    ];
    for (what, bytes) in cases {
        let mut association = two_contexts(&yard);
        let begun = begun(&mut association, &object);
        association.socket().write_all(&begun).expect("written");
        let _ = association.socket().write_all(&bytes);
        match association.read_response() {
            Err(WireError::Aborted(..) | WireError::Io(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert!(closed(association.socket()), "{what}: left open");
    }
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("broken protocol");
}

fn two_contexts(yard: &Yard) -> Association {
    let proposal =
        |uid: &str| Proposal { abstract_syntax: uid.into(), transfer_syntaxes: vec![syntax::EXPLICIT.into()] };
    let titles = Titles::new("KHOANH", "HOSTILE");
    let both = [proposal(SECONDARY_CAPTURE), proposal("1.2.840.10008.5.1.4.1.1.2")];
    Association::open(yard.server.dicom, &titles, &both, Duration::from_secs(30)).expect("associated")
}

#[test]
fn data_without_a_command_and_unknown_commands_are_answered_or_ended() {
    let mut yard = Yard::open();
    let before = yard.totals();
    let mut association = two_contexts(&yard);
    association.socket().write_all(&p_data(&[(1, 2, b"data first")])).expect("written");
    assert!(matches!(association.read_response(), Err(WireError::Aborted(..) | WireError::Io(_))));
    let mut association = two_contexts(&yard);
    let garbage = vec![0xFF; 4_096];
    association.socket().write_all(&p_data(&[(1, 3, &garbage)])).expect("written");
    assert!(matches!(association.read_response(), Err(WireError::Aborted(..) | WireError::Io(_))));
    let mut association = two_contexts(&yard);
    let endless = vec![0; 60_000];
    for _ in 0..200 {
        if association.socket().write_all(&p_data(&[(1, 1, &endless)])).is_err() {
            break;
        }
    }
    assert!(closed(association.socket()), "a command set of 12 MB was taken");
    assert_eq!(yard.totals(), before);
    yard.is_unharmed("commands");
}

#[test]
fn what_is_no_association_request_is_turned_away() {
    let mut yard = Yard::open();
    let garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
        vec![1, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        pdu(1, &[0; 10]),
        pdu(1, &[0xFF; 3_000]),
        pdu(4, &[0; 100]),
        vec![0; 100],
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(yard.server.dicom).expect("connected");
        stream.write_all(&bytes).expect("written");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(closed(&mut stream), "{bytes:02X?}");
    }
    yard.is_unharmed("garbage");
}

#[test]
fn a_request_of_45_kb_is_answered_in_full() {
    let yard = Yard::open();
    let syntaxes: Vec<String> = (50..62).map(|last| format!("1.2.840.10008.1.2.4.{last}")).collect();
    let mut proposals: Vec<Proposal> = (0..119)
        .map(|number| Proposal {
            abstract_syntax: format!("1.2.840.10008.5.1.4.1.1.{}.{}", number, "1".repeat(20)),
            transfer_syntaxes: [syntaxes.clone(), vec![syntax::EXPLICIT.into()]].concat(),
        })
        .collect();
    proposals.push(Proposal { abstract_syntax: VERIFICATION.into(), transfer_syntaxes: vec![syntax::IMPLICIT.into()] });
    let titles = Titles::new("KHOANH", "ROUTER");
    let request = associate_request(&titles, &proposals);
    assert!(request.len() > 45_000, "{}", request.len());
    let mut association =
        Association::open(yard.server.dicom, &titles, &proposals, Duration::from_secs(30)).expect("accepted");
    assert_eq!(association.contexts().len(), 120);
    assert_eq!(association.echo().expect("echoed"), 0);
    association.release().expect("released");
}

#[test]
fn user_items_of_any_kind_are_survived() {
    let mut yard = Yard::open();
    for (kind, value) in [(0x58u8, vec![9u8; 40]), (0x54, vec![0xFF; 6]), (0x56, vec![0, 200, 1]), (0x59, vec![])] {
        let mut stream = TcpStream::connect(yard.server.dicom).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let request = associate_request(&Titles::new("KHOANH", "ODD"), &[]);
        // The user information item is the last one: 0x50, reserved, length.
        let at = request.windows(4).rposition(|w| w[0] == 0x50 && w[1] == 0 && w[3] > 40).expect("user item");
        let mut user = request[at + 4..].to_vec();
        user.extend_from_slice(&item(kind, &value));
        let body = [&request[6..at], &item(0x50, &user)].concat();
        stream.write_all(&pdu(1, &body)).expect("written");
        let answer = read_pdu(&mut stream).map(|pdu| pdu.kind);
        assert!(!matches!(answer, Ok(1 | 4)), "{kind:02X}: {answer:?}");
    }
    yard.is_unharmed("odd user items");
}

#[test]
fn a_thousand_silent_connections_and_slow_ones_harm_nobody() {
    let mut yard = Yard::open();
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..1_000 {
        let stream = TcpStream::connect_timeout(&yard.server.dicom, Duration::from_secs(5)).expect("connected");
        silent.push(stream);
    }
    let request = associate_request(&Titles::new("KHOANH", "SLOW"), &[]);
    let mut slow: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect_timeout(&yard.server.dicom, Duration::from_secs(5)).expect("connected"))
        .collect();
    let deadline = Instant::now() + Duration::from_secs(3);
    // One byte at a time and never the last one. Those the server evicts fail: that is its right.
    let mut bytes = request.iter().take(request.len() - 1);
    while Instant::now() < deadline {
        if let Some(byte) = bytes.next() {
            slow.iter_mut().for_each(|stream| drop(stream.write_all(&[*byte])));
        }
        yard.is_unharmed("slow and silent connections");
    }
    let resident = yard.server.process().resident_bytes();
    assert!(resident < 512 << 20, "{resident} bytes resident");
    drop(silent);
    yard.is_unharmed("after they left");
}

#[test]
fn a_sender_that_never_reads_or_stops_midway_does_not_hold_others() {
    let mut yard = Yard::open();
    let object = patient_object("1.2.840.1", "1.2.840.2", "1.2.840.3", "P1", &[7; 400_000]);
    let mut stuck: Vec<Association> = (0..20)
        .map(|_| {
            let mut association = two_contexts(&yard);
            let begun = begun(&mut association, &object);
            association.socket().write_all(&begun).expect("written");
            association
        })
        .collect();
    yard.is_unharmed("senders stuck midway");
    for association in &mut stuck {
        let mut nothing = [0];
        association.socket().set_nonblocking(true).expect("set");
        assert!(association.socket().read(&mut nothing).is_err(), "answered before the data set was whole");
    }
}
