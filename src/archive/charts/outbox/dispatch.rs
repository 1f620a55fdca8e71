//! The threads that tell receivers what waits: one for each subscription with something due, up to a limit.
//!
//! How something travels is the edges' matter: they hand in a [`Courier`] each. A receiver is told one thing after the
//! other; one that does not answer rests, and keeps no other waiting.

use super::events::of_report;
use super::lanes::Name;
use crate::charts::journal::unavailable;
use crate::charts::opening::CHAIN_MAX;
use crate::charts::{ChartError, Charts};
use crate::error::OpenError;
use crate::open::{Archive, spawn};
use crate::serving::{Serving, Work};
use index::StudyKey;
use metrics::{counter, describe_counter};
use model::FacilityCode;
use model::chart::{
    ChartBody, ChartKey, ChartKind, Delivery, Event, Happened, Hook, Match, Order, Patient, Report, Subscription,
    Target,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pace of looking for what is due.
const PACE: Duration = Duration::from_millis(50);
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
    /// The receiver has a fault over it: it is tried some times again, and then dead.
    Failed(String),
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
    pub body: ChartBody,
    /// The patient it is about: the one that stays of merged ones; of a merge the one named first in what is told.
    pub patient: Option<Patient>,
    /// The order it is about.
    pub order: Option<Order>,
    /// Series and instances of the study it is about.
    pub counts: Option<(u64, u64)>,
}

/// The edges' couriers.
pub struct Couriers {
    /// HL7 over MLLP.
    pub hl7: Option<Box<dyn Courier>>,
    /// Webhooks and FHIR rest-hooks.
    pub http: Box<dyn Courier>,
}

/// The running threads.
pub struct PostOffice(Serving<Shared>);

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
        let shared = Shared { archive: Arc::clone(archive), couriers, stop, turns };
        Ok(Self(Serving::start("outbox", shared)?))
    }

    /// Ends the tries under way; what was not taken is tried after the next start. False when a thread still runs after
    /// `limit`.
    pub fn shutdown(self, limit: Duration) -> bool {
        self.0.shutdown(limit)
    }
}

impl Shared {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Work for Shared {
    fn run(self: &Arc<Self>) {
        run(self);
    }

    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(hl7) = &self.couriers.hl7 {
            hl7.stop();
        }
        self.couriers.http.stop();
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
        if !matches!(outcome, Outcome::Done | Outcome::Refused(_)) {
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
    let archive = &shared.archive;
    let charts = archive.charts();
    let Some(ChartBody::Delivery(delivery)) = charts.body(facility, ChartKind::Delivery, &Delivery::id(seq))? else {
        return Err(ChartError::Unavailable("a delivery that waits is not there".into()));
    };
    let event = &delivery.event;
    let Some(body) = charts.body(facility, event.kind.row(), &event.id)? else {
        return Ok(Outcome::Refused("what it is about is not there any more".into()));
    };
    if let ChartBody::Report(report) = &body
        && report.version > event.version
        && is_told(&subscription, event, &body, report)
    {
        // A later version waits behind this one and says everything.
        return Ok(Outcome::Done);
    }
    let courier = match &subscription.target {
        Target::Hl7 { .. } => shared.couriers.hl7.as_ref(),
        Target::Webhook { .. } | Target::RestHook { .. } => Some(&shared.couriers.http),
    };
    let Some(courier) = courier else { return Ok(Outcome::Down("hl7.receivers is not configured".into())) };
    let order = match charts.body(facility, ChartKind::Order, &event.order)? {
        Some(ChartBody::Order(order)) => Some(*order),
        _ => None,
    };
    let patient = patient(charts, facility, &body, order.as_ref())?;
    let counts = archive.counts(facility, event)?;
    let (archive, delivery) = (Arc::clone(archive), *delivery);
    Ok(courier.bring(&Parcel { archive, facility, delivery, subscription, body, patient, order, counts }))
}

/// Whether a later version of a result is told to a subscription, too: its criteria may ask for others alone, or have ended
/// before. Whose the result is does not change with its version.
fn is_told(subscription: &Subscription, event: &Event, body: &ChartBody, later: &Report) -> bool {
    let Some(hook) = subscription.hook() else { return true };
    let now = of_report(event.id.clone(), later);
    let hook = Hook { patients: BTreeSet::new(), ..hook.clone() };
    hook.until == 0 && hook.wants(&Happened::of(&now, None, body, 0))
}

/// The patient of something that is told.
fn patient(
    charts: &Charts,
    facility: FacilityCode,
    body: &ChartBody,
    order: Option<&Order>,
) -> Result<Option<Patient>, ChartError> {
    let (mut mrn, follow) = match body {
        ChartBody::Merge(merge) if merge.undone.is_some() => (merge.former.clone(), false),
        ChartBody::Merge(merge) => (merge.survivor.clone(), false),
        body => (order.map(|order| order.mrn.as_str()).or(body.mrn()).unwrap_or_default().to_owned(), true),
    };
    let mut found = None;
    for _ in 0..CHAIN_MAX {
        let Some(ChartBody::Patient(patient)) = charts.body(facility, ChartKind::Patient, &mrn)? else { break };
        let next = patient.merged_into.clone().filter(|_| follow);
        found = Some(*patient);
        match next {
            Some(next) => mrn = next,
            None => break,
        }
    }
    Ok(found)
}

impl Charts {
    /// What a row says; none where there is none.
    fn body(&self, facility: FacilityCode, kind: ChartKind, id: &str) -> Result<Option<ChartBody>, ChartError> {
        let Ok(key) = ChartKey::new(kind, facility, id) else { return Ok(None) };
        Ok(self.view.row(&key).map_err(unavailable)?.map(|row| row.body))
    }
}

impl Archive {
    /// Series and instances of the study something is about.
    fn counts(&self, facility: FacilityCode, event: &Event) -> Result<Option<(u64, u64)>, ChartError> {
        let Some(study) = event.study.as_ref().filter(|_| event.kind.row() == ChartKind::Match) else {
            return Ok(None);
        };
        let patient = event.id.rsplit_once('#').map_or(Ok(0), |(_, patient)| patient.parse::<u16>());
        let Some(patient) = patient.ok().filter(|patient| Match::id(study, *patient) == event.id) else {
            return Ok(None);
        };
        let key = StudyKey { facility, study: study.clone(), patient };
        let row = self.index().study(&key).map_err(unavailable)?.filter(|row| row.hidden_by.is_none());
        Ok(row.map(|row| (row.series, row.instances)))
    }
}

fn tell((facility, subscription): &Name, seq: u64, by: &'static str, outcome: &Outcome) {
    let label = match outcome {
        Outcome::Done => "delivered",
        Outcome::Refused(_) => "dead",
        Outcome::Failed(_) => "failed",
        Outcome::Down(_) => "down",
        Outcome::Interrupted => "interrupted",
    };
    counter!("khoanh_outbox_tries_total", "by" => by, "outcome" => label).increment(1);
    match outcome {
        Outcome::Done => tracing::debug!(%facility, subscription, seq, "delivered"),
        Outcome::Refused(why) => tracing::warn!(%facility, subscription, seq, why, "a delivery is dead"),
        Outcome::Failed(why) => {
            tracing::warn!(%facility, subscription, seq, why, "a receiver has a fault over a delivery")
        }
        Outcome::Down(why) => tracing::warn!(%facility, subscription, seq, why, "a receiver takes nothing now"),
        Outcome::Interrupted => {}
    }
}
