//! TLS on the connections that we open: whom the peer has to be, and the handshake within its limit.

use super::{CallError, Limits, Peer, Until, failed};
use crate::line::Line;
use model::{AeTitle, Destination};
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Instant;
use tls::{Client, Expected};

/// TLS towards one peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secure {
    /// Certificates: ours, and of the authorities we believe.
    pub client: Client,
    /// Whom the peer has to be.
    pub expected: Expected,
}

impl Secure {
    /// What the registry says of a destination, none when it is called without TLS.
    pub fn of(destination: &Destination, client: &Client) -> Option<Self> {
        let wanted = destination.tls.as_ref()?;
        let expected = Expected { name: wanted.name.clone(), fingerprint: wanted.certificate.clone() };
        Some(Self { client: client.clone(), expected })
    }
}

impl Peer {
    /// A destination, called as `calling` unless it is registered under another title of ours.
    pub fn of(destination: &Destination, calling: &AeTitle, client: &tls::Client) -> Self {
        Self {
            address: destination.address(),
            called: destination.title.clone(),
            calling: destination.calling.clone().unwrap_or_else(|| calling.clone()),
            secure: Secure::of(destination, client),
        }
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Shakes hands over a new connection, if TLS is wanted.
pub(super) fn line(tcp: TcpStream, secure: Option<&Secure>, address: &str, limits: &Limits) -> Result<Line, CallError> {
    let Some(secure) = secure else { return Ok(Line::Plain(tcp)) };
    let host = Destination::split_address(address).map_or(String::new(), |(host, _)| host);
    let mut through = Line::Plain(tcp.try_clone().map_err(CallError::Io)?);
    let mut through = Until { stream: &mut through, end: Instant::now() + limits.connect };
    let stream = secure.client.connect(&host, &secure.expected, tcp, &mut through).map_err(failed)?;
    Ok(Line::Secure(Box::new(stream)))
}
