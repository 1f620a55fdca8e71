//! Graphic annotations of presentation states (PS3.3 C.10.5): points, lines, circles, ellipses, curves and text.
//!
//! Drawn in the picture's own resolution, so that lines stay thin and text stays readable in a small viewport.

use super::Picture;
use super::canvas::{Canvas, Point};
use super::presentation::Mapped;
use super::tree::Node;
use crate::charset::{Charset, Notes};
use crate::vr::Vr;
use model::facility::CharsetHint;

/// Graphic Annotation Sequence.
pub(super) const ANNOTATIONS: u32 = 0x0070_0001;
const TEXTS: u32 = 0x0070_0008;
const SHAPES: u32 = 0x0070_0009;
const LAYERS: u32 = 0x0070_0060;
/// Objects of one annotation that are drawn, and points of one of them.
const OBJECTS_MAX: usize = 1_000;
const POINTS_MAX: usize = 20_000;
/// Pieces of a closed curve, and of a curve between two points.
const PIECES: u32 = 90;
const CURVE: u32 = 12;

/// Draws an item of the annotation sequence.
pub(super) fn draw(picture: &mut Picture, root: &Node, item: &Node, place: &Mapped, charset: &[u8]) {
    let layer = item.text(0x0070_0002);
    let layers = root.items(LAYERS).iter();
    let tone = layers.filter(|node| node.text(0x0070_0002) == layer).find_map(|node| node.word(0x0070_0066));
    let mut canvas = Canvas::new(picture);
    canvas.tone = tone.map_or(u8::MAX, |value| u8::try_from(value >> 8).unwrap_or(u8::MAX));
    for shape in item.items(SHAPES).iter().take(OBJECTS_MAX) {
        draw_shape(&mut canvas, shape, place);
    }
    for text in item.items(TEXTS).iter().take(OBJECTS_MAX) {
        draw_text(&mut canvas, text, place, charset);
    }
}

/// The points of a value, in pixels of the finished picture.
fn points(node: &Node, tag: u32, units: u32, place: &Mapped) -> Vec<Point> {
    let shares = node.text(units).as_deref() == Some("DISPLAY");
    let numbers = node.value(tag).map(|value| value.floats()).unwrap_or_default();
    let pairs = numbers.as_chunks::<2>().0.iter().take(POINTS_MAX);
    pairs.map(|[x, y]| if shares { place.share((*x, *y)) } else { place.pixel((*x, *y)) }).collect()
}

fn draw_shape(canvas: &mut Canvas<'_>, shape: &Node, place: &Mapped) {
    let points = points(shape, 0x0070_0022, 0x0070_0005, place);
    let filled = shape.text(0x0070_0024).as_deref() == Some("Y");
    let lines = match (shape.text(0x0070_0023).as_deref(), points.as_slice()) {
        (Some("POINT"), [point, ..]) => return canvas.dot(*point, 3.0),
        (Some("POLYLINE"), [_, _, ..]) => points,
        (Some("INTERPOLATED"), [_, _, ..]) => curve(&points),
        (Some("CIRCLE"), [middle, edge, ..]) => {
            let radius = (edge.0 - middle.0).hypot(edge.1 - middle.1);
            closed(*middle, (radius, 0.0), (0.0, radius))
        }
        // The ends of the major axis, then those of the minor one.
        (Some("ELLIPSE"), [a, b, c, d, ..]) => {
            let half = |one: &Point, other: &Point| ((other.0 - one.0) / 2.0, (other.1 - one.1) / 2.0);
            closed(((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0), half(a, b), half(c, d))
        }
        _ => return,
    };
    if filled {
        canvas.fill(&lines, canvas.tone, false);
    }
    canvas.polyline(&lines);
}

/// A closed curve around a middle with two half axes.
fn closed(middle: Point, major: Point, minor: Point) -> Vec<Point> {
    let at = |step: u32| {
        let angle = f64::from(step) / f64::from(PIECES) * std::f64::consts::TAU;
        let (sine, cosine) = angle.sin_cos();
        (middle.0 + major.0 * cosine + minor.0 * sine, middle.1 + major.1 * cosine + minor.1 * sine)
    };
    (0..=PIECES).map(at).collect()
}

/// A smooth curve through points, by the rule of Catmull and Rom; the standard leaves the kind of curve open.
fn curve(points: &[Point]) -> Vec<Point> {
    let mut out = Vec::with_capacity(points.len() * 12);
    for (at, pair) in points.windows(2).enumerate() {
        let [from, to] = pair else { continue };
        let before = at.checked_sub(1).and_then(|at| points.get(at)).unwrap_or(from);
        let behind = points.get(at + 2).unwrap_or(to);
        for step in 0..CURVE {
            let t = f64::from(step) / f64::from(CURVE);
            let mix = |a: f64, b: f64, c: f64, d: f64| {
                0.5 * (2.0 * b
                    + (c - a) * t
                    + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
                    + (3.0 * b - a - 3.0 * c + d) * t * t * t)
            };
            out.push((mix(before.0, from.0, to.0, behind.0), mix(before.1, from.1, to.1, behind.1)));
        }
    }
    out.extend(points.last());
    out
}

fn draw_text(canvas: &mut Canvas<'_>, text: &Node, place: &Mapped, charset: &[u8]) {
    let Some(value) = text.value(0x0070_0006) else { return };
    let charset = Charset::new(charset, CharsetHint::Auto);
    let written = charset.decode(&value.bytes, Vr::ST, &mut Notes::default());
    let lines: Vec<&str> = written.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let corner = |tag: u32| points(text, tag, 0x0070_0003, place).first().copied();
    let (one, other) = (corner(0x0070_0010), corner(0x0070_0011));
    let anchor = points(text, 0x0070_0014, 0x0070_0004, place).first().copied();
    let count = f64::from(u32::try_from(lines.len()).unwrap_or(1).max(1));
    // The box gives the size, within what is read and what fits; an anchor alone has none.
    let usual = (f64::from(place.size.1) / 45.0).clamp(11.0, 40.0);
    let (at, size, wide) = match (one, other, anchor) {
        (Some(one), Some(other), _) => {
            let (left, top) = (one.0.min(other.0), one.1.min(other.1));
            let size = ((one.1 - other.1).abs() / count / 1.2).clamp(11.0, usual * 1.5);
            ((left, top), size, (one.0 - other.0).abs())
        }
        (_, _, Some(anchor)) => ((anchor.0 + 6.0, anchor.1 - usual), usual, 0.0),
        _ => return,
    };
    let side = text.text(0x0070_0012);
    for (number, line) in lines.iter().enumerate() {
        let spare = (wide - Canvas::width_of(line, size)).max(0.0);
        let shift = match side.as_deref() {
            Some("RIGHT") => spare,
            Some("CENTER") => spare / 2.0,
            _ => 0.0,
        };
        let down = f64::from(u32::try_from(number).unwrap_or(0)) * size * 1.2;
        canvas.text((at.0 + shift, at.1 + down), size, line);
    }
    let visible = text.text(0x0070_0015).as_deref() == Some("Y");
    if let (true, Some(anchor), Some(_)) = (visible, anchor, one) {
        canvas.line(anchor, (at.0, at.1 + size * 0.6));
    }
}
