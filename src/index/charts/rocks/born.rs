//! Patients by when they were born: all keys whose values begin with it are walked, the name in the value is compared, and
//! rows are read for the answer alone.
//!
//! A year is a ninetieth of all patients, while half a dozen words are in every third name: where the rarest word of a
//! name has more keys, the year has fewer.

use super::find::{Cost, row};
use crate::IndexError;
use crate::charts::born::{BornPage, BornQuery};
use crate::charts::keys::{self, ALL};
use crate::rocks::read::Reader;
use crate::rocks::tables::{Table, bad_key};
use model::chart::ChartKind;
use std::collections::BTreeSet;

/// Answers a question with at most so many rows, within so many keys.
pub(super) fn born(
    reader: &Reader<'_>,
    query: &BornQuery,
    limit: usize,
    examined_max: usize,
) -> Result<(BornPage, Cost), IndexError> {
    let codes = query.facilities.as_ref();
    let codes: Option<BTreeSet<[u8; 5]>> = codes.map(|codes| codes.iter().map(|code| *code.as_bytes()).collect());
    let (kind, term) = (ChartKind::Patient.code(), query.born.term().code());
    let head = keys::beginning(kind, term, &ALL, b"").len();
    let mut run = reader.prefix(Table::Terms, &keys::beginning(kind, term, &ALL, query.born.begins().as_bytes()))?;
    let mut cost = Cost { runs: 1, ..Cost::default() };
    let (mut newest, mut whole) = (BTreeSet::new(), true);
    while let Some((key, _)) = run.here()? {
        if cost.keys >= examined_max {
            whole = false;
            break;
        }
        cost.keys += 1;
        let value = key.get(head..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        let value = value.ok_or_else(|| bad_key(Table::Terms))?;
        let entry = keys::entry(key, head + value.len() + 1).ok_or_else(|| bad_key(Table::Terms))?;
        let seen = codes.as_ref().is_none_or(|codes| codes.contains(entry.facility));
        if seen && std::str::from_utf8(value).is_ok_and(|value| query.is_named(value)) {
            newest.insert((entry.place, entry.row()));
            if newest.len() > limit {
                newest.pop_last();
                whole = false;
            }
        }
        run.step();
    }
    cost.rows = newest.len();
    let rows = newest.iter().map(|(_, key)| row(reader, key)).collect::<Result<_, _>>()?;
    Ok((BornPage { rows, whole }, cost))
}
