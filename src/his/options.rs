//! Limits of the HIS edge, each with a name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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

/// How messages are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where MLLP without TLS is spoken; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Where it is spoken over TLS.
    pub tls: Option<TlsPort>,
    /// File of senders.
    pub sources: PathBuf,
    /// Connections at one time.
    pub connections_max: usize,
    /// Connections of one address.
    pub connections_per_address_max: usize,
    /// Longest message in bytes.
    pub message_bytes_max: usize,
    /// Bytes of messages that are being read or handled, of all connections together.
    pub memory_max: usize,
    /// Longest time from the first byte of a message to its last.
    pub frame_limit: Duration,
    /// Longest silence between messages.
    pub idle_limit: Duration,
    /// Longest time a peer may take to read an answer.
    pub write_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: None,
            tls: None,
            sources: PathBuf::new(),
            connections_max: 256,
            connections_per_address_max: 16,
            message_bytes_max: model::chart::MESSAGE_MAX,
            memory_max: 256 << 20,
            frame_limit: Duration::from_secs(60),
            idle_limit: Duration::from_secs(3_600),
            write_limit: Duration::from_secs(20),
        }
    }
}
