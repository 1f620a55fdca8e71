//! Persons: which local patients of all facilities are one.
//!
//! Who belongs together follows from what is said of patients and what stewards decided
//! ([`model::chart::person::together`]); the links of patients hold what came of it. A change of a patient that may count
//! notes so in its own record, in the patient's link, and whoever made it, or the next start, looks at the patient then:
//! all whom it touches are looked at together, each link is recorded with its own facility, the noted one last, so that
//! whatever is broken off is done again whole.
//! Deliberately not here: what a caller may ask and a steward may decide ([`steward`]), and searching.

mod gather;
mod steward;
#[cfg(test)]
mod tests;

pub use steward::{Member, Person, Sure};

use super::journal::unavailable;
use super::receive::fresh_id;
use super::writing::{Whose, Writing};
use super::{ChartError, Charts};
use gather::{Gathered, Seen};
use index::charts::{ChartDriver, ChartQuery};
use model::FacilityCode;
use model::chart::person::{self, Someone, Tie, Traits};
use model::chart::{
    ChartBody, ChartKey, ChartKind, ChartRow, Finding, How, Link, Local, Patient, Proposal, Term, term,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Patients looked at in one round.
const ROUND: usize = 64;
/// A number that more rows have says nothing: it stands for "unknown".
const SHARED_MAX: usize = 32;

/// Patients whose person is to be looked at: those whose link says so.
#[derive(Debug, Default)]
pub(super) struct Due(Mutex<BTreeSet<Local>>);

impl Due {
    /// A row became true.
    pub(super) fn row(&self, row: &ChartRow) {
        let ChartBody::Link(link) = &row.body else { return };
        let local = Local { facility: row.key.facility, mrn: row.key.id.clone() };
        if link.due {
            self.0.lock().insert(local);
        } else {
            self.0.lock().remove(&local);
        }
    }
}

/// Notes in a change which of its patients are to be looked at: those of whom something that counts is said anew, and
/// that have a link, a decision or something in common with another patient.
pub(super) fn mark(writing: &mut Writing<'_>) -> Result<(), ChartError> {
    let charts = writing.charts();
    for (key, body) in writing.patients() {
        let old = charts.newest(&key)?;
        let (old, new) = (old.as_deref().and_then(|row| patient_of(&row.body)), body.as_ref().and_then(patient_of));
        let merged = |patient: Option<&Patient>| patient.and_then(|patient| patient.merged_into.clone());
        let pointed = merged(old) != merged(new);
        if !pointed && old.map(Traits::of) == new.map(Traits::of) {
            continue;
        }
        let local = Local { facility: key.facility, mrn: key.id.clone() };
        let linked = charts.link_of(&local)?.is_some() || charts.is_judged(&local)?;
        if linked || charts.has_ties(&local, new)? {
            note(writing, &local.mrn)?;
            // What is decided of a number that is given up counts for the one that stays.
            for stays in merged(old).into_iter().chain(merged(new)).filter(|_| pointed) {
                note(writing, &stays)?;
            }
        }
    }
    Ok(())
}

fn note(writing: &mut Writing<'_>, mrn: &str) -> Result<(), ChartError> {
    let link = match writing.row(ChartKind::Link, mrn)? {
        Some(ChartBody::Link(link)) => *link,
        _ => Link { mrn: mrn.to_owned(), ..Link::default() },
    };
    writing.put(mrn, ChartBody::Link(Box::new(Link { due: true, ..link })))
}

fn patient_of(body: &ChartBody) -> Option<&Patient> {
    match body {
        ChartBody::Patient(patient) => Some(patient),
        _ => None,
    }
}

/// Rows to be recorded, by facility.
type Plan = BTreeMap<FacilityCode, Vec<(String, ChartBody)>>;

impl Charts {
    /// Looks at patients whose person is to be looked at; gives how many were. What cannot be done stays noted.
    pub(super) fn follow_persons(&self) -> usize {
        let due: Vec<Local> = self.persons.0.lock().iter().take(ROUND).cloned().collect();
        for (done, local) in due.iter().enumerate() {
            if let Err(error) = self.follow_person(local) {
                tracing::warn!(facility = %local.facility, %error, "a patient's person cannot be looked at, again later");
                return done;
            }
        }
        due.len()
    }

    /// Looks at one patient, and at all whom it touches.
    fn follow_person(&self, local: &Local) -> Result<(), ChartError> {
        let through = {
            let _change = self.change.lock();
            self.refuse_when_closed(Whose::Senders)?;
            let mut last = self.record(local.facility, BTreeMap::new(), Whose::Senders)?;
            let mut plan = self.plan(local)?;
            let own = plan.remove(&local.facility);
            for (facility, rows) in plan.into_iter().chain(own.map(|rows| (local.facility, rows))) {
                let mut writing = Writing::begin(self, facility);
                for (id, body) in rows {
                    writing.put(&id, body)?;
                }
                last = self.record(facility, writing.parts()?, Whose::Senders)?;
            }
            last
        };
        self.settle(through)
    }

    /// What is to be recorded so that the links around a patient say what follows.
    fn plan(&self, local: &Local) -> Result<Plan, ChartError> {
        let gathered = self.gather(local)?;
        let mut plan = Plan::new();
        self.plan_links(local, &gathered, &mut plan)?;
        self.plan_proposals(local, &gathered, &mut plan)?;
        Ok(plan)
    }

    fn plan_links(&self, start: &Local, gathered: &Gathered, plan: &mut Plan) -> Result<(), ChartError> {
        let now = self.now_ms();
        let alive: Vec<&Seen> = gathered.seen.values().filter(|seen| seen.patient.is_some()).collect();
        let someone = |seen: &&Seen| {
            let apart = seen.link.as_ref().and_then(|link| link.apart.as_ref()).map(|decision| decision.at);
            seen.patient.as_ref().map(|patient| Someone { traits: Traits::of(patient), apart })
        };
        let people: Vec<Someone> = alive.iter().filter_map(someone).collect();
        let place = |local: &Local| alive.iter().position(|seen| seen.local == *local);
        let said: Vec<person::Said> = gathered.said(&place);
        let mut wanted: BTreeMap<&Local, (String, How)> = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for group in person::together(&people, &said) {
            let members: Vec<(&Seen, How)> =
                group.into_iter().filter_map(|(at, how)| alive.get(at).map(|seen| (*seen, how))).collect();
            let known = members.iter().filter_map(|(seen, _)| seen.link.as_ref()?.person.clone());
            // The least of their persons that no other set has taken.
            let id = match known.filter(|id| !taken.contains(id)).min() {
                Some(id) => id,
                None => fresh_id(now)?,
            };
            taken.insert(id.clone());
            wanted.extend(members.into_iter().map(|(seen, how)| (&seen.local, (id.clone(), how))));
        }
        for seen in gathered.seen.values() {
            let (person, how) =
                wanted.get(&seen.local).cloned().map_or((None, None), |(id, how)| (Some(id), Some(how)));
            let known = seen.link.clone().unwrap_or_else(|| Link { mrn: seen.local.mrn.clone(), ..Link::default() });
            let mut link = Link { due: known.due && seen.local != *start, ..known.clone() };
            if (&link.person, link.how) != (&person, how) {
                link = Link { person, how, at: now, ..link };
            }
            if link != known {
                let row = (seen.local.mrn.clone(), ChartBody::Link(Box::new(link)));
                plan.entry(seen.local.facility).or_default().push(row);
            }
        }
        Ok(())
    }

    /// What a steward has to look at of the patient itself, and what no longer.
    fn plan_proposals(&self, start: &Local, gathered: &Gathered, plan: &mut Plan) -> Result<(), ChartError> {
        let own = gathered.seen.get(start).and_then(|seen| seen.patient.as_ref());
        let mut others: BTreeSet<Local> = match own {
            Some(patient) => self.ties(start, patient)?.into_iter().collect(),
            None => BTreeSet::new(),
        };
        let known = self.proposals_of(start)?;
        others.extend(known.iter().flat_map(|proposal| proposal.sides()).filter(|side| side != start));
        let traits = own.map(Traits::of);
        for other in others {
            let theirs = self.living(&other)?.map(|patient| Traits::of(&patient));
            let (finding, why) = match (&traits, &theirs) {
                (Some(one), Some(two)) => found(person::compare(one, two)),
                _ => (Finding::Nothing, Vec::new()),
            };
            let fresh = Proposal::of(start, &other, self.now_ms());
            let id = fresh.id();
            let known = known.iter().find(|known| known.id() == id);
            if known.map_or((Finding::Nothing, &[][..]), |known| (known.finding, &known.why))
                == (finding, why.as_slice())
            {
                continue;
            }
            let proposal = Proposal { finding, why, at: self.now_ms(), ..known.cloned().unwrap_or(fresh) };
            if finding == Finding::Conflict {
                metrics::counter!("khoanh_charts_person_conflicts_total").increment(1);
                tracing::warn!(facility = %proposal.facility, proposal = %id, "two patients have one number and no more");
            }
            plan.entry(proposal.facility).or_default().push((id, ChartBody::Proposal(Box::new(proposal))));
        }
        Ok(())
    }

    /// A patient whose number was not given up.
    fn living(&self, local: &Local) -> Result<Option<Patient>, ChartError> {
        let Ok(key) = ChartKey::new(ChartKind::Patient, local.facility, &local.mrn) else { return Ok(None) };
        let row = self.newest(&key)?;
        let patient = row.as_deref().and_then(|row| patient_of(&row.body));
        Ok(patient.filter(|patient| patient.merged_into.is_none()).cloned())
    }

    fn link_of(&self, local: &Local) -> Result<Option<Link>, ChartError> {
        let Ok(key) = ChartKey::new(ChartKind::Link, local.facility, &local.mrn) else { return Ok(None) };
        Ok(match self.newest(&key)?.map(|row| row.body.clone()) {
            Some(ChartBody::Link(link)) => Some(*link),
            _ => None,
        })
    }

    /// Whether a steward said something of the patient and another.
    fn is_judged(&self, local: &Local) -> Result<bool, ChartError> {
        Ok(!self.everywhere(ChartKind::Proposal, Term::Side, &local.side(), 1)?.is_empty())
    }

    /// The proposals that name a patient.
    fn proposals_of(&self, local: &Local) -> Result<Vec<Proposal>, ChartError> {
        let rows = self.everywhere(ChartKind::Proposal, Term::Side, &local.side(), usize::MAX)?;
        let proposal = |row: Arc<ChartRow>| match &row.body {
            ChartBody::Proposal(proposal) => Some((**proposal).clone()),
            _ => None,
        };
        // Values are cut: another patient's may be among them.
        let found = rows.into_iter().filter_map(proposal);
        Ok(found.filter(|proposal| proposal.sides().contains(local)).collect())
    }

    /// Rows of all facilities with a value as they stand for the next change.
    fn everywhere(
        &self,
        kind: ChartKind,
        by: Term,
        value: &str,
        limit: usize,
    ) -> Result<Vec<Arc<ChartRow>>, ChartError> {
        self.standing(None, kind, (by, value), limit)
    }

    /// The same of one facility, or of all.
    fn standing(
        &self,
        facility: Option<FacilityCode>,
        kind: ChartKind,
        (by, value): (Term, &str),
        limit: usize,
    ) -> Result<Vec<Arc<ChartRow>>, ChartError> {
        let value = term::value(value);
        let has = |row: &ChartRow| term::terms(&row.body).iter().any(|one| one.term == by && one.value == value);
        let fits = |row: &ChartRow| facility.is_none_or(|code| row.key.facility == code) && has(row);
        let newer = self.newer_everywhere(kind, &fits);
        let driver = ChartDriver::Equal(by, value.clone());
        let facilities = facility.map(|code| BTreeSet::from([code]));
        let query = ChartQuery { kind, facilities, driver, moments: None, years: None };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.view.find(&query, after, super::PAGE_MAX.min(limit)).map_err(unavailable)?;
            found.extend(page.rows.into_iter().filter(|row| !newer.contains_key(&row.key)).map(Arc::new));
            after = page.cursor;
            if after.is_none() || found.len() >= limit {
                break;
            }
        }
        found.extend(newer.into_values().flatten());
        Ok(found)
    }
}

fn found(tie: Tie) -> (Finding, Vec<String>) {
    match tie {
        Tie::Perhaps(why) => (Finding::Open, why),
        Tie::Conflict => {
            let why = "the same personal identification number; name and year of birth differ";
            (Finding::Conflict, vec![why.into()])
        }
        Tie::Same(_) | Tie::Nothing => (Finding::Nothing, Vec::new()),
    }
}
