//! Luminance and colour differences to red, green and blue (ITU-R BT.601 full range, PS3.3 C.7.6.3.1.2).
//!
//! The same rounding as the JPEG library's own conversion, so that results equal those of common tools bit for bit.

use dataset::pixels::{DecodedFrame, Photometric, Words};

/// Fraction bits of the constants.
const BITS: u32 = 16;
const HALF: i32 = 1 << (BITS - 1);
/// 1.40200, 1.77200, 0.71414 and 0.34414 in units of 2^-16.
const RED: i32 = 91_881;
const BLUE: i32 = 116_130;
const GREEN_RED: i32 = 46_802;
const GREEN_BLUE: i32 = 22_554;

/// Red, green and blue of one pixel of 8 bits.
#[must_use]
pub fn rgb([luminance, blue, red]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(luminance), i32::from(blue) - 128, i32::from(red) - 128);
    let clamp = |value: i32| u8::try_from(value.clamp(0, 255)).unwrap_or(0);
    [
        clamp(y + ((RED * cr + HALF) >> BITS)),
        clamp(y + ((-GREEN_BLUE * cb - GREEN_RED * cr + HALF) >> BITS)),
        clamp(y + ((BLUE * cb + HALF) >> BITS)),
    ]
}

/// The frame in red, green and blue where it is in luminance and colour differences of 8 bits; else as it is.
#[must_use]
pub fn to_rgb(mut frame: DecodedFrame) -> DecodedFrame {
    let differences = matches!(frame.photometric, Photometric::YbrFull | Photometric::YbrFull422);
    if differences
        && frame.samples == 3
        && let Words::Eight(values) = &mut frame.words
    {
        values.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = rgb(*pixel));
        frame.photometric = Photometric::Rgb;
    }
    frame
}
