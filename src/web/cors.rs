//! Calls from pages of other origins (the Fetch standard's CORS protocol): allowed by configuration only.
//!
//! Cookies never count for another origin: such a page sends its own bearer token.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
/// Headers a page may send when it does not say which it wants.
const HEADERS: &str = "Accept, Authorization, Content-Type, If-None-Match, If-Range, Range";
/// Headers of an answer a page may read.
const EXPOSED: &str = "Accept-Ranges, Content-Location, Content-Range, ETag, Location, Retry-After, Warning";
/// Seconds a browser may keep the answer to its question.
const MAX_AGE: &str = "600";

/// The origins that are allowed.
#[derive(Debug)]
pub(crate) struct Allowed {
    any: bool,
    origins: Vec<String>,
}

impl Allowed {
    /// From the configuration; `*` is any.
    pub(crate) fn new(origins: &[String]) -> Self {
        let plain = |origin: &String| origin.trim().trim_end_matches('/').to_ascii_lowercase();
        Self { any: origins.iter().any(|origin| origin == "*"), origins: origins.iter().map(plain).collect() }
    }

    fn answer(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&text).then(|| origin.clone())
    }
}

/// Answers a browser's question before the call, and marks the answer to the call itself.
pub(crate) async fn apply(allowed: Arc<Allowed>, request: Request, next: Next) -> Response {
    let origin = allowed.answer(request.headers());
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    if !allowed.origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let Some(origin) = origin else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let mut put = |name: HeaderName, text: &'static str| headers.insert(name, HeaderValue::from_static(text));
    if preflight {
        put(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        put(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static(HEADERS)));
    } else {
        put(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_origins_are_answered() {
        let from = |origin: &'static str| HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        let named = Allowed::new(&["https://viewer.example.vn".into()]);
        let own = HeaderValue::from_static("https://viewer.example.vn");
        assert_eq!(named.answer(&from("https://viewer.example.vn")), Some(own));
        assert_eq!(named.answer(&from("https://viewer.example.vn.evil")), None);
        assert_eq!(named.answer(&from("null")), None);
        assert_eq!(named.answer(&HeaderMap::new()), None);
        assert_eq!(Allowed::new(&[]).answer(&from("https://viewer.example.vn")), None);
        assert_eq!(Allowed::new(&["*".into()]).answer(&from("https://a")), Some(HeaderValue::from_static("*")));
    }
}
