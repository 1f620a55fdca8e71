//! Stages of an order, and what many of them come to: count, median, nine tenths, and the change of both.

use model::chart::Order;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From one moment of an order to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The order came, its first step was to begin.
    OrderScheduled,
    /// The first step was to begin, a modality began: by MPPS, else by the first image.
    ScheduledStarted,
    /// It began, its images were complete.
    StartedComplete,
    /// The images were complete, somebody was told of them.
    CompleteAnnounced,
    /// The images were complete, somebody looked at them.
    CompleteOpened,
    /// The images were complete, the first final result was made.
    CompleteResult,
    /// The result was made, somebody who is told of results had taken it.
    ResultDelivered,
    /// The result was delivered, somebody looked at the images for the first time.
    DeliveredOpened,
    /// The order came, the first final result was made.
    OrderResult,
}

impl Stage {
    /// Every stage, in the order of an order's way.
    pub const ALL: [Self; 9] = [
        Self::OrderScheduled,
        Self::ScheduledStarted,
        Self::StartedComplete,
        Self::CompleteAnnounced,
        Self::CompleteOpened,
        Self::CompleteResult,
        Self::ResultDelivered,
        Self::DeliveredOpened,
        Self::OrderResult,
    ];

    /// Its name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderScheduled => "order-scheduled",
            Self::ScheduledStarted => "scheduled-started",
            Self::StartedComplete => "started-complete",
            Self::CompleteAnnounced => "complete-announced",
            Self::CompleteOpened => "complete-opened",
            Self::CompleteResult => "complete-result",
            Self::ResultDelivered => "result-delivered",
            Self::DeliveredOpened => "delivered-opened",
            Self::OrderResult => "order-result",
        }
    }

    /// Its two moments of an order, where it has both.
    fn ends(self, order: &Order) -> Option<(u64, u64)> {
        let (placed, scheduled) = (Some(order.placed), order.steps.first().map(|step| step.start));
        let started = order.course.started.or(order.images);
        let course = &order.course;
        let (from, to) = match self {
            Self::OrderScheduled => (placed, scheduled),
            Self::ScheduledStarted => (scheduled, started),
            Self::StartedComplete => (started, order.complete),
            Self::CompleteAnnounced => (order.complete, course.announced),
            Self::CompleteOpened => (order.complete, course.opened),
            Self::CompleteResult => (order.complete, course.result),
            Self::ResultDelivered => (course.result, course.delivered),
            Self::DeliveredOpened => (course.delivered, course.opened),
            Self::OrderResult => (placed, course.result),
        };
        from.zip(to)
    }
}

/// What the orders of a stage come to. Times are seconds, by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Orders that are in median and nine tenths.
    pub count: u64,
    /// Orders whose second moment lies before the first; they are in no other figure.
    pub early: u64,
    /// Half of the orders took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<u64>,
    /// Nine of ten orders took no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<u64>,
}

impl Measured {
    /// Whether no order had both moments.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.early == 0
    }
}

/// How something differs from a baseline: seconds, and hundredths of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Of the median, seconds.
    pub median: i64,
    /// The same in hundredths of the baseline's; none where that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_percent: Option<i64>,
    /// Of the nine tenths, seconds.
    pub p90: i64,
    /// The same in hundredths of the baseline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_percent: Option<i64>,
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

impl Change {
    /// From one to the other, where both have any orders.
    pub fn between(before: &Measured, now: &Measured) -> Option<Self> {
        let of = |before: u64, now: u64| {
            let by = signed(now).saturating_sub(signed(before));
            (by, by.saturating_mul(100).checked_div(signed(before)))
        };
        let (median, median_percent) = of(before.median?, now.median?);
        let (p90, p90_percent) = of(before.p90?, now.p90?);
        Some(Self { median, median_percent, p90, p90_percent })
    }
}

/// The times of many orders, stage by stage.
#[derive(Default)]
pub(super) struct Measures(BTreeMap<Stage, Times>);

#[derive(Default)]
struct Times {
    /// Seconds.
    took: Vec<u32>,
    early: u64,
}

impl Measures {
    /// Takes in an order.
    pub(super) fn add(&mut self, order: &Order) {
        for stage in Stage::ALL {
            let Some((from, to)) = stage.ends(order) else { continue };
            let times = self.0.entry(stage).or_default();
            match to.checked_sub(from) {
                Some(took) => times.took.push(u32::try_from(took / 1_000).unwrap_or(u32::MAX)),
                None => times.early = times.early.saturating_add(1),
            }
        }
    }

    /// What a stage comes to.
    pub(super) fn of(&mut self, stage: Stage) -> Measured {
        let Some(times) = self.0.get_mut(&stage) else { return Measured::default() };
        times.took.sort_unstable();
        let count = u64::try_from(times.took.len()).unwrap_or(u64::MAX);
        let (median, p90) = (rank(&times.took, 50), rank(&times.took, 90));
        Measured { count, early: times.early, median, p90 }
    }
}

/// The least of sorted times that so many hundredths of them do not exceed.
fn rank(sorted: &[u32], hundredths: usize) -> Option<u64> {
    let place = sorted.len().saturating_mul(hundredths).div_ceil(100);
    sorted.get(place.checked_sub(1)?).map(|seconds| u64::from(*seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest_and_nothing_has_none() {
        assert_eq!((rank(&[], 50), rank(&[], 90)), (None, None));
        assert_eq!((rank(&[7], 50), rank(&[7], 90)), (Some(7), Some(7)));
        let ten: Vec<u32> = (1..=10).collect();
        assert_eq!((rank(&ten, 50), rank(&ten, 90)), (Some(5), Some(9)));
        let eleven: Vec<u32> = (1..=11).collect();
        assert_eq!((rank(&eleven, 50), rank(&eleven, 90)), (Some(6), Some(10)));
    }

    #[test]
    fn a_change_is_told_in_seconds_and_hundredths() {
        let of = |median, p90| Measured { count: 1, early: 0, median: Some(median), p90: Some(p90) };
        let change = Change::between(&of(200, 400), &of(150, 800)).expect("both");
        assert_eq!((change.median, change.median_percent), (-50, Some(-25)));
        assert_eq!((change.p90, change.p90_percent), (400, Some(100)));
        assert_eq!(Change::between(&of(0, 1), &of(5, 1)).expect("both").median_percent, None);
        assert_eq!(Change::between(&Measured::default(), &of(5, 1)), None);
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).expect("a name"), stage.name());
        }
    }
}
