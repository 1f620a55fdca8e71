//! Looking at one directory at start-up, without changing anything.
//!
//! Segments are walked from the newest backwards until the proven mark covers everything older; the rest is
//! judged when it is replayed or verified. The result says where the journal ends, what is proven, what is
//! not, and what was torn. Damage at or below the proven mark is an error here, before anything is touched.

use super::Shared;
use super::layout::{COUNT_MAX, DATA, HeaderFound, MARK, ROSTER, RecordHeader, SEAL, SEGMENT_VERSION, SegmentHeader};
use super::mirror::{read_header, segment_name};
use super::read::{holds, place_of};
use super::recover::Torn;
use super::scan::{Beyond, Walk};
use crate::{Open, StoreError};
use model::{Lsn, Place};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// A record that nothing proves synced.
#[derive(Debug, Clone)]
pub(crate) struct Unproven {
    pub(crate) segment: SegmentHeader,
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
    pub(crate) place: Place,
}

/// Where a walked segment ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// The last data record that counts.
    pub(crate) last: Lsn,
    /// Offset behind it.
    pub(crate) offset: u64,
    pub(crate) sealed: bool,
}

/// What one directory holds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) dir: PathBuf,
    /// Segments that count, in the order of their records.
    pub(crate) used: Vec<SegmentHeader>,
    /// Segments whose records were all moved or dropped at an earlier start.
    pub(crate) superseded: Vec<SegmentHeader>,
    /// Number and generation of free segments.
    pub(crate) free: Vec<(u32, u32)>,
    pub(crate) highest: u32,
    pub(crate) serial: u64,
    pub(crate) proven: Lsn,
    pub(crate) last: Lsn,
    pub(crate) tail: Vec<Unproven>,
    /// By segment number, for the segments walked.
    pub(crate) ends: BTreeMap<u32, End>,
    pub(crate) torn: Option<Torn>,
}

/// One walked segment.
struct Walked {
    segment: SegmentHeader,
    path: PathBuf,
    /// Data records above the mark known so far.
    records: VecDeque<(u64, RecordHeader)>,
    roster: Option<Vec<u8>>,
    /// Number expected next where the walk stopped, and the offset.
    next: Lsn,
    stopped: u64,
    end: End,
    /// The walk stopped because a later segment holds what follows.
    continued: bool,
    beyond: Beyond,
    proven: Lsn,
}

impl Survey {
    /// Looks at a directory.
    pub(crate) fn of(shared: &Shared, dir: &Path) -> Result<Self, StoreError> {
        let mut survey = Self { dir: dir.to_owned(), ..Self::default() };
        survey.headers(shared)?;
        let mut walked = survey.walk_back(shared)?;
        survey.check_roster(&walked)?;
        survey.judge(&mut walked)?;
        survey.check_bodies(shared, &walked)?;
        Ok(survey)
    }

    /// Whether there is anything in the directory.
    pub(crate) fn is_empty(&self) -> bool {
        self.used.is_empty() && self.superseded.is_empty()
    }

    fn headers(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let disk = shared.mirror.disk.as_ref();
        let names = disk.list(&self.dir).map_err(|e| StoreError::io("list", &self.dir, e))?;
        let mut used = Vec::new();
        for name in names {
            let Some(number) = name.strip_suffix(".seg").and_then(|stem| stem.parse::<u32>().ok()) else { continue };
            let path = self.dir.join(&name);
            self.highest = self.highest.max(number);
            match read_header(disk, &path)? {
                HeaderFound::Blank if number >= COUNT_MAX => {
                    return Err(StoreError::corrupt(&path, 0, 0, "the segment number is none that was given"));
                }
                HeaderFound::Blank => self.free.push((number, 0)),
                HeaderFound::Valid(header) if header.number != number => {
                    return Err(StoreError::corrupt(&path, 0, 0, "the segment number is not that of the file's name"));
                }
                HeaderFound::Valid(header) => {
                    self.highest = self.highest.max(header.highest);
                    self.serial = self.serial.max(header.serial);
                    if header.in_use { used.push(header) } else { self.free.push((number, header.generation)) }
                }
                HeaderFound::Newer(found) => return Err(StoreError::Newer { path, found, known: SEGMENT_VERSION }),
                HeaderFound::Bad => return Err(StoreError::corrupt(&path, 0, 0, "the segment header")),
            }
        }
        used.sort_unstable_by_key(|header: &SegmentHeader| header.serial);
        // A later segment supersedes every record from its first number on.
        let mut until = u64::MAX;
        for header in used.into_iter().rev() {
            if header.first_lsn < until {
                until = header.first_lsn;
                self.used.push(header);
            } else {
                self.superseded.push(header);
            }
        }
        self.used.reverse();
        Ok(())
    }

    /// Walks segments from the newest back until what is older is proven. Returned oldest first.
    fn walk_back(&mut self, shared: &Shared) -> Result<VecDeque<Walked>, StoreError> {
        let mut walked: VecDeque<Walked> = VecDeque::new();
        let mut until = u64::MAX;
        for (index, segment) in self.used.iter().enumerate().rev() {
            let one = walk_segment(shared, &self.dir, *segment, until)?;
            self.proven = self.proven.max(one.proven);
            until = segment.first_lsn;
            walked.push_front(one);
            // The segment before a moved tail may still lack its seal.
            let newest_was_moved = segment.moved && index + 1 == self.used.len();
            if self.proven >= segment.first_lsn.saturating_sub(1) && !newest_was_moved {
                break;
            }
        }
        Ok(walked)
    }

    /// Every segment in use when the newest one was begun must still be there, or have been released.
    fn check_roster(&self, walked: &VecDeque<Walked>) -> Result<(), StoreError> {
        // A roster counts when everything before its segment is proven; else what it lists may never have
        // reached the disk.
        let counts = |one: &&Walked| self.proven + 1 >= one.segment.first_lsn;
        let Some(roster) = walked.iter().rev().filter(counts).find_map(|one| one.roster.as_ref()) else {
            return Ok(());
        };
        let all = || self.used.iter().chain(&self.superseded).map(|h| (h.number, h.generation));
        for entry in roster.chunks_exact(8) {
            let field = |at: usize| entry.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
            let (Some(number), Some(generation)) = (field(0), field(4)) else { continue };
            let found = all().chain(self.free.iter().copied()).find(|(known, _)| *known == number);
            if found.is_none_or(|(_, known)| known < generation) {
                let path = self.dir.join(segment_name(number));
                return Err(StoreError::corrupt(&path, 0, 0, "the segment is missing"));
            }
        }
        Ok(())
    }

    /// Finds the end of the journal and what is unproven before it.
    fn judge(&mut self, walked: &mut VecDeque<Walked>) -> Result<(), StoreError> {
        self.last = self.used.first().map_or(0, |first| first.first_lsn.saturating_sub(1));
        let mut hole: Option<&Walked> = None;
        let mut dropped = 0;
        let firsts: Vec<Lsn> = walked.iter().skip(1).map(|one| one.segment.first_lsn).chain([0]).collect();
        for (one, next_first) in walked.iter().zip(firsts) {
            if hole.is_some() {
                dropped += one.records.len() as u64 + one.beyond.records;
                continue;
            }
            self.ends.insert(one.segment.number, one.end);
            self.last = self.last.max(one.next.saturating_sub(1));
            for (offset, header) in one.records.iter().filter(|(_, header)| header.lsn > self.proven) {
                // The name of the body's file is read with the body's check.
                let place = Place {
                    segment: one.segment.number,
                    generation: one.segment.generation,
                    offset: *offset,
                    head_len: header.head_len,
                    body_len: header.body_len,
                    blob: None,
                };
                self.tail.push(Unproven { segment: one.segment, offset: *offset, header: *header, place });
            }
            // A released segment leaves a gap, but a proven one; an unproven gap is a segment that was lost
            // with everything behind it before any of it was synced.
            let gap = one.next < next_first && self.proven + 1 < next_first;
            if gap || (!one.end.sealed && !one.continued) {
                if self.proven >= one.next {
                    let what = "a record below the synced position does not hold";
                    return Err(StoreError::corrupt(&one.path, one.stopped, one.next, what));
                }
                hole = Some(one);
                dropped = one.beyond.records;
            }
        }
        if let Some(one) = hole {
            let bytes = one.beyond.end.saturating_sub(one.stopped);
            if bytes > 0 || dropped > 0 {
                self.torn = Some(Torn { file: one.path.clone(), offset: one.stopped, bytes, records: dropped });
            }
        }
        if self.proven > self.last
            && let Some(one) = walked.back()
        {
            let what = "records below the synced position are missing";
            return Err(StoreError::corrupt(&one.path, one.stopped, self.last + 1, what));
        }
        Ok(())
    }

    /// Reads the bodies of unproven records; the journal ends before the first that does not hold.
    fn check_bodies(&mut self, shared: &Shared, walked: &VecDeque<Walked>) -> Result<(), StoreError> {
        let mut cut = None;
        for (index, record) in self.tail.iter_mut().enumerate() {
            let path = self.dir.join(segment_name(record.segment.number));
            let failed = |e| StoreError::io("open", &path, e);
            let file = shared.mirror.disk.open(&path, Open::Read).map_err(failed)?;
            let whole = match place_of(&path, file.as_ref(), &record.segment, record.offset, &record.header) {
                Ok(place) => {
                    record.place = place;
                    holds(shared, &self.dir, record.segment, &record.place)?
                }
                Err(StoreError::Corrupt { .. }) => false,
                Err(error) => return Err(error),
            };
            if !whole {
                cut = Some(index);
                break;
            }
        }
        let Some(index) = cut else { return Ok(()) };
        let dropped = self.tail.split_off(index);
        let Some(first) = dropped.first() else { return Ok(()) };
        self.last = first.header.lsn.saturating_sub(1);
        // A seal behind the torn record would claim it as proven.
        let end = End { last: self.last, offset: first.offset, sealed: false };
        self.ends.insert(first.segment.number, end);
        let file = self.dir.join(segment_name(first.segment.number));
        let end = walked.iter().find(|one| one.segment.number == first.segment.number);
        let bytes = end.map_or(0, |one| one.stopped.max(one.beyond.end)).saturating_sub(first.offset);
        let records = dropped.len() as u64 - 1 + self.torn.as_ref().map_or(0, |torn| torn.records);
        self.torn = Some(Torn { file, offset: first.offset, bytes, records });
        Ok(())
    }
}

fn walk_segment(shared: &Shared, dir: &Path, segment: SegmentHeader, until: Lsn) -> Result<Walked, StoreError> {
    let path = dir.join(segment_name(segment.number));
    let file = shared.mirror.disk.open(&path, Open::Read).map_err(|e| StoreError::io("open", &path, e))?;
    let mut walk = Walk::new(&path, file, &segment)?;
    let mut one = Walked {
        segment,
        path,
        records: VecDeque::new(),
        roster: None,
        next: segment.first_lsn,
        stopped: walk.at(),
        end: End { last: segment.first_lsn.saturating_sub(1), offset: walk.at(), sealed: false },
        continued: segment.first_lsn == until,
        beyond: Beyond::default(),
        proven: 0,
    };
    loop {
        one.stopped = walk.at();
        let Some((at, header)) = walk.next()? else { break };
        let fits = if header.kind == DATA { header.lsn == one.next } else { header.lsn + 1 == one.next };
        if !fits {
            break;
        }
        one.proven = one.proven.max(header.synced);
        match header.kind {
            DATA if header.lsn >= until => break,
            DATA => {
                one.records.push_back((at, header));
                one.next += 1;
                one.end.offset = walk.at();
                one.end.last = header.lsn;
            }
            SEAL => {
                one.end.sealed = true;
                break;
            }
            ROSTER => {
                one.roster = Some(walk.head(at, &header)?);
                one.end.offset = walk.at();
            }
            MARK => {}
            _ => break,
        }
        while one.records.front().is_some_and(|(_, oldest)| oldest.lsn <= one.proven) {
            one.records.pop_front();
        }
    }
    one.continued = one.next >= until;
    if !one.end.sealed && !one.continued {
        one.beyond = walk.beyond(segment.generation == 1)?;
        one.proven = one.proven.max(one.beyond.proven);
    }
    Ok(one)
}
