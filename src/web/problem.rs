//! Problem bodies (RFC 9457): every refusal says what is wrong, where, and what to do about it.
//!
//! One table gives each kind its status, title and advice; nothing else in the crate chooses a status for an error.
//! Details never hold patient data: only names of parameters, UIDs, limits and media types.

use archive::charts::ChartError;
use archive::export::ExportError;
use archive::render::PictureError;
use archive::ups::UpsError;
use archive::{DecodeError, FindError, IngestError, RegistryError, RetrieveError};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $slug:literal $status:ident $title:literal $advice:literal;)*) => {
        /// What kind of refusal it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// Every kind, for documentation and tests.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            fn row(self) -> (&'static str, StatusCode, &'static str, &'static str) {
                match self { $(Kind::$kind => ($slug, StatusCode::$status, $title, $advice),)* }
            }
        }
    };
}

kinds! {
    /// A UID that is taken.
    InUse "in-use" CONFLICT "The UID is in use" "Send the request again under another UID.";
    /// A parameter, path segment or header that cannot be read.
    BadRequest "bad-request" BAD_REQUEST "The request cannot be understood" "Correct the named part and send the request again.";
    /// A path segment that is no UID.
    BadUid "bad-uid" BAD_REQUEST "A path segment is not a UID" "Use digits and single dots, at most 64 characters.";
    /// A multipart body that does not follow its own boundary.
    BadMultipart "bad-multipart" BAD_REQUEST "The multipart body is not framed as RFC 2046 says" "Check boundary, part headers and the closing boundary.";
    /// No valid token.
    Unauthorized "unauthorized" UNAUTHORIZED "A valid bearer token is needed" "Send 'Authorization: Bearer TOKEN' with a token that has not expired.";
    /// A token without the right.
    Forbidden "forbidden" FORBIDDEN "The token does not allow this" "Ask the operator for a token with this facility and role.";
    /// Nothing there, or not for this caller.
    NotFound "not-found" NOT_FOUND "There is no such resource" "Check the UIDs and the facility; /api/openapi.json lists every path.";
    /// The path exists under another method.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here" "Use a method of the Allow header.";
    /// No acceptable representation.
    NotAcceptable "not-acceptable" NOT_ACCEPTABLE "No representation fits the Accept header" "Accept one of the media types the detail names.";
    /// The client stopped sending.
    Timeout "timeout" REQUEST_TIMEOUT "The request did not arrive in time" "Send the request again.";
    /// Instances were refused, none was stored.
    Conflict "conflict" CONFLICT "None of the instances was stored" "See the failure reason of each instance.";
    /// The state of a procedure step does not allow it.
    StepConflict "step-conflict" CONFLICT "The procedure step does not allow this now" "Read its state; who has taken it needs the Transaction UID it was taken with.";
    /// It is there already, or its state does not allow it.
    ChartConflict "chart-conflict" CONFLICT "What is there does not allow this" "Read it as it stands, then decide.";
    /// Changed meanwhile, so that a condition of the request does not hold.
    Precondition "precondition" PRECONDITION_FAILED "It was changed meanwhile" "Read it as it stands, then send the change with its new entity tag.";
    /// Understood, and cannot be taken.
    Unprocessable "unprocessable" UNPROCESSABLE_ENTITY "The archive cannot take what was sent" "Correct what the detail names and send it again.";
    /// Understood, and too much at once.
    TooCostly "too-costly" UNPROCESSABLE_ENTITY "The question asks for too much at once" "Name less in one request, or ask for smaller pages.";
    /// A launch link that does not open.
    LaunchRefused "launch-refused" FORBIDDEN "The link does not open" "Open it again from the hospital's own system.";
    /// A body beyond the limit.
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The body is too large" "Send a smaller body.";
    /// A range behind the end of the body.
    RangeNotSatisfiable "range-not-satisfiable" RANGE_NOT_SATISFIABLE "The range lies behind the end" "Ask for a range inside the length the Content-Range header names.";
    /// A request target beyond the limit.
    UriTooLong "uri-too-long" URI_TOO_LONG "The request target is too long" "Ask for less in one request.";
    /// A body type the service does not take.
    UnsupportedMedia "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The body has an unsupported media type" "Send multipart/related; type=\"application/dicom\".";
    /// Stored bytes fail their check.
    Damaged "damaged" INTERNAL_SERVER_ERROR "Stored bytes fail their checksum" "Tell the operator: 'khoanh verify' names every damaged instance.";
    /// A fault of the server.
    Internal "internal" INTERNAL_SERVER_ERROR "The server failed" "Try again; if it stays, tell the operator the time of the request.";
    /// Not now.
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The archive does not take this request now" "Try again later.";
    /// A named limit is reached.
    Busy "busy" SERVICE_UNAVAILABLE "A limit of the archive is reached" "Try again in a few seconds.";
    /// The disk is nearly full.
    OutOfSpace "out-of-space" INSUFFICIENT_STORAGE "The archive has no space left" "Keep the images; the operator must free or add space.";
}

impl Kind {
    /// HTTP status of the kind.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// Name of the kind inside its `type` URI.
    pub fn slug(self) -> &'static str {
        self.row().0
    }

    /// Short text, the same for every occurrence.
    pub fn title(self) -> &'static str {
        self.row().2
    }
}

/// A refusal on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Kind.
    pub kind: Kind,
    /// What happened this time.
    pub detail: String,
    /// Which part of the request: a parameter, a header, a path segment; empty when the whole request is meant.
    pub place: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with its detail.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), place: String::new(), headers: Vec::new() }
    }

    /// Names the part of the request that is at fault.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A 401 with the challenge of RFC 6750.
    pub fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        Self::new(Kind::Unauthorized, detail).header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A background task that died.
    pub fn task(error: tokio::task::JoinError) -> Self {
        tracing::error!(panicked = error.is_panic(), "a request's worker failed");
        Self::new(Kind::Internal, "the worker of this request failed")
    }

    /// The body.
    pub fn body(&self) -> serde_json::Value {
        let (slug, status, title, advice) = self.kind.row();
        let mut body = json!({
            "type": format!("urn:khoanh:problem:{slug}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "advice": advice,
        });
        if let (Some(object), false) = (body.as_object_mut(), self.place.is_empty()) {
            object.insert("where".into(), self.place.clone().into());
        }
        body
    }
}

impl Problem {
    /// The answer, with a body of another form than RFC 9457.
    pub(crate) fn respond(self, media: &'static str, body: String) -> Response {
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if matches!(self.kind, Kind::Busy | Kind::Unavailable) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.body().to_string();
        self.respond("application/problem+json", body)
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Unavailable { what } => Self::new(Kind::Unavailable, what),
            FindError::BadQuery { what } => Self::new(Kind::BadRequest, what).at("query"),
        }
    }
}

impl From<RetrieveError> for Problem {
    fn from(error: RetrieveError) -> Self {
        match error {
            RetrieveError::NotFound => Self::new(Kind::NotFound, "the archive holds nothing under these UIDs for you"),
            RetrieveError::Damaged { what } => Self::new(Kind::Damaged, what),
            RetrieveError::Unavailable { what } => Self::new(Kind::Unavailable, what),
            RetrieveError::Restoring { after } => {
                let detail = "these objects lie in an archive class and are being restored";
                Self::new(Kind::Unavailable, detail).header(header::RETRY_AFTER, HeaderValue::from(after))
            }
        }
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        let detail = error.to_string();
        match error {
            PictureError::Retrieve(error) => error.into(),
            PictureError::NoPixels | PictureError::NoFrame { .. } => Self::new(Kind::NotFound, detail).at("path"),
            PictureError::Unsupported { .. } | PictureError::TooLarge { .. } => Self::new(Kind::NotAcceptable, detail),
            // Nobody reads it.
            PictureError::Gone => Self::new(Kind::Unavailable, detail),
            PictureError::Region { .. } => Self::new(Kind::BadRequest, detail).at("query parameter viewport"),
        }
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        PictureError::from(error).into()
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Retrieve(error) => error.into(),
            ExportError::Refused { what } => Self::new(Kind::BadRequest, what),
            ExportError::Io { source, .. } => Self::new(Kind::Damaged, source.to_string()),
            ExportError::Interrupted => Self::new(Kind::Unavailable, "the archive is stopping"),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let detail = error.to_string();
        match error {
            IngestError::CannotUnderstand { .. } | IngestError::MissingIdentity { .. } => {
                Self::new(Kind::BadRequest, detail)
            }
            IngestError::Mismatch { .. } => Self::new(Kind::Conflict, detail),
            IngestError::OutOfSpace => Self::new(Kind::OutOfSpace, detail),
            IngestError::Busy => Self::new(Kind::Busy, detail),
            IngestError::Unavailable { .. } => Self::new(Kind::Unavailable, detail),
            IngestError::Forbidden => Self::new(Kind::Forbidden, detail),
        }
    }
}

impl From<UpsError> for Problem {
    fn from(error: UpsError) -> Self {
        let detail = error.to_string();
        match error {
            UpsError::Missing(_)
            | UpsError::Empty(_)
            | UpsError::Invalid(_)
            | UpsError::NotScheduled
            | UpsError::NotAppropriate => Self::new(Kind::BadRequest, detail),
            UpsError::Receiver => Self::new(Kind::BadRequest, detail).at("path segment aetitle"),
            UpsError::Unknown => Self::new(Kind::NotFound, detail).at("path segment workitem"),
            UpsError::Duplicate
            | UpsError::Ended
            | UpsError::Transaction
            | UpsError::InProgress
            | UpsError::OnlyCreated
            | UpsError::FinalState(_)
            | UpsError::NotInProgress
            | UpsError::Completed
            | UpsError::NobodyListens => Self::new(Kind::StepConflict, detail),
            UpsError::Limit(_) => Self::new(Kind::TooLarge, detail),
            UpsError::Unavailable(_) => Self::new(Kind::Unavailable, detail),
        }
    }
}

impl From<ChartError> for Problem {
    fn from(error: ChartError) -> Self {
        let detail = error.to_string();
        match error {
            ChartError::Invalid(_) => Self::new(Kind::Unprocessable, detail),
            ChartError::Unknown(_) => Self::new(Kind::NotFound, detail),
            ChartError::Conflict(_) | ChartError::Waits(_) => Self::new(Kind::ChartConflict, detail),
            ChartError::Limit(_) => Self::new(Kind::Busy, detail),
            ChartError::Unavailable(_) => Self::new(Kind::Unavailable, detail),
        }
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Forbidden => Self::new(Kind::Forbidden, error.to_string()),
            RegistryError::Invalid { what } => Self::new(Kind::BadRequest, what).at("body"),
            RegistryError::Ingest(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_an_error_with_its_own_slug_and_advice() {
        let mut slugs = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            let (slug, status, title, advice) = kind.row();
            assert!(slugs.insert(slug), "{slug} appears twice");
            assert!(status.is_client_error() || status.is_server_error(), "{slug}");
            assert!(!title.is_empty() && advice.ends_with('.'), "{slug}");
        }
    }

    #[test]
    fn a_body_names_what_where_and_what_to_do() {
        let body = Problem::new(Kind::BadRequest, "limit is no number").at("query parameter limit").body();
        assert_eq!(body.get("status").and_then(|v| v.as_u64()), Some(400));
        assert_eq!(body.get("where").and_then(|v| v.as_str()), Some("query parameter limit"));
        assert!(body.get("advice").and_then(|v| v.as_str()).is_some_and(|a| a.contains("Correct")));
        let response = Problem::unauthorized("no token", "Bearer realm=\"khoanh\"").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }

    #[test]
    fn what_charts_refuse_has_one_status_each() {
        for (error, status) in [
            (ChartError::Invalid("x".into()), 422),
            (ChartError::Unknown("order"), 404),
            (ChartError::Conflict("x".into()), 409),
            (ChartError::Waits("x".into()), 409),
            (ChartError::Limit("x".into()), 503),
            (ChartError::Unavailable("x".into()), 503),
        ] {
            assert_eq!(Problem::from(error.clone()).kind.status().as_u16(), status, "{error:?}");
        }
    }

    #[test]
    fn a_full_disk_is_507_and_a_drain_is_503() {
        assert_eq!(Problem::from(IngestError::OutOfSpace).kind.status().as_u16(), 507);
        assert_eq!(Problem::from(IngestError::Busy).kind.status().as_u16(), 503);
        let drain = Problem::from(IngestError::Unavailable { what: "stopping".into() });
        assert_eq!(drain.into_response().headers().get(header::RETRY_AFTER), Some(&HeaderValue::from_static("5")));
    }
}
