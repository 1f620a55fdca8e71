//! Object Lock follows the rules: when class, rules, late instances or a hold ask a study to be kept longer than its
//! copies are locked, the locks are lengthened, and legal holds laid and taken away.
//!
//! A walk over all packs compares what the index knows of each lock with what the rules ask now. What the bucket shows
//! afterwards is recorded, so a walk that broke off, anywhere, does again only what was not recorded; where it was is
//! noted in `locks.json`. Studies that a fact names are looked at before their turn.
//! Deliberately not here: how long a study is kept ([`crate::retain`]), and any shortening: there is none.

use super::cloud::{Cloud, Keep};
use super::moves::no_cloud;
use super::status::Lying;
use crate::error::{OpenError, TierError};
use crate::open::Archive;
use crate::retain::Kept;
use crate::worker;
use index::{PackRow, StudyKey};
use model::PackId;
use model::pack::{ColdCopy, PackFact};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packs taken from the index at once.
const PAGE: usize = 256;
/// Longest turn of the walk, but for a study that is under way.
const TURN: Duration = Duration::from_millis(100);
/// The pause after a walk is this many times as long as the walk ...
const PAUSE_TIMES: u32 = 20;
/// ... and between these.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How often it is noted where the walk is.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// Studies that wait to be looked at before their turn; beyond it everything is walked instead.
const NAMED_MAX: usize = 65_536;
/// Where the walk is, in the data directory.
const NAME: &str = "locks.json";

/// What Object Lock keeps, as the last complete walk counted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LockTally {
    /// Copies with a retention.
    pub locked: Lying,
    /// Copies under a legal hold.
    pub held: Lying,
    /// Copies whose lock was lengthened or whose hold was changed.
    pub changed: Lying,
    /// Copies whose lock is shorter than the rules ask, or whose hold is not as it should be: it could not be mended.
    pub short: Lying,
    /// When the walk ended, milliseconds since 1970 UTC; 0 before the first.
    pub counted: u64,
}

/// What waits to be looked at.
#[derive(Default)]
pub(crate) struct Locks {
    named: Mutex<VecDeque<StudyKey>>,
    again: AtomicBool,
    walked: Mutex<LockTally>,
}

impl Locks {
    /// Studies that may have to be kept longer, or not be held any more.
    pub(crate) fn named(&self, studies: impl IntoIterator<Item = StudyKey>) {
        let mut named = self.named.lock();
        for study in studies {
            if named.len() >= NAMED_MAX {
                self.again();
                return;
            }
            if named.back() != Some(&study) {
                named.push_back(study);
            }
        }
    }

    /// The study that is looked at next. It waits no more: whoever names it while it is looked at has it looked at
    /// once more, by what is true then.
    fn take(&self) -> Option<StudyKey> {
        self.named.lock().pop_front()
    }

    /// A study that was taken and could not be looked at.
    fn again_first(&self, study: StudyKey) {
        self.named.lock().push_front(study);
    }

    /// Any study may have to: a walk over all begins at once.
    pub(crate) fn again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    /// What the last walk counted.
    pub(super) fn tally(&self) -> LockTally {
        *self.walked.lock()
    }

    /// Studies that wait.
    pub(super) fn waiting(&self) -> usize {
        self.named.lock().len()
    }
}

/// Where the walk is, in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    after: Option<PackId>,
}

impl Noted {
    /// What the file says; the front when there is none that can be read.
    fn read(data: &Path) -> Self {
        serde_json::from_slice(&fs::read(data.join(NAME)).unwrap_or_default()).unwrap_or_default()
    }

    fn write(&self, data: &Path) -> io::Result<()> {
        let new = data.join(format!("{NAME}.new"));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, data.join(NAME))
    }
}

/// A walk under way.
struct Walk {
    after: Option<PackId>,
    counted: LockTally,
    worked: Duration,
    next_at: Instant,
    noted_at: Instant,
    /// The study asked about last: packs of one study often stand together.
    last: Option<(StudyKey, Kept)>,
}

/// Starts the thread that lets locks follow, where there are any.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let now = Instant::now();
    let mut walk = Walk {
        after: Noted::read(&archive.options().data).after,
        counted: LockTally::default(),
        worked: Duration::ZERO,
        next_at: now,
        noted_at: now,
        last: None,
    };
    worker::every(archive, "locks", move |archive| {
        let worm = archive.tiers().cloud().is_some_and(|cloud| cloud.options().worm);
        if !worm || archive.health().reason().is_some() || archive.tiers().weather.rests() {
            return;
        }
        if let Err(error) = walk.named(archive).and_then(|()| walk.turn(archive)) {
            tracing::warn!(%error, "locks cannot be compared with the rules; trying again");
        }
    })
}

impl Walk {
    /// Studies before their turn.
    fn named(&mut self, archive: &Archive) -> Result<(), TierError> {
        loop {
            if archive.stopping().load(Ordering::Relaxed) || archive.tiers().weather.rests() {
                return Ok(());
            }
            let locks = &archive.tiers().locks;
            let Some(study) = locks.take() else { return Ok(()) };
            let looked = self.look(archive, &study);
            if looked.is_err() || archive.tiers().weather.rests() {
                locks.again_first(study);
                return looked;
            }
        }
    }

    /// Looks at every copy of a study.
    fn look(&mut self, archive: &Archive, study: &StudyKey) -> Result<(), TierError> {
        self.last = None;
        for row in archive.packs_of_study(study)? {
            self.step(archive, &row, &mut LockTally::default())?;
        }
        Ok(())
    }

    fn turn(&mut self, archive: &Archive) -> Result<(), TierError> {
        if archive.tiers().locks.again.swap(false, Ordering::Relaxed) {
            // What stands before the place it has reached is asked again, too.
            (self.after, self.next_at) = (None, Instant::now());
        }
        if Instant::now() < self.next_at {
            return Ok(());
        }
        let turn = Instant::now();
        if self.after.is_none() {
            (self.counted, self.worked) = (LockTally::default(), Duration::ZERO);
        }
        // Rules may have changed since the last turn.
        self.last = None;
        while turn.elapsed() < TURN {
            let page = archive.index().packs(self.after, PAGE)?;
            for row in &page {
                if archive.stopping().load(Ordering::Relaxed) || archive.tiers().weather.rests() {
                    return self.note(archive, true);
                }
                let mut counted = self.counted;
                self.step(archive, row, &mut counted)?;
                if archive.tiers().weather.rests() {
                    // This one comes again when the cloud answers.
                    continue;
                }
                self.counted = counted;
                self.after = Some(row.pack);
            }
            if page.len() < PAGE {
                self.worked += turn.elapsed();
                return self.end(archive);
            }
        }
        self.worked += turn.elapsed();
        self.note(archive, false)
    }

    fn end(&mut self, archive: &Archive) -> Result<(), TierError> {
        self.after = None;
        self.next_at = Instant::now() + self.worked.saturating_mul(PAUSE_TIMES).clamp(PAUSE_MIN, PAUSE_MAX);
        self.counted.counted = archive.now_ms();
        *archive.tiers().locks.walked.lock() = self.counted;
        self.note(archive, true)
    }

    fn note(&mut self, archive: &Archive, now: bool) -> Result<(), TierError> {
        if now || self.noted_at.elapsed() >= NOTE_EVERY {
            self.noted_at = Instant::now();
            let failed = |error: io::Error| TierError::Refused { what: format!("{NAME}: {error}") };
            Noted { after: self.after }.write(&archive.options().data).map_err(failed)?;
        }
        Ok(())
    }

    /// Looks at one copy, mends what is short, and counts it.
    fn step(&mut self, archive: &Archive, row: &PackRow, counted: &mut LockTally) -> Result<(), TierError> {
        let Some(copy) = &row.cold else { return Ok(()) };
        let study = &row.series.study;
        let kept = match &self.last {
            Some((last, kept)) if last == study => *kept,
            _ => {
                // Destroyed meanwhile: nothing is kept any more.
                if archive.index().study(study)?.is_none() {
                    return Ok(());
                }
                archive.keep_of(study)?
            }
        };
        self.last = Some((study.clone(), kept));
        let mut stands = copy.clone();
        if let Some(keep) = kept.beyond(copy.locked_until, copy.held) {
            match archive.lengthen(row, copy, keep) {
                Ok(copy) => {
                    counted.changed.add(row);
                    stands = copy;
                }
                Err(error) => {
                    counted.short.add(row);
                    archive.tiers().failed(row.pack, "lock", &error, archive.now_ms());
                }
            }
        }
        if stands.locked_until.is_some() {
            counted.locked.add(row);
        }
        if stands.held {
            counted.held.add(row);
        }
        Ok(())
    }
}

impl Archive {
    fn packs_of_study(&self, study: &StudyKey) -> Result<Vec<PackRow>, TierError> {
        let (mut rows, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.index().series_of(study, cursor.as_ref(), PAGE)?;
            for series in page.rows {
                rows.extend(self.index().packs_of(&series.key)?);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Lengthens a lock or changes a hold in the bucket, and records what the bucket shows then.
    fn lengthen(&self, row: &PackRow, copy: &ColdCopy, keep: Keep) -> Result<ColdCopy, TierError> {
        let tiers = self.tiers();
        let cloud: &Arc<Cloud> = tiers.cloud().ok_or_else(no_cloud)?;
        let now = cloud.follow(copy, keep)?;
        tiers.weather.answered();
        // Put anew or destroyed meanwhile: what was locked is not the copy any more.
        let _still = self.rewriting().read();
        let same = |other: &ColdCopy| (&other.key, &other.version) == (&copy.key, &copy.version);
        if !self.index().pack(row.pack)?.and_then(|row| row.cold).is_some_and(|other| same(&other)) {
            return Err(TierError::Refused { what: "the copy is another one now".into() });
        }
        self.record_pack(PackFact::Tiered { pack: row.pack, copy: now.clone() })?;
        metrics::counter!("khoanh_tier_locks_changed_total").increment(1);
        tracing::debug!(pack = %row.pack, until = now.locked_until, held = now.held, "a lock follows the rules");
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FacilityCode, Uid};

    #[test]
    fn a_study_named_while_it_is_looked_at_is_looked_at_again() {
        let study = |uid: &str| StudyKey {
            facility: FacilityCode::parse("56001").expect("code"),
            study: Uid::parse(uid).expect("uid"),
            patient: 0,
        };
        let locks = Locks::default();
        locks.named([study("1.2"), study("1.2"), study("1.3"), study("1.3")]);
        assert_eq!(locks.waiting(), 2);
        assert_eq!(locks.take(), Some(study("1.2")));
        assert_eq!(locks.take(), Some(study("1.3")));
        // A hold is laid while the bucket is asked about the last one.
        locks.named([study("1.3")]);
        assert_eq!(locks.waiting(), 1);
        locks.again_first(study("1.2"));
        assert_eq!((locks.take(), locks.take(), locks.take()), (Some(study("1.2")), Some(study("1.3")), None));
    }
}
