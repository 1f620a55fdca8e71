//! Whether the cloud answers, and how long to leave it alone when it does not.
//!
//! A fault that concerns the whole bucket makes everybody wait together; one that concerns a single object rests that
//! object only, and the others go on.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};
use store::StoreError;
use store::cold::ColdFault;

/// First pause after a failure; doubled with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause: how late at most the work goes on when the cloud is back.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Longest pause of a single pack: what is wrong with it rarely mends itself.
const PACK_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// In hours in which nothing may go up it is looked this often.
const CLOSED: Duration = Duration::from_secs(30);

/// Since when the cloud is away, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Away {
    /// Milliseconds since 1970 UTC.
    pub since: u64,
    /// What was said last.
    pub why: String,
}

/// Whether the cloud answers.
#[derive(Default)]
pub(crate) struct Weather(Mutex<Sky>);

#[derive(Default)]
struct Sky {
    away: Option<Away>,
    tries: u32,
    rests_until: Option<Instant>,
    /// The hours of the day forbid sending; reading goes on.
    closed: bool,
}

fn pause(tries: u32, most: Duration) -> Duration {
    PAUSE.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(most)
}

/// Whether a fault concerns the bucket as a whole.
fn is_everywhere(fault: ColdFault) -> bool {
    match fault {
        ColdFault::Busy
        | ColdFault::Unreachable
        | ColdFault::Credentials
        | ColdFault::Clock
        | ColdFault::Denied
        | ColdFault::Options => true,
        ColdFault::Missing
        | ColdFault::Locked
        | ColdFault::Archived
        | ColdFault::Damaged
        | ColdFault::Unsupported
        | ColdFault::Paused
        | ColdFault::Refused => false,
    }
}

impl Weather {
    /// Whether nothing should be asked of the cloud now.
    pub(crate) fn rests(&self) -> bool {
        self.0.lock().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes a failure; true when it concerns everybody, so that there is no use in going on with the next pack.
    pub(crate) fn failed(&self, error: &StoreError, now_ms: u64) -> bool {
        let Some(fault) = error.cold_fault() else { return false };
        let mut sky = self.0.lock();
        if fault == ColdFault::Paused {
            sky.closed = true;
            sky.rests_until = Instant::now().checked_add(CLOSED);
            return true;
        }
        if !is_everywhere(fault) {
            return false;
        }
        let why = error.to_string();
        if sky.away.is_none() {
            tracing::warn!(%error, "the cloud is away: ingest and local reads go on, copying waits");
        }
        let since = sky.away.as_ref().map_or(now_ms, |away| away.since);
        sky.away = Some(Away { since, why });
        sky.rests_until = Instant::now().checked_add(pause(sky.tries, PAUSE_MAX));
        sky.tries = sky.tries.saturating_add(1);
        true
    }

    /// The cloud did something: what waits goes on at once.
    pub(crate) fn answered(&self) {
        let mut sky = self.0.lock();
        if sky.away.is_some() {
            tracing::info!("the cloud is back");
        }
        *sky = Sky::default();
    }

    /// Forgets the pause: an operator wants it tried now.
    pub(crate) fn hurry(&self) {
        self.0.lock().rests_until = None;
    }

    /// Since when the cloud is away; none while it answers.
    pub(crate) fn away(&self) -> Option<Away> {
        self.0.lock().away.clone()
    }

    /// Whether the hours of the day forbid sending.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }
}

/// Things that failed, and until when they are left alone.
pub(crate) struct Resting<K>(Mutex<HashMap<K, (u32, Instant)>>);

impl<K> Default for Resting<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Copy> Resting<K> {
    pub(crate) fn rests(&self, key: K) -> bool {
        self.0.lock().get(&key).is_some_and(|(_, until)| Instant::now() < *until)
    }

    pub(crate) fn failed(&self, key: K) {
        let mut resting = self.0.lock();
        let tries = resting.get(&key).map_or(0, |(tries, _)| *tries);
        let until = Instant::now() + pause(tries, PACK_PAUSE_MAX);
        resting.insert(key, (tries.saturating_add(1), until));
    }

    pub(crate) fn done(&self, key: K) {
        self.0.lock().remove(&key);
    }

    /// Everything is tried again at once.
    pub(crate) fn hurry(&self) {
        self.0.lock().clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fault: ColdFault) -> StoreError {
        StoreError::Cold { fault, action: "put", key: "k".into(), what: "planned".into() }
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        let seconds: Vec<u64> = (0..11).map(|tries| pause(tries, PAUSE_MAX).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(pause(u32::MAX, PAUSE_MAX), PAUSE_MAX);
    }

    #[test]
    fn a_bucket_that_is_away_rests_everybody_and_one_object_only_itself() {
        let weather = Weather::default();
        assert!(!weather.failed(&error(ColdFault::Damaged), 5) && !weather.rests());
        assert!(!weather.failed(&StoreError::Poisoned, 5) && weather.away().is_none());
        assert!(weather.failed(&error(ColdFault::Unreachable), 5) && weather.rests());
        assert!(weather.failed(&error(ColdFault::Credentials), 9));
        assert_eq!(weather.away().map(|away| away.since), Some(5), "the first failure counts");
        weather.hurry();
        assert!(!weather.rests() && weather.away().is_some(), "trying is not answering");
        weather.answered();
        assert!(!weather.rests() && weather.away().is_none());
    }

    #[test]
    fn closed_hours_are_no_absence() {
        let weather = Weather::default();
        assert!(weather.failed(&error(ColdFault::Paused), 5) && weather.rests() && weather.is_closed());
        assert!(weather.away().is_none(), "reading goes on");
    }

    #[test]
    fn what_failed_rests_alone() {
        let resting = Resting::default();
        resting.failed(1);
        assert!(resting.rests(1) && !resting.rests(2));
        resting.done(1);
        assert!(!resting.rests(1) && resting.count() == 0);
    }
}
