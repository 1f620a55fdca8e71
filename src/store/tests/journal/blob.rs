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
