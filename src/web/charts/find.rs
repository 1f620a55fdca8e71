//! Pages of rows: driven by one value or several, filtered, newest first, with a cursor to go on.

use super::bad;
use crate::app::Call;
use crate::problem::Problem;
use archive::charts::{ChartError, Charts};
use archive::{ChartCursor, ChartDriver, ChartQuery};
use model::chart::{ChartKind, ChartRow, Term, term};
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

/// Which page is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    pub(crate) limit: usize,
    pub(crate) after: Option<ChartCursor>,
}

impl Paging {
    /// Of the parameters `limit` and `cursor`.
    pub(super) fn of(call: &Call) -> Result<Self, Problem> {
        let after = call.query_value("cursor").map(cursor).transpose()?;
        Ok(Self { limit: limit(call)?, after })
    }
}

/// The parameter `limit`.
pub(super) fn limit(call: &Call) -> Result<usize, Problem> {
    match call.query_value("limit").map(str::parse::<usize>) {
        None => Ok(LIMIT_DEFAULT),
        Some(Ok(limit)) if limit > 0 => Ok(limit.min(LIMIT_MAX)),
        Some(_) => Err(bad("limit", "limit takes a whole number from 1")),
    }
}

/// The text of an earlier answer's `next`.
pub(super) fn cursor(text: &str) -> Result<ChartCursor, Problem> {
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
    pub(super) fn shown(&self, name: &str, show: impl Fn(&ChartRow) -> Value) -> Value {
        let mut view = json!({ name: self.rows.iter().map(show).collect::<Vec<_>>() });
        if let (Some(object), Some(next)) = (view.as_object_mut(), self.next) {
            object.insert("next".into(), next.to_string().into());
        }
        view
    }
}

/// A question about one facility by one value.
pub(super) fn equal(kind: ChartKind, facility: FacilityCode, by: Term, value: &str) -> ChartQuery {
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

/// One page of several answers as if they were one.
fn merged(
    charts: &Charts,
    caller: &Caller,
    queries: &[ChartQuery],
    after: Option<ChartCursor>,
    limit: usize,
) -> Result<(Vec<ChartRow>, Option<ChartCursor>), ChartError> {
    let (mut rows, mut frontier) = (Vec::new(), None::<ChartCursor>);
    for query in queries {
        let page = charts.find(caller, query, after, limit)?;
        // Behind the newest place where a page ended, another answer may have more.
        frontier = frontier.max(page.cursor);
        rows.extend(page.rows);
    }
    if queries.len() > 1 {
        rows.sort_by_key(|row| Reverse(ChartCursor::of(row)));
        rows.dedup_by(|one, other| one.key == other.key);
        if let Some(frontier) = frontier {
            rows.retain(|row| ChartCursor::of(row) >= frontier);
        }
        if rows.len() > limit {
            rows.truncate(limit);
            frontier = rows.last().map(ChartCursor::of);
        }
    }
    Ok((rows, frontier))
}

/// Every number a patient has: the one that stays first, then those merged into it and the one asked.
pub(crate) fn numbers(charts: &Charts, facility: FacilityCode, mrn: &str) -> Result<Vec<String>, ChartError> {
    let mut all = charts.numbers(facility, mrn)?;
    if !all.iter().any(|one| one == mrn.trim()) {
        all.push(mrn.trim().to_owned());
    }
    Ok(all)
}
