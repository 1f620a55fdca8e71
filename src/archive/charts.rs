//! Charts: what information systems say of patients, visits, orders and results, made durable and found again.
//!
//! Every change is one synced record of a journal of its own, which holds the new state of every row it touches, sealed
//! by a key of the patient (docs/adr/0017). The index of charts is a view of it. One change comes after the other.
//! Deliberately not here: HL7, FHIR, DICOM attributes; how images and orders find each other.

mod asking;
mod completeness;
pub mod inquiries;
mod journal;
mod keys;
mod matching;
mod opening;
mod openings;
mod orders;
pub mod outbox;
mod parked;
mod patients;
mod performed;
mod persons;
mod reads;
mod receive;
mod records;
mod search;
mod sequence;
mod sweep;
#[cfg(test)]
mod tests;
mod tickets;
mod times;
mod turnaround;
mod upcoming;
mod verify;
mod visits;
mod worklist;
mod writing;

pub use asking::MessageFilter;
pub use completeness::{Completeness, CompletenessPlace, Lack, Numbers, OfSeries};
pub use index::charts::{Answer, ChartCursor, ChartDriver, ChartNames, ChartPage, ChartQuery, Hit, Why};
pub use matching::ToDecide;
pub(crate) use matching::start as start_matching;
pub use opening::Rebuilt;
pub(crate) use opening::rebuild;
pub use persons::{Member, Person, Sure};
pub(crate) use reads::start as start_reads;
pub use reads::{ReadFilter, Reader};
pub(crate) use sweep::start as start_sweep;
pub use tickets::{IssuedShare, SHARED_MAX, ShareAnswer, ShareOptions, SharedStudies, WantedShare};
pub use turnaround::{
    Change, Days, DaysError, Measured, Stage, StageLine, Turnaround, TurnaroundLine, TurnaroundQuery,
};
pub(crate) use upcoming::{Expected, ExpectedName};

use crate::clock::Clock;
use crate::open::Archive;
use crate::seal::OpenKeys;
use index::charts::Charts as ChartView;
use model::chart::{Handled, Order, Patient, Step};
use model::{AeTitle, FacilityCode, Lsn, PackId, Uid};
use parked::Waiting;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use store::Journal;
use worklist::Worklist;
use writing::Unsettled;

/// Size of a segment of the journal of charts in bytes.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Most bytes of a record, compressed.
const BODY_MAX: u64 = 14 << 20;
/// Free space this journal leaves.
const RESERVE_BYTES: u64 = 64 << 20;
/// Keys kept open.
const OPEN_MAX: u64 = 16_384;
/// Most rows of one page of an answer.
pub const PAGE_MAX: usize = 1_000;
/// Most rows of kinds that may be long: messages, results, performed steps.
pub const LONG_PAGE_MAX: usize = 100;
/// A page of such rows ends with the one that makes it this long, in bytes.
pub const PAGE_BYTES: usize = 16 << 20;

/// How charts are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartOptions {
    /// So long a message is known again: sent once more it has no second effect.
    pub repeat: Duration,
    /// So long a message, and every earlier state of a row, is kept.
    pub messages: Duration,
    /// So long, and while the study is here, it is kept who read it.
    pub reads: Duration,
    /// So long a message waits for what it refers to.
    pub park: Duration,
    /// An open step is in the worklist until so many days after its day.
    pub worklist_days: u16,
    /// How what waits to be told is tried.
    pub outbox: outbox::OutboxOptions,
    /// Who verifies personal identification numbers; none: nobody is asked.
    pub verifier: Option<inquiries::VerifierOptions>,
}

impl Default for ChartOptions {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self {
            repeat: days(7),
            messages: days(90),
            reads: days(1_827),
            park: Duration::from_secs(600),
            worklist_days: 30,
            outbox: outbox::OutboxOptions::default(),
            verifier: None,
        }
    }
}

/// Why a request was not done: nothing has changed. The texts carry no patient's data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// What was sent is none: what, where, what to do.
    #[error("{0}")]
    Invalid(String),
    /// No such row here, or not for the caller.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// It is there already, or its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// It refers to something that has not come yet.
    #[error("waits for {0}")]
    Waits(String),
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// Not now: the journal takes nothing.
    #[error("not available now: {0}")]
    Unavailable(String),
}

/// What a message is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What became of it.
    pub handled: Handled,
    /// Whether it came before and nothing happened now.
    pub repeated: bool,
    /// Remarks without a patient's data.
    pub remarks: Vec<String>,
}

/// A line of a worklist.
#[derive(Debug, Clone, PartialEq)]
pub struct WorklistItem {
    /// Facility.
    pub facility: FacilityCode,
    /// The order.
    pub order: Arc<Order>,
    /// One of its steps.
    pub step: Step,
    /// The patient.
    pub patient: Arc<Patient>,
}

/// What a worklist is asked for (PS3.4 table K.6-1). Empty texts and lists match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorklistQuery {
    /// Scheduled Station AE Title; a step without a station matches every one.
    pub station: Option<AeTitle>,
    /// Days from and to, `YYYYMMDD`, both included; empty: open.
    pub days: (String, String),
    /// Times of day from and to, `HHMMSS`, both included; empty: open. With both days given they bound the whole span.
    pub times: (String, String),
    /// Modalities.
    pub modalities: Vec<String>,
    /// Patient's Name, wildcards and folding as C-FIND has them.
    pub name: String,
    /// Patient ID, exact.
    pub mrn: String,
    /// Accession Number, exact.
    pub accession: String,
    /// Requested Procedure ID, exact.
    pub procedure_id: String,
    /// Scheduled Procedure Step ID, exact.
    pub step_id: String,
    /// Study Instance UIDs.
    pub studies: Vec<Uid>,
}

/// Charts of all facilities.
pub struct Charts {
    journal: Journal,
    keys: OpenKeys,
    clock: Arc<dyn Clock>,
    options: ChartOptions,
    view: Arc<dyn ChartView>,
    worklist: Worklist,
    /// Studies and orders that are to be looked at.
    due: matching::Due,
    /// Who is told of what, and what waits to be told.
    outbox: outbox::Outbox,
    /// What a verifier is to be asked.
    inquiries: inquiries::Queue,
    /// Patients whose person is to be looked at.
    persons: persons::Due,
    /// Performed steps whose instances are to be looked for.
    ended: completeness::Due,
    /// Studies that were looked at.
    openings: openings::Openings,
    /// Who reads what, as far as it is not written yet.
    reads: reads::Reads,
    /// Held by whoever makes a report.
    reporting: Mutex<()>,
    /// Who is expected beside those of the worklist.
    upcoming: upcoming::Upcoming,
    /// Held from the look at rows to the record of their new state: changes come one after the other.
    change: Mutex<()>,
    /// What is recorded and not yet in the view.
    unsettled: Mutex<Unsettled>,
    /// Held by whoever makes records durable and puts them into the view.
    settling: Mutex<()>,
    /// The newest record of which everything is in the view.
    settled: AtomicU64,
    /// Set while records go into the view; still set when nobody does so, somebody died over it.
    applying: AtomicBool,
    /// Keys made for numbers of patients about whom nothing is recorded yet.
    fresh: Mutex<HashMap<(FacilityCode, String), PackId>>,
    /// Why nothing is taken until restart.
    broken: Mutex<Option<String>>,
    /// Day and key of rows about nobody in particular.
    daily: Mutex<HashMap<FacilityCode, (u64, PackId)>>,
    /// Messages that wait.
    parked: Mutex<Waiting>,
    /// How often something was done in a facility while messages waited there.
    stirred: Mutex<BTreeMap<FacilityCode, u64>>,
    /// The record up to which the view was last flushed.
    flushed: AtomicU64,
}

impl std::fmt::Debug for Charts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charts").finish_non_exhaustive()
    }
}

impl Charts {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Number of the newest record in the view.
    pub fn applied(&self) -> Lsn {
        self.view.applied()
    }
}

impl Archive {
    /// Charts.
    pub fn charts(&self) -> &Arc<Charts> {
        &self.charts
    }
}
