//! What the objects of one study can write into the table of keys, and what was written before there were bounds.

use super::*;
use crate::codec::Encoder;
use crate::encode;
use crate::rocks::apply::Mark;
use crate::rocks::cells::StudyCell;
use crate::rocks::read::{Reader, handle};
use crate::rocks::tables::{self, FORMAT, RocksOptions};
use crate::rocks::upgrade::upgrade;
use crate::row::StudyKey;
use model::Uid;
use rocksdb::{DB, WriteBatch};

/// As much as is kept of one value.
const KEPT: usize = 16 << 10;
const WORDED: [AttrKey; 5] = [
    key::PATIENT_NAME,
    key::REFERRING_PHYSICIAN_NAME,
    key::STUDY_DESCRIPTION,
    key::INSTITUTIONAL_DEPARTMENT_NAME,
    key::INSTITUTION_NAME,
];

fn database(folder: &tempfile::TempDir) -> DB {
    tables::open(folder.path(), &RocksOptions::default(), &Table::ALL, FORMAT).expect("opens")
}

/// Different words, as many as are kept.
fn words(word: impl Fn(u32) -> String) -> String {
    let (mut text, mut number) = (String::new(), 0);
    while text.len() < KEPT - 4 {
        text.extend([word(number).as_str(), " "]);
        number += 1;
    }
    text
}

/// Words of one letter: 4,096 of them.
fn letters() -> String {
    words(|number| char::from_u32(0x4e00 + number).map(String::from).expect("a letter"))
}

/// Words of three letters: so many that all of those that are searched lie beside each.
fn syllables() -> String {
    let letter = |number: u32| char::from_digit(10 + number % 26, 36).expect("a letter");
    words(|number| [number / 676, number / 26, number].map(letter).iter().collect())
}

fn cell(text: &str) -> StudyCell {
    let key = StudyKey { facility: FacilityCode::DEMO, study: Uid::parse("1.2.3").expect("a UID"), patient: 0 };
    let mut cell = StudyCell::new(key, 7);
    cell.row.attributes.extend(WORDED.map(|attribute| (attribute, text.to_owned())));
    cell.row.attributes.insert(key::PATIENT_BIRTH_DATE, "19780101".to_owned());
    cell.row.attributes.insert(key::OTHER_PATIENT_IDS, words(|number| format!("{number:x}")).replace(' ', "\\"));
    cell
}

fn encoded(row: &StudyRow) -> Vec<u8> {
    let mut out = Encoder::default();
    encode::put_study(&mut out, row);
    out.bytes
}

#[test]
fn names_without_end_write_a_bounded_number_of_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = database(&folder);
    for text in [letters(), syllables()] {
        let (mut cell, mut batch) = (cell(&text), WriteBatch::default());
        cell.write(&db, 7, &mut batch).expect("writes");
        let beside_the_row = batch.size_in_bytes() - encoded(&cell.row).len();
        assert!(beside_the_row < 64 << 10, "{beside_the_row} bytes of keys");
        let keys = emit(&cell.row);
        for word in name::tokens(&text).iter().take(60) {
            let begin = stream_prefix(9, &ALL, word);
            assert!(keys.iter().any(|(key, _)| key.starts_with(&begin)), "{word}");
        }
        assert!(!is_within_bounds(&cell.row));
        // So much an earlier program wrote.
        let before: usize = unbounded(&cell.row).iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(before > 100 << 20, "{before} bytes");
    }
}

#[test]
fn an_ordinary_study_has_the_keys_it_always_had() {
    for (name, shown) in [("Nguyễn^Văn An", true), ("Yamada^Tarou=山田^太郎=やまだ^たろう", true), ("", false)]
    {
        let mut row = cell("Bệnh viện đa khoa tỉnh").row;
        row.attributes.insert(key::PATIENT_NAME, name.to_owned());
        row.attributes.insert(key::OTHER_PATIENT_IDS, "X1\\Y2".to_owned());
        assert!(is_within_bounds(&row));
        assert_eq!(emit(&row), unbounded(&row));
        let beside = [&19_780_101u32.to_be_bytes()[..], name::fold_names(name).as_bytes()].concat();
        assert_eq!(emit(&row).iter().any(|(_, value)| *value == beside), shown, "{name}");
    }
}

#[test]
fn a_name_that_is_long_lies_beside_no_word_and_the_row_decides() {
    let name: Vec<String> = (0..40).map(|number| format!("Nguyen{number:02}")).collect();
    let row = cell(&name.join(" ")).row;
    let keys = emit(&row);
    let begin = stream_prefix(9, &ALL, "NGUYEN39");
    let (key, value) = keys.iter().find(|(key, _)| key.starts_with(&begin)).expect("a key");
    assert_eq!(value.as_slice(), FacilityCode::DEMO.as_bytes());
    let hint = Hint::read(key, value).expect("a hint");
    assert_eq!((hint.facility(), hint.name), (FacilityCode::DEMO, None));
}

#[test]
fn what_lies_beyond_the_bounds_goes_when_an_older_index_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = database(&folder);
    let mut hostile = cell(&letters()).row;
    hostile.modalities.extend((0..300).map(|number| format!("M{number:03}")));
    hostile.sop_classes.extend((0..300).map(|number| Uid::parse(&format!("1.2.{number}")).expect("a UID")));
    let mut ordinary = StudyRow { first_seq: 8, ..cell("Nguyễn Văn An").row };
    ordinary.attributes.remove(&key::OTHER_PATIENT_IDS);
    for row in [&hostile, &ordinary] {
        let studies = handle(&db, Table::Studies).expect("a table");
        db.put_cf(studies, row.first_seq.to_be_bytes(), encoded(row)).expect("put");
        for (key, value) in unbounded(row) {
            db.put_cf(handle(&db, Table::Keys).expect("a table"), key, value).expect("put");
        }
    }
    upgrade(&db, 4, Mark { applied: 5, max_seq: 8, waits: [u64::MAX; 2] }).expect("upgrades");
    let reader = Reader::new(&db);
    let stored = reader.study(7).expect("reads").expect("a row");
    let mut cut = hostile.clone();
    assert!(cut.cut(), "values of 16 KiB");
    assert_eq!((stored.modalities.len(), stored.sop_classes.len()), (64, 64));
    assert_eq!(stored.attributes, cut.attributes);
    let all = |table, begin: &[u8]| -> Vec<Pair> {
        let run = reader.prefix(table, begin).expect("a run");
        run.collect(usize::MAX, |key, value| Ok((key.to_vec(), value.to_vec()))).expect("reads")
    };
    let mut wanted = [emit(&stored), emit(&ordinary)].concat();
    wanted.sort_unstable();
    assert_eq!(all(Table::Keys, b""), wanted);
    // Where they lay is rewritten with the next destruction: they name the patient.
    let gone = unbounded(&hostile).into_iter().filter(|(key, _)| wanted.iter().all(|(kept, _)| kept != key));
    let noted: Vec<Vec<u8>> = gone.map(|(key, _)| [b"Zg".as_slice(), &key].concat()).collect();
    assert!(noted.len() > 8_000);
    assert_eq!(all(Table::Meta, b"Zg").into_iter().map(|(key, _)| key).collect::<Vec<_>>(), noted);
}
