//! What the protocol needs from the archive, and nothing more.
//!
//! The archive is one implementation; the other one keeps objects in memory and fails on demand, so that the
//! protocol's behaviour in bad hours can be tested.

use archive::charts::{ChartError, Reader, WorklistItem, WorklistQuery};
use archive::commitment::{Commitment, CommitmentError, Verdict};
use archive::notices::{Notice, NoticeError};
use archive::search::{SearchPage, Wanted};
use archive::ups::Ups;
use archive::{Archive, DecodeError, FindError, Form, IngestError, InstanceRow, RetrieveError, Target, Unknown};
use model::{AeTitle, Caller, Certificate, Destination, Scope, Source, Uid, Via};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

/// A stored object as it is read.
pub(crate) type DataSet = Box<dyn Read + Send>;

/// Who takes the objects and answers what is there.
pub(crate) trait Receiver: Clone + Send + Sync + 'static {
    /// An object on its way in; dropped, it leaves nothing behind.
    type Incoming: Incoming;
    /// An answer being read.
    type Search: Search;
    /// An object that can be sent.
    type Stored: Stored;

    /// The source behind an association request.
    fn identify(
        &self,
        called: &AeTitle,
        calling: &AeTitle,
        peer: IpAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Source, Unknown>;

    /// Begins an object.
    fn receive(&self, source: &Source, object: Announced) -> Result<Self::Incoming, IngestError>;

    /// Begins an answer for a source, which sees what its facility has.
    fn search(&self, source: &Source, wanted: Wanted) -> Self::Search;

    /// Where a source may have objects sent.
    fn destination(&self, source: &Source, title: &AeTitle) -> Option<Destination>;

    /// Takes a storage commitment; durable on return.
    fn ask_commitment(&self, commitment: Commitment) -> Result<Commitment, CommitmentError>;

    /// The open storage commitments of a peer, or all.
    fn open_commitments(&self, of: Option<(&Source, &AeTitle)>) -> Vec<Commitment>;

    /// Whether it can be reported.
    fn is_ripe(&self, commitment: &Commitment) -> bool;

    /// What is to be reported.
    fn verdict(&self, commitment: &Commitment) -> Verdict;

    /// The report was taken.
    fn close_commitment(&self, commitment: &Commitment);

    /// Takes a notice of another system; durable on return.
    fn keep_notice(&self, notice: Notice) -> Result<(), NoticeError>;

    /// Unified Procedure Steps, where there are any.
    fn ups(&self) -> Option<&Arc<Ups>>;

    /// Open scheduled steps of a source's facility that match, in order of start, until `each` says no.
    fn worklist(
        &self,
        source: &Source,
        query: &WorklistQuery,
        each: &mut dyn FnMut(WorklistItem) -> bool,
    ) -> Result<(), ChartError>;

    /// A source's modality begins a step; durable on return.
    fn begin_performed(
        &self,
        source: &Source,
        station: &AeTitle,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError>;

    /// A source's modality says more of a step; durable on return.
    fn set_performed(&self, source: &Source, uid: &Uid, document: Map<String, Value>) -> Result<(), ChartError>;

    /// The objects of a target that a source may have, in viewing order.
    fn select(&self, source: &Source, target: &Target) -> Result<Vec<Self::Stored>, RetrieveError>;

    /// Objects are asked for: recorded soon, by study.
    fn note_asked(&self, _reader: &Reader, _objects: &[Self::Stored]) {}

    /// One of them is given.
    fn note_given(&self, _reader: &Reader, _object: &Self::Stored) {}

    /// The data set of an object, in the transfer syntax it is stored in or, where it is uncompressed or can be decoded,
    /// in Explicit or Implicit VR Little Endian.
    fn open(&self, object: &Self::Stored, transfer_syntax: &Uid) -> Result<DataSet, RetrieveError>;
}

/// An object that can be sent.
pub(crate) trait Stored: Sync {
    /// SOP Class UID.
    fn sop_class(&self) -> &Uid;
    /// SOP Instance UID.
    fn sop_instance(&self) -> &Uid;
    /// The transfer syntax it is stored in.
    fn syntax(&self) -> &Uid;
    /// From now on it is as it was received, without the correction of its study.
    fn as_received(&mut self) {}
}

/// An answer being read.
pub(crate) trait Search {
    /// The next rows, at most `limit`.
    fn page(&mut self, limit: usize) -> Result<SearchPage, FindError>;
}

/// An object on its way in.
pub(crate) trait Incoming {
    /// The next bytes of the data set.
    fn write(&mut self, chunk: &[u8]) -> Result<(), IngestError>;

    /// Its sender wants it to be handled before others.
    fn hurry(&mut self) {}

    /// Returns when the object is durable and can be found.
    fn finish(self) -> Result<(), IngestError>;
}

/// What the C-STORE command and the presentation context say of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) sop_class: Uid,
    pub(crate) sop_instance: Uid,
    pub(crate) transfer_syntax: Uid,
}

impl Receiver for Arc<Archive> {
    type Incoming = archive::Incoming;
    type Search = Searching;
    type Stored = InstanceRow;

    fn identify(
        &self,
        called: &AeTitle,
        calling: &AeTitle,
        peer: IpAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Source, Unknown> {
        Archive::identify(self, called, calling, peer, certificate)
    }

    fn receive(&self, source: &Source, object: Announced) -> Result<Self::Incoming, IngestError> {
        let Announced { sop_class, sop_instance, transfer_syntax } = object;
        Archive::receive(self, source, Via::CStore, Form::DataSet { sop_class, sop_instance, transfer_syntax })
    }

    fn search(&self, source: &Source, wanted: Wanted) -> Searching {
        let scope = Scope::Facility(source.facility);
        let search = archive::search::Search::new(Caller::of_source(source), scope, wanted);
        Searching { archive: Arc::clone(self), search }
    }

    fn destination(&self, source: &Source, title: &AeTitle) -> Option<Destination> {
        Archive::destination_for(self, source, title)
    }

    fn ask_commitment(&self, commitment: Commitment) -> Result<Commitment, CommitmentError> {
        Archive::ask_commitment(self, commitment)
    }

    fn open_commitments(&self, of: Option<(&Source, &AeTitle)>) -> Vec<Commitment> {
        Archive::open_commitments(self, of)
    }

    fn is_ripe(&self, commitment: &Commitment) -> bool {
        Archive::is_ripe(self, commitment)
    }

    fn verdict(&self, commitment: &Commitment) -> Verdict {
        Archive::verdict(self, commitment)
    }

    fn close_commitment(&self, commitment: &Commitment) {
        Archive::close_commitment(self, commitment);
    }

    fn keep_notice(&self, notice: Notice) -> Result<(), NoticeError> {
        Archive::keep_notice(self, notice)
    }

    fn ups(&self) -> Option<&Arc<Ups>> {
        Some(Archive::ups(self))
    }

    fn worklist(
        &self,
        source: &Source,
        query: &WorklistQuery,
        each: &mut dyn FnMut(WorklistItem) -> bool,
    ) -> Result<(), ChartError> {
        self.charts().worklist(source.facility, query, each)
    }

    fn begin_performed(
        &self,
        source: &Source,
        station: &AeTitle,
        uid: &Uid,
        document: Map<String, Value>,
    ) -> Result<(), ChartError> {
        self.charts().begin_performed(source.facility, station, uid, document)
    }

    fn set_performed(&self, source: &Source, uid: &Uid, document: Map<String, Value>) -> Result<(), ChartError> {
        self.charts().set_performed(source.facility, uid, document)
    }

    fn select(&self, source: &Source, target: &Target) -> Result<Vec<InstanceRow>, RetrieveError> {
        let scope = Scope::Facility(source.facility);
        Ok(Archive::select(self, &Caller::of_source(source), scope, target)?.instances)
    }

    fn note_asked(&self, reader: &Reader, objects: &[InstanceRow]) {
        let studies: BTreeSet<_> = objects.iter().map(|object| &object.key.study).collect();
        studies.into_iter().for_each(|study| self.charts().note_read(reader, study, 1, 0));
    }

    fn note_given(&self, reader: &Reader, object: &InstanceRow) {
        self.charts().note_read(reader, &object.key.study, 0, 1);
    }

    fn open(&self, object: &InstanceRow, transfer_syntax: &Uid) -> Result<DataSet, RetrieveError> {
        opened(self, object, transfer_syntax).map_err(|error| match error {
            DecodeError::Retrieve(error) => error,
            other => RetrieveError::Unavailable { what: other.to_string() },
        })
    }
}

/// The data set of an object of the archive in a transfer syntax.
///
/// # Errors
/// When it is not there, or not to be had in that form.
pub(crate) fn opened(
    archive: &Arc<Archive>,
    object: &InstanceRow,
    transfer_syntax: &Uid,
) -> Result<DataSet, DecodeError> {
    archive.reach_files(std::slice::from_ref(object))?;
    archive.transcoded(object, transfer_syntax.as_str())
}

impl Stored for InstanceRow {
    fn sop_class(&self) -> &Uid {
        &self.sop_class
    }

    fn sop_instance(&self) -> &Uid {
        &self.sop_instance
    }

    fn syntax(&self) -> &Uid {
        &self.transfer_syntax
    }

    fn as_received(&mut self) {
        self.correction = None;
    }
}

/// A search with the archive it goes through.
pub(crate) struct Searching {
    archive: Arc<Archive>,
    search: archive::search::Search,
}

impl Search for Searching {
    fn page(&mut self, limit: usize) -> Result<SearchPage, FindError> {
        self.search.page(&self.archive, limit)
    }
}

impl Incoming for archive::Incoming {
    fn write(&mut self, chunk: &[u8]) -> Result<(), IngestError> {
        archive::Incoming::write(self, chunk)
    }

    fn hurry(&mut self) {
        archive::Incoming::hurry(self);
    }

    fn finish(self) -> Result<(), IngestError> {
        archive::Incoming::finish(self).map(|_| ())
    }
}
