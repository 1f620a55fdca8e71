//! Where pictures come from: the attributes and the decoded frames of one stored instance.

use super::{PictureError, arriving, shown, strips};
use crate::decode::Image;
use crate::error::{DecodeError, RetrieveError};
use crate::open::Archive;
use codec::CodecError;
use codec::picture::Jpeg;
use dataset::frames::place;
use dataset::pixels::DecodedFrame;
use dataset::render::{Description, Embedded, Options, Picture, Reals, Tones, picture_of_reals};
use index::InstanceRow;
use model::{Home, Span};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A frame of a pack of so many bytes is shown while it is still decoded.
const LARGE: u64 = 2 << 20;

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
        let (width, height) = self.size(how)?;
        if how.viewport.is_some() && u64::from(width) * u64::from(height) > most {
            let what = format!("a viewport of more than {most} pixels is not filled (pictures.pixels_max)");
            return Err(PictureError::TooLarge { what });
        }
        let direct = how.shrink(columns, rows).zip(how.viewport.as_ref());
        if let Some((shrink, viewport)) = direct
            && let Some(direct) = self.direct(number, how)?
        {
            let parts = direct.each(&shrink.strips(), |grey| Ok(shrink.apply(grey)))?;
            return Ok(shrink.finish(&parts, viewport)?);
        }
        if self.image.is_real() {
            return Ok(picture_of_reals(&self.reals(number)?, self.description(), number.saturating_sub(1), how)?);
        }
        let how = self.with_embedded(number, how)?;
        shown(&self.frame(number)?, self.description(), number, how.as_ref())
    }

    /// The same wish with the overlays that lie in the pixels of a frame (from 1) and are drawn.
    fn with_embedded<'h>(&self, number: u32, how: &'h Options) -> Result<Cow<'h, Options>, PictureError> {
        let drawn = |plane: &Embedded| how.draws_embedded(*plane);
        let planes: Vec<Embedded> = self.description().embedded().into_iter().filter(drawn).collect();
        let light = codec::coder(self.image.row.transfer_syntax.as_str()).is_some_and(codec::Coder::is_light);
        if planes.is_empty() || !light {
            return Ok(Cow::Borrowed(how));
        }
        let index = number.saturating_sub(1);
        let read = planes.into_iter().map(|plane| self.archive.embedded(&self.image, index, plane, None));
        let embedded = read.collect::<Result<Vec<_>, _>>()?;
        Ok(Cow::Owned(Options { embedded, ..how.clone() }))
    }

    /// The picture of a frame, from 1, in its own size as JPEG; nothing where it is made from [`Self::picture`].
    pub(super) fn jpeg(&self, number: u32, how: &Options, quality: u8) -> Result<Option<Vec<u8>>, PictureError> {
        if how.viewport.is_some() {
            return Ok(None);
        }
        let Some(direct) = self.direct(number, how)? else { return Ok(None) };
        let (columns, rows) = (u32::from(self.image.format.columns), u32::from(self.image.format.rows));
        let jpeg = Jpeg::new(columns, rows, false, quality)?;
        let strips = direct.each(&jpeg.strips(), |grey| Ok(jpeg.strip(grey)?))?;
        Ok(Some(jpeg.join(&strips, None)?))
    }

    /// The way over stored bytes alone, for a frame (from 1) where there is one.
    fn direct(&self, number: u32, how: &Options) -> Result<Option<Direct<'_>>, PictureError> {
        let image = self.image.as_ref();
        let Some(tones) = number
            .checked_sub(1)
            .filter(|_| image.is_plain())
            .and_then(|index| Tones::of(&image.description, &image.format, index, how))
        else {
            return Ok(None);
        };
        let place = number.checked_sub(1).and_then(|index| place(&image.pixel, &image.layout.frames, index));
        let Some(place) = place.filter(|place| place.skip_bits == 0) else { return Ok(None) };
        let row = usize::from(image.format.columns).saturating_mul(tones.bytes());
        let whole = u64::try_from(row).unwrap_or(u64::MAX).saturating_mul(u64::from(image.format.rows));
        let [span] = place.spans.as_slice() else { return Ok(None) };
        if row == 0 || whole == 0 || span.len < whole {
            return Ok(None);
        }
        // A frame of a pack is coded as a whole, one in the journal is read piece by piece.
        let large = LARGE..=self.archive.frame_limits().frame_bytes;
        let bytes = match image.row.home {
            Home::Journal(_) => Bytes::Stored,
            Home::Pack { .. } if large.contains(&span.len) => Bytes::Arriving,
            Home::Pack { .. } => Bytes::Read(self.archive.frame_bytes(image, number.saturating_sub(1))?),
        };
        Ok(Some(Direct { source: self, tones, span: *span, row, bytes }))
    }

    /// Width and height of its pictures, presentation states aside.
    pub(super) fn size(&self, how: &Options) -> Result<(u32, u32), PictureError> {
        let (columns, rows) = (u32::from(self.image.format.columns), u32::from(self.image.format.rows));
        let size = how.viewport.as_ref().map(|viewport| viewport.size(columns, rows)).transpose()?;
        Ok(size.unwrap_or((columns, rows)))
    }

    /// The range of values of a frame, from 1, where it would be shown by its own.
    pub(super) fn range(&self, number: u32) -> Result<Option<(f64, f64)>, PictureError> {
        let index = number.saturating_sub(1);
        Ok(match self.image.is_real() {
            true => self.description().range_of_reals(&self.reals(number)?, index),
            false => self.description().range(&self.frame(number)?, index),
        })
    }

    /// A decoded frame, from 1.
    fn frame(&self, number: u32) -> Result<DecodedFrame, PictureError> {
        Ok(self.archive.decode(&self.image, self.index(number)?)?)
    }

    /// A frame of real numbers, from 1.
    fn reals(&self, number: u32) -> Result<Reals, PictureError> {
        Ok(self.archive.reals(&self.image, self.index(number)?)?)
    }

    fn index(&self, number: u32) -> Result<u32, PictureError> {
        number.checked_sub(1).ok_or_else(|| PictureError::NoFrame { number, count: self.image.frames() })
    }
}

/// A grey frame that is shown straight from its stored bytes.
struct Direct<'a> {
    source: &'a Source<'a>,
    tones: Tones,
    /// Where the frame lies in the data set.
    span: Span,
    /// Bytes of a row.
    row: usize,
    bytes: Bytes,
}

/// Where the bytes of a frame are.
enum Bytes {
    /// In the store, whence rows are read.
    Stored,
    /// In memory.
    Read(Vec<u8>),
    /// In a pack: rows come while the frame is decoded.
    Arriving,
}

impl Direct<'_> {
    /// Makes something of the brightness of every part; what comes out is in their order.
    fn each<T: Send>(
        &self,
        parts: &[Range<u32>],
        make: impl Fn(&[u8]) -> Result<T, PictureError> + Sync,
    ) -> Result<Vec<T>, PictureError> {
        let Bytes::Arriving = self.bytes else {
            return strips::each(parts, |rows| make(&self.rows(rows)?));
        };
        let (archive, row) = (self.source.archive, &self.source.image.row);
        let start = u64::from(row.meta_len).saturating_add(self.span.at);
        let place = start..start.saturating_add(self.span.len);
        arriving::each(
            parts,
            self.row,
            |take| Ok(archive.pour(row, place, take)?),
            |stored| make(&self.tones.apply(stored)),
        )
    }

    /// Brightness of rows.
    fn rows(&self, rows: Range<u32>) -> Result<Vec<u8>, PictureError> {
        let short = || PictureError::Retrieve(RetrieveError::Damaged { what: "a frame is shorter than noted".into() });
        let at = |row: u32| usize::try_from(row).ok()?.checked_mul(self.row);
        let (start, end) = at(rows.start).zip(at(rows.end)).ok_or_else(short)?;
        if let Bytes::Read(bytes) = &self.bytes {
            return Ok(self.tones.apply(bytes.get(start..end).ok_or_else(short)?));
        }
        let row = &self.source.image.row;
        let base = u64::from(row.meta_len).saturating_add(self.span.at);
        let place = |at: usize| u64::try_from(at).unwrap_or(u64::MAX).saturating_add(base);
        let stored = self.source.archive.read(row, place(start)..place(end))?;
        if stored.len() != end - start {
            return Err(short());
        }
        Ok(self.tones.apply(&stored))
    }
}

impl From<CodecError> for PictureError {
    fn from(error: CodecError) -> Self {
        DecodeError::Codec(error).into()
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
