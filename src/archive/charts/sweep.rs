//! What goes by itself: old messages, and segments of which little counts any more.
//!
//! A segment whose records are all older than messages are kept is released: the rows in it that still stand are
//! recorded again first. So no message, and no earlier state of a row, lies in the journal much longer than that.

use super::journal::{self, Parts, Row, unavailable};
use super::reads::Forgetting;
use super::writing::Whose;
use super::{ChartError, Charts};
use crate::error::OpenError;
use crate::open::Archive;
use crate::worker;
use index::charts::{ChartDriver, ChartEntry, ChartQuery};
use model::chart::{ChartKey, ChartKind, ChartRow, Term};
use model::{FacilityCode, Lsn};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::{Replayed, SegmentInfo};

/// Pace of the sweep.
const PACE: Duration = Duration::from_secs(30);
/// The view is flushed so often, so that a start has little to apply.
const FLUSH: Duration = Duration::from_secs(300);
/// The files of the view are rewritten at most so often.
const PURGE: Duration = Duration::from_secs(24 * 3600);
/// Rows that go, or are recorded again, in one record: others wait meanwhile.
const ROUND: usize = 32;
/// A clock that is so far from where it should be ...
const JUMP_MS: u64 = 24 * 3600 * 1000;
/// ... decides nothing until it has stood by it for so long.
const TRUSTED_AFTER: Duration = Duration::from_secs(3600);

/// What a sweep came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Messages that are gone.
    pub(super) messages: u64,
    /// Deliveries, and lines of the feed, that are gone.
    pub(super) deliveries: u64,
    /// Segments that are released.
    pub(super) segments: u64,
}

/// Starts the thread of charts: parked messages, old messages, old segments, the flush of the view.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let (mut due, mut flush, mut purge) = (Instant::now(), Instant::now(), Instant::now());
    let (mut gone, mut trust) = (false, Trust::new(archive.charts.newest_at().unwrap_or(0)));
    let mut reads = Forgetting::new();
    worker::every(archive, "charts", move |archive| {
        if archive.charts.broken().is_some() {
            return;
        }
        archive.charts.try_parked();
        archive.charts.follow_persons();
        if let Err(error) = archive.charts.bury_orphans() {
            tracing::warn!(%error, "what waits for a removed subscription cannot be ended, again later");
        }
        // A backup copies segments: they stay meanwhile.
        let Some(_still) = archive.rewriting().try_read() else { return };
        if Instant::now() < due {
            return;
        }
        due = Instant::now() + PACE;
        if trust.holds(Instant::now(), archive.now_ms()) {
            match archive.charts.sweep() {
                Ok(swept) => gone |= swept.messages > 0 || swept.deliveries > 0,
                Err(error) => tracing::warn!(%error, "charts cannot be swept, again later"),
            }
            match archive.forget_reads(&mut reads) {
                Ok(count) => gone |= count > 0,
                Err(error) => tracing::warn!(%error, "old reads cannot be removed, again later"),
            }
        }
        if gone && Instant::now() >= purge {
            (gone, purge) = (false, Instant::now() + PURGE);
            if let Err(error) = archive.charts.view.purge() {
                tracing::warn!(%error, "old messages cannot be taken out of the index of charts, again later");
                gone = true;
            }
        }
        if Instant::now() >= flush {
            flush = Instant::now() + FLUSH;
            if let Err(error) = archive.charts.flush() {
                tracing::warn!(%error, "the index of charts cannot be flushed, again later");
            }
        }
    })
}

/// Whether the clock may decide what is old: one that jumps, or differs from the newest record at the start, is watched
/// first. An archive that was off for days sweeps an hour later.
#[derive(Debug)]
pub(super) struct Trust {
    /// What the clock showed, and when.
    before: (Option<Instant>, u64),
    watched: Option<Instant>,
}

impl Trust {
    pub(super) const fn new(newest: u64) -> Self {
        Self { before: (None, newest), watched: None }
    }

    pub(super) fn holds(&mut self, at: Instant, clock: u64) -> bool {
        let (then, showed) = self.before;
        let gone = then.map_or(0, |then| u64::try_from(at.duration_since(then).as_millis()).unwrap_or(u64::MAX));
        if clock.abs_diff(showed.saturating_add(gone)) > JUMP_MS {
            tracing::warn!(
                "the clock is not where it should be: old messages stay until it has stood by it for an hour"
            );
            self.watched = Some(at);
        }
        self.before = (Some(at), clock);
        if self.watched.is_some_and(|since| at.duration_since(since) < TRUSTED_AFTER) {
            return false;
        }
        self.watched = None;
        true
    }
}

impl Charts {
    /// When the newest record was made; none where there is none.
    fn newest_at(&self) -> Option<u64> {
        self.recorded_at(self.journal.last()).ok().flatten()
    }

    /// One round.
    pub(super) fn sweep(&self) -> Result<Swept, ChartError> {
        let kept = u64::try_from(self.options.messages.as_millis()).unwrap_or(u64::MAX);
        let bound = self.now_ms().saturating_sub(kept);
        let messages = self.forget_messages(bound)?;
        let deliveries = self.forget_deliveries(bound)?;
        self.begin_segment(self.now_ms().saturating_sub(kept / 4))?;
        let segments = self.release(bound)?;
        if messages > 0 || segments > 0 {
            tracing::info!(messages, segments, "old messages and segments of charts are released");
        }
        Ok(Swept { messages, deliveries, segments })
    }

    /// Removes messages that came before a moment.
    fn forget_messages(&self, bound: u64) -> Result<u64, ChartError> {
        let query = ChartQuery {
            kind: ChartKind::Message,
            facilities: None,
            driver: ChartDriver::Equal(Term::Any, String::new()),
            moments: Some((0, bound.saturating_sub(1))),
            years: None,
        };
        let (mut count, mut after) = (0u64, None);
        loop {
            let page = self.long_page(&query, after, ROUND)?;
            let mut old = BTreeMap::<FacilityCode, Vec<ChartKey>>::new();
            for row in page.rows {
                old.entry(row.key.facility).or_default().push(row.key);
            }
            for (facility, keys) in old {
                count = count.saturating_add(u64::try_from(keys.len()).unwrap_or(u64::MAX));
                self.write_as(Whose::Own, facility, |writing| {
                    keys.iter().try_for_each(|key| writing.remove(key.kind, &key.id))
                })?;
            }
            after = page.cursor;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Begins a new segment when the present one is old, however little came in: with a segment goes all that is in it.
    fn begin_segment(&self, bound: u64) -> Result<(), ChartError> {
        let first = self.journal.segments().last().map(|active| active.first_lsn);
        if let Some(first) = first
            && self.recorded_at(first)?.is_some_and(|at| at < bound)
        {
            self.journal.rotate().map_err(unavailable)?;
        }
        Ok(())
    }

    /// Releases the oldest segment, if every record of it was made before a moment. One at a time: a backup waits meanwhile.
    fn release(&self, bound: u64) -> Result<u64, ChartError> {
        let segments = self.journal.segments();
        let (Some(oldest), Some(next)) = (segments.first(), segments.get(1)) else { return Ok(0) };
        if oldest.active || self.recorded_at(next.first_lsn)?.is_none_or(|at| at >= bound) {
            return Ok(0);
        }
        self.move_out(oldest, next.first_lsn)?;
        // What the view has not seen of it durably could not be told to it again.
        self.flush().map_err(unavailable)?;
        self.journal.release_cleanly(oldest.number).map_err(unavailable)?;
        Ok(1)
    }

    /// When a record was made; none where there is none yet.
    fn recorded_at(&self, lsn: Lsn) -> Result<Option<u64>, ChartError> {
        let mut found = None;
        let mut look = |replayed: Replayed<'_>| -> Result<(), OpenError> {
            found = Some(journal::head(replayed.lsn, replayed.head)?.at);
            Ok(())
        };
        self.journal.replay_until(lsn, lsn.saturating_add(1), &mut look).map_err(unavailable)?;
        Ok(found)
    }

    /// Records again what still stands of a segment, durable on return.
    fn move_out(&self, segment: &SegmentInfo, until: Lsn) -> Result<(), ChartError> {
        let mut standing: BTreeMap<FacilityCode, BTreeSet<(ChartKey, Lsn)>> = BTreeMap::new();
        let mut look = |replayed: Replayed<'_>| -> Result<(), OpenError> {
            let lsn = replayed.lsn;
            let read = journal::read(&self.journal, &self.keys, &replayed)?;
            for entry in read.entries {
                let ChartEntry::Put(row) = entry else { continue };
                if self.view.row(&row.key)?.is_some_and(|now| now.lsn == lsn) {
                    standing.entry(read.facility).or_default().insert((row.key, lsn));
                }
            }
            Ok(())
        };
        self.journal.replay_until(segment.first_lsn, until, &mut look).map_err(unavailable)?;
        for (facility, keys) in standing {
            let keys: Vec<(ChartKey, Lsn)> = keys.into_iter().collect();
            keys.chunks(ROUND).try_for_each(|some| self.record_some(facility, some))?;
        }
        Ok(())
    }

    /// Records rows again, in as many records as they need.
    fn record_some(&self, facility: FacilityCode, keys: &[(ChartKey, Lsn)]) -> Result<(), ChartError> {
        match self.record_again(facility, keys) {
            Err(ChartError::Limit(_)) if keys.len() > 1 => {
                let (some, others) = keys.split_at(keys.len() / 2);
                self.record_some(facility, some)?;
                self.record_some(facility, others)
            }
            answer => answer,
        }
    }

    /// Records rows again as they are, if they are still those of these records.
    fn record_again(&self, facility: FacilityCode, keys: &[(ChartKey, Lsn)]) -> Result<(), ChartError> {
        // Their keys are at hand before others have to wait.
        for (key, _) in keys {
            if let Some(seal) = self.newest(key)?.and_then(|row| row.seal) {
                self.keys.get(seal).map_err(unavailable)?;
            }
        }
        let through = {
            let _change = self.change.lock();
            let mut parts = Parts::new();
            for (key, lsn) in keys {
                let Some(row) = self.newest(key)?.filter(|row| row.lsn == *lsn) else { continue };
                let ChartRow { key, created, seal, body, .. } = (*row).clone();
                let Some(seal) = seal else { continue };
                let row = Row { kind: key.kind, id: key.id, created: Some(created), body: Some(body) };
                parts.entry(seal).or_default().push(row);
            }
            self.record(facility, parts, Whose::Own)?
        };
        self.settle(through)
    }
}
