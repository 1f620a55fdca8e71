//! Executing plans: each study is looked at, hidden, looked at again after the days to undo, and destroyed.
//!
//! Where a study of a plan stands is read from the facts about it, so a pass over a plan's text can be ended anywhere
//! and begun again, and memory does not grow with the plan.
//! Deliberately not here: the bytes ([`super::sweep`]).

use super::candidate::{Study, state_of};
use super::plans::{digest_of, read_plan, rules_of};
use super::state::Known;
use super::{RetainError, Turn, invalid};
use crate::open::Archive;
use index::StudyKey;
use model::Digest;
use model::date::Date;
use model::retention::{
    Person, PlanEntry, PlanId, PlanLine, PlanState, Refusal, RetentionFact, StudyRef, StudyState, Tombstone,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A plan that waits is looked at this often, in milliseconds: a late arrival makes a hidden study visible again.
const LOOK_EVERY_MS: u64 = 600_000;
/// Longest sleep without a look whether the archive stops.
const NAP: Duration = Duration::from_millis(50);
/// Refusals named one by one.
const NAMED_MAX: usize = 1_000;

/// How the studies of a plan stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanProgress {
    /// Nothing was done to them.
    pub planned: u64,
    /// Hidden, bytes untouched.
    pub hidden: u64,
    /// Destroyed.
    pub destroyed: u64,
    /// Restored by a person.
    pub restored: u64,
    /// Refused and visible.
    pub taken_out: u64,
    /// The first of those refused, and why.
    pub refused: Vec<(StudyRef, Refusal)>,
    /// Whether bytes of destroyed studies, of whatever plan, still wait to be removed.
    pub sweeping: bool,
}

/// What a pass over a plan found.
#[derive(Default)]
struct Tally {
    destroyed: u64,
    spared: u64,
    open: u64,
    recorded: u64,
    /// When the next step of any study may be due.
    next: Option<u64>,
}

impl Tally {
    fn wait(&mut self, until: u64) {
        self.open += 1;
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
    }
}

impl Archive {
    /// How the studies of a plan stand.
    ///
    /// # Errors
    /// When there is no such plan, or its text is not at hand.
    pub fn plan_progress(&self, plan: &PlanId) -> Result<PlanProgress, RetainError> {
        self.retention_plan(plan)?;
        let mut found = PlanProgress { sweeping: self.index().sweep_due()?.is_some(), ..PlanProgress::default() };
        read_plan(&self.plan_path(plan), &mut |line| {
            let PlanLine::Due(entry) = line else { return Ok(()) };
            match state_of(self.index().as_ref(), plan, &entry)? {
                StudyState::Planned => found.planned += 1,
                StudyState::Hidden { .. } => found.hidden += 1,
                StudyState::Destroyed { .. } => found.destroyed += 1,
                StudyState::Restored => found.restored += 1,
                StudyState::TakenOut(why) => {
                    found.taken_out += 1;
                    if found.refused.len() < NAMED_MAX {
                        found.refused.push((entry.study, why));
                    }
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Makes a hidden study visible again; it can only go by another plan.
    ///
    /// # Errors
    /// When it is not hidden or destroyed already.
    pub fn restore_study(&self, study: &StudyRef, by: Person, reason: String) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        if reason.trim().is_empty() {
            return Err(invalid("a reason is needed"));
        }
        let buried = self.index().buried(study.facility, &study.study)?;
        let row = match self.study_named(study) {
            Err(_) if buried.iter().any(|known| known.patient == study.patient) => {
                return Err(Refusal::AlreadyDestroyed.into());
            }
            other => other?,
        };
        let plan = row.hidden_by.as_deref().and_then(PlanId::parse).ok_or(Refusal::NotHidden)?;
        self.retention_plan(&plan)?.record.restore(&StudyState::Hidden { since: 0 })?;
        self.retain(RetentionFact::StudyRestored {
            plan,
            study: study.clone(),
            by,
            reason,
            at: self.now_ms(),
            seal: None,
        })
    }

    /// Goes on with every plan that is executing and has something to do.
    pub(super) fn execute_plans(&self) -> Result<(), RetainError> {
        for known in self.retention_plans() {
            if !matches!(known.record.state, PlanState::Executing(..)) || !self.has_turn(&known.record.head.plan) {
                continue;
            }
            self.pass(&known)?;
        }
        Ok(())
    }

    /// The same at once, for tests that must see that nothing happens.
    #[cfg(test)]
    pub(crate) fn execute_now(&self) -> Result<(), RetainError> {
        self.retention().turns.lock().clear();
        self.execute_plans()
    }

    fn has_turn(&self, plan: &PlanId) -> bool {
        let changes = self.retention().changes.load(Ordering::Relaxed);
        let turn = self.retention().turns.lock().get(plan).copied();
        turn.is_none_or(|turn| turn.changes != changes || turn.at <= self.now_ms())
    }

    /// Takes every study of a plan as far as it may go now.
    fn pass(&self, known: &Known) -> Result<(), RetainError> {
        let plan = &known.record.head.plan;
        let before = self.retention().changes.load(Ordering::Relaxed);
        let later = |at: u64, recorded: u64| {
            let at = at.min(self.now_ms().saturating_add(LOOK_EVERY_MS));
            let turn = Turn { at, changes: before.wrapping_add(recorded) };
            self.retention().turns.lock().insert(plan.clone(), turn);
        };
        let path = self.plan_path(plan);
        let sound = digest_of(&path).and_then(|digest| Ok(known.record.resume(digest)?));
        if let Err(error) = sound {
            // Said once, then every so often: nothing is destroyed by a text that nobody approved.
            later(u64::MAX, 0);
            return Err(error);
        }
        let mut tally = Tally::default();
        read_plan(&path, &mut |line| match line {
            PlanLine::Due(entry) => self.step(known, &entry, &mut tally),
            _ => Ok(()),
        })?;
        if tally.open > 0 {
            later(tally.next.unwrap_or(u64::MAX), tally.recorded);
            return Ok(());
        }
        let _turn = self.retention().change.lock();
        known.record.finish()?;
        let (destroyed, spared, at) = (tally.destroyed, tally.spared, self.now_ms());
        self.retain(RetentionFact::PlanFinished { plan: plan.clone(), destroyed, spared, at })?;
        tracing::info!(%plan, destroyed, spared, "a retention plan is executed");
        Ok(())
    }

    /// Takes one study one step further, if it may go.
    fn step(&self, known: &Known, entry: &PlanEntry, tally: &mut Tally) -> Result<(), RetainError> {
        if self.stopping().load(Ordering::Relaxed) {
            return Err(RetainError::Interrupted);
        }
        // What information systems said a moment ago counts, too.
        self.take_records_of(&entry.study)?;
        let turn = self.retention().change.lock();
        let state = state_of(self.index().as_ref(), &known.record.head.plan, entry)?;
        match state {
            StudyState::Destroyed { .. } => {
                tally.destroyed += 1;
                self.charts().note_study(&StudyKey::from(&entry.study));
            }
            StudyState::Restored | StudyState::TakenOut(_) => tally.spared += 1,
            StudyState::Planned | StudyState::Hidden { .. } => {
                let Some(fact) = self.next_fact(known, entry, &state, tally)? else { return Ok(()) };
                let recorded = self.retain(fact);
                tally.recorded += u64::from(recorded.is_ok());
                drop(turn);
                // What was found of it beside its order goes with it.
                self.charts().note_study(&StudyKey::from(&entry.study));
                if let Err(error) = recorded {
                    // Something came in at the last moment, say: the next look finds out.
                    tracing::info!(study = %entry.study, %error, "a study is not destroyed now");
                    tally.wait(self.now_ms());
                }
                self.throttle();
            }
        }
        Ok(())
    }

    /// What is to be recorded of a study now; none when it has to wait.
    fn next_fact(
        &self,
        known: &Known,
        entry: &PlanEntry,
        state: &StudyState,
        tally: &mut Tally,
    ) -> Result<Option<RetentionFact>, RetainError> {
        let (plan, study, at) = (known.record.head.plan.clone(), entry.study.clone(), self.now_ms());
        let today = Date::of_ms(at);
        let retention = self.retention().state.read();
        let rules = rules_of(&retention)?;
        let found = Study::named(self.index().as_ref(), &retention, (&rules, today), &entry.study)?;
        let now = found.as_ref().map(|found| found.now(&retention, &rules, today));
        let judged = match state {
            StudyState::Hidden { .. } => known.record.destroy(entry, state, now.as_ref(), at),
            _ => known.record.hide(entry, state, now.as_ref(), at),
        };
        match (judged, state, found) {
            (Ok(_), StudyState::Hidden { since }, Some(found)) => {
                let counted_from = found.decide(&rules, today).counted_from;
                let blind = Digest(store::keys::draw_random().map_err(crate::RetrieveError::from)?);
                let PlanState::Executing(approval, _) = &known.record.state else { return Ok(None) };
                let mut seals = self.seals_of(&found, &retention)?;
                seals.extend(self.ups().seals_about(study.facility, &study.study)?);
                tally.destroyed += 1;
                Ok(Some(RetentionFact::StudyDestroyed(Box::new(Tombstone {
                    study,
                    version: found.version,
                    plan,
                    plan_digest: known.record.digest,
                    approved_by: approval.by.clone(),
                    class: entry.class.clone(),
                    rule: entry.rule.clone(),
                    rules: entry.rules,
                    counted_from,
                    due: entry.due,
                    instances: found.row.instances,
                    bytes: found.bytes,
                    hidden_at: *since,
                    destroyed_at: at,
                    blind,
                    seals,
                    taken: found.taken,
                }))))
            }
            (Ok(_), _, _) => {
                let undo = u64::from(known.record.head.undo_days).saturating_mul(model::date::DAY_MS);
                tally.wait(at.saturating_add(undo));
                Ok(Some(RetentionFact::StudyHidden { plan, study, version: entry.version, at }))
            }
            (Err(why), _, _) if why.takes_out() => {
                tally.spared += 1;
                Ok(Some(RetentionFact::StudyTakenOut { plan, study, why, at }))
            }
            (Err(why), _, _) => {
                tally.wait(if let Refusal::UndoWindow { until } = why { until } else { u64::MAX });
                Ok(None)
            }
        }
    }

    /// Rests between two studies, so that everything else goes on.
    fn throttle(&self) {
        let mut rest = Duration::from_secs(1) / self.options().retention.studies_per_second.max(1);
        while !rest.is_zero() && !self.stopping().load(Ordering::Relaxed) {
            let nap = rest.min(NAP);
            std::thread::sleep(nap);
            rest -= nap;
        }
    }
}
