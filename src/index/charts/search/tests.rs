//! What a question may cost, that an answer says when it was cut, and who is found whatever the bounds.

use super::*;
use crate::charts::{BornPage, BornQuery, ChartCursor, ChartEntry, ChartNames, ChartPage, RocksCharts};
use crate::{IndexError, RocksOptions};
use model::Lsn;
use model::chart::Identifiers;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An index that counts what it is asked for, in keys.
struct Counted {
    index: RocksCharts,
    keys: AtomicUsize,
}

impl Counted {
    fn add(&self, keys: usize) {
        self.keys.fetch_add(keys, Ordering::Relaxed);
    }

    /// The answer within so many keys, and what it cost.
    fn ask(&self, text: &str, keys: usize) -> (Answer, usize) {
        self.keys.store(0, Ordering::Relaxed);
        let search = Search::new(self, None).within(keys);
        let answer = search.patients(&[text.to_owned()], 20).expect("an answer");
        (answer, self.keys.load(Ordering::Relaxed))
    }
}

impl Charts for Counted {
    fn apply(&self, batch: &[ChartEntry], through: Lsn) -> Result<(), IndexError> {
        self.index.apply(batch, through)
    }

    fn applied(&self) -> Lsn {
        self.index.applied()
    }

    fn flush(&self) -> Result<Lsn, IndexError> {
        self.index.flush()
    }

    fn row(&self, key: &ChartKey) -> Result<Option<ChartRow>, IndexError> {
        self.add(ROW_COST);
        self.index.row(key)
    }

    fn find(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, IndexError> {
        self.index.find(query, after, limit)
    }

    fn find_within(
        &self,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
        keys: usize,
    ) -> Result<(ChartPage, usize), IndexError> {
        let (page, cost) = self.index.find_within(query, after, limit, keys)?;
        self.add(cost);
        Ok((page, cost))
    }

    fn born(&self, query: &BornQuery, limit: usize, keys: usize) -> Result<(BornPage, usize), IndexError> {
        let (page, cost) = self.index.born(query, limit, keys)?;
        self.add(cost);
        Ok((page, cost))
    }

    fn names(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartNames, IndexError> {
        self.index.names(query, after, limit)
    }

    fn words(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, IndexError> {
        let words = self.index.words(prefix, limit)?;
        self.add(words.len());
        Ok(words)
    }

    fn rows(&self, after: Option<&ChartKey>, limit: usize) -> Result<Vec<ChartRow>, IndexError> {
        self.index.rows(after, limit)
    }

    fn purge(&self) -> Result<u64, IndexError> {
        self.index.purge()
    }

    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError> {
        self.index.dump(out)
    }
}

/// 5,000 patients with some 1,300 given names, of whom one is called An.
fn filled(folder: &Path) -> Counted {
    let index = RocksCharts::open(folder, RocksOptions::default()).expect("open");
    let patient = |number: u64| {
        let letters = ["B", "C", "D", "H", "L", "M", "T"];
        let letter = letters[usize::try_from(number % 7).expect("small")];
        let name = match number {
            2_500 => "Nguyễn Văn An".to_owned(),
            _ => format!("Nguyễn Văn {letter}A{:03}X", number % 190),
        };
        let key = ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, &format!("{number:06}")).expect("a name");
        let (mrn, birth) = (key.id.clone(), BirthDate::parse(&(1950 + number % 60).to_string()).ok());
        let body = ChartBody::Patient(Box::new(Patient { mrn, name, birth, ..Patient::default() }));
        ChartEntry::Put(Box::new(ChartRow { key, lsn: number, created: number, seal: None, body }))
    };
    index.apply(&(1..=5_000).map(patient).collect::<Vec<_>>(), 5_000).expect("apply");
    Counted { index, keys: AtomicUsize::new(0) }
}

#[test]
fn a_question_of_twelve_words_costs_what_it_may_and_says_that_it_was_cut() {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path());
    let text = "nguyem vam ba ca da ha la ma ta tam hah lac 1978";
    let (answer, whole) = index.ask(text, usize::MAX);
    assert!(whole > 12_000, "{whole} keys: the question tells nothing");
    let (cut, cost) = index.ask(text, 3_000);
    // The last look may go over it by the words it compares and the runs it begins.
    assert!(cut.cut && cost < 3_000 + 5_000, "{cost} of {whole} keys");
    assert!(cut.hits.len() <= answer.hits.len());
    assert_eq!(index.ask(text, 0), (Answer { hits: Vec::new(), cut: true }, 0));
}

#[test]
fn an_answer_that_has_everybody_is_not_cut() {
    let folder = tempfile::tempdir().expect("folder");
    let index = filled(folder.path());
    for (text, cut, hits) in [
        ("NGUYEN VAN AN", false, 1),
        ("Nguyễn Văn An 1990", false, 1),
        ("002500", false, 1),
        ("Lý Tiểu Long", false, 0),
        // More than are read.
        ("NGUYEN VAN", true, 20),
    ] {
        let (answer, cost) = index.ask(text, KEYS_MAX);
        assert_eq!((answer.cut, answer.hits.len()), (cut, hits), "{text}: {cost} keys");
        assert!(cost < 10_000, "{text}: {cost} keys");
    }
}

/// Patients by number, the highest the newest.
fn crowd(folder: &Path, patients: impl Iterator<Item = Patient>) -> Counted {
    let index = RocksCharts::open(folder, RocksOptions::default()).expect("open");
    let put = |(number, patient): (u64, Patient)| {
        let mrn = format!("{number:06}");
        let key = ChartKey::new(ChartKind::Patient, FacilityCode::DEMO, &mrn).expect("a name");
        let body = ChartBody::Patient(Box::new(Patient { mrn, changed: number, ..patient }));
        ChartEntry::Put(Box::new(ChartRow { key, lsn: number, created: number, seal: None, body }))
    };
    let batch: Vec<ChartEntry> = (1..).zip(patients).map(put).collect();
    let through = u64::try_from(batch.len()).expect("few");
    index.apply(&batch, through).expect("apply");
    Counted { index, keys: AtomicUsize::new(0) }
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.row.key.id.as_str()).collect()
}

#[test]
fn a_day_of_birth_finds_one_of_a_thousand_with_the_name_and_the_year() {
    let folder = tempfile::tempdir().expect("folder");
    let born = |number: u64| match number {
        1 => "19781231".to_owned(),
        2 => "19781230".to_owned(),
        _ => format!("1978{:02}{:02}", number % 12 + 1, number % 28 + 1),
    };
    let patients = (1..=1_000).map(|number| Patient {
        name: if number == 2 { "NGUYEN THI HUOGN" } else { "Nguyễn Thị Hương" }.into(),
        birth: BirthDate::parse(&born(number)).ok(),
        sex: model::chart::Sex::Female,
        ..Patient::default()
    });
    let index = crowd(folder.path(), patients);
    let (answer, _) = index.ask("NGUYEN THI HUONG 1978", KEYS_MAX);
    assert!(answer.hits.len() == 20 && !ids(&answer).contains(&"000001"), "the year does: the test tells nothing");
    for (text, why) in [
        ("NGUYEN THI HUONG 31/12/1978", Why::Name),
        ("huong thi nguyen 31121978", Why::Name),
        ("Nguyễn Thị Hương 1978-12-31", Why::Written),
        ("999178000017|225000001|Nguyễn Thị Hương|31121978|Nữ|Tổ 1|01012021", Why::Written),
    ] {
        let (answer, cost) = index.ask(text, KEYS_MAX);
        let first = answer.hits.first().map(|hit| (hit.row.key.id.as_str(), hit.why));
        assert_eq!(first, Some(("000001", why)), "{text}");
        assert!(cost < 12_000, "{text}: {cost} keys");
    }
    for (text, why) in [("nguyen huong 31/12/1978", Why::Part), ("NGUY?N TH? H??NG 31/12/1978", Why::Near)] {
        let first = index.ask(text, KEYS_MAX).0.hits.first().map(|hit| (hit.row.key.id.clone(), hit.why));
        assert_eq!(first, Some(("000001".to_owned(), why)), "{text}");
    }
    let (answer, _) = index.ask("NGUYEM THI HUONG 31/12/1978", KEYS_MAX);
    assert_eq!((ids(&answer).first(), answer.hits.first().map(|hit| hit.why)), (Some(&"000001"), Some(Why::Near)));
    // Somebody recorded with an error on that day is likelier than all who have the name on another.
    let (answer, _) = index.ask("Nguyễn Thị Hường 30/12/1978", KEYS_MAX);
    let first: Vec<_> = answer.hits.iter().map(|hit| (hit.row.key.id.as_str(), hit.why)).take(3).collect();
    assert_eq!(first, [("000002", Why::Near), ("001000", Why::Name), ("000999", Why::Name)]);
    // Two errors are another name.
    assert!(!ids(&index.ask("NGUYEM TXI HUONG 31/12/1978", KEYS_MAX).0).contains(&"000001"));
}

#[test]
fn a_year_is_walked_where_the_rarest_word_has_too_many_keys() {
    let folder = tempfile::tempdir().expect("folder");
    let patients = (1..=10_300u64).map(|number| Patient {
        name: "Nguyễn Văn Hùng".into(),
        birth: match number {
            1 => BirthDate::parse("1948").ok(),
            2 => None,
            _ => BirthDate::parse(&(1950 + number % 60).to_string()).ok(),
        },
        ..Patient::default()
    });
    let index = crowd(folder.path(), patients);
    let (answer, cost) = index.ask("hung nguyen 1948", KEYS_MAX);
    assert_eq!((ids(&answer), answer.cut), (vec!["000001", "000002"], false), "{cost} keys");
    // Where not even the year can be walked whole, the answer says so.
    let (answer, _) = index.ask("hung nguyen 1951", 10_100);
    assert!(answer.cut);
}

#[test]
fn a_number_is_found_by_what_it_looks_like_within_one_run_of_keys() {
    let folder = tempfile::tempdir().expect("folder");
    let ids_of = |national: &str, card: &str, insurance: &str| Identifiers {
        national: Some(national.into()),
        old_card: Some(card.into()),
        insurance: vec![insurance.into()],
        ..Identifiers::default()
    };
    let numbers = [
        ids_of("056078000017", "225000001", "DN4560123456789"),
        ids_of("056078000018", "225000002", "DN4560123456790"),
    ];
    let index = crowd(folder.path(), numbers.into_iter().map(|ids| Patient { ids, ..Patient::default() }));
    for text in ["056078000017", "225000001", "DN4560123456789", "HN1560123456789", "0123456789", "000001"] {
        // One run, one row.
        let (answer, _) = index.ask(text, 2 * ROW_COST);
        assert_eq!(ids(&answer), ["000001"], "{text}");
        assert!(answer.cut, "{text}: nothing was left for other kinds");
        let (answer, _) = index.ask(text, KEYS_MAX);
        assert_eq!((ids(&answer), answer.cut), (vec!["000001"], false), "{text}");
    }
    // A scanned card whose new number, or old one, is known, of somebody who is called otherwise.
    for numbers in ["056078000017|225000009", "056078000099|225000001", "056078000017|"] {
        let (answer, _) = index.ask(&format!("{numbers}|Lê Văn Khác|05031978|Nam|Tổ 1|01012021"), KEYS_MAX);
        let found: Vec<_> = answer.hits.iter().map(|hit| (hit.row.key.id.as_str(), hit.why)).collect();
        assert_eq!(found, [("000001", Why::NumberOnly)], "{numbers}");
    }
    // Digits that many have in common, before it in the text, take nothing from it; both as one number are five runs.
    let (answer, cost) = index.ask("0018 225000001", 7 * ROW_COST);
    assert_eq!(ids(&answer), ["000001"], "{cost} keys");
}

#[test]
fn the_last_four_digits_and_the_name_find_one_of_three_hundred() {
    let folder = tempfile::tempdir().expect("folder");
    let patients = (1..=300u64).map(|number| Patient {
        name: if number == 1 { "Lê Thị Mai" } else { "Nguyễn Văn Hùng" }.into(),
        ids: Identifiers { national: Some(format!("{number:03}078000017")), ..Identifiers::default() },
        ..Patient::default()
    });
    let index = crowd(folder.path(), patients);
    for text in ["0017 Lê Thị Mai", "mai 0017"] {
        let (answer, _) = index.ask(text, KEYS_MAX);
        let first = answer.hits.first().map(|hit| (hit.row.key.id.as_str(), hit.why));
        assert_eq!((first, answer.cut), (Some(("000001", Why::Number)), false), "{text}");
    }
    let (answer, _) = index.ask("0017", KEYS_MAX);
    assert!(answer.cut && answer.hits.len() == 20, "more have the digits than are read");
}

#[test]
fn a_typing_error_or_lost_letters_find_whoever_is_called_so() {
    let folder = tempfile::tempdir().expect("folder");
    let born = |year: &str| BirthDate::parse(year).ok();
    let people = [("Nguyễn Văn An", born("1978")), ("Trần Thị Hoà", born("1980"))];
    let people = people.map(|(name, birth)| Patient { name: name.into(), birth, ..Patient::default() });
    let index = crowd(folder.path(), people.into_iter());
    for (text, why) in [
        ("NGUYEM VAN AN", Why::Near),
        ("NGUYN VAN AN", Why::Near),
        ("NGUYENN VAN AN", Why::Near),
        ("NGYUEN VAN AN", Why::Near),
        ("MGUYEN VAN AN", Why::Near),
        ("GUYEN VAN AN", Why::Near),
        ("ANGUYEN VAN AN", Why::Near),
        ("NGUYEM VAN AN 1978", Why::Near),
        ("NGUY?N V?N AN", Why::Near),
        ("NGUYEN VAN XUAN AN", Why::Near),
        ("NGUYEN VAN AN 1979", Why::Name),
    ] {
        let (answer, _) = index.ask(text, KEYS_MAX);
        let found: Vec<_> = answer.hits.iter().map(|hit| (hit.row.key.id.as_str(), hit.why)).collect();
        assert_eq!((found, answer.cut), (vec![("000001", why)], false), "{text}");
    }
    assert_eq!(index.ask("NGUYEM VAM AN", KEYS_MAX).0, Answer::default(), "two errors are another name");
}
