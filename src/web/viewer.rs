//! The viewer under `/viewer/`: the files that `scripts/viewer` set up, and the configuration that ties them to us.
//!
//! Only files that were in the folder at start are ever opened, by the name the table has for them. Without the
//! folder there is no viewer, and everything else works.

use crate::app::Call;
use crate::body::ReaderBody;
use crate::conditional;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Most files looked for in the folder.
const FILES_MAX: usize = 10_000;
/// Deepest folder in it.
const DEPTH_MAX: usize = 8;
/// Files of a name that carries a digest of their content.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What the viewer may load: its own files, what it makes itself, nothing from elsewhere.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; \
                      worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                      media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; \
                      frame-src 'self' blob:; object-src 'self' blob:; frame-ancestors 'none'; base-uri 'self'";
/// The configuration of the viewer; `{{base}}` is the path in front of the service.
const APP_CONFIG: &str = include_str!("viewer/app-config.js");
/// What stands behind it where a patient looks at images of their own.
const FOR_PATIENT: &str = include_str!("viewer/patient.js");

/// One file and the forms it lies in.
#[derive(Debug, Clone)]
struct Entry {
    path: PathBuf,
    etag: String,
    length: u64,
    brotli: Option<u64>,
    gzip: Option<u64>,
}

/// The files of the viewer.
#[derive(Debug)]
pub(crate) struct Viewer {
    files: BTreeMap<String, Entry>,
    /// The page, with `{{base}}` for the path in front of the service.
    page: String,
}

impl Viewer {
    /// Looks the folder through once; none, with a word in the log, where it holds no viewer.
    pub(crate) fn open(folder: &Path) -> Option<Self> {
        let mut files = BTreeMap::new();
        let page = fs::read_to_string(folder.join("index.html"));
        match page.and_then(|page| gather(folder, "", 0, &mut files).map(|()| page)) {
            Ok(page) => Some(Self { files: joined(files), page }),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "there is no viewer in the folder");
                None
            }
        }
    }
}

fn gather(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, Entry>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH_MAX {
            gather(&entry.path(), &format!("{prefix}{name}/"), depth + 1, files)?;
        } else if kind.is_file() && files.len() < FILES_MAX {
            let about = entry.metadata()?;
            let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let etag = format!("\"{:x}-{:x}\"", about.len(), changed.map_or(0, |since| since.as_nanos()));
            let entry = Entry { path: entry.path(), etag, length: about.len(), brotli: None, gzip: None };
            files.insert(format!("{prefix}{name}"), entry);
        }
    }
    Ok(())
}

/// Compressed forms become part of the file they belong to.
fn joined(mut files: BTreeMap<String, Entry>) -> BTreeMap<String, Entry> {
    let lengths: Vec<(String, u64)> = files.iter().map(|(name, entry)| (name.clone(), entry.length)).collect();
    for (name, length) in lengths {
        for (ending, brotli) in [(".br", true), (".gz", false)] {
            let Some(plain) = name.strip_suffix(ending).and_then(|plain| files.get_mut(plain)) else { continue };
            if brotli {
                plain.brotli = Some(length);
            } else {
                plain.gzip = Some(length);
            }
            files.remove(&name);
        }
    }
    files
}

/// Answers a path of the viewer.
pub(crate) fn answer(endpoint: Endpoint, call: &Call) -> Result<Response, Problem> {
    let Some(viewer) = &call.app.viewer else {
        let detail = "no viewer is set up here: run scripts/viewer and name its folder in http.viewer";
        return Err(Problem::new(Kind::NotFound, detail).at("path"));
    };
    if endpoint == Endpoint::Viewer {
        let to = HeaderValue::from_str(&format!("{}/viewer/", call.base_path()));
        let to = to.map_err(|_| Problem::new(Kind::Internal, "the path of the viewer cannot be written"))?;
        return Ok((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response());
    }
    let name = call.parameter("file");
    let mut response = match viewer.files.get(name) {
        _ if name == "app-config.js" => config(call),
        Some(entry) if name != "index.html" => file(name, entry, &call.parts.headers)?,
        // A page of the viewer's own routes; a missing file is no page.
        None if name.rsplit('/').next().is_some_and(is_file_name) => {
            return Err(Problem::new(Kind::NotFound, "the viewer has no such file").at("path"));
        }
        _ => text("text/html", viewer.page.replace("{{base}}", &call.base_path())),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The configuration; under a patient's link it also marks every page.
fn config(call: &Call) -> Response {
    let session = call.app.launch.session_of(&call.parts.method, &call.parts.headers);
    let mark = if session.is_some_and(|session| session.shared().is_some()) { FOR_PATIENT } else { "" };
    text("text/javascript", APP_CONFIG.replace("{{base}}", &call.base_path()) + mark)
}

fn is_file_name(name: &str) -> bool {
    let endings = ["js", "css", "json", "wasm", "map", "png", "svg", "ico", "woff2", "html", "jsonc", "webapp", "xml"];
    name.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
}

fn text(media: &str, text: String) -> Response {
    let mut response = text.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("{media}; charset=utf-8")) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

fn file(name: &str, entry: &Entry, asked: &HeaderMap) -> Result<Response, Problem> {
    let (ending, coding, length) = form(entry, asked);
    let etag = match coding {
        None => entry.etag.clone(),
        Some(coding) => format!("{}-{coding}\"", entry.etag.trim_end_matches('"')),
    };
    if conditional::is_known(asked, &etag) {
        return Ok(conditional::not_modified(&etag));
    }
    let mut path = entry.path.clone().into_os_string();
    path.push(ending);
    let opened = File::open(&path).map_err(|error| {
        tracing::error!(%error, name, "a file of the viewer cannot be read");
        Problem::new(Kind::Internal, "a file of the viewer cannot be read")
    })?;
    let mut response = Response::new(Body::new(ReaderBody::new(Box::new(opened), Some(length))));
    conditional::tag(&mut response, &etag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(name)));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if is_named_by_content(name) {
        headers.insert(header::CACHE_CONTROL, IMMUTABLE);
    }
    Ok(response)
}

/// The smallest form the client takes: ending of its file name, content coding, bytes.
fn form(entry: &Entry, asked: &HeaderMap) -> (&'static str, Option<&'static str>, u64) {
    let texts = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let taken: Vec<String> = texts
        .flat_map(|text| text.split(','))
        .filter(|one| !one.replace(' ', "").ends_with(";q=0"))
        .map(|one| one.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .collect();
    let takes = |name: &str| taken.iter().any(|one| one == name);
    match (entry.brotli.filter(|_| takes("br")), entry.gzip.filter(|_| takes("gzip"))) {
        (Some(length), _) => (".br", Some("br"), length),
        (None, Some(length)) => (".gz", Some("gzip"), length),
        (None, None) => ("", None, entry.length),
    }
}

/// Whether a name holds a digest of the content: sixteen hexadecimal digits between dots, or before the ending.
fn is_named_by_content(name: &str) -> bool {
    let digits = |piece: &str| piece.len() == 16 && piece.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.rsplit('/').next().is_some_and(|name| name.split('.').any(digits))
}

fn media(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" | "map" | "webapp" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "xml" => "application/xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_read_once_and_compressed_forms_belong_to_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["index.html", "a.0123456789abcdef.js", "a.0123456789abcdef.js.br", "a.0123456789abcdef.js.gz"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        let viewer = Viewer::open(folder.path()).expect("a viewer");
        assert_eq!(viewer.files.keys().collect::<Vec<_>>(), ["a.0123456789abcdef.js", "index.html"]);
        let entry = viewer.files.get("a.0123456789abcdef.js").expect("there");
        let asked = |text: &str| HeaderMap::from_iter([(header::ACCEPT_ENCODING, text.parse().expect("a value"))]);
        assert_eq!(form(entry, &asked("gzip, deflate, br")).1, Some("br"));
        assert_eq!(form(entry, &asked("gzip, br;q=0")).1, Some("gzip"));
        assert_eq!(form(entry, &HeaderMap::new()).1, None);
        assert!(is_named_by_content("x/a.0123456789abcdef.js") && !is_named_by_content("app.bundle.css"));
        assert!(Viewer::open(&folder.path().join("none")).is_none());
    }
}
