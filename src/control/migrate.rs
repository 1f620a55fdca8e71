//! Copying another archive on behalf of a command: what it has is asked window by window of study dates and fetched study
//! by study, by C-FIND with C-GET or C-MOVE, or over DICOMweb. Everything is reconciled against what it said it has.
//!
//! What is finished is noted in `migrations` inside the data directory, so that the same command goes on where it
//! stopped. A study that was under way is fetched again: what is here already is the same again.

mod dicom;
mod dicomweb;
mod moved;
mod pulled;
mod state;
mod tally;
mod way;

use super::Progress;
use super::work::registered;
use crate::cli::{Exit, Failure};
use archive::Archive;
use model::{Date, FacilityCode};
use pulled::Pulled;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use state::{Counts, State, private, short};
use std::collections::{BTreeMap, HashSet};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tally::lost;
use way::{StudyTold, Told, Trouble, Way};

pub(crate) use dicom::{DicomOther, Tls};
pub(crate) use dicomweb::WebOther;

/// Longest sleep without a look whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// Fetches of a study before what did not come is missing.
const FETCHES: u32 = 2;
/// Studies, or windows, that could not be asked in a row before the rest is left for another run.
const SILENT_MAX: u32 = 3;

/// What to copy, for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MigrateRequest {
    /// The other archive.
    pub(crate) from: Other,
    /// Facility the objects belong to.
    pub(crate) facility: FacilityCode,
    /// First and last study date; none means everything in one question.
    pub(crate) dates: Option<(Date, Date)>,
    /// Days of one question.
    pub(crate) window_days: u16,
    /// Most bytes fetched in a second; 0 means any.
    pub(crate) bytes_per_second: u64,
    /// How often something is tried that the other archive does not do.
    pub(crate) attempts: u32,
    /// Pause between two attempts, in seconds.
    pub(crate) retry_seconds: u64,
    /// Begins anew instead of going on where an earlier run stopped.
    pub(crate) restart: bool,
}

/// The other archive, and how it is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "speaks", rename_all = "kebab-case")]
pub(crate) enum Other {
    /// C-FIND, C-GET, C-MOVE.
    Dicom(DicomOther),
    /// QIDO-RS, WADO-RS.
    Web(WebOther),
}

/// The reconciliation. Objects count once each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Windows of study dates.
    pub(crate) windows: u64,
    /// Of them, not asked to their end: what they hold may not be here.
    pub(crate) windows_not_done: u64,
    /// Studies the other archive told of.
    pub(crate) studies: u64,
    /// Of them, finished by an earlier run; their objects are counted below as they were then.
    pub(crate) finished_earlier: u64,
    /// Of them, those whose objects it did not tell.
    pub(crate) studies_not_done: u64,
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

struct Job<'a> {
    archive: &'a Arc<Archive>,
    wanted: &'a MigrateRequest,
    way: Box<dyn Way + 'a>,
    stop: &'a AtomicBool,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    state: State,
    troubled: csv::Writer<File>,
    reasons: BTreeMap<String, u64>,
    not_done: Vec<(String, String)>,
    report: Report,
    seen: HashSet<u128>,
    /// Studies in a row whose objects were not told.
    silent: u32,
    begun: Instant,
}

/// Copies and answers with the reconciliation.
pub(super) fn run(
    archive: &Arc<Archive>,
    wanted: &MigrateRequest,
    stop: &Arc<AtomicBool>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    registered(archive, wanted.facility)?;
    let way: Box<dyn Way + '_> = match &wanted.from {
        Other::Dicom(other) => Box::new(dicom::DicomWay::new(archive, wanted.facility, other)?),
        Other::Web(other) => Box::new(dicomweb::WebWay::new(other)?),
    };
    let folder = archive.options().data.join("migrations");
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    let name = name_of(wanted);
    let (state, troubled) = (folder.join(format!("{name}.finished")), folder.join(format!("{name}.troubled.csv")));
    let mut job = Job {
        archive,
        wanted,
        way,
        stop,
        progress,
        state: State::open(&state, wanted.restart).map_err(failed)?,
        troubled: csv::Writer::from_writer(private(&troubled, true).map_err(failed)?),
        reasons: BTreeMap::new(),
        not_done: Vec::new(),
        report: Report::default(),
        seen: HashSet::new(),
        silent: 0,
        begun: Instant::now(),
    };
    let ended = job.windows();
    let Job { troubled: mut rows, report, reasons, not_done, .. } = job;
    rows.flush().map_err(failed)?;
    ended?;
    Ok(json!({ "report": report, "reasons": reasons, "not_done": not_done, "troubled": troubled }))
}

/// The same command goes on with the same files.
fn name_of(wanted: &MigrateRequest) -> String {
    let from = match &wanted.from {
        Other::Dicom(other) => format!("{}@{}", other.called, other.address),
        Other::Web(other) => other.root.trim_end_matches('/').to_owned(),
    };
    let short: String = Sha256::digest(from).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{short}", wanted.facility)
}

/// The windows of study dates as they are asked, oldest first; one empty text asks for everything.
fn windows(dates: Option<(Date, Date)>, days: u16) -> Vec<String> {
    let Some((first, last)) = dates else { return vec![String::new()] };
    let days = i64::from(days.max(1));
    let day = |date: Date| archive::clock::day_of(date.start_ms());
    let (mut all, mut from) = (Vec::new(), first);
    while from <= last {
        let to = from.plus_days(days - 1).min(last);
        all.push(format!("{}-{}", day(from), day(to)));
        from = to.plus_days(1);
    }
    all
}

impl Job<'_> {
    fn windows(&mut self) -> Result<(), Failure> {
        let all = windows(self.wanted.dates, self.wanted.window_days);
        self.report.windows = all.len() as u64;
        let mut silent = 0;
        let mut left = all.iter();
        for window in left.by_ref() {
            if self.is_stopped() {
                return Ok(());
            }
            let Some(trouble) = self.window(window)? else {
                silent = 0;
                continue;
            };
            self.window_not_done(window, &trouble.what)?;
            silent += 1;
            if silent >= SILENT_MAX {
                break;
            }
        }
        for window in left {
            self.window_left(window, "not asked: those before it failed")?;
        }
        match self.is_stopped() || self.report.windows_not_done > 0 {
            true => Ok(()),
            false => self.state.end().map_err(lost),
        }
    }

    /// One window; trouble when it was not asked to its end.
    fn window(&mut self, dates: &str) -> Result<Option<Trouble>, Failure> {
        if let Some((studies, counts)) = self.state.window(dates) {
            self.report.studies = self.report.studies.saturating_add(studies);
            self.report.finished_earlier = self.report.finished_earlier.saturating_add(studies);
            self.count(&counts);
            return Ok(None);
        }
        let before = self.report.clone();
        let studies = match self.again(|way| way.studies(dates)) {
            Ok(studies) => studies,
            Err(trouble) => return Ok((!self.is_stopped()).then_some(trouble)),
        };
        for study in studies {
            if self.is_stopped() {
                return Ok(None);
            }
            if self.seen.insert(short(&study.uid))
                && let Some(trouble) = self.study(&study)?
            {
                return Ok(Some(trouble));
            }
            self.tell();
        }
        let after = &self.report;
        let trouble = |report: &Report| (report.missing, report.refused, report.studies_not_done);
        if trouble(&before) == trouble(after) && !after.interrupted {
            let counts = Counts {
                found: after.found.saturating_sub(before.found),
                moved: after.moved.saturating_sub(before.moved),
                equal: after.equal.saturating_sub(before.equal),
                conflicts: after.conflicts.saturating_sub(before.conflicts),
            };
            let studies = after.studies.saturating_sub(before.studies);
            self.state.put_window(dates, studies, counts).map_err(lost)?;
        }
        Ok(None)
    }

    /// Says how far it is; who does not listen any more has it stopped.
    fn tell(&mut self) {
        (self.progress)(Progress {
            done: self.report.studies,
            total: self.report.studies,
            bytes: self.report.bytes,
            trouble: self.report.missing.saturating_add(self.report.refused),
        });
    }

    fn is_stopped(&mut self) -> bool {
        self.report.interrupted |= self.stop.load(Ordering::Relaxed);
        self.report.interrupted
    }

    /// Fetches a study that is not finished, and reconciles it; trouble when it is time to leave the window.
    fn study(&mut self, study: &StudyTold) -> Result<Option<Trouble>, Failure> {
        let uid = study.uid.as_str();
        self.report.studies = self.report.studies.saturating_add(1);
        if let Some(before) = self.state.study(uid, study.instances) {
            self.report.finished_earlier = self.report.finished_earlier.saturating_add(1);
            self.count(&before);
            return Ok(None);
        }
        let told = match self.again(|way| way.told(uid)) {
            Ok(told) => told,
            Err(_) if self.is_stopped() => return Ok(None),
            Err(trouble) => {
                self.study_not_done(uid, &trouble.what)?;
                self.silent += 1;
                return Ok((self.silent >= SILENT_MAX).then_some(trouble));
            }
        };
        self.silent = 0;
        let mut pulled = Pulled::new(self.archive, self.wanted.facility);
        self.fetch(uid, &told, &mut pulled);
        if let Some(why) = &pulled.full {
            return Err(Failure::new(Exit::Failed, format!("the archive takes nothing more: {why}")));
        }
        if !self.is_stopped() {
            self.reconcile(uid, &told, &pulled)?;
        }
        self.throttle();
        Ok(None)
    }

    fn fetch(&mut self, study: &str, told: &Told, pulled: &mut Pulled<'_>) {
        for _ in 0..FETCHES {
            let whole = told.keys().all(|instance| pulled.fates.contains_key(instance));
            if whole || pulled.full.is_some() || self.is_stopped() {
                return;
            }
            if let Err(trouble) = self.again(|way| way.fetch(study, told, pulled)) {
                pulled.said = trouble.what;
                return;
            }
        }
    }

    /// Does something with the other archive, again where that may help.
    fn again<T>(&mut self, mut work: impl FnMut(&mut dyn Way) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut attempt = 1;
        loop {
            let trouble = match work(self.way.as_mut()) {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            if attempt >= self.wanted.attempts || !trouble.passing || self.is_stopped() {
                return Err(trouble);
            }
            tracing::warn!(trouble = trouble.what, attempt, "a migration meets trouble, again");
            self.sleep(Duration::from_secs(self.wanted.retry_seconds));
            attempt += 1;
        }
    }

    fn sleep(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < end {
            self.tell();
            std::thread::sleep(TICK.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Waits until what was fetched is no more than the rate allows.
    fn throttle(&mut self) {
        if let Some(ms) = self.report.bytes.saturating_mul(1_000).checked_div(self.wanted.bytes_per_second) {
            self.sleep(Duration::from_millis(ms).saturating_sub(self.begun.elapsed()));
        }
    }
}
