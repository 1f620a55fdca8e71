//! The index of charts: every engine gives the oracle's answers; what a crash takes; what a purge leaves.

mod chart_world;

use chart_world::{World, dump};
use index::charts::{ChartCursor, ChartDriver, ChartEntry, ChartQuery, Charts, ChartsOracle, RocksCharts};
use index::{IndexError, RocksOptions};
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Patient, Term};
use model::{FacilityCode, Lsn};
use std::fs;
use std::path::Path;

/// Batches, questions and looks of one world; with [`WORLDS`] some 24,000 in all.
const OPERATIONS: usize = 4_000;
const WORLDS: u64 = 8;

fn open(folder: &Path) -> RocksCharts {
    RocksCharts::open(folder, RocksOptions { write_buffer_bytes: 4 << 20, ..RocksOptions::default() }).expect("open")
}

/// All rows of an answer, page by page, the limit drawn anew for each; some pages within few keys, so that they are short.
fn all(world: &mut World, index: &dyn Charts, query: &ChartQuery) -> Vec<ChartRow> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let limit = world.rng.usize(1..15);
        let page = if world.rng.bool() {
            index.find(query, cursor, limit).expect("an answer")
        } else {
            index.find_within(query, cursor, limit, world.rng.usize(..100)).expect("an answer").0
        };
        let names = index.names(query, cursor, page.rows.len().max(1)).expect("names");
        let of_rows: Vec<_> = page.rows.iter().map(|row| (ChartCursor::of(row), row.key.clone())).collect();
        assert!(names.names.starts_with(&of_rows), "{query:?}");
        assert!(page.rows.len() <= limit, "{query:?}");
        rows.extend(page.rows);
        let Some(next) = page.cursor else { return rows };
        assert!(cursor != Some(next), "a cursor stands still");
        let text = next.to_string();
        cursor = Some(ChartCursor::parse(&text).expect("the text form of a cursor"));
    }
}

fn compare_rows(world: &mut World, oracle: &ChartsOracle, engine: &RocksCharts) {
    let key = world.key();
    assert_eq!(engine.row(&key).expect("engine"), oracle.row(&key).expect("oracle"));
    let (after, limit) = (world.rng.bool().then_some(&key), world.rng.usize(..12));
    assert_eq!(engine.rows(after, limit).expect("engine"), oracle.rows(after, limit).expect("oracle"));
    let beginning = world.beginning();
    let words = oracle.words(&beginning, limit).expect("oracle");
    assert_eq!(engine.words(&beginning, limit).expect("engine"), words, "{beginning}");
}

/// How many were born at some time.
fn compare_born(world: &mut World, oracle: &ChartsOracle, engine: &RocksCharts) -> usize {
    let (query, limit) = (world.born(), world.rng.usize(1..12));
    let (expected, _) = oracle.born(&query, limit, usize::MAX).expect("oracle");
    let (page, cost) = engine.born(&query, limit, usize::MAX).expect("engine");
    assert_eq!(page, expected, "{query:?}");
    let (some, less) = engine.born(&query, limit, cost / 2).expect("engine");
    assert!(less <= cost && some.rows.len() <= page.rows.len() && !(some.whole && some != page), "{query:?}");
    page.rows.len()
}

fn conforms(seed: u64) {
    let mut world = World::new(seed, 12 + u32::try_from(seed).expect("small") * 4);
    let folder = tempfile::tempdir().expect("folder");
    let (oracle, mut engine) = (ChartsOracle::new(), open(folder.path()));
    let (mut operations, mut found, mut entries, mut born) = (0, 0, 0, 0);
    while operations < OPERATIONS {
        let (batch, through) = world.batch(4);
        oracle.apply(&batch, through).expect("oracle");
        engine.apply(&batch, through).expect("engine");
        entries += batch.len();
        for _ in 0..3 {
            let query = world.query();
            let expected = all(&mut world, &oracle, &query);
            assert_eq!(all(&mut world, &engine, &query), expected, "{query:?}");
            found += expected.len();
        }
        compare_rows(&mut world, &oracle, &engine);
        born += compare_born(&mut world, &oracle, &engine);
        operations += batch.len() + 4;
        match world.rng.u32(..60) {
            0 => drop(engine.flush().expect("flush")),
            1 => {
                let applied = engine.applied();
                drop(engine);
                engine = open(folder.path());
                assert_eq!(engine.applied(), applied, "a database that is closed in order keeps everything");
            }
            2 => drop(engine.purge().expect("purge")),
            3 => assert!(dump(&engine) == dump(&oracle), "the dumps differ, seed {seed}"),
            4 => again(&mut world, &oracle, &engine),
            _ => {}
        }
    }
    let told = found > 2_000 && entries > 1_000 && born > 100;
    assert!(told, "the world is too small to tell anything: {found} {entries} {born}");
    assert_eq!(engine.rows(None, usize::MAX).expect("rows").len(), world.rows.len());
    assert!(dump(&engine) == dump(&oracle), "the dumps differ, seed {seed}");

    // A rebuild from the same records is equal, however they are cut into batches.
    let other = tempfile::tempdir().expect("folder");
    let rebuilt = open(other.path());
    for some in world.history.chunks(7) {
        let batch: Vec<ChartEntry> = some.iter().flat_map(|(batch, _)| batch.clone()).collect();
        rebuilt.apply(&batch, some.last().map_or(0, |(_, through)| *through)).expect("apply");
    }
    assert!(dump(&rebuilt) == dump(&engine), "the rebuilt index differs, seed {seed}");
}

/// What was applied before changes nothing: an old batch, and all the last ones as one.
fn again(world: &mut World, oracle: &ChartsOracle, engine: &RocksCharts) {
    let before = dump(engine);
    let (old, through) = world.history[world.rng.usize(..world.history.len())].clone();
    engine.apply(&old, through).expect("apply again");
    oracle.apply(&old, through).expect("apply again");
    let last: Vec<ChartEntry> = world.history.iter().rev().take(5).rev().flat_map(|(batch, _)| batch.clone()).collect();
    engine.apply(&last, world.lsn).expect("apply again");
    assert_eq!((engine.applied(), oracle.applied()), (world.lsn, world.lsn));
    assert!(dump(engine) == before && dump(oracle) == before, "applying again changed something");
}

#[test]
fn rocksdb_answers_about_charts_as_the_oracle_does() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (1..=WORLDS).filter(|seed| seed % 2 == half).for_each(conforms));
        }
    });
}

/// A copy of the files as a kill at this moment would leave them, opened; another one where a file went meanwhile.
fn crashed(from: &Path) -> (tempfile::TempDir, RocksCharts) {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("folder");
        for file in fs::read_dir(from).expect("folder").flatten().filter(|file| file.file_name() != "LOCK") {
            let _ = fs::copy(file.path(), folder.path().join(file.file_name()));
        }
        if let Ok(index) = RocksCharts::open(folder.path(), RocksOptions::default()) {
            return (folder, index);
        }
    }
    panic!("no copy of the files opens");
}

#[test]
fn a_crash_loses_only_what_was_not_flushed_and_a_replay_restores_it() {
    for seed in 101..=106 {
        let mut world = World::new(seed, 40);
        let folder = tempfile::tempdir().expect("folder");
        // With room enough: nothing is flushed but when it is asked for.
        let index = RocksCharts::open(folder.path(), RocksOptions::default()).expect("open");
        let mut flushed = 0;
        for round in 0..80 {
            let (batch, through) = world.batch(10);
            index.apply(&batch, through).expect("apply");
            if round == 50 {
                flushed = index.flush().expect("flush");
                assert_eq!(flushed, through);
            }
        }
        let (_folder, survivor) = crashed(folder.path());
        assert_eq!(survivor.applied(), flushed, "the position on disk, seed {seed}");
        assert!(dump(&survivor) != dump(&index), "nothing was lost: the test tells nothing, seed {seed}");
        // Replay may begin before the position: the journal is cut by segments.
        for (batch, through) in world.history.iter().filter(|(_, through)| *through + 30 > flushed) {
            survivor.apply(batch, *through).expect("replay");
        }
        assert!(dump(&survivor) == dump(&index), "the dumps differ, seed {seed}");
    }
}

fn facility() -> FacilityCode {
    FacilityCode::parse("56001").expect("code")
}

fn patient(number: u64, name: &str, lsn: Lsn) -> ChartRow {
    let key = ChartKey::new(ChartKind::Patient, facility(), &format!("MRN{number:06}")).expect("a key");
    let patient = Patient {
        mrn: key.id.clone(),
        name: name.into(),
        birth: BirthDate::parse("1978").ok(),
        address: format!("address of {name}"),
        changed: lsn,
        ..Patient::default()
    };
    ChartRow { key, lsn, created: number, seal: None, body: ChartBody::Patient(Box::new(patient)) }
}

fn put(row: &ChartRow) -> ChartEntry {
    ChartEntry::Put(Box::new(row.clone()))
}

fn equal(term: Term, value: &str) -> ChartQuery {
    let driver = ChartDriver::Equal(term, value.into());
    ChartQuery { kind: ChartKind::Patient, facilities: None, driver, moments: None, years: None }
}

#[test]
fn a_row_replaces_its_former_self_whole_and_an_older_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let engines: [&dyn Charts; 2] = [&ChartsOracle::new(), &open(folder.path())];
    for index in engines {
        let (first, second) = (patient(1, "Nguyễn Văn An", 1), patient(1, "Trần Văn Bình", 5));
        index.apply(&[put(&first), put(&second)], 5).expect("apply");
        let words = index.words("", 10).expect("words");
        assert_eq!(words, [("BINH".to_owned(), 1), ("TRAN".to_owned(), 1), ("VAN".to_owned(), 1)]);
        let before = dump(index);
        index.apply(&[put(&first)], 6).expect("an older one");
        assert!(dump(index) == before && index.applied() == 6);
        assert!(index.find(&equal(Term::NameWord, "NGUYEN"), None, 5).expect("asked").rows.is_empty());
        let page = index.find(&equal(Term::NameWord, "TRAN"), None, 5).expect("asked");
        assert_eq!((page.rows, page.cursor), (vec![second.clone()], None));

        // Of a batch that does not fit nothing is taken.
        let mut unfit = patient(3, "Lê Lan", 7);
        unfit.key.kind = ChartKind::Visit;
        let refused = index.apply(&[put(&patient(2, "Lê Lan", 7)), put(&unfit)], 7);
        assert!(matches!(refused, Err(IndexError::Unfit { lsn: 7, .. })), "{refused:?}");
        assert!(dump(index) == before && index.applied() == 6);

        index.apply(&[ChartEntry::Gone(first.key.clone())], 7).expect("gone");
        assert_eq!((index.row(&first.key).expect("asked"), index.words("", 10).expect("words")), (None, Vec::new()));
        assert!(index.rows(None, 10).expect("rows").is_empty() && dump(index).is_empty());
    }
}

#[test]
fn rows_of_one_record_and_moment_are_on_one_page_or_the_next() {
    let folder = tempfile::tempdir().expect("folder");
    let index = open(folder.path());
    let rows = (0..40).map(|number| ChartRow { created: 1, ..patient(number, "An", 1) });
    index.apply(&rows.map(|row| put(&row)).collect::<Vec<_>>(), 1).expect("apply");
    let mut world = World::new(1, 1);
    let found = all(&mut world, &index, &equal(Term::Any, ""));
    let mut ids: Vec<_> = found.iter().map(|row| row.key.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((found.len(), ids.len()), (40, 40));
    // Whoever puts several answers together goes by their places.
    assert!(found.is_sorted_by_key(|row| std::cmp::Reverse(ChartCursor::of(row))));
}

#[test]
fn a_text_that_is_no_cursor_is_refused() {
    for text in ["", "1", "1-2", "1-2-3-4", "1-2-x", "1-2-100000000", "1--2"] {
        assert!(ChartCursor::parse(text).is_err(), "{text:?}");
    }
    let cursor = ChartCursor::of(&patient(7, "An", 9));
    assert_eq!(ChartCursor::parse(&cursor.to_string()).expect("its own text"), cursor);
}

/// In how many files a text stands.
fn files_with(folder: &Path, text: &str) -> usize {
    let files = fs::read_dir(folder).expect("folder").flatten();
    let has = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains(text);
    files.filter(|file| fs::read(file.path()).is_ok_and(has)).count()
}

#[test]
fn a_purge_leaves_nothing_of_a_patient_who_is_gone() {
    let folder = tempfile::tempdir().expect("folder");
    let options = RocksOptions { file_bytes: 16 << 10, compressed: false, ..RocksOptions::default() };
    let index = RocksCharts::open(folder.path(), options).expect("open");
    let name = |number: u64, of: &str| format!("{of}{number:05}X Văn");
    let mut lsn = 0;
    // Everybody was called otherwise at first, and once more under another moment.
    for of in ["FIRST", "SECOND", "SECOND"] {
        for number in 1..=1_200 {
            lsn += 1;
            index.apply(&[put(&patient(number, &name(number, of), lsn))], lsn).expect("apply");
            if number % 300 == 0 {
                index.flush().expect("flush");
            }
        }
    }
    let gone = [3, 500, 501, 1_200];
    let texts = |number: u64| [format!("FIRST{number:05}X"), format!("SECOND{number:05}X"), format!("MRN{number:06}")];
    for text in gone.into_iter().flat_map(texts) {
        assert!(files_with(folder.path(), &text) > 0, "{text} was nowhere: the test tells nothing");
    }
    lsn += 1;
    let batch: Vec<_> = gone.map(|number| ChartEntry::Gone(patient(number, "", 0).key)).into();
    index.apply(&batch, lsn).expect("gone");
    let written = index.purge().expect("purge");
    for text in gone.into_iter().flat_map(texts) {
        assert_eq!(files_with(folder.path(), &text), 0, "something of {text} is left");
    }
    for number in [2, 4, 499, 502, 1_199] {
        let row = index.row(&patient(number, "", 0).key).expect("asked").expect("it stays");
        let found = index.find(&equal(Term::NameWord, &format!("SECOND{number:05}X")), None, 5).expect("asked");
        assert_eq!(found.rows, [row]);
    }
    let again = index.purge().expect("nothing is left to do");
    assert!(written > 0 && again < written / 4, "{again} of {written} bytes are written anew for nothing");
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    drop(open(folder.path()));
    {
        let tables = rocksdb::DB::list_cf(&rocksdb::Options::default(), folder.path()).expect("tables");
        let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), folder.path(), tables).expect("open");
        db.create_cf("tomorrow", &rocksdb::Options::default()).expect("create");
    }
    let refused = RocksCharts::open(folder.path(), RocksOptions::default());
    assert!(matches!(refused, Err(IndexError::Newer { .. })), "{refused:?}");
}
