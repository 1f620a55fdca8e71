//! How long a copy in a locked bucket must be kept: the same rules that a plan goes by, and never shorter.

use super::candidate::Study;
use crate::error::RetrieveError;
use crate::open::Archive;
use index::StudyKey;
use model::date::{DAY_MS, Date};
use model::retention::{RuleSet, StudyRef};
use std::sync::Arc;

/// For so many days a copy is locked whose end no rule can name yet: kept for ever, or until years after a death.
const NO_END_DAYS: u64 = 36_525;

impl Archive {
    /// Until when the rules in force keep a study, milliseconds since 1970 UTC: the end of the last day. Before any
    /// rules were adopted it is those of the configuration.
    ///
    /// # Errors
    /// When the index does not answer, or the study is gone.
    pub(crate) fn kept_until(&self, study: &StudyKey) -> Result<u64, RetrieveError> {
        let unavailable = |what: String| RetrieveError::Unavailable { what };
        let state = self.retention().state.read();
        let configured = || RuleSet::parse(&self.options().retention.rules).map(Arc::new);
        let rules = match state.rules() {
            Some(rules) => rules,
            None => configured().map_err(|error| unavailable(format!("retention rules: {error}")))?,
        };
        let named = StudyRef { facility: study.facility, study: study.study.clone(), patient: study.patient };
        let found = Study::named(self.index().as_ref(), &state, &named)?.ok_or(RetrieveError::NotFound)?;
        let now = self.now_ms();
        let due = found.decide(&rules, Date::of_ms(now)).due;
        let no_end = now.saturating_add(NO_END_DAYS * DAY_MS);
        Ok(due.last_day().map_or(no_end, |last| last.start_ms().saturating_add(DAY_MS)))
    }
}
