//! What the service can do (PS3.18 section 8.9): OPTIONS on any resource, as WADL (PS3.18 Annex H) or as JSON.
//!
//! Both are made from the route table, so that they cannot say anything else than the router does.

use crate::accept;
use crate::app::{App, json};
use crate::problem::{Kind, Problem};
use crate::routes::{FACILITY_ROOT, Mount, ROUTES, Route, SHARED_ROOT};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use model::Scope;
use std::fmt::Write as _;
use std::sync::Arc;

const WADL: &str = "application/vnd.sun.wadl+xml";

/// Answers OPTIONS: the methods of a path, and where its client takes a description, that of the service.
pub(crate) async fn options(app: Arc<App>, request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let Some(allow) = allowed(&path) else {
        return Problem::new(Kind::NotFound, "no service at this path").at("path").into_response();
    };
    let headers = request.headers().clone();
    let named = headers.contains_key(header::ACCEPT);
    let scope = if path.starts_with(SHARED_ROOT) { Some(Scope::Shared) } else { None };
    let inside = scope.is_some() || path.starts_with("/facilities/");
    let mut response = match (inside, answer(&headers, None, scope.unwrap_or(Scope::Shared))) {
        (true, Ok(response)) if named => response,
        (true, Err(problem)) if named => problem.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    if response.status() == StatusCode::OK && response.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
        response = json(StatusCode::OK, app.openapi.clone());
    }
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn is_json(value: &HeaderValue) -> bool {
    value.as_bytes() == b"application/json"
}

/// The methods of a path; none where nothing answers.
fn allowed(path: &str) -> Option<String> {
    let mut methods: Vec<&str> = Vec::new();
    for route in ROUTES {
        if route.templates().iter().any(|template| covers(template, path)) {
            methods.push(route.verb.name());
        }
    }
    let root = covers(SHARED_ROOT, path) || covers(FACILITY_ROOT, path);
    if methods.is_empty() && !root {
        return None;
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    Some(methods.join(", "))
}

/// Whether a template of the route table answers a path.
fn covers(template: &str, path: &str) -> bool {
    let mut path = path.trim_end_matches('/').split('/');
    for piece in template.trim_end_matches('/').split('/') {
        let Some(segment) = path.next() else { return false };
        if piece.starts_with("{*") {
            return !segment.is_empty();
        }
        let fits = if piece.starts_with('{') { !segment.is_empty() } else { piece == segment };
        if !fits {
            return false;
        }
    }
    path.next().is_none()
}

/// The description of a DICOMweb root, in the media type the client prefers.
pub(crate) fn answer(headers: &HeaderMap, parameter: Option<&str>, scope: Scope) -> Result<Response, Problem> {
    for range in accept::ranges(headers, parameter)? {
        if range.covers("application", "vnd.sun.wadl+xml") || range.covers("application", "xml") {
            let mut response = wadl(scope).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(WADL));
            return Ok(response);
        }
        if range.covers("application", "json") {
            return Ok(json(StatusCode::OK, crate::openapi::document().to_string()));
        }
    }
    let detail = format!("capabilities are answered as {WADL} or application/json");
    Err(Problem::new(Kind::NotAcceptable, detail).at("header Accept"))
}

fn wadl(scope: Scope) -> String {
    let root = match scope {
        Scope::Shared => SHARED_ROOT.to_owned(),
        Scope::Facility(code) => FACILITY_ROOT.replace("{facility}", &code.to_string()),
    };
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str("<application xmlns=\"http://wadl.dev.java.net/2009/02\">\n");
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<resources base=\"{root}\">");
    let mut seen: Vec<&str> = Vec::new();
    for route in ROUTES.iter().filter(|route| route.mount == Mount::Dicomweb) {
        if seen.contains(&route.path) {
            continue;
        }
        seen.push(route.path);
        let path = route.path.trim_start_matches('/').replace("{*", "{");
        let _ = writeln!(out, "<resource path=\"{path}\">");
        for method in ROUTES.iter().filter(|other| other.mount == Mount::Dicomweb && other.path == route.path) {
            method_xml(method, &mut out);
        }
        out.push_str("</resource>\n");
    }
    out.push_str("</resources>\n</application>\n");
    out
}

fn method_xml(route: &Route, out: &mut String) {
    let _ = writeln!(out, "<method name=\"{}\" id=\"{:?}\">", route.verb.name(), route.endpoint);
    for status in route.statuses.iter().filter(|status| **status < 300) {
        let _ = write!(out, "<response status=\"{status}\">");
        for media in route.produces {
            let _ = write!(out, "<representation mediaType=\"{}\"/>", media.replace('"', "&quot;"));
        }
        out.push_str("</response>\n");
    }
    out.push_str("</method>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_know_their_methods() {
        let methods = |path: &str| allowed(path).unwrap_or_default();
        assert_eq!(methods("/dicom-web/studies"), "GET, HEAD, OPTIONS, POST");
        assert_eq!(methods("/facilities/56001/dicom-web/studies/1.2"), "DELETE, GET, HEAD, OPTIONS, POST");
        assert_eq!(methods("/dicom-web"), "OPTIONS");
        assert_eq!(methods("/dicom-web/studies/1/series/2/instances/3/bulkdata/a/1/b"), "GET, HEAD, OPTIONS");
        assert_eq!(allowed("/nowhere"), None);
    }

    #[test]
    fn the_description_names_every_resource_once() {
        let text = wadl(Scope::Shared);
        for route in ROUTES.iter().filter(|route| route.mount == Mount::Dicomweb) {
            let path = format!("<resource path=\"{}\">", route.path.trim_start_matches('/').replace("{*", "{"));
            assert_eq!(text.matches(&path).count(), 1, "{path}");
        }
        assert!(text.contains("<method name=\"DELETE\""));
    }
}
