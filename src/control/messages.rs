//! What `khoanh messages` asks of the archive.

use super::Progress;
use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{ChartCursor, ChartError, ChartPage, MessageFilter};
use his::Sources;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Handled, Message};
use model::date::DAY_MS;
use model::{Caller, Date, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most messages given in again by one command.
const AGAIN_MAX: usize = 100_000;
/// Rows read at one time.
const PAGE: usize = 500;
/// Pages looked through for one list.
const PAGES_MAX: usize = 200;
const HOUR_MS: i64 = 3_600_000;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MessageState {
    /// Its effects are recorded.
    Done,
    /// It waits for what it refers to.
    Parked,
    /// It had no effect.
    Refused,
}

impl MessageState {
    /// Its name, as rows are found by it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Parked => "parked",
            Self::Refused => "refused",
        }
    }
}

/// Which messages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Chosen {
    /// Of this facility; of all.
    pub(crate) facility: Option<FacilityCode>,
    /// In this state; in any.
    pub(crate) state: Option<MessageState>,
    /// Of this type, or type and trigger.
    pub(crate) kind: Option<String>,
    /// Of the source of this name.
    pub(crate) source: Option<String>,
    /// Of this control id.
    pub(crate) control: Option<String>,
    /// About the patient of this number.
    pub(crate) mrn: Option<String>,
    /// From this day on, by the facilities' clock.
    pub(crate) from: Option<Date>,
    /// Until this day.
    pub(crate) to: Option<Date>,
}

impl Chosen {
    fn filter(&self, utc_offset: i8) -> MessageFilter {
        let local = |ms: u64| ms.saturating_add_signed(-i64::from(utc_offset).saturating_mul(HOUR_MS));
        let begin = self.from.map_or(0, |day| local(day.start_ms()));
        let end = self.to.map_or(u64::MAX, |day| local(day.start_ms().saturating_add(DAY_MS)).saturating_sub(1));
        MessageFilter {
            facility: self.facility,
            handled: self.state.map(|state| state.name().to_owned()),
            mrn: self.mrn.clone(),
            moments: (self.from.is_some() || self.to.is_some()).then_some((begin, end)),
            kind: self.kind.clone(),
            source: self.source.clone(),
            control: self.control.clone(),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum MessagesRequest {
    /// Messages, the newest first.
    List {
        /// Which.
        chosen: Chosen,
        /// Behind this place.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// One message, whole.
    Show {
        /// Whose.
        facility: FacilityCode,
        /// Its number.
        id: String,
    },
    /// Gives messages in again, the oldest first.
    Resend {
        /// One message.
        one: Option<(FacilityCode, String)>,
        /// Those of a choice.
        chosen: Option<Chosen>,
        /// Absolute path of the file of senders.
        sources: PathBuf,
        /// Does it.
        act: bool,
    },
}

/// Does what is asked.
pub(super) fn answer(
    archive: &Arc<Archive>,
    request: &MessagesRequest,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    match request {
        MessagesRequest::List { chosen, after, limit } => {
            let wrong = |error: archive::CursorError| Failure::new(Exit::Usage, format!("--after: {error}"));
            let after = after.as_deref().map(ChartCursor::parse).transpose().map_err(wrong)?;
            let page = list(archive, chosen, after, (*limit).clamp(1, PAGE))?;
            let messages: Vec<Value> = page.rows.iter().filter_map(brief).collect();
            Ok(json!({ "messages": messages, "after": page.cursor.map(|cursor| cursor.to_string()) }))
        }
        MessagesRequest::Show { facility, id } => {
            let row = row(archive, *facility, id)?;
            serde_json::to_value(message(&row)?).map_err(|error| failed(&error))
        }
        MessagesRequest::Resend { one, chosen, sources, act } => {
            let keys = keys(archive, one.as_ref(), chosen.as_ref())?;
            if !act {
                return Ok(json!({ "messages": keys.len() }));
            }
            let sources = Sources::load(sources).map_err(|error| failed(&error))?;
            resend(archive, &sources, &keys, stop, progress)
        }
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

fn page(archive: &Archive, chosen: &Chosen, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, Failure> {
    let filter = chosen.filter(archive.options().forward.utc_offset);
    archive.charts().messages(&Caller::operator(), &filter, after, limit).map_err(|error| failed(&error))
}

/// A page that is short only where there are no more, or where many were passed over.
fn list(archive: &Archive, chosen: &Chosen, after: Option<ChartCursor>, limit: usize) -> Result<ChartPage, Failure> {
    let (mut rows, mut cursor) = (Vec::new(), after);
    for _ in 0..PAGES_MAX {
        let more = page(archive, chosen, cursor, limit.saturating_sub(rows.len()))?;
        rows.extend(more.rows);
        cursor = more.cursor;
        if cursor.is_none() || rows.len() >= limit {
            break;
        }
    }
    Ok(ChartPage { rows, cursor })
}

fn row(archive: &Archive, facility: FacilityCode, id: &str) -> Result<ChartRow, Failure> {
    let key = ChartKey::new(ChartKind::Message, facility, id).map_err(|error| failed(&error))?;
    let row = archive.charts().get(&Caller::operator(), &key).map_err(|error| failed(&error))?;
    row.ok_or_else(|| failed(&ChartError::Unknown("message")))
}

fn message(row: &ChartRow) -> Result<&Message, Failure> {
    match &row.body {
        ChartBody::Message(message) => Ok(message),
        _ => Err(failed(&ChartError::Unknown("message"))),
    }
}

/// A message without its text.
fn brief(row: &ChartRow) -> Option<Value> {
    let ChartBody::Message(message) = &row.body else { return None };
    let (state, why) = match &message.handled {
        Handled::Done => ("done", None),
        Handled::Parked { why, .. } => ("parked", Some(why)),
        Handled::Refused { why } => ("refused", Some(why)),
    };
    Some(json!({
        "facility": row.key.facility,
        "id": row.key.id,
        "at": message.at,
        "source": message.origin.source,
        "sender": message.origin.sender,
        "control": message.origin.control,
        "kind": message.kind,
        "mrn": message.mrn,
        "state": state,
        "why": why,
        "acknowledged": message.acknowledged,
        "remarks": message.remarks,
    }))
}

/// The messages that are meant, the oldest first.
fn keys(
    archive: &Archive,
    one: Option<&(FacilityCode, String)>,
    chosen: Option<&Chosen>,
) -> Result<Vec<ChartKey>, Failure> {
    let mut keys = Vec::new();
    if let Some((facility, id)) = one {
        keys.push(row(archive, *facility, id)?.key);
    }
    let Some(chosen) = chosen else { return Ok(keys) };
    let mut after = None;
    loop {
        let page = page(archive, chosen, after, PAGE)?;
        keys.extend(page.rows.into_iter().map(|row| row.key));
        if keys.len() > AGAIN_MAX {
            let what = format!("more than {AGAIN_MAX} messages: choose a facility, or a state");
            return Err(Failure::new(Exit::Failed, what));
        }
        after = page.cursor;
        if after.is_none() {
            keys.reverse();
            return Ok(keys);
        }
    }
}

fn resend(
    archive: &Arc<Archive>,
    sources: &Sources,
    keys: &[ChartKey],
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    let (mut step, mut results) = (Progress { total: count(keys.len()), ..Progress::default() }, Vec::new());
    for key in keys {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let row = row(archive, key.facility, &key.id)?;
        let (state, why) = match his::again(archive, sources, (key.facility, &key.id), message(&row)?) {
            Ok(receipt) => match receipt.handled {
                Handled::Done => ("done", None),
                Handled::Parked { why, .. } => ("parked", Some(why)),
                Handled::Refused { why } => ("refused", Some(why)),
            },
            Err(error) => ("failed", Some(error.to_string())),
        };
        step.done += 1;
        step.trouble += u64::from(["refused", "failed"].contains(&state));
        results.push(json!({ "facility": key.facility, "id": key.id, "state": state, "why": why }));
        progress(step);
    }
    Ok(json!({ "messages": keys.len(), "results": results, "trouble": step.trouble }))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
