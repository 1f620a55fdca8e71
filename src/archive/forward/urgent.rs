//! Which series arrived with the priority HIGH (PS3.7 section 9.1.1.1.5): rules of routine priority bring them first.
//!
//! Remembered in memory alone until the study is complete: after a kill in between they go in their turn.

use model::{FacilityCode, Uid};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Most series remembered; what comes beyond goes in its turn.
const SERIES_MAX: usize = 100_000;
/// How long one is remembered whose study never completes.
const KEPT_MS: u64 = 24 * 3_600_000;

/// The series, with their study and when the last urgent object came.
#[derive(Debug, Default)]
pub(super) struct Urgent(Mutex<BTreeMap<(FacilityCode, Uid), (Uid, u64)>>);

impl Urgent {
    /// An object of this series came with priority HIGH.
    pub(super) fn note(&self, facility: FacilityCode, study: &Uid, series: &Uid, now: u64) {
        let mut known = self.0.lock();
        if known.len() >= SERIES_MAX {
            known.retain(|_, (_, at)| now.saturating_sub(*at) < KEPT_MS);
        }
        if known.len() < SERIES_MAX {
            known.insert((facility, series.clone()), (study.clone(), now));
        }
    }

    /// Whether one did.
    pub(super) fn is(&self, facility: FacilityCode, series: &Uid) -> bool {
        self.0.lock().contains_key(&(facility, series.clone()))
    }

    /// The study is complete: what comes later has a priority of its own.
    pub(super) fn settle(&self, facility: FacilityCode, of: &Uid) {
        self.0.lock().retain(|(at, _), (study, _)| *at != facility || study != of);
    }
}
