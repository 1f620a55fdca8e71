//! Who read what: counted in memory, and written in groups by a thread of its own, so that nobody who reads waits.
//!
//! What a caller reads of a study in one way within an hour is one row, however many requests that takes. That it read is
//! written within [`EVERY`], later requests of the same hour within [`COUNTS_MS`], and everything at a stop; a kill loses
//! what was not written. What waits is bounded: half full it is written at once, and what finds no place is counted and
//! said ([`Reads::note`]).
//! Deliberately not here: who is told, and what of a caller's doings counts as reading.

use super::journal::unavailable;
use super::writing::Whose;
use super::{ChartError, Charts, PAGE_MAX};
use crate::error::OpenError;
use crate::open::Archive;
use crate::worker;
use index::StudyKey;
use index::charts::{ChartCursor, ChartDriver, ChartPage, ChartQuery};
use model::chart::read::{self, WINDOW_MS, Way};
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Read, Term, term};
use model::{Caller, FacilityCode, Role, Uid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What was read for the first time in its hour is written this often.
const EVERY: Duration = Duration::from_secs(2);
/// How often, and how much, of what is written already: this often, in milliseconds.
const COUNTS_MS: u64 = 60_000;
/// Most rows that are counted at one time.
const OPEN_MAX: usize = 32_768;
/// Rows of one record: others wait meanwhile.
const ROUND: usize = 128;
/// Old rows are looked for this often.
const FORGET: Duration = Duration::from_secs(24 * 3600);

/// Who reads, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Name of the caller.
    pub by: String,
    /// Its role.
    pub role: Role,
    /// The facility it works for.
    pub home: Option<FacilityCode>,
    /// The AE title it showed; empty: none.
    pub title: String,
    /// The AE title that a C-MOVE gives the objects to; empty: none.
    pub to: String,
    /// What a launch link was signed for.
    pub purpose: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// How.
    pub way: Way,
}

impl Reader {
    /// A caller that reads in a way.
    pub fn new(caller: &Caller, way: Way) -> Self {
        Self {
            by: caller.name.clone(),
            role: caller.role,
            home: caller.home,
            title: String::new(),
            to: String::new(),
            purpose: String::new(),
            address: None,
            way,
        }
    }

    fn row(&self, study: &StudyKey, at: u64) -> Read {
        let text = |text: &str| read::cut(text).to_owned();
        Read {
            by: text(&self.by),
            role: self.role,
            home: self.home,
            title: text(&self.title),
            to: text(&self.to),
            purpose: text(&self.purpose),
            way: self.way,
            study: study.study.clone(),
            patient: study.patient,
            first: at,
            last: at,
            requests: 0,
            objects: 0,
            addresses: Vec::new(),
            more: false,
        }
    }
}

type Name = [u8; 16];

/// What is counted of one row.
struct Entry {
    facility: FacilityCode,
    /// What came since it was written; the addresses are all of them.
    since: Read,
    /// Something that no row says yet.
    fresh: bool,
    /// When it was written last; 0: never.
    written: u64,
}

impl Entry {
    const fn waits(&self) -> bool {
        self.fresh || self.since.requests > 0 || self.since.objects > 0
    }

    /// Nothing of a window comes any more when the next one has begun.
    const fn is_over(&self, now: u64) -> bool {
        now / WINDOW_MS != self.since.first / WINDOW_MS
    }

    const fn is_due(&self, now: u64) -> bool {
        self.waits() && (self.fresh || self.is_over(now) || now.abs_diff(self.written) >= COUNTS_MS)
    }

    /// What is to be written; nothing waits afterwards.
    fn take(&mut self, now: u64) -> Read {
        let taken = self.since.clone();
        (self.since.requests, self.since.objects, self.fresh, self.written) = (0, 0, false, now);
        taken
    }
}

/// What is counted, and not written yet.
#[derive(Default)]
pub(super) struct Reads {
    open: Mutex<HashMap<Name, Entry>>,
    /// Held by whoever writes.
    turn: Mutex<()>,
    /// Requests that found no place since that was said last.
    lost: AtomicU64,
}

/// Rows of a facility that are to be written.
type Taken = Vec<(Name, Read)>;

impl Reads {
    /// Counts; false where there was no place, and it is lost.
    fn note(&self, reader: &Reader, study: &StudyKey, counts: (u64, u64), now: u64) -> bool {
        let home = reader.home.as_ref().map_or("", FacilityCode::as_str);
        let texts = [&reader.by, &reader.title, &reader.to, &reader.purpose].into_iter().map(String::as_str);
        let texts = texts.chain([study.facility.as_str(), home, study.study.as_str()]);
        let name = read::name(texts, (reader.way, study.patient, now / WINDOW_MS));
        let mut open = self.open.lock();
        if let Some(entry) = open.get_mut(&name) {
            entry.fresh |= entry.since.note(reader.address, counts, now);
            return true;
        }
        if open.len() >= OPEN_MAX {
            return false;
        }
        let mut since = reader.row(study, now);
        since.note(reader.address, counts, now);
        open.insert(name, Entry { facility: study.facility, since, fresh: true, written: 0 });
        true
    }

    /// Whether so much is held that it is written before its time.
    fn is_pressed(&self) -> bool {
        self.open.lock().len() >= OPEN_MAX / 2
    }

    /// What is due, by facility, or everything; what nothing is expected of any more goes.
    fn take(&self, now: u64, everything: bool) -> BTreeMap<FacilityCode, Taken> {
        let mut open = self.open.lock();
        let everything = everything || open.len() >= OPEN_MAX / 2;
        let mut taken = BTreeMap::<FacilityCode, Taken>::new();
        open.retain(|name, entry| {
            if entry.is_due(now) || everything && entry.waits() {
                taken.entry(entry.facility).or_default().push((*name, entry.take(now)));
                // Until it is known that it was written; it makes room in the next round.
                return true;
            }
            !entry.is_over(now) && !everything
        });
        taken
    }

    /// What could not be written waits again.
    fn give_back(&self, facility: FacilityCode, some: &[(Name, Read)]) {
        let mut open = self.open.lock();
        for (name, read) in some {
            let entry = open.entry(*name).or_insert_with(|| Entry {
                facility,
                since: Read { requests: 0, objects: 0, ..read.clone() },
                fresh: true,
                written: 0,
            });
            entry.since.absorb(read);
            entry.fresh = true;
        }
    }
}

/// The id of a row.
fn id_of(name: Name) -> String {
    name.iter().fold(String::with_capacity(32), |mut id, byte| {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Which reads are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadFilter {
    /// At this facility; none: at all that the caller may see.
    pub facility: Option<FacilityCode>,
    /// Of this study.
    pub study: Option<Uid>,
    /// By this caller, by its whole name.
    pub by: Option<String>,
    /// In this way.
    pub way: Option<Way>,
    /// Between these moments, both included, milliseconds since 1970 UTC.
    pub moments: Option<(u64, u64)>,
}

impl ReadFilter {
    /// What finds them, and more.
    pub fn query(&self) -> ChartQuery {
        let driver = match (&self.study, &self.by) {
            (Some(study), _) => ChartDriver::Equal(Term::Study, term::value(study.as_str())),
            (None, Some(by)) => ChartDriver::Equal(Term::Reader, term::value(by)),
            (None, None) => ChartDriver::Equal(Term::Any, String::new()),
        };
        // A row stands at its first request, and lasts less than a window.
        let moments = self.moments.map(|(from, to)| (from.saturating_sub(WINDOW_MS), to));
        let facilities = self.facility.map(|facility| BTreeSet::from([facility]));
        ChartQuery { kind: ChartKind::Read, facilities, driver, moments, years: None }
    }

    /// Whether a row that was found is wanted.
    pub fn fits(&self, row: &ChartRow) -> bool {
        let ChartBody::Read(read) = &row.body else { return false };
        self.study.as_ref().is_none_or(|study| read.study == *study)
            && self.by.as_ref().is_none_or(|by| read.by == read::cut(by.trim()))
            && self.way.is_none_or(|way| read.way == way)
            && self.moments.is_none_or(|(from, to)| read.is_within(from, to))
    }
}

impl Charts {
    /// Somebody reads a study: so many requests, and so many instances given. Costs a place in memory.
    pub fn note_read(&self, reader: &Reader, study: &StudyKey, requests: u64, objects: u64) {
        if !self.reads.note(reader, study, (requests, objects), self.now_ms()) {
            metrics::counter!("khoanh_reads_lost_total").increment(requests.max(1));
            self.reads.lost.fetch_add(requests.max(1), Ordering::Relaxed);
        }
    }

    /// Reads, the newest first. A page may be short and still have a cursor.
    ///
    /// # Errors
    /// [`ChartError::Unavailable`] when the index does not answer.
    pub fn reads(
        &self,
        caller: &Caller,
        filter: &ReadFilter,
        after: Option<ChartCursor>,
        limit: usize,
    ) -> Result<ChartPage, ChartError> {
        let mut page = self.find(caller, &filter.query(), after, limit)?;
        page.rows.retain(|row| filter.fits(row));
        Ok(page)
    }

    /// Writes what is due of what was read, or everything; durable on return. Gives the number of rows.
    ///
    /// # Errors
    /// Those of the journal; what could not be written waits on.
    pub fn write_reads(&self, everything: bool) -> Result<usize, ChartError> {
        let _turn = self.reads.turn.lock();
        let (mut written, mut failed) = (0_usize, None);
        for (facility, taken) in self.reads.take(self.now_ms(), everything) {
            for some in taken.chunks(ROUND) {
                match self.record_reads(facility, some) {
                    Ok(()) => written = written.saturating_add(some.len()),
                    Err(error) => {
                        self.reads.give_back(facility, some);
                        failed = Some(error);
                    }
                }
            }
        }
        metrics::counter!("khoanh_reads_written_total").increment(u64::try_from(written).unwrap_or(u64::MAX));
        let lost = self.reads.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, "so many requests found no place to be counted: who read is not known of them");
        }
        let open = u32::try_from(self.reads.open.lock().len()).unwrap_or(u32::MAX);
        metrics::gauge!("khoanh_reads_open").set(f64::from(open));
        failed.map_or(Ok(written), Err)
    }

    fn record_reads(&self, facility: FacilityCode, some: &[(Name, Read)]) -> Result<(), ChartError> {
        self.write(facility, |writing| {
            for (name, since) in some {
                let id = id_of(*name);
                let read = match writing.row(ChartKind::Read, &id)? {
                    Some(ChartBody::Read(mut known)) => {
                        known.absorb(since);
                        known
                    }
                    _ => Box::new(since.clone()),
                };
                writing.put(&id, ChartBody::Read(read))?;
            }
            Ok(())
        })
    }
}

/// Starts the thread that writes what was read.
pub(crate) fn start(archive: &Arc<Archive>) -> Result<JoinHandle<()>, OpenError> {
    let (mut due, mut fails) = (Instant::now(), false);
    worker::every(archive, "reads", move |archive| {
        let charts = archive.charts();
        if Instant::now() < due && !charts.reads.is_pressed() {
            return;
        }
        due = Instant::now() + EVERY;
        match charts.write_reads(false) {
            Ok(_) => fails = false,
            Err(error) if !fails => {
                fails = true;
                tracing::warn!(%error, "who read what cannot be written, again and again from now on");
            }
            Err(_) => {}
        }
    })
}

/// How far was looked for rows that are old.
pub(super) struct Forgetting {
    after: Option<ChartCursor>,
    due: Instant,
}

impl Forgetting {
    pub(super) fn new() -> Self {
        Self { after: None, due: Instant::now() }
    }
}

impl Archive {
    /// Removes some of the rows that are older than they are kept and whose studies are here no longer; gives their number.
    pub(super) fn forget_reads(&self, walk: &mut Forgetting) -> Result<u64, ChartError> {
        if Instant::now() < walk.due {
            return Ok(0);
        }
        let charts = self.charts();
        let kept = u64::try_from(charts.options.reads.as_millis()).unwrap_or(u64::MAX);
        let Some(bound) = charts.now_ms().checked_sub(kept.saturating_add(1)) else { return Ok(0) };
        let query = ChartQuery { moments: Some((0, bound)), ..ReadFilter::default().query() };
        let page = charts.view.find(&query, walk.after, PAGE_MAX).map_err(unavailable)?;
        let mut old = BTreeMap::<FacilityCode, Vec<ChartKey>>::new();
        for row in page.rows {
            let ChartBody::Read(read) = row.body else { continue };
            let study = StudyKey { facility: row.key.facility, study: read.study, patient: read.patient };
            if self.index().study(&study).map_err(unavailable)?.is_none() {
                old.entry(row.key.facility).or_default().push(row.key);
            }
        }
        let mut gone = 0_u64;
        for (facility, keys) in old {
            for some in keys.chunks(ROUND) {
                charts.write_as(Whose::Own, facility, |writing| {
                    some.iter().try_for_each(|key| writing.remove(key.kind, &key.id))
                })?;
                gone = gone.saturating_add(u64::try_from(some.len()).unwrap_or(u64::MAX));
            }
        }
        walk.after = page.cursor;
        if walk.after.is_none() {
            walk.due = Instant::now() + FORGET;
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(number: usize) -> StudyKey {
        let study = Uid::parse(&format!("1.2.{number}")).expect("a UID");
        StudyKey { facility: FacilityCode::DEMO, study, patient: 0 }
    }

    fn reader(by: &str) -> Reader {
        Reader { by: by.into(), address: Some([192, 0, 2, 1].into()), ..Reader::new(&Caller::demo(), Way::Dicomweb) }
    }

    fn rows(taken: BTreeMap<FacilityCode, Taken>) -> Vec<(String, u64, u64)> {
        let mut rows: Vec<_> = taken
            .into_values()
            .flatten()
            .map(|(_, read)| (format!("{} {}", read.by, read.study), read.requests, read.objects))
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn requests_of_one_hour_are_one_row_and_counts_follow_later() {
        let (reads, now) = (Reads::default(), 500 * WINDOW_MS);
        for _ in 0..500 {
            assert!(reads.note(&reader("an"), &study(1), (1, 1), now));
        }
        reads.note(&reader("lan"), &study(1), (1, 3), now);
        reads.note(&Reader { way: Way::Export, ..reader("an") }, &study(1), (1, 7), now);
        let first = rows(reads.take(now, false));
        assert_eq!(first, [("an 1.2.1".into(), 1, 7), ("an 1.2.1".into(), 500, 500), ("lan 1.2.1".into(), 1, 3)]);
        reads.note(&reader("an"), &study(1), (1, 1), now + 1);
        assert_eq!(rows(reads.take(now + 1, false)), [], "that it reads is written; how often may wait");
        assert_eq!(rows(reads.take(now + COUNTS_MS, false)), [("an 1.2.1".into(), 1, 1)]);
        // Another address is news, and so is another hour.
        let elsewhere = Reader { address: Some([192, 0, 2, 2].into()), ..reader("an") };
        reads.note(&elsewhere, &study(1), (1, 1), now + COUNTS_MS);
        assert_eq!(rows(reads.take(now + COUNTS_MS, false)).len(), 1);
        reads.note(&elsewhere, &study(1), (1, 1), now + WINDOW_MS);
        assert_eq!(rows(reads.take(now + WINDOW_MS, false)).len(), 1);
        assert_eq!(reads.open.lock().len(), 1, "what is over takes no place");
    }

    #[test]
    fn what_could_not_be_written_waits_again_and_is_not_counted_twice() {
        let (reads, now) = (Reads::default(), 500 * WINDOW_MS);
        reads.note(&reader("an"), &study(1), (2, 5), now);
        let taken = reads.take(now, false).remove(&FacilityCode::DEMO).expect("rows");
        reads.note(&reader("an"), &study(1), (1, 1), now);
        reads.give_back(FacilityCode::DEMO, &taken);
        assert_eq!(rows(reads.take(now, false)), [("an 1.2.1".into(), 3, 6)]);
        reads.give_back(FacilityCode::DEMO, &taken);
        reads.open.lock().clear();
        reads.give_back(FacilityCode::DEMO, &taken);
        assert_eq!(rows(reads.take(now, false)), [("an 1.2.1".into(), 2, 5)]);
    }

    #[test]
    fn what_is_counted_is_bounded_written_early_and_its_loss_said() {
        let (reads, now) = (Reads::default(), 500 * WINDOW_MS);
        for number in 0..OPEN_MAX {
            assert_eq!(reads.is_pressed(), number >= OPEN_MAX / 2);
            assert!(reads.note(&reader("an"), &study(number), (1, 1), now));
        }
        assert!(!reads.note(&reader("an"), &study(OPEN_MAX), (1, 1), now), "there is no place");
        assert!(reads.note(&reader("an"), &study(0), (1, 1), now), "what has a place is counted");
        assert_eq!(rows(reads.take(now, false)).len(), OPEN_MAX);
        // What is written makes room before its hour is over.
        assert!(rows(reads.take(now, false)).is_empty() && reads.open.lock().is_empty());
    }
}
