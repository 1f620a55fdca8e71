//! The index from journal, kept facts and packs alone (law 3), and what start-up does for the missing tail.
//!
//! A rebuild applies all instances first, in the order they came in, wherever they lie now: heads of packed ones stand
//! in the manifests of their packs, the others in the journal. Then it applies every other fact in the order it became
//! true. That gives the rows of the first time, because what depends on order is the order among instances.

mod spooled;

use crate::error::OpenError;
use crate::facts::{Facts, is_instance, parse};
use crate::open::{index_path, open_index, open_journal};
use crate::options::Options;
use crate::packs::Packs;
use crate::spool::Spool;
use crate::tier::{FarCloud, KeyRing, Tiers};
use index::{Entry, Index, PackRow, StudyKey};
use model::pack::{PackFact, Packed};
use model::retention::RetentionFact;
use model::{Digest, Fact, Home, Lsn, PackId};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use store::pack::Pack;
use store::{DataDir, Journal, Recovery, Replayed};

/// Facts applied to the index at once ...
const BATCH: usize = 1_000;
/// ... and the bytes of their heads, which a single fact may exceed.
const BATCH_BYTES: usize = 4 << 20;

/// Batches read ahead of the index.
const BATCHES_AHEAD: usize = 2;
/// Threads that read packs.
const READERS_MAX: usize = 4;

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
}

impl Report {
    /// Whether the rebuilt index equals the one it replaced.
    pub fn equal(&self) -> bool {
        self.before == Some(self.after)
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
    /// Every fact that is no instance, in the order it became true.
    fn each_fact(&self, each: &mut dyn FnMut(Lsn, Fact) -> Result<(), OpenError>) -> Result<(), OpenError> {
        self.facts.replay(&mut |lsn, fact| each(lsn, self.keys.opened(lsn, fact)?.own(lsn).1))?;
        self.journal.replay(1, &mut |replayed: Replayed<'_>| {
            if is_instance(replayed.head) {
                return Ok(());
            }
            match self.keys.opened(replayed.lsn, parse(replayed.lsn, replayed.head)?)?.own(replayed.lsn) {
                (_, Fact::Instance(_)) => Ok(()),
                (lsn, fact) => each(lsn, fact),
            }
        })
    }

    /// Tells the index first what was destroyed, so that nothing of it comes back; gives the studies, and the newest
    /// instance that went with each.
    fn bury(&self, index: &dyn Index) -> Result<HashMap<StudyKey, u64>, OpenError> {
        let mut buried = HashMap::new();
        self.each_fact(&mut |lsn, fact| {
            if let Fact::Retention(retention) = &fact
                && let RetentionFact::StudyDestroyed(tombstone) = retention.as_ref()
            {
                let through = buried.entry(StudyKey::from(&tombstone.study)).or_insert(0);
                *through = tombstone.version.through.max(*through);
                index.apply(&[Entry { lsn: 0, fact: Fact::Forwarded { lsn, was: Box::new(fact) }, home: None }])?;
            }
            Ok(())
        })?;
        Ok(buried)
    }

    /// The packs that count, with their cold copies, and those of destroyed studies: what was replaced does not count.
    fn known_packs(
        &self,
        buried: &HashMap<StudyKey, u64>,
    ) -> Result<(HashMap<PackId, PackRow>, Vec<PackRow>), OpenError> {
        let mut rows: HashMap<PackId, PackRow> = HashMap::new();
        self.each_fact(&mut |_, fact| {
            if let Fact::Pack(fact) = fact {
                match *fact {
                    PackFact::Packed(packed) => note(&mut rows, &packed),
                    fact => drop(rows.get_mut(&fact.pack()).map(|row| row.take(&fact))),
                }
            }
            Ok(())
        })?;
        let gone = |row: &PackRow| buried.get(&row.series.study).is_some_and(|through| row.last_seq <= *through);
        let doomed = rows.extract_if(|_, row| gone(row)).map(|(_, row)| row).collect();
        Ok((rows, doomed))
    }

    /// Builds an index from nothing.
    pub(crate) fn build(
        &self,
        index: &dyn Index,
        folder: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Met, OpenError> {
        let mut spool = Spool::new(folder).map_err(|error| sorting(&error))?;
        let buried = self.bury(index)?;
        let (rows, doomed) = self.known_packs(&buried)?;
        self.spool_packs(&rows.values().collect::<Vec<_>>(), &mut spool)?;
        // Whether their bytes are gone nobody knows without the old index.
        doomed.iter().try_for_each(|row| index.doom(row))?;
        let (blobs, newest) = self.spool_journal(&mut spool)?;
        let mut batch = Batch::new(index, progress);
        apply_spooled(spool, &mut batch)?;
        // Nothing new, but the index then stands at the journal's end.
        if let Some(entry) = newest {
            batch.push(entry, 0)?;
            batch.flush()?;
        }
        self.each_fact(&mut |lsn, fact| batch.push(Entry { lsn, fact, home: None }, 256))?;
        let met = batch.end()?;
        Ok(Met { blobs, packs: u64::try_from(rows.len()).unwrap_or(u64::MAX), ..met })
    }

    /// Every instance of the journal; gives the names of the files of large bodies, and the newest instance.
    fn spool_journal(&self, spool: &mut Spool) -> Result<(HashSet<String>, Option<Entry>), OpenError> {
        let (mut blobs, mut newest) = (HashSet::new(), None);
        self.journal.replay(1, &mut |replayed: Replayed<'_>| -> Result<(), OpenError> {
            let (_, Fact::Instance(head)) = parse(replayed.lsn, replayed.head)?.own(0) else { return Ok(()) };
            blobs.extend(replayed.place.blob.clone());
            let (seq, home) = (head.seq, Home::Journal(replayed.place));
            let json = serde_json::to_vec(&head).map_err(|error| sorting(&error))?;
            let item = spooled::write(&home, &json)?;
            newest = Some(Entry { lsn: replayed.lsn, fact: Fact::Instance(head), home: Some(home) });
            spool.push(seq, item).map_err(|error| sorting(&error))
        })?;
        Ok((blobs, newest))
    }

    /// The instances of packs, read by several threads.
    fn spool_packs(&self, rows: &[&PackRow], spool: &mut Spool) -> Result<(), OpenError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
        std::thread::scope(|scope| {
            let (to, from) = crossbeam_channel::bounded(READERS_MAX * 4);
            for share in rows.chunks(rows.len().div_ceil(threads).max(1)) {
                let to = to.clone();
                scope.spawn(move || {
                    for row in share {
                        let read = self.heads_of(row);
                        let failed = read.is_err();
                        if to.send(read).is_err() || failed {
                            return;
                        }
                    }
                });
            }
            drop(to);
            for items in from {
                for (seq, item) in items? {
                    spool.push(seq, item).map_err(|error| sorting(&error))?;
                }
            }
            Ok(())
        })
    }

    /// The heads of a pack's instances, from its manifest.
    fn heads_of(&self, row: &PackRow) -> Result<Vec<(u64, Vec<u8>)>, OpenError> {
        let pack = Pack::open(self.packs.source(row)?).map_err(crate::RetrieveError::from)?;
        let mut items = Vec::with_capacity(pack.manifest().instances().len());
        for (slot, instance) in (0..).zip(pack.manifest().instances()) {
            let unread = |what: String| OpenError::Thread { what: format!("pack {}, slot {slot}: {what}", row.pack) };
            let seq = instance.head.get("seq").and_then(serde_json::Value::as_u64);
            let seq = seq.ok_or_else(|| unread("its head is no instance".into()))?;
            let json = serde_json::to_vec(&instance.head).map_err(|error| unread(error.to_string()))?;
            items.push((seq, spooled::write(&Home::Pack { pack: row.pack, slot }, &json)?));
        }
        Ok(items)
    }
}

/// A pack that was written counts; those it replaces do not any more.
fn note(rows: &mut HashMap<PackId, PackRow>, packed: &Packed) {
    packed.replaces.iter().for_each(|replaced| drop(rows.remove(replaced)));
    rows.entry(packed.pack).or_insert_with(|| PackRow::of(packed));
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
            let applied = index.applied();
            replay((&journal, tiers.keys()), index.as_ref(), replay_from(applied, &recovery), &mut |_| {})?;
            Some(dump_digest(index.as_ref())?)
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
    Ok(Report { facts: met.facts, packs: met.packs, before, after })
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
    rebuilt.flush()?;
    let after = dump_digest(rebuilt.as_ref())?;
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

fn remove(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, &error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    std::fs::rename(from, to).map_err(|error| io(from, &error))
}

fn io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Thread { what: format!("{}: {error}", path.display()) }
}
