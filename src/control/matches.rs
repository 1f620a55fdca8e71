//! What `khoanh matches` asks of the archive.

use crate::cli::{Exit, Failure};
use archive::Archive;
use archive::charts::{ChartCursor, ToDecide};
use model::chart::{BirthDate, ChartBody, ChartKey, ChartKind, ChartRow, Match, Side};
use model::{Caller, FacilityCode, Uid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most rows of a page.
const PAGE: usize = 500;

/// What a person decides of a study.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MatchDecision {
    /// It is the order's of this number.
    Match(String),
    /// It is not the order's it was taken for.
    Unmatch,
    /// The archive looks again.
    Leave,
    /// The newest decision is taken back.
    Undo,
}

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum MatchesRequest {
    /// A steward's list, the newest first.
    List {
        /// Which.
        list: ToDecide,
        /// Of this facility; of all.
        facility: Option<FacilityCode>,
        /// Behind this place.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// Decides of a study.
    Decide {
        /// Whose.
        facility: FacilityCode,
        /// The study.
        study: Uid,
        /// What.
        decision: MatchDecision,
        /// Who.
        by: String,
    },
}

/// Does what is asked.
pub(super) fn answer(archive: &Arc<Archive>, request: &MatchesRequest) -> Result<Value, Failure> {
    match request {
        MatchesRequest::List { list, facility, after, limit } => {
            let wrong = |error: archive::CursorError| Failure::new(Exit::Usage, format!("--after: {error}"));
            let after = after.as_deref().map(ChartCursor::parse).transpose().map_err(wrong)?;
            let limit = (*limit).clamp(1, PAGE);
            let page = archive.charts().to_decide(&Caller::operator(), *list, *facility, after, limit);
            let page = page.map_err(|error| failed(&error))?;
            let rows: Vec<Value> = page.rows.iter().filter_map(brief).collect();
            Ok(json!({ "rows": rows, "after": page.cursor.map(|cursor| cursor.to_string()) }))
        }
        MatchesRequest::Decide { facility, study, decision, by } => {
            let undone = match decision {
                MatchDecision::Match(placer) => archive.match_study(*facility, study, placer, by).map(|()| None),
                MatchDecision::Unmatch => archive.unmatch_study(*facility, study, by).map(|()| None),
                MatchDecision::Leave => archive.leave_match(*facility, study, by).map(|()| None),
                MatchDecision::Undo => archive.undo_match(*facility, study, by).map(Some),
            };
            let undone = undone.map_err(|error| failed(&error))?;
            let key = ChartKey::new(ChartKind::Match, *facility, &Match::id(study, 0));
            let key = key.map_err(|error| failed(&error))?;
            let row = archive.charts().get(&Caller::operator(), &key).map_err(|error| failed(&error))?;
            Ok(json!({ "match": row.as_ref().and_then(brief), "undone": undone.map(|act| (act.act, act.by)) }))
        }
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// A row without names: numbers, sex and year of birth of both sides.
fn brief(row: &ChartRow) -> Option<Value> {
    let side = |side: &Side| json!({ "mrn": side.mrn, "sex": side.sex, "birth_year": side.birth.map(BirthDate::year) });
    match &row.body {
        ChartBody::Match(one) => Some(json!({
            "facility": row.key.facility,
            "study": one.study,
            "verdict": one.verdict,
            "placer": one.placer,
            "why": one.why,
            "of_study": side(&one.of_study),
            "of_order": one.of_order.as_ref().map(side),
            "by": one.by,
            "acts": one.acts.iter().map(|act| json!({ "act": act.act, "by": act.by, "at": act.at })).collect::<Vec<_>>(),
            "at": one.at,
        })),
        ChartBody::Order(order) => Some(json!({
            "facility": row.key.facility,
            "placer": order.placer,
            "accession": order.accession,
            "mrn": order.mrn,
            "date": order.steps.first().map(|step| step.date.as_str()),
            "state": order.state,
        })),
        _ => None,
    }
}
