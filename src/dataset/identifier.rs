//! Identifiers of DIMSE queries (PS3.4 section C.1.5): small data sets of keys, read and written whole.
//!
//! Reading goes through the same bounded walk as every object; nothing here knows what a key means or which keys
//! there are. Only the first item of a sequence counts, and items inside items are told as one key without a value.

use crate::charset::{self, Charset, Notes};
use crate::dictionary;
use crate::error::ScanError;
use crate::json::{Node, gather};
use crate::limits::Limits;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::AttrKey;
use model::facility::CharsetHint;

pub(crate) const SPECIFIC_CHARACTER_SET: u32 = 0x0008_0005;
pub(crate) const ITEM: u32 = 0xFFFE_E000;

/// A key of an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its address; a sequence without items, or with items inside its item, is told by its own tag.
    pub key: AttrKey,
    /// The VR as sent, or of the dictionary in implicit coding.
    pub vr: Vr,
    /// The value as [`model::Attributes`] has values: UTF-8, untrimmed, numbers in decimal.
    pub text: String,
}

/// An identifier as read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identifier {
    /// The keys in the order of their bytes; group lengths and the character set are left out.
    pub keys: Vec<Key>,
    /// Specific Character Set (0008,0005) as sent, without padding; empty when there is none.
    pub charset: String,
    /// A sequence that has more than one item, if any.
    pub several_items: Option<u32>,
}

/// Reads an identifier. `hint` is how text without a right character set is read.
///
/// # Errors
/// Where the bytes are no data set in this transfer syntax or exceed a limit.
pub fn read(bytes: &[u8], transfer_syntax: &str, hint: CharsetHint) -> Result<Identifier, ScanError> {
    let mut reader = Reader { charset: Charset::new(b"", hint), hint, ..Reader::new() };
    let mut walker = Walker::new(Syntax::of(transfer_syntax).coding, Limits::default());
    walker.feed(bytes, &mut reader)?;
    walker.finish(&mut reader)?;
    Ok(reader.found)
}

struct Reader {
    found: Identifier,
    charset: Charset,
    hint: CharsetHint,
    /// Open sequences: tag and items begun.
    sequences: Vec<(u32, usize)>,
    /// How many keys there were when the outermost sequence began.
    before: usize,
    element: Option<Element>,
    value: Vec<u8>,
}

impl Reader {
    fn new() -> Self {
        Self {
            found: Identifier::default(),
            charset: Charset::new(b"", CharsetHint::Auto),
            hint: CharsetHint::Auto,
            sequences: Vec::new(),
            before: 0,
            element: None,
            value: Vec::new(),
        }
    }

    /// The address of an element where it stands, none where only the sequence around it counts.
    fn address(&self, tag: u32) -> Option<AttrKey> {
        match self.sequences.as_slice() {
            [] => Some(AttrKey::root(tag)),
            [(sequence, 1)] => Some(AttrKey::nested(*sequence, tag)),
            _ => None,
        }
    }
}

/// The value of an element as [`model::Attributes`] has values.
pub(crate) fn decoded(value: &[u8], element: &Element, vr: Vr, charset: &Charset) -> String {
    if vr.is_text() || vr == Vr::UN {
        return charset.decode(value, vr, &mut Notes::default());
    }
    let (coding, word) = (element.coding, vr.word());
    let number = |word_bytes: &[u8]| match word {
        2 if vr == Vr::SS => i16::from_ne_bytes(coding.u16(word_bytes, 0).to_ne_bytes()).to_string(),
        2 => coding.u16(word_bytes, 0).to_string(),
        4 if vr == Vr::SL => i32::from_ne_bytes(coding.u32(word_bytes, 0).to_ne_bytes()).to_string(),
        _ => coding.u32(word_bytes, 0).to_string(),
    };
    match vr {
        Vr::US | Vr::SS | Vr::UL | Vr::SL => value.chunks_exact(word).map(number).collect::<Vec<_>>().join("\\"),
        // No attribute that can be matched has another one; that a value stood there is all that counts.
        _ if value.is_empty() => String::new(),
        _ => "?".into(),
    }
}

/// The VR of an element: where it is not known, that of the dictionary.
pub(crate) fn known_vr(element: &Element) -> Vr {
    match element.vr {
        Vr::UN => dictionary::lookup(element.tag).map_or(Vr::UN, dictionary::Listed::relaxed),
        vr => vr,
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
        let Some(element) = self.element.take() else { return };
        if element.tag & 0xFFFF == 0 {
            return;
        }
        if element.tag == SPECIFIC_CHARACTER_SET {
            if self.sequences.is_empty() {
                self.charset = Charset::new(&self.value, self.hint);
                self.found.charset = String::from_utf8_lossy(&self.value).trim_matches(['\0', ' ']).to_owned();
            }
            return;
        }
        let Some(key) = self.address(element.tag) else { return };
        let vr = known_vr(&element);
        let text = decoded(&self.value, &element, vr, &self.charset);
        self.found.keys.push(Key { key, vr, text });
    }

    fn sequence(&mut self, element: &Element) {
        if self.sequences.is_empty() {
            self.before = self.found.keys.len();
        }
        if let Some(key) = self.address(element.tag).filter(|_| !self.sequences.is_empty()) {
            self.found.keys.push(Key { key, vr: Vr::SQ, text: String::new() });
        }
        self.sequences.push((element.tag, 0));
    }

    fn item(&mut self) {
        if let Some((tag, items)) = self.sequences.last_mut() {
            *items = items.saturating_add(1);
            if *items > 1 {
                self.found.several_items.get_or_insert(*tag);
            }
        }
    }

    fn sequence_end(&mut self) {
        let Some((tag, _)) = self.sequences.pop() else { return };
        if self.sequences.is_empty() && self.found.keys.len() == self.before {
            self.found.keys.push(Key { key: AttrKey::root(tag), vr: Vr::SQ, text: String::new() });
        }
    }
}

/// An answer: attributes with VR and value (UTF-8, several values joined by a backslash, numbers in decimal).
/// Those of one sequence become its items, of several values each that of its place, or no item when none has a value.
///
/// Text that is not ASCII goes out in the character set `asked` where that holds all of it, else in UTF-8; the
/// data set says which.
pub fn write(values: &[(AttrKey, &str, &str)], transfer_syntax: &str, asked: &str) -> Vec<u8> {
    let coding = Syntax::of(transfer_syntax).coding;
    let label = label(values, asked);
    let mut nodes = gather(values);
    if !label.is_empty() {
        nodes.insert(SPECIFIC_CHARACTER_SET, Node::Value(Vr::CS, label));
    }
    let mut out = Vec::with_capacity(1024);
    for (tag, node) in &nodes {
        match node {
            Node::Value(vr, text) => element(*tag, *vr, &value(*vr, text, coding, label), coding, &mut out),
            Node::Items(items) => {
                let mut inside = Vec::new();
                let valued = items.iter().any(|item| item.values().any(|(_, text)| !text.is_empty()));
                for item in items.iter().filter(|_| valued) {
                    let mut members = Vec::new();
                    for (tag, (vr, text)) in item {
                        element(*tag, *vr, &value(*vr, text, coding, label), coding, &mut members);
                    }
                    put_tag(ITEM, coding, &mut inside);
                    put_u32(members.len(), coding, &mut inside);
                    inside.extend_from_slice(&members);
                }
                element(*tag, Vr::SQ, &inside, coding, &mut out);
            }
        }
    }
    out
}

/// The label of the character set: empty for ASCII.
fn label<'a>(values: &[(AttrKey, &str, &str)], asked: &'a str) -> &'a str {
    label_of(values.iter().map(|(_, _, text)| *text), asked)
}

/// The label of the character set that holds these texts: empty for ASCII, what was asked where it holds them all.
pub(crate) fn label_of<'a, 't>(texts: impl Iterator<Item = &'t str> + Clone, asked: &'a str) -> &'a str {
    let mut foreign = texts.filter(|text| !text.is_ascii());
    if foreign.clone().next().is_none() {
        ""
    } else if foreign.all(|text| charset::encode(asked, text).is_some()) {
        asked
    } else {
        "ISO_IR 192"
    }
}

pub(crate) fn value(vr: Vr, text: &str, coding: Coding, label: &str) -> Vec<u8> {
    let mut out = match vr {
        Vr::US => {
            let numbers = text.split('\\').filter_map(|number| number.trim().parse::<u16>().ok());
            numbers.flat_map(|n| if coding.big_endian { n.to_be_bytes() } else { n.to_le_bytes() }).collect()
        }
        _ if text.is_ascii() => text.as_bytes().to_vec(),
        _ => charset::encode(label, text).unwrap_or_else(|| text.as_bytes().to_vec()),
    };
    let most = if vr.is_long() { usize::MAX } else { usize::from(u16::MAX) - 1 };
    out.truncate(most);
    if out.len() % 2 == 1 {
        out.push(if vr == Vr::UI { 0 } else { b' ' });
    }
    out
}

pub(crate) fn element(tag: u32, vr: Vr, value: &[u8], coding: Coding, out: &mut Vec<u8>) {
    put_tag(tag, coding, out);
    if coding.implicit {
        put_u32(value.len(), coding, out);
    } else if vr.is_long() {
        out.extend_from_slice(&vr.bytes());
        out.extend_from_slice(&[0; 2]);
        put_u32(value.len(), coding, out);
    } else {
        out.extend_from_slice(&vr.bytes());
        put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX), coding, out);
    }
    out.extend_from_slice(value);
}

pub(crate) fn put_tag(tag: u32, coding: Coding, out: &mut Vec<u8>) {
    for half in [tag >> 16, tag & 0xFFFF] {
        put_u16(u16::try_from(half).unwrap_or_default(), coding, out);
    }
}

fn put_u16(number: u16, coding: Coding, out: &mut Vec<u8>) {
    out.extend_from_slice(&if coding.big_endian { number.to_be_bytes() } else { number.to_le_bytes() });
}

pub(crate) fn put_u32(number: usize, coding: Coding, out: &mut Vec<u8>) {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    out.extend_from_slice(&if coding.big_endian { number.to_be_bytes() } else { number.to_le_bytes() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE};
    use model::attribute::key;

    const REQUESTED: AttrKey = key::REQUESTED_PROCEDURE_ID;

    fn values(name: &str) -> Vec<(AttrKey, &str, &str)> {
        vec![
            (key::PATIENT_NAME, "PN", name),
            (key::STUDY_INSTANCE_UID, "UI", "1.2.3"),
            (key::ROWS, "US", "512"),
            (REQUESTED, "SH", "P1"),
            (key::ACCESSION_NUMBER, "SH", ""),
        ]
    }

    #[test]
    fn what_is_written_reads_back_the_same_in_every_coding() {
        for syntax in [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE] {
            let bytes = write(&values("Nguyễn^Ánh"), syntax, "");
            let back = read(&bytes, syntax, CharsetHint::Auto).expect(syntax);
            assert_eq!(back.charset, "ISO_IR 192");
            let text = |wanted: AttrKey| back.keys.iter().find(|k| k.key == wanted).map(|k| k.text.trim().to_owned());
            assert_eq!(text(key::PATIENT_NAME).as_deref(), Some("Nguyễn^Ánh"));
            assert_eq!(text(key::ROWS).as_deref(), Some("512"));
            assert_eq!(text(REQUESTED).as_deref(), Some("P1"));
            assert_eq!(text(key::ACCESSION_NUMBER).as_deref(), Some(""));
            assert_eq!(back.keys.len(), 5);
        }
    }

    #[test]
    fn the_asked_character_set_is_used_where_nothing_is_lost() {
        let latin = write(&values("Müller"), EXPLICIT_LE, "ISO_IR 100");
        assert!(latin.windows(2).any(|pair| pair == b"M\xFC"));
        assert_eq!(read(&latin, EXPLICIT_LE, CharsetHint::Auto).expect("read").charset, "ISO_IR 100");
        let utf8 = write(&values("Nguyễn"), EXPLICIT_LE, "ISO_IR 100");
        assert_eq!(read(&utf8, EXPLICIT_LE, CharsetHint::Auto).expect("read").charset, "ISO_IR 192");
        let plain = write(&values("NGUYEN"), EXPLICIT_LE, "ISO_IR 100");
        assert_eq!(read(&plain, EXPLICIT_LE, CharsetHint::Auto).expect("read").charset, "");
    }

    #[test]
    fn sequences_of_no_one_and_two_items_are_told_apart() {
        let item = |members: &[u8]| {
            let mut out = vec![0xFE, 0xFF, 0x00, 0xE0];
            out.extend_from_slice(&u32::try_from(members.len()).expect("short").to_le_bytes());
            out.extend_from_slice(members);
            out
        };
        let member = [0x40, 0, 1, 0x10, 2, 0, 0, 0, b'P', b'1'];
        let sequence = |items: &[u8]| {
            let mut out = vec![0x40, 0, 0x75, 2];
            out.extend_from_slice(&u32::try_from(items.len()).expect("short").to_le_bytes());
            out.extend_from_slice(items);
            read(&out, IMPLICIT_LE, CharsetHint::Auto).expect("readable")
        };
        assert_eq!(sequence(&[]).keys, [Key { key: AttrKey::root(0x0040_0275), vr: Vr::SQ, text: String::new() }]);
        let one = sequence(&item(&member));
        assert_eq!((one.keys.len(), one.several_items), (1, None));
        assert_eq!(one.keys.first().map(|key| key.key), Some(REQUESTED));
        let two = sequence(&[item(&member), item(&member)].concat());
        assert_eq!((two.keys.len(), two.several_items), (1, Some(0x0040_0275)));
    }

    #[test]
    fn cut_identifiers_are_refused_or_smaller() {
        let whole = write(&values("Nguyễn^Ánh"), EXPLICIT_LE, "");
        let count = read(&whole, EXPLICIT_LE, CharsetHint::Auto).expect("whole").keys.len();
        for length in 0..whole.len() {
            let part = whole.get(..length).unwrap_or_default();
            if let Ok(found) = read(part, EXPLICIT_LE, CharsetHint::Auto) {
                assert!(found.keys.len() < count, "cut at {length}");
            }
        }
    }
}
