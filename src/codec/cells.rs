//! What a codestream gives before the attributes say what it means: values of some precision.
//!
//! Turned into stored values here, and nowhere else, so that every decoder treats bits and signs alike.

use crate::error::CodecError;
use crate::limits::Checked;
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};

/// Values of a frame, samples of a pixel together.
#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) values: Values,
    /// Bits of a value.
    pub(crate) precision: u32,
    /// Whether the codestream calls its values signed.
    pub(crate) signed: bool,
}

#[derive(Debug)]
pub(crate) enum Values {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
    Signed(Vec<i32>),
}

/// A mask of the lowest `bits` bits.
pub(crate) fn mask(bits: u32) -> u32 {
    if bits >= 32 { u32::MAX } else { (1u32 << bits) - 1 }
}

/// From a value as coded to a stored value.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Bits below the stored ones.
    shift: u32,
    /// The sign bit to be spread first; 0 for none.
    spread: u32,
    mask: u32,
}

impl Rule {
    fn new(format: &PixelFormat, precision: u32, signed: bool) -> Self {
        let stored = u32::from(format.stored);
        let below = u32::from(format.high) + 1 - stored;
        // A codestream as wide as the cell holds the cell; a narrower one the stored bits alone.
        let shift = if precision > stored { below.min(precision - stored) } else { 0 };
        // Signed values of few bits in a codestream that calls them unsigned: two's complement of its precision.
        let spread = if format.signed && !signed && precision < stored { 1u32 << (precision.max(1) - 1) } else { 0 };
        Self { shift, spread, mask: mask(stored) }
    }

    fn is_plain(self, precision: u32) -> bool {
        self.shift == 0 && self.spread == 0 && self.mask & mask(precision) == mask(precision)
    }

    fn apply(self, value: u32) -> u32 {
        let value = if self.spread > 0 && value & self.spread != 0 {
            value | !(self.spread | (self.spread - 1))
        } else {
            value
        };
        (value >> self.shift) & self.mask
    }
}

fn low8(value: u32) -> u8 {
    let [byte, ..] = value.to_le_bytes();
    byte
}

fn low16(value: u32) -> u16 {
    let [first, second, ..] = value.to_le_bytes();
    u16::from_le_bytes([first, second])
}

/// Values into the narrowest words that hold `stored` bits.
pub(crate) fn words(stored: u8, values: impl ExactSizeIterator<Item = u32>) -> Words {
    match stored {
        0..=8 => Words::Eight(values.map(low8).collect()),
        9..=16 => Words::Sixteen(values.map(low16).collect()),
        _ => Words::ThirtyTwo(values.collect()),
    }
}

/// The decoded frame of a codestream's values, which must be as many as the attributes say.
pub(crate) fn frame(checked: &Checked<'_>, cells: Cells, photometric: Photometric) -> Result<DecodedFrame, CodecError> {
    let format = checked.format;
    let rule = Rule::new(format, cells.precision, cells.signed);
    let stored = format.stored;
    let plain = rule.is_plain(cells.precision);
    let words = match cells.values {
        Values::Eight(values) if plain && stored <= 8 => Words::Eight(values),
        Values::Sixteen(values) if plain && (9..=16).contains(&stored) => Words::Sixteen(values),
        Values::Eight(values) => words(stored, values.into_iter().map(|v| rule.apply(u32::from(v)))),
        Values::Sixteen(values) => words(stored, values.into_iter().map(|v| rule.apply(u32::from(v)))),
        Values::Signed(values) => words(stored, values.into_iter().map(|v| rule.apply(v.cast_unsigned()))),
    };
    if words.len() != checked.samples {
        return Err(CodecError::corrupt("another number of samples than pixels"));
    }
    Ok(DecodedFrame {
        rows: u32::from(format.rows),
        columns: u32::from(format.columns),
        samples: format.samples,
        stored,
        signed: format.signed,
        photometric,
        words,
    })
}

/// Whether a codestream's own dimensions are those of the attributes.
pub(crate) fn agree(format: &PixelFormat, rows: u32, columns: u32, components: u32) -> Result<(), CodecError> {
    let same = rows == u32::from(format.rows)
        && columns == u32::from(format.columns)
        && components == u32::from(format.samples);
    if same {
        return Ok(());
    }
    Err(CodecError::disagrees(format!(
        "an image of {rows} × {columns} × {components} where the attributes say {} × {} × {}",
        format.rows, format.columns, format.samples
    )))
}

/// Whether the precision of a codestream fits into the cells of the attributes.
pub(crate) fn fits(format: &PixelFormat, precision: u32) -> Result<(), CodecError> {
    if precision >= 1 && precision <= u32::from(format.allocated) {
        return Ok(());
    }
    Err(CodecError::disagrees(format!("values of {precision} bits in cells of {}", format.allocated)))
}
