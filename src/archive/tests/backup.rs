//! Backups are whole, grow by what is new, and come back equal on an empty machine.

use super::packs::{all_packed, object, packing, read, rows};
use super::*;
use crate::backup::{self, BackupError};
use crate::rebuild;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn back_up(bench: &Bench, to: &Path) -> backup::Report {
    let stop = AtomicBool::new(false);
    bench.archive.backup(to, 30, true, &stop, &mut |_| {}).expect("a backup")
}

fn restore(from: &Path, set: Option<&str>, data: &Path) -> Result<backup::Restored, BackupError> {
    backup::restore(from, set, data, &AtomicBool::new(false), &mut |_| {})
}

/// Opens what was restored.
fn reopened(bench: &Bench, data: &Path) -> Bench {
    let options = Options { data: data.to_owned(), ..bench.options.clone() };
    // The ledger's key is kept apart from the backups and brought by hand.
    std::fs::copy(bench.options.data.join("ledger.pem"), data.join("ledger.pem")).expect("the ledger's key");
    let archive = Archive::open(options.clone()).expect("open what was restored");
    Bench { archive, options, folder: tempfile::tempdir().expect("folder") }
}

#[test]
fn a_backup_restored_on_an_empty_machine_is_the_same_archive() {
    let bench = packing();
    let to = bench.folder.path().join("backups");
    for series in 1..=2 {
        for number in 1..=20 {
            bench.store(&object(series, number)).expect("stored");
        }
    }
    until("packed", || rows(&bench).len() == 40 && all_packed(&bench));
    until("the quiet facts are there", || bench.archive.index().incomplete_studies(1).expect("index").is_empty());
    let conflict = Object { fill: 99, ..object(1, 1) };
    bench.store(&conflict).expect("kept");
    // Some of it is still in the journal, one in a file of its own.
    let first = back_up(&bench, &to);
    for number in [21, 30] {
        bench.store(&object(2, number)).expect("stored");
    }
    let second = back_up(&bench, &to);
    assert!(second.copied < second.files, "everything is copied again: {second:?}");
    let data = bench.folder.path().join("restored");
    let restored = restore(&to, None, &data).expect("restored");
    assert_eq!((restored.set.as_str(), restored.files), (second.set.as_str(), second.files));
    let options = Options { data: data.clone(), ..bench.options.clone() };
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuilt");
    assert!(second.index.is_none_or(|index| index == report.after), "{second:?} {report:?}");
    let again = reopened(&bench, &data);
    assert_eq!(rows(&again).len(), 42);
    for row in rows(&again) {
        let number = row.sop_instance.as_str().rsplit('.').next().expect("number").parse().expect("number");
        let series = row.sop_instance.as_str().split('.').nth(3).expect("series").parse().expect("series");
        assert!(read(&again, &row).expect("read") == object(series, number).bytes(), "{}", row.sop_instance);
    }
    let verified = again.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
    assert_eq!((verified.instances, verified.damaged), (43, 0), "{verified:?}");
    // The older one is still there, too.
    let data = bench.folder.path().join("older");
    restore(&to, Some(&first.set), &data).expect("restored");
    assert_eq!(rows(&reopened(&bench, &data)).len(), 40);
}

#[test]
fn a_damaged_backup_and_a_directory_in_use_are_refused() {
    let bench = packing();
    let to = bench.folder.path().join("backups");
    bench.store(&object(1, 1)).expect("stored");
    back_up(&bench, &to);
    let refused = restore(&to, None, &bench.options.data).expect_err("in use");
    assert!(refused.to_string().contains("not empty"), "{refused}");
    let refused = restore(&to, Some("yesterday"), &bench.folder.path().join("new")).expect_err("no such backup");
    assert!(refused.to_string().contains("no such backup"), "{refused}");
    let largest = std::fs::read_dir(to.join("objects"))
        .expect("objects")
        .flatten()
        .max_by_key(|entry| entry.metadata().map_or(0, |about| about.len()));
    let path = largest.expect("an object").path();
    let mut bytes = std::fs::read(&path).expect("the object");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    restore(&to, None, &bench.folder.path().join("new")).expect_err("damaged");
}
