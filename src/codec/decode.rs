//! One frame in any syntax that is read, to stored values.

use crate::error::CodecError;
use crate::limits::Limits;
use crate::syntax::{Coder, coder};
use crate::{deflated, jpeg, jpeg2000, jpegls, jpegxl, native, rle};
use dataset::pixels::{DecodedFrame, PixelFormat};

/// Decodes one frame: its fragments put together, or its native bytes in little endian order.
///
/// Output is bounded by what the attributes say before a codestream is looked at; a codestream whose own header says
/// otherwise is refused, never cut.
///
/// # Errors
/// What is not supported, contradicts itself, is damaged or too large.
pub fn decode(
    transfer_syntax: &str,
    format: &PixelFormat,
    bytes: &[u8],
    limits: &Limits,
) -> Result<DecodedFrame, CodecError> {
    let Some(coder) = coder(transfer_syntax) else {
        return Err(CodecError::unsupported(format!("transfer syntax {transfer_syntax}")));
    };
    let checked = limits.check(format)?;
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if coder != Coder::Native && len > limits.compressed_bytes {
        let most = limits.compressed_bytes;
        return Err(CodecError::Limit(format!("a compressed frame of {len} bytes, at most {most}")));
    }
    match coder {
        Coder::Native => native::decode(&checked, bytes),
        Coder::Rle => rle::decode(&checked, bytes),
        Coder::Deflated => deflated::decode(&checked, bytes),
        Coder::Jpeg => jpeg::decode(&checked, bytes),
        Coder::JpegLs => jpegls::decode(&checked, bytes),
        Coder::Jpeg2000 => jpeg2000::decode(&checked, bytes),
        Coder::HtJpeg2000 => jpeg2000::decode_high_throughput(&checked, bytes),
        Coder::JpegXl => jpegxl::decode(&checked, bytes),
    }
}
