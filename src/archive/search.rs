//! An answer of any length, page by page, with the same memory for a hundred matches and for a million.
//!
//! QIDO-RS asks for one page at an offset ([`Archive::find`]); an asker that takes everything in one go, as C-FIND
//! does, walks a [`Search`]. Patients are found here too: the index has rows of studies, so a patient is answered at
//! the first of its matching studies. Those that were answered are remembered up to a bound, and it costs nothing; of
//! those beyond it the index is asked whether a study is the first.

use crate::error::FindError;
use crate::find::{Chosen, Counted, FoundRow, visible};
use crate::open::Archive;
use index::{Cursor, Plan, plan};
use model::attribute::{Attributes, attribute, key};
use model::query::{Condition, Moment, PAIRS, Query, Test, Zone};
use model::{AttrKey, Caller, FacilityCode, Level, Scope};
use std::collections::HashSet;

/// Number of Patient Related Studies (0020,1200).
pub const PATIENT_RELATED_STUDIES: AttrKey = AttrKey::root(0x0020_1200);
/// Number of Patient Related Series (0020,1202).
pub const PATIENT_RELATED_SERIES: AttrKey = AttrKey::root(0x0020_1202);
/// Number of Patient Related Instances (0020,1204).
pub const PATIENT_RELATED_INSTANCES: AttrKey = AttrKey::root(0x0020_1204);

/// Rows read at once where one patient's studies are walked.
const PAGE: usize = 256;
/// Studies remembered with the facility that answers for them; a cache, emptied when it is full.
const CHOSEN_MAX: usize = 1_000;
/// Patients of one answer that are remembered: some hundred bytes each.
const PATIENTS_MAX: usize = 4_096;

/// Whose a study is: facility, Patient ID and its issuer.
type Patient = (FacilityCode, String, String);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The question; for patients at [`Level::Study`].
    pub query: Query,
    /// Whether a row is a patient: (issuer, Patient ID). Studies without a Patient ID are patients of their own.
    pub patients: bool,
    /// Whether the numbers of related objects of the patient are answered.
    pub patient_totals: bool,
    /// Spans over a date and a time together, all of which must hold beside the conditions of the question.
    pub moments: Vec<Moment>,
    /// The zone in which the asker means and wants dates and times.
    pub zone: Option<Zone>,
    /// Conditions that hold in that zone, beside those of the question.
    pub zoned: Vec<Condition>,
    /// Attributes that are wanted of a row, numbers of the patient apart; none means every one. What nobody asks for
    /// is not read.
    pub returned: Option<Vec<AttrKey>>,
}

impl Wanted {
    /// What satisfies a question, and nothing more.
    pub fn of(query: Query) -> Self {
        let (moments, zoned) = (Vec::new(), Vec::new());
        Self { query, patients: false, patient_totals: false, moments, zone: None, zoned, returned: None }
    }

    /// The attributes to be read; none means every one. A date is brought into a zone by its time, which perhaps nobody
    /// asked for.
    fn read(&self) -> Option<&[AttrKey]> {
        self.returned.as_deref().filter(|_| self.zone.is_none())
    }
}

/// A page of an answer.
#[derive(Debug, Clone)]
pub struct SearchPage {
    /// The rows, newest study first; may be empty though more follow.
    pub rows: Vec<FoundRow>,
    /// Whether this was the last page.
    pub ended: bool,
}

impl Archive {
    /// When the newest instance of a study that was found came in, milliseconds since 1970 UTC, and a number that changes
    /// whenever what is told of the study does.
    ///
    /// # Errors
    /// When the index does not answer.
    pub fn changed(&self, found: &FoundRow) -> Result<(u64, u64), FindError> {
        let rows = self.index().studies(&found.study)?;
        let row = rows.into_iter().filter(|row| row.key.facility == found.facility).min_by_key(|row| row.key.patient);
        Ok(row.map_or((0, 0), |row| (row.last_received, row.last_seq ^ row.version_fact.rotate_left(32))))
    }
}

/// An answer being read.
pub struct Search {
    caller: Caller,
    scope: Scope,
    wanted: Wanted,
    facilities: Option<Vec<FacilityCode>>,
    plan: Plan,
    cursor: Option<Cursor>,
    chosen: Chosen,
    /// Patients that were answered; every one of them while there are fewer than may be.
    patients: HashSet<Patient>,
    patients_max: usize,
    /// Whether a study that several facilities hold is answered for each of them.
    every_copy: bool,
    /// How often the index was asked whether a study is its patient's first.
    #[cfg(test)]
    pub(crate) looks: u64,
}

impl Search {
    /// A question, not yet asked.
    pub fn new(caller: Caller, scope: Scope, wanted: Wanted) -> Self {
        let facilities = visible(&caller, scope);
        let plan = plan(&wanted.query, facilities.as_deref()).with_unfit(caller.sees_rejected);
        Self {
            caller,
            scope,
            wanted,
            facilities,
            plan,
            cursor: None,
            chosen: Chosen::new(),
            patients: HashSet::new(),
            patients_max: PATIENTS_MAX,
            every_copy: false,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// The same with every facility's copy of a study, also on the shared root.
    #[must_use]
    pub fn every_copy(self) -> Self {
        Self { every_copy: true, ..self }
    }

    /// The same from where an earlier answer ended.
    #[must_use]
    pub fn after(self, cursor: Option<Cursor>) -> Self {
        Self { cursor, ..self }
    }

    /// Where the last page ended; none behind the last one.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// The same with another bound on the patients that are remembered.
    #[cfg(test)]
    pub(crate) fn remembering(self, patients_max: usize) -> Self {
        Self { patients_max, ..self }
    }

    /// The next page, of at most `limit` rows.
    ///
    /// # Errors
    /// As [`Archive::find`].
    pub fn page(&mut self, archive: &Archive, limit: usize) -> Result<SearchPage, FindError> {
        if self.facilities.as_ref().is_some_and(Vec::is_empty) {
            return Ok(SearchPage { rows: Vec::new(), ended: true });
        }
        let page = archive.index().find(&self.plan, self.cursor.as_ref(), limit.max(1))?;
        if self.chosen.len() > CHOSEN_MAX {
            self.chosen.clear();
        }
        let (mut rows, mut counted) = (Vec::with_capacity(page.rows.len()), Counted::default());
        for row in &page.rows {
            if !self.lies_in(archive, row) {
                continue;
            }
            if !self.every_copy && !archive.answers(&self.caller, self.scope, row, &mut self.chosen)? {
                continue;
            }
            if self.wanted.patients && !self.is_first_of_patient(archive, row)? {
                continue;
            }
            let (level, read) = (self.wanted.query.level, self.wanted.read());
            let mut found = archive.complete(&self.caller, level, row, read, &mut counted)?;
            if let Some(zone) = self.wanted.zone {
                zone.translate(&mut found.attributes, archive.zone());
            }
            if self.wanted.patient_totals {
                found.attributes.extend(self.totals(archive, row)?);
            }
            rows.push(found);
        }
        self.cursor = page.cursor;
        Ok(SearchPage { rows, ended: self.cursor.is_none() })
    }

    /// Whether a row satisfies what the index cannot be asked for.
    fn lies_in(&self, archive: &Archive, row: &index::Found) -> bool {
        let Wanted { moments, zoned, zone, .. } = &self.wanted;
        if moments.is_empty() && zoned.is_empty() {
            return true;
        }
        let named = PAIRS.into_iter().flat_map(|(date, time)| [date, time]);
        let keys = named.chain(zoned.iter().map(|condition| condition.key)).chain([key::TIMEZONE_OFFSET_FROM_UTC]);
        let mut values: Attributes = keys.filter_map(|key| Some((key, row.value(key)?.into_owned()))).collect();
        if let Some(zone) = zone {
            zone.translate(&mut values, archive.zone());
        }
        let satisfied = |condition: &Condition| {
            let value = values.get(&condition.key).map_or("", String::as_str);
            attribute(condition.key).is_none_or(|row| condition.test.accepts(row, value, false))
        };
        moments.iter().all(|moment| moment.accepts(&values)) && zoned.iter().all(satisfied)
    }

    /// Whether no earlier row of the answer was of the same patient.
    fn is_first_of_patient(&mut self, archive: &Archive, row: &index::Found) -> Result<bool, FindError> {
        let Some(patient) = patient(row) else { return Ok(true) };
        if self.patients.contains(&patient) {
            return Ok(false);
        }
        if self.patients.len() < self.patients_max {
            // Whoever was answered before is among them.
            self.patients.insert(patient);
            return Ok(true);
        }
        self.is_first_by_index(archive, row, &patient)
    }

    /// The same by asking the index for the first row of the patient in this answer.
    fn is_first_by_index(
        &mut self,
        archive: &Archive,
        row: &index::Found,
        patient: &Patient,
    ) -> Result<bool, FindError> {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let mut conditions = conditions(patient);
        conditions.extend(self.wanted.query.conditions.iter().cloned());
        let query = Query { conditions, ..self.wanted.query.clone() };
        let plan = plan(&query, Some(&[row.study.key.facility])).with_unfit(self.caller.sees_rejected);
        let mut cursor = None;
        loop {
            let page = archive.index().find(&plan, cursor.as_ref(), 1)?;
            if let Some(first) = page.rows.first()
                && self.lies_in(archive, first)
                && archive.answers(&self.caller, self.scope, first, &mut self.chosen)?
            {
                return Ok(first.study.key == row.study.key);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(true);
            }
        }
    }

    /// Counts everything of the row's patient that the asker may see.
    fn totals(&self, archive: &Archive, row: &index::Found) -> Result<[(AttrKey, String); 3], FindError> {
        let this_study = || {
            let test = Test::Equal(row.study.key.study.as_str().to_owned());
            vec![Condition { key: key::STUDY_INSTANCE_UID, test }]
        };
        let conditions = patient(row).as_ref().map_or_else(this_study, conditions);
        let query = Query { level: Level::Study, conditions, fuzzy: false };
        let plan = plan(&query, Some(&[row.study.key.facility])).with_unfit(self.caller.sees_rejected);
        let (mut studies, mut series, mut instances, mut cursor) = (0u64, 0u64, 0u64, None);
        loop {
            let page = archive.index().find(&plan, cursor.as_ref(), PAGE)?;
            for row in &page.rows {
                let number = |key| row.value(key).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
                studies = studies.saturating_add(1);
                series = series.saturating_add(number(key::NUMBER_OF_STUDY_RELATED_SERIES));
                instances = instances.saturating_add(row.study.served_to(self.caller.sees_rejected));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let totals = [
            (PATIENT_RELATED_STUDIES, studies),
            (PATIENT_RELATED_SERIES, series),
            (PATIENT_RELATED_INSTANCES, instances),
        ];
        Ok(totals.map(|(key, number)| (key, number.to_string())))
    }
}

impl Archive {
    /// The zone of dates and times that name none.
    pub(crate) fn zone(&self) -> Zone {
        Zone::of_hours(self.options().forward.utc_offset)
    }
}

/// The patient of a row; none without a Patient ID that can be looked for.
fn patient(row: &index::Found) -> Option<Patient> {
    let value = |key| row.value(key).map(|text| text.trim().to_owned()).unwrap_or_default();
    let id = value(key::PATIENT_ID);
    let named = !id.is_empty() && !id.contains('\\');
    named.then(|| (row.study.key.facility, id, value(key::ISSUER_OF_PATIENT_ID)))
}

/// The conditions that make a patient, inside its facility.
fn conditions((_, id, issuer): &Patient) -> Vec<Condition> {
    let issuer = if issuer.is_empty() { Test::Empty } else { Test::Equal(issuer.clone()) };
    vec![
        Condition { key: key::PATIENT_ID, test: Test::Equal(id.clone()) },
        Condition { key: key::ISSUER_OF_PATIENT_ID, test: issuer },
    ]
}
