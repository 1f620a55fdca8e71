//! The file behind the queue: one line for each change, the newest of each task holds.
//!
//! A new task is synced before anybody relies on it; that one is done is not, for doing it again harms nobody.
//! A line carries its own checksum, so that a torn last line is told from a damaged one. The file is written anew at
//! each start, after a failed write, and when it has grown far beyond what waits.

use super::task::Task;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Folder in the data directory.
const FOLDER: &str = "forward";
/// The file in it.
const FILE: &str = "queue.log";
/// Longest line.
const LINE_MAX: u64 = 64 * 1024;
/// The file is written anew beyond this many bytes ...
const GROWN: u64 = 8 << 20;
/// ... and this many times what it was after the last time.
const TIMES: u64 = 4;
/// Hexadecimal digits of a checksum.
const SUM_DIGITS: usize = 8;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// The task, as it is now.
    Put(Task),
    /// It is done, or given up for good.
    Done(u64),
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    file: Option<File>,
    bytes: u64,
    fresh: u64,
}

impl Log {
    /// Reads what waits. Damaged lines are named and left out; the file that had them is kept aside.
    pub(crate) fn open(data: &Path) -> io::Result<(Self, Vec<Task>)> {
        let folder = data.join(FOLDER);
        let (tasks, damaged) = match File::open(folder.join(FILE)) {
            Ok(file) => read(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 0),
            Err(error) => return Err(error),
        };
        if damaged > 0 {
            let aside = folder.join("queue.damaged");
            fs::copy(folder.join(FILE), &aside)?;
            tracing::error!(damaged, kept = %aside.display(), "lines of the forwarding queue cannot be read");
        }
        let mut log = Self { folder, file: None, bytes: 0, fresh: 0 };
        if !tasks.is_empty() {
            log.rewrite(&mut tasks.iter())?;
        }
        Ok((log, tasks))
    }

    /// Adds changes; `living` are all tasks with the changes in them, for when the file is due to be written anew.
    ///
    /// # Errors
    /// When they are not durable; the next change then writes the whole file.
    pub(crate) fn append(
        &mut self,
        changes: &[Change],
        sync: bool,
        living: &mut dyn Iterator<Item = &Task>,
    ) -> io::Result<()> {
        let grown = self.bytes > GROWN && self.bytes > self.fresh.saturating_mul(TIMES);
        let Some(file) = self.file.as_mut().filter(|_| !grown) else { return self.rewrite(living) };
        let mut lines = Vec::new();
        for change in changes {
            put_line(&mut lines, change)?;
        }
        let written = file.write_all(&lines).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.bytes = self.bytes.saturating_add(lines.len() as u64);
                Ok(())
            }
            Err(error) => {
                // Whatever of it stands in the file is not to be relied on.
                self.file = None;
                Err(error)
            }
        }
    }

    fn rewrite(&mut self, living: &mut dyn Iterator<Item = &Task>) -> io::Result<()> {
        self.file = None;
        fs::create_dir_all(&self.folder)?;
        let (path, beside) = (self.folder.join(FILE), self.folder.join("queue.new"));
        let mut out = BufWriter::new(File::create(&beside)?);
        let (mut line, mut bytes) = (Vec::new(), 0u64);
        for task in living {
            line.clear();
            put_line(&mut line, &Change::Put(task.clone()))?;
            out.write_all(&line)?;
            bytes = bytes.saturating_add(line.len() as u64);
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&beside, &path)?;
        for folder in [Some(self.folder.as_path()), self.folder.parent()].into_iter().flatten() {
            File::open(folder)?.sync_all()?;
        }
        self.file = Some(OpenOptions::new().append(true).open(&path)?);
        (self.bytes, self.fresh) = (bytes, bytes);
        Ok(())
    }
}

fn put_line(out: &mut Vec<u8>, change: &Change) -> io::Result<()> {
    let text = serde_json::to_vec(change)?;
    out.extend_from_slice(format!("{:0SUM_DIGITS$x} ", crc32fast::hash(&text)).as_bytes());
    out.extend_from_slice(&text);
    out.push(b'\n');
    Ok(())
}

/// The change of a line, if its checksum holds.
fn change(line: &[u8]) -> Option<Change> {
    let (sum, rest) = line.split_at_checked(SUM_DIGITS)?;
    let text = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (crc32fast::hash(text) == sum).then(|| serde_json::from_slice(text).ok()).flatten()
}

/// The tasks of a file in the order of their numbers, and how many lines are damaged.
fn read(file: File) -> io::Result<(Vec<Task>, u64)> {
    let mut tasks = std::collections::BTreeMap::new();
    let (mut reader, mut line, mut damaged) = (BufReader::new(file), Vec::new(), 0u64);
    loop {
        line.clear();
        if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match change(&line) {
            Some(Change::Put(task)) => drop(tasks.insert(task.id, task)),
            Some(Change::Done(id)) => drop(tasks.remove(&id)),
            // A kill inside a write leaves part of a last line that nobody relied on.
            None if !line.ends_with(b"\n") => tracing::debug!("the forwarding queue ends in an unfinished line"),
            None => damaged = damaged.saturating_add(1),
        }
    }
    Ok((tasks.into_values().collect(), damaged))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::task;

    #[test]
    fn a_torn_line_is_nothing_and_a_damaged_one_is_named_and_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut log, tasks) = Log::open(folder.path()).expect("opens");
        assert!(tasks.is_empty());
        let (one, two) = (task(1, 5), task(2, 6));
        log.append(&[], true, &mut [&one, &two].into_iter()).expect("written anew");
        log.append(&[Change::Done(1), Change::Put(task(3, 7))], true, &mut std::iter::empty()).expect("added");
        let path = folder.path().join(FOLDER).join(FILE);
        let whole = fs::read(&path).expect("read");
        let (_, tasks) = Log::open(folder.path()).expect("opens");
        assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [2, 3]);
        for cut in 1..40 {
            fs::write(&path, &whole[..whole.len() - cut]).expect("cut");
            let (_, tasks) = Log::open(folder.path()).expect("opens");
            assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [2], "cut by {cut}");
        }
        let mut broken = whole.clone();
        broken[SUM_DIGITS + 4] ^= 1;
        fs::write(&path, &broken).expect("broken");
        let (_, tasks) = Log::open(folder.path()).expect("opens");
        assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(fs::read(folder.path().join(FOLDER).join("queue.damaged")).expect("kept"), broken);
    }

    #[test]
    fn the_file_does_not_grow_with_what_is_done() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut log, _) = Log::open(folder.path()).expect("opens");
        let mut waiting = task(1, 5);
        waiting.error = "x".repeat(4_000);
        for _ in 0..6_000 {
            let change = [Change::Put(waiting.clone())];
            log.append(&change, false, &mut std::iter::once(&waiting)).expect("written");
        }
        let bytes = fs::metadata(folder.path().join(FOLDER).join(FILE)).expect("there").len();
        assert!(bytes < 2 * GROWN, "{bytes}");
        assert_eq!(Log::open(folder.path()).expect("opens").1, [waiting]);
    }
}
