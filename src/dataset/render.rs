//! From stored values to a picture people look at (PS3.18 section 8.3.5, PS3.4 Annex N): pure functions.
//!
//! Takes frames as decoders give them and the attributes around them; knows no archive and no request.
//! The same input gives the same bytes.
//! Which text is burnt in is the asker's matter ([`Labels`]); here it is only drawn.

mod canvas;
mod colour;
mod description;
mod encode;
mod graphics;
mod grey;
mod labels;
mod lut;
mod numbers;
mod overlay;
mod palette;
mod png;
mod presentation;
mod profile;
mod reals;
mod shrink;
mod shutter;
#[cfg(test)]
mod tests;
mod tones;
mod tree;
mod viewport;
mod window;

pub use description::Description;
pub use encode::{Animation, Encoding, animate};
pub use labels::Labels;
pub use overlay::Embedded;
pub use presentation::{Presentation, Referenced, is_presentation};
pub use profile::Profile;
pub use reals::Reals;
pub use shrink::Shrink;
pub use tones::Tones;
pub use viewport::{SIDE_MAX, Viewport};
pub use window::{BadParameter, Function, Window};

use crate::pixels::{DecodedFrame, Photometric};
use grey::{Grey, Voi};

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
    /// Whether overlay planes are drawn, where no presentation state says which of them are.
    pub overlays: bool,
    /// Planes in unused bits of the pixels of this frame, one bit a sample, drawn with the others.
    pub embedded: Vec<DecodedFrame>,
    /// Text in the corners.
    pub labels: Labels,
    /// How somebody wanted the image to be seen; goes before what the image says itself.
    pub presentation: Option<Presentation>,
    /// Values that are black and white where the image names no window: those of several frames together.
    pub range: Option<(f64, f64)>,
}

impl Options {
    /// Whether anything is drawn over the pixels.
    fn draws(&self) -> bool {
        self.overlays || self.presentation.is_some() || !self.labels.is_empty()
    }

    /// Whether a plane in unused bits of the pixels is drawn.
    #[must_use]
    pub fn draws_embedded(&self, plane: Embedded) -> bool {
        self.presentation.as_ref().map_or(self.overlays, |state| state.activates(plane))
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

    /// A quarter turn clockwise.
    fn turned(self) -> Self {
        let (wide, high, samples) = (self.width, self.height, self.samples());
        let row = self.row_bytes();
        let columns = usize::try_from(wide).unwrap_or(0);
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for column in 0..columns {
            for line in self.bytes.chunks_exact(row).rev() {
                bytes.extend_from_slice(line.get(column * samples..(column + 1) * samples).unwrap_or_default());
            }
        }
        Self { width: high, height: wide, bytes, ..self }
    }

    /// A part of whole pixels, black where it lies outside.
    fn part(&self, [left, top]: [f64; 2], [wide, high]: [f64; 2]) -> Self {
        let (width, height) = (numbers::whole(wide).max(1), numbers::whole(high).max(1));
        let (left, top) = (numbers::nearest(left), numbers::nearest(top));
        let samples = i64::try_from(self.samples()).unwrap_or(1);
        let row = usize::try_from(i64::from(width) * samples).unwrap_or(0);
        let mut bytes = vec![0; row.saturating_mul(usize::try_from(height).unwrap_or(0))];
        let (from, to) = (left.max(0), (left + i64::from(width)).min(i64::from(self.width)));
        let place = |at: i64| usize::try_from(at * samples).unwrap_or(0);
        for (line, number) in bytes.chunks_exact_mut(row.max(1)).zip(top..) {
            let Ok(number) = usize::try_from(number) else { continue };
            let own = self.bytes.chunks_exact(self.row_bytes()).nth(number);
            let own = own.and_then(|own| own.get(place(from)..place(to.max(from))));
            let target = line.get_mut(place(from - left)..place(to.max(from) - left));
            if let (Some(own), Some(target)) = (own, target) {
                target.copy_from_slice(own);
            }
        }
        Self { width, height, bytes, ..self.bare() }
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
            (false, grey_of(description, number, (frame.photometric, frame.signed), options).apply(frame))
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
    let picture = Picture { width: frame.columns, height: frame.rows, colour, bytes, profile: None };
    finished(picture, description, number, options)
}

/// The picture of a frame of real numbers, `number` from 0.
///
/// # Errors
/// As [`picture`].
pub fn picture_of_reals(
    frame: &Reals,
    description: &Description,
    number: u32,
    options: &Options,
) -> Result<Picture, RenderError> {
    let photometric = description.format().map_or(Photometric::Monochrome2, |format| format.photometric);
    let grey = grey_of(description, number, (photometric, true), options);
    let bytes = grey.apply_reals(frame, description.real_padding());
    let picture = Picture { width: frame.columns, height: frame.rows, colour: false, bytes, profile: None };
    finished(picture, description, number, options)
}

/// How grey values of a frame are shown as it is asked.
fn grey_of(
    description: &Description,
    number: u32,
    (photometric, signed): (Photometric, bool),
    options: &Options,
) -> Grey {
    let mut grey = description.grey(number, photometric, signed);
    if let Some(state) = &options.presentation {
        state.tone(&mut grey, description, number, signed);
    }
    if let Some(window) = options.window {
        grey.voi = Voi::Window(window);
    } else if let (Voi::Range, Some((low, high))) = (&grey.voi, options.range) {
        grey.voi = Voi::Between(low, high);
    }
    grey
}

/// What is drawn over the pixels, size, text and colours.
fn finished(
    mut picture: Picture,
    description: &Description,
    number: u32,
    options: &Options,
) -> Result<Picture, RenderError> {
    match &options.presentation {
        Some(state) => picture = presented(picture, description, number, state, options)?,
        None => {
            if options.overlays {
                overlay::draw(&mut picture, description.root(), number);
                options.embedded.iter().for_each(|plane| overlay::draw_embedded(&mut picture, plane));
            }
            if let Some(viewport) = &options.viewport {
                picture = viewport.apply(&picture)?;
            }
        }
    }
    options.labels.draw(&mut picture);
    options.profile.apply(picture, description.profile())
}

/// A picture as a presentation state wants it seen, in the viewport asked for.
fn presented(
    picture: Picture,
    description: &Description,
    number: u32,
    state: &Presentation,
    options: &Options,
) -> Result<Picture, RenderError> {
    let mut picture = state.colours(picture);
    options.embedded.iter().for_each(|plane| overlay::draw_embedded(&mut picture, plane));
    state.cover(&mut picture, description, number);
    let (picture, place) = state.arrange(picture, description, number);
    let whole = [0.0, 0.0, f64::from(picture.width), f64::from(picture.height)];
    let (part, size) = match &options.viewport {
        Some(viewport) => {
            (viewport.part(picture.width, picture.height)?, viewport.size(picture.width, picture.height)?)
        }
        None => (whole, (picture.width, picture.height)),
    };
    let mut picture = match &options.viewport {
        Some(viewport) => viewport.apply(&picture)?,
        None => picture,
    };
    let mirrored = options.viewport.is_some_and(|viewport| viewport.mirrors());
    if !mirrored {
        state.annotate(&mut picture, description, number, &presentation::Mapped { place, part, size });
    }
    Ok(picture)
}
