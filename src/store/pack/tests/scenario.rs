//! Objects and packs for the tests.

use crate::coding::PixelLayout;
use crate::pack::{FramePlaces, InstanceIn, Pack, PackAbout, PackSummary, PackWriter};
use crate::read_at::ReadAt;
use model::{FacilityCode, Sameness, SamenessHasher, SamenessKind, Span, Uid};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const SYNTAX: &str = "1.2.840.10008.1.2.1";

/// An instance and its file.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) about: InstanceIn,
    pub(super) file: Vec<u8>,
}

pub(super) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}

pub(super) fn about() -> PackAbout {
    PackAbout { facility: FacilityCode::DEMO, study: uid("1.2.3"), series: uid("1.2.3.4"), part: 1 }
}

fn digest(kind: SamenessKind, meta_len: usize, file: &[u8]) -> Sameness {
    let mut hash = SamenessHasher::new(kind, &uid(SYNTAX));
    hash.update(&file[meta_len..]);
    hash.finish()
}

/// A file of text, pixels and more text, with frames as said. Every second one came in under an earlier version.
pub(super) fn made(number: usize, file: Vec<u8>, frames: FramePlaces, pixel: Option<PixelLayout>) -> Made {
    let meta_len = file.len().min(300);
    let about = InstanceIn {
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid(&format!("1.2.3.4.{}", number + 1)),
        transfer_syntax: uid(SYNTAX),
        meta_len: u32::try_from(meta_len).expect("small"),
        file_len: file.len() as u64,
        digest: digest(SamenessKind::ALL[number % 2], meta_len, &file),
        frames,
        pixel,
        codestreams: false,
        head: serde_json::json!({"fact": "instance", "seq": number, "name": "Nguyễn Văn A", "depth": [1, {"x": null}]}),
    };
    Made { about, file }
}

pub(super) fn text(random: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| *random.choice(b"ABCDEF 0123").expect("one")).collect()
}

/// An instance of any kind the archive meets.
pub(super) fn any(random: &mut fastrand::Rng, number: usize) -> Made {
    let head = random.usize(400..3_000);
    let mut file = text(random, head);
    match random.u8(0..6) {
        0 => {
            let more = random.usize(0..200_000);
            file.extend(text(random, more));
            made(number, file, FramePlaces::None, None)
        }
        1 => {
            // Nothing to gain.
            file = (0..random.usize(0..200_000)).map(|_| random.u8(..)).collect();
            made(number, file, FramePlaces::None, None)
        }
        2 => encapsulated(random, number, file),
        3 => {
            // Frames that begin inside a byte.
            let (count, bits) = (random.u32(1..50), u64::from(random.u32(1..5_000)));
            let at = file.len() as u64;
            file.extend((0..(u64::from(count) * bits).div_ceil(8)).map(|n| if n % 7 == 0 { random.u8(..) } else { 0 }));
            file.extend_from_slice(b"behind the pixels");
            made(number, file, FramePlaces::Native { at, count, bits }, None)
        }
        _ => native(random, number, file),
    }
}

fn native(random: &mut fastrand::Rng, number: usize, mut file: Vec<u8>) -> Made {
    let (columns, rows, count) = (random.u32(1..300), random.u32(1..100), random.u32(1..6));
    let pixel = PixelLayout { bits_allocated: 16, samples: 1, columns, big_endian: random.bool() };
    let at = file.len() as u64;
    for place in 0..u64::from(columns) * u64::from(rows) * u64::from(count) {
        let sample = place % u64::from(columns) + random.u64(0..9);
        file.extend_from_slice(&sample.to_le_bytes()[..2]);
    }
    let behind = random.usize(0..100);
    file.extend(text(random, behind));
    let frames = FramePlaces::Native { at, count, bits: u64::from(columns) * u64::from(rows) * 16 };
    made(number, file, frames, Some(pixel))
}

fn encapsulated(random: &mut fastrand::Rng, number: usize, mut file: Vec<u8>) -> Made {
    let (mut fragments, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..random.usize(1..20) {
        starts.push(u32::try_from(fragments.len()).expect("small"));
        for _ in 0..random.usize(1..4) {
            let len = if random.bool() { random.usize(0..300) } else { random.usize(0..90_000) };
            file.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
            file.extend_from_slice(&u32::try_from(len).expect("small").to_le_bytes());
            fragments.push(Span { at: file.len() as u64, len: len as u64 });
            file.extend((0..len).map(|_| random.u8(..)));
        }
    }
    file.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    made(number, file, FramePlaces::Encapsulated { fragments, starts: Some(starts) }, None)
}

pub(super) const SERIES_JSON: &[u8] = br#"[{"00080018":{"vr":"UI","Value":["1.2.3.4.1"]}},{"00080018":{"vr":"UI"}}]"#;

pub(super) fn packed(instances: &[Made]) -> (PackSummary, Vec<u8>) {
    let mut writer = PackWriter::create(Vec::new(), about()).expect("begins");
    for Made { about, file } in instances {
        writer.add(about.clone(), &mut file.as_slice()).expect("is packed");
    }
    writer.finish(SERIES_JSON).expect("ends")
}

/// Bytes that count how often and how much is read of them.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) bytes: Vec<u8>,
    pub(super) reads: AtomicU64,
    pub(super) read: AtomicU64,
}

impl Counting {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, reads: AtomicU64::new(0), read: AtomicU64::new(0) }
    }

    /// Reads since the last call.
    pub(super) fn reads(&self) -> u64 {
        self.reads.swap(0, Ordering::Relaxed)
    }
}

impl ReadAt for Counting {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read.fetch_add(range.end.saturating_sub(range.start), Ordering::Relaxed);
        self.bytes.read_at(range)
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

pub(super) fn open(bytes: Vec<u8>) -> Pack<Counting> {
    Pack::open(Counting::new(bytes)).expect("opens")
}
