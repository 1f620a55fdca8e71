//! Pictures of what lies in no ordinary pixels: overlays in unused bits, real numbers.

use super::decode::{EXPLICIT_BE, EXPLICIT_LE, data_set, decode, native, sized, store};
use super::packs::{pack_files, packing};
use super::{Bench, uid, until};
use crate::render::{Gone, PictureError, Shown, Wanted};
use crate::{InstanceRow, RetrieveError, Target};
use dataset::json::Parts;
use dataset::pixels::Words;
use dataset::render::{Description, Encoding, Function, Options, Presentation, Viewport, Window};
use model::{Caller, Scope};
use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

fn row(bench: &Bench, sop: &str) -> InstanceRow {
    let target = Target::Instance { study: uid("1.2.7"), series: uid("1.2.7.1"), instance: uid(sop) };
    bench.archive.select(&Caller::demo(), Scope::Shared, &target).expect("stored").instances.remove(0)
}

/// A picture as PNG, whose bytes tell whether two are the same.
fn shown(bench: &Bench, sop: &str, number: u32, how: Options) -> Vec<u8> {
    let wanted = Wanted { how, ..Wanted::plain(Encoding::Png) };
    bench.archive.rendered(&row(bench, sop), number, &wanted).expect("a picture").as_ref().clone()
}

fn with_overlays() -> Options {
    Options { overlays: true, ..Options::default() }
}

/// Two frames of 3 × 5 cells, an overlay in the fifteenth bit of some.
fn cells(marked: impl Fn(u16) -> bool) -> Vec<u16> {
    (0..30_u16).map(|at| at * 130 + if marked(at) { 0x4000 } else { 0 }).collect()
}

#[test]
fn overlays_in_unused_bits_are_drawn_and_move_to_values_of_their_own() {
    let bench = Bench::new();
    let position = |big: bool| match big {
        true => vec![0x60, 0, 0x01, 0x02, b'U', b'S', 0, 2, 0, 14],
        false => vec![0, 0x60, 0x02, 0x01, b'U', b'S', 2, 0, 14, 0],
    };
    let put = |sop: &str, big: bool, cells: &[u16]| {
        let order = |cell: &u16| if big { cell.to_be_bytes() } else { cell.to_le_bytes() };
        let value: Vec<u8> = cells.iter().flat_map(order).collect();
        let pixels = [position(big), native(big, b"OW", &value)].concat();
        let syntax = if big { EXPLICIT_BE } else { EXPLICIT_LE };
        store(&bench, sop, syntax, &data_set(sop, big, 2, (16, 12), &pixels));
    };
    let mark = |at: u16| at % 7 == 3;
    put("1.2.7.1.1", false, &cells(mark));
    put("1.2.7.1.2", true, &cells(mark));
    put("1.2.7.1.3", false, &cells(|_| false));
    for number in [1, 2] {
        let marked = shown(&bench, "1.2.7.1.1", number, with_overlays());
        let plain = shown(&bench, "1.2.7.1.3", number, Options::default());
        assert_ne!(marked, plain);
        assert_eq!(shown(&bench, "1.2.7.1.1", number, Options::default()), plain, "they are no part of the samples");
        assert_eq!(shown(&bench, "1.2.7.1.2", number, with_overlays()), marked, "in big endian words");
    }
    for target in codec::Target::LOSSLESS {
        for sop in ["1.2.7.1.1", "1.2.7.1.2"] {
            let mut bytes = Vec::new();
            let mut made = bench.archive.transcoded(&row(&bench, sop), target.uid()).expect("made");
            made.read_to_end(&mut bytes).expect("readable to its end");
            let other = Bench::new();
            store(&other, sop, target.uid(), &bytes);
            for number in [1, 2] {
                let samples = decode(&other, sop, number - 1).expect("decoded").words;
                let from = usize::try_from(number - 1).expect("few") * 15;
                assert_eq!(samples, Words::Sixteen(cells(|_| false)[from..from + 15].to_vec()));
                let marked = shown(&bench, "1.2.7.1.1", number, with_overlays());
                assert_eq!(shown(&other, sop, number, with_overlays()), marked, "{}", target.uid());
            }
        }
    }
}

/// A presentation state that activates the overlay of a group.
fn activating(group: u8) -> Options {
    let modality = [8, 0, 0x60, 0, b'C', b'S', 2, 0, b'P', b'R'];
    let head = [modality, [group, 0x60, 0x01, 0x10, b'C', b'S', 2, 0, b'L', b'1']].concat();
    let parts = Parts { before: &head, pixel: None, after: &[] };
    let description = Description::read(&parts, &uid(EXPLICIT_LE)).expect("a data set");
    let presentation = Some(Presentation::new(description, format!("activates 60{group:02X}")));
    Options { presentation, ..Options::default() }
}

#[test]
fn an_overlay_in_unused_bits_is_drawn_where_a_presentation_state_activates_it() {
    let bench = Bench::new();
    for (sop, marks) in [("1.2.7.1.1", true), ("1.2.7.1.2", false)] {
        let value: Vec<u8> = cells(|at| marks && at % 7 == 3).iter().flat_map(|cell| cell.to_le_bytes()).collect();
        let bit = vec![0, 0x60, 0x02, 0x01, b'U', b'S', 2, 0, 14, 0];
        let pixels = [bit, native(false, b"OW", &value)].concat();
        store(&bench, sop, EXPLICIT_LE, &data_set(sop, false, 2, (16, 12), &pixels));
    }
    let plain = shown(&bench, "1.2.7.1.2", 1, activating(2));
    assert_eq!(shown(&bench, "1.2.7.1.1", 1, activating(2)), plain, "another group is activated");
    let other = Options { overlays: true, ..activating(2) };
    assert_eq!(shown(&bench, "1.2.7.1.1", 1, other), plain, "the state decides, not who asks for annotations");
    let active = shown(&bench, "1.2.7.1.1", 1, activating(0));
    assert_ne!(active, plain);
    assert_eq!(active, shown(&bench, "1.2.7.1.1", 1, with_overlays()));
}

#[test]
fn real_numbers_are_shown_between_their_smallest_and_their_largest() {
    let bench = Bench::new();
    let values: Vec<f64> = (0..15).map(|at| f64::from(at) / 4.0 - 1.0).collect();
    let floats = |tag: u8, vr: &[u8; 2], value: &[u8]| {
        let mut pixels = native(false, vr, value);
        pixels[2] = tag;
        pixels
    };
    let with = |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let single: Vec<u8> = [1.0_f32, 0.25, f32::NAN].iter().flat_map(|value| value.to_le_bytes()).collect();
    let single = [single, [0.0_f32; 12].iter().flat_map(|value| value.to_le_bytes()).collect()].concat();
    store(
        &bench,
        "1.2.7.1.1",
        EXPLICIT_LE,
        &data_set("1.2.7.1.1", false, 1, (64, 64), &floats(9, b"OD", &with(&values))),
    );
    store(&bench, "1.2.7.1.2", EXPLICIT_LE, &data_set("1.2.7.1.2", false, 1, (32, 32), &floats(8, b"OF", &single)));
    // The same brightness as bytes that lie as evenly.
    let bytes: Vec<u8> = [0, 18, 36, 55, 73, 91, 109, 128, 146, 164, 182, 200, 219, 237, 255, 0].to_vec();
    store(&bench, "1.2.7.1.3", EXPLICIT_LE, &data_set("1.2.7.1.3", false, 1, (8, 8), &native(false, b"OB", &bytes)));
    let own = Options::default;
    assert_eq!(shown(&bench, "1.2.7.1.1", 1, own()), shown(&bench, "1.2.7.1.3", 1, own()));
    let bytes = [[255, 64].as_slice(), &[0; 14]].concat();
    store(&bench, "1.2.7.1.4", EXPLICIT_LE, &data_set("1.2.7.1.4", false, 1, (8, 8), &native(false, b"OB", &bytes)));
    assert_eq!(shown(&bench, "1.2.7.1.2", 1, own()), shown(&bench, "1.2.7.1.4", 1, own()), "no number is black");
}

/// Two frames of an instance, again and again.
fn moving(bench: &Bench) -> Vec<Shown> {
    let value: Vec<u8> = cells(|_| false).iter().flat_map(|cell| cell.to_le_bytes()).collect();
    store(bench, "1.2.7.1.1", EXPLICIT_LE, &data_set("1.2.7.1.1", false, 2, (16, 12), &native(false, b"OW", &value)));
    let row = Arc::new(row(bench, "1.2.7.1.1"));
    (0..50).map(|at| (Arc::clone(&row), at % 2 + 1)).collect()
}

#[test]
fn an_animation_ends_at_the_next_frame_when_its_asker_has_gone() {
    let bench = Bench::new();
    let (frames, wanted) = (moving(&bench), Wanted::plain(Encoding::Gif));
    // While the frames are looked at, and while they are shown.
    for stays in [10, 60] {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let gone: Gone = Arc::new(move || counted.fetch_add(1, Ordering::Relaxed) >= stays);
        assert_eq!(bench.archive.animated(&frames, &wanted, &gone), Err(PictureError::Gone));
        assert_eq!(asked.load(Ordering::Relaxed), stays + 2, "nothing more was made for it, nor begun anew");
    }
    let stays: Gone = Arc::new(|| false);
    let whole = bench.archive.animated(&frames, &wanted, &stays);
    assert!(whole.is_ok_and(|bytes| bytes.starts_with(b"GIF89a")), "whoever asks next gets it");
}

/// Somebody who says that he has been asked so often whether he goes, waits then until something is sent, and goes.
fn goes_at(call: u32, said: mpsc::Sender<()>, until: mpsc::Receiver<()>) -> Gone {
    let (asked, until) = (AtomicU32::new(0), std::sync::Mutex::new(until));
    Arc::new(move || {
        let now = asked.fetch_add(1, Ordering::Relaxed) + 1;
        if now == call {
            said.send(()).expect("awaited");
            until.lock().expect("no panic").recv().expect("released");
        }
        now >= call
    })
}

#[test]
fn an_animation_goes_on_for_those_who_wait_when_the_first_asker_has_gone() {
    let bench = Bench::new();
    let (frames, wanted) = (moving(&bench), Wanted::plain(Encoding::Gif));
    let (archive, frames, wanted) = (&bench.archive, frames.as_slice(), &wanted);
    let ((begins, begun), (release, released)) = (mpsc::channel(), mpsc::channel());
    let (waits, waiting) = mpsc::channel();
    let leaves = goes_at(2, begins, released);
    // Asked once before it begins, and again when it waits.
    let asked = AtomicU32::new(0);
    let stays: Gone = Arc::new(move || {
        if asked.fetch_add(1, Ordering::Relaxed) == 1 {
            waits.send(()).expect("awaited");
        }
        false
    });
    thread::scope(|scope| {
        scope.spawn(|| archive.animated(frames, wanted, &leaves));
        begun.recv().expect("it is being made");
        let second = scope.spawn(|| archive.animated(frames, wanted, &stays));
        waiting.recv().expect("it waits");
        release.send(()).expect("awaited");
        assert!(second.join().expect("no panic").is_ok());
    });
    assert_eq!(archive.pictures_made(), 1, "it was not begun anew");
}

#[test]
fn a_picture_in_the_making_when_a_study_is_destroyed_is_not_kept() {
    let bench = Bench::new();
    let (frames, wanted) = (moving(&bench), Wanted::plain(Encoding::Gif));
    let asked = Arc::new(AtomicU32::new(0));
    let (archive, counted) = (Arc::clone(&bench.archive), Arc::clone(&asked));
    let destroys: Gone = Arc::new(move || {
        if counted.fetch_add(1, Ordering::Relaxed) == 10 {
            archive.forget_derived();
        }
        false
    });
    let stays: Gone = Arc::new(|| false);
    let whole = bench.archive.animated(&frames, &wanted, &destroys).expect("whoever waits gets it");
    assert!(asked.load(Ordering::Relaxed) > 10, "nothing was forgotten meanwhile");
    assert_eq!(bench.archive.animated(&frames, &wanted, &stays), Ok(Arc::clone(&whole)));
    assert_eq!(bench.archive.pictures_made(), 2, "it was kept");
    assert_eq!(bench.archive.animated(&frames, &wanted, &stays), Ok(whole));
    assert_eq!(bench.archive.pictures_made(), 2, "the one begun afterwards was not");
}

#[test]
fn a_large_frame_of_a_pack_is_shown_as_it_was_before_it_was_packed() {
    let sop = "1.2.7.1.1";
    let mut random = fastrand::Rng::with_seed(11);
    let samples = (0..1_300_u32 * 1_100).map(|at| 300 + at % 1_100 + at / 1_100 + random.u32(0..40));
    let value: Vec<u8> = samples.flat_map(|sample| sample.to_le_bytes().into_iter().take(2)).collect();
    let file = sized(sop, false, 1, (16, 12), (1_300, 1_100), &native(false, b"OW", &value));
    let (plain, packed) = (Bench::new(), packing());
    store(&plain, sop, EXPLICIT_LE, &file);
    store(&packed, sop, EXPLICIT_LE, &file);
    until("packed", || row(&packed, sop).home.journal().is_none());
    assert!(row(&plain, sop).home.journal().is_some());
    let window = Window::new(1_500.0, 2_000.0, Function::Linear).expect("a window");
    let whole = Options { window: Some(window), ..Options::default() };
    let viewport = |text: &str| Some(Viewport::parse(text).expect("a viewport"));
    let ways = [
        whole.clone(),
        Options { viewport: viewport("200,200"), ..whole.clone() },
        // Only rows in the middle.
        Options { viewport: viewport("100,100,300,500,600,400"), ..whole },
    ];
    let shown = |bench: &Bench, how: &Options, encoding| {
        let wanted = Wanted { how: how.clone(), ..Wanted::plain(encoding) };
        bench.archive.rendered(&row(bench, sop), 1, &wanted)
    };
    for how in &ways {
        for encoding in [Encoding::Jpeg, Encoding::Png] {
            let (one, other) = (shown(&plain, how, encoding), shown(&packed, how, encoding));
            assert!(one.expect("a picture") == other.expect("a picture"), "{how:?} {encoding:?}");
        }
    }
    // A flipped bit is found before anything is shown.
    let pack = pack_files(&packed.options).pop().expect("a pack");
    let mut bytes = std::fs::read(&pack).expect("the pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pack, bytes).expect("damaged");
    packed.archive.forget_derived();
    for how in &ways {
        let refused = shown(&packed, how, Encoding::Jpeg).expect_err("damage");
        assert!(matches!(refused, PictureError::Retrieve(RetrieveError::Damaged { .. })), "{refused}");
    }
}
