//! The keys of forwarding, and their checks. Rules and destinations are registry data (`khoanh forward`).

use super::options::refuse;
use super::{Config, ConfigError, Size, Span};
use archive::ForwardOptions;
use model::Reach;
use serde::{Deserialize, Serialize};

/// `[forward]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Forward {
    pub(crate) deliveries: usize,
    pub(crate) attempts: u32,
    pub(crate) pause: Span,
    pub(crate) pause_max: Span,
    pub(crate) give_up_after: Span,
    pub(crate) tasks_max: usize,
    pub(crate) ahead_max: Size,
    pub(crate) utc_offset: i8,
}

impl Default for Forward {
    fn default() -> Self {
        let options = ForwardOptions::default();
        Self {
            deliveries: options.deliveries,
            attempts: options.attempts,
            pause: Span(options.pause),
            pause_max: Span(options.pause_max),
            give_up_after: Span(options.give_up_after),
            tasks_max: options.tasks_max,
            ahead_max: Size::of(dimse::Forwarder::AHEAD_BYTES),
            utc_offset: options.utc_offset,
        }
    }
}

impl Forward {
    /// Options of the archive.
    pub(super) fn options(&self, reach: Reach) -> ForwardOptions {
        ForwardOptions {
            deliveries: self.deliveries,
            attempts: self.attempts,
            pause: self.pause.0,
            pause_max: self.pause_max.0,
            give_up_after: self.give_up_after.0,
            tasks_max: self.tasks_max,
            utc_offset: self.utc_offset,
            reach,
        }
    }
}

impl Config {
    pub(super) fn check_forward(&self) -> Result<(), ConfigError> {
        let forward = &self.forward;
        if forward.deliveries == 0 || forward.attempts == 0 || forward.tasks_max == 0 {
            return refuse("forward.deliveries", "limits of forwarding are at least 1");
        }
        if forward.pause.0.is_zero() || forward.pause_max.0 < forward.pause.0 {
            return refuse("forward.pause", "longer than nothing and at most forward.pause_max");
        }
        if !(-12..=14).contains(&forward.utc_offset) {
            return refuse("forward.utc_offset", "between -12 and 14");
        }
        Ok(())
    }
}
