//! Where backups lie: a directory, or a bucket under a prefix. Both hold named objects that are written once.
//!
//! Deliberately not here: what the objects mean, and whether they are sealed.

use super::copy::write_durably;
use super::{BackupError, io_at};
use crate::clock::Clock;
use crate::tier::CloudOptions;
use crate::tier::cloud::connect;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::cold::{Cold, ColdFault, ColdObject, PutOptions};
use store::read_at::FileAt;
use store::{ReadAt, StoreError};

/// Bytes copied at once.
const STEP: u64 = 1 << 20;

/// Where backups lie.
#[derive(Debug, Clone)]
pub enum BackupPlace {
    /// A directory.
    Directory(PathBuf),
    /// A bucket: the options name it, and the prefix under which backups lie.
    Bucket(Box<CloudOptions>),
}

impl BackupPlace {
    /// `s3://BUCKET/PREFIX`, reached as `cloud` says, or a directory.
    ///
    /// # Errors
    /// [`BackupError::Refused`] for a bucket without options to reach it, or without a prefix.
    pub fn parse(text: &str, cloud: Option<&CloudOptions>) -> Result<Self, BackupError> {
        let refused = |what: &str| BackupError::Refused { what: format!("{text}: {what}") };
        let Some(place) = text.strip_prefix("s3://") else { return Ok(Self::Directory(PathBuf::from(text))) };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || prefix.is_empty() {
            return Err(refused("name a bucket and a prefix: s3://BUCKET/PREFIX"));
        }
        let cloud = cloud.ok_or_else(|| refused("[cold] names no access_key and secret_key_file to reach it with"))?;
        if cloud.bucket == bucket && cloud.prefix.trim_matches('/') == prefix {
            return Err(refused("the packs lie under this prefix: choose another one for backups"));
        }
        let options = CloudOptions { bucket: bucket.into(), prefix: prefix.into(), worm: false, ..cloud.clone() };
        Ok(Self::Bucket(Box::new(options)))
    }
}

/// Bytes to be put.
pub(super) enum Body<'a> {
    /// A file of its own, which may be taken away.
    File(&'a Path),
    /// Anything else.
    Bytes(&'a dyn ReadAt),
}

/// Named objects.
pub(super) enum Vault {
    Directory(PathBuf),
    Bucket { cold: Arc<Cold>, name: String },
}

impl Vault {
    /// Opens a place; `work` is a directory for files on their way. A directory is made when it is missing and `make`.
    pub(super) fn open(
        place: &BackupPlace,
        work: &Path,
        clock: Arc<dyn Clock>,
        make: bool,
    ) -> Result<Self, BackupError> {
        match place {
            BackupPlace::Directory(dir) => {
                for inner in ["objects", "sets"].iter().filter(|_| make) {
                    let inner = dir.join(inner);
                    fs::create_dir_all(&inner).map_err(io_at(&inner))?;
                }
                Ok(Self::Directory(dir.clone()))
            }
            BackupPlace::Bucket(options) => {
                let name = format!("s3://{}/{}", options.bucket, options.prefix);
                Ok(Self::Bucket { cold: Arc::new(connect(options, work.to_owned(), clock)?), name })
            }
        }
    }

    /// Ends what waits for the bucket.
    pub(super) fn stop(&self) {
        if let Self::Bucket { cold, .. } = self {
            cold.stop();
        }
    }

    /// The names in a folder, with their lengths.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<(String, u64)>, BackupError> {
        let mut names = Vec::new();
        match self {
            Self::Directory(dir) => {
                let dir = dir.join(folder);
                for entry in fs::read_dir(&dir).map_err(io_at(&dir))? {
                    let entry = entry.map_err(io_at(&dir))?;
                    let len = entry.metadata().map_err(io_at(&entry.path()))?.len();
                    names.extend(entry.file_name().to_str().map(|name| (name.to_owned(), len)));
                }
            }
            Self::Bucket { cold, .. } => {
                let under = cold.key(folder);
                let listed = cold.list(&under, &mut |found| {
                    let name = found.key.strip_prefix(&under).map(|name| name.trim_start_matches('/'));
                    names.extend(name.map(|name| (name.to_owned(), found.len)));
                    Ok(())
                });
                match listed {
                    Err(error) if error.cold_fault() == Some(ColdFault::Missing) => {}
                    answer => answer?,
                }
            }
        }
        Ok(names)
    }

    /// Writes an object whole and durably; in a bucket it is read back.
    pub(super) fn put(&self, name: &str, body: &Body<'_>) -> Result<(), BackupError> {
        match (self, body) {
            (Self::Directory(dir), Body::File(file)) => {
                let to = dir.join(name);
                File::open(file).and_then(|file| file.sync_all()).map_err(io_at(file))?;
                fs::rename(file, &to).map_err(io_at(&to))?;
                sync_folder(&to)
            }
            (Self::Directory(dir), Body::Bytes(bytes)) => {
                let to = dir.join(name);
                let beside = dir.join(format!("{name}.tmp"));
                let mut file = File::create(&beside).map_err(io_at(&beside))?;
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min(at + STEP);
                    let copied = bytes.read_at(at..end).and_then(|bytes| file.write_all(&bytes));
                    copied.map_err(io_at(&beside))?;
                    at = end;
                }
                file.sync_all().and_then(|()| fs::rename(&beside, &to)).map_err(io_at(&to))?;
                sync_folder(&to)
            }
            (Self::Bucket { cold, .. }, Body::File(file)) => {
                let bytes = FileAt::open(file).map_err(io_at(file))?;
                cold.put(&cold.key(name), &bytes, &PutOptions::default())?;
                fs::remove_file(file).map_err(io_at(file))
            }
            (Self::Bucket { cold, .. }, Body::Bytes(bytes)) => {
                cold.put(&cold.key(name), bytes, &PutOptions::default())?;
                Ok(())
            }
        }
    }

    /// Writes a few bytes whole.
    pub(super) fn put_small(&self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        match self {
            Self::Directory(dir) => write_durably(&dir.join(name), bytes),
            Self::Bucket { .. } => self.put(name, &Body::Bytes(&bytes.to_vec())),
        }
    }

    /// An object of that length, to be read.
    pub(super) fn object(&self, name: &str, len: u64) -> Result<Arc<dyn ReadAt>, BackupError> {
        match self {
            Self::Directory(dir) => {
                let path = dir.join(name);
                Ok(Arc::new(FileAt::open(&path).map_err(io_at(&path))?))
            }
            Self::Bucket { cold, .. } => Ok(Arc::new(ColdObject::new(Arc::clone(cold), &cold.key(name), None, len))),
        }
    }

    /// Removes an object, in a bucket every version of it; false where a lock keeps it.
    pub(super) fn remove(&self, name: &str) -> Result<bool, BackupError> {
        match self {
            Self::Directory(dir) => {
                let path = dir.join(name);
                fs::remove_file(&path).map(|()| true).map_err(io_at(&path))
            }
            Self::Bucket { cold, .. } => match cold.destroy(&cold.key(name)) {
                Err(error) if error.cold_fault() == Some(ColdFault::Locked) => Ok(false),
                answer => answer.map(|_| true).map_err(BackupError::from),
            },
        }
    }

    /// What it is called for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Directory(dir) => dir.display().to_string(),
            Self::Bucket { name, .. } => name.clone(),
        }
    }
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at(folder))
}

/// An object from front to end.
pub(super) struct Stream<'a> {
    object: &'a dyn ReadAt,
    at: u64,
    ready: Vec<u8>,
    read: usize,
}

impl<'a> Stream<'a> {
    pub(super) const fn new(object: &'a dyn ReadAt) -> Self {
        Self { object, at: 0, ready: Vec::new(), read: 0 }
    }
}

impl io::Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.ready.len() {
            let end = self.object.len().min(self.at.saturating_add(STEP));
            self.ready = self.object.read_at(self.at..end)?;
            (self.at, self.read) = (end, 0);
        }
        let ready = self.ready.get(self.read..).unwrap_or_default();
        let count = ready.len().min(into.len());
        into.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
        self.read += count;
        Ok(count)
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_bucket_with_a_prefix_apart_from_the_packs() {
        let cloud = CloudOptions { prefix: "packs".into(), ..CloudOptions::new("archive") };
        let refused = |text| BackupPlace::parse(text, Some(&cloud)).expect_err(text).to_string();
        assert!(
            matches!(BackupPlace::parse("/mnt/b", None), Ok(BackupPlace::Directory(dir)) if dir == Path::new("/mnt/b"))
        );
        let place = BackupPlace::parse("s3://safe/khoanh/1/", Some(&cloud)).expect("a bucket");
        let BackupPlace::Bucket(options) = place else { panic!("{place:?}") };
        assert_eq!((options.bucket.as_str(), options.prefix.as_str()), ("safe", "khoanh/1"));
        assert!(refused("s3://safe").contains("prefix") && refused("s3:///x").contains("bucket"));
        assert!(refused("s3://archive/packs/").contains("another one"));
        assert!(BackupPlace::parse("s3://safe/x", None).is_err());
    }
}
