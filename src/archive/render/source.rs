//! Where pictures come from: the attributes and the decoded frames of one stored instance.

use super::{PictureError, shown};
use crate::error::RetrieveError;
use crate::open::Archive;
use dataset::frames;
use dataset::json::Parts;
use dataset::pixels::{DecodedFrame, PixelFormat, native};
use dataset::render::{Description, Options, Picture};
use dataset::syntax::{Codec, EXPLICIT_BE, Syntax};
use dataset::transcode::swap_words;
use index::InstanceRow;
use model::{Frames, Layout, PixelSpan};
use std::sync::Arc;

/// GE's private syntax: an implicit little endian data set with big endian pixels.
const GE_PRIVATE: &str = "1.2.840.113619.5.2";
/// Frames looked at for the range of an animation.
const RANGE_FRAMES: usize = 8;

/// Reads the attributes that an instance's display follows.
pub(super) fn describe(archive: &Arc<Archive>, row: &InstanceRow) -> Result<Description, PictureError> {
    let layout = archive.layout(row)?;
    let (before, after) = archive.around_pixels(row, &layout)?;
    let parts = Parts { before: &before, pixel: layout.pixel, after: &after };
    let damaged = |error: dataset::ScanError| RetrieveError::Damaged { what: error.to_string() };
    Ok(Description::read(&parts, &row.transfer_syntax).map_err(damaged)?)
}

/// One instance as pictures are made of it.
pub(super) struct Source<'a> {
    archive: &'a Arc<Archive>,
    row: &'a InstanceRow,
    description: Arc<Description>,
    format: PixelFormat,
    layout: Layout,
    pixel: PixelSpan,
    /// The whole data set where it is deflated.
    inflated: Option<Vec<u8>>,
}

impl<'a> Source<'a> {
    /// Opens an instance that has pixels.
    pub(super) fn open(archive: &'a Arc<Archive>, row: &'a InstanceRow) -> Result<Self, PictureError> {
        let layout = archive.layout(row)?;
        let pixel = layout.pixel.ok_or(PictureError::NoPixels)?;
        if frames::count(&layout.frames) == 0 {
            return Err(PictureError::NoPixels);
        }
        if pixel.tag & 0xFFFF != 0x10 {
            return Err(PictureError::Unsupported { what: "pixels that are real numbers are not shown".into() });
        }
        let description = archive.description(row)?;
        let unknown =
            || PictureError::Unsupported { what: "the attributes of the pixels are missing or unknown".into() };
        let format = description.format().ok_or_else(unknown)?;
        let most = archive.options().pictures.pixels_max;
        if u64::from(format.rows) * u64::from(format.columns) > most {
            let what = format!("frames of more than {most} pixels are not shown (pictures.pixels_max)");
            return Err(PictureError::TooLarge { what });
        }
        let deflated = Syntax::of(row.transfer_syntax.as_str()).deflated;
        let inflated = if deflated { Some(archive.inflated(row)?) } else { None };
        Ok(Self { archive, row, description, format, layout, pixel, inflated })
    }

    /// Its attributes.
    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// The picture of a frame, from 1.
    pub(super) fn picture(&self, number: u32, how: &Options) -> Result<Picture, PictureError> {
        let most = self.archive.options().pictures.pixels_max;
        let (columns, rows) = (u32::from(self.format.columns), u32::from(self.format.rows));
        let size = how.viewport.as_ref().map(|viewport| viewport.size(columns, rows)).transpose()?;
        if size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > most) {
            let what = format!("a viewport of more than {most} pixels is not filled (pictures.pixels_max)");
            return Err(PictureError::TooLarge { what });
        }
        shown(&self.frame(number)?, &self.description, number, how)
    }

    /// The range of values over several frames, where each would be shown by its own.
    pub(super) fn range(&self, numbers: &[u32]) -> Result<Option<(f64, f64)>, PictureError> {
        let step = numbers.len().div_ceil(RANGE_FRAMES).max(1);
        let mut range: Option<(f64, f64)> = None;
        for number in numbers.iter().step_by(step) {
            let own = self.description.range(&self.frame(*number)?, number.saturating_sub(1));
            range = match (range, own) {
                (Some((low, high)), Some(own)) => Some((low.min(own.0), high.max(own.1))),
                (range, own) => range.or(own),
            };
        }
        Ok(range)
    }

    /// A decoded frame, from 1.
    fn frame(&self, number: u32) -> Result<DecodedFrame, PictureError> {
        let none = || PictureError::NoFrame { number, count: frames::count(&self.layout.frames) };
        let index = number.checked_sub(1).ok_or_else(none)?;
        let place = frames::place(&self.pixel, &self.layout.frames, index).ok_or_else(none)?;
        let mut bytes = Vec::new();
        for span in &place.spans {
            bytes.extend(self.read(span.at, span.len)?);
        }
        if place.skip_bits > 0 || !place.bits.is_multiple_of(8) {
            bytes = frames::align(&bytes, place.skip_bits, place.bits);
        }
        let syntax = self.row.transfer_syntax.as_str();
        if Syntax::of(syntax).codec == Codec::Native && matches!(self.layout.frames, Frames::Native { .. }) {
            return self.native(bytes);
        }
        Err(PictureError::Unsupported { what: format!("frames in transfer syntax {syntax} are not decoded") })
    }

    fn native(&self, mut bytes: Vec<u8>) -> Result<DecodedFrame, PictureError> {
        let big_endian = [EXPLICIT_BE, GE_PRIVATE].contains(&self.row.transfer_syntax.as_str());
        if big_endian && self.format.allocated == 8 && self.is_words()? {
            swap_words(&mut bytes, 2);
        }
        let damaged = |error: native::NativeError| PictureError::Damaged { what: error.to_string() };
        native::decode(&bytes, &self.format, big_endian).map_err(damaged)
    }

    /// Whether the pixel data are 16-bit words (OW).
    fn is_words(&self) -> Result<bool, PictureError> {
        Ok(self.read(self.pixel.header, 6)?.ends_with(b"OW"))
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, PictureError> {
        let end = at.saturating_add(len);
        let Some(whole) = &self.inflated else {
            let base = u64::from(self.row.meta_len);
            return Ok(self.archive.read(self.row, base.saturating_add(at)..base.saturating_add(end))?);
        };
        let place = usize::try_from(at).ok().zip(usize::try_from(end).ok());
        let part = place.and_then(|(at, end)| whole.get(at..end)).map(<[u8]>::to_vec);
        part.ok_or_else(|| PictureError::Damaged { what: "the data set is shorter than noted".into() })
    }
}
