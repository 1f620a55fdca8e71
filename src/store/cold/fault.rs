//! What went wrong at the bucket, shaped by what a caller does about it.
//!
//! The server's words are cut down to its code and message: an answer may repeat credentials.

use crate::StoreError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Kind of a fault at the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColdFault {
    /// There is no such object, version or upload.
    Missing,
    /// The credentials do not allow it.
    Denied,
    /// Object Lock or a legal hold forbids it.
    Locked,
    /// The credentials are wrong or have expired: an operator must renew them.
    Credentials,
    /// The clocks of archive and server are too far apart.
    Clock,
    /// The object lies in an archive class and must be restored first.
    Archived,
    /// The server is overloaded or failing: again later.
    Busy,
    /// No connection, or it broke: again later.
    Unreachable,
    /// Bytes are not what they should be: the copy does not count.
    Damaged,
    /// The server does not know this operation.
    Unsupported,
    /// Not now: these hours or a stop forbid it. The work goes on when asked again.
    Paused,
    /// The options are no good, or the bucket does not exist.
    Options,
    /// Anything else the server said.
    Refused,
}

impl ColdFault {
    /// Whether asking again later may help without anyone doing anything.
    pub fn passes(self) -> bool {
        matches!(self, Self::Busy | Self::Unreachable | Self::Paused)
    }

    fn of_code(code: &str, message: &str) -> Option<Self> {
        Some(match code {
            "NoSuchKey"
            | "NoSuchVersion"
            | "NoSuchUpload"
            | "NotFound"
            | "NoSuchTagSet"
            | "NoSuchObjectLockConfiguration"
            | "ObjectLockConfigurationNotFoundError"
            | "NoSuchLifecycleConfiguration" => Self::Missing,
            "NoSuchBucket" | "InvalidBucketName" | "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
                Self::Options
            }
            "ExpiredToken"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "ExpiredTokenException" => Self::Credentials,
            "RequestTimeTooSkewed" | "RequestExpired" => Self::Clock,
            "InvalidObjectState" => Self::Archived,
            "AccessDenied" | "Forbidden" => match message.to_ascii_lowercase() {
                text if text.contains("lock") || text.contains("hold") || text.contains("worm") => Self::Locked,
                _ => Self::Denied,
            },
            "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "Throttling"
            | "OperationAborted" => Self::Busy,
            "NotImplemented" | "MethodNotAllowed" => Self::Unsupported,
            _ => return None,
        })
    }

    fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Credentials,
            403 => Self::Denied,
            404 => Self::Missing,
            405 | 501 => Self::Unsupported,
            429 | 500..=599 => Self::Busy,
            _ => Self::Refused,
        }
    }
}

impl StoreError {
    /// The fault at the bucket, where it is one.
    pub fn cold_fault(&self) -> Option<ColdFault> {
        match self {
            Self::Cold { fault, .. } => Some(*fault),
            _ => None,
        }
    }
}

/// Longest text taken over from a server.
const WORDS: usize = 200;

/// What `object_store` reports.
pub(super) fn of_object_store(action: &'static str, key: &str, error: &object_store::Error) -> StoreError {
    use object_store::Error as E;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    let code = between(&text, "<Code>", "</Code>").unwrap_or("");
    let message = between(&text, "<Message>", "</Message>").unwrap_or("");
    let status =
        text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)).and_then(|text| text.parse().ok());
    let fault = ColdFault::of_code(code, message).unwrap_or(match (error, status) {
        (E::NotFound { .. }, _) => ColdFault::Missing,
        (E::PermissionDenied { .. }, _) => ColdFault::Denied,
        (E::Unauthenticated { .. }, _) => ColdFault::Credentials,
        (E::NotSupported { .. } | E::NotImplemented { .. }, _) => ColdFault::Unsupported,
        (E::Precondition { .. } | E::AlreadyExists { .. } | E::InvalidPath { .. }, _) => ColdFault::Refused,
        (_, Some(status)) => ColdFault::of_status(status),
        _ => ColdFault::Unreachable,
    });
    let what = match (code, status) {
        ("", None) => reason(error),
        ("", Some(status)) => format!("the server answered {status}"),
        _ => format!("{code} {message}"),
    };
    StoreError::cold(fault, action, key, cut(&what))
}

/// What the SDK reports.
pub(super) fn of_sdk<E>(action: &'static str, key: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let code = error.as_service_error().and_then(|e| e.code()).unwrap_or("");
    let message = error.as_service_error().and_then(|e| e.message()).unwrap_or("");
    let fault = ColdFault::of_code(code, message).unwrap_or(match (error, status) {
        (SdkError::ConstructionFailure(_), _) => ColdFault::Options,
        (_, Some(status)) if !(200..300).contains(&status) => ColdFault::of_status(status),
        _ => ColdFault::Unreachable,
    });
    let what = match (code, status) {
        ("", None) => reason(error),
        ("", Some(status)) => format!("the server answered {status}"),
        _ => format!("{code} {message}"),
    };
    StoreError::cold(fault, action, key, cut(&what))
}

/// The innermost reason: the outer ones repeat the request.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inside, _)| inside)
}

fn cut(text: &str) -> &str {
    let text = text.trim();
    text.char_indices().nth(WORDS).map_or(text, |(end, _)| text.split_at_checked(end).map_or(text, |(start, _)| start))
}
