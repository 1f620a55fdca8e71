//! What `khoanh reads` asks of the archive.

use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{ChartCursor, ChartPage, ReadFilter};
use model::chart::{ChartBody, ChartRow, Way};
use model::date::DAY_MS;
use model::{Caller, Date, FacilityCode, Uid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Most reads of a page.
const PAGE: usize = 500;
/// Pages looked through for one list.
const PAGES_MAX: usize = 200;
const HOUR_MS: i64 = 3_600_000;

/// Which reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReadsRequest {
    /// At this facility; at all.
    pub(crate) facility: Option<FacilityCode>,
    /// Of this study.
    pub(crate) study: Option<Uid>,
    /// By this caller.
    pub(crate) by: Option<String>,
    /// In this way.
    pub(crate) way: Option<Way>,
    /// From this day on, by the facilities' clock.
    pub(crate) from: Option<Date>,
    /// Until this day.
    pub(crate) to: Option<Date>,
    /// Behind this place.
    pub(crate) after: Option<String>,
    /// At most so many.
    pub(crate) limit: usize,
}

impl ReadsRequest {
    fn filter(&self, utc_offset: i8) -> ReadFilter {
        let local = |ms: u64| ms.saturating_add_signed(-i64::from(utc_offset).saturating_mul(HOUR_MS));
        let begin = self.from.map_or(0, |day| local(day.start_ms()));
        let end = self.to.map_or(u64::MAX, |day| local(day.start_ms().saturating_add(DAY_MS)).saturating_sub(1));
        ReadFilter {
            facility: self.facility,
            study: self.study.clone(),
            by: self.by.clone(),
            way: self.way,
            moments: (self.from.is_some() || self.to.is_some()).then_some((begin, end)),
        }
    }
}

/// Reads, the newest first.
pub(super) fn answer(archive: &Archive, asked: &ReadsRequest) -> Result<Value, Failure> {
    let wrong = |error: archive::CursorError| Failure::new(Exit::Usage, format!("--after: {error}"));
    let after = asked.after.as_deref().map(ChartCursor::parse).transpose().map_err(wrong)?;
    let filter = asked.filter(archive.options().forward.utc_offset);
    let page = list(archive, &filter, after, asked.limit.clamp(1, PAGE))?;
    let reads: Vec<Value> = page.rows.iter().filter_map(shown).collect();
    Ok(json!({ "reads": reads, "after": page.cursor.map(|cursor| cursor.to_string()) }))
}

/// A page that is short only where there are no more, or where many were passed over.
fn list(
    archive: &Archive,
    filter: &ReadFilter,
    after: Option<ChartCursor>,
    limit: usize,
) -> Result<ChartPage, Failure> {
    let (mut rows, mut cursor) = (Vec::new(), after);
    for _ in 0..PAGES_MAX {
        let room = limit.saturating_sub(rows.len());
        let more = archive.charts().reads(&Caller::operator(), filter, cursor, room);
        let more = more.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        rows.extend(more.rows);
        cursor = more.cursor;
        if cursor.is_none() || rows.len() >= limit {
            break;
        }
    }
    Ok(ChartPage { rows, cursor })
}

/// A read with its facility.
fn shown(row: &ChartRow) -> Option<Value> {
    let ChartBody::Read(read) = &row.body else { return None };
    let mut view = serde_json::to_value(read).ok()?;
    view.as_object_mut()?.insert("facility".into(), row.key.facility.to_string().into());
    Some(view)
}
