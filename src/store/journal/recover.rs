//! Start-up: from what the directories hold to a journal that can be appended to.
//!
//! 1. Look at every directory; corruption ends it here with nothing changed.
//! 2. Bring a directory that fell behind up to date with the other.
//! 3. If everything is proven and nothing was torn, go on where the last data record ends.
//! 4. Otherwise begin a new segment whose first number is the first unproven one, copy the unproven records
//!    into it and sync them; only then write and sync its header, from which moment it supersedes the old
//!    copies. Why: after a failed sync the cached pages look whole while the disk may lack them.
//! 5. Seal the segment that was cut and free the ones that were superseded.
//!
//! A crash between any two steps leaves what the next start-up finds and finishes.
//!
//! Moved records still name the old proven position: until the caller has made its own notes of their new
//! places durable and says so with [`super::Journal::mark`], every start-up moves them again and reports it.

use super::batch::Batch;
use super::layout::{BLOCK, BODY_INLINE, SEAL, SegmentHeader};
use super::mirror::segment_name;
use super::pair::{Note, Pair, State};
use super::survey::{Survey, Unproven};
use super::writer::{Active, Writer};
use super::{Shared, resync};
use crate::{DiskFile, Open, StoreError};
use model::Lsn;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What start-up found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The torn tail that was cut, if any. Nothing acknowledged was in it.
    pub torn: Option<Torn>,
    /// The first record that was moved to a new segment: from it on, places noted earlier are void.
    /// Reported, after yet another move, by every start until [`super::Journal::mark`]: call it when the new
    /// places are noted durably and before anything else is appended or released.
    pub moved_from: Option<Lsn>,
    /// Number of the next record to be appended.
    pub next_lsn: Lsn,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment file.
    pub file: PathBuf,
    /// Where the first broken record begins.
    pub offset: u64,
    /// Bytes from there to the last trace of a record.
    pub bytes: u64,
    /// Whole records behind the broken one that were dropped with it; none was acknowledged.
    pub records: u64,
}

/// Brings the directories into order and finds the end.
pub(crate) fn recover(shared: &Shared, pair: &Pair) -> Result<(Writer, Recovery), StoreError> {
    let survey = survey_all(shared, pair)?;
    for header in &survey.used {
        // What nothing proves will be moved; segments that hold nothing else do not count any more.
        if header.first_lsn <= survey.proven {
            shared.segments.write().insert(header.number, *header);
        }
    }
    let mut writer = Writer {
        active: None,
        next_lsn: survey.last + 1,
        serial: survey.serial,
        highest: survey.highest,
        free: survey.free.clone(),
        marked: survey.last,
        left_cache: false,
    };
    let recovery = Recovery {
        torn: survey.torn.clone(),
        moved_from: survey.tail.first().map(|record| record.header.lsn),
        next_lsn: survey.last + 1,
    };
    if !resume(shared, &survey, &mut writer)? {
        move_tail(shared, &survey, &mut writer)?;
    }
    tidy(shared, &survey, &mut writer)?;
    shared.mirror.forget_readers();
    agree(shared, pair, &survey.dir)?;
    shared.mirror.hold_on_to(None);
    shared.synced.store(survey.last, Ordering::Release);
    shared.next_lsn.store(writer.next_lsn, Ordering::Release);
    // What was written above was synced there.
    shared.unsynced.lock().settle(survey.last);
    writer.marked = 0;
    if survey.tail.is_empty() {
        // Only what was proven is claimed again.
        writer.mark(shared)?;
    }
    Ok((writer, recovery))
}

/// Looks at every directory, picks the one the notes name or that knows most, and updates the other from it.
fn survey_all(shared: &Shared, pair: &Pair) -> Result<Survey, StoreError> {
    let dirs: Vec<PathBuf> = shared.mirror.live().map(Path::to_owned).collect();
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for dir in dirs {
        match Survey::of(shared, &dir) {
            Ok(survey) => good.push(survey),
            // What it holds the other may lack.
            Err(error) if pair.authority() == Some(dir.as_path()) => return Err(error),
            Err(error) => bad.push((dir, error)),
        }
    }
    good.sort_by_key(|survey| (pair.authority() == Some(survey.dir.as_path()), survey.last, survey.proven));
    let Some(best) = good.pop().filter(|best| bad.is_empty() || !best.is_empty()) else {
        // An empty directory beside a broken one is no reason to begin anew.
        return Err(bad.into_iter().next().map_or(StoreError::Poisoned, |(_, error)| error));
    };
    for other in &good {
        refuse_diverged(pair, &best, other)?;
    }
    shared.synced.store(best.proven, Ordering::Release);
    shared.mirror.hold_on_to(Some(&best.dir));
    for (dir, error) in bad {
        shared.mirror.fail(&dir, error.to_string())?;
    }
    for other in &good {
        if let Err(error) = resync::bring_up(shared, &best, other) {
            shared.mirror.fail(&other.dir, error.to_string())?;
        }
    }
    Ok(best)
}

/// Two directories that gave one number to different records cannot be brought together.
fn refuse_diverged(pair: &Pair, best: &Survey, other: &Survey) -> Result<(), StoreError> {
    let diverged = |lsn| Err(StoreError::Diverged { one: best.dir.clone(), two: other.dir.clone(), lsn });
    let told = matches!(pair.state(&other.dir), Some(State::Paired | State::Behind));
    if pair.authority() == Some(best.dir.as_path()) && told {
        // One left out knows of no proof the other could lack. Numbers it never synced were given again, and
        // records moved while it was away lie elsewhere: segments tell nothing.
        return if other.proven > best.last { diverged(other.proven) } else { Ok(()) };
    }
    for (a, a_last) in proven_ranges(best) {
        for (b, b_last) in proven_ranges(other) {
            let first = a.first_lsn.max(b.first_lsn);
            let same = (a.number, a.generation, a.nonce) == (b.number, b.generation, b.nonce);
            if !same && first <= a_last.min(b_last) {
                return diverged(first);
            }
        }
    }
    Ok(())
}

/// Segments in use, with the last proven record each can hold.
fn proven_ranges(survey: &Survey) -> impl Iterator<Item = (&SegmentHeader, Lsn)> {
    survey.used.iter().enumerate().map(|(index, segment)| {
        let next = survey.used.get(index + 1).map_or(u64::MAX, |next| next.first_lsn);
        (segment, next.saturating_sub(1).min(survey.proven))
    })
}

/// Notes in every directory what it is from now on; one that was behind first.
fn agree(shared: &Shared, pair: &Pair, best: &Path) -> Result<(), StoreError> {
    let mut live: Vec<&Path> = shared.mirror.live().collect();
    live.sort_by_key(|dir| *dir == best);
    let state = if live.len() > 1 { State::Paired } else { State::Alone };
    for dir in &live {
        // A directory that just lost its other has its note already.
        if pair.state(dir) != Some(state) && shared.mirror.alarms().is_empty() {
            let other = live.iter().find(|other| *other != dir).map(|other| other.to_path_buf());
            let note = Note { state, lsn: shared.synced.load(Ordering::Acquire), other };
            note.write(shared.mirror.disk.as_ref(), dir).map_err(|e| StoreError::io("note in", dir, e))?;
        }
    }
    Ok(())
}

/// Goes on in the newest segment, when everything is proven and something in that very segment is: then
/// its header is proven too.
fn resume(shared: &Shared, survey: &Survey, writer: &mut Writer) -> Result<bool, StoreError> {
    let Some(newest) = survey.used.last() else { return Ok(false) };
    let Some(end) = survey.ends.get(&newest.number).filter(|end| !end.sealed) else { return Ok(false) };
    let proven = survey.proven == survey.last && survey.proven >= newest.first_lsn;
    if !proven || survey.torn.is_some() {
        return Ok(false);
    }
    let files = shared.mirror.open(&segment_name(newest.number), Open::Write, false)?;
    let len = shared.mirror.len(&files)?;
    // Marks behind the last data record may not be on the disk: they are overwritten.
    let written_to = if newest.generation > 1 { len } else { end.offset };
    let files = Arc::new(files);
    writer.active = Some(Active { header: *newest, files, offset: end.offset, written_to, capacity: len });
    Ok(true)
}

fn move_tail(shared: &Shared, survey: &Survey, writer: &mut Writer) -> Result<(), StoreError> {
    let sum = |sum: u64, record: &Unproven| sum.saturating_add(record.header.total().unwrap_or(0));
    let slot = writer.slot_for_move(shared, survey.tail.iter().fold(0, sum))?;
    let first = survey.tail.first().map_or(survey.last + 1, |record| record.header.lsn);
    shared.synced.store(survey.proven, Ordering::Release);
    // The control records of a new segment repeat the number before its first.
    writer.next_lsn = first;
    writer.begin(shared, slot, first, true)?;
    for record in &survey.tail {
        copy(shared, &survey.dir, record, survey.proven, writer)?;
        writer.next_lsn = record.header.lsn + 1;
    }
    writer.next_lsn = survey.last + 1;
    let Some(active) = &writer.active else { return Err(StoreError::Poisoned) };
    shared.mirror.sync(&active.files)?;
    let header = active.header;
    shared.mirror.write(&active.files, &[IoSlice::new(&header.encode())], 0)?;
    shared.mirror.sync(&active.files)?;
    Ok(())
}

/// Copies one record to the end of the active segment.
fn copy(shared: &Shared, dir: &Path, record: &Unproven, synced: Lsn, writer: &mut Writer) -> Result<(), StoreError> {
    let path = dir.join(segment_name(record.segment.number));
    let failed = |e| StoreError::io("read", &path, e);
    let file = shared.mirror.disk.open(&path, Open::Read).map_err(failed)?;
    let part = |at: u64, len: u64| part(file.as_ref(), &path, record, at, len);
    let header = record.header;
    let head = part(super::layout::RECORD_HEADER as u64, u64::from(header.head_len))?;
    let body = part(header.body_at(), header.inline_len())?;
    let mut tail = part(header.tail_at().unwrap_or(u64::MAX), u64::from(header.tail_len))?;
    let Some(salt) = writer.active.as_ref().map(|active| active.header.salt()) else {
        return Err(StoreError::Poisoned);
    };
    if header.body == BODY_INLINE {
        let mut sums = super::ChunkSums::default();
        sums.update(&body);
        tail = sums.finish().into_iter().flat_map(|sum| salt.over(sum).to_le_bytes()).collect();
    }
    let mut batch = Batch::default();
    batch.raw(&salt, super::layout::RecordHeader { synced, ..header }, &head, std::iter::once(body.as_slice()), &tail);
    writer.flush(shared, &batch)
}

fn part(file: &dyn DiskFile, path: &Path, record: &Unproven, at: u64, len: u64) -> Result<Vec<u8>, StoreError> {
    let changed =
        || StoreError::corrupt(path, record.offset, record.header.lsn, "the record changed while it was read");
    let at = record.offset.checked_add(at).ok_or_else(changed)?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| changed())?];
    let n = file.read_at(&mut bytes, at).map_err(|e| StoreError::io("read", path, e))?;
    if n < bytes.len() { Err(changed()) } else { Ok(bytes) }
}

/// Seals what was cut and frees what was superseded.
fn tidy(shared: &Shared, survey: &Survey, writer: &mut Writer) -> Result<(), StoreError> {
    let active = writer.active_number();
    for segment in &survey.used {
        let counts = shared.segments.read().get(&segment.number).is_some_and(|h| h.generation == segment.generation);
        if segment.number == active {
            continue;
        }
        if !counts {
            free(shared, segment, writer)?;
        } else if let Some(end) = survey.ends.get(&segment.number).filter(|end| !end.sealed) {
            // What was moved away does not count here any more.
            let moved = survey.tail.first().filter(|record| record.segment.number == segment.number);
            let (offset, last) = moved.map_or((end.offset, end.last), |r| (r.offset, r.header.lsn.saturating_sub(1)));
            seal(shared, segment, offset, last)?;
        }
    }
    for segment in &survey.superseded {
        free(shared, segment, writer)?;
    }
    Ok(())
}

fn free(shared: &Shared, segment: &SegmentHeader, writer: &mut Writer) -> Result<(), StoreError> {
    shared.mirror.put_header(&SegmentHeader { in_use: false, ..*segment })?;
    writer.free.push((segment.number, segment.generation));
    Ok(())
}

/// Ends a segment at `offset` and gives the space behind it back.
fn seal(shared: &Shared, segment: &SegmentHeader, offset: u64, last: Lsn) -> Result<(), StoreError> {
    let files = shared.mirror.open(&segment_name(segment.number), Open::Write, false)?;
    let header = super::layout::RecordHeader { kind: SEAL, lsn: last, synced: last, ..Default::default() };
    let mut batch = Batch::default();
    batch.raw(&segment.salt(), header, &[], std::iter::empty(), &[]);
    shared.mirror.write(&files, &batch.slices(), offset)?;
    shared.mirror.sync(&files)?;
    let len = (offset + batch.len()).next_multiple_of(BLOCK);
    shared.mirror.set_len(&files, len)?;
    shared.mirror.sync(&files)
}
