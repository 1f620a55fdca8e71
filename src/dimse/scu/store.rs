//! C-STORE as a user: a data set streams out in the PDUs the peer takes.
//!
//! One that breaks off on the way aborts the association: the peer never takes a part for the whole.

use super::{Answer, CallError, Requestor};
use crate::command;
use crate::outgoing::{Broken, Outgoing, Shape};
use crate::pdu;
use model::{AeTitle, Uid};
use std::io::Read;

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
    /// When the association is gone; [`CallError::Source`] and [`CallError::Unsent`] when the data set could not be
    /// read; the peer's refusal is an answer.
    pub fn store(&mut self, context: u8, object: &Object, data_set: &mut dyn Read) -> Result<Answer, CallError> {
        let shape = self.shape();
        self.store_outgoing(context, object, Outgoing::new(data_set, shape), &|| true)
    }

    /// The same of a data set that may have been read in part, in the [`Requestor::shape`] of this association, for as
    /// long as it is wanted.
    ///
    /// # Errors
    /// As [`Requestor::store`].
    pub(crate) fn store_outgoing<S: Read>(
        &mut self,
        context: u8,
        object: &Object,
        data_set: Outgoing<S>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Answer, CallError> {
        let message = self.next_message();
        let command = command::store_request(message, object);
        let pdus = pdu::command_pdus(context, &command, self.peer_pdu_bytes_max);
        match data_set.send(context, pdus, wanted, &mut |bytes| self.send(bytes)) {
            Ok(()) => self.response(context, message, command::C_STORE_RQ),
            Err(Broken::Unsent(error)) => Err(CallError::Unsent(error)),
            Err(Broken::Halfway(error)) => {
                self.abort();
                Err(CallError::Source(error))
            }
            Err(Broken::Wire(error)) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// How data sets are cut for the peer.
    pub(crate) fn shape(&self) -> Shape {
        Shape::of(self.peer_pdu_bytes_max)
    }
}
