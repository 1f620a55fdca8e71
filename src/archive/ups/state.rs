//! What the records come to, in memory: small rows of steps, subscriptions and the events that wait.
//!
//! The data sets of steps stay in the journal. Deliberately not here: anything that reads or writes it.

use super::event::Event;
use super::matching::Keys;
use super::record::{Global, UpsRecord};
use super::{Document, EVENT_BYTES_MAX, EVENTS_MAX, StepState, bloom};
use model::{AeTitle, FacilityCode, Lsn, PackId, Place, Uid};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// A step without its data set.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) created: u64,
    pub(super) at: u64,
    pub(super) state: StepState,
    pub(super) transaction: Option<Uid>,
    pub(super) start: String,
    pub(super) marks: u128,
    /// Its key; none while its data set lies in clear.
    pub(super) seal: Option<PackId>,
    pub(super) place: Place,
    pub(super) lsn: Lsn,
}

/// An event in a subscriber's queue.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) event: Arc<Event>,
    pub(super) lsn: Lsn,
    size: usize,
}

/// An AE title that is told of events.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    pub(super) global: Option<(Global, Lsn)>,
    /// The keys of a filter.
    keys: Option<Keys>,
    pub(super) single: BTreeMap<Uid, (Option<bool>, Lsn)>,
    pub(super) queue: VecDeque<Waiting>,
    bytes: usize,
    taken: u64,
}

impl Subscriber {
    /// Whether it is told of a step, and whether with a deletion lock. `views` are the step before and after a change.
    pub(super) fn follows(&self, uid: &Uid, created: u64, views: &[&Document]) -> Option<bool> {
        if let Some((lock, _)) = self.single.get(uid) {
            return *lock;
        }
        let (global, _) = self.global.as_ref()?;
        let covered = global.until.is_none_or(|until| created < until);
        let matches = match (&global.filter, &self.keys) {
            (None, _) => true,
            (Some(_), Some(keys)) => views.iter().any(|view| keys.accept(view)),
            (Some(_), None) => false,
        };
        (covered && matches).then_some(global.lock)
    }

    /// Whether a data set is needed to know what it follows.
    pub(super) fn has_filter(&self) -> bool {
        self.keys.is_some()
    }

    fn push(&mut self, event: &Arc<Event>, lsn: Lsn) {
        if event.seq <= self.taken {
            return;
        }
        let at = self.queue.partition_point(|waiting| waiting.event.seq < event.seq);
        match self.queue.get_mut(at).filter(|waiting| waiting.event.seq == event.seq) {
            Some(known) => known.lsn = lsn,
            None => {
                let size = event.size();
                self.bytes = self.bytes.saturating_add(size);
                self.queue.insert(at, Waiting { event: Arc::clone(event), lsn, size });
            }
        }
        while self.queue.len() > EVENTS_MAX || self.bytes > EVENT_BYTES_MAX {
            let Some(lost) = self.queue.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(lost.size);
            metrics::counter!("khoanh_ups_events_dropped_total").increment(1);
        }
    }

    fn take(&mut self, through: u64) {
        self.taken = self.taken.max(through);
        while self.queue.front().is_some_and(|waiting| waiting.event.seq <= through) {
            let Some(gone) = self.queue.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(gone.size);
        }
    }

    fn is_idle(&self) -> bool {
        self.global.is_none() && self.single.is_empty() && self.queue.is_empty()
    }
}

/// What one facility has.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) steps: HashMap<Uid, Step>,
    /// Steps by their planned start.
    pub(super) order: BTreeSet<(String, Uid)>,
    pub(super) subscribers: BTreeMap<AeTitle, Subscriber>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) shelves: BTreeMap<FacilityCode, Shelf>,
    /// Bytes of the data sets of all steps.
    pub(super) live: u64,
    /// The newest data set that the journal may still hold and should not: of a forgotten step, or one in clear.
    pub(super) gone: Option<Lsn>,
    /// Keys of forgotten steps that may not be destroyed yet.
    pub(super) doomed: BTreeSet<PackId>,
    last: u64,
}

/// Who has something new to take.
pub(super) type Told = Vec<(FacilityCode, AeTitle)>;

impl State {
    /// The next number of a creation or an event.
    pub(super) fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub(super) fn step(&self, facility: FacilityCode, uid: &Uid) -> Option<&Step> {
        self.shelves.get(&facility)?.steps.get(uid)
    }

    /// Makes a record true; says whom its events are for.
    pub(super) fn apply(&mut self, record: UpsRecord, lsn: Lsn, place: &Place) -> Told {
        match record {
            UpsRecord::Step { facility, uid, created, at, state, transaction, start, marks, seal, events } => {
                self.see(created);
                if seal.is_none() {
                    self.gone = self.gone.max(Some(lsn));
                }
                let (place, marks) = (place.clone(), bloom::whole(marks));
                let step = Step { created, at, state, transaction, start, marks, seal, place, lsn };
                self.put(facility, uid, step);
                self.deliver(events, lsn)
            }
            UpsRecord::Gone { facility, uid } => {
                self.forget(facility, &uid);
                Told::new()
            }
            UpsRecord::Global { facility, title, global, clears, events } => {
                self.see(global.as_ref().and_then(|global| global.until).unwrap_or(0));
                let subscriber =
                    self.shelves.entry(facility).or_default().subscribers.entry(title.clone()).or_default();
                if clears {
                    subscriber.single.clear();
                }
                let filter = global.as_ref().and_then(|global| global.filter.as_ref());
                subscriber.keys = filter.and_then(|filter| Keys::read(filter).ok());
                subscriber.global = global.map(|global| (global, lsn));
                self.tidy(facility, &title);
                self.deliver(events, lsn)
            }
            UpsRecord::Single { facility, title, uid, lock, events } => {
                let subscriber =
                    self.shelves.entry(facility).or_default().subscribers.entry(title.clone()).or_default();
                // Without a global subscription nothing needs to be taken out of it.
                if lock.is_none() && subscriber.global.is_none() {
                    subscriber.single.remove(&uid);
                } else {
                    subscriber.single.insert(uid, (lock, lsn));
                }
                self.tidy(facility, &title);
                self.deliver(events, lsn)
            }
            UpsRecord::Events { events } => self.deliver(events, lsn),
            UpsRecord::Taken { facility, title, through } => {
                self.see(through);
                if let Some(shelf) = self.shelves.get_mut(&facility) {
                    shelf.subscribers.entry(title.clone()).or_default().take(through);
                }
                self.tidy(facility, &title);
                Told::new()
            }
        }
    }

    fn see(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    fn put(&mut self, facility: FacilityCode, uid: Uid, step: Step) {
        let shelf = self.shelves.entry(facility).or_default();
        self.live = self.live.saturating_add(step.place.body_len);
        let start = step.start.clone();
        if let Some(before) = shelf.steps.insert(uid.clone(), step) {
            self.live = self.live.saturating_sub(before.place.body_len);
            if before.start != start {
                shelf.order.remove(&(before.start, uid.clone()));
            }
        }
        shelf.order.insert((start, uid));
    }

    fn forget(&mut self, facility: FacilityCode, uid: &Uid) {
        let Some(shelf) = self.shelves.get_mut(&facility) else { return };
        if let Some(step) = shelf.steps.remove(uid) {
            self.gone = self.gone.max(Some(step.lsn));
            self.doomed.extend(step.seal);
            self.live = self.live.saturating_sub(step.place.body_len);
            shelf.order.remove(&(step.start, uid.clone()));
        }
        let mut idle = Vec::new();
        for (title, subscriber) in &mut shelf.subscribers {
            if subscriber.single.remove(uid).is_some() && subscriber.is_idle() {
                idle.push(title.clone());
            }
        }
        for title in idle {
            shelf.subscribers.remove(&title);
        }
    }

    fn tidy(&mut self, facility: FacilityCode, title: &AeTitle) {
        if let Some(shelf) = self.shelves.get_mut(&facility)
            && shelf.subscribers.get(title).is_some_and(Subscriber::is_idle)
        {
            shelf.subscribers.remove(title);
        }
    }

    fn deliver(&mut self, events: Vec<Event>, lsn: Lsn) -> Told {
        let mut told = Told::new();
        for event in events {
            self.see(event.seq);
            let event = Arc::new(event);
            let shelf = self.shelves.entry(event.facility).or_default();
            for title in &event.to {
                shelf.subscribers.entry(title.clone()).or_default().push(&event, lsn);
                told.push((event.facility, title.clone()));
            }
        }
        told.dedup();
        told
    }

    /// Who follows a step.
    pub(super) fn followers(
        &self,
        facility: FacilityCode,
        uid: &Uid,
        created: u64,
        views: &[&Document],
    ) -> Vec<AeTitle> {
        let subscribers = self.shelves.get(&facility).map(|shelf| shelf.subscribers.iter());
        let follows = |(_, one): &(&AeTitle, &Subscriber)| one.follows(uid, created, views).is_some();
        subscribers.into_iter().flatten().filter(follows).map(|(title, _)| title.clone()).collect()
    }
}
