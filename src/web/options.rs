//! What the HTTP service is started with; every limit has a name and a default here.

use crate::body;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Certificate and key files of the service, PEM; read again when they change.
pub use tls::Pair as TlsFiles;

/// Renders the process's metrics in the Prometheus text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Tells the time in milliseconds since 1970 UTC.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How launch links are taken.
#[derive(Clone)]
pub struct LaunchOptions {
    /// File of the facilities' keys; none means that no link opens.
    pub keys: Option<PathBuf>,
    /// How long a link's session lasts.
    pub session: Duration,
    /// How far the clocks of the systems that sign links may be off.
    pub skew: Duration,
    /// The clock that links are judged by.
    pub clock: Now,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        let now = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        Self { keys: None, session: Duration::from_secs(30 * 60), skew: Duration::from_secs(30), clock: Arc::new(now) }
    }
}

/// How patients' links are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePages {
    /// How long an opened link is shown before birth date and code are asked again.
    pub session: Duration,
}

impl Default for SharePages {
    fn default() -> Self {
        Self { session: Duration::from_secs(30 * 60) }
    }
}

/// How FHIR is told.
#[derive(Debug, Clone, Default)]
pub struct FhirOptions {
    /// Map file of identifier systems; none means those that are built in.
    pub systems: Option<PathBuf>,
}

/// Start-up options of the HTTP service.
#[derive(Clone)]
pub struct Options {
    /// Serves TLS with these files; none means plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Bearer token file; without it only a loopback address is bound.
    pub tokens: Option<PathBuf>,
    /// Base of every URL in an answer, for example `https://pacs.example.vn`; none means from the request.
    pub public_url: Option<String>,
    /// Whether `Forwarded` and `X-Forwarded-*` of a reverse proxy are believed.
    pub trust_forwarded: bool,
    /// Most connections at one time.
    pub connections_max: usize,
    /// Most connections of one address at one time.
    pub connections_per_address_max: usize,
    /// A connection must finish its TLS handshake and each request head within this long.
    pub header_timeout: Duration,
    /// A connection without a request, and without an answer that is still to be taken, is closed after this long.
    pub idle_timeout: Duration,
    /// A request of which nothing comes for this long ends, and so does a connection whose peer takes next to nothing
    /// of its answers; what merely keeps a connection alive is nothing.
    pub stall_timeout: Duration,
    /// Most bytes of a request head; beyond it 431, for the request line 414.
    pub header_bytes_max: usize,
    /// Most bytes of a request body, STOW-RS excepted.
    pub body_bytes_max: usize,
    /// Most parts in one STOW-RS request.
    pub stow_parts_max: usize,
    /// Most bytes of a STOW-RS request that carries metadata and bulk data apart: it is put together in memory.
    pub stow_described_max: u64,
    /// Instances of one STOW-RS request that wait for their sync at the same time.
    pub stow_window: usize,
    /// Rows of a QIDO-RS answer when the client names no `limit`.
    pub find_limit_default: usize,
    /// Most rows of a QIDO-RS answer; a larger `limit` is cut with a Warning.
    pub find_limit_max: usize,
    /// Largest `offset` of a QIDO-RS request; 400 beyond it.
    pub find_offset_max: u64,
    /// Most conditions in one QIDO-RS request.
    pub find_conditions_max: usize,
    /// Most frames in one request.
    pub frames_max: usize,
    /// Memory of finished metadata documents in bytes.
    pub metadata_cache: u64,
    /// Bytes that the pieces of all answers of this process together take, while there are few enough of them.
    pub answer_memory: usize,
    /// Answers that re-encode on the way out at the same time; each holds one thread.
    pub transcodes_max: usize,
    /// Folder of the viewer as `scripts/viewer` sets it up; without it there is no `/viewer/`.
    pub viewer: Option<PathBuf>,
    /// Launch links.
    pub launch: LaunchOptions,
    /// Patients' links.
    pub share: SharePages,
    /// FHIR.
    pub fhir: FhirOptions,
    /// Origins whose pages may call the service (CORS), `*` for any; empty means only pages of the service itself.
    pub cors_origins: Vec<String>,
    /// Whether STOW-RS also takes a bare `application/dicom` body, which the standard does not name.
    pub stow_extensions: bool,
    /// Renders `/metrics`.
    pub metrics: RenderMetrics,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            tokens: None,
            public_url: None,
            trust_forwarded: false,
            connections_max: 2048,
            connections_per_address_max: 512,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            header_bytes_max: 32 << 10,
            body_bytes_max: 1 << 20,
            stow_parts_max: 100_000,
            stow_described_max: 512 << 20,
            stow_window: 16,
            find_limit_default: 1_000,
            find_limit_max: 5_000,
            find_offset_max: 10_000,
            find_conditions_max: 64,
            frames_max: 100_000,
            metadata_cache: 48 << 20,
            answer_memory: body::BUDGET,
            transcodes_max: 64,
            viewer: None,
            launch: LaunchOptions::default(),
            share: SharePages::default(),
            fhir: FhirOptions::default(),
            cors_origins: Vec::new(),
            stow_extensions: false,
            metrics: Arc::new(String::new),
        }
    }
}
