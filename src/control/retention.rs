//! Retention on behalf of a command: plans, holds, what is learned of studies.
//!
//! Deliberately not here: how anything is shown, and whether it is allowed, which the archive says.

use super::Progress;
use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::retain::{PlanQuestion, RetainError};
use model::attribute::ATTRIBUTES;
use model::date::Date;
use model::query::{Condition, Query, Test};
use model::retention::record::RejectReason;
use model::retention::{
    ClassId, Hold, HoldId, HoldTarget, LinkedRecord, PatientRef, Person, PlanId, RetentionFact, StudyRef,
};
use model::{AttrKey, FacilityCode, Level, Uid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What is asked of retention.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "wanted", rename_all = "kebab-case")]
pub(crate) enum RetentionRequest {
    /// Makes a plan.
    Plan { as_of: Date, facility: Option<FacilityCode>, rules: Option<String>, by: Person, record: bool },
    /// Every plan.
    List,
    /// One plan, and how its studies stand.
    Status { plan: PlanId },
    /// A second person approves a plan.
    Approve { plan: PlanId, by: Person, remark: String },
    /// Gives a plan up.
    Withdraw { plan: PlanId, by: Person, reason: String },
    /// Begins the execution of a plan.
    Execute { plan: PlanId, by: Person },
    /// Makes a hidden study visible again.
    Restore { study: StudyRef, by: Person, reason: String },
    /// Every hold.
    Holds,
    /// Makes a hold.
    Hold { id: Option<HoldId>, target: Target, reason: String, owner: Person, by: Person },
    /// Ends a hold.
    Release { hold: HoldId, by: Person, reason: String },
    /// Links a study to a record of a class.
    Link { study: StudyRef, record: LinkedRecord, by: Person, reason: String },
    /// Takes such a link back.
    Unlink { study: StudyRef, class: ClassId, by: Person, reason: String },
    /// Records a patient's death.
    Death { patient: PatientRef, on: Date, by: Person },
    /// Rejects an instance.
    Reject { facility: FacilityCode, study: Uid, series: Uid, instance: Uid, reason: RejectReason, by: Person },
    /// What is rejected in a study.
    Rejected { study: StudyRef },
    /// Takes rejections back.
    Unreject { study: StudyRef, instances: Vec<Uid>, by: Person, reason: String },
    /// Instances that came in for destroyed studies.
    Late,
}

/// What a hold names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// A study.
    Study(StudyRef),
    /// A patient.
    Patient(PatientRef),
    /// What a query answers now: attribute keyword or tag, and value.
    Query(Vec<(String, String)>),
}

fn failure(error: RetainError) -> Failure {
    match error {
        RetainError::Refused(refusal) => {
            Failure::new(Exit::Failed, format!("refused: {refusal} (từ chối: {})", refusal.vietnamese()))
        }
        RetainError::Invalid { what } => Failure::new(Exit::Usage, what),
        RetainError::Interrupted => Failure::new(Exit::Interrupted, error.to_string()),
        error => Failure::new(Exit::Failed, error.to_string()),
    }
}

/// Does what is asked.
pub(super) fn answer(
    archive: &Arc<Archive>,
    wanted: &RetentionRequest,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    let done = |()| json!({});
    let answered = match wanted.clone() {
        RetentionRequest::Plan { as_of, facility, rules, by, record } => {
            let question = PlanQuestion { as_of, facility, rules, by, record };
            return plan(archive, &question, stop, progress);
        }
        RetentionRequest::List => {
            let plans: Vec<_> = archive.retention_plans().iter().map(archive::retain::Known::view).collect();
            Ok(json!({ "plans": plans }))
        }
        RetentionRequest::Status { plan } => archive.retention_plan(&plan).and_then(|known| {
            let (view, progress, path) = (known.view(), archive.plan_progress(&plan)?, archive.plan_path(&plan));
            Ok(json!({ "plan": view, "progress": progress, "path": path }))
        }),
        RetentionRequest::Approve { plan, by, remark } => archive.approve_plan(&plan, by, remark).map(done),
        RetentionRequest::Withdraw { plan, by, reason } => archive.withdraw_plan(&plan, by, reason).map(done),
        RetentionRequest::Execute { plan, by } => archive.begin_plan(&plan, by).map(done),
        RetentionRequest::Restore { study, by, reason } => archive.restore_study(&study, by, reason).map(done),
        RetentionRequest::Holds => Ok(json!({ "holds": archive.holds() })),
        RetentionRequest::Hold { id, target, reason, owner, by } => {
            return hold(archive, id, target, (reason, owner, by));
        }
        RetentionRequest::Release { hold, by, reason } => archive.release_hold(hold, by, reason).map(done),
        RetentionRequest::Link { study, record, by, reason } => {
            archive.link_record(&study, record, by, reason).map(done)
        }
        RetentionRequest::Unlink { study, class, by, reason } => {
            archive.unlink_record(&study, class, by, reason).map(done)
        }
        RetentionRequest::Death { patient, on, by } => archive.record_death(patient, on, by).map(done),
        RetentionRequest::Reject { facility, study, series, instance, reason, by } => {
            archive.reject_instance(facility, (&study, &series, &instance), reason, by).map(done)
        }
        RetentionRequest::Rejected { study } => {
            archive.rejected_of(&study).map(|rejected| json!({ "rejected": rejected }))
        }
        RetentionRequest::Unreject { study, instances, by, reason } => {
            let instances = instances.into_iter().collect();
            archive.restore_instances(&study, &instances, by, reason).map(|count| json!({ "restored": count }))
        }
        RetentionRequest::Late => archive.late_instances().map(|late: Vec<RetentionFact>| json!({ "late": late })),
    };
    answered.map_err(failure)
}

fn plan(
    archive: &Arc<Archive>,
    question: &PlanQuestion,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Value, Failure> {
    if let Some(facility) = question.facility.filter(|code| !archive.facility_codes().contains(code)) {
        let what = format!("facility {facility} is not registered (khoanh sources list shows those that are)");
        return Err(Failure::new(Exit::Usage, what));
    }
    let mut step = |done, total| progress(Progress { done, total, bytes: 0, trouble: 0 });
    let made = archive.plan_retention(question, stop, &mut step).map_err(failure)?;
    Ok(json!({ "summary": made.summary, "path": made.path }))
}

fn hold(
    archive: &Arc<Archive>,
    id: Option<HoldId>,
    target: Target,
    (reason, owner, made_by): (String, Person, Person),
) -> Result<Value, Failure> {
    let target = match target {
        Target::Study(study) => HoldTarget::Study(study),
        Target::Patient(patient) => HoldTarget::Patient(patient),
        Target::Query(conditions) => {
            let text = conditions.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
            archive.hold_target(&query(&conditions)?, text).map_err(failure)?
        }
    };
    let known = archive.holds();
    let free = |id: &HoldId| !known.iter().any(|held| held.hold.id == *id);
    let named = id.or_else(|| (1..=u32::MAX).filter_map(|n| HoldId::parse(&format!("H-{n}"))).find(free));
    let id = named.ok_or_else(|| Failure::new(Exit::Failed, "no number is left for a hold"))?;
    let studies = match &target {
        HoldTarget::Studies { studies, .. } => Some(studies.len()),
        _ => None,
    };
    let made_at = archive.options().clock.now_ms();
    archive.make_hold(Hold { id: id.clone(), target, reason, owner, made_by, made_at, seal: None }).map_err(failure)?;
    Ok(json!({ "hold": id, "studies": studies }))
}

pub(super) fn query(conditions: &[(String, String)]) -> Result<Query, Failure> {
    let wrong = |what: String| Failure::new(Exit::Usage, what);
    let condition = |(name, value): &(String, String)| {
        let tag = AttrKey::parse(name);
        let named = ATTRIBUTES.iter().find(|row| row.keyword == name || Some(row.key) == tag);
        let attribute = named.ok_or_else(|| wrong(format!("{name} is no attribute that can be asked for")))?;
        let test = Test::parse(attribute, value).map_err(|error| wrong(format!("{name}: {error}")))?;
        Ok(Condition { key: attribute.key, test })
    };
    let conditions = conditions.iter().map(condition).collect::<Result<Vec<_>, Failure>>()?;
    Ok(Query { level: Level::Study, conditions, fuzzy: false })
}
