//! Room for associations: how many in all and how many for each source.

use crate::meter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The counts of all associations of a listener.
#[derive(Debug)]
pub(crate) struct Slots {
    associations_max: usize,
    per_source_max: usize,
    by_source: Mutex<HashMap<String, usize>>,
    open: watch::Sender<usize>,
}

impl Slots {
    pub(crate) fn new(associations_max: usize, per_source_max: usize) -> Arc<Self> {
        let by_source = Mutex::default();
        Arc::new(Self { associations_max, per_source_max, by_source, open: watch::Sender::new(0) })
    }

    /// Takes a place, none when all are taken. The source is not known yet.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Slot> {
        let entered = self.open.send_if_modified(|open| {
            let free = *open < self.associations_max;
            *open += usize::from(free);
            free
        });
        meter::open(*self.open.borrow());
        entered.then(|| Slot { slots: Arc::clone(self), source: None })
    }

    /// Follows the number of open associations.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }
}

/// A place of one association; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    source: Option<String>,
}

impl Slot {
    /// Counts the association for its source, or says that the source has all it may have.
    pub(crate) fn assign(&mut self, source: &str) -> bool {
        let mut by_source = self.slots.by_source.lock();
        let count = by_source.entry(source.to_owned()).or_default();
        if *count >= self.slots.per_source_max {
            return false;
        }
        *count += 1;
        self.source = Some(source.to_owned());
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            let mut by_source = self.slots.by_source.lock();
            if let Some(count) = by_source.get_mut(source) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    by_source.remove(source);
                }
            }
        }
        self.slots.open.send_modify(|open| *open = open.saturating_sub(1));
        meter::open(*self.slots.open.borrow());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_by_source_and_come_back() {
        let slots = Slots::new(3, 2);
        let mut taken: Vec<Slot> = (0..3).map(|_| slots.enter().expect("free")).collect();
        assert!(slots.enter().is_none());
        let assigned: Vec<bool> = taken.iter_mut().map(|slot| slot.assign("ct01")).collect();
        assert_eq!(assigned, [true, true, false]);
        assert!(taken.last_mut().expect("third").assign("mr01"));
        taken.remove(0);
        assert!(slots.enter().expect("freed").assign("ct01"));
        drop(taken);
        assert_eq!(*slots.watch().borrow(), 0);
        assert!(slots.by_source.lock().is_empty());
    }
}
