//! Giving the journal's space back: the oldest segment goes when nothing is read from it any more.
//!
//! What still counts of it is copied forward first: facts beside the journal ([`crate::facts`]), instances that will
//! not be packed (copies in conflict, series that cannot be packed) to the journal's end. Then the index is flushed,
//! files of large bodies go, and the segment (DESIGN section 4, write order).
//! Deliberately not here: packing, and who may destroy anything.

#[cfg(test)]
mod tests;

use crate::commit::Ticket;
use crate::error::{IngestError, OpenError, RetrieveError};
use crate::facts::parse;
use crate::open::Archive;
use crate::sequence::Work;
use crate::worker;
use bytes::Bytes;
use index::{InstanceRow, SeriesKey, StudyKey};
use model::pack::PackFact;
use model::{FacilityCode, Fact, Home, InstanceHead, Lsn, PackId, Place, SeriesQuiet, StudyComplete, Uid};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::{Body, Replayed, SegmentInfo, StoreError};

/// Segments that may wait for their series to be packed before the little that still lives is copied forward.
const WAITING_MAX: usize = 16;
/// Most instances that are copied forward for that: more of them are not little, and looking each up costs what it costs.
const WAITING_INSTANCES_MAX: usize = 10_000;
/// Bytes of bodies copied forward between two syncs.
const MOVE_BYTES: u64 = 8 << 20;
/// Instances that are asked after instead of a look at a segment of which too much waits.
const ASKED_AFTER: usize = 32;
/// Pauses after looks at a segment of which too much waits: the first, each twice the one before, and the longest.
const RESTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// Shortest time without a record after which the only segment is released, too.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// Bytes read of a body at once.
const STEP: u64 = 1 << 20;
/// Lane of the copies in the fair queue.
const LANE: &str = "(segments)";

/// Instances of those that still live in a segment: while they all do, it need not be looked at again.
struct Blockers {
    segment: SegmentInfo,
    /// Whether the journal was crowded when it was looked at: otherwise one of them blocks, however little lives.
    crowded: bool,
    some: Vec<Recorded>,
}

/// What is known of the oldest segment from the last look at it.
#[derive(Default)]
struct Oldest {
    blockers: Option<Blockers>,
    /// Too much of it waits: no look before this.
    rests_until: Option<Instant>,
    /// The segment that rests, and how long it did the last time.
    rested: Option<(SegmentInfo, Duration)>,
    /// The newest record, and since when it is that.
    idle: Option<(Lsn, Instant)>,
    /// The newest record when the only segment was last looked at.
    rotated: Lsn,
}

impl Oldest {
    /// Whether everything that is asked after still waits in a segment.
    fn still_waits(&self, archive: &Archive, segment: &SegmentInfo, crowded: bool) -> Result<bool, OpenError> {
        let Some(blockers) = &self.blockers else { return Ok(false) };
        if blockers.segment != *segment || (crowded && !blockers.crowded) {
            return Ok(false);
        }
        for (_, head, place) in &blockers.some {
            // What cannot be packed any more waits for nothing: it is copied forward.
            match archive.lives_at(head, place)? {
                Some(row) if !archive.failing().is_failing(&row.key) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Puts off the next look at a segment, each time for twice as long.
    fn rest(&mut self, segment: &SegmentInfo) {
        let before = self.rested.filter(|(rested, _)| rested == segment).map(|(_, rest)| rest);
        let rest = before.map_or(RESTS.0, |rest| rest.saturating_mul(2).min(RESTS.1));
        self.rested = Some((*segment, rest));
        self.rests_until = Some(Instant::now() + rest);
    }
}

/// Starts the thread that releases segments.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let (mut oldest, mut behind) = (Oldest::default(), false);
    worker::every(archive, "segments", move |archive| {
        // A look at a segment of small objects asks the index for each of them; nobody waits for its end.
        if !std::mem::replace(&mut behind, true) {
            worker::give_way();
        }
        if archive.health().reason().is_some() {
            return;
        }
        while !archive.stopping().load(Ordering::Relaxed) {
            let _turn = archive.retention().releasing.lock();
            match release_oldest(archive, &mut oldest) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "a segment cannot be released; trying again");
                    return;
                }
            }
        }
    })
}

/// An instance under its own number, and the record it lies in now.
pub(crate) type Recorded = (Lsn, Box<InstanceHead>, Place);

/// What a segment still holds.
#[derive(Default)]
struct Contents {
    facts: Vec<(Lsn, Fact)>,
    /// Instances that will not be packed.
    leftovers: Vec<Recorded>,
    /// Instances that are waiting to be packed, and the bytes of their records, heads included: many small objects cost
    /// as much to copy as few large ones.
    waiting: Vec<Recorded>,
    waiting_bytes: u64,
    /// Files of bodies that nothing is read from.
    blobs: HashSet<String>,
    /// Instances that are read from elsewhere, or not at all.
    dead: u64,
    /// Whether more waits than may be copied forward: the walk ended there.
    much: bool,
}

/// What may still wait in a crowded journal's oldest segment for it to be copied forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Little {
    bytes: u64,
    instances: usize,
}

impl Little {
    const fn of(segment_bytes: u64) -> Self {
        Self { bytes: segment_bytes / 4, instances: WAITING_INSTANCES_MAX }
    }
}

/// Begins a new segment when nothing came in for a while and something in the only one is read from elsewhere by now.
fn rotate_when_idle(archive: &Arc<Archive>, known: &mut Oldest) -> Result<bool, OpenError> {
    let last = archive.journal().last();
    let (seen, since) = *known.idle.get_or_insert((last, Instant::now()));
    if seen != last {
        known.idle = None;
        return Ok(false);
    }
    let segments = archive.journal().segments();
    let [active] = segments.as_slice() else { return Ok(false) };
    if known.rotated == last || since.elapsed() < archive.options().packs.after.max(IDLE_MIN) {
        return Ok(false);
    }
    // Looked at once: without a new record it stays as it is.
    known.rotated = last;
    let behind = last.saturating_add(1);
    let Some(held) = look(archive, active, behind, None)? else {
        // The look was broken off.
        known.rotated = 0;
        return Ok(false);
    };
    let wanted = held.waiting.is_empty() && held.dead > 0;
    if wanted {
        archive.journal().rotate()?;
    }
    Ok(wanted)
}

/// Releases the oldest segment if nothing holds it; tells whether it went.
fn release_oldest(archive: &Arc<Archive>, known: &mut Oldest) -> Result<bool, OpenError> {
    let segments = archive.journal().segments();
    let [oldest, next, ..] = segments.as_slice() else { return rotate_when_idle(archive, known) };
    let behind = next.first_lsn;
    // What the ledger has not entered yet, it enters from the journal.
    let level = archive.index().applied().min(archive.ledger_floor());
    if oldest.active || level.saturating_add(1) < behind {
        return Ok(false);
    }
    if known.rests_until.is_some_and(|until| until > Instant::now()) {
        return Ok(false);
    }
    let crowded = segments.len() > WAITING_MAX;
    if known.still_waits(archive, oldest, crowded)? {
        if crowded {
            known.rest(oldest);
        }
        return Ok(false);
    }
    *known = Oldest { rotated: known.rotated, rested: known.rested, ..Oldest::default() };
    let little = crowded.then(|| Little::of(archive.options().segment_bytes));
    let Some(contents) = look(archive, oldest, behind, little)? else {
        known.rest(oldest);
        return Ok(false);
    };
    if contents.much {
        let every = contents.waiting.len().div_ceil(ASKED_AFTER).max(1);
        let some = contents.waiting.into_iter().step_by(every).collect();
        known.blockers = Some(Blockers { segment: *oldest, crowded, some });
        if crowded {
            known.rest(oldest);
        }
        return Ok(false);
    }
    release(archive, (oldest, behind), contents, false)?;
    Ok(true)
}

/// Releases every segment with a record of something that was destroyed, and those before it. What still counts of
/// them is copied forward, also what only waits to be packed. A file that was used before may have old records behind
/// the new ones: such segments go, too.
pub(crate) fn release_destroyed(archive: &Arc<Archive>) -> Result<(), OpenError> {
    let retention = archive.retention();
    // Whoever looks at a segment stands back behind everybody else and may look for long.
    retention.destroying.store(true, Ordering::Relaxed);
    let _turn = retention.releasing.lock();
    retention.destroying.store(false, Ordering::Relaxed);
    // From now on no segment is begun in a file with old records.
    archive.journal().clear_spares()?;
    let segments = archive.journal().segments();
    let mut newest = None;
    for (segment, behind) in segments.iter().zip(ends(&segments)) {
        if (segment.generation > 1 && !segment.active) || holds_destroyed(archive, segment, behind)? {
            newest = Some(segment.first_lsn);
        }
    }
    let Some(newest) = newest else { return Ok(()) };
    if segments.iter().any(|segment| segment.active && segment.first_lsn <= newest) {
        archive.journal().rotate()?;
    }
    // What the ledger has not entered yet, it enters from the journal.
    archive.sign_ledger()?;
    let segments = archive.journal().segments();
    for (segment, behind) in segments.iter().zip(ends(&segments)) {
        if segment.active || segment.first_lsn > newest {
            break;
        }
        if archive.ledger_floor().saturating_add(1) < behind {
            return Err(OpenError::Thread { what: "the ledger lags behind; bytes go when it has caught up".into() });
        }
        // What is not applied would look like something that nobody reads.
        while archive.index().applied().saturating_add(1) < behind {
            if let Some(what) = archive.health().reason() {
                return Err(OpenError::Thread { what });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut contents = Contents::default();
        archive.journal().replay_until(segment.first_lsn, behind, &mut |replayed: Replayed<'_>| {
            match parse(replayed.lsn, replayed.head)?.own(replayed.lsn) {
                (lsn, Fact::Instance(head)) => {
                    contents.instance(archive, (lsn, head, replayed.place), replayed.head.len())?
                }
                (lsn, fact) => contents.facts.extend(archive.current(lsn, fact)?),
            }
            Ok::<_, OpenError>(())
        })?;
        release(archive, (segment, behind), contents, true)?;
    }
    Ok(())
}

/// Where each segment ends: the number of the first record behind it.
fn ends(segments: &[SegmentInfo]) -> Vec<Lsn> {
    segments.iter().skip(1).map(|next| next.first_lsn).chain([Lsn::MAX]).collect()
}

fn holds_destroyed(archive: &Arc<Archive>, segment: &SegmentInfo, behind: Lsn) -> Result<bool, OpenError> {
    let mut holds = false;
    archive.journal().replay_until(segment.first_lsn, behind, &mut |replayed: Replayed<'_>| {
        if !holds && let (_, Fact::Instance(head)) = parse(replayed.lsn, replayed.head)?.own(0) {
            holds = archive.is_destroyed(&head)?;
        }
        Ok::<_, OpenError>(())
    })?;
    Ok(holds)
}

/// Copies forward what counts of a segment, which ends before a record, and lets it go.
fn release(
    archive: &Arc<Archive>,
    (oldest, behind): (&SegmentInfo, Lsn),
    contents: Contents,
    clean: bool,
) -> Result<(), OpenError> {
    let _still = archive.rewriting().read();
    let Contents { facts, leftovers, waiting, blobs, .. } = contents;
    let (kept, moved) = (facts.len(), leftovers.len() + waiting.len());
    let mut blobs = blobs;
    blobs.extend(leftovers.iter().chain(&waiting).filter_map(|(_, _, place)| place.blob.clone()));
    archive.copy_forward(leftovers.into_iter().chain(waiting))?;
    archive.facts().keep(facts)?;
    archive.index().flush()?;
    if let Some(keeper) = archive.keeper() {
        keeper.mark(behind);
    }
    archive.journal().remove_blobs(&blobs)?;
    if clean {
        archive.journal().release_cleanly(oldest.number)?;
    } else {
        archive.journal().release(oldest.number)?;
    }
    metrics::counter!("khoanh_segments_released_total").increment(1);
    tracing::debug!(segment = oldest.number, kept, moved, "a segment is released");
    Ok(())
}

/// Walks a segment; none when somebody with more haste waits for the turn. The walk ends where more than a little waits to
/// be packed, and where nothing is to be copied forward with the first that does.
fn look(
    archive: &Arc<Archive>,
    segment: &SegmentInfo,
    behind: Lsn,
    little: Option<Little>,
) -> Result<Option<Contents>, OpenError> {
    let most = little.unwrap_or(Little { bytes: 0, instances: 0 });
    let mut contents = Contents::default();
    let breaks =
        || archive.stopping().load(Ordering::Relaxed) || archive.retention().destroying.load(Ordering::Relaxed);
    let walked = archive.journal().replay_until(segment.first_lsn, behind, &mut |replayed: Replayed<'_>| {
        if breaks() {
            return Err(Walk::Enough);
        }
        match parse(replayed.lsn, replayed.head).map_err(Walk::Failed)?.own(replayed.lsn) {
            (lsn, Fact::Instance(head)) => {
                let bytes = replayed.head.len();
                contents.instance(archive, (lsn, head, replayed.place), bytes).map_err(Walk::Failed)?
            }
            (lsn, fact) => contents.facts.extend(archive.current(lsn, fact).map_err(Walk::Failed)?),
        }
        contents.much = contents.waiting_bytes > most.bytes || contents.waiting.len() > most.instances;
        if contents.much { Err(Walk::Enough) } else { Ok(()) }
    });
    let Contents { facts, leftovers, waiting, dead, .. } = &contents;
    let (facts, leftovers, waiting) = (facts.len(), leftovers.len(), waiting.len());
    tracing::debug!(segment = segment.number, facts, leftovers, waiting, dead, "a segment was looked at");
    match walked {
        Ok(()) => Ok(Some(contents)),
        Err(Walk::Enough) => Ok(contents.much.then_some(contents)),
        Err(Walk::Failed(error)) => Err(error),
    }
}

/// Why a walk ended early.
enum Walk {
    Enough,
    Failed(OpenError),
}

impl From<StoreError> for Walk {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Contents {
    fn instance(
        &mut self,
        archive: &Archive,
        (lsn, head, place): Recorded,
        head_bytes: usize,
    ) -> Result<(), OpenError> {
        let Some(row) = archive.lives_at(&head, &place)? else {
            self.blobs.extend(place.blob);
            self.dead += 1;
            return Ok(());
        };
        if row.outcome.copy > 0 || archive.failing().is_failing(&row.key) {
            self.leftovers.push((lsn, head, place));
        } else {
            let bytes = place.body_len.saturating_add(u64::try_from(head_bytes).unwrap_or(u64::MAX));
            self.waiting_bytes = self.waiting_bytes.saturating_add(bytes.max(1));
            self.waiting.push((lsn, head, place));
        }
        Ok(())
    }
}

impl Archive {
    /// The row of an instance if it is read from this very record.
    pub(crate) fn lives_at(&self, head: &InstanceHead, place: &Place) -> Result<Option<InstanceRow>, OpenError> {
        let rows = self.index().instance(&head.sop_instance)?;
        let row = rows.into_iter().find(|row| row.seq == head.seq);
        // A record that start-up moved names the same file of a large body as its first writing.
        let lives = |home: &Home| {
            home.journal().is_some_and(|now| now == place || (place.blob.is_some() && now.blob == place.blob))
        };
        Ok(row.filter(|row| lives(&row.home)))
    }

    /// Whether an instance belongs to what was destroyed of its study.
    pub(crate) fn is_destroyed(&self, head: &InstanceHead) -> Result<bool, OpenError> {
        let buried = self.index().buried(head.facility, &head.study)?;
        Ok(buried.iter().any(|known| known.patient == head.outcome.patient && head.seq <= known.through))
    }

    /// A fact if it still says something.
    fn current(&self, lsn: Lsn, fact: Fact) -> Result<Option<(Lsn, Fact)>, OpenError> {
        let counts = match &fact {
            Fact::Instance(_) | Fact::Forwarded { .. } => false,
            Fact::Facility(facility) => self.sources().0.contains(facility),
            Fact::Source(source) => self.sources().1.contains(source),
            Fact::Destination(destination) => self.destinations().contains(destination),
            Fact::Forwarding(fact) => self.forwarding.holds(fact),
            Fact::SeriesQuiet(SeriesQuiet { facility, study, patient, series, through, .. }) => {
                let study = study_key(*facility, study, *patient);
                // What is said of a series counts wherever it stands by now.
                let row = self.series_now(&SeriesKey { study, series: series.clone() })?;
                row.is_some_and(|row| row.quiet_through == Some(*through))
            }
            Fact::StudyComplete(StudyComplete { facility, study, patient, through, .. }) => {
                let row = self.index().study(&study_key(*facility, study, *patient))?;
                row.is_some_and(|row| row.complete_through == Some(*through))
            }
            Fact::Pack(fact) => self.pack_counts(fact)?,
            Fact::Retention(_) => true,
            Fact::Sealed(sealed) => !self.tiers().keys().is_destroyed(sealed.seal)?,
        };
        Ok(counts.then_some((lsn, fact)))
    }

    /// Whether a pack is still known; what happened to one that was replaced or destroyed need not be.
    fn pack_counts(&self, fact: &PackFact) -> Result<bool, OpenError> {
        let pack: PackId = fact.pack();
        Ok(self.index().pack(pack)?.is_some() || self.index().is_doomed(pack)?)
    }

    /// Appends instances anew at the journal's end, with the same heads and bodies.
    pub(crate) fn copy_forward(self: &Arc<Self>, instances: impl Iterator<Item = Recorded>) -> Result<(), OpenError> {
        let failed = |error: IngestError| OpenError::Thread { what: format!("copying forward: {error}") };
        let (mut waiting, mut bytes) = (Vec::new(), 0u64);
        for (lsn, head, place) in instances {
            let body = self.body_again(&place)?;
            let (ticket, answer) = Ticket::new();
            bytes = bytes.saturating_add(place.body_len);
            self.submit(LANE, Work::Again(lsn, head, body, place.body_len, ticket)).map_err(failed)?;
            waiting.push(answer);
            if bytes >= MOVE_BYTES {
                settle(std::mem::take(&mut waiting)).map_err(failed)?;
                bytes = 0;
            }
        }
        settle(waiting).map_err(failed)
    }

    /// The body of a record, ready to be appended again.
    fn body_again(&self, place: &Place) -> Result<Body, OpenError> {
        let read = |from: u64| self.journal().read(place, from..place.body_len.min(from.saturating_add(STEP)));
        let mut at = 0;
        if place.body_len > self.options().blob_above {
            let mut blob = self.journal().blob()?;
            while at < place.body_len {
                let bytes = read(at)?;
                blob.write(&bytes)?;
                at = at.saturating_add(STEP);
            }
            return Ok(Body::Blob(blob.finish()?));
        }
        let mut pieces = Vec::new();
        while at < place.body_len {
            pieces.push(Bytes::from(read(at)?));
            at = at.saturating_add(STEP);
        }
        Ok(Body::Inline(pieces))
    }
}

fn settle(waiting: Vec<crate::handoff::Awaited<crate::commit::Reply>>) -> Result<(), IngestError> {
    for answer in waiting {
        let gone = || IngestError::Unavailable { what: "the archive stopped".into() };
        answer.wait().ok_or_else(gone)?.done()?;
    }
    Ok(())
}

fn study_key(facility: FacilityCode, study: &Uid, patient: u16) -> StudyKey {
    StudyKey { facility, study: study.clone(), patient }
}

impl From<RetrieveError> for OpenError {
    fn from(error: RetrieveError) -> Self {
        Self::Thread { what: error.to_string() }
    }
}
