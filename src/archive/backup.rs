//! Backup and restore of what a pack in the cloud does not hold: journal, kept facts, ledger, keys, plans, and packs
//! without a verified copy in the cloud. The index is not in it: it is rebuilt.
//!
//! ```text
//! PLACE/objects/<name>.<sha256>    zstd of a file's bytes; written once, never changed
//! PLACE/sets/<time>.json           a backup: every file with its object, lengths and SHA-256; written last
//! ```
//!
//! PLACE is a directory or a bucket under a prefix. With a key file both are sealed, and `.khe` follows their names.
//! A backup is a consistent moment: the ledger is copied before the journal, which fills it up again when it is opened,
//! and the keys after it, so that every sealed pack the journal knows has its key. What is large and lasts is copied
//! ahead, while the archive works; only for what is new since then are packs neither written nor removed and no segment
//! goes. Meanwhile objects are taken. What is in PLACE already is not copied again.

mod copy;
mod restore;
mod shelf;
mod vault;

use crate::error::{OpenError, RetrieveError};
use crate::open::Archive;
use crate::rebuild::dump_digest;
use copy::{Copied, Source, small_files, under};
use model::{Digest, Lsn};
pub use restore::{Restored, restore};
use serde::{Deserialize, Serialize};
use shelf::Shelf;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::PackFile;
use store::journal::Image;
pub use vault::BackupPlace;

/// Version of the sets.
const VERSION: u32 = 2;
/// Packs asked of the index at once.
const PAGE: usize = 1_000;
const DAY_MS: u64 = 86_400_000;
/// How often a file that changes is looked at again.
const LOOKS: u32 = 5;

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
    /// Backups and objects that should go and that a lock of the bucket keeps.
    pub locked: u64,
    /// Digest of the index's logical dump at the backup's moment, when it was wanted and nothing came in meanwhile.
    pub index: Option<Digest>,
    /// The same of the index of charts.
    pub charts: Option<Digest>,
    /// Facility and epoch of the newest epoch keys of which no copy is known; no backup holds them.
    pub epochs_without_copy: Vec<(model::FacilityCode, u32)>,
}

/// What a backup is to be.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Where it goes.
    pub to: &'a BackupPlace,
    /// File with the key it is sealed by; plain without one.
    pub key_file: Option<&'a Path>,
    /// Backups older than so many days are removed, but for this one.
    pub keep_days: u32,
    /// Whether it says what the index of the restored archive must be.
    pub digest: bool,
}

impl Archive {
    /// Makes a backup and removes older ones.
    ///
    /// # Errors
    /// [`BackupError`]; earlier backups stand in any case.
    pub fn backup(
        &self,
        wanted: &Wanted<'_>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Report),
    ) -> Result<Report, BackupError> {
        let data = self.options().data.clone();
        let clock = Arc::clone(&self.options().clock);
        let mut shelf = Shelf::open(wanted.to, wanted.key_file, &data.join("backup"), clock, true)?;
        // Whether the key is theirs is found out before anything is copied.
        shelf.trust_what_sets_name()?;
        let now = self.now_ms();
        let mut making =
            Making { shelf, stop, progress, set: Vec::new(), report: Report::default(), once: now, charts: 0 };
        self.packs_into(&mut making, true)?;
        making.set.clear();
        let ahead = std::mem::take(&mut making.report);
        // From here on packs and segments stay as they are.
        let still = self.rewriting().write();
        let last = self.all_into(&mut making)?;
        let set = Set { version: VERSION, at: now, last, files: std::mem::take(&mut making.set) };
        let Making { shelf, mut report, charts, .. } = making;
        if wanted.digest && self.index().applied() == set.last {
            let found = dump_digest(self.index().as_ref())?;
            report.index = Some(found).filter(|_| self.index().applied() == set.last);
        }
        if wanted.digest {
            report.charts = self.charts().digest_at(charts)?;
        }
        drop(still);
        report.copied += ahead.copied;
        report.copied_bytes += ahead.copied_bytes;
        report.set = format!("{now:015}");
        report.last = set.last;
        report.epochs_without_copy = self.epochs_without_copy();
        shelf.put_set(&report.set, &set)?;
        shelf.prune(now.saturating_sub(u64::from(wanted.keep_days) * DAY_MS), &mut report)?;
        if report.locked > 0 {
            tracing::warn!(locked = report.locked, "the bucket locks backups that should go: they stay until it ends");
        }
        Ok(report)
    }

    /// Everything that a backup holds; gives the number of the newest record in it.
    fn all_into(&self, making: &mut Making<'_>) -> Result<Lsn, BackupError> {
        let data = self.options().data.clone();
        making.all(small_files(&data, &["FORMAT", "retention"])?)?;
        making.changing(&data, &["commitments", "forward"])?;
        if let Some(keeping) = &self.options().ledger {
            // Heads first: everything a copied head covers must be in the files that are copied after it.
            let mut files = under(&keeping.directory_of(&data), "ledger")?;
            files.sort_by_key(|file| file.name != "ledger/heads.log");
            making.all(files)?;
        }
        let image = self.journal().image()?;
        let facts = self.facts().image()?;
        let steps = self.ups.image()?;
        let charts = self.charts.image()?;
        making.image("journal", &image)?;
        making.image("journal/facts", &facts)?;
        making.image("journal/ups", &steps)?;
        making.image("journal/charts", &charts)?;
        making.charts = charts.last;
        if let Some(volume) = self.packs().hot().volumes().into_iter().find(|volume| volume.free.is_some()) {
            // All packs come back into one volume; this is its note.
            making.all(small_files(&volume.dir, &["VOLUME"])?.into_iter().map(Source::in_packs).collect())?;
        }
        self.packs_into(making, false)?;
        for (dir, name) in self.options().keys.copies(&data).iter().zip(["keys", "keys.copy"]) {
            making.all(under(dir, name)?)?;
        }
        making.all(small_files(&data, &["scrub.json", "restores.json", "epoch.dates", crate::proof::MARKS])?)?;
        Ok(image.last)
    }

    /// Whether a pack's bytes lie hot and nowhere else.
    fn is_wanted(&self, pack: store::PackId) -> Result<bool, BackupError> {
        Ok(self.index().pack(pack)?.is_some_and(|row| row.hot && row.cold.is_none()))
    }

    /// Hot packs that have no copy in the cloud. Ahead of the backup's moment one may go while it is copied: it is
    /// looked for again then.
    fn packs_into(&self, making: &mut Making<'_>, ahead: bool) -> Result<(), BackupError> {
        let mut after = None;
        loop {
            let rows = self.index().packs(after, PAGE)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.pack);
            for row in rows.iter().filter(|row| row.hot && row.cold.is_none()) {
                let file = PackFile::plain(row.pack);
                let hot = match self.packs().hot().read(file) {
                    Err(_) if ahead => continue,
                    answer => answer?,
                };
                let added = making.add(&Source {
                    path: hot.path().to_owned(),
                    name: format!("packs/packs/{}", file.path()),
                    len: row.len,
                    size: row.len,
                    lasting: Some(format!("pack-{}", row.pack)),
                });
                match added {
                    Err(BackupError::Io { .. }) if ahead && !self.is_wanted(row.pack)? => {}
                    answer => answer?,
                }
            }
        }
    }
}

/// A backup on its way.
struct Making<'a> {
    shelf: Shelf,
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(&Report),
    set: Vec<Entry>,
    report: Report,
    /// Stands in the names of objects that belong to this backup alone.
    once: u64,
    /// Number of the newest record of the journal of charts in it.
    charts: Lsn,
}

impl Making<'_> {
    fn all(&mut self, sources: Vec<Source>) -> Result<(), BackupError> {
        sources.iter().try_for_each(|source| self.add(source))
    }

    /// Files that come and go while they are copied: one that is gone is left out, one that became shorter is copied
    /// as it is then.
    fn changing(&mut self, data: &Path, names: &[&str]) -> Result<(), BackupError> {
        for file in small_files(data, names)? {
            let mut looks = 0;
            while let Some(now) = small_files(data, &[file.name.as_str()])?.pop() {
                looks += 1;
                match self.add(&now) {
                    Err(BackupError::Io { source, .. }) if changed(&source) && looks < LOOKS => {}
                    answer => {
                        answer?;
                        break;
                    }
                }
            }
        }
        Ok(())
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
            self.shelf.stop();
            return Err(BackupError::Interrupted);
        }
        let once = format!("once-{}-{}", self.once, self.set.len());
        let Copied { object, sha256, fresh } = self.shelf.put(source.lasting.as_deref(), &once, source)?;
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

/// Whether a file was removed or cut while it was copied.
fn changed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

impl From<RetrieveError> for BackupError {
    fn from(error: RetrieveError) -> Self {
        Self::Open(error.into())
    }
}
