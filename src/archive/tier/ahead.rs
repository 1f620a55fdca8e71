//! Ahead of the patient: whoever has an appointment, or is admitted, finds the earlier studies that matter on the hot
//! volumes.
//!
//! Who is expected within the window follows from the rows of orders and visits ([`crate::charts`]), which studies matter
//! from the index, what is to be fetched from where packs lie: nothing is kept for it but until when packs stay, and a
//! start finds all of it again. Fetching comes after everything that somebody waits for, at a bounded rate.
//! Deliberately not here: how a pack is brought back ([`super::recall`]), and prefetching that a caller asks for.

mod priors;
mod queue;
mod region;

use super::status::Lying;
use super::wishes::Why;
use crate::charts::{ChartError, Expected, ExpectedName};
use crate::error::{FindError, OpenError};
use crate::open::Archive;
use crate::scrub::Pace;
use crate::worker;
use model::PackId;
use parking_lot::Mutex;
use queue::Queue;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::hot::VolumeState;

/// Who is expected is looked at so often ...
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// ... and, when something was said of anybody, at most so often.
const LOOK_LEAST: Duration = Duration::from_secs(2);
/// Longest turn of fetching, but for a pack that is under way.
const TURN: Duration = Duration::from_secs(1);
/// While so many objects are on their way out of an archive class, no further one is asked for ahead.
const RESTORES_MAX: usize = 500;

/// How studies are fetched ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AheadOptions {
    /// Whether they are.
    pub enabled: bool,
    /// So long before an appointment.
    pub window: Duration,
    /// So long after it what was fetched stays hot, and is still fetched where that did not succeed before.
    pub keep: Duration,
    /// Most studies for an appointment.
    pub studies: usize,
    /// Most bytes for an appointment.
    pub bytes: u64,
    /// Studies that are older than so many years are left.
    pub years: u16,
    /// Most bytes fetched in a second; 0 is unbounded.
    pub rate: u64,
    /// So much stays free on a hot volume beside its reserve, in bytes.
    pub free: u64,
    /// Whether studies of the same person at other facilities are fetched, too.
    pub linked: bool,
}

impl Default for AheadOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(12 * 3600),
            keep: Duration::from_secs(24 * 3600),
            studies: 5,
            bytes: 4 << 30,
            years: 5,
            rate: 32 << 20,
            free: 10 << 30,
            linked: false,
        }
    }
}

/// What is fetched ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AheadStatus {
    /// Whether it is done at all.
    pub enabled: bool,
    /// Those who are expected within the window, and whose studies were looked for.
    pub appointments: u64,
    /// Of those, for whom nothing is to be fetched any more.
    pub ready: u64,
    /// Packs to be fetched.
    pub waiting: Lying,
    /// Whether they wait because the hot volumes have no room for them.
    pub crowded: bool,
}

/// Who is expected, and what is to be fetched for them.
#[derive(Default)]
pub(crate) struct Ahead {
    queue: Mutex<Queue>,
    /// Whether anybody was looked for since the start: before that nobody knows what has to stay.
    looked: AtomicBool,
    crowded: AtomicBool,
}

/// Starts the thread that looks who is expected.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<Option<JoinHandle<()>>, OpenError> {
    if !archive.fetches_ahead() {
        return Ok(None);
    }
    let (mut looked, mut more) = (None::<Instant>, false);
    let worker = worker::every(archive, "prefetch", move |archive| {
        let since = looked.map(|at| at.elapsed());
        if since.is_some_and(|since| since < LOOK_LEAST) || archive.health().reason().is_some() {
            return;
        }
        let changed = archive.charts().took_change();
        if !changed && !more && since.is_some_and(|since| since < LOOK_EVERY) {
            return;
        }
        looked = Some(Instant::now());
        more = archive.look_ahead().unwrap_or_else(|error| {
            tracing::warn!(%error, "earlier studies of those who are expected cannot be looked for; trying again");
            false
        });
    })?;
    Ok(Some(worker))
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Archive {
    fn fetches_ahead(&self) -> bool {
        self.options().ahead.enabled && self.options().background && self.tiers().cloud().is_some()
    }

    /// Looks who is expected, and what is to be fetched for them; whether more of them wait.
    pub(crate) fn look_ahead(&self) -> Result<bool, FindError> {
        let (tiers, options) = (self.tiers(), &self.options().ahead);
        let found = self.look_ahead_now(options);
        // Whatever came of it: the hot volumes must not fill because of an index that does not answer.
        tiers.ahead.looked.store(true, Ordering::Release);
        tiers.holds.forget_before(self.now_ms());
        found
    }

    fn look_ahead_now(&self, options: &AheadOptions) -> Result<bool, FindError> {
        let (tiers, now) = (self.tiers(), self.now_ms());
        tiers.ahead.queue.lock().forget(&self.charts().took_persons());
        let from = now.saturating_sub(millis(options.keep));
        let expected = self.charts().expected(from, now.saturating_add(millis(options.window)));
        let failed = |error: ChartError| FindError::Unavailable { what: error.to_string() };
        let mut called_off = |name: &ExpectedName, start| self.charts().is_called_off(name, start).map_err(failed);
        let settled = tiers.ahead.queue.lock().settle(expected, now, &mut called_off)?;
        metrics::counter!("khoanh_prefetch_canceled_total").increment(settled.canceled);
        metrics::counter!("khoanh_prefetch_late_total").increment(settled.late);
        for expected in settled.fresh {
            if self.stopping().load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.prepare_for(expected, options)?;
        }
        let unneeded = tiers.ahead.queue.lock().unneeded(settled.free);
        unneeded.into_iter().for_each(|pack| tiers.holds.forget(pack));
        Ok(settled.more)
    }

    /// Looks for the studies of one who is expected: what is hot stays so, what is not is to be fetched.
    fn prepare_for(&self, expected: Expected, options: &AheadOptions) -> Result<(), FindError> {
        let tiers = self.tiers();
        let until = expected.start.saturating_add(millis(options.keep));
        let mut packs = Vec::new();
        for pack in self.priors(&expected, options)? {
            // What lies in no tier at hand cannot be fetched.
            if pack.hot || pack.cold.is_some() {
                tiers.holds.note(pack.pack, until.max(tiers.holds.last(pack.pack).unwrap_or(0)));
                packs.push((pack.pack, pack.len, pack.hot));
            }
        }
        metrics::counter!("khoanh_prefetch_appointments_total").increment(1);
        tiers.ahead.queue.lock().put(expected, until, &packs);
        Ok(())
    }

    /// Fetches what is needed soonest, for a while, as long as nobody waits for anything else.
    pub(super) fn fetch_ahead(self: &Arc<Self>) {
        if !self.fetches_ahead() {
            return;
        }
        let (tiers, began) = (self.tiers(), Instant::now());
        while began.elapsed() < TURN && !self.stopping().load(Ordering::Relaxed) && !tiers.weather.rests() {
            if tiers.wishes.waiting() > 0 {
                return;
            }
            let rests = |pack: PackId| tiers.failing.rests(pack) || tiers.wishes.is_restoring(pack);
            let next = tiers.ahead.queue.lock().next(&rests);
            let Some((pack, len)) = next else {
                tiers.ahead.crowded.store(false, Ordering::Relaxed);
                return;
            };
            let crowded = !self.has_room_ahead(len);
            tiers.ahead.crowded.store(crowded, Ordering::Relaxed);
            if crowded {
                return;
            }
            if !self.fetch_one_ahead(pack) {
                return;
            }
        }
    }

    /// Fetches one pack; whether to go on with the next.
    fn fetch_one_ahead(self: &Arc<Self>, pack: PackId) -> bool {
        let (tiers, rate) = (self.tiers(), self.options().ahead.rate);
        let (mut pace, mut wanted) = (Pace::new(rate), false);
        let stops = || self.stopping().load(Ordering::Relaxed);
        let interrupts = || stops() || (tiers.wishes.is_any_wanted() && !tiers.weather.rests());
        let mut between = |bytes: u64| {
            let mut bytes = bytes;
            // Whoever waits for a pack goes first, also in the middle of this one; and who waits for this one, for no rate.
            loop {
                wanted |= self.recall_wanted_beside(pack);
                if rate == 0 || wanted || pace.take(std::mem::take(&mut bytes), &interrupts) || stops() {
                    return;
                }
            }
        };
        match self.recall_now(pack, &mut between) {
            Ok(fetched) => {
                tiers.failing.done(pack);
                tiers.ahead.queue.lock().done(pack);
                if let Some(bytes) = fetched {
                    tiers.promises.make(pack);
                    metrics::counter!("khoanh_prefetch_packs_total").increment(1);
                    metrics::counter!("khoanh_prefetch_bytes_total").increment(bytes);
                }
                true
            }
            Err(error) if error.is_archived() => {
                self.want_restored_ahead(pack, wanted);
                true
            }
            Err(error) => {
                let everywhere = tiers.failed(pack, "prefetch", &error, self.now_ms());
                if everywhere && wanted {
                    tiers.wishes.recall(pack, Why::Wanted);
                }
                !everywhere
            }
        }
    }

    /// A pack lies in an archive class. Once it can be read, it is fetched as any other: in its turn, where there is room, and
    /// if somebody is still expected.
    fn want_restored_ahead(&self, pack: PackId, wanted: bool) {
        let tiers = self.tiers();
        if wanted || tiers.wishes.restoring() < RESTORES_MAX {
            tiers.want_restored(pack, self.now_ms(), wanted);
        } else {
            tiers.ahead.queue.lock().leave(pack);
        }
    }

    /// Whether a hot volume has room for a pack that nobody asked for.
    fn has_room_ahead(&self, len: u64) -> bool {
        let least = len.saturating_add(self.options().ahead.free).saturating_add(self.options().packs.reserve);
        let volumes = self.packs().hot().volumes();
        let serving = volumes.iter().filter(|volume| volume.state == VolumeState::Serving);
        serving.filter_map(|volume| volume.free).any(|free| free >= least)
    }

    /// What is fetched ahead, as it stands.
    pub(super) fn ahead_status(&self) -> AheadStatus {
        let counted = self.tiers().ahead.queue.lock().count();
        AheadStatus {
            enabled: self.options().ahead.enabled && self.tiers().cloud().is_some(),
            appointments: counted.appointments,
            ready: counted.ready,
            waiting: Lying { packs: counted.packs, bytes: counted.bytes },
            crowded: self.tiers().ahead.crowded.load(Ordering::Relaxed),
        }
    }

    /// Whether a pack stays on the hot volumes whatever its policy says: somebody is expected who may need it, or asked
    /// for it by hand.
    pub(super) fn stays_for_somebody(&self, pack: PackId) -> bool {
        let (tiers, now) = (self.tiers(), self.now_ms());
        let unknown = self.fetches_ahead() && !tiers.ahead.looked.load(Ordering::Acquire);
        let until = tiers.holds.last(pack).max(tiers.by_hand.last(pack));
        unknown || until.is_some_and(|until| until >= now)
    }
}
