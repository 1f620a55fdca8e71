//! Holds, plans, deaths and rules as the facts tell them. Memory grows with their number, not with that of studies.

use index::{Index, IndexError};
use model::PackId;
use model::date::Date;
use model::retention::{
    Holds, PatientRef, PlanApproval, PlanId, PlanRecord, PlanState, RetentionFact, RuleSet, RuleVersion, StudyRef,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// Facts read at once.
const PAGE: usize = 1_000;

/// A plan and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// As far as it is.
    pub record: PlanRecord,
    /// When it was made, milliseconds since 1970.
    pub made_at: u64,
    /// Studies that may go.
    pub due: u64,
    /// Studies that were due and stay.
    pub held: u64,
    /// Studies destroyed and studies spared, once it is executed.
    pub ended: Option<(u64, u64)>,
}

/// A plan for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanView {
    /// Name.
    pub plan: String,
    /// The day it looks at.
    pub as_of: Date,
    /// `planned`, `approved`, `executing`, `executed` or `withdrawn`.
    pub state: String,
    /// Who made it.
    pub made_by: String,
    /// When, milliseconds since 1970.
    pub made_at: u64,
    /// Digest of its text.
    pub digest: String,
    /// The rule set.
    pub rules: String,
    /// Days between hiding and destroying.
    pub undo_days: u16,
    /// Studies that may go.
    pub due: u64,
    /// Studies that were due and stay.
    pub held: u64,
    /// Who approved it, with the remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<(String, String)>,
    /// Who began its execution, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<(String, u64)>,
    /// Studies destroyed and studies spared, once it is executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(u64, u64)>,
}

impl Known {
    /// For people and programs.
    pub fn view(&self) -> PlanView {
        let PlanRecord { head, digest, state } = &self.record;
        let (word, approval, begun): (_, Option<&PlanApproval>, _) = match state {
            PlanState::Planned => ("planned", None, None),
            PlanState::Approved(approval) => ("approved", Some(approval), None),
            PlanState::Executing(approval, begun) => ("executing", Some(approval), Some(begun)),
            PlanState::Executed(approval, begun) => ("executed", Some(approval), Some(begun)),
            PlanState::Withdrawn(_) => ("withdrawn", None, None),
        };
        PlanView {
            plan: head.plan.to_string(),
            as_of: head.as_of,
            state: word.into(),
            made_by: head.made_by.to_string(),
            made_at: self.made_at,
            digest: digest.to_string(),
            rules: head.rules.to_string(),
            undo_days: head.undo_days,
            due: self.due,
            held: self.held,
            approved_by: approval.map(|approval| (approval.by.to_string(), approval.remark.clone())),
            begun: begun.map(|begun| (begun.by.to_string(), begun.at)),
            ended: self.ended,
        }
    }
}

fn number_of(study: &StudyRef) -> u64 {
    let mut hasher = DefaultHasher::new();
    study.hash(&mut hasher);
    hasher.finish()
}

/// Everything about no one study.
#[derive(Default)]
pub(super) struct State {
    pub(super) holds: Holds,
    pub(super) plans: BTreeMap<PlanId, Known>,
    /// The day a patient died, as the newest record says, and the keys of all records of it.
    deaths: HashMap<PatientRef, (Date, Vec<PackId>)>,
    /// Every rule set with the day it came into use, in that order.
    rules: Vec<(Date, Arc<RuleSet>)>,
    /// Studies about which a rejection note says something, as numbers that several may share.
    noted: HashSet<u64>,
}

impl State {
    pub(super) fn load(index: &dyn Index) -> Result<Self, IndexError> {
        let mut state = Self::default();
        let mut after = 0;
        loop {
            let facts = index.retention_facts(after, PAGE)?;
            let Some((last, _)) = facts.last() else { return Ok(state) };
            after = *last;
            facts.iter().for_each(|(_, fact)| state.take(fact));
        }
    }

    /// Takes a recorded fact in. Facts about one study are asked of the index when that study is looked at.
    pub(super) fn take(&mut self, fact: &RetentionFact) {
        match fact {
            RetentionFact::RulesAdopted { text, at, .. } => match RuleSet::parse(text) {
                Ok(rules) => self.rules.push((Date::of_ms(*at), Arc::new(rules))),
                Err(error) => tracing::error!(%error, "a recorded rule set is not understood"),
            },
            RetentionFact::DeathRecorded { patient, on, seal, .. } => {
                let (day, seals) = self.deaths.entry(patient.clone()).or_insert_with(|| (*on, Vec::new()));
                *day = *on;
                seals.extend(*seal);
            }
            RetentionFact::StudyDestroyed(tombstone) if !tombstone.seals.is_empty() => {
                let gone = |seal: &PackId| tombstone.seals.contains(seal);
                self.deaths.retain(|_, (_, seals)| !seals.iter().any(gone));
                self.holds.forget_sealed(&tombstone.seals);
            }
            RetentionFact::InstancesRejected { study, note: Some(_), .. } => {
                self.noted.insert(number_of(study));
            }
            RetentionFact::HoldMade(hold) => self.holds.apply((**hold).clone()),
            RetentionFact::HoldReleased(release) => self.holds.apply_release(release.clone()),
            RetentionFact::PlanMade { head, digest, due, held, at } => {
                let (due, held, made_at) = (*due, *held, *at);
                let record = PlanRecord::new(head.clone(), *digest);
                self.plans.entry(head.plan.clone()).or_insert(Known { record, made_at, due, held, ended: None });
            }
            RetentionFact::PlanApproved(approval) => self.step(&approval.plan, |record| record.approve(approval).ok()),
            RetentionFact::PlanWithdrawn { plan, by, .. } => self.step(plan, |record| record.withdraw(by).ok()),
            RetentionFact::PlanBegun(begun) => self.step(&begun.plan, |record| record.begin(begun).ok()),
            RetentionFact::PlanFinished { plan, destroyed, spared, .. } => {
                self.step(plan, |record| record.finish().ok());
                if let Some(known) = self.plans.get_mut(plan) {
                    known.ended = Some((*destroyed, *spared));
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, plan: &PlanId, next: impl FnOnce(&PlanRecord) -> Option<PlanState>) {
        if let Some(known) = self.plans.get_mut(plan)
            && let Some(state) = next(&known.record)
        {
            known.record.state = state;
        }
    }

    /// Whether there was ever a rejection note.
    pub(super) fn has_notes(&self) -> bool {
        !self.noted.is_empty()
    }

    /// Whether a rejection note may have said something about a study.
    pub(super) fn is_noted(&self, study: &StudyRef) -> bool {
        self.noted.contains(&number_of(study))
    }

    /// The rule set in use.
    pub(super) fn rules(&self) -> Option<Arc<RuleSet>> {
        self.rules.last().map(|(_, rules)| rules.clone())
    }

    /// The rule set that was in use in the evening of a day; before the first one, that.
    pub(super) fn rules_on(&self, day: Date) -> Option<&RuleSet> {
        let used = self.rules.iter().rev().find(|(from, _)| *from <= day).or_else(|| self.rules.first());
        used.map(|(_, rules)| rules.as_ref())
    }

    /// The last days on which rule sets were in use that are not any more when `rules` judge on a day.
    pub(super) fn last_days(&self, rules: &RuleSet, as_of: Date) -> Vec<Date> {
        let begun = self.rules.iter().skip(1).map(|(from, _)| *from);
        let other = self.rules.last().is_some_and(|(_, used)| used.version() != rules.version());
        begun.chain(other.then_some(as_of)).map(|from| from.plus_days(-1)).collect()
    }

    pub(super) fn rule_version(&self) -> Option<RuleVersion> {
        self.rules.last().map(|(_, rules)| rules.version())
    }

    /// The day a patient died, under any identifier.
    pub(super) fn died(&self, patients: &[PatientRef]) -> Option<Date> {
        patients.iter().filter_map(|patient| self.deaths.get(patient)).map(|(day, _)| *day).max()
    }

    /// The keys of the records of a patient's death: one that was corrected has several.
    pub(super) fn death_seals(&self, patient: &PatientRef) -> &[PackId] {
        self.deaths.get(patient).map_or(&[], |(_, seals)| seals)
    }
}
