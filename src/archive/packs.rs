//! Packs as the archive reads them: opened by name, whatever tier they lie in, their manifests kept in memory.
//!
//! Deliberately not here: when packs are written ([`crate::packing`]) and where they should lie ([`crate::tier`]).

use crate::codestreams;
use crate::error::{OpenError, RetrieveError};
use crate::options::Options;
use index::{Index, PackRow};
use model::PackId;
use model::pack::ColdCopy;
use moka::sync::Cache;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use store::hot::HotPacks;
use store::pack::{Manifest, Pack, PackError};
use store::{PackFile, ReadAt, RealDisk, StoreError};

/// Memory for manifests in bytes ...
const MANIFEST_BYTES: u64 = 64 << 20;
/// ... each piece of an instance costs about so many.
const PIECE_BYTES: usize = 32;
/// Bytes an instance of a manifest costs besides.
const INSTANCE_BYTES: usize = 512;
/// Files kept open.
const OPEN_MAX: u64 = 256;

/// A pack that can be read.
pub(crate) type OpenPack = Pack<Arc<dyn ReadAt>>;

/// Where packs lie that no hot volume holds.
pub(crate) trait Far: Send + Sync {
    /// The plain bytes of a pack.
    fn source(&self, row: &PackRow) -> Result<Arc<dyn ReadAt>, RetrieveError>;

    /// Reads the whole copy there and compares its digest; [`RetrieveError::Damaged`] when it differs or is lost.
    fn check(&self, row: &PackRow) -> Result<(), RetrieveError>;

    /// Puts a verified copy of the plain bytes there.
    fn put(&self, row: &PackRow, plain: Arc<dyn ReadAt>, now_ms: u64) -> Result<ColdCopy, RetrieveError>;

    /// Tells the manifests that lie there together, for a rebuild: each in a zstd frame, in no order.
    fn manifests(
        &self,
        _each: &mut dyn FnMut(PackId, Vec<u8>) -> Result<(), RetrieveError>,
    ) -> Result<(), RetrieveError> {
        Ok(())
    }

    /// Destroys every copy of a pack whose study is destroyed, every version of it, and its key. What is gone already
    /// is no error: it is asked again after a failure.
    fn forget(&self, row: &PackRow) -> Result<(), RetrieveError>;
}

/// The packs of an archive.
pub(crate) struct Packs {
    hot: HotPacks,
    far: OnceLock<Box<dyn Far>>,
    manifests: Cache<PackId, Arc<Manifest>>,
    sources: Cache<PackId, Arc<dyn ReadAt>>,
}

/// The hot volumes of the options.
fn volumes(options: &Options) -> Vec<PathBuf> {
    let default = vec![options.data.join("packs")];
    if options.packs.volumes.is_empty() { default } else { options.packs.volumes.clone() }
}

impl Packs {
    /// Opens the hot volumes.
    ///
    /// # Errors
    /// A directory that holds something else. A volume that is gone is an alarm and no error.
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        codestreams::bring(&options.decode);
        let dirs = volumes(options);
        let hot = HotPacks::open(Arc::new(RealDisk), &options.data.join("volumes"), &dirs, options.packs.reserve)?;
        let weigh = |_: &PackId, manifest: &Arc<Manifest>| {
            let cost = manifest.instances().iter().map(|instance| instance.pieces.len() * PIECE_BYTES + INSTANCE_BYTES);
            u32::try_from(cost.sum::<usize>()).unwrap_or(u32::MAX)
        };
        let manifests = Cache::builder().max_capacity(MANIFEST_BYTES).weigher(weigh).build();
        Ok(Self { hot, far: OnceLock::new(), manifests, sources: Cache::new(OPEN_MAX) })
    }

    /// Connects what lies afar; once, before anything is read.
    pub(crate) fn connect(&self, far: Option<Box<dyn Far>>) {
        if let Some(far) = far {
            let _ = self.far.set(far);
        }
    }

    /// The hot volumes.
    pub(crate) const fn hot(&self) -> &HotPacks {
        &self.hot
    }

    /// The plain bytes of a pack: from a hot volume, else from afar.
    pub(crate) fn source(&self, row: &PackRow) -> Result<Arc<dyn ReadAt>, RetrieveError> {
        if let Some(source) = self.sources.get(&row.pack) {
            return Ok(source);
        }
        let source = match self.hot.read(PackFile::plain(row.pack)) {
            Ok(file) => {
                let file: Arc<dyn ReadAt> = Arc::new(file);
                self.sources.insert(row.pack, Arc::clone(&file));
                return Ok(file);
            }
            Err(error) => match (self.far.get(), &row.cold) {
                (Some(far), Some(_)) => far.source(row)?,
                _ => return Err(missing(error)),
            },
        };
        Ok(source)
    }

    /// The same for whoever reads a pack once: the file does not stay open.
    pub(crate) fn source_once(&self, row: &PackRow) -> Result<Arc<dyn ReadAt>, RetrieveError> {
        match self.hot.read(PackFile::plain(row.pack)) {
            Ok(file) => Ok(Arc::new(file)),
            Err(_) => self.source(row),
        }
    }

    /// Tells the manifests that lie afar together.
    pub(crate) fn far_manifests(
        &self,
        each: &mut dyn FnMut(PackId, Vec<u8>) -> Result<(), RetrieveError>,
    ) -> Result<(), RetrieveError> {
        self.far.get().map_or(Ok(()), |far| far.manifests(each))
    }

    /// Whether no hot volume at hand holds a pack.
    pub(crate) fn is_bare(&self) -> bool {
        let mut bare = true;
        // One that is found ends the search.
        let _ = self.hot.list(&mut |dir, _| {
            bare = false;
            Err(StoreError::NotHot { name: dir.display().to_string(), gone: 0 })
        });
        bare
    }

    /// Whether packs may lie afar.
    pub(crate) fn has_far(&self) -> bool {
        self.far.get().is_some()
    }

    /// The plain bytes of a pack from afar, past every hot volume.
    pub(crate) fn far_source(&self, row: &PackRow) -> Result<Arc<dyn ReadAt>, RetrieveError> {
        self.far.get().ok_or_else(no_far)?.source(row)
    }

    /// Reads the whole copy that lies afar; none when nothing can lie there.
    pub(crate) fn check_far(&self, row: &PackRow) -> Option<Result<(), RetrieveError>> {
        self.far.get().map(|far| far.check(row))
    }

    /// Puts a copy of the hot pack afar.
    pub(crate) fn put_far(&self, row: &PackRow, now_ms: u64) -> Result<ColdCopy, RetrieveError> {
        let hot = self.hot.read(PackFile::plain(row.pack)).map_err(missing)?;
        self.far.get().ok_or_else(no_far)?.put(row, Arc::new(hot), now_ms)
    }

    /// A pack with its manifest, from memory or from what the index kept of it, else by reading its end.
    pub(crate) fn open_pack(&self, index: &dyn Index, row: &PackRow) -> Result<OpenPack, RetrieveError> {
        let source = self.source(row)?;
        if let Some(manifest) = self.manifests.get(&row.pack) {
            return Ok(Pack::with(source, manifest));
        }
        let kept = index.manifest(row.pack)?.and_then(|kept| Manifest::of_kept(&kept).ok());
        let pack = match kept {
            Some(manifest) => Pack::with(source, Arc::new(manifest)),
            None => {
                let pack = Pack::open(source)?;
                index.put_manifest(row.pack, &pack.manifest().to_kept()?)?;
                if index.pack(row.pack)?.is_none() {
                    // Destroyed meanwhile: nothing of it may be kept.
                    index.forget_pack(row.pack)?;
                }
                pack
            }
        };
        self.manifests.insert(row.pack, Arc::clone(pack.manifest()));
        Ok(pack)
    }

    /// Nothing of a pack stays open or in memory.
    pub(crate) fn forget(&self, pack: PackId) {
        self.sources.invalidate(&pack);
        self.manifests.invalidate(&pack);
    }

    /// Removes the hot copies of a pack.
    pub(crate) fn remove_hot(&self, pack: PackId) -> Result<(), StoreError> {
        self.forget(pack);
        self.hot.remove(PackFile::plain(pack)).map(drop)
    }

    /// Destroys every copy of a pack, hot and far.
    pub(crate) fn destroy(&self, row: &PackRow) -> Result<(), RetrieveError> {
        self.forget(row.pack);
        let removed = self.hot.remove(PackFile::plain(row.pack))?;
        if removed.gone > 0 {
            return Err(RetrieveError::Unavailable { what: format!("{} hot volumes are gone", removed.gone) });
        }
        match (self.far.get(), &row.cold) {
            (Some(far), _) => far.forget(row),
            (None, Some(_)) => {
                Err(RetrieveError::Unavailable { what: "the cloud store of a cold copy is not configured".into() })
            }
            (None, None) => Ok(()),
        }
    }

    /// Checks every byte of a pack wherever it is read from, against its own manifest and what was recorded of it.
    pub(crate) fn check(&self, row: &PackRow) -> Result<(), RetrieveError> {
        let pack = Pack::open(self.source(row)?)?;
        let len = pack.verify()?;
        let about = pack.manifest().about();
        if len != row.len || about.facility != row.series.study.facility || about.series != row.series.series {
            return Err(RetrieveError::Damaged { what: "it is another pack than was recorded".into() });
        }
        Ok(())
    }

    /// Opens a pack from a hot volume by its own manifest and checks every byte of it; gives the whole manifest.
    pub(crate) fn check_hot(&self, pack: PackId) -> Result<Arc<Manifest>, RetrieveError> {
        let file = self.hot.read(PackFile::plain(pack)).map_err(missing)?;
        let pack = Pack::open(file)?;
        pack.verify()?;
        Ok(Arc::clone(pack.manifest()))
    }
}

fn no_far() -> RetrieveError {
    RetrieveError::Unavailable { what: "no bucket is configured".into() }
}

fn missing(error: StoreError) -> RetrieveError {
    RetrieveError::Unavailable { what: format!("a pack is not at hand: {error}") }
}

/// Where a reading of an instance that begins at `at` and is to end about `end` ends with a piece of it: with the last
/// one by then, if any ends by then, and else with the one that lies there.
pub(crate) fn close(pack: &OpenPack, slot: u32, at: u64, end: u64) -> (Option<u64>, Option<u64>) {
    let instance = usize::try_from(slot).ok().and_then(|slot| pack.instance(slot).ok());
    let (mut close, mut within) = (0u64, None);
    for piece in instance.iter().flat_map(|instance| &instance.pieces) {
        close = close.saturating_add(piece.raw);
        if close > end {
            return (within, Some(close));
        }
        within = Some(close).filter(|close| *close > at);
    }
    (within, None)
}

/// Bytes of an instance that lies in a slot of a pack.
pub(crate) fn range(pack: &OpenPack, slot: u32, range: Range<u64>) -> Result<Vec<u8>, RetrieveError> {
    let slot = usize::try_from(slot).map_err(|_| PackError::Missing { what: "slot", asked: u64::from(slot) })?;
    Ok(pack.range(slot, range)?)
}

/// Gives bytes of an instance that lies in a slot of a pack to `each`, in order, as they are decoded.
pub(crate) fn pour(
    pack: &OpenPack,
    slot: u32,
    range: Range<u64>,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<(), RetrieveError> {
    let slot = usize::try_from(slot).map_err(|_| PackError::Missing { what: "slot", asked: u64::from(slot) })?;
    Ok(pack.pour(slot, range, each)?)
}
