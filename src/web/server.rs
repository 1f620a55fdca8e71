//! The listening side: our own accept loop, so that every wait has a limit and every connection a place.
//!
//! It knows sockets, TLS and HTTP framing; what a request means is the router's matter.

mod connections;
mod request_line;
mod socket;
mod turn;

use crate::app::{self, App};
use crate::auth::{TokenFileError, Tokens};
use crate::options::Options;
use crate::ready::InMemory;
use archive::Archive;
use axum::Router;
use axum::body::Body;
use connections::{Connections, Place};
use http::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket::{Guarded, Taking, Watched};
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

pub use tls::TlsError;

/// Streams of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 256;
/// Bytes of one HTTP/2 stream that wait for the client: beyond them nothing more of its answer is read.
const SEND_BUFFER: usize = 64 << 10;
/// How often a connection's silence is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A public address without tokens.
    #[error("{0} is not a loopback address: name a token file, or bind 127.0.0.1 or ::1")]
    NeedsTokens(IpAddr),
    /// The address is not free or not ours.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Reason.
        error: std::io::Error,
    },
    /// Token file, or the file of launch keys.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// Certificate files.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Who is at the other end of a connection; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Our end of the connection.
    pub local: SocketAddr,
}

/// A bound service.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    router: Router,
    tls: Option<tls::Server>,
    options: Options,
    connections: Arc<Connections>,
}

impl Server {
    /// Binds an address (port 0 for any free one) for an archive.
    ///
    /// # Errors
    /// Without a token file only loopback is bound.
    pub async fn bind(address: SocketAddr, options: Options, archive: Arc<Archive>) -> Result<Self, BindError> {
        let tokens = match &options.tokens {
            Some(path) => Tokens::load(path)?,
            None if address.ip().to_canonical().is_loopback() => Tokens::open(),
            None => return Err(BindError::NeedsTokens(address.ip())),
        };
        if !tokens.required() {
            tracing::warn!(%address, "no token file: loopback only, every request is the demo facility's");
        }
        crate::launch::check(&options.launch)?;
        let tls = options.tls.clone().map(|own| {
            let protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let (peers, authorities, revoked) = (tls::Peers::Unasked, None, None);
            tls::Server::new(tls::ServerFiles { used_for: "http", own, peers, authorities, revoked, protocols })
        });
        tls.as_ref().map(tls::Server::acceptor).transpose()?;
        let listen = |error| BindError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let connections = Connections::new(options.connections_max, options.connections_per_address_max);
        let router = app::router(App::new(archive, options.clone(), tokens));
        Ok(Self { listener, address: bound, shared: Arc::new(Shared { router, tls, options, connections }) })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves, then lets requests in progress finish within `limit`.
    pub async fn serve(self, stop: impl Future<Output = ()>, limit: Duration) {
        let (draining, drain) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let Self { listener, shared, .. } = self;
        let mut stop = std::pin::pin!(stop);
        loop {
            while tasks.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match shared.connections.admit(peer.ip()) {
                    Some(place) => {
                        tasks.spawn(connection(stream, peer.ip(), place, Arc::clone(&shared), drain.clone()));
                    }
                    None => metrics::counter!("khoanh_web_connections_refused_total").increment(1),
                },
                Err(error) => {
                    // Out of descriptors, or the peer was gone before we looked: neither ends the service.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(listener);
        draining.send_replace(true);
        let finished = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, finished).await.is_err() {
            tracing::warn!(open = tasks.len(), "connections were cut at the end of the drain");
            tasks.shutdown().await;
        }
    }
}

async fn connection(
    stream: TcpStream,
    address: IpAddr,
    place: Place,
    shared: Arc<Shared>,
    drain: watch::Receiver<bool>,
) {
    // Answers leave at once: waiting for more bytes only delays small ones.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { return };
    let peer = Peer { address: address.to_canonical(), tls: shared.tls.is_some(), local };
    let evicted = Arc::clone(&place.connection);
    tokio::select! {
        () = evicted.evicted() => {}
        () = establish(stream, peer, &place, &shared, drain) => {}
    }
}

async fn establish(stream: TcpStream, peer: Peer, place: &Place, shared: &Arc<Shared>, drain: watch::Receiver<bool>) {
    let limit = shared.options.header_timeout;
    match &shared.tls {
        None => first_request(stream, peer, place, shared, drain).await,
        Some(server) => match handshake(server, limit, stream).await {
            Ok(Ok(stream)) => first_request(stream, peer, place, shared, drain).await,
            Ok(Err(error)) => {
                let why = tls::explain(&error).unwrap_or_else(|| error.to_string());
                tracing::debug!(why, "TLS handshake failed");
            }
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

/// Shakes hands with the certificate of now.
async fn handshake(
    server: &tls::Server,
    limit: Duration,
    stream: TcpStream,
) -> Result<std::io::Result<tls::Accepted<TcpStream>>, tokio::time::error::Elapsed> {
    let acceptor = server.acceptor().map_err(std::io::Error::other);
    tokio::time::timeout(limit, async { acceptor?.accept(stream).await }).await
}

/// Waits for the first request line, then hands the connection to HTTP.
async fn first_request<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    peer: Peer,
    place: &Place,
    shared: &Arc<Shared>,
    mut drain: watch::Receiver<bool>,
) {
    let options = &shared.options;
    let reading = request_line::read(&mut stream, options.header_bytes_max);
    let read = tokio::select! {
        read = tokio::time::timeout(options.header_timeout, reading) => read,
        _ = drain.wait_for(|draining| *draining) => return,
    };
    match read {
        Ok(Ok(request_line::Outcome::Line(bytes))) => {
            let stream = Watched::new(stream, bytes);
            serve_http(stream, peer, place, shared, drain).await;
        }
        Ok(Ok(request_line::Outcome::TooLong)) => {
            let _ = tokio::time::timeout(options.header_timeout, request_line::refuse(&mut stream)).await;
        }
        Ok(Ok(request_line::Outcome::Closed) | Err(_)) | Err(_) => {}
    }
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: Watched<S>,
    peer: Peer,
    place: &Place,
    shared: &Arc<Shared>,
    mut drain: watch::Receiver<bool>,
) {
    let watched = stream.handle();
    let connection = Arc::clone(&place.connection);
    let router = shared.router.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (router, guard) = (router.clone(), connection.request());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(connection.ready().clone());
        async move {
            let response = router.oneshot(request).await?;
            let ready = response.extensions().get::<InMemory>().is_some();
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, ready, guard)))
        }
    });
    let builder = builder(&shared.options);
    let mut http = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut tick = tokio::time::interval(WATCH_EVERY);
    let (mut told, mut taking) = (false, Taking::new());
    loop {
        tokio::select! {
            outcome = &mut http => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            _ = drain.wait_for(|draining| *draining), if !told => {
                told = true;
                http.as_mut().graceful_shutdown();
            }
            _ = tick.tick() => {
                let (connection, options) = (&place.connection, &shared.options);
                taking.look(connection.waits(), watched.taken());
                // What was asked last may still be on its way.
                let silent = connection.silent_for().min(taking.quiet_for());
                let idle = connection.is_idle() && silent > options.idle_timeout;
                if idle || watched.blocked_for().max(taking.stalled_for()) > options.stall_timeout {
                    return;
                }
            }
        }
    }
}

fn builder(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The wait for the next request counts as reading its head: it must not end before the idle time.
    let head = options.header_timeout.max(options.idle_timeout);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(options.header_bytes_max.max(8192))
        .max_headers(100);
    let header_list = u32::try_from(options.header_bytes_max).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .max_header_list_size(header_list)
        .max_pending_accept_reset_streams(64)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(options.idle_timeout / 2)
        .keep_alive_timeout(options.stall_timeout);
    builder
}
