//! Walking a segment from record to record, without reading bodies.
//!
//! A walk stops at the first place that holds no valid record; it deliberately does not judge whether that
//! is the ordinary end, a torn tail or corruption.

use super::head;
use super::layout::{ALIGN, BLOCK, HEAD_MAX, RECORD_HEADER, RECORD_MAGIC, RecordHeader, Salt, SegmentHeader};
use crate::{DiskFile, StoreError};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read at once where records are small, in bytes.
const READ_MANY: usize = 256 << 10;
/// Read at once behind a large body, in bytes.
const READ_FEW: usize = 8 << 10;
/// Read at once where nothing but what lies there is asked, in bytes: few enough to stay near the processor.
const BEYOND_BYTES: usize = 256 << 10;
/// Threads that look ...
const BEYOND_THREADS: usize = 4;
/// ... and the least that is worth one, in bytes.
const BEYOND_LEAST: u64 = 8 << 20;

/// A place in one segment file of one directory.
pub(crate) struct Walk {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) salt: Salt,
    len: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    read: usize,
}

/// What was found behind the place where a walk stopped.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Beyond {
    /// Valid record headers of this generation.
    pub(crate) records: u64,
    /// The newest position any of them proves synced.
    pub(crate) proven: u64,
    /// End of the last of them, or of the last byte that is not zero in a segment never used before.
    pub(crate) end: u64,
}

impl Walk {
    pub(crate) fn new(path: &Path, file: Arc<dyn DiskFile>, header: &SegmentHeader) -> Result<Self, StoreError> {
        let len = file.len().map_err(|e| StoreError::io("look at", path, e))?;
        let salt = header.salt();
        let path = path.to_owned();
        Ok(Self { path, file, salt, len, at: BLOCK, window: Vec::new(), window_at: 0, read: READ_MANY })
    }

    /// Offset of the next record.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on at another record.
    pub(crate) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    /// Bytes at a place, fewer than asked for only at the end of the file.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], StoreError> {
        let inside = |window_at: u64, have: usize| {
            let start = usize::try_from(at.checked_sub(window_at)?).ok()?;
            (start.checked_add(len)? <= have).then_some(start)
        };
        if inside(self.window_at, self.window.len()).is_none() {
            self.window.resize(len.max(self.read), 0);
            let failed = |e| StoreError::io("read", &self.path, e);
            let n = self.file.read_at(&mut self.window, at).map_err(failed)?;
            self.window.truncate(n);
            self.window_at = at;
        }
        let start = usize::try_from(at.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        let rest = self.window.get(start..).unwrap_or(&[]);
        Ok(rest.get(..len).unwrap_or(rest))
    }

    /// The header at a place, when it holds and the record ends within the file.
    fn header_at(&mut self, at: u64) -> Result<Option<RecordHeader>, StoreError> {
        let salt = self.salt;
        let Some(header) = RecordHeader::decode(self.bytes(at, RECORD_HEADER)?, &salt) else { return Ok(None) };
        if let Some((what, value)) = header.unknown() {
            return Err(StoreError::Unknown { file: self.path.clone(), offset: at, lsn: header.lsn, what, value });
        }
        let end = header.total().and_then(|total| at.checked_add(total));
        Ok(end.filter(|end| *end <= self.len && header.head_len <= HEAD_MAX).map(|_| header))
    }

    /// The next record, when its header and head hold.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, RecordHeader)>, StoreError> {
        let at = self.at;
        let Some(header) = self.header_at(at)? else { return Ok(None) };
        let salt = self.salt;
        if salt.crc(self.stored_head(at, &header)?) != header.head_crc {
            return Ok(None);
        }
        self.at = at.saturating_add(header.total().unwrap_or(u64::MAX));
        self.read = if header.inline_len() > READ_MANY as u64 / 2 { READ_FEW } else { READ_MANY };
        Ok(Some((at, header)))
    }

    /// The head as it lies in the file.
    pub(crate) fn stored_head(&mut self, at: u64, header: &RecordHeader) -> Result<&[u8], StoreError> {
        let len = usize::try_from(header.head_len).unwrap_or(usize::MAX);
        let both = self.bytes(at, RECORD_HEADER.saturating_add(len))?;
        Ok(both.get(RECORD_HEADER..).unwrap_or(&[]))
    }

    /// The head as it was given.
    pub(crate) fn head(&mut self, at: u64, header: &RecordHeader) -> Result<Vec<u8>, StoreError> {
        let path = self.path.clone();
        let stored = self.stored_head(at, header)?;
        decode_head(stored, header)
            .ok_or_else(|| StoreError::corrupt(&path, at, header.lsn, "the head does not unpack"))
    }

    /// Looks for records behind the place where the walk stopped; through a long rest by several threads.
    pub(crate) fn beyond(&self, first_generation: bool) -> Result<Beyond, StoreError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(BEYOND_THREADS);
        self.beyond_by(threads as u64, first_generation)
    }

    fn beyond_by(&self, threads: u64, first_generation: bool) -> Result<Beyond, StoreError> {
        let rest = self.len.saturating_sub(self.at);
        let part = rest.div_ceil(threads).next_multiple_of(BEYOND_BYTES as u64).max(BEYOND_LEAST);
        let mut begins = Vec::new();
        let mut at = self.at;
        while at < self.len {
            begins.push(at);
            at = at.saturating_add(part);
        }
        let look = |at: u64| self.look(at..at.saturating_add(part).min(self.len), first_generation);
        if let [] | [_] = begins.as_slice() {
            return begins.first().map_or_else(|| Ok(Beyond::default()), |at| look(*at));
        }
        std::thread::scope(|scope| {
            let looks: Vec<_> = begins.iter().map(|at| scope.spawn(|| look(*at))).collect();
            let mut found = Beyond::default();
            for one in looks {
                found.add(one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(found)
        })
    }

    /// Looks for records in a range that begins at a multiple of [`ALIGN`].
    fn look(&self, range: Range<u64>, first_generation: bool) -> Result<Beyond, StoreError> {
        let mut found = Beyond::default();
        let mut block = vec![0u8; BEYOND_BYTES];
        let (start, salt) = (self.at, self.salt);
        let mut at = range.start;
        while at < range.end {
            let failed = |e| StoreError::io("read", &self.path, e);
            let want = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(block.len());
            let n = self.file.read_at(block.get_mut(..want).unwrap_or_default(), at).map_err(failed)?;
            let bytes = block.get(..n).unwrap_or(&block);
            if bytes.is_empty() {
                break;
            }
            for (index, line) in bytes.chunks(ALIGN as usize).enumerate() {
                let place = at + index as u64 * ALIGN;
                if line.starts_with(&RECORD_MAGIC)
                    && let Some(header) = RecordHeader::decode(line, &salt)
                {
                    // The record the walk stopped at is broken; its header alone proves nothing about itself.
                    found.records += u64::from(place > start);
                    found.proven = found.proven.max(header.synced);
                    found.end = found.end.max(place.saturating_add(header.total().unwrap_or(0)).min(self.len));
                } else if first_generation && line.iter().any(|byte| *byte != 0) {
                    found.end = found.end.max(place + line.len() as u64);
                }
            }
            at += n as u64;
        }
        Ok(found)
    }
}

impl Beyond {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.proven = self.proven.max(other.proven);
        self.end = self.end.max(other.end);
    }
}

/// Unpacks a stored head.
pub(crate) fn decode_head(stored: &[u8], header: &RecordHeader) -> Option<Vec<u8>> {
    head::decode(header.coding, stored, header.head_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Open, RealDisk};
    use std::io::IoSlice;

    #[test]
    fn records_in_a_long_rest_are_found_wherever_it_is_cut() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("00000001.seg");
        let file = RealDisk.open(&path, Open::Create).expect("made");
        let part = BEYOND_LEAST;
        file.preallocate(3 * part).expect("room");
        let header = SegmentHeader {
            number: 1,
            generation: 1,
            in_use: true,
            serial: 1,
            first_lsn: 1,
            nonce: 7,
            highest: 1,
            moved: false,
        };
        let walk = Walk::new(&path, Arc::clone(&file), &header).expect("begins");
        assert_eq!(walk.beyond(true).expect("looked").end, 0, "there is nothing");
        // The record it stopped at, before and at a cut, across one, and the last.
        let places = [BLOCK, BLOCK + part - ALIGN, BLOCK + part, BLOCK + 2 * part - ALIGN, 3 * part - ALIGN];
        for (place, synced) in places.into_iter().zip([1, 2, 9, 4, 5]) {
            let record = RecordHeader { lsn: 3, synced, ..RecordHeader::default() };
            let bytes = record.encode(&header.salt());
            file.write_at(&mut [IoSlice::new(&bytes)], place).expect("written");
        }
        let looked = |threads, first_generation| {
            let Beyond { records, proven, end } = walk.beyond_by(threads, first_generation).expect("looked");
            (records, proven, end)
        };
        for threads in 1..=4 {
            assert_eq!(looked(threads, true), (4, 9, 3 * part), "{threads} threads");
        }
        file.write_at(&mut [IoSlice::new(&[0; 64])], 3 * part - ALIGN).expect("written");
        file.write_at(&mut [IoSlice::new(b"x")], 2 * part + BLOCK + 5).expect("written");
        for threads in 1..=4 {
            assert_eq!(looked(threads, true), (3, 9, 2 * part + BLOCK + ALIGN), "{threads} threads");
            assert_eq!(looked(threads, false), (3, 9, 2 * part + BLOCK), "what is no record says nothing");
        }
    }
}
