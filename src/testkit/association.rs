//! An association from the requestor's side, byte by byte (PS3.8 section 9.3).
//!
//! Written to be fast and to be able to misbehave: it exposes its socket, sends any PDU it is given,
//! and takes no decisions a test would want to take. It is no general client.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Verification SOP Class.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Who calls whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Titles {
    /// Called AE title.
    pub called: String,
    /// Calling AE title.
    pub calling: String,
}

impl Titles {
    /// A pair of titles.
    pub fn new(called: &str, calling: &str) -> Self {
        Self { called: called.into(), calling: calling.into() }
    }
}

/// A proposed presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Abstract syntax: the SOP class.
    pub abstract_syntax: String,
    /// Transfer syntaxes, in order.
    pub transfer_syntaxes: Vec<String>,
}

/// Why there is no association, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A-ASSOCIATE-RJ with result, source and reason.
    #[error("association rejected: result {0}, source {1}, reason {2}")]
    Rejected(u8, u8, u8),
    /// A-ABORT with source and reason.
    #[error("association aborted: source {0}, reason {1}")]
    Aborted(u8, u8),
    /// Something else than what was due.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

/// A PDU as received: type and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu {
    /// PDU type.
    pub kind: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// A presentation context as answered: id, result (0 accepted), transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Context id.
    pub id: u8,
    /// Result and reason: 0 is acceptance.
    pub result: u8,
    /// The chosen transfer syntax.
    pub transfer_syntax: String,
    /// The abstract syntax as proposed.
    pub abstract_syntax: String,
}

/// An open association.
#[derive(Debug)]
pub struct Association {
    stream: TcpStream,
    contexts: Vec<Answered>,
    peer_max_pdu: usize,
    message: u16,
}

impl Association {
    /// Connects and associates.
    pub fn open(
        address: SocketAddr,
        titles: &Titles,
        proposals: &[Proposal],
        limit: Duration,
    ) -> Result<Self, WireError> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Self::open_over(stream, titles, proposals)
    }

    /// Associates over a connection.
    pub fn open_over(mut stream: TcpStream, titles: &Titles, proposals: &[Proposal]) -> Result<Self, WireError> {
        stream.write_all(&associate_request(titles, proposals))?;
        let answer = read_pdu(&mut stream)?;
        let at = |index: usize| answer.body.get(index).copied().unwrap_or(0);
        match answer.kind {
            2 => {}
            3 => return Err(WireError::Rejected(at(1), at(2), at(3))),
            7 => return Err(WireError::Aborted(at(2), at(3))),
            other => return Err(WireError::Unexpected(format!("PDU type {other} to A-ASSOCIATE-RQ"))),
        }
        let (contexts, peer_max_pdu) = read_accept(&answer.body, proposals);
        Ok(Self { stream, contexts, peer_max_pdu, message: 0 })
    }

    /// The answered contexts.
    pub fn contexts(&self) -> &[Answered] {
        &self.contexts
    }

    /// The accepted context for a SOP class in a transfer syntax.
    pub fn context(&self, sop_class: &str, transfer_syntax: &str) -> Option<u8> {
        self.contexts
            .iter()
            .find(|context| {
                context.result == 0
                    && context.abstract_syntax == sop_class
                    && context.transfer_syntax == transfer_syntax
            })
            .map(|context| context.id)
    }

    /// The largest PDU the peer takes.
    pub fn peer_max_pdu(&self) -> usize {
        self.peer_max_pdu
    }

    /// The socket, to misbehave on.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// C-ECHO; the status.
    pub fn echo(&mut self) -> Result<u16, WireError> {
        let context = self
            .contexts
            .iter()
            .find(|context| context.result == 0 && context.abstract_syntax == VERIFICATION)
            .map(|context| context.id)
            .ok_or_else(|| WireError::Unexpected("no context for verification".into()))?;
        self.message = self.message.wrapping_add(1);
        let command = command_set(&[
            (0x0002, Value::Uid(VERIFICATION)),
            (0x0100, Value::Us(0x0030)),
            (0x0110, Value::Us(self.message)),
            (0x0800, Value::Us(0x0101)),
        ]);
        self.stream.write_all(&p_data(&[(context, 3, &command)]))?;
        self.read_response().map(|response| response.status)
    }

    /// C-STORE of a data set in the given context; the status.
    pub fn store(
        &mut self,
        context: u8,
        sop_class: &str,
        sop_instance: &str,
        data_set: &[u8],
    ) -> Result<Response, WireError> {
        let command = self.store_command(sop_class, sop_instance);
        self.write_command_and_data(context, &command, data_set)?;
        self.read_response()
    }

    /// The command set of a C-STORE request, with the next message id.
    pub fn store_command(&mut self, sop_class: &str, sop_instance: &str) -> Vec<u8> {
        self.message = self.message.wrapping_add(1);
        command_set(&[
            (0x0002, Value::Uid(sop_class)),
            (0x0100, Value::Us(0x0001)),
            (0x0110, Value::Us(self.message)),
            (0x0700, Value::Us(0)),
            (0x0800, Value::Us(0)),
            (0x1000, Value::Uid(sop_instance)),
        ])
    }

    /// Command and data PDVs with as few writes and copies as possible: senders must not be the limit.
    fn write_command_and_data(&mut self, context: u8, command: &[u8], data_set: &[u8]) -> io::Result<()> {
        let largest = match self.peer_max_pdu {
            0 => 256 * 1024,
            limit => limit.min(256 * 1024),
        };
        let mut headers = vec![pdv_header(context, 3, command.len())];
        let mut pieces = vec![command];
        let mut rest = data_set.chunks((largest - 6).max(1)).peekable();
        if rest.peek().is_none() {
            headers.push(pdv_header(context, 2, 0));
            pieces.push(&[]);
        }
        while let Some(piece) = rest.next() {
            headers.push(pdv_header(context, if rest.peek().is_none() { 2 } else { 0 }, piece.len()));
            pieces.push(piece);
        }
        for (headers, pieces) in headers.chunks(256).zip(pieces.chunks(256)) {
            let mut slices: Vec<IoSlice<'_>> = headers
                .iter()
                .zip(pieces)
                .flat_map(|(header, piece)| [IoSlice::new(header), IoSlice::new(piece)])
                .collect();
            write_all_vectored(&mut self.stream, &mut slices)?;
        }
        Ok(())
    }

    /// Reads the next response message.
    pub fn read_response(&mut self) -> Result<Response, WireError> {
        let mut command = Vec::new();
        loop {
            let pdu = read_pdu(&mut self.stream)?;
            let at = |index: usize| pdu.body.get(index).copied().unwrap_or(0);
            match pdu.kind {
                4 => {}
                7 => return Err(WireError::Aborted(at(2), at(3))),
                other => return Err(WireError::Unexpected(format!("PDU type {other} for a response"))),
            }
            if collect_command(&pdu.body, &mut command) {
                return Response::read(&command);
            }
        }
    }

    /// A-RELEASE, waiting for the answer.
    pub fn release(mut self) -> Result<(), WireError> {
        self.stream.write_all(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
        match read_pdu(&mut self.stream)?.kind {
            6 => Ok(()),
            other => Err(WireError::Unexpected(format!("PDU type {other} to A-RELEASE-RQ"))),
        }
    }

    /// A-ABORT and gone.
    pub fn abort(mut self) {
        let _ = self.stream.write_all(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    }
}

/// A DIMSE response, as far as senders care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Command field, 0x8001 for C-STORE.
    pub command: u16,
    /// Status.
    pub status: u16,
    /// Message id it answers.
    pub answers: u16,
    /// Error comment, empty when absent.
    pub comment: String,
}

impl Response {
    pub(crate) fn read(command: &[u8]) -> Result<Self, WireError> {
        let mut response = Self { command: 0, status: 0xFFFF, answers: 0, comment: String::new() };
        let mut rest = command;
        while let Some((header, tail)) = rest.split_at_checked(8) {
            let number = |at: usize| header.get(at).copied().unwrap_or(0);
            let element = u16::from_le_bytes([number(2), number(3)]);
            let len = u32::from_le_bytes([number(4), number(5), number(6), number(7)]);
            let Some((value, tail)) = usize::try_from(len).ok().and_then(|len| tail.split_at_checked(len)) else {
                return Err(WireError::Unexpected("a command set that ends early".into()));
            };
            let us = || u16::from_le_bytes([value.first().copied().unwrap_or(0), value.get(1).copied().unwrap_or(0)]);
            match element {
                0x0100 => response.command = us(),
                0x0120 => response.answers = us(),
                0x0900 => response.status = us(),
                0x0902 => response.comment = String::from_utf8_lossy(value).trim_end().to_owned(),
                _ => {}
            }
            rest = tail;
        }
        Ok(response)
    }
}

/// Adds the command PDVs of a P-DATA-TF body; true when the last one was among them.
fn collect_command(mut body: &[u8], command: &mut Vec<u8>) -> bool {
    while let Some((header, rest)) = body.split_at_checked(6) {
        let number = |at: usize| header.get(at).copied().unwrap_or(0);
        let len = u32::from_be_bytes([number(0), number(1), number(2), number(3)]);
        let len = usize::try_from(len).unwrap_or(0).saturating_sub(2).min(rest.len());
        let (value, rest) = rest.split_at(len);
        if number(5) & 1 == 1 {
            command.extend_from_slice(value);
            if number(5) & 2 == 2 {
                return true;
            }
        }
        body = rest;
    }
    false
}

/// Reads one PDU.
pub fn read_pdu(stream: &mut TcpStream) -> io::Result<Pdu> {
    // Peers that send an answer in two pieces with Nagle's algorithm on would wait 40 ms for our acknowledgement;
    // the option is not sticky. A sender that is to measure its peer must not be the one who waits.
    let _ = rustix::net::sockopt::set_tcp_quickack(&*stream, true);
    let mut header = [0u8; 6];
    stream.read_exact(&mut header)?;
    let _ = rustix::net::sockopt::set_tcp_quickack(&*stream, true);
    let [kind, _, a, b, c, d] = header;
    let len = u32::from_be_bytes([a, b, c, d]);
    if len > 16 << 20 {
        return Err(io::Error::other("a PDU of more than 16 MiB"));
    }
    let mut body = vec![0; usize::try_from(len).unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Pdu { kind, body })
}

fn write_all_vectored(stream: &mut TcpStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while slices.iter().any(|slice| !slice.is_empty()) {
        match stream.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// PDU header and PDV header for one PDV per PDU.
fn pdv_header(context: u8, control: u8, len: usize) -> [u8; 12] {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    let [a, b, c, d] = len.saturating_add(6).to_be_bytes();
    let [e, f, g, h] = len.saturating_add(2).to_be_bytes();
    [4, 0, a, b, c, d, e, f, g, h, context, control]
}

/// One P-DATA-TF PDU of (context id, control, bytes) PDVs.
pub fn p_data(values: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (context, control, bytes) in values {
        body.extend_from_slice(&u32::try_from(bytes.len() + 2).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(&[*context, *control]);
        body.extend_from_slice(bytes);
    }
    pdu(4, &body)
}

/// A PDU of any type.
pub fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A value of a command element.
pub enum Value<'a> {
    /// A 16-bit number.
    Us(u16),
    /// A UID.
    Uid(&'a str),
}

/// A command set (group 0000, Implicit VR Little Endian) with its group length.
pub fn command_set(elements: &[(u16, Value<'_>)]) -> Vec<u8> {
    let mut body = Vec::new();
    let element = |number: u16, value: &[u8], body: &mut Vec<u8>| {
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
        body.extend_from_slice(value);
    };
    for (number, value) in elements {
        match value {
            Value::Us(value) => element(*number, &value.to_le_bytes(), &mut body),
            Value::Uid(uid) => {
                let mut uid = uid.as_bytes().to_vec();
                uid.resize(uid.len().next_multiple_of(2), 0);
                element(*number, &uid, &mut body);
            }
        }
    }
    let mut command = Vec::new();
    element(0, &u32::try_from(body.len()).unwrap_or(0).to_le_bytes(), &mut command);
    command.extend_from_slice(&body);
    command
}

/// An item of an association PDU.
pub fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// A-ASSOCIATE-RQ for these proposals; contexts are numbered 1, 3, 5, ...
pub fn associate_request(titles: &Titles, proposals: &[Proposal]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    for title in [&titles.called, &titles.calling] {
        body.extend_from_slice(format!("{title:<16.16}").as_bytes());
    }
    body.extend_from_slice(&[0; 32]);
    body.extend_from_slice(&item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (proposal, number) in proposals.iter().zip(0u8..) {
        let mut context = vec![number.wrapping_mul(2).wrapping_add(1), 0, 0, 0];
        context.extend_from_slice(&item(0x30, proposal.abstract_syntax.as_bytes()));
        for syntax in &proposal.transfer_syntaxes {
            context.extend_from_slice(&item(0x40, syntax.as_bytes()));
        }
        body.extend_from_slice(&item(0x20, &context));
    }
    let mut user = item(0x51, &(128u32 * 1024).to_be_bytes());
    user.extend_from_slice(&item(0x52, b"2.25.80302813137786398554742050926734630921"));
    user.extend_from_slice(&item(0x55, b"KHOANH_TESTKIT"));
    body.extend_from_slice(&item(0x50, &user));
    pdu(1, &body)
}

/// Contexts and maximum PDU length of an A-ASSOCIATE-AC.
fn read_accept(body: &[u8], proposals: &[Proposal]) -> (Vec<Answered>, usize) {
    let mut contexts = Vec::new();
    let mut max_pdu = 16 * 1024;
    for (kind, value) in items(body.get(68..).unwrap_or_default()) {
        if kind == 0x21 {
            let at = |index: usize| value.get(index).copied().unwrap_or(0);
            let chosen = items(value.get(4..).unwrap_or_default()).find(|(kind, _)| *kind == 0x40);
            let proposed = proposals.get(usize::from(at(0) / 2));
            contexts.push(Answered {
                id: at(0),
                result: at(2),
                transfer_syntax: chosen.map_or(String::new(), |(_, uid)| String::from_utf8_lossy(uid).into_owned()),
                abstract_syntax: proposed.map_or(String::new(), |proposal| proposal.abstract_syntax.clone()),
            });
        } else if kind == 0x50 {
            let length = items(value).find(|(kind, _)| *kind == 0x51).and_then(|(_, value)| value.try_into().ok());
            max_pdu = length.map_or(max_pdu, |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(max_pdu));
        }
    }
    (contexts, max_pdu)
}

fn items(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_at_checked(4)?;
        let len = u16::from_be_bytes([*header.get(2)?, *header.get(3)?]);
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        bytes = rest;
        Some((*header.first()?, value))
    })
}
