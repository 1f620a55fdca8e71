//! Metadata documents: prepared by the archive, given the client's URLs and coding here, and kept ready.

use super::{not_acceptable, target};
use crate::accept::{self, MediaRange};
use crate::app::Call;
use crate::conditional;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use crate::reads::Seen;
use crate::routes::Endpoint;
use archive::metadata::BASE_PLACEHOLDER;
use archive::{Archive, Metadata, StudyKey, Target};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use memchr::memmem;
use model::{Caller, Scope};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::Arc;

/// Largest document in bytes before compression.
const DOCUMENT_MAX: u64 = 2 << 30;

/// Content coding of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Answers a retrieve of metadata.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let form = form(&call.accepts()?)?;
    let Form::Json(media) = form else { return super::metadata_xml::retrieve(target(endpoint, &call)?, call).await };
    let target = target(endpoint, &call)?;
    let coding = coding(&call.parts.headers);
    let (caller, scope, root) = (call.caller.clone(), call.scope, call.service_root());
    let as_received = super::as_received(&call)?;
    let asked = call.parts.headers.clone();
    let (documents, seen) = (Arc::clone(&call.app.documents), call.seen.clone());
    let mut response = call
        .blocking(move |archive| {
            let begun = documents.begin();
            let (parts, tag, notes) = fetch(archive, &caller, scope, (&target, as_received), (&root, coding.name()))?;
            see(&seen, &parts, &target);
            let etag = format!("\"{tag}\"");
            if conditional::is_known(&asked, &etag) {
                return Ok(finish(StatusCode::NOT_MODIFIED.into_response(), &etag, &notes));
            }
            let bytes = match documents.get(&tag) {
                Some(bytes) => bytes,
                None => {
                    let bytes = Bytes::from(render(&parts, &root, coding)?);
                    documents.keep(begun, tag, bytes.clone());
                    bytes
                }
            };
            let mut response = bytes.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            if coding != Coding::Identity {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            }
            Ok(finish(response, &etag, &notes))
        })
        .await?;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
    Ok(response)
}

/// The study of documents is read.
pub(super) fn see(seen: &Seen, parts: &[Metadata], target: &Target) {
    if let Some(part) = parts.first() {
        seen.study(StudyKey { facility: part.facility, study: target.study().clone(), patient: 0 });
    }
}

/// The documents of a target, the tag of their rendition, and the texts for the Warning header.
pub(super) fn fetch(
    archive: &Arc<Archive>,
    caller: &Caller,
    scope: Scope,
    (target, as_received): (&Target, bool),
    (root, how): (&str, &str),
) -> Result<(Vec<Metadata>, String, Vec<String>), Problem> {
    let parts = archive.metadata_of(caller, scope, target, as_received)?;
    let mut digest = Sha256::new();
    for text in [root, how, &format!("{target:?}")] {
        digest.update(text);
        digest.update([0]);
    }
    let mut notes = Vec::new();
    for part in &parts {
        digest.update(part.etag.as_bytes());
        digest.update([0]);
        digest.update(part.facility.as_bytes());
        notes.extend(part.notes.iter().filter(|note| !notes.contains(*note)).cloned().collect::<Vec<_>>());
    }
    let tag = digest.finalize().iter().take(16).fold(String::new(), |mut tag, byte| {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
        tag
    });
    Ok((parts, tag, notes))
}

fn finish(mut response: Response, etag: &str, notes: &[String]) -> Response {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    warn(&mut response, notes);
    response
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One JSON array, under this media type.
    Json(&'static str),
    /// One part of XML per instance.
    Xml,
}

fn form(ranges: &[MediaRange]) -> Result<Form, Problem> {
    let chosen = ranges.iter().find_map(|range| {
        let json = ["application/dicom+json", "application/json"].into_iter().find(|media| range.covers_type(media));
        let xml = range.covers_parts("application/dicom+xml", "application/dicom+xml");
        json.map(Form::Json).or(xml.then_some(Form::Xml))
    });
    chosen.ok_or_else(|| {
        not_acceptable(
            "metadata is answered as application/dicom+json or multipart/related; type=\"application/dicom+xml\"",
        )
    })
}

/// The coding the client prefers among ours; of equal weight zstd, then gzip (RFC 9110 section 12.5.3).
fn coding(headers: &HeaderMap) -> Coding {
    let mut best = (0u16, Coding::Identity);
    let mut consider = |weight: u16, coding: Coding| {
        if weight > best.0 {
            best = (weight, coding);
        }
    };
    let text: Vec<&str> = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).collect();
    let text = text.join(",").to_ascii_lowercase();
    let weight = |name: &str| {
        text.split(',').find_map(|element| {
            let (coding, parameters) = element.split_once(';').unwrap_or((element, "q=1"));
            let weight = accept::weight(parameters.trim().strip_prefix("q=")?.trim())?;
            (coding.trim() == name).then_some(weight)
        })
    };
    consider(weight("zstd").unwrap_or(0), Coding::Zstd);
    consider(weight("gzip").or_else(|| weight("x-gzip")).unwrap_or(0), Coding::Gzip);
    consider(weight("identity").unwrap_or(0), Coding::Identity);
    best.1
}

/// One JSON array out of the documents, with the client's URLs, in a coding.
fn render(parts: &[Metadata], root: &str, coding: Coding) -> Result<Vec<u8>, Problem> {
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "a metadata document could not be read");
        Problem::new(Kind::Damaged, "a prepared metadata document cannot be read")
    };
    let mut plain = vec![b'['];
    for part in parts {
        let mut document = Vec::new();
        let mut decoder = zstd::stream::Decoder::new(part.json_zstd.as_slice()).map_err(failed)?.take(DOCUMENT_MAX);
        decoder.read_to_end(&mut document).map_err(failed)?;
        let inner = document.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let inner = inner.ok_or_else(|| failed(std::io::Error::other("no JSON array")))?;
        if !inner.is_empty() && plain.len() > 1 {
            plain.push(b',');
        }
        rebase(inner, root, &mut plain);
    }
    plain.push(b']');
    encode(plain, coding).map_err(failed)
}

fn encode(plain: Vec<u8>, coding: Coding) -> std::io::Result<Vec<u8>> {
    match coding {
        Coding::Identity => Ok(plain),
        Coding::Zstd => zstd::stream::encode_all(plain.as_slice(), 1),
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(2));
            encoder.write_all(&plain)?;
            encoder.finish()
        }
    }
}

/// The document of one series or instance, with the client's URLs.
pub(super) fn plain(part: &Metadata, root: &str) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    zstd::stream::Decoder::new(part.json_zstd.as_slice())?.take(DOCUMENT_MAX).read_to_end(&mut document)?;
    let mut based = Vec::with_capacity(document.len());
    rebase(&document, root, &mut based);
    Ok(based)
}

/// Copies a document with the service root in place of its placeholder.
///
/// The placeholder counts only right behind the name of a BulkDataURI: the same text in a value stays.
fn rebase(document: &[u8], root: &str, out: &mut Vec<u8>) {
    let mark = format!("\"BulkDataURI\":\"{BASE_PLACEHOLDER}");
    let mut rest = document;
    for at in memmem::find_iter(document, mark.as_bytes()) {
        let consumed = document.len().saturating_sub(rest.len());
        let Some((before, found)) = rest.split_at_checked(at.saturating_sub(consumed)) else { break };
        out.extend_from_slice(before);
        out.extend_from_slice(b"\"BulkDataURI\":\"");
        out.extend_from_slice(root.as_bytes());
        rest = found.get(mark.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests;
