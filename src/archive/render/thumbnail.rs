//! Thumbnails of series: the middle frame of the middle image, made once and kept until the series changes.

use super::{PictureError, Wanted};
use crate::error::{OpenError, RetrieveError};
use crate::open::Archive;
use crate::retrieve::Target;
use crate::worker::every;
use dataset::render::{Encoding, Options, Viewport};
use index::{InstanceRow, PreparedKind, SeriesRow};
use model::attribute::key;
use model::{Caller, Scope};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Sides of the square that thumbnails are fitted into.
const SIDE: u32 = 256;
/// JPEG quality of thumbnails.
const QUALITY: u8 = 80;
/// Series looked at for the thumbnail of a study.
const SERIES_MAX: usize = 64;
/// Thumbnails made before the thread looks around.
const ROUND: usize = 16;

/// A small picture.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// Changes whenever the picture may; without quotes.
    pub version: String,
    /// JPEG.
    pub bytes: Arc<Vec<u8>>,
    /// What the asker should know, for a Warning header.
    pub notes: Vec<String>,
}

impl Archive {
    /// Whether frames of an instance may be pictures: it has some, in a transfer syntax that is decoded.
    #[must_use]
    pub fn has_pictures(row: &InstanceRow) -> bool {
        row.frames.count() > 0 && codec::coder(row.transfer_syntax.as_str()).is_some()
    }

    /// The thumbnail of a series, or of the first series of a study that has one.
    ///
    /// # Errors
    /// [`PictureError::NoPixels`] where nothing of it can be shown.
    pub fn thumbnail(
        self: &Arc<Self>,
        caller: &Caller,
        scope: Scope,
        target: &Target,
    ) -> Result<Thumbnail, PictureError> {
        let (series, notes) = self.series_shown(caller, scope, target)?;
        let mut last = PictureError::NoPixels;
        for row in &series {
            match self.series_thumbnail(row) {
                Ok(bytes) => {
                    let version = format!("t{:x}-{}", row.stamp(), row.served());
                    return Ok(Thumbnail { version, bytes, notes });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The frame, from 1, that stands for a study or series, and the texts for a Warning header.
    ///
    /// # Errors
    /// [`PictureError::NoPixels`] where nothing of it can be shown.
    pub fn representative(
        self: &Arc<Self>,
        caller: &Caller,
        scope: Scope,
        target: &Target,
    ) -> Result<(InstanceRow, u32, Vec<String>), PictureError> {
        let (series, notes) = self.series_shown(caller, scope, target)?;
        for row in &series {
            if let Some((instance, number)) = self.middle(row)? {
                return Ok((instance, number, notes));
            }
        }
        Err(PictureError::NoPixels)
    }

    /// The series of a target that may have a thumbnail, the most telling first.
    fn series_shown(
        &self,
        caller: &Caller,
        scope: Scope,
        target: &Target,
    ) -> Result<(Vec<SeriesRow>, Vec<String>), RetrieveError> {
        let (studies, notes) = self.studies_of(caller, scope, target.study())?;
        let first = studies.first().ok_or(RetrieveError::NotFound)?;
        let mut series = match target {
            Target::Study(_) => self.series_of(first)?,
            Target::Series { series, .. } | Target::Instance { series, .. } => {
                vec![self.series_named(&studies, series)?]
            }
        };
        series.retain(|row| row.served() > 0);
        if series.is_empty() {
            return Err(RetrieveError::NotFound);
        }
        // Masks and doses show little without what they lie on.
        let modality = |row: &SeriesRow| row.value(key::MODALITY).unwrap_or_default().into_owned();
        series.sort_by_key(|row| ["SEG", "RTDOSE", "PR", "SR", "KO"].contains(&modality(row).as_str()));
        series.truncate(SERIES_MAX);
        Ok((series, notes))
    }

    /// The middle frame, from 1, of the middle image of a series.
    fn middle(&self, row: &SeriesRow) -> Result<Option<(InstanceRow, u32)>, RetrieveError> {
        let mut images = self.served_of(&Caller::operator(), &row.key)?;
        images.retain(Self::has_pictures);
        let at = images.len() / 2;
        Ok(images.into_iter().nth(at).map(|instance| {
            let number = instance.frames.count() / 2 + 1;
            (instance, number)
        }))
    }

    /// The thumbnail of a series: from memory, else as prepared, else made and kept now.
    fn series_thumbnail(self: &Arc<Self>, row: &SeriesRow) -> Result<Arc<Vec<u8>>, PictureError> {
        let key = format!("thumbnail {:?} {}", row.key, row.stamp());
        let begun = self.pictures.finished.begin();
        if let Some(found) = self.pictures.finished.get(&key) {
            return Ok(found);
        }
        let kept = self.index().prepared(&row.key, PreparedKind::Thumbnail).map_err(RetrieveError::from)?;
        let bytes = match kept.filter(|kept| kept.through_seq == row.stamp()) {
            Some(kept) => Arc::new(kept.document),
            None => self.make_thumbnail(row)?,
        };
        self.pictures.finished.keep(begun, key, Arc::clone(&bytes));
        Ok(bytes)
    }

    fn make_thumbnail(self: &Arc<Self>, row: &SeriesRow) -> Result<Arc<Vec<u8>>, PictureError> {
        let (middle, number) = self.middle(row)?.ok_or(PictureError::NoPixels)?;
        let bytes = self.rendered(&middle, number, &Wanted::small(Encoding::Jpeg))?;
        let kept = self.index().put_prepared(&row.key, PreparedKind::Thumbnail, row.stamp(), bytes.as_ref().clone());
        kept.map_err(RetrieveError::from)?;
        Ok(bytes)
    }
}

impl Wanted {
    /// A thumbnail of the usual size.
    #[must_use]
    pub fn small(encoding: Encoding) -> Self {
        let how = Options { viewport: Some(Viewport::fit(SIDE, SIDE)), ..Options::default() };
        Self { how, encoding, quality: QUALITY, ..Self::plain(encoding) }
    }
}

/// Starts the thread that makes the thumbnails of series that were packed.
pub(crate) fn start_thumbnails(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    every(archive, "thumbnails", |archive| {
        for _ in 0..ROUND {
            let Some(series) = archive.pictures.waiting.lock().pop_front() else { return };
            let made = archive.index().series(&series).map_err(RetrieveError::from).map_err(PictureError::from);
            let made = made.and_then(|row| row.map_or(Ok(()), |row| archive.series_thumbnail(&row).map(|_| ())));
            match made {
                Ok(()) => metrics::counter!("khoanh_thumbnails_total").increment(1),
                // Whoever asks for it hears why.
                Err(error) => tracing::debug!(series = %series.series, %error, "no thumbnail"),
            }
        }
    })
}
