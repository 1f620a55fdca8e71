//! Scrubbing: what is found, mended and reported, where a pass goes on, and that it keeps to its bandwidth.

use super::packs::{Elsewhere, all_packed, object, pack_files, packing, rows};
use super::*;
use index::PackRow;
use model::Fact;
use model::pack::PackFact;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn flip(path: &Path, rng: &mut fastrand::Rng) {
    let mut bytes = std::fs::read(path).expect("the pack");
    let at = rng.usize(..bytes.len());
    bytes[at] ^= 1 << rng.u8(..8);
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn scrubbing_finds_every_flipped_bit_and_repairs_it_from_the_other_copy() {
    let bench = packing();
    let folder = bench.folder.path().join("elsewhere");
    std::fs::create_dir_all(&folder).expect("folder");
    bench.archive.packs().connect(Some(Box::new(Elsewhere(folder.clone()))));
    for series in 1..=20 {
        for number in 1..=3 {
            bench.store(&object(series, number)).expect("stored");
        }
    }
    until("packed", || rows(&bench).len() == 60 && all_packed(&bench));
    let packs = bench.archive.index().packs(None, 100).expect("packs");
    for row in &packs {
        let copy = bench.archive.packs().put_far(row, 1).expect("put");
        let fact = PackFact::Tiered { pack: row.pack, copy };
        bench.archive.record(Fact::Pack(Box::new(fact))).expect("recorded");
    }
    let stop = AtomicBool::new(false);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut found, mut repaired) = (0, 0);
    for _ in 0..5 {
        let hot = pack_files(&bench.options);
        // Of every pack one copy, now here, now there: 100 flips in all.
        for (at, row) in packs.iter().enumerate() {
            let name = format!("{}.zip", row.pack);
            let file = hot.iter().find(|path| path.ends_with(&name)).expect("hot");
            if (at + found) % 2 == 0 {
                flip(file, &mut rng)
            } else {
                flip(&folder.join(row.pack.to_string()), &mut rng)
            }
        }
        let report = bench.archive.scrub_now(&stop, &mut |_| {}).expect("a pass");
        assert!(report.alarms.is_empty() && report.ended.is_some(), "{report:?}");
        found += usize::try_from(report.damaged).expect("few");
        repaired += usize::try_from(report.repaired).expect("few");
    }
    assert_eq!((found, repaired), (100, 100), "seed {seed}");
    let report = bench.archive.scrub_now(&stop, &mut |_| {}).expect("a pass");
    assert_eq!((report.packs, report.damaged), (20, 0), "seed {seed}: {report:?}");
    let verified = bench.archive.verify(&stop, &mut |_| {}).expect("verify");
    assert_eq!((verified.instances, verified.damaged), (60, 0));
}

#[test]
fn a_pack_without_a_sound_copy_is_an_alarm_that_names_the_study_until_it_is_mended() {
    let bench = packing();
    bench.store(&object(1, 1)).expect("stored");
    until("packed", || rows(&bench).len() == 1 && all_packed(&bench));
    let path = pack_files(&bench.options).pop().expect("a pack");
    let whole = std::fs::read(&path).expect("the pack");
    flip(&path, &mut fastrand::Rng::with_seed(3));
    let stop = AtomicBool::new(false);
    let report = bench.archive.scrub_now(&stop, &mut |_| {}).expect("a pass");
    assert_eq!((report.damaged, report.repaired, report.alarms.len()), (1, 0, 1), "{report:?}");
    assert_eq!(report.alarms[0].study, uid("1.2.1"));
    let readiness = bench.archive.readiness();
    assert!(readiness.ready && readiness.reasons.iter().any(|reason| reason.contains("khoanh scrub")), "{readiness:?}");
    // The alarm outlives a restart, and ends with the damage.
    let bench = bench.reopen();
    assert_eq!(bench.archive.scrub_report().alarms.len(), 1);
    std::fs::write(&path, whole).expect("mended");
    let report = bench.archive.scrub_now(&stop, &mut |_| {}).expect("a pass");
    assert_eq!((report.damaged, report.alarms.len()), (0, 0), "{report:?}");
}

/// An archive of so many packs whose background work rests.
fn resting(packs: u32) -> Bench {
    let bench = packing();
    for series in 1..=packs {
        bench.store(&object(series, 1)).expect("stored");
    }
    let wanted = usize::try_from(packs).expect("few");
    until("packed", || rows(&bench).len() == wanted && all_packed(&bench));
    bench.reopen_with(|options| options.background = false)
}

/// The next start scrubs, whenever the last pass was.
fn begin_anew(options: &mut Options) {
    let _ = std::fs::remove_file(options.data.join("scrub.json"));
    options.background = true;
}

fn packs(bench: &Bench) -> Vec<PackRow> {
    bench.archive.index().packs(None, 100).expect("packs")
}

#[test]
fn a_pass_that_a_stop_ended_goes_on_where_it_was() {
    let bench = resting(8);
    let stop = AtomicBool::new(false);
    let report = bench.archive.scrub_now(&stop, &mut |report| stop.store(report.packs == 3, Ordering::Relaxed));
    let report = report.expect("three packs");
    assert_eq!((report.packs, report.ended), (3, None), "{report:?}");
    // Those it has passed are not read again before the next pass; the others are.
    let hot = pack_files(&bench.options);
    let all = packs(&bench);
    for row in [&all[0], &all[7]] {
        let name = format!("{}.zip", row.pack);
        let file = hot.iter().find(|path| path.ends_with(&name)).expect("hot");
        flip(file, &mut fastrand::Rng::with_seed(5));
    }
    let bench = bench.reopen_with(|options| options.background = true);
    until("the pass ends by itself", || bench.archive.scrub_report().ended.is_some());
    let report = bench.archive.scrub_report();
    assert_eq!((report.packs, report.damaged), (8, 1), "{report:?}");
    assert_eq!(report.alarms.iter().map(|alarm| alarm.pack).collect::<Vec<_>>(), [all[7].pack]);
}

#[test]
fn a_pass_reads_no_more_than_its_bandwidth_and_gives_way_to_one_that_is_asked_for() {
    let slow = resting(4).reopen_with(|options| {
        begin_anew(options);
        options.scrub.bytes_per_second = 1;
    });
    let quick = resting(4).reopen_with(|options| {
        begin_anew(options);
        options.scrub.bytes_per_second = u64::MAX;
    });
    until("the slow pass has begun", || slow.archive.scrub_report().begun.is_some());
    until("the quick pass ends", || quick.archive.scrub_report().packs == 4);
    let report = slow.archive.scrub_report();
    assert_eq!((report.packs, report.ended), (0, None), "hours of reading in a moment: {report:?}");
    let report = slow.archive.scrub_now(&AtomicBool::new(false), &mut |_| {}).expect("a pass");
    assert_eq!((report.packs, report.damaged), (4, 0), "{report:?}");
}
