//! Small tools of the index in memory: the newest of each entry, and one page of all rows.

use crate::row::StudyRow;
use crate::{Cursor, Page};
use model::Lsn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keeps the entry of the newest record.
pub(super) fn keep_newest<K: Ord, V: Clone>(map: &mut BTreeMap<K, (Lsn, V)>, key: K, lsn: Lsn, value: &V) {
    if map.get(&key).is_none_or(|(kept, _)| *kept <= lsn) {
        map.insert(key, (lsn, value.clone()));
    }
}

/// Cuts one page out of all rows.
pub(super) fn page<T>(all: impl IntoIterator<Item = (Cursor, T)>, after: Option<&Cursor>, limit: usize) -> Page<T> {
    let limit = limit.max(1);
    let rest = all.into_iter().filter(|(cursor, _)| after.is_none_or(|after| cursor > after));
    let (cursors, rows): (Vec<Cursor>, Vec<T>) = rest.take(limit).unzip();
    let cursor = if rows.len() < limit { None } else { cursors.last().copied() };
    Page { rows, cursor }
}

/// One page of studies in order of arrival.
pub(super) fn by_arrival<'a>(
    all: impl Iterator<Item = &'a Arc<StudyRow>>,
    after: Option<&Cursor>,
    limit: usize,
) -> Page<StudyRow> {
    let mut rows: Vec<(Cursor, StudyRow)> = all.map(|row| (Cursor::arrival(row.first_seq), (**row).clone())).collect();
    rows.sort_by_key(|(cursor, _)| *cursor);
    page(rows, after, limit)
}
