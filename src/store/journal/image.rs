//! What a copy of the journal consists of at one moment: which files, and how much of each.
//!
//! While an image is held no segment and no file of a large body goes; appending goes on. Copied as it says, the files
//! are what a crash at that moment would have left: opening the copy recovers it.
//! This file deliberately copies nothing.

use super::Journal;
use super::layout::BLOCK;
use super::mirror::{BLOB_DIR, segment_name};
use crate::StoreError;
use model::Lsn;
use parking_lot::MutexGuard;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it lies now.
    pub path: PathBuf,
    /// Its path inside the journal directory.
    pub name: String,
    /// Bytes to be copied, from its beginning.
    pub len: u64,
    /// Length of the copy; what lies behind the copied bytes is zeros.
    pub size: u64,
    /// A name for these bytes that no others ever have, where they will not change any more.
    pub lasting: Option<String>,
}

/// The files of a journal at one moment.
pub struct Image<'a> {
    /// The files.
    pub files: Vec<ImageFile>,
    /// Number of the newest record in it.
    pub last: Lsn,
    _turn: MutexGuard<'a, ()>,
}

impl Journal {
    /// Makes everything appended so far durable and says what a copy of it consists of.
    pub fn image(&self) -> Result<Image<'_>, StoreError> {
        let turn = self.release_turn.lock();
        let last = self.sync()?;
        let (active, offset) = self.writer.lock().end();
        let dir = self.shared.mirror.live().next().ok_or(StoreError::Poisoned)?.to_owned();
        let failed = |error| StoreError::io("look into", &dir, error);
        let disk = self.shared.mirror.disk.as_ref();
        let known = self.shared.segments.read().clone();
        let mut files = Vec::new();
        for name in disk.list(&dir).map_err(failed)? {
            let Some(number) = name.strip_suffix(".seg").and_then(|stem| stem.parse::<u32>().ok()) else { continue };
            if name != segment_name(number) {
                continue;
            }
            let path = dir.join(&name);
            let size = fs::metadata(&path).map_err(failed)?.len();
            let (len, lasting) = match known.get(&number) {
                Some(_) if number == active => (offset.min(size), None),
                Some(header) => (size, Some(format!("segment-{number}-{}-{:08x}", header.generation, header.nonce))),
                // Free: its header proves that it was released.
                None => (BLOCK.min(size), None),
            };
            let size = if known.contains_key(&number) { size } else { len };
            files.push(ImageFile { path, name, len, size, lasting });
        }
        files.extend(bodies(&dir)?);
        Ok(Image { files, last, _turn: turn })
    }
}

/// Files of large bodies: complete once they have their name.
fn bodies(dir: &Path) -> Result<Vec<ImageFile>, StoreError> {
    let dir = dir.join(BLOB_DIR);
    let failed = |error| StoreError::io("look into", &dir, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".blob") {
            let len = entry.metadata().map_err(failed)?.len();
            let lasting = Some(format!("body-{name}"));
            files.push(ImageFile { path: entry.path(), name: format!("{BLOB_DIR}/{name}"), len, size: len, lasting });
        }
    }
    Ok(files)
}
