//! Whether the archive takes objects, what should be looked at, and its totals.

use super::Archive;
use std::sync::atomic::Ordering;
use store::hot::VolumeState;

/// Whether law 1 holds, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// Objects are taken and answers are durable.
    pub ready: bool,
    /// What stands in the way, or should be looked at.
    pub reasons: Vec<String>,
}

/// Totals for the operator.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Stats {
    /// Numbers from the index.
    pub index: index::Stats,
    /// Objects waiting in front of the journal, by source.
    pub waiting: Vec<(String, usize)>,
    /// Memory of objects on their way in, bytes.
    pub ingest_bytes: u64,
    /// Free space for the journal, bytes.
    pub free_bytes: Option<u64>,
}

impl Archive {
    /// Whether objects are taken, and what should be looked at.
    pub fn readiness(&self) -> Readiness {
        let mut reasons: Vec<String> = self.health.reason().into_iter().collect();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("draining before a stop".into());
        }
        let ready = reasons.is_empty() && !self.journal.is_poisoned();
        // A full disk refuses objects and loses none: worth saying, no reason to turn readers away.
        if let Err(error) = self.journal.admit(0) {
            reasons.push(error.to_string());
        }
        let alarm =
            |alarm: &store::Alarm| format!("journal directory {} failed: {}", alarm.dir.display(), alarm.reason);
        reasons.extend(
            self.journal
                .alarms()
                .iter()
                .chain(&self.facts.alarms())
                .chain(&self.ups.alarms())
                .chain(&self.charts.alarms())
                .map(alarm),
        );
        // Images are taken all the same.
        reasons.extend(self.charts.broken());
        if self.failing.is_full() {
            reasons.push("no hot volume has room for packs: add one, or release packs to the bucket".into());
        }
        let lost = self.scrub_report().alarms.len();
        if lost > 0 {
            reasons.push(format!("{lost} packs are damaged and have no sound copy: run khoanh scrub for their names"));
        }
        let volumes = self.packs.hot().volumes().into_iter();
        let amiss = volumes.filter(|volume| matches!(volume.state, VolumeState::Gone | VolumeState::ReadOnly));
        reasons.extend(amiss.map(|volume| format!("hot volume {} is {:?}", volume.dir.display(), volume.state)));
        // The journal keeps what the ledger lacks.
        let keeper = self.keeper.as_ref();
        reasons.extend(keeper.and_then(|keeper| keeper.alarm()).into_iter().chain(self.epochs_alarm()));
        reasons.extend(keeper.and_then(|keeper| keeper.remark()));
        Readiness { ready, reasons }
    }

    /// Numbers for the operator.
    pub fn stats(&self) -> Result<Stats, crate::FindError> {
        Ok(Stats {
            index: self.index.stats()?,
            waiting: self.queue.depths(),
            ingest_bytes: self.budget.used(),
            free_bytes: self.journal.free_space().ok(),
        })
    }
}
