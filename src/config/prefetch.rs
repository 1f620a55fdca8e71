//! The keys of what is fetched from the bucket for those who are expected, and their checks.

use super::options::refuse;
use super::{Config, ConfigError, Size, Span};
use archive::tier::AheadOptions;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longer, and visits of weeks would be held in memory.
const KEEP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Whoever is expected later is looked for later.
const WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// `[prefetch]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Prefetch {
    pub(crate) enabled: bool,
    pub(crate) window: Span,
    pub(crate) keep: Span,
    pub(crate) studies: usize,
    pub(crate) bytes: Size,
    pub(crate) years: u16,
    pub(crate) rate: Size,
    pub(crate) free: Size,
    pub(crate) linked: bool,
}

impl Default for Prefetch {
    fn default() -> Self {
        let options = AheadOptions::default();
        Self {
            enabled: options.enabled,
            window: Span(options.window),
            keep: Span(options.keep),
            studies: options.studies,
            bytes: Size(options.bytes),
            years: options.years,
            rate: Size(options.rate),
            free: Size(options.free),
            linked: options.linked,
        }
    }
}

impl Prefetch {
    /// Options of the archive.
    pub(super) fn options(&self) -> AheadOptions {
        AheadOptions {
            enabled: self.enabled,
            window: self.window.0,
            keep: self.keep.0,
            studies: self.studies,
            bytes: self.bytes.0,
            years: self.years,
            rate: self.rate.0,
            free: self.free.0,
            linked: self.linked,
        }
    }
}

impl Config {
    pub(super) fn check_prefetch(&self) -> Result<(), ConfigError> {
        let prefetch = &self.prefetch;
        if prefetch.window.0 > WINDOW_MAX {
            return refuse("prefetch.window", "at most \"30d\"");
        }
        if prefetch.keep.0 > KEEP_MAX {
            return refuse("prefetch.keep", "at most \"7d\"");
        }
        if prefetch.enabled && (prefetch.studies == 0 || prefetch.years == 0) {
            return refuse("prefetch.studies", "prefetch.studies and prefetch.years are at least 1");
        }
        Ok(())
    }
}
