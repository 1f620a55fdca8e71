//! How far a pass of scrubbing is, and what it found, kept over a restart in `scrub.json`.
//!
//! Losing the file loses nothing but the place: the next pass begins at the front.

use index::PackRow;
use model::{FacilityCode, PackId, Uid};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Alarms kept one by one.
const ALARMS_MAX: usize = 1_000;
const NAME: &str = "scrub.json";

/// A pack without any sound copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The pack.
    pub pack: PackId,
    /// Facility of the study.
    pub facility: FacilityCode,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// What is wrong with which copy.
    pub what: String,
    /// When it was found, milliseconds since 1970 UTC.
    pub at: u64,
}

/// What scrubbing found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When the pass under way, or the last one, began, milliseconds since 1970 UTC; none before the first.
    #[serde(default)]
    pub begun: Option<u64>,
    /// When it ended; none while it is under way.
    pub ended: Option<u64>,
    /// Packs looked at in it.
    pub packs: u64,
    /// Bytes of these packs.
    pub bytes: u64,
    /// Damaged copies found in it.
    pub damaged: u64,
    /// Copies repaired from another one in it.
    pub repaired: u64,
    /// Packs without a sound copy, of this and earlier passes.
    pub alarms: Vec<Alarm>,
}

/// The file's contents.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The last pack looked at in the pass under way.
    #[serde(default)]
    after: Option<PackId>,
    #[serde(flatten)]
    report: Report,
}

/// The pass in memory.
#[derive(Debug, Default)]
pub(super) struct State(Stored);

impl Stored {
    /// What the file says; nothing when there is none that can be read.
    pub(super) fn read(data: &Path) -> State {
        let text = fs::read(data.join(NAME)).unwrap_or_default();
        State(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Writes the file: beside, then in its place.
    pub(super) fn write(&self, data: &Path) -> io::Result<()> {
        let new = data.join(format!("{NAME}.new"));
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(new, data.join(NAME))
    }
}

impl State {
    pub(super) fn stored(&self) -> Stored {
        self.0.clone()
    }

    pub(super) fn report(&self) -> Report {
        self.0.report.clone()
    }

    pub(super) const fn after(&self) -> Option<PackId> {
        self.0.after
    }

    /// When the next look is due: at once in the middle of a pass, else a cycle after its beginning.
    pub(super) fn begins_at(&self, cycle_ms: u64) -> u64 {
        match (self.0.report.begun, self.0.report.ended) {
            (Some(begun), Some(_)) => begun.saturating_add(cycle_ms),
            _ => 0,
        }
    }

    /// The next pass begins at the front.
    pub(super) fn restart(&mut self) {
        self.0.report.ended = self.0.report.ended.or(Some(0));
    }

    /// Begins a pass, or goes on with the one under way.
    pub(super) fn begin(&mut self, now: u64) {
        let report = &mut self.0.report;
        if report.begun.is_none() || report.ended.is_some() {
            let alarms = std::mem::take(&mut report.alarms);
            *report = Report { begun: Some(now), alarms, ..Report::default() };
            self.0.after = None;
        }
    }

    pub(super) fn end(&mut self, now: u64) {
        self.0.report.ended = Some(now);
        self.0.after = None;
        let begun = self.0.report.begun.unwrap_or(0);
        // What an alarm was about is no more: the whole pass did not meet it.
        self.0.report.alarms.retain(|alarm| alarm.at >= begun);
    }

    pub(super) fn passed(&mut self, row: &PackRow, found: u64, repaired: u64) {
        self.0.after = Some(row.pack);
        let report = &mut self.0.report;
        report.packs += 1;
        report.bytes = report.bytes.saturating_add(row.len);
        report.damaged += found;
        report.repaired += repaired;
    }

    /// Sets or lifts the alarm about a pack.
    pub(super) fn alarm(&mut self, row: &PackRow, what: Option<String>, at: u64) {
        let alarms = &mut self.0.report.alarms;
        alarms.retain(|alarm| alarm.pack != row.pack);
        if let Some(what) = what.filter(|_| alarms.len() < ALARMS_MAX) {
            let (facility, study) = (row.series.study.facility, row.series.study.study.clone());
            let series = row.series.series.clone();
            alarms.push(Alarm { pack: row.pack, facility, study, series, what, at });
        }
    }
}
