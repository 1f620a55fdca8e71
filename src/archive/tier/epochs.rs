//! The holder of epoch keys that the options name, and a first key for each facility that has none.
//!
//! It deliberately never replaces or destroys an epoch key: rotating is an operator's act.

use super::copied::{Copied, EpochName};
use super::options::EpochOptions;
use model::FacilityCode;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use store::keys::{DataKey, EpochKeys, EpochTokenOptions, KeyFile, TokenKeys, Wrapped};
use store::{PackId, StoreError};

/// Longest file with one secret.
const SECRET_BYTES: u64 = 4_096;

/// Epoch keys in a file or on a token.
pub(crate) struct Epochs {
    holder: Holder,
    /// One at a time finds that a facility has no key, or two would be made.
    beginning: Mutex<()>,
    copied: Copied,
}

enum Holder {
    File(KeyFile),
    Token(TokenKeys),
}

impl Epochs {
    pub(super) fn open(options: &EpochOptions, data: &Path) -> Result<Self, StoreError> {
        let holder = match options {
            EpochOptions::File(path) => {
                Holder::File(KeyFile::open(path.as_deref().unwrap_or(&data.join("epoch.keys")))?)
            }
            EpochOptions::Token { module, token, pin_file } => {
                let pin = secret(pin_file).map_err(|e| StoreError::Io {
                    action: "read the PIN in",
                    path: pin_file.clone(),
                    source: e,
                })?;
                let (module, token, dates) = (module.clone(), token.clone(), data.join("epoch.dates"));
                Holder::Token(TokenKeys::open(EpochTokenOptions { module, token, pin, dates })?)
            }
        };
        let copied = Copied::open(&data.join("epoch.copied"));
        let epochs = Self { holder, beginning: Mutex::new(()), copied };
        epochs.copied.compare(&epochs.all()?);
        Ok(epochs)
    }

    /// Facility and epoch of every key.
    fn all(&self) -> Result<Vec<EpochName>, StoreError> {
        match &self.holder {
            Holder::File(file) => Ok(file.epochs()),
            Holder::Token(token) => token.epochs(),
        }
    }

    /// The newest key of each facility of which no copy is known; asks no token.
    pub(super) fn without_copy(&self) -> Vec<EpochName> {
        self.copied.missing()
    }

    /// Notes that there is a copy: `file` holds the keys, or none where a token does and its owner vouches for a spare.
    /// Gives how many keys it covers; none where the holder is of the other kind.
    pub(super) fn note_copy(&self, file: Option<&Path>) -> Result<Option<usize>, StoreError> {
        let all = self.all()?;
        let covered = match (&self.holder, file) {
            (Holder::File(held), Some(path)) => held.same_in(path)?,
            (Holder::Token(_), None) => all.clone(),
            _ => return Ok(None),
        };
        let failed = |source| StoreError::Io { action: "note a copy in", path: PathBuf::from("epoch.copied"), source };
        self.copied.note(&covered).map_err(failed)?;
        self.copied.compare(&all);
        Ok(Some(covered.len()))
    }

    /// Makes the first epoch key of a facility that has none; `now` in milliseconds since 1970 UTC.
    pub(crate) fn begin_first(&self, facility: FacilityCode, now: u64) -> Result<(), StoreError> {
        let _turn = self.beginning.lock();
        match &self.holder {
            Holder::File(file) if file.current_since(facility).is_none() => {
                file.begin_epoch(facility, now)?;
            }
            Holder::Token(token) if token.newest(facility)?.is_none() => {
                token.begin_epoch(facility)?;
            }
            _ => return Ok(()),
        }
        self.copied.compare(&self.all()?);
        tracing::warn!(%facility, "a first epoch key was made: copy the key file, or the token, away now");
        Ok(())
    }

    /// Makes the next epoch key of a facility, which wraps from now on; answers its number.
    pub(super) fn begin(&self, facility: FacilityCode, now: u64) -> Result<u32, StoreError> {
        let _turn = self.beginning.lock();
        let begun = match &self.holder {
            Holder::File(file) => file.begin_epoch(facility, now),
            Holder::Token(token) => token.begin_epoch(facility),
        }?;
        self.copied.compare(&self.all()?);
        Ok(begun)
    }

    /// Notes that nothing is wrapped by older epoch keys of a facility any more.
    pub(super) fn retire_older(&self, facility: FacilityCode, now: u64) -> Result<(), StoreError> {
        match &self.holder {
            Holder::File(file) => file.retire_older(facility, now),
            Holder::Token(token) => token.retire_older(facility, now),
        }
    }

    /// The epoch keys that were retired before `before`.
    pub(super) fn retired(&self, before: u64) -> Vec<EpochName> {
        match &self.holder {
            Holder::File(file) => file.retired(before),
            Holder::Token(token) => token.retired(before),
        }
    }

    /// Destroys epoch keys that were retired before `before`.
    pub(super) fn destroy_retired(&self, before: u64) -> Result<Vec<EpochName>, StoreError> {
        match &self.holder {
            Holder::File(file) => file.destroy_retired(before),
            Holder::Token(token) => token.destroy_retired(before),
        }
    }

    fn keys(&self) -> &dyn EpochKeys {
        match &self.holder {
            Holder::File(file) => file,
            Holder::Token(token) => token,
        }
    }
}

impl EpochKeys for Epochs {
    fn current(&self, facility: FacilityCode) -> Result<u32, StoreError> {
        self.keys().current(facility)
    }

    fn wrap(&self, facility: FacilityCode, epoch: u32, pack: PackId, key: &DataKey) -> Result<Wrapped, StoreError> {
        self.keys().wrap(facility, epoch, pack, key)
    }

    fn unwrap(
        &self,
        facility: FacilityCode,
        epoch: u32,
        pack: PackId,
        wrapped: &Wrapped,
    ) -> Result<DataKey, StoreError> {
        self.keys().unwrap(facility, epoch, pack, wrapped)
    }
}

/// The first line of a file that not everybody may read.
pub(crate) fn secret(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o007 != 0 {
        let what = "everybody on this machine may read or change it: chmod 600";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    let mut text = String::new();
    Read::by_ref(&mut file).take(SECRET_BYTES).read_to_string(&mut text)?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is empty")),
    }
}
