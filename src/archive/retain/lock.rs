//! How long a copy in a locked bucket must be kept: the same rules that a plan goes by, and never shorter.

use super::candidate::Study;
use crate::error::RetrieveError;
use crate::open::Archive;
use crate::tier::cloud::Keep;
use index::StudyKey;
use model::date::{DAY_MS, Date};
use model::retention::{HoldTarget, RetentionFact, RuleSet, StudyRef};
use std::sync::Arc;

/// For so many days a copy is locked whose end no rule can name yet: kept for ever, or until years after a death.
const NO_END_DAYS: u64 = 36_525;
/// No lock is asked to last longer, 1 January 2106 in milliseconds since 1970 UTC: servers that keep the date in 32 bits
/// (Ceph 16 for one) would take a later one for a day long past.
const LAST_MS: u64 = 4_291_747_200_000;
/// A lock without end is lengthened when it is shorter by so many days than one that is set today.
const RENEWED_DAYS: u64 = 365;

/// How long a study is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The end of the last day, milliseconds since 1970 UTC; far away when no rule can name it.
    until: u64,
    /// No rule can name the end.
    endless: bool,
    held: bool,
}

impl Kept {
    /// What a copy made now is given.
    pub(crate) const fn now(self) -> Keep {
        Keep { until: Some(self.until), held: self.held }
    }

    /// What a copy needs that is locked until `locked` and held or not; none when it has it.
    pub(crate) fn beyond(self, locked: Option<u64>, held: bool) -> Option<Keep> {
        let slack = if self.endless { RENEWED_DAYS * DAY_MS } else { 0 };
        let short = locked.is_none_or(|locked| locked.saturating_add(slack) < self.until);
        (short || held != self.held).then_some(Keep { until: short.then_some(self.until), held: self.held })
    }
}

/// The studies whose keeping a fact may change.
pub(super) enum Touched {
    None,
    Studies(Vec<StudyKey>),
    /// Nobody knows which without looking at all.
    Any,
}

/// Which studies are to be looked at after a fact; `target` finds what a hold named.
pub(super) fn touched(
    fact: &RetentionFact,
    target: impl Fn(&model::retention::HoldId) -> Option<HoldTarget>,
) -> Touched {
    let of_target = |target: &HoldTarget| match target {
        HoldTarget::Study(study) => Touched::Studies(vec![StudyKey::from(study)]),
        HoldTarget::Studies { studies, .. } => Touched::Studies(studies.iter().map(StudyKey::from).collect()),
        HoldTarget::Patient(_) => Touched::Any,
    };
    match fact {
        RetentionFact::HoldMade(hold) => of_target(&hold.target),
        RetentionFact::HoldReleased(release) => target(&release.hold).as_ref().map_or(Touched::Any, of_target),
        RetentionFact::RecordLinked { study, .. }
        | RetentionFact::RecordUnlinked { study, .. }
        | RetentionFact::Decided { study, .. } => Touched::Studies(vec![StudyKey::from(study)]),
        RetentionFact::SeriesMoved(moved) => {
            Touched::Studies(moved.studies().into_iter().map(StudyKey::from).collect())
        }
        RetentionFact::RulesAdopted { .. } | RetentionFact::DeathRecorded { .. } => Touched::Any,
        _ => Touched::None,
    }
}

impl Archive {
    /// How long the rules in force and the standing holds keep a study. Before any rules were adopted it is those of
    /// the configuration.
    ///
    /// # Errors
    /// When the index does not answer, or the study is gone.
    pub(crate) fn kept(&self, study: &StudyKey) -> Result<Kept, RetrieveError> {
        let unavailable = |what: String| RetrieveError::Unavailable { what };
        let state = self.retention().state.read();
        let configured = || RuleSet::parse(&self.options().retention.rules).map(Arc::new);
        let rules = match state.rules() {
            Some(rules) => rules,
            None => configured().map_err(|error| unavailable(format!("retention rules: {error}")))?,
        };
        let named = StudyRef { facility: study.facility, study: study.study.clone(), patient: study.patient };
        let now = self.now_ms();
        let judged = (rules.as_ref(), Date::of_ms(now));
        let found = Study::named(self.index().as_ref(), &state, judged, &named)?.ok_or(RetrieveError::NotFound)?;
        let last = found.decide(&rules, Date::of_ms(now)).due.last_day();
        let no_end = now.saturating_add(NO_END_DAYS * DAY_MS);
        let until = last.map_or(no_end, |last| last.start_ms().saturating_add(DAY_MS)).min(LAST_MS);
        let held = !state.holds.held_by(&named, &found.patients).is_empty();
        Ok(Kept { until, endless: last.is_none(), held })
    }

    /// Tells the tiers which copies may have to be kept longer after a fact.
    pub(super) fn lock_after(&self, fact: &RetentionFact) {
        let state = self.retention().state.read();
        let locks = self.tiers().locks();
        match touched(fact, |hold| state.holds.get(hold).map(|(hold, _)| hold.target.clone())) {
            Touched::None => {}
            Touched::Studies(studies) => locks.named(studies),
            Touched::Any => locks.again(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_lengthened_when_it_is_short_and_never_otherwise() {
        let day = DAY_MS;
        let kept = Kept { until: 1_000 * day, endless: false, held: false };
        assert_eq!(kept.beyond(Some(1_000 * day), false), None);
        assert_eq!(kept.beyond(Some(2_000 * day), false), None, "a longer one stays");
        let longer = Keep { until: Some(1_000 * day), held: false };
        assert_eq!(kept.beyond(Some(999 * day), false), Some(longer));
        assert_eq!(kept.beyond(None, false), Some(longer));
        assert_eq!(kept.beyond(Some(2_000 * day), true), Some(Keep { until: None, held: false }), "released");
        let held = Kept { held: true, ..kept };
        assert_eq!(held.beyond(Some(2_000 * day), false), Some(Keep { until: None, held: true }));
        let endless = Kept { endless: true, ..kept };
        assert_eq!(endless.beyond(Some(700 * day), false), None, "not every day");
        assert_eq!(endless.beyond(Some(600 * day), false), Some(longer));
    }
}
