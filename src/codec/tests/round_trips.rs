//! Every encoder over sizes, bits, signs and looks, compared sample by sample; what cannot be exact is refused.

use super::{Look, coloured, grey, made};
use crate::encode::described;
use crate::{CodecError, Limits, Target, decode, verified};
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};
use fastrand::Rng;

fn check(target: Target, format: &PixelFormat, frame: &DecodedFrame, what: &str) {
    let limits = Limits::default();
    let encoded =
        verified(target, frame, format.allocated, &limits).unwrap_or_else(|error| panic!("{target:?} {what}: {error}"));
    // Once more by the decoder that serves, which for HTJ2K is another one than the verifier.
    let format = described(frame, format.allocated, encoded.photometric).expect("format");
    let again = decode(target.uid(), &format, &encoded.bytes, &limits)
        .unwrap_or_else(|error| panic!("{target:?} {what}: {error}"));
    assert!(again == *frame, "{target:?} {what}");
}

#[test]
fn grey_frames_come_back_exactly() {
    let mut rng = Rng::with_seed(4);
    let sizes = [(1, 1), (1, 70), (70, 1), (2, 3), (63, 65), (128, 200), (257, 31)];
    let bits = [(8, 8), (8, 5), (16, 9), (16, 12), (16, 15), (16, 16)];
    for (rows, columns) in sizes {
        for (allocated, stored) in bits {
            for (signed, look) in
                [(false, Look::Smooth), (true, Look::Smooth), (true, Look::Noise), (false, Look::Edges)]
            {
                let format = grey(rows, columns, allocated, stored, signed);
                let frame = made(&format, look, &mut rng);
                for target in Target::LOSSLESS {
                    check(target, &format, &frame, &format!("{rows} × {columns}, {stored} bits, {signed}, {look:?}"));
                }
            }
        }
    }
}

/// The sizes at which a port of OpenJPH was silently wrong.
#[test]
fn large_frames_come_back_exactly() {
    let mut rng = Rng::with_seed(5);
    for (rows, columns, stored, look) in
        [(1024, 2048, 12, Look::Smooth), (2048, 2048, 12, Look::Smooth), (512, 512, 16, Look::Noise)]
    {
        let format = grey(rows, columns, 16, stored, false);
        let frame = made(&format, look, &mut rng);
        for target in Target::LOSSLESS {
            check(target, &format, &frame, &format!("{rows} × {columns}, {stored} bits"));
        }
    }
}

#[test]
fn coloured_frames_come_back_exactly_and_say_what_they_became() {
    let mut rng = Rng::with_seed(6);
    for photometric in [Photometric::Rgb, Photometric::YbrFull] {
        for look in [Look::Smooth, Look::Noise, Look::Edges] {
            let format = coloured(61, 77, photometric);
            let frame = made(&format, look, &mut rng);
            for target in Target::LOSSLESS {
                check(target, &format, &frame, &format!("{photometric} {look:?}"));
            }
        }
    }
    let frame = made(&coloured(8, 8, Photometric::Rgb), Look::Noise, &mut rng);
    let became = |target| verified(target, &frame, 8, &Limits::default()).expect("encoded").photometric;
    assert_eq!(became(Target::Jpeg2000), Photometric::YbrRct);
    assert_eq!(became(Target::HtJpeg2000Rpcl), Photometric::YbrRct);
    assert_eq!(became(Target::JpegLs), Photometric::Rgb);
}

#[test]
fn what_a_target_cannot_hold_is_said() {
    let mut rng = Rng::with_seed(7);
    let wide = made(&grey(4, 4, 32, 32, false), Look::Noise, &mut rng);
    for target in Target::LOSSLESS {
        let done = verified(target, &wide, 32, &Limits::default());
        match target {
            Target::Rle | Target::Deflated => assert!(done.is_ok(), "{target:?}"),
            _ => assert!(matches!(done, Err(CodecError::Unsupported(_))), "{target:?}"),
        }
    }
    let bits = made(&grey(5, 7, 1, 1, false), Look::Noise, &mut rng);
    assert!(verified(Target::Deflated, &bits, 1, &Limits::default()).is_ok());
    assert!(verified(Target::Rle, &bits, 1, &Limits::default()).is_err());
}

/// Whatever loses something is as small as it should be, and as near.
#[test]
fn what_loses_something_comes_back_within_its_bound() {
    let mut rng = Rng::with_seed(9);
    // Small enough for colours without jumps.
    let coloured = |photometric| coloured(30, 40, photometric);
    let eight = [grey(150, 201, 8, 8, false), coloured(Photometric::Rgb), coloured(Photometric::YbrFull)];
    let more = [grey(150, 201, 16, 12, false), grey(150, 201, 16, 16, true), grey(97, 33, 16, 12, true)];
    for format in eight.iter().chain(&more) {
        let mut frame = made(format, Look::Smooth, &mut rng);
        if let (Photometric::YbrFull, Words::Eight(values)) = (format.photometric, &mut frame.words) {
            // Colours that there are, and without the noise that brightness has.
            values.chunks_exact_mut(3).flat_map(|pixel| pixel.iter_mut().skip(1)).for_each(|c| *c = 112 + *c / 8);
        }
        for target in Target::LOSSY {
            let what = format!("{target:?} {} of {} bits", format.photometric, format.stored);
            let done = verified(target, &frame, format.allocated, &Limits::default());
            if target == Target::JpegBaseline && format.allocated > 8 {
                assert!(
                    matches!(&done, Err(CodecError::Unsupported(why)) if why.contains("8 bits")),
                    "{what}: {done:?}"
                );
                continue;
            }
            let encoded = done.unwrap_or_else(|error| panic!("{what}: {error}"));
            let described = described(&frame, format.allocated, encoded.photometric).expect("format");
            let again = decode(target.uid(), &described, &encoded.bytes, &Limits::default()).expect("decoded");
            assert!(again.words != frame.words, "{what}: nothing was lost, which the noise does not allow");
            let native = frame.words.len() * usize::from(format.allocated / 8);
            assert!(encoded.bytes.len() < native, "{what}: {} bytes of {native}", encoded.bytes.len());
        }
    }
    let became =
        |target, frame: &DecodedFrame| verified(target, frame, 8, &Limits::default()).expect("encoded").photometric;
    let rgb = made(&coloured(Photometric::Rgb), Look::Smooth, &mut rng);
    assert_eq!(became(Target::JpegBaseline, &rgb), Photometric::YbrFull422);
    assert_eq!(became(Target::Jpeg2000Lossy, &rgb), Photometric::YbrIct);
    assert_eq!(became(Target::JpegLsNear, &rgb), Photometric::Rgb);
}

/// An error of two must not turn the largest signed value into the smallest; and colours that change from pixel to pixel
/// are kept where half of them would not do.
#[test]
fn ends_of_signed_ranges_and_noise_in_colours_stay_within_their_bound() {
    let mut rng = Rng::with_seed(12);
    for (allocated, stored) in [(16, 16), (16, 12), (8, 8)] {
        for look in [Look::Noise, Look::Edges] {
            let frame = made(&grey(60, 70, allocated, stored, true), look, &mut rng);
            let done = verified(Target::JpegLsNear, &frame, allocated, &Limits::default());
            assert!(done.is_ok(), "{stored} bits, {look:?}: {done:?}");
        }
        let top = (1u32 << (stored - 1)) - 1;
        let ends = crate::cells::words(stored, (0..64u32).map(|at| if at % 3 == 0 { top } else { top + 1 }));
        let frame = DecodedFrame { words: ends, ..made(&grey(8, 8, allocated, stored, true), Look::Noise, &mut rng) };
        let done = verified(Target::JpegLsNear, &frame, allocated, &Limits::default());
        assert!(done.is_ok(), "{stored} bits, the ends: {done:?}");
    }
    // Tiles of a slide without anything on it: what is left out of so little is much.
    for value in [0, 1, 127, 128, 244, 255] {
        let words = Words::Eight((0..300u32).map(|at| if at % 100 < 99 { value } else { value ^ 1 }).collect());
        let flat = DecodedFrame { words, ..made(&coloured(10, 10, Photometric::Rgb), Look::Smooth, &mut rng) };
        let done = verified(Target::Jpeg2000Lossy, &flat, 8, &Limits::default());
        assert!(done.is_ok(), "{value}: {done:?}");
        let flat = DecodedFrame { words: Words::Eight(vec![value; 300]), ..flat };
        let done = verified(Target::Jpeg2000Lossy, &flat, 8, &Limits::default());
        assert!(done.is_ok(), "only {value}: {done:?}");
    }
    let noise = made(&coloured(40, 50, Photometric::Rgb), Look::Noise, &mut rng);
    assert!(verified(Target::JpegBaseline, &noise, 8, &Limits::default()).is_ok());
}

#[test]
fn marks_and_palettes_are_never_compressed_with_loss() {
    let mut rng = Rng::with_seed(10);
    let marks = made(&grey(16, 16, 8, 5, false), Look::Noise, &mut rng);
    let places = DecodedFrame {
        photometric: Photometric::PaletteColor,
        ..made(&grey(16, 16, 8, 8, false), Look::Noise, &mut rng)
    };
    let signed = made(&grey(16, 16, 8, 8, true), Look::Smooth, &mut rng);
    for target in Target::LOSSY {
        for frame in [&marks, &places] {
            assert!(
                matches!(verified(target, frame, 8, &Limits::default()), Err(CodecError::Unsupported(_))),
                "{target:?}"
            );
        }
    }
    assert!(verified(Target::JpegBaseline, &signed, 8, &Limits::default()).is_err());
}

/// HTJ2K for progressive reading: resolution by resolution, with the table that says where each begins.
#[test]
fn htj2k_lies_by_resolution_with_a_table_of_lengths() {
    let frame = made(&grey(300, 500, 16, 12, false), Look::Smooth, &mut Rng::with_seed(8));
    let bytes = verified(Target::HtJpeg2000Rpcl, &frame, 16, &Limits::default()).expect("encoded").bytes;
    let find = |marker: [u8; 2]| bytes.windows(2).position(|pair| pair == marker);
    let cod = find([0xFF, 0x52]).expect("COD");
    assert_eq!(bytes.get(cod + 5), Some(&2), "RPCL");
    assert_eq!(bytes.get(cod + 9), Some(&3), "500 halved three times is at most 64");
    assert!(find([0xFF, 0x55]).is_some_and(|tlm| tlm < find([0xFF, 0x90]).expect("SOT")), "TLM before the tiles");
}
