//! One pack at a time from tier to tier: bytes, then the fact, then what is not needed any more.

use super::cloud::Keep;
use super::{Tiers, name_of};
use crate::error::TierError;
use crate::open::Archive;
use crate::retain::Kept;
use index::{PackRow, StudyKey};
use model::Fact;
use model::PackId;
use model::pack::{ColdCopy, PackFact};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::cold::ColdFault;
use store::{PackFile, StoreError};

/// A copy that was read back longer ago than this is read once more before the hot one goes.
const TRUSTED_FOR: Duration = Duration::from_secs(3_600);
/// Bytes that are brought back with one request.
const STEP: u64 = 8 << 20;

impl Archive {
    pub(super) fn record_pack(&self, fact: PackFact) -> Result<(), TierError> {
        Ok(self.record(Fact::Pack(Box::new(fact)))?)
    }

    /// Puts a pack into the cloud, reads it back and records the copy.
    pub(super) fn tier_copy(&self, row: &PackRow) -> Result<ColdCopy, TierError> {
        let (tiers, started) = (self.tiers(), Instant::now());
        let cloud = tiers.cloud.as_ref().ok_or_else(no_cloud)?;
        let hot = self.packs().hot().read(PackFile::plain(row.pack))?;
        // A lock is never shorter than the rules keep the study now.
        let keep = if cloud.options().worm { self.keep_of(&row.series.study)?.now() } else { Keep::default() };
        let copy = cloud.put(&name_of(row), &hot, keep)?;
        tiers.weather.answered();
        // Merged or destroyed meanwhile: nobody would know of the object. Nor is it merged between here and the fact.
        let _still = self.rewriting().read();
        if self.index().pack(row.pack)?.is_none() {
            cloud.forget(row.pack, Some(&copy))?;
            return Err(TierError::Refused { what: "the pack is no more".into() });
        }
        self.record_pack(PackFact::Tiered { pack: row.pack, copy: copy.clone() })?;
        tiers.catalogues.note(cloud, row, &hot);
        // What came late may keep the study longer, and with it what went up before.
        tiers.locks.named([row.series.study.clone()]);
        metrics::counter!("khoanh_tier_copied_packs_total").increment(1);
        metrics::counter!("khoanh_tier_copied_bytes_total").increment(copy.len);
        metrics::histogram!("khoanh_tier_copy_seconds").record(started.elapsed());
        tracing::debug!(pack = %row.pack, bytes = copy.len, "copied to the cloud");
        Ok(copy)
    }

    /// How long the rules in force, and holds, keep a study.
    pub(super) fn keep_of(&self, study: &StudyKey) -> Result<Kept, TierError> {
        self.kept(study).map_err(|error| TierError::Refused { what: error.to_string() })
    }

    /// Takes a pack off the hot volumes; `copy` is its verified copy.
    pub(super) fn tier_release(&self, row: &PackRow, copy: &ColdCopy) -> Result<(), TierError> {
        let now = self.now_ms();
        if Duration::from_millis(now.saturating_sub(copy.at)) > TRUSTED_FOR {
            self.still_there(row, copy)?;
        }
        // A backup that copies the hot file must not lose it in the middle.
        let _still = self.rewriting().read();
        self.record_pack(PackFact::Released { pack: row.pack, at: now })?;
        self.packs().remove_hot(row.pack)?;
        self.tiers().reads.forget(row.pack);
        metrics::counter!("khoanh_tier_released_packs_total").increment(1);
        metrics::counter!("khoanh_tier_released_bytes_total").increment(row.len);
        tracing::debug!(pack = %row.pack, "released from the hot volumes");
        Ok(())
    }

    /// Reads the end of a copy past the cache: object, version, key and envelope are what they were.
    fn still_there(&self, row: &PackRow, copy: &ColdCopy) -> Result<(), TierError> {
        let tiers = self.tiers();
        let cloud = tiers.cloud.as_ref().ok_or_else(no_cloud)?;
        cloud.doubt(row.pack);
        let source = cloud.source(&name_of(row), copy)?;
        let read = source.read_at(row.len.saturating_sub(1)..row.len);
        let Err(error) = read else {
            tiers.weather.answered();
            return Ok(());
        };
        let fault = StoreError::within(&error).and_then(StoreError::cold_fault);
        match fault {
            // It is there, in a class that is not read at once.
            Some(ColdFault::Archived) => Ok(()),
            Some(ColdFault::Missing) => {
                tracing::error!(pack = %row.pack, key = copy.key, "a copy in the cloud is gone; it is put anew");
                self.record_pack(PackFact::ColdLost { pack: row.pack, at: self.now_ms() })?;
                Err(TierError::Refused { what: "the copy in the cloud is gone".into() })
            }
            _ => Err(cloud_error(error, row.pack)),
        }
    }

    /// Brings a pack back whole: reads it from the cloud, writes it to a hot volume, reads that back and records it.
    /// `between` is called with the bytes of every step.
    pub(super) fn tier_recall(self: &Arc<Self>, row: &PackRow, between: &mut dyn FnMut(u64)) -> Result<(), TierError> {
        let (tiers, started) = (self.tiers(), Instant::now());
        let cloud = tiers.cloud.as_ref().ok_or_else(no_cloud)?;
        let lost = || TierError::Refused { what: "no copy lies in the cloud".into() };
        let copy = row.cold.as_ref().ok_or_else(lost)?;
        let source = cloud.source_past_cache(&name_of(row), copy)?;
        let file = PackFile::plain(row.pack);
        let mut writer = self.packs().hot().create(file, row.len)?;
        while writer.len() < row.len {
            if self.stopping().load(Ordering::Relaxed) {
                return Err(TierError::Refused { what: "the archive is stopping".into() });
            }
            let range = writer.len()..row.len.min(writer.len().saturating_add(STEP));
            let bytes = source.read_at(range).map_err(|error| cloud_error(error, row.pack))?;
            let failed = |source| StoreError::Io { action: "write", path: PathBuf::from(file.to_string()), source };
            writer.write_all(&bytes).map_err(failed)?;
            between(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        tiers.weather.answered();
        let hot = writer.finish()?;
        if hot.digest != row.sha256.0 {
            self.packs().remove_hot(row.pack)?;
            return Err(StoreError::ReadBack { path: hot.path }.into());
        }
        self.record_pack(PackFact::Recalled { pack: row.pack, at: self.now_ms() })?;
        // A pack that was destroyed meanwhile must not have come back.
        if self.index().pack(row.pack)?.is_none() {
            self.packs().remove_hot(row.pack)?;
            return Err(TierError::Refused { what: "the pack is no more".into() });
        }
        tiers.reads.note(row.pack, self.now_ms());
        cloud.doubt(row.pack);
        metrics::counter!("khoanh_tier_recalled_packs_total").increment(1);
        metrics::counter!("khoanh_tier_recalled_bytes_total").increment(row.len);
        metrics::histogram!("khoanh_tier_recall_seconds").record(started.elapsed());
        tracing::debug!(pack = %row.pack, bytes = row.len, "recalled to a hot volume");
        Ok(())
    }

    /// Removes hot files that a kill left behind: released ones, and recalled ones that were not recorded. What no
    /// fact names at all, the packing side sweeps.
    pub(super) fn sweep_released(&self) -> Result<usize, TierError> {
        let stays =
            |file: PackFile| !matches!(self.index().pack(file.pack), Ok(Some(row)) if !row.hot && row.cold.is_some());
        Ok(self.packs().hot().sweep(&stays)?)
    }
}

impl Tiers {
    /// Notes a failure; true when the next pack would fail in the same way.
    pub(super) fn failed(&self, pack: PackId, action: &'static str, error: &TierError, now_ms: u64) -> bool {
        if let TierError::Store(error) = error
            && self.weather.failed(error, now_ms)
        {
            return true;
        }
        metrics::counter!("khoanh_tier_failures_total", "action" => action).increment(1);
        match error {
            TierError::Store(StoreError::ReadBack { .. } | StoreError::KeyDestroyed { .. }) => {
                tracing::error!(%pack, action, %error, "a pack cannot be moved: run khoanh verify");
            }
            _ => tracing::warn!(%pack, action, %error, "a pack cannot be moved now; trying again later"),
        }
        self.failing.failed(pack);
        false
    }
}

pub(super) fn no_cloud() -> TierError {
    TierError::Refused { what: "there is no cold tier".into() }
}

/// The store's error out of a reading.
fn cloud_error(error: std::io::Error, pack: PackId) -> TierError {
    match error.downcast::<StoreError>() {
        Ok(error) => error.into(),
        Err(source) => {
            StoreError::Io { action: "read", path: PathBuf::from(PackFile::plain(pack).to_string()), source }.into()
        }
    }
}
