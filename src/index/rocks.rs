//! The index on RocksDB: the embedded default.
//!
//! RocksDB's own log is off: the journal is the log. All tables flush at one position, which stands in the table
//! `meta`; after a crash the journal is replayed from there. One applier writes; readers see whole batches.
//! Deliberately not here: when to flush (the caller counts journal bytes), merge operators, transactions.

mod apply;
mod beyond;
mod cells;
mod dumped;
mod facts;
mod find;
mod folds;
mod judged;
mod keys;
mod lists;
mod load;
mod moves;
mod packs;
mod prepared;
pub(crate) mod purge;
pub(crate) mod read;
mod retention;
mod streams;
pub(crate) mod tables;
mod upgrade;
mod walk;

pub use tables::RocksOptions;

use crate::{
    Buried, Cursor, Entry, Found, Identity, Index, IndexError, InstanceRow, Look, PackRow, Page, Plan, Prepared,
    PreparedKind, SeriesKey, SeriesRow, Stats, StudyKey, StudyRow, Whole, Whose, dump, encode,
};
use apply::{Applier, Mark};
use cells::{For, Waits};
use lists::{CopyEntry, Listed, PatientEntry};
use model::forward::ForwardFact;
use model::retention::{RetentionFact, StudyVersion};
use model::{Destination, Facility, FacilityCode, Fact, Layout, Lsn, PackId, Source, Uid};
use parking_lot::Mutex;
use read::{Reader, get_now, handle, number_after_kind};
use rocksdb::DB;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tables::{FORMAT, Table, UidKind, engine, number, pair, uid_prefix, unlogged, unpair};
use walk::Looks;

/// The index on RocksDB.
pub struct Rocks {
    db: DB,
    applier: Mutex<Applier>,
    applied: AtomicU64,
    max_seq: AtomicU64,
    /// For quiet, and for a pack.
    waiting_from: [Mutex<WaitingFrom>; 2],
}

/// No series that waits is stored under an earlier second: walks start here and pass no deleted keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct WaitingFrom {
    second: u64,
    /// Batches applied: a walk may raise the second only when none came in meanwhile.
    batches: u64,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl Rocks {
    /// Opens the index in a directory, or creates it.
    pub fn open(path: &Path, options: RocksOptions) -> Result<Self, IndexError> {
        let db = tables::open(path, &options, &Table::ALL, FORMAT)?;
        let of_meta = |key: &[u8]| get_now(&db, Table::Meta, key, |bytes| number(Table::Meta, bytes));
        let (applied, max_seq) = (of_meta(b"applied")?.unwrap_or(0), of_meta(b"max_seq")?.unwrap_or(0));
        let mark = Mark { applied, max_seq, waits: [u64::MAX; 2] };
        match of_meta(b"format")? {
            Some(found) if found > u64::from(FORMAT) => {
                return Err(IndexError::Newer { found: u32::try_from(found).unwrap_or(u32::MAX), known: FORMAT });
            }
            Some(found) if found == u64::from(FORMAT) => {}
            // Nothing is upgraded in an empty one.
            older => upgrade::upgrade(&db, older.unwrap_or_default(), mark)?,
        }
        Ok(Self {
            db,
            applier: Mutex::default(),
            applied: AtomicU64::new(applied),
            max_seq: AtomicU64::new(max_seq),
            waiting_from: Default::default(),
        })
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.db)
    }

    /// Series that wait for something and were last received at or before a time, the longest waiting first.
    fn waiting(&self, wanted: For, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError> {
        let [for_quiet, for_pack] = &self.waiting_from;
        let from = if wanted == For::Quiet { for_quiet } else { for_pack };
        let start = *from.lock();
        let reader = self.reader();
        let key = |second| Waits { wanted, second }.key(0);
        let mut run = reader.run(Table::Pending, &key(start.second), Some(key(received_until / 1000 + 1)))?;
        let mut rows = Vec::new();
        let mut first = None;
        let mut ended = false;
        while rows.len() < limit {
            let Some((key, value)) = run.here()? else {
                ended = true;
                break;
            };
            let (second, series) = unpair(Table::Pending, key.get(1..).unwrap_or_default())?;
            first.get_or_insert(second);
            let study = number(Table::Pending, value)?;
            if let Some(of_study) = reader.study(study)? {
                let row = reader.series(&of_study.key, (study, series))?;
                rows.extend(row.filter(|row| row.last_received <= received_until));
            }
            run.step();
        }
        // Where nothing waits, everything up to the end was passed: only what was deleted lies there.
        if let Some(first) = first.or_else(|| ended.then_some(received_until / 1000 + 1)) {
            let mut from = from.lock();
            if *from == start {
                from.second = from.second.max(first);
            }
        }
        Ok(rows)
    }

    /// Where it stands before a batch.
    fn mark(&self) -> Mark {
        Mark { applied: self.applied(), max_seq: self.max_seq(), waits: [u64::MAX; 2] }
    }

    /// Where it stands after one. After the write: a walk that began before it must not raise the second.
    fn stands_at(&self, mark: Mark) {
        for (from, earliest) in self.waiting_from.iter().zip(mark.waits) {
            let mut from = from.lock();
            from.batches += 1;
            from.second = from.second.min(earliest);
        }
        self.max_seq.store(mark.max_seq, Ordering::Release);
        self.applied.store(mark.applied, Ordering::Release);
    }
}

/// Whether a fact is a batch of its own, so that rows are read as they are stored.
fn stands_alone(entry: &Entry) -> bool {
    match entry.own().1 {
        Fact::Pack(_) => true,
        Fact::Retention(fact) => {
            matches!(**fact, RetentionFact::StudyDestroyed(_) | RetentionFact::InstanceRejected { .. })
                || matches!(**fact, RetentionFact::InstancesRejected { .. } | RetentionFact::InstancesRestored { .. })
                || matches!(**fact, RetentionFact::SeriesMoved(_))
        }
        _ => false,
    }
}

/// The end of all keys under a number.
fn end_of(ordinal: u64) -> Option<Vec<u8>> {
    ordinal.checked_add(1).map(|next| next.to_be_bytes().to_vec())
}

/// Where a list ordered by arrival goes on.
fn from(after: Option<&Cursor>) -> u64 {
    after.map_or(0, |after| after.instance.saturating_add(1))
}

fn page<T>(rows: Vec<T>, limit: usize, seq: impl Fn(&T) -> u64) -> Page<T> {
    let cursor = rows.last().filter(|_| rows.len() >= limit).map(|last| Cursor::arrival(seq(last)));
    Page { rows, cursor }
}

/// An entry of the registry, behind the number of its record.
fn registered<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, IndexError> {
    let damaged = || IndexError::Damaged { table: Table::Meta.name(), what: "a registry entry is malformed" };
    serde_json::from_slice(value.get(8..).unwrap_or_default()).map_err(|_| damaged())
}

impl Index for Rocks {
    fn apply(&self, batch: &[Entry]) -> Result<(), IndexError> {
        let mut applier = self.applier.lock();
        batch.chunk_by(|one, other| !stands_alone(one) && !stands_alone(other)).try_for_each(|run| {
            self.stands_at(applier.apply(&self.db, run, self.mark())?);
            Ok(())
        })
    }

    fn load(&self, wholes: &[Whole], through: Lsn) -> Result<(), IndexError> {
        let mut applier = self.applier.lock();
        let before = self.mark();
        let before = Mark { applied: before.applied.max(through), ..before };
        self.stands_at(applier.load(&self.db, wholes, before)?);
        Ok(())
    }

    fn applied(&self) -> Lsn {
        self.applied.load(Ordering::Acquire)
    }

    fn flush(&self) -> Result<Lsn, IndexError> {
        // Taken before: what is applied while the flush runs may or may not be in it.
        let applied = self.applied();
        tables::flush(&self.db, &Table::ALL)?;
        Ok(applied)
    }

    fn max_seq(&self) -> u64 {
        self.max_seq.load(Ordering::Acquire)
    }

    fn identity(
        &self,
        facility: FacilityCode,
        study: &Uid,
        series: &Uid,
        sop_instance: &Uid,
        whose: Whose<'_>,
    ) -> Result<Identity, IndexError> {
        beyond::identity(&self.db, facility, [study, series, sop_instance], whose)
    }

    fn find(&self, plan: &Plan, after: Option<&Cursor>, limit: usize) -> Result<Page<Found>, IndexError> {
        find::find(&self.reader(), plan, after, limit)
    }

    fn studies(&self, study: &Uid) -> Result<Vec<StudyRow>, IndexError> {
        let reader = self.reader();
        let mut rows = Vec::new();
        for entry in find::under_uid::<PatientEntry>(&reader, UidKind::Study, study, |_| true)? {
            rows.extend(reader.study(entry.study)?);
        }
        rows.sort_by_key(|row| row.first_seq);
        Ok(rows)
    }

    fn is_alone(&self, study: &StudyRow) -> Result<bool, IndexError> {
        let reader = self.reader();
        let mut run = reader.prefix(Table::Uids, &uid_prefix(UidKind::Study, &study.key.study))?;
        // Without an ordinal only copies in conflict were seen.
        let is_other = |entry: &PatientEntry| entry.study != study.first_seq && entry.study != 0;
        // It ends with the first other one: there may be thousands.
        while let Some((_, value)) = run.here()? {
            if PatientEntry::decode(value)?.iter().any(is_other) {
                return Ok(false);
            }
            run.step();
        }
        Ok(true)
    }

    fn some_studies(&self, facility: FacilityCode, study: &Uid, limit: usize) -> Result<Vec<StudyRow>, IndexError> {
        find::some_studies(&self.reader(), facility, study, limit)
    }

    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, IndexError> {
        let reader = self.reader();
        match reader.ordinal(key)? {
            Some(ordinal) => reader.study(ordinal),
            None => Ok(None),
        }
    }

    fn series(&self, key: &SeriesKey) -> Result<Option<SeriesRow>, IndexError> {
        let reader = self.reader();
        match reader.locate(key)? {
            Some(at) => reader.series(&key.study, at),
            None => Ok(None),
        }
    }

    fn series_of(&self, key: &StudyKey, after: Option<&Cursor>, limit: usize) -> Result<Page<SeriesRow>, IndexError> {
        let (reader, limit) = (self.reader(), limit.max(1));
        let Some(study) = reader.ordinal(key)? else { return Ok(Page { rows: Vec::new(), cursor: None }) };
        let run = reader.run(Table::Series, &pair(study, from(after)), end_of(study))?;
        let rows = run.collect(limit, |_, value| encode::series(key, value))?;
        Ok(page(rows, limit, |row| row.first_seq))
    }

    fn instances_of(
        &self,
        key: &SeriesKey,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<InstanceRow>, IndexError> {
        let (reader, limit) = (self.reader(), limit.max(1));
        let Some((_, series)) = reader.locate(key)? else { return Ok(Page { rows: Vec::new(), cursor: None }) };
        let mut walk = reader.in_series(key, series, from(after))?;
        let mut rows = Vec::new();
        while rows.len() < limit
            && let Some(row) = walk.row()?
        {
            rows.push(row);
        }
        Ok(page(rows, limit, |row| row.seq))
    }

    fn arrivals(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<StudyRow>, IndexError> {
        let limit = limit.max(1);
        Ok(page(self.reader().arrivals(from(after), limit)?, limit, |row| row.first_seq))
    }

    fn look(&self, visit: &mut dyn FnMut(&mut dyn Look) -> Result<(), IndexError>) -> Result<(), IndexError> {
        let reader = self.reader();
        visit(&mut Looks::new(&reader))
    }

    fn instance(&self, sop_instance: &Uid) -> Result<Vec<InstanceRow>, IndexError> {
        let reader = self.reader();
        let mut rows = Vec::new();
        for entry in find::under_uid::<CopyEntry>(&reader, UidKind::Instance, sop_instance, |_| true)? {
            rows.extend(reader.copy(&entry)?);
        }
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    fn layout(&self, row: &InstanceRow) -> Result<Layout, IndexError> {
        self.reader().layout(row)
    }

    fn conflicts(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<InstanceRow>, IndexError> {
        let (reader, limit) = (self.reader(), limit.max(1));
        let run = reader.run(Table::Conflicts, &from(after).to_be_bytes(), None)?;
        let rows = run.collect(limit, |_, value| read::conflict(value))?;
        Ok(page(rows, limit, |row| row.seq))
    }

    fn busy_series(&self, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError> {
        self.waiting(For::Quiet, received_until, limit)
    }

    fn unpacked(&self, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError> {
        self.waiting(For::Pack, received_until, limit)
    }

    fn pack(&self, pack: PackId) -> Result<Option<PackRow>, IndexError> {
        self.reader().pack(pack)
    }

    fn packs_of(&self, key: &SeriesKey) -> Result<Vec<PackRow>, IndexError> {
        let reader = self.reader();
        reader.locate(key)?.map_or_else(|| Ok(Vec::new()), |(_, series)| reader.packs_of(series))
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackRow>, IndexError> {
        self.reader().packs(after, limit)
    }

    fn manifest(&self, pack: PackId) -> Result<Option<Vec<u8>>, IndexError> {
        get_now(&self.db, Table::Manifests, pack.as_bytes(), |bytes| Ok(bytes.to_vec()))
    }

    fn put_manifest(&self, pack: PackId, bytes: &[u8]) -> Result<(), IndexError> {
        let write = self.db.put_cf_opt(handle(&self.db, Table::Manifests)?, pack.as_bytes(), bytes, &unlogged());
        write.map_err(engine("keep a manifest"))
    }

    fn incomplete_studies(&self, limit: usize) -> Result<Vec<StudyRow>, IndexError> {
        let reader = self.reader();
        let run = reader.prefix(Table::Pending, b"C")?;
        let ordinals = run.collect(limit, |key, _| number_after_kind(Table::Pending, key))?;
        let mut rows = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals {
            rows.extend(reader.study(ordinal)?);
        }
        Ok(rows)
    }

    fn registry(&self) -> Result<(Vec<Facility>, Vec<Source>), IndexError> {
        let reader = self.reader();
        let facilities = reader.prefix(Table::Meta, b"F")?.collect(usize::MAX, |_, value| registered(value))?;
        let sources = reader.prefix(Table::Meta, b"S")?.collect(usize::MAX, |_, value| registered(value))?;
        Ok((facilities, sources))
    }

    fn destinations(&self) -> Result<Vec<Destination>, IndexError> {
        self.reader().prefix(Table::Meta, b"D")?.collect(usize::MAX, |_, value| registered(value))
    }

    fn forwarding(&self) -> Result<Vec<ForwardFact>, IndexError> {
        self.reader().prefix(Table::Meta, b"W")?.collect(usize::MAX, |_, value| registered(value))
    }

    fn prepared(&self, key: &SeriesKey, kind: PreparedKind) -> Result<Option<Prepared>, IndexError> {
        let reader = self.reader();
        let Some((_, series)) = reader.locate(key)? else { return Ok(None) };
        prepared::get(&reader, series, kind)
    }

    fn put_prepared(&self, key: &SeriesKey, kind: PreparedKind, seq: u64, bytes: Vec<u8>) -> Result<(), IndexError> {
        // Not while a destruction is applied: nothing would ever remove the document.
        let _applier = self.applier.lock();
        let Some((_, series)) = self.reader().locate(key)? else { return Ok(()) };
        prepared::put(&self.db, (series, kind), seq, bytes)
    }

    fn stats(&self) -> Result<Stats, IndexError> {
        let reader = self.reader();
        let mut stats = Stats::default();
        let text = |key: &[u8]| {
            let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned);
            name.ok_or_else(|| tables::bad_key(Table::Meta))
        };
        let run = reader.prefix(Table::Meta, b"T")?;
        for (name, count) in run.collect(usize::MAX, |key, value| Ok((text(key)?, cells::count(value)?)))? {
            let facility = FacilityCode::parse(&name).map_err(|_| tables::bad_key(Table::Meta))?;
            stats.total.add(&count);
            stats.facilities.insert(facility, count);
        }
        let run = reader.prefix(Table::Meta, b"U")?;
        stats.sources.extend(run.collect(usize::MAX, |key, value| Ok((text(key)?, cells::count(value)?)))?);
        Ok(stats)
    }

    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        let (facilities, sources) = self.registry()?;
        let mut dump = dump::Writer::new(out);
        facilities.iter().for_each(|facility| dump.facility(facility));
        sources.iter().for_each(|source| dump.source(source));
        self.destinations()?.iter().for_each(|destination| dump.destination(destination));
        self.forwarding()?.iter().for_each(|fact| dump.forwarding(fact));
        self.reader().dump(&mut dump)
    }

    fn version(&self, key: &StudyKey) -> Result<Option<StudyVersion>, IndexError> {
        self.reader().version(key)
    }

    fn buried(&self, facility: FacilityCode, study: &Uid) -> Result<Vec<Buried>, IndexError> {
        self.reader().buried(facility, study)
    }

    fn retention_facts(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        self.reader().general(after, limit)
    }

    fn retention_behind(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        self.reader().behind(after, limit)
    }

    fn retention_of(&self, study: &StudyKey) -> Result<Vec<(Lsn, RetentionFact)>, IndexError> {
        self.reader().of_one(study)
    }

    fn doomed(&self, limit: usize) -> Result<Vec<PackRow>, IndexError> {
        self.reader().doomed(limit)
    }

    fn is_doomed(&self, pack: PackId) -> Result<bool, IndexError> {
        get_now(&self.db, Table::Packs, &packs::doomed_key(pack), |_| Ok(())).map(|found| found.is_some())
    }

    fn doom(&self, row: &PackRow) -> Result<(), IndexError> {
        retention::doom(&self.db, row)
    }

    fn forget_pack(&self, pack: PackId) -> Result<(), IndexError> {
        let _applier = self.applier.lock();
        retention::forget_pack(&self.db, pack, self.reader().pack(pack)?.is_some())
    }

    fn doomed_seals(&self, limit: usize) -> Result<Vec<PackId>, IndexError> {
        self.reader().doomed_seals(limit)
    }

    fn forget_seal(&self, seal: PackId) -> Result<(), IndexError> {
        retention::forget_seal(&self.db, seal)
    }

    fn sweep_due(&self) -> Result<Option<Lsn>, IndexError> {
        get_now(&self.db, Table::Meta, b"sweep", |bytes| number(Table::Meta, bytes))
    }

    fn purge(&self) -> Result<u64, IndexError> {
        purge::purge(&self.db, &self.applier, &Table::ALL)
    }

    fn swept(&self, through: Lsn) -> Result<(), IndexError> {
        let _applier = self.applier.lock();
        if self.sweep_due()?.is_some_and(|due| due <= through) {
            let delete = self.db.delete_cf_opt(handle(&self.db, Table::Meta)?, b"sweep", &unlogged());
            delete.map_err(engine("note what was purged"))?;
        }
        Ok(())
    }
}
