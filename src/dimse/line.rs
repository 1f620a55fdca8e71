//! A connection with TLS or without, read and written in a blocking way: the services above know no difference.

use model::Certificate;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

/// The connection.
#[derive(Debug)]
pub(crate) enum Line {
    /// As it is.
    Plain(TcpStream),
    /// Inside TLS.
    Secure(Box<tls::Stream>),
}

impl Line {
    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Secure(stream) => stream.tcp(),
        }
    }

    /// The certificate the peer proved to hold.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(stream) => stream.certificate(),
        }
    }

    /// Whether TLS protects it.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(_))
    }

    /// Whether something can be read, or the peer is gone, within the socket's limit.
    pub(crate) fn has_arrived(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(tcp) => match tcp.peek(&mut [0]) {
                Ok(_) => Ok(true),
                Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) => Ok(false),
                Err(error) => Err(error),
            },
            Self::Secure(stream) => stream.has_arrived(),
        }
    }

    /// Says that nothing more will be sent and gives the socket back.
    pub(crate) fn end(self) -> TcpStream {
        match self {
            Self::Plain(tcp) => {
                // The peer may be gone already; there is nothing left to tell it.
                let _ = tcp.shutdown(Shutdown::Write);
                tcp
            }
            Self::Secure(stream) => stream.end(),
        }
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write_vectored(pieces),
            Self::Secure(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}
