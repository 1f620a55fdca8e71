//! How large a frame may be, and whether what the attributes say of it holds together.

use crate::error::CodecError;
use dataset::pixels::PixelFormat;

/// Bounds of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a decoded frame.
    pub frame_bytes: u64,
    /// Most bytes of a compressed frame.
    pub compressed_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_bytes: 512 << 20, compressed_bytes: 512 << 20 }
    }
}

/// A description that was checked, with the number of samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'a> {
    pub(crate) format: &'a PixelFormat,
    /// `rows × columns`.
    pub(crate) pixels: usize,
    /// `pixels × samples`.
    pub(crate) samples: usize,
}

impl Limits {
    /// Checks a description against itself and the limits.
    pub(crate) fn check<'a>(&self, format: &'a PixelFormat) -> Result<Checked<'a>, CodecError> {
        let pixels = u64::from(format.rows) * u64::from(format.columns);
        if pixels == 0 {
            return Err(CodecError::unsupported("Rows or Columns is zero or missing"));
        }
        if !(1..=4).contains(&format.samples) || format.samples == 2 {
            return Err(CodecError::unsupported(format!("{} samples per pixel", format.samples)));
        }
        if !(1..=32).contains(&format.allocated) {
            return Err(CodecError::unsupported(format!("Bits Allocated {}", format.allocated)));
        }
        let fits = (1..=format.allocated).contains(&format.stored)
            && format.high < format.allocated
            && format.high + 1 >= format.stored;
        if !fits {
            return Err(CodecError::unsupported(format!(
                "Bits Stored {} and High Bit {} in {} bits",
                format.stored, format.high, format.allocated
            )));
        }
        if format.photometric.is_single() != (format.samples == 1) {
            return Err(CodecError::unsupported(format!("{} with {} samples", format.photometric, format.samples)));
        }
        let samples = pixels * u64::from(format.samples);
        let bytes = samples * u64::from(format.allocated.div_ceil(8));
        if bytes > self.frame_bytes {
            return Err(CodecError::Limit(format!("a frame of {bytes} bytes, at most {}", self.frame_bytes)));
        }
        let count = |value: u64| usize::try_from(value).map_err(|_| CodecError::Limit("a frame beyond memory".into()));
        Ok(Checked { format, pixels: count(pixels)?, samples: count(samples)? })
    }
}
