//! Reading records back by their place: ranges of bodies, heads, whole records for a check.
//!
//! Every byte that leaves was compared with its checksum; where two directories are kept, the second answers
//! for what the first cannot. This file deliberately keeps no cache: the system's page cache is one.

use super::layout::{BODY_BLOB, BODY_INLINE, CHUNK, RECORD_HEADER, RecordHeader, SegmentHeader, chunks};
use super::mirror::{BLOB_DIR, segment_name};
use super::scan::decode_head;
use super::{Journal, Shared};
use crate::read_at::room;
use crate::{Disk, DiskFile, Open, StoreError};
use model::Place;
use model::checksum::crc32c;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bodies are checked in pieces of this size, in bytes.
const CHECK_BYTES: u64 = 1 << 20;

/// Whether a name is one the store gives to files of large bodies.
pub(crate) fn is_blob_name(name: &str) -> bool {
    name.strip_suffix(".blob").is_some_and(|stem| {
        !stem.is_empty() && stem.len() <= 64 && stem.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
    })
}

pub(crate) fn blob_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(BLOB_DIR).join(name)
}

/// A record in one directory.
struct At<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    segment: SegmentHeader,
    place: &'a Place,
}

impl Journal {
    /// Reads a range of a record's body.
    pub fn read(&self, place: &Place, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        if range.start > range.end || range.end > place.body_len {
            return Err(StoreError::Range { start: range.start, end: range.end, len: place.body_len });
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.somewhere(place, |at| at.range(range.clone()))
    }

    /// Reads a record's head.
    pub fn read_head(&self, place: &Place) -> Result<Vec<u8>, StoreError> {
        self.somewhere(place, |at| at.head().map(|(_, head)| head))
    }

    /// Reads a record from end to end in every directory and compares all checksums.
    pub fn verify_record(&self, place: &Place) -> Result<(), StoreError> {
        let segment = self.segment(place)?;
        for dir in self.shared.mirror.live() {
            let checked = At::open(&self.shared, dir, segment, place).and_then(|at| at.verify());
            checked.map_err(|error| self.gone_since(place, error))?;
        }
        Ok(())
    }

    fn segment(&self, place: &Place) -> Result<SegmentHeader, StoreError> {
        let known = self.shared.segments.read().get(&place.segment).copied();
        let gone = StoreError::Gone { segment: place.segment, generation: place.generation };
        known.filter(|header| header.generation == place.generation).ok_or(gone)
    }

    /// Tries one directory after the other.
    fn somewhere<T>(&self, place: &Place, read: impl Fn(&At<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let segment = self.segment(place)?;
        let mut failed = Vec::new();
        for dir in self.shared.mirror.live() {
            match At::open(&self.shared, dir, segment, place).and_then(|at| read(&at)) {
                Ok(answer) => {
                    self.shared.mirror.answered(&failed);
                    return Ok(answer);
                }
                Err(error) => failed.push(error),
            }
        }
        failed.iter().for_each(|error| tracing::warn!(%error, "a record cannot be read"));
        Err(self.gone_since(place, failed.into_iter().next().unwrap_or(StoreError::Poisoned)))
    }

    /// A segment released during the read looks corrupt; it is only gone.
    fn gone_since(&self, place: &Place, error: StoreError) -> StoreError {
        self.segment(place).err().unwrap_or(error)
    }
}

impl<'a> At<'a> {
    fn open(shared: &'a Shared, dir: &'a Path, segment: SegmentHeader, place: &'a Place) -> Result<Self, StoreError> {
        let name = segment_name(segment.number);
        let file = shared.mirror.reader(dir, &name)?;
        Ok(Self { disk: shared.mirror.disk.as_ref(), dir, path: dir.join(name), file, segment, place })
    }

    fn corrupt(&self, at: u64, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.path, at, 0, what)
    }

    fn exactly(&self, file: &dyn DiskFile, at: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(len).map_err(|_| self.corrupt(at, "a length is out of bounds"))?;
        let mut bytes = room(len);
        let n = file.read_at(&mut bytes, at).map_err(|e| StoreError::io("read", &self.path, e))?;
        if n < len { Err(self.corrupt(at, "the file ends inside the record")) } else { Ok(bytes) }
    }

    fn head(&self) -> Result<(RecordHeader, Vec<u8>), StoreError> {
        let at = self.place.offset;
        let len = RECORD_HEADER as u64 + u64::from(self.place.head_len);
        let bytes = self.exactly(self.file.as_ref(), at, len)?;
        let salt = self.segment.salt();
        let header = RecordHeader::decode(&bytes, &salt).ok_or_else(|| self.corrupt(at, "the record header"))?;
        let stored = bytes.get(RECORD_HEADER..).unwrap_or(&[]);
        if header.head_len != self.place.head_len || salt.crc(stored) != header.head_crc {
            return Err(self.corrupt(at, "the head"));
        }
        let head = decode_head(stored, &header).ok_or_else(|| self.corrupt(at, "the head does not unpack"))?;
        Ok((header, head))
    }

    /// Offset of the tail: a place is a number from an index, so sums are checked.
    fn tail_at(&self) -> Result<u64, StoreError> {
        let inline = if self.place.blob.is_some() { 0 } else { self.place.body_len };
        let head = RECORD_HEADER as u64 + u64::from(self.place.head_len);
        let end = self.place.offset.checked_add(head).and_then(|at| at.checked_add(inline));
        end.ok_or_else(|| self.corrupt(self.place.offset, "the place"))
    }

    fn range(&self, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let chunk = CHUNK as u64;
        let (first, last) = (range.start / chunk, (range.end - 1) / chunk);
        let start = first * chunk;
        let end = last.saturating_add(1).saturating_mul(chunk).min(self.place.body_len);
        let tail = self.tail_at()?;
        let (bytes, name_len) = match &self.place.blob {
            Some(name) => (self.blob_bytes(name, start, end - start)?, name.len() as u64),
            None => {
                let body = self.place.offset + RECORD_HEADER as u64 + u64::from(self.place.head_len);
                (self.exactly(self.file.as_ref(), body + start, end - start)?, 0)
            }
        };
        let sums = tail.checked_add(name_len).and_then(|at| at.checked_add(first * 4));
        let sums = sums.ok_or_else(|| self.corrupt(tail, "the place"))?;
        let table = self.exactly(self.file.as_ref(), sums, (last - first + 1) * 4)?;
        self.compare(&bytes, &table, start)?;
        cut(bytes, range.start - start, range.end - start).ok_or_else(|| self.corrupt(self.place.offset, "the place"))
    }

    fn blob_bytes(&self, name: &str, at: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        if !is_blob_name(name) {
            return Err(self.corrupt(self.place.offset, "the name of the body's file"));
        }
        let path = blob_path(self.dir, name);
        let file = self.disk.open(&path, Open::Read).map_err(|e| StoreError::io("open", &path, e))?;
        self.exactly(file.as_ref(), at, len)
    }

    /// Compares chunks that start at `start` of the body with their stored sums.
    fn compare(&self, bytes: &[u8], table: &[u8], start: u64) -> Result<(), StoreError> {
        let salt = self.segment.salt();
        for (index, (data, sum)) in bytes.chunks(CHUNK).zip(table.chunks(4)).enumerate() {
            let plain = crc32c(data);
            let is = if self.place.blob.is_some() { plain } else { salt.over(plain) };
            if is.to_le_bytes() != sum {
                let at = start + index as u64 * CHUNK as u64;
                return Err(match &self.place.blob {
                    Some(name) => StoreError::corrupt(&blob_path(self.dir, name), at, 0, "a chunk of the body"),
                    None => self.corrupt(self.place.offset + self.body_at() + at, "a chunk of the body"),
                });
            }
        }
        Ok(())
    }

    fn body_at(&self) -> u64 {
        RECORD_HEADER as u64 + u64::from(self.place.head_len)
    }

    fn verify(&self) -> Result<(), StoreError> {
        let (header, _) = self.head()?;
        let tail = self.exactly(self.file.as_ref(), self.tail_at()?, u64::from(header.tail_len))?;
        if self.segment.salt().crc(&tail) != header.tail_crc {
            return Err(self.corrupt(self.place.offset, "the table of checksums"));
        }
        let name = usize::try_from(header.name_len).ok().and_then(|len| tail.get(..len));
        let name = name.ok_or_else(|| self.corrupt(self.place.offset, "the record header"))?;
        let named = self.place.blob.as_ref().map_or(&b""[..], |name| name.as_bytes());
        let sums = u64::from(header.tail_len) - u64::from(header.name_len);
        if header.body_len != self.place.body_len || name != named || sums != chunks(header.body_len) * 4 {
            return Err(self.corrupt(self.place.offset, "the record is another than the place says"));
        }
        let mut at = 0;
        while at < self.place.body_len {
            let end = at.saturating_add(CHECK_BYTES).min(self.place.body_len);
            self.range(at..end)?;
            at = end;
        }
        Ok(())
    }
}

fn cut(mut bytes: Vec<u8>, start: u64, end: u64) -> Option<Vec<u8>> {
    bytes.truncate(usize::try_from(end).ok()?);
    bytes.drain(..usize::try_from(start).ok().filter(|start| *start <= bytes.len())?);
    Some(bytes)
}

/// The place of a record found by a walk, with the name of its body's file taken from its tail
/// when that holds.
pub(crate) fn place_of(
    path: &Path,
    file: &dyn DiskFile,
    segment: &SegmentHeader,
    offset: u64,
    header: &RecordHeader,
) -> Result<Place, StoreError> {
    let mut blob = None;
    if header.body == BODY_BLOB {
        let bad = || StoreError::corrupt(path, offset, header.lsn, "the name of the body's file");
        let at = header.tail_at().and_then(|at| at.checked_add(offset)).ok_or_else(bad)?;
        // A name of a flipped bit would be another file's, and the real one would pass for an orphan.
        let len = chunks(header.body_len).checked_mul(4).and_then(|sums| sums.checked_add(header.name_len.into()));
        if len != Some(header.tail_len.into()) {
            return Err(bad());
        }
        let mut name = vec![0; usize::try_from(header.tail_len).map_err(|_| bad())?];
        let n = file.read_at(&mut name, at).map_err(|e| StoreError::io("read", path, e))?;
        if n < name.len() || segment.salt().crc(&name) != header.tail_crc {
            return Err(StoreError::corrupt(path, offset, header.lsn, "the table of checksums"));
        }
        name.truncate(usize::try_from(header.name_len).map_err(|_| bad())?);
        blob = Some(String::from_utf8(name).ok().filter(|name| is_blob_name(name)).ok_or_else(bad)?);
    } else if header.body != BODY_INLINE && header.body_len != 0 {
        return Err(StoreError::corrupt(path, offset, header.lsn, "a body that is nowhere"));
    }
    Ok(Place {
        segment: segment.number,
        generation: segment.generation,
        offset,
        head_len: header.head_len,
        body_len: header.body_len,
        blob,
    })
}

/// Whether a record of one directory holds from end to end: used for the unproven tail at start.
pub(crate) fn holds(shared: &Shared, dir: &Path, segment: SegmentHeader, place: &Place) -> Result<bool, StoreError> {
    match At::open(shared, dir, segment, place).and_then(|at| at.verify()) {
        Ok(()) => Ok(true),
        Err(StoreError::Corrupt { .. }) => Ok(false),
        // The file of its body is gone.
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
