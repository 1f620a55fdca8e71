//! Instances sent as metadata with bulk data (PS3.18 section 10.5.1.3): DICOM JSON or the Native DICOM Model in front,
//! bulk data in parts of their own, told apart by Content-Location.
//!
//! Such a request is put together in memory, so it has a limit of its own and few may come at the same time.

use super::parts::{Event, PartHeaders, Splitter};
use super::upload::Upload;
use super::{malformed, next};
use crate::accept;
use crate::dicomweb::media::{EXPLICIT_LE, frame_media, is_native};
use crate::options::Options;
use crate::problem::{Kind, Problem};
use axum::body::Body;
use dataset::compose::{Bulk, compose};
use model::Uid;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Requests put together at the same time.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Most bytes of one part of metadata; pixels belong into parts of their own.
const METADATA_MAX: usize = 16 << 20;
/// Most bytes of all metadata of a request: read, it takes many times the memory of its text.
const METADATA_TOTAL_MAX: usize = 32 << 20;

/// How the metadata is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Xml,
}

impl Form {
    /// The form a `type` parameter names.
    pub(super) fn of(media: &str) -> Option<Self> {
        match media {
            "application/dicom+json" => Some(Self::Json),
            "application/dicom+xml" => Some(Self::Xml),
            _ => None,
        }
    }
}

/// One part as it came.
struct Part {
    headers: PartHeaders,
    bytes: Vec<u8>,
}

impl Part {
    /// Whether its type is one of metadata.
    fn is_metadata(&self) -> bool {
        let media = self.headers.content_type.as_deref().and_then(|text| accept::content_type(text).ok());
        media.is_some_and(|media| Form::of(&format!("{}/{}", media.main, media.sub)).is_some())
    }
}

/// A part of bulk data.
struct Carried {
    bytes: Vec<u8>,
    syntax: Option<Uid>,
}

/// Takes the parts, puts the instances together and hands them to the upload.
pub(super) async fn receive(
    body: &mut Body,
    mut splitter: Box<Splitter>,
    form: Form,
    upload: &mut Upload,
    options: &Options,
) -> Result<(), Problem> {
    let Ok(_turn) = AT_ONCE.try_acquire() else {
        return Err(Problem::new(Kind::Busy, "as many requests with metadata as allowed are being put together"));
    };
    let (mut parts, mut left) = (Vec::<Part>::new(), options.stow_described_max);
    let mut metadata = 0usize;
    while let Some(bytes) = next(body, options.stall_timeout).await? {
        splitter.feed(&bytes);
        loop {
            match splitter.next_event().map_err(malformed)? {
                Event::Hungry | Event::Closed => break,
                Event::Start(headers) if parts.len() < options.stow_parts_max => {
                    parts.push(Part { headers, bytes: Vec::new() });
                }
                Event::Start(_) => {
                    let detail = format!("at most {} parts are taken in one request", options.stow_parts_max);
                    return Err(Problem::new(Kind::TooLarge, detail).at("body"));
                }
                Event::Data(data) => {
                    let more = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    left = left.checked_sub(more).ok_or_else(|| too_long(options))?;
                    if let Some(part) = parts.last_mut() {
                        if part.is_metadata() {
                            metadata = metadata.saturating_add(data.len());
                            within_limits(part.bytes.len().saturating_add(data.len()), metadata)?;
                        }
                        part.bytes.extend_from_slice(&data);
                    }
                }
                Event::End => {}
            }
        }
    }
    splitter.finish().map_err(malformed)?;
    let work = tokio::task::spawn_blocking(move || sorted(parts, form));
    let (documents, values) = work.await.map_err(Problem::task)??;
    let (values, limit) = (Arc::new(values), options.stow_described_max);
    for document in documents {
        let values = Arc::clone(&values);
        let made = tokio::task::spawn_blocking(move || file(&document, &values, limit)).await.map_err(Problem::task)?;
        match made {
            Ok(file) => upload.whole(file).await,
            Err(refused) => upload.refuse(refused.sop_class, refused.sop_instance, refused.what),
        }
    }
    Ok(())
}

fn within_limits(part: usize, all: usize) -> Result<(), Problem> {
    let detail = match (part > METADATA_MAX, all > METADATA_TOTAL_MAX) {
        (true, _) => format!("a part of metadata has at most {METADATA_MAX} bytes"),
        (false, true) => format!("the metadata of a request has at most {METADATA_TOTAL_MAX} bytes"),
        (false, false) => return Ok(()),
    };
    Err(Problem::new(Kind::TooLarge, detail).at("body"))
}

fn too_long(options: &Options) -> Problem {
    let detail = format!("metadata with bulk data is taken up to {} bytes", options.stow_described_max);
    Problem::new(Kind::TooLarge, detail).at("body")
}

type Document = Map<String, Value>;

/// The metadata of every instance, and the bulk data by its Content-Location.
fn sorted(parts: Vec<Part>, form: Form) -> Result<(Vec<Document>, HashMap<String, Carried>), Problem> {
    let bad = |what: String| Problem::new(Kind::BadRequest, format!("the metadata cannot be read: {what}")).at("body");
    let (mut documents, mut values) = (Vec::new(), HashMap::new());
    for part in parts {
        let media = part.headers.content_type.as_deref().map(accept::content_type).transpose().map_err(bad)?;
        let named = media.as_ref().map(|media| format!("{}/{}", media.main, media.sub)).unwrap_or_default();
        match (Form::of(&named), form) {
            (Some(Form::Json), Form::Json) => match serde_json::from_slice(&part.bytes) {
                Ok(Value::Array(items)) => {
                    for item in items {
                        let Value::Object(members) = item else { return Err(bad("an instance is no object".into())) };
                        documents.push(members);
                    }
                }
                Ok(Value::Object(members)) => documents.push(members),
                Ok(_) => return Err(bad("it is no array of instances".into())),
                Err(error) => return Err(bad(format!("line {} column {}", error.line(), error.column()))),
            },
            (Some(Form::Xml), Form::Xml) => {
                documents.push(dataset::xml_read::document(&part.bytes).map_err(|error| bad(error.to_string()))?);
            }
            _ => {
                let Some(location) = part.headers.location else { continue };
                let syntax =
                    media.as_ref().and_then(|media| media.transfer_syntax()).and_then(|uid| Uid::parse(uid).ok());
                values.insert(location, Carried { bytes: part.bytes, syntax });
            }
        }
    }
    Ok((documents, values))
}

/// Why an instance was not put together.
struct Refused {
    sop_class: Option<Uid>,
    sop_instance: Option<Uid>,
    what: String,
}

/// The DICOM file of one instance.
fn file(document: &Document, values: &HashMap<String, Carried>, bulk_max: u64) -> Result<Vec<u8>, Refused> {
    let uid = |tag: &str| {
        let value = document.get(tag)?.pointer("/Value/0")?.as_str()?;
        Uid::parse(value).ok()
    };
    let (sop_class, sop_instance) = (uid("00080016"), uid("00080018"));
    let refused = |what: String| Refused { sop_class: sop_class.clone(), sop_instance: sop_instance.clone(), what };
    let (Some(class), Some(instance)) = (&sop_class, &sop_instance) else {
        return Err(refused("the metadata names no SOP Class and Instance UID".into()));
    };
    let pixels = document.get("7FE00010").and_then(|member| member.get("BulkDataURI")).and_then(Value::as_str);
    let syntax = pixels.and_then(|uri| values.get(uri)).and_then(|value| value.syntax.clone());
    let packed = syntax.filter(|syntax| !is_native(syntax.as_str()));
    if let Some(syntax) = &packed {
        let frames = document.get("00280008").and_then(|member| member.pointer("/Value/0"));
        let several =
            frames.is_some_and(|count| count.as_u64() != Some(1) && count.as_str().map(str::trim) != Some("1"));
        if frame_media(syntax.as_str()) == "application/octet-stream" || several {
            let what = "compressed pixel data is taken as one frame of a known transfer syntax; send application/dicom";
            return Err(refused(what.into()));
        }
    }
    let bulk = |uri: &str| {
        let value = values.get(uri)?;
        let compressed = packed.is_some() && value.syntax == packed;
        Some(Bulk { bytes: &value.bytes, compressed })
    };
    let data_set = compose(document, &bulk, bulk_max).map_err(|error| refused(error.to_string()))?;
    let explicit = Uid::parse(EXPLICIT_LE).map_err(|error| refused(error.to_string()))?;
    let mut file = dataset::part10::file_meta(class, instance, packed.as_ref().unwrap_or(&explicit));
    file.extend_from_slice(&data_set);
    Ok(file)
}
