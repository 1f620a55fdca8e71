//! The dates series and instances of a study name: when its work ended, and when it began to come in; and its bytes.
//!
//! Deliberately not here: what a date means for the study (see [`model::retention::decision`]).

use index::{Inside, StudyRow};
use model::date::Date;
use model::retention::TierBytes;
use model::retention::decision::AHEAD_DAYS_MAX;

/// What is read of a study besides its own row.
pub(super) struct Work {
    /// Day of the first receipt.
    pub(super) received_first: Date,
    /// What its files take up, by tier.
    pub(super) bytes: TierBytes,
    /// When the work ended: the latest date that can be true. Without one the latest there is, so that the decision
    /// says that it was not used.
    pub(super) ended: Option<Date>,
}

impl Work {
    /// From the row of a study and what it holds.
    pub(super) fn of(row: &StudyRow, inside: &Inside) -> Self {
        let received_last = Date::of_ms(row.last_received);
        let received_first = inside.first_received.map_or(received_last, |first| received_last.min(Date::of_ms(first)));
        let until = received_last.plus_days(AHEAD_DAYS_MAX);
        let (mut plausible, mut latest) = (None, None);
        let written = inside.dates.iter().flat_map(|value| value.split('\\'));
        for date in written.filter_map(Date::parse_da) {
            latest = latest.max(Some(date));
            if date <= until {
                plausible = plausible.max(Some(date));
            }
        }
        let journal = row.bytes.saturating_sub(inside.packed);
        let bytes = TierBytes { journal, hot: inside.hot, cold: inside.cold };
        Self { received_first, bytes, ended: plausible.or(latest) }
    }
}
