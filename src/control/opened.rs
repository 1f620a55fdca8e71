//! An archive that this process opened itself: however its use ends, it is closed before the process goes on.
//!
//! A thread of the archive that is at work while the process takes itself down may end it by an abort. That nobody in
//! this package opens an archive in another way is seen to by `tests/all/tidy.rs`. What does not end within the limit is
//! said, and left.

use crate::cli::Failure;
use archive::{Archive, OpenError, Options};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long others may keep the archive after its end.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);
/// Pace of looking whether they do.
const LET_GO_PACE: Duration = Duration::from_millis(2);

/// An open archive; dropping it closes it.
pub(crate) struct Opened {
    archive: Arc<Archive>,
    within: Duration,
    closed: bool,
}

impl Opened {
    /// Opens the data directory; its end, where nobody closes it, takes no longer than `within`.
    pub(crate) fn open(options: Options, within: Duration) -> Result<Self, Failure> {
        let data = options.data.clone();
        let archive = Archive::open(options).map_err(|error| Failure::open(&data, error))?;
        Ok(Self { archive, within, closed: false })
    }

    /// The archive.
    pub(crate) fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Closes it, and says what is still in the way after `limit`.
    pub(crate) fn close(&mut self, limit: Duration) -> Result<(), OpenError> {
        self.closed = true;
        self.archive.close(limit)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.closed
            && let Err(error) = self.close(self.within)
        {
            tracing::warn!(%error, "the archive does not end; the next start recovers");
        }
        // The last to let go closes the index: that must not be a thread which ends with the process.
        let until = Instant::now() + LET_GO_WITHIN;
        while Arc::strong_count(&self.archive) > 1 && Instant::now() < until {
            std::thread::sleep(LET_GO_PACE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn an_archive_that_is_dropped_is_closed_and_nobody_has_it_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options::new(folder.path().join("data"));
        (options.segment_bytes, options.reserve_bytes) = (16 << 20, 1 << 20);
        let opened = Opened::open(options.clone(), Duration::from_secs(60)).expect("it opens");
        assert!(opened.archive().readiness().ready);
        let (user, left) = (Arc::clone(opened.archive()), Arc::downgrade(opened.archive()));
        let (lets_go, let_go) = mpsc::channel();
        // Somebody who goes on until told that the archive ends.
        let user = thread::spawn(move || {
            while user.readiness().ready {
                thread::sleep(Duration::from_millis(1));
            }
            lets_go.send(()).expect("awaited");
            drop(user);
        });
        drop(opened);
        assert_eq!(let_go.try_recv(), Ok(()), "it was closed, and waited for");
        assert_eq!(left.strong_count(), 0);
        user.join().expect("no panic");
        drop(Opened::open(options, Duration::from_secs(60)).expect("nobody has its lock"));
    }
}
