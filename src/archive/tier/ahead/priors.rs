//! Which earlier studies somebody who is expected may need, the likeliest first.
//!
//! What shows the same region of the body comes first, then what was made by the same modality, then the newest. A study
//! is taken whole or not at all, within bounds of number, bytes and years.

use super::AheadOptions;
use super::region::regions;
use crate::charts::Expected;
use crate::clock::day_of;
use crate::error::FindError;
use crate::find::FoundRow;
use crate::open::Archive;
use index::PackRow;
use model::attribute::key;
use model::chart::Local;
use model::query::{Condition, Query, Test};
use model::{AttrKey, Caller, FacilityCode, Level, Scope, Uid};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Studies of one number that are considered, the newest.
const STUDIES_MAX: usize = 500;
/// Studies whose series are asked for the body part where the study does not say it.
const LOOKED_MAX: usize = 50;
/// Milliseconds of a year.
const YEAR_MS: u64 = 31_557_600_000;

fn value(row: &FoundRow, key: AttrKey) -> &str {
    row.attributes.get(&key).map_or("", String::as_str)
}

impl Archive {
    /// The packs of the earlier studies that somebody who is expected may need.
    pub(super) fn priors(&self, expected: &Expected, options: &AheadOptions) -> Result<Vec<PackRow>, FindError> {
        let mut rows = Vec::new();
        for local in self.locals(expected, options)? {
            self.earlier_of(&local, &mut rows)?;
        }
        let oldest = day_of(self.now_ms().saturating_sub(u64::from(options.years).saturating_mul(YEAR_MS)));
        rows.retain(|row| {
            expected.study.as_ref() != Some(&row.study) && is_young(value(row, key::STUDY_DATE), &oldest)
        });
        self.rank(expected, &mut rows)?;
        let (mut packs, mut studies, mut bytes) = (Vec::new(), 0, 0u64);
        for row in rows {
            if studies >= options.studies {
                break;
            }
            let of_study = self.packs_of_earlier(row.facility, &row.study)?;
            let len = of_study.iter().fold(0u64, |sum, pack| sum.saturating_add(pack.len));
            if bytes.saturating_add(len) > options.bytes {
                continue;
            }
            studies += 1;
            bytes = bytes.saturating_add(len);
            packs.extend(of_study);
        }
        Ok(packs)
    }

    /// Every number under which the patient may have studies, in the facility itself first.
    fn locals(&self, expected: &Expected, options: &AheadOptions) -> Result<Vec<Local>, FindError> {
        let failed = |error: crate::charts::ChartError| FindError::Unavailable { what: error.to_string() };
        let (charts, own) = (self.charts(), Caller::operator());
        let facility = expected.name.facility;
        let mut locals = vec![Local { facility, mrn: expected.mrn.clone() }];
        if options.linked {
            match charts.person(&own, &Local { facility, mrn: expected.mrn.clone() }) {
                Ok(person) => locals.extend(person.members.into_iter().map(|member| member.local)),
                Err(crate::charts::ChartError::Unknown(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut all = Vec::new();
        for local in locals {
            for mrn in charts.numbers(&own, local.facility, &local.mrn).map_err(failed)? {
                let number = Local { facility: local.facility, mrn };
                if !all.contains(&number) {
                    all.push(number);
                }
            }
        }
        Ok(all)
    }

    /// The newest studies of a number.
    fn earlier_of(&self, local: &Local, rows: &mut Vec<FoundRow>) -> Result<(), FindError> {
        let mrn = local.mrn.trim();
        // What no attribute can hold.
        if mrn.is_empty() || mrn.contains('\\') {
            return Ok(());
        }
        let conditions = vec![Condition { key: key::PATIENT_ID, test: Test::Equal(mrn.to_owned()) }];
        let query = Query { level: Level::Study, conditions, fuzzy: false };
        let found = self.find(&Caller::operator(), Scope::Facility(local.facility), &query, 0, STUDIES_MAX)?;
        for row in found.rows {
            if !rows.iter().any(|one| one.study == row.study && one.facility == row.facility) {
                rows.push(row);
            }
        }
        Ok(())
    }

    /// Puts the likeliest first.
    fn rank(&self, expected: &Expected, rows: &mut Vec<FoundRow>) -> Result<(), FindError> {
        let wanted = regions(&expected.words);
        rows.sort_by_cached_key(|row| Reverse(value(row, key::STUDY_DATE).to_owned()));
        let mut ranked = Vec::new();
        for (number, row) in std::mem::take(rows).into_iter().enumerate() {
            let mut shown = regions(value(&row, key::STUDY_DESCRIPTION));
            if shown == 0 && wanted != 0 && number < LOOKED_MAX {
                shown = self.regions_of_series(row.facility, &row.study)?;
            }
            let mut made_by = value(&row, key::MODALITIES_IN_STUDY).split('\\');
            let same = !expected.modality.is_empty() && made_by.any(|one| one.trim() == expected.modality);
            ranked.push(((shown & wanted != 0, same), row));
        }
        // Equal ones stay as they are, the newest first.
        ranked.sort_by_key(|(rank, _)| Reverse(*rank));
        rows.extend(ranked.into_iter().map(|(_, row)| row));
        Ok(())
    }

    fn regions_of_series(&self, facility: FacilityCode, study: &Uid) -> Result<u16, FindError> {
        let mut found = 0;
        self.each_series(facility, study, &mut |series| {
            found |= regions(series.attributes.get(&key::BODY_PART_EXAMINED).map_or("", String::as_str));
            Ok(())
        })?;
        Ok(found)
    }

    fn packs_of_earlier(&self, facility: FacilityCode, study: &Uid) -> Result<Vec<PackRow>, FindError> {
        let (mut packs, mut seen) = (Vec::new(), BTreeSet::new());
        self.each_series(facility, study, &mut |series| {
            packs.extend(self.index().packs_of(&series.key)?.into_iter().filter(|pack| seen.insert(pack.pack)));
            Ok(())
        })?;
        Ok(packs)
    }

    fn each_series(
        &self,
        facility: FacilityCode,
        study: &Uid,
        each: &mut dyn FnMut(&index::SeriesRow) -> Result<(), FindError>,
    ) -> Result<(), FindError> {
        let failed = |error: crate::RetrieveError| FindError::Unavailable { what: error.to_string() };
        for row in self.index().studies(study)?.into_iter().filter(|row| row.key.facility == facility) {
            self.series_of(&row).map_err(failed)?.iter().try_for_each(&mut *each)?;
        }
        Ok(())
    }
}

/// Whether a study is not older than a day; one without a date may be of any.
fn is_young(date: &str, oldest: &str) -> bool {
    date.is_empty() || date >= oldest
}
