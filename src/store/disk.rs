//! The few operations the store needs from a disk, and the real one.
//!
//! A trait because there are two: the machine's, and the simulated one of the tests that loses what was
//! not synced. It deliberately offers nothing the journal does not use.

mod direct;

use crate::StoreError;
use direct::Direct;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made when missing.
    Create,
}

/// A disk: names, directories and space.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a directory and those above it.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, replacing the target. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable only after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be allocated on the file system of `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// Makes a lock file and holds its lock, against other processes and this one, until the answer is dropped.
    /// A disk without other users need not.
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, StoreError> {
        let _ = path;
        Ok(Box::new(()))
    }
}

/// An open file of a [`Disk`], used from several threads at once.
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `at`; fewer bytes only where the file ends.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all slices one after the other, the first at `at`. Not durable before [`DiskFile::sync_data`].
    fn write_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Allocates space so that writes below `len` cannot fail for want of it; extends the file to `len`.
    fn preallocate(&self, len: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
    /// Asks for a range to be written out soon, so that a later sync waits less.
    fn start_writeback(&self, at: u64, len: u64);
}

/// The machine's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o640);
        match how {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::Create => {
                options.write(true).create(true).truncate(false);
            }
        }
        let direct = (how != Open::Read).then(|| Direct::new(path.to_owned()));
        Ok(Arc::new(RealFile { file: options.open(path)?, direct }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is no text is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, StoreError> {
        Ok(Box::new(crate::lock::take_lock(path)?))
    }
}

struct RealFile {
    file: File,
    /// For large writes.
    direct: Option<Direct>,
}

/// Most slices the kernel takes in one call (IOV_MAX).
const SLICES_MAX: usize = 1024;

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let position =
                u64::try_from(done).ok().and_then(|done| at.checked_add(done)).ok_or(io::ErrorKind::InvalidInput)?;
            match self.file.read_at(rest, position) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
        let mut rest = slices;
        IoSlice::advance_slices(&mut rest, 0);
        if let Some(direct) = &self.direct {
            let went = direct.write(&self.file, &mut rest, at)?;
            at = at.checked_add(went).ok_or(io::ErrorKind::InvalidInput)?;
        }
        while !rest.is_empty() {
            let some = rest.get(..SLICES_MAX).unwrap_or(rest);
            match rustix::io::pwritev(&self.file, some, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    at = at.checked_add(n as u64).ok_or(io::ErrorKind::InvalidInput)?;
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // A file system without fallocate gets the zeros themselves.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let zeros = [0u8; 1 << 16];
                let mut at = self.file.metadata()?.len();
                while at < len {
                    let n = usize::try_from((len - at).min(zeros.len() as u64)).unwrap_or(zeros.len());
                    self.file.write_all_at(zeros.get(..n).unwrap_or(&zeros), at)?;
                    at += n as u64;
                }
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn start_writeback(&self, at: u64, len: u64) {
        // Linux starts asynchronous writeback of dirty pages in the range before it drops clean ones.
        // A hint: nothing depends on it.
        if let Some(len) = NonZeroU64::new(len) {
            let _ = fadvise(&self.file, at, Some(len), Advice::DontNeed);
        }
    }
}
