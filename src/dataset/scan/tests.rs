//! Structure, bounds and oddities, on data sets made here.

mod hostile;

use crate::fixture::*;
use crate::scan::{Scanned, Scanner};
use crate::syntax::{DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};
use crate::{Limits, ScanError};
use flate2::{Compress, Compression, FlushCompress};
use model::attribute::key;
use model::facility::CharsetHint;
use model::{AttrKey, Flag, Sameness, SamenessKind};

pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1024);
    let mut stream = Compress::new(Compression::default(), false);
    stream.compress_vec(bytes, &mut out, FlushCompress::Finish).expect("deflates");
    out
}

/// The root elements of a small data set with a sequence of each kind, text and pixels.
pub(super) fn rich_elements() -> Vec<Vec<u8>> {
    let request = [explicit(0x0040_0009, b"SH", b"STEP1 "), explicit(0x0040_1001, b"SH", b"REQ1")].concat();
    let code = explicit(0x0008_0100, b"SH", b"C1");
    let codes = [&undefined(0x0008_1032, b"SQ")[..], &OPEN_ITEM, &code, &ITEM_END, &SEQUENCE_END].concat();
    let hidden = implicit(0x0008_0100, b"IMPL");
    let unknown = [&undefined(0x0011_1001, b"UN")[..], &OPEN_ITEM, &hidden, &ITEM_END, &SEQUENCE_END].concat();
    vec![
        explicit(0x0008_0005, b"CS", b"ISO_IR 192"),
        explicit(0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        explicit(0x0008_0018, b"UI", b"1.2.3.4.5.6\0"),
        explicit(0x0008_0020, b"DA", b"20260101"),
        codes,
        explicit(0x0010_0010, b"PN", "Nguyễn^Văn An".as_bytes()),
        explicit(0x0011_0010, b"LO", b"SOMEONE "),
        unknown,
        explicit(0x0020_000D, b"UI", b"1.2.3.4\0"),
        explicit(0x0020_000E, b"UI", b"1.2.3.4.5\0"),
        explicit(0x0028_0010, b"US", &[2, 0]),
        explicit(0x0028_0011, b"US", &[2, 0]),
        explicit(0x0028_0100, b"US", &[16, 0]),
        explicit(0x0040_0275, b"SQ", &item(&request)),
        explicit(0x7FE0_0010, b"OW", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ]
}

pub(super) fn rich() -> Vec<u8> {
    rich_elements().concat()
}

#[test]
fn attributes_come_from_root_and_items() {
    let scanned = scan(EXPLICIT_LE, &rich()).expect("good");
    let value = |key: AttrKey| scanned.attributes.get(&key).map(String::as_str);
    assert_eq!(value(key::PATIENT_NAME), Some("Nguyễn^Văn An"));
    assert_eq!(value(key::PROCEDURE_CODE_VALUE), Some("C1"));
    assert_eq!(value(key::SCHEDULED_PROCEDURE_STEP_ID), Some("STEP1"));
    assert_eq!(value(key::REQUESTED_PROCEDURE_ID), Some("REQ1"));
    assert_eq!(value(key::ROWS), Some("2"));
    assert_eq!(value(key::PATIENT_ID), None);
    assert_eq!(scanned.flags, []);
    let pixel = scanned.layout.pixel.expect("pixels");
    assert_eq!(pixel.end, scanned.layout.dataset_len);
    assert_eq!((pixel.value.at - pixel.header, pixel.value.len), (12, 8));
}

#[test]
fn what_a_sender_states_of_how_much_there_is_is_kept() {
    let mut elements = rich_elements();
    // Behind the Series Instance UID.
    elements.insert(10, explicit(0x0020_1208, b"IS", b"512 "));
    elements.insert(11, explicit(0x0020_1209, b"IS", b"40"));
    let scanned = scan(EXPLICIT_LE, &elements.concat()).expect("good");
    let value = |key: AttrKey| scanned.attributes.get(&key).map(String::as_str);
    assert_eq!(value(key::NUMBER_OF_STUDY_RELATED_INSTANCES), Some("512"));
    assert_eq!(value(key::NUMBER_OF_SERIES_RELATED_INSTANCES), Some("40"));
    assert_eq!((value(key::NUMBER_OF_STUDY_RELATED_SERIES), scanned.flags), (None, vec![]));
}

#[test]
fn every_item_counts_and_deeper_ones_do_not() {
    let code = |text: &[u8; 2]| explicit(0x0008_0100, b"SH", text);
    let meaning = explicit(0x0008_0104, b"LO", b"Second");
    let deep = explicit(0x0008_1032, b"SQ", &item(&code(b"C9")));
    let third = [code(b"C3"), meaning].concat();
    let sequence = [item(&code(b"C1")), item(&deep), item(&third), item(&[])].concat();
    let scanned = scan(EXPLICIT_LE, &around(&explicit(0x0008_1032, b"SQ", &sequence))).expect("good");
    let value = |key| scanned.attributes.get(&key).map(String::as_str);
    // Each value stands at the place of its item, so that those of one item belong together.
    assert_eq!(value(key::PROCEDURE_CODE_VALUE), Some("C1\\\\C3"));
    assert_eq!(value(key::PROCEDURE_CODE_MEANING), Some("\\\\Second"));
    assert_eq!(scanned.flags, []);
    let many = (0..200).map(|_| item(&code(b"C1"))).collect::<Vec<_>>().concat();
    let scanned = scan(EXPLICIT_LE, &around(&explicit(0x0008_1032, b"SQ", &many))).expect("good");
    assert_eq!(scanned.attributes.get(&key::PROCEDURE_CODE_VALUE).map(|text| text.split('\\').count()), Some(16));
}

#[test]
fn an_items_character_set_does_not_leak() {
    let nested = [explicit(0x0008_0005, b"CS", b"ISO_IR 144"), explicit(0x0008_0104, b"LO", b"\xBB\xEE\xDA ")].concat();
    let bytes = [
        explicit(0x0008_0005, b"CS", b"ISO_IR 100"),
        class_and_instance(),
        explicit(0x0008_1032, b"SQ", &item(&nested)),
        explicit(0x0010_0010, b"PN", b"J\xE9r\xF4me"),
        study_and_series(),
    ]
    .concat();
    let scanned = scan(EXPLICIT_LE, &bytes).expect("good");
    assert_eq!(scanned.attributes.get(&key::PATIENT_NAME).map(String::as_str), Some("Jérôme"));
    assert_eq!(scanned.attributes.get(&key::PROCEDURE_CODE_MEANING).map(String::as_str), Some("Люк"));
}

#[test]
fn the_digest_covers_the_syntax_and_the_loose_checksum_no_group_lengths() {
    let bytes = rich();
    let with = |length: u8| [explicit(0x0008_0000, b"UL", &[length, 0, 0, 0]), bytes.clone()].concat();
    let (one, other) = (scan(EXPLICIT_LE, &with(1)).expect("good"), scan(EXPLICIT_LE, &with(2)).expect("good"));
    let plain = scan(EXPLICIT_LE, &bytes).expect("good");
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.loose_crc, other.loose_crc);
    assert_eq!(one.loose_crc, plain.loose_crc);
    assert_eq!(plain.loose_crc, crc32c::crc32c(&bytes));
    let other_syntax = scan("1.2.840.10008.1.2.4.50", &bytes).expect("explicit too");
    assert_ne!(other_syntax.digest, plain.digest);
    // printf '1.2.840.10008.1.2.1\0' and the bytes through b3sum, or sha256sum for the older kind, give the same.
    let mut text = b"1.2.840.10008.1.2.1\0".to_vec();
    text.extend_from_slice(&bytes);
    assert_eq!(plain.digest, Sameness::Blake3(*blake3::hash(&text).as_bytes()));
    let mut older = Scanner::taking(SamenessKind::Sha256, &uid(EXPLICIT_LE), CharsetHint::Auto, Limits::default());
    older.feed(&bytes).expect("good");
    let older = older.finish().expect("good");
    assert_eq!(older.digest, Sameness::Sha256(<sha2::Sha256 as sha2::Digest>::digest(&text).into()));
    assert_eq!(Scanned { digest: plain.digest, ..older }, plain, "nothing else depends on the kind");
}

#[test]
fn the_digest_does_not_depend_on_the_pieces() {
    let mut random = fastrand::Rng::with_seed(16);
    let pixels: Vec<u8> = (0..200_000).map(|_| random.u8(..)).collect();
    let bytes = [rich(), explicit(0x7FE0_0010, b"OW", &pixels)].concat();
    let mut text = b"1.2.840.10008.1.2.1\0".to_vec();
    text.extend_from_slice(&bytes);
    let whole = Sameness::Blake3(*blake3::hash(&text).as_bytes());
    for most in [1, 700, 16_370, 65_530, 65_536, 150_000, bytes.len()] {
        let mut scanner = Scanner::new(&uid(EXPLICIT_LE), CharsetHint::Auto, Limits::default());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(random.usize(1..=most).min(rest.len()));
            scanner.feed(piece).expect("good");
            rest = later;
        }
        assert_eq!(scanner.finish().expect("good").digest, whole, "pieces of up to {most}");
    }
}

#[test]
fn deflated_data_sets_are_told_by_their_inflated_bytes() {
    let bytes = rich();
    let mut deflated = deflate(&bytes);
    let plain = scan(EXPLICIT_LE, &bytes).expect("good");
    let scanned = scan(DEFLATED_LE, &deflated).expect("good");
    assert_eq!(scanned.layout, plain.layout);
    assert_eq!(scanned.attributes, plain.attributes);
    assert_eq!(scanned.loose_crc, plain.loose_crc);
    assert_eq!(scanned.stored_len, deflated.len() as u64);
    deflated.push(0);
    assert_eq!(scan(DEFLATED_LE, &deflated).expect("padded").flags, []);
    deflated.push(0);
    assert_eq!(scan(DEFLATED_LE, &deflated).expect("padded").flags, [Flag::TrailingBytes]);
    for cut in 0..deflated.len() - 2 {
        let result = scan(DEFLATED_LE, deflated.get(..cut).expect("shorter"));
        assert!(matches!(result, Err(ScanError::Framing { .. })), "cut at {cut}");
    }
}

#[test]
fn a_deflate_bomb_meets_its_limits() {
    let bytes = around(&explicit(0x0011_1001, b"OB", &vec![0; 1 << 20]));
    let bomb = deflate(&bytes);
    let tight = Limits { inflated_free: 4096, ..Limits::default() };
    assert!(matches!(scan_with(DEFLATED_LE, &bomb, tight), Err(ScanError::Bound { limit: "inflated_ratio", .. })));
    let tight = Limits { inflated: 4096, ..Limits::default() };
    assert!(matches!(scan_with(DEFLATED_LE, &bomb, tight), Err(ScanError::Bound { limit: "inflated", .. })));
    assert!(scan(DEFLATED_LE, &bomb).is_ok());
}

#[test]
fn another_coding_than_the_syntax_says_is_an_error() {
    let explicit_bytes = rich();
    let implicit_bytes = [
        implicit(0x0008_0016, b"1.2.840.10008.5.1.4.1.1.7\0"),
        implicit(0x0008_0018, b"1.2.3.4.5.6\0"),
        implicit(0x0020_000D, b"1.2.3.4\0"),
        implicit(0x0020_000E, b"1.2.3.4.5\0"),
    ]
    .concat();
    let big_bytes = [
        big(0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        big(0x0008_0018, b"UI", b"1.2.3.4.5.6\0"),
        big(0x0020_000D, b"UI", b"1.2.3.4\0"),
        big(0x0020_000E, b"UI", b"1.2.3.4.5\0"),
    ]
    .concat();
    let all = [(EXPLICIT_LE, &explicit_bytes), (IMPLICIT_LE, &implicit_bytes), (EXPLICIT_BE, &big_bytes)];
    for (syntax, _) in all {
        for (written, bytes) in all {
            let result = scan(syntax, bytes);
            if syntax == written {
                assert!(result.is_ok(), "{syntax}: {result:?}");
            } else {
                assert!(matches!(result, Err(ScanError::Framing { .. })), "{written} read as {syntax}: {result:?}");
            }
        }
    }
}

#[test]
fn oddities_are_stored_and_flagged() {
    let study_time = explicit(0x0008_0030, b"TM", b"9999");
    let cases: [(Flag, Vec<u8>); 9] = [
        (Flag::OddLength, around(&explicit(0x0010_0010, b"PN", b"A^B"))),
        (Flag::TrailingBytes, [around(&[]), vec![0; 13]].concat()),
        (Flag::TrailingBytes, [around(&[]), vec![0; 3]].concat()),
        (Flag::UnknownVr, around(&explicit(0x0010_0010, b"ZZ", b"A^B "))),
        (Flag::TagOrder, around(&[explicit(0x0010_0020, b"LO", b"2 "), explicit(0x0010_0010, b"PN", b"A ")].concat())),
        (Flag::TagOrder, [around(&[]), SEQUENCE_END.to_vec()].concat()),
        (Flag::ValueForm, around(&study_time)),
        (Flag::ValueLength, around(&explicit(0x0010_0020, b"LO", &[b'1'; 66]))),
        (Flag::UidForm, [around(&[]), explicit(0x0020_0052, b"UI", b"1.02.33\0")].concat()),
    ];
    for (flag, bytes) in cases {
        let scanned = scan(EXPLICIT_LE, &bytes).unwrap_or_else(|error| panic!("{flag:?}: {error}"));
        assert_eq!(scanned.flags, [flag], "{flag:?}");
    }
}

#[test]
fn implicit_items_inside_an_explicit_data_set_are_read() {
    let written_implicit = [implicit(0x0008_0100, b"C1"), implicit(0x0008_0104, b"MEANING ")].concat();
    let bytes = around(&explicit(0x0008_1032, b"SQ", &item(&written_implicit)));
    let scanned = scan(EXPLICIT_LE, &bytes).expect("read");
    assert_eq!(scanned.attributes.get(&key::PROCEDURE_CODE_MEANING).map(String::as_str), Some("MEANING"));
    assert_eq!(scanned.flags, [Flag::UnknownVr]);
}

#[test]
fn un_of_undefined_length_holds_implicit_little_endian_items_even_in_big_endian() {
    let mut head = 0x0011_1001_u32.to_be_bytes().to_vec();
    head.extend_from_slice(b"UN\0\0\xFF\xFF\xFF\xFF");
    // Delimiters inside are little endian as well.
    let bytes = [
        big(0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        big(0x0008_0018, b"UI", b"1.2.3.4.5.6\0"),
        head,
        OPEN_ITEM.to_vec(),
        implicit(0x0008_0100, b"IMPL"),
        ITEM_END.to_vec(),
        SEQUENCE_END.to_vec(),
        big(0x0020_000D, b"UI", b"1.2.3.4\0"),
        big(0x0020_000E, b"UI", b"1.2.3.4.5\0"),
        big(0x0028_0010, b"US", &[1, 2]),
    ]
    .concat();
    let scanned = scan(EXPLICIT_BE, &bytes).expect("read");
    assert_eq!(scanned.attributes.get(&key::ROWS).map(String::as_str), Some("258"));
}

#[test]
fn a_second_pixel_element_is_an_ordinary_value() {
    let bytes = [rich(), explicit(0x7FE0_0010, b"OW", &[0; 4096])].concat();
    let scanned = scan(EXPLICIT_LE, &bytes).expect("read");
    assert_eq!(scanned.layout.pixel.expect("the first").value.len, 8);
    assert_eq!(scanned.flags, [Flag::TagOrder]);
    let tight = Limits { value: 4095, ..Limits::default() };
    assert!(matches!(scan_with(EXPLICIT_LE, &bytes, tight), Err(ScanError::Bound { limit: "value", .. })));
}
