//! How long orders take from one stage to the next, by facility and modality, over days and beside another month.
//!
//! Each order's own row says when what happened to it, and orders lie by the day of their first step: a report reads the
//! orders of its days and nothing else. What happened before it could is a wrong clock's, or a note that came late: it
//! is counted apart and is in no median.
//! Deliberately not here: studies without an order, and who was slow.

mod measure;

pub use measure::{Change, Measured, Stage};

use super::journal::unavailable;
use super::matching::query_of;
use super::{ChartError, Charts};
use crate::open::Archive;
use index::charts::{ChartCursor, ChartQuery};
use measure::Measures;
use model::chart::{ChartBody, ChartKind, Order, OrderState, Term};
use model::{Caller, Date, FacilityCode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most days of a span.
const DAYS_MAX: i64 = 92;
/// Most orders of a facility that are looked at.
const ORDERS_MAX: u64 = 500_000;
/// A page ends with the facility in which so many orders were looked at.
const LOOKED_MAX: u64 = 200_000;
/// Most lines of a page; it ends with the facility in which they are reached.
const LINES_MAX: usize = 1_000;
/// Rows asked at once.
const PAGE: usize = 500;
/// Stands for all modalities of a facility.
const ALL: &str = "all";

/// Days, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The first.
    pub from: Date,
    /// The last.
    pub to: Date,
}

/// Why something is no span of days.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaysError {
    /// It goes backwards.
    #[error("the last day lies before the first")]
    Reversed,
    /// It is too long.
    #[error("a report is of at most {DAYS_MAX} days")]
    Long,
    /// It is no month.
    #[error("a month is written as 2026-10")]
    Month,
}

impl Days {
    /// A span of days.
    ///
    /// # Errors
    /// [`DaysError`].
    pub fn new(from: Date, to: Date) -> Result<Self, DaysError> {
        if to < from {
            return Err(DaysError::Reversed);
        }
        if to.days().saturating_sub(from.days()) >= DAYS_MAX {
            return Err(DaysError::Long);
        }
        Ok(Self { from, to })
    }

    /// A month, as 2026-10.
    ///
    /// # Errors
    /// [`DaysError::Month`].
    pub fn month(text: &str) -> Result<Self, DaysError> {
        let from = Date::parse(&format!("{}-01", text.trim())).map_err(|_| DaysError::Month)?;
        let later = from.plus_days(31);
        let next = Date::new(later.year(), later.month(), 1).ok_or(DaysError::Month)?;
        Ok(Self { from, to: next.plus_days(-1) })
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnaroundQuery {
    /// Of this facility; none: of all that the caller may see.
    pub facility: Option<FacilityCode>,
    /// The days on which orders were to begin.
    pub days: Days,
    /// Days to compare them with.
    pub baseline: Option<Days>,
    /// Facilities behind this one.
    pub after: Option<FacilityCode>,
    /// The page ends with the facility in which so many lines are reached.
    pub limit: usize,
}

/// A facility's orders of a modality, and how long they took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnaroundLine {
    /// Facility.
    pub facility: FacilityCode,
    /// Modality of the first step; `all`: all of them.
    pub modality: String,
    /// Orders that were not taken back.
    pub orders: u64,
    /// Orders that were taken back or broken off; they are in no other figure.
    pub taken_back: u64,
    /// The same of the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders_before: Option<u64>,
    /// Every stage of which there is something to say.
    pub stages: Vec<StageLine>,
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageLine {
    /// Which.
    pub stage: Stage,
    /// In the days asked for.
    #[serde(flatten)]
    pub now: Measured,
    /// In the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Measured>,
    /// Between both, where both have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// A page of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turnaround {
    /// Lines by facility and modality; those of all modalities come first.
    pub lines: Vec<TurnaroundLine>,
    /// Where the next page begins: behind this facility. None: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<FacilityCode>,
}

/// What was gathered of the orders of a modality.
#[derive(Default)]
struct Gathered {
    orders: u64,
    taken_back: u64,
    measures: Measures,
}

impl Gathered {
    fn add(&mut self, order: &Order) {
        if matches!(order.state, OrderState::Canceled | OrderState::Discontinued) {
            self.taken_back = self.taken_back.saturating_add(1);
            return;
        }
        self.orders = self.orders.saturating_add(1);
        self.measures.add(order);
    }
}

type ByModality = BTreeMap<String, Gathered>;

/// The modality an order is counted under.
fn modality(order: &Order) -> String {
    let named = order.steps.first().map_or("", |step| step.modality.trim()).to_uppercase();
    if named.is_empty() { "?".to_owned() } else { named }
}

impl Charts {
    /// The orders of a facility that were to begin on some days; adds how many were looked at.
    fn orders_of_days(&self, facility: FacilityCode, days: Days, looked: &mut u64) -> Result<ByModality, ChartError> {
        let moments = Some(self.span_of(days.from, days.to));
        let query = ChartQuery { moments, ..query_of(ChartKind::Order, Some(facility), Term::Any, "") };
        let (mut found, mut count) = (ByModality::new(), 0u64);
        let mut after: Option<ChartCursor> = None;
        loop {
            let page = self.view.find(&query, after, PAGE).map_err(unavailable)?;
            for row in page.rows {
                let ChartBody::Order(order) = &row.body else { continue };
                count = count.saturating_add(1);
                if count > ORDERS_MAX {
                    let what = format!("facility {facility} has over {ORDERS_MAX} orders in these days: ask for fewer");
                    return Err(ChartError::Limit(what));
                }
                found.entry(modality(order)).or_default().add(order);
                found.entry(String::new()).or_default().add(order);
            }
            after = page.cursor;
            if after.is_none() {
                *looked = looked.saturating_add(count);
                return Ok(found);
            }
        }
    }

    /// The lines of a facility.
    fn lines(
        &self,
        facility: FacilityCode,
        query: &TurnaroundQuery,
        looked: &mut u64,
    ) -> Result<Vec<TurnaroundLine>, ChartError> {
        let mut now = self.orders_of_days(facility, query.days, looked)?;
        let mut before = match query.baseline {
            Some(days) => Some(self.orders_of_days(facility, days, looked)?),
            None => None,
        };
        let others = before.iter().flat_map(BTreeMap::keys);
        let names: BTreeSet<String> = now.keys().chain(others).cloned().collect();
        let line = |name: String| {
            let mut one = now.remove(&name).unwrap_or_default();
            let mut earlier = before.as_mut().map(|before| before.remove(&name).unwrap_or_default());
            TurnaroundLine {
                facility,
                modality: if name.is_empty() { ALL.to_owned() } else { name },
                orders: one.orders,
                taken_back: one.taken_back,
                orders_before: earlier.as_ref().map(|earlier| earlier.orders),
                stages: stages(&mut one.measures, earlier.as_mut().map(|earlier| &mut earlier.measures)),
            }
        };
        Ok(names.into_iter().map(line).collect())
    }

    /// A page of the report over some facilities.
    pub(in crate::charts) fn turnaround(
        &self,
        facilities: &BTreeSet<FacilityCode>,
        query: &TurnaroundQuery,
    ) -> Result<Turnaround, ChartError> {
        let _turn = self.turn_of_report()?;
        let (limit, mut looked) = (query.limit.clamp(1, LINES_MAX), 0u64);
        let mut found = Turnaround { lines: Vec::new(), next: None };
        let mut last = None;
        for facility in facilities.iter().copied().filter(|code| query.after.is_none_or(|after| *code > after)) {
            if found.lines.len() >= limit || looked >= LOOKED_MAX {
                found.next = last;
                break;
            }
            found.lines.extend(self.lines(facility, query, &mut looked)?);
            last = Some(facility);
        }
        Ok(found)
    }
}

/// The stages of which there is something to say.
fn stages(now: &mut Measures, mut before: Option<&mut Measures>) -> Vec<StageLine> {
    let mut lines = Vec::new();
    for stage in Stage::ALL {
        let measured = now.of(stage);
        let earlier = before.as_mut().map(|before| before.of(stage));
        if measured.is_empty() && earlier.as_ref().is_none_or(Measured::is_empty) {
            continue;
        }
        let change = earlier.as_ref().and_then(|earlier| Change::between(earlier, &measured));
        lines.push(StageLine { stage, now: measured, before: earlier, change });
    }
    lines
}

impl Archive {
    /// A page of how long orders took.
    ///
    /// # Errors
    /// [`ChartError::Unknown`] for a facility that there is none of, or that the caller may not see; [`ChartError::Limit`]
    /// while other reports are made, or where a facility has too many orders; [`ChartError::Unavailable`] when the index
    /// does not answer.
    pub fn turnaround(&self, caller: &Caller, query: &TurnaroundQuery) -> Result<Turnaround, ChartError> {
        let mut facilities: BTreeSet<FacilityCode> = self.facility_codes().into_iter().collect();
        facilities.retain(|code| caller.may_see(*code));
        if let Some(code) = query.facility {
            if !facilities.contains(&code) {
                return Err(ChartError::Unknown("facility"));
            }
            facilities = BTreeSet::from([code]);
        }
        self.charts().turnaround(&facilities, query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        Date::parse(text).expect("a day")
    }

    #[test]
    fn a_span_goes_forward_and_is_no_longer_than_a_quarter() {
        assert!(Days::new(day("2026-11-28"), day("2026-11-28")).is_ok());
        assert_eq!(Days::new(day("2026-11-28"), day("2026-11-27")), Err(DaysError::Reversed));
        assert!(Days::new(day("2026-09-01"), day("2026-12-01")).is_ok());
        assert_eq!(Days::new(day("2026-09-01"), day("2026-12-02")), Err(DaysError::Long));
        let month = |text: &str| Days::month(text).map(|span| (span.from.to_string(), span.to.to_string()));
        assert_eq!(month("2028-02"), Ok(("2028-02-01".into(), "2028-02-29".into())));
        assert_eq!(month("2026-12"), Ok(("2026-12-01".into(), "2026-12-31".into())));
        for wrong in ["", "2026", "2026-13", "2026-10-01", "10-2026"] {
            assert_eq!(month(wrong), Err(DaysError::Month), "{wrong}");
        }
    }
}
