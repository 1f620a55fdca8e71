//! What senders state of how much there is, beside what is stored: in the objects of a study, and by asking storage
//! commitment for an instance.
//!
//! The numbers stand in the rows of studies and series, and only where somebody states them. What is compared is every
//! instance that was stored, rejected ones among them.
//! Deliberately not here: numbers of an acquisition (0020,1002), which say nothing of a series or study.

use super::place::CompletenessPlace;
use super::{Completeness, LOOKED_MAX, Lack, unavailable};
use crate::charts::ChartError;
use crate::commitment::Uncommitted;
use crate::open::Archive;
use index::{Cursor, SeriesRow, StudyRow, plan};
use model::attribute::key;
use model::query::{Condition, Query, Test, first};
use model::{FacilityCode, Level, Uid};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Studies, and series of one, asked at once.
const PAGE: usize = 100;

/// A number that is stated beside the one that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// What senders state, the greatest number they did.
    pub stated: u64,
    /// What is stored.
    pub stored: u64,
}

impl Numbers {
    /// The two, where somebody states one and they differ.
    fn differing(stated: Option<u64>, stored: u64) -> Option<Self> {
        stated.filter(|stated| *stated != stored).map(|stated| Self { stated, stored })
    }
}

/// A series of which another number is stated than is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfSeries {
    /// Series Instance UID.
    pub uid: Uid,
    /// Its instances.
    #[serde(flatten)]
    pub instances: Numbers,
}

/// What differs of a study by its own row: instances, then series.
fn of_study(row: &StudyRow) -> [Option<Numbers>; 2] {
    [
        Numbers::differing(row.stated(key::NUMBER_OF_STUDY_RELATED_INSTANCES), row.instances),
        Numbers::differing(row.stated(key::NUMBER_OF_STUDY_RELATED_SERIES), row.series),
    ]
}

fn of_series(row: &SeriesRow) -> Option<OfSeries> {
    let instances = Numbers::differing(row.stated(), row.instances)?;
    Some(OfSeries { uid: row.key.series.clone(), instances })
}

fn is_complete(row: &StudyRow) -> bool {
    row.complete_through.is_some_and(|through| through >= row.last_seq)
}

/// Says in the log what senders of a study state and is not stored, once it is complete.
pub(in crate::charts) fn warn_of(row: &StudyRow) {
    let [Some(Numbers { stated, stored }), _] = of_study(row) else { return };
    if is_complete(row) && stated > stored {
        let (facility, study) = (row.key.facility, &row.key.study);
        tracing::warn!(%facility, %study, stated, stored, "senders of a study state more instances than are stored");
    }
}

/// A page in the making.
struct Rest<'a> {
    archive: &'a Archive,
    limit: usize,
    looked: u64,
    found: Completeness,
}

impl Rest<'_> {
    fn is_full(&self) -> bool {
        self.looked >= LOOKED_MAX || self.found.lacks.len() >= self.limit
    }

    /// Looks at the studies of the day; where the page ended.
    fn studies(&mut self, mut after: Option<Cursor>) -> Result<Option<CompletenessPlace>, ChartError> {
        let day = self.found.day;
        let text = format!("{:04}{:02}{:02}", day.year(), day.month(), day.day());
        let condition = Condition { key: key::STUDY_DATE, test: Test::Equal(text) };
        let query = Query { level: Level::Study, conditions: vec![condition], fuzzy: false };
        let plan = plan(&query, Some(&[self.found.facility]));
        loop {
            // Each study is named once at most.
            let room = self.limit.saturating_sub(self.found.lacks.len()).min(PAGE);
            if room == 0 || self.is_full() {
                return Ok(Some(CompletenessPlace::of_studies(after)));
            }
            let page = self.archive.index().find(&plan, after.as_ref(), room).map_err(unavailable)?;
            for row in &page.rows {
                self.study(&row.study)?;
            }
            after = page.cursor;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    fn study(&mut self, row: &StudyRow) -> Result<(), ChartError> {
        self.looked = self.looked.saturating_add(1);
        if !is_complete(row) {
            return Ok(());
        }
        let [instances, series] = of_study(row);
        let of_study = [key::NUMBER_OF_STUDY_RELATED_INSTANCES, key::NUMBER_OF_STUDY_RELATED_SERIES];
        let mut is_stated = of_study.into_iter().any(|number| row.stated(number).is_some());
        let (mut of_them, mut after) = (Vec::new(), None);
        loop {
            let page = self.archive.index().series_of(&row.key, after.as_ref(), PAGE).map_err(unavailable)?;
            for one in &page.rows {
                self.looked = self.looked.saturating_add(1);
                is_stated |= one.stated().is_some();
                of_them.extend(of_series(one));
            }
            after = page.cursor;
            if after.is_none() {
                break;
            }
        }
        self.found.studies_stated = self.found.studies_stated.saturating_add(u64::from(is_stated));
        if instances.is_some() || series.is_some() || !of_them.is_empty() {
            self.found.studies_differing = self.found.studies_differing.saturating_add(1);
            let accession = row.value(key::ACCESSION_NUMBER);
            let accession = first(accession.as_deref().unwrap_or_default()).trim().to_owned();
            let study = row.key.study.clone();
            self.found.lacks.push(Lack::Numbers { study, accession, instances, series, of_series: of_them });
        }
        Ok(())
    }

    /// Looks for what somebody asked commitment for, each instance once; where the page ended.
    fn commitments(&mut self, asked: &[Uncommitted], skip: u64) -> Result<Option<CompletenessPlace>, ChartError> {
        let mut named = BTreeMap::new();
        for one in asked {
            for (class, instance) in &one.objects {
                named.entry(instance).or_insert((class, one));
            }
        }
        for (at, (instance, (class, one))) in (0u64..).zip(named) {
            if at < skip {
                continue;
            }
            if self.is_full() {
                return Ok(Some(CompletenessPlace::of_commitments(at)));
            }
            self.looked = self.looked.saturating_add(1);
            if self.archive.is_stored(self.found.facility, instance)? {
                continue;
            }
            self.found.uncommitted = self.found.uncommitted.saturating_add(1);
            let (class, instance) = (class.clone(), instance.clone());
            let (station, transaction, asked) = (one.station.clone(), one.transaction.clone(), one.asked);
            self.found.lacks.push(Lack::Commitment { class, instance, station, transaction, asked });
        }
        Ok(None)
    }
}

impl Archive {
    /// Goes on with what senders state of a facility and day, behind what orders and steps announced.
    pub(super) fn stated(
        &self,
        found: Completeness,
        place: CompletenessPlace,
        limit: usize,
    ) -> Result<Completeness, ChartError> {
        let _turn = self.charts().turn_of_report()?;
        let span = self.charts().span_of(found.day, found.day);
        let mut page = Rest { archive: self, limit, looked: 0, found };
        let asked = self.uncommitted(Some(page.found.facility), span);
        let next = match place.phase {
            super::Phase::Commitments => page.commitments(&asked, place.skip)?,
            _ => match page.studies(place.study)? {
                Some(next) => Some(next),
                None => page.commitments(&asked, 0)?,
            },
        };
        page.found.next = next;
        Ok(page.found)
    }

    /// How many instances somebody asked commitment for between two moments and are not stored, by facility.
    pub(super) fn missing_commitments(&self, span: (u64, u64)) -> Result<BTreeMap<FacilityCode, u64>, ChartError> {
        let asked = self.uncommitted(None, span);
        let named = asked.iter().flat_map(|one| one.objects.iter().map(move |(_, instance)| (one.facility, instance)));
        let instances: BTreeSet<(FacilityCode, &Uid)> = named.collect();
        let mut missing = BTreeMap::<FacilityCode, u64>::new();
        for (facility, instance) in instances {
            if !self.is_stored(facility, instance)? {
                let sum = missing.entry(facility).or_default();
                *sum = sum.saturating_add(1);
            }
        }
        Ok(missing)
    }
}
