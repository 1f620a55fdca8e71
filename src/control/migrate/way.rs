//! What every way of a migration can do, whatever the other archive speaks.

use super::pulled::Pulled;
use std::collections::BTreeMap;

/// A study as the other archive tells of it.
pub(super) struct StudyTold {
    /// Study Instance UID.
    pub(super) uid: String,
    /// How many objects it has, where that is told.
    pub(super) instances: Option<u64>,
}

/// What the other archive says it has of a study: SOP Instance and Class UIDs; the class may be empty.
pub(super) type Told = BTreeMap<String, String>;

/// Why the other archive did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// For the operator.
    pub(super) what: String,
    /// Whether trying again later may help.
    pub(super) passing: bool,
}

/// One way to ask and to fetch.
pub(super) trait Way {
    /// Studies of these dates, `FROM-TO`; empty for all.
    fn studies(&mut self, dates: &str) -> Result<Vec<StudyTold>, Trouble>;

    /// The objects of a study.
    fn told(&mut self, study: &str) -> Result<Told, Trouble>;

    /// Fetches a study; what came has a fate in `pulled`, also where the end is trouble.
    fn fetch(&mut self, study: &str, told: &Told, pulled: &mut Pulled<'_>) -> Result<(), Trouble>;
}
