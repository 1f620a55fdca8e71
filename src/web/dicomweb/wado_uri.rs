//! WADO-URI (PS3.18 section 9): one object named by query parameters.

use super::wado::{instances, look, parameters, pictures, rendered, select};
use crate::accept::{self, MediaRange};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::{Archive, InstanceRow, Target};
use axum::response::Response;
use http::HeaderMap;
use model::Uid;

/// Answers a retrieve by parameters.
pub(crate) async fn retrieve(call: Call) -> Result<Response, Problem> {
    match parameter(&call, "requestType") {
        Some(text) if text.eq_ignore_ascii_case("WADO") => {}
        _ => return Err(bad("requestType must be WADO", "requestType")),
    }
    if parameter(&call, "anonymize").is_some_and(|text| text.eq_ignore_ascii_case("yes")) {
        return Err(bad("objects are given out as they were received; nothing is anonymized here", "anonymize"));
    }
    let (study, series, instance) = (uid(&call, "studyUID")?, uid(&call, "seriesUID")?, uid(&call, "objectUID")?);
    let target = Target::Instance { study: study.clone(), series, instance };
    let selection = select(&call, target.clone()).await?;
    let row = selection.instances.into_iter().next();
    let row = row.ok_or_else(|| Problem::new(Kind::NotFound, "the archive has no such instance"))?;
    look(&call, Some(&row));
    let mut ranges = ranges(&call, &row)?;
    let object = ranges.iter().any(|range| range.main == "application" && range.sub == "dicom");
    if !object && Archive::has_pictures(&row) {
        let asked = parameters::by_uri(&|name| parameter(&call, name).map(str::to_owned))?;
        let state = presentation(&call, &study).await?;
        return match state {
            Some(state) => pictures::by_state(&call, state, Some(row), &ranges, asked).await,
            None => pictures::by_uri(&call, row, &ranges, asked).await,
        };
    }
    if !object {
        return rendered::answer(&call, row, &ranges).await;
    }
    if let Some(syntax) = parameter(&call, "transferSyntax") {
        let named = syntax == "*" || Uid::parse(syntax).is_ok();
        if !named {
            return Err(bad("transferSyntax takes a UID", "transferSyntax"));
        }
        for range in ranges.iter_mut().filter(|range| range.sub == "dicom") {
            range.parameters.push(("transfer-syntax".into(), syntax.to_owned()));
        }
    }
    instances::answer(&call, &ranges, target, true).await
}

/// The presentation state that a request names for its image (PS3.18 section 9.1.2.2.11), in the same study.
async fn presentation(call: &Call, study: &Uid) -> Result<Option<InstanceRow>, Problem> {
    if parameter(call, "presentationUID").is_none() && parameter(call, "presentationSeriesUID").is_none() {
        return Ok(None);
    }
    let (series, instance) = (uid(call, "presentationSeriesUID")?, uid(call, "presentationUID")?);
    let selection = select(call, Target::Instance { study: study.clone(), series, instance }).await?;
    let row = selection.instances.into_iter().next().filter(Archive::is_presentation);
    let none = || bad("this is no presentation state that is applied", "presentationUID");
    row.map(Some).ok_or_else(none)
}

/// The media types of `contentType`, else of the Accept header where it says anything, else what suits the object.
fn ranges(call: &Call, row: &InstanceRow) -> Result<Vec<MediaRange>, Problem> {
    if let Some(text) = parameter(call, "contentType").or_else(|| parameter(call, "accept")) {
        return accept::ranges(&HeaderMap::new(), Some(text));
    }
    let accepted = accept::ranges(&call.parts.headers, None)?;
    if accepted.iter().any(|range| range.main != "*") && !accepted.iter().any(|range| range.main == "*") {
        return Ok(accepted);
    }
    // An image of several frames comes as the object it is (PS3.18 section 9.1.2.2.1).
    let own = match () {
        () if Archive::has_pictures(row) && row.frames.count() == 1 => "image/jpeg",
        () if !Archive::has_pictures(row) && rendered::has_form(row) => "*/*",
        () => "application/dicom",
    };
    accept::ranges(&HeaderMap::new(), Some(own))
}

/// First value of a parameter, whatever the case of its name (clients differ).
fn parameter<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn uid(call: &Call, name: &str) -> Result<Uid, Problem> {
    let text = parameter(call, name).unwrap_or_default();
    let place = format!("query parameter {name}");
    Uid::parse(text).map_err(|error| Problem::new(Kind::BadUid, error.to_string()).at(place))
}

fn bad(detail: &str, name: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail).at(format!("query parameter {name}"))
}
