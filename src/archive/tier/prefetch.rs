//! Prefetch: a patient's earlier studies come back to the hot volumes before they are likely to be read.
//!
//! Newest first, within a budget of bytes. What was prefetched and then read is a hit; the rate tells whether whoever
//! asks for it guesses well. It deliberately knows no schedule: the caller knows who comes when; what the schedule asks
//! for is [`super::ahead`].

use super::wishes::Why;
use crate::error::FindError;
use crate::open::Archive;
use index::PackRow;
use model::attribute::key;
use model::query::{Condition, Query, Test};
use model::{Caller, FacilityCode, Level, PackId, Scope, Uid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Studies of one patient that are considered.
const STUDIES_MAX: usize = 500;
/// What is not read within this long was prefetched in vain.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);
/// What was prefetched stays hot until it is of no use any more, and at most so long: 30 days, in milliseconds.
const STAYS_MAX_MS: u64 = 30 * 86_400_000;
/// Promises remembered.
const PROMISES_MAX: usize = 100_000;

/// What to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefetch {
    /// Facility that holds the studies.
    pub facility: FacilityCode,
    /// Patient ID (0010,0020).
    pub patient_id: String,
    /// Issuer of Patient ID (0010,0021); without it every issuer of the facility.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Modalities that matter; empty means all.
    #[serde(default)]
    pub modalities: BTreeSet<String>,
    /// Until when they are of use, milliseconds since 1970 UTC: what could not be brought by then is left.
    pub before: u64,
    /// Most bytes brought back.
    pub bytes_max: u64,
}

/// What became of a prefetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Prefetched {
    /// Studies of the patient.
    pub studies: u64,
    /// Packs on their way to a hot volume.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that are hot already.
    pub hot: u64,
    /// Packs beyond the budget, or that lie in no tier at hand.
    pub left: u64,
}

/// Packs that were prefetched and not read yet.
#[derive(Default)]
pub(crate) struct Promises(Mutex<HashMap<PackId, Instant>>);

impl Promises {
    pub(super) fn make(&self, pack: PackId) {
        let mut promises = self.0.lock();
        if promises.len() >= PROMISES_MAX {
            promises.retain(|_, at| at.elapsed() < KEPT_FOR);
        }
        if promises.len() < PROMISES_MAX {
            promises.insert(pack, Instant::now());
        }
    }

    /// Whether a pack that is read now was prefetched; it counts once.
    pub(super) fn is_kept(&self, pack: PackId) -> bool {
        self.0.lock().remove(&pack).is_some_and(|at| at.elapsed() < KEPT_FOR)
    }
}

impl Archive {
    /// Begins to bring a patient's studies back to the hot volumes, newest first.
    ///
    /// # Errors
    /// [`FindError`]; a caller who may not see the facility finds nothing.
    pub fn prefetch(&self, caller: &Caller, wanted: &Prefetch) -> Result<Prefetched, FindError> {
        let equal = |key, value: &str| Condition { key, test: Test::Equal(value.to_owned()) };
        let mut conditions = vec![equal(key::PATIENT_ID, &wanted.patient_id)];
        conditions.extend(wanted.issuer.as_deref().map(|issuer| equal(key::ISSUER_OF_PATIENT_ID, issuer)));
        if wanted.patient_id.trim().is_empty() {
            return Err(FindError::BadQuery { what: "patient_id is empty".into() });
        }
        let query = Query { level: Level::Study, conditions, fuzzy: false };
        let found = self.find(caller, Scope::Facility(wanted.facility), &query, 0, STUDIES_MAX)?;
        let mut done = Prefetched::default();
        for row in &found.rows {
            done.studies += 1;
            self.prefetch_study(wanted, &row.study, &mut done)?;
        }
        metrics::counter!("khoanh_prefetch_packs_total").increment(done.packs);
        metrics::counter!("khoanh_prefetch_bytes_total").increment(done.bytes);
        Ok(done)
    }

    fn prefetch_study(&self, wanted: &Prefetch, study: &Uid, done: &mut Prefetched) -> Result<(), FindError> {
        let failed = |error: crate::RetrieveError| FindError::Unavailable { what: error.to_string() };
        let mut rows = self.index().studies(study)?;
        rows.retain(|row| row.key.facility == wanted.facility);
        for row in rows {
            for series in self.series_of(&row).map_err(failed)? {
                let modality = series.attributes.get(&key::MODALITY).map(|name| name.trim()).unwrap_or_default();
                if !wanted.modalities.is_empty() && !wanted.modalities.contains(modality) {
                    continue;
                }
                for pack in self.index().packs_of(&series.key)? {
                    self.prefetch_pack(wanted, &pack, done);
                }
            }
        }
        Ok(())
    }

    fn prefetch_pack(&self, wanted: &Prefetch, pack: &PackRow, done: &mut Prefetched) {
        let (tiers, until) = (self.tiers(), wanted.before.min(self.now_ms().saturating_add(STAYS_MAX_MS)));
        if pack.hot {
            tiers.keep_by_hand(pack.pack, until);
            done.hot += 1;
            return;
        }
        let fits = done.bytes.saturating_add(pack.len) <= wanted.bytes_max;
        let here = tiers.cloud().is_some() && pack.cold.is_some();
        if fits && here && tiers.wishes.recall(pack.pack, Why::Soon(wanted.before)) {
            tiers.keep_by_hand(pack.pack, until);
            tiers.promises.make(pack.pack);
            done.packs += 1;
            done.bytes += pack.len;
        } else {
            done.left += 1;
        }
    }
}
