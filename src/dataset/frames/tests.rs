//! Counting and placing frames.

use super::*;
use crate::fixture::{SEQUENCE_END, around, explicit, image as attributes, item, scan, undefined};
use crate::syntax::EXPLICIT_LE;

fn image(rows: u64, columns: u64, samples: u64, bits_allocated: u64, frames: u64) -> Image {
    Image { rows, columns, samples, bits_allocated, frames, subsampled: false }
}

fn native_of(image: &Image, len: u64) -> (Frames, Vec<Flag>) {
    let mut flags = BTreeSet::new();
    (native(image, len, true, &mut flags), flags.into_iter().collect())
}

#[test]
fn native_frames_are_those_that_are_wholly_there() {
    let three = image(4, 4, 1, 16, 3);
    assert_eq!(native_of(&three, 96), (Frames::Native { count: 3, bits: 256 }, vec![]));
    assert_eq!(native_of(&three, 95), (Frames::Native { count: 2, bits: 256 }, vec![Flag::FramesDisagree]));
    assert_eq!(native_of(&three, 200), (Frames::Native { count: 3, bits: 256 }, vec![Flag::FramesDisagree]));
    let odd = image(3, 3, 1, 8, 1);
    assert_eq!(native_of(&odd, 10), (Frames::Native { count: 1, bits: 72 }, vec![]));
    assert_eq!(native_of(&odd, 9), (Frames::Native { count: 1, bits: 72 }, vec![]));
    let bits = image(3, 3, 1, 1, 4);
    assert_eq!(native_of(&bits, 6), (Frames::Native { count: 4, bits: 9 }, vec![]));
    let lie = image(65535, 65535, 65535, u64::MAX, u64::MAX);
    assert_eq!(native_of(&lie, 100), (Frames::None, vec![Flag::FramesUnknown]));
    assert_eq!(native_of(&image(0, 4, 1, 8, 1), 100).0, Frames::None);
}

#[test]
fn subsampled_colour_takes_two_thirds_unless_all_is_there() {
    let colour = Image { subsampled: true, ..image(4, 4, 3, 8, 2) };
    assert_eq!(native_of(&colour, 64), (Frames::Native { count: 2, bits: 256 }, vec![]));
    assert_eq!(native_of(&colour, 96), (Frames::Native { count: 2, bits: 384 }, vec![]));
}

fn found(fragments: &[(u64, u64)], starts: &[Start], basic: &[u64], extended: &[u64]) -> Found {
    Found {
        table_seen: true,
        basic: basic.to_vec(),
        extended: extended.to_vec(),
        fragments: fragments.iter().map(|(at, len)| Span { at: *at, len: *len }).collect(),
        starts: starts.to_vec(),
    }
}

fn starts_of(codec: Codec, frames: u64, found: Found) -> (Option<Vec<u32>>, Vec<Flag>) {
    let mut flags = BTreeSet::new();
    match encapsulated(&image(4, 4, 1, 8, frames), codec, found, &mut flags) {
        Frames::Encapsulated { starts, .. } => (starts, flags.into_iter().collect()),
        other => panic!("{other:?}"),
    }
}

const FOUR: [(u64, u64); 4] = [(8, 10), (26, 10), (44, 10), (62, 10)];

#[test]
fn fragments_become_frames_by_tables_then_by_codestreams() {
    use Start::{Jpeg, Other};
    let pairs = [Jpeg, Other, Jpeg, Other];
    let by = |codec, frames, basic: &[u64], extended: &[u64]| {
        starts_of(codec, frames, found(&FOUR, &pairs, basic, extended))
    };
    assert_eq!(by(Codec::Jpeg, 4, &[], &[]), (None, vec![]), "one fragment a frame");
    assert_eq!(by(Codec::Jpeg, 1, &[], &[]), (Some(vec![0]), vec![]), "one frame");
    assert_eq!(by(Codec::Jpeg, 2, &[0, 54], &[]), (Some(vec![0, 3]), vec![]), "basic table");
    assert_eq!(by(Codec::Jpeg, 2, &[0, 54], &[0, 18]), (Some(vec![0, 1]), vec![]), "extended table first");
    assert_eq!(by(Codec::Jpeg, 2, &[], &[]), (Some(vec![0, 2]), vec![]), "codestreams");
    assert_eq!(by(Codec::Jpeg, 2, &[0, 55], &[]), (Some(vec![0, 2]), vec![]), "a table that points beside");
    assert_eq!(by(Codec::Jpeg, 2, &[36, 0], &[]), (Some(vec![0, 2]), vec![]), "a table that goes back");
    assert_eq!(by(Codec::Jpeg, 3, &[], &[]), (Some(vec![]), vec![Flag::FramesUnknown]), "nothing tells");
    assert_eq!(by(Codec::Jpeg2000, 2, &[], &[]), (Some(vec![]), vec![Flag::FramesUnknown]), "another codec");
    assert_eq!(by(Codec::Video, 25, &[], &[]), (Some(vec![0]), vec![]), "one stream");
    assert_eq!(by(Codec::PerFragment, 5, &[], &[]), (None, vec![Flag::FramesDisagree]), "RLE");
    assert_eq!(starts_of(Codec::Jpeg, 1, found(&[], &[], &[], &[])), (Some(vec![]), vec![Flag::FramesDisagree]));
}

#[test]
fn codestreams_are_told_by_their_first_bytes() {
    assert_eq!(start_of(&[0xFF, 0xD8, 0xFF, 0xE0]), Start::Jpeg);
    assert_eq!(start_of(&[0xFF, 0x4F, 0xFF, 0x51]), Start::Jpeg2000);
    assert_eq!(start_of(b"\0\0\0\x0CjP  "), Start::Jpeg2000);
    assert_eq!(start_of(&[0xFF, 0x0A, 0]), Start::JpegXl);
    assert_eq!(start_of(&[0xFF]), Start::Other);
}

#[test]
fn places_are_inside_the_value_and_bits_are_aligned() {
    let pixel = PixelSpan { tag: 0x7FE0_0010, header: 90, value: Span { at: 100, len: 6 }, end: 106 };
    let bits = Frames::Native { count: 4, bits: 9 };
    let second = place(&pixel, &bits, 1).expect("there");
    assert_eq!(second, FramePlace { spans: vec![Span { at: 101, len: 2 }], skip_bits: 1, bits: 9 });
    assert_eq!(place(&pixel, &bits, 4), None);
    // Frames of 9 bits: all ones, then all zeros, then 1 0101 0101 (least significant bit first).
    let value = [0xFF, 0x01, 0b0101_0100, 0b0000_0101];
    let third = place(&pixel, &bits, 2).expect("there");
    let at = usize::try_from(third.spans.first().expect("one").at - 100).expect("small");
    assert_eq!(align(value.get(at..).expect("there"), third.skip_bits, third.bits), [0b0101_0101, 1]);
    let some = Frames::Encapsulated {
        fragments: FOUR.iter().map(|(at, len)| Span { at: *at, len: *len }).collect(),
        starts: Some(vec![0, 3]),
    };
    let lens = |number| place(&pixel, &some, number).map(|place| place.spans.len());
    assert_eq!([lens(0), lens(1), lens(2)], [Some(3), Some(1), None]);
}

#[test]
fn the_scanner_reads_both_offset_tables() {
    let fragments = [item(&[0xFF; 4]), item(&[0xFF; 6]), item(&[0xFF; 2])].concat();
    let extended = [0u64.to_le_bytes(), 12u64.to_le_bytes()].concat();
    let pixels =
        |table: &[u8]| [undefined(0x7FE0_0010, b"OB"), item(table), fragments.clone(), SEQUENCE_END.to_vec()].concat();
    let head = [around(&[]), attributes(2, 2, 8, "2 ")].concat();
    let with_extended = [head.clone(), explicit(0x7FE0_0001, b"OV", &extended), pixels(&[])].concat();
    let with_basic = [head, pixels(&[0, 0, 0, 0, 26, 0, 0, 0])].concat();
    for (bytes, second) in [(with_extended, 1), (with_basic, 2)] {
        for size in [1, 3, 4096] {
            let mut scanner = crate::scan::Scanner::new(
                &crate::fixture::uid("1.2.840.10008.1.2.4.50"),
                model::facility::CharsetHint::Auto,
                crate::Limits::default(),
            );
            bytes.chunks(size).try_for_each(|piece| scanner.feed(piece)).expect("fed");
            let layout = scanner.finish().expect("scanned").layout;
            let Frames::Encapsulated { fragments, starts } = layout.frames else { panic!("{layout:?}") };
            assert_eq!((fragments.len(), starts), (3, Some(vec![0, second])));
        }
    }
    assert!(scan(EXPLICIT_LE, &around(&[])).expect("no pixels").layout.pixel.is_none());
}
