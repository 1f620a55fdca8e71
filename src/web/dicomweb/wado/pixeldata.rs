//! Pixel data resources (PS3.18 section 10.4.1.1.7): the pixel data of an instance, or of all instances below a
//! study or series, without the rest of the data set.

use super::bulkdata::pixel_data;
use super::frames::Pixels;
use super::{LOSSY, encoding, etag, instance_url, made, multipart, not_acceptable, select, target};
use crate::app::{App, Call};
use crate::dicomweb::media::{self, FrameRendition, Wrapping, frame_rendition, in_parts};
use crate::dicomweb::multipart::Multipart;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::{Archive, InstanceRow, transcode};
use axum::response::Response;
use http::StatusCode;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Answers a retrieve of pixel data.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let selection = select(&call, target(endpoint, &call)?).await?;
    super::look(&call, selection.instances.first());
    let root = call.service_root();
    let deflated = |row: &InstanceRow| row.transfer_syntax.as_str() == media::DEFLATED_LE;
    let permit_if = async |needed: bool| match needed {
        true => encoding::permit(&call.app).await.map(Some),
        false => Ok(None),
    };
    if endpoint == Endpoint::InstancePixels {
        let permit = permit_if(selection.instances.iter().any(deflated)).await?;
        let row = selection.instances.into_iter().next();
        let row = row.ok_or_else(|| Problem::new(Kind::NotFound, "the archive has no such instance"))?;
        let location = format!("{}/pixeldata", instance_url(&root, &row));
        let open = move |archive: &Arc<Archive>| Pixels::open(row, |row| Ok(archive.layout(row)?));
        let pixels = call.blocking(open).await?;
        let mut response = pixel_data(&call, pixels, &ranges, location, permit).await?;
        warn(&mut response, &selection.notes);
        return Ok(response);
    }
    let rows: Vec<InstanceRow> = selection.instances.into_iter().filter(|row| row.pixel.is_some()).collect();
    if rows.is_empty() {
        return Err(Problem::new(Kind::NotFound, "none of the instances has pixel data"));
    }
    let (mut chosen, mut left_out, mut why, ranges) = (Vec::new(), false, None, in_parts(&ranges));
    for row in rows {
        let rendition = frame_rendition(row.transfer_syntax.as_str(), &ranges);
        let rendition = rendition.filter(|rendition| rendition.wrapping == Wrapping::Multipart);
        let reason = rendition.as_ref().and_then(|rendition| transcode::refusal(&row, &rendition.syntax));
        match rendition.filter(|_| reason.is_none()) {
            Some(rendition) => chosen.push((row, rendition)),
            None => left_out = true,
        }
        why = why.or(reason);
    }
    let Some((_, first)) = chosen.first() else {
        let usual = || "pixel data of several instances is answered as multipart/related of its frames".into();
        return Err(not_acceptable(why.unwrap_or_else(usual)));
    };
    let inner = first.media;
    let permit = permit_if(chosen.iter().any(|(row, rendition)| rendition.made || deflated(row))).await?;
    let mut notes = selection.notes;
    if chosen.iter().any(|(_, rendition)| rendition.loses()) {
        notes.push(LOSSY.into());
    }
    let how: Vec<&str> = chosen.iter().map(|(_, rendition)| rendition.syntax.as_str()).collect();
    let tag = etag(chosen.iter().map(|(row, _)| row), &format!("pixeldata {}", how.join(",")));
    let mut response = multipart(&call.parts.headers, parts(&call.app, chosen, &root, permit), inner, &tag);
    if left_out && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    warn(&mut response, &notes);
    Ok(response)
}

/// One part per instance: its frames one after the other, as each is stored or made, when its turn comes.
fn parts(
    app: &Arc<App>,
    chosen: Vec<(InstanceRow, FrameRendition)>,
    root: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Multipart {
    let permit = permit.map(Arc::new);
    let mut answer = Multipart::new();
    for (row, rendition) in chosen {
        let location = format!("{}/pixeldata", instance_url(root, &row));
        let content_type = format!("{}; transfer-syntax={}", rendition.media, rendition.syntax);
        let (app, permit) = (Arc::clone(app), permit.clone());
        answer.part(&content_type, Some(&location), None, move || {
            if rendition.made {
                return Ok(encoding::held(Box::new(made::all(&app, &row, &rendition.syntax, None)), permit));
            }
            let failed = |problem: Problem| io::Error::other(problem.detail);
            let pixels = Pixels::open(row, |row| Ok(app.archive.layout(row)?)).map_err(failed)?;
            let source: Box<dyn Read + Send> = pixels.all(&app, rendition.swap)?;
            Ok(encoding::held(source, permit))
        });
    }
    answer
}
