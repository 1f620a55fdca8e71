//! What the archive says it holds, by facility, modality, tier and month, and when its disks fill.

use super::packs::{Elsewhere, packing};
use super::*;
use crate::usage::{Forecast, Sum, Usage};
use index::PackRow;
use model::Fact;
use model::date::{DAY_MS, Date};
use model::pack::PackFact;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

fn usage(bench: &Bench) -> Usage {
    bench.archive.usage(&AtomicBool::new(false), &mut |_| {}).expect("usage")
}

fn packs(bench: &Bench) -> Vec<PackRow> {
    bench.archive.index().packs(None, 100).expect("packs")
}

/// Every way to divide comes to the whole. Studies may stand in several tiers and modalities.
fn adds_up<K>(parts: &BTreeMap<K, Sum>, total: &Sum) {
    let sum = |of: fn(&Sum) -> u64| parts.values().map(of).sum::<u64>();
    let found = [sum(|sum| sum.series), sum(|sum| sum.instances), sum(|sum| sum.raw), sum(|sum| sum.stored)];
    assert_eq!(found, [total.series, total.instances, total.raw, total.stored]);
}

#[test]
fn what_is_stored_is_summed_up_by_place_and_the_day_is_told_on_which_the_disks_fill() {
    let bench = packing().reopen_with(|options| options.background = false);
    for number in 1..=3 {
        let series = if number == 3 { "1.2.1.2" } else { "1.2.1.1" };
        bench
            .store(&Object { series, number, pixels: 4096, ..Object::new(&format!("1.2.1.9.{number}")) })
            .expect("stored");
    }
    let other = Object { study: "1.2.2", series: "1.2.2.1", pixels: 8192, ..Object::new("1.2.2.1.1") };
    bench.store_from(&bench.source_of("56001"), &other).expect("stored");
    let before = usage(&bench);
    assert_eq!((before.total.studies, before.total.series, before.total.instances), (2, 3, 4), "{before:?}");
    assert_eq!(before.tiers.keys().collect::<Vec<_>>(), ["journal"]);
    assert_eq!(before.total.stored, before.total.raw);

    // Packed, and one pack copied somewhere else.
    let bench = bench.reopen_with(|options| options.background = true);
    until("packed", || packs(&bench).len() == 3);
    let elsewhere = bench.folder.path().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("folder");
    bench.archive.packs().connect(Some(Box::new(Elsewhere(elsewhere))));
    let copied = packs(&bench).into_iter().find(|pack| pack.instances == 2).expect("two in a series");
    let copy = bench.archive.packs().put_far(&copied, 1).expect("put");
    bench.archive.record(Fact::Pack(Box::new(PackFact::Tiered { pack: copied.pack, copy }))).expect("recorded");

    let found = usage(&bench);
    let lens: u64 = packs(&bench).iter().map(|pack| pack.len).sum();
    assert_eq!((found.total.raw, found.total.stored), (before.total.raw, lens + copied.len), "{found:?}");
    let tiers: Vec<(&str, u64, u64, u64)> =
        found.tiers.iter().map(|(name, sum)| (name.as_str(), sum.studies, sum.instances, sum.stored)).collect();
    assert_eq!(tiers, [("hot", 2, 2, lens - copied.len), ("hot+cold", 1, 2, 2 * copied.len)]);
    assert_eq!(found.modalities.keys().collect::<Vec<_>>(), ["CT"]);
    assert_eq!(found.modalities["CT"].studies, 2);
    assert_eq!(found.facilities.len(), 2);
    assert_eq!(found.facilities[&FacilityCode::parse("56001").expect("code")].instances, 1);
    let month = Date::of_ms(bench.archive.now_ms()).to_string();
    assert_eq!(found.months.keys().map(String::as_str).collect::<Vec<_>>(), [&month[..7]]);
    for parts in [&found.tiers, &found.modalities, &found.months] {
        adds_up(parts, &found.total);
    }
    adds_up(&found.facilities, &found.total);

    // All of it came today; some days more would fill what the reserve leaves.
    let per_day = found.forecast.per_day;
    assert!(per_day > 0 && per_day <= found.total.raw, "{found:?}");
    let bench = bench.reopen_with(|options| {
        options.background = false;
        options.packs.reserve = found.forecast.free.saturating_sub(40 * per_day);
    });
    let Forecast { free, per_day: again, full_on } = usage(&bench).forecast;
    assert_eq!(again, per_day);
    // Others write to this disk, too.
    let days = free / per_day;
    assert_eq!(full_on.is_some(), days < 36_500, "{free} bytes free");
    if let Some(day) = full_on {
        let away = day.start_ms().abs_diff(Date::of_ms(bench.archive.now_ms()).start_ms()) / DAY_MS;
        assert!(away.abs_diff(days) <= 1, "{day} is {away} days away, not {days}");
    }
}
