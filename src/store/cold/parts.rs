//! What an upload notes so that it goes on after a restart.
//!
//! One file for each object under way, text: `khoanh put 1`, one line of JSON that says what is uploaded and how,
//! then a line `part NUMBER ETAG` for each part the server has confirmed, each synced before the next is sent for.
//! A last line that a crash cut is left out; that part is sent again.

use crate::StoreError;
use crate::cold::PutOptions;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "khoanh put 1";

/// What is uploaded and how: an upload goes on only when all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) key: String,
    pub(super) len: u64,
    pub(super) digest: Option<String>,
    pub(super) part_bytes: u64,
    pub(super) options: String,
}

#[derive(Serialize, Deserialize)]
struct Begun {
    plan: Plan,
    upload: String,
}

/// The notes of one upload.
pub(super) struct Parts {
    path: PathBuf,
    file: File,
    pub(super) upload: String,
    pub(super) done: BTreeMap<u64, String>,
}

impl Plan {
    pub(super) fn new(key: &str, len: u64, part_bytes: u64, options: &PutOptions) -> Self {
        let digest = options.digest.map(|digest| hex(&digest));
        Self { key: key.to_owned(), len, digest, part_bytes, options: format!("{:?}", options.how()) }
    }
}

/// File of an object's notes.
pub(super) fn path(work: &Path, key: &str) -> PathBuf {
    let digest = hex(&Sha256::digest(key.as_bytes()));
    work.join(format!("{}.put", digest.get(..32).unwrap_or(&digest)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Parts {
    /// Finds notes of an earlier try. Of another plan they answer its upload, which is to be aborted.
    pub(super) fn find(work: &Path, plan: &Plan) -> Result<Found, StoreError> {
        let path = path(work, &plan.key);
        let failed = |e| StoreError::io("read the parts of an upload in", &path, e);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            // Not ours to understand any more; the sweep of aborted uploads finds what it began.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let begun = lines.next().filter(|line| *line == FIRST_LINE).and_then(|_| lines.next());
        let Some(begun) = begun.and_then(|line| serde_json::from_str::<Begun>(line).ok()) else {
            return Ok(Found::Nothing);
        };
        if begun.plan != *plan {
            return Ok(Found::Other { upload: begun.upload });
        }
        let done: BTreeMap<u64, String> = lines.map_while(part).collect();
        // Anew, without the line a crash may have cut.
        let mut parts = Self::begin(work, plan, &begun.upload)?;
        for (number, tag) in &done {
            parts.note(*number, tag)?;
        }
        Ok(Found::Same(parts))
    }

    /// Begins the notes of a new upload.
    pub(super) fn begin(work: &Path, plan: &Plan, upload: &str) -> Result<Self, StoreError> {
        let path = path(work, &plan.key);
        let beside = path.with_extension("new");
        let failed = |e| StoreError::io("note the parts of an upload in", &path, e);
        let begun = Begun { plan: plan.clone(), upload: upload.to_owned() };
        let line = serde_json::to_string(&begun).map_err(|e| failed(e.into()))?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside).map_err(failed)?;
        file.write_all(format!("{FIRST_LINE}\n{line}\n").as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, &path).map_err(failed)?;
        File::open(work).and_then(|dir| dir.sync_all()).map_err(failed)?;
        Ok(Self { path, file, upload: upload.to_owned(), done: BTreeMap::new() })
    }

    /// Notes a part that the server confirmed.
    pub(super) fn note(&mut self, number: u64, tag: &str) -> Result<(), StoreError> {
        let written = self.file.write_all(format!("part {number} {tag}\n").as_bytes());
        let failed = |e| StoreError::io("note the parts of an upload in", &self.path, e);
        written.and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.done.insert(number, tag.to_owned());
        Ok(())
    }
}

/// Forgets the notes of an upload that ended.
pub(super) fn forget(work: &Path, key: &str) -> Result<(), StoreError> {
    let path = path(work, key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", &path, error)),
        _ => Ok(()),
    }
}

/// What an earlier try left.
pub(super) enum Found {
    Nothing,
    Same(Parts),
    Other { upload: String },
}

fn part(line: &str) -> Option<(u64, String)> {
    let (number, tag) = line.strip_prefix("part ")?.split_once(' ')?;
    Some((number.parse().ok()?, tag.to_owned()))
}
