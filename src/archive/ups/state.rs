//! What the records come to, in memory: small rows of steps, subscriptions and the events that wait.
//!
//! The data sets of steps stay in the journal. Deliberately not here: anything that reads or writes it.

use super::matching::Keys;
use super::record::{Global, Noted, Sealed, UpsRecord};
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
    pub(super) event: Arc<Noted>,
    pub(super) lsn: Lsn,
    /// Its key is not at hand: it waits.
    shut: bool,
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
        let matches = match (global.is_filtered(), &self.keys) {
            (false, _) => true,
            (true, Some(keys)) => views.iter().any(|view| keys.accept(view)),
            (true, None) => false,
        };
        (covered && matches).then_some(global.lock)
    }

    /// Whether a data set is needed to know what it follows.
    pub(super) fn has_filter(&self) -> bool {
        self.keys.is_some()
    }

    /// The name of the key its filter lies under.
    pub(super) fn filter_seal(&self) -> Option<PackId> {
        self.global.as_ref().and_then(|(global, _)| global.seal())
    }

    /// A filter that was not opened yet.
    pub(super) fn unopened(&self) -> Option<&Sealed> {
        let (global, _) = self.global.as_ref().filter(|_| self.keys.is_none())?;
        global.sealed.as_ref()
    }

    /// Whether nobody knows which steps it keeps: its filter does not open now.
    pub(super) fn may_lock(&self) -> bool {
        self.unopened().is_some() && self.global.as_ref().is_some_and(|(global, _)| global.lock)
    }

    /// The oldest event, if it may be told: those behind one that does not open wait with it, and none is lost.
    pub(super) fn first(&self) -> Option<&Arc<Noted>> {
        self.queue.front().filter(|waiting| !waiting.shut).map(|waiting| &waiting.event)
    }

    /// Drops what lies under a key that goes.
    fn drop_sealed(&mut self, seal: PackId) {
        self.queue.retain(|waiting| waiting.event.seal() != Some(seal));
        self.bytes = self.queue.iter().map(|waiting| waiting.size).sum();
    }

    fn push(&mut self, event: &Arc<Noted>, lsn: Lsn) {
        if event.seq <= self.taken {
            return;
        }
        let at = self.queue.partition_point(|waiting| waiting.event.seq < event.seq);
        match self.queue.get_mut(at).filter(|waiting| waiting.event.seq == event.seq) {
            Some(known) => {
                self.bytes = self.bytes.saturating_sub(known.size).saturating_add(event.size());
                (known.event, known.lsn, known.size) = (Arc::clone(event), lsn, event.size());
            }
            None => {
                let size = event.size();
                self.bytes = self.bytes.saturating_add(size);
                self.queue.insert(at, Waiting { event: Arc::clone(event), lsn, shut: false, size });
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
    /// The newest record that the journal may still hold and should not: of a forgotten step, of a filter that was taken
    /// back, or in clear.
    pub(super) gone: Option<Lsn>,
    /// Keys of forgotten steps and of filters that were taken back, which may not be destroyed yet.
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
                self.follow_all(facility, &title, global, clears, lsn);
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

    fn follow_all(&mut self, facility: FacilityCode, title: &AeTitle, global: Option<Global>, clears: bool, lsn: Lsn) {
        self.see(global.as_ref().and_then(|global| global.until).unwrap_or(0));
        let subscriber = self.shelves.entry(facility).or_default().subscribers.entry(title.clone()).or_default();
        if clears {
            subscriber.single.clear();
        }
        let seal = global.as_ref().and_then(Global::seal);
        let before = subscriber.global.take();
        let sealed = before.as_ref().and_then(|(before, old)| Some((before.seal()?, *old)));
        if let Some((replaced, old)) = sealed.filter(|(replaced, _)| Some(*replaced) != seal) {
            self.gone = self.gone.max(Some(old));
            self.doomed.insert(replaced);
        }
        let clear = global.as_ref().and_then(|global| global.filter.as_ref());
        if clear.is_some() {
            self.gone = self.gone.max(Some(lsn));
        }
        // The same filter stays open.
        if seal.is_none() || seal != sealed.map(|(seal, _)| seal) {
            subscriber.keys = clear.and_then(|filter| Keys::read(filter).ok());
        }
        subscriber.global = global.map(|global| (global, lsn));
        self.tidy(facility, title);
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

    /// An event does not open: for good, or as long as its key is not at hand.
    pub(super) fn pass_over(&mut self, facility: FacilityCode, title: &AeTitle, event: &Noted, for_good: bool) {
        let shelf = self.shelves.get_mut(&facility);
        let Some(subscriber) = shelf.and_then(|shelf| shelf.subscribers.get_mut(title)) else { return };
        match event.seal().filter(|_| for_good) {
            Some(seal) => subscriber.drop_sealed(seal),
            None => {
                let same = subscriber.queue.iter_mut().filter(|waiting| waiting.event.seq == event.seq);
                same.for_each(|waiting| waiting.shut = true);
            }
        }
    }

    /// Events that did not open are tried again.
    pub(super) fn try_again(&mut self) {
        let subscribers = self.shelves.values_mut().flat_map(|shelf| shelf.subscribers.values_mut());
        subscribers.flat_map(|one| one.queue.iter_mut()).for_each(|waiting| waiting.shut = false);
    }

    /// The filter of a subscriber, sealed.
    pub(super) fn filter_of(&self, facility: FacilityCode, title: &AeTitle) -> Option<Sealed> {
        let subscriber = self.shelves.get(&facility)?.subscribers.get(title)?;
        subscriber.global.as_ref()?.0.sealed.clone()
    }

    /// The filters that were not opened yet, and whose they are.
    pub(super) fn unopened(&self) -> Vec<(FacilityCode, AeTitle, Sealed)> {
        let of = |(facility, shelf): (&FacilityCode, &Shelf)| {
            let shut =
                shelf.subscribers.iter().filter_map(|(title, one)| Some((title.clone(), one.unopened()?.clone())));
            shut.map(|(title, sealed)| (*facility, title, sealed)).collect::<Vec<_>>()
        };
        self.shelves.iter().flat_map(of).collect()
    }

    /// A filter was opened.
    pub(super) fn opened(&mut self, facility: FacilityCode, title: &AeTitle, sealed: &Sealed, keys: Keys) {
        let shelf = self.shelves.get_mut(&facility);
        if let Some(subscriber) = shelf.and_then(|shelf| shelf.subscribers.get_mut(title))
            && subscriber.unopened() == Some(sealed)
        {
            subscriber.keys = Some(keys);
        }
    }

    fn tidy(&mut self, facility: FacilityCode, title: &AeTitle) {
        if let Some(shelf) = self.shelves.get_mut(&facility)
            && shelf.subscribers.get(title).is_some_and(Subscriber::is_idle)
        {
            shelf.subscribers.remove(title);
        }
    }

    fn deliver(&mut self, events: Vec<Noted>, lsn: Lsn) -> Told {
        let mut told = Told::new();
        for event in events {
            self.see(event.seq);
            if event.is_clear() {
                self.gone = self.gone.max(Some(lsn));
            }
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
