//! Catalogues in the bucket: the manifests of many packs in one object, beside the packs ([`store::catalogue`]).
//!
//! A pack that was copied is entered into the next catalogue; catalogues of like size become one when there are eight.
//! What they hold of packs that are no more goes at the next merge, and with the sweep after a destruction; sealed
//! entries are unreadable from the moment the pack's key is destroyed. A kill loses at most the entries that were not
//! put yet: a rebuild opens those packs themselves.
//! Deliberately not here: facts. A catalogue is a convenience and never the only copy of anything.

use super::cloud::Cloud;
use crate::error::{RetrieveError, TierError};
use crate::open::Archive;
use index::{Index, PackRow};
use model::PackId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};
use store::catalogue::{self, Entry};
use store::cold::{ColdFault, PutOptions};
use store::pack::Manifest;
use store::{ReadAt, StoreError};

/// Where they lie, below the prefix of the options.
const FOLDER: &str = "catalogues";
/// Entries of a catalogue that is put at once ...
const ENTRIES_MAX: usize = 512;
/// ... or their bytes ...
const BYTES_MAX: usize = 4 << 20;
/// ... or the age of the oldest.
const WAIT: Duration = Duration::from_secs(5);
/// So many catalogues of like size become one.
const MERGE: usize = 8;
/// One that is this long is merged no more.
const FULL: u64 = 16 << 20;

/// Entries that are in no catalogue yet.
#[derive(Default)]
pub(super) struct Catalogues {
    waiting: Mutex<(Vec<Entry>, Option<Instant>)>,
    /// Held while catalogues are put, merged and removed.
    turn: Mutex<()>,
}

impl Catalogues {
    /// Enters a pack that was copied. What fails is said: the pack can be read without.
    pub(super) fn note(&self, cloud: &Cloud, row: &PackRow, plain: &dyn ReadAt) {
        let entry = Manifest::read_json(plain)
            .map_err(|error| error.to_string())
            .and_then(|json| cloud.catalogue_entry(row.pack, &json).map_err(|error| error.to_string()));
        match entry {
            Ok(entry) => {
                let mut waiting = self.waiting.lock();
                waiting.0.push(entry);
                waiting.1.get_or_insert_with(Instant::now);
            }
            Err(error) => tracing::warn!(pack = %row.pack, error, "a pack is entered in no catalogue"),
        }
    }

    /// The entries that wait, when it is time.
    fn due(&self) -> Vec<Entry> {
        let mut waiting = self.waiting.lock();
        let (entries, since) = &*waiting;
        let old = since.is_some_and(|since| since.elapsed() >= WAIT);
        let many = entries.len() >= ENTRIES_MAX || entries.iter().map(Entry::size).sum::<usize>() >= BYTES_MAX;
        if old || many { std::mem::take(&mut *waiting).0 } else { Vec::new() }
    }

    fn again(&self, entries: Vec<Entry>) {
        let mut waiting = self.waiting.lock();
        waiting.0.extend(entries);
        waiting.1.get_or_insert_with(Instant::now);
    }
}

/// Whether a pack still lies in the bucket.
fn counts(index: &dyn Index, entry: &Entry) -> Result<bool, TierError> {
    Ok(index.pack(entry.pack)?.is_some_and(|row| row.cold.is_some()))
}

impl Archive {
    /// Puts what waits, and merges what is many.
    pub(super) fn tend_catalogues(&self) -> Result<(), TierError> {
        let Some(cloud) = self.tiers().cloud() else { return Ok(()) };
        let catalogues = &self.tiers().catalogues;
        let _turn = catalogues.turn.lock();
        let mut entries = catalogues.due();
        if entries.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries.drain(..) {
            if counts(self.index().as_ref(), &entry)? {
                kept.push(entry);
            }
        }
        if let Err(error) = cloud.put_catalogue(&kept, self.now_ms()) {
            catalogues.again(kept);
            return Err(error.into());
        }
        let mut like: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (key, len) in cloud.catalogues()?.into_iter().filter(|(_, len)| *len < FULL) {
            like.entry(len.max(1).ilog2() / 3).or_default().push(key);
        }
        for keys in like.into_values().filter(|keys| keys.len() >= MERGE) {
            self.merge_catalogues(cloud, &keys)?;
        }
        Ok(())
    }

    /// Writes one catalogue in place of several, without what counts no more.
    fn merge_catalogues(&self, cloud: &Cloud, keys: &[String]) -> Result<(), TierError> {
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        // The newest entry of a pack comes last.
        for key in keys.iter().rev() {
            for entry in cloud.read_catalogue(key)? {
                if counts(self.index().as_ref(), &entry)? && seen.insert(entry.pack) {
                    entries.push(entry);
                }
            }
        }
        cloud.put_catalogue(&entries, self.now_ms())?;
        keys.iter().try_for_each(|key| cloud.remove_catalogue(key))?;
        tracing::debug!(catalogues = keys.len(), packs = entries.len(), "catalogues are merged");
        Ok(())
    }

    /// Writes anew every catalogue with an entry of a pack that is no more.
    pub(crate) fn purge_catalogues(&self) -> Result<(), TierError> {
        let Some(cloud) = self.tiers().cloud() else { return Ok(()) };
        let _turn = self.tiers().catalogues.turn.lock();
        let mut locked = Ok(());
        for (key, _) in cloud.catalogues()? {
            let (mut kept, mut gone) = (Vec::new(), Vec::new());
            for entry in cloud.read_catalogue(&key)? {
                let list = if counts(self.index().as_ref(), &entry)? { &mut kept } else { &mut gone };
                list.push(entry);
            }
            if gone.iter().any(|entry| !entry.sealed) {
                // Everybody can read it: it must go, and is asked for again where the bucket locks it. It goes first, so
                // that no try leaves another catalogue behind; a kill in between costs the others their entries only.
                match cloud.cold().destroy(&key) {
                    Err(error) if error.cold_fault() == Some(ColdFault::Locked) => locked = Err(error.into()),
                    destroyed => {
                        destroyed?;
                        cloud.put_catalogue(&kept, self.now_ms())?;
                    }
                }
            } else if !gone.is_empty() {
                cloud.put_catalogue(&kept, self.now_ms())?;
                cloud.remove_catalogue(&key)?;
            }
        }
        locked
    }
}

impl Cloud {
    fn catalogue_entry(&self, pack: PackId, manifest: &[u8]) -> Result<Entry, StoreError> {
        let key = if self.options().sealed { Some(self.keys().get(pack)?) } else { None };
        Entry::of(pack, manifest, key.as_ref())
    }

    /// Puts a catalogue under a new name; without entries none.
    fn put_catalogue(&self, entries: &[Entry], now_ms: u64) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let key = self.cold().key(&format!("{FOLDER}/{}.khc", store::draw_pack_id(now_ms)?));
        let bytes = catalogue::write(entries)?;
        self.cold().put(&key, &bytes, &PutOptions::default()).map(drop)
    }

    /// Keys and lengths of all catalogues, the oldest first.
    fn catalogues(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut found = Vec::new();
        self.cold().list(&self.cold().key(FOLDER), &mut |object| {
            found.push((object.key, object.len));
            Ok(())
        })?;
        Ok(found)
    }

    /// One that is damaged has nothing to say, and goes when it is merged.
    fn read_catalogue(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        match self.cold().get(key, None) {
            Ok(bytes) => Ok(catalogue::read(&bytes).unwrap_or_else(|error| {
                tracing::warn!(key, %error, "a catalogue cannot be read; its packs are opened one by one");
                Vec::new()
            })),
            Err(error) if error.cold_fault() == Some(ColdFault::Missing) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn remove_catalogue(&self, key: &str) -> Result<(), StoreError> {
        match self.cold().destroy(key) {
            // A rule of the bucket, not ours; what is sealed in it is unreadable all the same.
            Err(error) if error.cold_fault() == Some(ColdFault::Locked) => {
                tracing::warn!(key, "the bucket locks a catalogue that is replaced");
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// Tells the manifest of every pack that a catalogue names and whose key is there, in a zstd frame.
    pub(super) fn each_manifest(
        &self,
        each: &mut dyn FnMut(PackId, Vec<u8>) -> Result<(), RetrieveError>,
    ) -> Result<(), RetrieveError> {
        for (name, _) in self.catalogues()? {
            for entry in self.read_catalogue(&name)? {
                let key = match entry.sealed {
                    true => self.keys().get(entry.pack).ok(),
                    false => None,
                };
                if let Ok(coded) = entry.coded(key.as_ref()) {
                    each(entry.pack, coded)?;
                }
            }
        }
        Ok(())
    }
}
