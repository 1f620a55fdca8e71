//! Conditional and ranged requests (RFC 9110 sections 13 and 14): 304, 206 and 416 for one body of known bytes.
//!
//! It decides and frames; what the bytes are and where they come from is the caller's matter.

use crate::body::{Pieces, ReaderBody};
use crate::problem::{Kind, Problem};
use crate::ready;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::io::{self, Read};
use std::ops::Range;

/// Which bytes a request wants of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// No byte of the range exists.
    Beyond,
}

/// One body as it can be answered.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// Content-Type.
    pub(crate) content_type: String,
    /// Entity tag with its quotes.
    pub(crate) etag: String,
    /// Bytes, where they are known before they are read; only then parts are given out.
    pub(crate) length: Option<u64>,
}

/// Whether the client holds this representation already (weak comparison, RFC 9110 section 13.1.2).
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let bare = etag.trim_start_matches("W/");
    named
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.trim_start_matches("W/") == bare)
}

/// 304 with its tag.
pub(crate) fn not_modified(etag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    tag(&mut response, etag);
    response
}

/// Adds the entity tag and what the answer depends on.
pub(crate) fn tag(response: &mut Response, etag: &str) {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization, Cookie"));
}

/// Answers one body: all of it, the range the request names, or that the client has it already.
pub(crate) fn respond(
    headers: &HeaderMap,
    whole: &Whole,
    open: impl FnOnce(Range<u64>) -> io::Result<Box<dyn Read + Send>> + Send + 'static,
) -> Response {
    respond_with(headers, whole, |range, length| {
        let mut pieces = Pieces::default();
        pieces.later(move || open(range));
        Response::new(Body::new(ReaderBody::new(Box::new(pieces), length)))
    })
}

/// The same for a body that lies ready in memory.
pub(crate) fn respond_ready(headers: &HeaderMap, whole: Whole, bytes: &Bytes) -> Response {
    let whole = Whole { length: Some(ready::length(bytes)), ..whole };
    respond_with(headers, &whole, |range, _| {
        let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
        ready::respond([bytes.slice(at(range.start)..at(range.end))])
    })
}

fn respond_with(
    headers: &HeaderMap,
    whole: &Whole,
    body: impl FnOnce(Range<u64>, Option<u64>) -> Response,
) -> Response {
    if is_known(headers, &whole.etag) {
        return not_modified(&whole.etag);
    }
    let wanted = whole.length.map_or(Wanted::Whole, |length| wanted(headers, &whole.etag, length));
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..whole.length.unwrap_or(u64::MAX)),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Beyond => return beyond(whole.length.unwrap_or_default()),
    };
    let length = whole.length.map(|_| range.end.saturating_sub(range.start));
    let content_range = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), whole.length.unwrap_or_default()));
    let mut response = body(range, length);
    *response.status_mut() = status;
    tag(&mut response, &whole.etag);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&whole.content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    if whole.length.is_some() {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if let Some(value) = content_range.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(header::CONTENT_RANGE, value);
    }
    response
}

fn beyond(length: u64) -> Response {
    let mut problem =
        Problem::new(Kind::RangeNotSatisfiable, format!("the body has {length} bytes")).at("header Range");
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        problem = problem.header(header::CONTENT_RANGE, value);
    }
    problem.into_response()
}

/// The range of a request; several ranges, other units and what cannot be read mean the whole body (section 14.2).
fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Wanted::Whole };
    if let Some(condition) = headers.get(header::IF_RANGE).and_then(|value| value.to_str().ok())
        && (condition.trim() != etag || etag.starts_with("W/"))
    {
        return Wanted::Whole;
    }
    let Some((from, to)) = text.trim().strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (from.trim(), to.trim()) {
        ("", suffix) => match number(suffix) {
            None => Wanted::Whole,
            Some(0) => Wanted::Beyond,
            Some(_) if length == 0 => Wanted::Beyond,
            Some(count) => Wanted::Part(length.saturating_sub(count)..length),
        },
        (from, to) => {
            let (Some(from), Some(to)) = (number(from), if to.is_empty() { Some(u64::MAX) } else { number(to) }) else {
                return Wanted::Whole;
            };
            match (from <= to, from < length) {
                (false, _) => Wanted::Whole,
                (true, false) => Wanted::Beyond,
                (true, true) => Wanted::Part(from..to.saturating_add(1).min(length)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (text, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=5-99", Wanted::Part(5..10)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("bytes=x-1", Wanted::Whole),
            ("bytes=99999999999999999999-", Wanted::Whole),
        ] {
            assert_eq!(wanted(&headers(&[(header::RANGE, text)]), "\"a\"", 10), expected, "{text}");
        }
        assert_eq!(wanted(&headers(&[(header::RANGE, "bytes=-1")]), "\"a\"", 0), Wanted::Beyond);
    }

    #[test]
    fn a_range_of_another_version_is_the_whole_body() {
        let asked = |tag: &str| headers(&[(header::RANGE, "bytes=0-0"), (header::IF_RANGE, tag)]);
        assert_eq!(wanted(&asked("\"a\""), "\"a\"", 10), Wanted::Part(0..1));
        assert_eq!(wanted(&asked("\"b\""), "\"a\"", 10), Wanted::Whole);
        assert_eq!(wanted(&asked("W/\"a\""), "W/\"a\"", 10), Wanted::Whole);
    }

    #[test]
    fn tags_compare_weakly_in_a_list() {
        for (list, known) in [("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"b\"", false), ("a", false)] {
            assert_eq!(is_known(&headers(&[(header::IF_NONE_MATCH, list)]), "\"a\""), known, "{list}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
