//! The cloud as the archive sees it: a bucket, the keys of what lies there sealed, and the cache of what was read.
//!
//! A put ends in a [`ColdCopy`] only when the object was read back and compared. A read is one ranged GET for each
//! range that the cache does not hold. Destroying ends with the key first: nothing opens a sealed copy any more, also
//! where the bucket cannot be reached or a lock keeps the object.
//! Deliberately not here: what goes to the cloud and when, and facts; see the module above.

mod clients;
mod doubting;

pub(crate) use clients::connect;

use super::options::{CloudOptions, KeyOptions};
use super::ring::Ring;
use crate::clock::Clock;
use crate::error::OpenError;
use clients::{fingerprint, kept_probe};
use doubting::Doubting;
use model::pack::ColdCopy;
use model::{Digest, FacilityCode};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::cache::{CacheStats, PieceCache, ThroughCache};
use store::cold::{
    Availability, BucketProbe, Cold, ColdFault, ColdObject, ColdOptions, Destroyed, Lock, PutOptions, RestoreTier,
    Throttle,
};
use store::envelope::{Header, OpenedPack, SealedPack};
use store::keys::KeyStore;
use store::{PackFile, PackId, ReadAt, StoreError};

/// Packs whose key is held open for reading.
const OPEN_PACKS: u64 = 256;
/// A key is not held longer than this after the last reading.
const OPEN_FOR: Duration = Duration::from_secs(60);
/// Bytes of a pack read at a time to compare its digest.
const STEP: u64 = 4 << 20;
/// A probe at start must not hold up the start of a bucket that is away.
const PROBE_CONNECT: Duration = Duration::from_secs(5);
/// The same for an answer.
const PROBE_ANSWER: Duration = Duration::from_secs(30);

/// What a pack is, for a put and for reading it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackName {
    /// The pack.
    pub pack: PackId,
    /// Facility of its series: whose epoch key wraps its key.
    pub facility: FacilityCode,
    /// Length of the plain pack in bytes.
    pub len: u64,
    /// SHA-256 of the plain pack.
    pub sha256: Digest,
}

/// How long a copy must be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// The end of it, milliseconds since 1970 UTC.
    pub until: Option<u64>,
    /// Whether a legal hold stands.
    pub held: bool,
}

/// What destroying a pack in the cloud came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Whether a key was there and is destroyed now.
    pub key: bool,
    /// Pieces of it removed from the cache.
    pub pieces: usize,
    /// Versions, markers and uploads removed from the bucket.
    pub objects: Destroyed,
}

/// The cloud, open.
pub struct Cloud {
    options: CloudOptions,
    cold: Arc<Cold>,
    ring: Arc<Ring>,
    cache: Arc<PieceCache>,
    sources: moka::sync::Cache<PackId, Arc<dyn ReadAt>>,
    /// Packs destroyed since start: whoever was just opening one does not bring it back.
    gone: Mutex<HashSet<PackId>>,
    probe: Mutex<Option<BucketProbe>>,
    /// The clients of a probe under way, for a stop.
    probing: Mutex<Option<Arc<Cold>>>,
    clock: Arc<dyn Clock>,
}

impl Cloud {
    /// Opens key store, cache and clients. The bucket is asked only where `worm` depends on it; otherwise the archive
    /// starts also while the bucket is away, and [`Cloud::probe`] is called by whoever uses it first.
    ///
    /// # Errors
    /// Options, keys and cache that cannot be used; with `worm` a bucket that does not keep what is locked, or that
    /// cannot be asked and never was.
    pub fn open(
        options: CloudOptions,
        keys: &KeyOptions,
        data: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::beside(Arc::new(Ring::open(keys, data)?), options, data, clock)
    }

    /// The same beside a key store that is open.
    pub(super) fn beside(
        ring: Arc<Ring>,
        options: CloudOptions,
        data: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let work = data.join("cold").join(fingerprint(&options));
        let cold = Arc::new(connect(&options, work.clone(), Arc::clone(&clock))?);
        let cache = options.cache.clone().unwrap_or_else(|| data.join("cache"));
        let cloud = Self {
            cold,
            ring,
            cache: Arc::new(PieceCache::open(&cache, options.cache_bytes)?),
            sources: moka::sync::Cache::builder().max_capacity(OPEN_PACKS).time_to_idle(OPEN_FOR).build(),
            gone: Mutex::default(),
            probe: Mutex::new(kept_probe(&work)),
            probing: Mutex::default(),
            clock,
            options,
        };
        if cloud.options.worm {
            cloud.require_worm()?;
        }
        Ok(cloud)
    }

    /// Asks the bucket what it can do, prints that to the log and keeps it in the data directory.
    ///
    /// # Errors
    /// Only what makes the bucket useless at all; [`ColdFault::passes`] where asking later may help.
    pub fn probe(&self) -> Result<BucketProbe, StoreError> {
        let asked = ColdOptions {
            retries: 1,
            connect_timeout: PROBE_CONNECT,
            read_timeout: PROBE_ANSWER,
            request_timeout: PROBE_ANSWER,
            ..self.cold.options().clone()
        };
        let clients = Arc::new(Cold::open(asked, Throttle::unbounded())?);
        *self.probing.lock() = Some(Arc::clone(&clients));
        let probe = clients.probe();
        *self.probing.lock() = None;
        let probe = probe?;
        for line in probe.to_string().lines() {
            tracing::info!("cold {line}");
        }
        let deletes = probe.lifecycle.as_ref().is_some_and(|lifecycle| !lifecycle.deletes.is_empty());
        if deletes {
            tracing::error!(bucket = probe.bucket, "the bucket deletes objects by itself: remove that lifecycle rule");
        }
        *self.probe.lock() = Some(probe.clone());
        Ok(probe)
    }

    /// The newest answer of the bucket, of this start or an earlier one.
    pub fn last_probe(&self) -> Option<BucketProbe> {
        self.probe.lock().clone()
    }

    /// Refuses a bucket that cannot keep what is locked. One that cannot be asked just now counts by its last answer:
    /// ingest and local reads need no cloud.
    fn require_worm(&self) -> Result<(), OpenError> {
        match (self.probe(), self.last_probe()) {
            (Ok(probe), _) => Ok(probe.require_worm()?),
            (Err(error), Some(kept)) if error.cold_fault().is_some_and(ColdFault::passes) => {
                tracing::warn!(%error, "the bucket cannot be asked; its last answer counts");
                Ok(kept.require_worm()?)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Puts a pack and reads it back; kept until, in milliseconds since 1970 UTC, what is asked for or what the options
    /// ask for, whichever is later. After any failure ask again: what arrived is not sent again.
    ///
    /// # Errors
    /// [`StoreError::ReadBack`] where the source is not the pack: it is not sent. [`StoreError::KeyDestroyed`];
    /// those of keys and bucket.
    pub fn put(&self, name: &PackName, source: &dyn ReadAt, keep: Keep) -> Result<ColdCopy, StoreError> {
        // The digest stands in for the bytes in the envelope: sealing others under it would give two texts one nonce.
        if source.len() != name.len || digest(source)? != name.sha256.0 {
            return Err(StoreError::ReadBack { path: PathBuf::from(PackFile::plain(name.pack).to_string()) });
        }
        let mut options = PutOptions {
            storage_class: self.options.storage_class.clone(),
            lock: self.lock(keep.until),
            hold: self.options.worm && keep.held,
            ..PutOptions::default()
        };
        let put = if self.options.sealed {
            let key = self.key(name)?;
            let sealed = SealedPack::new(source, name.pack, &key, &name.sha256.0)?;
            self.cold.put(&self.cold.pack_key(PackFile::sealed(name.pack)), &sealed, &options)?
        } else {
            options.digest = Some(name.sha256.0);
            self.cold.put(&self.cold.pack_key(PackFile::plain(name.pack)), source, &options)?
        };
        Ok(ColdCopy {
            key: put.key,
            version: put.version,
            len: put.len,
            sha256: Digest(put.digest),
            sealed: self.options.sealed,
            class: options.storage_class,
            locked_until: put.lock.map(|lock| lock.until.saturating_mul(1_000)),
            held: put.hold,
            at: self.clock.now_ms(),
        })
    }

    /// The key of a pack: a new one, or the one a broken-off put has made.
    fn key(&self, name: &PackName) -> Result<store::keys::DataKey, StoreError> {
        self.ring.epochs.begin_first(name.facility, self.clock.now_ms())?;
        match self.ring.keys.create(name.facility, name.pack) {
            Err(StoreError::KeyExists { .. }) => self.ring.keys.get(name.pack),
            answer => answer,
        }
    }

    fn lock(&self, until: Option<u64>) -> Option<Lock> {
        if !self.options.worm {
            return None;
        }
        let least = u64::try_from(self.options.lock_for.as_millis()).unwrap_or(u64::MAX);
        let least = self.clock.now_ms().saturating_add(least);
        let until = until.map_or(least, |until| until.max(least));
        Some(Lock { mode: self.options.lock_mode, until: until.div_ceil(1_000) })
    }

    /// Lengthens the lock of a copy, and lays a legal hold on it or takes ours away; the bucket is asked afterwards what
    /// stands. Gives the copy as it is now.
    ///
    /// # Errors
    /// What the bucket says; [`ColdFault::Refused`] where it does not show what it took.
    pub fn follow(&self, copy: &ColdCopy, keep: Keep) -> Result<ColdCopy, StoreError> {
        let later = keep.until.filter(|until| copy.locked_until.is_none_or(|locked| *until > locked));
        let lock = later.map(|until| Lock { mode: self.options.lock_mode, until: until.div_ceil(1_000) });
        let hold = (keep.held != copy.held).then_some(keep.held);
        let state = self.cold.keep(&copy.key, copy.version.as_deref(), lock, hold)?;
        let stands = state.lock.map(|lock| lock.until.saturating_mul(1_000));
        Ok(ColdCopy { locked_until: stands.or(copy.locked_until), held: keep.held, ..copy.clone() })
    }

    /// The plain bytes of a pack out of its copy: nothing is fetched before the first read, and then each range
    /// that the cache does not hold by exactly one ranged GET.
    ///
    /// # Errors
    /// Those of the key; those of the bucket come with the reading, as [`StoreError::within`] the error.
    pub fn source(&self, name: &PackName, copy: &ColdCopy) -> Result<Arc<dyn ReadAt>, StoreError> {
        if let Some(open) = self.sources.get(&name.pack) {
            return Ok(open);
        }
        let file = PackFile { pack: name.pack, sealed: copy.sealed };
        let cached = ThroughCache::new(Arc::clone(&self.cache), file, self.object(copy));
        let plain: Arc<dyn ReadAt> = match copy.sealed {
            true => {
                let opened = self.opened(name, cached)?;
                Arc::new(Doubting { far: opened, cache: Arc::clone(&self.cache), file })
            }
            false => Arc::new(cached),
        };
        of_length(name, &*plain)?;
        self.sources.insert(name.pack, Arc::clone(&plain));
        if self.gone.lock().contains(&name.pack) {
            self.sources.invalidate(&name.pack);
            return Err(StoreError::KeyDestroyed { pack: name.pack });
        }
        Ok(plain)
    }

    /// The same, but nothing of it comes from the cache or stays there: for whoever reads it whole.
    ///
    /// # Errors
    /// As [`Cloud::source`].
    pub fn source_past_cache(&self, name: &PackName, copy: &ColdCopy) -> Result<Arc<dyn ReadAt>, StoreError> {
        let plain: Arc<dyn ReadAt> = match copy.sealed {
            true => Arc::new(self.opened(name, self.object(copy))?),
            false => Arc::new(self.object(copy)),
        };
        of_length(name, &*plain)?;
        Ok(plain)
    }

    fn object(&self, copy: &ColdCopy) -> ColdObject {
        ColdObject::new(Arc::clone(&self.cold), &copy.key, copy.version.as_deref(), copy.len)
    }

    fn opened<R: ReadAt>(&self, name: &PackName, sealed: R) -> Result<OpenedPack<R>, StoreError> {
        let key = self.ring.keys.get(name.pack)?;
        OpenedPack::with_header(sealed, &key, &Header::of_plain(name.pack, &key, &name.sha256.0))
    }

    /// Whoever finds bytes of a copy wrong says so: what the cache holds of it is fetched anew.
    pub fn doubt(&self, pack: PackId) {
        self.cache.doubt(PackFile::plain(pack));
        self.cache.doubt(PackFile::sealed(pack));
    }

    /// How soon a copy can be read, as the bucket says.
    ///
    /// # Errors
    /// [`ColdFault::Missing`] where it is not there; whatever kept the bucket from being asked.
    pub fn availability(&self, copy: &ColdCopy) -> Result<Availability, StoreError> {
        self.cold.availability(&copy.key, copy.version.as_deref())
    }

    /// Asks for a copy in an archive class to be readable for so many days.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn restore(&self, copy: &ColdCopy, days: u16, tier: RestoreTier) -> Result<(), StoreError> {
        self.cold.restore(&copy.key, copy.version.as_deref(), days, tier)
    }

    /// Compares a copy with its digest, byte for byte, past the cache.
    ///
    /// # Errors
    /// [`ColdFault::Damaged`] where it differs; else what kept it from being read.
    pub fn verify(&self, copy: &ColdCopy) -> Result<(), StoreError> {
        self.cold.verify(&copy.key, copy.version.as_deref(), copy.len, &copy.sha256.0)
    }

    /// Destroys a pack in the cloud: its key, its pieces in the cache, every version, marker and upload.
    ///
    /// # Errors
    /// Those of keys and cache, then of the bucket: ask again. [`ColdFault::Locked`] where a lock keeps an object;
    /// a sealed one cannot be read any more all the same.
    pub fn forget(&self, pack: PackId, copy: Option<&ColdCopy>) -> Result<Forgotten, StoreError> {
        let mut forgotten = Forgotten::default();
        self.gone.lock().insert(pack);
        forgotten.key = match self.ring.keys.destroy(pack) {
            Err(StoreError::KeyMissing { .. }) => false,
            answer => answer?,
        };
        self.sources.invalidate(&pack);
        forgotten.pieces = self.cache.remove(pack)?;
        let names = [PackFile::plain(pack), PackFile::sealed(pack)].map(|file| self.cold.pack_key(file));
        let other = copy.map(|copy| copy.key.clone()).filter(|key| !names.contains(key));
        for key in names.iter().chain(&other) {
            let Destroyed { versions, markers, uploads } = self.cold.destroy(key)?;
            forgotten.objects.versions += versions;
            forgotten.objects.markers += markers;
            forgotten.objects.uploads += uploads;
        }
        Ok(forgotten)
    }

    /// Takes a copy out of the bucket that is not one any more, damaged say, and keeps the key for the next.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn withdraw(&self, pack: PackId, copy: &ColdCopy) -> Result<Destroyed, StoreError> {
        self.sources.invalidate(&pack);
        self.doubt(pack);
        self.cold.destroy(&copy.key)
    }

    /// Aborts uploads that nobody knows and that began before `before`, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// What the bucket says.
    pub fn sweep_uploads(&self, before: u64) -> Result<u64, StoreError> {
        self.cold.sweep_uploads(before)
    }

    /// What the cache holds and did.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// The key store.
    pub fn keys(&self) -> &KeyStore {
        &self.ring.keys
    }

    /// The bucket.
    pub fn cold(&self) -> &Arc<Cold> {
        &self.cold
    }

    /// The options it was opened with.
    pub fn options(&self) -> &CloudOptions {
        &self.options
    }

    /// Milliseconds since 1970 UTC.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Ends what waits for the bucket's hours and begins no put any more; notes of uploads stay.
    pub fn stop(&self) {
        self.cold.stop();
        if let Some(clients) = &*self.probing.lock() {
            clients.stop();
        }
    }
}

fn of_length(name: &PackName, plain: &dyn ReadAt) -> Result<(), StoreError> {
    match plain.len() == name.len {
        true => Ok(()),
        false => Err(StoreError::Envelope { what: "the copy in the cloud has another length" }),
    }
}

fn digest(source: &dyn ReadAt) -> Result<[u8; 32], StoreError> {
    let (mut sum, mut at, len) = (Sha256::new(), 0, source.len());
    while at < len {
        let end = len.min(at + STEP);
        let read = source.read_at(at..end);
        let failed = |source| StoreError::Io { action: "read", path: PathBuf::from("a pack to be copied"), source };
        sum.update(read.map_err(failed)?);
        at = end;
    }
    Ok(sum.finalize().into())
}
