//! Finding patients by whatever is at hand: a name as it was written somewhere, a number of any kind, a scanned card.
//!
//! A question costs a bounded number of keys looked at, whatever is asked; an answer says when that bound was met.
//! Numbers and whole names are exact keys, the year of birth with them, so a misspelt name is a few dozen keys: those of
//! the names it may have been, by words that somebody has. Of a whole day of birth all who were born on it are looked at.
//! Only where these find too few, parts of names are walked: by the rarest word, or by the year of birth when that is more.
//! Deliberately not here: what a text asks for ([`model::chart::asked`]), who may ask, and who is one person.

mod born;
#[cfg(test)]
mod tests;
mod words;

use super::{ChartDriver, ChartQuery, Charts, ROW_COST};
use crate::IndexError;
use model::FacilityCode;
use model::chart::asked::{Asked, written};
use model::chart::identifier::{NumberKind, insurance_tail, kind_of};
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Patient, Term, term};
use model::name;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most rows of an answer.
const LIMIT_MAX: usize = 100;
/// Rows with one name that are read to find those written alike.
const ALIKE_MAX: usize = 600;
/// Rows read of one number, or of parts of a name.
const ROWS_MAX: usize = 200;
/// Digits at the end of a personal number by which somebody is looked for.
const TAIL: usize = 4;
/// Rows read of such digits beside a name: of three million persons some 300 have the same.
const TAIL_ROWS_MAX: usize = 1_000;
/// Merges followed from a number.
const MERGES_MAX: usize = 256;
/// Questions about parts of names that may have been meant.
const PARTS_MAX: usize = 6;
/// Patients of names that may have been meant; then the less likely ones are not looked for.
const NEAR_MAX: usize = 400;
/// Keys looked at for one answer, a row counting as several.
const KEYS_MAX: usize = 200_000;
/// Keys looked at of these for parts of the name as asked, and for those of each that may have been meant.
const PART_KEYS_MAX: usize = 40_000;
const MEANT_KEYS_MAX: usize = 10_000;

/// Why a patient is in an answer; the better reasons first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A number of the patient's, and the name where one was asked for.
    Number,
    /// The name as written, with its marks.
    Written,
    /// The name without its marks, in any order of its words.
    Name,
    /// A number of the patient's, and another name.
    NumberOnly,
    /// A part of the name.
    Part,
    /// A name that differs by one letter, or by those that were lost.
    Near,
}

/// A patient of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Why it is in it.
    pub why: Why,
    /// The patient.
    pub row: ChartRow,
}

/// The patients that a question may mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The likeliest first.
    pub hits: Vec<Hit>,
    /// Whether not all that may fit was looked at: more words, a year of birth or a number narrow the question.
    pub cut: bool,
}

/// Patients found so far, each by its best reason.
#[derive(Default)]
struct Hits(BTreeMap<ChartKey, Hit>);

impl Hits {
    fn add(&mut self, why: Why, row: ChartRow) {
        match self.0.get_mut(&row.key) {
            Some(known) => known.why = known.why.min(why),
            None => {
                self.0.insert(row.key.clone(), Hit { why, row });
            }
        }
    }

    fn count(&self, why: Why) -> usize {
        self.0.values().filter(|hit| hit.why <= why).count()
    }

    fn ranked(self, asked: &Asked, limit: usize) -> Vec<Hit> {
        let mut hits: Vec<Hit> = self.0.into_values().collect();
        hits.sort_by_cached_key(|hit| {
            (is_late(asked, hit), hit.why, misses(asked, &hit.row), Reverse(hit.row.body.moment()), hit.row.key.clone())
        });
        hits.truncate(limit);
        hits
    }
}

fn why(hits: &[Hit]) -> Option<Why> {
    hits.iter().map(|hit| hit.why).min()
}

/// Whether another day of birth is asked for than a patient's, or it is not known: one who was born on that day and is
/// called nearly so is likelier than many others of the name. A number says more than a day.
fn is_late(asked: &Asked, hit: &Hit) -> bool {
    let born = patient(&hit.row).and_then(|patient| patient.birth).and_then(BirthDate::whole);
    hit.why > Why::Number && asked.day.is_some_and(|day| born != Some(day))
}

fn patient(row: &ChartRow) -> Option<&Patient> {
    match &row.body {
        ChartBody::Patient(patient) => Some(patient),
        _ => None,
    }
}

/// How far a patient is from what was asked beside the reason it was found by: another year; a day that is not known, or
/// another; words that were not asked for or are only begun, words with other marks.
fn misses(asked: &Asked, row: &ChartRow) -> (bool, u8, usize, usize) {
    let Some(patient) = patient(row) else { return (true, 2, usize::MAX, 0) };
    let other_year = asked.year.is_some_and(|year| patient.birth.is_none_or(|birth| birth.year() != year));
    let other_day = asked.day.map_or(0, |day| match patient.birth.map(BirthDate::whole) {
        Some(Some(known)) => {
            if known == day {
                0
            } else {
                2
            }
        }
        _ => 1,
    });
    let known = name::tokens(&patient.name);
    let begun = asked.words.iter().filter(|word| !known.contains(word)).count();
    let own = written(&patient.name);
    let otherwise = asked.written.iter().filter(|word| !own.contains(word)).count();
    let more = known.len().saturating_sub(asked.words.len());
    (other_year, other_day, begun.saturating_mul(2).saturating_add(more), otherwise)
}

/// A question of the facilities that may be asked.
pub struct Search<'a> {
    view: &'a dyn Charts,
    facilities: Option<BTreeSet<FacilityCode>>,
    /// Keys that may still be looked at.
    left: Cell<usize>,
    /// Whether something that may fit was not looked at.
    cut: Cell<bool>,
}

impl std::fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

impl<'a> Search<'a> {
    /// One of these facilities; none: of all.
    pub fn new(view: &'a dyn Charts, facilities: Option<BTreeSet<FacilityCode>>) -> Self {
        Self { view, facilities, left: Cell::new(KEYS_MAX), cut: Cell::new(false) }
    }

    /// The same within another number of keys looked at.
    #[must_use]
    pub fn within(self, keys: usize) -> Self {
        Self { left: Cell::new(keys), ..self }
    }

    /// Patients that a text may mean, the likeliest first; of several readings of it the first that means anybody.
    /// Names as written come first, then those that differ in marks or the order of words, then parts, then typing errors.
    ///
    /// # Errors
    /// Those of the index.
    pub fn patients(&self, readings: &[String], limit: usize) -> Result<Answer, IndexError> {
        let limit = limit.clamp(1, LIMIT_MAX);
        if self.facilities.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(Answer::default());
        }
        let mut best = Vec::new();
        for text in readings {
            let asked = Asked::parse(text);
            let mut hits = self.search(&asked, limit)?;
            if hits.is_empty() && asked.year.is_some() && !asked.words.is_empty() {
                // Years of birth are often wrong.
                hits = self.search(&Asked { year: None, day: None, ..asked.clone() }, limit)?;
            }
            if why(&hits).is_some_and(|why| why <= Why::NumberOnly) {
                best = hits;
                break;
            }
            if best.is_empty() || why(&hits).is_some_and(|better| why(&best).is_some_and(|known| better < known)) {
                best = hits;
            }
        }
        Ok(Answer { hits: best, cut: self.cut.get() })
    }

    fn search(&self, asked: &Asked, limit: usize) -> Result<Vec<Hit>, IndexError> {
        let mut hits = Hits::default();
        // Four digits are hundreds of people: whole numbers come first, so that these cost them nothing.
        let (tails, whole): (Vec<_>, Vec<_>) = asked.numbers.iter().partition(|number| number.len() == TAIL);
        for number in whole.into_iter().chain(tails) {
            self.by_number(asked, number, &mut hits)?;
        }
        if !asked.words.is_empty() && hits.count(Why::Number) == 0 {
            self.by_name(asked, limit, &mut hits)?;
        }
        Ok(hits.ranked(asked, limit))
    }

    /// Patients with a number, of whatever kind it may be.
    fn by_number(&self, asked: &Asked, number: &str, hits: &mut Hits) -> Result<(), IndexError> {
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let mut terms = vec![(Term::Mrn, number.to_owned()), (Term::Card, number.to_owned())];
        match (kind_of(number), number.len()) {
            (NumberKind::National, _) => terms.push((Term::National, number.to_owned())),
            (_, TAIL) if digits => terms.push((Term::NationalTail, number.to_owned())),
            _ => {}
        }
        terms.push((Term::Insurance, insurance_tail(number).unwrap_or_else(|| number.to_owned())));
        if digits && number.len() >= 8 {
            terms.push((Term::Phone, number.to_owned()));
        }
        // What it looks like first: that is one run of keys, whatever is left for others.
        let own = match kind_of(number) {
            NumberKind::National => Term::National,
            NumberKind::OldCard => Term::Card,
            NumberKind::InsuranceCard | NumberKind::SocialInsurance => Term::Insurance,
            NumberKind::Unknown => Term::Mrn,
        };
        terms.sort_by_key(|(by, _)| *by != own);
        for (by, value) in terms {
            let named = by == Term::NationalTail && !asked.words.is_empty();
            for row in self.equal(ChartKind::Patient, (by, &value), if named { TAIL_ROWS_MAX } else { ROWS_MAX })? {
                self.add_numbered(asked, row, hits)?;
            }
        }
        for row in self.equal(ChartKind::Order, (Term::Accession, number), ROWS_MAX)? {
            let Some(mrn) = row.body.mrn() else { continue };
            if let Ok(key) = ChartKey::new(ChartKind::Patient, row.key.facility, mrn)
                && let Some(row) = self.row(&key)?
            {
                self.add_numbered(asked, row, hits)?;
            }
        }
        Ok(())
    }

    /// A patient with a number that was asked for, or the one it was merged into.
    fn add_numbered(&self, asked: &Asked, mut row: ChartRow, hits: &mut Hits) -> Result<(), IndexError> {
        for _ in 0..MERGES_MAX {
            let Some(stays) = patient(&row).and_then(|patient| patient.merged_into.clone()) else { break };
            let key = ChartKey::new(ChartKind::Patient, row.key.facility, &stays).ok();
            match key.map(|key| self.row(&key)).transpose()?.flatten() {
                Some(found) => row = found,
                None => return Ok(()),
            }
        }
        let known = patient(&row).map(|patient| name::tokens(&patient.name)).unwrap_or_default();
        let named = asked.words.iter().all(|word| known.iter().any(|known| known.starts_with(word.as_str())));
        hits.add(if named { Why::Number } else { Why::NumberOnly }, row);
        Ok(())
    }

    fn by_name(&self, asked: &Asked, limit: usize, hits: &mut Hits) -> Result<(), IndexError> {
        let lost = asked.words.iter().any(|word| word.contains('?'));
        let named = self.by_day(asked, hits)?;
        if !lost {
            // Without marks all who have the name are alike.
            let marked = asked.written.iter().any(|word| !word.is_ascii());
            let most = if marked || asked.day.is_some() { ALIKE_MAX } else { limit };
            for row in self.whole(asked, &asked.words, most)? {
                let why = if is_written(asked, &row) { Why::Written } else { Why::Name };
                hits.add(why, row);
            }
            if !named && hits.count(Why::Name) < limit {
                for row in self.by_parts(asked)? {
                    hits.add(part_of(asked, &row), row);
                }
            }
        }
        if named || hits.count(Why::Part) >= limit {
            return Ok(());
        }
        let meant = self.meant(&asked.words)?;
        let before = hits.count(Why::Near);
        for words in &meant {
            for row in self.whole(asked, words, limit)? {
                hits.add(Why::Near, row);
            }
            if hits.count(Why::Near) >= before + NEAR_MAX {
                break;
            }
        }
        if hits.count(Why::Near) == 0 { self.by_less(asked, &meant, limit, hits) } else { Ok(()) }
    }

    /// Nobody has the whole name: parts of what may have been meant, then the name without one of its words.
    fn by_less(&self, asked: &Asked, meant: &[Vec<String>], limit: usize, hits: &mut Hits) -> Result<(), IndexError> {
        for words in meant.iter().take(PARTS_MAX) {
            for row in self.page(&self.of_parts(asked, words), limit, MEANT_KEYS_MAX)? {
                hits.add(Why::Near, row);
            }
        }
        if hits.count(Why::Near) > 0 || asked.words.len() <= 2 {
            return Ok(());
        }
        for left_out in (0..asked.words.len()).take(PARTS_MAX) {
            let mut words = asked.words.clone();
            words.remove(left_out);
            if words.iter().all(|word| !word.contains('?')) {
                for row in self.whole(asked, &words, limit)? {
                    hits.add(Why::Near, row);
                }
            }
        }
        Ok(())
    }

    /// Patients with exactly these words as their name; with a year those born then or nobody knows when.
    fn whole(&self, asked: &Asked, words: &[String], most: usize) -> Result<Vec<ChartRow>, IndexError> {
        let years = asked.year.map_or_else(|| vec![None], |year| vec![Some(year), Some(0)]);
        let mut rows = Vec::new();
        for year in years {
            rows.extend(self.equal(ChartKind::Patient, (Term::Whole, &term::whole(words, year)), most)?);
        }
        Ok(rows)
    }

    /// The question for patients of whose name these are parts or beginnings.
    fn of_parts(&self, asked: &Asked, words: &[String]) -> ChartQuery {
        ChartQuery {
            kind: ChartKind::Patient,
            facilities: self.facilities.clone(),
            driver: ChartDriver::Words(words.to_vec()),
            moments: None,
            years: asked.year.map(|year| (year, year)),
        }
    }

    /// Rows with a value.
    fn equal(&self, kind: ChartKind, (by, value): (Term, &str), most: usize) -> Result<Vec<ChartRow>, IndexError> {
        let value = term::value(value);
        if value.is_empty() {
            return Ok(Vec::new());
        }
        let driver = ChartDriver::Equal(by, value);
        let query = ChartQuery { kind, facilities: self.facilities.clone(), driver, moments: None, years: None };
        self.page(&query, most, KEYS_MAX)
    }

    /// One page, since a question costs what it may; what would stand on the next is not looked at.
    fn page(&self, query: &ChartQuery, most: usize, keys: usize) -> Result<Vec<ChartRow>, IndexError> {
        let (rows, more) = self.looked(query, most, keys)?;
        self.cut.set(self.cut.get() || more);
        Ok(rows)
    }

    /// The same, and whether something would stand on the next.
    fn looked(&self, query: &ChartQuery, most: usize, keys: usize) -> Result<(Vec<ChartRow>, bool), IndexError> {
        let Some(left) = self.left() else { return Ok((Vec::new(), false)) };
        let (page, cost) = self.view.find_within(query, None, most, keys.min(left))?;
        self.spend(cost);
        Ok((page.rows, page.cursor.is_some()))
    }

    fn row(&self, key: &ChartKey) -> Result<Option<ChartRow>, IndexError> {
        if self.left().is_none() {
            return Ok(None);
        }
        self.spend(ROW_COST);
        self.view.row(key)
    }

    /// Words that begin so; without any left there are none.
    fn words(&self, prefix: &str, most: usize) -> Result<Vec<(String, u64)>, IndexError> {
        if self.left().is_none() {
            return Ok(Vec::new());
        }
        let words = self.view.words(prefix, most)?;
        self.spend(words.len().saturating_add(ROW_COST));
        Ok(words)
    }

    /// Keys that may still be looked at; where there are none, the answer is cut.
    fn left(&self) -> Option<usize> {
        let left = self.left.get();
        self.cut.set(self.cut.get() || left == 0);
        (left > 0).then_some(left)
    }

    fn spend(&self, keys: usize) {
        self.left.set(self.left.get().saturating_sub(keys));
    }
}

/// Whether a name is written as it was asked for.
fn is_written(asked: &Asked, row: &ChartRow) -> bool {
    let mut own = patient(row).map(|patient| written(&patient.name)).unwrap_or_default();
    let mut theirs = asked.written.clone();
    own.sort_unstable();
    theirs.sort_unstable();
    own == theirs
}

fn part_of(asked: &Asked, row: &ChartRow) -> Why {
    let Some(patient) = patient(row) else { return Why::Part };
    let year = asked.year.is_none_or(|year| patient.birth.map(BirthDate::year).is_none_or(|known| known == year));
    let known = name::tokens(&patient.name);
    let same = known.len() == asked.words.len() && known.iter().all(|word| asked.words.contains(word));
    if year && same { Why::Name } else { Why::Part }
}
