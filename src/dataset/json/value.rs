//! Values in DICOM JSON (PS3.18 Table F.2.3-1): text, names, numbers, tags, small binary values.
//!
//! Numbers are JSON numbers where that loses nothing, strings otherwise.

use super::{base64, put};
use crate::syntax::Coding;
use crate::vr::Vr;

/// Largest integer every JSON reader keeps exactly (RFC 8259 section 6).
const EXACT: u64 = 1 << 53;

/// Whether values are bytes rather than text or numbers.
pub(crate) fn is_binary(vr: Vr) -> bool {
    matches!(vr, Vr::OB | Vr::OD | Vr::OF | Vr::OL | Vr::OV | Vr::OW | Vr::UN) || !vr.is_known()
}

/// Appends a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

/// Appends `,"InlineBinary":"..."`, numbers in little endian order.
pub(super) fn inline(bytes: &[u8], vr: Vr, coding: Coding, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"InlineBinary\":\"");
    let word = if coding.big_endian { vr.word() } else { 1 };
    base64::encode(bytes.chunks(word).flat_map(|word| word.iter().rev().copied()), out);
    out.push(b'"');
}

/// The values of a text, without the padding that does not count.
pub(crate) fn split(text: &str, vr: Vr) -> impl Iterator<Item = &str> {
    let whole = text.trim_end_matches([' ', '\0']);
    let single = !vr.is_multi_valued();
    let both = matches!(vr, Vr::AE | Vr::DS | Vr::IS);
    whole.split(move |letter| letter == '\\' && !single).map(move |value| {
        let value = value.trim_end_matches([' ', '\0']);
        if both { value.trim_start_matches(' ') } else { value }
    })
}

/// Appends `,"Value":[...]` for a decoded text; nothing when it is empty.
pub(super) fn text(text: &str, vr: Vr, out: &mut Vec<u8>) {
    if text.trim_end_matches([' ', '\0']).is_empty() {
        return;
    }
    out.extend_from_slice(b",\"Value\":[");
    for (at, value) in split(text, vr).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match vr {
            _ if value.is_empty() => out.extend_from_slice(b"null"),
            Vr::PN => name(value, out),
            Vr::DS | Vr::IS => number(value, vr == Vr::IS, out),
            _ => string(value, out),
        }
    }
    out.push(b']');
}

/// A person name: its component groups (PS3.5 section 6.2.1.1).
fn name(value: &str, out: &mut Vec<u8>) {
    out.push(b'{');
    let groups = value.splitn(3, '=').zip(["Alphabetic", "Ideographic", "Phonetic"]);
    for (at, (group, key)) in groups.filter(|(group, _)| !group.is_empty()).enumerate() {
        put(out, format_args!("{}\"{key}\":", if at > 0 { "," } else { "" }));
        string(group, out);
    }
    out.push(b'}');
}

/// A decimal or integer string as a number where it is one, as the text it is otherwise.
pub(super) fn number(value: &str, integer: bool, out: &mut Vec<u8>) {
    let (sign, rest) = match value.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", value.strip_prefix('+').unwrap_or(value)),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    let valid = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_digits.is_none_or(|text| digits(text) && (1..=3).contains(&text.len()))
        // What overflows is no number to a reader.
        && value.parse::<f64>().is_ok_and(f64::is_finite)
        && !(integer && (exponent.is_some() || mantissa.contains('.') || whole.len() > 15));
    if !valid {
        return string(value, out);
    }
    let whole = whole.trim_start_matches('0');
    put(out, format_args!("{sign}{}", if whole.is_empty() { "0" } else { whole }));
    if !fraction.is_empty() {
        put(out, format_args!(".{fraction}"));
    }
    if let Some(exponent) = exponent {
        put(out, format_args!("e{exponent}"));
    }
}

/// Appends `,"Value":[...]` for binary numbers and tags; nothing when no number is whole.
pub(super) fn numbers(bytes: &[u8], vr: Vr, coding: Coding, out: &mut Vec<u8>) {
    let width = if vr == Vr::AT { 4 } else { vr.word() };
    let mut words = bytes.chunks_exact(width).peekable();
    if words.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"Value\":[");
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        binary_number(word, vr, coding, out);
    }
    out.push(b']');
}

fn binary_number(word: &[u8], vr: Vr, coding: Coding, out: &mut Vec<u8>) {
    let long = || {
        let eight = word.first_chunk::<8>().copied().unwrap_or_default();
        if coding.big_endian { u64::from_be_bytes(eight) } else { u64::from_le_bytes(eight) }
    };
    match vr {
        Vr::AT => put(out, format_args!("\"{:08X}\"", coding.tag(word, 0))),
        Vr::US => put(out, format_args!("{}", coding.u16(word, 0))),
        Vr::SS => put(out, format_args!("{}", coding.u16(word, 0).cast_signed())),
        Vr::UL => put(out, format_args!("{}", coding.u32(word, 0))),
        Vr::SL => put(out, format_args!("{}", coding.u32(word, 0).cast_signed())),
        Vr::FL => float(f64::from(f32::from_bits(coding.u32(word, 0))), out),
        Vr::FD => float(f64::from_bits(long()), out),
        Vr::SV => {
            let number = long().cast_signed();
            let quote = if number.unsigned_abs() > EXACT { "\"" } else { "" };
            put(out, format_args!("{quote}{number}{quote}"));
        }
        _ => {
            let number = long();
            let quote = if number > EXACT { "\"" } else { "" };
            put(out, format_args!("{quote}{number}{quote}"));
        }
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"\"inf\"" } else { b"\"-inf\"" });
    } else if serde_json::to_writer(&mut *out, &number).is_err() {
        out.extend_from_slice(b"null");
    }
}
