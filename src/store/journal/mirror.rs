//! The one or two directories of the journal, written alike.
//!
//! An operation succeeds when it succeeds on at least one of them; a directory that fails while the other
//! goes on is left out until the next start and raises an [`Alarm`]; see `pair.rs` for the note about it.
//! This file deliberately does not know what is written.

use super::layout::{HeaderFound, SEGMENT_HEADER, SegmentHeader};
use super::pair::{Note, State};
use crate::{Disk, DiskFile, Open, StoreError};
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A journal directory that is no longer written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The directory.
    pub dir: PathBuf,
    /// Why it was left out.
    pub reason: String,
}

struct Side {
    dir: PathBuf,
    failed: Mutex<Option<String>>,
}

/// The directories.
pub(crate) struct Mirror {
    pub(crate) disk: Arc<dyn Disk>,
    sides: Vec<Side>,
    handles: Mutex<VecDeque<(PathBuf, Arc<dyn DiskFile>)>>,
    failing: Mutex<()>,
    /// The directory start-up recovers from: without it nothing may go on.
    essential: Mutex<Option<PathBuf>>,
    /// Damage that another directory answered for and that was told.
    told: Mutex<HashSet<String>>,
    /// Number of the newest record known durable.
    pub(crate) synced: Arc<AtomicU64>,
}

/// Files kept open for reading.
const HANDLES_MAX: usize = 64;
/// Places of damage remembered as told; beyond, they are told anew.
const TOLD_MAX: usize = 4096;

/// Name of the directory of large bodies, beside the segments.
pub(crate) const BLOB_DIR: &str = "blobs";

/// One file in every directory.
pub(crate) struct Files {
    name: String,
    sides: Vec<Option<Arc<dyn DiskFile>>>,
    /// Whether the file is new, so that its directory entry needs a sync too.
    new_entry: AtomicBool,
}

pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:08}.seg")
}

impl Mirror {
    pub(crate) fn new(disk: Arc<dyn Disk>, dirs: &[PathBuf]) -> Self {
        let sides = dirs.iter().map(|dir| Side { dir: dir.clone(), failed: Mutex::new(None) }).collect();
        let synced = Arc::new(AtomicU64::new(0));
        Self {
            disk,
            sides,
            handles: Mutex::default(),
            failing: Mutex::default(),
            essential: Mutex::default(),
            told: Mutex::default(),
            synced,
        }
    }

    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.sides.iter().map(|side| side.dir.as_path())
    }

    /// Directories still written.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Path> {
        self.sides.iter().filter(|side| side.failed.lock().is_none()).map(|side| side.dir.as_path())
    }

    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        let failed = |side: &Side| side.failed.lock().clone().map(|reason| Alarm { dir: side.dir.clone(), reason });
        self.sides.iter().filter_map(failed).collect()
    }

    /// One directory answered for what others could not: counted each time, and told once for each place.
    pub(crate) fn answered(&self, failed: &[StoreError]) {
        for error in failed {
            metrics::counter!("khoanh_journal_read_elsewhere_total").increment(1);
            let mut told = self.told.lock();
            if told.len() >= TOLD_MAX {
                told.clear();
            }
            if told.insert(error.to_string()) {
                let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, reason, "a journal directory cannot be read here; the other one answers");
            }
        }
    }

    /// Nothing may go on without this directory until told otherwise.
    pub(crate) fn hold_on_to(&self, dir: Option<&Path>) {
        *self.essential.lock() = dir.map(Path::to_owned);
    }

    /// Leaves a directory out from now on. The other one notes durably that it goes on alone, before anything
    /// more is answered; without that note the failure is the caller's.
    pub(crate) fn fail(&self, dir: &Path, reason: String) -> Result<(), StoreError> {
        let _turn = self.failing.lock();
        let Some(side) = self.sides.iter().find(|side| side.dir == dir) else { return Ok(()) };
        if side.failed.lock().is_some() {
            return Ok(());
        }
        let survivor = self.live().find(|live| *live != dir).map(Path::to_owned);
        let Some(survivor) = survivor.filter(|_| self.essential.lock().as_deref() != Some(dir)) else {
            return Err(StoreError::io("go on without", dir, io::Error::other(reason)));
        };
        let lsn = self.synced.load(Ordering::Acquire);
        let note = |state, other: &Path| Note { state, lsn, other: Some(other.to_owned()) };
        let noted = note(State::Alone, dir).write(self.disk.as_ref(), &survivor);
        noted.map_err(|e| StoreError::io("note in", &survivor, e))?;
        // The failed one is told as well, when it still listens.
        let _ = note(State::Behind, &survivor).write(self.disk.as_ref(), dir);
        tracing::error!(dir = %dir.display(), reason, "a journal directory failed and is left out until restart");
        metrics::gauge!("khoanh_journal_directories_failed").increment(1.0);
        *side.failed.lock() = Some(reason);
        Ok(())
    }

    /// Does something in every live directory; at least one must succeed.
    pub(crate) fn each(
        &self,
        action: &'static str,
        name: &str,
        mut act: impl FnMut(usize, &Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut results = Vec::with_capacity(self.sides.len());
        for (index, side) in self.sides.iter().enumerate() {
            if side.failed.lock().is_none() {
                results.push((side, act(index, &side.dir)));
            }
        }
        self.judge(action, name, results)
    }

    fn judge(&self, action: &'static str, name: &str, results: Vec<(&Side, io::Result<()>)>) -> Result<(), StoreError> {
        let one_went_well = results.iter().any(|(_, result)| result.is_ok());
        let mut first = None;
        for (side, result) in results {
            let Err(error) = result else { continue };
            if one_went_well {
                self.fail(&side.dir, format!("{action} {name}: {error}"))?;
            } else if first.is_none() {
                first = Some(StoreError::io(action, &side.dir.join(name), error));
            }
        }
        match first {
            Some(error) => Err(error),
            None if one_went_well => Ok(()),
            None => Err(StoreError::Poisoned),
        }
    }

    /// Opens a file in every live directory.
    pub(crate) fn open(&self, name: &str, how: Open, new_entry: bool) -> Result<Files, StoreError> {
        let mut sides = vec![None; self.sides.len()];
        self.each("open", name, |index, dir| {
            let file = self.disk.open(&dir.join(name), how)?;
            if let Some(slot) = sides.get_mut(index) {
                *slot = Some(file);
            }
            Ok(())
        })?;
        Ok(Files { name: name.to_owned(), sides, new_entry: AtomicBool::new(new_entry) })
    }

    fn on_files(
        &self,
        action: &'static str,
        files: &Files,
        act: impl Fn(&dyn DiskFile) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        self.each(action, &files.name, |index, _| match files.sides.get(index) {
            Some(Some(file)) => act(file.as_ref()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    /// Writes the same bytes everywhere.
    pub(crate) fn write(&self, files: &Files, slices: &[IoSlice<'_>], at: u64) -> Result<(), StoreError> {
        self.on_files("write", files, |file| file.write_at(&mut slices.to_vec(), at))
    }

    pub(crate) fn preallocate(&self, files: &Files, len: u64) -> Result<(), StoreError> {
        self.on_files("allocate space for", files, |file| file.preallocate(len))
    }

    pub(crate) fn set_len(&self, files: &Files, len: u64) -> Result<(), StoreError> {
        self.on_files("cut", files, |file| file.set_len(len))
    }

    pub(crate) fn start_writeback(&self, files: &Files, at: u64, len: u64) {
        for file in files.sides.iter().flatten() {
            file.start_writeback(at, len);
        }
    }

    /// Shortest length of the file in the directories.
    pub(crate) fn len(&self, files: &Files) -> Result<u64, StoreError> {
        let mut shortest = u64::MAX;
        self.each("look at", &files.name, |index, _| {
            if let Some(Some(file)) = files.sides.get(index) {
                shortest = shortest.min(file.len()?);
            }
            Ok(())
        })?;
        Ok(shortest)
    }

    /// Makes one file durable in every live directory, side by side.
    pub(crate) fn sync(&self, files: &Files) -> Result<(), StoreError> {
        let one = |index: usize, side: &Side| {
            let Some(Some(file)) = files.sides.get(index) else { return Err(io::ErrorKind::NotFound.into()) };
            file.sync_data()?;
            let new_entry = files.new_entry.load(Ordering::Acquire);
            if new_entry { self.disk.sync_dir(self.parent(side, &files.name).as_path()) } else { Ok(()) }
        };
        let live: Vec<(usize, &Side)> =
            self.sides.iter().enumerate().filter(|(_, side)| side.failed.lock().is_none()).collect();
        let results = match live.as_slice() {
            [(index, side)] => vec![(*side, one(*index, side))],
            several => std::thread::scope(|scope| {
                let (mut running, mut results) = (Vec::new(), Vec::new());
                for (at, (index, side)) in several.iter().enumerate() {
                    let aside = || std::thread::Builder::new().spawn_scoped(scope, || one(*index, side)).ok();
                    // The last one needs no thread, and without threads they go one after the other.
                    match (at + 1 < several.len()).then(aside).flatten() {
                        Some(thread) => running.push((*side, thread)),
                        None => results.push((*side, one(*index, side))),
                    }
                }
                let panicked = |_| Err(io::Error::other("the sync thread panicked"));
                let joined = running.into_iter().map(|(side, thread)| (side, thread.join().unwrap_or_else(panicked)));
                results.extend(joined);
                results
            }),
        };
        self.judge("sync", &files.name, results)?;
        files.new_entry.store(false, Ordering::Release);
        Ok(())
    }

    fn parent(&self, side: &Side, name: &str) -> PathBuf {
        let path = side.dir.join(name);
        path.parent().unwrap_or(&side.dir).to_owned()
    }

    /// Smallest free space of the live directories, in bytes.
    pub(crate) fn free_space(&self) -> Result<u64, StoreError> {
        let mut free = u64::MAX;
        self.each("ask for free space", "", |_, dir| {
            free = free.min(self.disk.free_space(dir)?);
            Ok(())
        })?;
        Ok(free)
    }

    /// A file of one directory for reading; the last used ones stay open.
    pub(crate) fn reader(&self, dir: &Path, name: &str) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = dir.join(name);
        let mut handles = self.handles.lock();
        if let Some((_, file)) = handles.iter().find(|(known, _)| *known == path) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&path, Open::Read).map_err(|e| StoreError::io("open", &path, e))?;
        if handles.len() >= HANDLES_MAX {
            handles.pop_front();
        }
        handles.push_back((path, Arc::clone(&file)));
        Ok(file)
    }

    /// Forgets open files, because names now mean other files.
    pub(crate) fn forget_readers(&self) {
        self.handles.lock().clear();
    }

    /// Writes a segment header everywhere and makes it durable.
    pub(crate) fn put_header(&self, header: &SegmentHeader) -> Result<(), StoreError> {
        let files = self.open(&segment_name(header.number), Open::Create, true)?;
        self.write(&files, &[IoSlice::new(&header.encode())], 0)?;
        self.sync(&files)
    }
}

/// Reads a segment's header from one directory.
pub(crate) fn read_header(disk: &dyn Disk, path: &Path) -> Result<HeaderFound, StoreError> {
    let failed = |e| StoreError::io("read the header of", path, e);
    let mut bytes = [0; SEGMENT_HEADER];
    let file = disk.open(path, Open::Read).map_err(failed)?;
    file.read_at(&mut bytes, 0).map_err(failed)?;
    Ok(SegmentHeader::decode(&bytes))
}
