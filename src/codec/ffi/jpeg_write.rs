//! libjpeg-turbo through `c/jpeg_write.c`: one baseline image of our own pixels.

use super::{MESSAGE_LEN, text};
// Brings the library itself into the link.
use turbojpeg_sys as _;

unsafe extern "C" {
    fn khoanh_jpeg_write(
        pixels: *const u8,
        rows: u32,
        columns: u32,
        samples: u32,
        quality: i32,
        coarse: i32,
        out: *mut u8,
        room: usize,
        message: *mut u8,
    ) -> usize;
}

/// The resolution of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    /// That of the picture.
    Full,
    /// Half of it across.
    Half,
    /// Half of it both ways.
    Quarter,
}

/// Most bytes an image of that size comes to: blocks of 64 samples take at most 2 bytes a sample, headers come on top.
fn room(rows: u32, columns: u32, samples: u32) -> Option<usize> {
    let side = |side: u32| usize::try_from(side).ok()?.checked_next_multiple_of(16);
    let samples = usize::try_from(samples).ok()?;
    side(rows)?.checked_mul(side(columns)?)?.checked_mul(samples)?.checked_mul(2)?.checked_add(8192)
}

/// Encodes whole rows of `columns` pixels of 1 or 3 samples.
pub(crate) fn write(
    pixels: &[u8],
    columns: u32,
    samples: u32,
    quality: u8,
    colours: Colours,
) -> Result<Vec<u8>, String> {
    let row = usize::try_from(columns).ok().and_then(|wide| wide.checked_mul(usize::try_from(samples).ok()?));
    let row = row.filter(|row| *row > 0 && matches!(samples, 1 | 3)).ok_or("pixels without a row")?;
    let rows = pixels.len().checked_div(row).filter(|rows| rows * row == pixels.len() && *rows > 0);
    let rows = rows.and_then(|rows| u32::try_from(rows).ok()).ok_or("pixels that are no whole rows")?;
    let room = room(rows, columns, samples).ok_or("a picture beyond memory")?;
    let coarse = match colours {
        Colours::Full => 0,
        Colours::Half => 1,
        Colours::Quarter => 2,
    };
    let (mut out, mut message) = (Vec::with_capacity(room), [0u8; MESSAGE_LEN]);
    // SAFETY: `pixels` has rows × columns × samples bytes, as was just computed; `out` has room for `room` bytes, which
    // C does not exceed; the message has the length that c/jpeg_write.c writes at most.
    let len = unsafe {
        khoanh_jpeg_write(
            pixels.as_ptr(),
            rows,
            columns,
            samples,
            i32::from(quality),
            coarse,
            out.as_mut_ptr(),
            room,
            message.as_mut_ptr(),
        )
    };
    if len == 0 || len > room {
        return Err(text(&message));
    }
    // SAFETY: C has written that many bytes from the start of the room.
    unsafe { out.set_len(len) };
    Ok(out)
}
