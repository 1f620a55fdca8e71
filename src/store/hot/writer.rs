//! A pack on its way into a hot volume.

use super::volume::Volume;
use crate::{Disk, DiskFile, Open, PackFile, StoreError};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// After so many bytes the disk is asked to begin writing, so that memory stays free and the sync is short.
const WRITEBACK_BYTES: u64 = 8 << 20;
/// Bytes read back at a time.
const STEP: usize = 1 << 20;

static TRIES: AtomicU64 = AtomicU64::new(0);

/// Writes a pack. Dropped before [`HotWriter::finish`] it leaves nothing.
pub struct HotWriter {
    disk: Arc<dyn Disk>,
    volume: Arc<Volume>,
    file: Arc<dyn DiskFile>,
    name: PackFile,
    path: PathBuf,
    promised: u64,
    len: u64,
    kicked: u64,
    sum: Sha256,
    young: Arc<Mutex<HashSet<PackFile>>>,
    finished: bool,
}

/// A pack that lies durably in a hot volume and was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HotPack {
    /// The pack.
    pub file: PackFile,
    /// Where it lies.
    pub path: PathBuf,
    /// Length in bytes.
    pub len: u64,
    /// SHA-256 of its bytes as they lie there.
    pub digest: [u8; 32],
}

impl HotWriter {
    pub(super) fn begin(
        disk: &Arc<dyn Disk>,
        volume: &Arc<Volume>,
        name: PackFile,
        len: u64,
        young: &Arc<Mutex<HashSet<PackFile>>>,
    ) -> Result<Self, StoreError> {
        let path = volume.incoming(&format!("{name}-{}.tmp", TRIES.fetch_add(1, Ordering::Relaxed)));
        let failed = |e| StoreError::io("create", &path, e);
        let file = disk.open(&path, Open::Create).map_err(failed)?;
        volume.promise(len);
        let writer = Self {
            disk: Arc::clone(disk),
            volume: Arc::clone(volume),
            file,
            name,
            path,
            promised: len,
            len: 0,
            kicked: 0,
            sum: Sha256::new(),
            young: Arc::clone(young),
            finished: false,
        };
        if len > 0 {
            // Full is told now rather than in the middle.
            writer.file.preallocate(len).map_err(|e| StoreError::io("allocate", &writer.path, e))?;
        }
        Ok(writer)
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the pack durable under its name, drops it from memory, reads it back and compares.
    ///
    /// # Errors
    /// [`StoreError::ReadBack`] where it differs, and it is removed again; those of the disk.
    pub fn finish(mut self) -> Result<HotPack, StoreError> {
        let digest: [u8; 32] = std::mem::take(&mut self.sum).finalize().into();
        let path = self.volume.path(self.name);
        self.young.lock().insert(self.name);
        let placed = self.place(&path);
        if let Err(error) = placed {
            self.volume.failed(&error);
            return Err(StoreError::io("place a pack at", &path, error));
        }
        self.finished = true;
        let same = self.read_back(&path).map_err(|e| StoreError::io("read back", &path, e))? == digest;
        if !same {
            self.volume.remove(&*self.disk, self.name)?;
            return Err(StoreError::ReadBack { path });
        }
        Ok(HotPack { file: self.name, path, len: self.len, digest })
    }

    fn place(&self, path: &Path) -> io::Result<()> {
        if self.file.len()? != self.len {
            self.file.set_len(self.len)?;
        }
        self.file.sync_data()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        self.volume.make_folder(&*self.disk, folder)?;
        // A name that is not durable where it is cannot be moved durably.
        self.disk.sync_dir(self.path.parent().unwrap_or(Path::new("")))?;
        self.disk.rename(&self.path, path)?;
        self.disk.sync_dir(folder)
    }

    fn read_back(&self, path: &Path) -> io::Result<[u8; 32]> {
        let file = self.disk.open(path, Open::Read)?;
        if file.len()? != self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Synced pages are dropped, so that the disk answers and not the memory.
        file.start_writeback(0, self.len);
        let (mut sum, mut at, mut step) = (Sha256::new(), 0, vec![0; STEP]);
        while at < self.len {
            let read = file.read_at(&mut step, at)?;
            let bytes = step.get(..read).filter(|bytes| !bytes.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
            sum.update(bytes);
            at += bytes.len() as u64;
        }
        Ok(sum.finalize().into())
    }
}

impl Write for HotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(&mut [IoSlice::new(bytes)], self.len)?;
        self.sum.update(bytes);
        self.len += bytes.len() as u64;
        if self.len - self.kicked >= WRITEBACK_BYTES {
            self.file.start_writeback(self.kicked, self.len - self.kicked);
            self.kicked = self.len;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for HotWriter {
    fn drop(&mut self) {
        self.volume.settle(self.promised);
        if !self.finished {
            // Whichever name it got to; what cannot be removed now goes at the next start or sweep.
            let _ = self.disk.remove(&self.path);
            self.young.lock().remove(&self.name);
        }
    }
}
