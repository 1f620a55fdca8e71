//! What is to come back from the cloud: packs to be hot again, and objects to be restored from an archive class.
//!
//! Restores are written to a file, because they take hours and a restart must not lose them; recalls are not: whoever
//! still wants a pack asks for it again.

use model::PackId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Packs that may wait to be recalled; further ones are read from the cloud by pieces.
const WAITING_MAX: usize = 10_000;
/// First pause between two looks at a restore, and the longest.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(600);

/// Why a pack is to be hot again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was read, and its policy says so; or an operator does.
    Wanted,
    /// It may be read soon; only until this time, milliseconds since 1970 UTC.
    Soon(u64),
}

/// An object on its way out of an archive class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restore {
    pub(crate) pack: PackId,
    /// When it was first asked for, milliseconds since 1970 UTC.
    pub(crate) since: u64,
    /// Whether it goes to a hot volume when it can be read.
    pub(crate) hot: bool,
}

/// What is wished for and not yet there.
pub(crate) struct Wishes {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wanted: VecDeque<PackId>,
    soon: VecDeque<(PackId, u64)>,
    queued: HashSet<PackId>,
    restores: BTreeMap<PackId, Restore>,
    looks: HashMap<PackId, (u32, Instant)>,
}

impl Wishes {
    /// Takes up what an earlier run had asked for.
    ///
    /// # Errors
    /// A file that cannot be read: a restore would be forgotten.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let restores: Vec<Restore> = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let restores = restores.into_iter().map(|restore| (restore.pack, restore)).collect();
        Ok(Self { path, state: Mutex::new(State { restores, ..State::default() }) })
    }

    /// Wishes for a pack to be hot; false when too many wait.
    pub(crate) fn recall(&self, pack: PackId, why: Why) -> bool {
        let mut state = self.state.lock();
        if state.queued.len() >= WAITING_MAX {
            return false;
        }
        if !state.queued.insert(pack) {
            // What was wished for soon is wanted now.
            if why == Why::Wanted && state.soon.iter().any(|(other, _)| *other == pack) {
                state.soon.retain(|(other, _)| *other != pack);
                state.wanted.push_back(pack);
            }
            if let Why::Soon(until) = why {
                for (_, before) in state.soon.iter_mut().filter(|(other, _)| *other == pack) {
                    *before = until.max(*before);
                }
            }
            return true;
        }
        match why {
            Why::Wanted => state.wanted.push_back(pack),
            Why::Soon(until) => state.soon.push_back((pack, until)),
        }
        true
    }

    /// The next pack to recall; what was wanted comes before what may be, and what is too late is dropped.
    pub(crate) fn next(&self, now_ms: u64) -> Option<PackId> {
        let mut state = self.state.lock();
        if let Some(pack) = state.wanted.pop_front() {
            state.queued.remove(&pack);
            return Some(pack);
        }
        while let Some((pack, until)) = state.soon.pop_front() {
            state.queued.remove(&pack);
            if until >= now_ms {
                return Some(pack);
            }
            metrics::counter!("khoanh_prefetch_late_total").increment(1);
        }
        None
    }

    /// The next pack that somebody waits for.
    pub(crate) fn next_wanted(&self) -> Option<PackId> {
        let mut state = self.state.lock();
        let pack = state.wanted.pop_front()?;
        state.queued.remove(&pack);
        Some(pack)
    }

    /// Whether somebody waits for a pack.
    pub(crate) fn is_any_wanted(&self) -> bool {
        !self.state.lock().wanted.is_empty()
    }

    /// Recalls that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().queued.len()
    }

    /// Notes that an object lies in an archive class and is wanted; true when that is new.
    ///
    /// # Errors
    /// Those of the file: the wish then holds until a restart.
    pub(crate) fn restore(&self, pack: PackId, now_ms: u64, hot: bool) -> io::Result<bool> {
        let mut state = self.state.lock();
        let known = state.restores.get(&pack).copied();
        let since = known.map_or(now_ms, |known| known.since);
        let wish = Restore { pack, since, hot: hot || known.is_some_and(|known| known.hot) };
        if known == Some(wish) {
            return Ok(false);
        }
        state.restores.insert(pack, wish);
        self.write(&state.restores)?;
        Ok(known.is_none())
    }

    /// A restore is over, or its pack is no more.
    ///
    /// # Errors
    /// Those of the file: it is looked at once more after a restart.
    pub(crate) fn restored(&self, pack: PackId) -> io::Result<()> {
        let mut state = self.state.lock();
        state.looks.remove(&pack);
        match state.restores.remove(&pack) {
            Some(_) => self.write(&state.restores),
            None => Ok(()),
        }
    }

    /// Whether a pack is on its way out of an archive class.
    pub(crate) fn is_restoring(&self, pack: PackId) -> bool {
        self.state.lock().restores.contains_key(&pack)
    }

    /// Restores that are not over.
    pub(crate) fn restoring(&self) -> usize {
        self.state.lock().restores.len()
    }

    /// The restores it is time to look at; each is looked at less often the longer it takes.
    pub(crate) fn due(&self) -> Vec<Restore> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let due = |restore: &&Restore| state.looks.get(&restore.pack).is_none_or(|(_, at)| *at <= now);
        let due: Vec<Restore> = state.restores.values().filter(due).copied().collect();
        for restore in &due {
            let tries = state.looks.get(&restore.pack).map_or(0, |(tries, _)| *tries);
            let pause = LOOK.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(LOOK_MAX);
            state.looks.insert(restore.pack, (tries.saturating_add(1), now + pause));
        }
        due
    }

    fn write(&self, restores: &BTreeMap<PackId, Restore>) -> io::Result<()> {
        let list: Vec<&Restore> = restores.values().collect();
        let beside = self.path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(&list)?)?;
        fs::File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(number: u8) -> PackId {
        PackId::new([number; 16])
    }

    fn open(folder: &tempfile::TempDir) -> Wishes {
        Wishes::open(folder.path().join("restores.json")).expect("opens")
    }

    #[test]
    fn what_is_wanted_comes_first_and_what_is_late_not_at_all() {
        let folder = tempfile::tempdir().expect("folder");
        let wishes = open(&folder);
        assert!(wishes.recall(pack(1), Why::Soon(10)) && wishes.recall(pack(2), Why::Soon(100)));
        assert!(wishes.recall(pack(3), Why::Wanted) && wishes.recall(pack(3), Why::Wanted));
        assert!(wishes.recall(pack(4), Why::Soon(100)) && wishes.recall(pack(4), Why::Wanted));
        assert!(wishes.recall(pack(5), Why::Soon(10)) && wishes.recall(pack(5), Why::Soon(60)));
        assert_eq!(wishes.waiting(), 5);
        let order: Vec<_> = std::iter::from_fn(|| wishes.next(50)).collect();
        assert_eq!(order, [pack(3), pack(4), pack(2), pack(5)]);
        assert_eq!(wishes.waiting(), 0);
    }

    #[test]
    fn restores_survive_a_start_until_they_are_over() {
        let folder = tempfile::tempdir().expect("folder");
        let wishes = open(&folder);
        assert!(wishes.restore(pack(1), 5, false).expect("kept"));
        assert!(!wishes.restore(pack(1), 9, false).expect("kept"), "asking again is not new");
        wishes.restore(pack(1), 9, true).expect("kept");
        wishes.restore(pack(2), 6, false).expect("kept");
        let again = open(&folder);
        assert_eq!(again.restoring(), 2);
        let due = again.due();
        assert_eq!(due.first(), Some(&Restore { pack: pack(1), since: 5, hot: true }));
        assert!(again.due().is_empty(), "not again at once");
        again.restored(pack(1)).expect("kept");
        assert!(!open(&folder).is_restoring(pack(1)) && open(&folder).is_restoring(pack(2)));
    }
}
