//! A first, rough step to a small picture: squares of pixels become their mean while rows still come from the store.
//!
//! What is left is at least twice as large as the picture asked for, so that the filter of [`super::Viewport`] decides
//! how it looks; and only the rows that are shown are asked for.

use super::{Picture, RenderError, Viewport};
use std::ops::Range;

/// Longest side of a square.
const FACTOR_MAX: u32 = 8;
/// Rows of the shrunk picture that are made at once.
const STRIP: u32 = 32;

/// How a picture is shrunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrink {
    /// Side of a square in pixels.
    factor: u32,
    /// Width of the whole picture.
    width: u32,
    /// Height of the whole picture.
    height: u32,
    /// First row that is needed; a multiple of the factor.
    first: u32,
    /// Row behind the last one that is needed.
    end: u32,
}

impl Shrink {
    /// The step before a viewport is filled; nothing where the picture is not much larger than it.
    pub(super) fn of(viewport: &Viewport, width: u32, height: u32) -> Option<Self> {
        let (small, [_, top, wide, high]) = (viewport.size(width, height).ok()?, viewport.part(width, height).ok()?);
        let ratio = (wide / f64::from(small.0)).min(high / f64::from(small.1));
        let factor = super::numbers::whole((ratio / 2.0).floor()).min(FACTOR_MAX);
        if factor < 2 {
            return None;
        }
        // The filter looks two pixels of its target beyond an edge.
        let beyond = (ratio * 2.0).ceil();
        let first = super::numbers::whole((top - beyond).floor()) / factor * factor;
        let end = super::numbers::whole((top + high + beyond).ceil()).clamp(1, height);
        (first < end).then_some(Self { factor, width, height, first, end })
    }

    /// The rows of the whole picture that each part is made of.
    #[must_use]
    pub fn strips(&self) -> Vec<Range<u32>> {
        let step = STRIP * self.factor;
        let count = (self.end - self.first).div_ceil(step);
        (0..count).map(|at| self.first + at * step..self.end.min(self.first + (at + 1) * step)).collect()
    }

    /// Shrinks grey rows; what is left of a square at an edge counts as one.
    #[must_use]
    pub fn apply(&self, rows: &[u8]) -> Vec<u8> {
        let wide = usize::try_from(self.width).unwrap_or(0).max(1);
        let factor = usize::try_from(self.factor).unwrap_or(1);
        let mut sums = vec![0_u16; wide];
        let mut out = Vec::with_capacity(rows.len() / (factor * factor) + wide);
        for band in rows.chunks(wide * factor) {
            sums.fill(0);
            let lines = band.chunks_exact(wide);
            let count = u32::try_from(lines.len()).unwrap_or(1);
            for line in lines {
                sums.iter_mut().zip(line).for_each(|(sum, byte)| *sum = sum.wrapping_add(u16::from(*byte)));
            }
            match factor {
                2 => across::<2>(&sums, count, &mut out),
                3 => across::<3>(&sums, count, &mut out),
                4 => across::<4>(&sums, count, &mut out),
                5 => across::<5>(&sums, count, &mut out),
                6 => across::<6>(&sums, count, &mut out),
                7 => across::<7>(&sums, count, &mut out),
                _ => across::<8>(&sums, count, &mut out),
            }
        }
        out
    }

    /// The picture in a viewport, from all shrunk parts in their order.
    ///
    /// # Errors
    /// [`RenderError`] where the parts do not make a picture.
    pub fn finish(&self, parts: &[Vec<u8>], viewport: &Viewport) -> Result<Picture, RenderError> {
        let (width, height) = (self.width.div_ceil(self.factor), (self.end - self.first).div_ceil(self.factor));
        let small = Picture { width, height, colour: false, bytes: parts.concat(), profile: None };
        let factor = f64::from(self.factor);
        let [left, top, wide, high] = viewport.part(self.width, self.height)?;
        let top = (top - f64::from(self.first)) / factor;
        let part = [left / factor, top, wide / factor, high / factor];
        let held = |from: f64, length: f64, side: u32| length.min(f64::from(side) - from);
        let part = [part[0], part[1], held(part[0], part[2], width), held(part[1], part[3], height)];
        viewport.fill(&small, part, viewport.size(self.width, self.height)?)
    }
}

/// Means of `N` sums of `lines` bytes each.
fn across<const N: usize>(sums: &[u16], lines: u32, out: &mut Vec<u8>) {
    let side = u32::try_from(N).unwrap_or(1);
    // Sums are at most 255 times their count: times the reciprocal, rounded up, their mean is the highest byte.
    let count = (lines * side).max(1);
    let reciprocal = (1_u32 << 24).div_ceil(count);
    let mean = |sum: u32| {
        let [.., mean] = sum.wrapping_mul(reciprocal).to_le_bytes();
        mean
    };
    let (squares, rest) = sums.as_chunks::<N>();
    out.extend(squares.iter().map(|square| {
        let sum: u32 = square.iter().fold(0, |sum, part| sum.wrapping_add(u32::from(*part)));
        mean(sum.wrapping_add(count / 2))
    }));
    if !rest.is_empty() {
        let count = lines * u32::try_from(rest.len()).unwrap_or(1);
        let sum: u32 = rest.iter().map(|part| u32::from(*part)).sum();
        out.push(u8::try_from((sum + count / 2) / count.max(1)).unwrap_or(u8::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: u32, height: u32) -> Picture {
        let byte =
            |row: u32, column: u32| u8::try_from((row * 255 / height + column * 255 / width) / 2).expect("a byte");
        let bytes = (0..height).flat_map(|row| (0..width).map(move |column| byte(row, column))).collect();
        Picture { width, height, colour: false, bytes, profile: None }
    }

    fn shrunk(picture: &Picture, viewport: &Viewport) -> Picture {
        let shrink = Shrink::of(viewport, picture.width, picture.height).expect("a step");
        let wide = usize::try_from(picture.width).expect("small");
        let place = |row: u32| usize::try_from(row).expect("small") * wide;
        let parts: Vec<Vec<u8>> = shrink
            .strips()
            .into_iter()
            .map(|rows| shrink.apply(&picture.bytes[place(rows.start)..place(rows.end)]))
            .collect();
        shrink.finish(&parts, viewport).expect("a picture")
    }

    #[test]
    fn a_shrunk_picture_is_near_the_one_that_is_scaled_at_once() {
        for (width, height) in [(900, 1_300), (1_021, 777), (640, 4_001)] {
            let picture = ramp(width, height);
            for text in ["100,100", "50,90", "30,30,100,200,500,400", "40,40,0,300,-500,-420"] {
                let viewport = Viewport::parse(text).expect("a viewport");
                let (one, other) = (shrunk(&picture, &viewport), viewport.apply(&picture).expect("a picture"));
                assert_eq!((one.width, one.height), (other.width, other.height), "{width} × {height}, {text}");
                let worst = one.bytes.iter().zip(&other.bytes).map(|(one, other)| one.abs_diff(*other)).max();
                assert!(worst <= Some(2), "{width} × {height}, {text}: {worst:?}");
            }
        }
    }

    #[test]
    fn means_are_rounded_at_every_factor_and_edge() {
        for factor in 2..=FACTOR_MAX {
            for value in [0, 1, 127, 254, 255] {
                let shrink = Shrink { factor, width: factor * 2 + 1, height: 9, first: 0, end: 9 };
                let rows = vec![value; usize::try_from((factor * 2 + 1) * (factor + 1)).expect("small")];
                assert_eq!(shrink.apply(&rows), vec![value; 6], "{factor}");
            }
        }
        let shrink = Shrink { factor: 2, width: 2, height: 2, first: 0, end: 2 };
        assert_eq!(shrink.apply(&[0, 1, 1, 0]), [1]);
    }

    #[test]
    fn little_smaller_pictures_take_no_step() {
        let viewport = Viewport::fit(100, 100);
        assert_eq!(Shrink::of(&viewport, 399, 200), None);
        assert!(Shrink::of(&viewport, 400, 200).is_some_and(|shrink| shrink.factor == 2));
        assert!(Shrink::of(&viewport, 90_000, 200).is_some_and(|shrink| shrink.factor == FACTOR_MAX));
    }
}
