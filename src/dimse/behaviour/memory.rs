//! A receiver that keeps objects in memory and fails on demand.

use crate::receiver::{Announced, DataSet, Incoming, Receiver, Search, Stored};
use archive::charts::{ChartError, WorklistItem, WorklistQuery};
use archive::commitment::{Commitment, CommitmentError, Lack, Verdict};
use archive::notices::{Notice, NoticeError};
use archive::search::{SearchPage, Wanted};
use archive::{FindError, FoundRow, IngestError, RetrieveError, Target, Unknown};
use model::attribute::key;
use model::facility::{Letters, NameStyle, WorklistScope};
use model::{AeTitle, Attributes, Certificate, Destination, FacilityCode, Level, Source, Uid};
use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
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

/// A performed step: its station and what it says.
type Performed = (String, Map<String, Value>);

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
    /// Objects opened from this number on are not read.
    held_from: Mutex<Option<usize>>,
    unheld: Condvar,
    callers: AtomicUsize,
    commitments: Mutex<Vec<Commitment>>,
    notices: Mutex<Vec<Notice>>,
    lines: Mutex<(Vec<WorklistItem>, usize)>,
    worklists: Mutex<Vec<WorklistQuery>>,
    charts_fail: Mutex<Option<ChartError>>,
    performed: Mutex<BTreeMap<Uid, Performed>>,
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

    /// After so many openings nothing can be read until it is let go.
    pub(crate) fn hold_reads(&self, after: usize) {
        *self.0.held_from.lock() = Some(self.opened() + after);
    }

    pub(crate) fn let_reads_go(&self) {
        *self.0.held_from.lock() = None;
        self.0.unheld.notify_all();
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

    /// Every worklist is these lines, again and again.
    pub(crate) fn schedule(&self, lines: Vec<WorklistItem>, times: usize) {
        *self.0.lines.lock() = (lines, times);
    }

    /// What worklists were asked for so far.
    pub(crate) fn worklists(&self) -> Vec<WorklistQuery> {
        self.0.worklists.lock().clone()
    }

    /// Charts fail with this: a worklist after its lines, a performed step at once.
    pub(crate) fn fail_charts(&self, error: ChartError) {
        *self.0.charts_fail.lock() = Some(error);
    }

    /// A performed step: its station and what it says.
    pub(crate) fn performed(&self, uid: &str) -> Option<Performed> {
        self.0.performed.lock().get(&Uid::parse(uid).expect("uid")).cloned()
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

    fn worklist(
        &self,
        _: &Source,
        query: &WorklistQuery,
        each: &mut dyn FnMut(WorklistItem) -> bool,
    ) -> Result<(), ChartError> {
        self.0.worklists.lock().push(query.clone());
        let (lines, times) = self.0.lines.lock().clone();
        for line in (0..times).flat_map(|_| &lines) {
            if !each(line.clone()) {
                return Ok(());
            }
        }
        self.0.charts_fail.lock().clone().map_or(Ok(()), Err)
    }

    fn begin_performed(
        &self,
        _: &Source,
        station: &AeTitle,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        self.0.charts_fail.lock().clone().map_or(Ok(()), Err)?;
        let mut performed = self.0.performed.lock();
        if performed.contains_key(uid) {
            return Err(ChartError::Conflict("the SOP Instance UID is in use".into()));
        }
        performed.insert(uid.clone(), (station.to_string(), document));
        Ok(())
    }

    fn set_performed(&self, _: &Source, uid: &Uid, document: Map<String, Value>) -> Result<(), ChartError> {
        let mut performed = self.0.performed.lock();
        let (_, kept) = performed.get_mut(uid).ok_or(ChartError::Unknown("performed step"))?;
        if kept.get("00400252") != Some(&json!({"vr": "CS", "Value": ["IN PROGRESS"]})) {
            return Err(ChartError::Conflict("the step has ended".into()));
        }
        kept.extend(document);
        Ok(())
    }

    fn select(&self, _: &Source, _: &Target) -> Result<Vec<Kept>, RetrieveError> {
        Ok(self.0.kept.lock().clone())
    }

    fn open(&self, object: &Kept, _: &Uid) -> Result<DataSet, RetrieveError> {
        let left = self.0.restoring.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(RetrieveError::Restoring { after: 0 });
        }
        let number = self.0.opened.fetch_add(1, Ordering::SeqCst);
        let data: DataSet = match &object.bytes {
            Some(bytes) => Box::new(std::io::Cursor::new(bytes.clone())),
            None => Box::new(Broken(2_000_000)),
        };
        Ok(Box::new(Hanging { memory: self.clone(), number, data }))
    }
}

/// A data set that hangs for as long as the memory says.
struct Hanging {
    memory: Memory,
    number: usize,
    data: DataSet,
}

impl std::io::Read for Hanging {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut held = self.memory.0.held_from.lock();
        while held.is_some_and(|from| self.number >= from) {
            self.memory.0.unheld.wait(&mut held);
        }
        drop(held);
        std::io::Read::read(&mut self.data, buffer)
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
    let source = Source::new(id, FacilityCode::DEMO);
    match id {
        "PLAIN" => Source { letters: Letters::Ascii, ..source },
        "UPPER" => Source { letters: Letters::AsciiUpper, names: NameStyle::Whole, text_max: Some(16), ..source },
        "LATIN" => Source { letters: Letters::Latin1, ..source },
        "UTF" => Source { letters: Letters::Utf8, ..source },
        "OWN" => Source { worklist: WorklistScope::Own, ..source },
        _ => source,
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
