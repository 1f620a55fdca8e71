//! One fetch for everyone who asks for the same range at the same time.

use super::ColdFault;
use crate::StoreError;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    pub(super) key: String,
    pub(super) version: Option<String>,
    pub(super) range: Range<u64>,
}

/// The fetches under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Ask, Arc<Flight>>>);

#[derive(Default)]
struct Flight {
    landed: Mutex<Option<Result<Bytes, (ColdFault, String)>>>,
    wake: Condvar,
}

impl Flights {
    /// Fetches, or waits for who fetches already. A failure is everyone's.
    pub(super) fn join(
        &self,
        ask: &Ask,
        fetch: impl FnOnce() -> Result<Bytes, StoreError>,
    ) -> Result<Bytes, StoreError> {
        let (flight, first) = {
            let mut flights = self.0.lock();
            match flights.get(ask) {
                Some(flight) => (Arc::clone(flight), false),
                None => {
                    let flight = Arc::new(Flight::default());
                    flights.insert(ask.clone(), Arc::clone(&flight));
                    (flight, true)
                }
            }
        };
        if first {
            let landing = Landing { flights: self, ask, flight };
            let answer = fetch();
            landing.land(match &answer {
                Ok(bytes) => Ok(bytes.clone()),
                Err(error) => Err((error.cold_fault().unwrap_or(ColdFault::Refused), words(error))),
            });
            return answer;
        }
        let mut landed = flight.landed.lock();
        loop {
            match &*landed {
                Some(Ok(bytes)) => return Ok(bytes.clone()),
                Some(Err((fault, what))) => return Err(StoreError::cold(*fault, "get", &ask.key, what)),
                None => flight.wake.wait(&mut landed),
            }
        }
    }
}

fn words(error: &StoreError) -> String {
    match error {
        StoreError::Cold { what, .. } => what.clone(),
        other => other.to_string(),
    }
}

/// Lets the others go, also when the fetch panics.
struct Landing<'a> {
    flights: &'a Flights,
    ask: &'a Ask,
    flight: Arc<Flight>,
}

impl Landing<'_> {
    fn land(&self, answer: Result<Bytes, (ColdFault, String)>) {
        self.flights.0.lock().remove(self.ask);
        self.flight.landed.lock().get_or_insert(answer);
        self.flight.wake.notify_all();
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if self.flight.landed.lock().is_none() {
            self.land(Err((ColdFault::Refused, "whoever fetched it failed".into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn ask(start: u64) -> Ask {
        Ask { key: "k".into(), version: None, range: start..start + 10 }
    }

    /// Sixteen ask at once; the fetch waits until all the others wait for it.
    fn together(answer: impl Fn() -> Result<Bytes, StoreError> + Sync) -> (usize, Vec<Result<Bytes, StoreError>>) {
        let (flights, fetches) = (Flights::default(), AtomicUsize::new(0));
        let answers = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        flights.join(&ask(0), || {
                            fetches.fetch_add(1, Ordering::Relaxed);
                            // The map, the fetcher, and fifteen who wait.
                            let waiting = || flights.0.lock().get(&ask(0)).map_or(0, Arc::strong_count);
                            while waiting() < 17 {
                                std::thread::yield_now();
                            }
                            answer()
                        })
                    })
                })
                .collect();
            all.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(flights.0.lock().is_empty(), "a fetch stayed");
        (fetches.into_inner(), answers)
    }

    #[test]
    fn everyone_who_asks_at_the_same_time_shares_one_fetch() {
        let (fetches, answers) = together(|| Ok(Bytes::from_static(b"0123456789")));
        assert_eq!(fetches, 1);
        assert!(answers.iter().all(|answer| answer.as_deref().ok() == Some(b"0123456789")));
    }

    #[test]
    fn a_failure_is_everyones_and_the_next_one_fetches_again() {
        let (fetches, answers) = together(|| Err(StoreError::cold(ColdFault::Archived, "get", "k", "away")));
        assert_eq!(fetches, 1);
        let faults: Vec<_> =
            answers.iter().map(|answer| answer.as_ref().err().and_then(StoreError::cold_fault)).collect();
        assert_eq!(faults, vec![Some(ColdFault::Archived); 16]);

        let flights = Flights::default();
        let mut fetched = 0;
        for start in [0, 0, 1] {
            let bytes = flights.join(&ask(start), || {
                fetched += 1;
                Ok(Bytes::new())
            });
            assert!(bytes.is_ok());
        }
        assert_eq!(fetched, 3, "one after the other is not at the same time");
    }
}
