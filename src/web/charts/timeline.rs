//! A patient's timeline: orders, visits, results and studies of every number the patient has, the newest first.
//!
//! Places alone are gathered and put in order; what stands on the page is read one by one, each result without its
//! documents, so that an answer takes the memory of a page and of one row, whatever the patient has.
//! Deliberately not here: persons across facilities, and the bytes of documents, which have an address of their own.

use super::find::{self, limit};
use super::studies::{by_text, moment, shown as study_shown};
use super::{bad, facility, key, reports, shown as row_shown};
use crate::admin::body;
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::charts::PAGE_BYTES;
use archive::{Archive, ChartCursor, FoundRow};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use model::attribute::key as attribute;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Content, Term};
use model::query::Query;
use model::{Caller, Date, FacilityCode, Level, Scope};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::fmt::Write as _;

/// Most rows of a page.
const LIMIT_MAX: usize = 200;
/// Most studies, and most rows of charts, of a patient that are looked at.
const LOOKED_MAX: usize = 2_000;
const HOUR_MS: i64 = 3_600_000;
/// Documents a browser may show; others it saves.
const SHOWN: [&str; 4] = ["application/pdf", "image/jpeg", "image/png", "text/plain"];

/// A line of the timeline, and its place: moment, kind and number, the newest first.
type Place = (Reverse<u64>, &'static str, String);

enum Line {
    /// A row of charts, not yet read.
    Chart(ChartKey),
    Study(Box<FoundRow>),
}

/// What is asked of a timeline beside whose it is.
struct Asked {
    limit: usize,
    /// The place an earlier page ended at.
    after: Option<(u64, &'static str, String)>,
    /// URL of the service.
    base: String,
    viewer: bool,
}

/// Answers a page of the timeline.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let mrn = key(ChartKind::Patient, facility, call.parameter("mrn"), "mrn")?.id;
    let asked = Asked {
        limit: limit(&call)?.min(LIMIT_MAX),
        after: call.query_value("cursor").map(cursor).transpose()?,
        base: call.base_url(),
        viewer: call.app.viewer.is_some(),
    };
    let caller = call.caller.clone();
    let view = call
        .blocking(move |archive| {
            let numbers = find::numbers(archive.charts(), &caller, facility, &mrn)?;
            let (mut lines, more) = gather(archive, &caller, facility, &numbers)?;
            lines.sort_by(|(one, _), (two, _)| one.cmp(two));
            let (rows, next) = page(archive, &caller, &lines, &asked)?;
            let mut view = json!({"facility": facility, "mrn": numbers.first(), "numbers": numbers, "timeline": rows, "more": more});
            if let (Some(object), Some(next)) = (view.as_object_mut(), next) {
                object.insert("next".into(), next.into());
            }
            Ok(view)
        })
        .await?;
    body(StatusCode::OK, &view)
}

/// The lines of a page as they are told, and where to go on: it ends with the line that makes it so many, or so long.
fn page(
    archive: &Archive,
    caller: &Caller,
    lines: &[(Place, Line)],
    asked: &Asked,
) -> Result<(Vec<Value>, Option<String>), Problem> {
    let behind =
        |place: &Place| asked.after.as_ref().is_none_or(|(at, kind, id)| *place > (Reverse(*at), *kind, id.clone()));
    let (mut rows, mut bytes, mut last) = (Vec::new(), 0usize, None::<&Place>);
    for (place, line) in lines.iter().filter(|(place, _)| behind(place)) {
        if rows.len() >= asked.limit || bytes >= PAGE_BYTES {
            let next = last.map(|(Reverse(at), kind, id)| written(*at, kind, id));
            return Ok((rows, next));
        }
        last = Some(place);
        if let Some(told) = told(archive, caller, (place, line), asked)? {
            bytes = bytes.saturating_add(told.to_string().len());
            rows.push(told);
        }
    }
    Ok((rows, None))
}

/// The place of everything of the patient, and whether something was left out.
fn gather(
    archive: &Archive,
    caller: &Caller,
    facility: FacilityCode,
    numbers: &[String],
) -> Result<(Vec<(Place, Line)>, bool), Problem> {
    let (mut lines, mut studies, mut more) = (Vec::new(), Vec::new(), false);
    let kinds = [(ChartKind::Order, "order"), (ChartKind::Visit, "visit"), (ChartKind::Report, "report")];
    // Once there are enough, one line more of each is asked for, which tells whether something is left out.
    let room = |have: usize| LOOKED_MAX.saturating_sub(have).max(1);
    for number in numbers {
        for (kind, name) in kinds {
            let (query, mut after) = (find::equal(kind, facility, Term::Mrn, number), None);
            loop {
                let page = archive.charts().names(caller, &query, after, room(lines.len()))?;
                let line = |(place, key): (ChartCursor, ChartKey)| {
                    ((Reverse(place.moment()), name, key.id.clone()), Line::Chart(key))
                };
                lines.extend(page.names.into_iter().map(line));
                after = page.cursor;
                if after.is_none() || lines.len() >= LOOKED_MAX {
                    more |= after.is_some();
                    break;
                }
            }
        }
        let Some(condition) = by_text(attribute::PATIENT_ID, number) else { continue };
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        let found = archive.find(caller, Scope::Facility(facility), &query, 0, room(studies.len()))?;
        more |= found.more;
        let utc_offset = archive.options().forward.utc_offset;
        for row in found.rows {
            let at = milliseconds(&moment(&row), utc_offset);
            studies.push(((Reverse(at), "study", row.study.as_str().to_owned()), Line::Study(Box::new(row))));
        }
    }
    lines.append(&mut studies);
    Ok((lines, more))
}

/// `YYYYMMDDHHMMSS` of the facility's clock; without a date the beginning of time, so that it comes last.
fn milliseconds(text: &str, utc_offset: i8) -> u64 {
    let Some(day) = text.get(..8).and_then(Date::parse_da) else { return 0 };
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
    let seconds = number(8, 10) * 3600 + number(10, 12) * 60 + number(12, 14);
    let local = day.start_ms().saturating_add(seconds * 1000);
    local.saturating_add_signed(i64::from(utc_offset).saturating_mul(-HOUR_MS))
}

/// A line as it is told; none where the row has gone meanwhile.
fn told(
    archive: &Archive,
    caller: &Caller,
    ((Reverse(at), kind, _), line): (&Place, &Line),
    asked: &Asked,
) -> Result<Option<Value>, Problem> {
    let mut view = match line {
        Line::Study(row) => study_shown(row, &asked.base, asked.viewer),
        Line::Chart(key) => {
            let Some(row) = archive.charts().get(caller, key)? else { return Ok(None) };
            match &row.body {
                ChartBody::Report(_) => with_addresses(reports::shown(&row, false), &row, &asked.base),
                _ => row_shown(&row),
            }
        }
    };
    if let Some(object) = view.as_object_mut() {
        object.insert("kind".into(), (*kind).into());
        object.insert("at".into(), (*at).into());
    }
    Ok(Some(view))
}

/// A result with the address of each of its documents.
fn with_addresses(mut view: Value, row: &ChartRow, base: &str) -> Value {
    let number = percent(&row.key.id);
    for (at, content) in view.get_mut("contents").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
        if let Some(object) = content.as_object_mut().filter(|content| content.contains_key("media_type")) {
            let url = format!("{base}/api/reports/{number}/contents/{at}?facility={}", row.key.facility);
            object.insert("url".into(), url.into());
        }
    }
    view
}

fn percent(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut out, byte| {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn written(at: u64, kind: &str, id: &str) -> String {
    format!("{at:x}.{kind}.{}", percent(id).replace('_', "%5F").replace('%', "_"))
}

/// The text of an earlier answer's `next`.
fn cursor(text: &str) -> Result<(u64, &'static str, String), Problem> {
    let wrong = || bad("cursor", "cursor takes the text of a previous answer's next");
    let mut parts = text.splitn(3, '.');
    let mut next = || parts.next().ok_or_else(wrong);
    let at = u64::from_str_radix(next()?, 16).map_err(|_| wrong())?;
    let kind = next()?;
    let kind = ["order", "visit", "report", "study"].into_iter().find(|known| *known == kind).ok_or_else(wrong)?;
    let (mut bytes, mut rest) = (Vec::new(), next()?.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'_' {
            bytes.push(*first);
            continue;
        }
        let (pair, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(pair, 16).map_err(|_| wrong())?);
        rest = behind;
    }
    Ok((at, kind, String::from_utf8(bytes).map_err(|_| wrong())?))
}

/// The bytes of a document of a result, as a browser opens them.
pub(super) async fn document(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let key = key(ChartKind::Report, facility, call.parameter("number"), "number")?;
    let at: Option<usize> = call.parameter("index").parse().ok();
    let caller = call.caller.clone();
    let row = call.blocking(move |archive| Ok(archive.charts().get(&caller, &key)?)).await?;
    let none = || Problem::new(Kind::NotFound, "there is no such document of a result").at("path");
    let Some(ChartBody::Report(report)) = row.map(|row| row.body) else { return Err(none()) };
    let content = at.and_then(|at| report.contents.into_iter().nth(at));
    let Some(Content::Document { media_type, base64 }) = content else { return Err(none()) };
    let bytes = STANDARD.decode(base64).map_err(|_| none())?;
    let shown = SHOWN.into_iter().find(|known| *known == media_type);
    let disposition = if shown.is_some() { "inline" } else { "attachment" };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(shown.unwrap_or("application/octet-stream")));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for id in ["CD-1001", "LK 77/ă_%.", "1.2.3"] {
            assert_eq!(cursor(&written(77, "visit", id)).expect("a place"), (77, "visit", id.to_owned()));
        }
        for wrong in ["", "1", "1.film.1", "x.order.1", "1.order._zz", "1.order._4", "1.order._FF"] {
            assert!(cursor(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_the_clocks_of_the_facility() {
        assert_eq!(milliseconds("20261128013005", 7), 1_795_804_205_000);
        assert_eq!(milliseconds("", 7), 0);
    }
}
