//! Of which epoch keys the operator has a copy elsewhere: they are in no backup, by intent.
//!
//! Text, `epoch.copied` in the data directory: the line `khoanh epoch copies 1`, then facility and epoch of each key of
//! which a copy was shown. It holds no secret, and losing it costs a reminder.
//! Deliberately not here: the keys themselves.

use model::FacilityCode;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "khoanh epoch copies 1";
/// Longest file read.
const FILE_BYTES: u64 = 64 << 20;

/// An epoch key by facility and number.
pub(crate) type EpochName = (FacilityCode, u32);

/// What is known of copies.
pub(crate) struct Copied {
    path: PathBuf,
    known: Mutex<BTreeSet<EpochName>>,
    /// The newest key of each facility of which no copy is known.
    missing: Mutex<Vec<EpochName>>,
}

impl Copied {
    /// Reads what was noted; a note that cannot be read counts as none.
    pub(super) fn open(path: &Path) -> Self {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
        let mut lines = text.lines();
        let known = match (read, lines.next()) {
            (Ok(_), Some(FIRST_LINE)) => lines.filter_map(parse).collect(),
            _ => BTreeSet::new(),
        };
        Self { path: path.to_owned(), known: Mutex::new(known), missing: Mutex::default() }
    }

    /// Takes note of the keys there are now.
    pub(super) fn compare(&self, keys: &[EpochName]) {
        let newest: std::collections::BTreeMap<FacilityCode, u32> = {
            let mut keys = keys.to_vec();
            keys.sort_unstable();
            keys.into_iter().collect()
        };
        let known = self.known.lock();
        *self.missing.lock() = newest.into_iter().filter(|key| !known.contains(key)).collect();
    }

    /// Notes that there is a copy of these keys; after an error nothing changed.
    pub(super) fn note(&self, keys: &[EpochName]) -> io::Result<()> {
        let mut known = self.known.lock();
        let next: BTreeSet<EpochName> = known.iter().chain(keys).copied().collect();
        let lines = next.iter().map(|(facility, epoch)| format!("{facility} {epoch}\n"));
        let text = format!("{FIRST_LINE}\n{}", lines.collect::<String>());
        let beside = self.path.with_extension("copied.new");
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        *known = next;
        Ok(())
    }

    /// The newest key of each facility of which no copy is known.
    pub(super) fn missing(&self) -> Vec<EpochName> {
        self.missing.lock().clone()
    }
}

fn parse(line: &str) -> Option<EpochName> {
    let (facility, epoch) = line.split_once(' ')?;
    Some((FacilityCode::parse(facility).ok()?, epoch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_known_copy_is_named_until_one_was_shown() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("epoch.copied");
        let [here, there] = ["56001", "01234"].map(|code| FacilityCode::parse(code).expect("a code"));
        let copied = Copied::open(&path);
        copied.compare(&[(here, 2), (here, 10), (there, 1)]);
        assert_eq!(copied.missing(), [(there, 1), (here, 10)]);
        copied.note(&[(here, 10), (here, 2)]).expect("noted");
        let copied = Copied::open(&path);
        copied.compare(&[(here, 2), (here, 10), (there, 1)]);
        assert_eq!(copied.missing(), [(there, 1)]);
        copied.compare(&[(here, 11)]);
        assert_eq!(copied.missing(), [(here, 11)], "a new key has no copy yet");
        fs::write(&path, "anything").expect("damaged");
        let copied = Copied::open(&path);
        copied.compare(&[(here, 2)]);
        assert_eq!(copied.missing(), [(here, 2)], "a damaged note is believed");
    }
}
