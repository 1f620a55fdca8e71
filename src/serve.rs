//! Running the archive: a start-up list from top to bottom, then waiting, then the same list backwards.
//!
//! Nothing is decided here; every step hands a part of the configuration to the crate that knows what to do with it.

mod calling;
mod log;
mod metrics;

use crate::cli::{Exit, Failure, remarks};
use crate::config::Config;
use crate::control::{self, Opened, socket_path};
use archive::{Archive, Readiness};
use calling::Calling;
use dimse::Listener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use web::Server;

/// Time kept back from the stop limit for the archive's own end: last sync, index flush.
const CLOSE_AT_LEAST: Duration = Duration::from_secs(5);
/// How long the threads of the edges may take to end when everything else did.
const THREADS_END: Duration = Duration::from_secs(2);
/// Below this many open files a busy archive runs dry.
const FILES_MIN: u64 = 4_096;

/// Everything that runs, in the order it was started.
struct Running {
    dicom: Listener,
    http: Http,
    hl7: Option<his::Listener>,
    calling: Calling,
    // Dropped last of the edges: `khoanh status` works while the others drain.
    control: control::Server,
}

/// The one line on standard output; programs read it, so its members are only ever added to.
#[derive(Serialize)]
struct Ready {
    event: &'static str,
    dicom: SocketAddr,
    http: SocketAddr,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    dicom_tls: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hl7: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hl7_tls: Option<SocketAddr>,
}

/// The HTTP service, serving in a task of its own.
struct Http {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Starts the archive, serves until a signal, stops in order.
pub(crate) fn run(config: &Config, hints: bool) -> Result<Exit, Failure> {
    log::start(&config.log);
    raise_open_files();
    let recorded = metrics::start().map_err(|error| failed("metrics", &error))?;
    let runtime = runtime().map_err(|error| failed("threads", &error))?;
    let mut opened = Opened::open(config.archive(), config.stop.within.0)?;
    let render = metrics::render(recorded, opened.archive());
    let exit = serve(config, hints, &runtime, &mut opened, render);
    // Its threads let the archive go: a process that ends while the index closes in one of them may end by an abort.
    // A blocking task that outlived its limit must not keep the process for long.
    runtime.shutdown_timeout(THREADS_END);
    // Closed here wherever serving ended early.
    drop(opened);
    exit
}

fn serve(
    config: &Config,
    hints: bool,
    runtime: &Runtime,
    opened: &mut Opened,
    render: metrics::Render,
) -> Result<Exit, Failure> {
    // Before anybody is told that it serves: a signal that comes at once ends it in order, too.
    let mut signals = runtime.block_on(async { StopSignals::watch() }).map_err(|error| failed("signals", &error))?;
    let running = runtime.block_on(listen(config, opened.archive(), render))?;
    if let Err(error) = announce(config, &running, &opened.archive().readiness(), hints) {
        // A call ends before what it runs on.
        running.calling.shutdown(THREADS_END);
        return Err(error);
    }
    runtime.block_on(signals.next());
    let (begun, within) = (Instant::now(), config.stop.within.0);
    let cut = runtime.block_on(stop(running, &mut signals, opened.archive(), within));
    let left = within.saturating_sub(begun.elapsed()).max(CLOSE_AT_LEAST);
    match opened.close(left) {
        Ok(()) if cut == 0 => {
            tracing::info!(took_ms = begun.elapsed().as_millis(), "stopped");
            Ok(Exit::Done)
        }
        Ok(()) => Err(Failure::new(Exit::LateStop, format!("stopped; {cut} connections did not end in time"))),
        Err(error) => Err(Failure::because(Exit::LateStop, &error)),
    }
}

fn failed(what: &str, error: &dyn Error) -> Failure {
    let inner = Failure::because(Exit::Failed, error);
    Failure::new(Exit::Failed, format!("{what}: {}", inner.what))
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().thread_name("edge").enable_all().build()
}

/// Every association, connection and segment takes a file; the usual soft limit of 1,024 is a relic of select(2).
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let now = getrlimit(Resource::Nofile).current;
    if now.is_some_and(|files| files < FILES_MIN) {
        tracing::warn!(files = now, wanted = FILES_MIN, "few open files allowed: raise LimitNOFILE");
    }
}

async fn listen(config: &Config, archive: &Arc<Archive>, render: metrics::Render) -> Result<Running, Failure> {
    let web = web::Options { metrics: render, ..config.web() };
    let server =
        Server::bind(config.http.listen, web, Arc::clone(archive)).await.map_err(|error| failed("http", &error))?;
    let dicom = Listener::bind(config.dicom.listen, config.dimse(), Arc::clone(archive))
        .await
        .map_err(|error| failed("dicom", &error))?;
    let hl7 = match config.his() {
        Some(options) => {
            Some(his::Listener::bind(options, Arc::clone(archive)).await.map_err(|error| failed("hl7", &error))?)
        }
        None => None,
    };
    let http = serve_http(server, config.stop.within.0);
    let calling = Calling::start(config, archive)?;
    let socket = socket_path(&config.data);
    match control::Server::start(&socket, archive) {
        Ok(control) => Ok(Running { dicom, http, hl7, calling, control }),
        Err(error) => {
            calling.shutdown(THREADS_END);
            Err(failed("control socket", &error))
        }
    }
}

fn serve_http(server: Server, limit: Duration) -> Http {
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    // A dropped sender stops it as well.
    let wait = async { drop(stopped.await) };
    let serving = tokio::spawn(server.serve(wait, limit));
    Http { address, stop, serving }
}

fn announce(config: &Config, running: &Running, readiness: &Readiness, hints: bool) -> Result<(), Failure> {
    let (dicom, http) = (running.dicom.local_addr(), running.http.address);
    let dicom_tls = running.dicom.tls_addr();
    let hl7 = running.hl7.as_ref().and_then(his::Listener::local_addr);
    let hl7_tls = running.hl7.as_ref().and_then(his::Listener::tls_addr);
    for remark in remarks(config) {
        tracing::warn!("{remark}");
    }
    if !readiness.ready {
        tracing::error!(reasons = ?readiness.reasons, "started, but not ready");
    }
    tracing::info!(%dicom, dicom_tls = dicom_tls.map(tracing::field::display), %http, hl7 = hl7.map(tracing::field::display), hl7_tls = hl7_tls.map(tracing::field::display), data = %config.data.display(), version = env!("CARGO_PKG_VERSION"), "ready");
    if hints {
        // Nobody to read them, nothing lost.
        let _ = io::stderr().write_all(hints_text(config, dicom, http).as_bytes());
    }
    let ready = Ready { event: "ready", dicom, http, pid: std::process::id(), dicom_tls, hl7, hl7_tls };
    let ready = serde_json::to_string(&ready).map_err(|error| failed("ready line", &error))?;
    let mut out = io::stdout().lock();
    // Whoever started us may not listen; that is no reason to stop.
    if let Err(error) = writeln!(out, "{ready}").and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads the ready line");
    }
    Ok(())
}

fn hints_text(config: &Config, dicom: SocketAddr, http: SocketAddr) -> String {
    let title = config.dicom.ae_titles.first().map_or("KHOANH", |title| title.as_str());
    let (host, port) = (dicom.ip(), dicom.port());
    let program = std::env::current_exe().map_or("khoanh".into(), |path| path.display().to_string());
    format!(
        "\nThe archive is ready (kho ảnh đã sẵn sàng). Try, in another terminal:\n\
         \n  echoscu -aec {title} {host} {port}\n\
         \n  storescu -aec {title} {host} {port} +sd +r FOLDER_OF_DICOM_FILES\n\
         \n  curl http://{http}/dicom-web/studies\n\
         \n  {program} status --data {}\n\
         \nStart page: http://{http}/   Stop: Ctrl-C\n\n",
        config.data.display(),
    )
}

/// SIGTERM and Ctrl-C. Until it is made they end the process at once; from then on none is lost.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Within a tokio runtime.
    fn watch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn stop_signal() -> io::Result<()> {
    StopSignals::watch()?.next().await;
    Ok(())
}

/// Refuses new objects and lets open ones finish; a second signal cuts this short. Returns how many connections had to
/// be cut.
async fn stop(running: Running, signals: &mut StopSignals, archive: &Archive, within: Duration) -> usize {
    tracing::info!(within_secs = within.as_secs(), "stopping: open objects finish, new ones are refused");
    let Running { dicom, http, hl7, calling, control } = running;
    archive.begin_drain();
    let sending = within.saturating_sub(CLOSE_AT_LEAST.min(within / 2));
    let calling = tokio::task::spawn_blocking(move || calling.shutdown(sending));
    let edges = Instant::now() + within.saturating_sub(CLOSE_AT_LEAST.min(within / 2));
    let cut = tokio::select! {
        cut = drain(dicom, hl7, http, edges) => cut,
        () = signals.next() => {
            tracing::warn!("second signal: open objects are dropped; they were never acknowledged");
            1
        }
    };
    drop(control);
    match calling.await {
        Ok(late) => late.into_iter().for_each(|what| tracing::warn!("{what}")),
        Err(error) => tracing::error!(%error, "what calls other systems died"),
    }
    cut
}

/// Ends the edges until a time: DICOM and HL7 first, while HTTP still reads and says that the archive drains.
/// Returns how many associations, connections or services had to be cut.
async fn drain(dicom: Listener, hl7: Option<his::Listener>, http: Http, until: Instant) -> usize {
    let left = || until.saturating_duration_since(Instant::now());
    let messages = async {
        match hl7 {
            Some(hl7) => hl7.shutdown(left()).await,
            None => 0,
        }
    };
    let (associations, messages) = tokio::join!(dicom.shutdown(left()), messages);
    let Http { stop, mut serving, .. } = http;
    drop(stop);
    let finished = tokio::time::timeout(left(), &mut serving).await;
    serving.abort();
    associations + messages + usize::from(finished.is_err())
}
