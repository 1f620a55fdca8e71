//! What a crash may take from the RocksDB engine: what came after the last flush, and nothing else.

mod world;

use index::{Index, IndexError, PreparedKind, Rocks, RocksOptions};
use std::fs;
use std::path::Path;
use world::World;

fn open(folder: &Path) -> Rocks {
    Rocks::open(folder, RocksOptions::default()).expect("open")
}

/// The files as a kill at this moment would leave them.
fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("folder") {
        let file = file.expect("entry");
        if file.file_name() != "LOCK" && file.file_type().expect("type").is_file() {
            match fs::copy(file.path(), to.join(file.file_name())) {
                // One that nobody needs any more went meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("copy")),
            }
        }
    }
}

/// The index as a kill would leave it. A compaction that removes files while they are copied one by one makes a picture
/// of no moment: then another one is taken.
fn crashed(from: &Path) -> (tempfile::TempDir, Rocks) {
    let mut failed = None;
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("folder");
        copy(from, folder.path());
        match Rocks::open(folder.path(), RocksOptions::default()) {
            Ok(index) => return (folder, index),
            Err(error) => failed = Some(error),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no copy of the files opens: {failed:?}");
}

#[test]
fn a_crash_loses_only_what_was_not_flushed_and_a_replay_restores_it() {
    for seed in 1..=8 {
        let mut world = World::new(seed, 40);
        let folder = tempfile::tempdir().expect("folder");
        let index = open(folder.path());
        let mut flushed = 0;
        for round in 0..60 {
            index.apply(&world.batch(30)).expect("apply");
            if round == 35 {
                flushed = index.flush().expect("flush");
                assert_eq!(flushed, index.applied());
            }
        }
        let (_crashed, survivor) = crashed(folder.path());
        assert_eq!(survivor.applied(), flushed, "the position on disk, seed {seed}");
        assert!(survivor.max_seq() < index.max_seq(), "nothing was lost: the test tells nothing, seed {seed}");

        // Replay may begin before the position: the journal is cut by segments.
        let from = flushed.saturating_sub(50);
        let tail: Vec<_> = world.history.iter().filter(|entry| entry.lsn > from).cloned().collect();
        tail.chunks(17).for_each(|batch| survivor.apply(batch).expect("replay"));
        assert_eq!((survivor.applied(), survivor.max_seq()), (index.applied(), index.max_seq()), "seed {seed}");
        assert!(world::dump(&survivor) == world::dump(&index), "the dumps differ, seed {seed}");
        assert_eq!(survivor.stats().expect("stats"), index.stats().expect("stats"), "seed {seed}");
        let until = world.clock + 1;
        assert_eq!(
            survivor.busy_series(until, 10_000).expect("busy"),
            index.busy_series(until, 10_000).expect("busy"),
            "seed {seed}"
        );
        assert_eq!(
            survivor.incomplete_studies(10_000).expect("incomplete"),
            index.incomplete_studies(10_000).expect("incomplete"),
            "seed {seed}"
        );
    }
}

#[test]
fn a_batch_that_cannot_be_applied_changes_nothing() {
    let mut world = World::new(1, 20);
    let folder = tempfile::tempdir().expect("folder");
    let index = open(folder.path());
    let first = world.batch(30);
    index.apply(&first).expect("apply");
    let before = world::dump(&index);
    let applied = index.applied();
    let mut batch: Vec<_> = (0..10).flat_map(|_| world.batch(5)).collect();
    // Facts about packs and retention may be batches of their own.
    batch.retain(|entry| !matches!(entry.own().1, model::Fact::Pack(_) | model::Fact::Retention(_)));
    let instance = batch.iter().rposition(|entry| entry.home.is_some()).expect("an instance");
    let home = batch[instance].home.take();
    assert!(matches!(index.apply(&batch), Err(IndexError::Unfit { .. })));
    assert!(world::dump(&index) == before && index.applied() == applied);

    batch[instance].home = home;
    index.apply(&batch).expect("apply");
    assert!(world::dump(&index) != before);
    // The same facts applied one by one to an index in memory.
    let oracle = index::Oracle::new();
    first.iter().chain(&batch).for_each(|entry| oracle.apply(std::slice::from_ref(entry)).expect("apply"));
    assert!(world::dump(&index) == world::dump(&oracle));
}

#[test]
fn a_prepared_document_is_kept_but_is_not_in_the_dump() {
    let mut world = World::new(1, 20);
    let folder = tempfile::tempdir().expect("folder");
    let index = open(folder.path());
    index.apply(&world.batch(30)).expect("apply");
    let before = world::dump(&index);
    let key = index.busy_series(world.clock, 1).expect("busy").pop().expect("a series").key;
    assert_eq!(index.prepared(&key, PreparedKind::Metadata).expect("none"), None);

    let document = vec![b'x'; 100_000];
    index.put_prepared(&key, PreparedKind::Metadata, 7, document.clone()).expect("keep");
    let kept = index.prepared(&key, PreparedKind::Metadata).expect("read").expect("kept");
    assert_eq!((kept.through_seq, kept.document), (7, document));
    index.put_prepared(&key, PreparedKind::Thumbnail, 8, vec![1]).expect("keep beside it");
    let small = index.prepared(&key, PreparedKind::Thumbnail).expect("read").expect("kept");
    assert_eq!((small.through_seq, small.document), (8, vec![1]));
    assert_eq!(index.prepared(&key, PreparedKind::Metadata).expect("read").map(|kept| kept.through_seq), Some(7));
    assert!(world::dump(&index) == before);
}

#[test]
fn a_table_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    drop(open(folder.path()));
    {
        let tables = rocksdb::DB::list_cf(&rocksdb::Options::default(), folder.path()).expect("tables");
        let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), folder.path(), tables).expect("open");
        db.create_cf("tomorrow", &rocksdb::Options::default()).expect("create");
    }
    let refused = Rocks::open(folder.path(), RocksOptions::default());
    assert!(matches!(refused, Err(IndexError::Newer { .. })), "{refused:?}");
}
