//! A patient's timeline: orders, visits, results and studies of every number the patient has, the newest first.
//!
//! Deliberately not here: persons across facilities, and the bytes of documents, which have an address of their own.

use super::find::{self, limit};
use super::studies::{by_text, moment, shown as study_shown};
use super::{bad, facility, key, reports, shown as row_shown};
use crate::admin::body;
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::{Archive, FoundRow};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use model::attribute::key as attribute;
use model::chart::{ChartBody, ChartKind, ChartRow, Content, Term};
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
    Chart(Box<ChartRow>),
    Study(Box<FoundRow>),
}

/// Answers a page of the timeline.
pub(super) async fn show(call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let mrn = key(ChartKind::Patient, facility, call.parameter("mrn"), "mrn")?.id;
    let limit = limit(&call)?.min(LIMIT_MAX);
    let after = call.query_value("cursor").map(cursor).transpose()?;
    let caller = call.caller.clone();
    let (numbers, lines, more) = call
        .blocking(move |archive| {
            let numbers = find::numbers(archive.charts(), &caller, facility, &mrn)?;
            let (mut lines, cut) = gather(archive, &caller, facility, &numbers)?;
            lines.sort_by(|(one, _), (two, _)| one.cmp(two));
            Ok((numbers, lines, cut))
        })
        .await?;
    let (base, viewer) = (call.base_url(), call.app.viewer.is_some());
    let behind = |place: &Place| after.as_ref().is_none_or(|(at, kind, id)| *place > (Reverse(*at), *kind, id.clone()));
    let mut wanted = lines.iter().filter(|(place, _)| behind(place));
    let page: Vec<&(Place, Line)> = wanted.by_ref().take(limit).collect();
    let next =
        page.last().filter(|_| wanted.next().is_some()).map(|((Reverse(at), kind, id), _)| written(*at, kind, id));
    let rows: Vec<Value> = page.iter().map(|(place, line)| told(place, line, &base, viewer)).collect();
    let mut view =
        json!({"facility": facility, "mrn": numbers.first(), "numbers": numbers, "timeline": rows, "more": more});
    if let (Some(object), Some(next)) = (view.as_object_mut(), next) {
        object.insert("next".into(), next.into());
    }
    body(StatusCode::OK, &view)
}

/// Everything of the patient, and whether something was left out.
fn gather(
    archive: &Archive,
    caller: &Caller,
    facility: FacilityCode,
    numbers: &[String],
) -> Result<(Vec<(Place, Line)>, bool), Problem> {
    let (mut lines, mut more) = (Vec::new(), false);
    let kinds = [(ChartKind::Order, "order"), (ChartKind::Visit, "visit"), (ChartKind::Report, "report")];
    for number in numbers {
        for (kind, name) in kinds {
            let (query, mut after) = (find::equal(kind, facility, Term::Mrn, number), None);
            loop {
                let page = archive.charts().find(caller, &query, after, LOOKED_MAX)?;
                for row in page.rows {
                    lines.push(((Reverse(row.body.moment()), name, row.key.id.clone()), Line::Chart(Box::new(row))));
                }
                after = page.cursor;
                if after.is_none() || lines.len() > LOOKED_MAX {
                    more |= after.is_some();
                    break;
                }
            }
        }
        let Some(condition) = by_text(attribute::PATIENT_ID, number) else { continue };
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        let found = archive.find(caller, Scope::Facility(facility), &query, 0, LOOKED_MAX)?;
        more |= found.more;
        let utc_offset = archive.options().forward.utc_offset;
        for row in found.rows {
            let at = milliseconds(&moment(&row), utc_offset);
            lines.push(((Reverse(at), "study", row.study.as_str().to_owned()), Line::Study(Box::new(row))));
        }
    }
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

fn told((Reverse(at), kind, _): &Place, line: &Line, base: &str, viewer: bool) -> Value {
    let mut view = match line {
        Line::Study(row) => study_shown(row, base, viewer),
        Line::Chart(row) => match &row.body {
            ChartBody::Report(_) => with_addresses(reports::shown(row, false), row, base),
            _ => row_shown(row),
        },
    };
    if let Some(object) = view.as_object_mut() {
        object.insert("kind".into(), (*kind).into());
        object.insert("at".into(), (*at).into());
    }
    view
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
