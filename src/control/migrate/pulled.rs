//! What a migration fetches: each object streams into the archive, and its fate is kept for the reconciliation.

use archive::{Archive, Form, Incoming, IngestError, StoredKind};
use dimse::scu::pull::Taker;
use model::facility::CharsetHint;
use model::{FacilityCode, Source, Uid, Via};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Transfer syntaxes in which each class is proposed: the other archive sends what it has as it has it.
const SYNTAXES: [&str; 10] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.100",
];
/// Those proposed where the classes are not told, for then there are many.
const FEW: [&str; 2] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"];
/// Presentation contexts left beside that of C-GET.
const CONTEXTS: usize = dimse::scu::CONTEXTS_MAX - 1;

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

/// Which classes to propose in which syntaxes, association after association.
pub(super) fn proposals(told: &BTreeSet<&String>) -> Vec<(Vec<String>, Vec<&'static str>)> {
    let (classes, syntaxes): (Vec<String>, &[&str]) = if told.is_empty() {
        let known = dimse::storage_sop_classes().iter().filter(|class| !class.retired);
        (known.map(|class| class.uid.to_owned()).collect(), &FEW)
    } else {
        (told.iter().map(|class| (*class).clone()).collect(), &SYNTAXES)
    };
    let room = (CONTEXTS / syntaxes.len()).max(1);
    classes.chunks(room).map(|some| (some.to_vec(), syntaxes.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_association_needs_more_contexts_than_there_are() {
        let classes: Vec<String> = (0..40).map(|number| format!("1.2.{number}")).collect();
        for told in [BTreeSet::new(), classes.iter().collect()] {
            let proposals = proposals(&told);
            assert!(proposals.len() > 1);
            assert!(proposals.iter().all(|(classes, syntaxes)| classes.len() * syntaxes.len() <= CONTEXTS));
            let all: usize = proposals.iter().map(|(classes, _)| classes.len()).sum();
            assert!(told.is_empty() || all == told.len());
        }
    }
}
