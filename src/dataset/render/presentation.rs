//! Presentation states (PS3.3 A.33, PS3.4 Annex N): how somebody wanted an image to be seen.
//!
//! Applied are: modality, VOI and presentation LUT, palette, shutters, overlay activation, displayed area, rotation and
//! flip, graphics and text. Not applied are compound graphics, masks, and a size in millimetres or by magnification:
//! the displayed area is fitted.

use super::grey::{Grey, Modality};
use super::lut::Lut;
use super::overlay::Embedded;
use super::palette::Palette;
use super::tree::Node;
use super::window::BadParameter;
use super::{Description, Picture, description, graphics, overlay, shutter};
use model::Uid;
use std::fmt;
use std::sync::Arc;

const REFERENCED_SERIES: u32 = 0x0008_1115;
const REFERENCED_IMAGE: u32 = 0x0008_1140;
const SOFTCOPY_VOI: u32 = 0x0028_3110;
const DISPLAYED_AREA: u32 = 0x0070_005A;
const PRESENTATION_LUT: u32 = 0x2050_0010;
const PRESENTATION_SHAPE: u32 = 0x2050_0020;
/// A displayed area may be this many times as large as the image on a side.
const AREA_MAX: f64 = 4.0;

/// One presentation state.
#[derive(Clone)]
pub struct Presentation(Arc<Inner>);

struct Inner {
    /// Tells one from another.
    name: String,
    root: Node,
}

impl fmt::Debug for Presentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Presentation({})", self.0.name)
    }
}

impl PartialEq for Presentation {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

/// An image that a presentation state is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referenced {
    /// Its series.
    pub series: Uid,
    /// Its SOP Instance UID.
    pub instance: Uid,
    /// Frames, from 1; all of them where none is named.
    pub frames: Vec<u32>,
}

impl Presentation {
    /// The state that a data set describes; `name` must change with its bytes.
    #[must_use]
    pub fn new(description: Description, name: String) -> Self {
        Self(Arc::new(Inner { name, root: description.into_root() }))
    }

    /// The images it is about, in its order.
    #[must_use]
    pub fn images(&self) -> Vec<Referenced> {
        let uid = |node: &Node, tag: u32| Uid::parse(&node.text(tag)?).ok();
        let of_series = |series: &Node| {
            let uid_of_series = uid(series, 0x0020_000E);
            let found = series.items(REFERENCED_IMAGE).iter().filter_map(|image| {
                let instance = uid(image, 0x0008_1155)?;
                Some(Referenced { series: uid_of_series.clone()?, instance, frames: frames_of(image) })
            });
            found.collect::<Vec<_>>()
        };
        self.0.root.items(REFERENCED_SERIES).iter().flat_map(of_series).collect()
    }

    /// Whether it activates a plane in unused bits of an image's pixels (PS3.3 C.11.7): it names a layer for its group, and
    /// has no plane of its own there.
    pub(super) fn activates(&self, plane: Embedded) -> bool {
        let tag = |element: u32| u32::from(plane.group) << 16 | element;
        self.0.root.text(tag(overlay::ACTIVATION)).is_some() && self.0.root.value(tag(0x3000)).is_none()
    }

    /// The item of a sequence that counts for a frame (from 0) of an image: a table without references is for all.
    fn item(&self, sequence: u32, image: &Description, frame: u32) -> Option<&Node> {
        self.items(sequence, image, frame).into_iter().next()
    }

    /// All of them.
    fn items(&self, sequence: u32, image: &Description, frame: u32) -> Vec<&Node> {
        let instance = image.instance();
        let of_frame = |image: &Node| {
            let named = frames_of(image);
            image.text(0x0008_1155) == instance && (named.is_empty() || named.contains(&frame.saturating_add(1)))
        };
        let fits = |item: &&Node| {
            let references = item.items(REFERENCED_IMAGE);
            references.is_empty() || references.iter().any(of_frame)
        };
        self.0.root.items(sequence).iter().filter(fits).collect()
    }

    /// Puts its transformations in the place of the image's own.
    pub(super) fn tone(&self, grey: &mut Grey, image: &Description, frame: u32, signed: bool) {
        if let Some(modality) = Modality::of(&self.0.root, signed) {
            grey.modality = modality;
        }
        let negative = grey.modality.may_be_negative(signed);
        let voi = self.item(SOFTCOPY_VOI, image, frame);
        // Without a VOI transformation the whole range is shown (PS3.4 N.2.1.2).
        grey.voi = voi.and_then(|item| description::voi_of(item, negative)).unwrap_or(super::grey::Voi::Range);
        grey.presentation = self.0.root.item(PRESENTATION_LUT).and_then(|item| Lut::of_item(item, false));
        // P-Values count, whatever the photometric interpretation: a state for MONOCHROME1 says INVERSE itself.
        grey.inverse = self.0.root.text(PRESENTATION_SHAPE).as_deref() == Some("INVERSE");
    }

    /// Colours of brightness, of a pseudo-colour state.
    pub(super) fn colours(&self, picture: Picture) -> Picture {
        let palette = if picture.colour { None } else { Palette::of(&self.0.root, false) };
        match palette {
            Some(palette) => Picture { colour: true, bytes: palette.tint(&picture.bytes), ..picture },
            None => picture,
        }
    }

    /// What lies over the pixels themselves: overlay planes that are active, and shutters.
    pub(super) fn cover(&self, picture: &mut Picture, image: &Description, frame: u32) {
        overlay::draw_active(picture, image.root(), &self.0.root, frame);
        shutter::draw(picture, &self.0.root, frame);
    }

    /// The part of a picture that is displayed, turned as it is displayed.
    pub(super) fn arrange(&self, picture: Picture, image: &Description, frame: u32) -> (Picture, Place) {
        let place = self.place(&picture, image, frame);
        let [left, top, wide, high] = place.area;
        let whole = [0.0, 0.0, f64::from(picture.width), f64::from(picture.height)] == place.area;
        let mut shown = if whole { picture } else { picture.part([left, top], [wide, high]) };
        for _ in 0..place.turns {
            shown = shown.turned();
        }
        (if place.flip { shown.mirrored() } else { shown }, place)
    }

    fn place(&self, picture: &Picture, image: &Description, frame: u32) -> Place {
        let (wide, high) = (f64::from(picture.width), f64::from(picture.height));
        let area = self.item(DISPLAYED_AREA, image, frame).and_then(|item| {
            let corner = |tag: u32| match *item.value(tag)?.longs().as_slice() {
                [x, y, ..] => Some((f64::from(x), f64::from(y))),
                _ => None,
            };
            let (one, other) = (corner(0x0070_0052)?, corner(0x0070_0053)?);
            // Corners are pixels counted from 1, both inside, in either order: the image may be turned.
            let (left, top) = (one.0.min(other.0) - 1.0, one.1.min(other.1) - 1.0);
            let size = ((one.0 - other.0).abs() + 1.0, (one.1 - other.1).abs() + 1.0);
            let near = left > -AREA_MAX * wide && top > -AREA_MAX * high && left < wide && top < high;
            (near && size.0 <= AREA_MAX * wide && size.1 <= AREA_MAX * high).then_some([left, top, size.0, size.1])
        });
        let turns = self.0.root.word(0x0070_0042).map_or(0, |degrees| u8::try_from(degrees / 90 % 4).unwrap_or(0));
        let flip = self.0.root.text(0x0070_0041).as_deref() == Some("Y");
        Place { area: area.unwrap_or([0.0, 0.0, wide, high]), turns, flip }
    }

    /// Graphics and text over the finished picture.
    pub(super) fn annotate(&self, picture: &mut Picture, image: &Description, frame: u32, place: &Mapped) {
        let charset = self.0.root.value(0x0008_0005).map(|value| value.bytes.as_slice()).unwrap_or_default();
        for item in self.items(graphics::ANNOTATIONS, image, frame) {
            graphics::draw(picture, &self.0.root, item, place, charset);
        }
    }
}

/// Frames that a reference names, from 1.
fn frames_of(image: &Node) -> Vec<u32> {
    let numbers = image.value(0x0008_1160).map(|value| value.decimals()).unwrap_or_default();
    numbers.into_iter().map(super::numbers::whole).collect()
}

/// Which part of an image is displayed, and how it is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Left, top, width and height in pixels of the image; may lie beyond it.
    pub(super) area: [f64; 4],
    /// Quarter turns clockwise, before the flip.
    pub(super) turns: u8,
    /// Whether left and right are exchanged.
    pub(super) flip: bool,
}

/// From pixels of the image to pixels of the finished picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mapped {
    pub(super) place: Place,
    /// The part of the arranged picture that the viewport shows, and the size it shows it in.
    pub(super) part: [f64; 4],
    pub(super) size: (u32, u32),
}

impl Mapped {
    /// A place given in pixels of the image.
    pub(super) fn pixel(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let Place { area: [left, top, wide, high], turns, flip } = self.place;
        let (x, y) = (x - left, y - top);
        let (x, y, across) = match turns {
            1 => (high - y, x, high),
            2 => (wide - x, high - y, wide),
            3 => (y, wide - x, high),
            _ => (x, y, wide),
        };
        self.shown((if flip { across - x } else { x }, y))
    }

    /// A place given in shares of the displayed area, as it is displayed.
    pub(super) fn share(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [_, _, wide, high] = self.place.area;
        let (wide, high) = if self.place.turns % 2 == 1 { (high, wide) } else { (wide, high) };
        self.shown((x * wide, y * high))
    }

    fn shown(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, top, wide, high] = self.part;
        ((x - left) * f64::from(self.size.0) / wide, (y - top) * f64::from(self.size.1) / high)
    }
}

impl Description {
    /// Reads whether a data set is a presentation state that is applied, by its SOP class.
    ///
    /// # Errors
    /// What it is instead.
    pub fn presentation(self, class: &str, name: String) -> Result<Presentation, BadParameter> {
        match is_presentation(class) {
            true => Ok(Presentation::new(self, name)),
            false => Err(BadParameter("the instance is no presentation state that is applied".into())),
        }
    }
}

/// Whether a SOP class is a presentation state that is applied: grey, colour, pseudo-colour, blending excluded.
#[must_use]
pub fn is_presentation(class: &str) -> bool {
    let kind = class.strip_prefix("1.2.840.10008.5.1.4.1.1.11.");
    matches!(kind, Some("1" | "2" | "3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(turns: u8, flip: bool) -> Mapped {
        let place = Place { area: [10.0, 20.0, 100.0, 50.0], turns, flip };
        let (wide, high) = if turns % 2 == 1 { (50, 100) } else { (100, 50) };
        Mapped { place, part: [0.0, 0.0, f64::from(wide), f64::from(high)], size: (wide * 2, high * 2) }
    }

    #[test]
    fn places_follow_area_rotation_and_flip() {
        // The pixel corner 10 right and 5 below the area's upper left corner.
        let place = (20.0, 25.0);
        for (turns, flip, expected) in [
            (0, false, (20.0, 10.0)),
            (0, true, (180.0, 10.0)),
            (1, false, (90.0, 20.0)),
            (1, true, (10.0, 20.0)),
            (2, false, (180.0, 90.0)),
            (3, false, (10.0, 180.0)),
        ] {
            assert_eq!(mapped(turns, flip).pixel(place), expected, "{turns} {flip}");
        }
        assert_eq!(mapped(1, true).share((0.5, 1.0)), (50.0, 200.0));
    }

    #[test]
    fn which_classes_are_applied() {
        assert!(is_presentation("1.2.840.10008.5.1.4.1.1.11.1"));
        assert!(!is_presentation("1.2.840.10008.5.1.4.1.1.11.4"));
        assert!(!is_presentation("1.2.840.10008.5.1.4.1.1.2"));
    }
}
