//! Overlay planes (PS3.3 C.9.2): drawn in white over a picture, where a request asks for annotations, or a presentation
//! state activates them: it alone decides then (PS3.3 C.11.7).
//!
//! Planes in unused bits of the pixel data (retired in PS3.3-2004) lie in no value of their own: whoever has the frame
//! reads those bits as frames of one bit, and they are drawn from there.

use super::Picture;
use super::tree::Node;
use crate::pixels::{DecodedFrame, PixelFormat, Words};
use std::ops::Range;

/// Groups a plane can have.
const GROUPS: std::ops::RangeInclusive<u32> = 0x6000..=0x601E;

/// Overlay Activation Layer (60xx,1001) of a presentation state.
pub(super) const ACTIVATION: u32 = 0x1001;

/// A plane in an unused bit of the pixels: Overlay Bit Position (60xx,0102) names it, and it has no Overlay Data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// Its group, 0x6000 to 0x601E.
    pub group: u16,
    /// Its bit of a cell, from 0.
    pub bit: u8,
}

impl Embedded {
    /// The planes of a data set, as far as their bits are none of the samples' own.
    pub(super) fn all(root: &Node, format: &PixelFormat) -> Vec<Self> {
        let lowest = (format.high + 1).saturating_sub(format.stored);
        let unused = |bit: u8| bit < format.allocated && !(lowest..=format.high).contains(&bit);
        let of = |group: u32| {
            let bit = u8::try_from(root.word(group << 16 | 0x0102)?).ok().filter(|bit| *bit > 0 && unused(*bit))?;
            let bare = root.value(group << 16 | 0x3000).is_none() && format.samples == 1;
            bare.then_some(Self { group: u16::try_from(group).ok()?, bit })
        };
        GROUPS.step_by(2).filter_map(of).collect()
    }

    /// How its bit is read as a sample.
    #[must_use]
    pub fn format(self, image: &PixelFormat) -> PixelFormat {
        PixelFormat { stored: 1, high: self.bit, signed: false, ..image.clone() }
    }
}

/// Draws a plane that was read from the pixels of the frame that is shown.
pub(super) fn draw_embedded(picture: &mut Picture, plane: &DecodedFrame) {
    let Words::Eight(bits) = &plane.words else { return };
    if (plane.columns, plane.rows) != (picture.width, picture.height) {
        return;
    }
    let samples = if picture.colour { 3 } else { 1 };
    for (pixel, _) in picture.bytes.chunks_exact_mut(samples).zip(bits).filter(|(_, bit)| **bit == 1) {
        pixel.fill(u8::MAX);
    }
}

/// Draws every plane of a data set over the picture of a frame (from 0).
pub(super) fn draw(picture: &mut Picture, root: &Node, frame: u32) {
    for group in GROUPS.step_by(2) {
        if let Some(plane) = Plane::of(root, group, frame) {
            plane.draw(picture, u8::MAX);
        }
    }
}

/// Draws the planes that a presentation state activates: those of the image, and its own, by their groups.
pub(super) fn draw_active(picture: &mut Picture, image: &Node, state: &Node, frame: u32) {
    for group in GROUPS.step_by(2).filter(|group| state.text(group << 16 | ACTIVATION).is_some()) {
        if let Some(plane) = Plane::of(state, group, frame).or_else(|| Plane::of(image, group, frame)) {
            plane.draw(picture, u8::MAX);
        }
    }
}

/// Covers what a plane marks, as a bitmap shutter does.
pub(super) fn cover(picture: &mut Picture, root: &Node, group: u32, frame: u32, tone: u8) {
    if let Some(plane) = GROUPS.contains(&group).then(|| Plane::of(root, group, frame)).flatten() {
        plane.draw(picture, tone);
    }
}

/// One plane for one frame.
struct Plane<'a> {
    rows: u32,
    columns: u32,
    /// Row and column of its upper left pixel, from 0.
    origin: (i64, i64),
    bits: &'a [u8],
    /// First bit.
    start: u64,
}

impl<'a> Plane<'a> {
    fn of(root: &'a Node, group: u32, frame: u32) -> Option<Self> {
        let tag = |element: u32| group << 16 | element;
        let (rows, columns) = (u32::from(root.word(tag(0x10))?), u32::from(root.word(tag(0x11))?));
        let bits = root.value(tag(0x3000))?.bytes.as_slice();
        let frames = root.decimal(tag(0x15)).map_or(1, super::numbers::whole).max(1);
        let first = u32::from(root.word(tag(0x51)).unwrap_or(1).max(1)) - 1;
        // A single plane without a first frame lies over all of them.
        let number = match root.word(tag(0x51)) {
            None if frames == 1 => 0,
            _ => frame.checked_sub(first).filter(|number| *number < frames)?,
        };
        let origin = root.value(tag(0x50)).map(|value| value.words()).unwrap_or_default();
        let edge = |at: usize| origin.get(at).map_or(0, |word| i64::from(word.cast_signed()) - 1);
        let start = u64::from(number).checked_mul(u64::from(rows) * u64::from(columns))?;
        Some(Self { rows, columns, origin: (edge(0), edge(1)), bits, start })
    }

    fn draw(&self, picture: &mut Picture, tone: u8) {
        let width = usize::try_from(picture.width).unwrap_or(0);
        let samples = if picture.colour { 3 } else { 1 };
        // Only what lies over the picture: a plane may say that it is far larger.
        let rows = covered(self.rows, self.origin.0, picture.height);
        let columns = covered(self.columns, self.origin.1, picture.width);
        for row in rows {
            let Ok(y) = usize::try_from(i64::from(row) + self.origin.0) else { continue };
            for column in columns.clone() {
                let Ok(x) = usize::try_from(i64::from(column) + self.origin.1) else { continue };
                if !self.is_set(row, column) {
                    continue;
                }
                let at = (y * width + x) * samples;
                if let Some(pixel) = picture.bytes.get_mut(at..at + samples) {
                    pixel.fill(tone);
                }
            }
        }
    }

    fn is_set(&self, row: u32, column: u32) -> bool {
        let bit = self.start + u64::from(row) * u64::from(self.columns) + u64::from(column);
        let byte = usize::try_from(bit / 8).ok().and_then(|at| self.bits.get(at)).copied().unwrap_or(0);
        byte >> (bit % 8) & 1 == 1
    }
}

/// The rows, or columns, of a plane that lie over a picture of `side`, where its first lies at `origin`.
fn covered(count: u32, origin: i64, side: u32) -> Range<u32> {
    let held = |place: i64| u32::try_from(place.clamp(0, i64::from(count))).unwrap_or(0);
    held(-origin)..held(i64::from(side) - origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_costs_what_of_it_lies_over_the_picture() {
        assert_eq!(covered(65_535, 0, 2), 0..2);
        assert_eq!(covered(65_535, -10, 2), 10..12);
        assert_eq!(covered(3, 1, 9), 0..3);
        assert_eq!((covered(3, 9, 9), covered(3, -9, 9)), (0..0, 3..3));
        assert_eq!(covered(u32::MAX, i64::from(i16::MIN), 1), 32_768..32_769);
    }

    #[test]
    fn a_plane_is_drawn_at_its_origin_and_cut_at_the_edges() {
        let origin: Vec<u8> = [0_i16, 2].iter().flat_map(|edge| edge.to_le_bytes()).collect();
        let root = Node::default()
            .with(0x6000_0010, &[2, 0])
            .with(0x6000_0011, &[3, 0])
            .with(0x6000_0050, &origin)
            .with(0x6000_3000, &[0b0010_1111, 0]);
        let mut picture = Picture { width: 3, height: 2, colour: false, bytes: vec![0; 6], profile: None };
        draw(&mut picture, &root, 5);
        // The plane's first row lies above the picture, its third column right of it.
        assert_eq!(picture.bytes, [0, 255, 0, 0, 0, 0]);
        let mut colour = Picture { width: 3, height: 1, colour: true, bytes: vec![0; 9], profile: None };
        draw(&mut colour, &root.with(0x6000_0051, &[7, 0]), 0);
        assert_eq!(colour.bytes, [0; 9], "it belongs to the seventh frame");
    }
}
