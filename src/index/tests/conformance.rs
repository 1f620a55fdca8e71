//! Every engine gives the oracle's answers: random facts, random questions, reopening in between.

mod world;

use index::{Cursor, Entry, Found, Index, LISTED, Oracle, Page, Rocks, RocksOptions, StudyRow, Whose, plan};
use model::attribute::key;
use model::query::{Condition, Query, Test};
use model::retention::record::{Named, RejectReason};
use model::retention::{Person, RetentionFact, StudyRef};
use model::{AttrKey, FacilityCode, Fact, Home, InstanceHead, Level, Outcome, Uid};
use std::path::Path;
use world::World;

/// Operations of one world; with [`WORLDS`] at least 100,000 in all.
const OPERATIONS: usize = 5_050;
const WORLDS: u64 = 20;

/// An engine under test that can be closed and opened again.
trait Engine: Index + Sized {
    fn open(folder: &Path) -> Self;
}

impl Engine for Rocks {
    fn open(folder: &Path) -> Self {
        Self::open(folder, RocksOptions { write_buffer_bytes: 4 << 20, ..RocksOptions::default() }).expect("open")
    }
}

/// So many rows of an answer, page by page, the limit drawn anew for each.
fn pages<T>(world: &mut World, rows_max: usize, page: impl Fn(Option<&Cursor>, usize) -> Page<T>) -> Vec<T> {
    let mut rows = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let next = page(cursor.as_ref(), world.rng.usize(1..60));
        rows.extend(next.rows);
        rows.truncate(rows_max);
        let Some(at) = next.cursor.filter(|_| rows.len() < rows_max) else { return rows };
        assert!(cursor.is_none_or(|before| at > before), "a cursor went back");
        let text = at.to_string();
        cursor = Some(Cursor::parse(&text).expect("the text form of a cursor"));
    }
}

/// All rows of an answer.
fn all<T>(world: &mut World, page: impl Fn(Option<&Cursor>, usize) -> Page<T>) -> Vec<T> {
    pages(world, usize::MAX, page)
}

fn compare_finds(world: &mut World, oracle: &Oracle, engine: &impl Index) {
    let (query, facilities) = world.query();
    let plan = plan(&query, facilities.as_deref());
    // Long answers are compared to the end now and then only.
    let rows_max = if world.rng.u32(..20) == 0 { usize::MAX } else { 80 };
    let of_oracle = |cursor: Option<&Cursor>, limit| oracle.find(&plan, cursor, limit).expect("oracle");
    let expected: Vec<Found> = pages(world, rows_max, of_oracle);
    let found = pages(world, rows_max, |cursor, limit| engine.find(&plan, cursor, limit).expect("engine"));
    assert_eq!(found.len(), expected.len(), "{query:?} {facilities:?} by {:?}", plan.driver());
    assert_eq!(found, expected, "{query:?} {facilities:?} by {:?}", plan.driver());
}

/// Looks into studies in the order they came in, as a plan does, or in none.
fn compare_looks(world: &mut World, oracle: &Oracle, engine: &impl Index) {
    let mut studies: Vec<StudyRow> = all(world, |cursor, limit| oracle.arrivals(cursor, limit).expect("oracle"));
    if world.rng.bool() {
        world.rng.shuffle(&mut studies);
    }
    studies.truncate(25);
    let looked = |index: &dyn Index| {
        let mut found = Vec::new();
        let looked = index.look(&mut |look| {
            for study in &studies {
                found.push((look.has_facts(&study.key)?, look.inside(study)?));
            }
            Ok(())
        });
        looked.expect("a look");
        found
    };
    assert_eq!(looked(engine), looked(oracle));
}

fn compare_identities(world: &mut World, oracle: &Oracle, engine: &impl Index) {
    let (study, series, instance) = (world.some_study(), world.some_series(), world.some_instance());
    let facility = world.facility();
    let (id, name) = world.somebody();
    let whose = Whose::new(&id, &name);
    let known = oracle.identity(facility, &study, &series, &instance, whose).expect("oracle");
    assert_eq!(engine.identity(facility, &study, &series, &instance, whose).expect("engine"), known);
    assert!(known.patients.len() <= usize::from(LISTED) + 1 && known.studies.len() <= usize::from(LISTED).pow(2) + 1);
}

/// Some of the studies of a facility under a UID are among all of them, and are all where there are no more.
fn compare_some(facility: FacilityCode, study: &Uid, all: &[StudyRow], engine: &impl Index) {
    let here: Vec<&StudyRow> = all.iter().filter(|row| row.key.facility == facility).collect();
    for limit in [1, 2, 20] {
        let some = engine.some_studies(facility, study, limit).expect("engine");
        assert_eq!(some.len(), limit.min(here.len()));
        let mut rest = here.iter();
        assert!(some.iter().all(|row| rest.any(|one| *one == row)), "in order of arrival");
    }
}

fn compare_rows(world: &mut World, oracle: &Oracle, engine: &impl Index) {
    let (study, instance) = (world.some_study(), world.some_instance());
    let instances = oracle.instance(&instance).expect("oracle");
    assert_eq!(engine.instance(&instance).expect("engine"), instances);
    for row in &instances {
        assert_eq!(engine.layout(row).expect("engine"), oracle.layout(row).expect("oracle"));
    }
    let studies = oracle.studies(&study).expect("oracle");
    assert_eq!(engine.studies(&study).expect("engine"), studies);
    if let Some(row) = studies.last() {
        compare_some(row.key.facility, &study, &studies, engine);
    }
    // Of the many that a crowd has some are looked into.
    let first = world.rng.usize(..studies.len().max(1)).min(studies.len().saturating_sub(15));
    for study in studies.iter().skip(first).take(15) {
        assert_eq!(engine.study(&study.key).expect("engine").as_ref(), Some(study));
        assert_eq!(engine.is_alone(study).expect("engine"), oracle.is_alone(study).expect("oracle"));
        let expected = all(world, |cursor, limit| oracle.series_of(&study.key, cursor, limit).expect("oracle"));
        assert_eq!(all(world, |cursor, limit| engine.series_of(&study.key, cursor, limit).expect("e")), expected);
        for series in &expected {
            assert_eq!(engine.series(&series.key).expect("engine").as_ref(), Some(series));
            let expected = all(world, |cursor, limit| oracle.instances_of(&series.key, cursor, limit).expect("o"));
            assert_eq!(
                all(world, |cursor, limit| engine.instances_of(&series.key, cursor, limit).expect("e")),
                expected
            );
            let packs = oracle.packs_of(&series.key).expect("oracle");
            assert_eq!(engine.packs_of(&series.key).expect("engine"), packs);
            for row in &packs {
                assert_eq!(engine.pack(row.pack).expect("engine").as_ref(), Some(row));
            }
        }
    }
}

fn compare_lists(world: &mut World, oracle: &Oracle, engine: &impl Index) {
    let until = world.clock - world.rng.u64(..100_000);
    let limit = world.rng.usize(1..50);
    assert_eq!(engine.busy_series(until, limit).expect("e"), oracle.busy_series(until, limit).expect("o"));
    assert_eq!(engine.unpacked(until, limit).expect("e"), oracle.unpacked(until, limit).expect("o"));
    let middle = oracle.packs(None, limit).expect("o").last().map(|row| row.pack);
    for after in [None, middle] {
        assert_eq!(engine.packs(after, limit).expect("e"), oracle.packs(after, limit).expect("o"));
    }
    assert_eq!(engine.incomplete_studies(limit).expect("e"), oracle.incomplete_studies(limit).expect("o"));
    let all_facts = oracle.retention_behind(0, usize::MAX).expect("o");
    for after in [0, all_facts.get(all_facts.len() / 2).map_or(0, |(lsn, _)| *lsn), oracle.applied()] {
        let expected = oracle.retention_behind(after, limit).expect("o");
        assert_eq!(engine.retention_behind(after, limit).expect("e"), expected, "behind {after}");
    }
    assert_eq!(engine.registry().expect("e"), oracle.registry().expect("o"));
    assert_eq!(engine.destinations().expect("e"), oracle.destinations().expect("o"));
    assert_eq!(engine.forwarding().expect("e"), oracle.forwarding().expect("o"));
    assert_eq!(engine.stats().expect("e"), oracle.stats().expect("o"));
    assert_eq!((engine.max_seq(), engine.applied()), (oracle.max_seq(), oracle.applied()));
    let expected = all(world, |cursor, limit| oracle.arrivals(cursor, limit).expect("oracle"));
    assert_eq!(all(world, |cursor, limit| engine.arrivals(cursor, limit).expect("engine")), expected);
    let expected = all(world, |cursor, limit| oracle.conflicts(cursor, limit).expect("oracle"));
    assert_eq!(all(world, |cursor, limit| engine.conflicts(cursor, limit).expect("engine")), expected);
}

fn conforms<E: Engine>(seed: u64) {
    let folder = tempfile::tempdir().expect("folder");
    let mut world = World::new(seed, 60);
    let oracle = Oracle::new();
    let mut engine = E::open(folder.path());
    let (mut operations, mut found) = (0, 0);
    while operations < OPERATIONS {
        let batch = world.batch(40);
        oracle.apply(&batch).expect("oracle");
        engine.apply(&batch).expect("engine");
        operations += batch.len();
        for _ in 0..4 {
            compare_finds(&mut world, &oracle, &engine);
            found += 1;
        }
        compare_rows(&mut world, &oracle, &engine);
        compare_identities(&mut world, &oracle, &engine);
        // Four questions, one look at rows; lists, flushes and reopening are not counted.
        operations += 5;
        match world.rng.u32(..40) {
            0 => drop(engine.flush().expect("flush")),
            1 => {
                drop(engine);
                engine = E::open(folder.path());
            }
            2..=6 => compare_lists(&mut world, &oracle, &engine),
            7..=9 => compare_looks(&mut world, &oracle, &engine),
            _ => {}
        }
    }
    compare_lists(&mut world, &oracle, &engine);
    compare_looks(&mut world, &oracle, &engine);
    assert!(found > 500 && oracle.max_seq() > 1000, "the world is too small to tell anything");
    assert!(world::dump(&engine) == world::dump(&oracle), "the dumps differ, seed {seed}");

    // A rebuild from the same facts is equal.
    let again = tempfile::tempdir().expect("folder");
    let rebuilt = E::open(again.path());
    world.history.chunks(100).for_each(|batch| rebuilt.apply(batch).expect("apply"));
    assert!(world::dump(&rebuilt) == world::dump(&engine), "the rebuilt index differs, seed {seed}");
    for _ in 0..50 {
        compare_identities(&mut world, &oracle, &rebuilt);
    }
}

#[test]
fn rocksdb_answers_as_the_oracle_does() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (1..=WORLDS).filter(|seed| seed % 2 == half).for_each(conforms::<Rocks>));
        }
    });
}

/// An instance of one study, in a series of its own with a modality of its own.
fn of_series(template: &InstanceHead, number: u64, modality: String) -> InstanceHead {
    let uid = |text: String| Uid::parse(&text).expect("a UID");
    let mut head = InstanceHead {
        seq: number,
        study: uid("1.2.9".into()),
        series: uid(format!("1.3.9.{number}")),
        sop_instance: uid(format!("1.4.9.{number}")),
        outcome: Outcome::default(),
        ..template.clone()
    };
    head.attributes.insert(key::MODALITY, modality);
    head
}

/// Some instance, and where it lies.
fn template() -> (Box<InstanceHead>, Option<Home>) {
    let mut world = World::new(7, 60);
    loop {
        let found = world.batch(40).into_iter().find_map(|entry| match entry.fact {
            Fact::Instance(head) => Some((head, entry.home)),
            _ => None,
        });
        if let Some(found) = found {
            return found;
        }
    }
}

#[test]
fn a_study_of_many_sop_classes_shows_a_bounded_number_of_them_whatever_is_rejected() {
    let (template, home) = template();
    let folder = tempfile::tempdir().expect("folder");
    let (oracle, engine) = (Oracle::new(), Rocks::open(folder.path(), RocksOptions::default()).expect("open"));
    let uid = |text: String| Uid::parse(&text).expect("a UID");
    let class = |number: u64| uid(format!("1.2.826.{}", 1_000 + number * 37 % 101));
    let tell = |lsn: u64, fact: Fact, shown: std::ops::Range<u64>| {
        let entry = Entry { lsn, fact, home: home.clone() };
        oracle.apply(std::slice::from_ref(&entry)).expect("oracle");
        engine.apply(&[entry]).expect("engine");
        assert!(world::dump(&engine) == world::dump(&oracle), "the dumps differ");
        let rows = engine.studies(&uid("1.2.9".into())).expect("engine");
        let classes: Vec<Uid> = rows.iter().flat_map(|row| row.sop_classes.iter().cloned()).collect();
        if !shown.is_empty() {
            assert_eq!(classes, shown.map(|number| uid(format!("1.2.826.{}", 1_000 + number))).collect::<Vec<_>>());
        }
    };
    for number in 1..=100 {
        let head = InstanceHead { sop_class: class(number), ..of_series(&template, number, "CT".into()) };
        tell(number, Fact::Instance(Box::new(head)), 0..0);
    }
    let study = StudyRef { facility: template.facility, study: uid("1.2.9".into()), patient: 0 };
    let first = (1..=100).filter(|number| class(*number) < uid("1.2.826.1011".into()));
    let named = |number| Named { series: uid(format!("1.3.9.{number}")), sop_instance: uid(format!("1.4.9.{number}")) };
    let instances: Vec<Named> = first.map(named).collect();
    assert_eq!(instances.len(), 10);
    let (by, reason, at) = (Person::parse("lan").expect("a person"), RejectReason::ALL[0], 1);
    let again = RetentionFact::InstancesRestored {
        study: study.clone(),
        instances: instances.clone(),
        by: by.clone(),
        reason: "asked".into(),
        at,
        seal: None,
    };
    let rejected = RetentionFact::InstancesRejected { study, instances, reason, by, note: None, at };
    tell(201, Fact::Retention(Box::new(rejected)), 11..75);
    tell(202, Fact::Retention(Box::new(again)), 1..65);
}

#[test]
fn a_study_of_many_modalities_shows_a_bounded_number_of_them_and_is_found_by_these() {
    let (template, home) = template();
    let folder = tempfile::tempdir().expect("folder");
    let (oracle, engine) = (Oracle::new(), Rocks::open(folder.path(), RocksOptions::default()).expect("open"));
    for number in 1..=150 {
        let modality = if number == 150 { "X".repeat(9_000) } else { format!("M{:03}", number * 37 % 149) };
        let head = of_series(&template, number, modality);
        let entry = Entry { lsn: number, fact: Fact::Instance(Box::new(head)), home: home.clone() };
        oracle.apply(std::slice::from_ref(&entry)).expect("oracle");
        engine.apply(&[entry]).expect("engine");
    }
    assert!(world::dump(&engine) == world::dump(&oracle), "the dumps differ");
    let rows = engine.studies(&Uid::parse("1.2.9").expect("a UID")).expect("engine");
    let shown: Vec<&str> = rows.iter().flat_map(|row| &row.modalities).map(String::as_str).collect();
    assert_eq!((shown.len(), shown.first(), shown.last()), (64, Some(&"M000"), Some(&"M063")));
    let found = |index: &dyn Index, level: Level, of: AttrKey, text: &str| {
        let test = Test::parse(model::attribute::attribute(of).expect("kept"), text).expect("parses");
        let query = Query { level, conditions: vec![Condition { key: of, test }], fuzzy: false };
        index.find(&plan(&query, None), None, 1_000).expect("an answer").rows.len()
    };
    for (level, of, text, wanted) in [
        (Level::Study, key::MODALITIES_IN_STUDY, "M000,M063", 1),
        (Level::Study, key::MODALITIES_IN_STUDY, "M064", 0),
        (Level::Series, key::MODALITY, "M063", 1),
        (Level::Series, key::MODALITY, "M064", 0),
        (Level::Series, key::MODALITY, "M1*", 49),
    ] {
        assert_eq!((found(&engine, level, of, text), found(&oracle, level, of, text)), (wanted, wanted), "{text}");
    }
}
