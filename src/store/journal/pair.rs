//! Which of two directories may be trusted: the note `MIRROR` in each of them, and the lock on each.
//!
//! A directory that failed while the other went on looks whole afterwards but lacks acknowledged records.
//! So every directory says in a note whether all it holds was written to another one too (`paired`), whether
//! it went on without another (`alone`), or was left out (`behind`, written when it still can be). The note
//! of the one that goes on is durable before anything more is acknowledged. A start refuses a directory
//! whose better half is missing, because it cannot know what that one holds.
//!
//! ```text
//! khoanh mirror 1
//! state paired | alone | behind
//! lsn <newest record known durable when the note was written>
//! other <the other directory, when there is one>
//! ```
//!
//! This file deliberately does not compare records; `recover.rs` does.

use super::mirror::BLOB_DIR;
use crate::{Disk, Open, StoreError};
use model::Lsn;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// The note's file.
pub(crate) const NOTE: &str = "MIRROR";
/// The lock's file.
const LOCK: &str = "LOCK";
/// First line of a note.
const TITLE: &str = "khoanh mirror 1";
/// Longest note, in bytes.
const NOTE_MAX: usize = 8 << 10;

/// What a directory says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything was written to the other one too.
    Paired,
    /// It went on without another one.
    Alone,
    /// It was left out while the other went on.
    Behind,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::Alone => "alone",
            Self::Behind => "behind",
        }
    }
}

/// The note of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) state: State,
    pub(crate) lsn: Lsn,
    pub(crate) other: Option<PathBuf>,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|line| *line == TITLE)?;
        let state = lines.next()?.strip_prefix("state ")?;
        let state = [State::Paired, State::Alone, State::Behind].into_iter().find(|known| known.word() == state)?;
        let lsn = lines.next()?.strip_prefix("lsn ")?.parse().ok()?;
        let other = lines.next().and_then(|line| line.strip_prefix("other ")).map(PathBuf::from);
        Some(Self { state, lsn, other })
    }

    /// Writes the note beside, and renames it, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let mut text = format!("{TITLE}\nstate {}\nlsn {}\n", self.state.word(), self.lsn);
        if let Some(other) = &self.other {
            text.push_str(&format!("other {}\n", other.display()));
        }
        let beside = dir.join(format!("{NOTE}.new"));
        let file = disk.open(&beside, Open::Create)?;
        file.set_len(0)?;
        file.write_at(&mut [IoSlice::new(text.as_bytes())], 0)?;
        file.sync_data()?;
        disk.rename(&beside, &dir.join(NOTE))?;
        disk.sync_dir(dir)
    }
}

/// A directory at start-up.
pub(crate) struct Seen {
    pub(crate) dir: PathBuf,
    pub(crate) note: Option<Note>,
    has_segments: bool,
    // Held for the journal's life.
    lock: Box<dyn Send + Sync>,
}

/// All directories at start-up.
pub(crate) struct Pair {
    pub(crate) reached: Vec<Seen>,
    /// Directories that cannot be used, and why; the others are known to hold everything.
    pub(crate) unreachable: Vec<(PathBuf, String)>,
}

impl Pair {
    /// Makes and locks the directories and reads their notes; changes nothing else.
    /// Refuses what may lack records another one holds.
    pub(crate) fn enter(disk: &dyn Disk, dirs: &[PathBuf]) -> Result<Self, StoreError> {
        let mut pair = Self { reached: Vec::new(), unreachable: Vec::new() };
        let mut first = None;
        for dir in dirs {
            match see(disk, dir) {
                Ok(seen) => pair.reached.push(seen),
                Err(error @ StoreError::Io { .. }) => {
                    pair.unreachable.push((dir.clone(), with_cause(&error)));
                    first.get_or_insert(error);
                }
                Err(StoreError::Locked { pid, .. })
                    if !pair.reached.is_empty() && pid == std::process::id().to_string() =>
                {
                    return Err(StoreError::Options("the two directories are the same, or one is already open"));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = first.filter(|_| pair.reached.is_empty()) {
            return Err(error);
        }
        for seen in &pair.reached {
            pair.judge(seen)?;
        }
        Ok(pair)
    }

    fn judge(&self, seen: &Seen) -> Result<(), StoreError> {
        let note = seen.note.as_ref();
        if let Some(note) = note.filter(|note| note.lsn > 0 && note.state != State::Behind && !seen.has_segments) {
            return Err(StoreError::corrupt(
                &seen.dir.join(NOTE),
                0,
                note.lsn,
                "the segments it speaks of are missing",
            ));
        }
        let other = self.reached.iter().find(|other| other.dir != seen.dir);
        let state = note.map(|note| note.state);
        let fits = match (state, other) {
            (Some(State::Alone), Some(other)) if other.state() == Some(State::Alone) => {
                return Err(StoreError::Diverged {
                    one: seen.dir.clone(),
                    two: other.dir.clone(),
                    lsn: note.map_or(0, |note| note.lsn),
                });
            }
            (Some(State::Alone), _) => true,
            (Some(State::Behind), other) => {
                other.is_some_and(|other| other.has_segments && other.state() != Some(State::Behind))
            }
            (Some(State::Paired), other) => other.is_some_and(|other| other.has_segments),
            (None, _) => self.unreachable.is_empty(),
        };
        if fits {
            return Ok(());
        }
        let named = note.and_then(|note| note.other.clone());
        let unreachable = self.unreachable.first().map(|(dir, _)| dir.clone());
        let other = unreachable.or(named).or_else(|| other.map(|other| other.dir.clone())).unwrap_or_default();
        Err(StoreError::Behind { dir: seen.dir.clone(), other, note: seen.dir.join(NOTE) })
    }

    /// The directory the other one must be brought up from, when the notes tell.
    pub(crate) fn authority(&self) -> Option<&Path> {
        let alone = self.reached.iter().find(|seen| seen.state() == Some(State::Alone));
        let behind = self.reached.iter().any(|seen| seen.state() == Some(State::Behind));
        let not_behind = self.reached.iter().find(|seen| behind && seen.state() != Some(State::Behind));
        alone.or(not_behind).map(|seen| seen.dir.as_path())
    }

    pub(crate) fn state(&self, dir: &Path) -> Option<State> {
        self.reached.iter().find(|seen| seen.dir == dir).and_then(Seen::state)
    }

    pub(crate) fn into_locks(self) -> Vec<Box<dyn Send + Sync>> {
        self.reached.into_iter().map(|seen| seen.lock).collect()
    }
}

impl Seen {
    fn state(&self) -> Option<State> {
        self.note.as_ref().map(|note| note.state)
    }
}

fn see(disk: &dyn Disk, dir: &Path) -> Result<Seen, StoreError> {
    let made = || {
        disk.create_dir(&dir.join(BLOB_DIR))?;
        disk.sync_dir(dir)?;
        dir.parent().filter(|above| !above.as_os_str().is_empty()).map_or(Ok(()), |above| disk.sync_dir(above))
    };
    made().map_err(|e| StoreError::io("make the directory", dir, e))?;
    let lock = disk.lock(&dir.join(LOCK))?;
    let names = disk.list(dir).map_err(|e| StoreError::io("list", dir, e))?;
    let has_segments = names.iter().any(|name| name.ends_with(".seg"));
    let note = if names.iter().any(|name| name == NOTE) { Some(read(disk, &dir.join(NOTE))?) } else { None };
    Ok(Seen { dir: dir.to_owned(), note, has_segments, lock })
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Note, StoreError> {
    let failed = |e| StoreError::io("read", path, e);
    let file = disk.open(path, Open::Read).map_err(failed)?;
    let mut bytes = vec![0; NOTE_MAX];
    let n = file.read_at(&mut bytes, 0).map_err(failed)?;
    let text = bytes.get(..n).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let foreign = || StoreError::Foreign { path: path.to_owned(), what: "it is no note about journal directories" };
    text.and_then(Note::parse).ok_or_else(foreign)
}

fn with_cause(error: &StoreError) -> String {
    match error {
        StoreError::Io { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}
