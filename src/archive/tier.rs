//! Hot and cold: which packs lie where, and how they get there.
//!
//! Bytes are moved by the store's libraries; here is decided what moves when, in what order facts and bytes change,
//! and what is done when the cloud is away. The order is that of DESIGN section 4: a copy is recorded when it was read
//! back, the hot pack goes after that is recorded, and a recalled one is recorded when it was read back in turn; a kill
//! between any two steps leaves a verified copy and at most a file or object that the sweep removes.
//! Deliberately not here: how long anything is kept (retention), and what a pack is inside.

mod ahead;
mod availability;
mod catalogues;
pub mod cloud;
mod copied;
mod epochs;
mod far;
mod keeping;
mod locks;
mod moves;
mod options;
pub mod policy;
mod prefetch;
mod reads;
mod recall;
mod ring;
mod status;
mod walk;
mod weather;
mod wishes;

pub use ahead::{AheadOptions, AheadStatus};
pub use keeping::{KeyState, Rotated};
pub use locks::LockTally;
pub use options::{CloudOptions, EpochOptions, KeyOptions};
pub use prefetch::{Prefetch, Prefetched};
pub use status::{CloudStatus, Lying, Tally, TierStatus, VolumeStatus};
pub use weather::Away;

pub(crate) use ahead::start as start_ahead;
pub(crate) use epochs::secret;
pub(crate) use far::FarCloud;
pub(crate) use locks::start as start_locks;
pub(crate) use prefetch::Promises;
pub(crate) use recall::start as start_recalls;
pub(crate) use ring::{KeyRing, Ring};
pub(crate) use walk::start as start_walk;

use crate::error::OpenError;
use crate::open::Archive;
use crate::options::Options;
use ahead::Ahead;
use catalogues::Catalogues;
use cloud::{Cloud, PackName};
use index::{PackRow, SeriesRow};
use locks::Locks;
use model::PackId;
use model::attribute::key;
use moka::sync::Cache;
use parking_lot::Mutex;
use policy::{PackFacts, Policies, Recall};
use reads::Reads;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use walk::Walked;
use weather::{Resting, Weather};
use wishes::{Why, Wishes};

/// Newly written packs that are looked at before their turn; further ones wait for it.
const FRESH_MAX: usize = 65_536;
/// For so long a pack that is read often is asked about its policy once.
const ASKED_FOR: Duration = Duration::from_secs(600);
/// Packs about which that is remembered.
const ASKED_MAX: u64 = 65_536;

/// The tiers of an archive.
pub(crate) struct Tiers {
    keys: Arc<KeyRing>,
    cloud: Option<Arc<Cloud>>,
    policies: Policies,
    fresh: Mutex<VecDeque<PackId>>,
    weather: Weather,
    failing: Resting<PackId>,
    reads: Reads,
    /// Until when packs stay hot because somebody is expected.
    holds: Reads,
    /// Until when packs stay hot because somebody asked for them by hand.
    by_hand: Reads,
    ahead: Ahead,
    locks: Locks,
    catalogues: Catalogues,
    wishes: Wishes,
    promises: Promises,
    asked: Cache<PackId, ()>,
    walked: Mutex<Walked>,
    hurried: AtomicBool,
    volume_gone: AtomicBool,
}

impl Tiers {
    /// Opens what the options name.
    ///
    /// # Errors
    /// Those of the cloud; see [`Cloud::open`].
    pub(crate) fn open(options: &Options) -> Result<Arc<Self>, OpenError> {
        let keys = Arc::new(KeyRing::new(options));
        let cloud = match &options.cold {
            Some(cold) => {
                let clock = Arc::clone(&options.clock);
                Some(Arc::new(Cloud::beside(keys.open()?, cold.clone(), &options.data, clock)?))
            }
            None => None,
        };
        let path = options.data.join("restores.json");
        let failed = |e| OpenError::Thread { what: format!("the restores in {}: {e}", path.display()) };
        let wishes = Wishes::open(path.clone()).map_err(failed)?;
        Ok(Arc::new(Self {
            keys,
            cloud,
            policies: options.policies.clone(),
            fresh: Mutex::default(),
            weather: Weather::default(),
            failing: Resting::default(),
            reads: Reads::open(options.data.join("reads")),
            holds: Reads::open(options.data.join("holds")),
            by_hand: Reads::open(options.data.join("by-hand")),
            ahead: Ahead::default(),
            locks: Locks::default(),
            catalogues: Catalogues::default(),
            wishes,
            promises: Promises::default(),
            asked: Cache::builder().max_capacity(ASKED_MAX).time_to_live(ASKED_FOR).build(),
            walked: Mutex::default(),
            hurried: AtomicBool::new(false),
            volume_gone: AtomicBool::new(false),
        }))
    }

    /// The keys of sealed packs and facts.
    pub(crate) fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// The cloud, where there is one.
    pub(crate) fn cloud(&self) -> Option<&Arc<Cloud>> {
        self.cloud.as_ref()
    }

    /// Locks that may have to follow the rules.
    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// A pack was written: it is looked at before its turn.
    pub(crate) fn fresh(&self, pack: PackId) {
        let mut fresh = self.fresh.lock();
        if self.cloud.is_some() && fresh.len() < FRESH_MAX {
            fresh.push_back(pack);
        }
    }

    /// Nothing is remembered of a pack that is destroyed.
    pub(crate) fn forget(&self, pack: PackId) {
        self.reads.forget(pack);
        self.holds.forget(pack);
        self.by_hand.forget(pack);
        self.asked.invalidate(&pack);
        if let Err(error) = self.wishes.restored(pack) {
            tracing::warn!(%pack, %error, "a restore is not struck out");
        }
    }

    /// Ends what waits for the cloud, and keeps what is worth keeping.
    pub(crate) fn stop(&self) {
        if let Some(cloud) = &self.cloud {
            cloud.stop();
        }
        self.reads.save(true);
        self.holds.save(true);
        self.by_hand.save(true);
    }

    /// Somebody asked for a pack by hand: it stays hot until then, whatever a policy says, which would release it again
    /// at once.
    fn keep_by_hand(&self, pack: PackId, until: u64) {
        self.by_hand.note(pack, until.max(self.by_hand.last(pack).unwrap_or(0)));
    }

    /// Tries at once what rests, and begins a walk.
    pub(crate) fn hurry(&self) {
        self.weather.hurry();
        self.failing.hurry();
        self.locks.again();
        self.hurried.store(true, Ordering::Relaxed);
    }

    /// What the policies are asked with.
    fn facts(&self, row: &PackRow, series: Option<&SeriesRow>, now_ms: u64) -> PackFacts {
        let since = |at: u64| Duration::from_millis(now_ms.saturating_sub(at));
        let modality = series.and_then(|series| series.attributes.get(&key::MODALITY));
        PackFacts {
            facility: row.series.study.facility,
            modality: modality.map(|name| name.trim().to_owned()).unwrap_or_default(),
            bytes: row.len,
            age: since(series.map_or(row.packed_at, |series| series.last_received)),
            unread: since(self.reads.last(row.pack).unwrap_or(0).max(row.packed_at)),
            hot: row.hot,
            cold: row.cold.is_some(),
        }
    }

    /// A pack is being read: from now on it is not unread, and where its policy says so it comes back whole.
    pub(crate) fn was_read(&self, archive: &Archive, row: &PackRow) {
        let now = archive.now_ms();
        self.reads.note(row.pack, now);
        if self.promises.is_kept(row.pack) {
            metrics::counter!("khoanh_prefetch_hits_total").increment(1);
        }
        if row.hot || self.cloud.is_none() || self.asked.contains_key(&row.pack) {
            return;
        }
        self.asked.insert(row.pack, ());
        let series = archive.index().series(&row.series).ok().flatten();
        let facts = self.facts(row, series.as_ref(), now);
        if self.policies.recall(&facts) == Recall::Hot {
            self.wishes.recall(row.pack, Why::Wanted);
        }
    }
}

/// What the cloud calls a pack.
fn name_of(row: &PackRow) -> PackName {
    PackName { pack: row.pack, facility: row.series.study.facility, len: row.len, sha256: row.sha256 }
}
