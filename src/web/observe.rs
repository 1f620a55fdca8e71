//! What is counted and logged of every request, and the headers every answer carries.
//!
//! Logs hold method, route template, status and times: never a query string or a path with identifiers above debug.

use crate::app::peer_address;
use crate::routes::Route;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use std::time::{Duration, Instant};

/// The template of the route that answered; an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered(pub(crate) &'static str);

/// Counts an answered request; the time is the time to the head of the answer.
pub(crate) fn record(route: &Route, status: StatusCode, took: Duration) {
    let (name, code) = (format!("{:?}", route.endpoint), status.as_u16().to_string());
    metrics::counter!("khoanh_web_requests_total", "route" => name.clone(), "status" => code).increment(1);
    metrics::histogram!("khoanh_web_request_seconds", "route" => name).record(took.as_secs_f64());
}

/// For what a browser may run and no page of ours has its own policy for: a document as some sender stored it. It loads
/// nothing, and what it runs is nobody here.
const STORED: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";

/// Whether a browser takes a media type for a page: XML may hold one (clinical documents do).
fn may_run(media: &HeaderValue) -> bool {
    let media = media.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.ends_with("/xml") || media.ends_with("+xml") || media == "text/html"
}

/// Logs the request and completes the headers of its answer.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, peer) = (request.method().clone(), peer_address(&request));
    let options = method == http::Method::OPTIONS;
    let mut response = next.run(request).await;
    let route = response.extensions().get::<Answered>().map_or("(none)", |answered| answered.0);
    let (status, took) = (response.status(), started.elapsed());
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let peer = peer.map(tracing::field::display);
    if status.is_server_error() {
        tracing::warn!(%method, route, status = status.as_u16(), millis, peer, "request failed");
    } else {
        tracing::info!(%method, route, status = status.as_u16(), millis, peer, "request");
    }
    if route == "(none)" && !options {
        let code = status.as_u16().to_string();
        metrics::counter!("khoanh_web_requests_total", "route" => "(none)", "status" => code).increment(1);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("DENY"));
    if headers.get(header::CONTENT_TYPE).is_some_and(may_run) {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(STORED));
    }
    // Answers hold patient data and depend on the token: shared caches must not keep them.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    response
}
