//! The part of a picture that is shown and its size (PS3.18 section 8.3.5.1.3): cut, mirrored, scaled with averaging.

use super::numbers::whole;
use super::window::BadParameter;
use super::{Picture, RenderError};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Longest side of an answer in pixels; what JPEG could hold is four times as much.
pub const SIDE_MAX: u32 = 16_384;

/// A size to fit into and the part of the picture to show there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// Width of the viewport in pixels.
    pub width: u32,
    /// Height of the viewport in pixels.
    pub height: u32,
    /// Left and upper edge, width and height of the part in pixels of the picture; a negative size mirrors.
    pub region: [Option<f64>; 4],
}

impl Viewport {
    /// A box the whole picture is fitted into.
    #[must_use]
    pub fn fit(width: u32, height: u32) -> Self {
        Self { width, height, region: [None; 4] }
    }

    /// Reads `vw,vh[,sx,sy,sw,sh]`; parts of the region may be left empty.
    ///
    /// # Errors
    /// Anything that is no viewport, or one beyond [`SIDE_MAX`].
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        let bad = || BadParameter("viewport is width,height or width,height,x,y,w,h in pixels".into());
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let (size, rest) = parts.split_first_chunk::<2>().ok_or_else(bad)?;
        let [width, height] = size.map(|side| side.parse::<u32>().ok());
        let (width, height) = width.zip(height).ok_or_else(bad)?;
        if ![width, height].iter().all(|side| (1..=SIDE_MAX).contains(side)) {
            return Err(BadParameter(format!("the sides of a viewport are 1 to {SIDE_MAX} pixels")));
        }
        if rest.len() > 4 {
            return Err(bad());
        }
        let mut region = [None; 4];
        for (to, text) in region.iter_mut().zip(rest).filter(|(_, text)| !text.is_empty()) {
            *to = Some(text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(bad)?);
        }
        let [left, top, wide, high] = region;
        if [left, top].iter().flatten().any(|edge| *edge < 0.0) || [wide, high].contains(&Some(0.0)) {
            return Err(BadParameter("the region of a viewport begins inside the picture and is not empty".into()));
        }
        Ok(Self { width, height, region })
    }

    /// Width and height of what is shown of a picture: as large as fits.
    ///
    /// # Errors
    /// [`RenderError::Region`] where the part lies outside of the picture.
    pub fn size(&self, width: u32, height: u32) -> Result<(u32, u32), RenderError> {
        let [_, _, wide, high] = self.part(width, height)?;
        let scale = (f64::from(self.width) / wide).min(f64::from(self.height) / high);
        let side = |length: f64, most: u32| whole((length * scale).round()).clamp(1, most);
        Ok((side(wide, self.width), side(high, self.height)))
    }

    /// Whether the part is mirrored.
    pub(super) fn mirrors(&self) -> bool {
        let [.., wide, high] = self.region;
        [wide, high].iter().flatten().any(|side| *side < 0.0)
    }

    /// Left and upper edge, width and height of what is shown of a picture.
    pub(super) fn part(&self, width: u32, height: u32) -> Result<[f64; 4], RenderError> {
        let (whole_width, whole_height) = (f64::from(width), f64::from(height));
        let [left, top, wide, high] = self.region;
        let (left, top) = (left.unwrap_or(0.0), top.unwrap_or(0.0));
        let kept = |side: Option<f64>, rest: f64| side.map_or(rest, |side| side.abs().min(rest));
        let (wide, high) = (kept(wide, whole_width - left), kept(high, whole_height - top));
        match wide > 0.0 && high > 0.0 {
            true => Ok([left, top, wide, high]),
            false => Err(RenderError::Region { width, height }),
        }
    }

    /// The part of a picture in this viewport.
    pub(super) fn apply(&self, picture: &Picture) -> Result<Picture, RenderError> {
        self.fill(picture, self.part(picture.width, picture.height)?, self.size(picture.width, picture.height)?)
    }

    /// A part of a picture in the size that was worked out for it, mirrored as asked.
    pub(super) fn fill(&self, picture: &Picture, part: [f64; 4], size: (u32, u32)) -> Result<Picture, RenderError> {
        let mut shown = scaled(picture, part, size)?;
        let [.., wide, high] = self.region;
        if wide.is_some_and(|wide| wide < 0.0) {
            shown = shown.mirrored();
        }
        Ok(if high.is_some_and(|high| high < 0.0) { shown.upside_down() } else { shown })
    }
}

/// A part of a picture in another size.
fn scaled(picture: &Picture, part: [f64; 4], (width, height): (u32, u32)) -> Result<Picture, RenderError> {
    let [left, top, wide, high] = part;
    let kind = if picture.colour { PixelType::U8x3 } else { PixelType::U8 };
    let failed = |error: String| RenderError::Encoder(format!("the picture cannot be scaled: {error}"));
    let source =
        ImageRef::new(picture.width, picture.height, &picture.bytes, kind).map_err(|e| failed(e.to_string()))?;
    let mut target = Image::new(width, height, kind);
    let algorithm = ResizeAlg::Convolution(FilterType::CatmullRom);
    let options = ResizeOptions::new().crop(left, top, wide, high).resize_alg(algorithm).use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).map_err(|error| failed(error.to_string()))?;
    Ok(Picture { width, height, bytes: target.into_vec(), ..picture.bare() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, bytes: Vec<u8>) -> Picture {
        Picture { width, height, colour: false, bytes, profile: None }
    }

    #[test]
    fn the_aspect_ratio_is_kept() {
        let picture = grey(40, 20, vec![100; 800]);
        for (viewport, size) in [("10,10", (10, 5)), ("100,10", (20, 10)), ("80,80", (80, 40)), ("1,16384", (1, 1))] {
            let shown = Viewport::parse(viewport).expect("a viewport").apply(&picture).expect("a picture");
            assert_eq!((shown.width, shown.height), size, "{viewport}");
            assert!(shown.bytes.iter().all(|byte| *byte == 100), "flat stays flat");
        }
    }

    #[test]
    fn a_part_is_cut_and_mirrored() {
        let picture = grey(4, 1, vec![0, 50, 100, 150]);
        let shown = |text: &str| Viewport::parse(text).expect("a viewport").apply(&picture).map(|shown| shown.bytes);
        assert_eq!(shown("2,1,1,0,2,1"), Ok(vec![50, 100]));
        assert_eq!(shown("2,1,1,0,-2,1"), Ok(vec![100, 50]));
        assert_eq!(shown("2,1,2"), Ok(vec![100, 150]));
        assert_eq!(shown("2,1,4,0,1,1"), Err(RenderError::Region { width: 4, height: 1 }));
        let upright = grey(1, 2, vec![1, 9]);
        let flipped = Viewport::parse("1,2,0,0,1,-2").expect("a viewport").apply(&upright).expect("a picture");
        assert_eq!(flipped.bytes, [9, 1]);
    }

    #[test]
    fn what_is_no_viewport_says_why() {
        for text in ["", "5", "0,5", "5,0", "1,100000", "-1,5", "5,5,-1,0,1,1", "5,5,0,0,0,1", "1,1,1,1,1,1,1", "a,b"] {
            assert!(Viewport::parse(text).is_err(), "{text}");
        }
        assert_eq!(Viewport::parse("5, 6,,2").expect("a viewport").region, [None, Some(2.0), None, None]);
    }
}
