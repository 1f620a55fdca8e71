//! The operators' API to series that stand in another study than they were received in.
//!
//! Deliberately not here: what must not move, and what goes out, which is the archive's matter.

use crate::admin::{body, read};
use crate::app::Call;
use crate::judgement::{may_judge, problem, signer, study_named};
use crate::problem::{Kind, Problem};
use crate::routes::Endpoint;
use archive::Archive;
use archive::retain::{MoveTo, Moving};
use axum::response::Response;
use http::StatusCode;
use model::Uid;
use model::retention::StudyRef;
use model::retention::moved::MoveReason;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Which series are to be moved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The study they stand in.
    study: StudyRef,
    /// Series Instance UIDs; none: all of them.
    #[serde(default)]
    series: Vec<Uid>,
    /// Where to; needed by a move alone.
    #[serde(default)]
    to: Option<StudyRef>,
    /// Study Instance UID of what is split off.
    #[serde(default)]
    uid: Option<Uid>,
    #[serde(default)]
    why: Option<MoveReason>,
    #[serde(default)]
    dry_run: bool,
}

/// Whether an endpoint is of this room.
pub(crate) const fn is_of_moves(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::SeriesMoves | Endpoint::MoveSeries | Endpoint::SplitSeries | Endpoint::UndoMove)
}

/// Answers.
pub(crate) async fn answer(endpoint: Endpoint, call: Call) -> Result<Response, Problem> {
    if endpoint == Endpoint::SeriesMoves {
        return list(call).await;
    }
    let Wanted { study, series, to, uid, why, dry_run } = read(&call).await?;
    may_judge(&call, &study)?;
    let by = signer(&call)?;
    let bad = |what: &str| Problem::new(Kind::BadRequest, what.to_owned()).at("body");
    if why == Some(MoveReason::Undo) {
        return Err(bad("`why` says why series are moved; what is taken back goes to /api/series/undo"));
    }
    let (to, why) = match endpoint {
        Endpoint::MoveSeries => {
            let to = to.ok_or_else(|| bad("`to` names the study to move to"))?;
            (MoveTo::Study(to), why.unwrap_or(MoveReason::WrongStudy))
        }
        Endpoint::SplitSeries => (MoveTo::New(uid), why.unwrap_or(MoveReason::Split)),
        _ => (MoveTo::Home, MoveReason::Undo),
    };
    let moving = Moving { study, series, to, why, by };
    let work = move |archive: &Arc<Archive>| {
        let done = if dry_run { archive.would_move(&moving) } else { archive.move_series(&moving) };
        done.map_err(problem)
    };
    let moved = call.blocking(work).await?;
    body(StatusCode::OK, &json!({ "moved": moved, "recorded": !dry_run }))
}

async fn list(call: Call) -> Result<Response, Problem> {
    let study = study_named(&call)?;
    let moves = call.blocking(move |archive| archive.moves_of(&study).map_err(problem)).await?;
    body(StatusCode::OK, &json!(moves))
}
