//! OpenJPH through `c/htj2k.cpp`: HTJ2K both ways.

use super::{MESSAGE_LEN, text};

/// What the header of a codestream says, field by field as in `c/htj2k.cpp`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) components: u32,
    pub(crate) precision: u32,
    pub(crate) signed: u32,
    pub(crate) reversible: u32,
    pub(crate) colour_transform: u32,
}

unsafe extern "C" {
    fn khoanh_htj2k_header(input: *const u8, len: usize, found: *mut Header, message: *mut u8) -> i32;
    fn khoanh_htj2k_decode(
        input: *const u8,
        len: usize,
        expected: *const Header,
        out: *mut i32,
        samples: usize,
        message: *mut u8,
    ) -> i32;
    fn khoanh_htj2k_encode(
        input: *const i32,
        image: *const Header,
        decompositions: u32,
        out: *mut *mut u8,
        out_len: *mut usize,
        message: *mut u8,
    ) -> i32;
    fn khoanh_htj2k_free(memory: *mut u8);
}

fn samples(header: &Header) -> Result<usize, String> {
    let parts = [header.rows, header.columns, header.components].into_iter();
    let count = parts.map(usize::try_from).try_fold(1usize, |all, part| all.checked_mul(part.ok()?));
    count.ok_or_else(|| "an image beyond memory".into())
}

/// Reads the header.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, String> {
    let (mut found, mut message) = (Header::default(), [0u8; MESSAGE_LEN]);
    // SAFETY: pointer and length are of one slice; `found` has the layout of the struct in c/htj2k.cpp; the message
    // has the length that c/htj2k.cpp writes at most.
    let code = unsafe { khoanh_htj2k_header(bytes.as_ptr(), bytes.len(), &raw mut found, message.as_mut_ptr()) };
    if code == 0 { Ok(found) } else { Err(text(&message)) }
}

/// Decodes an image of that header, components of a pixel together.
pub(crate) fn decode(bytes: &[u8], expected: &Header) -> Result<Vec<i32>, String> {
    let samples = samples(expected)?;
    let (mut out, mut message) = (vec![0i32; samples], [0u8; MESSAGE_LEN]);
    // SAFETY: pointer and length are of one slice; `out` has room for `samples` values, and c/htj2k.cpp writes only
    // where the header it reads equals `expected` and its samples are `samples`.
    let code = unsafe {
        khoanh_htj2k_decode(
            bytes.as_ptr(),
            bytes.len(),
            &raw const *expected,
            out.as_mut_ptr(),
            samples,
            message.as_mut_ptr(),
        )
    };
    if code == 0 { Ok(out) } else { Err(text(&message)) }
}

/// Encodes an image losslessly, by resolution.
pub(crate) fn encode(values: &[i32], image: &Header, decompositions: u32) -> Result<Vec<u8>, String> {
    if samples(image)? != values.len() {
        return Err("another number of samples than pixels".into());
    }
    let (mut memory, mut len, mut message) = (std::ptr::null_mut(), 0usize, [0u8; MESSAGE_LEN]);
    // SAFETY: `values` has as many values as the image has samples, checked above; c/htj2k.cpp sets `memory` and
    // `len` together when it returns 0, and only then.
    let code = unsafe {
        khoanh_htj2k_encode(
            values.as_ptr(),
            &raw const *image,
            decompositions,
            &raw mut memory,
            &raw mut len,
            message.as_mut_ptr(),
        )
    };
    if code != 0 || memory.is_null() {
        return Err(text(&message));
    }
    // SAFETY: `memory` holds `len` bytes that c/htj2k.cpp wrote; it is given back right after, and not used again.
    let bytes = unsafe {
        let bytes = std::slice::from_raw_parts(memory, len).to_vec();
        khoanh_htj2k_free(memory);
        bytes
    };
    Ok(bytes)
}
