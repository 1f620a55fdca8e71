//! The table of open connections: caps in all and per address, and who goes first when it is full.
//!
//! A connection without a request is worth least: when the table is full, the one that has been silent longest
//! makes room. So clients that open connections and send nothing only push out each other.

use crate::ready::Own;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

/// One open connection as its task, its requests and the table see it.
pub(super) struct Connection {
    id: u64,
    address: IpAddr,
    opened: Instant,
    /// Milliseconds from `opened` to the end of the last request.
    active: AtomicU64,
    requests: AtomicUsize,
    /// Those among them that wait for us, and not for their client.
    busy: AtomicUsize,
    closing: Notify,
    /// Whose answer is read while the service is crowded.
    turns: Arc<Semaphore>,
    /// Its answers that lie ready.
    ready: Own,
}

impl Connection {
    /// A request ended.
    fn touch(&self) {
        let millis = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(millis, Ordering::Relaxed);
    }

    /// Time since the last request ended, or since the connection was opened.
    /// Bytes alone do not count: who drips half a request is as silent as who sends none.
    pub(super) fn silent_for(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_millis(self.active.load(Ordering::Relaxed)))
    }

    /// Requests being answered.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Its answers that lie ready.
    pub(super) fn ready(&self) -> &Own {
        &self.ready
    }

    /// Whether answers are under way and all of them wait for the client to take more.
    pub(super) fn waits(&self) -> bool {
        let under_way = self.ready.holds() || self.requests() > 0;
        under_way && self.busy.load(Ordering::Relaxed) == 0
    }

    /// Whether there is nothing to answer, and no answer that is still to be taken.
    pub(super) fn is_idle(&self) -> bool {
        self.requests() == 0 && !self.ready.holds()
    }

    /// Counts a request until the guard is dropped; it waits for us.
    pub(super) fn request(self: &Arc<Self>) -> RequestGuard {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut guard = RequestGuard { connection: Arc::clone(self), busy: false };
        guard.waits_for_us(true);
        guard
    }

    /// Resolves when the table wants the place back.
    pub(super) async fn evicted(&self) {
        self.closing.notified().await;
    }
}

/// A request in progress.
pub(super) struct RequestGuard {
    connection: Arc<Connection>,
    busy: bool,
}

impl RequestGuard {
    /// The turns of the connection's answers.
    pub(super) fn turns(&self) -> Arc<Semaphore> {
        Arc::clone(&self.connection.turns)
    }

    /// Says whether it waits for us, or for its client.
    pub(super) fn waits_for_us(&mut self, busy: bool) {
        match (self.busy, busy) {
            (false, true) => self.connection.busy.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.connection.busy.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.busy = busy;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.waits_for_us(false);
        self.connection.touch();
        self.connection.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The table.
pub(super) struct Connections {
    most: usize,
    most_per_address: usize,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// A place in the table, given back when dropped.
pub(super) struct Place {
    table: Arc<Connections>,
    /// The connection.
    pub(super) connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.table.open.lock();
        open.remove(&self.connection.id);
        metrics::gauge!("khoanh_web_connections").set(count(open.len()));
    }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

impl Connections {
    /// An empty table with its caps.
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        let open = Mutex::new(HashMap::new());
        Arc::new(Self { most: most.max(1), most_per_address: most_per_address.max(1), next: AtomicU64::new(0), open })
    }

    /// A place for a new connection, or none when every other one is at work on a request.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = self.open.lock();
        let of_address = open.values().filter(|c| c.address == address).count();
        if of_address >= self.most_per_address {
            evict(&mut open, |c| c.address == address)?;
        } else if open.len() >= self.most {
            evict(&mut open, |_| true)?;
        }
        let connection = Arc::new(Connection {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            address,
            opened: Instant::now(),
            active: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            closing: Notify::new(),
            turns: Arc::new(Semaphore::new(1)),
            ready: Own::new(),
        });
        open.insert(connection.id, Arc::clone(&connection));
        metrics::gauge!("khoanh_web_connections").set(count(open.len()));
        Some(Place { table: Arc::clone(self), connection })
    }
}

/// Takes the longest silent connection without a request out of the table and tells it to close.
fn evict(open: &mut HashMap<u64, Arc<Connection>>, among: impl Fn(&Connection) -> bool) -> Option<()> {
    let idle = open.values().filter(|c| c.is_idle() && among(c));
    let victim = idle.max_by_key(|c| (c.silent_for(), std::cmp::Reverse(c.id))).map(|c| c.id)?;
    let victim = open.remove(&victim)?;
    victim.closing.notify_one();
    metrics::counter!("khoanh_web_connections_evicted_total").increment(1);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[tokio::test]
    async fn the_longest_silent_connection_makes_room_and_busy_ones_stay() {
        let table = Connections::new(2, 2);
        let first = table.admit(address(1)).expect("place");
        let second = table.admit(address(2)).expect("place");
        let working = first.connection.request();
        let third = table.admit(address(3)).expect("the idle second one makes room");
        second.connection.evicted().await;
        assert_eq!(table.open.lock().len(), 2);
        let also = third.connection.request();
        assert!(table.admit(address(4)).is_none(), "all are at work");
        drop(working);
        let fourth = table.admit(address(4)).expect("the first one is idle now");
        first.connection.evicted().await;
        drop((first, second, also));
        assert_eq!(table.open.lock().len(), 2);
        drop((third, fourth));
        assert!(table.open.lock().is_empty());
    }

    #[test]
    fn a_connection_waits_for_its_client_when_none_of_its_requests_waits_for_us() {
        let place = Connections::new(1, 1).admit(address(1)).expect("place");
        let connection = &place.connection;
        assert!(connection.is_idle() && !connection.waits());
        let (mut first, mut second) = (connection.request(), connection.request());
        assert!(!connection.is_idle() && !connection.waits(), "both are looked up");
        first.waits_for_us(false);
        first.waits_for_us(false);
        assert!(!connection.waits(), "the second is looked up");
        second.waits_for_us(false);
        assert!(connection.waits());
        second.waits_for_us(true);
        drop(first);
        assert!(!connection.waits(), "it is read");
        drop(second);
        assert!(connection.is_idle() && !connection.waits() && connection.busy.load(Ordering::Relaxed) == 0);
    }

    #[test]
    fn one_address_only_pushes_out_itself() {
        let table = Connections::new(10, 2);
        let other = table.admit(address(1)).expect("place");
        let flood: Vec<_> = (0..20).filter_map(|_| table.admit(address(2))).collect();
        assert_eq!((flood.len(), table.open.lock().len()), (20, 3));
        assert!(table.open.lock().contains_key(&other.connection.id));
    }
}
