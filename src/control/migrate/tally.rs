//! The reconciliation: what became of every object that the other archive told of or sent.

use super::Job;
use super::pulled::{Fate, Pulled};
use super::state::Counts;
use super::way::Told;
use crate::cli::{Exit, Failure};
use std::fmt::Display;

/// Different reasons counted one by one.
const REASONS_MAX: usize = 50;
/// Windows that failed, named in the answer; every one that is not done is in the file.
const NAMED_MAX: usize = 20;

/// What cannot be written down ends a migration.
pub(super) fn lost(error: impl Display) -> Failure {
    Failure::new(Exit::Failed, format!("the report cannot be written: {error}"))
}

impl Job<'_> {
    /// What was counted before is counted again.
    pub(super) fn count(&mut self, counts: &Counts) {
        self.report.found = self.report.found.saturating_add(counts.found);
        self.report.moved = self.report.moved.saturating_add(counts.moved);
        self.report.equal = self.report.equal.saturating_add(counts.equal);
        self.report.conflicts = self.report.conflicts.saturating_add(counts.conflicts);
    }

    /// Counts a study whose fetching is over; it is finished where nothing went wrong.
    pub(super) fn reconcile(&mut self, study: &str, told: &Told, pulled: &Pulled<'_>) -> Result<(), Failure> {
        let number = |wanted: &Fate| pulled.fates.values().filter(|fate| *fate == wanted).count() as u64;
        let missing = told.keys().filter(|instance| !pulled.fates.contains_key(*instance));
        let mut trouble: Vec<(&String, &String)> = missing.map(|instance| (instance, &pulled.said)).collect();
        self.report.missing = self.report.missing.saturating_add(trouble.len() as u64);
        for (instance, fate) in &pulled.fates {
            if let Fate::Refused(why) = fate {
                self.report.refused = self.report.refused.saturating_add(1);
                trouble.push((instance, why));
            }
        }
        // What was sent without having been told of was found, too.
        let untold = pulled.fates.keys().filter(|instance| !told.contains_key(*instance)).count() as u64;
        let counts = Counts {
            found: (told.len() as u64).saturating_add(untold),
            moved: number(&Fate::Moved),
            equal: number(&Fate::Equal),
            conflicts: number(&Fate::Conflict),
        };
        self.count(&counts);
        self.report.bytes = self.report.bytes.saturating_add(pulled.bytes);
        for (instance, why) in &trouble {
            self.note(study, instance, why)?;
        }
        match trouble.is_empty() {
            true => self.state.put_study(study, counts).map_err(lost),
            false => Ok(()),
        }
    }

    /// A study whose objects the other archive did not tell.
    pub(super) fn study_not_done(&mut self, study: &str, why: &str) -> Result<(), Failure> {
        self.report.studies_not_done = self.report.studies_not_done.saturating_add(1);
        self.note(study, "", why)
    }

    /// A window that was not asked to its end.
    pub(super) fn window_not_done(&mut self, window: &str, why: &str) -> Result<(), Failure> {
        let window = if window.is_empty() { "all dates" } else { window };
        if self.not_done.len() < NAMED_MAX {
            self.not_done.push((window.to_owned(), why.to_owned()));
        }
        self.window_left(window, why)
    }

    /// A window that is left for another run.
    pub(super) fn window_left(&mut self, window: &str, why: &str) -> Result<(), Failure> {
        self.report.windows_not_done = self.report.windows_not_done.saturating_add(1);
        self.troubled.write_record([window, "", why]).map_err(lost)
    }

    fn note(&mut self, study: &str, instance: &str, why: &str) -> Result<(), Failure> {
        self.troubled.write_record([study, instance, why]).map_err(lost)?;
        let known = self.reasons.len() < REASONS_MAX || self.reasons.contains_key(why);
        let times = self.reasons.entry(if known { why.to_owned() } else { "(other reasons)".into() }).or_default();
        *times = times.saturating_add(1);
        Ok(())
    }
}
