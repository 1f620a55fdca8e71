//! Memory for bytes that were read and wait to be taken: one bound for all who read, and nobody ever waits for it.
//!
//! Whoever gets none reads in small steps instead. A long claim leaves half of the memory to short ones, so that a few
//! readers of very large objects cost themselves and not everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory of all who share it.
#[derive(Debug)]
pub struct Room {
    all: u64,
    left: AtomicU64,
}

/// What one of them has of it, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    /// Longest claim, in bytes, that may take the last of the memory: a usual object or frame.
    pub const SHORT: u64 = 1 << 20;

    /// Memory of so many bytes.
    pub fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { all: bytes, left: AtomicU64::new(bytes) })
    }

    /// Takes so many bytes, or nothing where they are not free now.
    #[must_use]
    pub fn claim(self: &Arc<Self>, bytes: u64) -> Option<Claim> {
        let spared = if bytes > Self::SHORT { self.all / 2 } else { 0 };
        self.take(bytes, spared).then(|| Claim { room: Arc::clone(self), bytes })
    }

    /// Takes bytes where at least so many others stay.
    fn take(&self, bytes: u64, spared: u64) -> bool {
        let taken = |left: u64| left.checked_sub(bytes).filter(|left| *left >= spared);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Bytes that nobody has.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

impl Claim {
    /// A claim of nothing, to grow.
    pub fn none(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), bytes: 0 }
    }

    /// Takes a few bytes more; false, and nothing is taken, where they are not free now.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let had = self.room.take(bytes, 0);
        if had {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        had
    }

    /// Bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: u64 = Room::SHORT;

    #[test]
    fn the_memory_is_a_bound_and_comes_back() {
        let room = Room::new(3 * SHORT);
        let mut first = room.claim(SHORT).expect("free");
        assert!(first.grow(SHORT) && first.bytes() == 2 * SHORT);
        let second = room.claim(SHORT).expect("the last of it");
        assert!(room.claim(1).is_none() && !first.grow(1), "it is spent");
        assert_eq!((first.bytes(), room.left()), (2 * SHORT, 0), "a claim in vain takes nothing");
        drop(first);
        assert_eq!(room.left(), 2 * SHORT);
        drop(second);
        assert_eq!(room.left(), 3 * SHORT);
    }

    #[test]
    fn long_claims_leave_half_of_it_to_short_ones() {
        let room = Room::new(8 * SHORT);
        assert!(room.claim(5 * SHORT).is_none());
        let long = room.claim(4 * SHORT).expect("half of it");
        assert!(room.claim(SHORT + 1).is_none());
        let short: Vec<Claim> = std::iter::from_fn(|| room.claim(SHORT)).collect();
        assert_eq!((short.len(), room.left()), (4, 0));
        drop((long, short));
        assert_eq!(room.left(), 8 * SHORT);
    }

    #[test]
    fn claims_at_the_same_time_never_have_more_than_there_is() {
        let room = Room::new(10);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let claim = room.claim(3);
                        assert!(claim.as_ref().is_none_or(|claim| claim.bytes() == 3) && room.left() <= 10);
                    }
                });
            }
        });
        assert_eq!(room.left(), 10);
    }
}
