//! One named budget for the memory of all objects on their way in, and the buffers it pays for.
//!
//! An object takes memory chunk by chunk; when the budget is spent it goes on in a file of its own, so
//! nobody ever waits for memory that others hold. Chunks are recycled: fresh ones would cost page faults.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of one chunk in bytes.
pub const CHUNK: usize = 128 * 1024;
/// Chunks kept for reuse beyond those in use.
const SPARE: usize = 128;

/// The budget; cheap to clone.
#[derive(Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

struct Inner {
    limit: u64,
    used: AtomicU64,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A buffer of at most [`CHUNK`] bytes that gives its memory back when dropped.
pub struct Chunk {
    bytes: Vec<u8>,
    budget: Budget,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { inner: Arc::new(Inner { limit, used: AtomicU64::new(0), spare: Mutex::new(Vec::new()) }) }
    }

    /// Takes one empty chunk, or none when the budget is spent.
    pub fn take(&self) -> Option<Chunk> {
        let size = CHUNK as u64;
        let claim = |used: u64| (used + size <= self.inner.limit).then_some(used + size);
        self.inner.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).ok()?;
        let bytes = self.inner.spare.lock().pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
        Some(Chunk { bytes, budget: self.clone() })
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.inner.used.load(Ordering::Relaxed)
    }
}

impl Chunk {
    /// Appends as much as fits and returns the rest.
    pub fn fill<'a>(&mut self, from: &'a [u8]) -> &'a [u8] {
        let room = CHUNK.saturating_sub(self.bytes.len());
        let (now, rest) = from.split_at_checked(room).unwrap_or((from, &[]));
        self.bytes.extend_from_slice(now);
        rest
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The chunk as shared bytes; the memory returns to the budget with the last of them.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.budget.inner.used.fetch_sub(CHUNK as u64, Ordering::Relaxed);
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut spare = self.budget.inner.spare.lock();
        if spare.len() < SPARE {
            spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_bound_and_comes_back() {
        let budget = Budget::new(2 * CHUNK as u64);
        let mut first = budget.take().expect("first");
        let second = budget.take().expect("second");
        assert!(budget.take().is_none(), "a third chunk is over the budget");
        assert!(first.fill(&[7; 10]).is_empty());
        let shared = first.freeze();
        drop(second);
        assert_eq!(budget.used(), CHUNK as u64);
        assert_eq!(shared.as_ref(), &[7; 10]);
        drop(shared);
        assert_eq!(budget.used(), 0);
        assert!(budget.take().expect("recycled").as_slice().is_empty());
    }
}
