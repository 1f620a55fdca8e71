//! Hot volumes under power loss, full, gone and read-only disks.

use crate::disk::SimDisk;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::hot::{HotPacks, VolumeState};
use store::{PackFile, PackId, ReadAt, StoreError};

fn file(number: u8) -> PackFile {
    PackFile::plain(PackId::new([number; 16]))
}

fn bytes(number: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    let mut bytes = vec![0; 3_000 + usize::from(number) * 700];
    random.fill(&mut bytes);
    bytes
}

fn dirs() -> Vec<PathBuf> {
    ["/hot/one", "/hot/two"].map(PathBuf::from).into()
}

fn open(disk: &SimDisk) -> Result<HotPacks, StoreError> {
    HotPacks::open(Arc::new(disk.clone()), Path::new("/data/volumes"), &dirs(), 1_000)
}

fn put(hot: &HotPacks, number: u8) -> Result<(), StoreError> {
    let bytes = bytes(number);
    let mut writer = hot.create(file(number), bytes.len() as u64)?;
    for piece in bytes.chunks(1_000) {
        writer.write_all(piece).map_err(|source| StoreError::Io { action: "write", path: "a pack".into(), source })?;
    }
    let pack = writer.finish()?;
    assert_eq!(pack.len, bytes.len() as u64);
    Ok(())
}

fn read(hot: &HotPacks, number: u8) -> Result<Vec<u8>, StoreError> {
    let found = hot.read(file(number))?;
    Ok(found.read_at(0..found.len()).expect("read"))
}

/// Packs that lie there, by volume.
fn list(hot: &HotPacks) -> BTreeMap<PathBuf, BTreeSet<PackFile>> {
    let mut found: BTreeMap<PathBuf, BTreeSet<PackFile>> = BTreeMap::new();
    hot.list(&mut |dir, file| {
        found.entry(dir.to_owned()).or_default().insert(file);
        Ok(())
    })
    .expect("listed");
    found
}

#[derive(Default)]
struct Told {
    put: BTreeSet<u8>,
    asked_to_remove: BTreeSet<u8>,
    removed: BTreeSet<u8>,
}

fn scenario(disk: &SimDisk, told: &mut Told) -> Result<(), StoreError> {
    let hot = open(disk)?;
    for number in 0..4 {
        put(&hot, number)?;
        told.put.insert(number);
    }
    told.asked_to_remove.insert(1);
    hot.remove(file(1))?;
    told.removed.insert(1);
    let dirs = dirs();
    let first = dirs.first().expect("a volume");
    hot.begin_drain(first)?;
    while !hot.drain_some(first, 1)?.empty {}
    put(&hot, 4)?;
    told.put.insert(4);
    hot.forget(first)
}

#[test]
fn what_was_put_survives_power_loss_at_every_operation_and_nothing_half_is_seen() {
    let operations = {
        let disk = SimDisk::new();
        scenario(&disk, &mut Told::default()).expect("goes well");
        disk.operations()
    };
    assert!(operations > 50, "{operations}");
    for cut in 0..=operations {
        for seed in 0..4 {
            let case = format!("cut after {cut}, seed {seed}");
            let disk = SimDisk::new();
            let mut told = Told::default();
            disk.cut_power_after(cut);
            assert_eq!(scenario(&disk, &mut told).is_ok(), cut == operations, "{case}");
            disk.power_loss(seed * 1_000 + cut);
            let hot = open(&disk).unwrap_or_else(|e| panic!("{case}: {e}"));
            for number in &told.put {
                let found = read(&hot, *number);
                match found {
                    Ok(found) => {
                        assert!(!told.removed.contains(number), "{case}: {number} came back");
                        assert!(found == bytes(*number), "{case}: {number} differs");
                    }
                    Err(error) => assert!(told.asked_to_remove.contains(number), "{case}: {number}: {error}"),
                }
            }
            for (dir, files) in list(&hot) {
                for number in (0..5).filter(|number| files.contains(&file(*number))) {
                    let lies = disk.contents(&dir.join("packs").join(file(number).path()));
                    assert!(lies == Some(bytes(number)), "{case}: half of {number} lies in {}", dir.display());
                }
            }
            let left: Vec<_> =
                disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "tmp")).collect();
            assert!(left.is_empty(), "{case}: {left:?}");
            let known = |file: PackFile| told.put.iter().any(|number| self::file(*number) == file);
            hot.sweep(&known).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert!(list(&hot).values().flatten().all(|file| known(*file)), "{case}: an orphan stays");
        }
    }
}

#[test]
fn packs_go_where_room_is_and_a_full_archive_refuses_until_there_is_room() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(20_000));
    let hot = open(&disk).expect("opens");
    let mut number = 0;
    let refused = loop {
        match put(&hot, number) {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
        assert!(number < 20, "never full");
    };
    assert!(matches!(refused, StoreError::NoVolume { needed, free } if free < needed), "{refused}");
    for number in 0..number {
        assert!(read(&hot, number).expect("there") == bytes(number));
    }
    assert_eq!(hot.remove(file(0)).expect("removed").copies, 1);
    hot.remove(file(1)).expect("removed");
    put(&hot, 19).expect_err("too large for what came free");
    put(&hot, 0).expect("room again");
    assert!(hot.volumes().iter().all(|volume| volume.state == VolumeState::Serving), "full is no fault");
}

#[test]
fn a_volume_that_fails_is_an_alarm_and_the_other_goes_on() {
    let disk = SimDisk::new();
    let hot = open(&disk).expect("opens");
    for number in 0..6 {
        put(&hot, number).expect("put");
    }
    let [one, two] = dirs().try_into().expect("two");
    let lies: BTreeSet<PackFile> = list(&hot).remove(&one).unwrap_or_default();
    disk.break_dir(Some(&one));
    let alarms = hot.look();
    assert_eq!(
        alarms.iter().map(|volume| (volume.dir.clone(), volume.state)).collect::<Vec<_>>(),
        [(one.clone(), VolumeState::Gone)]
    );
    for number in 0..6 {
        match read(&hot, number) {
            Ok(found) => assert!(!lies.contains(&file(number)) && found == bytes(number)),
            Err(StoreError::NotHot { gone, .. }) => assert!(lies.contains(&file(number)) && gone == 1),
            Err(error) => panic!("{error}"),
        }
    }
    put(&hot, 10).expect("the other takes packs");
    let removed = hot.remove(file(0)).expect("removed");
    assert_eq!(removed.gone, 1, "what lies on a volume that is gone cannot be said to be removed");
    disk.break_dir(None);
    assert!(hot.look().is_empty());
    assert!(read(&hot, 3).expect("back") == bytes(3));

    // A directory without its note is not written into: the disk is not mounted.
    drop(hot);
    let bare = SimDisk::new();
    for path in disk.files().iter().filter(|path| !path.starts_with(&one)) {
        let file = store::Disk::open(&bare, path, store::Open::Create).expect("made");
        let bytes = disk.contents(path).expect("contents");
        file.write_at(&mut [std::io::IoSlice::new(&bytes)], 0).expect("written");
        for dir in path.ancestors().skip(1) {
            store::Disk::create_dir(&bare, dir).expect("made");
        }
    }
    let hot = open(&bare).expect("opens all the same");
    assert_eq!(hot.volumes().first().map(|volume| volume.state), Some(VolumeState::Gone));
    put(&hot, 11).expect("put");
    assert!(bare.files().iter().all(|path| !path.starts_with(&one)), "something was written where no disk is");
    assert!(list(&hot).contains_key(&two));
}

#[test]
fn a_volume_is_added_and_another_drained_while_it_runs() {
    let disk = SimDisk::new();
    let hot = open(&disk).expect("opens");
    for number in 0..8 {
        put(&hot, number).expect("put");
    }
    let three = PathBuf::from("/hot/three");
    hot.add(&three).expect("added");
    assert!(matches!(hot.add(&three), Err(StoreError::Volume { .. })), "twice");
    let [one, _] = dirs().try_into().expect("two");
    assert!(matches!(hot.drain_some(&one, 1), Err(StoreError::Volume { .. })), "not asked to drain");
    assert!(matches!(hot.forget(&one), Err(StoreError::Volume { .. })));
    hot.begin_drain(&one).expect("drains");
    put(&hot, 20).expect("put");
    assert!(!list(&hot).get(&one).is_some_and(|files| files.contains(&file(20))), "a draining volume took a pack");
    while !hot.drain_some(&one, 4_000).expect("moved").empty {}
    hot.forget(&one).expect("empty");
    for number in (0..8).chain([20]) {
        assert!(read(&hot, number).expect("moved") == bytes(number));
    }
    assert!(!list(&hot).contains_key(&one));
    assert_eq!(hot.volumes().len(), 2);
}

#[test]
fn a_pack_that_reads_back_wrong_does_not_count() {
    let disk = SimDisk::new();
    let hot = open(&disk).expect("opens");
    // The sync says yes, and after it the disk holds something else: a failed sync that was not told.
    let mut writer = hot.create(file(1), 0).expect("begun");
    writer.write_all(&bytes(1)).expect("written");
    let path = disk.files().into_iter().find(|path| path.extension().is_some_and(|e| e == "tmp")).expect("on its way");
    disk.damage(&path, |bytes| {
        if let Some(byte) = bytes.get_mut(2_000) {
            *byte ^= 1;
        }
    });
    assert!(matches!(writer.finish(), Err(StoreError::ReadBack { .. })));
    assert!(list(&hot).is_empty(), "it lies there all the same");
    drop(hot.create(file(2), 100).expect("begun"));
    assert!(!disk.files().iter().any(|path| path.extension().is_some_and(|e| e == "tmp")), "a dropped one stays");
}
