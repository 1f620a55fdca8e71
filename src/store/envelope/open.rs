//! The plain side of an envelope that lies somewhere.

use super::{CHUNK_BYTES, ChunkKey, HEADER_BYTES, Header, SEALED_CHUNK_BYTES, chunks, invalid, plain_len};
use crate::keys::DataKey;
use crate::read_at::within;
use crate::{PackId, ReadAt, StoreError};
use std::io;
use std::ops::Range;

/// Reads plain bytes out of an envelope: one read of the sealed bytes for any range.
pub struct OpenedPack<R> {
    sealed: R,
    key: ChunkKey,
    len: u64,
}

impl<R: ReadAt> OpenedPack<R> {
    /// Reads the header first. It must name the pack asked for.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] where it is no envelope or another pack's, or the bytes cannot be read.
    pub fn open(sealed: R, pack: PackId, key: &DataKey) -> Result<Self, StoreError> {
        let unread = |_| StoreError::Envelope { what: "its header could not be read" };
        let header = Header::parse(&sealed.read_at(0..HEADER_BYTES.min(sealed.len())).map_err(unread)?)?;
        if header.pack() != pack {
            return Err(StoreError::Envelope { what: "it belongs to another pack" });
        }
        Self::with_header(sealed, key, &header)
    }

    /// Reads nothing yet: for whoever knows the header, by [`Header::of_plain`] or from an earlier read.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] where no envelope has this length.
    pub fn with_header(sealed: R, key: &DataKey, header: &Header) -> Result<Self, StoreError> {
        let len = plain_len(sealed.len())?;
        Ok(Self { sealed, key: ChunkKey::new(key, header)?, len })
    }

    /// Where the chunks of a range of plain bytes lie in the envelope; empty for an empty range.
    pub fn sealed_range(&self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        let first = range.start / CHUNK_BYTES;
        let last = (range.end - 1) / CHUNK_BYTES;
        let start = first.saturating_mul(SEALED_CHUNK_BYTES).saturating_add(HEADER_BYTES);
        let end = last.saturating_add(1).saturating_mul(SEALED_CHUNK_BYTES).saturating_add(HEADER_BYTES);
        start..end.min(self.sealed.len())
    }
}

impl<R: ReadAt> ReadAt for OpenedPack<R> {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        within(&range, self.len)?;
        let mut plain = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(0));
        if range.is_empty() {
            return Ok(plain);
        }
        let mut sealed = self.sealed.read_at(self.sealed_range(&range))?;
        let first = range.start / CHUNK_BYTES;
        let size = usize::try_from(SEALED_CHUNK_BYTES).unwrap_or(usize::MAX);
        for (number, chunk) in (first..).zip(sealed.chunks_mut(size)) {
            let opened = self.key.open(number, number + 1 == chunks(self.len), chunk).map_err(invalid)?;
            let start = number * CHUNK_BYTES;
            let from = usize::try_from(range.start.saturating_sub(start)).unwrap_or(usize::MAX);
            let until = usize::try_from(range.end - start).unwrap_or(usize::MAX).min(opened.len());
            plain.extend_from_slice(opened.get(from..until).ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        if plain.len() as u64 != range.end - range.start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(plain)
    }

    fn len(&self) -> u64 {
        self.len
    }
}
