//! What a search may cost: how many numbers it leads to, and how many bytes are held for one page.
//!
//! A row of a result is kept without the bytes of its documents, of which an answer tells the length alone. A page with too
//! many bytes ends early and goes on behind its last row; what has no pages is refused as too costly.

use super::desk::Desk;
use crate::problem::{Kind, Problem};
use archive::{ChartCursor, ChartPage, ChartQuery};
use model::FacilityCode;
use model::chart::{ChartBody, ChartKind, ChartRow, Content};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Pages of the archive looked through for one answer; then the answer is short and goes on.
const PAGES_MAX: usize = 20;
/// Most numbers of patients, and most studies, that one search leads to.
pub(crate) const NAMED_MAX: usize = 1_000;
/// Most rows that are looked up by their own number for one search: values times facilities.
const LOOKED_UP_MAX: usize = 20_000;
/// Most bytes of rows held for one page; one row more may be held where it alone is longer.
pub(crate) const HELD_MAX: usize = 8 << 20;
/// Most bytes of resources in one answer; a single one may be longer.
pub(crate) const ANSWER_MAX: usize = 32 << 20;

/// The refusal of a search that asks for too much at once.
pub(crate) fn costly(what: impl Into<String>) -> Problem {
    Problem::new(Kind::TooCostly, what).at("query")
}

/// Refuses a search that leads to too many numbers or studies.
pub(crate) fn bounded(named: usize) -> Result<(), Problem> {
    if named <= NAMED_MAX {
        return Ok(());
    }
    Err(costly(format!("it leads to more than {NAMED_MAX} numbers or studies: name fewer")))
}

/// What something takes as JSON.
fn weight(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}

/// A row as it is held.
#[derive(Debug, Clone)]
pub(crate) struct Lean {
    /// The row, its documents without their bytes, a message without its text.
    pub(crate) row: ChartRow,
    /// Lengths of the contents of a result that are documents, by their places.
    pub(crate) sizes: Vec<usize>,
    /// What the row takes.
    bytes: usize,
}

impl Lean {
    /// A row without what is long and not told.
    pub(crate) fn of(mut row: ChartRow) -> Self {
        let mut sizes = Vec::new();
        if let ChartBody::Report(report) = &mut row.body {
            for content in &mut report.contents {
                sizes.push(match content {
                    Content::Document { base64, .. } => decoded(&std::mem::take(base64)),
                    _ => 0,
                });
            }
        }
        // Nor is a message told word by word.
        if let ChartBody::Message(message) = &mut row.body {
            (message.text, message.waiting) = (String::new(), Vec::new());
        }
        let bytes = weight(&row.body);
        Self { row, sizes, bytes }
    }
}

/// Bytes that base64 stands for.
fn decoded(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

/// A page of rows.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Lean>,
    pub(crate) next: Option<ChartCursor>,
}

/// Finds the rows that any of the questions finds and that fit, newest first: at most `limit` of them, after a place.
pub(crate) fn find(
    desk: &Desk,
    queries: &[ChartQuery],
    limit: usize,
    after: Option<ChartCursor>,
    fits: impl Fn(&ChartRow) -> bool,
) -> Result<Page, Problem> {
    bounded(queries.len())?;
    let (mut found, mut bytes) = (Page { rows: Vec::new(), next: after }, 0_usize);
    for _ in 0..PAGES_MAX {
        let (room, bytes_max) = (limit.saturating_sub(found.rows.len()), HELD_MAX.saturating_sub(bytes));
        let mut round = Round { limit: room, bytes_max, rows: Vec::new(), frontier: None, cut: false };
        for query in queries {
            let page = desk.charts().find(&desk.caller, query, found.next, room)?;
            round.take(page, &fits);
        }
        (found.next, bytes) = (round.frontier, bytes.saturating_add(round.bytes()));
        let cut = round.cut || bytes >= HELD_MAX;
        found.rows.extend(round.rows.into_iter().map(|(_, lean)| lean));
        if found.next.is_none() || found.rows.len() >= limit || cut {
            break;
        }
    }
    Ok(found)
}

/// One page of several answers as if they were one: of what comes only so much is kept as the page will have.
struct Round {
    limit: usize,
    bytes_max: usize,
    rows: Vec<(ChartCursor, Lean)>,
    /// Behind the newest place where an answer ended, or was cut, there may be more.
    frontier: Option<ChartCursor>,
    /// Whether it was cut because of its bytes.
    cut: bool,
}

impl Round {
    fn bytes(&self) -> usize {
        self.rows.iter().map(|(_, lean)| lean.bytes).sum()
    }

    fn take(&mut self, page: ChartPage, fits: impl Fn(&ChartRow) -> bool) {
        self.frontier = self.frontier.max(page.cursor);
        let fitting = page.rows.into_iter().filter(|row| fits(row)).map(Lean::of);
        self.rows.extend(fitting.map(|lean| (ChartCursor::of(&lean.row), lean)));
        self.rows.sort_by_key(|(place, _)| Reverse(*place));
        self.rows.dedup_by(|(_, one), (_, other)| one.row.key == other.row.key);
        if let Some(frontier) = self.frontier {
            self.rows.retain(|(place, _)| *place >= frontier);
        }
        let (mut bytes, mut kept) = (0_usize, 0_usize);
        for (_, lean) in self.rows.iter().take(self.limit) {
            bytes = bytes.saturating_add(lean.bytes);
            // One row at least, or no page would ever hold it.
            if kept > 0 && bytes > self.bytes_max {
                self.cut = true;
                break;
            }
            kept = kept.saturating_add(1);
        }
        if kept < self.rows.len() {
            self.rows.truncate(kept);
            self.frontier = self.frontier.max(self.rows.last().map(|(place, _)| *place));
        }
    }
}

/// Rows that are found one by one and told without pages, each once.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    rows: Vec<Lean>,
    bytes: usize,
}

impl Gathered {
    /// Holds a row, too.
    pub(crate) fn add(&mut self, row: ChartRow) -> Result<(), Problem> {
        if self.rows.iter().any(|one| one.row.key == row.key) {
            return Ok(());
        }
        let lean = Lean::of(row);
        self.bytes = self.bytes.saturating_add(lean.bytes);
        self.rows.push(lean);
        if self.rows.len() > 1 && self.bytes > HELD_MAX {
            return Err(costly(format!("what it names takes more than {HELD_MAX} bytes: name fewer")));
        }
        bounded(self.rows.len())
    }

    /// Holds the rows of a kind that have these numbers and fit.
    pub(crate) fn add_named(
        &mut self,
        desk: &Desk,
        kind: ChartKind,
        named: BTreeSet<(FacilityCode, String)>,
        fits: impl Fn(&ChartRow) -> bool,
    ) -> Result<(), Problem> {
        for (facility, number) in named {
            if let Some(row) = desk.row(kind, facility, &number)?.filter(&fits) {
                self.add(row)?;
            }
        }
        Ok(())
    }

    /// Holds the rows of a kind with a number at any facility that the caller may see.
    pub(crate) fn add_numbered(
        &mut self,
        desk: &Desk,
        kind: ChartKind,
        number: &str,
        fits: impl Fn(&ChartRow) -> bool,
    ) -> Result<(), Problem> {
        let named = desk.facilities.keys().map(|facility| (*facility, number.to_owned()));
        self.add_named(desk, kind, named.collect(), fits)
    }

    /// What is held.
    pub(crate) fn page(self) -> Page {
        Page { rows: self.rows, next: None }
    }
}

/// Refuses to look up so many values at every facility.
pub(crate) fn looked_up(desk: &Desk, values: usize) -> Result<(), Problem> {
    if values.saturating_mul(desk.facilities.len()) <= LOOKED_UP_MAX {
        return Ok(());
    }
    let facilities = desk.facilities.len();
    Err(costly(format!("{values} numbers would be looked up at each of {facilities} facilities: name fewer")))
}

/// Resources of one answer, with what they take.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) values: Vec<Value>,
    bytes: usize,
}

impl Told {
    /// Adds a resource; refuses an answer that would be too long.
    pub(crate) fn add(&mut self, value: Value) -> Result<(), Problem> {
        let before = self.bytes;
        self.bytes = before.saturating_add(weight(&value));
        self.values.push(value);
        if before > 0 && self.bytes > ANSWER_MAX {
            return Err(costly(format!(
                "the answer would have more than {ANSWER_MAX} bytes: ask for a smaller _count"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::chart::{ChartKey, Report, ReportStatus};

    /// A result of a moment with a text and a document of so many bytes.
    fn result(at: u64, text: usize, document: usize) -> ChartRow {
        let facility = FacilityCode::parse("56001").expect("a code");
        let report = Report {
            number: format!("KQ-{at}"),
            mrn: "22000017".into(),
            visit: String::new(),
            placer: String::new(),
            accession: String::new(),
            study: None,
            discipline: "imaging".into(),
            title: String::new(),
            author: String::new(),
            status: ReportStatus::Final,
            version: 1,
            contents: vec![
                Content::Text { heading: String::new(), text: "a".repeat(text) },
                Content::Document { media_type: "application/pdf".into(), base64: "AAAA".repeat(document / 3) },
            ],
            at,
        };
        let key = ChartKey::new(ChartKind::Report, facility, &report.number).expect("a key");
        ChartRow { key, lsn: at, created: at, seal: None, body: ChartBody::Report(Box::new(report)) }
    }

    fn round(limit: usize, bytes_max: usize) -> Round {
        Round { limit, bytes_max, rows: Vec::new(), frontier: None, cut: false }
    }

    fn moments(round: &Round) -> Vec<u64> {
        round.rows.iter().map(|(_, lean)| lean.row.body.moment()).collect()
    }

    #[test]
    fn a_document_is_held_by_its_length_alone() {
        let lean = Lean::of(result(1, 10, 3_000_000));
        assert_eq!(lean.sizes, [0, 3_000_000]);
        assert!(lean.bytes < 1_000, "{}", lean.bytes);
        assert_eq!((decoded("JVBERg=="), decoded("JVBE"), decoded("")), (4, 3, 0));
    }

    #[test]
    fn a_page_holds_the_newest_and_goes_on_behind_the_last() {
        let mut one = round(2, HELD_MAX);
        one.take(ChartPage { rows: vec![result(5, 1, 0), result(2, 1, 0)], cursor: None }, |_| true);
        assert_eq!((moments(&one), one.frontier), (vec![5, 2], None));
        // The same row twice counts once; of three that are left over the oldest is for the next page.
        one.take(ChartPage { rows: vec![result(5, 1, 0), result(3, 1, 0)], cursor: None }, |_| true);
        assert_eq!((moments(&one), one.frontier), (vec![5, 3], Some(ChartCursor::of(&result(3, 1, 0)))));
        // Where an answer ended early, nothing older is told before it goes on.
        let cursor = Some(ChartCursor::of(&result(4, 1, 0)));
        one.take(ChartPage { rows: vec![result(4, 1, 0)], cursor }, |row| row.body.moment() != 4);
        assert_eq!((moments(&one), one.frontier), (vec![5], cursor));
    }

    #[test]
    fn a_page_ends_where_its_bytes_do_and_holds_one_row_at_least() {
        let mut one = round(10, 2_000);
        let rows = vec![result(9, 1_000, 0), result(8, 1_000, 0), result(7, 1_000, 0)];
        one.take(ChartPage { rows, cursor: None }, |_| true);
        assert_eq!((moments(&one), one.frontier), (vec![9], Some(ChartCursor::of(&result(9, 1, 0)))));
        let mut long = round(10, 10);
        long.take(ChartPage { rows: vec![result(9, 1_000, 0)], cursor: None }, |_| true);
        assert_eq!((moments(&long), long.frontier), (vec![9], None));
    }

    #[test]
    fn what_has_no_pages_is_refused_beyond_its_bytes() {
        let mut all = Gathered::default();
        all.add(result(1, HELD_MAX / 2, 0)).expect("held");
        all.add(result(1, HELD_MAX / 2, 0)).expect("the same row");
        all.add(result(2, 10, 3_000_000)).expect("held");
        assert_eq!(all.add(result(3, HELD_MAX / 2, 0)).expect_err("too much").kind, Kind::TooCostly);
        assert!(bounded(NAMED_MAX).is_ok() && bounded(NAMED_MAX + 1).is_err());
        let mut told = Told::default();
        told.add(Value::String("a".repeat(ANSWER_MAX))).expect("a single one");
        // What was taken out still counts.
        drop(std::mem::take(&mut told.values));
        assert_eq!(told.add(Value::Null).expect_err("too long").kind, Kind::TooCostly);
    }
}
