//! Series that rest: those that could not be packed, those that somebody packs just now, and all while no volume has room.
//!
//! Nothing of this is kept over a restart: it is found out again.

use index::SeriesKey;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use store::StoreError;

/// Longest pause after a series could not be packed, in seconds; the first is a second, each further one twice as long.
const PAUSE_MAX: u64 = 600;
/// Pause after no hot volume had room.
const FULL_PAUSE: Duration = Duration::from_secs(30);

/// Series that could not be packed, and when to try again.
#[derive(Default)]
pub(crate) struct Failing {
    series: Mutex<HashMap<SeriesKey, (u32, Instant)>>,
    /// No hot volume had room for a pack: nothing is tried before this.
    full_until: Mutex<Option<Instant>>,
    /// Series that are being packed or merged.
    turns: Mutex<HashSet<SeriesKey>>,
}

impl Failing {
    /// Whether the series should be left alone now.
    pub(super) fn rests(&self, key: &SeriesKey) -> bool {
        self.series.lock().get(key).is_some_and(|(_, until)| *until > Instant::now())
    }

    pub(crate) fn failed(&self, key: &SeriesKey) {
        let mut failing = self.series.lock();
        let (times, until) = failing.entry(key.clone()).or_insert((0, Instant::now()));
        let pause = 1u64.checked_shl(*times).unwrap_or(PAUSE_MAX).min(PAUSE_MAX);
        (*times, *until) = (times.saturating_add(1), Instant::now() + Duration::from_secs(pause));
    }

    pub(crate) fn done(&self, key: &SeriesKey) {
        self.series.lock().remove(key);
    }

    /// Whether packing the series failed.
    pub(crate) fn is_failing(&self, key: &SeriesKey) -> bool {
        self.series.lock().contains_key(key)
    }

    /// Whether no hot volume had room a moment ago.
    pub(crate) fn is_full(&self) -> bool {
        self.full_until.lock().is_some_and(|until| until > Instant::now())
    }

    /// Notes that no hot volume has room, aloud the first time.
    pub(super) fn full(&self, error: &StoreError) {
        let before = self.full_until.lock().replace(Instant::now() + FULL_PAUSE);
        if before.is_none() {
            tracing::error!(%error, "no hot volume has room: nothing is packed until one has");
        }
    }

    pub(super) fn has_room(&self) {
        *self.full_until.lock() = None;
    }

    /// How many series cannot be packed now.
    pub(crate) fn count(&self) -> usize {
        self.series.lock().len()
    }
}

/// A series that somebody packs or merges; nobody else does meanwhile.
pub(super) struct Turn<'a>(&'a Failing, SeriesKey);

impl Failing {
    pub(super) fn turn(&self, key: &SeriesKey) -> Option<Turn<'_>> {
        self.turns.lock().insert(key.clone()).then(|| Turn(self, key.clone()))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.lock().remove(&self.1);
    }
}
