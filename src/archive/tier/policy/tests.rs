//! The table decides by its first fitting row, at the boundaries exactly, and never releases the only copy.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const TICK: Duration = Duration::from_millis(1);

fn pack() -> PackFacts {
    PackFacts {
        facility: FacilityCode::DEMO,
        modality: "CT".into(),
        bytes: 1_000,
        age: 100 * DAY,
        unread: 100 * DAY,
        hot: true,
        cold: false,
    }
}

fn table(rows: Vec<Policy>) -> Policies {
    Policies { rows, close_after: DAY }
}

fn copy_now() -> Policy {
    Policy { name: "copy now".into(), copy_after: Some(Duration::ZERO), ..Policy::default() }
}

#[test]
fn without_a_fitting_row_nothing_moves() {
    assert_eq!(table(Vec::new()).decide(&pack()), Action::Nothing);
    let other = Policy { facilities: Some(FacilityCode::parse("56001").into_iter().collect()), ..copy_now() };
    assert_eq!(table(vec![other]).decide(&pack()), Action::Nothing);
    let nothing = Policy { name: "stays".into(), ..Policy::default() };
    assert_eq!(table(vec![nothing.clone(), copy_now()]).decide(&pack()), Action::Nothing, "the first row decides");
    assert_eq!(table(vec![copy_now(), nothing]).decide(&pack()), Action::Copy);
}

#[test]
fn every_condition_holds_at_its_boundary_and_not_beyond() {
    let fits = |row: Policy| table(vec![row]).decide(&pack()) == Action::Copy;
    for (least, most, expected) in [
        (Some(1_000), None, true),
        (Some(1_001), None, false),
        (None, Some(1_000), true),
        (None, Some(999), false),
        (Some(1_000), Some(1_000), true),
    ] {
        assert_eq!(fits(Policy { min_size: least, max_size: most, ..copy_now() }), expected, "{least:?} {most:?}");
    }
    for (modalities, expected) in [(vec!["CT"], true), (vec!["MR", "CT"], true), (vec!["MR"], false), (vec![], false)] {
        let named: BTreeSet<String> = modalities.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(fits(Policy { modalities: Some(named), ..copy_now() }), expected, "{modalities:?}");
    }
    let nameless = PackFacts { modality: String::new(), ..pack() };
    let ct = Policy { modalities: Some(BTreeSet::from(["CT".to_owned()])), ..copy_now() };
    assert_eq!(table(vec![ct]).decide(&nameless), Action::Nothing);
    assert_eq!(table(vec![copy_now()]).decide(&nameless), Action::Copy);
}

#[test]
fn a_copy_waits_for_its_age_and_for_the_closing_time() {
    for (copy_after, close_after, age, expected) in [
        (2 * DAY, DAY, 2 * DAY, Action::Copy),
        (2 * DAY, DAY, 2 * DAY - TICK, Action::Nothing),
        (Duration::ZERO, DAY, DAY, Action::Copy),
        (Duration::ZERO, DAY, DAY - TICK, Action::Nothing),
        (Duration::ZERO, Duration::ZERO, Duration::ZERO, Action::Copy),
    ] {
        let row = Policy { copy_after: Some(copy_after), ..copy_now() };
        let pack = PackFacts { age, ..pack() };
        let policies = Policies { rows: vec![row], close_after };
        assert_eq!(policies.decide(&pack), expected, "{copy_after:?} {close_after:?} {age:?}");
    }
}

#[test]
fn copy_now_release_later() {
    let row = Policy { release_after: Some(90 * DAY), ..copy_now() };
    let policies = table(vec![row]);
    let at = |days: u32, cold: bool| policies.decide(&PackFacts { age: days * DAY, cold, ..pack() });
    assert_eq!((at(0, false), at(1, false), at(89, false)), (Action::Nothing, Action::Copy, Action::Copy));
    assert_eq!((at(1, true), at(89, true), at(90, true)), (Action::Nothing, Action::Nothing, Action::Release));
    assert_eq!(at(90, false), Action::CopyThenRelease, "after a year without a cloud both are due");
    let just = PackFacts { age: 90 * DAY - TICK, cold: true, ..pack() };
    assert_eq!(policies.decide(&just), Action::Nothing);
}

#[test]
fn what_was_read_lately_stays() {
    let row = Policy { release_after: Some(30 * DAY), release_unread_for: Some(7 * DAY), ..copy_now() };
    let policies = table(vec![row.clone()]);
    let at = |unread: Duration| policies.decide(&PackFacts { unread, cold: true, ..pack() });
    assert_eq!((at(7 * DAY - TICK), at(7 * DAY)), (Action::Nothing, Action::Release));
    let alone = table(vec![Policy { release_after: None, ..row }]);
    let young = PackFacts { age: 8 * DAY, unread: 7 * DAY, cold: true, ..pack() };
    assert_eq!(alone.decide(&young), Action::Release, "without an age the reading alone decides");
    assert_eq!(policies.decide(&young), Action::Nothing);
}

#[test]
fn what_was_brought_back_whole_stays_for_a_while() {
    let row = Policy { release_after: Some(30 * DAY), recall: Recall::Hot, ..copy_now() };
    let policies = table(vec![row]);
    let back = |unread: Duration| policies.decide(&PackFacts { unread, cold: true, ..pack() });
    assert_eq!((back(Duration::ZERO), back(RECALLED_STAYS - TICK)), (Action::Nothing, Action::Nothing));
    assert_eq!(back(RECALLED_STAYS), Action::Release);
    assert_eq!(policies.recall(&pack()), Recall::Hot);
    assert_eq!(table(vec![copy_now()]).recall(&pack()), Recall::Cache);
    assert_eq!(table(Vec::new()).recall(&pack()), Recall::Cache);
    // A row that never releases does not begin to because it recalls.
    let keeps = table(vec![Policy { recall: Recall::Hot, ..copy_now() }]);
    assert_eq!(keeps.decide(&PackFacts { cold: true, ..pack() }), Action::Nothing);
}

/// Whatever the table says: a pack is released only where a copy is in the cloud or is put there first, and nothing
/// is done to a pack that no hot volume holds.
#[test]
fn the_only_copy_is_never_released() {
    let seed = 20_261_122;
    let mut random = fastrand::Rng::with_seed(seed);
    let days = |random: &mut fastrand::Rng| random.bool().then(|| random.u32(0..5) * DAY);
    let mut met = BTreeSet::new();
    for _ in 0..20_000 {
        let row = Policy {
            copy_after: days(&mut random),
            release_after: days(&mut random),
            release_unread_for: days(&mut random),
            recall: if random.bool() { Recall::Hot } else { Recall::Cache },
            ..Policy::default()
        };
        let pack = PackFacts {
            age: random.u32(0..10) * DAY,
            unread: random.u32(0..10) * DAY,
            hot: random.bool(),
            cold: random.bool(),
            ..pack()
        };
        let policies = Policies { rows: vec![row], close_after: random.u32(0..3) * DAY };
        let action = policies.decide(&pack);
        match action {
            Action::Nothing => {}
            Action::Copy => assert!(pack.hot && !pack.cold && pack.age >= policies.close_after, "seed {seed}"),
            Action::Release => assert!(pack.hot && pack.cold, "seed {seed}"),
            Action::CopyThenRelease => {
                assert!(pack.hot && !pack.cold && pack.age >= policies.close_after, "seed {seed}")
            }
        }
        met.insert(format!("{action:?}"));
    }
    assert_eq!(met.len(), 4, "{met:?}");
}
