//! Folders of exported studies hold what was asked for, whatever lay there before.

use super::*;
use crate::export::{ExportError, Exported};
use model::{Caller, Scope};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// An instance of one of several studies, all of one length.
fn object(study: &'static str, series: &'static str, number: u32) -> Object {
    Object { study, series, number, ..Object::new(&format!("{series}.{number}")) }
}

fn export(bench: &Bench, study: &str, folder: &Path) -> Result<Exported, ExportError> {
    let set = bench.archive.file_set(&Caller::operator(), Scope::Shared, &[uid(study)])?;
    bench.archive.export_to(&set, folder, &AtomicBool::new(false), &mut |_| {})
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let series = folder.join("DICOM/S00001/E00001");
    let mut files: Vec<_> = std::fs::read_dir(series).expect("files").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn files_of_another_study_are_never_taken_for_ones_own() {
    let bench = Bench::new();
    for (study, series, count) in [("1.2.1", "1.2.1.1", 2), ("1.2.2", "1.2.2.1", 2), ("1.2.3", "1.2.3.1", 1)] {
        for number in 1..=count {
            bench.store(&object(study, series, number)).expect("stored");
        }
    }
    let folder = bench.folder.path().join("disc");
    let first = export(&bench, "1.2.1", &folder).expect("written");
    assert_eq!((first.files, first.kept), (2, 0));
    let [one, two] = files(&folder).try_into().expect("two files");
    std::fs::remove_file(&one).expect("as if the first run had broken off");
    assert_eq!(export(&bench, "1.2.1", &folder).expect("gone on with").kept, 1);
    let mut spoilt = std::fs::read(&two).expect("a file");
    *spoilt.last_mut().expect("bytes") ^= 1;
    std::fs::write(&two, spoilt).expect("spoilt");
    assert_eq!(export(&bench, "1.2.1", &folder).expect("mended").kept, 1);

    // The other study's files have the same names and lengths.
    let other = export(&bench, "1.2.2", &folder).expect("written over");
    assert_eq!((other.files, other.kept), (2, 0));
    for (path, number) in [(&one, 1), (&two, 2)] {
        let file = std::fs::read(path).expect("a file");
        assert!(file.ends_with(&object("1.2.2", "1.2.2.1", number).bytes()), "{}", path.display());
    }
    let refused = export(&bench, "1.2.3", &folder).expect_err("a file of the other study would stay");
    assert!(refused.to_string().contains("I0000002"), "{refused}");
    assert!(std::fs::read(&one).expect("a file").ends_with(&object("1.2.2", "1.2.2.1", 1).bytes()), "not touched");
}
