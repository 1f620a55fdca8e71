//! Values, structure, bulk data and rows in DICOM JSON and XML.

use super::*;
use crate::bulk;
use crate::fixture::*;
use crate::scan::Scanner;
use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};
use crate::xml::attributes_xml;
use model::AttrKey;
use model::attribute::key;
use serde_json::{Value, json};

fn write(syntax: &str, bytes: &[u8]) -> Value {
    let mut out = Vec::new();
    let parts = Parts { before: bytes, pixel: None, after: &[] };
    instance_json(&parts, &uid(syntax), &Options::new("BASE/instances/1.2"), &mut out).expect("readable");
    serde_json::from_slice(&out).expect("JSON")
}

fn one(tag: u32, vr: &[u8; 2], value: &[u8]) -> Value {
    let all = write(EXPLICIT_LE, &explicit(tag, vr, value));
    all.get(format!("{tag:08X}")).expect("the element").clone()
}

#[test]
fn text_and_names() {
    assert_eq!(one(0x0010_0020, b"LO", b"A\\\\B "), json!({"vr": "LO", "Value": ["A", null, "B"]}));
    assert_eq!(one(0x0010_0020, b"LO", b""), json!({"vr": "LO"}));
    assert_eq!(one(0x0010_0020, b"LO", b"  "), json!({"vr": "LO"}));
    assert_eq!(one(0x0010_21B0, b"LT", b"a\\b\r\n \0"), json!({"vr": "LT", "Value": ["a\\b\r\n"]}));
    assert_eq!(one(0x0008_0018, b"UI", b"1.2\\1.3\0"), json!({"vr": "UI", "Value": ["1.2", "1.3"]}));
    assert_eq!(one(0x0008_0005, b"CS", b"ISO_IR 100"), json!({"vr": "CS", "Value": ["ISO_IR 192"]}));
    let name = "Hong^Gildong=洪^吉洞=홍^길동\\=王 ".as_bytes();
    let expected = json!({"vr": "PN", "Value": [
        {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"}, {"Ideographic": "王"}
    ]});
    assert_eq!(one(0x0010_0010, b"PN", name), expected);
    let hostile = one(0x0010_0010, b"PN", b"\"}<script>\x01");
    assert_eq!(hostile, json!({"vr": "PN", "Value": [{"Alphabetic": "\"}<script>\u{1}"}]}));
}

#[test]
fn numbers_stay_exact() {
    let ds = |text: &str| one(0x0018_0050, b"DS", text.as_bytes()).get("Value").expect("values").clone();
    assert_eq!(ds("1.50"), json!([1.5]));
    assert_eq!(ds(" +007.25\\-.5\\5.\\1E3"), json!([7.25, -0.5, 5, 1000.0]));
    assert_eq!(ds("1,5\\0x10\\-\\.\\9e999"), json!(["1,5", "0x10", "-", ".", "9e999"]));
    assert_eq!(one(0x0020_0013, b"IS", b"-12\\1.5 "), json!({"vr": "IS", "Value": [-12, "1.5"]}));
    assert_eq!(one(0x0028_0010, b"US", &[0xFF, 0xFF, 1, 0]), json!({"vr": "US", "Value": [65535, 1]}));
    assert_eq!(one(0x0018_6020, b"SL", &[0xFE, 0xFF, 0xFF, 0xFF]), json!({"vr": "SL", "Value": [-2]}));
    assert_eq!(one(0x0020_9165, b"AT", &[0x10, 0, 0x20, 0]), json!({"vr": "AT", "Value": ["00100020"]}));
    assert_eq!(one(0x0018_9073, b"FD", &f64::NAN.to_le_bytes()), json!({"vr": "FD", "Value": ["NaN"]}));
    assert_eq!(one(0x0018_9073, b"FL", &f32::NEG_INFINITY.to_le_bytes()), json!({"vr": "FL", "Value": ["-inf"]}));
    let tenth = json!({"vr": "FL", "Value": [f64::from(0.1f32)]});
    assert_eq!(one(0x0018_9073, b"FL", &0.1f32.to_le_bytes()), tenth);
    assert_eq!(
        one(0x0019_1001, b"UV", &u64::MAX.to_le_bytes()),
        json!({"vr": "UV", "Value": ["18446744073709551615"]})
    );
    assert_eq!(one(0x0019_1001, b"SV", &(-5i64).to_le_bytes()), json!({"vr": "SV", "Value": [-5]}));
}

#[test]
fn small_binary_values_are_inline_in_little_endian() {
    for (bytes, text) in [(&[1u8, 2, 3, 4][..], "AQIDBA=="), (&[1, 2], "AQI="), (&[1, 2, 3], "AQID")] {
        assert_eq!(one(0x0009_1001, b"OB", bytes), json!({"vr": "OB", "InlineBinary": text}));
    }
    let swapped = write(EXPLICIT_BE, &big(0x0028_1201, b"OW", &[1, 2, 3, 4]));
    assert_eq!(swapped, json!({"00281201": {"vr": "OW", "InlineBinary": "AgEEAw=="}}));
    assert_eq!(
        write(EXPLICIT_BE, &big(0x0028_0010, b"US", &[1, 2])),
        json!({"00280010": {"vr": "US", "Value": [258]}})
    );
    assert_eq!(one(0x0009_1001, b"ZZ", b"AB"), json!({"vr": "UN", "InlineBinary": "QUI="}));
    assert_eq!(one(0x0010_0020, b"UN", b"P1"), json!({"vr": "LO", "Value": ["P1"]}), "UN of a listed attribute");
}

#[test]
fn large_binary_values_resolve_by_their_path() {
    let inner = [explicit(0x0042_0011, b"OB", &[7; 2000]), explicit(0x0042_0012, b"LO", b"A ")].concat();
    let sequence = explicit(0x0008_1140, b"SQ", &[item(&[]), item(&inner)].concat());
    let bytes = [explicit(0x0008_0008, b"CS", b"A "), sequence, explicit(0x0029_1010, b"UN", &[9; 1025])].concat();
    let all = write(EXPLICIT_LE, &bytes);
    let nested = all.pointer("/00081140/Value/1/00420011/BulkDataURI").and_then(Value::as_str);
    assert_eq!(nested, Some("BASE/instances/1.2/bulkdata/00081140/2/00420011"));
    let place = |path| bulk::locate(&bytes, &uid(EXPLICIT_LE), path);
    let found = place("00081140/2/00420011").expect("found");
    assert_eq!((found.vr, found.span.len, found.swap, found.encapsulated), (Vr::OB, 2000, 1, false));
    let at = usize::try_from(found.span.at).expect("small");
    assert_eq!(bytes.get(at - 1..at + 1), Some(&[0, 7][..]));
    assert_eq!(place("00291010").map(|found| found.span.len), Some(1025));
    for wrong in [
        "00081140/1/00420011",
        "00081140/3/00420011",
        "00420011",
        "00081140/0/00420011",
        "00081140",
        "x",
        "",
        "00081140/2",
    ] {
        assert_eq!(place(wrong), None, "{wrong}");
    }
    let open = [undefined(0x7FE0_0010, b"OB"), item(&[]), item(&[1, 2])].concat();
    let found = bulk::locate(&open, &uid(EXPLICIT_LE), "7FE00010").expect("ends with the data set");
    assert_eq!((found.span.at, found.span.len, found.encapsulated), (12, 18, true));
    let swapped = big(0x0028_1201, b"OW", &[1; 2000]);
    assert_eq!(bulk::locate(&swapped, &uid(EXPLICIT_BE), "00281201").map(|found| found.swap), Some(2));
}

#[test]
fn pixel_data_is_bulk_and_what_follows_it_is_written() {
    let encapsulated = [undefined(0x7FE0_0010, b"OB"), item(&[]), item(&[1, 2]), SEQUENCE_END.to_vec()].concat();
    let native = explicit(0x7FE0_0010, b"OW", &[0; 8]);
    for (pixels, vr) in [(encapsulated, "OB"), (native, "OW")] {
        let bytes = [around(&image(2, 2, 16, "1 ")), pixels, explicit(0xFFFC_FFFC, b"OB", &[0, 0])].concat();
        let syntax = uid("1.2.840.10008.1.2.4.50");
        let mut scanner = Scanner::new(&syntax, CharsetHint::Auto, Limits::default());
        scanner.feed(&bytes).expect("fed");
        let pixel = scanner.finish().expect("scanned").layout.pixel.expect("pixels");
        let at = |place: u64| usize::try_from(place).expect("small");
        let after = bytes.get(at(pixel.end)..).expect("inside");
        for before in [pixel.value.at, pixel.header] {
            let parts = Parts { before: bytes.get(..at(before)).expect("inside"), pixel: Some(pixel), after };
            let mut out = b"[".to_vec();
            instance_json(&parts, &syntax, &Options::new("P"), &mut out).expect("readable");
            out.push(b']');
            let all: Value = serde_json::from_slice(&out).expect("JSON");
            let expected =
                json!({"vr": if before == pixel.header { "OW" } else { vr }, "BulkDataURI": "P/bulkdata/7FE00010"});
            assert_eq!(all.pointer("/0/7FE00010"), Some(&expected));
            assert_eq!(all.pointer("/0/FFFCFFFC/InlineBinary"), Some(&json!("AAA=")));
        }
    }
}

#[test]
fn sequences_items_and_their_character_sets() {
    let french = [explicit(0x0008_0005, b"CS", b"ISO_IR 100"), explicit(0x0008_0104, b"LO", b"\xE9t\xE9 ")].concat();
    let bytes = [
        explicit(0x0008_0000, b"UL", &[4, 0, 0, 0]),
        explicit(0x0008_0005, b"CS", b"ISO_IR 192"),
        explicit(0x0008_1032, b"SQ", &[item(&french), item(&[])].concat()),
        explicit(0x0008_1140, b"SQ", &[]),
        explicit(0x0010_0010, b"PN", "Lê ".as_bytes()),
    ]
    .concat();
    let expected = json!({
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00081032": {"vr": "SQ", "Value": [
            {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}, "00080104": {"vr": "LO", "Value": ["été"]}}, {}
        ]},
        "00081140": {"vr": "SQ"},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Lê"}]},
    });
    assert_eq!(write(EXPLICIT_LE, &bytes), expected);
}

#[test]
fn implicit_values_get_their_vr_from_dictionary_and_context() {
    let bytes = [
        implicit(0x0009_0010, b"VENDOR"),
        implicit(0x0009_1001, b"AB"),
        implicit(0x0028_0103, &[1, 0]),
        implicit(0x0028_0106, &[0xFF, 0xFF]),
        implicit(
            0x0028_3010,
            &item(&[implicit(0x0028_3002, &[1, 0, 0, 0, 16, 0]), implicit(0x0028_3006, &[5, 0])].concat()),
        ),
        implicit(0x6000_3000, &[1, 2]),
    ]
    .concat();
    let all = write(IMPLICIT_LE, &bytes);
    assert_eq!(all.pointer("/00090010"), Some(&json!({"vr": "LO", "Value": ["VENDOR"]})));
    assert_eq!(all.pointer("/00091001"), Some(&json!({"vr": "UN", "InlineBinary": "QUI="})));
    assert_eq!(all.pointer("/00280106"), Some(&json!({"vr": "SS", "Value": [-1]})));
    assert_eq!(all.pointer("/00283010/Value/0/00283006"), Some(&json!({"vr": "US", "Value": [5]})));
    assert_eq!(all.pointer("/60003000/vr"), Some(&json!("OW")));
}

#[test]
fn bytes_that_were_not_scanned_leave_nothing_behind() {
    let mut out = b"kept".to_vec();
    let parts = Parts { before: b"\x08\x00\x18\x00UI\x40\x00", pixel: None, after: &[] };
    assert!(instance_json(&parts, &uid(EXPLICIT_LE), &Options::new("P"), &mut out).is_err());
    assert_eq!(out, b"kept");
}

fn row() -> Vec<(AttrKey, &'static str, &'static str)> {
    vec![
        (key::ROWS, "US", "512"),
        (key::REQUESTED_PROCEDURE_ID, "SH", "R1"),
        (key::PATIENT_NAME, "PN", "Nguyễn^Văn An=阮"),
        (key::SCHEDULED_PROCEDURE_STEP_ID, "SH", "S<1>"),
        (key::STUDY_DATE, "DA", ""),
        (key::NUMBER_OF_STUDY_RELATED_SERIES, "IS", "3"),
        (key::MODALITIES_IN_STUDY, "CS", "CT\\SR"),
    ]
}

#[test]
fn rows_are_ordered_and_nested_keys_share_an_item() {
    let mut out = Vec::new();
    attributes_json(&row(), &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    let expected = json!({
        "00080020": {"vr": "DA"},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Văn An", "Ideographic": "阮"}]},
        "00201206": {"vr": "IS", "Value": [3]},
        "00280010": {"vr": "US", "Value": [512]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S<1>"]}, "00401001": {"vr": "SH", "Value": ["R1"]}}]},
    });
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
    let tags: Vec<usize> =
        ["00080020", "00080061", "00100010", "00280010", "00400275"].iter().filter_map(|tag| text.find(tag)).collect();
    assert!(tags.is_sorted() && tags.len() == 5);
}

#[test]
fn values_of_several_items_go_back_into_theirs() {
    let rows = [(key::REQUESTED_PROCEDURE_ID, "SH", "R1\\\\R3"), (key::SCHEDULED_PROCEDURE_STEP_ID, "SH", "\\S2")];
    let mut out = Vec::new();
    attributes_json(&rows, &mut out);
    let sh = |text: &str| json!({"vr": "SH", "Value": [text]});
    let items = json!([
        {"00400009": {"vr": "SH"}, "00401001": sh("R1")},
        {"00400009": sh("S2"), "00401001": {"vr": "SH"}},
        {"00401001": sh("R3")},
    ]);
    let expected = json!({"00400275": {"vr": "SQ", "Value": items}});
    assert_eq!(serde_json::from_slice::<Value>(&out).expect("JSON"), expected);
    let mut out = String::new();
    attributes_xml(&rows, &mut out);
    assert!(
        out.contains("<Item number=\"3\"><DicomAttribute tag=\"00401001\"") && !out.contains("<Item number=\"4\">")
    );
}

#[test]
fn rows_as_xml() {
    let mut out = String::new();
    attributes_xml(&row(), &mut out);
    for part in [
        "<DicomAttribute tag=\"00080061\" vr=\"CS\" keyword=\"ModalitiesInStudy\"><Value number=\"1\">CT</Value><Value number=\"2\">SR</Value></DicomAttribute>",
        "<PersonName number=\"1\"><Alphabetic><FamilyName>Nguyễn</FamilyName><GivenName>Văn An</GivenName></Alphabetic><Ideographic><FamilyName>阮</FamilyName></Ideographic></PersonName>",
        "<DicomAttribute tag=\"00080020\" vr=\"DA\" keyword=\"StudyDate\"></DicomAttribute>",
        "<Item number=\"1\"><DicomAttribute tag=\"00400009\"",
        "<Value number=\"1\">S&lt;1&gt;</Value>",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    let mut out = String::new();
    attributes_xml(&[(key::PATIENT_ID, "LO", "a\u{0}\u{1}&\"")], &mut out);
    assert!(out.contains("a\u{FFFD}\u{FFFD}&amp;&quot;"), "{out}");
}
