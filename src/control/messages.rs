//! What `khoanh messages` asks of the archive.

use super::Progress;
use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{ChartCursor, ChartError, ChartPage, MessageFilter};
use his::Sources;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Handled, Message};
use model::{Caller, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most messages given in again by one command.
const AGAIN_MAX: usize = 100_000;
/// Rows read at one time.
const PAGE: usize = 500;

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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chosen {
    /// Of this facility; of all.
    pub(crate) facility: Option<FacilityCode>,
    /// In this state; in any.
    pub(crate) state: Option<MessageState>,
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
            let page = page(archive, chosen, after, (*limit).clamp(1, PAGE))?;
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
    let handled = chosen.state.map(|state| state.name().to_owned());
    let filter = MessageFilter { facility: chosen.facility, handled, ..MessageFilter::default() };
    archive.charts().messages(&Caller::operator(), &filter, after, limit).map_err(|error| failed(&error))
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
