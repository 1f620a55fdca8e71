//! Connections that are no association: before the request is complete, or after the last word was said.
//!
//! They cost a small task each and are kept few: a flood of them pushes out its own oldest, first of the same
//! address, then of all. A peer that shakes hands at once is never the oldest for long.

use crate::meter;
use crate::options::Options;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// All half-open connections of a listener.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    connections_max: usize,
    per_address_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By order of arrival.
    connections: BTreeMap<u64, Connection>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
    bytes: usize,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    bytes: usize,
    /// Dropped to tell the connection's task that it was pushed out.
    _alive: oneshot::Sender<()>,
}

impl HalfOpen {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        Arc::new(Self {
            connections_max: options.half_open_max.max(1),
            per_address_max: options.half_open_per_address_max.max(1),
            bytes_max: options.half_open_bytes_max,
            state: Mutex::default(),
        })
    }

    /// Registers a connection, pushing out older ones where a limit says so.
    ///
    /// The receiver resolves when this connection itself is pushed out.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> (Ticket, oneshot::Receiver<()>) {
        let (alive, pushed_out) = oneshot::channel();
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.connections.insert(number, Connection { address, bytes: 0, _alive: alive });
        let same_address = state.by_address.entry(address).or_default();
        same_address.insert(number);
        let oldest_here = (same_address.len() > self.per_address_max).then(|| same_address.first().copied()).flatten();
        if let Some(oldest) = oldest_here {
            state.push_out(oldest);
        }
        while state.connections.len() > self.connections_max {
            let Some((&oldest, _)) = state.connections.first_key_value() else { break };
            state.push_out(oldest);
        }
        meter::half_open(state.connections.len());
        (Ticket { all: Arc::clone(self), number }, pushed_out)
    }

    /// Closes the oldest connection: the process has run out of descriptors.
    pub(crate) fn push_out_oldest(&self) {
        let mut state = self.state.lock();
        if let Some((&oldest, _)) = state.connections.first_key_value() {
            state.push_out(oldest);
        }
    }
}

impl State {
    fn remove(&mut self, number: u64) -> bool {
        let Some(connection) = self.connections.remove(&number) else { return false };
        self.bytes = self.bytes.saturating_sub(connection.bytes);
        if let Some(numbers) = self.by_address.get_mut(&connection.address) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_address.remove(&connection.address);
            }
        }
        true
    }

    fn push_out(&mut self, number: u64) {
        if self.remove(number) {
            meter::evicted();
        }
    }
}

/// The place of one half-open connection; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Ticket {
    all: Arc<HalfOpen>,
    number: u64,
}

impl Ticket {
    /// Accounts for more bytes of the unfinished request. Beyond the limit of all connections together the
    /// oldest that hold bytes go; false when this one itself must.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        let mut state = self.all.state.lock();
        let Some(connection) = state.connections.get_mut(&self.number) else { return false };
        connection.bytes += bytes;
        state.bytes += bytes;
        while state.bytes > self.all.bytes_max {
            let oldest = state.connections.iter().find(|(_, connection)| connection.bytes > 0).map(|(n, _)| *n);
            match oldest {
                Some(number) => state.push_out(number),
                None => break,
            }
        }
        state.connections.contains_key(&self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.all.state.lock();
        state.remove(self.number);
        meter::half_open(state.connections.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    fn limits(all: usize, address: usize, bytes: usize) -> Arc<HalfOpen> {
        HalfOpen::new(&Options {
            half_open_max: all,
            half_open_per_address_max: address,
            half_open_bytes_max: bytes,
            ..Options::default()
        })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_flood_from_one_address_pushes_out_its_own() {
        let all = limits(10, 3, 1000);
        let mut neighbour = all.enter(address(1));
        let mut flood: Vec<_> = (0..50).map(|_| all.enter(address(2))).collect();
        assert_eq!(neighbour.1.try_recv(), Err(TryRecvError::Empty));
        let alive = flood.iter_mut().filter_map(|(_, out)| (out.try_recv() == Err(TryRecvError::Empty)).then_some(()));
        assert_eq!(alive.count(), 3);
        assert_eq!(flood.last_mut().expect("newest").1.try_recv(), Err(TryRecvError::Empty));
    }

    #[test]
    fn a_flood_from_many_addresses_pushes_out_the_oldest() {
        let all = limits(4, 3, 1000);
        let mut entered: Vec<_> = (0..6).map(|n| all.enter(address(n))).collect();
        let out: Vec<bool> = entered.iter_mut().map(|(_, out)| out.try_recv() == Err(TryRecvError::Closed)).collect();
        assert_eq!(out, [true, true, false, false, false, false]);
        drop(entered);
        let state = all.state.lock();
        assert!(state.connections.is_empty() && state.by_address.is_empty());
    }

    #[test]
    fn bytes_of_unfinished_requests_are_bounded_together() {
        let all = limits(10, 10, 1000);
        let (first, mut first_out) = all.enter(address(1));
        let (second, _second_out) = all.enter(address(2));
        assert!(first.hold(600));
        assert!(second.hold(600));
        assert_eq!(first_out.try_recv(), Err(TryRecvError::Closed));
        assert!(!first.hold(1));
        assert!(!second.hold(600), "alone beyond the limit");
        assert_eq!(all.state.lock().bytes, 0);
    }
}
