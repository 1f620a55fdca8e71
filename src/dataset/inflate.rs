//! Deflated data sets (PS3.5 Annex A.5): one raw deflate stream (RFC 1951), inflated in small pieces.
//!
//! Padding after the stream is allowed and reported, never read as data.

use crate::error::ScanError;
use crate::limits::Limits;
use crate::walk::as_u64;
use flate2::{Decompress, FlushDecompress, Status};

const PIECE: usize = 32 << 10;

/// An inflating stream with the limits of a data set.
#[derive(Debug)]
pub(crate) struct Inflater {
    stream: Decompress,
    piece: Box<[u8]>,
    done: bool,
    trailing: u64,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { stream: Decompress::new(false), piece: vec![0; PIECE].into_boxed_slice(), done: false, trailing: 0 }
    }

    fn check(&self, limits: &Limits) -> Result<(), ScanError> {
        let (taken, made) = (self.stream.total_in(), self.stream.total_out());
        let bound = |limit, allowed, found| ScanError::Bound { offset: made, tag: 0, limit, allowed, found };
        if made > limits.inflated {
            return Err(bound("inflated", limits.inflated, made));
        }
        let ratio = made / taken.max(1);
        if made > limits.inflated_free && ratio > limits.inflated_ratio {
            return Err(bound("inflated_ratio", limits.inflated_ratio, ratio));
        }
        Ok(())
    }

    /// Inflates a piece and hands on what comes out of it.
    pub(crate) fn feed(
        &mut self,
        mut input: &[u8],
        limits: &Limits,
        mut out: impl FnMut(&[u8]) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        loop {
            if self.done {
                self.trailing += as_u64(input.len());
                return Ok(());
            }
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut self.piece, FlushDecompress::None)
                .map_err(|_| ScanError::Framing { offset: made, tag: 0, what: "the deflated stream is damaged" })?;
            let taken = usize::try_from(self.stream.total_in() - taken).unwrap_or(usize::MAX);
            let made = usize::try_from(self.stream.total_out() - made).unwrap_or(usize::MAX);
            input = input.get(taken..).unwrap_or_default();
            self.check(limits)?;
            out(self.piece.get(..made).unwrap_or_default())?;
            self.done = status == Status::StreamEnd;
            if !self.done && made == 0 && (input.is_empty() || taken == 0) {
                return Ok(());
            }
        }
    }

    /// Whether the stream is complete, and how many bytes follow it.
    pub(crate) fn finish(&self) -> Result<u64, ScanError> {
        if self.done {
            return Ok(self.trailing);
        }
        let offset = self.stream.total_out();
        Err(ScanError::Framing { offset, tag: 0, what: "the deflated stream ends too early" })
    }
}
