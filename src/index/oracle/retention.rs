//! What retention facts do to studies: hide, restore, reject, destroy.
//!
//! Deliberately not here: whether any of it is allowed.

use super::State;
use crate::retention::{Buried, Chosen, RetentionChange, is_general};
use crate::row::StudyKey;
use model::Lsn;
use model::retention::record::RejectReason;
use model::retention::{RetentionFact, StudyVersion, Tombstone};
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    pub(super) fn retention(&mut self, lsn: Lsn, fact: &RetentionFact, touched: &mut BTreeSet<StudyKey>) {
        // A record that is met again after its key went with a study says nothing any more.
        if fact.seal().is_some_and(|seal| self.doomed_seals.contains(&seal)) {
            return;
        }
        self.retention.insert(lsn, fact.clone());
        let Some(key) = fact.study().map(StudyKey::from) else { return };
        if let RetentionFact::StudyDestroyed(tombstone) = fact {
            return self.destroy(lsn, key, tombstone, touched);
        }
        if let RetentionFact::SeriesMoved(moved) = fact {
            return self.move_series(lsn, moved, touched);
        }
        let change = RetentionChange::of(fact);
        let first = self.first(&key);
        if change == RetentionChange::None || self.is_buried(&key, |buried| lsn < buried.lsn) {
            return;
        }
        match change {
            RetentionChange::None => {}
            RetentionChange::Hide { plan, through } => {
                if first.is_some_and(|first| first <= through) {
                    self.hidden.insert(key.clone(), plan.to_owned());
                }
            }
            RetentionChange::Show => drop(self.hidden.remove(&key)),
            RetentionChange::Reject { instances, reason } => {
                instances.iter().for_each(|chosen| self.reject(lsn, &key, chosen, reason));
            }
            RetentionChange::Correct { values } => {
                if first.is_some() {
                    self.corrected.insert(key.clone(), values.clone());
                    let newest = self.version_facts.entry(key.clone()).or_default();
                    *newest = lsn.max(*newest);
                }
            }
        }
        touched.insert(key);
    }

    fn reject(&mut self, lsn: Lsn, key: &StudyKey, chosen: &Chosen<'_>, reason: Option<RejectReason>) {
        let found = self.instances.values_mut().find(|known| {
            let row = &known.row;
            let named = row.key.series == *chosen.series && row.sop_instance == *chosen.sop_instance;
            named && row.key.study == *key && row.outcome.copy == chosen.copy
        });
        let Some(found) = found else { return };
        let row = Arc::make_mut(&mut found.row);
        row.rejected = reason;
        let (series, served) = (row.key.clone(), chosen.copy == 0);
        self.prepared.retain(|(kept, _), _| *kept != series);
        let newest = |kept: &mut Lsn| *kept = lsn.max(*kept);
        if served {
            newest(self.series_facts.entry(series).or_default());
        }
        if self.first(key).is_some() {
            newest(self.version_facts.entry(key.clone()).or_default());
        }
    }

    fn destroy(&mut self, lsn: Lsn, key: StudyKey, tombstone: &Tombstone, touched: &mut BTreeSet<StudyKey>) {
        let through = tombstone.through();
        self.note_taken(lsn, tombstone, touched);
        self.max_seq = self.max_seq.max(through);
        let list = self.buried.entry((key.facility, key.study.clone())).or_default();
        if list.iter().any(|buried| buried.lsn == lsn) {
            return;
        }
        list.push(Buried { patient: key.patient, through, lsn, at: tombstone.destroyed_at });
        self.sweep = self.sweep.max(Some(lsn));
        let sealed = |fact: &RetentionFact| fact.seal().is_some_and(|seal| tombstone.seals.contains(&seal));
        self.retention.retain(|_, fact| !sealed(fact));
        self.doomed_seals.extend(&tombstone.seals);
        self.take(&key, tombstone);
        self.instances.retain(|seq, known| *seq > through || known.row.key.study != key);
        for seqs in [&mut self.of_study, &mut self.received_in] {
            seqs.entry(key.clone()).or_default().retain(|seq| *seq > through);
        }
        self.made.remove(&key);
        self.quiet.retain(|series, _| series.study != key);
        self.prepared.retain(|(series, _), _| series.study != key);
        self.complete.remove(&key);
        self.hidden.remove(&key);
        self.corrected.remove(&key);
        self.version_facts.remove(&key);
        self.series_facts.retain(|series, _| series.study != key);
        let gone = self.packs.extract_if(.., |_, row| row.series.study == key && row.last_seq <= through);
        let gone: Vec<_> = gone.collect();
        for (pack, row) in gone {
            self.manifests.remove(&pack);
            self.doomed.insert(pack, row);
        }
        touched.insert(key);
    }

    pub(super) fn is_buried(&self, key: &StudyKey, wanted: impl Fn(&Buried) -> bool) -> bool {
        let list = self.buried.get(&(key.facility, key.study.clone()));
        list.into_iter().flatten().any(|buried| buried.patient == key.patient && wanted(buried))
    }

    pub(super) fn version(&self, key: &StudyKey) -> Option<StudyVersion> {
        let row = self.studies.get(key)?;
        let of_study = self.instances.values().filter(|known| known.row.key.study == *key);
        let through = of_study.map(|known| known.head.seq).chain([row.last_seq]).max()?;
        Some(StudyVersion { through, fact: self.version_facts.get(key).copied().unwrap_or(0) })
    }

    /// Facts about no one study, and late instances.
    pub(super) fn general(&self, after: Lsn, limit: usize) -> Vec<(Lsn, RetentionFact)> {
        let behind = self.retention.range(after.saturating_add(1)..);
        let general = behind.filter(|(_, fact)| is_general(fact));
        general.take(limit).map(|(lsn, fact)| (*lsn, fact.clone())).collect()
    }

    pub(super) fn behind(&self, after: Lsn, limit: usize) -> Vec<(Lsn, RetentionFact)> {
        let behind = self.retention.range(after.saturating_add(1)..).take(limit);
        behind.map(|(lsn, fact)| (*lsn, fact.clone())).collect()
    }

    pub(super) fn of_one(&self, key: &StudyKey) -> Vec<(Lsn, RetentionFact)> {
        let is_of = |fact: &RetentionFact| fact.studies().into_iter().any(|study| StudyKey::from(study) == *key);
        let of_study = self.retention.iter().filter(|(_, fact)| is_of(fact));
        of_study.map(|(lsn, fact)| (*lsn, fact.clone())).collect()
    }
}
