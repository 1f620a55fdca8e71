//! Objects that earlier versions stored, with another kind of digest: recognised, verified, packed and rebuilt.

use super::packs::{all_packed, object, packing, read, rows};
use super::recover::newest_instance;
use super::*;
use crate::{StoredKind, rebuild};
use bytes::Bytes;
use model::{Caller, Difference, Fact, InstanceHead, SamenessKind};
use std::sync::atomic::AtomicBool;

/// Opens a directory that an earlier version left.
fn raised(bench: Bench) -> Bench {
    let bench = bench.reopen_with(|options| {
        std::fs::write(options.data.join("FORMAT"), "khoanh 5\n").expect("written");
        options.sameness = SamenessKind::default();
    });
    let format = std::fs::read_to_string(bench.options.data.join("FORMAT")).expect("read");
    assert_ne!(format, "khoanh 5\n", "an older program would take the new digests for damage");
    bench
}

fn send(bench: &Bench, object: &Object, data_set: &[u8]) -> StoredKind {
    let mut incoming = bench.archive.receive(&bench.source(), Via::CStore, object.form()).expect("received");
    data_set.chunks(70_000).for_each(|piece| incoming.write(piece).expect("taken"));
    incoming.finish().expect("success").kind
}

fn damaged(bench: &Bench) -> Vec<String> {
    bench.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify").named
}

fn rebuilt_equal(bench: Bench) {
    let Bench { archive, options, folder: _folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuild");
    assert!(report.equal(), "{report:?}");
    std::fs::remove_dir_all(options.data.join("index")).expect("the index");
    let archive = Archive::open(options).expect("open without an index");
    assert_eq!(rebuild::dump_digest(archive.index().as_ref()).expect("dump"), report.after);
    archive.close(Duration::from_secs(20)).expect("close");
}

/// The kinds of digest of everything under a SOP Instance UID, in order of arrival.
fn kinds(bench: &Bench, sop: &str) -> Vec<SamenessKind> {
    let mut rows = bench.archive.index().instance(&uid(sop)).expect("rows");
    let conflicts = bench.archive.conflicts(&Caller::demo(), None, 100).expect("conflicts").rows;
    rows.extend(conflicts.into_iter().filter(|row| row.sop_instance.as_str() == sop));
    rows.sort_by_key(|row| row.seq);
    rows.dedup_by_key(|row| row.seq);
    rows.iter().map(|row| row.digest.kind()).collect()
}

#[test]
fn what_an_earlier_version_stored_is_recognised_when_it_comes_again() {
    use SamenessKind::{Blake3, Sha256};
    let bench = Bench::with(|options| {
        options.sameness = Sha256;
        options.blob_above = 100_000;
    });
    let small = Object::new("1.2.1.1.1");
    let large = Object { pixels: 64 * 40_000, ..Object::new("1.2.1.1.2") };
    let conflict = Object { fill: 9, ..small.clone() };
    for object in [&small, &large, &conflict] {
        bench.store(object).expect("stored");
    }
    let bench = raised(bench);
    let before = bench.archive.stats().expect("stats").index;
    for object in [&small, &large, &conflict] {
        assert_eq!(bench.store(object).expect("again").kind, StoredKind::Same, "{}", object.sop);
    }
    let many: Vec<StoredKind> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.store(&small).expect("success").kind)).collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    assert_eq!(many, [StoredKind::Same; 8]);
    assert_eq!(bench.archive.stats().expect("stats").index, before, "nothing grows");
    assert_eq!(kinds(&bench, "1.2.1.1.1"), [Sha256, Sha256]);
    let blobs = std::fs::read_dir(bench.options.data.join("journal/blobs")).expect("folder").count();
    assert_eq!(blobs, 1, "the second file of the large one is gone");

    // Other bytes, and the same but for a group length, which have the same checksum.
    let other = Object { fill: 11, ..small.clone() };
    let lengths = [&[8, 0, 0, 0, b'U', b'L', 4, 0, 1, 0, 0, 0][..], &small.bytes()].concat();
    for _ in 0..2 {
        send(&bench, &other, &other.bytes());
        send(&bench, &small, &lengths);
    }
    assert_eq!(kinds(&bench, "1.2.1.1.1"), [Sha256, Sha256, Blake3, Blake3], "each is kept once");
    let conflicts = bench.archive.conflicts(&Caller::demo(), None, 100).expect("conflicts").rows;
    let mut why: Vec<_> = conflicts.iter().map(|row| (row.outcome.copy, row.outcome.difference)).collect();
    why.sort_by_key(|(copy, _)| *copy);
    let content = Some(Difference::Content);
    assert_eq!(why, [(1, content), (2, content), (3, Some(Difference::GroupLength))]);
    assert_eq!(bench.store(&Object::new("1.2.1.1.3")).expect("stored").kind, StoredKind::New);
    assert_eq!(kinds(&bench, "1.2.1.1.3"), [Blake3]);
    assert_eq!(damaged(&bench), Vec::<String>::new());
    rebuilt_equal(bench);
}

#[test]
fn verify_finds_other_bytes_under_a_digest_of_either_kind() {
    for kind in SamenessKind::ALL {
        let bench = Bench::with(|options| options.sameness = kind);
        bench.store(&Object::new("1.2.1.1.1")).expect("stored");
        assert_eq!(damaged(&bench), Vec::<String>::new());
        let (_, head, place) = newest_instance(&bench.archive);
        assert_eq!(head.digest.kind(), kind);
        let mut body = bench.archive.journal().read(&place, 0..place.body_len).expect("the file");
        *body.last_mut().expect("pixels") ^= 1;
        // Whole records, whose checksums hold.
        let head = InstanceHead { seq: 2, sop_instance: uid("1.2.1.1.2"), ..head };
        let head = serde_json::to_vec(&Fact::Instance(Box::new(head))).expect("JSON");
        let body = store::Body::Inline(vec![Bytes::from(body)]);
        bench.archive.journal().append(&[store::Record { head, body }]).expect("appended");
        let bench = bench.reopen();
        let found = damaged(&bench);
        let is_named = |one: &str| one.contains("1.2.1.1.2") && one.contains("the data set differs from its digest");
        assert!(matches!(found.as_slice(), [one] if is_named(one)), "{kind:?}: {found:?}");
    }
}

#[test]
fn both_kinds_lie_in_one_pack_and_are_recognised_there_and_rebuilt_equal() {
    let bench = packing().reopen_with(|options| {
        options.sameness = SamenessKind::Sha256;
        options.background = false;
    });
    let (older, newer) = (1..=12, 13..=24);
    for number in older.clone() {
        bench.store(&object(1, number)).expect("stored");
    }
    let bench = raised(bench);
    for number in newer.clone() {
        bench.store(&object(1, number)).expect("stored");
    }
    bench.store(&Object { fill: 99, ..object(1, 1) }).expect("kept beside it");
    let bench = bench.reopen_with(|options| options.background = true);
    until("packed", || rows(&bench).len() == 24 && all_packed(&bench));
    assert_eq!(bench.archive.index().packs(None, 100).expect("packs").len(), 1);
    for row in rows(&bench) {
        let expected = if row.seq <= 12 { SamenessKind::Sha256 } else { SamenessKind::Blake3 };
        assert_eq!(row.digest.kind(), expected, "{}", row.sop_instance);
        read(&bench, &row).expect("read");
    }
    assert_eq!(damaged(&bench), Vec::<String>::new());
    let before = bench.archive.stats().expect("stats").index;
    for number in older.chain(newer) {
        let object = object(1, number);
        assert_eq!(bench.store(&object).expect("again").kind, StoredKind::Same, "{number}");
    }
    assert_eq!(bench.archive.stats().expect("stats").index, before, "nothing grows");
    rebuilt_equal(bench);
}
