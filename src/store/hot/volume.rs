//! One hot volume: its note, its state, its folders.

use crate::{Disk, Open, PackFile, StoreError};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a volume does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeState {
    /// Takes packs and gives them.
    Serving,
    /// Gives packs, takes none, and is being emptied.
    Draining,
    /// Gives packs; writing to it failed.
    ReadOnly,
    /// Cannot be looked at.
    Gone,
}

/// A volume as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its directory.
    pub dir: PathBuf,
    /// What it does.
    pub state: VolumeState,
    /// Free bytes, where it can be looked at.
    pub free: Option<u64>,
}

pub(super) struct Volume {
    dir: PathBuf,
    name: Option<String>,
    state: Mutex<VolumeState>,
    /// Bytes of packs on their way in.
    promised: AtomicU64,
    /// Folders whose names are known to be durable.
    folders: Mutex<HashSet<PathBuf>>,
}

const NOTE: &str = "VOLUME";
const FIRST_LINE: &str = "khoanh volume 1";
const INCOMING: &str = "incoming";
const PACKS: &str = "packs";
/// Longest note or list read.
const TEXT_BYTES: u64 = 1 << 20;

impl Volume {
    /// Opens a volume, makes a new one, or finds it gone.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, known: &[(String, PathBuf)]) -> Result<Self, StoreError> {
        let found = read_note(disk, dir)?;
        let listed = known.iter().any(|(_, listed)| listed == dir);
        let (name, state) = match found {
            Some((name, state)) => (Some(name), state),
            None if listed => (None, VolumeState::Gone),
            None => (Some(make(disk, dir)?), VolumeState::Serving),
        };
        let volume = Self {
            dir: dir.to_owned(),
            name,
            state: Mutex::new(state),
            promised: AtomicU64::new(0),
            folders: Mutex::default(),
        };
        if state != VolumeState::Gone {
            volume.tidy(disk);
        }
        Ok(volume)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn state(&self) -> VolumeState {
        *self.state.lock()
    }

    pub(super) fn info(&self, disk: &dyn Disk) -> VolumeInfo {
        let state = self.state();
        let free = if state == VolumeState::Gone { None } else { disk.free_space(&self.dir).ok() };
        VolumeInfo { dir: self.dir.clone(), state, free }
    }

    /// Bytes that may still be promised, of so many free ones.
    pub(super) fn room(&self, free: u64) -> u64 {
        free.saturating_sub(self.promised.load(Ordering::Acquire))
    }

    pub(super) fn promise(&self, bytes: u64) {
        self.promised.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn settle(&self, bytes: u64) {
        self.promised.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Notes that writing failed: the volume takes no packs until [`Volume::look`] finds it well.
    pub(super) fn failed(&self, error: &io::Error) {
        // A full disk is no fault of the volume's: its free space says so by itself.
        if error.kind() == io::ErrorKind::StorageFull {
            return;
        }
        let mut state = self.state.lock();
        if *state == VolumeState::Serving {
            tracing::error!(volume = %self.dir.display(), %error, "a hot volume fails: it takes no packs");
            *state = VolumeState::ReadOnly;
        }
    }

    /// Looks whether the volume is there and can be written.
    pub(super) fn look(&self, disk: &dyn Disk) {
        let now = match read_note(disk, &self.dir) {
            Ok(Some((name, state))) if self.name.as_ref().is_none_or(|own| *own == name) => {
                match (state, self.is_writable(disk)) {
                    (VolumeState::Serving, false) => VolumeState::ReadOnly,
                    (state, _) => state,
                }
            }
            _ => VolumeState::Gone,
        };
        let before = std::mem::replace(&mut *self.state.lock(), now);
        if before != now {
            match now {
                VolumeState::Gone => tracing::error!(volume = %self.dir.display(), "a hot volume is gone"),
                VolumeState::ReadOnly => {
                    tracing::error!(volume = %self.dir.display(), "a hot volume cannot be written");
                }
                _ => tracing::warn!(volume = %self.dir.display(), "a hot volume is back"),
            }
        }
    }

    fn is_writable(&self, disk: &dyn Disk) -> bool {
        let path = self.dir.join(INCOMING).join("look.tmp");
        let write = || {
            let file = disk.open(&path, Open::Create)?;
            file.write_at(&mut [IoSlice::new(b"look")], 0)?;
            file.sync_data()?;
            disk.remove(&path)
        };
        match write() {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::StorageFull,
        }
    }

    pub(super) fn drain(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let gone = StoreError::Volume { dir: self.dir.clone(), what: "it is gone and cannot be drained" };
        let name = self.name.as_ref().ok_or(gone)?;
        write_text(disk, &self.dir, &self.dir.join(NOTE), &note(name, "draining"))?;
        *self.state.lock() = VolumeState::Draining;
        Ok(())
    }

    pub(super) fn path(&self, file: PackFile) -> PathBuf {
        self.dir.join(PACKS).join(file.path())
    }

    pub(super) fn incoming(&self, name: &str) -> PathBuf {
        self.dir.join(INCOMING).join(name)
    }

    /// Makes the folder of a pack, durably.
    pub(super) fn make_folder(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        if self.folders.lock().contains(folder) {
            return Ok(());
        }
        disk.create_dir(folder)?;
        let mut above = folder.parent();
        for _ in 0..3 {
            if let Some(dir) = above.filter(|dir| dir.starts_with(&self.dir)) {
                disk.sync_dir(dir)?;
                above = dir.parent();
            }
        }
        self.folders.lock().insert(folder.to_owned());
        Ok(())
    }

    pub(super) fn remove(&self, disk: &dyn Disk, file: PackFile) -> Result<bool, StoreError> {
        let path = self.path(file);
        let failed = |e| StoreError::io("remove", &path, e);
        match disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        path.parent().map_or(Ok(()), |folder| disk.sync_dir(folder)).map_err(failed)?;
        Ok(true)
    }

    pub(super) fn list(
        &self,
        disk: &dyn Disk,
        visit: &mut dyn FnMut(PackFile) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let root = self.dir.join(PACKS);
        for one in folders(disk, &root)? {
            for two in folders(disk, &root.join(&one))? {
                let folder = root.join(&one).join(&two);
                for name in disk.list(&folder).map_err(|e| StoreError::io("list", &folder, e))? {
                    // What is no pack is none of ours.
                    if let Ok(file) = name.parse::<PackFile>() {
                        visit(file)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes what a crash left on its way in.
    fn tidy(&self, disk: &dyn Disk) {
        let dir = self.dir.join(INCOMING);
        for name in disk.list(&dir).unwrap_or_default() {
            if name.ends_with(".tmp") {
                // One that stays is tried again at the next start.
                let _ = disk.remove(&dir.join(name));
            }
        }
    }
}

fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StoreError> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(StoreError::io("list", dir, error)),
    };
    let digits = |name: &String| name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(names.into_iter().filter(digits).collect())
}

fn note(name: &str, state: &str) -> String {
    format!("{FIRST_LINE}\nname {name}\nstate {state}\n")
}

fn make(disk: &dyn Disk, dir: &Path) -> Result<String, StoreError> {
    let failed = |e| StoreError::io("make a volume in", dir, e);
    if !folders(disk, &dir.join(PACKS))?.is_empty() {
        return Err(StoreError::Volume { dir: dir.to_owned(), what: "it holds packs but lacks its note" });
    }
    for folder in [PACKS, INCOMING] {
        disk.create_dir(&dir.join(folder)).map_err(failed)?;
    }
    disk.sync_dir(dir).map_err(failed)?;
    let drawn: [u8; 8] = crate::keys::random()?;
    let name = format!("{:016x}", u64::from_be_bytes(drawn));
    write_text(disk, dir, &dir.join(NOTE), &note(&name, "serving"))?;
    Ok(name)
}

fn read_note(disk: &dyn Disk, dir: &Path) -> Result<Option<(String, VolumeState)>, StoreError> {
    let wrong = || StoreError::Volume { dir: dir.to_owned(), what: "its note is not that of a volume of this version" };
    // A volume that cannot be read at all is gone, not wrong.
    let Ok(Some(text)) = read_text(disk, &dir.join(NOTE)) else { return Ok(None) };
    let mut lines = text.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(wrong());
    }
    let name = lines.next().and_then(|line| line.strip_prefix("name ")).ok_or_else(wrong)?;
    let state = match lines.next() {
        Some("state serving") => VolumeState::Serving,
        Some("state draining") => VolumeState::Draining,
        _ => return Err(wrong()),
    };
    Ok(Some((name.to_owned(), state)))
}

pub(super) fn read_list(disk: &dyn Disk, path: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let text = read_text(disk, path).map_err(|e| StoreError::io("read the volumes in", path, e))?;
    let lines = text.as_deref().unwrap_or("").lines();
    Ok(lines.filter_map(|line| line.split_once(' ')).map(|(name, dir)| (name.to_owned(), dir.into())).collect())
}

pub(super) fn write_list(disk: &dyn Disk, path: &Path, known: &[(String, PathBuf)]) -> Result<(), StoreError> {
    let lines: String = known.iter().map(|(name, dir)| format!("{name} {}\n", dir.display())).collect();
    write_text(disk, path.parent().unwrap_or(Path::new("")), path, &lines)
}

fn read_text(disk: &dyn Disk, path: &Path) -> io::Result<Option<String>> {
    let file = match disk.open(path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?.min(TEXT_BYTES)).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    String::from_utf8(bytes).map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Written beside and renamed: a crash leaves the old text or the new one.
fn write_text(disk: &dyn Disk, dir: &Path, path: &Path, text: &str) -> Result<(), StoreError> {
    let beside = path.with_extension("new");
    let write = || {
        disk.create_dir(dir)?;
        let file = disk.open(&beside, Open::Create)?;
        file.set_len(0)?;
        file.write_at(&mut [IoSlice::new(text.as_bytes())], 0)?;
        file.sync_data()?;
        disk.rename(&beside, path)?;
        disk.sync_dir(dir)
    };
    write().map_err(|e: io::Error| StoreError::io("write", path, e))
}
