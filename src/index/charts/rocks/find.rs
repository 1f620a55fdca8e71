//! Answering a question page by page: keys are walked in the order of answers, rows are read for the page alone.
//!
//! Of the words of a name the one that fewest patients have drives: its keys are walked, the other words and the year
//! of birth are told by what lies beside each key. A beginning that thousands of common words share drives nothing;
//! when every word asked for is one, all patients are walked, the newest first, and the page is soon full.

use super::rows::Stored;
use super::streams::{Candidates, Streams, gather};
use crate::IndexError;
use crate::charts::keys::{self, ALL, Place};
use crate::charts::{ChartCursor, ChartDriver, ChartNames, ChartPage, ChartQuery, ROW_COST};
use crate::rocks::read::Reader;
use crate::rocks::tables::{Table, bad_key, number};
use model::FacilityCode;
use model::chart::{ChartKey, ChartKind, ChartRow, Term};
use model::name::GROUP;
use std::collections::BTreeSet;

/// Keys looked at for one page; what then stands on it is a short page.
pub(super) const EXAMINED_MAX: usize = 50_000;
/// More runs than this are not walked at once.
const RUNS_MAX: usize = 64;
/// More keys than this are not gathered and sorted.
const GATHER_MAX: u64 = 20_000;
/// A beginning that more words share drives nothing.
const EXPANDED_MAX: usize = 512;
/// Words of a question that are looked up to find the rarest.
const DRIVERS_MAX: usize = 8;
/// What beginning to walk a run costs, in keys.
const RUN_COST: usize = 16;

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cost {
    /// Keys of terms looked at.
    pub(super) keys: usize,
    /// Rows read.
    pub(super) rows: usize,
    /// Words looked at to find the rarest.
    pub(super) words: usize,
    /// Runs of keys begun.
    pub(super) runs: usize,
}

impl Cost {
    /// All of it, in keys.
    pub(super) fn whole(self) -> usize {
        let read = self.rows.saturating_mul(ROW_COST).saturating_add(self.runs.saturating_mul(RUN_COST));
        self.keys.saturating_add(self.words).saturating_add(read)
    }
}

/// What a key and what lies beside it must say.
pub(super) struct Wanted<'a> {
    facilities: Option<BTreeSet<[u8; 5]>>,
    /// Beginnings of words of the name.
    words: Option<Vec<&'a str>>,
    years: Option<(u16, u16)>,
}

impl<'a> Wanted<'a> {
    fn of(query: &'a ChartQuery) -> Self {
        let facilities = query.facilities.as_ref();
        let words = match &query.driver {
            ChartDriver::Equal(..) => None,
            ChartDriver::Words(words) => {
                Some(words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect())
            }
        };
        Self {
            facilities: facilities.map(|codes| codes.iter().map(|code| *code.as_bytes()).collect()),
            words,
            years: query.years,
        }
    }

    /// Whether a row of this facility with this beside its key is in the answer.
    pub(super) fn accepts(&self, facility: &[u8; 5], payload: &[u8]) -> bool {
        let seen = self.facilities.as_ref().is_none_or(|wanted| wanted.contains(facility));
        seen && self.words.as_ref().is_none_or(|words| self.is_named(words, payload))
    }

    fn is_named(&self, words: &[&str], payload: &[u8]) -> bool {
        // A patient who was merged away has no name beside the keys.
        let Some((year, folded)) = payload.split_first_chunk::<2>() else { return false };
        let (year, folded) = (u16::from_be_bytes(*year), std::str::from_utf8(folded).unwrap_or_default());
        let born = self.years.is_none_or(|(from, to)| year == 0 || (from..=to).contains(&year));
        let begins = |word: &&str| folded.split([' ', GROUP]).any(|known| known.starts_with(*word));
        born && words.iter().all(begins)
    }
}

/// Words that begin so, and how many patients have them.
type Expanded = (u64, Vec<Vec<u8>>);

/// What is walked.
enum Walk {
    /// Nothing can be in the answer.
    Nothing,
    /// Runs with these beginnings, merged.
    Runs(Vec<Vec<u8>>),
    /// Few keys under many beginnings.
    Gathered(Vec<Vec<u8>>),
}

/// Answers one page.
pub(super) fn find(
    reader: &Reader<'_>,
    query: &ChartQuery,
    after: Option<ChartCursor>,
    limit: usize,
    examined_max: usize,
) -> Result<(ChartPage, Cost), IndexError> {
    let mut rows = Vec::new();
    let (cursor, mut cost) = page(reader, query, after, (limit, examined_max), |_, key| {
        rows.push(row(reader, key)?);
        Ok(())
    })?;
    cost.rows = rows.len();
    Ok((ChartPage { rows, cursor }, cost))
}

/// One page of the names of rows, none of which is read.
pub(super) fn names(
    reader: &Reader<'_>,
    query: &ChartQuery,
    after: Option<ChartCursor>,
    limit: usize,
) -> Result<ChartNames, IndexError> {
    let mut names = Vec::new();
    let (cursor, _) = page(reader, query, after, (limit, EXAMINED_MAX), |place, key| {
        names.push((place.cursor(), named(key)?));
        Ok(())
    })?;
    Ok(ChartNames { names, cursor })
}

/// Gives place and key of each row of one page, and where to go on.
fn page(
    reader: &Reader<'_>,
    query: &ChartQuery,
    after: Option<ChartCursor>,
    (limit, examined_max): (usize, usize),
    mut take: impl FnMut(Place, &[u8]) -> Result<(), IndexError>,
) -> Result<(Option<ChartCursor>, Cost), IndexError> {
    let mut cost = Cost::default();
    let (oldest, newest) = query.moments.unwrap_or((0, u64::MAX));
    let begin = match after.map(|after| Place::from(after).next()) {
        None => Some(Place::begin(newest)),
        Some(behind) => behind.map(|behind| behind.max(Place::begin(newest))),
    };
    let (Some(begin), true) = (begin, oldest <= newest) else { return Ok((None, cost)) };
    let wanted = Wanted::of(query);
    let range = (begin, oldest);
    let walk = walk(reader, query, &wanted, (examined_max, &mut cost.words))?;
    let (Walk::Runs(starts) | Walk::Gathered(starts)) = &walk else { return Ok((None, cost)) };
    cost.runs = starts.len();
    let mut candidates = match walk {
        Walk::Gathered(_) => gather(reader, starts, range, &wanted)?,
        _ => Candidates::Runs(Streams::open(reader, starts, range)?),
    };
    let (mut taken, mut cursor) = (0, None);
    let mut last: Option<Place> = None;
    while let Some(candidate) = candidates.next(&wanted)? {
        let full = taken >= limit.max(1) || candidates.examined() > examined_max;
        // Rows that no cursor tells apart stand on one page.
        if let Some(last) = last.filter(|last| full && *last != candidate.place) {
            cursor = Some(last.cursor());
            break;
        }
        last = Some(candidate.place);
        if let Some(key) = &candidate.row {
            take(candidate.place, key)?;
            taken += 1;
        }
    }
    cost.keys = candidates.examined();
    Ok((cursor, cost))
}

fn named(key: &[u8]) -> Result<ChartKey, IndexError> {
    keys::row_name(key).ok_or_else(|| bad_key(Table::Terms))
}

pub(super) fn row(reader: &Reader<'_>, key: &[u8]) -> Result<ChartRow, IndexError> {
    let name = named(key)?;
    let stored = reader.get(Table::Rows, key, |bytes| Stored::decode(name, bytes))?;
    let missing = IndexError::Damaged { table: Table::Terms.name(), what: "a key names no row" };
    stored.map(|stored| stored.row).ok_or(missing)
}

fn walk(
    reader: &Reader<'_>,
    query: &ChartQuery,
    wanted: &Wanted<'_>,
    (examined_max, looked): (usize, &mut usize),
) -> Result<Walk, IndexError> {
    if query.facilities.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(Walk::Nothing);
    }
    let starts = |term, values: &[Vec<u8>]| starts(query, term, values);
    match (&query.driver, &wanted.words) {
        (ChartDriver::Equal(term, value), _) => Ok(Walk::Runs(starts(*term, &[keys::value(value).into_bytes()]))),
        (ChartDriver::Words(_), Some(words)) if query.kind == ChartKind::Patient && !words.is_empty() => {
            let gathered_max = GATHER_MAX.min(u64::try_from(examined_max).unwrap_or(u64::MAX));
            match rarest(reader, words, gathered_max, looked)? {
                Some(known) if known.is_empty() => Ok(Walk::Nothing),
                Some(known) if known.len() <= RUNS_MAX => Ok(Walk::Runs(starts(Term::NameWord, &known))),
                Some(known) => Ok(Walk::Gathered(starts(Term::NameWord, &known))),
                None => Ok(Walk::Runs(starts(Term::Any, &[Vec::new()]))),
            }
        }
        (ChartDriver::Words(_), _) => Ok(Walk::Nothing),
    }
}

/// The beginnings of the keys of these values: under each facility where that is not too many, else under all.
fn starts(query: &ChartQuery, term: Term, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let few = |codes: &&BTreeSet<FacilityCode>| codes.len().saturating_mul(values.len()) <= RUNS_MAX;
    let codes = query.facilities.as_ref().filter(|_| keys::by_facility(term.code())).filter(few);
    let scopes = codes.map_or_else(|| vec![ALL], |codes| codes.iter().map(|code| *code.as_bytes()).collect());
    let of_scope = |scope: &[u8; 5]| {
        let start = |value: &Vec<u8>| keys::start(query.kind.code(), term.code(), scope, value);
        values.iter().map(start).collect::<Vec<_>>()
    };
    scopes.iter().flat_map(of_scope).collect()
}

/// The words that begin as the rarest of those asked for does; none when each is too common. What many words share is
/// gathered, so that must not be too many keys.
fn rarest(
    reader: &Reader<'_>,
    words: &[&str],
    gathered_max: u64,
    looked: &mut usize,
) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
    let mut best: Option<Expanded> = None;
    for word in words.iter().take(DRIVERS_MAX) {
        let Some((total, known)) = expanded(reader, word, looked)? else { continue };
        let walked = known.len() <= RUNS_MAX || total <= gathered_max;
        if walked && best.as_ref().is_none_or(|(least, _)| total < *least) {
            best = Some((total, known));
        }
    }
    Ok(best.map(|(_, known)| known))
}

/// The words that begin so, and how many patients have them; none when these are too many words.
fn expanded(reader: &Reader<'_>, word: &str, looked: &mut usize) -> Result<Option<Expanded>, IndexError> {
    let mut run = reader.prefix(Table::Words, keys::value(word).as_bytes())?;
    let (mut total, mut known) = (0u64, Vec::new());
    while let Some((key, value)) = run.here()? {
        if known.len() == EXPANDED_MAX {
            return Ok(None);
        }
        *looked += 1;
        total = total.saturating_add(number(Table::Words, value)?);
        known.push(key.to_vec());
        run.step();
    }
    Ok(Some((total, known)))
}
