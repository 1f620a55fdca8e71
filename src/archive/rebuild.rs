//! The index from journal, kept facts and packs alone (law 3), and what start-up does for the missing tail.
//!
//! A rebuild takes all instances first, wherever they lie now: heads of packed ones stand in the manifests of their
//! packs, the others in the journal. Then it applies every other fact in the order it became true. That gives the rows
//! of the first time, because what depends on order is the order among the instances of a study. Studies that lie in
//! packs altogether go to the index whole; the instances of the others are applied in the order they came in.

mod heads;
mod later;
mod spooled;
mod survey;

use crate::charts::Rebuilt;
use crate::error::OpenError;
use crate::facts::{Facts, Glance, glance, is_instance, parse};
use crate::open::{index_path, open_index, open_journal};
use crate::options::Options;
use crate::packs::Packs;
use crate::spool::Spool;
use crate::tier::{FarCloud, KeyRing, Tiers};
use heads::Open;
use index::{Entry, Index, Whole};
use model::{Digest, Fact, Home, Lsn};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use store::{DataDir, Journal, Recovery, Replayed};
use survey::{Survey, study_number};

/// Facts applied to the index at once ...
const BATCH: usize = 1_000;
/// ... and the bytes of their heads, which a single fact may exceed.
const BATCH_BYTES: usize = 4 << 20;

/// Batches read ahead of the index.
const BATCHES_AHEAD: usize = 2;

/// What a rebuild found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Facts read from the journal, and instances read from packs.
    pub facts: u64,
    /// Packs read.
    pub packs: u64,
    /// Digest of the logical dump of the index as it was; none when there was none that opens.
    pub before: Option<Digest>,
    /// Digest of the logical dump of the rebuilt index.
    pub after: Digest,
    /// The same of the index of charts.
    pub charts: Rebuilt,
}

impl Report {
    /// Whether the rebuilt index equals the one it replaced, and that of charts, too, where there was one.
    pub fn equal(&self) -> bool {
        self.before == Some(self.after) && self.charts.before.is_none_or(|before| before == self.charts.after)
    }
}

/// What a replay met.
#[derive(Default)]
pub(crate) struct Met {
    /// Number of facts.
    pub(crate) facts: u64,
    /// Packs read.
    pub(crate) packs: u64,
    /// Names of the files that records hold their bodies in.
    pub(crate) blobs: HashSet<String>,
}

/// Facts on their way into an index.
struct Batch<'a> {
    index: &'a dyn Index,
    entries: Vec<Entry>,
    bytes: usize,
    met: Met,
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> Batch<'a> {
    fn new(index: &'a dyn Index, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self { index, entries: Vec::with_capacity(BATCH), bytes: 0, met: Met::default(), progress }
    }

    fn push(&mut self, entry: Entry, bytes: usize) -> Result<(), OpenError> {
        self.entries.push(entry);
        self.met.facts += 1;
        self.bytes += bytes;
        if self.entries.len() >= BATCH || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        self.index.apply(&self.entries)?;
        self.entries.clear();
        self.bytes = 0;
        (self.progress)(self.met.facts);
        Ok(())
    }

    /// Gives whole studies to the index, so many instances.
    fn load(&mut self, wholes: &[Whole], instances: usize) -> Result<(), OpenError> {
        self.index.load(wholes, 0)?;
        self.met.facts += u64::try_from(instances).unwrap_or(0);
        (self.progress)(self.met.facts);
        Ok(())
    }

    fn end(mut self) -> Result<Met, OpenError> {
        self.flush()?;
        Ok(self.met)
    }
}

/// Applies every fact of the journal from `from` on. `progress` hears the running number.
pub(crate) fn replay(
    (journal, keys): (&Journal, &KeyRing),
    index: &dyn Index,
    from: Lsn,
    progress: &mut dyn FnMut(u64),
) -> Result<Met, OpenError> {
    let mut batch = Batch::new(index, progress);
    let mut each = |replayed: Replayed<'_>| -> Result<(), OpenError> {
        let fact = keys.opened(replayed.lsn, parse(replayed.lsn, replayed.head)?)?;
        batch.met.blobs.extend(replayed.place.blob.clone());
        let home = Some(Home::Journal(replayed.place));
        batch.push(Entry { lsn: replayed.lsn, fact, home }, replayed.head.len())
    };
    journal.replay(from, &mut each)?;
    batch.end()
}

/// The first record to replay: what the index has not seen, and what start-up moved to a new place.
pub(crate) fn replay_from(applied: Lsn, recovery: &Recovery) -> Lsn {
    let unseen = applied.saturating_add(1);
    recovery.moved_from.map_or(unseen, |moved| moved.min(unseen))
}

/// An index that knows more than the journal means that journal files are missing: starting would hide it.
pub(crate) fn refuse_when_ahead(applied: Lsn, journal: &Journal) -> Result<(), OpenError> {
    let last = journal.last();
    if applied > last { Err(OpenError::JournalBehind { applied, last }) } else { Ok(()) }
}

/// Whether the journal no longer holds everything that an index standing at `applied` has not seen.
pub(crate) fn is_out_of_reach(applied: Lsn, journal: &Journal) -> bool {
    let first = journal.segments().iter().map(|segment| segment.first_lsn).min();
    first.is_some_and(|first| applied.saturating_add(1) < first)
}

/// What an archive consists of without its index.
pub(crate) struct Sources<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) facts: &'a Facts,
    pub(crate) packs: &'a Packs,
    pub(crate) keys: &'a KeyRing,
}

impl Sources<'_> {
    /// Builds an index from nothing.
    pub(crate) fn build(
        &self,
        index: &dyn Index,
        folder: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Met, OpenError> {
        remove(folder)?;
        let mut survey = Survey::of(self, index, folder)?;
        survey.take_catalogues(self)?;
        let blobs = std::mem::take(&mut survey.blobs);
        let (studies, open, later) = survey.packs(index)?;
        let mut open = Open { studies: open, ..Open::default() };
        let mut spool = Spool::new(&folder.join("instances")).map_err(|error| sorting(&error))?;
        let mut batch = Batch::new(index, progress);
        let packs = heads::read(self, studies, &mut open, &mut spool, &mut batch)?;
        if !open.studies.is_empty() {
            self.spool_journal(&open, &mut spool)?;
            apply_spooled(spool, &mut batch)?;
        }
        later.drain(&open, &mut |fact| match fact {
            Some((lsn, fact)) => {
                let (lsn, fact) = self.keys.opened(lsn, fact)?.own(lsn);
                batch.push(Entry { lsn, fact, home: None }, 256)
            }
            None => {
                batch.met.facts += 1;
                Ok(())
            }
        })?;
        let met = batch.end()?;
        // What the journal held last may be kept nowhere: a quiet mark that a later one covers, say.
        index.load(&[], self.journal.last())?;
        remove(folder)?;
        Ok(Met { blobs, packs, ..met })
    }

    /// The instances of the journal, of studies that do not lie in packs altogether.
    fn spool_journal(&self, open: &Open, spool: &mut Spool) -> Result<(), OpenError> {
        self.journal.replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            let is_open = |of: Glance| open.studies.contains(&study_number(of.facility, &of.study));
            // Most lie in packs by now.
            if is_instance(replayed.head) && !is_open(glance(replayed.lsn, replayed.head)?) {
                return Ok(());
            }
            let (_, Fact::Instance(head)) = parse(replayed.lsn, replayed.head)?.own(0) else { return Ok(()) };
            if !open.studies.contains(&study_number(head.facility, &head.study)) {
                return Ok(());
            }
            let json = serde_json::to_vec(&head).map_err(|error| sorting(&error))?;
            let item = spooled::write(&Home::Journal(replayed.place), &json)?;
            spool.push(head.seq, item).map_err(|error| sorting(&error))
        })
    }
}

/// What goes wrong while a spool is drained.
struct Drained(OpenError);

impl From<OpenError> for Drained {
    fn from(error: OpenError) -> Self {
        Self(error)
    }
}

impl From<std::io::Error> for Drained {
    fn from(error: std::io::Error) -> Self {
        Self(sorting(&error))
    }
}

fn sorting(error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Thread { what: format!("sorting the instances: {error}") }
}

/// Applies the instances of a spool in order; they are read by another thread meanwhile.
fn apply_spooled(spool: Spool, batch: &mut Batch<'_>) -> Result<(), OpenError> {
    std::thread::scope(|scope| {
        let (to, from) = crossbeam_channel::bounded(BATCHES_AHEAD);
        scope.spawn(move || {
            let (mut before, mut entries) = (None, Vec::with_capacity(BATCH));
            let drained = spool.drain(&mut |seq, item| -> Result<(), std::io::Error> {
                // An instance that lies in a pack may still stand in the journal: its pack was spooled first.
                if before.replace(seq) == Some(seq) {
                    return Ok(());
                }
                entries.push((spooled::read(&item).map_err(std::io::Error::other)?, item.len()));
                // When nobody takes them any more, another error is on its way already.
                if entries.len() >= BATCH && to.send(Ok(std::mem::take(&mut entries))).is_err() {
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
                Ok(())
            });
            let _ = to.send(drained.map(|()| entries).map_err(|error| sorting(&error)));
        });
        for entries in from {
            for (entry, bytes) in entries? {
                batch.push(entry, bytes)?;
            }
        }
        batch.flush()
    })
}

/// Builds the index of a data directory anew and puts it in the old one's place.
///
/// The old index is removed only after the new one is complete and flushed; a stop in between leaves
/// the old one in use. Takes the directory's lock: the server must not run.
pub fn run(options: &Options, progress: &mut dyn FnMut(u64)) -> Result<Report, OpenError> {
    let _directory = DataDir::open(&options.data)?;
    let (journal, recovery) = open_journal(options)?;
    let tiers = Tiers::open(options)?;
    let (facts, packs) = (Facts::open(options)?, Packs::open(options)?);
    packs.connect(FarCloud::behind(&tiers));
    let old = index_path(&options.data);
    let before = match old.exists().then(|| open_index(options, &old)) {
        Some(Ok(index)) if is_out_of_reach(index.applied(), &journal) => None,
        Some(Ok(index)) => {
            // What the journal has and the old index has not seen belongs to both.
            let from = replay_from(index.applied(), &recovery);
            let seen = replay((&journal, tiers.keys()), index.as_ref(), from, &mut |_| {});
            match seen.and_then(|_| dump_digest(index.as_ref())) {
                Ok(digest) => Some(digest),
                // What is wrong with the journal is met again by what follows.
                Err(error) => {
                    tracing::warn!(%error, "the present index cannot be read; it is rebuilt without a comparison");
                    None
                }
            }
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "the present index does not open; it is rebuilt without a comparison");
            None
        }
        None => None,
    };
    let sources = Sources { journal: &journal, facts: &facts, packs: &packs, keys: tiers.keys() };
    let (met, after) = replace(options, &sources, progress)?;
    // Only now may the journal say that nothing needs moving: the index in use knows every place.
    journal.close()?;
    facts.close()?;
    let charts = crate::charts::rebuild(options, Arc::clone(tiers.keys()))?;
    Ok(Report { facts: met.facts, packs: met.packs, before, after, charts })
}

/// Builds a new index and puts it in the place of the old one.
pub(crate) fn replace(
    options: &Options,
    sources: &Sources<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<(Met, Digest), OpenError> {
    let (old, new, aside) = (index_path(&options.data), options.data.join("index.new"), options.data.join("index.old"));
    remove(&new)?;
    remove(&aside)?;
    let rebuilt = open_index(options, &new)?;
    let met = sources.build(rebuilt.as_ref(), &options.data.join("index.spool"), progress)?;
    // What is dumped need not lie in files yet: one goes on beside the other.
    let after = std::thread::scope(|scope| {
        let flushed = scope.spawn(|| rebuilt.flush());
        let digest = dump_digest(rebuilt.as_ref());
        flushed.join().map_err(|_| OpenError::Thread { what: "the flush of the new index ended".into() })??;
        digest
    })?;
    drop(rebuilt);
    if old.exists() {
        rename(&old, &aside)?;
    }
    rename(&new, &old)?;
    remove(&aside)?;
    Ok((met, after))
}

/// SHA-256 over the logical dump of an index.
pub fn dump_digest(index: &dyn Index) -> Result<Digest, OpenError> {
    let mut hasher = Sha256::new();
    index.dump(&mut |line: &[u8]| {
        hasher.update(line);
        hasher.update(b"\n");
    })?;
    Ok(Digest(hasher.finalize().into()))
}

pub(crate) fn remove(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, &error)),
        _ => Ok(()),
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    std::fs::rename(from, to).map_err(|error| io(from, &error))
}

fn io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Thread { what: format!("{}: {error}", path.display()) }
}
