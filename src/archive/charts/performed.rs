//! Performed procedure steps. SCAFFOLD: to be filled by the branch `orders`.

use super::{ChartError, Charts};
use model::{AeTitle, FacilityCode, Uid};
use serde_json::{Map, Value};

impl Charts {
    /// A modality begins a step (MPPS N-CREATE): the data set as DICOM JSON.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn begin_performed(
        &self,
        _facility: FacilityCode,
        _station: &AeTitle,
        _uid: &Uid,
        _document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }

    /// A modality says more of a step, or ends it (MPPS N-SET).
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn set_performed(
        &self,
        _facility: FacilityCode,
        _uid: &Uid,
        _document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }
}
