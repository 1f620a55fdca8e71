//! Large bodies in their own files: durable before their record, gone without one.

use crate::disk::SimDisk;
use crate::scenario::{all, bytes, inline, open};
use std::collections::HashSet;
use std::path::PathBuf;
use store::{Body, FinishedBlob, Journal, Record, StoreError};

fn large(journal: &Journal, body: &[u8]) -> FinishedBlob {
    let mut writer = journal.blob().expect("blob");
    for piece in body.chunks(10_000) {
        writer.write(piece).expect("write");
    }
    assert_eq!(writer.len(), body.len() as u64);
    writer.finish().expect("finish")
}

fn blobs(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with("/journal/blobs")).collect()
}

#[test]
fn a_large_body_survives_power_loss_and_is_checked_chunk_by_chunk() {
    let mut random = fastrand::Rng::with_seed(1);
    let body = bytes(&mut random, 200_000);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let record = Record { head: b"large".to_vec(), body: Body::Blob(large(&journal, &body)) };
    let place = journal.append(&[record]).expect("append")[0].1.clone();
    journal.sync().expect("sync");
    drop(journal);
    disk.power_loss(9);

    let (journal, recovery) = open(&disk).expect("open");
    assert_eq!(recovery.moved_from, Some(1));
    let found = all(&journal).expect("replay");
    let (kept, moved) = &found[&1];
    assert!(kept.body == body);
    assert_eq!(moved.blob, place.blob);
    assert!(journal.read(moved, 70_001..140_003).expect("range") == body[70_001..140_003]);

    let path = blobs(&disk).remove(0);
    disk.damage(&path, |bytes| bytes[150_000] ^= 1);
    assert!(journal.read(moved, 0..60_000).is_ok(), "another chunk is well");
    let broken = journal.read(moved, 140_000..150_100);
    assert!(matches!(&broken, Err(StoreError::Corrupt { file, .. }) if *file == path), "{broken:?}");
    assert!(matches!(journal.verify_record(moved), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_finished_body_is_read_before_any_record_names_it() {
    let mut random = fastrand::Rng::with_seed(2);
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    for len in [1, 65_536, 1 << 20, (2 << 20) + 70_001] {
        let body = bytes(&mut random, len);
        let blob = large(&journal, &body);
        let mut read = Vec::new();
        blob.read(&mut |piece| read.extend_from_slice(piece)).expect("read");
        assert!(read == body, "{len} bytes");
        let path = blobs(&disk).remove(0);
        disk.damage(&path, |bytes| bytes[len - 1] ^= 1);
        let broken = blob.read(&mut |_| {});
        assert!(matches!(&broken, Err(StoreError::Corrupt { file, .. }) if *file == path), "{broken:?}");
    }
}

#[test]
fn a_body_without_a_record_goes_with_its_writer() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let mut writer = journal.blob().expect("blob");
    writer.write(&[1; 5000]).expect("write");
    assert_eq!(blobs(&disk).len(), 1);
    drop(writer);
    assert_eq!(blobs(&disk).len(), 0, "given up while receiving");

    drop(large(&journal, &[2; 50_000]));
    assert_eq!(blobs(&disk).len(), 0, "the same object was there already");
}

#[test]
fn orphans_of_a_crash_are_removed_and_named_files_never() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    journal.append(&[Record { head: Vec::new(), body: Body::Blob(large(&journal, &[1; 50_000])) }]).expect("append");
    journal.sync().expect("sync");
    journal.append(&[inline(b"two", b"")]).expect("append");
    journal.sync().expect("sync");
    // The process is killed: what would be tidied up is not.
    std::mem::forget(large(&journal, &[2; 50_000]));
    std::mem::forget(journal.blob().expect("blob"));
    drop(journal);
    disk.restart();
    assert_eq!(blobs(&disk).len(), 3);

    let (journal, _) = open(&disk).expect("open");
    let mut named = HashSet::new();
    let each = &mut |record: store::Replayed<'_>| {
        named.extend(record.place.blob);
        Ok::<(), StoreError>(())
    };
    // The index had everything up to record 1, so only later ones are replayed and known by name.
    journal.replay(2, each).expect("replay");
    assert_eq!(journal.remove_orphans(&named, 2).expect("tidy"), 2);
    assert_eq!(blobs(&disk).len(), 1);
    assert_eq!(all(&journal).expect("replay").len(), 2);
}

#[test]
fn a_file_that_cannot_be_synced_makes_no_record_and_closes_nothing() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let mut writer = journal.blob().expect("blob");
    writer.write(&[1; 50_000]).expect("write");
    disk.fail_sync_after(0);
    assert!(writer.finish().is_err());
    assert_eq!(blobs(&disk).len(), 0);
    journal.append(&[inline(b"goes on", b"")]).expect("append");
    journal.sync().expect("sync");
}

#[test]
fn a_flipped_bit_in_the_name_of_a_proven_large_body_is_corruption_and_no_orphan() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let body = Body::Blob(large(&journal, &[1; 50_000]));
    let place = journal.append(&[Record { head: b"large".to_vec(), body }]).expect("append")[0].1.clone();
    journal.close().expect("close");
    disk.restart();
    // The last digit of the random part, still a digit afterwards.
    let segment = PathBuf::from(format!("/journal/{:08}.seg", place.segment));
    let at = usize::try_from(place.offset).expect("small") + 64 + place.head_len as usize + 32;
    disk.damage(&segment, |bytes| bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' });

    let (journal, _) = open(&disk).expect("open");
    let replayed = journal.replay(1, &mut |_| Ok::<(), StoreError>(()));
    assert!(matches!(replayed, Err(StoreError::Corrupt { lsn: 1, .. })), "{replayed:?}");
    assert_eq!(blobs(&disk).len(), 1);
}

#[test]
fn a_large_body_named_by_an_unproven_record_may_be_gone() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    journal.append(&[Record { head: b"large".to_vec(), body: Body::Blob(large(&journal, &[1; 50_000])) }]).expect("a");
    drop(journal);
    disk.restart();
    store::Disk::remove(&disk, &blobs(&disk)[0]).expect("remove");

    let (journal, recovery) = open(&disk).expect("an ordinary torn tail");
    assert_eq!((recovery.next_lsn, recovery.torn.is_some()), (1, true));
    assert_eq!(all(&journal).expect("replay").len(), 0);
}

#[test]
fn a_failed_write_leaves_the_large_bodies_its_records_may_name() {
    let base = fastrand::u64(..1 << 40);
    for seed in base..base + 20 {
        let disk = SimDisk::new();
        let (journal, _) = open(&disk).expect("open");
        let record = Record { head: b"large".to_vec(), body: Body::Blob(large(&journal, &[1; 50_000])) };
        // The write still happens, but is not answered: the last of the append's operations.
        disk.cut_power_after(0);
        let batch = [record];
        assert!(journal.append(&batch).is_err());
        disk.restart();
        drop(batch);
        assert_eq!(blobs(&disk).len(), 1, "seed {seed}");
        drop(journal);
        disk.power_loss(seed);
        let (journal, recovery) = open(&disk).expect("open");
        let found = all(&journal).expect("replay");
        assert_eq!(found.len() as u64, recovery.next_lsn - 1, "seed {seed}");
    }
}

#[test]
fn an_orphan_of_a_slow_upload_is_removed() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    let mut slow = journal.blob().expect("blob");
    slow.write(&[1; 50_000]).expect("write");
    for text in [b"one", b"two"] {
        journal.append(&[inline(text, b"")]).expect("append");
    }
    journal.sync().expect("sync");
    std::mem::forget(slow.finish().expect("finish"));
    drop(journal);
    disk.restart();

    let (journal, _) = open(&disk).expect("open");
    // The index had both records, so nothing is replayed.
    assert_eq!(journal.remove_orphans(&HashSet::new(), 3).expect("tidy"), 1);
    assert_eq!(blobs(&disk).len(), 0);
}
