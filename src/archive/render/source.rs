//! Where pictures come from: the attributes and the decoded frames of one stored instance.

use super::{PictureError, shown};
use crate::decode::Image;
use crate::error::{DecodeError, RetrieveError};
use crate::open::Archive;
use codec::CodecError;
use dataset::frames;
use dataset::json::Parts;
use dataset::pixels::DecodedFrame;
use dataset::render::{Description, Options, Picture};
use index::InstanceRow;
use std::sync::Arc;

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
    image: Arc<Image>,
    description: Arc<Description>,
}

impl<'a> Source<'a> {
    /// Opens an instance that has pixels.
    pub(super) fn open(archive: &'a Arc<Archive>, row: &InstanceRow) -> Result<Self, PictureError> {
        let layout = archive.layout(row)?;
        let pixel = layout.pixel.ok_or(PictureError::NoPixels)?;
        if frames::count(&layout.frames) == 0 {
            return Err(PictureError::NoPixels);
        }
        if pixel.tag & 0xFFFF != 0x10 {
            return Err(PictureError::Unsupported { what: "pixels that are real numbers are not shown".into() });
        }
        let description = archive.description(row)?;
        let image = archive.image(row)?;
        let most = archive.options().pictures.pixels_max;
        if u64::from(image.format.rows) * u64::from(image.format.columns) > most {
            let what = format!("frames of more than {most} pixels are not shown (pictures.pixels_max)");
            return Err(PictureError::TooLarge { what });
        }
        Ok(Self { archive, image, description })
    }

    /// Its attributes.
    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// The picture of a frame, from 1.
    pub(super) fn picture(&self, number: u32, how: &Options) -> Result<Picture, PictureError> {
        let most = self.archive.options().pictures.pixels_max;
        let (columns, rows) = (u32::from(self.image.format.columns), u32::from(self.image.format.rows));
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
        let none = || PictureError::NoFrame { number, count: self.image.frames() };
        let index = number.checked_sub(1).ok_or_else(none)?;
        Ok(self.archive.decode(&self.image, index)?)
    }
}

impl From<DecodeError> for PictureError {
    fn from(error: DecodeError) -> Self {
        let what = error.to_string();
        match error {
            DecodeError::Retrieve(error) => Self::Retrieve(error),
            DecodeError::NoFrame { number, frames } => {
                Self::NoFrame { number: number.saturating_add(1), count: frames }
            }
            DecodeError::Codec(CodecError::Limit(_)) => Self::TooLarge { what },
            DecodeError::Codec(CodecError::Busy(_)) => Self::Retrieve(RetrieveError::Unavailable { what }),
            // Stored bytes are as they came: a frame that its sender spoilt is no damage of the archive's.
            DecodeError::NoPixels { .. } | DecodeError::Codec(_) => Self::Unsupported { what },
        }
    }
}
