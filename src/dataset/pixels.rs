//! One decoded frame: stored values as a decoder gives them, before any look-up table is applied.
//!
//! Meant as the one form that every decoder produces and that rendering, transcoding and comparisons read.
//! Deliberately without meaning: rescale, windows and colours belong to rendering, compression to the codecs.

pub mod native;

use std::fmt;

/// How sample values become a picture: Photometric Interpretation, PS3.3 C.7.6.3.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Photometric {
    /// Smallest value is white.
    Monochrome1,
    /// Smallest value is black.
    Monochrome2,
    /// One sample that is an index into three look-up tables.
    PaletteColor,
    /// Red, green, blue.
    Rgb,
    /// Luminance and two colour differences, full range, one of each for every pixel.
    YbrFull,
    /// As [`Self::YbrFull`] with colour differences for every second column.
    YbrFull422,
    /// Reduced range with colour differences for every second column and row (video).
    YbrPartial420,
    /// Irreversible colour transformation of JPEG 2000.
    YbrIct,
    /// Reversible colour transformation of JPEG 2000.
    YbrRct,
}

impl Photometric {
    /// Every defined term with its value.
    const TERMS: [(&'static str, Self); 9] = [
        ("MONOCHROME1", Self::Monochrome1),
        ("MONOCHROME2", Self::Monochrome2),
        ("PALETTE COLOR", Self::PaletteColor),
        ("RGB", Self::Rgb),
        ("YBR_FULL", Self::YbrFull),
        ("YBR_FULL_422", Self::YbrFull422),
        ("YBR_PARTIAL_420", Self::YbrPartial420),
        ("YBR_ICT", Self::YbrIct),
        ("YBR_RCT", Self::YbrRct),
    ];

    /// The value of a defined term, padding ignored; nothing for retired (HSV, ARGB, CMYK) and unknown ones.
    #[must_use]
    pub fn parse(term: &str) -> Option<Self> {
        let term = term.trim_matches([' ', '\0']);
        Self::TERMS.iter().find(|(known, _)| *known == term).map(|(_, value)| *value)
    }

    /// The defined term.
    #[must_use]
    pub fn term(self) -> &'static str {
        Self::TERMS.iter().find(|(_, value)| *value == self).map_or("", |(term, _)| *term)
    }

    /// Whether one sample stands for one pixel.
    #[must_use]
    pub fn is_single(self) -> bool {
        matches!(self, Self::Monochrome1 | Self::Monochrome2 | Self::PaletteColor)
    }
}

impl fmt::Display for Photometric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.term())
    }
}

/// How the pixels of an instance are described: the Image Pixel module, PS3.3 C.7.6.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelFormat {
    /// Height in pixels (0028,0010).
    pub rows: u16,
    /// Width in pixels (0028,0011).
    pub columns: u16,
    /// Samples of a pixel (0028,0002): 1, 3, rarely 4.
    pub samples: u8,
    /// Bits a sample takes in native data (0028,0100): 1, 8, 16, 32.
    pub allocated: u8,
    /// Bits of a sample that mean something (0028,0101).
    pub stored: u8,
    /// The highest of those bits (0028,0102); anything above is masked away.
    pub high: u8,
    /// Whether samples are two's complement (0028,0103).
    pub signed: bool,
    /// Whether native samples lie by plane instead of by pixel (0028,0006).
    pub planar: bool,
    /// What samples mean (0028,0004).
    pub photometric: Photometric,
}

/// Stored values of a frame by the narrowest word that holds them, row by row, samples of a pixel together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// Up to 8 bits.
    Eight(Vec<u8>),
    /// 9 to 16 bits.
    Sixteen(Vec<u16>),
    /// 17 to 32 bits.
    ThirtyTwo(Vec<u32>),
}

impl Words {
    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Eight(words) => words.len(),
            Self::Sixteen(words) => words.len(),
            Self::ThirtyTwo(words) => words.len(),
        }
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One decoded frame.
///
/// Words hold the stored bits right-aligned and nothing above them; `signed` says how they are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedFrame {
    /// Height in pixels.
    pub rows: u32,
    /// Width in pixels.
    pub columns: u32,
    /// Samples of a pixel.
    pub samples: u8,
    /// Bits of a sample that mean something.
    pub stored: u8,
    /// Whether samples are two's complement of `stored` bits.
    pub signed: bool,
    /// What samples mean now: a decoder that undid a colour transformation says RGB here.
    pub photometric: Photometric,
    /// `rows × columns × samples` values.
    pub words: Words,
}

impl DecodedFrame {
    /// A sample as a number, sign applied; nothing outside of the frame.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<i64> {
        let word = match &self.words {
            Words::Eight(words) => u32::from(*words.get(index)?),
            Words::Sixteen(words) => u32::from(*words.get(index)?),
            Words::ThirtyTwo(words) => *words.get(index)?,
        };
        let sign = 1_i64 << (u32::from(self.stored.clamp(1, 32)) - 1);
        let value = i64::from(word);
        Some(if self.signed && value & sign != 0 { value - 2 * sign } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_with_padding_and_written_plain() {
        for (term, value) in Photometric::TERMS {
            assert_eq!(Photometric::parse(&format!("{term} ")), Some(value));
            assert_eq!(value.to_string(), term);
        }
        assert_eq!(Photometric::parse("HSV"), None);
    }

    #[test]
    fn signs_are_applied_at_the_width_of_the_stored_bits() {
        let words = Words::Sixteen(vec![0x0fff, 0x0800, 0x07ff, 0]);
        let mut frame = DecodedFrame {
            rows: 2,
            columns: 2,
            samples: 1,
            stored: 12,
            signed: true,
            photometric: Photometric::Monochrome2,
            words,
        };
        assert_eq!(
            (0..5).map(|at| frame.value(at)).collect::<Vec<_>>(),
            [Some(-1), Some(-2048), Some(2047), Some(0), None]
        );
        frame.signed = false;
        assert_eq!(frame.value(0), Some(4095));
        assert_eq!(frame.words.len(), 4);
        assert!(!frame.words.is_empty());
    }
}
