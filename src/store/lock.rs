//! The data directory: its format version and the lock that keeps a second server out.
//!
//! `FORMAT` holds one line, `khoanh <version>`. A program refuses a version newer than its own and raises an older
//! one before it writes anything, so that the older program refuses from then on.
//! `LOCK` is held with flock(2) for as long as the [`DataDir`] lives and names the process in it.
//! This module deliberately knows nothing of what else lies in the directory.

use crate::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Version of everything in a data directory that this program writes. 2: heads with a dictionary;
/// 3: packs; 4: destinations, storage commitments, forwarding; 5: procedure steps sealed; 6: two kinds of
/// digest, and events and filters of procedure steps sealed; 7: charts; 8: rows of charts of kinds 9 and above;
/// 9: of kinds 14 and above; 10: of kinds 16 and above, series moved to other studies, deliveries that tell of patients.
pub const FORMAT_VERSION: u32 = 10;

/// Longest text read from `FORMAT` and `LOCK`, in bytes.
const TEXT_MAX: u64 = 256;

/// A data directory, locked for this process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Closing the file gives the lock back.
    _lock: File,
}

impl DataDir {
    /// Makes the directory when it is missing, takes its lock and checks its version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(|e| StoreError::io("create", path, e))?;
        let lock = take_lock(&path.join("LOCK"))?;
        check_format(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub(crate) fn take_lock(path: &Path) -> Result<File, StoreError> {
    let failed = |e| StoreError::io("open the lock file", path, e);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = read_text(&mut file).ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "?".into());
            return Err(StoreError::Locked { path: path.to_owned(), pid });
        }
        Err(errno) => return Err(failed(errno.into())),
    }
    // Who holds the lock is a courtesy: a full disk must not keep the archive from starting.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn check_format(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("FORMAT");
    let failed = |e| StoreError::io("read the format version", &path, e);
    let text = match File::open(&path) {
        Ok(mut file) => read_text(&mut file).map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return write_format(dir, &path),
        Err(error) => return Err(failed(error)),
    };
    let version = text.strip_prefix("khoanh ").and_then(|rest| rest.parse::<u32>().ok());
    match version {
        Some(found) if found > FORMAT_VERSION => Err(StoreError::Newer { path, found, known: FORMAT_VERSION }),
        Some(found) if found < FORMAT_VERSION => write_format(dir, &path),
        Some(_) => Ok(()),
        None => Err(StoreError::Foreign { path, what: "the first line is not `khoanh <version>`" }),
    }
}

/// Written beside and renamed, so that a crash leaves either no version or the whole of it.
fn write_format(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::io("write the format version", path, e);
    let beside = dir.join("FORMAT.new");
    let mut file = File::create(&beside).map_err(failed)?;
    writeln!(file, "khoanh {FORMAT_VERSION}").map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn read_text(file: &mut File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(TEXT_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_and_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().expect("folder");
        let first = DataDir::open(dir.path()).expect("first");

        let second = DataDir::open(dir.path());
        let Err(StoreError::Locked { pid, .. }) = second else { panic!("{second:?}") };
        assert_eq!(pid, std::process::id().to_string());

        drop(first);
        DataDir::open(dir.path()).expect("free again");
    }

    #[test]
    fn an_older_directory_is_raised_to_this_version() {
        let dir = tempfile::tempdir().expect("folder");
        for older in 1..FORMAT_VERSION {
            fs::write(dir.path().join("FORMAT"), format!("khoanh {older}\n")).expect("older");
            drop(DataDir::open(dir.path()).expect("opened"));
            assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).expect("format"), "khoanh 10\n");
        }
    }

    #[test]
    fn a_newer_directory_and_a_foreign_one_are_refused_unchanged() {
        let dir = tempfile::tempdir().expect("folder");
        let format = dir.path().join("FORMAT");
        drop(DataDir::open(dir.path()).expect("made"));
        assert_eq!(fs::read_to_string(&format).expect("format"), "khoanh 10\n");

        fs::write(&format, format!("khoanh {}\n", FORMAT_VERSION + 1)).expect("newer");
        let refused = DataDir::open(dir.path());
        assert!(matches!(&refused, Err(StoreError::Newer { found, .. }) if *found > FORMAT_VERSION), "{refused:?}");

        fs::write(&format, "something else").expect("foreign");
        assert!(matches!(DataDir::open(dir.path()), Err(StoreError::Foreign { .. })));
        assert_eq!(fs::read_to_string(&format).expect("format"), "something else");
    }
}
