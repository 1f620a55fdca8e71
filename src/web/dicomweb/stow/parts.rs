//! A bounded splitter for multipart bodies (RFC 2046 section 5.1), fed in pieces as they arrive.
//!
//! It buffers at most one part's header block or one boundary's length of body; a part's bytes leave at once.
//! It knows nothing of DICOM and does no I/O.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

/// Longest header block of a part in bytes.
pub const HEADERS_MAX: usize = 16 << 10;
/// Longest text in front of the first boundary in bytes.
pub const PREAMBLE_MAX: usize = 16 << 10;
/// Most white space between a boundary and its line end in bytes.
const PADDING_MAX: usize = 256;
/// Longest boundary in characters (RFC 2046 section 5.1.1).
pub const BOUNDARY_MAX: usize = 70;

/// Why a body cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// No boundary, an empty one or one that is too long.
    #[error("the boundary is missing, empty or longer than {BOUNDARY_MAX} characters")]
    Boundary,
    /// No boundary within the allowed preamble.
    #[error("no boundary within the first {PREAMBLE_MAX} bytes")]
    Preamble,
    /// A header block beyond its limit.
    #[error("the headers of a part are longer than {HEADERS_MAX} bytes")]
    Headers,
    /// Text after a boundary that is neither a line end nor two dashes.
    #[error("a boundary is followed by other text")]
    AfterBoundary,
    /// The body ended before its closing boundary.
    #[error("the body ends without its closing boundary")]
    Unclosed,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins; its Content-Type and Content-Location values, if any.
    Start(PartHeaders),
    /// Bytes of the part.
    Data(Bytes),
    /// The part ended with a boundary.
    End,
    /// The closing boundary was seen; what follows is ignored.
    Closed,
    /// Feed more.
    Hungry,
}

/// Headers of a part, values trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartHeaders {
    /// Content-Type.
    pub content_type: Option<String>,
    /// Content-Transfer-Encoding.
    pub encoding: Option<String>,
    /// Content-Location.
    pub location: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    /// After a boundary's text: a line end or two dashes decide.
    AfterBoundary,
    Headers,
    Body,
    Closed,
}

/// The splitter.
pub struct Splitter {
    delimiter: Vec<u8>,
    finder: Finder<'static>,
    buffer: BytesMut,
    state: State,
}

impl Splitter {
    /// A splitter for a boundary (without the leading dashes).
    pub fn new(boundary: &str) -> Result<Self, PartsError> {
        if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
            return Err(PartsError::Boundary);
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        let finder = Finder::new(&delimiter).into_owned();
        // The first boundary may stand at the very start: a line end in front makes it like the others.
        Ok(Self { delimiter, finder, buffer: BytesMut::from("\r\n"), state: State::Preamble })
    }

    /// Takes bytes of the body.
    pub fn feed(&mut self, data: &[u8]) {
        if self.state != State::Closed {
            self.buffer.extend_from_slice(data);
        }
    }

    /// The body is over.
    pub fn finish(&self) -> Result<(), PartsError> {
        if self.state == State::Closed { Ok(()) } else { Err(PartsError::Unclosed) }
    }

    /// The next event; [`Event::Hungry`] when more bytes are needed.
    pub fn next_event(&mut self) -> Result<Event, PartsError> {
        loop {
            match self.state {
                State::Closed => {
                    self.buffer.clear();
                    return Ok(Event::Closed);
                }
                State::Preamble => match self.finder.find(&self.buffer) {
                    Some(at) if at > PREAMBLE_MAX => return Err(PartsError::Preamble),
                    Some(at) => self.pass_boundary(at),
                    // Refused once no boundary can begin within the limit, however the bytes arrive.
                    None if self.buffer.len() >= PREAMBLE_MAX + self.delimiter.len() => {
                        return Err(PartsError::Preamble);
                    }
                    None => return Ok(Event::Hungry),
                },
                State::AfterBoundary => {
                    if !self.after_boundary()? {
                        return Ok(Event::Hungry);
                    }
                }
                State::Headers => match self.headers()? {
                    Some(headers) => {
                        self.state = State::Body;
                        return Ok(Event::Start(headers));
                    }
                    None => return Ok(Event::Hungry),
                },
                State::Body => return Ok(self.body()),
            }
        }
    }

    fn pass_boundary(&mut self, at: usize) {
        self.buffer.advance(at.saturating_add(self.delimiter.len()).min(self.buffer.len()));
        self.state = State::AfterBoundary;
    }

    /// Decides between another part and the end; false when more bytes are needed.
    fn after_boundary(&mut self) -> Result<bool, PartsError> {
        if self.buffer.starts_with(b"--") {
            self.state = State::Closed;
            return Ok(true);
        }
        // Padding of white space is allowed between a boundary and its line end.
        let padding = self.buffer.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match (self.buffer.get(padding), self.buffer.get(padding.saturating_add(1))) {
            _ if padding > PADDING_MAX => Err(PartsError::AfterBoundary),
            (Some(b'\r'), Some(b'\n')) => {
                // The line end stays: a part without headers begins with an empty line.
                self.buffer.advance(padding);
                self.state = State::Headers;
                Ok(true)
            }
            (Some(b'\r' | b'-'), None) | (None, _) => Ok(false),
            _ => Err(PartsError::AfterBoundary),
        }
    }

    fn headers(&mut self) -> Result<Option<PartHeaders>, PartsError> {
        let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
            return if self.buffer.len() >= HEADERS_MAX + 4 { Err(PartsError::Headers) } else { Ok(None) };
        };
        if end > HEADERS_MAX {
            return Err(PartsError::Headers);
        }
        let block = self.buffer.split_to(end);
        self.buffer.advance(4);
        let mut headers = PartHeaders::default();
        for line in String::from_utf8_lossy(&block).lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = Some(value.trim().to_owned());
            match name.trim().to_ascii_lowercase().as_str() {
                "content-type" => headers.content_type = value,
                "content-transfer-encoding" => headers.encoding = value,
                "content-location" => headers.location = value,
                _ => {}
            }
        }
        Ok(Some(headers))
    }

    fn body(&mut self) -> Event {
        if let Some(at) = self.finder.find(&self.buffer) {
            if at > 0 {
                return Event::Data(self.buffer.split_to(at).freeze());
            }
            self.pass_boundary(0);
            return Event::End;
        }
        // The tail may be the beginning of a boundary: it stays until more bytes decide.
        let ready = self.buffer.len().saturating_sub(self.delimiter.len().saturating_sub(1));
        if ready == 0 { Event::Hungry } else { Event::Data(self.buffer.split_to(ready).freeze()) }
    }
}

#[cfg(test)]
mod tests;
