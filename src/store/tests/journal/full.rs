//! A full disk refuses early, keeps its promises and recovers by itself.

use crate::disk::SimDisk;
use crate::scenario::{SEGMENT, all, bytes, inline, options};
use std::sync::Arc;
use store::{Journal, StoreError};

const RESERVE: u64 = 32 << 10;

fn open(disk: &SimDisk) -> Journal {
    let mut options = options(&["/journal"]);
    options.reserve_bytes = RESERVE;
    Journal::open(Arc::new(disk.clone()), options).expect("open").0
}

#[test]
fn appends_are_refused_below_the_reserve_and_go_on_when_space_returns() {
    let mut random = fastrand::Rng::with_seed(1);
    let disk = SimDisk::new();
    disk.set_capacity(Some(3 * SEGMENT + RESERVE + 4096));
    let journal = open(&disk);
    let mut kept = 0;
    let refused = loop {
        match journal.append(&[inline(b"a", &bytes(&mut random, 5000)), inline(b"b", &bytes(&mut random, 5000))]) {
            Ok(_) => kept += 2,
            Err(error) => break error,
        }
        journal.sync().expect("sync");
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert!(kept > 20, "three segments were filled: {kept}");
    assert!(!journal.is_poisoned());
    assert_eq!(journal.last(), kept, "a refused batch leaves nothing behind");
    assert!(journal.free_space().expect("space") >= RESERVE, "the reserve is untouched");
    assert!(matches!(journal.admit(16_000), Err(StoreError::Full { .. })));
    assert!(matches!(journal.admit(1 << 20), Err(StoreError::Full { .. })), "and for a large body");

    disk.set_capacity(Some(6 * SEGMENT + RESERVE));
    journal.admit(16_000).expect("space is back");
    journal.append(&[inline(b"c", &bytes(&mut random, 5000))]).expect("append");
    journal.sync().expect("sync");

    // Another program eats into the reserve: even what would fit into the segment is refused.
    let used = 6 * SEGMENT + RESERVE - journal.free_space().expect("space");
    disk.set_capacity(Some(used + RESERVE / 2));
    assert!(matches!(journal.append(&[inline(b"d", b"")]), Err(StoreError::Full { .. })));
    assert!(matches!(journal.admit(1), Err(StoreError::Full { .. })));
    drop(journal);
    disk.restart();

    let journal = open(&disk);
    assert_eq!(all(&journal).expect("replay").len() as u64, kept + 1);
}

#[test]
fn the_archives_own_records_go_on_below_the_reserve_down_to_one_of_their_own() {
    const LARGE: u64 = 4 * SEGMENT;
    let mut random = fastrand::Rng::with_seed(2);
    let disk = SimDisk::new();
    let full = 2 * SEGMENT + LARGE + 4096;
    disk.set_capacity(Some(full));
    let mut options = options(&["/journal"]);
    (options.reserve_bytes, options.own_reserve_bytes) = (LARGE, LARGE / 8);
    let (journal, _) = Journal::open(Arc::new(disk.clone()), options.clone()).expect("open");
    let mut kept = 0;
    while journal.append(&[inline(b"object", &bytes(&mut random, 5000))]).is_ok() {
        kept += 1;
    }
    // Something eats into the reserve: what gives space back is written all the same, into a new segment, too.
    let used = full - journal.free_space().expect("space");
    disk.set_capacity(Some(used + LARGE / 2));
    assert!(journal.is_low());
    let before = journal.segments().len();
    while journal.segments().len() == before {
        assert!(matches!(journal.append(&[inline(b"object", b"")]), Err(StoreError::Full { .. })));
        journal.append_own(&[inline(b"fact", &bytes(&mut random, 500))]).expect("written from the reserve");
        kept += 1;
    }
    journal.sync().expect("sync");
    let used = used + LARGE / 2 - journal.free_space().expect("space");
    disk.set_capacity(Some(used + LARGE / 16));
    assert!(matches!(journal.append_own(&[inline(b"fact", b"")]), Err(StoreError::Full { .. })));

    // What is released is no spare on a full disk: it is free for everything again.
    disk.set_capacity(Some(used + LARGE - SEGMENT / 2));
    assert!(journal.is_low());
    let oldest = journal.segments().first().expect("a segment").number;
    journal.release(oldest).expect("released");
    assert!(!journal.is_low(), "{} bytes free", journal.free_space().expect("space"));
    journal.append(&[inline(b"object", b"")]).expect("taken again");
    journal.sync().expect("sync");
    drop(journal);
    disk.restart();
    let (journal, _) = Journal::open(Arc::new(disk.clone()), options).expect("open");
    let left = all(&journal).expect("replay").len() as u64;
    assert!(left > 0 && left < kept + 1, "{left} of {kept}");
}

#[test]
fn a_start_succeeds_without_room_for_a_whole_segment() {
    let disk = SimDisk::new();
    let journal = open(&disk);
    journal.append(&[inline(b"a", b"1")]).expect("append");
    journal.sync().expect("sync");
    drop(journal);
    disk.restart();
    // The journal has one segment and the unproven record must move.
    // What is free is no whole segment, and less than the reserve and one.
    disk.set_capacity(Some(SEGMENT + 80 * 1024));

    let journal = open(&disk);

    assert_eq!(all(&journal).expect("replay").len(), 1);
}

#[test]
fn a_large_body_that_does_not_fit_is_refused_and_leaves_no_file() {
    let disk = SimDisk::new();
    let journal = open(&disk);
    disk.set_capacity(Some(SEGMENT + RESERVE + 100_000));
    let mut writer = journal.blob().expect("blob");
    let refused = loop {
        if let Err(error) = writer.write(&[1; 10_000]) {
            break error;
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    drop(writer);
    assert_eq!(disk.files().len(), 2, "only the segment and the note: {:?}", disk.files());
    journal.append(&[inline(b"small", b"")]).expect("small ones go on");
}
