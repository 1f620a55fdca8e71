//! What a question may cost, and that an answer says when it was cut.

use super::*;
use crate::charts::{ChartCursor, ChartEntry, ChartNames, ChartPage, RocksCharts};
use crate::{IndexError, RocksOptions};
use model::Lsn;
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
