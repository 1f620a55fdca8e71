//! What a picture carries besides pixels: the presentation state it is seen by, and text in its corners.

use super::{Annotation, PictureError, Wanted};
use crate::error::RetrieveError;
use crate::open::Archive;
use crate::retrieve::Target;
use dataset::json::Parts;
use dataset::render::{Description, Labels, Presentation, is_presentation};
use index::{InstanceRow, StudyRow};
use model::attribute::key;
use model::{AttrKey, Caller, Scope};
use std::borrow::Cow;
use std::sync::Arc;

/// Images of a presentation state that are looked up.
const IMAGES_MAX: usize = 1_000;

/// An image as a presentation state names it.
pub type Presented = (InstanceRow, Vec<u32>);

impl Archive {
    /// Whether an instance is a presentation state that is applied.
    #[must_use]
    pub fn is_presentation(row: &InstanceRow) -> bool {
        is_presentation(row.sop_class.as_str())
    }

    /// The presentation state of an instance.
    ///
    /// # Errors
    /// [`PictureError::Unsupported`] where it is none that is applied; what reading comes to.
    pub fn presentation(self: &Arc<Self>, row: &InstanceRow) -> Result<Presentation, PictureError> {
        let layout = self.layout(row)?;
        let (before, after) = self.around_pixels(row, &layout)?;
        let parts = Parts { before: &before, pixel: layout.pixel, after: &after };
        let damaged = |error: dataset::ScanError| RetrieveError::Damaged { what: error.to_string() };
        let description = Description::read(&parts, &row.transfer_syntax).map_err(damaged)?;
        let read = description.presentation(row.sop_class.as_str(), row.digest.to_string());
        read.map_err(|error| PictureError::Unsupported { what: error.to_string() })
    }

    /// The images that a presentation state is about and the caller may see, with the frames it names (from 1, all of
    /// them where it names none), in its order.
    ///
    /// # Errors
    /// [`RetrieveError::NotFound`] where none of them is here.
    pub fn presented(
        &self,
        caller: &Caller,
        scope: Scope,
        row: &InstanceRow,
        state: &Presentation,
    ) -> Result<Vec<Presented>, PictureError> {
        let mut found = Vec::new();
        for image in state.images().into_iter().take(IMAGES_MAX) {
            let study = row.key.study.study.clone();
            let target = Target::Instance { study, series: image.series, instance: image.instance };
            match self.select(caller, scope, &target) {
                Ok(selection) => found.extend(selection.instances.into_iter().map(|row| (row, image.frames.clone()))),
                Err(RetrieveError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        found.retain(|(row, _)| Self::has_pictures(row));
        if found.is_empty() { Err(RetrieveError::NotFound.into()) } else { Ok(found) }
    }

    /// The same wish with the text that it asks for, as the index has it now.
    ///
    /// # Errors
    /// What asking the index comes to.
    pub fn labelled(&self, row: &InstanceRow, wanted: &Wanted) -> Result<Wanted, PictureError> {
        let mut wanted = wanted.clone();
        wanted.how.labels = Labels::default();
        if wanted.annotation == Annotation::default() {
            return Ok(wanted);
        }
        let study = self.index().study(&row.key.study).map_err(RetrieveError::from)?;
        let of_study = |key: AttrKey| study.as_ref().and_then(|study| study.value(key)).map(Cow::into_owned);
        if let (true, Some(study)) = (wanted.annotation.patient, &study) {
            wanted.how.labels.left = patient(study);
        }
        if wanted.annotation.technique {
            let series = self.index().series(&row.key).map_err(RetrieveError::from)?;
            let of_series = |key: AttrKey| series.as_ref().and_then(|series| series.value(key)).map(Cow::into_owned);
            let moment =
                [of_study(key::STUDY_DATE).map(|date| day(&date)), of_study(key::STUDY_TIME).map(|time| clock(&time))];
            let what = [of_series(key::MODALITY), of_series(key::BODY_PART_EXAMINED)];
            let number = row.value(key::INSTANCE_NUMBER).map(|number| format!("Im {number}"));
            let numbers = [of_series(key::SERIES_NUMBER).map(|number| format!("Se {number}")), number];
            let single = |text: Option<String>| [text, None];
            let lines = [
                what,
                moment,
                single(of_study(key::STUDY_DESCRIPTION)),
                single(of_series(key::SERIES_DESCRIPTION)),
                single(of_study(key::INSTITUTION_NAME)),
                numbers,
            ];
            wanted.how.labels.right = lines.iter().filter_map(|parts| line(parts)).collect();
        }
        Ok(wanted)
    }
}

/// Whom the picture shows.
fn patient(study: &StudyRow) -> Vec<String> {
    let value = |key: AttrKey| study.value(key).map(Cow::into_owned);
    let lines = [
        [value(key::PATIENT_NAME).map(|name| plain_name(&name)), None],
        [value(key::PATIENT_ID), None],
        [value(key::PATIENT_BIRTH_DATE).map(|date| day(&date)), value(key::PATIENT_SEX)],
        [value(key::ACCESSION_NUMBER), None],
    ];
    lines.iter().filter_map(|parts| line(parts)).collect()
}

/// Parts side by side; nothing where there is none.
fn line(parts: &[Option<String>]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().flatten().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("  "))
}

/// A name as people write it: the first group of components, one after the other (PS3.5 section 6.2).
fn plain_name(name: &str) -> String {
    let group = name.split(['=', '\\']).find(|group| !group.trim_matches('^').is_empty()).unwrap_or_default();
    group.split('^').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `20260131` as `2026-01-31`; anything else as it is.
fn day(text: &str) -> String {
    match (text.get(..4), text.get(4..6), text.get(6..8)) {
        (Some(year), Some(month), Some(day)) if text.len() == 8 => format!("{year}-{month}-{day}"),
        _ => text.to_owned(),
    }
}

/// `093015.5` as `09:30`; anything else as it is.
fn clock(text: &str) -> String {
    match (text.get(..2), text.get(2..4)) {
        (Some(hour), Some(minute)) => format!("{hour}:{minute}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_days_and_times_read_as_people_write_them() {
        assert_eq!(plain_name("NGUYỄN^VĂN AN^^Bs="), "NGUYỄN VĂN AN Bs");
        assert_eq!(plain_name("=^^=山田^太郎"), "山田 太郎");
        assert_eq!((day("20260131").as_str(), day("2026").as_str()), ("2026-01-31", "2026"));
        assert_eq!((clock("093015.5").as_str(), clock("9").as_str()), ("09:30", "9"));
        assert_eq!(line(&[None, Some(" ".into())]), None);
    }
}
