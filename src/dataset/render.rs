//! From stored values to a picture people look at (PS3.18 section 8.3.5, PS3.4 Annex N): pure functions.
//!
//! Takes frames as decoders give them and the attributes around them; knows no archive and no request.
//! The same input gives the same bytes.
//! Text is never burnt in: `annotation` draws the overlay planes of the image and nothing else.

mod colour;
mod description;
mod encode;
mod grey;
mod lut;
mod numbers;
mod overlay;
mod palette;
mod png;
mod profile;
mod shrink;
#[cfg(test)]
mod tests;
mod tones;
mod tree;
mod viewport;
mod window;

pub use description::Description;
pub use encode::{Encoding, animate};
pub use profile::Profile;
pub use shrink::Shrink;
pub use tones::Tones;
pub use viewport::{SIDE_MAX, Viewport};
pub use window::{BadParameter, Function, Window};

use crate::pixels::{DecodedFrame, Photometric};
use grey::Voi;

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Colours nobody knows how to show.
    #[error("pixels of {samples} samples in {photometric} are not displayed")]
    Colour {
        /// Samples per pixel.
        samples: u8,
        /// Photometric Interpretation.
        photometric: Photometric,
    },
    /// PALETTE COLOR without a palette that can be read.
    #[error("the palette of the image is missing or broken")]
    Palette,
    /// The region asked for lies outside of the picture.
    #[error("the region lies outside of the picture of {width} × {height} pixels")]
    Region {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// A library refused, with its words.
    #[error("{0}")]
    Encoder(String),
}

/// How a picture is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Window of a grey picture in place of the image's own.
    pub window: Option<Window>,
    /// Size and part; the whole picture in its own size when absent.
    pub viewport: Option<Viewport>,
    /// Colour profile.
    pub profile: Profile,
    /// Whether overlay planes are drawn.
    pub overlays: bool,
    /// Values that are black and white where the image names no window: those of several frames together.
    pub range: Option<(f64, f64)>,
}

impl Options {
    /// Whether anything is drawn over the pixels.
    fn draws(&self) -> bool {
        self.overlays
    }

    /// How often a picture may be halved and the like before it is brought to its size: the shape of that step.
    #[must_use]
    pub fn shrink(&self, width: u32, height: u32) -> Option<Shrink> {
        self.viewport.as_ref().and_then(|viewport| Shrink::of(viewport, width, height))
    }
}

/// A picture of bytes: brightness, or red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Three bytes a pixel instead of one.
    pub colour: bool,
    /// Pixels, row by row.
    pub bytes: Vec<u8>,
    /// ICC profile to carry.
    pub profile: Option<Vec<u8>>,
}

impl Picture {
    fn bare(&self) -> Self {
        Self { width: 0, height: 0, colour: self.colour, bytes: Vec::new(), profile: self.profile.clone() }
    }

    fn samples(&self) -> usize {
        if self.colour { 3 } else { 1 }
    }

    fn row_bytes(&self) -> usize {
        usize::try_from(self.width).unwrap_or(0).saturating_mul(self.samples()).max(1)
    }

    /// Left and right exchanged.
    fn mirrored(mut self) -> Self {
        let (row, samples) = (self.row_bytes(), self.samples());
        for line in self.bytes.chunks_exact_mut(row) {
            line.reverse();
            line.chunks_exact_mut(samples).for_each(<[u8]>::reverse);
        }
        self
    }

    /// Top and bottom exchanged.
    fn upside_down(self) -> Self {
        let bytes = self.bytes.chunks_exact(self.row_bytes()).rev().flatten().copied().collect();
        Self { bytes, ..self }
    }
}

/// The picture of a frame, `number` from 0.
///
/// # Errors
/// [`RenderError`]; what the request says was checked when it was read.
pub fn picture(
    frame: &DecodedFrame,
    description: &Description,
    number: u32,
    options: &Options,
) -> Result<Picture, RenderError> {
    let (colour, bytes) = match frame.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => {
            let mut grey = description.grey(number, frame.photometric, frame.signed);
            if let Some(window) = options.window {
                grey.voi = Voi::Window(window);
            } else if let (Voi::Range, Some((low, high))) = (&grey.voi, options.range) {
                grey.voi = Voi::Between(low, high);
            }
            (false, grey.apply(frame))
        }
        Photometric::PaletteColor => {
            let palette = description.palette(frame.signed).ok_or(RenderError::Palette)?;
            (true, palette.apply(frame))
        }
        photometric => {
            let unknown = RenderError::Colour { samples: frame.samples, photometric };
            (true, colour::apply(frame).ok_or(unknown)?)
        }
    };
    let mut picture = Picture { width: frame.columns, height: frame.rows, colour, bytes, profile: None };
    if options.overlays {
        overlay::draw(&mut picture, description.root(), number);
    }
    if let Some(viewport) = &options.viewport {
        picture = viewport.apply(&picture)?;
    }
    options.profile.apply(picture, description.profile())
}
