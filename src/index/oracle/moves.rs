//! Series that stand in another study than they were received in.
//!
//! What a study is called and when it was made comes from the instances received in it, wherever they stand now; what it
//! has is what stands in it. So the rows do not depend on whether an instance came before or behind a move.
//! Deliberately not here: whether a move is allowed.

use super::{State, Stored};
use crate::row::{SeriesKey, StudyKey, series_key, study_key};
use model::Lsn;
use model::retention::{Moved, Tombstone};
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    /// Where a series stands that is named as it was received, or as it stands.
    pub(super) fn standing(&self, key: &SeriesKey) -> SeriesKey {
        let study = self.placed.get(key).unwrap_or(&key.study);
        SeriesKey { study: study.clone(), series: key.series.clone() }
    }

    /// The series of a UID that has any of some instances, whatever study it was in when a fact named it.
    pub(super) fn holder(&self, named: &SeriesKey, seqs: &[u64]) -> Option<SeriesKey> {
        let served = seqs.iter().filter_map(|seq| self.instances.get(seq)).filter(|known| known.head.outcome.copy == 0);
        let mut rows = served.map(|known| &known.row.key);
        rows.find(|key| key.series == named.series && key.study.facility == named.study.facility).cloned()
    }

    /// The ordinal of a study: the `seq` of the first instance received in it, or what it was made with.
    pub(super) fn first(&self, key: &StudyKey) -> Option<u64> {
        let received = self.received_in.get(key).and_then(|seqs| seqs.first());
        self.made.get(key).map(|made| made.seq).or(received.copied())
    }

    /// The served instances that were received in a study, wherever they stand.
    pub(super) fn received_in(&self, key: &StudyKey) -> impl Iterator<Item = &Stored> {
        self.received_in.get(key).into_iter().flatten().filter_map(|seq| self.instances.get(seq))
    }

    pub(super) fn move_series(&mut self, lsn: Lsn, moved: &Moved, touched: &mut BTreeSet<StudyKey>) {
        let [home, from, to] = [&moved.study, &moved.from, &moved.to].map(StudyKey::from);
        let gone = |state: &Self, key: &StudyKey| state.is_buried(key, |buried| lsn < buried.lsn);
        if let Some(made) = &moved.made
            && !gone(self, &to)
            && self.first(&to).is_none()
        {
            self.made.insert(to.clone(), made.clone());
        }
        for study in [&from, &to] {
            if !gone(self, study) && self.first(study).is_some() {
                let newest = self.version_facts.entry(study.clone()).or_default();
                *newest = lsn.max(*newest);
                touched.insert(study.clone());
            }
        }
        if gone(self, &home) {
            return;
        }
        let stands = !gone(self, &to) && self.first(&to).is_some();
        for series in &moved.series {
            let received = SeriesKey { study: home.clone(), series: series.clone() };
            let before = self.standing(&received);
            let now = SeriesKey { study: if stands { to.clone() } else { before.study.clone() }, ..before.clone() };
            if self.instances_of(&before).next().is_none() {
                continue;
            }
            self.put_at(&received, &before, &now);
            let newest = self.series_facts.entry(now).or_default();
            *newest = lsn.max(*newest);
            touched.extend([before.study, to.clone()]);
        }
    }

    /// The studies that series were taken out of are others than before, also where that is met again.
    pub(super) fn note_taken(&mut self, lsn: Lsn, tombstone: &Tombstone, touched: &mut BTreeSet<StudyKey>) {
        for from in tombstone.taken.iter().map(|taken| StudyKey::from(&taken.from)) {
            if !self.is_buried(&from, |buried| lsn < buried.lsn) && self.first(&from).is_some() {
                let newest = self.version_facts.entry(from.clone()).or_default();
                *newest = lsn.max(*newest);
                touched.insert(from);
            }
        }
    }

    /// Removes the series that go with the study they were received in, out of those they stand in.
    pub(super) fn take(&mut self, home: &StudyKey, tombstone: &Tombstone) {
        for taken in &tombstone.taken {
            let received = SeriesKey { study: home.clone(), series: taken.series.clone() };
            let stands = SeriesKey { study: StudyKey::from(&taken.from), series: taken.series.clone() };
            if self.standing(&received) != stands {
                continue;
            }
            self.placed.remove(&received);
            self.instances.retain(|_, known| known.head.outcome.copy != 0 || known.row.key != stands);
            let left = &self.instances;
            self.of_study.entry(stands.study.clone()).or_default().retain(|seq| left.contains_key(seq));
            self.received_in.entry(home.clone()).or_default().retain(|seq| left.contains_key(seq));
            self.quiet.remove(&stands);
            self.series_facts.remove(&stands);
            self.prepared.retain(|(series, _), _| *series != stands);
            let gone: Vec<_> = self.packs.extract_if(.., |_, row| row.series == stands).collect();
            for (pack, row) in gone {
                self.manifests.remove(&pack);
                self.doomed.insert(pack, row);
            }
        }
    }

    /// Everything that is known of a series under one name is known under another.
    fn put_at(&mut self, received: &SeriesKey, before: &SeriesKey, now: &SeriesKey) {
        self.prepared.retain(|(kept, _), _| kept != before);
        if before == now {
            return;
        }
        self.placed.remove(received);
        if now != received {
            self.placed.insert(received.clone(), now.study.clone());
        }
        let mut seqs = BTreeSet::new();
        for (seq, known) in &mut self.instances {
            if known.head.outcome.copy == 0 && series_key(&known.head) == *received {
                Arc::make_mut(&mut known.row).key = now.clone();
                seqs.insert(*seq);
            }
        }
        self.of_study.entry(before.study.clone()).or_default().retain(|seq| !seqs.contains(seq));
        self.of_study.entry(now.study.clone()).or_default().extend(seqs);
        if let Some(through) = self.quiet.remove(before) {
            self.quiet.insert(now.clone(), through);
        }
        if let Some(fact) = self.series_facts.remove(before) {
            self.series_facts.insert(now.clone(), fact);
        }
        self.packs.values_mut().filter(|row| row.series == *before).for_each(|row| row.series = now.clone());
    }

    /// A served instance stands where its series does.
    pub(super) fn stand(&mut self, stored: &mut Stored) -> [StudyKey; 2] {
        let now = self.standing(&series_key(&stored.head));
        let received = study_key(&stored.head);
        let study = now.study.clone();
        Arc::make_mut(&mut stored.row).key = now;
        self.received_in.entry(received.clone()).or_default().insert(stored.head.seq);
        self.of_study.entry(study.clone()).or_default().insert(stored.head.seq);
        [received, study]
    }
}
