//! Frames that are decoded, and encoded where a compressed form is asked, on their way out.
//!
//! The first frame is made before the answer begins, so that what cannot be made is refused and not cut off; the
//! others are made one by one as the client takes them.

use super::{encoding, etag, multipart, not_acceptable};
use crate::app::{App, Call};
use crate::body::Pieces;
use crate::conditional::{self, Whole};
use crate::dicomweb::media::{EXPLICIT_LE, FrameRendition, IMPLICIT_LE, Wrapping};
use crate::dicomweb::multipart::Multipart;
use crate::problem::{Kind, Problem};
use archive::InstanceRow;
use axum::response::Response;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Whether a frame is uncompressed in a transfer syntax that is made.
pub(super) fn is_native(syntax: &str) -> bool {
    [EXPLICIT_LE, IMPLICIT_LE].contains(&syntax)
}

/// Answers with frames (from 1) of an instance.
pub(super) async fn frames(
    call: &Call,
    row: InstanceRow,
    numbers: Vec<u32>,
    rendition: &FrameRendition,
    location: &str,
) -> Result<Response, Problem> {
    let single = rendition.wrapping == Wrapping::Single;
    let content_type = format!("{}; transfer-syntax={}", rendition.media, rendition.syntax);
    let asked = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let tag = etag([&row], &format!("made {asked} {content_type} {:?}", rendition.wrapping));
    let headers = &call.parts.headers;
    if conditional::is_known(headers, &tag) {
        let weak = if single { "" } else { "W/" };
        return Ok(conditional::not_modified(&format!("{weak}{tag}")));
    }
    let permit = Arc::new(encoding::permit(&call.app).await?);
    let (first, row) = begin(call, row, &numbers, &rendition.syntax).await?;
    let length = u64::try_from(first.len()).ok();
    if single {
        let whole = Whole { content_type, etag: tag, length };
        return Ok(conditional::respond(headers, &whole, move |range| {
            let end = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(first.len());
            let part = first.slice(end(range.start)..end(range.end));
            Ok(encoding::held(Box::new(io::Cursor::new(part)), permit))
        }));
    }
    // Uncompressed frames have one length.
    let length = length.filter(|_| is_native(&rendition.syntax));
    let (mut answer, mut first) = (Multipart::new(), Some(first));
    for number in numbers {
        let one = One { app: Arc::clone(&call.app), row: row.clone(), syntax: rendition.syntax.clone(), number };
        let (permit, first) = (Arc::clone(&permit), first.take());
        answer.part(&content_type, Some(&format!("{location}/{number}")), length, move || one.open(first, permit));
    }
    Ok(multipart(headers, answer, rendition.media, &tag))
}

/// Answers with the pixel data of an instance: one value where it is uncompressed, else a part for each frame.
pub(super) async fn value(
    call: &Call,
    row: InstanceRow,
    rendition: &FrameRendition,
    location: &str,
) -> Result<Response, Problem> {
    let count = row.frames.count();
    let numbers: Vec<u32> = (1..=count).collect();
    if !is_native(&rendition.syntax) || count == 1 {
        if rendition.wrapping == Wrapping::Single && count > 1 {
            return Err(not_acceptable("the pixel data has several frames: answered as multipart/related only"));
        }
        return frames(call, row, numbers, rendition, location).await;
    }
    let content_type = format!("{}; transfer-syntax={}", rendition.media, rendition.syntax);
    let tag = etag([&row], &format!("made value {content_type} {:?}", rendition.wrapping));
    let headers = &call.parts.headers;
    let permit = Arc::new(encoding::permit(&call.app).await?);
    let (first, row) = begin(call, row, &numbers, &rendition.syntax).await?;
    let (app, syntax) = (Arc::clone(&call.app), rendition.syntax.clone());
    let open = move || -> io::Result<encoding::Source> {
        Ok(encoding::held(Box::new(all(&app, &row, &syntax, Some(first))), permit))
    };
    if rendition.wrapping == Wrapping::Single {
        let whole = Whole { content_type, etag: tag, length: None };
        return Ok(conditional::respond(headers, &whole, move |_| open()));
    }
    let mut answer = Multipart::new();
    answer.part(&content_type, Some(location), None, open);
    Ok(multipart(headers, answer, rendition.media, &tag))
}

/// Every frame of an instance, one after the other, each made when its turn comes.
pub(super) fn all(app: &Arc<App>, row: &InstanceRow, syntax: &str, mut first: Option<Bytes>) -> Pieces {
    let mut pieces = Pieces::default();
    for number in 1..=row.frames.count() {
        let one = One { app: Arc::clone(app), row: row.clone(), syntax: syntax.to_owned(), number };
        let first = first.take();
        pieces.later(move || -> io::Result<encoding::Source> { Ok(Box::new(io::Cursor::new(one.bytes(first)?))) });
    }
    pieces
}

/// Makes the first frame, and says of every other whether there is one.
async fn begin(call: &Call, row: InstanceRow, numbers: &[u32], syntax: &str) -> Result<(Bytes, InstanceRow), Problem> {
    let count = row.frames.count();
    if let Some(beyond) = numbers.iter().find(|number| **number > count) {
        let detail = format!("the instance has {count} frames, there is no frame {beyond}");
        return Err(Problem::new(Kind::NotFound, detail).at("path segment frames"));
    }
    let none = || Problem::new(Kind::NotFound, "the instance has no frames that can be told apart");
    let first = numbers.first().copied().ok_or_else(none)?;
    let syntax = syntax.to_owned();
    call.blocking(move |archive| {
        archive.reach_files(std::slice::from_ref(&row))?;
        let bytes = archive.frame_in(&row, first.saturating_sub(1), &syntax)?;
        Ok((bytes, row))
    })
    .await
}

/// One frame to be made.
struct One {
    app: Arc<App>,
    row: InstanceRow,
    syntax: String,
    /// From 1.
    number: u32,
}

impl One {
    fn bytes(self, made: Option<Bytes>) -> io::Result<Bytes> {
        if let Some(made) = made {
            return Ok(made);
        }
        let frame = self.number.saturating_sub(1);
        self.app.archive.frame_in(&self.row, frame, &self.syntax).map_err(io::Error::other)
    }

    fn open(self, made: Option<Bytes>, permit: Arc<OwnedSemaphorePermit>) -> io::Result<encoding::Source> {
        Ok(encoding::held(Box::new(io::Cursor::new(self.bytes(made)?)), permit))
    }
}
