//! A receiver that keeps objects in memory and fails on demand.

use crate::receiver::{Announced, Incoming, Receiver};
use archive::{IngestError, Unknown};
use model::{AeTitle, FacilityCode, Source};
use parking_lot::{Condvar, Mutex};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the next object fails.
#[derive(Debug, Clone, Default)]
pub(super) enum Fault {
    #[default]
    None,
    OnReceive(IngestError),
    OnWrite(IngestError),
    OnFinish(IngestError),
    Panic,
}

#[derive(Debug, Default)]
struct State {
    stored: Mutex<Vec<(Announced, Vec<u8>)>>,
    open: AtomicUsize,
    fault: Mutex<Fault>,
    gate_closed: Mutex<bool>,
    gate: Condvar,
}

/// The receiver.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<State>);

impl Memory {
    /// Data sets stored so far.
    pub(super) fn stored(&self) -> Vec<Vec<u8>> {
        self.0.stored.lock().iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// What was announced of the objects stored so far.
    pub(super) fn announced(&self) -> Vec<Announced> {
        self.0.stored.lock().iter().map(|(announced, _)| announced.clone()).collect()
    }

    /// Objects begun and neither finished nor dropped.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self, fault: Fault) {
        *self.0.fault.lock() = fault;
    }

    /// Holds every object at its end until the gate opens.
    pub(super) fn close_gate(&self) {
        *self.0.gate_closed.lock() = true;
    }

    pub(super) fn open_gate(&self) {
        *self.0.gate_closed.lock() = false;
        self.0.gate.notify_all();
    }
}

impl Receiver for Memory {
    type Incoming = Object;

    fn identify(&self, called: &AeTitle, calling: &AeTitle, _: IpAddr) -> Result<Source, Unknown> {
        match (called.as_str(), calling.as_str()) {
            ("KHOANH", "STRANGER") => Err(Unknown::Calling),
            ("KHOANH", "DISABLED") => Err(Unknown::Disabled),
            ("KHOANH", title) => Ok(source(title)),
            _ => Err(Unknown::Called),
        }
    }

    fn receive(&self, _: &Source, announced: Announced) -> Result<Object, IngestError> {
        if let Fault::OnReceive(error) = &*self.0.fault.lock() {
            return Err(error.clone());
        }
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ok(Object { memory: self.clone(), announced, bytes: Vec::new() })
    }
}

fn source(id: &str) -> Source {
    Source {
        id: id.to_owned(),
        facility: FacilityCode::DEMO,
        called: None,
        calling: None,
        addresses: Vec::new(),
        certificate: None,
        charset: model::facility::CharsetHint::Auto,
        issuer: String::new(),
        disabled: false,
    }
}

/// An object on its way in.
pub(super) struct Object {
    memory: Memory,
    announced: Announced,
    bytes: Vec<u8>,
}

impl Incoming for Object {
    fn write(&mut self, chunk: &[u8]) -> Result<(), IngestError> {
        if let Fault::OnWrite(error) = &*self.memory.0.fault.lock() {
            return Err(error.clone());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(mut self) -> Result<(), IngestError> {
        let mut closed = self.memory.0.gate_closed.lock();
        while *closed {
            self.memory.0.gate.wait(&mut closed);
        }
        drop(closed);
        let fault = self.memory.0.fault.lock().clone();
        match fault {
            Fault::OnFinish(error) => return Err(error),
            Fault::Panic => panic!("a fault of the archive, on purpose"),
            _ => {}
        }
        self.memory.0.stored.lock().push((self.announced.clone(), std::mem::take(&mut self.bytes)));
        Ok(())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.memory.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
