//! What goes by itself: steps that ended long ago, events nobody takes, and the space of both.
//!
//! A step under a deletion lock stays longer, not for ever: a subscriber that is gone would keep it for good.

use super::record::{Noted, UpsRecord};
use super::state::{Step, Subscriber};
use super::{EVENT_KEPT_MS, KEPT_MS, LOCKED_MS, SEGMENT_BYTES, Ups, UpsError, bloom};
use crate::error::OpenError;
use crate::open::Archive;
use crate::seal::Lock;
use crate::worker;
use model::{AeTitle, FacilityCode, Lsn, PackId, Uid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pace of the sweep.
const PACE: Duration = Duration::from_secs(30);
/// Segments beyond those the steps fill before the oldest is released.
const SPARE: u64 = 3;

/// How long the data set of a forgotten step may still lie in the journal.
const ERASED_MS: u64 = 24 * 3600 * 1000;

/// Starts the sweep.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let mut due = Instant::now();
    worker::every(archive, "steps", move |archive| {
        // A backup copies segments: they stay meanwhile.
        let Some(_still) = archive.rewriting().try_read() else { return };
        if Instant::now() < due {
            return;
        }
        due = Instant::now() + PACE;
        if let Err(error) = archive.ups.sweep() {
            tracing::warn!(%error, "procedure steps cannot be swept, again later");
        }
    })
}

impl Ups {
    /// One round.
    pub(crate) fn sweep(&self) -> Result<(), UpsError> {
        for (facility, uid) in self.outlived()? {
            let _change = self.change.lock();
            self.append(UpsRecord::Gone { facility, uid }, None, false)?;
        }
        for (facility, title, through) in self.stale() {
            tracing::warn!(%facility, %title, "events of procedure steps were not taken in time and are dropped");
            let _change = self.change.lock();
            self.append(UpsRecord::Taken { facility, title, through }, None, false)?;
        }
        self.state.write().try_again();
        self.end_lost_filters()?;
        self.destroy_keys()?;
        self.shrink()?;
        self.erase()
    }

    /// Steps that ended and are kept by nothing any more.
    fn outlived(&self) -> Result<Vec<(FacilityCode, Uid)>, UpsError> {
        let now = self.now_ms();
        let age = |step: &Step| now.saturating_sub(step.at);
        let ended: Vec<(FacilityCode, Uid, Step)> = {
            let state = self.state.read();
            let all = state.shelves.iter().flat_map(|(facility, shelf)| {
                let ended = shelf.steps.iter().filter(|(_, step)| step.state.is_final() && age(step) > KEPT_MS);
                ended.map(|(uid, step)| (*facility, uid.clone(), step.clone()))
            });
            all.collect()
        };
        let mut out = Vec::new();
        for (facility, uid, step) in ended {
            if age(&step) > LOCKED_MS || !self.is_locked(facility, &uid, &step)? {
                out.push((facility, uid));
            }
        }
        Ok(out)
    }

    fn is_locked(&self, facility: FacilityCode, uid: &Uid, step: &Step) -> Result<bool, UpsError> {
        let filtered = {
            let state = self.state.read();
            let Some(shelf) = state.shelves.get(&facility) else { return Ok(false) };
            let locks = |one: &Subscriber| one.may_lock() || one.follows(uid, step.created, &[]) == Some(true);
            if shelf.subscribers.values().any(locks) {
                return Ok(true);
            }
            shelf.subscribers.values().any(Subscriber::has_filter)
        };
        if !filtered {
            return Ok(false);
        }
        let document = match self.read(facility, step) {
            // Its key went with a study.
            Err(UpsError::Unknown) => return Ok(false),
            // A step that cannot be opened costs itself, not the sweep: it waits.
            Err(error) => {
                tracing::warn!(%facility, %uid, %error, "a procedure step cannot be read");
                return Ok(true);
            }
            Ok(document) => document,
        };
        let state = self.state.read();
        let Some(shelf) = state.shelves.get(&facility) else { return Ok(false) };
        Ok(shelf.subscribers.values().any(|one| one.follows(uid, step.created, &[&document]) == Some(true)))
    }

    /// Subscribers whose oldest events have waited too long, and up to which they go.
    fn stale(&self) -> Vec<(FacilityCode, AeTitle, u64)> {
        let now = self.now_ms();
        let state = self.state.read();
        let mut out = Vec::new();
        for (facility, shelf) in &state.shelves {
            for (title, subscriber) in &shelf.subscribers {
                let old = subscriber.queue.iter().take_while(|one| now.saturating_sub(one.event.at) > EVENT_KEPT_MS);
                if let Some(last) = old.last() {
                    out.push((*facility, title.clone(), last.event.seq));
                }
            }
        }
        out
    }

    /// Releases the oldest segments while far more are in use than what still counts fills.
    fn shrink(&self) -> Result<(), UpsError> {
        let unavailable = |error: store::StoreError| UpsError::Unavailable(error.to_string());
        loop {
            let segments = self.journal.segments();
            let live = self.state.read().live / SEGMENT_BYTES;
            let (Some(oldest), Some(next)) = (segments.first(), segments.get(1)) else { return Ok(()) };
            let count = u64::try_from(segments.len()).unwrap_or(u64::MAX);
            if oldest.active || count <= live.saturating_mul(2).saturating_add(SPARE) {
                return Ok(());
            }
            let _change = self.change.lock();
            self.move_below(next.first_lsn)?;
            self.journal.sync().map_err(unavailable)?;
            self.journal.release_cleanly(oldest.number).map_err(unavailable)?;
        }
    }

    /// Releases every segment in which a forgotten step may lie: names of patients do not outlive their step. Once a day,
    /// since what still counts is recorded again.
    fn erase(&self) -> Result<(), UpsError> {
        let unavailable = |error: store::StoreError| UpsError::Unavailable(error.to_string());
        let now = self.now_ms();
        let Some(through) = self.state.read().gone else { return Ok(()) };
        if now.saturating_sub(self.erased.load(Ordering::Relaxed)) < ERASED_MS {
            return Ok(());
        }
        let _change = self.change.lock();
        if self.journal.segments().last().is_some_and(|active| active.first_lsn <= through) {
            self.journal.rotate().map_err(unavailable)?;
        }
        let segments = self.journal.segments();
        if let Some(bound) = segments.iter().map(|segment| segment.first_lsn).find(|first| *first > through) {
            self.move_below(bound)?;
            self.journal.sync().map_err(unavailable)?;
            for old in segments.iter().filter(|segment| segment.first_lsn < bound) {
                self.journal.release_cleanly(old.number).map_err(unavailable)?;
            }
            let mut state = self.state.write();
            state.gone = state.gone.filter(|newer| *newer > through);
        }
        self.erased.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// Records again what still counts of everything below a number. The caller holds `change`.
    pub(super) fn move_below(&self, bound: Lsn) -> Result<(), UpsError> {
        let (steps, others) = self.below(bound);
        for (facility, uid, step) in steps {
            match step.seal {
                // Its key went with a study.
                Some(seal) if self.opens(seal)? == Lock::Destroyed => {
                    self.append(UpsRecord::Gone { facility, uid }, None, false)?;
                }
                // As it lies: moving needs no key.
                Some(seal) => {
                    let lies = self.lying(&step)?;
                    self.record_again(facility, &uid, &step, seal, lies)?;
                }
                None => {
                    self.seal_of(facility, &uid, &step)?;
                }
            }
        }
        others.into_iter().try_for_each(|record| self.append(self.sealed_again(record)?, None, false))
    }

    /// The data set of a step as it lies in the journal.
    pub(super) fn lying(&self, step: &Step) -> Result<Vec<u8>, UpsError> {
        let lies = self.journal.read(&step.place, 0..step.place.body_len);
        lies.map_err(|error| UpsError::Unavailable(error.to_string()))
    }

    /// Records a step again as it is, under a key and with the body that lies under it.
    pub(super) fn record_again(
        &self,
        facility: FacilityCode,
        uid: &Uid,
        step: &Step,
        seal: PackId,
        body: Vec<u8>,
    ) -> Result<(), UpsError> {
        let Step { created, at, state, transaction, start, marks, .. } = step.clone();
        let (uid, events, marks, seal) = (uid.clone(), Vec::new(), bloom::halves(marks), Some(seal));
        let record = UpsRecord::Step { facility, uid, created, at, state, transaction, start, marks, seal, events };
        self.append(record, Some(body), false)
    }

    fn below(&self, bound: Lsn) -> (Vec<(FacilityCode, Uid, Step)>, Vec<UpsRecord>) {
        let state = self.state.read();
        let (mut steps, mut others) = (Vec::new(), Vec::new());
        let mut events = BTreeMap::new();
        for (facility, shelf) in &state.shelves {
            let facility = *facility;
            let old = shelf.steps.iter().filter(|(_, step)| step.lsn < bound);
            steps.extend(old.map(|(uid, step)| (facility, uid.clone(), step.clone())));
            for (title, subscriber) in &shelf.subscribers {
                let (title, none) = (title.clone(), Vec::new);
                if let Some((global, _)) = subscriber.global.as_ref().filter(|(_, lsn)| *lsn < bound) {
                    let (title, global) = (title.clone(), Some(global.clone()));
                    others.push(UpsRecord::Global { facility, title, global, clears: false, events: none() });
                }
                for (uid, (lock, _)) in subscriber.single.iter().filter(|(_, (_, lsn))| *lsn < bound) {
                    let (title, uid, lock) = (title.clone(), uid.clone(), *lock);
                    others.push(UpsRecord::Single { facility, title, uid, lock, events: none() });
                }
                for waiting in subscriber.queue.iter().filter(|waiting| waiting.lsn < bound) {
                    let of = || Noted { to: Vec::new(), ..(*waiting.event).clone() };
                    events.entry(waiting.event.seq).or_insert_with(of).to.push(title.clone());
                }
            }
        }
        others.extend(events.into_values().map(|event| UpsRecord::Events { events: vec![event] }));
        (steps, others)
    }
}
