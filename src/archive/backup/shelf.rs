//! The objects and sets of a vault, plain or sealed with a master key.
//!
//! An object's name ends with the SHA-256 of the bytes it stands for, so that listing says what is there; in a sealed
//! backup that digest is hidden (see [`MasterKey::pad_of`]) and `.khe` follows. A sealed object is one envelope
//! (FORMAT, section Envelope) under a key made from the master key and the name before the digest.
//! Deliberately not here: which files belong to a backup.

use super::copy::{Copied, Source, pour, spool};
use super::vault::{BackupPlace, Body, Stream, Vault};
use super::{BackupError, Entry, Report, Set, VERSION, io_at};
use crate::clock::Clock;
use crate::tier::secret;
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::envelope::{OpenedPack, SealedPack};
use store::keys::MasterKey;
use store::read_at::FileAt;
use store::{Disk as _, PackId, ReadAt, RealDisk, StoreError};

/// What the names of sealed objects and sets end with.
const SEALED: &str = ".khe";
/// Longest set read.
const SET_BYTES: u64 = 1 << 30;

/// An open place of backups.
pub(super) struct Shelf {
    vault: Vault,
    key: Option<MasterKey>,
    /// Where files lie on their way.
    work: PathBuf,
    /// Objects of lasting bytes that are there: name without digest, then whole name and digest.
    known: HashMap<String, (String, Digest)>,
    /// Lengths of all objects, by whole name.
    lens: HashMap<String, u64>,
    /// Objects that a set names which was read: they are whole and, where sealed, sealed by this key.
    named: HashSet<String>,
    /// Two at once would write the same file on the way, and the one that ends first would remove what the other one has
    /// copied and not named yet.
    _turn: Box<dyn Send + Sync>,
}

impl Shelf {
    /// Opens a place; `key_file` holds 64 hexadecimal digits when backups are sealed.
    pub(super) fn open(
        place: &BackupPlace,
        key_file: Option<&Path>,
        work: &Path,
        clock: Arc<dyn Clock>,
        make: bool,
    ) -> Result<Self, BackupError> {
        fs::create_dir_all(work).map_err(io_at(work))?;
        let turn = RealDisk.lock(&work.join("LOCK")).map_err(|error| match error {
            StoreError::Locked { .. } => {
                BackupError::Refused { what: "another backup is under way: try again when it is done".into() }
            }
            other => other.into(),
        })?;
        let key = key_file.map(master).transpose()?;
        let vault = Vault::open(place, work, clock, make)?;
        let (known, lens, named) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut shelf = Self { vault, key, work: work.to_owned(), known, lens, named, _turn: turn };
        for (name, len) in shelf.vault.names("objects")? {
            if let Some((lasting, digest)) = shelf.parse(&name) {
                shelf.known.insert(lasting, (name.clone(), digest));
            }
            shelf.lens.insert(name, len);
        }
        Ok(shelf)
    }

    /// What it is called for people.
    pub(super) fn name(&self) -> String {
        self.vault.name()
    }

    /// Ends what waits for a bucket.
    pub(super) fn stop(&self) {
        self.vault.stop();
    }

    /// The name of an object, and the same taken apart.
    fn named(&self, lasting: &str, digest: Digest) -> String {
        match &self.key {
            None => format!("{lasting}.{digest}"),
            Some(key) => format!("{lasting}.{}{SEALED}", hidden(key, lasting, digest)),
        }
    }

    fn parse(&self, name: &str) -> Option<(String, Digest)> {
        let plain = match &self.key {
            None => name,
            Some(_) => name.strip_suffix(SEALED)?,
        };
        let (lasting, digest) = plain.rsplit_once('.')?;
        let digest = Digest::parse(digest)?;
        let digest = self.key.as_ref().map_or(digest, |key| hidden(key, lasting, digest));
        Some((lasting.to_owned(), digest))
    }

    /// Reads every set, so that what they name need not be looked at again.
    pub(super) fn trust_what_sets_name(&mut self) -> Result<(), BackupError> {
        let named = self.sets()?.into_iter().flat_map(|(_, set)| set.files).map(|file| file.object).collect();
        self.named = named;
        Ok(())
    }

    /// Whether an object is one of ours. A sealed one that no set names is left from a backup that broke off, perhaps
    /// under another key: then nobody could open it.
    fn is_own(&self, object: &str) -> bool {
        if self.key.is_none() || self.named.contains(object) {
            return true;
        }
        let begins = |opened: Arc<dyn ReadAt>| opened.read_at(0..opened.len().min(1)).is_ok();
        self.lens.get(object).is_some_and(|len| self.opened(object, *len).is_ok_and(begins))
    }

    /// The bytes of an object as they were before sealing.
    fn opened(&self, name: &str, len: u64) -> Result<Arc<dyn ReadAt>, BackupError> {
        let object = self.vault.object(&format!("objects/{name}"), len)?;
        match (name.strip_suffix(SEALED), &self.key) {
            (None, _) => Ok(object),
            (Some(_), None) => Err(self.sealed()),
            (Some(plain), Some(key)) => {
                let name = plain.rsplit_once('.').map_or(plain, |(name, _)| name);
                Ok(Arc::new(OpenedPack::open(object, pack_of(name), &key.key_of(name))?))
            }
        }
    }

    /// Copies a file into an object, unless the object is there.
    pub(super) fn put(&mut self, lasting: Option<&str>, once: &str, source: &Source) -> Result<Copied, BackupError> {
        if let Some((object, sha256)) = lasting.and_then(|name| self.known.get(name))
            && self.is_own(object)
        {
            return Ok(Copied { object: object.clone(), sha256: *sha256, fresh: false });
        }
        let name = lasting.unwrap_or(once);
        let on_the_way = self.work.join("object.tmp");
        let (sha256, coded) = spool(source, &on_the_way)?;
        let object = self.named(name, sha256);
        let place = format!("objects/{object}");
        match &self.key {
            None => self.vault.put(&place, &Body::File(&on_the_way))?,
            Some(key) => {
                let plain = FileAt::open(&on_the_way).map_err(io_at(&on_the_way))?;
                let sealed = SealedPack::new(plain, pack_of(name), &key.key_of(name), &coded)?;
                self.vault.put(&place, &Body::Bytes(&sealed))?;
                fs::remove_file(&on_the_way).map_err(io_at(&on_the_way))?;
            }
        }
        if let Some(lasting) = lasting {
            self.known.insert(lasting.to_owned(), (object.clone(), sha256));
        }
        Ok(Copied { object, sha256, fresh: true })
    }

    /// Brings a file back from its object.
    pub(super) fn take(&self, entry: &Entry, to: &Path) -> Result<(), BackupError> {
        let lost = || BackupError::Refused {
            what: format!("{}: {} of the backup is missing: take an older one (--set)", self.name(), entry.object),
        };
        let len = *self.lens.get(&entry.object).ok_or_else(lost)?;
        let opened = self.opened(&entry.object, len)?;
        pour(Stream::new(&*opened), &entry.object, to, entry)
    }

    /// Writes a set.
    pub(super) fn put_set(&self, name: &str, set: &Set) -> Result<(), BackupError> {
        let text = serde_json::to_vec(set).map_err(|error| BackupError::Refused { what: error.to_string() })?;
        let Some(key) = &self.key else { return self.vault.put_small(&format!("sets/{name}.json"), &text) };
        let digest = Sha256::digest(&text).into();
        let object = format!("sets/{name}.json");
        let sealed = SealedPack::new(text, pack_of(&object), &key.key_of(&object), &digest)?;
        self.vault.put(&format!("{object}{SEALED}"), &Body::Bytes(&sealed))
    }

    /// The backups, oldest first. Sealed ones need the key; with a key those that are not sealed are read, too.
    fn sets(&self) -> Result<Vec<(String, Set)>, BackupError> {
        self.set_files()?.iter().map(|(file, len)| Ok((set_name(file).to_owned(), self.set(file, *len)?))).collect()
    }

    /// One backup, the newest when none is named. Nothing of the others is read: a damaged one keeps nobody from it.
    pub(super) fn one_set(&self, wanted: Option<&str>) -> Result<Option<(String, Set)>, BackupError> {
        let mut files = self.set_files()?;
        let chosen = match wanted {
            Some(wanted) => files.into_iter().find(|(file, _)| set_name(file) == wanted),
            None => files.pop(),
        };
        chosen.map(|(file, len)| Ok((set_name(&file).to_owned(), self.set(&file, len)?))).transpose()
    }

    /// Files of the backups with their lengths, oldest first.
    fn set_files(&self) -> Result<Vec<(String, u64)>, BackupError> {
        let mut files = self.vault.names("sets")?;
        files.retain(|(file, _)| !set_name(file).is_empty());
        files.sort();
        Ok(files)
    }

    fn set(&self, file: &str, len: u64) -> Result<Set, BackupError> {
        let refused = |what: String| BackupError::Refused { what: format!("{}/sets/{file}: {what}", self.name()) };
        let object = self.vault.object(&format!("sets/{file}"), len)?;
        let object: Arc<dyn ReadAt> = match (file.strip_suffix(SEALED), &self.key) {
            (None, _) => object,
            (Some(_), None) => return Err(self.sealed()),
            (Some(plain), Some(key)) => {
                let own = format!("sets/{plain}");
                let opened = OpenedPack::open(object, pack_of(&own), &key.key_of(&own));
                Arc::new(opened.map_err(|error| refused(error.to_string()))?)
            }
        };
        let mut text = Vec::new();
        let read = Stream::new(&*object).take(SET_BYTES).read_to_end(&mut text);
        read.map_err(|error| refused(format!("{error}; is this the key it was made with?")))?;
        let set: Set = serde_json::from_slice(&text).map_err(|error| refused(format!("no backup: {error}")))?;
        if !(1..=VERSION).contains(&set.version) {
            return Err(refused(format!("version {}, this program knows {VERSION}", set.version)));
        }
        Ok(set)
    }

    fn sealed(&self) -> BackupError {
        BackupError::Refused { what: format!("{}: the backups are sealed: name their key with --key", self.name()) }
    }

    /// Removes backups made before a time, and objects that no backup names.
    pub(super) fn prune(&self, before: u64, report: &mut Report) -> Result<(), BackupError> {
        let mut wanted = HashSet::new();
        let mut gone = HashSet::new();
        for (name, set) in self.sets()? {
            if set.at < before && name != report.set {
                gone.insert(name);
            } else {
                wanted.extend(set.files.into_iter().map(|file| file.object));
            }
        }
        for (file, _) in self.vault.names("sets")? {
            if gone.contains(set_name(&file)) {
                match self.vault.remove(&format!("sets/{file}"))? {
                    true => report.removed_sets += 1,
                    false => report.locked += 1,
                }
            }
        }
        for (name, _) in self.vault.names("objects")? {
            // Version 1 had the digest in a file beside.
            if !wanted.contains(name.trim_end_matches(".sha256")) {
                match self.vault.remove(&format!("objects/{name}"))? {
                    true => report.removed_objects += 1,
                    false => report.locked += 1,
                }
            }
        }
        Ok(())
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.work.join("object.tmp"));
    }
}

/// The name of the backup in a file; empty where the file is none.
fn set_name(file: &str) -> &str {
    file.strip_suffix(SEALED).unwrap_or(file).strip_suffix(".json").unwrap_or_default()
}

/// The master key in a file.
fn master(path: &Path) -> Result<MasterKey, BackupError> {
    let text = secret(path).map_err(io_at(path))?;
    let what = "its first line must be 64 hexadecimal digits: openssl rand -hex 32";
    MasterKey::parse(&text).ok_or_else(|| BackupError::Refused { what: format!("{}: {what}", path.display()) })
}

fn hidden(key: &MasterKey, name: &str, digest: Digest) -> Digest {
    let mut bytes = digest.0;
    bytes.iter_mut().zip(key.pad_of(name)).for_each(|(byte, pad)| *byte ^= pad);
    Digest(bytes)
}

/// What stands in the header of an envelope for the pack's name: the first half of the SHA-256 of the object's.
fn pack_of(name: &str) -> PackId {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    PackId::new(bytes)
}
