//! The head of a message as bytes, before its character set is known: what an answer repeats.

use std::ops::Range;

/// Longest segment MSH that is looked at.
const HEAD_MAX: usize = 8 << 10;

/// MSH as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    bytes: Vec<u8>,
    fields: Vec<Range<usize>>,
}

impl Head {
    /// Reads it; none where the bytes do not begin with one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let bytes = bytes.trim_ascii_start();
        let end = bytes.iter().take(HEAD_MAX).position(|byte| [b'\r', b'\n'].contains(byte));
        let bytes = bytes.get(..end.unwrap_or(bytes.len().min(HEAD_MAX)))?;
        let separator = *bytes.get(3).filter(|_| bytes.starts_with(b"MSH"))?;
        if !separator.is_ascii_punctuation() {
            return None;
        }
        let (mut fields, mut begin) = (Vec::new(), 0);
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == separator).map(|(at, _)| at);
        for end in ends.chain([bytes.len()]) {
            fields.push(begin..end);
            begin = end + 1;
        }
        Some(Self { bytes: bytes.to_vec(), fields })
    }

    /// The separator between fields.
    pub fn separator(&self) -> u8 {
        self.bytes.get(3).copied().unwrap_or(b'|')
    }

    /// A field as it was sent; that of number 1 is the separator.
    pub fn field(&self, number: usize) -> &[u8] {
        let place = self.fields.get(number.saturating_sub(1)).filter(|_| number > 1);
        place.and_then(|place| self.bytes.get(place.clone())).unwrap_or_default()
    }

    /// The same as text, where it is ASCII.
    pub fn ascii(&self, number: usize) -> &str {
        let text = std::str::from_utf8(self.field(number)).unwrap_or_default();
        if text.is_ascii() { text.trim() } else { "" }
    }

    /// One of the encoding characters, by its place in MSH-2.
    pub fn encoding(&self, at: usize) -> u8 {
        let usual = *b"^~\\&";
        self.field(2).get(at).or(usual.get(at)).copied().unwrap_or(b'^')
    }

    /// Version: `2.3.1`; empty where it is not said.
    pub fn version(&self) -> &str {
        let component = char::from(self.encoding(0));
        self.ascii(12).split(component).next().unwrap_or_default()
    }

    /// Character set of the first repetition of MSH-18.
    pub fn charset(&self) -> &str {
        let repetition = char::from(self.encoding(1));
        self.ascii(18).split(repetition).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_character_set() {
        let bytes = b"MSH|^~\\&|HIS\xD4|BV||KHO|||ORM^O01|17|P|2.3.1||||||8859/1~UNICODE UTF-8\rPID|x";
        let head = Head::read(bytes).expect("a head");
        assert_eq!((head.field(2), head.field(3), head.field(6)), (&b"^~\\&"[..], &b"HIS\xD4"[..], &b"KHO"[..]));
        assert_eq!((head.ascii(3), head.ascii(10), head.version(), head.charset()), ("", "17", "2.3.1", "8859/1"));
        assert_eq!((head.field(60), head.separator(), head.encoding(3)), (&b""[..], b'|', b'&'));
        let marked = Head::read(b"\xef\xbb\xbf\r\nMSH|^~\\&|A").expect("with a mark of its order of bytes");
        assert_eq!(marked.field(3), b"A");
        for bad in [&b""[..], b"PID|", b"MSH", b"MSHA^~"] {
            assert!(Head::read(bad).is_none());
        }
    }
}
