//! What waits, in memory: for each subscription the numbers of its deliveries and when the next one may be tried.
//!
//! It follows from the rows alone, so that it is the same after a restart; at most `charts.outbox.waiting_max` numbers a
//! subscription.

use crate::charts::Charts;
use crate::error::OpenError;
use index::charts::{ChartDriver, ChartQuery};
use model::FacilityCode;
use model::chart::{
    ChartBody, ChartKey, ChartKind, ChartRow, Delivery, DeliveryState, EventKind, Happened, Subscription, Term,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows asked of the view at once.
const PAGE: usize = 500;
/// Deliveries of a millisecond that have numbers of their own time.
const PER_MS: u64 = 1_000;

/// The name of a subscription.
pub(super) type Name = (FacilityCode, String);

/// Who is told of what, and what waits.
#[derive(Default)]
pub(in crate::charts) struct Outbox {
    /// Number of the newest delivery.
    last: AtomicU64,
    /// Number of the newest line of the feed that can be found, of those that were made since the opening: a place in the
    /// feed never lies before one that exists.
    told: AtomicU64,
    lanes: Mutex<BTreeMap<Name, Lane>>,
    /// What waits for a subscription that is gone; locked alone, or after `lanes`.
    orphans: Mutex<BTreeSet<(FacilityCode, u64)>>,
    /// Most that wait for one subscription; 0: not said yet.
    waiting_max: AtomicU64,
}

struct Lane {
    subscription: Arc<Subscription>,
    waiting: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    /// Not before, milliseconds since 1970 UTC.
    next: u64,
    /// Whether the last try was in vain.
    in_vain: bool,
    busy: bool,
    /// Which turn it last had.
    turn: u64,
}

/// How it stands with a subscription.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LaneState {
    /// Facility.
    pub facility: FacilityCode,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it is told: `hl7`, `webhook` or `rest-hook`.
    pub by: &'static str,
    /// Whether it is paused.
    pub paused: bool,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Age of the oldest that waits, in milliseconds; 0 when none does.
    pub oldest_ms: u64,
    /// Dead ones, as far as they are counted.
    pub dead: u64,
}

impl Outbox {
    /// The number of a delivery that is made now. The caller holds the turn to change charts.
    pub(super) fn number(&self, now: u64) -> u64 {
        let next = self.last.load(Ordering::Relaxed).saturating_add(1).max(now.saturating_mul(PER_MS));
        self.last.store(next, Ordering::Relaxed);
        next
    }

    /// The first number of a moment.
    pub(super) fn first_of(at: u64) -> u64 {
        at.saturating_mul(PER_MS)
    }

    /// Number of the newest line of the feed.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// Whether somebody is told of certain patients of a facility alone.
    pub(super) fn asks_by_patient(&self, facility: FacilityCode) -> bool {
        let lanes = self.lanes.lock();
        let mut of = lanes.range((facility, String::new())..).take_while(|((of, _), _)| *of == facility);
        of.any(|(_, lane)| lane.subscription.hook().is_some_and(|hook| !hook.patients.is_empty()))
    }

    /// Whether somebody is told of the patients of a facility.
    pub(super) fn tells_patients(&self, facility: FacilityCode) -> bool {
        let lanes = self.lanes.lock();
        let mut of = lanes.range((facility, String::new())..).take_while(|((of, _), _)| *of == facility);
        of.any(|(_, lane)| lane.subscription.wants(EventKind::Patient))
    }

    /// Ids of the subscriptions that are told of something, and whether too many wait there.
    pub(super) fn wanted(&self, facility: FacilityCode, happened: &Happened<'_>) -> Vec<(String, bool)> {
        let most = usize::try_from(self.waiting_max.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let lanes = self.lanes.lock();
        let of = lanes.range((facility, String::new())..).take_while(|((of, _), _)| *of == facility);
        let wanting = of.filter(|(_, lane)| lane.subscription.wants_it(happened));
        wanting.map(|((_, id), lane)| (id.clone(), lane.waiting.len() >= most)).collect()
    }

    /// Since when somebody is told of studies of a facility, milliseconds since 1970 UTC.
    pub(in crate::charts) fn studies_since(&self, facility: FacilityCode) -> Option<u64> {
        let lanes = self.lanes.lock();
        let of = lanes.range((facility, String::new())..).take_while(|((of, _), _)| *of == facility);
        let studies = of.filter(|(_, lane)| {
            lane.subscription.wants(EventKind::StudyAvailable) || lane.subscription.wants(EventKind::StudyChanged)
        });
        studies.map(|(_, lane)| lane.subscription.at).min()
    }

    /// A row became true.
    pub(in crate::charts) fn row(&self, row: &ChartRow) {
        match &row.body {
            ChartBody::Subscription(subscription) => {
                let (name, subscription) = ((row.key.facility, row.key.id.clone()), Arc::from(subscription.clone()));
                let mut lanes = self.lanes.lock();
                match lanes.get_mut(&name) {
                    Some(lane) => lane.subscription = subscription,
                    None => drop(lanes.insert(name, Lane::new(subscription))),
                }
            }
            ChartBody::Delivery(one) => self.delivery(row.key.facility, one),
            _ => {}
        }
    }

    fn delivery(&self, facility: FacilityCode, one: &Delivery) {
        self.last.fetch_max(one.seq, Ordering::Relaxed);
        if one.subscription.is_empty() {
            self.told.fetch_max(one.seq, Ordering::Release);
            return;
        }
        let most = usize::try_from(self.waiting_max.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&(facility, one.subscription.clone())) else {
            // It was recorded before it was known that the subscription goes.
            let mut orphans = self.orphans.lock();
            if one.state == DeliveryState::Waiting {
                orphans.insert((facility, one.seq));
            } else {
                orphans.remove(&(facility, one.seq));
            }
            return;
        };
        match one.state {
            DeliveryState::Waiting => {
                lane.dead.remove(&one.seq);
                lane.waiting.insert(one.seq);
                // What is tried next says when.
                if lane.waiting.first() == Some(&one.seq) {
                    (lane.next, lane.in_vain) = (one.next, one.tries > 0);
                }
            }
            state => {
                if lane.waiting.remove(&one.seq) {
                    (lane.next, lane.in_vain) = (0, false);
                }
                if state == DeliveryState::Dead && lane.dead.len() < most {
                    lane.dead.insert(one.seq);
                } else {
                    lane.dead.remove(&one.seq);
                }
            }
        }
    }

    /// A row is gone.
    pub(in crate::charts) fn gone(&self, key: &ChartKey) {
        match key.kind {
            ChartKind::Subscription => {
                let mut lanes = self.lanes.lock();
                let Some(lane) = lanes.remove(&(key.facility, key.id.clone())) else { return };
                self.orphans.lock().extend(lane.waiting.into_iter().map(|seq| (key.facility, seq)));
            }
            ChartKind::Delivery => {
                let Ok(seq) = key.id.parse::<u64>() else { return };
                self.orphans.lock().remove(&(key.facility, seq));
                for (_, lane) in self.lanes.lock().iter_mut().filter(|((of, _), _)| *of == key.facility) {
                    lane.waiting.remove(&seq);
                    lane.dead.remove(&seq);
                }
            }
            _ => {}
        }
    }

    /// Subscriptions with something due, whose turn was longest ago first. Of those whose last try was in vain there are
    /// at most `in_vain`: receivers that never answer leave room for those that do.
    pub(super) fn due(&self, now: u64, most: usize, in_vain: usize) -> Vec<Name> {
        let lanes = self.lanes.lock();
        let tried = lanes.values().filter(|lane| lane.busy && lane.in_vain).count();
        let mut left = in_vain.saturating_sub(tried);
        let mut due: Vec<_> = lanes.iter().filter(|(_, lane)| lane.is_due(now)).collect();
        due.sort_by_key(|(_, lane)| lane.turn);
        let mut names = Vec::new();
        for (name, lane) in due {
            if names.len() >= most {
                break;
            }
            if lane.in_vain {
                if left == 0 {
                    continue;
                }
                left = left.saturating_sub(1);
            }
            names.push(name.clone());
        }
        names
    }

    /// Claims the turn of a subscription.
    pub(super) fn claim(&self, name: &Name, turn: u64) -> bool {
        match self.lanes.lock().get_mut(name) {
            Some(lane) if !lane.busy => {
                (lane.busy, lane.turn) = (true, turn);
                true
            }
            _ => false,
        }
    }

    /// Ends the turn of a subscription.
    pub(super) fn leave(&self, name: &Name) {
        if let Some(lane) = self.lanes.lock().get_mut(name) {
            lane.busy = false;
        }
    }

    /// What is to be tried of a subscription now, by whoever claimed its turn.
    pub(super) fn next(&self, name: &Name, now: u64) -> Option<(u64, Arc<Subscription>)> {
        let lanes = self.lanes.lock();
        let lane = lanes.get(name).filter(|lane| !lane.subscription.paused && lane.next <= now)?;
        Some((*lane.waiting.first()?, Arc::clone(&lane.subscription)))
    }

    /// What could not be recorded rests as well.
    pub(super) fn rest(&self, name: &Name, until: u64) {
        if let Some(lane) = self.lanes.lock().get_mut(name) {
            lane.next = lane.next.max(until);
        }
    }

    /// Numbers of what waits for a subscription.
    pub(super) fn waiting(&self, name: &Name, most: usize) -> Vec<u64> {
        self.lanes.lock().get(name).map_or_else(Vec::new, |lane| lane.waiting.iter().take(most).copied().collect())
    }

    /// Some of what waits for subscriptions that are gone.
    pub(super) fn orphans(&self, most: usize) -> Vec<(FacilityCode, u64)> {
        self.orphans.lock().iter().take(most).copied().collect()
    }

    /// Nothing has to be done about these any more.
    pub(super) fn forget_orphans(&self, facility: FacilityCode, numbers: &[u64]) {
        let mut orphans = self.orphans.lock();
        for seq in numbers {
            orphans.remove(&(facility, *seq));
        }
    }

    pub(super) fn states(&self, now: u64) -> Vec<LaneState> {
        let lanes = self.lanes.lock();
        let count = |set: &BTreeSet<u64>| u64::try_from(set.len()).unwrap_or(u64::MAX);
        let of = |((facility, id), lane): (&Name, &Lane)| LaneState {
            facility: *facility,
            id: id.clone(),
            name: lane.subscription.name.clone(),
            by: lane.subscription.target.name(),
            paused: lane.subscription.paused,
            waiting: count(&lane.waiting),
            oldest_ms: lane.waiting.first().map_or(0, |seq| now.saturating_sub(seq / PER_MS)),
            dead: count(&lane.dead),
        };
        lanes.iter().map(of).collect()
    }
}

impl Lane {
    fn new(subscription: Arc<Subscription>) -> Self {
        let (waiting, dead) = (BTreeSet::new(), BTreeSet::new());
        Self { subscription, waiting, dead, next: 0, in_vain: false, busy: false, turn: 0 }
    }

    fn is_due(&self, now: u64) -> bool {
        !self.busy && !self.subscription.paused && !self.waiting.is_empty() && self.next <= now
    }
}

impl Charts {
    /// Puts into memory who is told of what, and what waits.
    pub(in crate::charts) fn remember_outbox(&self) -> Result<(), OpenError> {
        let most = u64::try_from(self.options.outbox.waiting_max).unwrap_or(u64::MAX);
        self.outbox.waiting_max.store(most, Ordering::Relaxed);
        let mut take = |row: ChartRow| {
            self.outbox.row(&row);
            Ok(())
        };
        self.each(ChartKind::Subscription, Term::Any, "", &mut take)?;
        for state in [DeliveryState::Waiting, DeliveryState::Dead] {
            self.each(ChartKind::Delivery, Term::State, state.name(), &mut take)?;
        }
        // Newer than any that was made, also where the clock has gone back since.
        let mut last = Outbox::first_of(self.now_ms());
        let driver = ChartDriver::Equal(Term::Any, String::new());
        let moments = Some((0, Delivery::moment_of(last)));
        let query = ChartQuery { kind: ChartKind::Delivery, facilities: None, driver, moments, years: None };
        let mut after = None;
        loop {
            let page = self.view.find(&query, after, PAGE)?;
            last = page.rows.iter().map(|row| u64::MAX - row.body.moment()).fold(last, u64::max);
            after = page.cursor;
            if after.is_none() {
                break;
            }
        }
        self.outbox.last.fetch_max(last, Ordering::Relaxed);
        // Where nothing of the feed is kept, whoever asks is given a place that holds.
        self.outbox.told.fetch_max(last, Ordering::Release);
        Ok(())
    }
}
