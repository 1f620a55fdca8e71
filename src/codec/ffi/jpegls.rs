//! CharLS: JPEG-LS both ways, 2 to 16 bits.

use charls_sys::{
    charls_frame_info, charls_get_error_message, charls_interleave_mode, charls_jpegls_decoder,
    charls_jpegls_decoder_create, charls_jpegls_decoder_decode_to_buffer, charls_jpegls_decoder_destroy,
    charls_jpegls_decoder_get_destination_size, charls_jpegls_decoder_get_frame_info,
    charls_jpegls_decoder_read_header, charls_jpegls_decoder_set_source_buffer, charls_jpegls_encoder,
    charls_jpegls_encoder_create, charls_jpegls_encoder_destroy, charls_jpegls_encoder_encode_from_buffer,
    charls_jpegls_encoder_get_bytes_written, charls_jpegls_encoder_set_destination_buffer,
    charls_jpegls_encoder_set_frame_info, charls_jpegls_encoder_set_interleave_mode,
    charls_jpegls_encoder_set_near_lossless, charls_jpegls_errc,
};
use std::ffi::CStr;

unsafe extern "C" {
    // Not among the generated bindings.
    fn charls_jpegls_decoder_get_interleave_mode(
        decoder: *const charls_jpegls_decoder,
        mode: *mut charls_interleave_mode,
    ) -> charls_jpegls_errc;
}

/// What the header of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) components: u32,
    pub(crate) precision: u32,
    /// One component after the other instead of samples of a pixel together.
    pub(crate) planar: bool,
}

fn check(code: charls_jpegls_errc) -> Result<(), String> {
    if code == charls_sys::charls_jpegls_errc_success {
        return Ok(());
    }
    // SAFETY: CharLS answers every code with a constant text that ends in a zero byte.
    let text = unsafe { CStr::from_ptr(charls_get_error_message(code)) };
    Err(text.to_string_lossy().into_owned())
}

/// A decoder over bytes that it borrows.
pub(crate) struct Decoder<'a> {
    raw: *mut charls_jpegls_decoder,
    bytes: &'a [u8],
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `charls_jpegls_decoder_create`, destroyed once.
        unsafe { charls_jpegls_decoder_destroy(self.raw) }
    }
}

impl<'a> Decoder<'a> {
    /// Reads the header.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<(Self, Header), String> {
        // SAFETY: takes nothing; null means that there was no memory.
        let raw = unsafe { charls_jpegls_decoder_create() };
        if raw.is_null() {
            return Err("no memory".into());
        }
        let decoder = Self { raw, bytes };
        let mut info = charls_frame_info { width: 0, height: 0, bits_per_sample: 0, component_count: 0 };
        let mut mode = charls_interleave_mode::default();
        // SAFETY: the decoder lives, and the source outlives it by the lifetime of `Self`; the outputs are owned.
        unsafe {
            check(charls_jpegls_decoder_set_source_buffer(raw, decoder.bytes.as_ptr().cast(), decoder.bytes.len()))?;
            check(charls_jpegls_decoder_read_header(raw))?;
            check(charls_jpegls_decoder_get_frame_info(raw, &raw mut info))?;
            check(charls_jpegls_decoder_get_interleave_mode(raw, &raw mut mode))?;
        }
        let components = u32::try_from(info.component_count).map_err(|_| "components below zero")?;
        let precision = u32::try_from(info.bits_per_sample).map_err(|_| "bits below zero")?;
        let planar = components > 1 && mode == charls_sys::charls_interleave_mode_none;
        Ok((decoder, Header { rows: info.height, columns: info.width, components, precision, planar }))
    }

    /// Decodes into bytes: one a value up to 8 bits, two in the machine's order beyond; `len` of them.
    pub(crate) fn decode(self, len: usize) -> Result<Vec<u8>, String> {
        let (mut needed, mut out) = (0usize, vec![0u8; len]);
        // SAFETY: the decoder has read its header; it writes at most the length it is told.
        unsafe {
            check(charls_jpegls_decoder_get_destination_size(self.raw, 0, &raw mut needed))?;
            if needed != len {
                return Err(format!("{needed} bytes of samples instead of {len}"));
            }
            check(charls_jpegls_decoder_decode_to_buffer(self.raw, out.as_mut_ptr().cast(), len, 0))?;
        }
        Ok(out)
    }
}

struct Encoder(*mut charls_jpegls_encoder);

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `charls_jpegls_encoder_create`, destroyed once.
        unsafe { charls_jpegls_encoder_destroy(self.0) }
    }
}

/// Encodes samples of a pixel together, one byte a value up to 8 bits, two in the machine's order beyond; values may
/// differ by `near`, not at all where that is 0.
pub(crate) fn encode(bytes: &[u8], header: &Header, near: u8) -> Result<Vec<u8>, String> {
    let number = |value: u32| i32::try_from(value).map_err(|_| "an image beyond the limits of JPEG-LS".to_owned());
    let info = charls_frame_info {
        width: header.columns,
        height: header.rows,
        bits_per_sample: number(header.precision)?,
        component_count: number(header.components)?,
    };
    // SAFETY: takes nothing; null means that there was no memory.
    let encoder = Encoder(unsafe { charls_jpegls_encoder_create() });
    if encoder.0.is_null() {
        return Err("no memory".into());
    }
    // Noise takes more room than its samples: half as much again, and a little for the headers.
    let mut out = vec![0u8; bytes.len().saturating_add(bytes.len() / 2).saturating_add(4096)];
    let mut written = 0usize;
    // SAFETY: the encoder lives; the destination outlives it; sizes are those of the slices, and CharLS checks that
    // the source holds what the frame information says.
    unsafe {
        check(charls_jpegls_encoder_set_frame_info(encoder.0, &raw const info))?;
        check(charls_jpegls_encoder_set_near_lossless(encoder.0, i32::from(near)))?;
        if header.components > 1 {
            let mode = charls_sys::charls_interleave_mode_sample;
            check(charls_jpegls_encoder_set_interleave_mode(encoder.0, mode))?;
        }
        check(charls_jpegls_encoder_set_destination_buffer(encoder.0, out.as_mut_ptr().cast(), out.len()))?;
        check(charls_jpegls_encoder_encode_from_buffer(encoder.0, bytes.as_ptr().cast(), bytes.len(), 0))?;
        check(charls_jpegls_encoder_get_bytes_written(encoder.0, &raw mut written))?;
    }
    drop(encoder);
    out.truncate(written);
    Ok(out)
}
