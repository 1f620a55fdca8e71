//! Where each frame lies: native stride, offset tables, codestream starts (PS3.5 section 8, Annex A.4).
//!
//! Nothing here decodes pixels; a frame that is not wholly there does not exist.

#[cfg(test)]
mod tests;

use crate::syntax::Codec;
use crate::walk::as_u64;
use model::{Flag, Frames, PixelSpan, Span};
use std::collections::BTreeSet;

/// What the attributes say of the pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    pub(crate) rows: u64,
    pub(crate) columns: u64,
    pub(crate) samples: u64,
    pub(crate) bits_allocated: u64,
    pub(crate) frames: u64,
    /// Two chroma samples are shared by two pixels (YBR_FULL_422).
    pub(crate) subsampled: bool,
}

/// The start of a codestream, as far as eight bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Jpeg,
    Jpeg2000,
    JpegXl,
    Other,
}

/// What encapsulated pixel data was made of.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) table_seen: bool,
    pub(crate) basic: Vec<u64>,
    pub(crate) extended: Vec<u64>,
    pub(crate) fragments: Vec<Span>,
    pub(crate) starts: Vec<Start>,
}

/// Tells a codestream by its first bytes.
pub(crate) fn start_of(bytes: &[u8]) -> Start {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Start::Jpeg,
        [0xFF, 0x4F, 0xFF, 0x51, ..] | [0, 0, 0, 0x0C, b'j', b'P', b' ', b' ', ..] => Start::Jpeg2000,
        [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', b' ', ..] => Start::JpegXl,
        _ => Start::Other,
    }
}

/// The frames of native pixel data of `len` bytes: as many as are really there.
pub(crate) fn native(image: &Image, len: u64, native: bool, flags: &mut BTreeSet<Flag>) -> Frames {
    let full = [image.rows, image.columns, image.samples, image.bits_allocated]
        .into_iter()
        .try_fold(1u64, u64::checked_mul)
        .filter(|bits| *bits > 0);
    let Some(full) = full else {
        flags.insert(Flag::FramesUnknown);
        return Frames::None;
    };
    let bytes_for = |bits: u64| bits.checked_mul(image.frames).map(|all| all.div_ceil(8));
    // Some write all three samples although they name a subsampled colour space.
    let subsampled = image.subsampled && image.samples == 3 && bytes_for(full).is_none_or(|all| len < all);
    let bits = if subsampled { full / 3 * 2 } else { full };
    let exact = bytes_for(bits).is_some_and(|all| len == all || len == all + all % 2);
    if !exact {
        flags.insert(Flag::FramesDisagree);
        if !native {
            flags.insert(Flag::FramesUnknown);
            return Frames::None;
        }
    }
    let present = u128::from(len) * 8 / u128::from(bits);
    let count = present.min(u128::from(image.frames));
    Frames::Native { count: u32::try_from(count).unwrap_or(u32::MAX), bits }
}

/// The frames of encapsulated pixel data, by the first of these that answers: one fragment a frame, a single
/// frame, the extended and the basic offset table, the starts of codestreams.
pub(crate) fn encapsulated(image: &Image, codec: Codec, found: Found, flags: &mut BTreeSet<Flag>) -> Frames {
    let count = as_u64(found.fragments.len());
    let starts = if found.fragments.is_empty() {
        flags.insert(Flag::FramesDisagree);
        Some(Vec::new())
    } else if codec == Codec::Video {
        (count > 1).then(|| vec![0])
    } else if count == image.frames {
        None
    } else if image.frames == 1 {
        Some(vec![0])
    } else {
        resolve(image, codec, &found, flags)
    };
    Frames::Encapsulated { fragments: found.fragments, starts }
}

fn resolve(image: &Image, codec: Codec, found: &Found, flags: &mut BTreeSet<Flag>) -> Option<Vec<u32>> {
    let tables = [&found.extended, &found.basic];
    if let Some(starts) = tables.into_iter().find_map(|table| by_table(table, &found.fragments)) {
        if as_u64(starts.len()) != image.frames {
            flags.insert(Flag::FramesDisagree);
        }
        return (starts.len() != found.fragments.len()).then_some(starts);
    }
    if codec == Codec::PerFragment {
        flags.insert(Flag::FramesDisagree);
        return None;
    }
    let wanted = match codec {
        Codec::Jpeg => Some(Start::Jpeg),
        Codec::Jpeg2000 => Some(Start::Jpeg2000),
        Codec::JpegXl => Some(Start::JpegXl),
        _ => found.starts.first().copied(),
    };
    let starts: Vec<u32> =
        (0..).zip(&found.starts).filter(|(_, start)| Some(**start) == wanted).map(|(at, _)| at).collect();
    let usable = wanted != Some(Start::Other) && starts.first() == Some(&0);
    if usable && (as_u64(starts.len()) == image.frames || starts.len() == found.fragments.len()) {
        if as_u64(starts.len()) != image.frames {
            flags.insert(Flag::FramesDisagree);
        }
        return (starts.len() != found.fragments.len()).then_some(starts);
    }
    flags.insert(Flag::FramesUnknown);
    Some(Vec::new())
}

/// The fragments an offset table points at; nothing when it points beside them.
fn by_table(table: &[u64], fragments: &[Span]) -> Option<Vec<u32>> {
    let base = fragments.first()?.at;
    let mut starts = Vec::with_capacity(table.len());
    for offset in table {
        let at = base.checked_add(*offset)?;
        let index = fragments.binary_search_by_key(&at, |fragment| fragment.at).ok()?;
        let index = u32::try_from(index).ok()?;
        if starts.last().is_some_and(|last| *last >= index) {
            return None;
        }
        starts.push(index);
    }
    (starts.first() == Some(&0)).then_some(starts)
}

/// Number of frames that can be given out.
pub fn count(frames: &Frames) -> u32 {
    match frames {
        Frames::None => 0,
        Frames::Native { count, .. } => *count,
        Frames::Encapsulated { fragments, starts } => {
            let count = starts.as_ref().map_or(fragments.len(), Vec::len);
            u32::try_from(count).unwrap_or(u32::MAX)
        }
    }
}

/// The bytes of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePlace {
    /// Runs of bytes in the data set, in order: one for native data, one per fragment for encapsulated data.
    pub spans: Vec<Span>,
    /// Bits of the first byte that belong to the frame before (1-bit frames), least significant first.
    pub skip_bits: u8,
    /// Bits of the frame; 0 for encapsulated data, whose frames are whole bytes.
    pub bits: u64,
}

/// Where frame `number` (from 0) lies; `None` when there is no such frame.
pub fn place(pixel: &PixelSpan, frames: &Frames, number: u32) -> Option<FramePlace> {
    if number >= count(frames) {
        return None;
    }
    match frames {
        Frames::None => None,
        Frames::Native { bits, .. } => {
            let start = u64::from(number).checked_mul(*bits)?;
            let end = start.checked_add(*bits)?.div_ceil(8);
            let span = Span { at: pixel.value.at.checked_add(start / 8)?, len: end - start / 8 };
            Some(FramePlace { spans: vec![span], skip_bits: u8::try_from(start % 8).ok()?, bits: *bits })
        }
        Frames::Encapsulated { fragments, starts } => {
            let number = usize::try_from(number).ok()?;
            let (first, end) = match starts {
                None => (number, number + 1),
                Some(starts) => {
                    let next =
                        starts.get(number + 1).map_or(Some(fragments.len()), |next| usize::try_from(*next).ok())?;
                    (usize::try_from(*starts.get(number)?).ok()?, next)
                }
            };
            Some(FramePlace { spans: fragments.get(first..end)?.to_vec(), skip_bits: 0, bits: 0 })
        }
    }
}

/// The bytes of a native frame that starts inside a byte, shifted to start at a byte (PS3.5 section 8.1.1).
pub fn align(bytes: &[u8], skip_bits: u8, bits: u64) -> Vec<u8> {
    let shift = u32::from(skip_bits % 8);
    let len = usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX).min(bytes.len());
    let mut out = Vec::with_capacity(len);
    for at in 0..len {
        let low = u16::from(bytes.get(at).copied().unwrap_or(0));
        let high = u16::from(bytes.get(at + 1).copied().unwrap_or(0));
        let [byte, _] = (((high << 8) | low) >> shift).to_le_bytes();
        out.push(byte);
    }
    let over = u32::try_from(bits % 8).unwrap_or(0);
    if over > 0
        && let Some(last) = out.last_mut()
    {
        *last &= (1u8 << over) - 1;
    }
    out
}
