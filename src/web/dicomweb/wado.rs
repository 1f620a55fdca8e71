//! WADO-RS (PS3.18 section 10.4): studies, series, instances, their metadata, frames and bulk data.

pub(crate) mod bulkdata;
mod encoding;
pub(crate) mod every_value;
pub(crate) mod frames;
pub(crate) mod instances;
mod made;
pub(crate) mod media_set;
pub(crate) mod metadata;
mod metadata_xml;
pub(crate) mod parameters;
pub(crate) mod pictures;
pub(crate) mod pixeldata;
pub(crate) mod rendered;
mod report_page;
mod spans;
pub(crate) mod thumbnail;

use crate::app::Call;
use crate::conditional;
use crate::dicomweb::multipart::Multipart;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::{InstanceRow, Selection, Target};
use axum::response::Response;
use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What an answer says whose pixels were compressed with loss.
const LOSSY: &str = "The pixels are compressed with loss, as asked for by the name of the transfer syntax.";

/// What the path of a request names.
pub(super) fn target(endpoint: Endpoint, call: &Call) -> Result<Target, Problem> {
    Ok(match endpoint {
        Endpoint::RetrieveStudy
        | Endpoint::StudyMetadata
        | Endpoint::StudyPixels
        | Endpoint::StudyBulkData
        | Endpoint::RenderedStudy
        | Endpoint::ThumbnailOfStudy
        | Endpoint::RejectStudy => Target::Study(call.uid("study")?),
        Endpoint::RetrieveSeries
        | Endpoint::SeriesMetadata
        | Endpoint::SeriesPixels
        | Endpoint::SeriesBulkData
        | Endpoint::RenderedSeries
        | Endpoint::ThumbnailOfSeries
        | Endpoint::RejectSeries => Target::Series { study: call.uid("study")?, series: call.uid("series")? },
        _ => {
            Target::Instance { study: call.uid("study")?, series: call.uid("series")?, instance: call.uid("instance")? }
        }
    })
}

/// The instances of a target for the caller.
pub(super) async fn select(call: &Call, target: Target) -> Result<Selection, Problem> {
    let (caller, scope) = (call.caller.clone(), call.scope);
    let selection = call.blocking(move |archive| Ok(archive.select(&caller, scope, &target)?)).await?;
    call.seen.rows(&selection.instances);
    Ok(selection)
}

/// Whether whoever asks counts among those who look at images: a patient with a link does not.
fn looks(call: &Call) -> bool {
    call.session.as_ref().is_none_or(|session| session.shared().is_none())
}

/// Notes that somebody looks at the study of an instance.
pub(super) fn look(call: &Call, row: Option<&InstanceRow>) {
    if let Some(row) = row.filter(|_| looks(call)) {
        call.app.archive.charts().note_opened(&row.key.study);
    }
}

/// Whether objects are asked for as they were received, without corrections: query parameter `asreceived`.
fn as_received(call: &Call) -> Result<bool, Problem> {
    match call.query_value("asreceived") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::new(Kind::BadRequest, "true or false").at("query parameter asreceived")),
    }
}

/// Tag of what is stored and how it goes out, with its quotes.
fn etag<'a>(rows: impl IntoIterator<Item = &'a InstanceRow>, how: &str) -> String {
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(row.digest.bytes());
        digest.update(row.meta_digest.0);
        if let Some(correction) = &row.correction {
            digest.update(correction.0.to_be_bytes());
        }
    }
    digest.update(how);
    let mut tag = String::from("\"");
    for byte in digest.finalize().iter().take(12) {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// A multipart answer with its tag, or that the client has it already. The boundary differs each time, the parts
/// do not: the tag is a weak one.
fn multipart(headers: &HeaderMap, answer: Multipart, inner: &str, tag: &str) -> Response {
    if conditional::is_known(headers, tag) {
        return conditional::not_modified(&format!("W/{tag}"));
    }
    let mut response = answer.respond(inner);
    conditional::tag(&mut response, &format!("W/{tag}"));
    response
}

/// The one instance of a path, and the texts for the Warning header.
async fn instance(call: &Call) -> Result<(InstanceRow, Vec<String>), Problem> {
    let selection = select(call, target(Endpoint::RetrieveInstance, call)?).await?;
    let notes = selection.notes;
    let row = selection.instances.into_iter().next();
    row.map(|row| (row, notes)).ok_or_else(|| Problem::new(Kind::NotFound, "the archive has no such instance"))
}

/// URL of an instance under a service root.
fn instance_url(root: &str, row: &InstanceRow) -> String {
    let (study, series) = (&row.key.study.study, &row.key.series);
    format!("{root}/studies/{study}/series/{series}/instances/{}", row.sop_instance)
}

/// The refusal where the Accept header leaves nothing to send.
fn not_acceptable(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::NotAcceptable, detail).at("header Accept")
}
