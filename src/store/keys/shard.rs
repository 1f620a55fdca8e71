//! The two copies of the shards: reading, bringing level, writing in place.

use super::record::{RECORD_BYTES, Record, Slot};
use crate::{Disk, Open, PackId, StoreError};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NOTE: &str = "KEYS";
const SUSPECT: &str = "SUSPECT";
/// Longest note read.
const NOTE_BYTES: u64 = 256;

pub(super) struct Copies {
    disk: Arc<dyn Disk>,
    dirs: [PathBuf; 2],
    levelled: AtomicU64,
    written: AtomicU64,
}

/// What is known of the copies of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing yet.
    Unknown,
    /// Both hold the same.
    Level,
    /// A write failed: what the disks hold is not what they show.
    Suspect,
}

/// A shard as both copies hold it.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    slots: Vec<Slot>,
}

impl Shard {
    pub(super) fn find(&self, pack: PackId) -> Option<(usize, &Record)> {
        self.records().find(|(_, record)| record.pack == pack)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (usize, &Record)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| match slot {
            Slot::Taken(record) => Some((number, record)),
            Slot::Free | Slot::Damaged => None,
        })
    }

    /// Slots that are free, then those behind the last.
    pub(super) fn free_slots(&self) -> impl Iterator<Item = usize> {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| **slot == Slot::Free).map(|(number, _)| number).chain(self.slots.len()..)
    }
}

impl Copies {
    pub(super) fn open(disk: Arc<dyn Disk>, dirs: [PathBuf; 2]) -> Result<Self, StoreError> {
        let [one, two] = &dirs;
        let notes = [read_note(&*disk, one)?, read_note(&*disk, two)?];
        match notes {
            [None, None] => {
                let name: [u8; 8] = super::random()?;
                let note = format!("khoanh keys 1\nstore {:016x}\n", u64::from_be_bytes(name));
                for dir in &dirs {
                    // A directory with shards but no note is a store whose note was lost: not one to begin anew.
                    let names = disk.list(dir).unwrap_or_default();
                    if names.iter().any(|name| name.ends_with(".keys")) {
                        return Err(StoreError::KeyCopy { dir: dir.clone(), what: "it holds keys but lacks its note" });
                    }
                }
                // The second copy first: a crash leaves either no store or a complete empty one beside nothing.
                for dir in [two, one] {
                    write_note(&*disk, dir, &note)?;
                }
            }
            [Some(a), Some(b)] if a == b => {}
            [Some(_), Some(_)] => {
                return Err(StoreError::KeyCopy { dir: two.clone(), what: "it is a copy of another key store" });
            }
            [None, Some(note)] => begun(&*disk, two, one, &note)?,
            [Some(note), None] => begun(&*disk, one, two, &note)?,
        }
        Ok(Self { disk, dirs, levelled: AtomicU64::new(0), written: AtomicU64::new(0) })
    }

    /// Shards brought level since the store was opened.
    pub(super) fn levelled(&self) -> u64 {
        self.levelled.load(Ordering::Relaxed)
    }

    /// How often records were written since the store was opened.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Reads a shard, and says whether both copies are known to hold it: from one copy where that is known already
    /// and it is whole, else from both, which are brought level. A suspect one is written anew in both.
    pub(super) fn read(&self, number: u32, trust: Trust) -> Result<(Shard, Trust), StoreError> {
        let path = PathBuf::from(format!("{number:03x}.keys"));
        let [one, two] = &self.dirs;
        if trust == Trust::Level
            && let Ok(bytes) = read(&*self.disk, &one.join(&path))
            && let slots = slots(&bytes)
            && !slots.contains(&Slot::Damaged)
        {
            return Ok((Shard { number, path, slots }, trust));
        }
        let (a, b) = (read(&*self.disk, &one.join(&path)), read(&*self.disk, &two.join(&path)));
        let (a, b) = match (a, b) {
            (Ok(a), Ok(b)) => (a, b),
            (a, b) => {
                // One copy that cannot be read at all is an alarm; the other serves.
                let whole = a.or(b).map_err(|e| StoreError::io("read keys", &one.join(&path), e))?;
                tracing::error!(shard = %path.display(), "a copy of the key store cannot be read");
                let slots = slots(&whole);
                if slots.contains(&Slot::Damaged) {
                    return Err(self.damaged(&path));
                }
                return Ok((Shard { number, path, slots }, trust));
            }
        };
        if a == b && trust != Trust::Suspect {
            let slots = slots(&a);
            if slots.contains(&Slot::Damaged) {
                return Err(self.damaged(&path));
            }
            return Ok((Shard { number, path, slots }, Trust::Level));
        }
        let merged = merge(&slots(&a), &slots(&b)).ok_or_else(|| self.damaged(&path))?;
        for (dir, bytes) in [(one, &a), (two, &b)] {
            // After a failed sync the disk may hold other bytes than it shows: every record is written anew.
            let shown = if trust == Trust::Suspect { &[][..] } else { bytes.as_slice() };
            self.overwrite(&dir.join(&path), shown, &merged)?;
        }
        self.levelled.fetch_add(u64::from(a != b), Ordering::Relaxed);
        Ok((Shard { number, path, slots: merged }, Trust::Level))
    }

    /// Notes for the next start, as well as it can be, that a write failed.
    pub(super) fn suspect(&self) {
        for dir in &self.dirs {
            let marked = self.disk.open(&dir.join(SUSPECT), Open::Create).and_then(|_| self.disk.sync_dir(dir));
            if let Err(error) = marked {
                tracing::error!(dir = %dir.display(), %error, "a failed write to the key store cannot be noted");
            }
        }
    }

    /// Whether an earlier run noted a failed write.
    pub(super) fn is_suspect(&self) -> bool {
        self.dirs.iter().any(|dir| self.disk.open(&dir.join(SUSPECT), Open::Read).is_ok())
    }

    /// Everything was written anew.
    pub(super) fn trust(&self) -> Result<(), StoreError> {
        for dir in &self.dirs {
            match self.disk.remove(&dir.join(SUSPECT)).and_then(|()| self.disk.sync_dir(dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("tidy", dir, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads both copies again, which must say the same, byte for byte.
    pub(super) fn compare(&self, shard: &Shard) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for dir in &self.dirs {
            let path = dir.join(&shard.path);
            bytes.push(read(&*self.disk, &path).map_err(|e| StoreError::io("read keys", &path, e))?);
        }
        match bytes.as_slice() {
            [one, two] if one == two => Ok(()),
            _ => Err(self.damaged(&shard.path)),
        }
    }

    /// Writes records into their slots, in the first copy and then in the second, each durable.
    pub(super) fn write(&self, shard: &Path, changes: &[(usize, Record)]) -> Result<(), StoreError> {
        self.written.fetch_add(1, Ordering::Relaxed);
        for dir in &self.dirs {
            let path = dir.join(shard);
            let slots = changes.iter().map(|(number, record)| (*number, record.encode()));
            put(&*self.disk, dir, &path, slots).map_err(|e| StoreError::io("write keys", &path, e))?;
        }
        Ok(())
    }

    /// Makes a copy say what was merged. Only slots that differ are written.
    fn overwrite(&self, path: &Path, now: &[u8], merged: &[Slot]) -> Result<(), StoreError> {
        if merged.is_empty() {
            return Ok(());
        }
        let mut chunks = now.chunks(RECORD_BYTES);
        let differing: Vec<_> = merged
            .iter()
            .enumerate()
            .filter_map(|(number, slot)| {
                let wanted = slot.encode();
                (chunks.next() != Some(&wanted[..])).then_some((number, wanted))
            })
            .collect();
        let failed = |e| StoreError::io("level keys", path, e);
        let dir = path.parent().unwrap_or(Path::new(""));
        if !differing.is_empty() {
            put(&*self.disk, dir, path, differing.into_iter()).map_err(failed)?;
        }
        // What lies beyond the last slot is a torn end.
        let file = self.disk.open(path, Open::Write).map_err(failed)?;
        let len = (merged.len() * RECORD_BYTES) as u64;
        if file.len().map_err(failed)? > len {
            file.set_len(len).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        Ok(())
    }

    fn damaged(&self, shard: &Path) -> StoreError {
        let [one, _] = &self.dirs;
        StoreError::corrupt(&one.join(shard), 0, 0, "neither copy of a key record is whole")
    }
}

/// A second copy that a crash kept from coming into being: right only while no key exists.
fn begun(disk: &dyn Disk, there: &Path, missing: &Path, note: &str) -> Result<(), StoreError> {
    let refused = |what| StoreError::KeyCopy { dir: missing.to_owned(), what };
    let names = disk.list(there).map_err(|e| StoreError::io("list keys", there, e))?;
    if names.iter().any(|name| name.ends_with(".keys")) {
        return Err(refused("it holds no key store, while the other copy holds keys: is it mounted?"));
    }
    write_note(disk, missing, note)
}

pub(super) fn adopt(disk: &dyn Disk, good: &Path, empty: &Path) -> Result<u64, StoreError> {
    let note = read_note(disk, good)?;
    let note = note.ok_or(StoreError::KeyCopy { dir: good.to_owned(), what: "it holds no key store" })?;
    if read_note(disk, empty)?.is_some_and(|other| other != note) {
        return Err(StoreError::KeyCopy { dir: empty.to_owned(), what: "it is a copy of another key store" });
    }
    disk.create_dir(empty).map_err(|e| StoreError::io("create", empty, e))?;
    let mut copied = 0;
    let names = disk.list(good).map_err(|e| StoreError::io("list keys", good, e))?;
    for name in names.iter().filter(|name| name.ends_with(".keys")) {
        let (from, to) = (good.join(name), empty.join(name));
        let bytes = read(disk, &from).map_err(|e| StoreError::io("read keys", &from, e))?;
        let there = read(disk, &to).map_err(|e| StoreError::io("read keys", &to, e))?;
        // What the other one destroyed stays destroyed.
        let damaged = || StoreError::corrupt(&from, 0, 0, "a key record is not whole");
        let merged = merge(&slots(&bytes), &slots(&there)).ok_or_else(damaged)?;
        for (dir, path) in [(empty, &to), (good, &from)] {
            let records = merged.iter().enumerate().map(|(number, slot)| (number, slot.encode()));
            put(disk, dir, path, records).map_err(|e| StoreError::io("write keys", path, e))?;
        }
        copied += 1;
    }
    // Only now it counts as a copy.
    write_note(disk, empty, &note)?;
    Ok(copied)
}

/// What two copies of a shard say together; `None` where a record is damaged in both.
fn merge(one: &[Slot], two: &[Slot]) -> Option<Vec<Slot>> {
    let mut best: BTreeMap<PackId, Record> = BTreeMap::new();
    for slot in one.iter().chain(two) {
        if let Slot::Taken(record) = slot {
            let held = best.entry(record.pack).or_insert_with(|| record.clone());
            if record.rank() > held.rank() {
                *held = record.clone();
            }
        }
    }
    let len = one.len().max(two.len());
    let mut merged = Vec::with_capacity(len);
    for number in 0..len {
        let pair = [one.get(number), two.get(number)];
        let named = pair.iter().flatten().find_map(|slot| match slot {
            Slot::Taken(record) => best.remove(&record.pack),
            _ => None,
        });
        match named {
            Some(record) => merged.push(Slot::Taken(record)),
            // Damage in one copy where the other is free: the write of a record that was never confirmed.
            None if pair.iter().flatten().all(|slot| **slot == Slot::Damaged) && pair.iter().flatten().count() == 2 => {
                return None;
            }
            None => merged.push(Slot::Free),
        }
    }
    // Two copies that named different packs in one slot: none is lost.
    merged.extend(best.into_values().map(Slot::Taken));
    Some(merged)
}

fn slots(bytes: &[u8]) -> Vec<Slot> {
    bytes.chunks(RECORD_BYTES).map(Slot::decode).collect()
}

fn put(
    disk: &dyn Disk,
    dir: &Path,
    path: &Path,
    records: impl Iterator<Item = (usize, [u8; RECORD_BYTES])>,
) -> io::Result<()> {
    let file = disk.open(path, Open::Create)?;
    for (slot, bytes) in records {
        file.write_at(&mut [IoSlice::new(&bytes)], (slot * RECORD_BYTES) as u64)?;
    }
    file.sync_data()?;
    // Always: a name that an interrupted process made may not be durable yet.
    disk.sync_dir(dir)
}

/// The whole of a file; nothing where it does not exist.
fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn read_note(disk: &dyn Disk, dir: &Path) -> Result<Option<String>, StoreError> {
    let path = dir.join(NOTE);
    let failed = |e| StoreError::io("read", &path, e);
    let file = match disk.open(&path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = usize::try_from(file.len().map_err(failed)?.min(NOTE_BYTES)).unwrap_or(0);
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    bytes.truncate(read);
    let text = String::from_utf8(bytes).ok().filter(|text| text.starts_with("khoanh keys "));
    let text = text.ok_or(StoreError::KeyCopy { dir: dir.to_owned(), what: "its note is not that of a key store" })?;
    if !text.starts_with("khoanh keys 1\n") {
        return Err(StoreError::KeyCopy { dir: dir.to_owned(), what: "it was written by a newer program" });
    }
    Ok(Some(text))
}

fn write_note(disk: &dyn Disk, dir: &Path, note: &str) -> Result<(), StoreError> {
    let (beside, path) = (dir.join("KEYS.new"), dir.join(NOTE));
    let write = || {
        disk.create_dir(dir)?;
        let file = disk.open(&beside, Open::Create)?;
        file.set_len(0)?;
        file.write_at(&mut [IoSlice::new(note.as_bytes())], 0)?;
        file.sync_data()?;
        disk.rename(&beside, &path)?;
        disk.sync_dir(dir)
    };
    write().map_err(|e: io::Error| StoreError::io("write", &path, e))
}
