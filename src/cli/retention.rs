//! `khoanh retention`: plans, approval, execution, holds, and what is learned of studies.
//!
//! Deliberately not here: what may be done, which the archive says, and how plans look ([`page`]).

mod names;
mod page;

use super::progress::{Shown, stop_flag};
use super::{Exit, Failure, Place, show};
use crate::control::{Door, Request, RetentionRequest, Target};
use clap::{Args, Subcommand};
use model::date::Date;
use model::retention::record::RejectReason;
use model::retention::{ClassId, HoldId, LinkedRecord, PatientRef, Person, PlanId, StudyRef};
use model::{FacilityCode, Uid};
pub(super) use names::parse_study;
use names::{Instance, parse_condition, parse_hold, parse_instance, parse_patient, parse_plan};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Longest rule file in bytes: it travels in one request.
const RULES_MAX: u64 = 1 << 20;

pub(super) const HELP: &str = "\
Destroying takes two people and a delay (việc hủy cần hai người và một khoảng chờ):
  khoanh retention plan --as-of 2036-01-15 --by lan       lists what is due (lập kế hoạch)
  khoanh retention approve 2036-01-15-1 --by minh         a second person (người thứ hai phê duyệt)
  khoanh retention execute 2036-01-15-1 --by lan --yes    hidden first, destroyed days later (ẩn trước, hủy sau)
  khoanh retention restore 56001/1.2.3 --by lan --reason … makes a hidden study visible again (hoàn tác)
A study is written FACILITY/STUDY, with #1 behind it for the second patient under one Study Instance UID.";

#[derive(Debug, Subcommand)]
pub(super) enum Retention {
    /// Lists what is due on a day, and records the list as a plan (lập kế hoạch hủy).
    Plan(Plan),
    /// Every plan (các kế hoạch).
    List(Shows),
    /// The text of a plan (nội dung kế hoạch).
    Show(Show),
    /// A second person approves a plan (phê duyệt).
    Approve(Approve),
    /// Hides the studies of an approved plan; after the days to undo they are destroyed (thực hiện).
    Execute(Execute),
    /// How the studies of a plan stand (tình trạng).
    Status(Shows1),
    /// Makes a hidden study visible again (khôi phục ca chụp đã ẩn).
    Restore(OfStudy),
    /// Gives up a plan that was not begun (rút lại kế hoạch).
    Withdraw(Withdraw),
    /// Legal holds (lệnh giữ).
    #[command(subcommand)]
    Holds(Holds),
    /// Links a study to a record of a class (liên kết hồ sơ).
    Link(Link),
    /// Takes such a link back; what it raised stays raised (bỏ liên kết).
    Unlink(Link),
    /// Records the day a patient died (ngày người bệnh tử vong).
    Death(Death),
    /// Rejects an instance: found and retrieved by nobody from now on (loại bỏ một ảnh).
    Reject(Reject),
    /// What is rejected in a study, by whom and why, as JSON (các ảnh đã bị loại bỏ).
    Rejected(Rejected),
    /// Takes rejections back, until the study is destroyed (khôi phục ảnh đã loại bỏ).
    Unreject(Unreject),
    /// Instances that came in for destroyed studies (ảnh đến sau khi ca chụp đã bị hủy).
    Late(Shows),
}

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The day to look at, at its beginning, for example 2036-01-15.
    #[arg(long, value_name = "DATE", value_parser = Date::parse)]
    as_of: Date,
    /// Who makes the plan, and may not approve it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Only this facility; without it all.
    #[arg(long, value_name = "CODE", value_parser = FacilityCode::parse)]
    facility: Option<FacilityCode>,
    /// Rule file; without it the one of the configuration.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Records nothing: a look only, which nobody can approve.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    place: Place,
}

/// How a plan is written.
#[derive(Debug, Args)]
struct Form {
    /// Writes the plan's own JSON lines.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Writes CSV for a spreadsheet.
    #[arg(long)]
    csv: bool,
    /// New file to write to, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Shows {
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Shows1 {
    /// Name of the plan.
    #[arg(value_parser = parse_plan)]
    plan: PlanId,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Name of the plan.
    #[arg(value_parser = parse_plan)]
    plan: PlanId,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Name of the plan.
    #[arg(value_parser = parse_plan)]
    plan: PlanId,
    /// Who approves; not who made the plan.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Number and date of the decision it rests on.
    #[arg(long, value_name = "TEXT", default_value = "")]
    remark: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Execute {
    /// Name of the plan.
    #[arg(value_parser = parse_plan)]
    plan: PlanId,
    /// Who begins it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Really does it; without it only says what would be done.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct OfStudy {
    /// The study, FACILITY/STUDY.
    #[arg(value_parser = parse_study)]
    study: StudyRef,
    /// Who does it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Why. Write no name of a patient: it is kept for ever.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Withdraw {
    /// Name of the plan.
    #[arg(value_parser = parse_plan)]
    plan: PlanId,
    /// Who withdraws it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
pub(super) enum Holds {
    /// Every hold.
    List(Shows),
    /// Makes a hold on a study, a patient, or the studies a query answers now.
    Add(Box<AddHold>),
    /// Ends a hold.
    Release(ReleaseHold),
}

#[derive(Debug, Args)]
pub(super) struct AddHold {
    /// Number of the hold; without it the next free one.
    #[arg(long, value_parser = parse_hold)]
    id: Option<HoldId>,
    /// A study, FACILITY/STUDY.
    #[arg(long, value_parser = parse_study, conflicts_with_all = ["patient", "query"])]
    study: Option<StudyRef>,
    /// A patient, ISSUER:ID; where no issuer is known the facility code stands for it.
    #[arg(long, value_parser = parse_patient, conflicts_with = "query")]
    patient: Option<PatientRef>,
    /// Studies with this value, KEY=VALUE, for example PatientName=NGUYEN*; several must all fit.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_condition)]
    query: Vec<(String, String)>,
    /// Case number, letter, decision.
    #[arg(long)]
    reason: String,
    /// Who answers for it and is asked before it ends.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    owner: Person,
    /// Who makes it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseHold {
    /// Number of the hold.
    #[arg(value_parser = parse_hold)]
    hold: HoldId,
    /// Who ends it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Link {
    /// The study, FACILITY/STUDY.
    #[arg(value_parser = parse_study)]
    study: StudyRef,
    /// Class of the record, as the rule file names it.
    #[arg(long, value_parser = ClassId::parse)]
    class: ClassId,
    /// Day the record was closed.
    #[arg(long, value_name = "DATE", value_parser = Date::parse)]
    ended: Option<Date>,
    /// Who says so.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    /// Why, or which message.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Death {
    /// The patient, ISSUER:ID.
    #[arg(value_parser = parse_patient)]
    patient: PatientRef,
    /// The day.
    #[arg(long, value_name = "DATE", value_parser = Date::parse)]
    on: Date,
    /// Who says so.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Reject {
    /// The instance, FACILITY/STUDY/SERIES/INSTANCE.
    #[arg(value_parser = parse_instance)]
    instance: Instance,
    /// Why (IHE IOCM): quality, patient-safety, wrong-worklist-entry or retention-expired.
    #[arg(long, value_parser = parse_reason)]
    reason: RejectReason,
    /// Who rejects it.
    #[arg(long, value_name = "PERSON", value_parser = Person::parse)]
    by: Person,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Unreject {
    #[command(flatten)]
    of: OfStudy,
    /// SOP Instance UID; without one every rejected instance of the study.
    #[arg(long, value_name = "UID", value_parser = Uid::parse)]
    instance: Vec<Uid>,
}

#[derive(Debug, Args)]
pub(super) struct Rejected {
    /// The study, FACILITY/STUDY.
    #[arg(value_parser = parse_study)]
    study: StudyRef,
    #[command(flatten)]
    place: Place,
}

fn parse_reason(text: &str) -> Result<RejectReason, String> {
    let names = RejectReason::ALL.map(RejectReason::name).join(", ");
    RejectReason::parse(text).ok_or_else(|| format!("the reason is one of {names}"))
}

pub(super) fn run(wanted: &Retention) -> Result<Exit, Failure> {
    use RetentionRequest as R;
    match wanted {
        Retention::Plan(wanted) => plan(wanted),
        Retention::Show(wanted) => {
            let answer = ask(&wanted.place, R::Status { plan: wanted.plan.clone() })?;
            page::deliver(&text_of(&answer, "/plan/digest")?, wanted.form.kind(), wanted.form.out.as_deref())
        }
        Retention::List(wanted) => listed(wanted, R::List, page::plans),
        Retention::Late(wanted) => listed(wanted, R::Late, page::late),
        Retention::Status(wanted) => {
            let answer = ask(&wanted.place, R::Status { plan: wanted.plan.clone() })?;
            show(&if wanted.json { format!("{answer}\n") } else { page::status(&answer) })
        }
        Retention::Approve(Approve { plan, by, remark, place }) => {
            ask(place, R::Approve { plan: plan.clone(), by: by.clone(), remark: remark.clone() })?;
            show(&format!("plan {plan} is approved by {by} (kế hoạch đã được phê duyệt)\n"))
        }
        Retention::Execute(wanted) => execute(wanted),
        Retention::Restore(OfStudy { study, by, reason, place }) => {
            ask(place, R::Restore { study: study.clone(), by: by.clone(), reason: reason.clone() })?;
            show(&format!("study {study} is visible again (ca chụp đã được khôi phục)\n"))
        }
        Retention::Withdraw(Withdraw { plan, by, reason, place }) => {
            ask(place, R::Withdraw { plan: plan.clone(), by: by.clone(), reason: reason.clone() })?;
            show(&format!("plan {plan} is withdrawn (kế hoạch đã được rút lại)\n"))
        }
        Retention::Holds(wanted) => holds(wanted),
        Retention::Link(wanted) => {
            let record = LinkedRecord { class: wanted.class.clone(), ended: wanted.ended };
            let (study, by, reason) = (wanted.study.clone(), wanted.by.clone(), wanted.reason.clone());
            ask(&wanted.place, R::Link { study, record, by, reason })?;
            show("linked (đã liên kết)\n")
        }
        Retention::Unlink(wanted) => {
            let (study, class) = (wanted.study.clone(), wanted.class.clone());
            ask(&wanted.place, R::Unlink { study, class, by: wanted.by.clone(), reason: wanted.reason.clone() })?;
            show("unlinked; its class stays (đã bỏ liên kết; loại không hạ)\n")
        }
        Retention::Death(Death { patient, on, by, place }) => {
            ask(place, R::Death { patient: patient.clone(), on: *on, by: by.clone() })?;
            show("recorded (đã ghi nhận)\n")
        }
        Retention::Reject(wanted) => {
            let Instance { facility, study, series, instance } = wanted.instance.clone();
            let reason = wanted.reason;
            let by = wanted.by.clone();
            ask(&wanted.place, R::Reject { facility, study, series, instance, reason, by })?;
            show("rejected: found and retrieved by nobody (đã loại bỏ)\n")
        }
        Retention::Unreject(wanted) => unreject(wanted),
        Retention::Rejected(wanted) => {
            let answer = ask(&wanted.place, R::Rejected { study: wanted.study.clone() })?;
            show(&format!("{answer}\n"))
        }
    }
}

fn unreject(wanted: &Unreject) -> Result<Exit, Failure> {
    let Unreject { of: OfStudy { study, by, reason, place }, instance } = wanted;
    let (study, by, reason) = (study.clone(), by.clone(), reason.clone());
    let instances = instance.clone();
    let answer = ask(place, RetentionRequest::Unreject { study, instances, by, reason })?;
    let count = answer.get("restored").map(Value::to_string).unwrap_or_default();
    show(&format!("{count} instances are shown again (đã khôi phục)\n"))
}

fn ask(place: &Place, request: RetentionRequest) -> Result<Value, Failure> {
    place.ask_existing(&Request::Retention(Box::new(request)))
}

fn listed(wanted: &Shows, request: RetentionRequest, table: fn(&Value) -> String) -> Result<Exit, Failure> {
    let answer = ask(&wanted.place, request)?;
    show(&if wanted.json { format!("{answer}\n") } else { table(&answer) })
}

fn holds(wanted: &Holds) -> Result<Exit, Failure> {
    match wanted {
        Holds::List(wanted) => listed(wanted, RetentionRequest::Holds, page::holds),
        Holds::Add(wanted) => {
            let target = match (&wanted.study, &wanted.patient, wanted.query.is_empty()) {
                (Some(study), _, _) => Target::Study(study.clone()),
                (_, Some(patient), _) => Target::Patient(patient.clone()),
                (_, _, false) => Target::Query(wanted.query.clone()),
                _ => return Err(Failure::new(Exit::Usage, "name what is held: --study, --patient or --query")),
            };
            let (reason, owner, by) = (wanted.reason.clone(), wanted.owner.clone(), wanted.by.clone());
            let id = wanted.id.clone();
            let answer = ask(&wanted.place, RetentionRequest::Hold { id, target, reason, owner, by })?;
            let text = |key: &str| answer.get(key).filter(|value| !value.is_null()).map(Value::to_string);
            let studies = text("studies").map_or(String::new(), |count| format!(" on {count} studies"));
            let hold = text("hold").unwrap_or_default();
            show(&format!("hold {}{studies} (lệnh giữ)\n", hold.trim_matches('"')))
        }
        Holds::Release(ReleaseHold { hold, by, reason, place }) => {
            let (hold, by, reason) = (hold.clone(), by.clone(), reason.clone());
            ask(place, RetentionRequest::Release { hold, by, reason })?;
            show("released (đã gỡ lệnh giữ)\n")
        }
    }
}

fn plan(wanted: &Plan) -> Result<Exit, Failure> {
    if let Some(path) = wanted.form.out.as_deref().filter(|path| path.exists()) {
        return Err(Failure::new(Exit::Usage, format!("{} exists; name a new file", path.display())));
    }
    let rules = wanted.rules.as_deref().map(rules).transpose()?;
    let config = wanted.place.config()?;
    let stop = stop_flag()?;
    let mut shown = Shown::new("studies");
    let (as_of, facility, by, record) = (wanted.as_of, wanted.facility, wanted.by.clone(), !wanted.dry_run);
    let request = Request::Retention(Box::new(RetentionRequest::Plan { as_of, facility, rules, by, record }));
    let answer = Door::open_existing(&config, &request)?.ask(&request, &stop, &mut |step| shown.step(step, ""));
    shown.end();
    let text = text_of(&answer?, "/summary/digest")?;
    let delivered = page::deliver(&text, wanted.form.kind(), wanted.form.out.as_deref());
    if wanted.dry_run {
        // A look leaves nothing behind.
        let _ = std::fs::remove_file(&text.path);
    }
    delivered
}

fn execute(wanted: &Execute) -> Result<Exit, Failure> {
    let plan = wanted.plan.clone();
    let answer = ask(&wanted.place, RetentionRequest::Status { plan: plan.clone() })?;
    if !wanted.yes {
        let said = "nothing is done without --yes (chưa thực hiện: thêm --yes)\n";
        return show(&format!("{}\n{said}", page::status(&answer)));
    }
    ask(&wanted.place, RetentionRequest::Execute { plan: plan.clone(), by: wanted.by.clone() })?;
    show(&format!(
        "plan {plan} is executing: studies are hidden, and destroyed after the days to undo, while the server runs\n\
         (đang thực hiện: ca chụp được ẩn, hết hạn hoàn tác sẽ bị hủy, khi máy chủ hoạt động)\n"
    ))
}

/// Where the text of a plan lies, and its digest, which stands at a place in the answer.
fn text_of(answer: &Value, digest: &str) -> Result<page::Text, Failure> {
    let part = |place: &str| answer.pointer(place).and_then(Value::as_str).map(str::to_owned);
    let text = part("/path").zip(part(digest)).map(|(path, digest)| page::Text { path: path.into(), digest });
    text.ok_or_else(|| Failure::new(Exit::Failed, "the answer names no file; are command and server of one version?"))
}

/// The text of a rule file.
fn rules(path: &Path) -> Result<String, Failure> {
    let wrong = |what: String| Failure::new(Exit::Usage, format!("{}: {what}", path.display()));
    let len = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if len > RULES_MAX {
        return Err(wrong(format!("longer than {RULES_MAX} bytes; is this a rule file?")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    model::retention::RuleSet::parse(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(text)
}

impl Form {
    fn kind(&self) -> page::Kind {
        match (self.json, self.csv) {
            (true, _) => page::Kind::Json,
            (_, true) => page::Kind::Csv,
            _ => page::Kind::Table,
        }
    }
}
