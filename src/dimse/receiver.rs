//! What the protocol needs from the archive, and nothing more.
//!
//! The archive is one implementation; the other one keeps objects in memory and fails on demand, so that the
//! protocol's behaviour in bad hours can be tested.

use archive::search::{SearchPage, Wanted};
use archive::{Archive, FindError, Form, IngestError, Unknown};
use model::{AeTitle, Caller, Scope, Source, Uid, Via};
use std::net::IpAddr;
use std::sync::Arc;

/// Who takes the objects and answers what is there.
pub(crate) trait Receiver: Clone + Send + Sync + 'static {
    /// An object on its way in; dropped, it leaves nothing behind.
    type Incoming: Incoming;
    /// An answer being read.
    type Search: Search;

    /// The source behind an association request.
    fn identify(&self, called: &AeTitle, calling: &AeTitle, peer: IpAddr) -> Result<Source, Unknown>;

    /// Begins an object.
    fn receive(&self, source: &Source, object: Announced) -> Result<Self::Incoming, IngestError>;

    /// Begins an answer for a source, which sees what its facility has.
    fn search(&self, source: &Source, wanted: Wanted) -> Self::Search;
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

    fn identify(&self, called: &AeTitle, calling: &AeTitle, peer: IpAddr) -> Result<Source, Unknown> {
        Archive::identify(self, called, calling, peer, None)
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

    fn finish(self) -> Result<(), IngestError> {
        archive::Incoming::finish(self).map(|_| ())
    }
}
