//! QIDO-RS (PS3.18 section 10.6): searching for studies, series and instances.
//!
//! No match is 200 with an empty JSON array (PS3.18 section 10.6.3.3); in XML, where an empty multipart body
//! cannot be written, it is 204.

mod answer;
mod question;

pub(crate) use question::split_query;

use crate::accept::MediaRange;
use crate::app::Call;
use crate::dicomweb::multipart::Multipart;
use crate::dicomweb::warn;
use crate::options::Options;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::Found;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::Level;
use model::query::Query;
use question::Question;

/// Parses the query string of a search at a level outside any study: what a fuzzer feeds.
///
/// # Errors
/// The refusal the client would get.
pub fn parse_search(level: Level, query: &str, options: &Options) -> Result<Query, Problem> {
    Ok(question::parse(level, &[], &split_query(query)?, options)?.query)
}

/// Media types of an answer.
const OFFERED: &str = "application/dicom+json, multipart/related; type=\"application/dicom+xml\"";

const XML: &str = "application/dicom+xml";

/// How rows are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    PlainJson,
    Xml,
}

/// Level of a search and which UIDs of its path scope it.
fn level(endpoint: Endpoint) -> (Level, bool, bool) {
    match endpoint {
        Endpoint::FindStudies => (Level::Study, false, false),
        Endpoint::FindSeries => (Level::Series, false, false),
        Endpoint::FindSeriesOfStudy => (Level::Series, true, false),
        Endpoint::FindInstancesOfStudy => (Level::Instance, true, false),
        Endpoint::FindInstancesOfSeries => (Level::Instance, true, true),
        _ => (Level::Instance, false, false),
    }
}

/// Answers a search.
pub(crate) async fn find(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let form = form(&call.accepts()?)?;
    let (level, in_study, in_series) = level(endpoint);
    let mut scoped = Vec::new();
    for (wanted, name) in [(in_study, "study"), (in_series, "series")] {
        if wanted {
            scoped.push(call.uid(name)?);
        }
    }
    let mut question = question::parse(level, &scoped, &call.query, &call.app.options)?;
    question.query.conditions.extend(call.session.as_ref().map(|session| session.condition()));
    let (caller, scope, root) = (call.caller.clone(), call.scope, call.service_root());
    let (body, mut notes) = call
        .blocking(move |archive| {
            let found = archive.find(&caller, scope, &question.query, question.offset, question.limit)?;
            let body = match form {
                Form::Xml => Body::Xml(answer::xml(&found, &question, &root)),
                Form::Json | Form::PlainJson => Body::Json(answer::json(&found, &question, &root)),
            };
            let notes = notes(&question, found);
            Ok((body, notes))
        })
        .await?;
    notes.dedup();
    let mut response = respond(form, body);
    warn(&mut response, &notes);
    Ok(response)
}

/// Rows as they are answered.
pub(crate) enum Body {
    Json(Vec<u8>),
    Xml(Vec<String>),
}

fn notes(question: &Question, found: Found) -> Vec<String> {
    let mut notes = question.notes.clone();
    if found.more && question.limited_by_us {
        notes.push(format!(
            "The number of results exceeded the maximum supported by the server; \
             {} are returned, additional results can be requested with offset.",
            found.rows.len()
        ));
    }
    notes.extend(found.notes);
    notes
}

pub(crate) fn form(ranges: &[MediaRange]) -> Result<Form, Problem> {
    let chosen = ranges.iter().find_map(|range| {
        if range.covers("application", "dicom+json") {
            return Some(Form::Json);
        }
        if range.covers("application", "json") {
            return Some(Form::PlainJson);
        }
        range.covers_parts(XML, XML).then_some(Form::Xml)
    });
    chosen.ok_or_else(|| {
        Problem::new(Kind::NotAcceptable, format!("a search is answered as {OFFERED}")).at("header Accept")
    })
}

pub(crate) fn respond(form: Form, body: Body) -> Response {
    match body {
        Body::Xml(rows) if rows.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Body::Xml(rows) => {
            let mut answer = Multipart::new();
            for row in rows {
                let length = u64::try_from(row.len()).ok();
                let open =
                    move || Ok(Box::new(std::io::Cursor::new(row.into_bytes())) as Box<dyn std::io::Read + Send>);
                answer.part(XML, None, length, open);
            }
            answer.respond(XML)
        }
        Body::Json(bytes) => {
            let media = if form == Form::PlainJson { "application/json" } else { "application/dicom+json" };
            let mut response = bytes.into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept;

    #[test]
    fn accept_chooses_json_or_xml_or_nothing() {
        let chosen = |text: &str| form(&accept::ranges(&http::HeaderMap::new(), Some(text)).expect(text));
        assert_eq!(chosen("*/*").expect("any"), Form::Json);
        assert_eq!(chosen("application/json").expect("json"), Form::PlainJson);
        assert_eq!(chosen("multipart/related; type=\"application/dicom+xml\"").expect("xml"), Form::Xml);
        let both = "application/dicom+json;q=0.1, multipart/related;type=application/dicom+xml";
        assert_eq!(chosen(both).expect("xml first"), Form::Xml);
        for none in ["text/html", "multipart/related; type=\"application/dicom\"", "application/xml"] {
            assert_eq!(chosen(none).expect_err(none).kind, Kind::NotAcceptable);
        }
    }
}
