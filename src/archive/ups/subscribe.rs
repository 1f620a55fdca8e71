//! Who follows which steps (PS3.4 section CC.2.3).
//!
//! A word about one step counts more than one about all; unsubscribing from all ends both. A subscription to all steps
//! holds for those to come, suspended only for those there were.

use super::event::{self, Event, EventKind};
use super::matching::Keys;
use super::record::{Global, UpsRecord};
use super::{Document, EVENTS_MAX, FILTERED, GLOBAL, SINGLE_MAX, SUBSCRIBERS_MAX, Ups, UpsError, receiver};
use model::{AeTitle, Caller, FacilityCode, Uid};

/// Events recorded at once.
const BATCH: usize = 500;

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// A step, [`GLOBAL`] or [`FILTERED`].
    pub uid: Uid,
    /// Receiving AE, as asked.
    pub receiver: String,
    /// Whether steps are kept until it is taken back.
    pub lock: bool,
    /// Keys of a filtered subscription.
    pub filter: Document,
}

impl Ups {
    /// Subscribes an AE title (N-ACTION, action type 3); durable on return.
    ///
    /// # Errors
    /// Why not.
    pub fn subscribe(&self, caller: &Caller, facility: FacilityCode, wanted: Subscription) -> Result<(), UpsError> {
        let title = self.subscriber(caller, facility, &wanted.receiver)?;
        let _change = self.change.lock();
        let shelves = self.state.read();
        let shelf = shelves.shelves.get(&facility);
        let known = shelf.and_then(|shelf| shelf.subscribers.get(&title));
        if known.is_none() && shelf.is_some_and(|shelf| shelf.subscribers.len() >= SUBSCRIBERS_MAX) {
            return Err(UpsError::Limit(format!("the facility has {SUBSCRIBERS_MAX} subscribers")));
        }
        let full = known.is_some_and(|known| known.single.len() >= SINGLE_MAX);
        drop(shelves);
        match wanted.uid.as_str() {
            GLOBAL => {
                let global = Global { lock: wanted.lock, filter: None, until: None };
                self.follow_all(facility, &title, Some(global), false)?;
                if wanted.lock { self.report_all(facility, &title) } else { Ok(()) }
            }
            FILTERED => {
                if Keys::read(&wanted.filter)?.is_empty() {
                    return Err(UpsError::Invalid("a filtered subscription needs a matching key".into()));
                }
                let global = Global { lock: wanted.lock, filter: Some(wanted.filter), until: None };
                self.follow_all(facility, &title, Some(global), false)
            }
            _ if full => Err(UpsError::Limit(format!("{title} is subscribed to {SINGLE_MAX} steps"))),
            _ => {
                let (step, document) = self.load(facility, &wanted.uid)?;
                let seq = self.state.read().next();
                let info = event::state_report(&document, step.state);
                let (uid, kind, at) = (wanted.uid.clone(), EventKind::State, self.now_ms());
                let events = vec![Event { seq, facility, uid, kind, info, at, to: vec![title.clone()] }];
                let lock = Some(wanted.lock);
                self.commit(UpsRecord::Single { facility, title, uid: wanted.uid, lock, events }, None)
            }
        }
    }

    /// Ends a subscription (N-ACTION, action type 4); durable on return.
    ///
    /// # Errors
    /// Why not; one that never was ends, too.
    pub fn unsubscribe(&self, caller: &Caller, facility: FacilityCode, uid: &Uid, title: &str) -> Result<(), UpsError> {
        let title = self.subscriber(caller, facility, title)?;
        let _change = self.change.lock();
        let known = self.state.read().shelves.get(&facility).is_some_and(|s| s.subscribers.contains_key(&title));
        if [GLOBAL, FILTERED].contains(&uid.as_str()) {
            return if known { self.follow_all(facility, &title, None, true) } else { Ok(()) };
        }
        if self.state.read().step(facility, uid).is_none() {
            return Err(UpsError::Unknown);
        }
        if !known {
            return Ok(());
        }
        let (uid, lock, events) = (uid.clone(), None, Vec::new());
        self.commit(UpsRecord::Single { facility, title, uid, lock, events }, None)
    }

    /// Ends a subscription to all steps for those to come (N-ACTION, action type 5); durable on return.
    ///
    /// # Errors
    /// [`UpsError::NotAppropriate`] for a single step.
    pub fn suspend(&self, caller: &Caller, facility: FacilityCode, uid: &Uid, title: &str) -> Result<(), UpsError> {
        let title = self.subscriber(caller, facility, title)?;
        if ![GLOBAL, FILTERED].contains(&uid.as_str()) {
            return Err(UpsError::NotAppropriate);
        }
        let _change = self.change.lock();
        let (global, next) = {
            let state = self.state.read();
            let known = state.shelves.get(&facility).and_then(|shelf| shelf.subscribers.get(&title));
            (known.and_then(|known| known.global.as_ref()).map(|(global, _)| global.clone()), state.next())
        };
        match global {
            Some(global) if global.until.is_none() => {
                let global = Global { until: Some(next), ..global };
                self.follow_all(facility, &title, Some(global), false)
            }
            _ => Ok(()),
        }
    }

    fn subscriber(&self, caller: &Caller, facility: FacilityCode, title: &str) -> Result<AeTitle, UpsError> {
        if caller.may_see(facility) { receiver(title) } else { Err(UpsError::Unknown) }
    }

    fn follow_all(
        &self,
        facility: FacilityCode,
        title: &AeTitle,
        global: Option<Global>,
        clears: bool,
    ) -> Result<(), UpsError> {
        // Steps that were left before are among all again.
        let left: Vec<Uid> = match &global {
            Some(Global { until: None, filter: None, .. }) => {
                let state = self.state.read();
                let known = state.shelves.get(&facility).and_then(|shelf| shelf.subscribers.get(title));
                let single = known.map(|known| known.single.iter()).into_iter().flatten();
                single.filter(|(_, (lock, _))| lock.is_none()).map(|(uid, _)| uid.clone()).collect()
            }
            _ => Vec::new(),
        };
        let (title, lock) = (title.clone(), global.as_ref().map(|global| global.lock));
        for uid in left {
            let record = UpsRecord::Single { facility, title: title.clone(), uid, lock, events: Vec::new() };
            self.append(record, None, false)?;
        }
        self.commit(UpsRecord::Global { facility, title, global, clears, events: Vec::new() }, None)
    }

    /// Tells a new subscriber with deletion lock of every step there is (PS3.4 section CC.2.4.3).
    fn report_all(&self, facility: FacilityCode, title: &AeTitle) -> Result<(), UpsError> {
        let uids: Vec<Uid> = {
            let state = self.state.read();
            let order = state.shelves.get(&facility).map(|shelf| shelf.order.iter());
            order.into_iter().flatten().take(EVENTS_MAX).map(|(_, uid)| uid.clone()).collect()
        };
        for some in uids.chunks(BATCH) {
            let mut seq = self.state.read().next();
            let mut events = Vec::with_capacity(some.len());
            for uid in some {
                let (step, document) = match self.load(facility, uid) {
                    // It was forgotten meanwhile.
                    Err(UpsError::Unknown) => continue,
                    read => read?,
                };
                let info = event::state_report(&document, step.state);
                let (kind, at, to) = (EventKind::State, self.now_ms(), vec![title.clone()]);
                events.push(Event { seq, facility, uid: uid.clone(), kind, info, at, to });
                seq = seq.saturating_add(1);
            }
            self.commit(UpsRecord::Events { events }, None)?;
        }
        Ok(())
    }

    /// Tells every subscriber that we are back; who was told and did not listen since is not told again.
    pub(super) fn tell_restart(&self) {
        let _change = self.change.lock();
        let (mut seq, facilities) = {
            let state = self.state.read();
            let news = |(facility, shelf): (&FacilityCode, &super::state::Shelf)| {
                let knows = |one: &super::state::Subscriber| {
                    one.queue.back().is_some_and(|waiting| waiting.event.kind == EventKind::Provider)
                };
                let to = shelf.subscribers.iter().filter(|(_, one)| !knows(one)).map(|(title, _)| title.clone());
                (*facility, to.collect::<Vec<_>>())
            };
            (state.next(), state.shelves.iter().map(news).filter(|(_, to)| !to.is_empty()).collect::<Vec<_>>())
        };
        for (facility, to) in facilities {
            let Ok(uid) = Uid::parse(GLOBAL) else { return };
            let (kind, info, at) = (EventKind::Provider, event::restarted(), self.now_ms());
            let event = Event { seq, facility, uid, kind, info, at, to };
            seq = seq.saturating_add(1);
            if let Err(error) = self.append(UpsRecord::Events { events: vec![event] }, None, false) {
                tracing::warn!(%error, "subscribers of procedure steps are not told of the restart");
                return;
            }
        }
    }
}
