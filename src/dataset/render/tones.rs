//! Grey frames straight from their stored bytes: a row of words becomes a row of brightness by one table.
//!
//! Only for uncompressed little endian frames whose display is known before they are looked at; everything else goes
//! the long way over decoded values, to the same bytes.

use super::grey::Voi;
use super::{Description, Options};
use crate::pixels::{Photometric, PixelFormat};

/// Brightness of every word of a frame.
#[derive(Debug, Clone)]
pub struct Tones {
    table: Box<[u8; 65_536]>,
    /// Bytes of a word: 1 or 2.
    bytes: usize,
    /// Bits below the stored ones.
    shift: u32,
    mask: u16,
}

impl Tones {
    /// The table of a frame (from 0); nothing where its display follows from more than its words.
    #[must_use]
    pub fn of(description: &Description, format: &PixelFormat, number: u32, options: &Options) -> Option<Self> {
        let grey = matches!(format.photometric, Photometric::Monochrome1 | Photometric::Monochrome2);
        let fits = format.stored >= 1 && format.stored <= format.allocated && format.high < format.allocated;
        if !grey || format.samples != 1 || !fits || format.high + 1 < format.stored || options.draws() {
            return None;
        }
        let bytes = match format.allocated {
            8 => 1,
            16 => 2,
            _ => return None,
        };
        let mut grey = description.grey(number, format.photometric, format.signed);
        if let Some(window) = options.window {
            grey.voi = Voi::Window(window);
        } else if let (Voi::Range, Some((low, high))) = (&grey.voi, options.range) {
            grey.voi = Voi::Between(low, high);
        }
        let table = grey.table(format.stored, format.signed)?;
        let shift = u32::from(format.high + 1 - format.stored);
        Some(Self { table, bytes, shift, mask: u16::MAX >> (16 - u32::from(format.stored)) })
    }

    /// Bytes of a stored pixel.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Brightness of stored pixels, one after the other.
    #[must_use]
    pub fn apply(&self, stored: &[u8]) -> Vec<u8> {
        let tone = |word: u16| self.table[usize::from((word >> self.shift) & self.mask)];
        match self.bytes {
            1 => stored.iter().map(|byte| tone(u16::from(*byte))).collect(),
            // Words whose bits all count need no masking.
            _ if self.mask == u16::MAX => {
                words(stored).map(|word| self.table[usize::from(u16::from_le_bytes(*word))]).collect()
            }
            _ => words(stored).map(|word| tone(u16::from_le_bytes(*word))).collect(),
        }
    }
}

fn words(stored: &[u8]) -> std::slice::Iter<'_, [u8; 2]> {
    stored.as_chunks::<2>().0.iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::native;
    use crate::render::tests::{describe, format, text};
    use crate::render::{Window, picture};

    #[test]
    fn stored_bytes_come_to_the_same_as_decoded_values() {
        let window = [text(0x0028_1050, "100"), text(0x0028_1051, "300"), text(0x0028_1052, "-20")].concat();
        for (photometric, bits, high, signed) in [
            ("MONOCHROME2 ", 12, 11, false),
            ("MONOCHROME1 ", 12, 15, false),
            ("MONOCHROME2 ", 16, 15, true),
            ("MONOCHROME2 ", 10, 9, true),
            ("MONOCHROME1 ", 8, 7, false),
        ] {
            let description = describe(&[format(photometric, 256, bits), window.clone()].concat());
            let format = PixelFormat { high, signed, ..description.format().expect("a format") };
            let size = usize::from(format.allocated / 8) * 256;
            let stored: Vec<u8> = (0..size).map(|at| u8::try_from(at * 37 % 251).expect("a byte")).collect();
            for options in
                [Options::default(), Options { window: Window::parse("9,77,sigmoid").ok(), ..Options::default() }]
            {
                let frame = native::decode(&stored, &format, false).expect("a frame");
                let long = picture(&frame, &description, 0, &options).expect("a picture");
                let tones = Tones::of(&description, &format, 0, &options).expect("a table");
                assert_eq!(tones.apply(&stored), long.bytes, "{format:?}");
            }
        }
    }

    #[test]
    fn what_follows_from_the_frame_has_no_table() {
        let description = describe(&format("MONOCHROME2 ", 4, 12));
        let own = description.format().expect("a format");
        assert!(Tones::of(&description, &own, 0, &Options::default()).is_none(), "no window");
        let range = Options { range: Some((0.0, 9.0)), ..Options::default() };
        assert!(Tones::of(&description, &own, 0, &range).is_some());
        assert!(Tones::of(&description, &own, 0, &Options { overlays: true, ..range.clone() }).is_none());
        let colour = PixelFormat { photometric: Photometric::Rgb, samples: 3, ..own.clone() };
        assert!(Tones::of(&description, &colour, 0, &range).is_none());
        assert!(Tones::of(&description, &PixelFormat { high: 2, ..own }, 0, &range).is_none());
    }
}
