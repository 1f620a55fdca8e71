//! The limits of the DIMSE edge, each with a name (DESIGN law 5).
//!
//! Plain values; reading them from a configuration file is not this crate's business.

use crate::doors::TlsPort;
use crate::scu::Limits;
use std::time::Duration;

/// Limits and choices of a [`crate::Listener`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Longest P-DATA-TF PDU we announce and accept, in bytes without the 6-byte header (PS3.8 annex D.1).
    pub pdu_bytes_max: u32,
    /// Longest A-ASSOCIATE-RQ accepted, in bytes; large routers propose 45 KB and more.
    pub request_bytes_max: u32,
    /// Longest command set (group 0000) accepted, in bytes.
    pub command_bytes_max: usize,
    /// Longest identifier of a query or retrieve accepted, in bytes.
    pub identifier_bytes_max: usize,
    /// Most keys in an identifier.
    pub identifier_keys_max: usize,
    /// Longest list of a storage commitment accepted, in bytes.
    pub commitment_bytes_max: usize,
    /// Most objects of one retrieve.
    pub retrieve_objects_max: usize,
    /// Bytes of objects that all C-MOVEs and C-GETs together read before they send them; beyond, they send as they
    /// read.
    pub retrieve_ahead_bytes_max: usize,
    /// Attempts to reach a destination before the rest of a C-MOVE counts as failed; something taken starts anew.
    pub move_attempts: u32,
    /// Pause after a failed attempt; it doubles up to a minute.
    pub move_retry_pause: Duration,
    /// How long associations to a destination outlast a C-MOVE, for the next one of the same asker; zero ends them at
    /// once.
    pub move_linger: Duration,
    /// Longest wait for an object that comes back from an archive class of the cloud.
    pub recall_limit: Duration,
    /// Limits of the associations we ask for.
    pub calls: Limits,
    /// A second port, for TLS.
    pub tls: Option<TlsPort>,
    /// Certificates of the associations we ask for over TLS.
    pub client: tls::Client,
    /// Time from the TCP connection to the complete A-ASSOCIATE-RQ, and the time a peer has to close its
    /// connection after a rejection, release or abort (the ARTIM timer, PS3.8 section 9.1.5).
    pub artim: Duration,
    /// Connections without an association at one time; the oldest makes room for the newest.
    pub half_open_max: usize,
    /// The same for one address; hospitals behind one NAT share an address.
    pub half_open_per_address_max: usize,
    /// Bytes of unfinished A-ASSOCIATE-RQs of all half-open connections together.
    pub half_open_bytes_max: usize,
    /// Associations at one time.
    pub associations_max: usize,
    /// Associations of one source at one time.
    pub associations_per_source_max: usize,
    /// Longest silence between two messages of an association.
    pub idle_limit: Duration,
    /// Inside a message at least `progress_bytes_min` must arrive within this time of waiting for the peer.
    pub progress_limit: Duration,
    /// See `progress_limit`.
    pub progress_bytes_min: u64,
    /// Longest wait for the peer to take an answer.
    pub write_limit: Duration,
    /// How long the rest of a data set that cannot be stored is read away before the association is aborted.
    pub discard_limit: Duration,
    /// Whether abstract syntaxes outside the standard are accepted for storage. Known services that are not
    /// storage stay refused.
    pub private_sop_classes: bool,
    /// Whether transfer syntaxes outside the table are accepted, when no known one was proposed.
    pub unknown_transfer_syntaxes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pdu_bytes_max: 128 * 1024,
            request_bytes_max: 512 * 1024,
            command_bytes_max: 16 * 1024,
            identifier_bytes_max: 1024 * 1024,
            identifier_keys_max: 256,
            commitment_bytes_max: 8 * 1024 * 1024,
            retrieve_objects_max: 200_000,
            retrieve_ahead_bytes_max: 256 * 1024 * 1024,
            move_attempts: 4,
            move_retry_pause: Duration::from_secs(2),
            move_linger: Duration::from_millis(200),
            recall_limit: Duration::from_secs(30 * 60),
            calls: Limits::default(),
            tls: None,
            client: tls::Client::default(),
            artim: Duration::from_secs(15),
            half_open_max: 1024,
            half_open_per_address_max: 256,
            half_open_bytes_max: 16 * 1024 * 1024,
            associations_max: 400,
            associations_per_source_max: 64,
            idle_limit: Duration::from_secs(600),
            progress_limit: Duration::from_secs(30),
            progress_bytes_min: 16 * 1024,
            write_limit: Duration::from_secs(30),
            discard_limit: Duration::from_secs(120),
            private_sop_classes: true,
            unknown_transfer_syntaxes: true,
        }
    }
}
