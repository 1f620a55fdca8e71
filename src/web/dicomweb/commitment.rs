//! Storage Commitment over HTTP (PS3.18 chapter 13), on the same engine as the DIMSE service.
//!
//! A question is durable before it is answered. Few objects that have their copies are answered at once; otherwise the
//! answer is 202, and the result is asked for. A result stays for a week and is decided anew each time it is asked
//! for: the bytes are read again.

use super::stow;
use crate::app::{self, Call};
use crate::problem::{Kind, Problem};
use archive::commitment::{Commitment, CommitmentError, Verdict};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use model::{AeTitle, Uid};
use serde_json::{Value, json};

/// Most objects that are answered at once.
const AT_ONCE_MAX: usize = 1_000;
/// Seconds after which asking for the result makes sense.
const AGAIN_SECONDS: &str = "10";
/// AE title that stands for askers over HTTP, who have none.
const HTTP_TITLE: &str = "HTTP";
const REFERENCED: &str = "00081199";
const FAILED: &str = "00081198";
const SOP_CLASS: &str = "00081150";
const SOP_INSTANCE: &str = "00081155";
const REASON: &str = "00081197";

/// POST: takes a question.
pub(crate) async fn ask(call: Call) -> Result<Response, Problem> {
    let transaction = call.uid("transaction")?;
    let objects = objects(&call).await?;
    let facility = stow::facility(&call.caller, call.scope)?;
    let source = call.app.archive.web_source(&call.caller, facility)?;
    let titled = |text: &str| AeTitle::parse(text).map_err(|error| Problem::new(Kind::Internal, error.to_string()));
    let commitment = Commitment {
        transaction,
        facility,
        source: source.id,
        calling: titled(HTTP_TITLE)?,
        called: titled(HTTP_TITLE)?,
        objects,
        asked: 0,
        web: true,
        duplicate: false,
    };
    let prefers = call.parts.headers.get("prefer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let later = prefers.split(',').any(|wish| wish.trim() == "respond-async") || commitment.objects.len() > AT_ONCE_MAX;
    let verdict = call
        .blocking(move |archive| {
            archive.ask_commitment(commitment.clone()).map_err(refused)?;
            let Some(kept) = archive.web_commitment(facility, &commitment.transaction) else { return Ok(None) };
            if later || !archive.is_ripe(&kept) {
                return Ok(None);
            }
            let verdict = archive.verdict(&kept);
            archive.close_commitment(&kept);
            Ok(Some(verdict))
        })
        .await?;
    Ok(answer(verdict.as_ref()))
}

/// GET: the result of an earlier question.
pub(crate) async fn result(call: Call) -> Result<Response, Problem> {
    let transaction = call.uid("transaction")?;
    let facility = stow::facility(&call.caller, call.scope)?;
    let verdict = call
        .blocking(move |archive| {
            let unknown = || Problem::new(Kind::NotFound, "no open question has this Transaction UID");
            let kept = archive.web_commitment(facility, &transaction).ok_or_else(unknown)?;
            Ok(archive.is_ripe(&kept).then(|| archive.verdict(&kept)))
        })
        .await?;
    Ok(answer(verdict.as_ref()))
}

fn refused(error: CommitmentError) -> Problem {
    match error {
        CommitmentError::TooMany => Problem::new(Kind::Unavailable, "too many open questions of this facility"),
        CommitmentError::Duplicate => {
            Problem::new(Kind::InUse, "the Transaction UID is in use for another question").at("path")
        }
        CommitmentError::Io(error) => Problem::new(Kind::Unavailable, format!("the question cannot be kept: {error}")),
    }
}

/// The objects of a Storage Commitment Request Module (PS3.18 section J.1) in DICOM JSON.
async fn objects(call: &Call) -> Result<Vec<(Uid, Uid)>, Problem> {
    let kind = call.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    if !["application/dicom+json", "application/json"].contains(&media) {
        let detail = "a question is taken as application/dicom+json";
        return Err(Problem::new(Kind::UnsupportedMedia, detail).at("header Content-Type"));
    }
    let document: Value = crate::admin::read(call).await?;
    let document = document.as_array().and_then(|list| list.first()).unwrap_or(&document);
    let wrong = |detail: &str| Problem::new(Kind::BadRequest, detail).at("body");
    let items = document.get(REFERENCED).and_then(|sequence| sequence.get("Value")).and_then(Value::as_array);
    let items = items.filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| wrong("Referenced SOP Sequence (0008,1199) is missing or empty"))?;
    let uid = |item: &Value, key: &str| {
        let text = item.get(key).and_then(|element| element.pointer("/Value/0")).and_then(Value::as_str)?;
        Uid::parse(text).ok()
    };
    let pair = |item: &Value| Some((uid(item, SOP_CLASS)?, uid(item, SOP_INSTANCE)?));
    let objects: Option<Vec<(Uid, Uid)>> = items.iter().map(pair).collect();
    objects.ok_or_else(|| wrong("a referenced SOP Class or Instance UID is missing or no UID"))
}

/// 200 with the result, or 202 without.
fn answer(verdict: Option<&Verdict>) -> Response {
    let Some(verdict) = verdict else {
        let mut response = app::json(StatusCode::ACCEPTED, Vec::new());
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN_SECONDS));
        return response;
    };
    let mut response = app::json(StatusCode::OK, document(verdict).to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/dicom+json"));
    response
}

/// A Storage Commitment Response Module (PS3.18 section J.2).
fn document(verdict: &Verdict) -> Value {
    let uid = |uid: &Uid| json!({ "vr": "UI", "Value": [uid.as_str()] });
    let named = |class: &Uid, instance: &Uid| json!({ SOP_CLASS: uid(class), SOP_INSTANCE: uid(instance) });
    let mut document = serde_json::Map::new();
    let failed: Vec<Value> = verdict
        .failed
        .iter()
        .map(|(class, instance, lack)| {
            let mut item = named(class, instance);
            item[REASON] = json!({ "vr": "US", "Value": [lack.reason()] });
            item
        })
        .collect();
    let kept: Vec<Value> = verdict.committed.iter().map(|(class, instance)| named(class, instance)).collect();
    for (key, items) in [(FAILED, failed), (REFERENCED, kept)] {
        if !items.is_empty() {
            document.insert(key.to_owned(), json!({ "vr": "SQ", "Value": items }));
        }
    }
    Value::Object(document)
}
