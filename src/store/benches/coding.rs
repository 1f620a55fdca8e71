//! How fast and how small pixels are coded on this machine: `cargo bench -p khoanh-store --bench coding`.
//!
//! Promise: native CT and MR at 0.6 GB/s and more on one core, back at 0.8 GB/s and more, and over all native files
//! of the corpus (`KHOANH_DICOM`, else `../shared/dicom`) at least 1.25 times smaller than plain zstd -3.
//! Then packs of all native files, written to memory with every digest, checked, and read frame by frame.
//! The files of the corpus are small, so images of the size scanners make follow, drawn as the tests draw them.
//! Every speed is a median, and stands beside that of zstd -3 in the same turns: what else runs on the machine slows both.
//! It deliberately leaves the disk out.

#[path = "../../testkit/pixels.rs"]
#[allow(dead_code, unreachable_pub)]
mod pixels;

use dataset::Limits;
use dataset::part10::Part10;
use dataset::scan::Scanner;
use model::attribute::key;
use model::{AttrKey, Frames};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::coding::{Coder, Decoder, PixelLayout};
use store::pack::{FramePlaces, InstanceIn, Pack, PackAbout, PackSummary, PackWriter};

/// A file with native pixel data, cut into frames and what lies around them.
struct Native {
    name: String,
    modality: String,
    layout: PixelLayout,
    frames: Vec<Vec<u8>>,
    around: Vec<u8>,
    instance: InstanceIn,
    file: Vec<u8>,
}

impl Native {
    /// All bytes, in another order than in the file where something lies behind the pixels.
    fn whole(&self) -> Vec<u8> {
        let mut whole = self.around.clone();
        self.frames.iter().for_each(|frame| whole.extend_from_slice(frame));
        whole
    }

    fn images(&self) -> impl Iterator<Item = (&[u8], &PixelLayout)> {
        self.frames.iter().map(|frame| (frame.as_slice(), &self.layout))
    }
}

/// Images of the size scanners make.
fn drawn() -> [(&'static str, Vec<Vec<u8>>, PixelLayout); 3] {
    let mut rng = fastrand::Rng::with_seed(7);
    let layout = |columns| PixelLayout { bits_allocated: 16, samples: 1, columns, big_endian: false };
    let places = |count: u8| (0..count).map(move |number| f32::from(number) / f32::from(count));
    let ct = places(12).map(|z| pixels::ct(&mut rng, 512, z)).collect();
    let mr = places(24).map(|z| pixels::mr(&mut rng, 256, z)).collect();
    let dx = vec![pixels::dx(&mut rng, 2_500, 2_000)];
    [
        ("drawn CT, 512 x 512", ct, layout(512)),
        ("drawn MR, 256 x 256", mr, layout(256)),
        ("drawn DX", dx, layout(2_000)),
    ]
}

fn main() {
    let corpus = std::env::var_os("KHOANH_DICOM")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/dicom")), PathBuf::from);
    let mut files = Vec::new();
    collect(&corpus, &mut files);
    files.sort();
    let natives: Vec<Native> = files.iter().filter_map(|file| native(file)).collect();
    assert!(natives.len() > 50, "{}: {} native files", corpus.display(), natives.len());
    sizes(&natives);
    println!(
        "{:<28} {:>7} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "speed, one core", "MB", "ratio", "in GB/s", "out GB/s", "in/zstd", "out/zstd"
    );
    for (name, modalities) in [("CT", &["CT"][..]), ("MR", &["MR"]), ("CT and MR", &["CT", "MR"]), ("all", &[])] {
        let chosen =
            natives.iter().filter(|native| modalities.is_empty() || modalities.contains(&native.modality.as_str()));
        speed(name, &chosen.flat_map(Native::images).collect::<Vec<_>>());
    }
    for (name, frames, layout) in drawn() {
        speed(name, &frames.iter().map(|frame| (frame.as_slice(), &layout)).collect::<Vec<_>>());
    }
    packs(&natives);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("bad") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "dcm") {
            files.push(path);
        }
    }
}

fn native(path: &Path) -> Option<Native> {
    let file = std::fs::read(path).expect("a file of the corpus");
    let mut head = Part10::new(None);
    head.feed(&file).ok()?;
    let meta = head.finish().ok()?.clone();
    let data_set = file.get(usize::try_from(meta.len).ok()?..)?;
    let mut scanner = Scanner::new(&meta.transfer_syntax, model::facility::CharsetHint::Auto, Limits::default());
    scanner.feed(data_set).ok()?;
    let scanned = scanner.finish().ok()?;
    if meta.transfer_syntax.as_str() == dataset::syntax::DEFLATED_LE {
        return None;
    }
    let places = FramePlaces::of(&scanned.layout, meta.len);
    let Frames::Native { count, bits } = scanned.layout.frames else { return None };
    let value = scanned.layout.pixel?.value;
    let number = |key: AttrKey| scanned.attributes.get(&key).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let layout = PixelLayout {
        bits_allocated: u16::try_from(number(key::BITS_ALLOCATED)).ok()?,
        samples: u16::try_from(number(key::SAMPLES_PER_PIXEL)).ok()?,
        columns: number(key::COLUMNS),
        big_endian: meta.transfer_syntax.as_str() == dataset::syntax::EXPLICIT_BE,
    };
    let start = usize::try_from(value.at).ok()?;
    let (before, rest) = data_set.split_at_checked(start)?;
    let len = usize::try_from(bits / 8).ok()?;
    let (frames, after) = if bits % 8 == 0 && len > 0 && count > 0 {
        let (frames, after) = rest.split_at_checked(len * usize::try_from(count).ok()?)?;
        (frames.chunks(len).map(<[u8]>::to_vec).collect(), after)
    } else {
        (vec![rest.to_vec()], &[][..])
    };
    let around = [&file[..file.len() - data_set.len()], before, after].concat();
    let modality = scanned.attributes.get(&key::MODALITY).cloned().unwrap_or_default();
    let instance = InstanceIn {
        sop_class: scanned.sop_class,
        sop_instance: scanned.sop_instance,
        transfer_syntax: meta.transfer_syntax,
        meta_len: meta.len,
        file_len: u64::try_from(file.len()).ok()?,
        digest: scanned.digest,
        frames: places,
        pixel: Some(layout),
        codestreams: false,
        head: serde_json::Value::Null,
    };
    Some(Native { name: path.display().to_string(), modality, layout, frames, around, instance, file })
}

fn sizes(natives: &[Native]) {
    let mut coder = Coder::new().expect("a coder");
    let (mut raw, mut plain, mut coded) = (0, 0, 0);
    let verbose = std::env::var_os("EACH").is_some();
    for native in natives {
        let whole = native.whole();
        let baseline = zstd::bulk::compress(&whole, 3).expect("zstd").len();
        let mut ours = coder.encode(&native.around, None).map_or(native.around.len(), <[u8]>::len);
        for frame in &native.frames {
            ours += coder.encode(frame, Some(&native.layout)).map_or(frame.len(), <[u8]>::len);
        }
        if verbose {
            let ratio = |size: usize| whole.len() as f64 / size as f64;
            println!("{:>9} {:>7.2} {:>7.2} {}", whole.len(), ratio(baseline), ratio(ours), native.name);
        }
        (raw, plain, coded) = (raw + whole.len(), plain + baseline, coded + ours);
    }
    let ratio = |size: usize| raw as f64 / size as f64;
    println!("native files: {}, {:.1} MB", natives.len(), raw as f64 / 1e6);
    println!("zstd -3 {:.3}, coded {:.3}: {:.3} times", ratio(plain), ratio(coded), plain as f64 / coded as f64);
}

/// Frames in and out, and in by zstd alone, turn by turn.
fn speed(name: &str, frames: &[(&[u8], &PixelLayout)]) {
    let mut coder = Coder::new().expect("a coder");
    let mut decoder = Decoder::new().expect("a decoder");
    let mut plain = zstd::bulk::Compressor::new(3).expect("zstd");
    let raw: usize = frames.iter().map(|(frame, _)| frame.len()).sum();
    let coded: Vec<Option<Vec<u8>>> =
        frames.iter().map(|(frame, layout)| coder.encode(frame, Some(layout)).map(<[u8]>::to_vec)).collect();
    let size: usize =
        coded.iter().zip(frames).map(|(coded, (raw, _))| coded.as_ref().map_or(raw.len(), Vec::len)).sum();
    let (mut out, mut room) = (Vec::new(), vec![0; zstd::zstd_safe::compress_bound(raw)]);
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        let encode = turn(raw, || {
            for (frame, layout) in frames {
                std::hint::black_box(coder.encode(frame, Some(layout)));
            }
        });
        let decode = turn(raw, || {
            for (coded, (frame, _)) in coded.iter().zip(frames) {
                out.clear();
                match coded {
                    Some(coded) => decoder.decode(coded, frame.len(), &mut out).expect("decoded"),
                    None => out.extend_from_slice(frame),
                }
                std::hint::black_box(&out);
            }
        });
        let zstd = turn(raw, || {
            for (frame, _) in frames {
                std::hint::black_box(plain.compress_to_buffer(frame, room.as_mut_slice()).expect("zstd"));
            }
        });
        turns.push([encode, decode, encode / zstd, decode / zstd]);
    }
    let [encode, decode, by, back_by] = [0, 1, 2, 3].map(|column| {
        let mut column: Vec<f64> = turns.iter().map(|turn| turn[column]).collect();
        column.sort_by(f64::total_cmp);
        column[column.len() / 2]
    });
    let (megabytes, ratio) = (raw as f64 / 1e6, raw as f64 / size as f64);
    println!("{name:<28} {megabytes:>7.1} {ratio:>8.2} {encode:>10.2} {decode:>10.2} {by:>10.2} {back_by:>10.2}");
}

/// A pack of everything: written, checked byte for byte, and each frame read by its own read.
fn packs(natives: &[Native]) {
    let written = || -> (PackSummary, Vec<u8>) {
        let uid = |text| model::Uid::parse(text).expect("a UID");
        let facility = model::FacilityCode::DEMO;
        let about = PackAbout { facility, study: uid("1.2.3"), series: uid("1.2.3.4"), part: 1 };
        let mut writer = PackWriter::create(Vec::new(), about).expect("begins");
        for native in natives {
            writer.add(native.instance.clone(), &mut native.file.as_slice()).expect("is packed");
        }
        writer.finish(b"[]").expect("ends")
    };
    let (summary, bytes) = written();
    let raw: usize = natives.iter().map(|native| native.file.len()).sum();
    let write = repeat(raw, || {
        std::hint::black_box(written());
    });
    let pack = Pack::open(bytes).expect("opens");
    let check = repeat(raw, || {
        std::hint::black_box(pack.verify().expect("whole"));
    });
    let mut of_frames = 0;
    let frames = repeat(1, || {
        for (slot, native) in natives.iter().enumerate() {
            for number in 0..native.instance.frames.count() {
                of_frames = of_frames.max(pack.frame(slot, number).expect("a frame").bytes.len());
            }
        }
    });
    let count: u32 = natives.iter().map(|native| native.instance.frames.count()).sum();
    println!("pack: {:.1} MB of {:.1}", summary.len as f64 / 1e6, raw as f64 / 1e6);
    println!("written at {write:.2} GB/s, checked at {check:.2}, {:.0} frames/s", frames * 1e9 * f64::from(count));
}

/// Turns of which the median counts, and how long one takes.
const TURNS: usize = 9;
const TURN: Duration = Duration::from_millis(100);

/// GB per second of processor time: what else runs on the machine matters less.
fn turn(bytes: usize, mut work: impl FnMut()) -> f64 {
    let start = processor_time();
    let mut rounds = 0;
    while processor_time() - start < TURN {
        work();
        rounds += 1;
    }
    (bytes * rounds) as f64 / (processor_time() - start).as_secs_f64() / 1e9
}

/// The median of some turns, after one to warm up.
fn repeat(bytes: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut turns: Vec<f64> = (0..TURNS).map(|_| turn(bytes, &mut work)).collect();
    turns.sort_by(f64::total_cmp);
    turns[TURNS / 2]
}

/// Time this thread was on a processor.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let time = text.split(' ').next().and_then(|time| time.parse().ok()).expect("nanoseconds");
    Duration::from_nanos(time)
}
