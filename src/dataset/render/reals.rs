//! Frames of Float and Double Float Pixel Data (PS3.3 C.7.6.24 and C.7.6.25): real numbers, always grey.
//!
//! They have no stored bits, no sign and no table: a window or their range decides what is black and white.

/// One frame of real numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reals {
    /// Height in pixels.
    pub rows: u32,
    /// Width in pixels.
    pub columns: u32,
    /// `rows × columns` values.
    pub values: Vec<f64>,
}

impl Reals {
    /// Reads little endian numbers of single precision, or of double; nothing where they are fewer than pixels.
    #[must_use]
    pub fn read(bytes: &[u8], (rows, columns): (u16, u16), double: bool) -> Option<Self> {
        let count = usize::from(rows) * usize::from(columns);
        let values: Vec<f64> = match double {
            true => bytes.as_chunks().0.iter().take(count).map(|word| f64::from_le_bytes(*word)).collect(),
            false => bytes.as_chunks().0.iter().take(count).map(|word| f64::from(f32::from_le_bytes(*word))).collect(),
        };
        (values.len() == count).then_some(Self { rows: u32::from(rows), columns: u32::from(columns), values })
    }
}
