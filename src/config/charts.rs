//! The keys of charts, and their checks.

use super::options::refuse;
use super::{Config, ConfigError, Span};
use archive::charts::ChartOptions;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[charts]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Charts {
    pub(crate) repeat_days: u16,
    pub(crate) messages_days: u16,
    pub(crate) park: Span,
    pub(crate) worklist_days: u16,
}

impl Default for Charts {
    fn default() -> Self {
        let options = ChartOptions::default();
        let days = |span: Duration| u16::try_from(span.as_secs() / DAY.as_secs()).unwrap_or(u16::MAX);
        Self {
            repeat_days: days(options.repeat),
            messages_days: days(options.messages),
            park: Span(options.park),
            worklist_days: options.worklist_days,
        }
    }
}

impl Charts {
    /// Options of the archive.
    pub(super) fn options(&self) -> ChartOptions {
        let days = |days: u16| DAY.saturating_mul(u32::from(days));
        ChartOptions {
            repeat: days(self.repeat_days),
            messages: days(self.messages_days),
            park: self.park.0,
            worklist_days: self.worklist_days,
            ..ChartOptions::default()
        }
    }
}

impl Config {
    pub(super) fn check_charts(&self) -> Result<(), ConfigError> {
        let charts = &self.charts;
        if charts.repeat_days == 0 {
            return refuse("charts.repeat_days", "at least 1");
        }
        if charts.messages_days <= charts.repeat_days {
            return refuse("charts.messages_days", "more than charts.repeat_days: a message is known again by its row");
        }
        if charts.park.0 >= DAY.saturating_mul(u32::from(charts.repeat_days)) {
            return refuse("charts.park", "shorter than charts.repeat_days");
        }
        Ok(())
    }
}
