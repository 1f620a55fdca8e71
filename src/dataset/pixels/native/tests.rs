//! Native frames of every width, order and colour against values worked out by hand.

use super::*;

fn grey(columns: u16, allocated: u8, stored: u8, high: u8) -> PixelFormat {
    let photometric = Photometric::Monochrome2;
    PixelFormat { rows: 1, columns, samples: 1, allocated, stored, high, signed: false, planar: false, photometric }
}

fn colour(rows: u16, columns: u16, photometric: Photometric, planar: bool) -> PixelFormat {
    PixelFormat { rows, columns, samples: 3, planar, photometric, ..grey(1, 8, 8, 7) }
}

#[test]
fn bits_above_and_below_the_stored_ones_are_masked() {
    let frame = decode(&[0x34, 0xF2, 0xFF, 0xFF], &grey(2, 16, 12, 11), false).expect("a frame");
    assert_eq!(frame.words, Words::Sixteen(vec![0x234, 0xFFF]));
    let frame = decode(&[0x34, 0xF2], &grey(1, 16, 12, 15), false).expect("a frame");
    assert_eq!(frame.words, Words::Sixteen(vec![0xF23]));
    let frame = decode(&[0x34, 0xF2], &grey(1, 16, 8, 7), false).expect("a frame");
    assert_eq!(frame.words, Words::Eight(vec![0x34]), "eight bits in sixteen are a byte");
}

#[test]
fn both_byte_orders_give_the_same_values() {
    for (allocated, little) in [(16u8, vec![1u8, 2, 3, 4]), (24, vec![1, 2, 3]), (32, vec![1, 2, 3, 4])] {
        let width = usize::from(allocated / 8);
        let mut big = little.clone();
        big.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        let columns = u16::try_from(little.len() / width).expect("small");
        let format = grey(columns, allocated, allocated, allocated - 1);
        assert_eq!(decode(&little, &format, false), decode(&big, &format, true), "{allocated}");
    }
    let frame = decode(&[1, 2, 3, 0x84], &grey(1, 32, 32, 31), false).expect("a frame");
    assert_eq!(frame.words, Words::ThirtyTwo(vec![0x8403_0201]));
}

#[test]
fn signs_are_those_of_the_stored_bits() {
    let format = PixelFormat { signed: true, ..grey(2, 16, 12, 11) };
    let frame = decode(&[0xFF, 0x0F, 0x00, 0xF8], &format, false).expect("a frame");
    assert_eq!((frame.value(0), frame.value(1)), (Some(-1), Some(-2048)));
}

#[test]
fn single_bits_come_from_the_low_end_of_each_byte() {
    let frame = decode(&[0b0000_0101, 0b1], &grey(9, 1, 1, 0), false).expect("a frame");
    assert_eq!(frame.words, Words::Eight(vec![1, 0, 1, 0, 0, 0, 0, 0, 1]));
    let frame = decode(&[0x21, 0x43, 0x65], &grey(2, 12, 12, 11), false).expect("a frame");
    assert_eq!(frame.words, Words::Sixteen(vec![0x321, 0x654]));
}

#[test]
fn planes_are_woven_into_pixels() {
    let format = colour(1, 2, Photometric::Rgb, true);
    let frame = decode(&[1, 2, 3, 4, 5, 6], &format, false).expect("a frame");
    assert_eq!(frame.words, Words::Eight(vec![1, 3, 5, 2, 4, 6]));
    let format = PixelFormat { planar: false, ..format };
    let frame = decode(&[1, 2, 3, 4, 5, 6], &format, false).expect("a frame");
    assert_eq!(frame.words, Words::Eight(vec![1, 2, 3, 4, 5, 6]));
}

#[test]
fn shared_colour_differences_are_spread() {
    let format = colour(1, 2, Photometric::YbrFull422, false);
    let frame = decode(&[10, 20, 30, 40], &format, false).expect("a frame");
    assert_eq!(frame.words, Words::Eight(vec![10, 30, 40, 20, 30, 40]));
    assert_eq!(frame.photometric, Photometric::YbrFull);
    // All three samples are there: they are taken as they are.
    let frame = decode(&[1, 2, 3, 4, 5, 6], &format, false).expect("a frame");
    assert_eq!(frame.words, Words::Eight(vec![1, 2, 3, 4, 5, 6]));
    assert_eq!(frame.photometric, Photometric::YbrFull422);
}

#[test]
fn what_cannot_be_is_refused_and_never_read_beyond() {
    let short = NativeError::Short { need: 4, have: 3 };
    assert_eq!(decode(&[0; 3], &grey(2, 16, 16, 15), false), Err(short));
    for (allocated, stored, high) in [(0, 0, 0), (64, 64, 63), (16, 17, 15), (16, 0, 0), (16, 12, 10), (8, 8, 8)] {
        let wrong = decode(&[0; 64], &grey(1, allocated, stored, high), false);
        assert!(matches!(wrong, Err(NativeError::Format { .. })), "{allocated} {stored} {high}");
    }
    let wrong = [
        PixelFormat { samples: 3, ..grey(1, 8, 8, 7) },
        PixelFormat { samples: 1, ..colour(1, 1, Photometric::Rgb, false) },
        PixelFormat { samples: 0, ..grey(1, 8, 8, 7) },
        PixelFormat { rows: 0, ..grey(1, 8, 8, 7) },
        colour(1, 2, Photometric::YbrPartial420, false),
    ];
    for format in wrong {
        assert!(matches!(decode(&[0; 64], &format, false), Err(NativeError::Format { .. })), "{format:?}");
    }
    let odd = decode(&[0; 6], &colour(1, 3, Photometric::YbrFull422, false), false);
    assert!(matches!(odd, Err(NativeError::Format { .. })));
    assert_eq!(decode(&[7, 9], &grey(1, 8, 8, 7), false).expect("a frame").words, Words::Eight(vec![7]));
}
