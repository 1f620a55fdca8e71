//! The first moments of a connection: on the TLS port the handshake, and who came to the wrong port is told in the
//! language it speaks.

use crate::line::Line;
use crate::listener::{Shared, encode, linger};
use crate::meter;
use crate::negotiate::Rejection;
use dicom_ul::pdu::Pdu;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Type of a TLS record that begins a handshake.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;
/// A fatal alert, handshake failure, in a record of TLS 1.0, which every version reads.
pub(crate) const TLS_ALERT: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 40];
/// PDU type of A-ASSOCIATE-RQ.
const ASSOCIATE_RQ: u8 = 0x01;

/// The port for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPort {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificates.
    pub server: tls::Server,
    /// Longest time from the TCP connection to the end of the handshake.
    pub handshake_limit: Duration,
}

/// A connection before it has an association.
pub(crate) trait Arriving: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The same for a thread of its own.
    fn blocking(self) -> io::Result<Line>;
}

impl Arriving for TcpStream {
    fn blocking(self) -> io::Result<Line> {
        self.into_std().map(Line::Plain)
    }
}

impl Arriving for tls::Accepted<TcpStream> {
    fn blocking(self) -> io::Result<Line> {
        let (tcp, connection) = self.into_inner();
        let tcp = tcp.into_std()?;
        tcp.set_nonblocking(false)?;
        Ok(Line::Secure(Box::new(tls::Stream::new(connection.into(), tcp))))
    }
}

/// Shakes hands; nothing when there is no connection left to serve.
pub(crate) async fn shake_hands<R>(
    shared: &Shared<R>,
    port: &TlsPort,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<tls::Accepted<TcpStream>> {
    let acceptor = match port.server.acceptor() {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(%error, "TLS cannot be served");
            return None;
        }
    };
    let shaking = async {
        let mut first = [0u8];
        if stream.peek(&mut first).await? == 0 {
            return io::Result::Ok(None);
        }
        if first == [ASSOCIATE_RQ] {
            return Ok(Some(Err((None, stream))));
        }
        Ok(Some(acceptor.accept(stream).into_fallible().await.map_err(|(error, stream)| (Some(error), stream))))
    };
    match timeout(port.handshake_limit, shaking).await {
        Ok(Ok(Some(Ok(accepted)))) => Some(accepted),
        Ok(Ok(Some(Err((None, stream))))) => {
            let rejection = Rejection::WithoutTls;
            meter::rejected(rejection.label());
            tracing::warn!(%peer, "a peer calls the TLS port without TLS: switch TLS on there, or let it call dicom.listen");
            refuse(shared, stream, &encode(Pdu::from(rejection.answer()))).await;
            None
        }
        Ok(Ok(Some(Err((Some(error), stream))))) => {
            meter::aborted("tls-handshake");
            let why = tls::explain(&error).unwrap_or_else(|| error.to_string());
            tracing::warn!(%peer, why, "no TLS connection");
            // The alert went out with the handshake.
            refuse(shared, stream, &[]).await;
            None
        }
        Ok(Ok(None) | Err(_)) => None,
        Err(_) => {
            meter::aborted("tls-handshake-limit");
            let seconds = port.handshake_limit.as_secs_f64();
            tracing::info!(%peer, seconds, "a TLS handshake was not done in time, the connection is closed");
            None
        }
    }
}

/// Says a last word and reads away what still comes, so that it arrives.
async fn refuse<R>(shared: &Shared<R>, mut stream: TcpStream, last_word: &[u8]) {
    let spoken = timeout(shared.options.write_limit, async {
        stream.write_all(last_word).await?;
        stream.shutdown().await
    });
    if let Ok(Ok(())) = spoken.await {
        linger(stream, shared.options.artim).await;
    }
}
