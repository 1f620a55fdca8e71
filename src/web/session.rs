//! A browser's session: who the caller is, and its bearer token in a cookie, because images and videos that a page
//! names by their address are fetched without the page's own headers.
//!
//! The cookie is the token itself, for reading only ([`crate::auth`]); the server keeps no sessions but those of launch
//! links ([`crate::launch`]), which end here, too.

use crate::app::{self, Call};
use crate::auth;
use crate::launch;
use crate::problem::{Kind, Problem};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// Who the caller is, what it may see, and what this service has for it.
pub(crate) async fn show(call: &Call) -> Result<Response, Problem> {
    let (mut facilities, _) = call.app.archive.sources();
    facilities.retain(|facility| call.caller.may_see(facility.code));
    let facilities: Vec<_> =
        facilities.iter().map(|facility| json!({"code": facility.code.to_string(), "name": facility.name})).collect();
    let view = json!({
        "name": call.caller.name,
        "role": call.caller.role,
        "facilities": facilities,
        "token_needed": call.app.tokens.required(),
        "viewer": call.app.viewer.is_some(),
    });
    Ok(app::json(StatusCode::OK, view.to_string()))
}

/// Keeps the token of the request in a cookie.
pub(crate) fn begin(call: &Call) -> Result<Response, Problem> {
    let token = call.parts.headers.get(header::AUTHORIZATION).and_then(auth::bearer).unwrap_or_default();
    let sound = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
    if !token.bytes().all(sound) {
        let detail = "the token has characters that no cookie can hold";
        return Err(Problem::new(Kind::BadRequest, detail).at("header Authorization"));
    }
    Ok(with_cookie(call, token, ""))
}

/// Forgets the token.
pub(crate) fn end(call: &Call) -> Response {
    with_cookie(call, "", "; Max-Age=0")
}

fn with_cookie(call: &Call, token: &str, age: &str) -> Response {
    call.app.launch.end(&call.parts.headers);
    let mut response = app::json(StatusCode::OK, "{}");
    let headers = response.headers_mut();
    for cookie in [cookie(call, auth::COOKIE, token, "Strict", age), launch::forgotten(call)].into_iter().flatten() {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// A cookie below the service's own path.
pub(crate) fn cookie(call: &Call, name: &str, value: &str, same_site: &str, age: &str) -> Option<HeaderValue> {
    let secure = if call.base_url().starts_with("https://") { "; Secure" } else { "" };
    let path = call.base_path();
    HeaderValue::from_str(&format!("{name}={value}; Path={path}/; HttpOnly; SameSite={same_site}{secure}{age}")).ok()
}
