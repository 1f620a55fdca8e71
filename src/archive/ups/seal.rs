//! Data sets of steps, events and filters under keys: what is in the journal, or in an old copy of it, says nothing once
//! the key is gone (docs/adr/0012).
//!
//! A step has a key of its own from its creation on, which every version of it and every event about it share. The key
//! goes when the step is forgotten, or with the destruction of a study that the step names. The filter of a subscription
//! has a key of its own, too, which goes when it is taken back.

use super::event::Event;
use super::matching::{Keys, leaves};
use super::record::{Global, Noted, Sealed, UpsRecord};
use super::state::Step;
use super::{Document, Ups, UpsError, bloom};
use crate::seal::Lock;
use model::{AeTitle, FacilityCode, PackId, Uid};
use std::collections::BTreeSet;
use store::StoreError;
use store::keys::DataKey;

/// Study Instance UID.
const STUDY: &str = "0020000D";
/// Keys kept open.
pub(super) const OPEN_MAX: u64 = 4_096;

/// What a sealed data set is bound to: its key's name and the facility.
fn about(seal: PackId, facility: FacilityCode) -> Vec<u8> {
    [b"khoanh step 1".as_slice(), seal.as_bytes(), facility.as_bytes()].concat()
}

/// What an event is bound to: the key's name, the facility and its number.
fn about_event(seal: PackId, facility: FacilityCode, seq: u64) -> Vec<u8> {
    [b"khoanh event 1".as_slice(), seal.as_bytes(), facility.as_bytes(), &seq.to_le_bytes()].concat()
}

/// What a filter is bound to: its key's name and the facility.
fn about_filter(seal: PackId, facility: FacilityCode) -> Vec<u8> {
    [b"khoanh filter 1".as_slice(), seal.as_bytes(), facility.as_bytes()].concat()
}

/// Whether a data set names a study, and whether it names others.
fn names(document: &Document, study: &Uid) -> (bool, bool) {
    let (mut named, mut others) = (false, false);
    leaves(document, &mut |tag, value| {
        let of_study = tag == STUDY;
        named |= of_study && value.trim() == study.as_str();
        others |= of_study && value.trim() != study.as_str();
    });
    (named, others)
}

/// A step whose key was destroyed is forgotten; any other failure passes.
fn closed(error: StoreError) -> UpsError {
    match error {
        StoreError::KeyDestroyed { .. } => UpsError::Unknown,
        error => UpsError::Unavailable(error.to_string()),
    }
}

impl Ups {
    /// Makes a key, durable on return.
    pub(super) fn new_seal(&self, facility: FacilityCode) -> Result<PackId, UpsError> {
        self.keys.create(facility, self.now_ms()).map_err(closed)
    }

    /// The data set as it is recorded.
    pub(super) fn sealed(&self, facility: FacilityCode, seal: PackId, text: &[u8]) -> Result<Vec<u8>, UpsError> {
        self.key(seal)?.seal_bytes(&about(seal, facility), text).map_err(closed)
    }

    /// The data set that was recorded.
    pub(super) fn unsealed(&self, facility: FacilityCode, seal: PackId, bytes: &[u8]) -> Result<Document, UpsError> {
        let text = self.key(seal)?.open_bytes(&about(seal, facility), bytes).map_err(closed)?;
        serde_json::from_slice(&text).map_err(|error| UpsError::Unavailable(error.to_string()))
    }

    fn key(&self, seal: PackId) -> Result<DataKey, UpsError> {
        self.keys.get(seal).map_err(closed)
    }

    /// Whether a step's key is there and opens; a failure of the disk is one.
    pub(super) fn opens(&self, seal: PackId) -> Result<Lock, UpsError> {
        self.keys.lock_of(seal).map_err(closed)
    }

    /// Destroys the keys of forgotten steps, when it is durable that they are.
    pub(super) fn destroy_keys(&self) -> Result<(), UpsError> {
        let doomed = self.state.read().doomed.clone();
        if doomed.is_empty() {
            return Ok(());
        }
        self.journal.sync().map_err(closed)?;
        for seal in doomed {
            self.keys.destroy(seal).map_err(closed)?;
            self.state.write().doomed.remove(&seal);
        }
        Ok(())
    }

    /// The keys of a facility's steps that go with a study: those that name it, and have ended or name no other. One
    /// that goes on and names others too is work that is still to be done; it goes when it has ended.
    ///
    /// # Errors
    /// When the journal or the key store cannot be read. A step that nobody can open stops no destruction.
    pub(crate) fn seals_about(&self, facility: FacilityCode, study: &Uid) -> Result<Vec<PackId>, UpsError> {
        let wanted = bloom::bits(STUDY, study.as_str());
        let candidates: Vec<Uid> = {
            let state = self.state.read();
            let steps = state.shelves.get(&facility).into_iter().flat_map(|shelf| &shelf.steps);
            steps.filter(|(_, step)| step.marks & wanted == wanted).map(|(uid, _)| uid.clone()).collect()
        };
        let mut seals = Vec::new();
        for uid in candidates {
            let seal = self.state.read().step(facility, &uid).and_then(|step| step.seal);
            if let Some(seal) = seal
                && self.opens(seal)? == Lock::Shut
            {
                tracing::warn!(%facility, %uid, "the key of a procedure step is missing or does not open: it is passed over");
                continue;
            }
            let (step, document) = match self.load(facility, &uid) {
                Err(UpsError::Unknown) => continue,
                read => read?,
            };
            let (named, others) = names(&document, study);
            if named && (step.state.is_final() || !others) {
                seals.extend(step.seal);
            }
        }
        seals.extend(self.filters_about(facility, study));
        Ok(seals)
    }

    /// The keys of filters that name a study and no other.
    fn filters_about(&self, facility: FacilityCode, study: &Uid) -> Vec<PackId> {
        let filters: Vec<Sealed> = {
            let state = self.state.read();
            let subscribers = state.shelves.get(&facility).into_iter().flat_map(|shelf| shelf.subscribers.values());
            subscribers.filter_map(|one| one.global.as_ref()?.0.sealed.clone()).collect()
        };
        let about = |sealed: &Sealed| match self.filter_of(facility, sealed) {
            Ok(filter) => names(&filter, study) == (true, false),
            Err(error) => {
                tracing::warn!(%facility, %error, "the filter of a subscription does not open: it is passed over");
                false
            }
        };
        filters.iter().filter(|sealed| about(sealed)).map(|sealed| sealed.seal).collect()
    }

    /// Keys were destroyed with a study: their steps are forgotten.
    pub(crate) fn forget_sealed(&self, seals: &[PackId]) -> Result<(), UpsError> {
        seals.iter().for_each(|seal| self.keys.forget(*seal));
        let seals: BTreeSet<PackId> = seals.iter().copied().collect();
        let filters: Vec<(FacilityCode, AeTitle, PackId)> = {
            let state = self.state.read();
            let all = state.shelves.iter().flat_map(|(facility, shelf)| {
                let sealed = shelf.subscribers.iter().filter_map(|(title, one)| Some((title, one.filter_seal()?)));
                let gone = sealed.filter(|(_, seal)| seals.contains(seal));
                gone.map(|(title, seal)| (*facility, title.clone(), seal))
            });
            all.collect()
        };
        self.end_filters(filters)?;
        let gone: Vec<(FacilityCode, Uid)> = {
            let state = self.state.read();
            let all = state.shelves.iter().flat_map(|(facility, shelf)| {
                let sealed = shelf.steps.iter().filter(|(_, step)| step.seal.is_some_and(|seal| seals.contains(&seal)));
                sealed.map(|(uid, _)| (*facility, uid.clone()))
            });
            all.collect()
        };
        for (facility, uid) in gone {
            let _change = self.change.lock();
            self.append(UpsRecord::Gone { facility, uid }, None, false)?;
        }
        Ok(())
    }
}

/// Events and filters.
impl Ups {
    /// The key of a step; one that lies in clear is recorded again sealed. The caller holds `change`.
    pub(super) fn seal_of(&self, facility: FacilityCode, uid: &Uid, step: &Step) -> Result<PackId, UpsError> {
        if let Some(seal) = step.seal {
            return Ok(seal);
        }
        let lies = self.lying(step)?;
        let seal = self.new_seal(facility)?;
        let body = self.sealed(facility, seal, &lies)?;
        self.record_again(facility, uid, step, seal, body)?;
        Ok(seal)
    }

    /// An event as it is recorded, under the key of its step.
    pub(super) fn noted(&self, seal: PackId, event: Event, to: Vec<AeTitle>) -> Result<Noted, UpsError> {
        let Event { seq, facility, uid, kind, info, at } = event;
        let text = serde_json::to_vec(&info).map_err(|error| UpsError::Unavailable(error.to_string()))?;
        let text = self.key(seal)?.seal_text(&about_event(seal, facility, seq), &text).map_err(closed)?;
        Ok(Noted { seq, facility, uid, kind, info: None, sealed: Some(Sealed { seal, text }), at, to })
    }

    /// The event that was recorded; [`UpsError::Unknown`] when its key went with its step.
    pub(super) fn told(&self, noted: &Noted) -> Result<Event, UpsError> {
        let Noted { seq, facility, kind, at, .. } = *noted;
        let info = match &noted.sealed {
            Some(sealed) => self.text_of(sealed, &about_event(sealed.seal, facility, seq))?,
            None => noted.info.clone().unwrap_or_default(),
        };
        Ok(Event { seq, facility, uid: noted.uid.clone(), kind, info, at })
    }

    fn text_of(&self, sealed: &Sealed, about: &[u8]) -> Result<Document, UpsError> {
        let text = self.key(sealed.seal)?.open_text(about, &sealed.text).map_err(closed)?;
        serde_json::from_slice(&text).map_err(|error| UpsError::Unavailable(error.to_string()))
    }

    /// A filter under a key: the one of its subscription, where that has the same filter.
    pub(super) fn kept_filter(
        &self,
        facility: FacilityCode,
        title: &AeTitle,
        filter: &Document,
    ) -> Result<Sealed, UpsError> {
        let known = self.state.read().filter_of(facility, title);
        match known.filter(|known| self.filter_of(facility, known).as_ref() == Ok(filter)) {
            Some(known) => Ok(known),
            None => self.sealed_filter(facility, filter),
        }
    }

    /// A filter under a new key.
    fn sealed_filter(&self, facility: FacilityCode, filter: &Document) -> Result<Sealed, UpsError> {
        let seal = self.new_seal(facility)?;
        let text = serde_json::to_vec(filter).map_err(|error| UpsError::Unavailable(error.to_string()))?;
        let text = self.key(seal)?.seal_text(&about_filter(seal, facility), &text).map_err(closed)?;
        Ok(Sealed { seal, text })
    }

    fn filter_of(&self, facility: FacilityCode, sealed: &Sealed) -> Result<Document, UpsError> {
        self.text_of(sealed, &about_filter(sealed.seal, facility))
    }

    /// Opens the filters that were not opened yet. Whose filter does not open is told of nothing until it does; the
    /// subscriptions are returned whose filter is gone for good.
    pub(super) fn open_filters(&self) -> Vec<(FacilityCode, AeTitle, PackId)> {
        let unopened = self.state.read().unopened();
        let mut lost = Vec::new();
        for (facility, title, sealed) in unopened {
            match self.filter_of(facility, &sealed).and_then(|filter| Keys::read(&filter)) {
                Ok(keys) => self.state.write().opened(facility, &title, &sealed, keys),
                Err(UpsError::Unknown) => lost.push((facility, title, sealed.seal)),
                Err(error) => {
                    tracing::warn!(%facility, %title, %error, "the filter of a subscription does not open: nothing is told");
                }
            }
        }
        lost
    }

    /// Ends the subscriptions whose filter is gone for good.
    pub(super) fn end_lost_filters(&self) -> Result<(), UpsError> {
        self.end_filters(self.open_filters())
    }

    fn end_filters(&self, of: Vec<(FacilityCode, AeTitle, PackId)>) -> Result<(), UpsError> {
        for (facility, title, seal) in of {
            let _change = self.change.lock();
            // Whoever has subscribed anew meanwhile stays.
            if self.state.read().filter_of(facility, &title).is_none_or(|filter| filter.seal != seal) {
                continue;
            }
            let record = UpsRecord::Global { facility, title, global: None, clears: false, events: Vec::new() };
            self.append(record, None, false)?;
        }
        Ok(())
    }

    /// A record in clear, as earlier programs made them, becomes a sealed one. What an event says whose step is forgotten
    /// has no key any more: it is dropped.
    pub(super) fn sealed_again(&self, record: UpsRecord) -> Result<UpsRecord, UpsError> {
        match record {
            UpsRecord::Global { facility, title, global: Some(before), clears, events } => {
                let Global { lock, filter, sealed, until } = before;
                let sealed = match &filter {
                    Some(filter) => Some(self.sealed_filter(facility, filter)?),
                    None => sealed,
                };
                let global = Some(Global { lock, filter: None, sealed, until });
                Ok(UpsRecord::Global { facility, title, global, clears, events })
            }
            UpsRecord::Events { events } => {
                let events = events.into_iter().filter_map(|event| self.sealed_event(event)).collect();
                Ok(UpsRecord::Events { events })
            }
            record => Ok(record),
        }
    }

    fn sealed_event(&self, noted: Noted) -> Option<Noted> {
        if !noted.is_clear() {
            return Some(noted);
        }
        let step = self.state.read().step(noted.facility, &noted.uid).cloned()?;
        let again = self.seal_of(noted.facility, &noted.uid, &step).and_then(|seal| {
            let event = self.told(&noted)?;
            self.noted(seal, event, noted.to.clone())
        });
        match again {
            Ok(sealed) => Some(sealed),
            Err(UpsError::Unknown) => None,
            Err(error) => {
                tracing::warn!(%error, "an event of a procedure step stays in clear");
                Some(noted)
            }
        }
    }
}
