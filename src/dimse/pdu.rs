//! Splitting the byte stream of an established association into PDV fragments (PS3.8 sections 9.3.5 to 9.3.8).
//!
//! The data of a PDV is handed on as it lies in the read buffer: one `read` fills many PDVs and none is copied.
//! A piece may be a part of a PDV; only its `last` flag says that a command or data set is complete.
//! Presentation contexts, messages and services are not known here, only framing and its limits.

use std::io::{self, Read};

/// Read buffer at the start of an association: an idle one costs little.
const BUFFER_BYTES_MIN: usize = 32 * 1024;
/// Read buffer of an association that sends in bulk.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a P-DATA-TF with one PDV that its length counts and that are no data.
pub(crate) const PDV_HEADER_BYTES: usize = 6;
/// Bytes of such a P-DATA-TF before the data.
pub(crate) const DATA_HEADER_BYTES: usize = 12;
/// PDU header: type, reserved, length.
const PDU_HEADER_BYTES: u32 = 6;
/// PDV item header without its length field: context id and message control header.
const PDV_CONTROL_BYTES: u32 = 2;

/// Reason of an A-ABORT by the service provider (PS3.8 table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AbortReason {
    /// 0: not specified.
    NotSpecified = 0,
    /// 1: unrecognized PDU.
    UnrecognizedPdu = 1,
    /// 2: unexpected PDU.
    UnexpectedPdu = 2,
    /// 6: invalid PDU parameter value.
    InvalidParameter = 6,
}

/// What a fragment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Command set.
    Command,
    /// Data set.
    DataSet,
}

/// The next thing on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A part of a command set or data set.
    Fragment {
        /// Presentation context id.
        context: u8,
        /// Command or data set.
        kind: Kind,
        /// The bytes, possibly none.
        data: &'a [u8],
        /// Whether the command or data set is complete with this piece.
        last: bool,
    },
    /// A-RELEASE-RQ.
    ReleaseRequest,
    /// A-RELEASE-RP.
    ReleaseReply,
    /// A-ABORT by the peer.
    Abort,
    /// The peer closed the connection between two PDUs.
    Closed,
}

/// The stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PduError {
    /// Reading failed or a time limit passed.
    #[error("reading from the peer")]
    Read(#[from] io::Error),
    /// The connection ended inside a PDU.
    #[error("connection closed inside a PDU")]
    Truncated,
    /// The peer broke the protocol; the association is aborted with this reason.
    #[error("{what}")]
    Violation {
        /// For the A-ABORT.
        reason: AbortReason,
        /// For the log.
        what: &'static str,
    },
}

const fn violation(reason: AbortReason, what: &'static str) -> PduError {
    PduError::Violation { reason, what }
}

/// Reads PDUs from `source` and splits them.
#[derive(Debug)]
pub(crate) struct Splitter<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    pdu_bytes_max: u32,
    /// Bytes of the open P-DATA-TF that follow the open PDV.
    pdu_left: u32,
    /// Bytes of the open PDV.
    pdv_left: u32,
    context: u8,
    control: u8,
}

impl<R: Read> Splitter<R> {
    /// A splitter that refuses P-DATA-TF PDUs longer than `pdu_bytes_max`.
    pub(crate) fn new(source: R, pdu_bytes_max: u32) -> Self {
        let buffer = vec![0; BUFFER_BYTES_MIN];
        Self { source, buffer, start: 0, end: 0, pdu_bytes_max, pdu_left: 0, pdv_left: 0, context: 0, control: 0 }
    }

    /// The source, for its settings.
    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Whether bytes of the peer wait here already.
    pub(crate) fn has_read_ahead(&self) -> bool {
        self.start < self.end
    }

    /// The source alone; bytes read ahead are gone.
    pub(crate) fn into_source(self) -> R {
        self.source
    }

    /// The next piece.
    pub(crate) fn next_piece(&mut self) -> Result<Piece<'_>, PduError> {
        loop {
            if self.pdv_left > 0 {
                return self.fragment();
            }
            if self.pdu_left > 0 {
                self.open_pdv()?;
                if self.pdv_left == 0 {
                    return self.fragment();
                }
                continue;
            }
            let Some(header) = self.pdu_header()? else { return Ok(Piece::Closed) };
            let [kind, _, l0, l1, l2, l3] = header;
            let length = u32::from_be_bytes([l0, l1, l2, l3]);
            match kind {
                0x04 => self.open_pdu(length)?,
                0x05 => {
                    self.skip_fixed(length)?;
                    return Ok(Piece::ReleaseRequest);
                }
                0x06 => {
                    self.skip_fixed(length)?;
                    return Ok(Piece::ReleaseReply);
                }
                0x07 => return Ok(Piece::Abort),
                0x01..=0x03 => return Err(violation(AbortReason::UnexpectedPdu, "PDU out of place")),
                _ => return Err(violation(AbortReason::UnrecognizedPdu, "unknown PDU type")),
            }
        }
    }

    fn open_pdu(&mut self, length: u32) -> Result<(), PduError> {
        if length > self.pdu_bytes_max {
            return Err(violation(AbortReason::InvalidParameter, "PDU longer than announced"));
        }
        if length < 4 + PDV_CONTROL_BYTES {
            return Err(violation(AbortReason::InvalidParameter, "P-DATA-TF without a PDV"));
        }
        self.pdu_left = length;
        Ok(())
    }

    fn open_pdv(&mut self) -> Result<(), PduError> {
        let Some(room) = self.pdu_left.checked_sub(4).filter(|room| *room >= PDV_CONTROL_BYTES) else {
            return Err(violation(AbortReason::InvalidParameter, "PDU ends inside a PDV header"));
        };
        let [l0, l1, l2, l3, context, control] = self.take::<6>()?;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let Some(after) = room.checked_sub(length) else {
            return Err(violation(AbortReason::InvalidParameter, "PDV longer than its PDU"));
        };
        let Some(data) = length.checked_sub(PDV_CONTROL_BYTES) else {
            return Err(violation(AbortReason::InvalidParameter, "PDV shorter than its header"));
        };
        (self.pdu_left, self.pdv_left, self.context, self.control) = (after, data, context, control);
        Ok(())
    }

    fn fragment(&mut self) -> Result<Piece<'_>, PduError> {
        if self.pdv_left > 0 && self.start == self.end && self.fill()? == 0 {
            return Err(PduError::Truncated);
        }
        let wanted = usize::try_from(self.pdv_left).unwrap_or(usize::MAX);
        let length = wanted.min(self.end - self.start);
        let from = self.start;
        self.start += length;
        self.pdv_left -= u32::try_from(length).unwrap_or(self.pdv_left);
        Ok(Piece::Fragment {
            context: self.context,
            kind: if self.control & 1 == 1 { Kind::Command } else { Kind::DataSet },
            data: self.buffer.get(from..self.start).unwrap_or_default(),
            last: self.control & 2 == 2 && self.pdv_left == 0,
        })
    }

    /// The next PDU's header, none when the connection ends right before it.
    fn pdu_header(&mut self) -> Result<Option<[u8; 6]>, PduError> {
        if self.start == self.end && self.fill()? == 0 {
            return Ok(None);
        }
        self.take::<6>().map(Some)
    }

    /// Reads over the four reserved bytes of a release request or reply.
    fn skip_fixed(&mut self, length: u32) -> Result<(), PduError> {
        if length != 4 {
            return Err(violation(AbortReason::InvalidParameter, "release of a wrong length"));
        }
        self.take::<4>().map(|_| ())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PduError> {
        while self.end - self.start < N {
            if self.fill()? == 0 {
                return Err(PduError::Truncated);
            }
        }
        let taken = self.buffer.get(self.start..self.end).and_then(|bytes| bytes.first_chunk::<N>().copied());
        self.start += N;
        taken.ok_or(PduError::Truncated)
    }

    /// Reads once, returns the number of new bytes. Only ever called with less than a header in the buffer,
    /// so that moving the rest to the front costs nothing.
    fn fill(&mut self) -> Result<usize, PduError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let room = space.len();
        let read = loop {
            match self.source.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        if read == room && self.buffer.len() < BUFFER_BYTES_MAX {
            self.buffer.resize(BUFFER_BYTES_MAX, 0);
        }
        Ok(read)
    }
}

/// The bytes of a P-DATA-TF sequence that carries one command set, split to the peer's limit.
///
/// `pdu_bytes_max` is the peer's announcement; zero means no limit (PS3.8 annex D.1).
pub(crate) fn command_pdus(context: u8, command: &[u8], pdu_bytes_max: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(command.len() + 12);
    put_pdus(context, 1, command, pdu_bytes_max, &mut out);
    out
}

/// The same for a command set and its data set.
pub(crate) fn message_pdus(context: u8, command: &[u8], data_set: &[u8], pdu_bytes_max: u32, out: &mut Vec<u8>) {
    put_pdus(context, 1, command, pdu_bytes_max, out);
    put_pdus(context, 0, data_set, pdu_bytes_max, out);
}

/// `control` is 1 for a command set, 0 for a data set.
fn put_pdus(context: u8, control: u8, bytes: &[u8], pdu_bytes_max: u32, out: &mut Vec<u8>) {
    let limit = usize::try_from(pdu_bytes_max).unwrap_or(usize::MAX);
    let header = 4 + usize::try_from(PDV_CONTROL_BYTES).unwrap_or(2);
    // A peer that announces less than a header and a byte cannot be served; it gets the smallest PDU there is.
    let room = if limit == 0 { bytes.len().max(1) } else { limit.saturating_sub(header).max(1) };
    let mut chunks = bytes.chunks(room).peekable();
    while let Some(chunk) = chunks.next() {
        let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let last = if chunks.peek().is_none() { 2 } else { 0 };
        out.extend_from_slice(&[0x04, 0x00]);
        out.extend_from_slice(&(length + PDU_HEADER_BYTES).to_be_bytes());
        out.extend_from_slice(&(length + PDV_CONTROL_BYTES).to_be_bytes());
        out.extend_from_slice(&[context, control | last]);
        out.extend_from_slice(chunk);
    }
}

/// The header of a P-DATA-TF with one PDV of a data set of so many bytes.
pub(crate) fn data_header(context: u8, length: usize, last: bool) -> [u8; DATA_HEADER_BYTES] {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let [p0, p1, p2, p3] = length.saturating_add(PDU_HEADER_BYTES).to_be_bytes();
    let [v0, v1, v2, v3] = length.saturating_add(PDV_CONTROL_BYTES).to_be_bytes();
    [0x04, 0x00, p0, p1, p2, p3, v0, v1, v2, v3, context, if last { 2 } else { 0 }]
}

/// A-RELEASE-RQ (PS3.8 section 9.3.6).
pub(crate) const RELEASE_REQUEST: [u8; 10] = [0x05, 0, 0, 0, 0, 4, 0, 0, 0, 0];

/// A-RELEASE-RP (PS3.8 section 9.3.7).
pub(crate) const RELEASE_REPLY: [u8; 10] = [0x06, 0, 0, 0, 0, 4, 0, 0, 0, 0];

/// A-ABORT by the service provider (PS3.8 section 9.3.8).
pub(crate) fn provider_abort(reason: AbortReason) -> [u8; 10] {
    let reason = match reason {
        AbortReason::NotSpecified => 0,
        AbortReason::UnrecognizedPdu => 1,
        AbortReason::UnexpectedPdu => 2,
        AbortReason::InvalidParameter => 6,
    };
    [0x07, 0, 0, 0, 0, 4, 0, 0, 2, reason]
}

/// A-ABORT by the service user: the DIMSE layer gives up.
pub(crate) const USER_ABORT: [u8; 10] = [0x07, 0, 0, 0, 0, 4, 0, 0, 0, 0];

#[cfg(test)]
mod tests;
