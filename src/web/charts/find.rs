//! Pages of rows: driven by one value or several, filtered, newest first, with a cursor to go on.
//!
//! Rows of kinds that may be long are told one by one, so that an answer takes the memory of a page and of one row.

use super::bad;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::{ChartError, Charts, LONG_PAGE_MAX, PAGE_BYTES};
use archive::{ChartCursor, ChartDriver, ChartQuery};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Content, Term, term};
use model::{Caller, FacilityCode};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Rows of a page when the request names no limit.
const LIMIT_DEFAULT: usize = 100;
/// Most rows of a page.
const LIMIT_MAX: usize = 1_000;
/// Pages of the archive looked through for one answer; then the answer is short and goes on.
const PAGES_MAX: usize = 20;
/// Most bytes of long rows that are read for one answer, one after the other; then, too, it is short and goes on.
const READ_MAX: usize = PAGES_MAX * PAGE_BYTES;

/// Which page is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    pub(crate) limit: usize,
    pub(crate) after: Option<ChartCursor>,
}

impl Paging {
    /// Of the parameters `limit` and `cursor`.
    pub(crate) fn of(call: &Call) -> Result<Self, Problem> {
        let after = call.query_value("cursor").map(cursor).transpose()?;
        Ok(Self { limit: limit(call)?, after })
    }
}

/// The parameter `limit`.
pub(crate) fn limit(call: &Call) -> Result<usize, Problem> {
    match call.query_value("limit").map(str::parse::<usize>) {
        None => Ok(LIMIT_DEFAULT),
        Some(Ok(limit)) if limit > 0 => Ok(limit.min(LIMIT_MAX)),
        Some(_) => Err(bad("limit", "limit takes a whole number from 1")),
    }
}

/// The text of an earlier answer's `next`.
pub(crate) fn cursor(text: &str) -> Result<ChartCursor, Problem> {
    ChartCursor::parse(text).map_err(|_| bad("cursor", "cursor takes the text of a previous answer's next"))
}

/// A page as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) rows: Vec<ChartRow>,
    pub(crate) next: Option<ChartCursor>,
}

impl Found {
    /// As it is answered: the rows under a name, and `next` where there are more.
    pub(crate) fn shown(&self, name: &str, show: impl Fn(&ChartRow) -> Value) -> Value {
        let mut view = json!({ name: self.rows.iter().map(show).collect::<Vec<_>>() });
        if let (Some(object), Some(next)) = (view.as_object_mut(), self.next) {
            object.insert("next".into(), next.to_string().into());
        }
        view
    }
}

/// A page whose rows are told already.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) rows: Vec<Value>,
    pub(crate) next: Option<ChartCursor>,
}

impl Told {
    /// As it is answered: the rows under a name, and `next` where there are more.
    pub(crate) fn shown(self, name: &str) -> Value {
        let mut view = json!({ name: self.rows });
        if let (Some(object), Some(next)) = (view.as_object_mut(), self.next) {
            object.insert("next".into(), next.to_string().into());
        }
        view
    }
}

/// A question about one facility by one value.
pub(crate) fn equal(kind: ChartKind, facility: FacilityCode, by: Term, value: &str) -> ChartQuery {
    ChartQuery {
        kind,
        facilities: Some(BTreeSet::from([facility])),
        driver: ChartDriver::Equal(by, term::value(value)),
        moments: None,
        years: None,
    }
}

/// One page of the rows that any of the questions finds and that fit.
pub(crate) fn rows(
    charts: &Charts,
    caller: &Caller,
    queries: &[ChartQuery],
    paging: Paging,
    fits: impl Fn(&ChartRow) -> bool,
) -> Result<Found, ChartError> {
    let (mut rows, mut after) = (Vec::new(), paging.after);
    for _ in 0..PAGES_MAX {
        let (mut page, next) = merged(charts, caller, queries, after, paging.limit)?;
        page.retain(&fits);
        let room = paging.limit.saturating_sub(rows.len());
        if page.len() > room {
            page.truncate(room);
            let next = page.last().map(ChartCursor::of);
            rows.append(&mut page);
            return Ok(Found { rows, next });
        }
        rows.append(&mut page);
        after = next;
        if after.is_none() || rows.len() >= paging.limit {
            break;
        }
    }
    Ok(Found { rows, next: after })
}

/// One page of the rows of a kind that may be long, as they are told. Places come from keys alone, what stands on the page
/// is read row by row, and it ends with the row that makes it so many, or so long.
pub(crate) fn told(
    charts: &Charts,
    caller: &Caller,
    queries: &[ChartQuery],
    paging: Paging,
    (fits, show): (impl Fn(&ChartRow) -> bool, impl Fn(&ChartRow) -> Value),
) -> Result<Told, ChartError> {
    let (mut told, mut bytes, mut read) = (Told { rows: Vec::new(), next: paging.after }, 0_usize, 0_usize);
    for _ in 0..PAGES_MAX {
        let (names, next) = named(charts, caller, queries, told.next, paging.limit.min(LONG_PAGE_MAX))?;
        let full =
            |rows: usize, bytes: usize, read: usize| rows >= paging.limit || bytes >= PAGE_BYTES || read >= READ_MAX;
        for (place, key) in names {
            // Rows of one place are not told apart by where to go on.
            if full(told.rows.len(), bytes, read) && told.next != Some(place) {
                return Ok(told);
            }
            told.next = Some(place);
            let Some(row) = charts.get(caller, &key)? else { continue };
            read = read.saturating_add(weight(&row));
            if fits(&row) {
                let view = show(&row);
                bytes = bytes.saturating_add(view.to_string().len());
                told.rows.push(view);
            }
        }
        told.next = next;
        if next.is_none() || full(told.rows.len(), bytes, read) {
            break;
        }
    }
    Ok(told)
}

/// What is long of a row.
fn weight(row: &ChartRow) -> usize {
    match &row.body {
        ChartBody::Message(message) => message.text.len(),
        ChartBody::Report(report) => {
            let long = |content: &Content| match content {
                Content::Text { text, .. } => text.len(),
                Content::Document { base64, .. } => base64.len(),
                Content::Pointer { url } => url.len(),
            };
            report.contents.iter().map(long).sum()
        }
        _ => 0,
    }
}

/// One page of several answers as if they were one.
fn merged(
    charts: &Charts,
    caller: &Caller,
    queries: &[ChartQuery],
    after: Option<ChartCursor>,
    limit: usize,
) -> Result<(Vec<ChartRow>, Option<ChartCursor>), ChartError> {
    let mut pages = Vec::new();
    for query in queries {
        let page = charts.find(caller, query, after, limit)?;
        pages.push((page.rows, page.cursor));
    }
    Ok(joined(pages, limit, |row| (ChartCursor::of(row), &row.key)))
}

/// Places and names, and where the next page begins.
type Named = (Vec<(ChartCursor, ChartKey)>, Option<ChartCursor>);

/// The same of places and names alone.
fn named(
    charts: &Charts,
    caller: &Caller,
    queries: &[ChartQuery],
    after: Option<ChartCursor>,
    limit: usize,
) -> Result<Named, ChartError> {
    let mut pages = Vec::new();
    for query in queries {
        let page = charts.names(caller, query, after, limit)?;
        pages.push((page.names, page.cursor));
    }
    Ok(joined(pages, limit, |(place, key)| (*place, key)))
}

fn joined<T>(
    pages: Vec<(Vec<T>, Option<ChartCursor>)>,
    limit: usize,
    of: impl Fn(&T) -> (ChartCursor, &ChartKey),
) -> (Vec<T>, Option<ChartCursor>) {
    // Behind the newest place where a page ended, another answer may have more.
    let (several, mut frontier) = (pages.len() > 1, pages.iter().filter_map(|(_, cursor)| *cursor).max());
    let mut rows: Vec<T> = pages.into_iter().flat_map(|(rows, _)| rows).collect();
    if several {
        rows.sort_by_key(|row| Reverse(of(row).0));
        rows.dedup_by(|one, other| of(one).1 == of(other).1);
        if let Some(frontier) = frontier {
            rows.retain(|row| of(row).0 >= frontier);
        }
        if rows.len() > limit {
            rows.truncate(limit);
            frontier = rows.last().map(|row| of(row).0);
        }
    }
    (rows, frontier)
}

/// Every number a patient has: the one that stays first, then those merged into it and the one asked.
pub(crate) fn numbers(
    charts: &Charts,
    caller: &Caller,
    facility: FacilityCode,
    mrn: &str,
) -> Result<Vec<String>, ChartError> {
    let mut all = charts.numbers(caller, facility, mrn)?;
    if !all.iter().any(|one| one == mrn.trim()) {
        all.push(mrn.trim().to_owned());
    }
    Ok(all)
}
