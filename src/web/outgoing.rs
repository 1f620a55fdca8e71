//! Calling other DICOMweb services: the client and the bearer token, for forwarding and for fetching alike.

use http::HeaderValue;
use std::path::Path;
use std::time::Duration;

/// A client that follows no redirection and no proxy; with `authorities` it believes these alone.
pub(crate) fn client(authorities: Option<&Path>, connect: Duration) -> Result<reqwest::Client, String> {
    // Several may be there already; any is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(connect);
    if let Some(path) = authorities {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| failed(&error))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
        builder = builder.tls_certs_only(certificates);
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
