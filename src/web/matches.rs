//! The steward's API: studies and orders that did not find each other, both sides beside each other, and what a person
//! decides of them. Every decision can be taken back.
//!
//! Deliberately not here: how orders are looked for and what a decision means, which is the archive's matter.

mod both;

use crate::admin::{body, read};
use crate::app::Call;
use crate::charts::find::Paging;
use crate::charts::{bad, facility};
use crate::judgement::{problem, signer};
use crate::problem::Problem;
use crate::routes::Endpoint;
use archive::Archive;
use archive::charts::ToDecide;
use archive::retain::Correcting;
use axum::response::Response;
use both::Sides;
use http::StatusCode;
use model::chart::{ChartKey, ChartKind, Match};
use model::retention::StudyRef;
use model::{FacilityCode, Uid};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most rows of a page: each has its study and order looked up.
const LIMIT_MAX: usize = 100;

/// Whether an endpoint is answered here.
pub(crate) fn is_of_matches(endpoint: Endpoint) -> bool {
    use Endpoint as E;
    matches!(
        endpoint,
        E::Matches | E::MatchStudy | E::UnmatchStudy | E::LeaveMatch | E::UndoMatch | E::AssignPatient | E::UndoAssign
    )
}

/// Answers a request of a steward.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::Matches => list(call).await,
        Endpoint::AssignPatient | Endpoint::UndoAssign => correct(endpoint, call).await,
        _ => decide(endpoint, call).await,
    }
}

/// One page of a list.
async fn list(call: Call) -> Result<Response, Problem> {
    let wanted = call.query_value("list").unwrap_or(ToDecide::Mismatch.name());
    let list = ToDecide::ALL.into_iter().find(|list| list.name() == wanted);
    let names = ToDecide::ALL.map(ToDecide::name).join(", ");
    let list = list.ok_or_else(|| bad("list", format!("list takes one of {names}")))?;
    let of = call.query_value("facility").is_some().then(|| facility(&call)).transpose()?;
    let Paging { limit, after } = Paging::of(&call)?;
    let (caller, links) = (call.caller.clone(), both::Links::of(&call));
    let (rows, next) = call
        .blocking(move |archive| {
            let page = archive.charts().to_decide(&caller, list, of, after, limit.min(LIMIT_MAX))?;
            Ok((Sides::of(archive, &caller, &page.rows)?.shown(&page.rows, &links), page.cursor))
        })
        .await?;
    let mut view = json!({"list": list.name(), "rows": rows});
    if let (Some(object), Some(next)) = (view.as_object_mut(), next) {
        object.insert("next".into(), next.to_string().into());
    }
    body(StatusCode::OK, &view)
}

/// The order that a study is matched with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    placer: String,
}

/// Decides, or takes the newest decision back; answers with what holds now.
async fn decide(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let (facility, study) = (facility(&call)?, call.uid("study")?);
    let placer = match endpoint {
        Endpoint::MatchStudy => read::<Order>(&call).await?.placer,
        _ => String::new(),
    };
    let (caller, links) = (call.caller.clone(), both::Links::of(&call));
    let view = call
        .blocking(move |archive| {
            let by = caller.name.as_str();
            let undone = match endpoint {
                Endpoint::MatchStudy => archive.match_study(facility, &study, &placer, by).map(|()| None)?,
                Endpoint::UnmatchStudy => archive.unmatch_study(facility, &study, by).map(|()| None)?,
                Endpoint::LeaveMatch => archive.leave_match(facility, &study, by).map(|()| None)?,
                _ => Some(archive.undo_match(facility, &study, by)?),
            };
            let mut view = json!({"handled": "done", "match": now(archive, &caller, (facility, &study), &links)?});
            if let (Some(object), Some(act)) = (view.as_object_mut(), undone) {
                object.insert("undone".into(), json!({"act": act.act, "by": act.by, "at": act.at}));
            }
            Ok(view)
        })
        .await?;
    body(StatusCode::OK, &view)
}

/// What holds of a study now; null when nothing is known of it.
fn now(
    archive: &Arc<Archive>,
    caller: &model::Caller,
    (facility, study): (FacilityCode, &Uid),
    links: &both::Links,
) -> Result<Value, Problem> {
    let Ok(key) = ChartKey::new(ChartKind::Match, facility, &Match::id(study, 0)) else { return Ok(Value::Null) };
    let rows: Vec<_> = archive.charts().get(caller, &key)?.into_iter().collect();
    Ok(Sides::of(archive, caller, &rows)?.shown(&rows, links).pop().unwrap_or(Value::Null))
}

/// Whose study it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    #[serde(default)]
    mrn: String,
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

/// Makes a study another patient's by a correction, or takes the newest correction back; or tells what would change.
async fn correct(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let (facility, study) = (facility(&call)?, call.uid("study")?);
    let (Whose { mrn, reason, dry_run }, by) = (read::<Whose>(&call).await?, signer(&call)?);
    if (endpoint == Endpoint::AssignPatient) == mrn.trim().is_empty() {
        let what = "mrn names the patient whose study it is, and is left out to take a correction back";
        return Err(Problem::new(crate::problem::Kind::BadRequest, what).at("body"));
    }
    let study = StudyRef { facility, study, patient: 0 };
    let work = move |archive: &Arc<Archive>| {
        let wanted: Correcting = match endpoint {
            Endpoint::AssignPatient => archive.assigning(&study, &mrn, by, reason),
            _ => archive.taking_back(&study, by, reason),
        }
        .map_err(problem)?;
        let done = if dry_run { archive.would_correct(&wanted) } else { archive.correct_study(&wanted) };
        done.map_err(problem)
    };
    let changed = call.blocking(work).await?;
    body(StatusCode::OK, &json!({ "changed": changed, "recorded": !dry_run }))
}
