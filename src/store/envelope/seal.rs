//! The sealed side of plain bytes that lie somewhere: what an upload reads.

use super::{CHUNK_BYTES, ChunkKey, HEADER_BYTES, Header, SEALED_CHUNK_BYTES, chunks, invalid, sealed_len};
use crate::keys::DataKey;
use crate::read_at::within;
use crate::{PackId, ReadAt, StoreError};
use std::io;
use std::ops::Range;

/// An envelope that is made while it is read; any range, in any order, always the same bytes.
pub struct SealedPack<R> {
    plain: R,
    key: ChunkKey,
    header: [u8; 64],
    len: u64,
}

impl<R: ReadAt> SealedPack<R> {
    /// Seals `plain`, whose SHA-256 is `digest`.
    ///
    /// The digest stands in for the bytes: it must be theirs, else two texts might share a nonce.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] where the bytes are too many.
    pub fn new(plain: R, pack: PackId, key: &DataKey, digest: &[u8; 32]) -> Result<Self, StoreError> {
        let header = Header::of_plain(pack, key, digest);
        let len = sealed_len(plain.len()).ok_or(StoreError::Envelope { what: "no envelope is that long" })?;
        Ok(Self { plain, key: ChunkKey::new(key, &header)?, header: header.bytes(), len })
    }

    fn chunk(&self, number: u64) -> io::Result<Vec<u8>> {
        let start = number.saturating_mul(CHUNK_BYTES);
        let end = start.saturating_add(CHUNK_BYTES).min(self.plain.len());
        let mut chunk = self.plain.read_at(start..end)?;
        if chunk.len() as u64 != end - start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.key.seal(number, number + 1 == chunks(self.plain.len()), &mut chunk).map_err(invalid)?;
        Ok(chunk)
    }
}

impl<R: ReadAt> ReadAt for SealedPack<R> {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        within(&range, self.len)?;
        let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(0));
        let mut at = range.start;
        while at < range.end {
            let (piece, from) = match at.checked_sub(HEADER_BYTES) {
                None => (self.header.to_vec(), at),
                Some(body) => (self.chunk(body / SEALED_CHUNK_BYTES)?, body % SEALED_CHUNK_BYTES),
            };
            let until = (piece.len() as u64).min(from + (range.end - at));
            let place = usize::try_from(from).ok().zip(usize::try_from(until).ok());
            let part = place.and_then(|(from, until)| piece.get(from..until)).filter(|part| !part.is_empty());
            let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.extend_from_slice(part);
            at += part.len() as u64;
        }
        Ok(bytes)
    }

    fn len(&self) -> u64 {
        self.len
    }
}
