//! The committer: one sync for everybody who waits, then the index, then the answers (law 1).
//!
//! A small batch that nobody stands behind is settled by the sequencer itself, which saves a change of thread.
//! Nothing here decides anything. If the sync or the index fails nobody is told "stored", and the archive
//! is not ready until restart.

use crate::error::IngestError;
use crate::handoff::{Awaited, End, Promise, promise};
use crate::incoming::StoredKind;
use crate::pace::Pace;
use crate::proof::Feed;
use crate::queue::FairQueue;
use crate::sequence::{Arrived, Work};
use index::{Entry, Index};
use model::{Flag, SamenessKind};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::Journal;

/// What the asker learns.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) kind: StoredKind,
    pub(crate) flags: Vec<Flag>,
}

/// What comes back to the asker.
pub(crate) enum Reply {
    /// It is done, or refused.
    Done(Result<Answer, IngestError>),
    /// Whether an object is there already can be told only by its digest of this kind: the object comes back.
    Unsure(SamenessKind, Box<Arrived>),
}

impl Reply {
    /// The answer to what is no object, and never comes back.
    pub(crate) fn done(self) -> Result<Answer, IngestError> {
        match self {
            Self::Done(answer) => answer,
            Self::Unsure(..) => Err(IngestError::Unavailable { what: "the work came back undone".into() }),
        }
    }
}

/// The asker's place to wait; dropping it unanswered tells the asker that the archive is gone.
pub(crate) struct Ticket(Promise<Reply>);

impl Ticket {
    /// A ticket and where its answer arrives.
    pub(crate) fn new() -> (Self, Awaited<Reply>) {
        let (promise, awaited) = promise();
        (Self(promise), awaited)
    }

    /// Answers; an asker that went away does not matter.
    pub(crate) fn answer(self, answer: Result<Answer, IngestError>) {
        self.0.keep(Reply::Done(answer));
    }

    /// Gives an object back, for its digest of a kind.
    pub(crate) fn give_back(self, kind: SamenessKind, arrived: Box<Arrived>) {
        self.0.keep(Reply::Unsure(kind, arrived));
    }
}

/// Appended facts and the askers that wait for them.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) tickets: Vec<(Ticket, Answer)>,
    pub(crate) bytes: u64,
    pub(crate) last_seq: u64,
}

impl Batch {
    /// Tells every asker that nothing was stored.
    pub(crate) fn refuse(&mut self, error: &IngestError) {
        for (ticket, _) in self.tickets.drain(..) {
            ticket.answer(Err(error.clone()));
        }
    }
}

/// Why the archive stopped taking objects, if it did.
#[derive(Default)]
pub(crate) struct Health {
    reason: Mutex<Option<String>>,
}

impl Health {
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(%reason, "the archive takes no more objects until restart");
        self.reason.lock().get_or_insert(reason);
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }
}

/// Looks after a part of the pipeline: should it end for another reason than a drained queue, nobody may be
/// left waiting and the archive must say that it is not ready.
pub(crate) struct Watch {
    pub(crate) name: &'static str,
    pub(crate) queue: Arc<FairQueue<Work>>,
    pub(crate) health: Arc<Health>,
}

/// Held while the part works.
pub(crate) struct Guard<'a> {
    watch: &'a Watch,
    thread: bool,
}

impl Watch {
    /// For a thread that ends only with the queue.
    pub(crate) fn thread(&self) -> Guard<'_> {
        Guard { watch: self, thread: true }
    }

    /// For a turn of somebody else's thread.
    pub(crate) fn turn(&self) -> Guard<'_> {
        Guard { watch: self, thread: false }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() || (self.thread && !self.watch.queue.is_closed()) {
            self.watch.health.fail(format!("the {} ended before its time", self.watch.name));
            self.watch.queue.abandon();
        }
    }
}

/// How a batch becomes durable, findable and answered, by whichever thread's turn it is.
pub(crate) struct Settlement {
    pub(crate) journal: Arc<Journal>,
    pub(crate) index: Arc<dyn Index>,
    /// Highest sequence number the index has applied.
    pub(crate) applied_seq: AtomicU64,
    /// Journaled bytes since start, for the flusher.
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) health: Arc<Health>,
    /// Whether batches wait for the senders of the last ones.
    pub(crate) pace: Mutex<Pace>,
    /// Where the ledger hears what was settled; none when it is off.
    pub(crate) ledger: Option<Arc<Feed>>,
}

/// Settles batches while the sequencer appends the next.
pub(crate) struct Committer {
    pub(crate) batches: End<Batch>,
    pub(crate) queue: Arc<FairQueue<Work>>,
    pub(crate) settlement: Arc<Settlement>,
}

impl Committer {
    /// Works until the sequencer is gone and everything it appended is answered.
    pub(crate) fn run(self) {
        while let Some(mut batch) = self.batches.take() {
            self.gather(&mut batch);
            let ahead = || self.queue.len() + self.batches.sum(|batch| batch.tickets.len());
            self.settlement.settle_and(batch, &self.queue, ahead);
        }
    }

    /// Takes everything that was appended meanwhile, and waits for senders that are about to come when that saves a
    /// sync.
    fn gather(&self, batch: &mut Batch) {
        self.take_more(batch);
        let patience = self.settlement.patience(&self.queue, batch.tickets.len());
        let Some((wanted, patience)) = patience else { return };
        let deadline = Instant::now() + patience;
        while batch.tickets.len() < wanted && self.batches.wait_until(deadline) {
            self.take_more(batch);
        }
    }

    fn take_more(&self, batch: &mut Batch) {
        while let Some(more) = self.batches.take_more() {
            batch.entries.extend(more.entries);
            batch.tickets.extend(more.tickets);
            batch.bytes += more.bytes;
            batch.last_seq = more.last_seq;
        }
    }
}

impl Settlement {
    /// Syncs, applies and answers. Batches must come in the order of their records.
    pub(crate) fn settle(&self, batch: Batch) {
        self.settle_then(batch, |_| {});
    }

    /// The same, and measures it; `ahead` tells how many objects came meanwhile.
    pub(crate) fn settle_and(&self, batch: Batch, queue: &FairQueue<Work>, ahead: impl FnOnce() -> usize) {
        let begun = Instant::now();
        self.settle_then(batch, |answered| {
            self.pace.lock().settled(answered, ahead(), begun.elapsed());
            queue.answering(answered);
        });
    }

    /// How many objects to wait for and how long, when `here` are there already.
    pub(crate) fn patience(&self, queue: &FairQueue<Work>, here: usize) -> Option<(usize, Duration)> {
        let mut pace = self.pace.lock();
        if let Some((senders, within)) = queue.returned() {
            pace.returned(senders, within);
        }
        pace.patience(here)
    }

    fn settle_then(&self, mut batch: Batch, before_answers: impl FnOnce(usize)) {
        if let Err(error) = self.commit(&batch) {
            self.health.fail(error.to_string());
            return batch.refuse(&error);
        }
        before_answers(batch.tickets.len());
        for (ticket, answer) in batch.tickets {
            ticket.answer(Ok(answer));
        }
        // After the answers: nobody waits for the ledger.
        if let Some(ledger) = &self.ledger {
            ledger.push(&batch.entries);
        }
    }

    fn commit(&self, batch: &Batch) -> Result<(), IngestError> {
        if let Some(what) = self.health.reason() {
            return Err(IngestError::Unavailable { what });
        }
        if batch.entries.is_empty() {
            return Ok(()); // only repeats of what earlier batches made durable
        }
        let start = Instant::now();
        self.journal.sync()?;
        let synced = Instant::now();
        self.index.apply(&batch.entries).map_err(|error| IngestError::Unavailable { what: error.to_string() })?;
        self.applied_seq.store(batch.last_seq, Ordering::Release);
        self.bytes.fetch_add(batch.bytes, Ordering::Relaxed);
        metrics::counter!("khoanh_sync_batches_total").increment(1);
        metrics::counter!("khoanh_sync_bytes_total").increment(batch.bytes);
        metrics::histogram!("khoanh_sync_batch_records")
            .record(f64::from(u32::try_from(batch.entries.len()).unwrap_or(u32::MAX)));
        metrics::histogram!("khoanh_sync_seconds").record(synced.duration_since(start).as_secs_f64());
        metrics::histogram!("khoanh_index_apply_seconds").record(synced.elapsed().as_secs_f64());
        Ok(())
    }
}
