//! Copying files into objects and back.

use super::{BackupError, io_at};
use model::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// zstd level of an object: what is not pixels is mostly zeros and JSON.
const LEVEL: i32 = 1;
/// Bytes copied at once.
const STEP: usize = 1 << 20;

/// A file to be copied.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Path inside the data directory.
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) size: u64,
    /// A name that only these bytes have; none for bytes that may change.
    pub(super) lasting: Option<String>,
}

impl Source {
    /// The same, for the volume that all packs come back to.
    pub(super) fn in_packs(self) -> Self {
        Self { name: format!("packs/{}", self.name), ..self }
    }
}

/// What came of copying.
pub(super) struct Copied {
    /// Whole name of the object.
    pub(super) object: String,
    pub(super) sha256: Digest,
    /// It was not there before.
    pub(super) fresh: bool,
}

/// The files under some names in a directory, whole; names that are not there are left out.
pub(super) fn small_files(data: &Path, names: &[&str]) -> Result<Vec<Source>, BackupError> {
    let mut found = Vec::new();
    let mut rest: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = rest.pop() {
        let path = data.join(&name);
        let about = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about.map_err(io_at(&path))?,
        };
        if about.is_dir() {
            for entry in fs::read_dir(&path).map_err(io_at(&path))? {
                let entry = entry.map_err(io_at(&path))?;
                rest.extend(entry.file_name().to_str().map(|inner| format!("{name}/{inner}")));
            }
        } else if path.file_name().is_some_and(|file| file != "LOCK") {
            found.push(Source { path, name, len: about.len(), size: about.len(), lasting: None });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The files of a directory that may lie anywhere, as they are named in a data directory.
pub(super) fn under(dir: &Path, name: &str) -> Result<Vec<Source>, BackupError> {
    let (Some(parent), Some(own)) = (dir.parent(), dir.file_name().and_then(|own| own.to_str())) else {
        return Err(BackupError::Refused { what: format!("{} has no name", dir.display()) });
    };
    let mut files = small_files(parent, &[own])?;
    for file in &mut files {
        file.name = format!("{name}{}", file.name.get(own.len()..).unwrap_or_default());
    }
    Ok(files)
}

/// Writes the zstd form of a file's bytes; gives the SHA-256 of the bytes, and that of what was written.
pub(super) fn spool(source: &Source, to: &Path) -> Result<(Digest, [u8; 32]), BackupError> {
    let from = File::open(&source.path).map_err(io_at(&source.path))?;
    let failed = io_at(to);
    let out = Summed { file: File::create(to).map_err(&failed)?, hasher: Sha256::new() };
    let mut out = zstd::stream::Encoder::new(out, LEVEL).map_err(&failed)?;
    let (mut from, mut step, mut left) = (from.take(source.len), vec![0; STEP], source.len);
    let mut hasher = Sha256::new();
    while left > 0 {
        let read = from.read(&mut step).map_err(io_at(&source.path))?;
        let bytes = step.get(..read).filter(|bytes| !bytes.is_empty());
        let short = || io_at(&source.path)(io::ErrorKind::UnexpectedEof.into());
        let bytes = bytes.ok_or_else(short)?;
        hasher.update(bytes);
        out.write_all(bytes).map_err(&failed)?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
    }
    let out = out.finish().map_err(&failed)?;
    Ok((Digest(hasher.finalize().into()), out.hasher.finalize().into()))
}

/// A file and the digest of what was written to it.
struct Summed {
    file: File,
    hasher: Sha256,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file whole: beside, synced, then under its name, the name synced too.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let beside = path.with_extension("new");
    let failed = io_at(path);
    let mut file = File::create(&beside).map_err(&failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(&failed)?;
    fs::rename(&beside, path).map_err(&failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at(folder))
}

/// Writes a file from the stream of its object; its bytes must have the digest that was noted.
pub(super) fn pour(from: impl Read, object: &str, to: &Path, entry: &super::Entry) -> Result<(), BackupError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(io_at(folder))?;
    }
    let (failed, unread) = (io_at(to), io_at(Path::new(object)));
    let mut from = zstd::stream::Decoder::new(from).map_err(&unread)?;
    let mut file = File::create_new(to).map_err(&failed)?;
    let (mut hasher, mut step, mut len) = (Sha256::new(), vec![0; STEP], 0u64);
    loop {
        let read = from.read(&mut step).map_err(&unread)?;
        let Some(bytes) = step.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        file.write_all(bytes).map_err(&failed)?;
        len = len.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    if Digest(hasher.finalize().into()) != entry.sha256 || len != entry.len {
        let what = format!("{object} of the backup is damaged: take an older one (--set)");
        return Err(BackupError::Refused { what });
    }
    file.set_len(entry.size).and_then(|()| file.sync_all()).map_err(&failed)
}
