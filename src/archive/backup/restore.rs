//! Bringing a backup back into an empty data directory.

use super::shelf::Shelf;
use super::vault::BackupPlace;
use super::{BackupError, Set, io_at};
use crate::clock::SystemClock;
use model::Lsn;
use serde::Serialize;
use std::fs;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Name of the backup.
    pub set: String,
    /// Number of the newest record in it.
    pub last: Lsn,
    /// When it was made, milliseconds since 1970 UTC.
    pub at: u64,
    /// Files brought back.
    pub files: u64,
    /// Bytes brought back.
    pub bytes: u64,
}

/// Brings back a backup, the newest when none is named, with its key file where it is sealed, into a directory that is
/// missing, or empty but for the epoch keys, which are in no backup. The next start, or
/// `khoanh rebuild-index`, builds the index.
///
/// # Errors
/// [`BackupError::Refused`] for a directory that holds something, a backup that is not there, or a damaged object.
pub fn restore(
    from: &BackupPlace,
    key_file: Option<&Path>,
    set: Option<&str>,
    data: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Restored),
) -> Result<Restored, BackupError> {
    let refused = |what: String| BackupError::Refused { what };
    let epoch_keys = |entry: std::io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == "epoch.keys");
    if fs::read_dir(data).is_ok_and(|mut entries| entries.any(|entry| !epoch_keys(entry))) {
        return Err(refused(format!("{} is not empty: name a new directory", data.display())));
    }
    // Beside it, since it must be empty.
    let mut work = data.as_os_str().to_owned();
    work.push(".restoring");
    let work = Path::new(&work);
    let shelf = Shelf::open(from, key_file, work, Arc::new(SystemClock), false)?;
    let restored = bring(&shelf, set, data, stop, progress);
    drop(shelf);
    let _ = fs::remove_dir_all(work);
    restored
}

fn bring(
    shelf: &Shelf,
    set: Option<&str>,
    data: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Restored),
) -> Result<Restored, BackupError> {
    let refused = |what: String| BackupError::Refused { what };
    let Some((name, Set { files, last, at, .. })) = shelf.one_set(set)? else {
        return Err(refused(format!("{} holds no such backup", shelf.name())));
    };
    fs::create_dir_all(data).map_err(io_at(data))?;
    let mut restored = Restored { set: name, last, at, ..Restored::default() };
    for entry in &files {
        if stop.load(Ordering::Relaxed) {
            return Err(BackupError::Interrupted);
        }
        // A set is a file like any other: it must not name a place outside.
        let inside = |text: &str| Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside(&entry.path) || !inside(&entry.object) {
            return Err(refused(format!("the backup names a place outside the data directory: {}", entry.path)));
        }
        shelf.take(entry, &data.join(&entry.path))?;
        restored.files += 1;
        restored.bytes = restored.bytes.saturating_add(entry.len);
        progress(&restored);
    }
    Ok(restored)
}
