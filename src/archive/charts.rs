//! Charts: what information systems say of patients, visits, orders and results, made durable and found again.
//!
//! Every change is one synced record of a journal of its own, which holds the new state of every row it touches, sealed
//! by a key of the patient (docs/adr/0017). The index of charts is a view of it. One change comes after the other.
//! Deliberately not here: HL7, FHIR, DICOM attributes; how images and orders find each other.

use crate::open::Archive;
pub use index::charts::{ChartCursor, ChartDriver, ChartPage, ChartQuery};
use model::chart::{ChartKey, ChartRow, Handled, Inbound, Order, Patient, Step};
use model::{AeTitle, Caller, FacilityCode, Uid};
use serde_json::{Map, Value};
use std::sync::Arc;

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
pub struct Charts {}

#[allow(unused_variables)]
impl Charts {
    /// A row the caller may see.
    pub fn get(&self, caller: &Caller, key: &ChartKey) -> Result<Option<ChartRow>, ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// One page of an answer; facilities the caller may not see are left out.
    pub fn find(
        &self,
        caller: &Caller,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// Takes a message: its effects and the message itself are durable on return. The same origin and digest within a
    /// week (`charts.repeat_window`) gives the same receipt and no second effect; the same control id with other
    /// content is another message, with a remark.
    pub fn receive(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// The patient a number stands for now: through merges, to the one that stays.
    pub fn patient(&self, facility: FacilityCode, mrn: &str) -> Result<Option<Arc<Patient>>, ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// Undoes a merge: the former number, its visits, orders and results are as they were.
    pub fn unmerge(&self, facility: FacilityCode, merge: &str, by: &str) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// Open steps that match, in order of start, until `each` says no. From memory.
    pub fn worklist(
        &self,
        facility: FacilityCode,
        query: &WorklistQuery,
        each: &mut dyn FnMut(WorklistItem) -> bool,
    ) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// A modality begins a step (MPPS N-CREATE): the data set as DICOM JSON.
    pub fn begin_performed(
        &self,
        facility: FacilityCode,
        station: &AeTitle,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// A modality says more of a step, or ends it (MPPS N-SET).
    pub fn set_performed(
        &self,
        facility: FacilityCode,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }
}

impl Archive {
    /// Charts.
    pub fn charts(&self) -> &Arc<Charts> {
        &self.charts
    }
}
