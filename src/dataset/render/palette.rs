//! Palettes of PALETTE COLOR (PS3.3 C.7.9 and C.7.6.3.1.5), segmented ones included (C.7.9.2).

use super::lut::{Lut, describe};
use super::tree::Node;
use crate::pixels::{DecodedFrame, Words};

/// Descriptors, data and segmented data of red, green and blue.
const TABLES: [[u32; 3]; 3] = [
    [0x0028_1101, 0x0028_1201, 0x0028_1221],
    [0x0028_1102, 0x0028_1202, 0x0028_1222],
    [0x0028_1103, 0x0028_1203, 0x0028_1223],
];
/// Longest table there can be.
const ENTRIES_MAX: usize = 65_536;

/// Three tables from index to brightness.
#[derive(Debug, Clone)]
pub(crate) struct Palette([Lut; 3]);

impl Palette {
    /// The palette of a data set; nothing where one of its tables is missing or broken.
    pub(crate) fn of(root: &Node, signed: bool) -> Option<Self> {
        let [red, green, blue] = TABLES.map(|tags| table(root, tags, signed));
        Some(Self([red?, green?, blue?]))
    }

    /// Red, green and blue of brightness: the palette's ends are those of the bytes.
    pub(crate) fn tint(&self, bytes: &[u8]) -> Vec<u8> {
        let colour = |level: u8| {
            self.0.each_ref().map(|table| {
                let last = i64::try_from(table.len().saturating_sub(1)).unwrap_or(0);
                table.byte(table.first().saturating_add((i64::from(level) * last + 127) / 255))
            })
        };
        let all: Vec<[u8; 3]> = (0..=u8::MAX).map(colour).collect();
        bytes.iter().flat_map(|level| all.get(usize::from(*level)).copied().unwrap_or_default()).collect()
    }

    /// Red, green and blue of every pixel.
    pub(crate) fn apply(&self, frame: &DecodedFrame) -> Vec<u8> {
        let colour = |index: i64| self.0.each_ref().map(|table| table.byte(index));
        match &frame.words {
            Words::Eight(words) => {
                let all: Vec<[u8; 3]> = (0..256).map(colour).collect();
                words.iter().flat_map(|word| all.get(usize::from(*word)).copied().unwrap_or_default()).collect()
            }
            _ => (0..frame.words.len()).flat_map(|at| colour(frame.value(at).unwrap_or(0))).collect(),
        }
    }
}

fn table(root: &Node, [descriptor, plain, segmented]: [u32; 3], signed: bool) -> Option<Lut> {
    let descriptor = root.value(descriptor)?;
    if let Some(data) = root.value(plain) {
        return Lut::new(descriptor, data, signed);
    }
    let (count, first, bits) = describe(descriptor, signed)?;
    let data = root.value(segmented)?;
    // Segments of 8-bit tables are bytes in words.
    let words = match bits {
        8 => data.words().into_iter().flat_map(u16::to_le_bytes).map(u16::from).collect(),
        _ => data.words(),
    };
    let mut entries = unfold(&words, 0, &words, bits)?;
    entries.truncate(count);
    Lut::from_entries(entries, first, bits)
}

/// The entries of segments; nothing where they point outside of themselves.
fn unfold(words: &[u16], depth: usize, whole: &[u16], bits: u8) -> Option<Vec<u16>> {
    let mut entries: Vec<u16> = Vec::new();
    let mut rest = words;
    while let [kind, count, behind @ ..] = rest {
        let count = usize::from(*count);
        // Segments of nothing would cost time for ever and bring no entry nearer.
        if count == 0 {
            return None;
        }
        if entries.len().saturating_add(count) > ENTRIES_MAX {
            return None;
        }
        match kind {
            0 => {
                let (run, next) = behind.split_at_checked(count)?;
                entries.extend_from_slice(run);
                rest = next;
            }
            1 => {
                let (end, next) = behind.split_first()?;
                let start = entries.last().copied().unwrap_or(0);
                entries.extend((1..=count).map(|step| between(start, *end, step, count)));
                rest = next;
            }
            // Bytes count offsets in four of them, words in two; the standard counts both in bytes.
            2 if depth == 0 => {
                let (offset, next) = offset(behind, bits)?;
                let again = segments(whole.get(offset..)?, count)?;
                entries.extend(unfold(again, 1, whole, bits)?);
                rest = next;
            }
            _ => break,
        }
        if entries.len() > ENTRIES_MAX {
            return None;
        }
    }
    Some(entries)
}

/// The value at a step of a straight line.
fn between(start: u16, end: u16, step: usize, steps: usize) -> u16 {
    let (step, steps) = (i64::try_from(step).unwrap_or(0), i64::try_from(steps.max(1)).unwrap_or(1));
    let (start, end) = (i64::from(start), i64::from(end));
    u16::try_from(start + (end - start) * step / steps).unwrap_or(0)
}

/// Place of the segment an indirect one points at, in words of the table, and what follows.
fn offset(behind: &[u16], bits: u8) -> Option<(usize, &[u16])> {
    if bits == 8 {
        let ([a, b, c, d], next) = behind.split_first_chunk()?;
        let bytes = [*a, *b, *c, *d].map(|byte| u8::try_from(byte).unwrap_or(0));
        return Some((usize::try_from(u32::from_le_bytes(bytes)).ok()?, next));
    }
    let ([low, high], next) = behind.split_first_chunk()?;
    let bytes = u32::from(*high) << 16 | u32::from(*low);
    Some((usize::try_from(bytes / 2).ok()?, next))
}

/// As many direct segments as an indirect one repeats.
fn segments(words: &[u16], count: usize) -> Option<&[u16]> {
    let mut at = 0_usize;
    for _ in 0..count {
        let length = match (words.get(at)?, usize::from(*words.get(at.checked_add(1)?)?)) {
            (_, 0) => return None,
            (0, entries) => entries + 2,
            (1, _) => 3,
            _ => return None,
        };
        at = at.checked_add(length).filter(|at| *at <= words.len())?;
    }
    words.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn an_index_becomes_a_colour() {
        let descriptor = words(&[3, 0, 16]);
        let root = TABLES.into_iter().zip([0x0100_u16, 0x2000, 0xFF00]).fold(Node::default(), |node, (tags, step)| {
            node.with(tags[0], &descriptor).with(tags[1], &words(&[0, step, 0xFFFF]))
        });
        let frame = DecodedFrame {
            rows: 1,
            columns: 4,
            samples: 1,
            stored: 8,
            signed: false,
            photometric: crate::pixels::Photometric::PaletteColor,
            words: Words::Eight(vec![0, 1, 2, 200]),
        };
        let palette = Palette::of(&root, false).expect("a palette");
        assert_eq!(palette.apply(&frame), [0, 0, 0, 1, 0x20, 0xFF, 255, 255, 255, 255, 255, 255]);
        assert!(Palette::of(&Node::default(), false).is_none());
    }

    #[test]
    fn segments_are_runs_lines_and_repetitions() {
        let plain = [0, 2, 5, 6, 1, 4, 10];
        assert_eq!(unfold(&plain, 0, &plain, 16), Some(vec![5, 6, 7, 8, 9, 10]));
        let again = [0, 2, 5, 6, 1, 2, 10, 2, 2, 0, 0];
        assert_eq!(unfold(&again, 0, &again, 16), Some(vec![5, 6, 8, 10, 5, 6, 8, 10]));
        for broken in [vec![0, 9, 1], vec![2, 1, 90, 0], vec![1, 1], vec![2, 1, 0, 0]] {
            assert_eq!(unfold(&broken, 0, &broken, 16), None, "{broken:?}");
        }
        for nothing in [vec![0, 0], vec![1, 0, 7], vec![0, 1, 5, 2, 0, 0, 0], vec![0, 1, 5, 2, 2, 7, 0, 0, 0]] {
            assert_eq!(unfold(&nothing, 0, &nothing, 16), None, "segments of nothing: {nothing:?}");
        }
        let many: Vec<u16> = [1, 0xFFFF, 7].repeat(3);
        assert_eq!(unfold(&many, 0, &many, 16), None, "more entries than a table can have");
    }
}
