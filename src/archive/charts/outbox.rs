//! The outbox: who is told of what, and what waits to be told, until the receiver has taken it.
//!
//! A delivery is recorded with the change that causes it ([`follow`]), so that a kill loses none and makes none twice. Those
//! of one subscription go out in order ([`dispatch`]); how they travel is the edges' matter. Deliveries to nobody are the
//! feed of changes.
//! Deliberately not here: what a receiver is sent.

mod asking;
pub mod dispatch;
mod events;
mod lanes;

pub use asking::{Changes, DeliveryFilter};
pub(super) use events::follow;
pub use lanes::LaneState;
pub(super) use lanes::Outbox;

use super::writing::{Whose, Writing};
use super::{ChartError, Charts, orders};
use dispatch::Outcome;
use model::chart::{ChartBody, ChartKind, Delivery, DeliveryState, EventKind, ReportStatus, Subscription, Target};
use model::{FacilityCode, Reach};
use std::time::Duration;

/// How what waits to be told is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxOptions {
    /// Deliveries at one time, each to another receiver.
    pub deliveries: usize,
    /// Tries of one delivery that the receiver has a fault over, before it goes to the dead ones.
    pub attempts: u32,
    /// First pause after a receiver could not be reached; it doubles.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// Most deliveries that wait for one subscription; what comes beyond it goes to the dead ones.
    pub waiting_max: usize,
    /// Whether changes of patients stand in the feed also where nobody is told of them.
    pub feed_patients: bool,
    /// Where subscribers may be.
    pub reach: Reach,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            deliveries: 32,
            attempts: 20,
            pause: Duration::from_secs(2),
            pause_max: Duration::from_secs(300),
            waiting_max: 200_000,
            feed_patients: false,
            reach: Reach::default(),
        }
    }
}

impl OutboxOptions {
    /// The pause after so many tries in vain, in milliseconds.
    fn pause_ms(&self, tries: u32) -> u64 {
        let factor = 1u32.checked_shl(tries.saturating_sub(1).min(20)).unwrap_or(u32::MAX);
        let pause = self.pause.saturating_mul(factor).min(self.pause_max);
        u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Charts {
    /// Whether a subscription can be served, after what it was before, and its subscriber may be where it says.
    fn check_subscription(&self, one: &Subscription, before: Option<&Target>) -> Result<(), ChartError> {
        one.check_after(before).map_err(ChartError::Invalid)?;
        let Some(url) = one.target.url() else { return Ok(()) };
        self.options.outbox.reach.check_url(url).map_err(|error| ChartError::Invalid(error.to_string()))
    }

    /// Records what became of a delivery.
    fn settle_delivery(&self, facility: FacilityCode, seq: u64, outcome: &Outcome) -> Result<(), ChartError> {
        let id = Delivery::id(seq);
        // It is little, and to tell nobody because the disk is full would help nobody.
        self.write_as(Whose::Own, facility, |writing| {
            let Some(ChartBody::Delivery(mut one)) = writing.row(ChartKind::Delivery, &id)? else { return Ok(()) };
            if one.state != DeliveryState::Waiting {
                return Ok(());
            }
            let now = writing.now();
            one.tries = one.tries.saturating_add(1);
            match outcome {
                Outcome::Done => (one.state, one.ended, one.error) = (DeliveryState::Delivered, now, String::new()),
                Outcome::Refused(why) => (one.state, one.ended, one.error) = (DeliveryState::Dead, now, why.clone()),
                Outcome::Failed(why) if one.tries >= self.options.outbox.attempts => {
                    (one.state, one.ended, one.error) = (DeliveryState::Dead, now, why.clone());
                }
                Outcome::Failed(why) | Outcome::Down(why) => {
                    one.next = now.saturating_add(self.options.outbox.pause_ms(one.tries));
                    one.error.clone_from(why);
                }
                Outcome::Interrupted => return Ok(()),
            }
            if one.state == DeliveryState::Delivered {
                told(writing, &one)?;
            }
            writing.put(&id, ChartBody::Delivery(one))
        })
    }
}

/// The order of images or of a result says when somebody was first told of them.
fn told(writing: &mut Writing<'_>, one: &Delivery) -> Result<(), ChartError> {
    let event = &one.event;
    let is_final = [ReportStatus::Final, ReportStatus::Amended];
    let counts = match event.kind {
        EventKind::StudyAvailable => true,
        // An earlier version counts as delivered when the later one waits behind it.
        EventKind::Result => matches!(
            writing.row(ChartKind::Report, &event.id)?,
            Some(ChartBody::Report(report)) if report.version == event.version && is_final.contains(&report.status)
        ),
        _ => false,
    };
    if !counts || event.order.is_empty() {
        return Ok(());
    }
    let Some(mut order) = orders::order(writing, &event.order)? else { return Ok(()) };
    let first = match event.kind {
        EventKind::Result => &mut order.course.delivered,
        // What was told late, of a study that is the order's no longer, is not said of the order: were it given back, the
        // order would be another than it was.
        _ if order.complete.is_none() => return Ok(()),
        _ => &mut order.course.announced,
    };
    if first.is_some() {
        return Ok(());
    }
    *first = Some(one.ended);
    orders::put(writing, order)
}
