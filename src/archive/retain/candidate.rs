//! A study as retention sees it: everything the rules look at, gathered from the index.

use super::dates::Work;
use super::state::State;
use index::{Index, IndexError, Inside, Look, StudyKey, StudyRow};
use model::attribute::key;
use model::date::Date;
use model::retention::moved;
use model::retention::{
    Candidate, Decision, LinkedRecord, PatientRef, PlanEntry, PlanId, RetentionFact, RuleSet, Standing, StudyFacts,
    StudyNow, StudyRef, StudyState, StudyVersion, Taken, TierBytes,
};
use std::collections::BTreeSet;

/// What is known of a study.
pub(super) struct Study {
    pub(super) row: StudyRow,
    pub(super) study: StudyRef,
    pub(super) patients: Vec<PatientRef>,
    pub(super) version: StudyVersion,
    pub(super) bytes: TierBytes,
    pub(super) modalities: Vec<String>,
    pub(super) work_ended: Option<Date>,
    pub(super) received_first: Date,
    linked: Vec<LinkedRecord>,
    died: Option<Date>,
    destroyed_before: Option<Date>,
    recorded: Option<Decision>,
    earlier: Option<Decision>,
    /// Series of it that stand in other studies, and of others that stand in it.
    pub(super) standing: Vec<Standing>,
    /// Whether one of those keeps it.
    pub(super) moved: bool,
    /// Series that go with it out of other studies.
    pub(super) taken: Vec<Taken>,
}

/// What is known of a study's records and decisions from the facts about it.
#[derive(Default)]
struct Past {
    linked: Vec<LinkedRecord>,
    recorded: Option<Decision>,
    /// The records that were linked at the end of a day, for the days on which that changed.
    evenings: Vec<(Date, Vec<LinkedRecord>)>,
}

impl Study {
    /// From its row alone: by this no study is due too late, and few too early.
    pub(super) fn quick(state: &State, row: StudyRow) -> Self {
        let patients = patients(&row);
        let received_first = Date::of_ms(row.last_received);
        Self {
            study: StudyRef::from(&row.key),
            version: StudyVersion { through: row.last_seq, fact: row.version_fact },
            bytes: TierBytes::default(),
            modalities: row.modalities.iter().cloned().collect(),
            work_ended: None,
            received_first,
            linked: Vec::new(),
            died: state.died(&patients),
            destroyed_before: None,
            recorded: None,
            earlier: None,
            standing: Vec::new(),
            moved: false,
            taken: Vec::new(),
            patients,
            row,
        }
    }

    /// With everything, read now.
    pub(super) fn whole(
        index: &dyn Index,
        state: &State,
        judged: (&RuleSet, Date),
        row: StudyRow,
    ) -> Result<Self, IndexError> {
        let mut inside = Inside::default();
        index.look(&mut |look| {
            inside = look.inside(&row)?;
            Ok(())
        })?;
        Ok(Self::holding(state, judged, row, inside))
    }

    /// With everything it holds. What it was promised on earlier days counts, whether it was recorded then or not.
    pub(super) fn holding(state: &State, (rules, as_of): (&RuleSet, Date), row: StudyRow, inside: Inside) -> Self {
        let mut study = Self::quick(state, row);
        let work = Work::of(&study.row, &inside);
        (study.work_ended, study.received_first, study.bytes) = (work.ended, work.received_first, work.bytes);
        // An image that nobody is shown any more is kept as long as it would be otherwise.
        let shown: Vec<String> = std::mem::take(&mut study.modalities);
        study.modalities = inside.modalities.into_iter().chain(shown).collect::<BTreeSet<_>>().into_iter().collect();
        study.version = inside.version;
        study.destroyed_before = inside.buried.last().map(|buried| Date::of_ms(buried.at));
        study.standing = moved::standing(&study.study, inside.facts.iter().map(|(_, fact)| fact));
        study.moved = !study.standing.is_empty();
        let past = Past::of(&study.study, inside.facts.into_iter().map(|(_, fact)| fact));
        study.earlier = past.recorded.clone();
        for (day, linked) in past.days_to_judge(&state.last_days(rules, as_of)) {
            if day < study.received_first {
                continue;
            }
            study.linked = linked;
            let then = state.rules_on(day).unwrap_or(rules);
            study.earlier = Some(then.decide(&study.facts(day), study.earlier.as_ref()));
        }
        (study.linked, study.recorded) = (past.linked, past.recorded);
        study
    }

    /// Whether images that come later may make fewer rules fit.
    pub(super) fn may_fall(&self, rules: &RuleSet) -> bool {
        rules.may_fall(&self.facts(Date::of_ms(self.row.last_received)))
    }

    /// Whether a look at the row alone may take it for due later than it is.
    pub(super) fn may_be_due_earlier(&self, look: &mut dyn Look, rules: &RuleSet) -> Result<bool, IndexError> {
        let today = Date::of_ms(self.row.last_received);
        Ok(rules.hinges_on_days(&self.facts(today)) || look.has_facts(&self.row.key)?)
    }

    /// One study by name.
    pub(super) fn named(
        index: &dyn Index,
        state: &State,
        judged: (&RuleSet, Date),
        study: &StudyRef,
    ) -> Result<Option<Self>, IndexError> {
        let row = index.study(&StudyKey::from(study))?;
        row.map(|row| Self::whole(index, state, judged, row)?.with_moved(index, state, judged)).transpose()
    }

    pub(super) fn facts(&self, as_of: Date) -> StudyFacts<'_> {
        StudyFacts {
            facility: self.row.key.facility,
            modalities: &self.modalities,
            attributes: &self.row.attributes,
            work_ended: self.work_ended,
            received_first: self.received_first,
            received_last: Date::of_ms(self.row.last_received),
            linked: &self.linked,
            died: self.died,
            destroyed_before: self.destroyed_before,
            as_of,
        }
    }

    pub(super) fn decide(&self, rules: &RuleSet, as_of: Date) -> Decision {
        rules.decide(&self.facts(as_of), self.earlier.as_ref())
    }

    /// The newest decision that was recorded.
    pub(super) fn recorded(&self) -> Option<&Decision> {
        self.recorded.as_ref()
    }

    /// What a plan is of: images that come late to series of it elsewhere make it another version, too.
    fn seen(&self) -> StudyVersion {
        let through = self.taken.iter().map(|taken| taken.through).chain([self.version.through]).max();
        StudyVersion { through: through.unwrap_or(self.version.through), ..self.version }
    }

    pub(super) fn candidate(&self, as_of: Date) -> Candidate<'_> {
        Candidate {
            study: &self.study,
            patients: &self.patients,
            version: self.seen(),
            facts: self.facts(as_of),
            earlier: self.earlier.as_ref(),
            hidden: self.row.hidden_by.is_some(),
            moved: self.moved,
            instances: self.row.instances,
            bytes: self.bytes,
        }
    }

    /// What it is at the moment of a step.
    pub(super) fn now(&self, state: &State, rules: &RuleSet, today: Date) -> StudyNow {
        let hidden_by = self.row.hidden_by.as_deref().and_then(PlanId::parse);
        let holds = state.holds.held_by(&self.study, &self.patients);
        let now = StudyNow::new(self.seen(), &self.decide(rules, today), holds, hidden_by);
        StudyNow { moved: self.moved, ..now }
    }
}

impl Past {
    fn of(study: &StudyRef, facts: impl Iterator<Item = RetentionFact>) -> Self {
        let mut past = Self::default();
        for fact in facts {
            match fact {
                // What was said of an earlier study under this name does not count for this one.
                RetentionFact::StudyDestroyed(tombstone) if tombstone.study == *study => past = Self::default(),
                RetentionFact::RecordLinked { record, at, .. } => {
                    past.evening(Date::of_ms(at).plus_days(-1));
                    past.linked.push(record);
                }
                RetentionFact::RecordUnlinked { class, at, .. } => {
                    past.evening(Date::of_ms(at));
                    past.linked.retain(|record| record.class != class);
                }
                RetentionFact::Decided { decision, .. } => past.recorded = Some(*decision),
                _ => {}
            }
        }
        past
    }

    fn evening(&mut self, day: Date) {
        self.evenings.push((day, self.linked.clone()));
    }

    /// The days on which the study must be judged as it was, with the records linked then: before a link changed, and
    /// before other rules came into use. Without this a class that nobody had asked for yet would be forgotten.
    fn days_to_judge(&self, last_days: &[Date]) -> Vec<(Date, Vec<LinkedRecord>)> {
        let mut days = self.evenings.clone();
        for day in last_days {
            let after = self.evenings.iter().find(|(evening, _)| evening >= day);
            days.push((*day, after.map_or_else(|| self.linked.clone(), |(_, linked)| linked.clone())));
        }
        days.sort_by_key(|(day, _)| *day);
        days
    }
}

/// How far a study of a plan is, from the facts about it.
pub(super) fn state_of(index: &dyn Index, plan: &PlanId, entry: &PlanEntry) -> Result<StudyState, IndexError> {
    let mut state = StudyState::Planned;
    for (_, fact) in index.retention_of(&StudyKey::from(&entry.study))? {
        match fact {
            RetentionFact::StudyHidden { plan: by, at, .. } if by == *plan => state = StudyState::Hidden { since: at },
            RetentionFact::StudyRestored { plan: by, .. } if by == *plan => state = StudyState::Restored,
            RetentionFact::StudyTakenOut { plan: by, why, .. } if by == *plan => state = StudyState::TakenOut(why),
            RetentionFact::StudyDestroyed(tombstone) if tombstone.plan == *plan && tombstone.study == entry.study => {
                state = StudyState::Destroyed { at: tombstone.destroyed_at };
            }
            _ => {}
        }
    }
    Ok(state)
}

/// Every identifier of a study's patient. Where no issuer is named, the facility is it; a hold that names the facility
/// counts in any case.
pub(super) fn patients(row: &StudyRow) -> Vec<PatientRef> {
    let value = |key| row.attributes.get(&key).map_or("", |text| text.trim());
    // Under a corrected identity and under the one received: what was said of either keeps the study.
    let received = |key| row.corrected.received.get(&key).map_or("", |text| text.trim());
    let issuer = key::ISSUER_OF_PATIENT_ID;
    let issuers = [value(issuer), received(issuer), row.key.facility.as_str()];
    let texts = [value(key::PATIENT_ID), value(key::OTHER_PATIENT_IDS), received(key::PATIENT_ID)];
    let ids = texts.into_iter().flat_map(|text| text.split('\\'));
    let ids: Vec<&str> = ids.map(str::trim).filter(|id| !id.is_empty()).collect();
    let of_issuer = |issuer: &&str| !issuer.is_empty();
    let all = issuers
        .iter()
        .filter(|issuer| of_issuer(issuer))
        .flat_map(|issuer| ids.iter().map(|id| PatientRef { issuer: (*issuer).to_owned(), id: (*id).to_owned() }));
    let mut all: Vec<PatientRef> = all.collect();
    all.sort();
    all.dedup();
    all
}
