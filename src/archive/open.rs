//! Opening and closing the archive: directory, journal, index, and the threads between them.
//!
//! The start-up order is the recovery order: lock, journal (torn tail cut, unproven tail rewritten), index,
//! replay of what the index has not seen, then the threads, then the registry.

mod readiness;

pub use readiness::{Readiness, Stats};

use crate::budget::Budget;
use crate::commit::{Committer, Health, Settlement, Watch};
use crate::error::{IngestError, OpenError};
use crate::facts::Facts;
use crate::handoff;
use crate::metadata::Prepared;
use crate::options::Options;
use crate::packing::Failing;
use crate::packs::Packs;
use crate::pending::Pending;
use crate::proof::{self, Feed, Keeper};
use crate::queue::FairQueue;
use crate::registry::{Registry, demo};
use crate::render::Pictures;
use crate::retain::{self, Retention};
use crate::room::Room;
use crate::scrub::{self, Scrub};
use crate::sequence::{Sequencer, Turns, Work};
use crate::tier::{FarCloud, Tiers};
use crate::{packing, rebuild, render, segments, tier, worker};
use index::{Index, Rocks, RocksOptions};
use model::Fact;
use parking_lot::{Mutex, RwLock};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::{DataDir, Journal, JournalOptions, RealDisk};

/// Progress of a long start is said this often.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How long threads that have begun may take to end where another does not begin.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(60);
/// Batches the sequencer may run ahead of the sync.
const BATCHES_AHEAD: usize = 2;

/// The archive. Used as `Arc<Archive>`; every method may block.
pub struct Archive {
    options: Options,
    journal: Arc<Journal>,
    index: Arc<dyn Index>,
    queue: Arc<FairQueue<Work>>,
    turns: Arc<Turns>,
    budget: Budget,
    reading: Arc<Room>,
    registry: RwLock<Registry>,
    pub(crate) commitments: crate::commitment::Commitments,
    pub(crate) forwarding: crate::forward::Forwarding,
    pub(crate) notices: crate::notices::Notices,
    pub(crate) ups: Arc<crate::ups::Ups>,
    pub(crate) charts: Arc<crate::charts::Charts>,
    prepared: Prepared,
    pub(crate) pictures: Pictures,
    packs: Packs,
    pub(crate) pixels: crate::decode::Pixels,
    tiers: Arc<Tiers>,
    facts: Facts,
    failing: Failing,
    scrub: Scrub,
    rewriting: RwLock<()>,
    retention: Retention,
    registry_change: Mutex<()>,
    health: Arc<Health>,
    draining: AtomicBool,
    stopping: Arc<AtomicBool>,
    journaled: Arc<AtomicU64>,
    keeper: Option<Arc<Keeper>>,
    pipeline: Mutex<Vec<JoinHandle<()>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    _directory: DataDir,
}

/// Where the index lives inside a data directory.
pub(crate) fn index_path(data: &Path) -> PathBuf {
    data.join("index")
}

/// Opens the journal of a data directory as the options say.
pub(crate) fn open_journal(options: &Options) -> Result<(Journal, store::Recovery), OpenError> {
    let journal_options = JournalOptions {
        segment_bytes: options.segment_bytes,
        blob_above: options.blob_above,
        reserve_bytes: options.reserve_bytes,
        ..JournalOptions::new(options.journal_dirs())
    };
    Ok(Journal::open(Arc::new(RealDisk), journal_options)?)
}

/// Opens the index of a data directory as the options say.
pub(crate) fn open_index(options: &Options, path: &Path) -> Result<Arc<dyn Index>, OpenError> {
    let (block_cache_bytes, compressed) = (options.index_cache, options.index_compressed);
    let rocks = RocksOptions { block_cache_bytes, compressed, ..RocksOptions::default() };
    Ok(Arc::new(Rocks::open(path, rocks)?))
}

/// Where the archive's bytes lie.
struct Bytes {
    journal: Arc<Journal>,
    facts: Facts,
    packs: Packs,
    keeper: Option<Arc<Keeper>>,
    tiers: Arc<Tiers>,
}

/// Opens the index, or builds it anew when the journal no longer holds what it has not seen: it was removed, say.
fn level_index(options: &Options, sources: &rebuild::Sources<'_>) -> Result<Arc<dyn Index>, OpenError> {
    let path = index_path(&options.data);
    let index = open_index(options, &path)?;
    rebuild::refuse_when_ahead(index.applied(), sources.journal)?;
    let empty = index.applied() == 0 && !sources.facts.is_empty();
    if !empty && !rebuild::is_out_of_reach(index.applied(), sources.journal) {
        return Ok(index);
    }
    drop(index);
    tracing::warn!("the index is missing or too old: it is built anew from journal and packs");
    let mut said = Instant::now();
    rebuild::replace(options, sources, &mut |facts| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            tracing::info!(facts, "building the index");
        }
    })?;
    open_index(options, &path)
}

impl Archive {
    /// Opens the data directory, recovers, and starts the archive's threads.
    ///
    /// # Errors
    /// A second server, a newer format, a damaged journal: each names the file and what to do; nothing is changed.
    pub fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let directory = DataDir::open(&options.data)?;
        let (journal, recovery) = open_journal(&options)?;
        if let Some(torn) = &recovery.torn {
            tracing::warn!(?torn, "an unfinished record at the end of the journal was cut; it was never acknowledged");
        }
        let tiers = Tiers::open(&options)?;
        let (facts, packs) = (Facts::open(&options)?, Packs::open(&options)?);
        packs.connect(FarCloud::behind(&tiers));
        let keys = tiers.keys();
        let index = level_index(&options, &rebuild::Sources { journal: &journal, facts: &facts, packs: &packs, keys })?;
        let applied = index.applied();
        let from = rebuild::replay_from(applied, &recovery);
        let met = rebuild::replay((&journal, keys), index.as_ref(), from, &mut |_| {})?;
        let orphans = journal.remove_orphans(&met.blobs, from)?;
        if recovery.moved_from.is_some() {
            // The index must know the new places durably before the journal says that nothing needs moving.
            index.flush()?;
            journal.sync()?;
            journal.mark()?;
            journal.sync()?;
        }
        tracing::info!(from, facts = met.facts, orphans, "the index is level with the journal");
        let journal = Arc::new(journal);
        let keeper = Keeper::open(&options, &journal, tiers.keys())?;
        let archive = Self::start(options, directory, Bytes { journal, facts, packs, keeper, tiers }, index)?;
        if let Err(error) = archive.begin() {
            // No thread that has begun may outlive the refusal.
            let _ = archive.close(GIVE_UP_WITHIN);
            return Err(error);
        }
        Ok(archive)
    }

    /// Begins what is done in the background.
    fn begin(self: &Arc<Self>) -> Result<(), OpenError> {
        if self.options.background {
            for start in WORKERS {
                let worker = start(self)?;
                self.workers.lock().extend(worker);
            }
        }
        self.seed()
    }

    fn start(
        options: Options,
        directory: DataDir,
        Bytes { journal, facts, packs, keeper, tiers }: Bytes,
        index: Arc<dyn Index>,
    ) -> Result<Arc<Self>, OpenError> {
        let (queue, health, journaled) = (Arc::new(FairQueue::new()), Arc::<Health>::default(), Arc::default());
        let ((facilities, sources), destinations) = (index.registry()?, index.destinations()?);
        let feed = keeper.as_ref().map(|keeper| keeper.feed());
        let ups = crate::ups::Ups::open(&options, Arc::clone(tiers.keys()))?;
        let charts = crate::charts::Charts::open(&options, Arc::clone(tiers.keys()))?;
        let retention = Retention::load(index.as_ref())?;
        let forwarding = crate::forward::Forwarding::open(&options, index.forwarding()?)?;
        let (turns, pipeline) = start_pipeline(&options, &journal, &index, &queue, &health, &journaled, feed)?;
        let archive = Arc::new(Self {
            budget: Budget::new(options.ingest_budget),
            reading: Room::new(options.read_budget),
            prepared: Prepared::new(options.metadata_cache),
            pictures: Pictures::new(&options.pictures),
            packs,
            pixels: crate::decode::Pixels::new(&options),
            tiers,
            facts,
            failing: Failing::default(),
            scrub: Scrub::default(),
            rewriting: RwLock::new(()),
            retention,
            registry_change: Mutex::new(()),
            forwarding,
            journal,
            index,
            queue,
            turns,
            commitments: crate::commitment::Commitments::load(&options.data),
            notices: crate::notices::Notices::load(&options.data),
            ups,
            charts,
            registry: RwLock::new(Registry::new(facilities, sources).with(destinations)),
            health,
            draining: AtomicBool::new(false),
            stopping: Arc::new(AtomicBool::new(false)),
            journaled,
            keeper,
            pipeline: Mutex::new(pipeline),
            workers: Mutex::new(Vec::new()),
            _directory: directory,
            options,
        });
        Ok(archive)
    }

    /// Seeds the demo facility into an empty registry.
    fn seed(&self) -> Result<(), OpenError> {
        if !self.options.seed_demo || !self.registry.read().is_empty() {
            return Ok(());
        }
        let (facility, source) = demo();
        let failed =
            |error: IngestError| OpenError::Thread { what: format!("the demo facility was not stored: {error}") };
        self.record(Fact::Facility(facility.clone())).map_err(failed)?;
        self.record(Fact::Source(source.clone())).map_err(failed)?;
        *self.registry.write() = Registry::new(vec![facility], vec![source]);
        Ok(())
    }

    /// Whether one more object may begin.
    pub(crate) fn admit(&self) -> Result<(), IngestError> {
        if let Some(what) = self.health.reason() {
            return Err(IngestError::Unavailable { what });
        }
        if self.draining.load(Ordering::Relaxed) {
            return Err(IngestError::Unavailable { what: "draining before a stop".into() });
        }
        Ok(self.journal.admit(0)?)
    }

    /// Hands work to the sequencer; may do a turn of its work.
    pub(crate) fn submit(&self, lane: &str, work: Work) -> Result<(), IngestError> {
        let stopped = |_| IngestError::Unavailable { what: "the archive is stopping".into() };
        self.turns.submit(lane, work).map_err(stopped)
    }

    /// Refuses new objects from now on; open ones go on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Ends the threads, writes the clean mark and flushes the index.
    ///
    /// # Errors
    /// When something is still in the way after `limit`; the next start recovers.
    pub fn close(&self, limit: Duration) -> Result<(), OpenError> {
        let deadline = Instant::now() + limit;
        self.begin_drain();
        self.stopping.store(true, Ordering::Relaxed);
        self.tiers.stop();
        self.workers.lock().iter().for_each(|worker| worker.thread().unpark());
        join(&self.workers, deadline)?;
        self.queue.close();
        join(&self.pipeline, deadline)?;
        // What cannot be signed now is said, and entered again by the next start.
        let _ = self.sign_ledger();
        if self.health.reason().is_none() {
            self.journal.sync()?;
            self.journal.mark()?;
            self.journal.sync()?;
            self.facts.close().and_then(|()| self.ups.close()).and_then(|()| self.charts.close())?;
            self.index.flush()?;
        }
        Ok(())
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Memory of what is read and not yet taken, of all who read.
    pub fn reading(&self) -> &Arc<Room> {
        &self.reading
    }

    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn index(&self) -> &Arc<dyn Index> {
        &self.index
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn registry(&self) -> &RwLock<Registry> {
        &self.registry
    }

    /// Held from the check of a registry change to its place in memory: both in journal order.
    pub(crate) fn registry_change(&self) -> &Mutex<()> {
        &self.registry_change
    }

    pub(crate) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) const fn failing(&self) -> &Failing {
        &self.failing
    }

    /// Shared by those who write or remove packs or release segments; a backup that copies them has it alone.
    pub(crate) const fn rewriting(&self) -> &RwLock<()> {
        &self.rewriting
    }

    pub(crate) const fn scrub(&self) -> &Scrub {
        &self.scrub
    }

    pub(crate) fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    pub(crate) const fn retention(&self) -> &Retention {
        &self.retention
    }

    pub(crate) const fn packs(&self) -> &Packs {
        &self.packs
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn journaled(&self) -> u64 {
        self.journaled.load(Ordering::Relaxed)
    }

    pub(crate) fn keeper(&self) -> Option<&Arc<Keeper>> {
        self.keeper.as_ref()
    }

    pub(crate) fn stopping(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopping)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.options.clock.now_ms()
    }
}

/// Starts the sequencer and the committer.
fn start_pipeline(
    options: &Options,
    journal: &Arc<Journal>,
    index: &Arc<dyn Index>,
    queue: &Arc<FairQueue<Work>>,
    health: &Arc<Health>,
    journaled: &Arc<AtomicU64>,
    ledger: Option<Arc<Feed>>,
) -> Result<(Arc<Turns>, Vec<JoinHandle<()>>), OpenError> {
    let (commit, batches) = handoff::line(BATCHES_AHEAD);
    let max_seq = index.max_seq();
    let settlement = Arc::new(Settlement {
        journal: Arc::clone(journal),
        index: Arc::clone(index),
        applied_seq: AtomicU64::new(max_seq),
        bytes: Arc::clone(journaled),
        health: Arc::clone(health),
        pace: Mutex::default(),
        ledger,
    });
    let sequencer = Sequencer {
        queue: Arc::clone(queue),
        journal: Arc::clone(journal),
        index: Arc::clone(index),
        commit,
        settlement: Arc::clone(&settlement),
        next_seq: max_seq + 1,
        copies_max: options.copies_max,
        batch_objects_max: options.batch_objects_max,
        batch_bytes_max: options.batch_bytes_max,
        pending: Pending::default(),
        health: Arc::clone(health),
    };
    let committer = Committer { batches, queue: Arc::clone(queue), settlement };
    let watch = |name| Watch { name, queue: Arc::clone(queue), health: Arc::clone(health) };
    let turns = Arc::new(Turns::new(sequencer, watch("sequencer")));
    let sequencing = Arc::clone(&turns);
    let sequence = move || sequencing.run();
    let watch = watch("committer");
    let commit = move || {
        let _guard = watch.thread();
        committer.run();
    };
    let sequencer = spawn("sequencer", sequence)?;
    match spawn("committer", commit) {
        Ok(committer) => Ok((turns, vec![sequencer, committer])),
        Err(error) => {
            queue.close();
            let _ = sequencer.join();
            Err(error)
        }
    }
}

/// Starts a thread that works in the background, where the archive has one of its kind.
type StartWorker = fn(&Arc<Archive>) -> Result<Option<JoinHandle<()>>, OpenError>;

/// What is done in the background.
const WORKERS: [StartWorker; 18] = [
    |archive| worker::start_quiet(archive).map(Some),
    |archive| worker::start_flusher(archive).map(Some),
    |archive| packing::start(archive, 0).map(Some),
    |archive| packing::start(archive, 1).map(Some),
    |archive| packing::start_sweep(archive).map(Some),
    |archive| render::start_thumbnails(archive).map(Some),
    |archive| segments::start(archive).map(Some),
    |archive| scrub::start(archive).map(Some),
    |archive| tier::start_walk(archive).map(Some),
    |archive| tier::start_recalls(archive).map(Some),
    tier::start_ahead,
    |archive| tier::start_locks(archive).map(Some),
    |archive| retain::start(archive).map(Some),
    proof::start,
    |archive| crate::ups::start_sweep(archive).map(Some),
    |archive| crate::charts::start_sweep(archive).map(Some),
    |archive| crate::charts::start_matching(archive).map(Some),
    |archive| crate::charts::start_reads(archive).map(Some),
];

impl Drop for Archive {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue.close();
        for thread in self.pipeline.get_mut().drain(..) {
            let _ = thread.join();
        }
    }
}

/// Starts a named thread.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let failed = |error: std::io::Error| OpenError::Thread { what: format!("thread {name} does not start: {error}") };
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(failed)
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>, deadline: Instant) -> Result<(), OpenError> {
    for thread in threads.lock().drain(..) {
        while !thread.is_finished() {
            if Instant::now() > deadline {
                let name = thread.thread().name().unwrap_or("?").to_owned();
                return Err(OpenError::Thread { what: format!("thread {name} did not end in time") });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let name = thread.thread().name().unwrap_or("?").to_owned();
        thread.join().map_err(|_| OpenError::Thread { what: format!("thread {name} died") })?;
    }
    Ok(())
}
