//! The index in memory, written to be obviously right: it keeps the facts and derives every row from them.
//!
//! It scans everything for every query. Use it in tests and as the measure of faster engines.

mod derive;
mod identity;
mod moves;
mod pages;
mod retention;

use crate::position::Position;
use crate::row::study_key;
use crate::{
    Buried, Cursor, Entry, Found, Identity, Index, IndexError, InstanceRow, PackRow, Page, Plan, Prepared,
    PreparedKind, SeriesKey, SeriesRow, Stats, StudyKey, StudyRow, Whole, Whose, dump,
};
use model::forward::ForwardFact;
use model::pack::PackFact;
use model::retention::{Made, RetentionFact, StudyVersion};
use model::{
    AeTitle, Destination, Facility, FacilityCode, Fact, Home, InstanceHead, Layout, Level, Lsn, PackId, SeriesQuiet,
    Source, StudyComplete, Uid,
};
use pages::{by_arrival, keep_newest, page};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The index in memory.
#[derive(Debug, Default)]
pub struct Oracle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    applied: Lsn,
    max_seq: u64,
    instances: BTreeMap<u64, Stored>,
    facilities: BTreeMap<FacilityCode, (Lsn, Facility)>,
    sources: BTreeMap<String, (Lsn, Source)>,
    destinations: BTreeMap<AeTitle, (Lsn, Destination)>,
    forwarding: BTreeMap<String, (Lsn, ForwardFact)>,
    quiet: BTreeMap<SeriesKey, u64>,
    complete: BTreeMap<StudyKey, u64>,
    prepared: BTreeMap<(SeriesKey, PreparedKind), Prepared>,
    packs: BTreeMap<PackId, PackRow>,
    manifests: BTreeMap<PackId, Vec<u8>>,
    /// Every retention fact.
    retention: BTreeMap<Lsn, RetentionFact>,
    buried: BTreeMap<(FacilityCode, Uid), Vec<Buried>>,
    hidden: BTreeMap<StudyKey, String>,
    doomed_seals: BTreeSet<PackId>,
    version_facts: BTreeMap<StudyKey, Lsn>,
    series_facts: BTreeMap<SeriesKey, Lsn>,
    corrected: BTreeMap<StudyKey, model::Attributes>,
    doomed: BTreeMap<PackId, PackRow>,
    sweep: Option<Lsn>,
    /// When the last instance came in at a facility and from a source, whatever became of it.
    received: BTreeMap<FacilityCode, u64>,
    received_from: BTreeMap<String, u64>,
    /// Series that stand in another study than they were received in, and studies that were made for them.
    placed: BTreeMap<SeriesKey, StudyKey>,
    made: BTreeMap<StudyKey, Made>,
    /// Derived: the served instances received in every study and those that stand in it, and from them the rows.
    received_in: BTreeMap<StudyKey, BTreeSet<u64>>,
    of_study: BTreeMap<StudyKey, BTreeSet<u64>>,
    studies: BTreeMap<StudyKey, Arc<StudyRow>>,
    series: BTreeMap<StudyKey, Vec<Arc<SeriesRow>>>,
}

/// An instance as recorded, and its row.
#[derive(Debug)]
struct Stored {
    head: InstanceHead,
    row: Arc<InstanceRow>,
}

impl Stored {
    fn new(head: &InstanceHead, home: Home) -> Self {
        Self { head: head.clone(), row: Arc::new(InstanceRow::of(head, home)) }
    }
}

impl Oracle {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    fn apply(&mut self, entry: &Entry, touched: &mut BTreeSet<StudyKey>) -> Result<(), IndexError> {
        let raise = |kept: &mut u64, through: u64| *kept = through.max(*kept);
        let (lsn, fact) = entry.own();
        match fact {
            Fact::Instance(head) => {
                let unfit = || IndexError::Unfit { lsn: entry.lsn, what: "an instance without a home" };
                let home = entry.home.clone().ok_or_else(unfit)?;
                if let Some(known) = self.instances.get_mut(&head.seq) {
                    if known.row.home.journal().is_some() || home.journal().is_none() {
                        Arc::make_mut(&mut known.row).home = home;
                        touched.insert(known.row.key.study.clone());
                    }
                } else if !self.is_buried(&study_key(head), |buried| head.seq <= buried.through) {
                    self.max_seq = self.max_seq.max(head.seq);
                    raise(self.received.entry(head.facility).or_default(), head.received);
                    raise(self.received_from.entry(head.source.clone()).or_default(), head.received);
                    let mut stored = Stored::new(head, home);
                    if head.outcome.copy == 0 {
                        touched.extend(self.stand(&mut stored));
                    }
                    self.instances.insert(head.seq, stored);
                }
            }
            Fact::Facility(facility) => keep_newest(&mut self.facilities, facility.code, lsn, facility),
            Fact::Source(source) => keep_newest(&mut self.sources, source.id.clone(), lsn, source),
            Fact::Destination(to) => keep_newest(&mut self.destinations, to.title.clone(), lsn, to),
            Fact::Forwarding(fact) => keep_newest(&mut self.forwarding, fact.key(), lsn, fact),
            Fact::SeriesQuiet(SeriesQuiet { facility, study, patient, series, through, .. }) => {
                let study = StudyKey { facility: *facility, study: study.clone(), patient: *patient };
                let named = SeriesKey { study, series: series.clone() };
                let mut key = self.standing(&named);
                if self.instances_of(&key).next().is_none() {
                    key = self.holder(&named, &[*through]).unwrap_or(key);
                }
                if self.instances_of(&key).any(|known| known.row.seq <= *through) {
                    touched.insert(key.study.clone());
                    raise(self.quiet.entry(key).or_insert(*through), *through);
                }
            }
            Fact::StudyComplete(StudyComplete { facility, study, patient, through, .. }) => {
                let key = StudyKey { facility: *facility, study: study.clone(), patient: *patient };
                if self.first(&key).is_some_and(|first| first <= *through) {
                    raise(self.complete.entry(key.clone()).or_insert(*through), *through);
                    touched.insert(key);
                }
            }
            Fact::Pack(fact) => self.pack(fact, touched),
            Fact::Retention(fact) => self.retention(lsn, fact, touched),
            // A forwarded fact never holds another one; what a sealed one said goes with its key.
            Fact::Forwarded { .. } | Fact::Sealed(_) => {}
        }
        self.applied = self.applied.max(entry.lsn);
        Ok(())
    }

    fn pack(&mut self, fact: &PackFact, touched: &mut BTreeSet<StudyKey>) {
        let PackFact::Packed(packed) = fact else {
            if let Some(row) = self.packs.get_mut(&fact.pack()) {
                row.take(fact);
            }
            return;
        };
        let mut row = PackRow::of(packed);
        let gone = self.is_buried(&row.series.study, |buried| row.last_seq <= buried.through);
        // A copy in conflict has the name that it was received with.
        let named = row.series.clone();
        row.series = self.standing(&named);
        if gone || self.instances_of(&row.series).next().is_none() {
            // It may have stood there when the pack was written, and stand elsewhere since.
            let Some(holder) = self.holder(&named, &packed.seqs) else { return };
            row.series = holder;
        }
        for (slot, seq) in (0..).zip(&packed.seqs) {
            if let Some(known) =
                self.instances.get_mut(seq).filter(|known| [&row.series, &named].contains(&&known.row.key))
            {
                Arc::make_mut(&mut known.row).home = Home::Pack { pack: packed.pack, slot };
            }
        }
        packed.replaces.iter().for_each(|replaced| drop(self.packs.remove(replaced)));
        touched.insert(row.series.study.clone());
        self.packs.entry(packed.pack).or_insert(row);
    }

    fn served(&self, key: &StudyKey) -> impl Iterator<Item = &Stored> {
        self.of_study.get(key).into_iter().flatten().filter_map(|seq| self.instances.get(seq))
    }

    fn series_of(&self, key: &StudyKey) -> Vec<Arc<SeriesRow>> {
        self.series.get(key).cloned().unwrap_or_default()
    }

    fn one_series(&self, key: &SeriesKey) -> Option<&Arc<SeriesRow>> {
        self.series.get(&key.study)?.iter().find(|row| row.key == *key)
    }

    /// Series that wait, the longest first.
    fn waiting(&self, wanted: impl Fn(&SeriesRow) -> bool, received_until: u64, limit: usize) -> Vec<SeriesRow> {
        let waiting = self.series.values().flatten().filter(|row| wanted(row) && row.last_received <= received_until);
        let mut rows: Vec<SeriesRow> = waiting.map(|row| (**row).clone()).collect();
        rows.sort_by_key(|row| (row.last_received / 1000, row.first_seq));
        rows.truncate(limit);
        rows
    }

    fn rows_where(&self, wanted: impl Fn(&InstanceRow) -> bool) -> Vec<InstanceRow> {
        let found = self.instances.values().filter(|known| wanted(&known.row));
        found.map(|known| (*known.row).clone()).collect()
    }

    fn instances_of(&self, key: &SeriesKey) -> impl Iterator<Item = &Stored> {
        self.served(&key.study).filter(move |known| known.row.key == *key)
    }

    /// The chains study – series – instance of one study that the plan accepts, cut to the plan's level.
    fn chains(&self, plan: &Plan, study: &Arc<StudyRow>) -> Vec<(Cursor, Found)> {
        let position = Position::of(study);
        let found = |series, instance| Found { study: study.clone(), series, instance };
        let mut chains = Vec::new();
        if !plan.accepts_study(study) {
            return chains;
        }
        for series in self.series_of(&study.key).into_iter().filter(|row| plan.accepts_series(row)) {
            let instances = self.instances_of(&series.key).map(|known| &known.row);
            for instance in instances.filter(|row| plan.accepts_instance(row)) {
                let cursor = Cursor { position, series: series.first_seq, instance: instance.seq };
                chains.push(match plan.level {
                    Level::Study => (Cursor::after_study(position), found(None, None)),
                    Level::Series => {
                        (Cursor::after_series(position, series.first_seq), found(Some(series.clone()), None))
                    }
                    Level::Instance => (cursor, found(Some(series.clone()), Some(instance.clone()))),
                });
            }
        }
        chains.dedup_by_key(|(cursor, _)| *cursor);
        chains
    }
}

impl Index for Oracle {
    fn apply(&self, batch: &[Entry]) -> Result<(), IndexError> {
        let unfit = batch.iter().find(|entry| matches!(entry.own().1, Fact::Instance(_)) && entry.home.is_none());
        if let Some(entry) = unfit {
            return Err(IndexError::Unfit { lsn: entry.lsn, what: "an instance without a home" });
        }
        let mut state = self.state.lock();
        let mut touched = BTreeSet::new();
        for entry in batch {
            state.apply(entry, &mut touched)?;
        }
        touched.iter().for_each(|key| state.derive(key));
        Ok(())
    }

    fn load(&self, wholes: &[Whole], through: Lsn) -> Result<(), IndexError> {
        self.state.lock().load(wholes, through)
    }

    fn applied(&self) -> Lsn {
        self.state.lock().applied
    }

    fn flush(&self) -> Result<Lsn, IndexError> {
        Ok(self.applied())
    }

    fn max_seq(&self) -> u64 {
        self.state.lock().max_seq
    }

    fn identity(
        &self,
        facility: FacilityCode,
        study: &Uid,
        series: &Uid,
        sop_instance: &Uid,
        whose: Whose<'_>,
    ) -> Result<Identity, IndexError> {
        Ok(self.state.lock().identity(facility, [study, series, sop_instance], whose))
    }

    fn find(&self, plan: &Plan, after: Option<&Cursor>, limit: usize) -> Result<Page<Found>, IndexError> {
        let state = self.state.lock();
        let mut studies: Vec<_> = state.studies.values().filter(|row| plan.accepts_study(row)).collect();
        studies.sort_by_cached_key(|row| Position::of(row));
        let beyond = |row: &&&Arc<StudyRow>| after.is_none_or(|after| Position::of(row) >= after.position);
        let chains = studies.iter().filter(beyond).flat_map(|study| state.chains(plan, study));
        Ok(page(chains, after, limit))
    }

    fn studies(&self, study: &Uid) -> Result<Vec<StudyRow>, IndexError> {
        let state = self.state.lock();
        let found = state.studies.values().filter(|row| row.key.study == *study);
        let mut rows: Vec<StudyRow> = found.map(|row| (**row).clone()).collect();
        rows.sort_by_key(|row| row.first_seq);
        Ok(rows)
    }

    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, IndexError> {
        Ok(self.state.lock().studies.get(key).map(|row| (**row).clone()))
    }

    fn series(&self, key: &SeriesKey) -> Result<Option<SeriesRow>, IndexError> {
        Ok(self.state.lock().one_series(key).map(|row| (**row).clone()))
    }

    fn series_of(&self, key: &StudyKey, after: Option<&Cursor>, limit: usize) -> Result<Page<SeriesRow>, IndexError> {
        let rows = self.state.lock().series_of(key);
        Ok(page(rows.iter().map(|row| (Cursor::arrival(row.first_seq), (**row).clone())), after, limit))
    }

    fn instances_of(
        &self,
        key: &SeriesKey,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<InstanceRow>, IndexError> {
        let state = self.state.lock();
        let rows = state.instances_of(key).map(|known| (Cursor::arrival(known.row.seq), (*known.row).clone()));
        Ok(page(rows, after, limit))
    }

    fn arrivals(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<StudyRow>, IndexError> {
        Ok(by_arrival(self.state.lock().studies.values(), after, limit))
    }

    fn instance(&self, sop_instance: &Uid) -> Result<Vec<InstanceRow>, IndexError> {
        Ok(self.state.lock().rows_where(|row| row.sop_instance == *sop_instance))
    }

    fn layout(&self, row: &InstanceRow) -> Result<Layout, IndexError> {
        let state = self.state.lock();
        let missing = IndexError::Damaged { table: "instances", what: "no layout for an instance" };
        state.instances.get(&row.seq).map(|known| known.head.layout.clone()).ok_or(missing)
    }

    fn conflicts(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<InstanceRow>, IndexError> {
        let rows = self.state.lock().rows_where(|row| row.outcome.copy > 0);
        Ok(page(rows.into_iter().map(|row| (Cursor::arrival(row.seq), row)), after, limit))
    }

    fn busy_series(&self, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError> {
        Ok(self.state.lock().waiting(SeriesRow::is_busy, received_until, limit))
    }

    fn unpacked(&self, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError> {
        Ok(self.state.lock().waiting(SeriesRow::is_unpacked, received_until, limit))
    }

    fn pack(&self, pack: PackId) -> Result<Option<PackRow>, IndexError> {
        Ok(self.state.lock().packs.get(&pack).cloned())
    }

    fn packs_of(&self, key: &SeriesKey) -> Result<Vec<PackRow>, IndexError> {
        let state = self.state.lock();
        let mut rows: Vec<PackRow> = state.packs.values().filter(|row| row.series == *key).cloned().collect();
        rows.sort_by_key(|row| (row.part, row.pack));
        Ok(rows)
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackRow>, IndexError> {
        let state = self.state.lock();
        let behind = state.packs.values().filter(|row| after.is_none_or(|after| row.pack > after));
        Ok(behind.take(limit).cloned().collect())
    }

    fn manifest(&self, pack: PackId) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.state.lock().manifests.get(&pack).cloned())
    }

    fn put_manifest(&self, pack: PackId, bytes: &[u8]) -> Result<(), IndexError> {
        self.state.lock().manifests.insert(pack, bytes.to_vec());
        Ok(())
    }

    fn incomplete_studies(&self, limit: usize) -> Result<Vec<StudyRow>, IndexError> {
        let state = self.state.lock();
        let due = state.studies.values().filter(|row| row.is_incomplete());
        let mut rows: Vec<StudyRow> = due.map(|row| (**row).clone()).collect();
        rows.sort_by_key(|row| row.first_seq);
        rows.truncate(limit);
        Ok(rows)
    }

    fn registry(&self) -> Result<(Vec<Facility>, Vec<Source>), IndexError> {
        let state = self.state.lock();
        let facilities = state.facilities.values().map(|(_, facility)| facility.clone()).collect();
        Ok((facilities, state.sources.values().map(|(_, source)| source.clone()).collect()))
    }

    fn destinations(&self) -> Result<Vec<Destination>, IndexError> {
        Ok(self.state.lock().destinations.values().map(|(_, destination)| destination.clone()).collect())
    }

    fn forwarding(&self) -> Result<Vec<ForwardFact>, IndexError> {
        Ok(self.state.lock().forwarding.values().map(|(_, fact)| fact.clone()).collect())
    }

    fn prepared(&self, key: &SeriesKey, kind: PreparedKind) -> Result<Option<Prepared>, IndexError> {
        Ok(self.state.lock().prepared.get(&(key.clone(), kind)).cloned())
    }

    fn put_prepared(&self, key: &SeriesKey, kind: PreparedKind, seq: u64, bytes: Vec<u8>) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        if state.one_series(key).is_some() {
            state.prepared.insert((key.clone(), kind), Prepared { through_seq: seq, document: bytes });
        }
        Ok(())
    }

    fn stats(&self) -> Result<Stats, IndexError> {
        Ok(self.state.lock().stats())
    }

    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        let (facilities, sources) = self.registry()?;
        let state = self.state.lock();
        let mut dump = dump::Writer::new(out);
        facilities.iter().for_each(|facility| dump.facility(facility));
        sources.iter().for_each(|source| dump.source(source));
        state.destinations.values().for_each(|(_, destination)| dump.destination(destination));
        state.forwarding.values().for_each(|(_, fact)| dump.forwarding(fact));
        let mut studies: Vec<_> = state.studies.values().collect();
        studies.sort_by_key(|row| row.first_seq);
        for study in studies {
            dump.study(study);
            for series in state.series_of(&study.key) {
                dump.series(&series);
                for known in state.instances_of(&series.key) {
                    dump.instance(&known.row, &known.head.layout);
                }
            }
        }
        for known in state.instances.values().filter(|known| known.head.outcome.copy > 0) {
            dump.conflict(&known.row, &known.head.layout);
        }
        state.packs.values().for_each(|row| dump.pack(row));
        state.retention.iter().try_for_each(|(lsn, fact)| dump.retention(*lsn, fact))
    }

    fn version(&self, key: &StudyKey) -> Result<Option<StudyVersion>, IndexError> {
        Ok(self.state.lock().version(key))
    }

    fn buried(&self, facility: FacilityCode, study: &Uid) -> Result<Vec<Buried>, IndexError> {
        Ok(self.state.lock().buried.get(&(facility, study.clone())).cloned().unwrap_or_default())
    }

    fn retention_facts(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        Ok(self.state.lock().general(after, limit))
    }

    fn retention_behind(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        Ok(self.state.lock().behind(after, limit))
    }

    fn retention_of(&self, study: &StudyKey) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        Ok(self.state.lock().of_one(study))
    }

    fn doomed(&self, limit: usize) -> Result<Vec<PackRow>, IndexError> {
        Ok(self.state.lock().doomed.values().take(limit).cloned().collect())
    }

    fn is_doomed(&self, pack: PackId) -> Result<bool, IndexError> {
        Ok(self.state.lock().doomed.contains_key(&pack))
    }

    fn doom(&self, row: &PackRow) -> Result<(), IndexError> {
        self.state.lock().doomed.insert(row.pack, row.clone());
        Ok(())
    }

    fn forget_pack(&self, pack: PackId) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        state.doomed.remove(&pack);
        if !state.packs.contains_key(&pack) {
            state.manifests.remove(&pack);
        }
        Ok(())
    }

    fn doomed_seals(&self, limit: usize) -> Result<Vec<PackId>, IndexError> {
        Ok(self.state.lock().doomed_seals.iter().take(limit).copied().collect())
    }

    fn forget_seal(&self, seal: PackId) -> Result<(), IndexError> {
        self.state.lock().doomed_seals.remove(&seal);
        Ok(())
    }

    fn sweep_due(&self) -> Result<Option<Lsn>, IndexError> {
        Ok(self.state.lock().sweep)
    }

    fn purge(&self) -> Result<u64, IndexError> {
        Ok(0)
    }

    fn swept(&self, through: Lsn) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        state.sweep = state.sweep.filter(|due| *due > through);
        Ok(())
    }
}
