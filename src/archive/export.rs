//! Studies as a DICOM file-set (PS3.10, PS3.11 general purpose profiles): files under short names, and the DICOMDIR
//! that leads to them, for a folder, a ZIP file or a disc.
//!
//! Uncompressed data sets go out in Explicit VR Little Endian, as the profiles ask; compressed ones as they are
//! stored. Rejected and hidden instances are not in it. The archive is only read.

use crate::error::RetrieveError;
use crate::open::Archive;
use crate::retrieve::Target;
use dataset::dicomdir::{self, Record, RecordFile};
use index::InstanceRow;
use model::{Caller, Digest, SamenessHasher, Scope, Uid};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Name of the file-set (PS3.10 section 8.1).
const FILE_SET_ID: &str = "KHOANH";
/// Most studies in one file-set.
pub const STUDIES_MAX: usize = 1_000;
/// Most instances in one file-set: its DICOMDIR is put together in memory.
pub const INSTANCES_MAX: usize = 500_000;
/// Most bytes of one series' metadata.
const DOCUMENT_MAX: u64 = 2 << 30;
const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
/// The file of digests beside the DICOMDIR, as `sha256sum -c` reads it.
const SUMS: &str = "SHA256SUMS";
const STEP: usize = 256 << 10;

/// Why studies were not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What is asked for is not there, or cannot be read.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// The file-set cannot be written as asked.
    #[error("{what}")]
    Refused {
        /// Why and what to do.
        what: String,
    },
    /// A file could not be written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Told to stop; the same command goes on where this one stopped.
    #[error("interrupted; the same command again goes on from here")]
    Interrupted,
}

/// One file of a file-set.
#[derive(Debug, Clone)]
pub struct SetFile {
    /// Components of its name.
    pub path: Vec<String>,
    /// The instance.
    pub row: InstanceRow,
}

/// A file-set to be written.
#[derive(Debug)]
pub struct FileSet {
    /// Its files in viewing order.
    pub files: Vec<SetFile>,
    /// Bytes of its DICOMDIR.
    pub dicomdir: Vec<u8>,
    /// What the asker should know; no patient data.
    pub notes: Vec<String>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Files in the file-set, the DICOMDIR aside.
    pub files: u64,
    /// Of those, how many were there already from an earlier run.
    pub kept: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl SetFile {
    /// Whether the file goes out in another encoding than it is stored in.
    pub fn is_reencoded(&self) -> bool {
        dataset::transcode::is_needed(&self.row.transfer_syntax)
    }

    /// Bytes of the file, where they are known before.
    pub fn length(&self) -> Option<u64> {
        let stored = !self.is_reencoded() && !self.is_bare() && self.row.correction.is_none();
        stored.then_some(self.row.file_len)
    }

    /// Whether the file was written before, wholly: the folder may be one of other studies, whose files have the same
    /// names and often the same lengths.
    fn lies_at(&self, path: &Path) -> io::Result<bool> {
        let whole = fs::metadata(path).is_ok_and(|about| Some(about.len()) == self.length());
        if !whole {
            return Ok(false);
        }
        let (mut file, mut meta) = (File::open(path)?, Sha256::new());
        let mut data = SamenessHasher::new(self.row.digest.kind(), &self.row.transfer_syntax);
        copy_into(&mut (&mut file).take(u64::from(self.row.meta_len)), |bytes| meta.update(bytes))?;
        copy_into(&mut file, |bytes| data.update(bytes))?;
        Ok(Digest(meta.finalize().into()) == self.row.meta_digest && data.finish() == self.row.digest)
    }

    fn is_bare(&self) -> bool {
        self.row.flags.contains(&model::Flag::MissingMeta)
    }

    fn syntax(&self) -> Result<Uid, RetrieveError> {
        let named = if self.is_reencoded() { EXPLICIT_LE } else { self.row.transfer_syntax.as_str() };
        Uid::parse(named).map_err(|error| RetrieveError::Unavailable { what: error.to_string() })
    }
}

impl Archive {
    /// Plans the file-set of some studies for a caller; nothing is written.
    ///
    /// # Errors
    /// [`RetrieveError::NotFound`] for the first study that may not be seen or is not there.
    pub fn file_set(self: &Arc<Self>, caller: &Caller, scope: Scope, studies: &[Uid]) -> Result<FileSet, ExportError> {
        if studies.is_empty() || studies.len() > STUDIES_MAX {
            return Err(ExportError::Refused { what: format!("name one study, at most {STUDIES_MAX}") });
        }
        let (mut patients, mut files, mut notes) = (BTreeMap::<[String; 2], Record>::new(), Vec::new(), Vec::new());
        for (number, study) in studies.iter().enumerate() {
            let selection = self.select(caller, scope, &Target::Study(study.clone()))?;
            notes.extend(selection.notes);
            if files.len().saturating_add(selection.instances.len()) > INSTANCES_MAX {
                let what = format!("one file-set holds at most {INSTANCES_MAX} instances; export fewer studies");
                return Err(ExportError::Refused { what });
            }
            let rows = selection.instances.into_iter().map(|row| (row.sop_instance.clone(), row)).collect();
            let (patient, record) = self.study_files(caller, scope, study, number, rows, &mut files)?;
            let key =
                ["00100020", "00100010"].map(|tag| patient.keys.get(tag).map(Value::to_string).unwrap_or_default());
            patients.entry(key).or_insert(patient).below.push(record);
        }
        let patients: Vec<Record> = patients.into_values().collect();
        let instance = set_uid(&files)?;
        let written = dicomdir::dicomdir(FILE_SET_ID, &instance, &patients);
        let dicomdir = written.map_err(|error| ExportError::Refused { what: error.to_string() })?;
        notes.dedup();
        Ok(FileSet { files, dicomdir, notes })
    }

    fn study_files(
        self: &Arc<Self>,
        caller: &Caller,
        scope: Scope,
        study: &Uid,
        number: usize,
        mut rows: HashMap<Uid, InstanceRow>,
        files: &mut Vec<SetFile>,
    ) -> Result<(Record, Record), ExportError> {
        let (mut patient, mut record, mut series) = (None, None, Vec::new());
        for part in self.metadata(caller, scope, &Target::Study(study.clone()))? {
            let mut of_series = None;
            let place = format!("E{:05}", series.len() + 1);
            for (position, document) in documents(&part.json_zstd)?.into_iter().enumerate() {
                let uid = document.get("00080018").and_then(|member| member.pointer("/Value/0")?.as_str());
                let Some(row) = uid.and_then(|uid| Uid::parse(uid).ok()).and_then(|uid| rows.remove(&uid)) else {
                    continue;
                };
                let name = format!("I{:07}", position + 1);
                let path = vec!["DICOM".into(), format!("S{:05}", number + 1), place.clone(), name];
                let file = SetFile { path, row };
                let named = RecordFile {
                    path: file.path.clone(),
                    sop_class: file.row.sop_class.clone(),
                    sop_instance: file.row.sop_instance.clone(),
                    transfer_syntax: file.syntax()?,
                };
                patient.get_or_insert_with(|| dicomdir::patient_record(&document));
                record.get_or_insert_with(|| dicomdir::study_record(&document));
                let counted = u64::try_from(position + 1).unwrap_or(u64::MAX);
                let of_series = of_series.get_or_insert_with(|| dicomdir::series_record(&document));
                of_series.below.push(dicomdir::instance_record(&document, named, counted));
                files.push(file);
            }
            series.extend(of_series);
        }
        let (Some(patient), Some(mut record)) = (patient, record) else { return Err(RetrieveError::NotFound.into()) };
        record.below = series;
        Ok((patient, record))
    }

    /// Writes one file of a file-set.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub fn write_set_file(self: &Arc<Self>, file: &SetFile, out: &mut impl Write) -> io::Result<()> {
        let row = &file.row;
        if !file.is_reencoded() && !file.is_bare() {
            return io::copy(&mut self.given_file(row).map_err(io::Error::other)?, out).map(drop);
        }
        let syntax = file.syntax().map_err(io::Error::other)?;
        out.write_all(&dataset::part10::file_meta(&row.sop_class, &row.sop_instance, &syntax))?;
        let mut data_set = self.given(row).map_err(io::Error::other)?;
        if !file.is_reencoded() {
            return io::copy(&mut data_set, out).map(drop);
        }
        dataset::transcode::explicit_le(&mut data_set, &row.transfer_syntax, out).map_err(io::Error::other)
    }

    /// Writes a file-set into a folder: every file whole or not at all, digests and DICOMDIR last.
    /// Files of an earlier run that are whole stay; files of other studies are refused. `progress` hears of files and bytes.
    ///
    /// # Errors
    /// What cannot be read or written; what was written stays for the next run.
    pub fn export_to(
        self: &Arc<Self>,
        set: &FileSet,
        folder: &Path,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Exported),
    ) -> Result<Exported, ExportError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let names: HashSet<PathBuf> = set.files.iter().map(|file| file.path.iter().collect()).collect();
        let top = Path::new("DICOM");
        if let Some(stray) = stray(folder, top, &names).map_err(at(&folder.join(top)))? {
            let stray = folder.join(stray);
            let what = format!("{} is none of these studies' files: name a folder of their own", stray.display());
            return Err(ExportError::Refused { what });
        }
        let (mut done, mut sums) = (Exported::default(), String::new());
        for file in &set.files {
            if stop.load(Ordering::Relaxed) {
                return Err(ExportError::Interrupted);
            }
            let name = file.path.join("/");
            let path = folder.join(&name);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(at(parent))?;
            let whole = file.lies_at(&path).map_err(at(&path))?;
            if !whole {
                let part = path.with_extension("part");
                self.write_whole(file, &part).map_err(at(&part))?;
                fs::rename(&part, &path).map_err(at(&path))?;
            }
            let (digest, length) = digest_of(&path).map_err(at(&path))?;
            // Writing to a String cannot fail.
            let _ = writeln!(sums, "{digest}  {name}");
            done.files += 1;
            done.kept += u64::from(whole);
            done.bytes = done.bytes.saturating_add(length);
            progress(done);
        }
        let directory = Sha256::digest(&set.dicomdir).iter().fold(String::new(), hexadecimal);
        let _ = writeln!(sums, "{directory}  DICOMDIR");
        for (name, bytes) in [(SUMS, sums.as_bytes()), ("DICOMDIR", set.dicomdir.as_slice())] {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(at(&path))?;
        }
        Ok(done)
    }

    fn write_whole(self: &Arc<Self>, file: &SetFile, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(STEP, File::create(path)?);
        self.write_set_file(file, &mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// A file below `inner` that is none of those named, if there is one: somebody else's images on this disc.
fn stray(folder: &Path, inner: &Path, names: &HashSet<PathBuf>) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder.join(inner)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = inner.join(entry.file_name());
        let stray = match entry.file_type()?.is_dir() {
            true => stray(folder, &path, names)?,
            // A file on its way when an earlier run ended is written over.
            false => Some(path.clone()).filter(|_| !names.contains(&path.with_extension(""))),
        };
        if stray.is_some() {
            return Ok(stray);
        }
    }
    Ok(None)
}

fn hexadecimal(mut text: String, byte: &u8) -> String {
    let _ = write!(text, "{byte:02x}");
    text
}

fn digest_of(path: &Path) -> io::Result<(String, u64)> {
    let mut digest = Sha256::new();
    let length = copy_into(&mut File::open(path)?, |bytes| digest.update(bytes))?;
    Ok((digest.finalize().iter().fold(String::new(), hexadecimal), length))
}

/// Reads to the end; tells how many bytes.
fn copy_into(from: &mut impl Read, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let (mut piece, mut length) = (vec![0; STEP], 0u64);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(length);
        }
        each(piece.get(..count).unwrap_or_default());
        length = length.saturating_add(u64::try_from(count).unwrap_or(0));
    }
}

/// The metadata of a series, one object per instance.
fn documents(zstd: &[u8]) -> Result<Vec<Map<String, Value>>, RetrieveError> {
    let damaged = |what: String| RetrieveError::Damaged { what: format!("metadata: {what}") };
    let decoder = zstd::stream::Decoder::new(zstd).map_err(|error| damaged(error.to_string()))?;
    serde_json::from_reader(decoder.take(DOCUMENT_MAX)).map_err(|error| damaged(error.to_string()))
}

/// A UID for the file-set that the same files always get (PS3.5 Annex B.2).
fn set_uid(files: &[SetFile]) -> Result<Uid, RetrieveError> {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.row.digest.bytes());
    }
    let number = digest.finalize().iter().take(16).fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    Uid::parse(&format!("2.25.{number}")).map_err(|error| RetrieveError::Unavailable { what: error.to_string() })
}
