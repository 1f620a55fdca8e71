//! Persons as callers see them, and what stewards decide; every decision can be taken back, and then everything is as it
//! was.
//!
//! A steward sees and decides only of patients whose facilities are both the steward's.

use super::{ChartBody, Link, Local, Proposal, note};
use crate::charts::inquiries::Check;
use crate::charts::{ChartError, Charts};
use index::charts::{ChartCursor, ChartDriver, ChartPage, ChartQuery};
use model::Caller;
use model::chart::person;
use model::chart::proposal::STATES;
use model::chart::{ChartKey, ChartKind, Decision, How, Judgement, Patient, Term};
use std::sync::Arc;

/// Most members of a person in an answer.
const MEMBERS_MAX: usize = 200;
/// Pages of proposals looked through for one answer.
const PAGES_MAX: usize = 20;

/// A local patient of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Facility and number.
    pub local: Local,
    /// By what it belongs there.
    pub how: Option<How>,
    /// Since when, milliseconds since 1970 UTC.
    pub at: u64,
    /// What is known of it.
    pub patient: Arc<Patient>,
    /// How it stands with its personal identification number at the verifier.
    pub check: Option<Check>,
    /// How sure it is that it belongs there; none where the patient is linked with nobody.
    pub sure: Option<Sure>,
}

/// How sure a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sure {
    /// As far as the facilities' own data say, or a steward.
    Linked,
    /// The verifier says of the patient, and of another one there, that both have one number.
    Verified,
}

/// A person, as far as a caller may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Its id; none where the patient is linked with nobody.
    pub id: Option<String>,
    /// Who took the patient that was asked for out of its person.
    pub apart: Option<Decision>,
    /// The patient that was asked for first, then the others by facility and number.
    pub members: Vec<Member>,
}

fn steward(by: &str) -> Result<String, ChartError> {
    let by = by.trim();
    if by.is_empty() {
        return Err(ChartError::Invalid("whoever decides has a name".into()));
    }
    Ok(by.to_owned())
}

/// Says of each member of a person how sure it is: of what the caller does not see nothing follows.
fn tell_sure(members: &mut [Member]) {
    let verified = |member: &Member| {
        let is_verified = member.check.as_ref().is_some_and(Check::is_verified);
        person::national(&member.patient).filter(|_| is_verified)
    };
    let numbers: Vec<Option<String>> = members.iter().map(verified).collect();
    for (member, own) in members.iter_mut().zip(&numbers) {
        let alike = numbers.iter().filter(|number| number.is_some() && *number == own).count();
        member.sure = Some(if alike > 1 { Sure::Verified } else { Sure::Linked });
    }
}

impl Charts {
    /// The person of a patient, with its patients in the caller's facilities; a number that was given up stands for the one
    /// that stays.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] without such a patient, or not for the caller.
    pub fn person(&self, caller: &Caller, local: &Local) -> Result<Person, ChartError> {
        let asked = self.stands_for(caller, local)?;
        let link = self.link_of(&asked)?;
        let mut members = vec![self.member(&asked, link.as_ref())?];
        let id = link.as_ref().and_then(|link| link.person.clone());
        if let Some(id) = &id {
            let driver = ChartDriver::Equal(Term::Person, id.clone());
            let query = ChartQuery { kind: ChartKind::Link, facilities: None, driver, moments: None, years: None };
            let mut found = Vec::new();
            for row in self.find(caller, &query, None, MEMBERS_MAX)?.rows {
                let ChartBody::Link(link) = &row.body else { continue };
                let local = Local { facility: row.key.facility, mrn: row.key.id.clone() };
                if local != asked && self.living(&local)?.is_some() {
                    found.push(self.member(&local, Some(link))?);
                }
            }
            found.sort_by(|one, other| one.local.cmp(&other.local));
            members.extend(found);
        }
        if id.is_some() {
            tell_sure(&mut members);
        }
        Ok(Person { id, apart: link.and_then(|link| link.apart), members })
    }

    fn member(&self, local: &Local, link: Option<&Link>) -> Result<Member, ChartError> {
        let patient = self.living(local)?.ok_or(ChartError::Unknown("patient"))?;
        let (how, at) = link.map_or((None, 0), |link| (link.how, link.at));
        // Whoever may see the patient may see this.
        let check = self.check_of(&Caller::operator(), local.facility, &patient)?;
        Ok(Member { local: local.clone(), how, at, patient: Arc::new(patient), check, sure: None })
    }

    /// The patient a number stands for, if the caller may see it.
    fn stands_for(&self, caller: &Caller, local: &Local) -> Result<Local, ChartError> {
        let unknown = ChartError::Unknown("patient");
        if !caller.may_see(local.facility) {
            return Err(unknown);
        }
        let patient = self.patient(caller, local.facility, local.mrn.trim())?.ok_or(unknown)?;
        Ok(Local { facility: local.facility, mrn: patient.mrn.clone() })
    }

    /// Pairs of patients by where they stand ([`STATES`]), the newest first: those that both are the caller's, and of open
    /// ones those that are not one person already.
    ///
    /// # Errors
    /// [`ChartError::Invalid`] for another state; as [`Charts::find`].
    pub fn proposals(
        &self,
        caller: &Caller,
        state: &str,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        if !STATES.contains(&state) {
            return Err(ChartError::Invalid(format!("a proposal is one of {}", STATES.join(", "))));
        }
        let driver = ChartDriver::Equal(Term::State, state.to_owned());
        let query = ChartQuery { kind: ChartKind::Proposal, facilities: None, driver, moments: None, years: None };
        let mut page = ChartPage { rows: Vec::new(), cursor: after };
        for _ in 0..PAGES_MAX {
            let room = limit.saturating_sub(page.rows.len());
            let more = self.find(caller, &query, page.cursor, room)?;
            page.cursor = more.cursor;
            for row in more.rows {
                let ChartBody::Proposal(proposal) = &row.body else { continue };
                let settled = state == "open" && self.is_one_person(proposal)?;
                if !settled && caller.may_see(proposal.other.facility) {
                    page.rows.push(row);
                }
            }
            if page.cursor.is_none() || page.rows.len() >= limit {
                break;
            }
        }
        Ok(page)
    }

    fn is_one_person(&self, proposal: &Proposal) -> Result<bool, ChartError> {
        let person = |local: &Local| -> Result<Option<String>, ChartError> {
            Ok(self.link_of(local)?.and_then(|link| link.person))
        };
        let [one, two] = proposal.sides();
        let one = person(&one)?;
        Ok(one.is_some() && one == person(&two)?)
    }

    /// A steward says of a pair whether they are one person: accepts or refuses a proposal.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] without such a proposal, or not for the caller.
    pub fn judge_proposal(&self, caller: &Caller, key: &ChartKey, is_one: bool, by: &str) -> Result<(), ChartError> {
        let by = steward(by)?;
        let proposal = self.proposal_of(caller, key)?;
        self.decide(proposal, |proposal, at| {
            proposal.judge(Judgement { is_one, by, at });
            Ok(())
        })
    }

    /// What was last said of a pair is taken back.
    ///
    /// # Errors
    /// As [`Charts::judge_proposal`]; [`ChartError::Conflict`] when nothing was said of it.
    pub fn undo_proposal(&self, caller: &Caller, key: &ChartKey, by: &str) -> Result<(), ChartError> {
        steward(by)?;
        let proposal = self.proposal_of(caller, key)?;
        self.decide(proposal, |proposal, _| match proposal.undo() {
            true => Ok(()),
            false => Err(ChartError::Conflict("nobody decided anything about this proposal".into())),
        })
    }

    /// A steward says that two patients are one person. What comes of it is a proposal that was accepted, whose row is
    /// given: by it the link is taken back.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] without one of them, or not for the caller; [`ChartError::Invalid`] when they are one
    /// patient already.
    pub fn link(&self, caller: &Caller, one: &Local, two: &Local, by: &str) -> Result<ChartKey, ChartError> {
        let by = steward(by)?;
        let (one, two) = (self.stands_for(caller, one)?, self.stands_for(caller, two)?);
        if one == two {
            return Err(ChartError::Invalid("the two numbers are one patient".into()));
        }
        let pair = Proposal::of(&one, &two, self.now_ms());
        let key = ChartKey { kind: ChartKind::Proposal, facility: pair.facility, id: pair.id() };
        self.decide(pair, |proposal, at| {
            proposal.judge(Judgement { is_one: true, by, at });
            Ok(())
        })?;
        Ok(key)
    }

    /// A steward takes a patient out of its person: from then on it is linked by nothing but what is decided later.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] without such a patient, or not for the caller.
    pub fn unlink(&self, caller: &Caller, local: &Local, by: &str) -> Result<(), ChartError> {
        let by = steward(by)?;
        self.set_apart(&self.stands_for(caller, local)?, |link, at| {
            link.take_out(Decision { by, at });
            Ok(())
        })
    }

    /// That a patient was taken out of its person is taken back.
    ///
    /// # Errors
    /// As [`Charts::unlink`]; [`ChartError::Conflict`] when it was not.
    pub fn rejoin(&self, caller: &Caller, local: &Local, by: &str) -> Result<(), ChartError> {
        steward(by)?;
        self.set_apart(&self.stands_for(caller, local)?, |link, _| match link.undo() {
            true => Ok(()),
            false => Err(ChartError::Conflict("nobody took the patient out of its person".into())),
        })
    }

    /// A proposal of which the caller may see both patients.
    fn proposal_of(&self, caller: &Caller, key: &ChartKey) -> Result<Proposal, ChartError> {
        let row = self.get(caller, key)?;
        match row.map(|row| row.body) {
            Some(ChartBody::Proposal(proposal)) if caller.may_see(proposal.other.facility) => Ok(*proposal),
            _ => Err(ChartError::Unknown("proposal")),
        }
    }

    /// Changes what is said of a pair, at a time later than all that it outweighs, and looks at what follows.
    fn decide(
        &self,
        pair: Proposal,
        change: impl FnOnce(&mut Proposal, u64) -> Result<(), ChartError>,
    ) -> Result<(), ChartError> {
        self.write(pair.facility, |writing| {
            let id = pair.id();
            let mut pair = match writing.row(ChartKind::Proposal, &id)? {
                Some(ChartBody::Proposal(known)) => *known,
                _ => pair,
            };
            let mut at = writing.now();
            for side in pair.sides() {
                let apart = self.link_of(&side)?.and_then(|link| link.apart);
                at = at.max(apart.map_or(0, |decision| decision.at.saturating_add(1)));
            }
            change(&mut pair, at)?;
            note(writing, &pair.mrn)?;
            writing.put(&id, ChartBody::Proposal(Box::new(pair)))
        })?;
        self.follow_persons();
        Ok(())
    }

    fn set_apart(
        &self,
        local: &Local,
        change: impl FnOnce(&mut Link, u64) -> Result<(), ChartError>,
    ) -> Result<(), ChartError> {
        self.write(local.facility, |writing| {
            note(writing, &local.mrn)?;
            let Some(ChartBody::Link(mut link)) = writing.row(ChartKind::Link, &local.mrn)? else { return Ok(()) };
            let judged = self.proposals_of(local)?.into_iter().filter_map(|proposal| proposal.judgement);
            let newest = judged.map(|judgement| judgement.at).max().unwrap_or(0);
            change(&mut link, writing.now().max(newest.saturating_add(1)))?;
            writing.put(&local.mrn, ChartBody::Link(link))
        })?;
        self.follow_persons();
        Ok(())
    }
}
