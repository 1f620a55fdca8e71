//! Frames one after the other: those of an instance, or the images of a series in viewing order.
//!
//! Bounded by `pictures.frames_max`, `pictures.pixels_max` and `pictures.animation_time`; one frame is in memory at a
//! time, besides the animation itself. It ends at the next frame when all who asked have gone.

use super::source::Source;
use super::{Annotation, FRAME_TIME, Gone, PictureError, Wanted};
use crate::error::RetrieveError;
use crate::open::Archive;
use crate::order;
use dataset::render::{Animation, Options};
use index::InstanceRow;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Instant;

/// Frames looked at for a common range of values.
const RANGE_FRAMES: usize = 8;
/// An animation may have this many times the pixels of the largest picture.
const PICTURES: u64 = 4;

/// A frame of an instance, from 1. The row is shared: an instance may have millions of frames.
pub type Shown = (Arc<InstanceRow>, u32);

/// The instance that was read last: most frames that follow each other are of one.
struct Reader<'a> {
    archive: &'a Arc<Archive>,
    last: Option<(u64, Source<'a>)>,
}

impl<'a> Reader<'a> {
    fn of(&mut self, row: &InstanceRow) -> Result<&Source<'a>, PictureError> {
        if self.last.as_ref().is_none_or(|(seq, _)| *seq != row.seq) {
            self.last = Some((row.seq, Source::open(self.archive, row)?));
        }
        self.last.as_ref().map(|(_, source)| source).ok_or(PictureError::NoPixels)
    }
}

/// When the making ends early.
#[derive(Clone, Copy)]
struct End<'a> {
    until: Instant,
    gone: &'a dyn Fn() -> bool,
}

/// What all frames have in common.
struct Common {
    size: (u32, u32),
    /// Values that are black and white where images name no window.
    range: Option<(f64, f64)>,
}

impl Archive {
    /// Images of a series, which stand in the order of number and arrival, in the order a viewer shows them: of one
    /// number by their place in the patient. Frames of one instance stay as they are.
    ///
    /// # Errors
    /// What reading their metadata comes to.
    pub fn in_viewing_order(self: &Arc<Self>, frames: Vec<Shown>) -> Result<Vec<Shown>, RetrieveError> {
        if !frames.windows(2).any(|pair| matches!(pair, [one, next] if one.0.seq != next.0.seq)) {
            return Ok(frames);
        }
        let mut rows: Vec<InstanceRow> = frames.iter().map(|(row, _)| InstanceRow::clone(row)).collect();
        order::by_view(self, &mut rows)?;
        Ok(rows.into_iter().map(|row| (Arc::new(row), 1)).collect())
    }

    /// Frames one after the other as an animated GIF; those of another size than the largest lie in its middle.
    ///
    /// Whoever asks for the same while it is made waits for that one; it ends when all of them are `gone`.
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn animated(
        self: &Arc<Self>,
        frames: &[Shown],
        wanted: &Wanted,
        gone: &Gone,
    ) -> Result<Arc<Vec<u8>>, PictureError> {
        let (first, _) = frames.first().ok_or(PictureError::NoPixels)?;
        let most = self.options().pictures.frames_max;
        if u32::try_from(frames.len()).unwrap_or(u32::MAX) > most {
            let what = format!("an animation has at most {most} frames (pictures.frames_max): ask for some of them");
            return Err(PictureError::TooLarge { what });
        }
        let wanted = &self.labelled(first, wanted)?;
        let mut digest = Sha256::new();
        for (row, number) in frames {
            digest.update(row.digest.bytes());
            digest.update(number.to_le_bytes());
        }
        let name = format!("gif {}", model::Digest(digest.finalize().into()));
        let key = self.picture_key(first, &name, wanted);
        let pictures = &self.pictures;
        pictures.together.make(&key, gone, |gone| {
            let begun = pictures.finished.begin();
            if let Some(found) = pictures.finished.get(&key) {
                return Ok(found);
            }
            let _turn = pictures.turn_unless(gone)?;
            let end = End { until: Instant::now() + self.options().pictures.animation_time, gone };
            let made = pictures.counted(|| self.frame_by_frame(frames, wanted, end))?;
            pictures.finished.keep(begun, key.clone(), Arc::clone(&made));
            Ok(made)
        })
    }

    /// Makes the animation.
    fn frame_by_frame(
        self: &Arc<Self>,
        frames: &[Shown],
        wanted: &Wanted,
        end: End<'_>,
    ) -> Result<Vec<u8>, PictureError> {
        let (first, _) = frames.first().ok_or(PictureError::NoPixels)?;
        let mut reader = Reader { archive: self, last: None };
        let common = self.common(&mut reader, frames, &wanted.how, end)?;
        let step = reader.of(first)?.description().frame_time().unwrap_or(FRAME_TIME);
        let mut how = Options { range: common.range, ..wanted.how.clone() };
        let (mut animation, mut shown) = (None, 0_u64);
        for (row, number) in frames {
            if wanted.annotation != Annotation::default() && row.seq != first.seq {
                how.labels = self.labelled(row, wanted)?.how.labels;
            }
            let picture = reader.of(row)?.picture(*number, &how)?;
            // What a presentation state displays is known from its picture alone.
            let own = (picture.width, picture.height);
            let size = if how.presentation.is_some() { own } else { common.size };
            let mut begun = match animation.take() {
                Some(begun) => begun,
                None => Animation::new(size, frames.len() > 1, step)?,
            };
            begun.push(&picture)?;
            shown = shown.saturating_add(u64::try_from(picture.bytes.len()).unwrap_or(u64::MAX));
            self.in_bounds(shown, begun.size())?;
            animation = Some(begun);
            self.goes_on(end)?;
        }
        Ok(animation.ok_or(PictureError::NoPixels)?.finish()?)
    }

    /// Looks at every frame before the first is shown: how large the largest is, and which values some of them have.
    fn common(
        &self,
        reader: &mut Reader<'_>,
        frames: &[Shown],
        how: &Options,
        end: End<'_>,
    ) -> Result<Common, PictureError> {
        let most = self.options().pictures.pixels_max.saturating_mul(PICTURES);
        let count = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        let step = frames.len().div_ceil(RANGE_FRAMES).max(1);
        let (mut size, mut range) = ((0, 0), None);
        for (at, (row, number)) in frames.iter().enumerate() {
            let source = reader.of(row)?;
            let (width, height) = source.size(how)?;
            size = (width.max(size.0), height.max(size.1));
            if u64::from(size.0).saturating_mul(u64::from(size.1)).saturating_mul(count) > most {
                return Err(too_many());
            }
            if at.is_multiple_of(step) {
                range = wider(range, source.range(*number)?);
            }
            self.goes_on(end)?;
        }
        Ok(Common { size, range })
    }

    /// Whether the pictures, a byte for each sample, and what is written of them are not too much.
    fn in_bounds(&self, shown: u64, written: usize) -> Result<(), PictureError> {
        let most = self.options().pictures.pixels_max;
        let few = shown <= most.saturating_mul(PICTURES) && u64::try_from(written).unwrap_or(u64::MAX) <= most;
        if few { Ok(()) } else { Err(too_many()) }
    }

    /// Whether the next frame is wanted.
    fn goes_on(&self, end: End<'_>) -> Result<(), PictureError> {
        if (end.gone)() {
            return Err(PictureError::Gone);
        }
        if Instant::now() < end.until {
            return Ok(());
        }
        let most = self.options().pictures.animation_time.as_secs();
        let what =
            format!("the animation takes more than {most} seconds (pictures.animation_time): ask for less of it");
        Err(PictureError::TooLarge { what })
    }
}

fn too_many() -> PictureError {
    let what = "the animation has too many pixels (pictures.pixels_max): ask for a viewport".into();
    PictureError::TooLarge { what }
}

/// The range of both.
fn wider(one: Option<(f64, f64)>, other: Option<(f64, f64)>) -> Option<(f64, f64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}
