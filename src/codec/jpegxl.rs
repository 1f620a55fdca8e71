//! JPEG XL frames, by jxl-oxide.

use crate::cells::{self, Cells, Values};
use crate::error::CodecError;
use crate::limits::Checked;
use dataset::pixels::{DecodedFrame, Photometric};
use jxl_oxide::{AllocTracker, JxlImage};

/// Memory of the decoder for each sample, in bytes: it works on several copies of 32 bits.
const BYTES_A_SAMPLE: usize = 64;
/// The same whatever the image.
const BYTES_BASE: usize = 64 << 20;

/// Decodes a frame.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let format = checked.format;
    let memory = checked.samples.saturating_mul(BYTES_A_SAMPLE).saturating_add(BYTES_BASE);
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| CodecError::corrupt(format!("{error}"));
    let builder = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(memory));
    let image = builder.read(bytes).map_err(wrong)?;
    let precision = image.image_header().metadata.bit_depth.bits_per_sample();
    let channels = u32::try_from(image.pixel_format().channels()).unwrap_or(u32::MAX);
    cells::agree(format, image.height(), image.width(), channels)?;
    cells::fits(format, precision)?;
    if precision > 16 {
        return Err(CodecError::unsupported("JPEG XL of more than 16 bits"));
    }
    let render = image.render_frame(0).map_err(wrong)?;
    let mut stream = render.stream();
    let mut scaled = vec![0u16; checked.samples];
    if stream.write_to_buffer(&mut scaled) != checked.samples {
        return Err(CodecError::corrupt("the image ends early"));
    }
    // Samples come scaled to the whole of 16 bits, rounded: scaled back they are exact again.
    let top = crate::cells::mask(precision);
    let values = scaled.into_iter().map(|value| (u64::from(value) * u64::from(top) + 32_767) / 65_535);
    let values = values.map(|value| u16::try_from(value).unwrap_or(u16::MAX)).collect();
    let photometric = match format.photometric {
        single if single.is_single() => single,
        _ => Photometric::Rgb,
    };
    cells::frame(checked, Cells { values: Values::Sixteen(values), precision, signed: false }, photometric)
}
