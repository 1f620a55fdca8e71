//! Objects and frames in other transfer syntaxes: equal pixels, true attributes, honest refusals.

use super::decode::{EXPLICIT_BE, EXPLICIT_LE, data_set, decode, native, store};
use super::{Bench, uid};
use crate::{CodecError, DecodeError, InstanceRow, Target, transcode};
use codec::{Limits, verified};
use dataset::pixels::{DecodedFrame, Photometric, Words};
use model::{Caller, Scope};
use std::io::Read;

fn row(bench: &Bench, sop: &str) -> InstanceRow {
    let target = Target::Instance { study: uid("1.2.7"), series: uid("1.2.7.1"), instance: uid(sop) };
    bench.archive.select(&Caller::demo(), Scope::Shared, &target).expect("stored").instances.remove(0)
}

fn made(bench: &Bench, sop: &str, wanted: &str) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    bench.archive.transcoded(&row(bench, sop), wanted)?.read_to_end(&mut bytes).expect("readable to its end");
    Ok(bytes)
}

/// A frame of 3 × 5 grey pixels of 12 bits.
fn grey(first: u16) -> DecodedFrame {
    DecodedFrame {
        rows: 3,
        columns: 5,
        samples: 1,
        stored: 12,
        signed: false,
        photometric: Photometric::Monochrome2,
        words: Words::Sixteen((0..15).map(|n| (first + n * 271) & 0xFFF).collect()),
    }
}

/// Encapsulated pixel data of frames that are there already.
fn fragments(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut pixels = vec![0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    pixels.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0]);
    for frame in frames {
        let mut bytes = frame.clone();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        pixels.extend([0xFE, 0xFF, 0x00, 0xE0]);
        pixels.extend(u32::try_from(bytes.len()).expect("short").to_le_bytes());
        pixels.extend(bytes);
    }
    pixels.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    pixels
}

/// The same two frames in every syntax that is written here.
fn sources(bench: &Bench) -> Vec<String> {
    let frames = [grey(100), grey(2000)];
    let mut sops = Vec::new();
    for target in codec::Target::LOSSLESS {
        let sop = format!("1.2.7.1.1{}", sops.len());
        let bytes =
            frames.clone().map(|frame| verified(target, &frame, 16, &Limits::default()).expect("encoded").bytes);
        store(bench, &sop, target.uid(), &data_set(&sop, false, 2, (16, 12), &fragments(&bytes)));
        sops.push(sop);
    }
    for big in [false, true] {
        let cells = frames.iter().flat_map(|frame| match &frame.words {
            Words::Sixteen(words) => words.clone(),
            other => panic!("{other:?}"),
        });
        let order = |word: u16| if big { word.to_be_bytes() } else { word.to_le_bytes() };
        let value: Vec<u8> = cells.flat_map(order).collect();
        let (sop, syntax) = if big { ("1.2.7.1.31", EXPLICIT_BE) } else { ("1.2.7.1.32", EXPLICIT_LE) };
        store(bench, sop, syntax, &data_set(sop, big, 2, (16, 12), &native(big, b"OW", &value)));
        sops.push(sop.into());
    }
    sops
}

#[test]
fn every_syntax_becomes_every_other_with_equal_pixels() {
    let bench = Bench::new();
    let sops = sources(&bench);
    for wanted in transcode::offered() {
        // What comes out is an object like any other: another archive takes it and decodes the same.
        let other = Bench::new();
        for sop in &sops {
            let row = row(&bench, sop);
            let stored = row.transfer_syntax.to_string();
            assert_eq!(transcode::target(&row, wanted).is_some(), wanted != stored, "{stored} to {wanted}");
            let bytes = made(&bench, sop, wanted).unwrap_or_else(|error| panic!("{stored} to {wanted}: {error}"));
            store(&other, sop, wanted, &bytes);
            for (number, first) in [(0, 100), (1, 2000)] {
                let frame = decode(&other, sop, number).unwrap_or_else(|error| panic!("{stored} to {wanted}: {error}"));
                assert_eq!(frame, grey(first), "{stored} to {wanted}, frame {number}");
                let single = bench.archive.frame_in(&row, number, wanted);
                assert!(!single.expect("a frame").is_empty(), "{stored} to {wanted}");
            }
        }
    }
}

#[test]
fn only_what_describes_the_pixels_changes() {
    let bench = Bench::new();
    let sop = "1.2.7.1.40";
    let value: Vec<u8> = (0..45).collect();
    let grey = data_set(sop, false, 1, (8, 8), &native(false, b"OB", &[value.as_slice(), &[0]].concat()));
    // Three planes of colour, Planar Configuration behind Photometric Interpretation, and a group length.
    let text = String::from_utf8_lossy(&grey).into_owned();
    assert!(text.contains("MONOCHROME2 "));
    let at = |needle: &[u8]| grey.windows(needle.len()).position(|window| window == needle).expect("there");
    let (samples, term) = (at(&[0x28, 0, 2, 0, b'U', b'S']), at(b"MONOCHROME2 "));
    let mut rgb = grey.get(..samples).expect("head").to_vec();
    rgb.extend([0x28, 0, 0, 0, b'U', b'L', 4, 0, 9, 0, 0, 0]);
    rgb.extend([0x28, 0, 2, 0, b'U', b'S', 2, 0, 3, 0]);
    rgb.extend([0x28, 0, 4, 0, b'C', b'S', 4, 0]);
    rgb.extend(b"RGB ");
    rgb.extend([0x28, 0, 6, 0, b'U', b'S', 2, 0, 1, 0]);
    rgb.extend(grey.get(term + 12..).expect("rest"));
    store(&bench, sop, EXPLICIT_LE, &rgb);
    let wanted = codec::Target::Jpeg2000.uid();
    let bytes = made(&bench, sop, wanted).expect("encoded");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("YBR_RCT ") && !text.contains("RGB "), "the transformation is said");
    let start = rgb.get(..samples).expect("head");
    assert!(bytes.starts_with(start), "what stands before is copied");
    let other = Bench::new();
    store(&other, sop, wanted, &bytes);
    let image = other.archive.image(&row(&other, sop)).expect("an image");
    assert!(!image.format.planar && image.format.photometric == Photometric::YbrRct);
    assert_eq!(decode(&other, sop, 0).expect("decoded"), decode(&bench, sop, 0).expect("decoded"));
    assert!(!bytes.windows(6).any(|window| window == [0x28, 0, 0, 0, b'U', b'L']), "a group length would be false");
    // And back: red, green and blue by pixel.
    let again = made(&other, sop, EXPLICIT_LE).expect("decoded");
    let expected: Vec<u8> = (0..15).flat_map(|n| [n, n + 15, n + 30]).chain([0]).collect();
    assert!(again.ends_with(&expected));
}

#[test]
fn frames_of_bits_follow_each_other_without_a_gap() {
    let bench = Bench::new();
    let (sop, target) = ("1.2.7.1.50", codec::Target::Deflated);
    let frame = |set: usize| DecodedFrame {
        stored: 1,
        words: Words::Eight((0..15).map(|at| u8::from(at == set)).collect()),
        ..grey(0)
    };
    let bytes = [0, 14].map(|set| verified(target, &frame(set), 1, &Limits::default()).expect("encoded").bytes);
    store(&bench, sop, target.uid(), &data_set(sop, false, 2, (1, 1), &fragments(&bytes)));
    let bytes = made(&bench, sop, EXPLICIT_LE).expect("decoded");
    assert!(bytes.ends_with(&[b'O', b'B', 0, 0, 4, 0, 0, 0, 0x01, 0, 0, 0x20]), "{bytes:?}");
}

/// Attributes of an image that lost something once, and pixels of 8 bits.
fn lost_before(sop: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 8, 0, b'C', b'S', 22, 0];
    bytes.extend(b"ORIGINAL\\PRIMARY\\AXIAL");
    let mut pixels = vec![0x28, 0, 0x07, 0x01, b'U', b'S', 2, 0, 255, 0];
    pixels.extend([0x28, 0, 0x12, 0x21, b'D', b'S', 4, 0]);
    pixels.extend(b"5.5 ");
    pixels.extend([0x28, 0, 0x14, 0x21, b'C', b'S', 12, 0]);
    pixels.extend(b"ISO_10918_1 ");
    pixels.extend(native(false, b"OB", value));
    bytes.extend(data_set(sop, false, 2, (8, 8), &pixels));
    bytes
}

#[test]
fn what_is_asked_for_with_loss_says_so_and_is_an_instance_of_its_own() {
    let bench = Bench::new();
    let sop = "1.2.7.1.70";
    let value: Vec<u8> = (0..30).map(|n| 40 + n * 3).collect();
    store(&bench, sop, EXPLICIT_LE, &lost_before(sop, &value));
    let stored = row(&bench, sop);
    let methods = ["ISO_10918_1", "ISO_14495_1", "ISO_15444_1"];
    for (target, method) in codec::Target::LOSSY.into_iter().zip(methods) {
        let wanted = target.uid();
        assert!(!transcode::offered().contains(&wanted), "never without being named");
        assert_eq!(transcode::target(&stored, wanted), Some(wanted));
        let bytes = made(&bench, sop, wanted).unwrap_or_else(|error| panic!("{wanted}: {error}"));
        let derived = transcode::instance_in(&stored, wanted);
        assert!(derived != stored.sop_instance && derived.as_str().starts_with("2.25."), "{derived}");
        let other = Bench::new();
        store(&other, derived.as_str(), wanted, &bytes);
        let again = row(&other, derived.as_str());
        let kind = again.attributes.get(&model::attribute::key::IMAGE_TYPE).map(|text| text.trim());
        assert_eq!(kind, Some("DERIVED\\PRIMARY\\AXIAL"));
        let image = other.archive.image(&again).expect("an image");
        let description = &image.description;
        assert_eq!(description.text(0x0028_2110).as_deref(), Some("01"));
        assert_eq!(description.text(0x0028_2114), Some(format!("ISO_10918_1\\{method}")), "behind the one before");
        let ratios = description.text(0x0028_2112).expect("ratios");
        assert!(ratios.strip_prefix("5.5\\").is_some_and(|last| last.parse::<f64>().is_ok()), "{ratios}");
        assert_eq!(description.text(0x0028_0107), None, "the largest value may be another one");
        let text = String::from_utf8_lossy(&bytes);
        for said in ["Compressed with loss: ", "113040", "121320", sop] {
            assert!(text.contains(said), "{wanted}: {said}");
        }
        for number in 0..2 {
            let (one, two) = (decode(&bench, sop, number), decode(&other, derived.as_str(), number));
            let (one, two) = (one.expect("decoded"), two.expect("decoded"));
            let (Words::Eight(one), Words::Eight(two)) = (&one.words, &two.words) else { panic!("eight bits") };
            assert!(one.iter().zip(two).all(|(one, two)| one.abs_diff(*two) <= 8), "{wanted}: {one:?} {two:?}");
        }
        assert!(!bench.archive.frame_in(&stored, 1, wanted).expect("a frame").is_empty());
    }
    assert_eq!(transcode::instance_in(&stored, "1.2.840.10008.1.2.4.90"), stored.sop_instance, "nothing is lost");
}

#[test]
fn what_cannot_be_compressed_with_loss_is_refused_with_its_reason() {
    let bench = Bench::new();
    let wide = "1.2.7.1.71";
    store(&bench, wide, EXPLICIT_LE, &data_set(wide, false, 1, (16, 12), &native(false, b"OW", &[1; 30])));
    let (baseline, lossy) = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91");
    assert_eq!(transcode::target(&row(&bench, wide), baseline), None);
    assert!(transcode::target(&row(&bench, wide), lossy).is_some());
    let refused = |sop: &str, wanted: &str| match bench.archive.transcoded(&row(&bench, sop), wanted).map(|_| ()) {
        Err(DecodeError::Codec(CodecError::Unsupported(why))) => why,
        other => panic!("{sop} {wanted}: {other:?}"),
    };
    assert!(refused(wide, baseline).contains("8 bits, the image has 16"));
    // Once is enough: JPEG-LS near-lossless is not compressed again, but decoded.
    let near = codec::Target::JpegLsNear;
    let bytes = verified(near, &grey(7), 16, &Limits::default()).expect("encoded").bytes;
    store(&bench, "1.2.7.1.72", near.uid(), &data_set("1.2.7.1.72", false, 1, (16, 12), &fragments(&[bytes])));
    assert!(refused("1.2.7.1.72", lossy).contains("not compressed with loss again"));
    assert!(bench.archive.frame_in(&row(&bench, "1.2.7.1.72"), 0, lossy).is_err());
    assert!(made(&bench, "1.2.7.1.72", EXPLICIT_LE).is_ok());
}

#[test]
fn what_cannot_be_had_is_refused_before_a_byte_leaves_and_never_cut_silently() {
    let bench = Bench::new();
    let rle = codec::Target::Rle;
    let good = verified(rle, &grey(7), 16, &Limits::default()).expect("encoded").bytes;
    let refused = |sop: &str, wanted: &str| {
        let answer = bench.archive.transcoded(&row(&bench, sop), wanted).map(|_| ());
        answer.expect_err("refused")
    };
    let spoilt = vec![1; 70];
    let alone = fragments(std::slice::from_ref(&spoilt));
    store(&bench, "1.2.7.1.60", rle.uid(), &data_set("1.2.7.1.60", false, 1, (16, 12), &alone));
    assert!(matches!(refused("1.2.7.1.60", EXPLICIT_LE), DecodeError::Codec(CodecError::Corrupt(_))));
    // One frame less than the attributes say.
    let alone = fragments(std::slice::from_ref(&good));
    store(&bench, "1.2.7.1.61", rle.uid(), &data_set("1.2.7.1.61", false, 2, (16, 12), &alone));
    assert!(matches!(refused("1.2.7.1.61", EXPLICIT_LE), DecodeError::Codec(CodecError::Disagrees(_))));
    // The second frame is spoilt: the reader fails, the answer cannot look whole.
    let both = fragments(&[good, spoilt]);
    store(&bench, "1.2.7.1.62", rle.uid(), &data_set("1.2.7.1.62", false, 2, (16, 12), &both));
    let mut data = bench.archive.transcoded(&row(&bench, "1.2.7.1.62"), EXPLICIT_LE).expect("the first is sound");
    assert!(data.read_to_end(&mut Vec::new()).is_err());
    assert!(matches!(refused("1.2.7.1.62", "1.2.840.10008.1.2.4.50"), DecodeError::Codec(CodecError::Unsupported(_))));
    // A frame alone has no place for an overlay in the fifteenth bit.
    let mut pixels = vec![0, 0x60, 0x02, 0x01, b'U', b'S', 2, 0, 14, 0];
    pixels.extend(native(false, b"OW", &[0x41; 30]));
    store(&bench, "1.2.7.1.63", EXPLICIT_LE, &data_set("1.2.7.1.63", false, 1, (16, 12), &pixels));
    assert!(bench.archive.frame_in(&row(&bench, "1.2.7.1.63"), 0, rle.uid()).is_err());
    assert!(made(&bench, "1.2.7.1.63", "1.2.840.10008.1.2").is_ok(), "uncompressed forms keep every bit");
}
