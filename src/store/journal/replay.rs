//! Reading all records from a number on, in order, without their bodies.
//!
//! What lies below the proven mark must hold; a record that does not is corruption and stops the replay
//! with its place named. This file deliberately does not know what becomes of the records.

use super::Journal;
use super::layout::{DATA, SEAL, SegmentHeader};
use super::mirror::segment_name;
use super::read::place_of;
use super::scan::Walk;
use crate::StoreError;
use model::{Lsn, Place};

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
        let last = self.last();
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

    fn replay_segment<E: From<StoreError>>(
        &self,
        segment: &SegmentHeader,
        from: Lsn,
        until: Lsn,
        each: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut dirs = self.shared.mirror.live();
        let mut walk = self.walk(dirs.next(), segment)?;
        let mut expected = segment.first_lsn;
        while expected < until {
            let Some((at, header)) = walk.next()? else {
                // The other directory may still hold what this one lost.
                let Some(dir) = dirs.next() else {
                    let lost = "a record below the synced position does not hold";
                    return Err(StoreError::corrupt(&walk.path, walk.at(), expected, lost).into());
                };
                walk = self.walk(Some(dir), segment)?;
                self.skip(&mut walk, expected)?;
                continue;
            };
            if header.kind == SEAL {
                break;
            }
            if header.kind != DATA {
                continue;
            }
            if header.lsn != expected {
                let what = "a record number is missing";
                return Err(StoreError::corrupt(&walk.path, at, expected, what).into());
            }
            if header.lsn >= from {
                let head = walk.head(at, &header)?;
                let place = place_of(&walk.path, walk.file.as_ref(), segment, at, &header)?;
                each(Replayed { lsn: header.lsn, head: &head, place })?;
            }
            expected += 1;
        }
        Ok(())
    }

    fn walk(&self, dir: Option<&std::path::Path>, segment: &SegmentHeader) -> Result<Walk, StoreError> {
        let dir = dir.ok_or(StoreError::Poisoned)?;
        let name = segment_name(segment.number);
        Walk::new(&dir.join(&name), self.shared.mirror.reader(dir, &name)?, segment)
    }

    /// Walks past the records before `expected`.
    fn skip(&self, walk: &mut Walk, expected: Lsn) -> Result<(), StoreError> {
        let mut seen = 0;
        while seen + 1 < expected {
            let Some((_, header)) = walk.next()? else { break };
            seen = header.lsn;
        }
        Ok(())
    }
}
