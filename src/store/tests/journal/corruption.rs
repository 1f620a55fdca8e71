//! What damage at rest does: corruption is named and nothing is cut, a torn tail is cut and reported.

use crate::disk::SimDisk;
use crate::scenario::{all, bytes, inline, open};
use model::Place;
use std::path::{Path, PathBuf};
use store::StoreError;

/// Four synced records of 3,000 bytes each; the newest is not yet proven by a later one.
fn filled(disk: &SimDisk) -> Vec<Place> {
    let mut random = fastrand::Rng::with_seed(3);
    let (journal, _) = open(disk).expect("open");
    let mut places = Vec::new();
    for number in 0..4 {
        let appended = journal.append(&[inline(&[number; 40], &bytes(&mut random, 3000))]).expect("append");
        places.extend(appended.into_iter().map(|(_, place)| place));
        journal.sync().expect("sync");
    }
    drop(journal);
    disk.restart();
    places
}

fn segment(place: &Place) -> PathBuf {
    PathBuf::from(format!("/journal/{:08}.seg", place.segment))
}

fn flip(disk: &SimDisk, path: &Path, offset: u64) {
    let offset = usize::try_from(offset).expect("small");
    disk.damage(path, |bytes| bytes[offset] ^= 0x10);
}

fn everything(disk: &SimDisk) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    disk.files().into_iter().map(|path| (path.clone(), disk.contents(&path))).collect()
}

#[test]
fn a_flipped_bit_in_a_proven_record_is_refused_with_its_place_and_nothing_is_cut() {
    for (record, inside) in [(0, 0), (0, 8), (1, 30), (2, 70), (2, 63)] {
        let disk = SimDisk::new();
        let places = filled(&disk);
        let place = &places[record];
        flip(&disk, &segment(place), place.offset + inside);
        let before = everything(&disk);

        let refused = open(&disk).err().expect("refused");

        let StoreError::Corrupt { file, offset, lsn, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!((file, *offset, *lsn), (&segment(place), place.offset, record as u64 + 1), "{refused}");
        assert!(before == everything(&disk), "record {record}: the start changed something");
    }
}

#[test]
fn a_flipped_bit_in_a_proven_body_is_found_by_reading_and_by_verifying() {
    let disk = SimDisk::new();
    let places = filled(&disk);
    flip(&disk, &segment(&places[1]), places[1].offset + 1000);

    let (journal, _) = open(&disk).expect("the start reads no bodies it need not");
    let read = journal.read(&places[1], 0..10);
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    assert!(matches!(journal.verify_record(&places[1]), Err(StoreError::Corrupt { .. })));
    journal.verify_record(&places[2]).expect("its neighbour is well");
}

#[test]
fn a_broken_last_record_is_a_torn_tail_that_is_cut_and_reported() {
    for inside in [0, 20, 70, 1000, 3100] {
        let disk = SimDisk::new();
        let places = filled(&disk);
        flip(&disk, &segment(&places[3]), places[3].offset + inside);

        let (journal, recovery) = open(&disk).expect("an ordinary start");

        let torn = recovery.torn.expect("reported");
        assert_eq!((&torn.file, torn.offset, torn.records), (&segment(&places[3]), places[3].offset, 0));
        assert!(torn.bytes >= 3000 && torn.bytes < 3300, "{torn:?}");
        assert_eq!(recovery.next_lsn, 4);
        assert_eq!(all(&journal).expect("replay").len(), 3);

        // The number is given again, to another record, and the cut one never comes back.
        journal.append(&[inline(b"new", b"other bytes")]).expect("append");
        journal.close().expect("close");
        disk.restart();
        let (journal, recovery) = open(&disk).expect("open");
        assert_eq!(recovery.torn, None);
        let found = all(&journal).expect("replay");
        assert_eq!(found.len(), 4);
        assert_eq!(found[&4].0.body, b"other bytes");
    }
}

#[test]
fn a_seal_never_claims_a_torn_record_that_was_the_only_unproven_one() {
    let disk = SimDisk::new();
    let places = filled(&disk);
    let path = segment(&places[3]);
    // Header and head hold, the body does not.
    flip(&disk, &path, places[3].offset + 1000);
    let (journal, recovery) = open(&disk).expect("an ordinary start");
    assert_eq!(recovery.next_lsn, 4);
    drop(journal);
    // The new segment never came to be: only the seal says where the old one ends.
    let newest = disk.files().into_iter().rfind(|file| *file != path && file.extension().is_some()).expect("new");
    assert!(newest > path);
    let file = disk.contents(&path).expect("segment");
    let at = usize::try_from(places[3].offset).expect("small");
    assert_eq!(file[at + 4], 2, "the seal lies where the torn record began");
    assert_eq!(file[at + 8..at + 16], 3u64.to_le_bytes(), "and names the last record that counts");
    assert_eq!(file[at + 16..at + 24], 3u64.to_le_bytes(), "as the last that is proven");
}

#[test]
fn a_hole_before_whole_records_that_were_never_acknowledged_is_cut_with_them() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    journal.append(&[inline(b"one", b"1")]).expect("append");
    journal.sync().expect("sync");
    let places = journal.append(&[inline(b"two", b"2"), inline(b"three", b"3")]).expect("append");
    drop(journal);
    disk.restart();
    flip(&disk, &segment(&places[0].1), places[0].1.offset + 5);

    let (journal, recovery) = open(&disk).expect("open");

    assert_eq!(recovery.torn.map(|torn| torn.records), Some(1));
    assert_eq!(all(&journal).expect("replay").len(), 1);
}

#[test]
fn a_missing_segment_and_a_broken_segment_header_are_refused() {
    let mut random = fastrand::Rng::with_seed(4);
    for delete in [true, false] {
        let disk = SimDisk::new();
        let (journal, _) = open(&disk).expect("open");
        while journal.segments().len() < 4 {
            journal.append(&[inline(b"head", &bytes(&mut random, 9000))]).expect("append");
            journal.sync().expect("sync");
        }
        let oldest = journal.segments()[0];
        journal.close().expect("close");
        disk.restart();
        let path = PathBuf::from(format!("/journal/{:08}.seg", oldest.number));
        if delete {
            store::Disk::remove(&disk, &path).expect("remove");
        } else {
            flip(&disk, &path, 30);
        }

        let refused = open(&disk).err().expect("refused");

        assert!(matches!(&refused, StoreError::Corrupt { file, .. } if *file == path), "{refused:?}");
    }
}

#[test]
fn a_record_in_an_unknown_envelope_is_refused_and_named() {
    let disk = SimDisk::new();
    let places = filled(&disk);
    let path = segment(&places[0]);
    let at = usize::try_from(places[1].offset).expect("small");
    disk.damage(&path, |file| {
        file[at + 5] = 9;
        // The checksum of a program that knows envelope 9: salt as in the segment header.
        let salt = [&file[12..20], &file[40..48]].concat();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&file[at..at + 60]), &salt);
        file[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
    });

    let refused = open(&disk).err().expect("refused");

    let StoreError::Unknown { what, value, lsn, offset, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((*what, *value, *lsn, *offset), ("envelope", 9, 2, places[1].offset));
}

#[test]
fn a_record_look_alike_inside_a_body_is_not_taken_for_a_record() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk).expect("open");
    journal.append(&[inline(b"one", b"1")]).expect("append");
    journal.sync().expect("sync");
    let victim = journal.append(&[inline(b"victim", &[0; 640])]).expect("append")[0].1.clone();
    // A sender who knows everything but the nonce: number, generation, record number, a false proof.
    let mut body = vec![0; 4096];
    for at in (0..body.len()).step_by(64) {
        body[at..at + 4].copy_from_slice(b"KREC");
        body[at + 8] = 4;
        body[at + 16] = 3;
        let salt = [&1u32.to_le_bytes()[..], &1u32.to_le_bytes()[..], &0u64.to_le_bytes()[..]].concat();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&body[at..at + 60]), &salt);
        body[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
    }
    journal.append(&[inline(b"hostile", &body)]).expect("append");
    drop(journal);
    disk.restart();
    flip(&disk, &segment(&victim), victim.offset);

    let (journal, recovery) = open(&disk).expect("its false proof does not make this corruption");
    assert_eq!(recovery.torn.map(|torn| torn.records), Some(1));
    assert_eq!(all(&journal).expect("replay").len(), 1);
}

#[test]
fn a_journal_of_any_bytes_is_opened_or_refused_without_a_panic() {
    let base = fastrand::u64(..1 << 40);
    for seed in base..base + 300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let places = filled(&disk);
        disk.damage(&segment(&places[0]), |file| {
            for _ in 0..random.usize(1..20) {
                let at = random.usize(..file.len().min(20_000));
                let end = (at + random.usize(1..80)).min(file.len());
                let value = random.u8(..);
                file[at..end].iter_mut().for_each(|byte| *byte = if random.bool() { value } else { random.u8(..) });
            }
            if random.bool() {
                file.truncate(random.usize(..file.len()));
            }
        });
        if let Ok((journal, _)) = open(&disk) {
            drop(all(&journal));
        }
    }
}

/// Damage that keeps its checksum, or a file made to hurt: numbers that nothing could have counted up to.
#[test]
fn a_number_beyond_all_counting_is_refused_and_never_added_to() {
    let changed = |offset: u64, field: usize, len: usize, salted: bool| {
        let disk = SimDisk::new();
        let places = filled(&disk);
        let at = usize::try_from(offset).expect("small");
        disk.damage(&segment(&places[0]), |file| {
            file[at + field..at + field + len].fill(0xFF);
            let salt = [&file[12..20], &file[40..48]].concat();
            let end = at + if salted { 60 } else { 508 };
            let plain = crc32c::crc32c(&file[at..end]);
            let crc = if salted { crc32c::crc32c_append(plain, &salt) } else { plain };
            file[end..end + 4].copy_from_slice(&crc.to_le_bytes());
        });
        open(&disk).map(|(journal, _)| drop(all(&journal)))
    };
    // Of the segment: generation, serial, first record, highest segment.
    for (field, len) in [(16, 4), (24, 8), (32, 8), (48, 4)] {
        let refused = changed(0, field, len, false);
        assert!(matches!(refused, Err(StoreError::Corrupt { offset: 0, .. })), "field {field}: {refused:?}");
    }
    // Of a record that others prove: its number, the newest proven one.
    let places = filled(&SimDisk::new());
    for field in [8, 16] {
        let refused = changed(places[1].offset, field, 8, true);
        assert!(matches!(refused, Err(StoreError::Corrupt { lsn: 2, .. })), "field {field}: {refused:?}");
    }
    // Of the newest record, which nothing proves: it is cut.
    assert!(changed(places[3].offset, 16, 8, true).is_ok());
    // Of a file that never came into use.
    let disk = SimDisk::new();
    filled(&disk);
    let path = PathBuf::from(format!("/journal/{}.seg", u32::MAX));
    store::Disk::open(&disk, &path, store::Open::Create).expect("made");
    let refused = open(&disk).map(|_| ());
    assert!(matches!(&refused, Err(StoreError::Corrupt { file, .. }) if *file == path), "{refused:?}");
}
