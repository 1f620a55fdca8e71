//! What the archive holds, by facility, modality, tier and month, and when its disks fill at the present rate.
//!
//! Every study, series and pack is read once from the index; memory grows with facilities and months, not with studies.
//! Deliberately not here: totals that are asked for often; the index counts those as objects come in ([`crate::Stats`]).

use crate::error::FindError;
use crate::open::Archive;
use index::{Cursor, SeriesRow, StudyRow, plan};
use model::attribute::key;
use model::date::Date;
use model::query::Query;
use model::{FacilityCode, Level};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Studies and series asked of the index at once.
const PAGE: usize = 500;
/// The present rate is that of so many days.
const RATE_DAYS: u64 = 30;
const DAY_MS: u64 = 86_400_000;

/// Sums over something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Studies; in sums by modality and by tier those with any series there.
    pub studies: u64,
    /// Series.
    pub series: u64,
    /// Instances.
    pub instances: u64,
    /// Bytes of the files as received.
    pub raw: u64,
    /// Bytes they take, each copy counted.
    pub stored: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.studies += other.studies;
        self.series += other.series;
        self.instances += other.instances;
        self.raw = self.raw.saturating_add(other.raw);
        self.stored = self.stored.saturating_add(other.stored);
    }
}

/// When the disks are full.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Free bytes above the reserves, of volumes and journal.
    pub free: u64,
    /// Bytes that came to the hot disks in a day, over the last 30 days.
    pub per_day: u64,
    /// The day on which nothing is free any more; none when nothing came, or not within a hundred years.
    pub full_on: Option<Date>,
}

/// What the archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// All of it.
    pub total: Sum,
    /// By facility.
    pub facilities: BTreeMap<FacilityCode, Sum>,
    /// By modality of the series; `-` for none.
    pub modalities: BTreeMap<String, Sum>,
    /// By where it lies: `journal`, `hot`, `hot+cold`, `cold`.
    pub tiers: BTreeMap<String, Sum>,
    /// By month of the last receipt, `YYYY-MM`.
    pub months: BTreeMap<String, Sum>,
    /// When the disks are full.
    pub forecast: Forecast,
    /// Stopped before the end: the sums are too small.
    pub interrupted: bool,
}

impl Archive {
    /// Sums up everything; `progress` hears the total so far, `stop` ends it early.
    ///
    /// # Errors
    /// [`FindError::Unavailable`] when the index does not answer.
    pub fn usage(&self, stop: &AtomicBool, progress: &mut dyn FnMut(&Sum)) -> Result<Usage, FindError> {
        let all = plan(&Query { level: Level::Study, conditions: Vec::new(), fuzzy: false }, None);
        let mut usage = Usage::default();
        let recent = self.now_ms().saturating_sub(RATE_DAYS * DAY_MS);
        let (mut came, mut first) = (0u64, u64::MAX);
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = self.index().find(&all, cursor.as_ref(), PAGE)?;
            for found in &page.rows {
                if stop.load(Ordering::Relaxed) {
                    usage.interrupted = true;
                    return Ok(usage);
                }
                first = first.min(found.study.last_received);
                let stored = self.add_study(&found.study, &mut usage)?;
                if found.study.last_received >= recent {
                    came = came.saturating_add(stored);
                }
                progress(&usage.total);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let days = self.now_ms().saturating_sub(first.max(recent)).div_ceil(DAY_MS).clamp(1, RATE_DAYS);
        usage.forecast = self.forecast(came / days);
        Ok(usage)
    }

    /// Adds a study to every sum; answers the bytes it takes on hot disks.
    fn add_study(&self, study: &StudyRow, usage: &mut Usage) -> Result<u64, FindError> {
        let (mut sum, mut hot) = (Sum { studies: 1, ..Sum::default() }, 0u64);
        let (mut modalities, mut tiers) = (BTreeSet::new(), BTreeSet::new());
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = self.index().series_of(&study.key, cursor.as_ref(), PAGE)?;
            for series in &page.rows {
                let modality = series.attributes.get(&key::MODALITY).filter(|text| !text.is_empty());
                let modality = modality.map_or("-", String::as_str);
                for (tier, part) in self.by_tier(series)? {
                    hot = hot.saturating_add(if tier == "cold" { 0 } else { part.stored.min(part.raw.max(1)) });
                    let first_here = u64::from(tiers.insert(tier));
                    usage.tiers.entry(tier.to_owned()).or_default().add(&Sum { studies: first_here, ..part });
                    let counted = u64::from(modalities.insert(modality.to_owned()));
                    usage.modalities.entry(modality.to_owned()).or_default().add(&Sum { studies: counted, ..part });
                    sum.add(&part);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let month = Date::of_ms(study.last_received).to_string();
        let month = month.get(..7).unwrap_or(&month).to_owned();
        usage.months.entry(month).or_default().add(&sum);
        usage.facilities.entry(study.key.facility).or_default().add(&sum);
        usage.total.add(&sum);
        Ok(hot)
    }

    /// Where the parts of a series lie. The series itself is counted with its first part.
    fn by_tier(&self, series: &SeriesRow) -> Result<Vec<(&'static str, Sum)>, FindError> {
        let mut rest = Sum { series: 0, instances: series.instances, raw: series.bytes, ..Sum::default() };
        let mut parts = Vec::new();
        for row in self.index().packs_of(&series.key)? {
            let cold = row.cold.as_ref().map(|copy| copy.len);
            let tier = match (row.hot, cold) {
                (true, None) => "hot",
                (true, Some(_)) => "hot+cold",
                (false, _) => "cold",
            };
            let stored = if row.hot { row.len } else { 0 }.saturating_add(cold.unwrap_or(0));
            parts.push((tier, Sum { studies: 0, series: 0, instances: row.instances, raw: row.raw, stored }));
            rest.instances = rest.instances.saturating_sub(row.instances);
            rest.raw = rest.raw.saturating_sub(row.raw);
        }
        if rest.instances > 0 || parts.is_empty() {
            parts.push(("journal", Sum { stored: rest.raw, ..rest }));
        }
        if let Some((_, first)) = parts.first_mut() {
            first.series = 1;
        }
        Ok(parts)
    }

    fn forecast(&self, per_day: u64) -> Forecast {
        let (mut free, mut disks) = (0u64, BTreeSet::new());
        for volume in self.packs().hot().volumes() {
            // Several volumes may lie on one disk.
            let disk = std::fs::metadata(&volume.dir).map(|about| about.dev()).unwrap_or(0);
            if disks.insert(disk) {
                free = free.saturating_add(volume.free.unwrap_or(0).saturating_sub(self.options().packs.reserve));
            }
        }
        let days = free.checked_div(per_day).filter(|days| *days < 36_500);
        let full_on = days.map(|days| Date::of_ms(self.now_ms().saturating_add(days.saturating_mul(DAY_MS))));
        Forecast { free, per_day, full_on }
    }
}
