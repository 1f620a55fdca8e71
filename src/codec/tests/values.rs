//! Native cells and RLE: bits, planes, words and padding, against values written by hand.

use super::{coloured, grey};
use crate::{CodecError, Limits, decode, native_bytes};
use dataset::pixels::{Photometric, PixelFormat, Words};

const NATIVE: &str = "1.2.840.10008.1.2.1";
const RLE: &str = "1.2.840.10008.1.2.5";

fn words(format: &PixelFormat, bytes: &[u8]) -> Words {
    decode(NATIVE, format, bytes, &Limits::default()).expect("native").words
}

#[test]
fn stored_bits_are_cut_out_of_their_cells() {
    let mut format = grey(1, 2, 16, 12, false);
    assert_eq!(words(&format, &[0x34, 0xF2, 0xFF, 0x0F]), Words::Sixteen(vec![0x0234, 0x0FFF]));
    format.high = 15;
    assert_eq!(words(&format, &[0x34, 0xF2, 0xFF, 0x0F]), Words::Sixteen(vec![0x0F23, 0x00FF]));
    format = grey(1, 2, 16, 8, true);
    assert_eq!(words(&format, &[0x80, 0xFF, 0x7F, 0x00]), Words::Eight(vec![0x80, 0x7F]));
    format = grey(1, 1, 32, 32, false);
    assert_eq!(words(&format, &[1, 2, 3, 4]), Words::ThirtyTwo(vec![0x0403_0201]));
    format = grey(2, 5, 1, 1, false);
    assert_eq!(words(&format, &[0b0110_0101, 0b10]), Words::Eight(vec![1, 0, 1, 0, 0, 1, 1, 0, 0, 1]));
}

#[test]
fn planes_and_shared_colours_are_given_by_pixel() {
    let mut format = coloured(1, 2, Photometric::Rgb);
    assert_eq!(words(&format, &[1, 2, 3, 4, 5, 6]), Words::Eight(vec![1, 2, 3, 4, 5, 6]));
    format.planar = true;
    assert_eq!(words(&format, &[1, 4, 2, 5, 3, 6]), Words::Eight(vec![1, 2, 3, 4, 5, 6]));
    let shared = coloured(1, 2, Photometric::YbrFull422);
    let frame = decode(NATIVE, &shared, &[10, 20, 30, 40], &Limits::default()).expect("4:2:2");
    assert_eq!((frame.photometric, frame.words), (Photometric::YbrFull, Words::Eight(vec![10, 30, 40, 20, 30, 40])));
    let whole = decode(NATIVE, &shared, &[10, 30, 40, 20, 30, 40], &Limits::default()).expect("4:4:4");
    assert_eq!(whole.photometric, Photometric::YbrFull);
}

#[test]
fn what_the_attributes_cannot_mean_is_refused() {
    let refused =
        |format: &PixelFormat, bytes: &[u8]| decode(NATIVE, format, bytes, &Limits::default()).expect_err("refused");
    assert!(matches!(refused(&grey(2, 2, 16, 16, false), &[0; 7]), CodecError::Corrupt(_)));
    assert!(matches!(refused(&grey(0, 2, 16, 16, false), &[]), CodecError::Unsupported(_)));
    assert!(matches!(refused(&grey(1, 1, 64, 32, false), &[0; 8]), CodecError::Unsupported(_)));
    let mut odd = grey(1, 1, 16, 12, false);
    odd.high = 10;
    assert!(matches!(refused(&odd, &[0; 2]), CodecError::Unsupported(_)));
    let few = Limits { frame_bytes: 7, ..Limits::default() };
    let error = decode(NATIVE, &grey(2, 2, 16, 16, false), &[0; 8], &few).expect_err("too large");
    assert!(matches!(error, CodecError::Limit(_)));
}

#[test]
fn native_cells_are_written_as_they_are_read() {
    let signed = grey(1, 3, 16, 12, true);
    let bytes = [0x34, 0x02, 0xFF, 0xFF, 0x00, 0xF8];
    let frame = decode(NATIVE, &signed, &bytes, &Limits::default()).expect("native");
    assert_eq!(frame.words, Words::Sixteen(vec![0x234, 0xFFF, 0x800]));
    assert_eq!(native_bytes(&frame, 16, &Limits::default()).expect("cells"), bytes);
    assert!(native_bytes(&frame, 8, &Limits::default()).is_err());
    let bits = decode(NATIVE, &grey(3, 3, 1, 1, false), &[0b1010_1010, 1], &Limits::default()).expect("bits");
    assert_eq!(native_bytes(&bits, 1, &Limits::default()).expect("cells"), [0b1010_1010, 1]);
}

/// The example of PS3.5 G.3: literals, a repeat, a byte of nothing; two segments, the high bytes first.
#[test]
fn rle_is_read_by_the_letter() {
    let mut frame = vec![0u8; 64];
    for (place, value) in [(0, 2u32), (4, 64), (8, 70)] {
        frame.splice(place..place + 4, value.to_le_bytes());
    }
    frame.extend([128, 1, 0x01, 0x02, 255, 0x03]); // nothing, two literals, one value twice
    frame.extend([253, 0xAA, 0, 0]); // one value four times, padding
    let found = decode(RLE, &grey(2, 2, 16, 16, false), &frame, &Limits::default()).expect("RLE");
    assert_eq!(found.words, Words::Sixteen(vec![0x01AA, 0x02AA, 0x03AA, 0x03AA]));
    let error = decode(RLE, &grey(2, 2, 8, 8, false), &frame, &Limits::default()).expect_err("one segment too many");
    assert!(matches!(error, CodecError::Disagrees(_)));
    let error = decode(RLE, &grey(3, 2, 16, 16, false), &frame, &Limits::default()).expect_err("too short");
    assert!(matches!(error, CodecError::Corrupt(_)));
}

#[test]
fn colours_turn_as_the_jpeg_library_turns_them() {
    let turned = |y, cb, cr| crate::colour::rgb([y, cb, cr]);
    assert_eq!(turned(0, 128, 128), [0, 0, 0]);
    assert_eq!(turned(255, 128, 128), [255, 255, 255]);
    assert_eq!(turned(76, 85, 255), [254, 0, 0]);
    assert_eq!(turned(149, 43, 21), [0, 255, 0]);
    assert_eq!(turned(29, 255, 107), [0, 0, 254]);
}

#[test]
fn jpeg_ls_may_be_padded_by_anything() {
    let frame = super::made(&grey(9, 9, 8, 8, false), super::Look::Smooth, &mut fastrand::Rng::with_seed(2));
    let target = crate::Target::JpegLs;
    let mut bytes = crate::verified(target, &frame, 8, &Limits::default()).expect("encoded").bytes;
    for padding in [0x00, 0xFF] {
        bytes.push(padding);
        let again = decode(target.uid(), &grey(9, 9, 8, 8, false), &bytes, &Limits::default());
        assert_eq!(again.expect("decoded").words, frame.words);
    }
}

#[test]
fn lossy_values_beyond_their_bits_are_held_at_the_end() {
    let mut values = [-3, 0, 255, 259];
    crate::jpeg2000::hold(&mut values, 8, false);
    assert_eq!(values, [0, 0, 255, 255]);
    let mut values = [-130, -128, 127, 140];
    crate::jpeg2000::hold(&mut values, 8, true);
    assert_eq!(values, [-128, -128, 127, 127]);
}
