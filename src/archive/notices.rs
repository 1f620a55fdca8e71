//! Instance Availability Notifications of other systems (PS3.4 annex R): kept durably, and listed for people.
//!
//! A notice is a small file of its own, synced before it is acknowledged. Nothing is done about it by itself: it says
//! where else a study can be had. The newest of each facility are kept.

use crate::open::Archive;
use model::{AeTitle, Caller, FacilityCode, Uid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Folder in the data directory.
const FOLDER: &str = "notices";
/// Notices kept of one facility; the oldest makes room for the newest.
pub const KEPT_MAX: usize = 10_000;

/// A notice as it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// SOP Instance UID of the notice itself.
    pub instance: Uid,
    /// Facility of who sent it.
    pub facility: FacilityCode,
    /// Name of the source that sent it.
    pub source: String,
    /// AE title the source showed.
    pub calling: AeTitle,
    /// When, milliseconds since 1970 UTC.
    pub heard: u64,
    /// Study Instance UID.
    pub study: Uid,
    /// Its series.
    pub series: Vec<NoticeSeries>,
}

/// A series of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeSeries {
    /// Series Instance UID.
    pub uid: Uid,
    /// How many objects of it are told.
    pub objects: usize,
    /// The worst availability of one of them: ONLINE, NEARLINE, OFFLINE or UNAVAILABLE.
    pub availability: String,
    /// AE titles they can be retrieved from, each once.
    pub retrieve_from: Vec<String>,
}

/// A notice was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// Another one of this facility has the SOP Instance UID.
    #[error("the SOP Instance UID is in use")]
    Duplicate,
    /// It could not be made durable.
    #[error("the notice cannot be kept: {0}")]
    Io(#[from] io::Error),
}

/// The notices by facility, time and file name.
pub(crate) struct Notices {
    folder: PathBuf,
    kept: Mutex<BTreeMap<(FacilityCode, u64, String), Notice>>,
}

impl Notices {
    /// Reads what is kept. A file that cannot be read is named and left alone.
    pub(crate) fn load(data: &Path) -> Self {
        let folder = data.join(FOLDER);
        let mut kept = BTreeMap::new();
        for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Notice>(&bytes)?)) {
                Ok(notice) => drop(kept.insert(key(&notice), notice)),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a notice cannot be read"),
            }
        }
        Self { folder, kept: Mutex::new(kept) }
    }

    fn write(&self, name: &str, notice: &Notice) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name);
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(notice)?)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        for folder in [Some(self.folder.as_path()), self.folder.parent()].into_iter().flatten() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn key(notice: &Notice) -> (FacilityCode, u64, String) {
    (notice.facility, notice.heard, format!("{}-{}.json", notice.facility, notice.instance))
}

impl Archive {
    /// Takes a notice; durable on return. Its time is given here.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn keep_notice(&self, notice: Notice) -> Result<(), NoticeError> {
        let notice = Notice { heard: self.now_ms(), ..notice };
        let mut kept = self.notices.kept.lock();
        let of = (notice.facility, 0, String::new())..=(notice.facility, u64::MAX, String::new());
        let (mut count, mut oldest) = (0usize, None);
        for (key, known) in kept.range(of) {
            if known.instance == notice.instance {
                return Err(NoticeError::Duplicate);
            }
            count = count.saturating_add(1);
            oldest.get_or_insert_with(|| key.clone());
        }
        let key = key(&notice);
        self.notices.write(&key.2, &notice)?;
        kept.insert(key, notice);
        if let Some(oldest) = oldest.filter(|_| count >= KEPT_MAX) {
            kept.remove(&oldest);
            if let Err(error) = fs::remove_file(self.notices.folder.join(&oldest.2)) {
                tracing::warn!(%error, name = oldest.2, "removing the oldest notice");
            }
        }
        Ok(())
    }

    /// Notices as far as the caller may see them, newest first.
    pub fn notices(&self, caller: &Caller, limit: usize) -> Vec<Notice> {
        let kept = self.notices.kept.lock();
        let mut seen: Vec<&Notice> = kept.values().filter(|notice| caller.may_see(notice.facility)).collect();
        seen.sort_by_key(|notice| std::cmp::Reverse(notice.heard));
        seen.into_iter().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_outlives_a_restart_and_is_taken_once() {
        let folder = tempfile::tempdir().expect("folder");
        let open = || Archive::open(crate::Options::new(folder.path())).expect("open");
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let notice = |instance: &str| Notice {
            instance: uid(instance),
            facility: FacilityCode::DEMO,
            source: "demo-loopback".into(),
            calling: AeTitle::parse("PACS1").expect("title"),
            heard: 0,
            study: uid("1.2.3"),
            series: Vec::new(),
        };
        let archive = open();
        archive.keep_notice(notice("1.2.1")).expect("kept");
        assert!(matches!(archive.keep_notice(notice("1.2.1")), Err(NoticeError::Duplicate)));
        archive.keep_notice(notice("1.2.2")).expect("kept");
        archive.close(std::time::Duration::from_secs(20)).expect("closed");
        drop(archive);
        let archive = open();
        let kept = archive.notices(&Caller::operator(), 10);
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|notice| notice.heard > 0));
        assert!(matches!(archive.keep_notice(notice("1.2.2")), Err(NoticeError::Duplicate)));
    }
}
