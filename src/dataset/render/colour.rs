//! Colour pictures: red, green and blue bytes from whatever a decoder left (PS3.3 C.7.6.3.1.2).
//!
//! Windows do not apply to colour (PS3.3 C.11.2.1.2 speaks of grey values only).

use crate::pixels::{DecodedFrame, Photometric, Words};

/// Red, green and blue of every pixel; nothing for colour spaces that are not displayed.
pub(crate) fn apply(frame: &DecodedFrame) -> Option<Vec<u8>> {
    if frame.samples != 3 {
        return None;
    }
    let bytes = to_bytes(frame);
    match frame.photometric {
        Photometric::Rgb => Some(bytes),
        Photometric::YbrFull | Photometric::YbrFull422 | Photometric::YbrIct => Some(convert(&bytes, full)),
        Photometric::YbrRct => Some(convert(&bytes, reversible)),
        Photometric::YbrPartial420 => Some(convert(&bytes, partial)),
        Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::PaletteColor => None,
    }
}

/// Samples as bytes: the upper eight bits of more, the whole range of fewer.
fn to_bytes(frame: &DecodedFrame) -> Vec<u8> {
    let stored = u32::from(frame.stored.clamp(1, 32));
    let narrow = |word: u32| {
        // Signed colour is not allowed, yet found: its middle is zero.
        let word = if frame.signed { word ^ (1 << (stored - 1)) } else { word };
        let byte = match stored {
            8 => word,
            9.. => word >> (stored - 8),
            _ => word * 255 / ((1 << stored) - 1),
        };
        u8::try_from(byte).unwrap_or(u8::MAX)
    };
    match &frame.words {
        Words::Eight(words) if stored == 8 && !frame.signed => words.clone(),
        Words::Eight(words) => words.iter().map(|word| narrow(u32::from(*word))).collect(),
        Words::Sixteen(words) => words.iter().map(|word| narrow(u32::from(*word))).collect(),
        Words::ThirtyTwo(words) => words.iter().map(|word| narrow(*word)).collect(),
    }
}

fn convert(bytes: &[u8], pixel: impl Fn(i32, i32, i32) -> [i32; 3]) -> Vec<u8> {
    let held = |value: i32| u8::try_from(value.clamp(0, 255)).unwrap_or(0);
    let (pixels, _) = bytes.as_chunks::<3>();
    pixels.iter().flat_map(|[y, b, r]| pixel(i32::from(*y), i32::from(*b), i32::from(*r)).map(held)).collect()
}

/// Sixteen bits behind the point, rounded.
fn fixed(value: i32) -> i32 {
    (value + (1 << 15)) >> 16
}

/// ITU-R BT.601 of full range: R = Y + 1.402 Cr, G = Y - 0.344136 Cb - 0.714136 Cr, B = Y + 1.772 Cb.
fn full(y: i32, blue: i32, red: i32) -> [i32; 3] {
    let (blue, red) = (blue - 128, red - 128);
    [y + fixed(91_881 * red), y - fixed(22_554 * blue + 46_802 * red), y + fixed(116_130 * blue)]
}

/// The reversible transformation of JPEG 2000 around a middle of 128.
fn reversible(y: i32, blue: i32, red: i32) -> [i32; 3] {
    let (blue, red) = (blue - 128, red - 128);
    let green = y - ((blue + red) >> 2);
    [red + green, green, blue + green]
}

/// ITU-R BT.601 of reduced range: luminance from 16 to 235, colour differences from 16 to 240.
fn partial(y: i32, blue: i32, red: i32) -> [i32; 3] {
    let (y, blue, red) = (76_309 * (y - 16), blue - 128, red - 128);
    [fixed(y + 104_597 * red), fixed(y - 25_675 * blue - 53_279 * red), fixed(y + 132_201 * blue)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(photometric: Photometric, words: Words, stored: u8) -> DecodedFrame {
        let columns = u32::try_from(words.len() / 3).expect("small");
        DecodedFrame { rows: 1, columns, samples: 3, stored, signed: false, photometric, words }
    }

    #[test]
    fn full_range_luminance_becomes_red_green_and_blue() {
        let words = Words::Eight(vec![76, 85, 255, 150, 44, 21, 29, 255, 107, 255, 128, 128, 0, 128, 128]);
        let rgb = apply(&frame(Photometric::YbrFull, words, 8)).expect("a picture");
        assert_eq!(rgb, [254, 0, 0, 0, 255, 1, 0, 0, 254, 255, 255, 255, 0, 0, 0]);
    }

    #[test]
    fn reduced_range_reaches_black_and_white() {
        let words = Words::Eight(vec![16, 128, 128, 235, 128, 128]);
        let rgb = apply(&frame(Photometric::YbrPartial420, words, 8)).expect("a picture");
        assert_eq!(rgb, [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn more_and_fewer_bits_become_bytes() {
        let rgb = apply(&frame(Photometric::Rgb, Words::Sixteen(vec![0xFFFF, 0x8000, 0x00FF]), 16));
        assert_eq!(rgb, Some(vec![255, 128, 0]));
        let rgb = apply(&frame(Photometric::Rgb, Words::ThirtyTwo(vec![u32::MAX, 0, 0x0100_0000]), 32));
        assert_eq!(rgb, Some(vec![255, 0, 1]));
        assert_eq!(apply(&frame(Photometric::Rgb, Words::Eight(vec![15, 0, 1]), 4)), Some(vec![255, 0, 17]));
        assert_eq!(apply(&frame(Photometric::Monochrome2, Words::Eight(vec![0, 0, 0]), 8)), None);
    }
}
