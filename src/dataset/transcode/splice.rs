//! The elements before and behind pixel data whose form changes: copied, a few of them replaced.
//!
//! An explicit little endian head is copied byte for byte but for the elements named; other codings are written anew
//! in Explicit VR Little Endian first. Group lengths are left out, since they would no longer be true. An icon
//! (0088,0200) or a private sequence with compressed pixels of its own is left out too: these are compressed as the
//! transfer syntax says that the object no longer has.

use super::{GE_SWAPPED, Writer};
use crate::error::ScanError;
use crate::limits::Limits;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::Uid;
use std::collections::BTreeMap;

/// Icon Image Sequence.
const ICON: u32 = 0x0088_0200;
/// Pixel Data.
const PIXEL_DATA: u32 = 0x7FE0_0010;

/// What becomes of an element of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It goes, if it is there.
    Remove,
    /// It has this value, of even length, whether it was there or not.
    Set(Vr, Vec<u8>),
    /// It gets this value where it is missing or empty.
    Fill(Vr, Vec<u8>),
    /// It is a sequence that this item, of [`item`], comes first in; alone where what is there is not written as one.
    Prepend(Vec<u8>),
}

/// Changes by tag.
pub type Changes = BTreeMap<u32, Change>;

/// Why a head cannot be given another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// The bytes are not those that were scanned.
    #[error(transparent)]
    Data(#[from] ScanError),
    /// Compressed pixels inside a sequence of the standard, which have no form in another transfer syntax.
    #[error("compressed pixels inside of a sequence")]
    Nested,
}

/// Writes the elements before the pixel data, read from a data set of a transfer syntax (inflated where it was
/// deflated), in Explicit or Implicit VR Little Endian with changes.
///
/// # Errors
/// [`SpliceError`].
pub fn head(before: &[u8], from: &Uid, changes: &Changes, implicit: bool) -> Result<Vec<u8>, SpliceError> {
    let coding = Syntax::of(from.as_str()).coding;
    let rewritten;
    let explicit = if coding == Coding::EXPLICIT {
        before
    } else {
        rewritten = rewrite(before, coding, 0, false, from)?;
        &rewritten
    };
    let spliced = spliced(explicit, changes)?;
    if implicit { Ok(rewrite(&spliced, Coding::EXPLICIT, 0, true, from)?) } else { Ok(spliced) }
}

/// Writes the elements behind the pixel data, which ends at `end` of the data set.
///
/// # Errors
/// [`SpliceError`].
pub fn tail(behind: &[u8], from: &Uid, end: u64, implicit: bool) -> Result<Vec<u8>, SpliceError> {
    let coding = Syntax::of(from.as_str()).coding;
    let wanted = if implicit { Coding::IMPLICIT } else { Coding::EXPLICIT };
    if coding == wanted || behind.is_empty() {
        return Ok(behind.to_vec());
    }
    Ok(rewrite(behind, coding, end, implicit, from)?)
}

/// The header of native pixel data of `len` bytes; words where samples have more than eight bits.
pub fn native_pixels(allocated: u8, len: u32, implicit: bool) -> Vec<u8> {
    let vr = if allocated > 8 { Vr::OW } else { Vr::OB };
    let mut writer = Writer::new(Vec::new(), false);
    writer.implicit = implicit;
    writer.header(PIXEL_DATA, vr, len);
    writer.output
}

/// The header of encapsulated pixel data with an empty offset table (PS3.5 section A.4).
pub fn encapsulated_pixels() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), false);
    writer.header(PIXEL_DATA, Vr::OB, u32::MAX);
    writer.put(&[0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0]);
    writer.output
}

/// The header of a fragment.
pub fn fragment(len: u32) -> [u8; 8] {
    let [a, b, c, d] = len.to_le_bytes();
    [0xFE, 0xFF, 0x00, 0xE0, a, b, c, d]
}

/// What ends encapsulated pixel data.
pub const ENCAPSULATED_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

fn rewrite(bytes: &[u8], coding: Coding, at: u64, implicit: bool, from: &Uid) -> Result<Vec<u8>, ScanError> {
    let mut walker = Walker::new(coding, Limits::passed());
    if at > 0 {
        walker.jump(at);
    }
    let mut writer = Writer::new(Vec::with_capacity(bytes.len() + bytes.len() / 8), from.as_str() == GE_SWAPPED);
    writer.implicit = implicit;
    walker.feed(bytes, &mut writer)?;
    walker.finish(&mut writer)?;
    Ok(writer.output)
}

/// The elements of the root: where each begins, whether its value is empty, and whether compressed pixels lie in it.
#[derive(Default)]
struct Roots {
    found: Vec<Root>,
}

#[derive(Clone, Copy)]
struct Root {
    tag: u32,
    at: u64,
    empty: bool,
    compressed: bool,
}

impl Sink for Roots {
    fn element(&mut self, element: &Element) {
        if element.depth == 0 {
            let empty = element.len == Some(0);
            self.found.push(Root { tag: element.tag, at: element.at, empty, compressed: false });
        }
    }

    fn sequence(&mut self, element: &Element) {
        self.element(element);
    }

    fn fragments(&mut self, element: &Element) {
        self.element(element);
        if let Some(root) = self.found.last_mut() {
            root.compressed = true;
        }
    }
}

/// Copies an explicit little endian head with changes, in the order of tags where the head is in order.
fn spliced(explicit: &[u8], changes: &Changes) -> Result<Vec<u8>, SpliceError> {
    let mut roots = Roots::default();
    let mut walker = Walker::new(Coding::EXPLICIT, Limits::passed());
    walker.feed(explicit, &mut roots)?;
    walker.finish(&mut roots)?;
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let ends = roots.found.iter().skip(1).map(|root| place(root.at)).chain([explicit.len()]);
    let mut writer = Writer::new(Vec::with_capacity(explicit.len() + 256), false);
    let mut left = changes.iter().peekable();
    for (root, end) in roots.found.iter().zip(ends) {
        while let Some((tag, change)) = left.next_if(|(tag, _)| **tag <= root.tag) {
            if *tag < root.tag || root.empty || !matches!(change, Change::Fill(..) | Change::Prepend(_)) {
                put(&mut writer, *tag, change);
            }
        }
        let change = changes.get(&root.tag);
        let changed = match change {
            Some(Change::Fill(..) | Change::Prepend(_)) => root.empty,
            Some(_) => true,
            None => false,
        };
        let derived = root.compressed && (root.tag == ICON || root.tag >> 16 & 1 == 1);
        if changed || derived || root.tag & 0xFFFF == 0 {
            continue;
        }
        if root.compressed {
            return Err(SpliceError::Nested);
        }
        let own = explicit.get(place(root.at)..end).unwrap_or_default();
        match change {
            Some(change @ Change::Prepend(item)) => match prepended(own, item) {
                Some(sequence) => writer.put(&sequence),
                None => put(&mut writer, root.tag, change),
            },
            _ => writer.put(own),
        }
    }
    left.for_each(|(tag, change)| put(&mut writer, *tag, change));
    Ok(writer.output)
}

fn put(writer: &mut Writer<Vec<u8>>, tag: u32, change: &Change) {
    let (vr, value) = match change {
        Change::Set(vr, value) | Change::Fill(vr, value) => (*vr, value),
        Change::Prepend(item) => (Vr::SQ, item),
        Change::Remove => return,
    };
    writer.header(tag, vr, u32::try_from(value.len()).unwrap_or(0));
    writer.put(value);
}

/// A sequence with one more item in front; none where it is not written as a sequence.
fn prepended(sequence: &[u8], item: &[u8]) -> Option<Vec<u8>> {
    let (head, items) = sequence.split_first_chunk::<12>()?;
    let [a, b, c, d, b'S', b'Q', _, _, len @ ..] = *head else { return None };
    let len = match u32::from_le_bytes(len) {
        u32::MAX => u32::MAX,
        len => len.checked_add(u32::try_from(item.len()).ok()?)?,
    };
    Some([[a, b, c, d, b'S', b'Q', 0, 0].as_slice(), len.to_le_bytes().as_slice(), item, items].concat())
}

/// An item of a sequence, its elements in the order of their tags, values of even length.
#[must_use]
pub fn item(elements: &[(u32, Vr, Vec<u8>)]) -> Vec<u8> {
    let mut inner = Writer::new(Vec::new(), false);
    for (tag, vr, value) in elements {
        inner.header(*tag, *vr, u32::try_from(value.len()).unwrap_or(0));
        inner.put(value);
    }
    let len = u32::try_from(inner.output.len()).unwrap_or(0);
    [fragment(len).as_slice(), &inner.output].concat()
}
