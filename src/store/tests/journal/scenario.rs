//! A journal on a simulated disk beside a plain list of what it must hold.

use crate::disk::SimDisk;
use bytes::Bytes;
use model::{Lsn, Place};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use store::{Body, Journal, JournalOptions, Record, Recovery, StoreError};

pub(crate) const SEGMENT: u64 = 64 << 10;
pub(crate) const BLOB_ABOVE: u64 = 16 << 10;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn options(dirs: &[&str]) -> JournalOptions {
    JournalOptions {
        segment_bytes: SEGMENT,
        blob_above: BLOB_ABOVE,
        reserve_bytes: 0,
        spare_segments: 2,
        ..JournalOptions::new(dirs.iter().map(PathBuf::from).collect())
    }
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Journal, Recovery), StoreError> {
    Journal::open(Arc::new(disk.clone()), options(&["/journal"]))
}

pub(crate) fn inline(head: &[u8], body: &[u8]) -> Record {
    // In two pieces, as a body arrives.
    let (one, two) = body.split_at(body.len() / 3);
    let pieces = vec![Bytes::copy_from_slice(one), Bytes::copy_from_slice(two)];
    Record { head: head.to_vec(), body: Body::Inline(pieces) }
}

pub(crate) fn bytes(random: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.u8(..)).collect()
}

/// Everything a replay gives, with bodies read back.
pub(crate) fn all(journal: &Journal) -> Result<BTreeMap<Lsn, (Kept, Place)>, StoreError> {
    let mut found = BTreeMap::new();
    let mut places = Vec::new();
    journal.replay::<StoreError>(1, &mut |record| {
        places.push((record.lsn, record.head.to_vec(), record.place));
        Ok(())
    })?;
    for (lsn, head, place) in places {
        let body = journal.read(&place, 0..place.body_len)?;
        assert_eq!(journal.read_head(&place)?, head, "record {lsn}");
        journal.verify_record(&place)?;
        assert!(found.insert(lsn, (Kept { head, body }, place)).is_none(), "record {lsn} was replayed twice");
    }
    Ok(found)
}

/// The journal's contract as a list.
#[derive(Default)]
pub(crate) struct Contract {
    /// Everything appended, by number.
    pub(crate) appended: BTreeMap<Lsn, Kept>,
    /// Everything up to here was acknowledged.
    pub(crate) acknowledged: Lsn,
    /// Everything below was released.
    pub(crate) released_below: Lsn,
}

impl Contract {
    /// Checks what a start found, and takes what it dropped out of the list.
    pub(crate) fn check(&mut self, journal: &Journal, recovery: &Recovery, what: &str) {
        let found = all(journal).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let last = recovery.next_lsn - 1;
        assert!(last >= self.acknowledged, "{what}: {last} left of {} acknowledged", self.acknowledged);
        let newest = self.appended.keys().next_back().copied().unwrap_or(0);
        assert!(last <= newest, "{what}: record {last} was never appended");
        for (lsn, (kept, _)) in &found {
            assert!(self.appended.get(lsn) == Some(kept), "{what}: record {lsn} is another than was appended");
        }
        for lsn in self.appended.range(self.released_below..=last).map(|(lsn, _)| lsn) {
            assert!(found.contains_key(lsn), "{what}: record {lsn} is missing");
        }
        self.appended.split_off(&(last + 1));
    }
}

/// What a worker does with the journal until something stops it.
pub(crate) fn work(journal: &Journal, contract: &mut Contract, random: &mut fastrand::Rng, steps: usize) {
    for _ in 0..steps {
        if step(journal, contract, random).is_err() {
            return;
        }
    }
}

fn step(journal: &Journal, contract: &mut Contract, random: &mut fastrand::Rng) -> Result<(), StoreError> {
    match random.u8(0..12) {
        0..=5 => {
            let mut records = Vec::new();
            let mut kept = Vec::new();
            for _ in 0..random.usize(1..=3) {
                let (record, copy) = record(journal, random)?;
                records.push(record);
                kept.push(copy);
            }
            let first = journal.last() + 1;
            // What is written while the power goes may be found again.
            for (lsn, copy) in (first..).zip(kept) {
                contract.appended.insert(lsn, copy);
            }
            let places = journal.append(&records)?;
            assert_eq!(places.first().map(|(lsn, _)| *lsn), Some(first));
        }
        6..=9 => contract.acknowledged = journal.sync()?,
        10 => journal.mark()?,
        _ => {
            // What still counts would have been copied; here everything older is simply given up.
            contract.acknowledged = journal.sync()?;
            let segments = journal.segments();
            if let [oldest, next, ..] = segments.as_slice()
                && segments.len() > 3
            {
                contract.released_below = contract.released_below.max(next.first_lsn);
                journal.release(oldest.number)?;
            }
        }
    }
    Ok(())
}

fn record(journal: &Journal, random: &mut fastrand::Rng) -> Result<(Record, Kept), StoreError> {
    let head_len = random.usize(0..600);
    let head = if random.bool() { bytes(random, head_len) } else { vec![random.u8(..); head_len] };
    let len = match random.u8(0..10) {
        0..=2 => 0,
        3..=7 => random.usize(1..9000),
        8 => random.usize(9000..BLOB_ABOVE as usize),
        _ => random.usize(60_000..150_000),
    };
    let body = bytes(random, len);
    let kept = Kept { head: head.clone(), body: body.clone() };
    if len as u64 > BLOB_ABOVE {
        let mut writer = journal.blob()?;
        for piece in body.chunks(50_000) {
            writer.write(piece)?;
        }
        return Ok((Record { head, body: Body::Blob(writer.finish()?) }, kept));
    }
    if len == 0 && random.bool() {
        return Ok((Record { head, body: Body::None }, kept));
    }
    Ok((inline(&head, &body), kept))
}
