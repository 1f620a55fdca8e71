//! The key store and the epoch keys that wrap its keys: of sealed packs, and of facts with patient data.
//!
//! Opened by whoever needs it first, so that an archive without a cloud that never recorded a hold has none.
//! Deliberately not here: when a key is made or destroyed.

use super::copied::EpochName;
use super::epochs::Epochs;
use super::options::KeyOptions;
use crate::options::Options;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::keys::KeyStore;
use store::{RealDisk, StoreError};

/// Both, open.
pub(crate) struct Ring {
    pub(crate) keys: KeyStore,
    pub(crate) epochs: Arc<Epochs>,
}

impl Ring {
    pub(super) fn open(options: &KeyOptions, data: &Path) -> Result<Self, StoreError> {
        let epochs = Arc::new(Epochs::open(&options.epochs, data)?);
        let keys = KeyStore::open(Arc::new(RealDisk), options.copies(data), Arc::clone(&epochs) as _)?;
        Ok(Self { keys, epochs })
    }
}

/// Where they are.
pub(crate) struct KeyRing {
    options: KeyOptions,
    data: PathBuf,
    open: Mutex<Option<Arc<Ring>>>,
}

impl KeyRing {
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.keys.clone(), data: options.data.clone(), open: Mutex::default() }
    }

    /// Opens them, or makes them when there are none.
    ///
    /// # Errors
    /// Those of the key store and of what holds the epoch keys.
    pub(crate) fn open(&self) -> Result<Arc<Ring>, StoreError> {
        let mut open = self.open.lock();
        if let Some(ring) = open.as_ref() {
            return Ok(Arc::clone(ring));
        }
        let ring = Arc::new(Ring::open(&self.options, &self.data)?);
        *open = Some(Arc::clone(&ring));
        Ok(ring)
    }

    /// The newest epoch key of each facility of which no copy is known. Where nobody needed a key since the start, the
    /// key store is opened for the question if there is one.
    pub(crate) fn without_copy(&self) -> Vec<EpochName> {
        let is_there = |dir: &PathBuf| dir.join("KEYS").exists();
        if self.open.lock().is_none() && !self.options.copies(&self.data).iter().any(is_there) {
            return Vec::new();
        }
        // What is wrong with the keys is said by whoever needs them.
        self.open().map(|ring| ring.epochs.without_copy()).unwrap_or_default()
    }
}
