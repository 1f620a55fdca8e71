//! The first load of charts: a table of patients or orders, each line taken as a message of its own.
//!
//! What is finished and what was refused lie in `imports` inside the data directory, named after the facility and the
//! table's content, so that the same table goes on where it stopped and has no second effect. Both hold line numbers and
//! reasons, nothing of a patient.

use super::Progress;
use super::work::registered;
use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{ChartError, Receipt};
use csv::ByteRecord;
use his::{Asked, Table};
use model::chart::{Handled, Inbound, Origin};
use model::{Digest, FacilityCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines taken at once; what is finished is remembered after each such part.
const PART: usize = 1_024;
/// Lines of different patients taken at one time: one sync serves them all.
const WORKERS: usize = 16;
/// Largest table in bytes.
const FILE_MAX: u64 = 1 << 30;
/// Most refused lines named in the answer; the file names all.
const NAMED_MAX: usize = 20;

/// Which table, for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadRequest {
    /// Absolute path of the table.
    pub(crate) path: PathBuf,
    /// Whose patients and orders it holds.
    pub(crate) facility: FacilityCode,
    /// Takes every line again, finished ones too.
    pub(crate) restart: bool,
}

/// What a load came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    /// Lines below the heading that were read.
    pub(crate) lines: u64,
    /// Lines that were finished by an earlier command.
    pub(crate) skipped: u64,
    /// Lines whose effects are recorded.
    pub(crate) done: u64,
    /// Lines that were known and had no second effect.
    pub(crate) repeated: u64,
    /// Lines that wait for what they refer to.
    pub(crate) waiting: u64,
    /// Lines that were refused.
    pub(crate) refused: u64,
    /// The first lines that wait or were refused, and why.
    pub(crate) named: Vec<(u64, String)>,
    /// The file that names all of them.
    pub(crate) list: PathBuf,
    /// Whether it was ended early.
    pub(crate) interrupted: bool,
}

/// What became of a line.
enum Outcome {
    Done,
    Repeated,
    Waits(String),
    Refused(String),
}

/// A line on its way.
struct Wanted {
    line: u64,
    text: String,
    asked: Result<Asked, String>,
}

/// What is known of a file before it is read.
struct Looked {
    digest: Digest,
    lines: u64,
    delimiter: u8,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}

/// Loads a table and answers with a report.
pub(super) fn run(
    archive: &Arc<Archive>,
    wanted: &LoadRequest,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    registered(archive, wanted.facility)?;
    let mut file = File::open(&wanted.path).map_err(failed(&wanted.path))?;
    let looked = look(&mut file, &wanted.path)?;
    let folder = archive.options().data.join("imports");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
    let short: String = looked.digest.to_string().chars().take(12).collect();
    let name = format!("{}-charts-{short}", wanted.facility);
    let (state, list) = (folder.join(format!("{name}.finished")), folder.join(format!("{name}.refused.csv")));
    let finished = if wanted.restart { 0 } else { finished(&state) };
    let (mut load, mut reader) = begin(archive, wanted, (&looked, file), (state, list, finished))?;
    let mut step = Progress { total: looked.lines.max(finished), done: finished, ..Progress::default() };
    loop {
        if stop.load(Ordering::Relaxed) {
            load.report.interrupted = true;
            break;
        }
        let part = load.part(&mut reader)?;
        if part.is_empty() {
            break;
        }
        step.bytes = reader.position().byte();
        load.take(&part)?;
        step.done = load.report.lines;
        step.trouble = load.report.refused;
        progress(step);
    }
    serde_json::to_value(&load.report).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// Reads a file once: its digest, about how many lines it has, and what stands between its cells.
fn look(file: &mut File, path: &Path) -> Result<Looked, Failure> {
    let failed = failed(path);
    if file.metadata().map_err(&failed)?.len() > FILE_MAX {
        let what = format!("{}: a table has at most {} MiB; split it", path.display(), FILE_MAX >> 20);
        return Err(Failure::new(Exit::Usage, what));
    }
    let (mut hasher, mut lines, mut heading) = (Sha256::new(), 0u64, Vec::new());
    let (mut buffer, mut in_heading) = (vec![0u8; 1 << 16], true);
    loop {
        let count = file.read(&mut buffer).map_err(&failed)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        lines = lines.saturating_add(read.iter().map(|byte| u64::from(*byte == b'\n')).sum());
        if in_heading {
            let end = read.iter().position(|byte| *byte == b'\n');
            heading.extend_from_slice(read.get(..end.unwrap_or(read.len())).unwrap_or_default());
            in_heading = end.is_none();
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(&failed)?;
    let often = |wanted: u8| heading.iter().filter(|byte| **byte == wanted).count();
    let delimiter =
        [b',', b';', b'\t'].into_iter().max_by_key(|wanted| (often(*wanted), *wanted == b',')).unwrap_or(b',');
    Ok(Looked { digest: Digest(hasher.finalize().into()), lines: lines.saturating_sub(1), delimiter })
}

/// Lines that an earlier command finished.
fn finished(state: &Path) -> u64 {
    std::fs::read_to_string(state).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

type Reader = csv::Reader<BufReader<File>>;

fn begin(
    archive: &Arc<Archive>,
    wanted: &LoadRequest,
    (looked, file): (&Looked, File),
    (state, list, finished): (PathBuf, PathBuf, u64),
) -> Result<(Load, Reader), Failure> {
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(looked.delimiter).flexible(true);
    let mut reader = builder.from_reader(BufReader::new(file));
    let wrong = |what: String| Failure::new(Exit::Usage, format!("{}: {what}", wanted.path.display()));
    let heading = reader.byte_headers().map_err(|error| wrong(error.to_string()))?;
    let cells = cells(heading).ok_or_else(|| wrong("the heading is not UTF-8".into()))?;
    let table = Table::of(cells.iter().copied()).map_err(wrong)?;
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).write(true);
    let options = if finished == 0 { options.truncate(true) } else { options.append(true) };
    let mut refused = options.open(&list).map_err(failed(&list))?;
    if finished == 0 {
        refused.write_all(b"line,state,reason\n").map_err(failed(&list))?;
    }
    let report = LoadReport { list, ..LoadReport::default() };
    let archive = Arc::clone(archive);
    let facility = wanted.facility;
    Ok((Load { archive, facility, table, finished, state, refused, report }, reader))
}

/// The cells of a line; none when it is not UTF-8.
fn cells(record: &ByteRecord) -> Option<Vec<&str>> {
    record.iter().map(|cell| std::str::from_utf8(cell).ok()).collect()
}

struct Load {
    archive: Arc<Archive>,
    facility: FacilityCode,
    table: Table,
    finished: u64,
    state: PathBuf,
    refused: File,
    report: LoadReport,
}

impl Load {
    /// The next lines that were not finished before.
    fn part(&mut self, reader: &mut Reader) -> Result<Vec<Wanted>, Failure> {
        let (mut part, mut record) = (Vec::new(), ByteRecord::new());
        while part.len() < PART {
            let more = reader.read_byte_record(&mut record);
            let more = more.map_err(|_| Failure::new(Exit::Failed, "the table cannot be read on"))?;
            if !more {
                break;
            }
            self.report.lines = self.report.lines.saturating_add(1);
            if self.report.lines <= self.finished {
                self.report.skipped = self.report.skipped.saturating_add(1);
                continue;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let (text, asked) = match cells(&record) {
                Some(cells) => (self.text(&cells), self.table.read(&cells)),
                None => (String::new(), Err("the line is not UTF-8".into())),
            };
            part.push(Wanted { line, text, asked });
        }
        Ok(part)
    }

    /// A line as it is kept: what stands under each name.
    fn text(&self, cells: &[&str]) -> String {
        let said = self.table.columns().iter().zip(cells).filter(|(_, cell)| !cell.trim().is_empty());
        said.map(|(name, cell)| format!("{name}: {}\n", cell.trim())).collect()
    }

    /// Takes lines, those of one patient one after the other, and remembers that they are finished.
    fn take(&mut self, part: &[Wanted]) -> Result<(), Failure> {
        let mut queues: Vec<Vec<&Wanted>> = vec![Vec::new(); WORKERS];
        for wanted in part {
            let mut hasher = DefaultHasher::new();
            wanted.asked.as_ref().map_or("", |asked| asked.mrn.as_str()).hash(&mut hasher);
            let count = u64::try_from(WORKERS).unwrap_or(1);
            let queue = usize::try_from(hasher.finish() % count).ok().and_then(|at| queues.get_mut(at));
            if let Some(queue) = queue {
                queue.push(wanted);
            }
        }
        let this = &*self;
        let taken: Vec<Result<Vec<(u64, Outcome)>, ChartError>> = std::thread::scope(|scope| {
            let busy = queues.iter().filter(|queue| !queue.is_empty());
            let begun: Vec<_> = busy.map(|queue| scope.spawn(move || this.each(queue))).collect();
            let ended =
                begun.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ended.collect()
        });
        let mut outcomes = Vec::with_capacity(part.len());
        for taken in taken {
            let stopped =
                |error: ChartError| Failure::new(Exit::Failed, format!("{error}; the same command goes on from here"));
            outcomes.extend(taken.map_err(stopped)?);
        }
        outcomes.sort_by_key(|(line, _)| *line);
        outcomes.into_iter().try_for_each(|(line, outcome)| self.count(line, outcome))?;
        self.remember()
    }

    fn each(&self, queue: &[&Wanted]) -> Result<Vec<(u64, Outcome)>, ChartError> {
        queue.iter().map(|wanted| Ok((wanted.line, self.one(wanted)?))).collect()
    }

    fn one(&self, wanted: &Wanted) -> Result<Outcome, ChartError> {
        let asked = match &wanted.asked {
            Ok(asked) => asked,
            Err(why) => return Ok(Outcome::Refused(why.clone())),
        };
        let kind = self.table.kind().message();
        let digest = Sha256::new().chain_update(kind).chain_update(&wanted.text).finalize();
        let digest = Digest(digest.into());
        let (source, control) = (format!("csv:{}", self.facility), digest.to_string());
        let message = Inbound {
            origin: Origin { source, sender: String::new(), control, digest },
            kind: kind.to_owned(),
            mrn: Some(asked.mrn.clone()),
            text: wanted.text.clone(),
            changes: Ok(asked.changes.clone()),
            remarks: Vec::new(),
        };
        let Receipt { handled, repeated, .. } = self.archive.charts().receive(self.facility, message)?;
        Ok(match handled {
            Handled::Done if repeated => Outcome::Repeated,
            Handled::Done => Outcome::Done,
            Handled::Parked { why, .. } => Outcome::Waits(why),
            Handled::Refused { why } => Outcome::Refused(why),
        })
    }

    fn count(&mut self, line: u64, outcome: Outcome) -> Result<(), Failure> {
        let report = &mut self.report;
        let (number, trouble) = match outcome {
            Outcome::Done => (&mut report.done, None),
            Outcome::Repeated => (&mut report.repeated, None),
            Outcome::Waits(why) => (&mut report.waiting, Some(("waits", why))),
            Outcome::Refused(why) => (&mut report.refused, Some(("refused", why))),
        };
        *number = number.saturating_add(1);
        let Some((state, why)) = trouble else { return Ok(()) };
        if report.named.len() < NAMED_MAX {
            report.named.push((line, why.clone()));
        }
        let row = format!("{line},{state},\"{}\"\n", why.replace('"', "'"));
        self.refused.write_all(row.as_bytes()).map_err(failed(&self.report.list))
    }

    fn remember(&mut self) -> Result<(), Failure> {
        let beside = self.state.with_extension("new");
        let written = std::fs::write(&beside, self.report.lines.to_string());
        written.and_then(|()| std::fs::rename(&beside, &self.state)).map_err(failed(&self.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Opened;
    use archive::{ChartDriver, ChartQuery, Options};
    use model::Caller;
    use model::chart::{ChartBody, ChartKey, ChartKind, Patient, Term};
    use std::time::Duration;

    const WITHIN: Duration = Duration::from_secs(20);
    const PATIENTS: &str = include_str!("../../config/first-load/patients.csv");
    const ORDERS: &str = include_str!("../../config/first-load/orders.csv");
    const HOME: FacilityCode = FacilityCode::DEMO;

    struct Bench {
        folder: tempfile::TempDir,
        own: Opened,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let options = Options { reserve_bytes: 0, background: false, ..Options::new(folder.path().join("data")) };
            let own = Opened::open(options, WITHIN).expect("opens");
            Self { folder, own }
        }

        fn load_with(&self, text: &[u8], restart: bool, stop: &AtomicBool) -> Result<LoadReport, Failure> {
            let path = self.folder.path().join("table.csv");
            std::fs::write(&path, text).expect("written");
            let wanted = LoadRequest { path, facility: HOME, restart };
            let answer = run(self.own.archive(), &wanted, stop, &mut |_| {})?;
            Ok(serde_json::from_value(answer).expect("a report"))
        }

        fn load(&self, text: &[u8]) -> LoadReport {
            self.load_with(text, false, &AtomicBool::new(false)).expect("loaded")
        }

        fn patient(&self, mrn: &str) -> Option<Patient> {
            let key = ChartKey::new(ChartKind::Patient, HOME, mrn).expect("a key");
            match self.own.archive().charts().get(&Caller::operator(), &key).expect("answers")?.body {
                ChartBody::Patient(patient) => Some(*patient),
                _ => None,
            }
        }

        fn count(&self, kind: ChartKind) -> usize {
            let driver = ChartDriver::Equal(Term::Any, String::new());
            let query = ChartQuery { kind, facilities: None, driver, moments: None, years: None };
            self.own.archive().charts().find(&Caller::operator(), &query, None, 1_000).expect("answers").rows.len()
        }
    }

    #[test]
    fn a_table_of_patients_and_one_of_orders_are_loaded_once() {
        let bench = Bench::new();
        let report = bench.load(PATIENTS.as_bytes());
        assert_eq!((report.lines, report.done, report.refused), (4, 4, 0), "{report:?}");
        assert_eq!(bench.patient("22000001").expect("loaded").name, "Nguyễn Văn An");
        // With a mark in front and other separators, as a spreadsheet writes it, it is the same content.
        let other = format!("\u{feff}{}", PATIENTS.replace(',', ";").replace('\n', "\r\n"));
        let report = bench.load(other.as_bytes());
        assert_eq!((report.done, report.repeated), (0, 4), "{report:?}");
        // The very same file is not even read again, unless that is wished.
        let report = bench.load(PATIENTS.as_bytes());
        assert_eq!((report.done, report.repeated, report.skipped), (0, 0, 4), "{report:?}");
        let again = bench.load_with(PATIENTS.as_bytes(), true, &AtomicBool::new(false)).expect("loaded");
        assert_eq!((again.done, again.repeated, again.skipped), (0, 4, 0), "{again:?}");
        let report = bench.load(ORDERS.as_bytes());
        assert_eq!((report.lines, report.done), (3, 3), "{report:?}");
        assert_eq!([ChartKind::Patient, ChartKind::Order, ChartKind::Visit].map(|kind| bench.count(kind)), [4, 3, 2]);
        assert_eq!(bench.count(ChartKind::Message), 7, "one for each line");
    }

    #[test]
    fn lines_that_are_refused_or_wait_are_named_by_number_alone() {
        let bench = Bench::new();
        let mut text =
            b"mrn,name,birth\n1,L\xc3\xaa An,1978\n2,Tr\xc3\xa2n,never\n3,\xff\xfe,1980\n,Ai,1990\n".to_vec();
        text.extend_from_slice("5,\"Hai\ndòng\",1991\n6,Sáu\n".as_bytes());
        let report = bench.load(&text);
        assert_eq!((report.lines, report.done, report.refused), (6, 2, 4), "{report:?}");
        let lines: Vec<u64> = report.named.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 8], "lines of the file, the heading is the first");
        let list = std::fs::read_to_string(&report.list).expect("the list");
        assert_eq!(list.lines().count(), 5);
        assert!(!list.contains("never") && !list.contains("Ai") && !list.contains("Trân"), "{list}");
        let report = bench.load(b"placer,mrn,state\nCD-1,77,\n");
        assert_eq!(report.done + report.waiting + report.refused, 1, "{report:?}");
    }

    #[test]
    fn what_was_stopped_goes_on_and_a_heading_with_a_slip_changes_nothing() {
        let bench = Bench::new();
        let lines: String = (0..1_500).map(|number| format!("{},Người {number}\n", number % 10)).collect();
        let text = format!("mrn,name\n{lines}");
        // Stopped after the first part.
        let path = bench.folder.path().join("table.csv");
        std::fs::write(&path, &text).expect("written");
        let stop = AtomicBool::new(false);
        let wanted = LoadRequest { path, facility: HOME, restart: false };
        let answer = run(bench.own.archive(), &wanted, &stop, &mut |_| stop.store(true, Ordering::Relaxed));
        let report: LoadReport = serde_json::from_value(answer.expect("stopped")).expect("a report");
        assert_eq!((report.interrupted, report.done), (true, 1_024));
        let report = bench.load(text.as_bytes());
        assert_eq!((report.skipped, report.done, report.interrupted), (1_024, 476, false), "{report:?}");
        let wrong = bench.load_with("mrn,ten\n1,Lê An\n".as_bytes(), false, &AtomicBool::new(false));
        let error = wrong.expect_err("a slip");
        assert!(error.what.contains("column 2") && error.exit == Exit::Usage, "{}", error.what);
    }
}
