//! From journal to pack and back: what is read, what is released, what a rebuild makes of it.

use super::*;
use crate::packs::Far;
use crate::{RetrieveError, Target, rebuild};
use index::{InstanceRow, PackRow};
use model::attribute::key;
use model::pack::{ColdCopy, PackFact};
use model::{Caller, Digest, Fact, Home, Scope};
use sha2::Digest as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use store::ReadAt;

/// An archive that packs at once and has small segments.
pub(crate) fn packing() -> Bench {
    packing_with(|_| {})
}

/// The same with other options.
pub(crate) fn packing_with(change: impl FnOnce(&mut Options)) -> Bench {
    Bench::with(|options| {
        options.quiet_after = Duration::from_millis(100);
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
        options.segment_bytes = 128 << 10;
        options.blob_above = 32 << 10;
        change(options);
    })
}

pub(crate) fn object(series: u32, number: u32) -> Object {
    let name = format!("1.2.1.{series}");
    let pixels = if number.is_multiple_of(10) { 64 * 1024 } else { 4096 };
    let fill = u8::try_from(number % 251).expect("small");
    let series = name.clone().leak();
    Object { series, number, pixels, fill, ..Object::new(&format!("{name}.{number}")) }
}

pub(crate) fn rows(bench: &Bench) -> Vec<InstanceRow> {
    let study = Target::Study(uid("1.2.1"));
    bench.archive.select(&Caller::demo(), Scope::Shared, &study).expect("the study").instances
}

pub(crate) fn read(bench: &Bench, row: &InstanceRow) -> Result<Vec<u8>, RetrieveError> {
    bench.archive.read(row, u64::from(row.meta_len)..row.file_len)
}

pub(crate) fn all_packed(bench: &Bench) -> bool {
    rows(bench).iter().all(|row| row.home.journal().is_none())
}

pub(crate) fn pack_files(options: &Options) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&options.data.join("packs/packs"), &mut found);
    found
}

fn blobs(options: &Options) -> usize {
    std::fs::read_dir(options.data.join("journal/blobs")).map_or(0, Iterator::count)
}

#[test]
fn a_quiet_series_is_packed_read_without_a_gap_and_its_segments_go() {
    let bench = packing();
    let objects: Vec<Object> = (1..=4).flat_map(|series| (1..=40).map(move |number| object(series, number))).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Readers hold rows from before the packing and ask for their bytes all the time.
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) {
                let Ok(held) = bench.archive.select(&Caller::demo(), Scope::Shared, &Target::Study(uid("1.2.1")))
                else {
                    continue;
                };
                for _ in 0..3 {
                    for row in &held.instances {
                        let bytes = read(&bench, row).unwrap_or_else(|error| panic!("{}: {error}", row.sop_instance));
                        let object = objects.iter().find(|object| object.sop == row.sop_instance.as_str());
                        assert!(bytes == object.expect("known").bytes(), "{} differs", row.sop_instance);
                        reads += 1;
                    }
                }
            }
            reads
        });
        for object in &objects {
            bench.store(object).expect("stored");
        }
        until("everything is packed", || rows(&bench).len() == 160 && all_packed(&bench));
        until("only the active segment stays", || bench.archive.journal().segments().len() == 1);
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().expect("reader") > 160);
    });
    assert_eq!(blobs(&bench.options), 0, "files of bodies stay");
    until("even the last segment is released", || {
        let active = bench.archive.journal().segments();
        active.iter().all(|segment| segment.first_lsn > bench.archive.journal().last())
    });
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (160, 0), "{report:?}");
    let bench = bench.reopen();
    assert_eq!(rows(&bench).len(), 160);
    for row in rows(&bench) {
        assert!(matches!(row.home, Home::Pack { .. }));
        read(&bench, &row).expect("read");
    }
}

#[test]
fn a_rebuild_from_packs_and_what_is_left_of_the_journal_is_equal() {
    let bench = packing();
    for series in 1..=3 {
        for number in 1..=30 {
            bench.store(&object(series, number)).expect("stored");
        }
    }
    // A copy in conflict stays in the journal and is copied forward from segment to segment.
    let conflict = Object { fill: 99, ..object(1, 1) };
    bench.store(&conflict).expect("kept");
    until("packed", || rows(&bench).len() == 90 && all_packed(&bench));
    until("released", || bench.archive.journal().segments().len() == 1);
    // Late ones make another part, and some stay unpacked.
    for number in 31..=40 {
        bench.store(&object(2, number)).expect("stored");
    }
    until("packed again", || rows(&bench).len() == 100 && all_packed(&bench));
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal(), "{report:?}");
    // The same when there is no index at all: start-up builds it.
    std::fs::remove_dir_all(options.data.join("index")).expect("the index");
    let archive = Archive::open(options.clone()).expect("open without an index");
    let bench = Bench { archive, options, folder };
    assert_eq!(rebuild::dump_digest(bench.archive.index().as_ref()).expect("dump"), report.after);
    let kept = bench.archive.conflicts(&Caller::demo(), None, 10).expect("list").rows;
    assert_eq!(read(&bench, kept.first().expect("the conflict")).expect("read"), conflict.bytes());
    assert_eq!(rows(&bench).len(), 100);
    // And once more, as an ordinary start.
    let bench = bench.reopen();
    assert_eq!(rebuild::dump_digest(bench.archive.index().as_ref()).expect("dump"), report.after);
}

#[test]
fn studies_that_lie_in_packs_altogether_and_those_that_do_not_are_rebuilt_alike() {
    let bench = packing();
    let of = |study: u32, number: u32| {
        let name = format!("1.2.9.{study}");
        let (study, series) = (name.clone().leak(), format!("{name}.{}", number % 3).leak());
        Object { study, series, number, ..Object::new(&format!("{name}.7.{number}")) }
    };
    for number in 1..=12 {
        for study in 1..=9 {
            bench.store(&of(study, number)).expect("stored");
        }
    }
    // A copy in conflict never lies in a pack.
    bench.store(&Object { fill: 99, ..of(4, 1) }).expect("kept");
    until("packed", || bench.archive.index().unpacked(u64::MAX, 1).expect("list").is_empty() && packs_of(&bench) == 27);
    until("released", || bench.archive.journal().segments().len() == 1);
    // Later parts, that take the place of the first ones or stand beside them.
    for (study, number) in [(2, 13), (5, 14), (5, 15)] {
        bench.store(&of(study, number)).expect("stored");
    }
    until("packed again", || {
        bench.archive.index().unpacked(u64::MAX, 1).expect("list").is_empty() && packs_of(&bench) > 29
    });
    let Bench { archive, options, folder: _folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let mut heard = 0;
    let report = rebuild::run(&options, &mut |facts| heard = facts).expect("rebuild");
    assert!(report.equal() && report.packs > 29, "{report:?}");
    assert_eq!(heard, report.facts);
    assert!(!options.data.join("index.spool").exists(), "what was sorted stays");
    // It stands at the journal's end: the next one, or a start, finds it in reach.
    let again = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(again.equal() && again.after == report.after, "{again:?}");
}

fn packs_of(bench: &Bench) -> usize {
    bench.archive.index().packs(None, 1_000).expect("packs").len()
}

#[test]
fn a_changed_bit_in_a_pack_is_found_and_never_served() {
    let bench = packing();
    for number in 1..=3 {
        bench.store(&object(1, number)).expect("stored");
    }
    until("packed", || rows(&bench).len() == 3 && all_packed(&bench));
    let bench = bench.reopen();
    let files = pack_files(&bench.options);
    let [path] = files.as_slice() else { panic!("one pack: {files:?}") };
    let mut bytes = std::fs::read(path).expect("the pack");
    // Somewhere in the data of the first entry.
    let at = bytes.iter().position(|byte| *byte == b'N').expect("a patient's name") + 1;
    bytes[at] ^= 1;
    std::fs::write(path, &bytes).expect("written");
    let damaged = rows(&bench).iter().filter(|row| read(&bench, row).is_err()).count();
    assert!(damaged > 0, "changed bytes were served");
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (3, 3), "{report:?}");
}

#[test]
fn a_pack_that_was_never_recorded_goes_at_the_next_start() {
    let bench = packing();
    bench.store(&object(1, 1)).expect("stored");
    until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
    let files = pack_files(&bench.options);
    let orphan = files[0].with_file_name("0123456789abcdef0123456789abcdef.zip");
    std::fs::copy(&files[0], &orphan).expect("copied");
    let moved = bench.options.data.join("packs/packs/cd/ef");
    std::fs::create_dir_all(&moved).expect("folder");
    std::fs::rename(&orphan, moved.join("0123456789abcdef0123456789abcdef.zip")).expect("moved");
    let bench = bench.reopen();
    until("the orphan goes", || pack_files(&bench.options) == files);
    read(&bench, &rows(&bench)[0]).expect("the other stays");
}

#[test]
fn a_series_is_cut_into_parts_by_size() {
    let bench = Bench::with(|options| {
        options.quiet_after = Duration::from_millis(100);
        options.packs.after = Duration::ZERO;
        options.packs.reserve = 0;
        options.packs.part_max = 20_000;
    });
    for number in (1..=20).rev() {
        bench.store(&object(1, number)).expect("stored");
    }
    until("packed", || rows(&bench).len() == 20 && all_packed(&bench));
    let series = rows(&bench)[0].key.clone();
    let packs = bench.archive.index().packs_of(&series).expect("packs");
    assert!(packs.len() >= 5, "{packs:?}");
    assert!(packs.iter().all(|pack| pack.raw <= 20_000 || pack.instances == 1), "{packs:?}");
    assert_eq!(packs.iter().map(|pack| pack.instances).sum::<u64>(), 20);
    // In the order of a viewer: slots rise with the instance number.
    let homes: Vec<(u32, u32)> = rows(&bench)
        .iter()
        .map(|row| match row.home {
            Home::Pack { pack, slot } => (packs.iter().find(|row| row.pack == pack).expect("known").part, slot),
            Home::Journal(_) => panic!("not packed"),
        })
        .collect();
    assert!(homes.is_sorted(), "{homes:?}");
}

/// Somewhere else, as a bucket is: copies in a folder.
pub(crate) struct Elsewhere(pub(crate) PathBuf);

impl Elsewhere {
    fn path(&self, row: &PackRow) -> PathBuf {
        self.0.join(row.pack.to_string())
    }

    fn bytes(&self, row: &PackRow) -> Result<Vec<u8>, RetrieveError> {
        let lost = |error: std::io::Error| RetrieveError::Damaged { what: error.to_string() };
        std::fs::read(self.path(row)).map_err(lost)
    }
}

impl Far for Elsewhere {
    fn source(&self, row: &PackRow) -> Result<Arc<dyn ReadAt>, RetrieveError> {
        Ok(Arc::new(self.bytes(row)?))
    }

    fn forget(&self, row: &PackRow) -> Result<(), RetrieveError> {
        let _ = std::fs::remove_file(self.path(row));
        Ok(())
    }

    fn check(&self, row: &PackRow) -> Result<(), RetrieveError> {
        let found = Digest(sha2::Sha256::digest(self.bytes(row)?).into());
        let wanted = row.cold.as_ref().map(|copy| copy.sha256);
        if wanted == Some(found) { Ok(()) } else { Err(RetrieveError::Damaged { what: "it differs".into() }) }
    }

    fn put(&self, row: &PackRow, plain: Arc<dyn ReadAt>, now_ms: u64) -> Result<ColdCopy, RetrieveError> {
        let bytes = plain.read_at(0..plain.len()).expect("read");
        let sha256 = Digest(sha2::Sha256::digest(&bytes).into());
        std::fs::write(self.path(row), bytes).expect("written");
        let (key, len) = (row.pack.to_string(), plain.len());
        Ok(ColdCopy {
            key,
            version: None,
            len,
            sha256,
            sealed: false,
            class: None,
            locked_until: None,
            held: false,
            at: now_ms,
        })
    }
}

#[test]
fn parts_of_a_series_become_one_before_they_go_away() {
    let bench = packing();
    for number in 1..=12 {
        bench.store(&object(1, number)).expect("stored");
        let wanted = usize::try_from(number).expect("small");
        until("packed", || rows(&bench).len() == wanted && all_packed(&bench));
    }
    let series = rows(&bench)[0].key.clone();
    let before = bench.archive.index().packs_of(&series).expect("packs");
    assert!(before.len() < 6, "{} parts of 12 late instances", before.len());
    // Whoever wrote the last part may still be at it: then there is nothing to merge yet.
    until("merged", || {
        crate::packing::merge(&bench.archive, &series).expect("merged");
        bench.archive.index().packs_of(&series).expect("packs").len() == 1
    });
    let after = bench.archive.index().packs_of(&series).expect("packs");
    assert_eq!((after.len(), after[0].instances), (1, 12));
    until("files of replaced packs go", || pack_files(&bench.options).len() == 1);
    for row in rows(&bench) {
        assert!(
            read(&bench, &row).expect("read")
                == object(1, row.attributes[&key::INSTANCE_NUMBER].parse().expect("n")).bytes()
        );
    }
    let report = bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((report.instances, report.damaged), (12, 0), "{report:?}");
}

#[test]
fn parts_with_a_copy_elsewhere_are_never_written_anew() {
    let bench = packing();
    let folder = bench.folder.path().join("elsewhere");
    std::fs::create_dir_all(&folder).expect("folder");
    bench.archive.packs().connect(Some(Box::new(Elsewhere(folder))));
    bench.store(&object(1, 1)).expect("stored");
    until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
    let copied = bench.archive.index().packs(None, 10).expect("packs").remove(0);
    let copy = bench.archive.packs().put_far(&copied, 1).expect("put");
    bench.archive.record(Fact::Pack(Box::new(PackFact::Tiered { pack: copied.pack, copy }))).expect("recorded");
    // More than it holds comes late: a part that lies here alone would be taken into the new one.
    for number in 2..=5 {
        bench.store(&object(1, number)).expect("stored");
    }
    until("packed", || rows(&bench).len() == 5 && all_packed(&bench));
    let series = rows(&bench)[0].key.clone();
    until("the late ones are one part", || {
        crate::packing::merge(&bench.archive, &series).expect("merged");
        bench.archive.index().packs_of(&series).expect("packs").len() == 2
    });
    assert!(!crate::packing::merge(&bench.archive, &series).expect("nothing to merge"));
    let parts = bench.archive.index().packs_of(&series).expect("packs");
    let kept = parts.iter().find(|part| part.pack == copied.pack).expect("the part with a copy stays");
    assert_eq!((kept.instances, kept.sha256, kept.cold.is_some()), (1, copied.sha256, true));
    assert_eq!(parts.iter().map(|part| part.instances).sum::<u64>(), 5);
}

/// Reads the data set of the one object step by step; where each step ended in the file, and the bytes.
fn steps(bench: &Bench) -> (InstanceRow, Vec<std::ops::Range<u64>>, Vec<u8>) {
    let row = rows(bench).remove(0);
    let (mut file, mut bytes, mut spans) = (bench.archive.data_set(&row), vec![0], Vec::new());
    file.read_exact(&mut bytes).expect("read");
    let mut at = u64::from(row.meta_len);
    while at < row.file_len {
        let (span, _) = file.next(at);
        assert!(span.start <= at && at < span.end && span.end <= row.file_len, "{span:?} at {at}");
        at = span.end;
        spans.push(span);
    }
    file.read_to_end(&mut bytes).expect("read");
    (row, spans, bytes)
}

#[test]
fn an_object_is_read_in_whole_pieces_wherever_it_lies() {
    let long = Object { pixels: 3 << 20, ..object(1, 1) };
    let bench = Bench::new();
    bench.store(&long).expect("stored");
    let (row, spans, bytes) = steps(&bench);
    assert!(row.home.journal().is_some() && spans.len() > 4 && bytes == long.bytes());
    let whole = |place: u64| place.is_multiple_of(64 << 10) || place == row.file_len;
    assert!(spans.iter().all(|span| whole(span.start) && whole(span.end)), "{spans:?}");

    let bench = packing();
    bench.store(&long).expect("stored");
    until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
    let (row, spans, bytes) = steps(&bench);
    assert!(bytes == long.bytes());
    let Home::Pack { pack, slot } = row.home else { panic!("in the journal") };
    let pack = bench.archive.open_pack(pack).expect("pack");
    let pieces = &pack.instance(usize::try_from(slot).expect("small")).expect("instance").pieces;
    let mut at = 0;
    let end = |piece: &store::pack::Piece| {
        at += piece.raw;
        at
    };
    let ends: Vec<u64> = pieces.iter().map(end).collect();
    assert!(pieces.iter().any(|piece| piece.raw > 2 << 20), "the frame is one piece: {pieces:?}");
    assert!(spans.iter().all(|span| ends.contains(&span.end)), "{spans:?} {ends:?}");
}

#[test]
fn all_readers_together_hold_no_more_than_their_memory_and_read_right_without_any() {
    let long = Object { pixels: 3 << 20, ..object(1, 1) };
    // None; too little for the frame; enough for one of them.
    for (memory, whole) in [(0, 0), (2 << 20, 0), (8 << 20, 1)] {
        let bench = packing_with(|options| options.read_budget = memory);
        bench.store(&long).expect("stored");
        until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
        let row = rows(&bench).remove(0);
        let mut readers: Vec<_> = (0..5).map(|_| bench.archive.data_set(&row)).collect();
        let begun = readers.iter_mut().map(|file| {
            let mut begun = vec![0; 200_000];
            file.read_exact(&mut begun).expect("read");
            begun
        });
        let begun: Vec<Vec<u8>> = begun.collect();
        let held = memory - bench.archive.reading().left();
        assert_eq!(held / (3 << 20), whole, "{held} bytes of {memory}");
        for (file, mut bytes) in readers.iter_mut().zip(begun) {
            file.read_to_end(&mut bytes).expect("read");
            assert!(bytes == long.bytes(), "with {memory} bytes");
        }
        assert_eq!(bench.archive.reading().left(), memory, "what was read to its end is held no more");
    }
}

#[test]
fn what_a_reader_holds_is_free_when_it_is_dropped() {
    let bench = Bench::new();
    bench.store(&Object { pixels: 3 << 20, ..object(1, 1) }).expect("stored");
    let mut file = bench.archive.file(&rows(&bench).remove(0));
    file.read_exact(&mut [0; 10]).expect("read");
    assert!(bench.archive.reading().left() < bench.options.read_budget);
    drop(file);
    assert_eq!(bench.archive.reading().left(), bench.options.read_budget);
}
