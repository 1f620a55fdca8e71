//! One association from the request to its end, on a thread of its own (PS3.8 chapter 9, the acceptor's part).
//!
//! Messages are gathered here and handed to the services; what a service does with one is not known here.
//! We never ask for a release, so a release collision (PS3.8 section 9.2.2.4) cannot arise on our side.

use crate::carrier::Rested;
use crate::command::{
    C_CANCEL_RQ, C_ECHO_RQ, C_FIND_RQ, C_GET_RQ, C_MOVE_RQ, C_STORE_RQ, CommandError, N_ACTION_RQ, N_CREATE_RQ,
    N_GET_RQ, N_SET_RQ, Request,
};
use crate::commitment_scp::Report;
use crate::line::Line;
use crate::listener::{Shared, encode};
use crate::meter;
use crate::negotiate::{self, AmbiguousContexts, Context, Negotiated, Rejection, Service};
use crate::options::Options;
use crate::outgoing::Room;
use crate::pdu::{self, AbortReason, Kind, PduError, Piece, Splitter};
use crate::receiver::Receiver;
use crate::request;
use crate::slots::Slot;
use crate::socket::{GaveUp, Socket};
use crate::status::{self, Failure};
use crate::suspects::Suspects;
use crate::ups_events::Watching;
use archive::Unknown;
use dicom_ul::pdu::AssociationRQ;
use model::{AeTitle, Certificate, Source};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

/// How an association ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Release asked and answered.
    Released,
    /// A-ABORT by the peer.
    PeerAborted,
    /// The connection ended without a word.
    Vanished,
    /// Reading or writing failed.
    Lost(io::Error),
    /// A limit of ours, or the archive closing down.
    GaveUp(GaveUp),
    /// The peer broke the upper layer protocol.
    Violation(AbortReason, &'static str),
    /// The message makes no sense: the DIMSE layer aborts.
    Senseless(String),
    /// The archive takes nothing more; said with a status before.
    Unavailable,
}

impl From<PduError> for End {
    fn from(error: PduError) -> Self {
        match error {
            PduError::Read(error) => Self::Lost(error),
            PduError::Truncated => Self::Vanished,
            PduError::Violation { reason, what } => Self::Violation(reason, what),
        }
    }
}

impl From<CommandError> for End {
    fn from(error: CommandError) -> Self {
        Self::Senseless(error.to_string())
    }
}

impl End {
    /// For a piece that ends the association wherever it comes.
    pub(crate) fn of(piece: &Piece<'_>) -> Self {
        match piece {
            Piece::Fragment { kind: Kind::Command, .. } => {
                Self::Violation(AbortReason::UnexpectedPdu, "a command inside a data set")
            }
            Piece::Fragment { kind: Kind::DataSet, .. } => {
                Self::Violation(AbortReason::UnexpectedPdu, "a data set without a command")
            }
            Piece::ReleaseRequest => Self::Released,
            Piece::ReleaseReply => Self::Violation(AbortReason::UnexpectedPdu, "PDU out of place"),
            Piece::Abort => Self::PeerAborted,
            Piece::Closed => Self::Vanished,
        }
    }

    /// The last PDU we send.
    fn last_word(&self) -> Option<[u8; 10]> {
        match self {
            Self::Released => Some(pdu::RELEASE_REPLY),
            Self::PeerAborted | Self::Vanished | Self::Lost(_) => None,
            Self::GaveUp(_) => Some(pdu::provider_abort(AbortReason::NotSpecified)),
            Self::Violation(reason, _) => Some(pdu::provider_abort(*reason)),
            Self::Senseless(_) | Self::Unavailable => Some(pdu::USER_ABORT),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::PeerAborted => "peer-aborted",
            Self::Vanished => "connection-closed",
            Self::Lost(_) => "connection-lost",
            Self::GaveUp(GaveUp::Idle) => "idle-limit",
            Self::GaveUp(GaveUp::Slow) => "progress-limit",
            Self::GaveUp(GaveUp::Discard) => "discard-limit",
            Self::GaveUp(GaveUp::ClosingDown) => "closing-down",
            Self::Violation(..) => "protocol-violation",
            Self::Senseless(_) => "senseless-message",
            Self::Unavailable => "archive-unavailable",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Violation(_, what) => (*what).to_owned(),
            Self::Senseless(what) => what.clone(),
            Self::Lost(error) => error.to_string(),
            _ => String::new(),
        }
    }
}

/// Serves a connection whose request has arrived; returns it when a last word was said and the peer is to close.
pub(crate) fn serve<R: Receiver>(
    shared: &Arc<Shared<R>>,
    stream: Line,
    peer: SocketAddr,
    request: &[u8],
    mut slot: Slot,
) -> Option<TcpStream> {
    let mut socket = Socket::new(stream, Arc::clone(&shared.phase), &shared.options).ok()?;
    let certificate = socket.certificate();
    let admitted = admit(shared, (peer, certificate.as_ref()), request, &mut slot);
    let (source, (called, calling), negotiated) = match admitted {
        Ok(admitted) => admitted,
        Err(Refused { reply, label, detail }) => {
            let subject = certificate.map(|shown| format!("{} (SHA-256 {})", shown.subject, shown.fingerprint));
            tracing::info!(%peer, reason = label, detail, certificate = subject, "association refused");
            return socket.send(&reply).is_ok().then(|| socket.end());
        }
    };
    socket.send(&encode(negotiated.answer)).ok()?;
    meter::accepted();
    tracing::info!(
        %peer,
        source = source.id,
        facility = %source.facility,
        implementation = negotiated.peer.implementation,
        version = negotiated.peer.version,
        user = negotiated.peer.user,
        tls = socket.is_secure(),
        certificate = certificate.map(|shown| shown.subject),
        contexts = negotiated.contexts.len(),
        "association accepted"
    );
    let mut association = Association {
        wire: Splitter::new(socket, shared.options.pdu_bytes_max),
        receiver: shared.receiver.clone(),
        options: &shared.options,
        suspects: &shared.suspects,
        room: &shared.room,
        contexts: negotiated.contexts,
        peer_pdu_bytes_max: negotiated.peer.pdu_bytes_max,
        called,
        calling,
        peer: peer.ip().to_canonical(),
        source,
        command: Vec::new(),
        reports: Vec::new(),
        watching: None,
        rested: None,
    };
    let end = association.run();
    association.conclude(peer, &end)
}

/// A request that gets no association.
struct Refused {
    reply: Vec<u8>,
    label: &'static str,
    detail: String,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        meter::rejected(rejection.label());
        Self { reply: encode(rejection.answer()), label: rejection.label(), detail: String::new() }
    }
}

impl Refused {
    fn malformed(detail: impl ToString) -> Self {
        meter::aborted("malformed-request");
        let reply = pdu::provider_abort(AbortReason::InvalidParameter).to_vec();
        Self { reply, label: "malformed-request", detail: detail.to_string() }
    }
}

fn admit<R: Receiver>(
    shared: &Shared<R>,
    (peer, certificate): (SocketAddr, Option<&Certificate>),
    request: &[u8],
    slot: &mut Slot,
) -> Result<(Source, (AeTitle, AeTitle), Negotiated), Refused> {
    let request = request::parse(request).map_err(Refused::malformed)?;
    if shared.phase.is_draining() {
        return Err(Rejection::ClosingDown.into());
    }
    let (called, calling) = negotiate::titles(&request)?;
    let source = shared
        .receiver
        .identify(&called, &calling, peer.ip().to_canonical(), certificate)
        .map_err(|unknown| refuse_unknown(unknown, &called, &calling))?;
    if !slot.assign(&source.id) {
        return Err(Rejection::SourceLimit.into());
    }
    let negotiated = accept(&request, &shared.options)?;
    tracing::debug!(%peer, %called, %calling, source = source.id, "association negotiated");
    Ok((source, (called, calling), negotiated))
}

fn accept(request: &AssociationRQ, options: &Options) -> Result<Negotiated, Refused> {
    negotiate::negotiate(request, options)
        .map_err(|AmbiguousContexts| Refused::malformed("two presentation contexts share an id"))
}

/// A disabled or inactive source is told what an unknown one is told: nothing about our registry.
fn refuse_unknown(unknown: Unknown, called: &AeTitle, calling: &AeTitle) -> Refused {
    let rejection = match unknown {
        Unknown::Called => Rejection::CalledTitle,
        Unknown::Calling | Unknown::Disabled | Unknown::Inactive => Rejection::CallingTitle,
    };
    Refused { detail: format!("called {called}, calling {calling}: {unknown:?}"), ..rejection.into() }
}

/// An established association.
pub(crate) struct Association<'a, R> {
    pub(crate) wire: Splitter<Socket>,
    pub(crate) receiver: R,
    pub(crate) options: &'a Options,
    pub(crate) suspects: &'a Suspects,
    pub(crate) room: &'a Arc<Room>,
    pub(crate) contexts: BTreeMap<u8, Context>,
    pub(crate) peer_pdu_bytes_max: u32,
    /// The title the peer called us by: where what it finds is retrieved from.
    pub(crate) called: AeTitle,
    /// The title the peer showed.
    pub(crate) calling: AeTitle,
    /// From where it calls.
    pub(crate) peer: IpAddr,
    pub(crate) source: Source,
    /// The command being gathered; kept for its memory.
    pub(crate) command: Vec<u8>,
    /// Reports that the peer has not answered yet.
    pub(crate) reports: Vec<Report>,
    /// Events of procedure steps on their way to this peer.
    pub(crate) watching: Option<Watching>,
    /// Associations of the last C-MOVE.
    pub(crate) rested: Option<Rested>,
}

impl<R: Receiver> Association<'_, R> {
    fn run(&mut self) -> End {
        let mut waiting = self.has_waiting_reports();
        loop {
            let served = self.report_in_a_pause(&mut waiting);
            let served = served.and_then(|()| self.let_go_in_a_pause()).and_then(|()| self.watch());
            let served = served.and_then(|()| self.message());
            if let Err(end) = served {
                return match self.wire.source().gave_up() {
                    Some(why) => End::GaveUp(why),
                    None => end,
                };
            }
            meter::received(self.wire.source().take_received());
        }
    }

    /// One message: its command, the service, its answer.
    fn message(&mut self) -> Result<(), End> {
        self.wire.source().await_message();
        let id = self.gather_command()?;
        let Some(context) = self.contexts.get(&id).cloned() else {
            return Err(End::Violation(AbortReason::InvalidParameter, "a presentation context that was not accepted"));
        };
        let request = match Request::parse(&self.command) {
            Err(CommandError::Response(_)) if self.is_event_answer() => return self.event_answered(),
            Err(CommandError::Response(_)) if !self.reports.is_empty() => return self.report_answered(),
            request => request?,
        };
        let of_steps = matches!(context.service, Service::Ups(_));
        match request.field {
            C_FIND_RQ if of_steps => self.find_steps(id, &context, &request),
            N_ACTION_RQ | N_CREATE_RQ | N_GET_RQ | N_SET_RQ if of_steps => self.steps(id, &context, &request),
            C_FIND_RQ if context.service == Service::Worklist => self.find_lines(id, &context, &request),
            N_CREATE_RQ | N_SET_RQ if context.service == Service::Performed => self.perform(id, &context, &request),
            C_STORE_RQ => self.store(id, &context, &request),
            C_FIND_RQ => self.find(id, &context, &request),
            C_MOVE_RQ => self.move_objects(id, &context, &request),
            C_GET_RQ => self.get_objects(id, &context, &request),
            N_ACTION_RQ => self.action(id, &context, &request),
            N_CREATE_RQ => self.create(id, &context, &request),
            // What it cancels was answered before.
            C_CANCEL_RQ => Ok(()),
            C_ECHO_RQ => {
                self.discard_data_set(id, &request)?;
                meter::echoed();
                self.answer(id, &request, status::SUCCESS, "")
            }
            _ => {
                self.discard_data_set(id, &request)?;
                self.answer(id, &request, status::UNRECOGNIZED_OPERATION, "")
            }
        }
    }

    /// Reads the next command set into `self.command`, returns its presentation context id.
    pub(crate) fn gather_command(&mut self) -> Result<u8, End> {
        self.command.clear();
        let mut of_message = None;
        loop {
            match self.wire.next_piece()? {
                Piece::Fragment { context, kind: Kind::Command, data, last } => {
                    if *of_message.get_or_insert(context) != context {
                        return Err(End::Violation(AbortReason::InvalidParameter, "contexts mixed inside a command"));
                    }
                    if self.command.len() + data.len() > self.options.command_bytes_max {
                        return Err(End::Violation(AbortReason::InvalidParameter, "command set beyond its limit"));
                    }
                    self.command.extend_from_slice(data);
                    self.wire.source().begin_message();
                    if last {
                        return Ok(context);
                    }
                }
                other => return Err(End::of(&other)),
            }
        }
    }

    /// Reads away the data set of a request that has no use for one.
    fn discard_data_set(&mut self, id: u8, request: &Request) -> Result<(), End> {
        if !request.has_data_set {
            return Ok(());
        }
        let end = std::time::Instant::now() + self.options.discard_limit;
        self.wire.source().discard_until(end);
        loop {
            match self.wire.next_piece()? {
                Piece::Fragment { context, kind: Kind::DataSet, last, .. } if context == id => {
                    if last {
                        return Ok(());
                    }
                }
                other => return Err(End::of(&other)),
            }
        }
    }

    /// Reads the identifier of a query or retrieve; one beyond its limit is read away.
    pub(crate) fn gather_identifier(&mut self, id: u8, request: &Request) -> Result<Result<Vec<u8>, Failure>, End> {
        self.gather_data_set(id, request, self.options.identifier_bytes_max)
    }

    /// Reads a small data set whole; one of more than `limit` bytes is read away.
    pub(crate) fn gather_data_set(
        &mut self,
        id: u8,
        request: &Request,
        limit: usize,
    ) -> Result<Result<Vec<u8>, Failure>, End> {
        if !request.has_data_set {
            return Ok(Err(Failure::new(status::DATA_SET_MISMATCH, "a request without an identifier")));
        }
        let mut bytes = Vec::new();
        loop {
            match self.wire.next_piece()? {
                Piece::Fragment { context, kind: Kind::DataSet, data, last } if context == id => {
                    if bytes.len().saturating_add(data.len()) > limit {
                        if !last {
                            self.discard_data_set(id, request)?;
                        }
                        let comment = format!("an identifier longer than {limit} bytes");
                        return Ok(Err(Failure::new(status::OUT_OF_RESOURCES, comment)));
                    }
                    bytes.extend_from_slice(data);
                    if last {
                        return Ok(Ok(bytes));
                    }
                }
                other => return Err(End::of(&other)),
            }
        }
    }

    /// Whether the peer asks for the end of the request that is being answered. Does not wait.
    ///
    /// # Errors
    /// When the association ends, or anything else comes: one operation at a time was negotiated.
    pub(crate) fn is_cancelled(&mut self, request: &Request) -> Result<bool, End> {
        if self.wire.source().is_stopped() {
            return Err(End::GaveUp(GaveUp::ClosingDown));
        }
        if !self.wire.has_read_ahead() && !self.wire.source().is_readable().map_err(End::Lost)? {
            return Ok(false);
        }
        self.gather_command()?;
        let interruption = Request::parse(&self.command)?;
        match interruption.field {
            C_CANCEL_RQ => Ok(interruption.message_id == request.message_id),
            _ => Err(End::Violation(AbortReason::UnexpectedPdu, "a request before the last one was answered")),
        }
    }

    /// Sends the response to a request.
    pub(crate) fn answer(
        &mut self,
        id: u8,
        request: &Request,
        status: status::Status,
        comment: &str,
    ) -> Result<(), End> {
        let response = request.response(status.code, comment);
        let bytes = pdu::command_pdus(id, &response, self.peer_pdu_bytes_max);
        self.wire.source().send(&bytes).map_err(End::Lost)
    }

    /// Answers a request that failed, and ends the association where the failure says so.
    pub(crate) fn answer_failure(&mut self, id: u8, request: &Request, failure: &Failure) -> Result<(), End> {
        self.answer(id, request, failure.status, &failure.comment)?;
        if failure.ends_association { Err(End::Unavailable) } else { Ok(()) }
    }

    /// Says the last word, logs and counts the end.
    fn conclude(mut self, peer: SocketAddr, end: &End) -> Option<TcpStream> {
        meter::received(self.wire.source().take_received());
        let (reason, detail, source) = (end.label(), end.detail(), self.source.id.as_str());
        match end {
            End::Released => tracing::info!(%peer, source, "association released"),
            _ => {
                meter::aborted(reason);
                tracing::warn!(%peer, source, reason, detail, "association ended");
            }
        }
        let rested = self.rested.take();
        let mut socket = self.wire.into_source();
        let left = end.last_word().and_then(|word| socket.send(&word).is_ok().then(|| socket.end()));
        // Only now: the peer must not wait for others, nor the next one for this place. Any other end is abrupt, and
        // theirs too.
        if let Some(rested) = rested.filter(|_| matches!(end, End::Released)) {
            rested.release();
        }
        left
    }
}
