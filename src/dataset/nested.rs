//! Small data sets as trees of texts: identifiers whose keys lie in sequences of sequences, and their answers (PS3.4
//! annex K).
//!
//! Reading goes through the same bounded walk as every object. Deliberately not here: which attributes there are, and
//! values that are neither text nor small numbers.

use crate::charset::Charset;
use crate::error::ScanError;
use crate::identifier::{ITEM, SPECIFIC_CHARACTER_SET, decoded, element, known_vr, label_of, put_tag, put_u32, value};
use crate::limits::Limits;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::facility::CharsetHint;
use std::collections::BTreeMap;

/// A data set or item: its elements by tag.
pub type Members = BTreeMap<u32, Member>;

/// An element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// A value as [`model::Attributes`] has values: UTF-8, several joined by a backslash, numbers in decimal.
    Value(Vr, String),
    /// The items of a sequence; of one that was read the first two.
    Items(Vec<Members>),
}

/// A data set as read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nested {
    /// Its elements; group lengths and the character set are left out.
    pub members: Members,
    /// Specific Character Set (0008,0005) as sent, without padding; empty when there is none.
    pub charset: String,
    /// Elements at every depth.
    pub count: usize,
    /// A sequence that has more than one item, if any.
    pub several_items: Option<u32>,
}

/// Reads a data set. `hint` is how text without a right character set is read.
///
/// # Errors
/// Where the bytes are no data set in this transfer syntax or exceed a limit.
pub fn read(bytes: &[u8], transfer_syntax: &str, hint: CharsetHint) -> Result<Nested, ScanError> {
    let limits = Limits { nesting: 16, ..Limits::default() };
    let mut reader = Reader {
        found: Nested::default(),
        charset: Charset::new(b"", hint),
        hint,
        open: Vec::new(),
        element: None,
        value: Vec::new(),
    };
    let mut walker = Walker::new(Syntax::of(transfer_syntax).coding, limits);
    walker.feed(bytes, &mut reader)?;
    walker.finish(&mut reader)?;
    Ok(reader.found)
}

struct Reader {
    found: Nested,
    charset: Charset,
    hint: CharsetHint,
    /// Open sequences with their items so far.
    open: Vec<(u32, Vec<Members>)>,
    element: Option<Element>,
    value: Vec<u8>,
}

impl Reader {
    /// Adds an element where it stands.
    fn put(&mut self, tag: u32, member: Member) {
        let place = match self.open.last_mut() {
            None => Some(&mut self.found.members),
            Some((_, items)) => items.last_mut(),
        };
        if place.is_some_and(|members| members.insert(tag, member).is_none()) {
            self.found.count = self.found.count.saturating_add(1);
        }
    }
}

impl Sink for Reader {
    fn element(&mut self, element: &Element) {
        self.element = Some(*element);
        self.value.clear();
    }

    fn value(&mut self, bytes: &[u8]) {
        if self.element.is_some() {
            self.value.extend_from_slice(bytes);
        }
    }

    fn element_end(&mut self) {
        let Some(element) = self.element.take().filter(|element| element.tag & 0xFFFF != 0) else { return };
        if element.tag == SPECIFIC_CHARACTER_SET {
            if self.open.is_empty() {
                self.charset = Charset::new(&self.value, self.hint);
                self.found.charset = String::from_utf8_lossy(&self.value).trim_matches(['\0', ' ']).to_owned();
            }
            return;
        }
        let vr = known_vr(&element);
        let text = decoded(&self.value, &element, vr, &self.charset);
        self.put(element.tag, Member::Value(vr, text));
    }

    fn sequence(&mut self, element: &Element) {
        self.open.push((element.tag, Vec::new()));
    }

    fn item(&mut self) {
        let Some((tag, items)) = self.open.last_mut() else { return };
        // Whoever takes one item refuses several: what stands in the third and later ones is no matter.
        if items.len() > 1 {
            return;
        }
        items.push(Members::new());
        if items.len() > 1 {
            self.found.several_items.get_or_insert(*tag);
        }
    }

    fn sequence_end(&mut self) {
        if let Some((tag, items)) = self.open.pop() {
            self.put(tag, Member::Items(items));
        }
    }
}

/// Writes a data set.
///
/// Text that is not ASCII goes out in the character set `asked` where that holds all of it, else in UTF-8; the
/// data set says which.
pub fn write(members: &Members, transfer_syntax: &str, asked: &str) -> Vec<u8> {
    let coding = Syntax::of(transfer_syntax).coding;
    let mut texts = Vec::new();
    gather(members, &mut texts);
    let label = label_of(texts.iter().copied(), asked);
    let mut out = Vec::with_capacity(1024);
    if !label.is_empty() {
        element(SPECIFIC_CHARACTER_SET, Vr::CS, &value(Vr::CS, label, coding, label), coding, &mut out);
    }
    put(members, coding, label, &mut out);
    out
}

fn gather<'a>(members: &'a Members, texts: &mut Vec<&'a str>) {
    for member in members.values() {
        match member {
            Member::Value(_, text) => texts.push(text),
            Member::Items(items) => items.iter().for_each(|item| gather(item, texts)),
        }
    }
}

/// Elements before the character set's (0008,0005) are none of ours.
fn put(members: &Members, coding: Coding, label: &str, out: &mut Vec<u8>) {
    for (tag, member) in members.range(SPECIFIC_CHARACTER_SET + 1..) {
        match member {
            Member::Value(vr, text) => element(*tag, *vr, &value(*vr, text, coding, label), coding, out),
            Member::Items(items) => {
                let mut inside = Vec::new();
                for item in items {
                    let mut one = Vec::new();
                    put(item, coding, label, &mut one);
                    put_tag(ITEM, coding, &mut inside);
                    put_u32(one.len(), coding, &mut inside);
                    inside.extend_from_slice(&one);
                }
                element(*tag, Vr::SQ, &inside, coding, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};

    fn text(vr: Vr, text: &str) -> Member {
        Member::Value(vr, text.into())
    }

    fn line(name: &str) -> Members {
        let code = Members::from([(0x0008_0100, text(Vr::SH, "CT01")), (0x0008_0104, text(Vr::LO, "Ngực"))]);
        let step = Members::from([
            (0x0040_0002, text(Vr::DA, "20260105")),
            (0x0040_0006, text(Vr::PN, "")),
            (0x0040_0008, Member::Items(vec![code.clone(), code])),
        ]);
        Members::from([
            (0x0008_1110, Member::Items(Vec::new())),
            (0x0010_0010, text(Vr::PN, name)),
            (0x0010_21C0, text(Vr::US, "4")),
            (0x0040_0100, Member::Items(vec![step])),
        ])
    }

    #[test]
    fn trees_come_back_in_every_coding_and_cut_ones_are_refused() {
        for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            let bytes = write(&line("Nguyễn^An"), syntax, "");
            let mut back = read(&bytes, syntax, CharsetHint::Auto).expect(syntax);
            assert_eq!((back.charset.as_str(), back.count, back.several_items), ("ISO_IR 192", 11, Some(0x0040_0008)));
            trim(&mut back.members);
            assert_eq!(back.members, line("Nguyễn^An"), "{syntax}");
            for length in 0..bytes.len() {
                let part = bytes.get(..length).unwrap_or_default();
                if let Ok(found) = read(part, syntax, CharsetHint::Auto) {
                    assert!(found.count < 11, "cut at {length}");
                }
            }
        }
    }

    /// Takes padding away.
    fn trim(members: &mut Members) {
        for member in members.values_mut() {
            match member {
                Member::Value(_, text) => *text = text.trim_matches([' ', '\0']).to_owned(),
                Member::Items(items) => items.iter_mut().for_each(trim),
            }
        }
    }

    #[test]
    fn the_asked_character_set_is_used_where_nothing_is_lost() {
        let label = |name: &str, asked: &str| {
            let members = Members::from([(0x0010_0010, text(Vr::PN, name))]);
            read(&write(&members, EXPLICIT_LE, asked), EXPLICIT_LE, CharsetHint::Auto).expect("read").charset
        };
        assert_eq!(label("Müller", "ISO_IR 100"), "ISO_IR 100");
        assert_eq!(label("Nguyễn", "ISO_IR 100"), "ISO_IR 192");
        assert_eq!(label("NGUYEN", "ISO_IR 192"), "");
    }

    #[test]
    fn ten_thousand_items_are_told_and_not_kept() {
        let item = Members::from([(0x0040_0002, text(Vr::DA, "20260105"))]);
        let members = Members::from([(0x0040_0100, Member::Items(vec![item; 10_000]))]);
        let found = read(&write(&members, EXPLICIT_LE, ""), EXPLICIT_LE, CharsetHint::Auto).expect("read");
        assert_eq!(found.several_items, Some(0x0040_0100));
        assert!(found.count < 10, "{} elements were kept", found.count);
    }
}
