//! Flipped bits, missing and exchanged files: found at open, at a read or by the check; never used.

use crate::registry::{append, assert_entries, dir, files, filled, open, text, try_open, view};
use store::{LedgerView, StoreError};

const LAST: u64 = 64;

/// Reads everything there is to read and holds every answer against what is known.
fn read_everything(view: &LedgerView) -> Result<(), StoreError> {
    for index in 0..LAST {
        assert_eq!(view.entry(index)?.bytes, text(index + 1).as_bytes(), "a wrong entry was served");
        view.proof_document(index)?;
    }
    for size in (3..=LAST).step_by(3) {
        view.consistency_document(size, LAST)?;
    }
    Ok(())
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_never_used() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut at_open, mut by_check) = (0, 0);
    for flip in 0..200 {
        let disk = filled(LAST);
        let names = files(&disk);
        // Every file gets its share, whatever its size.
        let path = &names[flip % names.len()];
        let place = random.usize(0..disk.contents(path).expect("file").len());
        let bit = random.u8(0..8);
        disk.damage(path, |bytes| bytes[place] ^= 1 << bit);
        let Ok(view) = view(&disk) else {
            at_open += 1;
            continue;
        };
        let found = view.check();
        assert!(matches!(found, Err(StoreError::Corrupt { .. } | StoreError::Newer { .. })), "{path:?} {place}.{bit}");
        by_check += 1;
        // A reader meets the damage or does not need it, but is never told anything wrong.
        let _ = read_everything(&view);
    }
    println!("{at_open} at open, {by_check} by the check");
    assert_eq!(at_open + by_check, 200);
    assert!(by_check > 100, "most places are not looked at when opening");
}

#[test]
fn a_flipped_bit_keeps_the_writer_out_or_is_left_as_it_is() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for flip in 0..200 {
        let disk = filled(LAST);
        let names = files(&disk);
        let path = &names[flip % names.len()];
        let place = random.usize(0..disk.contents(path).expect("file").len());
        disk.damage(path, |bytes| bytes[place] ^= 1 << random.u8(0..8));
        let damaged: Vec<_> = names.iter().map(|name| disk.contents(name)).collect();
        match try_open(&disk) {
            Err(_) => {
                let after: Vec<_> = names.iter().map(|name| disk.contents(name)).collect();
                assert_eq!(after, damaged, "{path:?} {place}: nothing is cut from a ledger that is damaged");
            }
            Ok((ledger, opened)) => {
                assert_eq!((opened.size, opened.cut_bytes), (LAST, 0), "{path:?} {place}");
                append(&ledger, LAST + 1..=LAST + 9).expect("append");
                ledger.sync_and_sign(u64::MAX).expect("sign");
                assert!(ledger.view().check().is_err(), "{path:?} {place}: still found");
            }
        }
    }
}

#[test]
fn a_missing_or_exchanged_file_is_found() {
    let names = files(&filled(LAST));
    for (one, other) in names.iter().zip(names.iter().cycle().skip(1)) {
        let disk = filled(LAST);
        let instead = disk.contents(other).expect("file");
        disk.damage(one, |bytes| *bytes = instead);
        let found = view(&disk).and_then(|view| view.check());
        assert!(found.is_err(), "{one:?} has the contents of {other:?}");

        let disk = filled(LAST);
        disk.damage(one, Vec::clear);
        let found = view(&disk).and_then(|view| view.check());
        assert!(found.is_err(), "{one:?} is empty");
    }
}

#[test]
fn heads_that_went_missing_are_told_by_the_entries_written_after_them() {
    let disk = filled(30);
    append(&open(&disk).0, 31..=33).expect("unsigned entries that know of the last head");
    let heads = dir().join("heads.log");
    disk.damage(&heads, |bytes| bytes.truncate(bytes.len() - 128));
    let before: Vec<_> = files(&disk).iter().map(|path| disk.contents(path)).collect();
    let refused = try_open(&disk).map(|_| ());
    assert!(matches!(&refused, Err(StoreError::Corrupt { file, .. }) if *file == heads), "{refused:?}");
    let after: Vec<_> = files(&disk).iter().map(|path| disk.contents(path)).collect();
    assert_eq!(after, before, "nothing was cut");
}

/// An entry that was changed with all its checksums made to fit again.
#[test]
fn a_forged_entry_with_sound_checksums_is_found() {
    let disk = filled(LAST);
    let path = dir().join("entries-00000002.log");
    let mut index = 0;
    disk.damage(&path, |bytes| {
        let record = 512;
        index = u64::from_le_bytes(bytes[record + 8..record + 16].try_into().expect("field"));
        let len = u32::from_le_bytes(bytes[record + 4..record + 8].try_into().expect("field"));
        let entry = record + 40..record + 40 + usize::try_from(len).expect("small");
        bytes[entry.start + 2] = b'K';
        let sum = crc32c(&bytes[entry]);
        bytes[record + 32..record + 36].copy_from_slice(&sum.to_le_bytes());
        let sum = crc32c(&bytes[record..record + 36]);
        bytes[record + 36..record + 40].copy_from_slice(&sum.to_le_bytes());
    });
    let view = view(&disk).expect("the end is sound");
    let read = view.entry(index);
    assert!(matches!(&read, Err(StoreError::Corrupt { file, .. }) if *file == path), "{read:?}");
    assert!(view.check().is_err());
    assert_entries_below(&view, index);
}

fn assert_entries_below(view: &LedgerView, index: u64) {
    for below in 0..index {
        assert_eq!(view.entry(below).expect("entry").bytes, text(below + 1).as_bytes());
    }
}

#[test]
fn a_ledger_grows_soundly_after_all_this() {
    let disk = filled(LAST);
    assert_entries(open(&disk).0.view(), LAST);
}

/// CRC-32C bit by bit, so that the test does not lean on the code it tests.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}
