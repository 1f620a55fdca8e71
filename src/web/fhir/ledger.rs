//! What the ledger tells of people's acts: holds, rules, plans of retention, rejections, corrections, destruction.
//!
//! Its entries name no facility, patient or study, so they are told to callers who see every facility. What machines do
//! (stored, packed, moved between tiers) is passed over.

use super::audits::Done;
use super::desk::Desk;
use crate::problem::{Kind, Problem};
use model::FacilityCode;
use serde::Deserialize;

/// Entries looked at for one page.
const LOOKED_MAX: u64 = 5_000;
/// What stands in front of the number of an entry, in ids and in places to go on.
const ID: &str = "ledger-";
/// What people do to what is kept (DICOM PS3.16 CID 400).
const ACTIVITY: super::audits::Kind = ("110100", "Application Activity");
/// What machines do.
const MACHINES: [&str; 6] = ["stored", "packed", "tiered", "released", "recalled", "cold-lost"];

/// Members of an entry that are told.
#[derive(Debug, Deserialize)]
struct Entry {
    at: u64,
    event: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    facility: Option<FacilityCode>,
}

/// The number in an id.
pub(crate) fn read_id(id: &str) -> Option<u64> {
    let digits = id.strip_prefix(ID)?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// The place to go on from.
pub(crate) fn read_cursor(text: &str) -> Option<u64> {
    read_id(text)
}

/// Whether a caller is told of it.
fn may(desk: &Desk) -> bool {
    desk.caller.facilities.is_none()
}

/// The place where its newest entry is; none where there is nothing for the caller.
pub(crate) fn begin(desk: &Desk) -> Option<String> {
    let size = desk.archive.ledger().filter(|_| may(desk)).map(|ledger| ledger.size())?;
    (size > 0).then(|| format!("{ID}{size}"))
}

fn unreadable(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "an entry of the ledger cannot be read");
    Problem::new(Kind::Unavailable, "the ledger cannot be read now")
}

/// What an entry tells; none of a machine's.
fn done(number: u64, bytes: &[u8]) -> Result<Option<Done>, Problem> {
    let entry: Entry = serde_json::from_slice(bytes).map_err(unreadable)?;
    if MACHINES.contains(&entry.event.as_str()) {
        return Ok(None);
    }
    let action = match entry.event.as_str() {
        "study-destroyed" => "D",
        "hold-made" | "plan-made" | "rules-adopted" => "C",
        "plan-begun" => "E",
        _ => "U",
    };
    Ok(Some(Done {
        id: format!("{ID}{number}"),
        at: entry.at,
        kind: ACTIVITY,
        what: entry.event,
        action,
        outcome: "0",
        why: String::new(),
        by: entry.by,
        facility: entry.facility,
        mrn: String::new(),
        studies: Vec::new(),
        times: 0,
        read: None,
    }))
}

/// One entry.
pub(crate) fn read(desk: &Desk, number: u64) -> Result<Option<Done>, Problem> {
    let Some(ledger) = desk.archive.ledger().filter(|_| may(desk)) else { return Ok(None) };
    if number >= ledger.size() {
        return Ok(None);
    }
    done(number, &ledger.entry(number).map_err(unreadable)?.bytes)
}

/// Entries before a place that fit, the newest first, and where to go on.
pub(crate) fn find(
    desk: &Desk,
    count: usize,
    before: u64,
    fits: &dyn Fn(&Done) -> bool,
) -> Result<(Vec<Done>, Option<String>), Problem> {
    let Some(ledger) = desk.archive.ledger().filter(|_| may(desk)) else { return Ok((Vec::new(), None)) };
    let (mut at, mut found) = (before.min(ledger.size()), Vec::new());
    let last = at.saturating_sub(LOOKED_MAX);
    while at > last && found.len() < count {
        at = at.saturating_sub(1);
        let one = done(at, &ledger.entry(at).map_err(unreadable)?.bytes)?;
        found.extend(one.filter(|one| fits(one)));
    }
    Ok((found, (at > 0).then(|| format!("{ID}{at}"))))
}
