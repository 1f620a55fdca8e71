//! How fast, and in which hours, bytes go up.
//!
//! It deliberately has no calendar: the hour is the caller's, by its clock and its time zone.

use super::ColdFault;
use crate::StoreError;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Hour of the day, 0 to 23, at the place whose line is shared.
pub type HourClock = Arc<dyn Fn() -> u8 + Send + Sync>;

/// Bytes a second by hour of the day. Clones are the same throttle.
#[derive(Clone)]
pub struct Throttle {
    hour: HourClock,
    state: Arc<Mutex<State>>,
}

struct State {
    /// `None` unbounded, 0 not at all.
    rates: [Option<u64>; 24],
    /// When the bytes granted so far will have gone at the present rate.
    free_at: Option<Instant>,
}

/// How long a waiting put sleeps at most before it looks for a stop.
const NAP: Duration = Duration::from_millis(100);

impl Throttle {
    /// No bound at any hour.
    pub fn unbounded() -> Self {
        Self::by_hour([None; 24], Arc::new(|| 0))
    }

    /// A rate in bytes a second for each hour of the day: `None` unbounded, 0 nothing goes up in that hour.
    pub fn by_hour(rates: [Option<u64>; 24], hour: HourClock) -> Self {
        Self { hour, state: Arc::new(Mutex::new(State { rates, free_at: None })) }
    }

    /// Changes the rates; uploads under way follow.
    pub fn set_rates(&self, rates: [Option<u64>; 24]) {
        let mut state = self.state.lock();
        state.rates = rates;
        state.free_at = None;
    }

    /// Waits until so many bytes may go.
    pub(super) fn take(&self, bytes: u64, stopped: &AtomicBool, key: &str) -> Result<(), StoreError> {
        let paused = |what| Err(StoreError::cold(ColdFault::Paused, "put", key, what));
        loop {
            if stopped.load(Ordering::Acquire) {
                return paused("the archive is stopping");
            }
            let wait = match self.grant(bytes) {
                Grant::Now => return Ok(()),
                Grant::Closed => return paused("nothing goes up in this hour"),
                Grant::After(wait) => wait,
            };
            std::thread::sleep(wait.min(NAP));
        }
    }

    fn grant(&self, bytes: u64) -> Grant {
        let hour = usize::from((self.hour)()) % 24;
        let mut state = self.state.lock();
        let rate = match state.rates.get(hour).copied().flatten() {
            None => return Grant::Now,
            Some(0) => return Grant::Closed,
            Some(rate) => rate,
        };
        let now = Instant::now();
        let free_at = state.free_at.unwrap_or(now);
        if free_at > now {
            return Grant::After(free_at - now);
        }
        // What was not used is not saved up: the line is bounded at every moment, not on average.
        let millis = bytes.saturating_mul(1_000) / rate;
        state.free_at = now.checked_add(Duration::from_millis(millis));
        Grant::Now
    }
}

enum Grant {
    Now,
    Closed,
    After(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU8;

    fn fault(answer: &Result<(), StoreError>) -> Option<ColdFault> {
        answer.as_ref().err().and_then(StoreError::cold_fault)
    }

    #[test]
    fn an_hour_may_be_closed_open_or_bounded() {
        let hour = Arc::new(AtomicU8::new(0));
        let clock = Arc::clone(&hour);
        let mut rates = [None; 24];
        for (rate, hour) in rates.iter_mut().zip(0_u64..) {
            *rate = [Some(0), None, Some(1 << 40)].get(usize::try_from(hour % 3).unwrap_or(0)).copied().flatten();
        }
        let throttle = Throttle::by_hour(rates, Arc::new(move || clock.load(Ordering::Relaxed)));
        let running = AtomicBool::new(false);
        for now in 0..48 {
            hour.store(now, Ordering::Relaxed);
            let expected = if now % 24 % 3 == 0 { Some(ColdFault::Paused) } else { None };
            assert_eq!(fault(&throttle.take(1 << 20, &running, "k")), expected, "hour {now}");
        }
        throttle.set_rates([Some(0); 24]);
        assert_eq!(fault(&throttle.take(1, &running, "k")), Some(ColdFault::Paused));
    }

    #[test]
    fn what_is_granted_keeps_the_rate_and_a_stop_ends_the_waiting() {
        let throttle = Throttle::by_hour([Some(1_000); 24], Arc::new(|| 7));
        let running = AtomicBool::new(false);
        throttle.take(500, &running, "k").expect("the first goes at once");
        let Grant::After(wait) = throttle.grant(1) else { panic!("the second must wait") };
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        // Waiting for an hour's bytes ends with the stop, not with the hour.
        throttle.take(1, &running, "k").expect("in half a second");
        throttle.take(3_600_000, &running, "k").expect("the line was free");
        assert_eq!(fault(&throttle.take(1, &AtomicBool::new(true), "k")), Some(ColdFault::Paused));
    }
}
