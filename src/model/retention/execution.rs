//! From plan to destruction, step by step, as functions from a state and an event to the next state or a refusal.
//!
//! ```text
//! plan   planned -> approved -> executing -> executed        (withdrawn from planned and approved)
//! study  planned -> hidden -> destroyed                      each study by itself
//!              \        \--> restored                        a person undoes it
//!               \--------\-> taken out                       a hold, an arrival, a merge, a rise of class
//! ```
//!
//! A study is looked at twice: before it is hidden and again before it is destroyed. A study that is restored or taken
//! out is visible again and can only go by another plan.
//! Every step is recorded as a fact before it is done (DESIGN section 4); done again after a crash it changes nothing.
//! Deliberately not here: hiding and deleting anything, and who may approve besides "not the author".

use super::class::ClassId;
use super::decision::{Decision, Due};
use super::hold::HoldId;
use super::plan::{PlanEntry, PlanHead, PlanId};
use super::record::PlanApproval;
use super::refusal::Refusal;
use super::subject::{Person, StudyVersion};
use crate::Digest;
use crate::date::{DAY_MS, Date};
use serde::{Deserialize, Serialize};

/// The beginning of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The plan.
    pub plan: PlanId,
    /// Digest of the plan's text as it was read for execution.
    pub digest: Digest,
    /// Who began it.
    pub by: Person,
    /// When, milliseconds since 1970 UTC.
    pub at: u64,
}

/// How far a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanState {
    /// Made.
    Planned,
    /// A second person approved it.
    Approved(PlanApproval),
    /// Its studies are being hidden and destroyed.
    Executing(PlanApproval, Begun),
    /// Every study of it is destroyed, restored or taken out.
    Executed(PlanApproval, Begun),
    /// Given up before execution.
    Withdrawn(Person),
}

/// How far one study of a plan is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StudyState {
    /// Nothing was done.
    #[default]
    Planned,
    /// Hidden: found and retrieved by nobody, bytes untouched.
    Hidden {
        /// Since when, milliseconds since 1970 UTC.
        since: u64,
    },
    /// A person undid it.
    Restored,
    /// It was refused for good and is visible.
    TakenOut(Refusal),
    /// Destroyed.
    Destroyed {
        /// When, milliseconds since 1970 UTC.
        at: u64,
    },
}

/// What a study is at the moment of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyNow {
    /// Its version.
    pub version: StudyVersion,
    /// Its class by a decision made now.
    pub class: ClassId,
    /// When it may go, by a decision made now.
    pub due: Due,
    /// Whether that decision needs a person (see [`Decision::is_unclear`]).
    pub unclear: bool,
    /// Whether a series of another study stands in it, or one of it in a study that must be kept.
    pub moved: bool,
    /// Standing holds.
    pub holds: Vec<HoldId>,
    /// The plan that hides it, if one does.
    pub hidden_by: Option<PlanId>,
}

impl StudyNow {
    /// A study as it is, judged now.
    pub fn new(version: StudyVersion, decision: &Decision, holds: Vec<HoldId>, hidden_by: Option<PlanId>) -> Self {
        let (class, due, unclear) = (decision.class.clone(), decision.due, decision.is_unclear());
        Self { version, class, due, unclear, moved: false, holds, hidden_by }
    }
}

/// A plan as it is recorded: who, what text, how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// First line of the plan.
    pub head: PlanHead,
    /// Digest of its text when it was made.
    pub digest: Digest,
    /// How far it is.
    pub state: PlanState,
}

impl PlanRecord {
    /// A plan just made.
    pub fn new(head: PlanHead, digest: Digest) -> Self {
        Self { head, digest, state: PlanState::Planned }
    }

    /// A second person approves the text with this digest.
    pub fn approve(&self, approval: &PlanApproval) -> Result<PlanState, Refusal> {
        self.names(&approval.plan)?;
        match &self.state {
            PlanState::Planned => {}
            PlanState::Approved(before) => return Err(Refusal::AlreadyApproved { by: before.by.clone() }),
            PlanState::Executing(_, begun) | PlanState::Executed(_, begun) => {
                return Err(Refusal::ExecutedTwice { begun: begun.at });
            }
            PlanState::Withdrawn(by) => return Err(Refusal::Withdrawn { by: by.clone() }),
        }
        if approval.by.same_as(&self.head.made_by) {
            return Err(Refusal::ApprovedByAuthor { by: approval.by.clone() });
        }
        unchanged(self.digest, approval.digest)?;
        Ok(PlanState::Approved(approval.clone()))
    }

    /// The execution begins. A restart goes on with [`PlanRecord::resume`] instead.
    pub fn begin(&self, begun: &Begun) -> Result<PlanState, Refusal> {
        self.names(&begun.plan)?;
        match &self.state {
            PlanState::Approved(approval) => {
                unchanged(approval.digest, begun.digest)?;
                Ok(PlanState::Executing(approval.clone(), begun.clone()))
            }
            PlanState::Planned => Err(Refusal::NotApproved),
            PlanState::Executing(_, before) | PlanState::Executed(_, before) => {
                Err(Refusal::ExecutedTwice { begun: before.at })
            }
            PlanState::Withdrawn(by) => Err(Refusal::Withdrawn { by: by.clone() }),
        }
    }

    /// Whether an execution that was interrupted may go on with the text that has this digest.
    pub fn resume(&self, digest: Digest) -> Result<(), Refusal> {
        let (approval, _) = self.executing()?;
        unchanged(approval.digest, digest)
    }

    /// Every study of the plan has reached its end.
    pub fn finish(&self) -> Result<PlanState, Refusal> {
        let (approval, begun) = self.executing()?;
        Ok(PlanState::Executed(approval.clone(), begun.clone()))
    }

    /// The plan is given up.
    pub fn withdraw(&self, by: &Person) -> Result<PlanState, Refusal> {
        match &self.state {
            PlanState::Planned | PlanState::Approved(_) => Ok(PlanState::Withdrawn(by.clone())),
            PlanState::Executing(_, begun) | PlanState::Executed(_, begun) => {
                Err(Refusal::ExecutedTwice { begun: begun.at })
            }
            PlanState::Withdrawn(by) => Err(Refusal::Withdrawn { by: by.clone() }),
        }
    }

    /// The study is hidden; `now` is none when it is not in the archive.
    pub fn hide(
        &self,
        entry: &PlanEntry,
        state: &StudyState,
        now: Option<&StudyNow>,
        at: u64,
    ) -> Result<StudyState, Refusal> {
        self.executing()?;
        match state {
            StudyState::Planned => {}
            StudyState::Hidden { .. } => return Err(Refusal::AlreadyHidden),
            StudyState::Restored | StudyState::TakenOut(_) => return Err(Refusal::TakenOut),
            StudyState::Destroyed { .. } => return Err(Refusal::AlreadyDestroyed),
        }
        self.may_go(entry, now, at)?;
        Ok(StudyState::Hidden { since: at })
    }

    /// A person undoes the hiding; possible until the study is destroyed, also when the days to undo are over.
    pub fn restore(&self, state: &StudyState) -> Result<StudyState, Refusal> {
        match state {
            StudyState::Hidden { .. } => Ok(StudyState::Restored),
            StudyState::Planned => Err(Refusal::NotHidden),
            StudyState::Restored | StudyState::TakenOut(_) => Err(Refusal::TakenOut),
            StudyState::Destroyed { .. } => Err(Refusal::AlreadyDestroyed),
        }
    }

    /// The study is destroyed; everything is looked at again.
    pub fn destroy(
        &self,
        entry: &PlanEntry,
        state: &StudyState,
        now: Option<&StudyNow>,
        at: u64,
    ) -> Result<StudyState, Refusal> {
        self.executing()?;
        let since = match state {
            StudyState::Hidden { since } => *since,
            StudyState::Planned => return Err(Refusal::NotHidden),
            StudyState::Restored | StudyState::TakenOut(_) => return Err(Refusal::TakenOut),
            StudyState::Destroyed { .. } => return Err(Refusal::AlreadyDestroyed),
        };
        // Reasons that take the study out come first: nobody should wait for the end of the days to undo to learn them.
        self.may_go(entry, now, at)?;
        let until = since.saturating_add(u64::from(self.head.undo_days).saturating_mul(DAY_MS));
        if at < until {
            return Err(Refusal::UndoWindow { until });
        }
        Ok(StudyState::Destroyed { at })
    }

    fn may_go(&self, entry: &PlanEntry, now: Option<&StudyNow>, at: u64) -> Result<(), Refusal> {
        let Some(now) = now else { return Err(Refusal::Gone) };
        if let Some(other) = now.hidden_by.as_ref().filter(|plan| **plan != self.head.plan) {
            return Err(Refusal::HiddenByOther { plan: other.clone() });
        }
        if !now.holds.is_empty() {
            return Err(Refusal::NewHold { holds: now.holds.clone() });
        }
        if now.unclear {
            return Err(Refusal::Unclear);
        }
        if now.moved {
            return Err(Refusal::SeriesMoved);
        }
        let planned = entry.version;
        if now.version.through != planned.through {
            return Err(Refusal::LateArrival { planned, now: now.version });
        }
        if now.version != planned {
            return Err(Refusal::StudyChanged { planned, now: now.version });
        }
        if now.due > Due::On(entry.due) {
            return Err(Refusal::ClassRise { from: entry.class.clone(), to: now.class.clone(), due: now.due });
        }
        let today = Date::of_ms(at);
        if !Due::On(entry.due).passed(today) {
            return Err(Refusal::NotDue { due: Due::On(entry.due), today });
        }
        Ok(())
    }

    fn executing(&self) -> Result<(&PlanApproval, &Begun), Refusal> {
        match &self.state {
            PlanState::Executing(approval, begun) => Ok((approval, begun)),
            PlanState::Executed(_, begun) => Err(Refusal::ExecutedTwice { begun: begun.at }),
            PlanState::Planned => Err(Refusal::NotApproved),
            PlanState::Approved(_) => Err(Refusal::NotBegun),
            PlanState::Withdrawn(by) => Err(Refusal::Withdrawn { by: by.clone() }),
        }
    }

    fn names(&self, plan: &PlanId) -> Result<(), Refusal> {
        if *plan == self.head.plan { Ok(()) } else { Err(Refusal::OtherPlan { named: plan.clone() }) }
    }
}

fn unchanged(recorded: Digest, found: Digest) -> Result<(), Refusal> {
    if recorded == found { Ok(()) } else { Err(Refusal::PlanChanged { recorded, found }) }
}
