//! Look-up tables of the Modality, VOI and Presentation LUT modules (PS3.3 C.11.1.1.1) and of palettes (C.7.6.3.1.5).

use super::numbers;
use super::tree::{Node, Value};

const DESCRIPTOR: u32 = 0x0028_3002;
const DATA: u32 = 0x0028_3006;

/// A table from values to values of `bits` bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lut {
    /// Input value of the first entry.
    first: i64,
    entries: Vec<u16>,
    /// Bits of an entry.
    bits: u8,
}

impl Lut {
    /// The table of an item of a LUT sequence; nothing where it is broken. `signed`: the input may be negative.
    pub(crate) fn of_item(item: &Node, signed: bool) -> Option<Self> {
        Self::new(item.value(DESCRIPTOR)?, item.value(DATA)?, signed)
    }

    /// The table of a descriptor and its data.
    pub(crate) fn new(descriptor: &Value, data: &Value, signed: bool) -> Option<Self> {
        let (count, first, bits) = describe(descriptor, signed)?;
        // Entries of eight bits may lie two in a word; the length tells.
        let packed = data.bytes.len() < count.checked_mul(2)?;
        let entries: Vec<u16> = match packed {
            true => bytes_of(data).into_iter().map(u16::from).take(count).collect(),
            false => data.words().into_iter().take(count).collect(),
        };
        Self::from_entries(entries, first, if packed { 8 } else { bits })
    }

    /// A table of given entries.
    pub(crate) fn from_entries(entries: Vec<u16>, first: i64, bits: u8) -> Option<Self> {
        let most = entries.iter().copied().max()?;
        // Some say fewer bits than their entries have, and some 16 where all entries are bytes.
        let needed = u8::try_from(16 - most.leading_zeros()).unwrap_or(16).max(1);
        let bits = if bits == 16 && needed <= 8 { 8 } else { bits.clamp(needed, 16) };
        Some(Self { first, entries, bits })
    }

    /// The entry for a value; those beyond an end have that end's.
    pub(crate) fn get(&self, value: i64) -> u16 {
        let last = self.entries.len().saturating_sub(1);
        let at = usize::try_from(value.saturating_sub(self.first)).unwrap_or(0).min(last);
        self.entries.get(at).copied().unwrap_or(0)
    }

    /// The entry for a real number.
    pub(crate) fn at(&self, value: f64) -> f64 {
        f64::from(self.get(numbers::nearest(value)))
    }

    /// The entry at a place counted from the first one.
    pub(crate) fn at_offset(&self, place: f64) -> f64 {
        f64::from(self.get(self.first.saturating_add(numbers::nearest(place))))
    }

    /// Largest value an entry can have.
    pub(crate) fn top(&self) -> f64 {
        f64::from(u16::MAX >> (16 - u32::from(self.bits.clamp(1, 16))))
    }

    /// The entry for a value as a byte.
    pub(crate) fn byte(&self, value: i64) -> u8 {
        let entry = self.get(value);
        let wide = if self.bits > 8 { entry >> (self.bits - 8) } else { entry };
        u8::try_from(wide).unwrap_or(u8::MAX)
    }

    /// Input value of the first entry.
    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Entries, first input value and bits of a descriptor.
pub(super) fn describe(descriptor: &Value, signed: bool) -> Option<(usize, i64, u8)> {
    let words = descriptor.words();
    let [count, first, bits, ..] = words.as_slice() else { return None };
    let count = if *count == 0 { 65_536 } else { usize::from(*count) };
    let first = if signed { i64::from(first.cast_signed()) } else { i64::from(*first) };
    Some((count, first, u8::try_from(*bits).ok().filter(|bits| (1..=16).contains(bits))?))
}

/// Bytes in order, where they may lie in big endian words.
fn bytes_of(data: &Value) -> Vec<u8> {
    if !data.big_endian {
        return data.bytes.clone();
    }
    data.words().into_iter().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u16]) -> Value {
        Value { bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(), big_endian: false }
    }

    #[test]
    fn values_beyond_the_ends_have_the_entries_of_the_ends() {
        let lut = Lut::new(&words(&[3, 0xFFFF, 12]), &words(&[10, 20, 4095]), true).expect("a table");
        assert_eq!([-9, -1, 0, 1, 900].map(|value| lut.get(value)), [10, 10, 20, 4095, 4095]);
        assert_eq!((lut.top(), lut.at(0.4), lut.byte(1), lut.len()), (4095.0, 20.0, 255, 3));
        let unsigned = Lut::new(&words(&[3, 0xFFFF, 12]), &words(&[10, 20, 30]), false).expect("a table");
        assert_eq!(unsigned.get(0), 10);
    }

    #[test]
    fn bytes_two_in_a_word_and_entries_of_more_bits_than_said() {
        let packed = Value { bytes: vec![1, 2, 3, 0], big_endian: false };
        let lut = Lut::new(&words(&[3, 0, 8]), &packed, false).expect("a table");
        assert_eq!([0, 1, 2].map(|value| lut.get(value)), [1, 2, 3]);
        let swapped = Value { bytes: vec![2, 1, 0, 3], big_endian: true };
        let descriptor = Value { bytes: vec![0, 3, 0, 0, 0, 8], big_endian: true };
        assert_eq!(Lut::new(&descriptor, &swapped, false), Some(lut));
        let wide = Lut::new(&words(&[2, 0, 8]), &words(&[0, 0x3FF]), false).expect("a table");
        assert_eq!(wide.top(), 1023.0);
        let bytes = Lut::new(&words(&[2, 0, 16]), &words(&[0, 0xFF]), false).expect("a table");
        assert_eq!(bytes.byte(1), 255);
    }

    #[test]
    fn no_entries_said_are_all_that_sixteen_bits_count() {
        let all: Vec<u16> = (0..=u16::MAX).rev().collect();
        let lut = Lut::new(&words(&[0, 0x8000, 16]), &words(&all), true).expect("a table");
        assert_eq!((lut.len(), lut.first()), (65_536, -32_768));
        assert_eq!([-40_000, -32_768, 0, 32_767].map(|value| lut.get(value)), [65_535, 65_535, 32_767, 0]);
        // Entries of eight bits, each in a word of its own.
        let wide = Lut::new(&words(&[3, 0, 8]), &words(&[0, 128, 255]), false).expect("a table");
        assert_eq!((wide.byte(1), wide.top()), (128, 255.0));
    }

    #[test]
    fn broken_tables_are_none() {
        assert_eq!(Lut::new(&words(&[3, 0]), &words(&[1, 2, 3]), false), None);
        assert_eq!(Lut::new(&words(&[3, 0, 40]), &words(&[1, 2, 3]), false), None);
        assert_eq!(Lut::new(&words(&[3, 0, 8]), &Value::default(), false), None);
    }
}
