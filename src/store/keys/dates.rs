//! When epoch keys on a token were retired: the device itself keeps no dates.
//!
//! Text: the line `khoanh epoch dates 1`, then one line for each retired key: facility, epoch, and the millisecond since
//! 1970 UTC from which nothing was wrapped by it any more. It holds no secret. Whoever loses the file loses nothing but
//! time: a key without a date is not destroyed, and the next rotation dates it anew.
//! It deliberately asks no token; see [`super::token`].

use model::FacilityCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "khoanh epoch dates 1";
/// Longest file read.
const FILE_BYTES: u64 = 64 << 20;

type Retired = BTreeMap<(FacilityCode, u32), u64>;

/// The dates, open.
pub(super) struct Dates {
    path: PathBuf,
    retired: Mutex<Retired>,
}

impl Dates {
    /// Reads the file; one that is missing says nothing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut retired = Retired::new();
        let mut text = String::new();
        match File::open(path) {
            Ok(file) => drop(file.take(FILE_BYTES).read_to_string(&mut text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), retired: Mutex::new(retired) });
            }
            Err(error) => return Err(error),
        }
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a line of it is no date of an epoch key");
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(wrong());
        }
        for line in lines {
            let (name, at) = parse(line).ok_or_else(wrong)?;
            retired.insert(name, at);
        }
        Ok(Self { path: path.to_owned(), retired: Mutex::new(retired) })
    }

    /// Dates the keys that have no date yet; after an error nothing changed.
    pub(super) fn retire(&self, keys: impl Iterator<Item = (FacilityCode, u32)>, now: u64) -> io::Result<()> {
        let mut retired = self.retired.lock();
        let mut next = retired.clone();
        for key in keys {
            next.entry(key).or_insert(now);
        }
        self.replace(&mut retired, next)
    }

    /// The keys that were retired before `before`.
    pub(super) fn before(&self, before: u64) -> Vec<(FacilityCode, u32)> {
        self.retired.lock().iter().filter(|(_, at)| **at < before).map(|(name, _)| *name).collect()
    }

    /// Forgets a key that is destroyed.
    pub(super) fn forget(&self, key: (FacilityCode, u32)) -> io::Result<()> {
        let mut retired = self.retired.lock();
        let mut next = retired.clone();
        next.remove(&key);
        self.replace(&mut retired, next)
    }

    fn replace(&self, retired: &mut Retired, next: Retired) -> io::Result<()> {
        if *retired == next {
            return Ok(());
        }
        let lines = next.iter().map(|((facility, epoch), at)| format!("{facility} {epoch} {at}\n"));
        let text = format!("{FIRST_LINE}\n{}", lines.collect::<String>());
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()?;
        *retired = next;
        Ok(())
    }
}

fn parse(line: &str) -> Option<((FacilityCode, u32), u64)> {
    let mut words = line.split(' ');
    let facility = FacilityCode::parse(words.next()?).ok()?;
    let found = ((facility, words.next()?.parse().ok()?), words.next()?.parse().ok()?);
    words.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_outlive_the_process_and_the_first_one_counts() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("epoch.dates");
        let here = FacilityCode::parse("56001").expect("a code");
        let dates = Dates::open(&path).expect("nothing yet");
        dates.retire([(here, 1)].into_iter(), 100).expect("kept");
        dates.retire([(here, 1), (here, 2)].into_iter(), 200).expect("kept");
        let dates = Dates::open(&path).expect("read again");
        assert_eq!(dates.before(100), []);
        assert_eq!(dates.before(101), [(here, 1)]);
        dates.forget((here, 1)).expect("forgotten");
        assert_eq!(Dates::open(&path).expect("read again").before(u64::MAX), [(here, 2)]);
        fs::write(&path, "khoanh epoch dates 1\n56001 one 5\n").expect("written");
        assert!(Dates::open(&path).is_err(), "a damaged date is believed");
    }
}
