//! An import on behalf of a command: where it remembers what is finished, and the report of what was refused.
//!
//! Both files lie in `imports` inside the data directory, named after the facility and the paths, so that the same
//! command goes on where it stopped. They hold file names, which may hold patient names: mode 0600.

use super::work::registered;
use super::{ImportRequest, Progress};
use crate::cli::{Exit, Failure};
use archive::import::{self, ImportOptions, Imported, Report};
use archive::{Archive, StoredKind};
use model::Source;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Different reasons counted one by one; further ones share one line.
const REASONS_MAX: usize = 50;

/// Imports and answers with the totals, the reasons of refusals and where the report lies.
pub(super) fn run(
    archive: &Arc<Archive>,
    wanted: &ImportRequest,
    stop: &Arc<AtomicBool>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    registered(archive, wanted.facility)?;
    let folder = archive.options().data.join("imports");
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let name = name_of(wanted);
    let state = folder.join(format!("{name}.finished"));
    let refused_path = folder.join(format!("{name}.refused.csv"));
    if wanted.restart && state.exists() {
        std::fs::remove_file(&state).map_err(failed)?;
    }
    // Made here so that its mode is ours; the import appends to it.
    private(&state, false).map_err(failed)?;
    let mut follower = Follower {
        refused: csv::Writer::from_writer(BufWriter::new(private(&refused_path, true).map_err(failed)?)),
        reasons: BTreeMap::new(),
        step: Progress::default(),
        progress,
        lost: None,
    };
    follower.write(&["file", "reason"]);
    let options = ImportOptions {
        roots: wanted.paths.clone(),
        source: source(wanted),
        readers: wanted.readers.clamp(1, 64),
        state: Some(state),
    };
    let (report, reasons) = follow(archive, &options, stop, follower)?;
    Ok(json!({ "report": report, "reasons": reasons, "refused": refused_path }))
}

fn follow(
    archive: &Arc<Archive>,
    options: &ImportOptions,
    stop: &Arc<AtomicBool>,
    mut follower: Follower<'_>,
) -> Result<(Report, BTreeMap<String, u64>), Failure> {
    let report = import::run(archive, options, stop, &mut follower);
    let flushed = follower.refused.flush();
    let report = report.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    if let Some(error) = follower.lost.or(flushed.err().map(|error| error.to_string())) {
        return Err(Failure::new(Exit::Failed, format!("the report of refused files cannot be written: {error}")));
    }
    Ok((report, follower.reasons))
}

/// The same command finds the same files again.
fn name_of(wanted: &ImportRequest) -> String {
    let mut hasher = Sha256::new();
    for path in &wanted.paths {
        hasher.update(path.as_os_str().as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{short}", wanted.facility)
}

fn private(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(truncate).mode(0o600).open(path)
}

fn source(wanted: &ImportRequest) -> Source {
    Source {
        charset: wanted.charset,
        issuer: wanted.issuer.clone(),
        ..Source::new(format!("import-{}", wanted.facility), wanted.facility)
    }
}

struct Follower<'a> {
    refused: csv::Writer<BufWriter<File>>,
    reasons: BTreeMap<String, u64>,
    step: Progress,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    lost: Option<String>,
}

impl Follower<'_> {
    fn write(&mut self, row: &[&str]) {
        if let Err(error) = self.refused.write_record(row) {
            self.lost.get_or_insert(error.to_string());
        }
    }
}

impl import::Progress for Follower<'_> {
    fn found(&mut self, files: u64, _complete: bool) {
        self.step.total = files;
    }

    fn done(&mut self, file: &Imported) {
        self.step.done += 1;
        self.step.bytes += file.bytes;
        if let Err(reason) = &file.result {
            self.step.trouble += 1;
            let known = self.reasons.len() < REASONS_MAX || self.reasons.contains_key(reason);
            *self.reasons.entry(if known { reason.clone() } else { "(other reasons)".into() }).or_default() += 1;
            let path: PathBuf = file.path.clone();
            self.write(&[&path.to_string_lossy(), reason]);
        } else if matches!(file.result, Ok(StoredKind::Conflict)) {
            self.step.trouble += 1;
        }
        (self.progress)(self.step);
    }
}
