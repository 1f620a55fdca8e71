//! Bulk data resources of whole instances (PS3.18 section 10.4.1.1.5): every value that the metadata names by a
//! BulkDataURI, one part each, in the order of the metadata.
//!
//! The values are found in the metadata document itself, so that both name the same ones. Pixel data goes out as
//! it is stored.

use super::frames::Pixels;
use super::{bulkdata, encoding, etag, instance_url, multipart, not_acceptable, select, target};
use crate::app::{App, Call};
use crate::dicomweb::media::{self, Wrapping, in_parts, value_rendition};
use crate::dicomweb::multipart::Multipart;
use crate::dicomweb::warn;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::{InstanceRow, Target};
use axum::response::Response;
use serde_json::Value;
use std::io::{self, Read};
use std::sync::Arc;

/// Most instances in one answer: each one's head is read for the list of its values.
const INSTANCES_MAX: usize = 2_000;
/// Most bytes of one instance's metadata.
const DOCUMENT_MAX: u64 = 256 << 20;

/// One value to be sent.
struct Found {
    row: InstanceRow,
    path: String,
}

/// Answers a retrieve of every bulk data value.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let takes =
        value_rendition(media::EXPLICIT_LE, &in_parts(&ranges)).filter(|wanted| wanted.wrapping == Wrapping::Multipart);
    let Some(octets) = takes else {
        return Err(not_acceptable("bulk data is answered as multipart/related; type=\"application/octet-stream\""));
    };
    let selection = select(&call, target(endpoint, &call)?).await?;
    if selection.instances.len() > INSTANCES_MAX {
        let detail = format!("bulk data of at most {INSTANCES_MAX} instances is answered at once; ask by series");
        return Err(Problem::new(Kind::TooLarge, detail).at("path"));
    }
    let (caller, scope, rows) = (call.caller.clone(), call.scope, selection.instances);
    let found = call
        .blocking(move |archive| {
            let mut found = Vec::new();
            for row in rows {
                let target = Target::Instance {
                    study: row.key.study.study.clone(),
                    series: row.key.series.clone(),
                    instance: row.sop_instance.clone(),
                };
                for part in archive.metadata(&caller, scope, &target)? {
                    let paths = paths(&document(&part.json_zstd)?);
                    found.extend(paths.into_iter().map(|path| Found { row: row.clone(), path }));
                }
            }
            Ok(found)
        })
        .await?;
    if found.is_empty() {
        return Err(Problem::new(Kind::NotFound, "the instances have no bulk data"));
    }
    let root = call.service_root();
    let tag = etag(found.iter().map(|value| &value.row), &format!("bulkdata {}", found.len()));
    let mut answer = Multipart::new();
    for value in found {
        let location = format!("{}/bulkdata/{}", instance_url(&root, &value.row), value.path);
        let pixels = value.row.pixel.is_some_and(|pixel| value.path == format!("{:08X}", pixel.tag));
        let content_type = match pixels {
            true => {
                let stored = value.row.transfer_syntax.as_str();
                format!("{}; transfer-syntax={stored}", media::frame_media(stored))
            }
            false => format!("{}; transfer-syntax={}", octets.media, octets.syntax),
        };
        let app = Arc::clone(&call.app);
        answer.part(&content_type, Some(&location), None, move || open(&app, value, pixels));
    }
    let mut response = multipart(&call.parts.headers, answer, octets.media, &tag);
    warn(&mut response, &selection.notes);
    Ok(response)
}

fn open(app: &Arc<App>, value: Found, pixels: bool) -> io::Result<encoding::Source> {
    let failed = |problem: Problem| io::Error::other(problem.detail);
    if pixels {
        let pixels = Pixels::open(value.row, |row| Ok(app.archive.layout(row)?)).map_err(failed)?;
        return pixels.all(app, false);
    }
    let layout = app.archive.layout(&value.row).map_err(io::Error::other)?;
    bulkdata::source(app, &value.row, &layout, &value.path).map_err(failed)
}

fn document(zstd: &[u8]) -> Result<Value, Problem> {
    let failed = |what: String| Problem::new(Kind::Damaged, format!("a metadata document cannot be read: {what}"));
    let decoder = zstd::stream::Decoder::new(zstd).map_err(|error| failed(error.to_string()))?;
    serde_json::from_reader(decoder.take(DOCUMENT_MAX)).map_err(|error| failed(error.to_string()))
}

/// The paths behind `/bulkdata/` of every BulkDataURI, in order.
fn paths(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match document {
        Value::Array(items) => items.iter().for_each(|item| found.extend(paths(item))),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(uri) if name == "BulkDataURI" => {
                        found.extend(uri.split_once("/bulkdata/").map(|(_, path)| path.to_owned()));
                    }
                    other => found.extend(paths(other)),
                }
            }
        }
        _ => {}
    }
    found
}
