//! The index from the journal alone (law 3): what start-up does for the missing tail, and a rebuild for all.

use crate::error::OpenError;
use crate::open::{index_path, open_index, open_journal};
use crate::options::Options;
use index::{Entry, Index};
use model::{Digest, Fact, Lsn};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::path::Path;
use store::{DataDir, Journal, Recovery, Replayed};

/// Facts applied to the index at once ...
const BATCH: usize = 1_000;
/// ... and the bytes of their heads, which a single fact may exceed.
const BATCH_BYTES: usize = 4 << 20;

/// What a rebuild found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Facts read from the journal.
    pub facts: u64,
    /// Digest of the logical dump of the index as it was; none when there was none that opens.
    pub before: Option<Digest>,
    /// Digest of the logical dump of the rebuilt index.
    pub after: Digest,
}

impl Report {
    /// Whether the rebuilt index equals the one it replaced.
    pub fn equal(&self) -> bool {
        self.before == Some(self.after)
    }
}

/// What a replay met.
#[derive(Default)]
pub(crate) struct Met {
    /// Number of facts.
    pub(crate) facts: u64,
    /// Names of the files that records hold their bodies in.
    pub(crate) blobs: HashSet<String>,
}

/// Applies every fact from `from` on. `progress` hears the running number.
pub(crate) fn replay(
    journal: &Journal,
    index: &dyn Index,
    from: Lsn,
    progress: &mut dyn FnMut(u64),
) -> Result<Met, OpenError> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut bytes = 0;
    let mut met = Met::default();
    let mut each = |replayed: Replayed<'_>| -> Result<(), OpenError> {
        let fact: Fact = serde_json::from_slice(replayed.head)
            .map_err(|error| OpenError::Fact { lsn: replayed.lsn, what: error.to_string() })?;
        met.blobs.extend(replayed.place.blob.clone());
        batch.push(Entry { lsn: replayed.lsn, fact, place: Some(replayed.place) });
        met.facts += 1;
        bytes += replayed.head.len();
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            index.apply(&batch)?;
            batch.clear();
            bytes = 0;
            progress(met.facts);
        }
        Ok(())
    };
    journal.replay(from, &mut each)?;
    index.apply(&batch)?;
    progress(met.facts);
    Ok(met)
}

/// The first record to replay: what the index has not seen, and what start-up moved to a new place.
pub(crate) fn replay_from(applied: Lsn, recovery: &Recovery) -> Lsn {
    let unseen = applied.saturating_add(1);
    recovery.moved_from.map_or(unseen, |moved| moved.min(unseen))
}

/// An index that knows more than the journal means that journal files are missing: starting would hide it.
pub(crate) fn refuse_when_ahead(applied: Lsn, journal: &Journal) -> Result<(), OpenError> {
    let last = journal.last();
    if applied > last { Err(OpenError::JournalBehind { applied, last }) } else { Ok(()) }
}

/// Builds the index of a data directory anew and puts it in the old one's place.
///
/// The old index is removed only after the new one is complete and flushed; a stop in between leaves
/// the old one in use. Takes the directory's lock: the server must not run.
pub fn run(options: &Options, progress: &mut dyn FnMut(u64)) -> Result<Report, OpenError> {
    let _directory = DataDir::open(&options.data)?;
    let (journal, recovery) = open_journal(options)?;
    let (old, new, aside) = (index_path(&options.data), options.data.join("index.new"), options.data.join("index.old"));
    remove(&new)?;
    remove(&aside)?;
    let before = match old.exists().then(|| open_index(options, &old)) {
        Some(Ok(index)) => {
            // What the journal has and the old index has not seen belongs to both.
            let applied = index.applied();
            replay(&journal, index.as_ref(), replay_from(applied, &recovery), &mut |_| {})?;
            Some(dump_digest(index.as_ref())?)
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "the present index does not open; it is rebuilt without a comparison");
            None
        }
        None => None,
    };
    let rebuilt = open_index(options, &new)?;
    let Met { facts, .. } = replay(&journal, rebuilt.as_ref(), 1, progress)?;
    rebuilt.flush()?;
    let after = dump_digest(rebuilt.as_ref())?;
    drop(rebuilt);
    if old.exists() {
        rename(&old, &aside)?;
    }
    rename(&new, &old)?;
    remove(&aside)?;
    // Only now may the journal say that nothing needs moving: the index in use knows every place.
    journal.close()?;
    Ok(Report { facts, before, after })
}

/// SHA-256 over the logical dump of an index.
pub fn dump_digest(index: &dyn Index) -> Result<Digest, OpenError> {
    let mut hasher = Sha256::new();
    index.dump(&mut |line: &[u8]| {
        hasher.update(line);
        hasher.update(b"\n");
    })?;
    Ok(Digest(hasher.finalize().into()))
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, &error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    std::fs::rename(from, to).map_err(|error| io(from, &error))
}

fn io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Thread { what: format!("{}: {error}", path.display()) }
}
