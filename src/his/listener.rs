//! Accepting connections, with and without TLS, and speaking on each: one message after the other.
//!
//! A connection is a small task; only what asks the archive runs on a thread that may block. When the service ends, no
//! message begins any more, those that began are answered, and what then still runs is cut.

use crate::desk::Desk;
use crate::hl7::Fault;
use crate::keeper::Keeper;
use crate::meter;
use crate::mllp::{Broken, Frames};
use crate::options::{Options, TlsPort};
use crate::places::{Memory, Place, Places};
use crate::sources::{Peer, Sources, SourcesError};
use archive::Archive;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Pause after a failed accept: descriptors or memory are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time the connections get to notice that they were stopped.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// The service could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is not free or not ours.
    #[error("cannot listen for HL7 on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file of senders cannot be used.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// The certificate files cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// How far the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// No message begins any more.
    Draining,
    /// It is over.
    Stopped,
}

struct Shared {
    desk: Arc<Desk>,
    options: Options,
    places: Arc<Places>,
    memory: Arc<Memory>,
    phase: watch::Sender<Phase>,
}

/// The service on its addresses.
pub struct Listener {
    plain: Option<SocketAddr>,
    secure: Option<SocketAddr>,
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Listens where the options say (port 0 takes a free one) and serves `archive` until [`Listener::shutdown`].
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// An address that is not free, a file of senders or certificates that cannot be used.
    pub async fn bind(options: Options, archive: Arc<Archive>) -> Result<Self, ListenError> {
        Self::serve(options, Arc::new(archive)).await
    }

    pub(crate) async fn serve(options: Options, keeper: Arc<dyn Keeper>) -> Result<Self, ListenError> {
        meter::describe();
        let sources = Sources::load(&options.sources)?;
        options.tls.as_ref().map(|port| port.server.acceptor()).transpose()?;
        let plain = open(options.listen).await?;
        let secure = open(options.tls.as_ref().map(|port| port.listen)).await?;
        let shared = Arc::new(Shared {
            desk: Arc::new(Desk::new(keeper, sources)),
            places: Places::new(options.connections_max, options.connections_per_address_max),
            memory: Memory::new(options.memory_max),
            phase: watch::Sender::new(Phase::Serving),
            options,
        });
        let address = |socket: &Option<(TcpListener, SocketAddr)>| socket.as_ref().map(|(_, address)| *address);
        let (plain_address, secure_address) = (address(&plain), address(&secure));
        let mut accepting = Vec::new();
        for (socket, over_tls) in [(plain, false), (secure, true)] {
            let port = shared.options.tls.clone().filter(|_| over_tls).map(Arc::new);
            accepting.extend(socket.map(|(socket, _)| tokio::spawn(accept(socket, port, Arc::clone(&shared)))));
        }
        Ok(Self { plain: plain_address, secure: secure_address, shared, accepting })
    }

    /// The address bound without TLS.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.plain
    }

    /// The address bound for TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.secure
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        *self.shared.places.watch().borrow()
    }

    /// Ends the service: messages that began are handled and answered; what still runs after `limit` is cut.
    ///
    /// Returns the number of connections that had to be cut.
    pub async fn shutdown(self, limit: Duration) -> usize {
        self.accepting.iter().for_each(JoinHandle::abort);
        self.shared.phase.send_replace(Phase::Draining);
        let mut open = self.shared.places.watch();
        let drained = timeout(limit, open.wait_for(|open| *open == 0)).await.is_ok();
        let cut = if drained { 0 } else { self.connections() };
        self.shared.phase.send_replace(Phase::Stopped);
        if cut > 0 {
            let _ = timeout(STOP_GRACE, open.wait_for(|open| *open == 0)).await;
        }
        cut
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Stopped);
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

async fn open(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, ListenError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| ListenError::Listen { address, source };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok(Some((socket, bound)))
}

async fn accept(listener: TcpListener, port: Option<Arc<TlsPort>>, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match shared.places.enter(address.ip()) {
                Ok(place) => {
                    let (shared, port) = (Arc::clone(&shared), port.clone());
                    tokio::spawn(connection(shared, port, stream, address, place));
                }
                Err(reason) => {
                    meter::refused(reason);
                    tracing::warn!(%address, reason, "an HL7 connection is refused: the limit of connections is reached");
                }
            },
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "accepting an HL7 connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    shared: Arc<Shared>,
    port: Option<Arc<TlsPort>>,
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
) {
    // Neither can fail on a live socket, and a dead one shows at the next read.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
    let mut phase = shared.phase.subscribe();
    let serving = async {
        match port {
            None => {
                let peer = Peer { address: address.ip(), certificate: None };
                converse(&shared, stream, peer).await;
            }
            Some(port) => {
                if let Some((stream, peer)) = shake_hands(&port, stream, address).await {
                    converse(&shared, stream, peer).await;
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        _ = phase.wait_for(|phase| *phase == Phase::Stopped) => {}
    }
    drop(place);
}

async fn shake_hands(
    port: &TlsPort,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<(tls::Accepted<TcpStream>, Peer)> {
    let acceptor = port.server.acceptor().inspect_err(|error| tracing::error!(%error, "TLS cannot be served")).ok()?;
    let why = match timeout(port.handshake_limit, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certificate = shown.map(|der| tls::certificate(der));
            return Some((stream, Peer { address: address.ip(), certificate }));
        }
        Ok(Err(error)) => tls::explain(&error).unwrap_or_else(|| error.to_string()),
        Err(_) => "the handshake took too long".to_owned(),
    };
    meter::broken("tls-handshake");
    tracing::warn!(%address, why, "no TLS connection for HL7");
    None
}

/// Speaks on a connection until it ends.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(shared: &Arc<Shared>, stream: S, peer: Peer) {
    let mut frames = Frames::new(stream, &shared.options, &shared.memory);
    let mut phase = shared.phase.subscribe();
    let broken = loop {
        let begun = tokio::select! {
            begun = frames.begin() => Some(begun),
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => None,
        };
        let frame = match begun {
            None => return frames.part(None).await,
            Some(Ok(())) => frames.rest().await,
            Some(Err(broken)) => Err(broken),
        };
        match frame {
            Ok(frame) => {
                let answer = shared.desk.handle(&peer, frame).await;
                if let Some(answer) = answer
                    && let Err(error) = frames.send(&answer).await
                {
                    break Broken::Io(error);
                }
            }
            Err(broken) => break broken,
        }
    };
    end(shared, frames, peer, broken).await;
}

/// Ends a connection: what is too long is answered, everything but a peer that hung up in order is told.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(shared: &Arc<Shared>, frames: Frames<S>, peer: Peer, broken: Broken) {
    if matches!(broken, Broken::Closed | Broken::Idle) {
        return;
    }
    meter::broken(broken.label());
    let limit = shared.options.message_bytes_max;
    let last_word = match &broken {
        Broken::TooLong(start) => {
            let fault = Fault::no_message("", 0, format!("the message is longer than {limit} bytes"));
            shared.desk.cut(&peer, start, fault).await
        }
        Broken::NoMemory(start) => {
            shared.desk.refuse(start, Fault::not_now("too many long messages at one time; send it again later"))
        }
        _ => None,
    };
    tracing::warn!(address = %peer.address, why = %broken, "an HL7 connection is closed");
    frames.part(last_word.as_deref()).await;
}
