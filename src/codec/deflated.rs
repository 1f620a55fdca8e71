//! Deflated Image Frame Compression: the native cells of a frame in one raw deflate stream (PS3.5 section 8.2.16).

use crate::error::CodecError;
use crate::limits::Checked;
use crate::native;
use dataset::pixels::DecodedFrame;
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use std::io::Read;

/// Decodes a frame; never more than the attributes say is inflated.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let needed = native::native_len(checked.format);
    let mut cells = Vec::with_capacity(usize::try_from(needed).unwrap_or(0));
    // One byte of padding may stand behind the cells; a second one shows that there is more than one frame.
    let mut inflated = DeflateDecoder::new(bytes).take(needed.saturating_add(2));
    inflated.read_to_end(&mut cells).map_err(|error| CodecError::corrupt(format!("deflate: {error}")))?;
    let found = u64::try_from(cells.len()).unwrap_or(u64::MAX);
    if found > needed.saturating_add(1) {
        return Err(CodecError::disagrees(format!("more than the {needed} bytes that the attributes say")));
    }
    native::decode(checked, &cells)
}

/// Encodes native cells.
pub(crate) fn encode(cells: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let mut deflated = DeflateEncoder::new(cells, Compression::new(6));
    deflated.read_to_end(&mut out).map_err(|error| CodecError::unsupported(format!("deflate: {error}")))?;
    Ok(out)
}
