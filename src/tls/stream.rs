//! A TLS connection read and written in a blocking way, under the time limits of its socket.
//!
//! Reading never hands out a part of a record, and a read that runs into its limit can be tried again.

use crate::identity;
use model::Certificate;
use rustls::Connection;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

/// An established connection.
pub struct Stream {
    connection: Connection,
    tcp: TcpStream,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl Stream {
    /// Takes over a connection whose handshake is done.
    pub fn new(connection: Connection, tcp: TcpStream) -> Self {
        Self { connection, tcp }
    }

    /// The socket below, for its limits of time only.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The certificate the peer proved to hold.
    pub fn certificate(&self) -> Option<Certificate> {
        let chain = self.connection.peer_certificates()?;
        chain.first().map(|der| identity::certificate(der))
    }

    /// Whether something can be read without waiting longer than the socket's limit, or the peer is gone.
    ///
    /// # Errors
    /// When reading would fail.
    pub fn has_arrived(&mut self) -> io::Result<bool> {
        loop {
            let state = self.connection.process_new_packets().map_err(broken)?;
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return Ok(true);
            }
            match self.connection.read_tls(&mut self.tcp) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that nothing more will be sent, and gives the socket back for a last wait on the peer.
    pub fn end(mut self) -> TcpStream {
        self.connection.send_close_notify();
        // The peer may be gone already; there is nothing left to tell it.
        let _ = self.write_out();
        let _ = self.tcp.shutdown(Shutdown::Write);
        self.tcp
    }

    fn write_out(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.tcp)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer hung up without a word. DICOM has its own: what breaks off inside a PDU is noticed there.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.connection.read_tls(&mut self.tcp)?;
            if let Err(error) = self.connection.process_new_packets() {
                // The alert that says why; it may not arrive any more.
                let _ = self.write_out();
                return Err(broken(error));
            }
            self.write_out()?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.connection.writer().write(bytes)?;
        self.write_out()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()
    }
}
