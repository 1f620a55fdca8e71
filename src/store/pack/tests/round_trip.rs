//! What goes in comes out: files, ranges, frames, metadata; and how much is read for it.

use super::scenario::{Counting, Made, SERIES_JSON, about, any, made, open, packed, text, uid};
use crate::coding::PixelLayout;
use crate::pack::{EntryCoding, FramePlaces, InstanceIn, PIECE_MAX, Pack, PackError, PackWriter};
use model::{Digest, Frames, Layout, PixelSpan, Span};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::ops::Range;

const SEED: u64 = 0x9AC4;

fn many(seed: u64, count: usize) -> Vec<Made> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|number| any(&mut random, number)).collect()
}

/// What a pack pours of a range.
fn poured(pack: &Pack<Counting>, slot: usize, range: Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let each = &mut |part: &[u8]| {
        bytes.extend_from_slice(part);
        true
    };
    pack.pour(slot, range, each).expect("a range");
    bytes
}

#[test]
fn files_frames_ranges_and_metadata_come_back() {
    let instances = many(SEED, 60);
    let (summary, bytes) = packed(&instances);
    assert_eq!(summary.len, bytes.len() as u64);
    assert_eq!(summary.sha256, Digest(Sha256::digest(&bytes).into()));
    let pack = open(bytes);
    assert_eq!(**pack.manifest(), summary.manifest);
    assert_eq!(pack.manifest().about(), about());
    assert_eq!(pack.verify().expect("whole"), summary.len);
    assert_eq!(pack.series_json().expect("there"), SERIES_JSON);
    let mut random = fastrand::Rng::with_seed(SEED);
    for (slot, Made { about, file }) in instances.iter().enumerate() {
        let found = pack.instance(slot).expect("there");
        assert_eq!((&found.head, &found.digest, found.meta_len), (&about.head, &about.digest, about.meta_len));
        let mut back = Vec::new();
        pack.file(slot).expect("there").read_to_end(&mut back).expect("reads");
        assert!(back == *file, "seed {SEED}: instance {slot}");
        for _ in 0..20 {
            let start = random.usize(0..=file.len());
            let end = random.usize(start..=file.len());
            let range = start as u64..end as u64;
            pack.source().reads();
            let part = pack.range(slot, range.clone()).expect("a range");
            assert!(part == file[start..end], "seed {SEED}: instance {slot} {start}..{end}");
            assert!(pack.source().reads() <= 1);
            assert!(part.capacity() / 2 <= part.len(), "{} bytes hold {}", part.len(), part.capacity());
            let mut streamed = Vec::new();
            pack.stream(slot, range).expect("a range").read_to_end(&mut streamed).expect("reads");
            assert!(streamed == part);
            assert!(poured(&pack, slot, start as u64..end as u64) == part);
        }
        for number in 0..about.frames.count() {
            pack.source().reads();
            let frame = pack.frame(slot, number).expect("a frame");
            let (spans, skip) = about.frames.place(number).expect("a place");
            let bytes = |span: &Span| {
                let (at, len) = (usize::try_from(span.at).expect("small"), usize::try_from(span.len).expect("small"));
                file[at..at + len].to_vec()
            };
            let expected: Vec<u8> = spans.iter().flat_map(bytes).collect();
            assert!(frame.bytes == expected && frame.skip_bits == skip, "seed {SEED}: {slot}, frame {number}");
            assert!(pack.source().reads() <= 1, "a frame is one read");
            let (start, end) = (spans[0].at, spans[spans.len() - 1].at + spans[spans.len() - 1].len);
            let run = usize::try_from(start).expect("small")..usize::try_from(end).expect("small");
            assert!(poured(&pack, slot, start..end) == file[run], "seed {SEED}: {slot}, frame {number}");
            assert!(pack.source().reads() <= 1, "poured by one read");
        }
        assert!(matches!(pack.frame(slot, about.frames.count()), Err(PackError::Missing { .. })));
        let beyond = file.len() as u64 + 1;
        assert!(matches!(pack.range(slot, 0..beyond), Err(PackError::Missing { .. })));
    }
    assert!(matches!(pack.instance(instances.len()), Err(PackError::Missing { .. })));
}

#[test]
fn the_same_instances_make_the_same_bytes() {
    let (one, two) = (packed(&many(SEED + 1, 10)), packed(&many(SEED + 1, 10)));
    assert!(one.1 == two.1);
}

#[test]
fn an_empty_pack_and_an_empty_file_are_packs_too() {
    let (_, bytes) = packed(&[]);
    open(bytes).verify().expect("whole");
    let (_, bytes) = packed(&[made(0, Vec::new(), FramePlaces::None, None)]);
    let pack = open(bytes);
    pack.verify().expect("whole");
    let mut back = Vec::new();
    pack.file(0).expect("there").read_to_end(&mut back).expect("reads");
    assert!(back.is_empty());
}

#[test]
fn a_pack_opens_with_two_reads_and_a_known_manifest_with_none() {
    let mut instances = many(SEED + 2, 8);
    let long: Vec<u64> = (0..30_000).collect();
    instances[0].about.head = serde_json::json!({"fact": "instance", "long": long});
    let (_, bytes) = packed(&instances);
    let pack = open(bytes);
    assert_eq!(pack.source().reads(), 2);
    let known = Pack::with(pack.source(), std::sync::Arc::clone(pack.manifest()));
    assert_eq!(pack.source().reads(), 0);
    let mut back = Vec::new();
    known.file(3).expect("there").read_to_end(&mut back).expect("reads");
    assert!(back == instances[3].file);
}

#[test]
fn smooth_pixels_are_coded_noise_and_compressed_pixels_stay_plain() {
    let mut random = fastrand::Rng::with_seed(SEED + 3);
    let mut file = text(&mut random, 500);
    let at = file.len() as u64;
    (0..512u32 * 512).for_each(|n| file.extend_from_slice(&(n % 512 + random.u32(0..4)).to_le_bytes()[..2]));
    let frames = FramePlaces::Native { at, count: 1, bits: 512 * 512 * 16 };
    let pixel = PixelLayout { bits_allocated: 16, samples: 1, columns: 512, big_endian: false };
    let smooth = made(0, file, frames, Some(pixel));
    let noise = made(1, (0..3_000_000).map(|_| random.u8(..)).collect(), FramePlaces::None, None);
    let (summary, bytes) = packed(&[smooth.clone(), noise]);
    let coded = &summary.manifest.instances()[0];
    assert_eq!(coded.coding, EntryCoding::Khz);
    assert_eq!(coded.name, "000001-1.2.3.4.1.dcm.khz");
    assert!(coded.len * 3 < coded.file_len, "{} of {}", coded.len, coded.file_len);
    assert_eq!(coded.pieces.len(), 2, "what is before the pixels, and the frame");
    let plain = &summary.manifest.instances()[1];
    assert_eq!((plain.coding, plain.name.as_str()), (EntryCoding::Plain, "000002-1.2.3.4.2.dcm"));
    assert_eq!(plain.len, plain.file_len);
    assert!(plain.pieces.iter().all(|piece| piece.raw == piece.stored && piece.raw <= 64 << 10));
    // The frame is read alone.
    let pack = open(bytes);
    let before = pack.source().read.load(std::sync::atomic::Ordering::Relaxed);
    pack.frame(0, 0).expect("a frame");
    let read = pack.source().read.load(std::sync::atomic::Ordering::Relaxed) - before;
    assert_eq!(read, coded.pieces[1].stored);
}

#[test]
fn small_frames_share_a_piece_and_large_ones_are_cut_between_rows() {
    let file_len = 200u64 << 20;
    let small = FramePlaces::Native { at: 1_000, count: 100, bits: 300 * 8 };
    let cuts = small.cuts(40_000, None);
    assert_eq!(cuts.iter().map(|cut| cut.len).collect::<Vec<_>>(), [1_000, 30_000, 9_000]);
    let row = 3_000u64;
    let large = FramePlaces::Native { at: 0, count: 1, bits: (file_len - 1_000) * 8 };
    let cuts = large.cuts(file_len, Some(row));
    let lens: Vec<u64> = cuts.iter().filter(|cut| cut.pixels).map(|cut| cut.len as u64).collect();
    assert!(lens.iter().all(|len| *len <= PIECE_MAX));
    assert!(lens.iter().rev().skip(1).all(|len| len % row == 0));
    assert_eq!(lens.iter().sum::<u64>(), file_len - 1_000);
}

#[test]
fn places_of_a_scanned_instance_count_from_the_file() {
    let pixel = PixelSpan { tag: 0x7FE0_0010, header: 100, value: Span { at: 112, len: 800 }, end: 912 };
    let layout = |frames| Layout { pixel: Some(pixel), frames, dataset_len: 912 };
    let native = FramePlaces::of(&layout(Frames::Native { count: 2, bits: 3_200 }), 340);
    assert_eq!(native, FramePlaces::Native { at: 452, count: 2, bits: 3_200 });
    let fragments = vec![Span { at: 128, len: 10 }];
    let found = FramePlaces::of(&layout(Frames::Encapsulated { fragments, starts: None }), 340);
    let fragments = vec![Span { at: 468, len: 10 }];
    assert_eq!(found, FramePlaces::Encapsulated { fragments, starts: None });
    assert_eq!(FramePlaces::of(&layout(Frames::None), 340), FramePlaces::None);
}

#[test]
fn an_instance_that_contradicts_itself_is_refused_and_the_pack_goes_on() {
    let instances = many(SEED + 4, 2);
    let mut writer = PackWriter::create(Vec::new(), about()).expect("begins");
    let Made { about, file } = &instances[0];
    let wrong = [
        InstanceIn { meta_len: u32::MAX, ..about.clone() },
        InstanceIn { frames: FramePlaces::Native { at: 10, count: u32::MAX, bits: u64::MAX }, ..about.clone() },
        InstanceIn { frames: FramePlaces::Native { at: u64::MAX, count: 1, bits: 8 }, ..about.clone() },
        InstanceIn {
            frames: FramePlaces::Encapsulated { fragments: vec![Span { at: 8, len: u64::MAX }], starts: None },
            ..about.clone()
        },
        InstanceIn {
            frames: FramePlaces::Encapsulated {
                fragments: vec![Span { at: 100, len: 9 }, Span { at: 110, len: 9 }],
                starts: None,
            },
            ..about.clone()
        },
    ];
    for wrong in wrong {
        let error = writer.add(wrong, &mut file.as_slice()).expect_err("refused");
        assert!(matches!(error, PackError::Input { .. }), "{error}");
    }
    writer.add(about.clone(), &mut file.as_slice()).expect("goes on");
    let (_, bytes) = writer.finish(b"[]").expect("ends");
    open(bytes).verify().expect("whole");
}

#[test]
fn after_a_failed_read_or_write_nothing_more_is_added() {
    let instances = many(SEED + 5, 1);
    let Made { about: instance, file } = &instances[0];
    for wrong in [&file[..file.len() - 1], &[file.as_slice(), b"x"].concat()] {
        let mut writer = PackWriter::create(Vec::new(), about()).expect("begins");
        let error = writer.add(instance.clone(), &mut &*wrong).expect_err("another length");
        assert!(matches!(error, PackError::Source { .. }), "{error}");
        assert!(matches!(writer.add(instance.clone(), &mut file.as_slice()), Err(PackError::Broken)));
        assert!(matches!(writer.finish(b"[]"), Err(PackError::Broken)));
    }
    let mut room = [0u8; 100];
    let mut writer = PackWriter::create(io::Cursor::new(&mut room[..]), about()).expect("begins");
    assert!(matches!(writer.add(instance.clone(), &mut file.as_slice()), Err(PackError::Write(_))));
    assert!(matches!(writer.add(instance.clone(), &mut file.as_slice()), Err(PackError::Broken)));
}

#[test]
fn no_patient_appears_in_an_error() {
    let error = PackError::Input { sop_instance: uid("1.2.3"), what: "x" };
    assert_eq!(error.to_string(), "instance 1.2.3 cannot be packed: x");
}
