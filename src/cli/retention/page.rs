//! Plans, holds and late instances as tables, CSV and JSON lines; Vietnamese beside English.
//!
//! Deliberately not here: patient data. Whoever needs the name asks the archive by the Study Instance UID.

use crate::cli::{Exit, Failure, show};
use archive::retain::{Held, PlanProgress, PlanView};
use indicatif::{HumanBytes, HumanCount};
use model::Digest;
use model::date::Date;
use model::retention::plan::{HeldEntry, PlanReader, PlanTotals};
use model::retention::{HoldTarget, PlanEntry, PlanHead, PlanLine, Refusal, RetentionFact, Withheld};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Forms of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For reading.
    Table,
    /// The plan's own lines.
    Json,
    /// For spreadsheets.
    Csv,
}

/// Bytes copied at once.
const PIECE: usize = 1 << 16;

const COLUMNS: [&str; 16] = [
    "plan",
    "as_of",
    "rules",
    "standing",
    "facility",
    "study",
    "patient_number",
    "class",
    "rule",
    "kept_until",
    "instances",
    "bytes_journal",
    "bytes_hot",
    "bytes_cold",
    "held_by_en",
    "held_by_vi",
];

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, what.to_string())
}

/// A plan's text, and the digest it was recorded with.
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) digest: String,
}

/// Writes a plan to standard output or to a new file, which is complete when it appears.
pub(super) fn deliver(plan: &Text, kind: Kind, out: Option<&Path>) -> Result<Exit, Failure> {
    let Some(path) = out else {
        return match write(plan, kind, &mut BufWriter::new(io::stdout().lock())) {
            Err(Trouble::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            Err(trouble) => Err(trouble.failure("standard output")),
            Ok(()) => Ok(Exit::Done),
        };
    };
    let named = path.display().to_string();
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = (|| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        let mut out = BufWriter::new(file);
        write(plan, kind, &mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        // A link is refused where a name is taken; a rename would replace what came meanwhile.
        std::fs::hard_link(&partial, path)?;
        Ok(())
    })();
    let _ = std::fs::remove_file(&partial);
    written.map_err(|trouble: Trouble| trouble.failure(&named))?;
    show(&format!("{named}\n"))
}

/// Why a plan was not written.
enum Trouble {
    Out(io::Error),
    Plan(String),
}

impl Trouble {
    fn failure(self, out: &str) -> Failure {
        match self {
            Self::Out(error) => failed(format!("{out}: {error}")),
            Self::Plan(what) => failed(what),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

fn write(text: &Text, kind: Kind, out: &mut dyn Write) -> Result<(), Trouble> {
    let plan = text.path.as_path();
    let unread = |error: &dyn std::fmt::Display| Trouble::Plan(format!("{}: {error}", plan.display()));
    if kind == Kind::Json {
        return copy(text, out);
    }
    if kind == Kind::Table {
        // The sums stand last in the text and first on the page.
        let mut reader = PlanReader::new();
        for line in BufReader::new(File::open(plan).map_err(|error| unread(&error))?).lines() {
            reader.line(&line?).map_err(|error| unread(&error))?;
        }
        let summary = reader.finish().map_err(|error| unread(&error))?;
        out.write_all(table_head(&summary.head, &summary.totals, &summary.digest.to_string()).as_bytes())?;
    }
    if kind == Kind::Csv {
        // With the mark, spreadsheets read UTF-8.
        write!(out, "\u{feff}{}", csv_line(&COLUMNS.map(str::to_owned))?)?;
    }
    let (mut reader, mut head) = (PlanReader::new(), None);
    for text in BufReader::new(File::open(plan).map_err(|error| unread(&error))?).lines() {
        let text = text?;
        let line = reader.line(&text).map_err(|error| unread(&error))?;
        match (kind, line) {
            (_, PlanLine::Plan(found)) => head = Some(found),
            (Kind::Csv, line) => out.write_all(csv_row(head.as_ref(), &line)?.as_bytes())?,
            (_, PlanLine::Due(entry)) => out.write_all(due_row(&entry).as_bytes())?,
            (_, PlanLine::Held(entry)) => out.write_all(held_row(&entry).as_bytes())?,
            (_, PlanLine::Totals(_)) => {}
        }
    }
    Ok(out.flush()?)
}

/// Copies a plan's own lines, which need not be understood for that: their digest says whether they are the ones.
fn copy(text: &Text, out: &mut dyn Write) -> Result<(), Trouble> {
    let unread = |error: &dyn std::fmt::Display| Trouble::Plan(format!("{}: {error}", text.path.display()));
    let mut file = File::open(&text.path).map_err(|error| unread(&error))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let len = file.read(&mut buffer).map_err(|error| unread(&error))?;
        let Some(piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        out.write_all(piece)?;
    }
    out.flush()?;
    if Digest(hasher.finalize().into()).to_string() == text.digest {
        return Ok(());
    }
    Err(unread(&"the text of the plan was changed: its digest is not the recorded one"))
}

fn table_head(head: &PlanHead, totals: &PlanTotals, digest: &str) -> String {
    let mut out = format!("Retention plan {} as of {} (kế hoạch hủy, tính đến đầu ngày)\n", head.plan, head.as_of);
    let _ = writeln!(out, "made by (người lập)       {}", head.made_by);
    let _ = writeln!(out, "rules (quy tắc)           {}", head.rules);
    let _ = writeln!(out, "days to undo (hoàn tác)   {}", head.undo_days);
    let _ = writeln!(out, "digest (mã băm)           {digest}\n");
    let _ = writeln!(out, "looked at (đã xét)        {} studies (ca chụp)", HumanCount(totals.considered));
    let _ = writeln!(out, "due (hết thời hạn)        {} studies", HumanCount(totals.due));
    let _ = writeln!(out, "held (đang bị giữ)        {} studies", HumanCount(totals.held));
    if totals.due == 0 {
        return out;
    }
    let line = |out: &mut String, cells: [&str; 6]| {
        let [facility, studies, instances, journal, hot, cold] = cells;
        let _ = writeln!(out, "{facility:20} {studies:>9} {instances:>12} {journal:>12} {hot:>12} {cold:>12}");
    };
    let _ = writeln!(out);
    line(&mut out, ["facility (cơ sở)", "studies", "instances", "journal", "hot", "cold"]);
    for (facility, sum) in &totals.facilities {
        let bytes = |bytes: u64| HumanBytes(bytes).to_string();
        let counts = (HumanCount(sum.studies).to_string(), HumanCount(sum.instances).to_string());
        let (journal, hot, cold) = (bytes(sum.bytes.journal), bytes(sum.bytes.hot), bytes(sum.bytes.cold));
        line(&mut out, [facility.as_str(), &counts.0, &counts.1, &journal, &hot, &cold]);
    }
    let _ = writeln!(out, "\n{:32} {:>9}", "rule (quy tắc)", "studies");
    for (rule, studies) in &totals.rules {
        let _ = writeln!(out, "{:32} {:>9}", rule.as_str(), HumanCount(*studies).to_string());
    }
    let _ = writeln!(out, "\n`kept until` is the last day a study had to be kept (ngày cuối cùng phải lưu)");
    let _ = writeln!(
        out,
        "{:8}  {:10}  {:12}  {:16}  {:>9}  {:>10}  Study Instance UID",
        "facility", "kept until", "class", "rule", "instances", "bytes"
    );
    out
}

fn which(patient: u16) -> String {
    if patient == 0 { String::new() } else { format!("#{patient}") }
}

fn due_row(entry: &PlanEntry) -> String {
    let (facility, class, rule) = (entry.study.facility.as_str(), entry.class.as_str(), entry.rule.as_str());
    let (until, bytes) = (entry.due.to_string(), HumanBytes(entry.bytes.sum()).to_string());
    let instances = HumanCount(entry.instances).to_string();
    let study = format!("{}{}", entry.study.study, which(entry.study.patient));
    format!("{facility:8}  {until:10}  {class:12}  {rule:16}  {instances:>9}  {bytes:>10}  {study}\n")
}

fn held_row(entry: &HeldEntry) -> String {
    let (facility, class, rule) = (entry.study.facility.as_str(), entry.class.as_str(), entry.rule.as_str());
    let (until, (en, vi)) = (entry.due.to_string(), withheld(&entry.why));
    let study = format!("{}{}", entry.study.study, which(entry.study.patient));
    format!("{facility:8}  {until:10}  {class:12}  {rule:16}  {:>9}  {:>10}  {study}: {en} ({vi})\n", "held", "-")
}

/// Why a study stays, in English and Vietnamese.
fn withheld(why: &Withheld) -> (String, String) {
    match why {
        Withheld::Holds(holds) => {
            let refusal = Refusal::NewHold { holds: holds.clone() };
            (refusal.to_string(), refusal.vietnamese())
        }
        Withheld::Unclear => (Refusal::Unclear.to_string(), Refusal::Unclear.vietnamese()),
        Withheld::Moved => (Refusal::SeriesMoved.to_string(), Refusal::SeriesMoved.vietnamese()),
    }
}

fn csv_row(head: Option<&PlanHead>, line: &PlanLine) -> Result<String, Trouble> {
    let head = head.map(|head| [head.plan.to_string(), head.as_of.to_string(), head.rules.to_string()]);
    let (standing, study, class, rule, due, instances, bytes, why) = match line {
        PlanLine::Due(e) => ("due", &e.study, &e.class, &e.rule, e.due, Some(e.instances), e.bytes, None),
        PlanLine::Held(e) => ("held", &e.study, &e.class, &e.rule, e.due, None, e.bytes, Some(withheld(&e.why))),
        PlanLine::Plan(_) | PlanLine::Totals(_) => return Ok(String::new()),
    };
    let mut cells: Vec<String> = head.unwrap_or_default().into();
    let (en, vi) = why.unwrap_or_default();
    cells.extend([
        standing.to_owned(),
        study.facility.to_string(),
        study.study.to_string(),
        study.patient.to_string(),
        class.to_string(),
        rule.to_string(),
        due.to_string(),
        instances.map_or(String::new(), |count| count.to_string()),
        bytes.journal.to_string(),
        bytes.hot.to_string(),
        bytes.cold.to_string(),
        en,
        vi,
    ]);
    csv_line(&cells)
}

fn csv_line(cells: &[String]) -> Result<String, Trouble> {
    let wrong = |error: &dyn std::fmt::Display| Trouble::Plan(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).map_err(|error| wrong(&error))?;
    let bytes = writer.into_inner().map_err(|error| wrong(&error))?;
    String::from_utf8(bytes).map_err(|error| wrong(&error))
}

fn part<T: DeserializeOwned>(answer: &Value, name: &str) -> Option<T> {
    answer.get(name).and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// What a state is called in Vietnamese.
fn state(word: &str) -> &str {
    match word {
        "planned" => "đã lập",
        "approved" => "đã phê duyệt",
        "executing" => "đang thực hiện",
        "executed" => "đã thực hiện",
        _ => "đã rút lại",
    }
}

/// Every plan.
pub(super) fn plans(answer: &Value) -> String {
    let plans: Vec<PlanView> = part(answer, "plans").unwrap_or_default();
    let mut out = String::new();
    for plan in plans {
        let _ = writeln!(
            out,
            "{:24} {:10} ({})  as of {}  due {}  held {}  made by {}",
            plan.plan,
            plan.state,
            state(&plan.state),
            plan.as_of,
            plan.due,
            plan.held,
            plan.made_by
        );
    }
    if out.is_empty() { "no plan was made (chưa có kế hoạch)\n".into() } else { out }
}

/// One plan and how its studies stand.
pub(super) fn status(answer: &Value) -> String {
    let (Some(plan), Some(progress)) = (part::<PlanView>(answer, "plan"), part::<PlanProgress>(answer, "progress"))
    else {
        return "the answer is not understood; are command and server of one version?\n".into();
    };
    let mut out = format!("plan {}: {} ({})\n", plan.plan, plan.state, state(&plan.state));
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(out, "{name:34} {value}");
    };
    line("as of (tính đến đầu ngày)", &plan.as_of);
    line("made by (người lập)", &plan.made_by);
    if let Some((by, remark)) = &plan.approved_by {
        line("approved by (người phê duyệt)", &format!("{by} {remark}"));
    }
    if let Some((by, at)) = &plan.begun {
        line("begun by (người thực hiện)", &format!("{by}, {}", Date::of_ms(*at)));
    }
    line("days to undo (số ngày hoàn tác)", &plan.undo_days);
    line("not touched (chưa xử lý)", &progress.planned);
    line("hidden (đã ẩn)", &progress.hidden);
    line("destroyed (đã hủy)", &progress.destroyed);
    line("restored (đã khôi phục)", &progress.restored);
    line("taken out (đưa ra khỏi kế hoạch)", &progress.taken_out);
    if progress.sweeping {
        line("bytes (dữ liệu)", &"being removed (đang xóa)");
    }
    for (study, why) in &progress.refused {
        let _ = writeln!(out, "  {study}: {why} ({})", why.vietnamese());
    }
    out
}

/// Every hold.
pub(super) fn holds(answer: &Value) -> String {
    let holds: Vec<Held> = part(answer, "holds").unwrap_or_default();
    let mut out = String::new();
    for Held { hold, release } in holds {
        let target = match &hold.target {
            HoldTarget::Study(study) => format!("study {study}"),
            HoldTarget::Patient(patient) => format!("patient {}:{}", patient.issuer, patient.id),
            HoldTarget::Studies { query, studies } => format!("{} studies of {query}", studies.len()),
        };
        let (made, owner) = (Date::of_ms(hold.made_at), &hold.owner);
        let standing = match release {
            None => "stands (còn hiệu lực)".to_owned(),
            Some(end) => format!("released {} by {} (đã gỡ): {}", Date::of_ms(end.at), end.by, end.reason),
        };
        let _ =
            writeln!(out, "{:12} {target}; {}; owner {owner}, made {made}; {standing}", hold.id.as_str(), hold.reason);
    }
    if out.is_empty() { "no hold was made (chưa có lệnh giữ)\n".into() } else { out }
}

/// Instances that came in for destroyed studies.
pub(super) fn late(answer: &Value) -> String {
    let late: Vec<RetentionFact> = part(answer, "late").unwrap_or_default();
    let mut out = String::new();
    for fact in late {
        if let RetentionFact::LateInstance { study, seq, destroyed_at, at } = fact {
            let (came, gone) = (Date::of_ms(at), Date::of_ms(destroyed_at));
            let _ = writeln!(out, "{study}  number {seq}  came {came} (đến)  study destroyed {gone} (ca chụp đã hủy)");
        }
    }
    if out.is_empty() { "none (không có)\n".into() } else { out }
}
