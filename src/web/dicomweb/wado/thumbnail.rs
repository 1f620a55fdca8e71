//! Thumbnails (PS3.18 section 10.4.1.1.4): one for a study, series, instance or frame, and those of many studies in
//! one answer, which a study list asks for.

use super::pictures::{one, whole};
use super::{etag, frames, instance, not_acceptable, parameters, target};
use crate::accept::MediaRange;
use crate::app::{Call, json};
use crate::conditional;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::render::{PictureError, Wanted};
use archive::{Archive, InstanceRow, RetrieveError, Target};
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dataset::render::Encoding;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::StatusCode;
use model::{Caller, Scope, Uid};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Most studies of one list.
const STUDIES_MAX: usize = 200;

/// Answers with a thumbnail.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let encoding = encoding(&call.accepts()?)?;
    let asked = parameters::thumbnail(&call)?;
    let (row, number, notes) = match endpoint {
        Endpoint::ThumbnailOfFrames => {
            let numbers = frames::numbers(call.parameter("frames"), call.app.options.frames_max)?;
            let (row, notes) = instance(&call).await?;
            let first = numbers.first().copied().unwrap_or(1);
            (row, first, notes)
        }
        Endpoint::ThumbnailOfInstance => {
            let (row, notes) = instance(&call).await?;
            let middle = row.frames.count() / 2 + 1;
            (row, middle, notes)
        }
        _ => {
            let target = target(endpoint, &call)?;
            if encoding == Encoding::Jpeg && asked.is_none() {
                return prepared(&call, target).await;
            }
            let (caller, scope) = (call.caller.clone(), call.scope);
            call.blocking(move |archive| Ok(archive.representative(&caller, scope, &target)?)).await?
        }
    };
    let wanted = asked.unwrap_or_else(|| Wanted::small(encoding));
    made(&call, row, number, Wanted { encoding, ..wanted }, &notes).await
}

/// The media type of a thumbnail.
fn encoding(ranges: &[MediaRange]) -> Result<Encoding, Problem> {
    let fits = |range: &MediaRange| Encoding::ALL.into_iter().find(|encoding| range.covers_type(encoding.media()));
    ranges.iter().find_map(fits).ok_or_else(|| not_acceptable("thumbnails are image/jpeg, image/png or image/gif"))
}

async fn made(
    call: &Call,
    row: InstanceRow,
    number: u32,
    wanted: Wanted,
    notes: &[String],
) -> Result<Response, Problem> {
    let tag = etag([&row], &format!("thumbnail {number} {}", wanted.name()));
    if conditional::is_known(&call.parts.headers, &tag) {
        return Ok(conditional::not_modified(&tag));
    }
    if !archive::Archive::has_pictures(&row) {
        return Err(PictureError::NoPixels.into());
    }
    let media = wanted.encoding.media();
    let bytes = one(call, Arc::new(row), number, wanted).await?;
    let mut response = whole(call, bytes, media, tag);
    warn(&mut response, notes);
    Ok(response)
}

/// The prepared thumbnail of a study or series.
async fn prepared(call: &Call, target: Target) -> Result<Response, Problem> {
    let (caller, scope) = (call.caller.clone(), call.scope);
    let found = call.blocking(move |archive| Ok(archive.thumbnail(&caller, scope, &target)?)).await?;
    let tag = format!("\"{}\"", found.version);
    let mut response = whole(call, found.bytes, Encoding::Jpeg.media(), tag);
    warn(&mut response, &found.notes);
    Ok(response)
}

/// Answers with the thumbnails of several studies; those without one are left out, those that cannot be had now null.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let place = "query parameter StudyInstanceUID";
    let mut studies = Vec::new();
    for (_, value) in call.query.iter().filter(|(name, _)| name == "StudyInstanceUID") {
        for text in value.split([',', '\\']).filter(|text| !text.is_empty()) {
            let uid = Uid::parse(text).map_err(|error| Problem::new(Kind::BadUid, error.to_string()).at(place))?;
            studies.push(uid);
        }
    }
    if studies.is_empty() || studies.len() > STUDIES_MAX {
        let detail = format!("from 1 to {STUDIES_MAX} Study Instance UIDs are answered at once");
        return Err(Problem::new(Kind::BadRequest, detail).at(place));
    }
    let mut seen = BTreeSet::new();
    studies.retain(|study| seen.insert(study.clone()));
    let looked = Looked { archive: Arc::clone(&call.app.archive), caller: call.caller.clone(), scope: call.scope };
    Ok(json(StatusCode::OK, Body::from_stream(entries(Arc::new(looked), studies))))
}

/// Where thumbnails are looked for, and for whom.
struct Looked {
    archive: Arc<Archive>,
    caller: Caller,
    scope: Scope,
}

impl Looked {
    /// A member of the answer's object: the thumbnail, or null while a study's bytes cannot be had; none for a study
    /// without pictures.
    fn entry(&self, study: &Uid) -> Option<String> {
        match self.archive.thumbnail(&self.caller, self.scope, &Target::Study(study.clone())) {
            Ok(thumbnail) => Some(format!("\"{study}\":\"{}\"", STANDARD.encode(thumbnail.bytes.as_slice()))),
            Err(PictureError::Retrieve(RetrieveError::Unavailable { .. } | RetrieveError::Restoring { .. })) => {
                Some(format!("\"{study}\":null"))
            }
            Err(_) => None,
        }
    }
}

/// The JSON object, study by study as the client takes it: nothing is looked for that nobody waits for any more.
fn entries(looked: Arc<Looked>, studies: Vec<Uid>) -> impl Stream<Item = io::Result<String>> {
    let begin = stream::once(async { Ok("{".to_owned()) });
    let members = stream::iter(studies).then(move |study| {
        let looked = Arc::clone(&looked);
        async move { tokio::task::spawn_blocking(move || looked.entry(&study)).await.map_err(io::Error::other) }
    });
    let mut line = "";
    let members = members.filter_map(move |found| {
        let found = found.transpose().map(|entry| entry.map(|entry| format!("{line}{entry}")));
        if found.is_some() {
            line = ",";
        }
        async move { found }
    });
    begin.chain(members).chain(stream::once(async { Ok("}".to_owned()) }))
}
