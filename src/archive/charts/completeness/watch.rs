//! Names what is missing within the hour, without being asked: each performed step is looked at once it has settled,
//! and again while something of it is missing.
//!
//! It costs the instances that steps name, once each, and the missing ones again. What waits is in memory: a start looks
//! at the steps of the last two days again. What somebody asked storage commitment for in vain is looked for again at the
//! same pace, for as many days.

use super::{SETTLE_MS, only};
use crate::charts::journal::unavailable;
use crate::charts::matching::query_of;
use crate::charts::{ChartError, Charts, LONG_PAGE_MAX};
use crate::open::Archive;
use index::charts::{ChartCursor, ChartQuery};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Performed, PerformedState, Term};
use model::date::DAY_MS;
use model::{FacilityCode, Uid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// Most steps that wait; what is beyond is found by the report alone.
const DUE_MAX: usize = 200_000;
/// Steps looked at in one round.
const ROUND: usize = 16;
/// A step that lacks something is looked at again after so long, in milliseconds.
const AGAIN_MS: u64 = 10 * 60_000;
/// What has not come after so many days is left to the report.
const GIVEN_UP_MS: u64 = 7 * DAY_MS;
/// A start looks at steps that began since.
const LOOK_BACK_MS: u64 = 2 * DAY_MS;
/// Instances named in one line of the log.
const NAMED_MAX: usize = 5;

/// Steps that are to be looked at, each with when.
#[derive(Default)]
pub(in crate::charts) struct Due(Mutex<BTreeSet<(u64, FacilityCode, String)>>);

impl Due {
    fn note(&self, when: u64, facility: FacilityCode, id: String) {
        let mut due = self.0.lock();
        if due.len() < DUE_MAX {
            due.insert((when, facility, id));
        }
    }

    /// A row became true.
    pub(in crate::charts) fn row(&self, row: &ChartRow, now: u64) {
        if let ChartBody::Performed(step) = &row.body
            && step.state != PerformedState::InProgress
        {
            // By the archive's clock: a console's may be wrong.
            self.note(now.saturating_add(SETTLE_MS), row.key.facility, row.key.id.clone());
        }
    }

    /// Those whose time has come.
    fn take(&self, now: u64) -> Vec<(FacilityCode, String)> {
        let mut due = self.0.lock();
        let mut taken = Vec::new();
        while taken.len() < ROUND && due.first().is_some_and(|(when, ..)| *when <= now) {
            taken.extend(due.pop_first().map(|(_, facility, id)| (facility, id)));
        }
        taken
    }
}

/// What a step lacks, and since when that is known.
struct Lacking {
    missing: u64,
    since: u64,
}

/// How far the watch is.
pub(in crate::charts) struct Watch {
    /// Where the look back goes on.
    back: Option<ChartCursor>,
    looked_back: bool,
    lacking: BTreeMap<(FacilityCode, String), Lacking>,
    /// Instances that somebody asked commitment for in vain, and when they are looked for again.
    asked: BTreeMap<FacilityCode, u64>,
    ask_again: u64,
    /// Facilities that are told of by a gauge.
    told: BTreeSet<FacilityCode>,
}

impl Watch {
    pub(in crate::charts) const fn new() -> Self {
        Self {
            back: None,
            looked_back: false,
            lacking: BTreeMap::new(),
            asked: BTreeMap::new(),
            ask_again: 0,
            told: BTreeSet::new(),
        }
    }

    /// Instances that are missing at a facility, as far as is known.
    #[cfg(test)]
    pub(in crate::charts) fn missing(&self, facility: FacilityCode) -> u64 {
        self.sums().get(&facility).copied().unwrap_or(0)
    }

    fn sums(&self) -> BTreeMap<FacilityCode, u64> {
        let mut sums = self.asked.clone();
        for ((facility, _), lacking) in &self.lacking {
            let sum = sums.entry(*facility).or_default();
            *sum = sum.saturating_add(lacking.missing);
        }
        sums
    }

    fn tell(&mut self) {
        let sums = self.sums();
        self.told.extend(sums.keys().copied());
        for facility in &self.told {
            let missing = sums.get(facility).copied().unwrap_or(0);
            let gauge = metrics::gauge!("khoanh_completeness_missing", "facility" => facility.to_string());
            gauge.set(f64::from(u32::try_from(missing).unwrap_or(u32::MAX)));
        }
    }
}

impl Charts {
    /// A page of the steps of the last days, newest first; they are looked at as if they had just ended.
    fn look_back(&self, watch: &mut Watch) -> Result<(), ChartError> {
        if watch.looked_back {
            return Ok(());
        }
        let now = self.now_ms();
        let moments = Some((now.saturating_sub(LOOK_BACK_MS), now));
        let query = ChartQuery { moments, ..query_of(ChartKind::Performed, None, Term::Any, "") };
        let page = self.long_page(&query, watch.back, LONG_PAGE_MAX)?;
        page.rows.iter().for_each(|row| self.ended.row(row, now));
        watch.back = page.cursor;
        watch.looked_back = page.cursor.is_none();
        Ok(())
    }
}

impl Archive {
    /// Looks at steps whose time has come.
    pub(in crate::charts) fn watch_round(&self, watch: &mut Watch) -> Result<(), ChartError> {
        let (charts, now) = (self.charts(), self.now_ms());
        charts.look_back(watch)?;
        if now >= watch.ask_again {
            watch.ask_again = now.saturating_add(AGAIN_MS);
            watch.asked = self.missing_commitments((now.saturating_sub(GIVEN_UP_MS), now))?;
            watch.tell();
        }
        let taken = charts.ended.take(now);
        if taken.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        for (facility, id) in taken {
            if let Err(error) = self.watch_step(watch, facility, &id, now) {
                charts.ended.note(now.saturating_add(AGAIN_MS), facility, id);
                failed = Some(error);
            }
        }
        watch.tell();
        failed.map_or(Ok(()), Err)
    }

    fn watch_step(&self, watch: &mut Watch, facility: FacilityCode, id: &str, now: u64) -> Result<(), ChartError> {
        let charts = self.charts();
        let Ok(key) = ChartKey::new(ChartKind::Performed, facility, id) else { return Ok(()) };
        let name = (facility, id.to_owned());
        let row = charts.view.row(&key).map_err(unavailable)?;
        let Some(ChartBody::Performed(step)) = row.map(|row| row.body) else {
            watch.lacking.remove(&name);
            return Ok(());
        };
        let (missing, named) = self.missing_of(facility, &step)?;
        if missing == 0 {
            if watch.lacking.remove(&name).is_some() {
                tracing::info!(%facility, step = id, "everything a modality says it made has come");
            }
            return Ok(());
        }
        let known = watch.lacking.get(&name);
        let since = known.map_or(now, |known| known.since);
        if known.is_none_or(|known| known.missing != missing) {
            let study = only(&step.studies).map_or_else(String::new, |study| study.to_string());
            let station = step.station.as_str();
            let instances = named.join(" ");
            let what = "a modality says it made instances that are not stored";
            tracing::warn!(%facility, station, step = id, study, missing, instances, "{what}");
        }
        if now.saturating_sub(since) >= GIVEN_UP_MS {
            watch.lacking.remove(&name);
            return Ok(());
        }
        watch.lacking.insert(name, Lacking { missing, since });
        charts.ended.note(now.saturating_add(AGAIN_MS), facility, id.to_owned());
        Ok(())
    }

    /// How many instances a step names that are not stored, and the first of them.
    fn missing_of(&self, facility: FacilityCode, step: &Performed) -> Result<(u64, Vec<String>), ChartError> {
        let (mut missing, mut named) = (0u64, Vec::new());
        let instances = step.series.iter().flat_map(|series| series.instances.iter());
        for instance in instances {
            if self.is_stored(facility, instance)? {
                continue;
            }
            missing = missing.saturating_add(1);
            if named.len() < NAMED_MAX {
                named.push(Uid::as_str(instance).to_owned());
            }
        }
        Ok((missing, named))
    }
}
