//! The worklist in memory. SCAFFOLD: to be filled by the branch `orders`.

use super::{ChartError, Charts, WorklistItem, WorklistQuery};
use model::FacilityCode;
use model::chart::{ChartKey, ChartRow};

/// Open orders and their patients.
#[derive(Debug, Default)]
pub(super) struct Worklist {}

#[expect(clippy::unused_self, reason = "to be filled")]
impl Worklist {
    /// A row as it stands now.
    pub(super) fn put(&self, _row: &ChartRow) {}

    /// There is no such row any more.
    pub(super) fn gone(&self, _key: &ChartKey) {}
}

impl Charts {
    /// Open steps that match, in order of start, until `each` says no. From memory.
    ///
    /// # Errors
    /// When there is no worklist.
    pub fn worklist(
        &self,
        _facility: FacilityCode,
        _query: &WorklistQuery,
        _each: &mut dyn FnMut(WorklistItem) -> bool,
    ) -> Result<(), ChartError> {
        Err(ChartError::Unavailable(String::new()))
    }
}
