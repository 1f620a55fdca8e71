//! Overlays in unused bits of the pixels (retired in PS3.3-2004), moved to Overlay Data of their own (PS3.3 C.9.2): a
//! compressed frame keeps samples alone.
//!
//! Nothing else of the overlay's attributes changes. What is stored keeps its bits where they were.

use crate::decode::Image;
use crate::error::DecodeError;
use crate::open::Archive;
use codec::CodecError;
use dataset::Vr;
use dataset::pixels::Words;
use dataset::render::Embedded;
use dataset::transcode::splice::{Change, Changes};
use std::sync::Arc;

/// The attributes of every such overlay of an image, from all of its frames.
///
/// # Errors
/// What decoding comes to; [`CodecError::Limit`] for more overlay than a frame may be.
pub(super) fn moved(archive: &Arc<Archive>, image: &Image, held: Option<&[u8]>) -> Result<Changes, DecodeError> {
    let mut changes = Changes::new();
    for plane in image.description.embedded() {
        let mut put = |element: u32, change: Change| changes.insert(u32::from(plane.group) << 16 | element, change);
        let number = |value: u16| value.to_le_bytes().to_vec();
        put(0x0010, Change::Fill(Vr::US, number(image.format.rows)));
        put(0x0011, Change::Fill(Vr::US, number(image.format.columns)));
        if image.frames() > 1 {
            put(0x0015, Change::Set(Vr::IS, even(image.frames().to_string().into_bytes(), b' ')));
            put(0x0051, Change::Set(Vr::US, number(1)));
        }
        put(0x0040, Change::Fill(Vr::CS, b"G ".to_vec()));
        put(0x0050, Change::Fill(Vr::SS, [number(1), number(1)].concat()));
        put(0x0100, Change::Set(Vr::US, number(1)));
        put(0x0102, Change::Set(Vr::US, number(0)));
        put(0x3000, Change::Set(Vr::OW, even(bits(archive, image, plane, held)?, 0)));
    }
    Ok(changes)
}

fn even(mut bytes: Vec<u8>, padding: u8) -> Vec<u8> {
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    bytes
}

/// The bits of all frames, one after the other without a gap, the lowest of a byte first.
fn bits(archive: &Arc<Archive>, image: &Image, plane: Embedded, held: Option<&[u8]>) -> Result<Vec<u8>, DecodeError> {
    let pixels = u64::from(image.format.rows) * u64::from(image.format.columns);
    let len = pixels.saturating_mul(u64::from(image.frames())).div_ceil(8);
    if len > archive.frame_limits().frame_bytes {
        return Err(CodecError::Limit(format!("an overlay of {len} bytes in the pixels")).into());
    }
    let mut out = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    let (mut byte, mut have) = (0_u8, 0_u32);
    for number in 0..image.frames() {
        let frame = archive.embedded(image, number, plane, held)?;
        let Words::Eight(values) = &frame.words else { continue };
        for value in values {
            byte |= (value & 1) << have;
            have += 1;
            if have == 8 {
                out.push(byte);
                (byte, have) = (0, 0);
            }
        }
    }
    if have > 0 {
        out.push(byte);
    }
    Ok(out)
}
