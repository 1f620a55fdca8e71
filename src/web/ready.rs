//! Small answers that lie ready in memory: looked up and read in one step, and sent as they are.
//!
//! Until their clients have taken them they lie in the memory that all who read share (`retrieve.memory`); a connection
//! has few of them at a time. Where no memory is free at once, while the service is crowded, and for whatever is longer
//! than [`MOST`], the answer is read piece by piece while it is sent ([`crate::body`]): nobody waits for a share, and
//! nobody is refused for want of one.

use crate::app::Call;
use crate::body::{Counted, crowded};
use archive::{Claim, Room};
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest answer that is made ready, in bytes: a frame of 512 × 512 words is half of it.
pub(crate) const MOST: u64 = Room::SHORT;
/// Ready answers of one connection at the same time.
const OF_CONNECTION: usize = 8;

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
    room: Arc<Room>,
    own: Option<Own>,
}

impl Desk {
    /// The desk of a request.
    pub(crate) fn of(call: &Call) -> Self {
        let own = call.parts.extensions.get::<Own>().cloned();
        Self { room: Arc::clone(call.app.archive.reading()), own }
    }

    /// A share for an answer of so many bytes, or nothing where there is none now.
    pub(crate) fn share(&self, len: u64) -> Option<Share> {
        if crowded() {
            return None;
        }
        let place = match &self.own {
            Some(own) => Some(Arc::clone(&own.places).try_acquire_owned().ok()?),
            None => None,
        };
        let claim = self.room.claim(len)?;
        let held = self.own.as_ref().map(|own| Arc::clone(&own.held));
        Some(Share { held, _claim: claim, _place: place, _counted: Counted::under_way() })
    }
}

/// A part of the memory, given back with the last byte that lies in it.
#[derive(Debug)]
pub(crate) struct Share {
    held: Option<Arc<AtomicUsize>>,
    _claim: Claim,
    _place: Option<OwnedSemaphorePermit>,
    _counted: Counted,
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

    fn desk(room: &Arc<Room>, own: &Own) -> Desk {
        Desk { room: Arc::clone(room), own: Some(own.clone()) }
    }

    #[tokio::test]
    async fn a_share_comes_back_with_the_last_of_its_bytes_and_not_before() {
        let room = Room::new(100);
        let own = Own::new();
        let share = desk(&room, &own).share(30).expect("room");
        assert_eq!((room.left(), own.holds()), (70, false), "nothing was read yet");
        let mut parts = share.over(vec![vec![1; 5], vec![2; 7]]);
        assert!(own.holds(), "from now on the client is waited for");
        let slice = parts.remove(1).slice(6..);
        drop(parts);
        assert_eq!(room.left(), 70, "a part of it is still on its way");
        let response = respond([Bytes::from_static(b"head"), Bytes::new(), slice]);
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(5));
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!((body.as_ref(), room.left(), own.holds()), (&b"head\x02"[..], 100, false));
    }

    #[test]
    fn nobody_waits_and_one_connection_keeps_few() {
        let room = Room::new(100);
        let (greedy, other) = (Own::new(), Own::new());
        let held: Vec<Share> = std::iter::from_fn(|| desk(&room, &greedy).share(1)).collect();
        assert_eq!(held.len(), OF_CONNECTION);
        let rest = desk(&room, &other).share(100 - 8).expect("the others have theirs");
        assert!(desk(&room, &other).share(1).is_none(), "all of it is taken");
        drop(held);
        assert!(desk(&room, &greedy).share(9).is_none() && desk(&room, &greedy).share(8).is_some());
        drop(rest);
        assert_eq!(room.left(), 100, "who asked in vain holds nothing");
    }
}
