//! A receiver that keeps objects in memory and fails on demand.

use crate::receiver::{Announced, DataSet, Incoming, Receiver, Search, Stored};
use archive::commitment::{Commitment, CommitmentError, Lack, Verdict};
use archive::notices::{Notice, NoticeError};
use archive::search::{SearchPage, Wanted};
use archive::{FindError, FoundRow, IngestError, RetrieveError, Target, Unknown};
use model::attribute::key;
use model::facility::Letters;
use model::{AeTitle, Attributes, Certificate, Destination, FacilityCode, Level, Source, Uid};
use parking_lot::{Condvar, Mutex};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the next object fails.
#[derive(Debug, Clone, Default)]
pub(crate) enum Fault {
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
    matches: AtomicUsize,
    asked: Mutex<Vec<Wanted>>,
    find_fails: Mutex<bool>,
    destination: Mutex<Option<Destination>>,
    kept: Mutex<Vec<Kept>>,
    restoring: AtomicUsize,
    opened: AtomicUsize,
    callers: AtomicUsize,
    commitments: Mutex<Vec<Commitment>>,
    notices: Mutex<Vec<Notice>>,
}

/// An object that can be retrieved.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) sop_class: Uid,
    pub(crate) sop_instance: Uid,
    pub(crate) syntax: Uid,
    /// None breaks off in the middle.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Stored for Kept {
    fn sop_class(&self) -> &Uid {
        &self.sop_class
    }

    fn sop_instance(&self) -> &Uid {
        &self.sop_instance
    }

    fn syntax(&self) -> &Uid {
        &self.syntax
    }
}

/// The receiver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<State>);

impl Memory {
    /// Data sets stored so far.
    pub(crate) fn stored(&self) -> Vec<Vec<u8>> {
        self.0.stored.lock().iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// What was announced of the objects stored so far.
    pub(crate) fn announced(&self) -> Vec<Announced> {
        self.0.stored.lock().iter().map(|(announced, _)| announced.clone()).collect()
    }

    /// Objects begun and neither finished nor dropped.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// The one destination, registered for CT01 only.
    pub(crate) fn destine(&self, destination: Destination) {
        *self.0.destination.lock() = Some(destination);
    }

    /// What every retrieve brings.
    pub(crate) fn keep(&self, objects: Vec<Kept>) {
        *self.0.kept.lock() = objects;
        self.matches(1);
    }

    /// How many storage commitments are open.
    pub(crate) fn open_commitments_now(&self) -> usize {
        self.0.commitments.lock().len()
    }

    /// How many objects were opened to be sent so far.
    pub(crate) fn opened(&self) -> usize {
        self.0.opened.load(Ordering::SeqCst)
    }

    /// How many associations were asked for so far.
    pub(crate) fn callers(&self) -> usize {
        self.0.callers.load(Ordering::SeqCst)
    }

    /// So many openings find the object still coming back from the cloud.
    pub(crate) fn restore(&self, times: usize) {
        self.0.restoring.store(times, Ordering::SeqCst);
    }

    /// Every search answers with this many rows.
    pub(crate) fn matches(&self, rows: usize) {
        self.0.matches.store(rows, Ordering::SeqCst);
    }

    /// What was searched for so far.
    pub(crate) fn asked(&self) -> Vec<Wanted> {
        self.0.asked.lock().clone()
    }

    /// Searches fail after their first page.
    pub(crate) fn fail_finds(&self) {
        *self.0.find_fails.lock() = true;
    }

    pub(crate) fn fail(&self, fault: Fault) {
        *self.0.fault.lock() = fault;
    }

    /// Holds every object at its end until the gate opens.
    pub(crate) fn close_gate(&self) {
        *self.0.gate_closed.lock() = true;
    }

    pub(crate) fn open_gate(&self) {
        *self.0.gate_closed.lock() = false;
        self.0.gate.notify_all();
    }
}

impl Receiver for Memory {
    type Incoming = Object;
    type Search = Rows;
    type Stored = Kept;

    fn identify(
        &self,
        called: &AeTitle,
        calling: &AeTitle,
        _: IpAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Source, Unknown> {
        self.0.callers.fetch_add(1, Ordering::SeqCst);
        let bound = calling.as_str().strip_prefix("BOUND");
        if bound.is_some_and(|name| !certificate.is_some_and(|shown| shown.is_named(&format!("CN={name}")))) {
            return Err(Unknown::Calling);
        }
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

    fn search(&self, _: &Source, wanted: Wanted) -> Rows {
        self.0.asked.lock().push(wanted);
        Rows { memory: self.clone(), at: 0 }
    }

    fn destination(&self, source: &Source, title: &AeTitle) -> Option<Destination> {
        self.0.destination.lock().clone().filter(|to| to.title == *title && source.id == "CT01")
    }

    fn keep_notice(&self, notice: Notice) -> Result<(), NoticeError> {
        let known = |kept: &Notice| kept.instance == notice.instance;
        if self.0.notices.lock().iter().any(known) {
            return Err(NoticeError::Duplicate);
        }
        self.0.notices.lock().push(notice);
        Ok(())
    }

    fn ask_commitment(&self, commitment: Commitment) -> Result<Commitment, CommitmentError> {
        if commitment.transaction.as_str() == "1.2.666" {
            return Err(CommitmentError::TooMany);
        }
        self.0.commitments.lock().push(commitment.clone());
        Ok(commitment)
    }

    fn is_ripe(&self, _: &Commitment) -> bool {
        true
    }

    fn open_commitments(&self, of: Option<(&Source, &AeTitle)>) -> Vec<Commitment> {
        let mut open = self.0.commitments.lock().clone();
        open.retain(|one| of.is_none_or(|(source, calling)| one.source == source.id && one.calling == *calling));
        open
    }

    /// What was stored is committed.
    fn ups(&self) -> Option<&Arc<archive::ups::Ups>> {
        None
    }

    fn verdict(&self, commitment: &Commitment) -> Verdict {
        let stored = self.announced();
        let here = |uid: &Uid| stored.iter().any(|announced| announced.sop_instance == *uid);
        let (committed, lost) = commitment.objects.iter().cloned().partition(|(_, instance)| here(instance));
        let lost: Vec<(Uid, Uid)> = lost;
        let failed = lost.into_iter().map(|(class, instance)| (class, instance, Lack::Unknown)).collect();
        Verdict { committed, failed }
    }

    fn close_commitment(&self, commitment: &Commitment) {
        self.0.commitments.lock().retain(|open| open != commitment);
    }

    fn select(&self, _: &Source, _: &Target) -> Result<Vec<Kept>, RetrieveError> {
        Ok(self.0.kept.lock().clone())
    }

    fn open(&self, object: &Kept, _: &Uid) -> Result<DataSet, RetrieveError> {
        let left = self.0.restoring.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(RetrieveError::Restoring { after: 0 });
        }
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        match &object.bytes {
            Some(bytes) => Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
            None => Ok(Box::new(Broken(2_000_000))),
        }
    }
}

/// So many bytes and then an error.
struct Broken(usize);

impl std::io::Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::other("damaged, on purpose"));
        }
        let length = buffer.len().min(self.0);
        self.0 -= length;
        Ok(length)
    }
}

/// Rows made up as they are asked for.
pub(crate) struct Rows {
    memory: Memory,
    at: usize,
}

impl Search for Rows {
    fn page(&mut self, limit: usize) -> Result<SearchPage, FindError> {
        if self.at > 0 && *self.memory.0.find_fails.lock() {
            return Err(FindError::Unavailable { what: "on purpose".into() });
        }
        let all = self.memory.0.matches.load(Ordering::SeqCst);
        let end = all.min(self.at + limit);
        let rows = (self.at..end).map(row).collect();
        self.at = end;
        Ok(SearchPage { rows, ended: end == all })
    }
}

fn row(number: usize) -> FoundRow {
    let study = Uid::parse(&format!("1.2.{}", number + 1)).expect("uid");
    let mut attributes = Attributes::new();
    attributes.insert(key::STUDY_INSTANCE_UID, study.as_str().to_owned());
    attributes.insert(key::PATIENT_NAME, "Nguyễn^Ánh".to_owned());
    FoundRow { facility: FacilityCode::DEMO, level: Level::Study, study, series: None, instance: None, attributes }
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
        letters: if id == "PLAIN" { Letters::Ascii } else { Letters::Asked },
        issuer: String::new(),
        disabled: false,
    }
}

/// An object on its way in.
pub(crate) struct Object {
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
