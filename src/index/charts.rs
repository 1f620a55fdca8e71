//! What charts are found by: rows of patients, visits, orders and the rest, and the tables to find them by.
//!
//! A view of the journal of charts, as [`crate::Index`] is one of the journal of objects: fed in journal order, thrown away
//! and rebuilt at will. [`Charts`] is the domain trait; [`ChartsOracle`] (in memory, obviously right) and [`RocksCharts`]
//! (RocksDB, a database of its own) implement it and are held to the same answers by one conformance suite.
//! Deliberately not here: who may see what, sealing, and what a change means.

mod born;
mod keys;
mod oracle;
mod rocks;
mod search;

pub use born::{Born, BornPage, BornQuery};
pub use oracle::ChartsOracle;
pub use rocks::RocksCharts;
pub use search::{Answer, Hit, Search, Why};

use crate::IndexError;
use model::chart::{ChartKey, ChartKind, ChartRow, Term};
use model::{FacilityCode, Lsn};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Words that [`Charts::words`] looks at, in alphabetical order.
pub(crate) const WORDS_EXAMINED_MAX: usize = 20_000;
/// What reading a row costs, in keys looked at.
pub(crate) const ROW_COST: usize = 16;

/// One change of the view.
#[derive(Debug, Clone, PartialEq)]
pub enum ChartEntry {
    /// The row is this from now on.
    Put(Box<ChartRow>),
    /// There is no such row any more, and nothing of it may be left after the next [`Charts::purge`].
    Gone(ChartKey),
}

/// What drives a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartDriver {
    /// Rows with exactly this value, as [`model::chart::term::value`] normalises it; bytes of zero do not count.
    Equal(Term, String),
    /// Patients whose folded name has a word that begins with each of these folded words; engines may walk the rarest.
    /// Without a word nothing is found, nor is it of rows that are no patients.
    Words(Vec<String>),
}

/// A question: rows of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartQuery {
    /// Kind.
    pub kind: ChartKind,
    /// Facilities; none: all.
    pub facilities: Option<BTreeSet<FacilityCode>>,
    /// What drives it.
    pub driver: ChartDriver,
    /// Moments ([`model::chart::ChartBody::moment`]) from and to, both included, milliseconds since 1970 UTC.
    pub moments: Option<(u64, u64)>,
    /// Birth years from and to, both included, of [`ChartDriver::Words`]; a patient whose year is unknown matches.
    pub years: Option<(u16, u16)>,
}

/// The place behind the last row of a page: moment and `created`, the newest first, and for rows of one record and moment a
/// number made of their names. Its text form is opaque and stands in a URL as it is. The greater one comes first in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChartCursor {
    pub(crate) moment: u64,
    pub(crate) created: Lsn,
    /// Tells apart what one record brought; see [`tie`].
    pub(crate) tie: u32,
}

impl ChartCursor {
    /// The place of a row.
    pub fn of(row: &ChartRow) -> Self {
        Self { moment: row.body.moment(), created: row.created, tie: tie(&row.key) }
    }

    /// The moment, milliseconds since 1970 UTC.
    pub fn moment(self) -> u64 {
        self.moment
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, crate::CursorError> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16));
        let mut next = || parts.next().and_then(Result::ok).ok_or(crate::CursorError);
        let (moment, created) = (next()?, next()?);
        let tie = u32::try_from(next()?).map_err(|_| crate::CursorError)?;
        if parts.next().is_none() { Ok(Self { moment, created, tie }) } else { Err(crate::CursorError) }
    }
}

/// A number made of a row's facility and id alone: one record can bring several rows of a kind, with one moment. Where
/// even these numbers are equal, the rows stand on one page.
pub(crate) fn tie(key: &ChartKey) -> u32 {
    let digest = Sha256::new().chain_update(key.facility.as_bytes()).chain_update(&key.id).finalize();
    digest.first_chunk::<4>().map_or(0, |first| u32::from_be_bytes(*first))
}

impl Ord for ChartCursor {
    /// As rows stand in answers: the newest is the greatest, and of those of one record the one with the least number.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.moment, self.created, Reverse(self.tie)).cmp(&(other.moment, other.created, Reverse(other.tie)))
    }
}

impl PartialOrd for ChartCursor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for ChartCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.moment, self.created, self.tie)
    }
}

/// Refuses a row that says something else than its name does.
pub(crate) fn fits(row: &ChartRow) -> Result<(), IndexError> {
    if row.key.kind == row.body.kind() {
        return Ok(());
    }
    Err(IndexError::Unfit { lsn: row.lsn, what: "a row of one kind under the name of another" })
}

/// One page of an answer. It may be short, even empty, and still carry a cursor: then the bound on examined keys was met
/// and asking on may find more. Without a cursor the answer is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartPage {
    /// The rows: moment descending, then `created` descending, then by [`ChartCursor`].
    pub rows: Vec<ChartRow>,
    /// Where to go on.
    pub cursor: Option<ChartCursor>,
}

/// The same of rows that are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartNames {
    /// Place and name of each row, in the order of [`ChartPage::rows`].
    pub names: Vec<(ChartCursor, ChartKey)>,
    /// Where to go on.
    pub cursor: Option<ChartCursor>,
}

/// What can be found of charts. All calls are synchronous and may be made from any thread; [`Charts::apply`] is for one
/// thread at a time and in journal order.
///
/// Rules that every engine keeps: a row replaces the one of its key whole, with everything it was found by; a row older
/// (by `lsn`) than the one known changes nothing; the order of every answer is moment descending, then `created` descending,
/// then by a number made of the row's name.
pub trait Charts: Send + Sync {
    /// Applies a batch atomically, and the journal position with it. Applying again changes nothing: a batch whose
    /// `through` lies before [`Charts::applied`] is passed over, and of one at or behind it the last word of each row counts.
    fn apply(&self, batch: &[ChartEntry], through: Lsn) -> Result<(), IndexError>;

    /// Number of the last record applied; 0 when there is none.
    fn applied(&self) -> Lsn;

    /// Makes everything applied before the call durable and returns a position up to which that holds.
    fn flush(&self) -> Result<Lsn, IndexError>;

    /// One row.
    fn row(&self, key: &ChartKey) -> Result<Option<ChartRow>, IndexError>;

    /// One page of an answer, after the cursor.
    fn find(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, IndexError>;

    /// The same within a number of keys looked at, each row that is read counting as several; gives how many it took, which
    /// are a few more where a page ends between rows that nothing tells apart, or where words had to be compared first.
    fn find_within(
        &self,
        query: &ChartQuery,
        after: Option<ChartCursor>,
        limit: usize,
        keys: usize,
    ) -> Result<(ChartPage, usize), IndexError>;

    /// Patients born at a time, at most so many, within a number of keys looked at; gives how many it took, as
    /// [`Charts::find_within`] does. Keys lie by names: which patients were looked at where keys were too few is chance.
    fn born(&self, query: &BornQuery, limit: usize, keys: usize) -> Result<(BornPage, usize), IndexError>;

    /// The names of the rows that [`Charts::find`] gives, of which none is read: they cost the same however long rows are.
    fn names(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartNames, IndexError>;

    /// Words of patients' names that begin with `prefix`, by how many patients have them, the most frequent first: what a
    /// misspelt word may have meant. Of all facilities; a bound on words examined applies.
    fn words(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, IndexError>;

    /// Every row by kind, facility and id, after one: for dumps and for moving rows in the journal.
    fn rows(&self, after: Option<&ChartKey>, limit: usize) -> Result<Vec<ChartRow>, IndexError>;

    /// Rewrites files in which something of rows that are gone may stand; gives the bytes written.
    fn purge(&self) -> Result<u64, IndexError>;

    /// Writes everything that can be found, in an order and form that depend on the rows alone: equal for every engine and
    /// after a rebuild from the journal of charts. First every row as JSON by kind, facility and id, then every key by which
    /// rows are found with what lies beside it, then every word with its count; the position is left out. A row's `lsn`,
    /// `created` and seal are in it: a row that is recorded again to release a segment has the new number in either index.
    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError>;
}
