//! Persons across facilities by REST: who is one, what a steward has to look at, and what is decided; and the search of
//! patients by whatever is at hand.
//!
//! Deliberately not here: who is one person by what; a caller is shown and decides what lies in its own facilities only.

use super::find::{self, Paging};
use super::said::Said;
use super::{bad, facility, key, shown};
use crate::admin::{body, bytes};
use crate::app::Call;
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::charts::inquiries::Check;
use archive::charts::{Charts, Hit, Person};
use axum::response::Response;
use http::StatusCode;
use model::chart::{ChartBody, ChartKey, ChartKind, ChartRow, Local, Patient, Proposal};
use model::{Caller, FacilityCode};
use serde_json::{Value, json};

/// Rows of a search when the request names no limit.
const LIMIT_DEFAULT: usize = 20;

/// Answers a request about persons.
pub(super) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    match endpoint {
        Endpoint::SearchPatients => search(call).await,
        Endpoint::Person => person(call).await,
        Endpoint::Proposals => proposals(call).await,
        Endpoint::Verifications => verifications(call).await,
        Endpoint::AcceptProposal | Endpoint::RefuseProposal | Endpoint::UndoProposal => judge(endpoint, call).await,
        Endpoint::LinkPerson => link(call).await,
        _ => take_out(endpoint, call).await,
    }
}

/// Finds patients by any form of a question.
async fn search(call: Call) -> Result<Response, Problem> {
    let text = call.query_value("q").map(str::trim).unwrap_or_default().to_owned();
    if text.is_empty() {
        return Err(bad("q", "q takes a name, a number, or the text of a scanned identity card"));
    }
    let limit = if call.query_value("limit").is_some() { find::limit(&call)? } else { LIMIT_DEFAULT };
    let caller = call.caller.clone();
    let answer = call.blocking(move |archive| Ok(archive.charts().search_patients(&caller, &text, limit)?)).await?;
    let patients: Vec<Value> = answer.hits.iter().map(hit_shown).collect();
    body(StatusCode::OK, &json!({ "patients": patients, "cut": answer.cut }))
}

fn hit_shown(hit: &Hit) -> Value {
    let mut view = shown(&hit.row);
    if let Some(object) = view.as_object_mut() {
        object.insert("why".into(), json!(hit.why));
    }
    view
}

/// The patient that a path names.
fn patient(call: &Call) -> Result<Local, Problem> {
    let facility = facility(call)?;
    let mrn = key(ChartKind::Patient, facility, call.parameter("mrn"), "mrn")?.id;
    Ok(Local { facility, mrn })
}

async fn person(call: Call) -> Result<Response, Problem> {
    let (local, caller) = (patient(&call)?, call.caller.clone());
    let person = call.blocking(move |archive| Ok(archive.charts().person(&caller, &local)?)).await?;
    body(StatusCode::OK, &person_shown(&person))
}

fn person_shown(person: &Person) -> Value {
    let member = |member: &archive::charts::Member| {
        let patient = &member.patient;
        json!({
            "facility": member.local.facility, "mrn": member.local.mrn, "how": member.how, "since": member.at,
            "name": patient.name, "birth": patient.birth, "sex": patient.sex, "national": patient.ids.national,
            "verification": member.check, "sure": member.sure,
        })
    };
    let members: Vec<Value> = person.members.iter().map(member).collect();
    json!({ "person": person.id, "apart": person.apart, "patients": members })
}

async fn proposals(call: Call) -> Result<Response, Problem> {
    let paging = Paging::of(&call)?;
    let state = call.query_value("state").map(str::trim).filter(|state| !state.is_empty()).unwrap_or("open").to_owned();
    let caller = call.caller.clone();
    let found = call
        .blocking(move |archive| {
            let charts = archive.charts();
            let page = charts.proposals(&caller, &state, paging.after, paging.limit)?;
            let shown: Vec<Value> = page.rows.iter().map(|row| proposal_shown(charts, &caller, row)).collect();
            Ok((shown, page.cursor))
        })
        .await?;
    let mut view = json!({ "proposals": found.0 });
    if let (Some(object), Some(next)) = (view.as_object_mut(), found.1) {
        object.insert("next".into(), next.to_string().into());
    }
    body(StatusCode::OK, &view)
}

/// A pair with both of its patients; one that is about a patient alone has that one.
fn proposal_shown(charts: &Charts, caller: &Caller, row: &ChartRow) -> Value {
    let ChartBody::Proposal(proposal) = &row.body else { return Value::Null };
    let Proposal { why, at, judgement, .. } = proposal.as_ref();
    let side = |local: &Local| {
        let key = ChartKey::new(ChartKind::Patient, local.facility, &local.mrn).ok();
        let row = key.and_then(|key| charts.get(caller, &key).ok().flatten());
        row.map_or_else(|| json!({ "facility": local.facility, "mrn": local.mrn }), |row| shown(&row))
    };
    let sides = proposal.sides();
    let patients: Vec<Value> = sides.iter().skip(usize::from(proposal.is_alone())).map(side).collect();
    json!({
        "id": row.key.id, "facility": row.key.facility, "state": proposal.state(), "why": why, "at": at,
        "judgement": judgement, "patients": patients,
    })
}

/// How it stands with the verifier, and with numbers by what it said of them.
async fn verifications(call: Call) -> Result<Response, Problem> {
    let paging = Paging::of(&call)?;
    let state = call.query_value("state").map(str::trim).filter(|state| !state.is_empty()).map(str::to_owned);
    let caller = call.caller.clone();
    let (verifier, shown, next) = call
        .blocking(move |archive| {
            let charts = archive.charts();
            let page = charts.inquiries(&caller, state.as_deref(), paging.after, paging.limit)?;
            let shown: Vec<Value> = page.rows.iter().map(|row| verification_shown(charts, &caller, row)).collect();
            Ok((charts.verifier(&caller), shown, page.cursor))
        })
        .await?;
    let mut view = json!({ "verifier": verifier, "verifications": shown });
    if let (Some(object), Some(next)) = (view.as_object_mut(), next) {
        object.insert("next".into(), next.to_string().into());
    }
    body(StatusCode::OK, &view)
}

fn verification_shown(charts: &Charts, caller: &Caller, row: &ChartRow) -> Value {
    let ChartBody::Inquiry(inquiry) = &row.body else { return Value::Null };
    let key = ChartKey { kind: ChartKind::Patient, ..row.key.clone() };
    let patient = match charts.get(caller, &key) {
        Ok(Some(ChartRow { body: ChartBody::Patient(patient), .. })) => *patient,
        _ => Patient::default(),
    };
    let mut view = serde_json::to_value(Check::of(inquiry, &patient)).unwrap_or_default();
    if let Some(object) = view.as_object_mut() {
        object.insert("facility".into(), row.key.facility.to_string().into());
        object.insert("mrn".into(), row.key.id.clone().into());
    }
    view
}

async fn judge(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let facility = facility(&call)?;
    let key = key(ChartKind::Proposal, facility, call.parameter("id"), "id")?;
    let caller = call.caller.clone();
    call.blocking(move |archive| {
        let (charts, by) = (archive.charts(), caller.name.as_str());
        match endpoint {
            Endpoint::AcceptProposal => charts.judge_proposal(&caller, &key, true, by)?,
            Endpoint::RefuseProposal => charts.judge_proposal(&caller, &key, false, by)?,
            _ => charts.undo_proposal(&caller, &key, by)?,
        }
        Ok(())
    })
    .await?;
    body(StatusCode::OK, &json!({ "done": true }))
}

async fn link(call: Call) -> Result<Response, Problem> {
    let one = patient(&call)?;
    let bytes = bytes(&call, call.app.options.body_bytes_max).await?;
    let mut said = Said::read(&bytes)?;
    let (code, mrn) = (said.needed("facility")?, said.needed("mrn")?);
    let code = FacilityCode::parse(&code).map_err(|error| said.bad("facility", error.to_string()))?;
    said.end()?;
    let two = Local { facility: code, mrn };
    let caller = call.caller.clone();
    let key = call
        .blocking(move |archive| {
            let charts = archive.charts();
            Ok(charts.link(&caller, &one, &two, &caller.name)?)
        })
        .await?;
    body(StatusCode::OK, &json!({ "done": true, "proposal": { "facility": key.facility, "id": key.id } }))
}

async fn take_out(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    let (local, caller) = (patient(&call)?, call.caller.clone());
    call.blocking(move |archive| {
        let charts = archive.charts();
        match endpoint {
            Endpoint::UnlinkPerson => charts.unlink(&caller, &local, &caller.name)?,
            Endpoint::RejoinPerson => charts.rejoin(&caller, &local, &caller.name)?,
            _ => return Err(Problem::new(Kind::NotFound, "there is no such resource")),
        }
        Ok(())
    })
    .await?;
    body(StatusCode::OK, &json!({ "done": true }))
}
