//! Display shutters (PS3.3 C.7.6.11 and C.7.6.15): what lies outside of all of them is one brightness.

use super::Picture;
use super::canvas::Canvas;
use super::overlay;
use super::tree::Node;

const SHAPE: u32 = 0x0018_1600;
/// Sides of the circle's polygon.
const SIDES: u32 = 180;

/// Covers what a data set's shutters hide.
pub(super) fn draw(picture: &mut Picture, root: &Node, frame: u32) {
    let tone = root.word(0x0018_1622).map_or(0, |value| u8::try_from(value >> 8).unwrap_or(0));
    let shapes = root.text(SHAPE).unwrap_or_default();
    for shape in shapes.split('\\').map(str::trim) {
        let edge = match shape {
            "RECTANGULAR" => rectangle(root),
            "CIRCULAR" => circle(root),
            "POLYGONAL" => polygon(root),
            "BITMAP" => {
                if let Some(group) = root.word(0x0018_1623) {
                    overlay::cover(picture, root, u32::from(group), frame, tone);
                }
                None
            }
            _ => None,
        };
        if let Some(edge) = edge {
            Canvas::new(picture).fill(&edge, tone, true);
        }
    }
}

/// Edges are the first and last hidden columns and rows, counted from 1.
fn rectangle(root: &Node) -> Option<Vec<(f64, f64)>> {
    let [left, right, top, bottom] = [0x0018_1602, 0x0018_1604, 0x0018_1606, 0x0018_1608].map(|tag| root.decimal(tag));
    let (left, right, top, bottom) = (left?, right? - 1.0, top?, bottom? - 1.0);
    Some(vec![(left, top), (right, top), (right, bottom), (left, bottom)])
}

/// Row and column of the middle, counted from 1, and the radius in pixels.
fn circle(root: &Node) -> Option<Vec<(f64, f64)>> {
    let middle = root.value(0x0018_1610)?.decimals();
    let [row, column, ..] = middle.as_slice() else { return None };
    let radius = root.decimal(0x0018_1612)?;
    let at = |step: u32| {
        let (sine, cosine) = (f64::from(step) / f64::from(SIDES) * std::f64::consts::TAU).sin_cos();
        (column - 0.5 + radius * cosine, row - 0.5 + radius * sine)
    };
    Some((0..SIDES).map(at).collect())
}

/// Rows and columns of the corners, counted from 1.
fn polygon(root: &Node) -> Option<Vec<(f64, f64)>> {
    let numbers = root.value(0x0018_1620)?.decimals();
    let corners: Vec<(f64, f64)> =
        numbers.as_chunks::<2>().0.iter().map(|[row, column]| (column - 0.5, row - 0.5)).collect();
    (corners.len() >= 3).then_some(corners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(root: &Node) -> Vec<u8> {
        let mut picture = Picture { width: 6, height: 6, colour: false, bytes: vec![100; 36], profile: None };
        draw(&mut picture, root, 0);
        picture.bytes
    }

    #[test]
    fn what_lies_outside_of_a_shutter_has_its_brightness() {
        let root = Node::default()
            .with(SHAPE, b"RECTANGULAR ")
            .with(0x0018_1602, b"1 ")
            .with(0x0018_1604, b"5 ")
            .with(0x0018_1606, b"2 ")
            .with(0x0018_1608, b"6 ")
            .with(0x0018_1622, &[0, 0x40]);
        let bytes = covered(&root);
        let kept = |row: usize, column: usize| (2..5).contains(&row) && (1..4).contains(&column);
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(*byte, if kept(at / 6, at % 6) { 100 } else { 0x40 }, "{at}");
        }
        let circle = Node::default().with(SHAPE, b"CIRCULAR").with(0x0018_1610, b"3.5\\3.5 ").with(0x0018_1612, b"2 ");
        let bytes = covered(&circle);
        assert_eq!((bytes[0], bytes[2 * 6 + 2], bytes[35]), (0, 100, 0));
        assert_eq!(covered(&Node::default()), vec![100; 36]);
    }
}
