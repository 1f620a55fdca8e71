//! What packs hold, read by several threads, study by study.
//!
//! A study that lies in packs altogether goes to the index at once; the instances of others go to a spool, to be applied
//! in the order they came in with those of the journal.
//! Deliberately not here: which studies those are ([`super::survey`]).

use super::survey::{Known, Part, study_number};
use super::{Batch, Drained, Sources, sorting, spooled};
use crate::error::OpenError;
use crate::spool::Spool;
use crossbeam_channel::{Receiver, Sender, bounded};
use index::{PackRow, Whole};
use model::{Fact, Home, InstanceHead, PackId};
use serde::Deserialize;
use serde::de::Error as _;
use std::collections::HashSet;
use store::pack::Manifest;

/// Threads that read packs ...
const READERS_MAX: usize = 4;
/// ... and where they may have to be fetched.
const FAR_READERS: usize = 16;
/// Studies gathered ahead of each thread, with their manifests where catalogues told them ...
const JOBS_TOLD: usize = 2;
/// ... and without.
const JOBS: usize = 16;
/// Instances that one thread gives away at once: enough that the others go on while the index takes some.
const BUNDLE: usize = 500;
/// Instances put into the index at once.
const LOAD: usize = 2_000;
/// Instances of a study that are in memory at once.
const WHOLE_MAX: usize = 20_000;

/// Studies whose instances and facts are applied one by one.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// The studies ([`study_number`]).
    pub(super) studies: HashSet<u64>,
    /// Their packs.
    pub(super) packs: HashSet<PackId>,
}

/// Packs that are read together.
struct Job {
    study: u64,
    packs: Vec<Known>,
    facts: Vec<Fact>,
    /// Whether they are a whole study.
    whole: bool,
}

/// What was read.
enum Made {
    Whole(Whole),
    Open { study: u64, packs: Vec<PackId>, items: Vec<(u64, Vec<u8>)> },
}

impl Made {
    fn instances(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.instances.len(),
            Self::Open { items, .. } => items.len(),
        }
    }
}

/// What a rebuild needs of a manifest.
#[derive(Deserialize)]
struct Heads {
    instances: Vec<Head>,
}

#[derive(Deserialize)]
struct Head {
    head: InstanceHead,
}

/// Reads every pack of a spool by study. Whole studies go to the index; the instances of the studies in `open`, and of
/// those that turn out not to be whole, to `spool`. Gives the number of packs.
pub(super) fn read(
    sources: &Sources<'_>,
    studies: Spool,
    open: &mut Open,
    spool: &mut Spool,
    batch: &mut Batch<'_>,
) -> Result<u64, OpenError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
    let (threads, ahead) = if sources.packs.has_far() { (FAR_READERS, JOBS_TOLD) } else { (threads, JOBS) };
    let known = open.studies.clone();
    std::thread::scope(|scope| {
        let (to_readers, jobs) = bounded(threads * ahead);
        let (to_index, made) = bounded(threads * 2);
        let producer = scope.spawn(move || produce(studies, &known, &to_readers));
        for _ in 0..threads {
            let (jobs, to_index): (Receiver<Job>, Sender<_>) = (jobs.clone(), to_index.clone());
            scope.spawn(move || {
                if let Err(error) = sources.make_all(&jobs, &to_index) {
                    let _ = to_index.send(Err(error));
                }
            });
        }
        drop((jobs, to_index));
        let mut load = Load { batch, wholes: Vec::new(), instances: 0, packs: 0 };
        for bundle in made {
            for made in bundle? {
                match made {
                    Made::Whole(whole) => load.take(whole)?,
                    Made::Open { study, packs, items } => {
                        load.packs += u64::try_from(packs.len()).unwrap_or(0);
                        open.studies.insert(study);
                        open.packs.extend(packs);
                        for (seq, item) in items {
                            spool.push(seq, item).map_err(|error| sorting(&error))?;
                        }
                    }
                }
            }
        }
        producer.join().map_err(|_| sorting(&"the thread that gathers packs ended"))??;
        load.flush()?;
        Ok(load.packs)
    })
}

/// Whole studies on their way into the index.
struct Load<'a, 'b> {
    batch: &'a mut Batch<'b>,
    wholes: Vec<Whole>,
    instances: usize,
    packs: u64,
}

impl Load<'_, '_> {
    fn take(&mut self, whole: Whole) -> Result<(), OpenError> {
        self.instances += whole.instances.len();
        self.packs += u64::try_from(whole.packs.len()).unwrap_or(0);
        self.wholes.push(whole);
        if self.instances >= LOAD { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OpenError> {
        self.batch.load(&self.wholes, self.instances)?;
        self.wholes.clear();
        self.instances = 0;
        Ok(())
    }
}

/// Gathers what belongs to each study.
fn produce(studies: Spool, open: &HashSet<u64>, jobs: &Sender<Job>) -> Result<(), OpenError> {
    // When nobody takes them any more, another error is on its way already.
    let gone = || sorting(&"nobody reads the packs");
    let send = |study: u64, packs: Vec<Known>, facts: Vec<Fact>| {
        let instances: usize = packs.iter().map(Known::instances).sum();
        // Facts alone are about a study of which nothing lies in packs: it is open, or there is nothing of it.
        if packs.is_empty() {
            return Ok(());
        }
        if open.contains(&study) || instances > WHOLE_MAX {
            // Its facts are applied behind its instances.
            let one = |pack| Job { study, packs: vec![pack], facts: Vec::new(), whole: false };
            return packs.into_iter().try_for_each(|pack| jobs.send(one(pack)).map_err(|_| gone()));
        }
        jobs.send(Job { study, packs, facts, whole: true }).map_err(|_| gone())
    };
    let (mut now, mut packs, mut facts) = (0, Vec::new(), Vec::new());
    let drained = studies.drain(&mut |study, item| -> Result<(), Drained> {
        if study != now {
            send(now, std::mem::take(&mut packs), std::mem::take(&mut facts))?;
        }
        now = study;
        match Part::read(&item)? {
            Part::Pack(known) => packs.push(known),
            Part::Fact(fact) => facts.push(fact),
        }
        Ok(())
    });
    drained.map_err(|Drained(error)| error)?;
    send(now, packs, facts)
}

/// The heads of the instances in a manifest.
fn heads(json: &[u8]) -> serde_json::Result<Vec<InstanceHead>> {
    // Of a text that was looked at once no value need be looked at again.
    let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
    let heads: Heads = serde_json::from_str(text)?;
    Ok(heads.instances.into_iter().map(|one| one.head).collect())
}

/// The heads in a manifest that a catalogue told; none when it is not that of the pack.
fn listed(coded: &[u8], known: &Known) -> Option<Vec<InstanceHead>> {
    let json = store::catalogue::decode(coded).ok()?;
    heads(&json).ok().filter(|heads| heads.len() == known.instances())
}

impl Sources<'_> {
    /// Reads what jobs name and gives it away in bundles; ends when nobody takes them any more.
    fn make_all(&self, jobs: &Receiver<Job>, to_index: &Sender<Result<Vec<Made>, OpenError>>) -> Result<(), OpenError> {
        let (mut bundle, mut instances) = (Vec::new(), 0);
        for job in jobs {
            let made = self.make(job)?;
            instances += made.instances();
            bundle.push(made);
            if instances >= BUNDLE {
                instances = 0;
                if to_index.send(Ok(std::mem::take(&mut bundle))).is_err() {
                    return Ok(());
                }
            }
        }
        let _ = to_index.send(Ok(bundle));
        Ok(())
    }

    fn make(&self, job: Job) -> Result<Made, OpenError> {
        let Job { study, packs, facts, whole } = job;
        let rows: Vec<PackRow> = packs.iter().map(Known::row).collect();
        let mut instances = Vec::with_capacity(packs.iter().map(Known::instances).sum());
        for (row, known) in rows.iter().zip(&packs) {
            let heads = match known.manifest.as_deref().and_then(|coded| listed(coded, known)) {
                Some(heads) => heads,
                None => self.heads_of(row)?,
            };
            instances.extend((0..).zip(heads).map(|(slot, head)| (head, row.pack, slot)));
        }
        instances.sort_by_key(|(head, ..)| head.seq);
        // One that two packs hold lies in the one that the newest fact names, and facts are applied in order.
        let twice = instances.windows(2).any(|pair| matches!(pair, [(a, ..), (b, ..)] if a.seq == b.seq));
        let here = |head: &InstanceHead| study_number(head.facility, &head.study) == study && head.outcome.copy == 0;
        if whole && !twice && instances.iter().all(|(head, ..)| here(head)) {
            return Ok(Made::Whole(Whole { packs: rows, instances, facts }));
        }
        let mut items = Vec::with_capacity(instances.len());
        for (head, pack, slot) in instances {
            let json = serde_json::to_vec(&head).map_err(|error| sorting(&error))?;
            items.push((head.seq, spooled::write(&Home::Pack { pack, slot }, &json)?));
        }
        Ok(Made::Open { study, packs: rows.iter().map(|row| row.pack).collect(), items })
    }

    /// The heads of a pack's instances, from its manifest.
    fn heads_of(&self, row: &PackRow) -> Result<Vec<InstanceHead>, OpenError> {
        let json = Manifest::read_json(&*self.packs.source_once(row)?).map_err(crate::RetrieveError::from)?;
        let unread = |error: serde_json::Error| OpenError::Thread { what: format!("pack {}: {error}", row.pack) };
        heads(&json).map_err(unread)
    }
}
