//! What the system is asked to forget, so that small records are not written into the large folios of what was read.

use crate::disk::SimDisk;
use crate::scenario::{SEGMENT, bytes, inline, open};
use store::Journal;

fn append(journal: &Journal, len: usize) {
    journal.append(&[inline(b"head", &vec![7u8; len])]).expect("append");
    journal.sync().expect("sync");
}

#[test]
fn the_active_segment_leaves_the_cache_before_the_first_record_after_a_start_and_once() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    (0..3).for_each(|_| append(&journal, 100));
    assert_eq!(disk.hints(), [], "nobody has read a new segment");
    journal.close().expect("close");
    disk.restart();
    let before = disk.operations();
    let (journal, recovery) = open(&disk).expect("open");
    assert_eq!(recovery.torn, None);
    // The first record after the start may be the start's own mark.
    (0..3).for_each(|_| append(&journal, 100));
    let hints = disk.hints();
    let [hint] = hints.as_slice() else { panic!("{hints:?}") };
    assert!(hint.path.starts_with("/journal"), "{hint:?}");
    assert_eq!((hint.at, hint.len), (0, SEGMENT), "the whole file");
    // Every record is a write and a sync at least: it came before all of them.
    assert!(hint.operations >= before && hint.operations + 6 <= disk.operations(), "{hint:?}");
}

#[test]
fn a_segment_that_was_used_before_leaves_the_cache_when_it_begins_and_a_new_one_does_not() {
    let mut random = fastrand::Rng::with_seed(9);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let mut fill = |segments: usize| {
        while journal.segments().len() < segments {
            journal.append(&[inline(&[7; 30], &bytes(&mut random, 9000))]).expect("append");
            journal.sync().expect("sync");
        }
    };
    fill(3);
    assert_eq!(disk.hints(), []);
    let oldest = journal.segments().first().expect("a segment").number;
    journal.release(oldest).expect("release");
    fill(3);
    assert!(journal.segments().iter().any(|segment| segment.number == oldest && segment.active), "it is used again");
    let hints = disk.hints();
    let [hint] = hints.as_slice() else { panic!("{hints:?}") };
    assert_eq!((hint.at, hint.len), (0, SEGMENT));
}
