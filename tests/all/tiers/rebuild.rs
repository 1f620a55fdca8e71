//! The bucket, the journal and the facts kept beside it are enough: index, cache and hot packs can all be lost.

use super::destroyed::with_rules;
use super::rig::*;
use crate::cold::proxy::Fault;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use store::PackId;
use store::catalogue::{self, Entry};
use store::cold::{Cold, PutOptions};
use testkit::object::Object;
use testkit::study::{Kind, Study};

/// The digest a rebuild ends with.
pub(super) fn digest(report: &str) -> String {
    let line = report.lines().find(|line| line.starts_with("after:")).unwrap_or_else(|| panic!("{report}"));
    line.trim_start_matches("after:").trim().to_owned()
}

#[test]
fn an_index_that_is_lost_is_built_equal_from_the_cloud() {
    let rig = Rig::new("rebuild", TO_COLD);
    let server = rig.start();
    let objects = objects(41);
    store(&server, &objects);
    all_cold(&server, series(&objects));
    stop(server);
    let before = rig.done(&["rebuild-index"]);
    assert!(before.contains("equals the one before"), "{before}");
    for lost in ["index", "cache"] {
        std::fs::remove_dir_all(rig.data().join(lost)).expect("removed");
    }
    assert_eq!(rig.hot_files(), 0, "something still lies hot");
    let after = rig.done(&["rebuild-index"]);
    assert_eq!(digest(&after), digest(&before), "{before}\n{after}");
    // And by the start itself.
    std::fs::remove_dir_all(rig.data().join("index")).expect("removed");
    let server = rig.start();
    assert_equal(&server, &objects);
    stop(server);
    assert_eq!(digest(&rig.done(&["rebuild-index"])), digest(&before));
}

fn keys(bucket: &Cold) -> Vec<String> {
    let mut keys = Vec::new();
    let listed = bucket.list(&bucket.key("catalogues"), &mut |object| {
        keys.push(object.key);
        Ok(())
    });
    listed.expect("listed");
    keys
}

/// The entries of all catalogues in the bucket, and how many catalogues there are.
fn catalogues(bucket: &Cold) -> (usize, Vec<Entry>) {
    let keys = keys(bucket);
    let read = |key: &String| match bucket.get(key, None) {
        Ok(bytes) => catalogue::read(&bytes).expect("a catalogue"),
        // Merged meanwhile.
        Err(_) => Vec::new(),
    };
    (keys.len(), keys.iter().flat_map(read).collect())
}

/// Waits until the catalogues are as they should be.
pub(super) fn listed(bucket: &Cold, what: &str, fits: impl Fn(usize, &BTreeSet<PackId>) -> bool) -> Vec<Entry> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let (number, entries) = catalogues(bucket);
        let packs: BTreeSet<PackId> = entries.iter().map(|entry| entry.pack).collect();
        if fits(number, &packs) {
            return entries;
        }
        assert!(Instant::now() < deadline, "{what}: {number} catalogues of {packs:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn pack_reads(rig: &Rig) -> usize {
    rig.proxy.seen().iter().filter(|request| request.method == "GET" && request.target.contains("/packs/")).count()
}

#[test]
fn catalogues_in_the_bucket_spare_a_rebuild_the_packs_and_eight_become_one() {
    let rig = Rig::new("catalogues", TO_COLD);
    let server = rig.start();
    let objects = objects(43);
    store(&server, &objects);
    let packs = usize::try_from(all_cold(&server, series(&objects))).expect("some");
    let work = tempfile::tempdir().expect("folder");
    let bucket = rig.bucket(work.path());
    let entries = listed(&bucket, "every pack is entered", |_, listed| listed.len() == packs);
    assert!(entries.iter().all(|entry| entry.sealed && entry.coded(None).is_err()), "somebody could read them");
    stop(server);
    let before = digest(&rig.done(&["rebuild-index"]));
    let lose = || std::fs::remove_dir_all(rig.data().join("index")).expect("removed");
    lose();
    let _ = std::fs::remove_dir_all(rig.data().join("cache"));
    rig.proxy.plan(|_, _| Fault::None);
    assert_eq!(digest(&rig.done(&["rebuild-index"])), before);
    assert_eq!(pack_reads(&rig), 0, "a pack was opened: {:?}", rig.proxy.seen());

    // Each entry in a catalogue of its own, beside one of a pack that nobody knows, and some more.
    let (_, entries) = catalogues(&bucket);
    let stranger = Entry::of(PackId::new([7; 16]), &[b' '; 4000], None).expect("an entry");
    for (number, entry) in (0u8..).zip(entries.iter().cycle().take(packs + 9)) {
        let key = bucket.key(&format!("catalogues/{}.khc", PackId::new([number; 16])));
        let bytes = catalogue::write(&[entry.clone(), stranger.clone()]).expect("a catalogue");
        bucket.put(&key, &bytes, &PutOptions::default()).expect("put");
    }
    let server = rig.start();
    let late: Vec<Object> = Study::draw(44, 3, Kind::Tiny, 5).objects().collect();
    store(&server, &late);
    let more = usize::try_from(all_cold(&server, series(&objects) + series(&late))).expect("some");
    listed(&bucket, "merged", |number, listed| {
        number < 8 && listed.len() == more && !listed.contains(&PackId::new([7; 16]))
    });
    stop(server);
    let before = digest(&rig.done(&["rebuild-index"]));

    // Without catalogues, and with a damaged one, the packs are opened themselves.
    for damaged in [true, false] {
        for key in keys(&bucket) {
            bucket.destroy(&key).expect("destroyed");
            if damaged {
                bucket.put(&key, &b"no catalogue".to_vec(), &PutOptions::default()).expect("put");
            }
        }
        lose();
        let _ = std::fs::remove_dir_all(rig.data().join("cache"));
        rig.proxy.plan(|_, _| Fault::None);
        assert_eq!(digest(&rig.done(&["rebuild-index"])), before);
        assert!(pack_reads(&rig) >= more, "no pack was opened");
    }
}

#[test]
fn a_destroyed_study_leaves_the_catalogues() {
    for sealed in [true, false] {
        let rig = Rig::new(&format!("catalogue-gone-{sealed}"), TO_COLD);
        let rig = if sealed { rig } else { rig.with("sealed = true", "sealed = false") };
        let rig = with_rules(rig);
        let server = rig.start();
        let mut studies: Vec<Study> = (0..2).map(|number| Study::draw(47, number, Kind::Tiny, 4)).collect();
        for (study, year) in studies.iter_mut().zip([2001, 2024]) {
            study.date = format!("{year}0615");
            study.patient.birth_date = format!("{}0101", year - 40);
        }
        let objects: Vec<Object> = studies.iter().flat_map(|study| study.objects().collect::<Vec<_>>()).collect();
        store(&server, &objects);
        let packs = usize::try_from(all_cold(&server, series(&objects))).expect("some");
        let work = tempfile::tempdir().expect("folder");
        let bucket = rig.bucket(work.path());
        let before = listed(&bucket, "every pack is entered", |_, listed| listed.len() == packs);
        let done = |arguments: &[&str]| {
            let output = server.command(arguments).expect("runs");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        };
        done(&["retention", "plan", "--as-of", "2026-01-01", "--by", "lan"]);
        done(&["retention", "approve", "2026-01-01-1", "--by", "minh", "--remark", "QD 12"]);
        done(&["retention", "execute", "2026-01-01-1", "--by", "lan", "--yes"]);
        let after = listed(&bucket, "its packs are gone", |_, listed| !listed.is_empty() && listed.len() < packs);
        assert_eq!(after.iter().any(|entry| entry.sealed), sealed);
        assert!(after.iter().all(|entry| before.iter().any(|known| known.pack == entry.pack)));
        stop(server);
    }
}
