//! The threads that tell receivers what waits: one for each subscription with something due, up to a limit.
//!
//! How something travels is the edges' matter: they hand in a [`Courier`] each. A receiver is told one thing after the
//! other; one that does not answer rests, and keeps no other waiting.

use super::lanes::Name;
use crate::charts::ChartError;
use crate::error::OpenError;
use crate::open::{Archive, spawn};
use metrics::{counter, describe_counter};
use model::FacilityCode;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Delivery, Subscription, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pace of looking for what is due.
const PACE: Duration = Duration::from_millis(50);
/// Pace of looking whether the threads have ended.
const ENDING_PACE: Duration = Duration::from_millis(5);
/// Deliveries of one turn; then others have theirs.
const TURN: usize = 64;
/// Rest of a receiver when the archive itself could not record.
const REST_MS: u64 = 5_000;

/// What came of a try. The texts hold no patient's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Done,
    /// The receiver will never take it, or it cannot be sent at all.
    Refused(String),
    /// The receiver cannot be reached, or takes nothing now.
    Down(String),
    /// The archive ends.
    Interrupted,
}

/// A way to tell somebody something.
pub trait Courier: Send + Sync {
    /// Tells a receiver; returns when it has answered, or did not in time.
    fn bring(&self, parcel: &Parcel) -> Outcome;

    /// Ends every try at once, from another thread.
    fn stop(&self);
}

/// What is to be told, and to whom.
pub struct Parcel {
    /// Where rows are read.
    pub archive: Arc<Archive>,
    /// Facility it happened in.
    pub facility: FacilityCode,
    /// What waits.
    pub delivery: Delivery,
    /// Who is told.
    pub subscription: Arc<Subscription>,
    /// The row it is about, as it stands now.
    pub row: ChartRow,
}

/// The edges' couriers.
pub struct Couriers {
    /// HL7 over MLLP.
    pub hl7: Option<Box<dyn Courier>>,
    /// Webhooks and FHIR rest-hooks.
    pub http: Box<dyn Courier>,
}

/// The running threads.
pub struct PostOffice {
    shared: Arc<Shared>,
    /// Taken when it is shut down.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    archive: Arc<Archive>,
    couriers: Couriers,
    stop: AtomicBool,
    turns: AtomicU64,
}

impl PostOffice {
    /// Begins to tell what waits.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(archive: &Arc<Archive>, couriers: Couriers) -> Result<Self, OpenError> {
        describe_counter!("khoanh_outbox_tries_total", "deliveries tried, by way and outcome");
        let (stop, turns) = (AtomicBool::new(false), AtomicU64::new(1));
        let shared = Arc::new(Shared { archive: Arc::clone(archive), couriers, stop, turns });
        let working = Arc::clone(&shared);
        let thread = spawn("outbox", move || run(&working))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ends the tries under way; what was not taken is tried after the next start. False when a thread still runs after
    /// `limit`.
    pub fn shutdown(mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let Some(thread) = self.thread.take() else { return true };
        self.shared.end(&thread);
        while !thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(ENDING_PACE);
            // A try that was just beginning must hear it too.
            self.shared.end(&thread);
        }
        thread.join().is_ok()
    }
}

impl Drop for PostOffice {
    /// Its threads end without being waited for, and let the archive go.
    fn drop(&mut self) {
        if let Some(thread) = &self.thread {
            self.shared.end(thread);
        }
    }
}

impl Shared {
    fn end(&self, thread: &JoinHandle<()>) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(hl7) = &self.couriers.hl7 {
            hl7.stop();
        }
        self.couriers.http.stop();
        thread.thread().unpark();
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

fn run(shared: &Arc<Shared>) {
    let mut workers: Vec<JoinHandle<()>> = Vec::new();
    let most = shared.archive.options().charts.outbox.deliveries.max(1);
    while !shared.stops() {
        workers.retain(|worker| !worker.is_finished());
        let charts = shared.archive.charts();
        let (now, room) = (shared.archive.now_ms(), most.saturating_sub(workers.len()));
        for name in charts.outbox.due(now, room, most.div_ceil(2)) {
            let turn = shared.turns.fetch_add(1, Ordering::Relaxed);
            if !charts.outbox.claim(&name, turn) {
                continue;
            }
            let (working, claimed) = (Arc::clone(shared), name.clone());
            match spawn("outbox-turn", move || serve(&Turn { shared: &working, name: claimed })) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    charts.outbox.leave(&name);
                    tracing::error!(%error, "the outbox");
                }
            }
        }
        std::thread::park_timeout(PACE);
    }
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a thread of the outbox died");
        }
    }
}

/// The turn of a subscription, which ends whatever happens.
struct Turn<'a> {
    shared: &'a Shared,
    name: Name,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.archive.charts().outbox.leave(&self.name);
    }
}

/// Tells one receiver what waits, in order, until nothing is due, it takes nothing, or its turn is over.
fn serve(turn: &Turn<'_>) {
    let (shared, archive) = (turn.shared, &turn.shared.archive);
    let charts = archive.charts();
    let facility = turn.name.0;
    for _ in 0..TURN {
        if shared.stops() {
            return;
        }
        let Some((seq, subscription)) = charts.outbox.next(&turn.name, archive.now_ms()) else { return };
        let by = subscription.target.name();
        let outcome = match told(shared, facility, seq, subscription) {
            Ok(outcome) => outcome,
            Err(error) => return rest(turn, &error),
        };
        tell(&turn.name, seq, by, &outcome);
        if let Err(error) = charts.settle_delivery(facility, seq, &outcome) {
            return rest(turn, &error);
        }
        if matches!(outcome, Outcome::Down(_) | Outcome::Interrupted) {
            return;
        }
    }
}

fn rest(turn: &Turn<'_>, error: &ChartError) {
    tracing::warn!(%error, "the outbox cannot read or record what becomes of a delivery; it is tried again");
    let archive = &turn.shared.archive;
    archive.charts().outbox.rest(&turn.name, archive.now_ms().saturating_add(REST_MS));
}

fn told(
    shared: &Shared,
    facility: FacilityCode,
    seq: u64,
    subscription: Arc<Subscription>,
) -> Result<Outcome, ChartError> {
    let charts = shared.archive.charts();
    let read = |kind: ChartKind, id: &str| -> Result<Option<ChartRow>, ChartError> {
        let Ok(key) = ChartKey::new(kind, facility, id) else { return Ok(None) };
        charts.view.row(&key).map_err(crate::charts::journal::unavailable)
    };
    let Some(ChartBody::Delivery(delivery)) = read(ChartKind::Delivery, &Delivery::id(seq))?.map(|row| row.body) else {
        return Err(ChartError::Unavailable("a delivery that waits is not there".into()));
    };
    let Some(row) = read(delivery.event.kind.row(), &delivery.event.id)? else {
        return Ok(Outcome::Refused("what it is about is not there any more".into()));
    };
    if let ChartBody::Report(report) = &row.body
        && report.version > delivery.event.version
    {
        // A later version waits behind this one and says everything.
        return Ok(Outcome::Done);
    }
    let courier = match &subscription.target {
        Target::Hl7 { .. } => shared.couriers.hl7.as_ref(),
        Target::Webhook { .. } | Target::RestHook { .. } => Some(&shared.couriers.http),
    };
    let Some(courier) = courier else { return Ok(Outcome::Down("hl7.receivers is not configured".into())) };
    let archive = Arc::clone(&shared.archive);
    Ok(courier.bring(&Parcel { archive, facility, delivery: *delivery, subscription, row }))
}

fn tell((facility, subscription): &Name, seq: u64, by: &'static str, outcome: &Outcome) {
    let label = match outcome {
        Outcome::Done => "delivered",
        Outcome::Refused(_) => "dead",
        Outcome::Down(_) => "down",
        Outcome::Interrupted => "interrupted",
    };
    counter!("khoanh_outbox_tries_total", "by" => by, "outcome" => label).increment(1);
    match outcome {
        Outcome::Done => tracing::debug!(%facility, subscription, seq, "delivered"),
        Outcome::Refused(why) => tracing::warn!(%facility, subscription, seq, why, "a delivery is dead"),
        Outcome::Down(why) => tracing::warn!(%facility, subscription, seq, why, "a receiver takes nothing now"),
        Outcome::Interrupted => {}
    }
}
