//! The keys of launch links, and their checks.

mod share;

use super::options::{named, refuse};
use super::{Config, ConfigError, Span};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use share::Share;

/// `[launch]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Launch {
    pub(crate) keys: PathBuf,
    pub(crate) session: Span,
    pub(crate) skew: Span,
}

impl Default for Launch {
    fn default() -> Self {
        let web = web::LaunchOptions::default();
        Self { keys: PathBuf::new(), session: Span(web.session), skew: Span(web.skew) }
    }
}

impl Launch {
    pub(super) fn options(&self) -> web::LaunchOptions {
        let (keys, session, skew) = (named(&self.keys), self.session.0, self.skew.0);
        web::LaunchOptions { keys, session, skew, ..web::LaunchOptions::default() }
    }
}

impl Config {
    /// How launch links are taken.
    pub(crate) fn launch(&self) -> web::LaunchOptions {
        self.launch.options()
    }

    pub(super) fn check_launch(&self) -> Result<(), ConfigError> {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        if !(minute..=day).contains(&self.launch.session.0) {
            return refuse("launch.session", "between 1min and 1d");
        }
        if self.launch.skew.0 > minute * 2 {
            return refuse("launch.skew", "at most 2min: set the clocks instead");
        }
        Ok(())
    }
}
