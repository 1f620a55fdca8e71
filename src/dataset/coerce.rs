//! Header splice: a data set goes out with other values of a few attributes than were received.
//!
//! The elements around are copied byte for byte in their own coding; group lengths of the groups that change are left
//! out, since they would no longer be true. What stood there before goes into Original Attributes Sequence
//! (0400,0561), PS3.3 section C.12.1.1.9, as it stood. Only where the data set's character set does not hold a new value
//! is all text of the head written anew in UTF-8.
//! Deliberately not here: pixel data and what follows it, which the caller copies; and who corrects what.

mod json;
mod utf8;

pub use json::coerced_json;

use crate::charset;
use crate::error::ScanError;
use crate::limits::Limits;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::Uid;
use model::facility::CharsetHint;
use std::borrow::Cow;
use std::collections::BTreeMap;

const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
/// Original Attributes Sequence.
const ORIGINAL: u32 = 0x0400_0561;
/// Modified Attributes Sequence.
const MODIFIED: u32 = 0x0400_0550;
/// Modifying System (0400,0563).
const SYSTEM: &str = "Khoanh";

/// What is said instead of what was received, and what is told of it.
#[derive(Debug, Clone)]
pub struct Coercion {
    /// Values by tag of the root: VR, and the text, several values with backslashes between; a sequence
    /// is blanked.
    pub values: BTreeMap<u32, (Vr, String)>,
    /// Elements of the root that lose what they say, where there are such.
    pub blanked: BTreeMap<u32, Vr>,
    /// Attribute Modification DateTime (0400,0562), a DT.
    pub at: String,
    /// Reason for the Attribute Modification (0400,0565): `CORRECT` or `COERCE`.
    pub reason: &'static str,
    /// How text without a true label is read.
    pub hint: CharsetHint,
}

/// Writes the elements before the pixel data, or the whole of a data set without any, with other values; inflated where
/// it was deflated.
///
/// # Errors
/// When the bytes are not those that were scanned.
pub fn head(before: &[u8], from: &Uid, coercion: &Coercion) -> Result<Vec<u8>, ScanError> {
    let coding = Syntax::of(from.as_str()).coding;
    let mut roots = roots(before, coding)?;
    let label = roots.iter().find(|root| root.tag == SPECIFIC_CHARACTER_SET).and_then(|root| root.value(before));
    let label = String::from_utf8_lossy(label.unwrap_or_default()).trim_matches([' ', '\0']).to_owned();
    let encoded = |text: &str| match text.is_ascii() {
        true => Some(text.as_bytes().to_vec()),
        false => charset::encode(&label, text),
    };
    let values = coercion.values.iter().map(|(tag, (vr, text))| Some((*tag, (*vr, encoded(text)?))));
    let (mut bytes, mut changes) = (Cow::Borrowed(before), values.collect::<Option<BTreeMap<_, _>>>());
    if changes.is_none() {
        bytes = Cow::Owned(utf8::rewritten(before, coding, coercion.hint)?);
        roots = self::roots(&bytes, coding)?;
        let plain = |(tag, (vr, text)): (&u32, &(Vr, String))| (*tag, (*vr, text.as_bytes().to_vec()));
        let mut utf8: BTreeMap<_, _> = coercion.values.iter().map(plain).collect();
        utf8.insert(SPECIFIC_CHARACTER_SET, (Vr::CS, b"ISO_IR 192".to_vec()));
        changes = Some(utf8);
    }
    let mut changes = changes.unwrap_or_default();
    for (tag, vr) in coercion.blanked.iter().filter(|(tag, _)| roots.iter().any(|root| root.tag == **tag)) {
        changes.entry(*tag).or_insert((*vr, Vec::new()));
    }
    Ok(spliced(&bytes, &roots, coding, &changes, coercion))
}

/// An element of the root and where it lies.
#[derive(Debug, Clone, Copy)]
struct Root {
    tag: u32,
    at: usize,
    value_at: usize,
    /// Where it ends.
    end: usize,
    /// Whether a delimiter ends it.
    open: bool,
}

impl Root {
    /// Its value, without the delimiter.
    fn value(self, bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(self.value_at..if self.open { self.end.saturating_sub(8) } else { self.end })
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[derive(Default)]
struct Roots(Vec<Root>);

impl Sink for Roots {
    fn element(&mut self, element: &Element) {
        if element.depth == 0 {
            let end = element.len.map_or(usize::MAX, |len| place(element.value_at.saturating_add(len)));
            let (at, value_at, open) = (place(element.at), place(element.value_at), element.len.is_none());
            self.0.push(Root { tag: element.tag, at, value_at, end, open });
        }
    }

    fn sequence(&mut self, element: &Element) {
        self.element(element);
    }

    fn fragments(&mut self, element: &Element) {
        self.element(element);
    }
}

fn roots(bytes: &[u8], coding: Coding) -> Result<Vec<Root>, ScanError> {
    let mut found = Roots::default();
    let mut walker = Walker::new(coding, Limits::passed());
    walker.feed(bytes, &mut found)?;
    walker.finish(&mut found)?;
    let starts: Vec<usize> = found.0.iter().skip(1).map(|root| root.at).chain([bytes.len()]).collect();
    for (root, next) in found.0.iter_mut().zip(starts) {
        root.end = root.end.min(next);
    }
    Ok(found.0)
}

/// Puts values and Original Attributes Sequence in their places among the elements of the root.
fn spliced(
    bytes: &[u8],
    roots: &[Root],
    coding: Coding,
    changes: &BTreeMap<u32, (Vr, Vec<u8>)>,
    coercion: &Coercion,
) -> Vec<u8> {
    let part = |root: &Root| bytes.get(root.at..root.end).unwrap_or_default();
    let before = roots.iter().find(|root| root.tag == ORIGINAL).and_then(|root| root.value(bytes));
    let mut pieces: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (tag, (vr, value)) in changes {
        let mut piece = Vec::new();
        element(coding, *tag, *vr, value, &mut piece);
        pieces.insert(*tag, piece);
    }
    let mut previous = Vec::new();
    for (tag, (vr, _)) in changes.iter().filter(|(tag, _)| **tag != SPECIFIC_CHARACTER_SET) {
        match roots.iter().find(|root| root.tag == *tag) {
            Some(root) => previous.extend_from_slice(part(root)),
            // It was not there: without a value it says so.
            None => element(coding, *tag, *vr, &[], &mut previous),
        }
    }
    pieces.insert(ORIGINAL, original(coding, before.unwrap_or_default(), &previous, coercion));
    let groups: Vec<u32> = pieces.keys().map(|tag| tag >> 16).collect();
    let mut out = Vec::with_capacity(bytes.len() + pieces.values().map(Vec::len).sum::<usize>());
    for root in roots {
        while let Some(first) = pieces.first_entry().filter(|first| *first.key() <= root.tag) {
            out.extend(first.remove());
        }
        let replaced = changes.contains_key(&root.tag) || root.tag == ORIGINAL;
        let untrue = root.tag & 0xFFFF == 0 && groups.contains(&(root.tag >> 16));
        if !replaced && !untrue {
            out.extend_from_slice(part(root));
        }
    }
    pieces.into_values().for_each(|piece| out.extend(piece));
    // Padding behind the last element stays behind it.
    out.extend_from_slice(roots.last().and_then(|last| bytes.get(last.end..)).unwrap_or_default());
    out
}

/// The sequence with one item more.
fn original(coding: Coding, before: &[u8], previous: &[u8], coercion: &Coercion) -> Vec<u8> {
    let mut item = Vec::new();
    header(coding, MODIFIED, Vr::SQ, u32::MAX, &mut item);
    put_item(coding, previous, &mut item);
    delimiter(coding, 0xFFFE_E0DD, 0, &mut item);
    element(coding, 0x0400_0562, Vr::DT, coercion.at.as_bytes(), &mut item);
    element(coding, 0x0400_0563, Vr::LO, SYSTEM.as_bytes(), &mut item);
    element(coding, 0x0400_0564, Vr::LO, &[], &mut item);
    element(coding, 0x0400_0565, Vr::CS, coercion.reason.as_bytes(), &mut item);
    let mut out = Vec::new();
    header(coding, ORIGINAL, Vr::SQ, u32::MAX, &mut out);
    out.extend_from_slice(before);
    put_item(coding, &item, &mut out);
    delimiter(coding, 0xFFFE_E0DD, 0, &mut out);
    out
}

fn put_item(coding: Coding, inside: &[u8], out: &mut Vec<u8>) {
    delimiter(coding, 0xFFFE_E000, u32::MAX, out);
    out.extend_from_slice(inside);
    delimiter(coding, 0xFFFE_E00D, 0, out);
}

fn number16(coding: Coding, number: u16, out: &mut Vec<u8>) {
    out.extend(if coding.big_endian { number.to_be_bytes() } else { number.to_le_bytes() });
}

fn number32(coding: Coding, number: u32, out: &mut Vec<u8>) {
    out.extend(if coding.big_endian { number.to_be_bytes() } else { number.to_le_bytes() });
}

/// An item, a fragment or what ends one: they have no VR in any coding.
fn delimiter(coding: Coding, tag: u32, len: u32, out: &mut Vec<u8>) {
    header(Coding { implicit: true, ..coding }, tag, Vr::UN, len, out);
}

fn header(coding: Coding, tag: u32, vr: Vr, len: u32, out: &mut Vec<u8>) {
    for half in [tag >> 16, tag & 0xFFFF] {
        number16(coding, u16::try_from(half).unwrap_or_default(), out);
    }
    if coding.implicit {
        return number32(coding, len, out);
    }
    // What does not fit the 16-bit length of its VR is written as UN (PS3.5 section 6.2.2).
    let vr = if vr.is_long() || u16::try_from(len).is_ok() { vr } else { Vr::UN };
    out.extend(vr.bytes());
    match u16::try_from(len) {
        Ok(short) if !vr.is_long() => number16(coding, short, out),
        _ => {
            out.extend([0, 0]);
            number32(coding, len, out);
        }
    }
}

/// An element with a value, padded.
fn element(coding: Coding, tag: u32, vr: Vr, value: &[u8], out: &mut Vec<u8>) {
    let len = value.len().next_multiple_of(2);
    header(coding, tag, vr, u32::try_from(len).unwrap_or(u32::MAX - 1), out);
    out.extend_from_slice(value);
    if value.len() < len {
        out.push(if vr.is_text() && vr != Vr::UI { b' ' } else { 0 });
    }
}

#[cfg(test)]
mod tests;
