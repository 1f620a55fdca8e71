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
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), options, Memory::default())
    }

    fn start_on(address: SocketAddr, options: Options, memory: Memory) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("runtime");
        let listener = {
            let _inside = runtime.enter();
            let begun = Instant::now();
            // The port of a listener that was just dropped may be taken for a moment.
            loop {
                match Listener::serve(address, options.clone(), memory.clone()) {
                    Ok(listener) => break listener,
                    Err(error) if begun.elapsed() > PATIENCE => panic!("{error}"),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        };
        let address = listener.local_addr();
        Self { memory, runtime, listener: Some(listener), address }
    }

    /// Another listener on the same address, with the same memory.
    pub(crate) fn restart(&mut self) -> Self {
        let again = Self::start_on(self.address, Options::default(), self.memory.clone());
        self.listener = None;
        again
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
