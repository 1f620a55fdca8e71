//! Data sets of steps under keys: what is in the journal, or in an old copy of it, says nothing once the key is gone
//! (docs/adr/0012).
//!
//! A step has a key of its own from its creation on, which every version of it shares. The key goes when the step is
//! forgotten, or with the destruction of a study that the step names.
//!
//! Deliberately not here: events and filters of subscriptions, which are recorded in clear and dropped within a week or
//! taken back.

use super::matching::leaves;
use super::record::UpsRecord;
use super::{Document, Ups, UpsError, bloom};
use model::{FacilityCode, PackId, Uid};
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

/// A step whose key was destroyed is forgotten; any other failure passes.
fn closed(error: StoreError) -> UpsError {
    match error {
        StoreError::KeyDestroyed { .. } => UpsError::Unknown,
        error => UpsError::Unavailable(error.to_string()),
    }
}

/// What a key comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Opens,
    Destroyed,
    /// The key, or what wraps it, is not at hand.
    Shut,
}

impl Ups {
    /// Makes a key, durable on return.
    pub(super) fn new_seal(&self, facility: FacilityCode) -> Result<PackId, UpsError> {
        let now = self.now_ms();
        let made = || -> Result<PackId, StoreError> {
            let ring = self.keys.open()?;
            ring.epochs.begin_first(facility, now)?;
            let seal = store::draw_pack_id(now)?;
            self.open_keys.insert(seal, ring.keys.create(facility, seal)?);
            Ok(seal)
        };
        made().map_err(closed)
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
        if let Some(key) = self.open_keys.get(&seal) {
            return Ok(key);
        }
        let key = self.keys.open().and_then(|ring| ring.keys.get(seal)).map_err(closed)?;
        self.open_keys.insert(seal, key.clone());
        Ok(key)
    }

    /// Whether a step's key is there and opens; a failure of the disk is one.
    pub(super) fn opens(&self, seal: PackId) -> Result<Lock, UpsError> {
        match self.keys.open().and_then(|ring| ring.keys.get(seal)) {
            Ok(_) => Ok(Lock::Opens),
            Err(StoreError::KeyDestroyed { .. }) => Ok(Lock::Destroyed),
            Err(StoreError::KeyMissing { .. } | StoreError::KeyClosed { .. }) => Ok(Lock::Shut),
            Err(error) => Err(closed(error)),
        }
    }

    /// Destroys the keys of forgotten steps, when it is durable that they are.
    pub(super) fn destroy_keys(&self) -> Result<(), UpsError> {
        let doomed = self.state.read().doomed.clone();
        if doomed.is_empty() {
            return Ok(());
        }
        self.journal.sync().map_err(closed)?;
        let ring = self.keys.open().map_err(closed)?;
        for seal in doomed {
            match ring.keys.destroy(seal) {
                // A key store may have been brought back that is older than the key.
                Ok(_) | Err(StoreError::KeyMissing { .. }) => {}
                Err(error) => return Err(closed(error)),
            }
            self.open_keys.invalidate(&seal);
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
            let (mut named, mut others) = (false, false);
            leaves(&document, &mut |tag, value| {
                let of_study = tag == STUDY;
                named |= of_study && value.trim() == study.as_str();
                others |= of_study && value.trim() != study.as_str();
            });
            if named && (step.state.is_final() || !others) {
                seals.extend(step.seal);
            }
        }
        Ok(seals)
    }

    /// Keys were destroyed with a study: their steps are forgotten.
    pub(crate) fn forget_sealed(&self, seals: &[PackId]) -> Result<(), UpsError> {
        seals.iter().for_each(|seal| self.open_keys.invalidate(seal));
        let seals: BTreeSet<PackId> = seals.iter().copied().collect();
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
