//! How the places of an instance's parts are written.
//!
//! Deliberately not here: which layouts a row says by itself.

use super::{Decoder, Encoder, VERSION, pixel, put_pixel, version};
use crate::IndexError;
use model::{Frames, Layout, Span};

/// Version, pixel data, frames (0 none; 1 native: count, bits; 2 encapsulated: number of fragments, for each the
/// distance from the end of the one before (wrapping) and the length, then number of starts plus one, or 0 for none,
/// and for each the distance from the start before (wrapping)), data set length.
pub(crate) fn put_layout(out: &mut Encoder, layout: &Layout) {
    out.byte(VERSION);
    put_pixel(out, layout.pixel);
    match &layout.frames {
        Frames::None => out.byte(0),
        Frames::Native { count, bits } => {
            out.byte(1);
            out.number(*count);
            out.number(*bits);
        }
        Frames::Encapsulated { fragments, starts } => {
            out.byte(2);
            out.length(fragments.len());
            let mut end = 0u64;
            for Span { at, len } in fragments {
                out.number(at.wrapping_sub(end));
                out.number(*len);
                end = at.wrapping_add(*len);
            }
            out.option(starts.as_ref().map(|starts| u64::try_from(starts.len()).unwrap_or(u64::MAX)));
            let mut before = 0u32;
            for start in starts.iter().flatten() {
                out.number(start.wrapping_sub(before));
                before = *start;
            }
        }
    }
    out.number(layout.dataset_len);
}

/// Reads a layout.
pub(crate) fn layout(bytes: &[u8]) -> Result<Layout, IndexError> {
    let row = &mut Decoder::new("layouts", bytes);
    version(row)?;
    let pixel = pixel(row)?;
    let frames = match row.byte()? {
        0 => Frames::None,
        1 => Frames::Native { count: row.narrow()?, bits: row.number()? },
        2 => encapsulated(row)?,
        _ => return Err(row.damaged("an enumeration has an unknown code")),
    };
    Ok(Layout { pixel, frames, dataset_len: row.number()? })
}

fn encapsulated(row: &mut Decoder<'_>) -> Result<Frames, IndexError> {
    let mut end = 0u64;
    let mut fragment = |row: &mut Decoder<'_>| {
        let at = end.wrapping_add(row.number()?);
        let len = row.number()?;
        end = at.wrapping_add(len);
        Ok(Span { at, len })
    };
    let fragments = (0..row.number()?).map(|_| fragment(row)).collect::<Result<Vec<_>, IndexError>>()?;
    let mut before = 0u32;
    let mut start = |row: &mut Decoder<'_>| {
        before = before.wrapping_add(row.narrow()?);
        Ok(before)
    };
    let starts = match row.option()? {
        None => None,
        Some(count) => Some((0..count).map(|_| start(row)).collect::<Result<Vec<_>, IndexError>>()?),
    };
    Ok(Frames::Encapsulated { fragments, starts })
}
