//! Two directories: both hold everything, either one is enough, and one that fell behind catches up.

use crate::disk::SimDisk;
use crate::heard;
use crate::scenario::{Contract, Kept, all, bytes, inline, options, work};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Body, Journal, Record, Recovery, StoreError};

const BOTH: [&str; 2] = ["/one", "/two"];

fn open(disk: &SimDisk, dirs: &[&str]) -> Result<(Journal, Recovery), StoreError> {
    Journal::open(Arc::new(disk.clone()), options(dirs))
}

fn add(journal: &Journal, text: &str) {
    journal.append(&[inline(text.as_bytes(), text.as_bytes())]).expect("append");
    journal.sync().expect("sync");
}

fn bodies(journal: &Journal) -> Vec<String> {
    let found = all(journal).expect("replay");
    found.into_values().map(|(Kept { body, .. }, _)| String::from_utf8_lossy(&body).into_owned()).collect()
}

/// A directory that was written together with another is not trusted without it.
fn refused_alone(disk: &SimDisk, dir: &str) {
    let other = if dir == "/one" { "/two" } else { "/one" };
    let refused = open(disk, &[dir]).err().expect("refused");
    let StoreError::Behind { dir: behind, other: missing, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((behind.as_path(), missing.as_path()), (Path::new(dir), Path::new(other)));
}

/// What an operator does when the other directory is lost for good.
fn lost_for_good(disk: &SimDisk, dir: &str) {
    store::Disk::remove(disk, &Path::new(dir).join("MIRROR")).expect("the note");
}

fn newest_segment(disk: &SimDisk, dir: &str) -> PathBuf {
    let inside = |path: &PathBuf| path.parent() == Some(Path::new(dir)) && path.extension().is_some();
    disk.files().into_iter().rfind(inside).expect("a segment")
}

#[test]
fn either_directory_alone_holds_everything_that_was_acknowledged() {
    for alone in BOTH {
        let disk = SimDisk::new();
        let (journal, _) = open(&disk, &BOTH).expect("open");
        for text in ["a", "b", "c"] {
            add(&journal, text);
        }
        let mut writer = journal.blob().expect("blob");
        writer.write(b"large").expect("write");
        let large = Record { head: Vec::new(), body: Body::Blob(writer.finish().expect("finish")) };
        journal.append(&[large]).expect("append");
        journal.sync().expect("sync");
        drop(journal);
        disk.power_loss(4);

        refused_alone(&disk, alone);
        lost_for_good(&disk, alone);
        let (journal, _) = open(&disk, &[alone]).expect("open");
        assert_eq!(bodies(&journal), ["a", "b", "c", "large"], "{alone}");
    }
}

#[test]
fn one_directory_failing_is_an_alarm_and_catches_up_at_the_next_start() {
    for broken in BOTH {
        let disk = SimDisk::new();
        let (journal, _) = open(&disk, &BOTH).expect("open");
        add(&journal, "before");
        assert!(journal.alarms().is_empty());
        disk.break_dir(Some(Path::new(broken)));
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..30 {
            journal.append(&[inline(b"during", &bytes(&mut random, 6000))]).expect("append");
            journal.sync().expect("service goes on");
        }
        let alarms = journal.alarms();
        assert_eq!(alarms.len(), 1);
        assert_eq!(alarms[0].dir, Path::new(broken));
        disk.break_dir(None);
        add(&journal, "left out until restart");
        drop(journal);
        disk.power_loss(7);

        let (journal, _) = open(&disk, &BOTH).expect("open");
        assert!(journal.alarms().is_empty());
        assert_eq!(all(&journal).expect("replay").len(), 32);
        journal.close().expect("close");
        disk.restart();
        lost_for_good(&disk, broken);
        let (journal, _) = open(&disk, &[broken]).expect("the one that was behind, alone");
        assert_eq!(all(&journal).expect("replay").len(), 32, "{broken}");
    }
}

#[test]
fn an_empty_second_directory_is_filled_at_start() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &["/one"]).expect("open");
    add(&journal, "a");
    add(&journal, "b");
    drop(journal);
    disk.restart();
    drop(open(&disk, &["/two", "/one"]).expect("both"));
    disk.power_loss(3);

    lost_for_good(&disk, "/two");
    let (journal, _) = open(&disk, &["/two"]).expect("the new one alone");
    assert_eq!(bodies(&journal), ["a", "b"]);
}

#[test]
fn a_corrupt_directory_is_left_out_and_untouched_while_the_other_serves() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &BOTH).expect("open");
    for text in ["a", "b", "c"] {
        add(&journal, text);
    }
    journal.close().expect("close");
    disk.restart();
    let path = newest_segment(&disk, "/one");
    disk.damage(&path, |bytes| bytes[4096 + 64 + 8] ^= 1);
    let damaged = disk.contents(&path);

    let (journal, _) = open(&disk, &BOTH).expect("open");

    assert_eq!(journal.alarms().len(), 1);
    assert_eq!(bodies(&journal), ["a", "b", "c"]);
    assert!(disk.contents(&path) == damaged, "evidence stays");

    // But an empty directory is no replacement for a corrupt one.
    disk.restart();
    let refused = open(&disk, &["/one", "/three"]).err().expect("refused");
    assert!(matches!(refused, StoreError::Behind { .. }), "{refused:?}");
}

#[test]
fn a_body_broken_in_one_directory_is_read_from_the_other() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &BOTH).expect("open");
    let place = journal.append(&[inline(b"head", &[5; 2000])]).expect("append")[0].1.clone();
    journal.sync().expect("sync");
    let at = usize::try_from(place.offset).expect("small") + 1000;
    disk.damage(&newest_segment(&disk, "/one"), |bytes| bytes[at] ^= 1);

    assert_eq!(journal.read(&place, 0..2000).expect("from the other"), [5; 2000]);
    assert!(journal.verify_record(&place).is_err(), "a check tells");
}

#[test]
fn that_the_other_directory_answers_is_told_once_for_each_damage_and_counted() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &BOTH).expect("open");
    let mut writer = journal.blob().expect("blob");
    writer.write(&[7; 200_000]).expect("write");
    let blob = writer.finish().expect("finish");
    let file = disk.files().into_iter().find(|path| path.starts_with("/one/blobs")).expect("a file");
    disk.damage(&file, |bytes| bytes[150_000] ^= 1);
    let mut read = Vec::new();
    let heard = heard::during(|| blob.read(&mut |piece| read.extend_from_slice(piece)).expect("from the other"));
    assert!(read == vec![7; 200_000]);
    assert_eq!(heard, (1, 1), "before a record names it");

    let place = journal.append(&[Record { head: Vec::new(), body: Body::Blob(blob) }]).expect("append")[0].1.clone();
    journal.sync().expect("sync");
    let range = |from: usize, to: usize| {
        let read = journal.read(&place, from as u64..to as u64).expect("from the other");
        assert!(read == vec![7; to - from]);
    };
    let heard = heard::during(|| {
        range(0, 60_000);
        (0..5).for_each(|_| range(140_000, 150_100));
    });
    assert_eq!(heard, (1, 5), "once for five reads of it, and nothing of what is well");
}

#[test]
fn a_replay_takes_each_record_from_the_directory_that_holds_it() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &BOTH).expect("open");
    let mut places = Vec::new();
    for number in 0..4u8 {
        let mut writer = journal.blob().expect("blob");
        writer.write(&[number; 20_000]).expect("write");
        let record = Record { head: vec![number; 200], body: Body::Blob(writer.finish().expect("finish")) };
        places.push(journal.append(&[record]).expect("append")[0].1.clone());
        journal.sync().expect("sync");
    }
    let segment = |dir: &str| newest_segment(&disk, dir);
    let at = |record: usize, inside: u64| usize::try_from(places[record].offset + inside).expect("small");
    let name = |record: usize| at(record, 64 + u64::from(places[record].head_len) + 20);
    disk.damage(&segment("/one"), |bytes| bytes[name(0)] ^= 1);
    disk.damage(&segment("/two"), |bytes| bytes[at(1, 8)] ^= 1);
    disk.damage(&segment("/one"), |bytes| bytes[at(2, 66)] ^= 1);

    let mut names = Vec::new();
    let each = &mut |record: store::Replayed<'_>| {
        names.push(record.place.blob);
        Ok::<(), StoreError>(())
    };
    journal.replay(1, each).expect("each is held by one of the two");
    assert_eq!(names, places.iter().map(|place| place.blob.clone()).collect::<Vec<_>>());

    disk.damage(&segment("/two"), |bytes| bytes[at(2, 66)] ^= 1);
    let refused = journal.replay(1, &mut |_| Ok::<(), StoreError>(()));
    assert!(matches!(refused, Err(StoreError::Corrupt { lsn: 3, .. })), "{refused:?}");
}

/// Both directories hold "both"; only the survivor holds "alone".
fn one_went_on(broken: &str) -> SimDisk {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &BOTH).expect("open");
    add(&journal, "both");
    disk.break_dir(Some(Path::new(broken)));
    add(&journal, "alone");
    add(&journal, "alone too");
    drop(journal);
    disk.break_dir(None);
    disk
}

#[test]
fn a_directory_left_out_never_starts_without_the_one_that_went_on() {
    for (broken, survivor) in [("/one", "/two"), ("/two", "/one")] {
        for power in [false, true] {
            let disk = one_went_on(broken);
            if power {
                disk.power_loss(5)
            } else {
                disk.restart()
            }
            refused_alone(&disk, broken);
            // The survivor is not mounted: its place is empty, or cannot be reached.
            let refused = open(&disk, &[broken, "/unmounted"]).err().expect("refused");
            assert!(matches!(refused, StoreError::Behind { .. }), "{refused:?}");
            disk.break_dir(Some(Path::new(survivor)));
            let refused = open(&disk, &BOTH).err().expect("refused");
            assert!(matches!(refused, StoreError::Behind { .. }), "{refused:?}");
            let text = refused.to_string();
            assert!(text.contains("/one") && text.contains("/two"), "{text}");
            disk.break_dir(None);

            // The survivor may start alone, with the other still broken too.
            disk.break_dir(Some(Path::new(broken)));
            let (journal, _) = open(&disk, &BOTH).expect("the survivor");
            assert_eq!(journal.alarms().len(), 1);
            assert_eq!(bodies(&journal), ["both", "alone", "alone too"]);
            drop(journal);
            disk.restart();
            disk.break_dir(None);
            let (journal, _) = open(&disk, &[survivor]).expect("the survivor");
            add(&journal, "later");
            drop(journal);
            disk.restart();

            // Both are back, in either order.
            let (journal, _) = open(&disk, &[broken, survivor]).expect("both");
            assert_eq!(bodies(&journal), ["both", "alone", "alone too", "later"]);
            drop(journal);
            disk.restart();
            lost_for_good(&disk, broken);
            let (journal, _) = open(&disk, &[broken]).expect("brought up");
            assert_eq!(bodies(&journal), ["both", "alone", "alone too", "later"]);
        }
    }
}

#[test]
fn the_one_left_out_never_overrules_with_records_nobody_acknowledged() {
    let disk = SimDisk::new();
    let (journal, _) = open(&disk, &BOTH).expect("open");
    add(&journal, "both");
    // Written to both, synced on none; then the second one fails, and the power takes it from the first.
    journal.append(&[inline(b"lost", b"lost"), inline(b"lost", b"lost"), inline(b"lost", b"lost")]).expect("append");
    disk.break_dir(Some(Path::new("/two")));
    drop(journal);
    disk.break_dir(None);
    let newer = newest_segment(&disk, "/two");
    let kept = disk.contents(&newer).expect("segment");
    disk.break_dir(Some(Path::new("/two")));
    disk.restart();
    lost_for_good(&disk, "/one");
    disk.damage(&newest_segment(&disk, "/one"), |bytes| bytes[4096 + 128..].fill(0));
    let (journal, _) = open(&disk, &["/one"]).expect("one alone");
    add(&journal, "new");
    drop(journal);
    disk.break_dir(None);
    disk.damage(&newer, |bytes| *bytes = kept);
    disk.restart();

    let (journal, _) = open(&disk, &BOTH).expect("both");
    assert_eq!(bodies(&journal).last().map(String::as_str), Some("new"));
    drop(journal);
    disk.restart();
    lost_for_good(&disk, "/two");
    let (journal, _) = open(&disk, &["/two"]).expect("brought up");
    assert_eq!(bodies(&journal).last().map(String::as_str), Some("new"));
}

#[test]
fn two_directories_that_each_went_on_alone_are_refused() {
    for notes in [true, false] {
        let disk = one_went_on("/two");
        disk.restart();
        lost_for_good(&disk, "/two");
        for dir in BOTH {
            let (journal, _) = open(&disk, &[dir]).expect("alone");
            add(&journal, "own");
            add(&journal, "own");
            journal.close().expect("close");
            disk.restart();
        }
        if !notes {
            BOTH.iter().for_each(|dir| lost_for_good(&disk, dir));
        }
        let refused = open(&disk, &BOTH).err().expect("refused");
        assert!(matches!(refused, StoreError::Diverged { .. }), "notes {notes}: {refused:?}");
    }
}

#[test]
fn one_directory_under_two_names_and_a_second_journal_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let (dir, alias) = (folder.path().join("journal"), folder.path().join("alias"));
    std::fs::create_dir(&dir).expect("made");
    std::os::unix::fs::symlink(&dir, &alias).expect("alias");
    let open = |dirs: &[&PathBuf]| {
        let dirs: Vec<&str> = dirs.iter().filter_map(|dir| dir.to_str()).collect();
        Journal::open(Arc::new(store::RealDisk), options(&dirs))
    };
    let refused = open(&[&dir, &alias]).err().expect("refused");
    assert!(matches!(refused, StoreError::Options(_)), "{refused:?}");

    let (journal, _) = open(&[&dir]).expect("open");
    let refused = open(&[&alias]).err().expect("refused");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused:?}");
    drop(journal);
    open(&[&alias]).expect("free again");
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts_with_two_directories() {
    let base = fastrand::u64(..1 << 40);
    // The first was found by this test: a name whose directory failed before its sync was taken for durable.
    for seed in [606_697_508_376].into_iter().chain(base..base + 400) {
        let what = format!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimDisk::new();
        let mut contract = Contract::default();
        for round in 0..4 {
            if random.bool() {
                disk.cut_power_after(random.u64(0..150));
            }
            if let Ok((journal, recovery)) = open(&disk, &BOTH) {
                if !disk.is_off() {
                    contract.check(&journal, &recovery, &format!("{what}, round {round}"));
                    contract.acknowledged = recovery.next_lsn - 1;
                }
                work(&journal, &mut contract, &mut random, 10);
                // One of them fails for a while, or for one sync.
                match random.u8(0..4) {
                    0 => disk.break_dir(Some(Path::new(random.choice(BOTH).expect("one")))),
                    1 => disk.fail_sync_after(random.u64(0..5)),
                    _ => {}
                }
                work(&journal, &mut contract, &mut random, 20);
            }
            let again = random.u8(0..3) == 0;
            if !again {
                disk.break_dir(None);
            }
            if random.bool() {
                disk.power_loss(random.u64(..))
            } else {
                disk.restart()
            }
            if again {
                // A start with the same one still broken either goes on with the better one or is refused.
                if let Ok((journal, recovery)) = open(&disk, &BOTH) {
                    contract.check(&journal, &recovery, &format!("{what}, round {round}, again"));
                    contract.acknowledged = recovery.next_lsn - 1;
                    work(&journal, &mut contract, &mut random, 10);
                }
                disk.break_dir(None);
                disk.power_loss(random.u64(..));
            }
        }
        let (journal, recovery) = open(&disk, &BOTH).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        contract.check(&journal, &recovery, &what);
    }
}
