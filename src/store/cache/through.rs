//! Reading through the cache: what it holds comes from the disk, the rest from where the pack lies, and stays.

use super::PieceCache;
use crate::{PackFile, ReadAt};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A pack that lies far away, read through the cache. A range not held is fetched as it is asked for: one read.
pub struct ThroughCache<R> {
    cache: Arc<PieceCache>,
    file: PackFile,
    far: R,
}

impl<R: ReadAt> ThroughCache<R> {
    /// Reads `far`, the pack `file`, through the cache.
    pub fn new(cache: Arc<PieceCache>, file: PackFile, far: R) -> Self {
        Self { cache, file, far }
    }
}

impl<R: ReadAt> ReadAt for ThroughCache<R> {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        if range.is_empty() {
            return self.far.read_at(range);
        }
        if let Some(bytes) = self.cache.get(self.file, range.clone()) {
            return Ok(bytes);
        }
        let bytes = self.far.read_at(range.clone())?;
        // A full disk makes the cache useless, not the reading.
        if let Err(error) = self.cache.put(self.file, range.start, &bytes) {
            tracing::warn!(%error, "a piece is not kept in the cache");
        }
        Ok(bytes)
    }

    fn len(&self) -> u64 {
        self.far.len()
    }
}
