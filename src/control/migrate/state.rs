//! What an earlier run of the same migration finished, in a file of JSON lines.
//!
//! Studies without trouble are noted for good; windows only until a run comes to its end, so that the next one asks them
//! again and finds what is new. A line that a kill tore is none.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What became of objects, where nothing went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) found: u64,
    pub(super) moved: u64,
    pub(super) equal: u64,
    pub(super) conflicts: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Study {
        study: String,
        #[serde(flatten)]
        counts: Counts,
    },
    Window {
        window: String,
        studies: u64,
        #[serde(flatten)]
        counts: Counts,
    },
    Ended {
        ended: bool,
    },
}

/// The file, and what it says. A million studies take some 50 MB.
pub(super) struct State {
    file: File,
    studies: HashMap<u128, Counts>,
    windows: BTreeMap<String, (u64, Counts)>,
}

/// A short name for a UID: what is known of a million of them stays in memory.
pub(super) fn short(uid: &str) -> u128 {
    let digest = Sha256::digest(uid);
    digest.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

/// A file for the owner alone.
pub(super) fn private(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if truncate { options.write(true).truncate(true) } else { options.read(true).append(true) }.open(path)
}

impl State {
    /// Opens the file; `restart` forgets what it says.
    pub(super) fn open(path: &Path, restart: bool) -> io::Result<Self> {
        let mut file = private(path, restart)?;
        let (mut studies, mut windows) = (HashMap::new(), BTreeMap::new());
        if restart {
            return Ok(Self { file, studies, windows });
        }
        for line in BufReader::new(&file).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Line::Study { study, counts }) => drop(studies.insert(short(&study), counts)),
                Ok(Line::Window { window, studies, counts }) => drop(windows.insert(window, (studies, counts))),
                Ok(Line::Ended { .. }) => windows.clear(),
                Err(_) => {}
            }
        }
        // What a kill tore must not spoil the next line too.
        if file.metadata()?.len() > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { file, studies, windows })
    }

    /// What became of a study that is finished; one that has grown since is not.
    pub(super) fn study(&self, study: &str, instances: Option<u64>) -> Option<Counts> {
        let counts = self.studies.get(&short(study))?;
        instances.is_none_or(|now| now <= counts.found).then_some(*counts)
    }

    /// How many studies a window had that the run before this one finished, and what became of them.
    pub(super) fn window(&self, window: &str) -> Option<(u64, Counts)> {
        self.windows.get(window).copied()
    }

    pub(super) fn put_study(&mut self, study: &str, counts: Counts) -> io::Result<()> {
        self.put(&Line::Study { study: study.to_owned(), counts })
    }

    pub(super) fn put_window(&mut self, window: &str, studies: u64, counts: Counts) -> io::Result<()> {
        self.put(&Line::Window { window: window.to_owned(), studies, counts })
    }

    /// The run came to its end: the next one asks every window again.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.put(&Line::Ended { ended: true })
    }

    fn put(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_tore_is_lost_alone_and_windows_hold_until_the_end_of_a_run() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("state");
        let counts = Counts { found: 3, moved: 2, equal: 1, conflicts: 0 };
        let mut state = State::open(&path, false).expect("opened");
        state.put_study("1.2.3", counts).expect("written");
        state.put_window("20200101-20200107", 1, counts).expect("written");
        drop(state);
        let mut text = std::fs::read(&path).expect("there");
        text.extend_from_slice(b"{\"study\":\"1.2.4\",\"fou");
        std::fs::write(&path, text).expect("written");
        let mut state = State::open(&path, false).expect("opened");
        assert_eq!((state.study("1.2.3", None), state.study("1.2.4", None)), (Some(counts), None));
        assert_eq!(state.window("20200101-20200107"), Some((1, counts)));
        assert_eq!(
            (state.study("1.2.3", Some(3)), state.study("1.2.3", Some(4))),
            (Some(counts), None),
            "it has grown"
        );
        state.put_study("1.2.5", counts).expect("written");
        state.end().expect("written");
        let state = State::open(&path, false).expect("opened");
        assert_eq!((state.study("1.2.5", None), state.window("20200101-20200107")), (Some(counts), None));
        let state = State::open(&path, true).expect("opened");
        assert_eq!(state.study("1.2.3", None), None);
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 0);
    }
}
