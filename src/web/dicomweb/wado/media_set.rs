//! A DICOM file-set for a disc or a stick, as a ZIP file that is made while it is sent (PS3.10, PS3.11).

use super::{encoding, not_acceptable};
use crate::app::{App, Call};
use crate::body::ReaderBody;
use crate::dicomweb::{uid, warn};
use crate::problem::Problem;
use archive::InstanceRow;
use archive::export::SetFile;
use archive::zip::Zip;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use std::io::{self, Read};
use std::sync::Arc;

/// Answers with the file-set of a study, and of those the parameter `studies` names.
pub(crate) async fn retrieve(call: Call) -> Result<Response, Problem> {
    if !call.accepts()?.iter().any(|range| range.covers("application", "zip")) {
        return Err(not_acceptable("a file-set is answered as application/zip"));
    }
    let mut studies = vec![call.uid("study")?];
    let more = call.query_value("studies").unwrap_or_default();
    for text in more.split(',').filter(|text| !text.is_empty()) {
        let study = uid(text, "studies")?;
        if !studies.contains(&study) {
            studies.push(study);
        }
    }
    let name = studies.first().map(ToString::to_string).unwrap_or_default();
    let (caller, scope) = (call.caller.clone(), call.scope);
    let set = call
        .blocking(move |archive| {
            let set = archive.file_set(&caller, scope, &studies)?;
            let rows: Vec<InstanceRow> = set.files.iter().map(|file| file.row.clone()).collect();
            archive.reach_files(&rows)?;
            Ok(set)
        })
        .await?;
    call.seen.rows(set.files.iter().map(|file| &file.row));
    let permit = match set.files.iter().any(SetFile::is_reencoded) {
        true => Some(Arc::new(encoding::permit(&call.app).await?)),
        false => None,
    };
    let mut zip = Zip::new();
    for file in set.files {
        let (app, permit) = (Arc::clone(&call.app), permit.clone());
        zip.add(&file.path.join("/"), file.length(), move || {
            open(&app, file).map(|source| encoding::held(source, permit))
        });
    }
    let directory = set.dicomdir;
    zip.add("DICOMDIR", u64::try_from(directory.len()).ok(), move || Ok(Box::new(io::Cursor::new(directory))));
    let length = zip.length();
    let mut response = Response::new(Body::new(ReaderBody::new(Box::new(zip), length)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.zip\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    warn(&mut response, &set.notes);
    Ok(response)
}

fn open(app: &Arc<App>, file: SetFile) -> io::Result<Box<dyn Read + Send>> {
    if file.length().is_some() {
        return app.archive.given_file(&file.row).map_err(io::Error::other);
    }
    let app = Arc::clone(app);
    encoding::written_by(move |out| app.archive.write_set_file(&file, out))
}
