//! Cold objects: an S3 bucket that holds verified copies of packs, and what goes with them.
//!
//! Every byte goes through `object_store`; what it has no words for (Object Lock, legal hold, versions, restore,
//! storage class, lifecycle) through the S3 SDK. Both are asynchronous inside, the archive is not: a small runtime
//! of its own serves them, and every call here blocks.
//!
//! A copy counts when it was read back and its digest compared: only then there is a [`Verified`], and nothing else
//! makes one. Keys are never used for other bytes, so nothing here depends on conditional puts.
//!
//! It deliberately does not decide what goes to the cloud or when, and keeps no list of what lies there.

mod control;
mod destroy;
mod fault;
mod flight;
mod get;
mod lock;
mod options;
mod parts;
mod probe;
mod put;
mod restore;
mod throttle;

pub use destroy::Destroyed;
pub use fault::ColdFault;
pub use get::{ColdObject, Listed};
pub use lock::{Lock, LockMode, LockState};
pub use options::ColdOptions;
pub use probe::{Ability, BucketProbe, Lifecycle};
pub use put::{PutOptions, Verified};
pub use restore::{Availability, RestoreTier};
pub use throttle::{HourClock, Throttle};

use crate::{PackFile, StoreError};
use control::Control;
use crossbeam_channel::RecvTimeoutError;
use flight::Flights;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A bucket, or what lies under one prefix of it. Cheap to share; drop the last one outside of asynchronous code
/// or inside, as you like.
pub struct Cold {
    s3: Arc<AmazonS3>,
    control: Control,
    runtime: Option<Runtime>,
    options: ColdOptions,
    flights: Flights,
    throttle: Throttle,
    putting: Mutex<HashSet<String>>,
    stopped: AtomicBool,
}

impl Cold {
    /// Prepares clients; asks the bucket nothing yet (see [`Cold::probe`]).
    ///
    /// # Errors
    /// [`StoreError::Cold`] where the options are none, those of the work directory.
    pub fn open(options: ColdOptions, throttle: Throttle) -> Result<Self, StoreError> {
        options.check()?;
        fs::create_dir_all(&options.work).map_err(|e| StoreError::io("create", &options.work, e))?;
        // Whoever came first has chosen: it is the same provider everywhere in this program.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("cold")
            .enable_all()
            .build()
            .map_err(|e| StoreError::io("start threads for", &options.work, e))?;
        let authority = options.authority()?;
        let s3 = client(&options, authority.as_deref())?;
        let control = Control::new(&options, authority.as_deref())?;
        Ok(Self {
            s3: Arc::new(s3),
            control,
            runtime: Some(runtime),
            options,
            flights: Flights::default(),
            throttle,
            putting: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Where a pack lies in the bucket.
    pub fn pack_key(&self, file: PackFile) -> String {
        self.key(&format!("packs/{}", file.path()))
    }

    /// A key under the prefix of the options.
    pub fn key(&self, name: &str) -> String {
        match self.options.prefix.trim_matches('/') {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    /// The options it was opened with.
    pub fn options(&self) -> &ColdOptions {
        &self.options
    }

    /// Bounds what goes up; may be changed at any time.
    pub fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Ends what waits, for the hours or for an answer, and begins no put any more: parts that arrived are noted for the
    /// next start.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Runs to the end on the own threads, from whatever thread.
    fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lost = || StoreError::cold(ColdFault::Unreachable, action, key, "the archive is stopping");
        let (answer, answered) = crossbeam_channel::bounded(1);
        let Some(runtime) = &self.runtime else { return Err(lost()) };
        runtime.spawn(async move {
            let _ = answer.send(future.await);
        });
        loop {
            match answered.recv_timeout(NAP) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(lost()),
                // Whatever it comes to, it is as if the program had been killed before the answer.
                Err(RecvTimeoutError::Timeout) if self.is_stopped() => {
                    return Err(StoreError::cold(ColdFault::Paused, action, key, "the archive is stopping"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// How long whoever waits for an answer sleeps at most before looking for a stop.
const NAP: Duration = Duration::from_millis(100);

impl Drop for Cold {
    fn drop(&mut self) {
        // A runtime that waits for its threads must not be dropped in asynchronous code.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn client(options: &ColdOptions, authority: Option<&[u8]>) -> Result<AmazonS3, StoreError> {
    let wrong =
        |e: &dyn std::fmt::Display| StoreError::cold(ColdFault::Options, "open", &options.bucket, &e.to_string());
    let mut http = ClientOptions::new()
        .with_connect_timeout(options.connect_timeout)
        .with_timeout(options.request_timeout)
        .with_read_timeout(options.read_timeout)
        .with_pool_max_idle_per_host(options.parallel.max(1) * 2)
        .with_allow_http(options.is_plain_http());
    if let Some(pem) = authority {
        for certificate in Certificate::from_pem_bundle(pem).map_err(|e| wrong(&e))? {
            http = http.with_root_certificate(certificate);
        }
    }
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: options.retry_pause, max_backoff: options.retry_pause * 32, base: 2.0 },
        max_retries: options.retries,
        retry_timeout: options.request_timeout.saturating_mul(2),
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_access_key_id(&options.access_key)
        .with_secret_access_key(options.secret_key.as_str())
        .with_client_options(http)
        .with_retry(retry);
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.as_str());
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|e| wrong(&e))
}

fn location(key: &str) -> Result<Key, StoreError> {
    Key::parse(key).map_err(|_| StoreError::cold(ColdFault::Options, "name", key, "this is no key of an object"))
}
