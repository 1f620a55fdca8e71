//! Adopts folders of DICOM files (`khoanh import`): many readers, resumable, nothing silently skipped.
//!
//! Files are read, never moved or changed. A file that is refused is reported with its reason;
//! a second run of the same import skips what the first one finished.

use crate::error::{IngestError, OpenError};
use crate::incoming::{Form, StoredKind};
use crate::open::{Archive, spawn};
use crossbeam_channel::{Receiver, Sender};
use model::{Source, Via};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a file read at once.
const STEP: usize = 1 << 20;
/// Files the walk may run ahead of the readers.
const AHEAD: usize = 10_000;

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Files and folders.
    pub roots: Vec<PathBuf>,
    /// On whose behalf: everything found belongs to this source's facility.
    pub source: Source,
    /// Files read at the same time.
    pub readers: usize,
    /// List of finished files, one path a line: read at start, appended to; an import with the same list resumes.
    pub state: Option<PathBuf>,
}

/// One file's fate.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// What became of it.
    pub result: Result<StoredKind, String>,
}

/// Hears how an import goes on.
pub trait Progress: Send {
    /// So many files were found so far; `complete` when that is all.
    fn found(&mut self, files: u64, complete: bool);
    /// A file is done.
    fn done(&mut self, file: &Imported);
}

/// Totals of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Files found.
    pub found: u64,
    /// Finished by an earlier run.
    pub skipped: u64,
    /// Stored for the first time.
    pub stored: u64,
    /// Already there.
    pub same: u64,
    /// Kept beside other bytes under the same SOP Instance UID.
    pub conflicts: u64,
    /// Refused.
    pub refused: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Stopped before the end.
    pub interrupted: bool,
}

/// Imports until everything is read or `stop` is set.
///
/// # Errors
/// When the state file cannot be used or the archive takes no more objects; files that are refused one by
/// one are in the report.
pub fn run(
    archive: &Arc<Archive>,
    options: &ImportOptions,
    stop: &Arc<AtomicBool>,
    progress: &mut dyn Progress,
) -> Result<Report, OpenError> {
    let (finished, mut state) = open_state(options.state.as_deref())?;
    let (paths, todo) = crossbeam_channel::bounded::<PathBuf>(AHEAD);
    let (results, done) = crossbeam_channel::bounded::<Imported>(AHEAD);
    let walked = Arc::new(Mutex::new(Walked::default()));
    let mut threads = Vec::new();
    {
        let (roots, walked, stop) = (options.roots.clone(), Arc::clone(&walked), Arc::clone(stop));
        threads.push(spawn("import-walk", move || walk(roots, &finished, &paths, &walked, &stop))?);
    }
    for _ in 0..options.readers.max(1) {
        let (archive, source, todo) = (Arc::clone(archive), options.source.clone(), todo.clone());
        let (results, stop) = (results.clone(), Arc::clone(stop));
        threads.push(spawn("import-read", move || read_files(&archive, &source, &todo, &results, &stop))?);
    }
    drop((todo, results));
    let mut report = Report::default();
    let failed = |error: std::io::Error| OpenError::Thread { what: format!("the import's state file: {error}") };
    for file in done {
        report.count(&file);
        if let (Some(state), Ok(_)) = (&mut state, &file.result) {
            state.write_all(file.path.as_os_str().as_bytes()).map_err(failed)?;
            state.write_all(b"\n").map_err(failed)?;
        }
        let seen = walked.lock().clone();
        progress.found(seen.found, seen.complete);
        progress.done(&file);
    }
    if let Some(state) = &mut state {
        state.flush().map_err(failed)?;
    }
    for thread in threads {
        thread.join().map_err(|_| OpenError::Thread { what: "an import thread died".into() })?;
    }
    let seen = walked.lock().clone();
    progress.found(seen.found, seen.complete);
    report.found = seen.found;
    report.skipped = seen.skipped;
    for problem in &seen.problems {
        report.refused += 1;
        progress.done(problem);
    }
    report.interrupted = stop.load(Ordering::Relaxed);
    Ok(report)
}

#[derive(Debug, Clone, Default)]
struct Walked {
    found: u64,
    skipped: u64,
    complete: bool,
    problems: Vec<Imported>,
}

impl Report {
    fn count(&mut self, file: &Imported) {
        self.bytes += file.bytes;
        match file.result {
            Ok(StoredKind::New) => self.stored += 1,
            Ok(StoredKind::Same) => self.same += 1,
            Ok(StoredKind::Conflict) => self.conflicts += 1,
            Err(_) => self.refused += 1,
        }
    }
}

type State = (HashSet<PathBuf>, Option<BufWriter<File>>);

fn open_state(path: Option<&Path>) -> Result<State, OpenError> {
    let Some(path) = path else { return Ok((HashSet::new(), None)) };
    let failed = |error: std::io::Error| OpenError::Thread { what: format!("{}: {error}", path.display()) };
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed)?;
    // A kill may have cut the last line: what has no line end was not finished.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let finished = lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect();
    file.set_len(u64::try_from(whole).unwrap_or(0)).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok((finished, Some(BufWriter::new(file))))
}

/// Finds the files below the roots without following links; what cannot be listed is a problem of its own.
fn walk(
    roots: Vec<PathBuf>,
    finished: &HashSet<PathBuf>,
    paths: &Sender<PathBuf>,
    walked: &Mutex<Walked>,
    stop: &AtomicBool,
) {
    let mut stack = roots;
    stack.reverse();
    while let Some(path) = stack.pop() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let listed = match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => list(&path).map(|mut inside| stack.append(&mut inside)),
            Ok(meta) if meta.is_file() => {
                walked.lock().found += 1;
                if finished.contains(&path) {
                    walked.lock().skipped += 1;
                } else if paths.send(path.clone()).is_err() {
                    return;
                }
                Ok(())
            }
            Ok(_) => Err(std::io::Error::other("neither file nor folder; links are not followed")),
            Err(error) => Err(error),
        };
        if let Err(error) = listed {
            walked.lock().problems.push(Imported { path, bytes: 0, result: Err(error.to_string()) });
        }
    }
    walked.lock().complete = true;
}

/// Entries of a folder, in reverse order of name: the stack then yields them in order.
fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut inside = std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    inside.sort_by(|a, b| b.cmp(a));
    Ok(inside)
}

fn read_files(
    archive: &Arc<Archive>,
    source: &Source,
    todo: &Receiver<PathBuf>,
    results: &Sender<Imported>,
    stop: &AtomicBool,
) {
    let mut buffer = vec![0; STEP];
    for path in todo {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (bytes, result) = read_file(archive, source, &path, &mut buffer);
        let fatal =
            matches!(&result, Err(ReadError::Ingest(IngestError::Unavailable { .. } | IngestError::OutOfSpace)));
        let result = result.map_err(|error| error.to_string());
        if results.send(Imported { path, bytes, result }).is_err() {
            return;
        }
        if fatal {
            stop.store(true, Ordering::Relaxed); // every further file would fail alike; a later run resumes
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot be read: {0}")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

fn read_file(
    archive: &Arc<Archive>,
    source: &Source,
    path: &Path,
    buffer: &mut [u8],
) -> (u64, Result<StoredKind, ReadError>) {
    let mut bytes = 0;
    let mut read = || -> Result<StoredKind, ReadError> {
        let mut file = File::open(path)?;
        let form = Form::Part10 { transfer_syntax_hint: None, study: None };
        let mut incoming = archive.receive(source, Via::Import, form)?;
        loop {
            let count = file.read(buffer)?;
            let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
            bytes += u64::try_from(count).unwrap_or(0);
            incoming.write(chunk)?;
        }
        Ok(incoming.finish()?.kind)
    };
    let result = read();
    (bytes, result)
}
