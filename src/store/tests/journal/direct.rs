//! Large bodies on the machine's own disk, where they go past the page cache: read back at once, after a kill, and with
//! a torn end. Whether this file system does direct writes at all does not matter to any of it.

use crate::scenario::{all, bytes, inline};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use store::{Journal, JournalOptions, RealDisk, Recovery};

fn open(dirs: &[&Path]) -> (Journal, Recovery) {
    let options = JournalOptions {
        segment_bytes: 16 << 20,
        blob_above: 4 << 20,
        reserve_bytes: 0,
        ..JournalOptions::new(dirs.iter().map(|dir| dir.to_path_buf()).collect())
    };
    Journal::open(Arc::new(RealDisk), options).expect("open")
}

/// Bodies of every size around the threshold, so that large batches follow small ones and small ones large ones.
fn bodies(random: &mut fastrand::Rng, count: usize) -> Vec<Vec<u8>> {
    let len = |random: &mut fastrand::Rng| match random.u8(0..3) {
        0 => random.usize(1..9_000),
        1 => random.usize(200_000..300_000),
        _ => random.usize(300_000..3_000_000),
    };
    std::iter::repeat_with(|| len(random))
        .take(count)
        .collect::<Vec<_>>()
        .iter()
        .map(|len| bytes(random, *len))
        .collect()
}

#[test]
fn large_bodies_are_read_back_at_once_and_after_a_kill() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (one, two) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let dirs = [one.path(), two.path()];
    let mut kept = Vec::new();
    for round in 0..3 {
        let (journal, recovery) = open(&dirs);
        assert_eq!((recovery.next_lsn, recovery.torn), (kept.len() as u64 + 1, None), "seed {seed}, round {round}");
        for body in bodies(&mut random, 20) {
            let places = journal.append(&[inline(b"head", &body)]).expect("append");
            let (_, place) = places.first().expect("place");
            assert!(journal.read(place, 0..place.body_len).expect("read") == body, "seed {seed}: not as written");
            if random.bool() {
                journal.sync().expect("sync");
            }
            kept.push(body);
        }
        let found = all(&journal).expect("replay");
        assert!(found.values().map(|(found, _)| &found.body).eq(&kept), "seed {seed}, round {round}");
    }
}

#[test]
fn a_torn_end_of_a_large_write_is_cut_and_nothing_before_it() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..12 {
        let folder = tempfile::tempdir().expect("folder");
        let kept = bodies(&mut random, 4);
        let torn = bytes(&mut random, 2 << 20);
        let (journal, _) = open(&[folder.path()]);
        for body in &kept {
            journal.append(&[inline(b"head", body)]).expect("append");
        }
        journal.sync().expect("sync");
        let places = journal.append(&[inline(b"torn", &torn)]).expect("append");
        let (_, place) = places.first().expect("place");
        drop(journal);

        // Of the last write some blocks never reached the disk, as after a power loss.
        let file = std::fs::File::options().write(true).open(folder.path().join(format!("{:08}.seg", place.segment)));
        let file = file.expect("segment");
        let (first, last) = (place.offset.next_multiple_of(4096), place.offset + place.body_len);
        let from = random.u64(first / 4096..last / 4096) * 4096;
        let len = random.usize(1..=64) * 4096;
        file.write_all_at(&vec![0; len.min(usize::try_from(last - from).expect("len"))], from).expect("torn");

        let (journal, recovery) = open(&[folder.path()]);
        assert_eq!(recovery.next_lsn, kept.len() as u64 + 1, "seed {seed}, round {round}");
        assert!(recovery.torn.is_some(), "seed {seed}, round {round}: not reported");
        let found = all(&journal).expect("replay");
        assert!(found.values().map(|(found, _)| &found.body).eq(&kept), "seed {seed}, round {round}");
    }
}
