//! Rendered resources (PS3.18 section 10.4.1.1.3): documents and videos as they are, structured reports as a page,
//! images as [`super::pictures`] makes them.

use super::bulkdata::{document, document_media, pixel_data};
use super::frames::Pixels;
use super::{encoding, etag, instance, instance_url, not_acceptable, parameters, pictures, report_page};
use crate::accept::MediaRange;
use crate::app::Call;
use crate::conditional;
use crate::dicomweb::media;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use archive::{Archive, InstanceRow, Target};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use std::sync::Arc;

/// Answers a retrieve of a rendered instance.
pub(crate) async fn retrieve(call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let (row, notes) = instance(&call).await?;
    super::look(&call, Some(&row));
    let mut response = answer(&call, row, &ranges).await?;
    warn(&mut response, &notes);
    Ok(response)
}

/// The rendered form of an instance for the ranges of a request.
pub(crate) async fn answer(call: &Call, row: InstanceRow, ranges: &[MediaRange]) -> Result<Response, Problem> {
    if document_media(&row, super::bulkdata::DOCUMENT).is_some() {
        return document(call, row, ranges).await.map(framed);
    }
    if media::frame_media(row.transfer_syntax.as_str()).starts_with("video/") {
        return video(call, row, ranges).await;
    }
    if is_report(&row) {
        return report(call, row, ranges).await.map(framed);
    }
    if Archive::has_pictures(&row) {
        return pictures::of_instance(call, row, ranges).await;
    }
    if Archive::is_presentation(&row) {
        return pictures::by_state(call, row, None, ranges, (parameters::rendered(call)?, None)).await;
    }
    let detail =
        "this instance has no rendered form here: it has no pictures and is no document, no report and no video";
    Err(Problem::new(Kind::NotAcceptable, detail).at("path"))
}

/// Whether an instance has a rendered form.
pub(crate) fn has_form(row: &InstanceRow) -> bool {
    document_media(row, super::bulkdata::DOCUMENT).is_some()
        || media::frame_media(row.transfer_syntax.as_str()).starts_with("video/")
        || is_report(row)
}

/// Structured reports and key object selections (PS3.3 section A.35).
fn is_report(row: &InstanceRow) -> bool {
    row.pixel.is_none() && row.sop_class.as_str().starts_with("1.2.840.10008.5.1.4.1.1.88.")
}

/// The stream of a video as it is stored, one body that can be read in ranges.
async fn video(call: &Call, row: InstanceRow, ranges: &[MediaRange]) -> Result<Response, Problem> {
    let own = media::frame_media(row.transfer_syntax.as_str());
    if !ranges.iter().any(|range| range.covers_type(own)) {
        return Err(not_acceptable(format!("the video is answered as {own}")));
    }
    let location = format!("{}/rendered", instance_url(&call.service_root(), &row));
    let open = move |archive: &Arc<Archive>| Pixels::open(row, |row| Ok(archive.layout(row)?));
    let pixels = call.blocking(open).await?;
    let (main, sub) = own.split_once('/').unwrap_or_default();
    let only = MediaRange::exactly(main, sub);
    pixel_data(call, pixels, &[only], location, None).await
}

/// A structured report as a page.
async fn report(call: &Call, row: InstanceRow, ranges: &[MediaRange]) -> Result<Response, Problem> {
    if !ranges.iter().any(|range| range.covers("text", "html")) {
        return Err(not_acceptable("a report is answered as text/html"));
    }
    let root = call.service_root();
    let tag = etag([&row], &format!("report {root}"));
    if conditional::is_known(&call.parts.headers, &tag) {
        return Ok(conditional::not_modified(&tag));
    }
    let permit = encoding::permit(&call.app).await?;
    let (caller, scope) = (call.caller.clone(), call.scope);
    let target = Target::Instance {
        study: row.key.study.study.clone(),
        series: row.key.series.clone(),
        instance: row.sop_instance.clone(),
    };
    let page = call
        .blocking(move |archive| {
            let part = archive.metadata(&caller, scope, &target)?.into_iter().next();
            let part = part.ok_or_else(|| Problem::new(Kind::NotFound, "the archive has no such instance"))?;
            let failed = |error: String| Problem::new(Kind::Damaged, format!("the report cannot be read: {error}"));
            let document = super::metadata::plain(&part, &root).map_err(|error| failed(error.to_string()))?;
            let document = serde_json::from_slice(&document).map_err(|error| failed(error.to_string()))?;
            drop(permit);
            Ok(report_page::page(&document))
        })
        .await?;
    let mut response = page.into_response();
    conditional::tag(&mut response, &tag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(report_page::POLICY));
    Ok(response)
}

/// Documents may be shown inside a page of the service's own viewer.
fn framed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
