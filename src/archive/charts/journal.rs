//! What is recorded of charts (docs/FORMAT.md, section Charts): one record for a change, with the new state of every row it
//! touches.
//!
//! The head says whose rows of which kinds there are and under which keys; numbers and states lie in the body, since a
//! number of a row may be a patient's. Each part of the body is a JSON list of rows, compressed, then sealed by one key.
//! Deliberately not here: what a change means, and when a record is made.

use super::writing::Whose;
use super::{BODY_MAX, ChartError, Charts};
use crate::error::OpenError;
use crate::seal::OpenKeys;
use index::charts::ChartEntry;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow};
use model::{FacilityCode, Lsn, PackId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{Body, Journal, Record, Replayed, StoreError};

/// zstd level of a part.
const LEVEL: i32 = 1;
/// Most bytes of a part before it is compressed.
const PLAIN_MAX: u64 = 32 << 20;
/// The same that are read again: more, so that what is recorded can be read in any case.
const READ_MAX: u64 = 256 << 20;

/// The head of a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of the form: 1.
    pub(super) charts: u8,
    /// Milliseconds since 1970 UTC.
    pub(super) at: u64,
    pub(super) facility: FacilityCode,
    pub(super) parts: Vec<Part>,
}

/// Rows under one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    /// The name of the key.
    pub(super) seal: PackId,
    /// Bytes in the body, one part behind the other.
    pub(super) len: u64,
    /// Bytes before they were compressed.
    pub(super) plain: u64,
    /// Codes of the kinds of its rows.
    pub(super) kinds: Vec<u8>,
}

/// A row in a part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) kind: ChartKind,
    pub(super) id: String,
    /// The record that made it first; none: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<Lsn>,
    /// Its state; none: there is no such row any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<ChartBody>,
}

/// Rows on their way into a record, by the key they lie under.
pub(super) type Parts = BTreeMap<PackId, Vec<Row>>;

/// What a part is bound to: its key's name and the facility.
fn about(seal: PackId, facility: FacilityCode) -> Vec<u8> {
    [b"khoanh chart 1".as_slice(), seal.as_bytes(), facility.as_bytes()].concat()
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> ChartError {
    ChartError::Unavailable(error.to_string())
}

impl Charts {
    /// Appends one record; it is not durable yet. The caller holds `change`.
    pub(super) fn append(&self, facility: FacilityCode, parts: &Parts, whose: Whose) -> Result<Lsn, ChartError> {
        let mut head = Head { charts: 1, at: self.now_ms(), facility, parts: Vec::with_capacity(parts.len()) };
        let mut body = Vec::new();
        for (seal, rows) in parts {
            let text = text(rows)?;
            let packed = zstd::bulk::compress(&text, LEVEL).map_err(unavailable)?;
            let sealed = self.keys.get(*seal).and_then(|key| key.seal_bytes(&about(*seal, facility), &packed));
            let sealed = sealed.map_err(unavailable)?;
            let (len, plain) = (length(sealed.len()), length(text.len()));
            let kinds = rows.iter().map(|row| row.kind.code()).collect();
            head.parts.push(Part { seal: *seal, len, plain, kinds });
            body.extend(sealed);
        }
        if length(body.len()) > BODY_MAX {
            return Err(ChartError::Limit(format!("one change has at most {BODY_MAX} bytes")));
        }
        let head = serde_json::to_vec(&head).map_err(unavailable)?;
        let record = Record { head, body: Body::Inline(vec![body.into()]) };
        let placed = match whose {
            Whose::Senders => self.journal.append(&[record]),
            Whose::Own => self.journal.append_own(&[record]),
        };
        let placed = placed.map_err(unavailable)?;
        let (lsn, _) = placed.first().ok_or_else(|| unavailable("the journal gave no place"))?;
        Ok(*lsn)
    }
}

/// Rows as they are recorded, only if they can be read again.
fn text(rows: &[Row]) -> Result<Vec<u8>, ChartError> {
    let text = serde_json::to_vec(rows).map_err(unavailable)?;
    if length(text.len()) > PLAIN_MAX {
        return Err(ChartError::Limit(format!("the rows of one patient in a change have at most {PLAIN_MAX} bytes")));
    }
    // Data sets may nest deeper than what is read.
    if rows.iter().any(|row| row.kind == ChartKind::Performed) && serde_json::from_slice::<Vec<Row>>(&text).is_err() {
        return Err(ChartError::Invalid("the data set nests too deeply".into()));
    }
    Ok(text)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The rows of parts as they stand after a record.
pub(super) fn entries(facility: FacilityCode, lsn: Lsn, parts: Parts) -> Vec<ChartEntry> {
    let of = |(seal, rows): (PackId, Vec<Row>)| rows.into_iter().map(move |row| entry(facility, lsn, seal, row));
    parts.into_iter().flat_map(of).collect()
}

fn entry(facility: FacilityCode, lsn: Lsn, seal: PackId, row: Row) -> ChartEntry {
    let key = ChartKey { kind: row.kind, facility, id: row.id };
    match row.body {
        None => ChartEntry::Gone(key),
        Some(body) => {
            let created = row.created.unwrap_or(lsn);
            ChartEntry::Put(Box::new(ChartRow { key, lsn, created, seal: Some(seal), body }))
        }
    }
}

/// What a record says, as far as its keys are there.
pub(super) struct Read {
    /// Whether something of it is left out.
    pub(super) is_partial: bool,
    pub(super) facility: FacilityCode,
    pub(super) entries: Vec<ChartEntry>,
}

/// Reads the head of a record.
pub(super) fn head(lsn: Lsn, bytes: &[u8]) -> Result<Head, OpenError> {
    let wrong = |what: String| OpenError::Fact { lsn, what: format!("charts: {what}") };
    let head: Head = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
    if head.charts == 1 { Ok(head) } else { Err(wrong(format!("form {}", head.charts))) }
}

/// Reads a record. Rows whose key was destroyed are left out.
///
/// # Errors
/// A key that should be there and is not, or does not open: rows that are passed over would be lost from the view.
pub(super) fn read(journal: &Journal, keys: &OpenKeys, replayed: &Replayed<'_>) -> Result<Read, OpenError> {
    let lsn = replayed.lsn;
    let Head { facility, parts, .. } = head(lsn, replayed.head)?;
    let body = journal.read(&replayed.place, 0..replayed.place.body_len)?;
    let unread = |error: &dyn std::fmt::Display| OpenError::Fact {
        lsn,
        what: format!("charts: it is sealed and does not open: {error}; are the key store and the epoch keys there?"),
    };
    let (mut entries, mut from, mut is_partial) = (Vec::new(), 0usize, false);
    for part in parts {
        let len = usize::try_from(part.len).map_err(|error| unread(&error))?;
        let until = from.saturating_add(len);
        let sealed = body.get(from..until).ok_or_else(|| unread(&"it is too short"))?;
        from = until;
        let key = match keys.get(part.seal) {
            Ok(key) => key,
            Err(StoreError::KeyDestroyed { .. }) => {
                is_partial = true;
                continue;
            }
            Err(error) => return Err(unread(&error)),
        };
        let packed = key.open_bytes(&about(part.seal, facility), sealed).map_err(|error| unread(&error))?;
        let most = usize::try_from(part.plain.min(READ_MAX)).map_err(|error| unread(&error))?;
        let text = zstd::bulk::decompress(&packed, most).map_err(|error| unread(&error))?;
        let rows: Vec<Row> = serde_json::from_slice(&text).map_err(|error| OpenError::Fact {
            lsn,
            // Not the error itself: it may quote a patient's data.
            what: format!("charts: line {}, column {} of its rows is none", error.line(), error.column()),
        })?;
        entries.extend(rows.into_iter().map(|row| entry(facility, lsn, part.seal, row)));
    }
    Ok(Read { is_partial, facility, entries })
}
