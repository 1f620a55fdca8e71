//! Associations that we ask for: negotiation, C-ECHO and C-STORE as a user (PS3.7, PS3.8).
//!
//! Everything is bounded by [`Limits`]: the connection, each answer, each step of writing. A data set that cannot be
//! read to its end aborts the association: the peer never takes a part for the whole. One operation at a time.

pub mod moving;
pub mod plan;
mod propose;
pub mod pull;
mod secure;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::accepts;

use crate::command::{self, Response};
use crate::line::Line;
use crate::options::Options;
use crate::pdu::{self, Kind, Piece, Splitter};
use crate::socket::{Phase, Socket};
use dicom_ul::pdu::{AssociationAC, Pdu, PresentationContextResultReason, UserVariableItem, read_pdu};
use model::AeTitle;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::recode::recoded;
pub use propose::{CONTEXTS_MAX, Proposal};
pub use secure::Secure;
pub use store::{Object, Originator};

/// First byte of a TLS alert, where a PDU was awaited.
const TLS_ALERT: u8 = 0x15;
/// Longest answer to an association request.
const ANSWER_BYTES_MAX: u32 = 1024 * 1024;

/// Limits of an association that we ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for the connection.
    pub connect: Duration,
    /// Longest wait for an answer: to the association request, to an operation, to a release.
    pub answer: Duration,
    /// Longest wait for the peer to take what we send.
    pub write: Duration,
    /// Longest P-DATA-TF PDU we announce, and send where the peer would take a longer one.
    pub pdu_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            write: Duration::from_secs(30),
            pdu_bytes_max: 128 * 1024,
        }
    }
}

/// Whom we call, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Host name or address with port, `HOST:PORT`.
    pub address: String,
    /// Called AE title.
    pub called: AeTitle,
    /// Calling AE title.
    pub calling: AeTitle,
    /// TLS, where it is wanted.
    pub secure: Option<Secure>,
}

/// Why there is no association, or none any more. The texts are for the operator and hold no patient data.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The name is unknown or nobody listens there.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no TLS with the peer.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// A-ASSOCIATE-RJ.
    #[error("association rejected: {why}{}", if *.transient { " (transient, trying again may help)" } else { "" })]
    Rejected {
        /// What the peer says.
        why: String,
        /// Whether the peer calls it transient.
        transient: bool,
    },
    /// A-ABORT by the peer.
    #[error("the peer aborted the association")]
    Aborted,
    /// The peer ended the connection or broke off inside a PDU.
    #[error("the connection ended {0}")]
    Lost(&'static str),
    /// Nothing came, or nothing was taken, within its limit.
    #[error("the peer does not answer in time")]
    TooSlow,
    /// Reading from or writing to the connection failed.
    #[error("connection failed: {0}")]
    Io(#[source] io::Error),
    /// Something came that was not due.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// No presentation context for the operation was accepted.
    #[error("the peer accepts no presentation context for {0}")]
    NoContext(String),
    /// What was to be sent could not be read to its end; the association was aborted.
    #[error("what was to be sent cannot be read: {0}")]
    Source(#[source] io::Error),
    /// What was to be sent could not be read, and nothing of it was sent; the association goes on.
    #[error("what was to be sent cannot be read: {0}")]
    Unsent(#[source] io::Error),
}

impl CallError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Rejected { transient, .. } => *transient,
            Self::NoContext(_) | Self::Source(_) | Self::Unsent(_) | Self::Tls(_) => false,
            _ => true,
        }
    }
}

/// A presentation context the peer accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: u8,
    /// Abstract syntax.
    pub abstract_syntax: String,
    /// The transfer syntax chosen.
    pub transfer_syntax: String,
}

/// The answer to an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status (0000,0900).
    pub status: u16,
    /// Error Comment (0000,0902), empty when there is none.
    pub comment: String,
}

impl Answer {
    /// Success.
    pub fn is_success(&self) -> bool {
        self.status == 0
    }

    /// Done, with a remark: Bxxx, 0001, 0107 or 0116 (PS3.7 section C.3).
    pub fn is_warning(&self) -> bool {
        matches!(self.status, 0xB000..=0xBFFF | 0x0001 | 0x0107 | 0x0116)
    }
}

/// An association that we asked for; dropped without [`Requestor::release`] it is aborted.
#[derive(Debug)]
pub struct Requestor {
    wire: Option<Splitter<Socket>>,
    contexts: Vec<Accepted>,
    peer_pdu_bytes_max: u32,
    message: u16,
    /// The command of the last answer; kept for its memory.
    command: Vec<u8>,
}

impl Requestor {
    /// Connects and associates.
    ///
    /// # Errors
    /// When there is no association; one without any accepted context is no error here.
    pub fn open(peer: &Peer, proposals: &[Proposal], limits: &Limits) -> Result<Self, CallError> {
        Self::open_in_role(peer, proposals, limits, &|_| false, &mut |_| {})
    }

    /// The same; `connected` hears of the connection as soon as there is one, so that another thread can end it.
    ///
    /// # Errors
    /// As [`Requestor::open`].
    pub(crate) fn open_watched(
        peer: &Peer,
        proposals: &[Proposal],
        limits: &Limits,
        connected: &mut dyn FnMut(&TcpStream),
    ) -> Result<Self, CallError> {
        Self::open_in_role(peer, proposals, limits, &|_| false, connected)
    }

    /// The same, as the SCP of what is proposed: for reports to those who asked.
    ///
    /// # Errors
    /// As [`Requestor::open`].
    pub(crate) fn open_as_provider(peer: &Peer, proposals: &[Proposal], limits: &Limits) -> Result<Self, CallError> {
        Self::open_in_role(peer, proposals, limits, &|_| true, &mut |_| {})
    }

    fn open_in_role(
        peer: &Peer,
        proposals: &[Proposal],
        limits: &Limits,
        provided: &dyn Fn(&Proposal) -> bool,
        connected: &mut dyn FnMut(&TcpStream),
    ) -> Result<Self, CallError> {
        let tcp = connect(&peer.address, limits)?;
        connected(&tcp);
        let mut stream = secure::line(tcp, peer.secure.as_ref(), &peer.address, limits)?;
        let request = propose::request(peer, proposals, limits, provided);
        stream.write_all(&request).map_err(failed)?;
        let answer = answer(&mut Until { stream: &mut stream, end: Instant::now() + limits.answer })?;
        let contexts = accepted(&answer, proposals)?;
        let announced = answer.user_variables.iter().find_map(|item| match item {
            UserVariableItem::MaxLength(length) => Some(*length),
            _ => None,
        });
        let limit = |announced| if announced == 0 { limits.pdu_bytes_max } else { limits.pdu_bytes_max.min(announced) };
        let options = Options {
            idle_limit: limits.answer,
            progress_limit: limits.answer,
            write_limit: limits.write,
            pdu_bytes_max: limits.pdu_bytes_max,
            ..Options::default()
        };
        let socket = Socket::new(stream, Arc::new(Phase::default()), &options).map_err(CallError::Io)?;
        Ok(Self {
            wire: Some(Splitter::new(socket, limits.pdu_bytes_max)),
            contexts,
            peer_pdu_bytes_max: limit(announced.unwrap_or(0)),
            message: 0,
            command: Vec::new(),
        })
    }

    /// The accepted contexts.
    pub fn contexts(&self) -> &[Accepted] {
        &self.contexts
    }

    /// The context accepted for a SOP class in a transfer syntax.
    pub fn context(&self, sop_class: &str, transfer_syntax: &str) -> Option<u8> {
        let fits =
            |context: &&Accepted| context.abstract_syntax == sop_class && context.transfer_syntax == transfer_syntax;
        self.contexts.iter().find(fits).map(|context| context.id)
    }

    /// C-ECHO.
    ///
    /// # Errors
    /// When the association is gone; the peer's refusal is an answer.
    pub fn echo(&mut self) -> Result<Answer, CallError> {
        let of_class = |context: &&Accepted| context.abstract_syntax == crate::VERIFICATION;
        let context = self.contexts.iter().find(of_class).map(|context| context.id);
        let context = context.ok_or_else(|| CallError::NoContext("Verification".into()))?;
        let message = self.next_message();
        let command = command::echo_request(message);
        let pdus = pdu::command_pdus(context, &command, self.peer_pdu_bytes_max);
        self.send(&pdus)?;
        self.response(context, message, command::C_ECHO_RQ)
    }

    /// N-EVENT-REPORT of what `report` makes of the message id: command and data set.
    ///
    /// # Errors
    /// As [`Requestor::echo`].
    pub(crate) fn event(
        &mut self,
        context: u8,
        report: impl FnOnce(u16) -> (Vec<u8>, Vec<u8>),
    ) -> Result<Answer, CallError> {
        let message = self.next_message();
        let (command, data) = report(message);
        let mut pdus = Vec::new();
        pdu::message_pdus(context, &command, &data, self.peer_pdu_bytes_max, &mut pdus);
        self.send(&pdus)?;
        self.response(context, message, command::N_EVENT_REPORT_RQ)
    }

    /// N-CREATE of an instance with a data set.
    ///
    /// # Errors
    /// As [`Requestor::echo`].
    pub(crate) fn create(
        &mut self,
        context: u8,
        class: &str,
        instance: &str,
        data: &[u8],
    ) -> Result<Answer, CallError> {
        let message = self.next_message();
        let command = command::create_request(message, class, instance);
        let mut pdus = Vec::new();
        pdu::message_pdus(context, &command, data, self.peer_pdu_bytes_max, &mut pdus);
        self.send(&pdus)?;
        self.response(context, message, command::N_CREATE_RQ)
    }

    /// Whether it stands and the peer says nothing, as one that nobody uses at the moment should.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let Some(wire) = self.wire.as_mut() else { return false };
        !wire.has_read_ahead() && matches!(wire.source().is_readable(), Ok(false))
    }

    /// Ends the association in order.
    ///
    /// # Errors
    /// When the peer does not answer as it should; the association is gone all the same.
    pub fn release(mut self) -> Result<(), CallError> {
        self.send(&pdu::RELEASE_REQUEST)?;
        let wire = self.wire.as_mut().ok_or(CallError::Lost("before"))?;
        wire.source().await_message();
        let reply = match wire.next_piece() {
            Ok(Piece::ReleaseReply) => Ok(()),
            Ok(Piece::Closed) => Err(CallError::Lost("instead of being released")),
            Ok(_) => Err(CallError::Protocol("something else than A-RELEASE-RP".into())),
            Err(error) => Err(broken(error)),
        };
        self.wire = None;
        reply
    }

    fn next_message(&mut self) -> u16 {
        self.message = self.message.wrapping_add(1);
        self.message
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let wire = self.wire.as_mut().ok_or(CallError::Lost("before"))?;
        wire.source().send(bytes).map_err(failed)
    }

    /// The answer to the operation under way; anything else ends the association.
    fn response(&mut self, context: u8, message: u16, request: u16) -> Result<Answer, CallError> {
        let wire = self.wire.as_mut().ok_or(CallError::Lost("before"))?;
        let response = gather(wire, context, &mut self.command).and_then(|()| {
            let response = Response::parse(&self.command).map_err(|error| CallError::Protocol(error.to_string()))?;
            if response.field != command::response_to(request) || response.responded_to != message {
                return Err(CallError::Protocol("an answer to something that was not asked".into()));
            }
            Ok(Answer { status: response.status, comment: response.comment })
        });
        response.inspect_err(|_| self.abort())
    }

    /// Ends the association at once.
    fn abort(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            // Nobody may be there any more.
            let _ = wire.source().send(&pdu::USER_ABORT);
        }
    }
}

impl Drop for Requestor {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Reads one command set of a context.
fn gather(wire: &mut Splitter<Socket>, of: u8, command: &mut Vec<u8>) -> Result<(), CallError> {
    const COMMAND_BYTES_MAX: usize = 16 * 1024;
    command.clear();
    wire.source().await_message();
    loop {
        match wire.next_piece().map_err(broken)? {
            Piece::Fragment { context, kind: Kind::Command, data, last } if context == of => {
                if command.len().saturating_add(data.len()) > COMMAND_BYTES_MAX {
                    return Err(CallError::Protocol("an endless command set".into()));
                }
                command.extend_from_slice(data);
                if last {
                    return Ok(());
                }
            }
            Piece::Abort => return Err(CallError::Aborted),
            Piece::Closed => return Err(CallError::Lost("instead of an answer")),
            _ => return Err(CallError::Protocol("something else than a response".into())),
        }
    }
}

fn connect(address: &str, limits: &Limits) -> Result<TcpStream, CallError> {
    let fault = |source| CallError::Connect { address: address.to_owned(), source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs().map_err(fault)? {
        match TcpStream::connect_timeout(&candidate, limits.connect) {
            Ok(stream) => {
                let prepared = stream
                    .set_nodelay(true)
                    .and_then(|()| stream.set_read_timeout(Some(limits.answer)))
                    .and_then(|()| stream.set_write_timeout(Some(limits.write)));
                prepared.map_err(fault)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(fault(last))
}

/// A connection that is read until a moment: a peer that sends its answer byte by byte has no longer for it.
struct Until<'a> {
    stream: &'a mut Line,
    end: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.tcp().set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

/// Reads the answer to the association request.
fn answer(stream: &mut impl Read) -> Result<AssociationAC, CallError> {
    let mut pdu = vec![0; 6];
    stream.read_exact(&mut pdu).map_err(failed)?;
    if pdu.first() == Some(&TLS_ALERT) {
        return Err(CallError::Tls("the peer speaks TLS on this port".into()));
    }
    let length = pdu.get(2..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |bytes| u32::from_be_bytes(*bytes));
    if length > ANSWER_BYTES_MAX {
        return Err(CallError::Protocol("an endless answer to A-ASSOCIATE-RQ".into()));
    }
    let read = stream.take(u64::from(length)).read_to_end(&mut pdu).map_err(failed)?;
    if u32::try_from(read).ok() != Some(length) {
        return Err(CallError::Lost("inside the answer to A-ASSOCIATE-RQ"));
    }
    match read_pdu(pdu.as_slice(), ANSWER_BYTES_MAX, false) {
        Ok(Some(Pdu::AssociationAC(answer))) => Ok(answer),
        Ok(Some(Pdu::AssociationRJ(rejection))) => Err(CallError::Rejected {
            why: format!("{:?}", rejection.source),
            transient: matches!(rejection.result, dicom_ul::pdu::AssociationRJResult::Transient),
        }),
        Ok(Some(Pdu::AbortRQ { .. })) => Err(CallError::Aborted),
        _ => Err(CallError::Protocol("no answer to A-ASSOCIATE-RQ that can be read".into())),
    }
}

/// What of the proposals was accepted, in a syntax that was proposed.
fn accepted(answer: &AssociationAC, proposals: &[Proposal]) -> Result<Vec<Accepted>, CallError> {
    let mut contexts = Vec::new();
    for result in &answer.presentation_contexts {
        if result.reason != PresentationContextResultReason::Acceptance {
            continue;
        }
        let proposal = propose::position(result.id).and_then(|position| proposals.get(position));
        let syntax = result.transfer_syntax.trim_matches([' ', '\0']);
        match proposal.filter(|proposal| proposal.transfer_syntaxes.iter().any(|proposed| proposed == syntax)) {
            Some(proposal) => contexts.push(Accepted {
                id: result.id,
                abstract_syntax: proposal.abstract_syntax.clone(),
                transfer_syntax: syntax.to_owned(),
            }),
            None => return Err(CallError::Protocol("a context or transfer syntax that was not proposed".into())),
        }
    }
    Ok(contexts)
}

fn failed(error: io::Error) -> CallError {
    if let Some(why) = tls::explain(&error) {
        return CallError::Tls(why);
    }
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::TooSlow,
        io::ErrorKind::UnexpectedEof => CallError::Lost("instead of an answer"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => CallError::Lost("while something was sent"),
        _ => CallError::Io(error),
    }
}

fn broken(error: pdu::PduError) -> CallError {
    match error {
        pdu::PduError::Read(error) => failed(error),
        pdu::PduError::Truncated => CallError::Lost("inside a PDU"),
        pdu::PduError::Violation { what, .. } => CallError::Protocol(what.to_owned()),
    }
}
