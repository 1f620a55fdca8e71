//! JPEG-LS frames, both ways.

use crate::cells::{self, Cells, Values};
use crate::error::CodecError;
use crate::ffi::jpegls::{self, Decoder, Header};
use crate::limits::Checked;
use crate::native;
use dataset::pixels::{DecodedFrame, Photometric, Words};

/// Decodes a frame.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    // What is cut off is found out slowly by the library: here by the marker that ends every image.
    // Real fragments are padded with zero or with fill bytes.
    let end = bytes.iter().rposition(|byte| ![0, 0xFF].contains(byte)).map_or(0, |last| last + 1);
    if !bytes.get(..end).is_some_and(|bytes| bytes.ends_with(&[0xFF, 0xD9])) {
        return Err(CodecError::corrupt("the image ends early"));
    }
    let (decoder, header) = Decoder::open(bytes).map_err(CodecError::Corrupt)?;
    cells::agree(checked.format, header.rows, header.columns, header.components)?;
    cells::fits(checked.format, header.precision)?;
    let width = if header.precision <= 8 { 1 } else { 2 };
    let raw = decoder.decode(checked.samples * width).map_err(CodecError::Corrupt)?;
    let words = match width {
        1 => Words::Eight(raw),
        _ => Words::Sixteen(raw.as_chunks().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect()),
    };
    let words = if header.planar { native::by_pixel(&words, checked.pixels) } else { words };
    let values = match words {
        Words::Eight(values) => Values::Eight(values),
        Words::Sixteen(values) => Values::Sixteen(values),
        Words::ThirtyTwo(_) => return Err(CodecError::corrupt("values of more than 16 bits")),
    };
    let photometric = match checked.format.photometric {
        Photometric::YbrFull422 => Photometric::YbrFull,
        other => other,
    };
    cells::frame(checked, Cells { values, precision: header.precision, signed: false }, photometric)
}

/// Encodes stored values, each of which may differ by `near`, losslessly where that is 0; signed ones as their two's
/// complement.
pub(crate) fn encode(frame: &DecodedFrame, near: u8) -> Result<Vec<u8>, CodecError> {
    let ends = near > 0 && frame.signed;
    let held = |value: u16| if ends { inside(value, frame.stored, near) } else { value };
    let bytes = match &frame.words {
        Words::Eight(values) if ends => {
            values.iter().map(|value| u8::try_from(held(u16::from(*value))).unwrap_or(*value)).collect()
        }
        Words::Eight(values) => values.clone(),
        Words::Sixteen(values) => values.iter().flat_map(|value| held(*value).to_ne_bytes()).collect(),
        Words::ThirtyTwo(_) => return Err(CodecError::unsupported("JPEG-LS of more than 16 bits")),
    };
    let header = Header {
        rows: frame.rows,
        columns: frame.columns,
        components: u32::from(frame.samples),
        // The least that JPEG-LS has.
        precision: u32::from(frame.stored.max(2)),
        planar: false,
    };
    jpegls::encode(&bytes, &header, near).map_err(CodecError::Unsupported)
}

/// A signed value of `stored` bits away from the ends of its range: an error of `near` must not turn the largest value
/// into the smallest.
fn inside(value: u16, stored: u8, near: u8) -> u16 {
    let sign = 1u16 << (u32::from(stored.clamp(8, 16)) - 1);
    let near = u16::from(near.min(32));
    if value >= sign { value.max(sign + near) } else { value.min(sign - 1 - near) }
}
