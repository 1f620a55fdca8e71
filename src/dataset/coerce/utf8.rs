//! A head with all its text in UTF-8, in the coding it has.
//!
//! Sequences and items get delimiters instead of lengths, group lengths go, and so does every Specific Character Set:
//! the caller names the new one. Deliberately not here: any other change of a value.

use super::{SPECIFIC_CHARACTER_SET, delimiter, element, header};
use crate::charset::{Charset, Notes};
use crate::error::ScanError;
use crate::limits::Limits;
use crate::resolve::Resolver;
use crate::syntax::Coding;
use crate::transcode::swap_words;
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::facility::CharsetHint;

/// Writes elements anew.
pub(super) fn rewritten(bytes: &[u8], coding: Coding, hint: CharsetHint) -> Result<Vec<u8>, ScanError> {
    let out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let charsets = vec![Charset::new(&[], hint)];
    let mut sink = Rewriter {
        out,
        coding,
        hint,
        resolver: Resolver::new(),
        charsets,
        element: None,
        value: Vec::new(),
        raw: false,
    };
    let mut walker = Walker::new(coding, Limits::passed());
    walker.feed(bytes, &mut sink)?;
    walker.finish(&mut sink)?;
    Ok(sink.out)
}

struct Rewriter {
    out: Vec<u8>,
    coding: Coding,
    hint: CharsetHint,
    resolver: Resolver,
    /// Those of the root and of every open item.
    charsets: Vec<Charset>,
    /// The element whose value is gathered.
    element: Option<(Element, Vr)>,
    value: Vec<u8>,
    /// A fragment passes.
    raw: bool,
}

impl Rewriter {
    fn text(&self, vr: Vr) -> Vec<u8> {
        let trimmed = self.value.strip_suffix(b"\0").unwrap_or(&self.value);
        let last = self.charsets.last();
        let text = last.map(|charset| charset.decode_as_written(trimmed, vr, &mut Notes::default()));
        text.unwrap_or_default().into_bytes()
    }
}

impl Sink for Rewriter {
    fn element(&mut self, element: &Element) {
        self.value.clear();
        let vr = self.resolver.vr(element);
        let vr = if vr.is_known() { vr } else { Vr::UN };
        self.element = (element.tag & 0xFFFF != 0).then_some((*element, vr));
    }

    fn value(&mut self, bytes: &[u8]) {
        if self.raw {
            self.out.extend_from_slice(bytes);
        } else if self.element.is_some() {
            self.value.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        let Some((met, vr)) = self.element.take() else { return };
        self.resolver.learn(&met, &self.value);
        if met.tag == SPECIFIC_CHARACTER_SET {
            if let Some(last) = self.charsets.last_mut() {
                *last = Charset::new(&self.value, self.hint);
            }
            return;
        }
        if vr.is_encoded_text() {
            let text = self.text(vr);
            return element(self.coding, met.tag, vr, &text, &mut self.out);
        }
        if met.coding.big_endian != self.coding.big_endian {
            swap_words(&mut self.value, vr.word());
        }
        element(self.coding, met.tag, vr, &self.value, &mut self.out);
    }

    fn sequence(&mut self, element: &Element) {
        header(self.coding, element.tag, Vr::SQ, u32::MAX, &mut self.out);
    }

    fn item(&mut self) {
        self.resolver.enter();
        self.charsets.extend(self.charsets.last().cloned());
        delimiter(self.coding, 0xFFFE_E000, u32::MAX, &mut self.out);
    }

    fn item_end(&mut self) {
        self.resolver.leave();
        self.charsets.pop();
        delimiter(self.coding, 0xFFFE_E00D, 0, &mut self.out);
    }

    fn sequence_end(&mut self) {
        delimiter(self.coding, 0xFFFE_E0DD, 0, &mut self.out);
    }

    fn fragments(&mut self, element: &Element) {
        header(self.coding, element.tag, Vr::OB, u32::MAX, &mut self.out);
    }

    fn fragment(&mut self, _at: u64, len: u64) {
        self.raw = true;
        delimiter(self.coding, 0xFFFE_E000, u32::try_from(len).unwrap_or(u32::MAX), &mut self.out);
    }

    fn fragment_end(&mut self) {
        self.raw = false;
    }

    fn fragments_end(&mut self, _value_end: u64, _end: u64) {
        delimiter(self.coding, 0xFFFE_E0DD, 0, &mut self.out);
    }
}
