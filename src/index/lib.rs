//! What can be found: rows of studies, series and instances, and the tables to find them by.
//!
//! The index is a view of the journal. It is fed with facts in journal order and can be thrown away and rebuilt;
//! nothing in it is the only copy of anything. [`Index`] is the domain trait; [`Oracle`] (in memory, obviously right)
//! and [`Rocks`] (RocksDB) implement it and are held to the same answers by one conformance suite.
//! Deliberately not here: bytes of instances, who may see what (the caller turns that into facilities of a plan),
//! decisions about sameness and conflicts (they come recorded in the facts).

mod attributes;
pub mod charts;
mod codec;
mod dump;
mod encode;
mod error;
mod oracle;
mod plan;
mod position;
mod retention;
mod rocks;
mod row;
mod stats;
mod walk;
mod whole;

pub use error::IndexError;
pub use oracle::Oracle;
pub use plan::{Driver, Plan, Word, plan};
pub use position::{Cursor, CursorError, Page};
pub use retention::Buried;
pub use rocks::{Rocks, RocksOptions};
pub use row::{
    Corrected, Found, FrameSummary, Identity, InstanceRow, KnownCopy, KnownPatient, KnownStudy, LISTED, PackRow,
    Prepared, PreparedKind, SeriesKey, SeriesRow, StudyKey, StudyRow, Whose, known,
};
pub use stats::{Count, Stats};
pub use walk::{Inside, Look};
pub use whole::Whole;

use model::forward::ForwardFact;
use model::retention::{RetentionFact, StudyVersion};
use model::{Destination, Facility, FacilityCode, Fact, Home, Layout, Lsn, PackId, Source, Uid};

/// One journal record as the index sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number of the record.
    pub lsn: Lsn,
    /// What became true.
    pub fact: Fact,
    /// Where the instance is read from; required for instances.
    pub home: Option<Home>,
}

impl Entry {
    /// The fact, and the number it was first recorded under: that of a forwarded fact is older than its record's.
    pub fn own(&self) -> (Lsn, &Fact) {
        let (lsn, fact) = match &self.fact {
            Fact::Forwarded { lsn, was } => (*lsn, was.as_ref()),
            fact => (self.lsn, fact),
        };
        match fact {
            Fact::Sealed(sealed) => (lsn, sealed.opened.as_deref().unwrap_or(fact)),
            fact => (lsn, fact),
        }
    }
}

/// What can be found. All calls are synchronous and may be made from any thread;
/// [`Index::apply`] is for one thread at a time and in journal order.
///
/// Rules that every engine keeps:
/// - Where the instances of a study or series disagree about an attribute, the first non-empty value received stays; of the
///   numbers of series and instances that senders state, the greatest.
/// - Copies in conflict (`outcome.copy > 0`) change no study or series row and no count; they are listed by
///   [`Index::conflicts`], [`Index::instance`] and [`Index::identity`].
/// - A "quiet" or "complete" fact that covers no instance of its series or study changes nothing.
/// - A hidden study and a rejected instance are in no answer of [`Index::find`] and in every other one.
/// - Nothing that a destroyed study held comes back, whichever fact about it is applied again.
/// - The order of every answer is study date descending, study time descending, then order of arrival.
pub trait Index: Send + Sync {
    /// Applies a batch atomically, with its journal position; facts about packs, rejections and destructions are batches of
    /// their own, so after an error what stands before one may be applied. Applying facts again changes nothing, except that an
    /// instance that is known under (facility, SOP Instance UID, `seq`) takes the home named now; once it lies in a
    /// pack no journal record takes it back. Facts about packs and retention may be applied again only with all that
    /// follow them.
    fn apply(&self, batch: &[Entry]) -> Result<(), IndexError>;

    /// Applies what a rebuild found of studies of which this index has nothing yet, nor anything under the SOP Instance
    /// UIDs in them: atomically, and as if every instance, then every fact about the packs and then the others had been
    /// applied. The journal position rises to `through`, if that is higher.
    fn load(&self, wholes: &[Whole], through: Lsn) -> Result<(), IndexError>;

    /// Number of the last record applied, in memory or on disk; 0 when there is none.
    fn applied(&self) -> Lsn;

    /// Makes everything applied before the call durable and returns a position up to which that holds.
    fn flush(&self) -> Result<Lsn, IndexError>;

    /// Highest `seq` of any instance applied; 0 when there is none.
    fn max_seq(&self) -> u64;

    /// What is known under the UIDs of an arriving instance, and of whoever it says it is of. What it costs does not grow
    /// with the patients under a Study Instance UID nor with the studies under a Series Instance UID.
    fn identity(
        &self,
        facility: FacilityCode,
        study: &Uid,
        series: &Uid,
        sop_instance: &Uid,
        whose: Whose<'_>,
    ) -> Result<Identity, IndexError>;

    /// One page of the plan's answer, after the cursor. A page may be short, even empty, and still carry a cursor:
    /// then the bound on examined rows was met and asking on will find more. Without a cursor the answer is complete.
    fn find(&self, plan: &Plan, after: Option<&Cursor>, limit: usize) -> Result<Page<Found>, IndexError>;

    /// Every study under a Study Instance UID: all facilities and patients, in order of arrival.
    fn studies(&self, study: &Uid) -> Result<Vec<StudyRow>, IndexError>;

    /// Whether no other study stands under the Study Instance UID of this one, of whatever facility or patient: what
    /// [`Index::studies`] tells, without reading rows again.
    fn is_alone(&self, study: &StudyRow) -> Result<bool, IndexError> {
        Ok(self.studies(&study.key.study)?.iter().all(|row| row.key == study.key))
    }

    /// So many of the studies under a Study Instance UID in a facility, hidden ones too, in order of arrival; all of them
    /// where there are fewer. What it costs does not grow with those beyond.
    fn some_studies(&self, facility: FacilityCode, study: &Uid, limit: usize) -> Result<Vec<StudyRow>, IndexError> {
        let rows = self.studies(study)?.into_iter().filter(|row| row.key.facility == facility);
        Ok(rows.take(limit).collect())
    }

    /// One study.
    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, IndexError>;

    /// One series.
    fn series(&self, key: &SeriesKey) -> Result<Option<SeriesRow>, IndexError>;

    /// The series of a study in order of arrival.
    fn series_of(&self, key: &StudyKey, after: Option<&Cursor>, limit: usize) -> Result<Page<SeriesRow>, IndexError>;

    /// The instances of a series in order of arrival, without copies in conflict.
    fn instances_of(
        &self,
        key: &SeriesKey,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<InstanceRow>, IndexError>;

    /// Every study, hidden ones too, in order of arrival: whoever must look at all of them reads the table as it lies.
    fn arrivals(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<StudyRow>, IndexError>;

    /// Looks into studies, at one moment where the engine can. Whoever looks into many does it some hundreds at a time.
    fn look(&self, visit: &mut dyn FnMut(&mut dyn Look) -> Result<(), IndexError>) -> Result<(), IndexError> {
        visit(&mut walk::ByName(self))
    }

    /// Every instance under a SOP Instance UID: all facilities and copies, in order of arrival.
    fn instance(&self, sop_instance: &Uid) -> Result<Vec<InstanceRow>, IndexError>;

    /// The places of an instance's parts.
    fn layout(&self, row: &InstanceRow) -> Result<Layout, IndexError>;

    /// Copies in conflict in order of arrival.
    fn conflicts(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<InstanceRow>, IndexError>;

    /// Series with instances that no "quiet" fact covers and that were last received at or before a time
    /// (milliseconds since 1970), the longest waiting (to the second) first.
    fn busy_series(&self, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError>;

    /// Studies whose every series is quiet and whose newest instance no "complete" fact covers, in order of arrival.
    fn incomplete_studies(&self, limit: usize) -> Result<Vec<StudyRow>, IndexError>;

    /// Quiet series with instances that no pack holds and that were last received at or before a time (milliseconds
    /// since 1970), the longest waiting (to the second) first.
    fn unpacked(&self, received_until: u64, limit: usize) -> Result<Vec<SeriesRow>, IndexError>;

    /// One pack.
    fn pack(&self, pack: PackId) -> Result<Option<PackRow>, IndexError>;

    /// The packs of a series by part, then by name.
    fn packs_of(&self, key: &SeriesKey) -> Result<Vec<PackRow>, IndexError>;

    /// All packs by name, after one.
    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackRow>, IndexError>;

    /// What was kept of a pack's manifest. It is a cache: it may vanish and is not in the dump.
    fn manifest(&self, pack: PackId) -> Result<Option<Vec<u8>>, IndexError>;

    /// Keeps a pack's manifest, in whatever form the caller reads it.
    fn put_manifest(&self, pack: PackId, bytes: &[u8]) -> Result<(), IndexError>;

    /// Facilities by code and sources by name.
    fn registry(&self) -> Result<(Vec<Facility>, Vec<Source>), IndexError>;

    /// Destinations by AE title, removed ones too.
    fn destinations(&self) -> Result<Vec<Destination>, IndexError>;

    /// What forwarding is told, the newest of each entry, by [`ForwardFact::key`].
    fn forwarding(&self) -> Result<Vec<ForwardFact>, IndexError>;

    /// The document prepared for a series, if one was kept. It is a cache: it may vanish and is not in the dump.
    fn prepared(&self, key: &SeriesKey, kind: PreparedKind) -> Result<Option<Prepared>, IndexError>;

    /// Keeps a document prepared for a series from its instances up to a `seq`.
    fn put_prepared(
        &self,
        key: &SeriesKey,
        kind: PreparedKind,
        through_seq: u64,
        document: Vec<u8>,
    ) -> Result<(), IndexError>;

    /// Totals.
    fn stats(&self) -> Result<Stats, IndexError>;

    /// What a study is now: its newest instance, copies in conflict included, and the newest fact that made it another
    /// version; none when there is no row of it.
    fn version(&self, key: &StudyKey) -> Result<Option<StudyVersion>, IndexError>;

    /// What was destroyed under a Study Instance UID of a facility, whoever the patient, in order.
    fn buried(&self, facility: FacilityCode, study: &Uid) -> Result<Vec<Buried>, IndexError>;

    /// Retention facts that are about no one study, and late instances, after a record number, in order.
    fn retention_facts(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError>;

    /// Every retention fact that is kept after a record number, in order.
    fn retention_behind(&self, after: Lsn, limit: usize) -> Result<Vec<(Lsn, RetentionFact)>, IndexError>;

    /// Every retention fact about one study, in order; also when it was destroyed.
    fn retention_of(&self, study: &StudyKey) -> Result<Vec<(Lsn, RetentionFact)>, IndexError>;

    /// Packs of destroyed studies whose bytes may still lie somewhere.
    fn doomed(&self, limit: usize) -> Result<Vec<PackRow>, IndexError>;

    /// Whether a pack is among the doomed.
    fn is_doomed(&self, pack: PackId) -> Result<bool, IndexError>;

    /// Adds a pack to the doomed: one that a rebuild met.
    fn doom(&self, row: &PackRow) -> Result<(), IndexError>;

    /// Nothing of a doomed or unknown pack lies anywhere any more: what is kept of its manifest goes, too.
    fn forget_pack(&self, pack: PackId) -> Result<(), IndexError>;

    /// Names of keys that went with destroyed studies and may still lie in the key store.
    fn doomed_seals(&self, limit: usize) -> Result<Vec<PackId>, IndexError>;

    /// Such a key is destroyed.
    fn forget_seal(&self, seal: PackId) -> Result<(), IndexError>;

    /// Number of the newest destruction after which files were not yet purged.
    fn sweep_due(&self) -> Result<Option<Lsn>, IndexError>;

    /// Rewrites those of the index's own files in which something of destroyed studies may stand, so that nothing does;
    /// gives the bytes written. Readers and the applier go on.
    fn purge(&self) -> Result<u64, IndexError>;

    /// Files were purged of everything that destructions up to this record removed.
    fn swept(&self, through: Lsn) -> Result<(), IndexError>;

    /// Writes everything that can be found, in an order and form that depend on the facts alone: equal for every
    /// engine and after a rebuild. Ordinals, places in the journal, caches and the journal position are not in it.
    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError>;
}
