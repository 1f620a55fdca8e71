//! What a migration fetches: each object streams into the archive, and its fate is kept for the reconciliation.

use archive::{Archive, Form, Incoming, IngestError, Stored, StoredKind};
use dataset::part10::Part10;
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

/// Bytes of a file's beginning kept to name a refused object.
const HEAD: usize = 8 << 10;

/// The objects of a study as they come.
pub(super) struct Pulled<'a> {
    archive: &'a Arc<Archive>,
    source: Source,
    current: Option<Current>,
    pub(super) fates: BTreeMap<String, Fate>,
    pub(super) bytes: u64,
    /// How the last fetch was answered.
    pub(super) said: String,
    /// The archive takes nothing more, whatever it is.
    pub(super) full: Option<String>,
    /// The study whose files alone are taken.
    study: Option<Uid>,
    nameless: usize,
}

/// An object that is not complete.
struct Current {
    /// Its SOP Instance UID, where that is told before its bytes are read.
    named: Option<String>,
    head: Vec<u8>,
    incoming: Result<Incoming, IngestError>,
}

impl Current {
    /// Its name: as told, else as its file meta information has it.
    fn name(&self) -> Option<String> {
        let read = || Some(Part10::new(None).feed(&self.head).ok()??.media_sop_instance.as_ref()?.as_str().to_owned());
        self.named.clone().or_else(read)
    }
}

impl<'a> Pulled<'a> {
    pub(super) fn new(archive: &'a Arc<Archive>, facility: FacilityCode) -> Self {
        let source = Source::new(format!("migrate-{facility}"), facility);
        let (fates, said) = (BTreeMap::new(), "it was not sent".to_owned());
        let (current, full, study) = (None, None, None);
        Self { archive, source, current, fates, bytes: 0, said, full, study, nameless: 0 }
    }

    /// Files come, of this study alone.
    pub(super) fn files_of(&mut self, study: &Uid) {
        (self.study, self.nameless) = (Some(study.clone()), 0);
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

    fn take(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let Some(current) = &mut self.current else { return };
        let room = HEAD.saturating_sub(current.head.len()).min(bytes.len());
        current.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        if let Ok(open) = &mut current.incoming
            && let Err(error) = open.write(bytes)
        {
            current.incoming = Err(error);
        }
    }

    /// The object is complete: its fate, and the status that answers a C-STORE.
    fn end(&mut self) -> u16 {
        let Some(current) = self.current.take() else { return 0xC000 };
        let name = current.name();
        match current.incoming.and_then(Incoming::finish) {
            Ok(stored) => {
                self.keep(&stored);
                0
            }
            Err(IngestError::OutOfSpace | IngestError::Busy | IngestError::Unavailable { .. }) => {
                self.full = Some("it is full, busy or stopping".into());
                0xA700
            }
            Err(error) => {
                self.refused(name, error.to_string());
                0xC000
            }
        }
    }

    fn keep(&mut self, stored: &Stored) {
        let fate = match stored.kind {
            StoredKind::New => Fate::Moved,
            StoredKind::Same => Fate::Equal,
            StoredKind::Conflict => Fate::Conflict,
        };
        // Fetched twice it is the same again, and was moved all the same.
        let name = stored.sop_instance.as_str();
        if !self.fates.get(name).is_some_and(|before| !matches!(before, Fate::Refused(_))) {
            self.fates.insert(name.to_owned(), fate);
        }
    }

    /// What cannot even be named is counted, too.
    fn refused(&mut self, name: Option<String>, why: String) {
        let name = name.unwrap_or_else(|| {
            self.nameless = self.nameless.saturating_add(1);
            format!("(nameless {})", self.nameless)
        });
        self.fates.entry(name).or_insert(Fate::Refused(why));
    }
}

impl dimse::scu::pull::Taker for Pulled<'_> {
    fn begin(&mut self, sop_class: &str, sop_instance: &str, transfer_syntax: &str) {
        let incoming = self.receive(sop_class, sop_instance, transfer_syntax);
        self.current = Some(Current { named: Some(sop_instance.to_owned()), head: Vec::new(), incoming });
    }

    fn write(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn finish(&mut self) -> u16 {
        self.end()
    }
}

impl web::pull::Taker for Pulled<'_> {
    fn begin(&mut self, transfer_syntax: Option<Uid>) {
        let form = Form::Part10 { transfer_syntax_hint: transfer_syntax, study: self.study.clone() };
        let incoming = self.archive.receive(&self.source, Via::Import, form);
        self.current = Some(Current { named: None, head: Vec::new(), incoming });
    }

    fn write(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn finish(&mut self) {
        self.end();
    }

    fn abandon(&mut self) {
        self.current = None;
    }

    fn refuse(&mut self, why: String) {
        self.refused(None, why);
    }
}
