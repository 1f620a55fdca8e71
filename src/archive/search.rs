//! An answer of any length, page by page, with the same memory for a hundred matches and for a million.
//!
//! QIDO-RS asks for one page at an offset ([`Archive::find`]); an asker that takes everything in one go, as C-FIND
//! does, walks a [`Search`]. Patients are found here too: the index has rows of studies, so a patient is answered at
//! the first of its matching studies, which costs one more look into the index and no memory.

use crate::error::FindError;
use crate::find::{Chosen, Counted, FoundRow, visible};
use crate::open::Archive;
use index::{Cursor, Plan, plan};
use model::attribute::{Attributes, attribute, key};
use model::query::{Condition, Moment, PAIRS, Query, Test, Zone};
use model::{AttrKey, Caller, FacilityCode, Level, Scope};

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
}

impl Wanted {
    /// What satisfies a question, and nothing more.
    pub fn of(query: Query) -> Self {
        let (moments, zoned) = (Vec::new(), Vec::new());
        Self { query, patients: false, patient_totals: false, moments, zone: None, zoned }
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

/// An answer being read.
pub struct Search {
    caller: Caller,
    scope: Scope,
    wanted: Wanted,
    facilities: Option<Vec<FacilityCode>>,
    plan: Plan,
    cursor: Option<Cursor>,
    chosen: Chosen,
}

impl Search {
    /// A question, not yet asked.
    pub fn new(caller: Caller, scope: Scope, wanted: Wanted) -> Self {
        let facilities = visible(&caller, scope);
        let plan = plan(&wanted.query, facilities.as_deref()).with_unfit(caller.sees_rejected);
        Self { caller, scope, wanted, facilities, plan, cursor: None, chosen: Chosen::new() }
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
            if !self.lies_in(archive, row) || !archive.answers(&self.caller, self.scope, row, &mut self.chosen)? {
                continue;
            }
            if self.wanted.patients && !self.is_first_of_patient(archive, row)? {
                continue;
            }
            let mut found = archive.complete(&self.caller, self.wanted.query.level, row, &mut counted)?;
            if let Some(zone) = self.wanted.zone {
                zone.translate(&mut found.attributes, archive.zone());
            }
            if self.wanted.patient_totals {
                self.add_totals(archive, &mut found)?;
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
    fn is_first_of_patient(&self, archive: &Archive, row: &index::Found) -> Result<bool, FindError> {
        let value = |key| row.value(key).map(|text| text.into_owned()).unwrap_or_default();
        let Some(mut conditions) = patient(&value(key::PATIENT_ID), &value(key::ISSUER_OF_PATIENT_ID)) else {
            return Ok(true);
        };
        conditions.extend(self.wanted.query.conditions.iter().cloned());
        let query = Query { conditions, ..self.wanted.query.clone() };
        let plan = plan(&query, Some(&[row.study.key.facility])).with_unfit(self.caller.sees_rejected);
        let mut cursor = None;
        loop {
            let page = archive.index().find(&plan, cursor.as_ref(), 1)?;
            if let Some(first) = page.rows.first().filter(|first| self.lies_in(archive, first)) {
                return Ok(first.study.key == row.study.key);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(true);
            }
        }
    }

    /// Counts everything of the row's patient that the asker may see.
    fn add_totals(&self, archive: &Archive, found: &mut FoundRow) -> Result<(), FindError> {
        let value = |key| found.attributes.get(&key).cloned().unwrap_or_default();
        let (id, issuer) = (value(key::PATIENT_ID), value(key::ISSUER_OF_PATIENT_ID));
        let this_study = || {
            let condition =
                Condition { key: key::STUDY_INSTANCE_UID, test: Test::Equal(found.study.as_str().to_owned()) };
            vec![condition]
        };
        let conditions = patient(&id, &issuer).unwrap_or_else(this_study);
        let plan = plan(&Query { level: Level::Study, conditions, fuzzy: false }, Some(&[found.facility]))
            .with_unfit(self.caller.sees_rejected);
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
        found.attributes.extend(totals.map(|(key, number)| (key, number.to_string())));
        Ok(())
    }
}

impl Archive {
    /// The zone of dates and times that name none.
    pub(crate) fn zone(&self) -> Zone {
        Zone::of_hours(self.options().forward.utc_offset)
    }
}

/// The conditions that make a patient; none without a Patient ID that can be looked for.
fn patient(id: &str, issuer: &str) -> Option<Vec<Condition>> {
    let (id, issuer) = (id.trim(), issuer.trim());
    if id.is_empty() || id.contains('\\') {
        return None;
    }
    let issuer = if issuer.is_empty() { Test::Empty } else { Test::Equal(issuer.to_owned()) };
    Some(vec![
        Condition { key: key::PATIENT_ID, test: Test::Equal(id.to_owned()) },
        Condition { key: key::ISSUER_OF_PATIENT_ID, test: issuer },
    ])
}
