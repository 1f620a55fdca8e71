//! A stream that knows how long its peer has taken nothing, and a body that keeps its request counted while it is sent.

use super::connections::RequestGuard;
use super::turn::Turn;
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bodies of at most so many bytes wait for no turn.
const SMALL: u64 = 64 << 10;

/// Bytes that are nothing: what keeps a connection alive says no more.
const NOTHING: u64 = 1 << 10;

/// How long a peer has not taken a byte, and how much it took.
pub(super) struct Blocked {
    start: Instant,
    /// Milliseconds after `start` plus one at which writing first had to wait; 0 when it does not wait.
    since: AtomicU64,
    /// Bytes it took so far.
    taken: AtomicU64,
}

impl Blocked {
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn blocked_for(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    fn note(&self, poll: &Poll<io::Result<usize>>) {
        if poll.is_ready() {
            self.since.store(0, Ordering::Relaxed);
            if let Poll::Ready(Ok(count)) = poll {
                self.taken.fetch_add(u64::try_from(*count).unwrap_or_default(), Ordering::Relaxed);
            }
        } else if self.since.load(Ordering::Relaxed) == 0 {
            let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.since.store(now.saturating_add(1), Ordering::Relaxed);
        }
    }
}

/// Whether a peer takes its answers: one that answers every ping and lets them lie is not blocked.
pub(super) struct Taking {
    taken: u64,
    /// When it last took more than next to nothing.
    last: Instant,
    /// From when on it took nothing though it was waited for.
    since: Instant,
}

impl Taking {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { taken: 0, last: now, since: now }
    }

    /// Looks again: whether answers wait for the peer now, and how many bytes it took so far.
    pub(super) fn look(&mut self, waits: bool, taken: u64) {
        let now = Instant::now();
        if taken.saturating_sub(self.taken) >= NOTHING {
            (self.taken, self.last, self.since) = (taken, now, now);
        }
        if !waits {
            self.since = now;
        }
    }

    /// How long it took next to nothing.
    pub(super) fn quiet_for(&self) -> Duration {
        self.last.elapsed()
    }

    /// How long it took next to nothing while it was waited for.
    pub(super) fn stalled_for(&self) -> Duration {
        self.since.elapsed()
    }
}

/// The stream, with the bytes that were read before.
pub(super) struct Watched<S> {
    inner: S,
    before: BytesMut,
    blocked: Arc<Blocked>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, before: BytesMut) -> Self {
        let blocked = Arc::new(Blocked { start: Instant::now(), since: AtomicU64::new(0), taken: AtomicU64::new(0) });
        Self { inner, before, blocked }
    }

    pub(super) fn handle(&self) -> Arc<Blocked> {
        Arc::clone(&self.blocked)
    }

    fn wrote(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.blocked.note(&poll);
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let count = self.before.len().min(out.remaining());
            if let Some(bytes) = self.before.get(..count) {
                out.put_slice(bytes);
            }
            self.before.advance(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.wrote(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Bytes that are written together.
#[derive(Debug, Default)]
pub(super) struct Together {
    first: Bytes,
    more: VecDeque<Bytes>,
}

impl From<Bytes> for Together {
    fn from(first: Bytes) -> Self {
        Self { first, more: VecDeque::new() }
    }
}

impl Buf for Together {
    fn remaining(&self) -> usize {
        self.more.iter().fold(self.first.len(), |sum, bytes| sum.saturating_add(bytes.len()))
    }

    fn chunk(&self) -> &[u8] {
        &self.first
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [io::IoSlice<'a>]) -> usize {
        let there = std::iter::once(&self.first).chain(&self.more).filter(|bytes| !bytes.is_empty());
        let mut filled = 0;
        for (slice, bytes) in out.iter_mut().zip(there) {
            *slice = io::IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        loop {
            let now = count.min(self.first.len());
            self.first.advance(now);
            count -= now;
            // The first has bytes while any has: `chunk` is empty only at the end.
            if !self.first.is_empty() {
                return;
            }
            let Some(next) = self.more.pop_front() else { return };
            self.first = next;
        }
    }
}

/// A body whose request counts as in progress until the last byte was taken, and that waits for its connection's turn
/// unless it is small or lies ready.
pub(super) struct Guarded {
    body: axum::body::Body,
    ready: bool,
    turn: Turn,
    guard: RequestGuard,
}

impl Guarded {
    pub(super) fn new(body: axum::body::Body, ready: bool, mut guard: RequestGuard) -> Self {
        let turn = Turn::new(guard.turns());
        // Whoever sends it asks for the first bytes when the client takes them.
        guard.waits_for_us(false);
        Self { body, ready, turn, guard }
    }
}

impl Guarded {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Together>, axum::Error>>> {
        let small = self.ready || self.body.size_hint().upper().is_some_and(|most| most <= SMALL);
        if !small {
            std::task::ready!(self.turn.poll(context));
        }
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let mut polled = polled.map(|frame| frame.map(|frame| frame.map_data(Together::from)));
        if self.ready
            && let Some(Ok(frame)) = &mut polled
            && let Some(first) = frame.data_mut()
        {
            // All of it is there and fails no more: head, parts and end go out in one write.
            while let Poll::Ready(Some(Ok(more))) = Pin::new(&mut self.body).poll_frame(context) {
                first.more.extend(more.into_data());
            }
        }
        Poll::Ready(polled)
    }
}

impl Body for Guarded {
    type Data = Together;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Together>, axum::Error>>> {
        let polled = self.next(context);
        self.guard.waits_for_us(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together() -> Together {
        let mut bytes = Together::from(Bytes::from_static(b"head"));
        bytes.more.extend([Bytes::from_static(b"-"), Bytes::from_static(b"body")]);
        bytes
    }

    #[test]
    fn what_is_written_together_is_all_of_it_in_order() {
        for step in 1..=9 {
            let (mut bytes, mut out) = (together(), Vec::new());
            while bytes.has_remaining() {
                let now = bytes.chunk().len().min(step);
                assert!(now > 0, "there is more");
                out.extend_from_slice(&bytes.chunk()[..now]);
                bytes.advance(now);
            }
            assert_eq!(out, b"head-body", "in steps of {step}");
        }
        let mut bytes = together();
        assert_eq!(bytes.remaining(), 9);
        let mut slices = [io::IoSlice::new(&[]); 4];
        assert_eq!(bytes.chunks_vectored(&mut slices), 3, "one write for all");
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(all, b"head-body");
        assert_eq!(bytes.chunks_vectored(&mut slices[..2]), 2);
        bytes.advance(6);
        assert_eq!((bytes.remaining(), bytes.chunk()), (3, &b"ody"[..]));
        bytes.advance(3);
        assert!(!bytes.has_remaining() && bytes.chunk().is_empty());
    }

    #[test]
    fn who_takes_nothing_of_what_waits_is_told_from_who_waits() {
        let long = Duration::from_secs(100);
        let mut taking = Taking::new();
        let ago = |taking: &mut Taking| {
            let then = Instant::now().checked_sub(long).expect("a clock that runs");
            (taking.last, taking.since) = (then, then);
        };
        ago(&mut taking);
        taking.look(true, NOTHING - 1);
        assert!(taking.stalled_for() >= long && taking.quiet_for() >= long, "the answer to a ping is nothing");
        taking.look(true, NOTHING);
        assert!(taking.stalled_for() < long && taking.quiet_for() < long, "it takes something");
        ago(&mut taking);
        taking.look(false, NOTHING);
        assert!(taking.stalled_for() < long, "the store is slow, or nothing was asked");
        assert!(taking.quiet_for() >= long);
    }
}
