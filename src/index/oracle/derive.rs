//! Rows of studies and series from the instances they have.
//!
//! Deliberately not here: which instances those are.

use super::{State, Stored};
use crate::attributes::absorb;
use crate::row::{Corrected, classes, modalities};
use crate::{Entry, IndexError, SeriesKey, SeriesRow, Stats, StudyKey, StudyRow, Whole};
use model::retention::record::RejectReason;
use model::{Fact, Home, InstanceHead, Level, Lsn};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl State {
    /// Takes whole studies, as facts with no number of their own.
    pub(super) fn load(&mut self, wholes: &[Whole], through: Lsn) -> Result<(), IndexError> {
        self.applied = self.applied.max(through);
        let mut touched = BTreeSet::new();
        for whole in wholes {
            for (head, pack, slot) in &whole.instances {
                let home = Some(Home::Pack { pack: *pack, slot: *slot });
                let fact = Fact::Instance(Box::new(head.clone()));
                self.apply(&Entry { lsn: 0, fact, home }, &mut touched)?;
            }
            self.packs.extend(whole.packs.iter().map(|row| (row.pack, row.clone())));
            for fact in &whole.facts {
                self.apply(&Entry { lsn: 0, fact: fact.clone(), home: None }, &mut touched)?;
            }
        }
        touched.iter().for_each(|key| self.derive(key));
        Ok(())
    }

    /// Totals of everything.
    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for Stored { head, .. } in self.instances.values() {
            let conflict = head.outcome.copy > 0;
            let facility = stats.facilities.entry(head.facility).or_default();
            facility.instance(head.file_len, head.received, conflict);
            let source = stats.sources.entry(head.source.clone()).or_default();
            source.instance(head.file_len, head.received, conflict);
        }
        for (code, received) in &self.received {
            stats.facilities.entry(*code).or_default().last_received = *received;
        }
        for (source, received) in &self.received_from {
            stats.sources.entry(source.clone()).or_default().last_received = *received;
        }
        for row in self.studies.values() {
            let facility = stats.facilities.entry(row.key.facility).or_default();
            facility.studies += 1;
            facility.series += row.series;
        }
        for count in stats.facilities.values() {
            stats.total.add(count);
        }
        stats
    }

    /// Derives a study and its series from all their instances, in order of arrival.
    pub(super) fn derive(&mut self, key: &StudyKey) {
        let Some(first) = self.first(key) else {
            self.studies.remove(key);
            self.series.remove(key);
            return;
        };
        let mut study = new_study(key, first);
        if let Some(made) = self.made.get(key) {
            study.attributes = crate::retention::begins_with(made);
        }
        self.received_in(key).for_each(|known| study.absorb(&known.head.attributes));
        let mut series: BTreeMap<SeriesKey, SeriesRow> = BTreeMap::new();
        for Stored { head, row: stored } in self.served(key) {
            let row = &mut study;
            if stored.rejected.is_none() {
                row.sop_classes.insert(head.sop_class.clone());
            }
            row.instances += 1;
            row.bytes += head.file_len;
            row.last_seq = row.last_seq.max(head.seq);
            row.last_received = row.last_received.max(head.received);
            let row = series.entry(stored.key.clone()).or_insert_with_key(|key| new_series(key, head));
            absorb(&mut row.attributes, &head.attributes, Level::Series);
            row.instances += 1;
            row.packed += u64::from(stored.home.journal().is_none());
            row.rejected += u64::from(stored.rejected.is_some());
            row.unfit += u64::from(stored.rejected == Some(RejectReason::Quality));
            row.bytes += head.file_len;
            row.last_seq = head.seq;
            row.last_received = row.last_received.max(head.received);
        }
        if let Some(values) = self.corrected.get(key) {
            study.correct(values);
        }
        study.complete_through = self.complete.get(key).copied();
        study.hidden_by = self.hidden.get(key).cloned();
        study.version_fact = self.version_facts.get(key).copied().unwrap_or(0);
        for row in series.values_mut() {
            row.quiet_through = self.quiet.get(&row.key).copied();
            study.series += 1;
            study.busy_series += u64::from(row.is_busy());
            row.version_fact = self.series_facts.get(&row.key).copied().unwrap_or(0);
            study.rejected += row.rejected;
            study.unfit += row.unfit;
            study.empty_series += u64::from(row.served() == 0);
            let modality = modalities::shown(&row.attributes).filter(|_| row.served() > 0);
            study.modalities.extend(modality.map(str::to_owned));
        }
        modalities::trim(&mut study.modalities);
        classes::trim(&mut study.sop_classes);
        self.studies.insert(key.clone(), Arc::new(study));
        let mut series: Vec<_> = series.into_values().map(Arc::new).collect();
        series.sort_by_key(|row| row.first_seq);
        self.series.insert(key.clone(), series);
    }
}

fn new_study(key: &StudyKey, first: u64) -> StudyRow {
    StudyRow {
        key: key.clone(),
        attributes: BTreeMap::new(),
        corrected: Corrected::default(),
        modalities: BTreeSet::new(),
        sop_classes: BTreeSet::new(),
        series: 0,
        busy_series: 0,
        instances: 0,
        bytes: 0,
        first_seq: first,
        last_seq: first,
        last_received: 0,
        complete_through: None,
        rejected: 0,
        hidden_by: None,
        version_fact: 0,
        unfit: 0,
        empty_series: 0,
    }
}

fn new_series(key: &SeriesKey, first: &InstanceHead) -> SeriesRow {
    SeriesRow {
        key: key.clone(),
        study_rank: first.outcome.study,
        attributes: BTreeMap::new(),
        instances: 0,
        bytes: 0,
        first_seq: first.seq,
        last_seq: first.seq,
        last_received: 0,
        quiet_through: None,
        packed: 0,
        rejected: 0,
        unfit: 0,
        version_fact: 0,
    }
}
