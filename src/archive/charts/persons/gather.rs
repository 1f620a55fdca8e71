//! All patients that a patient touches: its person as it stands, whoever has a number in common, whomever a steward named
//! with it, and the same of each of them.

use super::{Link, SHARED_MAX};
use crate::charts::{ChartError, Charts};
use model::chart::person::{self, Said};
use model::chart::{ChartBody, ChartKind, Local, Patient, Proposal, Term};
use std::collections::{BTreeMap, BTreeSet};

/// Most patients looked at together; what goes beyond is left as it is.
const TOGETHER_MAX: usize = 128;
/// Merges followed from a number.
const MERGES_MAX: usize = 256;

/// A patient that was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) local: Local,
    pub(super) link: Option<Link>,
    /// None for one that is not known or was given up.
    pub(super) patient: Option<Patient>,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) seen: BTreeMap<Local, Seen>,
    /// The number that stands for one that was given up.
    stays: BTreeMap<Local, Local>,
    judged: BTreeMap<String, Proposal>,
}

impl Gathered {
    /// What stewards said of those who are there, by their places.
    pub(super) fn said(&self, place: &dyn Fn(&Local) -> Option<usize>) -> Vec<Said> {
        let stands = |local: Local| self.stays.get(&local).cloned().unwrap_or(local);
        let said = |proposal: &Proposal| {
            let judgement = proposal.judgement.as_ref()?;
            let [one, two] = proposal.sides().map(stands);
            let (one, two) = (place(&one)?, place(&two)?);
            (one != two).then_some(Said { one, two, is_one: judgement.is_one, at: judgement.at })
        };
        self.judged.values().filter_map(said).collect()
    }
}

impl Charts {
    /// Everyone a patient touches.
    pub(super) fn gather(&self, start: &Local) -> Result<Gathered, ChartError> {
        let mut gathered = Gathered::default();
        let mut next = BTreeSet::from([start.clone()]);
        // The patient itself first: it is looked at in any case.
        let mut now = Some(start.clone());
        while let Some(local) = now {
            next.remove(&local);
            if !gathered.seen.contains_key(&local) && gathered.seen.len() < TOGETHER_MAX {
                let touched = self.touched(local, &mut gathered)?;
                next.extend(touched.into_iter().filter(|local| !gathered.seen.contains_key(local)));
            }
            now = next.first().cloned();
        }
        Ok(gathered)
    }

    /// Looks at one patient; gives whom it touches.
    fn touched(&self, local: Local, gathered: &mut Gathered) -> Result<Vec<Local>, ChartError> {
        let (link, patient) = (self.link_of(&local)?, self.living(&local)?);
        let mut touched = Vec::new();
        if let Some(person) = link.as_ref().and_then(|link| link.person.as_deref()) {
            let members = self.everywhere(ChartKind::Link, Term::Person, person, usize::MAX)?;
            touched.extend(members.iter().map(|row| Local { facility: row.key.facility, mrn: row.key.id.clone() }));
        }
        match &patient {
            Some(patient) => {
                touched.extend(self.strong_ties(patient)?);
                for former in self.former_numbers(&local)? {
                    if former != local {
                        gathered.stays.insert(former.clone(), local.clone());
                    }
                    for proposal in self.proposals_of(&former)? {
                        if proposal.judgement.is_some() {
                            touched.extend(proposal.sides());
                            gathered.judged.insert(proposal.id(), proposal);
                        }
                    }
                }
            }
            None => touched.extend(self.stays(&local)?),
        }
        gathered.seen.insert(local.clone(), Seen { local, link, patient });
        Ok(touched)
    }

    /// The number that stands for one that was given up.
    fn stays(&self, local: &Local) -> Result<Option<Local>, ChartError> {
        let mut at = local.clone();
        for _ in 0..MERGES_MAX {
            let Ok(key) = model::chart::ChartKey::new(ChartKind::Patient, at.facility, &at.mrn) else { break };
            let row = self.newest(&key)?;
            let next = row.as_deref().and_then(|row| super::patient_of(&row.body)?.merged_into.clone());
            match next {
                Some(mrn) => at.mrn = mrn,
                None => break,
            }
        }
        Ok(Some(at).filter(|at| at != local))
    }

    /// A number and all that were given up for it.
    fn former_numbers(&self, local: &Local) -> Result<Vec<Local>, ChartError> {
        let (mut numbers, mut next) = (vec![local.clone()], 0);
        while let Some(number) = numbers.get(next).cloned() {
            next = next.saturating_add(1);
            let (facility, by) = (Some(local.facility), (Term::Mrn, number.mrn.as_str()));
            for row in self.standing(facility, ChartKind::Merge, by, usize::MAX)? {
                let ChartBody::Merge(merge) = &row.body else { continue };
                let former = Local { facility: local.facility, mrn: merge.former.clone() };
                if merge.undone.is_none()
                    && merge.survivor == number.mrn
                    && !numbers.contains(&former)
                    && numbers.len() < MERGES_MAX
                {
                    numbers.push(former);
                }
            }
        }
        Ok(numbers)
    }

    /// Patients with the same personal or insurance number.
    fn strong_ties(&self, patient: &Patient) -> Result<Vec<Local>, ChartError> {
        let mut found = Vec::new();
        let insured = person::insured(patient).into_iter().map(|number| (Term::Insurance, number));
        for (by, value) in person::national(patient).map(|number| (Term::National, number)).into_iter().chain(insured) {
            let rows = self.everywhere(ChartKind::Patient, by, &value, SHARED_MAX.saturating_add(1))?;
            if rows.len() <= SHARED_MAX {
                found.extend(rows.iter().map(|row| Local { facility: row.key.facility, mrn: row.key.id.clone() }));
            }
        }
        Ok(found)
    }

    /// Others that have something in common with a patient.
    pub(super) fn ties(&self, local: &Local, patient: &Patient) -> Result<Vec<Local>, ChartError> {
        let mut found = self.strong_ties(patient)?;
        if let Some(identity) = person::identity(patient) {
            let rows = self.everywhere(ChartKind::Patient, Term::Identity, &identity, SHARED_MAX)?;
            found.extend(rows.iter().map(|row| Local { facility: row.key.facility, mrn: row.key.id.clone() }));
        }
        found.retain(|other| other != local);
        Ok(found)
    }

    /// Whether anyone has something in common with a patient.
    pub(super) fn has_ties(&self, local: &Local, patient: Option<&Patient>) -> Result<bool, ChartError> {
        match patient.filter(|patient| patient.merged_into.is_none()) {
            Some(patient) => Ok(!self.ties(local, patient)?.is_empty()),
            None => Ok(false),
        }
    }
}
