//! Small data sets that are kept as DICOM JSON (PS3.18 annex F): read from a peer's bytes, written for it.
//!
//! Reading goes through the same bounded walk as every object, under far smaller bounds; binary values are kept inline.
//! Text becomes UTF-8, and is written as that. Deliberately not here: what the attributes mean.

use crate::compose::{ComposeError, compose};
use crate::error::ScanError;
use crate::json::{Options, Parts, instance_json};
use crate::limits::Limits;
use crate::syntax::{EXPLICIT_LE, IMPLICIT_LE, Syntax};
use crate::transcode::{TranscodeError, implicit_le};
use crate::walk::{Sink, Walker};
use model::Uid;
use model::facility::CharsetHint;
use serde_json::{Map, Value};

/// Why bytes are no document, or a document no bytes. The texts hold no values.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are no data set, or exceed a bound.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The document cannot be written.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The document cannot be coded.
    #[error(transparent)]
    Transcode(#[from] TranscodeError),
    /// The syntax is no UID, or what was written cannot be read: a fault of ours.
    #[error("the data set cannot be kept as JSON")]
    Json,
}

/// Takes everything: the walk alone is of interest.
struct Nothing;

impl Sink for Nothing {}

/// Reads an uncompressed data set. `hint` is how text without a right character set is read.
///
/// # Errors
/// Where the bytes are no data set in this transfer syntax or exceed a bound.
pub fn read(bytes: &[u8], transfer_syntax: &str, hint: CharsetHint) -> Result<Map<String, Value>, DocumentError> {
    read_within(
        bytes,
        transfer_syntax,
        hint,
        Limits { nesting: 16, elements: 50_000, items: 4_096, ..Limits::default() },
    )
}

/// The same under other bounds.
///
/// # Errors
/// As [`read`].
pub fn read_within(
    bytes: &[u8],
    transfer_syntax: &str,
    hint: CharsetHint,
    limits: Limits,
) -> Result<Map<String, Value>, DocumentError> {
    let mut walker = Walker::new(Syntax::of(transfer_syntax).coding, limits);
    walker.feed(bytes, &mut Nothing)?;
    walker.finish(&mut Nothing)?;
    let syntax = Uid::parse(transfer_syntax).map_err(|_| DocumentError::Json)?;
    let options = Options { bulk_over: u64::MAX, hint, ..Options::new("") };
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(2));
    instance_json(&Parts { before: bytes, pixel: None, after: &[] }, &syntax, &options, &mut out)?;
    serde_json::from_slice(&out).map_err(|_| DocumentError::Json)
}

/// Writes a document in Implicit VR Little Endian where that is the syntax, else in Explicit VR Little Endian.
///
/// # Errors
/// What of the document cannot be written, by attribute.
pub fn write(document: &Map<String, Value>, transfer_syntax: &str) -> Result<Vec<u8>, DocumentError> {
    let explicit = compose(document, &|_| None, 0)?;
    if transfer_syntax != IMPLICIT_LE {
        return Ok(explicit);
    }
    let syntax = Uid::parse(EXPLICIT_LE).map_err(|_| DocumentError::Json)?;
    let mut out = Vec::with_capacity(explicit.len());
    implicit_le(&mut explicit.as_slice(), &syntax, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_come_back_in_both_codings_and_cut_ones_are_refused() {
        let document = json!({
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nguyễn^Ánh"}]},
            "00404018": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["X"]}}]},
            "00404021": {"vr": "SQ"},
            "00741230": {"vr": "LO", "Value": ["TRUE"]},
        });
        let document = document.as_object().expect("an object");
        for syntax in [IMPLICIT_LE, EXPLICIT_LE] {
            let bytes = write(document, syntax).expect("written");
            assert_eq!(&read(&bytes, syntax, CharsetHint::Auto).expect("read"), document, "{syntax}");
            for length in 0..bytes.len() {
                let part = bytes.get(..length).unwrap_or_default();
                if let Ok(found) = read(part, syntax, CharsetHint::Auto) {
                    assert!(found.len() < document.len(), "cut at {length}");
                }
            }
        }
    }
}
