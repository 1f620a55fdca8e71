//! Which entries of the ledger tell of a study, an instance or a pack.
//!
//! An entry names no study, so the journal, the facts kept of released segments, and the index say which record numbers, instances and packs belong to it;
//! then every signed entry is read once. The ledger itself has no index: it is asked a few times in its life.
//! Deliberately not here: proofs, which the ledger's view makes of the numbers found.

use super::{LedgerReader, instance_name};
use crate::error::OpenError;
use crate::facts::parse;
use crate::open::Archive;
use crate::tier::KeyRing;
use index::{Cursor, IndexError, SeriesRow};
use model::retention::hold::{HoldId, HoldTarget};
use model::retention::plan::PlanId;
use model::retention::record::RetentionFact;
use model::retention::subject::StudyRef;
use model::{FacilityCode, Fact, Lsn, PackId, Uid, pack::PackFact};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Replayed, StoreError};

/// Rows of the index read at once.
const PAGE: usize = 1_000;
/// Progress is told after so many entries.
const STEP: u64 = 1_024;

/// What is to be proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything about a study: its instances, packs, plans and its destruction.
    Study(FacilityCode, Uid),
    /// One instance, by SOP Instance UID.
    Instance(FacilityCode, Uid),
    /// One pack.
    Pack(PackId),
}

/// The entries found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Evidence {
    /// Indexes of entries, rising.
    pub entries: Vec<u64>,
    /// What an entry holds only the seal of.
    pub tombstones: Vec<Shown>,
    /// Signed entries that were looked through.
    pub searched: u64,
    /// Stopped before the end.
    pub interrupted: bool,
}

/// A tombstone and the entry that holds its seal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// Index of the entry.
    pub entry: u64,
    /// The tombstone's text: its SHA-256 is the seal.
    pub text: String,
}

/// What tells an entry that is looked for.
#[derive(Default)]
struct Marks {
    instances: HashSet<String>,
    packs: HashSet<String>,
    records: HashSet<Lsn>,
    /// Tombstones by the record they were recorded under.
    tombstones: BTreeMap<Lsn, String>,
}

/// The members of an entry that are compared.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    instance: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pack: Option<Cow<'a, str>>,
}

impl Archive {
    /// Finds the entries that tell of something, after signing what waits. `progress` hears how many signed entries
    /// of how many were looked through; `stop` ends it early. None when there is no ledger to look in.
    ///
    /// # Errors
    /// When ledger, journal or index cannot be read or the ledger cannot be signed.
    pub fn find_in_ledger(
        &self,
        wanted: &Wanted,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Evidence>, OpenError> {
        self.sign_ledger()?;
        let Some(ledger) = self.ledger() else { return Ok(None) };
        let mut marks = Marks::default();
        match wanted {
            Wanted::Instance(facility, uid) => {
                marks.instances.insert(instance_name(*facility, uid).to_string());
            }
            Wanted::Pack(pack) => {
                marks.packs.insert(pack.to_string());
            }
            Wanted::Study(facility, study) => {
                self.mark_indexed(*facility, study, &mut marks)?;
                self.mark_recorded(*facility, study, stop, &mut marks)?;
            }
        }
        look_through(&ledger, &marks, stop, progress).map(Some)
    }

    /// The instances the index knows of a study, whoever its patients are.
    fn mark_indexed(&self, facility: FacilityCode, study: &Uid, marks: &mut Marks) -> Result<(), IndexError> {
        for row in self.index().studies(study)?.into_iter().filter(|row| row.key.facility == facility) {
            let mut after: Option<Cursor> = None;
            loop {
                let page = self.index().series_of(&row.key, after.as_ref(), PAGE)?;
                page.rows.iter().try_for_each(|series| self.mark_series(facility, series, marks))?;
                after = page.cursor;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn mark_series(&self, facility: FacilityCode, series: &SeriesRow, marks: &mut Marks) -> Result<(), IndexError> {
        let mut after: Option<Cursor> = None;
        loop {
            let page = self.index().instances_of(&series.key, after.as_ref(), PAGE)?;
            let names = page.rows.iter().map(|row| instance_name(facility, &row.sop_instance).to_string());
            marks.instances.extend(names);
            after = page.cursor;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// What was recorded of a study: also one that the index has forgotten.
    fn mark_recorded(
        &self,
        facility: FacilityCode,
        study: &Uid,
        stop: &AtomicBool,
        marks: &mut Marks,
    ) -> Result<(), OpenError> {
        let mut recorded =
            Recorded { facility, study, marks, of_plan: HashMap::new(), plans: HashSet::new(), holds: HashSet::new() };
        let keys = self.tiers().keys();
        {
            // No segment may go between the two walks: what it held would be in neither.
            let _still = self.rewriting().write();
            self.facts().replay(&mut |lsn, fact| {
                if stop.load(Ordering::Relaxed) { Ok(()) } else { recorded.take_sealed(keys, lsn, fact) }
            })?;
            self.journal().replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                // A forwarded fact was entered under its own number.
                let (lsn, fact) = parse(replayed.lsn, replayed.head)?.own(replayed.lsn);
                recorded.take_sealed(keys, lsn, fact)
            })?;
        }
        recorded.end();
        Ok(())
    }
}

/// Gathers what concerns one study from facts in the order they became true.
struct Recorded<'a> {
    facility: FacilityCode,
    study: &'a Uid,
    marks: &'a mut Marks,
    /// Records about whole plans.
    of_plan: HashMap<PlanId, Vec<Lsn>>,
    /// Plans the study is in.
    plans: HashSet<PlanId>,
    holds: HashSet<HoldId>,
}

impl Recorded<'_> {
    /// A fact that may be sealed. One whose key is gone is told by the study that stands beside it.
    fn take_sealed(&mut self, keys: &KeyRing, lsn: Lsn, fact: Fact) -> Result<(), OpenError> {
        match keys.opened(lsn, fact)?.own(lsn).1 {
            Fact::Sealed(sealed) => {
                let (facility, study) = (self.facility, self.study);
                if sealed.study.is_some_and(|named| named.facility == facility && named.study == *study) {
                    self.marks.records.insert(lsn);
                }
                Ok(())
            }
            fact => self.take(lsn, fact),
        }
    }

    fn take(&mut self, lsn: Lsn, fact: Fact) -> Result<(), OpenError> {
        let (facility, study) = (self.facility, self.study);
        let ours = |named: &StudyRef| named.facility == facility && named.study == *study;
        match fact {
            Fact::Instance(head) if head.facility == facility && head.study == *study => {
                self.marks.instances.insert(instance_name(facility, &head.sop_instance).to_string());
            }
            Fact::Pack(fact) => {
                if let PackFact::Packed(packed) = fact.as_ref()
                    && packed.facility == facility
                    && packed.study == *study
                {
                    self.marks.packs.insert(packed.pack.to_string());
                }
            }
            Fact::Retention(fact) => {
                if fact.study().is_some_and(ours) || holds_study(&fact, &ours, &mut self.holds) {
                    self.marks.records.insert(lsn);
                    self.plans.extend(plan_of(&fact).cloned());
                } else if let Some(plan) = plan_of(&fact) {
                    self.of_plan.entry(plan.clone()).or_default().extend(fact.study().is_none().then_some(lsn));
                }
                if let RetentionFact::StudyDestroyed(tombstone) = fact.as_ref()
                    && ours(&tombstone.study)
                {
                    let text = serde_json::to_string(tombstone)
                        .map_err(|error| OpenError::Fact { lsn, what: error.to_string() })?;
                    self.marks.tombstones.insert(lsn, text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Marks the plans the study is in.
    fn end(self) {
        self.marks.records.extend(self.plans.iter().filter_map(|plan| self.of_plan.get(plan)).flatten());
    }
}

/// Whether a hold that names the study is made or released. Holds on a patient or query are told by their studies.
fn holds_study(fact: &RetentionFact, ours: &dyn Fn(&StudyRef) -> bool, holds: &mut HashSet<HoldId>) -> bool {
    match fact {
        RetentionFact::HoldMade(hold) => {
            let named = match &hold.target {
                HoldTarget::Study(study) => ours(study),
                HoldTarget::Studies { studies, .. } => studies.iter().any(ours),
                HoldTarget::Patient(_) => false,
            };
            if named {
                holds.insert(hold.id.clone());
            }
            named
        }
        RetentionFact::HoldReleased(release) => holds.contains(&release.hold),
        _ => false,
    }
}

fn plan_of(fact: &RetentionFact) -> Option<&PlanId> {
    match fact {
        RetentionFact::PlanMade { head, .. } => Some(&head.plan),
        RetentionFact::PlanApproved(approval) => Some(&approval.plan),
        RetentionFact::PlanBegun(begun) => Some(&begun.plan),
        RetentionFact::PlanWithdrawn { plan, .. }
        | RetentionFact::PlanFinished { plan, .. }
        | RetentionFact::StudyHidden { plan, .. }
        | RetentionFact::StudyRestored { plan, .. }
        | RetentionFact::StudyTakenOut { plan, .. } => Some(plan),
        RetentionFact::StudyDestroyed(tombstone) => Some(&tombstone.plan),
        _ => None,
    }
}

fn look_through(
    ledger: &LedgerReader,
    marks: &Marks,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Evidence, OpenError> {
    let size = ledger.size();
    let mut evidence = Evidence::default();
    for index in 0..size {
        if index.is_multiple_of(STEP) {
            progress(index, size);
            if stop.load(Ordering::Relaxed) {
                evidence.interrupted = true;
                return Ok(evidence);
            }
        }
        let entry = ledger.entry(index)?;
        evidence.searched += 1;
        let named: Named<'_> = serde_json::from_slice(&entry.bytes).map_err(|_| StoreError::Entry {
            sequence: entry.sequence,
            what: "not in the form of an entry; was it written by a newer version?",
        })?;
        let known = |name: &Option<Cow<'_, str>>, names: &HashSet<String>| {
            name.as_ref().is_some_and(|name| names.contains(name.as_ref()))
        };
        if !marks.records.contains(&entry.sequence)
            && !known(&named.instance, &marks.instances)
            && !known(&named.pack, &marks.packs)
        {
            continue;
        }
        evidence.entries.push(index);
        if let Some(text) = marks.tombstones.get(&entry.sequence) {
            evidence.tombstones.push(Shown { entry: index, text: text.clone() });
        }
    }
    progress(size, size);
    Ok(evidence)
}

#[cfg(test)]
mod tests;
