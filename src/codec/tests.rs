//! Frames made by a seed, and what all test modules share.

mod hostile;
mod pictures;
mod processes;
mod round_trips;
mod values;

use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};
use fastrand::Rng;

/// A description of grey pixels.
pub(super) fn grey(rows: u16, columns: u16, allocated: u8, stored: u8, signed: bool) -> PixelFormat {
    let photometric = Photometric::Monochrome2;
    PixelFormat { rows, columns, samples: 1, allocated, stored, high: stored - 1, signed, planar: false, photometric }
}

/// A description of coloured pixels of 8 bits.
pub(super) fn coloured(rows: u16, columns: u16, photometric: Photometric) -> PixelFormat {
    PixelFormat { samples: 3, photometric, ..grey(rows, columns, 8, 8, false) }
}

/// How the samples of a made frame look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Slopes with a little noise, as a scanner gives.
    Smooth,
    /// Nothing but noise.
    Noise,
    /// Two extremes.
    Edges,
}

/// A frame of a description.
pub(super) fn made(format: &PixelFormat, look: Look, rng: &mut Rng) -> DecodedFrame {
    let (rows, columns) = (u32::from(format.rows), u32::from(format.columns));
    let mask = crate::cells::mask(u32::from(format.stored));
    let mut values = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            for sample in 0..u32::from(format.samples) {
                let slope = (row * 3 + column * 2 + sample * 7) % 4096;
                values.push(
                    mask & match look {
                        Look::Smooth => slope + rng.u32(..8),
                        Look::Noise => rng.u32(..),
                        Look::Edges => {
                            if (row / 5 + column / 3) % 2 == 0 {
                                0
                            } else {
                                u32::MAX
                            }
                        }
                    },
                );
            }
        }
    }
    let words: Words = crate::cells::words(format.stored, values.into_iter());
    let (samples, stored, signed, photometric) = (format.samples, format.stored, format.signed, format.photometric);
    DecodedFrame { rows, columns, samples, stored, signed, photometric, words }
}
