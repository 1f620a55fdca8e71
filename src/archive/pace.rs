//! Whether the next batch should wait for the senders that were just answered.
//!
//! A few senders that each wait for their answer fall into two camps: while one camp's objects are synced the other's
//! arrive, and every sync serves half of them. Where senders come back sooner than a sync takes, waiting for both camps
//! brings everybody into one sync. Where they do not, because there are many or their objects are large, it is better
//! to go on at once. Both times are measured here; waiting is always bounded by a part of a sync.
//! Nothing here sleeps, and a sender that comes alone never waits.

use std::time::Duration;

/// How far a running median moves towards a measure, as a factor.
const STEP: f64 = 1.1;
/// Longest wait, in syncs.
const OF_SYNC: f64 = 0.7;
/// Waits this many times the typical return of the missing.
const PATIENCE: f64 = 2.0;
/// Senders that take longer pause for reasons of their own, in seconds.
const PAUSE: f64 = 0.1;

/// What is typical, and how many senders take part.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Senders answered last and those that waited then.
    expected: usize,
    /// Seconds from the start of a sync to the answers.
    sync: Option<f64>,
    /// Seconds until senders are back, per sender.
    each: Option<f64>,
}

/// A running median: as many measures move it up as down.
fn typical(now: Option<f64>, newest: f64) -> Option<f64> {
    Some(now.map_or(newest, |now| if newest > now { (now * STEP).min(newest) } else { (now / STEP).max(newest) }))
}

fn count(senders: usize) -> f64 {
    f64::from(u32::try_from(senders).unwrap_or(u32::MAX))
}

impl Pace {
    /// A batch of `answered` objects took this long to become durable; `waiting` others came meanwhile.
    pub(crate) fn settled(&mut self, answered: usize, waiting: usize, took: Duration) {
        self.expected = answered.saturating_add(waiting);
        self.sync = typical(self.sync, took.as_secs_f64());
    }

    /// As many objects as were answered came again within this time.
    pub(crate) fn returned(&mut self, senders: usize, within: Duration) {
        let within = within.as_secs_f64();
        if senders > 0 && within < PAUSE {
            self.each = typical(self.each, within / count(senders));
        }
    }

    /// How many objects to wait for and how long, when `here` are there already; none when waiting is of no use.
    pub(crate) fn patience(&self, here: usize) -> Option<(usize, Duration)> {
        let missing = self.expected.checked_sub(here).filter(|missing| *missing > 0 && here > 0)?;
        let (sync, each) = (self.sync?, self.each?);
        // All of them, not only the missing: otherwise the camps overlap better than they wait.
        let worth = each * count(self.expected) < sync;
        let patience = (each * count(missing) * PATIENCE).min(sync * OF_SYNC);
        worth.then(|| (self.expected, Duration::from_secs_f64(patience)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(answered: usize, waiting: usize, sync_us: u64, return_us: u64) -> Pace {
        let mut pace = Pace::default();
        pace.settled(answered, waiting, Duration::from_micros(sync_us));
        pace.returned(answered, Duration::from_micros(return_us));
        pace
    }

    #[test]
    fn a_few_quick_senders_are_waited_for_and_never_longer_than_a_part_of_a_sync() {
        let (wanted, patience) = pace(3, 1, 1_000, 500).patience(1).expect("three come back within half a sync");
        assert_eq!(wanted, 4);
        assert!(patience > Duration::from_micros(500) && patience <= Duration::from_micros(700), "{patience:?}");
    }

    #[test]
    fn nobody_is_waited_for_where_it_is_of_no_use() {
        assert_eq!(pace(1, 0, 1_000, 100).patience(1), None, "a lone sender is complete");
        assert_eq!(pace(3, 1, 1_000, 500).patience(4), None, "all are here");
        assert_eq!(pace(3, 1, 1_000, 500).patience(0), None, "nobody is here");
        assert_eq!(pace(10, 6, 1_000, 1_500).patience(6), None, "they take longer than a sync");
        assert_eq!(pace(3, 1, 200, 500).patience(1), None, "the disk is quick");
        assert_eq!(Pace::default().patience(1), None, "nothing is known");
    }

    #[test]
    fn a_pause_of_the_senders_is_no_measure() {
        let mut pace = pace(3, 1, 1_000, 500);
        pace.returned(3, Duration::from_secs(5));
        assert!(pace.patience(1).is_some());
    }

    #[test]
    fn a_disk_that_is_slow_now_and_then_is_a_quick_disk() {
        let mut pace = pace(3, 1, 200, 500);
        for turn in 0..200 {
            let sync = if turn % 5 == 0 { Duration::from_millis(8) } else { Duration::from_micros(200) };
            pace.settled(3, 1, sync);
        }
        assert_eq!(pace.patience(1), None);
        for _ in 0..200 {
            pace.settled(3, 1, Duration::from_millis(3));
        }
        assert!(pace.patience(1).is_some(), "it became slow for good");
    }
}
