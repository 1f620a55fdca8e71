//! What the protocol needs from the archive, and nothing more.
//!
//! The archive is one implementation; the other one keeps objects in memory and fails on demand, so that the
//! protocol's behaviour in bad hours can be tested.

use archive::{Archive, Form, IngestError, Unknown};
use model::{AeTitle, Source, Uid, Via};
use std::net::IpAddr;
use std::sync::Arc;

/// Who takes the objects.
pub(crate) trait Receiver: Clone + Send + Sync + 'static {
    /// An object on its way in; dropped, it leaves nothing behind.
    type Incoming: Incoming;

    /// The source behind an association request.
    fn identify(&self, called: &AeTitle, calling: &AeTitle, peer: IpAddr) -> Result<Source, Unknown>;

    /// Begins an object.
    fn receive(&self, source: &Source, object: Announced) -> Result<Self::Incoming, IngestError>;
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

    fn identify(&self, called: &AeTitle, calling: &AeTitle, peer: IpAddr) -> Result<Source, Unknown> {
        Archive::identify(self, called, calling, peer, None)
    }

    fn receive(&self, source: &Source, object: Announced) -> Result<Self::Incoming, IngestError> {
        let Announced { sop_class, sop_instance, transfer_syntax } = object;
        Archive::receive(self, source, Via::CStore, Form::DataSet { sop_class, sop_instance, transfer_syntax })
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
