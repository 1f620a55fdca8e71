//! Accepting connections and reading their first PDU, cheaply; then one thread for each association.
//!
//! Everything before a complete A-ASSOCIATE-RQ is a small task: slow, silent and hostile peers cost a task and
//! a few bytes. The archive's services block, so an association gets a thread of its own.

use crate::association;
use crate::doors::{Arriving, TLS_ALERT, TLS_HANDSHAKE, TlsPort, shake_hands};
use crate::half_open::{HalfOpen, Ticket};
use crate::meter;
use crate::negotiate::Rejection;
use crate::options::Options;
use crate::pdu::{self, AbortReason};
use crate::receiver::Receiver;
use crate::request::HEADER_BYTES;
use crate::slots::Slots;
use crate::socket::{Phase, acknowledge_at_once};
use crate::suspects::Suspects;
use crate::{commitment_reports, ups_reports};
use archive::{Archive, Room};
use dicom_ul::pdu::{Pdu, write_pdu};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Connections the kernel may hold before they are accepted.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept: descriptors or memory are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time the associations get to notice that they were stopped.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Pace of looking whether the thread that reports storage commitments has ended.
const REPORTING_PACE: Duration = Duration::from_millis(5);
/// Stack of an association's thread; nothing on its way recurses.
const STACK_BYTES: usize = 1024 * 1024;
/// Shortest A-ASSOCIATE-RQ: its fixed fields.
const REQUEST_BYTES_MIN: u32 = 68;

/// The listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for DICOM on {address}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Wraps a failure of the certificate files, which has no address of its own.
fn unusable(address: SocketAddr) -> impl Fn(tls::TlsError) -> ListenError {
    move |error| ListenError { address, source: io::Error::other(error) }
}

/// What all connections share.
pub(crate) struct Shared<R> {
    pub(crate) receiver: R,
    pub(crate) options: Options,
    pub(crate) phase: Arc<Phase>,
    /// Objects that broke off while they were sent back.
    pub(crate) suspects: Suspects,
    /// Memory for objects that are read before they are sent.
    pub(crate) room: Arc<Room>,
    slots: Arc<Slots>,
    half_open: Arc<HalfOpen>,
    runtime: Handle,
}

/// The provider on one address, and on a second one for TLS.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    secure: Option<SocketAddr>,
    phase: Arc<Phase>,
    slots: Arc<Slots>,
    accepting: Vec<JoinHandle<()>>,
    reporting: Vec<thread::JoinHandle<()>>,
}

impl Listener {
    /// Listens on `address` (port 0 takes a free one) and serves `archive` until [`Listener::shutdown`].
    ///
    /// Must be called inside a tokio runtime, which carries the accepting and the handshakes.
    pub async fn bind(address: SocketAddr, options: Options, archive: Arc<Archive>) -> Result<Self, ListenError> {
        Self::serve(address, options, archive)
    }

    pub(crate) fn serve<R: Receiver>(address: SocketAddr, options: Options, receiver: R) -> Result<Self, ListenError> {
        let (socket, address) = open(address)?;
        options.client.check().map_err(unusable(address))?;
        let door = options.tls.clone();
        let door = door.map(|port| {
            port.server.acceptor().map_err(unusable(port.listen))?;
            open(port.listen).map(|(socket, address)| (socket, address, Arc::new(port)))
        });
        let door = door.transpose()?;
        meter::describe();
        let phase = Arc::new(Phase::default());
        let slots = Slots::new(options.associations_max, options.associations_per_source_max);
        let shared = Arc::new(Shared {
            receiver,
            phase: Arc::clone(&phase),
            suspects: Suspects::default(),
            room: Room::new(u64::try_from(options.retrieve_ahead_bytes_max).unwrap_or(u64::MAX)),
            slots: Arc::clone(&slots),
            half_open: HalfOpen::new(&options),
            runtime: Handle::current(),
            options,
        });
        let reporting = [report_commitments(&shared), report_events(&shared)].into_iter().flatten().collect();
        let secure = door.as_ref().map(|(_, address, _)| *address);
        let mut accepting = vec![tokio::spawn(accept(socket, None, Arc::clone(&shared)))];
        accepting.extend(door.map(|(socket, _, port)| tokio::spawn(accept(socket, Some(port), shared))));
        Ok(Self { address, secure, phase, slots, accepting, reporting })
    }

    /// The address bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address bound for TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.secure
    }

    /// Associations open now.
    pub fn associations(&self) -> usize {
        *self.slots.watch().borrow()
    }

    /// Ends the service: new associations are rejected as temporary, open ones finish the object they are
    /// sending and are aborted then; whatever still runs after `limit` is cut.
    ///
    /// Returns the number of associations that had to be cut.
    pub async fn shutdown(mut self, limit: Duration) -> usize {
        let until = Instant::now() + limit;
        self.phase.drain();
        let reporting = std::mem::take(&mut self.reporting);
        reporting.iter().for_each(|reporting| reporting.thread().unpark());
        let mut open = self.slots.watch();
        let drained = timeout(limit, open.wait_for(|open| *open == 0)).await.is_ok();
        let cut = if drained { 0 } else { self.associations() };
        self.phase.stop();
        if cut > 0 {
            // A thread inside the archive cannot be cut; the process ends without waiting for it.
            let _ = timeout(STOP_GRACE, open.wait_for(|open| *open == 0)).await;
        }
        // It holds the archive: a process that ends while the index closes in a thread may end by an abort.
        while reporting.iter().any(|reporting| !reporting.is_finished()) && Instant::now() < until {
            sleep(REPORTING_PACE).await;
        }
        cut
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.phase.stop();
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// Starts the thread that reports storage commitments on associations of our own.
fn report_commitments<R: Receiver>(shared: &Arc<Shared<R>>) -> Option<thread::JoinHandle<()>> {
    let lasting = Arc::clone(shared);
    let thread = thread::Builder::new().name("commitments".to_owned());
    let work = move || commitment_reports::run(&lasting.receiver, &lasting.options, &lasting.phase);
    let started = thread.spawn(work);
    started.inspect_err(|error| tracing::error!(%error, "no thread to report storage commitments")).ok()
}

/// Starts the thread that takes events of procedure steps to those who have a port of their own.
fn report_events<R: Receiver>(shared: &Arc<Shared<R>>) -> Option<thread::JoinHandle<()>> {
    let lasting = Arc::clone(shared);
    let thread = thread::Builder::new().name("step-events".to_owned());
    let work = move || ups_reports::run(&lasting.receiver, &lasting.options, &lasting.phase);
    let started = thread.spawn(work);
    started.inspect_err(|error| tracing::error!(%error, "no thread for events of procedure steps")).ok()
}

fn open(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let bound = socket.local_addr()?;
        Ok((socket, bound))
    };
    bind().map_err(|source| ListenError { address, source })
}

async fn accept<R: Receiver>(listener: TcpListener, port: Option<Arc<TlsPort>>, shared: Arc<Shared<R>>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (ticket, pushed_out) = shared.half_open.enter(peer.ip());
                let (shared, port) = (Arc::clone(&shared), port.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = welcome(&shared, port.as_deref(), stream, peer, &ticket) => {}
                        _ = pushed_out => {}
                    }
                });
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "accepting a DICOM connection");
                shared.half_open.push_out_oldest();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What the first PDU of a connection calls for.
enum First {
    /// A complete A-ASSOCIATE-RQ, header included.
    Request(Vec<u8>),
    /// Something else: this is the last word.
    Reply(Vec<u8>),
    /// A TLS handshake, on the port without TLS.
    Tls,
    /// Nobody there any more.
    Gone,
}

async fn welcome<R: Receiver>(
    shared: &Arc<Shared<R>>,
    port: Option<&TlsPort>,
    stream: TcpStream,
    peer: SocketAddr,
    ticket: &Ticket,
) {
    prepare(&stream);
    match port {
        None => greet(shared, stream, peer, ticket).await,
        Some(port) => {
            if let Some(stream) = shake_hands(shared, port, stream, peer).await {
                greet(shared, stream, peer, ticket).await;
            }
        }
    }
}

async fn greet<R: Receiver>(shared: &Arc<Shared<R>>, mut stream: impl Arriving, peer: SocketAddr, ticket: &Ticket) {
    let first = match timeout(shared.options.artim, first_pdu(&mut stream, &shared.options, ticket)).await {
        Ok(first) => first.unwrap_or(First::Gone),
        Err(_) => {
            // PS3.8 table 9-6, AA-2: the ARTIM timer ran out, the connection is closed without a word.
            meter::aborted("artim");
            First::Gone
        }
    };
    match first {
        First::Request(request) => hand_over(shared, stream, peer, request).await,
        First::Reply(reply) => part(stream, &reply, &shared.options).await,
        First::Tls => {
            meter::aborted("tls-on-plain-port");
            tracing::warn!(%peer, "a peer calls the port without TLS and begins a TLS handshake: TLS is on dicom.tls.listen");
            part(stream, &TLS_ALERT, &shared.options).await;
        }
        First::Gone => {}
    }
}

fn prepare(stream: &TcpStream) {
    // None of these can fail on a live socket, and a dead one shows at the next read.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(stream, true);
    acknowledge_at_once(stream);
}

async fn first_pdu(stream: &mut impl Arriving, options: &Options, ticket: &Ticket) -> io::Result<First> {
    let mut header = [0u8; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let [kind, _, l0, l1, l2, l3] = header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    let refused = match kind {
        0x01 if length > options.request_bytes_max => {
            meter::rejected(Rejection::RequestTooLong.label());
            return Ok(First::Reply(encode(Rejection::RequestTooLong.answer())));
        }
        0x01 if length < REQUEST_BYTES_MIN => Some(AbortReason::InvalidParameter),
        0x01 => None,
        0x02..=0x06 => Some(AbortReason::UnexpectedPdu),
        0x07 => return Ok(First::Gone),
        TLS_HANDSHAKE => return Ok(First::Tls),
        _ => Some(AbortReason::UnrecognizedPdu),
    };
    if let Some(reason) = refused {
        meter::aborted("first-pdu");
        return Ok(First::Reply(pdu::provider_abort(reason).to_vec()));
    }
    let mut request = header.to_vec();
    let mut rest = stream.take(u64::from(length));
    // The buffer grows with what arrives, not with what is announced.
    while rest.limit() > 0 {
        let before = request.len();
        request.reserve(8 * 1024);
        if rest.read_buf(&mut request).await? == 0 || !ticket.hold(request.len() - before) {
            return Ok(First::Gone);
        }
    }
    Ok(First::Request(request))
}

async fn hand_over<R: Receiver>(shared: &Arc<Shared<R>>, stream: impl Arriving, peer: SocketAddr, request: Vec<u8>) {
    let Some(slot) = shared.slots.enter() else {
        let rejection = Rejection::Limit;
        meter::rejected(rejection.label());
        tracing::info!(%peer, reason = rejection.label(), "association rejected");
        return part(stream, &encode(rejection.answer()), &shared.options).await;
    };
    let Ok(stream) = stream.blocking() else { return };
    let shared = Arc::clone(shared);
    let thread = thread::Builder::new().name("dimse".to_owned()).stack_size(STACK_BYTES);
    let started = thread.spawn(move || {
        let ended = association::serve(&shared, stream, peer, &request, slot);
        if let Some(stream) = ended {
            let lasting = Arc::clone(&shared);
            shared.runtime.spawn(async move { linger_after(&lasting, stream, peer).await });
        }
    });
    if let Err(error) = started {
        // The closure is gone, and the connection with it.
        meter::rejected("no-thread");
        tracing::error!(%error, %peer, "starting a thread for an association");
    }
}

/// Says the last word and waits for the peer to close.
async fn part(mut stream: impl Arriving, last_word: &[u8], options: &Options) {
    let spoken = timeout(options.write_limit, async {
        stream.write_all(last_word).await?;
        stream.shutdown().await
    });
    if let Ok(Ok(())) = spoken.await {
        linger(stream, options.artim).await;
    }
}

async fn linger_after<R: Receiver>(shared: &Shared<R>, stream: std::net::TcpStream, peer: SocketAddr) {
    let (_ticket, pushed_out): (Ticket, oneshot::Receiver<()>) = shared.half_open.enter(peer.ip());
    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
    if let Ok(stream) = stream {
        tokio::select! {
            () = linger(stream, shared.options.artim) => {}
            _ = pushed_out => {}
        }
    }
}

/// Reads away what the peer still sends until it closes. Closing with bytes unread would reset the
/// connection and destroy our last word before the peer has read it.
pub(crate) async fn linger(mut stream: impl AsyncRead + Unpin, artim: Duration) {
    let mut waste = vec![0u8; 4 * 1024];
    let _ = timeout(artim, async { while matches!(stream.read(&mut waste).await, Ok(read) if read > 0) {} }).await;
}

pub(crate) fn encode(pdu: impl Into<Pdu>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match write_pdu(&mut bytes, &pdu.into()) {
        Ok(()) => bytes,
        // Only an answer with a text beyond its field could fail, and every text was checked; say something
        // true all the same.
        Err(_) => pdu::provider_abort(AbortReason::NotSpecified).to_vec(),
    }
}
