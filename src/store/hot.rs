//! Hot volumes: directories on local disks that hold packs for reading at once.
//!
//! A volume is a directory with a note:
//!
//! ```text
//! VOLUME                     "khoanh volume 1", "name <16 hexadecimal digits>", "state serving|draining"
//! incoming/<name>-<n>.tmp    a pack on its way in; what a crash leaves is removed at start
//! packs/<aa>/<bb>/<name>     packs, by the last two bytes of their names
//! ```
//!
//! A file in the data directory lists the volumes that were ever taken (`<name> <directory>` a line). A listed
//! volume whose directory lacks its note is gone, a disk that is not mounted say: that is an alarm, reads elsewhere
//! go on, and nothing is written into the empty directory. Unlisted directories without packs become volumes.
//!
//! A pack is written beside, synced, renamed, its folder synced, dropped from memory and read back: only then there
//! is a [`HotPack`]. New packs go to the volume with most room above the reserve.
//! It deliberately keeps no index of packs: a name is looked for in each volume, which are few.

mod drain;
mod volume;
mod writer;

pub use drain::Drained;
pub use volume::{VolumeInfo, VolumeState};
pub use writer::{HotPack, HotWriter};

use crate::read_at::{unread, within};
use crate::{Disk, DiskFile, Open, PackFile, ReadAt, StoreError};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use volume::Volume;

/// The hot volumes of an archive.
pub struct HotPacks {
    disk: Arc<dyn Disk>,
    list: PathBuf,
    reserve: u64,
    volumes: RwLock<Vec<Arc<Volume>>>,
    /// Packs written by this process: a sweep that does not know of them yet leaves them alone.
    young: Arc<Mutex<HashSet<PackFile>>>,
}

/// A pack in a hot volume, open for reading.
pub struct HotFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    len: u64,
}

/// What removing a pack from the hot volumes came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Copies removed, durably.
    pub copies: usize,
    /// Volumes that could not be looked at and may hold another one.
    pub gone: usize,
}

impl HotPacks {
    /// Opens the volumes. `list` is the file of known volumes in the data directory; `reserve` bytes stay free on
    /// every volume, so that other work can go on.
    ///
    /// # Errors
    /// [`StoreError::Volume`] where a directory holds something else, or two are the same volume; those of `list`.
    /// A volume that is gone is no error.
    pub fn open(disk: Arc<dyn Disk>, list: &Path, dirs: &[PathBuf], reserve: u64) -> Result<Self, StoreError> {
        let this = Self { disk, list: list.to_owned(), reserve, volumes: RwLock::default(), young: Arc::default() };
        for dir in dirs {
            this.add(dir)?;
        }
        Ok(this)
    }

    /// Takes a further directory as a volume, also while running.
    ///
    /// # Errors
    /// [`StoreError::Volume`] where it holds something else or is a volume already.
    pub fn add(&self, dir: &Path) -> Result<(), StoreError> {
        let mut volumes = self.volumes.write();
        if volumes.iter().any(|volume| volume.dir() == dir) {
            return Err(StoreError::Volume { dir: dir.to_owned(), what: "it is a volume already" });
        }
        let mut known = volume::read_list(&*self.disk, &self.list)?;
        let volume = Volume::open(&*self.disk, dir, &known)?;
        if let Some(name) = volume.name() {
            if volumes.iter().any(|other| other.name() == Some(name)) {
                return Err(StoreError::Volume { dir: dir.to_owned(), what: "another directory is the same volume" });
            }
            known.retain(|(other, _)| other != name);
            known.push((name.to_owned(), dir.to_owned()));
            volume::write_list(&*self.disk, &self.list, &known)?;
        } else {
            tracing::error!(volume = %dir.display(), "a hot volume is gone: is its disk mounted?");
        }
        volumes.push(Arc::new(volume));
        Ok(())
    }

    /// What is known of each volume.
    pub fn volumes(&self) -> Vec<VolumeInfo> {
        self.volumes.read().iter().map(|volume| volume.info(&*self.disk)).collect()
    }

    /// Looks at every volume anew: one that came back serves again, one that went is an alarm. Call it every so
    /// often. Answers those that do not take packs though they should.
    pub fn look(&self) -> Vec<VolumeInfo> {
        let volumes = self.volumes.read().clone();
        let mut alarms = Vec::new();
        for volume in volumes {
            volume.look(&*self.disk);
            if matches!(volume.state(), VolumeState::Gone | VolumeState::ReadOnly) {
                alarms.push(volume.info(&*self.disk));
            }
        }
        alarms
    }

    /// Begins a pack of about `len` bytes on the volume with most room.
    ///
    /// # Errors
    /// [`StoreError::NoVolume`] where none has that room.
    pub fn create(&self, file: PackFile, len: u64) -> Result<HotWriter, StoreError> {
        self.create_beside(file, len, None)
    }

    /// The same, but not on the volume `not`.
    fn create_beside(&self, file: PackFile, len: u64, not: Option<&Path>) -> Result<HotWriter, StoreError> {
        let mut rooms: Vec<(u64, Arc<Volume>)> = Vec::new();
        for volume in self.volumes.read().iter().filter(|volume| Some(volume.dir()) != not) {
            if volume.state() == VolumeState::Serving {
                match self.disk.free_space(volume.dir()) {
                    Ok(free) => rooms.push((volume.room(free), Arc::clone(volume))),
                    Err(error) => volume.failed(&error),
                }
            }
        }
        rooms.sort_by_key(|(free, _)| std::cmp::Reverse(*free));
        let most = rooms.first().map_or(0, |(free, _)| *free);
        for (free, volume) in rooms {
            if free < len.saturating_add(self.reserve) {
                break;
            }
            match HotWriter::begin(&self.disk, &volume, file, len, &self.young) {
                Ok(writer) => return Ok(writer),
                Err(StoreError::Io { source, .. }) => volume.failed(&source),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::NoVolume { needed: len.saturating_add(self.reserve), free: most })
    }

    /// Opens a pack for reading, on whatever volume it lies.
    ///
    /// # Errors
    /// [`StoreError::NotHot`] where no volume at hand holds it.
    pub fn read(&self, file: PackFile) -> Result<HotFile, StoreError> {
        let volumes = self.volumes.read().clone();
        let mut gone = 0;
        for volume in volumes {
            let path = volume.path(file);
            match self.disk.open(&path, Open::Read).and_then(|file| Ok((file.len()?, file))) {
                Ok((len, file)) => return Ok(HotFile { file, path, len }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Where a whole volume is missing, so are its files.
                    gone += usize::from(volume.state() == VolumeState::Gone);
                }
                Err(error) => {
                    volume.failed(&error);
                    gone += 1;
                }
            }
        }
        Err(StoreError::NotHot { name: file.to_string(), gone })
    }

    /// Removes a pack from every volume.
    ///
    /// # Errors
    /// Those of the disks: ask again.
    pub fn remove(&self, file: PackFile) -> Result<Removed, StoreError> {
        let volumes = self.volumes.read().clone();
        let mut removed = Removed::default();
        for volume in volumes {
            match volume.remove(&*self.disk, file) {
                Ok(true) => removed.copies += 1,
                Ok(false) => removed.gone += usize::from(volume.state() == VolumeState::Gone),
                Err(_) if volume.state() == VolumeState::Gone => removed.gone += 1,
                Err(error) => return Err(error),
            }
        }
        self.young.lock().remove(&file);
        Ok(removed)
    }

    /// Tells every pack of every volume at hand: its directory and the pack.
    ///
    /// # Errors
    /// Those of the disks, or `visit`.
    pub fn list(&self, visit: &mut dyn FnMut(&Path, PackFile) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let volumes = self.volumes.read().clone();
        for volume in volumes.iter().filter(|volume| volume.state() != VolumeState::Gone) {
            volume.list(&*self.disk, &mut |file| visit(volume.dir(), file))?;
        }
        Ok(())
    }

    /// Removes packs that nobody knows: `known` is asked for each, but for those this process wrote. Answers how
    /// many went.
    ///
    /// # Errors
    /// Those of the disks.
    pub fn sweep(&self, known: &dyn Fn(PackFile) -> bool) -> Result<usize, StoreError> {
        let mut orphans = Vec::new();
        self.list(&mut |_, file| {
            if !known(file) && !self.young.lock().contains(&file) {
                orphans.push(file);
            }
            Ok(())
        })?;
        for file in &orphans {
            self.remove(*file)?;
        }
        Ok(orphans.len())
    }
}

impl HotFile {
    /// Drops what the memory holds of it, so that the next reads ask the disk.
    pub fn drop_cached(&self) {
        self.file.start_writeback(0, self.len);
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl ReadAt for HotFile {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        within(&range, self.len)?;
        let len = usize::try_from(range.end - range.start).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = unread(len);
        let read = self.file.read_at(&mut bytes, range.start)?;
        if read == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn len(&self) -> u64 {
        self.len
    }
}
