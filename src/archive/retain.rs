//! Retention at work: holds, plans, approval, and the destruction of what a plan names.
//!
//! What may happen is said by [`model::retention`]; here studies are found, facts recorded, and bytes destroyed. Every
//! step is a fact before it is done, so a kill anywhere leaves either nothing or something that the next start goes on
//! with. Whatever may keep a study (a hold, a link, an approval) takes the same turn as the destruction of a study, so
//! neither overtakes the other; arrivals are held off by the sequencer.
//! Deliberately not here: the rules themselves, and who may call this.

mod assigning;
mod candidate;
mod correcting;
mod dates;
mod execute;
mod holding;
mod lock;
mod looking;
mod moving;
mod plans;
mod rejecting;
mod sealed;
mod state;
mod sweep;
mod taking;

use crate::error::{IngestError, OpenError, RetrieveError};
use crate::open::Archive;
use crate::worker;
use index::{Index, IndexError, StudyKey, StudyRow};
pub(crate) use lock::Kept;
use model::retention::{HoldError, HoldTarget, PatientRef, PlanId, Refusal, RetentionFact};
use model::{FacilityCode, Lsn};
use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;

pub use correcting::{Changed, Correcting};
pub use execute::PlanProgress;
pub use holding::Held;
pub use moving::{MOVED_MAX, MoveTo, Moves, Moving, SeriesMove};
pub use plans::{PlanFile, PlanQuestion};
pub use rejecting::{Judged, REJECTED_MAX};
pub use state::{Known, PlanView};
pub use sweep::Sweep;

use state::State;

/// Why something of retention is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetainError {
    /// The rules of retention refuse it.
    #[error("{0}")]
    Refused(Refusal),
    /// A hold or its release is refused.
    #[error("{0}")]
    Hold(HoldError),
    /// What was asked cannot be meant.
    #[error("{what}")]
    Invalid {
        /// What is wrong and how to mend it.
        what: String,
    },
    /// It could not be done now.
    #[error("not available: {what}")]
    Unavailable {
        /// Why.
        what: String,
    },
    /// Ended before its end, as asked.
    #[error("interrupted; nothing was recorded")]
    Interrupted,
}

impl From<Refusal> for RetainError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<HoldError> for RetainError {
    fn from(error: HoldError) -> Self {
        Self::Hold(error)
    }
}

impl From<IndexError> for RetainError {
    fn from(error: IndexError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<IngestError> for RetainError {
    fn from(error: IngestError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<store::StoreError> for RetainError {
    fn from(error: store::StoreError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<crate::ups::UpsError> for RetainError {
    fn from(error: crate::ups::UpsError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<crate::charts::ChartError> for RetainError {
    fn from(error: crate::charts::ChartError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<RetrieveError> for RetainError {
    fn from(error: RetrieveError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

impl From<OpenError> for RetainError {
    fn from(error: OpenError) -> Self {
        Self::Unavailable { what: error.to_string() }
    }
}

pub(crate) fn invalid(what: impl Into<String>) -> RetainError {
    RetainError::Invalid { what: what.into() }
}

/// Most studies of which it is remembered that no series was moved into them.
const UNMOVED_MAX: u64 = 50_000;

/// When an executing plan is to be looked at again.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Something may be due at this time, milliseconds since 1970.
    at: u64,
    /// Changes there had been when it was last looked at.
    changes: u64,
}

/// What retention keeps in memory.
pub(crate) struct Retention {
    state: RwLock<State>,
    /// Held from the look at a study or plan to the recorded fact.
    change: Mutex<()>,
    /// Held while segments of the journal are released.
    pub(crate) releasing: Mutex<()>,
    /// A destruction waits for its turn to release segments: whoever only looks at one makes room.
    pub(crate) destroying: AtomicBool,
    /// Held while bytes are destroyed.
    pub(crate) sweeping: Mutex<()>,
    /// An operator asks for what is due: no pause is waited for.
    pub(crate) sweep_now: AtomicBool,
    turns: Mutex<HashMap<PlanId, Turn>>,
    /// Facts recorded by this process: whatever waits looks again.
    changes: AtomicU64,
    /// Versions of studies that no series was moved into, so that nobody reads their facts for each frame.
    unmoved: Cache<StudyKey, Lsn>,
    /// A test takes every step itself.
    #[cfg(test)]
    pub(crate) paused: AtomicBool,
}

impl Retention {
    /// Reads every fact that is about no one study.
    pub(crate) fn load(index: &dyn Index) -> Result<Self, IndexError> {
        Ok(Self {
            state: RwLock::new(State::load(index)?),
            change: Mutex::new(()),
            releasing: Mutex::new(()),
            destroying: AtomicBool::new(false),
            sweeping: Mutex::new(()),
            sweep_now: AtomicBool::new(false),
            turns: Mutex::default(),
            changes: AtomicU64::new(0),
            unmoved: Cache::new(UNMOVED_MAX),
            #[cfg(test)]
            paused: AtomicBool::new(false),
        })
    }

    /// Asks something while no change is recorded in part; none while one is.
    pub(crate) fn between<T>(&self, ask: impl FnOnce() -> T) -> Option<T> {
        let _turn = self.change.try_lock()?;
        Some(ask())
    }

    /// Whether it is known that no series was moved into a study, as its row says it is.
    pub(crate) fn is_unmoved(&self, study: &StudyRow) -> bool {
        self.unmoved.get(&study.key) == Some(study.version_fact)
    }

    /// No series was moved into a study; a move makes another version of it.
    pub(crate) fn note_unmoved(&self, study: &StudyRow) {
        self.unmoved.insert(study.key.clone(), study.version_fact);
    }
}

/// Starts the thread that executes plans and destroys bytes.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    archive.forget_drafts();
    let mut rest = sweep::Rest::default();
    worker::every(archive, "retention", move |archive| {
        #[cfg(test)]
        if archive.retention().paused.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        if archive.health().reason().is_some() {
            return;
        }
        if let Err(error) = archive.execute_plans()
            && error != RetainError::Interrupted
        {
            tracing::warn!(%error, "a retention plan does not go on; trying again");
        }
        rest.sweep(archive);
    })
}

impl Archive {
    /// Records a fact and takes it in.
    fn retain(&self, fact: RetentionFact) -> Result<(), RetainError> {
        let (record, fact) = self.tiers().keys().seal(self.facility_of(&fact), fact, self.now_ms())?;
        self.record(record)?;
        let retention = self.retention();
        retention.state.write().take(&fact);
        self.lock_after(&fact);
        retention.changes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// The facility whose epoch key wraps the key of a fact.
    fn facility_of(&self, fact: &RetentionFact) -> FacilityCode {
        let of_patient = |patient: &PatientRef| FacilityCode::parse(&patient.issuer).ok();
        let named = match fact {
            RetentionFact::HoldMade(hold) => match &hold.target {
                HoldTarget::Study(study) => Some(study.facility),
                HoldTarget::Studies { studies, .. } => studies.first().map(|study| study.facility),
                HoldTarget::Patient(patient) => of_patient(patient),
            },
            RetentionFact::DeathRecorded { patient, .. } => of_patient(patient),
            other => other.study().map(|study| study.facility),
        };
        named.unwrap_or(FacilityCode::DEMO)
    }

    /// The study rows under a Study Instance UID of a facility, hidden ones too.
    fn study_named(&self, study: &model::retention::StudyRef) -> Result<index::StudyRow, RetainError> {
        let unknown = || invalid(format!("there is no study {study}"));
        self.index().study(&StudyKey::from(study))?.ok_or_else(unknown)
    }
}
