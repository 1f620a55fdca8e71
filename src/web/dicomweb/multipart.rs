//! Multipart answers (RFC 2387, PS3.18 section 8.6): boundaries and part headers around pieces of an answer.

use crate::body::{Pieces, ReaderBody};
use crate::ready;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use std::io::{self, Read};

/// A `multipart/related` answer under construction.
pub(crate) struct Multipart {
    boundary: String,
    pieces: Pieces,
    length: Option<u64>,
    parts: usize,
}

impl Default for Multipart {
    fn default() -> Self {
        Self::new()
    }
}

impl Multipart {
    /// An answer without parts, with a random boundary.
    pub(crate) fn new() -> Self {
        Self { boundary: draw(), pieces: Pieces::default(), length: Some(0), parts: 0 }
    }

    /// Adds a part whose bytes are opened when their turn comes; `length` in bytes where it is known before.
    pub(crate) fn part(
        &mut self,
        content_type: &str,
        location: Option<&str>,
        length: Option<u64>,
        open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
    ) {
        self.add_text(head(&self.boundary, self.parts == 0, content_type, location));
        self.length = self.length.zip(length).map(|(sum, more)| sum.saturating_add(more));
        self.pieces.later(open);
        self.parts += 1;
    }

    /// The boundary, for who frames parts itself.
    pub(crate) fn boundary(&self) -> &str {
        &self.boundary
    }

    /// Adds a part whose media type is known only when it is opened.
    pub(crate) fn decided(
        &mut self,
        location: &str,
        open: impl FnOnce() -> io::Result<(String, Box<dyn Read + Send>)> + Send + 'static,
    ) {
        let line_end = if self.parts == 0 { "" } else { "\r\n" };
        let (begin, location) = (format!("{line_end}--{}\r\n", self.boundary), location.to_owned());
        self.written(move || {
            let (content_type, source) = open()?;
            let head = format!("{begin}Content-Type: {content_type}\r\nContent-Location: {location}\r\n\r\n");
            Ok(Box::new(io::Cursor::new(head).chain(source)))
        });
    }

    /// Adds parts that frame themselves: each after the first part of the answer begins with a line end.
    pub(crate) fn written(&mut self, open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static) {
        self.length = None;
        self.pieces.later(open);
        self.parts += 1;
    }

    /// The answer; `inner` is the media type of its parts.
    pub(crate) fn respond(mut self, inner: &str) -> Response {
        self.add_text(close(&self.boundary));
        let body = Body::new(ReaderBody::new(Box::new(self.pieces), self.length));
        named(Response::new(body), inner, &self.boundary)
    }

    fn add_text(&mut self, text: String) {
        let added = u64::try_from(text.len()).unwrap_or_default();
        self.length = self.length.map(|sum| sum.saturating_add(added));
        self.pieces.memory(text);
    }
}

/// An answer of parts that lie ready in memory: the location of each, and its bytes one after the other.
pub(crate) fn of_ready(inner: &str, content_type: &str, parts: Vec<(String, Bytes)>) -> Response {
    let boundary = draw();
    let mut chunks = Vec::with_capacity(2 * parts.len() + 1);
    for (location, bytes) in parts {
        chunks.push(Bytes::from(head(&boundary, chunks.is_empty(), content_type, Some(&location))));
        chunks.push(bytes);
    }
    chunks.push(Bytes::from(close(&boundary)));
    named(ready::respond(chunks), inner, &boundary)
}

/// A random boundary.
fn draw() -> String {
    format!("khoanh-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// What stands before the bytes of a part.
fn head(boundary: &str, first: bool, content_type: &str, location: Option<&str>) -> String {
    let line_end = if first { "" } else { "\r\n" };
    let mut head = format!("{line_end}--{boundary}\r\nContent-Type: {content_type}\r\n");
    if let Some(location) = location {
        head.push_str(&format!("Content-Location: {location}\r\n"));
    }
    head.push_str("\r\n");
    head
}

/// What stands behind the last part.
fn close(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

/// The answer with its media type.
fn named(mut response: Response, inner: &str, boundary: &str) -> Response {
    let content_type = format!("multipart/related; type=\"{inner}\"; boundary={boundary}");
    if let Ok(value) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicomweb::stow::parts::{Event, Splitter};
    use http_body_util::BodyExt;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_out_can_be_split_again() {
        let mut answer = Multipart::new();
        for text in ["one", "", "three\r\n"] {
            answer.part("text/plain", Some("/x"), Some(text.len() as u64), move || Ok(Box::new(text.as_bytes())));
        }
        let known = answer.length;
        answer.decided("/y", || Ok(("text/html".to_owned(), Box::new(&b"four"[..]))));
        assert!(known.is_some() && answer.length.is_none(), "its length is not known before");
        let boundary = answer.boundary.clone();
        let response = answer.respond("text/plain");
        let declared = http_body::Body::size_hint(response.body()).exact();
        let body = response.into_body().collect().await.expect("body").to_bytes();
        assert_eq!(declared, None);
        let mut splitter = Splitter::new(&boundary).expect("boundary");
        splitter.feed(&body);
        let (mut parts, mut current) = (Vec::new(), Vec::new());
        loop {
            match splitter.next_event().expect("well formed") {
                Event::Start(_) => current = Vec::new(),
                Event::Data(data) => current.extend_from_slice(&data),
                Event::End => parts.push(String::from_utf8(current.clone()).expect("text")),
                Event::Closed => break,
                Event::Hungry => panic!("the closing boundary is missing"),
            }
        }
        assert_eq!(parts, ["one", "", "three\r\n", "four"]);
    }
}
