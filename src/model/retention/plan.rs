//! The plan: what may go on a day, by which rule, and what is due but withheld. It changes nothing.
//!
//! A plan is a text of JSON lines, made while the studies stream by, in any order the caller gives them:
//!
//! ```text
//! {"line":"plan","form":1,"plan":"2036-q1","as_of":"2036-01-15","made_by":"lan","undo_days":30,"rules":{...}}
//! {"line":"due","study":{"facility":"56001","study":"1.2.3"},"version":{...},"class":"INOUT",...}
//! {"line":"held","study":{...},"class":"INOUT",...,"why":{"holds":["H-7"]}}
//! {"line":"totals","considered":...,"due":...,"held":...,"facilities":{...},"rules":{...}}
//! ```
//!
//! First the line `plan`, last the line `totals`. Its digest is the SHA-256 of all lines, each with one line feed
//! after it: the digest of the file as `sha256sum` shows it. An approval names this digest.
//! Memory does not grow with the number of studies; [`Plan`] holds a whole one for tests and small tools.
//! Deliberately not here: files, order of studies, and anything that is done to them.

use super::class::ClassId;
use super::decision::{Decision, Due};
use super::hold::{HoldId, Holds, plain_id};
use super::rules::{RuleId, RuleSet, RuleVersion};
use super::subject::{PatientRef, Person, StudyFacts, StudyRef, StudyVersion, TierBytes};
use crate::date::Date;
use crate::{Digest, FacilityCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

mod reader;

pub use reader::{PlanError, PlanReader};

/// The name of a plan: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PlanId(Box<str>);

impl PlanId {
    /// Parses a name; none when it is not in the form.
    pub fn parse(text: &str) -> Option<Self> {
        plain_id(text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PlanId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("no name of a plan"))
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first line: what was asked, by whom, under which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanHead {
    /// Version of the form of plans, [`PlanHead::FORM`].
    pub form: u16,
    /// Name.
    pub plan: PlanId,
    /// The day whose beginning is looked at: what was to be kept until the day before is due.
    pub as_of: Date,
    /// Who made it. May not approve it.
    pub made_by: Person,
    /// Days between hiding a study and destroying it.
    pub undo_days: u16,
    /// The rule set.
    pub rules: RuleVersion,
}

impl PlanHead {
    /// The form of plans written today.
    pub const FORM: u16 = 1;
}

/// A study that may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// The study.
    pub study: StudyRef,
    /// What it was when the plan was made: another version drops it from execution.
    pub version: StudyVersion,
    /// Class that kept it longest.
    pub class: ClassId,
    /// Rule that gave the class.
    pub rule: RuleId,
    /// Rule set that rule stood in.
    pub rules: RuleVersion,
    /// Last day it had to be kept.
    pub due: Date,
    /// Instances.
    pub instances: u64,
    /// Bytes.
    pub bytes: TierBytes,
}

/// Why a study that is due stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withheld {
    /// Legal holds.
    Holds(Vec<HoldId>),
    /// A linked record has a class that is not defined: a person must look.
    Unclear,
    /// A series of another study stands in it, or one of it in a study that must be kept.
    Moved,
}

/// A study that is due and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEntry {
    /// The study.
    pub study: StudyRef,
    /// Class that kept it longest.
    pub class: ClassId,
    /// Rule that gave the class.
    pub rule: RuleId,
    /// Last day it had to be kept.
    pub due: Date,
    /// Why it stays.
    pub why: Withheld,
    /// Bytes.
    pub bytes: TierBytes,
}

/// Sums of one facility's due studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FacilityTotals {
    /// Studies.
    pub studies: u64,
    /// Instances.
    pub instances: u64,
    /// Bytes.
    pub bytes: TierBytes,
}

/// The last line: sums.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanTotals {
    /// Studies looked at.
    pub considered: u64,
    /// Studies that may go.
    pub due: u64,
    /// Studies that are due and stay.
    pub held: u64,
    /// Due studies by facility.
    pub facilities: BTreeMap<FacilityCode, FacilityTotals>,
    /// Due studies by rule.
    pub rules: BTreeMap<RuleId, u64>,
}

impl PlanTotals {
    fn add_due(&mut self, entry: &PlanEntry) {
        self.due += 1;
        let facility = self.facilities.entry(entry.study.facility).or_default();
        facility.studies += 1;
        facility.instances = facility.instances.saturating_add(entry.instances);
        facility.bytes.add(&entry.bytes);
        match self.rules.get_mut(&entry.rule) {
            Some(count) => *count += 1,
            None => drop(self.rules.insert(entry.rule.clone(), 1)),
        }
    }
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum PlanLine {
    /// First line.
    Plan(PlanHead),
    /// A study that may go.
    Due(PlanEntry),
    /// A study that is due and stays.
    Held(HeldEntry),
    /// Last line.
    Totals(PlanTotals),
}

impl PlanLine {
    /// The line's one text, without line feed.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("plan lines are structs with text keys, which JSON can always hold")
    }
}

/// The digest of a plan while its lines go by.
#[derive(Debug, Clone, Default)]
pub struct PlanDigest(Sha256);

impl PlanDigest {
    /// Takes in one line, given without its line feed.
    pub fn add(&mut self, line: &str) {
        self.0.update(line.as_bytes());
        self.0.update(b"\n");
    }

    /// The digest of the lines so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// One study as the planner sees it.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The study.
    pub study: &'a StudyRef,
    /// All identifiers its patient has or had, for holds.
    pub patients: &'a [PatientRef],
    /// What it is now.
    pub version: StudyVersion,
    /// What is known of it; `as_of` is taken from the plan.
    pub facts: StudyFacts<'a>,
    /// The decision that stands.
    pub earlier: Option<&'a Decision>,
    /// Whether another plan has hidden it already: it is then that plan's business.
    pub hidden: bool,
    /// Whether a series of another study stands in it, or one of it in a study that must be kept.
    pub moved: bool,
    /// Instances.
    pub instances: u64,
    /// Bytes.
    pub bytes: TierBytes,
}

/// What the planner says of one study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go.
    Due(PlanEntry),
    /// It is due and stays.
    Held(HeldEntry),
    /// It is not due.
    Kept,
}

/// A plan's head, sums and digest: all that is kept of it besides its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// First line.
    pub head: PlanHead,
    /// Last line.
    pub totals: PlanTotals,
    /// SHA-256 of the text.
    pub digest: Digest,
}

/// Makes a plan line by line.
pub struct Planner<'a> {
    head: PlanHead,
    rules: &'a RuleSet,
    holds: &'a Holds,
    totals: PlanTotals,
    digest: PlanDigest,
}

/// Where lines go: the line and its canonical text, which is to be written followed by one line feed.
pub type Sink<'s, E> = dyn FnMut(&PlanLine, &str) -> Result<(), E> + 's;

impl<'a> Planner<'a> {
    /// Begins a plan and writes its first line.
    pub fn begin<E>(head: PlanHead, rules: &'a RuleSet, holds: &'a Holds, sink: &mut Sink<'_, E>) -> Result<Self, E> {
        let head = PlanHead { form: PlanHead::FORM, rules: rules.version(), ..head };
        let mut planner =
            Self { head: head.clone(), rules, holds, totals: PlanTotals::default(), digest: PlanDigest::default() };
        planner.write(&PlanLine::Plan(head), sink)?;
        Ok(planner)
    }

    /// What the plan says of a study; nothing is written.
    pub fn judge(&self, candidate: &Candidate<'_>) -> Verdict {
        if candidate.hidden {
            return Verdict::Kept;
        }
        let facts = StudyFacts { as_of: self.head.as_of, ..candidate.facts };
        let decision = self.rules.decide(&facts, candidate.earlier);
        let due = match decision.due {
            Due::On(due) if due < self.head.as_of => due,
            _ => return Verdict::Kept,
        };
        let unclear = decision.is_unclear();
        let Decision { class, rule, version: rules, .. } = decision;
        let (study, bytes) = (candidate.study.clone(), candidate.bytes);
        let holds = self.holds.held_by(candidate.study, candidate.patients);
        if !holds.is_empty() || unclear || candidate.moved {
            let why = match (holds.is_empty(), unclear) {
                (false, _) => Withheld::Holds(holds),
                (true, true) => Withheld::Unclear,
                (true, false) => Withheld::Moved,
            };
            return Verdict::Held(HeldEntry { study, class, rule, due, why, bytes });
        }
        let (version, instances) = (candidate.version, candidate.instances);
        Verdict::Due(PlanEntry { study, version, class, rule, rules, due, instances, bytes })
    }

    /// Counts a study of which it is known that it is not due, or that another plan has it.
    pub fn pass(&mut self) {
        self.totals.considered += 1;
    }

    /// Judges a study and writes its line, if it gets one.
    pub fn look<E>(&mut self, candidate: &Candidate<'_>, sink: &mut Sink<'_, E>) -> Result<(), E> {
        self.totals.considered += 1;
        match self.judge(candidate) {
            Verdict::Kept => Ok(()),
            Verdict::Due(entry) => {
                self.totals.add_due(&entry);
                self.write(&PlanLine::Due(entry), sink)
            }
            Verdict::Held(entry) => {
                self.totals.held += 1;
                self.write(&PlanLine::Held(entry), sink)
            }
        }
    }

    /// Writes the last line.
    pub fn finish<E>(mut self, sink: &mut Sink<'_, E>) -> Result<PlanSummary, E> {
        let totals = self.totals.clone();
        self.write(&PlanLine::Totals(totals), sink)?;
        Ok(PlanSummary { head: self.head, totals: self.totals, digest: self.digest.finish() })
    }

    fn write<E>(&mut self, line: &PlanLine, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let text = line.canonical();
        self.digest.add(&text);
        sink(line, &text)
    }
}

/// A whole plan in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// First line.
    pub head: PlanHead,
    /// Studies that may go.
    pub entries: Vec<PlanEntry>,
    /// Studies that are due and stay.
    pub held: Vec<HeldEntry>,
    /// Head, sums and digest.
    pub summary: PlanSummary,
    /// The canonical text.
    pub text: String,
}

impl Plan {
    /// Makes a plan of studies that fit in memory.
    pub fn make<'c>(
        head: PlanHead,
        rules: &RuleSet,
        holds: &Holds,
        candidates: impl IntoIterator<Item = Candidate<'c>>,
    ) -> Self {
        let (mut entries, mut held, mut text) = (Vec::new(), Vec::new(), String::new());
        let mut sink = |line: &PlanLine, written: &str| -> Result<(), std::convert::Infallible> {
            match line {
                PlanLine::Due(entry) => entries.push(entry.clone()),
                PlanLine::Held(entry) => held.push(entry.clone()),
                PlanLine::Plan(_) | PlanLine::Totals(_) => {}
            }
            text.push_str(written);
            text.push('\n');
            Ok(())
        };
        let Ok(mut planner) = Planner::begin(head, rules, holds, &mut sink);
        for candidate in candidates {
            let Ok(()) = planner.look(&candidate, &mut sink);
        }
        let Ok(summary) = planner.finish(&mut sink);
        Self { head: summary.head.clone(), entries, held, summary, text }
    }
}
