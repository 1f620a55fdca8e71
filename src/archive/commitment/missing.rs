//! What senders asked commitment for and the archive does not have: they believe that they sent it. Kept for the report of
//! what is missing.
//!
//! A small file for each question of which something was not here when it was answered, written then: whoever stores
//! pays nothing. Whether it has come since is looked at when somebody asks.
//! Deliberately not here: what an asker is answered.

use super::{Commitment, name};
use crate::open::Archive;
use model::date::DAY_MS;
use model::{AeTitle, FacilityCode, Uid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folder in the data directory.
const FOLDER: &str = "uncommitted";
/// Kept for so long after it was asked, in milliseconds.
const KEPT_MS: u64 = 90 * DAY_MS;
/// Most objects kept of one facility; the oldest questions go first.
const OBJECTS_MAX: usize = 100_000;
/// Most questions kept of one facility.
const QUESTIONS_MAX: usize = 10_000;

/// Objects that were not here when commitment was asked for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Uncommitted {
    /// The facility whose objects they would be.
    pub(crate) facility: FacilityCode,
    /// Transaction UID.
    pub(crate) transaction: Uid,
    /// Who asked.
    pub(crate) station: AeTitle,
    /// When, milliseconds since 1970 UTC.
    pub(crate) asked: u64,
    /// SOP Class and Instance UIDs.
    pub(crate) objects: Vec<(Uid, Uid)>,
}

/// What is known, by file name.
#[derive(Debug)]
pub(crate) struct Missing {
    folder: PathBuf,
    known: Mutex<BTreeMap<String, Uncommitted>>,
}

impl Missing {
    /// Reads what is kept. A file that cannot be read is named and left alone.
    pub(super) fn load(data: &Path) -> Self {
        let folder = data.join(FOLDER);
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Uncommitted>(&bytes)?));
            match read {
                Ok(one) => drop(known.insert(entry.file_name().to_string_lossy().into_owned(), one)),
                Err(error) => tracing::warn!(path = %path.display(), %error, "what was asked for cannot be read"),
            }
        }
        Self { folder, known: Mutex::new(known) }
    }

    /// Notes what of a question was not here; nothing takes back what was noted of it before. Tells whether it is news.
    fn note(&self, commitment: &Commitment, objects: Vec<(Uid, Uid)>, now: u64) -> io::Result<bool> {
        let name = name(commitment);
        let mut known = self.known.lock();
        if objects.is_empty() {
            if known.remove(&name).is_some() {
                fs::remove_file(self.folder.join(&name))?;
            }
            return Ok(false);
        }
        // A question that was never kept has no time.
        let asked = if commitment.asked == 0 { now } else { commitment.asked };
        let one = Uncommitted {
            facility: commitment.facility,
            transaction: commitment.transaction.clone(),
            station: commitment.calling.clone(),
            asked,
            objects,
        };
        if known.get(&name).is_some_and(|before| before.objects == one.objects) {
            return Ok(false);
        }
        self.make_room(&mut known, &one, now);
        super::write_synced(&self.folder, &name, &serde_json::to_vec(&one)?)?;
        known.insert(name, one);
        Ok(true)
    }

    /// What is too old, or too much of a facility, goes.
    fn make_room(&self, known: &mut BTreeMap<String, Uncommitted>, more: &Uncommitted, now: u64) {
        let mut by_age: Vec<(u64, String, usize)> = Vec::new();
        let mut gone: Vec<String> = Vec::new();
        for (name, one) in known.iter() {
            if now.saturating_sub(one.asked) >= KEPT_MS {
                gone.push(name.clone());
            } else if one.facility == more.facility {
                by_age.push((one.asked, name.clone(), one.objects.len()));
            }
        }
        by_age.sort();
        let (mut objects, mut questions) = (more.objects.len(), by_age.len());
        objects = by_age.iter().fold(objects, |sum, (_, _, count)| sum.saturating_add(*count));
        for (_, name, count) in by_age {
            if objects <= OBJECTS_MAX && questions < QUESTIONS_MAX {
                break;
            }
            objects = objects.saturating_sub(count);
            questions = questions.saturating_sub(1);
            gone.push(name);
        }
        for name in gone {
            known.remove(&name);
            // Left behind, it is read again and goes the next time.
            if let Err(error) = fs::remove_file(self.folder.join(&name)) {
                tracing::warn!(%error, name, "removing what was asked for in vain");
            }
        }
    }

    fn asked(&self, facility: Option<FacilityCode>, (from, to): (u64, u64)) -> Vec<Uncommitted> {
        let known = self.known.lock();
        let meant = |one: &&Uncommitted| {
            facility.is_none_or(|facility| facility == one.facility) && (from..=to).contains(&one.asked)
        };
        known.values().filter(meant).cloned().collect()
    }
}

impl Archive {
    /// Notes what of a question is not here, without holding up its answer.
    pub(super) fn note_uncommitted(&self, commitment: &Commitment, objects: Vec<(Uid, Uid)>) {
        let (count, facility, transaction) = (objects.len(), commitment.facility, &commitment.transaction);
        let named: Vec<&str> = objects.iter().take(5).map(|(_, instance)| instance.as_str()).collect();
        let (instances, station) = (named.join(" "), commitment.calling.as_str());
        match self.commitments.missing.note(commitment, objects, self.now_ms()) {
            Ok(false) => {}
            Ok(true) => {
                let what = "a sender asked storage commitment for instances that are not stored";
                tracing::warn!(%facility, station, %transaction, missing = count, instances, "{what}");
            }
            Err(error) => tracing::warn!(%error, %transaction, "what is missing of a storage commitment is not kept"),
        }
    }

    /// What was asked for between two moments and was not here then, of a facility or of all.
    pub(crate) fn uncommitted(&self, facility: Option<FacilityCode>, span: (u64, u64)) -> Vec<Uncommitted> {
        self.commitments.missing.asked(facility, span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_by_objects_and_age_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = Missing::load(folder.path());
        let uid = |text: &str| Uid::parse(text).expect("a UID");
        let asked = |transaction: &str, asked: u64, count: usize| {
            let title = |text: &str| AeTitle::parse(text).expect("a title");
            let commitment = Commitment {
                transaction: uid(transaction),
                facility: FacilityCode::DEMO,
                source: "ct".into(),
                calling: title("CT01"),
                called: title("KHOANH"),
                objects: Vec::new(),
                asked,
                web: false,
                duplicate: false,
            };
            missing.note(&commitment, vec![(uid("1.2"), uid("1.3")); count], asked).expect("noted")
        };
        let known = || -> Vec<String> {
            let all = Missing::load(folder.path()).asked(None, (0, u64::MAX));
            all.into_iter().map(|one| one.transaction.as_str().to_owned()).collect()
        };
        assert!(asked("1.1", 100, 60_000) && !asked("1.1", 100, 60_000), "it is news once");
        assert!(asked("1.2", 200, 30_000));
        assert_eq!(known(), ["1.1", "1.2"]);
        assert!(asked("1.3", 300, 20_000));
        assert_eq!(known(), ["1.2", "1.3"]);
        assert!(asked("1.4", 200 + KEPT_MS, 1));
        assert_eq!(known(), ["1.3", "1.4"]);
        assert!(!asked("1.3", 300, 0));
        assert_eq!(known(), ["1.4"]);
    }
}
