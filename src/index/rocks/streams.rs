//! Walking several runs of the table `keys` as one, in the order of answers.

use super::keys::{self, Hint, Place};
use super::read::{Reader, Run};
use super::tables::Table;
use crate::plan::{Plan, Word};
use crate::position::Position;
use crate::{Driver, IndexError};
use model::attribute::key;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// More runs than this are not walked at once.
const RUNS_MAX: usize = 64;
/// More keys than this are not gathered and sorted.
const GATHER_MAX: usize = 20_000;
/// Keys looked at to tell how common a word is.
const PROBE: usize = 64;

/// A candidate of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) position: Position,
    /// Whether the key alone tells that the study is not in the answer.
    pub(super) refused: bool,
}

/// Where candidates come from: a merge of runs, or a list already sorted.
pub(super) enum Candidates<'a> {
    Runs(Streams<'a>),
    List(std::vec::IntoIter<Position>),
}

impl Candidates<'_> {
    pub(super) fn next(&mut self, plan: &Plan) -> Result<Option<Candidate>, IndexError> {
        match self {
            Self::Runs(streams) => streams.next(plan),
            Self::List(list) => Ok(list.next().map(|position| Candidate { position, refused: false })),
        }
    }
}

/// Several runs, each in the order of answers, walked as one.
pub(super) struct Streams<'a> {
    runs: Vec<Run<'a>>,
    heads: BinaryHeap<Reverse<(Position, usize)>>,
}

impl<'a> Streams<'a> {
    /// Opens the runs that begin so, from a position on, inside the plan's dates.
    fn open(
        reader: &'a Reader<'_>,
        plan: &Plan,
        beginnings: &[Vec<u8>],
        from: Option<Position>,
    ) -> Result<Self, IndexError> {
        let (oldest, newest) = plan.dates.unwrap_or((0, u32::MAX));
        let first = Position { date: !newest, time: 0, study: 0 };
        let first = from.map_or(first, |from| from.max(first));
        let mut streams = Self { runs: Vec::new(), heads: BinaryHeap::new() };
        for beginning in beginnings {
            // Tails are 16 bytes: 13 bytes of ones lie behind every tail of the oldest date.
            let before = [beginning.as_slice(), &(!oldest).to_be_bytes(), &[0xff; 13]].concat();
            let start = [
                beginning.as_slice(),
                &first.date.to_be_bytes(),
                &first.time.to_be_bytes(),
                &first.study.to_be_bytes(),
            ];
            let run = reader.run(Table::Keys, &start.concat(), Some(before))?;
            streams.runs.push(run);
            streams.refill(streams.runs.len() - 1)?;
        }
        Ok(streams)
    }

    fn refill(&mut self, at: usize) -> Result<(), IndexError> {
        if let Some(run) = self.runs.get(at)
            && let Some((key, _)) = run.here()?
        {
            self.heads.push(Reverse((keys::split(key)?.1, at)));
        }
        Ok(())
    }

    /// The next study; one that stands in several runs comes once.
    fn next(&mut self, plan: &Plan) -> Result<Option<Candidate>, IndexError> {
        let Some(Reverse((position, mut at))) = self.heads.pop() else { return Ok(None) };
        let refused = match self.runs.get(at).map(Run::here).transpose()?.flatten() {
            Some((key, value)) => Hint::read(key, value).is_some_and(|hint| refuses(plan, &hint)),
            None => false,
        };
        loop {
            if let Some(run) = self.runs.get_mut(at) {
                run.step();
            }
            self.refill(at)?;
            match self.heads.peek() {
                Some(Reverse((same, other))) if *same == position => at = *other,
                _ => return Ok(Some(Candidate { position, refused })),
            }
            self.heads.pop();
        }
    }
}

fn refuses(plan: &Plan, hint: &Hint<'_>) -> bool {
    !plan.sees(hint.facility()) || !plan.study.iter().all(|check| hint.allows(check, plan.fuzzy))
}

/// The candidates of a plan that is driven by a key, from a position on.
pub(super) fn candidates<'a>(
    reader: &'a Reader<'_>,
    plan: &Plan,
    from: Option<Position>,
) -> Result<Candidates<'a>, IndexError> {
    let facilities = plan.facilities.as_deref();
    let narrow = match &plan.driver {
        Driver::Values(attribute, values) => exact(reader, plan, Place::of(*attribute, facilities), values, from)?,
        Driver::Prefix(attribute, text) => gather(reader, plan, Place::of(*attribute, facilities), text, from)?,
        Driver::Words(attribute, words) => rarest(reader, plan, Place::of(*attribute, facilities), words, from)?,
        Driver::Dates | Driver::Studies(_) | Driver::Series(_) | Driver::Instances(_) => None,
    };
    match narrow {
        Some(candidates) => Ok(candidates),
        None => {
            let dates = Place::of(key::STUDY_DATE, facilities).map(|place| place.streams("")).unwrap_or_default();
            Streams::open(reader, plan, &dates, from).map(Candidates::Runs)
        }
    }
}

fn exact<'a>(
    reader: &'a Reader<'_>,
    plan: &Plan,
    place: Option<Place>,
    values: &[String],
    from: Option<Position>,
) -> Result<Option<Candidates<'a>>, IndexError> {
    let Some(place) = place else { return Ok(None) };
    let distinct: BTreeSet<&String> = values.iter().collect();
    let beginnings: Vec<_> = distinct.iter().flat_map(|value| place.streams(value)).collect();
    if beginnings.len() > RUNS_MAX {
        return Ok(None);
    }
    Streams::open(reader, plan, &beginnings, from).map(|streams| Some(Candidates::Runs(streams)))
}

/// Every study whose value begins so, sorted; none when there are too many to gather.
fn gather<'a>(
    reader: &Reader<'_>,
    plan: &Plan,
    place: Option<Place>,
    text: &str,
    from: Option<Position>,
) -> Result<Option<Candidates<'a>>, IndexError> {
    let Some(place) = place else { return Ok(None) };
    let (oldest, newest) = plan.dates.unwrap_or((0, u32::MAX));
    let dates = !newest..=!oldest;
    let mut found = BTreeSet::new();
    let mut seen = 0usize;
    for beginning in place.prefixes(text) {
        let mut run = reader.prefix(Table::Keys, &beginning)?;
        while let Some((key, value)) = run.here()? {
            seen += 1;
            if seen > GATHER_MAX {
                return Ok(None);
            }
            let (_, position) = keys::split(key)?;
            let wanted = dates.contains(&position.date) && from.is_none_or(|from| position >= from);
            if wanted && !Hint::read(key, value).is_some_and(|hint| refuses(plan, &hint)) {
                found.insert(position);
            }
            run.step();
        }
    }
    Ok(Some(Candidates::List(found.into_iter().collect::<Vec<_>>().into_iter())))
}

/// The studies that have the word that is expected to be the rarest; none when every word is too common to walk.
fn rarest<'a>(
    reader: &'a Reader<'_>,
    plan: &Plan,
    place: Option<Place>,
    words: &[Word],
    from: Option<Position>,
) -> Result<Option<Candidates<'a>>, IndexError> {
    let Some(place) = place else { return Ok(None) };
    let mut best: Option<(Rarity, Vec<Vec<u8>>)> = None;
    for word in words {
        let Some(beginnings) = runs_of(reader, &place, word)? else { continue };
        if words.len() == 1 {
            best = Some((Rarity::Keys(0), beginnings));
            break;
        }
        let rarity = probe(reader, plan, &beginnings, from)?;
        if best.as_ref().is_none_or(|(known, _)| rarity < *known) {
            best = Some((rarity, beginnings));
        }
    }
    let Some((_, beginnings)) = best else { return Ok(None) };
    Streams::open(reader, plan, &beginnings, from).map(|streams| Some(Candidates::Runs(streams)))
}

/// How common a word is; the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rarity {
    /// So many keys in all.
    Keys(usize),
    /// Newest studies reach back this far: the farther, the rarer.
    Reaches(Reverse<Position>),
}

fn probe(
    reader: &Reader<'_>,
    plan: &Plan,
    beginnings: &[Vec<u8>],
    from: Option<Position>,
) -> Result<Rarity, IndexError> {
    let mut streams = Streams::open(reader, plan, beginnings, from)?;
    let mut last = None;
    for seen in 0..PROBE {
        match streams.next(plan)? {
            Some(candidate) => last = Some(candidate.position),
            None => return Ok(Rarity::Keys(seen)),
        }
    }
    Ok(last.map_or(Rarity::Keys(0), |position| Rarity::Reaches(Reverse(position))))
}

/// The runs of a word, or of every word that begins so; none when these are too many.
fn runs_of(reader: &Reader<'_>, place: &Place, word: &Word) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
    if !word.prefix {
        return Ok(Some(place.streams(&word.text)));
    }
    let mut beginnings = Vec::new();
    for prefix in place.prefixes(&word.text) {
        let mut run = reader.prefix(Table::Keys, &prefix)?;
        while let Some((key, _)) = run.here()? {
            if beginnings.len() == RUNS_MAX {
                return Ok(None);
            }
            let beginning = keys::split(key)?.0.to_vec();
            // Behind all tails of this word.
            run.seek(&[beginning.as_slice(), &[0xff; 17]].concat());
            beginnings.push(beginning);
        }
    }
    Ok(Some(beginnings))
}
