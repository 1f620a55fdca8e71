//! Facts with patient data: sealed when they are recorded, opened when they are read, dumb when their key is gone
//! (docs/adr/0012).
//!
//! Beside them the keys of what has a journal of its own, procedure steps and charts, the last used ones open in memory.
//! Deliberately not here: which keys go with a study ([`crate::retain`]).

use crate::error::OpenError;
use crate::tier::{KeyRing, Ring};
use model::retention::RetentionFact;
use model::{FacilityCode, Fact, Lsn, PackId, SealedFact};
use moka::sync::Cache;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use store::StoreError;
use store::keys::DataKey;

/// Most keys of a facility made by the same syncs.
const AHEAD_MAX: usize = 256;

/// What a key comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Opens,
    Destroyed,
    /// The key, or what wraps it, is not at hand.
    Shut,
}

/// Keys of what is recorded elsewhere than among the facts.
pub(crate) struct OpenKeys {
    ring: Arc<KeyRing>,
    open: Cache<PackId, DataKey>,
    ahead: Mutex<HashMap<FacilityCode, Arc<Mutex<Ahead>>>>,
}

/// Keys of a facility that are durable and that nobody has used.
#[derive(Default)]
struct Ahead {
    ready: Vec<PackId>,
    /// So many were made the last time.
    made: usize,
}

impl OpenKeys {
    /// So many stay open.
    pub(crate) fn new(ring: Arc<KeyRing>, most: u64) -> Self {
        Self { ring, open: Cache::new(most), ahead: Mutex::default() }
    }

    /// What holds them.
    pub(crate) fn open(&self) -> Result<Arc<Ring>, StoreError> {
        self.ring.open()
    }

    /// Makes a key, durable on return.
    pub(crate) fn create(&self, facility: FacilityCode, now: u64) -> Result<PackId, StoreError> {
        let ring = self.open()?;
        ring.epochs.begin_first(facility, now)?;
        let seal = store::draw_pack_id(now)?;
        self.open.insert(seal, ring.keys.create(facility, seal)?);
        Ok(seal)
    }

    /// A key that nobody has used, durable on return. Whoever wants one when none is left makes twice as many as were made
    /// the last time, by the same syncs; those who come meanwhile wait for them. So a storm of new names costs few syncs,
    /// and no more keys are left over than were used.
    pub(crate) fn draw(&self, facility: FacilityCode, now: u64) -> Result<PackId, StoreError> {
        let ahead = Arc::clone(self.ahead.lock().entry(facility).or_default());
        let mut ahead = ahead.lock();
        if let Some(seal) = ahead.ready.pop() {
            return Ok(seal);
        }
        let ring = self.open()?;
        ring.epochs.begin_first(facility, now)?;
        let count = ahead.made.saturating_mul(2).clamp(1, AHEAD_MAX);
        let made = ring.keys.create_some(facility, count, now)?;
        ahead.made = count;
        for (seal, key) in made {
            self.open.insert(seal, key);
            ahead.ready.push(seal);
        }
        match ahead.ready.pop() {
            Some(seal) => Ok(seal),
            None => self.create(facility, now),
        }
    }

    /// A drawn key was not used after all.
    pub(crate) fn give_back(&self, facility: FacilityCode, seal: PackId) {
        let ahead = Arc::clone(self.ahead.lock().entry(facility).or_default());
        ahead.lock().ready.push(seal);
    }

    /// A key.
    pub(crate) fn get(&self, seal: PackId) -> Result<DataKey, StoreError> {
        if let Some(key) = self.open.get(&seal) {
            return Ok(key);
        }
        let key = self.open()?.keys.get(seal)?;
        self.open.insert(seal, key.clone());
        Ok(key)
    }

    /// Whether a key is there and opens; a failure of the disk is an error.
    pub(crate) fn lock_of(&self, seal: PackId) -> Result<Lock, StoreError> {
        match self.open().and_then(|ring| ring.keys.get(seal)) {
            Ok(_) => Ok(Lock::Opens),
            Err(StoreError::KeyDestroyed { .. }) => Ok(Lock::Destroyed),
            Err(StoreError::KeyMissing { .. } | StoreError::KeyClosed { .. }) => Ok(Lock::Shut),
            Err(error) => Err(error),
        }
    }

    /// Destroys a key.
    pub(crate) fn destroy(&self, seal: PackId) -> Result<(), StoreError> {
        match self.open()?.keys.destroy(seal) {
            // A key store may have been brought back that is older than the key.
            Ok(_) | Err(StoreError::KeyMissing { .. }) => {}
            Err(error) => return Err(error),
        }
        self.forget(seal);
        Ok(())
    }

    /// A key was destroyed elsewhere.
    pub(crate) fn forget(&self, seal: PackId) {
        self.open.invalidate(&seal);
    }
}

/// What a sealed text is bound to: its key's name and the facility.
fn about(seal: PackId, facility: FacilityCode) -> Vec<u8> {
    [b"khoanh fact 1".as_slice(), seal.as_bytes(), facility.as_bytes()].concat()
}

impl KeyRing {
    /// The fact as it is to be recorded, and as it is: with patient data in it, it gets a key of its own. `now` in
    /// milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// Those of the key store: then nothing is to be recorded.
    pub(crate) fn seal(
        &self,
        facility: FacilityCode,
        fact: RetentionFact,
        now: u64,
    ) -> Result<(Fact, RetentionFact), StoreError> {
        if !fact.has_patient_data() {
            return Ok((Fact::Retention(Box::new(fact.clone())), fact));
        }
        let ring = self.open()?;
        ring.epochs.begin_first(facility, now)?;
        let seal = store::draw_pack_id(now)?;
        let fact = fact.sealed_by(seal);
        let unwritten = |_| StoreError::Envelope { what: "a fact is no JSON" };
        let text = serde_json::to_vec(&fact).map_err(unwritten)?;
        let text = ring.keys.create(facility, seal)?.seal_text(&about(seal, facility), &text)?;
        let opened = Some(Box::new(Fact::Retention(Box::new(fact.clone()))));
        let sealed = SealedFact { seal, facility, study: fact.study().cloned(), text, opened };
        Ok((Fact::Sealed(Box::new(sealed)), fact))
    }

    /// Opens a sealed fact; one whose key was destroyed stays as it is, and says nothing.
    ///
    /// # Errors
    /// When the key should be there and is not, or does not open it: a hold that is not read would let a study go.
    pub(crate) fn opened(&self, lsn: Lsn, fact: Fact) -> Result<Fact, OpenError> {
        match fact {
            Fact::Forwarded { lsn, was } => Ok(Fact::Forwarded { lsn, was: Box::new(self.opened(lsn, *was)?) }),
            Fact::Sealed(mut sealed) => {
                let unread = |error: &dyn std::fmt::Display| OpenError::Fact {
                    lsn,
                    what: format!(
                        "it is sealed and does not open: {error}; are the key store and the epoch keys there?"
                    ),
                };
                let key = match self.open().map_err(|e| unread(&e))?.keys.get(sealed.seal) {
                    Ok(key) => key,
                    Err(StoreError::KeyDestroyed { .. }) => return Ok(Fact::Sealed(sealed)),
                    Err(error) => return Err(unread(&error)),
                };
                let text = key.open_text(&about(sealed.seal, sealed.facility), &sealed.text).map_err(|e| unread(&e))?;
                let fact: RetentionFact = serde_json::from_slice(&text).map_err(|_| unread(&"it is no fact"))?;
                sealed.opened = Some(Box::new(Fact::Retention(Box::new(fact))));
                Ok(Fact::Sealed(sealed))
            }
            fact => Ok(fact),
        }
    }

    /// Whether a key was destroyed.
    ///
    /// # Errors
    /// Those of the key store, a key that was never there included.
    pub(crate) fn is_destroyed(&self, seal: PackId) -> Result<bool, StoreError> {
        match self.open()?.keys.get(seal) {
            Err(StoreError::KeyDestroyed { .. }) => Ok(true),
            other => other.map(|_| false),
        }
    }
}
