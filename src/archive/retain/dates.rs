//! The dates series and instances of a study name: when its work ended, and when it began to come in.
//!
//! Deliberately not here: what a date means for the study (see [`model::retention::decision`]).

use index::{Cursor, Index, IndexError, SeriesKey, StudyRow};
use model::attribute::key;
use model::date::Date;
use model::retention::decision::AHEAD_DAYS_MAX;
use model::{AttrKey, Attributes};

/// Rows asked of the index at once.
const PAGE: usize = 500;
const OF_SERIES: [AttrKey; 2] = [key::SERIES_DATE, key::PERFORMED_PROCEDURE_STEP_START_DATE];
const OF_INSTANCES: [AttrKey; 1] = [key::ACQUISITION_DATE];

/// What is read of a study besides its own row.
pub(super) struct Work {
    /// Day of the first receipt.
    pub(super) received_first: Date,

    /// Latest date that can be true, and latest of all.
    plausible: Option<Date>,
    latest: Option<Date>,
    until: Date,
}

impl Work {
    /// Reads the series of a study and its first instance.
    pub(super) fn of(index: &dyn Index, row: &StudyRow) -> Result<Self, IndexError> {
        let received_last = Date::of_ms(row.last_received);
        let until = received_last.plus_days(AHEAD_DAYS_MAX);
        let mut work = Self { received_first: received_last, plausible: None, latest: None, until };
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = index.series_of(&row.key, cursor.as_ref(), PAGE)?;
            for series in page.rows {
                work.take(&series.attributes, &OF_SERIES);
                if series.first_seq == row.first_seq {
                    let first = index.instances_of(&series.key, None, 1)?;
                    let received = first.rows.first().map(|instance| Date::of_ms(instance.received));
                    work.received_first = received.map_or(received_last, |day| day.min(received_last));
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(work);
            }
        }
    }

    /// Reads the dates of every instance.
    pub(super) fn read_instances(&mut self, index: &dyn Index, row: &StudyRow) -> Result<(), IndexError> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = index.series_of(&row.key, cursor.as_ref(), PAGE)?;
            for series in &page.rows {
                self.read_series(index, &series.key)?;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn read_series(&mut self, index: &dyn Index, series: &SeriesKey) -> Result<(), IndexError> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = index.instances_of(series, cursor.as_ref(), PAGE)?;
            for instance in &page.rows {
                self.take(&instance.attributes, &OF_INSTANCES);
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// When the work ended: the latest date that can be true. Without one the latest there is, so that the decision
    /// says that it was not used.
    pub(super) fn ended(&self) -> Option<Date> {
        self.plausible.or(self.latest)
    }

    fn take(&mut self, attributes: &Attributes, keys: &[AttrKey]) {
        let written = keys.iter().filter_map(|key| attributes.get(key));
        for date in written.flat_map(|value| value.split('\\')).filter_map(Date::parse_da) {
            self.latest = self.latest.max(Some(date));
            if date <= self.until {
                self.plausible = self.plausible.max(Some(date));
            }
        }
    }
}
