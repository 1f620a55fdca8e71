//! The primitives of the row encoding.
//!
//! - number: LEB128, 7 bits a byte, low bits first, at most 10 bytes;
//! - text and bytes: number (length), then the bytes;
//! - UID: nibbles, high first: digits as they are, `A` the dot, `F` the end, one more `F` to fill the byte.
//!   A packed UID is never the beginning of another, so packed UIDs can stand in keys.

use crate::IndexError;
use model::Uid;

const DOT: u8 = 0xa;
const END: u8 = 0xf;

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn number(&mut self, number: impl Into<u64>) {
        let mut rest: u64 = number.into();
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                self.bytes.push(low & 0x7f);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }

    pub(crate) fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// An optional number: 0 for none, else the number plus one.
    pub(crate) fn option(&mut self, number: Option<u64>) {
        self.number(number.map_or(0, |n| n.saturating_add(1)));
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    pub(crate) fn uid(&mut self, uid: &Uid) {
        let nibble = |byte: u8| if byte == b'.' { DOT } else { byte & 0x0f };
        let text = uid.as_str().as_bytes();
        let mut pairs = text.chunks_exact(2);
        for pair in &mut pairs {
            if let [high, low] = pair {
                self.bytes.push(nibble(*high) << 4 | nibble(*low));
            }
        }
        match pairs.remainder() {
            [last] => self.bytes.push(nibble(*last) << 4 | END),
            _ => self.bytes.push(END << 4 | END),
        }
    }
}

/// Takes values from the front of a row.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    table: &'static str,
}

impl<'a> Decoder<'a> {
    /// Reads a row of a table; its name stands in errors.
    pub(crate) fn new(table: &'static str, row: &'a [u8]) -> Self {
        Self { rest: row, table }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> IndexError {
        IndexError::Damaged { table: self.table, what }
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, IndexError> {
        let (byte, rest) = self.rest.split_first().ok_or_else(|| self.damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], IndexError> {
        let (raw, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.damaged("it ends too early"))?;
        self.rest = rest;
        Ok(raw)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let (raw, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*raw)
    }

    pub(crate) fn number(&mut self) -> Result<u64, IndexError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number is too large"))
    }

    /// A number of a narrower type.
    pub(crate) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, IndexError> {
        T::try_from(self.number()?).map_err(|_| self.damaged("a number is too large"))
    }

    pub(crate) fn option(&mut self) -> Result<Option<u64>, IndexError> {
        Ok(self.number()?.checked_sub(1))
    }

    pub(crate) fn blob(&mut self) -> Result<&'a [u8], IndexError> {
        let length = self.narrow()?;
        self.raw(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, IndexError> {
        std::str::from_utf8(self.blob()?).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    pub(crate) fn uid(&mut self) -> Result<Uid, IndexError> {
        let mut text = String::with_capacity(Uid::MAX_LEN);
        'bytes: loop {
            let byte = self.byte()?;
            for nibble in [byte >> 4, byte & 0x0f] {
                match nibble {
                    0..=9 => text.push(char::from(b'0' + nibble)),
                    DOT => text.push('.'),
                    END => break 'bytes,
                    _ => return Err(self.damaged("a UID has a bad digit")),
                }
            }
        }
        Uid::parse(&text).map_err(|_| self.damaged("a UID is malformed"))
    }

    /// Passes over a UID without looking at its digits.
    pub(crate) fn pass_uid(&mut self) -> Result<(), IndexError> {
        loop {
            let byte = self.byte()?;
            if byte >> 4 == END || byte & 0x0f == END {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went_in() {
        let mut encoder = Encoder::default();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        numbers.iter().for_each(|n| encoder.number(*n));
        [None, Some(0), Some(7)].iter().for_each(|n| encoder.option(*n));
        encoder.text("Nguyễn");
        let mut decoder = Decoder::new("test", &encoder.bytes);
        for number in numbers {
            assert_eq!(decoder.number().expect("number"), number);
        }
        for option in [None, Some(0), Some(7)] {
            assert_eq!(decoder.option().expect("option"), option);
        }
        assert_eq!(decoder.text().expect("text"), "Nguyễn");
        assert!(decoder.rest().is_empty());
    }

    #[test]
    fn packed_uids_come_back_and_are_never_the_beginning_of_another() {
        let uids = ["1", "12", "1.2", "1.2.3", "1.2.34", "1.02.3", &"9".repeat(64), "2.25.1"];
        let packed = uids.map(|text| {
            let mut encoder = Encoder::default();
            encoder.uid(&Uid::parse(text).expect("uid"));
            assert_eq!(Decoder::new("test", &encoder.bytes).uid().expect("uid").as_str(), text);
            let mut passed = Decoder::new("test", &encoder.bytes);
            passed.pass_uid().expect("passed over");
            assert!(passed.rest().is_empty(), "{text}");
            encoder.bytes
        });
        for (a, first) in packed.iter().enumerate() {
            for (b, second) in packed.iter().enumerate() {
                assert!(a == b || !second.starts_with(first), "{a} begins {b}");
            }
        }
    }

    #[test]
    fn a_cut_or_overlong_row_is_damaged_and_not_a_panic() {
        assert!(Decoder::new("test", &[0x80; 12]).number().is_err());
        assert!(Decoder::new("test", &[5, b'a']).text().is_err());
        assert!(Decoder::new("test", &[0x12]).uid().is_err());
        assert!(Decoder::new("test", &[0xb1]).uid().is_err());
        assert!(Decoder::new("test", &[0x12]).pass_uid().is_err());
    }
}
