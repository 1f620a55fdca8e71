//! Backups are whole, grow by what is new, and come back equal on an empty machine.

use super::packs::{all_packed, object, packing, read, rows};
use super::*;
use crate::backup::{self, BackupError, BackupPlace, Wanted};
use crate::rebuild;
use model::chart::{Change, Inbound, Origin};
use model::{Caller, Digest};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn back_up(bench: &Bench, to: &Path) -> backup::Report {
    try_back_up(bench, to, None).expect("a backup")
}

fn try_back_up(bench: &Bench, to: &Path, key_file: Option<&Path>) -> Result<backup::Report, BackupError> {
    let stop = AtomicBool::new(false);
    let to = &BackupPlace::Directory(to.to_owned());
    let wanted = Wanted { to, key_file, keep_days: 30, digest: true };
    bench.archive.backup(&wanted, &stop, &mut |_| {})
}

fn restore(from: &Path, set: Option<&str>, data: &Path) -> Result<backup::Restored, BackupError> {
    restore_with(from, None, set, data)
}

fn restore_with(
    from: &Path,
    key_file: Option<&Path>,
    set: Option<&str>,
    data: &Path,
) -> Result<backup::Restored, BackupError> {
    let from = BackupPlace::Directory(from.to_owned());
    backup::restore(&from, key_file, set, data, &AtomicBool::new(false), &mut |_| {})
}

/// A backup of a moment at which nothing came in, so that it says what the index must be.
fn settled(bench: &Bench, to: &Path, key_file: Option<&Path>) -> (backup::Report, Digest) {
    let mut report = None;
    until("a backup of a quiet moment", || {
        report = Some(try_back_up(bench, to, key_file).expect("a backup"));
        report.as_ref().is_some_and(|report| report.index.is_some())
    });
    let report = report.expect("a backup");
    let index = report.index.expect("a digest");
    (report, index)
}

/// A message of an information system.
fn message(changes: Vec<Change>) -> Inbound {
    let (source, control) = ("mllp:DEMO0:HIS".to_owned(), "1".to_owned());
    Inbound {
        origin: Origin { source, sender: String::new(), control, digest: Digest([1; 32]) },
        kind: "ADT^A40".into(),
        mrn: None,
        text: "MSH".into(),
        changes: Ok(changes),
        remarks: Vec::new(),
    }
}

/// The epoch keys are in no backup: they come from the safe, before anything else.
fn bring_epoch_keys(bench: &Bench, data: &Path) {
    std::fs::create_dir(data).expect("folder");
    std::fs::copy(bench.options.data.join("epoch.keys"), data.join("epoch.keys")).expect("the epoch keys");
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
    let merged = vec![Change::Merge { survivor: "22015985".into(), former: "1".into() }];
    bench.archive.charts().receive(FacilityCode::DEMO, message(merged)).expect("received");
    // Some of it is still in the journal, one in a file of its own.
    let first = back_up(&bench, &to);
    for number in [21, 30] {
        bench.store(&object(2, number)).expect("stored");
    }
    until("packed", || all_packed(&bench));
    let question = "commitments/DEMO0-1.2.json";
    std::fs::create_dir_all(bench.options.data.join("commitments")).expect("folder");
    std::fs::write(bench.options.data.join(question), "a question").expect("written");
    let (second, index) = settled(&bench, &to, None);
    assert!(second.copied < second.files, "everything is copied again: {second:?}");
    let data = bench.folder.path().join("restored");
    bring_epoch_keys(&bench, &data);
    let restored = restore(&to, None, &data).expect("restored");
    assert_eq!((restored.set.as_str(), restored.files), (second.set.as_str(), second.files));
    assert_eq!(std::fs::read(data.join(question)).expect("it came along"), b"a question");
    let options = Options { data: data.clone(), ..bench.options.clone() };
    let report = rebuild::run(&options, &mut |_| {}).expect("rebuilt");
    assert_eq!(index, report.after, "{second:?} {report:?}");
    assert_eq!(second.charts, Some(report.charts.after), "{second:?} {report:?}");
    let again = reopened(&bench, &data);
    let found = again.archive.charts().patient(&Caller::operator(), FacilityCode::DEMO, "1");
    let patient = found.expect("answers").expect("it came along");
    assert_eq!(patient.mrn, "22015985");
    assert_eq!(rows(&again).len(), 42);
    for row in rows(&again) {
        let number = row.sop_instance.as_str().rsplit('.').next().expect("number").parse().expect("number");
        let series = row.sop_instance.as_str().split('.').nth(3).expect("series").parse().expect("series");
        assert!(read(&again, &row).expect("read") == object(series, number).bytes(), "{}", row.sop_instance);
    }
    // What moves from the journal to a pack while all is read may be met in both.
    until("every object is verified once", || {
        let verified = again.archive.verify(&AtomicBool::new(false), &mut |_| {}).expect("verify");
        assert_eq!(verified.damaged, 0, "{verified:?}");
        assert!(verified.instances >= 43, "{verified:?}");
        verified.instances == 43
    });
    // The older one is still there, too.
    let data = bench.folder.path().join("older");
    bring_epoch_keys(&bench, &data);
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

#[test]
fn a_damaged_backup_keeps_nobody_from_an_older_one() {
    let bench = packing();
    let to = bench.folder.path().join("backups");
    bench.store(&object(1, 1)).expect("stored");
    let first = back_up(&bench, &to);
    until("a later moment", || bench.archive.now_ms() > first.set.parse().expect("a time"));
    let second = back_up(&bench, &to);
    std::fs::write(to.join(format!("sets/{}.json", second.set)), "{").expect("spoilt");
    let new = |name: &str| bench.folder.path().join(name);
    restore(&to, None, &new("newest")).expect_err("it is spoilt");
    let restored = restore(&to, Some(&first.set), &new("older")).expect("the older one is whole");
    assert_eq!(restored.set, first.set);
}

#[test]
fn one_backup_is_made_at_a_time() {
    let bench = packing();
    let to = bench.folder.path().join("backups");
    bench.store(&object(1, 1)).expect("stored");
    until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
    let place = &BackupPlace::Directory(to.clone());
    let wanted = Wanted { to: place, key_file: None, keep_days: 30, digest: false };
    // The pack is copied first, ahead of the moment: nothing waits for the first backup yet.
    let mut second = None;
    let mut meanwhile = |_: &backup::Report| {
        second.get_or_insert_with(|| try_back_up(&bench, &to, None));
    };
    bench.archive.backup(&wanted, &AtomicBool::new(false), &mut meanwhile).expect("the first one");
    let refused = second.expect("something was copied").expect_err("a second one");
    assert!(refused.to_string().contains("under way"), "{refused}");
    back_up(&bench, &to);
}

#[test]
fn what_another_key_sealed_is_not_taken_for_there() {
    let bench = packing();
    let to = bench.folder.path().join("sealed");
    for number in 1..=3 {
        bench.store(&object(1, number)).expect("stored");
    }
    until("packed", || rows(&bench).len() == 3 && all_packed(&bench));
    // The first backup breaks off when everything is copied, and its key is lost.
    try_back_up(&bench, &to, Some(&key_file(&bench, "lost", "a"))).expect("a backup");
    for set in std::fs::read_dir(to.join("sets")).expect("sets").flatten() {
        std::fs::remove_file(set.path()).expect("not written yet");
    }
    let key = key_file(&bench, "key", "b");
    try_back_up(&bench, &to, Some(&key)).expect("a backup");
    restore_with(&to, Some(&key), None, &bench.folder.path().join("restored")).expect("restored with its own key");
    // What broke off under the same key is not copied again.
    for set in std::fs::read_dir(to.join("sets")).expect("sets").flatten() {
        std::fs::remove_file(set.path()).expect("not written yet");
    }
    let again = try_back_up(&bench, &to, Some(&key)).expect("a backup");
    assert!(again.copied < again.files, "{again:?}");
}

/// A key file for its owner.
fn key_file(bench: &Bench, name: &str, digit: &str) -> std::path::PathBuf {
    let path = bench.folder.path().join(name);
    std::fs::write(&path, format!("{}\n", digit.repeat(64))).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("for its owner");
    path
}

/// Whether any file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => holds(&path, bytes),
            false => {
                let file = std::fs::read(&path).expect("a file");
                let plain = zstd::decode_all(file.as_slice()).unwrap_or_default();
                memchr::memmem::find(&file, bytes).is_some() || memchr::memmem::find(&plain, bytes).is_some()
            }
        }
    })
}

#[test]
fn a_sealed_backup_comes_back_with_its_key_and_says_nothing_without_it() {
    let bench = packing();
    let (plain, sealed) = (bench.folder.path().join("plain"), bench.folder.path().join("sealed"));
    let (key, other) = (key_file(&bench, "key", "a"), key_file(&bench, "other", "b"));
    for number in 1..=5 {
        bench.store(&object(1, number)).expect("stored");
    }
    until("packed", || rows(&bench).len() == 5 && all_packed(&bench));
    back_up(&bench, &plain);
    let (first, index) = settled(&bench, &sealed, Some(&key));
    let again = try_back_up(&bench, &sealed, Some(&key)).expect("a backup");
    assert!(again.copied < first.files, "what lasts is copied again: {again:?}");
    // What is searched for is found where it lies open.
    let name = b"NGUYEN^VAN AN";
    assert!(holds(&plain, name) && !holds(&sealed, name));
    let new = |name: &str| bench.folder.path().join(name);
    for wrong in [None, Some(other.as_path())] {
        restore_with(&sealed, wrong, None, &new("refused")).expect_err("the wrong key, or none");
        try_back_up(&bench, &sealed, wrong).expect_err("another key than the earlier ones");
    }
    restore_with(&sealed, Some(&key), Some(&first.set), &new("restored")).expect("restored");
    let options = Options { data: new("restored"), ..bench.options.clone() };
    assert_eq!(rebuild::run(&options, &mut |_| {}).expect("rebuilt").after, index);
    for row in rows(&reopened(&bench, &new("restored"))) {
        let number = row.sop_instance.as_str().rsplit('.').next().expect("number").parse().expect("number");
        assert!(read(&bench, &row).expect("read") == object(1, number).bytes(), "{}", row.sop_instance);
    }
    // A key that everybody may read is none.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("for everybody");
    try_back_up(&bench, &sealed, Some(&key)).expect_err("a key for everybody");
}
