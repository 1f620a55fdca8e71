//! The keys of patients' links, and their checks.

use crate::config::options::refuse;
use crate::config::{Config, ConfigError, Span};
use archive::charts::ShareOptions;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most years that a link may be valid.
const YEARS_MAX: u16 = 100;
/// More tries would make a code of six digits guessable.
const TRIES_MAX: u32 = 20;

/// `[share]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Share {
    pub(crate) years_max: u16,
    pub(crate) tries: u32,
    pub(crate) session: Span,
}

impl Default for Share {
    fn default() -> Self {
        let (archive, web) = (ShareOptions::default(), web::SharePages::default());
        Self { years_max: archive.years_max, tries: archive.tries, session: Span(web.session) }
    }
}

impl Share {
    /// Options of the archive.
    pub(in crate::config) fn options(&self) -> ShareOptions {
        ShareOptions { years_max: self.years_max, tries: self.tries }
    }

    /// Options of the pages.
    pub(in crate::config) fn pages(&self) -> web::SharePages {
        web::SharePages { session: self.session.0 }
    }
}

impl Config {
    pub(in crate::config) fn check_share(&self) -> Result<(), ConfigError> {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        if !(1..=YEARS_MAX).contains(&self.share.years_max) {
            return refuse("share.years_max", format!("between 1 and {YEARS_MAX}"));
        }
        if !(1..=TRIES_MAX).contains(&self.share.tries) {
            return refuse("share.tries", format!("between 1 and {TRIES_MAX}"));
        }
        if !(minute..=day).contains(&self.share.session.0) {
            return refuse("share.session", "between 1min and 1d");
        }
        Ok(())
    }
}
