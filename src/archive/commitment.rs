//! Storage commitment (PS3.4 annex J): questions whether objects are kept, held until their answer was taken.
//!
//! A question is a small file of its own, synced before it is acknowledged: it outlives a restart, and nothing of it
//! belongs into the journal, because nothing of it is true for longer than a few days. What is answered is decided
//! when it is reported: an object counts when it is found and every byte of it, read from where it lies, passes its
//! checksums; one that lies in the cloud alone was read back and compared before its hot copy went.

use crate::open::Archive;
use index::InstanceRow;
use model::{AeTitle, FacilityCode, Home, Source, Uid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folder in the data directory.
const FOLDER: &str = "commitments";
/// Most open questions of one facility.
const OPEN_MAX: usize = 10_000;
/// Most objects in all open questions of one facility: they are held in memory.
const OBJECTS_MAX: usize = 500_000;
/// A question nobody takes the answer of is dropped after this many milliseconds: a week.
const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// Transaction UID.
    pub transaction: Uid,
    /// The facility whose objects it is about.
    pub facility: FacilityCode,
    /// Name of the source that asked.
    pub source: String,
    /// AE title the source showed.
    pub calling: AeTitle,
    /// AE title it called us by.
    pub called: AeTitle,
    /// SOP Class and Instance UIDs.
    pub objects: Vec<(Uid, Uid)>,
    /// When, milliseconds since 1970 UTC.
    pub asked: u64,
}

/// Why an object is not committed (PS3.3 section C.14.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Found, and its bytes cannot be read or fail their checksums: 0110H.
    Damaged,
    /// Not here: 0112H.
    Unknown,
    /// Here with another SOP class: 0119H.
    OtherClass,
}

impl Lack {
    /// Failure Reason (0008,1197).
    pub fn reason(self) -> u16 {
        match self {
            Self::Damaged => 0x0110,
            Self::Unknown => 0x0112,
            Self::OtherClass => 0x0119,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Kept: SOP Class and Instance UIDs.
    pub committed: Vec<(Uid, Uid)>,
    /// Not kept, and why.
    pub failed: Vec<(Uid, Uid, Lack)>,
}

/// A question was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CommitmentError {
    /// The facility has as many open questions as it may have.
    #[error("too many open questions")]
    TooMany,
    /// Another question of this facility has the transaction UID.
    #[error("the Transaction UID is in use")]
    Duplicate,
    /// It could not be made durable.
    #[error("the question cannot be kept: {0}")]
    Io(#[from] io::Error),
}

/// The open questions, by file name.
#[derive(Debug)]
pub(crate) struct Commitments {
    folder: PathBuf,
    open: Mutex<BTreeMap<String, Commitment>>,
}

impl Commitments {
    /// Reads the questions that are open. A file that cannot be read is named and left alone.
    pub(crate) fn load(data: &Path) -> Self {
        let folder = data.join(FOLDER);
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Commitment>(&bytes)?));
            match read {
                Ok(commitment) => drop(open.insert(name(&commitment), commitment)),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a storage commitment cannot be read"),
            }
        }
        Self { folder, open: Mutex::new(open) }
    }

    fn keep(&self, name: &str, commitment: &Commitment) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name);
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(commitment)?)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        for folder in [Some(self.folder.as_path()), self.folder.parent()].into_iter().flatten() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// One file for each transaction of a facility; UIDs and codes are harmless as names.
fn name(commitment: &Commitment) -> String {
    format!("{}-{}.json", commitment.facility, commitment.transaction)
}

impl Archive {
    /// Takes a question; durable on return. The same question again is taken as one.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn ask_commitment(&self, commitment: Commitment) -> Result<(), CommitmentError> {
        let name = name(&commitment);
        let mut open = self.commitments.open.lock();
        if let Some(known) = open.get(&name) {
            let same = known.objects == commitment.objects && known.calling == commitment.calling;
            return if same { Ok(()) } else { Err(CommitmentError::Duplicate) };
        }
        let of_facility = open.values().filter(|known| known.facility == commitment.facility);
        let (count, objects) = of_facility.fold((0usize, commitment.objects.len()), |(count, objects), known| {
            (count + 1, objects.saturating_add(known.objects.len()))
        });
        if count >= OPEN_MAX || objects > OBJECTS_MAX {
            return Err(CommitmentError::TooMany);
        }
        let commitment = Commitment { asked: self.now_ms(), ..commitment };
        self.commitments.keep(&name, &commitment)?;
        open.insert(name, commitment);
        Ok(())
    }

    /// The open questions of a peer, or all, oldest first; those beyond their time are dropped.
    pub fn open_commitments(&self, of: Option<(&Source, &AeTitle)>) -> Vec<Commitment> {
        let now = self.now_ms();
        let all: Vec<Commitment> = self.commitments.open.lock().values().cloned().collect();
        let (mut due, late): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|open| now.saturating_sub(open.asked) < KEPT_MS);
        for commitment in late {
            let (transaction, source) = (&commitment.transaction, &commitment.source);
            tracing::warn!(%transaction, source, "nobody took the answer of a storage commitment for a week");
            self.close_commitment(&commitment);
        }
        due.retain(|open| of.is_none_or(|(source, calling)| open.source == source.id && open.calling == *calling));
        due.sort_by_key(|open| open.asked);
        due
    }

    /// The answer was taken.
    pub fn close_commitment(&self, commitment: &Commitment) {
        let name = name(commitment);
        self.commitments.open.lock().remove(&name);
        // Left behind, the file makes one more report after a restart, which harms nobody.
        if let Err(error) = fs::remove_file(self.commitments.folder.join(&name)) {
            tracing::warn!(%error, name, "removing an answered storage commitment");
        }
    }

    /// Decides about every object, reading all of it that lies on this machine.
    pub fn verdict(self: &Arc<Self>, commitment: &Commitment) -> Verdict {
        let mut verdict = Verdict::default();
        for (class, instance) in &commitment.objects {
            match self.lack(commitment.facility, class, instance) {
                None => verdict.committed.push((class.clone(), instance.clone())),
                Some(lack) => verdict.failed.push((class.clone(), instance.clone(), lack)),
            }
        }
        verdict
    }

    fn lack(self: &Arc<Self>, facility: FacilityCode, class: &Uid, instance: &Uid) -> Option<Lack> {
        let rows = match self.index().instance(instance) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, %instance, "storage commitment");
                return Some(Lack::Damaged);
            }
        };
        // What is hidden is on its way to be destroyed: nobody may rely on it.
        let shown = |row: &&InstanceRow| {
            let study = self.index().study(&row.key.study);
            study.is_ok_and(|study| study.is_some_and(|study| study.hidden_by.is_none()))
        };
        let here: Vec<&InstanceRow> =
            rows.iter().filter(|row| row.key.study.facility == facility).filter(shown).collect();
        if here.is_empty() {
            return Some(Lack::Unknown);
        }
        let mut of_class = here.into_iter().filter(|row| row.sop_class == *class).peekable();
        if of_class.peek().is_none() {
            return Some(Lack::OtherClass);
        }
        // Other bytes under the same UID are kept beside the first ones: nobody knows which the asker means.
        of_class.find_map(|row| self.lack_of(row))
    }

    /// What is wrong with the bytes of an object that is here.
    fn lack_of(self: &Arc<Self>, row: &InstanceRow) -> Option<Lack> {
        let instance = &row.sop_instance;
        if let Home::Pack { pack, .. } = &row.home
            && let Ok(Some(pack)) = self.index().pack(*pack)
            && !pack.hot
        {
            // Neither here nor in the cloud it is lost.
            return if pack.cold.is_some() { None } else { Some(Lack::Damaged) };
        }
        let (mut file, mut buffer) = (self.file(row), vec![0; 256 * 1024]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, %instance, "storage commitment: the object cannot be read");
                    return Some(Lack::Damaged);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(transaction: &str) -> Commitment {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let title = |text: &str| AeTitle::parse(text).expect("title");
        Commitment {
            transaction: uid(transaction),
            facility: FacilityCode::DEMO,
            source: "demo-loopback".into(),
            calling: title("CT01"),
            called: title("KHOANH"),
            objects: vec![(uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.3"))],
            asked: 0,
        }
    }

    #[test]
    fn a_question_outlives_a_restart_and_goes_when_its_answer_was_taken() {
        let folder = tempfile::tempdir().expect("folder");
        let open = || Archive::open(crate::Options::new(folder.path())).expect("open");
        let archive = open();
        archive.ask_commitment(question("1.2.1")).expect("taken");
        archive.ask_commitment(question("1.2.1")).expect("the same again");
        let other = Commitment { objects: Vec::new(), ..question("1.2.1") };
        assert!(matches!(archive.ask_commitment(other), Err(CommitmentError::Duplicate)));
        archive.ask_commitment(question("1.2.2")).expect("another");
        archive.close(std::time::Duration::from_secs(20)).expect("closed");
        drop(archive);
        fs::write(folder.path().join(FOLDER).join("broken.json"), b"{").expect("written");
        let archive = open();
        let waiting = archive.open_commitments(None);
        assert_eq!(waiting.iter().map(|open| open.transaction.as_str()).collect::<Vec<_>>(), ["1.2.1", "1.2.2"]);
        let first = waiting.first().expect("two");
        assert!(first.asked > 0);
        let verdict = archive.verdict(first);
        assert_eq!(verdict.failed.first().map(|(_, _, lack)| lack.reason()), Some(0x0112));
        archive.close_commitment(first);
        assert_eq!(archive.open_commitments(None).len(), 1);
        assert!(!folder.path().join(FOLDER).join("DEMO0-1.2.1.json").exists());
    }
}
