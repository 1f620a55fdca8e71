//! What should be there of a facility and day, and is not: orders whose time passed without an image, instances that
//! modalities say they made, steps of which nobody said that they ended, studies of which senders state another number of
//! instances than is stored, and instances that somebody asked storage commitment for in vain.
//!
//! On demand and in pages: it reads the orders, performed steps and studies of one day and looks for each instance these
//! name, so that it costs what is answered, however large the archive is. Days are those of the facilities' clock.
//! Deliberately not here: asking modalities to send again, and studies nobody announced.

mod place;
mod stated;
mod watch;

pub use place::CompletenessPlace;
pub(in crate::charts) use stated::warn_of;
pub use stated::{Numbers, OfSeries};
pub(in crate::charts) use watch::{Due, Watch};

use super::journal::unavailable;
use super::matching::query_of;
use super::{ChartError, Charts, LONG_PAGE_MAX};
use crate::open::Archive;
use index::charts::{ChartCursor, ChartQuery};
use model::chart::{ChartBody, ChartKind, ChartRow, Order, OrderState, Performed, PerformedState, Term};
use model::date::{DAY_MS, Date};
use model::{AeTitle, Caller, FacilityCode, Uid};
use parking_lot::MutexGuard;
use place::Phase;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So long after its end a step's instances may still be on their way, in milliseconds.
pub(in crate::charts) const SETTLE_MS: u64 = 15 * 60_000;
/// So long after it was to begin an order may still be without images.
const ORDER_MS: u64 = 60 * 60_000;
/// A step of which nobody said that it ended is named after so long.
const OPEN_MS: u64 = 6 * 60 * 60_000;
/// Rows asked at once.
const PAGE: usize = 500;
/// Orders and instances looked for on one page.
const LOOKED_MAX: u64 = 100_000;
/// Most that is named on one page.
const NAMED_MAX: usize = 1_000;
const HOUR_MS: i64 = 3_600_000;
/// So long one report waits for another to end.
const TURN: Duration = Duration::from_secs(10);

/// Whether an instance is stored for a facility.
pub(in crate::charts) type IsStored<'a> = &'a dyn Fn(FacilityCode, &Uid) -> Result<bool, ChartError>;

/// Something that should be there and is not, or that nobody has said the end of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lacks", rename_all = "kebab-case")]
pub enum Lack {
    /// An order whose time passed, and of which no image came.
    Images {
        /// Placer order number.
        placer: String,
        /// Accession Number.
        accession: String,
        /// Study Instance UID.
        study: Uid,
        /// Modality of its first step.
        modality: String,
        /// When that was to begin, milliseconds since 1970 UTC.
        scheduled: u64,
    },
    /// An instance that a modality says it made, and that is not stored for the facility.
    Instance {
        /// Study Instance UID, where the step names one alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        study: Option<Uid>,
        /// Accession Number, where the step names one alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accession: Option<String>,
        /// Series Instance UID.
        series: Uid,
        /// SOP Instance UID.
        instance: Uid,
        /// Who made it.
        station: AeTitle,
        /// SOP Instance UID of the performed step that names it.
        step: Uid,
    },
    /// A performed step that began hours ago: what it made is not known, so nothing of it can be missed.
    End {
        /// SOP Instance UID of the performed step.
        step: Uid,
        /// Study Instance UID, where the step names one alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        study: Option<Uid>,
        /// Who performs it.
        station: AeTitle,
        /// When it began, milliseconds since 1970 UTC.
        started: u64,
    },
    /// A complete study of which its senders state other numbers than are stored, in the objects themselves. Each is
    /// named where it differs.
    Numbers {
        /// Study Instance UID.
        study: Uid,
        /// Accession Number.
        accession: String,
        /// Instances of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instances: Option<Numbers>,
        /// Series of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        series: Option<Numbers>,
        /// Instances of single series.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        of_series: Vec<OfSeries>,
    },
    /// An instance that somebody asked storage commitment for on the day, and that is not stored for the facility.
    Commitment {
        /// SOP Class UID.
        class: Uid,
        /// SOP Instance UID.
        instance: Uid,
        /// Who asked.
        station: AeTitle,
        /// Transaction UID of the question.
        transaction: Uid,
        /// When, milliseconds since 1970 UTC.
        asked: u64,
    },
}

/// A part of what was expected of a facility and day, beside what is there. Counts are of this part alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// Facility.
    pub facility: FacilityCode,
    /// Day, by the facility's clock.
    pub day: Date,
    /// Orders whose first step was to begin on the day and that were not taken back.
    pub orders: u64,
    /// Of these, orders whose time passed and of which no image came.
    pub orders_without_images: u64,
    /// Performed steps that began on the day and ended.
    pub steps: u64,
    /// Performed steps that began on the day and have not ended, or only just.
    pub steps_open: u64,
    /// Instances that the ended steps name.
    pub expected: u64,
    /// Of these, instances that are stored for the facility.
    pub stored: u64,
    /// Of these, instances that are not.
    pub missing: u64,
    /// Complete studies of the day of which senders state how much there is.
    #[serde(default)]
    pub studies_stated: u64,
    /// Of these, studies of which something else is stored.
    #[serde(default)]
    pub studies_differing: u64,
    /// Instances that somebody asked storage commitment for on the day and that are not stored.
    #[serde(default)]
    pub uncommitted: u64,
    /// Everything of this part that is not there, by name.
    pub lacks: Vec<Lack>,
    /// Where the next part begins; none: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<CompletenessPlace>,
}

impl Completeness {
    fn begin(facility: FacilityCode, day: Date) -> Self {
        Self {
            facility,
            day,
            orders: 0,
            orders_without_images: 0,
            steps: 0,
            steps_open: 0,
            expected: 0,
            stored: 0,
            missing: 0,
            studies_stated: 0,
            studies_differing: 0,
            uncommitted: 0,
            lacks: Vec::new(),
            next: None,
        }
    }

    /// This part and the next one as one.
    #[must_use]
    pub fn and(mut self, next: Self) -> Self {
        let sum = |one: u64, two: u64| one.saturating_add(two);
        self.orders = sum(self.orders, next.orders);
        self.orders_without_images = sum(self.orders_without_images, next.orders_without_images);
        self.steps = sum(self.steps, next.steps);
        self.steps_open = sum(self.steps_open, next.steps_open);
        self.expected = sum(self.expected, next.expected);
        self.stored = sum(self.stored, next.stored);
        self.missing = sum(self.missing, next.missing);
        self.studies_stated = sum(self.studies_stated, next.studies_stated);
        self.studies_differing = sum(self.studies_differing, next.studies_differing);
        self.uncommitted = sum(self.uncommitted, next.uncommitted);
        self.lacks.extend(next.lacks);
        self.next = next.next;
        self
    }

    /// Whether nothing was expected at all.
    pub fn is_empty(&self) -> bool {
        let counts = [self.orders, self.steps, self.steps_open, self.studies_stated, self.uncommitted];
        counts.into_iter().all(|count| count == 0) && self.next.is_none()
    }
}

/// The only value, where there is one alone.
fn only<T: Clone>(values: &[T]) -> Option<T> {
    match values {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// Whether what a step made can be asked for at a moment. An end that lies ahead is that of a wrong clock: it is not
/// waited for.
fn has_settled(step: &Performed, now: u64) -> bool {
    let end = step.end.unwrap_or(step.start);
    step.state != PerformedState::InProgress && (end > now || end.saturating_add(SETTLE_MS) <= now)
}

/// One page in the making.
struct Page<'a> {
    charts: &'a Charts,
    span: (u64, u64),
    now: u64,
    limit: usize,
    looked: u64,
    is_stored: IsStored<'a>,
    found: Completeness,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.looked >= LOOKED_MAX || self.found.lacks.len() >= self.limit
    }

    fn query(&self, kind: ChartKind) -> ChartQuery {
        ChartQuery { moments: Some(self.span), ..query_of(kind, Some(self.found.facility), Term::Any, "") }
    }

    /// Looks at orders; where the page ended.
    fn orders(&mut self, mut after: Option<ChartCursor>) -> Result<Option<CompletenessPlace>, ChartError> {
        let query = self.query(ChartKind::Order);
        loop {
            let rows = self.charts.view.find(&query, after, PAGE).map_err(unavailable)?;
            for row in rows.rows {
                let here = ChartCursor::of(&row);
                self.order(&row);
                if self.is_full() {
                    return Ok(Some(CompletenessPlace::of_charts(Phase::Orders, Some(here), 0)));
                }
            }
            after = rows.cursor;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    fn order(&mut self, row: &ChartRow) {
        let ChartBody::Order(order) = &row.body else { return };
        self.looked = self.looked.saturating_add(1);
        if matches!(order.state, OrderState::Canceled | OrderState::Discontinued) {
            return;
        }
        self.found.orders = self.found.orders.saturating_add(1);
        let scheduled = row.body.moment();
        if order.images.is_some() || scheduled.saturating_add(ORDER_MS) > self.now {
            return;
        }
        self.found.orders_without_images = self.found.orders_without_images.saturating_add(1);
        let Order { placer, accession, study, .. } = (**order).clone();
        let modality = order.steps.first().map_or_else(String::new, |step| step.modality.clone());
        self.found.lacks.push(Lack::Images { placer, accession, study, modality, scheduled });
    }

    /// Looks at steps, the first instances of the first one being looked for already; where the page ended.
    fn steps(
        &mut self,
        mut after: Option<ChartCursor>,
        mut skip: u64,
    ) -> Result<Option<CompletenessPlace>, ChartError> {
        let query = self.query(ChartKind::Performed);
        loop {
            let rows = self.charts.long_page(&query, after, LONG_PAGE_MAX)?;
            for row in rows.rows {
                let here = ChartCursor::of(&row);
                if let ChartBody::Performed(step) = &row.body
                    && let Some(skip) = self.step(step, skip)?
                {
                    return Ok(Some(CompletenessPlace::of_charts(Phase::Steps, after, skip)));
                }
                (after, skip) = (Some(here), 0);
                if self.is_full() {
                    return Ok(Some(CompletenessPlace::of_charts(Phase::Steps, after, skip)));
                }
            }
            after = rows.cursor;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    /// Looks for the instances of a step behind the first ones; how many were looked for, where the page ended before the
    /// last.
    fn step(&mut self, step: &Performed, skip: u64) -> Result<Option<u64>, ChartError> {
        if skip == 0 {
            if !has_settled(step, self.now) {
                self.looked = self.looked.saturating_add(1);
                self.open(step);
                return Ok(None);
            }
            self.found.steps = self.found.steps.saturating_add(1);
        }
        let facility = self.found.facility;
        let named = step.series.iter().flat_map(|series| series.instances.iter().map(move |one| (&series.uid, one)));
        for (at, (series, instance)) in (0u64..).zip(named) {
            if at < skip {
                continue;
            }
            if self.is_full() {
                return Ok(Some(at));
            }
            self.looked = self.looked.saturating_add(1);
            self.found.expected = self.found.expected.saturating_add(1);
            if (self.is_stored)(facility, instance)? {
                self.found.stored = self.found.stored.saturating_add(1);
                continue;
            }
            self.found.missing = self.found.missing.saturating_add(1);
            let (study, accession) = (only(&step.studies), only(&step.accessions));
            let (series, instance, station) = (series.clone(), instance.clone(), step.station.clone());
            let step = step.uid.clone();
            self.found.lacks.push(Lack::Instance { study, accession, series, instance, station, step });
        }
        self.looked = self.looked.saturating_add(1);
        Ok(None)
    }

    /// A step that has not ended, or only just.
    fn open(&mut self, step: &Performed) {
        self.found.steps_open = self.found.steps_open.saturating_add(1);
        if step.state == PerformedState::InProgress && step.start.saturating_add(OPEN_MS) <= self.now {
            let (study, station, started) = (only(&step.studies), step.station.clone(), step.start);
            self.found.lacks.push(Lack::End { step: step.uid.clone(), study, station, started });
        }
    }
}

impl Charts {
    /// The first and last millisecond of a span of days as clocks of facilities show them.
    pub(in crate::charts) fn span_of(&self, from: Date, to: Date) -> (u64, u64) {
        let east = i64::from(self.worklist.utc_offset()).saturating_mul(HOUR_MS);
        let start = |day: Date| day.start_ms().saturating_add_signed(east.saturating_neg());
        (start(from), start(to).saturating_add(DAY_MS).saturating_sub(1))
    }

    /// The turn of one report: they are made one after the other, so that they cost one processor.
    pub(in crate::charts) fn turn_of_report(&self) -> Result<MutexGuard<'_, ()>, ChartError> {
        let busy = || ChartError::Limit("other reports are being made; ask again in a moment".into());
        self.reporting.try_lock_for(TURN).ok_or_else(busy)
    }

    /// A part of what orders and steps have expected of a facility and day, beside what is there.
    ///
    /// # Errors
    /// As [`Archive::completeness`], and those of looking for an instance.
    pub(in crate::charts) fn completeness(
        &self,
        facility: FacilityCode,
        day: Date,
        place: CompletenessPlace,
        limit: usize,
        is_stored: IsStored<'_>,
    ) -> Result<Completeness, ChartError> {
        let _turn = self.turn_of_report()?;
        let (span, now, limit) = (self.span_of(day, day), self.now_ms(), limit.clamp(1, NAMED_MAX));
        let found = Completeness::begin(facility, day);
        let mut page = Page { charts: self, span, now, limit, looked: 0, is_stored, found };
        let next = match place.phase {
            Phase::Orders => match page.orders(place.after)? {
                Some(next) => Some(next),
                None => page.steps(None, 0)?,
            },
            _ => page.steps(place.after, place.skip)?,
        };
        page.found.next = next;
        Ok(page.found)
    }
}

impl Archive {
    /// A part of what was expected of a facility and day, beside what is there; at most `limit` names.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] for a facility that there is none of, or that the caller may not see; [`ChartError::Limit`]
    /// while other reports are made; [`ChartError::Unavailable`] when the index does not answer.
    pub fn completeness(
        &self,
        caller: &Caller,
        facility: FacilityCode,
        day: Date,
        place: CompletenessPlace,
        limit: usize,
    ) -> Result<Completeness, ChartError> {
        if !caller.may_see(facility) || !self.facility_codes().contains(&facility) {
            return Err(ChartError::Unknown("facility"));
        }
        let is_stored = |facility: FacilityCode, instance: &Uid| self.is_stored(facility, instance);
        let (found, place) = match place.phase {
            Phase::Orders | Phase::Steps => {
                let found = self.charts().completeness(facility, day, place, limit, &is_stored)?;
                (found, CompletenessPlace::of_studies(None))
            }
            Phase::Studies | Phase::Commitments => (Completeness::begin(facility, day), place),
        };
        if found.next.is_some() { Ok(found) } else { self.stated(found, place, limit.clamp(1, NAMED_MAX)) }
    }

    /// Whether a facility has an instance, rejected ones and copies in conflict among them.
    fn is_stored(&self, facility: FacilityCode, instance: &Uid) -> Result<bool, ChartError> {
        let rows = self.index().instance(instance).map_err(unavailable)?;
        Ok(rows.iter().any(|row| row.key.study.facility == facility))
    }
}
