//! Where everything lies and what waits, for the operator.

use super::ahead::{AheadStatus, millis};
use super::policy::{Action, RECALLED_STAYS};
use super::weather::Away;
use crate::error::TierError;
use crate::open::Archive;
use index::PackRow;
use model::Uid;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use store::cold::BucketProbe;
use store::hot::VolumeState;

use super::locks::LockTally;
use super::wishes::Why;

/// Packs and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Lying {
    /// How many.
    pub packs: u64,
    /// Their length together.
    pub bytes: u64,
}

/// Where packs lie, and what is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// On a hot volume only.
    pub hot: Lying,
    /// On a hot volume and in the cloud.
    pub both: Lying,
    /// In the cloud only.
    pub cold: Lying,
    /// Of those, on their way out of an archive class.
    pub restoring: Lying,
    /// Lying nowhere that is known.
    pub lost: Lying,
    /// To be copied now: the backlog.
    pub copy_due: Lying,
    /// To be released now.
    pub release_due: Lying,
}

/// The cold tier.
#[derive(Debug, Clone, Serialize)]
pub struct CloudStatus {
    /// Its bucket.
    pub bucket: String,
    /// Since when it is away; none while it answers.
    pub away: Option<Away>,
    /// Whether the hours of the day forbid sending.
    pub closed: bool,
    /// What the bucket can do, where it was asked.
    pub probe: Option<BucketProbe>,
    /// What Object Lock keeps, where `worm` is on.
    pub locks: Option<LockTally>,
    /// Studies whose locks are compared with the rules before their turn.
    pub locks_waiting: usize,
    /// Bytes in the local cache of what was read.
    pub cache_bytes: u64,
    /// Ranges answered by it since start.
    pub cache_hits: u64,
    /// Ranges fetched from the cloud since start.
    pub cache_misses: u64,
}

/// A hot volume.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeStatus {
    /// Its directory.
    pub directory: PathBuf,
    /// `serving`, `draining`, `read-only` or `gone`.
    pub state: &'static str,
    /// Free bytes, where they can be told.
    pub free: Option<u64>,
}

/// Everything about the tiers.
#[derive(Debug, Clone, Serialize)]
pub struct TierStatus {
    /// What the last walk over all packs counted.
    pub tally: Tally,
    /// When it ended, milliseconds since 1970 UTC; 0 before the first.
    pub counted: u64,
    /// Packs each policy decides about.
    pub policies: BTreeMap<String, u64>,
    /// The cold tier, where there is one.
    pub cloud: Option<CloudStatus>,
    /// The hot volumes.
    pub volumes: Vec<VolumeStatus>,
    /// What is fetched for those who are expected.
    pub ahead: AheadStatus,
    /// Recalls that wait.
    pub recalls: usize,
    /// Objects on their way out of an archive class.
    pub restores: usize,
    /// Packs that could not be moved and are tried again later.
    pub failing: usize,
}

impl Tally {
    /// Counts a pack and what is still to be done with it.
    pub(super) fn count(&mut self, row: &PackRow, due: Action, restoring: bool) {
        let place = match (row.hot, row.cold.is_some()) {
            (true, false) => &mut self.hot,
            (true, true) => &mut self.both,
            (false, true) => &mut self.cold,
            (false, false) => &mut self.lost,
        };
        place.add(row);
        if restoring && !row.hot {
            self.restoring.add(row);
        }
        if matches!(due, Action::Copy | Action::CopyThenRelease) {
            self.copy_due.add(row);
        }
        if matches!(due, Action::Release | Action::CopyThenRelease) {
            self.release_due.add(row);
        }
    }
}

impl Lying {
    pub(super) fn add(&mut self, row: &PackRow) {
        self.packs += 1;
        self.bytes = self.bytes.saturating_add(row.len);
    }
}

fn state_name(state: VolumeState) -> &'static str {
    match state {
        VolumeState::Serving => "serving",
        VolumeState::Draining => "draining",
        VolumeState::ReadOnly => "read-only",
        VolumeState::Gone => "gone",
    }
}

impl Archive {
    /// Where everything lies and what waits; asks nobody.
    pub fn tier_status(&self) -> TierStatus {
        let tiers = self.tiers();
        let cloud = tiers.cloud().map(|cloud| {
            let cache = cloud.cache_stats();
            CloudStatus {
                bucket: cloud.options().bucket.clone(),
                away: tiers.weather.away(),
                closed: tiers.weather.is_closed(),
                probe: cloud.last_probe(),
                locks: cloud.options().worm.then(|| tiers.locks.tally()),
                locks_waiting: tiers.locks.waiting(),
                cache_bytes: cache.bytes,
                cache_hits: cache.hits,
                cache_misses: cache.misses,
            }
        });
        let volumes = self.packs().hot().volumes().into_iter().map(|volume| VolumeStatus {
            directory: volume.dir,
            state: state_name(volume.state),
            free: volume.free,
        });
        let walked = tiers.walked.lock().clone();
        TierStatus {
            tally: walked.tally,
            counted: walked.at,
            policies: walked.policies,
            cloud,
            volumes: volumes.collect(),
            ahead: self.ahead_status(),
            recalls: tiers.wishes.waiting(),
            restores: tiers.wishes.restoring(),
            failing: tiers.failing.count(),
        }
    }

    /// The same, counted now where nobody walks in the background.
    ///
    /// # Errors
    /// Those of the index.
    pub fn tier_status_now(&self) -> Result<TierStatus, TierError> {
        if !self.options().background {
            *self.tiers().walked.lock() = self.count_packs()?;
        }
        Ok(self.tier_status())
    }

    /// What a walk over all packs would do now; with `act` it begins, and whatever rested is tried at once, bytes
    /// of destroyed studies too.
    ///
    /// # Errors
    /// Those of the index.
    pub fn tier_run(&self, act: bool) -> Result<Tally, TierError> {
        let tally = self.count_packs()?.tally;
        if act {
            self.tiers().hurry();
            self.retention().sweep_now.store(true, Ordering::Relaxed);
        }
        Ok(tally)
    }

    /// Brings the packs of a study back to the hot volumes, where they stay for [`RECALLED_STAYS`] from now at least;
    /// without `act` it only says which.
    ///
    /// # Errors
    /// [`TierError::Refused`] where no study has this UID; those of the index.
    pub fn tier_recall_study(&self, study: &Uid, act: bool) -> Result<Lying, TierError> {
        let mut lying = Lying::default();
        let rows = self.index().studies(study)?;
        if rows.is_empty() {
            return Err(TierError::Refused { what: format!("no study has the UID {study}") });
        }
        let failed = |error: crate::RetrieveError| TierError::Refused { what: error.to_string() };
        for row in rows {
            for series in self.series_of(&row).map_err(failed)? {
                for pack in self.index().packs_of(&series.key)? {
                    if !pack.hot && pack.cold.is_some() {
                        lying.add(&pack);
                    }
                    if act {
                        self.recall_by_hand(&pack)?;
                    }
                }
            }
        }
        Ok(lying)
    }

    /// What is hot already stays so, too.
    fn recall_by_hand(&self, pack: &PackRow) -> Result<(), TierError> {
        let tiers = self.tiers();
        if !pack.hot && pack.cold.is_some() && !tiers.wishes.recall(pack.pack, Why::Wanted) {
            return Err(TierError::Refused { what: "too many packs wait already; ask again later".into() });
        }
        tiers.keep_by_hand(pack.pack, self.now_ms().saturating_add(millis(RECALLED_STAYS)));
        Ok(())
    }

    /// Takes a further directory as a hot volume.
    ///
    /// # Errors
    /// Those of [`store::hot::HotPacks::add`].
    pub fn add_volume(&self, directory: &Path) -> Result<(), TierError> {
        Ok(self.packs().hot().add(directory)?)
    }

    /// Marks a hot volume as draining; its packs move to the others in the background.
    ///
    /// # Errors
    /// Those of [`store::hot::HotPacks::begin_drain`].
    pub fn drain_volume(&self, directory: &Path) -> Result<(), TierError> {
        Ok(self.packs().hot().begin_drain(directory)?)
    }

    /// Forgets a drained volume: its directory can go.
    ///
    /// # Errors
    /// Those of [`store::hot::HotPacks::forget`].
    pub fn forget_volume(&self, directory: &Path) -> Result<(), TierError> {
        Ok(self.packs().hot().forget(directory)?)
    }
}
