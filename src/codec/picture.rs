//! Finished pictures as baseline JPEG (ISO 10918-1), strip by strip, so that several threads can share the work.
//!
//! Strips have a fixed height and are divided by restart markers: the bytes are the same whoever encodes them, on
//! however many threads. Works on pixels of our own making alone, and so in the server itself.

use crate::error::CodecError;
use crate::ffi::jpeg_write::{self, Colours};
use std::ops::Range;

/// Rows of a strip: whole blocks however colours are sampled.
const STRIP_ROWS: u32 = 128;
/// Pictures wider than this have lower strips: a restart interval counts no more than 65,535 blocks.
const WIDE: u32 = 16_384;
/// Rows of their strips.
const WIDE_STRIP_ROWS: u32 = 32;
/// Longest side of a JPEG image.
const SIDE_MAX: u32 = 65_535;
/// Bytes of a profile in one segment (ICC.1 section B.4).
const PROFILE_PART: usize = 65_519;
/// From this quality on, colours keep their full resolution.
const FINE: u8 = 75;

/// A picture that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jpeg {
    width: u32,
    height: u32,
    colour: bool,
    quality: u8,
}

impl Jpeg {
    /// A picture of one byte a pixel, or of three where it has colours.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for a side that JPEG cannot hold.
    pub fn new(width: u32, height: u32, colour: bool, quality: u8) -> Result<Self, CodecError> {
        match [width, height].iter().find(|side| !(1..=SIDE_MAX).contains(*side)) {
            Some(side) => Err(CodecError::unsupported(format!("a side of {side} pixels in a JPEG image"))),
            None => Ok(Self { width, height, colour, quality: quality.clamp(1, 100) }),
        }
    }

    /// The rows of every strip.
    #[must_use]
    pub fn strips(&self) -> Vec<Range<u32>> {
        let step = self.strip_rows();
        (0..self.height.div_ceil(step)).map(|at| at * step..self.height.min((at + 1) * step)).collect()
    }

    fn strip_rows(&self) -> u32 {
        if self.width > WIDE { WIDE_STRIP_ROWS } else { STRIP_ROWS }
    }

    /// Encodes the pixels of a strip.
    ///
    /// # Errors
    /// [`CodecError::Corrupt`] where the pixels are no whole rows.
    pub fn strip(&self, pixels: &[u8]) -> Result<Vec<u8>, CodecError> {
        let samples = if self.colour { 3 } else { 1 };
        let colours = if self.quality < FINE { Colours::Quarter } else { Colours::Full };
        jpeg_write::write(pixels, self.width, samples, self.quality, colours).map_err(CodecError::Corrupt)
    }

    /// The image of all strips in their order, with an ICC profile where there is one.
    ///
    /// # Errors
    /// [`CodecError::Corrupt`] where strips are not what [`Self::strip`] gives, or not all of them.
    pub fn join(&self, strips: &[Vec<u8>], profile: Option<&[u8]>) -> Result<Vec<u8>, CodecError> {
        let broken = || CodecError::corrupt("strips that do not fit together");
        let first = Parts::of(strips.first().ok_or_else(broken)?).ok_or_else(broken)?;
        if self.strips().len() != strips.len() {
            return Err(broken());
        }
        let mut out = Vec::with_capacity(strips.iter().map(Vec::len).sum::<usize>() + 1024);
        out.extend_from_slice(&[0xFF, 0xD8]);
        for (marker, segment) in &first.head {
            let at = out.len();
            out.extend_from_slice(segment);
            match marker {
                // The image is as high as all of its strips.
                0xC0 => {
                    let high = out.get_mut(at + 5..at + 7).ok_or_else(broken)?;
                    high.copy_from_slice(&u16::try_from(self.height).map_err(|_| broken())?.to_be_bytes());
                }
                0xE0 => profile.into_iter().for_each(|profile| write_profile(profile, &mut out)),
                _ => {}
            }
        }
        if strips.len() > 1 {
            let [high, low] = self.interval().ok_or_else(broken)?.to_be_bytes();
            out.extend_from_slice(&[0xFF, 0xDD, 0, 4, high, low]);
        }
        out.extend_from_slice(first.scan);
        for (number, strip) in strips.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(&[0xFF, 0xD0 + u8::try_from((number - 1) % 8).unwrap_or(0)]);
            }
            out.extend_from_slice(Parts::of(strip).ok_or_else(broken)?.data);
        }
        out.extend_from_slice(&[0xFF, 0xD9]);
        Ok(out)
    }

    /// Blocks, or groups of them, in a strip.
    fn interval(&self) -> Option<u16> {
        let side = if self.colour && self.quality < FINE { 16 } else { 8 };
        u16::try_from(self.width.div_ceil(side).checked_mul(self.strip_rows() / side)?).ok()
    }
}

/// The profile in segments of its own, numbered from 1.
fn write_profile(profile: &[u8], out: &mut Vec<u8>) {
    let parts = profile.chunks(PROFILE_PART);
    // One that needs more than 255 segments, 16 MB, is not carried.
    let Ok(count) = u8::try_from(parts.len()) else { return };
    for (number, part) in (1..=count).zip(parts) {
        let length = u16::try_from(part.len() + 16).unwrap_or(u16::MAX);
        out.extend_from_slice(&[0xFF, 0xE2]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(b"ICC_PROFILE\0");
        out.extend_from_slice(&[number, count]);
        out.extend_from_slice(part);
    }
}

/// One image taken apart.
struct Parts<'a> {
    /// Segments before the scan, with their markers.
    head: Vec<(u8, &'a [u8])>,
    /// The segment that begins the scan.
    scan: &'a [u8],
    /// Coded blocks.
    data: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(image: &'a [u8]) -> Option<Self> {
        let mut rest = image.strip_prefix(&[0xFF, 0xD8])?;
        let mut head = Vec::new();
        loop {
            let [0xFF, marker, high, low, ..] = rest else { return None };
            let length = usize::from(u16::from_be_bytes([*high, *low])) + 2;
            let (segment, behind) = rest.split_at_checked(length)?;
            if *marker == 0xDA {
                return Some(Self { head, scan: segment, data: behind.strip_suffix(&[0xFF, 0xD9])? });
            }
            head.push((*marker, segment));
            rest = behind;
        }
    }
}
