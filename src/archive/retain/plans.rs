//! Plans as files and facts: made, approved, withdrawn, begun.
//!
//! The text of a plan lies in `retention/plans` of the data directory, pinned by its digest in the facts.
//! Deliberately not here: what is done to the studies ([`super::execute`]).

use super::candidate::Study;
use super::looking::Judge;
use super::state::{Known, State};
use super::{RetainError, invalid};
use crate::open::Archive;
use index::{IndexError, Look, StudyRow};
use model::attribute::key;
use model::date::Date;
use model::retention::decision::STUDY_DATE_FIRST;
use model::retention::plan::PlanReader;
use model::retention::{
    Begun, Person, PlanApproval, PlanHead, PlanId, PlanLine, PlanSummary, Planner, RetentionFact, RuleSet, Term,
};
use model::{Digest, FacilityCode};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How the file of a plan in the making ends.
const DRAFT: &str = "draft";
/// Bytes read at once.
const STEP: usize = 1 << 16;

/// What a plan is asked for.
#[derive(Debug, Clone)]
pub struct PlanQuestion {
    /// The day whose beginning is looked at: what was to be kept until the day before is due.
    pub as_of: Date,
    /// One facility; without it all.
    pub facility: Option<FacilityCode>,
    /// Text of a rule file; without it the one of the options.
    pub rules: Option<String>,
    /// Who makes it, and may not approve it.
    pub by: Person,
    /// Whether it is recorded, so that it can be approved. Otherwise nothing changes but a file of its own.
    pub record: bool,
}

/// A plan that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFile {
    /// Head, sums and digest.
    pub summary: PlanSummary,
    /// Where its text lies.
    pub path: PathBuf,
}

fn disk(path: &Path) -> impl Fn(io::Error) -> RetainError {
    move |error| RetainError::Unavailable { what: format!("{}: {error}", path.display()) }
}

impl Archive {
    /// Makes a plan. `progress` hears how many studies were looked at and how many there may be.
    ///
    /// # Errors
    /// Rules that are not understood or may not follow those in use; the index or the disk.
    pub fn plan_retention(
        &self,
        wanted: &PlanQuestion,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PlanFile, RetainError> {
        let text = wanted.rules.as_ref().unwrap_or(&self.options().retention.rules);
        let rules = RuleSet::parse(text).map_err(|error| invalid(format!("the retention rules: {error}")))?;
        if wanted.record {
            self.may_adopt(&rules)?;
        }
        let folder = self.plans_folder()?;
        let draft = folder.join(format!("{}.{DRAFT}", store::draw_pack_id(self.now_ms())?));
        let made = self.write_plan(wanted, &rules, &draft, stop, progress);
        let finished = made.and_then(|summary| self.finish_plan(wanted, (&rules, text), summary, &draft));
        if finished.is_err() {
            let _ = fs::remove_file(&draft);
        }
        finished
    }

    /// Every plan.
    pub fn retention_plans(&self) -> Vec<Known> {
        self.retention().state.read().plans.values().cloned().collect()
    }

    /// One plan.
    ///
    /// # Errors
    /// [`RetainError::Invalid`] when there is none of that name.
    pub fn retention_plan(&self, plan: &PlanId) -> Result<Known, RetainError> {
        let known = self.retention().state.read().plans.get(plan).cloned();
        known.ok_or_else(|| invalid(format!("there is no plan {plan} (khoanh retention list shows them)")))
    }

    /// Where the text of a plan lies.
    pub fn plan_path(&self, plan: &PlanId) -> PathBuf {
        self.options().data.join("retention/plans").join(format!("{plan}.jsonl"))
    }

    /// A second person approves the text as it lies there now.
    ///
    /// # Errors
    /// Every [`model::retention::Refusal`] of [`model::retention::PlanRecord::approve`].
    pub fn approve_plan(&self, plan: &PlanId, by: Person, remark: String) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        let known = self.retention_plan(plan)?;
        let digest = digest_of(&self.plan_path(plan))?;
        let approval = PlanApproval { plan: plan.clone(), digest, by, remark, at: self.now_ms() };
        known.record.approve(&approval)?;
        self.retain(RetentionFact::PlanApproved(approval))
    }

    /// Gives a plan up that was not begun.
    ///
    /// # Errors
    /// Every refusal of [`model::retention::PlanRecord::withdraw`].
    pub fn withdraw_plan(&self, plan: &PlanId, by: Person, reason: String) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        self.retention_plan(plan)?.record.withdraw(&by)?;
        self.retain(RetentionFact::PlanWithdrawn { plan: plan.clone(), by, reason, at: self.now_ms() })
    }

    /// Begins the execution of an approved plan; a thread goes on with it, also after a restart.
    ///
    /// # Errors
    /// Every refusal of [`model::retention::PlanRecord::begin`].
    pub fn begin_plan(&self, plan: &PlanId, by: Person) -> Result<(), RetainError> {
        let _turn = self.retention().change.lock();
        let known = self.retention_plan(plan)?;
        let path = self.plan_path(plan);
        let begun = Begun { plan: plan.clone(), digest: digest_of(&path)?, by, at: self.now_ms() };
        known.record.begin(&begun)?;
        read_plan(&path, &mut |_| Ok(()))?;
        self.retain(RetentionFact::PlanBegun(begun))
    }

    /// Removes what a kill left of plans in the making.
    pub(super) fn forget_drafts(&self) {
        let folder = self.options().data.join("retention/plans");
        let left = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for draft in left.filter(|path| path.extension().is_some_and(|kind| kind == DRAFT)) {
            if let Err(error) = fs::remove_file(&draft) {
                tracing::warn!(path = %draft.display(), %error, "half a plan cannot be removed");
            }
        }
    }

    fn plans_folder(&self) -> Result<PathBuf, RetainError> {
        let folder = self.options().data.join("retention/plans");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(disk(&folder))?;
        Ok(folder)
    }

    /// Whether rules may come into use, or are in use.
    fn may_adopt(&self, rules: &RuleSet) -> Result<(), RetainError> {
        match self.retention().state.read().rules() {
            Some(old) if old.version() != rules.version() => rules
                .may_follow(&old, Date::of_ms(self.now_ms()))
                .map_err(|error| invalid(format!("these rules cannot follow those in use: {error}"))),
            _ => Ok(()),
        }
    }

    fn write_plan(
        &self,
        wanted: &PlanQuestion,
        rules: &RuleSet,
        draft: &Path,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PlanSummary, RetainError> {
        let failed = disk(draft);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(&failed)?;
        let mut out = BufWriter::with_capacity(STEP, file);
        let mut sink = |_: &PlanLine, line: &str| -> Result<(), RetainError> {
            out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(&failed)
        };
        let holds = self.retention().state.read().holds.clone();
        let plan = self.name_plan(wanted)?;
        let head = PlanHead {
            form: PlanHead::FORM,
            plan,
            as_of: wanted.as_of,
            made_by: wanted.by.clone(),
            undo_days: self.options().retention.undo_days,
            rules: rules.version(),
        };
        let mut planner = Planner::begin(head, rules, &holds, &mut sink)?;
        let (as_of, shortest) = (wanted.as_of, shortest_term(rules));
        let judge: &Judge<'_> = &|look, row| self.may_be_listed(look, row, (rules, as_of), shortest);
        self.each_study(wanted.facility, judge, &mut |study, looked, total| {
            if stop.load(Ordering::Relaxed) {
                return Err(RetainError::Interrupted);
            }
            progress(looked, total);
            match study {
                Some(study) => planner.look(&study.candidate(as_of), &mut sink),
                None => {
                    planner.pass();
                    Ok(())
                }
            }
        })?;
        let summary = planner.finish(&mut sink)?;
        let file = out.into_inner().map_err(|error| disk(draft)(error.into_error()))?;
        if wanted.record {
            file.sync_all().map_err(disk(draft))?;
        }
        Ok(summary)
    }

    /// A study with everything a plan must know of it; none when its row alone says that it is not due, or that
    /// another plan has it.
    fn may_be_listed(
        &self,
        look: &mut dyn Look,
        row: StudyRow,
        (rules, as_of): (&RuleSet, Date),
        shortest: Option<u16>,
    ) -> Result<Option<Study>, IndexError> {
        if row.hidden_by.is_some() || !shortest.is_some_and(|years| may_be_due(&row, years, as_of)) {
            return Ok(None);
        }
        let study = Study::quick(&self.retention().state.read(), row);
        if !study.decide(rules, as_of).due.passed(as_of) && !study.may_be_due_earlier(look, rules)? {
            return Ok(None);
        }
        let inside = look.inside(&study.row)?;
        let state = self.retention().state.read();
        let study = Study::holding(&state, (rules, as_of), study.row, inside);
        study.with_moved(self.index().as_ref(), &state, (rules, as_of)).map(Some)
    }

    /// Puts the text in its place and records the plan.
    fn finish_plan(
        &self,
        wanted: &PlanQuestion,
        (rules, text): (&RuleSet, &str),
        summary: PlanSummary,
        draft: &Path,
    ) -> Result<PlanFile, RetainError> {
        if !wanted.record {
            let path = draft.with_extension("preview");
            fs::rename(draft, &path).map_err(disk(draft))?;
            return Ok(PlanFile { summary, path });
        }
        let _turn = self.retention().change.lock();
        let plan = summary.head.plan.clone();
        let path = self.plan_path(&plan);
        if path.exists() || self.retention_plan(&plan).is_ok() {
            return Err(RetainError::Unavailable { what: "another plan was made at the same time; ask again".into() });
        }
        self.may_adopt(rules)?;
        fs::rename(draft, &path).map_err(disk(&path))?;
        let folder = path.parent().unwrap_or(&path);
        File::open(folder).and_then(|dir| dir.sync_all()).map_err(disk(folder))?;
        if self.retention().state.read().rule_version() != Some(rules.version()) {
            let (version, by, at) = (rules.version(), wanted.by.clone(), self.now_ms());
            self.retain(RetentionFact::RulesAdopted { version, text: text.to_owned(), by, at })?;
        }
        let (due, held, digest) = (summary.totals.due, summary.totals.held, summary.digest);
        self.retain(RetentionFact::PlanMade { head: summary.head.clone(), digest, due, held, at: self.now_ms() })?;
        Ok(PlanFile { summary, path })
    }

    /// The day it looks at, and a number.
    fn name_plan(&self, wanted: &PlanQuestion) -> Result<PlanId, RetainError> {
        let state = self.retention().state.read();
        let free = |plan: &PlanId| !state.plans.contains_key(plan) && !self.plan_path(plan).exists();
        let mut names = (1..=u32::MAX).filter_map(|number| PlanId::parse(&format!("{}-{number}", wanted.as_of)));
        names.find(free).ok_or_else(|| invalid("no name is left for a plan of that day"))
    }
}

/// SHA-256 of a plan's text as it lies there.
pub(super) fn digest_of(path: &Path) -> Result<Digest, RetainError> {
    let mut file = File::open(path).map_err(disk(path))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; STEP]);
    loop {
        let count = file.read(&mut buffer).map_err(disk(path))?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
    }
    Ok(Digest(hasher.finalize().into()))
}

/// Reads a plan line by line.
pub(super) fn read_plan(
    path: &Path,
    each: &mut dyn FnMut(PlanLine) -> Result<(), RetainError>,
) -> Result<PlanSummary, RetainError> {
    let wrong = |error: model::retention::plan::PlanError| invalid(format!("{}: {error}", path.display()));
    let mut reader = PlanReader::new();
    for line in BufReader::new(File::open(path).map_err(disk(path))?).lines() {
        each(reader.line(&line.map_err(disk(path))?).map_err(wrong)?)?;
    }
    reader.finish().map_err(wrong)
}

/// The shortest term of any class in years; none when every class is kept for ever.
fn shortest_term(rules: &RuleSet) -> Option<u16> {
    let years = |term: Term| match term {
        Term::Years(years) | Term::AfterDeath(years) => Some(years),
        Term::Permanent => None,
    };
    rules.classes().iter().filter_map(|class| years(class.term)).min()
}

/// Whether a study could be due at all. Its years are counted from its own date or from its receipt or later than both,
/// so with the shortest term and the earlier of the two nothing is missed, and young studies cost one row.
fn may_be_due(row: &StudyRow, years: u16, as_of: Date) -> bool {
    let received = Date::of_ms(row.last_received);
    let written = row.attributes.get(&key::STUDY_DATE).map_or("", String::as_str);
    let own = Date::parse_da(model::query::first(written)).filter(|date| *date >= STUDY_DATE_FIRST);
    own.map_or(received, |date| date.min(received)).end_of_year().plus_years(years) < as_of
}

/// What is needed of the state to look at a study now.
pub(super) fn rules_of(state: &State) -> Result<std::sync::Arc<RuleSet>, RetainError> {
    state.rules().ok_or_else(|| RetainError::Unavailable { what: "no retention rules were ever adopted".into() })
}

#[cfg(test)]
mod tests;
