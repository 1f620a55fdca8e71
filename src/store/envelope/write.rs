//! Sealing bytes as they come.

use super::{CHUNK_BYTES, ChunkKey, HEADER_BYTES, Header, TAG_BYTES};
use crate::StoreError;
use crate::keys::DataKey;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Writes plain bytes to `W` as an envelope. Nothing of it is valid before [`SealWriter::finish`].
pub struct SealWriter<W> {
    to: W,
    key: ChunkKey,
    chunk: Vec<u8>,
    number: u64,
    plain: Sha256,
    plain_len: u64,
    sealed: Sha256,
    sealed_len: u64,
}

/// What was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// Length of the plain bytes.
    pub plain_len: u64,
    /// SHA-256 of the plain bytes.
    pub plain_digest: [u8; 32],
    /// Length of the envelope.
    pub sealed_len: u64,
    /// SHA-256 of the envelope as it is stored, header included.
    pub sealed_digest: [u8; 32],
}

const CHUNK: usize = 1 << super::CHUNK_POWER;

impl<W: Write> SealWriter<W> {
    /// Writes the header. Use a [`Header::draw`]n one, or [`Header::of_plain`] for exactly those bytes.
    ///
    /// # Errors
    /// Those of `W`.
    pub fn new(to: W, key: &DataKey, header: &Header) -> io::Result<Self> {
        let key = ChunkKey::new(key, header).map_err(super::invalid)?;
        let mut writer = Self {
            to,
            key,
            chunk: Vec::with_capacity(CHUNK + 16),
            number: 0,
            plain: Sha256::new(),
            plain_len: 0,
            sealed: Sha256::new(),
            sealed_len: 0,
        };
        writer.put(&header.bytes())?;
        Ok(writer)
    }

    /// Seals the last chunk; gives back what was written to.
    ///
    /// # Errors
    /// Those of `W`.
    pub fn finish(mut self) -> io::Result<(W, Sealing)> {
        self.seal(true)?;
        let sealing = Sealing {
            plain_len: self.plain_len,
            plain_digest: self.plain.finalize().into(),
            sealed_len: self.sealed_len,
            sealed_digest: self.sealed.finalize().into(),
        };
        Ok((self.to, sealing))
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        self.plain.update(&self.chunk);
        self.plain_len += self.chunk.len() as u64;
        let mut chunk = std::mem::take(&mut self.chunk);
        self.key.seal(self.number, last, &mut chunk).map_err(super::invalid)?;
        self.number += 1;
        self.put(&chunk)?;
        chunk.clear();
        self.chunk = chunk;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.sealed.update(bytes);
        self.sealed_len += bytes.len() as u64;
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for its successor: only then it is known not to be the last.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.seal(false)?;
        }
        let room = CHUNK - self.chunk.len();
        let some = bytes.get(..room).unwrap_or(bytes);
        self.chunk.extend_from_slice(some);
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Sealing {
    /// Whether the lengths agree with each other.
    ///
    /// # Errors
    /// [`StoreError::Envelope`] where they do not.
    pub fn check(&self) -> Result<(), StoreError> {
        let expected = super::sealed_len(self.plain_len);
        let least = HEADER_BYTES + TAG_BYTES + self.plain_len.min(CHUNK_BYTES);
        if expected == Some(self.sealed_len) && self.sealed_len >= least {
            return Ok(());
        }
        Err(StoreError::Envelope { what: "plain and sealed length do not fit each other" })
    }
}
