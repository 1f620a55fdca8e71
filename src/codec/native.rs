//! Native frames: read by [`dataset::pixels::native`], written here: cells of 1, 8, 16 and 32 bits, little endian, by
//! pixel (PS3.5 section 8, Annex D).

use crate::cells::mask;
use crate::error::CodecError;
use crate::limits::{Checked, Limits};
use dataset::pixels::native::{self, NativeError};
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};

/// Bytes of a native frame of a format, without padding; 1-bit frames rounded up.
pub fn native_len(format: &PixelFormat) -> u64 {
    let samples = u64::from(format.rows) * u64::from(format.columns) * u64::from(format.samples);
    (samples * u64::from(format.allocated)).div_ceil(8)
}

/// Decodes a native frame that starts at a byte.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let mut frame = native::decode(bytes, checked.format, false).map_err(|error| match error {
        NativeError::Format { .. } => CodecError::unsupported(error.to_string()),
        NativeError::Short { .. } => CodecError::corrupt(error.to_string()),
    })?;
    // Not subsampled after all: one colour difference for every pixel is YBR_FULL.
    if frame.photometric == Photometric::YbrFull422 {
        frame.photometric = Photometric::YbrFull;
    }
    Ok(frame)
}

/// Planes one after the other become samples of a pixel together.
pub(crate) fn by_pixel(words: &Words, pixels: usize) -> Words {
    fn of<T: Copy + Default>(planes: &[T], pixels: usize) -> Vec<T> {
        let samples = planes.len() / pixels.max(1);
        let mut out = vec![T::default(); planes.len()];
        for (number, plane) in planes.chunks_exact(pixels.max(1)).enumerate() {
            out.iter_mut().skip(number).step_by(samples.max(1)).zip(plane).for_each(|(to, from)| *to = *from);
        }
        out
    }
    match words {
        Words::Eight(planes) => Words::Eight(of(planes, pixels)),
        Words::Sixteen(planes) => Words::Sixteen(of(planes, pixels)),
        Words::ThirtyTwo(planes) => Words::ThirtyTwo(of(planes, pixels)),
    }
}

/// A decoded frame as native cells of `allocated` bits, little endian, samples of a pixel together, stored bits at
/// the bottom; the bits above are filled with the sign of signed values, with zero else.
///
/// # Errors
/// When the cells are too narrow for the values, or beyond the limits.
pub fn native_bytes(frame: &DecodedFrame, allocated: u8, limits: &Limits) -> Result<Vec<u8>, CodecError> {
    let narrow = || CodecError::unsupported(format!("{} bits in cells of {allocated}", frame.stored));
    if frame.stored > allocated || (allocated == 1) != (frame.stored == 1 && allocated == 1) {
        return Err(narrow());
    }
    let bytes = u64::try_from(frame.words.len()).unwrap_or(u64::MAX).saturating_mul(u64::from(allocated.div_ceil(8)));
    if bytes > limits.frame_bytes {
        return Err(CodecError::Limit(format!("a frame of {bytes} bytes, at most {}", limits.frame_bytes)));
    }
    let sign = 1u32 << (u32::from(frame.stored.clamp(1, 32)) - 1);
    let above = !mask(u32::from(frame.stored));
    let full = |value: u32| if frame.signed && value & sign != 0 { value | above } else { value };
    Ok(match (allocated, &frame.words) {
        (1, Words::Eight(values)) => values.chunks(8).map(packed).collect(),
        (8, Words::Eight(values)) if !frame.signed || frame.stored == 8 => values.clone(),
        (8, Words::Eight(values)) => values.iter().map(|v| full(u32::from(*v)).to_le_bytes()[0]).collect(),
        (16, Words::Eight(values)) => values.iter().flat_map(|v| low(full(u32::from(*v)))).collect(),
        (16, Words::Sixteen(values)) => values.iter().flat_map(|v| low(full(u32::from(*v)))).collect(),
        (32, Words::Eight(values)) => values.iter().flat_map(|v| full(u32::from(*v)).to_le_bytes()).collect(),
        (32, Words::Sixteen(values)) => values.iter().flat_map(|v| full(u32::from(*v)).to_le_bytes()).collect(),
        (32, Words::ThirtyTwo(values)) => values.iter().flat_map(|v| full(*v).to_le_bytes()).collect(),
        _ => return Err(narrow()),
    })
}

fn low(value: u32) -> [u8; 2] {
    let [first, second, ..] = value.to_le_bytes();
    [first, second]
}

/// Up to eight values of one bit in one byte, the first one lowest.
fn packed(values: &[u8]) -> u8 {
    values.iter().zip(0..8).fold(0, |byte, (value, bit)| byte | ((value & 1) << bit))
}
