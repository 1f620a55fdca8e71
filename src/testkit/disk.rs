//! A disk in memory that loses what was not synced.
//!
//! At a power loss every sector of 512 bytes written since the last sync of its file survives or not, by a
//! seed; so do lengths and directory entries that were not synced. A sync can be made to fail: afterwards
//! the file reads as written while the disk holds the old bytes and nothing is left to write, as on Linux.
//! Every changing operation is counted, and the power can be cut at any of them: the operation may have
//! happened in part, and everything after it fails.
//!
//! It deliberately models no seek times and no threads: only what survives.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Disk, DiskFile, Open};

const SECTOR: usize = 512;

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct Node {
    /// What a reader sees.
    live: Vec<u8>,
    /// What the platters hold.
    durable: Vec<u8>,
    /// Sectors that a sync would write.
    dirty: BTreeSet<usize>,
}

enum Entry {
    Create(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct State {
    nodes: HashMap<u64, Node>,
    next_node: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending: Vec<Entry>,
    dirs: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    operations: u64,
    syncs: u64,
    cut_at: Option<u64>,
    fail_sync_at: Option<u64>,
    broken_dir: Option<PathBuf>,
    off: bool,
    starts: u64,
    hints: Vec<Hint>,
}

/// A range of a file that the disk was asked to write out soon and forget, and the changing operations before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The file.
    pub path: PathBuf,
    /// Where the range begins.
    pub at: u64,
    /// Its length.
    pub len: u64,
    /// Changing operations before.
    pub operations: u64,
}

impl SimDisk {
    /// An empty disk without end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Ranges that were to be written out soon, so far.
    pub fn hints(&self) -> Vec<Hint> {
        self.0.lock().hints.clone()
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Cuts the power when the given number of further operations have gone well.
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.0.lock();
        state.cut_at = Some(state.operations + operations);
    }

    /// Makes the sync after the given number of further ones fail.
    pub fn fail_sync_after(&self, syncs: u64) {
        let mut state = self.0.lock();
        state.fail_sync_at = Some(state.syncs + syncs);
    }

    /// Makes everything below a directory fail until told otherwise.
    pub fn break_dir(&self, dir: Option<&Path>) {
        self.0.lock().broken_dir = dir.map(Path::to_owned);
    }

    /// Total space in bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// Loses what was not synced, as the seed says, and turns the power on again.
    /// Files opened before are no longer good.
    pub fn power_loss(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = self.0.lock();
        for entry in std::mem::take(&mut state.pending) {
            if random.bool() {
                entry.apply(&mut state.durable_names);
            }
        }
        // In the order of their numbers, so that a seed always gives the same disk.
        let mut numbers: Vec<u64> = state.nodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(node) = state.nodes.get_mut(&number) {
                node.lose(&mut random);
            }
        }
        state.names = state.durable_names.clone();
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.nodes.retain(|number, _| named.contains(number));
        state.power_on();
    }

    /// Stops the process but not the machine: files opened before are no longer good, nothing is lost.
    pub fn restart(&self) {
        self.0.lock().power_on();
    }

    /// Contents of a file as a reader sees them.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(path).and_then(|number| state.nodes.get(number)).map(|node| node.live.clone())
    }

    /// Changes a file in place, on the platters too.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let Some(number) = state.names.get(path).copied() else { return };
        if let Some(node) = state.nodes.get_mut(&number) {
            change(&mut node.live);
            node.durable = node.live.clone();
            node.dirty.clear();
        }
    }

    /// All files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }
}

impl Entry {
    fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Entry::Create(path, node) => {
                names.insert(path, node);
            }
            Entry::Remove(path) => {
                names.remove(&path);
            }
            Entry::Rename(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
        }
    }

    fn dir(&self) -> Option<&Path> {
        match self {
            Entry::Create(path, _) | Entry::Remove(path) | Entry::Rename(_, path) => path.parent(),
        }
    }
}

impl Node {
    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.write_sector(sector);
        }
    }

    fn write_sector(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.live.len()).min(self.durable.len());
        if let (Some(to), Some(from)) = (self.durable.get_mut(start..end), self.live.get(start..end)) {
            to.copy_from_slice(from);
        }
    }

    fn lose(&mut self, random: &mut fastrand::Rng) {
        if random.bool() {
            self.durable.resize(self.live.len(), 0);
        }
        // Nothing, everything, or some sectors reached the platters.
        let chance = *random.choice(&[0, 50, 90, 100]).unwrap_or(&50);
        for sector in std::mem::take(&mut self.dirty) {
            if random.u8(0..100) < chance {
                self.write_sector(sector);
            }
        }
        self.live = self.durable.clone();
    }

    fn resize(&mut self, len: usize) {
        let (from, to) = (self.live.len().min(len), self.live.len().max(len));
        self.live.resize(len, 0);
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }
}

impl State {
    fn power_on(&mut self) {
        self.off = false;
        self.cut_at = None;
        self.fail_sync_at = None;
        self.starts += 1;
    }

    fn reach(&self, path: &Path) -> io::Result<()> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        match &self.broken_dir {
            Some(dir) if path.starts_with(dir) => Err(io::Error::other("the directory is broken")),
            _ => Ok(()),
        }
    }

    /// Counts an operation. The one at which the power goes still happens, but is not answered.
    fn count(&mut self) -> bool {
        self.operations += 1;
        if self.cut_at.is_some_and(|at| self.operations > at) {
            self.off = true;
        }
        !self.off
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|number| self.nodes.get(number)).map(|node| node.live.len() as u64).sum()
    }

    fn need(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.used() + more > capacity => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

fn answer(on: bool) -> io::Result<()> {
    if on { Ok(()) } else { Err(io::Error::other("the power went off")) }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.reach(path)?;
        let node = match state.names.get(path) {
            Some(node) => *node,
            None if how == Open::Create => {
                let on = state.count();
                state.next_node += 1;
                let node = state.next_node;
                state.nodes.insert(node, Node::default());
                state.names.insert(path.to_owned(), node);
                state.pending.push(Entry::Create(path.to_owned(), node));
                answer(on)?;
                node
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let start = state.starts;
        Ok(Arc::new(SimFile { disk: self.clone(), path: path.to_owned(), node, start }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.reach(path)?;
        state.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        state.reach(dir)?;
        let inside = state.names.keys().chain(&state.dirs).filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.reach(from)?;
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        let on = state.count();
        state.names.insert(to.to_owned(), node);
        state.pending.push(Entry::Rename(from.to_owned(), to.to_owned()));
        answer(on)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.reach(path)?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        let on = state.count();
        state.pending.push(Entry::Remove(path.to_owned()));
        answer(on)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.reach(dir)?;
        answer(state.count())?;
        for entry in std::mem::take(&mut state.pending) {
            if entry.dir() == Some(dir) {
                entry.apply(&mut state.durable_names);
            } else {
                state.pending.push(entry);
            }
        }
        Ok(())
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        state.reach(dir)?;
        Ok(state.capacity.unwrap_or(u64::MAX / 2).saturating_sub(state.used()))
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    node: u64,
    start: u64,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        state.reach(&self.path)?;
        if state.starts != self.start {
            return Err(io::Error::other("the file was opened before the restart"));
        }
        act(&mut state)
    }
}

fn node(state: &mut State, number: u64) -> io::Result<&mut Node> {
    state.nodes.get_mut(&number).ok_or(io::ErrorKind::NotFound.into())
}

fn index(at: u64) -> io::Result<usize> {
    usize::try_from(at).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.with(|state| {
            let live = &node(state, self.node)?.live;
            let rest = live.get(index(at)?..).unwrap_or(&[]);
            let n = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
                to.copy_from_slice(from);
            }
            Ok(n)
        })
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        self.with(|state| {
            let bytes = slices.iter().map(|slice| &**slice).collect::<Vec<&[u8]>>().concat();
            let (start, end) = (index(at)?, index(at)? + bytes.len());
            let grows = end.saturating_sub(node(state, self.node)?.live.len());
            state.need(grows as u64)?;
            let on = state.count();
            let node = node(state, self.node)?;
            if grows > 0 {
                node.resize(end);
            }
            if let Some(place) = node.live.get_mut(start..end) {
                place.copy_from_slice(&bytes);
            }
            node.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
            answer(on)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            // At the cut the power goes before the disk has finished: what was dirty may or may not survive.
            answer(state.count())?;
            state.syncs += 1;
            let fails = state.fail_sync_at.is_some_and(|at| state.syncs > at);
            let node = node(state, self.node)?;
            if fails {
                node.dirty.clear();
                state.fail_sync_at = None;
                return Err(io::Error::other("the sync failed"));
            }
            node.sync();
            Ok(())
        })
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            let len = index(len)?;
            let have = node(state, self.node)?.live.len();
            if have >= len {
                return Ok(());
            }
            state.need((len - have) as u64)?;
            let on = state.count();
            node(state, self.node)?.resize(len);
            answer(on)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            let on = state.count();
            node(state, self.node)?.resize(index(len)?);
            answer(on)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(node(state, self.node)?.live.len() as u64))
    }

    fn start_writeback(&self, at: u64, len: u64) {
        // A hint: nothing depends on it, and a disk that is off hears none.
        let _ = self.with(|state| {
            let (path, operations) = (self.path.clone(), state.operations);
            state.hints.push(Hint { path, at, len, operations });
            Ok(())
        });
    }
}
