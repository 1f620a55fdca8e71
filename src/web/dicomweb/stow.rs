//! STOW-RS (PS3.18 section 10.5): storing instances sent as `application/dicom`, or as metadata with bulk data; where
//! `http.stow_extensions` says so also as one bare object or a ZIP file.
//!
//! Parts stream to the archive as they arrive; memory is bounded whatever the sizes. Every instance has its own
//! result, and success is reported only when the archive says durable and findable.

mod described;
pub mod parts;
mod report;
pub mod unzip;
mod upload;
mod zipped;

use crate::accept::{self, MediaRange};
use crate::app::Call;
use crate::dicomweb::warn;
use crate::options::Options;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use axum::body::Body;
use axum::response::Response;
use http::header;
use http_body_util::BodyExt;
use model::{Caller, FacilityCode, Scope, Uid};
use parts::{BOUNDARY_MAX, Event, PartHeaders, PartsError, Splitter};
use report::{Form, Report};
use std::time::Duration;
use upload::Upload;
pub(crate) use upload::part_syntax;

/// Bytes of a refused request that are read and thrown away, so that its sender gets to read the refusal.
const DISCARD_MAX: u64 = 256 << 20;
/// How long that may take.
const DISCARD_WAIT: Duration = Duration::from_secs(20);

/// How the body carries its instances.
enum Carrier {
    /// One object is the whole body.
    Single(PartHeaders),
    /// Objects between boundaries.
    Multipart(Box<Splitter>),
    /// Metadata and bulk data between boundaries.
    Described(Box<Splitter>, described::Form),
    /// Objects in a ZIP file.
    Zip,
}

/// Answers a store.
pub(crate) async fn store(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let mut body = std::mem::take(&mut *call.body.lock());
    match prepare(endpoint, &call) {
        Ok((form, carrier, study, mut upload)) => {
            let (others, broken) = match carrier {
                Carrier::Zip => {
                    let (others, outcome) = zipped::receive(&mut body, &mut upload, &call.app.options).await;
                    (others, outcome.err())
                }
                carrier => (0, receive(&mut body, carrier, &mut upload, &call.app.options).await),
            };
            let report = Report::new(upload.finish().await, study, call.service_root());
            match broken {
                Some(problem) if report.is_empty() => {
                    discard(body).await;
                    Err(problem)
                }
                Some(problem) => {
                    discard(body).await;
                    Ok(report.broken_off(&problem).respond(form))
                }
                None if report.is_empty() => {
                    Err(Problem::new(Kind::BadRequest, "the request holds no instance").at("body"))
                }
                None => {
                    let mut response = report.respond(form);
                    if others > 0 {
                        warn(&mut response, &[format!("{others} entries that are no DICOM objects were passed over.")]);
                    }
                    Ok(response)
                }
            }
        }
        Err(problem) => {
            discard(body).await;
            Err(problem)
        }
    }
}

/// Everything that can be refused before the first byte of the body is looked at.
fn prepare(endpoint: Endpoint, call: &Call) -> Result<(Form, Carrier, Option<Uid>, Upload), Problem> {
    let form = report_form(&call.accepts()?)?;
    let study = if endpoint == Endpoint::StoreStudy { Some(call.uid("study")?) } else { None };
    let carrier = carrier(call)?;
    let source = call.app.archive.web_source(&call.caller, facility(&call.caller, call.scope)?)?;
    Ok((form, carrier, study.clone(), Upload::new(&call.app, source, study)))
}

fn report_form(ranges: &[MediaRange]) -> Result<Form, Problem> {
    let chosen = ranges.iter().find_map(|range| {
        if range.covers("application", "dicom+json") || range.covers("application", "json") {
            Some(Form::Json)
        } else {
            range.covers("application", "dicom+xml").then_some(Form::Xml)
        }
    });
    chosen.ok_or_else(|| {
        let detail = "results are answered as application/dicom+json or application/dicom+xml";
        Problem::new(Kind::NotAcceptable, detail).at("header Accept")
    })
}

/// The facility the instances belong to: the root's, else the caller's own.
pub(super) fn facility(caller: &Caller, scope: Scope) -> Result<FacilityCode, Problem> {
    if let Scope::Facility(facility) = scope {
        return Ok(facility);
    }
    let only = caller.facilities.as_ref().filter(|set| set.len() == 1).and_then(|set| set.first().copied());
    caller.home.or(only).ok_or_else(|| {
        let detail = "the token names no home facility; store under /facilities/{code}/dicom-web";
        Problem::new(Kind::BadRequest, detail).at("path")
    })
}

fn carrier(call: &Call) -> Result<Carrier, Problem> {
    let unsupported = |detail: &str| Problem::new(Kind::UnsupportedMedia, detail).at("header Content-Type");
    let text = call.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(text) = text else { return Err(unsupported("the request has no Content-Type")) };
    let media = accept::content_type(text).map_err(|what| unsupported(&what))?;
    let bare = (media.main.as_str(), media.sub.as_str()) == ("application", "dicom");
    if bare && call.app.options.stow_extensions {
        return Ok(Carrier::Single(PartHeaders { content_type: Some(text.to_owned()), ..PartHeaders::default() }));
    }
    let zip = media.main == "application" && ["zip", "x-zip-compressed"].contains(&media.sub.as_str());
    if zip && call.app.options.stow_extensions {
        return Ok(Carrier::Zip);
    }
    if (media.main.as_str(), media.sub.as_str()) != ("multipart", "related") {
        return Err(unsupported(
            "instances are sent as multipart/related; other forms only where http.stow_extensions says so",
        ));
    }
    let inner = media.parameter("type").unwrap_or("application/dicom").to_ascii_lowercase();
    let described = described::Form::of(&inner);
    if inner != "application/dicom" && described.is_none() {
        let detail = "the type parameter is application/dicom, application/dicom+json or application/dicom+xml";
        return Err(unsupported(detail));
    }
    let boundary = media.parameter("boundary").unwrap_or_default();
    let splitter = Splitter::new(boundary).map_err(|_| {
        let detail = format!("the boundary parameter is missing or longer than {BOUNDARY_MAX} characters");
        Problem::new(Kind::BadMultipart, detail).at("header Content-Type")
    })?;
    let splitter = Box::new(splitter);
    Ok(match described {
        None => Carrier::Multipart(splitter),
        Some(form) => Carrier::Described(splitter, form),
    })
}

/// Feeds the body to the upload; what broke it off, if anything did.
async fn receive(body: &mut Body, carrier: Carrier, upload: &mut Upload, options: &Options) -> Option<Problem> {
    let stall = options.stall_timeout;
    let mut splitter = match carrier {
        Carrier::Multipart(splitter) => splitter,
        Carrier::Described(splitter, form) => {
            return described::receive(body, splitter, form, upload, options).await.err();
        }
        Carrier::Single(headers) => return receive_single(body, &headers, upload, stall).await.err(),
        Carrier::Zip => return zipped::receive(body, upload, options).await.1.err(),
    };
    let outcome = async {
        while let Some(bytes) = next(body, stall).await? {
            splitter.feed(&bytes);
            drain_events(&mut splitter, upload).await?;
        }
        splitter.finish().map_err(malformed)
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        upload.abandon();
    }
    outcome.err()
}

async fn receive_single(
    body: &mut Body,
    headers: &PartHeaders,
    upload: &mut Upload,
    stall: Duration,
) -> Result<(), Problem> {
    upload.begin(headers)?;
    loop {
        match next(body, stall).await {
            Ok(Some(bytes)) => upload.write(&bytes).await,
            Ok(None) => break,
            Err(problem) => {
                upload.abandon();
                return Err(problem);
            }
        }
    }
    upload.end().await;
    Ok(())
}

async fn drain_events(splitter: &mut Splitter, upload: &mut Upload) -> Result<(), Problem> {
    loop {
        match splitter.next_event().map_err(malformed)? {
            Event::Hungry | Event::Closed => return Ok(()),
            Event::Start(headers) => upload.begin(&headers)?,
            Event::Data(data) => upload.write(&data).await,
            Event::End => upload.end().await,
        }
    }
}

fn malformed(error: PartsError) -> Problem {
    Problem::new(Kind::BadMultipart, error.to_string()).at("body")
}

/// The next bytes of the body.
async fn next(body: &mut Body, stall: Duration) -> Result<Option<bytes::Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(stall, body.frame()).await;
        let frame = frame.map_err(|_| Problem::new(Kind::Timeout, "the body stopped arriving").at("body"))?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(Problem::new(Kind::BadRequest, "the body broke off").at("body")),
        }
    }
}

/// Reads the rest of a refused body without keeping it.
async fn discard(mut body: Body) {
    let reading = async {
        let mut left = DISCARD_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let count = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    };
    // However it ends, the refusal is sent now.
    let _ = tokio::time::timeout(DISCARD_WAIT, reading).await;
}
