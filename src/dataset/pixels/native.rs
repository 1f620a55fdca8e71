//! Uncompressed pixel data (PS3.5 section 8.1.1): words, bits and planes put into [`DecodedFrame`].
//!
//! Takes the bytes of one frame that starts at a byte; [`crate::frames::align`] brings frames of single bits there.
//! Deliberately without a look at Value Representations: where 8-bit samples lie in big endian words of 16 bits (OW),
//! the caller swaps them first.
//! Float and Double Float Pixel Data are no stored values in this sense and are not read here.

#[cfg(test)]
mod tests;

use super::{DecodedFrame, Photometric, PixelFormat, Words};

/// Why native bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// The description contradicts itself or names what native data cannot be.
    #[error(
        "pixels of {allocated} bits, {stored} of them stored up to bit {high}, in {samples} samples of {photometric}, cannot be read"
    )]
    Format {
        /// Bits Allocated.
        allocated: u8,
        /// Bits Stored.
        stored: u8,
        /// High Bit.
        high: u8,
        /// Samples per Pixel.
        samples: u8,
        /// Photometric Interpretation.
        photometric: Photometric,
    },
    /// There are fewer bytes than the frame needs.
    #[error("a frame of {need} bytes has only {have}")]
    Short {
        /// Bytes a frame takes.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
}

/// Reads one frame.
///
/// Bits above High Bit and below the stored ones are masked away, whatever old overlays they hold.
/// YBR_FULL_422 is spread to one pair of colour differences for every pixel and becomes YBR_FULL.
/// Bytes behind the frame are left alone.
///
/// # Errors
/// [`NativeError::Format`] for bits that do not fit each other or are more than 32;
/// [`NativeError::Short`] where bytes are missing.
pub fn decode(bytes: &[u8], format: &PixelFormat, big_endian: bool) -> Result<DecodedFrame, NativeError> {
    let plan = Plan::of(format, bytes.len())?;
    let bytes = bytes.get(..plan.bytes).ok_or(NativeError::Short { need: plan.bytes, have: bytes.len() })?;
    let words = match plan.stored {
        0..=8 => Words::Eight(plan.read(bytes, big_endian, low_byte)),
        9..=16 => Words::Sixteen(plan.read(bytes, big_endian, low_half)),
        _ => Words::ThirtyTwo(plan.read(bytes, big_endian, |word| word)),
    };
    let photometric = if plan.shared_colour { Photometric::YbrFull } else { format.photometric };
    let (rows, columns) = (u32::from(format.rows), u32::from(format.columns));
    let (samples, stored, signed) = (format.samples, plan.stored, format.signed);
    Ok(DecodedFrame { rows, columns, samples, stored, signed, photometric, words })
}

fn low_byte(word: u32) -> u8 {
    let [low, ..] = word.to_le_bytes();
    low
}

fn low_half(word: u32) -> u16 {
    let [low, high, ..] = word.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// How the bytes of a frame are walked.
struct Plan {
    /// Pixels of the frame.
    pixels: usize,
    samples: usize,
    allocated: u32,
    stored: u8,
    /// Bits below the stored ones.
    shift: u32,
    mask: u32,
    planar: bool,
    /// Two pixels share one pair of colour differences.
    shared_colour: bool,
    /// Bytes of the frame.
    bytes: usize,
}

impl Plan {
    fn of(format: &PixelFormat, have: usize) -> Result<Self, NativeError> {
        let PixelFormat { allocated, stored, high, samples, photometric, .. } = *format;
        let wrong = || NativeError::Format { allocated, stored, high, samples, photometric };
        let fits = (1..=32).contains(&allocated) && stored >= 1 && stored <= allocated && high < allocated;
        let kind = photometric.is_single() == (samples == 1) && samples > 0;
        if !fits || high + 1 < stored || !kind || photometric == Photometric::YbrPartial420 {
            return Err(wrong());
        }
        let pixels = usize::from(format.rows).checked_mul(usize::from(format.columns)).filter(|count| *count > 0);
        let pixels = pixels.ok_or_else(wrong)?;
        let bytes_of = |values: usize| values.checked_mul(usize::from(allocated)).map(|bits| bits.div_ceil(8));
        let full = pixels.checked_mul(usize::from(samples)).and_then(bytes_of).ok_or_else(wrong)?;
        // Some write all three samples although they name a shared colour space: the length tells.
        let shared_colour = photometric == Photometric::YbrFull422 && samples == 3 && have < full;
        if shared_colour && pixels % 2 == 1 {
            return Err(wrong());
        }
        let bytes = if shared_colour { bytes_of(pixels * 2).ok_or_else(wrong)? } else { full };
        Ok(Self {
            pixels,
            samples: usize::from(samples),
            allocated: u32::from(allocated),
            stored,
            shift: u32::from(high + 1 - stored),
            mask: u32::MAX >> (32 - u32::from(stored)),
            planar: format.planar && samples > 1 && !shared_colour,
            shared_colour,
            bytes,
        })
    }

    /// Every sample in the order of [`DecodedFrame`].
    fn read<T: Copy + Default>(&self, bytes: &[u8], big_endian: bool, narrow: impl Fn(u32) -> T) -> Vec<T> {
        let stored = |word: u32| narrow((word >> self.shift) & self.mask);
        let values: Vec<T> = match (self.allocated, big_endian) {
            (8, _) => bytes.iter().map(|byte| stored(u32::from(*byte))).collect(),
            (16, false) => whole(bytes, |pair: [u8; 2]| stored(u32::from(u16::from_le_bytes(pair)))),
            (16, true) => whole(bytes, |pair: [u8; 2]| stored(u32::from(u16::from_be_bytes(pair)))),
            (24, false) => whole(bytes, |[a, b, c]: [u8; 3]| stored(u32::from_le_bytes([a, b, c, 0]))),
            (24, true) => whole(bytes, |[a, b, c]: [u8; 3]| stored(u32::from_be_bytes([0, a, b, c]))),
            (32, false) => whole(bytes, |four| stored(u32::from_le_bytes(four))),
            (32, true) => whole(bytes, |four| stored(u32::from_be_bytes(four))),
            _ => packed(bytes, self.allocated, self.values(), stored),
        };
        if self.shared_colour {
            return spread(&values);
        }
        if self.planar { interleave(&values, self.pixels, self.samples) } else { values }
    }

    fn values(&self) -> usize {
        if self.shared_colour { self.pixels * 2 } else { self.pixels * self.samples }
    }
}

/// Samples that take whole bytes.
fn whole<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| read(*word)).collect()
}

/// Samples side by side in a stream of bits, the least significant of each byte first (PS3.5 section 8.1.1, Annex D).
fn packed<T>(bytes: &[u8], width: u32, count: usize, read: impl Fn(u32) -> T) -> Vec<T> {
    let mask = (1_u64 << width) - 1;
    let (mut waiting, mut have) = (0_u64, 0_u32);
    let mut bytes = bytes.iter();
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        while have < width {
            waiting |= u64::from(bytes.next().copied().unwrap_or(0)) << have;
            have += 8;
        }
        values.push(read(u32::try_from(waiting & mask).unwrap_or(0)));
        waiting >>= width;
        have -= width;
    }
    values
}

/// `Y Y Cb Cr` for two pixels as `Y Cb Cr` for each (PS3.3 C.7.6.3.1.2).
fn spread<T: Copy>(values: &[T]) -> Vec<T> {
    let (pairs, _) = values.as_chunks::<4>();
    pairs.iter().flat_map(|[first, second, blue, red]| [*first, *blue, *red, *second, *blue, *red]).collect()
}

/// Plane after plane as pixel after pixel.
fn interleave<T: Copy + Default>(values: &[T], pixels: usize, samples: usize) -> Vec<T> {
    let mut out = vec![T::default(); values.len()];
    for (sample, plane) in values.chunks_exact(pixels).enumerate() {
        for (to, value) in out.iter_mut().skip(sample).step_by(samples).zip(plane) {
            *to = *value;
        }
    }
    out
}
