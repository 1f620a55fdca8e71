//! `entries-<n>.log`: the entries themselves, one record after the other, a new file when one is full.
//!
//! ```text
//! offset size  record
//!      0    4  magic "KLEN"
//!      4    4  length of the entry
//!      8    8  index of the entry
//!     16    8  sequence number the caller gave
//!     24    8  number of entries that were signed when this one was written
//!     32    4  CRC of the entry
//!     36    4  CRC of bytes 0 to 36
//!     40       the entry
//! ```
//!
//! What an entry says is the caller's business; this module deliberately reads none of it.

use super::layout::{Fields, HEADER, Header, Kind, LogFile};
use super::tree::Place;
use crate::{Disk, Open, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest entry in bytes.
pub const ENTRY_BYTES_MAX: usize = 64 << 10;
/// Length of a record's head in bytes.
pub(super) const RECORD: u64 = 40;
const RECORD_LEN: usize = 40;

/// What stands before an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) index: u64,
    pub(super) sequence: u64,
    pub(super) signed: u64,
    len: u32,
    sum: u32,
}

/// A whole record, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) head: RecordHead,
    pub(super) bytes: Vec<u8>,
}

impl Record {
    /// Bytes it takes in the file.
    pub(super) fn len(&self) -> u64 {
        RECORD + self.bytes.len() as u64
    }
}

/// The files, opened as they are needed.
pub(super) struct Entries {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    key: [u8; 32],
    open: Mutex<HashMap<u32, LogFile>>,
}

/// Name of a file.
pub(super) fn file_name(number: u32) -> String {
    format!("entries-{number:08}.log")
}

/// Numbers of the files in a directory, rising.
pub(super) fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, StoreError> {
    let names = disk.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
    let number = |name: &String| {
        let number = name.strip_prefix("entries-")?.strip_suffix(".log")?.parse().ok()?;
        (file_name(number) == *name).then_some(number)
    };
    let mut found: Vec<u32> = names.iter().filter_map(number).collect();
    found.sort_unstable();
    Ok(found)
}

/// Appends a record to a run.
pub(super) fn put_record(run: &mut Vec<u8>, index: u64, sequence: u64, signed: u64, entry: &[u8]) {
    let begin = run.len();
    run.extend_from_slice(b"KLEN");
    // The ledger refused anything above ENTRY_BYTES_MAX.
    run.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
    run.extend_from_slice(&index.to_le_bytes());
    run.extend_from_slice(&sequence.to_le_bytes());
    run.extend_from_slice(&signed.to_le_bytes());
    run.extend_from_slice(&crc32c::crc32c(entry).to_le_bytes());
    let sum = crc32c::crc32c(run.get(begin..).unwrap_or_default());
    run.extend_from_slice(&sum.to_le_bytes());
    run.extend_from_slice(entry);
}

impl RecordHead {
    fn decode(bytes: &[u8; RECORD_LEN]) -> Result<Self, &'static str> {
        let short = "a record's length";
        let (body, stored) = bytes.split_last_chunk::<4>().ok_or(short)?;
        if crc32c::crc32c(body).to_le_bytes() != *stored {
            return Err("a record's checksum");
        }
        let mut fields = Fields(body);
        if fields.take() != Some(*b"KLEN") {
            return Err("a record's magic");
        }
        let len = fields.u32().ok_or(short)?;
        let (index, sequence) = (fields.u64().ok_or(short)?, fields.u64().ok_or(short)?);
        let (signed, sum) = (fields.u64().ok_or(short)?, fields.u32().ok_or(short)?);
        if usize::try_from(len).map_or(true, |len| len > ENTRY_BYTES_MAX) {
            return Err("an entry's length");
        }
        Ok(Self { index, sequence, signed, len, sum })
    }
}

impl Entries {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, key: [u8; 32]) -> Self {
        Self { disk, dir: dir.to_owned(), key, open: Mutex::default() }
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.dir.join(file_name(number))
    }

    /// Begins a file anew.
    pub(super) fn create(&self, number: u32, first: u64) -> Result<LogFile, StoreError> {
        let file = LogFile::open(self.disk.as_ref(), &self.path(number), Open::Create)?;
        file.set_len(0)?;
        file.write(&Header { kind: Kind::Entries, number, key: self.key, first }.encode(), 0)?;
        self.open.lock().insert(number, file.clone());
        Ok(file)
    }

    /// Opens a file for writing, checking its header.
    pub(super) fn writable(&self, number: u32) -> Result<LogFile, StoreError> {
        let file = LogFile::open(self.disk.as_ref(), &self.path(number), Open::Write)?;
        self.header(&file, number)?;
        self.open.lock().insert(number, file.clone());
        Ok(file)
    }

    /// A file, opened and its header checked the first time it is asked for.
    pub(super) fn file(&self, number: u32) -> Result<LogFile, StoreError> {
        if let Some(file) = self.open.lock().get(&number) {
            return Ok(file.clone());
        }
        let file = LogFile::open(self.disk.as_ref(), &self.path(number), Open::Read)?;
        self.header(&file, number)?;
        self.open.lock().entry(number).or_insert_with(|| file.clone());
        Ok(file)
    }

    /// The header of a file that must be this one.
    pub(super) fn header(&self, file: &LogFile, number: u32) -> Result<Header, StoreError> {
        let header = Header::read(file, Kind::Entries)?;
        if header.number != number || header.key != self.key {
            return Err(StoreError::corrupt(&file.path, 12, 0, "the file belongs elsewhere"));
        }
        Ok(header)
    }

    /// The record of an entry, which must be at this place.
    pub(super) fn read(&self, place: Place, index: u64) -> Result<Record, StoreError> {
        let file = self.file(place.file)?;
        let at = u64::from(place.offset);
        let record = read_record(&file, at, index)?;
        if record.head.index != index {
            return Err(StoreError::corrupt(&file.path, at, index, "a record of another entry"));
        }
        Ok(record)
    }

    /// The record at an offset, if a whole and sound one is there.
    pub(super) fn probe(&self, number: u32, at: u64) -> Option<Record> {
        read_record(&self.file(number).ok()?, at, 0).ok()
    }

    /// Forgets a file that is about to be removed.
    pub(super) fn forget(&self, number: u32) {
        self.open.lock().remove(&number);
    }
}

fn read_record(file: &LogFile, at: u64, index: u64) -> Result<Record, StoreError> {
    let bad = |what| StoreError::corrupt(&file.path, at, index, what);
    if at < HEADER {
        return Err(bad("a record inside the header"));
    }
    let mut head = [0; RECORD_LEN];
    file.read(&mut head, at, index)?;
    let head = RecordHead::decode(&head).map_err(bad)?;
    let mut bytes = vec![0; usize::try_from(head.len).map_err(|_| bad("an entry's length"))?];
    file.read(&mut bytes, at + RECORD, index)?;
    if crc32c::crc32c(&bytes) != head.sum {
        return Err(bad("an entry's checksum"));
    }
    Ok(Record { head, bytes })
}
