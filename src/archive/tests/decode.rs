//! Frames decoded from where they lie: bits inside bytes, big endian words, fragments, and what there is not.

use super::{Bench, CT, uid};
use crate::{CodecError, DecodeError, Form, Target};
use codec::{Limits, verified};
use dataset::pixels::{DecodedFrame, Photometric, Words};
use model::{Caller, Scope, Via};

pub(super) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub(super) const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";

/// A data set with an Image Pixel module of 3 × 5 grey pixels and the pixel data given, header and all.
pub(super) fn data_set(sop: &str, big: bool, frames: u16, bits: (u16, u16), pixels: &[u8]) -> Vec<u8> {
    sized(sop, big, frames, bits, (3, 5), pixels)
}

/// The same of other rows and columns.
pub(super) fn sized(
    sop: &str,
    big: bool,
    frames: u16,
    bits: (u16, u16),
    (rows, columns): (u16, u16),
    pixels: &[u8],
) -> Vec<u8> {
    let number = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut out = Vec::new();
    let mut element = |tag: (u16, u16), vr: &[u8; 2], value: &[u8]| {
        out.extend(number(tag.0));
        out.extend(number(tag.1));
        out.extend(vr);
        out.extend(number(u16::try_from(value.len()).expect("short")));
        out.extend(value);
    };
    let even = |text: &str| if text.len() % 2 == 1 { format!("{text}\0") } else { text.to_owned() };
    element((8, 0x16), b"UI", even(CT).as_bytes());
    element((8, 0x18), b"UI", even(sop).as_bytes());
    element((0x10, 0x20), b"LO", b"P1");
    element((0x20, 0x0d), b"UI", even("1.2.7").as_bytes());
    element((0x20, 0x0e), b"UI", even("1.2.7.1").as_bytes());
    element((0x28, 2), b"US", &number(1));
    element((0x28, 4), b"CS", b"MONOCHROME2 ");
    element((0x28, 8), b"IS", format!("{frames} ").as_bytes());
    for (tag, value) in
        [(0x10, rows), (0x11, columns), (0x100, bits.0), (0x101, bits.1), (0x102, bits.1 - 1), (0x103, 0)]
    {
        element((0x28, tag), b"US", &number(value));
    }
    out.extend(pixels);
    out
}

/// The header of native pixel data, and the value.
pub(super) fn native(big: bool, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let len = u32::try_from(value.len()).expect("short");
    let (mut out, len) = match big {
        true => (vec![0x7F, 0xE0, 0, 0x10], len.to_be_bytes()),
        false => (vec![0xE0, 0x7F, 0x10, 0], len.to_le_bytes()),
    };
    out.extend(vr);
    out.extend([0, 0]);
    out.extend(len);
    out.extend(value);
    out
}

pub(super) fn store(bench: &Bench, sop: &str, syntax: &str, bytes: &[u8]) {
    let form = Form::DataSet { sop_class: uid(CT), sop_instance: uid(sop), transfer_syntax: uid(syntax) };
    let mut incoming = bench.archive.receive(&bench.source(), Via::CStore, form).expect("receive");
    incoming.write(bytes).expect("write");
    incoming.finish().expect("stored");
}

pub(super) fn decode(bench: &Bench, sop: &str, number: u32) -> Result<DecodedFrame, DecodeError> {
    let target = Target::Instance { study: uid("1.2.7"), series: uid("1.2.7.1"), instance: uid(sop) };
    let caller = Caller::demo();
    let row = bench.archive.select(&caller, Scope::Shared, &target)?.instances.remove(0);
    let image = bench.archive.image(&row)?;
    bench.archive.decode(&image, number)
}

#[test]
fn attributes_of_images_are_kept_until_a_destruction() {
    let bench = Bench::new();
    let pixels = native(false, b"OB", &[0xFF, 0x7F, 0x01, 0x00]);
    store(&bench, "1.2.7.1.1", EXPLICIT_LE, &data_set("1.2.7.1.1", false, 2, (1, 1), &pixels));
    for number in [0, 1] {
        decode(&bench, "1.2.7.1.1", number).expect("decoded");
    }
    assert_eq!(bench.archive.pixels.kept(), 1);
    bench.archive.forget_derived();
    assert_eq!(bench.archive.pixels.kept(), 0);
}

#[test]
fn frames_of_bits_start_inside_bytes() {
    let bench = Bench::new();
    // 2 frames of 15 bits: all set, then one set.
    let pixels = native(false, b"OB", &[0xFF, 0x7F, 0x01, 0x00]);
    store(&bench, "1.2.7.1.1", EXPLICIT_LE, &data_set("1.2.7.1.1", false, 2, (1, 1), &pixels));
    assert_eq!(decode(&bench, "1.2.7.1.1", 0).expect("first").words, Words::Eight(vec![1; 15]));
    let mut second = vec![0; 15];
    second[1] = 1;
    assert_eq!(decode(&bench, "1.2.7.1.1", 1).expect("second").words, Words::Eight(second));
    let beyond = decode(&bench, "1.2.7.1.1", 2);
    assert!(matches!(beyond, Err(DecodeError::NoFrame { number: 2, frames: 2 })), "{beyond:?}");
    assert!(matches!(decode(&bench, "1.2.7.9", 0), Err(DecodeError::Retrieve(_))));
}

#[test]
fn big_endian_words_are_read_by_their_vr() {
    let bench = Bench::new();
    let values: Vec<u16> = (0..15).map(|n| n * 257 + 3).collect();
    let words: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    let object = data_set("1.2.7.1.2", true, 1, (16, 16), &native(true, b"OW", &words));
    store(&bench, "1.2.7.1.2", EXPLICIT_BE, &object);
    assert_eq!(decode(&bench, "1.2.7.1.2", 0).expect("words").words, Words::Sixteen(values));
    let bytes: Vec<u8> = (1..=15).collect();
    let mut swapped: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    dataset::transcode::swap_words(&mut swapped, 2);
    for (sop, vr, value) in [("1.2.7.1.3", b"OW", swapped), ("1.2.7.1.4", b"OB", [bytes.as_slice(), &[0]].concat())] {
        store(&bench, sop, EXPLICIT_BE, &data_set(sop, true, 1, (8, 8), &native(true, vr, &value)));
        assert_eq!(decode(&bench, sop, 0).expect("bytes").words, Words::Eight(bytes.clone()), "{sop}");
    }
}

#[test]
fn fragments_are_decoded_each_frame_by_itself() {
    let bench = Bench::new();
    let frame = |first: u16| DecodedFrame {
        rows: 3,
        columns: 5,
        samples: 1,
        stored: 12,
        signed: false,
        photometric: Photometric::Monochrome2,
        words: Words::Sixteen((first..first + 15).collect()),
    };
    for (sop, target) in [("1.2.7.1.5", codec::Target::Rle), ("1.2.7.1.6", codec::Target::Jpeg2000)] {
        let mut pixels = vec![0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
        pixels.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0]);
        for first in [100, 2000] {
            let mut bytes = verified(target, &frame(first), 16, &Limits::default()).expect("encoded").bytes;
            bytes.resize(bytes.len().next_multiple_of(2), 0);
            pixels.extend([0xFE, 0xFF, 0x00, 0xE0]);
            pixels.extend(u32::try_from(bytes.len()).expect("short").to_le_bytes());
            pixels.extend(bytes);
        }
        pixels.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        store(&bench, sop, target.uid(), &data_set(sop, false, 2, (16, 12), &pixels));
        assert_eq!(decode(&bench, sop, 1).expect("second"), frame(2000));
        assert_eq!(decode(&bench, sop, 0).expect("first"), frame(100));
    }
}

#[test]
fn what_is_no_frame_is_said() {
    let bench = Bench::new();
    store(&bench, "1.2.7.1.7", EXPLICIT_LE, &data_set("1.2.7.1.7", false, 1, (16, 12), &[]));
    assert!(matches!(decode(&bench, "1.2.7.1.7", 0), Err(DecodeError::NoPixels { .. })));
    let floats = native(false, b"OF", &[0; 60]).into_iter().enumerate();
    let floats: Vec<u8> = floats.map(|(at, byte)| if at == 2 { 0x08 } else { byte }).collect();
    store(&bench, "1.2.7.1.8", EXPLICIT_LE, &data_set("1.2.7.1.8", false, 1, (32, 32), &floats));
    let refused = decode(&bench, "1.2.7.1.8", 0);
    assert!(matches!(refused, Err(DecodeError::Codec(CodecError::Unsupported(_)))), "{refused:?}");
}
