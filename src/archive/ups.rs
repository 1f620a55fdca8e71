//! Unified Procedure Steps (PS3.4 annex CC): work that somebody plans, somebody does and others watch.
//!
//! One engine serves DIMSE and UPS-RS (PS3.18 chapter 11). A step belongs to a facility and is never seen by another.
//! Every change, with the events it causes, is one synced record of a small journal beside the others: what was answered
//! outlives a kill, and its events are told. Steps that ended are forgotten after a while, so the journal stays small.
//!
//! Deliberately not here: how requests and events look on a wire, and any link between a step and a study.

mod bloom;
mod change;
mod channel;
mod event;
mod find;
pub mod matching;
mod record;
mod rules;
mod seal;
mod state;
mod subscribe;
mod sweep;
#[cfg(test)]
mod tests;
mod time;

pub use channel::{Channel, Turn, Wake};
pub use event::{Event, EventKind};
pub use find::{StepCursor, StepPage};
pub use rules::FIXED;
pub use subscribe::Subscription;
pub(crate) use sweep::start as start_sweep;

use crate::clock::Clock;
use crate::error::OpenError;
use crate::options::Options;
use crate::seal::OpenKeys;
use crate::tier::KeyRing;
use channel::Channels;
use model::{AeTitle, Caller, FacilityCode, Scope, Uid};
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};
use state::State;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use store::journal::Image;
use store::{Alarm, Body, Journal, JournalOptions, RealDisk, Record, Replayed};

/// A data set as DICOM JSON (PS3.18 annex F).
pub type Document = Map<String, Value>;

/// SOP class of every step: that of UPS Push (PS3.4 section CC.3.1).
pub const UPS_CLASS: &str = "1.2.840.10008.5.1.4.34.6.1";
/// The instance that stands for every step in a subscription.
pub const GLOBAL: &str = "1.2.840.10008.5.1.4.34.5";
/// The instance that stands for every step that matches a filter.
pub const FILTERED: &str = "1.2.840.10008.5.1.4.34.5.1";

/// Longest step as JSON, in bytes.
pub const DOCUMENT_MAX: usize = 1 << 20;
/// Most steps of one facility.
pub const STEPS_MAX: usize = 200_000;
/// Most AE titles with a subscription in one facility.
pub const SUBSCRIBERS_MAX: usize = 256;
/// Most subscriptions to single steps of one AE title.
pub const SINGLE_MAX: usize = 50_000;
/// Most events that wait for one AE title; the oldest go.
pub const EVENTS_MAX: usize = 10_000;
/// Most bytes of them.
pub const EVENT_BYTES_MAX: usize = 8 << 20;
/// A step that ended is forgotten after this many milliseconds: a week.
pub const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;
/// The same under a deletion lock nobody takes back: 90 days.
pub const LOCKED_MS: u64 = 90 * 24 * 3600 * 1000;
/// An event nobody takes is dropped after this many milliseconds: a week.
pub const EVENT_KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// Size of a segment of the journal of steps in bytes.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Free space this journal leaves.
const RESERVE_BYTES: u64 = 64 << 20;

/// Attributes this engine itself reads or writes.
pub(crate) mod tag {
    pub(crate) const SPECIFIC_CHARACTER_SET: &str = "00080005";
    pub(crate) const SOP_CLASS: &str = "00080016";
    pub(crate) const SOP_INSTANCE: &str = "00080018";
    pub(crate) const TRANSACTION: &str = "00081195";
    pub(crate) const START: &str = "00404005";
    pub(crate) const MODIFIED: &str = "00404010";
    pub(crate) const EXPECTED_END: &str = "00404011";
    pub(crate) const STATION_NAME: &str = "00404025";
    pub(crate) const HUMAN_PERFORMERS: &str = "00404034";
    pub(crate) const READINESS: &str = "00404041";
    pub(crate) const CANCELED_AT: &str = "00404052";
    pub(crate) const STATE: &str = "00741000";
    pub(crate) const PROGRESS: &str = "00741002";
    pub(crate) const CONTACT_URI: &str = "0074100A";
    pub(crate) const CONTACT_NAME: &str = "0074100C";
    pub(crate) const DISCONTINUATION: &str = "0074100E";
    pub(crate) const PRIORITY: &str = "00741200";
    pub(crate) const WORKLIST: &str = "00741202";
    pub(crate) const PERFORMED: &str = "00741216";
    pub(crate) const REQUESTING_AE: &str = "00741236";
    pub(crate) const REASON: &str = "00741238";
}

/// Procedure Step State (0074,1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum StepState {
    /// Planned; nobody has taken it.
    #[serde(rename = "SCHEDULED")]
    Scheduled,
    /// Taken under a Transaction UID.
    #[serde(rename = "IN PROGRESS")]
    InProgress,
    /// Ended, done.
    #[serde(rename = "COMPLETED")]
    Completed,
    /// Ended, not done.
    #[serde(rename = "CANCELED")]
    Canceled,
}

impl StepState {
    /// The value of the attribute.
    pub fn term(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
        }
    }

    /// The state of a value.
    pub fn named(term: &str) -> Option<Self> {
        [Self::Scheduled, Self::InProgress, Self::Completed, Self::Canceled].into_iter().find(|s| s.term() == term)
    }

    /// Whether nothing changes it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

/// Why a request was not done: nothing has changed. The texts name attributes, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpsError {
    /// The facility has a step under this UID.
    #[error("the SOP Instance UID is in use")]
    Duplicate,
    /// A required attribute is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A required attribute has no value.
    #[error("{0} has no value")]
    Empty(String),
    /// A value that is none of the attribute, or an attribute that may not be set.
    #[error("{0}")]
    Invalid(String),
    /// A new step in another state.
    #[error("a step is created SCHEDULED")]
    NotScheduled,
    /// No such step here, or not for the caller.
    #[error("there is no such step")]
    Unknown,
    /// The step has ended.
    #[error("the step may no longer be updated")]
    Ended,
    /// Without the right Transaction UID.
    #[error("the correct Transaction UID was not provided")]
    Transaction,
    /// Taken already.
    #[error("the step is already IN PROGRESS")]
    InProgress,
    /// Back to SCHEDULED.
    #[error("a step becomes SCHEDULED only by being created")]
    OnlyCreated,
    /// What the final state asks for is not there.
    #[error("final state: {0}")]
    FinalState(String),
    /// Not taken yet.
    #[error("the step is not yet IN PROGRESS")]
    NotInProgress,
    /// A cancel of what is done.
    #[error("the step is already COMPLETED")]
    Completed,
    /// Nobody hears a request to cancel.
    #[error("the performer cannot be contacted: nobody is subscribed to the step")]
    NobodyListens,
    /// The receiving AE title is none.
    #[error("the receiving AE title is missing or none")]
    Receiver,
    /// An action that this instance does not have.
    #[error("the action is not appropriate for this instance")]
    NotAppropriate,
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// Not now: the journal takes nothing.
    #[error("not available now: {0}")]
    Unavailable(String),
}

/// What a request that was done is answered with beside success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// The step was created with modifications.
    Modified,
    /// The step was canceled before.
    AlreadyCanceled,
    /// The step was completed before.
    AlreadyCompleted,
}

/// The steps of all facilities.
pub struct Ups {
    journal: Journal,
    keys: OpenKeys,
    clock: Arc<dyn Clock>,
    /// Held from the look at a step to its new place in memory: changes come one after the other.
    change: Mutex<()>,
    state: RwLock<State>,
    channels: Channels,
    /// When what was forgotten was last taken out of the journal, milliseconds since 1970 UTC.
    erased: AtomicU64,
}

impl std::fmt::Debug for Ups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ups").finish_non_exhaustive()
    }
}

impl Ups {
    /// Opens the journal of steps beside the others and reads it.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub(crate) fn open(options: &Options, keys: Arc<KeyRing>) -> Result<Arc<Self>, OpenError> {
        let dirs = options.journal_dirs().into_iter().map(|dir| dir.join("ups")).collect();
        let journal = JournalOptions {
            segment_bytes: SEGMENT_BYTES,
            blob_above: SEGMENT_BYTES / 2,
            reserve_bytes: RESERVE_BYTES.min(options.reserve_bytes),
            spare_segments: 0,
            ..JournalOptions::new(dirs)
        };
        let (journal, _) = Journal::open(Arc::new(RealDisk), journal)?;
        let mut state = State::default();
        journal.replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            let read = serde_json::from_slice(replayed.head);
            let record = read.map_err(|error| OpenError::Fact { lsn: replayed.lsn, what: format!("ups: {error}") })?;
            state.apply(record, replayed.lsn, &replayed.place);
            Ok(())
        })?;
        // Spares the next start from moving the last batch again.
        journal.mark()?;
        let ups = Self {
            journal,
            keys: OpenKeys::new(keys, seal::OPEN_MAX),
            clock: Arc::clone(&options.clock),
            change: Mutex::new(()),
            state: RwLock::new(state),
            channels: Channels::default(),
            erased: AtomicU64::new(0),
        };
        ups.open_filters();
        ups.tell_restart();
        Ok(Arc::new(ups))
    }

    /// Directories that failed while the other one goes on.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.journal.alarms()
    }

    /// What a copy of it consists of.
    pub(crate) fn image(&self) -> Result<Image<'_>, OpenError> {
        Ok(self.journal.image()?)
    }

    /// Ends with nothing left to move at the next start.
    pub(crate) fn close(&self) -> Result<(), OpenError> {
        self.channels.close();
        self.journal.sync()?;
        self.journal.mark()?;
        self.journal.sync()?;
        Ok(())
    }

    /// The facility whose steps a caller changes under a root: the root's own, else the caller's.
    ///
    /// # Errors
    /// [`UpsError::Invalid`] on the shared root for a caller without a facility; [`UpsError::Unknown`] for a facility
    /// it may not see.
    pub fn facility(caller: &Caller, scope: Scope) -> Result<FacilityCode, UpsError> {
        let facility = match scope {
            Scope::Facility(facility) => facility,
            Scope::Shared => caller.home.ok_or_else(|| {
                UpsError::Invalid("the caller belongs to no facility: use a facility's own root".into())
            })?,
        };
        if caller.may_see(facility) { Ok(facility) } else { Err(UpsError::Unknown) }
    }

    /// Appends one record and makes it durable, then makes it true. The caller holds `change`.
    fn commit(&self, record: record::UpsRecord, body: Option<Vec<u8>>) -> Result<(), UpsError> {
        self.append(record, body, true)
    }

    fn append(&self, record: record::UpsRecord, body: Option<Vec<u8>>, sync: bool) -> Result<(), UpsError> {
        let unavailable = |error: store::StoreError| UpsError::Unavailable(error.to_string());
        let head = serde_json::to_vec(&record).map_err(|error| UpsError::Unavailable(error.to_string()))?;
        let body = body.map_or(Body::None, |bytes| Body::Inline(vec![bytes.into()]));
        let filtered =
            matches!(&record, record::UpsRecord::Global { global: Some(global), .. } if global.is_filtered());
        let placed = self.journal.append(&[Record { head, body }]).map_err(unavailable)?;
        if sync {
            self.journal.sync().map_err(unavailable)?;
        }
        let titles = match placed.first() {
            Some((lsn, place)) => self.state.write().apply(record, *lsn, place),
            None => return Err(UpsError::Unavailable("the journal gave no place".into())),
        };
        if filtered {
            self.open_filters();
        }
        titles.iter().for_each(|(facility, title)| self.channels.wake(*facility, title));
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

impl crate::Archive {
    /// Unified Procedure Steps.
    pub fn ups(&self) -> &Arc<Ups> {
        &self.ups
    }
}

/// Whether an AE title could be a subscriber.
pub(crate) fn receiver(text: &str) -> Result<AeTitle, UpsError> {
    AeTitle::parse(text).map_err(|_| UpsError::Receiver)
}

/// A UID nobody else has (PS3.5 annex B.2).
pub(crate) fn fresh_uid(now: u64) -> Result<Uid, UpsError> {
    let id = store::draw_pack_id(now).map_err(|error| UpsError::Unavailable(error.to_string()))?;
    let number = id.as_bytes().iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    Uid::parse(&format!("2.25.{number}")).map_err(|error| UpsError::Unavailable(error.to_string()))
}
