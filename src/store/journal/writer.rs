//! Where the next record goes: the active segment, and the ones after it.
//!
//! New segments are allocated but not filled with zeros. Overwriting space that was never written makes the
//! file system commit its own metadata at every sync, which costs small batches more than half of their
//! rate; so ahead of small batches a stretch of zeros is written, and large batches go straight through.
//! Recycled segments need neither.
//! This file deliberately does not sync; [`super::Journal::sync`] does.

use super::batch::{Batch, Prepared};
use super::layout::{ALIGN, BLOCK, MARK, ROSTER, RecordHeader, SEAL, Salt, SegmentHeader};
use super::mirror::segment_name;
use super::{Body, Files, Record, Shared, Whose};
use crate::{Open, StoreError};
use model::{Lsn, Place};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Zeros written ahead of small batches, in bytes.
const ZERO_AHEAD: u64 = 2 << 20;
/// Batches below this many bytes are small.
const SMALL_BATCH: u64 = 64 << 10;
/// Batches from this many bytes on start going to the disk before their sync asks for it.
const WRITEBACK_FROM: u64 = 1 << 20;

/// Least length of a segment that is begun on a full disk, in bytes.
const SHORT: u64 = 4 << 20;
/// Room left behind moved records for those to come, in bytes.
const MOVE_ROOM: u64 = 1 << 10;

/// Size of a page of the system's cache, in bytes.
const PAGE: u64 = 4096;

static ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// The segment that takes new records.
pub(crate) struct Active {
    pub(crate) header: SegmentHeader,
    pub(crate) files: Arc<Files>,
    pub(crate) offset: u64,
    /// Below this offset the file's blocks were written before, if only with zeros.
    pub(crate) written_to: u64,
    pub(crate) capacity: u64,
}

/// A segment ready for use.
pub(crate) struct Slot {
    number: u32,
    generation: u32,
    files: Arc<Files>,
    written_to: u64,
    capacity: u64,
}

/// The one that appends.
pub(crate) struct Writer {
    pub(crate) active: Option<Active>,
    pub(crate) next_lsn: Lsn,
    pub(crate) serial: u64,
    pub(crate) highest: u32,
    /// Number and last generation of free segments.
    pub(crate) free: Vec<(u32, u32)>,
    pub(crate) marked: Lsn,
    /// Whether the active segment has left the cache of what was read at start-up; see [`Writer::leave_cache`].
    pub(crate) left_cache: bool,
}

impl Writer {
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    pub(crate) fn active_number(&self) -> u32 {
        self.active.as_ref().map_or(0, |active| active.header.number)
    }

    /// Number of the active segment and where its records end.
    pub(crate) fn end(&self) -> (u32, u64) {
        self.active.as_ref().map_or((0, 0), |active| (active.header.number, active.offset))
    }

    /// Bytes left in the active segment.
    pub(crate) fn room(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.capacity.saturating_sub(active.offset + 2 * ALIGN))
    }

    pub(crate) fn append(
        &mut self,
        shared: &Shared,
        records: &[Record],
        prepared: Vec<Prepared>,
        whose: Whose,
    ) -> Result<Vec<(Lsn, Place)>, StoreError> {
        shared.refuse_when_poisoned()?;
        let mut fresh = self.make_room(shared, &prepared, whose)?;
        let written = self.write(shared, records, &prepared, &mut fresh);
        self.free.extend(fresh.into_iter().map(|slot| (slot.number, slot.generation)));
        // Even after a failed write a whole record may lie in the file; orphans go at the next start.
        for record in records {
            if let Body::Blob(blob) = &record.body {
                blob.keep();
            }
        }
        let places = written.map_err(|error| shared.poison(error))?;
        shared.unsynced.lock().last = self.next_lsn - 1;
        shared.next_lsn.store(self.next_lsn, Ordering::Release);
        shared.room.store(self.room(), Ordering::Relaxed);
        metrics::counter!("khoanh_journal_records_total").increment(records.len() as u64);
        Ok(places)
    }

    /// Takes the segments the batch will need before anything of it is written, so that it is all or none.
    fn make_room(
        &mut self,
        shared: &Shared,
        prepared: &[Prepared],
        whose: Whose,
    ) -> Result<VecDeque<Slot>, StoreError> {
        shared.need_space(whose, 0)?;
        let (mut offset, mut capacity) = self.active.as_ref().map_or((0, 0), |a| (a.offset, a.capacity));
        let mut fresh: VecDeque<Slot> = VecDeque::new();
        for one in prepared {
            let too_large = |limit| StoreError::TooLarge { bytes: one.header.body_len, limit };
            let total = one.header.total().ok_or_else(|| too_large(shared.options.segment_bytes))?;
            if fits(offset, total, capacity) {
                offset += total;
                continue;
            }
            let start = BLOCK + roster_total(shared, fresh.len());
            let slot = if fits(start, total, shared.options.segment_bytes) {
                self.slot(shared, whose, start + total + 2 * ALIGN)
            } else {
                Err(too_large(shared.options.segment_bytes.saturating_sub(start + 2 * ALIGN)))
            };
            match slot {
                Ok(slot) => {
                    (offset, capacity) = (start + total, slot.capacity);
                    fresh.push_back(slot);
                }
                Err(error) => {
                    self.free.extend(fresh.into_iter().map(|slot| (slot.number, slot.generation)));
                    return Err(error);
                }
            }
        }
        Ok(fresh)
    }

    fn write(
        &mut self,
        shared: &Shared,
        records: &[Record],
        prepared: &[Prepared],
        fresh: &mut VecDeque<Slot>,
    ) -> Result<Vec<(Lsn, Place)>, StoreError> {
        let synced = shared.synced.load(Ordering::Acquire);
        let mut places = Vec::with_capacity(records.len());
        let mut batch = Batch::default();
        for (one, record) in prepared.iter().zip(records) {
            let total = one.header.total().unwrap_or(u64::MAX);
            let at = |active: &Active| active.offset + batch.len();
            if !self.active.as_ref().is_some_and(|active| fits(at(active), total, active.capacity)) {
                self.flush(shared, &batch)?;
                batch = Batch::default();
                self.seal(shared)?;
                let slot = fresh.pop_front().ok_or(StoreError::Poisoned)?;
                let first = self.next_lsn;
                self.begin(shared, slot, first, false)?;
            }
            let Some(active) = &self.active else { return Err(StoreError::Poisoned) };
            let offset = active.offset + batch.len();
            let header = batch.record(&active.header.salt(), (self.next_lsn, synced), one, record);
            let place = place(&active.header, offset, &header, &record.body);
            places.push((self.next_lsn, place));
            self.next_lsn += 1;
        }
        self.flush(shared, &batch)?;
        Ok(places)
    }

    /// Writes a batch at the end of the active segment.
    pub(crate) fn flush(&mut self, shared: &Shared, batch: &Batch<'_>) -> Result<(), StoreError> {
        if !self.left_cache {
            self.leave_cache(shared);
        }
        let Some(active) = self.active.as_mut().filter(|_| batch.len() > 0) else { return Ok(()) };
        let end = active.offset + batch.len();
        // Whole pages: the system need not read the rest of the last one from the disk first.
        let padding = (end.next_multiple_of(PAGE) - end).min(active.capacity - end);
        if end > active.written_to {
            let zeros_to = (end + ZERO_AHEAD).min(active.capacity);
            if batch.len() < SMALL_BATCH {
                write_zeros(shared, &active.files, end + padding, zeros_to)?;
                active.written_to = zeros_to;
            } else {
                active.written_to = end;
            }
        }
        let mut slices = batch.slices();
        slices.push(IoSlice::new(zeros(padding)));
        shared.mirror.write(&active.files, &slices, active.offset)?;
        if batch.len() >= WRITEBACK_FROM {
            shared.mirror.start_writeback(&active.files, active.offset, batch.len());
        }
        active.offset = end;
        metrics::counter!("khoanh_journal_bytes_total").increment(batch.len());
        shared.unsynced.lock().add(&active.files);
        Ok(())
    }

    /// Lets the system forget the pages of the active segment. Reading ahead, at start-up or of records that lay in the
    /// file before, it makes folios of up to 2 MiB, and every small record written into one counts, and is prepared and
    /// looked through at the sync, as the whole folio.
    fn leave_cache(&mut self, shared: &Shared) {
        let Some(active) = &self.active else { return };
        shared.mirror.start_writeback(&active.files, 0, active.capacity);
        self.left_cache = true;
    }

    fn control(&self, shared: &Shared, salt: &Salt, kind: u8, head: &[u8]) -> Batch<'static> {
        let len = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let header = RecordHeader {
            kind,
            lsn: self.next_lsn - 1,
            synced: shared.synced.load(Ordering::Acquire),
            head_len: len,
            head_raw: len,
            ..RecordHeader::default()
        };
        let mut batch = Batch::default();
        batch.raw(salt, header, head, std::iter::empty(), &[]);
        batch
    }

    /// Ends the active segment.
    fn seal(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let Some(salt) = self.active.as_ref().map(|active| active.header.salt()) else { return Ok(()) };
        let batch = self.control(shared, &salt, SEAL, &[]);
        self.flush(shared, &batch)
    }

    /// Begins a new segment, so that what the active one holds can be released; an active one without records stays.
    pub(crate) fn rotate(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let first = self.next_lsn;
        if self.active.as_ref().is_none_or(|active| active.header.first_lsn >= first) {
            return Ok(());
        }
        let bytes = BLOCK + roster_total(shared, 0) + MOVE_ROOM;
        let slot = self.slot(shared, Whose::Own, bytes)?;
        let begun = self.seal(shared).and_then(|()| self.begin(shared, slot, first, false));
        begun.map_err(|error| shared.poison(error))?;
        shared.room.store(self.room(), Ordering::Relaxed);
        Ok(())
    }

    /// Notes that everything appended is synced.
    pub(crate) fn mark(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let last = self.next_lsn - 1;
        if self.marked == last || shared.synced.load(Ordering::Acquire) != last {
            return Ok(());
        }
        let Some(salt) = self.active.as_ref().map(|active| active.header.salt()) else { return Ok(()) };
        let batch = self.control(shared, &salt, MARK, &[]);
        self.flush(shared, &batch).map_err(|error| shared.poison(error))?;
        self.marked = last;
        Ok(())
    }

    /// A free segment, or a new one. Where a whole one would touch the reserve the archive's own records get a short one,
    /// of at least so many bytes.
    fn slot(&mut self, shared: &Shared, whose: Whose, bytes: u64) -> Result<Slot, StoreError> {
        let whole = shared.options.segment_bytes;
        let len = match whose {
            Whose::Own if shared.need_space(Whose::Senders, whole).is_err() => {
                bytes.max(SHORT).next_multiple_of(BLOCK).min(whole)
            }
            _ => whole,
        };
        let (number, generation) = match self.free.pop() {
            Some(known) => known,
            None => {
                shared.need_space(whose, len)?;
                self.highest += 1;
                (self.highest, 0)
            }
        };
        let slot = open_slot(shared, number, generation, len);
        if slot.is_err() {
            self.free.push((number, generation));
        }
        slot
    }

    /// A segment for `bytes` of moved records. Start-up must succeed even when the reserve is gone.
    pub(crate) fn slot_for_move(&mut self, shared: &Shared, bytes: u64) -> Result<Slot, StoreError> {
        let needed = (bytes + BLOCK + roster_total(shared, 1) + MOVE_ROOM).next_multiple_of(BLOCK);
        let roomy = shared.mirror.free_space()? >= shared.options.segment_bytes.saturating_add(needed);
        let len = if roomy { needed.max(shared.options.segment_bytes) } else { needed };
        let (number, generation) = self.free.pop().unwrap_or_else(|| {
            self.highest += 1;
            (self.highest, 0)
        });
        open_slot(shared, number, generation, len)
    }

    /// Makes a segment the active one. Its header is durable with the first sync of its records; with
    /// `moved` the header is left for the caller to write when the moved records are synced.
    pub(crate) fn begin(&mut self, shared: &Shared, slot: Slot, first: Lsn, moved: bool) -> Result<(), StoreError> {
        self.serial += 1;
        let header = SegmentHeader {
            number: slot.number,
            generation: slot.generation + 1,
            in_use: true,
            serial: self.serial,
            first_lsn: first,
            nonce: nonce(),
            highest: self.highest.max(slot.number),
            moved,
        };
        if !moved {
            shared.mirror.write(&slot.files, &[IoSlice::new(&header.encode())], 0)?;
        }
        let roster = roster(shared, &header);
        let Slot { files, written_to, capacity, .. } = slot;
        self.active = Some(Active { header, files, offset: BLOCK, written_to, capacity });
        self.left_cache = header.generation == 1;
        shared.segments.write().insert(header.number, header);
        let batch = self.control(shared, &header.salt(), ROSTER, &roster);
        self.flush(shared, &batch)
    }

    /// Proves what a segment holds; the caller syncs before the segment's header says that it is free.
    pub(crate) fn prepare_release(&mut self, shared: &Shared, number: u32) -> Result<SegmentHeader, StoreError> {
        if number == self.active_number() {
            return Err(StoreError::Options("the active segment cannot be released"));
        }
        let known = shared.segments.read().get(&number).copied();
        let header = known.ok_or(StoreError::Gone { segment: number, generation: 0 })?;
        let last = self.next_lsn - 1;
        if self.marked != last {
            let Some(salt) = self.active.as_ref().map(|active| active.header.salt()) else {
                return Err(StoreError::Poisoned);
            };
            let batch = self.control(shared, &salt, MARK, &[]);
            self.flush(shared, &batch).map_err(|error| shared.poison(error))?;
            if shared.synced.load(Ordering::Acquire) == last {
                self.marked = last;
            }
        }
        Ok(header)
    }

    /// Leaves nothing but its header in the file of every free segment, and nothing behind the records of the active one.
    pub(crate) fn clear_spares(&mut self, shared: &Shared) -> Result<(), StoreError> {
        // One that was never begun has no records and perhaps no file.
        for (number, _) in self.free.iter().filter(|(_, generation)| *generation > 0) {
            let files = shared.mirror.open(&segment_name(*number), Open::Write, false)?;
            shared.mirror.set_len(&files, BLOCK)?;
            shared.mirror.sync(&files)?;
        }
        let Some(active) = self.active.as_mut().filter(|active| active.header.generation > 1) else { return Ok(()) };
        let end = active.offset.next_multiple_of(PAGE).min(active.capacity);
        shared.mirror.set_len(&active.files, end)?;
        active.written_to = end.min(active.written_to);
        shared.mirror.preallocate(&active.files, active.capacity)?;
        shared.mirror.sync(&active.files)
    }

    /// Takes a segment whose header says durably that it is free.
    pub(crate) fn release(&mut self, shared: &Shared, header: &SegmentHeader, clean: bool) -> Result<(), StoreError> {
        let number = header.number;
        shared.segments.write().remove(&number);
        // A spare is space that nobody else can use: on a full disk it is given back.
        let spared = self.free.len() < shared.options.spare_segments && shared.need_space(Whose::Senders, 0).is_ok();
        if spared && !clean {
            self.free.push((number, header.generation));
            return Ok(());
        }
        // The header stays: it is the proof that the segment was released and is not missing.
        self.free.insert(0, (number, header.generation));
        let files = shared.mirror.open(&segment_name(number), Open::Write, false)?;
        shared.mirror.set_len(&files, BLOCK)
    }
}

fn fits(offset: u64, total: u64, capacity: u64) -> bool {
    // Two more records must fit behind it: a mark and the seal.
    offset.checked_add(total).and_then(|end| end.checked_add(2 * ALIGN)).is_some_and(|end| end <= capacity)
}

fn open_slot(shared: &Shared, number: u32, generation: u32, needed: u64) -> Result<Slot, StoreError> {
    let files = shared.mirror.open(&segment_name(number), Open::Create, true)?;
    let len = shared.mirror.len(&files)?;
    let capacity = len.max(needed);
    if generation > 0 {
        // That it is free may be known from a page whose sync failed: make it true before overwriting.
        let header = SegmentHeader {
            number,
            generation,
            in_use: false,
            serial: 0,
            first_lsn: 0,
            nonce: 0,
            highest: 0,
            moved: false,
        };
        shared.mirror.put_header(&header)?;
    }
    if len < capacity {
        shared.mirror.preallocate(&files, capacity).map_err(|error| match error {
            StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                StoreError::Full { needed: capacity, free: shared.mirror.free_space().unwrap_or(0) }
            }
            other => other,
        })?;
    }
    // Only a segment that was filled once has all its blocks written.
    let written_to = if generation > 0 { len } else { 0 };
    Ok(Slot { number, generation, files: Arc::new(files), written_to, capacity })
}

fn zeros(len: u64) -> &'static [u8] {
    usize::try_from(len).ok().and_then(|len| ZEROS.get(..len)).unwrap_or(&ZEROS)
}

fn write_zeros(shared: &Shared, files: &Files, mut at: u64, end: u64) -> Result<(), StoreError> {
    // Page by page: one large write would make one large folio, and then every small record written into it
    // counts, and may be written, as the whole folio.
    while at < end {
        let n = at.saturating_add(1).next_multiple_of(PAGE).min(end) - at;
        shared.mirror.write(files, &[IoSlice::new(zeros(n))], at)?;
        at += n;
    }
    Ok(())
}

fn roster(shared: &Shared, own: &SegmentHeader) -> Vec<u8> {
    let segments = shared.segments.read();
    let mut others: Vec<_> = segments.values().filter(|other| other.number != own.number).collect();
    others.sort_unstable_by_key(|other| other.serial);
    others.iter().flat_map(|other| [other.number.to_le_bytes(), other.generation.to_le_bytes()]).flatten().collect()
}

/// Bytes of the roster of a segment begun after `more` others.
fn roster_total(shared: &Shared, more: usize) -> u64 {
    let entries = (shared.segments.read().len() + more) as u64;
    (entries * 8 + super::layout::RECORD_HEADER as u64).next_multiple_of(ALIGN)
}

fn place(segment: &SegmentHeader, offset: u64, header: &RecordHeader, body: &Body) -> Place {
    let blob = match body {
        Body::Blob(blob) => Some(blob.name().to_owned()),
        Body::None | Body::Inline(_) | Body::Summed(..) => None,
    };
    Place {
        segment: segment.number,
        generation: segment.generation,
        offset,
        head_len: header.head_len,
        body_len: header.body_len,
        blob,
    }
}

/// A number senders cannot know; the standard library's hasher is keyed by the system's randomness.
fn nonce() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
