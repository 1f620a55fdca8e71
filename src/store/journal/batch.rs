//! A batch of records on its way into one vectored write.
//!
//! Bodies are never copied: the batch keeps slices of them between its own headers, heads and tails.
//! This file deliberately does not know where in the journal the batch goes.

use super::head;
use super::layout::{
    ALIGN, BODY_BLOB, BODY_INLINE, BODY_NONE, ChunkSums, DATA, HEAD_DICTIONARY, HEAD_MAX, HEAD_PLAIN, RecordHeader,
    Salt,
};
use super::{Body, Record};
use crate::StoreError;
use bytes::Bytes;
use std::io::IoSlice;

/// What can be worked out of a record before its place is known.
pub(crate) struct Prepared {
    pub(crate) header: RecordHeader,
    /// The head as stored, when that differs from the head as given.
    coded: Option<Vec<u8>>,
    sums: Vec<u32>,
    name: Vec<u8>,
}

/// Compresses heads and sums up bodies; needs no lock.
pub(crate) fn prepare(records: &[Record]) -> Result<Vec<Prepared>, StoreError> {
    records.iter().map(prepare_one).collect()
}

fn too_large(bytes: usize) -> StoreError {
    StoreError::TooLarge { bytes: u64::try_from(bytes).unwrap_or(u64::MAX), limit: u64::from(HEAD_MAX) }
}

fn prepare_one(record: &Record) -> Result<Prepared, StoreError> {
    let head_raw = u32::try_from(record.head.len()).ok().filter(|len| *len <= HEAD_MAX);
    let head_raw = head_raw.ok_or_else(|| too_large(record.head.len()))?;
    let coded = head::compress(&record.head);
    let stored = coded.as_ref().map_or(record.head.len(), Vec::len);
    let (body, body_len, sums, name) = match &record.body {
        Body::None => (BODY_NONE, 0, Vec::new(), Vec::new()),
        Body::Inline(pieces) | Body::Summed(pieces, _) => {
            let len: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            let sums = match &record.body {
                Body::Summed(_, sums) if sums.len() == len => sums.clone(),
                _ => sum_up(pieces),
            };
            (BODY_INLINE, len, sums.finish(), Vec::new())
        }
        Body::Blob(blob) => (BODY_BLOB, blob.len(), blob.sums().to_vec(), blob.name().as_bytes().to_vec()),
    };
    let tail_len = name.len() + sums.len() * 4;
    let header = RecordHeader {
        kind: DATA,
        coding: if coded.is_some() { HEAD_DICTIONARY } else { HEAD_PLAIN },
        body,
        head_len: u32::try_from(stored).map_err(|_| too_large(stored))?,
        head_raw,
        body_len,
        tail_len: u32::try_from(tail_len).map_err(|_| too_large(tail_len))?,
        name_len: u32::try_from(name.len()).map_err(|_| too_large(name.len()))?,
        ..RecordHeader::default()
    };
    Ok(Prepared { header, coded, sums, name })
}

fn sum_up(pieces: &[Bytes]) -> ChunkSums {
    let mut sums = ChunkSums::default();
    for piece in pieces {
        sums.update(piece);
    }
    sums
}

enum Piece<'a> {
    Own(usize),
    Body(&'a [u8]),
}

/// Bytes to be written in one go.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    own: Vec<u8>,
    pieces: Vec<Piece<'a>>,
    len: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn own(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some(Piece::Own(run)) => *run += bytes.len(),
            _ => self.pieces.push(Piece::Own(bytes.len())),
        }
        self.len += bytes.len() as u64;
    }

    fn body(&mut self, bytes: &'a [u8]) {
        if !bytes.is_empty() {
            self.pieces.push(Piece::Body(bytes));
            self.len += bytes.len() as u64;
        }
    }

    /// Adds a data record. Returns its header as written.
    pub(crate) fn record(
        &mut self,
        salt: &Salt,
        (lsn, synced): (u64, u64),
        prepared: &Prepared,
        record: &'a Record,
    ) -> RecordHeader {
        let head = prepared.coded.as_deref().unwrap_or(&record.head);
        let mut tail = prepared.name.clone();
        let inline = prepared.header.body == BODY_INLINE;
        for sum in &prepared.sums {
            tail.extend_from_slice(&if inline { salt.over(*sum) } else { *sum }.to_le_bytes());
        }
        let header = RecordHeader { lsn, synced, ..prepared.header };
        let pieces = record.body.pieces().unwrap_or(&[]);
        self.raw(salt, header, head, pieces.iter().map(|piece| piece.as_ref()), &tail)
    }

    /// Adds a record from its parts; fills in the checksums.
    pub(crate) fn raw(
        &mut self,
        salt: &Salt,
        header: RecordHeader,
        head: &[u8],
        body: impl Iterator<Item = &'a [u8]>,
        tail: &[u8],
    ) -> RecordHeader {
        let header = RecordHeader { head_crc: salt.crc(head), tail_crc: salt.crc(tail), ..header };
        self.own(&header.encode(salt));
        self.own(head);
        for piece in body {
            self.body(piece);
        }
        self.own(tail);
        let padding = self.len.next_multiple_of(ALIGN) - self.len;
        let zeros = [0; ALIGN as usize];
        self.own(usize::try_from(padding).ok().and_then(|n| zeros.get(..n)).unwrap_or(&[]));
        header
    }

    /// The bytes, in order. All records of a batch start at a multiple of the alignment.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut rest = self.own.as_slice();
        let mut slices = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            match piece {
                Piece::Own(len) => {
                    let (now, later) = rest.split_at_checked(*len).unwrap_or((rest, &[]));
                    slices.push(IoSlice::new(now));
                    rest = later;
                }
                Piece::Body(bytes) => slices.push(IoSlice::new(bytes)),
            }
        }
        slices
    }
}
