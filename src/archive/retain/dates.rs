//! The dates series and instances of a study name: when its work ended, and when it began to come in; and its bytes.
//!
//! Deliberately not here: what a date means for the study (see [`model::retention::decision`]).

use index::{Index, IndexError, Inside, PackRow, StudyRow};
use model::attribute::key;
use model::date::Date;
use model::retention::TierBytes;
use model::retention::decision::AHEAD_DAYS_MAX;
use model::{AttrKey, Attributes};

const OF_SERIES: [AttrKey; 2] = [key::SERIES_DATE, key::PERFORMED_PROCEDURE_STEP_START_DATE];
const OF_INSTANCES: [AttrKey; 1] = [key::ACQUISITION_DATE];

/// What is read of a study besides its own row.
pub(super) struct Work {
    /// Day of the first receipt.
    pub(super) received_first: Date,
    /// What its files take up, by tier.
    pub(super) bytes: TierBytes,
    /// Latest date that can be true, and latest of all.
    plausible: Option<Date>,
    latest: Option<Date>,
    until: Date,
}

impl Work {
    /// Reads series, packs and instances of a study, once.
    pub(super) fn of(index: &dyn Index, row: &StudyRow) -> Result<Self, IndexError> {
        let received_first = Date::of_ms(row.last_received);
        let bytes = TierBytes { journal: row.bytes, ..TierBytes::default() };
        let until = received_first.plus_days(AHEAD_DAYS_MAX);
        let mut work = Self { received_first, bytes, plausible: None, latest: None, until };
        index.walk_study(row, &mut |inside| match inside {
            Inside::Series(series, packs) => {
                work.take(&series.attributes, &OF_SERIES);
                packs.iter().for_each(|pack| work.count(pack));
            }
            Inside::Instance(instance) => {
                work.take(&instance.attributes, &OF_INSTANCES);
                if instance.seq == row.first_seq {
                    work.received_first = work.received_first.min(Date::of_ms(instance.received));
                }
            }
        })?;
        Ok(work)
    }

    fn count(&mut self, pack: &PackRow) {
        self.bytes.journal = self.bytes.journal.saturating_sub(pack.raw);
        self.bytes.hot = self.bytes.hot.saturating_add(if pack.hot { pack.len } else { 0 });
        self.bytes.cold = self.bytes.cold.saturating_add(pack.cold.as_ref().map_or(0, |copy| copy.len));
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
