//! A damaged journal: it opens or is refused by name, and what it replays can be read or is refused.
//!
//! Checksums would hide everything behind them, so half of the inputs have them mended after the damage.
#![no_main]

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use store::{Body, Disk, Journal, JournalOptions, Open, Record, StoreError};
use testkit::disk::SimDisk;

const SEGMENT: u64 = 64 << 10;
const BLOCK: usize = 4096;
const LINE: usize = 64;

/// A file of the journal that is damaged, and the places worth damaging: its header, then its records.
struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    places: Vec<usize>,
}

fn options() -> JournalOptions {
    JournalOptions {
        segment_bytes: SEGMENT,
        blob_above: 16 << 10,
        reserve_bytes: 0,
        ..JournalOptions::new(vec![PathBuf::from("/j")])
    }
}

/// Two segments with records of every kind: the last one is not proven synced.
fn fill(disk: &SimDisk) -> Result<(), StoreError> {
    let (journal, _) = Journal::open(Arc::new(disk.clone()), options())?;
    for number in 0..10u8 {
        let head = vec![number; if number % 2 == 0 { 40 } else { 400 }];
        let body = match number {
            3 => Body::None,
            5 => {
                let mut blob = journal.blob()?;
                blob.write(&[number; 20_000])?;
                Body::Blob(blob.finish()?)
            }
            1 | 2 | 4 | 6 => Body::Inline(vec![vec![number; 16_000].into()]),
            _ => Body::Inline(vec![vec![number; 300].into()]),
        };
        journal.append(&[Record { head, body }])?;
        if number < 9 {
            journal.sync()?;
        }
        if number == 7 {
            journal.mark()?;
        }
    }
    Ok(())
}

/// Every file of a good journal, segments apart from the rest.
static GOOD: LazyLock<(Vec<Segment>, Vec<(PathBuf, Vec<u8>)>)> = LazyLock::new(|| {
    let disk = SimDisk::new();
    fill(&disk).expect("an empty disk without end");
    let (mut segments, mut others) = (Vec::new(), Vec::new());
    for path in disk.files() {
        let bytes = disk.contents(&path).expect("it was listed");
        if path.extension().is_some_and(|end| end == "seg") {
            let records = (BLOCK..bytes.len()).step_by(LINE).filter(|at| bytes[*at..].starts_with(b"KREC"));
            let places = std::iter::once(0).chain(records).collect();
            segments.push(Segment { path, bytes, places });
        } else {
            others.push((path, bytes));
        }
    }
    assert!(segments.len() > 1 && segments.iter().all(|segment| segment.places.len() > 2), "a journal of two segments");
    (segments, others)
});

fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, |four| u32::from_le_bytes(four) as usize)
}

fn put_crc(bytes: &mut [u8], at: usize, crc: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Writes the checksums a segment's damaged header and records would have had.
fn mend(bytes: &mut [u8], places: &[usize]) {
    let salt = [&bytes[12..20], &bytes[40..48]].concat();
    let salted = |data: &[u8]| crc32c::crc32c_append(crc32c::crc32c(data), &salt);
    let crc = crc32c::crc32c(&bytes[..508]);
    put_crc(bytes, 508, crc);
    for &at in places.iter().skip(1) {
        let record = &mut bytes[at..];
        let body = if record[7] == 1 { number(record, 32) } else { 0 };
        let (head, tail) = (number(record, 24), number(record, 40));
        let tail_at = LINE.saturating_add(head).saturating_add(body);
        if let Some(crc) = record.get(LINE..LINE.saturating_add(head)).map(salted) {
            put_crc(record, 48, crc);
        }
        if let Some(crc) = record.get(tail_at..tail_at.saturating_add(tail)).map(salted) {
            put_crc(record, 52, crc);
        }
        let crc = salted(&record[..60]);
        put_crc(record, 60, crc);
    }
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, Open::Create).expect("the disk is whole");
    file.write_at(&mut [IoSlice::new(bytes)], 0).expect("the disk is whole");
    file.sync_data().expect("the disk is whole");
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, changes)) = data.split_first() else { return };
    let (segments, others) = &*GOOD;
    let mut damaged: Vec<Vec<u8>> = segments.iter().map(|segment| segment.bytes.clone()).collect();
    // Triples of place (a segment's header or one of its records), byte from there, and value; the high bit of
    // the byte writes the value eight times, which is a whole number.
    for change in changes.chunks_exact(3) {
        let (which, place) = (usize::from(change[0] >> 4) % segments.len(), usize::from(change[0] & 15));
        let places = &segments[which].places;
        let at = places[place % places.len()] + usize::from(change[1] & 0x7f);
        damaged[which][at..][..if change[1] < 0x80 { 1 } else { 8 }].fill(change[2]);
    }
    let disk = SimDisk::new();
    for (segment, mut bytes) in segments.iter().zip(damaged) {
        if first & 1 == 1 {
            mend(&mut bytes, &segment.places);
        }
        put(&disk, &segment.path, &bytes);
    }
    others.iter().for_each(|(path, bytes)| put(&disk, path, bytes));
    let Ok((journal, recovery)) = Journal::open(Arc::new(disk), options()) else { return };
    let _ = journal.replay::<StoreError>(1, &mut |replayed| {
        assert!(replayed.lsn < recovery.next_lsn, "a record beyond the newest");
        if journal.read(&replayed.place, 0..replayed.place.body_len).is_ok() {
            let _ = journal.verify_record(&replayed.place);
        }
        Ok(())
    });
    if journal.append(&[Record { head: vec![1; 40], body: Body::None }]).is_ok() {
        let _ = journal.close();
    }
});
