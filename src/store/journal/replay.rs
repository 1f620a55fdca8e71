//! Reading all records from a number on, in order, without their bodies.
//!
//! What lies below the proven mark must hold; a record that does not is corruption and stops the replay
//! with its place named. This file deliberately does not know what becomes of the records.

use super::Journal;
use super::layout::{BLOCK, DATA, SEAL, SegmentHeader};
use super::mirror::segment_name;
use super::read::place_of;
use super::scan::Walk;
use crate::StoreError;
use model::{Lsn, Place};
use std::path::Path;

/// One record of a replay.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// Its head.
    pub head: &'a [u8],
    /// Where it lies.
    pub place: Place,
}

impl Journal {
    /// Gives every record from `from` up to the newest at the time of the call to `each`, in order.
    /// An error of `each` ends the replay and is returned.
    pub fn replay<E: From<StoreError>>(
        &self,
        from: Lsn,
        each: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.replay_until(from, self.last().saturating_add(1), each)
    }

    /// The same, up to before a number. A segment released meanwhile is passed over from there on.
    pub fn replay_until<E: From<StoreError>>(
        &self,
        from: Lsn,
        before: Lsn,
        each: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let last = self.last().min(before.saturating_sub(1));
        let mut headers: Vec<SegmentHeader> = self.shared.segments.read().values().copied().collect();
        headers.sort_unstable_by_key(|header| header.serial);
        for (index, header) in headers.iter().enumerate() {
            // Later segments supersede what they can hold; see `recover`.
            let next = headers.get(index + 1).map_or(u64::MAX, |next| next.first_lsn);
            let until = next.min(last.saturating_add(1));
            if next > from && header.first_lsn < until {
                self.replay_segment(header, from, until, each)?;
            }
        }
        Ok(())
    }

    /// Whether a segment is still in use as it was.
    fn holds(&self, segment: &SegmentHeader) -> bool {
        let known = self.shared.segments.read().get(&segment.number).copied();
        known.is_some_and(|known| known.generation == segment.generation)
    }

    fn replay_segment<E: From<StoreError>>(
        &self,
        segment: &SegmentHeader,
        from: Lsn,
        until: Lsn,
        each: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut sides = Sides::new(self, segment);
        let (mut at, mut expected) = (BLOCK, segment.first_lsn);
        while expected < until {
            let found = match sides.record(at, expected, from) {
                // Released while it was walked: what counts of it was copied forward.
                Err(_) if !self.holds(segment) => break,
                found => found?,
            };
            match found {
                Found::Seal => break,
                Found::Control { next } => at = next,
                Found::Data { next, record } => {
                    if let Some((head, place)) = record {
                        each(Replayed { lsn: expected, head: &head, place })?;
                    }
                    at = next;
                    expected += 1;
                }
            }
        }
        Ok(())
    }
}

/// What lies at an offset.
enum Found {
    Seal,
    Control { next: u64 },
    Data { next: u64, record: Option<(Vec<u8>, Place)> },
}

/// One segment in every live directory: they are written alike, so what one lost stands in the other at the
/// same offset.
struct Sides<'a> {
    journal: &'a Journal,
    segment: &'a SegmentHeader,
    dirs: Vec<&'a Path>,
    walks: Vec<Option<Walk>>,
    /// The directory that answered last.
    current: usize,
}

impl<'a> Sides<'a> {
    fn new(journal: &'a Journal, segment: &'a SegmentHeader) -> Self {
        let dirs: Vec<&Path> = journal.shared.mirror.live().collect();
        let walks = dirs.iter().map(|_| None).collect();
        Self { journal, segment, dirs, walks, current: 0 }
    }

    /// The record at an offset from the first directory that holds it; without any, why the first does not.
    fn record(&mut self, at: u64, expected: Lsn, from: Lsn) -> Result<Found, StoreError> {
        let mut first = None;
        for turn in 0..self.dirs.len() {
            let side = (self.current + turn) % self.dirs.len();
            match self.record_of(side, at, expected, from) {
                Ok(found) => {
                    self.current = side;
                    return Ok(found);
                }
                Err(error) => {
                    tracing::warn!(%error, "a record cannot be replayed from one directory");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or(StoreError::Poisoned))
    }

    fn record_of(&mut self, side: usize, at: u64, expected: Lsn, from: Lsn) -> Result<Found, StoreError> {
        let (Some(dir), Some(slot)) = (self.dirs.get(side), self.walks.get_mut(side)) else {
            return Err(StoreError::Poisoned);
        };
        let walk = match slot {
            Some(walk) => walk,
            None => {
                let name = segment_name(self.segment.number);
                let file = self.journal.shared.mirror.reader(dir, &name)?;
                slot.insert(Walk::new(&dir.join(&name), file, self.segment)?)
            }
        };
        walk.seek(at);
        let Some((_, header)) = walk.next()? else {
            let lost = "a record below the synced position does not hold";
            return Err(StoreError::corrupt(&walk.path, at, expected, lost));
        };
        let next = walk.at();
        match header.kind {
            SEAL => return Ok(Found::Seal),
            DATA => {}
            _ => return Ok(Found::Control { next }),
        }
        if header.lsn != expected {
            return Err(StoreError::corrupt(&walk.path, at, expected, "a record number is missing"));
        }
        if header.lsn < from {
            return Ok(Found::Data { next, record: None });
        }
        let head = walk.head(at, &header)?;
        let place = place_of(&walk.path, walk.file.as_ref(), self.segment, at, &header)?;
        Ok(Found::Data { next, record: Some((head, place)) })
    }
}
