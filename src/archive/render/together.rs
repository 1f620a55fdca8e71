//! One making for all who ask for the same meanwhile, which ends early when all of them have gone.

use super::PictureError;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How soon it is seen that somebody who waits has gone.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Whether somebody who asked has gone.
pub type Gone = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a making comes to.
type Made = Result<Arc<Vec<u8>>, PictureError>;

/// What is being made, by key.
#[derive(Default)]
pub(super) struct Together(Mutex<HashMap<String, Arc<Job>>>);

struct Job {
    askers: Mutex<Vec<Gone>>,
    made: Mutex<Option<Made>>,
    done: Condvar,
}

impl Job {
    fn all_gone(&self) -> bool {
        loop {
            // Nobody who comes meanwhile waits for the answers.
            let askers = self.askers.lock().clone();
            if askers.iter().any(|gone| !gone()) {
                return false;
            }
            if self.askers.lock().len() == askers.len() {
                return true;
            }
        }
    }

    /// Waits for what another one makes.
    fn wait(&self, gone: &Gone) -> Made {
        let mut made = self.made.lock();
        loop {
            if let Some(made) = made.as_ref() {
                return made.clone();
            }
            if gone() {
                return Err(PictureError::Gone);
            }
            self.done.wait_for(&mut made, LOOK);
        }
    }
}

/// The job of whoever makes it; whatever becomes of him, nobody waits for ever.
struct Leading<'a> {
    together: &'a Together,
    key: &'a str,
    job: &'a Job,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.job.made.lock().get_or_insert(Err(PictureError::Gone));
        self.together.0.lock().remove(self.key);
        self.job.done.notify_all();
    }
}

impl Together {
    /// Makes what a key names, or waits for whoever makes it; `make` is told whether all who want it have gone.
    pub(super) fn make(&self, key: &str, gone: &Gone, make: impl Fn(&dyn Fn() -> bool) -> Made) -> Made {
        while !gone() {
            let made = match self.join(key, gone) {
                (job, true) => {
                    let leading = Leading { together: self, key, job: &job };
                    let made = make(&|| job.all_gone());
                    *leading.job.made.lock() = Some(made.clone());
                    made
                }
                (job, false) => job.wait(gone),
            };
            match made {
                // All had gone when this one came.
                Err(PictureError::Gone) => {}
                made => return made,
            }
        }
        Err(PictureError::Gone)
    }

    /// The job of a key, and whether it is begun with this asker.
    fn join(&self, key: &str, gone: &Gone) -> (Arc<Job>, bool) {
        let mut jobs = self.0.lock();
        if let Some(job) = jobs.get(key) {
            job.askers.lock().push(Arc::clone(gone));
            return (Arc::clone(job), false);
        }
        let askers = Mutex::new(vec![Arc::clone(gone)]);
        let job = Arc::new(Job { askers, made: Mutex::new(None), done: Condvar::new() });
        jobs.insert(key.to_owned(), Arc::clone(&job));
        (job, true)
    }
}
