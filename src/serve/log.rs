//! Log lines on standard error, for people or as JSON.
//!
//! Patient data appears at debug and trace only, so the libraries below us stay at warn even then:
//! theirs we do not know.

use crate::config::{Log, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Our crates, which follow `log.level`.
const OURS: &[&str] = &["khoanh", "archive", "dataset", "dimse", "his", "index", "model", "store", "web"];

/// Starts logging and sends panics there too.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::new(directives(&log.level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // The message may quote what was worked on.
        tracing::error!(place, "a thread panicked; this is a defect");
        tracing::debug!(message = panic.payload_as_str().unwrap_or_default(), place, "panic message");
    }));
}

fn directives(level: &str) -> String {
    let ours = OURS.iter().map(|crate_name| format!("{crate_name}={level}"));
    let others = if level == "error" { "error" } else { "warn" };
    std::iter::once(others.to_owned()).chain(ours).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_never_speak_below_warn() {
        let directives = directives("debug");
        assert!(directives.starts_with("warn,khoanh=debug,"), "{directives}");
        assert!(EnvFilter::try_new(&directives).is_ok());
    }
}
