//! Reading a sealed copy through a cache that may hold pieces of it wrongly.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use store::cache::PieceCache;
use store::{PackFile, ReadAt};

/// The plain side of an envelope that the cache may hold wrongly: what does not open is fetched once more.
pub(super) struct Doubting<R> {
    pub(super) far: R,
    pub(super) cache: Arc<PieceCache>,
    pub(super) file: PackFile,
}

impl<R: ReadAt> ReadAt for Doubting<R> {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        match self.far.read_at(range.clone()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.cache.doubt(self.file);
                let again = self.far.read_at(range);
                if again.is_err() {
                    // What is wrong stays out of the cache, so that a repaired copy is seen.
                    self.cache.doubt(self.file);
                }
                again
            }
            answer => answer,
        }
    }

    fn len(&self) -> u64 {
        self.far.len()
    }
}
