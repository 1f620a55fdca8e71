//! Drawing on finished pictures: lines, filled shapes and text, with soft edges, in one brightness.
//!
//! Everything is cut at the picture's edges; what lies far outside costs nothing.

use super::Picture;
use super::numbers::{byte, nearest, whole};
use ab_glyph::{Font, FontRef, PxScale, ScaleFont};

/// DejaVu Sans, cut down to what Vietnamese and technical notes need; its licence lies beside it.
const FONT: &[u8] = include_bytes!("font/dejavu-sans-subset.ttf");
/// Half the thickness of a line in pixels.
const REACH: f64 = 0.75;
/// Longest text that is drawn, in characters.
const TEXT_MAX: usize = 1_024;

/// A place in a picture, from its upper left corner, in pixels.
pub(super) type Point = (f64, f64);

/// A picture that is drawn on.
pub(super) struct Canvas<'a> {
    picture: &'a mut Picture,
    /// Brightness of what is drawn.
    pub(super) tone: u8,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(picture: &'a mut Picture) -> Self {
        Self { picture, tone: u8::MAX }
    }

    /// Mixes a tone into a pixel; `share` from 0 to 1.
    fn mix(&mut self, x: i64, y: i64, share: f64, tone: u8) {
        let (wide, high) = (i64::from(self.picture.width), i64::from(self.picture.height));
        if share <= 0.0 || !(0..wide).contains(&x) || !(0..high).contains(&y) {
            return;
        }
        let samples = self.picture.samples();
        let at = usize::try_from(y * wide + x).unwrap_or(usize::MAX).saturating_mul(samples);
        let Some(pixel) = self.picture.bytes.get_mut(at..at.saturating_add(samples)) else { return };
        for sample in pixel {
            *sample = byte(f64::from(*sample) + (f64::from(tone) - f64::from(*sample)) * share.min(1.0));
        }
    }

    /// Whole pixels from one place to another, cut at the edges; none where there are none.
    fn span(low: f64, high: f64, side: u32) -> std::ops::Range<i64> {
        let end = f64::from(side);
        i64::from(whole(low.clamp(0.0, end).floor()))..i64::from(whole(high.clamp(0.0, end).ceil()))
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: Point, to: Point) {
        let Some((from, to)) = self.cut(from, to) else { return };
        let (wide, high) = (to.0 - from.0, to.1 - from.1);
        let steps = whole(wide.hypot(high).ceil().max(1.0));
        let (mut last, tone) = ((i64::MIN, i64::MIN), self.tone);
        for step in 0..=steps {
            let share = f64::from(step) / f64::from(steps);
            let place = (from.0 + wide * share, from.1 + high * share);
            let pixel = (nearest(place.0.floor()), nearest(place.1.floor()));
            if pixel == last {
                continue;
            }
            last = pixel;
            for y in pixel.1 - 1..=pixel.1 + 1 {
                for x in pixel.0 - 1..=pixel.0 + 1 {
                    let distance =
                        distance_to((from, to), (super::numbers::real(x) + 0.5, super::numbers::real(y) + 0.5));
                    // Neighbours are met by several steps: only what is missing of their share is mixed in.
                    let share = (REACH + 0.5 - distance).clamp(0.0, 1.0);
                    if share > self.share_of(x, y) {
                        self.mix(x, y, share, tone);
                    }
                }
            }
        }
    }

    /// How near a pixel is to the tone already.
    fn share_of(&self, x: i64, y: i64) -> f64 {
        let samples = self.picture.samples();
        let at = y.checked_mul(i64::from(self.picture.width)).and_then(|row| usize::try_from(row + x).ok());
        let sample = at.and_then(|at| self.picture.bytes.get(at.saturating_mul(samples)));
        sample.map_or(1.0, |sample| f64::from(*sample) / f64::from(self.tone.max(1)))
    }

    /// The part of a line that lies in the picture and a little around it.
    fn cut(&self, from: Point, to: Point) -> Option<(Point, Point)> {
        let (mut start, mut end) = (0.0_f64, 1.0_f64);
        let size = (f64::from(self.picture.width), f64::from(self.picture.height));
        let (wide, high) = (to.0 - from.0, to.1 - from.1);
        for (step, place, side) in [(wide, from.0, size.0), (high, from.1, size.1)] {
            let (low, high) = (-2.0 - place, side + 2.0 - place);
            if step.abs() < 1e-9 {
                if low > 0.0 || high < 0.0 {
                    return None;
                }
                continue;
            }
            let (one, other) = (low / step, high / step);
            (start, end) = (start.max(one.min(other)), end.min(one.max(other)));
        }
        let at = |share: f64| (from.0 + wide * share, from.1 + high * share);
        (start <= end && wide.is_finite() && high.is_finite()).then(|| (at(start), at(end)))
    }

    /// Lines from each place to the next.
    pub(super) fn polyline(&mut self, points: &[Point]) {
        points.windows(2).for_each(|pair| {
            if let [from, to] = pair {
                self.line(*from, *to);
            }
        });
    }

    /// Fills what closed lines enclose, by the even-odd rule.
    pub(super) fn fill(&mut self, points: &[Point], tone: u8, outside: bool) {
        let (wide, high) = (self.picture.width, self.picture.height);
        let edges: Vec<(Point, Point)> = points.iter().copied().zip(points.iter().copied().cycle().skip(1)).collect();
        for row in 0..high {
            let y = f64::from(row) + 0.5;
            let mut crossings: Vec<f64> = edges
                .iter()
                .filter(|(from, to)| (from.1 <= y) != (to.1 <= y))
                .map(|(from, to)| from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0))
                .collect();
            crossings.sort_by(f64::total_cmp);
            let mut inside: Vec<f64> = crossings;
            if outside {
                inside.insert(0, 0.0);
                inside.push(f64::from(wide));
            }
            for pair in inside.chunks_exact(2) {
                let [from, to] = pair else { continue };
                for x in Self::span((from - 0.5).ceil(), (to - 0.5).ceil(), wide) {
                    self.mix(x, i64::from(row), 1.0, tone);
                }
            }
        }
    }

    /// A circle filled, as a point is shown.
    pub(super) fn dot(&mut self, (x, y): Point, radius: f64) {
        let tone = self.tone;
        for row in Self::span(y - radius - 1.0, y + radius + 1.0, self.picture.height) {
            for column in Self::span(x - radius - 1.0, x + radius + 1.0, self.picture.width) {
                let place = (super::numbers::real(column) + 0.5 - x, super::numbers::real(row) + 0.5 - y);
                self.mix(column, row, (radius + 0.5 - place.0.hypot(place.1)).clamp(0.0, 1.0), tone);
            }
        }
    }

    /// Width of a line of text in a size, in pixels.
    pub(super) fn width_of(text: &str, size: f64) -> f64 {
        Self::laid(text, size).map_or(0.0, |(_, width)| width)
    }

    /// Glyphs of a line with their places from its left end.
    fn laid(text: &str, size: f64) -> Option<(Vec<(ab_glyph::GlyphId, f64)>, f64)> {
        let font = FontRef::try_from_slice(FONT).ok()?;
        let scaled = font.as_scaled(scale(size));
        let (mut at, mut glyphs) = (0.0, Vec::new());
        for letter in text.chars().filter(|letter| !letter.is_control()).take(TEXT_MAX) {
            let glyph = font.glyph_id(letter);
            glyphs.push((glyph, at));
            at += f64::from(scaled.h_advance(glyph));
        }
        Some((glyphs, at))
    }

    /// A line of text whose upper left corner is at a place, on a dark edge so that it is read on any picture.
    pub(super) fn text(&mut self, (x, y): Point, size: f64, text: &str) {
        let Ok(font) = FontRef::try_from_slice(FONT) else { return };
        let Some((glyphs, _)) = Self::laid(text, size) else { return };
        let base = y + f64::from(font.as_scaled(scale(size)).ascent());
        let shadow = (size / 14.0).max(1.0);
        for (dx, dy, tone) in [(shadow, shadow, 0), (-shadow, 0.0, 0), (0.0, -shadow, 0), (0.0, 0.0, self.tone)] {
            for (glyph, at) in &glyphs {
                self.glyph(&font, (*glyph, scale(size)), (x + at + dx, base + dy), tone);
            }
        }
    }

    fn glyph(&mut self, font: &FontRef<'_>, (glyph, scale): (ab_glyph::GlyphId, PxScale), (x, y): Point, tone: u8) {
        let near = |place: f64, side: u32| place > -4_096.0 && place < f64::from(side) + 4_096.0;
        if !near(x, self.picture.width) || !near(y, self.picture.height) {
            return;
        }
        let glyph = glyph.with_scale_and_position(scale, ab_glyph::point(0.0, 0.0));
        let Some(outline) = font.outline_glyph(glyph) else { return };
        let bounds = outline.px_bounds();
        let left = nearest((x + f64::from(bounds.min.x)).round());
        let top = nearest((y + f64::from(bounds.min.y)).round());
        outline.draw(|column, row, share| {
            self.mix(left + i64::from(column), top + i64::from(row), f64::from(share), tone);
        });
    }
}

/// Height of a line in pixels as the font's crate takes it.
fn scale(size: f64) -> PxScale {
    // Sizes are whole pixels of a byte: nothing needs larger letters.
    PxScale::from(f32::from(byte(size.clamp(6.0, 200.0))))
}

/// Distance of a place to a line between two others.
fn distance_to((from, to): (Point, Point), place: Point) -> f64 {
    let (wide, high) = (to.0 - from.0, to.1 - from.1);
    let length = wide * wide + high * high;
    let share = if length > 0.0 { ((place.0 - from.0) * wide + (place.1 - from.1) * high) / length } else { 0.0 };
    let share = share.clamp(0.0, 1.0);
    (place.0 - from.0 - wide * share).hypot(place.1 - from.1 - high * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn black(width: u32, height: u32) -> Picture {
        let bytes = vec![0; usize::try_from(width * height).expect("small")];
        Picture { width, height, colour: false, bytes, profile: None }
    }

    #[test]
    fn lines_go_from_end_to_end_and_are_cut() {
        let mut picture = black(20, 20);
        Canvas::new(&mut picture).line((2.5, 5.5), (1e9, 5.5));
        assert_eq!((picture.bytes[5 * 20 + 2], picture.bytes[5 * 20 + 19]), (255, 255));
        assert_eq!(picture.bytes[9 * 20 + 10], 0);
        let before = picture.clone();
        for (from, to) in [((-9.0, -9.0), (-5.0, 40.0)), ((f64::NAN, 0.0), (1.0, 1.0)), ((0.0, 90.0), (20.0, 90.0))] {
            Canvas::new(&mut picture).line(from, to);
        }
        assert_eq!(picture, before);
    }

    #[test]
    fn shapes_are_filled_inside_or_outside() {
        let square = [(5.0, 5.0), (15.0, 5.0), (15.0, 15.0), (5.0, 15.0)];
        for outside in [false, true] {
            let mut picture = black(20, 20);
            Canvas::new(&mut picture).fill(&square, 200, outside);
            let set = picture.bytes.iter().filter(|byte| **byte == 200).count();
            assert_eq!(set, if outside { 300 } else { 100 });
        }
    }

    #[test]
    fn vietnamese_letters_have_glyphs() {
        let font = FontRef::try_from_slice(FONT).expect("a font");
        let missing = font.glyph_id('\u{E000}');
        for letter in "NGUYỄN THỊ ÁNH đường Ưu tiên ằẵặẻợữỵỹ °±µ".chars() {
            assert_ne!(font.glyph_id(letter), missing, "{letter}");
        }
        let mut picture = black(200, 40);
        Canvas::new(&mut picture).text((4.0, 4.0), 20.0, "Nguyễn Thị Ánh");
        assert!(picture.bytes.iter().filter(|byte| **byte > 200).count() > 100);
        assert!(Canvas::width_of("Nguyễn", 20.0) > 40.0);
    }
}
