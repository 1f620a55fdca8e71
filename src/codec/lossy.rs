//! Compression that loses something: only ever encoded to where somebody names it, and within stated bounds.
//!
//! What was encoded is decoded again: its size and colours must be those of the frame, and the error within the bound of
//! its target. [`NEAR`] holds for every sample, twice as much at the ends of a signed range; the others for the root of the mean square of all errors, [`LEVELS`] of
//! the 256 for JPEG, a [`SHARE`]th of the range of the frame's own values for JPEG 2000.

use crate::colour;
use crate::error::CodecError;
use crate::ffi::jpeg_write::{self, Colours};
use crate::syntax::Target;
use dataset::pixels::{DecodedFrame, Photometric, Words};
use std::borrow::Cow;

/// Most that a sample of near-lossless JPEG-LS differs by.
pub(crate) const NEAR: u8 = 2;
/// How far the noise of JPEG 2000 is to be below the range of a frame's values.
pub(crate) const DECIBELS: u16 = 50;
/// The same for a frame that would differ too much: nothing that was coded is left out.
pub(crate) const DECIBELS_FINE: u16 = 0;
/// How finely baseline JPEG is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Quality 90, colours for every second column.
    Usual,
    /// Quality 98, colours for every pixel: for a frame that would differ too much.
    Fine,
}
/// Most error of baseline JPEG.
const LEVELS: u128 = 8;
/// The part of a frame's range that is the most error of JPEG 2000: 40 decibels.
const SHARE: u128 = 100;
/// Fewest bits of a sample: what has fewer is marks and maps more often than pictures.
const BITS_MIN: u8 = 8;

/// Whether a frame in cells of `allocated` bits can be compressed so (PS3.5 sections 8.2.1, 8.2.3 and 8.2.4).
pub(crate) fn suits(target: Target, frame: &DecodedFrame, allocated: u8) -> Result<(), CodecError> {
    if frame.photometric == Photometric::PaletteColor {
        return Err(CodecError::unsupported("places in a palette are not compressed with loss"));
    }
    if frame.stored < BITS_MIN {
        return Err(CodecError::unsupported(format!("samples of {} bits are not compressed with loss", frame.stored)));
    }
    if target == Target::JpegBaseline && (frame.stored, allocated, frame.signed) != (8, 8, false) {
        let sign = if frame.signed { "signed" } else { "unsigned" };
        let what = format!("{sign} samples of {} in {allocated} bits", frame.stored);
        return Err(CodecError::Unsupported(format!("JPEG Baseline holds unsigned samples of 8 bits, not {what}")));
    }
    Ok(())
}

/// Encodes a frame of 8 bits as baseline JPEG, colours as YBR_FULL_422 (PS3.5 Table 8.2.1-1), and says what the
/// photometric interpretation becomes.
pub(crate) fn jpeg(frame: &DecodedFrame, grain: Grain) -> Result<(Vec<u8>, Photometric), CodecError> {
    let coloured = matches!(frame.photometric, Photometric::Rgb | Photometric::YbrFull);
    let shown = match (frame.samples, frame.photometric) {
        (1, _) => Cow::Borrowed(frame),
        (3, Photometric::Rgb) => Cow::Borrowed(frame),
        (3, Photometric::YbrFull) => Cow::Owned(colour::to_rgb(frame.clone())),
        (samples, photometric) => {
            return Err(CodecError::unsupported(format!("{samples} samples in {photometric} as JPEG Baseline")));
        }
    };
    let Words::Eight(pixels) = &shown.words else {
        return Err(CodecError::unsupported("JPEG Baseline of more than 8 bits"));
    };
    let (quality, colours) = match grain {
        Grain::Usual => (90, Colours::Half),
        Grain::Fine => (98, Colours::Full),
    };
    let samples = u32::from(frame.samples);
    let bytes = jpeg_write::write(pixels, frame.columns, samples, quality, colours).map_err(CodecError::Unsupported)?;
    Ok((bytes, if coloured { Photometric::YbrFull422 } else { frame.photometric }))
}

/// Whether what was decoded again is close enough to the frame.
pub(crate) fn compare(target: Target, frame: &DecodedFrame, again: DecodedFrame) -> Result<(), CodecError> {
    let no = |what: &str| Err(CodecError::NotExact(what.to_owned()));
    let (frame, again) = if frame.photometric == again.photometric {
        (Cow::Borrowed(frame), again)
    } else {
        (Cow::Owned(colour::to_rgb(frame.clone())), colour::to_rgb(again))
    };
    let shape = |one: &DecodedFrame| {
        (one.rows, one.columns, one.samples, one.stored, one.signed, one.photometric, one.words.len())
    };
    if shape(&frame) != shape(&again) {
        return no("the size or the colours differ after decoding");
    }
    let sign = if frame.signed { 1i64 << (u32::from(frame.stored.max(1)) - 1) } else { 0 };
    let found = match (&frame.words, &again.words) {
        (Words::Eight(one), Words::Eight(other)) => Errors::of(one, other, sign),
        (Words::Sixteen(one), Words::Sixteen(other)) => Errors::of(one, other, sign),
        _ => return no("samples of another width after decoding"),
    };
    if found.is_within(target) { Ok(()) } else { no("samples differ by more than the bound after decoding") }
}

/// How far samples differ from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Errors {
    count: u128,
    largest: i64,
    /// Sum of the squares.
    squares: u128,
    low: i64,
    high: i64,
}

impl Errors {
    fn of<T: Copy + Into<i64>>(one: &[T], other: &[T], sign: i64) -> Self {
        let value = |word: T| {
            let word: i64 = word.into();
            if word & sign != 0 { word - 2 * sign } else { word }
        };
        let near = i64::from(NEAR);
        let mut found = Self { count: 0, largest: 0, squares: 0, low: i64::MAX, high: i64::MIN };
        for (one, other) in one.iter().zip(other) {
            let (value, error) = (value(*one), (value(*one) - value(*other)).abs());
            found.count += 1;
            // A signed value at an end is moved away from it first.
            let moved = sign > 0 && (value < near - sign || value >= sign - near);
            found.largest = found.largest.max(if moved { error - near } else { error });
            found.squares += u128::from((error * error).unsigned_abs());
            found.low = found.low.min(value);
            found.high = found.high.max(value);
        }
        found
    }

    /// Whether the error is within the bound of a target.
    fn is_within(self, target: Target) -> bool {
        match target {
            Target::JpegLsNear => self.largest <= i64::from(NEAR),
            Target::JpegBaseline => self.squares <= LEVELS * LEVELS * self.count,
            Target::Jpeg2000Lossy => {
                let range = u128::from(self.high.saturating_sub(self.low).unsigned_abs());
                // Rounding alone may come to one.
                let most = (range * range).max(SHARE * SHARE);
                self.squares.saturating_mul(SHARE * SHARE) <= most.saturating_mul(self.count)
            }
            _ => self.squares == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_at_its_edge_and_not_beyond() {
        let within = |target: Target, one: &[u16], other: &[u16]| Errors::of(one, other, 0).is_within(target);
        assert!(within(Target::JpegLsNear, &[10, 0, 65_535], &[12, 2, 65_533]));
        assert!(!within(Target::JpegLsNear, &[10, 0], &[10, 3]));
        assert!(within(Target::JpegBaseline, &[100, 100], &[108, 92]));
        assert!(!within(Target::JpegBaseline, &[100, 100], &[108, 91]));
        // A hundredth of the range of 1,000.
        assert!(within(Target::Jpeg2000Lossy, &[0, 1000], &[10, 990]));
        assert!(!within(Target::Jpeg2000Lossy, &[0, 1000], &[11, 990]));
        assert!(within(Target::Jpeg2000Lossy, &[7, 7], &[6, 8]), "rounding of a frame of one value");
        assert!(!within(Target::Jpeg2000, &[7, 7], &[7, 8]));
    }

    #[test]
    fn the_ends_of_a_signed_range_may_differ_by_twice_as_much() {
        let within = |one: u16, other: u16| Errors::of(&[one], &[other], 0x8000).is_within(Target::JpegLsNear);
        assert!(within(0x8000, 0x8004) && within(0x7FFF, 0x7FFB) && within(0x8002, 0x8004));
        assert!(!within(0x8000, 0x8005) && !within(0x8002, 0x8005) && !within(0x7FFF, 0x8000));
    }

    #[test]
    fn signs_are_spread_before_values_are_compared() {
        // -1 and 0 of 12 bits are neighbours, 2,047 and -2,048 are not.
        assert_eq!(Errors::of(&[0xFFF_u16], &[0], 0x800).squares, 1);
        assert_eq!(Errors::of(&[0x7FF_u16], &[0x800], 0x800).squares, 4095 * 4095);
    }
}
