//! The operator's work on the keys of sealed packs and facts: the rehearsal, a new epoch, the end of an old one.
//!
//! It deliberately never touches a pack or a fact: keys are wrapped anew in place, nothing is uploaded again.

use crate::error::TierError;
use crate::open::Archive;
use model::{FacilityCode, PackId};
use serde::Serialize;
use std::sync::Arc;

use super::ring::Ring;

/// What a rehearsal found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyState {
    /// Keys that exist; each was unwrapped once, and both copies of the store hold the same now.
    pub live: u64,
    /// Keys that were destroyed.
    pub destroyed: u64,
    /// Shards that differed between the copies and were brought level.
    pub levelled: u64,
    /// Packs whose key opens under no epoch key at hand.
    pub closed: Vec<PackId>,
    /// Keys by facility and epoch.
    pub epochs: Vec<(FacilityCode, u32, u64)>,
}

/// A new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// Its number.
    pub epoch: u32,
    /// Keys that were wrapped anew.
    pub rewrapped: u64,
}

impl Archive {
    fn ring(&self) -> Result<Arc<Ring>, TierError> {
        Ok(self.tiers().keys().open()?)
    }

    /// Reads both copies of the key store, compares every byte and unwraps every key.
    ///
    /// # Errors
    /// Those of the disks, and damage that both copies share.
    pub fn check_keys(&self) -> Result<KeyState, TierError> {
        let report = self.ring()?.keys.check()?;
        Ok(KeyState {
            live: report.live,
            destroyed: report.destroyed,
            levelled: report.levelled,
            closed: report.closed,
            epochs: report.epochs,
        })
    }

    /// Makes a new epoch key for a facility, wraps all its keys by it and retires the older ones. Broken off anywhere
    /// it goes on when called again, with one more epoch. `seen` is told shards done, of 4096.
    ///
    /// # Errors
    /// Those of key store and epoch keys.
    pub fn rotate_keys(&self, facility: FacilityCode, seen: &mut dyn FnMut(u32)) -> Result<Rotated, TierError> {
        let ring = self.ring()?;
        let epoch = ring.epochs.begin(facility, self.now_ms())?;
        let rewrapped = ring.keys.rewrap(facility, seen)?;
        ring.epochs.retire_older(facility, self.now_ms())?;
        tracing::warn!(%facility, epoch, rewrapped, "a new epoch began: back up the epoch keys now");
        Ok(Rotated { epoch, rewrapped })
    }

    /// Destroys epoch keys that were retired before `before`, milliseconds since 1970 UTC: wrapped keys in backups
    /// older than that open no more.
    ///
    /// # Errors
    /// [`TierError::Refused`] where a token holds the epoch keys; those of the key file.
    pub fn destroy_epochs(&self, before: u64) -> Result<Vec<(FacilityCode, u32)>, TierError> {
        let refused = "a token holds the epoch keys and knows no dates: destroy the old key with the device's tools";
        let destroyed = self.ring()?.epochs.destroy_retired(before)?;
        destroyed.ok_or_else(|| TierError::Refused { what: refused.into() })
    }

    /// The key of a sealed pack as 64 hexadecimal digits, for reading it without this program.
    ///
    /// # Errors
    /// Those of the key store.
    pub fn export_key(&self, pack: PackId) -> Result<String, TierError> {
        Ok(self.ring()?.keys.get(pack)?.export().to_string())
    }
}
