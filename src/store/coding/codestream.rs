//! Form 3: the cells of an image as a JPEG-LS codestream (ISO 14495-1), made and read by a library that the program
//! brings ([`install`]); this crate knows no image format.
//!
//! All bits of every cell are in the codestream, whatever the attributes say of them, so that the stored bytes come back
//! bit for bit. Smaller than form 2 and several times slower: it is only made where the writer asks for it.
//!
//! ```text
//! offset size  coded bytes
//!      0    1  3
//!      1    1  bytes of a cell: 1 or 2; + 16 when cells are stored highest byte first
//!      2    1  bits of a cell that the codestream has, 2 to 16; those above are 0
//!      3    1  channels: cells of a pixel that lie side by side, 1 or 3; + 16 when the highest bit of every cell was
//!              turned over, so that two's complement counts upwards
//!      4    4  columns: pixels of a row, little endian
//!      8       the codestream; its rows are what the length of the raw bytes comes to
//! ```

use super::{BIG_ENDIAN, CodingError, PixelLayout};
use std::sync::OnceLock;

/// First byte.
pub(super) const FORM: u8 = 3;
/// In the byte of the channels: the highest bit is turned over.
const TURNED: u8 = 16;
/// Most rows and columns of a codestream.
const SIDE_MAX: usize = 65_535;

/// Cells of an image as the library takes and gives them: little endian, cells of a pixel together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cells {
    /// Height in pixels.
    pub rows: u16,
    /// Width in pixels.
    pub columns: u16,
    /// Cells of a pixel: 1 or 3.
    pub channels: u8,
    /// Bytes of a cell: 1 or 2.
    pub bytes: u8,
    /// Bits of a cell that are not 0.
    pub bits: u8,
}

/// Why a codestream was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecoded {
    /// It is not what it should be.
    Damaged,
    /// The decoder is busy or has died: another time it may be decoded.
    Unavailable,
}

/// What makes and reads codestreams.
pub trait Codestreams: Send + Sync {
    /// The codestream of cells that was decoded again and compared; nothing where it cannot be made.
    fn encode(&self, cells: &Cells, values: Vec<u8>) -> Option<Vec<u8>>;

    /// The cells of a codestream.
    ///
    /// # Errors
    /// [`Undecoded`].
    fn decode(&self, cells: &Cells, codestream: &[u8]) -> Result<Vec<u8>, Undecoded>;
}

static LIBRARY: OnceLock<Box<dyn Codestreams>> = OnceLock::new();

/// Brings the library, once for the whole program; a second one is left out.
pub fn install(library: impl FnOnce() -> Box<dyn Codestreams>) {
    LIBRARY.get_or_init(library);
}

/// The coded form of native pixels; nothing where their layout does not fit them, or no library was brought.
pub(super) fn encode(raw: &[u8], layout: &PixelLayout) -> Option<Vec<u8>> {
    let library = LIBRARY.get()?;
    let (bytes, big_endian) = match layout.bits_allocated {
        8 => (1_u8, false),
        16 => (2, layout.big_endian),
        _ => return None,
    };
    let channels = u8::try_from(layout.samples.max(1)).ok().filter(|count| matches!(count, 1 | 3))?;
    let (rows, columns) = sides(raw.len(), layout.columns, channels, bytes)?;
    let mut values = raw.to_vec();
    if big_endian {
        swap(&mut values);
    }
    let turned = turns(&values, bytes);
    if turned {
        turn(&mut values, bytes);
    }
    let (_, highest) = extent(&values, bytes, 0);
    let bits = u8::try_from(16 - highest.leading_zeros()).unwrap_or(16).max(2);
    let codestream = library.encode(&Cells { rows, columns, channels, bytes, bits }, values)?;
    let [a, b, c, d] = layout.columns.to_le_bytes();
    let cell = bytes + if big_endian { BIG_ENDIAN } else { 0 };
    let mut out = vec![FORM, cell, bits, channels + if turned { TURNED } else { 0 }, a, b, c, d];
    out.extend(codestream);
    Some(out)
}

/// Appends what coded bytes, without their first one, stand for.
pub(super) fn decode(rest: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<(), CodingError> {
    let library = LIBRARY.get().ok_or(CodingError::Unknown(FORM))?;
    let ([cell, bits, channel, columns @ ..], codestream) =
        rest.split_first_chunk::<7>().ok_or(CodingError::Damaged("no header"))?;
    let (bytes, big_endian) = (cell & !BIG_ENDIAN, cell & BIG_ENDIAN != 0);
    let (channels, turned) = (channel & !TURNED, channel & TURNED != 0);
    let known = matches!(bytes, 1 | 2) && matches!(channels, 1 | 3) && (2..=16).contains(bits);
    let sides = sides(raw_len, u32::from_le_bytes(*columns), channels, bytes).filter(|_| known);
    let (rows, columns) = sides.ok_or(CodingError::Damaged("the header is no layout of the bytes"))?;
    let decoded = library.decode(&Cells { rows, columns, channels, bytes, bits: *bits }, codestream);
    let mut values = decoded.map_err(|why| match why {
        Undecoded::Damaged => CodingError::Damaged("the codestream cannot be decoded"),
        Undecoded::Unavailable => CodingError::Unavailable,
    })?;
    if values.len() != raw_len {
        return Err(CodingError::Damaged("another number of bytes than were coded"));
    }
    if turned {
        turn(&mut values, bytes);
    }
    if big_endian {
        swap(&mut values);
    }
    out.append(&mut values);
    Ok(())
}

/// Rows and columns of so many bytes, if they fill whole rows.
fn sides(len: usize, columns: u32, channels: u8, bytes: u8) -> Option<(u16, u16)> {
    let columns = usize::try_from(columns).ok().filter(|columns| (1..=SIDE_MAX).contains(columns))?;
    let row = columns * usize::from(channels) * usize::from(bytes);
    let rows = len.checked_div(row).filter(|rows| (1..=SIDE_MAX).contains(rows) && rows * row == len)?;
    u16::try_from(rows).ok().zip(u16::try_from(columns).ok())
}

fn swap(values: &mut [u8]) {
    values.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
}

/// Turns the highest bit of every cell over.
fn turn(values: &mut [u8], bytes: u8) {
    let width = usize::from(bytes);
    values.iter_mut().skip(width.saturating_sub(1)).step_by(width.max(1)).for_each(|byte| *byte ^= 0x80);
}

/// Whether cells lie closer together with the highest bit turned over.
fn turns(values: &[u8], bytes: u8) -> bool {
    let reach = |bit: u16| {
        let (low, high) = extent(values, bytes, bit);
        high.saturating_sub(low)
    };
    reach(if bytes == 1 { 0x80 } else { 0x8000 }) < reach(0)
}

/// Smallest and largest cell, with a bit turned over.
fn extent(values: &[u8], bytes: u8, bit: u16) -> (u16, u16) {
    let fold = |(low, high): (u16, u16), cell: u16| (low.min(cell ^ bit), high.max(cell ^ bit));
    match bytes {
        1 => values.iter().map(|byte| u16::from(*byte)).fold((u16::MAX, 0), fold),
        _ => values.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).fold((u16::MAX, 0), fold),
    }
}
