//! Progress on the terminal, and Ctrl-C as a wish to stop in order.

use super::{Exit, Failure};
use crate::control::Progress;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Without a terminal a line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a long command is: a bar on a terminal, now and then a line elsewhere.
pub(super) struct Shown {
    bar: ProgressBar,
    what: &'static str,
    begun: Instant,
    last_line: Instant,
    terminal: bool,
}

impl Shown {
    /// `what` is the plural of what is counted; `trouble` how the troubled ones are called.
    pub(super) fn new(what: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = "{spinner} {wide_bar} {human_pos}/{human_len} {prefix}  {per_sec}  {msg}  {elapsed_precise}";
        // The template above is a constant; a mistake in it shows as the plain style.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        let now = Instant::now();
        Self { bar, what, begun: now, last_line: now, terminal }
    }

    /// Takes the next state.
    pub(super) fn step(&mut self, step: Progress, trouble: &str) {
        self.bar.set_length(step.total.max(step.done));
        self.bar.set_position(step.done);
        let mut message = HumanBytes(step.bytes).to_string();
        if step.trouble > 0 {
            message = format!("{message}  {} {trouble}", step.trouble);
        }
        if !self.terminal && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let seconds = self.begun.elapsed().as_secs();
            eprintln!("{seconds} s: {} of {} {}, {message}", step.done, step.total.max(step.done), self.what);
        }
        self.bar.set_message(message);
    }

    /// Clears the bar; the report follows.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A flag that Ctrl-C or SIGTERM sets, so that a long command ends in order.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let wait = move || {
        let stopped = runtime.block_on(crate::serve::stop_signal());
        if stopped.is_ok() {
            set.store(true, Ordering::Relaxed);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed)?;
    Ok(flag)
}
