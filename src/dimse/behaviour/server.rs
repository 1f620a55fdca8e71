//! A listener over a memory receiver, with its runtime.

use super::memory::Memory;
use super::peer::Peer;
use crate::{Listener, Options};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest wait for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) memory: Memory,
    pub(crate) runtime: Runtime,
    pub(crate) listener: Option<Listener>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("runtime");
        let memory = Memory::default();
        let listener = {
            let _inside = runtime.enter();
            Listener::serve(SocketAddr::from(([127, 0, 0, 1], 0)), options, memory.clone()).expect("listen")
        };
        let address = listener.local_addr();
        Self { memory, runtime, listener: Some(listener), address }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// An association of CT01 with CT storage on context 1, MR storage on 3 and verification on 5.
    pub(crate) fn associate(&self) -> Peer {
        let mut peer = self.connect();
        peer.associate("KHOANH", "CT01");
        peer
    }

    pub(crate) fn associations(&self) -> usize {
        self.listener.as_ref().map_or(0, Listener::associations)
    }

    /// Nothing was stored, nothing is open, and a neighbour is served.
    pub(crate) fn is_unharmed(&self) {
        eventually("objects are let go", || self.memory.open() == 0);
        assert_eq!(self.memory.stored().len(), 0, "something half stored");
        let mut neighbour = self.connect();
        neighbour.associate("KHOANH", "NEIGHBOUR");
        assert_eq!(neighbour.echo(), 0);
        neighbour.release();
    }
}

/// Waits for a condition, fails after [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
