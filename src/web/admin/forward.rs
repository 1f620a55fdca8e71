//! Forwarding in the operators' API: rules, services, what waits, and what an operator does about it.

use super::{body, read};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::forward::Chosen;
use axum::response::Response;
use http::StatusCode;
use model::FacilityCode;
use model::forward::{ForwardFact, ForwardRule, ForwardTo, StowRoot};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Tasks in one answer when the request names no limit.
const TASKS_DEFAULT: usize = 100;
/// Most tasks in one answer.
const TASKS_MAX: usize = 1_000;

/// A destination, by itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: ForwardTo,
}

/// Answers for forwarding.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let caller = call.caller.clone();
    let sees = |facility: Option<FacilityCode>| facility.is_none_or(|facility| caller.may_see(facility));
    match endpoint {
        Endpoint::ForwardRules => {
            let mut rules = call.app.archive.forward_rules();
            rules.retain(|rule| !rule.removed && sees(rule.facility));
            body(StatusCode::OK, &rules)
        }
        Endpoint::ForwardRoots => {
            let mut roots = call.app.archive.forward_roots();
            roots.retain(|root| !root.removed && sees(root.facility));
            body(StatusCode::OK, &roots)
        }
        Endpoint::PutForwardRule => {
            let rule: ForwardRule = read(&call).await?;
            put(call, ForwardFact::Rule(rule.clone()), &rule).await
        }
        Endpoint::PutForwardRoot => {
            let root: StowRoot = read(&call).await?;
            put(call, ForwardFact::Root(root.clone()), &root).await
        }
        Endpoint::PauseForward | Endpoint::ResumeForward => {
            let To { to } = read(&call).await?;
            let paused = endpoint == Endpoint::PauseForward;
            let told = json!({ "to": to, "paused": paused });
            put(call, ForwardFact::Pause { to, paused }, &told).await
        }
        Endpoint::ForwardStatus => {
            if caller.facilities.is_some() && call.app.tokens.required() {
                return Err(Problem::new(Kind::Forbidden, "the queues hold tasks of every facility").at("token"));
            }
            body(StatusCode::OK, &call.app.archive.forward_status())
        }
        Endpoint::RetryForwards => {
            let chosen: Chosen = read(&call).await?;
            let tasks = call.blocking(move |archive| Ok(archive.retry_forwards(&caller, &chosen)?)).await?;
            body(StatusCode::OK, &json!({ "tasks": tasks }))
        }
        Endpoint::DropForwards => {
            let chosen: Chosen = read(&call).await?;
            if chosen == Chosen::default() {
                return Err(Problem::new(Kind::BadRequest, "say which: id, to or dead").at("body"));
            }
            let tasks = call.blocking(move |archive| Ok(archive.drop_forwards(&caller, &chosen)?)).await?;
            body(StatusCode::OK, &json!({ "tasks": tasks }))
        }
        Endpoint::Notices => {
            let limit = number(&call, "limit", TASKS_DEFAULT as u64)?;
            let limit = usize::try_from(limit).unwrap_or(TASKS_MAX).clamp(1, TASKS_MAX);
            body(StatusCode::OK, &call.app.archive.notices(&caller, limit))
        }
        _ => tasks(call).await,
    }
}

async fn put(call: Call, fact: ForwardFact, told: &impl Serialize) -> Result<Response, Problem> {
    let caller = call.caller.clone();
    call.blocking(move |archive| Ok(archive.put_forward(&caller, fact)?)).await?;
    body(StatusCode::OK, told)
}

fn number(call: &Call, name: &str, default: u64) -> Result<u64, Problem> {
    match call.query_value(name).map(str::parse::<u64>) {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(Problem::new(Kind::BadRequest, "a whole number").at(format!("query parameter {name}"))),
    }
}

async fn tasks(call: Call) -> Result<Response, Problem> {
    let bad = |name: &str, detail: String| Problem::new(Kind::BadRequest, detail).at(format!("query parameter {name}"));
    let dead = match call.query_value("dead") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(bad("dead", "true or false".into())),
    };
    let to = call.query_value("to").map(str::parse::<ForwardTo>).transpose().map_err(|what| bad("to", what))?;
    let after = number(&call, "after", 0)?;
    let limit = usize::try_from(number(&call, "limit", TASKS_DEFAULT as u64)?).unwrap_or(TASKS_MAX).clamp(1, TASKS_MAX);
    let (caller, chosen) = (call.caller.clone(), Chosen { id: None, to, dead });
    let tasks = call.blocking(move |archive| Ok(archive.forward_tasks(&caller, &chosen, after, limit))).await?;
    let next = tasks.last().filter(|_| tasks.len() == limit).map(|task| task.id);
    body(StatusCode::OK, &json!({ "tasks": tasks, "next": next }))
}
