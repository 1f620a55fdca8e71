//! What a migration fetches: each object streams into the archive, and its fate is kept for the reconciliation.

use archive::{Archive, Form, Incoming, IngestError, StoredKind};
use dimse::scu::pull::Taker;
use model::facility::{CharsetHint, Letters};
use model::{FacilityCode, Source, Uid, Via};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Moved,
    Equal,
    Conflict,
    Refused(String),
}

/// The objects of a study as they come.
pub(super) struct Pulled<'a> {
    archive: &'a Arc<Archive>,
    source: Source,
    current: Option<(String, Result<Incoming, IngestError>)>,
    pub(super) fates: BTreeMap<String, Fate>,
    pub(super) bytes: u64,
    /// How the last fetch was answered.
    pub(super) said: String,
    /// The archive takes nothing more, whatever it is.
    pub(super) full: Option<String>,
}

impl<'a> Pulled<'a> {
    pub(super) fn new(archive: &'a Arc<Archive>, facility: FacilityCode) -> Self {
        let source = Source {
            id: format!("migrate-{facility}"),
            facility,
            called: None,
            calling: None,
            addresses: Vec::new(),
            certificate: None,
            charset: CharsetHint::Auto,
            letters: Letters::Asked,
            issuer: String::new(),
            disabled: false,
        };
        let (fates, said) = (BTreeMap::new(), "it was not sent".to_owned());
        Self { archive, source, current: None, fates, bytes: 0, said, full: None }
    }

    fn receive(&self, sop_class: &str, sop_instance: &str, transfer_syntax: &str) -> Result<Incoming, IngestError> {
        let wrong = |what: &str| IngestError::MissingIdentity { what: what.to_owned() };
        let form = Form::DataSet {
            sop_class: Uid::parse(sop_class).map_err(|_| wrong("SOP Class UID"))?,
            sop_instance: Uid::parse(sop_instance).map_err(|_| wrong("SOP Instance UID"))?,
            transfer_syntax: Uid::parse(transfer_syntax).map_err(|_| wrong("transfer syntax"))?,
        };
        self.archive.receive(&self.source, Via::CStore, form)
    }
}

impl Taker for Pulled<'_> {
    fn begin(&mut self, sop_class: &str, sop_instance: &str, transfer_syntax: &str) {
        let incoming = self.receive(sop_class, sop_instance, transfer_syntax);
        self.current = Some((sop_instance.to_owned(), incoming));
    }

    fn write(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Some((_, incoming)) = &mut self.current
            && let Ok(open) = incoming
            && let Err(error) = open.write(bytes)
        {
            *incoming = Err(error);
        }
    }

    fn finish(&mut self) -> u16 {
        let Some((instance, incoming)) = self.current.take() else { return 0xC000 };
        let (fate, status) = match incoming.and_then(Incoming::finish) {
            // Fetched twice it is the same again, and was moved all the same.
            Ok(_) if self.fates.contains_key(&instance) => return 0,
            Ok(stored) => match stored.kind {
                StoredKind::New => (Fate::Moved, 0),
                StoredKind::Same => (Fate::Equal, 0),
                StoredKind::Conflict => (Fate::Conflict, 0),
            },
            Err(IngestError::OutOfSpace | IngestError::Busy | IngestError::Unavailable { .. }) => {
                self.full = Some("it is full, busy or stopping".into());
                return 0xA700;
            }
            Err(error) => (Fate::Refused(error.to_string()), 0xC000),
        };
        self.fates.insert(instance, fate);
        status
    }
}
