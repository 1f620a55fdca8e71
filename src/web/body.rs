//! Answers that are read from a blocking source while they are sent.
//!
//! The client's pace drives the reading: one piece is sent while the next is read, so memory is bounded by two
//! pieces and a slow client holds no thread. An error in the middle cuts the connection; it never looks complete.
//! Pieces become smaller when many answers are read, so that all of them together stay within a budget.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// Size of one piece in bytes while few answers are under way.
const PIECE: usize = 256 << 10;
/// Size of one piece in bytes however many are.
const PIECE_LEAST: usize = 32 << 10;
/// Bytes that the pieces of all answers together take where nobody says otherwise.
pub(crate) const BUDGET: usize = 64 << 20;

/// Answers under way beyond which those of one connection take turns.
const CROWD: usize = 256;

/// Bytes that the pieces of all answers of this process together take, two of each, until their least size is reached.
static MEMORY: AtomicUsize = AtomicUsize::new(BUDGET);
/// Answers under way in this process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// Those of them that are read piece by piece now, and do not wait for their turn.
static READ: AtomicUsize = AtomicUsize::new(0);

/// Counts an answer while it is under way, or read.
#[derive(Debug)]
pub(crate) struct Counted(&'static AtomicUsize);

impl Counted {
    fn by(counter: &'static AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }

    /// One more answer is under way.
    pub(crate) fn under_way() -> Self {
        Self::by(&UNDER_WAY)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether so many answers are under way that those of one connection take turns.
pub(crate) fn crowded() -> bool {
    UNDER_WAY.load(Ordering::Relaxed) > CROWD
}

/// Bounds what the pieces of all answers of this process together take.
pub(crate) fn bound(memory: usize) {
    MEMORY.store(memory, Ordering::Relaxed);
}

/// Size of the next piece when so many answers are read.
fn piece_size(memory: usize, read: usize) -> usize {
    (memory / 2 / read.max(1)).clamp(PIECE_LEAST, PIECE)
}

type Source = Box<dyn Read + Send>;
type Reading = JoinHandle<(Option<Source>, io::Result<Bytes>)>;

/// Where a body over a blocking reader is.
enum Stage {
    /// Not begun.
    Waiting(Source),
    /// A piece is being read.
    Reading(Reading),
    Over,
}

/// A body over a blocking reader.
pub(crate) struct ReaderBody {
    stage: Stage,
    left: Option<u64>,
    _under_way: Counted,
    read: Option<Counted>,
}

impl ReaderBody {
    /// A body that reads `source` to its end; `length` is the number of bytes when it is known before.
    pub(crate) fn new(source: Source, length: Option<u64>) -> Self {
        let under_way = Counted::under_way();
        // Among many the source is opened only when the connection's turn has come.
        let read = (!crowded()).then(|| Counted::by(&READ));
        let stage = if read.is_none() { Stage::Waiting(source) } else { Stage::Reading(read_piece(source)) };
        Self { stage, left: length, _under_way: under_way, read }
    }
}

/// Reads a piece; the source comes back unless this was its end.
fn read_piece(mut source: Source) -> Reading {
    tokio::task::spawn_blocking(move || {
        let size = piece_size(MEMORY.load(Ordering::Relaxed), READ.load(Ordering::Relaxed));
        let mut piece = Vec::with_capacity(size);
        let wanted = u64::try_from(size).unwrap_or(u64::MAX);
        let outcome = source.by_ref().take(wanted).read_to_end(&mut piece);
        let more = outcome.as_ref().is_ok_and(|count| *count >= size);
        (more.then_some(source), outcome.map(|_| Bytes::from(piece)))
    })
}

impl Body for ReaderBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut reading = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Over => return Poll::Ready(None),
            Stage::Waiting(source) => {
                self.read = Some(Counted::by(&READ));
                read_piece(source)
            }
            Stage::Reading(reading) => reading,
        };
        let Poll::Ready(outcome) = Pin::new(&mut reading).poll(context) else {
            self.stage = Stage::Reading(reading);
            return Poll::Pending;
        };
        let piece = match outcome {
            Ok((_, Err(error))) => Err(error),
            Ok((_, Ok(piece))) if piece.is_empty() => return Poll::Ready(None),
            Ok((source, Ok(piece))) => {
                self.stage = source.map_or(Stage::Over, |source| Stage::Reading(read_piece(source)));
                Ok(piece)
            }
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = &piece {
            tracing::error!(%error, "an answer was cut: its bytes cannot be read");
        }
        if let (Ok(piece), Some(left)) = (&piece, self.left) {
            self.left = Some(left.saturating_sub(u64::try_from(piece.len()).unwrap_or(left)));
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Opens one piece of an answer when its turn comes.
pub(crate) type Open = Box<dyn FnOnce() -> io::Result<Source> + Send>;

/// Pieces of an answer one after the other, each opened only when its turn comes.
#[derive(Default)]
pub(crate) struct Pieces {
    waiting: std::collections::VecDeque<Open>,
    current: Option<Source>,
}

impl Pieces {
    /// Adds bytes in memory.
    pub(crate) fn memory(&mut self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.waiting.push_back(Box::new(move || Ok(Box::new(io::Cursor::new(bytes)))));
    }

    /// Adds a source that is opened later.
    pub(crate) fn later(&mut self, open: impl FnOnce() -> io::Result<Source> + Send + 'static) {
        self.waiting.push_back(Box::new(open));
    }
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = self.current.as_mut() {
                let count = current.read(out)?;
                if count > 0 || out.is_empty() {
                    return Ok(count);
                }
                self.current = None;
            }
            let Some(open) = self.waiting.pop_front() else { return Ok(0) };
            self.current = Some(open()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test(flavor = "multi_thread")]
    async fn pieces_arrive_in_order_and_whole() {
        let mut pieces = Pieces::default();
        pieces.memory(b"head".to_vec());
        pieces.later(|| Ok(Box::new(io::repeat(7).take(3 << 20))));
        pieces.memory(Vec::new());
        pieces.memory(b"tail".to_vec());
        let body = ReaderBody::new(Box::new(pieces), Some((3 << 20) + 8));
        assert_eq!(body.size_hint().exact(), Some((3 << 20) + 8));
        let bytes = body.collect().await.expect("readable").to_bytes();
        assert!(bytes.starts_with(b"head\x07") && bytes.ends_with(b"\x07tail"));
        assert_eq!(bytes.len(), (3 << 20) + 8);
    }

    #[test]
    fn many_answers_share_a_budget() {
        for memory in [BUDGET, 4 * BUDGET] {
            let fits = memory / 2 / PIECE;
            assert_eq!([0, 1, fits].map(|few| piece_size(memory, few)), [PIECE; 3]);
            for many in [2 * fits, 5 * fits, 8 * fits] {
                let size = piece_size(memory, many);
                assert!(size * 2 * many <= memory && size >= PIECE_LEAST, "{many}");
            }
            assert_eq!(piece_size(memory, 1_000_000), PIECE_LEAST);
        }
        assert_eq!(piece_size(0, 1), PIECE_LEAST, "answers go out in any case");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_error_in_the_middle_is_no_end() {
        let mut pieces = Pieces::default();
        pieces.memory(vec![1; PIECE]);
        pieces.later(|| Err(io::Error::other("damaged")));
        let mut body = ReaderBody::new(Box::new(pieces), None);
        assert!(body.frame().await.expect("first").is_ok());
        assert!(body.frame().await.expect("second").is_err());
    }
}
