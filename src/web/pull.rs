//! DICOMweb as a user: QIDO-RS asks another archive what it has, WADO-RS fetches it (PS3.18 sections 10.4 and 10.6).
//!
//! For threads that may block. Lists come page by page, objects stream to a [`Taker`] as they come: memory depends
//! neither on their size nor on their number. What the other archive names is never believed to be a UID before it was
//! read as one.

mod retrieve;
#[cfg(test)]
mod tests;

use crate::outgoing;
use http::header::{ACCEPT, AUTHORIZATION};
use model::Uid;
use reqwest::Response;
use serde_json::Value;
use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

pub use retrieve::Taker;

/// Rows asked for at once.
const PAGE: u64 = 500;
/// Longest page in bytes.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// Most rows of one question: a service that never ends is not asked for ever.
const ROWS_MAX: u64 = 10_000_000;

/// Whom we call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// `https://HOST/dicom-web`; `/studies` is added.
    pub url: String,
    /// File with the bearer token.
    pub token_file: Option<PathBuf>,
    /// File with the certificates (PEM) that its own is signed by; none means those of the system.
    pub authorities: Option<PathBuf>,
}

/// Limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimits {
    /// Longest wait for the connection.
    pub connect: Duration,
    /// Longest wait for the head of an answer, and between two pieces of its body.
    pub answer: Duration,
}

/// Why there is no answer that can be used. The texts hold no patient data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The call cannot be made: a file, or the URL.
    #[error("{0}")]
    Setup(String),
    /// No connection, or it broke off.
    #[error("{0}")]
    Lost(String),
    /// Nothing came within its limit.
    #[error("the service does not answer in time")]
    TooSlow,
    /// An answer of failure.
    #[error("the service answers {0}")]
    Status(u16),
    /// An answer that is not what was asked for.
    #[error("the service answers what was not asked for: {0}")]
    Answer(String),
}

impl PullError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Setup(_) | Self::Answer(_) => false,
            Self::Lost(_) | Self::TooSlow => true,
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..),
        }
    }
}

/// A DICOMweb service that is called.
#[derive(Debug)]
pub struct Service {
    root: Root,
    limits: PullLimits,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Service {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// [`PullError::Setup`].
    pub fn new(root: Root, limits: PullLimits) -> Result<Self, PullError> {
        check(&root.url)?;
        let client = outgoing::client(root.authorities.as_deref(), limits.connect).map_err(PullError::Setup)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| PullError::Setup(error.to_string()))?;
        Ok(Self { root, limits, client, runtime })
    }

    /// QIDO-RS for studies of these dates, `FROM-TO`, empty for all: Study Instance UID and Number of Study Related
    /// Instances, where that is told.
    ///
    /// # Errors
    /// When the list is not whole.
    pub fn studies(&self, dates: &str, each: &mut dyn FnMut(&str, Option<u64>)) -> Result<(), PullError> {
        let dates = if dates.is_empty() { String::new() } else { format!("&StudyDate={dates}") };
        let query = format!("includefield=00201208{dates}");
        self.list("studies", &query, "0020000D", &mut |uid, row| {
            each(uid, value(row, "00201208").and_then(|text| text.parse().ok()));
        })
    }

    /// QIDO-RS for the objects of a study: SOP Instance and Class UIDs; the class may be empty.
    ///
    /// # Errors
    /// When the list is not whole.
    pub fn instances(&self, study: &Uid, each: &mut dyn FnMut(&str, String)) -> Result<(), PullError> {
        let path = format!("studies/{study}/instances");
        self.list(&path, "includefield=00080016", "00080018", &mut |uid, row| {
            each(uid, value(row, "00080016").unwrap_or_default());
        })
    }

    /// Asks page by page until nothing new comes: services cut pages as they like, and some know no offset.
    fn list(&self, path: &str, query: &str, named: &str, each: &mut dyn FnMut(&str, &Value)) -> Result<(), PullError> {
        let (mut seen, mut offset) = (HashSet::new(), 0);
        loop {
            let rows = self.page(&format!("{path}?{query}&limit={PAGE}&offset={offset}"))?;
            offset += rows.len() as u64;
            let before = seen.len();
            for row in &rows {
                if let Some(uid) = value(row, named)
                    && seen.insert(uid.clone())
                {
                    each(&uid, row);
                }
            }
            if seen.len() == before {
                return Ok(());
            }
            if offset > ROWS_MAX {
                return Err(PullError::Answer("an endless list".into()));
            }
        }
    }

    fn page(&self, target: &str) -> Result<Vec<Value>, PullError> {
        let mut answer = self.get(target, "application/dicom+json")?;
        match answer.status().as_u16() {
            204 => return Ok(Vec::new()),
            200 | 206 => {}
            other => return Err(PullError::Status(other)),
        }
        let kind = content_type(&answer);
        if !kind.starts_with("application/dicom+json") && !kind.starts_with("application/json") {
            return Err(PullError::Answer(format!("a list as {kind:?}")));
        }
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut answer)? {
            if body.len().saturating_add(piece.len()) > PAGE_BYTES_MAX {
                return Err(PullError::Answer("an endless page".into()));
            }
            body.extend_from_slice(&piece);
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Array(rows)) => Ok(rows),
            _ => Err(PullError::Answer("a list that is no DICOM JSON".into())),
        }
    }

    fn get(&self, target: &str, accept: &str) -> Result<Response, PullError> {
        let url = format!("{}/{target}", self.root.url.trim_end_matches('/'));
        let mut request = self.client.get(url).header(ACCEPT, accept);
        if let Some(file) = &self.root.token_file {
            request = request.header(AUTHORIZATION, outgoing::bearer(file).map_err(PullError::Setup)?);
        }
        self.within(request.send())
    }

    /// The next piece of a body, none at its end.
    fn piece(&self, answer: &mut Response) -> Result<Option<bytes::Bytes>, PullError> {
        self.within(answer.chunk())
    }

    fn within<T>(&self, work: impl Future<Output = reqwest::Result<T>>) -> Result<T, PullError> {
        match self.runtime.block_on(async { timeout(self.limits.answer, work).await }) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(PullError::Lost(outgoing::said(&error))),
            Err(_) => Err(PullError::TooSlow),
        }
    }
}

/// What is wrong with a URL of a service.
fn check(url: &str) -> Result<(), PullError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let sound = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !"@#?".contains(c));
    if rest.is_some_and(sound) && url.len() <= 1024 {
        return Ok(());
    }
    let what = "the root of a service is a URL such as https://pacs.example.vn/dicom-web, without user or query";
    Err(PullError::Setup(what.into()))
}

fn content_type(answer: &Response) -> String {
    let value = answer.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_owned()
}

/// The first value of an attribute in DICOM JSON.
fn value(row: &Value, tag: &str) -> Option<String> {
    let first = row.get(tag)?.get("Value")?.get(0)?;
    let text = match first {
        Value::String(text) => text.trim_matches([' ', '\0']).to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}
