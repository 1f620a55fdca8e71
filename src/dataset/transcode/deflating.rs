//! A data set deflated as a whole (PS3.5 Annex A.5), inflated again and compared piece by piece before it leaves.

use super::PIECE;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::io::{self, Read};

/// Bytes gathered for one step: a step ends at a byte, which costs a few of them.
const STEP: usize = 4 * PIECE;

/// What is read from `input`, in one raw deflate stream (RFC 1951).
pub struct Deflating<R> {
    input: R,
    deflate: Compress,
    /// The other side, which must come to the same bytes.
    inflate: Decompress,
    piece: Vec<u8>,
    ready: Vec<u8>,
    taken: usize,
    length: u64,
    ended: bool,
}

impl<R: Read> Deflating<R> {
    /// Deflates what is read from a data set in Explicit VR Little Endian.
    pub fn new(input: R) -> Self {
        let deflate = Compress::new(Compression::new(6), false);
        let inflate = Decompress::new(false);
        let (piece, ready) = (Vec::new(), Vec::new());
        Self { input, deflate, inflate, piece, ready, taken: 0, length: 0, ended: false }
    }

    fn step(&mut self) -> io::Result<()> {
        self.piece.clear();
        let most = u64::try_from(STEP).unwrap_or(u64::MAX);
        self.input.by_ref().take(most).read_to_end(&mut self.piece)?;
        self.ended = self.piece.is_empty();
        self.ready.clear();
        self.taken = 0;
        let flush = if self.ended { FlushCompress::Finish } else { FlushCompress::Sync };
        let before = self.deflate.total_in();
        loop {
            self.ready.reserve(STEP + 1024);
            let done = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            let rest = self.piece.get(done..).unwrap_or_default();
            self.deflate.compress_vec(rest, &mut self.ready, flush).map_err(io::Error::other)?;
            let done = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            // Room that is left says that everything is out.
            if done >= self.piece.len() && self.ready.len() < self.ready.capacity() {
                break;
            }
        }
        self.verify()?;
        self.length = self.length.saturating_add(u64::try_from(self.ready.len()).unwrap_or(0));
        if self.ended && !self.length.is_multiple_of(2) {
            self.ready.push(0);
        }
        Ok(())
    }

    /// Inflates what this step made: it must be what went in.
    fn verify(&mut self) -> io::Result<()> {
        let before = self.inflate.total_in();
        let mut again = Vec::with_capacity(self.piece.len() + 64);
        loop {
            let done = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
            let made = again.len();
            let rest = self.ready.get(done..).unwrap_or_default();
            self.inflate.decompress_vec(rest, &mut again, FlushDecompress::None).map_err(io::Error::other)?;
            let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
            if again.len() > self.piece.len() || (taken == done && again.len() == made) {
                break;
            }
        }
        if again == self.piece {
            return Ok(());
        }
        Err(io::Error::other("what was deflated does not inflate to the same bytes"))
    }
}

impl<R: Read> Read for Deflating<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.taken >= self.ready.len() {
            if self.ended {
                return Ok(0);
            }
            self.step()?;
        }
        let mut rest = self.ready.get(self.taken..).unwrap_or_default();
        let read = rest.read(out)?;
        self.taken += read;
        Ok(read)
    }
}
