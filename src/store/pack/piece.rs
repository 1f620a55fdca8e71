//! Reading a part of a stored file: only the pieces it needs, each checked before any of its bytes leave.

use super::error::PackError;
use super::manifest::{PackedInstance, Piece};
use super::{PIECE_MAX, WINDOW, crc32};
use crate::ReadAt;
use crate::coding::{self, CodingError};
use model::checksum::crc32c;
use model::{Digest, SamenessHasher};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use std::ops::Range;

/// Bytes asked of the pack at once while streaming, unless one piece is longer.
const BATCH: u64 = 16 * WINDOW;

/// A part of a stored file, as a stream. Whole files end with their SHA-256: the last piece leaves only when it fits.
pub struct Pieces<'a, S: ReadAt + ?Sized> {
    source: &'a S,
    instance: &'a PackedInstance,
    /// Pieces still to be read, the first of them at this place in the pack.
    next: &'a [Piece],
    stored_at: u64,
    /// Bytes of the pack that were read and belong to the next pieces.
    batch: Vec<u8>,
    batch_read: usize,
    /// Decoded bytes that may leave.
    ready: Vec<u8>,
    ready_read: usize,
    /// Bytes of the first piece that come before the range.
    skip: u64,
    /// Bytes of the range still to come out of pieces.
    left: u64,
    batch_max: u64,
    whole: Option<Sha256>,
    /// What a check of the whole entry finds besides.
    check: Option<Check>,
    failed: bool,
}

/// Sums over a whole entry.
struct Check {
    /// CRC-32 of the stored bytes so far.
    crc32: u32,
    /// Digest of the data set so far.
    data_set: SamenessHasher,
    /// Bytes of the file that still come before the data set.
    before: usize,
}

impl<S: ReadAt + ?Sized> std::fmt::Debug for Pieces<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces").field("entry", &self.instance.name).field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a, S: ReadAt + ?Sized> Pieces<'a, S> {
    /// The bytes `range` of the file.
    pub(super) fn new(source: &'a S, instance: &'a PackedInstance, range: &Range<u64>) -> Result<Self, PackError> {
        if range.start > range.end || range.end > instance.file_len {
            return Err(PackError::Missing { what: "byte", asked: range.end });
        }
        let left = range.end - range.start;
        let (mut next, mut stored_at, mut skip) = (instance.pieces.as_slice(), instance.offset, range.start);
        while let Some((piece, others)) = next.split_first() {
            if skip < piece.raw {
                break;
            }
            skip -= piece.raw;
            stored_at += piece.stored;
            next = others;
        }
        let whole = (left == instance.file_len).then(Sha256::new);
        let (batch, ready) = (Vec::new(), Vec::new());
        Ok(Self {
            source,
            instance,
            next,
            stored_at,
            batch,
            batch_read: 0,
            ready,
            ready_read: 0,
            skip,
            left,
            batch_max: BATCH,
            whole,
            check: None,
            failed: false,
        })
    }

    /// Everything at once, by a single read of the pack.
    pub(super) fn at_once(mut self) -> Result<Vec<u8>, PackError> {
        self.batch_max = u64::MAX;
        // Pieces are decoded one behind the other, and nothing is copied.
        let (mut raw, end) = (0u64, self.skip.saturating_add(self.left));
        for piece in self.next {
            if raw >= end {
                break;
            }
            raw = raw.saturating_add(piece.raw);
        }
        self.ready.reserve_exact(usize::try_from(raw.min(2 * PIECE_MAX)).unwrap_or(0));
        while self.piece()? {}
        let mut bytes = self.ready;
        bytes.drain(..self.ready_read.min(bytes.len()));
        // A part of a long piece is not kept in the memory of all of it.
        if bytes.capacity() / 2 > bytes.len() {
            bytes.shrink_to_fit();
        }
        Ok(bytes)
    }

    /// Reads everything, compares the data set with the digest made when it was received, and gives the CRC-32 of the
    /// stored bytes.
    pub(super) fn check(mut self) -> Result<u32, PackError> {
        let PackedInstance { name, offset, transfer_syntax, meta_len, digest, .. } = self.instance;
        // The digest of docs/adr/0003-digests.md, of the kind that was taken.
        let data_set = SamenessHasher::new(digest.kind(), transfer_syntax);
        let before = usize::try_from(*meta_len).unwrap_or(usize::MAX);
        self.check = Some(Check { crc32: 0, data_set, before });
        while self.step()? {}
        if let Some(Check { crc32, data_set, .. }) = self.check
            && data_set.finish() == *digest
        {
            return Ok(crc32);
        }
        Err(PackError::damaged(name, *offset, "its data set is not the one that was received"))
    }

    /// Makes the next piece ready; `false` when nothing is left.
    fn step(&mut self) -> Result<bool, PackError> {
        self.ready.clear();
        self.ready_read = 0;
        if self.failed {
            return Err(PackError::damaged(&self.instance.name, self.stored_at, "an earlier part was refused"));
        }
        let more = self.piece();
        if more.is_err() {
            // What was refused must not leave with the next call.
            self.failed = true;
            self.ready.clear();
            self.ready_read = 0;
        }
        more
    }

    /// Makes the next piece ready behind what is; `false` when nothing is left.
    fn piece(&mut self) -> Result<bool, PackError> {
        let Some((piece, others)) = self.next.split_first().filter(|_| self.left > 0) else {
            return self.finish();
        };
        let damaged = |what| PackError::damaged(&self.instance.name, self.stored_at, what);
        let long = |_| damaged("a piece is too long for this machine");
        let (stored, raw) = (usize::try_from(piece.stored).map_err(long)?, usize::try_from(piece.raw).map_err(long)?);
        if self.batch.len() - self.batch_read < stored {
            let len = self.batch_len();
            let read = self.source.read_at(self.stored_at..self.stored_at + len).map_err(PackError::Read)?;
            if read.len() as u64 != len {
                return Err(PackError::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            (self.batch, self.batch_read) = (read, 0);
        }
        let bytes = self.batch.get(self.batch_read..self.batch_read + stored).unwrap_or_default();
        if crc32c(bytes) != piece.crc32c {
            return Err(damaged("its CRC-32C differs"));
        }
        let start = self.ready.len();
        if stored == raw {
            self.ready.extend_from_slice(bytes);
        } else {
            let decoded = coding::decode(bytes, raw, &mut self.ready);
            decoded.map_err(|error| undecoded(self.instance, self.stored_at, error))?;
        }
        if let Some(check) = &mut self.check {
            check.crc32 = crc32::append(check.crc32, bytes);
            let skip = check.before.min(raw);
            check.data_set.update(self.ready.get(start.saturating_add(skip)..).unwrap_or_default());
            check.before -= skip;
        }
        if let Some(hash) = &mut self.whole {
            hash.update(self.ready.get(start..).unwrap_or_default());
        }
        let skip = usize::try_from(self.skip).map_err(long)?;
        let wanted = (piece.raw - self.skip).min(self.left);
        self.left -= wanted;
        self.ready.truncate(start + skip + usize::try_from(wanted).map_err(long)?);
        // Only the first piece may begin before the range.
        (self.ready_read, self.skip) = (self.ready_read + skip, 0);
        self.batch_read += stored;
        self.stored_at += piece.stored;
        self.next = others;
        // The digest is known with the last piece: it decides whether that one leaves.
        if self.left == 0 { self.finish().map(|_| true) } else { Ok(true) }
    }

    fn finish(&mut self) -> Result<bool, PackError> {
        if let Some(hash) = self.whole.take()
            && Digest(hash.finalize().into()) != self.instance.sha256
        {
            let PackedInstance { name, offset, .. } = self.instance;
            return Err(PackError::damaged(name, *offset, "its SHA-256 differs"));
        }
        Ok(false)
    }

    /// Length of the next read: as many of the pieces that are needed as fit a batch, one at least.
    fn batch_len(&self) -> u64 {
        let (mut stored, mut raw) = (0u64, 0u64);
        for piece in self.next {
            if stored > 0 && (raw >= self.skip + self.left || stored + piece.stored > self.batch_max) {
                break;
            }
            stored += piece.stored;
            raw += piece.raw;
        }
        stored
    }
}

impl<S: ReadAt + ?Sized> Read for Pieces<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.ready_read == self.ready.len() {
            if !self.step().map_err(into_io)? {
                return Ok(0);
            }
        }
        let ready = self.ready.get(self.ready_read..).unwrap_or_default();
        let len = ready.len().min(buf.len());
        buf.iter_mut().zip(ready).for_each(|(out, byte)| *out = *byte);
        self.ready_read += len;
        Ok(len)
    }
}

/// Why a piece that begins at a place in the pack was not decoded.
pub(super) fn undecoded(instance: &PackedInstance, at: u64, error: CodingError) -> PackError {
    match error {
        CodingError::Unavailable => PackError::Read(io::Error::other(error)),
        _ => PackError::damaged(&instance.name, at, "its coded bytes cannot be decoded"),
    }
}

fn into_io(error: PackError) -> io::Error {
    let kind = match &error {
        PackError::Read(source) => source.kind(),
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
