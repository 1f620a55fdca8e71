//! The keys of charts, and their checks.

use super::options::{named, refuse};
use super::{Config, ConfigError, Span};
use archive::charts::ChartOptions;
use archive::charts::outbox::OutboxOptions;
use model::Reach;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[charts]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Charts {
    pub(crate) repeat_days: u16,
    pub(crate) messages_days: u16,
    pub(crate) reads_days: u16,
    pub(crate) park: Span,
    pub(crate) worklist_days: u16,
    pub(crate) outbox: Outbox,
}

/// `[charts.outbox]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outbox {
    pub(crate) deliveries: usize,
    pub(crate) attempts: u32,
    pub(crate) pause: Span,
    pub(crate) pause_max: Span,
    pub(crate) waiting_max: usize,
    pub(crate) feed_patients: bool,
    pub(crate) connect: Span,
    pub(crate) answer: Span,
    pub(crate) authorities: PathBuf,
}

impl Default for Outbox {
    fn default() -> Self {
        let (options, limits) = (OutboxOptions::default(), his::SendLimits::default());
        Self {
            deliveries: options.deliveries,
            attempts: options.attempts,
            pause: Span(options.pause),
            pause_max: Span(options.pause_max),
            waiting_max: options.waiting_max,
            feed_patients: options.feed_patients,
            connect: Span(limits.connect),
            answer: Span(limits.answer),
            authorities: PathBuf::new(),
        }
    }
}

impl Outbox {
    /// Limits of messages that are sent over MLLP.
    pub(crate) fn sending(&self) -> his::SendLimits {
        his::SendLimits { connect: self.connect.0, answer: self.answer.0, write: self.answer.0 }
    }
}

impl Default for Charts {
    fn default() -> Self {
        let options = ChartOptions::default();
        let days = |span: Duration| u16::try_from(span.as_secs() / DAY.as_secs()).unwrap_or(u16::MAX);
        Self {
            repeat_days: days(options.repeat),
            messages_days: days(options.messages),
            reads_days: days(options.reads),
            park: Span(options.park),
            worklist_days: options.worklist_days,
            outbox: Outbox::default(),
        }
    }
}

impl Charts {
    /// Options of the archive.
    pub(super) fn options(&self, reach: Reach) -> ChartOptions {
        let days = |days: u16| DAY.saturating_mul(u32::from(days));
        ChartOptions {
            repeat: days(self.repeat_days),
            messages: days(self.messages_days),
            reads: days(self.reads_days),
            park: self.park.0,
            worklist_days: self.worklist_days,
            outbox: OutboxOptions {
                deliveries: self.outbox.deliveries,
                attempts: self.outbox.attempts,
                pause: self.outbox.pause.0,
                pause_max: self.outbox.pause_max.0,
                waiting_max: self.outbox.waiting_max,
                feed_patients: self.outbox.feed_patients,
                reach,
            },
            // A section of its own says.
            verifier: None,
        }
    }
}

impl Config {
    /// Limits of webhooks and rest-hooks.
    pub(crate) fn hooks(&self) -> web::HookLimits {
        let outbox = &self.charts.outbox;
        let (authorities, reach) = (named(&outbox.authorities), self.reach());
        web::HookLimits { connect: outbox.connect.0, answer: outbox.answer.0, authorities, reach }
    }

    pub(super) fn check_charts(&self) -> Result<(), ConfigError> {
        let charts = &self.charts;
        if charts.repeat_days == 0 {
            return refuse("charts.repeat_days", "at least 1");
        }
        if charts.messages_days <= charts.repeat_days {
            return refuse("charts.messages_days", "more than charts.repeat_days: a message is known again by its row");
        }
        if charts.reads_days < 365 {
            return refuse("charts.reads_days", "at least 365: logs of access are kept for a year everywhere");
        }
        if charts.park.0 >= DAY.saturating_mul(u32::from(charts.repeat_days)) {
            return refuse("charts.park", "shorter than charts.repeat_days");
        }
        let outbox = &charts.outbox;
        if outbox.deliveries == 0 || outbox.attempts == 0 || outbox.waiting_max == 0 {
            return refuse("charts.outbox.deliveries", "limits of the outbox are at least 1");
        }
        if outbox.pause.0.is_zero() || outbox.pause_max.0 < outbox.pause.0 {
            return refuse("charts.outbox.pause", "longer than nothing and at most charts.outbox.pause_max");
        }
        if outbox.connect.0.is_zero() || outbox.answer.0.is_zero() {
            return refuse("charts.outbox.answer", "limits of time are longer than nothing, for example \"30s\"");
        }
        Ok(())
    }
}
