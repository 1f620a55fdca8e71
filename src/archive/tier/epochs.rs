//! The holder of epoch keys that the options name, and a first key for each facility that has none.
//!
//! It deliberately never replaces or destroys an epoch key: rotating is an operator's act.

use super::options::EpochOptions;
use model::FacilityCode;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use store::keys::{DataKey, EpochKeys, EpochTokenOptions, KeyFile, TokenKeys, Wrapped};
use store::{PackId, StoreError};

/// Longest file with one secret.
const SECRET_BYTES: u64 = 4_096;

/// Epoch keys in a file or on a token.
pub(crate) struct Epochs {
    holder: Holder,
    /// One at a time finds that a facility has no key, or two would be made.
    beginning: Mutex<()>,
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
                Holder::Token(TokenKeys::open(EpochTokenOptions { module: module.clone(), token: token.clone(), pin })?)
            }
        };
        Ok(Self { holder, beginning: Mutex::new(()) })
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
        tracing::warn!(%facility, "a first epoch key was made: back up the key file, or the token, now");
        Ok(())
    }

    /// Makes the next epoch key of a facility, which wraps from now on; answers its number.
    pub(super) fn begin(&self, facility: FacilityCode, now: u64) -> Result<u32, StoreError> {
        let _turn = self.beginning.lock();
        match &self.holder {
            Holder::File(file) => file.begin_epoch(facility, now),
            Holder::Token(token) => token.begin_epoch(facility),
        }
    }

    /// Notes that nothing is wrapped by older epoch keys of a facility any more. A token keeps no dates.
    pub(super) fn retire_older(&self, facility: FacilityCode, now: u64) -> Result<(), StoreError> {
        match &self.holder {
            Holder::File(file) => file.retire_older(facility, now),
            Holder::Token(_) => Ok(()),
        }
    }

    /// Destroys epoch keys that were retired before `before`; none where a token holds them, which knows no dates.
    pub(super) fn destroy_retired(&self, before: u64) -> Result<Option<Vec<(FacilityCode, u32)>>, StoreError> {
        match &self.holder {
            Holder::File(file) => file.destroy_retired(before).map(Some),
            Holder::Token(_) => Ok(None),
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
