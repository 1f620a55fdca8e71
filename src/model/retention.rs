//! How long a study is kept, by which rule, and what must be true before it may be destroyed.
//!
//! - [`class`]: retention classes and their terms, as data ([`Class`], [`Term`]).
//! - [`rules`]: the rule set a hospital or province writes in TOML ([`RuleSet`]), parsed by [`rule_file`].
//! - [`decision`]: what a rule set says of one study ([`StudyFacts`] in, [`Decision`] out).
//! - [`hold`]: legal holds ([`Hold`], [`Holds`]).
//! - [`plan`]: the list of what is due, its canonical form and digest ([`Planner`], [`Plan`]).
//! - [`execution`]: approval, undo window, destruction, and every reason to refuse ([`Refusal`]).
//! - [`moved`]: series that stand in another study than they were received in.
//! - [`record`]: the facts the journal keeps of all this ([`RetentionFact`]).
//!
//! Everything is a value or a pure function: the same inputs give the same answer in fifteen years.
//! Deliberately not here: finding the studies, hiding and destroying bytes, files of plans, the clock.

pub mod class;
pub mod decision;
pub mod execution;
pub mod hold;
pub mod matching;
pub mod moved;
pub mod plan;
pub mod record;
pub mod refusal;
pub mod rule_file;
pub mod rules;
pub mod subject;

pub use class::{Class, ClassId, Term};
pub use decision::{Basis, CountedFrom, Decision, Due, Inputs, Note, Reason};
pub use execution::{Begun, PlanRecord, PlanState, StudyNow, StudyState};
pub use hold::{Hold, HoldError, HoldId, HoldRelease, HoldTarget, Holds};
pub use moved::{Made, MoveReason, Moved, Standing};
pub use plan::{Candidate, Plan, PlanDigest, PlanEntry, PlanHead, PlanId, PlanLine, PlanSummary, Planner, Withheld};
pub use record::{PlanApproval, RetentionFact, Taken, Tombstone};
pub use refusal::Refusal;
pub use rule_file::{RuleError, RuleProblem};
pub use rules::{Rule, RuleId, RuleSet, RuleVersion, SuccessorError};
pub use subject::{LinkedRecord, PatientRef, Person, StudyFacts, StudyRef, StudyVersion, TierBytes};

#[cfg(test)]
mod tests;
