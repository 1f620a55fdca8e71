//! A bounded cache on disk for what was fetched from the cloud: whole packs, or ranges of them.
//!
//! An entry is one file, `<pack>-<p|s>-<start>-<end>.piece` (`p` plain, `s` sealed; the range in bytes):
//!
//! ```text
//! offset size
//!      0    8  magic "KHOANHC1"
//!      8    8  length of the piece, little endian
//!     16    8  zero
//!     24    4  number of chunks of 64 KiB
//!     28    4  CRC-32C of bytes 0 to 28 and of the chunks' CRCs
//!     32  4·n  CRC-32C of each chunk
//!            then the bytes
//! ```
//!
//! It is written beside and renamed, and not synced: what a crash leaves is found out when it is read, because every
//! chunk's CRC is checked before its bytes leave. Damage is a miss, and the entry goes.
//! Entries that were read longest ago go first when room is needed. It deliberately holds nothing that does not lie
//! elsewhere, so it may be emptied at any time.

#[cfg(test)]
mod tests;
mod through;

pub use through::ThroughCache;

use crate::read_at::unread;
use crate::{PackFile, PackId, StoreError};
use model::checksum::{crc32c, crc32c_append};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// The cache; shared by all threads.
pub struct PieceCache {
    dir: PathBuf,
    max_bytes: u64,
    entries: Mutex<Entries>,
    tries: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the cache holds and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes held.
    pub bytes: u64,
    /// Pieces held.
    pub pieces: u64,
    /// Ranges answered since start.
    pub hits: u64,
    /// Ranges not held since start.
    pub misses: u64,
}

#[derive(Default)]
struct Entries {
    bytes: u64,
    turn: u64,
    /// Pieces of a pack by where they start and end; with the turn of the last reading.
    pieces: HashMap<PackFile, BTreeMap<(u64, u64), u64>>,
    /// The piece read longest ago comes first.
    order: BTreeMap<u64, (PackFile, (u64, u64))>,
    /// Packs removed since start: whoever was still fetching one does not bring it back.
    removed: HashSet<PackId>,
}

const MAGIC: &[u8; 8] = b"KHOANHC1";
const HEADER: usize = 32;
const CHUNK: usize = 1 << 16;
/// Largest piece of which the head is read at once.
const CHUNKS_MAX: u32 = 1 << 20;

impl PieceCache {
    /// Opens the cache in a directory of its own. What lies there stays, as far as it fits.
    ///
    /// # Errors
    /// Those of the directory.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        let failed = |e| StoreError::io("open the cache in", dir, e);
        fs::create_dir_all(dir).map_err(failed)?;
        let mut found: Vec<(SystemTime, PackFile, (u64, u64))> = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)?.flatten() {
            let name = entry.file_name();
            match name.to_str().and_then(parse) {
                Some((file, range)) => {
                    let read = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((read, file, range));
                }
                None if name.to_str().is_some_and(|name| name.ends_with(".new")) => {
                    let _ = fs::remove_file(entry.path());
                }
                None => {}
            }
        }
        found.sort_unstable();
        let mut entries = Entries::default();
        for (_, file, range) in found {
            entries.insert(file, range);
        }
        let this = Self {
            dir: dir.to_owned(),
            max_bytes,
            entries: Mutex::new(entries),
            tries: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        };
        this.make_room(0);
        Ok(this)
    }

    /// The bytes of a range, where one piece holds all of it; checked.
    pub fn get(&self, file: PackFile, range: Range<u64>) -> Option<Vec<u8>> {
        let piece = self.entries.lock().find(file, &range);
        let Some(piece) = piece else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let path = self.path(file, piece);
        match read(&path, piece, &range) {
            Ok(bytes) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(bytes)
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    tracing::warn!(piece = %path.display(), "a piece in the cache is damaged and dropped");
                }
                self.drop_piece(file, piece);
                self.misses.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Keeps a piece that starts at `start`. One larger than the whole cache is not kept.
    ///
    /// # Errors
    /// Those of the disk; nothing depends on it.
    pub fn put(&self, file: PackFile, start: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let piece = (start, start.saturating_add(bytes.len() as u64));
        if bytes.is_empty() || bytes.len() as u64 > self.max_bytes {
            return Ok(());
        }
        // One that stood there before makes way for itself.
        self.entries.lock().take(file, piece);
        self.make_room(bytes.len() as u64);
        let path = self.path(file, piece);
        let beside = self.dir.join(format!("{}.new", self.tries.fetch_add(1, Ordering::Relaxed)));
        let written = write(&beside, bytes).and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            return Err(StoreError::io("write", &path, error));
        }
        let mut entries = self.entries.lock();
        entries.insert(file, piece);
        let removed = entries.removed.contains(&file.pack);
        drop(entries);
        if removed {
            self.drop_piece(file, piece);
        }
        self.make_room(0);
        Ok(())
    }

    /// Removes every piece of a pack, plain and sealed: when this returns nothing of it lies here, and nothing will,
    /// even if it is being fetched just now. Names of packs are never used again.
    ///
    /// # Errors
    /// Those of the disk: ask again.
    pub fn remove(&self, pack: PackId) -> Result<usize, StoreError> {
        let mut removed = 0;
        self.entries.lock().removed.insert(pack);
        for file in [PackFile::plain(pack), PackFile::sealed(pack)] {
            for piece in self.entries.lock().forget(file) {
                let path = self.path(file, piece);
                match fs::remove_file(&path) {
                    Ok(()) => removed += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        self.entries.lock().insert(file, piece);
                        return Err(StoreError::io("remove", &path, error));
                    }
                }
            }
        }
        if removed > 0 {
            let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
            synced.map_err(|e| StoreError::io("sync", &self.dir, e))?;
        }
        Ok(removed)
    }

    /// Drops what is held of a pack, to be fetched anew: for whoever found its bytes wrong.
    pub fn doubt(&self, file: PackFile) {
        for piece in self.entries.lock().forget(file) {
            // What cannot be removed is found again at the next start, and doubted again.
            let _ = fs::remove_file(self.path(file, piece));
        }
    }

    /// What it holds and did.
    pub fn stats(&self) -> CacheStats {
        let entries = self.entries.lock();
        CacheStats {
            bytes: entries.bytes,
            pieces: entries.order.len() as u64,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn make_room(&self, needed: u64) {
        loop {
            let oldest = {
                let entries = self.entries.lock();
                if entries.bytes.saturating_add(needed) <= self.max_bytes {
                    return;
                }
                entries.order.first_key_value().map(|(_, piece)| *piece)
            };
            match oldest {
                Some((file, piece)) => self.drop_piece(file, piece),
                None => return,
            }
        }
    }

    fn drop_piece(&self, file: PackFile, piece: (u64, u64)) {
        self.entries.lock().take(file, piece);
        // What cannot be removed is found again at the next start.
        let _ = fs::remove_file(self.path(file, piece));
    }

    fn path(&self, file: PackFile, (start, end): (u64, u64)) -> PathBuf {
        let form = if file.sealed { 's' } else { 'p' };
        self.dir.join(format!("{}-{form}-{start}-{end}.piece", file.pack))
    }
}

impl Entries {
    /// A piece that holds the whole range; it counts as read now.
    fn find(&mut self, file: PackFile, range: &Range<u64>) -> Option<(u64, u64)> {
        let pieces = self.pieces.get(&file)?;
        let before = pieces.range(..=(range.start, u64::MAX)).rev();
        let piece = before.map(|(piece, _)| *piece).find(|(_, end)| range.end <= *end)?;
        self.insert(file, piece);
        Some(piece)
    }

    fn insert(&mut self, file: PackFile, piece: (u64, u64)) {
        self.take(file, piece);
        self.turn += 1;
        self.pieces.entry(file).or_default().insert(piece, self.turn);
        self.order.insert(self.turn, (file, piece));
        self.bytes += piece.1.saturating_sub(piece.0);
    }

    fn take(&mut self, file: PackFile, piece: (u64, u64)) {
        let Some(pieces) = self.pieces.get_mut(&file) else { return };
        if let Some(turn) = pieces.remove(&piece) {
            self.order.remove(&turn);
            self.bytes -= piece.1.saturating_sub(piece.0);
        }
        if pieces.is_empty() {
            self.pieces.remove(&file);
        }
    }

    fn forget(&mut self, file: PackFile) -> Vec<(u64, u64)> {
        let pieces: Vec<_> = self.pieces.get(&file).into_iter().flat_map(|pieces| pieces.keys().copied()).collect();
        for piece in &pieces {
            self.take(file, *piece);
        }
        pieces
    }
}

fn parse(name: &str) -> Option<(PackFile, (u64, u64))> {
    let mut parts = name.strip_suffix(".piece")?.split('-');
    let pack = parts.next()?.parse().ok()?;
    let sealed = match parts.next()? {
        "p" => false,
        "s" => true,
        _ => return None,
    };
    let (start, end): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (start < end && parts.next().is_none()).then_some((PackFile { pack, sealed }, (start, end)))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let sums: Vec<u8> = bytes.chunks(CHUNK).flat_map(|chunk| crc32c(chunk).to_le_bytes()).collect();
    let count = u32::try_from(sums.len() / 4).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut head = Vec::with_capacity(HEADER + sums.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    head.extend_from_slice(&[0; 8]);
    head.extend_from_slice(&count.to_le_bytes());
    let sum = crc32c_append(crc32c(&head), &sums);
    head.extend_from_slice(&sum.to_le_bytes());
    head.extend_from_slice(&sums);
    let mut file = File::create(path)?;
    file.write_all(&head)?;
    file.write_all(bytes)
}

fn read(path: &Path, piece: (u64, u64), range: &Range<u64>) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let file = File::open(path)?;
    let mut head = [0; HEADER];
    file.read_exact_at(&mut head, 0).map_err(|_| wrong())?;
    let (fixed, sum) = head.split_at_checked(28).ok_or_else(wrong)?;
    let word = |at: usize| fixed.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let count = word(24).filter(|count| *count <= CHUNKS_MAX).ok_or_else(wrong)?;
    let mut sums = vec![0; usize::try_from(count).map_err(|_| wrong())? * 4];
    file.read_exact_at(&mut sums, HEADER as u64).map_err(|_| wrong())?;
    let len = piece.1 - piece.0;
    let whole = fixed.starts_with(MAGIC) && fixed.get(8..16) == Some(&len.to_le_bytes()[..]);
    if !whole || crc32c_append(crc32c(fixed), &sums).to_le_bytes() != *sum {
        return Err(wrong());
    }
    let (from, until) = (range.start - piece.0, range.end - piece.0);
    let first = from / CHUNK as u64 * CHUNK as u64;
    let last = until.div_ceil(CHUNK as u64).saturating_mul(CHUNK as u64).min(len);
    let mut bytes = unread(usize::try_from(last - first).map_err(|_| wrong())?);
    file.read_exact_at(&mut bytes, (HEADER + sums.len()) as u64 + first).map_err(|_| wrong())?;
    let skip = usize::try_from(first / CHUNK as u64).map_err(|_| wrong())?;
    for (chunk, sum) in bytes.chunks(CHUNK).zip(sums.chunks(4).skip(skip)) {
        if crc32c(chunk).to_le_bytes() != *sum {
            return Err(wrong());
        }
    }
    let start = usize::try_from(from - first).map_err(|_| wrong())?;
    let end = usize::try_from(until - first).map_err(|_| wrong())?;
    bytes.truncate(end);
    bytes.drain(..start);
    // Recency survives a restart as the time of the file.
    let _ = file.set_modified(SystemTime::now());
    Ok(bytes)
}
