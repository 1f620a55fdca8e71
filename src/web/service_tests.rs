//! The whole service over a real archive: stored by STOW-RS, found by QIDO-RS, retrieved by WADO-RS.

mod accepting;
mod administration;
mod charts;
mod corpus;
mod fhir;
mod fhir_auditing;
mod fhir_subscribing;
mod fhir_writing;
mod launching;
mod lossy;
mod outbox;
mod pictures;
mod reading;
mod ready;
mod reports;
mod resources;
mod retrieving;
mod searching;
mod sharing;
mod sockets;
mod steward;
mod storing;
mod verifying;

use crate::accept;
use crate::app::{App, router};
use crate::auth::Tokens;
use crate::dicomweb::stow::parts::{Event, Splitter};
use crate::options::Options;
use archive::Archive;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use std::path::PathBuf;
use std::sync::Arc;
use tower::ServiceExt;

/// Boundary of the bodies the tests send.
const BOUNDARY: &str = "khoanh-test-boundary";

/// An archive in a folder of its own with the service in front.
struct Service {
    router: Router,
    archive: Arc<Archive>,
    _folder: tempfile::TempDir,
}

/// An answer read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Where the receivers of tests are.
fn here() -> model::Reach {
    model::Reach::default().with_own()
}

fn open_archive() -> (Arc<Archive>, tempfile::TempDir) {
    open_archive_with(|_| {})
}

fn open_archive_with(change: impl FnOnce(&mut archive::Options)) -> (Arc<Archive>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = archive::Options::new(folder.path().join("data"));
    options.segment_bytes = 16 << 20;
    options.reserve_bytes = 1 << 20;
    options.charts.outbox.reach = here();
    change(&mut options);
    (Archive::open(options).expect("the archive opens"), folder)
}

impl Service {
    fn open() -> Self {
        Self::with(Tokens::open(), Options::default())
    }

    fn with(tokens: Tokens, options: Options) -> Self {
        let (archive, folder) = open_archive();
        let router = router(App::new(Arc::clone(&archive), options, tokens));
        Self { router, archive, _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str, accept: &str) -> Answer {
        let mut request = Request::get(path).header(header::HOST, "archive.test");
        if !accept.is_empty() {
            request = request.header(header::ACCEPT, accept);
        }
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    async fn store(&self, path: &str, files: &[&[u8]]) -> Answer {
        let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}");
        self.post(path, &content_type, multipart(files)).await
    }

    /// Stores files of the shared test data, and gives the path of each.
    async fn filled(self, names: &[&str]) -> (Self, Vec<String>) {
        let mut paths = Vec::new();
        for name in names {
            let stored = self.store("/dicom-web/studies", &[&sample(name)]).await;
            assert_eq!(stored.status, StatusCode::OK, "{name}: {:?}", stored.body);
            paths.push(stored.stored_path());
        }
        (self, paths)
    }

    /// Who read what so far, the newest first.
    async fn reads(&self) -> Vec<model::chart::Read> {
        let archive = Arc::clone(&self.archive);
        let found = tokio::task::spawn_blocking(move || {
            archive.charts().write_reads(true).expect("written");
            let (operator, any) = (model::Caller::operator(), archive::charts::ReadFilter::default());
            archive.charts().reads(&operator, &any, None, 1_000).expect("answers").rows
        });
        let read = |row: model::chart::ChartRow| match row.body {
            model::chart::ChartBody::Read(read) => *read,
            other => panic!("{other:?}"),
        };
        found.await.expect("no panic").into_iter().map(read).collect()
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request =
            Request::post(path).header(header::HOST, "archive.test").header(header::CONTENT_TYPE, content_type);
        self.send(request.body(body.into()).expect("a request")).await
    }
}

impl Answer {
    /// The path of the first object that was stored.
    fn stored_path(&self) -> String {
        let url = self.json().pointer("/00081199/Value/0/00081190/Value/0").and_then(|v| v.as_str().map(str::to_owned));
        url.expect("a URL").replace("http://archive.test", "")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    fn content_type(&self) -> &str {
        self.header(header::CONTENT_TYPE)
    }

    /// The parts of a multipart answer: media type and bytes.
    fn parts(&self) -> Vec<(String, Vec<u8>)> {
        let media = accept::content_type(self.content_type()).expect("a media type");
        assert_eq!((media.main.as_str(), media.sub.as_str()), ("multipart", "related"));
        let mut splitter = Splitter::new(media.parameter("boundary").expect("a boundary")).expect("usable");
        splitter.feed(&self.body);
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            match splitter.next_event().expect("well formed") {
                Event::Start(headers) => parts.push((headers.content_type.unwrap_or_default(), Vec::new())),
                Event::Data(data) => parts.last_mut().expect("begun").1.extend_from_slice(&data),
                Event::End => {}
                Event::Closed => return parts,
                Event::Hungry => panic!("the closing boundary is missing"),
            }
        }
    }
}

/// A body with one part per file.
fn multipart(files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(format!("--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// A study of 56001 is corrected to be another patient's.
async fn belongs(archive: &Arc<Archive>, study: &str, number: &str) {
    let correcting = archive::retain::Correcting {
        study: model::retention::StudyRef {
            facility: model::FacilityCode::parse("56001").expect("a code"),
            study: model::Uid::parse(study).expect("a UID"),
            patient: 0,
        },
        set: model::Attributes::from([(model::attribute::key::PATIENT_ID, number.into())]),
        clear: Vec::new(),
        why: model::correction::Why::Correct,
        by: model::retention::Person::parse("Lan").expect("a person"),
        reason: "another patient".into(),
    };
    let archive = Arc::clone(archive);
    let corrected = tokio::task::spawn_blocking(move || archive.correct_study(&correcting)).await;
    corrected.expect("no panic").expect("corrected");
}

fn corpus_folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/dicom");
    std::env::var_os("KHOANH_DICOM").map_or_else(|| PathBuf::from(default), PathBuf::from)
}

/// A file of the shared test data; its absence fails the test.
fn sample(name: &str) -> Vec<u8> {
    let path = corpus_folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; set KHOANH_DICOM", path.display()))
}
