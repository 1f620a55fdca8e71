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

    fn short_sides(&self) -> Result<(u16, u16), RenderError> {
        let side = |side: u32| u16::try_from(side).map_err(|_| failed(format!("a side of {side} pixels is too long")));
        Ok((side(self.width)?, side(self.height)?))
    }
}

/// Pictures of one size one after the other, again and again, `step` apart.
///
/// Grey pictures keep every level; colours are brought to 256 of them a frame.
///
/// # Errors
/// No picture, or sides longer than GIF can hold.
pub fn animate(pictures: &[Picture], step: Duration) -> Result<Vec<u8>, RenderError> {
    let first = pictures.first().ok_or_else(|| failed("there is none"))?;
    let (width, height) = first.short_sides()?;
    let greys: Vec<u8> = (0..=u8::MAX).flat_map(|level| [level; 3]).collect();
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, width, height, &greys).map_err(failed)?;
    if pictures.len() > 1 {
        encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
    }
    let delay = u16::try_from(step.as_millis() / 10).unwrap_or(u16::MAX);
    for picture in pictures {
        let mut frame = match picture.colour {
            true => gif::Frame::from_rgb_speed(width, height, &picture.bytes, 10),
            false => gif::Frame { width, height, buffer: Cow::Borrowed(&picture.bytes), ..gif::Frame::default() },
        };
        frame.delay = delay;
        encoder.write_frame(&frame).map_err(failed)?;
    }
    drop(encoder);
    Ok(out)
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
