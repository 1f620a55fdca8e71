//! An archive as a kill at this moment would leave it: a copy of its files, opened again.
//!
//! The copy is made while the archive goes on, so its parts are of different moments; a kill leaves them of one.

use super::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Copies the files, the index first: it may be behind the journal and never before it.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    let mut entries: Vec<_> = std::fs::read_dir(from).expect("folder").flatten().collect();
    entries.sort_by_key(|entry| entry.file_name() != "index");
    for entry in entries {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            // What goes while it is copied is not there after the kill.
            match std::fs::copy(&path, &target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("copy")),
            }
        }
    }
}

/// Opens a copy of a bench's archive.
pub(super) fn opened_again(bench: &Bench, name: &str) -> Bench {
    let folder = tempfile::tempdir().expect("folder");
    let mut options = bench.options.clone();
    options.data = folder.path().join(name);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        copy(&bench.options.data, &options.data);
        // Volumes are known by their path.
        let (list, path) = (options.data.join("volumes"), |data: &Path| data.to_str().expect("UTF-8").to_owned());
        let known = std::fs::read_to_string(&list).expect("the list of volumes");
        std::fs::write(&list, known.replace(&path(&bench.options.data), &path(&options.data))).expect("the list");
        match Archive::open(options.clone()) {
            Ok(archive) => return Bench { archive, options, folder },
            // A table that a compaction took away between two files of the copy, or a segment that got another name.
            Err(crate::OpenError::Index(_) | crate::OpenError::JournalBehind { .. }) if Instant::now() < deadline => {
                std::fs::remove_dir_all(&options.data).expect("removed");
            }
            Err(error) => panic!("opens: {error:?}"),
        }
    }
}
