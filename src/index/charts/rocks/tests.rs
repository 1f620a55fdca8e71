//! What an answer may cost, and what its bounds leave as it is.

use super::find::{Cost, EXAMINED_MAX, find};
use super::*;
use crate::charts::ChartDriver;
use crate::charts::keys::Place;
use model::FacilityCode;
use model::chart::{BirthDate, ChartBody, ChartKind, Handled, Message, Origin, Patient};

fn patient(number: u64, name: &str, year: u16) -> ChartEntry {
    let key = ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, &format!("{number:06}")).expect("a name");
    let patient = Patient {
        mrn: key.id.clone(),
        name: name.into(),
        birth: BirthDate::parse(&year.to_string()).ok(),
        changed: number / 3,
        ..Patient::default()
    };
    let body = ChartBody::Patient(Box::new(patient));
    ChartEntry::Put(Box::new(ChartRow { key, lsn: number, created: number, seal: None, body }))
}

/// 3,000 persons: a third NGUYEN, everybody with one of 700 given names that begin with T or is called AN, once.
fn filled(folder: &Path) -> RocksCharts {
    let index = RocksCharts::open(folder, RocksOptions::default()).expect("open");
    let name = |number: u64| match number {
        1_500 => "Nguyễn Văn An".to_owned(),
        _ => format!(
            "{} Văn T{:03}",
            ["Nguyễn", "Trần", "Lê"][usize::try_from(number % 3).expect("small")],
            number % 700
        ),
    };
    let batch: Vec<_> = (1..=3_000).map(|number| patient(number, &name(number), 1950 + (number % 60) as u16)).collect();
    index.apply(&batch, 3_000).expect("apply");
    index
}

fn asked(words: &[&str], years: Option<(u16, u16)>) -> ChartQuery {
    let driver = ChartDriver::Words(words.iter().map(|word| (*word).to_owned()).collect());
    ChartQuery { kind: ChartKind::Patient, facilities: None, driver, moments: None, years }
}

fn page(
    index: &RocksCharts,
    query: &ChartQuery,
    after: Option<ChartCursor>,
    limit: usize,
    max: usize,
) -> (ChartPage, Cost) {
    find(&index.reader(), query, after, limit, max).expect("an answer")
}

#[test]
fn the_rarest_word_is_walked_and_no_row_is_read_beside_the_page() {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path());
    let (found, cost) = page(&index, &asked(&["NGUYEN", "VAN", "AN"], None), None, 20, EXAMINED_MAX);
    assert_eq!((found.rows.len(), found.cursor), (1, None));
    assert_eq!((cost.keys, cost.rows), (1, 1));

    let (found, cost) = page(&index, &asked(&["VAN", "NGUYEN"], None), None, 20, EXAMINED_MAX);
    assert!(found.rows.len() == 20 && found.cursor.is_some());
    assert!(cost.rows == 20 && cost.keys < 30, "{cost:?}");

    let (found, cost) = page(&index, &asked(&["VAN", "T001", "NGUYEN"], Some((2000, 2009))), None, 20, EXAMINED_MAX);
    assert!(cost.keys <= 5 && cost.rows == found.rows.len(), "{cost:?}");
    assert_eq!(page(&index, &asked(&["NGUYEN", "XUAN"], None), None, 20, EXAMINED_MAX).1.keys, 0);
}

#[test]
fn a_beginning_that_hundreds_of_words_share_is_gathered_or_drives_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path());
    // 100 words, then 700 and one more.
    for (beginning, words) in [("T1", 100), ("T", 701)] {
        let query = asked(&[beginning], Some((1950, 1951)));
        assert_eq!(index.words(beginning, 1_000).expect("words").len(), words);
        let (whole, _) = page(&index, &query, None, 10_000, EXAMINED_MAX);
        let expected = (1..=3_000u64).filter(|number| {
            let given = *number != 1_500 && (beginning == "T" || (100..200).contains(&(number % 700)));
            given && number % 60 <= 1
        });
        assert_eq!(whole.rows.len(), expected.count(), "{beginning}");
        assert!(whole.rows.is_sorted_by_key(Place::of));
    }
}

#[test]
fn a_page_ends_at_the_bound_and_asking_on_finds_the_rest() {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path());
    for query in [asked(&["NGUYEN"], Some((1950, 1950))), asked(&["T"], Some((1951, 1951))), asked(&["T1"], None)] {
        let (whole, cost) = page(&index, &query, None, 10_000, EXAMINED_MAX);
        assert!(whole.cursor.is_none() && whole.rows.len() > 10 && cost.rows == whole.rows.len());
        let (mut rows, mut cursor, mut empty) = (Vec::new(), None, 0);
        loop {
            let (next, cost) = page(&index, &query, cursor, 4, 7);
            assert!(next.rows.len() <= 4 && (cost.keys <= 9 || query.driver == asked(&["T1"], None).driver));
            empty += usize::from(next.rows.is_empty());
            rows.extend(next.rows);
            cursor = next.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(rows, whole.rows);
        assert!(empty > 1 || query.years.is_none(), "the bound was never met");
    }
}

/// Replaces one patient again and again and gives what the row remembers, after it was shown that every key it ever had
/// is remembered or noted.
fn replaced(name: impl Fn(u64) -> String) -> keys::Former {
    let folder = tempfile::tempdir().expect("folder");
    let index = RocksCharts::open(folder.path(), RocksOptions::default()).expect("open");
    let key = ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, "1").expect("a name");
    let mut ever = std::collections::BTreeSet::new();
    for number in 1..=100 {
        let ChartEntry::Put(mut row) = patient(3 * number, &name(number), 1978) else { panic!("no row") };
        (row.key.id, row.created) = ("1".into(), 1);
        if let ChartBody::Patient(patient) = &mut row.body {
            patient.mrn = "1".into();
        }
        ever.extend(keys::of_row(&row).into_keys());
        index.apply(&[ChartEntry::Put(row)], 3 * number).expect("apply");
    }
    let stored = get_now(&index.db, Table::Rows, &keys::row(&key), |bytes| Stored::decode(key.clone(), bytes));
    let stored = stored.expect("read").expect("a row");
    let notes = || index.reader().prefix(Table::Meta, b"Z").expect("notes").collect(100_000, |key, _| Ok(key.to_vec()));
    let noted = notes().expect("notes");
    assert!(!noted.is_empty(), "nothing was too old to be remembered");
    for key in stored.former.keys(&stored.row) {
        ever.remove(&key);
    }
    for note in noted {
        ever.remove(note.get(2..).expect("a key"));
    }
    assert!(ever.is_empty(), "{} keys are neither remembered nor noted", ever.len());
    index.apply(&[ChartEntry::Gone(key)], 400).expect("gone");
    index.purge().expect("purge");
    assert!(notes().expect("notes").is_empty());
    stored.former
}

#[test]
fn a_row_that_is_replaced_for_ever_remembers_a_bounded_part_and_the_rest_is_noted() {
    let former = replaced(|_| "Nguyễn Văn An".to_owned());
    assert_eq!((former.places.len(), former.values.len()), (32, 0));
    let former = replaced(|number| format!("An B{number} C{number} D{number}"));
    assert!(former.places.len() <= 32 && former.values.len() <= 64);
}

#[test]
fn messages_that_go_in_masses_leave_one_note_a_table() {
    let folder = tempfile::tempdir().expect("folder");
    let index = RocksCharts::open(folder.path(), RocksOptions::default()).expect("open");
    let key = |number: u64| ChartKey::new(ChartKind::Message, FacilityCode::DEMO, &number.to_string()).expect("a name");
    let message = |number: u64| {
        let origin = Origin {
            source: "mllp:HIS".into(),
            sender: String::new(),
            control: number.to_string(),
            digest: model::Digest([1; 32]),
        };
        let body = ChartBody::Message(Box::new(Message {
            origin,
            kind: "ADT^A08".into(),
            mrn: Some("1".into()),
            text: String::new(),
            handled: Handled::Done,
            acknowledged: "AA".into(),
            remarks: Vec::new(),
            at: number,
            handled_at: 0,
            waiting: Vec::new(),
        }));
        ChartEntry::Put(Box::new(ChartRow { key: key(number), lsn: number, created: number, seal: None, body }))
    };
    index.apply(&(1..=500).map(message).collect::<Vec<_>>(), 500).expect("apply");
    index.apply(&(1..=400).map(|number| ChartEntry::Gone(key(number))).collect::<Vec<_>>(), 501).expect("apply");
    let notes = || index.reader().prefix(Table::Meta, b"Z").expect("notes").collect(10_000, |key, _| Ok(key.to_vec()));
    assert_eq!(notes().expect("notes"), [b"Zj\x07", b"Zk\x07"]);
    index.purge().expect("purge");
    assert_eq!((notes().expect("notes").len(), index.rows(None, 1_000).expect("rows").len()), (0, 100));
}

#[test]
fn names_are_told_without_reading_a_row() {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path());
    let query = asked(&["NGUYEN"], Some((1950, 1955)));
    let whole = index.find(&query, None, 50).expect("an answer");
    let of_rows: Vec<_> = whole.rows.iter().map(|row| (ChartCursor::of(row), row.key.clone())).collect();
    // A row that cannot be read any more.
    let key = keys::row(&of_rows[7].1);
    index.db.put_cf_opt(handle(&index.db, Table::Rows).expect("a table"), key, b"x", &unlogged()).expect("written");
    assert!(index.find(&query, None, 50).is_err());
    let names = index.names(&query, None, 50).expect("names");
    assert_eq!((names.names, names.cursor), (of_rows, whole.cursor));
    assert!(names.cursor.is_some());
}
