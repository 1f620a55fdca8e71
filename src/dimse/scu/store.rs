//! C-STORE as a user: a data set streams out in the PDUs the peer takes.
//!
//! The last fragment goes out only when the source has ended without an error; otherwise the association is aborted.

use super::{Answer, CallError, Requestor};
use crate::command;
use crate::pdu;
use model::{AeTitle, Uid};
use std::io::{self, Read};

/// Who had this sent, for the receiver's log (PS3.7 section 9.1.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Originator {
    /// Move Originator Application Entity Title (0000,1030).
    pub title: AeTitle,
    /// Move Originator Message ID (0000,1031).
    pub message: u16,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Who asked for it by C-MOVE.
    pub originator: Option<Originator>,
}

impl Requestor {
    /// C-STORE of a data set, in the transfer syntax of the context.
    ///
    /// # Errors
    /// When the association is gone, and [`CallError::Source`] when the data set could not be read; the peer's refusal
    /// is an answer.
    pub fn store(&mut self, context: u8, object: &Object, data_set: &mut dyn Read) -> Result<Answer, CallError> {
        let message = self.next_message();
        let command = command::store_request(message, object);
        let pdus = pdu::command_pdus(context, &command, self.peer_pdu_bytes_max);
        self.send(&pdus)?;
        let limit = self.peer_pdu_bytes_max;
        let sent = send_data_set(context, data_set, limit, &mut |bytes| self.send(bytes));
        if let Err(error) = sent {
            self.abort();
            return Err(error);
        }
        self.response(context, message, command::C_STORE_RQ)
    }
}

/// Sends a data set in PDUs of the longest length allowed, one PDV in each.
pub(crate) fn send_data_set<E: From<io::Error>>(
    context: u8,
    data_set: &mut dyn Read,
    pdu_bytes_max: u32,
    send: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let longest = usize::try_from(pdu_bytes_max).unwrap_or(usize::MAX).clamp(pdu::PDV_HEADER_BYTES + 1, 1 << 20);
    let room = longest - pdu::PDV_HEADER_BYTES;
    let (mut now, mut next) = (Vec::with_capacity(room), Vec::with_capacity(room));
    fill(data_set, room, &mut now)?;
    loop {
        fill(data_set, room, &mut next)?;
        let last = next.is_empty();
        let mut out = Vec::with_capacity(longest.saturating_add(12));
        pdu::put_data_pdu(context, &now, last, &mut out);
        send(&out)?;
        if last {
            return Ok(());
        }
        std::mem::swap(&mut now, &mut next);
    }
}

/// Reads up to `room` bytes; fewer only at the end.
fn fill(source: &mut dyn Read, room: usize, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    let room = u64::try_from(room).unwrap_or(u64::MAX);
    source.take(room).read_to_end(into).map(|_| ())
}

impl From<io::Error> for CallError {
    /// Only the source of a data set is read this way.
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}
