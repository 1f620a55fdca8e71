//! Bulk data: the one value that a BulkDataURI names, by its path in the data set (PS3.18 section 10.4.1.1.5).

use super::encoding::{self, Exactly, Source, Swapped, skip};
use super::frames::{Pixels, answer as frames_answer, word_width};
use super::{etag, instance, instance_url, made, multipart, not_acceptable};
use crate::accept::MediaRange;
use crate::app::{App, Call};
use crate::conditional::{self, Whole};
use crate::dicomweb::media::{self, FrameRendition, Wrapping, frame_rendition, value_rendition};
use crate::dicomweb::multipart::Multipart;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use archive::InstanceRow;
use axum::response::Response;
use http::HeaderMap;
use model::{Layout, Span};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
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
        pixel_data(&call, Pixels::open(row, |_| Ok(layout))?, &ranges, location, permit).await?
    } else {
        // Other values are plain bytes, little endian where they are numbers; a document is of its own type.
        let own = document_media(&row, &path);
        let rendition =
            document_rendition(own, &ranges, false).or_else(|| value_rendition(media::EXPLICIT_LE, &ranges));
        let rendition = rendition.ok_or_else(|| {
            let own = own.map_or_else(String::new, |own| format!("{own} or "));
            not_acceptable(format!("this value is answered as {own}application/octet-stream"))
        })?;
        let headers = call.parts.headers.clone();
        call.blocking(move |_| {
            let value = locate(&app, &row, &layout, &path)?;
            respond(&app, &headers, row, value, &rendition, &location, permit)
        })
        .await?
    };
    warn(&mut response, &notes);
    Ok(response)
}

/// The pixel data of an instance as one value.
pub(super) async fn pixel_data(
    call: &Call,
    pixels: Pixels,
    ranges: &[MediaRange],
    location: String,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let syntax = pixels.row.transfer_syntax.as_str();
    let is_one = |one: &FrameRendition| {
        let native = if one.made { made::is_native(&one.syntax) } else { pixels.is_native() };
        one.wrapping == Wrapping::Multipart || native || pixels.count() <= 1
    };
    let rendition = frame_rendition(syntax, ranges).filter(is_one);
    let rendition = rendition.or_else(|| frame_rendition(syntax, &media::in_parts(ranges)));
    let rendition = rendition
        .ok_or_else(|| not_acceptable(format!("the pixel data is answered as {}", media::frame_media(syntax))))?;
    if rendition.made {
        drop(permit);
        let mut response = made::value(call, pixels.row, &rendition, &location).await?;
        if rendition.loses() {
            warn(&mut response, &[super::LOSSY.into()]);
        }
        return Ok(response);
    }
    let (app, headers) = (Arc::clone(&call.app), call.parts.headers.clone());
    if !pixels.is_native() {
        return every_frame(&app, &headers, pixels, &rendition, &location, permit);
    }
    let value = Value { span: pixels.span.value, swap: 1, native_pixels: rendition.swap };
    call.blocking(move |_| native(&app, &headers, pixels, value, &rendition, &location, permit)).await
}

/// The encapsulated document of an instance in its own media type; 404 where it has none.
pub(super) async fn document(call: &Call, row: InstanceRow, ranges: &[MediaRange]) -> Result<Response, Problem> {
    let own = document_media(&row, DOCUMENT);
    let rendition = document_rendition(own, ranges, true)
        .ok_or_else(|| not_acceptable(format!("the document is answered as {}", own.unwrap_or("application/pdf"))))?;
    let location = format!("{}/rendered", instance_url(&call.service_root(), &row));
    let permit = match row.transfer_syntax.as_str() {
        media::DEFLATED_LE => Some(encoding::permit(&call.app).await?),
        _ => None,
    };
    let (app, headers) = (Arc::clone(&call.app), call.parts.headers.clone());
    call.blocking(move |archive| {
        let layout = archive.layout(&row)?;
        let value = locate(&app, &row, &layout, DOCUMENT)?;
        respond(&app, &headers, row, value, &rendition, &location, permit)
    })
    .await
}

/// Encapsulated Document (0042,0011).
pub(super) const DOCUMENT: &str = "00420011";

/// Media type of an encapsulated document by its SOP class (PS3.3 section A.45, A.104, A.105).
pub(super) fn document_media(row: &InstanceRow, path: &str) -> Option<&'static str> {
    let kind = row.sop_class.as_str().strip_prefix("1.2.840.10008.5.1.4.1.1.104.").filter(|_| path == DOCUMENT)?;
    Some(match kind {
        "1" => "application/pdf",
        "2" => "text/xml",
        "3" => "model/stl",
        "4" => "model/obj",
        "5" => "model/mtl",
        _ => return None,
    })
}

/// How a document goes out in its own media type; whether who takes anything gets it so.
fn document_rendition(own: Option<&'static str>, ranges: &[MediaRange], anything: bool) -> Option<FrameRendition> {
    let own = own?;
    ranges.iter().find_map(|range| {
        let wrapping = if range.covers("multipart", "related") && range.main != "*" {
            range.covers_parts(own, if anything { own } else { "" }).then_some(Wrapping::Multipart)
        } else {
            ((anything || range.main != "*") && range.covers_type(own)).then_some(Wrapping::Single)
        };
        let syntax = media::EXPLICIT_LE.to_owned();
        wrapping.map(|wrapping| FrameRendition { media: own, syntax, swap: false, made: false, wrapping })
    })
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
    headers: &HeaderMap,
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
    frames_answer(app, headers, pixels, places, rendition, location, permit)
}

fn native(
    app: &Arc<App>,
    headers: &HeaderMap,
    pixels: Pixels,
    value: Value,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let failed = |error: io::Error| Problem::new(Kind::Damaged, error.to_string());
    let swap = if value.native_pixels { word_width(app, &pixels).map_err(failed)? } else { 1 };
    respond(app, headers, pixels.row, Value { swap, ..value }, rendition, location, permit)
}

fn respond(
    app: &Arc<App>,
    headers: &HeaderMap,
    row: InstanceRow,
    value: Value,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let part = value.span.at..value.span.at.saturating_add(value.span.len);
    app.archive.reach_part(&row, part)?;
    Ok(wrapped(app, headers, row, value, rendition, location, permit))
}

fn wrapped(
    app: &Arc<App>,
    headers: &HeaderMap,
    row: InstanceRow,
    value: Value,
    rendition: &FrameRendition,
    location: &str,
    permit: Option<OwnedSemaphorePermit>,
) -> Response {
    let content_type = match rendition.media {
        "application/octet-stream" => format!("{}; transfer-syntax={}", rendition.media, rendition.syntax),
        media if media.starts_with("image/") => format!("{media}; transfer-syntax={}", rendition.syntax),
        media => media.to_owned(),
    };
    let how = format!("bulk {} {} {content_type} {:?}", value.span.at, value.span.len, rendition.wrapping);
    let tag = etag([&row], &how);
    let (app, length) = (Arc::clone(app), value.span.len);
    if rendition.wrapping == Wrapping::Single {
        let whole = Whole { content_type, etag: tag, length: Some(length) };
        return conditional::respond(headers, &whole, move |range| open(&app, &row, value, range, permit));
    }
    let mut answer = Multipart::new();
    answer.part(&content_type, Some(location), Some(length), move || open(&app, &row, value, 0..length, permit));
    multipart(headers, answer, rendition.media, &tag)
}

/// A value by its path, for an answer that holds several.
pub(super) fn source(app: &Arc<App>, row: &InstanceRow, layout: &Layout, path: &str) -> Result<Source, Problem> {
    let value = locate(app, row, layout, path)?;
    open(app, row, value, 0..value.span.len, None).map_err(|error| Problem::new(Kind::Damaged, error.to_string()))
}

/// Some bytes of a value.
fn open(
    app: &Arc<App>,
    row: &InstanceRow,
    value: Value,
    range: Range<u64>,
    permit: Option<OwnedSemaphorePermit>,
) -> io::Result<Source> {
    let wanted = range.end.saturating_sub(range.start);
    let from = value.span.at.saturating_add(range.start);
    if row.transfer_syntax.as_str() != media::DEFLATED_LE && value.swap <= 1 {
        let part = app.archive.data_set_part(row, from..from.saturating_add(wanted));
        return Ok(encoding::held(Box::new(Exactly::new(part, wanted)), permit));
    }
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
    skip(&mut source, range.start)?;
    Ok(encoding::held(Box::new(Exactly::new(source, wanted)), permit))
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
