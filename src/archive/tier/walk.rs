//! The walk over all packs: what is due goes to the cloud or off the hot volumes, and everything is counted.
//!
//! New packs are looked at first. A walk takes its packs page by page in short turns, and after it there is a pause in
//! proportion, so that it costs a small part of one processor however large the archive is.

use super::policy::Action;
use super::{Tally, Tiers};
use crate::error::{OpenError, TierError};
use crate::open::Archive;
use crate::{packing, worker};
use index::{PackRow, SeriesKey};
use model::PackId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::hot::VolumeState;

/// Packs taken from the index at once.
const PAGE: usize = 256;
/// Longest turn of the walk, but for a pack that is under way.
const TURN: Duration = Duration::from_millis(100);
/// The pause after a walk is this many times as long as the walk ...
const PAUSE_TIMES: u32 = 20;
/// ... and between these.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How often the hot volumes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Bytes moved off a draining volume in one turn.
const DRAIN_BYTES: u64 = 64 << 20;
/// Uploads that nobody knows are aborted when they began this long ago: younger ones may belong to another archive
/// under the same prefix that is just starting.
const STRAY_AFTER_MS: u64 = 86_400_000;

/// What the last complete walk counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Walked {
    pub(crate) tally: Tally,
    /// Packs a policy decided about, by its name.
    pub(crate) policies: BTreeMap<String, u64>,
    /// When it ended, milliseconds since 1970 UTC; 0 before the first.
    pub(crate) at: u64,
}

/// A walk under way.
struct Walk {
    after: Option<PackId>,
    counted: Walked,
    began: Instant,
    worked: Duration,
    next_at: Instant,
    looked: Option<Instant>,
    swept: bool,
    probed: bool,
}

/// Starts the thread that walks.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let now = Instant::now();
    let mut walk = Walk {
        after: None,
        counted: Walked::default(),
        began: now,
        worked: Duration::ZERO,
        next_at: now,
        looked: None,
        swept: false,
        probed: false,
    };
    worker::every(archive, "tiers", move |archive| {
        if archive.health().reason().is_none() {
            walk.turn(archive);
        }
    })
}

impl Walk {
    fn turn(&mut self, archive: &Arc<Archive>) {
        self.look(archive);
        if !self.swept {
            self.swept = true;
            match archive.sweep_released() {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "hot files that a stop had left are removed"),
                Err(error) => tracing::warn!(%error, "the hot volumes cannot be swept"),
            }
        }
        self.greet(archive.tiers(), archive.now_ms());
        let turned = self.fresh(archive).and_then(|()| self.walk(archive));
        if let Err(error) = turned {
            tracing::warn!(%error, "packs cannot be looked up; trying again");
        }
        if !archive.tiers().weather.rests()
            && !archive.stopping().load(Ordering::Relaxed)
            && let Err(error) = archive.tend_catalogues()
        {
            tracing::warn!(%error, "catalogues cannot be tended now; trying again");
        }
        archive.tiers().reads.save(false);
        archive.tiers().holds.save(false);
        archive.tiers().by_hand.save(false);
    }

    /// Looks at the hot volumes and moves some packs off one that is drained.
    fn look(&mut self, archive: &Archive) {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            for volume in archive.packs().hot().look() {
                tracing::warn!(volume = %volume.dir.display(), state = ?volume.state, "a hot volume takes no packs");
            }
        }
        let volumes = archive.packs().hot().volumes();
        let gone = volumes.iter().any(|volume| volume.state == VolumeState::Gone);
        archive.tiers().volume_gone.store(gone, Ordering::Relaxed);
        for volume in volumes.iter().filter(|volume| volume.state == VolumeState::Draining) {
            match archive.packs().hot().drain_some(&volume.dir, DRAIN_BYTES) {
                Ok(moved) if moved.packs > 0 => {
                    tracing::info!(volume = %volume.dir.display(), packs = moved.packs, empty = moved.empty, "drained");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(volume = %volume.dir.display(), %error, "a volume cannot be drained now"),
            }
        }
    }

    /// The first time the bucket answers, it is asked what it can do, and uploads that nobody knows are aborted.
    fn greet(&mut self, tiers: &Tiers, now_ms: u64) {
        let Some(cloud) = tiers.cloud.as_ref().filter(|_| !self.probed && !tiers.weather.rests()) else { return };
        // With `worm` it was asked before the start.
        let greeted = match cloud.options().worm {
            true => Ok(()),
            false => cloud.probe().map(drop),
        };
        match greeted.and_then(|()| cloud.sweep_uploads(now_ms.saturating_sub(STRAY_AFTER_MS))) {
            Ok(aborted) => {
                self.probed = true;
                tiers.weather.answered();
                if aborted > 0 {
                    tracing::info!(aborted, "uploads that nobody knows are aborted");
                }
            }
            Err(error) if tiers.weather.failed(&error, now_ms) => {}
            Err(error) => {
                self.probed = true;
                tracing::warn!(%error, "the bucket does not say what it can do");
            }
        }
    }

    /// Packs that were just written.
    fn fresh(&mut self, archive: &Arc<Archive>) -> Result<(), TierError> {
        loop {
            let next: Vec<PackId> = {
                let mut fresh = archive.tiers().fresh.lock();
                let count = fresh.len().min(PAGE);
                fresh.drain(..count).collect()
            };
            if next.is_empty() || archive.stopping().load(Ordering::Relaxed) {
                return Ok(());
            }
            let mut due = Vec::new();
            for pack in next {
                if let Some(row) = archive.index().pack(pack)? {
                    // It is counted by the walk.
                    due.extend(archive.tier_look(&row, &mut Walked::default())?);
                }
            }
            archive.tier_move(due, &mut Walked::default())?;
        }
    }

    fn walk(&mut self, archive: &Arc<Archive>) -> Result<(), TierError> {
        let hurried = archive.tiers().hurried.swap(false, Ordering::Relaxed);
        if hurried {
            self.next_at = Instant::now();
        }
        if Instant::now() < self.next_at {
            return Ok(());
        }
        let turn = Instant::now();
        if self.after.is_none() {
            (self.counted, self.began, self.worked) = (Walked::default(), turn, Duration::ZERO);
        }
        while turn.elapsed() < TURN && !archive.stopping().load(Ordering::Relaxed) {
            let page = archive.index().packs(self.after, PAGE)?;
            if archive.stopping().load(Ordering::Relaxed) {
                return Ok(());
            }
            let (began, mut due) = (Instant::now(), Vec::new());
            for row in &page {
                due.extend(archive.tier_look(row, &mut self.counted)?);
            }
            // What moves bytes is worth its time; only looking is bounded.
            self.worked += began.elapsed();
            archive.tier_move(due, &mut self.counted)?;
            if archive.stopping().load(Ordering::Relaxed) {
                return Ok(());
            }
            self.after = page.last().map(|row| row.pack);
            if page.len() < PAGE {
                self.end(archive);
                return Ok(());
            }
        }
        Ok(())
    }

    fn end(&mut self, archive: &Archive) {
        self.after = None;
        self.next_at = Instant::now() + self.worked.saturating_mul(PAUSE_TIMES).clamp(PAUSE_MIN, PAUSE_MAX);
        self.counted.at = archive.now_ms();
        archive.tiers().by_hand.forget_before(self.counted.at);
        *archive.tiers().walked.lock() = std::mem::take(&mut self.counted);
    }
}

impl Archive {
    /// What the policies say of a pack.
    pub(super) fn tier_decision(&self, row: &PackRow) -> Result<(Action, Option<String>), TierError> {
        let tiers = self.tiers();
        // Only what is hot can move; nothing more need be looked up.
        if !row.hot || tiers.cloud.is_none() {
            return Ok((Action::Nothing, None));
        }
        let series = self.index().series(&row.series)?;
        let facts = tiers.facts(row, series.as_ref(), self.now_ms());
        let action = match tiers.policies.decide(&facts) {
            Action::Release if self.stays_for_somebody(row.pack) => Action::Nothing,
            Action::CopyThenRelease if self.stays_for_somebody(row.pack) => Action::Copy,
            action => action,
        };
        Ok((action, tiers.policies.row(&facts).map(|row| row.name.clone())))
    }

    /// Counts every pack as it lies now, with what is due; nothing is moved.
    pub(super) fn count_packs(&self) -> Result<Walked, TierError> {
        let (mut counted, mut after) = (Walked::default(), None);
        loop {
            let page = self.index().packs(after, PAGE)?;
            for row in &page {
                let (action, policy) = self.tier_decision(row)?;
                if let Some(name) = policy {
                    *counted.policies.entry(name).or_insert(0) += 1;
                }
                self.tier_count(row, action, &mut counted);
            }
            after = page.last().map(|row| row.pack);
            if page.len() < PAGE {
                counted.at = self.now_ms();
                return Ok(counted);
            }
        }
    }

    /// Looks at one pack: counts it when nothing is due, else gives it back.
    fn tier_look(&self, row: &PackRow, counted: &mut Walked) -> Result<Option<PackRow>, TierError> {
        let (action, policy) = self.tier_decision(row)?;
        if let Some(name) = policy {
            *counted.policies.entry(name).or_insert(0) += 1;
        }
        if action != Action::Nothing {
            return Ok(Some(row.clone()));
        }
        self.tier_count(row, action, counted);
        Ok(None)
    }

    fn tier_count(&self, row: &PackRow, due: Action, counted: &mut Walked) {
        counted.tally.count(row, due, self.tiers().wishes.is_restoring(row.pack));
    }

    /// Does what is due for some packs, several at a time, and counts them as they are then. The packs of one series
    /// stay together, one after the other: they may be merged.
    fn tier_move(self: &Arc<Self>, due: Vec<PackRow>, counted: &mut Walked) -> Result<(), TierError> {
        let mut series: BTreeMap<SeriesKey, Vec<PackRow>> = BTreeMap::new();
        for row in due {
            series.entry(row.series.clone()).or_default().push(row);
        }
        let at_once = self.tiers().cloud.as_ref().map_or(1, |cloud| cloud.options().uploads);
        let goes_on = || !self.stopping().load(Ordering::Relaxed);
        let (ended, done) = side_by_side(at_once, series.into_values(), goes_on, |row| self.tier_step(&row));
        for (row, action) in ended.into_iter().flatten() {
            self.tier_count(&row, action, counted);
        }
        done
    }

    /// Does what is due for one pack; gives it as it is then, with what is still due, or nothing when it is no more.
    fn tier_step(self: &Arc<Self>, row: &PackRow) -> Result<Option<(PackRow, Action)>, TierError> {
        // The page may be old by now: packs are merged, and what stood before this one may have taken hours.
        let Some(now) = self.index().pack(row.pack)? else { return Ok(None) };
        let (action, _) = self.tier_decision(&now)?;
        if !self.tier_act(&now, action) {
            return Ok(Some((now, action)));
        }
        Ok(self.index().pack(row.pack)?.map(|row| (row, Action::Nothing)))
    }

    /// Whether the pack went into one with the other parts of its series.
    fn merged(self: &Arc<Self>, row: &PackRow) -> bool {
        match packing::merge(self, &row.series) {
            Ok(merged) => merged && matches!(self.index().pack(row.pack), Ok(None)),
            Err(error) => {
                tracing::warn!(pack = %row.pack, %error, "the parts of a series are not merged; they are copied as they are");
                false
            }
        }
    }

    fn tier_act(self: &Arc<Self>, row: &PackRow, action: Action) -> bool {
        let tiers = self.tiers();
        if action == Action::Nothing || tiers.failing.rests(row.pack) || tiers.weather.rests() {
            return false;
        }
        if row.cold.is_none() && self.merged(row) {
            // What took its place is newly written and comes next.
            return true;
        }
        let (what, acted) = match (action, &row.cold) {
            (Action::Copy, _) => ("copy", self.tier_copy(row).map(drop)),
            (Action::Release, Some(copy)) => ("release", self.tier_release(row, copy)),
            (Action::CopyThenRelease, _) => {
                ("copy", self.tier_copy(row).and_then(|copy| self.tier_release(row, &copy)))
            }
            _ => return false,
        };
        match acted {
            Ok(()) => {
                tiers.failing.done(row.pack);
                true
            }
            Err(error) => {
                tiers.failed(row.pack, what, &error, self.now_ms());
                false
            }
        }
    }
}

/// Does work for groups of things, `at_once` groups at a time while `goes_on`; those of one group one after the other.
/// Gives what came of each, and the first failure: the thread that met it ends, the others go on.
fn side_by_side<T: Send, R: Send>(
    at_once: usize,
    groups: impl ExactSizeIterator<Item = Vec<T>> + Send,
    goes_on: impl Fn() -> bool + Sync,
    work: impl Fn(T) -> Result<R, TierError> + Sync,
) -> (Vec<R>, Result<(), TierError>) {
    let workers = at_once.clamp(1, groups.len().max(1));
    let (waiting, ended) = (Mutex::new(groups), Mutex::new(Vec::new()));
    let turns = || {
        loop {
            let Some(group) = waiting.lock().next() else { return Ok(()) };
            for one in group {
                if !goes_on() {
                    return Ok(());
                }
                // Not in one expression with the lock: it would be held while the others wait to work.
                let result = work(one)?;
                ended.lock().push(result);
            }
        }
    };
    let done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(turns)).collect();
        let own = turns();
        let died = |_| Err(TierError::Refused { what: "a thread that moves packs died".into() });
        others.into_iter().map(|other| other.join().unwrap_or_else(died)).fold(own, Result::and)
    });
    (ended.into_inner(), done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Condvar;

    /// Works on groups; each thing waits until `together` of them are under way, or long enough to show that they
    /// never are. Gives how many were at most.
    fn most_at_once(at_once: usize, groups: Vec<Vec<u32>>, together: usize) -> usize {
        let (under_way, came) = (Mutex::new((0usize, 0usize)), Condvar::new());
        let limit = Instant::now() + Duration::from_secs(10);
        let (ended, done) = side_by_side(
            at_once,
            groups.clone().into_iter(),
            || true,
            |one| {
                let mut now = under_way.lock();
                now.0 += 1;
                now.1 = now.1.max(now.0);
                came.notify_all();
                while now.1 < together && !came.wait_until(&mut now, limit).timed_out() {}
                now.0 -= 1;
                Ok(one)
            },
        );
        done.expect("worked");
        let (mut ended, mut all) = (ended, groups.concat());
        ended.sort_unstable();
        all.sort_unstable();
        assert_eq!(ended, all, "each once");
        under_way.into_inner().1
    }

    #[test]
    fn several_groups_are_worked_on_at_once_and_one_group_in_turn() {
        assert_eq!(most_at_once(3, vec![vec![1], vec![2, 3], vec![4], vec![5]], 3), 3);
        assert_eq!(most_at_once(3, vec![vec![1, 2, 3, 4]], 1), 1);
        assert_eq!(most_at_once(1, vec![vec![1], vec![2]], 1), 1);
    }

    #[test]
    fn a_failure_is_told_and_the_other_groups_are_worked_on() {
        let failing = |one: u32| match one {
            1 => Err(TierError::Refused { what: "one".into() }),
            other => Ok(other),
        };
        let groups = vec![vec![1, 9], vec![2], vec![3]];
        let (mut ended, done) = side_by_side(2, groups.into_iter(), || true, failing);
        ended.sort_unstable();
        assert!(done.is_err() && ended == [2, 3], "{ended:?}");
    }
}
