//! What the attributes of an image say of its display: format, transformations, padding, palette, frame time.
//!
//! Values of a frame's own functional groups go before shared ones, those before the root's (PS3.3 C.7.6.16).

use super::grey::{Grey, Modality, Voi};
use super::lut::Lut;
use super::overlay::Embedded;
use super::palette::Palette;
use super::reals::Reals;
use super::tree::{self, Node};
use super::window::{Function, Window};
use crate::error::ScanError;
use crate::json::Parts;
use crate::pixels::{DecodedFrame, Photometric, PixelFormat};
use crate::syntax::Syntax;
use model::Uid;
use std::time::Duration;

const SHARED: u32 = 0x5200_9229;
const PER_FRAME: u32 = 0x5200_9230;
const FRAME_VOI: u32 = 0x0028_9132;
const FRAME_VALUES: u32 = 0x0028_9145;
const MODALITY_LUT: u32 = 0x0028_3000;
const VOI_LUT: u32 = 0x0028_3010;
const PRESENTATION_LUT: u32 = 0x2050_0010;
const PRESENTATION_SHAPE: u32 = 0x2050_0020;

/// The attributes of an image that its display follows.
#[derive(Debug, Clone)]
pub struct Description {
    root: Node,
}

impl Description {
    /// Reads a scanned data set.
    ///
    /// # Errors
    /// Where the bytes are not those that were scanned.
    pub fn read(parts: &Parts<'_>, transfer_syntax: &Uid) -> Result<Self, ScanError> {
        Ok(Self { root: tree::read(parts, Syntax::of(transfer_syntax.as_str()).coding)? })
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    pub(super) fn into_root(self) -> Node {
        self.root
    }

    /// SOP Instance UID.
    pub(super) fn instance(&self) -> Option<String> {
        self.root.text(0x0008_0018)
    }

    /// Values of Image Type, or of another text of the image that is read, as they stand there.
    #[must_use]
    pub fn text(&self, tag: u32) -> Option<String> {
        self.root.text(tag)
    }

    /// The Image Pixel module; nothing where a part of it is missing or of no known kind.
    #[must_use]
    pub fn format(&self) -> Option<PixelFormat> {
        let byte = |tag: u32| u8::try_from(self.root.word(tag)?).ok();
        let allocated = byte(0x0028_0100)?;
        let stored = byte(0x0028_0101).unwrap_or(allocated);
        let samples = byte(0x0028_0002).unwrap_or(1);
        // Early images name nothing: grey ones then are MONOCHROME2.
        let term = self.root.text(0x0028_0004).unwrap_or_else(|| "MONOCHROME2".into());
        Some(PixelFormat {
            rows: self.root.word(0x0028_0010)?,
            columns: self.root.word(0x0028_0011)?,
            samples,
            allocated,
            stored,
            high: byte(0x0028_0102).unwrap_or(stored.saturating_sub(1)),
            signed: self.root.word(0x0028_0103) == Some(1),
            planar: self.root.word(0x0028_0006) == Some(1),
            photometric: Photometric::parse(&term)?,
        })
    }

    /// Number of Frames as the attribute says, 1 where it says nothing.
    #[must_use]
    pub fn frames_declared(&self) -> Option<u32> {
        match self.root.text(0x0028_0008) {
            Some(text) if !text.trim_matches([' ', '\0']).is_empty() => text.trim_matches([' ', '\0']).parse().ok(),
            _ => Some(1),
        }
    }

    /// The overlays in unused bits of the pixels (retired in PS3.3-2004): they go where those bits do.
    #[must_use]
    pub fn embedded(&self) -> Vec<Embedded> {
        self.format().map(|format| Embedded::all(&self.root, &format)).unwrap_or_default()
    }

    /// Time from one frame to the next, where the image says it (Recommended Display Frame Rate, Frame Time, Cine Rate).
    #[must_use]
    pub fn frame_time(&self) -> Option<Duration> {
        let rate = |tag: u32| self.root.decimal(tag).filter(|rate| *rate > 0.0).map(|rate| 1000.0 / rate);
        let vector = || self.root.value(0x0018_1065)?.decimals().get(1).copied();
        let time = rate(0x0008_2144)
            .or_else(|| self.root.decimal(0x0018_1063))
            .or_else(|| rate(0x0018_0040))
            .or_else(vector)
            .filter(|milliseconds| (1.0..=60_000.0).contains(milliseconds))?;
        Some(Duration::from_millis(u64::from(super::numbers::whole(time))))
    }

    /// Range of the values of a frame, `number` from 0, where nothing but it says how the frame is shown.
    #[must_use]
    pub fn range(&self, frame: &DecodedFrame, number: u32) -> Option<(f64, f64)> {
        let grey = self.grey(number, frame.photometric, frame.signed);
        let own = frame.photometric.is_single() && frame.photometric != Photometric::PaletteColor;
        if own && grey.voi == Voi::Range { grey.range(frame) } else { None }
    }

    /// The same of a frame of real numbers.
    #[must_use]
    pub fn range_of_reals(&self, frame: &Reals, number: u32) -> Option<(f64, f64)> {
        let grey = self.grey(number, Photometric::Monochrome2, true);
        (grey.voi == Voi::Range).then(|| grey.range_of_reals(frame, self.real_padding()))?
    }

    /// Real numbers that stand for no pixel: (0028,0122) and (0028,0124), or (0028,0123) and (0028,0125) where they are
    /// of double precision.
    pub(super) fn real_padding(&self) -> Option<(f64, f64)> {
        let single = |tag: u32| self.root.value(tag)?.floats().first().copied();
        let double = |tag: u32| self.root.value(tag)?.doubles().first().copied();
        let one = single(0x0028_0122).or_else(|| double(0x0028_0123))?;
        let other = single(0x0028_0124).or_else(|| double(0x0028_0125)).unwrap_or(one);
        Some((one.min(other), one.max(other)))
    }

    /// Bytes of the values held.
    #[must_use]
    pub fn size(&self) -> usize {
        self.root.size()
    }

    /// The image's own ICC profile (0028,2000).
    pub(crate) fn profile(&self) -> Option<&[u8]> {
        self.root.value(0x0028_2000).map(|value| value.bytes.as_slice())
    }

    /// The palette of a PALETTE COLOR image.
    pub(crate) fn palette(&self, signed: bool) -> Option<Palette> {
        Palette::of(&self.root, signed)
    }

    /// The first item of a functional group of a frame (from 0), of the shared ones, or the root itself.
    fn group(&self, frame: u32, tag: u32) -> &Node {
        let own = usize::try_from(frame).ok().and_then(|at| self.root.items(PER_FRAME).get(at)?.item(tag));
        own.or_else(|| self.root.item(SHARED)?.item(tag)).unwrap_or(&self.root)
    }

    /// How grey values of a frame (from 0) are displayed.
    pub(crate) fn grey(&self, frame: u32, photometric: Photometric, signed: bool) -> Grey {
        let modality = self.modality(self.group(frame, FRAME_VALUES), signed);
        let signed_output = modality.may_be_negative(signed);
        let group = self.group(frame, FRAME_VOI);
        let voi = voi_of(group, signed_output).or_else(|| voi_of(&self.root, signed_output)).unwrap_or(Voi::Range);
        let shape = self.root.text(PRESENTATION_SHAPE);
        let presentation = self.root.item(PRESENTATION_LUT).and_then(|item| Lut::of_item(item, false));
        let inverse = photometric == Photometric::Monochrome1 || shape.as_deref() == Some("INVERSE");
        Grey { modality, voi, inverse, presentation, padding: self.padding(signed) }
    }

    fn modality(&self, group: &Node, signed: bool) -> Modality {
        if self.keeps_stored_values() {
            return Modality::Identity;
        }
        Modality::of(group, signed).or_else(|| Modality::of(&self.root, signed)).unwrap_or(Modality::Identity)
    }

    /// X-ray angiography gives its transformation for measuring, not for display (PS3.3 C.8.7.1.1.2).
    fn keeps_stored_values(&self) -> bool {
        let class = self.root.text(0x0008_0016).unwrap_or_default();
        let angiography = class.starts_with("1.2.840.10008.5.1.4.1.1.12.1") || class == "1.2.840.10008.5.1.4.1.1.12.2";
        angiography && matches!(self.root.text(0x0028_1040).as_deref(), Some("LOG" | "DISP"))
    }

    /// Stored values that stand for no pixel (0028,0120) and (0028,0121).
    fn padding(&self, signed: bool) -> Option<(i64, i64)> {
        let read = |word: u16| if signed { i64::from(word.cast_signed()) } else { i64::from(word) };
        let one = self.root.word(0x0028_0120).map(read)?;
        let other = self.root.word(0x0028_0121).map_or(one, read);
        Some((one.min(other), one.max(other)))
    }
}

impl Modality {
    /// The transformation of a root or an item; nothing where it has none.
    pub(crate) fn of(node: &Node, signed: bool) -> Option<Self> {
        if let Some(lut) = node.item(MODALITY_LUT).and_then(|item| Lut::of_item(item, signed)) {
            return Some(Self::Lut(lut));
        }
        let slope = node.decimal(0x0028_1053).filter(|slope| *slope != 0.0);
        let intercept = node.decimal(0x0028_1052);
        if slope.is_none() && intercept.is_none() {
            return None;
        }
        Some(Self::Linear { slope: slope.unwrap_or(1.0), intercept: intercept.unwrap_or(0.0) })
    }
}

/// The first VOI transformation of a root or an item: a table goes before windows, which are its approximation.
pub(super) fn voi_of(node: &Node, signed: bool) -> Option<Voi> {
    if let Some(lut) = node.item(VOI_LUT).and_then(|item| Lut::of_item(item, signed)) {
        return Some(Voi::Lut(lut));
    }
    let (center, width) = (node.decimal(0x0028_1050)?, node.decimal(0x0028_1051)?);
    let function = match node.text(0x0028_1056).map_or(Function::Linear, |term| Function::of_attribute(&term)) {
        // Values that are fractions have windows narrower than 1, which only this function can mean.
        Function::Linear if width < 1.0 => Function::LinearExact,
        function => function,
    };
    let window = Window::new(center, width, function);
    window.ok().map(Voi::Window)
}
