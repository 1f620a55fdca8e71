//! From a body to a message of the archive: where it came from, what it asks for, and what is answered.

use crate::admin::body;
use crate::app::Call;
use crate::problem::{Kind, Problem};
use archive::charts::Receipt;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use model::chart::{Change, Handled, Inbound, Origin};
use model::{Digest, FacilityCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Longest idempotency key: it and the source's name are found together (`model::chart::term::VALUE_MAX`).
const KEY_MAX: usize = 64;

/// What a request asks for.
pub(crate) struct Wanted<'a> {
    /// What it is: `REST order`.
    pub(crate) kind: &'static str,
    pub(crate) facility: FacilityCode,
    /// The patient's number, where it says one.
    pub(crate) mrn: Option<String>,
    /// The body as it came.
    pub(crate) bytes: &'a [u8],
    pub(crate) changes: Vec<Change>,
    /// Whether the same body again is the same message, without a key too: it is for what is sent, not for what is set.
    pub(crate) sent: bool,
}

/// Hands a message to the archive; it is durable on return.
pub(crate) async fn receive(call: &Call, wanted: Wanted<'_>) -> Result<Receipt, Problem> {
    let head = format!("{} {}\n\n", call.parts.method, call.parts.uri.path());
    let digest: [u8; 32] = Sha256::new().chain_update(&head).chain_update(wanted.bytes).finalize().into();
    let digest = Digest(digest);
    let control = match control(&call.parts.headers)? {
        Some(key) => key,
        None if wanted.sent => digest.to_string(),
        None => format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
    };
    let source = format!("rest:{}", call.caller.name);
    let inbound = Inbound {
        origin: Origin { source, sender: String::new(), control, digest },
        kind: wanted.kind.to_owned(),
        mrn: wanted.mrn,
        text: head + &String::from_utf8_lossy(wanted.bytes),
        changes: Ok(wanted.changes),
        remarks: Vec::new(),
    };
    let facility = wanted.facility;
    let receipt = call.blocking(move |archive| Ok(archive.charts().receive(facility, inbound)?)).await?;
    match &receipt.handled {
        Handled::Refused { why } => Err(Problem::new(Kind::Unprocessable, why.clone()).at("body")),
        _ => Ok(receipt),
    }
}

/// The header Idempotency-Key; quotation marks around it are not part of it.
fn control(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = format!("an idempotency key has 1 to {KEY_MAX} visible ASCII characters");
        return Err(Problem::new(Kind::BadRequest, detail).at("header Idempotency-Key"));
    }
    Ok(Some(key.to_owned()))
}

/// The answer: 200 when its effects are recorded, 202 when it waits; the row as it stands under its name.
pub(super) fn answered(receipt: &Receipt, name: &str, row: Value) -> Result<Response, Problem> {
    let mut view = json!({"handled": "done", "repeated": receipt.repeated, "remarks": receipt.remarks});
    let mut status = StatusCode::OK;
    if let Some(object) = view.as_object_mut() {
        if let Handled::Parked { why, until } = &receipt.handled {
            status = StatusCode::ACCEPTED;
            object.insert("handled".into(), "parked".into());
            object.insert("waits_for".into(), why.clone().into());
            object.insert("until".into(), (*until).into());
        }
        if !row.is_null() {
            object.insert(name.into(), row);
        }
    }
    body(status, &view)
}
