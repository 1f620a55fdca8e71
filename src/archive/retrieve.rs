//! Which instances answer a retrieve: one facility's copy, the first patient's study, in viewing order.
//!
//! Brings no bytes; see [`crate::object`].

use crate::error::RetrieveError;
use crate::open::Archive;
use index::{InstanceRow, SeriesKey, SeriesRow, StudyRow};
use model::attribute::key;
use model::{AttrKey, Attributes, Caller, FacilityCode, Scope, Uid};

/// Rows asked of the index at once.
const PAGE: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A whole study.
    Study(Uid),
    /// A series of it.
    Series {
        /// Study Instance UID.
        study: Uid,
        /// Series Instance UID.
        series: Uid,
    },
    /// An instance of it.
    Instance {
        /// Study Instance UID.
        study: Uid,
        /// Series Instance UID.
        series: Uid,
        /// SOP Instance UID.
        instance: Uid,
    },
}

impl Target {
    /// The study it lies in.
    pub fn study(&self) -> &Uid {
        match self {
            Self::Study(study) | Self::Series { study, .. } | Self::Instance { study, .. } => study,
        }
    }
}

/// The instances that answer, with the corrections they go out with.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The one facility they all belong to.
    pub facility: FacilityCode,
    /// Series by number, instances by number, then by order of arrival.
    pub instances: Vec<InstanceRow>,
    /// What the asker should know, for a Warning header; no patient data.
    pub notes: Vec<String>,
    /// Changes whenever the answer does.
    pub version: u64,
}

impl Selection {
    /// The same instances as they were received.
    #[must_use]
    pub fn as_received(mut self) -> Self {
        self.instances.iter_mut().for_each(|row| row.correction = None);
        self
    }
}

impl Archive {
    /// Selects the instances for a retrieve.
    ///
    /// On the shared root the caller's own facility's copy is taken, else the first received; instances of two
    /// facilities never meet in one answer. Where a Study Instance UID holds two patients, the first one's
    /// series answer for the study; the other's are reached by their Series Instance UID.
    ///
    /// # Errors
    /// [`RetrieveError::NotFound`] also for what exists but may not be seen.
    pub fn select(&self, caller: &Caller, scope: Scope, target: &Target) -> Result<Selection, RetrieveError> {
        let (studies, mut notes) = self.studies_of(caller, scope, target.study())?;
        let first = studies.first().ok_or(RetrieveError::NotFound)?;
        let facility = first.key.facility;
        let mut instances = Vec::new();
        match target {
            Target::Study(_) => {
                if studies.len() > 1 {
                    notes.push("this Study Instance UID holds another patient's series; they are not included".into());
                }
                for series in self.series_of(first)? {
                    instances.extend(self.served_of(caller, &series.key)?);
                }
            }
            Target::Series { series, .. } => {
                instances = self.served_of(caller, &self.series_named(&studies, series)?.key)?;
            }
            Target::Instance { series, instance, .. } => {
                let wanted = |row: &InstanceRow| {
                    row.outcome.copy == 0
                        && row.is_shown(caller.sees_rejected)
                        && row.key.series == *series
                        && studies.iter().any(|study| study.key == row.key.study)
                };
                instances.extend(self.index().instance(instance)?.into_iter().find(wanted));
            }
        }
        if instances.is_empty() {
            return Err(RetrieveError::NotFound);
        }
        for study in &studies {
            self.corrected(study, &mut instances)?;
        }
        // A rejection or a correction makes another answer of the same instances.
        let newest = instances.iter().map(|row| row.seq).max().unwrap_or(0);
        let version = newest ^ first.version_fact.rotate_left(32);
        Ok(Selection { facility, instances, notes, version })
    }

    /// Every object under a SOP Instance UID at a facility: rejected ones and copies in conflict too.
    ///
    /// # Errors
    /// When the index does not answer.
    pub fn copies(&self, facility: FacilityCode, instance: &Uid) -> Result<Vec<InstanceRow>, RetrieveError> {
        let mut rows = self.index().instance(instance)?;
        rows.retain(|row| row.key.study.facility == facility);
        Ok(rows)
    }

    /// The rows of a study for this caller: one facility's, the first patient's first.
    pub(crate) fn studies_of(
        &self,
        caller: &Caller,
        scope: Scope,
        study: &Uid,
    ) -> Result<(Vec<StudyRow>, Vec<String>), RetrieveError> {
        let mut rows = self.index().studies(study)?;
        rows.retain(|row| {
            let in_scope = match scope {
                Scope::Facility(facility) => row.key.facility == facility,
                Scope::Shared => true,
            };
            in_scope && is_shown(caller, row)
        });
        let Some(chosen) = preferred(caller, &rows) else { return Ok((Vec::new(), Vec::new())) };
        let mut notes = Vec::new();
        if rows.iter().any(|row| row.key.facility != chosen) {
            notes.push(format!("other facilities hold this study too; this is the copy of facility {chosen}"));
        }
        rows.retain(|row| row.key.facility == chosen);
        rows.sort_by_key(|row| row.key.patient);
        Ok((rows, notes))
    }

    /// Every series of a study row, by series number, then by arrival.
    pub(crate) fn series_of(&self, study: &StudyRow) -> Result<Vec<SeriesRow>, RetrieveError> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.index().series_of(&study.key, cursor.as_ref(), PAGE)?;
            rows.extend(page.rows);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        rows.sort_by_key(|row: &SeriesRow| (number(&row.attributes, key::SERIES_NUMBER), row.first_seq));
        Ok(rows)
    }

    /// Every instance of a series that the caller may retrieve, in the same order.
    pub(crate) fn served_of(&self, caller: &Caller, series: &SeriesKey) -> Result<Vec<InstanceRow>, RetrieveError> {
        let mut rows = self.instances_of(series)?;
        rows.retain(|row| row.is_shown(caller.sees_rejected));
        Ok(rows)
    }

    /// Every instance of a series, rejected ones too, by instance number, then by arrival.
    pub(crate) fn instances_of(&self, series: &SeriesKey) -> Result<Vec<InstanceRow>, RetrieveError> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.index().instances_of(series, cursor.as_ref(), PAGE)?;
            rows.extend(page.rows.into_iter().filter(|row| row.outcome.copy == 0));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        rows.sort_by_key(|row: &InstanceRow| (number(&row.attributes, key::INSTANCE_NUMBER), row.seq));
        Ok(rows)
    }

    /// The series of that UID in the first of the study rows that has it.
    pub(crate) fn series_named(&self, studies: &[StudyRow], series: &Uid) -> Result<SeriesRow, RetrieveError> {
        for study in studies {
            let wanted = SeriesKey { study: study.key.clone(), series: series.clone() };
            if let Some(row) = self.index().series(&wanted)? {
                return Ok(row);
            }
        }
        Err(RetrieveError::NotFound)
    }
}

/// Whether a caller is shown anything of a study.
pub(crate) fn is_shown(caller: &Caller, row: &StudyRow) -> bool {
    caller.may_see(row.key.facility) && row.hidden_by.is_none() && row.served_to(caller.sees_rejected) > 0
}

/// The facility whose copy answers: the caller's own, else the one that received first.
pub(crate) fn preferred(caller: &Caller, rows: &[StudyRow]) -> Option<FacilityCode> {
    let own = rows.iter().find(|row| Some(row.key.facility) == caller.home);
    own.or_else(|| rows.iter().min_by_key(|row| row.first_seq)).map(|row| row.key.facility)
}

fn number(attributes: &Attributes, key: AttrKey) -> i64 {
    attributes.get(&key).and_then(|text| text.trim().parse().ok()).unwrap_or(i64::MAX)
}
