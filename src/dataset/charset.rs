//! Text as people read it: Specific Character Set (PS3.3 section C.12.1.1.2) and what is sent instead.
//!
//! Decoding never fails: what does not fit is replaced and noted.
//! The stored bytes are not touched; this is for the index and for DICOM JSON.

mod iso2022;
mod set;
#[cfg(test)]
mod tests;
mod vietnamese;

use crate::vr::Vr;
use model::facility::CharsetHint;
use set::Set;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// What was met while reading text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// UTF-8 stood under another label or none, or a hint of the source was needed.
    pub repaired: bool,
    /// Bytes did not fit the character set.
    pub invalid: bool,
    /// The label names a set the archive does not know.
    pub unknown: bool,
}

/// A text in the character set of a label, for what is written; none where the set does not hold every character
/// or is one of several values, whose escapes nobody needs any more.
pub(crate) fn encode(label: &str, text: &str) -> Option<Vec<u8>> {
    Set::named(label.trim())?.encode(text)
}

/// The character sets of a data set or item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charset {
    /// Set of the first value: G1 at the start of each text.
    first: Set,
    /// Sets that escape sequences may bring in.
    extensions: Vec<Set>,
    hint: CharsetHint,
    unknown: bool,
}

impl Charset {
    /// The sets named by the value of Specific Character Set (0008,0005); an empty value is ASCII.
    pub fn new(label: &[u8], hint: CharsetHint) -> Self {
        let text = String::from_utf8_lossy(label);
        let mut unknown = false;
        let mut sets = text.split('\\').map(|value| {
            let value = value.trim_matches([' ', '\0']);
            Set::named(value).unwrap_or_else(|| {
                unknown = true;
                Set::Ascii
            })
        });
        let first = sets.next().unwrap_or(Set::Ascii);
        let mut extensions: Vec<Set> = sets.collect();
        if text.contains("2022") && extensions.is_empty() {
            extensions.push(first);
        }
        Self { first, extensions, hint, unknown }
    }

    /// A text of the data set in Unicode, composed (NFC). Values stay separated by backslashes.
    pub fn decode(&self, bytes: &[u8], vr: Vr, notes: &mut Notes) -> String {
        let text = self.decode_as_written(bytes, vr, notes);
        match is_nfc_quick(text.chars()) {
            IsNormalized::Yes => text,
            _ => text.nfc().collect(),
        }
    }

    /// The same without composing, for answers that show what was sent.
    pub fn decode_as_written(&self, bytes: &[u8], vr: Vr, notes: &mut Notes) -> String {
        notes.unknown |= self.unknown;
        if bytes.is_ascii() && !bytes.contains(&0x1B) {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        match self.first {
            Set::Utf8 => self.utf8(bytes, notes),
            Set::Gb18030 | Set::Gbk => self.chinese(bytes, notes),
            _ if bytes.contains(&0x1B)
                || self.extensions.contains(&Set::Korean)
                || self.extensions.contains(&Set::Gb2312) =>
            {
                self.extended(bytes, vr, notes)
            }
            _ => self.single(bytes, notes),
        }
    }

    fn utf8(&self, bytes: &[u8], notes: &mut Notes) -> String {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return text.to_owned();
        }
        if self.hint != CharsetHint::Auto {
            notes.repaired = true;
            return vietnamese::decode(bytes, self.hint, notes);
        }
        notes.invalid = true;
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn chinese(&self, bytes: &[u8], notes: &mut Notes) -> String {
        let mut own = Notes::default();
        let text = self.first.decode(bytes, &mut own);
        if own.invalid {
            if let Ok(text) = std::str::from_utf8(bytes) {
                notes.repaired = true;
                return text.to_owned();
            }
            notes.invalid = true;
        }
        text
    }

    fn extended(&self, bytes: &[u8], vr: Vr, notes: &mut Notes) -> String {
        let mut own = Notes::default();
        let text = iso2022::decode(bytes, vr, self.first, &self.extensions, &mut own);
        if own.invalid
            && !bytes.contains(&0x1B)
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            notes.repaired = true;
            return text.to_owned();
        }
        notes.invalid |= own.invalid;
        text
    }

    fn single(&self, bytes: &[u8], notes: &mut Notes) -> String {
        if let Ok(text) = std::str::from_utf8(bytes)
            && self.may_be_utf8(text)
        {
            notes.repaired |= !text.is_ascii();
            return text.to_owned();
        }
        if self.hint != CharsetHint::Auto && matches!(self.first, Set::Ascii | Set::Latin1) {
            notes.repaired = true;
            return vietnamese::decode(bytes, self.hint, notes);
        }
        self.first.decode(bytes, notes)
    }

    /// Letters of Western and unlabelled sets form UTF-8 by chance only in theory; those of other scripts may,
    /// so there the result must be Latin or of that script's kind of text to be believed.
    fn may_be_utf8(&self, text: &str) -> bool {
        if matches!(self.first, Set::Ascii | Set::Latin1) {
            return true;
        }
        text.chars()
            .all(|letter| matches!(u32::from(letter), 0..=0x7F | 0xA0..=0x24F | 0x300..=0x36F | 0x1E00..=0x1EFF))
    }
}
