//! Text in the corners of a picture (PS3.18 section 8.3.5.1.1): on the left whom, on the right how.

use super::Picture;
use super::canvas::Canvas;

/// Lines of text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// Upper left corner.
    pub left: Vec<String>,
    /// Upper right corner.
    pub right: Vec<String>,
}

impl Labels {
    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty() && self.right.is_empty()
    }

    /// Draws the text as large as suits the picture.
    pub(super) fn draw(&self, picture: &mut Picture) {
        let (wide, high) = (f64::from(picture.width), f64::from(picture.height));
        let usual = (wide.min(high) / 32.0).clamp(9.0, 48.0);
        let margin = usual / 2.0;
        // The longest line decides: both corners together fit into the width.
        let width = |lines: &[String]| lines.iter().map(|line| Canvas::width_of(line, usual)).fold(0.0, f64::max);
        let needed = width(&self.left) + width(&self.right) + 3.0 * margin;
        let size = (usual * (wide / needed.max(1.0)).min(1.0)).clamp(8.0, 48.0).floor();
        let mut canvas = Canvas::new(picture);
        for (lines, right) in [(&self.left, false), (&self.right, true)] {
            for (line, row) in lines.iter().zip(0_u32..) {
                let x = if right { (wide - margin - Canvas::width_of(line, size)).max(0.0) } else { margin };
                canvas.text((x, margin + f64::from(row) * size * 1.15), size, line);
            }
        }
    }
}
