//! Where pictures come from: the attributes and the decoded frames of one stored instance.

use super::{PictureError, shown};
use crate::decode::Image;
use crate::error::{DecodeError, RetrieveError};
use crate::open::Archive;
use codec::CodecError;
use dataset::pixels::DecodedFrame;
use dataset::render::{Description, Options, Picture};
use index::InstanceRow;
use std::sync::Arc;

/// Frames looked at for the range of an animation.
const RANGE_FRAMES: usize = 8;

/// One instance as pictures are made of it.
pub(super) struct Source<'a> {
    archive: &'a Arc<Archive>,
    image: Arc<Image>,
}

impl<'a> Source<'a> {
    /// Opens an instance that has pixels.
    pub(super) fn open(archive: &'a Arc<Archive>, row: &InstanceRow) -> Result<Self, PictureError> {
        if row.frames.count() == 0 {
            return Err(PictureError::NoPixels);
        }
        let image = archive.image(row)?;
        let most = archive.options().pictures.pixels_max;
        if u64::from(image.format.rows) * u64::from(image.format.columns) > most {
            let what = format!("frames of more than {most} pixels are not shown (pictures.pixels_max)");
            return Err(PictureError::TooLarge { what });
        }
        Ok(Self { archive, image })
    }

    /// Its attributes.
    pub(super) fn description(&self) -> &Description {
        &self.image.description
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
        shown(&self.frame(number)?, &self.image.description, number, how)
    }

    /// The range of values over several frames, where each would be shown by its own.
    pub(super) fn range(&self, numbers: &[u32]) -> Result<Option<(f64, f64)>, PictureError> {
        let step = numbers.len().div_ceil(RANGE_FRAMES).max(1);
        let mut range: Option<(f64, f64)> = None;
        for number in numbers.iter().step_by(step) {
            let own = self.image.description.range(&self.frame(*number)?, number.saturating_sub(1));
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
