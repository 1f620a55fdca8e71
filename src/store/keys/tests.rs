//! The key store: what is destroyed stays destroyed, what is confirmed is there, in both copies.

use super::*;
use crate::{Open, RealDisk};
use std::fs;
use std::os::unix::fs::PermissionsExt;

struct Yard {
    folder: tempfile::TempDir,
    epochs: Arc<KeyFile>,
}

fn facility(code: &str) -> FacilityCode {
    FacilityCode::parse(code).expect("code")
}

fn pack(number: u32) -> PackId {
    PackId::new((u128::from(number) << 64 | 77).to_be_bytes())
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let epochs = Arc::new(KeyFile::open(&folder.path().join("epochs")).expect("key file"));
        epochs.begin_epoch(facility("56001"), 1_000).expect("epoch");
        Self { folder, epochs }
    }

    fn dirs(&self) -> [PathBuf; 2] {
        ["one", "two"].map(|name| self.folder.path().join(name))
    }

    fn open(&self) -> KeyStore {
        self.try_open().expect("opens")
    }

    fn try_open(&self) -> Result<KeyStore, StoreError> {
        KeyStore::open(Arc::new(RealDisk), self.dirs(), Arc::clone(&self.epochs) as Arc<dyn EpochKeys>)
    }

    /// Whether these bytes lie anywhere in either copy.
    fn holds(&self, needle: &[u8]) -> bool {
        let dirs = self.dirs();
        let files = dirs.iter().flat_map(|dir| fs::read_dir(dir).expect("folder").flatten());
        files.into_iter().any(|file| {
            let bytes = fs::read(file.path()).expect("file");
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    }

    /// The wrapped key of a pack as it lies in the first copy.
    fn wrapped(&self, pack: PackId) -> Vec<u8> {
        let [one, _] = self.dirs();
        for file in fs::read_dir(one).expect("folder").flatten() {
            let bytes = fs::read(file.path()).expect("file");
            for record in bytes.chunks(128) {
                if record.get(16..32) == Some(pack.as_bytes()) {
                    return record.get(60..108).expect("record").to_vec();
                }
            }
        }
        panic!("no record of {pack}");
    }
}

#[test]
fn a_key_is_given_once_kept_in_two_copies_and_found_after_a_restart() {
    let yard = Yard::new();
    let store = yard.open();
    let keys: Vec<_> = (0..50).map(|n| *store.create(facility("56001"), pack(n)).expect("made").bytes()).collect();
    assert!(matches!(store.create(facility("56001"), pack(3)), Err(StoreError::KeyExists { .. })));
    assert!(matches!(store.get(pack(99)), Err(StoreError::KeyMissing { .. })));
    assert!(matches!(store.create(facility("99999"), pack(60)), Err(StoreError::KeyFile { .. })), "no epoch key");
    drop(store);
    let store = yard.open();
    for (number, key) in (0..).zip(&keys) {
        assert_eq!(store.get(pack(number)).expect("there").bytes(), key);
    }
    let report = store.check().expect("whole");
    assert_eq!((report.live, report.destroyed, report.levelled), (50, 0, 0));
    assert_eq!(report.epochs, [(facility("56001"), 1, 50)]);
    // Each copy alone holds all of it.
    for gone in yard.dirs() {
        let aside = gone.with_extension("aside");
        fs::rename(&gone, &aside).expect("moved");
        assert!(matches!(yard.try_open(), Err(StoreError::KeyCopy { .. })), "an empty copy was taken for one");
        let [one, two] = yard.dirs();
        let good = if gone == one { two } else { one };
        KeyStore::adopt(&RealDisk, &good, &gone).expect("adopted");
        assert_eq!(yard.open().check().expect("whole").live, 50);
        fs::remove_dir_all(aside).expect("removed");
    }
}

#[test]
fn several_keys_are_made_by_one_write_and_are_as_good_as_any() {
    let yard = Yard::new();
    let store = yard.open();
    let here = facility("56001");
    store.create(here, pack(1)).expect("made");
    let before = store.written();
    let keys = store.create_some(here, 100, 1_700_000_000_000).expect("made");
    assert_eq!((keys.len(), store.written() - before), (100, 1));
    let distinct: std::collections::BTreeSet<_> = keys.iter().map(|(_, key)| *key.bytes()).collect();
    assert_eq!(distinct.len(), 100);
    assert!(matches!(store.create_some(facility("99999"), 2, 1), Err(StoreError::KeyFile { .. })), "no epoch key");
    // Into the slots behind those that are taken, and into none twice.
    let more = store.create_some(here, 3, 1_700_000_000_000).expect("made");
    drop(store);
    let store = yard.open();
    for (name, key) in keys.iter().chain(&more) {
        assert_eq!(store.get(*name).expect("there").bytes(), key.bytes());
    }
    assert!(store.destroy(keys[50].0).expect("destroyed"));
    store.get(keys[51].0).expect("the others stay");
    let report = store.check().expect("whole");
    assert_eq!((report.live, report.destroyed, report.levelled), (103, 1, 0));
}

#[test]
fn a_destroyed_key_lies_in_neither_copy_and_never_comes_back() {
    let yard = Yard::new();
    let store = yard.open();
    store.create(facility("56001"), pack(1)).expect("made");
    store.create(facility("56001"), pack(2)).expect("made");
    let wrapped = yard.wrapped(pack(1));
    assert!(yard.holds(&wrapped));
    let [_, two] = yard.dirs();
    let backup: Vec<_> = fs::read_dir(&two)
        .expect("folder")
        .flatten()
        .map(|file| (file.path(), fs::read(file.path()).expect("file")))
        .collect();

    assert!(store.destroy(pack(1)).expect("destroyed"));
    assert!(!yard.holds(&wrapped), "the wrapped key still lies there");
    assert!(!store.destroy(pack(1)).expect("again"));
    assert!(matches!(store.get(pack(1)), Err(StoreError::KeyDestroyed { .. })));
    assert!(matches!(store.create(facility("56001"), pack(1)), Err(StoreError::KeyDestroyed { .. })));
    assert!(matches!(store.destroy(pack(9)), Err(StoreError::KeyMissing { .. })));
    drop(store);

    // A copy from before comes back: the tombstone wins, and what it brought is overwritten.
    for (path, bytes) in backup {
        fs::write(path, bytes).expect("restored");
    }
    assert!(yard.holds(&wrapped));
    let store = yard.open();
    assert!(matches!(store.get(pack(1)), Err(StoreError::KeyDestroyed { .. })));
    assert!(!yard.holds(&wrapped), "an old copy brought the key back");
    store.get(pack(2)).expect("the other stays");
    assert_eq!(store.check().expect("whole").destroyed, 1);
}

#[test]
fn a_new_epoch_wraps_everything_anew_and_the_old_one_opens_nothing_more() {
    let yard = Yard::new();
    let store = yard.open();
    let (here, there) = (facility("56001"), facility("01234"));
    yard.epochs.begin_epoch(there, 1_000).expect("epoch");
    let keys: Vec<_> = (0..40).map(|n| *store.create(here, pack(n)).expect("made").bytes()).collect();
    store.create(there, pack(1_000)).expect("made");
    let old = yard.wrapped(pack(5));
    let [one, _] = yard.dirs();
    let backup = yard.folder.path().join("backup");
    fs::create_dir(&backup).expect("folder");
    for file in fs::read_dir(&one).expect("folder").flatten() {
        fs::copy(file.path(), backup.join(file.file_name())).expect("copied");
    }

    assert_eq!(yard.epochs.begin_epoch(here, 2_000).expect("epoch"), 2);
    let mut seen = 0;
    assert_eq!(store.rewrap(here, &mut |shards| seen = shards).expect("wrapped"), 40);
    assert_eq!(seen, 4_096);
    assert_eq!(store.rewrap(here, &mut |_| {}).expect("again"), 0);
    assert!(!yard.holds(&old), "a wrapping by the old key still lies there");
    yard.epochs.retire_older(here, 3_000).expect("retired");
    assert_eq!(yard.epochs.destroy_retired(3_000).expect("too young"), []);
    assert_eq!(yard.epochs.destroy_retired(3_001).expect("destroyed"), [(here, 1)]);
    for (number, key) in (0..).zip(&keys) {
        assert_eq!(store.get(pack(number)).expect("there").bytes(), key);
    }
    assert_eq!(store.check().expect("whole").epochs, [(there, 1, 1), (here, 2, 40)]);
    drop(store);

    // What a backup from before holds opens no more, also not with the key file of today.
    let again = Arc::new(KeyFile::open(&yard.folder.path().join("epochs")).expect("key file"));
    let twin = yard.folder.path().join("twin");
    KeyStore::adopt(&RealDisk, &backup, &twin).expect("adopted");
    let stale = KeyStore::open(Arc::new(RealDisk), [backup, twin], again).expect("opens");
    assert!(matches!(stale.get(pack(5)), Err(StoreError::KeyClosed { .. })));
    assert_eq!(stale.check().expect("whole").closed.len(), 40);
}

#[test]
fn damage_in_one_copy_is_made_good_and_in_both_is_named() {
    let yard = Yard::new();
    let store = yard.open();
    let key = *store.create(facility("56001"), pack(1)).expect("made").bytes();
    drop(store);
    let shard = |dir: &Path| {
        let files = fs::read_dir(dir).expect("folder").flatten().map(|file| file.path());
        files.into_iter().find(|path| path.extension().is_some_and(|e| e == "keys")).expect("a shard")
    };
    let flip = |dir: &Path, place: usize| {
        let path = shard(dir);
        let mut bytes = fs::read(&path).expect("shard");
        *bytes.get_mut(place).expect("inside") ^= 4;
        fs::write(&path, bytes).expect("written");
    };
    for dir in yard.dirs() {
        for place in [0, 4, 8, 20, 70, 127] {
            flip(&dir, place);
            let store = yard.open();
            assert_eq!(store.get(pack(1)).expect("from the other copy").bytes(), &key);
            let [one, two] = yard.dirs();
            assert_eq!(fs::read(shard(&one)).expect("one"), fs::read(shard(&two)).expect("two"), "not made good");
        }
    }
    // While it runs, damage that came later is found by the rehearsal.
    let store = yard.open();
    store.get(pack(1)).expect("there");
    let [one, two] = yard.dirs();
    flip(&two, 70);
    assert_eq!(store.check().expect("made good").levelled, 1);
    flip(&one, 70);
    flip(&two, 70);
    assert!(matches!(store.check(), Err(StoreError::Corrupt { .. })));
    assert!(matches!(yard.open().get(pack(1)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_wrapping_holds_for_its_facility_pack_and_epoch_only() {
    let yard = Yard::new();
    let (a, b) = (facility("56001"), facility("01234"));
    yard.epochs.begin_epoch(b, 1).expect("epoch");
    yard.epochs.begin_epoch(a, 1).expect("epoch");
    let key = DataKey::new([1; 32]);
    let wrapped = yard.epochs.wrap(a, 1, pack(1), &key).expect("wrapped");
    assert_eq!(yard.epochs.unwrap(a, 1, pack(1), &wrapped).expect("opens").bytes(), key.bytes());
    for (facility, epoch, number) in [(b, 1, 1), (a, 2, 1), (a, 1, 2), (a, 9, 1)] {
        let opened = yard.epochs.unwrap(facility, epoch, pack(number), &wrapped);
        assert!(matches!(opened, Err(StoreError::KeyClosed { .. })), "{facility} {epoch} {number}");
    }
    assert_eq!(format!("{key:?}"), "DataKey(..)");
}

#[test]
fn a_key_file_that_others_may_read_is_refused_and_an_interrupted_one_is_finished() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("epochs");
    let file = KeyFile::open(&path).expect("made");
    file.begin_epoch(facility("56001"), 5).expect("epoch");
    assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
    assert_eq!(file.current_since(facility("56001")), Some(5));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    assert!(matches!(KeyFile::open(&path), Err(StoreError::KeyFile { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");

    // A crash after the new file took its name and before the old one was overwritten.
    let old = folder.path().join("epochs.old");
    fs::write(&old, "the old keys").expect("written");
    assert_eq!(KeyFile::open(&path).expect("opens").current(facility("56001")).expect("epoch"), 1);
    assert!(!old.exists(), "the old keys stayed");
    // A crash before the new file took its name: both names are the good file.
    fs::hard_link(&path, &old).expect("linked");
    assert_eq!(KeyFile::open(&path).expect("opens").current(facility("56001")).expect("epoch"), 1);
    assert!(!old.exists());
    assert_eq!(KeyFile::open(&path).expect("opens").current(facility("56001")).expect("epoch"), 1);

    fs::write(&path, "khoanh epoch keys 1\n56001 1 00 5 -\n").expect("written");
    assert!(matches!(KeyFile::open(&path), Err(StoreError::KeyFile { .. })), "a short key");
}

#[test]
fn the_copies_are_only_taken_together() {
    let (yard, other) = (Yard::new(), Yard::new());
    drop((yard.open(), other.open()));
    let ([one, _], [two, _]) = (yard.dirs(), other.dirs());
    let mixed = KeyStore::open(Arc::new(RealDisk), [one.clone(), two.clone()], Arc::clone(&yard.epochs) as _);
    assert!(matches!(mixed, Err(StoreError::KeyCopy { .. })));
    assert!(matches!(KeyStore::adopt(&RealDisk, &one, &two), Err(StoreError::KeyCopy { .. })));
    let empty = yard.folder.path().join("empty");
    assert!(matches!(KeyStore::adopt(&RealDisk, &empty, &one), Err(StoreError::KeyCopy { .. })));
    let file = RealDisk.open(&one.join("KEYS"), Open::Write).expect("note");
    file.write_at(&mut [std::io::IoSlice::new(b"khoanh keys 2")], 0).expect("written");
    assert!(matches!(yard.try_open(), Err(StoreError::KeyCopy { .. })), "a newer one");
}
