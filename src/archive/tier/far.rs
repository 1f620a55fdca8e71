//! Packs that no hot volume holds, as the reading side sees them.
//!
//! What a reading shows is not lost: an object in an archive class begins to be restored, a bucket that does not
//! answer is away, bytes that are wrong leave the cache. It deliberately retries nothing that the cloud does not.

use super::cloud::Keep;
use super::{Tiers, name_of};
use crate::error::RetrieveError;
use crate::packs::Far;
use index::PackRow;
use model::PackId;
use model::pack::ColdCopy;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use store::cold::ColdFault;
use store::{ReadAt, StoreError};

/// The cloud behind the hot volumes.
pub(crate) struct FarCloud(Arc<Tiers>);

impl FarCloud {
    /// The cloud of these tiers, where there is one.
    pub(crate) fn behind(tiers: &Arc<Tiers>) -> Option<Box<dyn Far>> {
        tiers.cloud.is_some().then(|| Box::new(Self(Arc::clone(tiers))) as Box<dyn Far>)
    }
}

impl Far for FarCloud {
    fn source(&self, row: &PackRow) -> Result<Arc<dyn ReadAt>, RetrieveError> {
        let gone = || RetrieveError::Unavailable { what: format!("pack {} lies in no tier at hand", row.pack) };
        let (cloud, copy) = self.0.cloud.as_ref().zip(row.cold.as_ref()).ok_or_else(gone)?;
        let plain = cloud.source(&name_of(row), copy)?;
        Ok(Arc::new(Watched { tiers: Arc::clone(&self.0), pack: row.pack, plain }))
    }

    fn forget(&self, row: &PackRow) -> Result<(), RetrieveError> {
        self.0.forget(row.pack);
        let Some(cloud) = &self.0.cloud else { return Ok(()) };
        cloud.forget(row.pack, row.cold.as_ref())?;
        Ok(())
    }

    fn manifests(
        &self,
        each: &mut dyn FnMut(PackId, Vec<u8>) -> Result<(), RetrieveError>,
    ) -> Result<(), RetrieveError> {
        self.0.cloud.as_ref().map_or(Ok(()), |cloud| cloud.each_manifest(each))
    }

    fn check(&self, row: &PackRow) -> Result<(), RetrieveError> {
        let gone = || RetrieveError::Unavailable { what: format!("pack {} has no copy afar", row.pack) };
        let (cloud, copy) = self.0.cloud.as_ref().zip(row.cold.as_ref()).ok_or_else(gone)?;
        cloud.verify(copy).map_err(|error| match error.cold_fault() {
            Some(ColdFault::Damaged | ColdFault::Missing) => RetrieveError::Damaged { what: error.to_string() },
            _ => error.into(),
        })
    }

    fn put(&self, row: &PackRow, plain: Arc<dyn ReadAt>, _now_ms: u64) -> Result<ColdCopy, RetrieveError> {
        let gone = || RetrieveError::Unavailable { what: "there is no cold tier".into() };
        let cloud = self.0.cloud.as_ref().ok_or_else(gone)?;
        if let Some(copy) = &row.cold {
            // It must not lie there and look like a copy. What a lock keeps stays: the index will name the new version.
            match cloud.withdraw(row.pack, copy) {
                Err(error) if error.cold_fault() == Some(ColdFault::Locked) => {
                    tracing::warn!(pack = %row.pack, "a lock keeps a damaged copy in the bucket beside the new one");
                }
                answer => drop(answer?),
            }
        }
        // Never shorter than it was locked before.
        let before = row.cold.as_ref().map(|copy| Keep { until: copy.locked_until, held: copy.held });
        Ok(cloud.put(&name_of(row), &plain, before.unwrap_or_default())?)
    }
}

/// The plain bytes of a pack, with an eye on what goes wrong.
struct Watched {
    tiers: Arc<Tiers>,
    pack: PackId,
    plain: Arc<dyn ReadAt>,
}

impl Watched {
    fn learn(&self, error: &io::Error) {
        let Some(cloud) = &self.tiers.cloud else { return };
        if error.kind() == io::ErrorKind::InvalidData {
            cloud.doubt(self.pack);
        }
        let Some(error) = StoreError::within(error) else { return };
        let now = cloud.now_ms();
        if error.cold_fault() == Some(ColdFault::Archived) {
            self.tiers.want_restored(self.pack, now, false);
        } else {
            self.tiers.weather.failed(error, now);
        }
    }
}

impl ReadAt for Watched {
    fn read_at(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.plain.read_at(range).inspect_err(|error| self.learn(error))
    }

    fn len(&self) -> u64 {
        self.plain.len()
    }
}

impl Tiers {
    /// Drops what the cache holds of a pack whose bytes are wrong; false where there is no cache.
    pub(crate) fn doubt(&self, pack: PackId) -> bool {
        if let Some(cloud) = &self.cloud {
            cloud.doubt(pack);
        }
        self.cloud.is_some()
    }

    /// Refuses what is known to be on its way out of an archive class, without asking the bucket.
    pub(crate) fn is_coming(&self, row: &PackRow) -> Result<(), RetrieveError> {
        match self.wishes.is_restoring(row.pack) {
            true => Err(RetrieveError::restoring()),
            false => Ok(()),
        }
    }

    /// An object in an archive class is wanted: it is asked for and looked after until it can be read.
    pub(super) fn want_restored(&self, pack: PackId, now_ms: u64, hot: bool) {
        match self.wishes.restore(pack, now_ms, hot) {
            Ok(true) => tracing::info!(%pack, "a pack lies in an archive class and is to be restored"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%pack, %error, "a restore is wanted, but would not survive a restart"),
        }
    }
}
