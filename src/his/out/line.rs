//! A connection to a receiver: frames out, acknowledgements in, each within its time.

use super::SendLimits;
use super::receivers::Receiver;
use crate::mllp::{BEGIN, END, RETURN};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Longest acknowledgement in bytes.
const ANSWER_MAX: usize = 256 << 10;
/// Bytes read at one time.
const READ: usize = 4 << 10;
/// Shortest limit of time a socket takes.
const SOON: Duration = Duration::from_millis(1);

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// The receiver hung up.
    #[error("the receiver hung up before it acknowledged")]
    Closed,
    /// No acknowledgement in time.
    #[error("the receiver did not acknowledge in time")]
    Late,
    /// An endless answer, or bytes that are no frame.
    #[error("what came is no acknowledgement")]
    Garbage,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Cut {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        match error.kind() {
            TimedOut | WouldBlock => Self::Late,
            BrokenPipe | ConnectionReset | ConnectionAborted | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<tls::Stream>),
}

/// A connection.
pub(super) struct Line {
    wire: Wire,
    /// What was read and not handed out.
    buffer: Vec<u8>,
}

impl Line {
    /// Calls a receiver.
    pub(super) fn connect(receiver: &Receiver, limits: &SendLimits) -> Result<Self, String> {
        let failed = |error: &io::Error| format!("no connection: {error}");
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in receiver.address.to_socket_addrs().map_err(|error| failed(&error))? {
            match TcpStream::connect_timeout(&candidate, limits.connect) {
                Ok(tcp) => return Self::over(receiver, tcp, limits),
                Err(error) => last = error,
            }
        }
        Err(failed(&last))
    }

    fn over(receiver: &Receiver, tcp: TcpStream, limits: &SendLimits) -> Result<Self, String> {
        let prepared = tcp
            .set_nodelay(true)
            .and_then(|()| tcp.set_read_timeout(Some(limits.answer)))
            .and_then(|()| tcp.set_write_timeout(Some(limits.write)));
        prepared.map_err(|error| format!("no connection: {error}"))?;
        let wire = match &receiver.tls {
            None => Wire::Plain(tcp),
            Some((client, expected)) => {
                let failed = |error: io::Error| {
                    format!("no TLS connection: {}", tls::explain(&error).unwrap_or_else(|| error.to_string()))
                };
                let mut through = tcp.try_clone().map_err(failed)?;
                let host = receiver.address.rsplit_once(':').map_or(receiver.address.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Wire::Tls(Box::new(client.connect(host, expected, tcp, &mut through).map_err(failed)?))
            }
        };
        Ok(Self { wire, buffer: Vec::new() })
    }

    /// The socket below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(stream) => stream.tcp(),
        }
    }

    /// Sends a message.
    pub(super) fn write(&mut self, message: &[u8]) -> Result<(), Cut> {
        let framed = [&[BEGIN][..], message, &[END, RETURN]].concat();
        let out: &mut dyn Write = match &mut self.wire {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(stream) => stream,
        };
        out.write_all(&framed)?;
        Ok(out.flush()?)
    }

    /// The next frame that came.
    pub(super) fn read(&mut self, until: Instant) -> Result<Vec<u8>, Cut> {
        loop {
            if let Some(answer) = self.taken()? {
                return Ok(answer);
            }
            if self.buffer.len() > ANSWER_MAX {
                return Err(Cut::Garbage);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Cut::Late);
            }
            self.tcp().set_read_timeout(Some(left.max(SOON)))?;
            let mut bytes = [0u8; READ];
            let source: &mut dyn Read = match &mut self.wire {
                Wire::Plain(tcp) => tcp,
                Wire::Tls(stream) => stream,
            };
            match source.read(&mut bytes) {
                Ok(0) => return Err(Cut::Closed),
                Ok(count) => self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A whole frame out of what was read.
    fn taken(&mut self) -> Result<Option<Vec<u8>>, Cut> {
        let passed = self.buffer.iter().take_while(|byte| [b'\r', b'\n'].contains(byte)).count();
        self.buffer.drain(..passed);
        match self.buffer.first() {
            None => return Ok(None),
            Some(&BEGIN) => {}
            Some(_) => return Err(Cut::Garbage),
        }
        let Some(end) = memchr::memchr(END, &self.buffer) else { return Ok(None) };
        let later = self.buffer.split_off(end.saturating_add(1));
        let mut frame = std::mem::replace(&mut self.buffer, later);
        frame.truncate(end);
        frame.drain(..1);
        Ok(Some(frame))
    }
}
