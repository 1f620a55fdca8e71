//! When each pack was read last: what "nobody read it for so long" means.
//!
//! Kept in memory and written to a file every so often; after a crash the last minutes are lost, and a pack may leave
//! the hot volumes a little early. It deliberately proves nothing and is part of no rebuild.

use model::PackId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Packs remembered; beyond it those read longest ago are forgotten.
const PACKS_MAX: usize = 1 << 20;
/// How often the file is written while packs are read.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// The last reading of packs.
pub(crate) struct Reads {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    /// Milliseconds since 1970 UTC.
    at: HashMap<PackId, u64>,
    changed: bool,
    saved: Instant,
}

impl Reads {
    /// Takes what an earlier run wrote; a file that cannot be read is none.
    pub(crate) fn open(path: PathBuf) -> Self {
        let at = load(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "when packs were read last is not known");
            }
            HashMap::new()
        });
        Self { path, known: Mutex::new(Known { at, changed: false, saved: Instant::now() }) }
    }

    /// Notes a reading.
    pub(crate) fn note(&self, pack: PackId, now_ms: u64) {
        let mut known = self.known.lock();
        known.at.insert(pack, now_ms);
        known.changed = true;
        if known.at.len() > PACKS_MAX {
            // Half at once, so that it is not done at every reading.
            let mut times: Vec<u64> = known.at.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(PACKS_MAX / 2);
            let middle = *middle;
            known.at.retain(|_, at| *at > middle);
        }
    }

    /// When a pack was read last, in milliseconds since 1970 UTC.
    pub(crate) fn last(&self, pack: PackId) -> Option<u64> {
        self.known.lock().at.get(&pack).copied()
    }

    /// A pack that is no more, or not hot: nobody asks.
    pub(crate) fn forget(&self, pack: PackId) {
        let mut known = self.known.lock();
        known.changed |= known.at.remove(&pack).is_some();
    }

    /// Forgets what lies before a moment.
    pub(crate) fn forget_before(&self, ms: u64) {
        let mut known = self.known.lock();
        let before = known.at.len();
        known.at.retain(|_, at| *at >= ms);
        known.changed |= known.at.len() != before;
    }

    /// Writes the file when it is time, or now.
    pub(crate) fn save(&self, now: bool) {
        let lines = {
            let mut known = self.known.lock();
            if !known.changed || (!now && known.saved.elapsed() < SAVE_EVERY) {
                return;
            }
            (known.changed, known.saved) = (false, Instant::now());
            known.at.clone()
        };
        if let Err(error) = write(&self.path, &lines) {
            tracing::warn!(path = %self.path.display(), %error, "when packs were read last is not written");
        }
    }
}

fn load(path: &Path) -> io::Result<HashMap<PackId, u64>> {
    let mut at = HashMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        if let Some((pack, time)) = line.split_once(' ')
            && let (Ok(pack), Ok(time)) = (pack.parse(), time.parse())
            && at.len() < PACKS_MAX
        {
            at.insert(pack, time);
        }
    }
    Ok(at)
}

fn write(path: &Path, at: &HashMap<PackId, u64>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = BufWriter::new(File::create(&beside)?);
    for (pack, time) in at {
        writeln!(file, "{pack} {time}")?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_known_after_a_start() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("reads");
        let (one, other) = (PackId::new([1; 16]), PackId::new([2; 16]));
        let reads = Reads::open(path.clone());
        reads.note(one, 5);
        reads.note(other, 6);
        reads.note(one, 7);
        reads.save(false);
        assert!(!path.exists(), "not at every reading");
        reads.save(true);
        let again = Reads::open(path.clone());
        assert_eq!((again.last(one), again.last(other)), (Some(7), Some(6)));
        again.forget_before(7);
        again.save(true);
        let again = Reads::open(path.clone());
        assert_eq!((again.last(one), again.last(other)), (Some(7), None));
        again.forget(one);
        again.save(true);
        assert_eq!(Reads::open(path.clone()).last(one), None);
        fs::write(&path, "nonsense\n02020202020202020202020202020202 9\nx y\n").expect("damage");
        assert_eq!(Reads::open(path).last(other), Some(9));
    }

    #[test]
    fn what_was_read_longest_ago_is_forgotten_first() {
        let folder = tempfile::tempdir().expect("folder");
        let reads = Reads::open(folder.path().join("reads"));
        let pack = |number: usize| PackId::new((number as u128).to_be_bytes());
        for number in 0..=PACKS_MAX {
            reads.note(pack(number), number as u64);
        }
        assert_eq!(reads.last(pack(0)), None);
        assert_eq!(reads.last(pack(PACKS_MAX)), Some(PACKS_MAX as u64));
        assert!(reads.known.lock().at.len() <= PACKS_MAX);
    }
}
