//! Walking several runs of the table `terms` as one, in the order of answers.

use super::find::Wanted;
use crate::IndexError;
use crate::charts::keys::{self, Place};
use crate::rocks::read::{Reader, Run, after_prefix};
use crate::rocks::tables::{Table, bad_key};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A row that may be in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// Its key in the table `rows`.
    pub(super) row: Vec<u8>,
    pub(super) accepted: bool,
}

/// Where candidates come from: a merge of runs, or a list already sorted, with the keys looked at for it.
pub(super) enum Candidates<'a> {
    Runs(Streams<'a>),
    List(std::vec::IntoIter<Candidate>, usize),
}

impl Candidates<'_> {
    pub(super) fn next(&mut self, wanted: &Wanted<'_>) -> Result<Option<Candidate>, IndexError> {
        match self {
            Self::Runs(streams) => streams.next(wanted),
            Self::List(list, _) => Ok(list.next()),
        }
    }

    /// Keys looked at so far; those of a list were looked at before the first row.
    pub(super) fn examined(&self) -> usize {
        match self {
            Self::Runs(streams) => streams.examined,
            Self::List(_, examined) => *examined,
        }
    }
}

/// The keys that begin so, from a place on and down to a moment.
fn run<'a>(reader: &'a Reader<'_>, start: &[u8], range: (Place, u64)) -> Result<Run<'a>, IndexError> {
    let (begin, oldest) = range;
    let before = match (!oldest).checked_add(1) {
        Some(next) => Some([start, &next.to_be_bytes()].concat()),
        None => after_prefix(start),
    };
    reader.run(Table::Terms, &[start, &begin.bytes()].concat(), before)
}

/// Several runs, each in the order of answers, walked as one.
pub(super) struct Streams<'a> {
    /// Each with the length of its beginning.
    runs: Vec<(Run<'a>, usize)>,
    heads: BinaryHeap<Reverse<(Place, Vec<u8>, usize)>>,
    examined: usize,
}

impl<'a> Streams<'a> {
    /// Opens the runs that begin so, from a place on and down to a moment.
    pub(super) fn open(reader: &'a Reader<'_>, starts: &[Vec<u8>], range: (Place, u64)) -> Result<Self, IndexError> {
        let mut streams = Self { runs: Vec::new(), heads: BinaryHeap::new(), examined: 0 };
        for start in starts {
            streams.runs.push((run(reader, start, range)?, start.len()));
            streams.refill(streams.runs.len() - 1)?;
        }
        Ok(streams)
    }

    fn refill(&mut self, at: usize) -> Result<(), IndexError> {
        if let Some((run, start)) = self.runs.get(at)
            && let Some((key, _)) = run.here()?
        {
            let (place, row) = keys::entry(key, *start).ok_or_else(|| bad_key(Table::Terms))?;
            self.heads.push(Reverse((place, row, at)));
        }
        Ok(())
    }

    /// The next row; one that stands in several runs comes once.
    fn next(&mut self, wanted: &Wanted<'_>) -> Result<Option<Candidate>, IndexError> {
        let Some(Reverse((place, row, mut at))) = self.heads.pop() else { return Ok(None) };
        let accepted = match self.runs.get(at).map(|(run, _)| run.here()).transpose()?.flatten() {
            Some((_, payload)) => wanted.accepts(&row, payload),
            None => false,
        };
        loop {
            self.examined += 1;
            if let Some((run, _)) = self.runs.get_mut(at) {
                run.step();
            }
            self.refill(at)?;
            match self.heads.peek() {
                Some(Reverse((same, other, next))) if *same == place && *other == row => at = *next,
                _ => return Ok(Some(Candidate { place, row, accepted })),
            }
            self.heads.pop();
        }
    }
}

/// Every row of the answer under these beginnings, sorted.
pub(super) fn gather<'a>(
    reader: &Reader<'_>,
    starts: &[Vec<u8>],
    range: (Place, u64),
    wanted: &Wanted<'_>,
) -> Result<Candidates<'a>, IndexError> {
    let (mut found, mut examined) = (BTreeMap::new(), 0);
    for start in starts {
        let mut run = run(reader, start, range)?;
        while let Some((key, payload)) = run.here()? {
            examined += 1;
            let (place, row) = keys::entry(key, start.len()).ok_or_else(|| bad_key(Table::Terms))?;
            if wanted.accepts(&row, payload) {
                found.insert((place, row), ());
            }
            run.step();
        }
    }
    let candidate = |((place, row), ())| Candidate { place, row, accepted: true };
    let list: Vec<Candidate> = found.into_iter().map(candidate).collect();
    Ok(Candidates::List(list.into_iter(), examined))
}
