//! Frames that lie or are damaged: an answer or an error, never more than the attributes say, never a wrong size.

use super::{Look, coloured, grey, made};
use crate::{CodecError, Limits, Target, decode, verified};
use dataset::pixels::{Photometric, PixelFormat};
use fastrand::Rng;

/// A JPEG that an ultrasound machine could have made: 8 bits, one component.
const JPEG: &[u8] = include_bytes!("../../testkit/ultrasound.jpg");
const BASELINE: &str = "1.2.840.10008.1.2.4.50";

/// Rows and columns as the JPEG's own header says.
fn jpeg_format() -> PixelFormat {
    let start = JPEG.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("SOF0");
    let field = |at: usize| u16::from_be_bytes([JPEG[start + at], JPEG[start + at + 1]]);
    grey(field(5), field(7), 8, 8, false)
}

/// One sound frame for every coder.
pub(super) fn sound() -> Vec<(&'static str, PixelFormat, Vec<u8>)> {
    let mut rng = Rng::with_seed(11);
    let mut found = vec![(BASELINE, jpeg_format(), JPEG.to_vec())];
    for format in [grey(40, 60, 16, 12, false), grey(31, 33, 8, 8, true), coloured(24, 20, Photometric::Rgb)] {
        let frame = made(&format, Look::Smooth, &mut rng);
        for target in Target::LOSSLESS {
            let encoded = verified(target, &frame, format.allocated, &Limits::default()).expect("encoded");
            found.push((
                target.uid(),
                PixelFormat { photometric: encoded.photometric, ..format.clone() },
                encoded.bytes,
            ));
        }
    }
    found
}

#[test]
fn a_frame_larger_than_declared_is_refused() {
    for (syntax, format, bytes) in sound() {
        decode(syntax, &format, &bytes, &Limits::default()).expect(syntax);
        for (rows, columns) in [(format.rows - 1, format.columns), (format.rows, format.columns / 2), (1, 1)] {
            let smaller = PixelFormat { rows, columns, ..format.clone() };
            let refused = decode(syntax, &smaller, &bytes, &Limits::default());
            // RLE has no size of its own: what is too much is padding.
            if syntax != Target::Rle.uid() {
                assert!(matches!(refused, Err(CodecError::Disagrees(_))), "{syntax}: {refused:?}");
            }
        }
        let larger = PixelFormat { rows: format.rows + 1, ..format.clone() };
        assert!(decode(syntax, &larger, &bytes, &Limits::default()).is_err(), "{syntax}");
    }
}

#[test]
fn a_truncated_frame_is_an_error() {
    for (syntax, format, bytes) in sound() {
        for part in [0, 1, 3, bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4] {
            let cut = bytes.get(..part).unwrap_or_default();
            assert!(decode(syntax, &format, cut, &Limits::default()).is_err(), "{syntax} cut at {part}");
        }
    }
}

#[test]
fn bytes_of_no_meaning_are_errors_in_every_syntax() {
    let mut rng = Rng::with_seed(13);
    let numbers = [50, 51, 57, 70, 80, 81, 90, 91, 110, 111, 112, 201, 202, 203];
    let mut syntaxes: Vec<String> = numbers.iter().map(|n| format!("1.2.840.10008.1.2.4.{n}")).collect();
    syntaxes.extend([Target::Rle.uid().to_owned(), Target::Deflated.uid().to_owned()]);
    for syntax in syntaxes {
        for len in [0, 1, 63, 64, 500] {
            let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
            let done = decode(&syntax, &grey(16, 16, 16, 16, false), &noise, &Limits::default());
            assert!(done.is_err(), "{syntax} of {len} bytes of noise");
        }
    }
    for none in ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.94", "1.2.3"] {
        let done = decode(none, &grey(16, 16, 16, 16, false), &[0; 512], &Limits::default());
        assert!(matches!(done, Err(CodecError::Unsupported(_))), "{none}");
    }
}

/// A thousandfold: 4 MiB of zeros in a few kilobytes, in a frame that says 16 × 16.
#[test]
fn a_deflated_bomb_stops_at_the_frame() {
    let frame = made(&grey(2048, 1024, 16, 16, false), Look::Smooth, &mut Rng::with_seed(1));
    let zeros = dataset::pixels::DecodedFrame { words: dataset::pixels::Words::Sixteen(vec![0; 2048 * 1024]), ..frame };
    let bomb = verified(Target::Deflated, &zeros, 16, &Limits::default()).expect("encoded").bytes;
    let done = decode(Target::Deflated.uid(), &grey(16, 16, 16, 16, false), &bomb, &Limits::default());
    assert!(matches!(done, Err(CodecError::Disagrees(_))), "{done:?}");
}
