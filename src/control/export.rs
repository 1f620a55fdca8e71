//! Studies into a folder or a ZIP file, for the operator of this machine.

use super::{ExportForm, ExportRequest, Progress, retention};
use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::Reader;
use archive::export::{Exported, FileSet, STUDIES_MAX, SetFile};
use archive::zip::Zip;
use model::chart::Way;
use model::{Caller, Scope, Uid};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const STEP: usize = 256 << 10;

/// Does it; what was written before an error or a stop stays in a folder, and nothing of a ZIP file.
pub(super) fn run(
    archive: &Arc<Archive>,
    wanted: &ExportRequest,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    let scope = wanted.facility.map_or(Scope::Shared, Scope::Facility);
    let studies = studies(archive, wanted, scope)?;
    let failed = |error: archive::export::ExportError| Failure::new(Exit::Failed, error.to_string());
    let set = archive.file_set(&Caller::operator(), scope, &studies).map_err(failed)?;
    let total = u64::try_from(set.files.len()).unwrap_or(u64::MAX);
    let mut step = |done: Exported| {
        progress(Progress { done: done.files, total, bytes: done.bytes, trouble: 0 });
    };
    record(archive, &set);
    let done = match wanted.form {
        ExportForm::Folder => archive.export_to(&set, &wanted.to, stop, &mut step).map_err(failed)?,
        ExportForm::Zip => zip(archive, &set, &wanted.to, stop, &mut step)?,
    };
    let Exported { files, kept, bytes } = done;
    Ok(json!({"studies": studies.len(), "files": files, "kept": kept, "bytes": bytes, "notes": set.notes}))
}

/// Records who took which studies along.
fn record(archive: &Archive, set: &FileSet) {
    let mut studies = BTreeMap::<_, u64>::new();
    for file in &set.files {
        let count = studies.entry(&file.row.key.study).or_default();
        *count = count.saturating_add(1);
    }
    let reader = Reader::new(&Caller::operator(), Way::Export);
    for (study, objects) in studies {
        archive.charts().note_read(&reader, study, 1, objects);
    }
}

/// The studies named, and those that match.
fn studies(archive: &Arc<Archive>, wanted: &ExportRequest, scope: Scope) -> Result<Vec<Uid>, Failure> {
    let mut studies = wanted.studies.clone();
    if !wanted.matching.is_empty() {
        let query = retention::query(&wanted.matching)?;
        let found = archive.find(&Caller::operator(), scope, &query, 0, STUDIES_MAX);
        let found = found.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if found.more {
            let what = format!("more than {STUDIES_MAX} studies match; ask for less, for example by StudyDate");
            return Err(Failure::new(Exit::Failed, what));
        }
        studies.extend(found.rows.into_iter().map(|row| row.study));
    }
    let mut seen = std::collections::HashSet::new();
    studies.retain(|study| seen.insert(study.clone()));
    if studies.is_empty() {
        return Err(Failure::new(Exit::Failed, "no study matches; nothing was written"));
    }
    Ok(studies)
}

fn zip(
    archive: &Arc<Archive>,
    set: &FileSet,
    to: &Path,
    stop: &AtomicBool,
    step: &mut dyn FnMut(Exported),
) -> Result<Exported, Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", to.display()));
    let part = to.with_extension("zip.part");
    let mut out = BufWriter::with_capacity(STEP, File::create(&part).map_err(failed)?);
    let mut file = archive_of(archive, set);
    let (mut piece, mut bytes) = (vec![0; STEP], 0u64);
    loop {
        if stop.load(Ordering::Relaxed) {
            // Nothing half-written stays; should removing it fail, its name says what it is.
            let _ = fs::remove_file(&part);
            return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written"));
        }
        let count = file.read(&mut piece).map_err(failed)?;
        if count == 0 {
            break;
        }
        out.write_all(piece.get(..count).unwrap_or_default()).map_err(failed)?;
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(0));
        step(Exported { files: u64::try_from(file.written()).unwrap_or(0), kept: 0, bytes });
    }
    out.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    fs::rename(&part, to).map_err(failed)?;
    Ok(Exported { files: u64::try_from(set.files.len()).unwrap_or(u64::MAX), kept: 0, bytes })
}

/// The ZIP file of a file-set; each file is re-encoded as a whole when its turn comes, where it must be.
fn archive_of(archive: &Arc<Archive>, set: &FileSet) -> Zip {
    let mut zip = Zip::new();
    for file in &set.files {
        let (archive, file): (Arc<Archive>, SetFile) = (Arc::clone(archive), file.clone());
        let length = file.length();
        zip.add(&file.path.join("/"), length, move || {
            if length.is_some() {
                return archive.given_file(&file.row).map_err(io::Error::other);
            }
            let mut whole = Vec::new();
            archive.write_set_file(&file, &mut whole)?;
            Ok(Box::new(io::Cursor::new(whole)))
        });
    }
    let directory = set.dicomdir.clone();
    zip.add("DICOMDIR", u64::try_from(directory.len()).ok(), move || Ok(Box::new(io::Cursor::new(directory))));
    zip
}
