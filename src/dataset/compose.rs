//! A data set written from its DICOM JSON (PS3.18 Annex F) and the bulk data it names: what a client sends that has
//! metadata and pixels apart (PS3.18 section 10.5).
//!
//! The result is Explicit VR Little Endian, text in UTF-8, or the compressed syntax its pixel data came in. Values
//! are written as they are said; whether they make sense is the scanner's matter, which reads the result next.

use crate::dictionary;
use crate::vr::Vr;
use base64::Engine;
use serde_json::{Map, Value};
use std::cell::Cell;

/// Deepest sequence.
const DEPTH_MAX: usize = 64;
const PIXEL_DATA: u32 = 0x7FE0_0010;
const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const SEQUENCE_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

/// Why a document cannot be written as a data set. The texts name attributes, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The member is none of Annex F.
    #[error("{tag}: {what}")]
    Member {
        /// The member's name, as far as it is one.
        tag: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Bulk data that no part brought.
    #[error("{tag}: no part of the request has the Content-Location its BulkDataURI names")]
    MissingBulk {
        /// The attribute.
        tag: String,
    },
    /// Beyond a limit.
    #[error("the document has sequences more than {DEPTH_MAX} deep")]
    Depth,
    /// Bulk data that is named so often that it would become more than the limit.
    #[error("{tag}: the bulk data named comes to more bytes than one instance may have")]
    TooLong {
        /// The attribute.
        tag: String,
    },
}

/// Bulk data as a part brought it.
#[derive(Debug, Clone, Copy)]
pub struct Bulk<'a> {
    /// The bytes: of uncompressed values in little endian order.
    pub bytes: &'a [u8],
    /// Whether they are one compressed frame rather than the value itself.
    pub compressed: bool,
}

/// Writes the data set of one instance; `bulk` gives the bytes that a BulkDataURI names, of which at most
/// `bulk_bytes_max` are written: a few parts may be named by any number of attributes.
///
/// # Errors
/// What is wrong with the document, by attribute.
pub fn compose<'a>(
    document: &Map<String, Value>,
    bulk: &dyn Fn(&str) -> Option<Bulk<'a>>,
    bulk_bytes_max: u64,
) -> Result<Vec<u8>, ComposeError> {
    let mut out = Vec::new();
    let left = Cell::new(bulk_bytes_max);
    let counted = |tag: &str, uri: &str| {
        let found = bulk(uri).ok_or_else(|| ComposeError::MissingBulk { tag: tag.to_owned() })?;
        let bytes = u64::try_from(found.bytes.len()).unwrap_or(u64::MAX);
        let rest = left.get().checked_sub(bytes);
        left.set(rest.ok_or_else(|| ComposeError::TooLong { tag: tag.to_owned() })?);
        Ok(found)
    };
    data_set(document, &counted, 0, &mut out)?;
    Ok(out)
}

/// The bytes that an attribute names by a BulkDataURI.
type Named<'b, 'a> = dyn Fn(&str, &str) -> Result<Bulk<'a>, ComposeError> + 'b;

fn wrong(tag: &str, what: &'static str) -> ComposeError {
    ComposeError::Member { tag: tag.chars().take(16).collect(), what }
}

fn data_set<'a>(
    members: &Map<String, Value>,
    bulk: &Named<'_, 'a>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    if depth > DEPTH_MAX {
        return Err(ComposeError::Depth);
    }
    let mut tags = Vec::with_capacity(members.len());
    for (name, member) in members {
        let tag = (name.len() == 8).then(|| u32::from_str_radix(name, 16).ok()).flatten();
        tags.push((tag.ok_or_else(|| wrong(name, "this is no tag of eight hexadecimal digits"))?, name, member));
    }
    tags.sort_by_key(|(tag, ..)| *tag);
    let mut charset = false;
    for (tag, name, member) in tags {
        // File meta information and group lengths are ours to write; every text is in UTF-8.
        if tag >> 16 <= 0x0002 || tag & 0xFFFF == 0 {
            continue;
        }
        if tag >= SPECIFIC_CHARACTER_SET && !charset && depth == 0 {
            element(SPECIFIC_CHARACTER_SET, Vr::CS, b"ISO_IR 192", out, "00080005")?;
        }
        charset |= tag >= SPECIFIC_CHARACTER_SET;
        if tag == SPECIFIC_CHARACTER_SET {
            continue;
        }
        member_of(tag, name, member, bulk, depth, out)?;
    }
    Ok(())
}

fn member_of<'a>(
    tag: u32,
    name: &str,
    member: &Value,
    bulk: &Named<'_, 'a>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    let Value::Object(member) = member else { return Err(wrong(name, "the member is no object")) };
    let vr = match member.get("vr") {
        Some(Value::String(text)) => match *text.as_bytes() {
            [first, second] => Vr::new([first, second]),
            _ => return Err(wrong(name, "vr has not two letters")),
        },
        Some(_) => return Err(wrong(name, "vr is no text")),
        None => dictionary::lookup(tag).map_or(Vr::UN, dictionary::Listed::relaxed),
    };
    if !vr.is_known() {
        return Err(wrong(name, "the standard has no such vr"));
    }
    if let Some(uri) = member.get("BulkDataURI") {
        let uri = uri.as_str().ok_or_else(|| wrong(name, "BulkDataURI is no text"))?;
        let found = bulk(name, uri)?;
        return match found.compressed && tag == PIXEL_DATA && depth == 0 {
            true => encapsulated(tag, found.bytes, out, name),
            false => element(tag, vr, found.bytes, out, name),
        };
    }
    if let Some(text) = member.get("InlineBinary") {
        let text = text.as_str().ok_or_else(|| wrong(name, "InlineBinary is no text"))?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
        return element(tag, vr, &bytes.map_err(|_| wrong(name, "InlineBinary is no base64"))?, out, name);
    }
    let values = match member.get("Value") {
        None => &[][..],
        Some(Value::Array(values)) => values,
        Some(_) => return Err(wrong(name, "Value is no array")),
    };
    if vr == Vr::SQ {
        return sequence(tag, name, values, bulk, depth, out);
    }
    element(tag, vr, &encoded(vr, name, values)?, out, name)
}

fn sequence<'a>(
    tag: u32,
    name: &str,
    items: &[Value],
    bulk: &Named<'_, 'a>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ComposeError> {
    header(tag, Vr::SQ, u32::MAX, out);
    for item in items {
        out.extend_from_slice(&ITEM);
        let mut inside = Vec::new();
        match item {
            Value::Object(members) => data_set(members, bulk, depth + 1, &mut inside)?,
            // An item without attributes is written as null by some.
            Value::Null => {}
            _ => return Err(wrong(name, "an item is no object")),
        }
        let len = u32::try_from(inside.len()).map_err(|_| wrong(name, "an item is longer than 4 GiB"))?;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&inside);
    }
    out.extend_from_slice(&SEQUENCE_END);
    Ok(())
}

/// One frame, in one fragment, without an offset table (PS3.5 section A.4).
fn encapsulated(tag: u32, bytes: &[u8], out: &mut Vec<u8>, name: &str) -> Result<(), ComposeError> {
    let len =
        u32::try_from(bytes.len().next_multiple_of(2)).map_err(|_| wrong(name, "a frame is longer than 4 GiB"))?;
    header(tag, Vr::OB, u32::MAX, out);
    out.extend_from_slice(&ITEM);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&ITEM);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend(std::iter::repeat_n(0, bytes.len() % 2));
    out.extend_from_slice(&SEQUENCE_END);
    Ok(())
}

fn header(tag: u32, vr: Vr, len: u32, out: &mut Vec<u8>) {
    let [high, low] = [tag >> 16, tag & 0xFFFF].map(|half| u16::try_from(half).unwrap_or_default());
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&vr.bytes());
    if vr.is_long() {
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&len.to_le_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
    }
}

fn element(tag: u32, vr: Vr, value: &[u8], out: &mut Vec<u8>, name: &str) -> Result<(), ComposeError> {
    let len = value.len().next_multiple_of(2);
    let most = if vr.is_long() { u32::MAX - 1 } else { u32::from(u16::MAX) };
    let len = u32::try_from(len).ok().filter(|len| *len <= most);
    header(tag, vr, len.ok_or_else(|| wrong(name, "the value is longer than its vr allows"))?, out);
    out.extend_from_slice(value);
    if value.len() % 2 == 1 {
        out.push(if vr.is_text() && vr != Vr::UI { b' ' } else { 0 });
    }
    Ok(())
}

fn encoded(vr: Vr, name: &str, values: &[Value]) -> Result<Vec<u8>, ComposeError> {
    let mut out = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if vr.is_text() {
            if at > 0 {
                out.push(b'\\');
            }
            out.extend_from_slice(text(value, name)?.as_bytes());
        } else if vr == Vr::AT {
            let tag = value.as_str().and_then(|text| u32::from_str_radix(text, 16).ok());
            let tag = tag.ok_or_else(|| wrong(name, "a value is no tag"))?;
            let halves = [tag >> 16, tag & 0xFFFF].map(|half| u16::try_from(half).unwrap_or_default());
            halves.iter().for_each(|half| out.extend_from_slice(&half.to_le_bytes()));
        } else {
            number(vr, value, &mut out).ok_or_else(|| wrong(name, "a value is no number of its vr"))?;
        }
    }
    Ok(out)
}

fn text(value: &Value, name: &str) -> Result<String, ComposeError> {
    Ok(match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(person) => {
            let group = |group: &str| person.get(group).and_then(Value::as_str).unwrap_or_default();
            let joined = ["Alphabetic", "Ideographic", "Phonetic"].map(group).join("=");
            joined.trim_end_matches('=').to_owned()
        }
        _ => return Err(wrong(name, "a value is neither text nor number")),
    })
}

fn number(vr: Vr, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    // Numbers that JSON cannot hold exactly come as text (Annex F.2.3).
    let whole = || value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    let whole = || whole().or_else(|| value.as_str()?.trim().parse::<i128>().ok());
    let real = || {
        value.as_f64().or_else(|| match value.as_str()?.trim() {
            "NaN" => Some(f64::NAN),
            "inf" | "Infinity" => Some(f64::INFINITY),
            "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        })
    };
    match &vr.bytes() {
        b"US" => out.extend_from_slice(&u16::try_from(whole()?).ok()?.to_le_bytes()),
        b"SS" => out.extend_from_slice(&i16::try_from(whole()?).ok()?.to_le_bytes()),
        b"UL" => out.extend_from_slice(&u32::try_from(whole()?).ok()?.to_le_bytes()),
        b"SL" => out.extend_from_slice(&i32::try_from(whole()?).ok()?.to_le_bytes()),
        b"UV" => out.extend_from_slice(&u64::try_from(whole()?).ok()?.to_le_bytes()),
        b"SV" => out.extend_from_slice(&i64::try_from(whole()?).ok()?.to_le_bytes()),
        b"FL" => {
            #[allow(clippy::cast_possible_truncation)]
            let narrow = real()? as f32;
            out.extend_from_slice(&narrow.to_le_bytes());
        }
        b"FD" => out.extend_from_slice(&real()?.to_le_bytes()),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Options, Parts, instance_json};
    use crate::syntax::EXPLICIT_LE;
    use model::Uid;
    use serde_json::json;

    fn composed(document: &Value) -> Result<Vec<u8>, ComposeError> {
        let bulk = |uri: &str| (uri == "b").then_some(Bulk { bytes: &[1, 2, 3, 4], compressed: false });
        compose(document.as_object().expect("an object"), &bulk, 8)
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let document = json!({
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080018": {"vr": "UI", "Value": ["1.2.3"]},
            "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Ánh", "Ideographic": "阮"}]},
            "00181063": {"vr": "DS", "Value": [1.5, 2]},
            "00186020": {"vr": "SL", "Value": [-2]},
            "00189073": {"vr": "FD", "Value": [0.25]},
            "00191001": {"vr": "UV", "Value": ["18446744073709551615"]},
            "00209165": {"vr": "AT", "Value": ["00100020"]},
            "00280010": {"vr": "US", "Value": [512, 1]},
            "00420011": {"vr": "OB", "InlineBinary": "AQID"},
            "00420012": {"vr": "LO"},
        });
        let bytes = composed(&document).expect("written");
        let mut out = Vec::new();
        let parts = Parts { before: &bytes, pixel: None, after: &[] };
        let syntax = Uid::parse(EXPLICIT_LE).expect("a UID");
        instance_json(&parts, &syntax, &Options::new("B"), &mut out).expect("readable");
        let mut back: Value = serde_json::from_slice(&out).expect("JSON");
        // Odd values are padded.
        assert_eq!(back.pointer("/00420011/InlineBinary"), Some(&json!("AQIDAA==")));
        back["00420011"] = document["00420011"].clone();
        assert_eq!(back, document);
    }

    #[test]
    fn wrong_documents_are_refused_by_attribute() {
        for (document, says) in [
            (json!({"x": {"vr": "CS"}}), "x"),
            (json!({"00280010": {"vr": "US", "Value": [70000]}}), "00280010"),
            (json!({"00280010": {"vr": "ZZ"}}), "00280010"),
            (json!({"00080018": {"vr": "UI", "Value": "1"}}), "array"),
            (json!({"7FE00010": {"vr": "OW", "BulkDataURI": "c"}}), "Content-Location"),
            (json!({"00420011": {"vr": "OB", "InlineBinary": "%"}}), "base64"),
        ] {
            let error = composed(&document).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({"00081140": {"vr": "SQ", "Value": [deep]}});
        }
        assert_eq!(composed(&deep), Err(ComposeError::Depth));
    }

    #[test]
    fn a_part_named_by_many_attributes_is_written_up_to_the_limit() {
        let named = |count: usize| {
            let attributes =
                (0..count).map(|at| (format!("0009{:04X}", 0x1000 + at), json!({"vr": "OB", "BulkDataURI": "b"})));
            composed(&Value::Object(attributes.collect()))
        };
        assert!(named(2).is_ok());
        assert_eq!(named(3), Err(ComposeError::TooLong { tag: "00091002".into() }));
        let item = json!({"00091000": {"vr": "OB", "BulkDataURI": "b"}});
        let nested = composed(&json!({"00081140": {"vr": "SQ", "Value": [item, item, item]}}));
        assert_eq!(nested, Err(ComposeError::TooLong { tag: "00091000".into() }));
    }

    #[test]
    fn bulk_data_becomes_the_value_or_one_fragment() {
        let document = json!({"7FE00010": {"vr": "OW", "BulkDataURI": "b"}});
        let native = composed(&document).expect("written");
        assert!(native.ends_with(&[4, 0, 0, 0, 1, 2, 3, 4]));
        let frame = |_: &str| Some(Bulk { bytes: &[9, 9, 9], compressed: true });
        let packed = compose(document.as_object().expect("an object"), &frame, 3).expect("written");
        assert!(packed.ends_with(&[4, 0, 0, 0, 9, 9, 9, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]));
    }
}
