//! The archive's own threads: what is quiet, what is complete, and when the index is flushed.
//!
//! Each wakes at a fixed pace, asks the index what is due and records facts. A kill between two steps loses
//! nothing: what is due stays due in the index until its fact is recorded.

use crate::error::{OpenError, RetrieveError};
use crate::open::{Archive, spawn};
use index::{SeriesKey, SeriesRow};
use model::{Fact, SeriesQuiet, StudyComplete};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pace of the workers.
const PACE: Duration = Duration::from_millis(250);
/// Series or studies taken per round.
const ROUND: usize = 256;

/// How far a thread that nobody waits for stands back, on the system's scale of -20 to 19: about a tenth of a
/// processor where others want all of it, and a whole one where nobody does.
pub(crate) const BEHIND: i32 = 10;

/// From now on the calling thread takes what processor time the others leave it. Without the right to say so it stays
/// as it is.
pub(crate) fn give_way() {
    // Without a number the system takes the calling thread, not its process.
    let own = rustix::process::getpriority_process(None);
    if let Err(error) = own.and_then(|own| rustix::process::setpriority_process(None, own.max(BEHIND))) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

/// Calls `work` at the pace until the archive stops or is dropped.
pub(crate) fn every(
    archive: &Arc<Archive>,
    name: &'static str,
    mut work: impl FnMut(&Arc<Archive>) + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let stopping = archive.stopping();
    let weak: Weak<Archive> = Arc::downgrade(archive);
    spawn(name, move || {
        while !stopping.load(Ordering::Relaxed) {
            let Some(archive) = weak.upgrade() else { return };
            work(&archive);
            drop(archive);
            std::thread::park_timeout(PACE);
        }
    })
}

/// Starts the thread that records `SeriesQuiet` and `StudyComplete` and prepares metadata.
pub(crate) fn start_quiet(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    every(archive, "quiet", |archive| {
        if archive.health().reason().is_none()
            && let Err(error) = quiet_round(archive)
        {
            tracing::warn!(%error, "quiet series could not be recorded; trying again");
        }
    })
}

/// Records what has grown quiet and complete.
pub(crate) fn quiet_round(archive: &Arc<Archive>) -> Result<(), RetrieveError> {
    let quiet_ms = u64::try_from(archive.options().quiet_after.as_millis()).unwrap_or(u64::MAX);
    let before = archive.now_ms().saturating_sub(quiet_ms);
    let failed = |error: crate::IngestError| RetrieveError::Unavailable { what: error.to_string() };
    let quiet = archive.index().busy_series(before, ROUND)?;
    // What goes on to others is queued before it is recorded that nothing is due any more.
    archive.forward_series(&quiet)?;
    for row in quiet {
        // The document first: whoever learns that a series is quiet finds its metadata prepared.
        if let Err(error) = archive.prepare(&row) {
            tracing::warn!(series = %row.key.series, %error, "metadata could not be prepared");
        }
        archive.record(series_quiet(&row, archive.now_ms())).map_err(failed)?;
    }
    for row in archive.index().incomplete_studies(ROUND)? {
        // First what was decided of it: a kill in between leaves the study incomplete, and it is looked at again.
        archive.keep_promise(&row).map_err(|error| RetrieveError::Unavailable { what: error.to_string() })?;
        archive.forward_study(&row)?;
        let complete = StudyComplete {
            facility: row.key.facility,
            study: row.key.study.clone(),
            patient: row.key.patient,
            through: row.last_seq,
            at: archive.now_ms(),
        };
        archive.record(Fact::StudyComplete(complete)).map_err(failed)?;
        archive.charts().note_study(&row.key);
    }
    Ok(())
}

fn series_quiet(row: &SeriesRow, at: u64) -> Fact {
    let SeriesKey { study, series } = &row.key;
    Fact::SeriesQuiet(SeriesQuiet {
        facility: study.facility,
        study: study.study.clone(),
        patient: study.patient,
        series: series.clone(),
        through: row.last_seq,
        at,
    })
}

/// Starts the thread that flushes the index after so many journaled bytes or so much time.
pub(crate) fn start_flusher(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let (mut bytes, mut at) = (0, Instant::now());
    let (mut seen, mut marked) = (0, false);
    every(archive, "flusher", move |archive| {
        let (now, options) = (archive.journaled(), archive.options());
        if now == seen && !marked {
            // Idle: saying that everything is synced spares a start after a kill from moving the last batch.
            marked = archive.journal().mark().is_ok();
        } else if now != seen {
            (seen, marked) = (now, false);
        }
        let due = now.saturating_sub(bytes) >= options.flush_bytes || at.elapsed() >= options.flush_every;
        if !due || now == bytes {
            return;
        }
        match archive.index().flush() {
            Ok(_) => (bytes, at) = (now, Instant::now()),
            Err(error) => archive.health().fail(format!("the index could not be flushed: {error}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gives_way_leaves_the_others_as_they_are() {
        let nice = || rustix::process::getpriority_process(None).expect("priority");
        let before = nice();
        let behind = std::thread::spawn(move || {
            give_way();
            nice()
        });
        assert_eq!(behind.join().expect("thread"), before.max(BEHIND));
        assert_eq!(nice(), before);
    }
}
