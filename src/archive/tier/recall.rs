//! Bringing packs back: recalls one after another, and restores from archive classes looked after until they are there.

use super::wishes::{Restore, Why};
use super::{Tiers, name_of};
use crate::error::{OpenError, TierError};
use crate::open::Archive;
use crate::worker;
use model::PackId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use store::cold::{Availability, RestoreTier};

/// For so many days a restored object can be read.
const RESTORED_DAYS: u16 = 7;

/// Starts the thread that recalls.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    worker::every(archive, "recall", move |archive| {
        if archive.health().reason().is_some() || archive.tiers().cloud().is_none() {
            return;
        }
        recalls(archive);
        archive.fetch_ahead();
        for restore in archive.tiers().wishes.due() {
            // Each is a request of its own: whoever waits for a pack does not wait for all of them.
            recalls(archive);
            let is_away = archive.tiers().weather.away().is_some() && archive.tiers().weather.rests();
            if is_away || archive.stopping().load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = archive.look_after(&restore) {
                archive.tiers().failed(restore.pack, "restore", &error, archive.now_ms());
            }
        }
    })
}

fn recalls(archive: &Arc<Archive>) {
    let tiers = archive.tiers();
    while !archive.stopping().load(Ordering::Relaxed) && !tiers.weather.rests() {
        let Some(pack) = tiers.wishes.next(archive.now_ms()) else { return };
        if !archive.bring(pack) {
            return;
        }
    }
}

impl Archive {
    /// Brings a pack back if it is not hot; gives the bytes fetched. `between` is called with the bytes of every step.
    pub(super) fn recall_now(
        self: &Arc<Self>,
        pack: PackId,
        between: &mut dyn FnMut(u64),
    ) -> Result<Option<u64>, TierError> {
        match self.index().pack(pack)? {
            Some(row) if !row.hot => self.tier_recall(&row, between).map(|()| Some(row.len)),
            _ => Ok(None),
        }
    }

    /// Brings back what somebody waits for while another pack is under way; whether that one is waited for, too.
    pub(super) fn recall_wanted_beside(self: &Arc<Self>, under_way: PackId) -> bool {
        let (tiers, mut wanted) = (self.tiers(), false);
        while !self.stopping().load(Ordering::Relaxed) && !tiers.weather.rests() {
            let Some(pack) = tiers.wishes.next_wanted() else { break };
            if pack == under_way {
                // It is on its way already.
                wanted = true;
            } else if !self.bring(pack) {
                break;
            }
        }
        wanted
    }

    /// Brings a pack back that somebody waits for, and notes what came of it; whether to go on with the next.
    fn bring(self: &Arc<Self>, pack: PackId) -> bool {
        let tiers = self.tiers();
        match self.recall_now(pack, &mut |_| {}) {
            Ok(_) => tiers.failing.done(pack),
            Err(error) if error.is_archived() => tiers.want_restored(pack, self.now_ms(), true),
            Err(error) => {
                if tiers.failed(pack, "recall", &error, self.now_ms()) {
                    tiers.wishes.recall(pack, Why::Wanted);
                    return false;
                }
            }
        }
        true
    }

    /// Asks for an object, or finds that it can be read now.
    fn look_after(&self, restore: &Restore) -> Result<(), TierError> {
        let tiers: &Tiers = self.tiers();
        let row = self.index().pack(restore.pack)?;
        let (Some(row), Some(cloud)) = (row, tiers.cloud()) else { return self.over(restore.pack) };
        let Some(copy) = row.cold.as_ref().filter(|_| !row.hot) else { return self.over(restore.pack) };
        match cloud.availability(copy)? {
            Availability::Restoring => Ok(()),
            Availability::Archived => Ok(cloud.restore(copy, RESTORED_DAYS, RestoreTier::Standard)?),
            Availability::Online | Availability::Restored { .. } => {
                tracing::info!(pack = %name_of(&row).pack, "a pack is restored and can be read");
                self.over(restore.pack)?;
                if restore.hot {
                    tiers.wishes.recall(restore.pack, Why::Wanted);
                }
                Ok(())
            }
        }
    }

    fn over(&self, pack: PackId) -> Result<(), TierError> {
        let failed =
            |error: std::io::Error| TierError::Refused { what: format!("a restore is not struck out: {error}") };
        self.tiers().wishes.restored(pack).map_err(failed)
    }
}
