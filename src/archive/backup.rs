//! Backup and restore of what a pack in the cloud does not hold: journal, kept facts, ledger, keys, plans, and packs
//! without a verified copy in the cloud. The index is not in it: it is rebuilt.
//!
//! ```text
//! DIR/objects/<name>        zstd of a file's bytes; written once, never changed
//! DIR/sets/<time>.json      a backup: every file with its object, lengths and SHA-256; written last
//! ```
//!
//! A backup is a consistent moment: the ledger is copied before the journal, which fills it up again when it is opened,
//! and the keys after it, so that every sealed pack the journal knows has its key. Meanwhile objects are taken, packs
//! are neither written nor removed and no segment goes. What is in DIR already is not copied again.
//! Deliberately not here: encryption; DIR must be as well guarded as the data directory.

mod copy;
mod restore;

use crate::error::{OpenError, RetrieveError};
use crate::open::Archive;
use crate::rebuild::dump_digest;
use copy::{Copied, Source, put_object, small_files, under, write_durably};
use model::{Digest, Lsn};
pub use restore::{Restored, restore};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use store::PackFile;
use store::journal::Image;

/// Version of the sets.
const VERSION: u32 = 1;
/// Packs asked of the index at once.
const PAGE: usize = 1_000;
const DAY_MS: u64 = 86_400_000;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive's own parts do not answer.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was asked for cannot be done so.
    #[error("{what}")]
    Refused {
        /// Why and what to do.
        what: String,
    },
    /// Told to stop; nothing of this backup counts, the next one goes on with what is copied.
    #[error("interrupted; what is copied already is not copied again")]
    Interrupted,
}

impl From<store::StoreError> for BackupError {
    fn from(error: store::StoreError) -> Self {
        Self::Open(error.into())
    }
}

impl From<index::IndexError> for BackupError {
    fn from(error: index::IndexError) -> Self {
        Self::Open(error.into())
    }
}

pub(crate) fn io_at(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path: path.clone(), source }
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Path inside the data directory.
    pub(crate) path: String,
    /// Name of the object.
    pub(crate) object: String,
    /// Bytes copied.
    pub(crate) len: u64,
    /// Length of the file; what lies behind the copied bytes is zeros.
    pub(crate) size: u64,
    /// SHA-256 of the bytes copied.
    pub(crate) sha256: Digest,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) version: u32,
    /// Milliseconds since 1970 UTC.
    pub(crate) at: u64,
    /// Number of the newest record in the journal.
    pub(crate) last: Lsn,
    pub(crate) files: Vec<Entry>,
}

/// What a backup came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the backup.
    pub set: String,
    /// Number of the newest record in it.
    pub last: Lsn,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Files copied now; the others were there.
    pub copied: u64,
    /// Bytes copied now.
    pub copied_bytes: u64,
    /// Older backups removed.
    pub removed_sets: u64,
    /// Objects removed that no backup names any more.
    pub removed_objects: u64,
    /// Digest of the index's logical dump at the backup's moment, when it was wanted and nothing came in meanwhile.
    pub index: Option<Digest>,
}

impl Archive {
    /// Makes a backup in a directory and removes backups older than `keep_days`, but for this one. With `digest` it also
    /// says what the index of the restored archive must be.
    ///
    /// # Errors
    /// [`BackupError`]; earlier backups stand in any case.
    pub fn backup(
        &self,
        to: &Path,
        keep_days: u32,
        digest: bool,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Report),
    ) -> Result<Report, BackupError> {
        for dir in ["objects", "sets"] {
            let dir = to.join(dir);
            fs::create_dir_all(&dir).map_err(io_at(&dir))?;
        }
        let now = self.now_ms();
        let mut making = Making { to, stop, progress, set: Vec::new(), report: Report::default(), once: now };
        // From here on packs and segments stay as they are.
        let _still = self.rewriting().write();
        let data = self.options().data.clone();
        making.all(small_files(&data, &["FORMAT", "retention"])?)?;
        if let Some(keeping) = &self.options().ledger {
            // Heads first: everything a copied head covers must be in the files that are copied after it.
            let mut files = under(&keeping.directory_of(&data), "ledger")?;
            files.sort_by_key(|file| file.name != "ledger/heads.log");
            making.all(files)?;
        }
        let image = self.journal().image()?;
        let facts = self.facts().image()?;
        making.image("journal", &image)?;
        making.image("journal/facts", &facts)?;
        if let Some(volume) = self.packs().hot().volumes().into_iter().find(|volume| volume.free.is_some()) {
            // All packs come back into one volume; this is its note.
            making.all(small_files(&volume.dir, &["VOLUME"])?.into_iter().map(Source::in_packs).collect())?;
        }
        self.packs_into(&mut making)?;
        for (dir, name) in self.options().keys.copies(&data).iter().zip(["keys", "keys.copy"]) {
            making.all(under(dir, name)?)?;
        }
        making.all(small_files(&data, &["scrub.json", "restores.json"])?)?;
        let set = Set { version: VERSION, at: now, last: image.last, files: making.set };
        let mut report = making.report;
        if digest && self.index().applied() == set.last {
            let found = dump_digest(self.index().as_ref())?;
            report.index = Some(found).filter(|_| self.index().applied() == set.last);
        }
        report.set = format!("{now:015}");
        report.last = set.last;
        let text = serde_json::to_vec(&set).map_err(|error| BackupError::Refused { what: error.to_string() })?;
        write_durably(&to.join("sets").join(format!("{}.json", report.set)), &text)?;
        prune(to, now.saturating_sub(u64::from(keep_days) * DAY_MS), &mut report)?;
        Ok(report)
    }

    /// Hot packs that have no copy in the cloud.
    fn packs_into(&self, making: &mut Making<'_>) -> Result<(), BackupError> {
        let mut after = None;
        loop {
            let rows = self.index().packs(after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.pack);
            for row in rows.iter().filter(|row| row.hot && row.cold.is_none()) {
                let file = PackFile::plain(row.pack);
                let hot = self.packs().hot().read(file)?;
                making.add(&Source {
                    path: hot.path().to_owned(),
                    name: format!("packs/packs/{}", file.path()),
                    len: row.len,
                    size: row.len,
                    lasting: Some(format!("pack-{}", row.pack)),
                })?;
            }
        }
    }
}

/// A backup on its way.
struct Making<'a> {
    to: &'a Path,
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(&Report),
    set: Vec<Entry>,
    report: Report,
    /// Stands in the names of objects that belong to this backup alone.
    once: u64,
}

impl Making<'_> {
    fn all(&mut self, sources: Vec<Source>) -> Result<(), BackupError> {
        sources.iter().try_for_each(|source| self.add(source))
    }

    fn image(&mut self, dir: &str, image: &Image<'_>) -> Result<(), BackupError> {
        for file in &image.files {
            // Two journals may use the same numbers.
            let lasting = file.lasting.as_ref().map(|name| format!("{}-{name}", dir.replace('/', "-")));
            let (path, name) = (file.path.clone(), format!("{dir}/{}", file.name));
            self.add(&Source { path, name, len: file.len, size: file.size, lasting })?;
        }
        Ok(())
    }

    fn add(&mut self, source: &Source) -> Result<(), BackupError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(BackupError::Interrupted);
        }
        let object = source.lasting.clone().unwrap_or_else(|| format!("once-{}-{}", self.once, self.set.len()));
        let Copied { sha256, fresh } = put_object(&self.to.join("objects").join(&object), source)?;
        self.report.files += 1;
        self.report.bytes += source.len;
        if fresh {
            self.report.copied += 1;
            self.report.copied_bytes += source.len;
        }
        let (path, len, size) = (source.name.clone(), source.len, source.size);
        self.set.push(Entry { path, object, len, size, sha256 });
        (self.progress)(&self.report);
        Ok(())
    }
}

/// The backups of a directory, oldest first.
pub(crate) fn sets(from: &Path) -> Result<Vec<(String, Set)>, BackupError> {
    let dir = from.join("sets");
    let mut sets = Vec::new();
    for entry in fs::read_dir(&dir).map_err(io_at(&dir))? {
        let path = entry.map_err(io_at(&dir))?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read(&path).map_err(io_at(&path))?;
        let refused = |what: String| BackupError::Refused { what: format!("{}: {what}", path.display()) };
        let set: Set = serde_json::from_slice(&text).map_err(|error| refused(format!("no backup: {error}")))?;
        if set.version != VERSION {
            return Err(refused(format!("version {}, this program knows {VERSION}", set.version)));
        }
        sets.push((name, set));
    }
    sets.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(sets)
}

/// Removes backups made before a time, and objects that no backup names.
fn prune(to: &Path, before: u64, report: &mut Report) -> Result<(), BackupError> {
    let mut wanted = HashSet::new();
    for (name, set) in sets(to)? {
        if set.at < before && name != report.set {
            let path = to.join("sets").join(format!("{name}.json"));
            fs::remove_file(&path).map_err(io_at(&path))?;
            report.removed_sets += 1;
        } else {
            wanted.extend(set.files.into_iter().map(|file| file.object));
        }
    }
    let dir = to.join("objects");
    for entry in fs::read_dir(&dir).map_err(io_at(&dir))? {
        let entry = entry.map_err(io_at(&dir))?;
        let known = entry.file_name().to_str().is_some_and(|name| wanted.contains(name.trim_end_matches(".sha256")));
        if !known {
            fs::remove_file(entry.path()).map_err(io_at(&entry.path()))?;
            report.removed_objects += 1;
        }
    }
    Ok(())
}

impl From<RetrieveError> for BackupError {
    fn from(error: RetrieveError) -> Self {
        Self::Open(error.into())
    }
}
