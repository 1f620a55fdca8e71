//! What was made from stored objects and stays in memory for whoever asks again, until a study is destroyed.
//!
//! Something may be in the making just then: whoever waits for it gets it, and it is not kept.
//! Deliberately not here: of which study something is. All is forgotten, and made again when somebody asks.

use moka::sync::Cache;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// When the making of something began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun(u64);

/// Keeps something that was made from stored objects.
pub trait Forget: Send + Sync {
    /// Forgets all of it: a study was destroyed.
    fn forget(&self);
}

/// Values by key, within a bound.
pub struct Memory<K, V> {
    kept: Cache<K, V>,
    /// How often everything was forgotten.
    emptied: AtomicU64,
}

impl<K, V> Memory<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps values up to a bound; `weigh` says what each takes of it.
    pub fn new(bound: u64, weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        let kept = Cache::builder().max_capacity(bound).weigher(weigh).build();
        Self { kept, emptied: AtomicU64::new(0) }
    }

    /// A value, if it is there.
    pub fn get(&self, key: &K) -> Option<V> {
        self.kept.get(key)
    }

    /// Something is about to be made, from its first byte on.
    pub fn begin(&self) -> Begun {
        Begun(self.emptied.load(Ordering::SeqCst))
    }

    /// Keeps what was made, unless everything was forgotten since it was begun.
    pub fn keep(&self, begun: Begun, key: K, value: V) {
        if self.begin() == begun {
            self.kept.insert(key.clone(), value);
            self.take_back(begun, &key);
        }
    }

    /// A value that is there or is made now; whoever asks for it meanwhile waits for that one.
    ///
    /// # Errors
    /// What making it came to; that is not kept.
    pub fn made<E: Send + Sync + 'static>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, Arc<E>> {
        let begun = self.begin();
        let made = self.kept.try_get_with(key.clone(), make);
        self.take_back(begun, &key);
        made
    }

    /// Forgetting counts first and empties then: what came in behind the emptying sees here that it was counted.
    fn take_back(&self, begun: Begun, key: &K) {
        if self.begin() != begun {
            self.kept.invalidate(key);
        }
    }

    /// How many values there are, and what they take of the bound.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (u64, u64) {
        self.kept.run_pending_tasks();
        (self.kept.entry_count(), self.kept.weighted_size())
    }
}

impl<K, V> Forget for Memory<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn forget(&self) {
        self.emptied.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate_all();
        self.kept.run_pending_tasks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory<u32, u32> {
        Memory::new(100, |_, _| 1)
    }

    #[test]
    fn what_is_made_is_kept_until_everything_is_forgotten() {
        let memory = memory();
        assert_eq!(memory.made(1, || Ok::<_, ()>(7)), Ok(7));
        memory.keep(memory.begin(), 2, 8);
        assert_eq!((memory.get(&1), memory.get(&2), memory.held()), (Some(7), Some(8), (2, 2)));
        assert_eq!(memory.made(1, || Err(())), Ok(7), "it was made again");
        memory.forget();
        assert_eq!((memory.get(&1), memory.get(&2), memory.held()), (None, None, (0, 0)));
        assert!(memory.made(1, || Err(())).is_err());
    }

    #[test]
    fn what_was_in_the_making_when_everything_was_forgotten_is_not_kept() {
        let memory = memory();
        let made = memory.made(1, || {
            memory.forget();
            Ok::<_, ()>(7)
        });
        assert_eq!(made, Ok(7), "whoever waits gets it");
        let begun = memory.begin();
        memory.forget();
        memory.keep(begun, 2, 8);
        assert_eq!((memory.get(&1), memory.get(&2)), (None, None));
        memory.keep(memory.begin(), 2, 9);
        assert_eq!(memory.get(&2), Some(9), "begun afterwards");
    }
}
