//! Bulk data: the one value that a BulkDataURI names, by its path in the data set (PS3.18 section 10.4.1.1.5).

use super::encoding::{self, Exactly, Source, Swapped, skip};
use super::frames::{Pixels, answer as frames_answer, word_width};
use super::{instance, instance_url, not_acceptable};
use crate::app::{App, Call};
use crate::dicomweb::media::{self, FrameRendition, Wrapping, frame_rendition};
use crate::dicomweb::multipart::{Multipart, single};
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use archive::InstanceRow;
use axum::response::Response;
use model::{Layout, Span};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of a data set looked through at first; fourfold each time the value is not among them.
const FIRST_LOOK: u64 = 1 << 20;
/// Most bytes of a data set held to find a value.
const LOOK_MAX: u64 = 1 << 30;

/// Answers a retrieve of bulk data.
pub(crate) async fn retrieve(call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let path = call.parameter("path").trim_matches('/').to_owned();
    let (row, notes) = instance(&call).await?;
    let location = format!("{}/bulkdata/{path}", instance_url(&call.service_root(), &row));
    let deflated = row.transfer_syntax.as_str() == media::DEFLATED_LE;
    let permit = if deflated { Some(encoding::permit(&call.app).await?) } else { None };
    let app = Arc::clone(&call.app);
    let layout_of = row.clone();
    let layout = call.blocking(move |archive| Ok(archive.layout(&layout_of)?)).await?;
    let is_pixel = layout.pixel.is_some_and(|pixel| path.eq_ignore_ascii_case(&format!("{:08X}", pixel.tag)));
    let mut response = if is_pixel {
        let pixels = Pixels::open(row, |_| Ok(layout))?;
        let wanted = |syntax: &str| {
            frame_rendition(syntax, &ranges)
                .ok_or_else(|| not_acceptable(format!("the pixel data is answered as {}", media::frame_media(syntax))))
        };
        let rendition = wanted(pixels.row.transfer_syntax.as_str())?;
        if pixels.is_native() {
            let value = Value { span: pixels.span.value, swap: 1, native_pixels: rendition.swap };
            call.blocking(move |_| native(&app, pixels, value, &rendition, &location, permit)).await?
        } else {
            every_frame(&app, pixels, &rendition, &location, permit)?
        }
    } else {
        // Other values are plain bytes, little endian where they are numbers.
        let rendition = frame_rendition(media::EXPLICIT_LE, &ranges)
            .ok_or_else(|| not_acceptable("bulk data is answered as application/octet-stream"))?;
        call.blocking(move |_| {
            let value = locate(&app, &row, &layout, &path)?;
            respond(&app, row, value, &rendition, &location, permit)
        })
        .await?
    };
    warn(&mut response, &notes);
    Ok(response)
}

/// A value found: where it lies and the width of its words where they must be swapped.
#[derive(Debug, Clone, Copy)]
struct Value {
    span: Span,
    swap: usize,
    native_pixels: bool,
}

fn every_frame(
    app: &Arc<App>,
    pixels: Pixels,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let count = pixels.count();
    if rendition.wrapping == Wrapping::Single && count > 1 {
        return Err(not_acceptable("the pixel data has several frames: answered as multipart/related only"));
    }
    let places = (1..=count).map(|number| Ok((number, pixels.frame(number)?))).collect::<Result<Vec<_>, Problem>>()?;
    if places.is_empty() {
        return Err(Problem::new(
            Kind::NotFound,
            "the frames of this instance cannot be told apart; retrieve the instance",
        ));
    }
    frames_answer(app, pixels, places, rendition, location, permit)
}

fn native(
    app: &Arc<App>,
    pixels: Pixels,
    value: Value,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let failed = |error: io::Error| Problem::new(Kind::Damaged, error.to_string());
    let swap = if value.native_pixels { word_width(app, &pixels).map_err(failed)? } else { 1 };
    respond(app, pixels.row, Value { swap, ..value }, rendition, location, permit)
}

fn respond(
    app: &Arc<App>,
    row: InstanceRow,
    value: Value,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let content_type = format!("{}; transfer-syntax={}", rendition.media, rendition.syntax);
    let part = value.span.at..value.span.at.saturating_add(value.span.len);
    app.archive.reach_part(&row, part)?;
    let (app, length) = (Arc::clone(app), Some(value.span.len));
    let open = move || open(&app, &row, value, permit);
    if rendition.wrapping == Wrapping::Single {
        let mut pieces = crate::body::Pieces::default();
        pieces.later(open);
        return Ok(single(&content_type, Box::new(pieces), length));
    }
    let mut answer = Multipart::new();
    answer.part(&content_type, Some(location), length, open);
    Ok(answer.respond(rendition.media))
}

fn open(app: &Arc<App>, row: &InstanceRow, value: Value, permit: Option<OwnedSemaphorePermit>) -> io::Result<Source> {
    let mut source: Source = if row.transfer_syntax.as_str() == media::DEFLATED_LE {
        let mut inflated = encoding::inflated(app, row)?;
        skip(&mut inflated, value.span.at)?;
        inflated
    } else {
        let end = value.span.at.saturating_add(value.span.len);
        Box::new(app.archive.data_set_part(row, value.span.at..end))
    };
    source = Box::new(Exactly::new(source, value.span.len));
    if value.swap > 1 {
        source = Box::new(Swapped::new(source, value.swap));
    }
    Ok(encoding::held(source, permit))
}

/// Finds the value of a path in the part of the data set that can hold it: before or behind the pixel data.
fn locate(app: &Arc<App>, row: &InstanceRow, layout: &Layout, path: &str) -> Result<Value, Problem> {
    let missing = || Problem::new(Kind::NotFound, "the instance has no value at this path").at("path segment bulkdata");
    let root = path.split('/').next().and_then(|tag| u32::from_str_radix(tag, 16).ok()).ok_or_else(missing)?;
    let (start, end) = match layout.pixel {
        Some(pixel) if root > pixel.tag => (pixel.end, layout.dataset_len),
        Some(pixel) => (0, pixel.header),
        None => (0, layout.dataset_len),
    };
    let failed = |error: io::Error| {
        tracing::error!(%error, "bulk data could not be read");
        Problem::new(Kind::Damaged, "the stored bytes of the value cannot be read")
    };
    let total = end.saturating_sub(start).min(LOOK_MAX);
    let mut look = FIRST_LOOK.min(total);
    loop {
        let bytes = head(app, row, start, look).map_err(failed)?;
        if let Some(found) = dataset::bulk::locate(&bytes, &row.transfer_syntax, path) {
            let span = Span { at: found.span.at.saturating_add(start), len: found.span.len };
            return Ok(Value { span, swap: found.swap, native_pixels: false });
        }
        if look >= total {
            return Err(missing());
        }
        look = look.saturating_mul(4).min(total);
    }
}

/// Bytes of the (inflated) data set.
fn head(app: &Arc<App>, row: &InstanceRow, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if row.transfer_syntax.as_str() == media::DEFLATED_LE {
        let mut inflated = encoding::inflated(app, row)?;
        skip(&mut inflated, start)?;
        inflated.take(len).read_to_end(&mut bytes)?;
    } else {
        let mut file = app.archive.data_set(row);
        file.seek(SeekFrom::Start(start))?;
        file.take(len).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
