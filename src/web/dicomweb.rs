//! DICOMweb (PS3.18): searching, retrieving and storing over HTTP.

pub(crate) mod commitment;
pub mod media;
pub(crate) mod multipart;
pub mod qido;
pub(crate) mod reject;
pub mod stow;
pub(crate) mod ups;
pub(crate) mod wado;
pub(crate) mod wado_uri;

use crate::problem::{Kind, Problem};
use axum::response::Response;
use http::{HeaderValue, header};
use model::Uid;

/// Adds one Warning header per note (RFC 7234 section 5.5, code 299: miscellaneous persistent warning).
pub(crate) fn warn(response: &mut Response, notes: &[String]) {
    for note in notes {
        let plain: String = note.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        let text = format!("299 khoanh \"{}\"", plain.replace(['"', '\\'], "'"));
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// A UID of the path.
pub(crate) fn uid(text: &str, name: &str) -> Result<Uid, Problem> {
    Uid::parse(text).map_err(|error| Problem::new(Kind::BadUid, error.to_string()).at(format!("path segment {name}")))
}
