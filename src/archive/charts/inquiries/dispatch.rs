//! The thread that asks the verifier, one question after the other, no faster than it was told to.
//!
//! How a verifier is called is an edge's matter, which hands in a [`Verifier`]. One that is away, slow or talks nonsense
//! rests for longer and longer; meanwhile everything waits in its rows.

use crate::charts::journal::unavailable;
use crate::charts::{ChartError, Charts};
use crate::error::OpenError;
use crate::open::Archive;
use crate::serving::{Serving, Work};
use metrics::{counter, describe_counter};
use model::FacilityCode;
use model::chart::inquiry::{Said, Trait};
use model::chart::{ChartBody, ChartKey, ChartKind, Question};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Pace of looking for what is due.
const PACE: Duration = Duration::from_millis(100);
/// Rest when the archive itself could not record.
const REST: Duration = Duration::from_secs(5);

/// What was heard. The texts hold no patient's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    Said {
        /// What was said.
        said: Said,
        /// What is known otherwise.
        fields: BTreeSet<Trait>,
    },
    /// Something that is no answer.
    Rubbish(String),
    /// The verifier cannot be reached, or answers nothing now.
    Down(String),
    /// The archive ends.
    Interrupted,
}

/// A way to ask a verifier.
pub trait Verifier: Send + Sync {
    /// Asks; returns when it has answered, or did not in time. `id` is the same when something is asked again.
    fn ask(&self, id: &str, question: &Question) -> Heard;

    /// Ends the question under way at once, from another thread.
    fn stop(&self);
}

/// The running thread.
pub struct Inquirer(Serving<Shared>);

struct Shared {
    archive: Arc<Archive>,
    verifier: Box<dyn Verifier>,
    /// Shortest time between two questions.
    gap: Duration,
    stop: AtomicBool,
}

impl Inquirer {
    /// Begins to ask what waits; `charts.verifier` of the archive's options must be there.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(archive: &Arc<Archive>, verifier: Box<dyn Verifier>) -> Result<Self, OpenError> {
        describe_counter!("khoanh_verifier_asked_total", "questions to the verifier, by what came of them");
        let rate = archive.options().charts.verifier.as_ref().map_or(1, |options| options.rate.max(1));
        let (gap, stop) = (Duration::from_secs(1) / rate, AtomicBool::new(false));
        let shared = Shared { archive: Arc::clone(archive), verifier, gap, stop };
        Ok(Self(Serving::start("verifier", shared)?))
    }

    /// Ends the question under way; it is asked again after the next start. False when the thread still runs after `limit`.
    pub fn shutdown(self, limit: Duration) -> bool {
        self.0.shutdown(limit)
    }
}

impl Shared {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Does nothing until a time, or the end.
    fn rest(&self, until: Instant) {
        while !self.stops() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

impl Work for Shared {
    fn run(self: &Arc<Self>) {
        while !self.stops() {
            let begun = Instant::now();
            match self.archive.charts().ask_next(self.verifier.as_ref()) {
                Ok(true) => self.rest(begun + self.gap),
                Ok(false) => self.rest(begun + PACE),
                Err(error) => {
                    tracing::warn!(%error, "what the verifier says cannot be recorded; it is asked again");
                    self.rest(begun + REST);
                }
            }
        }
    }

    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.verifier.stop();
    }
}

impl Charts {
    /// Asks what is due first; false when nothing is, or the verifier rests.
    pub(in crate::charts) fn ask_next(&self, verifier: &dyn Verifier) -> Result<bool, ChartError> {
        let Some(options) = &self.options.verifier else { return Ok(false) };
        let due = self.inquiries.due(self.view.as_ref(), self.now_ms()).map_err(unavailable)?;
        let Some(local) = due else { return Ok(false) };
        let key = ChartKey { kind: ChartKind::Inquiry, facility: local.facility, id: local.mrn.clone() };
        let row = self.view.row(&key).map_err(unavailable)?;
        let waiting = row.and_then(|row| match row.body {
            ChartBody::Inquiry(inquiry) => inquiry.waiting,
            _ => None,
        });
        // It has just gone.
        let Some(waiting) = waiting else { return Ok(false) };
        let heard = verifier.ask(&waiting.id, &waiting.question);
        tell(local.facility, &waiting.id, &heard);
        match &heard {
            Heard::Interrupted => return Ok(false),
            Heard::Said { .. } => {
                if self.inquiries.is_well() {
                    tracing::info!("the verifier answers again");
                }
            }
            Heard::Rubbish(why) | Heard::Down(why) => {
                if self.inquiries.rests(options, self.now_ms(), why) {
                    tracing::warn!(why, "the verifier gives no answer: questions wait");
                }
            }
        }
        self.settle_inquiry(&local, &waiting.id, &heard)?;
        Ok(true)
    }
}

fn tell(facility: FacilityCode, id: &str, heard: &Heard) {
    let result = match heard {
        Heard::Said { said: Said::Verified, .. } => "verified",
        Heard::Said { said: Said::NotFound, .. } => "not-found",
        Heard::Said { said: Said::Differs, .. } => "differs",
        Heard::Said { said: Said::Unknown, .. } => "unknown",
        Heard::Rubbish(_) => "rubbish",
        Heard::Down(_) => "down",
        Heard::Interrupted => "interrupted",
    };
    counter!("khoanh_verifier_asked_total", "result" => result).increment(1);
    match heard {
        Heard::Said { said: Said::Differs, .. } => {
            tracing::warn!(%facility, question = id, "the verifier knows a patient's number otherwise: a steward has to look");
        }
        Heard::Rubbish(why) | Heard::Down(why) => tracing::debug!(%facility, question = id, why, "no answer"),
        _ => tracing::debug!(%facility, question = id, result, "the verifier answered"),
    }
}
