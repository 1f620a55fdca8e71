//! Copying another archive on behalf of a command: what it has is asked by C-FIND, window by window of study dates, and
//! fetched by C-GET, study by study. Everything is reconciled against what the other archive said it has.
//!
//! Finished studies are noted in `migrations` inside the data directory, so that the same command goes on where it
//! stopped. A study that was under way is fetched again: what is here already is the same again.

mod pulled;

use super::Progress;
use crate::cli::{Exit, Failure};
use archive::Archive;
use dimse::scu::pull::{Key, proposals};
use dimse::scu::{CallError, Limits, Peer, Requestor};
use model::{AeTitle, AttrKey, Date, FacilityCode};
use pulled::{Fate, Pulled};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const QUERY_LEVEL: AttrKey = AttrKey::root(0x0008_0052);
const STUDY_DATE: AttrKey = AttrKey::root(0x0008_0020);
const SOP_CLASS: AttrKey = AttrKey::root(0x0008_0016);
const SOP_INSTANCE: AttrKey = AttrKey::root(0x0008_0018);
const STUDY: AttrKey = AttrKey::root(0x0020_000D);
const SERIES: AttrKey = AttrKey::root(0x0020_000E);
/// Attempts to reach the other archive before the migration ends.
const ATTEMPTS: u32 = 6;
/// First pause between them; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest sleep without a look whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// Fetches of a study before what did not come is missing.
const FETCHES: u32 = 2;
/// Different reasons counted one by one.
const REASONS_MAX: usize = 50;

/// What to copy, for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MigrateRequest {
    /// AE title of the other archive.
    pub(crate) called: AeTitle,
    /// Where it listens, `HOST:PORT`.
    pub(crate) address: String,
    /// AE title we show.
    pub(crate) calling: AeTitle,
    /// Facility the objects belong to.
    pub(crate) facility: FacilityCode,
    /// First and last study date; none means everything in one question.
    pub(crate) dates: Option<(Date, Date)>,
    /// Days of one question.
    pub(crate) window_days: u16,
    /// Most bytes fetched in a second; 0 means any.
    pub(crate) bytes_per_second: u64,
    /// Begins anew instead of going on where an earlier run stopped.
    pub(crate) restart: bool,
}

/// The reconciliation. Objects count once each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Studies the other archive told of.
    pub(crate) studies: u64,
    /// Of them, finished by an earlier run; their objects are counted below as they were then.
    pub(crate) finished_earlier: u64,
    /// Objects the other archive told of.
    pub(crate) found: u64,
    /// Stored here for the first time.
    pub(crate) moved: u64,
    /// Here already, the same bytes.
    pub(crate) equal: u64,
    /// Here already with other bytes: kept beside them, for an archivist.
    pub(crate) conflicts: u64,
    /// Told of, and not sent.
    pub(crate) missing: u64,
    /// Sent, and refused here.
    pub(crate) refused: u64,
    /// Bytes fetched.
    pub(crate) bytes: u64,
    /// Stopped before the end.
    pub(crate) interrupted: bool,
}

/// A finished study, as the state file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Finished {
    study: String,
    found: u64,
    moved: u64,
    equal: u64,
    conflicts: u64,
}

struct Job<'a> {
    archive: &'a Arc<Archive>,
    wanted: &'a MigrateRequest,
    stop: &'a AtomicBool,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    finished: BTreeMap<String, Finished>,
    state: File,
    troubled: csv::Writer<File>,
    reasons: BTreeMap<String, u64>,
    report: Report,
    seen: HashSet<String>,
    begun: Instant,
}

/// Copies and answers with the reconciliation.
pub(super) fn run(
    archive: &Arc<Archive>,
    wanted: &MigrateRequest,
    stop: &Arc<AtomicBool>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    if !archive.facility_codes().contains(&wanted.facility) {
        let what = format!("facility {} is not registered; add it first (khoanh sources add)", wanted.facility);
        return Err(Failure::new(Exit::Usage, what));
    }
    let folder = archive.options().data.join("migrations");
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let name = name_of(wanted);
    let (state, troubled) = (folder.join(format!("{name}.finished")), folder.join(format!("{name}.troubled.csv")));
    let finished = if wanted.restart { BTreeMap::new() } else { read_finished(&state).map_err(failed)? };
    let mut job = Job {
        archive,
        wanted,
        stop,
        progress,
        finished,
        state: private(&state, wanted.restart).map_err(failed)?,
        troubled: csv::Writer::from_writer(private(&troubled, true).map_err(failed)?),
        reasons: BTreeMap::new(),
        report: Report::default(),
        seen: HashSet::new(),
        begun: Instant::now(),
    };
    let ended = job.windows();
    let Job { troubled: mut rows, report, reasons, .. } = job;
    rows.flush().map_err(failed)?;
    ended?;
    Ok(json!({ "report": report, "reasons": reasons, "troubled": troubled }))
}

/// The same command goes on with the same files.
fn name_of(wanted: &MigrateRequest) -> String {
    let digest = Sha256::digest(format!("{}@{}", wanted.called, wanted.address));
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{short}", wanted.facility)
}

fn private(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if truncate { options.write(true).truncate(true) } else { options.append(true) }.open(path)
}

/// The studies of an earlier run; a line that a kill tore is none.
fn read_finished(path: &Path) -> io::Result<BTreeMap<String, Finished>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut finished = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        if let Ok(one) = serde_json::from_str::<Finished>(&line?) {
            finished.insert(one.study.clone(), one);
        }
    }
    Ok(finished)
}

impl Job<'_> {
    /// Every window of study dates, oldest first.
    fn windows(&mut self) -> Result<(), Failure> {
        let Some((first, last)) = self.wanted.dates else { return self.window("") };
        let days = i64::from(self.wanted.window_days.max(1));
        let mut from = first;
        while from <= last && !self.is_stopped() {
            let to = from.plus_days(days - 1).min(last);
            let day = |date: Date| archive::clock::day_of(date.start_ms());
            self.window(&format!("{}-{}", day(from), day(to)))?;
            from = to.plus_days(1);
        }
        Ok(())
    }

    fn window(&mut self, dates: &str) -> Result<(), Failure> {
        let keys = [(QUERY_LEVEL, "CS", "STUDY"), (STUDY_DATE, "DA", dates), (STUDY, "UI", "")];
        let studies = self.find(&keys, &[STUDY])?;
        for study in studies.into_iter().filter_map(|mut row| row.pop()) {
            if self.is_stopped() {
                return Ok(());
            }
            if self.seen.insert(study.clone()) {
                self.study(&study)?;
            }
            (self.progress)(Progress {
                done: self.report.studies,
                total: self.report.studies,
                bytes: self.report.bytes,
                trouble: self.report.missing.saturating_add(self.report.refused),
            });
        }
        Ok(())
    }

    fn is_stopped(&mut self) -> bool {
        self.report.interrupted |= self.stop.load(Ordering::Relaxed);
        self.report.interrupted
    }

    /// Fetches a study that is not finished, and reconciles it.
    fn study(&mut self, study: &str) -> Result<(), Failure> {
        self.report.studies = self.report.studies.saturating_add(1);
        if let Some(before) = self.finished.get(study) {
            self.report.finished_earlier = self.report.finished_earlier.saturating_add(1);
            self.report.found = self.report.found.saturating_add(before.found);
            self.report.moved = self.report.moved.saturating_add(before.moved);
            self.report.equal = self.report.equal.saturating_add(before.equal);
            self.report.conflicts = self.report.conflicts.saturating_add(before.conflicts);
            return Ok(());
        }
        let told = self.told(study)?;
        let mut pulled = Pulled::new(self.archive, self.wanted.facility);
        for _ in 0..FETCHES {
            if told.keys().all(|instance| pulled.fates.contains_key(instance)) || self.is_stopped() {
                break;
            }
            self.fetch(study, &told, &mut pulled)?;
        }
        if let Some(why) = &pulled.full {
            return Err(Failure::new(Exit::Failed, format!("the archive takes nothing more: {why}")));
        }
        if !self.is_stopped() {
            self.reconcile(study, &told, &pulled)?;
        }
        self.throttle();
        Ok(())
    }

    /// What the other archive says it has of a study: SOP Instance and Class UIDs; the class may be empty.
    fn told(&mut self, study: &str) -> Result<BTreeMap<String, String>, Failure> {
        let keys = [(QUERY_LEVEL, "CS", "SERIES"), (STUDY, "UI", study), (SERIES, "UI", "")];
        let mut told = BTreeMap::new();
        for series in self.find(&keys, &[SERIES])?.into_iter().filter_map(|mut row| row.pop()) {
            let keys = [
                (QUERY_LEVEL, "CS", "IMAGE"),
                (SOP_CLASS, "UI", ""),
                (SOP_INSTANCE, "UI", ""),
                (STUDY, "UI", study),
                (SERIES, "UI", series.as_str()),
            ];
            for row in self.find(&keys, &[SOP_INSTANCE, SOP_CLASS])? {
                if let [instance, class] = row.as_slice() {
                    told.insert(instance.clone(), class.clone());
                }
            }
        }
        Ok(told)
    }

    /// The wanted values of every match, in this order; matches without the first one are left out.
    fn find(&mut self, keys: &[Key<'_>], wanted: &[AttrKey]) -> Result<Vec<Vec<String>>, Failure> {
        self.again(|peer, limits| {
            let mut rows = Vec::new();
            let mut association = Requestor::open_to_find(peer, limits)?;
            let answer = association.find(keys, &mut |found| {
                let value = |key: &AttrKey| {
                    let text = found.keys.iter().find(|one| one.key == *key).map_or("", |one| one.text.as_str());
                    text.trim_matches([' ', '\0']).to_owned()
                };
                let row: Vec<String> = wanted.iter().map(value).collect();
                if row.first().is_some_and(|first| !first.is_empty()) {
                    rows.push(row);
                }
            })?;
            let _ = association.release();
            match answer.is_success() {
                true => Ok(rows),
                false => {
                    Err(CallError::Protocol(format!("C-FIND was answered {:04X} {}", answer.status, answer.comment)))
                }
            }
        })
    }

    fn fetch(&mut self, study: &str, told: &BTreeMap<String, String>, pulled: &mut Pulled<'_>) -> Result<(), Failure> {
        let classes: BTreeSet<&String> = told.values().filter(|class| !class.is_empty()).collect();
        let keys = [(QUERY_LEVEL, "CS", "STUDY"), (STUDY, "UI", study)];
        for (classes, syntaxes) in proposals(&classes) {
            self.again(|peer, limits| {
                let mut association = Requestor::open_to_get(peer, &classes, &syntaxes, limits)?;
                let answer = association.get(&keys, pulled)?;
                pulled.said = format!("C-GET was answered {:04X} {}", answer.status, answer.comment);
                let _ = association.release();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Does something with the other archive, again where that may help.
    fn again<T>(&mut self, mut work: impl FnMut(&Peer, &Limits) -> Result<T, CallError>) -> Result<T, Failure> {
        let MigrateRequest { called, address, calling, .. } = self.wanted.clone();
        let (peer, limits) = (Peer { address, called, calling, secure: None }, Limits::default());
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let error = match work(&peer, &limits) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if attempt >= ATTEMPTS || !error.is_passing() || self.is_stopped() {
                return Err(Failure::new(Exit::Failed, format!("{}: {error}", peer.address)));
            }
            tracing::warn!(%error, address = peer.address, attempt, "a migration meets trouble, again");
            self.sleep(pause);
            (attempt, pause) = (attempt + 1, pause.saturating_mul(2));
        }
    }

    fn sleep(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < end {
            std::thread::sleep(TICK.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Waits until what was fetched is no more than the rate allows.
    fn throttle(&mut self) {
        if let Some(ms) = self.report.bytes.saturating_mul(1_000).checked_div(self.wanted.bytes_per_second) {
            self.sleep(Duration::from_millis(ms).saturating_sub(self.begun.elapsed()));
        }
    }

    fn reconcile(&mut self, study: &str, told: &BTreeMap<String, String>, pulled: &Pulled<'_>) -> Result<(), Failure> {
        let lost = |error: String| Failure::new(Exit::Failed, format!("the report cannot be written: {error}"));
        let count = |wanted: &Fate| pulled.fates.values().filter(|fate| *fate == wanted).count() as u64;
        let missing: Vec<&String> = told.keys().filter(|instance| !pulled.fates.contains_key(*instance)).collect();
        // What was sent without having been told of was found, too.
        let untold = pulled.fates.keys().filter(|instance| !told.contains_key(*instance)).count() as u64;
        let one = Finished {
            study: study.to_owned(),
            found: (told.len() as u64).saturating_add(untold),
            moved: count(&Fate::Moved),
            equal: count(&Fate::Equal),
            conflicts: count(&Fate::Conflict),
        };
        let mut trouble: Vec<(&String, String)> =
            missing.iter().map(|instance| (*instance, pulled.said.clone())).collect();
        self.report.missing = self.report.missing.saturating_add(trouble.len() as u64);
        for (instance, fate) in &pulled.fates {
            if let Fate::Refused(why) = fate {
                self.report.refused = self.report.refused.saturating_add(1);
                trouble.push((instance, why.clone()));
            }
        }
        self.report.found = self.report.found.saturating_add(one.found);
        self.report.moved = self.report.moved.saturating_add(one.moved);
        self.report.equal = self.report.equal.saturating_add(one.equal);
        self.report.conflicts = self.report.conflicts.saturating_add(one.conflicts);
        self.report.bytes = self.report.bytes.saturating_add(pulled.bytes);
        for (instance, why) in &trouble {
            self.troubled.write_record([study, instance, why]).map_err(|error| lost(error.to_string()))?;
            let known = self.reasons.len() < REASONS_MAX || self.reasons.contains_key(why);
            *self.reasons.entry(if known { why.clone() } else { "(other reasons)".into() }).or_default() += 1;
        }
        if trouble.is_empty() {
            let line = serde_json::to_string(&one).map_err(|error| lost(error.to_string()))?;
            self.state.write_all(format!("{line}\n").as_bytes()).map_err(|error| lost(error.to_string()))?;
        }
        Ok(())
    }
}
