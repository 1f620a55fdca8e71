//! Room for connections, in all and for each address, and for the bytes of messages that are being read.

use crate::meter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// The table of open connections.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    most_per_address: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    open: watch::Sender<usize>,
}

/// The place of one connection; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    pub(crate) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, by_address: Mutex::default(), open: watch::Sender::new(0) })
    }

    /// Takes a place, or says which limit is reached.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        let address = address.to_canonical();
        let mut by_address = self.by_address.lock();
        if by_address.values().sum::<usize>() >= self.most {
            return Err("all");
        }
        let count = by_address.entry(address).or_default();
        if *count >= self.most_per_address {
            return Err("address");
        }
        *count += 1;
        drop(by_address);
        self.changed(|open| open + 1);
        Ok(Place { places: Arc::clone(self), address })
    }

    /// Follows the number of open connections.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    fn changed(&self, by: impl Fn(usize) -> usize) {
        self.open.send_modify(|open| *open = by(*open));
        meter::open(*self.open.borrow());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.places.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
        drop(by_address);
        self.places.changed(|open| open.saturating_sub(1));
    }
}

/// Memory for messages that are being read or handled, of all connections together.
#[derive(Debug)]
pub(crate) struct Memory {
    most: usize,
    taken: AtomicUsize,
}

/// What one message takes; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Claim {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// A claim of nothing yet.
    pub(crate) fn claim(self: &Arc<Self>) -> Claim {
        Claim { memory: Arc::clone(self), bytes: 0 }
    }
}

impl Claim {
    /// Makes the claim this large; false when there is no room.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.memory.most);
        let taken = self.memory.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if taken { more } else { 0 };
        taken
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_by_address_and_come_back() {
        let (one, two): (IpAddr, IpAddr) = ("10.0.0.1".parse().expect("ip"), "10.0.0.2".parse().expect("ip"));
        let places = Places::new(3, 2);
        let taken =
            [places.enter(one).expect("free"), places.enter("::ffff:10.0.0.1".parse().expect("ip")).expect("free")];
        assert_eq!(places.enter(one).map(|_| ()), Err("address"));
        let other = places.enter(two).expect("free");
        assert_eq!(places.enter(two).map(|_| ()), Err("all"));
        drop(taken);
        assert_eq!(*places.watch().borrow(), 1);
        drop((other, places.enter(one).expect("free")));
        assert!(places.by_address.lock().is_empty());
    }

    #[test]
    fn memory_is_shared_and_comes_back() {
        let memory = Memory::new(100);
        let (mut one, mut two) = (memory.claim(), memory.claim());
        assert!(one.grow(60) && one.grow(50) && two.grow(40) && !two.grow(41));
        drop(one);
        assert!(two.grow(100));
        drop(two);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }
}
