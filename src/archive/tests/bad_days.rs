//! Bad days that the other rooms do not have: flipped bits in index, kept facts and keys, and a clock that is wrong.
//!
//! What was damaged is refused, answered with an error, or answered right; never otherwise. The table of all bad days
//! is in docs/TESTING.md.

use super::killed::copy;
use super::retain::*;
use super::*;
use crate::rebuild;
use model::Digest;
use model::date::DAY_MS;
use model::retention::HoldTarget;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

fn seeded() -> fastrand::Rng {
    let seed =
        std::env::var("KHOANH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("KHOANH_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Changes one bit of one of the files, by chance; tells where. Larger files are met more often.
fn flip(files: &[PathBuf], random: &mut fastrand::Rng) -> String {
    let sizes: Vec<u64> = files.iter().map(|path| path.metadata().expect("a file").len()).collect();
    let mut at = random.u64(..sizes.iter().sum::<u64>());
    let mut chosen = 0;
    while at >= sizes[chosen] {
        at -= sizes[chosen];
        chosen += 1;
    }
    let mut bytes = std::fs::read(&files[chosen]).expect("read");
    bytes[usize::try_from(at).expect("small")] ^= 1 << random.u8(..8);
    std::fs::write(&files[chosen], bytes).expect("written");
    format!("{} at {at}", files[chosen].display())
}

/// A closed archive, and the digest of its index.
struct Still {
    options: Options,
    digest: Digest,
    _folder: tempfile::TempDir,
}

fn close(bench: Bench) -> Still {
    let Bench { archive, options, folder } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    let digest = rebuild::dump_digest(archive.index().as_ref()).expect("dump");
    Still { options, digest, _folder: folder }
}

/// A copy of it whose volumes are its own.
fn copied(still: &Still, name: &str) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().expect("folder");
    let mut options = still.options.clone();
    options.data = folder.path().join(name);
    copy(&still.options.data, &options.data);
    let (list, path) = (options.data.join("volumes"), |data: &Path| data.to_str().expect("UTF-8").to_owned());
    let known = std::fs::read_to_string(&list).expect("the list of volumes");
    std::fs::write(&list, known.replace(&path(&still.options.data), &path(&options.data))).expect("the list");
    (folder, options)
}

fn below(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(folder, &mut all);
    all.retain(|path| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())));
    all.retain(|path| path.metadata().is_ok_and(|file| file.len() > 0));
    all.sort();
    all
}

#[test]
fn a_flipped_bit_in_the_index_is_never_an_answer_and_a_rebuild_mends_it() {
    let mut random = seeded();
    let (bench, hand) = archive(true);
    let objects = fill(&bench, &hand);
    until("packed", || all_packed(&bench));
    let query = |archive: &Arc<Archive>| {
        ["1.2.1", "1.2.22"].map(|name| {
            let target = crate::Target::Study(uid(name));
            let caller = model::Caller::demo();
            let found = archive.select(&caller, model::Scope::Shared, &target).map(|selection| selection.instances)?;
            let documents = archive.metadata(&caller, model::Scope::Shared, &target)?;
            let documents: Vec<_> = documents.into_iter().map(|document| document.json_zstd).collect();
            Ok::<_, crate::RetrieveError>((found, documents))
        })
    };
    let expected = query(&bench.archive).map(|answer| answer.expect("an answer"));
    let still = close(bench);
    let (mut refused, mut failed, mut equal) = (0, 0, 0);
    for round in 0..16 {
        let (_folder, options) = copied(&still, "flipped");
        let tables = |name: &str| !["LOCK", "LOG", "IDENTITY", "OPTIONS"].iter().any(|other| name.starts_with(other));
        let place = flip(&below(&options.data.join("index"), tables), &mut random);
        match Archive::open(options.clone()) {
            Err(_) => refused += 1,
            Ok(archive) => {
                for (answer, expected) in query(&archive).into_iter().zip(&expected) {
                    match answer {
                        Err(_) => failed += 1,
                        Ok(answer) => {
                            let same = answer.0.iter().zip(&expected.0).all(|(row, known)| row.digest == known.digest);
                            assert!(same && answer.0.len() == expected.0.len(), "{place}: other instances");
                            assert!(answer.1 == expected.1, "{place}: other metadata");
                            equal += 1;
                        }
                    }
                }
            }
        }
        if round % 4 == 0 {
            // Workers of the archive that was just dropped may hold the directory for a moment.
            until("rebuilt", || match rebuild::run(&options, &mut |_| {}) {
                Ok(report) => {
                    assert_eq!(report.after, still.digest, "{place}");
                    true
                }
                Err(error) if error.to_string().contains("in use") => false,
                Err(error) => panic!("{place}: {error}"),
            });
            let archive = Archive::open(options).expect("opens after a rebuild");
            let rows = query(&archive).map(|answer| answer.expect("an answer").0.len());
            assert_eq!(rows.iter().sum::<usize>(), objects.len());
        }
    }
    println!("{refused} refused, {failed} errors, {equal} right answers");
    assert!(refused + failed > 0, "no flip was ever met");
}

#[test]
fn a_flipped_bit_in_kept_facts_is_refused_or_does_no_harm() {
    let mut random = seeded();
    let (bench, hand) = archive(true);
    // In the first segment, so that it outlives it.
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.22")))).expect("held");
    fill(&bench, &hand);
    until("packed", || all_packed(&bench));
    let kept = |data: &Path| below(&data.join("journal/facts"), |name| name != "LOCK");
    until("facts are kept", || {
        let mut sealed = false;
        let walked = bench.archive.facts().replay(&mut |_, fact| {
            sealed |= matches!(fact, model::Fact::Sealed(_));
            Ok(())
        });
        walked.expect("facts");
        sealed
    });
    let still = close(bench);
    let mut refused = 0;
    for _ in 0..12 {
        let (_folder, options) = copied(&still, "flipped");
        std::fs::remove_dir_all(options.data.join("index")).expect("removed");
        // Where something stands: the rest of the space was only reserved.
        let files = kept(&options.data);
        let path = &files[random.usize(..files.len())];
        let mut bytes = std::fs::read(path).expect("read");
        let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let at = written[random.usize(..written.len())];
        bytes[at] ^= 1 << random.u8(..8);
        std::fs::write(path, bytes).expect("written");
        match Archive::open(options) {
            Err(_) => refused += 1,
            Ok(archive) => {
                let found = rebuild::dump_digest(archive.index().as_ref()).expect("dump");
                assert_eq!(found, still.digest, "{} at {at}", path.display());
                assert_eq!(archive.holds().len(), 1);
            }
        }
    }
    assert!(refused > 0, "no flip was ever met");
}

#[test]
fn a_flipped_bit_in_one_copy_of_the_keys_is_mended_and_in_both_refused() {
    let mut random = seeded();
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.22")))).expect("held");
    let still = close(bench);
    let shards = |data: &Path, copy: &str| below(&data.join(copy), |name| name.ends_with(".keys"));
    for round in 0..6 {
        let (_folder, options) = copied(&still, "flipped");
        std::fs::remove_dir_all(options.data.join("index")).expect("removed");
        let one = if round % 2 == 0 { "keys" } else { "keys.copy" };
        let place = flip(&shards(&options.data, one), &mut random);
        let archive = Archive::open(options.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(archive.holds().len(), 1, "{place}");
        assert_eq!(archive.check_keys().expect("keys").closed, [], "{place}");
        archive.close(Duration::from_secs(20)).expect("close");
        let name = |copy: &str| shards(&options.data, copy).first().expect("a shard").clone();
        let equal = std::fs::read(name("keys")).expect("one") == std::fs::read(name("keys.copy")).expect("other");
        assert!(equal, "{place}: the copies differ still");
    }
    let (_folder, options) = copied(&still, "flipped");
    std::fs::remove_dir_all(options.data.join("index")).expect("removed");
    for copy in ["keys", "keys.copy"] {
        flip(&shards(&options.data, copy), &mut random);
    }
    assert!(Archive::open(options).is_err(), "a hold is passed over");
}

/// Every byte of two studies, each answered or refused.
fn answers(archive: &Archive) -> Vec<Result<Vec<u8>, crate::RetrieveError>> {
    let select = |name: &str| {
        let target = crate::Target::Study(uid(name));
        archive.select(&model::Caller::demo(), model::Scope::Shared, &target).map(|found| found.instances)
    };
    let mut answers = Vec::new();
    for name in ["1.2.1", "1.2.22"] {
        match select(name) {
            Ok(rows) => answers.extend(rows.iter().map(|row| archive.read(row, 0..row.file_len))),
            Err(error) => answers.push(Err(error)),
        }
    }
    answers
}

#[test]
fn a_flipped_bit_in_any_other_file_is_refused_or_changes_no_answer() {
    let mut random = seeded();
    let (bench, hand) = archive(true);
    let stored = fill(&bench, &hand).len();
    bench.archive.make_hold(hold(HoldTarget::Study(study("1.2.22")))).expect("held");
    let plan = plan_of(&bench);
    until("packed", || all_packed(&bench));
    bench.archive.scrub_now(&std::sync::atomic::AtomicBool::new(false), &mut |_| {}).expect("a pass");
    let expected = answers(&bench.archive);
    assert!(expected.len() == stored && expected.iter().all(Result::is_ok), "{}", expected.len());
    let still = close(bench);
    // These have tests of their own, here and in the store's rooms.
    let own = ["index", "journal", "keys", "keys.copy", "packs", "ledger"];
    let names: Vec<PathBuf> = below(&still.options.data, |name| name != "LOCK")
        .into_iter()
        .filter_map(|path| Some(path.strip_prefix(&still.options.data).ok()?.to_owned()))
        .filter(|name| !own.iter().any(|own| name.starts_with(own)))
        .collect();
    for known in ["FORMAT", "volumes", "scrub.json", "ledger.pem", "epoch.keys"] {
        assert!(names.iter().any(|name| name == Path::new(known)), "{known} is not among {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("retention/plans")), "{names:?}");
    let (mut refused, mut errors, mut right) = (0, 0, 0);
    for name in names.iter().chain(&names) {
        let (_folder, options) = copied(&still, "flipped");
        let place = flip(&[options.data.join(name)], &mut random);
        let Ok(archive) = Archive::open(options) else {
            refused += 1;
            continue;
        };
        for (answer, expected) in answers(&archive).iter().zip(&expected) {
            match (answer, expected) {
                (Ok(answer), Ok(expected)) if answer == expected => right += 1,
                (Err(_), _) => errors += 1,
                _ => panic!("{place}: other bytes"),
            }
        }
        assert_eq!(archive.holds().len(), 1, "{place}: the hold is gone");
        // A plan is executed only by the text that was approved.
        if name.starts_with("retention/plans") {
            let approved = archive.approve_plan(&plan, person("Minh"), String::new());
            assert!(approved.is_err(), "{place}: another text was approved");
        }
    }
    println!("{} files: {refused} refused, {errors} errors, {right} right answers", names.len());
    assert!(refused > 0 && right > 0);
}

#[test]
fn a_full_hot_volume_is_an_alarm_and_stops_nothing_but_packing() {
    let full = |options: &mut Options, reserve: u64| {
        options.quiet_after = Duration::ZERO;
        options.packs.after = Duration::ZERO;
        options.packs.reserve = reserve;
    };
    let Bench { archive, mut options, folder } = Bench::with(|options| full(options, u64::MAX / 4));
    let bench = Bench { archive, options: options.clone(), folder };
    let sent: Vec<Object> =
        (1..=3).map(|number| Object { number, ..Object::new(&format!("1.2.1.1.{number}")) }).collect();
    sent.iter().for_each(|object| drop(bench.store(object).expect("stored")));
    let full_now = |bench: &Bench| {
        let readiness = bench.archive.readiness();
        assert!(readiness.ready, "{readiness:?}");
        readiness.reasons.iter().any(|reason| reason.contains("no hot volume has room"))
    };
    until("an alarm", || full_now(&bench));
    bench.store(&Object { number: 4, ..Object::new("1.2.1.1.4") }).expect("stored on a full volume");
    let read = |bench: &Bench| {
        for row in rows(bench, "1.2.1") {
            bench.archive.read(&row, 0..row.file_len).expect("read");
        }
    };
    read(&bench);
    assert!(rows(&bench, "1.2.1").iter().all(|row| row.home.journal().is_some()), "packed without room");
    let Bench { archive, folder, .. } = bench;
    archive.close(Duration::from_secs(20)).expect("close");
    drop(archive);
    full(&mut options, 0);
    let bench = Bench { archive: Archive::open(options.clone()).expect("opens"), options, folder };
    until("packed", || rows(&bench, "1.2.1").iter().all(|row| row.home.journal().is_none()));
    assert!(!full_now(&bench));
    read(&bench);
    assert_eq!(rows(&bench, "1.2.1").len(), 4);
}

#[test]
fn on_a_full_disk_nothing_is_taken_and_packing_gives_the_journals_space_back() {
    let bench = super::packs::packing().reopen_with(|options| options.packs.enabled = false);
    let sent: Vec<Object> = (1..=60)
        .map(|number| Object { number, pixels: 16 << 10, ..Object::new(&format!("1.2.1.1.{number}")) })
        .collect();
    sent.iter().for_each(|object| drop(bench.store(object).expect("stored")));
    assert!(bench.archive.journal().segments().len() > 4);
    // Less is free than the reserve asks for.
    let bench = bench.reopen_with(|options| {
        options.packs.enabled = true;
        options.reserve_bytes = u64::MAX / 4;
    });
    let refused = bench.store(&Object { number: 61, ..Object::new("1.2.1.1.61") });
    assert!(matches!(refused, Err(IngestError::OutOfSpace)), "{refused:?}");
    until("packed", || rows(&bench, "1.2.1").iter().all(|row| row.home.journal().is_none()));
    until("only one segment stays", || bench.archive.journal().segments().len() == 1);
    for row in rows(&bench, "1.2.1") {
        let bytes = bench.archive.read(&row, u64::from(row.meta_len)..row.file_len).expect("read");
        let object = sent.iter().find(|object| object.sop == row.sop_instance.as_str());
        assert!(bytes == object.expect("sent").bytes(), "{}", row.sop_instance);
    }
    let bench = bench.reopen_with(|options| options.reserve_bytes = 0);
    bench.store(&Object { number: 61, ..Object::new("1.2.1.1.61") }).expect("taken again");
    until("packed", || rows(&bench, "1.2.1").iter().filter(|row| row.home.journal().is_none()).count() == 61);
}

#[test]
fn a_clock_that_is_a_day_ahead_destroys_nothing_and_one_that_is_behind_waits() {
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    // The last day of keeping is 31 December 2036; this clock says that it is over.
    let plan = begun(&bench, &hand);
    until("hidden", || progress(&bench, &plan).hidden == 1);
    let right = |text: &str| hand.0.store(day(text).start_ms() + 1_000, Ordering::Relaxed);
    right("2036-12-31");
    bench.archive.execute_now().expect("executes");
    assert_eq!(progress(&bench, &plan).destroyed, 0);
    // The days to undo count from the hiding; the day that was too early is not taken off.
    right("2037-01-30");
    bench.archive.execute_now().expect("executes");
    assert_eq!(progress(&bench, &plan).hidden, 1, "a day early");
    right("2036-06-01");
    bench.archive.execute_now().expect("executes");
    assert_eq!(progress(&bench, &plan).hidden, 1, "a clock that went back");
    right("2037-01-31");
    until("destroyed", || progress(&bench, &plan).destroyed == 1);
    // One that is behind makes a plan for a day that has not come: nothing of it is done.
    let (bench, hand) = archive(false);
    fill(&bench, &hand);
    let made = plan_of(&bench);
    hand.0.store(day("2036-12-31").start_ms() + DAY_MS / 2, Ordering::Relaxed);
    bench.archive.approve_plan(&made, person("Minh"), String::new()).expect("approved");
    bench.archive.begin_plan(&made, person("Lân")).expect("begun");
    bench.archive.execute_now().expect("executes");
    let progress = progress(&bench, &made);
    assert_eq!((progress.planned, progress.hidden), (1, 0), "{progress:?}");
    assert!(!rows(&bench, "1.2.1").is_empty());
}
