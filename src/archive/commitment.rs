//! Storage commitment (PS3.4 annex J): questions whether objects are kept, held until their answer was taken.
//!
//! A question is a small file of its own, synced before it is acknowledged: it outlives a restart, and nothing of it
//! belongs into the journal, because nothing of it is true for longer than a few days. What is answered is decided
//! when it is reported: an object counts when it is found and every byte of it, read from where it lies, passes its
//! checksums; one that lies in the cloud alone was read back and compared before its hot copy went.

mod missing;

pub(crate) use missing::Uncommitted;

use crate::open::Archive;
use index::InstanceRow;
use model::{AeTitle, FacilityCode, Home, Source, Uid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Folder in the data directory.
const FOLDER: &str = "commitments";
/// Most open questions of one facility.
const OPEN_MAX: usize = 10_000;
/// Most objects in all open questions of one facility: they are held in memory.
const OBJECTS_MAX: usize = 500_000;
/// A question nobody takes the answer of is dropped after this many milliseconds: a week.
const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;
/// A question that waits for copies is looked at once in so many milliseconds.
const LOOK_MS: u64 = 5_000;

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
    /// Asked over HTTP: the asker comes for its answer.
    #[serde(default)]
    pub web: bool,
    /// The Transaction UID is that of another open question of the same asker: nothing is committed.
    #[serde(default)]
    pub duplicate: bool,
}

/// When an object counts as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentOptions {
    /// Copies that must exist: each journal directory is one, a hot volume is one, the bucket is one.
    pub copies: usize,
    /// Longest wait for them; then the objects without are reported as not kept.
    pub within: Duration,
}

impl Default for CommitmentOptions {
    fn default() -> Self {
        Self { copies: 1, within: Duration::from_secs(2 * 86_400) }
    }
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
    /// Here, but in fewer copies than the operator wants, for longer than it may take: 0110H.
    FewCopies,
    /// The Transaction UID is in use for another question: 0131H.
    Duplicate,
}

impl Lack {
    /// Failure Reason (0008,1197).
    pub fn reason(self) -> u16 {
        match self {
            Self::Damaged | Self::FewCopies => 0x0110,
            Self::Unknown => 0x0112,
            Self::OtherClass => 0x0119,
            Self::Duplicate => 0x0131,
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
    /// When those that wait for copies were looked at last.
    looked: Mutex<HashMap<String, u64>>,
    /// What was asked for and is not here.
    missing: missing::Missing,
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
        Self { folder, open: Mutex::new(open), looked: Mutex::default(), missing: missing::Missing::load(data) }
    }

    fn keep(&self, name: &str, commitment: &Commitment) -> io::Result<()> {
        write_synced(&self.folder, name, &serde_json::to_vec(commitment)?)
    }
}

/// Writes a file into a folder, and makes both durable.
fn write_synced(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join(name);
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// One file for each transaction of a facility; UIDs and codes are harmless as names.
fn name(commitment: &Commitment) -> String {
    let kind = if commitment.duplicate { "-duplicate" } else { "" };
    format!("{}-{}{kind}.json", commitment.facility, commitment.transaction)
}

impl Archive {
    /// Takes a question; durable on return. The same question again is taken as one; another one of the same DICOM
    /// asker under a Transaction UID in use is taken too, and will be told so (0131H).
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn ask_commitment(&self, mut commitment: Commitment) -> Result<Commitment, CommitmentError> {
        let same = |known: &Commitment, asked: &Commitment| {
            known.objects == asked.objects && known.calling == asked.calling && known.source == asked.source
        };
        let mut open = self.commitments.open.lock();
        for duplicate in [false, true] {
            commitment.duplicate = duplicate;
            match open.get(&name(&commitment)) {
                None => break,
                Some(known) if same(known, &commitment) => return Ok(known.clone()),
                Some(known) if duplicate || known.web || commitment.web => return Err(CommitmentError::Duplicate),
                Some(known) if known.calling != commitment.calling => return Err(CommitmentError::Duplicate),
                Some(_) => {}
            }
        }
        let name = name(&commitment);
        let of_facility = open.values().filter(|known| known.facility == commitment.facility);
        let (count, objects) = of_facility.fold((0usize, commitment.objects.len()), |(count, objects), known| {
            (count + 1, objects.saturating_add(known.objects.len()))
        });
        if count >= OPEN_MAX || objects > OBJECTS_MAX {
            return Err(CommitmentError::TooMany);
        }
        let commitment = Commitment { asked: self.now_ms(), ..commitment };
        self.commitments.keep(&name, &commitment)?;
        open.insert(name, commitment.clone());
        Ok(commitment)
    }

    /// An open question that was asked over HTTP.
    pub fn web_commitment(&self, facility: FacilityCode, transaction: &Uid) -> Option<Commitment> {
        let open = self.commitments.open.lock();
        let mut all = open.values();
        all.find(|known| known.web && known.facility == facility && known.transaction == *transaction).cloned()
    }

    /// Whether a question can be answered: every object that is here has its copies, or they had time enough.
    pub fn is_ripe(&self, commitment: &Commitment) -> bool {
        let CommitmentOptions { copies, within } = &self.options().commitment;
        let now = self.now_ms();
        let waited = now.saturating_sub(commitment.asked);
        if *copies <= 1 || commitment.duplicate || Duration::from_millis(waited) >= *within {
            return true;
        }
        let name = name(commitment);
        let mut looked = self.commitments.looked.lock();
        if looked.get(&name).is_some_and(|last| now.saturating_sub(*last) < LOOK_MS) {
            return false;
        }
        let few = |(_, instance): &(Uid, Uid)| {
            let rows = self.index().instance(instance).unwrap_or_default();
            rows.iter().any(|row| row.key.study.facility == commitment.facility && self.copies_of(row) < *copies)
        };
        let ripe = !commitment.objects.iter().any(few);
        if ripe {
            looked.remove(&name);
        } else {
            looked.insert(name, now);
        }
        ripe
    }

    /// Places the bytes of an object lie in.
    fn copies_of(&self, row: &InstanceRow) -> usize {
        match &row.home {
            Home::Journal(_) => {
                let directories = self.options().journal_dirs().len();
                directories.saturating_sub(self.journal().alarms().len())
            }
            Home::Pack { pack, .. } => {
                let pack = self.index().pack(*pack).ok().flatten();
                pack.map_or(0, |pack| usize::from(pack.hot) + usize::from(pack.cold.is_some()))
            }
        }
    }

    /// The open questions of a DICOM peer, or of all, that can be answered, oldest first; those beyond their time are dropped.
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
        due.retain(|open| !open.web && self.is_ripe(open));
        due.retain(|open| of.is_none_or(|(source, calling)| open.source == source.id && open.calling == *calling));
        due.sort_by_key(|open| open.asked);
        due
    }

    /// The answer was taken.
    pub fn close_commitment(&self, commitment: &Commitment) {
        let name = name(commitment);
        self.commitments.open.lock().remove(&name);
        self.commitments.looked.lock().remove(&name);
        // Left behind, the file makes one more report after a restart, which harms nobody.
        if let Err(error) = fs::remove_file(self.commitments.folder.join(&name)) {
            tracing::warn!(%error, name, "removing an answered storage commitment");
        }
    }

    /// Decides about every object, reading all of it that lies on this machine.
    pub fn verdict(self: &Arc<Self>, commitment: &Commitment) -> Verdict {
        let mut verdict = Verdict::default();
        if commitment.duplicate {
            let objects = commitment.objects.iter().cloned();
            verdict.failed = objects.map(|(class, instance)| (class, instance, Lack::Duplicate)).collect();
            return verdict;
        }
        for (class, instance) in &commitment.objects {
            match self.lack(commitment.facility, class, instance) {
                None => verdict.committed.push((class.clone(), instance.clone())),
                Some(lack) => verdict.failed.push((class.clone(), instance.clone(), lack)),
            }
        }
        let unknown = verdict.failed.iter().filter(|(_, _, lack)| *lack == Lack::Unknown);
        let unknown = unknown.map(|(class, instance, _)| (class.clone(), instance.clone())).collect();
        self.note_uncommitted(commitment, unknown);
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
        let copies = self.options().commitment.copies;
        of_class.find_map(|row| if self.copies_of(row) < copies { Some(self.few(row)) } else { self.lack_of(row) })
    }

    /// Why too few copies are: it lies nowhere at all, or only in some of the places.
    fn few(self: &Arc<Self>, row: &InstanceRow) -> Lack {
        self.lack_of(row).unwrap_or(Lack::FewCopies)
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
            web: false,
            duplicate: false,
        }
    }

    #[test]
    fn a_question_outlives_a_restart_and_goes_when_its_answer_was_taken() {
        let folder = tempfile::tempdir().expect("folder");
        let open = || Archive::open(crate::Options::new(folder.path())).expect("open");
        let archive = open();
        archive.ask_commitment(question("1.2.1")).expect("taken");
        archive.ask_commitment(question("1.2.1")).expect("the same again");
        let other = Commitment {
            objects: [question("1.2.1").objects, question("1.2.2").objects].concat(),
            ..question("1.2.1")
        };
        let kept = archive.ask_commitment(other.clone()).expect("taken, to be told so");
        assert!(archive.verdict(&kept).failed.iter().all(|(_, _, lack)| lack.reason() == 0x0131));
        let third = Commitment { objects: Vec::new(), ..other };
        assert!(matches!(archive.ask_commitment(third), Err(CommitmentError::Duplicate)));
        archive.close_commitment(&kept);
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
