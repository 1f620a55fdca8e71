//! The operator's work on the keys of sealed packs and facts: the rehearsal, a new epoch, the end of an old one.
//!
//! It deliberately never touches a pack or a fact: keys are wrapped anew in place, nothing is uploaded again.

use crate::error::TierError;
use crate::open::Archive;
use model::{FacilityCode, PackId};
use serde::Serialize;
use std::path::Path;
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
        tracing::warn!(%facility, epoch, rewrapped, "a new epoch began: copy the epoch keys away now");
        Ok(Rotated { epoch, rewrapped })
    }

    /// Destroys epoch keys that were retired before `before`, milliseconds since 1970 UTC: wrapped keys in backups
    /// older than that open no more.
    ///
    /// # Errors
    /// [`TierError::Refused`] where one of them still wraps a key, after an older key store was brought back, say; those
    /// of key store and epoch keys.
    pub fn destroy_epochs(&self, before: u64) -> Result<Vec<(FacilityCode, u32)>, TierError> {
        let ring = self.ring()?;
        let due = ring.epochs.retired(before);
        if due.is_empty() {
            return Ok(due);
        }
        let wrapping = ring.keys.check()?.epochs;
        if let Some((facility, epoch, count)) =
            wrapping.into_iter().find(|(facility, epoch, _)| due.contains(&(*facility, *epoch)))
        {
            let what = format!("epoch {epoch} of {facility} still wraps {count} keys: khoanh keys rotate {facility}");
            return Err(TierError::Refused { what });
        }
        Ok(ring.epochs.destroy_retired(before)?)
    }

    /// Notes that the operator has a copy of the epoch keys elsewhere: the file is read and compared. Without one a token
    /// holds them, and its owner vouches for a spare. Gives how many keys the copy covers.
    ///
    /// # Errors
    /// [`TierError::Refused`] where a file is named for a token, or none for a file; a file that is no copy.
    pub fn note_epochs_copied(&self, file: Option<&Path>) -> Result<usize, TierError> {
        let refused = match file {
            Some(_) => "a token holds the epoch keys: make a spare with the device's tools, then name no file",
            None => "the epoch keys lie in a file: name the copy of it",
        };
        self.ring()?.epochs.note_copy(file)?.ok_or_else(|| TierError::Refused { what: refused.into() })
    }

    /// The newest epoch key of each facility of which no copy is known: losing it loses every sealed pack and every hold.
    pub fn epochs_without_copy(&self) -> Vec<(FacilityCode, u32)> {
        self.tiers().keys().without_copy()
    }

    /// The same as a sentence for whoever operates the archive; none where all is well.
    pub(crate) fn epochs_alarm(&self) -> Option<String> {
        let missing = self.epochs_without_copy();
        let (facility, epoch) = missing.first()?;
        let others = match missing.len() {
            1 => String::new(),
            many => format!(" and of {} other facilities", many.saturating_sub(1)),
        };
        Some(format!(
            "no copy of the epoch keys is known (epoch {epoch} of {facility}{others}), and no backup holds them: \
             copy them away from here, then run khoanh keys copied"
        ))
    }

    /// The key of a sealed pack as 64 hexadecimal digits, for reading it without this program.
    ///
    /// # Errors
    /// Those of the key store.
    pub fn export_key(&self, pack: PackId) -> Result<String, TierError> {
        Ok(self.ring()?.keys.get(pack)?.export().to_string())
    }
}
