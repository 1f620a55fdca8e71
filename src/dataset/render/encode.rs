//! Pictures as PNG and GIF (PS3.18 Table 8.7.4-1): the same bytes for the same picture, whoever asks.
//!
//! JPEG is written by the codecs' crate, strip by strip.

use super::{Picture, RenderError, png};
use gif::Repeat;
use std::borrow::Cow;
use std::time::Duration;

/// A media type of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// `image/jpeg`, baseline.
    #[default]
    Jpeg,
    /// `image/png`.
    Png,
    /// `image/gif`.
    Gif,
}

impl Encoding {
    /// All of them, the usual one first.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::Gif];

    /// Media type.
    #[must_use]
    pub fn media(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
        }
    }
}

fn failed(error: impl std::fmt::Display) -> RenderError {
    RenderError::Encoder(format!("the picture cannot be written: {error}"))
}

impl Picture {
    /// The picture as PNG.
    ///
    /// # Errors
    /// More bytes than a PNG file holds.
    pub fn png(&self) -> Result<Vec<u8>, RenderError> {
        png::write(self).map_err(failed)
    }

    /// The picture in the middle of a larger one, which is black.
    fn centred(&self, (width, height): (u32, u32)) -> Self {
        let edge = |whole: u32, own: u32| ((f64::from(own) - f64::from(whole)) / 2.0).floor();
        self.part([edge(width, self.width), edge(height, self.height)], [f64::from(width), f64::from(height)])
    }
}

/// Pictures one after the other, again and again, each written when it comes.
///
/// Grey pictures keep every level; colours are brought to 256 of them a frame. A picture of another size lies in the
/// middle, on black.
pub struct Animation {
    encoder: gif::Encoder<Vec<u8>>,
    width: u16,
    height: u16,
    /// Hundredths of a second.
    delay: u16,
}

impl Animation {
    /// Begins one of that width and height, `step` apart, which `repeats` unless it is a single picture.
    ///
    /// # Errors
    /// Sides longer than GIF can hold.
    pub fn new((width, height): (u32, u32), repeats: bool, step: Duration) -> Result<Self, RenderError> {
        let side = |side: u32| u16::try_from(side).map_err(|_| failed(format!("a side of {side} pixels is too long")));
        let (width, height) = (side(width)?, side(height)?);
        let greys: Vec<u8> = (0..=u8::MAX).flat_map(|level| [level; 3]).collect();
        let mut encoder = gif::Encoder::new(Vec::new(), width, height, &greys).map_err(failed)?;
        if repeats {
            encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
        }
        let delay = u16::try_from(step.as_millis() / 10).unwrap_or(u16::MAX);
        Ok(Self { encoder, width, height, delay })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// What writing it comes to.
    pub fn push(&mut self, picture: &Picture) -> Result<(), RenderError> {
        let (width, height) = (self.width, self.height);
        let size = (u32::from(width), u32::from(height));
        let picture = match (picture.width, picture.height) == size {
            true => Cow::Borrowed(picture),
            false => Cow::Owned(picture.centred(size)),
        };
        let mut frame = match picture.colour {
            true => gif::Frame::from_rgb_speed(width, height, &picture.bytes, 10),
            false => gif::Frame { width, height, buffer: Cow::Borrowed(&picture.bytes), ..gif::Frame::default() },
        };
        frame.delay = self.delay;
        self.encoder.write_frame(&frame).map_err(failed)
    }

    /// How many bytes it has so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// Its bytes.
    ///
    /// # Errors
    /// What writing the end comes to.
    pub fn finish(self) -> Result<Vec<u8>, RenderError> {
        self.encoder.into_inner().map_err(failed)
    }
}

/// Pictures one after the other, as large as the widest and the highest of them.
///
/// # Errors
/// No picture, or sides longer than GIF can hold.
pub fn animate(pictures: &[Picture], step: Duration) -> Result<Vec<u8>, RenderError> {
    let width = pictures.iter().map(|picture| picture.width).max();
    let height = pictures.iter().map(|picture| picture.height).max();
    let size = width.zip(height).ok_or_else(|| failed("there is none"))?;
    let mut animation = Animation::new(size, pictures.len() > 1, step)?;
    pictures.iter().try_for_each(|picture| animation.push(picture))?;
    animation.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(colour: bool) -> Picture {
        let samples = if colour { 3 } else { 1 };
        let bytes = (0..16 * 16 * samples).map(|at| u8::try_from(at % 256).expect("a byte")).collect();
        Picture { width: 16, height: 16, colour, bytes, profile: None }
    }

    #[test]
    fn every_media_type_begins_as_it_should_and_never_differs() {
        for colour in [false, true] {
            let picture = ramp(colour);
            let gif = || animate(std::slice::from_ref(&picture), Duration::ZERO).expect("a picture");
            let png = || picture.png().expect("a picture");
            assert!(png().starts_with(b"\x89PNG") && png() == png());
            assert!(gif().starts_with(b"GIF89a") && gif() == gif());
        }
    }

    #[test]
    fn a_smaller_picture_lies_in_the_middle_on_black() {
        let white = |width: u32, height: u32, colour: bool| {
            let samples = if colour { 3 } else { 1 };
            let len = usize::try_from(width * height).expect("small") * samples;
            Picture { width, height, colour, bytes: vec![255; len], profile: None }
        };
        let bytes = animate(&[white(4, 2, false), white(2, 4, true)], Duration::from_millis(100)).expect("pictures");
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(bytes.as_slice()).expect("a GIF");
        assert_eq!((decoder.width(), decoder.height()), (4, 4));
        let mut shown = Vec::new();
        while let Some(frame) = decoder.read_next_frame().expect("a frame") {
            shown.push(frame.buffer.chunks_exact(4).map(|pixel| pixel[0]).collect::<Vec<u8>>());
        }
        let (on, off) = ([255; 4], [0; 4]);
        assert_eq!(shown, [[off, on, on, off].concat(), [0, 255, 255, 0].repeat(4)]);
    }

    #[test]
    fn an_animation_holds_every_frame() {
        let three = animate(&[ramp(false), ramp(false), ramp(false)], Duration::from_millis(40)).expect("pictures");
        // Each begins with its own time: 4 hundredths of a second.
        assert_eq!(three.windows(6).filter(|bytes| bytes.starts_with(b"!\xF9\x04") && bytes[4] == 4).count(), 3);
        assert!(three.windows(11).any(|bytes| bytes == b"NETSCAPE2.0"));
        assert!(animate(&[], Duration::ZERO).is_err());
        let long = Picture { width: 70_000, height: 1, colour: false, bytes: vec![0; 70_000], profile: None };
        assert!(animate(&[long], Duration::ZERO).is_err());
    }
}
