//! Epoch keys: what wraps the data keys of a facility, and the file that holds them where there is no token.
//!
//! It deliberately destroys no epoch key that still wraps something: [`crate::keys::KeyStore::rewrap`] comes first.

use super::DataKey;
use crate::{PackId, StoreError};
use model::FacilityCode;
use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A data key as it is kept: wrapped, with what unwrapping needs beside the epoch key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// Who wrapped it: 1 a key file, 2 a PKCS#11 token; each by AES-256-GCM.
    pub by: u8,
    /// The nonce of this wrapping.
    pub nonce: [u8; 12],
    /// The wrapped key and its tag.
    pub key: [u8; 48],
}

/// Holder of the epoch keys of all facilities: a file, or a token that never gives them out.
pub trait EpochKeys: Send + Sync {
    /// The epoch by which new keys of a facility are wrapped; counts from 1.
    fn current(&self, facility: FacilityCode) -> Result<u32, StoreError>;
    /// Wraps a data key, bound to facility, epoch and pack.
    fn wrap(&self, facility: FacilityCode, epoch: u32, pack: PackId, key: &DataKey) -> Result<Wrapped, StoreError>;
    /// Unwraps one; [`StoreError::KeyClosed`] where the epoch is not at hand or the binding does not hold.
    fn unwrap(
        &self,
        facility: FacilityCode,
        epoch: u32,
        pack: PackId,
        wrapped: &Wrapped,
    ) -> Result<DataKey, StoreError>;
}

/// One key of a facility.
#[derive(Clone)]
struct Epoch {
    key: Zeroizing<[u8; 32]>,
    /// Milliseconds since 1970 UTC.
    since: u64,
    /// When nothing was wrapped by it any more.
    retired: Option<u64>,
}

/// Epoch keys in a file that its owner alone may read (mode 0600).
///
/// Text: the line `khoanh epoch keys 1`, then one line for each key: facility, epoch, 64 hexadecimal digits, the
/// millisecond of its making, and that of its retiring or `-`. Whoever loses every copy of this file has lost every
/// sealed pack: keep one copy away from the archive and its backups.
pub struct KeyFile {
    path: PathBuf,
    epochs: Mutex<BTreeMap<([u8; 5], u32), Epoch>>,
}

const FIRST_LINE: &str = "khoanh epoch keys 1";
/// Longest key file read.
const FILE_BYTES: u64 = 64 << 20;
const BY_KEY_FILE: u8 = 1;

impl KeyFile {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] where others may read it or a line is none; those of the system.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |e| StoreError::io("open the key file", path, e);
        let this = Self { path: path.to_owned(), epochs: Mutex::default() };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                this.save(&BTreeMap::new()).map_err(failed)?;
                return Ok(this);
            }
            Err(error) => return Err(failed(error)),
        };
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(this.wrong("others than its owner may read or change it: chmod 600"));
        }
        // A crash while keys were being destroyed.
        this.shred().map_err(failed)?;
        this.read(file)?;
        Ok(this)
    }

    /// Takes the keys of a file.
    fn read(&self, file: File) -> Result<(), StoreError> {
        let mut text = Zeroizing::new(String::new());
        let read = file.take(FILE_BYTES).read_to_string(&mut text);
        read.map_err(|e| StoreError::io("read the key file", &self.path, e))?;
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(self.wrong("its first line is not that of a key file of this version"));
        }
        let mut epochs = self.epochs.lock();
        for line in lines {
            let (name, epoch) = parse(line).ok_or_else(|| self.wrong("a line of it is no key"))?;
            epochs.insert(name, epoch);
        }
        Ok(())
    }

    /// Makes the next epoch key of a facility, which wraps from now on; answers its number. `now` in milliseconds
    /// since 1970 UTC.
    ///
    /// # Errors
    /// Those of the system; then nothing changed.
    pub fn begin_epoch(&self, facility: FacilityCode, now: u64) -> Result<u32, StoreError> {
        let mut epochs = self.epochs.lock();
        let number = last(&epochs, facility).unwrap_or(0) + 1;
        let epoch = Epoch { key: Zeroizing::new(super::random()?), since: now, retired: None };
        let mut next = epochs.clone();
        next.insert((*facility.as_bytes(), number), epoch);
        self.save(&next).map_err(|e| StoreError::io("write the key file", &self.path, e))?;
        *epochs = next;
        Ok(number)
    }

    /// Notes that nothing is wrapped by older epoch keys of a facility any more: call it after a whole
    /// [`crate::keys::KeyStore::rewrap`].
    ///
    /// # Errors
    /// Those of the system; then nothing changed.
    pub fn retire_older(&self, facility: FacilityCode, now: u64) -> Result<(), StoreError> {
        let mut epochs = self.epochs.lock();
        let Some(current) = last(&epochs, facility) else { return Ok(()) };
        let mut next = epochs.clone();
        for ((code, number), epoch) in &mut next {
            if code == facility.as_bytes() && *number < current && epoch.retired.is_none() {
                epoch.retired = Some(now);
            }
        }
        self.save(&next).map_err(|e| StoreError::io("write the key file", &self.path, e))?;
        *epochs = next;
        Ok(())
    }

    /// Facility and epoch of every key in the file.
    pub fn epochs(&self) -> Vec<(FacilityCode, u32)> {
        self.epochs.lock().keys().filter_map(|name| named(*name)).collect()
    }

    /// Facility and epoch of every key that another key file holds as well: what a copy covers.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] where it is no key file or holds another key under the same name; those of the system.
    pub fn same_in(&self, copy: &Path) -> Result<Vec<(FacilityCode, u32)>, StoreError> {
        let other = Self { path: copy.to_owned(), epochs: Mutex::default() };
        let file = File::open(copy).map_err(|e| StoreError::io("open the copy of the key file", copy, e))?;
        other.read(file)?;
        let (epochs, copied) = (self.epochs.lock(), other.epochs.lock());
        if copied.iter().any(|(name, epoch)| epochs.get(name).is_some_and(|own| own.key != epoch.key)) {
            return Err(other.wrong("it holds other keys than the archive uses: it is no copy"));
        }
        Ok(epochs.keys().filter(|name| copied.contains_key(*name)).filter_map(|name| named(*name)).collect())
    }

    /// The epoch keys that were retired before `before`, milliseconds since 1970 UTC.
    pub fn retired(&self, before: u64) -> Vec<(FacilityCode, u32)> {
        let epochs = self.epochs.lock();
        let old = epochs.iter().filter(|(_, epoch)| epoch.retired.is_some_and(|at| at < before));
        old.filter_map(|(name, _)| named(*name)).collect()
    }

    /// Destroys every epoch key retired before `before` (milliseconds since 1970 UTC): from then on wrapped keys in
    /// backups older than its retiring open no more. Answers facility and epoch of each.
    ///
    /// # Errors
    /// Those of the system: then ask again.
    pub fn destroy_retired(&self, before: u64) -> Result<Vec<(FacilityCode, u32)>, StoreError> {
        let failed = |e| StoreError::io("destroy keys in the key file", &self.path, e);
        let mut epochs = self.epochs.lock();
        let mut next = epochs.clone();
        next.retain(|_, epoch| epoch.retired.is_none_or(|at| at >= before));
        let gone: Vec<_> = epochs.keys().filter(|name| !next.contains_key(name)).copied().collect();
        if !gone.is_empty() {
            self.save(&next).map_err(failed)?;
            *epochs = next;
        }
        Ok(gone.into_iter().filter_map(named).collect())
    }

    /// When the current epoch of a facility began, in milliseconds since 1970 UTC.
    pub fn current_since(&self, facility: FacilityCode) -> Option<u64> {
        let epochs = self.epochs.lock();
        let number = last(&epochs, facility)?;
        epochs.get(&(*facility.as_bytes(), number)).map(|epoch| epoch.since)
    }

    /// Writes the file anew and overwrites the old one: no older version stays.
    fn save(&self, epochs: &BTreeMap<([u8; 5], u32), Epoch>) -> io::Result<()> {
        let mut text = Zeroizing::new(format!("{FIRST_LINE}\n"));
        for ((code, number), epoch) in epochs {
            let code = std::str::from_utf8(code).map_err(|_| io::ErrorKind::InvalidData)?;
            let retired = epoch.retired.map_or_else(|| "-".into(), |at| at.to_string());
            let digits: Zeroizing<String> =
                Zeroizing::new(epoch.key.iter().map(|byte| format!("{byte:02x}")).collect());
            text.push_str(&format!("{code} {number} {} {} {retired}\n", *digits, epoch.since));
        }
        let beside = self.beside(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // The old one keeps a name until it is overwritten, so that a crash does not let its blocks go as they are.
        match fs::hard_link(&self.path, self.beside(".old")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&beside, &self.path)?;
        self.sync_dir()?;
        self.shred()
    }

    /// Overwrites and removes the version before.
    fn shred(&self) -> io::Result<()> {
        let old = self.beside(".old");
        let mut file = match OpenOptions::new().write(true).open(&old) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // A crash before the rename: both names are the one good file.
        if !same_file(&old, &self.path)? {
            let len = file.metadata()?.len();
            io::copy(&mut io::repeat(0).take(len), &mut file)?;
            file.sync_all()?;
        }
        fs::remove_file(&old)?;
        self.sync_dir()
    }

    fn sync_dir(&self) -> io::Result<()> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn wrong(&self, what: &'static str) -> StoreError {
        StoreError::KeyFile { path: self.path.clone(), what }
    }

    fn cipher(&self, facility: FacilityCode, epoch: u32, pack: PackId) -> Result<LessSafeKey, StoreError> {
        let epochs = self.epochs.lock();
        let held = epochs.get(&(*facility.as_bytes(), epoch)).ok_or(StoreError::KeyClosed { pack })?;
        let key = UnboundKey::new(&AES_256_GCM, &*held.key).map_err(|_| StoreError::KeyClosed { pack })?;
        Ok(LessSafeKey::new(key))
    }
}

impl EpochKeys for KeyFile {
    fn current(&self, facility: FacilityCode) -> Result<u32, StoreError> {
        last(&self.epochs.lock(), facility).ok_or_else(|| self.wrong("it holds no epoch key for this facility"))
    }

    fn wrap(&self, facility: FacilityCode, epoch: u32, pack: PackId, key: &DataKey) -> Result<Wrapped, StoreError> {
        let nonce = super::random()?;
        let mut bytes = Zeroizing::new(key.bytes().to_vec());
        bytes.reserve_exact(16);
        let binding = Aad::from(bound(facility, pack, epoch));
        let cipher = self.cipher(facility, epoch, pack)?;
        cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), binding, &mut *bytes)
            .map_err(|_| StoreError::KeyClosed { pack })?;
        let wrapped = bytes.as_slice().try_into().map_err(|_| StoreError::KeyClosed { pack })?;
        Ok(Wrapped { by: BY_KEY_FILE, nonce, key: wrapped })
    }

    fn unwrap(
        &self,
        facility: FacilityCode,
        epoch: u32,
        pack: PackId,
        wrapped: &Wrapped,
    ) -> Result<DataKey, StoreError> {
        if wrapped.by != BY_KEY_FILE {
            return Err(StoreError::KeyClosed { pack });
        }
        let mut bytes = Zeroizing::new(wrapped.key);
        let binding = Aad::from(bound(facility, pack, epoch));
        let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
        let opened = self.cipher(facility, epoch, pack)?.open_in_place(nonce, binding, &mut bytes[..]);
        let key: Option<[u8; 32]> = opened.ok().and_then(|plain| (&*plain).try_into().ok());
        key.map(DataKey::new).ok_or(StoreError::KeyClosed { pack })
    }
}

/// What a wrapping is bound to: facility (5), pack (16), epoch (4, little endian).
pub(super) fn bound(facility: FacilityCode, pack: PackId, epoch: u32) -> [u8; 25] {
    let parts = facility.as_bytes().iter().chain(pack.as_bytes()).copied().chain(epoch.to_le_bytes());
    let mut bytes = [0; 25];
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = from;
    }
    bytes
}

fn named((code, number): ([u8; 5], u32)) -> Option<(FacilityCode, u32)> {
    Some((FacilityCode::parse(std::str::from_utf8(&code).ok()?).ok()?, number))
}

fn last(epochs: &BTreeMap<([u8; 5], u32), Epoch>, facility: FacilityCode) -> Option<u32> {
    let code = *facility.as_bytes();
    epochs.range((code, 0)..=(code, u32::MAX)).next_back().map(|((_, number), _)| *number)
}

fn parse(line: &str) -> Option<(([u8; 5], u32), Epoch)> {
    let mut words = line.split(' ');
    let facility = FacilityCode::parse(words.next()?).ok()?;
    let number = words.next()?.parse().ok()?;
    let digits = words.next()?;
    let since = words.next()?.parse().ok()?;
    let retired = match words.next()? {
        "-" => None,
        at => Some(at.parse().ok()?),
    };
    if digits.len() != 64 || !digits.is_ascii() || words.next().is_some() {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(((*facility.as_bytes(), number), Epoch { key, since, retired }))
}

fn same_file(one: &Path, two: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, two) = (fs::metadata(one)?, fs::metadata(two)?);
    Ok((one.dev(), one.ino()) == (two.dev(), two.ino()))
}
