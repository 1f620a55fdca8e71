//! libjpeg-turbo through `c/jpeg.c`: baseline, extended and progressive of 8 and 12 bits, lossless of 2 to 16.

use super::{MESSAGE_LEN, text};
use crate::cells::Values;
// Brings the library itself into the link.
use turbojpeg_sys as _;

/// What the header of a JPEG image says, field by field as in `c/jpeg.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) components: u32,
    pub(crate) precision: u32,
    pub(crate) colour: u32,
    pub(crate) jfif: u32,
    pub(crate) adobe: u32,
    pub(crate) letter_ids: u32,
    pub(crate) progressive: u32,
}

unsafe extern "C" {
    fn khoanh_jpeg_header(input: *const u8, len: usize, found: *mut Header, message: *mut u8) -> i32;
    fn khoanh_jpeg_decode(
        input: *const u8,
        len: usize,
        expected: *const Header,
        out: *mut libc::c_void,
        samples: usize,
        message: *mut u8,
    ) -> i32;
}

/// Reads the header.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, String> {
    let (mut found, mut message) = (Header::default(), [0u8; MESSAGE_LEN]);
    // SAFETY: pointer and length are of one slice; `found` has the layout of the struct in c/jpeg.c; the message
    // has the length that c/jpeg.c writes at most.
    let code = unsafe { khoanh_jpeg_header(bytes.as_ptr(), bytes.len(), &raw mut found, message.as_mut_ptr()) };
    if code == 0 { Ok(found) } else { Err(text(&message)) }
}

/// Decodes an image of that header, components of a pixel together, no colour converted.
pub(crate) fn decode(bytes: &[u8], expected: &Header) -> Result<Values, String> {
    let samples = [expected.rows, expected.columns, expected.components]
        .into_iter()
        .try_fold(1usize, |all, part| all.checked_mul(usize::try_from(part).ok()?))
        .ok_or("an image beyond memory")?;
    if expected.precision <= 8 {
        let mut out = vec![0u8; samples];
        into(bytes, expected, out.as_mut_ptr().cast(), samples)?;
        return Ok(Values::Eight(out));
    }
    let mut out = vec![0u16; samples];
    into(bytes, expected, out.as_mut_ptr().cast(), samples)?;
    Ok(Values::Sixteen(out))
}

/// `out` must have room for `samples` values: bytes where the expected precision is at most 8, 16 bits else.
fn into(bytes: &[u8], expected: &Header, out: *mut libc::c_void, samples: usize) -> Result<(), String> {
    let mut message = [0u8; MESSAGE_LEN];
    // SAFETY: pointer and length are of one slice; `out` has the room said above, and c/jpeg.c writes only where
    // the header it reads equals `expected` and its samples are `samples`.
    let code = unsafe {
        khoanh_jpeg_decode(bytes.as_ptr(), bytes.len(), &raw const *expected, out, samples, message.as_mut_ptr())
    };
    if code == 0 { Ok(()) } else { Err(text(&message)) }
}
