//! The data set that a request about a procedure step carries.
//!
//! It is written as DICOM bytes and read back before it counts: what DIMSE users will be sent is then known to be
//! possible, and a step looks the same whichever way it came in.

use crate::accept;
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::ups::Document;
use http::header;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

/// Explicit VR Little Endian.
const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::BadRequest, detail).at("body")
}

/// Reads the one data set of a body.
pub(super) async fn read(call: &Call) -> Result<Document, Problem> {
    let document = read_any(call).await?;
    if document.is_empty() { Err(bad("the body holds no data set")) } else { Ok(document) }
}

/// The same; none is an empty one.
pub(super) async fn read_any(call: &Call) -> Result<Document, Problem> {
    let text = call.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let unsupported = |what: String| Problem::new(Kind::UnsupportedMedia, what).at("header Content-Type");
    let media = accept::content_type(text.unwrap_or("application/dicom+json")).map_err(unsupported)?;
    let form = format!("{}/{}", media.main, media.sub);
    let bytes = bytes(call).await?;
    if bytes.is_empty() {
        return Ok(Document::new());
    }
    let document = match form.as_str() {
        "application/dicom+json" | "application/json" => json(&bytes)?,
        "application/dicom+xml" => dataset::xml_read::document(&bytes).map_err(|error| bad(error.to_string()))?,
        _ => {
            let detail = "a procedure step is sent as application/dicom+json or application/dicom+xml";
            return Err(unsupported(detail.into()));
        }
    };
    normal(&document)
}

fn json(bytes: &[u8]) -> Result<Document, Problem> {
    match serde_json::from_slice(bytes).map_err(|error| bad(format!("the body is no JSON: {error}")))? {
        Value::Object(document) => Ok(document),
        Value::Array(mut documents) => match (documents.pop(), documents.is_empty()) {
            (Some(Value::Object(document)), true) => Ok(document),
            _ => Err(bad("the body is one data set, in an array or not")),
        },
        _ => Err(bad("the body is no data set")),
    }
}

/// The data set as it comes back from DICOM bytes.
fn normal(document: &Document) -> Result<Document, Problem> {
    let bytes = dataset::document::write(document, EXPLICIT_LE).map_err(|error| bad(error.to_string()))?;
    let hint = model::facility::CharsetHint::Auto;
    let mut read = dataset::document::read(&bytes, EXPLICIT_LE, hint).map_err(|error| bad(error.to_string()))?;
    // It says how the bytes were written in between.
    read.remove("00080005");
    Ok(read)
}

async fn bytes(call: &Call) -> Result<bytes::Bytes, Problem> {
    let limit = call.app.options.body_bytes_max;
    let body = Limited::new(std::mem::take(&mut *call.body.lock()), limit).collect();
    let body = tokio::time::timeout(call.app.options.stall_timeout, body);
    let body = body.await.map_err(|_| Problem::new(Kind::Timeout, "the body did not arrive in time").at("body"))?;
    match body {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(Kind::TooLarge, format!("at most {limit} bytes are taken here")).at("body"))
        }
        Err(_) => Err(bad("the body broke off")),
    }
}

/// The first value of an attribute as text.
pub(super) fn text<'a>(document: &'a Document, name: &str) -> &'a str {
    let value = document.get(name).and_then(|member| member.get("Value")).and_then(|values| values.get(0));
    value.and_then(Value::as_str).unwrap_or_default().trim_matches([' ', '\0'])
}
