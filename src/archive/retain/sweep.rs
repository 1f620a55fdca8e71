//! After a destruction: the bytes. Packs in every tier, caches, journal, files of large bodies, the index's own files.
//!
//! What is to be swept is known from the index, which knows it from the facts; done again it changes nothing. It ends
//! only when everything is gone: a volume or a cloud that does not answer is asked again later.
//! Deliberately not here: backups, and blocks that the file system or the disk itself has given up.

use super::RetainError;
use crate::memory::Forget;
use crate::open::Archive;
use crate::segments;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Packs taken at once.
const ROUND: usize = 10_000;
/// Pause after something was not gone.
const REST: Duration = Duration::from_secs(20);
/// After a sweep the next one waits for so many times as long as it took, but no longer than this: what is destroyed
/// meanwhile is swept together, and files that hold a little of each study are rewritten once for all of them.
const PAUSE: u32 = 9;
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// What a sweep came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sweep {
    /// Packs that are gone.
    pub packs: u64,
    /// Packs that are not, because a volume or the cloud does not answer.
    pub left: u64,
    /// Whether files were rewritten.
    pub swept: bool,
    /// Whether nothing is left to do.
    pub done: bool,
}

/// When the thread sweeps next.
#[derive(Default)]
pub(super) struct Rest {
    until: Option<Instant>,
    /// Something was left: whoever took away what was in the way may ask for the next try.
    left: bool,
}

impl Rest {
    /// Sweeps if something waits and the last try is long enough ago, or an operator asks for it.
    pub(super) fn sweep(&mut self, archive: &Arc<Archive>) {
        let asked = archive.retention().sweep_now.swap(false, Ordering::Relaxed);
        if !(asked && self.left) && self.until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        *self = Self::default();
        let begun = Instant::now();
        match archive.sweep() {
            Ok(Sweep { left: 0, swept, .. }) => {
                let pause = begun.elapsed().saturating_mul(PAUSE).min(PAUSE_MAX);
                self.until = swept.then(|| Instant::now() + pause);
            }
            Ok(Sweep { left, .. }) => {
                tracing::warn!(left, "packs of destroyed studies cannot be removed now; trying again");
                *self = Self::left();
            }
            Err(RetainError::Interrupted) => {}
            Err(error) => {
                tracing::warn!(%error, "bytes of destroyed studies cannot be removed now; trying again");
                *self = Self::left();
            }
        }
    }

    fn left() -> Self {
        Self { until: Some(Instant::now() + REST), left: true }
    }
}

impl Archive {
    /// Forgets everything in memory that was made from images: documents, pictures, attributes.
    pub(crate) fn forget_derived(&self) {
        self.prepared().forget();
        self.pictures.forget();
        self.pixels.forget();
    }

    /// Has something forgotten whenever a study is destroyed: it was made from documents of metadata.
    pub fn forgets_too(&self, rendition: Arc<dyn Forget>) {
        self.prepared().forgets_too(rendition);
    }

    /// Removes what is left of destroyed studies.
    ///
    /// # Errors
    /// When journal or index do not allow it now; what was done is done.
    pub fn sweep(self: &Arc<Self>) -> Result<Sweep, RetainError> {
        let _turn = self.retention().sweeping.lock();
        let (due, doomed) = (self.index().sweep_due()?, self.index().doomed(ROUND)?);
        let mut sweep = Sweep::default();
        if due.is_none() && doomed.is_empty() {
            return Ok(Sweep { done: true, ..sweep });
        }
        for row in doomed {
            self.go_on()?;
            match self.packs().destroy(&row) {
                Ok(()) => {
                    self.index().forget_pack(row.pack)?;
                    sweep.packs += 1;
                }
                Err(error) => {
                    tracing::warn!(pack = %row.pack, %error, "a pack of a destroyed study is not gone");
                    sweep.left += 1;
                }
            }
        }
        if let Err(error) = self.purge_catalogues() {
            tracing::warn!(%error, "catalogues still name packs of destroyed studies");
            sweep.left += 1;
        }
        let Some(due) = due else { return Ok(Sweep { done: sweep.left == 0, ..sweep }) };
        self.destroy_seals()?;
        self.forget_derived();
        self.go_on()?;
        segments::release_destroyed(self)?;
        self.go_on()?;
        let rewritten = self.index().purge()?;
        // Somebody may have begun to make something from bytes that were still there.
        self.forget_derived();
        sweep.swept = true;
        if sweep.left == 0 && self.index().doomed(1)?.is_empty() {
            self.index().swept(due)?;
            self.index().flush()?;
            sweep.done = true;
            tracing::info!(packs = sweep.packs, rewritten, "bytes of destroyed studies are removed");
        }
        Ok(sweep)
    }

    /// Destroys the keys of facts that went with studies, when the ledger has entered what they say, and those of
    /// procedure steps that named them.
    fn destroy_seals(&self) -> Result<(), RetainError> {
        loop {
            let seals = self.index().doomed_seals(ROUND)?;
            if seals.is_empty() {
                return Ok(());
            }
            self.sign_ledger()?;
            let ring = self.tiers().keys().open()?;
            for seal in &seals {
                match ring.keys.destroy(*seal) {
                    // A backup may have been brought back that is older than the key.
                    Ok(_) | Err(store::StoreError::KeyMissing { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.ups().forget_sealed(&seals)?;
            for seal in seals {
                self.index().forget_seal(seal)?;
            }
        }
    }

    /// Whether the archive does not stop: what is left is done after the next start.
    fn go_on(&self) -> Result<(), RetainError> {
        if self.stopping().load(Ordering::Relaxed) { Err(RetainError::Interrupted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Bench;

    #[test]
    fn whoever_asks_for_what_is_due_waits_for_no_pause_after_a_failure() {
        let bench = Bench::with(|options| options.background = false);
        let until = Some(Instant::now() + Duration::from_secs(3_600));
        for (left, asked, rests) in [(true, false, true), (true, true, false), (false, true, true)] {
            let mut rest = Rest { until, left };
            if asked {
                bench.archive.tier_run(true).expect("begun");
            }
            rest.sweep(&bench.archive);
            assert_eq!(rest.until.is_some(), rests, "left {left}, asked {asked}");
        }
    }
}
