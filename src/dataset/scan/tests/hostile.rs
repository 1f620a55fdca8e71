//! Bytes made to hurt: each meets a named bound or a framing error, in bounded memory, without a panic.

use super::{deflate, rich, rich_elements};
use crate::fixture::*;
use crate::json::{Options, Parts, instance_json};
use crate::scan::{Scanned, Scanner};
use crate::syntax::{DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, Syntax};
use crate::{Limits, ScanError, bulk, frames, transcode};
use model::facility::CharsetHint;
use std::collections::BTreeSet;

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    let mut nested = class_and_instance();
    for _ in 0..1500 {
        nested.extend(undefined(0x0008_1140, b"SQ"));
        nested.extend(OPEN_ITEM);
    }
    for _ in 0..1500 {
        nested.extend(ITEM_END);
        nested.extend(SEQUENCE_END);
    }
    nested.extend(study_and_series());
    let result = scan(EXPLICIT_LE, &nested);
    assert!(matches!(result, Err(ScanError::Bound { limit: "nesting", allowed: 64, found: 65, .. })), "{result:?}");
    let wide = Limits { nesting: 2000, ..Limits::default() };
    let scanned = scan_with(EXPLICIT_LE, &nested, wide).expect("no stack is used");
    let mut json = Vec::new();
    let parts = Parts { before: &nested, pixel: scanned.layout.pixel, after: &[] };
    instance_json(&parts, &uid(EXPLICIT_LE), &Options::new("x"), &mut json).expect("nor here");
}

#[test]
fn thirty_bytes_declaring_two_gigabytes_are_refused_at_once() {
    for vr in [b"OB", b"UT", b"UN", b"OW", b"UC"] {
        let mut bytes = tag_le(0x0008_0100);
        bytes.extend_from_slice(vr);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0x80]);
        bytes.resize(30, 0);
        let result = scan(EXPLICIT_LE, &bytes);
        assert!(matches!(result, Err(ScanError::Bound { found: 0x8000_0000, .. })), "{result:?}");
    }
    let mut bytes = tag_le(0x7FE0_0010);
    bytes.extend_from_slice(b"OW\0\0\0\0\0\x80");
    bytes.resize(30, 0);
    assert!(matches!(scan(EXPLICIT_LE, &bytes), Err(ScanError::Framing { tag: 0x7FE0_0010, .. })));
}

#[test]
fn every_limit_has_its_name() {
    let text = explicit(0x0010_21B0, b"LT", &[b'x'; 600]);
    let items = explicit(0x0008_1140, b"SQ", &[item(&[]), item(&[]), item(&[])].concat());
    let pixels = [
        image(2, 2, 8, "3 "),
        undefined(0x7FE0_0010, b"OB"),
        item(&[]),
        item(&[0xFF, 0xD8]),
        item(&[0xFF, 0xD8]),
        item(&[0xFF, 0xD8]),
        SEQUENCE_END.to_vec(),
    ]
    .concat();
    let whole = Limits::default;
    let cases: [(&str, Limits, Vec<u8>); 6] = [
        ("text_value", Limits { text_value: 599, ..whole() }, around(&text)),
        ("value", Limits { value: 599, ..whole() }, around(&text)),
        ("head", Limits { head: 600, ..whole() }, around(&text)),
        ("items", Limits { items: 2, ..whole() }, around(&items)),
        ("elements", Limits { elements: 4, ..whole() }, around(&text)),
        ("fragments", Limits { fragments: 2, ..whole() }, [around(&[]), pixels].concat()),
    ];
    for (name, limits, bytes) in cases {
        scan(EXPLICIT_LE, &bytes).unwrap_or_else(|error| panic!("{name} within the defaults: {error}"));
        match scan_with(EXPLICIT_LE, &bytes, limits) {
            Err(ScanError::Bound { limit, .. }) => assert_eq!(limit, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn kept_values_are_cut_not_hoarded() {
    let long = explicit(0x0010_4000, b"LT", &[b'x'; 9000]);
    let limits = Limits { kept_value: 100, ..Limits::default() };
    let scanned = scan_with(EXPLICIT_LE, &around(&long), limits).expect("stored");
    assert_eq!(scanned.attributes.get(&model::attribute::key::PATIENT_COMMENTS).map(String::len), Some(100));
    assert_eq!(scanned.flags, [model::Flag::ValueLength]);
}

#[test]
fn delimiters_and_items_out_of_place_are_framing_errors() {
    let stray = around(&item(&[]));
    let short = around(&explicit(0x0008_1140, b"SQ", item(&explicit(0x0008_1150, b"UI", b"1.2\0")).split_at(10).0));
    let mut crossing = explicit(0x0008_1140, b"SQ", &item(&explicit(0x0008_1150, b"UI", b"1.2\0")));
    // The item says it is longer than its sequence.
    *crossing.get_mut(16).expect("length") += 2;
    for bytes in [stray, short, around(&crossing)] {
        assert!(matches!(scan(EXPLICIT_LE, &bytes), Err(ScanError::Framing { .. })));
    }
}

#[test]
fn a_cut_anywhere_is_seen() {
    let bytes = rich();
    // Between root elements nothing tells that more was to come; there only the identity may be missing.
    let mut bounds = BTreeSet::from([0]);
    let mut end = 0;
    bounds.extend(rich_elements().iter().map(|element| {
        end += element.len();
        end
    }));
    for cut in 0..bytes.len() {
        let result = scan(EXPLICIT_LE, bytes.get(..cut).expect("shorter"));
        match result {
            Err(ScanError::Framing { .. }) => assert!(!bounds.contains(&cut), "{cut} is between elements"),
            Ok(_) | Err(ScanError::Identity { .. }) => assert!(bounds.contains(&cut), "a cut at {cut} was not seen"),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Everything that reads stored bytes must bear what the scanner let pass.
fn use_all(syntax: &str, bytes: &[u8], scanned: &Scanned) {
    let (syntax_uid, mut output) = (uid(syntax), Vec::new());
    transcode::explicit_le(&mut &bytes[..], &syntax_uid, &mut output).expect("scanned bytes transcode");
    let inflated = if Syntax::of(syntax).deflated { output.as_slice() } else { bytes };
    assert_eq!(inflated.len() as u64, scanned.layout.dataset_len);
    let at = |place: u64| usize::try_from(place).expect("small");
    let (before, after) = scanned.layout.pixel.map_or((inflated, &[][..]), |pixel| {
        let parts = inflated.get(..at(pixel.value.at)).zip(inflated.get(at(pixel.end)..));
        parts.expect("the layout is inside the data set")
    });
    let mut json = Vec::new();
    let parts = Parts { before, pixel: scanned.layout.pixel, after };
    instance_json(&parts, &syntax_uid, &Options::new("x"), &mut json).expect("scanned bytes are written");
    serde_json::from_slice::<serde_json::Value>(&json).expect("valid JSON");
    bulk::locate(inflated, &syntax_uid, "00081032/1/00080100");
    if let Some(pixel) = &scanned.layout.pixel {
        for number in 0..frames::count(&scanned.layout.frames).min(64) {
            let place = frames::place(pixel, &scanned.layout.frames, number).expect("counted");
            for span in place.spans {
                assert!(span.at >= pixel.value.at && span.at + span.len <= pixel.end, "{span:?} outside {pixel:?}");
            }
        }
    }
}

/// One readable data set per syntax.
fn bases() -> [(&'static str, Vec<u8>); 5] {
    let explicit_bytes = rich();
    let encapsulated = [
        around(&image(2, 2, 8, "2 ")),
        undefined(0x7FE0_0010, b"OB"),
        item(&[0, 0, 0, 0, 10, 0, 0, 0]),
        item(&[0xFF, 0xD8]),
        item(&[0xFF, 0xD8, 0xFF, 0xE0]),
        SEQUENCE_END.to_vec(),
    ]
    .concat();
    let implicit_bytes = [
        implicit(0x0008_0016, b"1.2.840.10008.5.1.4.1.1.7\0"),
        implicit(0x0008_0018, b"1.2.3.4.5.6\0"),
        implicit(0x0008_1032, &item(&implicit(0x0008_0100, b"C1"))),
        implicit(0x0010_0010, b"A^B "),
        implicit(0x0020_000D, b"1.2.3.4\0"),
        implicit(0x0020_000E, b"1.2.3.4.5\0"),
        implicit(0x0028_0010, &[1, 0]),
        implicit(0x7FE0_0010, &[1, 2]),
    ]
    .concat();
    let big_bytes = [
        big(0x0008_0016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        big(0x0008_0018, b"UI", b"1.2.3.4.5.6\0"),
        big(0x0020_000D, b"UI", b"1.2.3.4\0"),
        big(0x0020_000E, b"UI", b"1.2.3.4.5\0"),
        big(0x0028_0010, b"US", &[1, 0]),
        big(0x7FE0_0010, b"OW", &[1, 2]),
    ]
    .concat();
    let deflated = deflate(&explicit_bytes);
    [
        (EXPLICIT_LE, explicit_bytes),
        ("1.2.840.10008.1.2.4.50", encapsulated),
        (IMPLICIT_LE, implicit_bytes),
        (EXPLICIT_BE, big_bytes),
        (DEFLATED_LE, deflated),
    ]
}

#[test]
fn random_damage_never_panics() {
    let bases = bases();
    let mut passed = 0;
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (syntax, base) = bases.get(random.usize(..bases.len())).expect("one of them");
        let mut bytes = base.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, random.u8(..)),
                2 => {
                    *bytes.get_mut(at).expect("inside") = *random.choice(&[0, 1, 0x7F, 0x80, 0xFE, 0xFF]).expect("one")
                }
                _ => *bytes.get_mut(at).expect("inside") = random.u8(..),
            }
        }
        let outcome = std::panic::catch_unwind(|| {
            let scanned = scan(syntax, &bytes);
            if let Ok(scanned) = &scanned {
                use_all(syntax, &bytes, scanned);
            }
            scanned.is_ok()
        });
        passed += usize::from(outcome.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert!(passed > 1000, "only {passed} of the damaged data sets were still readable");
}

#[test]
fn what_follows_the_data_set_is_named_at_its_byte_whatever_the_pieces() {
    let bytes = [rich(), vec![0; 20], b"rest".to_vec()].concat();
    let offset = u64::try_from(bytes.len()).expect("short") - 4;
    for piece in [1, 3, 16, bytes.len()] {
        let mut scanner = Scanner::new(&uid(EXPLICIT_LE), CharsetHint::Auto, Limits::default());
        let result = bytes.chunks(piece).try_for_each(|piece| scanner.feed(piece));
        let what = "bytes that are no element follow the data set";
        assert_eq!(result, Err(ScanError::Framing { offset, tag: 0, what }), "pieces of {piece}");
    }
}
