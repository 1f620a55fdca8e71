//! Small answers that lie ready in memory: read in one step, and sent as they are.
//!
//! One budget bounds the bytes of all of them that their clients have not taken yet. Where it is spent an answer waits
//! briefly for its turn, in the order of asking, and holds only what the index said of it meanwhile; a connection has
//! few of them at a time. Where the turn does not come, since others take theirs slowly, and for whatever is longer than
//! [`MOST`], the answer is read piece by piece while it is sent ([`crate::body`]): nobody is refused for want of a share.

use crate::app::Call;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest answer that is made ready, in bytes: a frame of 512 × 512 words is half of it.
pub(crate) const MOST: u64 = 1 << 20;
/// Bytes that are counted together.
const PAGE: u64 = 4 << 10;
/// Ready answers of one connection at the same time.
const OF_CONNECTION: usize = 8;
/// Longest wait for a share: many quick clients are through by then, and slow ones keep nobody for longer.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// The bytes of all ready answers of the service.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pages: Arc<Semaphore>,
    all: u32,
    wait: Duration,
}

impl Budget {
    /// A budget of so many bytes; nobody waits for a share longer than `wait`.
    pub(crate) fn new(bytes: u64, wait: Duration) -> Self {
        let all = u32::try_from(bytes / PAGE).unwrap_or(u32::MAX).max(1);
        let pages = usize::try_from(all).unwrap_or(1).min(Semaphore::MAX_PERMITS);
        Self { pages: Arc::new(Semaphore::new(pages)), all, wait }
    }

    /// What an answer costs; one that is longer than the whole budget takes all of it.
    fn cost(&self, len: u64) -> u32 {
        u32::try_from(len.div_ceil(PAGE)).unwrap_or(u32::MAX).clamp(1, self.all)
    }
}

/// What one connection has of them; an extension of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    places: Arc<Semaphore>,
    held: Arc<AtomicUsize>,
}

impl Own {
    /// A connection that has none.
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(OF_CONNECTION)), held: Arc::default() }
    }

    /// Whether answers lie in memory for it.
    pub(crate) fn holds(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }
}

/// Where one request gets its share.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    budget: Budget,
    own: Option<Own>,
}

impl Desk {
    /// The desk of a request.
    pub(crate) fn of(call: &Call) -> Self {
        Self { budget: call.app.ready.clone(), own: call.parts.extensions.get::<Own>().cloned() }
    }

    /// A share for an answer of so many bytes, or nothing where it would have to wait.
    pub(crate) fn share_now(&self, len: u64) -> Option<Share> {
        let place = self.own.as_ref().map(|own| Arc::clone(&own.places).try_acquire_owned().ok());
        let place = match place {
            Some(None) => return None,
            place => place.flatten(),
        };
        let pages = Arc::clone(&self.budget.pages).try_acquire_many_owned(self.budget.cost(len)).ok()?;
        Some(self.share_of(pages, place))
    }

    /// The same, when its turn comes in time.
    pub(crate) async fn share(&self, len: u64) -> Option<Share> {
        let turn = async {
            // Its own place first: whoever waits for it holds nothing that others wait for.
            let place = match &self.own {
                Some(own) => Some(Arc::clone(&own.places).acquire_owned().await.ok()?),
                None => None,
            };
            let pages = Arc::clone(&self.budget.pages).acquire_many_owned(self.budget.cost(len)).await.ok()?;
            Some(self.share_of(pages, place))
        };
        tokio::time::timeout(self.budget.wait, turn).await.ok().flatten()
    }

    fn share_of(&self, pages: OwnedSemaphorePermit, place: Option<OwnedSemaphorePermit>) -> Share {
        let held = self.own.as_ref().map(|own| Arc::clone(&own.held));
        Share { held, _pages: pages, _place: place }
    }
}

/// A part of the budget, given back with the last byte that lies under it.
#[derive(Debug)]
pub(crate) struct Share {
    held: Option<Arc<AtomicUsize>>,
    _pages: OwnedSemaphorePermit,
    _place: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Bytes under this share.
    pub(crate) fn over(self, parts: Vec<Vec<u8>>) -> Vec<Bytes> {
        // Only from now on it is the client that is waited for.
        let held = Arc::new(Held::over(self));
        let under = |bytes| Bytes::from_owner(Under { bytes, _held: Arc::clone(&held) });
        parts.into_iter().map(under).collect()
    }
}

/// A share whose bytes are there and not all taken.
struct Held(Share);

impl Held {
    fn over(share: Share) -> Self {
        if let Some(held) = &share.held {
            held.fetch_add(1, Ordering::Relaxed);
        }
        Self(share)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(held) = &self.0.held {
            held.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

struct Under {
    bytes: Vec<u8>,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Under {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Marks an answer that lies ready; an extension of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InMemory;

/// An answer of these bytes, one after the other.
pub(crate) fn respond(chunks: impl IntoIterator<Item = Bytes>) -> Response {
    let chunks: VecDeque<Bytes> = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
    let left = chunks.iter().map(length).fold(0, u64::saturating_add);
    let mut response = Response::new(Body::new(Ready { chunks, left }));
    response.extensions_mut().insert(InMemory);
    response
}

/// Bytes of a chunk.
pub(crate) fn length(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

struct Ready {
    chunks: VecDeque<Bytes>,
    left: u64,
}

impl http_body::Body for Ready {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.pop_front();
        self.left = self.left.saturating_sub(next.as_ref().map_or(0, length));
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// No wait in these tests is longer.
    const LONG: Duration = Duration::from_secs(60);

    fn desk(budget: &Budget, own: Option<&Own>) -> Desk {
        Desk { budget: budget.clone(), own: own.cloned() }
    }

    #[tokio::test]
    async fn a_share_comes_back_with_the_last_of_its_bytes_and_not_before() {
        let budget = Budget::new(10 * PAGE, LONG);
        let (own, free) = (Own::new(), || budget.pages.available_permits());
        let share = desk(&budget, Some(&own)).share_now(3 * PAGE + 1).expect("room");
        assert_eq!((free(), own.holds()), (6, false), "whole pages are counted; nothing was read yet");
        let mut parts = share.over(vec![vec![1; 5], vec![2; 7]]);
        assert!(own.holds(), "from now on the client is waited for");
        let slice = parts.remove(1).slice(6..);
        drop(parts);
        assert_eq!(free(), 6, "a part of it is still on its way");
        let response = respond([Bytes::from_static(b"head"), Bytes::new(), slice]);
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(5));
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!((body.as_ref(), free(), own.holds()), (&b"head\x02"[..], 10, false));
    }

    #[tokio::test]
    async fn who_came_first_is_next_and_one_that_is_longer_than_all_has_its_turn() {
        let budget = Budget::new(10 * PAGE, LONG);
        let first = desk(&budget, None).share_now(6 * PAGE).expect("room");
        let turn = |len: u64| {
            let desk = desk(&budget, None);
            tokio::spawn(async move { desk.share(len).await })
        };
        let huge = turn(1_000 * PAGE);
        while budget.pages.available_permits() > 0 {
            // It has taken what there is, and waits for the rest.
            tokio::task::yield_now().await;
        }
        assert!(desk(&budget, None).share_now(1).is_none(), "nobody passes who waits");
        let small = turn(PAGE);
        drop(first);
        let huge = huge.await.expect("no panic").expect("its turn");
        assert!(!small.is_finished(), "all of the budget is taken");
        drop(huge);
        drop(small.await.expect("no panic").expect("its turn"));
        assert_eq!(budget.pages.available_permits(), 10);
    }

    #[tokio::test]
    async fn one_connection_keeps_few_and_nobody_waits_for_long() {
        let budget = Budget::new(100 * PAGE, Duration::from_millis(20));
        let (greedy, other) = (Own::new(), Own::new());
        let held: Vec<Share> = std::iter::from_fn(|| desk(&budget, Some(&greedy)).share_now(PAGE)).collect();
        assert_eq!(held.len(), OF_CONNECTION);
        assert!(desk(&budget, Some(&other)).share_now(PAGE).is_some(), "the others have theirs");
        assert!(desk(&budget, Some(&greedy)).share(PAGE).await.is_none(), "its answers are sent piece by piece");
        assert_eq!(budget.pages.available_permits(), 100 - OF_CONNECTION, "who waited in vain holds nothing");
        drop(held);
        assert!(desk(&budget, Some(&greedy)).share(PAGE).await.is_some());
    }
}
