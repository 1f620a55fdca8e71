//! Heads with other values, in every coding and character set.

use super::*;
use crate::fixture::{around, big, explicit, implicit, item, scan, uid};
use crate::json::{Options, Parts, instance_json};
use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};
use serde_json::Value;

const NAME: u32 = 0x0010_0010;

fn coercion(text: &str) -> Coercion {
    let values = BTreeMap::from([
        (NAME, (Vr::PN, text.to_owned())),
        (0x0008_0050, (Vr::SH, "A7".to_owned())),
        (0x0010_0030, (Vr::DA, String::new())),
    ]);
    let (at, blanked) = ("20260102030405.000000+0000".into(), BTreeMap::new());
    Coercion { values, blanked, at, reason: "CORRECT", hint: CharsetHint::Auto }
}

fn read(bytes: &[u8], syntax: &str) -> Value {
    let (mut out, parts) = (Vec::new(), Parts { before: bytes, pixel: None, after: &[] });
    instance_json(&parts, &uid(syntax), &Options::new("B"), &mut out).expect("readable");
    serde_json::from_slice(&out).expect("JSON")
}

fn at<'a>(document: &'a Value, path: &str) -> &'a str {
    document.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} in {document}"))
}

/// Checks a spliced data set, whose name was `before`.
fn is_corrected(bytes: &[u8], syntax: &str, name: &str, before: &str) -> Value {
    let document = read(bytes, syntax);
    assert_eq!(at(&document, "/00100010/Value/0/Alphabetic"), name);
    assert_eq!(at(&document, "/00080050/Value/0"), "A7");
    let modified = "/04000561/Value/0/04000550/Value/0";
    assert_eq!(at(&document, &format!("{modified}/00100010/Value/0/Alphabetic")), before);
    assert_eq!(at(&document, &format!("{modified}/00080050/vr")), "SH");
    assert!(document.pointer(&format!("{modified}/00080050/Value")).is_none());
    assert_eq!(at(&document, &format!("{modified}/00100030/Value/0")), "19800101");
    assert_eq!(at(&document, "/04000561/Value/0/04000565/Value/0"), "CORRECT");
    document
}

#[test]
fn values_are_replaced_and_everything_else_stays_byte_for_byte() {
    let private = explicit(0x0009_1001, b"OB", &[1, 2, 3, 4]);
    let elements = [
        explicit(0x0009_0010, b"LO", b"X "),
        private.clone(),
        explicit(0x0010_0000, b"UL", &[99, 0, 0, 0]),
        explicit(NAME, b"PN", b"OLD^NAME"),
        explicit(0x0010_0030, b"DA", b"19800101"),
    ];
    let stored = around(&elements.concat());
    let out = head(&stored, &uid(EXPLICIT_LE), &coercion("NEW^NAME")).expect("spliced");
    is_corrected(&out, EXPLICIT_LE, "NEW^NAME", "OLD^NAME");
    assert!(out.windows(private.len()).any(|window| window == private));
    assert!(scan(EXPLICIT_LE, &out).expect("a data set").flags.is_empty());
    assert!(read(&out, EXPLICIT_LE).get("00100000").is_none(), "a group length that is not true");
}

#[test]
fn every_coding_keeps_its_own() {
    let stored = [implicit(0x0008_0016, b"1.2\0"), implicit(NAME, b"OLD^NAME"), implicit(0x0010_0030, b"19800101")];
    let out = head(&stored.concat(), &uid(IMPLICIT_LE), &coercion("NEW")).expect("spliced");
    is_corrected(&out, IMPLICIT_LE, "NEW", "OLD^NAME");
    let stored = [
        big(0x0008_0016, b"UI", b"1.2\0"),
        big(NAME, b"PN", b"OLD^NAME"),
        big(0x0010_0030, b"DA", b"19800101"),
        big(0x0028_0010, b"US", &[1, 0]),
    ];
    let out = head(&stored.concat(), &uid(EXPLICIT_BE), &coercion("NEW")).expect("spliced");
    assert_eq!(is_corrected(&out, EXPLICIT_BE, "NEW", "OLD^NAME").pointer("/00280010/Value/0"), Some(&256.into()));
    let out = head(&stored.concat(), &uid(EXPLICIT_BE), &coercion("Lê")).expect("spliced");
    assert_eq!(is_corrected(&out, EXPLICIT_BE, "Lê", "OLD^NAME").pointer("/00280010/Value/0"), Some(&256.into()));
}

#[test]
fn a_name_its_character_set_does_not_hold_makes_all_text_utf8() {
    let inside = explicit(0x0008_0104, b"LO", b"\xC4\xD6");
    let elements = [
        explicit(SPECIFIC_CHARACTER_SET, b"CS", b"ISO_IR 100"),
        explicit(0x0008_1032, b"SQ", &item(&inside)),
        explicit(NAME, b"PN", b"M\xDCLLER"),
        explicit(0x0010_0030, b"DA", b"19800101"),
    ];
    let stored = elements.concat();
    // What it holds is written in it.
    let out = head(&stored, &uid(EXPLICIT_LE), &coercion("GÖTZ")).expect("spliced");
    let document = is_corrected(&out, EXPLICIT_LE, "GÖTZ", "MÜLLER");
    assert!(out.windows(4).any(|window| window == b"G\xD6TZ"));
    assert_eq!(at(&document, "/00081032/Value/0/00080104/Value/0"), "ÄÖ");
    let out = head(&stored, &uid(EXPLICIT_LE), &coercion("Nguyễn")).expect("spliced");
    let document = is_corrected(&out, EXPLICIT_LE, "Nguyễn", "MÜLLER");
    assert_eq!(at(&document, "/00080005/Value/0"), "ISO_IR 192");
    assert_eq!(at(&document, "/00081032/Value/0/00080104/Value/0"), "ÄÖ");
}

#[test]
fn earlier_items_of_original_attributes_stay_first() {
    let early = explicit(0x0400_0563, b"LO", b"PACS");
    let mut open = crate::fixture::undefined(ORIGINAL, b"SQ");
    open.extend(item(&early));
    open.extend(crate::fixture::SEQUENCE_END);
    for sequence in [explicit(ORIGINAL, b"SQ", &item(&early)), open] {
        let stored = [explicit(NAME, b"PN", b"OLD "), explicit(0x0010_0030, b"DA", b"19800101"), sequence].concat();
        let document = read(&head(&stored, &uid(EXPLICIT_LE), &coercion("NEW")).expect("spliced"), EXPLICIT_LE);
        assert_eq!(at(&document, "/04000561/Value/0/04000563/Value/0"), "PACS");
        assert_eq!(at(&document, "/04000561/Value/1/04000563/Value/0"), "Khoanh");
    }
}

#[test]
fn the_document_says_what_the_bytes_say() {
    let stored = around(&[explicit(NAME, b"PN", b"OLD^NAME"), explicit(0x0010_0030, b"DA", b"19800101")].concat());
    let coercion = coercion("Nguyễn^An");
    let out = head(&stored, &uid(EXPLICIT_LE), &coercion).expect("spliced");
    let Value::Object(mut document) = read(&stored, EXPLICIT_LE) else { panic!("an object") };
    coerced_json(&mut document, &coercion);
    let mut of_bytes = read(&out, EXPLICIT_LE);
    of_bytes.as_object_mut().expect("an object").remove("00080005");
    document.remove("00080005");
    assert_eq!(Value::Object(document), of_bytes);
}

#[test]
fn what_is_blanked_is_so_where_it_stands_and_comes_into_being_nowhere() {
    let order = explicit(0x0040_0275, b"SQ", &item(&explicit(0x0040_1001, b"SH", b"P7")));
    let elements = [
        explicit(NAME, b"PN", b"OLD^NAME"),
        explicit(0x0010_0030, b"DA", b"19800101"),
        explicit(0x0010_1010, b"AS", b"034Y"),
        order,
    ];
    let stored = elements.concat();
    let blanked = BTreeMap::from([(0x0010_1010, Vr::AS), (0x0010_1040, Vr::LO), (0x0040_0275, Vr::SQ)]);
    for name in ["NEW", "Nguyễn"] {
        let coercion = Coercion { blanked: blanked.clone(), ..coercion(name) };
        let of_bytes = read(&head(&stored, &uid(EXPLICIT_LE), &coercion).expect("spliced"), EXPLICIT_LE);
        let Value::Object(mut document) = read(&stored, EXPLICIT_LE) else { panic!("an object") };
        coerced_json(&mut document, &coercion);
        let before = "/04000561/Value/0/04000550/Value/0";
        for said in [of_bytes, Value::Object(document)] {
            assert!(said.get("00101040").is_none(), "{said}");
            assert!(said.pointer(&format!("{before}/00101040")).is_none(), "{said}");
            for tag in ["00101010", "00400275"] {
                assert!(said.get(tag).is_some_and(|one| one.get("Value").is_none()), "{tag} in {said}");
            }
            assert_eq!(at(&said, &format!("{before}/00101010/Value/0")), "034Y");
            assert_eq!(at(&said, &format!("{before}/00400275/Value/0/00401001/Value/0")), "P7");
        }
    }
}
