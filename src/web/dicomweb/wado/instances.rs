//! Whole objects: a study, a series or an instance as `application/dicom`.

use super::encoding::{self, Source};
use super::{instance_url, not_acceptable, target};
use crate::accept::MediaRange;
use crate::app::{App, Call};
use crate::dicomweb::media::{Rendition, Wrapping, dicom_wrapping, instance_rendition};
use crate::dicomweb::multipart::{Multipart, single};
use crate::dicomweb::warn;
use crate::problem::Problem;
use crate::routes::Endpoint;
use archive::{Archive, InstanceRow};
use axum::response::Response;
use http::StatusCode;
use model::Flag;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

const OFFERED: &str = "objects are answered as multipart/related; type=\"application/dicom\" (an instance also as \
                       application/dicom), with transfer-syntax=* for the stored bytes";

/// Answers a retrieve of whole objects.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let target = target(endpoint, &call)?;
    let one = endpoint == Endpoint::RetrieveInstance;
    let takes: Vec<(Wrapping, Option<&str>)> = ranges.iter().filter_map(|range| wanted(range, one)).collect();
    if takes.is_empty() {
        return Err(not_acceptable(OFFERED));
    }
    let (caller, scope) = (call.caller.clone(), call.scope);
    let select = move |archive: &Arc<Archive>| {
        let selection = archive.select(&caller, scope, &target)?;
        archive.reach_files(&selection.instances)?;
        Ok(selection)
    };
    let selection = call.blocking(select).await?;
    let mut notes = selection.notes;
    let (mut chosen, mut refused, mut wrapping) = (Vec::new(), BTreeSet::new(), Wrapping::Multipart);
    for row in selection.instances {
        let fit = takes.iter().find_map(|(wrapping, syntax)| {
            let rendition = instance_rendition(row.transfer_syntax.as_str(), *syntax)?;
            Some((*wrapping, completed(&row, rendition)))
        });
        match fit {
            Some((asked, rendition)) => {
                wrapping = asked;
                chosen.push((row, rendition));
            }
            None => {
                refused.insert(row.transfer_syntax.to_string());
            }
        }
    }
    let stored: Vec<String> = refused.into_iter().collect();
    if chosen.is_empty() {
        let detail =
            format!("stored in {}, which is not re-encoded to the transfer syntax asked; {OFFERED}", stored.join(", "));
        return Err(not_acceptable(detail));
    }
    let root = call.service_root();
    let permit = match chosen.iter().any(|(_, rendition)| *rendition == Rendition::ExplicitLe) {
        true => Some(Arc::new(encoding::permit(&call.app).await?)),
        false => None,
    };
    let mut response = match wrapping {
        Wrapping::Single => bare(&call.app, chosen, permit)?,
        Wrapping::Multipart => multipart(&call.app, chosen, &root, permit),
    };
    if !stored.is_empty() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        notes.push(format!(
            "Instances stored in {} are left out: their transfer syntax does not fit the Accept header.",
            stored.join(", ")
        ));
    }
    warn(&mut response, &notes);
    Ok(response)
}

/// An object that came without preamble or file meta information goes out with ours, even where the stored bytes are
/// asked: without them it is no DICOM file (PS3.10 section 7), and readers refuse it. Its data set is untouched.
fn completed(row: &InstanceRow, rendition: Rendition) -> Rendition {
    let bare = row.flags.contains(&Flag::MissingMeta) && rendition == Rendition::Stored;
    if bare { Rendition::WithMeta } else { rendition }
}

/// How a range wants objects; a bare object only where the path names one instance.
fn wanted(range: &MediaRange, one: bool) -> Option<(Wrapping, Option<&str>)> {
    match dicom_wrapping(range)? {
        Wrapping::Single if !one => None,
        wrapping => Some((wrapping, range.transfer_syntax())),
    }
}

/// A place among the answers that re-encode, given back with the last object.
type Permit = Option<Arc<OwnedSemaphorePermit>>;

fn multipart(app: &Arc<App>, chosen: Vec<(InstanceRow, Rendition)>, root: &str, permit: Permit) -> Response {
    let mut answer = Multipart::new();
    for (row, rendition) in chosen {
        let location = instance_url(root, &row);
        let (content_type, length) = described(&row, rendition);
        let (app, permit) = (Arc::clone(app), permit.clone());
        answer.part(&content_type, Some(&location), length, move || open(&app, &row, rendition, permit));
    }
    answer.respond("application/dicom")
}

fn bare(app: &Arc<App>, chosen: Vec<(InstanceRow, Rendition)>, permit: Permit) -> Result<Response, Problem> {
    let (row, rendition) = chosen.into_iter().next().ok_or_else(|| not_acceptable(OFFERED))?;
    let (content_type, length) = described(&row, rendition);
    let mut pieces = crate::body::Pieces::default();
    let app = Arc::clone(app);
    pieces.later(move || open(&app, &row, rendition, permit));
    Ok(single(&content_type, Box::new(pieces), length))
}

fn described(row: &InstanceRow, rendition: Rendition) -> (String, Option<u64>) {
    match rendition {
        Rendition::Stored => {
            (format!("application/dicom; transfer-syntax={}", row.transfer_syntax), Some(row.file_len))
        }
        Rendition::WithMeta => {
            let data_set = row.file_len.saturating_sub(u64::from(row.meta_len));
            let meta = u64::try_from(encoding::meta(row, &row.transfer_syntax).len()).unwrap_or_default();
            (format!("application/dicom; transfer-syntax={}", row.transfer_syntax), Some(data_set.saturating_add(meta)))
        }
        Rendition::ExplicitLe => {
            (format!("application/dicom; transfer-syntax={}", crate::dicomweb::media::EXPLICIT_LE), None)
        }
    }
}

fn open(app: &Arc<App>, row: &InstanceRow, rendition: Rendition, permit: Permit) -> std::io::Result<Source> {
    match rendition {
        Rendition::Stored => Ok(Box::new(app.archive.file(row))),
        Rendition::WithMeta => {
            let meta = std::io::Cursor::new(encoding::meta(row, &row.transfer_syntax));
            Ok(Box::new(meta.chain(app.archive.data_set(row))))
        }
        Rendition::ExplicitLe => Ok(encoding::held(encoding::explicit_le_file(app, row)?, permit)),
    }
}
