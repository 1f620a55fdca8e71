//! The prepared metadata that a pack carries: the series' DICOM JSON, its BulkDataURIs relative to the series.
//!
//! What is served has them below a base that the edge fills in; here one form is made of the other.

use crate::error::RetrieveError;
use crate::metadata::BASE_PLACEHOLDER;
use crate::open::Archive;
use index::{InstanceRow, SeriesKey};
use model::Uid;
use std::sync::Arc;

/// Longest prepared metadata taken into a pack, decoded.
const DOCUMENT_MAX: u64 = 1 << 30;

/// The DICOM JSON of the instances with BulkDataURIs relative to the series.
pub(super) fn document(
    archive: &Arc<Archive>,
    series: &SeriesKey,
    instances: &[InstanceRow],
) -> Result<Vec<u8>, RetrieveError> {
    let row = archive.index().series(series)?;
    let whole =
        row.filter(|row| row.version_fact == 0 && row.instances == u64::try_from(instances.len()).unwrap_or(u64::MAX));
    let coded = match whole {
        Some(row) => archive.series_document(&row)?,
        None => Arc::new(archive.document(instances)?),
    };
    let unread = |error: std::io::Error| RetrieveError::Unavailable { what: format!("prepared metadata: {error}") };
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(coded.as_slice()).map_err(unread)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(decoder, DOCUMENT_MAX), &mut json).map_err(unread)?;
    Ok(replaced(&json, base_of(&series.study.study, &series.series).as_bytes(), b""))
}

/// A relative BulkDataURI of a document in a pack, up to where it goes on with the instance's UID ...
const RELATIVE: &[u8] = b"\"BulkDataURI\":\"instances/";

/// What stands before `instances/` in the BulkDataURIs of a document that is served.
fn base_of(study: &Uid, series: &Uid) -> String {
    format!("{BASE_PLACEHOLDER}/studies/{study}/series/{series}/")
}

/// The document of a pack with its BulkDataURIs as they are kept for serving.
pub(crate) fn with_base(json: &[u8], series: &SeriesKey) -> Vec<u8> {
    let full = format!("\"BulkDataURI\":\"{}instances/", base_of(&series.study.study, &series.series));
    replaced(json, RELATIVE, full.as_bytes())
}

/// The bytes with every occurrence of some replaced by others.
fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, what) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        out.extend_from_slice(by);
        rest = behind.get(what.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_replaced_everywhere_and_nothing_else() {
        assert_eq!(replaced(b"abcabcxab", b"abc", b""), b"xab");
        assert_eq!(replaced(b"abcxab", b"abc", b"abcabc"), b"abcabcxab");
        assert_eq!(replaced(b"", b"abc", b"d"), b"");
    }
}
