//! What charts are found by: rows of patients, visits, orders and the rest, and the tables to find them by.
//!
//! A view of the journal of charts, as [`crate::Index`] is one of the journal of objects: fed in journal order, thrown away
//! and rebuilt at will. [`Charts`] is the domain trait; [`ChartsOracle`] (in memory, obviously right) and [`RocksCharts`]
//! (RocksDB, a database of its own) implement it and are held to the same answers by one conformance suite.
//! Deliberately not here: who may see what, sealing, and what a change means.

use crate::IndexError;
use model::chart::{ChartKey, ChartKind, ChartRow, Term};
use model::{FacilityCode, Lsn};
use std::collections::BTreeSet;

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
    /// Rows with exactly this value, as [`model::chart::term::value`] normalises it.
    Equal(Term, String),
    /// Patients whose folded name has a word that begins with each of these folded words; engines may walk the rarest.
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

/// The place behind the last row of a page: moment and `created`, the newest first. Its text form is opaque and stands in a
/// URL as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChartCursor {
    pub(crate) moment: u64,
    pub(crate) created: Lsn,
}

impl ChartCursor {
    /// The place of a row.
    pub fn of(row: &ChartRow) -> Self {
        Self { moment: row.body.moment(), created: row.created }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, crate::CursorError> {
        let (moment, created) = text.split_once('-').ok_or(crate::CursorError)?;
        let number = |digits: &str| u64::from_str_radix(digits, 16).map_err(|_| crate::CursorError);
        Ok(Self { moment: number(moment)?, created: number(created)? })
    }
}

impl std::fmt::Display for ChartCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{:x}", self.moment, self.created)
    }
}

/// One page of an answer. It may be short, even empty, and still carry a cursor: then the bound on examined keys was met
/// and asking on will find more. Without a cursor the answer is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartPage {
    /// The rows: moment descending, then `created` descending.
    pub rows: Vec<ChartRow>,
    /// Where to go on.
    pub cursor: Option<ChartCursor>,
}

/// What can be found of charts. All calls are synchronous and may be made from any thread; [`Charts::apply`] is for one
/// thread at a time and in journal order.
///
/// Rules that every engine keeps: a row replaces the one of its key whole, with everything it was found by; a row older
/// (by `lsn`) than the one known changes nothing; the order of every answer is moment descending, then `created` descending.
pub trait Charts: Send + Sync {
    /// Applies a batch atomically, and the journal position with it. Applying again changes nothing.
    fn apply(&self, batch: &[ChartEntry], through: Lsn) -> Result<(), IndexError>;

    /// Number of the last record applied; 0 when there is none.
    fn applied(&self) -> Lsn;

    /// Makes everything applied before the call durable and returns a position up to which that holds.
    fn flush(&self) -> Result<Lsn, IndexError>;

    /// One row.
    fn row(&self, key: &ChartKey) -> Result<Option<ChartRow>, IndexError>;

    /// One page of an answer, after the cursor.
    fn find(&self, query: &ChartQuery, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, IndexError>;

    /// Words of patients' names that begin with `prefix`, by how many patients have them, the most frequent first: what a
    /// misspelt word may have meant. Of all facilities; a bound on words examined applies.
    fn words(&self, prefix: &str, limit: usize) -> Result<Vec<(String, u64)>, IndexError>;

    /// Every row by kind, facility and id, after one: for dumps and for moving rows in the journal.
    fn rows(&self, after: Option<&ChartKey>, limit: usize) -> Result<Vec<ChartRow>, IndexError>;

    /// Rewrites files in which something of rows that are gone may stand; gives the bytes written.
    fn purge(&self) -> Result<u64, IndexError>;

    /// Writes everything that can be found, in an order and form that depend on the rows alone: equal for every engine and
    /// after a rebuild.
    fn dump(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), IndexError>;
}
