//! Whole objects: a study, a series or an instance as `application/dicom`, or all of them in a ZIP file.

use super::encoding::{self, Source};
use super::{etag, instance_url, multipart, not_acceptable, target};
use crate::accept::MediaRange;
use crate::app::{App, Call};
use crate::body::ReaderBody;
use crate::conditional::{self, Whole};
use crate::dicomweb::media::{Rendition, Wrapping, dicom_wrapping, instance_rendition};
use crate::dicomweb::multipart::{Multipart, of_ready};
use crate::dicomweb::warn;
use crate::problem::Problem;
use crate::ready::{self, Desk, Share};
use crate::routes::Endpoint;
use archive::zip::Zip;
use archive::{Archive, DecodeError, InstanceRow, Target, transcode};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::Flag;
use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

const OFFERED: &str = "objects are answered as multipart/related; type=\"application/dicom\" (an instance also as \
                       application/dicom) or application/zip, with transfer-syntax=* for the stored bytes, or the UID \
                       of an uncompressed or lossless one, or of JPEG Baseline (1.2.840.10008.1.2.4.50), JPEG-LS \
                       near-lossless (.81) or JPEG 2000 (.91), which lose something";

/// Answers a retrieve of whole objects.
pub(crate) async fn retrieve(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let ranges = call.accepts()?;
    let target = target(endpoint, &call)?;
    let one = endpoint == Endpoint::RetrieveInstance;
    answer(&call, &ranges, target, one).await
}

/// Answers with the objects of a target in the form the ranges prefer; a bare object only where `one` is true.
pub(crate) async fn answer(call: &Call, ranges: &[MediaRange], target: Target, one: bool) -> Result<Response, Problem> {
    if !ranges.iter().any(|range| wanted(range, one).is_some()) {
        return Err(not_acceptable(OFFERED));
    }
    let name = target.study().to_string();
    let Found { fits, mut notes, ready } = find(call, ranges, target, one).await?;
    let Fits { chosen, stored, wrapping, why } = fits;
    if chosen.is_empty() {
        let usual = || format!("stored in {}, which is not given in the transfer syntax asked", stored.join(", "));
        return Err(not_acceptable(format!("{}; {OFFERED}", why.unwrap_or_else(usual))));
    }
    if chosen.iter().any(|(_, rendition)| rendition.loses()) {
        notes.push(super::LOSSY.into());
    }
    let root = call.service_root();
    let headers = &call.parts.headers;
    let how: Vec<String> = chosen.iter().map(|(_, rendition)| format!("{rendition:?}")).collect();
    let tag = etag(chosen.iter().map(|(row, _)| row), &format!("{wrapping:?} {} {root}", how.join(",")));
    if let (Some(bytes), Some((row, rendition))) = (ready, chosen.first()) {
        let mut response = at_once(headers, row, *rendition, wrapping, bytes, (root.as_str(), tag));
        warn(&mut response, &notes);
        return Ok(response);
    }
    let permit = match chosen.iter().any(|(_, rendition)| is_made(*rendition)) {
        true => Some(Arc::new(encoding::permit(&call.app).await?)),
        false => None,
    };
    let first = first(call, &chosen).await?;
    let mut response = match wrapping {
        Packing::Single => bare(&call.app, headers, chosen, first, tag, permit)?,
        Packing::Multipart => parts(&call.app, headers, chosen, first, &root, &tag, permit),
        Packing::Zip if conditional::is_known(headers, &tag) => conditional::not_modified(&tag),
        Packing::Zip => zip(&call.app, chosen, first, &name, &tag, permit),
    };
    if !stored.is_empty() && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        notes.push(format!(
            "Instances stored in {} are left out: their transfer syntax does not fit the Accept header.",
            stored.join(", ")
        ));
    }
    warn(&mut response, &notes);
    Ok(response)
}

/// What a request comes to.
struct Found {
    fits: Fits,
    notes: Vec<String>,
    /// The one object, where it lies ready.
    ready: Option<Bytes>,
}

/// Looks up what is asked; a small object that goes out as it is stored is read in the same step where there is memory.
async fn find(call: &Call, ranges: &[MediaRange], target: Target, one: bool) -> Result<Found, Problem> {
    let (caller, scope, as_received) = (call.caller.clone(), call.scope, super::as_received(call)?);
    let (asked, desk) = (ranges.to_vec(), Desk::of(call));
    // A client that may have it already is asked for nothing yet.
    let eager = !call.parts.headers.contains_key(header::IF_NONE_MATCH);
    let (looks, seen) = (super::looks(call), call.seen.clone());
    let select = move |archive: &Arc<Archive>| {
        let selection = archive.select(&caller, scope, &target)?;
        seen.rows(&selection.instances);
        if let Some(row) = selection.instances.first().filter(|_| looks) {
            archive.charts().note_opened(&row.key.study);
        }
        let selection = if as_received { selection.as_received() } else { selection };
        archive.reach_files(&selection.instances)?;
        let takes: Vec<Takes<'_>> = asked.iter().filter_map(|range| wanted(range, one)).collect();
        let fits = fits(selection.instances, &takes);
        let row = small(&fits).filter(|_| eager);
        let share = row.and_then(|row| desk.share(row.file_len));
        let ready = row.zip(share).map(|(row, share)| read(archive, row, share)).transpose()?;
        Ok(Found { fits, notes: selection.notes, ready })
    };
    call.blocking(select).await
}

/// The one object that goes out as it is stored, if it is small.
fn small(fits: &Fits) -> Option<&InstanceRow> {
    let [(row, Rendition::Stored)] = fits.chosen.as_slice() else { return None };
    let plain = fits.wrapping != Packing::Zip && fits.stored.is_empty() && row.correction.is_none();
    (plain && row.file_len <= ready::MOST).then_some(row)
}

/// A stored object as a whole: in a pack it is compared with the digest of its file.
fn read(archive: &Arc<Archive>, row: &InstanceRow, share: Share) -> Result<Bytes, Problem> {
    let bytes = archive.read(row, 0..row.file_len)?;
    Ok(share.over(vec![bytes]).pop().unwrap_or_default())
}

/// The answer of one object that lies ready, under a service root and with its tag.
fn at_once(
    headers: &HeaderMap,
    row: &InstanceRow,
    rendition: Rendition,
    wrapping: Packing,
    bytes: Bytes,
    (root, tag): (&str, String),
) -> Response {
    let (content_type, length) = described(row, rendition);
    if wrapping == Packing::Single {
        return conditional::respond_ready(headers, Whole { content_type, etag: tag, length }, &bytes);
    }
    let mut response = of_ready("application/dicom", &content_type, vec![(instance_url(root, row), bytes)]);
    conditional::tag(&mut response, &format!("W/{tag}"));
    response
}

/// What of a selection goes out, and how.
struct Fits {
    chosen: Vec<(InstanceRow, Rendition)>,
    /// The transfer syntaxes of what fits no range.
    stored: Vec<String>,
    wrapping: Packing,
    /// Why an instance is not compressed with loss as it was asked.
    why: Option<String>,
}

/// The best rendition of every instance, all of them in the best packing that any of them fits.
fn fits(rows: Vec<InstanceRow>, takes: &[Takes<'_>]) -> Fits {
    let rendition = |row: &InstanceRow, takes: &Takes<'_>| {
        let made = |wanted: &str| transcode::target(row, wanted);
        instance_rendition(row.transfer_syntax.as_str(), takes.syntax, takes.anything, made)
    };
    // Nothing is lost for who takes as gladly what loses nothing.
    let spared = |row: &InstanceRow, found: Rendition, range: &Takes<'_>| {
        let mut others = takes.iter().filter(|other| other.range.equals(range.range));
        found.loses() && others.any(|other| rendition(row, other).is_some_and(|other| !other.loses()))
    };
    let settled =
        |row: &InstanceRow, takes: &Takes<'_>| rendition(row, takes).filter(|found| !spared(row, *found, takes));
    let best = takes.iter().find(|takes| rows.iter().any(|row| settled(row, takes).is_some()));
    let wrapping = best.map_or(Packing::Multipart, |takes| takes.packing);
    let (mut chosen, mut refused, mut why) = (Vec::new(), BTreeSet::new(), None);
    for row in rows {
        let mut packed = takes.iter().filter(|takes| takes.packing == wrapping);
        match packed.find_map(|takes| settled(&row, takes)) {
            Some(rendition) => {
                let rendition = completed(&row, rendition);
                chosen.push((row, rendition));
            }
            None => {
                let reason = || takes.iter().find_map(|takes| transcode::refusal(&row, takes.syntax?));
                why = why.or_else(reason);
                refused.insert(row.transfer_syntax.to_string());
            }
        }
    }
    Fits { chosen, stored: refused.into_iter().collect(), wrapping, why }
}

/// An object that came without preamble or file meta information goes out with ours, even where the stored bytes are
/// asked: without them it is no DICOM file (PS3.10 section 7), and readers refuse it. Its data set is untouched.
fn completed(row: &InstanceRow, rendition: Rendition) -> Rendition {
    let bare = row.flags.contains(&Flag::MissingMeta) && rendition == Rendition::Stored;
    if bare { Rendition::WithMeta } else { rendition }
}

/// How objects are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Multipart,
    Single,
    Zip,
}

/// What a range takes.
struct Takes<'a> {
    packing: Packing,
    range: &'a MediaRange,
    /// Its transfer syntax, if it names one.
    syntax: Option<&'a str>,
    /// It is `*/*`.
    anything: bool,
}

/// How a range wants objects; a bare object only where the path names one instance.
fn wanted(range: &MediaRange, one: bool) -> Option<Takes<'_>> {
    let packing = match dicom_wrapping(range) {
        Some(Wrapping::Single) if one => Packing::Single,
        Some(Wrapping::Multipart) => Packing::Multipart,
        _ if range.covers("application", "zip") => Packing::Zip,
        _ => return None,
    };
    Some(Takes { packing, range, syntax: range.transfer_syntax(), anything: range.main == "*" })
}

/// Whether an object is re-encoded.
fn is_made(rendition: Rendition) -> bool {
    matches!(rendition, Rendition::Made(_) | Rendition::Usual)
}

/// An object that is made, with its media type.
type Opened = (String, Source);

/// The first object where it is made, opened before the answer begins, so that pixels which cannot be had are refused
/// and not cut off.
async fn first(call: &Call, chosen: &[(InstanceRow, Rendition)]) -> Result<Option<Opened>, Problem> {
    let Some((row, rendition)) = chosen.first().filter(|(_, rendition)| is_made(*rendition)) else { return Ok(None) };
    let (row, rendition) = (row.clone(), *rendition);
    call.blocking(move |archive| Ok(Some(made(archive, &row, rendition)?))).await
}

/// Opens an object that is made.
fn made(archive: &Arc<Archive>, row: &InstanceRow, rendition: Rendition) -> Result<Opened, DecodeError> {
    let (syntax, source) = match rendition {
        Rendition::Made(syntax) => (syntax.to_owned(), encoding::made_file(archive, row, syntax)?),
        _ => encoding::usual_file(archive, row)?,
    };
    Ok((format!("application/dicom; transfer-syntax={syntax}"), source))
}

/// A place among the answers that re-encode, given back with the last object.
type Permit = Option<Arc<OwnedSemaphorePermit>>;

fn parts(
    app: &Arc<App>,
    headers: &HeaderMap,
    chosen: Vec<(InstanceRow, Rendition)>,
    mut first: Option<Opened>,
    root: &str,
    tag: &str,
    permit: Permit,
) -> Response {
    let mut answer = Multipart::new();
    for (row, rendition) in chosen {
        let location = instance_url(root, &row);
        let (app, permit, opened) = (Arc::clone(app), permit.clone(), first.take());
        if is_made(rendition) {
            answer.decided(&location, move || opened_now(&app, &row, rendition, opened, permit));
            continue;
        }
        let (content_type, length) = described(&row, rendition);
        answer.part(&content_type, Some(&location), length, move || open(&app, &row, rendition, None, permit));
    }
    multipart(headers, answer, "application/dicom", tag)
}

/// A ZIP file, one object open at a time, whatever the size of the study.
fn zip(
    app: &Arc<App>,
    chosen: Vec<(InstanceRow, Rendition)>,
    mut first: Option<Opened>,
    name: &str,
    tag: &str,
    permit: Permit,
) -> Response {
    let mut file = Zip::new();
    for (row, rendition) in chosen {
        let entry = format!("{}/{}.dcm", row.key.series, row.sop_instance);
        let (_, length) = described(&row, rendition);
        let (app, permit, opened) = (Arc::clone(app), permit.clone(), first.take());
        file.add(&entry, length, move || open(&app, &row, rendition, opened, permit));
    }
    let length = file.length();
    let mut response = Response::new(Body::new(ReaderBody::new(Box::new(file), length)));
    conditional::tag(&mut response, tag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.zip\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn bare(
    app: &Arc<App>,
    headers: &HeaderMap,
    chosen: Vec<(InstanceRow, Rendition)>,
    first: Option<Opened>,
    tag: String,
    permit: Permit,
) -> Result<Response, Problem> {
    let (row, rendition) = chosen.into_iter().next().ok_or_else(|| not_acceptable(OFFERED))?;
    let (mut content_type, length) = described(&row, rendition);
    if let Some((opened, _)) = &first {
        content_type.clone_from(opened);
    }
    let whole = Whole { content_type, etag: tag, length };
    let app = Arc::clone(app);
    Ok(conditional::respond(headers, &whole, move |range| {
        let wanted = range.end.saturating_sub(range.start);
        if rendition == Rendition::Stored && row.correction.is_none() {
            let mut file = app.archive.file(&row);
            file.seek(SeekFrom::Start(range.start))?;
            return Ok(Box::new(file.take(wanted)));
        }
        let mut source = open(&app, &row, rendition, first, permit)?;
        encoding::skip(&mut source, range.start)?;
        Ok(Box::new(source.take(wanted)))
    }))
}

fn described(row: &InstanceRow, rendition: Rendition) -> (String, Option<u64>) {
    // A corrected head has another length, which is known when it is made.
    let length = |stored: u64| row.correction.is_none().then_some(stored);
    match rendition {
        Rendition::Stored => {
            (format!("application/dicom; transfer-syntax={}", row.transfer_syntax), length(row.file_len))
        }
        Rendition::WithMeta => {
            let data_set = row.file_len.saturating_sub(u64::from(row.meta_len));
            let meta = u64::try_from(encoding::meta(row, &row.transfer_syntax).len()).unwrap_or_default();
            (
                format!("application/dicom; transfer-syntax={}", row.transfer_syntax),
                length(data_set.saturating_add(meta)),
            )
        }
        // Known when it is opened.
        Rendition::Made(_) | Rendition::Usual => ("application/dicom".to_owned(), None),
    }
}

/// Opens an object, or takes the one that was opened before.
fn open(
    app: &Arc<App>,
    row: &InstanceRow,
    rendition: Rendition,
    opened: Option<Opened>,
    permit: Permit,
) -> std::io::Result<Source> {
    if is_made(rendition) {
        return opened_now(app, row, rendition, opened, permit).map(|(_, source)| source);
    }
    encoding::stored_file(&app.archive, row).map_err(std::io::Error::other)
}

/// An object that is made, with its media type: the one that was opened before, or another one.
fn opened_now(
    app: &Arc<App>,
    row: &InstanceRow,
    rendition: Rendition,
    opened: Option<Opened>,
    permit: Permit,
) -> std::io::Result<Opened> {
    let (content_type, source) = match opened {
        Some(opened) => opened,
        None => made(&app.archive, row, rendition).map_err(std::io::Error::other)?,
    };
    Ok((content_type, encoding::held(source, permit)))
}
