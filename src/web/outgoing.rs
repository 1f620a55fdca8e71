//! Calling other services: the client, the bearer token, and calls that end in their time, for all who call.

use http::HeaderValue;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A client that follows no redirection and no proxy; with `authorities` it believes these alone.
pub(crate) fn client(authorities: Option<&Path>, connect: Duration) -> Result<reqwest::Client, String> {
    client_as(None, authorities, connect)
}

/// The same, which shows who it is where it is asked: by the files of a certificate and of its key.
pub(crate) fn client_as(
    own: Option<(&Path, &Path)>,
    authorities: Option<&Path>,
    connect: Duration,
) -> Result<reqwest::Client, String> {
    // Several may be there already; any is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(connect);
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read = |path: &Path| std::fs::read(path).map_err(|error| failed(path, &error));
    if let Some(path) = authorities {
        let certificates = reqwest::Certificate::from_pem_bundle(&read(path)?).map_err(|error| failed(path, &error))?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some((certificate, key)) = own {
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        let identity = reqwest::Identity::from_pem(&pem).map_err(|error| failed(certificate, &error))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The value of the Authorization header that a file's token makes; read anew each time, for tokens change.
pub(crate) fn bearer(file: &Path) -> Result<HeaderValue, String> {
    let token = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| format!("{} holds no bearer token", file.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What went wrong, down to its cause, without the URL.
pub(crate) fn said(error: &reqwest::Error) -> String {
    let mut text = String::from("no answer");
    let mut inner = std::error::Error::source(error);
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    text
}

/// What came of a call.
pub(crate) enum Called<T> {
    /// It was answered.
    Answered(T),
    /// Not in time.
    Late,
    /// Whoever calls ends.
    Interrupted,
}

/// Calls from threads that wait for them, and end at once when they are told to.
pub(crate) struct Calls {
    runtime: Handle,
    next: AtomicU64,
    under_way: Mutex<HashMap<u64, AbortHandle>>,
    stopped: AtomicBool,
}

impl Calls {
    /// Calls from within a tokio runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        let (next, under_way, stopped) = (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        Self { runtime, next, under_way, stopped }
    }

    /// Waits for a call, no longer than so long.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Called<T> {
        let calling = self.runtime.spawn(call);
        let (id, abort) = (self.next.fetch_add(1, Ordering::Relaxed), calling.abort_handle());
        self.under_way.lock().insert(id, calling.abort_handle());
        if self.stopped.load(Ordering::SeqCst) {
            abort.abort();
        }
        let called = self.runtime.block_on(async { tokio::time::timeout(limit, calling).await });
        self.under_way.lock().remove(&id);
        match called {
            Ok(Ok(answer)) => Called::Answered(answer),
            Ok(Err(_)) => Called::Interrupted,
            Err(_) => {
                abort.abort();
                Called::Late
            }
        }
    }

    /// Ends every call, and those to come.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.under_way.lock().values().for_each(AbortHandle::abort);
    }
}
