//! Power loss at every operation of the key store: what was confirmed holds, in both copies.

use crate::disk::SimDisk;
use model::FacilityCode;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use store::keys::{EpochKeys, KeyFile, KeyStore};
use store::{PackId, StoreError};

/// What the scenario was told.
#[derive(Default)]
struct Told {
    created: BTreeMap<u8, String>,
    destroyed: Vec<u8>,
    /// Asked for, but not confirmed: either outcome is right.
    asked_to_destroy: Vec<u8>,
    rewrapped: bool,
    /// Made together.
    together: Vec<(PackId, String)>,
}

fn facility() -> FacilityCode {
    FacilityCode::parse("56001").expect("code")
}

/// Even numbers share one shard, odd ones another.
fn pack(number: u8) -> PackId {
    let start = u128::from(number) << 64;
    let ids = (start..).map(|id| PackId::new(id.to_be_bytes()));
    let shard = u32::from(number % 2);
    ids.into_iter().find(|id| crc32c::crc32c(id.as_bytes()) >> 20 == shard).expect("there are many")
}

fn dirs() -> [PathBuf; 2] {
    ["/one", "/two"].map(PathBuf::from)
}

fn open(disk: &SimDisk, epochs: &Arc<KeyFile>) -> Result<KeyStore, StoreError> {
    KeyStore::open(Arc::new(disk.clone()), dirs(), Arc::clone(epochs) as Arc<dyn EpochKeys>)
}

/// A key as text: keys are not shown otherwise, so the envelope of nothing stands for it.
fn fingerprint(store: &KeyStore, number: u8) -> Result<String, StoreError> {
    fingerprint_of(store, pack(number))
}

fn fingerprint_of(store: &KeyStore, pack: PackId) -> Result<String, StoreError> {
    let key = store.get(pack)?;
    Ok(format!("{:?}", store::envelope::Header::of_plain(pack, &key, &[0; 32])))
}

fn scenario(disk: &SimDisk, epochs: &Arc<KeyFile>, told: &mut Told) -> Result<(), StoreError> {
    let store = open(disk, epochs)?;
    for number in 0..4 {
        store.create(facility(), pack(number))?;
        told.created.insert(number, fingerprint(&store, number)?);
    }
    for number in [0, 2] {
        told.asked_to_destroy.push(number);
        store.destroy(pack(number))?;
        told.destroyed.push(number);
    }
    epochs.begin_epoch(facility(), 2)?;
    store.rewrap(facility(), &mut |_| {})?;
    told.rewrapped = true;
    store.create(facility(), pack(4))?;
    told.created.insert(4, fingerprint(&store, 4)?);
    for (pack, _) in store.create_some(facility(), 3, 1_700_000_000_000)? {
        told.together.push((pack, fingerprint_of(&store, pack)?));
    }
    Ok(())
}

fn holds(disk: &SimDisk, needle: &[u8]) -> bool {
    let contents = disk.files().into_iter().filter_map(|path| disk.contents(&path));
    contents.into_iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

fn judge(disk: &SimDisk, epochs: &Arc<KeyFile>, told: &Told, case: &str) {
    let store = open(disk, epochs).unwrap_or_else(|e| panic!("{case}: {e}"));
    for (number, key) in &told.created {
        let found = fingerprint(&store, *number);
        if told.destroyed.contains(number) {
            assert!(matches!(found, Err(StoreError::KeyDestroyed { .. })), "{case}: {number} came back: {found:?}");
        } else if !(told.asked_to_destroy.contains(number) && matches!(found, Err(StoreError::KeyDestroyed { .. }))) {
            assert_eq!(found.as_ref().ok(), Some(key), "{case}: {number}: {found:?}");
        }
    }
    for (pack, key) in &told.together {
        assert_eq!(fingerprint_of(&store, *pack).ok().as_ref(), Some(key), "{case}: {pack}");
    }
    let report = store.check().unwrap_or_else(|e| panic!("{case}: {e}"));
    assert_eq!(report.closed, [], "{case}");
    if told.rewrapped {
        assert!(report.epochs.iter().all(|(_, epoch, _)| *epoch == 2), "{case}: {:?}", report.epochs);
    }
    let [one, two] = dirs();
    for path in disk.files().iter().filter(|path| path.starts_with(&one)) {
        let twin = two.join(path.file_name().expect("name"));
        let contents = |path| disk.contents(path).unwrap_or_default();
        assert_eq!(contents(path), contents(&twin), "{case}: {} differs", path.display());
    }
    assert_eq!(store.check().expect("again").levelled, 0, "{case}");
}

fn key_file(folder: &tempfile::TempDir) -> Arc<KeyFile> {
    let epochs = Arc::new(KeyFile::open(&folder.path().join("epochs")).expect("key file"));
    epochs.begin_epoch(facility(), 1).expect("epoch");
    epochs
}

#[test]
fn whatever_was_confirmed_survives_power_loss_at_every_operation() {
    let operations = {
        let (disk, folder) = (SimDisk::new(), tempfile::tempdir().expect("folder"));
        scenario(&disk, &key_file(&folder), &mut Told::default()).expect("goes well");
        disk.operations()
    };
    assert!(operations > 40, "{operations}");
    for cut in 0..=operations {
        for seed in 0..4 {
            let (disk, folder) = (SimDisk::new(), tempfile::tempdir().expect("folder"));
            let epochs = key_file(&folder);
            let mut told = Told::default();
            disk.cut_power_after(cut);
            let answer = scenario(&disk, &epochs, &mut told);
            assert_eq!(answer.is_ok(), cut == operations, "cut after {cut}");
            disk.power_loss(seed * 1_000 + cut);
            judge(&disk, &epochs, &told, &format!("cut after {cut}, seed {seed}"));
            // And again: settling a crash is itself no danger.
            disk.power_loss(seed);
            judge(&disk, &epochs, &told, &format!("cut after {cut}, seed {seed}, twice"));
        }
    }
}

#[test]
fn settling_a_crash_may_itself_be_cut() {
    let (disk, folder) = (SimDisk::new(), tempfile::tempdir().expect("folder"));
    let epochs = key_file(&folder);
    let mut told = Told::default();
    scenario(&disk, &epochs, &mut told).expect("goes well");
    // The second copy falls back to before: its keys of destroyed packs must go again.
    let shards: Vec<_> = disk.files().into_iter().filter(|path| path.starts_with("/two")).collect();
    let before: Vec<_> = shards.iter().map(|path| disk.contents(path).expect("file")).collect();
    let store = open(&disk, &epochs).expect("opens");
    store.destroy(pack(1)).expect("destroyed");
    let wrapped: Vec<u8> = before
        .iter()
        .flat_map(|bytes| bytes.chunks(128))
        .filter_map(|record| {
            (record.get(16..32) == Some(pack(1).as_bytes())).then(|| record.get(60..108).map(<[u8]>::to_vec)).flatten()
        })
        .next()
        .expect("its record");
    drop(store);
    for cut in 0..20 {
        for (path, bytes) in shards.iter().zip(&before) {
            disk.damage(path, |now| now.clone_from(bytes));
        }
        assert!(holds(&disk, &wrapped));
        disk.cut_power_after(cut);
        let settled = open(&disk, &epochs).and_then(|store| fingerprint(&store, 1));
        assert!(settled.is_err(), "cut after {cut}");
        disk.power_loss(cut);
        let store = open(&disk, &epochs).expect("opens");
        assert!(matches!(fingerprint(&store, 1), Err(StoreError::KeyDestroyed { .. })), "cut after {cut}");
        assert!(!holds(&disk, &wrapped), "cut after {cut}: the key came back");
    }
}

#[test]
fn a_copy_that_cannot_be_written_refuses_and_one_that_cannot_be_read_is_done_without() {
    let (disk, folder) = (SimDisk::new(), tempfile::tempdir().expect("folder"));
    let epochs = key_file(&folder);
    let store = open(&disk, &epochs).expect("opens");
    store.create(facility(), pack(1)).expect("made");
    let key = fingerprint(&store, 1).expect("there");
    for dir in dirs() {
        disk.break_dir(Some(&dir));
        assert_eq!(fingerprint(&store, 1).expect("from the other copy"), key);
        assert!(store.create(facility(), pack(3)).is_err(), "a key in one copy only was confirmed");
        assert!(store.destroy(pack(1)).is_err(), "destroyed in one copy only");
        disk.break_dir(None);
        if matches!(fingerprint(&store, 1), Err(StoreError::KeyDestroyed { .. })) {
            // It was asked for; half done counts as done once both copies can be reached.
            break;
        }
    }
    assert_eq!(store.check().expect("whole").closed, []);
}

#[test]
fn what_a_failed_sync_left_unwritten_is_written_anew_before_it_is_believed() {
    for failing in 0..4 {
        for restarted in [false, true] {
            let case = format!("sync {failing}, restarted {restarted}");
            let (disk, folder) = (SimDisk::new(), tempfile::tempdir().expect("folder"));
            let epochs = key_file(&folder);
            let mut store = open(&disk, &epochs).expect("opens");
            store.create(facility(), pack(1)).expect("made");
            let shard = disk.files().into_iter().find(|path| path.extension().is_some_and(|e| e == "keys"));
            let record = disk.contents(&shard.expect("a shard")).expect("contents");
            let wrapped = record.get(60..108).expect("a record").to_vec();
            disk.fail_sync_after(failing);
            let answer = store.destroy(pack(1));
            assert_eq!(answer.is_err(), failing < 2, "{case}: {answer:?}");
            if restarted {
                drop(store);
                disk.restart();
                store = open(&disk, &epochs).expect("opens");
            }
            // Asked again: shown as destroyed already, but only now it is.
            store.destroy(pack(1)).unwrap_or_else(|e| panic!("{case}: {e}"));
            drop(store);
            disk.power_loss(failing);
            assert!(!holds(&disk, &wrapped), "{case}: the key is back");
            let store = open(&disk, &epochs).expect("opens");
            assert!(matches!(fingerprint(&store, 1), Err(StoreError::KeyDestroyed { .. })), "{case}");
            store.check().expect("whole");
            assert!(!disk.files().iter().any(|path| path.ends_with("SUSPECT")), "{case}");
        }
    }
}
