//! Bodies too large for a segment, each in a file of its own.
//!
//! A body is written to `blobs/<random>.tmp`, synced, renamed to `blobs/<next>-<random>.blob`, and the
//! directory is synced, all before the record that names it is appended. `next` (16 hexadecimal digits) is the
//! number of the next record when the body was complete: only that record or a later one can name it.
//! The checksums of the body lie in the record, not in the file: the file is the bare body.
//!
//! A writer or a finished body that is dropped without a record takes its file away; what a crash leaves is
//! removed by [`crate::Journal::remove_orphans`].

use crate::journal::{BLOB_DIR, CHUNK, ChunkSums, Files, Shared, Whose};
use crate::{Open, StoreError};
use model::Lsn;
use model::checksum::crc32c;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes gathered for one write; network-sized pieces cost twice the time.
const PIECE: usize = 1 << 20;
/// After so many bytes the disk is asked to begin writing, so that memory stays free and the sync is short.
const WRITEBACK_BYTES: u64 = 4 << 20;

/// A large body on its way to the disk.
pub struct BlobWriter {
    shared: Arc<Shared>,
    files: Files,
    /// The final name without its number.
    random: String,
    named: Option<String>,
    sums: ChunkSums,
    /// Bytes in the file.
    len: u64,
    /// Bytes the disk was asked to begin with.
    kicked: u64,
    /// Bytes that follow those in the file.
    gathered: Vec<u8>,
    finished: bool,
}

/// A large body, durable in its file and waiting for the record that names it.
pub struct FinishedBlob {
    shared: Arc<Shared>,
    name: String,
    len: u64,
    sums: Vec<u32>,
    kept: AtomicBool,
}

impl BlobWriter {
    pub(crate) fn create(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let random = format!("{random:016x}");
        let files = shared.mirror.open(&format!("{BLOB_DIR}/{random}.tmp"), Open::Create, false)?;
        let (sums, gathered) = (ChunkSums::default(), Vec::with_capacity(PIECE));
        Ok(Self { shared, files, random, named: None, sums, len: 0, kicked: 0, gathered, finished: false })
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.sums.update(bytes);
        let mut rest = bytes;
        while self.gathered.len() + rest.len() >= PIECE {
            let room = PIECE.saturating_sub(self.gathered.len());
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.gathered.extend_from_slice(now);
            self.write_gathered()?;
            rest = later;
        }
        self.gathered.extend_from_slice(rest);
        Ok(())
    }

    fn write_gathered(&mut self) -> Result<(), StoreError> {
        let bytes = self.gathered.len() as u64;
        let full = |error| match error {
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                StoreError::Full { needed: bytes, free: self.shared.mirror.free_space().unwrap_or(0) }
            }
            other => other,
        };
        self.shared.mirror.write(&self.files, &[IoSlice::new(&self.gathered)], self.len).map_err(full)?;
        self.len += bytes;
        self.gathered.clear();
        if self.len - self.kicked >= WRITEBACK_BYTES {
            self.shared.mirror.start_writeback(&self.files, self.kicked, self.len - self.kicked);
            self.kicked = self.len;
            self.shared.need_space(Whose::Senders, 0)?;
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len + self.gathered.len() as u64
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the file and its name durable.
    pub fn finish(mut self) -> Result<FinishedBlob, StoreError> {
        if !self.gathered.is_empty() {
            self.write_gathered()?;
        }
        let mirror = &self.shared.mirror;
        mirror.sync(&self.files)?;
        let next = self.shared.next_lsn.load(Ordering::Acquire);
        let (from, to) = (format!("{}.tmp", self.random), format!("{next:016x}-{}.blob", self.random));
        self.named = Some(to.clone());
        mirror.each("name", &to, |_, dir| {
            let dir = dir.join(BLOB_DIR);
            mirror.disk.rename(&dir.join(&from), &dir.join(&to))?;
            mirror.disk.sync_dir(&dir)
        })?;
        self.finished = true;
        let sums = std::mem::take(&mut self.sums).finish();
        let shared = Arc::clone(&self.shared);
        Ok(FinishedBlob { shared, name: to, len: self.len, sums, kept: AtomicBool::new(false) })
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Either name: a failure may have come after the rename.
            remove(&self.shared, &format!("{}.tmp", self.random));
            if let Some(name) = &self.named {
                remove(&self.shared, name);
            }
        }
    }
}

impl FinishedBlob {
    /// Length of the body in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the body in pieces from front to end, each compared with its checksums.
    ///
    /// # Errors
    /// When no directory has a piece as it was written.
    pub fn read(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let mut at = 0;
        for sums in self.sums.chunks(PIECE / CHUNK) {
            let len = (self.len - at).min(PIECE as u64);
            each(&self.piece(at, len, sums)?);
            at += len;
        }
        Ok(())
    }

    /// A piece, from one directory after the other.
    fn piece(&self, at: u64, len: u64, sums: &[u32]) -> Result<Vec<u8>, StoreError> {
        let mut failed = Vec::new();
        for dir in self.shared.mirror.live() {
            match self.piece_in(dir, at, len, sums) {
                Ok(bytes) => {
                    self.shared.mirror.answered(&failed);
                    return Ok(bytes);
                }
                Err(error) => failed.push(error),
            }
        }
        Err(failed.into_iter().next().unwrap_or(StoreError::Poisoned))
    }

    fn piece_in(&self, dir: &Path, at: u64, len: u64, sums: &[u32]) -> Result<Vec<u8>, StoreError> {
        let path = dir.join(BLOB_DIR).join(&self.name);
        let failed = |error| StoreError::io("read", &path, error);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(PIECE)];
        let file = self.shared.mirror.disk.open(&path, Open::Read).map_err(failed)?;
        let read = file.read_at(&mut bytes, at).map_err(failed)?;
        if read != bytes.len() || !bytes.chunks(CHUNK).map(crc32c).eq(sums.iter().copied()) {
            return Err(StoreError::corrupt(&path, at, 0, "a chunk of the body"));
        }
        Ok(bytes)
    }

    pub(crate) fn sums(&self) -> &[u32] {
        &self.sums
    }

    /// A record names the file now.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }
}

impl Drop for FinishedBlob {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            remove(&self.shared, &self.name);
        }
    }
}

impl std::fmt::Debug for FinishedBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinishedBlob").field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

/// What cannot be removed now is an orphan for the next start.
fn remove(shared: &Shared, name: &str) {
    for dir in shared.mirror.dirs() {
        let _ = shared.mirror.disk.remove(&dir.join(BLOB_DIR).join(name));
    }
}

/// Removes files by name, durably; what is not there is no error.
pub(crate) fn remove_named(shared: &Shared, names: &HashSet<String>) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    shared.mirror.each("remove", BLOB_DIR, |_, dir| {
        let dir = dir.join(BLOB_DIR);
        for name in names {
            match shared.mirror.disk.remove(&dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        shared.mirror.disk.sync_dir(&dir)
    })
}

pub(crate) fn remove_orphans(shared: &Shared, named: &HashSet<String>, since: Lsn) -> Result<usize, StoreError> {
    let mut removed = HashSet::new();
    shared.mirror.each("tidy", BLOB_DIR, |_, dir| {
        let dir = dir.join(BLOB_DIR);
        let mut any = false;
        for name in shared.mirror.disk.list(&dir)? {
            let begun = name.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let unnamed = name.ends_with(".blob") && !named.contains(&name) && begun.is_some_and(|lsn| lsn >= since);
            let unfinished = name.ends_with(".tmp") || name.ends_with(".new");
            if unnamed || unfinished {
                shared.mirror.disk.remove(&dir.join(&name))?;
                removed.insert(name);
                any = true;
            }
        }
        if any { shared.mirror.disk.sync_dir(&dir) } else { Ok(()) }
    })?;
    Ok(removed.len())
}
