//! Scrubbing: every pack is read again within a cycle, wherever copies of it lie, and what is damaged is repaired
//! from another copy; without another copy it is an alarm that names the study.
//!
//! The pass goes by the names of packs and remembers how far it is over a restart. Its bandwidth is bounded.
//! Deliberately not here: objects that are still in the journal (`khoanh verify` reads those too).

mod state;

use crate::error::{OpenError, RetrieveError};
use crate::open::Archive;
use crate::worker;
use index::PackRow;
use model::pack::PackFact;
use model::{Digest, Fact};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
pub use state::{Alarm, Report};
use state::{State, Stored};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::{PackFile, ReadAt};

/// Packs asked of the index at once.
const PAGE: usize = 100;
/// Bytes read at once.
const STEP: u64 = 1 << 20;
/// How far the pass is, is written down this often.
const NOTE_EVERY: Duration = Duration::from_secs(15);

/// What is known of the pass under way.
#[derive(Default)]
pub(crate) struct Scrub {
    state: Mutex<Option<State>>,
    /// Held by whoever makes the pass.
    turn: Mutex<()>,
    /// Somebody waits for a pass of their own: the one in the background gives way.
    wanted: AtomicBool,
}

/// How much may be read.
pub(crate) struct Pace {
    bytes_per_second: u64,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), begun: Instant::now(), bytes: 0 }
    }

    /// Waits until so many more bytes may be read; false when told to stop.
    pub(crate) fn take(&mut self, bytes: u64, stop: &dyn Fn() -> bool) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let ms = u128::from(self.bytes) * 1_000 / u128::from(self.bytes_per_second);
        let due = Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
        while !stop() {
            let Some(rest) = due.checked_sub(self.begun.elapsed()) else { return true };
            std::thread::sleep(rest.min(Duration::from_millis(50)));
        }
        false
    }
}

/// What became of one copy.
enum Copy {
    Sound,
    Bad(String),
    /// Told to stop in the middle.
    Unfinished,
}

/// Starts the thread that scrubs in cycles.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let stop = archive.stopping();
    worker::every(archive, "scrub", move |archive| {
        if !archive.options().scrub.enabled || archive.health().reason().is_some() {
            return;
        }
        let cycle = u64::try_from(archive.options().scrub.cycle.as_millis()).unwrap_or(u64::MAX);
        let due = archive.with_scrub(|state| state.begins_at(cycle) <= archive.now_ms());
        let Some(_turn) = archive.scrub().turn.try_lock().filter(|_| due) else { return };
        let give_way = || stop.load(Ordering::Relaxed) || archive.scrub().wanted.load(Ordering::Relaxed);
        if let Err(error) = pass(archive, archive.options().scrub.bytes_per_second, &give_way, &mut |_| {}) {
            tracing::warn!(%error, "scrubbing stopped; it goes on later");
        }
    })
}

/// Goes on with the pass, or begins one, until everything was looked at or it is told to stop.
fn pass(
    archive: &Arc<Archive>,
    bytes_per_second: u64,
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(&Report),
) -> Result<(), RetrieveError> {
    let mut pace = Pace::new(bytes_per_second);
    let mut noted = Instant::now();
    archive.with_scrub(|state| state.begin(archive.now_ms()));
    loop {
        let after = archive.with_scrub(|state| state.after());
        let rows = archive.index().packs(after, PAGE)?;
        if rows.is_empty() {
            archive.with_scrub(|state| state.end(archive.now_ms()));
            return archive.note_scrub();
        }
        for row in rows {
            if stop() || !look(archive, &row, &mut pace, stop)? {
                return archive.note_scrub();
            }
            progress(&archive.scrub_report());
            if noted.elapsed() >= NOTE_EVERY {
                noted = Instant::now();
                archive.note_scrub()?;
            }
        }
    }
}

/// Looks at every copy of a pack; false when it was told to stop before that was done.
fn look(
    archive: &Arc<Archive>,
    row: &PackRow,
    pace: &mut Pace,
    stop: &dyn Fn() -> bool,
) -> Result<bool, RetrieveError> {
    let hot = if row.hot { Some(check_hot(archive, row, pace, stop)) } else { None };
    let cold = match &row.cold {
        Some(copy) if pace.take(copy.len, stop) => archive.packs().check_far(row).map(|checked| match checked {
            Ok(()) => Copy::Sound,
            Err(RetrieveError::Damaged { what }) => Copy::Bad(what),
            // Out of reach is no damage: the next pass looks again.
            Err(_) => Copy::Unfinished,
        }),
        Some(_) => return Ok(false),
        None => None,
    };
    if matches!(hot, Some(Copy::Unfinished)) {
        return Ok(false);
    }
    // It may have been replaced, released or destroyed meanwhile.
    if archive.index().pack(row.pack)?.as_ref() != Some(row) {
        archive.with_scrub(|state| state.passed(row, 0, 0));
        return Ok(true);
    }
    let bad = |copy: &Option<Copy>| match copy {
        Some(Copy::Bad(what)) => Some(what.clone()),
        _ => None,
    };
    let (bad_hot, bad_cold) = (bad(&hot), bad(&cold));
    let found = u64::from(bad_hot.is_some()) + u64::from(bad_cold.is_some());
    let mut repaired = 0;
    let mut reasons = Vec::new();
    if let Some(what) = bad_hot {
        tracing::error!(pack = %row.pack, %what, "a hot copy is damaged");
        match repair_hot(archive, row, matches!(cold, Some(Copy::Sound))) {
            Ok(()) => repaired += 1,
            Err(error) => reasons.push(format!("hot: {what}; not repaired: {error}")),
        }
    }
    if let Some(what) = bad_cold {
        tracing::error!(pack = %row.pack, %what, "a cold copy is damaged");
        match repair_cold(archive, row, matches!(hot, Some(Copy::Sound))) {
            Ok(()) => repaired += 1,
            Err(error) => reasons.push(format!("cold: {what}; not repaired: {error}")),
        }
    }
    metrics::counter!("khoanh_scrub_packs_total").increment(1);
    metrics::counter!("khoanh_scrub_bytes_total").increment(row.len);
    metrics::counter!("khoanh_scrub_damaged_total").increment(found);
    metrics::counter!("khoanh_scrub_repaired_total").increment(repaired);
    archive.with_scrub(|state| {
        state.passed(row, found, repaired);
        state.alarm(row, (!reasons.is_empty()).then(|| reasons.join("; ")), archive.now_ms());
    });
    Ok(true)
}

fn check_hot(archive: &Archive, row: &PackRow, pace: &mut Pace, stop: &dyn Fn() -> bool) -> Copy {
    let file = match archive.packs().hot().read(PackFile::plain(row.pack)) {
        Ok(file) => file,
        Err(error) => return Copy::Bad(error.to_string()),
    };
    // What the memory holds says nothing of the disk.
    file.drop_cached();
    match digest(&file, &mut |bytes| pace.take(bytes, stop)) {
        Ok(Some(found)) if found == row.sha256 && file.len() == row.len => Copy::Sound,
        Ok(Some(_)) => Copy::Bad("its bytes are not those that were written".into()),
        Ok(None) => Copy::Unfinished,
        Err(error) => Copy::Bad(format!("it cannot be read: {error}")),
    }
}

/// SHA-256 of everything; none when told to stop.
fn digest(source: &dyn ReadAt, next: &mut dyn FnMut(u64) -> bool) -> std::io::Result<Option<Digest>> {
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < source.len() {
        let end = source.len().min(at + STEP);
        if !next(end - at) {
            return Ok(None);
        }
        hasher.update(source.read_at(at..end)?);
        at = end;
    }
    Ok(Some(Digest(hasher.finalize().into())))
}

/// Writes the hot copy anew from the cold one, which was read whole just now.
fn repair_hot(archive: &Arc<Archive>, row: &PackRow, other_is_sound: bool) -> Result<(), RetrieveError> {
    if !other_is_sound {
        return Err(RetrieveError::Unavailable { what: "no other sound copy is at hand".into() });
    }
    let _still = archive.rewriting().read();
    let source = archive.packs().far_source(row)?;
    let failed = |what: String| RetrieveError::Unavailable { what };
    let file = PackFile::plain(row.pack);
    // The damaged file would otherwise answer on its volume.
    archive.packs().remove_hot(row.pack)?;
    let mut writer = archive.packs().hot().create(file, row.len)?;
    let mut at = 0;
    while at < row.len {
        let end = row.len.min(at + STEP);
        let bytes = source.read_at(at..end).map_err(|error| failed(error.to_string()))?;
        writer.write_all(&bytes).map_err(|error| failed(error.to_string()))?;
        at = end;
    }
    let written = writer.finish()?;
    if written.digest != row.sha256.0 {
        archive.packs().remove_hot(row.pack)?;
        return Err(RetrieveError::Damaged { what: "the cold copy is not the pack that was recorded".into() });
    }
    archive.packs().forget(row.pack);
    tracing::warn!(pack = %row.pack, "a hot copy was written anew from the cold one");
    Ok(())
}

/// Puts the cold copy anew from the hot one, which was read whole just now.
fn repair_cold(archive: &Arc<Archive>, row: &PackRow, other_is_sound: bool) -> Result<(), RetrieveError> {
    if !other_is_sound {
        return Err(RetrieveError::Unavailable { what: "no other sound copy is at hand".into() });
    }
    let _still = archive.rewriting().read();
    let copy = archive.packs().put_far(row, archive.now_ms())?;
    let fact = PackFact::Tiered { pack: row.pack, copy };
    let failed = |error: crate::IngestError| RetrieveError::Unavailable { what: error.to_string() };
    archive.record(Fact::Pack(Box::new(fact))).map_err(failed)?;
    tracing::warn!(pack = %row.pack, "a cold copy was put anew from the hot one");
    Ok(())
}

impl Archive {
    /// What scrubbing has found so far.
    pub fn scrub_report(&self) -> Report {
        self.with_scrub(|state| state.report())
    }

    /// A whole pass now, as fast as the disks give; `progress` hears the report so far, `stop` ends it early.
    ///
    /// # Errors
    /// When the index does not answer, or how far the pass is cannot be written down.
    pub fn scrub_now(
        self: &Arc<Self>,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Report),
    ) -> Result<Report, RetrieveError> {
        self.scrub().wanted.store(true, Ordering::Relaxed);
        let _turn = self.scrub().turn.lock();
        self.scrub().wanted.store(false, Ordering::Relaxed);
        self.with_scrub(State::restart);
        pass(self, u64::MAX, &|| stop.load(Ordering::Relaxed), progress)?;
        Ok(self.scrub_report())
    }

    fn with_scrub<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.scrub().state.lock();
        with(state.get_or_insert_with(|| Stored::read(&self.options().data)))
    }

    fn note_scrub(&self) -> Result<(), RetrieveError> {
        let stored = self.with_scrub(|state| state.stored());
        let failed = |error: std::io::Error| RetrieveError::Unavailable { what: format!("scrub.json: {error}") };
        stored.write(&self.options().data).map_err(failed)
    }
}
