//! Commands that we send as a user, and reading what is answered (PS3.7 sections 9.3 and E.1).

use super::{
    AFFECTED_SOP_CLASS, AFFECTED_SOP_INSTANCE, C_ECHO_RQ, C_MOVE_RQ, C_STORE_RQ, COMMAND_FIELD, CommandError,
    DATA_SET_TYPE, ERROR_COMMENT, MESSAGE_ID, MOVE_DESTINATION, N_CREATE_RQ, N_EVENT_REPORT_RQ, NO_DATA_SET, PRIORITY,
    RESPONDED_TO, RESPONSE, STATUS, SUB_OPERATIONS, each_element, finished, push, push_uid, short, text,
};
use crate::scu::Object;
use model::AeTitle;

/// Event Type ID.
const EVENT_TYPE: u16 = 0x1002;
/// Move Originator Application Entity Title.
const MOVE_ORIGINATOR: u16 = 0x1030;
/// Move Originator Message ID.
const MOVE_ORIGINATOR_MESSAGE: u16 = 0x1031;

/// A response as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// Command Field (0000,0100).
    pub(crate) field: u16,
    /// Message ID Being Responded To (0000,0120).
    pub(crate) responded_to: u16,
    /// Status (0000,0900).
    pub(crate) status: u16,
    /// Error Comment (0000,0902).
    pub(crate) comment: String,
    /// Numbers of remaining, completed, failed sub-operations and of those with a warning, as far as they are told.
    pub(crate) sub_operations: [Option<u16>; 4],
    /// Whether a data set follows.
    pub(crate) has_data_set: bool,
}

/// The command field of the response to a request.
pub(crate) fn response_to(request: u16) -> u16 {
    request | RESPONSE
}

impl Response {
    /// Reads a command set that must be a response.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let (mut field, mut responded_to, mut status, mut comment) = (None, None, None, String::new());
        let (mut sub_operations, mut has_data_set) = ([None; 4], false);
        each_element(bytes, &mut |number, value| match number {
            COMMAND_FIELD => field = short(value),
            RESPONDED_TO => responded_to = short(value),
            STATUS => status = short(value),
            ERROR_COMMENT => comment = text(value).chars().filter(|c| !c.is_control()).take(64).collect(),
            DATA_SET_TYPE => has_data_set = short(value).is_some_and(|kind| kind != NO_DATA_SET),
            number => {
                let counted = SUB_OPERATIONS.iter().zip(&mut sub_operations).find(|(of, _)| **of == number);
                if let Some((_, count)) = counted {
                    *count = short(value);
                }
            }
        })?;
        Ok(Self {
            field: field.ok_or(CommandError::Missing(COMMAND_FIELD))?,
            responded_to: responded_to.ok_or(CommandError::Missing(RESPONDED_TO))?,
            status: status.ok_or(CommandError::Missing(STATUS))?,
            comment,
            sub_operations,
            has_data_set,
        })
    }
}

/// C-ECHO-RQ.
pub(crate) fn echo_request(message: u16) -> Vec<u8> {
    let mut elements = Vec::with_capacity(64);
    push_uid(&mut elements, AFFECTED_SOP_CLASS, crate::VERIFICATION);
    push(&mut elements, COMMAND_FIELD, &C_ECHO_RQ.to_le_bytes());
    push(&mut elements, MESSAGE_ID, &message.to_le_bytes());
    push(&mut elements, DATA_SET_TYPE, &NO_DATA_SET.to_le_bytes());
    finished(&elements)
}

/// N-EVENT-REPORT-RQ with a data set.
pub(crate) fn event_request(message: u16, sop_class: &str, sop_instance: &str, event: u16) -> Vec<u8> {
    let mut elements = Vec::with_capacity(128);
    push_uid(&mut elements, AFFECTED_SOP_CLASS, sop_class);
    push(&mut elements, COMMAND_FIELD, &N_EVENT_REPORT_RQ.to_le_bytes());
    push(&mut elements, MESSAGE_ID, &message.to_le_bytes());
    push(&mut elements, DATA_SET_TYPE, &[0, 0]);
    push_uid(&mut elements, AFFECTED_SOP_INSTANCE, sop_instance);
    push(&mut elements, EVENT_TYPE, &event.to_le_bytes());
    finished(&elements)
}

/// C-FIND-RQ or C-GET-RQ, at medium priority.
pub(crate) fn query_request(message: u16, field: u16, sop_class: &str) -> Vec<u8> {
    let mut elements = Vec::with_capacity(128);
    push_uid(&mut elements, AFFECTED_SOP_CLASS, sop_class);
    push(&mut elements, COMMAND_FIELD, &field.to_le_bytes());
    push(&mut elements, MESSAGE_ID, &message.to_le_bytes());
    push(&mut elements, PRIORITY, &[0, 0]);
    push(&mut elements, DATA_SET_TYPE, &[0, 0]);
    finished(&elements)
}

/// C-MOVE-RQ to a destination, at medium priority.
pub(crate) fn move_request(message: u16, sop_class: &str, destination: &AeTitle) -> Vec<u8> {
    let mut elements = Vec::with_capacity(128);
    push_uid(&mut elements, AFFECTED_SOP_CLASS, sop_class);
    push(&mut elements, COMMAND_FIELD, &C_MOVE_RQ.to_le_bytes());
    push(&mut elements, MESSAGE_ID, &message.to_le_bytes());
    push(&mut elements, MOVE_DESTINATION, &padded(destination));
    push(&mut elements, PRIORITY, &[0, 0]);
    push(&mut elements, DATA_SET_TYPE, &[0, 0]);
    finished(&elements)
}

/// An AE title of even length.
fn padded(title: &AeTitle) -> Vec<u8> {
    let mut bytes = title.as_str().as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    bytes
}

/// N-CREATE-RQ with a data set.
pub(crate) fn create_request(message: u16, sop_class: &str, sop_instance: &str) -> Vec<u8> {
    let mut elements = Vec::with_capacity(128);
    push_uid(&mut elements, AFFECTED_SOP_CLASS, sop_class);
    push(&mut elements, COMMAND_FIELD, &N_CREATE_RQ.to_le_bytes());
    push(&mut elements, MESSAGE_ID, &message.to_le_bytes());
    push(&mut elements, DATA_SET_TYPE, &[0, 0]);
    push_uid(&mut elements, AFFECTED_SOP_INSTANCE, sop_instance);
    finished(&elements)
}

/// C-STORE-RQ, at medium priority.
pub(crate) fn store_request(message: u16, object: &Object) -> Vec<u8> {
    let mut elements = Vec::with_capacity(256);
    push_uid(&mut elements, AFFECTED_SOP_CLASS, object.sop_class.as_str());
    push(&mut elements, COMMAND_FIELD, &C_STORE_RQ.to_le_bytes());
    push(&mut elements, MESSAGE_ID, &message.to_le_bytes());
    push(&mut elements, PRIORITY, &[0, 0]);
    push(&mut elements, DATA_SET_TYPE, &[0, 0]);
    push_uid(&mut elements, AFFECTED_SOP_INSTANCE, object.sop_instance.as_str());
    if let Some(originator) = &object.originator {
        push(&mut elements, MOVE_ORIGINATOR, &padded(&originator.title));
        push(&mut elements, MOVE_ORIGINATOR_MESSAGE, &originator.message.to_le_bytes());
    }
    finished(&elements)
}
