//! The page at `/`: finding studies and opening them; and the one at `/steward`: deciding which study is which order's.
//! Both for people, in Vietnamese and English.
//!
//! Files kept in the program; the pages ask the same services as every other client and hold no data themselves.

use crate::app::Call;
use crate::conditional;
use crate::problem::{Kind, Problem};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("start_page/index.html");
const STYLE: &str = include_str!("start_page/style.css");
const SCRIPT: &str = include_str!("start_page/page.js");
const LAUNCH_STYLE: &str = include_str!("launch/page.css");
const SHARE_STYLE: &str = include_str!("share/page.css");
const LAUNCH_SCRIPT: &str = include_str!("launch/page.js");
const WORDS: &str = include_str!("start_page/words.js");
const STEWARD: &str = include_str!("steward_page/index.html");
const STEWARD_STYLE: &str = include_str!("steward_page/page.css");
const STEWARD_SCRIPT: &str = include_str!("steward_page/page.js");
const STEWARD_WORDS: &str = include_str!("steward_page/words.js");
/// The page's own files and nothing else.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(crate) fn page(call: &Call) -> Response {
    html(call, PAGE)
}

/// The steward's page: whoever has no right to decide is told nothing by it.
pub(crate) fn steward(call: &Call) -> Response {
    html(call, STEWARD)
}

fn html(call: &Call, text: &'static str) -> Response {
    let mut response = answer(call, text, "text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A file of the page.
pub(crate) fn file(call: &Call) -> Result<Response, Problem> {
    match call.parameter("file") {
        "style.css" => Ok(answer(call, STYLE, "text/css; charset=utf-8")),
        "page.js" => Ok(answer(call, SCRIPT, "text/javascript; charset=utf-8")),
        "words.js" => Ok(answer(call, WORDS, "text/javascript; charset=utf-8")),
        "steward.css" => Ok(answer(call, STEWARD_STYLE, "text/css; charset=utf-8")),
        "steward.js" => Ok(answer(call, STEWARD_SCRIPT, "text/javascript; charset=utf-8")),
        "steward-words.js" => Ok(answer(call, STEWARD_WORDS, "text/javascript; charset=utf-8")),
        "launch.css" => Ok(answer(call, LAUNCH_STYLE, "text/css; charset=utf-8")),
        "share.css" => Ok(answer(call, SHARE_STYLE, "text/css; charset=utf-8")),
        "launch.js" => Ok(answer(call, LAUNCH_SCRIPT, "text/javascript; charset=utf-8")),
        _ => Err(Problem::new(Kind::NotFound, "the page has no such file").at("path")),
    }
}

fn answer(call: &Call, text: &'static str, media: &'static str) -> Response {
    let digest = Sha256::digest(text);
    let etag = digest.iter().take(8).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    if conditional::is_known(&call.parts.headers, &etag) {
        return conditional::not_modified(&etag);
    }
    let mut response = text.into_response();
    conditional::tag(&mut response, &etag);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
