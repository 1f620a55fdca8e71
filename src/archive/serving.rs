//! A thread that works for as long as the archive is open to others, and ends in its time.
//!
//! Whoever holds the archive in a thread while the process ends may end it by an abort: so every one is joined, or said to
//! run on. Deliberately not here: what is worked at, and the workers a thread has of its own.

use crate::error::OpenError;
use crate::open::spawn;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pace of looking whether the thread has ended.
const ENDING_PACE: Duration = Duration::from_millis(5);

/// What the thread does.
pub(crate) trait Work: Send + Sync + 'static {
    /// Works until it is told to end; its own workers have ended when it returns.
    fn run(self: &Arc<Self>);

    /// Makes [`Work::run`], and what is under way in it, end soon. It may be told so several times.
    fn end(&self);
}

/// The running thread.
pub(crate) struct Serving<W: Work> {
    work: Arc<W>,
    /// Taken when it is shut down.
    thread: Option<JoinHandle<()>>,
}

impl<W: Work> Serving<W> {
    /// Begins to work.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(name: &'static str, work: W) -> Result<Self, OpenError> {
        let work = Arc::new(work);
        let working = Arc::clone(&work);
        let thread = spawn(name, move || working.run())?;
        Ok(Self { work, thread: Some(thread) })
    }

    /// Ends it. False when the thread still runs after `limit`, or died.
    pub(crate) fn shutdown(mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let Some(thread) = self.thread.take() else { return true };
        self.end(&thread);
        while !thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(ENDING_PACE);
            // What was just beginning must hear it too.
            self.end(&thread);
        }
        thread.join().is_ok()
    }

    fn end(&self, thread: &JoinHandle<()>) {
        self.work.end();
        thread.thread().unpark();
    }
}

impl<W: Work> Drop for Serving<W> {
    /// The thread ends without being waited for, and lets the archive go.
    fn drop(&mut self) {
        if let Some(thread) = &self.thread {
            self.end(thread);
        }
    }
}
