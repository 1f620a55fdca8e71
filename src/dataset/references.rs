//! Lists of referenced objects as storage commitment carries them (PS3.3 section C.14), read and written whole.
//!
//! Reading goes through the same bounded walk as every object; whether a UID is one is for the caller to say.

use crate::error::ScanError;
use crate::identifier::{element, put_tag, put_u32};
use crate::limits::Limits;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};

const TRANSACTION: u32 = 0x0008_1195;
const REFERENCED: u32 = 0x0008_1199;
const FAILED: u32 = 0x0008_1198;
const SOP_CLASS: u32 = 0x0008_1150;
const SOP_INSTANCE: u32 = 0x0008_1155;
const REASON: u32 = 0x0008_1197;
const ITEM: u32 = 0xFFFE_E000;

/// A list as read; texts without padding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References {
    /// Transaction UID (0008,1195).
    pub transaction: String,
    /// Referenced SOP Class and Instance UIDs of the items of (0008,1199).
    pub objects: Vec<(String, String)>,
}

/// Reads a list.
///
/// # Errors
/// Where the bytes are no data set in this transfer syntax or exceed a limit.
pub fn read(bytes: &[u8], transfer_syntax: &str) -> Result<References, ScanError> {
    let mut reader = Reader::default();
    let mut walker = Walker::new(Syntax::of(transfer_syntax).coding, Limits::default());
    walker.feed(bytes, &mut reader)?;
    walker.finish(&mut reader)?;
    Ok(reader.found)
}

#[derive(Default)]
struct Reader {
    found: References,
    /// Tags of the open sequences.
    open: Vec<u32>,
    tag: u32,
    value: Vec<u8>,
}

impl Sink for Reader {
    fn element(&mut self, element: &Element) {
        self.tag = element.tag;
        self.value.clear();
    }

    fn value(&mut self, bytes: &[u8]) {
        if matches!(self.tag, TRANSACTION | SOP_CLASS | SOP_INSTANCE) {
            self.value.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        let text = || String::from_utf8_lossy(&self.value).trim_matches(['\0', ' ']).to_owned();
        match (self.open.as_slice(), self.tag) {
            ([], TRANSACTION) => self.found.transaction = text(),
            ([REFERENCED], SOP_CLASS) => {
                let text = text();
                if let Some(last) = self.found.objects.last_mut() {
                    last.0 = text;
                }
            }
            ([REFERENCED], SOP_INSTANCE) => {
                let text = text();
                if let Some(last) = self.found.objects.last_mut() {
                    last.1 = text;
                }
            }
            _ => {}
        }
        self.tag = 0;
    }

    fn sequence(&mut self, element: &Element) {
        self.open.push(element.tag);
    }

    fn item(&mut self) {
        if self.open == [REFERENCED] {
            self.found.objects.push(Default::default());
        }
    }

    fn sequence_end(&mut self) {
        self.open.pop();
    }
}

/// A list as written: class, instance, and for a failed one its reason (0008,1197).
pub fn write<'a>(
    transaction: &str,
    referenced: impl Iterator<Item = (&'a str, &'a str)>,
    failed: impl Iterator<Item = (&'a str, &'a str, u16)>,
    transfer_syntax: &str,
) -> Vec<u8> {
    let coding = Syntax::of(transfer_syntax).coding;
    let mut out = Vec::with_capacity(4096);
    uid(TRANSACTION, transaction, coding, &mut out);
    let mut items = Vec::new();
    for (class, instance, reason) in failed {
        let reason = if coding.big_endian { reason.to_be_bytes() } else { reason.to_le_bytes() };
        item(class, instance, Some(&reason), coding, &mut items);
    }
    if !items.is_empty() {
        element(FAILED, Vr::SQ, &items, coding, &mut out);
        items.clear();
    }
    for (class, instance) in referenced {
        item(class, instance, None, coding, &mut items);
    }
    if !items.is_empty() {
        element(REFERENCED, Vr::SQ, &items, coding, &mut out);
    }
    out
}

fn item(class: &str, instance: &str, reason: Option<&[u8; 2]>, coding: Coding, out: &mut Vec<u8>) {
    let mut inside = Vec::with_capacity(160);
    uid(SOP_CLASS, class, coding, &mut inside);
    uid(SOP_INSTANCE, instance, coding, &mut inside);
    if let Some(reason) = reason {
        element(REASON, Vr::US, reason, coding, &mut inside);
    }
    put_item(&inside, coding, out);
}

/// An item of a sequence.
pub(crate) fn put_item(inside: &[u8], coding: Coding, out: &mut Vec<u8>) {
    put_tag(ITEM, coding, out);
    put_u32(inside.len(), coding, out);
    out.extend_from_slice(inside);
}

pub(crate) fn uid(tag: u32, text: &str, coding: Coding, out: &mut Vec<u8>) {
    let mut value = text.as_bytes().to_vec();
    value.resize(value.len().next_multiple_of(2), 0);
    element(tag, Vr::UI, &value, coding, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};

    #[test]
    fn lists_of_any_length_read_back_the_same() {
        let objects: Vec<(String, String)> = (0..5_000).map(|n| ("1.2.840".into(), format!("1.2.{n}"))).collect();
        for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            let referenced = objects.iter().map(|(class, instance)| (class.as_str(), instance.as_str()));
            let failed = [("1.2", "1.3", 0x0112)];
            let bytes = write("1.2.3", referenced, failed.into_iter(), syntax);
            let read = read(&bytes, syntax).expect(syntax);
            assert_eq!(read.transaction, "1.2.3");
            assert_eq!(read.objects, objects);
        }
        assert_eq!(read(&[], EXPLICIT_LE).expect("empty"), References::default());
        assert!(read(b"GARBAGE GARBAGE ", EXPLICIT_LE).is_err());
    }
}
