//! Command sets of DIMSE messages (PS3.7 chapter 6.3 and annex E).
//!
//! A command set is flat: elements of group 0000 in Implicit VR Little Endian. This codec reads the few
//! elements a storage provider needs and writes responses; it deliberately knows nothing of data sets.

mod client;

pub(crate) use client::{
    Response, create_request, echo_request, event_request, move_request, query_request, response_to, store_request,
};

/// Requested SOP Class UID.
const REQUESTED_SOP_CLASS: u16 = 0x0003;
/// Requested SOP Instance UID.
const REQUESTED_SOP_INSTANCE: u16 = 0x1001;
/// Attribute Identifier List.
const ATTRIBUTE_LIST: u16 = 0x1005;
/// Action Type ID.
const ACTION_TYPE: u16 = 0x1008;
/// Affected SOP Class UID.
const AFFECTED_SOP_CLASS: u16 = 0x0002;
/// Command Field.
const COMMAND_FIELD: u16 = 0x0100;
/// Message ID.
const MESSAGE_ID: u16 = 0x0110;
/// Message ID Being Responded To.
const RESPONDED_TO: u16 = 0x0120;
/// Command Data Set Type.
const DATA_SET_TYPE: u16 = 0x0800;
/// Status.
const STATUS: u16 = 0x0900;
/// Numbers of remaining, completed, failed sub-operations and of those with a warning.
const SUB_OPERATIONS: [u16; 4] = [0x1020, 0x1021, 0x1022, 0x1023];
/// Priority.
const PRIORITY: u16 = 0x0700;
/// Move Destination.
const MOVE_DESTINATION: u16 = 0x0600;
/// Error Comment.
const ERROR_COMMENT: u16 = 0x0902;
/// Error ID.
const ERROR_ID: u16 = 0x0903;
/// Affected SOP Instance UID.
const AFFECTED_SOP_INSTANCE: u16 = 0x1000;

/// Command Data Set Type of a message without a data set (PS3.7 section E.1).
const NO_DATA_SET: u16 = 0x0101;
/// Value of Priority (PS3.7 section 9.1.1.1.5): before others.
const PRIORITY_HIGH: u16 = 0x0001;
/// Bit of the command field that marks a response.
const RESPONSE: u16 = 0x8000;
/// Longest error comment: the VR is LO.
const COMMENT_CHARS_MAX: usize = 64;

/// C-STORE-RQ.
pub(crate) const C_STORE_RQ: u16 = 0x0001;
/// C-GET-RQ.
pub(crate) const C_GET_RQ: u16 = 0x0010;
/// C-MOVE-RQ.
pub(crate) const C_MOVE_RQ: u16 = 0x0021;
/// N-EVENT-REPORT-RQ.
pub(crate) const N_EVENT_REPORT_RQ: u16 = 0x0100;
/// N-GET-RQ.
pub(crate) const N_GET_RQ: u16 = 0x0110;
/// N-SET-RQ.
pub(crate) const N_SET_RQ: u16 = 0x0120;
/// N-CREATE-RQ.
pub(crate) const N_CREATE_RQ: u16 = 0x0140;
/// N-ACTION-RQ.
pub(crate) const N_ACTION_RQ: u16 = 0x0130;
/// C-FIND-RQ.
pub(crate) const C_FIND_RQ: u16 = 0x0020;
/// C-ECHO-RQ.
pub(crate) const C_ECHO_RQ: u16 = 0x0030;
/// C-CANCEL-RQ.
pub(crate) const C_CANCEL_RQ: u16 = 0x0FFF;

/// Requests that have a data set even where they do not say so.
const DATA_FOLLOWS: [u16; 7] = [C_STORE_RQ, C_FIND_RQ, C_MOVE_RQ, C_GET_RQ, N_ACTION_RQ, N_SET_RQ, N_CREATE_RQ];

/// A request as received. UIDs are raw text: whether they are UIDs is for the service to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Command Field (0000,0100).
    pub(crate) field: u16,
    /// Message ID (0000,0110); for C-CANCEL-RQ that of the message to be cancelled (0000,0120).
    pub(crate) message_id: u16,
    /// Affected or Requested SOP Class UID (0000,0002), (0000,0003), without padding, as far as it is ASCII.
    pub(crate) sop_class: Option<String>,
    /// Affected or Requested SOP Instance UID (0000,1000), (0000,1001), without padding.
    pub(crate) sop_instance: Option<String>,
    /// Action Type ID (0000,1008).
    pub(crate) action: Option<u16>,
    /// Attribute Identifier List (0000,1005).
    pub(crate) attributes: Vec<u32>,
    /// Move Destination (0000,0600), without padding.
    pub(crate) destination: Option<String>,
    /// Whether Priority (0000,0700) is HIGH.
    pub(crate) is_urgent: bool,
    /// Whether a data set follows.
    pub(crate) has_data_set: bool,
}

/// Why a command set cannot be answered at all: the association is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// An element runs beyond the end of the command set.
    #[error("command set ends inside an element at byte {0}")]
    Truncated(usize),
    /// An element of another group.
    #[error("command set holds an element of group {0:04X}")]
    Group(u16),
    /// A required element is missing or has the wrong length.
    #[error("command set has no usable element (0000,{0:04X})")]
    Missing(u16),
    /// A response, though nothing was asked.
    #[error("a response {0:04X} to a request that was never made")]
    Response(u16),
}

impl Request {
    /// Reads a command set.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let (mut field, mut message_id, mut data_set_type) = (None, None, None);
        let (mut sop_class, mut sop_instance, mut responded_to, mut destination) = (None, None, None, None);
        let (mut action, mut attributes, mut priority) = (None, Vec::new(), None);
        each_element(bytes, &mut |number, value| match number {
            COMMAND_FIELD => field = short(value),
            MESSAGE_ID => message_id = short(value),
            RESPONDED_TO => responded_to = short(value),
            DATA_SET_TYPE => data_set_type = short(value),
            MOVE_DESTINATION => destination = Some(text(value)),
            PRIORITY => priority = short(value),
            ACTION_TYPE => action = short(value),
            ATTRIBUTE_LIST => attributes = value.chunks_exact(4).filter_map(attribute).collect(),
            AFFECTED_SOP_CLASS | REQUESTED_SOP_CLASS => sop_class = Some(text(value)),
            AFFECTED_SOP_INSTANCE | REQUESTED_SOP_INSTANCE => sop_instance = Some(text(value)),
            _ => {}
        })?;
        let field = field.ok_or(CommandError::Missing(COMMAND_FIELD))?;
        if field & RESPONSE != 0 {
            return Err(CommandError::Response(field));
        }
        let message_id = match message_id {
            Some(id) => id,
            None if field == C_CANCEL_RQ => responded_to.unwrap_or(0),
            None => return Err(CommandError::Missing(MESSAGE_ID)),
        };
        // A peer that leaves the data set type out of a request that has one still sends the data set.
        let has_data_set = data_set_type.map_or(DATA_FOLLOWS.contains(&field), |kind| kind != NO_DATA_SET);
        let is_urgent = priority == Some(PRIORITY_HIGH);
        Ok(Self {
            field,
            message_id,
            sop_class,
            sop_instance,
            action,
            attributes,
            destination,
            is_urgent,
            has_data_set,
        })
    }

    /// The response to this request, without a data set, as a command set.
    ///
    /// `comment` is cut to 64 characters and must hold no patient data: it ends in the peer's log.
    pub(crate) fn response(&self, status: u16, comment: &str) -> Vec<u8> {
        self.answer(status, NO_DATA_SET, Said { comment, ..Said::default() })
    }

    /// The same with an error ID or with the attributes it is about.
    pub(crate) fn detailed(&self, status: u16, comment: &str, error: Option<u16>, attributes: &[u32]) -> Vec<u8> {
        self.answer(status, NO_DATA_SET, Said { comment, error, attributes, counts: None })
    }

    /// The response to this request that carries a data set: a match.
    pub(crate) fn pending(&self, status: u16) -> Vec<u8> {
        self.answer(status, 0, Said::default())
    }

    /// The response of a retrieve: its counts of remaining (left out at the end), completed, failed and warned
    /// sub-operations, and whether the list of failed ones follows.
    pub(crate) fn progress(&self, status: u16, comment: &str, counts: Counts, has_list: bool) -> Vec<u8> {
        let said = Said { comment, counts: Some(counts), ..Said::default() };
        self.answer(status, if has_list { 0 } else { NO_DATA_SET }, said)
    }

    fn answer(&self, status: u16, data_set: u16, said: Said<'_>) -> Vec<u8> {
        let Said { comment, error, attributes, counts } = said;
        let mut elements = Vec::with_capacity(256);
        if let Some(uid) = &self.sop_class {
            push_uid(&mut elements, AFFECTED_SOP_CLASS, uid);
        }
        push(&mut elements, COMMAND_FIELD, &(self.field | RESPONSE).to_le_bytes());
        push(&mut elements, RESPONDED_TO, &self.message_id.to_le_bytes());
        push(&mut elements, DATA_SET_TYPE, &data_set.to_le_bytes());
        push(&mut elements, STATUS, &status.to_le_bytes());
        if !comment.is_empty() {
            push(&mut elements, ERROR_COMMENT, &long_string(comment));
        }
        if let Some(error) = error {
            push(&mut elements, ERROR_ID, &error.to_le_bytes());
        }
        if let Some(uid) = &self.sop_instance {
            push_uid(&mut elements, AFFECTED_SOP_INSTANCE, uid);
        }
        if !attributes.is_empty() {
            let words = attributes.iter().flat_map(|tag| [tag >> 16, tag & 0xFFFF]);
            let halves = words.flat_map(|half| u16::try_from(half).unwrap_or_default().to_le_bytes());
            push(&mut elements, ATTRIBUTE_LIST, &halves.collect::<Vec<u8>>());
        }
        if let Some(Counts { remaining, completed, failed, warned }) = counts {
            let values = [remaining, Some(completed), Some(failed), Some(warned)];
            for (number, value) in SUB_OPERATIONS.into_iter().zip(values) {
                if let Some(value) = value {
                    // The VR holds no more; beyond it the number stands still.
                    push(&mut elements, number, &u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
                }
            }
        }
        finished(&elements)
    }
}

/// What a response says beside its status.
#[derive(Default)]
struct Said<'a> {
    comment: &'a str,
    /// Error ID: what the service calls the error.
    error: Option<u16>,
    /// Attributes it is about.
    attributes: &'a [u32],
    counts: Option<Counts>,
}

/// How far the sub-operations of a retrieve are (PS3.7 section 9.1.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) remaining: Option<usize>,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) warned: usize,
}

/// A command set with its group length.
fn finished(elements: &[u8]) -> Vec<u8> {
    let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
    let mut command = Vec::with_capacity(elements.len() + 12);
    push(&mut command, 0x0000, &length.to_le_bytes());
    command.extend_from_slice(elements);
    command
}

struct Element {
    group: u16,
    number: u16,
}

/// Calls `each` with every element of a command set: its number and value.
fn each_element(bytes: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> Result<(), CommandError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len().saturating_sub(rest.len());
        let (element, value, after) = element(rest).ok_or(CommandError::Truncated(at))?;
        if element.group != 0 {
            return Err(CommandError::Group(element.group));
        }
        each(element.number, value);
        rest = after;
    }
    Ok(())
}

/// Splits the first element off: tag, value, the bytes after it.
fn element(bytes: &[u8]) -> Option<(Element, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let [g0, g1, e0, e1, l0, l1, l2, l3] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let (value, after) = rest.split_at_checked(length)?;
    Some((Element { group: u16::from_le_bytes([g0, g1]), number: u16::from_le_bytes([e0, e1]) }, value, after))
}

fn short(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_le_bytes)
}

/// A value of VR AT as one number.
fn attribute(value: &[u8]) -> Option<u32> {
    let [g0, g1, e0, e1] = *value.first_chunk::<4>()?;
    Some(u32::from(u16::from_le_bytes([g0, g1])) << 16 | u32::from(u16::from_le_bytes([e0, e1])))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

fn push(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
}

/// Echoes a UID of the request; what is no UID at all is left out rather than repeated.
fn push_uid(out: &mut Vec<u8>, number: u16, uid: &str) {
    if uid.is_empty() || uid.len() > 64 || !uid.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return;
    }
    let mut value = uid.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    push(out, number, &value);
}

/// LO in the default repertoire: at most 64 characters, no backslash, no control characters, even length.
fn long_string(comment: &str) -> Vec<u8> {
    let plain = |c: char| u8::try_from(c).ok().filter(|b| (0x20..0x7f).contains(b) && *b != b'\\').unwrap_or(b'?');
    let mut value: Vec<u8> = comment.chars().take(COMMENT_CHARS_MAX).map(plain).collect();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_request() -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, 0x0000, &[0; 4]);
        push_uid(&mut bytes, AFFECTED_SOP_CLASS, "1.2.840.10008.5.1.4.1.1.2");
        push(&mut bytes, COMMAND_FIELD, &C_STORE_RQ.to_le_bytes());
        push(&mut bytes, MESSAGE_ID, &7u16.to_le_bytes());
        push(&mut bytes, 0x0700, &[0, 0]);
        push(&mut bytes, DATA_SET_TYPE, &[0, 0]);
        push_uid(&mut bytes, AFFECTED_SOP_INSTANCE, "1.2.3");
        bytes
    }

    #[test]
    fn a_store_request_is_read() {
        let request = Request::parse(&store_request()).expect("well formed");
        assert_eq!(request.field, C_STORE_RQ);
        assert_eq!(request.message_id, 7);
        assert_eq!(request.sop_class.as_deref(), Some("1.2.840.10008.5.1.4.1.1.2"));
        assert_eq!(request.sop_instance.as_deref(), Some("1.2.3"));
        assert!(request.has_data_set);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_smaller_command() {
        let whole = store_request();
        for length in 0..whole.len() {
            let (part, _) = whole.split_at(length);
            if let Ok(request) = Request::parse(part) {
                assert_eq!(request.message_id, 7, "cut at {length}");
            }
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let bytes = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0x7f, 1, 0];
        assert_eq!(Request::parse(&bytes), Err(CommandError::Truncated(0)));
    }

    #[test]
    fn elements_of_other_groups_and_responses_are_refused() {
        assert_eq!(Request::parse(&[8, 0, 5, 0, 0, 0, 0, 0]), Err(CommandError::Group(8)));
        let mut response = Vec::new();
        push(&mut response, COMMAND_FIELD, &0x8001u16.to_le_bytes());
        assert_eq!(Request::parse(&response), Err(CommandError::Response(0x8001)));
    }

    #[test]
    fn a_response_names_its_request_and_a_plain_short_comment() {
        let request = Request::parse(&store_request()).expect("well formed");
        let comment = format!("Nguyễn\\{}", "x".repeat(100));
        let response = request.response(0xA700, &comment);
        let (group_length, value, rest) = element(&response).expect("group length");
        assert_eq!((group_length.group, group_length.number), (0, 0));
        assert_eq!(u32::from_le_bytes(value.try_into().expect("4 bytes")) as usize, rest.len());
        let mut rest = rest;
        let mut seen = Vec::new();
        while !rest.is_empty() {
            let (element, value, after) = element(rest).expect("element");
            assert_eq!(value.len() % 2, 0, "odd value of {:04X}", element.number);
            seen.push((element.number, value.to_vec()));
            rest = after;
        }
        assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "elements out of order");
        let value = |number| seen.iter().find(|(n, _)| *n == number).map(|(_, v)| v.clone());
        assert_eq!(value(COMMAND_FIELD), Some(vec![0x01, 0x80]));
        assert_eq!(value(RESPONDED_TO), Some(vec![7, 0]));
        assert_eq!(value(STATUS), Some(vec![0x00, 0xA7]));
        let comment = value(ERROR_COMMENT).expect("comment");
        assert_eq!(comment.len(), 64);
        assert!(comment.starts_with(b"Nguy?n?x"));
    }

    #[test]
    fn a_response_never_repeats_what_is_no_uid() {
        let mut bytes = store_request();
        push(&mut bytes, AFFECTED_SOP_INSTANCE, b"../../etc/passwd");
        let response = Request::parse(&bytes).expect("framed").response(0x0117, "");
        assert!(!response.windows(3).any(|w| w == b"etc"));
    }
}
