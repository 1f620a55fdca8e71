//! Whether files changed since they were read: their sizes and times, which move with every writing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A file changed this short a time ago may change once more without showing it: file systems count in ticks.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None when there is no file to look at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whether it can no longer change without showing it.
    pub(crate) fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).ok().map(|at| UNIX_EPOCH + Duration::from_secs(at));
        changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > SETTLED)
    }
}
