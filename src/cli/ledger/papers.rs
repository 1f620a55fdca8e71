//! The files that `khoanh ledger` hands out: proofs, and tombstones whose seal a proof contains.
//!
//! Written for their owner alone: a tombstone names a study.

use crate::cli::{Exit, Failure, show};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files named one by one; of more only the number is told.
const NAMED_MAX: usize = 20;

/// A folder being filled.
pub(super) struct Papers {
    folder: PathBuf,
    written: Vec<PathBuf>,
}

impl Papers {
    /// The folder is made when it is missing.
    pub(super) fn new(folder: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), written: Vec::new() })
    }

    /// Writes one file, in the place of one that has the name.
    pub(super) fn write(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        write(&path, text)?;
        self.written.push(path);
        Ok(())
    }

    /// Names what was written, and how it is checked.
    pub(super) fn end(self, key: &[u8; 32]) -> Result<Exit, Failure> {
        let mut text = String::new();
        for path in self.written.iter().take(NAMED_MAX) {
            text.push_str(&format!("{}\n", path.display()));
        }
        if self.written.len() > NAMED_MAX {
            text.push_str(&format!("... {} files in all in {}\n", self.written.len(), self.folder.display()));
        }
        text.push_str(&format!("check (kiểm chứng): scripts/verify_proof.py --trusted {} FILE...\n", super::hex(key)));
        show(&text)
    }
}

/// Writes one file for its owner alone.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    let mut options = OpenOptions::new();
    let file = options.create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}
