//! The sequencer gives every object its number and its outcome and appends it.
//!
//! Because there is one, "who was first" has one answer, and it is written down with the object.
//! It runs on a thread of its own; when that rests, an asker takes a turn itself, which saves two changes of
//! thread for an object that comes alone.
//! Syncing, the index's write side and the answers are the settlement's; usually the committer runs it meanwhile.

use crate::commit::{Answer, Batch, Health, Settlement, Ticket, Watch};
use crate::decide::{Decision, decide, flags_of};
use crate::error::IngestError;
use crate::handoff::Front;
use crate::incoming::StoredKind;
use crate::pending::Pending;
use crate::queue::{FairQueue, Weight};
use index::{Entry, Identity, Index, IndexError, PackRow, SeriesKey, StudyKey, Whose};
use model::retention::{RetentionFact, StudyRef, Taken};
use model::{Fact, Frames, Home, InstanceHead, Lsn, PackFact, Sameness};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::{Body, Journal, Record};

/// Weight of a fact without bytes.
const FACT_WEIGHT: u64 = 1_024;
/// Batches up to this many bytes are settled at once when the committer has nothing to do.
const SETTLE_AT_ONCE: u64 = 256 << 10;

/// An object, completely received.
pub(crate) struct Arrived {
    pub(crate) head: InstanceHead,
    /// Its digest of another kind, once it was asked for.
    pub(crate) other: Option<Sameness>,
    pub(crate) body: Body,
    /// Length of the body.
    pub(crate) bytes: u64,
}

/// Something to be made durable.
pub(crate) enum Work {
    /// An object from outside.
    Object(Box<Arrived>, Ticket),
    /// An object that is stored already, under an older number, appended again so that its segment can go.
    Again(Lsn, Box<InstanceHead>, Body, u64, Ticket),
    /// A fact of the archive's own.
    Fact(Box<Fact>, Ticket),
}

impl Work {
    /// Whether it is of the archive's own: it goes on when nothing is taken from senders any more.
    const fn is_own(&self) -> bool {
        matches!(self, Self::Again(..) | Self::Fact(..))
    }
}

impl Weight for Work {
    fn weight(&self) -> u64 {
        match self {
            Self::Object(arrived, _) => object_weight(&arrived.head, &arrived.body, arrived.bytes),
            Self::Again(_, head, body, bytes, _) => object_weight(head, body, *bytes),
            Self::Fact(..) => FACT_WEIGHT,
        }
    }

    fn is_arrival(&self) -> bool {
        !matches!(self, Self::Object(arrived, _) if arrived.other.is_some())
    }
}

fn object_weight(head: &InstanceHead, body: &Body, bytes: u64) -> u64 {
    let inline = if body.pieces().is_some() { bytes } else { 0 };
    inline.saturating_add(head_weight(head))
}

/// A head is mostly its fragments' places: about 16 bytes in memory and as many written.
fn head_weight(head: &InstanceHead) -> u64 {
    let fragments = match &head.layout.frames {
        Frames::Encapsulated { fragments, .. } => u64::try_from(fragments.len()).unwrap_or(u64::MAX),
        Frames::None | Frames::Native { .. } => 0,
    };
    fragments.saturating_mul(32).saturating_add(FACT_WEIGHT)
}

/// The retention fact that says what a whole study or series is or where it stands: it holds of what is known when it is
/// recorded.
fn of_what_is_known(fact: &Fact) -> Option<&RetentionFact> {
    match fact {
        Fact::Retention(fact) => {
            let alone = matches!(fact.as_ref(), RetentionFact::StudyDestroyed(_) | RetentionFact::SeriesMoved(_));
            alone.then_some(fact.as_ref())
        }
        _ => None,
    }
}

/// Who sequences now: the sequencer's thread or an asker, never two.
pub(crate) struct Turns {
    queue: Arc<FairQueue<Work>>,
    /// None once the queue is closed and drained.
    sequencer: Mutex<Option<Sequencer>>,
    watch: Watch,
}

impl Turns {
    pub(crate) fn new(sequencer: Sequencer, watch: Watch) -> Self {
        Self { queue: Arc::clone(&sequencer.queue), sequencer: Mutex::new(Some(sequencer)), watch }
    }

    /// Puts work into the queue and takes a turn when nobody else has it. Gives the work back when the queue is closed.
    pub(crate) fn submit(&self, lane: &str, work: Work) -> Result<(), Work> {
        self.queue.push(lane, work)?;
        // Whoever has the turn looks at the queue once more after giving it back.
        let Some(mut turn) = self.sequencer.try_lock() else { return Ok(()) };
        let guard = self.watch.turn();
        if let Some(sequencer) = turn.as_mut() {
            sequencer.step();
        }
        drop(turn);
        drop(guard);
        self.queue.wake();
        Ok(())
    }

    /// The thread's work, until the queue is closed and drained.
    pub(crate) fn run(&self) {
        let _guard = self.watch.thread();
        while self.queue.wait() {
            let mut turn = self.sequencer.lock();
            if !turn.as_mut().is_some_and(Sequencer::step) {
                break;
            }
        }
        // With it goes the committer's line.
        *self.sequencer.lock() = None;
    }
}

/// The sequencer's state; only who has the turn touches it.
pub(crate) struct Sequencer {
    pub(crate) queue: Arc<FairQueue<Work>>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) commit: Front<Batch>,
    pub(crate) settlement: Arc<Settlement>,
    pub(crate) next_seq: u64,
    pub(crate) copies_max: u16,
    pub(crate) batch_objects_max: usize,
    pub(crate) batch_bytes_max: u64,
    pub(crate) pending: Pending,
    pub(crate) health: Arc<Health>,
}

impl Sequencer {
    /// Takes one batch on its way; false when nobody settles any more.
    fn step(&mut self) -> bool {
        self.gather();
        let works = self.queue.take(self.batch_objects_max, self.batch_bytes_max);
        if works.is_empty() {
            return true;
        }
        let mut group = Vec::with_capacity(works.len());
        for work in works {
            match work {
                Work::Fact(fact, ticket) if of_what_is_known(&fact).is_some() => {
                    if !self.take_on(std::mem::take(&mut group)) {
                        return false;
                    }
                    self.record_alone(*fact, ticket);
                }
                // Destructions and moves are settled before anything that comes after them.
                Work::Fact(fact, ticket) if self.is_of_no_series(&fact) => {
                    let what = "the series of the pack is gone, or stands in another study by now".into();
                    ticket.answer(Err(IngestError::Mismatch { what }));
                }
                work => group.push(work),
            }
        }
        self.take_on(group)
    }

    /// Whether a pack would be recorded of a series that is not known under that name any more.
    fn is_of_no_series(&self, fact: &Fact) -> bool {
        let Fact::Pack(fact) = fact else { return false };
        let PackFact::Packed(packed) = fact.as_ref() else { return false };
        matches!(self.index.series(&PackRow::of(packed).series), Ok(None))
    }

    /// Waits for senders that are about to come when that saves a sync. Large objects are written meanwhile, and the
    /// committer waits for them.
    fn gather(&self) {
        let (objects, bytes) = self.queue.waiting();
        if bytes > SETTLE_AT_ONCE || !self.commit.is_idle() {
            return;
        }
        if let Some((wanted, patience)) = self.settlement.patience(&self.queue, objects) {
            self.queue.gather(wanted.min(self.batch_objects_max), patience);
        }
    }

    /// Destroys a study, or moves series, as they were when the fact was made: everything that came before is known to
    /// the index, and nothing comes in meanwhile. What comes later finds no trace of the study, and the series where they
    /// stand.
    fn record_alone(&mut self, fact: Fact, ticket: Ticket) {
        while !self.commit.is_idle() && self.health.reason().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        match of_what_is_known(&fact).map(|fact| self.no_longer_fits(fact)) {
            Some(Ok(None)) => {}
            Some(Ok(Some(what))) => return ticket.answer(Err(IngestError::Mismatch { what: what.into() })),
            Some(Err(error)) => return ticket.answer(Err(IngestError::Unavailable { what: error.to_string() })),
            None => return,
        }
        let first_seq = self.next_seq;
        if let Some(batch) = self.append(vec![Work::Fact(Box::new(fact), ticket)], first_seq) {
            self.settlement.settle(batch);
        }
    }

    /// Why a fact does not hold of what is known now.
    fn no_longer_fits(&self, fact: &RetentionFact) -> Result<Option<&'static str>, IndexError> {
        match fact {
            RetentionFact::StudyDestroyed(tombstone) => {
                let now = self.index.version(&StudyKey::from(&tombstone.study))?;
                let mut changed = now != Some(tombstone.version);
                for Taken { series, from, through } in &tombstone.taken {
                    let key = SeriesKey { study: StudyKey::from(from), series: series.clone() };
                    changed |= self.index.series(&key)?.is_none_or(|row| row.last_seq != *through);
                }
                Ok(changed.then_some("the study changed while it was to be destroyed"))
            }
            RetentionFact::SeriesMoved(moved) if moved.to != moved.study => {
                for series in &moved.series {
                    let known =
                        self.index.identity(moved.to.facility, &moved.to.study, series, series, Whose::default())?;
                    if known.studies.iter().any(|known| known.study == moved.to.study) {
                        return Ok(Some(
                            "a series of that UID came into the study while another was to be moved there",
                        ));
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Appends works and has them settled; false when nobody settles any more.
    fn take_on(&mut self, works: Vec<Work>) -> bool {
        if works.is_empty() {
            return true;
        }
        let own = works.iter().filter(|work| work.is_own()).count();
        if own > 0 && own < works.len() && self.journal.is_low() {
            // Objects that came in a moment too late are refused alone.
            let (own, objects): (Vec<Work>, Vec<Work>) = works.into_iter().partition(Work::is_own);
            return self.take_on(own) && self.take_on(objects);
        }
        self.pending.forget(self.settlement.applied_seq.load(Ordering::Acquire));
        let first_seq = self.next_seq;
        let Some(batch) = self.append(works, first_seq) else { return true };
        if batch.bytes <= SETTLE_AT_ONCE && self.commit.is_idle() {
            self.settlement.settle_and(batch, &self.queue, || self.queue.len());
            return true;
        }
        // With the committer gone every ticket in the batch is dropped, which is an answer.
        self.commit.put(batch).is_ok()
    }

    fn append(&mut self, works: Vec<Work>, first_seq: u64) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut records = Vec::with_capacity(works.len());
        let own = works.iter().all(Work::is_own);
        for work in works {
            match work {
                Work::Fact(fact, ticket) => {
                    records.push((*fact, Body::None));
                    batch.tickets.push((ticket, Answer { kind: StoredKind::New, flags: Vec::new() }));
                }
                Work::Again(lsn, head, body, bytes, ticket) => {
                    batch.bytes += bytes;
                    records.push((Fact::Forwarded { lsn, was: Box::new(Fact::Instance(head)) }, body));
                    batch.tickets.push((ticket, Answer { kind: StoredKind::Same, flags: Vec::new() }));
                }
                Work::Object(arrived, ticket) => self.place(arrived, ticket, &mut batch, &mut records),
            }
        }
        if let Err(error) = self.write(records, own, &mut batch) {
            self.next_seq = first_seq;
            self.pending.roll_back(first_seq);
            if self.journal.is_poisoned() {
                self.health.fail(error.to_string());
            }
            batch.refuse(&error);
            return None;
        }
        if batch.tickets.is_empty() && batch.entries.is_empty() {
            // Everything was refused or given back: there is nothing to settle, and nobody to be timed.
            return None;
        }
        batch.last_seq = self.next_seq.saturating_sub(1);
        Some(batch)
    }

    /// Decides about one object and adds it to the batch under construction.
    fn place(&mut self, arrived: Box<Arrived>, ticket: Ticket, batch: &mut Batch, records: &mut Vec<(Fact, Body)>) {
        let known = match self.known(&arrived.head) {
            Ok(known) => known,
            Err(error) => return ticket.answer(Err(error)),
        };
        let outcome = match decide(&arrived.head, arrived.other, &known, self.copies_max) {
            // Its receiver takes that digest: nobody else waits for it.
            Decision::Unsure(kind) => return ticket.give_back(kind, arrived),
            Decision::TooMany => return ticket.answer(Err(IngestError::Busy)),
            Decision::Same => None,
            Decision::Store(outcome) => Some(outcome),
        };
        let Arrived { mut head, body, bytes, .. } = *arrived;
        let Some(outcome) = outcome else {
            return batch.tickets.push((ticket, Answer { kind: StoredKind::Same, flags: head.flags }));
        };
        head.seq = self.next_seq;
        self.next_seq += 1;
        head.outcome = outcome;
        head.flags.extend(flags_of(&outcome));
        self.pending.remember(&head, &known);
        let kind = if outcome.copy == 0 { StoredKind::New } else { StoredKind::Conflict };
        batch.tickets.push((ticket, Answer { kind, flags: head.flags.clone() }));
        batch.bytes += bytes;
        let late = self.late(&head);
        records.push((Fact::Instance(Box::new(head)), body));
        records.extend(late.map(|fact| (Fact::Retention(Box::new(fact)), Body::None)));
    }

    /// What is to be noted of an instance whose study was destroyed.
    fn late(&self, head: &InstanceHead) -> Option<RetentionFact> {
        let buried = match self.index.buried(head.facility, &head.study) {
            Ok(buried) => buried,
            Err(error) => {
                tracing::warn!(%error, "whether a study was destroyed before is not known");
                return None;
            }
        };
        let destroyed_at = buried.last()?.at;
        let (facility, study, patient) = (head.facility, head.study.clone(), head.outcome.patient);
        let study = StudyRef { facility, study, patient };
        Some(RetentionFact::LateInstance { study, seq: head.seq, destroyed_at, at: head.received })
    }

    fn write(&mut self, records: Vec<(Fact, Body)>, own: bool, batch: &mut Batch) -> Result<(), IngestError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut facts = Vec::with_capacity(records.len());
        let mut encoded = Vec::with_capacity(records.len());
        for (fact, body) in records {
            let head = serde_json::to_vec(&fact)
                .map_err(|error| IngestError::Unavailable { what: format!("fact not written: {error}") })?;
            batch.bytes += u64::try_from(head.len()).unwrap_or(0);
            encoded.push(Record { head, body });
            facts.push(fact);
        }
        let placed = if own { self.journal.append_own(&encoded) } else { self.journal.append(&encoded) }?;
        let entries = facts.into_iter().zip(placed);
        batch.entries =
            entries.map(|(fact, (lsn, place))| Entry { lsn, fact, home: Some(Home::Journal(place)) }).collect();
        Ok(())
    }

    fn known(&self, head: &InstanceHead) -> Result<Identity, IngestError> {
        let mut known = self
            .index
            .identity(head.facility, &head.study, &head.series, &head.sop_instance, Whose::of(head))
            .map_err(|error| IngestError::Unavailable { what: error.to_string() })?;
        self.pending.add_to(&mut known, head);
        Ok(known)
    }
}
