//! Walking several runs of the table `terms` as one, in the order of answers.

use super::find::Wanted;
use crate::IndexError;
use crate::charts::keys::{self, Entry, Place};
use crate::rocks::read::{Reader, Run, after_prefix};
use crate::rocks::tables::{Table, bad_key};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// A row that may be in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) place: Place,
    /// Its key in the table `rows`; none where it is not in the answer.
    pub(super) row: Option<Vec<u8>>,
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

/// Several runs, each in the order of answers, walked as one. Most of the keys of a name's word are refused by what lies
/// beside them, so nothing is copied before one is accepted.
pub(super) struct Streams<'a> {
    /// Each with the length of its beginning.
    runs: Vec<(Run<'a>, usize)>,
    /// The place on which each run stands.
    heads: BinaryHeap<Reverse<(Place, usize)>>,
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

    /// What a run stands on, and what lies beside it.
    fn here(&self, at: usize) -> Result<Option<(Entry<'_>, &[u8])>, IndexError> {
        let Some((run, start)) = self.runs.get(at) else { return Ok(None) };
        let Some((key, payload)) = run.here()? else { return Ok(None) };
        let entry = keys::entry(key, *start).ok_or_else(|| bad_key(Table::Terms))?;
        Ok(Some((entry, payload)))
    }

    fn refill(&mut self, at: usize) -> Result<(), IndexError> {
        if let Some(place) = self.here(at)?.map(|(entry, _)| entry.place) {
            self.heads.push(Reverse((place, at)));
        }
        Ok(())
    }

    fn step(&mut self, at: usize) -> Result<(), IndexError> {
        self.examined += 1;
        if let Some((run, _)) = self.runs.get_mut(at) {
            run.step();
        }
        self.refill(at)
    }

    /// Whether what a run stands on is in the answer: then the key of its row.
    fn accepted(&self, at: usize, wanted: &Wanted<'_>) -> Result<Option<Vec<u8>>, IndexError> {
        let here = self.here(at)?.filter(|(entry, payload)| wanted.accepts(entry.facility, payload));
        Ok(here.map(|(entry, _)| entry.row()))
    }

    /// The next row; one that stands in several runs comes once.
    fn next(&mut self, wanted: &Wanted<'_>) -> Result<Option<Candidate>, IndexError> {
        let Some(Reverse((place, at))) = self.heads.pop() else { return Ok(None) };
        if self.heads.peek().is_some_and(|Reverse((next, _))| *next == place) {
            return self.together(place, at, wanted).map(Some);
        }
        let row = self.accepted(at, wanted)?;
        self.step(at)?;
        Ok(Some(Candidate { place, row }))
    }

    /// The same where several runs stand on a place: mostly on one row.
    fn together(&mut self, place: Place, first: usize, wanted: &Wanted<'_>) -> Result<Candidate, IndexError> {
        let mut runs = vec![first];
        while let Some(Reverse((next, at))) = self.heads.peek().copied()
            && next == place
        {
            self.heads.pop();
            runs.push(at);
        }
        let row = |at: usize| -> Result<(Vec<u8>, usize), IndexError> {
            Ok((self.here(at)?.map(|(entry, _)| entry.row()).unwrap_or_default(), at))
        };
        let mut rows = runs.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        rows.sort_unstable();
        let least = rows.first().map(|(row, _)| row.clone()).unwrap_or_default();
        let mut candidate = Candidate { place, row: None };
        for (row, at) in rows {
            if row != least {
                self.heads.push(Reverse((place, at)));
                continue;
            }
            candidate.row = self.accepted(at, wanted)?;
            self.step(at)?;
        }
        Ok(candidate)
    }
}

/// Every row of the answer under these beginnings, sorted.
pub(super) fn gather<'a>(
    reader: &Reader<'_>,
    starts: &[Vec<u8>],
    range: (Place, u64),
    wanted: &Wanted<'_>,
) -> Result<Candidates<'a>, IndexError> {
    let (mut found, mut examined) = (BTreeSet::new(), 0);
    for start in starts {
        let mut run = run(reader, start, range)?;
        while let Some((key, payload)) = run.here()? {
            examined += 1;
            let entry = keys::entry(key, start.len()).ok_or_else(|| bad_key(Table::Terms))?;
            if wanted.accepts(entry.facility, payload) {
                found.insert((entry.place, entry.row()));
            }
            run.step();
        }
    }
    let list: Vec<Candidate> = found.into_iter().map(|(place, row)| Candidate { place, row: Some(row) }).collect();
    Ok(Candidates::List(list.into_iter(), examined))
}
